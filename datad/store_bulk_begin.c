/* Beginning large chunks: a place on the disk for each.
 *
 * Finding a place may create a file and allocates space: calls that wait for the disk, and on one
 * that hangs for ever. Whoever begins a chunk must not wait with it: a thread that serves many
 * clients would be lost with the disk, and so would whatever it holds. So the store has a thread
 * for it. A writer takes bytes at once; what is ready to be written before there is a place is held
 * back, and that there is none shows at finish, as errors of writing do. Only what memory knows, a
 * disk that is full or has failed, is answered at begin.
 *
 *   begin -> queue -> placing thread: place found -> what was held goes to the store's thread
 *                                     none        -> it is given back, the writer has failed
 *
 * The same thread reads how much space is left, when it is asked for: statfs is such a call too. In
 * manual mode there is no thread, and begin does it. */
#include <stdlib.h>

#include "datad/store_bulk_pool.h"

static bool add_writer(struct store_bulk_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    bool has_room = pool->writer_count < STORE_BULK_WRITERS_MAX;
    pool->writer_count += has_room;
    (void)pthread_mutex_unlock(&pool->lock);
    return has_room;
}

static void init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;
    int result = pthread_mutexattr_init(&attr);
    GFS_ASSERT(result == 0);
    (void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    result = pthread_mutex_init(lock, &attr);
    GFS_ASSERT(result == 0);
    (void)pthread_mutexattr_destroy(&attr);
}

static struct chunk_bulk *bulk_new(struct store *store, const struct chunk_bulk_options *options)
{
    size_t trailer_size = segment_trailer_size(options->len_max, CHUNK_OWNER_LEN_MAX);
    struct chunk_bulk *bulk = gfs_alloc(sizeof *bulk);
    *bulk = (struct chunk_bulk){
        .store = store,
        .page_count =
            (uint32_t)((segment_align_page(options->len_max) + trailer_size) / SEGMENT_PAGE),
        .id = options->id,
        .owner = gfs_alloc(options->owner.len),
        .owner_len = options->owner.len,
        .len_max = options->len_max,
        .writable = options->writable,
        .arg = options->arg,
        .trailer = gfs_alloc_aligned(SEGMENT_PAGE, trailer_size),
        .trailer_size = trailer_size,
        .references = 1,
    };
    bulk->held_tail = &bulk->held;
    memset(bulk->trailer, 0, trailer_size);
    if (options->owner.len != 0) {
        memcpy(bulk->owner, options->owner.ptr, options->owner.len);
    }
    init_lock(&bulk->lock);
    return bulk;
}

static void enqueue(struct store_bulk_pool *pool, struct chunk_bulk *bulk)
{
    (void)pthread_mutex_lock(&pool->lock);
    GFS_ASSERT(!pool->is_stopping);
    bulk->is_placing = true;
    bulk->references++;
    pool->busy_count++;
    *pool->placing_tail = bulk;
    pool->placing_tail = &bulk->next_placing;
    (void)pthread_cond_signal(&pool->place_cond);
    (void)pthread_mutex_unlock(&pool->lock);
}

enum gfs_err store_bulk_begin(struct chunk_store *chunks, const struct chunk_bulk_options *options,
                              struct chunk_bulk **ret)
{
    struct store *store = GFS_CONTAINER_OF(chunks, struct store, base);
    GFS_ASSERT(options->len_max <= GFS_CHUNK_SIZE_MAX);
    GFS_ASSERT(options->owner.len <= CHUNK_OWNER_LEN_MAX);
    GFS_ASSERT((options->id.hi | options->id.lo) != 0);
    if (atomic_load(&store->has_failed)) {
        return GFS_IO;
    }
    if (!add_writer(store->bulk_pool)) {
        return GFS_BUSY;
    }
    struct chunk_bulk *bulk = bulk_new(store, options);
    enum gfs_err err = GFS_OK;
    if (!store->has_threads) {
        err = bulk_extent_allocate(store, bulk->page_count, &bulk->file, &bulk->page);
    } else if (store_is_surely_low(store, (uint64_t)bulk->page_count * SEGMENT_PAGE)) {
        err = GFS_NO_SPACE;
    } else {
        enqueue(store->bulk_pool, bulk);
    }
    if (err != GFS_OK) {
        bulk_release(bulk);
        return err;
    }
    *ret = bulk;
    return GFS_OK;
}

/* --- the placing thread --- */

static void end_placing(struct chunk_bulk *bulk, enum gfs_err err, struct bulk_file *file,
                        uint32_t page)
{
    struct store_bulk_pool *pool = bulk->store->bulk_pool;
    (void)pthread_mutex_lock(&pool->lock);
    bulk->is_placing = false;
    bulk->file = file;
    bulk->page = page;
    bulk->err = bulk->err == GFS_OK ? err : bulk->err;
    struct gfs_io_op *op = GFS_TAKE(bulk->held);
    bool must_wake = op != NULL || pool->is_stopping;
    while (op != NULL) {
        struct gfs_io_op *next = op->next;
        bulk_pool_queue_locked(pool, bulk, op);
        op = next;
    }
    pool->busy_count--;
    (void)pthread_mutex_unlock(&pool->lock);
    if (must_wake) { /* usually the place was found before there was anything to write */
        bulk->store->io->ops->wake(bulk->store->io);
    }
}

static void place(struct chunk_bulk *bulk, bool is_wanted)
{
    struct bulk_file *file = NULL;
    uint32_t page = 0;
    enum gfs_err err = GFS_STOPPED;
    if (is_wanted) {
        err = bulk_extent_allocate(bulk->store, bulk->page_count, &file, &page);
    }
    end_placing(bulk, err, err == GFS_OK ? file : NULL, page);
    bulk_release(bulk);
}

static struct chunk_bulk *take_placing_locked(struct store_bulk_pool *pool)
{
    struct chunk_bulk *bulk = pool->placing;
    if (bulk != NULL) {
        pool->placing = bulk->next_placing;
        if (pool->placing == NULL) {
            pool->placing_tail = &pool->placing;
        }
    }
    return bulk;
}

void *bulk_placer_main(void *arg)
{
    struct store *store = arg;
    struct store_bulk_pool *pool = store->bulk_pool;
    (void)pthread_setname_np(pthread_self(), "store-place");
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct chunk_bulk *bulk = take_placing_locked(pool);
        bool is_space_wanted = pool->is_space_wanted;
        if (bulk == NULL && pool->is_stopping) {
            break;
        }
        if (bulk == NULL && !is_space_wanted) {
            (void)pthread_cond_wait(&pool->place_cond, &pool->lock);
            continue;
        }
        pool->is_space_wanted = false;
        bool is_wanted = bulk != NULL && !bulk->is_freed && !pool->is_stopping;
        (void)pthread_mutex_unlock(&pool->lock);
        if (is_space_wanted) {
            store_space_look(store);
        }
        if (bulk != NULL) {
            place(bulk, is_wanted);
        }
        (void)pthread_mutex_lock(&pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

void bulk_placer_want_space(struct store *store)
{
    struct store_bulk_pool *pool = store->bulk_pool;
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_space_wanted = true;
    (void)pthread_cond_signal(&pool->place_cond);
    (void)pthread_mutex_unlock(&pool->lock);
}

void bulk_placer_stop(struct store *store)
{
    struct store_bulk_pool *pool = store->bulk_pool;
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    (void)pthread_cond_signal(&pool->place_cond);
    (void)pthread_mutex_unlock(&pool->lock);
}
