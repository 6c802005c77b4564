/* Replies: from struct http_reply to what the library sends, or to text where it cannot. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/http_impl.h"
#include "libgoodfs/buf.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/text.h"

static bool is_bodyless(int status)
{
    return status == MHD_HTTP_NO_CONTENT || status == MHD_HTTP_NOT_MODIFIED;
}

/* ---- headers ---- */

static bool is_own_header(struct gfs_slice name)
{
    return gfs_slice_case_eq(name, GFS_SLICE_LITERAL("connection")) ||
           gfs_slice_case_eq(name, GFS_SLICE_LITERAL("content-length")) ||
           gfs_slice_case_eq(name, GFS_SLICE_LITERAL("date")) ||
           gfs_slice_case_eq(name, GFS_SLICE_LITERAL("transfer-encoding"));
}

/* No header may start another one, or end the head. */
static bool is_sendable(const struct http_reply_header *header)
{
    for (size_t i = 0; i < header->value.len; i++) {
        char c = header->value.ptr[i];
        if (c == '\r' || c == '\n' || c == '\0') {
            return false;
        }
    }
    for (size_t i = 0; i < header->name.len; i++) {
        unsigned char c = (unsigned char)header->name.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == ':') {
            return false;
        }
    }
    return header->name.len != 0 && !is_own_header(header->name);
}

static void add_header(struct http_exchange *x, struct MHD_Response *response,
                       const struct http_reply_header *header)
{
    char text[1024];
    struct gfs_slice name = header->name;
    struct gfs_slice value = header->value;
    if (value.len == 0) {
        value = GFS_SLICE_LITERAL(" "); /* the library refuses empty values; trimmed by readers */
    }
    char *copy = text;
    if (name.len + value.len + 2 > sizeof text) {
        copy = gfs_arena_alloc(&x->arena, name.len + value.len + 2);
        if (copy == NULL) {
            return;
        }
    }
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = '\0';
    char *value_copy = copy + name.len + 1;
    memcpy(value_copy, value.ptr, value.len);
    value_copy[value.len] = '\0';
    (void)MHD_add_response_header(response, copy, value_copy);
}

/* ---- streams ---- */

/* The client must see a broken transfer at once, not a close it may take for the end. */
static void reset_on_close(struct http_conn *conn)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

