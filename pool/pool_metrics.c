/* Counters and levels of a pool for Prometheus. */
#include <inttypes.h>

#include "libgoodfs/mem.h"
#include "pool/pool_state.h"

static void gauge(struct gfs_buf *out, const char *name, const char *help, uint64_t value)
{
    gfs_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %" PRIu64 "\n", name, help, name, name,
                   value);
}

static void write_health(struct pool *pool, struct gfs_buf *out)
{
    char reason[256];
    enum pool_health health = pool_health(pool, reason, sizeof reason);
    gauge(out, "goodfs_pool_health", "0 healthy, 1 degraded, 2 read-only", (uint64_t)health);
}

static void write_map(struct pool *pool, struct gfs_buf *out)
{
    static const char *const states[] = {[POOL_DISK_ACTIVE] = "active",
                                         [POOL_DISK_DRAINING] = "draining",
                                         [POOL_DISK_FAILED] = "failed"};
    struct pool_view *view = pool_view_get(pool);
    const struct pool_map *map = view->map;
    uint64_t counts[POOL_DISK_REMOVED + 1] = {0};
    uint64_t away = 0, behind = 0, in_sync = 0;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        const struct pool_map_disk *disk = &map->disks[i];
        bool counts_in = pool_map_disk_is_in_use(disk);
        counts[disk->state]++;
        away += counts_in && !pool_disk_is_usable(view->disks[i]);
        behind += counts_in && disk->is_behind;
    }
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        in_sync += map->log_disks[i].is_in_sync;
    }
    gfs_buf_add_str(out, "# HELP goodfs_pool_disks disks of the map\n"
                         "# TYPE goodfs_pool_disks gauge\n");
    for (size_t i = POOL_DISK_ACTIVE; i < GFS_COUNT(states); i++) {
        gfs_buf_printf(out, "goodfs_pool_disks{state=\"%s\"} %" PRIu64 "\n", states[i], counts[i]);
    }
    gauge(out, "goodfs_pool_disks_away", "disks in use that are not there", away);
    gauge(out, "goodfs_pool_disks_behind", "disks that may lack fragments", behind);
    gauge(out, "goodfs_pool_mirrors_in_sync", "disks with all edits and the database", in_sync);
    gauge(out, "goodfs_pool_map_version", "version of the map in force", map->version);
    gauge(out, "goodfs_pool_groups", "placement groups", map->group_count);
    pool_view_put(view);
}

static void write_repair(struct pool *pool, struct gfs_buf *out)
{
    struct pool_repair_summary repair;
    pool_reconcile_summary(pool, &repair);
    gauge(out, "goodfs_repair_running", "1 while chunks are compared or moved",
          repair.is_running ? 1 : 0);
    gauge(out, "goodfs_repair_left", "fragments still to be made", repair.left);
    gauge(out, "goodfs_repair_left_bytes", "bytes still to be written", repair.left_bytes);
    gauge(out, "goodfs_repair_unplaced", "fragments whose disk is lost, away or read-only",
          repair.unplaced);
    gauge(out, "goodfs_chunks_lost", "chunks of which too few fragments are left", repair.lost);
    gauge(out, "goodfs_suspects", "bad fragments that wait for repair", pool_suspect_count(pool));
    gauge(out, "goodfs_unrepaired", "bad fragments that could not be repaired",
          pool_suspect_unrepaired(pool));
    gfs_buf_printf(out,
                   "# HELP goodfs_healed_total bad fragments written anew\n"
                   "# TYPE goodfs_healed_total counter\ngoodfs_healed_total %" PRIu64 "\n",
                   repair.healed);
}

void pool_metrics(struct pool *pool, struct gfs_buf *out)
{
    write_health(pool, out);
    write_map(pool, out);
    write_repair(pool, out);
}
