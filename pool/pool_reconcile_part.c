#include "pool/pool_reconcile_part.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"

bool pool_part_key(const struct pool_map *map, struct chunk_id fragment, struct chunk_id *ret)
{
    uint32_t number = chunk_id_group(fragment);
    if (number >= map->group_count) {
        return false;
    }
    struct pool_profile profile = map->groups[number].profile;
    if (number == 0) {
        *ret = fragment; /* its low bits mean nothing */
        return profile.kind == POOL_REPLICA;
    }
    *ret = chunk_id_at(fragment, 0);
    unsigned slots = profile.kind == POOL_EC ? pool_profile_width(profile) : 1;
    return chunk_id_slot(fragment) < slots;
}

static int compare_entries(const void *left, const void *right)
{
    const struct pool_part_entry *a = left;
    const struct pool_part_entry *b = right;
    int order = chunk_id_compare(a->key, b->key);
    if (order == 0) {
        order = chunk_id_compare(a->id, b->id);
    }
    return order != 0 ? order : (a->disk > b->disk) - (a->disk < b->disk);
}

size_t pool_part_sort(const struct pool_map *map, struct pool_part_entry *entries, size_t count)
{
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        if (pool_part_key(map, entries[i].id, &entries[i].key)) {
            struct pool_part_entry entry = entries[i];
            entries[i] = entries[known];
            entries[known++] = entry;
        }
    }
    if (known > 1) {
        qsort(entries, known, sizeof *entries, compare_entries);
    }
    return known;
}

/* The slot that wants this fragment on this disk; the width = none. */
static unsigned slot_of(const struct pool_group *group, const struct pool_part_entry *entry)
{
    unsigned width = pool_profile_width(group->profile);
    if (group->profile.kind == POOL_EC) {
        uint32_t slot = chunk_id_slot(entry->id);
        return group->slots[slot].disk == entry->disk ? slot : width;
    }
    for (unsigned i = 0; i < width; i++) {
        if (group->slots[i].disk == entry->disk) {
            return i;
        }
    }
    return width;
}

static bool is_of_group(const struct pool_group *group, uint16_t disk)
{
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        if (group->slots[i].disk == disk || group->slots[i].from == disk) {
            return true;
        }
    }
    return false;
}

/* What the entries of one chunk say; returns the slots that have their fragment. */
static uint32_t count_fragments(const struct pool_group *group,
                                const struct pool_part_entry *entries, size_t count,
                                struct pool_part_chunk *chunk)
{
    uint32_t present = 0;
    bool is_known_to_group = false;
    for (size_t i = 0; i < count; i++) {
        const struct pool_part_entry *entry = &entries[i];
        bool is_same = i > 0 && chunk_id_compare(entry->id, entries[i - 1].id) == 0;
        chunk->have += group->profile.kind == POOL_REPLICA || !is_same;
        chunk->has_conflict |= entry->len != chunk->fragment_len;
        is_known_to_group |= is_of_group(group, entry->disk);
        unsigned slot = slot_of(group, entry);
        if (slot < chunk->width) {
            present |= 1U << slot;
        } else if (chunk->extra_count < GFS_COUNT(chunk->extras)) {
            chunk->extras[chunk->extra_count++] = entry;
        }
    }
    chunk->is_stray = !is_known_to_group && chunk->have < chunk->need;
    return present;
}

static void judge_slots(const struct pool_map *map, const bool *usable,
                        const struct pool_group *group, uint32_t present,
                        struct pool_part_chunk *chunk)
{
    for (unsigned i = 0; i < chunk->width; i++) {
        uint32_t bit = 1U << i;
        uint16_t number = group->slots[i].disk;
        GFS_ASSERT(number < map->disk_count);
        const struct pool_map_disk *disk = &map->disks[number];
        bool is_failed = disk->state == POOL_DISK_FAILED || disk->state == POOL_DISK_REMOVED;
        if ((present & bit) != 0) {
            continue;
        }
        if (is_failed) {
            chunk->lost |= bit;
        } else if (usable[number] && !disk->is_read_only) {
            chunk->missing |= bit;
        } else {
            chunk->away |= bit;
            chunk->read_only |= usable[number] ? bit : 0;
        }
    }
}

void pool_part_diff(const struct pool_map *map, const bool *usable,
                    const struct pool_part_entry *entries, size_t count, pool_part_visit_fn visit,
                    void *arg)
{
    size_t first = 0;
    while (first < count) {
        size_t end = first + 1;
        while (end < count && chunk_id_compare(entries[end].key, entries[first].key) == 0) {
            end++;
        }
        uint32_t number = chunk_id_group(entries[first].key);
        GFS_ASSERT(number < map->group_count);
        const struct pool_group *group = &map->groups[number];
        struct pool_part_chunk chunk = {
            .id = entries[first].key,
            .group = number,
            .fragment_len = entries[first].len,
            .width = pool_profile_width(group->profile),
            .need = group->profile.k,
        };
        uint32_t present = count_fragments(group, entries + first, end - first, &chunk);
        judge_slots(map, usable, group, present, &chunk);
        visit(arg, &chunk);
        first = end;
    }
}
