/* Buckets: their states, and deletions that meet other operations. */
#include "libgoodfs/mem.h"
#include "tests/unit/metad/shard_rig.h"

static enum gfs_err create(struct rig *rig, const char *name, struct meta_bucket *ret)
{
    struct job job;
    job_init(&job, META_BUCKET_CREATE, 0, gfs_slice_str(name));
    job.op.region = GFS_SLICE_LITERAL("eu-west-1");
    enum gfs_err err = rig_run(rig, &job);
    *ret = job.op.ret_bucket;
    job_fini(&job);
    return err;
}

static const char *list(struct rig *rig, const char *prefix, const char *after, uint32_t max,
                        char text[256])
{
    struct meta_bucket found[16];
    uint32_t count = 0;
    bool is_truncated = false;
    cr_assert_eq(rig->meta->ops->buckets(rig->meta, gfs_slice_str(prefix), gfs_slice_str(after),
                                         max, found, &count, &is_truncated),
                 GFS_OK);
    int len = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        len += snprintf(text + len, 256 - (size_t)len, "%s ", found[i].name);
    }
    (void)snprintf(text + len, 256 - (size_t)len, "%s", is_truncated ? "+" : "");
    return text;
}

Test(shard_bucket, created_bucket_is_there_and_stays)
{
    struct rig rig;
    struct meta_bucket made;
    struct meta_bucket found;
    rig_init(&rig);
    cr_assert_eq(create(&rig, "bbb", &made), GFS_OK);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(rig.meta->ops->bucket(rig.meta, gfs_slice_str("bbb"), &found), GFS_OK);
        cr_expect_eq(found.id, made.id);
        cr_expect_eq(found.created_ms, made.created_ms);
        cr_expect_str_eq(found.region, "eu-west-1");
        struct meta_bucket there;
        cr_expect_eq(create(&rig, "bbb", &there), GFS_EXISTS);
        cr_expect_eq(there.id, made.id);
        cr_expect_eq(rig.meta->ops->bucket(rig.meta, gfs_slice_str("bb"), &found), GFS_NOT_FOUND);
        if (round == 0) {
            rig_crash(&rig);
        } else {
            rig_restart(&rig);
        }
    }
    rig_fini(&rig);
}

Test(shard_bucket, buckets_are_listed_in_name_order)
{
    struct rig rig;
    char text[256];
    rig_init(&rig);
    const char *names[] = {"ccc", "aaa", "abc", "bbb", "ab"};
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        (void)rig_bucket(&rig, names[i]);
    }
    cr_expect_str_eq(list(&rig, "", "", 10, text), "aaa ab abc bbb ccc ");
    cr_expect_str_eq(list(&rig, "", "", 5, text), "aaa ab abc bbb ccc ");
    cr_expect_str_eq(list(&rig, "", "", 4, text), "aaa ab abc bbb +");
    cr_expect_str_eq(list(&rig, "ab", "", 10, text), "ab abc ");
    cr_expect_str_eq(list(&rig, "ab", "ab", 10, text), "abc ");
    cr_expect_str_eq(list(&rig, "ab", "", 1, text), "ab +");
    cr_expect_str_eq(list(&rig, "", "abb", 2, text), "abc bbb +");
    cr_expect_str_eq(list(&rig, "b", "c", 2, text), "");
    rig_fini(&rig);
}

Test(shard_bucket, undecided_creation_is_invisible_and_a_second_one_conflicts)
{
    struct rig rig;
    struct job job;
    struct meta_bucket bucket;
    char text[256];
    rig_init(&rig);
    for (int round = 0; round < 2; round++) {
        log_double_set_auto(rig.log, false);
        job_init(&job, META_BUCKET_CREATE, 0, gfs_slice_str("bbb"));
        cr_assert_eq(rig_submit(&rig, &job, META_NOWAIT), GFS_OK);
        cr_expect_eq(rig.meta->ops->bucket(rig.meta, gfs_slice_str("bbb"), &bucket), GFS_NOT_FOUND);
        cr_expect_str_eq(list(&rig, "", "", 10, text), "");
        cr_expect_eq(create(&rig, "bbb", &bucket), GFS_CONFLICT);
        cr_expect_eq(rig_put(&rig, job.op.ret_bucket.id, "a", 0, 0, NULL), GFS_NOT_FOUND);
        (void)log_double_decide(rig.log, 1, round == 0 ? GFS_NO_SPACE : GFS_OK);
        cr_expect_eq(job_wait(&job), round == 0 ? GFS_NO_SPACE : GFS_OK);
        cr_expect_str_eq(list(&rig, "", "", 10, text), round == 0 ? "" : "bbb ");
        job_fini(&job);
        log_double_set_auto(rig.log, true);
    }
    rig_fini(&rig);
}

