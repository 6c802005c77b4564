/* An exchange becomes a request: target, authentication, operation, authorisation, bucket, body.
 *
 * Nothing of the body is looked at before the headers were authenticated, and nothing is committed
 * before the body was complete and every signature over it was right: op->finish is the only place
 * that may commit, and it runs after the checks in s3_end. */
#include "gateway/s3_request.h"

#include <stdlib.h>

#include "gateway/aws_chunked.h"
#include "gateway/checksum.h"
#include "gateway/gateway_state.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { REQUEST_ARENA_MAX = 8 * 1024 * 1024 };

/* GETs reach this point tens of thousands of times a second: the id costs no system call. */
static void make_request_id(struct s3_request *r)
{
    struct chunk_id id = chunk_id_new(0);
    uint64_t mixed = (id.hi ^ (id.lo * 0x9E3779B97F4A7C15ULL)) * 0xBF58476D1CE4E5B9ULL;
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(mixed >> (8 * i));
    }
    gfs_hex_encode(bytes, sizeof bytes, r->request_id);
}

static bool lists_aws_chunked(struct gfs_slice encoding)
{
    while (encoding.len > 0) {
        const char *comma = memchr(encoding.ptr, ',', encoding.len);
        size_t len = comma == NULL ? encoding.len : (size_t)(comma - encoding.ptr);
        if (gfs_slice_case_eq(gfs_trim(gfs_slice_of(encoding.ptr, len)),
                              GFS_SLICE_LITERAL("aws-chunked"))) {
            return true;
        }
        len += comma == NULL ? 0 : 1;
        encoding = gfs_slice_of(encoding.ptr + len, encoding.len - len);
    }
    return false;
}

static enum s3_err setup_chunked(struct s3_request *r, struct s3_body_state *body,
                                 const char **ret_message)
{
    struct gfs_slice text = s3_header(r, "x-amz-decoded-content-length");
    if (text.ptr == NULL) {
        *ret_message = "Missing required header for this request: x-amz-decoded-content-length";
        return S3_MissingContentLength;
    }
    if (gfs_parse_u64(text, GFS_OBJECT_SIZE_MAX, &body->length) != GFS_OK) {
        *ret_message = "x-amz-decoded-content-length is not a valid length";
        return S3_InvalidArgument;
    }
    struct auth_result auth = r->auth;
    if (auth.payload == AUTH_PAYLOAD_SHA256 || auth.payload == AUTH_PAYLOAD_UNSIGNED) {
        auth.payload = AUTH_PAYLOAD_UNSIGNED_TRAILER;
    }
    struct gfs_slice trailer = s3_header(r, "x-amz-trailer");
    body->chunked = aws_chunked_new(&auth, body->length, trailer);
    return S3_OK;
}

static enum s3_err setup_body(struct s3_request *r, const char **ret_message)
{
    struct s3_body_state *body = gfs_arena_alloc(&r->arena, sizeof *body);
    GFS_ASSERT(body != NULL);
    r->body_state = body;
    if (r->auth.payload == AUTH_PAYLOAD_SHA256) {
        body->has_sha256 = true;
        gfs_digest_init(&body->sha256, GFS_SHA256);
    }
    bool is_stream = r->op->body == S3_BODY_STREAM;
    bool is_chunked = r->auth.payload == AUTH_PAYLOAD_CHUNKS ||
                      r->auth.payload == AUTH_PAYLOAD_CHUNKS_TRAILER ||
                      r->auth.payload == AUTH_PAYLOAD_UNSIGNED_TRAILER ||
                      lists_aws_chunked(s3_header(r, "content-encoding"));
    if (is_chunked && r->op->body != S3_BODY_NONE) {
        return setup_chunked(r, body, ret_message);
    }
    if (is_stream && !r->http->has_content_length) {
        return S3_MissingContentLength;
    }
    body->length = r->http->content_length;
    if (r->op->body == S3_BODY_XML && body->length > GFS_XML_BODY_MAX) {
        *ret_message = "The request body is larger than this operation accepts.";
        return S3_MaxMessageLengthExceeded;
    }
    return S3_OK;
}

