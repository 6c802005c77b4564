#include "goodfs/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "goodfs/mirrors.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"

enum { PLAIN_WAIT_MS = 20000 }; /* for a store of one disk to be closed */

struct storage {
    char **dirs; /* of a pool: whole paths, NULL-terminated; else NULL */
    struct disks *disks;
    struct chunk_store *plain; /* of the one directory; NULL with a pool */
    struct pool *pool;
    struct mirrors mirrors;
    struct shard *shard;
};

static enum gfs_err make_dir(const char *dir, struct gfs_error *error)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return gfs_fail(error, GFS_IO, "%s: %s", dir, strerror(errno));
    }
    return GFS_OK;
}

static bool has_map(const char *dir)
{
    char path[MIRRORS_PATH_SIZE + 16];
    (void)snprintf(path, sizeof path, "%s/pool.json", dir);
    return access(path, F_OK) == 0;
}

static bool is_pool(const char *const *dirs)
{
    return dirs[1] != NULL || has_map(dirs[0]);
}

static struct shard_options shard_settings(const struct gfs_config *config)
{
    return (struct shard_options){
        .cache_bytes_max = gfs_config_u64(config, "meta-cache-bytes"),
        .has_labels = true,
        .gc_grace_ms = (int64_t)gfs_config_u64(config, "gc-grace-seconds") * 1000,
    };
}

static enum gfs_err open_plain(struct storage *storage, const struct gfs_config *config,
                               const char *dir, struct gfs_error *error)
{
    uint8_t id[16];
    struct pool_driver driver = disks_driver(storage->disks);
    enum gfs_err err = make_dir(dir, error);
    if (err == GFS_OK) {
        err = driver.open(driver.arg, dir, gfs_config_text(config, "cluster"), &storage->plain, id,
                          error);
    }
    return err;
}

static enum gfs_err open_plain_metadata(struct storage *storage, const struct gfs_config *config,
                                        const char *dir, struct gfs_error *error)
{
    char meta_dir[MIRRORS_PATH_SIZE];
    mirrors_meta_dir(dir, meta_dir);
    struct shard_options options = shard_settings(config);
    options.dir = meta_dir;
    options.log = storage->plain;
    enum gfs_err err = make_dir(meta_dir, error);
    return err == GFS_OK ? shard_open(&options, &storage->shard, error) : err;
}

/* The map keeps paths: they must mean the same wherever the next server is started. */
static enum gfs_err set_dirs(struct storage *storage, const char *const *dirs,
                             struct gfs_error *error)
{
    char *cwd = getcwd(NULL, 0);
    size_t count = 0;
    enum gfs_err err = GFS_OK;
    while (dirs[count] != NULL) {
        count++;
    }
    storage->dirs = gfs_alloc_array(count + 1, sizeof *storage->dirs);
    for (size_t i = 0; err == GFS_OK && i < count; i++) {
        bool is_whole = dirs[i][0] == '/' || cwd == NULL;
        if (asprintf(&storage->dirs[i], "%s%s%s", is_whole ? "" : cwd, is_whole ? "" : "/",
                     dirs[i]) < 0 ||
            strlen(storage->dirs[i]) >= POOL_PATH_LEN_MAX) {
            err = gfs_fail(error, GFS_INVALID, "%.64s...: the path is too long", dirs[i]);
        }
    }
    free(cwd);
    return err;
}

static enum gfs_err open_pool(struct storage *storage, const struct gfs_config *config,
                              const char *const *dirs, struct gfs_error *error)
{
    enum gfs_err err = set_dirs(storage, dirs, error);
    if (err != GFS_OK) {
        return err;
    }
    struct pool_options options = {
        .paths = (const char *const *)storage->dirs,
        .cluster = gfs_config_text(config, "cluster"),
        .classes = gfs_config_list(config, "storage-class"),
        .driver = disks_driver(storage->disks),
        .small_max = gfs_config_u64(config, "small-object-max"),
        .reserved = gfs_config_u64(config, "reserve"),
        .missing_grace_s = (uint32_t)gfs_config_u64(config, "missing-grace-seconds"),
        .repair_rate = gfs_config_u64(config, "repair-rate"),
        .scrub_rate = gfs_config_u64(config, "scrub-rate"),
        .allow_minority = gfs_config_bool(config, "allow-minority"),
    };
    return pool_open(&options, &storage->pool, error);
}

static enum gfs_err open_metadata(struct storage *storage, const struct gfs_config *config,
                                  const char *const *dirs, struct gfs_error *error)
{
    if (storage->pool == NULL) {
        return open_plain_metadata(storage, config, dirs[0], error);
    }
    struct shard_options options = shard_settings(config);
    enum gfs_err err = mirrors_open(&storage->mirrors, storage->pool, &options, error);
    storage->shard = storage->mirrors.shard;
    return err;
}

