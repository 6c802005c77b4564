/* The head of the log: groups in, batches out.
 *
 * The store's thread takes what was submitted, copies whole groups into the arena, seals the batch
 * and writes it durably in one operation; what arrives meanwhile is the next batch. No timers:
 * idle, a group pays one write; under load a batch grows to what one write takes.
 *
 *   IDLE --groups--> WRITING --done--> apply to the index, answer in order --> IDLE
 *   IDLE --no room in the segment, a spare is there--> SEALING --done--> next segment --> IDLE
 *   any  --write failed--> FAILED: everything waiting and everything later is answered GFS_IO
 *
 * A group that does not fit while preparing a segment failed for want of space is answered
 * GFS_NO_SPACE; while one is being prepared it waits. Answers keep the order of submission, refused
 * groups included: they ride along in the batch's list. */
#include <stdlib.h>
#include <sys/mman.h>

#include "datad/store_state.h"

enum { ARENA_KEEP = 1 << 20 }; /* bytes of the arena that stay resident when idle */

void store_submit(struct chunk_store *chunks, struct chunk_group *group)
{
    struct store *store = GFS_CONTAINER_OF(chunks, struct store, base);
    GFS_ASSERT(group->done != NULL);
    group->err = GFS_OK;
    struct chunk_group *first = atomic_load_explicit(&store->incoming, memory_order_relaxed);
    do {
        group->next = first;
    } while (!atomic_compare_exchange_weak(&store->incoming, &first, group));
    /* With a batch in flight its completion wakes the thread anyway. */
    if (atomic_load(&store->is_sleeping)) {
        store->io->ops->wake(store->io);
    }
}

static void take_incoming(struct store *store)
{
    if (atomic_load_explicit(&store->incoming, memory_order_relaxed) == NULL) {
        return;
    }
    struct chunk_group *group = atomic_exchange(&store->incoming, NULL);
    struct chunk_group *reversed = NULL;
    while (group != NULL) {
        struct chunk_group *next = group->next;
        group->next = reversed;
        reversed = group;
        group = next;
    }
    *store->pending_tail = reversed;
    while (*store->pending_tail != NULL) {
        store->pending_tail = &(*store->pending_tail)->next;
    }
}

static struct chunk_group *take_pending(struct store *store)
{
    struct chunk_group *group = store->pending;
    store->pending = group->next;
    if (store->pending == NULL) {
        store->pending_tail = &store->pending;
    }
    group->next = NULL;
    return group;
}

static void answer_all(struct chunk_group *groups, enum gfs_err err)
{
    while (groups != NULL) {
        struct chunk_group *group = groups;
        groups = group->next;
        group->done(group, group->err != GFS_OK ? group->err : err);
    }
}

/* Sets aside the memory of a large batch, which the next one will fault in again. */
void store_log_trim(struct store *store)
{
    if (store->arena_size > ARENA_KEEP) {
        (void)madvise(store->arena + ARENA_KEEP, store->arena_size - ARENA_KEEP, MADV_DONTNEED);
    }
}

static void answer_pending(struct store *store, enum gfs_err err)
{
    take_incoming(store);
    struct chunk_group *groups = store->pending;
    store->pending = NULL;
    store->pending_tail = &store->pending;
    answer_all(groups, err);
}

static size_t record_size(const struct chunk_record *record)
{
    switch (record->kind) {
    case CHUNK_RECORD_DATA:
        GFS_ASSERT(record->payload.len <= GFS_SMALL_CHUNK_MAX);
        GFS_ASSERT((record->id.hi | record->id.lo) != 0);
        return segment_record_size(record->payload.len, record->owner.len);
    case CHUNK_RECORD_PLACE:
        GFS_ASSERT(record->bulk != NULL);
        return SEGMENT_PLACE_SIZE;
    case CHUNK_RECORD_DELETE:
        GFS_ASSERT(record->payload.len % sizeof(struct chunk_id) == 0);
        return segment_record_size(
            record->payload.len / sizeof(struct chunk_id) * sizeof(struct tombstone), 0);
    case CHUNK_RECORD_EDIT:
        GFS_ASSERT(record->payload.len <= CHUNK_EDIT_LEN_MAX);
        GFS_ASSERT(record->lsn != 0);
        return segment_record_size(record->payload.len, 0);
    case CHUNK_RECORD_GONE:
        GFS_ASSERT(record->lsn != 0);
        return 0; /* the batch's header says it */
    }
    GFS_ASSERT(false && "a known kind of record");
    return 0;
}

