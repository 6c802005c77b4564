/* Exchanges of the admin address:
 *
 *   begin: who signs -> which route -> what the body may be    -> refused at once, or
 *   end:   the body's hash, its JSON, the parameters           -> refused, or a worker's job
 *   job:   the route's function, on a thread that may wait     -> posted back -> reply
 *
 * A request lives until its exchange was closed and its job has come back, whichever is later. A
 * job that may hang in a disk is an errand's. One that does not come back in time keeps its
 * request; the exchange goes to another one, which answers that. */
#include "goodfs/admin.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "gateway/auth.h"
#include "gateway/worker.h"
#include "goodfs/admin_call.h"
#include "goodfs/admin_replay.h"
#include "goodfs/credentials.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"
#include "pool/pool_errand.h"

enum {
    ARENA_LEN_MAX = 128 * 1024 * 1024, /* the chunks of the largest object */
    READER_COUNT = 3,
    READERS_QUEUED_MAX = 64,
    ASKER_COUNT = 2,
    ASKERS_QUEUED_MAX = 16,
    CHANGERS_QUEUED_MAX = 16,
    CONNECTIONS_MAX = 64,
    REQUEST_ID_LEN = 16,
    CALL_WAIT_MS = 30000,
    STOP_WAIT_MS = 3000, /* the same, when the server stops */
    WAIT_STEP_MS = 50,
    HUNG_MAX = 8,      /* calls by errands */
    END_WAIT_MS = 500, /* for calls that were given up and are about to end */
};

struct admin {
    struct admin_options options;
    struct http_server *http;
    struct worker_pool *readers, *askers, *changers;
    struct pool_errands *errands;
    struct admin_replay *replay; /* the listener thread's */
    atomic_uint live_count;      /* requests begun, not yet destroyed and not given up */
    atomic_uint hung_count;      /* calls by errands, those given up included */
    _Atomic int64_t stop_ns;     /* when it was told to stop; 0 = not yet */
};

/* A job that an errand does: what outlives a request that is answered. */
struct hanging {
    struct admin_request *r;
    bool is_given_up; /* set before the errand is let go: it destroys the request */
};

/* Owned by the listener's thread, but for `call` and `reply` while is_working. */
struct admin_request {
    struct admin *admin;
    struct http_exchange *x; /* NULL once closed */
    struct http_loop *loop;
    const struct admin_route *route;
    struct gfs_slice path; /* for the log */
    struct gfs_arena arena;
    struct gfs_buf body, reply;
    struct auth_result auth;
    struct admin_call call;
    struct gfs_json_out json;
    struct gfs_json *document; /* what call.body is in */
    struct worker_job job;
    struct http_task task;
    enum gfs_err err; /* of the job */
    bool is_head, is_replied, is_working;
    bool is_given_up;           /* set on the loop, which then lets go of it */
    struct pool_errand *errand; /* of the job; NULL = none */
    struct hanging *hanging;    /* the errand's */
    char request_id[REQUEST_ID_LEN + 1];
};

/* ---- answers ---- */

/* Plain data. */
struct answer {
    int status;
    const char *code;
};

static struct answer answer_of(enum gfs_err err)
{
    switch ((int)err) {
    case GFS_OK:
        return (struct answer){200, "OK"};
    case GFS_NOT_FOUND:
        return (struct answer){404, "NotFound"};
    case GFS_INVALID:
    case GFS_RANGE:
        return (struct answer){400, "InvalidArgument"};
    case GFS_DENIED:
        return (struct answer){403, "AccessDenied"};
    case GFS_EXISTS:
    case GFS_CONFLICT:
    case GFS_NOT_EMPTY:
    case GFS_PRECONDITION:
        return (struct answer){409, "Conflict"};
    case GFS_TOO_BIG:
        return (struct answer){413, "TooBig"};
    case GFS_UNSUPPORTED:
        return (struct answer){501, "NotSupported"};
    case GFS_BUSY:
        return (struct answer){503, "Busy"};
    case GFS_UNREACHABLE:
    case GFS_STOPPED:
    case GFS_TIMEOUT:
        return (struct answer){503, "Unavailable"};
    case GFS_NO_SPACE:
        return (struct answer){507, "NoSpace"};
    default:
        return (struct answer){500, "InternalError"};
    }
}

