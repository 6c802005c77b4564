/* Committed edits on their way into SQLite. */
#include "libgoodfs/mem.h"
#include "metad/db.h"
#include "tests/unit/metad/shard_rig.h"

static struct shard_stats stats_of(struct rig *rig)
{
    struct shard_stats stats;
    shard_stats(rig->shard, &stats);
    return stats;
}

Test(shard_apply, edits_wait_for_company)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    for (int i = 0; i < 100; i++) {
        (void)rig_put(&rig, bucket, "a", 1, 1, NULL);
    }
    cr_expect_eq(stats_of(&rig).applied_batches, 0u);
    rig_fini(&rig);
}

Test(shard_apply, full_overlay_is_applied_before_its_time)
{
    struct rig rig;
    char key[16];
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    rig_close(&rig);
    rig.options.overlay_bytes_max = 100000;
    rig_open(&rig);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        cr_assert_eq(rig_put(&rig, bucket, key, 1, 1, NULL), GFS_OK);
        cr_assert_lt(stats_of(&rig).overlay_bytes, 110000u, "acknowledgements wait for SQLite");
    }
    cr_expect_gt(stats_of(&rig).applied_batches, 0u);
    rig_fini(&rig);
}

Test(shard_apply, row_cache_has_what_was_applied_last)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    rig_close(&rig);
    rig.options.apply_delay_ms = 1;
    rig_open(&rig);
    for (int i = 0; i < 100; i++) {
        struct meta_row *row = NULL;
        (void)rig_put(&rig, bucket, "a", 1, (uint8_t)i, NULL);
        if (i % 2 == 0) {
            rig_await_applied(&rig);
        }
        cr_assert_eq(rig.meta->ops->object(rig.meta, bucket, gfs_slice_str("a"), META_NOWAIT, &row),
                     GFS_OK, "neither stage loses it");
        meta_row_unref(row);
        cr_assert_eq(rig_tag(&rig, bucket, "a"), i);
    }
    rig_fini(&rig);
}

/* Longer than SQLite waits for a lock: the fault passes, and what waited is answered meanwhile. */
Test(shard_apply, database_locked_by_somebody_else_is_waited_for)
{
    struct rig rig;
    char path[TEMP_PATH_SIZE];
    struct db *db = NULL;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    rig_close(&rig);
    rig.options.apply_delay_ms = 1;
    rig.options.overlay_bytes_max = 1;
    rig_open(&rig);
    (void)snprintf(path, sizeof path, "%s/metadata.sqlite", rig.dir);
    cr_assert_eq(db_open_writer(path, 1 << 20, &db, NULL), GFS_OK);
    cr_assert_eq(db_begin(db), GFS_OK);
    cr_expect_eq(rig_put(&rig, bucket, "a", 1, 1, NULL), GFS_OK, "held until the fault");
    cr_expect(stats_of(&rig).has_failed);
    cr_expect_eq(rig_put(&rig, bucket, "b", 1, 1, NULL), GFS_BUSY, "and no more of them");
    db_rollback(db);
    db_close(db);
    rig_await_applied(&rig);
    cr_expect_eq(rig_put(&rig, bucket, "b", 1, 1, NULL), GFS_OK);
    cr_expect(!stats_of(&rig).has_failed);
    rig_fini(&rig);
}
