#include "bench/load_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libgoodfs/mem.h"

const char *load_conn_failure_name(enum load_failure failure)
{
    static const char *const names[] = {
#define X(name, text) text,
        LOAD_FAILURES(X)
#undef X
    };
    return names[failure];
}

void load_conn_init(struct load_conn *conn)
{
    conn->fd = -1;
    gfs_buf_init(&conn->scratch, 8192);
    load_response_init(&conn->response);
}

void load_conn_fini(struct load_conn *conn)
{
    load_conn_close(conn);
    gfs_buf_fini(&conn->scratch);
    load_response_fini(&conn->response);
}

bool load_conn_open(struct load_conn *conn, const struct load_options *options, int epoll_fd)
{
    GFS_ASSERT(conn->fd == -1);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options->port)};
    if (inet_pton(AF_INET, options->host, &address.sin_addr) != 1) {
        return false;
    }
    int GFS_CLOSE fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        return false;
    }
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = conn};
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return false;
    }
    conn->fd = fd;
    fd = -1;
    return true;
}

void load_conn_close(struct load_conn *conn)
{
    if (conn->fd != -1) {
        (void)close(conn->fd);
        conn->fd = -1;
    }
    conn->is_busy = false;
}

static enum load_io fail(struct load_conn *conn, enum load_failure failure)
{
    conn->failure = failure;
    return LOAD_IO_FAILED;
}

static bool is_sent(const struct load_conn *conn)
{
    return conn->sent == conn->request.head.len + conn->request.body.len;
}

static enum load_io send_rest(struct load_conn *conn)
{
    while (!is_sent(conn)) {
        struct gfs_slice head = conn->request.head, body = conn->request.body;
        size_t head_sent = GFS_MIN(conn->sent, head.len), body_sent = conn->sent - head_sent;
        struct iovec parts[] = {
            {(void *)(uintptr_t)(head.ptr + head_sent), head.len - head_sent},
            {(void *)(uintptr_t)(body.ptr + body_sent), body.len - body_sent},
        };
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t got = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (got < 0) {
            return errno == EAGAIN || errno == EINTR ? LOAD_IO_WAIT
                                                     : fail(conn, LOAD_FAILURE_CLOSED);
        }
        conn->sent += (size_t)got;
    }
    return LOAD_IO_WAIT;
}

static enum load_body body_wanted(const struct load_options *options)
{
    if (options->op == LOAD_LIST) {
        return LOAD_BODY_KEEP;
    }
    return options->op == LOAD_GET && options->checks_body ? LOAD_BODY_CRC : LOAD_BODY_SKIP;
}

enum load_io load_conn_start(struct load_conn *conn, const struct load_options *options,
                             uint64_t now_ns)
{
    GFS_ASSERT(conn->fd != -1);
    GFS_ASSERT(!conn->is_busy);
    conn->is_busy = true;
    conn->started_ns = now_ns;
    conn->sent = 0;
    load_response_begin(&conn->response, options->op == LOAD_HEAD, body_wanted(options));
    return send_rest(conn);
}

/* Nothing more comes: an error unless a body was cut short, which is named for what it is. */
static enum load_io ended(struct load_conn *conn)
{
    return fail(conn, conn->response.has_head ? LOAD_FAILURE_LENGTH : LOAD_FAILURE_CLOSED);
}

enum load_io load_conn_io(struct load_conn *conn, bool hung_up, char *sink, size_t sink_size)
{
    if (!conn->is_busy) {
        return hung_up ? fail(conn, LOAD_FAILURE_CLOSED) : LOAD_IO_WAIT;
    }
    /* A server that refuses early may have closed its side: what it said is still read. */
    enum load_io sent = send_rest(conn);
    for (;;) {
        size_t size;
        char *ptr = load_response_room(&conn->response, sink, sink_size, &size);
        ssize_t got = recv(conn->fd, ptr, size, 0);
        if (got == 0) {
            return ended(conn);
        }
        if (got < 0) {
            bool waits = errno == EAGAIN || errno == EINTR;
            return waits ? sent : ended(conn);
        }
        enum load_step step = load_response_add(&conn->response, ptr, (size_t)got);
        if (step != LOAD_STEP_MORE) {
            /* An answer before the whole request is in leaves the stream out of step. */
            conn->response.closes |= !is_sent(conn);
            conn->is_busy = false;
            return step == LOAD_STEP_DONE ? LOAD_IO_DONE : fail(conn, LOAD_FAILURE_PROTOCOL);
        }
        /* Edge-triggered: a short read has emptied the socket, and what comes later is an event. */
        if ((size_t)got < size && !hung_up) {
            return sent;
        }
    }
}
