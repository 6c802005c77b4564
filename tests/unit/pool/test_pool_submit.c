#include <criterion/criterion.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "tests/unit/pool/submit_rig.h"

static const char *const profiles[] = {"replica:3", "ec:2+2", "ec:3+2"};

static unsigned disks_of(const char *profile)
{
    return pool_profile_width(map_rig_profile(profile)) + 1;
}

Test(pool_submit, a_group_is_on_all_its_disks_before_it_is_answered)
{
    for (size_t i = 0; i < GFS_COUNT(profiles); i++) {
        struct submit_rig *rig = submit_rig_new(disks_of(profiles[i]), profiles[i]);
        struct submit_group *group = submit_rig_put(rig, 1, 3, 5000, SUBMIT_EDIT);
        cr_assert_eq(submit_rig_mirrors(rig, group), 0);
        submit_rig_settle(rig);
        cr_assert_eq(submit_rig_await(group), GFS_OK);
        unsigned width = disks_of(profiles[i]) - 1;
        unsigned k = map_rig_profile(profiles[i]).k;
        for (uint32_t chunk = 0; chunk < 3; chunk++) {
            cr_assert_eq(submit_rig_fragments(rig, group->ids[chunk]), width);
            cr_assert_eq(submit_rig_good_fragments(rig, group, chunk), k == 1 ? width : k);
        }
        cr_assert_eq(submit_rig_mirrors(rig, group), 3);
        submit_rig_free(rig);
    }
}

Test(pool_submit, edits_are_sent_when_all_data_is_durable_and_not_before)
{
    struct submit_rig *rig = submit_rig_new(4, "replica:3");
    struct submit_group *group = submit_rig_put(rig, 2, 1, 100, SUBMIT_EDIT); /* disks 3, 2, 1 */
    cr_assert_eq(disk_double_decide(rig->doubles[3], 9), 1);
    cr_assert_eq(disk_double_decide(rig->doubles[2], 9), 1);
    cr_assert_eq(disk_double_waiting(rig->doubles[0]), 0);
    cr_assert_eq(disk_double_decide(rig->doubles[1], 1), 1);
    cr_assert_eq(disk_double_waiting(rig->doubles[0]), 1); /* now the edit is there */
    cr_assert_eq(disk_double_decide(rig->doubles[0], 1), 1);
    cr_assert_eq(disk_double_decide(rig->doubles[1], 1), 1);
    cr_assert(!group->is_answered);
    cr_assert_eq(disk_double_decide(rig->doubles[2], 1), 1);
    cr_assert_eq(submit_rig_await(group), GFS_OK);
    submit_rig_free(rig);
}

Test(pool_submit, answers_keep_the_order_of_submission_whatever_completes_first)
{
    struct submit_rig *rig = submit_rig_new(8, "replica:3");
    struct submit_group *slow = submit_rig_put(rig, 1, 1, 100, SUBMIT_EDIT);  /* disks 0 to 2 */
    struct submit_group *quick = submit_rig_put(rig, 2, 1, 100, SUBMIT_EDIT); /* disks 7 to 5 */
    struct submit_group *data = submit_rig_put(rig, 2, 1, 100, 0);
    for (unsigned i = 3; i < 8; i++) {
        (void)disk_double_decide(rig->doubles[i], 9);
    }
    cr_assert(!quick->is_answered && !data->is_answered);
    cr_assert_eq(submit_rig_mirrors(rig, quick), 0); /* LSN order: the slow one's is first */
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(data), GFS_OK); /* the rig checks the order */
    cr_assert_eq(submit_rig_mirrors(rig, quick), 3);
    cr_assert_eq(submit_rig_await(slow), GFS_OK);
    submit_rig_free(rig);
}

