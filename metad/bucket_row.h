/* The row of a bucket, and its settings. Format: schema/metadata-records.md. */
#pragma once

#include "libgoodfs/buf.h"
#include "libgoodfs/meta_service.h"

enum { BUCKET_ROW_LEN_MAX = 256 };

/* Without the id, which is the row's key. */
void bucket_row_encode(struct gfs_buf *out, const struct meta_bucket *bucket);
/* CORRUPT; UNSUPPORTED: a newer version, or a setting this one does not know. */
enum gfs_err bucket_row_decode(struct gfs_slice row_key, struct gfs_slice value,
                               struct meta_bucket *ret) GFS_MUST_CHECK;
/* Changes one setting; an empty value is the default. UNSUPPORTED: no such setting; INVALID: the
 * value is too long, or holds what is no text. Nothing is changed then. */
enum gfs_err bucket_row_set(struct meta_bucket *bucket, unsigned setting,
                            struct gfs_slice value) GFS_MUST_CHECK;
