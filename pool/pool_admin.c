/* What an operator does to the disks of a pool: each call checks what it is given, opens what has
 * to be opened, and makes one new map. Data moves afterwards, by the reconcile thread.
 *
 * A directory is marked before a store is made in it (pool_disk_open), so a call that was
 * interrupted or failed leaves a directory that counts as empty. */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"
#include "pool/pool_former.h"
#include "pool/pool_map_file.h"
#include "pool/pool_place.h"
#include "pool/pool_plan.h"
#include "pool/pool_state.h"
#include "pool/pool_where.h"

enum { CLOSING_WAIT_MS = 50, CLOSING_WAITS = 400 };

static void put_view(struct pool_view **view)
{
    if (*view != NULL) {
        pool_view_put(*view);
    }
}

static void unpin_view(struct pool_view **view)
{
    pool_view_unpin(*view);
}

static void unref_disk(struct pool_disk *disk)
{
    if (disk != NULL) {
        pool_disk_unref(disk);
    }
}

/* ---- naming disks and places ---- */

static uint16_t find_place(struct pool *pool, const struct pool_map *map, const char *path)
{
    for (int must_ask = 0; must_ask < 2; must_ask++) {
        for (uint16_t i = 0; i < map->disk_count; i++) {
            const struct pool_map_disk *disk = &map->disks[i];
            if (disk->state == POOL_DISK_REMOVED || disk->path[0] == '\0') {
                continue;
            }
            if (must_ask ? pool_where_is(pool, map, i, path) : strcmp(disk->path, path) == 0) {
                return i;
            }
        }
    }
    return POOL_NO_DISK;
}

/* A disk by number, id or path. */
static enum gfs_err find_disk(struct pool *pool, const struct pool_map *map, const char *text,
                              uint16_t *ret, struct gfs_error *error)
{
    uint64_t number;
    uint8_t id[16];
    uint16_t found = POOL_NO_DISK;
    if (gfs_parse_u64(gfs_slice_str(text), POOL_DISKS_MAX - 1, &number) == GFS_OK) {
        found = number < map->disk_count ? (uint16_t)number : POOL_NO_DISK;
    } else if (gfs_uuid_parse(gfs_slice_str(text), id)) {
        found = pool_map_find_disk(map, id);
    } else if (text[0] == '/') {
        found = find_place(pool, map, text);
    }
    if (found == POOL_NO_DISK) {
        return gfs_fail(error, GFS_NOT_FOUND,
                        "the pool has no disk \"%.100s\" (a number, an id or a path)", text);
    }
    if (map->disks[found].state == POOL_DISK_REMOVED) {
        return gfs_fail(error, GFS_NOT_FOUND, "disk %u was removed from the pool", found);
    }
    *ret = found;
    return GFS_OK;
}

/* Absolute, UTF-8, without slashes at its end. */
static enum gfs_err take_path(const char *path, char ret[POOL_PATH_LEN_MAX],
                              struct gfs_error *error)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    if (len >= POOL_PATH_LEN_MAX || path[0] != '/' || !gfs_is_utf8(gfs_slice_of(path, len))) {
        return gfs_fail(error, GFS_INVALID,
                        "a disk's path begins with a slash, is UTF-8 and shorter than %d bytes",
                        POOL_PATH_LEN_MAX);
    }
    memcpy(ret, path, len);
    ret[len] = '\0';
    return GFS_OK;
}

/* Two disks on one file system fail and fill together: allowed, for trying things out. */
static void warn_if_shared(struct pool *pool, const struct pool_map *map, const char *path)
{
    struct stat own, other;
    for (uint16_t i = 0; i < map->disk_count && stat(path, &own) == 0; i++) {
        const struct pool_map_disk *disk = &map->disks[i];
        if (pool_map_disk_is_in_use(disk) && strcmp(disk->path, path) != 0 &&
            pool_where_stat(pool, i, disk->path, &other) && own.st_dev == other.st_dev) {
            char quoted[256];
            gfs_log(GFS_LOG_WARN,
                    "op=disk-add path=%s disk=%u msg=\"on the same file system as this disk: they "
                    "will fail and fill together\"",
                    gfs_log_quote(gfs_slice_str(path), quoted, sizeof quoted), i);
            return;
        }
    }
}

