/* From proposal to answer: order, refusals, failures, answers that are held. */
#include <sched.h>
#include <stdatomic.h>

#include "libgoodfs/mem.h"
#include "metad/db.h"
#include "tests/unit/metad/shard_rig.h"

static void put_job(struct job *job, uint64_t bucket, const char *key, uint32_t chunks, uint8_t tag)
{
    job_init(job, META_OBJECT_PUT, bucket, gfs_slice_str(key));
    job_fill(job, chunks, tag);
}

Test(shard_propose, refused_edit_leaves_nothing)
{
    struct rig rig;
    char text[RIG_TEXT_SIZE];
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    (void)rig_put(&rig, bucket, "old", 1, 1, NULL);
    log_double_set_auto(rig.log, false);
    struct job jobs[3];
    const char *keys[] = {"new", "old", "last"};
    for (size_t i = 0; i < GFS_COUNT(jobs); i++) {
        put_job(&jobs[i], bucket, keys[i], 1, 5);
        cr_assert_eq(rig_submit(&rig, &jobs[i], META_NOWAIT), GFS_OK);
    }
    cr_expect_eq(rig_tag(&rig, bucket, "old"), 1, "nothing undecided is seen");
    cr_expect_str_eq(
        rig_list(&rig, &(struct meta_list_query){.bucket_id = bucket, .max = 10}, false, text),
        "old");
    cr_assert_eq(log_double_decide(rig.log, 2, GFS_NO_SPACE), 2u);
    cr_assert_eq(log_double_decide(rig.log, 1, GFS_OK), 1u);
    log_double_set_auto(rig.log, true);
    cr_expect_eq(job_wait(&jobs[0]), GFS_NO_SPACE);
    cr_expect_eq(job_wait(&jobs[1]), GFS_NO_SPACE);
    cr_expect_eq(job_wait(&jobs[2]), GFS_OK);
    for (int round = 0; round < 2; round++) {
        cr_expect_str_eq(
            rig_list(&rig, &(struct meta_list_query){.bucket_id = bucket, .max = 10}, false, text),
            "last old");
        cr_expect_eq(rig_tag(&rig, bucket, "old"), 1);
        cr_expect_eq(rig_put(&rig, bucket, "old", 1, 1, NULL), GFS_OK);
        rig_crash(&rig);
    }
    for (size_t i = 0; i < GFS_COUNT(jobs); i++) {
        cr_expect_eq(job_done_count(&jobs[i]), 1u);
        job_fini(&jobs[i]);
    }
    rig_fini(&rig);
}

Test(shard_propose, lsn_and_time_are_given_and_rise)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    uint64_t lsn = 0;
    int64_t time_ms = 0;
    for (int i = 0; i < 20; i++) {
        struct job job;
        put_job(&job, bucket, "a", 1, 1);
        cr_assert_eq(rig_run(&rig, &job), GFS_OK);
        cr_expect_gt(job.op.lsn, lsn);
        cr_expect_geq(job.op.mtime_ms, time_ms);
        lsn = job.op.lsn;
        time_ms = job.op.mtime_ms;
        cr_assert_eq(rig_get(&rig, bucket, "a", &job), GFS_OK);
        cr_expect_eq(job.object.mod_lsn, lsn);
        cr_expect_eq(job.object.mtime_ms, time_ms);
        job_fini(&job);
        if (i == 10) {
            rig_restart(&rig);
        }
    }
    rig_fini(&rig);
}

Test(shard_propose, after_a_failure_of_the_log_everything_is_an_error)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    log_double_set_auto(rig.log, false);
    struct job first;
    struct job second;
    struct job third;
    put_job(&first, bucket, "a", 1, 1);
    put_job(&second, bucket, "a", 1, 2);
    job_if_none_match(&second);
    cr_assert_eq(rig_submit(&rig, &first, META_NOWAIT), GFS_OK);
    cr_assert_eq(rig_submit(&rig, &second, META_NOWAIT), GFS_OK);
    (void)log_double_decide(rig.log, 1, GFS_IO);
    cr_expect_eq(job_wait(&first), GFS_IO);
    cr_expect_eq(job_wait(&second), GFS_IO);
    put_job(&third, bucket, "b", 1, 1);
    cr_expect_eq(rig_run(&rig, &third), GFS_UNREACHABLE);
    cr_expect_eq(log_double_waiting(rig.log), 0u);
    struct shard_stats stats;
    shard_stats(rig.shard, &stats);
    cr_expect(stats.has_failed);
    cr_expect_eq(rig_tag(&rig, bucket, "a"), -1);
    job_fini(&first);
    job_fini(&second);
    job_fini(&third);
    rig_fini(&rig);
}

