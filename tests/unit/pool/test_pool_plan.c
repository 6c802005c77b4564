#include <math.h>
#include <stdlib.h>

#include "map_rig.h"
#include "pool/pool_plan.h"

static void add_profile(struct pool_map *map, const char *profile)
{
    struct gfs_error error = {0};
    cr_assert_eq(pool_plan_profile(map, map_rig_profile(profile), &error), GFS_OK, "%s",
                 error.text);
}

static uint32_t slots_on(const struct pool_map *map, struct pool_profile profile, uint16_t disk)
{
    uint32_t count = 0;
    for (uint32_t g = 1; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(profile); i++) {
            count += pool_profile_is_equal(map->groups[g].profile, profile) &&
                     map->groups[g].slots[i].disk == disk;
        }
    }
    return count;
}

static uint32_t named(const struct pool_map *map, uint16_t disk)
{
    uint32_t count = 0;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            struct pool_slot slot = map->groups[g].slots[i];
            count += slot.disk == disk || slot.from == disk;
        }
    }
    return count;
}

static uint32_t moving(const struct pool_map *map)
{
    uint32_t count = 0;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            count += map->groups[g].slots[i].is_filling;
        }
    }
    return count;
}

/* What a whole pass does, and what follows it. */
static void pass(struct pool_map *map)
{
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            struct pool_slot *slot = &map->groups[g].slots[i];
            if (map->disks[slot->disk].state != POOL_DISK_FAILED) {
                slot->is_filling = false;
                slot->from = POOL_NO_DISK;
            }
        }
    }
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        map->log_disks[i].is_in_sync = true;
    }
    for (uint32_t i = 0; i < map->disk_count; i++) {
        map->disks[i].is_behind = false;
    }
}

static bool has_share(const struct pool_map_disk *disk)
{
    return disk->state == POOL_DISK_ACTIVE && !disk->is_read_only;
}

/* Each disk's share of the slots that are on disks with shares, at most one a group, by halving: a
 * way of its own. */
static void shares_of(const struct pool_map *map, struct pool_profile profile, double *ret)
{
    uint32_t *groups, group_count;
    pool_plan_groups(map, profile, &groups, &group_count);
    free(groups);
    double total = 0, low = 0, high = 1e12;
    for (uint16_t i = 0; i < map->disk_count; i++) {
        total += has_share(&map->disks[i]) ? slots_on(map, profile, i) : 0;
    }
    for (int round = 0; round < 200; round++) {
        double factor = (low + high) / 2, sum = 0;
        for (uint16_t i = 0; i < map->disk_count; i++) {
            const struct pool_map_disk *disk = &map->disks[i];
            double weight = (double)(disk->capacity - disk->reserved) / (1 << 30);
            ret[i] = has_share(disk) ? GFS_MIN(weight * factor, (double)group_count) : 0;
            sum += ret[i];
        }
        *(sum < total ? &low : &high) = factor;
    }
}

static void check_balance(const struct pool_map *map, struct pool_profile profile, const char *when)
{
    double shares[POOL_DISKS_MAX];
    shares_of(map, profile, shares);
    for (uint16_t i = 0; i < map->disk_count; i++) {
        double distance = fabs(slots_on(map, profile, i) - shares[i]);
        bool is_even = !has_share(&map->disks[i]) || distance <= GFS_MAX(1.0, shares[i] / 10);
        cr_assert(is_even, "%s: disk %u has %u slots, its share is %.2f", when, i,
                  slots_on(map, profile, i), shares[i]);
    }
}