Test(shard_bucket, bucket_that_is_not_empty_is_not_deleted)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bbb");
    (void)rig_put(&rig, bucket, "a", 1, 1, NULL);
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(rig_drop(&rig, bucket), GFS_NOT_EMPTY);
        rig_restart(&rig);
    }
    cr_assert_eq(rig_delete(&rig, bucket, "a"), GFS_OK);
    cr_expect_eq(rig_drop(&rig, bucket), GFS_OK);
    cr_expect_eq(rig_drop(&rig, bucket), GFS_NOT_FOUND);
    cr_expect_eq(rig_put(&rig, bucket, "a", 1, 1, NULL), GFS_NOT_FOUND);
    rig_fini(&rig);
}

Test(shard_bucket, bucket_made_again_is_another_one)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t last = 0;
    for (int round = 0; round < 4; round++) {
        uint64_t bucket = rig_bucket(&rig, "bbb");
        cr_expect_gt(bucket, last);
        last = bucket;
        cr_expect_eq(rig_tag(&rig, bucket, "a"), -1);
        rig_upload(&rig, bucket, "a", (uint8_t)round);
        (void)rig_put(&rig, bucket, "a", 1, 1, NULL);
        (void)rig_delete(&rig, bucket, "a");
        cr_assert_eq(rig_drop(&rig, bucket), GFS_OK);
        cr_expect_eq(rig_part(&rig, bucket, "a", (uint8_t)round, 1, NULL, NULL), GFS_NOT_FOUND);
        if (round % 2 == 0) {
            rig_crash(&rig);
        }
    }
    rig_fini(&rig);
}

Test(shard_bucket, delete_needs_a_thread_that_may_wait)
{
    struct rig rig;
    struct job job;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bbb");
    job_init(&job, META_BUCKET_DELETE, bucket, (struct gfs_slice){0});
    cr_expect_eq(rig_submit(&rig, &job, META_NOWAIT), GFS_AGAIN);
    cr_expect_eq(job_done_count(&job), 0u);
    job_fini(&job);
    rig_fini(&rig);
}

/* Answers CONFLICT once the bucket is sealed, and proposes nothing before. */
static enum gfs_err probe(struct rig *rig, uint64_t bucket)
{
    struct job job;
    job_init(&job, META_OBJECT_PUT, bucket, gfs_slice_str("probe"));
    job.op.condition.if_match_any = true;
    enum gfs_err err = rig_run(rig, &job);
    job_fini(&job);
    return err;
}

/* A put of "a" is in the log when the deletion begins. */
static void begin(struct rig *rig, uint64_t *bucket, struct job *put, struct job *drop)
{
    rig_init(rig);
    *bucket = rig_bucket(rig, "bbb");
    log_double_set_auto(rig->log, false);
    job_init(put, META_OBJECT_PUT, *bucket, gfs_slice_str("a"));
    job_fill(put, 1, 1);
    cr_assert_eq(rig_submit(rig, put, META_NOWAIT), GFS_OK);
    job_init(drop, META_BUCKET_DELETE, *bucket, (struct gfs_slice){0});
    rig_start(rig, drop);
    while (probe(rig, *bucket) != GFS_CONFLICT) {
    }
    cr_assert_eq(job_done_count(drop), 0u);
}