static void reply(struct admin_request *r, int status, const char *type)
{
    r->is_replied = true;
    if (r->x == NULL) {
        return;
    }
    const struct http_reply_header headers[] = {
        {GFS_SLICE_LITERAL("content-type"), gfs_slice_str(type)},
        {GFS_SLICE_LITERAL("x-amz-request-id"), gfs_slice_of(r->request_id, REQUEST_ID_LEN)},
        {GFS_SLICE_LITERAL("cache-control"), GFS_SLICE_LITERAL("no-store")},
    };
    struct http_reply http = {
        .status = status,
        .header_count = GFS_COUNT(headers),
        .headers = headers,
        .body = r->is_head ? HTTP_BODY_NONE : HTTP_BODY_BYTES,
        .bytes = gfs_buf_slice(&r->reply),
        .length = r->reply.len,
        .has_length = r->is_head,
    };
    http_reply(r->x, &http);
}

static void reply_error(struct admin_request *r, struct answer answer, const char *message)
{
    char path[256];
    gfs_log(answer.status >= 500 ? GFS_LOG_WARN : GFS_LOG_INFO,
            "req=%s op=admin path=%s status=%d code=%s", r->request_id,
            gfs_log_quote(r->path, path, sizeof path), answer.status, answer.code);
    struct gfs_json_out out;
    gfs_buf_clear(&r->reply);
    gfs_json_out_init(&out, &r->reply);
    gfs_json_out_object(&out, NULL);
    gfs_json_out_object(&out, "error");
    gfs_json_out_text(&out, "code", answer.code);
    gfs_json_out_text(&out, "message", message);
    gfs_json_out_end_object(&out);
    gfs_json_out_text(&out, "request_id", r->request_id);
    gfs_json_out_end_object(&out);
    gfs_buf_add_char(&r->reply, '\n');
    reply(r, answer.status, "application/json");
}

static void reply_fail(struct admin_request *r, enum gfs_err err, const char *message)
{
    reply_error(r, answer_of(err), message);
}

/* ---- life ---- */

static struct admin_request *new_request(struct admin *admin, struct http_exchange *x)
{
    struct admin_request *r = gfs_alloc(sizeof *r);
    r->admin = admin;
    r->x = x;
    gfs_arena_init(&r->arena, ARENA_LEN_MAX);
    gfs_buf_init(&r->body, ADMIN_BODY_LEN_MAX);
    gfs_buf_init(&r->reply, ADMIN_REPLY_LEN_MAX);
    return r;
}

static void destroy(struct admin_request *r)
{
    struct admin *admin = r->admin;
    gfs_json_free(r->document);
    gfs_buf_fini(&r->body);
    gfs_buf_fini(&r->reply);
    gfs_arena_fini(&r->arena);
    bool is_given_up = r->is_given_up;
    free(r);
    if (is_given_up) {
        atomic_fetch_sub(&admin->hung_count, 1);
    } else {
        atomic_fetch_sub(&admin->live_count, 1); /* last: the admin may go now */
    }
}

static bool is_key(struct gfs_slice access_key, const char *known)
{
    size_t len = strlen(known);
    return len == access_key.len && gfs_const_time_eq(known, access_key.ptr, len);
}

/* The root's or an admin user's. */
static bool find_key(void *arg, struct gfs_slice access_key, char *ret_secret)
{
    const struct admin_options *options = &((const struct admin *)arg)->options;
    const char *secret = is_key(access_key, options->access_key) ? options->secret_key : NULL;
    for (size_t i = 0; i < options->user_count && secret == NULL; i++) {
        secret =
            is_key(access_key, options->users[i].access_key) ? options->users[i].secret_key : NULL;
    }
    if (secret != NULL) {
        memcpy(ret_secret, secret, strlen(secret) + 1);
    }
    return secret != NULL;
}

/* Signed by header, with the root's or an admin user's keys, the body included. */
static bool is_allowed(struct admin_request *r, const struct http_request *request)
{
    struct auth_options options = {.keys = {find_key, r->admin},
                                   .now_s = gfs_wall_ms() / 1000,
                                   .service = GFS_SLICE_LITERAL("goodfs")};
    struct auth_detail detail;
    enum s3_err err = auth_verify(&options, request, &r->arena, &r->auth, &detail);
    if (err != S3_OK) {
        reply_error(r, (struct answer){s3_err_status(err), s3_err_code(err)},
                    detail.message == NULL ? s3_err_message(err) : detail.message);
    } else if (r->auth.is_anonymous) {
        reply_fail(r, GFS_DENIED, "requests here are signed, with root or admin keys");
    } else if (r->auth.is_presigned || r->auth.payload != AUTH_PAYLOAD_SHA256) {
        reply_fail(r, GFS_DENIED,
                   "requests here are signed by the Authorization header, body included");
    } else {
        return true;
    }
    return false;
}

