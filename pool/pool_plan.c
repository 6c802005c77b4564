/* Disks that come, fail, are replaced, drained and retired. The rule for each slot is one function,
 * place_slot; where slots go is pool_plan_load.c. */
#include "pool/pool_plan.h"

#include <stdio.h>

#include "libgoodfs/mem.h"
#include "pool/pool_plan_load.h"
#include "pool/pool_plan_log.h"

enum pool_plan_limits { GROUP0_COPIES = 3 };

static bool is_gone(const struct pool_map_disk *disk)
{
    return disk->state == POOL_DISK_FAILED || disk->state == POOL_DISK_REMOVED;
}

static void free_loads(struct pool_plan_loads **loads)
{
    pool_plan_load_free(*loads);
}

static void free_map(struct pool_map **map)
{
    pool_map_free(*map);
}

/* *map becomes what was done to its copy. */
static void adopt(struct pool_map *map, struct pool_map *copy)
{
    struct pool_map old = *map;
    *map = *copy;
    *copy = old;
}

enum gfs_err pool_plan_add_disk(struct pool_map *map, const struct pool_map_disk *disk,
                                uint16_t *ret_number, struct gfs_error *error)
{
    uint16_t known = pool_map_find_disk(map, disk->id);
    if (known != POOL_NO_DISK) {
        return gfs_fail(error, GFS_EXISTS, "%.100s is disk %u already", disk->path, known);
    }
    if (map->disk_count == POOL_DISKS_MAX) {
        return gfs_fail(error, GFS_BUSY, "a pool has at most %d disks in its life", POOL_DISKS_MAX);
    }
    uint16_t number = pool_map_add_disk(map, disk);
    map->disks[number].state = POOL_DISK_ACTIVE;
    if (map->groups[0].slots[0].disk == POOL_NO_DISK) {
        map->groups[0].slots[0].disk = number;
    }
    *ret_number = number;
    return GFS_OK;
}

/* Another disk for a slot whose disk is lost (its fragments are rebuilt, or still are at `from`) or
 * to be emptied (then it becomes `from`). False: nothing can be done now. A slot that is being
 * filled from a disk stays until that is done when its own disk is to be emptied: otherwise two
 * disks would have parts of it. Unless it can go back to where it came from. Neither may one disk
 * be the `from` of two slots. */
static bool place_slot(struct pool_plan_loads *loads, struct pool_map *map, uint32_t number,
                       unsigned index, bool is_lost)
{
    struct pool_slot slot = map->groups[number].slots[index];
    uint16_t came_from = slot.from;
    if (came_from != POOL_NO_DISK) {
        bool can_return = pool_plan_load_can_take(&map->disks[came_from]) &&
                          !pool_plan_load_has_disk(&map->groups[number], came_from);
        if (can_return) {
            pool_plan_load_set(loads, number, index, came_from, is_lost ? POOL_NO_DISK : slot.disk);
            return true;
        }
    }
    bool has_parts_elsewhere =
        came_from != POOL_NO_DISK || pool_plan_load_has_from(&map->groups[number], slot.disk);
    if (!is_lost && has_parts_elsewhere) {
        return false;
    }
    uint16_t disk = pool_plan_load_choose(loads, number);
    if (disk == POOL_NO_DISK) {
        return false;
    }
    uint16_t from = is_lost ? slot.from : slot.disk;
    bool has_from = from != POOL_NO_DISK && !is_gone(&map->disks[from]) && from != disk;
    pool_plan_load_set(loads, number, index, disk, has_from ? from : POOL_NO_DISK);
    return true;
}

/* Nothing can be read from the disk any more. */
static void forget_from(struct pool_map *map, uint16_t disk)
{
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            if (map->groups[g].slots[i].from == disk) {
                map->groups[g].slots[i].from = POOL_NO_DISK;
            }
        }
    }
}

static enum gfs_err check_number(const struct pool_map *map, uint16_t disk, struct gfs_error *error)
{
    if (disk >= map->disk_count || map->disks[disk].state == POOL_DISK_REMOVED) {
        return gfs_fail(error, GFS_INVALID, "disk %u is no disk of the pool any more", disk);
    }
    return GFS_OK;
}

/* Every slot on a disk of that state gets another one; answers how many did not. */
static uint32_t place_all(struct pool_map *map, enum pool_disk_state state, uint32_t *ret_placed)
{
    GFS_CLEANUP(free_loads) struct pool_plan_loads *loads = pool_plan_load_new(map);
    uint32_t left = 0;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            uint16_t disk = map->groups[g].slots[i].disk;
            if (disk == POOL_NO_DISK || map->disks[disk].state != state) {
                continue;
            }
            bool is_placed = place_slot(loads, map, g, i, state == POOL_DISK_FAILED);
            *ret_placed += is_placed ? 1 : 0;
            left += is_placed ? 0 : 1;
        }
    }
    return left;
}

