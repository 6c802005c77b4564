/* Compaction: log segments that are mostly dead are emptied and used again.
 *
 * A candidate is sealed, undamaged, less than half live, and all its edits are trimmed. Its records
 * are read in order; what is still needed is copied to the head of the log through the ordinary
 * batch path, where the store's thread checks once more that the index still points at the source:
 * - DATA that is live; PLACE that is live and journalled here;
 * - tombstones whose dead record still exists: a DELETE names, for each id, the segment that held
 *   the id's record when it died, and is needed exactly as long as that segment's file exists.
 * EDIT records and all else are left behind. Then the segment is drained.
 *
 * Why a rebuild from the segments that exist is always right. Let X be a chunk id; the records of X
 * between two of its DELETEs are an era. What counts is the last DATA or PLACE of X that exists, r
 * in segment f, and what stands behind it.
 * (a) X is live: compaction never drops the live record without a durable copy at the head, which
 * the store's thread makes only while the index still points to the source; so r is the live
 * record, be it a copy or one written anew. Behind r stand copies of tombstones of earlier eras
 * only. Each names the segment s of a record of its era, and r is in a later one: r was written
 * behind the DELETE, so f >= s, and f = s only when the DELETE is in s too; it is not copied from
 * there, except under the name of an older damaged segment. So none of them ends r.
 * (b) X is dead: the DELETE of r's era stands behind r, or a copy of it does. It names s, which held
 * the last record of the era when it was written, so f <= s, or r is in the DELETE's own batch; it
 * ends r. It is there as long as r is: while s exists the tombstone is carried along, and s is not
 * recycled before f, since a segment with superseded records has has_stale set and a drained segment
 * is recycled only when no older one has it. (A damaged segment is passed over by that rule;
 * tombstones are then kept for its sake, see log_tombstone_keeper_locked.)
 * (c) Copies of tombstones stand in front of everything else of their batch: "in its own batch" is
 * about the DELETE that was written there, never about a copy of an older one.
 *
 * A drained segment is recycled when no pin holds it, no older one is stale, and the index
 * checkpoint on disk begins behind it. Its file leaves its name durably before any tombstone that
 * was kept for it is dropped. */
#include <stdlib.h>

#include "datad/store_state.h"

struct copier {
    struct store *store;
    struct log_segment *from;
    struct compact_job job;
    size_t job_size;
    size_t place_size;
    uint64_t read_bytes;
};

/* --- choosing --- */

static bool is_candidate_locked(const struct store *store, const struct log_segment *segment)
{
    if (!segment->is_sealed || segment->is_drained || segment->is_damaged ||
        segment == store->head) {
        return false;
    }
    if (segment->lsn_max > store->lsn_trimmed) {
        return false;
    }
    return segment->has_stale || segment->live * 2 < segment->header.size;
}

/* The emptiest, stale ones first: others wait for them. */
static struct log_segment *choose_locked(const struct store *store)
{
    struct log_segment *best = NULL;
    for (size_t i = 0; i < store->segment_count; i++) {
        struct log_segment *segment = store->segments[i];
        if (!is_candidate_locked(store, segment)) {
            continue;
        }
        if (segment->has_stale) {
            return segment;
        }
        if (best == NULL || segment->live < best->live) {
            best = segment;
        }
    }
    return best;
}

/* --- copying --- */

/* Takes the job back unless the store's thread already has it in a batch. */
static bool withdraw_job(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    bool is_withdrawn = store->job != NULL && !store->job->is_started;
    if (is_withdrawn) {
        store->job = NULL;
    }
    (void)pthread_mutex_unlock(&store->lock);
    return is_withdrawn;
}

/* One wait for the job to get on. Answers false when it was withdrawn because it cannot. */
static bool wait_for_job(struct store *store)
{
    if (store_background_urgent(store)) {
        return true; /* the job may be waiting for the spare that was just made */
    }
    (void)pthread_mutex_lock(&store->lock);
    bool is_stuck = store->is_stopping || atomic_load(&store->has_failed) ||
                    (store->spare_count == 0 && store->is_out_of_spares);
    (void)pthread_mutex_unlock(&store->lock);
    if (is_stuck && withdraw_job(store)) {
        return false;
    }
    if (store->options.is_manual) {
        (void)store_turn(store, false);
        return true;
    }
    (void)pthread_mutex_lock(&store->lock);
    while (store->job != NULL && !store->has_background_work) {
        (void)pthread_cond_wait(&store->background_cond, &store->lock);
        if (store->is_stopping || atomic_load(&store->has_failed)) {
            break;
        }
    }
    store->has_background_work = false;
    (void)pthread_mutex_unlock(&store->lock);
    return true;
}

