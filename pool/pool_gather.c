#include "pool/pool_gather.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"
#include "pool/pool_look.h"

enum {
    LOOK_FACTOR = 8,  /* times slow_ms: disks that sleep have to spin up */
    LATE_FACTOR = 15, /* times slow_ms, at least, for the others to open when there are enough */
    OPEN_S_MAX = 600,
    STEP_MS = 50,
};
#define NS_PER_MS 1000000LL

static uint32_t ms_left(int64_t until_ns)
{
    int64_t left_ns = until_ns - gfs_monotonic_ns();
    return left_ns <= 0 ? 0 : (uint32_t)(left_ns / NS_PER_MS) + 1;
}

/* ---- looking ---- */

void pool_gather_look(struct pool *pool, const char *const *paths, uint32_t count,
                      struct pool_found *ret)
{
    struct pool_look **looks GFS_FREE =
        gfs_alloc_array(GFS_MAX(count, 1U), sizeof(struct pool_look *));
    for (uint32_t i = 0; i < count; i++) {
        looks[i] = pool_look_start(pool->errands, paths[i], true, NULL);
    }
    int64_t until_ns = gfs_monotonic_ns() + pool->options.slow_ms * LOOK_FACTOR * NS_PER_MS;
    for (uint32_t i = 0; i < count; i++) {
        if (pool_look_await(looks[i], ms_left(until_ns))) {
            ret[i] = looks[i]->found;
            looks[i]->found.map = NULL;
        } else {
            ret[i] = (struct pool_found){.is_missing = true};
            (void)gfs_fail(&ret[i].error, GFS_TIMEOUT, "%.120s does not answer", paths[i]);
        }
        ret[i].path = paths[i];
        pool_look_end(looks[i]);
    }
}

/* ---- opening ---- */

enum { IS_OPENING, IS_OVER, IS_GIVEN_UP };

/* Owned by its errand until that is over. Whoever comes second to `state` has the store. */
struct work {
    struct pool *pool;
    char path[POOL_PATH_LEN_MAX];
    char cluster[GFS_IDENTITY_ID_SIZE];
    bool is_new;
    atomic_int state;
    struct pool_opened opened;
    enum gfs_err err;
    struct gfs_error error;
};

static void run(void *arg)
{
    struct work *work = arg;
    const struct pool_driver *driver = &work->pool->options.driver;
    struct chunk_store **store = &work->opened.store;
    work->err = pool_store_open(driver, work->path, work->cluster, work->is_new, &work->opened,
                                &work->error);
    if (atomic_exchange(&work->state, IS_OVER) == IS_GIVEN_UP && *store != NULL) {
        driver->close(driver->arg, *store);
    }
}

/* A store that is being opened. */
struct pending {
    struct pool_errand *errand; /* NULL = nothing to do */
    struct work *work;
    bool is_over;
};

static struct pending begin(struct pool *pool, const char *cluster,
                            const struct pool_gathered *gathered)
{
    if (gathered->path == NULL) {
        return (struct pending){.is_over = true};
    }
    struct work *work = gfs_alloc(sizeof *work);
    work->pool = pool;
    work->is_new = gathered->is_new;
    (void)snprintf(work->path, sizeof work->path, "%s", gathered->path);
    (void)snprintf(work->cluster, sizeof work->cluster, "%s", cluster);
    atomic_init(&work->state, IS_OPENING);
    return (struct pending){
        .work = work, .errand = pool_errand_start(pool->errands, "disk-open", run, free, work)};
}

static void end(struct pending *pending, struct pool_gathered *gathered)
{
    struct work *work = pending->work;
    if (pending->errand == NULL) {
        return;
    }
    if (atomic_exchange(&work->state, IS_GIVEN_UP) == IS_OVER) {
        gathered->opened = work->opened;
        gathered->err = work->err;
        gathered->error = work->error;
    } else {
        gathered->err =
            gfs_fail(&gathered->error, GFS_TIMEOUT, "%.120s does not answer", gathered->path);
    }
    pool_errand_let_go(pending->errand);
}

/* A quorum; where there can be none, and it goes on without, any. */
static bool are_enough(const struct pool *pool, const struct pool_map *map,
                       const struct pool_gathered *list, const struct pending *pending,
                       uint32_t count)
{
    bool is_there[POOL_DISKS_MAX] = {0};
    bool is_any_there = false;
    for (uint32_t i = 0; i < count; i++) {
        bool is_open =
            pending[i].errand != NULL && pending[i].is_over && pending[i].work->err == GFS_OK;
        if (is_open && list[i].number < POOL_DISKS_MAX) {
            is_there[list[i].number] = true;
            is_any_there = true;
        }
    }
    return map != NULL &&
           (pool->is_minority ? is_any_there : pool_map_is_joint_quorum(map, is_there));
}

/* Waits a moment, at most, for one of them. false: none is left. */
static bool await_some(struct pending *pending, uint32_t count)
{
    uint32_t wait_ms = STEP_MS;
    bool is_any_left = false;
    for (uint32_t i = 0; i < count; i++) {
        if (!pending[i].is_over) {
            pending[i].is_over = pool_errand_await(pending[i].errand, wait_ms);
            wait_ms = 0;
            is_any_left = is_any_left || !pending[i].is_over;
        }
    }
    return is_any_left;
}

void pool_gather_open(struct pool *pool, const char *cluster, const struct pool_map *map,
                      struct pool_gathered *list, uint32_t count)
{
    struct pending *pending GFS_FREE = gfs_alloc_array(GFS_MAX(count, 1U), sizeof *pending);
    int64_t begun_ns = gfs_monotonic_ns();
    int64_t until_ns = begun_ns + OPEN_S_MAX * 1000 * NS_PER_MS;
    bool has_enough = false;
    for (uint32_t i = 0; i < count; i++) {
        pending[i] = begin(pool, cluster, &list[i]);
    }
    while (await_some(pending, count) && ms_left(until_ns) > 0) {
        if (!has_enough && are_enough(pool, map, list, pending, count)) {
            has_enough = true;
            int64_t now_ns = gfs_monotonic_ns();
            int64_t more_ns =
                GFS_MAX(now_ns - begun_ns, pool->options.slow_ms * LATE_FACTOR * NS_PER_MS);
            until_ns = GFS_MIN(until_ns, now_ns + more_ns);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        end(&pending[i], &list[i]);
    }
}
