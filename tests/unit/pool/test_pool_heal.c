/* A whole pool heals itself: watch, writes, reads, repair and scrub, on disks in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/pool/chunks_rig.h"

/* Every fragment is on the disk of its slot. */
static void expect_whole(struct chunks_rig *heal)
{
    struct pool_view *view = open_rig_view(&heal->rig);
    for (unsigned i = 0; i < CHUNKS_RIG_COUNT; i++) {
        const struct pool_group *group = pool_view_group(view, heal->ids[i]);
        for (unsigned slot = 0; slot < pool_profile_width(group->profile); slot++) {
            struct pool_disk *disk = view->disks[group->slots[slot].disk];
            cr_assert(pool_disk_is_usable(disk));
            cr_assert(disk_double_has(disk_double_of(disk->store),
                                      pool_fragment_id(group, heal->ids[i], slot)),
                      "chunk %u slot %u", i, slot);
        }
    }
    pool_view_put(view);
}

static bool is_settled(struct open_rig *rig, const struct pool_view *view)
{
    struct pool_repair_summary summary;
    pool_reconcile_summary(rig->pool, &summary);
    bool is_so = !summary.is_running;
    for (uint32_t g = 0; g < view->map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(view->map->groups[g].profile); i++) {
            is_so &= !view->map->groups[g].slots[i].is_filling;
        }
    }
    for (uint32_t d = 0; d < view->map->disk_count; d++) {
        is_so &= !view->map->disks[d].is_behind || view->map->disks[d].state != POOL_DISK_ACTIVE;
    }
    return is_so;
}

static bool is_any_lost(struct open_rig *rig, const struct pool_view *view)
{
    bool is_so = false;
    for (uint32_t d = 0; d < view->map->disk_count; d++) {
        is_so |= view->map->disks[d].state == POOL_DISK_FAILED ||
                 view->map->disks[d].state == POOL_DISK_REMOVED;
    }
    return is_so && is_settled(rig, view);
}

/* A seventh disk is there, in the stead of the emptied one. */
static bool is_in_stead(struct open_rig *rig, const struct pool_view *view)
{
    return view->map->disk_count == 7 && is_settled(rig, view);
}

Test(pool_heal, a_disk_that_is_emptied_is_filled_again)
{
    struct chunks_rig heal;
    chunks_rig_init(&heal, 6);
    open_rig_empty(&heal.rig, 4);
    open_rig_await(&heal.rig, is_in_stead);
    expect_whole(&heal);
    chunks_rig_expect_readable(&heal);
    chunks_rig_fini(&heal);
}

Test(pool_heal, sources_that_take_their_time_are_no_lost_ones)
{
    struct chunks_rig heal;
    chunks_rig_init(&heal, 6);
    heal.rig.pool->options.race_ms = 3; /* 60 ms until another one is asked as well */
    for (unsigned i = 0; i < 6; i++) {
        disk_double_set_owner_delay(open_rig_double(&heal.rig, i), 80000000);
    }
    open_rig_empty(&heal.rig, 4);
    open_rig_await(&heal.rig, is_in_stead);
    struct pool_repair_summary summary;
    pool_reconcile_summary(heal.rig.pool, &summary);
    cr_assert_eq(summary.lost, 0);
    expect_whole(&heal);
    chunks_rig_fini(&heal);
}

Test(pool_heal, disks_that_fail_one_after_the_other_are_made_anew_on_the_rest)
{
    struct chunks_rig heal;
    chunks_rig_init(&heal, 8);
    for (unsigned disk = 5; disk < 7; disk++) {
        disk_double_fail(open_rig_double(&heal.rig, disk), 1);
        for (unsigned i = 0; i < CHUNKS_RIG_COUNT; i += 2) {
            chunks_rig_put(&heal, i);
            chunks_rig_expect_readable(&heal);
        }
        open_rig_await(&heal.rig, is_any_lost);
    }
    open_rig_await(&heal.rig, is_settled);
    expect_whole(&heal);
    chunks_rig_expect_readable(&heal);
    chunks_rig_fini(&heal);
}

static bool is_third_removed(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[3].state == POOL_DISK_REMOVED;
}

Test(pool_heal, a_drained_disk_is_taken_out_when_it_is_empty)
{
    struct chunks_rig heal;
    struct gfs_error error = {0};
    chunks_rig_init(&heal, 8);
    struct disk_double *disk = open_rig_double(&heal.rig, 3);
    cr_assert_eq(pool_disk_drain(heal.rig.pool, "3", &error), GFS_OK, "%s", error.text);
    open_rig_await(&heal.rig, is_third_removed);
    cr_assert_eq(disk_double_chunks(disk), 0);
    expect_whole(&heal);
    chunks_rig_expect_readable(&heal);
    chunks_rig_fini(&heal);
}

static bool is_balanced(struct open_rig *rig, const struct pool_view *view)
{
    return !view->map->is_rebalancing && is_settled(rig, view);
}

