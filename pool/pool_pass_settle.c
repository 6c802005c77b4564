/* The end of a pass: what it completed is said by a new map, and by the disks' stores. */
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_pass_state.h"

static bool is_there(const struct pool_pass *pass, uint16_t disk)
{
    if (disk == POOL_NO_DISK) {
        return true;
    }
    enum pool_disk_state state = pass->map->disks[disk].state;
    bool is_gone = state == POOL_DISK_FAILED || state == POOL_DISK_REMOVED;
    return is_gone || pool_disk_is_usable(pass->view->disks[disk]);
}

bool pool_pass_is_clean(const struct pool_pass *pass, uint32_t number)
{
    const struct pool_group *group = &pass->map->groups[number];
    bool is_clean = !pass->is_dirty[number];
    for (unsigned i = 0; i < pool_profile_width(group->profile) && is_clean; i++) {
        is_clean = is_there(pass, group->slots[i].disk) && is_there(pass, group->slots[i].from);
    }
    return is_clean;
}

/* Every group that keeps anything on the disk, or may, is clean. */
static bool is_covered(const struct pool_pass *pass, uint16_t disk)
{
    for (uint32_t g = 0; g < pass->map->group_count; g++) {
        const struct pool_group *group = &pass->map->groups[g];
        for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
            bool is_named = group->slots[i].disk == disk || group->slots[i].from == disk;
            if (is_named && !pool_pass_is_clean(pass, g)) {
                return false;
            }
        }
    }
    return pool_disk_is_usable(pass->view->disks[disk]);
}

static bool is_same_slot(struct pool_slot a, struct pool_slot b)
{
    return a.disk == b.disk && a.from == b.from && a.is_filling == b.is_filling;
}

static bool is_lost_disk(const struct pool_map *map, uint16_t disk)
{
    return map->disks[disk].state == POOL_DISK_FAILED ||
           map->disks[disk].state == POOL_DISK_REMOVED;
}

/* Changes what the pass asked for and still is so; answers how much that was. */
static uint32_t apply(const struct pool_pass *pass, struct pool_map *map)
{
    uint32_t count = 0;
    uint32_t group_count = GFS_MIN(map->group_count, pass->map->group_count);
    for (uint32_t g = 0; g < group_count; g++) {
        const struct pool_group *asked = &pass->map->groups[g];
        struct pool_group *group = &map->groups[g];
        bool is_same_width =
            pool_profile_width(asked->profile) == pool_profile_width(group->profile);
        if (!is_same_width || !pool_pass_is_clean(pass, g)) {
            continue;
        }
        for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
            struct pool_slot *slot = &group->slots[i];
            if (slot->is_filling && is_same_slot(*slot, asked->slots[i]) &&
                !is_lost_disk(map, slot->disk)) {
                slot->is_filling = false;
                slot->from = POOL_NO_DISK;
                count++;
            }
        }
    }
    for (uint16_t d = 0; d < pass->map->disk_count; d++) {
        if (pass->map->disks[d].is_behind && map->disks[d].is_behind && !pass->keeps_extras[d] &&
            is_covered(pass, d) &&
            atomic_load(&pass->view->disks[d]->behind_notes) == pass->behind_notes[d]) {
            map->disks[d].is_behind = false;
            count++;
        }
    }
    return count;
}

static enum gfs_err change(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)error;
    (void)apply(arg, map);
    return GFS_OK;
}

/* Damage in a disk's log has cost nothing any more. */
static void tell_stores(struct pool_pass *pass)
{
    for (uint16_t d = 0; d < pass->map->disk_count; d++) {
        if (pass->damaged[d] == 0 || !is_covered(pass, d)) {
            continue;
        }
        struct chunk_store *store = pass->view->disks[d]->store;
        struct chunk_store_status status;
        store->ops->status(store, &status);
        if (status.damaged_places == pass->damaged[d]) {
            store->ops->repaired(store);
            gfs_log(GFS_LOG_INFO, "op=repair disk=%u msg=\"log damage repaired\"", (unsigned)d);
        }
    }
}

enum gfs_err pool_pass_settle(struct pool_pass *pass)
{
    if (!pass->may_settle) {
        return GFS_AGAIN;
    }
    struct pool *pool = pass->options->pool;
    struct pool_view *view = pool_view_get(pool);
    struct pool_map *trial = pool_map_copy(view->map);
    uint32_t count = apply(pass, trial);
    pool_map_free(trial);
    pool_view_put(view);
    enum gfs_err err = GFS_OK;
    if (count > 0) {
        struct gfs_error error = {0};
        err = pool_change_map(pool, change, pass, &error);
        if (err != GFS_OK) {
            gfs_log(GFS_LOG_WARN, "op=repair err=%s msg=\"%s\"", gfs_err_name(err), error.text);
            return err;
        }
    }
    tell_stores(pass);
    return GFS_OK;
}
