/* Opening, closing and looking at a shard as a whole. */
#include "metad/shard.h"

#include "libgoodfs/mem.h"
#include "tests/unit/metad/shard_rig.h"

Test(shard, new_shard_is_empty)
{
    struct rig rig;
    struct shard_stats stats;
    rig_init(&rig);
    shard_stats(rig.shard, &stats);
    cr_expect_eq(stats.committed_lsn, 0u);
    cr_expect_eq(stats.applied_lsn, 0u);
    cr_expect_eq(stats.overlay_bytes, 0u);
    cr_expect(!stats.has_failed);
    cr_expect_eq(log_double_edits(rig.log), 0u);
    rig_fini(&rig);
    cr_expect(shard_close(NULL));
}

Test(shard, closing_applies_everything_and_trims_the_log_but_for_the_newest_edit)
{
    struct rig rig;
    struct shard_stats stats;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    for (int i = 0; i < 50; i++) {
        (void)rig_put(&rig, bucket, "a", 1, (uint8_t)i, NULL);
    }
    shard_stats(rig.shard, &stats);
    cr_expect_eq(stats.committed_lsn, 51u);
    cr_expect_eq(stats.applied_lsn, 0u);
    cr_expect_gt(stats.overlay_bytes, 0u);
    rig_restart(&rig);
    cr_expect_eq(log_double_trimmed(rig.log), 50u);
    cr_expect_eq(log_double_edits(rig.log), 1u);
    shard_stats(rig.shard, &stats);
    cr_expect_eq(stats.committed_lsn, 51u);
    cr_expect_eq(stats.applied_lsn, 51u);
    cr_expect_eq(stats.overlay_bytes, 0u);
    cr_expect_eq(rig_tag(&rig, bucket, "a"), 49);
    rig_fini(&rig);
}

Test(shard, directory_that_is_not_there_is_an_error_that_names_it)
{
    struct log_double *log = log_double_new();
    struct shard_options options = {.dir = "/nonexistent", .log = log_double_store(log)};
    struct shard *shard = NULL;
    struct gfs_error error = {0};
    cr_expect_eq(shard_open(&options, &shard, &error), GFS_IO);
    cr_expect_not_null(strstr(error.text, "/nonexistent"), "%s", error.text);
    log_double_free(log);
}

Test(shard, operations_under_way_are_waited_for)
{
    struct rig rig;
    struct job jobs[20];
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    for (size_t i = 0; i < GFS_COUNT(jobs); i++) {
        job_init(&jobs[i], META_OBJECT_PUT, bucket, gfs_slice_str("a"));
        job_fill(&jobs[i], 1, (uint8_t)i);
        cr_assert_eq(rig_submit(&rig, &jobs[i], META_NOWAIT), GFS_OK);
    }
    rig_restart(&rig);
    for (size_t i = 0; i < GFS_COUNT(jobs); i++) {
        cr_expect_eq(job_done_count(&jobs[i]), 1u);
        job_fini(&jobs[i]);
    }
    cr_expect_eq(rig_tag(&rig, bucket, "a"), (int)GFS_COUNT(jobs) - 1);
    rig_fini(&rig);
}

Test(shard, lsns_go_on_above_the_floor_of_the_log_and_nobody_waits_for_what_was_left_out)
{
    struct rig rig;
    struct job job;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_expect_eq(bucket, 1u);
    rig_close(&rig);
    log_double_set_floor(rig.log, 1000);
    rig_open(&rig);
    uint64_t empty = rig_bucket(&rig, "empty");
    cr_expect_eq(empty, 1001u);
    rig_close(&rig);
    log_double_set_floor(rig.log, 5000);
    rig_open(&rig);
    cr_expect_eq(rig_drop(&rig, empty), GFS_OK, "waits until what is under way is decided");
    job_init(&job, META_OBJECT_PUT, bucket, GFS_SLICE_LITERAL("a"));
    job_fill(&job, 1, 7);
    cr_assert_eq(rig_run(&rig, &job), GFS_OK);
    cr_expect_eq(job.op.lsn, 5002u);
    job_fini(&job);
    rig_crash(&rig);
    rig_restart(&rig);
    cr_expect_eq(rig_tag(&rig, bucket, "a"), 7);
    job_init(&job, META_OBJECT_PUT, bucket, GFS_SLICE_LITERAL("b"));
    cr_assert_eq(rig_run(&rig, &job), GFS_OK);
    cr_expect_eq(job.op.lsn, 5003u, "a floor below the newest edit changes nothing");
    job_fini(&job);
    rig_fini(&rig);
}
