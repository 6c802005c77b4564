/* From a finished edit to its answer: LSN, overlay, log, decision. */
#include <assert.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "metad/edit.h"
#include "metad/shard_copy.h"
#include "metad/shard_label.h"

struct proposal *proposal_new(struct shard *shard, struct meta_op *op)
{
    struct proposal *proposal = gfs_alloc(sizeof *proposal);
    proposal->shard = shard;
    proposal->op = op;
    proposal->entries = proposal->entries_inline;
    gfs_buf_init(&proposal->edit, CHUNK_EDIT_LEN_MAX);
    gfs_buf_init(&proposal->chunk_ids, CHUNK_EDIT_LEN_MAX);
    return proposal;
}

void proposal_free(struct proposal *proposal)
{
    if (proposal == NULL) {
        return;
    }
    if (proposal->entries != proposal->entries_inline) {
        free(proposal->entries);
    }
    shard_label_end(proposal, false);
    gfs_buf_fini(&proposal->edit);
    gfs_buf_fini(&proposal->chunk_ids);
    free(proposal);
}

static void add_version(struct proposal *proposal, enum table table, struct gfs_slice row_key,
                        struct meta_row *row)
{
    struct shard *shard = proposal->shard;
    struct key key;
    key.bytes[0] = (char)table;
    GFS_ASSERT(row_key.len < sizeof key.bytes);
    memcpy(key.bytes + 1, row_key.ptr, row_key.len);
    key.len = row_key.len + 1;
    struct overlay_entry *entry = overlay_insert(
        shard->overlay, key_full(&key), key_hash(key_full(&key), shard->seed), proposal->lsn, row);
    if (entry == NULL) {
        return; /* the same row twice in one edit: the first answer stands for both */
    }
    if (proposal->entry_count >= PROPOSAL_INLINE_ENTRIES &&
        (proposal->entry_count & (proposal->entry_count - 1)) == 0) {
        bool is_inline = proposal->entries == proposal->entries_inline;
        struct overlay_entry **grown =
            gfs_realloc(is_inline ? NULL : proposal->entries,
                        2 * (size_t)proposal->entry_count * sizeof(struct overlay_entry *));
        if (is_inline) {
            memcpy(grown, proposal->entries_inline, sizeof proposal->entries_inline);
        }
        proposal->entries = grown;
    }
    proposal->entries[proposal->entry_count++] = entry;
}

/* The rows of the edit become the newest versions. The parts of an upload that ends stay: nothing
 * looks at parts without looking for their upload first. */
static void add_versions(struct proposal *proposal)
{
    struct edit edit;
    struct change change;
    enum gfs_err err = edit_open(gfs_buf_slice(&proposal->edit), &edit);
    GFS_ASSERT(err == GFS_OK);
    while ((err = edit_next(&edit, &change)) == GFS_OK) {
        if (change.kind == CHANGE_PUT) {
            add_version(proposal, change.table, change.key, row_copy(change.value));
        } else if (change.kind == CHANGE_DELETE) {
            add_version(proposal, change.table, change.key, NULL);
        } else if (change.kind == CHANGE_UPLOAD_END) {
            add_version(proposal, TABLE_UPLOADS, change.key, NULL);
        }
    }
    GFS_ASSERT(err == GFS_END);
}

static void take_back_versions(struct proposal *proposal)
{
    for (uint32_t i = 0; i < proposal->entry_count; i++) {
        struct meta_row *row = NULL;
        overlay_remove(proposal->shard->overlay, proposal->entries[i], proposal->lsn, &row);
        meta_row_unref(row);
    }
    proposal->entry_count = 0;
}

/* Lives in the operation itself. */
struct waiting_answer *shard_answer_of(struct meta_op *op, enum gfs_err err, uint64_t lsn)
{
    static_assert(sizeof(struct waiting_answer) <= sizeof op->internal, "it fits");
    struct waiting_answer *answer = (struct waiting_answer *)(void *)op->internal;
    *answer = (struct waiting_answer){.op = op, .lsn = lsn, .err = err};
    return answer;
}

/* Parked answers that rest on edits up to `lsn` go to *ret. What rested on a refused edit cannot be
 * answered as it was judged: the client is asked to come again. */
