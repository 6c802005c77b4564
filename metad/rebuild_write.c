/* The plan becomes edits, the edits a database. */
#include <pthread.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "metad/apply.h"
#include "metad/edit.h"
#include "metad/rebuild_state.h"
#include "metad/record.h"

enum {
    EDITS_MAX = 4096, /* applied at a time */
    EDITS_BYTES_MAX = 16 << 20,
    EDIT_LEN_MAX = 64 << 20, /* several rows of one LSN: more than the log takes */
    CACHE_SIZE = 64 << 20,
};

struct writing {
    struct rebuild *rebuild;
    struct apply *apply;
    struct gfs_buf edits[EDITS_MAX];
    size_t count, bytes;
    uint64_t lsn;    /* of the edit being made; 0 = none is */
    int64_t time_ms; /* of it */
};

static enum gfs_err flush(struct writing *writing)
{
    struct gfs_slice *edits GFS_FREE = gfs_alloc_array(EDITS_MAX, sizeof *edits);
    for (size_t i = 0; i < writing->count; i++) {
        edits[i] = gfs_buf_slice(&writing->edits[i]);
    }
    struct apply_result result;
    enum gfs_err err = GFS_OK;
    if (writing->count != 0) {
        err = apply_edits(writing->apply, edits, writing->count, &result, writing->rebuild->error);
    }
    for (size_t i = 0; i < writing->count; i++) {
        gfs_buf_fini(&writing->edits[i]);
    }
    writing->count = 0;
    writing->bytes = 0;
    return err;
}

static enum gfs_err end_edit(struct writing *writing)
{
    if (writing->lsn == 0) {
        return GFS_OK;
    }
    struct gfs_buf *edit = &writing->edits[writing->count++];
    enum gfs_err err = edit_finish(edit);
    if (err != GFS_OK) {
        return err;
    }
    edit_seal(edit->ptr, edit->len, writing->lsn, writing->time_ms);
    writing->bytes += edit->len;
    writing->lsn = 0;
    bool is_full = writing->count == EDITS_MAX || writing->bytes >= EDITS_BYTES_MAX;
    return is_full ? flush(writing) : GFS_OK;
}

/* The edit for that LSN: what is there under it already goes into the same one. */
static enum gfs_err begin_edit(struct writing *writing, uint64_t lsn, int64_t time_ms,
                               struct gfs_buf **ret)
{
    if (writing->lsn != lsn) {
        enum gfs_err err = end_edit(writing);
        if (err != GFS_OK) {
            return err;
        }
        writing->lsn = lsn;
        writing->time_ms = time_ms;
        gfs_buf_init(&writing->edits[writing->count], EDIT_LEN_MAX);
        edit_begin(&writing->edits[writing->count]);
    }
    *ret = &writing->edits[writing->count];
    return GFS_OK;
}

static enum gfs_err write_bucket(struct writing *writing, uint64_t lsn, struct gfs_slice bytes)
{
    struct meta_bucket bucket;
    struct gfs_buf *edit;
    enum gfs_err err = rebuild_decode_bucket(bytes, &bucket);
    if (err == GFS_OK) {
        err = begin_edit(writing, lsn, bucket.created_ms, &edit);
    }
    if (err != GFS_OK) {
        return err;
    }
    edit_bucket_put(edit, gfs_slice_str(bucket.name), gfs_slice_str(bucket.region));
    if (bucket.storage_class[0] != '\0') {
        edit_bucket_set(edit, 0, META_BUCKET_STORAGE_CLASS, gfs_slice_str(bucket.storage_class));
    }
    return GFS_OK;
}

/* A chunk that a row before this one has, too, is shared. */
static enum gfs_err add_references(struct writing *writing, const struct label *label,
                                   struct gfs_buf *edit)
{
    struct record_chunks chunks;
    struct meta_chunk_ref ref;
    enum gfs_err err = record_chunks_begin(label->row, &chunks);
    while (err == GFS_OK && (err = record_chunks_next(&chunks, &ref)) == GFS_OK) {
        bool is_shared = false;
        err = rebuild_has_chunk(writing->rebuild, TABLE_GARBAGE, ref.id, &is_shared);
        if (err == GFS_OK && is_shared) {
            edit_ref_add(edit, &ref.id, 1);
        } else if (err == GFS_OK) {
            err = rebuild_put_chunk(writing->rebuild, TABLE_GARBAGE, ref.id);
        }
    }
    return err == GFS_END ? GFS_OK : err;
}

static enum gfs_err write_row(struct writing *writing, uint64_t lsn, struct gfs_slice bytes)
{
    struct label label;
    struct key key;
    struct gfs_buf *edit;
    enum gfs_err err = label_decode(bytes, &label);
    if (err == GFS_OK) {
        err = label_row_key(&label, &key);
    }
    if (err == GFS_OK) {
        err = begin_edit(writing, lsn, record_mtime_ms(label.row), &edit);
    }
    if (err == GFS_OK) {
        err = add_references(writing, &label, edit);
    }
    if (err == GFS_OK) {
        edit_put(edit, label.table, key_row(&key), label.row);
    }
    return err;
}

