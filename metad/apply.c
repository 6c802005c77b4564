#include "metad/apply.h"

#include <stdlib.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "metad/bucket_row.h"
#include "metad/edit.h"
#include "metad/ledger.h"
#include "metad/record.h"

enum { DROP_STEP = 256, ROW_LEN_MAX = 8 << 20 };

static const struct gfs_slice applied_name = {"applied_lsn", 11};

/* A change of one row. */
struct point {
    struct gfs_slice key;
    struct gfs_slice value; /* ptr NULL = delete */
    uint64_t lsn;
    int64_t time_ms;
    uint32_t seq;
    enum table table;
};

struct apply {
    struct db *db;
    struct ledger *ledger;
    uint64_t lsn; /* applied and committed */
    struct point *points;
    size_t point_count, point_size;
    struct gfs_buf old;
    struct apply_result result;
};

/* One change with the edit it came from. */
struct step {
    uint64_t lsn;
    int64_t time_ms;
    uint32_t seq;
};

enum gfs_err apply_new(struct db *db, struct apply **ret, struct gfs_error *error)
{
    struct apply *apply = gfs_alloc(sizeof *apply);
    apply->db = db;
    apply->ledger = ledger_new(db);
    gfs_buf_init(&apply->old, ROW_LEN_MAX);
    enum gfs_err err = db_get(db, TABLE_META, applied_name, &apply->old);
    if (err == GFS_OK && apply->old.len != sizeof apply->lsn) {
        err = GFS_CORRUPT;
    }
    if (err != GFS_OK && err != GFS_NOT_FOUND) {
        apply_free(apply);
        return gfs_fail(error, err, "database: applied LSN: %s", gfs_err_text(err));
    }
    apply->lsn = err == GFS_OK ? gfs_codec_load_u64(apply->old.ptr) : 0;
    *ret = apply;
    return GFS_OK;
}

void apply_free(struct apply *apply)
{
    if (apply != NULL) {
        ledger_free(apply->ledger);
        free(apply->points);
        gfs_buf_fini(&apply->old);
        free(apply);
    }
}

uint64_t apply_lsn(const struct apply *apply)
{
    return apply->lsn;
}

static int point_order(const void *left, const void *right)
{
    const struct point *a = left;
    const struct point *b = right;
    if (a->table != b->table) {
        return a->table < b->table ? -1 : 1;
    }
    int order = gfs_slice_cmp(a->key, b->key);
    if (order != 0) {
        return order;
    }
    if (a->lsn != b->lsn) {
        return a->lsn < b->lsn ? -1 : 1;
    }
    return (a->seq > b->seq) - (a->seq < b->seq);
}

/* sign is 1 when the row appears, -1 (all bits set) when it goes. */
static enum gfs_err count_row(struct apply *apply, enum table table, struct gfs_slice key,
                              struct gfs_slice row, uint64_t sign)
{
    if (table == TABLE_COMPLETED) {
        return GFS_OK;
    }
    struct record_size size;
    enum gfs_err err = record_size(row, &size);
    if (err != GFS_OK || (table != TABLE_PARTS && key.len < sizeof(uint64_t))) {
        return GFS_CORRUPT;
    }
    struct meta_usage delta = {0};
    uint64_t bucket_id = size.bucket_id;
    if (table == TABLE_PARTS) {
        delta.part_bytes = size.size * sign;
    } else {
        bucket_id = gfs_codec_load_u64_be(key.ptr);
        delta.upload_count = table == TABLE_UPLOADS ? sign : 0;
        delta.object_count = table == TABLE_OBJECTS ? sign : 0;
        delta.object_bytes = table == TABLE_OBJECTS ? size.size * sign : 0;
    }
    ledger_add_usage(apply->ledger, bucket_id, &delta);
    return GFS_OK;
}

/* The row goes: counters, and its chunks lose a reference unless another row takes them over. */
static void retire_row(struct apply *apply, const struct step *step, enum table table,
                       struct gfs_slice key, struct gfs_slice row, bool is_freed)
{
    enum gfs_err err = count_row(apply, table, key, row, UINT64_MAX);
    if (err == GFS_OK && is_freed && table != TABLE_COMPLETED) {
        err = ledger_free_row(apply->ledger, step->lsn, step->time_ms, step->seq, row);
    }
    if (err != GFS_OK) {
        apply->result.damaged_count++; /* its chunks are left to the sweep for orphans */
    }
}