Test(pool_plan, disks_of_one_size_get_the_same_number_of_slots)
{
    const struct {
        unsigned disks;
        const char *profile;
    } cases[] = {{1, "replica:1"}, {2, "replica:2"}, {3, "replica:3"}, {4, "ec:2+2"},
                 {5, "ec:2+2"},    {6, "ec:4+2"},    {7, "ec:4+2"},    {12, "ec:8+3"},
                 {14, "ec:10+4"},  {100, "ec:4+2"},  {256, "ec:30+2"}};
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct pool_map *map = map_rig_new(cases[i].disks, cases[i].profile);
        add_profile(map, cases[i].profile);
        map_rig_check(map);
        check_balance(map, map_rig_profile(cases[i].profile), cases[i].profile);
        uint32_t *groups, count;
        pool_plan_groups(map, map_rig_profile(cases[i].profile), &groups, &count);
        cr_assert(count >= 16 && count <= 4096 && count == map->group_count - 1);
        cr_assert_neq(groups[0], 0);
        free(groups);
        cr_assert_eq(pool_plan_rebalance(map, UINT32_MAX), 0, "new groups are even already");
        cr_assert_eq(moving(map), 0, "new groups need no filling");
        add_profile(map, cases[i].profile);
        cr_assert_eq(count, map->group_count - 1, "a profile gets its groups once");
        pool_map_free(map);
    }
}

Test(pool_plan, placement_is_the_same_each_time)
{
    struct pool_map *maps[2];
    char *texts[2];
    size_t lens[2];
    for (int i = 0; i < 2; i++) {
        maps[i] = map_rig_new(11, "ec:4+2");
        add_profile(maps[i], "ec:4+2");
        uint32_t unplaced;
        cr_assert_eq(pool_plan_fail(maps[i], 3, &unplaced, NULL), GFS_OK);
        maps[i]->disks[5].capacity *= 2;
        (void)pool_plan_rebalance(maps[i], UINT32_MAX);
        struct gfs_buf out;
        gfs_buf_init(&out, POOL_MAP_TEXT_MAX);
        pool_map_encode(maps[i], &out);
        texts[i] = gfs_buf_take(&out, &lens[i]);
        pool_map_free(maps[i]);
    }
    cr_assert(lens[0] == lens[1] && memcmp(texts[0], texts[1], lens[0]) == 0);
    free(texts[0]);
    free(texts[1]);
}

Test(pool_plan, different_sizes_and_reserved_space_weigh)
{
    struct pool_map *map = map_rig_new(8, "ec:2+2");
    map->disks[0].capacity *= 4;
    map->disks[1].capacity *= 2;
    map->disks[2].reserved = map->disks[2].capacity / 2;
    map->disks[3].is_read_only = true;
    map->disks[4].is_full = true;
    map->disks[5].reserved = map->disks[5].capacity;
    add_profile(map, "ec:2+2");
    struct pool_profile profile = map_rig_profile("ec:2+2");
    for (uint16_t i = 3; i < 6; i++) {
        cr_assert_eq(slots_on(map, profile, i), 0, "disk %u gets nothing", i);
    }
    uint32_t small = slots_on(map, profile, 2), usual = slots_on(map, profile, 6);
    uint32_t big = slots_on(map, profile, 0), groups = map->group_count - 1;
    cr_assert_eq(big, groups, "a disk that should have more than one slot a group has one in each");
    cr_assert(abs((int)(small * 2) - (int)usual) <= 2, "%u %u", small, usual);
    pool_map_free(map);
}

Test(pool_plan, a_profile_wider_than_the_disks_is_refused)
{
    struct pool_map *map = map_rig_new(6, "replica:1");
    struct gfs_error error = {0};
    map->disks[5].is_full = true;
    cr_assert_eq(pool_plan_profile(map, map_rig_profile("ec:4+2"), &error), GFS_INVALID);
    cr_assert_str_eq(error.text, "ec:4+2 needs 6 disks that take new data, there are 5");
    cr_assert_eq(map->group_count, 1);
    pool_map_free(map);
}

Test(pool_plan, a_lost_disk_changes_its_own_slots_alone_and_spreads_them)
{
    struct pool_map *map = map_rig_new(12, "ec:4+2");
    add_profile(map, "ec:4+2");
    struct pool_map *before = pool_map_copy(map);
    uint32_t unplaced = 99;
    cr_assert_eq(pool_plan_fail(map, 7, &unplaced, NULL), GFS_OK);
    map_rig_check(map);
    cr_assert_eq(unplaced, 0);
    cr_assert_eq(named(map, 7), 0);
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            struct pool_slot was = before->groups[g].slots[i], is = map->groups[g].slots[i];
            bool was_lost = was.disk == 7;
            cr_assert_eq(is.disk != was.disk, was_lost);
            cr_assert_eq(is.is_filling, was_lost);
            cr_assert_eq(is.from, POOL_NO_DISK);
        }
    }
    check_balance(map, map_rig_profile("ec:4+2"), "after a loss");
    pool_map_free(map);
    pool_map_free(before);
}

