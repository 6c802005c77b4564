/* The operator's interface: metrics and health for everybody who can reach the address, and the
 * admin API below /_/admin/v1/ for who signs with the root keys (SigV4, service "goodfs").
 *
 * One table (admin_routes.c) of method, path, who may, and what runs; whatever is not in it is
 * refused. Nothing that may wait runs on the listener's thread, and a call that asks disks is given
 * up when it takes longer than call_wait_ms: TIMEOUT. It hangs on by itself, few at a time; what it
 * was to change may still come about. Status and health wait for no disk. */
#pragma once

#include "gateway/http_server.h"
#include "libgoodfs/buf.h"
#include "libgoodfs/chunk_store.h"
#include "libgoodfs/meta_service.h"
#include "metad/shard.h"

struct credentials;
struct fsck;
struct pool;

/* Plain data. Everything named here outlives the admin; the functions may be called from any of its
 * threads until admin_stop returns. */
struct admin_options {
    const char *const *listen;
    const char *access_key, *secret_key; /* root */
    const struct credentials *users;     /* admin users: their keys are good here only */
    size_t user_count;
    int64_t started_ns;    /* of the process, monotonic */
    uint32_t call_wait_ms; /* 0 = 30,000 */
    const char *dir;       /* the one directory, without a pool */
    struct pool *pool;     /* NULL: one directory */
    struct chunk_store *chunks;
    struct shard *shard;
    struct meta_service *meta; /* the shard's */
    struct fsck *fsck;
    void (*write_metrics)(void *arg, struct gfs_buf *out);
    /* Why not, or what is to be known all the same ("ok"). */
    bool (*is_ready)(void *arg, char *ret_reason, size_t size);
    void (*disks_changed)(void *arg); /* a disk was added or replaced; may wait */
    void *arg;
};

struct admin;
/* Listens on the addresses of the options, in a server of its own. IO, INVALID; error says which
 * address and why. */
enum gfs_err admin_start(const struct admin_options *options, struct admin **ret,
                         struct gfs_error *error) GFS_MUST_CHECK;
/* Waits for calls under way, for at most work_ms. NULL allowed: true. false: one hangs, so that the
 * admin, and what its options point to, must be left as they are until the process ends. */
bool admin_stop(struct admin *admin, uint32_t work_ms);
struct http_server *admin_http(struct admin *admin);
