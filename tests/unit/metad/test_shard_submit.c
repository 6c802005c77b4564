/* Judging operations: conditions, rows that are missing, what an answer rests on. */
#include "libgoodfs/mem.h"
#include "tests/unit/metad/shard_rig.h"

struct two {
    struct rig rig;
    uint64_t bucket;
    struct job first, second;
};

static void init(struct two *two)
{
    rig_init(&two->rig);
    two->bucket = rig_bucket(&two->rig, "bucket");
}

static void put_job(struct two *two, struct job *job, const char *key, uint8_t tag)
{
    job_init(job, META_OBJECT_PUT, two->bucket, gfs_slice_str(key));
    job_fill(job, 1, tag);
}

static void fini(struct two *two)
{
    job_fini(&two->first);
    job_fini(&two->second);
    rig_fini(&two->rig);
}

/* The first put of "a" is proposed and not decided; the second one demands that nothing is there.
 */
static void begin_race(struct two *two)
{
    init(two);
    log_double_set_auto(two->rig.log, false);
    put_job(two, &two->first, "a", 1);
    put_job(two, &two->second, "a", 2);
    job_if_none_match(&two->second);
    cr_assert_eq(rig_submit(&two->rig, &two->first, META_NOWAIT), GFS_OK);
    cr_assert_eq(rig_submit(&two->rig, &two->second, META_NOWAIT), GFS_OK);
    cr_assert_eq(job_done_count(&two->second), 0u, "the answer rests on an undecided edit");
    cr_assert_eq(log_double_waiting(two->rig.log), 1u);
}

Test(shard_submit, condition_is_judged_against_what_is_proposed_and_answered_when_it_is_decided)
{
    struct two two;
    begin_race(&two);
    cr_assert_eq(log_double_decide(two.rig.log, 1, GFS_OK), 1u);
    cr_expect_eq(job_wait(&two.first), GFS_OK);
    cr_expect_eq(job_wait(&two.second), GFS_PRECONDITION);
    cr_expect_eq(rig_tag(&two.rig, two.bucket, "a"), 1);
    fini(&two);
}

Test(shard_submit, answer_that_rests_on_a_refused_edit_is_busy)
{
    struct two two;
    begin_race(&two);
    cr_assert_eq(log_double_decide(two.rig.log, 1, GFS_NO_SPACE), 1u);
    cr_expect_eq(job_wait(&two.first), GFS_NO_SPACE);
    cr_expect_eq(job_wait(&two.second), GFS_BUSY);
    cr_expect_eq(rig_tag(&two.rig, two.bucket, "a"), -1);
    fini(&two);
}

/* "a" is 1; a put of 2 is undecided; the second put demands 2. */
static void begin_chain(struct two *two)
{
    init(two);
    cr_assert_eq(rig_put(&two->rig, two->bucket, "a", 1, 1, NULL), GFS_OK);
    log_double_set_auto(two->rig.log, false);
    put_job(two, &two->first, "a", 2);
    put_job(two, &two->second, "a", 3);
    job_if_match(&two->second, 2);
    cr_assert_eq(rig_submit(&two->rig, &two->first, META_NOWAIT), GFS_OK);
    cr_assert_eq(rig_submit(&two->rig, &two->second, META_NOWAIT), GFS_AGAIN);
    cr_assert_eq(job_done_count(&two->second), 0u);
    rig_start(&two->rig, &two->second);
}

Test(shard_submit, nothing_is_accepted_on_the_strength_of_an_edit_that_is_refused)
{
    struct two two;
    begin_chain(&two);
    cr_assert_eq(log_double_decide(two.rig.log, 1, GFS_NO_SPACE), 1u);
    cr_expect_eq(job_join(&two.second), GFS_PRECONDITION);
    cr_expect_eq(log_double_waiting(two.rig.log), 0u);
    cr_expect_eq(rig_tag(&two.rig, two.bucket, "a"), 1);
    fini(&two);
}

Test(shard_submit, what_rests_on_an_undecided_edit_is_accepted_after_its_commit)
{
    struct two two;
    begin_chain(&two);
    cr_assert_eq(log_double_decide(two.rig.log, 1, GFS_OK), 1u);
    log_double_await(two.rig.log, 1);
    cr_assert_eq(log_double_decide(two.rig.log, 1, GFS_OK), 1u);
    cr_expect_eq(job_join(&two.second), GFS_OK);
    cr_expect_eq(rig_tag(&two.rig, two.bucket, "a"), 3);
    fini(&two);
}

