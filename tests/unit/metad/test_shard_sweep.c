/* Which chunks are deleted, and when. */
#include <sched.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "tests/unit/metad/shard_rig.h"

struct sweep_rig {
    struct rig rig;
    uint64_t bucket;
};

/* Applied and swept at once. */
static void init(struct sweep_rig *rig)
{
    rig_init(&rig->rig);
    rig->bucket = rig_bucket(&rig->rig, "bucket");
    rig_close(&rig->rig);
    rig->rig.options.apply_delay_ms = 1;
    rig->rig.options.gc_grace_ms = 0;
    rig_open(&rig->rig);
}

/* Waits until that many ids were deleted, and until a chunk freed afterwards is, too: so nothing
 * else is to come. */
static void expect_deleted(struct sweep_rig *rig, size_t count)
{
    struct chunk_id marker;
    cr_assert_eq(rig_put(&rig->rig, rig->bucket, "marker", 1, 1, &marker), GFS_OK);
    cr_assert_eq(rig_delete(&rig->rig, rig->bucket, "marker"), GFS_OK);
    while (log_double_is_live(rig->rig.log, marker)) {
        (void)sched_yield();
    }
    cr_expect_eq(log_double_deleted(rig->rig.log), count + 1);
}

static bool is_live(struct sweep_rig *rig, struct chunk_id id)
{
    return log_double_is_live(rig->rig.log, id);
}

Test(shard_sweep, chunks_of_replaced_and_deleted_objects_go)
{
    struct sweep_rig rig;
    struct chunk_id first[3];
    struct chunk_id second[2];
    struct chunk_id other;
    init(&rig);
    (void)rig_put(&rig.rig, rig.bucket, "a", 3, 1, first);
    (void)rig_put(&rig.rig, rig.bucket, "b", 1, 1, &other);
    (void)rig_put(&rig.rig, rig.bucket, "a", 2, 2, second);
    expect_deleted(&rig, 3);
    cr_expect(!is_live(&rig, first[0]) && !is_live(&rig, first[1]) && !is_live(&rig, first[2]));
    cr_expect(is_live(&rig, second[0]) && is_live(&rig, second[1]) && is_live(&rig, other));
    rig_fini(&rig.rig);
}

Test(shard_sweep, shared_chunks_live_until_the_last_reference_goes)
{
    struct sweep_rig rig;
    struct chunk_id chunks[2];
    init(&rig);
    (void)rig_put(&rig.rig, rig.bucket, "a", 2, 1, chunks);
    cr_assert_eq(rig_copy(&rig.rig, rig.bucket, "a", "b"), GFS_OK);
    cr_assert_eq(rig_copy(&rig.rig, rig.bucket, "b", "b"), GFS_OK);
    cr_assert_eq(rig_copy(&rig.rig, rig.bucket, "b", "c"), GFS_OK);
    (void)rig_delete(&rig.rig, rig.bucket, "a");
    rig_crash(&rig.rig);
    (void)rig_put(&rig.rig, rig.bucket, "c", 0, 1, NULL);
    expect_deleted(&rig, 0);
    cr_expect(is_live(&rig, chunks[0]) && is_live(&rig, chunks[1]));
    (void)rig_delete(&rig.rig, rig.bucket, "b");
    expect_deleted(&rig, 3); /* one marker more */
    cr_expect(!is_live(&rig, chunks[0]) && !is_live(&rig, chunks[1]));
    rig_fini(&rig.rig);
}

Test(shard_sweep, completion_keeps_the_chunks_of_used_parts_and_frees_the_others)
{
    struct sweep_rig rig;
    struct chunk_id chunks[4];
    uint64_t lsns[4];
    struct job job;
    init(&rig);
    rig_upload(&rig.rig, rig.bucket, "big", 1);
    const uint32_t numbers[] = {1, 2, 3, 2}; /* the last replaces the second */
    for (size_t i = 0; i < GFS_COUNT(numbers); i++) {
        (void)rig_part(&rig.rig, rig.bucket, "big", 1, numbers[i], &chunks[i], &lsns[i]);
    }
    job_complete(&job, rig.bucket, "big", 1);
    job_use_part(&job, 2, lsns[3], chunks[3]);
    job_use_part(&job, 3, lsns[2], chunks[2]);
    cr_assert_eq(rig_run(&rig.rig, &job), GFS_OK);
    job_fini(&job);
    expect_deleted(&rig, 2);
    cr_expect(!is_live(&rig, chunks[0]) && !is_live(&rig, chunks[1]));
    cr_expect(is_live(&rig, chunks[2]) && is_live(&rig, chunks[3]));
    (void)rig_delete(&rig.rig, rig.bucket, "big");
    expect_deleted(&rig, 5);
    cr_expect(!is_live(&rig, chunks[2]) && !is_live(&rig, chunks[3]));
    rig_fini(&rig.rig);
}

