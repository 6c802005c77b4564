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
 * What is left behind is on record. Every batch says up to which LSN edits need not be in the log
 * any more (lsn_gone), and no batch says less than the one before it. A drain ends only when a
 * durable batch in the head says at least the drained segment's highest LSN (of one that was given
 * up: the highest it can have held); a head that says nothing yet gets such a batch, a mark, also
 * for a segment without edits: what says most may be in that. So whatever is recycled, lost in a
 * crash or damaged, the newest batch that is there says enough: the head is not drained before it
 * is sealed, and then the rule holds for it. Edits go in no order: a segment that is mostly live
 * stays, with its edits, while later ones leave. So the log holds everything behind lsn_gone, and
 * of what is below it just anything.
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
 * (b) X is dead: the DELETE of r's era stands behind r, or a copy of it does. It names s, which
 * held the last record of the era when it was written, so f <= s, or r is in the DELETE's own
 * batch; it ends r. It is there as long as r is: while s exists the tombstone is carried along, and
 * s is not recycled before f, since a segment with superseded records has has_stale set and a
 * drained one is recycled only when no older one has it. (A damaged segment is passed over by that
 * rule;
 * tombstones are then kept for its sake, see log_tombstone_keeper_locked.)
 * (c) Copies of tombstones stand in front of everything else of their batch: "in its own batch" is
 * about the DELETE that was written there, never about a copy of an older one.
 *
 * Damage: a segment in which a record cannot be read is kept. When its owner says that everything
 * is repaired, what still can be read is saved like any other segment's records, then what the
 * index has there: PLACE records are written from the index, DATA is looked for where it says, and
 * ids whose bytes are lost are deleted, in the log too, and count as damage anew: whoever has other
 * copies makes them good. A record that is damaged and superseded
 * costs nothing and keeps nothing.
 *
 * A drained segment is recycled when no pin holds it, no older one is stale, and the index
 * checkpoint on disk begins behind it. Its file leaves its name durably before any tombstone that
 * was kept for it is dropped. */
#include <stdlib.h>

#include "datad/store_state.h"

struct copier {
    struct store *store;
    struct log_segment *from;
    bool is_given_up; /* what cannot be read is not wanted */
    struct compact_job job;
    size_t job_size;
    size_t place_size;
    uint64_t read_bytes;
    unsigned lost; /* live records that are deleted because they cannot be read */
};

/* --- choosing --- */

