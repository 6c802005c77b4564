/* Random operations on a shard, compared after every step with a naive model of it.
 *
 * GOODFS_MODEL_SEEDS=N runs seeds 1..N instead of a few; a failure names its seed. */
#include "libgoodfs/mem.h"
#include "tests/unit/metad/shard_compare.h"

enum { STEPS = 400, SEEDS = 6, BATCH = 8 };

static uint32_t below(struct run *run, uint32_t limit)
{
    return random_below(&run->random, limit);
}

static bool chance(struct run *run, uint32_t one_in)
{
    return below(run, one_in) == 0;
}

/* The answer must be the expected one; true when the operation took effect. A log that refuses may
 * refuse anything that would be accepted. */
static bool check_answer(struct run *run, enum gfs_err err, enum gfs_err expected)
{
    if (run->is_refusing && expected == GFS_OK && err == GFS_NO_SPACE) {
        run->refused++;
        return false;
    }
    cr_assert_eq(err, expected, "seed %llu, step %d: %s instead of %s",
                 (unsigned long long)run->seed, run->step, gfs_err_name(err),
                 gfs_err_name(expected));
    return err == GFS_OK;
}

static struct model_bucket *any_bucket(struct run *run)
{
    return &run->model.buckets[below(run, MODEL_BUCKETS)];
}

static void any_condition(struct run *run, const struct model_row *row,
                          struct meta_condition *condition, struct meta_etag *etag)
{
    uint8_t tag = chance(run, 3) ? (uint8_t)below(run, 256) : row->tag;
    switch (below(run, 10)) {
    case 0:
        condition->if_none_match_any = true;
        break;
    case 1:
        condition->if_match_any = true;
        break;
    case 2:
    case 3:
        *etag = (struct meta_etag){.md5 = {tag}};
        condition->etags = etag;
        condition->etag_count = 1;
        condition->has_if_match = true;
        break;
    case 4:
        condition->has_if_match_size = true;
        condition->if_match_size = 10ULL * below(run, 4);
        break;
    default:
        break;
    }
}

static struct model_row row_of(const struct job *job)
{
    struct model_row row = {.is_there = true,
                            .tag = job->object.etag[0],
                            .lsn = job->op.lsn,
                            .chunk_count = job->object.chunk_count};
    for (uint32_t i = 0; i < row.chunk_count; i++) {
        row.chunks[i] = job->chunks[i].id;
    }
    return row;
}

/* ---- operations ---- */

/* Chunks of the source take the place of new ones; the LSN may be a wrong one. */
static enum gfs_err share_from(struct run *run, struct job *job, uint32_t chunk_max)
{
    const struct model_bucket *bucket = any_bucket(run);
    uint32_t k = below(run, MODEL_KEYS);
    const struct model_row *source = &bucket->objects[k];
    bool is_right = bucket->is_there && source->is_there && !chance(run, 5);
    uint32_t count = source->is_there ? GFS_MIN(source->chunk_count, chunk_max) : 0;
    for (uint32_t i = 0; i < count; i++) {
        job->chunks[i] = (struct meta_chunk_ref){.id = source->chunks[i], .len = 10};
    }
    job->op.data = NULL;
    job->object.chunk_count = job->part.chunk_count = count;
    job->object.size = job->part.size = 10ULL * count;
    job->op.share = (struct meta_share){true, bucket->id, model_keys[k],
                                        is_right ? source->lsn : source->lsn + 1};
    return is_right ? GFS_OK : GFS_CONFLICT;
}

static void step_put(struct run *run)
{
    struct model_bucket *bucket = any_bucket(run);
    uint32_t k = below(run, MODEL_KEYS);
    struct job job;
    job_init(&job, META_OBJECT_PUT, bucket->id, model_keys[k]);
    job_fill(&job, below(run, 4), (uint8_t)below(run, 256));
    enum gfs_err expected = chance(run, 4) ? share_from(run, &job, MODEL_CHUNKS) : GFS_OK;
    any_condition(run, &bucket->objects[k], &job.op.condition, &job.etags[0]);
    if (expected == GFS_OK) {
        expected = model_judge(&bucket->objects[k], &job.op.condition);
    }
    expected = bucket->is_there ? expected : GFS_NOT_FOUND;
    if (check_answer(run, rig_run(&run->rig, &job), expected)) {
        bucket->objects[k] = row_of(&job);
        model_note_chunks(&run->model, &bucket->objects[k]);
    }
    job_fini(&job);
}