static void take_parked_locked(struct shard *shard, uint64_t lsn, bool is_refused,
                               struct waiting_answer **ret)
{
    struct waiting_answer **link = &shard->parked;
    while (*link != NULL) {
        struct waiting_answer *answer = *link;
        if (is_refused && answer->lsn >= lsn) {
            answer->err = shard->has_failed ? GFS_IO : GFS_BUSY;
        }
        if (answer->lsn <= lsn) {
            *link = answer->next;
            answer->next = *ret;
            *ret = answer;
        } else {
            link = &answer->next;
        }
    }
}

void shard_give_answers(struct waiting_answer *answers)
{
    while (answers != NULL) {
        struct waiting_answer *next = answers->next;
        answers->op->done(answers->op, answers->err);
        answers = next;
    }
}

static void commit_locked(struct shard *shard, struct proposal *proposal)
{
    proposal->committed_ns = gfs_monotonic_ns();
    proposal->next = NULL;
    *shard->committed_tail = proposal;
    shard->committed_tail = &proposal->next;
    if (shard->committed == proposal ||
        overlay_size(shard->overlay) > shard->options.overlay_bytes_max / 8) {
        shard_wake_live_locked(shard);
    }
}

/* Answers the operation now, or when SQLite has caught up. A SQLite that cannot go on is not waited
 * for: new operations are refused instead. */
static void answer_locked(struct shard *shard, struct proposal *proposal, enum gfs_err err,
                          struct waiting_answer **ret)
{
    if (proposal->op == NULL) {
        return;
    }
    struct waiting_answer *answer = shard_answer_of(proposal->op, err, proposal->lsn);
    proposal->op = NULL;
    bool is_held = err == GFS_OK && shard->apply_fault == GFS_OK &&
                   overlay_size(shard->overlay) > shard->options.overlay_bytes_max;
    if (is_held) {
        *shard->held_tail = answer;
        shard->held_tail = &answer->next;
    } else {
        answer->next = *ret;
        *ret = answer;
    }
}

struct waiting_answer *shard_take_held_locked(struct shard *shard)
{
    bool is_over = overlay_size(shard->overlay) > shard->options.overlay_bytes_max;
    if (is_over && shard->apply_fault == GFS_OK) {
        return NULL;
    }
    struct waiting_answer *held = shard->held;
    shard->held = NULL;
    shard->held_tail = &shard->held;
    return held;
}

void shard_await_decision_locked(struct shard *shard, uint64_t lsn)
{
    shard->decided_waiters++;
    while (shard->committed_lsn < lsn && shard->under_way != 0) { /* numbers may be left out */
        gfs_cond_wait(&shard->decided, &shard->lock);
    }
    shard->decided_waiters--;
}

/* The log's answer, in LSN order, on the log's thread. The proposal counts as under way until its
 * answers are given, so that nobody is called after the shard was closed. */
static void decided(struct chunk_group *group, enum gfs_err err)
{
    struct proposal *proposal = GFS_CONTAINER_OF(group, struct proposal, group);
    struct shard *shard = proposal->shard;
    struct waiting_answer *answers = NULL;
    struct waiting_answer *held = NULL;
    bool is_committed = err == GFS_OK;
    shard_label_end(proposal, true);
    (void)pthread_mutex_lock(&shard->lock);
    if (err == GFS_IO) {
        shard->has_failed = true;
    }
    if (!is_committed) {
        take_back_versions(proposal);
    }
    if (proposal->bucket_id != 0) {
        shard_bucket_decided_locked(proposal, is_committed);
    }
    if (!is_committed && proposal->delete_record.kind == CHUNK_RECORD_DELETE) {
        shard->is_sweep_refused = true;
    }
    shard->committed_lsn = proposal->lsn;
    take_parked_locked(shard, proposal->lsn, !is_committed, &answers);
    answer_locked(shard, proposal, err, &answers);
    if (is_committed) {
        commit_locked(shard, proposal);
        proposal = NULL;
    } else {
        held = shard_take_held_locked(shard); /* the overlay may be small enough now */
    }
    (void)pthread_mutex_unlock(&shard->lock);
    proposal_free(proposal);
    shard_give_answers(held);
    shard_give_answers(answers);
    (void)pthread_mutex_lock(&shard->lock);
    shard->under_way--;
    if (shard->decided_waiters != 0) {
        gfs_cond_broadcast(&shard->decided);
    }
    (void)pthread_mutex_unlock(&shard->lock);
}

