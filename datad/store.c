/* Opening and closing a store, its operations table, manual driving. */
#include "datad/store.h"

#include <stdlib.h>

#include "datad/store_state.h"

/* One disk keeps everything alike: there is one class, and size does not matter. */
static bool store_has_class(struct chunk_store *chunks, struct gfs_slice storage_class)
{
    (void)chunks;
    return storage_class.len == 0 || gfs_slice_eq_str(storage_class, "STANDARD");
}

static enum gfs_err store_new_id(struct chunk_store *chunks, struct gfs_slice storage_class,
                                 uint64_t size, struct chunk_id *ret)
{
    (void)size;
    if (!store_has_class(chunks, storage_class)) {
        return GFS_INVALID;
    }
    *ret = chunk_id_new(0);
    return GFS_OK;
}

static const struct chunk_store_ops chunk_ops = {
    .new_id = store_new_id,
    .has_class = store_has_class,
    .submit = store_submit,
    .bulk_begin = store_bulk_begin,
    .bulk_append = store_bulk_append,
    .bulk_room = store_bulk_room,
    .bulk_owner = store_bulk_owner,
    .bulk_finish = store_bulk_finish,
    .bulk_free = store_bulk_free,
    .pin = store_pin,
    .unpin = store_unpin,
    .read = store_read,
    .owner = store_owner,
    .prefetch = store_prefetch,
    .list = store_list,
    .status = store_status,
    .repaired = store_repaired,
    .verify_log = store_verify_log,
    .replay_edits = store_replay_edits,
    .trim_edits = store_trim_edits,
};

static enum gfs_err take_options(struct store *store, const struct store_options *options,
                                 struct gfs_error *error)
{
    struct store_options *own = &store->options;
    *own = *options;
    own->segment_size = own->segment_size == 0 ? STORE_SEGMENT_SIZE : own->segment_size;
    own->bulk_size = own->bulk_size == 0 ? 4ULL << 30 : own->bulk_size;
    own->checkpoint_bytes = own->checkpoint_bytes == 0 ? 256ULL << 20 : own->checkpoint_bytes;
    own->buffers_max = own->buffers_max == 0 ? STORE_BULK_BUFFERS_MAX : own->buffers_max;
    own->compact_rate = own->compact_rate == 0 ? 64ULL << 20 : own->compact_rate;
    if (own->segment_size < STORE_SEGMENT_SIZE_MIN || own->segment_size % SEGMENT_PAGE != 0 ||
        own->segment_size > INT32_MAX || own->bulk_size > (uint64_t)INT32_MAX * SEGMENT_PAGE) {
        return gfs_fail(error, GFS_INVALID, "segment size %u: not in 64 KiB to 2 GiB, whole pages",
                        own->segment_size);
    }
    if (own->dir == NULL && own->io == NULL) {
        return gfs_fail(error, GFS_INVALID, "no directory given");
    }
    return GFS_OK;
}

static struct store *new_store(void)
{
    struct store *store = gfs_alloc(sizeof *store);
    store->base.ops = &chunk_ops;
    store->index = chunk_index_new();
    store->pending_tail = &store->pending;
    (void)pthread_mutex_init(&store->lock, NULL);
    gfs_cond_init(&store->background_cond);
    gfs_cond_init(&store->job_cond);
    return store;
}

static void free_store(struct store *store)
{
    for (size_t i = 0; i < store->segment_count; i++) {
        log_segment_free(store->segments[i]);
    }
    for (size_t i = 0; i < store->spare_count; i++) {
        log_segment_free(store->spares[i]);
    }
    free(store->segments);
    free(store->damage);
    free(store->arena);
    bulk_files_close(store);
    bulk_pool_free(store->bulk_pool);
    chunk_index_free(store->index);
    if (store->io != NULL) {
        store->io->ops->close(store->io);
    }
    gfs_cond_fini(&store->job_cond);
    gfs_cond_fini(&store->background_cond);
    (void)pthread_mutex_destroy(&store->lock);
    free(store);
}

static enum gfs_err make_dirs(struct store *store, struct gfs_error *error)
{
    const char *const names[] = {"log", "bulk"};
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        enum gfs_err err = store->io->ops->make_dir(store->io, names[i]);
        if (err != GFS_OK && err != GFS_EXISTS) {
            return gfs_fail(error, err, "%s: mkdir: %s", names[i], gfs_err_text(err));
        }
    }
    return GFS_OK;
}

/* An earlier process may have ended between a change of a name and its sync: what is seen now is
 * relied upon from here on. */
