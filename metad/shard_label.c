/* Labels of operations: each row that is written leaves a copy of itself with the data (label.h).
 *
 * The references to notes come last in a row's list and are of length 0. They are counted like all
 * others: a note goes when its row goes, or its last one, as a completed object takes over its
 * parts' notes. A copy that shares chunks has its own note and leaves the source's alone. */
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "metad/record.h"
#include "metad/shard_label.h"

enum { NOTE_REF_LEN_MAX = 40 }; /* bytes that a reference may take in a row */

/* Of one proposal, from its building to the log's answer. */
struct shard_label {
    struct gfs_buf bytes;
    size_t row_offset;             /* in bytes */
    struct chunk_record *record;   /* its owner is the label; NULL = notes */
    struct gfs_slice record_owner; /* what it was */
    struct gfs_buf note_owner;
    uint32_t note_count;
    struct chunk_record notes[LABEL_NOTES_MAX];
};

/* The operation as it is written: with another list of chunks. */
struct written {
    struct meta_op op;
    struct meta_object object;
    struct meta_part part;
    struct meta_chunk_ref *chunks;
    uint32_t count; /* without notes */
};

static void set_chunks(struct written *written, uint32_t count)
{
    if (written->op.kind == META_PART_PUT) {
        written->part.chunks = written->chunks;
        written->part.chunk_count = count;
    } else {
        written->object.chunks = written->chunks;
        written->object.chunk_count = count;
    }
}

static void copy_op(struct written *written, const struct meta_op *op)
{
    bool is_part = op->kind == META_PART_PUT;
    written->op = *op;
    if (is_part) {
        written->part = *op->part;
    } else {
        written->object = *op->object;
    }
    written->op.object = is_part ? NULL : &written->object;
    written->op.part = is_part ? &written->part : NULL;
    const struct meta_chunk_ref *chunks = is_part ? op->part->chunks : op->object->chunks;
    uint32_t count = is_part ? op->part->chunk_count : op->object->chunk_count;
    written->chunks = gfs_alloc_array((size_t)count + LABEL_NOTES_MAX, sizeof *chunks);
    for (uint32_t i = 0; i < count; i++) {
        if (chunks[i].len != 0 || !op->share.is_used) { /* not the notes of a copy's source */
            written->chunks[written->count++] = chunks[i];
        }
    }
    set_chunks(written, written->count);
}

/* The label of the row as it is now. */
static enum gfs_err encode(struct shard_label *label, const struct written *written,
                           const struct meta_bucket *bucket)
{
    const struct meta_op *op = &written->op;
    struct label head = {.table = TABLE_OBJECTS, .bucket = *bucket, .key = op->key};
    if (op->kind != META_OBJECT_PUT) {
        head.has_upload = true;
        memcpy(head.upload_id, op->upload_id, sizeof head.upload_id);
    }
    if (op->kind == META_UPLOAD_CREATE) {
        head.table = TABLE_UPLOADS;
    } else if (op->kind == META_PART_PUT) {
        head.table = TABLE_PARTS;
    }
    gfs_buf_clear(&label->bytes);
    label_encode(&label->bytes, &head); /* the row is at the end */
    label->row_offset = label->bytes.len;
    if (op->kind == META_PART_PUT) {
        record_encode_part(&label->bytes, op->bucket_id, op->part);
    } else {
        record_encode_object(&label->bytes, op->object);
    }
    return label->bytes.is_full ? GFS_TOO_BIG : GFS_OK;
}

/* The one small chunk of the row that can carry the label, or NULL. */
static struct chunk_record *carrier(const struct meta_op *op, const struct shard_label *label)
{
    struct chunk_record *record = op->data;
    bool is_single = record != NULL && record->next == NULL && record->kind == CHUNK_RECORD_DATA;
    return is_single && label->bytes.len <= LABEL_OWNER_LEN_MAX ? record : NULL;
}

/* As safe as the smallest objects of the row's class; a class that is no more is no hindrance. */
static enum gfs_err new_note(struct shard *shard, const struct written *written,
                             struct chunk_id *ret)
{
    struct chunk_store *log = shard->log;
    struct gfs_slice none = {0};
    struct gfs_slice storage_class =
        written->op.object == NULL ? none : written->object.storage_class;
    enum gfs_err err = log->ops->new_id(log, storage_class, 1, ret);
    return err == GFS_INVALID ? log->ops->new_id(log, none, 1, ret) : err;
}

