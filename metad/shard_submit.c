/* Operations on objects, uploads and parts: building their edits, and judging them.
 *
 * Judging looks at rows as they are after everything proposed so far. Under the lock it may only
 * use memory; what lies in SQLite is collected before, by running the same judgement once without
 * the lock. Collected rows are good as long as nothing was applied since: then a row that is not in
 * the overlay is as it was. */
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "metad/edit.h"
#include "metad/record.h"
#include "metad/shard_label.h"

enum { TRIES_MAX = 1000 };

struct collected {
    struct meta_row *row; /* NULL = not there */
    bool is_stored;       /* from SQLite or the row cache; else from the overlay: good for nothing
                             once it is not there any more, it may have been refused */
};

/* What a judgement sees. */
struct view {
    struct shard *shard;
    bool is_collecting; /* not under the lock: may read SQLite, notes what it finds */
    bool has_collected;
    uint64_t applied_lsn;    /* when collecting began */
    struct collected *items; /* in the order the judgement asks */
    uint32_t count, size, index;
    struct meta_row *current; /* row given last */
    uint64_t undecided_lsn;   /* newest undecided edit that was looked at; 0 = none */
    uint64_t awaited_lsn;     /* undecided edit that an acceptance would rest on; 0 = none */
};

static void view_rewind(struct view *view)
{
    meta_row_unref(view->current);
    view->current = NULL;
    view->index = 0;
    view->undecided_lsn = 0;
}

static void view_forget(struct view *view)
{
    view_rewind(view);
    for (uint32_t i = 0; i < view->count; i++) {
        meta_row_unref(view->items[i].row);
    }
    view->count = 0;
    view->has_collected = false;
}

static void view_fini(struct view *view)
{
    view_forget(view);
    free(view->items);
}

static void view_note(struct view *view, struct meta_row *row, bool is_stored)
{
    if (view->count == view->size) {
        view->size = view->size == 0 ? 4 : view->size * 2;
        view->items = gfs_realloc(view->items, view->size * sizeof *view->items);
    }
    view->items[view->count++] = (struct collected){row_ref(row), is_stored};
}

/* Of the overlay; false when it does not know the row. */
static bool newest_locked(struct view *view, struct gfs_slice full, uint64_t hash)
{
    const struct shard *shard = view->shard;
    const struct overlay_entry *entry = overlay_find(shard->overlay, full, hash);
    if (entry == NULL) {
        return false;
    }
    const struct overlay_version *newest = overlay_newest(entry);
    if (newest->lsn > shard->committed_lsn) {
        view->undecided_lsn = GFS_MAX(view->undecided_lsn, newest->lsn);
    }
    view->current = row_ref(newest->row);
    return true;
}

static enum gfs_err collect_row(struct view *view, const struct key *key, uint64_t hash)
{
    struct shard *shard = view->shard;
    (void)pthread_mutex_lock(&shard->lock);
    bool is_known = newest_locked(view, key_full(key), hash);
    uint64_t applied_lsn = shard->applied_lsn;
    (void)pthread_mutex_unlock(&shard->lock);
    enum gfs_err err = GFS_OK;
    if (!is_known) {
        view->current = cache_get(shard->cache, key_full(key), hash);
        if (view->current == NULL) {
            err = shard_read_database(shard, key, applied_lsn, &view->current);
        }
    }
    if (err == GFS_OK || err == GFS_NOT_FOUND) {
        view_note(view, view->current, !is_known);
        err = GFS_OK;
    }
    return err;
}

/* The next row the judgement needs, into view->current (NULL = not there). AGAIN: it must be
 * collected first. CORRUPT, IO only while collecting. */