/* All changes of one row, in order. */
static enum gfs_err apply_row(struct apply *apply, const struct point *points, size_t count)
{
    enum table table = points[0].table;
    struct gfs_slice key = points[0].key;
    gfs_buf_clear(&apply->old);
    enum gfs_err err = db_get(apply->db, table, key, &apply->old);
    bool was_there = err != GFS_NOT_FOUND;
    if (err == GFS_CORRUPT) {
        apply->result.damaged_count++; /* replaced below, which heals it */
    } else if (err != GFS_OK && err != GFS_NOT_FOUND) {
        return err;
    }
    bool is_there = err == GFS_OK;
    struct gfs_slice row = gfs_buf_slice(&apply->old);
    for (size_t i = 0; i < count; i++) {
        const struct point *point = &points[i];
        if (is_there) {
            struct step step = {point->lsn, point->time_ms, point->seq};
            retire_row(apply, &step, table, key, row, true);
        }
        row = point->value;
        is_there = row.ptr != NULL;
        err = is_there ? count_row(apply, table, key, row, 1) : GFS_OK;
        if (err != GFS_OK) {
            return err;
        }
    }
    apply->result.row_count++;
    if (is_there) {
        return db_put(apply->db, table, key, row);
    }
    return was_there ? db_delete(apply->db, table, key) : GFS_OK;
}

static enum gfs_err flush(struct apply *apply)
{
    struct point *points = apply->points;
    size_t count = apply->point_count;
    if (count != 0) {
        qsort(points, count, sizeof *points, point_order);
    }
    apply->point_count = 0;
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && points[end].table == points[i].table &&
               gfs_slice_eq(points[end].key, points[i].key)) {
            end++;
        }
        enum gfs_err err = apply_row(apply, &points[i], end - i);
        if (err != GFS_OK) {
            return err;
        }
        i = end;
    }
    return ledger_flush(apply->ledger, &apply->result.freed_count);
}

/* All parts of an upload go; `kept` names the numbers whose chunks live on, or is NULL. */
static enum gfs_err end_parts(struct apply *apply, const struct step *step,
                              const uint8_t *upload_id, const struct change *kept)
{
    struct key from;
    struct key to;
    key_parts_of(&from, upload_id);
    to = from;
    key_after_prefix(&to);
    enum gfs_err err = db_seek(apply->db, TABLE_PARTS, key_row(&from), key_row(&to));
    while (err == GFS_OK || err == GFS_CORRUPT) {
        struct gfs_slice key;
        struct gfs_slice row;
        err = db_next(apply->db, TABLE_PARTS, &key, &row);
        if (err == GFS_OK && key.len == META_UPLOAD_ID_LEN + 2) {
            const uint8_t *raw = (const uint8_t *)key.ptr + META_UPLOAD_ID_LEN;
            uint32_t number = (uint32_t)raw[0] << 8 | raw[1];
            bool is_freed = kept == NULL || !edit_has_number(kept, number);
            retire_row(apply, step, TABLE_PARTS, key, row, is_freed);
            apply->result.row_count++;
        } else if (err == GFS_CORRUPT) {
            apply->result.damaged_count++;
        }
    }
    db_reset(apply->db, TABLE_PARTS);
    if (err != GFS_END) {
        return err;
    }
    return db_delete_range(apply->db, TABLE_PARTS, key_row(&from), key_row(&to));
}

static enum gfs_err end_upload(struct apply *apply, const struct step *step,
                               const struct change *change)
{
    struct gfs_slice key = change->key;
    if (key.len < sizeof(uint64_t) + META_UPLOAD_ID_LEN) {
        return GFS_CORRUPT;
    }
    uint8_t upload_id[META_UPLOAD_ID_LEN];
    memcpy(upload_id, key.ptr + key.len - META_UPLOAD_ID_LEN, sizeof upload_id);
    enum gfs_err err = flush(apply);
    if (err == GFS_OK) {
        gfs_buf_clear(&apply->old);
        err = db_get(apply->db, TABLE_UPLOADS, key, &apply->old);
    }
    if (err == GFS_OK) {
        retire_row(apply, step, TABLE_UPLOADS, key, gfs_buf_slice(&apply->old), true);
    }
    if (err == GFS_OK || err == GFS_CORRUPT || err == GFS_NOT_FOUND) {
        apply->result.row_count++;
        err = db_delete(apply->db, TABLE_UPLOADS, key);
    }
    return err == GFS_OK ? end_parts(apply, step, upload_id, change) : err;
}

