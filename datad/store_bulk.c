/* Writing large chunks. Their begin is in store_bulk_begin.c.
 *
 * The appending thread copies into 512 KiB aligned buffers and checksums on the way; full buffers
 * are written by the store's thread, several at a time. finish adds the trailer (header, checksum
 * table, owner) behind the data; when every write is done one flush of the file, shared with
 * whatever else finished meanwhile, makes the chunk durable. It is live only with its PLACE record.
 *
 * Until the chunk has its place on the disk, full buffers are held back; without one it fails.
 *
 *   begin -> APPENDING --finish--> FINISHING -> (writes done) -> FLUSHING -> DONE --PLACE--> live
 *
 * bulk_free in any state; while writes or a flush are under way the store's thread ends it. Memory:
 * at most buffers_max buffers in all; who finds none waits in a list and is told. A writer with
 * nothing under way may go beyond the shared part of them: slow senders, who keep a buffer for as
 * long as they fill it, do not stop the others. */
#include <stdlib.h>

#include "datad/store_bulk_pool.h"
#include "datad/store_state.h"
#include "libgoodfs/crc.h"

/* --- life of a writer --- */

/* Nothing refers to the bulk any more. */
static void destroy(struct chunk_bulk *bulk)
{
    struct store *store = bulk->store;
    if (!bulk->is_live && bulk->file != NULL) {
        (void)pthread_mutex_lock(&store->lock);
        bulk_punch_locked(store, bulk->file, bulk->page, bulk->page_count, true);
        (void)pthread_mutex_unlock(&store->lock);
    }
    (void)pthread_mutex_destroy(&bulk->lock);
    free(bulk->trailer);
    free(bulk->owner);
    free(bulk);
    (void)pthread_mutex_lock(&store->bulk_pool->lock);
    store->bulk_pool->writer_count--;
    bulk_pool_shrink_locked(store->bulk_pool);
    (void)pthread_mutex_unlock(&store->bulk_pool->lock);
}

static bool is_over_locked(const struct chunk_bulk *bulk)
{
    return bulk->references == 0 && bulk->in_flight == 0 && !bulk->is_flushing;
}

void bulk_release(struct chunk_bulk *bulk)
{
    struct store_bulk_pool *pool = bulk->store->bulk_pool;
    (void)pthread_mutex_lock(&pool->lock);
    bulk->references--;
    bool is_over = is_over_locked(bulk);
    (void)pthread_mutex_unlock(&pool->lock);
    if (is_over) {
        destroy(bulk);
    }
}

static void stop_waiting_locked(struct store_bulk_pool *pool, struct chunk_bulk *bulk)
{
    if (!bulk->is_waiting) {
        return;
    }
    bulk->is_waiting = false;
    struct chunk_bulk **slot = &pool->waiting;
    while (*slot != NULL && *slot != bulk) {
        slot = &(*slot)->next_waiting;
    }
    if (*slot == NULL) {
        return; /* waits for its own writes only */
    }
    *slot = bulk->next_waiting;
    if (pool->waiting_tail == &bulk->next_waiting) {
        pool->waiting_tail = slot;
    }
}

/* Room for a writer that was told to wait: the freed buffer is put into its hands. */
static struct chunk_bulk *hand_over_locked(struct store_bulk_pool *pool, struct chunk_bulk *bulk,
                                           struct bulk_buffer *buffer)
{
    if (bulk->is_waiting && bulk->in_flight < STORE_BULK_BUFFERS_EACH && !bulk->is_freed) {
        stop_waiting_locked(pool, bulk); /* its own buffer first */
    } else {
        bulk = pool->waiting;
        if (bulk == NULL) {
            bulk_pool_put_locked(pool, buffer);
            return NULL;
        }
        stop_waiting_locked(pool, bulk);
    }
    buffer->used = 0;
    buffer->bulk = bulk;
    bulk->buffer = buffer;
    bulk->references++;
    return bulk;
}