Test(shard_bucket, delete_waits_for_puts_under_way_and_finds_them)
{
    struct rig rig;
    uint64_t bucket;
    struct job put;
    struct job drop;
    begin(&rig, &bucket, &put, &drop);
    (void)log_double_decide(rig.log, 1, GFS_OK);
    cr_expect_eq(job_wait(&put), GFS_OK);
    cr_expect_eq(job_join(&drop), GFS_NOT_EMPTY);
    cr_expect_eq(probe(&rig, bucket), GFS_NOT_FOUND, "it takes operations again");
    job_fini(&put);
    job_fini(&drop);
    rig_fini(&rig);
}

Test(shard_bucket, delete_succeeds_when_the_put_under_way_is_refused)
{
    struct rig rig;
    uint64_t bucket;
    struct job put;
    struct job drop;
    struct meta_bucket found;
    begin(&rig, &bucket, &put, &drop);
    (void)log_double_decide(rig.log, 1, GFS_NO_SPACE);
    log_double_await(rig.log, 1);
    cr_expect_eq(rig.meta->ops->bucket(rig.meta, gfs_slice_str("bbb"), &found), GFS_OK,
                 "nothing is committed yet");
    cr_expect_eq(create(&rig, "bbb", &found), GFS_CONFLICT);
    cr_expect_eq(probe(&rig, bucket), GFS_CONFLICT);
    cr_expect_eq(rig_drop(&rig, bucket), GFS_CONFLICT);
    (void)log_double_decide(rig.log, 1, GFS_OK);
    cr_expect_eq(job_join(&drop), GFS_OK);
    cr_expect_eq(rig.meta->ops->bucket(rig.meta, gfs_slice_str("bbb"), &found), GFS_NOT_FOUND);
    job_fini(&put);
    job_fini(&drop);
    rig_fini(&rig);
}

Test(shard_bucket, refused_delete_leaves_the_bucket_as_it_was)
{
    struct rig rig;
    struct job drop;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bbb");
    log_double_set_auto(rig.log, false);
    job_init(&drop, META_BUCKET_DELETE, bucket, (struct gfs_slice){0});
    rig_start(&rig, &drop);
    log_double_await(rig.log, 1);
    (void)log_double_decide(rig.log, 1, GFS_NO_SPACE);
    cr_expect_eq(job_join(&drop), GFS_NO_SPACE);
    log_double_set_auto(rig.log, true);
    cr_expect_eq(rig_put(&rig, bucket, "a", 1, 1, NULL), GFS_OK);
    rig_crash(&rig);
    cr_expect_eq(rig_tag(&rig, bucket, "a"), 1);
    job_fini(&drop);
    rig_fini(&rig);
}

static void set_job(struct job *job, uint64_t bucket_id, const char *storage_class)
{
    job_init(job, META_BUCKET_SET, bucket_id, (struct gfs_slice){0});
    job->op.setting = META_BUCKET_STORAGE_CLASS;
    job->op.storage_class = gfs_slice_str(storage_class);
}

static enum gfs_err set_class(struct rig *rig, uint64_t bucket_id, const char *storage_class)
{
    struct job job;
    set_job(&job, bucket_id, storage_class);
    enum gfs_err err = rig_run(rig, &job);
    if (err == GFS_OK) {
        cr_expect_str_eq(job.op.ret_bucket.storage_class, storage_class);
        cr_expect_eq(job.op.ret_bucket.id, bucket_id);
    }
    job_fini(&job);
    return err;
}

static struct meta_bucket look(struct rig *rig, const char *name)
{
    struct meta_bucket found;
    cr_assert_eq(rig->meta->ops->bucket(rig->meta, gfs_slice_str(name), &found), GFS_OK);
    return found;
}