Test(shard_submit, each_condition_is_judged_in_memory_and_from_the_database)
{
    struct two two;
    init(&two);
    cr_assert_eq(rig_put(&two.rig, two.bucket, "a", 2, 7, NULL), GFS_OK);
    struct job job;
    job_init(&job, META_OBJECT_PUT, two.bucket, gfs_slice_str("a"));
    cr_assert_eq(rig_get(&two.rig, two.bucket, "a", &job), GFS_OK);
    int64_t mtime_s = job.object.mtime_ms / 1000;
    job_fini(&job);
    struct meta_etag right[] = {{.md5 = {9}}, {.md5 = {7}}};
    struct meta_etag wrong[] = {{.md5 = {9}}, {.md5 = {7}, .parts = 1}};
    const struct {
        struct meta_condition condition;
        enum gfs_err there, missing;
    } cases[] = {
        {{.if_none_match_any = true}, GFS_PRECONDITION, GFS_OK},
        {{.if_match_any = true}, GFS_OK, GFS_NOT_FOUND},
        {{.has_if_match = true, .etags = right, .etag_count = 2}, GFS_OK, GFS_NOT_FOUND},
        {{.has_if_match = true, .etags = wrong, .etag_count = 2}, GFS_PRECONDITION, GFS_NOT_FOUND},
        {{.has_if_match_size = true, .if_match_size = 20}, GFS_OK, GFS_NOT_FOUND},
        {{.has_if_match_size = true, .if_match_size = 21}, GFS_PRECONDITION, GFS_NOT_FOUND},
        {{.has_if_match_mtime = true, .if_match_mtime_s = 0}, GFS_OK, GFS_NOT_FOUND},
        {{.has_if_match_mtime = true, .if_match_mtime_s = 1}, GFS_PRECONDITION, GFS_NOT_FOUND},
    };
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < GFS_COUNT(cases); i++) {
            job_init(&job, META_OBJECT_DELETE, two.bucket, (struct gfs_slice){0});
            struct meta_delete *there = job_delete(&job, round == 0 ? "b" : "a");
            struct meta_delete *missing = job_delete(&job, "never");
            there->condition = missing->condition = cases[i].condition;
            there->condition.if_match_mtime_s += mtime_s;
            if (round == 0) {
                cr_assert_eq(rig_copy(&two.rig, two.bucket, "a", "b"), GFS_OK);
                there->condition.has_if_match_mtime = false; /* of the copy, it is another */
            }
            cr_assert_eq(rig_run(&two.rig, &job), GFS_OK);
            bool is_mtime = cases[i].condition.has_if_match_mtime;
            cr_expect_eq(there->err, round == 0 && is_mtime ? GFS_OK : cases[i].there, "%zu", i);
            cr_expect_eq(missing->err, cases[i].missing, "%zu", i);
            job_fini(&job);
            if (round == 1 && there->err == GFS_OK) {
                cr_expect_eq(rig_tag(&two.rig, two.bucket, "a"), -1);
                cr_assert_eq(rig_put(&two.rig, two.bucket, "a", 2, 7, NULL), GFS_OK);
                cr_assert_eq(rig_get(&two.rig, two.bucket, "a", &job), GFS_OK);
                mtime_s = job.object.mtime_ms / 1000;
            }
        }
        rig_restart(&two.rig);
    }
    rig_fini(&two.rig);
}

Test(shard_submit, condition_on_a_missing_key_says_that_the_key_is_missing)
{
    struct two two;
    init(&two);
    put_job(&two, &two.first, "a", 1);
    two.first.op.condition.if_match_any = true;
    cr_expect_eq(rig_run(&two.rig, &two.first), GFS_NOT_FOUND);
    cr_expect_eq(two.first.op.what_missing, META_MISSING_KEY);
    put_job(&two, &two.second, "a", 1);
    two.second.op.bucket_id = two.bucket + 100;
    cr_expect_eq(rig_run(&two.rig, &two.second), GFS_NOT_FOUND);
    cr_expect_eq(two.second.op.what_missing, META_MISSING_BUCKET);
    fini(&two);
}

