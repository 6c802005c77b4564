/* Connections and the requests on them: what the library calls, in the order it calls it.
 *
 * notify(started) -> line (request line) -> call(no data) = begin -> call(data)* = body
 *   -> call(no data) = end -> completed = closed -> line ... -> notify(closed)
 * The library closes the connection when a reply is queued in the first call, refuses a reply
 * during body calls, and spins when the last call neither replies nor suspends. */
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/http_impl.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/limits.h"

static struct http_conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

static void format_peer(struct MHD_Connection *mhd, char *ret, size_t size)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char host[INET6_ADDRSTRLEN] = "?";
    ret[0] = '\0';
    if (info == NULL || info->client_addr == NULL) {
        return;
    }
    if (info->client_addr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, info->client_addr, sizeof in);
        (void)inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
        (void)snprintf(ret, size, "%s:%u", host, (unsigned)ntohs(in.sin_port));
    } else if (info->client_addr->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, info->client_addr, sizeof in6);
        (void)inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof host);
        (void)snprintf(ret, size, "[%s]:%u", host, (unsigned)ntohs(in6.sin6_port));
    }
}

bool http_conn_counts(const struct http_conn *conn, uint64_t *ret_received, uint64_t *ret_sent)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received) {
        return false;
    }
    *ret_received = info.tcpi_bytes_received;
    *ret_sent = info.tcpi_bytes_acked;
    return true;
}

static void conn_open(struct http_loop *loop, struct MHD_Connection *mhd, void **context)
{
    struct http_conn *conn = gfs_alloc(sizeof *conn);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    conn->loop = loop;
    conn->mhd = mhd;
    conn->fd = info == NULL ? -1 : info->connect_fd;
    conn->x.conn = conn;
    conn->active_ns = gfs_monotonic_ns();
    format_peer(mhd, conn->peer, sizeof conn->peer);
    conn->next = loop->conns;
    if (conn->next != NULL) {
        conn->next->prev = conn;
    }
    loop->conns = conn;
    loop->is_conn_started = true;
    *context = conn;
}

/* The exchange is over, for whatever reason. */
static void finish(struct http_exchange *x, bool is_complete)
{
    struct http_conn *conn = x->conn;
    bool is_sent = (x->phase == HTTP_PHASE_REPLY && is_complete) ||
                   (x->phase == HTTP_PHASE_LINGER && x->is_cut_sent);
    if (x->is_begun) {
        conn->loop->server->options.handler.closed(x, !is_sent);
    }
    http_reply_discard(x);
    gfs_arena_fini(&x->arena);
    *x = (struct http_exchange){.conn = conn};
    conn->request_count++;
}

static void conn_close(struct http_conn *conn)
{
    struct http_loop *loop = conn->loop;
    uint64_t received = conn->received;
    uint64_t sent = conn->sent;
    if (conn->x.phase != HTTP_PHASE_IDLE) {
        finish(&conn->x, false); /* the library gave up without saying so */
    }
    if (http_conn_counts(conn, &received, &sent)) {
        atomic_fetch_add_explicit(&loop->bytes_in, received - conn->received, memory_order_relaxed);
        atomic_fetch_add_explicit(&loop->bytes_out, sent - conn->sent, memory_order_relaxed);
    }
    if (conn->prev != NULL) {
        conn->prev->next = conn->next;
    } else {
        loop->conns = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }
    free(conn);
    atomic_fetch_sub(&loop->conn_count, 1);
    atomic_fetch_sub(&loop->server->conn_count, 1);
    http_listen_wake(loop->server);
}

void http_conn_notify(void *cls, struct MHD_Connection *mhd, void **context,
                      enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        conn_open(cls, mhd, context);
    } else if (*context != NULL) {
        conn_close(*context);
        *context = NULL;
    }
}

/* Ends the query, in the library's buffer, before its first byte: the library would make a list of
 * its parameters that nobody reads, and with thousands of them run out of the connection's memory
 * and fall silent until the client is timed out. */
static void hide_query(const char *uri)
{
    char *mark = strchr((char *)(uintptr_t)uri, '?');
    if (mark != NULL && mark[1] != '\0') {
        mark[1] = '\0';
    }
}