Test(pool_submit, edits_that_become_ready_together_share_a_group)
{
    struct submit_rig *rig = submit_rig_new(8, "replica:3");
    (void)submit_rig_put(rig, 1, 1, 100, SUBMIT_EDIT);
    struct submit_group *last = NULL;
    for (unsigned i = 0; i < 10; i++) {
        last = submit_rig_edit(rig);
    }
    struct disk_double_counts counts;
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(disk_double_decide(rig->doubles[i], 1), 1);
    }
    disk_double_counts(rig->doubles[0], &counts);
    cr_assert_eq(counts.groups, 2); /* the data, and eleven edits */
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(last), GFS_OK);
    submit_rig_free(rig);
}

static void submit_another(struct submit_group *group)
{
    struct submit_group *next = submit_rig_put(group->rig, 1, 1, 10, SUBMIT_EDIT);
    next->then = next->number < 5 ? submit_another : NULL;
}

Test(pool_submit, who_is_answered_may_submit_more)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:3");
    struct submit_group *group = submit_rig_edit(rig);
    group->then = submit_another;
    submit_rig_settle(rig);
    cr_assert_eq(rig->count, 6);
    cr_assert_eq(submit_rig_await(rig->groups[5]), GFS_OK);
    submit_rig_free(rig);
}

/* ---- one disk misbehaves ---- */

enum fault { FAULT_FAILS, FAULT_HANGS, FAULT_FULL, FAULTS };

static void inject(struct submit_rig *rig, unsigned disk, enum fault fault)
{
    if (fault == FAULT_FAILS) {
        disk_double_fail(rig->doubles[disk], 1);
    } else if (fault == FAULT_HANGS) {
        disk_double_hang(rig->doubles[disk], true);
    } else {
        disk_double_set_room(rig->doubles[disk], DISK_DOUBLE_BRIMFUL);
    }
}

/* At step 0 before anything is decided, at step n when n groups of every disk are. */
static void run_fault(const char *profile, unsigned disk, enum fault fault, unsigned step)
{
    struct submit_rig *rig = submit_rig_new(disks_of(profile), profile);
    struct submit_group *group = submit_rig_put(rig, 1, 1, 5000, SUBMIT_EDIT);
    for (unsigned i = 0; i < rig->disk_count && step != 0; i++) {
        (void)disk_double_decide(rig->doubles[i], step);
    }
    inject(rig, disk, fault);
    struct submit_group *after = submit_rig_put(rig, 1, 1, 5000, SUBMIT_EDIT);
    (void)submit_rig_decide(rig);
    submit_rig_time_out(rig);
    (void)submit_rig_decide(rig);
    /* The disk lacks something: no answer before a map says so. */
    cr_assert(!group->is_answered || step == 2 || (step == 1 && disk >= 3));
    cr_assert(!after->is_answered);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(group), GFS_OK, "%s disk %u fault %d step %u", profile, disk,
                 fault, step);
    cr_assert_eq(submit_rig_await(after), GFS_OK);
    submit_rig_check_all(rig);
    cr_assert_geq(submit_rig_mirrors(rig, after), 2);
    submit_rig_free(rig); /* releases what hangs: it reads memory that is still there */
}

Test(pool_submit, one_disk_that_fails_hangs_or_is_full_at_any_step_is_survived)
{
    for (size_t i = 0; i < GFS_COUNT(profiles); i++) {
        for (unsigned disk = 0; disk + 1 < disks_of(profiles[i]); disk++) {
            for (enum fault fault = 0; fault < FAULTS; fault++) {
                for (unsigned step = 0; step <= 2; step++) {
                    run_fault(profiles[i], disk, fault, step);
                }
            }
        }
    }
}

Test(pool_submit, a_disk_that_is_busy_but_answers_is_not_dropped)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:3");
    struct submit_group *group = submit_rig_put(rig, 1, 1, 100, SUBMIT_EDIT);
    int64_t now_ns = gfs_monotonic_ns();
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&rig->disks[i]->progress_ns, now_ns + 2000000000);
    }
    pool_submit_tick(&rig->pool, now_ns + 3000000000);
    cr_assert_eq(rig->wish_count, 0);
    pool_submit_tick(&rig->pool, now_ns + 30000000000); /* nor is it waited for for ever */
    cr_assert_eq(rig->wish_count, 3);
    cr_assert_eq(submit_rig_await(group), GFS_UNREACHABLE);
    submit_rig_free(rig);
}