Test(shard_submit, nowait_answers_again_instead_of_reading_the_database)
{
    struct two two;
    init(&two);
    cr_assert_eq(rig_put(&two.rig, two.bucket, "a", 1, 1, NULL), GFS_OK);
    rig_restart(&two.rig);
    put_job(&two, &two.first, "a", 2);
    job_if_match(&two.first, 1);
    cr_expect_eq(rig_submit(&two.rig, &two.first, META_NOWAIT), GFS_AGAIN);
    cr_expect_eq(job_done_count(&two.first), 0u);
    cr_expect_eq(rig_run(&two.rig, &two.first), GFS_OK);
    put_job(&two, &two.second, "a", 3);
    job_if_match(&two.second, 2);
    cr_expect_eq(rig_submit(&two.rig, &two.second, META_NOWAIT), GFS_OK, "it is in memory now");
    cr_expect_eq(job_wait(&two.second), GFS_OK);
    fini(&two);
}

Test(shard_submit, one_delete_operation_answers_each_key)
{
    struct two two;
    init(&two);
    (void)rig_put(&two.rig, two.bucket, "a", 1, 1, NULL);
    (void)rig_put(&two.rig, two.bucket, "b", 1, 2, NULL);
    rig_restart(&two.rig);
    (void)rig_put(&two.rig, two.bucket, "c", 1, 3, NULL);
    struct job *job = &two.first;
    job_init(job, META_OBJECT_DELETE, two.bucket, (struct gfs_slice){0});
    (void)job_delete(job, "a");
    struct meta_delete *b = job_delete(job, "b");
    *b->condition.etags = (struct meta_etag){.md5 = {9}};
    b->condition.etag_count = 1;
    b->condition.has_if_match = true;
    (void)job_delete(job, "c");
    (void)job_delete(job, "a");
    (void)job_delete(job, "never");
    cr_assert_eq(rig_run(&two.rig, job), GFS_OK);
    const enum gfs_err expected[] = {GFS_OK, GFS_PRECONDITION, GFS_OK, GFS_OK, GFS_OK};
    for (size_t i = 0; i < GFS_COUNT(expected); i++) {
        cr_expect_eq(job->deletes[i].err, expected[i], "%zu", i);
    }
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(rig_tag(&two.rig, two.bucket, "a"), -1);
        cr_expect_eq(rig_tag(&two.rig, two.bucket, "b"), 2);
        cr_expect_eq(rig_tag(&two.rig, two.bucket, "c"), -1);
        rig_restart(&two.rig);
    }
    job_fini(job);
    rig_fini(&two.rig);
}

Test(shard_submit, invalid_operations_are_refused)
{
    struct two two;
    init(&two);
    char longest[GFS_KEY_LEN_MAX + 1];
    memset(longest, 'k', sizeof longest);
    const struct gfs_slice keys[] = {{NULL, 0}, {longest, sizeof longest}};
    const enum meta_op_kind kinds[] = {META_OBJECT_PUT, META_UPLOAD_CREATE, META_PART_PUT,
                                       META_UPLOAD_COMPLETE, META_UPLOAD_ABORT};
    for (size_t i = 0; i < GFS_COUNT(keys) * GFS_COUNT(kinds); i++) {
        job_init(&two.first, kinds[i / 2], two.bucket, (struct gfs_slice){0});
        two.first.part.number = 1;
        two.first.op.key = keys[i % 2];
        cr_expect_eq(rig_run(&two.rig, &two.first), GFS_INVALID, "%zu", i);
        job_fini(&two.first);
    }
    rig_upload(&two.rig, two.bucket, "up", 1);
    cr_expect_eq(rig_part(&two.rig, two.bucket, "up", 1, 0, NULL, NULL), GFS_INVALID);
    cr_expect_eq(rig_part(&two.rig, two.bucket, "up", 1, 10001, NULL, NULL), GFS_INVALID);
    cr_expect_eq(rig_part(&two.rig, two.bucket, "up", 1, 10000, NULL, NULL), GFS_OK);
    job_complete(&two.first, two.bucket, "up", 1);
    job_use_part(&two.first, 2, 1, chunk_id_new(0));
    job_use_part(&two.first, 2, 1, chunk_id_new(0));
    cr_expect_eq(rig_run(&two.rig, &two.first), GFS_INVALID);
    job_fini(&two.first);
    rig_fini(&two.rig);
}