void *http_conn_line(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    (void)cls;
    struct http_conn *conn = conn_of(mhd);
    GFS_ASSERT(conn != NULL);
    struct http_exchange *x = &conn->x;
    GFS_ASSERT(x->phase == HTTP_PHASE_IDLE);
    gfs_arena_init(&x->arena, HTTP_ARENA_SIZE_MAX);
    x->phase = HTTP_PHASE_LINE;
    /* From here on the library cuts the target at '?' and '&' and unescapes it, all in place. */
    x->target = gfs_arena_copy(&x->arena, gfs_slice_str(uri));
    x->target_at = uri;
    if (conn->loop->server->is_raw_visible) {
        hide_query(uri);
    }
    return x;
}

/* ---- the head ---- */

static struct http_refusal malformed(void)
{
    return (struct http_refusal){
        S3_InvalidRequest,
        "The request line or a header line is malformed, folded, or does not end in CRLF.",
    };
}

static struct http_refusal too_big(void)
{
    return (struct http_refusal){S3_RequestHeaderSectionTooLarge,
                                 "The request line and headers are too large."};
}

/* Takes the head from the library's read buffer, where nothing can hide (see http_framing_split).
 * The pointers handed to us and the head's length say where it lies. */
static enum gfs_err head_from_buffer(struct http_exchange *x, const char *method,
                                     const char *version, struct http_head *head)
{
    struct gfs_slice method_text = gfs_slice_str(method);
    const size_t version_len = sizeof "HTTP/1.1" - 1;
    if (x->target_at != method + method_text.len + 1 ||
        version != x->target_at + x->target.len + 1 || strlen(version) != version_len ||
        version[version_len + 1] != '\0') {
        return GFS_INVALID;
    }
    const char *lines = version + version_len + 2;
    size_t line_len = (size_t)(lines - method);
    if (head->len < line_len || head->len > HTTP_POOL_SIZE) {
        return GFS_INVALID;
    }
    struct gfs_slice copy = gfs_arena_copy(&x->arena, gfs_slice_of(method, head->len));
    struct http_header *scratch = (struct http_header *)(void *)x->conn->loop->scratch;
    if (copy.ptr == NULL) {
        return GFS_TOO_BIG;
    }
    head->method = gfs_slice_of(copy.ptr, method_text.len);
    enum gfs_err err =
        http_framing_split((char *)(uintptr_t)copy.ptr + line_len, head->len - line_len, scratch,
                           GFS_HEADER_COUNT_MAX, &head->header_count);
    head->headers = scratch;
    return err;
}

struct gather {
    struct http_exchange *x;
    struct http_head *head;
    enum gfs_err err;
};

static enum MHD_Result gather_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                     size_t name_len, const char *value, size_t value_len)
{
    struct gather *gather = cls;
    struct http_head *head = gather->head;
    (void)kind;
    struct gfs_slice name_copy = gfs_arena_copy(&gather->x->arena, gfs_slice_of(name, name_len));
    struct gfs_slice value_copy = gfs_arena_copy(
        &gather->x->arena, gfs_slice_of(value == NULL ? "" : value, value == NULL ? 0 : value_len));
    if (name_copy.ptr == NULL || value_copy.ptr == NULL ||
        head->header_count == GFS_HEADER_COUNT_MAX) {
        gather->err = GFS_TOO_BIG;
        return MHD_NO;
    }
    http_framing_lower((char *)(uintptr_t)name_copy.ptr, name_copy.len);
    head->headers[head->header_count++] = (struct http_header){name_copy, value_copy};
    return MHD_YES;
}

/* Takes the head through the library's interface: versions from 1.0 on reject folded lines, bare LF
 * and NUL themselves (MHD_OPTION_CLIENT_DISCIPLINE_LVL). */
static enum gfs_err head_from_interface(struct http_exchange *x, const char *method,
                                        struct http_head *head)
{
    head->headers = (struct http_header *)(void *)x->conn->loop->scratch;
    head->method = gfs_arena_copy(&x->arena, gfs_slice_str(method));
    struct gather gather = {.x = x, .head = head};
    (void)MHD_get_connection_values_n(x->conn->mhd, MHD_HEADER_KIND, gather_header, &gather);
    return head->method.ptr == NULL ? GFS_TOO_BIG : gather.err;
}

