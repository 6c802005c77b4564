#include <criterion/criterion.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_copy_op.h"
#include "tests/unit/pool/repair_load.h"

static void call_behind(struct pool_map *map, void *arg)
{
    map->disks[*(uint16_t *)arg].is_behind = true;
}

static const char *const profiles[] = {"replica:2", "replica:3", "ec:2+1", "ec:4+2"};

Test(pool_pass, a_lost_disk_is_made_anew_on_the_others_byte_by_byte)
{
    for (unsigned i = 0; i < GFS_COUNT(profiles); i++) {
        struct repair_rig *rig = repair_rig_new(8, profiles[i], NULL);
        struct repair_load load = repair_load_put(rig, profiles[i]);
        for (uint16_t disk = 1; disk < 3; disk++) {
            repair_rig_lose(rig, disk);
            cr_assert_gt(repair_rig_flags(rig), 0);
            cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
            repair_load_expect(rig, &load);
            cr_assert_eq(repair_rig_flags(rig), 0);
        }
        repair_rig_free(rig);
    }
}

Test(pool_pass, an_emptied_disk_that_is_behind_is_filled_again)
{
    for (unsigned i = 0; i < GFS_COUNT(profiles); i++) {
        struct repair_rig *rig = repair_rig_new(6, profiles[i], NULL);
        struct repair_load load = repair_load_put(rig, profiles[i]);
        for (uint16_t disk = 0; disk < 6; disk++) {
            repair_rig_change(rig, call_behind, &disk);
            repair_rig_empty(rig, disk);
            cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
            repair_load_expect(rig, &load);
            cr_assert_eq(repair_rig_flags(rig), 0);
        }
        repair_rig_free(rig);
    }
}

Test(pool_pass, every_loss_within_redundancy_is_healed)
{
    struct repair_rig *rig = repair_rig_new(6, "ec:4+2", "replica:3");
    struct repair_load striped = repair_load_put(rig, "ec:4+2");
    struct repair_load copied = repair_load_put(rig, "replica:3");
    for (unsigned i = 0; i < LOAD_CHUNKS; i++) {
        const struct pool_map *map = repair_rig_map(rig);
        const struct pool_group *group = &map->groups[chunk_id_group(striped.ids[i])];
        for (unsigned lost = 0; lost < 2; lost++) {
            uint32_t slot = (i + lost * 3) % 6;
            cr_assert(disk_double_drop(rig->doubles[group->slots[slot].disk],
                                       chunk_id_at(striped.ids[i], slot)));
        }
        group = &map->groups[chunk_id_group(copied.ids[i])];
        for (unsigned lost = 0; lost < 2; lost++) {
            uint32_t slot = (i + lost) % 3;
            cr_assert(disk_double_drop(rig->doubles[group->slots[slot].disk], copied.ids[i]));
        }
    }
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    repair_load_expect(rig, &striped);
    repair_load_expect(rig, &copied);
    cr_assert_eq(rig->progress.state.done, 4 * LOAD_CHUNKS);
    cr_assert_eq(rig->progress.state.left, 0);
    cr_assert_eq(rig->changes, 0, "nothing was flagged: no map is made");
    repair_rig_free(rig);
}

Test(pool_pass, a_drained_disk_is_emptied_before_the_map_forgets_it)
{
    for (unsigned i = 0; i < GFS_COUNT(profiles); i++) {
        struct repair_rig *rig = repair_rig_new(8, profiles[i], NULL);
        struct repair_load load = repair_load_put(rig, profiles[i]);
        uint16_t disk = 3;
        repair_rig_change(rig, repair_load_drain, &disk);
        cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
        repair_load_expect(rig, &load);
        cr_assert_eq(repair_load_extras(rig, &load), 0);
        cr_assert_eq(disk_double_chunks(rig->doubles[disk]), 0);
        cr_assert_eq(repair_rig_flags(rig), 0);
        cr_assert_eq(rig->progress.state.halted[0], '\0');
        repair_rig_free(rig);
    }
}

