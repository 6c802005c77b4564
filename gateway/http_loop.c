/* One loop: a thread, its library daemon and its task queue.
 *
 * Every turn runs the tasks, then the library once, then sleeps on {the library's epoll fd, an
 * eventfd}. Whoever posts wakes the loop only when it sleeps, so on a busy loop a post is one
 * compare-and-swap. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http_impl.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/limits.h"

enum { SWEEP_MS = 1000, STOP_TURN_MS = 20 };

/* A socket on its way from the acceptor to its loop. */
struct adoption {
    struct http_task task;
    struct http_loop *loop;
    int fd;
    socklen_t peer_len;
    struct sockaddr_storage peer;
};

uint32_t http_loop_index(const struct http_loop *loop)
{
    return loop->index;
}

/* ---- tasks ---- */

void http_loop_wake(struct http_loop *loop)
{
    const uint64_t one = 1;
    ssize_t n = write(loop->event_fd, &one, sizeof one);
    GFS_ASSERT(n == (ssize_t)sizeof one || errno == EAGAIN);
}

/* With the task in the list the loop may run it, come to its end and be freed, which waits for
 * those who are still in here. */
void http_post(struct http_loop *loop, struct http_task *task)
{
    atomic_fetch_add(&loop->posting, 1);
    struct http_task *head = atomic_load_explicit(&loop->tasks, memory_order_relaxed);
    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak(&loop->tasks, &head, task));
    /* Pairs with sleep_until: either it sees the task, or we see that it sleeps. */
    if (atomic_exchange(&loop->is_sleeping, false)) {
        http_loop_wake(loop);
    }
    atomic_fetch_sub(&loop->posting, 1);
}

static void run_tasks(struct http_loop *loop)
{
    struct http_task *newest = atomic_exchange(&loop->tasks, NULL);
    struct http_task *oldest = NULL;
    while (newest != NULL) {
        struct http_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct http_task *task = oldest;
        oldest = task->next; /* the task may be freed by its function */
        task->fn(task);
    }
}

static bool has_tasks(struct http_loop *loop)
{
    return atomic_load(&loop->tasks) != NULL;
}

/* ---- adoption ---- */

static void drop_connection(struct http_loop *loop)
{
    atomic_fetch_sub(&loop->conn_count, 1);
    atomic_fetch_sub(&loop->server->conn_count, 1);
    http_listen_wake(loop->server);
}

static void adopt(struct http_task *task)
{
    struct adoption *adoption = GFS_CONTAINER_OF(task, struct adoption, task);
    struct http_loop *loop = adoption->loop;
    if (atomic_load(&loop->server->is_stopping)) {
        (void)close(adoption->fd);
        drop_connection(loop);
    } else {
        loop->is_conn_started = false;
        enum MHD_Result result =
            MHD_add_connection(loop->daemon, adoption->fd, (const struct sockaddr *)&adoption->peer,
                               adoption->peer_len);
        if (result == MHD_NO && !loop->is_conn_started) {
            drop_connection(loop); /* the library has closed the socket */
        }
    }
    free(adoption);
}

void http_loop_adopt(struct http_loop *loop, int fd, const struct sockaddr_storage *peer,
                     socklen_t peer_len)
{
    struct adoption *adoption = gfs_alloc(sizeof *adoption);
    adoption->task.fn = adopt;
    adoption->loop = loop;
    adoption->fd = fd;
    adoption->peer = *peer;
    adoption->peer_len = peer_len;
    atomic_fetch_add(&loop->conn_count, 1);
    atomic_fetch_add(&loop->server->conn_count, 1);
    http_post(loop, &adoption->task);
}

/* ---- the thread ---- */

static void sleep_for(struct http_loop *loop, int timeout_ms)
{
    MHD_UNSIGNED_LONG_LONG due_ms;
    if (MHD_get_timeout(loop->daemon, &due_ms) == MHD_YES && due_ms == 0) {
        return; /* connections are ready: no look at the sockets needed */
    }
    atomic_store(&loop->is_sleeping, true);
    if (has_tasks(loop)) {
        atomic_store(&loop->is_sleeping, false);
        return;
    }
    struct epoll_event events[2];
    int count = epoll_wait(loop->epoll_fd, events, 2, timeout_ms);
    atomic_store(&loop->is_sleeping, false);
    for (int i = 0; i < count; i++) {
        if (events[i].data.fd == loop->event_fd) {
            uint64_t value;
            ssize_t n = read(loop->event_fd, &value, sizeof value);
            (void)n; /* EAGAIN is fine */
        }
    }
}

static void turn(struct http_loop *loop)
{
    run_tasks(loop);
    (void)MHD_run(loop->daemon);
    loop->turn++;
}

/* Serves until stop, then until the last exchange or the deadline. */
static void serve(struct http_loop *loop)
{
    struct http_server *server = loop->server;
    int64_t sweep_ns = gfs_monotonic_ns() + SWEEP_MS * INT64_C(1000000);
    for (;;) {
        turn(loop);
        int64_t now_ns = gfs_monotonic_ns();
        if (now_ns >= sweep_ns) {
            http_sweep_loop(loop, now_ns);
            sweep_ns = now_ns + SWEEP_MS * INT64_C(1000000);
        }
        int timeout_ms = SWEEP_MS;
        if (atomic_load_explicit(&server->is_stopping, memory_order_relaxed)) {
            http_sweep_stop(loop);
            if (loop->conns == NULL || now_ns >= atomic_load(&server->stop_deadline_ns)) {
                return;
            }
            timeout_ms = STOP_TURN_MS;
        }
        sleep_for(loop, timeout_ms);
    }
}

