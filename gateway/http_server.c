/* Start, stop and counters of the HTTP server. */
#include "gateway/http_server.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "gateway/http_impl.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"

/* A connection is a descriptor; the soft limit is often 1024. */
static void raise_descriptor_limit(uint32_t connection_max)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < (rlim_t)connection_max + 64) {
        gfs_log(GFS_LOG_WARN, "msg=\"descriptor limit %llu is below connection_max %u\"",
                (unsigned long long)limit.rlim_max, connection_max);
    }
}

/* The library allocates a block of HTTP_BLOCK_SIZE for each streamed reply. By default glibc maps
 * and unmaps it every time, and its page faults cost more than sending (a 1 MiB reply took 234 us
 * of CPU against 153 with these). Process-wide, as malloc is. */
static void keep_blocks_mapped(void)
{
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, 4 * HTTP_BLOCK_SIZE);
    (void)mallopt(M_TRIM_THRESHOLD, 32 * HTTP_BLOCK_SIZE);
    (void)mallopt(M_TOP_PAD, 4 * HTTP_BLOCK_SIZE);
#endif
}

static void server_free(struct http_server *server)
{
    for (uint32_t i = 0; server->loops != NULL && i < server->options.loop_count; i++) {
        http_loop_close(&server->loops[i]);
    }
    for (uint32_t i = 0; i < server->listener_count; i++) {
        gfs_close_fd(&server->listeners[i].fd);
    }
    gfs_close_fd(&server->acceptor_event_fd);
    http_tls_close(server->tls);
    free(server->loops);
    free(server->tls_cert_file);
    free(server->tls_key_file);
    free(server);
}

static enum gfs_err open_all(struct http_server *server, const char *const *listen,
                             struct gfs_error *error)
{
    server->acceptor_event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (server->acceptor_event_fd < 0) {
        return gfs_fail(error, gfs_err_from_errno(errno), "eventfd: %s", strerror(errno));
    }
    if (server->tls_cert_file != NULL) {
        enum gfs_err err =
            http_tls_open(server->tls_cert_file, server->tls_key_file, &server->tls, error);
        if (err != GFS_OK) {
            return err;
        }
    }
    for (size_t i = 0; listen[i] != NULL; i++) {
        enum gfs_err err = http_listen_open(server, listen[i], error);
        if (err != GFS_OK) {
            return err;
        }
    }
    for (uint32_t i = 0; i < server->options.loop_count; i++) {
        enum gfs_err err = http_loop_open(&server->loops[i], error);
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

static enum gfs_err start_threads(struct http_server *server, struct gfs_error *error)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all); /* signals are main's */
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    enum gfs_err err = GFS_OK;
    for (uint32_t i = 0; i < server->options.loop_count && err == GFS_OK; i++) {
        err = http_loop_start(&server->loops[i], error);
    }
    if (err == GFS_OK) {
        err = http_listen_start(server, error);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

static struct http_server *server_new(const struct http_server_options *options)
{
    struct http_server *server = gfs_alloc(sizeof *server);
    server->options = *options;
    server->options.listen = NULL;
    server->options.tls_cert_file = NULL;
    server->options.tls_key_file = NULL;
    server->acceptor_event_fd = -1;
    /* Only this release is known to leave the head where and how http_framing_split reads it. */
    server->is_raw_visible = strcmp(MHD_get_version(), "0.9.75") == 0;
    if (options->tls_cert_file != NULL) {
        server->tls_cert_file = gfs_strdup(options->tls_cert_file);
        server->tls_key_file = gfs_strdup(options->tls_key_file);
    }
    server->loops = gfs_alloc_array(options->loop_count, sizeof server->loops[0]);
    for (uint32_t i = 0; i < options->loop_count; i++) {
        server->loops[i].server = server;
        server->loops[i].index = i;
        server->loops[i].epoll_fd = -1;
        server->loops[i].event_fd = -1;
    }
    return server;
}

enum gfs_err http_server_start(const struct http_server_options *options, struct http_server **ret,
                               struct gfs_error *error)
{
    GFS_ASSERT(options->loop_count >= 1);
    GFS_ASSERT(options->connection_max >= 1);
    if ((options->tls_cert_file == NULL) != (options->tls_key_file == NULL)) {
        return gfs_fail(error, GFS_INVALID, "TLS needs a certificate and a key");
    }
    raise_descriptor_limit(options->connection_max);
    keep_blocks_mapped();
    struct http_server *server = server_new(options);
    enum gfs_err err = open_all(server, options->listen, error);
    if (err != GFS_OK) {
        server_free(server);
        return err;
    }
    err = start_threads(server, error);
    if (err != GFS_OK) {
        (void)http_server_stop(server, 0, 0); /* there was no request */
        return err;
    }
    *ret = server;
    return GFS_OK;
}

uint16_t http_server_port(const struct http_server *server, uint32_t index)
{
    GFS_ASSERT(index < server->listener_count);
    return server->listeners[index].port;
}

enum gfs_err http_server_reload_tls(struct http_server *server, struct gfs_error *error)
{
    if (server->tls == NULL) {
        return GFS_OK;
    }
    return http_tls_reload(server->tls, server->tls_cert_file, server->tls_key_file, error);
}

bool http_server_stop(struct http_server *server, uint32_t grace_ms, uint32_t work_ms)
{
    if (server == NULL) {
        return true;
    }
    int64_t deadline_ns = gfs_monotonic_ns() + grace_ms * INT64_C(1000000);
    atomic_store(&server->stop_deadline_ns, deadline_ns);
    atomic_store(&server->work_deadline_ns, deadline_ns + work_ms * INT64_C(1000000));
    atomic_store(&server->is_stopping, true);
    http_listen_stop(server);
    for (uint32_t i = 0; i < server->options.loop_count; i++) {
        http_loop_wake(&server->loops[i]);
    }
    for (uint32_t i = 0; i < server->options.loop_count; i++) {
        http_loop_join(&server->loops[i]);
    }
    if (atomic_load(&server->has_hung)) {
        return false;
    }
    server_free(server);
    return true;
}

void http_server_stats(const struct http_server *server, struct http_server_stats *ret)
{
    *ret = (struct http_server_stats){
        .connections_accepted = atomic_load(&server->accepted),
        .connections_open = atomic_load(&server->conn_count),
    };
    for (uint32_t i = 0; i < server->options.loop_count; i++) {
        const struct http_loop *loop = &server->loops[i];
        ret->requests += atomic_load(&loop->requests);
        ret->bytes_in += atomic_load(&loop->bytes_in);
        ret->bytes_out += atomic_load(&loop->bytes_out);
        ret->suspended += atomic_load(&loop->suspended);
        ret->refused_framing += atomic_load(&loop->refused);
        ret->timeouts += atomic_load(&loop->timeouts);
    }
}