static size_t group_size(const struct chunk_group *group)
{
    size_t size = 0;
    for (const struct chunk_record *record = group->records; record != NULL;
         record = record->next) {
        size += record_size(record);
    }
    return size;
}

static size_t write_delete(struct store *store, char *to, const struct chunk_record *record)
{
    size_t count = record->payload.len / sizeof(struct chunk_id);
    size_t payload_len = count * sizeof(struct tombstone);
    char *payload = to + segment_head_len(payload_len, 0);
    (void)pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < count; i++) {
        struct chunk_id id;
        memcpy(&id, record->payload.ptr + i * sizeof id, sizeof id);
        const struct chunk_entry *entry = chunk_index_find(store->index, id.hi, id.lo);
        struct tombstone tombstone = {.id_hi = id.hi, .id_lo = id.lo};
        /* Not live: nothing to end, or its record is in this very batch. */
        tombstone.segment_seq = entry == NULL                           ? store->head->seq
                                : (entry->file & CHUNK_INDEX_BULK) != 0 ? entry->extra
                                                                        : entry->file;
        memcpy(payload + i * sizeof tombstone, &tombstone, sizeof tombstone);
    }
    (void)pthread_mutex_unlock(&store->lock);
    struct record_header head = {.kind = CHUNK_RECORD_DELETE};
    (void)segment_record_write(to, &head, (struct gfs_slice){0},
                               gfs_slice_of(payload, payload_len));
    return segment_record_size(payload_len, 0);
}

static size_t write_record(struct store *store, char *to, const struct chunk_record *record)
{
    if (record->kind == CHUNK_RECORD_DELETE) {
        return write_delete(store, to, record);
    }
    if (record->kind == CHUNK_RECORD_GONE) {
        store->batch.lsn_gone = GFS_MAX(store->batch.lsn_gone, record->lsn);
        store->batch_is_mark = true;
        return 0;
    }
    struct record_header head = {
        .kind = (uint8_t)record->kind, .id_hi = record->id.hi, .id_lo = record->id.lo};
    struct gfs_slice owner = record->owner;
    struct gfs_slice payload = record->payload;
    struct place_entry place;
    if (record->kind == CHUNK_RECORD_PLACE) {
        struct chunk_id id;
        bulk_place(record->bulk, &id, &place);
        head.id_hi = id.hi;
        head.id_lo = id.lo;
        owner = (struct gfs_slice){0};
        payload = gfs_slice_of(&place, sizeof place);
    } else if (record->kind == CHUNK_RECORD_EDIT) {
        GFS_ASSERT(record->lsn > store->batch.lsn_last);
        head.id_hi = head.id_lo = 0;
        head.lsn = record->lsn;
        owner = (struct gfs_slice){0};
        store->batch.lsn_last = record->lsn;
        store->refused_lsn = 0; /* which may be given again */
    }
    size_t head_len = segment_record_write(to, &head, owner, payload);
    if (payload.len != 0) {
        memcpy(to + head_len, payload.ptr, payload.len);
    }
    size_t size = segment_align8(head_len + payload.len);
    memset(to + head_len + payload.len, 0, size - head_len - payload.len);
    return size;
}

static void reserve_arena(struct store *store, size_t size)
{
    if (size <= store->arena_size) {
        return;
    }
    size_t grown = GFS_MAX(segment_align_page(size), 2 * store->arena_size);
    grown = GFS_MAX(grown, (size_t)ARENA_KEEP);
    char *arena = gfs_alloc_aligned(SEGMENT_PAGE, grown);
    if (store->arena != NULL) {
        memcpy(arena, store->arena, store->batch.used);
    }
    free(store->arena);
    store->arena = arena;
    store->arena_size = grown;
}

