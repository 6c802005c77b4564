#include "goodfs/mirrors.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"

void mirrors_meta_dir(const char *dir, char ret[MIRRORS_PATH_SIZE])
{
    int len = snprintf(ret, MIRRORS_PATH_SIZE, "%s/meta", dir);
    GFS_ASSERT(len > 0 && len < MIRRORS_PATH_SIZE);
}

/* "DIR/meta" -> "DIR": what the pool knows it by. */
static void disk_dir(const char *meta_dir, char ret[MIRRORS_PATH_SIZE])
{
    (void)snprintf(ret, MIRRORS_PATH_SIZE, "%s", meta_dir);
    char *slash = strrchr(ret, '/');
    GFS_ASSERT(slash != NULL && strcmp(slash, "/meta") == 0);
    *slash = '\0';
}

static void tell_pool(const struct mirrors *mirrors, const char *what, const char *meta_dir,
                      enum gfs_err err)
{
    char dir[MIRRORS_PATH_SIZE];
    char quoted[256];
    disk_dir(meta_dir, dir);
    gfs_log(GFS_LOG_ERROR, "msg=\"%s\" dir=%s err=%s", what,
            gfs_log_quote(gfs_slice_str(dir), quoted, sizeof quoted), gfs_err_name(err));
    pool_mirror_failed(mirrors->pool, dir);
}

static void copy_failed(void *arg, const char *dir, enum gfs_err err)
{
    tell_pool(arg, "a copy of the metadata failed", dir, err);
}

static void database_failed(void *arg, const char *dir, enum gfs_err err)
{
    tell_pool(arg, "the metadata's database failed", dir, err);
}

static enum gfs_err make_dir(const char *dir, struct gfs_error *error)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return gfs_fail(error, gfs_err_from_errno(errno), "%s: %s", dir, strerror(errno));
    }
    return GFS_OK;
}

/* Opens in dirs[live]; the others are copies. */
static enum gfs_err open_in(struct mirrors *mirrors, const struct shard_options *options,
                            const char *const dirs[POOL_LOG_DISKS], uint32_t live,
                            struct gfs_error *error)
{
    const char *copies[POOL_LOG_DISKS + 1] = {NULL};
    uint32_t count = 0;
    for (uint32_t i = 0; i < POOL_LOG_DISKS && dirs[i] != NULL; i++) {
        if (i != live) {
            copies[count++] = dirs[i];
        }
    }
    struct shard_options own = *options;
    own.dir = dirs[live];
    own.copies = copies;
    own.log = pool_chunks(mirrors->pool);
    own.copy_failed = copy_failed;
    own.database_failed = database_failed;
    own.arg = mirrors;
    enum gfs_err err = make_dir(dirs[live], error);
    return err == GFS_OK ? shard_open(&own, &mirrors->shard, error) : err;
}

/* What another copy may not suffer from. A newer format or a wrong option would be the same there,
 * and a mirror that is called failed is written over. */
static bool is_of_this_copy(enum gfs_err err)
{
    return err == GFS_IO || err == GFS_CORRUPT || err == GFS_NO_SPACE || err == GFS_NOT_FOUND;
}

enum gfs_err mirrors_open(struct mirrors *mirrors, struct pool *pool,
                          const struct shard_options *options, struct gfs_error *error)
{
    char dirs[POOL_LOG_DISKS][MIRRORS_PATH_SIZE];
    const char *given[POOL_LOG_DISKS] = {NULL};
    char dir[POOL_PATH_LEN_MAX];
    uint32_t count = 0;
    *mirrors = (struct mirrors){.pool = pool};
    while (count < POOL_LOG_DISKS && pool_mirror_dir(pool, count, dir)) {
        mirrors_meta_dir(dir, dirs[count]);
        given[count] = dirs[count];
        count++;
    }
    if (count == 0) {
        return gfs_fail(error, GFS_UNREACHABLE, "no disk with the metadata is there");
    }
    uint32_t live = 0;
    enum gfs_err err = open_in(mirrors, options, given, live, error);
    while (is_of_this_copy(err) && live + 1 < count) {
        struct gfs_error own = {0};
        gfs_log(GFS_LOG_ERROR, "msg=\"metadata: trying the next mirror\" dir=\"%s\" err=\"%s\"",
                given[live], gfs_err_text(err));
        enum gfs_err next_err = open_in(mirrors, options, given, ++live, &own);
        err = next_err == GFS_OK || !is_of_this_copy(next_err) ? next_err : err;
        if (next_err != GFS_OK && !is_of_this_copy(next_err)) {
            (void)gfs_fail(error, next_err, "%s", own.text);
        }
    }
    for (uint32_t i = 0; err == GFS_OK && i < live; i++) {
        tell_pool(mirrors, "the metadata's database could not be opened", given[i], GFS_CORRUPT);
    }
    return err;
}

/* ---- hooks ---- */

static enum gfs_err join(void *arg, const char *dir)
{
    struct mirrors *mirrors = arg;
    struct gfs_error error = {0};
    char meta_dir[MIRRORS_PATH_SIZE];
    mirrors_meta_dir(dir, meta_dir);
    enum gfs_err err = shard_copy_add(mirrors->shard, meta_dir, &error);
    if (err != GFS_OK && err != GFS_EXISTS) {
        gfs_log(GFS_LOG_WARN, "msg=\"no copy of the metadata\" err=\"%s\"", error.text);
    }
    return err == GFS_EXISTS ? GFS_OK : err;
}

static void leave(void *arg, const char *dir)
{
    struct mirrors *mirrors = arg;
    char meta_dir[MIRRORS_PATH_SIZE];
    mirrors_meta_dir(dir, meta_dir);
    shard_copy_remove(mirrors->shard, meta_dir);
}

static enum gfs_err move(void *arg, const char *lost_dir, const char *dir)
{
    struct mirrors *mirrors = arg;
    struct gfs_error error = {0};
    char meta_dir[MIRRORS_PATH_SIZE];
    mirrors_meta_dir(dir, meta_dir);
    enum gfs_err err = shard_move(mirrors->shard, meta_dir, &error);
    if (err == GFS_OK || err == GFS_EXISTS) {
        gfs_log(GFS_LOG_WARN, "msg=\"the metadata moved\" from=\"%s\" to=\"%s\"", lost_dir, dir);
        return GFS_OK;
    }
    gfs_log(GFS_LOG_ERROR, "msg=\"the metadata did not move\" to=\"%s\" err=\"%s\"", dir,
            error.text);
    return err;
}

static void trim(void *arg)
{
    struct mirrors *mirrors = arg;
    enum gfs_err err = shard_trim(mirrors->shard);
    if (err != GFS_OK) {
        gfs_log(GFS_LOG_WARN, "msg=\"the metadata's log cannot be trimmed\" err=%s",
                gfs_err_name(err));
    }
}

struct pool_meta_hooks mirrors_hooks(struct mirrors *mirrors)
{
    return (struct pool_meta_hooks){
        .arg = mirrors, .join = join, .leave = leave, .move = move, .trim = trim};
}
