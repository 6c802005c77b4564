#include "datad/chunk_index.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"

enum { SHARD_SLOTS_MIN = 16 };

struct index_shard {
    struct chunk_entry *slots;
    size_t slot_count;
    size_t used;
};

struct chunk_index {
    struct index_shard shards[CHUNK_INDEX_SHARDS];
};

static uint64_t mix(uint64_t hi, uint64_t lo)
{
    uint64_t x = hi ^ (lo * 0x9E3779B97F4A7C15U);
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93U;
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93U;
    return x ^ (x >> 32);
}

/* All fragments of a chunk are in one shard, and a shard is some parts of the listing. */
static struct index_shard *shard_of(struct chunk_index *index, uint64_t hi, uint64_t lo)
{
    uint32_t part = chunk_list_part((struct chunk_id){.hi = hi, .lo = lo});
    return &index->shards[part / CHUNK_INDEX_SHARD_PARTS];
}

static size_t home_slot(const struct index_shard *shard, uint64_t hash)
{
    return (size_t)(((hash & UINT32_MAX) * shard->slot_count) >> 32);
}

struct chunk_index *chunk_index_new(void)
{
    return gfs_alloc(sizeof(struct chunk_index));
}

void chunk_index_clear(struct chunk_index *index)
{
    for (size_t i = 0; i < CHUNK_INDEX_SHARDS; i++) {
        free(index->shards[i].slots);
        index->shards[i] = (struct index_shard){0};
    }
}

void chunk_index_free(struct chunk_index *index)
{
    if (index != NULL) {
        chunk_index_clear(index);
        free(index);
    }
}

static bool is_empty(const struct chunk_entry *entry)
{
    return (entry->hi | entry->lo) == 0;
}

struct chunk_entry *chunk_index_find(struct chunk_index *index, uint64_t hi, uint64_t lo)
{
    uint64_t hash = mix(hi, lo);
    struct index_shard *shard = shard_of(index, hi, lo);
    if (shard->used == 0) {
        return NULL;
    }
    size_t slot = home_slot(shard, hash);
    while (!is_empty(&shard->slots[slot])) {
        struct chunk_entry *entry = &shard->slots[slot];
        if (entry->lo == lo && entry->hi == hi) {
            return entry;
        }
        slot = slot + 1 == shard->slot_count ? 0 : slot + 1;
    }
    return NULL;
}

static void place_entry(struct index_shard *shard, const struct chunk_entry *entry)
{
    size_t slot = home_slot(shard, mix(entry->hi, entry->lo));
    while (!is_empty(&shard->slots[slot])) {
        slot = slot + 1 == shard->slot_count ? 0 : slot + 1;
    }
    shard->slots[slot] = *entry;
}

static void grow(struct index_shard *shard)
{
    struct index_shard grown = {.used = shard->used};
    grown.slot_count = shard->slot_count + shard->slot_count / 4;
    grown.slot_count = GFS_MAX(grown.slot_count, (size_t)SHARD_SLOTS_MIN);
    grown.slots = gfs_alloc_array(grown.slot_count, sizeof *grown.slots);
    for (size_t i = 0; i < shard->slot_count; i++) {
        if (!is_empty(&shard->slots[i])) {
            place_entry(&grown, &shard->slots[i]);
        }
    }
    free(shard->slots);
    *shard = grown;
}

void chunk_index_reserve(struct chunk_index *index, uint64_t count)
{
    /* shards differ by chance: a sixteenth more, and at most 0.7 full */
    size_t each = (size_t)(count / CHUNK_INDEX_SHARDS);
    size_t slot_count = (each + each / 16) * 10 / 7;
    for (size_t i = 0; i < CHUNK_INDEX_SHARDS && slot_count >= SHARD_SLOTS_MIN; i++) {
        GFS_ASSERT(index->shards[i].slots == NULL);
        index->shards[i].slots = gfs_alloc_array(slot_count, sizeof(struct chunk_entry));
        index->shards[i].slot_count = slot_count;
    }
}

void chunk_index_put(struct chunk_index *index, const struct chunk_entry *entry)
{
    GFS_ASSERT(!is_empty(entry));
    struct index_shard *shard = shard_of(index, entry->hi, entry->lo);
    if ((shard->used + 1) * 4 > shard->slot_count * 3) {
        grow(shard);
    }
    place_entry(shard, entry);
    shard->used++;
}

void chunk_index_erase(struct chunk_index *index, struct chunk_entry *entry)
{
    struct index_shard *shard = shard_of(index, entry->hi, entry->lo);
    GFS_ASSERT(entry >= shard->slots && entry < shard->slots + shard->slot_count);
    size_t hole = (size_t)(entry - shard->slots);
    size_t slot = hole;
    /* Entries behind the hole move into it when their home lies at or before it (cyclically). */
    for (;;) {
        slot = slot + 1 == shard->slot_count ? 0 : slot + 1;
        struct chunk_entry *next = &shard->slots[slot];
        if (is_empty(next)) {
            break;
        }
        size_t home = home_slot(shard, mix(next->hi, next->lo));
        size_t from_home = (slot + shard->slot_count - home) % shard->slot_count;
        size_t from_hole = (slot + shard->slot_count - hole) % shard->slot_count;
        if (from_home >= from_hole) {
            shard->slots[hole] = *next;
            hole = slot;
        }
    }
    shard->slots[hole] = (struct chunk_entry){0};
    shard->used--;
}

uint64_t chunk_index_count(const struct chunk_index *index)
{
    uint64_t count = 0;
    for (size_t i = 0; i < CHUNK_INDEX_SHARDS; i++) {
        count += index->shards[i].used;
    }
    return count;
}

size_t chunk_index_bytes(const struct chunk_index *index)
{
    size_t bytes = 0;
    for (size_t i = 0; i < CHUNK_INDEX_SHARDS; i++) {
        bytes += index->shards[i].slot_count * sizeof(struct chunk_entry);
    }
    return bytes;
}

const struct chunk_entry *chunk_index_shard(const struct chunk_index *index, unsigned shard,
                                            size_t *ret_count)
{
    GFS_ASSERT(shard < CHUNK_INDEX_SHARDS);
    *ret_count = index->shards[shard].slot_count;
    return index->shards[shard].slots;
}

uint64_t chunk_index_hash(const struct chunk_index *index)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < CHUNK_INDEX_SHARDS; i++) {
        const struct index_shard *shard = &index->shards[i];
        for (size_t slot = 0; slot < shard->slot_count; slot++) {
            const struct chunk_entry *entry = &shard->slots[slot];
            if (!is_empty(entry)) {
                hash +=
                    mix(mix(entry->hi, entry->lo) ^ ((uint64_t)entry->file << 32 | entry->where),
                        (uint64_t)entry->len << 32 | entry->extra);
            }
        }
    }
    return hash;
}
