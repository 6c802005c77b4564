/* Which disks keep copies of the metadata's log: as many as should, on disks that stay. A copy that
 * has to go does so only when a majority is in sync without it. */
#include "pool/pool_plan_log.h"

#include "libgoodfs/mem.h"
#include "pool/pool_plan.h"
#include "pool/pool_plan_load.h"

static bool is_gone(const struct pool_map_disk *disk)
{
    return disk->state == POOL_DISK_FAILED || disk->state == POOL_DISK_REMOVED;
}

bool pool_plan_log_has(const struct pool_map *map, uint16_t disk)
{
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == disk) {
            return true;
        }
    }
    return false;
}

static void drop_log_disk(struct pool_map *map, uint32_t index)
{
    map->log_disk_count--;
    for (uint32_t i = index; i < map->log_disk_count; i++) {
        map->log_disks[i] = map->log_disks[i + 1];
    }
}

enum gfs_err pool_plan_log_lose(struct pool_map *map, uint16_t disk, struct gfs_error *error)
{
    uint32_t at = map->log_disk_count;
    bool has_other = false;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == disk) {
            at = i;
        } else {
            has_other |= map->log_disks[i].is_in_sync;
        }
    }
    if (at == map->log_disk_count) {
        return GFS_OK;
    }
    if (map->log_disks[at].is_in_sync && !has_other) {
        return gfs_fail(error, GFS_UNREACHABLE,
                        "disk %u (%.100s) has the only complete copy of the metadata: it cannot be "
                        "given up",
                        disk, map->disks[disk].path);
    }
    drop_log_disk(map, at);
    return GFS_OK;
}

/* The next disk that should get a copy of the log; one that is whole is better. */
static uint16_t next_log_disk(const struct pool_map *map)
{
    uint16_t behind = POOL_NO_DISK;
    for (uint16_t i = 0; i < map->disk_count; i++) {
        const struct pool_map_disk *disk = &map->disks[i];
        if (!pool_plan_load_has_share(disk) || disk->is_full || pool_plan_log_has(map, i)) {
            continue;
        }
        if (!disk->is_behind) {
            return i;
        }
        behind = behind == POOL_NO_DISK ? i : behind;
    }
    return behind;
}

/* Plain data. The log disks by what is to become of them. */
struct log_counts {
    uint32_t wanted;          /* as many as there should be and disks may have one */
    uint32_t staying;         /* on disks that stay */
    uint32_t staying_in_sync; /* of these */
    uint32_t in_sync;         /* all */
};

/* One more than the disks that any data survives the loss of, and no fewer than three. */
static uint32_t wanted_log_disks(const struct pool_map *map)
{
    uint32_t wanted = POOL_LOG_DISKS_MIN;
    for (uint32_t i = 0; i < map->group_count; i++) {
        wanted = GFS_MAX(wanted, (uint32_t)map->groups[i].profile.m + 1);
    }
    return GFS_MIN(wanted, (uint32_t)POOL_LOG_DISKS);
}

static struct log_counts count_log(const struct pool_map *map)
{
    struct log_counts counts = {0};
    for (uint32_t i = 0; i < map->disk_count; i++) {
        counts.wanted += pool_plan_load_has_share(&map->disks[i]) ? 1 : 0;
    }
    counts.wanted = GFS_MIN(counts.wanted, wanted_log_disks(map));
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        bool stays = pool_plan_load_has_share(&map->disks[map->log_disks[i].disk]);
        bool is_in_sync = map->log_disks[i].is_in_sync;
        counts.staying += stays ? 1 : 0;
        counts.staying_in_sync += stays && is_in_sync ? 1 : 0;
        counts.in_sync += is_in_sync ? 1 : 0;
    }
    return counts;
}

/* A copy on a disk that is being emptied goes when enough others are in sync, or when its place is
 * needed for the one that will follow it and a majority remains. One at a time; false = none. */
static bool drop_leaving(struct pool_map *map)
{
    struct log_counts counts = count_log(map);
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        const struct pool_map_disk *disk = &map->disks[map->log_disks[i].disk];
        if (pool_plan_load_has_share(disk)) {
            continue;
        }
        bool is_enough = counts.staying_in_sync >= counts.wanted && counts.wanted != 0;
        bool is_full = map->log_disk_count == POOL_LOG_DISKS && counts.staying < counts.wanted &&
                       counts.in_sync > counts.wanted / 2 + 1 &&
                       counts.staying == counts.staying_in_sync &&
                       next_log_disk(map) != POOL_NO_DISK;
        if (is_gone(disk) || !map->log_disks[i].is_in_sync || is_enough || is_full) {
            drop_log_disk(map, i);
            return true;
        }
    }
    return false;
}

static void fill_log_disks(struct pool_map *map)
{
    struct log_counts counts = count_log(map);
    uint16_t next = next_log_disk(map);
    while (counts.staying < counts.wanted && map->log_disk_count < POOL_LOG_DISKS &&
           next != POOL_NO_DISK) {
        map->log_disks[map->log_disk_count++] = (struct pool_log_disk){.disk = next};
        counts.staying++;
        next = next_log_disk(map);
    }
}

void pool_plan_log_disks(struct pool_map *map)
{
    bool has_dropped = true;
    fill_log_disks(map);
    while (has_dropped) {
        has_dropped = drop_leaving(map);
        fill_log_disks(map);
    }
}

uint32_t pool_plan_logs_needed(const struct pool_map *map)
{
    uint32_t disks = 0;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        disks += pool_map_disk_is_in_use(&map->disks[i]) ? 1 : 0;
    }
    return GFS_MIN(disks, (uint32_t)POOL_LOG_DISKS_MIN) / 2 + 1;
}
