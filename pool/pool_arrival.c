#include "pool/pool_arrival.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_change.h"
#include "pool/pool_errand.h"
#include "pool/pool_plan.h"
#include "pool/pool_watch.h"

/* Owned by the errand until it is over, but for `errand`. */
struct pool_arrival {
    struct pool_errand *errand;
    struct pool *pool;
    char path[POOL_PATH_LEN_MAX];
    uint16_t number; /* of the one it is, or in whose stead it comes */
    bool is_new;
    struct pool_map_disk described; /* of a new one */
    enum gfs_err err;
    struct gfs_error error;
};

static enum gfs_err change_return(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const struct pool_arrival *arrival = arg;
    if (map->disks[arrival->number].state == POOL_DISK_REMOVED) {
        return gfs_fail(error, GFS_CONFLICT, "disk %u was taken out", arrival->number);
    }
    pool_plan_return(map, arrival->number);
    return GFS_OK;
}

static enum gfs_err change_stead(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const struct pool_arrival *arrival = arg;
    uint16_t number = POOL_NO_DISK;
    if (map->disks[arrival->number].state == POOL_DISK_REMOVED) {
        return gfs_fail(error, GFS_CONFLICT, "disk %u was taken out", arrival->number);
    }
    enum gfs_err err = pool_plan_add_disk(map, &arrival->described, &number, error);
    if (err == GFS_OK) {
        err = pool_plan_replace(map, arrival->number, number, true, error);
    }
    if (err == GFS_OK) {
        (void)pool_plan_place(map);
        pool_plan_log_disks(map);
    }
    return err;
}

static void run(void *arg)
{
    struct pool_arrival *arrival = arg;
    struct pool *pool = arrival->pool;
    struct pool_disk *disk = NULL;
    arrival->err = pool_disk_open(pool, arrival->path, &disk, &arrival->error);
    if (arrival->err != GFS_OK) {
        return;
    }
    pool_disk_describe(disk, &arrival->described);
    arrival->err = pool_change_map_with(pool, disk, arrival->is_new ? change_stead : change_return,
                                        arrival, &arrival->error);
    uint16_t own = disk->number;
    pool_disk_unref(disk);
    if (arrival->err == GFS_OK) {
        gfs_log(GFS_LOG_INFO, "op=disk-return disk=%u stead=%u msg=\"%s\"", own, arrival->number,
                arrival->is_new ? "a new disk in the place of a lost one: it is being filled"
                                : "is back: it is compared with the others");
        pool_mirrors_wake(pool);
    }
}

struct pool_arrival *pool_arrival_start(struct pool *pool, uint16_t number, const char *path,
                                        bool is_new)
{
    struct pool_arrival *arrival = gfs_alloc(sizeof *arrival);
    *arrival = (struct pool_arrival){.pool = pool, .number = number, .is_new = is_new};
    (void)snprintf(arrival->path, sizeof arrival->path, "%s", path);
    arrival->errand = pool_errand_start(pool->errands, "disk-open", run, free, arrival);
    return arrival;
}

bool pool_arrival_await(const struct pool_arrival *arrival, uint32_t wait_ms)
{
    return pool_errand_await(arrival->errand, wait_ms);
}

enum gfs_err pool_arrival_err(const struct pool_arrival *arrival, const char **ret_text)
{
    *ret_text = arrival->error.text;
    return arrival->err;
}

void pool_arrival_end(struct pool_arrival *arrival)
{
    if (arrival != NULL) {
        pool_errand_let_go(arrival->errand);
    }
}
