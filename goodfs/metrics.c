#include "goodfs/metrics.h"

#include <inttypes.h>

static void metric(struct gfs_buf *out, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    gfs_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type,
                   name, value);
}

struct op_totals {
    struct gfs_buf *out;
    const char *name;
    int field;
};

static void write_op(void *arg, const struct gateway_op_stats *op)
{
    struct op_totals *totals = arg;
    switch (totals->field) {
    case 0:
        gfs_buf_printf(totals->out, "%s{op=\"%s\"} %" PRIu64 "\n", totals->name, op->name,
                       op->requests);
        break;
    case 1:
        gfs_buf_printf(
            totals->out,
            "%s{op=\"%s\",class=\"4xx\"} %" PRIu64 "\n%s{op=\"%s\",class=\"5xx\"} %" PRIu64 "\n",
            totals->name, op->name, op->errors_4xx, totals->name, op->name, op->errors_5xx);
        break;
    default:
        gfs_buf_printf(totals->out, "%s{op=\"%s\"} %.6f\n", totals->name, op->name,
                       (double)op->ns_total / 1e9);
        break;
    }
}

static void write_gateway(struct gfs_buf *out, struct gateway *gateway)
{
    static const char *const names[] = {"goodfs_requests_total", "goodfs_request_errors_total",
                                        "goodfs_request_seconds_total"};
    for (int field = 0; field < 3; field++) {
        gfs_buf_printf(out, "# TYPE %s counter\n", names[field]);
        struct op_totals totals = {out, names[field], field};
        gateway_each_op(gateway, write_op, &totals);
    }
    struct http_server_stats http;
    http_server_stats(gateway_http(gateway), &http);
    metric(out, "goodfs_http_requests_total", "counter", "HTTP requests begun", http.requests);
    metric(out, "goodfs_http_connections_accepted_total", "counter", "connections accepted",
           http.connections_accepted);
    metric(out, "goodfs_http_connections", "gauge", "connections open", http.connections_open);
    metric(out, "goodfs_http_bytes_in_total", "counter", "body bytes received", http.bytes_in);
    metric(out, "goodfs_http_bytes_out_total", "counter", "body bytes sent", http.bytes_out);
    metric(out, "goodfs_http_refused_framing_total", "counter", "requests refused for framing",
           http.refused_framing);
    metric(out, "goodfs_http_timeouts_total", "counter", "connections cut off as too slow",
           http.timeouts);
}

static void write_store(struct gfs_buf *out, struct store *store)
{
    struct store_stats stats;
    store_stats(store, &stats);
    metric(out, "goodfs_flushes_total", "counter", "flushes to stable storage", stats.flushes);
    metric(out, "goodfs_log_batches_total", "counter", "group commits", stats.batches);
    metric(out, "goodfs_log_groups_total", "counter", "groups committed", stats.groups);
    metric(out, "goodfs_groups_refused_total", "counter", "groups refused for lack of space",
           stats.groups_refused);
    metric(out, "goodfs_written_bytes_total", "counter", "bytes written", stats.bytes_written);
    metric(out, "goodfs_chunks", "gauge", "live chunks", stats.chunks);
    metric(out, "goodfs_log_bytes", "gauge", "bytes of log segments", stats.log_bytes);
    metric(out, "goodfs_log_live_bytes", "gauge", "live bytes in log segments",
           stats.log_live_bytes);
    metric(out, "goodfs_bulk_live_bytes", "gauge", "live bytes in bulk segments",
           stats.bulk_live_bytes);
    metric(out, "goodfs_compacted_bytes_total", "counter", "bytes moved by compaction",
           stats.compacted_bytes);
    metric(out, "goodfs_disk_total_bytes", "gauge", "size of the file system", stats.space_total);
    metric(out, "goodfs_disk_free_bytes", "gauge", "free bytes of the file system",
           stats.space_free);
    metric(out, "goodfs_damaged_places", "gauge", "damage found in the log at start",
           stats.damaged_places);
    metric(out, "goodfs_bulk_kept_bytes", "gauge", "bytes in nobody's name that are kept",
           stats.bulk_kept_bytes);
    metric(out, "goodfs_disk_failed", "gauge", "1 after a write or flush error",
           stats.has_failed ? 1 : 0);
}

static void write_shard(struct gfs_buf *out, struct shard *shard)
{
    struct shard_stats stats;
    shard_stats(shard, &stats);
    metric(out, "goodfs_meta_committed_lsn", "gauge", "last committed edit", stats.committed_lsn);
    metric(out, "goodfs_meta_applied_lsn", "gauge", "last edit applied to the database",
           stats.applied_lsn);
    metric(out, "goodfs_meta_overlay_bytes", "gauge", "edits not yet applied", stats.overlay_bytes);
    metric(out, "goodfs_meta_cache_bytes", "gauge", "row cache", stats.cache_bytes);
}

void metrics_write(struct gfs_buf *out, struct gateway *gateway, struct store *store,
                   struct shard *shard)
{
    if (gateway != NULL) {
        write_gateway(out, gateway);
    }
    if (store != NULL) {
        write_store(out, store);
    }
    if (shard != NULL) {
        write_shard(out, shard);
    }
}
