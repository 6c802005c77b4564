#include "pool/pool_audit.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_reconcile_part.h"
#include "pool/pool_state.h"

/* All listings of a part. */
struct listing {
    struct pool_part_entry *entries;
    size_t count;
    bool is_usable[POOL_DISKS_MAX];
    pool_audit_fn visit;
    void *arg;
};

static void add_disk(struct listing *listing, struct pool_disk *disk, uint32_t part)
{
    GFS_FREE struct chunk_listed *items = NULL;
    size_t count = 0;
    disk->store->ops->list(disk->store, part, &items, &count);
    if (count == 0) {
        return;
    }
    listing->entries =
        gfs_realloc(listing->entries, (listing->count + count) * sizeof *listing->entries);
    for (size_t i = 0; i < count; i++) {
        listing->entries[listing->count++] =
            (struct pool_part_entry){.id = items[i].id, .len = items[i].len, .disk = disk->number};
    }
}

static void visit_chunk(void *arg, const struct pool_part_chunk *chunk)
{
    const struct listing *listing = arg;
    uint32_t absent = chunk->missing | chunk->lost | chunk->away;
    struct pool_audit_chunk audit = {
        .id = chunk->id,
        .bytes = (uint64_t)chunk->fragment_len * chunk->have,
        .have = chunk->have,
        .need = chunk->need,
        .width = chunk->width,
        .absent = (unsigned)__builtin_popcount(absent),
        .is_disk_away = chunk->away != 0,
    };
    listing->visit(listing->arg, &audit);
}

void pool_audit_part(struct pool *pool, uint32_t part, pool_audit_fn visit, void *arg)
{
    struct listing listing = {.visit = visit, .arg = arg};
    struct pool_view *view = pool_view_get(pool);
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        listing.is_usable[i] = pool_disk_is_usable(view->disks[i]);
        if (listing.is_usable[i]) {
            add_disk(&listing, view->disks[i], part);
        }
    }
    size_t known = pool_part_sort(view->map, listing.entries, listing.count);
    pool_part_diff(view->map, listing.is_usable, listing.entries, known, visit_chunk, &listing);
    pool_view_put(view);
    free(listing.entries);
}

bool pool_audit_is_whole(struct pool *pool)
{
    struct pool_view *view = pool_view_get(pool);
    bool is_whole = true;
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        const struct pool_map_disk *disk = &view->map->disks[i];
        bool must_be_there = disk->state == POOL_DISK_ACTIVE || disk->state == POOL_DISK_DRAINING;
        if (must_be_there && (disk->is_behind || !pool_disk_is_usable(view->disks[i]))) {
            is_whole = false;
        }
    }
    pool_view_put(view);
    return is_whole;
}