static bool is_candidate_locked(const struct store *store, const struct log_segment *segment)
{
    if (!segment->is_sealed || segment->is_drained || segment->is_damaged ||
        segment == store->head) {
        return false;
    }
    if (segment->lsn_max > store->lsn_trimmed || segment->lsn_hold > store->lsn_trimmed) {
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
    bool has_room = store->job == NULL || log_mark_fits_locked(store, store->job);
    bool is_stuck = store->is_stopping || atomic_load(&store->has_failed) ||
                    (store->spare_count == 0 && store->is_out_of_spares && !has_room);
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
        gfs_cond_wait(&store->background_cond, &store->lock);
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
    if (copier->job.count == 0 && copier->job.lsn_gone == 0) {
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
    copier->job.lsn_gone = 0;
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
        uint32_t keeper =
            log_tombstone_keeper_locked(store, (uint32_t)tombstone.segment_seq, copier->from);
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

/* Bytes after which a job is run, unless one record is more. A quarter of a segment at the most, so
 * that one which is sealed because the next job does not fit is more than half full: what is copied
 * is not copied again for ever. */
static size_t job_limit(const struct store *store)
{
    return GFS_MIN((size_t)store->options.segment_size / 4, (size_t)STORE_JOB_LEN_MAX);
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
    (void)is_damaged; /* each record is verified: what is wrong may be one that is superseded */
    if (header == NULL) {
        return copier->is_given_up ? GFS_OK : GFS_CORRUPT;
    }
    copier->read_bytes += header->len;
    size_t at = sizeof *header;
    struct segment_record record;
    enum gfs_err err;
    while ((err = segment_record_next(bytes, header->used, &at, &record)) == GFS_OK) {
        enum gfs_err copy_err = copy_record(copier, bytes, offset, &record);
        if (copy_err != GFS_OK && (copy_err != GFS_CORRUPT || !copier->is_given_up)) {
            return copy_err;
        }
    }
    return err == GFS_END || copier->is_given_up ? GFS_OK : GFS_CORRUPT;
}

/* --- what was given up --- */

/* The index's entries whose record lies in a segment. */
struct entry_list {
    struct chunk_entry *entries;
    size_t count, size;
};

static void list_entries(struct store *store, uint32_t seq, struct entry_list *list)
{
    for (unsigned shard = 0; shard < CHUNK_INDEX_SHARDS; shard++) {
        (void)pthread_mutex_lock(&store->lock);
        size_t slot_count;
        const struct chunk_entry *slots = chunk_index_shard(store->index, shard, &slot_count);
        for (size_t i = 0; i < slot_count; i++) {
            bool is_bulk = (slots[i].file & CHUNK_INDEX_BULK) != 0;
            if ((slots[i].hi | slots[i].lo) == 0 ||
                (is_bulk ? slots[i].extra : slots[i].file) != seq) {
                continue;
            }
            if (list->count == list->size) {
                list->size = list->size == 0 ? 64 : list->size * 2;
                list->entries = gfs_realloc(list->entries, list->size * sizeof *list->entries);
            }
            list->entries[list->count++] = slots[i];
        }
        (void)pthread_mutex_unlock(&store->lock);
    }
}

static enum gfs_err make_room(struct copier *copier, size_t size)
{
    if (copier->job.len + size <= job_limit(copier->store)) {
        return GFS_OK;
    }
    enum gfs_err err = run_job(copier);
    return err == GFS_OK ? keep_pace(copier) : err;
}

static void add_whole(struct copier *copier, const struct record_header *head,
                      struct gfs_slice payload, uint32_t place)
{
    size_t size = segment_record_size(payload.len, 0);
    char *to = add_record(copier, size, place);
    memset(to, 0, size);
    size_t head_len = segment_record_write(to, head, (struct gfs_slice){0}, payload);
    memcpy(to + head_len, payload.ptr, payload.len);
}

/* The index knows all that a PLACE record says. */
static void save_place(struct copier *copier, const struct chunk_entry *entry)
{
    struct place_entry place = {
        .file = entry->file & ~CHUNK_INDEX_BULK, .page = entry->where, .len = entry->len};
    struct record_header head = {
        .kind = CHUNK_RECORD_PLACE, .id_hi = entry->hi, .id_lo = entry->lo};
    add_whole(copier, &head, gfs_slice_of(&place, sizeof place), 0);
}

/* Answers whether the record could be read where the index says. */
static bool save_data(struct copier *copier, const struct chunk_entry *entry)
{
    const struct log_segment *from = copier->from;
    size_t size = segment_align8((size_t)entry->extra + entry->len);
    if (from->file == NULL || entry->where + size > from->header.size) {
        return false;
    }
    GFS_FREE char *bytes = gfs_alloc(size);
    size_t at = 0;
    struct segment_record record;
    copier->read_bytes += size;
    bool is_whole = gfs_io_read_exact(from->file, bytes, size, entry->where) == GFS_OK &&
                    segment_record_next(bytes, size, &at, &record) == GFS_OK &&
                    record.head.kind == CHUNK_RECORD_DATA && record.head.id_hi == entry->hi &&
                    record.head.id_lo == entry->lo && record.head.payload_len == entry->len &&
                    segment_payload_verify(&record) == GFS_OK;
    if (is_whole) {
        memcpy(add_record(copier, size, entry->where), bytes, size);
    }
    return is_whole;
}

/* What the index still has in a segment that was given up: copied when it can be read by itself,
 * else deleted, in the log too, so that the next start knows as much. */
static enum gfs_err save_entries(struct copier *copier)
{
    struct entry_list list = {0};
    list_entries(copier->store, copier->from->seq, &list);
    enum gfs_err err = GFS_OK;
    for (size_t i = 0; i < list.count && err == GFS_OK; i++) {
        const struct chunk_entry *entry = &list.entries[i];
        bool is_bulk = (entry->file & CHUNK_INDEX_BULK) != 0;
        err = make_room(copier, is_bulk ? SEGMENT_PLACE_SIZE
                                        : segment_align8((size_t)entry->extra + entry->len));
        if (err != GFS_OK) {
            break;
        }
        if (is_bulk) {
            save_place(copier, entry);
        } else if (!save_data(copier, entry)) {
            struct tombstone tombstone = {
                .id_hi = entry->hi, .id_lo = entry->lo, .segment_seq = copier->from->seq};
            struct record_header head = {.kind = CHUNK_RECORD_DELETE};
            add_whole(copier, &head, gfs_slice_of(&tombstone, sizeof tombstone), 0);
            copier->lost++;
        }
    }
    free(list.entries);
    return err == GFS_OK ? run_job(copier) : err;
}

/* What the log says when the segment is gone; 0: the head says so already. */
static uint64_t mark_of_locked(const struct store *store, const struct log_segment *segment)
{
    uint64_t lsn = GFS_MAX(GFS_MAX(segment->lsn_max, segment->lsn_hold), store->lsn_gone);
    return lsn == store->lsn_gone && store->head->end > SEGMENT_PAGE ? 0 : lsn;
}

/* *ret_lost: what it had to delete. */
static enum gfs_err drain(struct store *store, struct log_segment *segment, unsigned *ret_lost)
{
    struct copier copier = {.store = store, .from = segment, .job = {.from = segment}};
    struct segment_scan scan = {.segment = segment,
                                .offset = SEGMENT_PAGE,
                                .next_seq = segment->first_batch,
                                .durable_seq = UINT64_MAX,
                                .limit = segment->end};
    enum gfs_err err = GFS_OK;
    (void)pthread_mutex_lock(&store->lock);
    copier.is_given_up = segment->is_given_up;
    copier.job.lsn_gone = mark_of_locked(store, segment);
    bool is_empty = segment->live == 0 && segment->target_count == 0 && !copier.is_given_up;
    (void)pthread_mutex_unlock(&store->lock);
    if (!is_empty) {
        err = log_segment_scan(&scan, copy_batch, &copier);
    }
    if (err == GFS_OK) {
        err = run_job(&copier);
    }
    if (err == GFS_OK && copier.is_given_up) {
        err = save_entries(&copier);
    }
    free(copier.job.bytes);
    free(copier.job.places);
    *ret_lost = copier.lost;
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
    unsigned lost = 0;
    enum gfs_err err = drain(store, segment, &lost);
    (void)pthread_mutex_lock(&store->lock);
    store->stats.damaged_places += lost; /* the owner has more to repair than it thought */
    if (err == GFS_OK) {
        segment->is_drained = true;
        store->stats.compactions++;
    } else if (err == GFS_CORRUPT) {
        log_segment_damaged_locked(store, segment); /* kept as it is, for repair */
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
            segment->is_leaving = true;
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

/* --- segments without a header --- */

static const struct log_damage *choose_lost_locked(const struct store *store)
{
    for (size_t i = 0; i < store->damage_count; i++) {
        const struct log_damage *damage = &store->damage[i];
        if (damage->is_lost && damage->is_given_up && damage->lsn_hold <= store->lsn_trimmed) {
            return damage;
        }
    }
    return NULL;
}

/* A checkpoint that does not know of it is first: what the one on disk names must not be missed. */
static enum gfs_err forget_lost(struct store *store, uint32_t seq)
{
    (void)pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->damage_count; i++) {
        store->damage[i].is_over = store->damage[i].is_over || store->damage[i].seq == seq;
    }
    (void)pthread_mutex_unlock(&store->lock);
    enum gfs_err err = checkpoint_write(store);
    return err == GFS_OK ? log_segment_remove_lost(store, seq) : err;
}

bool lost_step(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    const struct log_damage *lost = choose_lost_locked(store);
    struct log_segment nowhere = {0}; /* no file to read */
    if (lost != NULL) {
        nowhere.seq = lost->seq;
        nowhere.lsn_hold = lost->lsn_hold;
    }
    uint64_t mark = mark_of_locked(store, &nowhere);
    (void)pthread_mutex_unlock(&store->lock);
    if (lost == NULL) {
        return false;
    }
    struct copier copier = {.store = store,
                            .from = &nowhere,
                            .is_given_up = true,
                            .job = {.from = &nowhere, .lsn_gone = mark}};
    enum gfs_err err = save_entries(&copier);
    free(copier.job.bytes);
    free(copier.job.places);
    if (err != GFS_OK) {
        return false; /* later, or after the next start, which finds it again */
    }
    err = forget_lost(store, nowhere.seq);
    if (err != GFS_OK) {
        if (err != GFS_NO_SPACE) {
            store_fail(store); /* nobody knows which names the disk holds */
        }
        return false;
    }
    (void)pthread_mutex_lock(&store->lock);
    size_t kept = 0;
    for (size_t i = 0; i < store->damage_count; i++) {
        if (store->damage[i].seq != nowhere.seq) {
            store->damage[kept++] = store->damage[i];
        }
    }
    store->damage_count = kept;
    (void)pthread_mutex_unlock(&store->lock);
    return true;
}