/* Data without metadata is not an empty store: somebody removed or lost the metadata. */
static enum gfs_err check_metadata(struct storage *storage, const char *dir,
                                   struct gfs_error *error)
{
    struct chunk_store *chunks = storage_chunks(storage);
    struct chunk_store_status status;
    struct shard_stats shard;
    chunks->ops->status(chunks, &status);
    shard_stats(storage->shard, &shard);
    if (shard.committed_lsn == 0 && status.chunks != 0) {
        return gfs_fail(
            error, GFS_CORRUPT,
            "%s/meta is empty, but there are %llu chunks of data%s: metadata is missing", dir,
            (unsigned long long)status.chunks, storage->pool == NULL ? "" : " on the disks");
    }
    return GFS_OK;
}

enum gfs_err storage_open_disks(const struct gfs_config *config, const char *const *dirs,
                                struct storage **ret, struct gfs_error *error)
{
    struct storage *storage = gfs_alloc(sizeof *storage);
    storage->disks = disks_new();
    for (size_t i = 0; dirs[i] != NULL; i++) {
        if (strlen(dirs[i]) >= POOL_PATH_LEN_MAX) {
            (void)storage_close(storage, false);
            return gfs_fail(error, GFS_INVALID, "%.64s...: the path is too long", dirs[i]);
        }
    }
    enum gfs_err err = is_pool(dirs) ? open_pool(storage, config, dirs, error)
                                     : open_plain(storage, config, dirs[0], error);
    if (err != GFS_OK) {
        (void)storage_close(storage, false);
        return err;
    }
    *ret = storage;
    return GFS_OK;
}

enum gfs_err storage_open(const struct gfs_config *config, const char *const *dirs,
                          struct storage **ret, struct gfs_error *error)
{
    struct storage *storage = NULL;
    enum gfs_err err = storage_open_disks(config, dirs, &storage, error);
    if (err != GFS_OK) {
        return err;
    }
    err = open_metadata(storage, config, dirs, error);
    if (err == GFS_OK) {
        err = check_metadata(storage, dirs[0], error);
    }
    if (err != GFS_OK) {
        (void)storage_close(storage, false);
        return err;
    }
    *ret = storage;
    return GFS_OK;
}

void storage_start(struct storage *storage)
{
    if (storage->pool != NULL) {
        struct pool_meta_hooks hooks = mirrors_hooks(&storage->mirrors);
        pool_start(storage->pool, &hooks);
    }
}

/* ---- closing ---- */

static void free_storage(struct storage *storage)
{
    disks_free(storage->disks);
    for (size_t i = 0; storage->dirs != NULL && storage->dirs[i] != NULL; i++) {
        free(storage->dirs[i]);
    }
    free(storage->dirs);
    free(storage);
}

static void run_close(void *arg)
{
    struct storage *storage = arg;
    struct pool_driver driver = disks_driver(storage->disks);
    driver.close(driver.arg, storage->plain);
}

/* By an errand: the disk may hang. */
static bool close_plain(struct storage *storage)
{
    struct pool_errands *errands = pool_errands_new();
    pool_errand_let_go(pool_errand_start(errands, "disk-close", run_close, NULL, storage));
    bool is_closed = pool_errands_end(errands, PLAIN_WAIT_MS);
    if (is_closed) {
        pool_errands_free(errands);
    }
    return is_closed;
}

bool storage_close(struct storage *storage, bool is_used)
{
    if (storage == NULL) {
        return !is_used;
    }
    if (storage->shard != NULL) {
        shard_end_waits(storage->shard); /* the pool may be inside, to move it */
    }
    if (storage->pool != NULL) {
        pool_stop(storage->pool);
    }
    is_used = !shard_close(storage->shard) || is_used;
    bool is_closed = pool_close(storage->pool, is_used) && !is_used;
    if (storage->plain != NULL) {
        is_closed = !is_used && close_plain(storage);
        if (!is_closed) {
            gfs_log(GFS_LOG_WARN, "op=close msg=\"the disk does not answer: left open\"");
        }
    }
    if (is_closed) {
        free_storage(storage);
    }
    return is_closed;
}

struct chunk_store *storage_chunks(struct storage *storage)
{
    return storage->pool != NULL ? pool_chunks(storage->pool) : storage->plain;
}

struct shard *storage_shard(struct storage *storage)
{
    return storage->shard;
}

struct pool *storage_pool(struct storage *storage)
{
    return storage->pool;
}

struct disks *storage_disks(struct storage *storage)
{
    return storage->disks;
}
