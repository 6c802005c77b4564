#include "tests/unit/metad/shard_rig.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "libgoodfs/buf.h"
#include "libgoodfs/mem.h"

void rig_init(struct rig *rig)
{
    *rig = (struct rig){.options = {.apply_delay_ms = 3600 * 1000, .gc_grace_ms = 86400 * 1000}};
    temp_dir_make(rig->dir);
    rig->log = log_double_new();
    rig_open(rig);
}

enum gfs_err rig_try_open(struct rig *rig, struct gfs_error *error)
{
    rig->options.dir = rig->dir;
    rig->options.log = log_double_store(rig->log);
    enum gfs_err err = shard_open(&rig->options, &rig->shard, error);
    rig->meta = err == GFS_OK ? shard_service(rig->shard) : NULL;
    return err;
}

void rig_open(struct rig *rig)
{
    struct gfs_error error = {0};
    enum gfs_err err = rig_try_open(rig, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
}

void rig_close(struct rig *rig)
{
    cr_assert(shard_close(rig->shard));
    rig->shard = NULL;
}

void rig_fini(struct rig *rig)
{
    rig_close(rig);
    log_double_free(rig->log);
    temp_dir_remove(rig->dir);
}

void rig_restart(struct rig *rig)
{
    rig_close(rig);
    rig_open(rig);
}

static void copy_file(const char *from_dir, const char *to_dir, const char *name)
{
    char path[TEMP_PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", from_dir, name);
    int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0) {
        return;
    }
    (void)snprintf(path, sizeof path, "%s/%s", to_dir, name);
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(to, 0);
    while (sendfile(to, from, NULL, 1 << 30) > 0) {
    }
    close(from);
    close(to);
}

void rig_crash(struct rig *rig)
{
    char dir[TEMP_DIR_SIZE];
    uint64_t trimmed;
    temp_dir_make(dir);
    do { /* a checkpoint meanwhile would tear the copy, as no crash does */
        trimmed = log_double_trimmed(rig->log);
        copy_file(rig->dir, dir, "metadata.sqlite");
        copy_file(rig->dir, dir, "metadata.sqlite-wal");
    } while (trimmed != log_double_trimmed(rig->log));
    struct log_double *log = log_double_clone(rig->log);
    while (log_double_decide(rig->log, 1, GFS_STOPPED) != 0) {
    }
    rig_close(rig);
    log_double_free(rig->log);
    temp_dir_remove(rig->dir);
    rig->log = log;
    memcpy(rig->dir, dir, sizeof dir);
    rig_open(rig);
}

void rig_await_applied(struct rig *rig)
{
    struct shard_stats stats;
    do {
        (void)sched_yield();
        shard_stats(rig->shard, &stats);
    } while (stats.applied_lsn != stats.committed_lsn);
}

/* ---- jobs ---- */

static void note_done(struct meta_op *op, enum gfs_err err)
{
    struct job *job = GFS_CONTAINER_OF(op, struct job, op);
    (void)pthread_mutex_lock(&job->lock);
    job->done_count++;
    job->err = err;
    (void)pthread_cond_broadcast(&job->is_done);
    (void)pthread_mutex_unlock(&job->lock);
}

void job_init(struct job *job, enum meta_op_kind kind, uint64_t bucket_id, struct gfs_slice key)
{
    memset(job, 0, sizeof *job);
    cr_assert_leq(key.len, sizeof job->key);
    if (key.len != 0) {
        memcpy(job->key, key.ptr, key.len);
    }
    job->op = (struct meta_op){.kind = kind,
                               .bucket_id = bucket_id,
                               .key = gfs_slice_of(job->key, key.len),
                               .object = &job->object,
                               .part = &job->part,
                               .used_parts = job->used,
                               .deletes = job->deletes,
                               .done = note_done};
    if (kind == META_BUCKET_CREATE) {
        job->op.name = job->op.key;
    }
    (void)pthread_mutex_init(&job->lock, NULL);
    (void)pthread_cond_init(&job->is_done, NULL);
}

void job_fini(struct job *job)
{
    (void)pthread_mutex_destroy(&job->lock);
    (void)pthread_cond_destroy(&job->is_done);
}

void job_fill(struct job *job, uint32_t chunk_count, uint8_t tag)
{
    cr_assert_leq(chunk_count, (uint32_t)JOB_CHUNKS_MAX);
    for (uint32_t i = 0; i < chunk_count; i++) {
        job->chunks[i] = (struct meta_chunk_ref){.id = chunk_id_new(0), .len = 10};
        job->records[i] =
            (struct chunk_record){.next = i + 1 < chunk_count ? &job->records[i + 1] : NULL,
                                  .kind = CHUNK_RECORD_DATA,
                                  .owner = GFS_SLICE_LITERAL("o\1\0\0\0\0\0\0\0job"),
                                  .payload = GFS_SLICE_LITERAL("0123456789"),
                                  .id = job->chunks[i].id};
    }
    job->op.data = chunk_count == 0 ? NULL : job->records;
    job->object = (struct meta_object){.size = 10ULL * chunk_count,
                                       .etag = {tag},
                                       .chunks = job->chunks,
                                       .chunk_count = chunk_count};
    job->part = (struct meta_part){.number = job->part.number,
                                   .size = 10ULL * chunk_count,
                                   .etag = {tag},
                                   .chunks = job->chunks,
                                   .chunk_count = chunk_count};
}

void job_if_none_match(struct job *job)
{
    job->op.condition.if_none_match_any = true;
}

void job_if_match(struct job *job, uint8_t tag)
{
    job->etags[JOB_DELETES_MAX] = (struct meta_etag){.md5 = {tag}};
    job->op.condition.has_if_match = true;
    job->op.condition.etag_count = 1;
    job->op.condition.etags = &job->etags[JOB_DELETES_MAX];
}

struct meta_delete *job_delete(struct job *job, const char *key)
{
    uint32_t index = job->op.delete_count++;
    cr_assert_lt(index, (uint32_t)JOB_DELETES_MAX);
    (void)snprintf(job->delete_keys[index], sizeof job->delete_keys[index], "%s", key);
    job->deletes[index] = (struct meta_delete){.key = gfs_slice_str(job->delete_keys[index]),
                                               .condition.etags = &job->etags[index]};
    return &job->deletes[index];
}

enum gfs_err rig_submit(struct rig *rig, struct job *job, unsigned flags)
{
    return rig->meta->ops->submit(rig->meta, &job->op, flags);
}

unsigned job_done_count(struct job *job)
{
    (void)pthread_mutex_lock(&job->lock);
    unsigned count = job->done_count;
    (void)pthread_mutex_unlock(&job->lock);
    return count;
}

enum gfs_err job_wait(struct job *job)
{
    (void)pthread_mutex_lock(&job->lock);
    while (job->done_count == 0) {
        (void)pthread_cond_wait(&job->is_done, &job->lock);
    }
    enum gfs_err err = job->err;
    (void)pthread_mutex_unlock(&job->lock);
    return err;
}

enum gfs_err rig_run(struct rig *rig, struct job *job)
{
    cr_assert_eq(rig_submit(rig, job, 0), GFS_OK);
    return job_wait(job);
}

static void *submit_main(void *arg)
{
    struct job *job = arg;
    (void)rig_submit(job->rig, job, 0);
    return NULL;
}

void rig_start(struct rig *rig, struct job *job)
{
    job->rig = rig;
    cr_assert_eq(pthread_create(&job->thread, NULL, submit_main, job), 0);
}

enum gfs_err job_join(struct job *job)
{
    enum gfs_err err = job_wait(job);
    (void)pthread_join(job->thread, NULL);
    return err;
}

/* ---- whole operations ---- */

static enum gfs_err run_and_fini(struct rig *rig, struct job *job)
{
    enum gfs_err err = rig_run(rig, job);
    job_fini(job);
    return err;
}

uint64_t rig_bucket(struct rig *rig, const char *name)
{
    struct job job;
    job_init(&job, META_BUCKET_CREATE, 0, gfs_slice_str(name));
    cr_assert_eq(run_and_fini(rig, &job), GFS_OK);
    return job.op.ret_bucket.id;
}

enum gfs_err rig_drop(struct rig *rig, uint64_t bucket_id)
{
    struct job job;
    job_init(&job, META_BUCKET_DELETE, bucket_id, (struct gfs_slice){0});
    return run_and_fini(rig, &job);
}

enum gfs_err rig_put(struct rig *rig, uint64_t bucket_id, const char *key, uint32_t chunk_count,
                     uint8_t tag, struct chunk_id *ret_chunks)
{
    struct job job;
    job_init(&job, META_OBJECT_PUT, bucket_id, gfs_slice_str(key));
    job_fill(&job, chunk_count, tag);
    for (uint32_t i = 0; ret_chunks != NULL && i < chunk_count; i++) {
        ret_chunks[i] = job.chunks[i].id;
    }
    return run_and_fini(rig, &job);
}

enum gfs_err rig_delete(struct rig *rig, uint64_t bucket_id, const char *key)
{
    struct job job;
    job_init(&job, META_OBJECT_DELETE, bucket_id, (struct gfs_slice){0});
    struct meta_delete *delete = job_delete(&job, key);
    enum gfs_err err = run_and_fini(rig, &job);
    return err == GFS_OK ? delete->err : err;
}

enum gfs_err rig_copy(struct rig *rig, uint64_t bucket_id, const char *from, const char *to)
{
    struct job job;
    struct job source;
    job_init(&source, META_OBJECT_PUT, bucket_id, (struct gfs_slice){0});
    enum gfs_err err = rig_get(rig, bucket_id, from, &source);
    job_fini(&source);
    if (err != GFS_OK) {
        return err;
    }
    job_init(&job, META_OBJECT_PUT, bucket_id, gfs_slice_str(to));
    job.object = source.object;
    job.object.chunks = source.chunks;
    job.op.share = (struct meta_share){true, bucket_id, gfs_slice_str(from), source.object.mod_lsn};
    return run_and_fini(rig, &job);
}

void rig_upload(struct rig *rig, uint64_t bucket_id, const char *key, uint8_t upload)
{
    struct job job;
    job_init(&job, META_UPLOAD_CREATE, bucket_id, gfs_slice_str(key));
    job.op.upload_id[0] = upload;
    cr_assert_eq(run_and_fini(rig, &job), GFS_OK);
}

enum gfs_err rig_part(struct rig *rig, uint64_t bucket_id, const char *key, uint8_t upload,
                      uint32_t number, struct chunk_id *ret_chunk, uint64_t *ret_lsn)
{
    struct job job;
    job_init(&job, META_PART_PUT, bucket_id, gfs_slice_str(key));
    job.op.upload_id[0] = upload;
    job.part.number = number;
    job_fill(&job, 1, (uint8_t)number);
    if (ret_chunk != NULL) {
        *ret_chunk = job.chunks[0].id;
    }
    enum gfs_err err = run_and_fini(rig, &job);
    if (ret_lsn != NULL) {
        *ret_lsn = job.op.lsn;
    }
    return err;
}

void job_complete(struct job *job, uint64_t bucket_id, const char *key, uint8_t upload)
{
    job_init(job, META_UPLOAD_COMPLETE, bucket_id, gfs_slice_str(key));
    job->op.upload_id[0] = upload;
    job->object = (struct meta_object){.etag = {upload}, .chunks = job->chunks};
}

void job_use_part(struct job *job, uint32_t number, uint64_t mod_lsn, struct chunk_id chunk)
{
    job->used[job->op.used_part_count++] = (struct meta_part){.number = number, .mod_lsn = mod_lsn};
    job->chunks[job->object.chunk_count++] = (struct meta_chunk_ref){.id = chunk, .len = 10};
    job->object.size += 10;
}

/* ---- reading ---- */

enum gfs_err rig_get(struct rig *rig, uint64_t bucket_id, const char *key, struct job *ret)
{
    struct meta_row *row = NULL;
    enum gfs_err err = rig->meta->ops->object(rig->meta, bucket_id, gfs_slice_str(key), 0, &row);
    if (err != GFS_OK) {
        return err;
    }
    struct gfs_arena arena;
    gfs_arena_init(&arena, 1 << 16);
    cr_assert_eq(meta_object_decode(meta_row_bytes(row), &arena, &ret->object), GFS_OK);
    cr_assert_leq(ret->object.chunk_count, (uint32_t)JOB_CHUNKS_MAX);
    memcpy(ret->chunks, ret->object.chunks, ret->object.chunk_count * sizeof ret->chunks[0]);
    ret->object.chunks = ret->chunks;
    gfs_arena_fini(&arena);
    meta_row_unref(row);
    return GFS_OK;
}

int rig_tag(struct rig *rig, uint64_t bucket_id, const char *key)
{
    struct job job;
    enum gfs_err err = rig_get(rig, bucket_id, key, &job);
    cr_assert(err == GFS_OK || err == GFS_NOT_FOUND, "%s", gfs_err_text(err));
    return err == GFS_OK ? job.object.etag[0] : -1;
}

static enum gfs_err write_item(void *arg, const struct meta_list_item *item)
{
    struct gfs_buf *out = arg;
    if (out->len != 0) {
        gfs_buf_add_char(out, ' ');
    }
    for (size_t i = 0; i < item->key.len; i++) {
        gfs_buf_add_char(out, item->key.ptr[i] == 0 ? '0' : item->key.ptr[i]);
    }
    if (item->is_prefix) {
        gfs_buf_add_char(out, '*');
    } else {
        struct meta_object object;
        cr_assert_eq(meta_object_decode_summary(item->row, &object), GFS_OK);
    }
    return GFS_OK;
}

const char *rig_list(struct rig *rig, const struct meta_list_query *query, bool is_uploads,
                     char text[RIG_TEXT_SIZE])
{
    struct gfs_buf out;
    gfs_buf_init(&out, RIG_TEXT_SIZE - 2);
    bool is_truncated = false;
    enum gfs_err err = (is_uploads ? rig->meta->ops->list_uploads : rig->meta->ops->list_objects)(
        rig->meta, query, write_item, &out, &is_truncated);
    cr_assert_eq(err, GFS_OK);
    cr_assert(!out.is_full);
    (void)snprintf(text, RIG_TEXT_SIZE, "%.*s%s", (int)out.len, out.len == 0 ? "" : out.ptr,
                   is_truncated ? "+" : "");
    gfs_buf_fini(&out);
    return text;
}