enum gfs_err proposal_adopt(struct proposal *proposal)
{
    struct shard *shard = proposal->shard;
    struct edit edit;
    struct change change;
    enum gfs_err err = edit_open(gfs_buf_slice(&proposal->edit), &edit);
    if (err != GFS_OK || edit.lsn <= shard->committed_lsn) {
        return GFS_CORRUPT;
    }
    proposal->lsn = edit.lsn;
    while ((err = edit_next(&edit, &change)) == GFS_OK) {
        if (change.kind == CHANGE_BUCKET_PUT || change.kind == CHANGE_BUCKET_SET ||
            change.kind == CHANGE_BUCKET_DROP) {
            err = shard_bucket_adopt(shard, edit.lsn, edit.time_ms, &change);
            if (err != GFS_OK) {
                return err;
            }
        }
    }
    if (err != GFS_END) {
        return err;
    }
    add_versions(proposal);
    shard->committed_lsn = edit.lsn;
    shard->last_time_ms = GFS_MAX(shard->last_time_ms, edit.time_ms);
    return GFS_OK;
}

void proposal_submit_locked(struct proposal *proposal)
{
    struct shard *shard = proposal->shard;
    struct meta_op *op = proposal->op;
    shard->last_time_ms = GFS_MAX(shard->last_time_ms, gfs_wall_ms());
    proposal->lsn = shard->next_lsn++;
    edit_seal(proposal->edit.ptr, proposal->edit.len, proposal->lsn, shard->last_time_ms);
    add_versions(proposal);
    if (op != NULL) {
        op->lsn = proposal->lsn;
        op->mtime_ms = shard->last_time_ms;
    }
    shard_bucket_proposed_locked(proposal, shard->last_time_ms);
    proposal->edit_record = (struct chunk_record){
        .kind = CHUNK_RECORD_EDIT,
        .payload = gfs_buf_slice(&proposal->edit),
        .lsn = proposal->lsn,
        .next = shard_label_seal(proposal, proposal->lsn, shard->last_time_ms),
    };
    if (proposal->delete_record.kind == CHUNK_RECORD_DELETE) {
        proposal->edit_record.next = &proposal->delete_record;
    }
    proposal->group.records = &proposal->edit_record;
    proposal->group.done = decided;
    shard->under_way++;
    shard->log->ops->submit(shard->log, &proposal->group);
}

enum gfs_err shard_refusal_locked(const struct shard *shard, bool may_use_reserve)
{
    if (shard->is_stopping) {
        return GFS_STOPPED;
    }
    bool is_stuck = shard->apply_fault != GFS_OK && !shard_is_passing(shard->apply_fault);
    bool is_awaited = is_stuck && shard_expects_move_locked(shard);
    if (shard->has_failed || (is_stuck && !is_awaited)) {
        return GFS_UNREACHABLE; /* not IO: what is refused here has certainly done nothing */
    }
    size_t factor = may_use_reserve ? 2 : 1;
    bool is_full = overlay_size(shard->overlay) > factor * shard->options.overlay_bytes_max;
    enum gfs_err refusal = is_awaited ? GFS_BUSY : shard->apply_fault;
    return is_full ? refusal : GFS_OK;
}

enum gfs_err shard_trim(struct shard *shard)
{
    struct proposal *proposal = proposal_new(shard, NULL);
    edit_begin(&proposal->edit);
    enum gfs_err err = edit_finish(&proposal->edit);
    GFS_ASSERT(err == GFS_OK);
    proposal->group.may_use_reserve = true;
    (void)pthread_mutex_lock(&shard->lock);
    err = shard_refusal_locked(shard, true);
    if (err == GFS_OK) {
        shard->checkpoint_lsn = shard->next_lsn;
        proposal_submit_locked(proposal);
        proposal = NULL;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    proposal_free(proposal);
    return err;
}
