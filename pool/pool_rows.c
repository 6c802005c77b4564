#include "pool/pool_rows.h"

#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"

void pool_rows_init(struct pool_rows *rows, struct pool_profile profile, const struct ec *coder)
{
    bool is_ec = profile.kind == POOL_EC;
    GFS_ASSERT(is_ec == (coder != NULL));
    *rows =
        (struct pool_rows){.coder = coder, .k = is_ec ? profile.k : 1, .m = is_ec ? profile.m : 0};
}

size_t pool_rows_size(struct pool_profile profile)
{
    return (profile.kind == POOL_EC ? pool_profile_width(profile) : 1U) * (size_t)POOL_CELL;
}

void pool_rows_fini(struct pool_rows *rows)
{
    free(GFS_TAKE(rows->buffer));
}

static size_t row_size(const struct pool_rows *rows)
{
    return (size_t)rows->k * POOL_CELL;
}

static void need_buffer(struct pool_rows *rows)
{
    if (rows->buffer == NULL) {
        rows->buffer = gfs_alloc_aligned(POOL_CELL_ALIGN, row_size(rows) + rows->m * POOL_CELL);
    }
}

/* Of a striped row. */
static uint8_t *cell_at(struct pool_rows *rows, unsigned slot)
{
    if (rows->places[slot] != NULL) {
        return rows->places[slot];
    }
    need_buffer(rows);
    return rows->buffer + (size_t)slot * POOL_CELL;
}

bool pool_rows_is_at_start(const struct pool_rows *rows)
{
    return rows->coder != NULL && rows->fill == 0 && rows->cell == 0;
}

void pool_rows_place(struct pool_rows *rows, unsigned slot, void *place)
{
    GFS_ASSERT(pool_rows_is_at_start(rows));
    GFS_ASSERT(slot < rows->k + rows->m);
    GFS_ASSERT((uintptr_t)place % POOL_CELL_ALIGN == 0);
    rows->places[slot] = place;
}

void pool_rows_unplace(struct pool_rows *rows, unsigned slot)
{
    GFS_ASSERT(slot < POOL_WIDTH_MAX);
    const uint8_t *place = GFS_TAKE(rows->places[slot]);
    if (place == NULL) {
        return;
    }
    if (rows->cell != 0) { /* parity is made of it, and the memory may be another's by now */
        rows->cells[slot] = NULL;
        return;
    }
    memcpy(cell_at(rows, slot), place, POOL_CELL);
}

/* The data cells are there. */
static void make_ready(struct pool_rows *rows, uint32_t cell)
{
    uint8_t *parity[POOL_WIDTH_MAX];
    for (unsigned i = 0; i < rows->k; i++) {
        rows->cells[i] = cell_at(rows, i);
    }
    for (unsigned i = 0; i < rows->m; i++) {
        parity[i] = cell_at(rows, rows->k + i);
        rows->cells[rows->k + i] = parity[i];
    }
    ec_encode(rows->coder, cell, rows->cells, parity);
    rows->fill = 0;
    rows->cell = cell;
}

static size_t add_to_cells(struct pool_rows *rows, const uint8_t *bytes, size_t len)
{
    size_t taken = 0;
    while (taken < len && rows->fill < row_size(rows)) {
        uint32_t at = rows->fill % POOL_CELL;
        size_t step = GFS_MIN(len - taken, (size_t)(POOL_CELL - at));
        memcpy(cell_at(rows, rows->fill / POOL_CELL) + at, bytes + taken, step);
        rows->fill += (uint32_t)step;
        taken += step;
    }
    if (rows->fill == row_size(rows)) {
        make_ready(rows, POOL_CELL);
    }
    return taken;
}

static void set_all_cells(struct pool_rows *rows, const uint8_t *bytes)
{
    for (unsigned i = 0; i < POOL_WIDTH_MAX; i++) {
        rows->cells[i] = bytes;
    }
}

size_t pool_rows_add(struct pool_rows *rows, const void *ptr, size_t len)
{
    if (rows->cell != 0 || len == 0) {
        return 0;
    }
    size_t taken = len;
    if (rows->coder == NULL) {
        taken = GFS_MIN(len, row_size(rows));
        set_all_cells(rows, ptr);
        rows->cell = (uint32_t)taken;
        rows->is_borrowed = true;
    } else {
        taken = add_to_cells(rows, ptr, len);
    }
    rows->total += (uint32_t)taken;
    return taken;
}

/* What fills whole cells from the first on becomes cells of `cell` bytes, zero padded. Bytes only
 * move to higher slots or higher up in their own, so from the last on none is written over before
 * it has moved. */
static void spread(struct pool_rows *rows, uint32_t cell)
{
    for (unsigned slot = rows->k; slot-- > 0;) {
        uint8_t *target = cell_at(rows, slot);
        size_t begin = GFS_MIN((size_t)slot * cell, (size_t)rows->fill);
        size_t end = GFS_MIN(begin + cell, (size_t)rows->fill);
        memset(target + (end - begin), 0, cell - (end - begin));
        while (end > begin) {
            size_t source = (end - 1) / POOL_CELL;
            size_t from = GFS_MAX(begin, source * POOL_CELL);
            memmove(target + (from - begin),
                    cell_at(rows, (unsigned)source) + (from - source * POOL_CELL), end - from);
            end = from;
        }
    }
}

void pool_rows_seal(struct pool_rows *rows)
{
    if (rows->fill == 0) {
        return;
    }
    GFS_ASSERT(rows->coder != NULL);
    uint32_t cell = pool_fragment_len(rows->k, rows->fill);
    spread(rows, cell);
    make_ready(rows, cell);
}

void pool_rows_keep(struct pool_rows *rows)
{
    if (rows->cell == 0 || !rows->is_borrowed) {
        return;
    }
    need_buffer(rows);
    memcpy(rows->buffer, rows->cells[0], rows->cell);
    set_all_cells(rows, rows->buffer);
    rows->is_borrowed = false;
}

void pool_rows_next(struct pool_rows *rows)
{
    GFS_ASSERT(rows->cell != 0);
    rows->cell = 0;
    rows->is_borrowed = false;
    memset(rows->places, 0, sizeof rows->places);
}