static enum gfs_err view_row(struct view *view, const struct key *key)
{
    struct shard *shard = view->shard;
    uint64_t hash = key_hash(key_full(key), shard->seed);
    meta_row_unref(view->current);
    view->current = NULL;
    if (view->is_collecting) {
        return collect_row(view, key, hash);
    }
    uint32_t index = view->index++;
    if (newest_locked(view, key_full(key), hash)) {
        return GFS_OK;
    }
    view->current = cache_get(shard->cache, key_full(key), hash);
    if (view->current != NULL) {
        return GFS_OK;
    }
    bool is_good = view->has_collected && index < view->count && view->items[index].is_stored &&
                   view->applied_lsn == shard->applied_lsn;
    if (!is_good) {
        return GFS_AGAIN;
    }
    view->current = row_ref(view->items[index].row);
    return GFS_OK;
}

/* OK, PRECONDITION, NOT_FOUND (something must match and nothing is there), and view_row's. */
static enum gfs_err judge_condition(struct view *view, uint64_t bucket_id, struct gfs_slice name,
                                    const struct meta_condition *condition)
{
    if (!meta_condition_is_any(condition)) {
        return GFS_OK;
    }
    struct key key;
    key_object(&key, bucket_id, name);
    enum gfs_err err = view_row(view, &key);
    if (err != GFS_OK) {
        return err;
    }
    struct gfs_slice object =
        view->current == NULL ? (struct gfs_slice){0} : meta_row_bytes(view->current);
    return meta_condition_check(condition, object);
}

/* The row that shared chunks come from is still the one that was read. */
static enum gfs_err judge_share(struct view *view, const struct meta_share *share)
{
    if (!share->is_used) {
        return GFS_OK;
    }
    struct key key;
    key_object(&key, share->bucket_id, share->key);
    enum gfs_err err = view_row(view, &key);
    if (err != GFS_OK) {
        return err;
    }
    bool is_same =
        view->current != NULL && record_mod_lsn(meta_row_bytes(view->current)) == share->mod_lsn;
    return is_same ? GFS_OK : GFS_CONFLICT;
}

static enum gfs_err judge_upload(struct view *view, struct meta_op *op)
{
    struct key key;
    key_upload(&key, op->bucket_id, op->key, op->upload_id);
    enum gfs_err err = view_row(view, &key);
    if (err == GFS_OK && view->current == NULL) {
        op->what_missing = META_MISSING_UPLOAD;
        err = GFS_NOT_FOUND;
    }
    return err;
}

static enum gfs_err judge_used_parts(struct view *view, const struct meta_op *op)
{
    for (uint32_t i = 0; i < op->used_part_count; i++) {
        const struct meta_part *part = &op->used_parts[i];
        struct key key;
        key_part(&key, op->upload_id, part->number);
        enum gfs_err err = view_row(view, &key);
        if (err != GFS_OK) {
            return err;
        }
        if (view->current == NULL ||
            record_mod_lsn(meta_row_bytes(view->current)) != part->mod_lsn) {
            return GFS_CONFLICT;
        }
    }
    return GFS_OK;
}

static enum gfs_err judge_deletes(struct view *view, struct meta_op *op)
{
    for (uint32_t i = 0; i < op->delete_count; i++) {
        struct meta_delete *delete = &op->deletes[i];
        delete->err = judge_condition(view, op->bucket_id, delete->key, &delete->condition);
        bool is_answer = delete->err == GFS_OK || delete->err == GFS_NOT_FOUND ||
                         delete->err == GFS_PRECONDITION;
        if (!is_answer) {
            return delete->err;
        }
    }
    return GFS_OK;
}

static enum gfs_err judge_object(struct view *view, struct meta_op *op)
{
    enum gfs_err err = judge_condition(view, op->bucket_id, op->key, &op->condition);
    if (err == GFS_NOT_FOUND) {
        op->what_missing = META_MISSING_KEY;
    }
    return err;
}