Test(pool_plan, slots_that_find_no_disk_wait_for_one)
{
    struct pool_map *map = map_rig_new(6, "ec:4+2");
    add_profile(map, "ec:4+2");
    uint32_t unplaced = 0, groups = map->group_count - 1;
    cr_assert_eq(pool_plan_fail(map, 5, &unplaced, NULL), GFS_OK);
    cr_assert_eq(unplaced, groups);
    cr_assert_eq(pool_plan_place(map), 0);
    map_rig_check(map);
    struct pool_map_disk disk = map_rig_disk(6, 100);
    uint16_t number;
    cr_assert_eq(pool_plan_add_disk(map, &disk, &number, NULL), GFS_OK);
    cr_assert_eq(number, 6);
    cr_assert_eq(pool_plan_place(map), groups);
    cr_assert_eq(named(map, 5), 0);
    cr_assert_eq(slots_on(map, map_rig_profile("ec:4+2"), 6), groups);
    map_rig_check(map);
    pool_map_free(map);
}

Test(pool_plan, a_disk_that_was_being_filled_and_is_lost_gives_the_slot_back)
{
    struct pool_map *map = map_rig_new(4, "replica:2");
    uint32_t g = pool_map_add_group(map, map_rig_profile("replica:2")), unplaced;
    map->groups[g].slots[0] = (struct pool_slot){.disk = 1, .from = 2, .is_filling = true};
    map->groups[g].slots[1] = (struct pool_slot){.disk = 3, .from = POOL_NO_DISK};
    struct pool_map *other = pool_map_copy(map);
    cr_assert_eq(pool_plan_fail(map, 1, &unplaced, NULL), GFS_OK);
    cr_assert_eq(map->groups[g].slots[0].disk, 2);
    cr_assert_eq(map->groups[g].slots[0].from, POOL_NO_DISK);
    cr_assert(map->groups[g].slots[0].is_filling, "it lacks what was written meanwhile");
    other->disks[2].state = POOL_DISK_DRAINING; /* cannot have it back */
    cr_assert_eq(pool_plan_fail(other, 1, &unplaced, NULL), GFS_OK);
    cr_assert_eq(other->groups[g].slots[0].disk, 0);
    cr_assert_eq(other->groups[g].slots[0].from, 2);
    map_rig_check(map);
    map_rig_check(other);
    pool_map_free(map);
    pool_map_free(other);
}

Test(pool_plan, there_are_more_mirrors_than_disks_that_data_survives_the_loss_of)
{
    static const struct {
        const char *profile;
        uint32_t disks, mirrors;
    } cases[] = {{"replica:2", 2, 2}, {"replica:3", 5, 3}, {"ec:4+2", 6, 3},
                 {"ec:8+3", 11, 4},   {"ec:10+4", 14, 5},  {"ec:2+12", 20, POOL_LOG_DISKS}};
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct pool_map *map = map_rig_new(cases[i].disks, cases[i].profile);
        add_profile(map, cases[i].profile);
        pool_plan_log_disks(map);
        cr_assert_eq(map->log_disk_count, cases[i].mirrors, "%s", cases[i].profile);
        map_rig_check(map);
        pool_map_free(map);
    }
}

