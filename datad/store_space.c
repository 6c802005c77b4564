/* Free space, and the part of it that only deletes may use.
 *
 * Asking the file system may wait for the disk, so only the store's own threads do it, without the
 * lock. Everybody else goes by what was read last, and has it read again when that is old. */
#include "datad/store_state.h"
#include "libgoodfs/clock.h"

#define RESERVE_MAX (1ULL << 30)

void store_space_changed_locked(struct store *store)
{
    atomic_store(&store->space_read_ns, 0);
}

static bool is_fresh(int64_t read_ns, int64_t now_ns)
{
    return read_ns != 0 && now_ns - read_ns < STORE_SPACE_CACHE_NS;
}

static void set_locked(struct store *store, const struct gfs_io_space *space)
{
    store->space = *space;
    if (store->is_out_of_spares && space->free > store->options.segment_size) {
        store_wake_background_locked(store); /* space has come back */
    }
}

void store_space_look(struct store *store)
{
    int64_t now_ns = gfs_monotonic_ns();
    long long before_ns = atomic_load(&store->space_read_ns);
    if (!store->has_threads || is_fresh(before_ns, now_ns)) {
        return;
    }
    /* first the time: a change while it is read makes it old again, and others do not read too */
    if (!atomic_compare_exchange_strong(&store->space_read_ns, &before_ns, now_ns)) {
        return;
    }
    struct gfs_io_space space;
    if (store->io->ops->space(store->io, &space) == GFS_OK) {
        (void)pthread_mutex_lock(&store->lock);
        set_locked(store, &space);
        (void)pthread_mutex_unlock(&store->lock);
    }
}

/* Without threads, as in manual mode and while it is opened, whoever asks may wait. */
static void refresh_locked(struct store *store)
{
    struct gfs_io_space space;
    if (store->has_threads) {
        if (!is_fresh(atomic_load(&store->space_read_ns), gfs_monotonic_ns())) {
            bulk_placer_want_space(store);
        }
    } else if (store->io->ops->space(store->io, &space) == GFS_OK) {
        set_locked(store, &space);
    }
}

static uint64_t reserve_locked(const struct store *store)
{
    if (store->options.reserve_bytes != 0) {
        return store->options.reserve_bytes;
    }
    uint64_t reserve = GFS_MIN(store->space.total / 20, RESERVE_MAX);
    return GFS_MAX(reserve, 2 * (uint64_t)store->options.segment_size);
}

bool store_is_low_locked(struct store *store, uint64_t wanted)
{
    refresh_locked(store);
    bool is_low = store->is_out_of_spares || store->space.free < reserve_locked(store) + wanted;
    store->stats.is_full = is_low;
    return is_low;
}

bool store_is_surely_low(struct store *store, uint64_t wanted)
{
    (void)pthread_mutex_lock(&store->lock);
    bool is_known = is_fresh(atomic_load(&store->space_read_ns), gfs_monotonic_ns());
    bool is_low = is_known && store_is_low_locked(store, wanted);
    (void)pthread_mutex_unlock(&store->lock);
    return is_low;
}