Test(pool_heal, rebalancing_after_a_disk_was_added_leaves_everything_whole)
{
    struct chunks_rig heal;
    struct gfs_error error = {0};
    char path[OPEN_RIG_PATH_SIZE];
    chunks_rig_init(&heal, 4);
    (void)snprintf(path, sizeof path, "%s/more", heal.rig.home);
    cr_assert_eq(mkdir(path, 0755), 0);
    cr_assert_eq(pool_disk_add(heal.rig.pool, path, &error), GFS_OK, "%s", error.text);
    cr_assert_eq(pool_rebalance_start(heal.rig.pool, &error), GFS_OK, "%s", error.text);
    open_rig_await(&heal.rig, is_balanced);
    expect_whole(&heal);
    chunks_rig_expect_readable(&heal);
    struct disk_double *disk = disk_doubles_at(heal.rig.doubles, path);
    cr_assert_gt(disk_double_chunks(disk), 0);
    chunks_rig_fini(&heal);
}

static bool is_healed(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    unsigned long healed = 0;
    for (uint32_t d = 0; d < view->map->disk_count; d++) {
        healed += atomic_load(&view->disks[d]->healed);
    }
    return healed >= CHUNKS_RIG_COUNT;
}

Test(pool_heal, flipped_bytes_are_found_by_a_scrub_and_written_anew)
{
    struct chunks_rig heal;
    struct gfs_error error = {0};
    chunks_rig_init(&heal, 6);
    struct pool_view *view = open_rig_view(&heal.rig);
    for (unsigned i = 0; i < CHUNKS_RIG_COUNT; i++) {
        const struct pool_group *group = pool_view_group(view, heal.ids[i]);
        unsigned slot = i % pool_profile_width(group->profile);
        struct disk_double *disk = disk_double_of(view->disks[group->slots[slot].disk]->store);
        cr_assert(disk_double_flip(disk, pool_fragment_id(group, heal.ids[i], slot), i));
    }
    pool_view_put(view);
    enum gfs_err err = pool_scrub_start(heal.rig.pool, 0, &error);
    cr_assert(err == GFS_OK || err == GFS_BUSY, "%s", error.text);
    open_rig_await(&heal.rig, is_healed);
    chunks_rig_expect_readable(&heal);
    chunks_rig_fini(&heal);
}

static bool has_lost_one(struct open_rig *rig, const struct pool_view *view)
{
    (void)view;
    struct pool_repair_summary summary;
    pool_reconcile_summary(rig->pool, &summary);
    return summary.lost == 1;
}

static bool is_any_removed(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    bool is_so = false;
    for (uint32_t d = 0; d < view->map->disk_count; d++) {
        is_so |= view->map->disks[d].state == POOL_DISK_REMOVED;
    }
    return is_so;
}

Test(pool_heal, a_chunk_that_cannot_be_repaired_does_not_keep_the_rest_from_it)
{
    struct chunks_rig heal;
    struct gfs_error error = {0};
    chunks_rig_init(&heal, 8);
    struct pool_view *view = open_rig_view(&heal.rig);
    const struct pool_group *group = pool_view_group(view, heal.ids[0]);
    cr_assert_eq(group->profile.kind, POOL_EC);
    uint32_t members = 0;
    for (unsigned slot = 0; slot < pool_profile_width(group->profile); slot++) {
        members |= 1U << group->slots[slot].disk;
    }
    for (unsigned slot = 0; slot < group->profile.m + 1U; slot++) {
        struct disk_double *disk = disk_double_of(view->disks[group->slots[slot].disk]->store);
        cr_assert(disk_double_flip(disk, pool_fragment_id(group, heal.ids[0], slot), 1));
    }
    pool_view_put(view);
    enum gfs_err err = pool_scrub_start(heal.rig.pool, 0, &error);
    cr_assert(err == GFS_OK || err == GFS_BUSY, "%s", error.text);
    open_rig_await(&heal.rig, has_lost_one);
    char other[4]; /* a disk that has none of it can go */
    (void)snprintf(other, sizeof other, "%d", __builtin_ctz(~members));
    cr_assert_eq(pool_disk_drain(heal.rig.pool, other, &error), GFS_OK, "%s", error.text);
    open_rig_await(&heal.rig, is_any_removed);
    chunks_rig_fini(&heal);
}

static bool is_read_only(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->is_read_only;
}

/* No version of the map can be made with the first ones that come back. */
Test(pool_heal, when_nearly_all_disks_were_away_they_are_taken_back_together)
{
    struct chunks_rig heal;
    chunks_rig_init(&heal, 6);
    for (unsigned away = 4; away <= 6; away++) {
        for (unsigned disk = 6 - away; disk < 6; disk++) {
            open_rig_take_away(&heal.rig, disk);
        }
        open_rig_await(&heal.rig, is_read_only);
        for (unsigned disk = 6 - away; disk < 6; disk++) {
            open_rig_bring_back(&heal.rig, disk);
        }
        open_rig_await(&heal.rig, open_rig_is_healthy);
        chunks_rig_put(&heal, away);
        chunks_rig_expect_readable(&heal);
    }
    open_rig_reopen(&heal.rig);
    chunks_rig_expect_readable(&heal);
    chunks_rig_fini(&heal);
}
