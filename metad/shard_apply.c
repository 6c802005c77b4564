/* The apply thread: committed edits into SQLite, checkpoints, and what waits for them. It lets
 * edits wait for company, since a batch sorted by key costs a page a few rows, not a page a row. */
#include <malloc.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "metad/shard_state.h"

enum {
    BATCH_EDITS_MAX = 65536,
    BATCH_BYTES_MAX = 32 << 20,
    DROP_STEP = 128, /* edits whose rows leave the overlay in one hold of the lock */
    CHECKPOINT_WAL_SIZE = 64 << 20,
    TRUNCATE_WAL_SIZE = 256 << 20,
};
#define IDLE_CHECKPOINT_NS (5LL * 1000 * 1000 * 1000)
#define RETRY_NS (1LL * 1000 * 1000 * 1000)

/* Edits taken off the list together. */
struct batch {
    struct proposal *first, *last;
    size_t count;
};

enum turn { TURN_APPLY, TURN_CHECKPOINT, TURN_STOP };

/* What to do next, waiting for it. */
static enum turn next_turn_locked(struct shard *shard, bool is_dirty)
{
    int64_t idle_since = gfs_monotonic_ns();
    for (;;) {
        int64_t now = gfs_monotonic_ns();
        if (shard->committed != NULL) {
            int64_t due = shard->committed->committed_ns + shard->options.apply_delay_ms * 1000000;
            bool is_time = shard->is_apply_stopping || shard->held != NULL || now >= due ||
                           overlay_size(shard->overlay) > shard->options.overlay_bytes_max / 8;
            if (is_time) {
                return TURN_APPLY;
            }
            shard_wait_locked(shard, &shard->apply_wake, due - now);
        } else if (shard->is_apply_stopping) {
            return TURN_STOP;
        } else if (!is_dirty) {
            (void)pthread_cond_wait(&shard->apply_wake, &shard->lock);
        } else if (now - idle_since >= IDLE_CHECKPOINT_NS) {
            return TURN_CHECKPOINT;
        } else {
            shard_wait_locked(shard, &shard->apply_wake, idle_since + IDLE_CHECKPOINT_NS - now);
        }
    }
}

static void take_batch_locked(struct shard *shard, struct batch *batch)
{
    size_t bytes = 0;
    struct proposal **link = &shard->committed;
    *batch = (struct batch){.first = shard->committed};
    while (*link != NULL && batch->count < BATCH_EDITS_MAX && bytes < BATCH_BYTES_MAX) {
        batch->last = *link;
        batch->count++;
        bytes += batch->last->edit.len;
        link = &batch->last->next;
    }
    shard->committed = *link;
    if (shard->committed == NULL) {
        shard->committed_tail = &shard->committed;
    }
    *link = NULL;
}

static void put_batch_back_locked(struct shard *shard, struct batch *batch)
{
    batch->last->next = shard->committed;
    if (shard->committed == NULL) {
        shard->committed_tail = &batch->last->next;
    }
    shard->committed = batch->first;
}

/* The rows of an applied edit go from the overlay to the row cache. */
static void drop_locked(struct shard *shard, struct proposal *proposal)
{
    for (uint32_t i = 0; i < proposal->entry_count; i++) {
        struct overlay_entry *entry = proposal->entries[i];
        struct gfs_slice full = overlay_key(entry);
        GFS_ASSERT(overlay_oldest(entry)->lsn == proposal->lsn); /* dropped in order */
        struct meta_row *row = overlay_oldest(entry)->row;
        if (row == NULL) {
            cache_remove(shard->cache, full, overlay_hash(entry));
        } else if (key_table(full) != TABLE_COMPLETED) { /* written once, hardly ever read */
            cache_put(shard->cache, full, overlay_hash(entry), row);
        }
        overlay_remove(shard->overlay, entry, proposal->lsn, &row);
        meta_row_unref(row);
    }
}

/* Called and returns with the lock; lets others in between. */
static void drop_batch_locked(struct shard *shard, struct batch *batch)
{
    struct proposal *proposal = batch->first;
    for (uint32_t i = 1; proposal != NULL; i++) {
        struct proposal *next = proposal->next;
        drop_locked(shard, proposal);
        proposal_free(proposal);
        proposal = next;
        if (i % DROP_STEP == 0) {
            (void)pthread_mutex_unlock(&shard->lock);
            (void)pthread_mutex_lock(&shard->lock);
        }
    }
}

