/* Where the bytes of a striped chunk are, and what a fragment says of itself. Pure.
 *
 * A chunk of L bytes is rows of k cells; cells are POOL_CELL bytes, those of the last row shorter:
 * the row's bytes / k, rounded up to POOL_CELL_ALIGN. All fragments of a chunk have the same
 * length, and from that length alone the rows follow. The padded length k * fragment length is what
 * readers see as the chunk's; the padding is zeros. */
#pragma once

#include <stdint.h>

#include "libgoodfs/chunk_store.h"
#include "libgoodfs/limits.h"
#include "pool/pool_map.h"

enum { POOL_CELL = GFS_BLOCK_SIZE, POOL_CELL_ALIGN = 64 };

/* Bytes of each fragment of a chunk of `len` bytes (1..GFS_CHUNK_SIZE_MAX). */
uint32_t pool_fragment_len(unsigned k, uint32_t len);

/* Plain data. One row of a chunk. */
struct pool_row {
    uint32_t offset;       /* of its cells in the fragments */
    uint32_t cell;         /* bytes of each cell */
    uint32_t chunk_offset; /* of its first byte in the chunk */
};
/* The row that holds byte `at` (< k * fragment_len) of the chunk. */
struct pool_row pool_row_at(unsigned k, uint32_t fragment_len, uint32_t at);

/* What a fragment's owner begins with, on disk (schema/segment-format.md). Plain data. */
struct fragment_owner {
    uint8_t version; /* 1 */
    uint8_t kind;    /* enum pool_profile_kind */
    uint8_t k, m;
    uint8_t slot; /* EC; 0 for copies */
    uint8_t reserved[3];
    uint32_t chunk_len; /* bytes of the chunk without padding */
    uint32_t cell;      /* POOL_CELL */
};
_Static_assert(sizeof(struct fragment_owner) == 16, "on disk");
enum { FRAGMENT_OWNER_LEN = 16 };
/* GFS_CORRUPT: not one; NOT_FOUND: a record of a store without a pool. rest: the gateway's owner.
 */
enum gfs_err pool_fragment_owner_parse(struct gfs_slice owner, struct fragment_owner *ret,
                                       struct gfs_slice *ret_rest) GFS_MUST_CHECK;
/* Writes it and the gateway's owner (at most CHUNK_OWNER_LEN_MAX - FRAGMENT_OWNER_LEN bytes) to
 * ret, which has room for CHUNK_OWNER_LEN_MAX; answers the length. */
size_t pool_fragment_owner_write(struct pool_profile profile, uint32_t slot, uint32_t chunk_len,
                                 struct gfs_slice owner, char *ret);
