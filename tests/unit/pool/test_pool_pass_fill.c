#include <criterion/criterion.h>

#include "tests/unit/pool/repair_load.h"

/* A chunk of which fragments 0 to 2 are left, the first on a disk that is then drained. */
static struct chunk_id drain_under_lost(struct repair_rig *rig, uint16_t *ret_disk)
{
    struct chunk_id id = repair_rig_put(rig, "ec:4+2", 0, 0, 2 << 20);
    const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(id)];
    *ret_disk = group->slots[0].disk;
    for (uint32_t slot = 3; slot < 6; slot++) {
        cr_assert(disk_double_drop(rig->doubles[group->slots[slot].disk], chunk_id_at(id, slot)));
    }
    repair_rig_change(rig, repair_load_drain, ret_disk);
    return id;
}

Test(pool_pass_fill, what_a_killed_writer_left_does_not_hold_up_a_move)
{
    struct repair_rig *rig = repair_rig_new(8, "ec:4+2", NULL);
    struct repair_load load = repair_load_put(rig, "ec:4+2");
    uint16_t disk;
    struct chunk_id id = drain_under_lost(rig, &disk);
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert_eq(repair_rig_flags(rig), 0);
    cr_assert_eq(rig->progress.state.lost_count, 1);
    cr_assert_eq(disk_double_chunks(rig->doubles[disk]), 0);
    for (uint32_t slot = 0; slot < 3; slot++) {
        const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(id)];
        cr_assert(repair_rig_is_there(rig, id, 0, 2 << 20, slot, group->slots[slot].disk));
    }
    repair_load_expect(rig, &load);
    repair_rig_free(rig);
}

Test(pool_pass_fill, a_fragment_that_cannot_be_read_is_not_left_behind_by_a_move)
{
    struct repair_rig *rig = repair_rig_new(8, "ec:4+2", NULL);
    uint16_t disk;
    struct chunk_id id = drain_under_lost(rig, &disk);
    cr_assert(disk_double_flip(rig->doubles[disk], chunk_id_at(id, 0), 100000));
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
    cr_assert_gt(repair_rig_flags(rig), 0);
    cr_assert(disk_double_has(rig->doubles[disk], chunk_id_at(id, 0)));
    repair_rig_free(rig);
}

static void call_failed(struct pool_map *map, void *arg)
{
    uint32_t unplaced;
    struct gfs_error error = {0};
    enum gfs_err err = pool_plan_fail(map, *(uint16_t *)arg, &unplaced, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
}

/* Nothing is lost that could not be read for a while, and nothing whole that was not made. */
Test(pool_pass_fill, sources_that_do_not_answer_keep_the_flags_until_they_do)
{
    static const enum gfs_err errs[] = {GFS_TIMEOUT, GFS_BUSY, GFS_UNREACHABLE};
    struct repair_rig *rig = repair_rig_new(3, "replica:2", NULL);
    struct repair_load load = repair_load_put(rig, "replica:2");
    repair_rig_change(rig, call_failed, &(uint16_t){1});
    repair_rig_take_away(rig, 1);
    unsigned flags = repair_rig_flags(rig);
    cr_assert_gt(flags, 0);
    for (unsigned i = 0; i < GFS_COUNT(errs); i++) {
        rig->open_err = errs[i];
        cr_assert_eq(repair_rig_pass(rig), POOL_PASS_INCOMPLETE);
        cr_assert_geq(repair_rig_flags(rig), 1);
        cr_assert_eq(rig->progress.state.lost_count, 0);
    }
    rig->open_err = GFS_OK;
    cr_assert_eq(repair_rig_pass(rig), POOL_PASS_WHOLE);
    cr_assert_eq(repair_rig_flags(rig), 0);
    repair_load_expect(rig, &load);
    repair_rig_free(rig);
}

enum { LOST_CHUNKS = POOL_LOST_MAX + 50 };

Test(pool_pass_fill, lost_chunks_are_counted_once_each_however_many_there_are)
{
    struct repair_rig *rig = repair_rig_new(4, "ec:2+2", NULL);
    for (unsigned i = 0; i < LOST_CHUNKS; i++) {
        struct chunk_id id = repair_rig_put(rig, "ec:2+2", i, i, 100);
        const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(id)];
        for (uint32_t slot = 1; slot < 4; slot++) {
            cr_assert(
                disk_double_drop(rig->doubles[group->slots[slot].disk], chunk_id_at(id, slot)));
        }
        if (i == LOST_CHUNKS - 1) { /* the last one is found by a read as well */
            (void)repair_rig_pass(rig);
            struct pool_lost lost = {.id = id, .have = 1, .need = 2};
            pool_progress_lost(&rig->progress, &lost);
        }
    }
    cr_assert_eq(rig->progress.state.lost_count, LOST_CHUNKS, "%lu",
                 (unsigned long)rig->progress.state.lost_count);
    struct pool_lost other = {.id = chunk_id_new(1), .need = 2};
    for (unsigned i = 0; i < 2; i++) {
        pool_progress_lost(&rig->progress, &other);
        cr_assert_eq(rig->progress.state.lost_count, LOST_CHUNKS + 1);
    }
    (void)repair_rig_pass(rig);
    cr_assert_eq(rig->progress.state.lost_count, LOST_CHUNKS, "it is not among the listed ones");
    repair_rig_free(rig);
}