/* OK or the answer; AGAIN, see view_row. Changes nothing but the out fields of the operation. */
static enum gfs_err judge_rows(struct view *view, struct meta_op *op)
{
    enum gfs_err err = GFS_OK;
    view_rewind(view);
    switch (op->kind) {
    case META_OBJECT_PUT:
        err = judge_share(view, &op->share);
        return err == GFS_OK ? judge_object(view, op) : err;
    case META_OBJECT_DELETE:
        return judge_deletes(view, op);
    case META_UPLOAD_CREATE:
        return GFS_OK;
    case META_PART_PUT:
        err = judge_upload(view, op);
        return err == GFS_OK ? judge_share(view, &op->share) : err;
    case META_UPLOAD_COMPLETE:
        err = judge_upload(view, op);
        if (err == GFS_OK) {
            err = judge_object(view, op);
        }
        return err == GFS_OK ? judge_used_parts(view, op) : err;
    case META_UPLOAD_ABORT:
        return judge_upload(view, op);
    case META_BUCKET_CREATE:
    case META_BUCKET_SET:
    case META_BUCKET_DELETE:
    default:
        GFS_ASSERT(false && "an operation on rows");
        return GFS_INVALID;
    }
}

static enum gfs_err judge_bucket_locked(struct shard *shard, struct meta_op *op)
{
    const struct bucket *bucket = bucket_map_by_id(shard->buckets, op->bucket_id);
    if (bucket == NULL || bucket->state == BUCKET_CREATING) {
        op->what_missing = META_MISSING_BUCKET;
        return GFS_NOT_FOUND;
    }
    return bucket->state == BUCKET_ACTIVE ? GFS_OK : GFS_CONFLICT;
}

/* ---- edits ---- */

static void add_refs(struct gfs_buf *out, const struct meta_chunk_ref *chunks, uint32_t count)
{
    if (count == 0) {
        return;
    }
    struct chunk_id *ids GFS_FREE = gfs_alloc_array(count, sizeof *ids);
    uint32_t shared_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (chunks[i].len != 0) { /* its own notes are not shared */
            ids[shared_count++] = chunks[i].id;
        }
    }
    if (shared_count != 0) {
        edit_ref_add(out, ids, shared_count);
    }
}

static void put_object(struct gfs_buf *out, const struct meta_op *op, const struct key *key)
{
    struct gfs_buf row;
    gfs_buf_init(&row, CHUNK_EDIT_LEN_MAX);
    record_encode_object(&row, op->object);
    edit_put(out, key_table(key_full(key)), key_row(key), gfs_buf_slice(&row));
    out->is_full |= row.is_full;
    gfs_buf_fini(&row);
}

static void put_part(struct gfs_buf *out, const struct meta_op *op)
{
    struct key key;
    struct gfs_buf row;
    gfs_buf_init(&row, CHUNK_EDIT_LEN_MAX);
    record_encode_part(&row, op->bucket_id, op->part);
    key_part(&key, op->upload_id, op->part->number);
    edit_put(out, TABLE_PARTS, key_row(&key), gfs_buf_slice(&row));
    out->is_full |= row.is_full;
    gfs_buf_fini(&row);
}

static void complete_upload(struct gfs_buf *out, const struct meta_op *op, struct key *key)
{
    key_object(key, op->bucket_id, op->key);
    put_object(out, op, key);
    uint16_t *numbers GFS_FREE = gfs_alloc_array(GFS_MAX(op->used_part_count, 1U), sizeof *numbers);
    for (uint32_t i = 0; i < op->used_part_count; i++) {
        numbers[i] = (uint16_t)op->used_parts[i].number;
    }
    key_upload(key, op->bucket_id, op->key, op->upload_id);
    edit_upload_end(out, key_row(key), numbers, op->used_part_count);
    struct gfs_buf row;
    gfs_buf_init(&row, CHUNK_EDIT_LEN_MAX);
    record_encode_completed(&row, op->bucket_id, op->key, op->object);
    key_completed(key, op->upload_id);
    edit_put(out, TABLE_COMPLETED, key_row(key), gfs_buf_slice(&row));
    gfs_buf_fini(&row);
}

