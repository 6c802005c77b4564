#include "plan_rig.h"

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
        plan_rig_add_profile(map, cases[i].profile);
        map_rig_check(map);
        plan_rig_check_balance(map, map_rig_profile(cases[i].profile), cases[i].profile);
        uint32_t *groups, count;
        pool_plan_groups(map, map_rig_profile(cases[i].profile), &groups, &count);
        cr_assert(count >= 16 && count <= 4096 && count == map->group_count - 1);
        cr_assert_neq(groups[0], 0);
        free(groups);
        cr_assert_eq(pool_plan_rebalance(map, UINT32_MAX), 0, "new groups are even already");
        cr_assert_eq(plan_rig_moving(map), 0, "new groups need no filling");
        plan_rig_add_profile(map, cases[i].profile);
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
        plan_rig_add_profile(maps[i], "ec:4+2");
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
    plan_rig_add_profile(map, "ec:2+2");
    struct pool_profile profile = map_rig_profile("ec:2+2");
    for (uint16_t i = 3; i < 6; i++) {
        cr_assert_eq(plan_rig_slots_on(map, profile, i), 0, "disk %u gets nothing", i);
    }
    uint32_t small = plan_rig_slots_on(map, profile, 2), usual = plan_rig_slots_on(map, profile, 6);
    uint32_t big = plan_rig_slots_on(map, profile, 0), groups = map->group_count - 1;
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
    plan_rig_add_profile(map, "ec:4+2");
    struct pool_map *before = pool_map_copy(map);
    uint32_t unplaced = 99;
    cr_assert_eq(pool_plan_fail(map, 7, &unplaced, NULL), GFS_OK);
    map_rig_check(map);
    cr_assert_eq(unplaced, 0);
    cr_assert_eq(plan_rig_named(map, 7), 0);
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            struct pool_slot was = before->groups[g].slots[i], is = map->groups[g].slots[i];
            bool was_lost = was.disk == 7;
            cr_assert_eq(is.disk != was.disk, was_lost);
            cr_assert_eq(is.is_filling, was_lost);
            cr_assert_eq(is.from, POOL_NO_DISK);
        }
    }
    plan_rig_check_balance(map, map_rig_profile("ec:4+2"), "after a loss");
    pool_map_free(map);
    pool_map_free(before);
}

Test(pool_plan, slots_that_find_no_disk_wait_for_one)
{
    struct pool_map *map = map_rig_new(6, "ec:4+2");
    plan_rig_add_profile(map, "ec:4+2");
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
    cr_assert_eq(plan_rig_named(map, 5), 0);
    cr_assert_eq(plan_rig_slots_on(map, map_rig_profile("ec:4+2"), 6), groups);
    map_rig_check(map);
    pool_map_free(map);
}

/* The slots that nobody could take over are its own again; and a mirror's place that was free. */
Test(pool_plan, a_failed_disk_that_returns_is_in_use_and_behind)
{
    struct pool_map *map = map_rig_new(3, "replica:3");
    plan_rig_add_profile(map, "replica:3");
    pool_plan_log_disks(map);
    uint32_t unplaced = 0, mirrors = map->log_disk_count;
    cr_assert_eq(mirrors, 3);
    for (uint32_t i = 0; i < mirrors; i++) {
        map->log_disks[i].is_in_sync = true;
    }
    cr_assert_eq(pool_plan_fail(map, 1, &unplaced, NULL), GFS_OK);
    cr_assert_gt(unplaced, 0);
    cr_assert_lt(map->log_disk_count, mirrors);
    pool_plan_return(map, 1);
    cr_assert_eq(map->disks[1].state, POOL_DISK_ACTIVE);
    cr_assert(map->disks[1].is_behind);
    cr_assert_eq(map->log_disk_count, mirrors);
    for (uint32_t i = 0; i < mirrors; i++) {
        cr_assert_eq(map->log_disks[i].is_in_sync, map->log_disks[i].disk != 1);
    }
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
        plan_rig_add_profile(map, cases[i].profile);
        pool_plan_log_disks(map);
        cr_assert_eq(map->log_disk_count, cases[i].mirrors, "%s", cases[i].profile);
        map_rig_check(map);
        pool_map_free(map);
    }
}

