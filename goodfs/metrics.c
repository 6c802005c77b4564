#include "goodfs/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

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

/* Plain data. A counter or level of a disk's store. */
struct disk_metric {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t or bool in struct store_stats */
    bool is_bool;
};
#define FIELD(field) offsetof(struct store_stats, field)

static const struct disk_metric disk_metrics[] = {
    {"goodfs_flushes_total", "counter", "flushes to stable storage", FIELD(flushes), false},
    {"goodfs_log_batches_total", "counter", "group commits", FIELD(batches), false},
    {"goodfs_log_groups_total", "counter", "groups committed", FIELD(groups), false},
    {"goodfs_groups_refused_total", "counter", "groups refused for lack of space",
     FIELD(groups_refused), false},
    {"goodfs_written_bytes_total", "counter", "bytes written", FIELD(bytes_written), false},
    {"goodfs_chunks", "gauge", "live chunks", FIELD(chunks), false},
    {"goodfs_log_bytes", "gauge", "bytes of log segments", FIELD(log_bytes), false},
    {"goodfs_log_live_bytes", "gauge", "live bytes in log segments", FIELD(log_live_bytes), false},
    {"goodfs_bulk_live_bytes", "gauge", "live bytes in bulk segments", FIELD(bulk_live_bytes),
     false},
    {"goodfs_compacted_bytes_total", "counter", "bytes moved by compaction", FIELD(compacted_bytes),
     false},
    {"goodfs_disk_total_bytes", "gauge", "size of the file system", FIELD(space_total), false},
    {"goodfs_disk_free_bytes", "gauge", "free bytes of the file system", FIELD(space_free), false},
    {"goodfs_damaged_places", "gauge", "damage found in the log at start", FIELD(damaged_places),
     false},
    {"goodfs_bulk_kept_bytes", "gauge", "bytes in nobody's name that are kept",
     FIELD(bulk_kept_bytes), false},
    {"goodfs_disk_failed", "gauge", "1 after a write or flush error", FIELD(has_failed), true},
};

/* Plain data. One disk as it was when it was looked at. */
struct seen_disk {
    char dir[POOL_PATH_LEN_MAX];
    struct store_stats stats;
};

struct seen_disks {
    struct seen_disk *disks;
    size_t count;
};

static void see_disk(void *arg, const char *dir, const struct store_stats *stats)
{
    struct seen_disks *seen = arg;
    if (seen->count < POOL_DISKS_MAX) {
        struct seen_disk *disk = &seen->disks[seen->count++];
        (void)snprintf(disk->dir, sizeof disk->dir, "%s", dir);
        disk->stats = *stats;
    }
}

static uint64_t value_of(const struct store_stats *stats, const struct disk_metric *field)
{
    const char *at = (const char *)stats + field->offset;
    uint64_t value = 0;
    bool flag = false;
    if (field->is_bool) {
        memcpy(&flag, at, sizeof flag);
        return flag ? 1 : 0;
    }
    memcpy(&value, at, sizeof value);
    return value;
}

static void write_label(struct gfs_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            gfs_buf_add_str(out, "\\n");
            continue;
        }
        if (*text == '"' || *text == '\\') {
            gfs_buf_add_char(out, '\\');
        }
        gfs_buf_add_char(out, *text);
    }
}

/* One disk alone has no label. */
static void write_disks(struct gfs_buf *out, struct storage *storage)
{
    struct seen_disks seen = {.disks = gfs_alloc_array(POOL_DISKS_MAX, sizeof *seen.disks)};
    bool has_label = storage_pool(storage) != NULL;
    disks_each(storage_disks(storage), see_disk, &seen);
    for (size_t i = 0; i < GFS_COUNT(disk_metrics); i++) {
        const struct disk_metric *field = &disk_metrics[i];
        gfs_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", field->name, field->help, field->name,
                       field->type);
        for (size_t disk = 0; disk < seen.count; disk++) {
            gfs_buf_add_str(out, field->name);
            if (has_label) {
                gfs_buf_add_str(out, "{disk=\"");
                write_label(out, seen.disks[disk].dir);
                gfs_buf_add_str(out, "\"}");
            }
            gfs_buf_printf(out, " %" PRIu64 "\n", value_of(&seen.disks[disk].stats, field));
        }
    }
    free(seen.disks);
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

void metrics_write(struct gfs_buf *out, struct gateway *gateway, struct storage *storage)
{
    if (gateway != NULL) {
        write_gateway(out, gateway);
    }
    write_disks(out, storage);
    write_shard(out, storage_shard(storage));
    if (storage_pool(storage) != NULL) {
        pool_metrics(storage_pool(storage), out);
    }
}
