/* Metadata in copies on mirrors: a pool that is a list of directories and a log in memory. */
#include "goodfs/mirrors.h"

#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/unit/metad/log_double.h"
#include "tests/unit/metad/shard_rig.h"
#include "tests/unit/metad/temp_dir.h"

enum { MIRRORS = 3 };

static char homes[MIRRORS][TEMP_DIR_SIZE];
static struct log_double *edits;
static uint32_t mirror_count = MIRRORS;
static char told[MIRRORS * TEMP_DIR_SIZE]; /* what the pool was told of */

/* ---- the pool, as far as mirrors know it ---- */

bool pool_mirror_dir(struct pool *pool, uint32_t index, char *ret)
{
    (void)pool;
    if (index >= mirror_count) {
        return false;
    }
    (void)snprintf(ret, POOL_PATH_LEN_MAX, "%s", homes[index]);
    return true;
}

void pool_mirror_failed(struct pool *pool, const char *dir)
{
    (void)pool;
    (void)snprintf(told + strlen(told), sizeof told - strlen(told), "%s ", dir);
}

struct chunk_store *pool_chunks(struct pool *pool)
{
    (void)pool;
    return log_double_store(edits);
}

/* ---- */

static struct mirrors mirrors;
static const struct shard_options options = {.apply_delay_ms = 1, .gc_grace_ms = 86400 * 1000};

static void make(void)
{
    for (size_t i = 0; i < MIRRORS; i++) {
        temp_dir_make(homes[i]);
    }
    edits = log_double_new();
}

static void clean(void)
{
    log_double_free(edits);
    for (size_t i = 0; i < MIRRORS; i++) {
        temp_dir_remove(homes[i]);
    }
}

TestSuite(mirrors, .init = make, .fini = clean);

static enum gfs_err open_all(struct gfs_error *error)
{
    return mirrors_open(&mirrors, (struct pool *)homes, &options, error);
}

static void put(const char *key)
{
    struct rig rig = {.log = edits, .shard = mirrors.shard, .meta = shard_service(mirrors.shard)};
    struct meta_bucket bucket;
    if (rig.meta->ops->bucket(rig.meta, gfs_slice_str("bucket"), &bucket) != GFS_OK) {
        bucket.id = rig_bucket(&rig, "bucket");
    }
    cr_assert_eq(rig_put(&rig, bucket.id, key, 1, 1, NULL), GFS_OK);
}

static bool has(const char *key)
{
    struct rig rig = {.log = edits, .shard = mirrors.shard, .meta = shard_service(mirrors.shard)};
    struct meta_bucket bucket;
    return rig.meta->ops->bucket(rig.meta, gfs_slice_str("bucket"), &bucket) == GFS_OK &&
           rig_tag(&rig, bucket.id, key) == 1;
}

static void damage(size_t mirror)
{
    char path[TEMP_PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/meta/metadata.sqlite", homes[mirror]);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s: %m", path);
    (void)fputs("this is no database", file);
    (void)fclose(file);
}

/* Waits until every mirror holds a copy. */
static void join_all(void)
{
    struct pool_meta_hooks hooks = mirrors_hooks(&mirrors);
    for (size_t i = 1; i < MIRRORS; i++) {
        cr_assert_eq(hooks.join(hooks.arg, homes[i]), GFS_OK);
    }
}

Test(mirrors, the_next_copy_is_opened_when_the_first_is_damaged_and_the_pool_is_told)
{
    struct gfs_error error = {0};
    cr_assert_eq(open_all(&error), GFS_OK, "%s", error.text);
    put("a");
    join_all();
    cr_expect(shard_close(mirrors.shard));
    damage(0);
    cr_assert_eq(open_all(&error), GFS_OK, "%s", error.text);
    cr_assert(has("a"));
    cr_assert(strstr(told, homes[0]) != NULL, "told: %s", told);
    cr_assert(strstr(told, homes[1]) == NULL);
    cr_expect(shard_close(mirrors.shard));
}

Test(mirrors, when_none_can_be_opened_the_first_ones_reason_is_given_and_nobody_is_told)
{
    struct gfs_error error = {0};
    cr_assert_eq(open_all(&error), GFS_OK, "%s", error.text);
    put("a");
    join_all();
    cr_expect(shard_close(mirrors.shard));
    for (size_t i = 0; i < MIRRORS; i++) {
        damage(i);
    }
    cr_assert_neq(open_all(&error), GFS_OK);
    cr_assert_neq(error.text[0], '\0');
    cr_assert_str_eq(told, "");
}

Test(mirrors, without_any_mirror_there_is_no_metadata)
{
    struct gfs_error error = {0};
    mirror_count = 0;
    cr_assert_eq(open_all(&error), GFS_UNREACHABLE);
}

Test(mirrors, the_live_database_moves_and_a_mirror_may_leave)
{
    struct gfs_error error = {0};
    cr_assert_eq(open_all(&error), GFS_OK, "%s", error.text);
    struct pool_meta_hooks hooks = mirrors_hooks(&mirrors);
    put("a");
    join_all();
    cr_assert_eq(hooks.move(hooks.arg, homes[0], homes[1]), GFS_OK);
    cr_assert(has("a"));
    put("b");
    cr_assert_eq(hooks.move(hooks.arg, homes[0], homes[1]), GFS_OK, "it is there already");
    hooks.leave(hooks.arg, homes[2]);
    enum gfs_err err = GFS_BUSY;
    while (err == GFS_BUSY) { /* until the one that left is closed */
        (void)sched_yield();
        err = hooks.join(hooks.arg, homes[2]);
    }
    cr_assert_eq(err, GFS_OK, "it may come back");
    cr_assert(has("b"));
    cr_expect(shard_close(mirrors.shard));
}