Test(shard_bucket, storage_class_is_given_changed_and_kept)
{
    struct rig rig;
    struct job job;
    rig_init(&rig);
    job_init(&job, META_BUCKET_CREATE, 0, GFS_SLICE_LITERAL("bbb"));
    job.op.region = GFS_SLICE_LITERAL("eu-west-1");
    job.op.storage_class = GFS_SLICE_LITERAL("ec:10+4");
    cr_assert_eq(rig_run(&rig, &job), GFS_OK);
    uint64_t id = job.op.ret_bucket.id;
    job_fini(&job);
    uint64_t plain = rig_bucket(&rig, "plain");
    rig_crash(&rig); /* from the log */
    cr_expect_str_eq(look(&rig, "bbb").storage_class, "ec:10+4");
    rig_restart(&rig); /* from the row */
    cr_expect_str_eq(look(&rig, "bbb").storage_class, "ec:10+4");
    cr_expect_str_eq(look(&rig, "plain").storage_class, "");

    cr_expect_eq(set_class(&rig, id, ""), GFS_OK);
    cr_expect_eq(set_class(&rig, plain, "1234567890123456789012345678901"), GFS_OK);
    for (int i = 0; i < 3; i++) {
        cr_expect_str_eq(look(&rig, "bbb").storage_class, "");
        cr_expect_str_eq(look(&rig, "bbb").region, "eu-west-1");
        cr_expect_str_eq(look(&rig, "plain").storage_class, "1234567890123456789012345678901");
        if (i == 0) {
            rig_crash(&rig);
        } else {
            rig_restart(&rig);
        }
    }
    rig_fini(&rig);
}

Test(shard_bucket, settings_that_make_no_sense_are_refused)
{
    struct rig rig;
    struct job job;
    rig_init(&rig);
    uint64_t id = rig_bucket(&rig, "bbb");
    cr_expect_eq(set_class(&rig, id, "12345678901234567890123456789012"), GFS_INVALID);
    set_job(&job, id, "");
    job.op.storage_class = gfs_slice_of("a\0b", 3);
    cr_expect_eq(rig_run(&rig, &job), GFS_INVALID);
    job_fini(&job);
    set_job(&job, id, "A");
    job.op.setting = (enum meta_bucket_setting)9;
    cr_expect_eq(rig_run(&rig, &job), GFS_INVALID);
    job_fini(&job);
    job_init(&job, META_BUCKET_CREATE, 0, GFS_SLICE_LITERAL("ccc"));
    job.op.storage_class = GFS_SLICE_LITERAL("12345678901234567890123456789012");
    cr_expect_eq(rig_run(&rig, &job), GFS_INVALID);
    job_fini(&job);
    set_job(&job, id + 100, "A");
    cr_expect_eq(rig_run(&rig, &job), GFS_NOT_FOUND);
    cr_expect_eq(job.op.what_missing, META_MISSING_BUCKET);
    job_fini(&job);
    cr_expect_str_eq(look(&rig, "bbb").storage_class, "");
    rig_fini(&rig);
}

Test(shard_bucket, setting_is_seen_when_it_is_durable_and_never_when_it_was_refused)
{
    const enum gfs_err refusals[] = {GFS_NO_SPACE, GFS_UNREACHABLE};
    struct rig rig;
    struct job job;
    rig_init(&rig);
    uint64_t id = rig_bucket(&rig, "bbb");
    log_double_set_auto(rig.log, false);
    for (size_t i = 0; i < GFS_COUNT(refusals); i++) {
        set_job(&job, id, "A");
        cr_assert_eq(rig_submit(&rig, &job, 0), GFS_OK);
        cr_expect_str_eq(look(&rig, "bbb").storage_class, "");
        (void)log_double_decide(rig.log, 1, refusals[i]);
        cr_expect_eq(job_wait(&job), refusals[i]);
        cr_expect_str_eq(look(&rig, "bbb").storage_class, "");
        job_fini(&job);
    }
    set_job(&job, id, "B");
    cr_assert_eq(rig_submit(&rig, &job, 0), GFS_OK);
    cr_expect_str_eq(look(&rig, "bbb").storage_class, "");
    (void)log_double_decide(rig.log, 1, GFS_OK);
    cr_expect_eq(job_wait(&job), GFS_OK);
    cr_expect_str_eq(look(&rig, "bbb").storage_class, "B");
    job_fini(&job);
    log_double_set_auto(rig.log, true);
    rig_fini(&rig);
}
