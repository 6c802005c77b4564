#include "tests/http/toy.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

enum { TOY_BYTES_MAX = 1 << 20, TOY_PERIOD = 23, TOY_PAUSE_LEN = 1000 };

enum toy_job { TOY_RESUME, TOY_REPLY };

struct toy {
    struct toy_counts counts;
    _Atomic(struct http_loop *) last_loop;
    char *bytes; /* TOY_BYTES_MAX of the pattern, and a period more */
    pthread_t worker;
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct toy_request *jobs; /* Guarded by lock */
    bool is_stopping;         /* Guarded by lock */
};

/* One exchange; freed when it is closed and no job holds it. Owned by the loop, jobs by the worker
 * until they are posted back. */
struct toy_request {
    struct http_task task;
    struct toy_request *next_job;
    struct toy *toy;
    struct http_exchange *x; /* NULL once closed */
    enum toy_job job;
    bool has_job;
    bool is_ready; /* of trickle: the next read answers bytes */
    uint64_t size, sum, body_len;
    char text[64];
};

struct toy_counts *toy_counts(struct toy *toy)
{
    return &toy->counts;
}

struct http_loop *toy_last_loop(struct toy *toy)
{
    return atomic_load(&toy->last_loop);
}

static void reply_text(struct toy_request *request, int status, const char *text)
{
    (void)snprintf(request->text, sizeof request->text, "%s", text);
    struct http_reply_header headers[] = {
        {GFS_SLICE_LITERAL("ETag"), GFS_SLICE_LITERAL("\"0123456789abcdef0123456789abcdef\"")},
        {GFS_SLICE_LITERAL("Content-Type"), GFS_SLICE_LITERAL("text/plain")},
    };
    http_reply(request->x, &(struct http_reply){.status = status,
                                                .headers = headers,
                                                .header_count = GFS_COUNT(headers),
                                                .body = HTTP_BODY_BYTES,
                                                .bytes = gfs_slice_str(request->text)});
}

/* ---- the worker ---- */

static void run_job(struct http_task *task)
{
    struct toy_request *request = GFS_CONTAINER_OF(task, struct toy_request, task);
    request->has_job = false;
    if (request->x == NULL) {
        free(request);
        return;
    }
    switch (request->job) {
    case TOY_RESUME:
        request->is_ready = true;
        http_resume(request->x);
        break;
    case TOY_REPLY:
        reply_text(request, request->size == 403 ? 403 : 200, "async");
        break;
    }
}

static void *worker_main(void *arg)
{
    struct toy *toy = arg;
    (void)pthread_mutex_lock(&toy->lock);
    for (;;) {
        struct toy_request *request = toy->jobs;
        if (request != NULL) {
            toy->jobs = request->next_job;
            request->task.fn = run_job;
            http_post(http_exchange_loop(request->x), &request->task);
        } else if (toy->is_stopping) {
            break;
        } else {
            (void)pthread_cond_wait(&toy->ready, &toy->lock);
        }
    }
    (void)pthread_mutex_unlock(&toy->lock);
    return NULL;
}

static void give_job(struct toy_request *request, enum toy_job job)
{
    struct toy *toy = request->toy;
    GFS_ASSERT(!request->has_job);
    request->has_job = true;
    request->job = job;
    (void)pthread_mutex_lock(&toy->lock);
    request->next_job = toy->jobs;
    toy->jobs = request;
    (void)pthread_cond_signal(&toy->ready);
    (void)pthread_mutex_unlock(&toy->lock);
}

/* ---- the handler ---- */

static bool is_path(const struct toy_request *request, const char *prefix)
{
    return gfs_slice_starts(http_exchange_request(request->x)->raw_path, gfs_slice_str(prefix));
}

static int64_t read_pattern(void *arg, uint64_t offset, char *buf, size_t size)
{
    struct toy_request *request = arg;
    if (is_path(request, "/fail/") && offset + size > request->size / 2) {
        return -1;
    }
    if (is_path(request, "/trickle/")) {
        if (!request->is_ready) {
            if (!request->has_job) {
                give_job(request, TOY_RESUME);
            }
            return 0;
        }
        request->is_ready = false;
    }
    size_t len = GFS_MIN(size, (size_t)TOY_BYTES_MAX);
    memcpy(buf, request->toy->bytes + offset % TOY_PERIOD, len);
    return (int64_t)len;
}

static void reply_stream(struct toy_request *request)
{
    struct http_reply_header headers[] = {
        {GFS_SLICE_LITERAL("ETag"), GFS_SLICE_LITERAL("\"0123456789abcdef0123456789abcdef\"")},
        {GFS_SLICE_LITERAL("Last-Modified"), GFS_SLICE_LITERAL("Sat, 21 Nov 2026 06:58:10 GMT")},
        {GFS_SLICE_LITERAL("x-amz-request-id"), GFS_SLICE_LITERAL("0123456789ABCDEF")},
        {GFS_SLICE_LITERAL("Content-Type"), GFS_SLICE_LITERAL("application/octet-stream")},
        {GFS_SLICE_LITERAL("Accept-Ranges"), GFS_SLICE_LITERAL("bytes")},
        {GFS_SLICE_LITERAL("x-amz-meta-empty"), {"", 0}},
        {GFS_SLICE_LITERAL("x-amz-meta-bad"), GFS_SLICE_LITERAL("a\r\nInjected: 1")},
    };
    struct http_reply reply = {
        .status = 200,
        .headers = headers,
        .header_count = GFS_COUNT(headers),
        .body = HTTP_BODY_STREAM,
        .length = request->size,
        .read = read_pattern,
        .arg = request,
    };
    if (is_path(request, "/bytes/")) {
        reply.body = HTTP_BODY_BYTES;
        reply.bytes = gfs_slice_of(request->toy->bytes, (size_t)request->size);
    }
    http_reply(request->x, &reply);
}