/* Ends up to DROP_STEP uploads of a bucket; *ret_count tells how many there were. */
static enum gfs_err drop_uploads(struct apply *apply, const struct step *step, uint64_t bucket_id,
                                 size_t *ret_count)
{
    struct key from;
    struct key to;
    key_bucket(&from, TABLE_UPLOADS, bucket_id);
    to = from;
    key_after_prefix(&to);
    uint8_t ids[DROP_STEP][META_UPLOAD_ID_LEN];
    size_t count = 0;
    struct key last = from;
    enum gfs_err err = db_seek(apply->db, TABLE_UPLOADS, key_row(&from), key_row(&to));
    while (err == GFS_OK && count < DROP_STEP) {
        struct gfs_slice key;
        struct gfs_slice row;
        err = db_next(apply->db, TABLE_UPLOADS, &key, &row);
        if (err == GFS_OK && key.len >= META_UPLOAD_ID_LEN && key.len < sizeof last.bytes - 1) {
            retire_row(apply, step, TABLE_UPLOADS, key, row, true);
            memcpy(ids[count++], key.ptr + key.len - META_UPLOAD_ID_LEN, META_UPLOAD_ID_LEN);
            memcpy(last.bytes + 1, key.ptr, key.len);
            last.len = key.len + 1;
        } else if (err == GFS_CORRUPT) {
            apply->result.damaged_count++;
            err = GFS_OK;
        }
    }
    db_reset(apply->db, TABLE_UPLOADS);
    bool is_end = err == GFS_END;
    if (err != GFS_OK && !is_end) {
        return err;
    }
    for (size_t i = 0; i < count; i++) {
        err = end_parts(apply, step, ids[i], NULL);
        if (err != GFS_OK) {
            return err;
        }
    }
    key_after(&last);
    *ret_count = is_end ? 0 : count;
    return db_delete_range(apply->db, TABLE_UPLOADS, key_row(&from),
                           is_end ? key_row(&to) : key_row(&last));
}

static enum gfs_err drop_bucket(struct apply *apply, const struct step *step, uint64_t bucket_id)
{
    enum gfs_err err = flush(apply);
    size_t count = 1;
    while (err == GFS_OK && count != 0) {
        err = drop_uploads(apply, step, bucket_id, &count);
    }
    if (err == GFS_OK) {
        err = flush(apply); /* counters first: the row of the counters goes as well */
    }
    struct key key;
    key_bucket(&key, TABLE_USAGE, bucket_id);
    if (err == GFS_OK) {
        err = db_delete(apply->db, TABLE_USAGE, key_row(&key));
    }
    key_bucket(&key, TABLE_BUCKETS, bucket_id);
    return err == GFS_OK ? db_delete(apply->db, TABLE_BUCKETS, key_row(&key)) : err;
}

static enum gfs_err write_bucket(struct apply *apply, const struct meta_bucket *bucket)
{
    struct gfs_buf row;
    gfs_buf_init(&row, BUCKET_ROW_LEN_MAX);
    bucket_row_encode(&row, bucket);
    struct key key;
    key_bucket(&key, TABLE_BUCKETS, bucket->id);
    enum gfs_err err = row.is_full
                           ? GFS_CORRUPT
                           : db_put(apply->db, TABLE_BUCKETS, key_row(&key), gfs_buf_slice(&row));
    gfs_buf_fini(&row);
    return err;
}

static enum gfs_err put_bucket(struct apply *apply, const struct step *step,
                               const struct change *change)
{
    struct meta_bucket bucket = {.id = step->lsn, .created_ms = step->time_ms};
    if (change->key.len >= sizeof bucket.name || change->value.len >= sizeof bucket.region) {
        return GFS_CORRUPT;
    }
    memcpy(bucket.name, change->key.ptr, change->key.len);
    memcpy(bucket.region, change->value.ptr, change->value.len);
    struct meta_usage none = {0};
    ledger_add_usage(apply->ledger, step->lsn, &none); /* so that its usage can be asked for */
    return write_bucket(apply, &bucket);
}

/* Nothing is proposed for a bucket that is not there, so a missing row is damage. */
static enum gfs_err set_bucket(struct apply *apply, const struct step *step,
                               const struct change *change)
{
    struct key key;
    struct meta_bucket bucket;
    key_bucket(&key, TABLE_BUCKETS, change->bucket_id == 0 ? step->lsn : change->bucket_id);
    gfs_buf_clear(&apply->old);
    enum gfs_err err = db_get(apply->db, TABLE_BUCKETS, key_row(&key), &apply->old);
    if (err == GFS_OK) {
        err = bucket_row_decode(key_row(&key), gfs_buf_slice(&apply->old), &bucket);
    }
    if (err == GFS_OK) {
        err = bucket_row_set(&bucket, change->setting, change->value);
    }
    if (err == GFS_NOT_FOUND || err == GFS_INVALID) {
        err = GFS_CORRUPT;
    }
    return err == GFS_OK ? write_bucket(apply, &bucket) : err;
}

