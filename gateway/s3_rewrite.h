/* Stores a byte range of an object anew, under another storage class, for copies that cannot share
 * the chunks. Reads on a worker, writes from the loop, a buffer at a time. Loop thread. */
#pragma once

#include "gateway/ingest.h"

struct s3_rewrite;

/* Plain data. Everything it points to lives as long as the request. */
struct s3_rewrite_options {
    const struct meta_chunk_ref *chunks;
    uint32_t chunk_count;
    uint64_t start, len;          /* the range, inside the chunks; len is at least 1 */
    struct ingest_options ingest; /* size and on_room are filled in */
};

/* GFS_NOT_FOUND: a chunk is gone, read the metadata again; BUSY, CORRUPT. */
enum gfs_err s3_rewrite_begin(struct s3_request *r, const struct s3_rewrite_options *options,
                              struct s3_rewrite **ret) GFS_MUST_CHECK;
/* after(r, err) follows unless the request was failed or its client has left. */
void s3_rewrite_run(struct s3_rewrite *rewrite,
                    void (*after)(struct s3_request *r, enum gfs_err err));
/* Valid when after was called with GFS_OK. */
const struct ingest_result *s3_rewrite_result(const struct s3_rewrite *rewrite);
void s3_rewrite_free(struct s3_rewrite *rewrite); /* NULL allowed */
