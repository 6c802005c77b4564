/* What the map wants against what the disks list: the comparison of one part of the listing. Pure.
 *
 * A chunk is known by the fragments that usable disks list. Per chunk it is found which slots lack
 * their fragment, which cannot be judged because their disk is away, and which fragments lie where
 * no slot wants them. */
#pragma once

#include "libgoodfs/chunk_store.h"
#include "pool/pool_map.h"

/* Plain data. A fragment in a disk's listing. */
struct pool_part_entry {
    struct chunk_id key; /* set by pool_part_sort: the chunk's id */
    struct chunk_id id;
    uint32_t len;
    uint16_t disk;
};

/* Plain data, valid during the visit. Slots are bits. */
struct pool_part_chunk {
    struct chunk_id id;
    uint32_t group;
    uint32_t fragment_len;
    unsigned width, need; /* need: fragments that suffice to read it */
    unsigned have;        /* different fragments (copies: disks) that are listed anywhere */
    uint32_t missing;     /* the slot's disk lacks it and can take it */
    uint32_t lost;        /* the slot's disk is FAILED: no disk was found to take it over */
    uint32_t away;        /* the slot's disk is not usable now, or lacks it and is read-only */
    uint32_t read_only;   /* of away: the disk is usable */
    bool has_conflict;    /* fragments of different lengths: nothing is to be done to it */
    bool is_stray; /* fewer than need, and no disk of the group lists any: may be an orphan */
    const struct pool_part_entry *extras[POOL_DISKS_MAX]; /* lie where no slot wants them */
    unsigned extra_count; /* more than fit are left out: the next pass sees them */
};

typedef void (*pool_part_visit_fn)(void *arg, const struct pool_part_chunk *chunk);

/* The id that metadata knows the fragment's chunk by; false: of no group of the map, or with a
 * slot its group does not have. */
bool pool_part_key(const struct pool_map *map, struct chunk_id fragment, struct chunk_id *ret);

/* Sets the keys and sorts by them. Entries that pool_part_key does not know go to the end; answers
 * the number of those that it knows. */
size_t pool_part_sort(const struct pool_map *map, struct pool_part_entry *entries, size_t count);

/* Visits the chunks of `count` sorted, known entries. usable: by number, one for each disk of the
 * map. */
void pool_part_diff(const struct pool_map *map, const bool *usable,
                    const struct pool_part_entry *entries, size_t count, pool_part_visit_fn visit,
                    void *arg);

/* It cannot be read, nor anything of it be made: as a writer that was killed leaves it, before it
 * was acknowledged or when it was half deleted. */
static inline bool pool_part_is_lost(const struct pool_part_chunk *chunk)
{
    return chunk->have < chunk->need && chunk->away == 0 && !chunk->has_conflict;
}

/* Every fragment is where the map wants it. */
static inline bool pool_part_is_whole(const struct pool_part_chunk *chunk)
{
    return chunk->missing == 0 && chunk->away == 0 && chunk->lost == 0 && !chunk->has_conflict;
}