static ssize_t read_stream(void *cls, uint64_t offset, char *buf, size_t size)
{
    struct http_exchange *x = cls;
    if (x->is_aborted || x->conn->loop->is_dead) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    int64_t n = x->read(x->read_arg, offset, buf, size);
    if (n < 0) {
        reset_on_close(x->conn);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    GFS_ASSERT((uint64_t)n <= size);
    if (n == 0) {
        http_conn_suspend(x);
    }
    return (ssize_t)n;
}

enum gfs_err http_reply_collect(struct http_exchange *x)
{
    if (x->response == NULL) {
        return GFS_IO;
    }
    while (x->collected_len < x->collect_len) {
        int64_t n = x->read(x->read_arg, x->collected_len, x->collected + x->collected_len,
                            (size_t)(x->collect_len - x->collected_len));
        if (n < 0) {
            reset_on_close(x->conn);
            return GFS_IO;
        }
        if (n == 0) {
            return GFS_AGAIN;
        }
        GFS_ASSERT((uint64_t)n <= x->collect_len - x->collected_len);
        x->collected_len += (uint64_t)n;
    }
    x->collected = NULL; /* the response's, which frees it */
    return GFS_OK;
}

/* ---- building ---- */

static struct MHD_Response *from_bytes(const char *ptr, uint64_t len,
                                       enum MHD_ResponseMemoryMode mode)
{
    return MHD_create_response_from_buffer((size_t)len, (void *)(uintptr_t)ptr, mode);
}

static struct MHD_Response *build_stream(struct http_exchange *x, const struct http_reply *reply)
{
    x->read = reply->read;
    x->read_arg = reply->arg;
    if (reply->length <= HTTP_COLLECT_MAX) {
        /* Head and body in one segment and one call, instead of a head alone and a block after. */
        x->collect_len = reply->length;
        x->collected = gfs_alloc_aligned(64, (size_t)reply->length);
        return from_bytes(x->collected, reply->length, MHD_RESPMEM_MUST_FREE);
    }
    uint64_t block_size = GFS_MIN(reply->length, (uint64_t)HTTP_BLOCK_SIZE);
    return MHD_create_response_from_callback(reply->length, (size_t)block_size, read_stream, x,
                                             NULL);
}

static uint64_t body_length(const struct http_reply *reply)
{
    switch (reply->body) {
    case HTTP_BODY_BYTES:
        return reply->bytes.len;
    case HTTP_BODY_STREAM:
        return reply->length;
    case HTTP_BODY_NONE:
        break;
    }
    return reply->has_length ? reply->length : 0;
}

static struct MHD_Response *build(struct http_exchange *x, const struct http_reply *reply)
{
    struct MHD_Response *response;
    if (x->request.method == HTTP_HEAD || is_bodyless(reply->status)) {
        /* Only the length is used: nothing of the buffer is sent for HEAD, 204 and 304. */
        response = from_bytes("", body_length(reply), MHD_RESPMEM_PERSISTENT);
    } else if (reply->body == HTTP_BODY_STREAM && reply->length != 0) {
        response = build_stream(x, reply);
    } else if (reply->body == HTTP_BODY_BYTES) {
        response = from_bytes(reply->bytes.ptr, reply->bytes.len, MHD_RESPMEM_PERSISTENT);
    } else {
        response = from_bytes("", 0, MHD_RESPMEM_PERSISTENT);
    }
    GFS_ASSERT(response != NULL);
    for (uint32_t i = 0; i < reply->header_count; i++) {
        if (is_sendable(&reply->headers[i])) {
            add_header(x, response, &reply->headers[i]);
        }
    }
    if (reply->must_close ||
        atomic_load_explicit(&x->conn->loop->server->is_stopping, memory_order_relaxed)) {
        (void)MHD_add_response_header(response, "Connection", "close");
    }
    return response;
}

static struct gfs_slice serialise(struct http_exchange *x, const struct http_reply *reply)
{
    struct gfs_buf text;
    char date[GFS_HTTP_DATE_LEN + 1];
    gfs_buf_init(&text, 2 * HTTP_CUT_BYTES_MAX);
    gfs_http_date(gfs_wall_ms() / 1000, date);
    gfs_buf_printf(&text, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\n", reply->status,
                   MHD_get_reason_phrase_for((unsigned)reply->status), date);
    for (uint32_t i = 0; i < reply->header_count; i++) {
        if (is_sendable(&reply->headers[i])) {
            gfs_buf_add_slice(&text, reply->headers[i].name);
            gfs_buf_add_str(&text, ": ");
            gfs_buf_add_slice(&text, reply->headers[i].value);
            gfs_buf_add_str(&text, "\r\n");
        }
    }
    if (reply->status != MHD_HTTP_NO_CONTENT) {
        gfs_buf_printf(&text, "Content-Length: %llu\r\n", (unsigned long long)body_length(reply));
    }
    gfs_buf_add_str(&text, "\r\n");
    if (reply->body == HTTP_BODY_BYTES && x->request.method != HTTP_HEAD &&
        !is_bodyless(reply->status)) {
        gfs_buf_add_slice(&text, reply->bytes);
    }
    struct gfs_slice copy = gfs_arena_copy(&x->arena, gfs_buf_slice(&text));
    gfs_buf_fini(&text);
    return copy;
}

/* ---- sending ---- */

/* Bytes of the request's body that the handler has not seen; UINT64_MAX: as many as it likes. */
static uint64_t body_rest(const struct http_exchange *x)
{
    if (x->phase == HTTP_PHASE_END) {
        return 0;
    }
    return x->request.is_chunked ? UINT64_MAX : x->request.content_length - x->body_taken;
}

static enum http_way choose_way(const struct http_exchange *x, const struct http_reply *reply)
{
    bool is_beginning = x->phase == HTTP_PHASE_BEGIN;
    if (is_beginning && x->request.expects_continue) {
        return HTTP_WAY_AT_ONCE; /* or the library would ask for the body first */
    }
    if (body_rest(x) <= HTTP_DRAIN_MAX) {
        return HTTP_WAY_AFTER_BODY;
    }
    if (reply->body == HTTP_BODY_NONE ||
        (reply->body == HTTP_BODY_BYTES && reply->bytes.len <= HTTP_CUT_BYTES_MAX)) {
        return HTTP_WAY_CUT;
    }
    return is_beginning ? HTTP_WAY_AT_ONCE : HTTP_WAY_ABORT;
}

/* A reply from outside the handler's callbacks, while the library waits for body. */
static void push(struct http_exchange *x)
{
    if (x->way == HTTP_WAY_ABORT) {
        http_conn_abort(x->conn);
    } else if (x->is_suspended) {
        http_conn_wake(x);
    } else if (x->way == HTTP_WAY_CUT &&
               !(x->request.expects_continue && x->conn->loop->turn < x->begin_turn + 2)) {
        http_conn_cut(x); /* else the 100 is still to be sent; the first body byte brings us back */
    }
}

void http_reply(struct http_exchange *x, const struct http_reply *reply)
{
    GFS_ASSERT(x->way == HTTP_WAY_NONE);
    GFS_ASSERT(x->phase == HTTP_PHASE_BEGIN || x->phase == HTTP_PHASE_BODY ||
               x->phase == HTTP_PHASE_END);
    x->way = choose_way(x, reply);
    x->status = (unsigned)reply->status;
    if (x->way == HTTP_WAY_CUT) {
        x->cut = serialise(x, reply);
        if (x->cut.ptr == NULL) {
            x->way = HTTP_WAY_ABORT;
        }
    } else if (x->way != HTTP_WAY_ABORT) {
        x->response = build(x, reply);
        if (x->way == HTTP_WAY_AT_ONCE && x->collected != NULL && http_reply_collect(x) != GFS_OK) {
            x->way = HTTP_WAY_ABORT; /* it would have to wait, and there is no second call */
        }
    }
    if (!x->is_in_handler) {
        push(x);
    }
}

void http_reply_refusal(struct http_exchange *x, struct http_refusal refusal)
{
    struct http_loop *loop = x->conn->loop;
    unsigned long long id = ((unsigned long long)gfs_wall_ms() << 16) |
                            (atomic_fetch_add(&loop->server->request_ids, 1) & 0xffff);
    char id_text[20];
    (void)snprintf(id_text, sizeof id_text, "%016llX", id);
    const char *xml = gfs_arena_printf(
        &x->arena,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message>"
        "<RequestId>%s</RequestId></Error>",
        s3_err_code(refusal.err), refusal.message, id_text);
    struct http_reply_header headers[] = {
        {GFS_SLICE_LITERAL("Content-Type"), GFS_SLICE_LITERAL("application/xml")},
        {GFS_SLICE_LITERAL("x-amz-request-id"), gfs_slice_str(id_text)},
    };
    if (gfs_slice_eq_str(x->request.method_text, "HEAD")) {
        x->request.method = HTTP_HEAD;
    }
    x->way = HTTP_WAY_AT_ONCE;
    x->status = (unsigned)s3_err_status(refusal.err);
    x->response = build(x, &(struct http_reply){.status = s3_err_status(refusal.err),
                                                .headers = headers,
                                                .header_count = GFS_COUNT(headers),
                                                .body = HTTP_BODY_BYTES,
                                                .bytes = gfs_slice_str(xml),
                                                .must_close = true});
    char peer[96];
    gfs_log(GFS_LOG_INFO, "req=%s peer=%s status=%u err=%s msg=\"%s\"", id_text,
            gfs_log_quote(gfs_slice_str(x->conn->peer), peer, sizeof peer), x->status,
            s3_err_code(refusal.err), refusal.message);
}

void http_reply_discard(struct http_exchange *x)
{
    if (x->response != NULL) {
        MHD_destroy_response(GFS_TAKE(x->response)); /* and the bytes it collected */
    }
    x->collected = NULL;
}
