/* The log mirrors at a start.
 *
 * What was acknowledged is on every mirror in sync. What was not may be on some: it is given to the
 * others, so that all have the same again. Nothing of a mirror that is not in sync counts: it may
 * have edits that nobody else has and that were never acknowledged. */
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_log.h"
#include "pool/pool_open.h"

struct mirror {
    struct pool_log_disk *in_map;
    struct chunk_store *store;
    uint64_t lsn_last, lsn_gone;
    bool is_damaged;
};

static uint32_t collect(struct pool_map *map, struct pool_disk *const disks[POOL_DISKS_MAX],
                        struct mirror ret[POOL_LOG_DISKS])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        struct pool_log_disk *log_disk = &map->log_disks[i];
        if (!log_disk->is_in_sync || disks[log_disk->disk] == NULL) {
            continue;
        }
        struct chunk_store *store = disks[log_disk->disk]->store;
        struct chunk_store_status status = {0};
        struct gfs_error error = {0};
        store->ops->status(store, &status);
        struct mirror *mirror = &ret[count++];
        *mirror = (struct mirror){.in_map = log_disk,
                                  .store = store,
                                  .lsn_last = status.lsn_last,
                                  .lsn_gone = status.lsn_gone};
        if (status.damaged_places != 0 && pool_log_check(store, &error) != GFS_OK) {
            gfs_log(GFS_LOG_WARN,
                    "op=start disk=%u msg=\"the copy of the metadata's log is "
                    "damaged: %s\"",
                    log_disk->disk, error.text);
            mirror->is_damaged = true;
        }
    }
    return count;
}

static const struct mirror *longest(const struct mirror *mirrors, uint32_t count)
{
    const struct mirror *best = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (!mirrors[i].is_damaged && (best == NULL || mirrors[i].lsn_last > best->lsn_last)) {
            best = &mirrors[i];
        }
    }
    return best;
}

static void even_out(const struct mirror *from, struct mirror *to)
{
    struct gfs_error error = {0};
    uint16_t number = to->in_map->disk;
    if (to->is_damaged) {
        to->in_map->is_in_sync = false;
        return;
    }
    if (to->lsn_last >= from->lsn_last) {
        return;
    }
    if (to->lsn_last < from->lsn_gone) { /* it lacks what was acknowledged: an older copy of it? */
        to->in_map->is_in_sync = false;
        gfs_log(GFS_LOG_ERROR,
                "op=start disk=%u lsn=%llu gone=%llu msg=\"its copy of the "
                "metadata's log ends before what was trimmed: it is not in sync\"",
                number, (unsigned long long)to->lsn_last, (unsigned long long)from->lsn_gone);
        return;
    }
    enum gfs_err err = pool_log_extend(from->store, to->store, &error);
    gfs_log(err == GFS_OK ? GFS_LOG_INFO : GFS_LOG_WARN,
            "op=start disk=%u lsn=%llu to=%llu err=%s msg=\"brings the metadata's log up to date "
            "%s\"",
            number, (unsigned long long)to->lsn_last, (unsigned long long)from->lsn_last,
            gfs_err_name(err), error.text);
    to->in_map->is_in_sync = err == GFS_OK;
}

static void leave_out_absent(struct pool_map *map, struct pool_disk *const disks[POOL_DISKS_MAX])
{
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        struct pool_log_disk *log_disk = &map->log_disks[i];
        if (log_disk->is_in_sync && disks[log_disk->disk] == NULL) {
            log_disk->is_in_sync = false;
            gfs_log(GFS_LOG_WARN,
                    "op=start disk=%u msg=\"its copy of the metadata is not there, "
                    "and not in sync any more\"",
                    log_disk->disk);
        }
    }
}

/* Of all disks: one that is to be a mirror can only take edits behind those it has. */
static uint64_t highest_lsn(const struct pool_map *map,
                            struct pool_disk *const disks[POOL_DISKS_MAX])
{
    uint64_t lsn = 0;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        if (disks[i] != NULL) {
            struct chunk_store_status status = {0};
            disks[i]->store->ops->status(disks[i]->store, &status);
            lsn = GFS_MAX(lsn, GFS_MAX(status.lsn_last, status.lsn_floor));
        }
    }
    return lsn;
}

enum gfs_err pool_even_logs(struct pool_map *map, struct pool_disk *const disks[POOL_DISKS_MAX],
                            uint64_t *ret_lsn, struct gfs_error *error)
{
    struct mirror mirrors[POOL_LOG_DISKS];
    uint32_t count = collect(map, disks, mirrors);
    *ret_lsn = highest_lsn(map, disks);
    if (count == 0) {
        return gfs_fail(error, GFS_UNREACHABLE,
                        "none of the disks with a complete copy of the metadata is there");
    }
    leave_out_absent(map, disks);
    const struct mirror *best = longest(mirrors, count);
    if (best == NULL) {
        return GFS_OK; /* all are damaged: together they may still have everything */
    }
    for (uint32_t i = 0; i < count; i++) {
        if (&mirrors[i] != best) {
            even_out(best, &mirrors[i]);
        }
    }
    return GFS_OK;
}