/* ---- too many disks misbehave ---- */

Test(pool_submit, a_group_without_its_quorum_is_refused_and_leaves_nothing)
{
    for (size_t i = 0; i < GFS_COUNT(profiles); i++) {
        struct submit_rig *rig = submit_rig_new(disks_of(profiles[i]) + 1, profiles[i]);
        struct pool_profile profile = map_rig_profile(profiles[i]);
        unsigned width = pool_profile_width(profile);
        unsigned spare = width - pool_profile_quorum(profile);
        for (unsigned disk = 0; disk <= spare; disk++) { /* one too many */
            disk_double_set_room(rig->doubles[width - 1 - disk], DISK_DOUBLE_FULL);
        }
        struct submit_group *group = submit_rig_put(rig, 1, 1, 5000, SUBMIT_EDIT);
        struct submit_group *edit = submit_rig_edit(rig);
        submit_rig_settle(rig);
        cr_assert(atomic_load(&rig->disks[width - 1]->is_full)); /* others need not try */
        cr_assert_eq(submit_rig_await(group), GFS_NO_SPACE);
        cr_assert_eq(submit_rig_fragments(rig, group->ids[0]), 0);
        cr_assert_eq(submit_rig_mirrors(rig, group), 0);
        cr_assert_eq(submit_rig_await(edit), GFS_OK); /* and later ones go on */
        cr_assert_eq(rig->wish_count, 0);
        submit_rig_free(rig);
    }
}

Test(pool_submit, with_too_few_disks_left_everything_is_refused)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:3");
    disk_double_fail(rig->doubles[0], 1);
    disk_double_fail(rig->doubles[1], 1);
    struct submit_group *group = submit_rig_put(rig, 1, 1, 100, SUBMIT_EDIT);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(group), GFS_UNREACHABLE);
    cr_assert_eq(submit_rig_fragments(rig, group->ids[0]), 0);
    struct submit_group *next = submit_rig_edit(rig);
    cr_assert_eq(submit_rig_await(next), GFS_UNREACHABLE); /* at once: no disk is asked */
    cr_assert_eq(submit_rig_mirrors(rig, group) + submit_rig_mirrors(rig, next), 0);
    submit_rig_free(rig);
}

Test(pool_submit, an_outcome_that_is_not_known_fails_everything_after_it)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:3");
    struct submit_group *first = submit_rig_edit(rig);
    struct submit_group *group = submit_rig_edit(rig);
    cr_assert_eq(disk_double_decide(rig->doubles[0], 2), 2);
    cr_assert_eq(disk_double_decide(rig->doubles[1], 1), 1);
    cr_assert_eq(disk_double_decide(rig->doubles[2], 1), 1);
    cr_assert_eq(submit_rig_await(first), GFS_OK);
    disk_double_fail(rig->doubles[1], 1); /* 0 has the edit, so it cannot be refused */
    disk_double_fail(rig->doubles[2], 1);
    struct submit_group *later = submit_rig_put(rig, 1, 1, 10, SUBMIT_EDIT);
    submit_rig_settle(rig);
    submit_rig_time_out(rig);
    pool_submit_tick(&rig->pool, gfs_monotonic_ns() + 60000000000); /* the map never comes */
    cr_assert_eq(submit_rig_await(group), GFS_IO);
    cr_assert_eq(submit_rig_await(later), GFS_IO);
    struct submit_group *last = submit_rig_edit(rig);
    cr_assert_eq(submit_rig_await(last), GFS_IO);
    cr_assert_eq(submit_rig_mirrors(rig, last), 0);
    submit_rig_free(rig);
}