static enum gfs_err apply_batch(struct shard *shard, const struct batch *batch,
                                struct apply_result *ret)
{
    struct gfs_slice *edits GFS_FREE = gfs_alloc_array(batch->count, sizeof *edits);
    size_t count = 0;
    for (const struct proposal *p = batch->first; p != NULL; p = p->next) {
        edits[count++] = gfs_buf_slice(&p->edit);
    }
    struct gfs_error error = {0};
    enum gfs_err err = apply_edits(shard->apply, edits, count, ret, &error);
    if (err != GFS_OK) {
        char quoted[sizeof error.text * 2];
        gfs_log(GFS_LOG_ERROR, "msg=\"metadata database cannot be written\" err=%s",
                gfs_log_quote(gfs_slice_str(error.text), quoted, sizeof quoted));
    }
    return err;
}

static void note_applied_locked(struct shard *shard, const struct apply_result *result)
{
    shard->apply_fault = GFS_OK;
    shard->applied_lsn = apply_lsn(shard->apply);
    shard->counters.applied_batches++;
    shard->counters.chunks_freed += result->freed_count;
    shard->counters.damaged_rows += result->damaged_count;
    if (result->freed_count != 0) {
        (void)pthread_cond_signal(&shard->sweep_wake);
    }
}

/* Called and returns with the lock. */
static enum gfs_err apply_turn_locked(struct shard *shard)
{
    struct batch batch;
    struct apply_result result = {0};
    take_batch_locked(shard, &batch);
    (void)pthread_mutex_unlock(&shard->lock);
    enum gfs_err err = apply_batch(shard, &batch, &result);
    (void)pthread_mutex_lock(&shard->lock);
    if (err == GFS_OK) {
        note_applied_locked(shard, &result);
        drop_batch_locked(shard, &batch);
    } else {
        shard->apply_fault = err;
        put_batch_back_locked(shard, &batch);
    }
    struct waiting_answer *answers = shard_take_held_locked(shard);
    (void)pthread_mutex_unlock(&shard->lock);
    shard_give_answers(answers);
    (void)pthread_mutex_lock(&shard->lock);
    return err;
}

/* Outside the lock. Answers whether everything applied is in the database file now. */
static bool checkpoint(struct shard *shard, bool is_truncate)
{
    bool is_complete = false;
    uint64_t lsn = apply_lsn(shard->apply);
    enum gfs_err err = db_checkpoint(shard->db, is_truncate, &is_complete);
    if (err != GFS_OK) {
        gfs_log(GFS_LOG_WARN, "msg=\"checkpoint of the metadata database\" err=%s",
                gfs_err_name(err));
        return false;
    }
    if (is_complete && lsn != 0) {
        /* The last one stays: opening finds it again and so knows that log and database fit. */
        shard->log->ops->trim_edits(shard->log, lsn - 1);
    }
    return is_complete;
}

void shard_checkpoint_when_due(struct shard *shard)
{
    size_t size = db_wal_size(shard->db);
    if (size >= CHECKPOINT_WAL_SIZE && checkpoint(shard, size >= TRUNCATE_WAL_SIZE)) {
        (void)pthread_mutex_lock(&shard->lock);
        shard->counters.checkpoints++;
        (void)pthread_mutex_unlock(&shard->lock);
    }
}

static void idle_checkpoint(struct shard *shard)
{
    if (checkpoint(shard, true)) {
        db_shrink(shard->db);
        (void)malloc_trim(0); /* nothing is written: what the last load needed goes back */
        (void)pthread_mutex_lock(&shard->lock);
        shard->counters.checkpoints++;
        (void)pthread_mutex_unlock(&shard->lock);
    }
}

/* SQLite cannot go on. What may pass is tried again; everything else is left as it is: the log has
 * all edits, and a restart applies them. */
static bool wait_after_fault_locked(struct shard *shard, enum gfs_err err)
{
    bool is_stopping = shard->is_apply_stopping;
    int64_t until = gfs_monotonic_ns() + RETRY_NS;
    int64_t left = RETRY_NS;
    while (!shard->is_apply_stopping && left > 0) { /* new edits wake as well */
        shard_wait_locked(shard, &shard->apply_wake, left);
        left = shard_is_passing(err) ? until - gfs_monotonic_ns() : RETRY_NS;
    }
    return shard_is_passing(err) && !is_stopping;
}

void *shard_apply_main(void *arg)
{
    struct shard *shard = arg;
    bool is_dirty = true; /* what opening applied */
    bool is_going = true;
    (void)pthread_mutex_lock(&shard->lock);
    while (is_going) {
        enum turn turn = next_turn_locked(shard, is_dirty);
        enum gfs_err err = turn == TURN_APPLY ? apply_turn_locked(shard) : GFS_OK;
        if (err != GFS_OK) {
            is_going = wait_after_fault_locked(shard, err);
            continue;
        }
        (void)pthread_mutex_unlock(&shard->lock);
        if (turn == TURN_APPLY) {
            shard_checkpoint_when_due(shard);
        } else {
            idle_checkpoint(shard);
        }
        (void)pthread_mutex_lock(&shard->lock);
        is_dirty = turn == TURN_APPLY;
        is_going = turn != TURN_STOP;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return NULL;
}
