/* Authentication: AWS Signature Version 4 by header, by query (presigned) and by POST policy.
 * Pure functions over the parsed request: no sockets, no storage. Any thread. */
#pragma once

#include "gateway/http_server.h"
#include "gateway/s3_error.h"
#include "libgoodfs/digest.h"

/* How the body is protected, from x-amz-content-sha256. */
enum auth_payload {
    AUTH_PAYLOAD_UNSIGNED,         /* UNSIGNED-PAYLOAD, or presigned without the header */
    AUTH_PAYLOAD_SHA256,           /* hex digest: `sha256` must match the whole body */
    AUTH_PAYLOAD_CHUNKS,           /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD */
    AUTH_PAYLOAD_CHUNKS_TRAILER,   /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER */
    AUTH_PAYLOAD_UNSIGNED_TRAILER, /* STREAMING-UNSIGNED-PAYLOAD-TRAILER */
};

/* Looks a secret up. Answers false for an unknown key. secret has room for 129 bytes. Any thread.
 */
struct auth_keys {
    bool (*find)(void *arg, struct gfs_slice access_key, char *ret_secret);
    void *arg;
};

struct auth_options {
    struct auth_keys keys;
    int64_t now_s;           /* Unix time */
    struct gfs_slice region; /* only compared when is_region_strict */
    bool is_region_strict;
    struct gfs_slice service; /* the scope must name it; empty = "s3" */
};

/* What a verified request may be trusted with. Plain data. */
struct auth_result {
    bool is_anonymous; /* no credentials of any kind */
    bool is_presigned;
    struct gfs_slice access_key;
    enum auth_payload payload;
    uint8_t sha256[GFS_SHA256_LEN]; /* AUTH_PAYLOAD_SHA256 */
    /* for chunk signatures */
    uint8_t signing_key[GFS_SHA256_LEN];
    char seed_signature[2 * GFS_SHA256_LEN + 1];
    char amz_date[17];
    char scope[128]; /* "20261121/us-east-1/s3/aws4_request" */
};

/* Explains a refusal; written into the error's XML. Plain data; texts in the arena. */
struct auth_detail {
    const char *message; /* which rule refused it; NULL = the code's default */
    struct gfs_slice canonical_request, string_to_sign; /* SignatureDoesNotMatch only */
    struct gfs_slice access_key, signature;
    int64_t server_time_s;
};

/* The path counts as decoded once, with an escaped '/' apart from a plain one; in the query '+' is
 * a space. Whoever routes the request must read it the same way.
 *
 * Verifies header or query authentication. S3_OK also for anonymous requests (authorisation decides
 * later). Rules N01-N05, N11-N13: two mechanisms at once, repeated Authorization, unsigned x-amz-*
 * or host headers, unsorted or empty SignedHeaders, scope that differs from the date, skew over 15
 * minutes, expiry over 7 days: each its exact error and message. If accept-encoding is signed and
 * the signature fails, it is tried again as "identity", "gzip" and "" (proxies rewrite it). */
enum s3_err auth_verify(const struct auth_options *options, const struct http_request *request,
                        struct gfs_arena *arena, struct auth_result *ret,
                        struct auth_detail *ret_detail);

/* POST form: policy is the base64 text as signed. S3_OK, InvalidAccessKeyId, SignatureDoesNotMatch,
 * AccessDenied, ... */
struct auth_post_fields {
    struct gfs_slice policy, algorithm, credential, date, signature;
};
enum s3_err auth_verify_post(const struct auth_options *options,
                             const struct auth_post_fields *fields, struct gfs_arena *arena,
                             struct auth_result *ret, struct auth_detail *ret_detail);

/* Plain data. Who signs, and for which endpoint. */
struct auth_signer {
    struct gfs_slice access_key, secret, region;
    struct gfs_slice service; /* empty = "s3" */
};
/* Signs like a client does (bench, tests, goodfsctl): adds nothing, returns the Authorization value
 * in the arena. headers must hold host, x-amz-date, x-amz-content-sha256; all are signed. NULL when
 * one is missing, the target is malformed or the arena is full. */
char *auth_sign(const struct auth_signer *signer, const struct http_request *request,
                struct gfs_arena *arena);