static void step_delete(struct run *run)
{
    struct model_bucket *bucket = any_bucket(run);
    struct job job;
    job_init(&job, META_OBJECT_DELETE, bucket->id, (struct gfs_slice){0});
    uint32_t keys[JOB_DELETES_MAX];
    enum gfs_err expected[JOB_DELETES_MAX];
    for (uint32_t n = 1 + below(run, 4); n-- > 0;) {
        uint32_t index = job.op.delete_count;
        keys[index] = below(run, MODEL_KEYS);
        struct meta_delete *delete = job_delete(&job, "");
        delete->key = model_keys[keys[index]];
        any_condition(run, &bucket->objects[keys[index]], &delete->condition, &job.etags[index]);
        expected[index] = model_judge(&bucket->objects[keys[index]], &delete->condition);
    }
    enum gfs_err err = rig_run(&run->rig, &job);
    bool is_done = check_answer(run, err, bucket->is_there ? GFS_OK : GFS_NOT_FOUND);
    for (uint32_t i = 0; is_done && i < job.op.delete_count; i++) {
        EXPECT(run, job.deletes[i].err == expected[i]);
        if (expected[i] == GFS_OK) {
            bucket->objects[keys[i]].is_there = false;
        }
    }
    job_fini(&job);
}

static void step_upload_create(struct run *run)
{
    struct model_bucket *bucket = any_bucket(run);
    struct model_upload *upload = &bucket->uploads[below(run, MODEL_UPLOADS)];
    if (upload->is_there) {
        return;
    }
    *upload = (struct model_upload){.key = below(run, MODEL_KEYS), .id = ++run->model.upload_ids};
    struct job job;
    job_init(&job, META_UPLOAD_CREATE, bucket->id, model_keys[upload->key]);
    run_upload_id(job.op.upload_id, upload->id);
    upload->is_there =
        check_answer(run, rig_run(&run->rig, &job), bucket->is_there ? GFS_OK : GFS_NOT_FOUND);
    job_fini(&job);
}

static void step_part(struct run *run, struct model_bucket *bucket, struct model_upload *upload)
{
    uint32_t p = below(run, MODEL_PARTS);
    struct job job;
    job_init(&job, META_PART_PUT, bucket->id, model_keys[upload->key]);
    run_upload_id(job.op.upload_id, upload->id);
    job.part.number = p + 1;
    job_fill(&job, below(run, MODEL_PART_CHUNKS + 1), (uint8_t)below(run, 256));
    enum gfs_err expected = chance(run, 4) ? share_from(run, &job, MODEL_PART_CHUNKS) : GFS_OK;
    expected = bucket->is_there && upload->is_there ? expected : GFS_NOT_FOUND;
    if (check_answer(run, rig_run(&run->rig, &job), expected)) {
        upload->parts[p] = row_of(&job);
        model_note_chunks(&run->model, &upload->parts[p]);
    }
    job_fini(&job);
}

static void use_parts(struct run *run, struct job *job, const struct model_upload *upload,
                      enum gfs_err *expected)
{
    for (uint32_t p = 0; p < MODEL_PARTS; p++) {
        const struct model_row *part = &upload->parts[p];
        if (chance(run, 3) || (!part->is_there && !chance(run, 8))) {
            continue;
        }
        bool is_right = part->is_there && !chance(run, 12);
        *expected = is_right ? *expected : GFS_CONFLICT;
        job->used[job->op.used_part_count++] =
            (struct meta_part){.number = p + 1, .mod_lsn = is_right ? part->lsn : part->lsn + 1};
        for (uint32_t i = 0; part->is_there && i < part->chunk_count; i++) {
            job->chunks[job->object.chunk_count++] =
                (struct meta_chunk_ref){.id = part->chunks[i], .len = 10};
        }
    }
    job->object.size = 10ULL * job->object.chunk_count;
}