static void log_done(const char *op, uint16_t number, const char *path)
{
    char quoted[256];
    gfs_log(GFS_LOG_INFO, "op=%s disk=%u path=%s", op, number,
            gfs_log_quote(gfs_slice_str(path), quoted, sizeof quoted));
}

/* ---- a directory becomes a disk ---- */

/* Plain data. What a new map is made from. */
struct newcomer {
    struct pool_map_disk entry;
    struct pool_disk *disk; /* one reference */
    bool is_group0_used;
    uint16_t number; /* of the new map */
    uint16_t old;    /* the disk it replaces */
    bool is_old_lost;
    bool is_share_due; /* what the old one held is on the others already */
    bool is_own_place; /* the old disk's directory, emptied */
};

static enum gfs_err check_fresh(const struct pool_found *found, struct gfs_error *error)
{
    if (found->is_missing) {
        return gfs_fail(error, GFS_INVALID, "%s", found->error.text);
    }
    if (!found->is_empty && !found->is_begun) {
        return gfs_fail(error, GFS_INVALID,
                        "%.120s is not empty: only an empty directory becomes a disk", found->path);
    }
    return GFS_OK;
}

/* Whether any chunk of a store from before the pool is there. Memory only. */
static bool is_group0_used(const struct pool_view *view)
{
    const struct pool_group *group = &view->map->groups[0];
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        const struct pool_disk *disk = view->disks[group->slots[i].disk];
        for (uint32_t part = 0; part < CHUNK_LIST_PARTS && pool_disk_is_usable(disk); part++) {
            GFS_FREE struct chunk_listed *listed = NULL;
            size_t count = 0;
            disk->store->ops->list(disk->store, part, &listed, &count);
            for (size_t k = 0; k < count; k++) {
                if (chunk_id_group(listed[k].id) == 0) {
                    return true;
                }
            }
        }
    }
    return false;
}

/* Makes a store in the empty directory entry.path. */
static enum gfs_err open_fresh(struct pool *pool, const struct pool_found *found,
                               struct newcomer *ret, struct gfs_error *error)
{
    enum gfs_err err = check_fresh(found, error);
    if (err == GFS_OK) {
        err = pool_disk_open(pool, ret->entry.path, &ret->disk, error);
    }
    if (err == GFS_OK) {
        pool_disk_describe(ret->disk, &ret->entry);
    }
    return err;
}

/* What follows every change of the disks. */
static void settle(struct pool_map *map, const struct newcomer *newcomer)
{
    (void)pool_plan_place(map);
    (void)pool_plan_widen_group0(map, newcomer->is_group0_used);
    (void)pool_place_classes(map);
    pool_plan_log_disks(map);
}

/* ---- add ---- */

static enum gfs_err change_add(void *arg, struct pool_map *map, struct gfs_error *error)
{
    struct newcomer *newcomer = arg;
    enum gfs_err err = pool_plan_add_disk(map, &newcomer->entry, &newcomer->number, error);
    if (err == GFS_OK) {
        settle(map, newcomer);
    }
    return err;
}

/* A disk that was called failed is there again, whole. */
static enum gfs_err change_back(void *arg, struct pool_map *map, struct gfs_error *error)
{
    struct newcomer *newcomer = arg;
    newcomer->number = pool_map_find_disk(map, newcomer->entry.id);
    if (newcomer->number == POOL_NO_DISK ||
        map->disks[newcomer->number].state != POOL_DISK_FAILED) {
        return gfs_fail(error, GFS_CONFLICT, "%.120s is in use meanwhile", newcomer->entry.path);
    }
    struct pool_map_disk *disk = &map->disks[newcomer->number];
    (void)snprintf(disk->path, sizeof disk->path, "%s", newcomer->entry.path);
    disk->state = POOL_DISK_ACTIVE;
    disk->is_behind = true;
    disk->is_mount = newcomer->entry.is_mount;
    disk->capacity = newcomer->entry.capacity;
    settle(map, newcomer);
    return GFS_OK;
}

/* A store with an identity: only a disk of this pool that failed, and is no older copy of itself,
 * may come back. */