static void delete_objects(struct gfs_buf *out, const struct meta_op *op)
{
    for (uint32_t i = 0; i < op->delete_count; i++) {
        if (op->deletes[i].err == GFS_OK) {
            struct key key;
            key_object(&key, op->bucket_id, op->deletes[i].key);
            edit_delete(out, TABLE_OBJECTS, key_row(&key));
        }
    }
}

enum gfs_err shard_build_edit(struct gfs_buf *out, const struct meta_op *op)
{
    struct key key;
    gfs_buf_clear(out);
    edit_begin(out);
    switch (op->kind) {
    case META_OBJECT_PUT:
        if (op->share.is_used) {
            add_refs(out, op->object->chunks, op->object->chunk_count);
        }
        key_object(&key, op->bucket_id, op->key);
        put_object(out, op, &key);
        break;
    case META_OBJECT_DELETE:
        delete_objects(out, op);
        break;
    case META_UPLOAD_CREATE:
        key_upload(&key, op->bucket_id, op->key, op->upload_id);
        put_object(out, op, &key);
        break;
    case META_PART_PUT:
        if (op->share.is_used) {
            add_refs(out, op->part->chunks, op->part->chunk_count);
        }
        put_part(out, op);
        break;
    case META_UPLOAD_COMPLETE:
        complete_upload(out, op, &key);
        break;
    case META_UPLOAD_ABORT:
        key_upload(&key, op->bucket_id, op->key, op->upload_id);
        edit_upload_end(out, key_row(&key), NULL, 0);
        break;
    case META_BUCKET_CREATE:
    case META_BUCKET_SET:
    case META_BUCKET_DELETE:
    default:
        break;
    }
    return edit_finish(out);
}

/* ---- submit ---- */

static bool is_valid(const struct meta_op *op)
{
    bool is_ok = op->key.len <= GFS_KEY_LEN_MAX && op->share.key.len <= GFS_KEY_LEN_MAX;
    for (uint32_t i = 0; is_ok && i < op->delete_count; i++) {
        is_ok = op->deletes[i].key.len > 0 && op->deletes[i].key.len <= GFS_KEY_LEN_MAX;
    }
    for (uint32_t i = 0; is_ok && i < op->used_part_count; i++) {
        uint32_t number = op->used_parts[i].number;
        is_ok =
            number <= GFS_PART_NUMBER_MAX && number > (i == 0 ? 0 : op->used_parts[i - 1].number);
    }
    if (op->kind != META_OBJECT_DELETE) {
        is_ok = is_ok && op->key.len > 0;
    }
    if (op->kind == META_PART_PUT) {
        is_ok = is_ok && op->part->number > 0 && op->part->number <= GFS_PART_NUMBER_MAX;
    }
    return is_ok;
}

static enum gfs_err judge_locked(struct view *view, struct proposal *proposal)
{
    struct meta_op *op = proposal->op;
    enum gfs_err err = shard_refusal_locked(view->shard, proposal->group.may_use_reserve);
    if (err == GFS_OK) {
        err = judge_bucket_locked(view->shard, op);
    }
    if (err == GFS_OK) {
        view->is_collecting = false;
        err = judge_rows(view, op);
    }
    if (err == GFS_OK && op->kind == META_OBJECT_DELETE) {
        err = shard_build_edit(&proposal->edit, op);
    }
    return err;
}

/* One try. AGAIN: rows must be collected (first, or anew), or awaited_lsn must be decided: what is
 * accepted cannot be taken back when an edit it rests on is refused, so it comes after the
 * decision, while refusals only wait for it. END: taken care of, the proposal is no longer the
 * caller's; anything else is the answer. */
