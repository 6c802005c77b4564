#include "pool/pool_rows.h"

#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"

void pool_rows_init(struct pool_rows *rows, struct pool_profile profile, const struct ec *coder)
{
    bool is_ec = profile.kind == POOL_EC;
    GFS_ASSERT(is_ec == (coder != NULL));
    *rows = (struct pool_rows){
        .coder = coder, .k = is_ec ? profile.k : 1, .m = is_ec ? profile.m : 0};
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

/* The data cells are `cell` bytes each from `data` on. */
static void make_ready(struct pool_rows *rows, const uint8_t *data, uint32_t cell)
{
    GFS_ASSERT(rows->cell == 0);
    rows->cell = cell;
    if (rows->coder == NULL) {
        for (unsigned i = 0; i < POOL_WIDTH_MAX; i++) {
            rows->cells[i] = data;
        }
        return;
    }
    uint8_t *parity[POOL_WIDTH_MAX];
    need_buffer(rows);
    for (unsigned i = 0; i < rows->k; i++) {
        rows->cells[i] = data + (size_t)i * cell;
    }
    for (unsigned i = 0; i < rows->m; i++) {
        parity[i] = rows->buffer + row_size(rows) + (size_t)i * POOL_CELL;
        rows->cells[rows->k + i] = parity[i];
    }
    ec_encode(rows->coder, cell, rows->cells, parity);
}

size_t pool_rows_add(struct pool_rows *rows, const void *ptr, size_t len)
{
    if (rows->cell != 0 || len == 0) {
        return 0;
    }
    size_t size = row_size(rows);
    size_t taken = GFS_MIN(len, size - rows->fill);
    rows->total += (uint32_t)taken;
    if (rows->fill == 0 && (taken == size || rows->coder == NULL)) {
        rows->is_borrowed = true;
        make_ready(rows, ptr, (uint32_t)(taken / rows->k));
        return taken;
    }
    need_buffer(rows);
    memcpy(rows->buffer + rows->fill, ptr, taken);
    rows->fill += (uint32_t)taken;
    if (rows->fill == size) {
        rows->fill = 0;
        make_ready(rows, rows->buffer, POOL_CELL);
    }
    return taken;
}

void pool_rows_seal(struct pool_rows *rows)
{
    if (rows->fill == 0) {
        return;
    }
    GFS_ASSERT(rows->coder != NULL);
    uint32_t cell = pool_fragment_len(rows->k, rows->fill);
    memset(rows->buffer + rows->fill, 0, (size_t)cell * rows->k - rows->fill);
    rows->fill = 0;
    make_ready(rows, rows->buffer, cell);
}

void pool_rows_keep(struct pool_rows *rows)
{
    if (rows->cell == 0 || !rows->is_borrowed) {
        return;
    }
    need_buffer(rows);
    memcpy(rows->buffer, rows->cells[0], (size_t)rows->cell * rows->k);
    rows->is_borrowed = false;
    unsigned count = rows->coder == NULL ? POOL_WIDTH_MAX : rows->k;
    for (unsigned i = 0; i < count; i++) {
        rows->cells[i] = rows->buffer + (rows->coder == NULL ? 0 : (size_t)i * rows->cell);
    }
}

void pool_rows_next(struct pool_rows *rows)
{
    GFS_ASSERT(rows->cell != 0);
    rows->cell = 0;
    rows->is_borrowed = false;
}
