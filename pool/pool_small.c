/* Small chunks of an ec group: all fragments at once, from memory. */
#include <string.h>

#include "libgoodfs/mem.h"
#include "pool/pool_state.h"

char *pool_encode_small(struct pool *pool, struct pool_profile profile, struct gfs_slice payload)
{
    GFS_ASSERT(profile.kind == POOL_EC);
    GFS_ASSERT(payload.len <= GFS_SMALL_CHUNK_MAX);
    const struct ec *coder = pool_coder(pool, profile);
    unsigned k = profile.k;
    unsigned width = pool_profile_width(profile);
    uint32_t len = pool_fragment_len(k, (uint32_t)payload.len);
    uint8_t *fragments = gfs_alloc_aligned(POOL_CELL_ALIGN, (size_t)width * len);
    uint32_t at = 0; /* in the chunk */
    while (at < payload.len) {
        struct pool_row row = pool_row_at(k, len, at);
        const uint8_t *data[POOL_WIDTH_MAX];
        uint8_t *cells[POOL_WIDTH_MAX];
        for (unsigned i = 0; i < width; i++) {
            cells[i] = fragments + (size_t)i * len + row.offset;
            data[i] = cells[i];
        }
        for (unsigned i = 0; i < k; i++) {
            uint32_t step = GFS_MIN(row.cell, (uint32_t)payload.len - at);
            memcpy(cells[i], payload.ptr + at, step);
            memset(cells[i] + step, 0, row.cell - step);
            at += step;
        }
        ec_encode(coder, row.cell, data, cells + k);
    }
    return (char *)fragments;
}
