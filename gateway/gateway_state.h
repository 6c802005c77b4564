/* What the gateway's own files share. Plain data. Immutable after gateway_start, except counters.
 */
#pragma once

#include <stdatomic.h>

#include "gateway/auth.h"
#include "gateway/gateway.h"
#include "gateway/worker.h"

enum { GATEWAY_OPS_MAX = 96, GATEWAY_WORKER_QUEUE_MAX = 4096 };

struct s3_op;
struct gfs_md5_pool;

struct gateway_op_counters {
    _Atomic(const struct s3_op *) op;
    atomic_uint_fast64_t requests, errors_4xx, errors_5xx, ns_total;
};

struct gateway {
    struct gateway_options options; /* strings are the caller's */
    struct auth_keys keys;
    struct http_server *http;
    struct worker_pool *workers;
    struct gfs_md5_pool **md5_pools;    /* one for each loop, used on its thread only */
    atomic_uint_fast64_t live_requests; /* begun and not yet destroyed */
    atomic_uint_fast64_t ingest_bytes;  /* memory of small bodies under way */
    struct gateway_op_counters counters[GATEWAY_OPS_MAX];
};

/* Adds one finished request to the counters of its operation. Any thread. */
void gateway_count(struct gateway *gw, const struct s3_op *op, int status, int64_t ns);
