#include <criterion/criterion.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "pool/pool_copiers.h"
#include "tests/unit/pool/repair_load.h"

enum {
    CHUNKS = 12,
    LARGE = 700000, /* some steps of each copy */
    SMALL = 200000,
    PER_LOT = POOL_COPY_LOT_BYTES / SMALL,
    SMALL_CHUNKS = POOL_COPIERS * PER_LOT + 10,
};

/* A pass that fills disk 0, which was emptied; from the first copy on the disk hangs. */
struct filling {
    struct repair_rig *rig;
    struct chunk_id ids[SMALL_CHUNKS];
    unsigned count;
    uint32_t len;
    pthread_t thread;
    enum pool_pass_outcome outcome;
};

static void call_behind(struct pool_map *map, void *arg)
{
    (void)arg;
    map->disks[0].is_behind = true;
}

static void hang_at_first(struct repair_rig *rig, struct chunk_id id)
{
    (void)id;
    if (rig->opens++ == 0) {
        disk_double_hang(rig->doubles[0], true);
    }
}

static void *pass_main(void *arg)
{
    struct filling *filling = arg;
    filling->outcome = repair_rig_pass(filling->rig);
    return NULL;
}

/* `waiting` copies wait for the disk. */
static void filling_begin(struct filling *filling, unsigned count, uint32_t len, unsigned waiting)
{
    struct repair_rig *rig = repair_rig_new(3, "replica:3", NULL);
    *filling = (struct filling){.rig = rig, .count = count, .len = len};
    for (unsigned i = 0; i < count; i++) {
        filling->ids[i] = repair_rig_put(rig, "replica:3", i, i, len);
    }
    repair_rig_change(rig, call_behind, NULL);
    repair_rig_empty(rig, 0);
    rig->on_open = hang_at_first;
    cr_assert_eq(pthread_create(&filling->thread, NULL, pass_main, filling), 0);
    disk_double_await(rig->doubles[0], waiting);
}

static enum pool_pass_outcome filling_end(struct filling *filling)
{
    disk_double_hang(filling->rig->doubles[0], false);
    (void)pthread_join(filling->thread, NULL);
    filling->rig->on_open = NULL;
    return filling->outcome;
}

static bool is_whole(const struct filling *filling, unsigned i)
{
    return repair_rig_is_whole(filling->rig, filling->ids[i], i, filling->len);
}

static void expect_whole(struct filling *filling)
{
    for (unsigned i = 0; i < filling->count; i++) {
        cr_assert(is_whole(filling, i), "chunk %u", i);
    }
    cr_assert_eq(repair_rig_flags(filling->rig), 0);
}

static unsigned opens(struct repair_rig *rig)
{
    (void)pthread_mutex_lock(&rig->hook_lock);
    unsigned count = rig->opens;
    (void)pthread_mutex_unlock(&rig->hook_lock);
    return count;
}

static unsigned betweens_seen;

static bool looks_on(struct repair_rig *rig)
{
    return atomic_load(&rig->betweens) >= betweens_seen + 2;
}

/* The pass's own thread has given out all it can, and goes on looking for suspects. */
static void await_idle(struct repair_rig *rig)
{
    for (unsigned i = 0; i < 2; i++) {
        betweens_seen = atomic_load(&rig->betweens);
        repair_rig_await(rig, looks_on);
    }
}

Test(pool_copiers, large_fragments_are_copied_several_at_a_time_and_no_more)
{
    struct filling filling;
    filling_begin(&filling, CHUNKS, LARGE, POOL_COPIERS);
    await_idle(filling.rig);
    struct disk_double_counts counts;
    disk_double_counts(filling.rig->doubles[0], &counts);
    cr_assert_eq(counts.bulks_held, POOL_COPIERS);
    cr_assert_eq(counts.places, 0);
    cr_assert_eq(opens(filling.rig), POOL_COPIERS, "the others have not begun");
    cr_assert_eq(filling_end(&filling), POOL_PASS_WHOLE);
    expect_whole(&filling);
    cr_assert_eq(filling.rig->progress.state.done, CHUNKS);
    repair_rig_free(filling.rig);
}

Test(pool_copiers, small_fragments_go_in_lots_of_a_few_megabytes_that_share_flushes)
{
    struct filling filling;
    filling_begin(&filling, SMALL_CHUNKS, SMALL, POOL_COPIERS * PER_LOT);
    await_idle(filling.rig);
    cr_assert_eq(disk_double_waiting(filling.rig->doubles[0]), POOL_COPIERS * PER_LOT);
    cr_assert_eq(opens(filling.rig), POOL_COPIERS * PER_LOT);
    cr_assert_eq(filling_end(&filling), POOL_PASS_WHOLE);
    expect_whole(&filling);
    repair_rig_free(filling.rig);
}

