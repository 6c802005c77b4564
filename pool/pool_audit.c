#include "pool/pool_audit.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_reconcile_part.h"
#include "pool/pool_state.h"

/* All listings of a part. */
struct listing {
    struct pool_part_entry *entries;
    size_t count;
    bool is_usable[POOL_DISKS_MAX];
    bool has_fallback;
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

/* Copies are alike: a report names one of the slots that the disk has or had. */
static bool is_known_bad(struct pool *pool, const struct pool_group *group,
                         const struct pool_part_entry *entry)
{
    bool is_ec = group->profile.kind == POOL_EC;
    for (unsigned slot = 0; slot < pool_profile_width(group->profile); slot++) {
        struct pool_suspect suspect = {
            .id = entry->key, .disk = entry->disk, .slot = (uint8_t)slot};
        bool is_it = !is_ec || slot == chunk_id_slot(entry->id);
        if (is_it && pool_suspect_is_bad(pool, &suspect)) {
            return true;
        }
    }
    return false;
}

/* What is bad is as good as missing. The others stay in order; answers their count. */
static size_t leave_out_bad(struct pool *pool, const struct pool_map *map,
                            struct pool_part_entry *entries, size_t count)
{
    size_t kept = 0;
    if (pool_suspect_bad(pool) == 0) {
        return count;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_known_bad(pool, &map->groups[chunk_id_group(entries[i].key)], &entries[i])) {
            entries[kept++] = entries[i];
        }
    }
    return kept;
}

static void visit_chunk(void *arg, const struct pool_part_chunk *chunk)
{
    const struct listing *listing = arg;
    struct pool_audit_chunk audit = {
        .id = chunk->id,
        .bytes = (uint64_t)chunk->fragment_len * chunk->have,
        .have = chunk->have,
        .need = chunk->need,
        .width = chunk->width,
        .is_disk_away = chunk->away != 0 || listing->has_fallback,
    };
    listing->visit(listing->arg, &audit);
}

void pool_audit_part(struct pool *pool, uint32_t part, pool_audit_fn visit, void *arg)
{
    struct listing listing = {.visit = visit, .arg = arg};
    struct pool_view *view = pool_view_get(pool);
    listing.has_fallback = pool_view_has_fallback(view);
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        listing.is_usable[i] = pool_disk_is_usable(view->disks[i]);
        if (listing.is_usable[i]) {
            add_disk(&listing, view->disks[i], part);
        }
    }
    size_t known = pool_part_sort(view->map, listing.entries, listing.count);
    known = leave_out_bad(pool, view->map, listing.entries, known);
    pool_part_diff(view->map, listing.is_usable, listing.entries, known, visit_chunk, &listing);
    pool_view_put(view);
    free(listing.entries);
}

void pool_audit_shape(struct pool *pool, struct chunk_id id, unsigned *ret_need,
                      unsigned *ret_width)
{
    struct pool_view *view = pool_view_get(pool);
    uint32_t number = chunk_id_group(id);
    *ret_need = *ret_width = 1;
    if (number < view->map->group_count) {
        struct pool_profile profile = view->map->groups[number].profile;
        *ret_need = profile.k;
        *ret_width = pool_profile_width(profile);
    }
    pool_view_put(view);
}

uint64_t pool_audit_losses(struct pool *pool)
{
    struct pool_repair_summary summary;
    pool_reconcile_summary(pool, &summary);
    return summary.lost;
}

bool pool_audit_is_whole(struct pool *pool)
{
    struct pool_view *view = pool_view_get(pool);
    bool is_whole = !pool_view_has_fallback(view);
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        const struct pool_map_disk *disk = &view->map->disks[i];
        bool must_be_there = pool_map_disk_is_in_use(disk);
        if (must_be_there && (disk->is_behind || !pool_disk_is_usable(view->disks[i]))) {
            is_whole = false;
        }
    }
    pool_view_put(view);
    return is_whole;
}

bool pool_audit_missing(struct pool *pool, char *ret)
{
    struct pool_view *view = pool_view_get(pool);
    bool is_missing = false;
    for (uint32_t i = 0; i < view->map->disk_count && !is_missing; i++) {
        const struct pool_map_disk *disk = &view->map->disks[i];
        bool is_gone = disk->state == POOL_DISK_REMOVED || disk->path[0] == '\0';
        is_missing = !is_gone && !pool_disk_is_usable(view->disks[i]);
        if (is_missing) {
            (void)snprintf(ret, POOL_PATH_LEN_MAX, "%s", disk->path);
        }
    }
    pool_view_put(view);
    return is_missing;
}

void pool_audit_given_up(struct pool *pool, bool ret[POOL_DISKS_MAX])
{
    struct pool_view *view = pool_view_get(pool);
    memset(ret, 0, POOL_DISKS_MAX * sizeof *ret);
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        const struct pool_map_disk *disk = &view->map->disks[i];
        /* without a path it was given up, and may be removed by now; one that was drained has one
         */
        ret[i] = disk->state == POOL_DISK_FAILED || disk->path[0] == '\0';
    }
    pool_view_put(view);
}