static void add_group(struct store *store, const struct chunk_group *group, size_t size)
{
    reserve_arena(store, store->batch.used + size);
    size_t before = store->batch.used;
    for (const struct chunk_record *record = group->records; record != NULL;
         record = record->next) {
        store->batch.used +=
            (uint32_t)write_record(store, store->arena + store->batch.used, record);
        store->batch_record_count++;
    }
    GFS_ASSERT(store->batch.used == before + size);
    store->batch_group_count++;
}

/* The job's tombstones, or its other records as far as the index still points at their source. */
static void add_copies_locked(struct store *store, const struct compact_job *job, bool is_delete)
{
    size_t offset = 0;
    for (size_t i = 0; i < job->count; i++) {
        struct segment_record record;
        enum gfs_err err = segment_record_next(job->bytes, job->len, &offset, &record);
        GFS_ASSERT(err == GFS_OK);
        if ((record.head.kind == CHUNK_RECORD_DELETE) != is_delete) {
            continue;
        }
        bool is_needed =
            is_delete || log_record_is_live_locked(store, job->from->seq, job->places[i], &record);
        if (is_needed) {
            memcpy(store->arena + store->batch.used, job->bytes + record.offset, record.size);
            store->batch.used += (uint32_t)record.size;
            store->stats.compacted_bytes += record.size;
        }
    }
}

/* In front of all groups: what these delete or write anew they find. Tombstones come first, because
 * a DELETE ends what stands before it in its batch. */
static void add_job(struct store *store, struct compact_job *job)
{
    reserve_arena(store, store->batch.used + job->len);
    (void)pthread_mutex_lock(&store->lock);
    add_copies_locked(store, job, true);
    add_copies_locked(store, job, false);
    store->batch.lsn_gone = GFS_MAX(store->batch.lsn_gone, job->lsn_gone);
    store->batch_is_mark = job->lsn_gone != 0;
    job->is_started = true;
    (void)pthread_mutex_unlock(&store->lock);
    store->batch_job = job;
}

static void finish_job(struct store *store)
{
    if (store->batch_job != NULL) {
        (void)pthread_mutex_lock(&store->lock);
        store->batch_job->is_done = true;
        store->job = NULL;
        store->batch_job = NULL;
        gfs_cond_broadcast(&store->job_cond);
        store_wake_background_locked(store);
        (void)pthread_mutex_unlock(&store->lock);
    }
}

void store_fail(struct store *store)
{
    atomic_store(&store->has_failed, true);
    (void)pthread_mutex_lock(&store->lock);
    gfs_cond_broadcast(&store->job_cond);
    gfs_cond_broadcast(&store->background_cond);
    (void)pthread_mutex_unlock(&store->lock);
    store->io->ops->wake(store->io);
}

/* Bytes a batch may take in a segment: the header, a page for a mark, the page for the seal and the
 * copy of the header at the end stay free. */
static size_t segment_room(const struct log_segment *segment)
{
    size_t limit = (size_t)segment->header.size - 3 * SEGMENT_PAGE;
    return limit > segment->end ? limit - segment->end : 0;
}

/* On a full disk the mark of a dead segment is what brings the next spare. */
bool log_mark_fits_locked(const struct store *store, const struct compact_job *job)
{
    const struct log_segment *head = store->head;
    return job->len == 0 && head->end + SEGMENT_PAGE <= head->header.size - 2 * SEGMENT_PAGE;
}

static size_t segment_capacity(const struct store *store)
{
    size_t capacity = store->options.segment_size - 4 * SEGMENT_PAGE;
    return GFS_MIN(capacity, (size_t)STORE_BATCH_LEN_MAX);
}

/* Before the batch is applied: a later record of it may end the chunk, and its extent with it. */
static void made_live(const struct chunk_group *groups)
{
    for (const struct chunk_group *group = groups; group != NULL; group = group->next) {
        if (group->err != GFS_OK) {
            continue;
        }
        for (const struct chunk_record *record = group->records; record != NULL;
             record = record->next) {
            if (record->kind == CHUNK_RECORD_PLACE) {
                bulk_made_live(record->bulk);
            }
        }
    }
}

