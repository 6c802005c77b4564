/* The whole of it: how the server is, its disks, its metadata. */
#include <inttypes.h>
#include <stdio.h>

#include "goodfs/admin_call.h"
#include "goodfs/fsck.h"
#include "libgoodfs/clock.h"
#include "pool/pool.h"

enum { REASON_SIZE = 256 };

static const char *const health_texts[] = {
    [POOL_HEALTHY] = "healthy", [POOL_DEGRADED] = "degraded", [POOL_READ_ONLY] = "read-only"};

/* Of a store of one directory. */
static enum pool_health plain_health(struct chunk_store *chunks, char *ret_reason, size_t size)
{
    struct chunk_store_status status;
    chunks->ops->status(chunks, &status);
    const char *reason = status.has_failed           ? "the disk has failed"
                         : status.is_full            ? "the disk is full"
                         : status.damaged_places > 0 ? "damage was found in the log"
                                                     : "";
    (void)snprintf(ret_reason, size, "%s", reason);
    return status.has_failed || status.is_full ? POOL_READ_ONLY
           : status.damaged_places > 0         ? POOL_DEGRADED
                                               : POOL_HEALTHY;
}

/* Disks that are all well now may have lost something all the same, or have failed in a way that
 * left open what became of a change. */
static enum pool_health judge_rest(const struct admin_options *services, char *ret_reason,
                                   size_t size)
{
    struct shard_stats stats;
    shard_stats(services->shard, &stats);
    if (stats.has_failed) {
        (void)snprintf(ret_reason, size, "%s",
                       "the metadata takes no changes: a write of it "
                       "failed; if that lasts, restart the server");
        return POOL_READ_ONLY;
    }
    struct fsck_verdict verdict;
    fsck_judge(services->fsck, &verdict);
    if (verdict.losses != 0) {
        (void)snprintf(ret_reason, size,
                       "too little is left of %" PRIu64 " chunks of objects; fsck names them",
                       verdict.losses);
    } else if (verdict.has_damage) {
        (void)snprintf(ret_reason, size, "%s",
                       "rows of the metadata are damaged: what they name "
                       "cannot be read");
    } else if (verdict.is_unsure) {
        (void)snprintf(ret_reason, size, "%s",
                       "a disk was given up: fsck has not seen yet whether anything is lost");
    } else {
        return POOL_HEALTHY;
    }
    return POOL_DEGRADED;
}

enum gfs_err admin_run_health(struct admin_call *call)
{
    char reason[REASON_SIZE] = "";
    struct pool *pool = call->services->pool;
    enum pool_health health = pool == NULL
                                  ? plain_health(call->services->chunks, reason, sizeof reason)
                                  : pool_health(pool, reason, sizeof reason);
    if (health == POOL_HEALTHY) {
        health = judge_rest(call->services, reason, sizeof reason);
    }
    gfs_json_out_text(call->out, "health", health_texts[health]);
    gfs_json_out_text(call->out, "reason", health == POOL_HEALTHY ? "" : reason);
    return GFS_OK;
}

static void write_server(struct admin_call *call)
{
    const struct admin_options *services = call->services;
    gfs_json_out_object(call->out, "server");
    gfs_json_out_text(call->out, "version", GFS_VERSION);
    gfs_json_out_i64(call->out, "uptime_s",
                     (gfs_monotonic_ns() - services->started_ns) / 1000000000);
    gfs_json_out_end_object(call->out);
}

static void write_metadata(struct admin_call *call)
{
    struct shard_stats stats;
    char dir[POOL_PATH_LEN_MAX] = "";
    const char *live = call->services->dir;
    if (call->services->pool != NULL) {
        (void)pool_mirror_dir(call->services->pool, 0, dir);
        live = dir;
    }
    shard_stats(call->services->shard, &stats);
    gfs_json_out_object(call->out, "metadata");
    gfs_json_out_text(call->out, "live", live);
    gfs_json_out_u64(call->out, "committed_lsn", stats.committed_lsn);
    gfs_json_out_u64(call->out, "applied_lsn", stats.applied_lsn);
    gfs_json_out_u64(call->out, "damaged_rows", stats.damaged_rows);
    gfs_json_out_bool(call->out, "has_failed", stats.has_failed);
    gfs_json_out_end_object(call->out);
}

enum gfs_err admin_run_status(struct admin_call *call)
{
    enum gfs_err err = admin_run_health(call);
    write_server(call);
    write_metadata(call);
    if (call->services->pool == NULL) {
        gfs_json_out_null(call->out, "pool");
    } else {
        pool_status_json(call->services->pool, call->out, "pool");
    }
    return err;
}

/* The one directory. */
static void write_disk(struct admin_call *call)
{
    struct gfs_json_out *out = call->out;
    struct chunk_store_status status;
    call->services->chunks->ops->status(call->services->chunks, &status);
    gfs_json_out_object(out, NULL);
    gfs_json_out_u64(out, "number", 0);
    gfs_json_out_text(out, "path", call->services->dir);
    gfs_json_out_text(out, "state", status.has_failed ? "failed" : "active");
    gfs_json_out_bool(out, "is_full", status.is_full);
    gfs_json_out_u64(out, "capacity", status.space_total);
    gfs_json_out_u64(out, "free", status.space_free);
    gfs_json_out_u64(out, "live_bytes", status.live_bytes);
    gfs_json_out_u64(out, "chunks", status.chunks);
    gfs_json_out_u64(out, "read_errors", status.read_errors);
    gfs_json_out_end_object(out);
}

enum gfs_err admin_run_disks(struct admin_call *call)
{
    if (call->services->pool != NULL) {
        pool_disks_json(call->services->pool, call->out, "disks");
        return GFS_OK;
    }
    gfs_json_out_array(call->out, "disks");
    write_disk(call);
    gfs_json_out_end_array(call->out);
    return GFS_OK;
}
