/* Random histories of a pool: whatever happens to its disks, in whatever order. */
#include "plan_rig.h"

enum { HISTORY_DISKS_MAX = 20, HISTORY_GROUPS_MAX = 1200 };

/* Which disks hold something of a slot that no other disk has, as bits by disk number. */
struct history {
    struct pool_map *map;
    uint64_t random;
    uint32_t held[HISTORY_GROUPS_MAX][POOL_WIDTH_MAX];
    unsigned drawn; /* disks so far */
};

static void each_slot_can_be_read(const struct history *history, const char *what)
{
    const struct pool_map *map = history->map;
    struct gfs_error error = {0};
    cr_assert_eq(pool_map_check(map, &error), GFS_OK, "%s: %s", what, error.text);
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            struct pool_slot slot = map->groups[g].slots[i];
            uint32_t found = 1U << slot.disk;
            found |= slot.from == POOL_NO_DISK ? 0 : 1U << slot.from;
            cr_assert_eq(history->held[g][i] & ~found, 0,
                         "%s: group %u slot %u is on %x, the map says %u from %u", what, g, i,
                         history->held[g][i], slot.disk, slot.from);
        }
    }
}

static void write_everywhere(struct history *history)
{
    const struct pool_map *map = history->map;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            uint16_t disk = map->groups[g].slots[i].disk;
            if (map->disks[disk].state != POOL_DISK_FAILED) {
                history->held[g][i] |= 1U << disk;
            }
        }
    }
}

static void history_pass(struct history *history)
{
    struct pool_map *map = history->map;
    plan_rig_pass(map);
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            uint16_t disk = map->groups[g].slots[i].disk;
            bool is_lost = map->disks[disk].state == POOL_DISK_FAILED;
            history->held[g][i] = is_lost ? history->held[g][i] : 1U << disk;
        }
    }
    (void)pool_plan_place(map);
    pool_plan_log_disks(map);
    (void)pool_plan_retire(map);
}

static void lose(struct history *history, uint16_t disk)
{
    for (uint32_t g = 0; g < history->map->group_count; g++) {
        for (unsigned i = 0; i < POOL_WIDTH_MAX; i++) {
            history->held[g][i] &= ~(1U << disk);
        }
    }
}

static uint16_t history_add(struct history *history)
{
    uint64_t gib = 50 + map_rig_draw(&history->random, 150);
    struct pool_map_disk disk = map_rig_disk(history->drawn++, gib);
    uint16_t number = POOL_NO_DISK;
    cr_assert_eq(pool_plan_add_disk(history->map, &disk, &number, NULL), GFS_OK);
    return number;
}

/* Slots that differ; those whose disk differs. */
static void compare(const struct pool_map *before, const struct pool_map *after, uint16_t disk,
                    const char *what)
{
    for (uint32_t g = 0; g < before->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(before->groups[g].profile); i++) {
            struct pool_slot was = before->groups[g].slots[i], is = after->groups[g].slots[i];
            enum pool_disk_state state = before->disks[was.disk].state;
            bool may_move =
                was.disk == disk || state == POOL_DISK_FAILED || state == POOL_DISK_DRAINING;
            cr_assert(may_move || was.disk == is.disk, "%s: group %u slot %u moved from %u to %u",
                      what, g, i, was.disk, is.disk);
        }
    }
}

static void history_rebalance(struct history *history)
{
    struct pool_map *map = history->map;
    uint32_t limit = 1 + (uint32_t)map_rig_draw(&history->random, 200);
    uint32_t before = plan_rig_moving(map), moved = pool_plan_rebalance(map, limit);
    cr_assert_leq(moved, limit);
    cr_assert_eq(plan_rig_moving(map), before + moved, "only what was not moving moves, and once");
}