Test(pool_plan, the_only_complete_mirror_cannot_be_given_up)
{
    struct pool_map *map = map_rig_new(3, "replica:3");
    plan_rig_add_profile(map, "replica:3");
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
        plan_rig_add_profile(map, "ec:4+2");
        pool_plan_log_disks(map);
        plan_rig_pass(map);
        struct pool_map_disk disk = map_rig_disk(6, 100);
        uint16_t by;
        cr_assert_eq(pool_plan_add_disk(map, &disk, &by, NULL), GFS_OK);
        cr_assert_eq(pool_plan_replace(map, 0, by, is_lost, NULL), GFS_OK);
        map_rig_check(map);
        struct pool_profile profile = map_rig_profile("ec:4+2");
        cr_assert_eq(plan_rig_slots_on(map, profile, 0), 0);
        cr_assert_eq(plan_rig_slots_on(map, profile, by), map->group_count - 1);
        cr_assert_eq(plan_rig_moving(map), map->group_count, "and group 0");
        cr_assert_eq(plan_rig_named(map, 0), is_lost ? 0 : map->group_count);
        cr_assert_eq(map->disks[0].state, is_lost ? POOL_DISK_FAILED : POOL_DISK_DRAINING);
        cr_assert_eq(pool_plan_retire(map), 0, "it may be needed until everything is filled");
        plan_rig_pass(map);
        pool_plan_log_disks(map);
        plan_rig_pass(map);
        cr_assert_eq(pool_plan_retire(map), 1);
        cr_assert_eq(map->disks[0].state, POOL_DISK_REMOVED);
        map_rig_check(map);
        pool_map_free(map);
    }
}

Test(pool_plan, a_drained_disk_ends_with_no_slot)
{
    struct pool_map *map = map_rig_new(7, "ec:4+2");
    plan_rig_add_profile(map, "ec:4+2");
    pool_plan_log_disks(map);
    plan_rig_pass(map);
    uint32_t had = plan_rig_named(map, 2);
    cr_assert_eq(pool_plan_drain(map, 2, NULL), GFS_OK);
    map_rig_check(map);
    cr_assert_eq(plan_rig_slots_on(map, map_rig_profile("ec:4+2"), 2), 0);
    cr_assert_eq(plan_rig_named(map, 2), had, "it is read from until then");
    cr_assert_eq(plan_rig_moving(map), had, "nothing else moves");
    cr_assert_eq(pool_plan_retire(map), 0);
    plan_rig_pass(map);
    pool_plan_log_disks(map);
    cr_assert_eq(pool_plan_retire(map), 1);
    struct gfs_error error = {0};
    struct pool_map *before = pool_map_copy(map);
    cr_assert_eq(pool_plan_drain(map, 3, &error), GFS_INVALID);
    cr_assert_str_eq(error.text, "disk 3 cannot be drained: ec:4+2 needs 6 disks that take new "
                                 "data, and without it there are 5 that do; add one first");
    cr_assert_eq(map->disks[3].state, POOL_DISK_ACTIVE);
    cr_assert_eq(plan_rig_moving(map), plan_rig_moving(before));
    cr_assert_eq(pool_plan_drain(map, 2, &error), GFS_INVALID, "removed");
    cr_assert_eq(pool_plan_drain(map, 99, &error), GFS_INVALID);
    pool_map_free(map);
    pool_map_free(before);
}

Test(pool_plan, an_added_disk_gets_its_share_and_not_a_move_more)
{
    struct pool_map *map = map_rig_new(8, "ec:4+2");
    struct pool_profile profile = map_rig_profile("ec:4+2");
    plan_rig_add_profile(map, "ec:4+2");
    struct pool_map_disk disk = map_rig_disk(8, 100);
    uint16_t number;
    cr_assert_eq(pool_plan_add_disk(map, &disk, &number, NULL), GFS_OK);
    cr_assert_eq(pool_plan_rebalance(map, 5), 5);
    cr_assert_eq(plan_rig_slots_on(map, profile, number), 5);
    uint32_t moves = 5 + pool_plan_rebalance(map, UINT32_MAX);
    cr_assert_eq(moves, plan_rig_slots_on(map, profile, number),
                 "slots move to the new disk alone");
    cr_assert_eq(moves, plan_rig_moving(map));
    plan_rig_check_balance(map, profile, "after an addition");
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
    plan_rig_add_profile(map, "replica:1");
    pool_plan_log_disks(map);
    plan_rig_pass(map);
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
        plan_rig_pass(map);
        pool_plan_log_disks(map);
        map_rig_check(map);
    }
    cr_assert(!has_draining);
    cr_assert_eq(map->log_disk_count, 3);
    pool_map_free(map);
}