/* ---- stops and crashes ---- */

static void stop_at(struct repair_rig *rig, struct chunk_id id)
{
    (void)id;
    if (++rig->opens == rig->stop_at) {
        pool_pace_stop(rig->pace);
    }
}

Test(pool_pass, a_pass_that_is_stopped_anywhere_is_begun_again_and_ends)
{
    bool is_through = false;
    for (unsigned at = 1; !is_through; at++) {
        struct repair_rig *rig = repair_rig_new(8, "ec:4+2", NULL);
        struct repair_load load = repair_load_put(rig, "ec:4+2");
        uint16_t disk = 1;
        repair_rig_change(rig, repair_load_drain, &disk);
        rig->stop_at = at;
        rig->on_open = stop_at;
        enum pool_pass_outcome outcome = repair_rig_pass(rig);
        is_through = outcome == POOL_PASS_WHOLE;
        cr_assert(is_through || outcome == POOL_PASS_STOPPED);
        cr_assert(is_through || repair_rig_flags(rig) > 0);
        repair_rig_restart(rig);
        rig->on_open = NULL;
        cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
        repair_load_expect(rig, &load);
        cr_assert_eq(repair_load_extras(rig, &load), 0);
        repair_rig_free(rig);
    }
}

/* The end of the process: from the n-th group on nothing is durable any more. */
struct killer {
    atomic_uint count;
    unsigned at;
};

static enum gfs_err kill_at(void *arg, struct disk_double *disk, const struct chunk_group *group)
{
    (void)disk;
    (void)group;
    struct killer *killer = arg;
    return atomic_fetch_add(&killer->count, 1) + 1 >= killer->at ? GFS_IO : GFS_OK;
}

static void set_judge(struct repair_rig *rig, disk_double_judge_fn judge, void *arg)
{
    for (unsigned i = 0; i < RIG_DISKS_MAX && rig->doubles[i] != NULL; i++) {
        disk_double_set_judge(rig->doubles[i], judge, arg);
    }
}

Test(pool_pass, a_kill_at_any_write_of_a_pass_loses_nothing)
{
    bool is_through = false;
    for (unsigned at = 1; !is_through; at += 7) {
        struct repair_rig *rig = repair_rig_new(5, "replica:2", NULL);
        struct repair_load load = repair_load_put(rig, "replica:2");
        uint16_t disk = 1;
        repair_rig_change(rig, repair_load_drain, &disk);
        struct killer killer = {.at = at};
        set_judge(rig, kill_at, &killer);
        is_through = repair_rig_pass(rig) == POOL_PASS_WHOLE;
        set_judge(rig, NULL, NULL);
        for (unsigned i = 0; i < 5; i++) {
            disk_double_revive(rig->doubles[i]);
        }
        repair_rig_restart(rig);
        cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE, "killed at %u", at);
        repair_load_expect(rig, &load);
        cr_assert_eq(repair_load_extras(rig, &load), 0);
        repair_rig_free(rig);
    }
}

/* ---- deletions ---- */

static void delete_first(struct repair_rig *rig, struct chunk_id id)
{
    if (rig->opens++ == 0) {
        rig->victim = id;
        repair_rig_delete(rig, id, true);
    }
}

static bool is_anywhere(struct repair_rig *rig, struct chunk_id id)
{
    const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(id)];
    bool is_there = false;
    for (unsigned i = 0; i < RIG_DISKS_MAX && rig->doubles[i] != NULL; i++) {
        for (unsigned slot = 0; slot < pool_profile_width(group->profile); slot++) {
            is_there |= disk_double_has(rig->doubles[i], pool_fragment_id(group, id, slot));
        }
    }
    return is_there;
}

/* The copier has the bytes when the chunk is deleted: it opened the fragment before. */
static void delete_previous(struct repair_rig *rig, struct chunk_id id)
{
    if (rig->opens++ == 0) {
        rig->victim = id;
    }
}