static void step_complete(struct run *run, struct model_bucket *bucket, struct model_upload *upload)
{
    struct job job;
    struct model_row *row = &bucket->objects[upload->key];
    job_init(&job, META_UPLOAD_COMPLETE, bucket->id, model_keys[upload->key]);
    run_upload_id(job.op.upload_id, upload->id);
    job.object = (struct meta_object){.etag = {(uint8_t)below(run, 256)}, .chunks = job.chunks};
    enum gfs_err expected = GFS_OK;
    use_parts(run, &job, upload, &expected);
    any_condition(run, row, &job.op.condition, &job.etags[0]);
    enum gfs_err judged = model_judge(row, &job.op.condition);
    expected = judged == GFS_OK ? expected : judged;
    expected = bucket->is_there && upload->is_there ? expected : GFS_NOT_FOUND;
    if (check_answer(run, rig_run(&run->rig, &job), expected)) {
        *row = row_of(&job);
        upload->is_there = false;
        run->model.done[run->model.done_count++] = (struct model_done){upload->id, job.op.lsn};
    }
    job_fini(&job);
}

static void step_abort(struct run *run, struct model_bucket *bucket, struct model_upload *upload)
{
    struct job job;
    job_init(&job, META_UPLOAD_ABORT, bucket->id, model_keys[upload->key]);
    run_upload_id(job.op.upload_id, upload->id);
    bool is_there = bucket->is_there && upload->is_there;
    if (check_answer(run, rig_run(&run->rig, &job), is_there ? GFS_OK : GFS_NOT_FOUND)) {
        upload->is_there = false;
    }
    job_fini(&job);
}

static void step_upload(struct run *run)
{
    struct model_bucket *bucket = any_bucket(run);
    struct model_upload *upload = &bucket->uploads[below(run, MODEL_UPLOADS)];
    uint32_t what = below(run, 10);
    if (what < 6) {
        step_part(run, bucket, upload);
    } else if (what < 9) {
        step_complete(run, bucket, upload);
    } else {
        step_abort(run, bucket, upload);
    }
}

static void step_bucket(struct run *run)
{
    uint32_t b = below(run, MODEL_BUCKETS);
    struct model_bucket *bucket = &run->model.buckets[b];
    const char *names[MODEL_BUCKETS] = {"aaa", "bbb", "ccc"};
    struct job job;
    if (bucket->is_there && chance(run, 2)) {
        enum gfs_err expected = model_is_empty(bucket) ? GFS_OK : GFS_NOT_EMPTY;
        if (check_answer(run, rig_drop(&run->rig, bucket->id), expected)) {
            bucket->is_there = false; /* its id stays, for operations that come too late */
        }
        return;
    }
    job_init(&job, META_BUCKET_CREATE, 0, gfs_slice_str(names[b]));
    enum gfs_err expected = bucket->is_there ? GFS_EXISTS : GFS_OK;
    if (check_answer(run, rig_run(&run->rig, &job), expected)) {
        EXPECT(run, job.op.ret_bucket.id > bucket->id);
        *bucket = (struct model_bucket){.is_there = true, .id = job.op.ret_bucket.id};
    }
    job_fini(&job);
}

/* Puts and deletes of which nothing is decided when they are all submitted. */
static void step_batch(struct run *run)
{
    struct model_bucket *bucket = any_bucket(run);
    struct job *jobs = gfs_alloc_array(BATCH, sizeof *jobs);
    uint32_t keys[BATCH];
    if (!bucket->is_there) {
        free(jobs);
        return;
    }
    log_double_set_auto(run->rig.log, false);
    for (uint32_t i = 0; i < BATCH; i++) {
        keys[i] = below(run, MODEL_KEYS);
        if (chance(run, 3)) {
            job_init(&jobs[i], META_OBJECT_DELETE, bucket->id, (struct gfs_slice){0});
            job_delete(&jobs[i], "")->key = model_keys[keys[i]];
        } else {
            job_init(&jobs[i], META_OBJECT_PUT, bucket->id, model_keys[keys[i]]);
            job_fill(&jobs[i], below(run, 4), (uint8_t)below(run, 256));
        }
        EXPECT(run, rig_submit(&run->rig, &jobs[i], META_NOWAIT) == GFS_OK);
    }
    bool is_refused[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        is_refused[i] = chance(run, 3);
        uint64_t lsn = 0;
        while (lsn < jobs[i].op.lsn) { /* edits of the sweep may be among them */
            lsn = log_double_next_lsn(run->rig.log);
            enum gfs_err err = lsn == jobs[i].op.lsn && is_refused[i] ? GFS_NO_SPACE : GFS_OK;
            EXPECT(run, log_double_decide(run->rig.log, 1, err) == 1);
        }
    }
    for (uint32_t i = 0; i < BATCH; i++) {
        enum gfs_err err = job_wait(&jobs[i]);
        EXPECT(run, err == (is_refused[i] ? GFS_NO_SPACE : GFS_OK));
        struct model_row *row = &bucket->objects[keys[i]];
        if (err == GFS_OK && jobs[i].op.kind == META_OBJECT_PUT) {
            *row = row_of(&jobs[i]);
            model_note_chunks(&run->model, row);
        } else if (err == GFS_OK) {
            row->is_there = false;
        }
        job_fini(&jobs[i]);
    }
    log_double_set_auto(run->rig.log, true);
    free(jobs);
}