static enum gfs_err run_job(struct copier *copier)
{
    struct store *store = copier->store;
    if (copier->job.count == 0) {
        return GFS_OK;
    }
    copier->job.is_started = copier->job.is_done = false;
    (void)pthread_mutex_lock(&store->lock);
    GFS_ASSERT(store->job == NULL);
    store->job = &copier->job;
    (void)pthread_mutex_unlock(&store->lock);
    store->io->ops->wake(store->io);
    for (;;) {
        (void)pthread_mutex_lock(&store->lock);
        bool is_done = copier->job.is_done;
        (void)pthread_mutex_unlock(&store->lock);
        if (is_done) {
            break;
        }
        if (!wait_for_job(store)) {
            return GFS_STOPPED;
        }
    }
    copier->job.len = 0;
    copier->job.count = 0;
    return atomic_load(&store->has_failed) ? GFS_IO : GFS_OK;
}

/* Holds the pace: what was read since the last pause takes as long as the rate says. */
static enum gfs_err keep_pace(struct copier *copier)
{
    struct store *store = copier->store;
    if (store->options.is_manual || copier->read_bytes < STORE_JOB_LEN_MAX) {
        return GFS_OK;
    }
    int64_t ns = (int64_t)((double)copier->read_bytes * 1e9 / (double)store->options.compact_rate);
    copier->read_bytes = 0;
    (void)pthread_mutex_lock(&store->lock);
    bool is_urgent = store->stats.is_full;
    (void)pthread_mutex_unlock(&store->lock);
    if (is_urgent) {
        return GFS_OK;
    }
    return store_background_pause(store, ns) ? GFS_OK : GFS_STOPPED;
}

static char *add_record(struct copier *copier, size_t size, uint32_t place)
{
    struct compact_job *job = &copier->job;
    if (job->len + size > copier->job_size) {
        copier->job_size = GFS_MAX(copier->job_size * 2, job->len + size);
        job->bytes = gfs_realloc(job->bytes, copier->job_size);
    }
    if (job->count == copier->place_size) {
        copier->place_size = copier->place_size == 0 ? 64 : copier->place_size * 2;
        job->places = gfs_realloc(job->places, copier->place_size * sizeof *job->places);
    }
    job->places[job->count++] = place;
    char *to = job->bytes + job->len;
    job->len += size;
    return to;
}

