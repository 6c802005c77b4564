/* Random groups, completions in random order, random faults and a crash at the end. The rig checks
 * the rules of pool.h at every answer, at every edit that becomes durable, and after the crash. */
#include <criterion/criterion.h>

#include "tests/unit/pool/submit_rig.h"

enum { RUNS = 250, STEPS = 400 };

struct run {
    struct submit_rig *rig;
    uint64_t state; /* of the random numbers */
    unsigned faults_left;
    unsigned bad_max; /* disks that misbehave are the first so many */
};

static uint64_t draw(struct run *run, uint64_t below)
{
    return map_rig_draw(&run->state, below);
}

static void submit_some(struct run *run)
{
    struct submit_rig *rig = run->rig;
    uint32_t pg = 1 + (uint32_t)draw(run, 2);
    unsigned flags = draw(run, 5) == 0 ? 0 : SUBMIT_EDIT;
    uint32_t len = 1 + (uint32_t)draw(run, draw(run, 4) == 0 ? 9000 : 60);
    switch (draw(run, 8)) {
    case 0:
        (void)submit_rig_edit(rig);
        break;
    case 1:
        if (rig->count != 0) {
            struct submit_group *other = rig->groups[draw(run, rig->count)];
            if (other->is_answered && other->err == GFS_OK && !other->is_delete) {
                (void)submit_rig_delete(rig, other, flags | SUBMIT_RESERVE);
            }
        }
        break;
    default:
        (void)submit_rig_put(rig, pg, 1 + (unsigned)draw(run, 3), len, flags);
        break;
    }
}

static void misbehave(struct run *run)
{
    struct disk_double *disk = run->rig->doubles[draw(run, run->bad_max)];
    switch (draw(run, 6)) {
    case 0:
        disk_double_fail(disk, 1 + (unsigned)draw(run, 5));
        break;
    case 1:
        disk_double_hang(disk, true);
        break;
    case 2:
        disk_double_hang(disk, false);
        break;
    default:
        disk_double_set_room(disk, (enum disk_double_room)draw(run, 3));
        break;
    }
}

static void step(struct run *run)
{
    struct submit_rig *rig = run->rig;
    uint64_t what = draw(run, 100);
    if (what < 25) {
        submit_some(run);
    } else if (what < 92) {
        struct disk_double *disk = rig->doubles[draw(run, rig->disk_count)];
        (void)disk_double_decide(disk, 1 + draw(run, 12));
    } else if (what < 97) {
        (void)submit_rig_watch(rig);
    } else if (run->faults_left != 0 && draw(run, 8) == 0) {
        run->faults_left--;
        misbehave(run);
    } else if (run->faults_left != 0 && draw(run, 30) == 0) {
        submit_rig_time_out(rig); /* of disks that are merely slow, too */
    }
}

static struct run run_new(uint64_t seed)
{
    static const char *const profiles[] = {"replica:1", "replica:2", "replica:3",
                                           "ec:2+1",    "ec:2+2",    "ec:4+2"};
    struct run run = {.state = seed};
    (void)draw(&run, 2);
    const char *profile = profiles[draw(&run, GFS_COUNT(profiles))];
    unsigned disks = pool_profile_width(map_rig_profile(profile)) + (unsigned)draw(&run, 3);
    run.rig = submit_rig_new(disks, profile);
    run.rig->fails_disks = draw(&run, 2) == 0;
    run.faults_left = (unsigned)draw(&run, 5);
    run.bad_max = draw(&run, 3) == 0 ? disks : 1 + (unsigned)draw(&run, disks);
    return run;
}

Test(pool_submit_random, no_rule_is_broken_by_any_order_any_fault_and_any_crash)
{
    size_t groups = 0;
    size_t acknowledged = 0;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        struct run run = run_new(seed);
        for (unsigned i = 0; i < STEPS; i++) {
            step(&run);
        }
        for (unsigned i = 0; i < run.rig->disk_count; i++) {
            disk_double_crash(run.rig->doubles[i], draw(&run, 6));
        }
        submit_rig_check_all(run.rig);
        for (size_t i = 0; i < run.rig->count; i++) {
            const struct submit_group *group = run.rig->groups[i];
            acknowledged += group->is_answered && group->err == GFS_OK ? 1 : 0;
        }
        groups += run.rig->count;
        submit_rig_free(run.rig);
    }
    cr_assert_gt(groups, 10000);
    /* Else the faults hide what is to be tested. */
    cr_assert_gt(acknowledged, groups / 3, "%zu of %zu", acknowledged, groups);
}
