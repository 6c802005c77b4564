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