Test(shard_submit, multipart_upload_from_creation_to_repeated_completion)
{
    struct two two;
    init(&two);
    struct rig *rig = &two.rig;
    struct chunk_id chunks[3];
    uint64_t lsns[3];
    rig_upload(rig, two.bucket, "big", 1);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(rig_part(rig, two.bucket, "big", 1, i + 1, &chunks[i], &lsns[i]), GFS_OK);
        if (i == 1) {
            rig_restart(rig);
        }
    }
    cr_expect_eq(rig_tag(rig, two.bucket, "big"), -1);
    struct job *job = &two.first;
    job_complete(job, two.bucket, "big", 1);
    job_use_part(job, 1, lsns[0], chunks[0]);
    job_use_part(job, 3, lsns[1], chunks[2]); /* not the part that was read */
    cr_expect_eq(rig_run(rig, job), GFS_CONFLICT);
    job_fini(job);
    job_complete(job, two.bucket, "big", 1);
    job_use_part(job, 1, lsns[0], chunks[0]);
    job_use_part(job, 3, lsns[2], chunks[2]);
    cr_expect_eq(rig_run(rig, job), GFS_OK);
    job_fini(job);
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(rig_tag(rig, two.bucket, "big"), 1);
        struct meta_row *row = NULL;
        struct meta_completed completed;
        cr_assert_eq(rig->meta->ops->completed(rig->meta, job->op.upload_id, 0, &row), GFS_OK);
        cr_assert_eq(meta_completed_decode(meta_row_bytes(row), &completed), GFS_OK);
        cr_expect_eq(completed.mod_lsn, job->op.lsn);
        cr_expect_eq(completed.mtime_ms, job->op.mtime_ms);
        cr_expect_eq(completed.bucket_id, two.bucket);
        cr_expect_eq(completed.size, 20u);
        cr_expect(gfs_slice_eq_str(completed.key, "big"));
        meta_row_unref(row);
        cr_expect_eq(rig->meta->ops->upload(rig->meta, two.bucket, gfs_slice_str("big"),
                                            job->op.upload_id, 0, &row),
                     GFS_NOT_FOUND);
        job_complete(&two.second, two.bucket, "big", 1);
        job_use_part(&two.second, 1, lsns[0], chunks[0]);
        cr_expect_eq(rig_run(rig, &two.second), GFS_NOT_FOUND);
        cr_expect_eq(two.second.op.what_missing, META_MISSING_UPLOAD);
        job_fini(&two.second);
        cr_expect_eq(rig_part(rig, two.bucket, "big", 1, 4, NULL, NULL), GFS_NOT_FOUND);
        rig_restart(rig);
    }
    rig_fini(rig);
}

Test(shard_submit, completion_obeys_a_condition_and_the_upload_goes_on_after_a_refusal)
{
    struct two two;
    init(&two);
    struct chunk_id chunk;
    uint64_t lsn;
    (void)rig_put(&two.rig, two.bucket, "big", 1, 9, NULL);
    rig_upload(&two.rig, two.bucket, "big", 1);
    cr_assert_eq(rig_part(&two.rig, two.bucket, "big", 1, 1, &chunk, &lsn), GFS_OK);
    job_complete(&two.first, two.bucket, "big", 1);
    job_use_part(&two.first, 1, lsn, chunk);
    job_if_none_match(&two.first);
    cr_expect_eq(rig_run(&two.rig, &two.first), GFS_PRECONDITION);
    job_complete(&two.second, two.bucket, "big", 1);
    job_use_part(&two.second, 1, lsn, chunk);
    job_if_match(&two.second, 9);
    cr_expect_eq(rig_run(&two.rig, &two.second), GFS_OK);
    cr_expect_eq(rig_tag(&two.rig, two.bucket, "big"), 1);
    fini(&two);
}

Test(shard_submit, copy_of_a_row_that_changed_meanwhile_conflicts)
{
    struct two two;
    init(&two);
    (void)rig_put(&two.rig, two.bucket, "from", 1, 1, NULL);
    struct job source;
    job_init(&source, META_OBJECT_PUT, two.bucket, (struct gfs_slice){0});
    cr_assert_eq(rig_get(&two.rig, two.bucket, "from", &source), GFS_OK);
    for (int round = 0; round < 2; round++) {
        put_job(&two, &two.first, "to", 1);
        two.first.op.data = NULL;
        two.first.object = source.object;
        two.first.op.share =
            (struct meta_share){true, two.bucket, gfs_slice_str("from"), source.object.mod_lsn};
        if (round == 1) {
            (void)rig_put(&two.rig, two.bucket, "from", 1, 1, NULL);
        }
        cr_expect_eq(rig_run(&two.rig, &two.first), round == 0 ? GFS_OK : GFS_CONFLICT);
        job_fini(&two.first);
    }
    job_fini(&source);
    rig_fini(&two.rig);
}
