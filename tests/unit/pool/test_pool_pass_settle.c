#include <criterion/criterion.h>

#include "libgoodfs/mem.h"
#include "tests/unit/pool/repair_load.h"

static const char *const profiles[] = {"replica:1", "replica:2", "ec:2+1", "ec:4+2"};

static void call_behind(struct pool_map *map, void *arg)
{
    map->disks[*(uint16_t *)arg].is_behind = true;
}

static void set_read_only(struct pool_map *map, void *arg)
{
    map->disks[*(uint16_t *)arg].is_read_only = true;
}

static void set_writable(struct pool_map *map, void *arg)
{
    map->disks[*(uint16_t *)arg].is_read_only = false;
}

static uint32_t count_retired(struct repair_rig *rig)
{
    struct pool_map *map = pool_map_copy(repair_rig_map(rig));
    uint32_t count = pool_plan_retire(map);
    pool_map_free(map);
    return count;
}

/* Chunks of the load whose slot on that disk still is filled from the other one. */
static unsigned count_waiting(struct repair_rig *rig, const struct repair_load *load, uint16_t disk,
                              uint16_t from)
{
    unsigned count = 0;
    for (unsigned i = 0; i < LOAD_CHUNKS; i++) {
        const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(load->ids[i])];
        for (unsigned slot = 0; slot < pool_profile_width(group->profile); slot++) {
            const struct pool_slot *at = &group->slots[slot];
            bool is_waiting = at->disk == disk && at->from == from && at->is_filling;
            count += is_waiting;
            cr_assert(!is_waiting ||
                      repair_rig_is_there(rig, load->ids[i], i, load->lens[i], slot, from));
        }
    }
    return count;
}

/* The disk that the most chunks of the load are to go to. */
static uint16_t find_target(struct repair_rig *rig, const struct repair_load *load, uint16_t from)
{
    uint16_t best = 1;
    for (uint16_t disk = 2; disk < 8; disk++) {
        if (count_waiting(rig, load, disk, from) > count_waiting(rig, load, best, from)) {
            best = disk;
        }
    }
    return best;
}

Test(pool_pass_settle, a_drained_disk_is_kept_while_a_read_only_one_lacks_what_it_has)
{
    for (unsigned i = 0; i < GFS_COUNT(profiles); i++) {
        struct repair_rig *rig = repair_rig_new(8, profiles[i], NULL);
        struct repair_load load = repair_load_put(rig, profiles[i]);
        uint16_t drained = repair_rig_map(rig)->groups[chunk_id_group(load.ids[0])].slots[0].disk;
        repair_rig_change(rig, repair_load_drain, &drained);
        uint16_t target = find_target(rig, &load, drained);
        unsigned waiting = count_waiting(rig, &load, target, drained);
        cr_assert_gt(waiting, 0, "%s", profiles[i]);
        repair_rig_change(rig, set_read_only, &target);
        for (unsigned pass = 0; pass < 2; pass++) {
            cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
            cr_assert_eq(count_waiting(rig, &load, target, drained), waiting, "%s", profiles[i]);
            cr_assert_eq(count_retired(rig), 0);
            cr_assert_eq(rig->progress.state.tally.read_only, waiting);
            cr_assert_eq(rig->progress.state.tally.unplaced, waiting);
        }
        repair_rig_change(rig, set_writable, &target);
        cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
        repair_load_expect(rig, &load);
        cr_assert_eq(repair_load_extras(rig, &load), 0);
        cr_assert_eq(repair_rig_flags(rig), 0);
        cr_assert_eq(rig->progress.state.tally.read_only, 0);
        cr_assert_eq(count_retired(rig), 1);
        repair_rig_free(rig);
    }
}

Test(pool_pass_settle, a_read_only_disk_that_is_behind_stays_so_until_it_has_what_it_lacks)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:3", NULL);
    struct repair_load load = repair_load_put(rig, "replica:3");
    uint16_t disk = 2;
    repair_rig_change(rig, call_behind, &disk);
    repair_rig_empty(rig, disk);
    repair_rig_change(rig, set_read_only, &disk);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    cr_assert(repair_rig_map(rig)->disks[disk].is_behind);
    cr_assert_eq(disk_double_chunks(rig->doubles[disk]), 0, "it gets nothing new");
    repair_rig_change(rig, set_writable, &disk);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert_not(repair_rig_map(rig)->disks[disk].is_behind);
    repair_load_expect(rig, &load);
    repair_rig_free(rig);
}

Test(pool_pass_settle, a_read_only_disk_that_has_everything_holds_up_nothing)
{
    struct repair_rig *rig = repair_rig_new(8, "replica:3", NULL);
    struct repair_load load = repair_load_put(rig, "replica:3");
    uint16_t drained = 1, kept = 2;
    repair_rig_change(rig, set_read_only, &kept);
    repair_rig_change(rig, call_behind, &kept);
    repair_rig_change(rig, repair_load_drain, &drained);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert_eq(repair_rig_flags(rig), 0);
    cr_assert_eq(count_retired(rig), 1);
    repair_load_expect(rig, &load);
    repair_rig_free(rig);
}

