#include "pool/pool_promise.h"

#include "pool/pool_map_write.h"

static enum gfs_err check(const struct pool_promise *promise,
                          const enum gfs_err results[POOL_DISKS_MAX], struct gfs_error *error)
{
    bool took[POOL_DISKS_MAX] = {0}, is_there[POOL_DISKS_MAX] = {0};
    for (uint32_t i = 0; i < promise->newest->disk_count; i++) {
        took[i] = promise->disks[i] != NULL && results[i] == GFS_OK;
        is_there[i] = took[i] || (promise->disks[i] != NULL && results[i] == GFS_NO_SPACE);
    }
    if (pool_map_is_joint_quorum(promise->newest, took)) {
        return GFS_OK;
    }
    return pool_map_is_joint_quorum(promise->newest, is_there)
               ? gfs_fail(error, GFS_NO_SPACE, "too many disks are full to write the map")
               : pool_map_tell_missing(promise->newest, took, error);
}

/* Who has no map is asked only when the others are not enough: with the newest it seems to have
 * missed nothing. */
static void choose(const struct pool_promise *promise, struct pool_disk *ret[POOL_DISKS_MAX])
{
    bool is_there[POOL_DISKS_MAX] = {0};
    for (uint32_t i = 0; i < promise->newest->disk_count; i++) {
        is_there[i] = promise->disks[i] != NULL && promise->own[i] != NULL;
    }
    bool are_enough = pool_map_is_joint_quorum(promise->newest, is_there);
    for (uint32_t i = 0; i < promise->newest->disk_count; i++) {
        ret[i] = is_there[i] || !are_enough ? promise->disks[i] : NULL;
    }
}

/* A damaged map is replaced by the newest: it is of no use to anybody. */
static const struct pool_map *map_of(const struct pool_promise *promise, uint32_t disk)
{
    return promise->own[disk] != NULL ? promise->own[disk] : promise->newest;
}

/* Those with the same map at once: nearly always all of them. */
static enum gfs_err ask_all(struct pool *pool, const struct pool_promise *promise,
                            enum gfs_err results[POOL_DISKS_MAX], struct gfs_error *error)
{
    bool is_asked[POOL_DISKS_MAX] = {0};
    struct pool_disk *chosen[POOL_DISKS_MAX];
    enum gfs_err err = GFS_OK;
    uint32_t count = promise->newest->disk_count;
    choose(promise, chosen);
    for (uint32_t i = 0; i < count && err == GFS_OK; i++) {
        if (chosen[i] == NULL || is_asked[i]) {
            results[i] = chosen[i] == NULL ? GFS_IO : results[i];
            continue;
        }
        const struct pool_map *base = map_of(promise, i);
        struct pool_disk *targets[POOL_DISKS_MAX] = {0};
        for (uint32_t j = i; j < count; j++) {
            const struct pool_map *other = map_of(promise, j);
            bool is_same = other->epoch == base->epoch && other->version == base->version;
            if (chosen[j] != NULL && is_same) {
                targets[j] = chosen[j];
                is_asked[j] = true;
            }
        }
        struct pool_map *map = pool_map_copy(base);
        map->promised = promise->epoch;
        err = pool_map_write(pool, map, targets, results, error);
        pool_map_free(map);
    }
    return err == GFS_OK ? check(promise, results, error) : err;
}

static enum gfs_err settle(struct pool *pool, const struct pool_promise *promise,
                           struct pool_map **ret, struct gfs_error *error)
{
    struct pool_disk *targets[POOL_DISKS_MAX] = {0};
    enum gfs_err results[POOL_DISKS_MAX] = {0};
    struct pool_map *map = pool_map_copy(promise->newest);
    for (uint32_t i = 0; i < map->disk_count; i++) {
        targets[i] = pool_disk_is_usable(promise->disks[i]) ? promise->disks[i] : NULL;
        results[i] = targets[i] == NULL ? GFS_IO : GFS_OK;
        bool is_away = promise->is_away[i] && pool_map_disk_is_in_use(&map->disks[i]);
        map->disks[i].is_behind = map->disks[i].is_behind || is_away;
    }
    map->before_version = map->version;
    map->before_epoch = map->epoch;
    map->epoch = map->promised = promise->epoch;
    map->version = ++pool->version_used;
    enum gfs_err err = pool_map_write(pool, map, targets, results, error);
    if (err == GFS_OK) {
        err = check(promise, results, error);
    }
    if (err != GFS_OK) {
        pool_map_free(map);
        return err;
    }
    for (uint32_t i = 0; i < map->disk_count; i++) {
        if (targets[i] != NULL && results[i] == GFS_OK) {
            map->disks[i].seen_version = map->version;
        }
    }
    *ret = map;
    return GFS_OK;
}

enum gfs_err pool_promise(struct pool *pool, const struct pool_promise *promise,
                          struct pool_map **ret_settled, struct gfs_error *error)
{
    enum gfs_err results[POOL_DISKS_MAX] = {0};
    *ret_settled = NULL;
    enum gfs_err err = ask_all(pool, promise, results, error);
    return err != GFS_OK || pool_map_has_same_votes(promise->newest)
               ? err
               : settle(pool, promise, ret_settled, error);
}