/* A second writer keeps SQLite locked, so that nothing can be applied. */
static struct db *lock_database(const struct rig *rig)
{
    char path[TEMP_PATH_SIZE];
    struct db *db = NULL;
    (void)snprintf(path, sizeof path, "%s/metadata.sqlite", rig->dir);
    cr_assert_eq(db_open_writer(path, 1 << 20, &db, NULL), GFS_OK);
    cr_assert_eq(db_begin(db), GFS_OK);
    return db;
}

static void unlock_database(struct db *db)
{
    db_rollback(db);
    db_close(db);
}

Test(shard_propose, acknowledgements_wait_while_the_overlay_is_too_big)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    rig_close(&rig);
    rig.options.overlay_bytes_max = 1;
    rig_open(&rig);
    struct db *db = lock_database(&rig);
    log_double_set_auto(rig.log, false);
    struct job jobs[3];
    for (size_t i = 0; i < GFS_COUNT(jobs); i++) {
        put_job(&jobs[i], bucket, "a", 1, (uint8_t)(i + 1));
        cr_assert_eq(rig_submit(&rig, &jobs[i], META_NOWAIT), GFS_OK);
    }
    cr_assert_eq(log_double_decide(rig.log, 2, GFS_OK), 2u);
    cr_assert_eq(log_double_decide(rig.log, 1, GFS_NO_SPACE), 1u);
    cr_expect_eq(job_done_count(&jobs[0]) + job_done_count(&jobs[1]), 0u);
    cr_expect_eq(job_wait(&jobs[2]), GFS_NO_SPACE, "a refusal takes no memory: it does not wait");
    cr_expect_eq(rig_tag(&rig, bucket, "a"), 2, "committed is committed");
    unlock_database(db);
    cr_expect_eq(job_wait(&jobs[0]), GFS_OK);
    cr_expect_eq(job_wait(&jobs[1]), GFS_OK);
    for (size_t i = 0; i < GFS_COUNT(jobs); i++) {
        job_fini(&jobs[i]);
    }
    rig_fini(&rig);
}

Test(shard_propose, held_answer_is_given_when_a_refusal_makes_the_overlay_small_again)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    rig_close(&rig);
    rig.options.overlay_bytes_max = 600;
    rig_open(&rig);
    log_double_set_auto(rig.log, false);
    struct job small;
    struct job big;
    char value[2000];
    memset(value, 'v', sizeof value);
    struct meta_header header = {GFS_SLICE_LITERAL("x-amz-meta-a"),
                                 gfs_slice_of(value, sizeof value)};
    put_job(&small, bucket, "a", 1, 1);
    put_job(&big, bucket, "b", 1, 1);
    big.object.headers = &header;
    big.object.header_count = 1;
    cr_assert_eq(rig_submit(&rig, &small, META_NOWAIT), GFS_OK);
    cr_assert_eq(rig_submit(&rig, &big, META_NOWAIT), GFS_OK);
    cr_assert_eq(log_double_decide(rig.log, 1, GFS_OK), 1u);
    rig_await_applied(&rig);
    cr_expect_eq(job_done_count(&small), 0u, "the big row is still there");
    cr_assert_eq(log_double_decide(rig.log, 1, GFS_NO_SPACE), 1u);
    cr_expect_eq(job_wait(&small), GFS_OK);
    cr_expect_eq(job_wait(&big), GFS_NO_SPACE);
    job_fini(&small);
    job_fini(&big);
    rig_fini(&rig);
}

/* ---- closing ---- */

struct slow {
    struct meta_op op;
    atomic_bool is_done;
};

static void slow_done(struct meta_op *op, enum gfs_err err)
{
    struct slow *slow = GFS_CONTAINER_OF(op, struct slow, op);
    for (int i = 0; i < 1000; i++) {
        (void)sched_yield();
    }
    atomic_store(&slow->is_done, err == GFS_OK);
}

Test(shard_propose, nobody_is_called_after_the_shard_was_closed)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    for (int i = 0; i < 20; i++) {
        struct meta_object object = {0};
        struct slow slow = {.op = {.kind = META_OBJECT_PUT,
                                   .bucket_id = bucket,
                                   .key = GFS_SLICE_LITERAL("a"),
                                   .object = &object,
                                   .done = slow_done}};
        cr_assert_eq(rig.meta->ops->submit(rig.meta, &slow.op, META_NOWAIT), GFS_OK);
        rig_close(&rig);
        cr_assert(atomic_load(&slow.is_done));
        rig_open(&rig);
    }
    rig_fini(&rig);
}