static struct http_refusal read_head(struct http_exchange *x, const char *method,
                                     const char *version)
{
    struct http_conn *conn = x->conn;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct http_head head = {
        .target = x->target,
        .is_http_1_0 = strcmp(version, "HTTP/1.0") == 0,
        .len = info == NULL ? 0 : info->header_size,
    };
    x->request.method_text = gfs_slice_str(method); /* for refusals: HEAD has no body */
    enum gfs_err err = conn->loop->server->is_raw_visible
                           ? head_from_buffer(x, method, version, &head)
                           : head_from_interface(x, method, &head);
    if (err != GFS_OK) {
        return err == GFS_INVALID ? malformed() : too_big();
    }
    size_t size = head.header_count * sizeof head.headers[0];
    struct http_header *headers = gfs_arena_alloc(&x->arena, size);
    if (headers == NULL || x->target.ptr == NULL) {
        return too_big();
    }
    if (size != 0) {
        memcpy(headers, head.headers, size);
    }
    head.headers = headers;
    x->request.is_tls = conn->loop->server->tls != NULL;
    x->request.peer = gfs_slice_str(conn->peer);
    return http_framing_check(&head, &x->request);
}

/* ---- suspension ---- */

void http_conn_suspend(struct http_exchange *x)
{
    GFS_ASSERT(!x->is_suspended);
    atomic_fetch_add_explicit(&x->conn->loop->suspended, 1, memory_order_relaxed);
    MHD_suspend_connection(x->conn->mhd);
    x->is_suspended = true;
    if (x->is_resume_wanted) {
        http_conn_wake(x);
    }
}

void http_conn_wake(struct http_exchange *x)
{
    GFS_ASSERT(x->is_suspended);
    x->is_suspended = false;
    x->is_resume_wanted = false;
    x->conn->suspended_ns = 0;
    MHD_resume_connection(x->conn->mhd);
}

void http_resume(struct http_exchange *x)
{
    if (x->is_suspended) {
        http_conn_wake(x);
    } else if (x->is_in_handler) {
        x->is_resume_wanted = true;
    }
}

void http_conn_abort(struct http_conn *conn)
{
    struct http_exchange *x = &conn->x;
    x->is_aborted = true;
    if (x->is_suspended) {
        http_conn_wake(x);
    }
    (void)shutdown(conn->fd, SHUT_RDWR); /* the library sees the end of the connection */
}

