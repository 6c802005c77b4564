#include "gateway/gateway.h"

#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "gateway/s3.h"
#include "gateway/s3_request.h"
#include "libgoodfs/md5_lanes.h"
#include "libgoodfs/mem.h"

enum {
    SECRET_LEN_MAX = 128,
    /* Each disk that begins to hang while it has the live metadata may keep as many threads as the
     * shard has readers. */
    WORKERS_EXTRA_MAX = 28,
    WORKERS_LATE_MS = 2000,
};

/* Compares the whole candidate, in time that does not depend on where it differs. */
static bool find_root_key(void *arg, struct gfs_slice access_key, char *ret_secret)
{
    const struct gateway *gw = arg;
    struct gfs_slice root = gfs_slice_str(gw->options.access_key);
    if (root.len != access_key.len || !gfs_const_time_eq(root.ptr, access_key.ptr, root.len)) {
        return false;
    }
    size_t len = strlen(gw->options.secret_key);
    memcpy(ret_secret, gw->options.secret_key, len + 1);
    return true;
}

static void destroy(struct gateway *gw)
{
    worker_pool_free(gw->workers);
    for (uint32_t i = 0; i < gw->options.http.loop_count; i++) {
        gfs_md5_pool_free(gw->md5_pools[i]);
    }
    free(gw->md5_pools);
    free(gw);
}

enum gfs_err gateway_start(const struct gateway_options *options, struct gateway **ret,
                           struct gfs_error *error)
{
    if (strlen(options->secret_key) < 8 || strlen(options->secret_key) > SECRET_LEN_MAX) {
        return gfs_fail(error, GFS_INVALID, "the root secret key must have 8 to %d characters",
                        SECRET_LEN_MAX);
    }
    if (strlen(options->access_key) < 3 || strlen(options->access_key) > SECRET_LEN_MAX ||
        strpbrk(options->access_key, "/ ,=") != NULL) {
        return gfs_fail(error, GFS_INVALID,
                        "the root access key must have 3 to %d characters, none of \"/ ,=\"",
                        SECRET_LEN_MAX);
    }
    struct gateway *gw = gfs_alloc(sizeof *gw);
    gw->options = *options;
    gw->keys = (struct auth_keys){find_root_key, gw};
    const struct worker_options workers = {.thread_count = options->worker_count,
                                           .extra_max = WORKERS_EXTRA_MAX,
                                           .late_ms = WORKERS_LATE_MS,
                                           .queue_max = GATEWAY_WORKER_QUEUE_MAX};
    gw->workers = worker_pool_new(&workers);
    gw->md5_pools = gfs_alloc_array(options->http.loop_count, sizeof(struct gfs_md5_pool *));
    for (uint32_t i = 0; i < options->http.loop_count; i++) {
        gw->md5_pools[i] = gfs_md5_pool_new();
    }
    struct http_server_options http = options->http;
    http.handler = s3_request_handler(gw);
    enum gfs_err err = http_server_start(&http, &gw->http, error);
    if (err != GFS_OK) {
        destroy(gw);
        return err;
    }
    *ret = gw;
    return GFS_OK;
}

bool gateway_stop(struct gateway *gw, uint32_t grace_ms, uint32_t work_ms)
{
    if (gw == NULL) {
        return true;
    }
    if (!http_server_stop(gw->http, grace_ms, work_ms)) {
        return false;
    }
    destroy(gw);
    return true;
}

struct http_server *gateway_http(struct gateway *gw)
{
    return gw->http;
}

void gateway_count(struct gateway *gw, const struct s3_op *op, int status, int64_t ns)
{
    for (size_t i = 0; i < GATEWAY_OPS_MAX; i++) {
        struct gateway_op_counters *counters = &gw->counters[i];
        const struct s3_op *seen = atomic_load_explicit(&counters->op, memory_order_acquire);
        if (seen == NULL) {
            const struct s3_op *none = NULL;
            seen = atomic_compare_exchange_strong(&counters->op, &none, op) ? op : none;
        }
        if (seen != op) {
            continue;
        }
        atomic_fetch_add_explicit(&counters->requests, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&counters->ns_total, (uint64_t)ns, memory_order_relaxed);
        if (status >= 500) {
            atomic_fetch_add_explicit(&counters->errors_5xx, 1, memory_order_relaxed);
        } else if (status >= 400) {
            atomic_fetch_add_explicit(&counters->errors_4xx, 1, memory_order_relaxed);
        }
        return;
    }
}

void gateway_each_op(struct gateway *gw,
                     void (*visit)(void *arg, const struct gateway_op_stats *op), void *arg)
{
    for (size_t i = 0; i < GATEWAY_OPS_MAX; i++) {
        struct gateway_op_counters *counters = &gw->counters[i];
        const struct s3_op *op = atomic_load(&counters->op);
        if (op == NULL) {
            return;
        }
        struct gateway_op_stats stats = {
            .name = op->name,
            .requests = atomic_load(&counters->requests),
            .errors_4xx = atomic_load(&counters->errors_4xx),
            .errors_5xx = atomic_load(&counters->errors_5xx),
            .ns_total = atomic_load(&counters->ns_total),
        };
        visit(arg, &stats);
    }
}