static enum gfs_err delete_at_copy(void *arg, struct disk_double *disk,
                                   const struct chunk_group *group)
{
    (void)disk;
    struct repair_rig *rig = arg;
    (void)pthread_mutex_lock(&rig->hook_lock);
    struct chunk_id victim = rig->victim;
    (void)pthread_mutex_unlock(&rig->hook_lock);
    bool is_copy = group->records->kind == CHUNK_RECORD_DATA &&
                   chunk_id_at(group->records->id, 0).lo == chunk_id_at(victim, 0).lo;
    if (is_copy) {
        repair_rig_delete(rig, victim, false);
    }
    return GFS_OK;
}

Test(pool_pass, a_chunk_deleted_before_its_copy_is_written_does_not_come_back)
{
    for (unsigned i = 0; i < GFS_COUNT(profiles); i++) {
        struct repair_rig *rig = repair_rig_new(8, profiles[i], NULL);
        (void)repair_load_put(rig, profiles[i]);
        uint16_t disk = 2;
        repair_rig_change(rig, repair_load_drain, &disk);
        rig->on_open = delete_first;
        (void)repair_rig_pass(rig);
        cr_assert_gt(rig->opens, 0);
        cr_assert_not(is_anywhere(rig, rig->victim));
        cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
        cr_assert_not(is_anywhere(rig, rig->victim));
        repair_rig_free(rig);
    }
}

Test(pool_pass, a_chunk_deleted_while_its_bytes_are_read_does_not_come_back)
{
    for (unsigned i = 0; i < GFS_COUNT(profiles); i++) {
        struct repair_rig *rig = repair_rig_new(8, profiles[i], NULL);
        (void)repair_load_put(rig, profiles[i]);
        uint16_t disk = 2;
        repair_rig_change(rig, repair_load_drain, &disk);
        rig->on_read = delete_first;
        (void)repair_rig_pass(rig);
        cr_assert_gt(rig->opens, 0);
        cr_assert_not(is_anywhere(rig, rig->victim));
        cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
        cr_assert_not(is_anywhere(rig, rig->victim));
        repair_rig_free(rig);
    }
}

Test(pool_pass, a_chunk_deleted_while_its_copy_is_written_does_not_come_back)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:2", NULL);
    struct chunk_id ids[8];
    for (unsigned i = 0; i < GFS_COUNT(ids); i++) {
        ids[i] = repair_rig_put(rig, "replica:2", i, i, 1000);
    }
    uint16_t disk = 0;
    repair_rig_change(rig, repair_load_drain, &disk);
    rig->on_open = delete_previous;
    set_judge(rig, delete_at_copy, rig);
    (void)repair_rig_pass(rig);
    set_judge(rig, NULL, NULL);
    cr_assert_gt(rig->opens, 0);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert_not(is_anywhere(rig, rig->victim));
    repair_rig_free(rig);
}

/* ---- what cannot be done now ---- */

Test(pool_pass, a_full_disk_keeps_its_flags_and_the_sources_until_there_is_room)
{
    struct repair_rig *rig = repair_rig_new(3, "replica:2", NULL);
    struct repair_load load = repair_load_put(rig, "replica:2");
    uint16_t disk = 0;
    repair_rig_change(rig, repair_load_drain, &disk);
    size_t before = disk_double_chunks(rig->doubles[0]);
    disk_double_set_room(rig->doubles[1], DISK_DOUBLE_FULL);
    disk_double_set_room(rig->doubles[2], DISK_DOUBLE_FULL);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    cr_assert_eq(disk_double_chunks(rig->doubles[0]), before);
    cr_assert_gt(repair_rig_flags(rig), 0);
    cr_assert_gt(rig->progress.state.failures, 0);
    disk_double_set_room(rig->doubles[1], DISK_DOUBLE_ROOM);
    disk_double_set_room(rig->doubles[2], DISK_DOUBLE_ROOM);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    repair_load_expect(rig, &load);
    cr_assert_eq(disk_double_chunks(rig->doubles[0]), 0);
    repair_rig_free(rig);
}