static void next_head_locked(struct store *store)
{
    GFS_ASSERT(store->spare_count > 0);
    store->head = store->spares[0];
    store->spare_count--;
    for (size_t i = 0; i < store->spare_count; i++) {
        store->spares[i] = store->spares[i + 1];
    }
    store->head->first_batch = store->batch_seq + 1; /* the seal's number is still to be counted */
    log_segment_append_locked(store, store->head);
    store_wake_background_locked(store); /* prepares another */
}

static void count_batch_locked(struct store *store)
{
    store->stats.flushes++;
    store->stats.batches++;
    store->stats.groups += store->batch_group_count;
    store->stats.records += store->batch_record_count;
    store->stats.bytes_written += store->batch.len;
    store->bytes_since_checkpoint += store->batch.len;
    store->batch_seq_durable = store->batch_seq;
}

static void batch_durable(struct store *store, struct chunk_group *groups)
{
    struct log_segment *segment = store->head;
    made_live(groups);
    (void)pthread_mutex_lock(&store->lock);
    bool is_damaged = false;
    apply_batch_locked(store, segment, segment->end, store->arena, &store->batch, &is_damaged);
    GFS_ASSERT(!is_damaged);
    segment->end += store->batch.len;
    count_batch_locked(store);
    if ((store->batch.flags & SEGMENT_BATCH_SEAL) != 0) {
        segment->is_sealed = true;
        next_head_locked(store);
    }
    if (checkpoint_is_due_locked(store)) {
        store_wake_background_locked(store);
    }
    (void)pthread_mutex_unlock(&store->lock);
    store->batch_seq++;
}

static void batch_done(struct gfs_io_op *op)
{
    struct store *store = GFS_CONTAINER_OF(op, struct store, log_op);
    struct chunk_group *groups = GFS_TAKE(store->batch_groups);
    enum gfs_err err = op->result == GFS_OK ? GFS_OK : GFS_IO;
    store->is_writing = false;
    if (err == GFS_OK) {
        batch_durable(store, groups);
    } else {
        store_fail(store);
    }
    finish_job(store);
    answer_all(groups, err);
}

static void write_batch(struct store *store)
{
    struct log_segment *segment = store->head;
    struct batch_header *batch = &store->batch;
    batch->len = (uint32_t)segment_align_page(batch->used);
    batch->salt = segment->header.salt;
    batch->segment_seq = segment->seq;
    batch->batch_seq = store->batch_seq;
    reserve_arena(store, batch->len);
    segment_batch_seal(store->arena, batch);
    GFS_ASSERT(segment->end + batch->len <= segment->header.size - SEGMENT_PAGE);
    store->log_op = (struct gfs_io_op){.kind = GFS_IO_WRITE_DURABLE,
                                       .file = segment->file,
                                       .ptr = store->arena,
                                       .len = batch->len,
                                       .offset = segment->end,
                                       .done = batch_done};
    store->is_writing = true;
    store->io->ops->submit(store->io, &store->log_op);
}

enum group_fate { GROUP_TAKEN, GROUP_REFUSED, GROUP_WAITS, GROUP_NEEDS_SEGMENT };

/* It, and what goes on from it. */
static void refuse(struct store *store, struct chunk_group *group)
{
    group->err = GFS_NO_SPACE;
    for (const struct chunk_record *record = group->records; record != NULL;
         record = record->next) {
        if (record->kind == CHUNK_RECORD_EDIT && store->refused_lsn == 0) {
            store->refused_lsn = record->lsn;
        }
    }
    (void)pthread_mutex_lock(&store->lock);
    store->stats.groups_refused++;
    (void)pthread_mutex_unlock(&store->lock);
}