static enum gfs_err check_back(const struct pool_map *map, const struct pool_found *found,
                               struct gfs_error *error)
{
    uint16_t number = pool_map_find_disk(map, found->id);
    if (strcmp(found->cluster, map->cluster) != 0 || number == POOL_NO_DISK) {
        return gfs_fail(error, GFS_CONFLICT,
                        "%.120s holds a store with data that is no disk of this pool", found->path);
    }
    const struct pool_map_disk *disk = &map->disks[number];
    if (disk->state != POOL_DISK_FAILED) {
        return gfs_fail(error, GFS_EXISTS, "%.120s is disk %u of this pool, which is %s",
                        found->path, number, pool_map_state_text(disk->state));
    }
    return GFS_OK; /* whether it is an older copy of itself sees pool_disk_open */
}

/* What was open in the place is closed by its last user. */
static void wait_for_closing(struct pool *pool)
{
    const struct timespec pause = {.tv_nsec = CLOSING_WAIT_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
    pool_disk_reap(pool);
}

static enum gfs_err open_back(struct pool *pool, struct newcomer *ret, struct gfs_error *error)
{
    enum gfs_err err = pool_disk_open(pool, ret->entry.path, &ret->disk, error);
    if (err == GFS_OK) {
        pool_disk_describe(ret->disk, &ret->entry);
    }
    return err;
}

static enum gfs_err add(struct pool *pool, const struct pool_found *found,
                        struct newcomer *newcomer, struct gfs_error *error)
{
    GFS_CLEANUP(unpin_view) struct pool_view *view = pool_view_get_pinned(pool);
    const struct pool_map *map = view->map;
    bool is_back = found->has_identity && !found->is_begun;
    uint16_t place = find_place(pool, map, found->path);
    enum gfs_err err = GFS_OK;
    if (is_back) {
        err = check_back(map, found, error);
    } else if (place != POOL_NO_DISK) {
        err = gfs_fail(error, GFS_EXISTS,
                       "%.120s is the place of disk %u, which is %s: replace that one", found->path,
                       place, pool_map_state_text(map->disks[place].state));
    }
    if (err != GFS_OK) {
        return err;
    }
    if (is_back) { /* it may be kept open to be read */
        pool_former_let_go(pool, pool_map_find_disk(map, found->id));
    }
    err = is_back ? open_back(pool, newcomer, error) : open_fresh(pool, found, newcomer, error);
    if (err != GFS_OK) {
        return err;
    }
    newcomer->is_group0_used = is_group0_used(view);
    warn_if_shared(pool, map, found->path);
    return pool_change_map_with(pool, newcomer->disk, is_back ? change_back : change_add, newcomer,
                                error);
}

enum gfs_err pool_disk_add(struct pool *pool, const char *path, struct gfs_error *error)
{
    struct newcomer newcomer = {.number = POOL_NO_DISK};
    enum gfs_err err = take_path(path, newcomer.entry.path, error);
    if (err != GFS_OK) {
        return err;
    }
    struct pool_found found;
    pool_found_probe(newcomer.entry.path, &found);
    err = add(pool, &found, &newcomer, error);
    for (int i = 0; i < CLOSING_WAITS && err == GFS_BUSY && newcomer.disk == NULL; i++) {
        wait_for_closing(pool);
        err = add(pool, &found, &newcomer, error);
    }
    pool_found_fini(&found);
    unref_disk(newcomer.disk);
    if (err == GFS_OK) {
        log_done("disk-add", newcomer.number, newcomer.entry.path);
    }
    return err;
}

/* ---- replace ---- */

static enum gfs_err change_replace(void *arg, struct pool_map *map, struct gfs_error *error)
{
    struct newcomer *newcomer = arg;
    enum gfs_err err = pool_plan_add_disk(map, &newcomer->entry, &newcomer->number, error);
    if (err == GFS_OK) {
        err = pool_plan_replace(map, newcomer->old, newcomer->number, newcomer->is_old_lost, error);
    }
    if (err == GFS_OK) {
        map->is_rebalancing |= newcomer->is_share_due;
        settle(map, newcomer);
    }
    return err;
}

static enum gfs_err check_replace(struct pool *pool, const struct pool_map *map,
                                  const struct pool_found *found, uint16_t old,
                                  struct gfs_error *error)
{
    uint16_t place = find_place(pool, map, found->path);
    if (map->disks[old].path[0] == '\0') {
        return gfs_fail(error, GFS_EXISTS,
                        "disk %u was replaced or given up already (an empty directory in a lost "
                        "disk's place is taken in by itself)",
                        old);
    }
    if (place != POOL_NO_DISK && place != old) {
        return gfs_fail(error, GFS_EXISTS, "%.120s is the place of disk %u", found->path, place);
    }
    if (place == old && map->disks[old].is_mount && !found->is_mount) {
        return gfs_fail(error, GFS_INVALID,
                        "%.120s was a mount point and is none: is the new disk mounted?",
                        found->path);
    }
    return GFS_OK;
}

/* One attempt. BUSY: what was in the place before is still being used. */
static enum gfs_err replace(struct pool *pool, const char *old, const struct pool_found *found,
                            struct newcomer *newcomer, struct gfs_error *error)
{
    GFS_CLEANUP(unpin_view) struct pool_view *view = pool_view_get_pinned(pool);
    enum gfs_err err = find_disk(pool, view->map, old, &newcomer->old, error);
    if (err == GFS_OK) {
        err = check_replace(pool, view->map, found, newcomer->old, error);
    }
    if (err == GFS_OK) {
        err = check_fresh(found, error);
    }
    if (err != GFS_OK) {
        return err;
    }
    const struct pool_map_disk *entry = &view->map->disks[newcomer->old];
    struct pool_disk *disk = view->disks[newcomer->old];
    bool has_failed = entry->state == POOL_DISK_FAILED;
    newcomer->is_own_place = pool_where_is(pool, view->map, newcomer->old, found->path);
    if (newcomer->is_own_place && pool_disk_is_usable(disk)) {
        pool_disk_distrust(pool, disk, GFS_IO, "emptied");
    }
    if (newcomer->is_own_place) { /* what was there may be kept open to be read */
        pool_former_let_go(pool, newcomer->old);
    }
    newcomer->is_old_lost = has_failed || newcomer->is_own_place || !pool_disk_is_usable(disk);
    newcomer->is_group0_used = is_group0_used(view);
    err = open_fresh(pool, found, newcomer, error);
    if (err != GFS_OK) {
        return err;
    }
    warn_if_shared(pool, view->map, found->path);
    newcomer->is_share_due = has_failed;
    err = pool_change_map_with(pool, newcomer->disk, change_replace, newcomer, error);
    return err;
}

/* Whether the empty directory in the disk's own place was taken in meanwhile (pool_patrol.c). */
static bool is_taken_in(struct pool *pool, struct newcomer *newcomer)
{
    GFS_CLEANUP(unpin_view) struct pool_view *view = pool_view_get_pinned(pool);
    newcomer->number = find_place(pool, view->map, newcomer->entry.path);
    return newcomer->is_own_place && newcomer->number != POOL_NO_DISK &&
           newcomer->number != newcomer->old && view->map->disks[newcomer->old].path[0] == '\0' &&
           view->map->disks[newcomer->number].state == POOL_DISK_ACTIVE;
}

static enum gfs_err try_replace(struct pool *pool, const char *old, struct newcomer *newcomer,
                                struct gfs_error *error)
{
    struct pool_found found;
    pool_found_probe(newcomer->entry.path, &found);
    enum gfs_err err = replace(pool, old, &found, newcomer, error);
    pool_found_fini(&found);
    return err;
}

enum gfs_err pool_disk_replace(struct pool *pool, const char *disk, const char *path,
                               struct gfs_error *error)
{
    struct newcomer newcomer = {.number = POOL_NO_DISK, .old = POOL_NO_DISK};
    enum gfs_err err = take_path(path, newcomer.entry.path, error);
    if (err != GFS_OK) {
        return err;
    }
    err = try_replace(pool, disk, &newcomer, error);
    /* The store that was in the same place is closed by its last user: that takes a moment, and
     * then whoever comes first takes the directory in. */
    for (int i = 0; i < CLOSING_WAITS && err == GFS_BUSY && newcomer.disk == NULL; i++) {
        wait_for_closing(pool);
        err = is_taken_in(pool, &newcomer) ? GFS_OK : try_replace(pool, disk, &newcomer, error);
    }
    if (err == GFS_EXISTS && is_taken_in(pool, &newcomer)) {
        err = GFS_OK;
    }
    unref_disk(newcomer.disk);
    if (err == GFS_OK) {
        log_done("disk-replace", newcomer.number, newcomer.entry.path);
    }
    return err;
}

/* ---- drain, set, rebalance ---- */

static enum gfs_err find_in_force(struct pool *pool, const char *text, uint16_t *ret,
                                  struct gfs_error *error)
{
    GFS_CLEANUP(unpin_view) struct pool_view *view = pool_view_get_pinned(pool);
    return find_disk(pool, view->map, text, ret, error);
}

/* Plain data. */
struct disk_change {
    uint16_t number;
    const struct pool_disk_settings *settings; /* of a set */
};

static enum gfs_err change_drain(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const struct disk_change *change = arg;
    if (map->disks[change->number].state == POOL_DISK_DRAINING) {
        return gfs_fail(error, GFS_EXISTS, "disk %u is being drained already", change->number);
    }
    return pool_plan_drain(map, change->number, error);
}

enum gfs_err pool_disk_drain(struct pool *pool, const char *disk, struct gfs_error *error)
{
    struct disk_change change = {.number = POOL_NO_DISK};
    enum gfs_err err = find_in_force(pool, disk, &change.number, error);
    if (err == GFS_OK) {
        err = pool_change_map(pool, change_drain, &change, error);
    }
    if (err == GFS_OK) {
        log_done("disk-drain", change.number, disk);
    }
    return err;
}

static enum gfs_err change_set(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const struct disk_change *change = arg;
    struct pool_map_disk *disk = &map->disks[change->number];
    const uint64_t *reserved = change->settings->reserved;
    bool is_known = disk->capacity != 0;
    if (reserved != NULL && *reserved >= (is_known ? disk->capacity : INT64_MAX)) {
        return gfs_fail(error, GFS_INVALID,
                        "disk %u has %llu bytes, all of them cannot be reserved: make it read-only "
                        "or drain it",
                        change->number, (unsigned long long)disk->capacity);
    }
    if (reserved != NULL) {
        disk->reserved = *reserved;
    }
    const bool *is_read_only = change->settings->is_read_only;
    if (is_read_only != NULL && *is_read_only) {
        enum gfs_err err = pool_plan_read_only(map, change->number, error); /* moves the disks */
        if (err != GFS_OK) {
            return err;
        }
    } else if (is_read_only != NULL) {
        disk->is_read_only = false;
    }
    (void)pool_plan_place(map);
    pool_plan_log_disks(map);
    return GFS_OK;
}

enum gfs_err pool_disk_set(struct pool *pool, const char *disk,
                           const struct pool_disk_settings *settings, struct gfs_error *error)
{
    struct disk_change change = {.number = POOL_NO_DISK, .settings = settings};
    enum gfs_err err = find_in_force(pool, disk, &change.number, error);
    if (err == GFS_OK) {
        err = pool_change_map(pool, change_set, &change, error);
    }
    if (err == GFS_OK) {
        log_done("disk-set", change.number, disk);
    }
    return err;
}

static enum gfs_err change_rebalancing(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)error;
    const bool *is_wanted = arg;
    map->is_rebalancing = *is_wanted;
    return GFS_OK;
}

static enum gfs_err set_rebalancing(struct pool *pool, bool is_wanted, struct gfs_error *error)
{
    GFS_CLEANUP(put_view) struct pool_view *view = pool_view_get(pool);
    if (view->is_read_only) {
        return gfs_fail(error, GFS_UNREACHABLE, "nothing can be changed: %s",
                        view->read_only_reason);
    }
    if (view->map->is_rebalancing == is_wanted) {
        return GFS_OK;
    }
    return pool_change_map(pool, change_rebalancing, &is_wanted, error);
}

enum gfs_err pool_rebalance_start(struct pool *pool, struct gfs_error *error)
{
    return set_rebalancing(pool, true, error);
}

enum gfs_err pool_rebalance_stop(struct pool *pool, struct gfs_error *error)
{
    return set_rebalancing(pool, false, error);
}