static void fill(struct submit_rig *rig, unsigned disk)
{
    atomic_store(&rig->disks[disk]->is_full, true);
    disk_double_set_room(rig->doubles[disk], DISK_DOUBLE_FULL);
}

Test(pool_submit, too_many_full_mirrors_refuse_at_the_door_but_not_deletions)
{
    struct submit_rig *rig = submit_rig_new(5, "ec:2+2");
    struct submit_group *group = submit_rig_put(rig, 1, 1, 100, SUBMIT_EDIT);
    submit_rig_settle(rig);
    fill(rig, 1); /* one may be: its edits use the reserve */
    struct submit_group *edit = submit_rig_edit(rig);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(edit), GFS_OK);
    cr_assert_eq(submit_rig_mirrors(rig, edit), 3);
    fill(rig, 2);
    struct submit_group *refused = submit_rig_edit(rig);
    struct submit_group *delete = submit_rig_delete(rig, group, SUBMIT_EDIT | SUBMIT_RESERVE);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(refused), GFS_NO_SPACE);
    cr_assert_eq(submit_rig_mirrors(rig, refused), 0);
    cr_assert_eq(submit_rig_await(delete), GFS_OK);
    submit_rig_free(rig);
}

Test(pool_submit, nothing_is_sent_while_a_mirror_that_fails_is_still_called_in_sync)
{
    struct submit_rig *rig = submit_rig_new(4, "replica:2");
    pool_disk_drop(&rig->pool, rig->disks[2], GFS_IO, "identity"); /* somebody else found it */
    struct submit_group *group = submit_rig_edit(rig);
    cr_assert_eq(disk_double_waiting(rig->doubles[0]), 0);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(group), GFS_OK);
    cr_assert_eq(submit_rig_mirrors(rig, group), 2);
    submit_rig_free(rig);
}

static void make_read_only(struct pool_view *view)
{
    view->is_read_only = true;
}

Test(pool_submit, a_read_only_pool_refuses_everything)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:3");
    struct submit_group *group = submit_rig_put(rig, 1, 1, 100, SUBMIT_EDIT);
    submit_rig_settle(rig);
    make_read_only(rig->pool.view);
    cr_assert_eq(submit_rig_await(submit_rig_put(rig, 1, 1, 100, 0)), GFS_UNREACHABLE);
    cr_assert_eq(submit_rig_await(submit_rig_edit(rig)), GFS_UNREACHABLE);
    cr_assert_eq(submit_rig_await(submit_rig_delete(rig, group, SUBMIT_RESERVE)), GFS_UNREACHABLE);
    cr_assert_eq(submit_rig_fragments(rig, group->ids[0]), 3);
    submit_rig_free(rig);
}

/* ---- deletions ---- */

static void move_slot(struct pool_map *map)
{
    map->groups[1].slots[0] = (struct pool_slot){.disk = 4, .from = 0, .is_filling = true};
}

Test(pool_submit, a_deletion_is_answered_when_every_disk_that_may_have_it_has_answered)
{
    struct submit_rig *rig = submit_rig_new(5, "ec:2+2");
    struct submit_group *group = submit_rig_put(rig, 1, 2, 100, SUBMIT_EDIT);
    submit_rig_settle(rig);
    submit_rig_change(rig, move_slot);
    struct submit_group *delete = submit_rig_delete(rig, group, SUBMIT_EDIT | SUBMIT_RESERVE);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(submit_rig_mirrors(rig, delete), 0);
        cr_assert_eq(disk_double_waiting(rig->doubles[i]), 1);
        cr_assert_eq(disk_double_decide(rig->doubles[i], 1), 1);
    }
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(delete), GFS_OK);
    cr_assert_eq(submit_rig_fragments(rig, group->ids[0]), 0);
    cr_assert_eq(submit_rig_fragments(rig, group->ids[1]), 0);
    submit_rig_free(rig);
}

