/* The handler that turns HTTP exchanges into S3 requests (s3_request.c). */
#pragma once

#include "gateway/http_server.h"
#include "gateway/s3.h"

struct http_handler s3_request_handler(struct gateway *gw);

/* Plain data. How the body of a request comes in and what is checked at its end. */
struct s3_body_state {
    struct aws_chunked *chunked; /* NULL: plain */
    bool has_sha256;             /* of the bytes on the wire, x-amz-content-sha256 */
    struct gfs_digest sha256;
    uint64_t length; /* decoded bytes announced */
    uint64_t taken;  /* decoded bytes handed on */
    enum s3_err err; /* first error; the rest of the body is drained */
    const char *message;
};

/* Decoded bytes of the body that were announced; 0 when there is none. */
uint64_t s3_body_length(const struct s3_request *r);
/* Value of the verified aws-chunked trailer, empty when none; valid in finish. */
struct gfs_slice s3_body_trailer(const struct s3_request *r);

/* Splits target and host into bucket and key, decodes the query (s3_target.c). */
enum s3_err s3_target_parse(struct s3_request *r);
/* The operation a request names (s3_routes.c); on S3_OK *ret is never NULL. */
enum s3_err s3_route(struct s3_request *r, const struct s3_op **ret, const char **ret_message);
/* Default deny: what an authenticated or anonymous requester may do. */
enum s3_err s3_authorize(const struct s3_op *op, const struct auth_result *auth);
/* Calls visit for every operation of the route table. */
void s3_routes_each(void (*visit)(void *arg, const struct s3_op *op), void *arg);
/* Answers /_/health/... and everything else below the reserved paths. True when it replied. */
bool s3_reserved(struct s3_request *r);
/* Copies the parsed HTTP request into the arena, so that it outlives the exchange. */
void s3_request_detach(struct s3_request *r);