static enum gfs_err sync_dirs(struct store *store, struct gfs_error *error)
{
    const char *const names[] = {".", "log", "bulk"};
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        enum gfs_err err = store->io->ops->sync_dir(store->io, names[i]);
        if (err != GFS_OK) {
            return gfs_fail(error, err, "%s: fsync: %s", names[i], gfs_err_text(err));
        }
    }
    return GFS_OK;
}

static void join_threads(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    store->is_stopping = true;
    gfs_cond_broadcast(&store->background_cond);
    gfs_cond_broadcast(&store->job_cond);
    (void)pthread_mutex_unlock(&store->lock);
    bulk_placer_stop(store);
    store->io->ops->wake(store->io);
    while (store->thread_count > 0) {
        (void)pthread_join(store->threads[--store->thread_count], NULL);
    }
}

/* The store's thread first: it is the last to be joined, and ends what the others leave. */
static enum gfs_err start_threads(struct store *store, struct gfs_error *error)
{
    void *(*const mains[STORE_THREADS])(void *) = {store_log_main, bulk_placer_main,
                                                   store_background_main};
    store->has_threads = !store->options.is_manual;
    for (unsigned i = 0; i < STORE_THREADS && store->has_threads; i++) {
        if (pthread_create(&store->threads[i], NULL, mains[i], store) != 0) {
            join_threads(store);
            return gfs_fail(error, GFS_BUSY, "no thread");
        }
        store->thread_count++;
    }
    return GFS_OK;
}

static enum gfs_err open_all(struct store *store, const struct store_options *options,
                             struct gfs_error *error)
{
    store->io = options->io;
    enum gfs_err err = take_options(store, options, error);
    store->bulk_pool = bulk_pool_new(store->options.buffers_max);
    if (err == GFS_OK && store->io == NULL) {
        err = gfs_io_posix_open(options->dir, true, &store->io, error);
    }
    if (err != GFS_OK) {
        return err;
    }
    err = make_dirs(store, error);
    if (err == GFS_OK) {
        err = identity_open(store, error);
    }
    if (err == GFS_OK) {
        err = sync_dirs(store, error);
    }
    if (err == GFS_OK) {
        err = store_recover(store, error);
    }
    if (err == GFS_OK) {
        err = bulk_files_open(store, error);
    }
    if (err == GFS_OK) {
        store->has_background_work = true;
        (void)pthread_mutex_lock(&store->lock);
        (void)store_is_low_locked(store, 0); /* from now on only threads of its own look */
        (void)pthread_mutex_unlock(&store->lock);
        err = start_threads(store, error);
    }
    return err;
}

enum gfs_err store_open(const struct store_options *options, struct store **ret,
                        struct gfs_error *error)
{
    struct store *store = new_store();
    enum gfs_err err = open_all(store, options, error);
    if (err != GFS_OK) {
        free_store(store);
        return gfs_wrap(error, err, "store %s", options->dir == NULL ? "" : options->dir);
    }
    store->options.dir = store->options.cluster = store->options.node = NULL;
    *ret = store;
    return GFS_OK;
}

static void stop(struct store *store)
{
    join_threads(store);
    if (store->has_threads) {
        return;
    }
    while (store->is_writing || !bulk_is_idle(store)) {
        (void)store_turn(store, false);
    }
    store_log_stop(store);
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    stop(store);
    if (!atomic_load(&store->has_failed)) {
        /* Only speeds up the next start: its failure loses nothing. */
        enum gfs_err err = checkpoint_write(store);
        (void)err;
    }
    free_store(store);
}

struct chunk_store *store_chunks(struct store *store)
{
    return &store->base;
}

bool store_poll(struct store *store)
{
    GFS_ASSERT(store->options.is_manual);
    bool did = store_turn(store, false);
    return store_background_step(store) || did;
}

void store_settle(struct store *store)
{
    GFS_ASSERT(store->options.is_manual);
    for (;;) {
        bool did = store_poll(store);
        bool is_busy = store->is_writing || !bulk_is_idle(store) || store->pending != NULL ||
                       atomic_load(&store->incoming) != NULL;
        if (!did && !is_busy) {
            return;
        }
    }
}

uint64_t store_index_hash(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    uint64_t hash = chunk_index_hash(store->index);
    (void)pthread_mutex_unlock(&store->lock);
    return hash;
}

enum gfs_err store_checkpoint(struct store *store)
{
    return checkpoint_write(store);
}
