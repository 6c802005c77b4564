#include "metad/row.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

enum { MALLOC_OVERHEAD = 16 };

struct meta_row {
    atomic_uint ref_count;
    uint32_t len;
    char bytes[];
};

struct meta_row *row_new(size_t len)
{
    GFS_ASSERT(len < UINT32_MAX);
    struct meta_row *row = malloc(sizeof *row + len);
    GFS_ASSERT(row != NULL);
    atomic_init(&row->ref_count, 1);
    row->len = (uint32_t)len;
    return row;
}

struct meta_row *row_copy(struct gfs_slice bytes)
{
    struct meta_row *row = row_new(bytes.len);
    if (bytes.len != 0) {
        memcpy(row->bytes, bytes.ptr, bytes.len);
    }
    return row;
}

struct meta_row *row_ref(struct meta_row *row)
{
    if (row != NULL) {
        atomic_fetch_add_explicit(&row->ref_count, 1, memory_order_relaxed);
    }
    return row;
}

void meta_row_unref(struct meta_row *row)
{
    if (row != NULL && atomic_fetch_sub_explicit(&row->ref_count, 1, memory_order_acq_rel) == 1) {
        free(row);
    }
}

char *row_mutable(struct meta_row *row)
{
    GFS_ASSERT(atomic_load_explicit(&row->ref_count, memory_order_relaxed) == 1);
    return row->bytes;
}

size_t row_size(const struct meta_row *row)
{
    return row == NULL ? 0 : sizeof *row + row->len + MALLOC_OVERHEAD;
}

struct gfs_slice meta_row_bytes(const struct meta_row *row)
{
    return gfs_slice_of(row->bytes, row->len);
}
