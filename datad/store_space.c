/* Free space, and the part of it that only deletes may use. */
#include "datad/store_state.h"
#include "libgoodfs/clock.h"

#define RESERVE_MAX (1ULL << 30)

void store_space_changed_locked(struct store *store)
{
    store->space_read_ns = 0;
}

static void refresh_locked(struct store *store)
{
    int64_t now = gfs_monotonic_ns();
    bool is_fresh = !store->options.is_manual && store->space_read_ns != 0 &&
                    now - store->space_read_ns < STORE_SPACE_CACHE_NS;
    if (is_fresh) {
        return;
    }
    struct gfs_io_space space;
    if (store->io->ops->space(store->io, &space) == GFS_OK) {
        store->space = space;
    }
    store->space_read_ns = now;
    if (store->is_out_of_spares && store->space.free > store->options.segment_size) {
        store_wake_background_locked(store); /* space has come back */
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
