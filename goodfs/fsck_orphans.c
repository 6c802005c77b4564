#include "goodfs/fsck_orphans.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"

static int compare(const void *left, const void *right)
{
    const struct fsck_orphan *a = left;
    const struct fsck_orphan *b = right;
    return chunk_id_compare(a->id, b->id);
}

void fsck_orphans_fini(struct fsck_orphans *orphans)
{
    free(orphans->items);
    *orphans = (struct fsck_orphans){0};
}

void fsck_orphans_sort(struct fsck_orphans *orphans)
{
    if (orphans->count > 1) {
        qsort(orphans->items, orphans->count, sizeof *orphans->items, compare);
    }
}

void fsck_orphans_begin(struct fsck_orphans *orphans, int64_t uptime_ms)
{
    int64_t passed_ms = GFS_MAX(uptime_ms - orphans->uptime_ms, (int64_t)0);
    orphans->uptime_ms = uptime_ms;
    orphans->is_full = false;
    for (size_t i = 0; i < orphans->count; i++) {
        orphans->items[i].is_seen = false;
        orphans->items[i].age_ms += passed_ms;
    }
    fsck_orphans_sort(orphans);
    orphans->sorted_count = orphans->count;
}

void fsck_orphans_add(struct fsck_orphans *orphans, struct chunk_id id, uint64_t bytes,
                      int64_t now_ms)
{
    const struct fsck_orphan wanted = {.id = id};
    struct fsck_orphan *known =
        orphans->sorted_count == 0
            ? NULL
            : bsearch(&wanted, orphans->items, orphans->sorted_count, sizeof wanted, compare);
    if (known != NULL) {
        known->is_seen = true;
        known->bytes = bytes;
        return;
    }
    if (orphans->count == FSCK_ORPHANS_MAX) {
        orphans->is_full = true;
        return;
    }
    if (orphans->count == orphans->size) {
        orphans->size = GFS_MAX(orphans->size * 2, (size_t)64);
        orphans->items = gfs_realloc(orphans->items, orphans->size * sizeof *orphans->items);
    }
    orphans->items[orphans->count++] =
        (struct fsck_orphan){.id = id, .bytes = bytes, .first_seen_ms = now_ms, .is_seen = true};
}

void fsck_orphans_end(struct fsck_orphans *orphans)
{
    size_t kept = 0;
    for (size_t i = 0; i < orphans->count; i++) {
        if (orphans->items[i].is_seen) {
            orphans->items[kept++] = orphans->items[i];
        }
    }
    orphans->count = kept;
    orphans->sorted_count = 0;
}

void fsck_orphans_filter(struct fsck_orphans *orphans, const bool *keep)
{
    size_t kept = 0;
    for (size_t i = 0; i < orphans->count; i++) {
        if (keep[i]) {
            orphans->items[kept++] = orphans->items[i];
        }
    }
    orphans->count = kept;
}

bool fsck_orphans_is_abnormal(const struct fsck_orphans *orphans, uint64_t chunks,
                              uint64_t references)
{
    uint64_t count = orphans->count;
    if (orphans->is_full) {
        return true;
    }
    return count * 100 > chunks && (count > FSCK_ORPHANS_FEW || count * 4 > references);
}