/* The row names its notes, so they have their ids before it is encoded for good. */
static enum gfs_err add_notes(struct shard *shard, struct shard_label *label,
                              struct written *written, const struct meta_bucket *bucket)
{
    size_t len_max = label->bytes.len + (size_t)LABEL_NOTES_MAX * NOTE_REF_LEN_MAX;
    uint32_t count = (uint32_t)(len_max / GFS_SMALL_CHUNK_MAX) + 1;
    struct chunk_id ids[LABEL_NOTES_MAX];
    if (count > LABEL_NOTES_MAX) {
        return GFS_TOO_BIG;
    }
    for (uint32_t i = 0; i < count; i++) {
        enum gfs_err err = new_note(shard, written, &ids[i]);
        if (err != GFS_OK) {
            return err;
        }
        written->chunks[written->count + i] =
            (struct meta_chunk_ref){.id = ids[i], .pg = chunk_id_group(ids[i])};
    }
    set_chunks(written, written->count + count);
    enum gfs_err err = encode(label, written, bucket);
    if (err != GFS_OK) {
        return err;
    }
    gfs_buf_init(&label->note_owner, LABEL_OWNER_LEN_MAX);
    label_note_owner(&label->note_owner, (uint32_t)label->bytes.len, ids + 1, count - 1);
    uint32_t step = label_note_step((uint32_t)label->bytes.len, count);
    for (uint32_t i = 0; i < count; i++) {
        size_t at = GFS_MIN((size_t)i * step, label->bytes.len);
        label->notes[i] = (struct chunk_record){
            .kind = CHUNK_RECORD_DATA,
            .id = ids[i],
            .owner = i == 0 ? gfs_buf_slice(&label->note_owner) : label_more_owner(),
            .payload =
                gfs_slice_of(label->bytes.ptr + at, GFS_MIN((size_t)step, label->bytes.len - at)),
            .next = i + 1 < count ? &label->notes[i + 1] : written->op.data,
        };
    }
    label->note_count = count;
    return GFS_OK;
}

static bool find_bucket(struct shard *shard, uint64_t id, struct meta_bucket *ret)
{
    (void)pthread_mutex_lock(&shard->lock);
    const struct bucket *bucket = bucket_map_by_id(shard->buckets, id);
    bool is_there = bucket != NULL;
    if (is_there) {
        *ret = bucket->info;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return is_there;
}

static enum gfs_err add_label(struct proposal *proposal, struct written *written)
{
    struct meta_bucket bucket;
    if (!find_bucket(proposal->shard, written->op.bucket_id, &bucket)) {
        return GFS_OK; /* it is judged next, and refused */
    }
    struct shard_label *label = gfs_alloc(sizeof *label);
    proposal->label = label;
    gfs_buf_init(&label->bytes, LABEL_LEN_MAX);
    enum gfs_err err = encode(label, written, &bucket);
    if (err != GFS_OK) {
        return err;
    }
    label->record = carrier(&written->op, label);
    return label->record == NULL ? add_notes(proposal->shard, label, written, &bucket) : GFS_OK;
}

enum gfs_err shard_label_build(struct proposal *proposal)
{
    const struct meta_op *op = proposal->op;
    if (op->kind == META_OBJECT_DELETE || op->kind == META_UPLOAD_ABORT) {
        return shard_build_edit(&proposal->edit, op);
    }
    struct written written = {0};
    copy_op(&written, op);
    enum gfs_err err = GFS_OK;
    if (proposal->shard->options.has_labels) {
        err = add_label(proposal, &written);
    }
    if (err == GFS_OK) {
        err = shard_build_edit(&proposal->edit, &written.op);
    }
    free(written.chunks);
    return err;
}

struct chunk_record *shard_label_seal(struct proposal *proposal, uint64_t lsn, int64_t time_ms)
{
    struct shard_label *label = proposal->label;
    struct chunk_record *data = proposal->op == NULL ? NULL : proposal->op->data;
    if (label == NULL) {
        return data;
    }
    record_stamp(label->bytes.ptr + label->row_offset, lsn, time_ms);
    if (label->record == NULL) {
        return &label->notes[0];
    }
    label->record_owner = label->record->owner;
    label->record->owner = gfs_buf_slice(&label->bytes);
    return data;
}

void shard_label_end(struct proposal *proposal, bool is_submitted)
{
    struct shard_label *label = GFS_TAKE(proposal->label);
    if (label == NULL) {
        return;
    }
    if (is_submitted && label->record != NULL) {
        label->record->owner = label->record_owner;
    }
    gfs_buf_fini(&label->bytes);
    gfs_buf_fini(&label->note_owner);
    free(label);
}