static void call_writable(struct chunk_bulk *bulk)
{
    (void)pthread_mutex_lock(&bulk->lock);
    if (!bulk->is_freed && bulk->writable != NULL) {
        bulk->writable(bulk->arg);
    }
    (void)pthread_mutex_unlock(&bulk->lock);
    bulk_release(bulk);
}

/* --- the end of a writer --- */

void store_bulk_free(struct chunk_bulk *bulk)
{
    if (bulk == NULL) {
        return;
    }
    struct store_bulk_pool *pool = bulk->store->bulk_pool;
    struct chunk_bulk *woken = NULL;
    (void)pthread_mutex_lock(&bulk->lock);
    (void)pthread_mutex_lock(&pool->lock);
    GFS_ASSERT(!bulk->is_freed);
    bulk->is_freed = true;
    stop_waiting_locked(pool, bulk);
    if (bulk->buffer != NULL) {
        woken = hand_over_locked(pool, bulk, GFS_TAKE(bulk->buffer));
    }
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_mutex_unlock(&bulk->lock);
    bulk_release(bulk);
    if (woken != NULL) {
        call_writable(woken);
    }
}

/* --- appending --- */

/* op->offset: in the extent. */
static void queue_op_locked(struct store_bulk_pool *pool, struct chunk_bulk *bulk,
                            struct gfs_io_op *op)
{
    op->next = NULL;
    pool->busy_count++;
    bulk->in_flight++;
    if (bulk->is_placing) {
        *bulk->held_tail = op;
        bulk->held_tail = &op->next;
    } else {
        bulk_pool_queue_locked(pool, bulk, op);
    }
}

static void write_done(struct chunk_bulk *bulk, struct bulk_buffer *buffer, enum gfs_err err);

static void buffer_done(struct gfs_io_op *op)
{
    struct bulk_buffer *buffer = GFS_CONTAINER_OF(op, struct bulk_buffer, op);
    write_done(buffer->bulk, buffer, op->result);
}

static void trailer_done(struct gfs_io_op *op)
{
    write_done(GFS_CONTAINER_OF(op, struct chunk_bulk, trailer_op), NULL, op->result);
}

/* Hands the current buffer, whole pages of it, to the store's thread. */
static void write_buffer(struct chunk_bulk *bulk)
{
    struct store_bulk_pool *pool = bulk->store->bulk_pool;
    struct bulk_buffer *buffer = GFS_TAKE(bulk->buffer);
    size_t len = segment_align_page(buffer->used);
    memset(buffer->bytes + buffer->used, 0, len - buffer->used);
    buffer->bulk = bulk;
    buffer->op = (struct gfs_io_op){.kind = GFS_IO_WRITE,
                                    .ptr = buffer->bytes,
                                    .len = len,
                                    .offset = bulk->written,
                                    .done = buffer_done};
    bulk->written += (uint32_t)len;
    (void)pthread_mutex_lock(&pool->lock);
    queue_op_locked(pool, bulk, &buffer->op);
    (void)pthread_mutex_unlock(&pool->lock);
    bulk->store->io->ops->wake(bulk->store->io);
}