enum gfs_err pool_plan_fail(struct pool_map *map, uint16_t disk, uint32_t *ret_unplaced,
                            struct gfs_error *error)
{
    enum gfs_err err = check_number(map, disk, error);
    if (err == GFS_OK) {
        err = pool_plan_log_lose(map, disk, error);
    }
    if (err != GFS_OK) {
        return err;
    }
    map->disks[disk].state = POOL_DISK_FAILED;
    map->disks[disk].is_behind = false; /* it has no part any more: nothing to catch up with */
    forget_from(map, disk);
    uint32_t placed = 0;
    *ret_unplaced = place_all(map, POOL_DISK_FAILED, &placed);
    pool_plan_log_disks(map);
    return GFS_OK;
}

void pool_plan_return(struct pool_map *map, uint16_t disk)
{
    struct pool_map_disk *in_map = &map->disks[disk];
    GFS_ASSERT(in_map->state != POOL_DISK_REMOVED);
    if (in_map->state == POOL_DISK_FAILED) {
        in_map->state = POOL_DISK_ACTIVE;
    }
    in_map->is_behind = true;
    pool_plan_log_disks(map);
}

uint32_t pool_plan_place(struct pool_map *map)
{
    uint32_t placed = 0;
    (void)place_all(map, POOL_DISK_FAILED, &placed);
    (void)place_all(map, POOL_DISK_DRAINING, &placed);
    return placed;
}

/* The slot of `disk` goes to `by`. A slot that is being filled from elsewhere is left to place_slot
 * later when its disk is not lost. */
static void hand_over(struct pool_plan_loads *loads, struct pool_map *map, uint32_t number,
                      unsigned index, uint16_t by)
{
    struct pool_slot slot = map->groups[number].slots[index];
    bool is_lost = map->disks[slot.disk].state == POOL_DISK_FAILED;
    bool has_by = pool_plan_load_has_disk(&map->groups[number], by);
    bool has_parts_elsewhere =
        slot.from != POOL_NO_DISK || pool_plan_load_has_from(&map->groups[number], slot.disk);
    if (has_by || (!is_lost && has_parts_elsewhere)) {
        (void)place_slot(loads, map, number, index, is_lost);
        return;
    }
    uint16_t from = is_lost ? slot.from : slot.disk;
    pool_plan_load_set(loads, number, index, by, from == by ? POOL_NO_DISK : from);
}

enum gfs_err pool_plan_replace(struct pool_map *map, uint16_t disk, uint16_t by, bool is_lost,
                               struct gfs_error *error)
{
    enum gfs_err err = check_number(map, disk, error);
    if (err == GFS_OK) {
        err = check_number(map, by, error);
    }
    if (err == GFS_OK && (disk == by || map->disks[by].state != POOL_DISK_ACTIVE)) {
        err = gfs_fail(error, GFS_INVALID, "disk %u cannot take the place of disk %u", by, disk);
    }
    is_lost = is_lost || (err == GFS_OK && map->disks[disk].state == POOL_DISK_FAILED);
    if (err == GFS_OK && is_lost) {
        err = pool_plan_log_lose(map, disk, error);
    }
    if (err != GFS_OK) {
        return err;
    }
    struct pool_map_disk *replaced = &map->disks[disk];
    if (is_lost) {
        replaced->state = POOL_DISK_FAILED;
        replaced->is_behind = false;
        replaced->path[0] = '\0'; /* given up: the place is taken */
        forget_from(map, disk);
    } else if (replaced->state == POOL_DISK_ACTIVE) {
        replaced->state = POOL_DISK_DRAINING;
    }
    GFS_CLEANUP(free_loads) struct pool_plan_loads *loads = pool_plan_load_new(map);
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            if (map->groups[g].slots[i].disk == disk) {
                hand_over(loads, map, g, i, by);
            }
        }
    }
    pool_plan_log_disks(map);
    return GFS_OK;
}

static uint32_t count_usable(const struct pool_map *map)
{
    uint32_t usable = 0;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        usable += pool_plan_load_can_take(&map->disks[i]) ? 1 : 0;
    }
    return usable;
}

/* Without the disk. what: that cannot be done to it. */
static enum gfs_err refuse(const struct pool_map *map, uint16_t disk, struct pool_profile profile,
                           const char *what, struct gfs_error *error)
{
    char text[POOL_PROFILE_TEXT_SIZE];
    pool_profile_format(profile, text);
    return gfs_fail(error, GFS_INVALID,
                    "disk %u cannot be %s: %s needs %u disks that take new data, and without it "
                    "there are %u that do; add one first",
                    disk, what, text, pool_profile_width(profile), count_usable(map));
}

/* Whether every group that uses the disk has another one to go to. */
static enum gfs_err check_drain(struct pool_map *map, uint16_t disk, struct gfs_error *error)
{
    GFS_CLEANUP(free_loads) struct pool_plan_loads *loads = pool_plan_load_new(map);
    for (uint32_t g = 0; g < map->group_count; g++) {
        const struct pool_group *group = &map->groups[g];
        if (pool_plan_load_has_disk(group, disk) &&
            pool_plan_load_choose(loads, g) == POOL_NO_DISK) {
            return refuse(map, disk, group->profile, "drained", error);
        }
    }
    return GFS_OK;
}