static enum gfs_err write_item(struct writing *writing, struct gfs_slice key,
                               struct gfs_slice value)
{
    uint64_t lsn = gfs_codec_load_u64_be(key.ptr);
    struct gfs_slice bytes = gfs_slice_of(value.ptr + 1, value.len - 1);
    return value.ptr[0] == REBUILD_PLAN_BUCKET ? write_bucket(writing, lsn, bytes)
                                               : write_row(writing, lsn, bytes);
}

static enum gfs_err write_plan(struct writing *writing)
{
    static const char from[] = {0};
    static const char to[] = "\377\377\377\377\377\377\377\377\377\377\377\377\377";
    struct db *scratch = writing->rebuild->scratch;
    enum gfs_err err = db_seek(scratch, TABLE_PARTS, gfs_slice_of(from, sizeof from),
                               gfs_slice_of(to, sizeof to - 1));
    while (err == GFS_OK) {
        struct gfs_slice key;
        struct gfs_slice value;
        err = db_next(scratch, TABLE_PARTS, &key, &value);
        if (err == GFS_OK) {
            err = write_item(writing, key, value);
        }
    }
    db_reset(scratch, TABLE_PARTS);
    err = err == GFS_END ? end_edit(writing) : err;
    return err == GFS_OK ? flush(writing) : err;
}

/* ---- the end of the log ---- */

struct log_answer {
    struct chunk_group group;
    pthread_mutex_t lock;
    pthread_cond_t is_there;
    bool is_done;
    enum gfs_err err;
};

static void answered(struct chunk_group *group, enum gfs_err err)
{
    struct log_answer *answer = GFS_CONTAINER_OF(group, struct log_answer, group);
    (void)pthread_mutex_lock(&answer->lock);
    answer->err = err;
    answer->is_done = true;
    (void)pthread_cond_signal(&answer->is_there);
    (void)pthread_mutex_unlock(&answer->lock);
}

static enum gfs_err write_log(struct chunk_store *chunks, struct gfs_slice edit, uint64_t lsn)
{
    struct chunk_record record = {.kind = CHUNK_RECORD_EDIT, .payload = edit, .lsn = lsn};
    struct log_answer answer = {
        .group = {.records = &record, .done = answered, .may_use_reserve = true}};
    (void)pthread_mutex_init(&answer.lock, NULL);
    (void)pthread_cond_init(&answer.is_there, NULL);
    chunks->ops->submit(chunks, &answer.group);
    (void)pthread_mutex_lock(&answer.lock);
    while (!answer.is_done) {
        (void)pthread_cond_wait(&answer.is_there, &answer.lock);
    }
    (void)pthread_mutex_unlock(&answer.lock);
    (void)pthread_cond_destroy(&answer.is_there);
    (void)pthread_mutex_destroy(&answer.lock);
    return answer.err;
}

/* What opens the database next finds its last edit in the log, as it must. */
static enum gfs_err write_end(struct writing *writing)
{
    struct rebuild *rebuild = writing->rebuild;
    struct chunk_store_status status = {0};
    struct gfs_buf *edit;
    rebuild->chunks->ops->status(rebuild->chunks, &status);
    uint64_t lsn = GFS_MAX(status.lsn_last, status.lsn_floor);
    lsn = GFS_MAX(lsn, rebuild->lsn_max) + 1;
    enum gfs_err err = begin_edit(writing, lsn, gfs_wall_ms(), &edit);
    err = err == GFS_OK ? edit_finish(edit) : err;
    if (err != GFS_OK) {
        return err;
    }
    edit_seal(edit->ptr, edit->len, lsn, writing->time_ms);
    err = write_log(rebuild->chunks, gfs_buf_slice(edit), lsn);
    if (err != GFS_OK) {
        writing->count++; /* freed with the others */
        return gfs_fail(rebuild->error, err, "the end of the edit log cannot be written: %s",
                        gfs_err_text(err));
    }
    err = end_edit(writing);
    return err == GFS_OK ? flush(writing) : err;
}

enum gfs_err rebuild_write(struct rebuild *rebuild, const char *path)
{
    struct db *db = NULL;
    enum gfs_err err = db_open_writer(path, CACHE_SIZE, &db, rebuild->error);
    if (err != GFS_OK) {
        return err;
    }
    struct writing *writing = gfs_alloc(sizeof *writing);
    writing->rebuild = rebuild;
    err = apply_new(db, &writing->apply, rebuild->error);
    if (err == GFS_OK) {
        err = write_plan(writing);
    }
    if (err == GFS_OK) {
        err = write_end(writing);
    }
    bool is_complete = false;
    if (err == GFS_OK) {
        err = db_checkpoint(db, true, &is_complete);
    }
    for (size_t i = 0; i < writing->count; i++) {
        gfs_buf_fini(&writing->edits[i]);
    }
    apply_free(writing->apply);
    free(writing);
    db_close(db);
    return err == GFS_OK && !is_complete ? GFS_IO : err;
}