Test(pool_submit, a_deletion_waits_for_disks_that_are_away_but_not_for_failed_ones)
{
    for (unsigned is_failed = 0; is_failed < 2; is_failed++) {
        struct submit_rig *rig = submit_rig_new(5, "ec:2+2");
        rig->fails_disks = is_failed != 0;
        struct submit_group *group = submit_rig_put(rig, 1, 1, 100, SUBMIT_EDIT);
        submit_rig_settle(rig);
        pool_disk_drop(&rig->pool, rig->disks[3], GFS_IO, "identity");
        submit_rig_settle(rig);
        struct submit_group *delete = submit_rig_delete(rig, group, SUBMIT_EDIT | SUBMIT_RESERVE);
        submit_rig_settle(rig);
        cr_assert_eq(submit_rig_await(delete), is_failed ? GFS_OK : GFS_UNREACHABLE);
        cr_assert_eq(submit_rig_fragments(rig, group->ids[0]), is_failed ? 1 : 4);
        submit_rig_free(rig);
    }
}

Test(pool_submit, a_disk_that_fails_a_deletion_leaves_it_to_be_tried_again)
{
    struct submit_rig *rig = submit_rig_new(5, "ec:2+2");
    struct submit_group *group = submit_rig_put(rig, 1, 1, 100, SUBMIT_EDIT);
    submit_rig_settle(rig);
    disk_double_fail(rig->doubles[3], 1);
    struct submit_group *delete = submit_rig_delete(rig, group, SUBMIT_EDIT | SUBMIT_RESERVE);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(delete), GFS_UNREACHABLE);
    cr_assert_eq(submit_rig_mirrors(rig, delete), 0);
    submit_rig_free(rig);
}

struct copy {
    struct chunk_group group;
    struct chunk_record record;
    enum gfs_err err;
};

static void copied(struct chunk_group *group, enum gfs_err err)
{
    GFS_CONTAINER_OF(group, struct copy, group)->err = err;
}

static struct copy copy_of(struct chunk_id id)
{
    struct copy copy = {.err = GFS_END};
    copy.record = (struct chunk_record){
        .kind = CHUNK_RECORD_DATA, .id = id, .payload = GFS_SLICE_LITERAL("x")};
    return copy;
}

Test(pool_submit, a_copy_of_a_chunk_deleted_during_a_pass_does_not_become_live)
{
    struct submit_rig *rig = submit_rig_new(5, "replica:3");
    struct submit_group *group = submit_rig_put(rig, 1, 1, 100, SUBMIT_EDIT);
    submit_rig_settle(rig);
    pool_tombs_begin(&rig->pool);
    struct copy copy = copy_of(group->ids[0]);
    copy.group = (struct chunk_group){.records = &copy.record, .done = copied};
    cr_assert(pool_tombs_submit(&rig->pool, group->ids[0], rig->disks[4], &copy.group));
    struct submit_group *delete = submit_rig_delete(rig, group, SUBMIT_RESERVE);
    cr_assert(!pool_tombs_submit(&rig->pool, group->ids[0], rig->disks[4], &copy.group));
    submit_rig_settle(rig);
    cr_assert(submit_rig_await(delete) == GFS_OK && copy.err == GFS_OK);
    pool_tombs_end(&rig->pool);
    cr_assert(pool_tombs_submit(&rig->pool, group->ids[0], rig->disks[4], &copy.group));
    submit_rig_settle(rig);
    submit_rig_free(rig);
}

static void count_call(void *arg)
{
    ++*(unsigned *)arg;
}

