/* The gateway service: S3 over HTTP in front of a metadata service and a chunk store. */
#pragma once

#include "gateway/http_server.h"
#include "libgoodfs/chunk_store.h"
#include "libgoodfs/err.h"
#include "libgoodfs/meta_service.h"

struct gateway;

struct gateway_options {
    struct meta_service *meta;
    struct chunk_store *chunks;
    const char *access_key, *secret_key; /* root */
    const char *region;                  /* default us-east-1 */
    const char *const *domains;          /* virtual-host style below these; NULL-terminated */
    bool is_region_strict;
    uint32_t worker_count;           /* threads for calls that may block; more when they hang */
    uint64_t ingest_bytes_max;       /* memory for small bodies under way; over it SlowDown */
    struct http_server_options http; /* handler is set by the gateway */
    /* Answers whether the service may take requests (health), and why not, or what is to be known
     * all the same ("ok"); any thread. */
    bool (*is_ready)(void *arg, char *ret_reason, size_t size);
    void *ready_arg;
};

/* Listens and serves until gateway_stop. What the options point to outlives it. IO, INVALID: error
 * says which address or setting, and why. */
enum gfs_err gateway_start(const struct gateway_options *options, struct gateway **ret,
                           struct gfs_error *error) GFS_MUST_CHECK;
/* Finishes replies under way for at most grace_ms, then stops; what goes on for requests that are
 * closed has work_ms more. NULL allowed: true. false: some of that hangs, so that the gateway, and
 * what its options point to, must be left as they are until the process ends. */
bool gateway_stop(struct gateway *gw, uint32_t grace_ms, uint32_t work_ms);
struct http_server *gateway_http(struct gateway *gw);

/* Counters for metrics, by operation name. */
struct gateway_op_stats {
    const char *name;
    uint64_t requests, errors_4xx, errors_5xx, ns_total;
};
/* Visits the operations that were called at least once. Any thread. */
void gateway_each_op(struct gateway *gw,
                     void (*visit)(void *arg, const struct gateway_op_stats *op), void *arg);