Test(pool_pass, while_a_disk_is_away_its_groups_keep_their_flags_and_lose_nothing)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:3", NULL);
    struct repair_load load = repair_load_put(rig, "replica:3");
    uint16_t drained = 0;
    uint16_t away = 1;
    repair_rig_change(rig, repair_load_drain, &drained);
    repair_rig_take_away(rig, away);
    size_t before = disk_double_chunks(rig->doubles[drained]);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    cr_assert_eq(disk_double_chunks(rig->doubles[drained]), before);
    cr_assert_gt(repair_rig_flags(rig), 0);
    repair_rig_bring_back(rig, away);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    repair_load_expect(rig, &load);
    cr_assert_eq(repair_load_extras(rig, &load), 0);
    repair_rig_free(rig);
}

Test(pool_pass, nothing_is_called_filled_while_somebody_works_by_an_older_map)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:2", NULL);
    struct repair_load load = repair_load_put(rig, "replica:2");
    struct pool_view *older = pool_view_get(&rig->pool);
    uint16_t disk = 0;
    repair_rig_change(rig, repair_load_drain, &disk);
    size_t before = disk_double_chunks(rig->doubles[0]);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    cr_assert_gt(repair_rig_flags(rig), 0);
    cr_assert_eq(disk_double_chunks(rig->doubles[0]), before);
    repair_load_expect(rig, &load);
    pool_view_put(older);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert_eq(repair_rig_flags(rig), 0);
    repair_rig_free(rig);
}

Test(pool_pass, who_only_reads_by_an_older_map_is_not_waited_for)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:2", NULL);
    (void)repair_load_put(rig, "replica:2");
    struct pool_view *older = pool_view_get(&rig->pool);
    pool_view_pin(older);
    pool_view_put(older);
    uint16_t disk = 0;
    repair_rig_change(rig, repair_load_drain, &disk);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert_eq(repair_rig_flags(rig), 0);
    pool_view_unpin(older);
    repair_rig_free(rig);
}

static void note_behind(struct repair_rig *rig, struct chunk_id id)
{
    (void)id;
    atomic_fetch_add(&rig->disks[0]->behind_notes, 1);
}

Test(pool_pass, a_disk_that_missed_something_during_the_pass_stays_behind)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:3", NULL);
    struct repair_load load = repair_load_put(rig, "replica:3");
    uint16_t disk = 0;
    repair_rig_change(rig, call_behind, &disk);
    repair_rig_empty(rig, disk);
    rig->on_open = note_behind;
    (void)repair_rig_pass(rig);
    cr_assert(repair_rig_map(rig)->disks[0].is_behind);
    rig->on_open = NULL;
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert_not(repair_rig_map(rig)->disks[0].is_behind);
    repair_load_expect(rig, &load);
    repair_rig_free(rig);
}

/* ---- what must not be touched ---- */

Test(pool_pass, a_former_copy_is_kept_when_the_new_one_is_bad)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:2", NULL);
    struct repair_load load = repair_load_put(rig, "replica:2");
    uint16_t disk = 0;
    repair_rig_change(rig, repair_load_drain, &disk);
    rig->change_err = GFS_UNREACHABLE; /* copies are made, and the map cannot say so */
    struct pool_view *older = pool_view_get(&rig->pool);
    repair_rig_change(rig, NULL, NULL);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    pool_view_put(older);
    rig->change_err = GFS_OK;
    unsigned flipped = 0;
    for (unsigned i = 0; i < LOAD_CHUNKS; i++) {
        const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(load.ids[i])];
        for (unsigned slot = 0; slot < 2; slot++) {
            if (group->slots[slot].from == 0) {
                flipped += disk_double_flip(rig->doubles[group->slots[slot].disk], load.ids[i], 0);
            }
        }
    }
    cr_assert_gt(flipped, 0);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    cr_assert_eq(pool_suspect_count(&rig->pool), flipped);
    cr_assert_geq(repair_load_extras(rig, &load), flipped);
    cr_assert_gt(repair_rig_flags(rig), 0);
    repair_rig_free(rig);
}

