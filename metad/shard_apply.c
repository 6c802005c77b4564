/* The live database: committed edits go into it, then out of the overlay, and what waits for that
 * is answered. It lets edits wait for company, since a batch sorted by key costs a page a few rows,
 * not a page a row. */
#include <malloc.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "metad/shard_copy.h"

enum {
    BATCH_EDITS_MAX = 65536,
    BATCH_BYTES_MAX = 32 << 20,
    DROP_STEP = 128, /* edits whose rows leave the overlay in one hold of the lock */
};
#define IDLE_CHECKPOINT_NS (5LL * 1000 * 1000 * 1000)
#define RETRY_NS (1LL * 1000 * 1000 * 1000)

enum turn { TURN_NONE, TURN_APPLY, TURN_CHECKPOINT, TURN_STOP };

/* Edits that are to be applied without waiting for company. */
static bool is_urgent_locked(const struct shard *shard)
{
    return shard->is_apply_stopping || shard->held != NULL || shard->batch.first != NULL ||
           shard->committed->lsn <= shard->wanted_lsn ||
           overlay_size(shard->overlay) > shard->options.overlay_bytes_max / 8;
}

/* What to do next, waiting for it. NONE: it is not the live one any more. */
static enum turn next_turn_locked(struct copy *copy)
{
    struct shard *shard = copy->shard;
    int64_t idle_since = gfs_monotonic_ns();
    while (copy->role == COPY_LIVE) {
        int64_t now = gfs_monotonic_ns();
        if (shard->heir != NULL && !shard->is_apply_stopping) {
            gfs_cond_wait(&copy->wake, &shard->lock);
        } else if (shard->batch.first != NULL || shard->committed != NULL) {
            if (is_urgent_locked(shard)) {
                return TURN_APPLY;
            }
            int64_t due = shard->committed->committed_ns + shard->options.apply_delay_ms * 1000000;
            if (now >= due) {
                return TURN_APPLY;
            }
            (void)gfs_cond_wait_until(&copy->wake, &shard->lock, due);
        } else if (shard->is_apply_stopping) {
            return TURN_STOP;
        } else if (!copy->is_dirty) {
            gfs_cond_wait(&copy->wake, &shard->lock);
        } else if (now - idle_since >= IDLE_CHECKPOINT_NS) {
            return TURN_CHECKPOINT;
        } else {
            (void)gfs_cond_wait_until(&copy->wake, &shard->lock, idle_since + IDLE_CHECKPOINT_NS);
        }
    }
    return TURN_NONE;
}

/* The bytes of the edits become the batch's: a thread that hangs in a database may hold on to them
 * when the proposals are long gone. */
static struct edits *take_edits(struct proposal *first, size_t count, uint64_t after)
{
    struct edits *edits = gfs_alloc(sizeof *edits + count * sizeof edits->items[0]);
    atomic_init(&edits->references, 1);
    edits->after = after;
    for (struct proposal *p = first; edits->count < count; p = p->next) {
        edits->items[edits->count++] = (struct edit_item){.lsn = p->lsn, .bytes = p->edit};
        edits->bytes += p->edit.len;
        gfs_buf_init(&p->edit, 0);
    }
    return edits;
}

