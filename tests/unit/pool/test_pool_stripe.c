#include <criterion/criterion.h>
#include <string.h>

#include "pool/pool_stripe.h"

static const unsigned data_cells[] = {1, 2, 3, 4, 8, 10, 31};

/* Lengths around everything that is rounded. */
static uint32_t length(unsigned k, unsigned i)
{
    uint32_t row = k * POOL_CELL;
    const uint32_t edges[] = {1,       POOL_CELL_ALIGN,     POOL_CELL,         row,
                              2 * row, 3 * row + POOL_CELL, GFS_CHUNK_SIZE_MAX};
    uint32_t edge = edges[i / 3];
    uint32_t len = edge - 1 + i % 3;
    return len == 0 ? 1 : len > GFS_CHUNK_SIZE_MAX ? GFS_CHUNK_SIZE_MAX : len;
}

Test(pool_stripe, rows_cover_the_chunk_without_gap_and_waste_little)
{
    for (size_t n = 0; n < sizeof data_cells / sizeof *data_cells; n++) {
        unsigned k = data_cells[n];
        for (unsigned i = 0; i < 21; i++) {
            uint32_t len = length(k, i);
            uint32_t fragment = pool_fragment_len(k, len);
            cr_assert_geq((uint64_t)fragment * k, len);
            cr_assert_lt((uint64_t)fragment * k - len, (uint64_t)k * POOL_CELL_ALIGN);
            uint32_t at = 0;
            uint32_t offset = 0;
            while (at < fragment * k) {
                struct pool_row row = pool_row_at(k, fragment, at);
                cr_assert_eq(row.chunk_offset, at);
                cr_assert_eq(row.offset, offset);
                uint32_t last = at + row.cell * k - 1;
                struct pool_row same = pool_row_at(k, fragment, last);
                cr_assert(memcmp(&row, &same, sizeof row) == 0);
                at += row.cell * k;
                offset += row.cell;
            }
            cr_assert_eq(offset, fragment);
        }
    }
}

Test(pool_stripe, an_owner_is_read_back_as_written)
{
    char bytes[CHUNK_OWNER_LEN_MAX];
    struct pool_profile profile = {.kind = POOL_EC, .k = 4, .m = 2};
    size_t len = pool_fragment_owner_write(profile, 5, 1234567, gfs_slice_str("oowner"), bytes);
    struct fragment_owner owner;
    struct gfs_slice rest;
    cr_assert_eq(pool_fragment_owner_parse(gfs_slice_of(bytes, len), &owner, &rest), GFS_OK);
    cr_assert(owner.k == 4 && owner.m == 2 && owner.slot == 5 && owner.chunk_len == 1234567);
    cr_assert(gfs_slice_eq_str(rest, "oowner"));
}

Test(pool_stripe, an_owner_that_cannot_be_is_refused)
{
    char bytes[CHUNK_OWNER_LEN_MAX];
    struct pool_profile profile = {.kind = POOL_EC, .k = 4, .m = 2};
    size_t len = pool_fragment_owner_write(profile, 5, 99, gfs_slice_str(""), bytes);
    struct fragment_owner owner;
    struct gfs_slice rest;
    cr_assert_eq(pool_fragment_owner_parse(gfs_slice_of(bytes, len - 1), &owner, &rest),
                 GFS_CORRUPT);
    bytes[4] = 6; /* slot behind the last */
    cr_assert_eq(pool_fragment_owner_parse(gfs_slice_of(bytes, len), &owner, &rest), GFS_CORRUPT);
    bytes[0] = 2;
    cr_assert_eq(pool_fragment_owner_parse(gfs_slice_of(bytes, len), &owner, &rest), GFS_CORRUPT);
    cr_assert_eq(pool_fragment_owner_parse(gfs_slice_str("oolder"), &owner, &rest), GFS_NOT_FOUND);
}