/* What becomes of the first waiting group, given what the batch already holds. */
static enum group_fate judge(struct store *store, struct chunk_group *group, size_t size,
                             bool is_first)
{
    if (size + sizeof(struct batch_header) > segment_capacity(store)) {
        group->err = GFS_TOO_BIG;
        return GROUP_REFUSED;
    }
    if (store->refused_lsn != 0 && group->after_lsn >= store->refused_lsn) {
        refuse(store, group);
        return GROUP_REFUSED;
    }
    if (!is_first && store->batch.used + size > STORE_BATCH_LEN_TARGET) {
        return GROUP_WAITS;
    }
    store_space_look(store);
    (void)pthread_mutex_lock(&store->lock);
    bool is_low = !group->may_use_reserve && store_is_low_locked(store, 0);
    bool is_spare = store->spare_count > 0;
    bool is_full = store->is_out_of_spares;
    bool fits = store->batch.used + size <= segment_room(store->head);
    bool is_refused = is_low || (!fits && !is_spare && is_full);
    (void)pthread_mutex_unlock(&store->lock);
    if (is_refused) {
        refuse(store, group);
        return GROUP_REFUSED;
    }
    if (fits) {
        return GROUP_TAKEN;
    }
    return is_first && is_spare ? GROUP_NEEDS_SEGMENT : GROUP_WAITS;
}

/* Moves waiting groups into the batch. Answers whether the segment must be sealed first. */
static bool collect(struct store *store)
{
    struct chunk_group **tail = &store->batch_groups;
    while (store->pending != NULL) {
        struct chunk_group *group = store->pending;
        size_t size = group_size(group);
        bool is_first = store->batch.used == sizeof(struct batch_header);
        enum group_fate fate = judge(store, group, size, is_first);
        if (fate == GROUP_WAITS) {
            return false;
        }
        if (fate == GROUP_NEEDS_SEGMENT) {
            return store->batch_groups == NULL; /* answer the refused first */
        }
        *tail = take_pending(store);
        tail = &(*tail)->next;
        if (fate == GROUP_TAKEN) {
            add_group(store, group, size);
        }
    }
    return false;
}

static struct compact_job *waiting_job(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    struct compact_job *job = store->job;
    (void)pthread_mutex_unlock(&store->lock);
    return job;
}

static bool has_spare(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    bool has = store->spare_count > 0;
    (void)pthread_mutex_unlock(&store->lock);
    return has;
}

/* Answers whether something was started or answered. */
static bool start_batch(struct store *store)
{
    take_incoming(store);
    struct compact_job *job = waiting_job(store);
    if (store->pending == NULL && job == NULL) {
        return false;
    }
    store->batch =
        (struct batch_header){.used = sizeof(struct batch_header), .lsn_gone = store->lsn_gone};
    store->batch_is_mark = false;
    store->batch_group_count = 0;
    store->batch_record_count = 0;
    reserve_arena(store, SEGMENT_PAGE);
    bool needs_segment = false;
    if (job != NULL && store->batch.used + job->len <= segment_room(store->head)) {
        add_job(store, job);
    } else if (job != NULL) {
        needs_segment = has_spare(store);
        if (!needs_segment && log_mark_fits_locked(store, job)) {
            add_job(store, job);
        }
    }
    needs_segment = needs_segment || collect(store);
    if (needs_segment) {
        store->batch.used = sizeof(struct batch_header);
        store->batch.flags = SEGMENT_BATCH_SEAL;
        write_batch(store);
        return true;
    }
    if (store->batch.used > sizeof(struct batch_header) || store->batch_is_mark) {
        write_batch(store);
        return true;
    }
    /* nothing to write: only refused groups, or copies nobody needs any more */
    bool did = store->batch_groups != NULL || store->batch_job != NULL;
    finish_job(store);
    answer_all(GFS_TAKE(store->batch_groups), GFS_OK);
    return did;
}

bool store_log_step(struct store *store)
{
    if (store->is_writing) {
        return false;
    }
    if (!atomic_load(&store->has_failed)) {
        return start_batch(store);
    }
    take_incoming(store);
    bool did = store->pending != NULL;
    if (waiting_job(store) != NULL) {
        store->batch_job = waiting_job(store);
        finish_job(store);
        did = true;
    }
    answer_pending(store, GFS_IO);
    return did;
}

void store_log_stop(struct store *store)
{
    GFS_ASSERT(!store->is_writing);
    if (waiting_job(store) != NULL) {
        store->batch_job = waiting_job(store);
        finish_job(store);
    }
    answer_pending(store, GFS_STOPPED);
}