static const char *step(struct history *history)
{
    struct pool_map *map = history->map;
    uint16_t disk = (uint16_t)map_rig_draw(&history->random, map->disk_count);
    bool is_there = map->disks[disk].state != POOL_DISK_REMOVED;
    struct pool_map *before = pool_map_copy(map);
    const char *what = "pass";
    uint32_t unplaced;
    switch (map_rig_draw(&history->random, 8)) {
    case 0:
        what = "add";
        if (history->drawn < HISTORY_DISKS_MAX) {
            (void)history_add(history);
        }
        compare(before, map, POOL_NO_DISK, what);
        break;
    case 1:
        what = "fail";
        if (is_there && pool_plan_fail(map, disk, &unplaced, NULL) == GFS_OK) {
            lose(history, disk);
            compare(before, map, disk, what);
        }
        break;
    case 2:
        what = "drain";
        if (pool_plan_drain(map, disk, NULL) == GFS_OK) {
            compare(before, map, disk, what);
        } else {
            compare(before, map, POOL_NO_DISK, what);
        }
        break;
    case 3:
    case 4: {
        what = "replace";
        bool is_lost =
            map_rig_draw(&history->random, 2) == 0 || map->disks[disk].state == POOL_DISK_FAILED;
        if (is_there && history->drawn < HISTORY_DISKS_MAX) {
            uint16_t by = history_add(history);
            if (pool_plan_replace(map, disk, by, is_lost, NULL) == GFS_OK && is_lost) {
                lose(history, disk);
            }
            compare(before, map, disk, what);
        }
        break;
    }
    case 5:
        what = "rebalance";
        history_rebalance(history);
        break;
    case 6:
        what = "set";
        map->disks[disk].is_read_only = is_there && map_rig_draw(&history->random, 4) == 0;
        map->disks[disk].is_full = map_rig_draw(&history->random, 4) == 0;
        break;
    default:
        history_pass(history);
        break;
    }
    pool_map_free(before);
    return what;
}

/* Passes and rebalances until nothing moves: then what was drained is empty and all is even. */
static void settle(struct history *history)
{
    struct pool_map *map = history->map;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        map->disks[i].is_read_only = map->disks[i].is_full = false;
    }
    for (int i = 0; i < 4; i++) {
        history_pass(history);
        (void)pool_plan_rebalance(map, UINT32_MAX);
    }
    history_pass(history);
    cr_assert_eq(pool_plan_rebalance(map, UINT32_MAX), 0);
    uint32_t active = 0;
    for (uint16_t i = 0; i < map->disk_count; i++) {
        active += map->disks[i].state == POOL_DISK_ACTIVE;
    }
    for (uint16_t i = 0; i < map->disk_count; i++) {
        bool is_leaving = map->disks[i].state != POOL_DISK_ACTIVE;
        cr_assert(!is_leaving || active < 6 || plan_rig_named(map, i) == 0,
                  "disk %u keeps %u slots", i, plan_rig_named(map, i));
    }
    if (active >= 6) {
        plan_rig_check_balance(map, map_rig_profile("ec:4+2"), "settled");
        plan_rig_check_balance(map, map_rig_profile("replica:3"), "settled");
    }
}

Test(pool_plan_history, whatever_happens_the_map_is_valid_and_says_where_everything_is)
{
    struct history *history = gfs_alloc(sizeof *history);
    for (uint64_t seed = 1; seed <= 25; seed++) {
        memset(history, 0, sizeof *history);
        history->random = seed;
        history->map = map_rig_new(0, "ec:4+2");
        history->map->log_disk_count = 0;
        while (history->drawn < 7) {
            (void)history_add(history);
        }
        plan_rig_add_profile(history->map, "ec:4+2");
        plan_rig_add_profile(history->map, "replica:3");
        cr_assert_lt(history->map->group_count, HISTORY_GROUPS_MAX);
        pool_plan_log_disks(history->map);
        plan_rig_pass(history->map);
        write_everywhere(history);
        for (int i = 0; i < 40; i++) {
            const char *what = step(history);
            each_slot_can_be_read(history, what);
            write_everywhere(history);
            each_slot_can_be_read(history, what);
        }
        settle(history);
        each_slot_can_be_read(history, "settled");
        pool_map_free(history->map);
    }
    free(history);
}