Test(pool_plan, the_only_complete_mirror_cannot_be_given_up)
{
    struct pool_map *map = map_rig_new(3, "replica:3");
    add_profile(map, "replica:3");
    pool_plan_log_disks(map);
    cr_assert_eq(map->log_disk_count, 3);
    cr_assert(map->log_disks[0].is_in_sync && !map->log_disks[1].is_in_sync);
    struct gfs_error error = {0};
    uint32_t unplaced;
    struct pool_map *before = pool_map_copy(map);
    cr_assert_eq(pool_plan_fail(map, 0, &unplaced, &error), GFS_UNREACHABLE);
    cr_assert_neq(error.text[0], '\0');
    cr_assert_eq(map->disks[0].state, before->disks[0].state);
    cr_assert_eq(map->log_disk_count, 3);
    map->log_disks[2].is_in_sync = true;
    cr_assert_eq(pool_plan_fail(map, 0, &unplaced, &error), GFS_OK);
    cr_assert_eq(map->log_disk_count, 2);
    map_rig_check(map);
    pool_map_free(map);
    pool_map_free(before);
}

Test(pool_plan, a_replacement_takes_over_every_slot)
{
    for (int is_lost = 0; is_lost < 2; is_lost++) {
        struct pool_map *map = map_rig_new(6, "ec:4+2");
        add_profile(map, "ec:4+2");
        pool_plan_log_disks(map);
        pass(map);
        struct pool_map_disk disk = map_rig_disk(6, 100);
        uint16_t by;
        cr_assert_eq(pool_plan_add_disk(map, &disk, &by, NULL), GFS_OK);
        cr_assert_eq(pool_plan_replace(map, 0, by, is_lost, NULL), GFS_OK);
        map_rig_check(map);
        struct pool_profile profile = map_rig_profile("ec:4+2");
        cr_assert_eq(slots_on(map, profile, 0), 0);
        cr_assert_eq(slots_on(map, profile, by), map->group_count - 1);
        cr_assert_eq(moving(map), map->group_count, "and group 0");
        cr_assert_eq(named(map, 0), is_lost ? 0 : map->group_count);
        cr_assert_eq(map->disks[0].state, is_lost ? POOL_DISK_FAILED : POOL_DISK_DRAINING);
        cr_assert_eq(pool_plan_retire(map), 0, "it may be needed until everything is filled");
        pass(map);
        pool_plan_log_disks(map);
        pass(map);
        cr_assert_eq(pool_plan_retire(map), 1);
        cr_assert_eq(map->disks[0].state, POOL_DISK_REMOVED);
        map_rig_check(map);
        pool_map_free(map);
    }
}

Test(pool_plan, a_drained_disk_ends_with_no_slot)
{
    struct pool_map *map = map_rig_new(7, "ec:4+2");
    add_profile(map, "ec:4+2");
    pool_plan_log_disks(map);
    pass(map);
    uint32_t had = named(map, 2);
    cr_assert_eq(pool_plan_drain(map, 2, NULL), GFS_OK);
    map_rig_check(map);
    cr_assert_eq(slots_on(map, map_rig_profile("ec:4+2"), 2), 0);
    cr_assert_eq(named(map, 2), had, "it is read from until then");
    cr_assert_eq(moving(map), had, "nothing else moves");
    cr_assert_eq(pool_plan_retire(map), 0);
    pass(map);
    pool_plan_log_disks(map);
    cr_assert_eq(pool_plan_retire(map), 1);
    struct gfs_error error = {0};
    struct pool_map *before = pool_map_copy(map);
    cr_assert_eq(pool_plan_drain(map, 3, &error), GFS_INVALID);
    cr_assert_str_eq(error.text, "disk 3 cannot be drained: ec:4+2 needs 6 disks that take new "
                                 "data, and without it there are 5 that do; add one first");
    cr_assert_eq(map->disks[3].state, POOL_DISK_ACTIVE);
    cr_assert_eq(moving(map), moving(before));
    cr_assert_eq(pool_plan_drain(map, 2, &error), GFS_INVALID, "removed");
    cr_assert_eq(pool_plan_drain(map, 99, &error), GFS_INVALID);
    pool_map_free(map);
    pool_map_free(before);
}