enum gfs_err pool_plan_drain(struct pool_map *map, uint16_t disk, struct gfs_error *error)
{
    enum gfs_err err = check_number(map, disk, error);
    if (err != GFS_OK) {
        return err;
    }
    GFS_CLEANUP(free_map) struct pool_map *copy = pool_map_copy(map);
    if (copy->disks[disk].state == POOL_DISK_FAILED) {
        copy->disks[disk].path[0] = '\0';
    } else {
        copy->disks[disk].state = POOL_DISK_DRAINING;
        err = check_drain(copy, disk, error);
    }
    if (err != GFS_OK) {
        return err;
    }
    (void)pool_plan_place(copy);
    pool_plan_log_disks(copy);
    adopt(map, copy);
    return GFS_OK;
}

enum gfs_err pool_plan_read_only(struct pool_map *map, uint16_t disk, struct gfs_error *error)
{
    enum gfs_err err = check_number(map, disk, error);
    if (err != GFS_OK || map->disks[disk].is_read_only) {
        return err;
    }
    GFS_CLEANUP(free_map) struct pool_map *copy = pool_map_copy(map);
    copy->disks[disk].is_read_only = true;
    uint32_t usable = count_usable(copy);
    bool is_done[POOL_EC + 1][POOL_WIDTH_MAX][POOL_WIDTH_MAX] = {0}; /* by kind, k, m */
    for (uint32_t g = 1; g < map->group_count; g++) { /* group 0 gets nothing new at all */
        struct pool_profile profile = map->groups[g].profile;
        bool *is_this_done = &is_done[profile.kind][profile.k][profile.m];
        if (*is_this_done) {
            continue;
        }
        *is_this_done = true;
        err = usable < pool_profile_width(profile)
                  ? refuse(copy, disk, profile, "made read-only", error)
                  : pool_plan_profile(copy, profile, error);
        if (err != GFS_OK) {
            return err;
        }
    }
    adopt(map, copy);
    return GFS_OK;
}

/* Nothing is left to do that a lost disk could still help with. */
static bool is_whole(const struct pool_map *map)
{
    for (uint32_t i = 0; i < map->disk_count; i++) {
        if (!is_gone(&map->disks[i]) && map->disks[i].is_behind) {
            return false;
        }
    }
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            struct pool_slot slot = map->groups[g].slots[i];
            if (slot.is_filling || is_gone(&map->disks[slot.disk])) {
                return false;
            }
        }
    }
    return true;
}

uint32_t pool_plan_retire(struct pool_map *map)
{
    bool is_named[POOL_DISKS_MAX] = {0};
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            struct pool_slot slot = map->groups[g].slots[i];
            GFS_ASSERT(slot.disk < map->disk_count);
            is_named[slot.disk] = true;
            if (slot.from != POOL_NO_DISK) {
                is_named[slot.from] = true;
            }
        }
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        struct pool_map_disk *disk = &map->disks[i];
        /* One that is behind was away or lost: no slot may name it for what others lack. */
        bool is_empty = disk->state == POOL_DISK_DRAINING && !is_named[i] && !disk->is_behind;
        bool is_given_up =
            disk->state == POOL_DISK_FAILED && disk->path[0] == '\0' && is_whole(map);
        if ((is_empty || is_given_up) && !pool_plan_log_has(map, (uint16_t)i)) {
            disk->state = POOL_DISK_REMOVED;
            disk->is_behind = false;
            count++;
        }
    }
    return count;
}

bool pool_plan_widen_group0(struct pool_map *map, bool has_chunks)
{
    if (!has_chunks) {
        return false;
    }
    GFS_CLEANUP(free_loads) struct pool_plan_loads *loads = pool_plan_load_new(map);
    unsigned wanted = GFS_MIN(count_usable(map), (uint32_t)GROUP0_COPIES);
    struct pool_group *group = &map->groups[0];
    bool has_changed = false;
    while (pool_profile_width(group->profile) < wanted) {
        uint16_t disk = pool_plan_load_choose(loads, 0);
        if (disk == POOL_NO_DISK) {
            break;
        }
        unsigned slot = pool_profile_width(group->profile);
        group->slots[slot] = (struct pool_slot){.disk = POOL_NO_DISK, .from = POOL_NO_DISK};
        group->profile.m++;
        pool_plan_load_set(loads, 0, slot, disk, POOL_NO_DISK);
        has_changed = true;
    }
    return has_changed;
}

struct pool_profile pool_plan_default_profile(uint32_t disk_count)
{
    if (disk_count >= 6) {
        return (struct pool_profile){.kind = POOL_EC, .k = 4, .m = 2};
    }
    if (disk_count >= 4) {
        return (struct pool_profile){.kind = POOL_EC, .k = 2, .m = 2};
    }
    uint8_t copies = (uint8_t)GFS_MAX(disk_count, 1U);
    return (struct pool_profile){.kind = POOL_REPLICA, .k = 1, .m = (uint8_t)(copies - 1)};
}
