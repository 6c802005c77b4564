/* What the disks list of a pool's chunks, against what the map wants: for the search that compares
 * it with metadata. */
#pragma once

#include "libgoodfs/chunk_store.h"
#include "pool/pool_map.h"

struct pool;

/* Plain data. A chunk of which at least one fragment is listed. */
struct pool_audit_chunk {
    struct chunk_id id; /* as metadata knows it */
    uint64_t bytes;     /* of all its fragments */
    unsigned have;      /* different fragments or copies, wherever they are */
    unsigned need;      /* that suffice to read it */
    unsigned width;     /* that it should have */
    bool is_disk_away;  /* one is on a disk that is not there now, and may come back */
};
typedef void (*pool_audit_fn)(void *arg, const struct pool_audit_chunk *chunk);

/* The chunks of one part of the listing, in ascending order, as of one map. Memory only. Any
 * thread. Fragments of unknown groups are left out, and those that reads or the scrub found bad. */
void pool_audit_part(struct pool *pool, uint32_t part, pool_audit_fn visit, void *arg);
/* Fragments that suffice to read a chunk, and that it should have; 1 and 1 of an unknown group. Any
 * thread. */
void pool_audit_shape(struct pool *pool, struct chunk_id id, unsigned *ret_need,
                      unsigned *ret_width);
/* Every disk that is neither failed nor removed is there and lacks nothing. Any thread. */
bool pool_audit_is_whole(struct pool *pool);
/* The first disk that was neither removed nor given up and is not there: its path in the map.
 * false: there is none. ret: POOL_PATH_LEN_MAX. Any thread. */
bool pool_audit_missing(struct pool *pool, char *ret);
/* Chunks that repair found too little of, whether or not metadata refers to them: what a write that
 * was cut off by a kill leaves behind is among them. Any thread. */
uint64_t pool_audit_losses(struct pool *pool);
/* By number: what that disk held had to be made up for without it, or has to be. Not one that is
 * away, or was drained; nor one that failed and is in use again. Any thread. */
void pool_audit_given_up(struct pool *pool, bool ret[POOL_DISKS_MAX]);