static uint32_t count_open(const struct pool_map *map, const char *profile)
{
    GFS_FREE uint32_t *groups = NULL;
    uint32_t count, open = 0;
    pool_plan_groups(map, map_rig_profile(profile), &groups, &count);
    for (uint32_t i = 0; i < count; i++) {
        open += pool_plan_is_open(map, &map->groups[groups[i]]) ? 1 : 0;
    }
    return open;
}

Test(pool_plan, a_read_only_disk_leaves_every_profile_groups_that_are_open)
{
    struct pool_map *map = map_rig_new(8, "ec:4+2");
    plan_rig_add_profile(map, "ec:4+2");
    plan_rig_add_profile(map, "replica:3");
    struct gfs_error error = {0};
    for (uint16_t disk = 0; disk < 2; disk++) {
        uint32_t slots = plan_rig_named(map, disk);
        cr_assert_eq(pool_plan_read_only(map, disk, &error), GFS_OK, "%s", error.text);
        cr_assert_eq(pool_plan_read_only(map, disk, &error), GFS_OK, "it is so already");
        map_rig_check(map);
        cr_assert(map->disks[disk].is_read_only);
        cr_assert_eq(plan_rig_named(map, disk), slots, "it keeps what it has, and gets nothing");
        cr_assert_gt(count_open(map, "ec:4+2"), 0);
        cr_assert_gt(count_open(map, "replica:3"), 0);
        cr_assert_eq(plan_rig_moving(map), 0);
    }
    uint32_t groups = map->group_count;
    cr_assert_eq(pool_plan_read_only(map, 2, &error), GFS_INVALID);
    cr_assert_str_eq(error.text,
                     "disk 2 cannot be made read-only: ec:4+2 needs 6 disks that take new data, "
                     "and without it there are 5 that do; add one first");
    cr_assert_not(map->disks[2].is_read_only);
    cr_assert_eq(map->group_count, groups);
    pool_map_free(map);
}

Test(pool_plan, groups_are_made_when_all_there_are_name_the_read_only_disk)
{
    struct pool_map *map = map_rig_new(4, "ec:2+2");
    plan_rig_add_profile(map, "ec:2+2");
    struct pool_map_disk disk = map_rig_disk(4, 100);
    uint16_t number;
    cr_assert_eq(pool_plan_add_disk(map, &disk, &number, NULL), GFS_OK);
    cr_assert_eq(pool_plan_read_only(map, 0, NULL), GFS_OK);
    map_rig_check(map);
    cr_assert_geq(count_open(map, "ec:2+2"), 128);
    map->disks[0].is_read_only = false;
    uint32_t groups = map->group_count;
    cr_assert_eq(pool_plan_read_only(map, 0, NULL), GFS_OK);
    cr_assert_eq(map->group_count, groups, "those that are there are enough the next time");
    pool_map_free(map);
}

Test(pool_plan, a_disk_that_is_full_or_lost_does_not_stand_in_for_a_read_only_one)
{
    struct pool_map *map = map_rig_new(5, "ec:2+2");
    plan_rig_add_profile(map, "ec:2+2");
    map->disks[4].is_full = true;
    cr_assert_eq(pool_plan_read_only(map, 0, NULL), GFS_INVALID);
    map->disks[4].is_full = false;
    uint32_t unplaced;
    cr_assert_eq(pool_plan_fail(map, 4, &unplaced, NULL), GFS_OK);
    cr_assert_eq(pool_plan_read_only(map, 0, NULL), GFS_INVALID);
    cr_assert_eq(pool_plan_read_only(map, 4, NULL), GFS_OK, "its groups have gone to the others");
    cr_assert_eq(count_open(map, "ec:2+2"), map->group_count - 1, "nothing is written to it");
    pool_map_free(map);
}
