/* What a store says of itself: its levels, its counters, and the list of its chunks. */
#include <stdlib.h>

#include "datad/store_state.h"

static void add_log_locked(const struct store *store, struct store_stats *stats)
{
    for (size_t i = 0; i < store->segment_count; i++) {
        stats->log_bytes += store->segments[i]->header.size;
        stats->log_live_bytes += store->segments[i]->live;
    }
    for (size_t i = 0; i < store->spare_count; i++) {
        stats->log_bytes += store->spares[i]->header.size;
    }
}

static void add_bulk_locked(const struct store *store, struct store_stats *stats)
{
    for (const struct bulk_file *file = store->bulk_files; file != NULL; file = file->next) {
        stats->bulk_files++;
        stats->bulk_live_bytes += file->live_bytes;
    }
}

void store_stats(struct store *store, struct store_stats *ret)
{
    (void)pthread_mutex_lock(&store->lock);
    (void)store_is_low_locked(store, 0);
    struct store_stats stats = store->stats;
    stats.chunks = chunk_index_count(store->index);
    stats.index_bytes = chunk_index_bytes(store->index);
    stats.log_segments = store->segment_count + store->spare_count;
    add_log_locked(store, &stats);
    add_bulk_locked(store, &stats);
    stats.space_total = store->space.total;
    stats.space_free = store->space.free;
    stats.has_failed = atomic_load(&store->has_failed);
    (void)pthread_mutex_unlock(&store->lock);
    stats.read_errors = atomic_load(&store->read_errors);
    stats.bulk_writers = bulk_writer_count(store);
    *ret = stats;
}

void store_status(struct chunk_store *chunks, struct chunk_store_status *ret)
{
    struct store *store = GFS_CONTAINER_OF(chunks, struct store, base);
    struct store_stats stats;
    store_stats(store, &stats);
    *ret = (struct chunk_store_status){
        .space_total = stats.space_total,
        .space_free = stats.space_free,
        .chunks = stats.chunks,
        .live_bytes = stats.log_live_bytes + stats.bulk_live_bytes,
        .damaged_places = stats.damaged_places,
        .read_errors = stats.read_errors,
        .has_failed = stats.has_failed,
        .is_full = stats.is_full,
    };
    (void)pthread_mutex_lock(&store->lock);
    ret->lsn_last = store->lsn_last;
    ret->lsn_gone = store->lsn_gone;
    ret->lsn_floor = GFS_MAX(GFS_MAX(store->lsn_last, store->lsn_floor), store->lsn_gone);
    (void)pthread_mutex_unlock(&store->lock);
}

void store_list(struct chunk_store *chunks, uint32_t part, struct chunk_listed **ret,
                size_t *ret_count)
{
    struct store *store = GFS_CONTAINER_OF(chunks, struct store, base);
    GFS_ASSERT(part < CHUNK_LIST_PARTS);
    struct chunk_listed *listed = NULL;
    size_t count = 0;
    size_t size = 0;
    (void)pthread_mutex_lock(&store->lock);
    size_t slot_count;
    const struct chunk_entry *slots =
        chunk_index_shard(store->index, part / CHUNK_INDEX_SHARD_PARTS, &slot_count);
    for (size_t i = 0; i < slot_count; i++) {
        struct chunk_id id = {.hi = slots[i].hi, .lo = slots[i].lo};
        if ((id.hi | id.lo) == 0 || chunk_list_part(id) != part) {
            continue;
        }
        if (count == size) {
            size = size == 0 ? 16 + slot_count / CHUNK_INDEX_SHARD_PARTS : size * 2;
            listed = gfs_realloc(listed, size * sizeof *listed);
        }
        listed[count++] = (struct chunk_listed){.id = id, .len = slots[i].len};
    }
    (void)pthread_mutex_unlock(&store->lock);
    *ret = listed;
    *ret_count = count;
}