static enum gfs_err try_propose(struct view *view, struct proposal *proposal)
{
    struct shard *shard = view->shard;
    struct meta_op *op = proposal->op;
    view->awaited_lsn = 0;
    (void)pthread_mutex_lock(&shard->lock);
    enum gfs_err err = judge_locked(view, proposal);
    bool is_empty = err == GFS_OK && proposal->edit.len == EDIT_HEAD_LEN; /* nothing to delete */
    bool is_undecided = view->undecided_lsn > shard->committed_lsn;
    if (err == GFS_OK && !is_empty && is_undecided) {
        view->awaited_lsn = view->undecided_lsn;
        err = GFS_AGAIN;
    } else if (err == GFS_OK && !is_empty) {
        proposal_submit_locked(proposal);
        err = GFS_END;
    } else if (err != GFS_AGAIN && is_undecided) {
        struct waiting_answer *answer = shard_answer_of(op, err, view->undecided_lsn);
        answer->next = shard->parked;
        shard->parked = answer;
        proposal_free(proposal);
        err = GFS_END;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return err;
}

static enum gfs_err collect(struct view *view, struct meta_op *op)
{
    struct shard *shard = view->shard;
    view_forget(view);
    (void)pthread_mutex_lock(&shard->lock);
    view->applied_lsn = shard->applied_lsn;
    (void)pthread_mutex_unlock(&shard->lock);
    view->is_collecting = true;
    enum gfs_err err = judge_rows(view, op);
    op->what_missing = META_MISSING_NONE;
    view->has_collected = true;
    bool is_fault = err == GFS_IO || err == GFS_CORRUPT;
    return is_fault ? err : GFS_OK;
}

/* Does what the next try needs. */
static enum gfs_err prepare(struct view *view, struct meta_op *op)
{
    if (view->awaited_lsn == 0) {
        return collect(view, op);
    }
    (void)pthread_mutex_lock(&view->shard->lock);
    shard_await_decision_locked(view->shard, view->awaited_lsn);
    (void)pthread_mutex_unlock(&view->shard->lock);
    return GFS_OK;
}

static enum gfs_err propose(struct shard *shard, struct proposal *proposal, unsigned flags)
{
    struct view view = {.shard = shard};
    struct meta_op *op = proposal->op;
    enum gfs_err err = try_propose(&view, proposal);
    for (uint32_t i = 0; err == GFS_AGAIN && (flags & META_NOWAIT) == 0; i++) {
        enum gfs_err prepare_err = i < TRIES_MAX ? prepare(&view, op) : GFS_BUSY;
        err = prepare_err == GFS_OK ? try_propose(&view, proposal) : prepare_err;
    }
    view_fini(&view);
    return err;
}

static enum gfs_err submit_rows(struct shard *shard, struct meta_op *op, unsigned flags)
{
    struct proposal *proposal = proposal_new(shard, op);
    proposal->group.may_use_reserve =
        op->kind == META_OBJECT_DELETE || op->kind == META_UPLOAD_ABORT;
    enum gfs_err err = is_valid(op) ? GFS_OK : GFS_INVALID;
    if (err == GFS_OK && op->kind != META_OBJECT_DELETE) {
        err = shard_label_build(proposal);
    }
    if (err == GFS_OK) {
        err = propose(shard, proposal, flags);
    }
    if (err == GFS_END) {
        return GFS_OK;
    }
    proposal_free(proposal);
    if (err == GFS_AGAIN) {
        return err;
    }
    op->done(op, err);
    return GFS_OK;
}

enum gfs_err shard_submit(struct meta_service *meta, struct meta_op *op, unsigned flags)
{
    struct shard *shard = GFS_CONTAINER_OF(meta, struct shard, service);
    op->what_missing = META_MISSING_NONE;
    if (op->kind == META_BUCKET_CREATE) {
        return shard_bucket_create(shard, op);
    }
    if (op->kind == META_BUCKET_SET) {
        return shard_bucket_set(shard, op);
    }
    if (op->kind == META_BUCKET_DELETE) {
        return shard_bucket_delete(shard, op, flags);
    }
    return submit_rows(shard, op, flags);
}
