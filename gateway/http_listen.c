/* Listening sockets and the thread that accepts from all of them.
 *
 * Accepting is ours, so the connection limit, the balance between loops and the counting are too:
 * at the limit nothing is accepted and new clients wait in the backlog. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/http_impl.h"
#include "libgoodfs/log.h"

enum { ACCEPT_BATCH = 64, ACCEPT_PAUSE_MS = 100 };

/* "HOST:PORT" or "[HOST]:PORT" into its two parts. */
static enum gfs_err split_address(const char *address, char *host, size_t size,
                                  const char **ret_port, struct gfs_error *error)
{
    const char *colon = strrchr(address, ':');
    const char *begin = address;
    const char *end = colon;
    if (colon != NULL && address[0] == '[' && colon > address + 1 && colon[-1] == ']') {
        begin++;
        end--;
    } else if (colon != NULL && strchr(address, ':') != colon) {
        colon = NULL; /* an IPv6 address without brackets: which part is the port? */
    }
    if (colon == NULL || colon[1] == '\0' || end < begin || (size_t)(end - begin) >= size) {
        return gfs_fail(error, GFS_INVALID, "listen %s: not HOST:PORT or [IPV6]:PORT", address);
    }
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    *ret_port = colon + 1;
    return GFS_OK;
}

static void set_int(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

/* Accepted sockets inherit these. */
static void set_options(int fd, int family)
{
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1); /* clients that lost their power end some day */
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
    if (family == AF_INET6) {
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
}

static enum gfs_err bind_one(const struct addrinfo *ai, struct http_listener *ret)
{
    GFS_CLOSE int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    if (fd < 0) {
        return gfs_err_from_errno(errno);
    }
    set_options(fd, ai->ai_family);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, HTTP_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
        return gfs_err_from_errno(errno);
    }
    if (ai->ai_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, &bound, sizeof in6);
        ret->port = ntohs(in6.sin6_port);
    } else {
        struct sockaddr_in in;
        memcpy(&in, &bound, sizeof in);
        ret->port = ntohs(in.sin_port);
    }
    ret->fd = fd;
    fd = -1;
    return GFS_OK;
}

enum gfs_err http_listen_open(struct http_server *server, const char *address,
                              struct gfs_error *error)
{
    char host[256];
    const char *port = NULL;
    if (server->listener_count == HTTP_LISTEN_MAX) {
        return gfs_fail(error, GFS_TOO_BIG, "listen: at most %d addresses", HTTP_LISTEN_MAX);
    }
    enum gfs_err err = split_address(address, host, sizeof host, &port, error);
    if (err != GFS_OK) {
        return err;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &list);
    if (rc != 0) {
        return gfs_fail(error, GFS_INVALID, "listen %s: %s", address, gai_strerror(rc));
    }
    err = GFS_IO;
    int saved_errno = 0;
    for (const struct addrinfo *ai = list; ai != NULL && err != GFS_OK; ai = ai->ai_next) {
        err = bind_one(ai, &server->listeners[server->listener_count]);
        saved_errno = errno;
    }
    freeaddrinfo(list);
    if (err != GFS_OK) {
        return gfs_fail(error, err, "listen %s: %s", address, strerror(saved_errno));
    }
    server->listener_count++;
    return GFS_OK;
}

/* ---- the acceptor ---- */

void http_listen_wake(struct http_server *server)
{
    if (atomic_exchange(&server->is_acceptor_full, false)) {
        const uint64_t one = 1;
        ssize_t n = write(server->acceptor_event_fd, &one, sizeof one);
        (void)n; /* full: it is awake */
    }
}

static struct http_loop *least_loaded(struct http_server *server)
{
    struct http_loop *best = &server->loops[0];
    for (uint32_t i = 1; i < server->options.loop_count; i++) {
        if (atomic_load(&server->loops[i].conn_count) < atomic_load(&best->conn_count)) {
            best = &server->loops[i];
        }
    }
    return best;
}

static bool is_full(struct http_server *server)
{
    return atomic_load(&server->conn_count) >= server->options.connection_max;
}

/* Answers false when accepting should pause: no descriptors or memory left. */
static bool accept_batch(struct http_server *server, int listen_fd)
{
    for (int i = 0; i < ACCEPT_BATCH && !is_full(server); i++) {
        struct sockaddr_storage peer;
        socklen_t peer_len = sizeof peer;
        int fd =
            accept4(listen_fd, (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
        }
        atomic_fetch_add_explicit(&server->accepted, 1, memory_order_relaxed);
        http_loop_adopt(least_loaded(server), fd, &peer, peer_len);
    }
    return true;
}

static void *acceptor_main(void *arg)
{
    struct http_server *server = arg;
    struct pollfd fds[HTTP_LISTEN_MAX + 1];
    bool is_paused = false;
    fds[0] = (struct pollfd){.fd = server->acceptor_event_fd, .events = POLLIN};
    while (!atomic_load(&server->is_stopping)) {
        atomic_store(&server->is_acceptor_full, true);
        bool is_open = !is_paused && !is_full(server);
        if (is_open) {
            atomic_store(&server->is_acceptor_full, false);
        }
        for (uint32_t i = 0; i < server->listener_count; i++) {
            fds[i + 1] =
                (struct pollfd){.fd = is_open ? server->listeners[i].fd : -1, .events = POLLIN};
        }
        int count = poll(fds, server->listener_count + 1, is_paused ? ACCEPT_PAUSE_MS : -1);
        uint64_t value;
        if (count > 0 && fds[0].revents != 0) {
            ssize_t n = read(server->acceptor_event_fd, &value, sizeof value);
            (void)n;
        }
        is_paused = false;
        for (uint32_t i = 0; count > 0 && i < server->listener_count; i++) {
            if (fds[i + 1].revents != 0 && !accept_batch(server, server->listeners[i].fd)) {
                is_paused = true;
                gfs_log(GFS_LOG_WARN, "msg=\"accept paused: %s\"", strerror(errno));
            }
        }
    }
    return NULL;
}

enum gfs_err http_listen_start(struct http_server *server, struct gfs_error *error)
{
    int rc = pthread_create(&server->acceptor, NULL, acceptor_main, server);
    if (rc != 0) {
        return gfs_fail(error, gfs_err_from_errno(rc), "thread: %s", strerror(rc));
    }
    server->is_acceptor_up = true;
    (void)pthread_setname_np(server->acceptor, "http-accept");
    return GFS_OK;
}

void http_listen_stop(struct http_server *server)
{
    GFS_ASSERT(atomic_load(&server->is_stopping));
    if (server->is_acceptor_up) {
        const uint64_t one = 1;
        ssize_t n = write(server->acceptor_event_fd, &one, sizeof one);
        (void)n;
        (void)pthread_join(server->acceptor, NULL);
        server->is_acceptor_up = false;
    }
    for (uint32_t i = 0; i < server->listener_count; i++) {
        gfs_close_fd(&server->listeners[i].fd);
    }
    server->listener_count = 0;
}