static void find_route(struct admin_request *r, const struct http_request *request)
{
    struct gfs_slice api = GFS_SLICE_LITERAL("/_/admin/");
    enum gfs_err err = admin_routes_find(request, &r->arena, &r->route, r->call.args);
    bool is_open = err == GFS_OK && r->route->access == ADMIN_ANYONE;
    bool is_api = gfs_slice_starts(request->raw_path, api);
    /* an unknown requester learns nothing about what exists */
    if (!is_open && (is_api || err == GFS_OK) && !is_allowed(r, request)) {
        return;
    }
    if (err == GFS_NOT_FOUND) {
        reply_fail(r, err, "there is nothing at this path");
    } else if (err == GFS_UNSUPPORTED) {
        reply_error(r, (struct answer){405, "MethodNotAllowed"},
                    "this path cannot be used with that method");
    } else if (err != GFS_OK) {
        reply_fail(r, err, "the path has a bad escape, or names what is not UTF-8");
    } else if (request->content_length > ADMIN_BODY_LEN_MAX) {
        reply_fail(r, GFS_TOO_BIG, "the body is larger than 16 KiB");
    } else if (r->route->members == NULL && request->content_length > 0 && !is_open) {
        reply_fail(r, GFS_INVALID, "there must be no body here");
    }
}

static void admin_begin(void *arg, struct http_exchange *x)
{
    struct admin *admin = arg;
    const struct http_request *request = http_exchange_request(x);
    struct admin_request *r = new_request(admin, x);
    atomic_fetch_add(&admin->live_count, 1);
    r->loop = http_exchange_loop(x);
    r->is_head = request->method == HTTP_HEAD;
    uint8_t id[REQUEST_ID_LEN / 2];
    gfs_random(id, sizeof id);
    gfs_hex_encode(id, sizeof id, r->request_id);
    r->path = gfs_arena_copy(&r->arena, request->raw_path);
    r->call = (struct admin_call){.services = &admin->options,
                                  .query = gfs_arena_copy(&r->arena, request->raw_query),
                                  .arena = &r->arena,
                                  .out = &r->json,
                                  .text = &r->reply,
                                  .status = 200};
    http_exchange_set_data(x, r);
    find_route(r, request);
}

static size_t admin_body(struct http_exchange *x, const char *ptr, size_t len)
{
    struct admin_request *r = http_exchange_data(x);
    if (!r->is_replied) {
        gfs_buf_add(&r->body, ptr, len);
    }
    return len;
}

/* The body is what was signed, and an object of the members that the route knows. */
static enum gfs_err check_body(struct admin_request *r)
{
    uint8_t have[GFS_SHA256_LEN];
    struct gfs_error *error = &r->call.error;
    if (r->body.is_full) {
        return gfs_fail(error, GFS_TOO_BIG, "the body is larger than 16 KiB");
    }
    gfs_sha256(gfs_buf_slice(&r->body), have);
    if (!gfs_const_time_eq(have, r->auth.sha256, sizeof have)) {
        return gfs_fail(error, GFS_INVALID, "the body is not the one that was signed");
    }
    if (r->body.len == 0) {
        return GFS_OK;
    }
    if (r->route->members == NULL) {
        return gfs_fail(error, GFS_INVALID, "there must be no body here");
    }
    enum gfs_err err = gfs_json_parse(gfs_buf_slice(&r->body), &r->document, error);
    if (err != GFS_OK) {
        return gfs_wrap(error, GFS_INVALID, "the body");
    }
    if (gfs_json_type(r->document) != GFS_JSON_OBJECT) {
        return gfs_fail(error, GFS_INVALID, "the body must be a JSON object");
    }
    r->call.body = r->document;
    return GFS_OK;
}

/* ---- work ---- */

static void finish(struct admin_request *r)
{
    r->is_working = false;
    if (r->err != GFS_OK) {
        reply_fail(r, r->err,
                   r->call.error.text[0] == '\0' ? gfs_err_text(r->err) : r->call.error.text);
    } else if (r->reply.is_full) {
        reply_fail(r, GFS_TOO_BIG, "the answer is larger than 64 MiB");
    } else if (r->route->is_text) {
        reply(r, r->call.status, "text/plain; version=0.0.4; charset=utf-8");
    } else {
        if (r->route->thread == ADMIN_CHANGER) {
            char path[256];
            gfs_log(GFS_LOG_INFO, "req=%s op=admin method=%s path=%s status=200", r->request_id,
                    r->route->method, gfs_log_quote(r->path, path, sizeof path));
        }
        reply(r, 200, "application/json");
    }
    if (r->x == NULL) {
        destroy(r);
    }
}

