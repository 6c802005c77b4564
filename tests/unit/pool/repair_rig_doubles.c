/* Stand-ins for the watch and for what reads fragments. */
#include "tests/unit/pool/repair_rig.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"

static struct repair_rig *rig_of(struct pool *pool)
{
    return GFS_CONTAINER_OF(pool, struct repair_rig, pool);
}

/* ---- what the watch does, at once ---- */

enum gfs_err pool_change_map(struct pool *pool, pool_change_fn change, void *arg,
                             struct gfs_error *error)
{
    struct repair_rig *rig = rig_of(pool);
    (void)pthread_mutex_lock(&pool->change_lock);
    if (rig->change_err != GFS_OK) {
        (void)pthread_mutex_unlock(&pool->change_lock);
        return gfs_fail(error, rig->change_err, "refused by the test");
    }
    struct pool_view *before = pool_view_get(pool);
    struct pool_map *map = pool_map_copy(before->map);
    pool_view_put(before);
    enum gfs_err err = change(arg, map, error);
    if (err == GFS_OK) {
        map->version++;
        map_rig_check(map);
        pool_view_set(pool, pool_view_new(pool, map, rig->disks));
    } else {
        pool_map_free(map);
    }
    (void)pthread_mutex_lock(&rig->lock);
    rig->changes += err == GFS_OK;
    gfs_cond_broadcast(&rig->changed);
    (void)pthread_mutex_unlock(&rig->lock);
    (void)pthread_mutex_unlock(&pool->change_lock);
    pool_reconcile_wake(pool);
    return err;
}

void pool_disk_drop(struct pool *pool, struct pool_disk *disk, enum gfs_err err, const char *what)
{
    (void)err;
    (void)what;
    struct repair_rig *rig = rig_of(pool);
    atomic_store(&disk->is_dropped, true);
    (void)pthread_mutex_lock(&rig->lock);
    rig->drops++;
    (void)pthread_mutex_unlock(&rig->lock);
}

static enum gfs_err set_behind(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)error;
    struct pool_disk *disk = arg;
    atomic_fetch_add(&disk->behind_notes, 1);
    map->disks[disk->number].is_behind = true;
    return GFS_OK;
}

void pool_note_behind(struct pool *pool, struct pool_disk *disk,
                      void (*then)(void *arg, enum gfs_err err), void *arg)
{
    then(arg, pool_change_map(pool, set_behind, disk, NULL));
}

void pool_mirror_failed(struct pool *pool, const char *dir)
{
    (void)dir;
    struct repair_rig *rig = rig_of(pool);
    (void)pthread_mutex_lock(&rig->lock);
    rig->mirror_failures++;
    gfs_cond_broadcast(&rig->changed);
    (void)pthread_mutex_unlock(&rig->lock);
}

struct pool_reader *pool_reader_new(struct pool_disk *disk)
{
    (void)disk;
    return NULL;
}

void pool_reader_free(struct pool_reader *reader)
{
    GFS_ASSERT(reader == NULL);
}

/* ---- a fragment, whole in memory ---- */

struct pool_fragment {
    struct pool *pool;
    struct chunk_id id;
    uint8_t *bytes;
    uint32_t len, at;
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t owner_len;
};

/* The fragment as that disk gives it. NOT_FOUND; CORRUPT. */
static enum gfs_err fetch(struct pool_disk *disk, struct chunk_id id, struct pool_fragment *ret)
{
    if (!pool_disk_is_usable(disk)) {
        return GFS_NOT_FOUND;
    }
    struct chunk_pin pin;
    if (disk->store->ops->pin(disk->store, id, &pin) != GFS_OK) {
        return GFS_NOT_FOUND;
    }
    ret->len = pin.len;
    ret->bytes = gfs_realloc(ret->bytes, pin.len);
    enum gfs_err err = disk->store->ops->read(disk->store, &pin, 0, pin.len, ret->bytes, 0);
    if (err == GFS_OK) {
        err = disk->store->ops->owner(disk->store, &pin, ret->owner, &ret->owner_len);
    }
    disk->store->ops->unpin(disk->store, &pin);
    return err == GFS_OK ? GFS_OK : GFS_CORRUPT;
}

static enum gfs_err fetch_any(struct pool_view *view, struct chunk_id id, uint16_t avoid,
                              struct pool_fragment *ret)
{
    enum gfs_err result = GFS_NOT_FOUND;
    for (uint16_t d = 0; d < view->map->disk_count; d++) {
        enum gfs_err err = d == avoid ? GFS_NOT_FOUND : fetch(view->disks[d], id, ret);
        if (err == GFS_OK) {
            return GFS_OK;
        }
        result = err == GFS_CORRUPT ? err : result;
    }
    return result;
}