Test(pool_submit, more_deletions_than_can_be_noted_are_refused)
{
    struct submit_rig *rig = submit_rig_new(1, "replica:1");
    size_t count = POOL_TOMBS_MAX;
    struct chunk_id *ids = gfs_alloc_array(count + 1, sizeof *ids);
    for (size_t i = 0; i <= count; i++) {
        ids[i] = chunk_id_new(1);
    }
    unsigned calls = 0;
    cr_assert(pool_tombs_delete(&rig->pool, ids, count + 1, count_call, &calls));
    pool_tombs_begin(&rig->pool);
    cr_assert(pool_tombs_delete(&rig->pool, ids, count, count_call, &calls));
    cr_assert(!pool_tombs_delete(&rig->pool, ids + count, 1, count_call, &calls));
    cr_assert_eq(calls, 2);
    pool_tombs_begin(&rig->pool);
    cr_assert(pool_tombs_delete(&rig->pool, ids + count, 1, count_call, &calls));
    struct chunk_group group;
    cr_assert(!pool_tombs_submit(&rig->pool, ids[count], rig->disks[0], &group));
    free(ids);
    submit_rig_free(rig);
}

/* ---- mirrors that come ---- */

static void leave_third(struct pool_map *map)
{
    map->log_disks[2].is_in_sync = false;
}

static void sync_third(struct pool_map *map)
{
    map->log_disks[2].is_in_sync = true;
}

Test(pool_submit, while_paused_the_logs_stand_still)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:1");
    submit_rig_change(rig, leave_third);
    struct submit_group *before = submit_rig_edit(rig);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_mirrors(rig, before), 2);
    cr_assert_eq(pool_submit_pause(&rig->pool), GFS_OK);
    struct submit_group *group = submit_rig_put(rig, 1, 1, 10, SUBMIT_EDIT);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_mirrors(rig, group), 0);
    atomic_store(&rig->disks[2]->takes_edits, true);
    pool_submit_resume(&rig->pool);
    (void)disk_double_decide(rig->doubles[0], 9);
    (void)disk_double_decide(rig->doubles[1], 9);
    cr_assert(!group->is_answered); /* the disk that joins is waited for */
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(group), GFS_OK);
    cr_assert_eq(submit_rig_mirrors(rig, group), 3);
    submit_rig_change(rig, sync_third);
    cr_assert_eq(submit_rig_await(before), GFS_OK);
    submit_rig_free(rig);
}

Test(pool_submit, a_pause_gives_up_when_only_a_map_would_help)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:1");
    struct submit_group *group = submit_rig_edit(rig);
    disk_double_fail(rig->doubles[2], 1);
    (void)submit_rig_decide(rig);
    cr_assert_eq(pool_submit_pause(&rig->pool), GFS_UNREACHABLE);
    pool_submit_resume(&rig->pool);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(group), GFS_OK);
    submit_rig_free(rig);
}

/* Before the map says that it is not in sync a start would take its log for whole. */
Test(pool_submit, a_mirror_that_had_no_room_for_an_edit_takes_none_behind_it)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:1");
    struct chunk_store *mirror = rig->disks[2]->store;
    struct chunk_store_status status;
    struct submit_group *first = submit_rig_edit(rig);
    struct submit_group *groups[3];
    submit_rig_settle(rig);
    mirror->ops->status(mirror, &status);
    uint64_t lsn = status.lsn_last;
    disk_double_set_room(rig->doubles[2], DISK_DOUBLE_BRIMFUL);
    groups[0] = submit_rig_edit(rig);
    (void)submit_rig_decide(rig);
    disk_double_set_room(rig->doubles[2], DISK_DOUBLE_ROOM);
    groups[1] = submit_rig_edit(rig);
    groups[2] = submit_rig_edit(rig);
    (void)submit_rig_decide(rig);
    mirror->ops->status(mirror, &status);
    cr_assert_eq(status.lsn_last, lsn);
    cr_assert(!groups[2]->is_answered);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(first), GFS_OK);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(submit_rig_await(groups[i]), GFS_OK);
    }
    mirror->ops->status(mirror, &status);
    cr_assert_eq(status.lsn_last, lsn);
    submit_rig_free(rig);
}

static void set_rooms(struct submit_rig *rig, enum disk_double_room room)
{
    for (unsigned i = 0; i < rig->disk_count; i++) {
        disk_double_set_room(rig->doubles[i], room);
    }
}