static void come_back(struct http_task *task)
{
    finish(GFS_CONTAINER_OF(task, struct admin_request, task));
}

/* The job hangs in a disk and keeps the request: another one, which counts as this one did, answers
 * in its stead. What is read of it here is never changed. */
static void give_up(struct http_task *task)
{
    struct admin_request *hung = GFS_CONTAINER_OF(task, struct admin_request, task);
    struct admin *admin = hung->admin;
    struct admin_request *r = new_request(admin, hung->x);
    r->loop = hung->loop;
    r->route = hung->route;
    r->is_head = hung->is_head;
    r->path = gfs_arena_copy(&r->arena, hung->path);
    memcpy(r->request_id, hung->request_id, sizeof r->request_id);
    if (r->x != NULL) {
        http_exchange_set_data(r->x, r);
    }
    hung->x = NULL;
    hung->is_given_up = hung->hanging->is_given_up = true;
    pool_errand_let_go(hung->errand); /* it may be gone now */
    reply_fail(r, GFS_TIMEOUT,
               r->route->thread == ADMIN_CHANGER
                   ? "a disk does not answer: given up; when it answers it may still be done"
                   : "a disk does not answer: given up");
    if (r->x == NULL) {
        destroy(r);
    }
}

static void run_route(struct admin_request *r)
{
    if (!r->route->is_text) {
        gfs_json_out_init(&r->json, &r->reply);
        gfs_json_out_object(&r->json, NULL);
    }
    r->err = r->route->run(&r->call);
    if (!r->route->is_text && r->err == GFS_OK) {
        gfs_json_out_end_object(&r->json);
        gfs_buf_add_char(&r->reply, '\n');
    }
}

static void work(struct worker_job *job)
{
    struct admin_request *r = GFS_CONTAINER_OF(job, struct admin_request, job);
    run_route(r);
    r->task.fn = come_back;
    http_post(r->loop, &r->task);
}

/* ---- work that may hang ---- */

static void run_errand(void *arg)
{
    struct hanging *hanging = arg;
    run_route(hanging->r);
}

static void end_errand(void *arg)
{
    struct hanging *hanging = arg;
    if (hanging->is_given_up) { /* else the request may be gone */
        destroy(hanging->r);
    }
    free(hanging);
}

/* Until when it is waited for, as of now: sooner once the server stops. */
static int64_t wait_until_ns(struct admin *admin, int64_t begun_ns)
{
    int64_t until_ns = begun_ns + admin->options.call_wait_ms * INT64_C(1000000);
    int64_t stop_ns = atomic_load(&admin->stop_ns);
    return stop_ns == 0 ? until_ns : GFS_MIN(until_ns, stop_ns + STOP_WAIT_MS * INT64_C(1000000));
}

static void work_by_errand(struct worker_job *job)
{
    struct admin_request *r = GFS_CONTAINER_OF(job, struct admin_request, job);
    struct admin *admin = r->admin;
    int64_t begun_ns = gfs_monotonic_ns();
    bool is_over = false;
    if (atomic_fetch_add(&admin->hung_count, 1) >= HUNG_MAX) {
        r->err = gfs_fail(&r->call.error, GFS_BUSY, "%d calls hang in disks already", HUNG_MAX);
        is_over = true;
    } else {
        r->hanging = gfs_alloc(sizeof *r->hanging);
        r->hanging->r = r;
        r->errand =
            pool_errand_start(admin->errands, "admin-call", run_errand, end_errand, r->hanging);
    }
    while (!is_over && gfs_monotonic_ns() < wait_until_ns(admin, begun_ns)) {
        is_over = pool_errand_await(r->errand, WAIT_STEP_MS);
    }
    if (is_over) { /* not given up: the errand leaves the request alone */
        atomic_fetch_sub(&admin->hung_count, 1);
        pool_errand_let_go(r->errand);
    }
    r->task.fn = is_over ? come_back : give_up;
    http_post(r->loop, &r->task);
}

static struct worker_pool *workers_of(struct admin_request *r)
{
    struct admin *admin = r->admin;
    switch (r->route->thread) {
    case ADMIN_CHANGER:
        return admin->changers;
    case ADMIN_ASKER:
        return admin->askers;
    case ADMIN_READER:
    case ADMIN_LOOP:
        break;
    }
    return admin->readers;
}