static enum s3_err begin_checks(struct s3_request *r, const char **ret_message)
{
    struct auth_options options = {
        .keys = r->gw->keys,
        .now_s = gfs_wall_ms() / 1000,
        .region = gfs_slice_str(r->gw->options.region),
        .is_region_strict = r->gw->options.is_region_strict,
    };
    enum s3_err err = auth_verify(&options, r->http, &r->arena, &r->auth, &r->auth_detail);
    if (err != S3_OK) {
        *ret_message = r->auth_detail.message;
        return err;
    }
    err = s3_route(r, &r->op, ret_message);
    if (err != S3_OK) {
        /* an unknown requester learns nothing about what exists */
        return r->auth.is_anonymous ? S3_AccessDenied : err;
    }
    err = s3_authorize(r->op, &r->auth);
    if (err != S3_OK) {
        return err;
    }
    if ((r->op->flags & S3_NEEDS_BUCKET) != 0 &&
        r->gw->options.meta->ops->bucket(r->gw->options.meta, r->bucket, &r->bucket_rec) !=
            GFS_OK) {
        return S3_NoSuchBucket;
    }
    return setup_body(r, ret_message);
}

static void s3_begin(void *arg, struct http_exchange *x)
{
    struct s3_request *r = gfs_alloc(sizeof *r);
    r->gw = arg;
    atomic_fetch_add(&r->gw->live_requests, 1);
    r->x = x;
    r->loop = http_exchange_loop(x);
    r->http = http_exchange_request(x);
    r->start_ns = gfs_monotonic_ns();
    gfs_arena_init(&r->arena, REQUEST_ARENA_MAX);
    gfs_buf_init(&r->body, GFS_XML_BODY_MAX);
    make_request_id(r);
    http_exchange_set_data(x, r);
    if (s3_reserved(r)) {
        return;
    }
    if (r->http->method != HTTP_GET && r->http->method != HTTP_HEAD) {
        s3_request_detach(r); /* operations that write keep slices of headers across waits */
    }
    const char *message = NULL;
    enum s3_err err = s3_target_parse(r);
    if (err == S3_OK) {
        err = begin_checks(r, &message);
    }
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    if (r->op->start != NULL) {
        r->op->start(r);
    }
}

static size_t sink(void *arg, const char *ptr, size_t len)
{
    struct s3_request *r = arg;
    struct s3_body_state *body = r->body_state;
    if (r->is_replied || r->op->body == S3_BODY_NONE) {
        return len;
    }
    size_t taken = len;
    if (r->op->body == S3_BODY_STREAM) {
        taken = r->op->data(r, ptr, len);
    } else {
        gfs_buf_add(&r->body, ptr, len);
        if (r->body.is_full && body->err == S3_OK) {
            body->err = S3_MaxMessageLengthExceeded;
            body->message = "The request body is larger than this operation accepts.";
        }
    }
    body->taken += taken;
    return taken;
}

static size_t s3_body(struct http_exchange *x, const char *ptr, size_t len)
{
    struct s3_request *r = http_exchange_data(x);
    struct s3_body_state *body = r->body_state;
    if (r->is_replied || body->err != S3_OK) {
        return len;
    }
    size_t taken = 0;
    if (body->chunked != NULL) {
        enum s3_err err =
            aws_chunked_feed(body->chunked, ptr, len, sink, r, &taken, &body->message);
        if (err != S3_OK) {
            body->err = err;
            s3_fail(r, err, body->message == NULL ? NULL : "%s", body->message);
            return len;
        }
    } else {
        taken = sink(r, ptr, len);
    }
    if (body->has_sha256 && taken > 0) {
        gfs_digest_add(&body->sha256, ptr, taken);
    }
    return taken;
}

/* Content-MD5 of a buffered body; streams check theirs where the MD5 is made anyway. */
static enum s3_err check_content_md5(struct s3_request *r, const char **ret_message)
{
    struct gfs_slice text = s3_header(r, "content-md5");
    if (text.ptr == NULL || r->op->body != S3_BODY_XML) {
        return S3_OK;
    }
    uint8_t want[GFS_MD5_LEN];
    uint8_t have[GFS_MD5_LEN];
    if (gfs_base64_decode_exact(text, want, sizeof want) != GFS_OK) {
        *ret_message = "The Content-MD5 you specified is not valid.";
        return S3_InvalidDigest;
    }
    gfs_md5(gfs_buf_slice(&r->body), have);
    if (memcmp(want, have, sizeof want) != 0) {
        *ret_message = "The Content-MD5 you specified did not match what we received.";
        return S3_BadDigest;
    }
    return S3_OK;
}

