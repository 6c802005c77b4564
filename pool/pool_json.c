/* What a pool says of itself: docs/OPERATIONS.md has the shapes. */
#include <stdlib.h>

#include "libgoodfs/json_out.h"
#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"
#include "pool/pool_state.h"

enum { VERIFY_STEP = 16 * GFS_BLOCK_SIZE };

static void put_view(struct pool_view **view)
{
    pool_view_put(*view);
}

static void put_number(struct gfs_json_out *out, const char *name, uint16_t disk)
{
    if (disk == POOL_NO_DISK) {
        gfs_json_out_null(out, name);
    } else {
        gfs_json_out_u64(out, name, disk);
    }
}

/* ---- status ---- */

/* Plain data. */
struct totals {
    uint64_t space, free, reserved;
    uint32_t active, draining, failed, away, behind, read_only, full;
};

static struct totals add_up(const struct pool_view *view)
{
    struct totals totals = {0};
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        const struct pool_map_disk *disk = &view->map->disks[i];
        totals.failed += disk->state == POOL_DISK_FAILED ? 1 : 0;
        if (!pool_map_disk_is_in_use(disk)) {
            continue;
        }
        bool is_there = pool_disk_is_usable(view->disks[i]);
        totals.active += disk->state == POOL_DISK_ACTIVE ? 1 : 0;
        totals.draining += disk->state == POOL_DISK_DRAINING ? 1 : 0;
        totals.away += is_there ? 0 : 1;
        totals.behind += disk->is_behind ? 1 : 0;
        totals.read_only += disk->is_read_only ? 1 : 0;
        totals.full += is_there && atomic_load(&view->disks[i]->is_full) ? 1 : 0;
        if (is_there) {
            struct chunk_store_status status = {0};
            view->disks[i]->store->ops->status(view->disks[i]->store, &status);
            totals.space += status.space_total;
            totals.free += status.space_free;
            totals.reserved += GFS_MIN(disk->reserved, status.space_total);
        }
    }
    return totals;
}

static void put_counts(const struct totals *totals, struct gfs_json_out *out)
{
    gfs_json_out_object(out, "disks");
    gfs_json_out_u64(out, "active", totals->active);
    gfs_json_out_u64(out, "draining", totals->draining);
    gfs_json_out_u64(out, "failed", totals->failed);
    gfs_json_out_u64(out, "away", totals->away);
    gfs_json_out_u64(out, "behind", totals->behind);
    gfs_json_out_u64(out, "read_only", totals->read_only);
    gfs_json_out_u64(out, "full", totals->full);
    gfs_json_out_end_object(out);
}

/* The first in sync holds the live metadata. */
static void put_mirrors(const struct pool_map *map, struct gfs_json_out *out)
{
    bool has_live = false;
    gfs_json_out_array(out, "mirrors");
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        struct pool_log_disk log = map->log_disks[i];
        gfs_json_out_object(out, NULL);
        gfs_json_out_u64(out, "disk", log.disk);
        gfs_json_out_text(out, "path", map->disks[log.disk].path);
        gfs_json_out_bool(out, "is_in_sync", log.is_in_sync);
        gfs_json_out_bool(out, "is_live", log.is_in_sync && !has_live);
        gfs_json_out_end_object(out);
        has_live |= log.is_in_sync;
    }
    gfs_json_out_end_array(out);
}

static void put_profile(struct gfs_json_out *out, const char *name, struct pool_profile profile)
{
    char text[POOL_PROFILE_TEXT_SIZE];
    pool_profile_format(profile, text);
    gfs_json_out_text(out, name, text);
}

static void put_classes(const struct pool_map *map, struct gfs_json_out *out)
{
    gfs_json_out_array(out, "classes");
    for (uint32_t i = 0; i < map->class_count; i++) {
        gfs_json_out_object(out, NULL);
        gfs_json_out_text(out, "name", map->classes[i].name);
        put_profile(out, "profile", map->classes[i].profile);
        gfs_json_out_end_object(out);
    }
    gfs_json_out_end_array(out);
}

static const char *health_text(enum pool_health health)
{
    switch (health) {
    case POOL_HEALTHY:
        return "healthy";
    case POOL_DEGRADED:
        return "degraded";
    case POOL_READ_ONLY:
        break;
    }
    return "read-only";
}

