/* Conditional reads and ranges: pure functions over headers. */
#pragma once

#include "gateway/s3.h"

/* The four conditions of a read in the order of RFC 9110 section 13.2.2; prefix is "" for the
 * request's own headers and "x-amz-copy-source-" for those of a copy (where nothing is 304).
 * S3_OK, S3_PreconditionFailed, S3_NotModified. */
enum s3_err s3_read_condition(const struct s3_request *r, const char *prefix,
                              const struct meta_object *object);

/* Plain data. */
struct s3_range {
    bool is_partial;
    uint64_t start, len;
};

/* A single "bytes=" range. Absent, malformed or multiple: the whole object, as S3 does.
 * S3_InvalidRange when it cannot be satisfied. */
enum s3_err s3_range_parse(struct gfs_slice header, uint64_t size, struct s3_range *ret);
/* "bytes=a-b" of a copy source: both ends, inside the source. S3_InvalidArgument, S3_InvalidRange.
 */
enum s3_err s3_copy_range_parse(struct gfs_slice header, uint64_t size, struct s3_range *ret);
/* True when If-Range is absent or holds, so that Range counts. */
bool s3_if_range_holds(const struct s3_request *r, const struct meta_object *object);