Test(pool_plan, an_added_disk_gets_its_share_and_not_a_move_more)
{
    struct pool_map *map = map_rig_new(8, "ec:4+2");
    struct pool_profile profile = map_rig_profile("ec:4+2");
    add_profile(map, "ec:4+2");
    struct pool_map_disk disk = map_rig_disk(8, 100);
    uint16_t number;
    cr_assert_eq(pool_plan_add_disk(map, &disk, &number, NULL), GFS_OK);
    cr_assert_eq(pool_plan_rebalance(map, 5), 5);
    cr_assert_eq(slots_on(map, profile, number), 5);
    uint32_t moves = 5 + pool_plan_rebalance(map, UINT32_MAX);
    cr_assert_eq(moves, slots_on(map, profile, number), "slots move to the new disk alone");
    cr_assert_eq(moves, moving(map));
    check_balance(map, profile, "after an addition");
    cr_assert_eq(pool_plan_rebalance(map, UINT32_MAX), 0);
    map_rig_check(map);
    cr_assert_eq(pool_plan_add_disk(map, &disk, &number, NULL), GFS_EXISTS);
    pool_map_free(map);
}

Test(pool_plan, group_0_gets_copies_when_something_is_in_it)
{
    struct pool_map *map = map_rig_new(5, "ec:2+2");
    cr_assert(!pool_plan_widen_group0(map, false));
    cr_assert(pool_plan_widen_group0(map, true));
    cr_assert(!pool_plan_widen_group0(map, true));
    map_rig_check(map);
    cr_assert_eq(pool_profile_width(map->groups[0].profile), 3);
    cr_assert(!map->groups[0].slots[0].is_filling);
    cr_assert(map->groups[0].slots[2].is_filling);
    cr_assert_eq(map->groups[0].slots[2].from, POOL_NO_DISK);
    pool_map_free(map);
}

Test(pool_plan, the_default_depends_on_the_number_of_disks)
{
    const char *const expected[] = {"replica:1", "replica:1", "replica:2", "replica:3",
                                    "ec:2+2",    "ec:2+2",    "ec:4+2",    "ec:4+2"};
    for (uint32_t i = 0; i < GFS_COUNT(expected); i++) {
        char text[POOL_PROFILE_TEXT_SIZE];
        pool_profile_format(pool_plan_default_profile(i), text);
        cr_assert_str_eq(text, expected[i]);
    }
}

Test(pool_plan, a_mirror_on_a_disk_that_is_drained_goes_when_another_is_in_sync)
{
    struct pool_map *map = map_rig_new(5, "replica:1");
    add_profile(map, "replica:1");
    pool_plan_log_disks(map);
    pass(map);
    cr_assert_eq(pool_plan_drain(map, 0, NULL), GFS_OK);
    cr_assert_eq(pool_plan_drain(map, 1, NULL), GFS_OK);
    uint32_t in_sync = 0;
    bool has_draining = true;
    for (int round = 0; round < 5 && has_draining; round++) {
        in_sync = 0;
        has_draining = false;
        for (uint32_t i = 0; i < map->log_disk_count; i++) {
            in_sync += map->log_disks[i].is_in_sync;
            has_draining |= map->log_disks[i].disk < 2;
        }
        cr_assert_geq(in_sync, 2, "a majority at any time");
        pass(map);
        pool_plan_log_disks(map);
        map_rig_check(map);
    }
    cr_assert(!has_draining);
    cr_assert_eq(map->log_disk_count, 3);
    pool_map_free(map);
}

/* ---- random histories ---- */

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
    pass(map);
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
    uint32_t before = moving(map), moved = pool_plan_rebalance(map, limit);
    cr_assert_leq(moved, limit);
    cr_assert_eq(moving(map), before + moved, "only what was not moving moves, and once");
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
        cr_assert(!is_leaving || active < 6 || named(map, i) == 0, "disk %u keeps %u slots", i,
                  named(map, i));
    }
    if (active >= 6) {
        check_balance(map, map_rig_profile("ec:4+2"), "settled");
        check_balance(map, map_rig_profile("replica:3"), "settled");
    }
}

Test(pool_plan, whatever_happens_the_map_is_valid_and_says_where_everything_is)
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
        add_profile(history->map, "ec:4+2");
        add_profile(history->map, "replica:3");
        cr_assert_lt(history->map->group_count, HISTORY_GROUPS_MAX);
        pool_plan_log_disks(history->map);
        pass(history->map);
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
