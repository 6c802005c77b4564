/* The two threads of a store, and what each does in a turn.
 *
 * The store's thread: start what can be started, wait for completions, answer. The background:
 * spare segments first (the log's head may be waiting), then holes, recycling, the index
 * checkpoint, compaction. It sleeps until somebody says that there is work. */
#include "datad/store_state.h"
#include "libgoodfs/clock.h"

void store_wake_background_locked(struct store *store)
{
    store->has_background_work = true;
    gfs_cond_signal(&store->background_cond);
}

/* A fault in the background: the disk is failed unless only space is missing. */
static void handle_fault(struct store *store, enum gfs_err err)
{
    if (err != GFS_OK && err != GFS_NO_SPACE) {
        store_fail(store);
    }
}

static bool prepare_step(struct store *store)
{
    store_space_look(store);
    (void)pthread_mutex_lock(&store->lock);
    bool is_wanted = store->spare_count < STORE_SPARES;
    if (is_wanted && store->is_out_of_spares) {
        (void)store_is_low_locked(store, 0); /* looks at the space again */
        is_wanted = store->space.free > store->options.segment_size;
    }
    (void)pthread_mutex_unlock(&store->lock);
    if (!is_wanted) {
        return false;
    }
    enum gfs_err err = log_segment_prepare(store);
    handle_fault(store, err);
    if (err == GFS_NO_SPACE) {
        (void)pthread_mutex_lock(&store->lock);
        store->is_out_of_spares = true;
        store_space_changed_locked(store);
        (void)pthread_mutex_unlock(&store->lock);
    }
    store->io->ops->wake(store->io); /* groups may be waiting for either answer */
    return err == GFS_OK;
}

static bool checkpoint_step(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    bool is_due = checkpoint_is_due_locked(store);
    (void)pthread_mutex_unlock(&store->lock);
    if (!is_due) {
        return false;
    }
    enum gfs_err err = checkpoint_write(store);
    handle_fault(store, err);
    return err == GFS_OK;
}

bool store_background_urgent(struct store *store)
{
    if (atomic_load(&store->has_failed)) {
        return false;
    }
    return prepare_step(store) || bulk_punch_step(store);
}

bool store_background_step(struct store *store)
{
    if (atomic_load(&store->has_failed)) {
        return false;
    }
    return store_background_urgent(store) || recycle_step(store) || checkpoint_step(store) ||
           lost_step(store) || compact_step(store);
}

bool store_background_pause(struct store *store, int64_t ns)
{
    int64_t until_ns = gfs_monotonic_ns() + ns;
    bool has_time = true;
    (void)pthread_mutex_lock(&store->lock);
    while (!store->is_stopping && has_time) {
        has_time = gfs_cond_wait_until(&store->job_cond, &store->lock, until_ns);
    }
    bool is_stopping = store->is_stopping;
    (void)pthread_mutex_unlock(&store->lock);
    return !is_stopping;
}

void *store_background_main(void *arg)
{
    struct store *store = arg;
    (void)pthread_setname_np(pthread_self(), "store-back");
    for (;;) {
        (void)pthread_mutex_lock(&store->lock);
        while (!store->has_background_work && !store->is_stopping) {
            gfs_cond_wait(&store->background_cond, &store->lock);
        }
        bool is_stopping = store->is_stopping;
        store->has_background_work = false;
        (void)pthread_mutex_unlock(&store->lock);
        if (is_stopping) {
            return NULL;
        }
        while (store_background_step(store)) {
            (void)pthread_mutex_lock(&store->lock);
            is_stopping = store->is_stopping;
            (void)pthread_mutex_unlock(&store->lock);
            if (is_stopping) {
                return NULL;
            }
        }
    }
}

bool store_turn(struct store *store, bool block)
{
    bool did = store_log_step(store);
    did = bulk_step(store) || did;
    bool is_idle = !did && !store->is_writing && bulk_is_idle(store);
    if (is_idle && block) {
        store_log_trim(store);
    }
    /* with a batch in flight there is nothing to do before it completes or somebody wakes us */
    bool is_blocking = block && (!did || store->is_writing);
    if (is_blocking && !store->is_writing) {
        /* whoever submits after this wakes the wait; who did before is seen here */
        atomic_store(&store->is_sleeping, true);
        is_blocking = atomic_load(&store->incoming) == NULL;
    }
    enum gfs_err err = store->io->ops->wait(store->io, is_blocking);
    atomic_store(&store->is_sleeping, false);
    if (err != GFS_OK) {
        store_fail(store);
    }
    return did;
}

void *store_log_main(void *arg)
{
    struct store *store = arg;
    (void)pthread_setname_np(pthread_self(), "store-log");
    for (;;) {
        (void)store_turn(store, true);
        (void)pthread_mutex_lock(&store->lock);
        bool is_stopping = store->is_stopping;
        (void)pthread_mutex_unlock(&store->lock);
        if (is_stopping && !store->is_writing && bulk_is_idle(store)) {
            store_log_stop(store);
            return NULL;
        }
    }
}