static void copy_tombstones(struct copier *copier, const struct segment_record *record)
{
    struct store *store = copier->store;
    GFS_FREE char *kept = gfs_alloc(record->payload.len);
    size_t len = 0;
    (void)pthread_mutex_lock(&store->lock);
    for (size_t offset = 0; offset < record->payload.len; offset += sizeof(struct tombstone)) {
        struct tombstone tombstone;
        memcpy(&tombstone, record->payload.ptr + offset, sizeof tombstone);
        uint32_t keeper = log_tombstone_keeper_locked(store, (uint32_t)tombstone.segment_seq,
                                                      copier->from);
        if (keeper != 0) {
            tombstone.segment_seq = keeper;
            memcpy(kept + len, &tombstone, sizeof tombstone);
            len += sizeof tombstone;
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
    if (len == 0) {
        return;
    }
    size_t size = segment_record_size(len, 0);
    char *to = add_record(copier, size, 0);
    memset(to, 0, size);
    struct record_header head = {.kind = CHUNK_RECORD_DELETE};
    size_t head_len =
        segment_record_write(to, &head, (struct gfs_slice){0}, gfs_slice_of(kept, len));
    memcpy(to + head_len, kept, len);
}

bool log_record_is_live_locked(struct store *store, uint32_t seq, uint32_t place,
                               const struct segment_record *record)
{
    const struct chunk_entry *entry =
        chunk_index_find(store->index, record->head.id_hi, record->head.id_lo);
    if (entry == NULL) {
        return false;
    }
    if (record->head.kind == CHUNK_RECORD_DATA) {
        return entry->file == seq && entry->where == place;
    }
    struct place_entry bulk;
    memcpy(&bulk, record->payload.ptr, sizeof bulk);
    return entry->file == (CHUNK_INDEX_BULK | bulk.file) && entry->where == bulk.page &&
           entry->extra == seq;
}

static bool is_live(struct copier *copier, const struct segment_record *record, uint32_t place)
{
    struct store *store = copier->store;
    (void)pthread_mutex_lock(&store->lock);
    bool is_live = log_record_is_live_locked(store, copier->from->seq, place, record);
    (void)pthread_mutex_unlock(&store->lock);
    return is_live;
}

static size_t job_limit(const struct store *store)
{
    size_t capacity = store->options.segment_size - 4 * SEGMENT_PAGE;
    return GFS_MIN(capacity, (size_t)STORE_JOB_LEN_MAX);
}

static enum gfs_err copy_record(struct copier *copier, const char *batch, uint32_t batch_offset,
                                const struct segment_record *record)
{
    uint32_t place = batch_offset + (uint32_t)record->offset;
    bool is_delete = record->head.kind == CHUNK_RECORD_DELETE;
    if (record->head.kind == CHUNK_RECORD_EDIT || (!is_delete && !is_live(copier, record, place))) {
        return GFS_OK;
    }
    if (segment_payload_verify(record) != GFS_OK) {
        return GFS_CORRUPT;
    }
    if (copier->job.len + record->size > job_limit(copier->store)) {
        enum gfs_err err = run_job(copier);
        if (err == GFS_OK) {
            err = keep_pace(copier);
        }
        if (err != GFS_OK) {
            return err;
        }
    }
    if (is_delete) {
        copy_tombstones(copier, record);
    } else {
        memcpy(add_record(copier, record->size, place), batch + record->offset, record->size);
    }
    return GFS_OK;
}

static enum gfs_err copy_batch(void *arg, struct log_segment *segment, uint32_t offset,
                               const char *bytes, const struct batch_header *header,
                               bool is_damaged)
{
    (void)segment;
    struct copier *copier = arg;
    if (is_damaged) {
        return GFS_CORRUPT;
    }
    copier->read_bytes += header->len;
    size_t at = sizeof *header;
    struct segment_record record;
    enum gfs_err err;
    while ((err = segment_record_next(bytes, header->used, &at, &record)) == GFS_OK) {
        enum gfs_err copy_err = copy_record(copier, bytes, offset, &record);
        if (copy_err != GFS_OK) {
            return copy_err;
        }
    }
    return err == GFS_END ? GFS_OK : GFS_CORRUPT;
}

static enum gfs_err drain(struct store *store, struct log_segment *segment)
{
    struct copier copier = {.store = store, .from = segment, .job = {.from = segment}};
    struct segment_scan scan = {.segment = segment,
                                .offset = SEGMENT_PAGE,
                                .next_seq = segment->first_batch,
                                .durable_seq = UINT64_MAX,
                                .limit = segment->end};
    enum gfs_err err = GFS_OK;
    (void)pthread_mutex_lock(&store->lock);
    bool is_empty = segment->live == 0 && segment->target_count == 0;
    (void)pthread_mutex_unlock(&store->lock);
    if (!is_empty) {
        err = log_segment_scan(&scan, copy_batch, &copier);
        if (err == GFS_OK) {
            err = run_job(&copier);
        }
    }
    free(copier.job.bytes);
    free(copier.job.places);
    return err;
}

bool compact_step(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    struct log_segment *segment = choose_locked(store);
    (void)pthread_mutex_unlock(&store->lock);
    if (segment == NULL) {
        return false;
    }
    enum gfs_err err = drain(store, segment);
    (void)pthread_mutex_lock(&store->lock);
    if (err == GFS_OK) {
        segment->is_drained = true;
        store->stats.compactions++;
    } else if (err == GFS_CORRUPT) {
        segment->is_damaged = true; /* kept as it is, for repair */
        store->stats.damaged_places++;
    }
    (void)pthread_mutex_unlock(&store->lock);
    return err == GFS_OK || err == GFS_CORRUPT;
}

/* --- recycling --- */

static struct log_segment *choose_drained_locked(const struct store *store)
{
    for (size_t i = 0; i < store->segment_count; i++) {
        struct log_segment *segment = store->segments[i];
        if (segment->is_drained && segment->pins == 0 && segment->seq < store->checkpoint_seq) {
            return segment;
        }
        if (segment->has_stale && !segment->is_damaged) {
            return NULL; /* it goes first */
        }
    }
    return NULL;
}

bool recycle_step(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    struct log_segment *segment = choose_drained_locked(store);
    (void)pthread_mutex_unlock(&store->lock);
    if (segment == NULL) {
        return false;
    }
    enum gfs_err err = log_segment_recycle(store, segment);
    if (err != GFS_OK) {
        if (err != GFS_NO_SPACE) {
            store_fail(store);
        }
        return false;
    }
    store->io->ops->wake(store->io);
    return true;
}