Test(shard_sweep, aborted_uploads_and_uploads_of_a_dropped_bucket_go_with_their_parts)
{
    struct sweep_rig rig;
    struct chunk_id chunks[3];
    struct job job;
    init(&rig);
    uint64_t other = rig_bucket(&rig.rig, "other");
    rig_upload(&rig.rig, rig.bucket, "u", 1);
    rig_upload(&rig.rig, other, "u", 2);
    (void)rig_part(&rig.rig, rig.bucket, "u", 1, 1, &chunks[0], NULL);
    (void)rig_part(&rig.rig, other, "u", 2, 1, &chunks[1], NULL);
    (void)rig_part(&rig.rig, other, "u", 2, 2, &chunks[2], NULL);
    job_init(&job, META_UPLOAD_ABORT, rig.bucket, gfs_slice_str("u"));
    job.op.upload_id[0] = 1;
    cr_assert_eq(rig_run(&rig.rig, &job), GFS_OK);
    job_fini(&job);
    cr_assert_eq(rig_drop(&rig.rig, other), GFS_OK);
    expect_deleted(&rig, 3);
    cr_expect(!is_live(&rig, chunks[0]) && !is_live(&rig, chunks[1]) && !is_live(&rig, chunks[2]));
    rig_fini(&rig.rig);
}

Test(shard_sweep, nothing_goes_before_the_grace_time_is_over)
{
    struct sweep_rig rig;
    struct chunk_id chunk;
    init(&rig);
    rig_close(&rig.rig);
    rig.rig.options.gc_grace_ms = 1000 * 1000;
    rig_open(&rig.rig);
    (void)rig_put(&rig.rig, rig.bucket, "a", 1, 1, &chunk);
    (void)rig_delete(&rig.rig, rig.bucket, "a");
    rig_await_applied(&rig.rig);
    gfs_clock_shift_wall_ms(900 * 1000);
    rig_restart(&rig.rig);
    (void)rig_put(&rig.rig, rig.bucket, "a", 1, 1, NULL);
    (void)rig_delete(&rig.rig, rig.bucket, "a");
    rig_await_applied(&rig.rig);
    cr_expect(is_live(&rig, chunk));
    gfs_clock_shift_wall_ms(200 * 1000);
    rig_restart(&rig.rig);
    while (is_live(&rig, chunk)) {
        (void)sched_yield();
    }
    cr_expect_eq(log_double_deleted(rig.rig.log), 1u, "the later one waits for its own time");
    rig_fini(&rig.rig);
}

static void check_refused(enum gfs_err refusal)
{
    struct sweep_rig rig;
    struct chunk_id chunk;
    init(&rig);
    (void)rig_put(&rig.rig, rig.bucket, "a", 1, 1, &chunk);
    (void)rig_delete(&rig.rig, rig.bucket, "a");
    log_double_set_auto(rig.rig.log, false);
    if (is_live(&rig, chunk)) { /* not swept before the double stopped deciding */
        log_double_await(rig.rig.log, 1);
        (void)log_double_decide(rig.rig.log, 1, refusal);
        cr_expect(is_live(&rig, chunk));
    }
    log_double_set_auto(rig.rig.log, true);
    while (is_live(&rig, chunk)) {
        (void)sched_yield();
    }
    rig_fini(&rig.rig);
}

Test(shard_sweep, refused_deletion_is_tried_again)
{
    check_refused(GFS_NO_SPACE);
}

Test(shard_sweep, deletion_that_not_every_disk_confirmed_is_tried_again)
{
    check_refused(GFS_UNREACHABLE);
}

static enum gfs_err completed(struct rig *rig, const uint8_t *id)
{
    struct meta_row *row = NULL;
    enum gfs_err err = rig->meta->ops->completed(rig->meta, id, 0, &row);
    meta_row_unref(row);
    return err;
}

Test(shard_sweep, what_uploads_became_is_forgotten_after_a_week)
{
    enum { COUNT = 1300 };
    struct sweep_rig rig;
    init(&rig);
    for (int i = 0; i < COUNT; i++) {
        struct job job;
        job_init(&job, META_UPLOAD_CREATE, rig.bucket, gfs_slice_str("u"));
        memcpy(job.op.upload_id, &i, sizeof i);
        cr_assert_eq(rig_run(&rig.rig, &job), GFS_OK);
        job_fini(&job);
        job_complete(&job, rig.bucket, "u", 0);
        memcpy(job.op.upload_id, &i, sizeof i);
        cr_assert_eq(rig_run(&rig.rig, &job), GFS_OK);
        job_fini(&job);
    }
    gfs_clock_shift_wall_ms(6LL * 86400 * 1000);
    rig_restart(&rig.rig);
    uint8_t id[META_UPLOAD_ID_LEN] = {0};
    cr_expect_eq(completed(&rig.rig, id), GFS_OK);
    gfs_clock_shift_wall_ms(2LL * 86400 * 1000);
    rig_restart(&rig.rig);
    for (int i = 0; i < COUNT; i++) {
        memcpy(id, &i, sizeof i);
        while (completed(&rig.rig, id) != GFS_NOT_FOUND) {
            (void)sched_yield();
        }
    }
    rig_fini(&rig.rig);
}