/* A change is made once, however often somebody sends what was signed. */
static enum gfs_err check_replay(struct admin_request *r)
{
    struct gfs_error *error = &r->call.error;
    if (r->route->access == ADMIN_ANYONE || r->route->thread != ADMIN_CHANGER) {
        return GFS_OK;
    }
    enum gfs_err err =
        admin_replay_note(r->admin->replay, r->auth.seed_signature, gfs_monotonic_ns());
    if (err == GFS_EXISTS) {
        return gfs_fail(error, GFS_DENIED, "it was made already: sign it with another nonce");
    }
    return err == GFS_OK ? err : gfs_fail(error, err, "too many changes in half an hour");
}

static void admin_end(struct http_exchange *x)
{
    struct admin_request *r = http_exchange_data(x);
    if (r->is_replied) {
        return;
    }
    enum gfs_err err = r->route->access == ADMIN_ANYONE ? GFS_OK : check_body(r);
    if (err == GFS_OK && r->route->access != ADMIN_ANYONE) {
        err = admin_call_check(r->route, &r->call);
    }
    err = err == GFS_OK ? check_replay(r) : err;
    if (err != GFS_OK) {
        reply_fail(r, err, r->call.error.text);
        return;
    }
    if (r->route->thread == ADMIN_LOOP) {
        run_route(r);
        finish(r);
        return;
    }
    r->job.run = r->route->thread == ADMIN_READER ? work : work_by_errand;
    r->is_working = true;
    if (!worker_submit(workers_of(r), &r->job)) {
        r->is_working = false;
        reply_fail(r, GFS_BUSY, "too many calls are waiting already");
    }
}

static void admin_closed(struct http_exchange *x, bool aborted)
{
    (void)aborted;
    struct admin_request *r = http_exchange_data(x);
    r->x = NULL;
    if (!r->is_working) {
        destroy(r);
    }
}

static bool is_idle(void *arg)
{
    struct admin *admin = arg;
    return atomic_load(&admin->live_count) == 0;
}

/* No request is under way. false: calls that were given up hang. */
static bool free_threads(struct admin *admin)
{
    worker_pool_free(admin->readers);
    worker_pool_free(admin->askers);
    worker_pool_free(admin->changers);
    bool is_free = pool_errands_end(admin->errands, END_WAIT_MS);
    if (is_free) {
        pool_errands_free(admin->errands);
    }
    return is_free;
}

static struct worker_pool *new_workers(uint32_t thread_count, uint32_t queue_max)
{
    const struct worker_options options = {.thread_count = thread_count, .queue_max = queue_max};
    return worker_pool_new(&options);
}

enum gfs_err admin_start(const struct admin_options *options, struct admin **ret,
                         struct gfs_error *error)
{
    struct admin *admin = gfs_alloc(sizeof *admin);
    admin->options = *options;
    if (admin->options.call_wait_ms == 0) {
        admin->options.call_wait_ms = CALL_WAIT_MS;
    }
    admin->errands = pool_errands_new();
    admin->replay = admin_replay_new();
    admin->readers = new_workers(READER_COUNT, READERS_QUEUED_MAX);
    admin->askers = new_workers(ASKER_COUNT, ASKERS_QUEUED_MAX);
    admin->changers = new_workers(1, CHANGERS_QUEUED_MAX);
    struct http_server_options http = {
        .listen = options->listen,
        .loop_count = 1,
        .connection_max = CONNECTIONS_MAX,
        .idle_timeout_s = 30,
        .header_timeout_s = 10,
        .body_bytes_per_s_min = 1024,
        .handler = {admin, admin_begin, admin_body, admin_end, admin_closed, is_idle},
    };
    enum gfs_err err = http_server_start(&http, &admin->http, error);
    if (err != GFS_OK) {
        (void)free_threads(admin); /* none was made */
        admin_replay_free(admin->replay);
        free(admin);
        return err;
    }
    *ret = admin;
    return GFS_OK;
}

bool admin_stop(struct admin *admin, uint32_t work_ms)
{
    if (admin == NULL) {
        return true;
    }
    atomic_store(&admin->stop_ns, gfs_monotonic_ns());
    if (!http_server_stop(admin->http, 0, work_ms) || !free_threads(admin)) {
        return false;
    }
    admin_replay_free(admin->replay);
    free(admin);
    return true;
}

struct http_server *admin_http(struct admin *admin)
{
    return admin->http;
}