enum gfs_err apply_decode_usage(struct gfs_slice value, struct meta_usage *ret)
{
    return ledger_decode_usage(value, ret);
}

static void add_point(struct apply *apply, const struct step *step, const struct change *change)
{
    if (apply->point_count == apply->point_size) {
        apply->point_size = apply->point_size == 0 ? 256 : apply->point_size * 2;
        apply->points = gfs_realloc(apply->points, apply->point_size * sizeof *apply->points);
    }
    apply->points[apply->point_count++] = (struct point){
        .key = change->key,
        .value = change->kind == CHANGE_PUT ? change->value : (struct gfs_slice){0},
        .lsn = step->lsn,
        .time_ms = step->time_ms,
        .seq = step->seq,
        .table = change->table,
    };
}

static enum gfs_err apply_change(struct apply *apply, const struct step *step,
                                 const struct change *change)
{
    enum gfs_err err = GFS_OK;
    switch (change->kind) {
    case CHANGE_PUT:
    case CHANGE_DELETE:
        add_point(apply, step, change);
        return GFS_OK;
    case CHANGE_UPLOAD_END:
        return end_upload(apply, step, change);
    case CHANGE_REF_ADD:
        for (uint32_t i = 0; i < change->count && err == GFS_OK; i++) {
            err = ledger_add_ref(apply->ledger, edit_id(change, i));
        }
        return err;
    case CHANGE_BUCKET_PUT:
        return put_bucket(apply, step, change);
    case CHANGE_BUCKET_SET:
        return set_bucket(apply, step, change);
    case CHANGE_BUCKET_DROP:
        return drop_bucket(apply, step, change->bucket_id);
    case CHANGE_GARBAGE_DONE:
        ledger_garbage_done(apply->ledger, change->garbage_lsn, change->garbage_n);
        return GFS_OK;
    default:
        return GFS_CORRUPT;
    }
}

static enum gfs_err apply_edit(struct apply *apply, struct gfs_slice bytes, uint64_t *lsn)
{
    struct edit edit;
    enum gfs_err err = edit_open(bytes, &edit);
    if (err != GFS_OK) {
        return err;
    }
    if (edit.lsn <= *lsn) {
        return GFS_CORRUPT;
    }
    *lsn = edit.lsn;
    struct step step = {.lsn = edit.lsn, .time_ms = edit.time_ms};
    struct change change;
    while ((err = edit_next(&edit, &change)) == GFS_OK) {
        err = apply_change(apply, &step, &change);
        if (err != GFS_OK) {
            return err;
        }
        step.seq++;
    }
    return err == GFS_END ? GFS_OK : err;
}

static enum gfs_err apply_all(struct apply *apply, const struct gfs_slice *edits, size_t count,
                              uint64_t *lsn)
{
    enum gfs_err err = db_begin(apply->db);
    for (size_t i = 0; i < count && err == GFS_OK; i++) {
        err = apply_edit(apply, edits[i], lsn);
    }
    if (err == GFS_OK) {
        err = flush(apply);
    }
    char raw[sizeof *lsn];
    gfs_codec_store_u64(raw, *lsn);
    if (err == GFS_OK) {
        err = db_put(apply->db, TABLE_META, applied_name, gfs_slice_of(raw, sizeof raw));
    }
    return err == GFS_OK ? db_commit(apply->db) : err;
}

enum gfs_err apply_edits(struct apply *apply, const struct gfs_slice *edits, size_t count,
                         struct apply_result *ret, struct gfs_error *error)
{
    uint64_t lsn = apply->lsn;
    apply->point_count = 0;
    apply->result = (struct apply_result){0};
    ledger_clear(apply->ledger);
    enum gfs_err err = apply_all(apply, edits, count, &lsn);
    if (err != GFS_OK) {
        (void)gfs_fail(error, err, "apply edits after LSN %llu: %s: %s",
                       (unsigned long long)apply->lsn, gfs_err_text(err), db_fault(apply->db));
        db_rollback(apply->db);
        return err;
    }
    apply->lsn = lsn;
    *ret = apply->result;
    return GFS_OK;
}
