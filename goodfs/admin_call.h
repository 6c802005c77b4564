/* What the admin_*.c files share: a call, and the table of what can be called. */
#pragma once

#include "goodfs/admin.h"
#include "libgoodfs/arena.h"
#include "libgoodfs/json.h"
#include "libgoodfs/json_out.h"

enum {
    ADMIN_ARGS_MAX = 2,
    ADMIN_BODY_LEN_MAX = 16 * 1024,
    ADMIN_REPLY_LEN_MAX = 64 * 1024 * 1024, /* 65,536 groups of 32 slots */
};

/* Plain data. One call, owned by the thread that works on it. */
struct admin_call {
    const struct admin_options *services;
    struct gfs_slice args[ADMIN_ARGS_MAX]; /* what stood for {name} in the path, decoded */
    struct gfs_slice query;                /* as on the wire; its names are in the route's list */
    const struct gfs_json *body; /* an object, its members are in the route's list; or NULL */
    struct gfs_arena *arena;
    struct gfs_json_out *out; /* inside the top object */
    struct gfs_buf *text;     /* what a text route answers with */
    int status;               /* of a text route; 200 */
    struct gfs_error error;
};
/* GFS_OK: the answer is in call->out. Anything else: call->error has a sentence for people. */
typedef enum gfs_err (*admin_run_fn)(struct admin_call *call);

enum admin_access {
    ADMIN_ROOT = 0, /* signed with the root keys: what a forgotten field means */
    ADMIN_ANYONE,
};
enum admin_thread {
    ADMIN_READER = 0, /* one of a few threads; waits for no disk */
    ADMIN_ASKER,      /* one of a few others, for calls that ask disks */
    ADMIN_CHANGER,    /* the one thread on which everything is changed, one call after the other */
    ADMIN_LOOP,       /* the listener's own: never waits */
};

/* Immutable. `path` is matched by segments: "{name}" is any one that is not empty, "{name...}" all
 * that is left. HEAD is allowed where GET is. */
struct admin_route {
    const char *method, *path;
    enum admin_access access;
    enum admin_thread thread;
    bool is_text;        /* answers text, not JSON */
    const char *query;   /* parameters it knows, separated by ','; NULL = none */
    const char *members; /* of its body, a JSON object; NULL = it has no body */
    admin_run_fn run;
};

/* Route of a request. NOT_FOUND: no such path; UNSUPPORTED: not with this method. INVALID: a bad
 * escape. Decoded arguments are in the arena. */
enum gfs_err admin_routes_find(const struct http_request *request, struct gfs_arena *arena,
                               const struct admin_route **ret,
                               struct gfs_slice ret_args[ADMIN_ARGS_MAX]) GFS_MUST_CHECK;
/* The index-th line of the table; NULL behind the last. */
const struct admin_route *admin_routes_at(size_t index);
/* INVALID: a parameter or member that the route does not know, or one that comes twice. */
enum gfs_err admin_call_check(const struct admin_route *route, struct admin_call *call);

/* A whole number in the query. INVALID: no number, or above max; absent: *ret is left alone. */
enum gfs_err admin_call_query(struct admin_call *call, const char *name, uint64_t max,
                              uint64_t *ret) GFS_MUST_CHECK;
/* Members of the body. Absent: *ret is left alone. INVALID: of another type or out of bounds. */
enum gfs_err admin_call_text(struct admin_call *call, const char *name, size_t len_max,
                             const char **ret) GFS_MUST_CHECK;
enum gfs_err admin_call_u64(struct admin_call *call, const char *name,
                            uint64_t *ret) GFS_MUST_CHECK;
enum gfs_err admin_call_bool(struct admin_call *call, const char *name,
                             const bool **ret) GFS_MUST_CHECK;

/* ---- admin_routes.c ---- */
enum gfs_err admin_run_routes(struct admin_call *call);
/* ---- admin_bucket.c ---- */
enum gfs_err admin_run_bucket_class(struct admin_call *call);
enum gfs_err admin_run_bucket_set_class(struct admin_call *call);
/* ---- admin_fsck.c ---- */
enum gfs_err admin_run_fsck(struct admin_call *call);
enum gfs_err admin_run_fsck_start(struct admin_call *call);
/* ---- admin_object.c ---- */
enum gfs_err admin_run_object(struct admin_call *call);
/* ---- admin_pool.c ---- */
enum gfs_err admin_run_groups(struct admin_call *call);
enum gfs_err admin_run_repair(struct admin_call *call);
enum gfs_err admin_run_scrub(struct admin_call *call);
enum gfs_err admin_run_scrub_start(struct admin_call *call);
enum gfs_err admin_run_rebalance(struct admin_call *call);
enum gfs_err admin_run_rebalance_start(struct admin_call *call);
enum gfs_err admin_run_rebalance_stop(struct admin_call *call);
enum gfs_err admin_run_disk_add(struct admin_call *call);
enum gfs_err admin_run_disk_replace(struct admin_call *call);
enum gfs_err admin_run_disk_drain(struct admin_call *call);
enum gfs_err admin_run_disk_set(struct admin_call *call);
/* ---- admin_status.c ---- */
enum gfs_err admin_run_status(struct admin_call *call);
enum gfs_err admin_run_health(struct admin_call *call);
enum gfs_err admin_run_disks(struct admin_call *call);
/* ---- admin_server.c ---- */
enum gfs_err admin_run_live(struct admin_call *call);
enum gfs_err admin_run_ready(struct admin_call *call);
enum gfs_err admin_run_metrics(struct admin_call *call);