static enum s3_err check_xml_checksum(struct s3_request *r, const char **ret_message)
{
    struct s3_declared_checksum declared;
    if (r->op->body != S3_BODY_XML || (r->op->flags & S3_CHECKSUM_OF_OBJECT) != 0) {
        return S3_OK;
    }
    enum s3_err err = s3_declared_checksum(r, &declared, ret_message);
    if (err == S3_OK) {
        err = checksum_from_trailer(&declared, s3_body_trailer(r), ret_message);
    }
    if (err != S3_OK || !declared.has_value) {
        return err;
    }
    struct checksum sum;
    uint8_t have[META_CHECKSUM_LEN_MAX];
    checksum_init(&sum, declared.algo);
    checksum_add(&sum, r->body.ptr, r->body.len);
    checksum_fini(&sum, have);
    if (memcmp(have, declared.value, meta_checksum_len(declared.algo)) != 0) {
        *ret_message = "The checksum you specified did not match the calculated checksum.";
        return S3_BadDigest;
    }
    return S3_OK;
}

static enum s3_err end_checks(struct s3_request *r, const char **ret_message)
{
    struct s3_body_state *body = r->body_state;
    *ret_message = body->message;
    if (body->err != S3_OK) {
        return body->err;
    }
    if (body->chunked != NULL) {
        enum s3_err err = aws_chunked_end(body->chunked, ret_message);
        if (err != S3_OK) {
            return err;
        }
    }
    if (body->has_sha256) {
        uint8_t have[GFS_SHA256_LEN];
        gfs_digest_fini(&body->sha256, have);
        if (!gfs_const_time_eq(have, r->auth.sha256, sizeof have)) {
            return S3_XAmzContentSHA256Mismatch;
        }
    }
    enum s3_err err = check_content_md5(r, ret_message);
    return err != S3_OK ? err : check_xml_checksum(r, ret_message);
}

static void s3_end(struct http_exchange *x)
{
    struct s3_request *r = http_exchange_data(x);
    if (r->is_replied) {
        return;
    }
    const char *message = NULL;
    enum s3_err err = end_checks(r, &message);
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    if (r->op->finish != NULL) {
        r->op->finish(r);
    }
}

static void destroy(struct s3_request *r)
{
    if (r->op != NULL) {
        if (r->op->release != NULL) {
            r->op->release(r);
        }
        gateway_count(r->gw, r->op, r->status, gfs_monotonic_ns() - r->start_ns);
    }
    if (r->body_state != NULL) {
        aws_chunked_free(r->body_state->chunked);
    }
    gfs_buf_fini(&r->body);
    gfs_buf_fini(&r->reply_bytes);
    gfs_arena_fini(&r->arena);
    struct gateway *gw = r->gw;
    free(r);
    atomic_fetch_sub(&gw->live_requests, 1); /* last: the gateway may go now */
}

static void s3_closed(struct http_exchange *x, bool aborted)
{
    struct s3_request *r = http_exchange_data(x);
    if (aborted && !r->is_replied) {
        r->status = 499; /* only for counting: the client is gone */
    }
    r->x = NULL;
    r->is_closed = true;
    if (r->hold_count == 0) {
        destroy(r);
    }
}

void s3_hold(struct s3_request *r)
{
    if (r->hold_count++ == 0 && r->x != NULL) {
        s3_request_detach(r);
    }
}

void s3_release(struct s3_request *r)
{
    GFS_ASSERT(r->hold_count > 0);
    r->hold_count--;
    if (r->hold_count == 0 && r->is_closed) {
        destroy(r);
    }
}

void s3_resume_body(struct s3_request *r)
{
    if (r->x != NULL) {
        http_resume(r->x);
    }
}

uint64_t s3_body_length(const struct s3_request *r)
{
    return r->body_state->length;
}

struct gfs_slice s3_body_trailer(const struct s3_request *r)
{
    if (r->body_state->chunked == NULL) {
        return (struct gfs_slice){0};
    }
    return aws_chunked_trailer(r->body_state->chunked);
}

static bool is_idle(void *arg)
{
    struct gateway *gw = arg;
    return atomic_load(&gw->live_requests) == 0;
}

struct http_handler s3_request_handler(struct gateway *gw)
{
    return (struct http_handler){
        .arg = gw,
        .begin = s3_begin,
        .body = s3_body,
        .end = s3_end,
        .closed = s3_closed,
        .is_idle = is_idle,
    };
}