static void choose_options(struct run *run)
{
    run->rig.options.apply_delay_ms = chance(run, 2) ? 1 : 3600 * 1000;
    run->rig.options.overlay_bytes_max = chance(run, 2) ? 0 : 4096;
    run->rig.options.cache_bytes_max = chance(run, 2) ? 0 : 16384;
    run->rig.options.gc_grace_ms = chance(run, 2) ? 0 : 86400 * 1000;
    run->is_refusing = chance(run, 3);
}

static void step_restart(struct run *run)
{
    choose_options(run);
    if (chance(run, 2)) {
        rig_crash(&run->rig);
    } else {
        rig_restart(&run->rig);
    }
    log_double_refuse(run->rig.log, run->is_refusing ? 4 : 0, run->seed);
}

static void step_list(struct run *run)
{
    const struct gfs_slice delimiters[] = {{"/", 1},  {"/", 1},    {"", 0},  {"b", 1},
                                           {"\0", 1}, {"\377", 1}, {"/b", 2}};
    const struct model_bucket *bucket = any_bucket(run);
    struct gfs_slice prefix = model_keys[below(run, MODEL_KEYS)];
    struct gfs_slice after = model_keys[below(run, MODEL_KEYS)];
    struct meta_list_query query = {
        .bucket_id = bucket->id,
        .prefix = chance(run, 2) ? (struct gfs_slice){0} : prefix,
        .delimiter = delimiters[below(run, GFS_COUNT(delimiters))],
        .after = chance(run, 3) ? (struct gfs_slice){0} : after,
        .after_is_prefix = chance(run, 3),
        .max = chance(run, 2) ? 1000 : below(run, 8),
    };
    bool is_uploads = chance(run, 3);
    if (is_uploads && query.after.len != 0 && chance(run, 2)) {
        query.has_after_upload = true;
        query.after_is_prefix = false;
        run_upload_id(query.after_upload, below(run, (uint32_t)run->model.upload_ids + 2));
    }
    compare_listing(run, bucket, &query, is_uploads);
}

static void take_step(struct run *run)
{
    uint32_t what = below(run, 100);
    if (what < 30) {
        step_put(run);
    } else if (what < 45) {
        step_delete(run);
    } else if (what < 55) {
        step_upload_create(run);
    } else if (what < 75) {
        step_upload(run);
    } else if (what < 80) {
        step_bucket(run);
    } else if (what < 90) {
        step_batch(run);
    } else if (what < 94) {
        step_restart(run);
    }
    step_list(run);
    compare_object(run, any_bucket(run), below(run, MODEL_KEYS));
}

static void run_seed(uint64_t seed)
{
    struct run *run = gfs_alloc(sizeof *run);
    run->seed = seed;
    run->random.state = seed;
    rig_init(&run->rig);
    choose_options(run);
    rig_restart(&run->rig);
    for (run->step = 0; run->step < STEPS; run->step++) {
        take_step(run);
        if (run->step % 50 == 49) {
            compare_all(run);
        }
    }
    compare_end(run);
    rig_fini(&run->rig);
    model_fini(&run->model);
    free(run);
}

Test(shard_model, behaves_like_the_naive_model)
{
    const char *text = getenv("GOODFS_MODEL_SEEDS");
    uint64_t seeds = text == NULL ? SEEDS : strtoull(text, NULL, 10);
    cr_assert_gt(seeds, 0u);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        run_seed(seed);
    }
}