Test(pool_copiers, chunks_deleted_while_several_are_copied_do_not_come_back)
{
    struct filling filling;
    filling_begin(&filling, CHUNKS, LARGE, POOL_COPIERS);
    for (unsigned i = 0; i < CHUNKS; i += 2) { /* copied just now, or not begun */
        repair_rig_delete(filling.rig, filling.ids[i], false);
    }
    (void)filling_end(&filling);
    cr_assert_eq(repair_rig_pass(filling.rig), POOL_PASS_WHOLE);
    for (unsigned i = 0; i < CHUNKS; i++) {
        for (unsigned disk = 0; disk < 3; disk++) {
            bool is_there = disk_double_has(filling.rig->doubles[disk], filling.ids[i]);
            cr_assert_eq(is_there, i % 2 == 1, "chunk %u on disk %u", i, disk);
        }
        cr_assert(i % 2 == 0 || is_whole(&filling, i));
    }
    repair_rig_free(filling.rig);
}

Test(pool_copiers, a_stop_ends_all_copies_and_the_next_pass_makes_what_is_left)
{
    struct filling filling;
    filling_begin(&filling, CHUNKS, LARGE, POOL_COPIERS);
    pool_pace_stop(filling.rig->pace);
    cr_assert_eq(filling_end(&filling), POOL_PASS_STOPPED);
    cr_assert_leq(filling.rig->progress.state.done, POOL_COPIERS);
    cr_assert_eq(repair_rig_flags(filling.rig), 1);
    cr_assert_eq(repair_rig_pass(filling.rig), POOL_PASS_WHOLE);
    expect_whole(&filling);
    repair_rig_free(filling.rig);
}

Test(pool_copiers, a_stop_waits_for_a_disk_that_hangs_once_and_not_for_each_copy)
{
    struct filling filling;
    filling_begin(&filling, CHUNKS, LARGE, POOL_COPIERS);
    int64_t since_ns = gfs_monotonic_ns();
    pool_pace_stop(filling.rig->pace);
    (void)pthread_join(filling.thread, NULL);
    int64_t ms = (gfs_monotonic_ns() - since_ns) / 1000000;
    cr_assert_eq(filling.outcome, POOL_PASS_STOPPED);
    cr_assert_lt(ms, 9000, "5 s for all of them, took %d ms", (int)ms);
    disk_double_hang(filling.rig->doubles[0], false);
    repair_rig_free(filling.rig);
}

Test(pool_copiers, a_disk_dropped_while_it_hangs_holds_no_copy)
{
    struct filling filling;
    filling_begin(&filling, CHUNKS, LARGE, POOL_COPIERS);
    pool_disk_drop(&filling.rig->pool, filling.rig->disks[0], GFS_TIMEOUT, "test");
    (void)pthread_join(filling.thread, NULL);
    cr_assert_eq(filling.outcome, POOL_PASS_INCOMPLETE);
    cr_assert_eq(filling.rig->progress.state.failures, CHUNKS);
    disk_double_hang(filling.rig->doubles[0], false);
    filling.rig->on_open = NULL;
    repair_rig_bring_back(filling.rig, 0);
    cr_assert_eq(repair_rig_pass(filling.rig), POOL_PASS_WHOLE);
    expect_whole(&filling);
    repair_rig_free(filling.rig);
}

