#include "pool/pool_trial.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"
#include "pool/pool_map_file.h"

static void run(void *arg)
{
    struct pool_trial *trial = arg;
    struct pool_found found;
    pool_found_probe(trial->path, &found);
    trial->is_itself = found.has_identity && memcmp(found.id, trial->id, sizeof found.id) == 0;
    trial->is_known =
        found.has_identity || found.is_empty || found.is_begun || found.error.code == GFS_NOT_FOUND;
    pool_found_fini(&found);
    if (trial->is_itself) {
        const struct pool_driver *driver = trial->driver;
        enum gfs_err err = driver->try_write == NULL ? pool_map_file_try(trial->path)
                                                     : driver->try_write(driver->arg, trial->path);
        trial->takes_writes = err == GFS_OK || err == GFS_NO_SPACE;
    }
}

struct pool_trial *pool_trial_start(struct pool *pool, const char *path, const uint8_t id[16])
{
    struct pool_trial *trial = gfs_alloc(sizeof *trial);
    trial->driver = &pool->options.driver;
    (void)snprintf(trial->path, sizeof trial->path, "%s", path);
    memcpy(trial->id, id, sizeof trial->id);
    trial->errand = pool_errand_start(pool->errands, "disk-try", run, free, trial);
    return trial;
}

bool pool_trial_await(const struct pool_trial *trial, uint32_t wait_ms)
{
    return pool_errand_await(trial->errand, wait_ms);
}

void pool_trial_end(struct pool_trial *trial)
{
    if (trial != NULL) {
        pool_errand_let_go(trial->errand);
    }
}
