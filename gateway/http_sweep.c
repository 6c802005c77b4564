/* Once a second per loop: clients that are too slow, idle or gone.
 *
 * The kernel's byte counts of the connection (TCP_INFO) say what progressed, so trickled bytes,
 * TLS and a receiver that stopped reading all count alike and the fast path keeps no clock. The
 * library watches nothing on a suspended connection: here the socket is asked instead. */
#include <poll.h>
#include <sys/ioctl.h>

#include "gateway/http_impl.h"
#include "libgoodfs/clock.h"

#define NS_PER_S INT64_C(1000000000)

static bool is_past(int64_t since_ns, int64_t now_ns, uint32_t limit_s)
{
    return limit_s != 0 && since_ns != 0 && now_ns - since_ns >= (int64_t)limit_s * NS_PER_S;
}

static void time_out(struct http_conn *conn)
{
    atomic_fetch_add_explicit(&conn->loop->timeouts, 1, memory_order_relaxed);
    http_conn_abort(conn);
}

static void count_bytes(struct http_conn *conn, int64_t now_ns)
{
    uint64_t received;
    uint64_t sent;
    if (!http_conn_counts(conn, &received, &sent)) {
        return;
    }
    if (received != conn->received || sent != conn->sent) {
        conn->active_ns = now_ns;
    }
    atomic_fetch_add_explicit(&conn->loop->bytes_in, received - conn->received,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&conn->loop->bytes_out, sent - conn->sent, memory_order_relaxed);
    conn->received = received;
    conn->sent = sent;
}

/* The library polls by edges and takes a short read for the last: an end that came together with
 * the bytes before it is never told. Twice in a row, so that one just under way is left to the
 * library. */
static bool is_sender_gone(struct http_conn *conn)
{
    struct pollfd fd = {.fd = conn->fd, .events = POLLRDHUP};
    int unread = 0;
    bool was_seen = conn->is_end_seen;
    conn->is_end_seen =
        poll(&fd, 1, 0) > 0 && ioctl(conn->fd, FIONREAD, &unread) == 0 && unread == 0;
    return was_seen && conn->is_end_seen;
}

/* Between requests, or with a part of a head. */
static void sweep_head(struct http_conn *conn, int64_t now_ns)
{
    const struct http_server_options *options = &conn->loop->server->options;
    if (conn->swept_request_count != conn->request_count) {
        conn->swept_request_count = conn->request_count;
        conn->received_at_idle = conn->received;
        conn->head_ns = 0;
    }
    bool is_head_begun =
        conn->x.phase == HTTP_PHASE_LINE || conn->received != conn->received_at_idle;
    if (is_head_begun && conn->head_ns == 0) {
        conn->head_ns = now_ns;
    }
    if (is_past(conn->head_ns, now_ns, options->header_timeout_s) ||
        is_past(conn->active_ns, now_ns, options->idle_timeout_s)) {
        time_out(conn);
    } else if (is_sender_gone(conn)) {
        http_conn_abort(conn);
    }
}

/* The sender's average over a window in which it was never paused by us. */
static bool is_too_slow(struct http_conn *conn, int64_t now_ns)
{
    uint32_t min = conn->loop->server->options.body_bytes_per_s_min;
    if (conn->window_ns == 0) {
        conn->window_ns = now_ns;
        conn->window_received = conn->received;
    }
    if (min == 0 || !is_past(conn->window_ns, now_ns, HTTP_RATE_WINDOW_S)) {
        return false;
    }
    uint64_t elapsed_s = (uint64_t)((now_ns - conn->window_ns) / NS_PER_S);
    uint64_t got = conn->received - conn->window_received;
    conn->window_ns = now_ns;
    conn->window_received = conn->received;
    return got < elapsed_s * min;
}

static void sweep_exchange(struct http_conn *conn, int64_t now_ns)
{
    conn->head_ns = 0;
    conn->swept_request_count = conn->request_count - 1; /* idle starts anew after this one */
    if (conn->x.phase == HTTP_PHASE_LINGER) {
        if (conn->linger_ns == 0) {
            conn->linger_ns = now_ns;
        }
        if (is_past(conn->linger_ns, now_ns, HTTP_LINGER_S)) {
            http_conn_abort(conn);
        }
        return;
    }
    bool is_sending_body = conn->x.phase == HTTP_PHASE_BODY || conn->x.phase == HTTP_PHASE_DRAIN;
    if (is_sending_body && is_sender_gone(conn)) {
        http_conn_abort(conn);
        return;
    }
    if ((is_sending_body && is_too_slow(conn, now_ns)) ||
        is_past(conn->active_ns, now_ns, conn->loop->server->options.idle_timeout_s)) {
        time_out(conn);
    }
}

static void sweep_suspended(struct http_conn *conn, int64_t now_ns)
{
    if (conn->suspended_ns == 0) {
        conn->suspended_ns = now_ns;
    }
    conn->window_ns = 0;
    conn->active_ns = now_ns; /* it waits for us, not for the client */
    struct pollfd fd = {.fd = conn->fd, .events = POLLRDHUP};
    if (poll(&fd, 1, 0) <= 0) {
        return;
    }
    /* A half-closed connection may be a client that waits for its reply, so it gets some time. */
    if ((fd.revents & (POLLERR | POLLHUP)) != 0 ||
        is_past(conn->suspended_ns, now_ns, HTTP_HALF_CLOSED_S)) {
        http_conn_abort(conn);
    }
}

void http_sweep_loop(struct http_loop *loop, int64_t now_ns)
{
    for (struct http_conn *conn = loop->conns; conn != NULL; conn = conn->next) {
        count_bytes(conn, now_ns);
        if (conn->x.is_suspended) {
            sweep_suspended(conn, now_ns);
        } else if (conn->x.phase == HTTP_PHASE_IDLE || conn->x.phase == HTTP_PHASE_LINE) {
            conn->window_ns = 0;
            conn->linger_ns = 0;
            sweep_head(conn, now_ns);
        } else {
            sweep_exchange(conn, now_ns);
        }
    }
}

void http_sweep_stop(struct http_loop *loop)
{
    for (struct http_conn *conn = loop->conns; conn != NULL; conn = conn->next) {
        if (conn->x.phase == HTTP_PHASE_IDLE && !conn->x.is_aborted) {
            http_conn_abort(conn);
        }
    }
}