/* Disk 0 goes away for good: its fragments are made on all the others, one of which fails. */
Test(pool_copiers, one_disk_that_fails_among_several_costs_only_its_own_copies)
{
    struct repair_rig *rig = repair_rig_new(6, "replica:2", NULL);
    struct chunk_id ids[24];
    for (unsigned i = 0; i < GFS_COUNT(ids); i++) {
        ids[i] = repair_rig_put(rig, "replica:2", i, i, LARGE);
    }
    uint16_t disk = 0;
    repair_rig_change(rig, repair_load_drain, &disk);
    unsigned failing = 0;
    for (unsigned i = 0; i < GFS_COUNT(ids); i++) {
        const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(ids[i])];
        for (unsigned slot = 0; slot < 2; slot++) {
            failing = group->slots[slot].from == 0 ? group->slots[slot].disk : failing;
        }
    }
    disk_double_fail(rig->doubles[failing], 3); /* 1 is the settling, then a copy is under way */
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    cr_assert_gt(rig->drops, 0);
    for (unsigned i = 0; i < GFS_COUNT(ids); i++) {
        const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(ids[i])];
        for (uint32_t slot = 0; slot < 2; slot++) {
            uint16_t where = group->slots[slot].disk;
            cr_assert(where == failing || repair_rig_is_there(rig, ids[i], i, LARGE, slot, where));
        }
    }
    disk_double_revive(rig->doubles[failing]);
    repair_rig_bring_back(rig, (uint16_t)failing);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    for (unsigned i = 0; i < GFS_COUNT(ids); i++) {
        cr_assert(repair_rig_is_whole(rig, ids[i], i, LARGE));
        cr_assert_eq(repair_rig_extras(rig, ids[i]), 0);
    }
    repair_rig_free(rig);
}

/* ---- without a pass ---- */

Test(pool_copiers, what_became_of_each_fragment_is_told_with_what_the_caller_said)
{
    struct repair_rig *rig = repair_rig_new(2, "replica:2", NULL);
    struct chunk_id ids[3];
    for (unsigned i = 0; i < 3; i++) {
        ids[i] = repair_rig_put(rig, "replica:2", 0, i, 1000);
    }
    struct pool_view *view = pool_view_get(&rig->pool);
    uint16_t disk = view->map->groups[chunk_id_group(ids[0])].slots[1].disk;
    cr_assert(disk_double_drop(rig->doubles[disk], ids[0]));
    cr_assert(disk_double_drop(rig->doubles[1 - disk], ids[1]));
    cr_assert(disk_double_drop(rig->doubles[disk], ids[1]));
    cr_assert(disk_double_flip(rig->doubles[1 - disk], ids[2], 5));
    cr_assert(disk_double_drop(rig->doubles[disk], ids[2]));
    struct pool_pace pace;
    pool_pace_init(&pace, 0);
    struct pool_copiers *copiers = pool_copiers_new(&rig->pool, &pace);
    pool_tombs_begin(&rig->pool);
    struct pool_copy_lot *lot = pool_copiers_lot(copiers);
    for (unsigned i = 0; i < 3; i++) {
        lot->items[lot->count++] = (struct pool_copy_item){
            .task = {.view = view, .id = ids[i], .slot = 1, .disk = disk}, .arg = &ids[i]};
    }
    pool_copiers_add(copiers, lot);
    cr_assert_eq(pool_copiers_count(copiers), 1);
    lot = pool_copiers_take(copiers, 60000);
    cr_assert_not_null(lot);
    static const enum gfs_err expected[] = {GFS_OK, GFS_NOT_FOUND, GFS_CORRUPT};
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(lot->items[i].err, expected[i], "fragment %u", i);
        cr_assert_eq(lot->items[i].arg, &ids[i]);
    }
    cr_assert_eq(lot->items[0].len, 1000);
    pool_copiers_put(copiers, lot);
    pool_tombs_end(&rig->pool);
    pool_copiers_free(copiers);
    pool_pace_fini(&pace);
    pool_view_put(view);
    repair_rig_free(rig);
}

Test(pool_copiers, lots_are_few_and_come_back_empty)
{
    struct repair_rig *rig = repair_rig_new(2, "replica:2", NULL);
    struct pool_pace pace;
    pool_pace_init(&pace, 0);
    struct pool_copiers *copiers = pool_copiers_new(&rig->pool, &pace);
    cr_assert_null(pool_copiers_take(copiers, 60000), "nothing is under way: no wait");
    struct pool_copy_lot *lots[POOL_COPY_LOTS];
    for (unsigned i = 0; i < POOL_COPY_LOTS; i++) {
        lots[i] = pool_copiers_lot(copiers);
        cr_assert_not_null(lots[i]);
        lots[i]->count = 1;
        lots[i]->bytes = 1;
    }
    cr_assert_null(pool_copiers_lot(copiers));
    for (unsigned i = 0; i < POOL_COPY_LOTS; i++) {
        pool_copiers_put(copiers, lots[i]);
    }
    struct pool_copy_lot *lot = pool_copiers_lot(copiers);
    cr_assert_eq(lot->count, 0);
    cr_assert_eq(lot->bytes, 0);
    pool_copiers_put(copiers, lot);
    pool_copiers_free(copiers);
    pool_pace_fini(&pace);
    repair_rig_free(rig);
}