static void on_begin(void *arg, struct http_exchange *x)
{
    struct toy_request *request = gfs_alloc(sizeof *request);
    request->toy = arg;
    request->x = x;
    http_exchange_set_data(x, request);
    atomic_store(&request->toy->last_loop, http_exchange_loop(x));
    atomic_fetch_add(&request->toy->counts.begun, 1);
    struct gfs_slice path = http_exchange_request(x)->raw_path;
    size_t digit = 0;
    while (digit < path.len && (path.ptr[digit] < '0' || path.ptr[digit] > '9')) {
        digit++;
    }
    for (; digit < path.len && path.ptr[digit] >= '0' && path.ptr[digit] <= '9'; digit++) {
        request->size = request->size * 10 + (uint64_t)(path.ptr[digit] - '0');
    }
    if (is_path(request, "/refuse")) {
        reply_text(request, 403, "refused");
    }
}

static size_t on_body(struct http_exchange *x, const char *ptr, size_t len)
{
    struct toy_request *request = http_exchange_data(x);
    atomic_fetch_add(&request->toy->counts.bodies, 1);
    if (is_path(request, "/middle-async")) {
        if (request->size != 403) {
            request->size = 403;
            give_job(request, TOY_REPLY);
        }
        return len;
    }
    if (is_path(request, "/middle")) {
        reply_text(request, 403, "refused in the middle");
        return 0;
    }
    size_t take = is_path(request, "/pause") ? GFS_MIN(len, (size_t)TOY_PAUSE_LEN) : len;
    for (size_t i = 0; i < take && !is_path(request, "/sink"); i++) {
        request->sum += (unsigned char)ptr[i];
    }
    request->body_len += take;
    if (take < len) {
        give_job(request, TOY_RESUME);
    }
    return take;
}

static void on_end(struct http_exchange *x)
{
    struct toy_request *request = http_exchange_data(x);
    atomic_fetch_add(&request->toy->counts.ended, 1);
    if (is_path(request, "/status/")) {
        http_reply(x, &(struct http_reply){.status = (int)request->size});
    } else if (is_path(request, "/length/")) {
        http_reply(
            x, &(struct http_reply){.status = 200, .length = request->size, .has_length = true});
    } else if (is_path(request, "/echo") || is_path(request, "/pause") ||
               is_path(request, "/sink")) {
        char text[64];
        (void)snprintf(text, sizeof text, "%llu %llu", (unsigned long long)request->body_len,
                       (unsigned long long)request->sum);
        reply_text(request, 200, text);
    } else if (is_path(request, "/async")) {
        give_job(request, TOY_REPLY);
    } else if (!is_path(request, "/hold") && !is_path(request, "/middle")) {
        reply_stream(request);
    }
}

static void on_closed(struct http_exchange *x, bool aborted)
{
    struct toy_request *request = http_exchange_data(x);
    struct toy *toy = request->toy;
    (void)pthread_mutex_lock(&toy->lock); /* the worker reads x of queued jobs */
    request->x = NULL;
    bool has_job = request->has_job;
    for (struct toy_request **link = &toy->jobs; *link != NULL; link = &(*link)->next_job) {
        if (*link == request) {
            *link = request->next_job;
            has_job = false;
            break;
        }
    }
    (void)pthread_mutex_unlock(&toy->lock);
    if (aborted) {
        atomic_fetch_add(&toy->counts.aborted, 1);
    }
    if (!has_job) {
        free(request);
    }
    atomic_fetch_add(&toy->counts.closed, 1);
}

/* ---- the toy ---- */

struct http_handler toy_handler(struct toy *toy)
{
    return (struct http_handler){
        .arg = toy, .begin = on_begin, .body = on_body, .end = on_end, .closed = on_closed};
}

struct toy *toy_new(void)
{
    struct toy *toy = gfs_alloc(sizeof *toy);
    toy->bytes = gfs_alloc(TOY_BYTES_MAX + TOY_PERIOD);
    for (int i = 0; i < TOY_BYTES_MAX + TOY_PERIOD; i++) {
        toy->bytes[i] = (char)('a' + i % TOY_PERIOD);
    }
    (void)pthread_mutex_init(&toy->lock, NULL);
    (void)pthread_cond_init(&toy->ready, NULL);
    int rc = pthread_create(&toy->worker, NULL, worker_main, toy);
    GFS_ASSERT(rc == 0);
    return toy;
}

void toy_free(struct toy *toy)
{
    (void)pthread_mutex_lock(&toy->lock);
    toy->is_stopping = true;
    (void)pthread_cond_signal(&toy->ready);
    (void)pthread_mutex_unlock(&toy->lock);
    (void)pthread_join(toy->worker, NULL);
    (void)pthread_mutex_destroy(&toy->lock);
    (void)pthread_cond_destroy(&toy->ready);
    free(toy->bytes);
    free(toy);
}
