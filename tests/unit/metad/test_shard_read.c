/* Reading single rows, wherever they are, and usage. */
#include "libgoodfs/mem.h"
#include "tests/unit/metad/shard_rig.h"

static enum gfs_err read_nowait(struct rig *rig, uint64_t bucket, const char *key)
{
    struct meta_row *row = NULL;
    enum gfs_err err =
        rig->meta->ops->object(rig->meta, bucket, gfs_slice_str(key), META_NOWAIT, &row);
    meta_row_unref(row);
    return err;
}

Test(shard_read, what_was_answered_is_seen_at_every_stage)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    rig_close(&rig);
    rig.options.apply_delay_ms = 1;
    rig_open(&rig);
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(rig_put(&rig, bucket, "a", 1, (uint8_t)i, NULL), GFS_OK);
        cr_assert_eq(rig_tag(&rig, bucket, "a"), i % 256);
        if (i % 10 == 0) {
            rig_await_applied(&rig);
            cr_assert_eq(rig_tag(&rig, bucket, "a"), i % 256);
            cr_assert_eq(rig_delete(&rig, bucket, "a"), GFS_OK);
            cr_assert_eq(rig_tag(&rig, bucket, "a"), -1);
            rig_await_applied(&rig);
            cr_assert_eq(rig_tag(&rig, bucket, "a"), -1);
        }
    }
    rig_fini(&rig);
}

Test(shard_read, nowait_reads_memory_only)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_assert_eq(rig_put(&rig, bucket, "a", 1, 1, NULL), GFS_OK);
    cr_expect_eq(read_nowait(&rig, bucket, "a"), GFS_OK);
    cr_expect_eq(read_nowait(&rig, bucket, "b"), GFS_AGAIN);
    cr_assert_eq(rig_delete(&rig, bucket, "b"), GFS_OK);
    cr_expect_eq(read_nowait(&rig, bucket, "b"), GFS_NOT_FOUND, "its deletion is in memory");
    rig_restart(&rig);
    cr_expect_eq(read_nowait(&rig, bucket, "a"), GFS_AGAIN);
    cr_expect_eq(rig_tag(&rig, bucket, "a"), 1);
    cr_expect_eq(read_nowait(&rig, bucket, "a"), GFS_OK, "read once, it is in the row cache");
    rig_fini(&rig);
}

Test(shard_read, row_outlives_what_replaces_it)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_assert_eq(rig_put(&rig, bucket, "a", 1, 1, NULL), GFS_OK);
    struct meta_row *row = NULL;
    cr_assert_eq(rig.meta->ops->object(rig.meta, bucket, gfs_slice_str("a"), 0, &row), GFS_OK);
    cr_assert_eq(rig_put(&rig, bucket, "a", 1, 2, NULL), GFS_OK);
    rig_restart(&rig);
    struct meta_object object;
    cr_assert_eq(meta_object_decode_summary(meta_row_bytes(row), &object), GFS_OK);
    cr_expect_eq(object.etag[0], 1);
    meta_row_unref(row);
    rig_fini(&rig);
}

Test(shard_read, keys_are_bytes_and_too_long_ones_are_not_there)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    char key[GFS_KEY_LEN_MAX + 1];
    memset(key, 0xFF, sizeof key);
    struct job job;
    job_init(&job, META_OBJECT_PUT, bucket, gfs_slice_of(key, GFS_KEY_LEN_MAX));
    job_fill(&job, 1, 1);
    cr_assert_eq(rig_run(&rig, &job), GFS_OK);
    job_fini(&job);
    struct meta_row *row = NULL;
    cr_expect_eq(rig.meta->ops->object(rig.meta, bucket, gfs_slice_of(key, sizeof key), 0, &row),
                 GFS_NOT_FOUND);
    cr_expect_eq(
        rig.meta->ops->object(rig.meta, bucket, gfs_slice_of(key, sizeof key - 2), 0, &row),
        GFS_NOT_FOUND);
    cr_expect_eq(
        rig.meta->ops->object(rig.meta, bucket, gfs_slice_of(key, sizeof key - 1), 0, &row),
        GFS_OK);
    meta_row_unref(row);
    rig_fini(&rig);
}

Test(shard_read, usage_counts_objects_uploads_and_parts)
{
    struct rig rig;
    struct meta_usage usage = {.object_count = 99};
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_expect_eq(rig.meta->ops->usage(rig.meta, bucket, &usage), GFS_OK);
    cr_expect_eq(usage.object_count, 0u, "a new bucket is empty, not unknown");
    cr_expect_eq(rig.meta->ops->usage(rig.meta, bucket + 1, &usage), GFS_NOT_FOUND);
    (void)rig_put(&rig, bucket, "a", 3, 1, NULL);
    (void)rig_put(&rig, bucket, "b", 2, 1, NULL);
    (void)rig_put(&rig, bucket, "a", 1, 1, NULL);
    (void)rig_copy(&rig, bucket, "b", "c");
    rig_upload(&rig, bucket, "u", 1);
    rig_upload(&rig, bucket, "u", 2);
    (void)rig_part(&rig, bucket, "u", 1, 1, NULL, NULL);
    (void)rig_part(&rig, bucket, "u", 1, 2, NULL, NULL);
    (void)rig_part(&rig, bucket, "u", 1, 2, NULL, NULL);
    rig_restart(&rig);
    cr_assert_eq(rig.meta->ops->usage(rig.meta, bucket, &usage), GFS_OK);
    cr_expect_eq(usage.object_count, 3u);
    cr_expect_eq(usage.object_bytes, 50u);
    cr_expect_eq(usage.upload_count, 2u);
    cr_expect_eq(usage.part_bytes, 20u);
    rig_fini(&rig);
}
