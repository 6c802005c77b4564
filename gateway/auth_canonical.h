/* The canonical request of SigV4, S3's dialect: the path is decoded and encoded exactly once, and
 * neither "//" nor "." nor ".." is touched.
 * (AWS: "Create a signed AWS API request", "Signature Calculations for the Authorization Header".)
 */
#pragma once

#include "gateway/auth_query.h"
#include "gateway/http_server.h"
#include "libgoodfs/buf.h"

/* Plain data; all borrowed. */
struct auth_canonical {
    const struct http_request *request;
    const struct auth_query *query;  /* sorted */
    bool is_presigned;               /* X-Amz-Signature is left out */
    struct gfs_slice signed_headers; /* "a;b;c": lower case, ascending, checked before */
    struct gfs_slice payload;        /* last line */
    const char *accept_encoding; /* stands for that header's value when signed; NULL: as received */
};

/* What is wrong with the signed headers, if anything. */
struct auth_unsigned {
    struct gfs_slice missing;     /* signed, but not in the request; NULL ptr: none */
    struct gfs_slice not_covered; /* in the request, had to be signed (host, x-amz-*); or NULL */
};

/* Replaces out's content. InvalidURI: a bad escape in the path. */
enum s3_err auth_canonical_build(const struct auth_canonical *in, struct gfs_buf *out,
                                 struct auth_unsigned *ret);
