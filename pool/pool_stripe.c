#include "pool/pool_stripe.h"

#include <string.h>

#include "libgoodfs/mem.h"

enum { FRAGMENT_OWNER_VERSION = 1 };

static uint32_t last_cell(unsigned k, uint32_t rest)
{
    uint32_t cell = (rest + k - 1) / k;
    return (cell + POOL_CELL_ALIGN - 1) / POOL_CELL_ALIGN * POOL_CELL_ALIGN;
}

uint32_t pool_fragment_len(unsigned k, uint32_t len)
{
    GFS_ASSERT(k >= 1 && k < POOL_WIDTH_MAX && len >= 1 && len <= GFS_CHUNK_SIZE_MAX);
    uint32_t full_row = k * POOL_CELL;
    uint32_t rest = len % full_row;
    return len / full_row * POOL_CELL + (rest == 0 ? 0 : last_cell(k, rest));
}

struct pool_row pool_row_at(unsigned k, uint32_t fragment_len, uint32_t at)
{
    GFS_ASSERT(at / k < fragment_len);
    uint32_t number = at / (k * POOL_CELL);
    struct pool_row row = {.offset = number * POOL_CELL, .chunk_offset = number * k * POOL_CELL};
    row.cell = GFS_MIN((uint32_t)POOL_CELL, fragment_len - row.offset);
    return row;
}

static bool is_sane(const struct fragment_owner *owner)
{
    unsigned width = (unsigned)owner->k + owner->m;
    if (owner->chunk_len == 0 || owner->chunk_len > GFS_CHUNK_SIZE_MAX) {
        return false;
    }
    if (owner->kind == POOL_REPLICA) {
        return owner->k == 1 && owner->m < POOL_COPIES_MAX && owner->slot == 0;
    }
    return owner->kind == POOL_EC && owner->k >= 1 && owner->m >= 1 && width <= POOL_WIDTH_MAX &&
           owner->slot < width && owner->cell == POOL_CELL;
}

enum gfs_err pool_fragment_owner_parse(struct gfs_slice owner, struct fragment_owner *ret,
                                       struct gfs_slice *ret_rest)
{
    if (owner.len == 0 || owner.ptr[0] != FRAGMENT_OWNER_VERSION) {
        bool is_older = owner.len == 0 || owner.ptr[0] == 'o' || owner.ptr[0] == 'p';
        return is_older ? GFS_NOT_FOUND : GFS_CORRUPT;
    }
    if (owner.len < FRAGMENT_OWNER_LEN) {
        return GFS_CORRUPT;
    }
    memcpy(ret, owner.ptr, sizeof *ret);
    *ret_rest = gfs_slice_of(owner.ptr + FRAGMENT_OWNER_LEN, owner.len - FRAGMENT_OWNER_LEN);
    return is_sane(ret) ? GFS_OK : GFS_CORRUPT;
}

size_t pool_fragment_owner_write(struct pool_profile profile, uint32_t slot, uint32_t chunk_len,
                                 struct gfs_slice owner, char *ret)
{
    GFS_ASSERT(owner.len <= CHUNK_OWNER_LEN_MAX - FRAGMENT_OWNER_LEN);
    struct fragment_owner head = {
        .version = FRAGMENT_OWNER_VERSION,
        .kind = (uint8_t)profile.kind,
        .k = profile.k,
        .m = profile.m,
        .slot = profile.kind == POOL_EC ? (uint8_t)slot : 0,
        .chunk_len = chunk_len,
        .cell = POOL_CELL,
    };
    memcpy(ret, &head, sizeof head);
    if (owner.len != 0) {
        memcpy(ret + sizeof head, owner.ptr, owner.len);
    }
    return sizeof head + owner.len;
}
