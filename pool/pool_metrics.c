/* A pool in numbers, as Prometheus text. The disks' own numbers are written by who opened them. */
#include <inttypes.h>

#include "libgoodfs/buf.h"
#include "pool/pool_state.h"

static void gauge(struct gfs_buf *out, const char *name, const char *help, uint64_t value)
{
    gfs_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %" PRIu64 "\n", name, help, name, name,
                   value);
}

static void counter(struct gfs_buf *out, const char *name, const char *help, uint64_t value)
{
    gfs_buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %" PRIu64 "\n", name, help, name,
                   name, value);
}

/* Plain data. */
struct disk_counts {
    uint64_t active, draining, failed, away, behind;
};

static struct disk_counts count_disks(const struct pool_view *view)
{
    struct disk_counts counts = {0};
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        const struct pool_map_disk *disk = &view->map->disks[i];
        bool is_used = disk->state == POOL_DISK_ACTIVE || disk->state == POOL_DISK_DRAINING;
        counts.active += disk->state == POOL_DISK_ACTIVE ? 1 : 0;
        counts.draining += disk->state == POOL_DISK_DRAINING ? 1 : 0;
        counts.failed += disk->state == POOL_DISK_FAILED ? 1 : 0;
        counts.away += is_used && !pool_disk_is_usable(view->disks[i]) ? 1 : 0;
        counts.behind += is_used && disk->is_behind ? 1 : 0;
    }
    return counts;
}

static void write_disks(struct gfs_buf *out, const struct pool_view *view)
{
    struct disk_counts counts = count_disks(view);
    const struct {
        const char *state;
        uint64_t count;
    } rows[] = {{"active", counts.active},
                {"draining", counts.draining},
                {"failed", counts.failed},
                {"away", counts.away},
                {"behind", counts.behind}};
    gfs_buf_add_str(out, "# HELP goodfs_pool_disks disks of the pool by state\n"
                         "# TYPE goodfs_pool_disks gauge\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gfs_buf_printf(out, "goodfs_pool_disks{state=\"%s\"} %" PRIu64 "\n", rows[i].state,
                       rows[i].count);
    }
}

static void write_repair(struct gfs_buf *out, struct pool *pool)
{
    struct pool_repair_summary repair;
    pool_reconcile_summary(pool, &repair);
    gauge(out, "goodfs_repair_left_fragments", "fragments still to be made", repair.left);
    gauge(out, "goodfs_repair_left_bytes", "bytes of them", repair.left_bytes);
    gauge(out, "goodfs_lost_chunks", "chunks of which too few fragments are left", repair.lost);
    counter(out, "goodfs_healed_fragments_total", "bad fragments written anew", repair.healed);
}

void pool_metrics(struct pool *pool, struct gfs_buf *out)
{
    char reason[256];
    gauge(out, "goodfs_pool_health", "0 healthy, 1 degraded, 2 read-only",
          (uint64_t)pool_health(pool, reason, sizeof reason));
    struct pool_view *view = pool_view_get(pool);
    const struct pool_map *map = view->map;
    uint64_t in_sync = 0;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        in_sync += map->log_disks[i].is_in_sync ? 1 : 0;
    }
    gauge(out, "goodfs_pool_map_version", "version of the map in force", map->version);
    gauge(out, "goodfs_pool_groups", "placement groups", map->group_count);
    gauge(out, "goodfs_pool_mirrors_in_sync", "mirrors of the edit log that are in sync", in_sync);
    write_disks(out, view);
    pool_view_put(view);
    write_repair(out, pool);
}