Test(pool_pass_settle, a_disk_that_is_drained_as_soon_as_it_is_back_gives_what_only_it_has)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:1", NULL);
    struct repair_load load = repair_load_put(rig, "replica:1");
    uint16_t disk = 1;
    repair_rig_lose(rig, disk);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    repair_rig_return(rig, disk);
    repair_rig_change(rig, repair_load_drain, &disk);
    cr_assert_eq(count_retired(rig), 0, "no slot names it, but it may have what nobody else has");
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    repair_load_expect(rig, &load);
    cr_assert_eq(repair_load_extras(rig, &load), 0);
    cr_assert_eq(count_retired(rig), 1);
    repair_rig_free(rig);
}

Test(pool_pass_settle, a_disk_that_is_back_stays_behind_while_the_others_of_its_chunk_are_away)
{
    struct repair_rig *rig = repair_rig_new(7, "ec:2+1", NULL);
    struct chunk_id id = repair_rig_put(rig, "ec:2+1", 0, 0, 100000);
    const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(id)];
    uint16_t disks[] = {group->slots[0].disk, group->slots[1].disk, group->slots[2].disk};
    repair_rig_lose(rig, disks[0]);
    repair_rig_take_away(rig, disks[1]);
    repair_rig_take_away(rig, disks[2]);
    repair_rig_return(rig, disks[0]);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    cr_assert(repair_rig_map(rig)->disks[disks[0]].is_behind, "it has what may be needed");
    repair_rig_bring_back(rig, disks[1]);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    repair_rig_bring_back(rig, disks[2]);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert(repair_rig_is_whole(rig, id, 0, 100000));
    cr_assert_eq(repair_rig_flags(rig), 0);
    cr_assert_eq(repair_rig_extras(rig, id), 0);
    repair_rig_free(rig);
}

/* ---- what took over is gone again ---- */

struct vanishing {
    struct repair_rig *rig;
    struct chunk_id id;
    uint16_t heir;
    enum pool_phase phase;
};

/* As when repair finds it bad, writes it anew and that does not read back either. */
static void drop_heir(void *arg, struct pool_view *view)
{
    (void)view;
    struct vanishing *vanishing = arg;
    if (vanishing->rig->progress.state.phase == vanishing->phase) {
        (void)disk_double_drop(vanishing->rig->doubles[vanishing->heir], vanishing->id);
    }
}

static enum pool_pass_outcome pass_with(struct vanishing *vanishing)
{
    struct pool_pace pace;
    pool_pace_init(&pace, 0);
    GFS_FREE char *bytes = gfs_alloc_aligned(4096, POOL_COPY_STEP);
    struct pool_pass_options options = {.pool = &vanishing->rig->pool,
                                        .pace = &pace,
                                        .progress = &vanishing->rig->progress,
                                        .bytes = bytes,
                                        .between = drop_heir,
                                        .arg = vanishing};
    enum pool_pass_outcome outcome = pool_pass_run(&options);
    pool_pace_fini(&pace);
    return outcome;
}

static uint16_t disk_of(struct repair_rig *rig, struct chunk_id id)
{
    return repair_rig_map(rig)->groups[chunk_id_group(id)].slots[0].disk;
}

/* Two chunks of one group; all copies of the drained disk are made, but for the second one's, and
 * no map says so. */
static struct vanishing begin_drain(struct chunk_id ids[2], uint16_t *ret_drained)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:1", NULL);
    for (unsigned i = 0; i < 2; i++) {
        ids[i] = repair_rig_put(rig, "replica:1", 0, i, 5000);
    }
    *ret_drained = disk_of(rig, ids[0]);
    struct pool_view *older = pool_view_get(&rig->pool);
    repair_rig_change(rig, repair_load_drain, ret_drained);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    pool_view_put(older);
    uint16_t heir = disk_of(rig, ids[0]);
    cr_assert_eq(disk_of(rig, ids[1]), heir);
    cr_assert(disk_double_drop(rig->doubles[heir], ids[1]));
    return (struct vanishing){.rig = rig, .id = ids[0], .heir = heir};
}

Test(pool_pass_settle, a_former_copy_is_kept_when_the_new_one_is_gone_again)
{
    static const enum pool_phase phases[] = {POOL_PHASE_FILL, POOL_PHASE_TIDY};
    for (unsigned i = 0; i < GFS_COUNT(phases); i++) {
        struct chunk_id ids[2];
        uint16_t drained;
        struct vanishing vanishing = begin_drain(ids, &drained);
        struct repair_rig *rig = vanishing.rig;
        vanishing.phase = phases[i];
        cr_assert_eq(pass_with(&vanishing), POOL_PASS_INCOMPLETE, "phase %d", (int)phases[i]);
        cr_assert(disk_double_has(rig->doubles[drained], ids[0]));
        cr_assert_eq(count_retired(rig), 0, "it has the only copy");
        cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
        for (unsigned j = 0; j < 2; j++) {
            cr_assert(repair_rig_is_whole(rig, ids[j], j, 5000));
            cr_assert_eq(repair_rig_extras(rig, ids[j]), 0);
        }
        cr_assert_eq(count_retired(rig), 1);
        repair_rig_free(rig);
    }
}
