/* Opening one disk while the pool runs: a new one, or one that comes back; and who keeps it from
 * that. */
#include <stdio.h>

#include "libgoodfs/mem.h"
#include "pool/pool_map_file.h"
#include "pool/pool_map_write.h"
#include "pool/pool_state.h"

bool pool_disk_is_held(struct pool *pool, const char *path)
{
    struct pool_disk *held = NULL;
    (void)pthread_mutex_lock(&pool->view_lock);
    for (struct pool_disk *disk = pool->open_disks; disk != NULL && held == NULL;
         disk = disk->next_open) {
        held = strcmp(disk->path, path) == 0 && pool_disk_ref_if_used(disk) ? disk : NULL;
    }
    (void)pthread_mutex_unlock(&pool->view_lock);
    if (held == NULL) {
        return false;
    }
    bool is_stuck = atomic_load(&held->owed) != 0 || pool_reader_is_stuck(held->reader);
    pool_disk_unref(held);
    return !is_stuck;
}

void pool_disk_describe(const struct pool_disk *disk, struct pool_map_disk *ret)
{
    struct chunk_store_status status = {0};
    struct pool_found found;
    disk->store->ops->status(disk->store, &status);
    pool_found_probe(disk->path, &found);
    *ret = (struct pool_map_disk){
        .state = POOL_DISK_ACTIVE,
        .is_mount = found.is_mount,
        .capacity = status.space_total,
        .reserved = disk->pool->options.reserved,
    };
    pool_found_fini(&found);
    memcpy(ret->id, disk->id, sizeof ret->id);
    (void)snprintf(ret->path, sizeof ret->path, "%s", disk->path);
}

static enum gfs_err judge_known(const struct pool_map *map, uint16_t number,
                                const struct pool_found *found, struct gfs_error *error)
{
    const struct pool_map_disk *disk = &map->disks[number];
    if (disk->state == POOL_DISK_REMOVED) {
        return gfs_fail(error, GFS_CONFLICT, "%.120s was disk %u, which was taken out for good",
                        found->path, number);
    }
    if (found->error.code != GFS_OK && found->error.code != GFS_CORRUPT) {
        return gfs_fail(error, found->error.code, "%s", found->error.text);
    }
    uint64_t own = found->map == NULL ? 0 : found->map->version;
    if (found->error.code == GFS_OK && own < disk->seen_version) {
        return gfs_fail(error, GFS_CONFLICT,
                        "%.100s is an older copy of disk %u: its map is version %llu, and the disk "
                        "had version %llu already",
                        found->path, number, (unsigned long long)own,
                        (unsigned long long)disk->seen_version);
    }
    if (found->map != NULL && found->map->epoch > map->epoch) {
        return gfs_fail(error, GFS_CONFLICT,
                        "%.100s was used by a later start of the pool, without this one's disks",
                        found->path);
    }
    return GFS_OK;
}

/* Nothing of another cluster, nothing old, nothing that holds something else. */
static enum gfs_err judge(const struct pool_map *map, const struct pool_found *found,
                          struct gfs_error *error)
{
    bool is_fresh = found->is_empty || found->is_begun ||
                    (found->is_missing && found->error.code == GFS_NOT_FOUND);
    if (found->has_identity && strcmp(found->cluster, map->cluster) != 0) {
        return gfs_fail(error, GFS_CONFLICT, "%.100s belongs to cluster %s, not to %s", found->path,
                        found->cluster, map->cluster);
    }
    uint16_t number = found->has_identity ? pool_map_find_disk(map, found->id) : POOL_NO_DISK;
    if (number != POOL_NO_DISK) {
        return judge_known(map, number, found, error);
    }
    if (is_fresh) {
        return GFS_OK;
    }
    if (found->error.code != GFS_OK) {
        return gfs_fail(error, found->error.code, "%s", found->error.text);
    }
    return gfs_fail(error, GFS_CONFLICT,
                    "%.120s is not empty: only an empty directory becomes a disk", found->path);
}

static enum gfs_err judge_path(struct pool *pool, const char *path, bool *ret_is_new,
                               char ret_cluster[GFS_IDENTITY_ID_SIZE], struct gfs_error *error)
{
    struct pool_found found;
    struct pool_view *view = pool_view_get_pinned(pool); /* looking may hang */
    pool_found_probe(path, &found);
    enum gfs_err err = judge(view->map, &found, error);
    *ret_is_new = !found.has_identity || pool_map_find_disk(view->map, found.id) == POOL_NO_DISK;
    (void)snprintf(ret_cluster, GFS_IDENTITY_ID_SIZE, "%s", view->map->cluster);
    pool_found_fini(&found);
    pool_view_unpin(view);
    return err;
}

enum gfs_err pool_store_open(const struct pool_driver *driver, const char *path,
                             const char *cluster, bool is_new, struct pool_opened *ret,
                             struct gfs_error *error)
{
    enum gfs_err err = is_new ? pool_map_file_begin(path, error) : GFS_OK;
    if (err != GFS_OK) {
        return err;
    }
    ret->root = pool_root_of(path);
    err = driver->open(driver->arg, path, cluster, &ret->store, ret->id, error);
    struct pool_root after = pool_root_of(path);
    if (err == GFS_OK && pool_root_is_other(&ret->root, &after)) {
        driver->close(driver->arg, GFS_TAKE(ret->store));
        return gfs_fail(error, GFS_BUSY, "%.120s changed while it was opened", path);
    }
    ret->root = after;
    return err;
}

enum gfs_err pool_disk_open(struct pool *pool, const char *path, struct pool_disk **ret,
                            struct gfs_error *error)
{
    char cluster[GFS_IDENTITY_ID_SIZE];
    bool is_new = false;
    if (strlen(path) >= POOL_PATH_LEN_MAX) {
        return gfs_fail(error, GFS_INVALID, "%.100s...: path too long", path);
    }
    (void)pthread_mutex_lock(&pool->change_lock);
    bool is_late = pool_map_write_is_late(pool, path);
    (void)pthread_mutex_unlock(&pool->change_lock);
    if (is_late || pool_disk_is_open(pool, path)) {
        return gfs_fail(error, GFS_BUSY, "%.120s is in use", path);
    }
    enum gfs_err err = judge_path(pool, path, &is_new, cluster, error);
    struct pool_opened opened = {0};
    if (err == GFS_OK) {
        err = pool_store_open(&pool->options.driver, path, cluster, is_new, &opened, error);
    }
    if (err == GFS_OK) {
        *ret = pool_disk_new(pool, POOL_NO_DISK, opened.id, path, opened.store);
        (*ret)->root = opened.root;
    }
    return err;
}