/* The way to the disk changes a byte that the disk then takes for right. */
static enum gfs_err spoil(void *arg, struct disk_double *disk, const struct chunk_group *group)
{
    (void)arg;
    (void)disk;
    if (group->records->kind == CHUNK_RECORD_DATA) {
        char *byte = (char *)(uintptr_t)group->records->payload.ptr;
        *byte = (char)(*byte ^ 1);
    }
    return GFS_OK;
}

Test(pool_pass, a_copy_that_does_not_read_back_as_it_was_written_is_none)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:2", NULL);
    struct chunk_id id = repair_rig_put(rig, "replica:2", 0, 0, 1000);
    const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(id)];
    uint16_t disk = group->slots[1].disk;
    repair_rig_change(rig, repair_load_drain, &disk);
    uint16_t heir = repair_rig_map(rig)->groups[chunk_id_group(id)].slots[1].disk;
    disk_double_set_judge(rig->doubles[heir], spoil, NULL);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    disk_double_set_judge(rig->doubles[heir], NULL, NULL);
    cr_assert_not(disk_double_has(rig->doubles[heir], id));
    cr_assert(repair_rig_is_there(rig, id, 0, 1000, 1, disk));
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert(repair_rig_is_whole(rig, id, 0, 1000));
    cr_assert_eq(repair_rig_extras(rig, id), 0);
    repair_rig_free(rig);
}

/* A record on one disk that no slot asks for. */
static void put_alone(struct repair_rig *rig, uint16_t disk, struct chunk_id id)
{
    struct chunk_id whole = repair_rig_put(rig, "replica:2", 0, 99, 500);
    char bytes[500];
    (void)disk_double_bytes(
        rig->doubles[repair_rig_map(rig)->groups[chunk_id_group(whole)].slots[0].disk], whole,
        bytes, sizeof bytes);
    struct chunk_record record = {
        .kind = CHUNK_RECORD_DATA, .id = id, .payload = gfs_slice_of(bytes, sizeof bytes)};
    struct pool_pace pace;
    pool_pace_init(&pace, 0);
    struct pool_copy_op *op = pool_copy_op_new(&rig->pool, &pace, rig->disks[disk]);
    struct chunk_store *store = disk_double_store(rig->doubles[disk]);
    store->ops->submit(store, pool_copy_op_group(op, &record));
    cr_assert_eq(pool_copy_op_wait(op), GFS_OK);
    pool_copy_op_free(op);
    pool_pace_fini(&pace);
}

Test(pool_pass, fragments_that_may_be_orphans_are_counted_and_left_alone)
{
    struct repair_rig *rig = repair_rig_new(8, "ec:4+2", "replica:2");
    struct repair_load load = repair_load_put(rig, "ec:4+2");
    const struct pool_map *map = repair_rig_map(rig);
    struct chunk_id stray = chunk_id_new(chunk_id_group(load.ids[0]));
    bool is_of_group[RIG_DISKS_MAX] = {0};
    for (unsigned i = 0; i < 6; i++) {
        is_of_group[map->groups[chunk_id_group(stray)].slots[i].disk] = true;
    }
    uint16_t disk = 0;
    while (is_of_group[disk]) {
        disk++;
    }
    struct chunk_id unknown = chunk_id_new(map->group_count + 5);
    put_alone(rig, disk, stray);
    put_alone(rig, disk, unknown);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert_eq(rig->progress.state.tally.strays, 1);
    cr_assert_eq(rig->progress.state.tally.unknown, 1);
    cr_assert_eq(rig->progress.state.lost_count, 0);
    cr_assert(disk_double_has(rig->doubles[disk], stray));
    cr_assert(disk_double_has(rig->doubles[disk], unknown));
    repair_rig_free(rig);
}