static void take_batch_locked(struct shard *shard)
{
    size_t bytes = 0;
    size_t count = 0;
    struct batch *batch = &shard->batch;
    struct proposal **link = &shard->committed;
    batch->first = shard->committed;
    while (*link != NULL && count < BATCH_EDITS_MAX && bytes < BATCH_BYTES_MAX) {
        batch->last = *link;
        count++;
        bytes += batch->last->edit.len;
        link = &batch->last->next;
    }
    shard->committed = *link;
    if (shard->committed == NULL) {
        shard->committed_tail = &shard->committed;
    }
    *link = NULL;
    batch->edits = take_edits(batch->first, count, shard->applied_lsn);
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
static void drop_batch_locked(struct shard *shard, struct proposal *proposal)
{
    shard->is_dropping = true;
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
    shard->is_dropping = false;
    gfs_cond_broadcast(&shard->moved);
}

static void note_applied_locked(struct shard *shard, const struct apply_result *result)
{
    const struct edits *edits = shard->batch.edits;
    shard->apply_fault = GFS_OK;
    shard->applied_lsn = edits->items[edits->count - 1].lsn;
    shard->counters.applied_batches++;
    shard->counters.chunks_freed += result->freed_count;
    shard->counters.damaged_rows += result->damaged_count;
    if (result->freed_count != 0) {
        gfs_cond_signal(&shard->sweep_wake);
    }
}

/* Called and returns with the lock. */
static void tell_owner_locked(struct copy *copy, enum gfs_err err, bool is_stopped)
{
    struct shard *shard = copy->shard;
    if (copy->role == COPY_LIVE && shard_note_failure_locked(shard, err, is_stopped)) {
        (void)pthread_mutex_unlock(&shard->lock);
        shard->options.database_failed(shard->options.arg, copy->dir, err);
        (void)pthread_mutex_lock(&shard->lock);
    }
}

static void give_held_locked(struct shard *shard)
{
    struct waiting_answer *answers = shard_take_held_locked(shard);
    (void)pthread_mutex_unlock(&shard->lock);
    shard_give_answers(answers);
    (void)pthread_mutex_lock(&shard->lock);
}

/* Called and returns with the lock. While it applies, the live database may be moved: then the
 * batch is the next one's, whatever came out here. */
static enum gfs_err apply_turn_locked(struct copy *copy)
{
    struct shard *shard = copy->shard;
    struct apply_result result = {0};
    if (shard->batch.first == NULL) {
        take_batch_locked(shard);
    }
    struct edits *edits = edits_ref(shard->batch.edits);
    bool is_visited = shard->visitors != NULL; /* a visit begins when the batch is applied */
    (void)pthread_mutex_unlock(&shard->lock);
    enum gfs_err err = copy_apply(copy, &edits, 1, &result);
    if (err == GFS_OK && is_visited) {
        shard_note_copies(shard, edits);
    }
    (void)pthread_mutex_lock(&shard->lock);
    if (copy->role == COPY_LIVE && err == GFS_OK) {
        struct proposal *first = shard->batch.first;
        note_applied_locked(shard, &result);
        copy_queue_locked(shard, edits);
        edits_unref(shard->batch.edits);
        shard->batch = (struct batch){0};
        drop_batch_locked(shard, first);
    } else if (copy->role == COPY_LIVE) {
        shard->apply_fault = err;
        tell_owner_locked(copy, err, true);
    }
    edits_unref(edits);
    if (err == GFS_OK && result.damaged_count != 0) {
        tell_owner_locked(copy, GFS_CORRUPT, false);
    }
    give_held_locked(shard);
    return err;
}

/* SQLite cannot go on. What may pass is tried again; everything else is left as it is, until the
 * live database is moved: the log has all edits, and a restart applies them. */
static void wait_after_fault_locked(struct copy *copy, enum gfs_err err)
{
    struct shard *shard = copy->shard;
    bool is_passing = shard_is_passing(err);
    bool is_last = shard->is_apply_stopping;
    int64_t until = gfs_monotonic_ns() + RETRY_NS;
    while (copy->role == COPY_LIVE && !shard->is_apply_stopping &&
           (!is_passing || gfs_monotonic_ns() < until)) {
        (void)gfs_cond_wait_until(&copy->wake, &shard->lock, until); /* new edits wake as well */
        if (!is_passing) {
            tell_owner_locked(copy, err, true); /* again, should nothing have come of it */
            until = gfs_monotonic_ns() + RETRY_NS;
        }
    }
    if (shard->is_apply_stopping && (is_last || !is_passing)) {
        copy_leave_locked(copy, err);
    }
}

static enum gfs_err checkpoint_turn_locked(struct copy *copy, bool is_idle)
{
    struct shard *shard = copy->shard;
    (void)pthread_mutex_unlock(&shard->lock);
    enum gfs_err err = copy_checkpoint(copy, is_idle);
    if (is_idle) {
        db_shrink(copy->db);
        (void)malloc_trim(0); /* nothing is written: what the last load needed goes back */
    }
    (void)pthread_mutex_lock(&shard->lock);
    if (err != GFS_OK) {
        copy->is_dirty = false; /* not again before something else is applied */
        tell_owner_locked(copy, err, true);
    }
    return err;
}

void shard_live_turn_locked(struct copy *copy)
{
    enum gfs_err err = GFS_OK;
    enum turn turn = next_turn_locked(copy);
    if (turn == TURN_APPLY) {
        err = apply_turn_locked(copy);
    }
    if (err == GFS_OK && turn != TURN_NONE) {
        (void)checkpoint_turn_locked(copy, turn != TURN_APPLY);
    }
    if (turn == TURN_STOP) {
        copy_leave_locked(copy, GFS_OK);
    }
    if (err != GFS_OK) {
        wait_after_fault_locked(copy, err);
    }
}
