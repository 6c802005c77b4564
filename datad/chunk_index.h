/* Chunk id -> place, in memory: 32 bytes a chunk.
 *
 * 256 small open-addressing tables, so that growing one moves a 256th of the entries and never
 * stalls a reader for long. Load stays between about 0.6 and 0.75. Which table an entry is in is
 * told by chunk_list_part of its id. Needs a lock of its owner. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libgoodfs/chunk_store.h"

enum {
    CHUNK_INDEX_SHARDS = 256,
    CHUNK_INDEX_SHARD_PARTS = CHUNK_LIST_PARTS / CHUNK_INDEX_SHARDS, /* of the listing */
};

#define CHUNK_INDEX_BULK 0x80000000U /* bit of `file`: a bulk file, not a log segment */

/* Plain data, as in the index checkpoint. An id of zero = empty. */
struct chunk_entry {
    uint64_t hi, lo;
    uint32_t file;  /* log segment's sequence number, or CHUNK_INDEX_BULK | bulk file's number */
    uint32_t where; /* log: byte offset of the record; bulk: page of the first byte */
    uint32_t len;   /* bytes of payload */
    uint32_t extra; /* log: bytes from record to payload; bulk: segment that holds its PLACE */
};
_Static_assert(sizeof(struct chunk_entry) == 32, "checkpointed");

struct chunk_index;

struct chunk_index *chunk_index_new(void);
void chunk_index_free(struct chunk_index *index);
void chunk_index_clear(struct chunk_index *index);

/* Room for about `count` entries, so that little has to grow. Only on an empty index. */
void chunk_index_reserve(struct chunk_index *index, uint64_t count);

/* NULL = not there. Valid until the next put or erase; the id must not be changed through it. */
struct chunk_entry *chunk_index_find(struct chunk_index *index, uint64_t hi, uint64_t lo);
/* Inserts; the id must not be in the index. */
void chunk_index_put(struct chunk_index *index, const struct chunk_entry *entry);
/* Removes an entry that chunk_index_find answered. */
void chunk_index_erase(struct chunk_index *index, struct chunk_entry *entry);
uint64_t chunk_index_count(const struct chunk_index *index);
size_t chunk_index_bytes(const struct chunk_index *index);

/* The raw slots of one shard, empty ones included; valid until the next put or erase. */
const struct chunk_entry *chunk_index_shard(const struct chunk_index *index, unsigned shard,
                                            size_t *ret_count);
/* Order-independent hash of all entries: equal indexes, equal hashes. */
uint64_t chunk_index_hash(const struct chunk_index *index);
