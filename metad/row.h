/* A shared, reference-counted row: encoded bytes as record.h makes them. Immutable once it is
 * visible to a second thread. */
#pragma once

#include "libgoodfs/meta_service.h"

/* One reference, bytes not yet filled. */
struct meta_row *row_new(size_t len);
struct meta_row *row_copy(struct gfs_slice bytes);
struct meta_row *row_ref(struct meta_row *row);
/* To fill a row that nobody else sees yet. */
char *row_mutable(struct meta_row *row);
/* Bytes of memory it takes. */
size_t row_size(const struct meta_row *row);

static inline void row_unref_ptr(struct meta_row **row)
{
    meta_row_unref(*row);
}