static void rebuild(struct pool *pool, struct pool_profile profile, uint32_t have, uint32_t slot,
                    const struct pool_fragment *parts, struct pool_fragment *ret)
{
    struct ec_plan plan;
    enum gfs_err err = ec_plan_make(pool_coder(pool, profile), have, 1U << slot, &plan);
    GFS_ASSERT(err == GFS_OK);
    const uint8_t *sources[EC_CELLS_MAX];
    for (unsigned i = 0; i < plan.source_count; i++) {
        sources[i] = parts[plan.sources[i]].bytes;
    }
    const struct pool_fragment *any = &parts[plan.sources[0]];
    struct fragment_owner owner;
    struct gfs_slice rest;
    err = pool_fragment_owner_parse(gfs_slice_of(any->owner, any->owner_len), &owner, &rest);
    GFS_ASSERT(err == GFS_OK);
    ret->len = any->len;
    ret->bytes = gfs_realloc(ret->bytes, any->len);
    ret->owner_len = pool_fragment_owner_write(profile, slot, owner.chunk_len, rest, ret->owner);
    uint8_t *target = ret->bytes;
    ec_plan_run(&plan, any->len, sources, &target);
}

static enum gfs_err fetch_others(struct pool *pool, struct pool_view *view, struct chunk_id id,
                                 uint32_t slot, struct pool_fragment *ret)
{
    struct pool_profile profile = pool_view_group(view, id)->profile;
    struct pool_fragment parts[POOL_WIDTH_MAX] = {0};
    uint32_t have = 0;
    bool is_listed = false;
    for (uint32_t i = 0; i < pool_profile_width(profile); i++) {
        enum gfs_err err = i == slot ? GFS_NOT_FOUND
                                     : fetch_any(view, chunk_id_at(id, i), POOL_NO_DISK, &parts[i]);
        have |= err == GFS_OK ? 1U << i : 0;
        is_listed |= err != GFS_NOT_FOUND;
    }
    bool is_enough = __builtin_popcount(have) >= profile.k;
    if (is_enough) {
        rebuild(pool, profile, have, slot, parts, ret);
    }
    for (unsigned i = 0; i < POOL_WIDTH_MAX; i++) {
        free(parts[i].bytes);
    }
    return is_enough ? GFS_OK : is_listed ? GFS_CORRUPT : GFS_NOT_FOUND;
}

static void call_hook(struct repair_rig *rig, void (*hook)(struct repair_rig *, struct chunk_id),
                      struct chunk_id id)
{
    if (hook != NULL) {
        (void)pthread_mutex_lock(&rig->hook_lock);
        hook(rig, id);
        (void)pthread_mutex_unlock(&rig->hook_lock);
    }
}

enum gfs_err pool_fragment_open(struct pool *pool, struct pool_view *view, struct chunk_id id,
                                uint32_t slot, uint16_t avoid, struct pool_fragment **ret)
{
    struct repair_rig *rig = rig_of(pool);
    const struct pool_group *group = pool_view_group(view, id);
    call_hook(rig, rig->on_open, id);
    if (rig->open_err != GFS_OK) {
        return rig->open_err;
    }
    struct pool_fragment *fragment = gfs_alloc(sizeof *fragment);
    fragment->pool = pool;
    fragment->id = id;
    enum gfs_err err = fetch_any(view, pool_fragment_id(group, id, slot), avoid, fragment);
    if (err != GFS_OK && group->profile.kind == POOL_EC) {
        enum gfs_err other_err = fetch_others(pool, view, id, slot, fragment);
        err = other_err == GFS_NOT_FOUND ? err : other_err;
    }
    for (unsigned i = 0; i < pool_profile_width(group->profile) && err == GFS_CORRUPT; i++) {
        uint16_t disk = group->slots[i].disk;
        bool is_gone = view->map->disks[disk].state == POOL_DISK_FAILED;
        err = is_gone || pool_disk_is_usable(view->disks[disk]) ? err : GFS_UNREACHABLE;
    }
    if (err != GFS_OK) {
        pool_fragment_close(fragment);
        return err;
    }
    *ret = fragment;
    return GFS_OK;
}

uint32_t pool_fragment_bytes(const struct pool_fragment *fragment)
{
    return fragment->len;
}

struct gfs_slice pool_fragment_owner(const struct pool_fragment *fragment)
{
    return gfs_slice_of(fragment->owner, fragment->owner_len);
}

enum gfs_err pool_fragment_read(struct pool_fragment *fragment, void *ret_bytes, size_t size,
                                size_t *ret_len)
{
    struct repair_rig *rig = rig_of(fragment->pool);
    call_hook(rig, rig->on_read, fragment->id);
    *ret_len = GFS_MIN(size, (size_t)(fragment->len - fragment->at));
    memcpy(ret_bytes, fragment->bytes + fragment->at, *ret_len);
    fragment->at += (uint32_t)*ret_len;
    return GFS_OK;
}

void pool_fragment_close(struct pool_fragment *fragment)
{
    if (fragment != NULL) {
        free(fragment->bytes);
        free(fragment);
    }
}