/* may_wait: without one, the user is told when there is. */
static bool get_buffer(struct chunk_bulk *bulk, bool may_wait)
{
    struct store_bulk_pool *pool = bulk->store->bulk_pool;
    (void)pthread_mutex_lock(&pool->lock);
    if (bulk->buffer == NULL && bulk->in_flight < STORE_BULK_BUFFERS_EACH) {
        bulk->buffer = bulk_pool_take_locked(pool, bulk->in_flight == 0 ? pool->buffers_max
                                                                        : pool->shared_max);
        if (bulk->buffer == NULL && may_wait && !bulk->is_waiting) {
            bulk->next_waiting = NULL;
            *pool->waiting_tail = bulk;
            pool->waiting_tail = &bulk->next_waiting;
        }
    }
    bool has_buffer = bulk->buffer != NULL;
    if (has_buffer) {
        stop_waiting_locked(pool, bulk);
    } else {
        bulk->is_waiting = bulk->is_waiting || may_wait;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return has_buffer;
}

/* Copies, unless the bytes are in their place already, and checksums; the checksum of a block is
 * stored when it is full or at the end. */
static void copy_in(struct chunk_bulk *bulk, const char *ptr, size_t len)
{
    struct bulk_buffer *buffer = bulk->buffer;
    while (len > 0) {
        uint32_t in_block = bulk->len % GFS_BLOCK_SIZE;
        size_t step = GFS_MIN(len, (size_t)(GFS_BLOCK_SIZE - in_block));
        char *place = buffer->bytes + buffer->used;
        if (ptr != place) {
            memcpy(place, ptr, step);
        }
        bulk->crc = gfs_crc32c(in_block == 0 ? 0 : bulk->crc, place, step);
        size_t block = bulk->len / GFS_BLOCK_SIZE;
        memcpy(bulk->trailer + sizeof(struct record_header) + block * sizeof bulk->crc, &bulk->crc,
               sizeof bulk->crc);
        buffer->used += step;
        bulk->len += (uint32_t)step;
        ptr += step;
        len -= step;
    }
}

size_t store_bulk_append(struct chunk_bulk *bulk, const void *ptr, size_t len)
{
    GFS_ASSERT(!bulk->is_finishing);
    GFS_ASSERT(len <= bulk->len_max - bulk->len);
    const char *bytes = ptr;
    size_t taken = 0;
    while (taken < len && get_buffer(bulk, true)) {
        size_t room = STORE_BULK_BUFFER_SIZE - bulk->buffer->used;
        size_t step = GFS_MIN(room, len - taken);
        copy_in(bulk, bytes + taken, step);
        taken += step;
        if (bulk->buffer->used == STORE_BULK_BUFFER_SIZE) {
            write_buffer(bulk);
        }
    }
    return taken;
}

/* A buffer is whole blocks, so the rest of one that is not full has room for a block. */
_Static_assert(STORE_BULK_BUFFER_SIZE % GFS_BLOCK_SIZE == 0, "room is for a block");

void *store_bulk_room(struct chunk_bulk *bulk)
{
    GFS_ASSERT(!bulk->is_finishing);
    if (bulk->len % GFS_BLOCK_SIZE != 0 || !get_buffer(bulk, false)) {
        return NULL;
    }
    return bulk->buffer->bytes + bulk->buffer->used;
}

void store_bulk_owner(struct chunk_bulk *bulk, struct gfs_slice owner)
{
    GFS_ASSERT(owner.len <= CHUNK_OWNER_LEN_MAX);
    GFS_ASSERT(!bulk->is_finishing);
    free(bulk->owner);
    bulk->owner = gfs_alloc(owner.len);
    bulk->owner_len = owner.len;
    if (owner.len != 0) {
        memcpy(bulk->owner, owner.ptr, owner.len);
    }
}

void store_bulk_finish(struct chunk_bulk *bulk, chunk_finished_fn finished)
{
    GFS_ASSERT(finished != NULL);
    struct store_bulk_pool *pool = bulk->store->bulk_pool;
    struct record_header head = {.kind = SEGMENT_RECORD_BULK,
                                 .id_hi = bulk->id.hi,
                                 .id_lo = bulk->id.lo,
                                 .payload_len = bulk->len};
    (void)segment_record_finish(bulk->trailer, &head, gfs_slice_of(bulk->owner, bulk->owner_len));
    size_t trailer_len = segment_trailer_size(bulk->len, CHUNK_OWNER_LEN_MAX);
    bool has_room = false;
    if (bulk->buffer != NULL) { /* one write for both when they fit */
        struct bulk_buffer *buffer = bulk->buffer;
        size_t data_len = segment_align_page(buffer->used);
        has_room = data_len + trailer_len <= STORE_BULK_BUFFER_SIZE;
        if (has_room) {
            memset(buffer->bytes + buffer->used, 0, data_len - buffer->used);
            memcpy(buffer->bytes + data_len, bulk->trailer, trailer_len);
            buffer->used = data_len + trailer_len;
        }
    }
    (void)pthread_mutex_lock(&pool->lock);
    GFS_ASSERT(!bulk->is_finishing);
    stop_waiting_locked(pool, bulk);
    bulk->finished = finished;
    bulk->in_flight++; /* until everything is queued */
    bulk->is_finishing = true;
    (void)pthread_mutex_unlock(&pool->lock);
    if (bulk->buffer != NULL) {
        write_buffer(bulk);
    }
    bulk->trailer_op = (struct gfs_io_op){.kind = GFS_IO_WRITE,
                                          .ptr = bulk->trailer,
                                          .len = trailer_len,
                                          .offset = segment_align_page(bulk->len),
                                          .done = trailer_done};
    (void)pthread_mutex_lock(&pool->lock);
    if (!has_room) {
        queue_op_locked(pool, bulk, &bulk->trailer_op);
    }
    bulk->in_flight--;
    if (bulk->in_flight == 0) { /* everything was written meanwhile */
        bulk->is_flushing = true;
        bulk->next_ready = pool->ready;
        pool->ready = bulk;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    bulk->store->io->ops->wake(bulk->store->io);
}

void bulk_place(const struct chunk_bulk *bulk, struct chunk_id *ret_id, struct place_entry *ret)
{
    GFS_ASSERT(bulk->is_done);
    GFS_ASSERT(bulk->err == GFS_OK);
    *ret_id = bulk->id;
    *ret = (struct place_entry){.file = bulk->file->number, .page = bulk->page, .len = bulk->len};
}

void bulk_made_live(struct chunk_bulk *bulk)
{
    struct store *store = bulk->store;
    GFS_ASSERT(!bulk->is_live);
    bulk->is_live = true;
    struct chunk_entry entry = {.len = bulk->len};
    uint32_t used = bulk_page_count(&entry);
    GFS_ASSERT(used <= bulk->page_count);
    if (used < bulk->page_count) {
        (void)pthread_mutex_lock(&store->lock);
        bulk_punch_locked(store, bulk->file, bulk->page + used, bulk->page_count - used, false);
        (void)pthread_mutex_unlock(&store->lock);
    }
}

/* --- the store's thread --- */

static void write_done(struct chunk_bulk *bulk, struct bulk_buffer *buffer, enum gfs_err err)
{
    struct store *store = bulk->store;
    struct store_bulk_pool *pool = store->bulk_pool;
    struct chunk_bulk *woken = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    pool->busy_count--;
    bulk->in_flight--;
    bulk->err = bulk->err == GFS_OK ? err : bulk->err;
    bool is_ready = bulk->in_flight == 0 && bulk->is_finishing;
    if (is_ready) {
        bulk->is_flushing = true;
        bulk->next_ready = pool->ready;
        pool->ready = bulk;
    }
    if (buffer != NULL) {
        woken = hand_over_locked(pool, bulk, buffer);
    }
    bool is_over = is_over_locked(bulk);
    (void)pthread_mutex_unlock(&pool->lock);
    if (err != GFS_OK && err != GFS_NO_SPACE) {
        store_fail(store);
    }
    if (is_over) {
        destroy(bulk);
    }
    if (woken != NULL) {
        call_writable(woken);
    }
}

static void finish_one(struct chunk_bulk *bulk, enum gfs_err err)
{
    struct store_bulk_pool *pool = bulk->store->bulk_pool;
    free(GFS_TAKE(bulk->trailer)); /* written: the chunk may be kept for long before its PLACE */
    (void)pthread_mutex_lock(&pool->lock);
    bulk->references++;
    bulk->is_flushing = false;
    bulk->err = bulk->err == GFS_OK ? err : bulk->err;
    bulk->is_done = true;
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_mutex_lock(&bulk->lock);
    if (!bulk->is_freed) {
        bulk->finished(bulk->arg, bulk->err);
    }
    (void)pthread_mutex_unlock(&bulk->lock);
    bulk_release(bulk);
}

static void flush_done(struct gfs_io_op *op)
{
    struct bulk_file *file = GFS_CONTAINER_OF(op, struct bulk_file, flush_op);
    struct chunk_bulk *bulk = GFS_TAKE(file->flush_running);
    struct store *store = bulk->store;
    struct store_bulk_pool *pool = store->bulk_pool;
    file->is_flushing = false;
    (void)pthread_mutex_lock(&pool->lock);
    pool->busy_count--;
    (void)pthread_mutex_unlock(&pool->lock);
    if (op->result != GFS_OK) {
        store_fail(store);
    }
    enum gfs_err err = op->result == GFS_OK ? GFS_OK : GFS_IO;
    struct chunk_bulk *waiting = GFS_TAKE(file->flush_waiting);
    if (waiting != NULL) { /* finished while the flush ran: the next one covers them */
        (void)pthread_mutex_lock(&pool->lock);
        while (waiting != NULL) {
            struct chunk_bulk *next = waiting->next_ready;
            waiting->next_ready = pool->ready;
            pool->ready = waiting;
            waiting = next;
        }
        (void)pthread_mutex_unlock(&pool->lock);
    }
    while (bulk != NULL) { /* file may be gone after the last of them */
        struct chunk_bulk *next = bulk->next_ready;
        finish_one(bulk, err);
        bulk = next;
    }
}

/* One flush a file and turn: submitted operations start only when the turn ends, so whatever
 * becomes ready in the same turn is covered by it. */
static void start_flush(struct store *store, struct chunk_bulk *bulk)
{
    struct store_bulk_pool *pool = store->bulk_pool;
    struct bulk_file *file = bulk->file;
    if (file->is_flushing && file->flush_turn != pool->turn) {
        bulk->next_ready = file->flush_waiting;
        file->flush_waiting = bulk;
        return;
    }
    bulk->next_ready = file->flush_running;
    file->flush_running = bulk;
    if (file->is_flushing) {
        return;
    }
    file->is_flushing = true;
    file->flush_turn = pool->turn;
    file->flush_op =
        (struct gfs_io_op){.kind = GFS_IO_FLUSH, .file = file->file, .done = flush_done};
    (void)pthread_mutex_lock(&pool->lock);
    pool->busy_count++;
    (void)pthread_mutex_unlock(&pool->lock);
    store->io->ops->submit(store->io, &file->flush_op);
}

static void start_flushes(struct store *store, struct chunk_bulk *ready)
{
    store->bulk_pool->turn++;
    while (ready != NULL) {
        struct chunk_bulk *bulk = ready;
        ready = bulk->next_ready;
        if (bulk->err != GFS_OK || atomic_load(&store->has_failed)) {
            finish_one(bulk, GFS_IO);
        } else {
            start_flush(store, bulk);
        }
    }
}

bool bulk_step(struct store *store)
{
    struct store_bulk_pool *pool = store->bulk_pool;
    (void)pthread_mutex_lock(&pool->lock);
    struct gfs_io_op *op = GFS_TAKE(pool->queued);
    pool->queued_tail = &pool->queued;
    struct gfs_io_op *unplaced = GFS_TAKE(pool->unplaced);
    struct chunk_bulk *ready = GFS_TAKE(pool->ready);
    (void)pthread_mutex_unlock(&pool->lock);
    bool did = op != NULL || unplaced != NULL || ready != NULL;
    while (op != NULL) {
        struct gfs_io_op *next = op->next;
        store->io->ops->submit(store->io, op);
        op = next;
    }
    while (unplaced != NULL) { /* their writer has failed already */
        struct gfs_io_op *next = unplaced->next;
        unplaced->result = GFS_OK;
        unplaced->done(unplaced);
        unplaced = next;
    }
    start_flushes(store, ready);
    return did;
}

bool bulk_is_idle(struct store *store)
{
    struct store_bulk_pool *pool = store->bulk_pool;
    (void)pthread_mutex_lock(&pool->lock);
    bool is_idle = pool->busy_count == 0 && pool->ready == NULL;
    (void)pthread_mutex_unlock(&pool->lock);
    return is_idle;
}

size_t bulk_writer_count(struct store *store)
{
    struct store_bulk_pool *pool = store->bulk_pool;
    (void)pthread_mutex_lock(&pool->lock);
    size_t count = pool->writer_count;
    (void)pthread_mutex_unlock(&pool->lock);
    return count;
}