void pool_status_json(struct pool *pool, struct gfs_json_out *out, const char *name)
{
    GFS_CLEANUP(put_view) struct pool_view *view = pool_view_get(pool);
    struct totals totals = add_up(view);
    char reason[256] = "";
    enum pool_health health = pool_health(pool, reason, sizeof reason);
    gfs_json_out_object(out, name);
    gfs_json_out_text(out, "health", health_text(health));
    gfs_json_out_text(out, "reason", reason);
    gfs_json_out_text(out, "cluster", view->map->cluster);
    gfs_json_out_u64(out, "version", view->map->version);
    gfs_json_out_u64(out, "epoch", view->map->epoch);
    gfs_json_out_u64(out, "space_total", totals.space);
    gfs_json_out_u64(out, "space_free", totals.free);
    gfs_json_out_u64(out, "space_reserved", totals.reserved);
    gfs_json_out_u64(out, "groups", view->map->group_count);
    put_counts(&totals, out);
    put_mirrors(view->map, out);
    put_classes(view->map, out);
    gfs_json_out_end_object(out);
}

/* ---- disks ---- */

static uint32_t count_slots(const struct pool_map *map, uint16_t disk)
{
    uint32_t count = 0;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            count += map->groups[g].slots[i].disk == disk ? 1 : 0;
        }
    }
    return count;
}

static bool is_mirror(const struct pool_map *map, uint16_t disk)
{
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == disk) {
            return true;
        }
    }
    return false;
}

static void put_disk(const struct pool_view *view, uint16_t number, struct gfs_json_out *out)
{
    const struct pool_map_disk *disk = &view->map->disks[number];
    const struct pool_disk *open = view->disks[number];
    bool is_there = pool_map_disk_is_in_use(disk) && pool_disk_is_usable(open);
    struct chunk_store_status status = {.space_total = disk->capacity};
    if (is_there) {
        open->store->ops->status(open->store, &status);
    }
    char id[GFS_IDENTITY_ID_SIZE];
    gfs_uuid_format(disk->id, id);
    gfs_json_out_object(out, NULL);
    gfs_json_out_u64(out, "number", number);
    gfs_json_out_text(out, "id", id);
    gfs_json_out_text(out, "path", disk->path);
    gfs_json_out_text(out, "state", pool_map_state_text(disk->state));
    gfs_json_out_bool(out, "is_away", pool_map_disk_is_in_use(disk) && !is_there);
    gfs_json_out_bool(out, "is_last_resort", pool_disk_is_readable(view->fallbacks[number]));
    gfs_json_out_bool(out, "is_behind", disk->is_behind);
    gfs_json_out_bool(out, "is_read_only", disk->is_read_only);
    gfs_json_out_bool(out, "is_full", is_there && atomic_load(&open->is_full));
    gfs_json_out_bool(out, "is_mirror", is_mirror(view->map, number));
    gfs_json_out_u64(out, "capacity", status.space_total);
    gfs_json_out_u64(out, "free", status.space_free);
    gfs_json_out_u64(out, "reserved", disk->reserved);
    gfs_json_out_u64(out, "live_bytes", status.live_bytes);
    gfs_json_out_u64(out, "chunks", status.chunks);
    gfs_json_out_u64(out, "slots", count_slots(view->map, number));
    gfs_json_out_u64(out, "read_errors", status.read_errors);
    gfs_json_out_u64(out, "healed", open == NULL ? 0 : atomic_load(&open->healed));
    gfs_json_out_end_object(out);
}

void pool_disks_json(struct pool *pool, struct gfs_json_out *out, const char *name)
{
    GFS_CLEANUP(put_view) struct pool_view *view = pool_view_get(pool);
    gfs_json_out_array(out, name);
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        put_disk(view, (uint16_t)i, out);
    }
    gfs_json_out_end_array(out);
}

/* ---- groups ---- */

/* Degraded: a fragment may be missing. Moving: all are there, some not where they belong yet. */
static const char *group_state(const struct pool_view *view, const struct pool_group *group)
{
    bool is_moving = false;
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        struct pool_slot slot = group->slots[i];
        bool is_rebuilt = slot.is_filling && slot.from == POOL_NO_DISK;
        bool has_from = slot.from == POOL_NO_DISK || pool_disk_is_usable(view->disks[slot.from]);
        if (is_rebuilt || !has_from || view->map->disks[slot.disk].is_behind ||
            !pool_disk_is_usable(view->disks[slot.disk])) {
            return "degraded";
        }
        is_moving |= slot.is_filling;
    }
    return is_moving ? "moving" : "healthy";
}

void pool_groups_json(struct pool *pool, struct gfs_json_out *out, const char *name)
{
    GFS_CLEANUP(put_view) struct pool_view *view = pool_view_get(pool);
    gfs_json_out_array(out, name);
    for (uint32_t g = 0; g < view->map->group_count; g++) {
        const struct pool_group *group = &view->map->groups[g];
        gfs_json_out_object(out, NULL);
        gfs_json_out_u64(out, "group", g);
        put_profile(out, "profile", group->profile);
        gfs_json_out_text(out, "state", group_state(view, group));
        gfs_json_out_array(out, "slots");
        for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
            gfs_json_out_object(out, NULL);
            gfs_json_out_u64(out, "disk", group->slots[i].disk);
            put_number(out, "from", group->slots[i].from);
            gfs_json_out_bool(out, "is_filling", group->slots[i].is_filling);
            gfs_json_out_end_object(out);
        }
        gfs_json_out_end_array(out);
        gfs_json_out_end_object(out);
    }
    gfs_json_out_end_array(out);
}