void http_conn_cut(struct http_exchange *x)
{
    struct http_conn *conn = x->conn;
    GFS_ASSERT(x->cut.ptr != NULL);
    if (conn->loop->server->tls != NULL) {
        x->is_cut_sent = http_tls_send(conn->mhd, x->cut.ptr, x->cut.len);
    } else {
        /* Nothing of an earlier reply can be in the library's hands here, so this is the next thing
         * on the wire; it is small, and the socket's buffer is empty. */
        ssize_t n = send(conn->fd, x->cut.ptr, x->cut.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        x->is_cut_sent = n >= 0 && (size_t)n == x->cut.len;
    }
    (void)shutdown(conn->fd, SHUT_WR);
    x->phase = HTTP_PHASE_LINGER;
}

/* ---- calls of the library ---- */

static enum MHD_Result queue(struct http_exchange *x)
{
    struct MHD_Response *response = GFS_TAKE(x->response);
    GFS_ASSERT(response != NULL);
    enum MHD_Result result = MHD_queue_response(x->conn->mhd, x->status, response);
    MHD_destroy_response(response);
    x->phase = HTTP_PHASE_REPLY;
    return result;
}

/* The request is read whole and the handler's reply is due or there. */
static enum MHD_Result reply_or_wait(struct http_exchange *x)
{
    if (x->collected != NULL) {
        enum gfs_err err = http_reply_collect(x);
        if (err == GFS_AGAIN) {
            http_conn_suspend(x);
            return MHD_YES;
        }
        if (err != GFS_OK) {
            return MHD_NO;
        }
    }
    if (x->response != NULL) {
        return queue(x);
    }
    http_conn_suspend(x);
    return MHD_YES;
}

/* A reply was given although body is still to come. */
static enum MHD_Result replied_early(struct http_exchange *x)
{
    switch (x->way) {
    case HTTP_WAY_AFTER_BODY:
        x->phase = HTTP_PHASE_DRAIN;
        return MHD_YES;
    case HTTP_WAY_AT_ONCE:
        return queue(x);
    case HTTP_WAY_CUT:
        http_conn_cut(x);
        return MHD_YES;
    case HTTP_WAY_NONE:
    case HTTP_WAY_ABORT:
        break;
    }
    return MHD_NO;
}

static enum MHD_Result first_call(struct http_exchange *x, const char *method, const char *version)
{
    struct http_loop *loop = x->conn->loop;
    const struct http_handler *handler = &loop->server->options.handler;
    x->phase = HTTP_PHASE_BEGIN;
    x->begin_turn = loop->turn;
    struct http_refusal refusal = read_head(x, method, version);
    if (refusal.err != S3_OK) {
        atomic_fetch_add_explicit(&loop->refused, 1, memory_order_relaxed);
        http_reply_refusal(x, refusal);
        return queue(x); /* in the first call: the library closes, and reads nothing more */
    }
    atomic_fetch_add_explicit(&loop->requests, 1, memory_order_relaxed);
    x->is_begun = true;
    x->is_in_handler = true;
    handler->begin(handler->arg, x);
    x->is_in_handler = false;
    if (x->way != HTTP_WAY_NONE) {
        return replied_early(x);
    }
    x->phase = HTTP_PHASE_BODY;
    return MHD_YES;
}

static enum MHD_Result body_call(struct http_exchange *x, const char *upload, size_t *upload_len)
{
    size_t taken = 0;
    if (x->way == HTTP_WAY_NONE) {
        x->is_in_handler = true;
        taken = x->conn->loop->server->options.handler.body(x, upload, *upload_len);
        x->is_in_handler = false;
        GFS_ASSERT(taken <= *upload_len);
        x->body_taken += taken;
    }
    if (x->way != HTTP_WAY_NONE) {
        *upload_len = 0;
        return replied_early(x);
    }
    *upload_len -= taken;
    if (*upload_len != 0) {
        http_conn_suspend(x);
    }
    x->is_resume_wanted = false;
    return MHD_YES;
}

static enum MHD_Result end_call(struct http_exchange *x)
{
    x->phase = HTTP_PHASE_END;
    if (x->way == HTTP_WAY_NONE) {
        x->is_in_handler = true;
        x->conn->loop->server->options.handler.end(x);
        x->is_in_handler = false;
    }
    x->is_resume_wanted = false;
    return reply_or_wait(x);
}

enum MHD_Result http_conn_call(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_len, void **context)
{
    struct http_loop *loop = cls;
    struct http_exchange *x = *context;
    (void)mhd;
    (void)url;
    if (x->is_aborted || loop->is_dead) {
        return MHD_NO;
    }
    switch (x->phase) {
    case HTTP_PHASE_LINE:
        return first_call(x, method, version);
    case HTTP_PHASE_BODY:
        return *upload_len == 0 ? end_call(x) : body_call(x, upload, upload_len);
    case HTTP_PHASE_DRAIN:
        if (*upload_len == 0) {
            return end_call(x);
        }
        *upload_len = 0;
        return MHD_YES;
    case HTTP_PHASE_END:
        return reply_or_wait(x);
    case HTTP_PHASE_LINGER:
        x->lingered += *upload_len;
        if (*upload_len == 0 || x->lingered > HTTP_LINGER_BYTES_MAX) {
            return MHD_NO; /* all read: the close is a clean one */
        }
        *upload_len = 0;
        return MHD_YES;
    case HTTP_PHASE_IDLE:
    case HTTP_PHASE_BEGIN:
    case HTTP_PHASE_REPLY:
        break;
    }
    return MHD_NO;
}

void http_conn_completed(void *cls, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code)
{
    (void)cls;
    (void)mhd;
    struct http_exchange *x = *context;
    if (x != NULL) {
        finish(x, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
        *context = NULL;
    }
}

/* ---- the exchange's interface ---- */

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
    return &x->request;
}

struct gfs_arena *http_exchange_arena(struct http_exchange *x)
{
    return &x->arena;
}

void http_exchange_set_data(struct http_exchange *x, void *data)
{
    x->data = data;
}

void *http_exchange_data(const struct http_exchange *x)
{
    return x->data;
}

struct http_loop *http_exchange_loop(const struct http_exchange *x)
{
    return x->conn->loop;
}

struct gfs_slice http_request_header(const struct http_request *request, const char *name)
{
    struct gfs_slice wanted = gfs_slice_str(name);
    for (uint32_t i = 0; i < request->header_count; i++) {
        if (gfs_slice_eq(request->headers[i].name, wanted)) {
            return request->headers[i].value;
        }
    }
    return (struct gfs_slice){0};
}

struct http_tls *http_conn_tls(struct MHD_Connection *mhd)
{
    struct http_conn *conn = mhd == NULL ? NULL : conn_of(mhd);
    return conn == NULL ? NULL : conn->loop->server->tls;
}
