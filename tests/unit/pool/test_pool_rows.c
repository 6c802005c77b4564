/* Rows are the same however the bytes come. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"
#include "pool/pool_rows.h"
#include "tests/unit/pool/data_rig.h"

/* What a user of rows does: keep: the pieces are overwritten as soon as they were taken; places:
 * slots whose cells are wanted in memory of the user's. */
struct way {
    bool keep;
    uint32_t places;
};

/* Gives places where the way says so; each row gets others. */
static void give_places(struct pool_rows *rows, struct way way, uint8_t *cells)
{
    for (unsigned i = 0; i < rows->k + rows->m; i++) {
        if ((way.places >> i & 1) != 0) {
            pool_rows_place(rows, i, cells + (size_t)i * POOL_CELL);
        }
    }
}

static void check_places(const struct pool_rows *rows, struct way way, const uint8_t *cells)
{
    for (unsigned i = 0; i < rows->k + rows->m; i++) {
        bool is_there = rows->cells[i] == cells + (size_t)i * POOL_CELL;
        cr_assert_eq(is_there, (way.places >> i & 1) != 0, "slot %u", i);
    }
}

/* All fragments of a chunk, back to back, from pieces of `step` bytes. */
static char *cut(struct pool_profile profile, const struct ec *coder, const char *bytes, size_t len,
                 size_t step, struct way way)
{
    uint8_t *cells = gfs_alloc_aligned(POOL_CELL_ALIGN, 6 * (size_t)POOL_CELL);
    unsigned width = pool_profile_width(profile);
    size_t size = coder == NULL ? len : pool_fragment_len(profile.k, (uint32_t)len);
    char *out = gfs_alloc(width * size);
    char *piece = gfs_alloc(step);
    struct pool_rows rows;
    pool_rows_init(&rows, profile, coder);
    size_t at = 0;
    size_t done = 0; /* bytes of each fragment */
    bool is_sealed = false;
    while (!is_sealed || rows.cell != 0) {
        size_t want = GFS_MIN(step, len - at);
        if (pool_rows_is_at_start(&rows)) {
            give_places(&rows, way, cells);
        }
        if (want > 0) {
            memcpy(piece, bytes + at, want);
            size_t taken = pool_rows_add(&rows, piece, want);
            cr_assert(taken > 0 || rows.cell != 0);
            at += taken;
        } else if (rows.cell == 0) {
            pool_rows_seal(&rows);
            is_sealed = true;
        }
        if (rows.cell != 0) {
            cr_assert_eq(pool_rows_add(&rows, piece, 1), 0, "nothing is taken beside a ready row");
            if (coder != NULL) {
                check_places(&rows, way, cells);
            }
            if (way.keep) {
                pool_rows_keep(&rows);
                memset(piece, 0xee, step);
            }
            for (unsigned i = 0; i < width; i++) {
                memcpy(out + i * size + done, rows.cells[i], rows.cell);
            }
            done += rows.cell;
            pool_rows_next(&rows);
            memset(cells, 0xdd, 6 * (size_t)POOL_CELL);
        }
    }
    cr_assert_eq(done, size);
    cr_assert_eq(rows.total, len);
    pool_rows_fini(&rows);
    free(piece);
    free(cells);
    return out;
}

/* Data cells are the chunk's bytes in order, and parity is that of each row. */
static void check_reference(struct pool_profile profile, const struct ec *coder, const char *bytes,
                            size_t len, const char *fragments)
{
    uint32_t size = pool_fragment_len(profile.k, (uint32_t)len);
    for (uint32_t at = 0; at < profile.k * size;) {
        struct pool_row row = pool_row_at(profile.k, size, at);
        const uint8_t *data[POOL_WIDTH_MAX];
        uint8_t *parity[POOL_WIDTH_MAX];
        for (unsigned i = 0; i < profile.k; i++) {
            const char *cell = fragments + (size_t)i * size + row.offset;
            data[i] = (const uint8_t *)cell;
            size_t begin = row.chunk_offset + (size_t)i * row.cell;
            for (size_t j = 0; j < row.cell; j++) {
                char expected = begin + j < len ? bytes[begin + j] : 0;
                cr_assert_eq(cell[j], expected, "length %zu slot %u row %u", len, i, row.offset);
            }
        }
        for (unsigned i = 0; i < profile.m; i++) {
            parity[i] = gfs_alloc(row.cell);
        }
        ec_encode(coder, row.cell, data, parity);
        for (unsigned i = 0; i < profile.m; i++) {
            cr_assert(memcmp(parity[i], fragments + (size_t)(profile.k + i) * size + row.offset,
                             row.cell) == 0);
            free(parity[i]);
        }
        at += profile.k * row.cell;
    }
}

Test(pool_rows, the_cells_are_the_same_however_the_bytes_come)
{
    struct pool_profile profile = {POOL_EC, 4, 2};
    struct ec *coder = NULL;
    cr_assert_eq(ec_new(4, 2, &coder), GFS_OK);
    size_t row = 4 * POOL_CELL;
    size_t lens[] = {1,      255,     257, POOL_CELL, POOL_CELL + 1,  2 * POOL_CELL + 3,
                     200000, row - 1, row, row + 1,   2 * row + 70000};
    size_t steps[] = {777, POOL_CELL, 100000, row, row + 5, 4 * row};
    static const struct way ways[] = {{false, 0},   {true, 0},    {false, 0x3f},
                                      {true, 0x3f}, {true, 0x15}, {true, 0x2a}};
    for (unsigned i = 0; i < GFS_COUNT(lens); i++) {
        char *bytes = gfs_alloc(lens[i]);
        data_rig_fill(bytes, lens[i], lens[i]);
        for (unsigned j = 0; j < GFS_COUNT(ways) * GFS_COUNT(steps); j++) {
            char *fragments = cut(profile, coder, bytes, lens[i], steps[j / GFS_COUNT(ways)],
                                  ways[j % GFS_COUNT(ways)]);
            check_reference(profile, coder, bytes, lens[i], fragments);
            free(fragments);
        }
        free(bytes);
    }
    ec_free(coder);
}

Test(pool_rows, copies_get_the_bytes_as_they_are)
{
    struct pool_profile profile = {POOL_REPLICA, 1, 2};
    size_t len = 200001;
    char *bytes = gfs_alloc(len);
    data_rig_fill(bytes, len, 3);
    size_t steps[] = {1000, POOL_CELL, 100000, len};
    for (unsigned i = 0; i < 2 * GFS_COUNT(steps); i++) {
        char *copies =
            cut(profile, NULL, bytes, len, steps[i / 2], (struct way){.keep = i % 2 == 1});
        for (unsigned j = 0; j < 3; j++) {
            cr_assert(memcmp(copies + j * len, bytes, len) == 0);
        }
        free(copies);
    }
    free(bytes);
}
