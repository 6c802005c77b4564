/* Decoder of aws-chunked bodies, all three forms. A push parser: any split of the input gives the
 * same result. Owned by one thread. Not: HTTP's own chunked coding (the server has undone that). */
#pragma once

#include "gateway/auth.h"

struct aws_chunked; /* heap, about 1 KiB */

/* auth: signing key, seed and scope for the signed forms; decoded_len:
 * x-amz-decoded-content-length. declared_trailer: lower-case name from x-amz-trailer, empty when
 * none. Never NULL. */
struct aws_chunked *aws_chunked_new(const struct auth_result *auth, uint64_t decoded_len,
                                    struct gfs_slice declared_trailer);
void aws_chunked_free(struct aws_chunked *chunked); /* NULL allowed */

/* Takes input; each run of payload bytes goes to sink, which answers how many it took (fewer:
 * decoding pauses there, and *ret_taken says how much input was used). Payload of a signed chunk is
 * handed on before its signature is known: nothing may be committed before aws_chunked_end. Chunk
 * headers, extensions and trailers are bounded; sizes over what is left of decoded_len are refused.
 * S3_OK, IncompleteBody, InvalidRequest, InvalidArgument, SignatureDoesNotMatch, MalformedTrailer
 * is MalformedPOSTRequest's cousin: InvalidRequest. */
enum s3_err aws_chunked_feed(struct aws_chunked *chunked, const char *ptr, size_t len,
                             size_t (*sink)(void *arg, const char *ptr, size_t len), void *arg,
                             size_t *ret_taken, const char **ret_message);
/* At the end of the body. S3_OK only when the final chunk, the trailer (if declared) and, for
 * signed forms, every signature were there and right, and exactly decoded_len bytes came out. */
enum s3_err aws_chunked_end(struct aws_chunked *chunked, const char **ret_message);
/* Value of the declared trailer after aws_chunked_end, e.g. base64 of a CRC32; empty when none. */
struct gfs_slice aws_chunked_trailer(const struct aws_chunked *chunked);