Test(pool_pass, a_flood_of_deletions_without_a_reason_is_not_made)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:2", NULL);
    struct chunk_id ids[40];
    for (unsigned i = 0; i < GFS_COUNT(ids); i++) {
        ids[i] = repair_rig_put(rig, "replica:2", i, i, 500); /* as long as its extra */
        const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(ids[i])];
        uint16_t disk = 0;
        while (group->slots[0].disk == disk || group->slots[1].disk == disk) {
            disk++;
        }
        put_alone(rig, disk, ids[i]);
    }
    (void)repair_rig_pass(rig);
    cr_assert_neq(rig->progress.state.halted[0], '\0');
    cr_assert_eq(rig->progress.state.deleted, 0);
    repair_rig_free(rig);
}

Test(pool_pass, a_lost_disk_that_comes_back_is_emptied_of_what_was_made_elsewhere)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:2", NULL);
    struct repair_load load = repair_load_put(rig, "replica:2");
    uint16_t disk = 1;
    size_t before = disk_double_chunks(rig->doubles[disk]);
    cr_assert_gt(before, 0);
    repair_rig_lose(rig, disk);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    repair_rig_return(rig, disk);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert_eq(rig->progress.state.halted[0], '\0');
    cr_assert_eq(disk_double_chunks(rig->doubles[disk]), 0);
    cr_assert_eq(repair_rig_flags(rig), 0);
    repair_load_expect(rig, &load);
    repair_rig_free(rig);
}

Test(pool_pass, a_lost_disk_that_comes_back_gives_what_only_it_has)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:1", NULL);
    struct repair_load load = repair_load_put(rig, "replica:1");
    uint16_t disk = 1;
    repair_rig_lose(rig, disk);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    repair_rig_return(rig, disk);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    repair_load_expect(rig, &load);
    cr_assert_eq(repair_load_extras(rig, &load), 0);
    repair_rig_free(rig);
}

Test(pool_pass, a_chunk_with_too_few_fragments_is_listed_and_kept)
{
    struct repair_rig *rig = repair_rig_new(6, "ec:4+2", NULL);
    struct repair_load load = repair_load_put(rig, "ec:4+2");
    const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(load.ids[3])];
    for (uint32_t slot = 0; slot < 3; slot++) {
        cr_assert(disk_double_drop(rig->doubles[group->slots[slot].disk],
                                   chunk_id_at(load.ids[3], slot)));
    }
    (void)repair_rig_pass(rig);
    cr_assert_eq(rig->progress.state.lost_count, 1);
    cr_assert_eq(rig->progress.state.lost[0].id.lo, load.ids[3].lo);
    cr_assert_eq(rig->progress.state.lost[0].have, 3);
    cr_assert_eq(rig->progress.state.lost[0].need, 4);
    for (uint32_t slot = 3; slot < 6; slot++) {
        cr_assert(
            disk_double_has(rig->doubles[group->slots[slot].disk], chunk_id_at(load.ids[3], slot)));
    }
    repair_rig_free(rig);
}

Test(pool_pass, damage_in_a_log_is_answered_when_all_it_may_have_cost_is_there)
{
    struct repair_rig *rig = repair_rig_new(3, "replica:3", NULL);
    struct repair_load load = repair_load_put(rig, "replica:3");
    disk_double_damage_log(rig->doubles[1], true);
    cr_assert(disk_double_drop(rig->doubles[1], load.ids[2]));
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    repair_load_expect(rig, &load);
    struct chunk_store_status status;
    struct chunk_store *store = disk_double_store(rig->doubles[1]);
    store->ops->status(store, &status);
    cr_assert_eq(status.damaged_places, 0);
    repair_rig_free(rig);
}