/* What was in between was refused by all, and so decided at once. */
Test(pool_submit, nor_does_it_when_others_had_none_for_the_next_one)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:1");
    struct chunk_store *mirror = rig->disks[2]->store;
    struct chunk_store_status status;
    disk_double_set_room(rig->doubles[2], DISK_DOUBLE_BRIMFUL);
    struct submit_group *first = submit_rig_edit(rig);
    (void)submit_rig_decide(rig);
    set_rooms(rig, DISK_DOUBLE_BRIMFUL);
    struct submit_group *refused = submit_rig_edit(rig);
    (void)submit_rig_decide(rig);
    set_rooms(rig, DISK_DOUBLE_ROOM);
    struct submit_group *last = submit_rig_edit(rig);
    (void)submit_rig_decide(rig);
    mirror->ops->status(mirror, &status);
    cr_assert_eq(status.lsn_last, 0);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(first), GFS_OK);
    cr_assert_eq(submit_rig_await(refused), GFS_NO_SPACE);
    cr_assert_eq(submit_rig_await(last), GFS_OK);
    submit_rig_free(rig);
}

Test(pool_submit, what_all_mirrors_refused_costs_nothing_behind_it)
{
    struct submit_rig *rig = submit_rig_new(2, "replica:1");
    set_rooms(rig, DISK_DOUBLE_BRIMFUL);
    struct submit_group *refused = submit_rig_edit(rig);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(refused), GFS_NO_SPACE);
    set_rooms(rig, DISK_DOUBLE_ROOM);
    struct submit_group *taken = submit_rig_edit(rig);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(taken), GFS_OK);
    submit_rig_free(rig);
}

Test(pool_submit, a_joining_disk_that_has_no_room_for_an_edit_does_not_join)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:1");
    submit_rig_change(rig, leave_third);
    atomic_store(&rig->disks[2]->takes_edits, true);
    disk_double_set_room(rig->doubles[2], DISK_DOUBLE_BRIMFUL);
    struct submit_group *group = submit_rig_edit(rig);
    (void)submit_rig_decide(rig);
    cr_assert(!group->is_answered);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(group), GFS_OK);
    cr_assert(!atomic_load(&rig->disks[2]->takes_edits));
    submit_rig_free(rig);
}

/* The map that calls it in sync may be durable already. */
Test(pool_submit, a_joining_disk_that_fails_is_waited_for_until_a_map_says_so)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:1");
    submit_rig_change(rig, leave_third);
    atomic_store(&rig->disks[2]->takes_edits, true);
    disk_double_fail(rig->doubles[2], 1);
    struct submit_group *group = submit_rig_edit(rig);
    (void)submit_rig_decide(rig);
    struct submit_group *after = submit_rig_edit(rig);
    (void)submit_rig_decide(rig);
    cr_assert(!group->is_answered);
    cr_assert_eq(submit_rig_mirrors(rig, after), 0);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(group), GFS_OK);
    cr_assert_eq(submit_rig_await(after), GFS_OK);
    submit_rig_free(rig);
}

/* ---- views ---- */

Test(pool_submit, a_view_counts_as_held_until_its_last_group_is_answered)
{
    struct submit_rig *rig = submit_rig_new(3, "replica:3");
    uint64_t version = submit_rig_map(rig)->version;
    struct submit_group *group = submit_rig_put(rig, 1, 1, 10, SUBMIT_EDIT);
    submit_rig_change(rig, sync_third);
    cr_assert_eq(submit_rig_map(rig)->version, version + 1);
    cr_assert_eq(pool_view_oldest(&rig->pool), version);
    submit_rig_settle(rig);
    cr_assert_eq(submit_rig_await(group), GFS_OK);
    cr_assert_eq(pool_view_oldest(&rig->pool), version + 1);
    submit_rig_free(rig);
}
