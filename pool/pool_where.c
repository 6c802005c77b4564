#include "pool/pool_where.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"
#include "pool/pool_state.h"

enum { ASKING_WAIT_MS = 2000 }; /* for a disk to say where it is */

/* A disk's place that is asked for, by an errand. */
struct asking {
    char path[POOL_PATH_LEN_MAX];
    struct stat found;
    bool is_there;
};

static void run_asking(void *arg)
{
    struct asking *asking = arg;
    asking->is_there = stat(asking->path, &asking->found) == 0;
}

/* At most one hangs for each disk. */
static bool is_asking(struct pool *pool, uint16_t number)
{
    (void)pthread_mutex_lock(&pool->asking_lock);
    struct pool_errand **errand = &pool->asking[number];
    if (*errand != NULL && pool_errand_await(*errand, 0)) {
        pool_errand_let_go(GFS_TAKE(*errand));
    }
    bool is_asking = *errand != NULL;
    (void)pthread_mutex_unlock(&pool->asking_lock);
    return is_asking;
}

bool pool_where_stat(struct pool *pool, uint16_t number, const char *path, struct stat *ret)
{
    if (is_asking(pool, number)) {
        return false;
    }
    struct asking *asking = gfs_alloc(sizeof *asking);
    (void)snprintf(asking->path, sizeof asking->path, "%s", path);
    struct pool_errand *errand =
        pool_errand_start(pool->errands, "disk-place", run_asking, free, asking);
    bool is_over = pool_errand_await(errand, ASKING_WAIT_MS);
    bool is_there = is_over && asking->is_there;
    if (is_there) {
        *ret = asking->found;
    }
    (void)pthread_mutex_lock(&pool->asking_lock);
    struct pool_errand *former = pool->asking[number];
    pool->asking[number] = is_over ? former : errand;
    (void)pthread_mutex_unlock(&pool->asking_lock);
    pool_errand_let_go(is_over ? errand : former);
    return is_there;
}

bool pool_where_is(struct pool *pool, const struct pool_map *map, uint16_t number, const char *path)
{
    struct stat own, other;
    const char *known = map->disks[number].path;
    if (strcmp(known, path) == 0) {
        return true;
    }
    return stat(path, &own) == 0 && pool_where_stat(pool, number, known, &other) &&
           own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

void pool_where_end(struct pool *pool)
{
    for (size_t i = 0; i < POOL_DISKS_MAX; i++) {
        pool_errand_let_go(GFS_TAKE(pool->asking[i]));
    }
}