/* Work that outlives its exchange still posts to this loop: its tasks are run until it has ended.
 * A disk may keep it for ever. */
static void wait_for_handler(struct http_loop *loop)
{
    struct http_server *server = loop->server;
    const struct http_handler *handler = &server->options.handler;
    while (handler->is_idle != NULL && !handler->is_idle(handler->arg)) {
        run_tasks(loop);
        if (gfs_monotonic_ns() >= atomic_load(&server->work_deadline_ns)) {
            atomic_store(&server->has_hung, true);
            return;
        }
        struct pollfd wake = {.fd = loop->event_fd, .events = POLLIN};
        atomic_store(&loop->is_sleeping, true);
        if (!has_tasks(loop)) {
            (void)poll(&wake, 1, STOP_TURN_MS); /* another loop may have ended the last of it */
        }
        atomic_store(&loop->is_sleeping, false);
        uint64_t value;
        ssize_t n = read(loop->event_fd, &value, sizeof value);
        (void)n; /* EAGAIN is fine */
    }
}

static void *loop_main(void *arg)
{
    struct http_loop *loop = arg;
    serve(loop);
    loop->is_dead = true;
    /* The library must not be stopped while a connection is suspended. */
    for (bool is_suspended = true; is_suspended;) {
        is_suspended = false;
        for (struct http_conn *conn = loop->conns; conn != NULL; conn = conn->next) {
            if (conn->x.is_suspended) {
                is_suspended = true;
                http_conn_abort(conn);
            }
        }
        turn(loop);
    }
    MHD_stop_daemon(loop->daemon);
    loop->daemon = NULL;
    GFS_ASSERT(loop->conns == NULL);
    wait_for_handler(loop);
    run_tasks(loop);
    return NULL;
}

/* ---- opening and closing ---- */

static size_t keep_escapes(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls;
    (void)mhd;
    return strlen(text); /* the target is decoded once, by us, from the copy made before */
}

static struct MHD_Daemon *start_daemon(struct http_loop *loop)
{
    struct http_server *server = loop->server;
    unsigned flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO | MHD_USE_NO_LISTEN_SOCKET;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}};
    if (server->tls != NULL) {
        flags |= MHD_USE_TLS;
        tls[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
                                         (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:"
                                                             "+VERS-TLS1.2"};
        tls[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0, http_tls_callback()};
    }
    return MHD_start_daemon(
        flags, 0, NULL, NULL, http_conn_call, loop, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)server->options.connection_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_POOL_SIZE, MHD_OPTION_CONNECTION_TIMEOUT,
        0U, /* timeouts are the sweep's: the library would read the clock at every step */
        MHD_OPTION_NOTIFY_CONNECTION, http_conn_notify, loop, MHD_OPTION_NOTIFY_COMPLETED,
        http_conn_completed, loop, MHD_OPTION_URI_LOG_CALLBACK, http_conn_line, loop,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
#if MHD_VERSION >= 0x01000000
        MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1,
#else
        MHD_OPTION_STRICT_FOR_CLIENT, server->is_raw_visible ? 0 : 1,
#endif
        MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

static enum gfs_err watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? GFS_OK : gfs_err_from_errno(errno);
}

enum gfs_err http_loop_open(struct http_loop *loop, struct gfs_error *error)
{
    loop->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->event_fd < 0 || loop->epoll_fd < 0) {
        return gfs_fail(error, gfs_err_from_errno(errno), "eventfd or epoll: %s", strerror(errno));
    }
    loop->scratch = gfs_alloc_array(GFS_HEADER_COUNT_MAX, sizeof(struct http_header));
    loop->daemon = start_daemon(loop);
    if (loop->daemon == NULL) {
        return gfs_fail(error, GFS_IO, "libmicrohttpd %s does not start", MHD_get_version());
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || info->epoll_fd < 0) {
        return gfs_fail(error, GFS_UNSUPPORTED, "libmicrohttpd %s has no epoll", MHD_get_version());
    }
    enum gfs_err err = watch(loop->epoll_fd, info->epoll_fd);
    if (err == GFS_OK) {
        err = watch(loop->epoll_fd, loop->event_fd);
    }
    return err == GFS_OK ? GFS_OK : gfs_fail(error, err, "epoll_ctl");
}

enum gfs_err http_loop_start(struct http_loop *loop, struct gfs_error *error)
{
    char name[16];
    int rc = pthread_create(&loop->thread, NULL, loop_main, loop);
    if (rc != 0) {
        return gfs_fail(error, gfs_err_from_errno(rc), "thread: %s", strerror(rc));
    }
    loop->is_thread_up = true;
    (void)snprintf(name, sizeof name, "http-%u", (unsigned)loop->index % 1000);
    (void)pthread_setname_np(loop->thread, name);
    return GFS_OK;
}

void http_loop_join(struct http_loop *loop)
{
    if (loop->is_thread_up) {
        (void)pthread_join(loop->thread, NULL);
        loop->is_thread_up = false;
    }
}

void http_loop_close(struct http_loop *loop)
{
    GFS_ASSERT(!loop->is_thread_up);
    while (atomic_load(&loop->posting) != 0) {
        (void)sched_yield(); /* a few instructions */
    }
    run_tasks(loop); /* posted after the thread's last look */
    MHD_stop_daemon(loop->daemon);
    free(loop->scratch);
    gfs_close_fd(&loop->event_fd);
    gfs_close_fd(&loop->epoll_fd);
}
