#include "bench/load_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

enum {
    EVENTS_MAX = 64,
    SINK_SIZE = 256 << 10,
    TICK_MS = 100,      /* how often stalled requests are looked for */
    FAILURES_MAX = 200, /* a worker that has seen so many gives up */
};

struct load_worker {
    struct load_run *run;
    uint64_t random_state;
    int epoll_fd;
    uint64_t conn_count, busy_count;
    struct load_conn *conns;
    char *sink;
    uint64_t failure_count;
    uint64_t cpu_from_ns; /* of the thread, when the measured time began; 0 = not yet */
    bool has_cpu;         /* stats.cpu_ns is final */
    struct load_stats stats;
};

static uint64_t now_ns(void)
{
    return (uint64_t)gfs_monotonic_ns();
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* The body of an error may be anything: only what can be read is shown. */
static void describe(const struct load_response *response, enum load_failure failure, char *ret,
                     size_t size)
{
    (void)snprintf(ret, size, "%s: status %u, %llu of %llu bytes: %s",
                   load_conn_failure_name(failure), response->status,
                   (unsigned long long)response->body_len,
                   (unsigned long long)response->declared_len, response->excerpt);
    for (char *at = ret; *at != '\0'; at++) {
        if (*at < 32 || *at > 126) {
            *at = '.';
        }
    }
}

static void count_failure(struct load_worker *worker, enum load_failure failure,
                          const struct load_response *response)
{
    struct load_stats *stats = &worker->stats;
    stats->failures[failure]++;
    if (worker->failure_count++ == 0) {
        describe(response, failure, stats->first_failure, sizeof stats->first_failure);
    }
}

static bool connect_one(struct load_worker *worker, struct load_conn *conn)
{
    if (load_conn_open(conn, worker->run->options, worker->epoll_fd)) {
        return true;
    }
    load_response_begin(&conn->response, false, LOAD_BODY_SKIP);
    count_failure(worker, LOAD_FAILURE_CONNECT, &conn->response);
    return false;
}

struct load_worker *load_worker_new(struct load_run *run, uint64_t index, uint64_t connections)
{
    struct load_worker *worker = gfs_alloc(sizeof *worker);
    worker->run = run;
    worker->random_state = (run->options->seed + 1 + index) * 0x9E3779B97F4A7C15u | 1;
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    GFS_ASSERT(worker->epoll_fd >= 0);
    worker->sink = gfs_alloc_aligned(4096, SINK_SIZE);
    worker->conn_count = connections;
    worker->conns = gfs_alloc_array(connections, sizeof *worker->conns);
    for (uint64_t i = 0; i < connections; i++) {
        load_conn_init(&worker->conns[i]);
        (void)connect_one(worker, &worker->conns[i]);
    }
    return worker;
}

void load_worker_free(struct load_worker *worker)
{
    for (uint64_t i = 0; i < worker->conn_count; i++) {
        load_conn_fini(&worker->conns[i]);
    }
    (void)close(worker->epoll_fd);
    free(worker->conns);
    free(worker->sink);
    free(worker);
}

const struct load_stats *load_worker_stats(const struct load_worker *worker)
{
    return &worker->stats;
}

/* Uniform below bound < 2^32, by Lemire's multiplication. */
static uint64_t random_below(struct load_worker *worker, uint64_t bound)
{
    worker->random_state ^= worker->random_state << 13;
    worker->random_state ^= worker->random_state >> 7;
    worker->random_state ^= worker->random_state << 17;
    return (worker->random_state >> 32) * bound >> 32;
}

/* false when the run has no more requests to begin. */
static bool next_key(struct load_worker *worker, uint64_t now, uint64_t *ret)
{
    const struct load_options *options = worker->run->options;
    if (worker->failure_count >= FAILURES_MAX || now >= worker->run->stop_ns) {
        return false;
    }
    uint64_t serial = atomic_fetch_add_explicit(&worker->run->issued, 1, memory_order_relaxed);
    if (options->count != 0 && serial >= options->count) {
        return false;
    }
    *ret =
        options->is_random ? random_below(worker, options->key_count) : serial % options->key_count;
    return true;
}

static void failed(struct load_worker *worker, struct load_conn *conn);

/* Begins the next request of an idle connection, if there is one. */
static void start_next(struct load_worker *worker, struct load_conn *conn, uint64_t now)
{
    uint64_t key;
    if (conn->fd == -1 || !next_key(worker, now, &key)) {
        return;
    }
    load_requests_get(worker->run->requests, key, &conn->scratch, &conn->request);
    worker->busy_count++;
    if (load_conn_start(conn, worker->run->options, now) == LOAD_IO_FAILED) {
        failed(worker, conn);
    }
}

static void failed(struct load_worker *worker, struct load_conn *conn)
{
    count_failure(worker, conn->failure, &conn->response);
    load_conn_close(conn);
    worker->busy_count--;
    if (worker->failure_count < FAILURES_MAX && connect_one(worker, conn)) {
        start_next(worker, conn, now_ns());
    }
}

/* Whether the response is what the operation must bring; else *ret says what is wrong. */
static bool is_right(const struct load_worker *worker, const struct load_response *response,
                     enum load_failure *ret)
{
    const struct load_options *options = worker->run->options;
    bool is_status_good = false;
    for (uint64_t i = 0; i < options->status_count; i++) {
        is_status_good |= response->status == options->statuses[i];
    }
    if (!is_status_good) {
        *ret = LOAD_FAILURE_STATUS;
        return false;
    }
    if ((options->op == LOAD_GET || options->op == LOAD_HEAD) &&
        response->declared_len != options->size) {
        *ret = LOAD_FAILURE_LENGTH;
        return false;
    }
    *ret = LOAD_FAILURE_CONTENT;
    if (options->op == LOAD_LIST) {
        return load_response_count(response, "<Contents>") == options->max_keys;
    }
    return !options->checks_body ||
           response->crc == load_requests_payload_crc(worker->run->requests);
}

/* Samples the thread's CPU time at the first responses after the measured time began and ended. */
static void sample_cpu(struct load_worker *worker, uint64_t now)
{
    if (worker->cpu_from_ns == 0 && now >= worker->run->measure_from_ns) {
        worker->cpu_from_ns = thread_cpu_ns();
    }
    if (!worker->has_cpu && now >= worker->run->stop_ns && worker->cpu_from_ns != 0) {
        worker->stats.cpu_ns = thread_cpu_ns() - worker->cpu_from_ns;
        worker->has_cpu = true;
    }
}

static void count_good(struct load_worker *worker, const struct load_conn *conn, uint64_t now)
{
    struct load_stats *stats = &worker->stats;
    const struct load_options *options = worker->run->options;
    if (now < worker->run->measure_from_ns || now >= worker->run->stop_ns) {
        return;
    }
    stats->ops++;
    stats->bytes += options->op == LOAD_PUT ? options->size : conn->response.body_len;
    stats->last_ns = now;
    load_hist_add(&stats->latency, now - conn->started_ns);
}

static void done(struct load_worker *worker, struct load_conn *conn, uint64_t now)
{
    struct load_stats *stats = &worker->stats;
    enum load_failure failure;
    worker->busy_count--;
    sample_cpu(worker, now);
    if (!is_right(worker, &conn->response, &failure)) {
        count_failure(worker, failure, &conn->response);
    } else {
        stats->ops_all++;
        count_good(worker, conn, now);
    }
    if (conn->response.closes) {
        stats->reconnects++;
        load_conn_close(conn);
        (void)connect_one(worker, conn);
    }
    start_next(worker, conn, now);
}

static void on_event(struct load_worker *worker, const struct epoll_event *event)
{
    struct load_conn *conn = event->data.ptr;
    bool hung_up = (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    bool was_busy = conn->is_busy;
    enum load_io io = load_conn_io(conn, hung_up, worker->sink, SINK_SIZE);
    if (io == LOAD_IO_DONE) {
        done(worker, conn, now_ns());
    } else if (io == LOAD_IO_FAILED) {
        if (was_busy) {
            failed(worker, conn);
        } else { /* an idle one at the end of the run */
            load_conn_close(conn);
        }
    }
}

static void cut_stalled(struct load_worker *worker, uint64_t now)
{
    uint64_t limit_ns = worker->run->options->timeout_ms * 1000000u;
    for (uint64_t i = 0; i < worker->conn_count; i++) {
        struct load_conn *conn = &worker->conns[i];
        if (conn->is_busy && now - conn->started_ns > limit_ns && now > conn->started_ns) {
            conn->failure = LOAD_FAILURE_TIMEOUT;
            failed(worker, conn);
        }
    }
}

void load_worker_run(struct load_worker *worker)
{
    uint64_t tick_ns = now_ns();
    for (uint64_t i = 0; i < worker->conn_count; i++) {
        start_next(worker, &worker->conns[i], now_ns());
    }
    while (worker->busy_count != 0) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(worker->epoll_fd, events, EVENTS_MAX, TICK_MS);
        for (int i = 0; i < count; i++) {
            on_event(worker, &events[i]);
        }
        uint64_t now = now_ns();
        if (now - tick_ns > TICK_MS * 1000000u) {
            tick_ns = now;
            cut_stalled(worker, now);
        }
    }
    sample_cpu(worker, UINT64_MAX);
}