/* ---- one chunk ---- */

/* Reads all of a fragment from the medium. */
static const char *verify(struct chunk_store *store, struct chunk_pin *pin)
{
    GFS_FREE char *bytes = gfs_alloc_aligned(4096, VERIFY_STEP);
    for (uint32_t at = 0; at < pin->len; at += VERIFY_STEP) {
        uint32_t len = GFS_MIN((uint32_t)VERIFY_STEP, pin->len - at);
        if (store->ops->read(store, pin, at, len, bytes, CHUNK_READ_MEDIUM) != GFS_OK) {
            return "damaged";
        }
    }
    return "ok";
}

/* On a disk that is only read: "readable", or what look says. Not read here: it may hang. */
static const char *look_last(struct pool_disk *disk, struct chunk_id fragment, uint32_t *ret_len)
{
    struct chunk_pin pin = {0};
    *ret_len = 0;
    if (!pool_disk_is_readable(disk) ||
        disk->store->ops->pin(disk->store, fragment, &pin) != GFS_OK) {
        return "unreachable";
    }
    *ret_len = pin.len;
    disk->store->ops->unpin(disk->store, &pin);
    return "readable";
}

/* "ok", "damaged", "missing", "unreachable". */
static const char *look(struct pool_disk *disk, struct chunk_id fragment, bool must_verify,
                        uint32_t *ret_len)
{
    *ret_len = 0;
    if (!pool_disk_is_usable(disk)) {
        return "unreachable";
    }
    struct chunk_pin held = {0}, *pin = &held;
    enum gfs_err err = disk->store->ops->pin(disk->store, fragment, pin);
    if (err != GFS_OK) {
        return err == GFS_NOT_FOUND ? "missing" : "damaged"; /* that: listed, and not there */
    }
    *ret_len = pin->len;
    const char *state = must_verify ? verify(disk->store, pin) : "ok";
    disk->store->ops->unpin(disk->store, pin);
    return state;
}

/* Repair hears of what is bad, and of what is missing and no pass is going to bring. */
static void tell_repair(struct pool_view *view, const struct pool_group *group, struct chunk_id id,
                        uint32_t slot, const char *state)
{
    const struct pool_slot *where = &group->slots[slot];
    bool is_bad = strcmp(state, "damaged") == 0;
    bool is_awaited = where->is_filling || view->map->disks[where->disk].is_behind;
    if (is_bad || (strcmp(state, "missing") == 0 && !is_awaited)) {
        struct pool_suspect suspect = {
            .id = id, .disk = where->disk, .slot = (uint8_t)slot, .is_bad = is_bad};
        pool_suspect_add(view->pool, &suspect);
    }
}

static void put_fragment(struct pool_view *view, const struct pool_group *group, struct chunk_id id,
                         uint32_t slot, bool must_verify, struct gfs_json_out *out)
{
    struct chunk_id fragment = pool_fragment_id(group, id, slot);
    uint16_t disk = group->slots[slot].disk, from = group->slots[slot].from;
    uint32_t len = 0;
    const char *state = look(view->disks[disk], fragment, must_verify, &len);
    tell_repair(view, group, id, slot, state);
    if (strcmp(state, "ok") != 0 && from != POOL_NO_DISK) {
        uint32_t from_len = 0;
        const char *from_state = look(view->disks[from], fragment, must_verify, &from_len);
        if (strcmp(from_state, "ok") == 0) { /* not moved yet */
            disk = from;
            state = from_state;
            len = from_len;
        }
    }
    if (strcmp(state, "unreachable") == 0) {
        state = look_last(view->fallbacks[disk], fragment, &len);
    }
    gfs_json_out_object(out, NULL);
    gfs_json_out_u64(out, "disk", disk);
    gfs_json_out_u64(out, "slot", slot);
    gfs_json_out_u64(out, "length", len);
    gfs_json_out_text(out, "state", state);
    gfs_json_out_end_object(out);
}

void pool_chunk_json(struct pool *pool, struct chunk_id id, bool must_verify,
                     struct gfs_json_out *out, const char *name)
{
    struct pool_view *view = pool_view_get_pinned(pool); /* reading may hang */
    const struct pool_group *group = pool_view_group(view, id);
    unsigned width = group == NULL ? 0 : pool_profile_width(group->profile);
    gfs_json_out_array(out, name);
    for (uint32_t slot = 0; slot < width; slot++) {
        put_fragment(view, group, id, slot, must_verify, out);
    }
    gfs_json_out_end_array(out);
    pool_view_unpin(view);
}
