/* The logs of two disks: one brought to the end of the other, and compared. */
#include <criterion/criterion.h>

#include "pool/pool_log.h"
#include "tests/unit/pool/disk_double.h"

struct log_rig {
    struct disk_double *disks[2];
    struct chunk_store *from, *to;
    struct gfs_error error;
};

static void rig_init(struct log_rig *rig)
{
    *rig = (struct log_rig){.disks = {disk_double_new(), disk_double_new()}};
    rig->from = disk_double_store(rig->disks[0]);
    rig->to = disk_double_store(rig->disks[1]);
}

static void rig_fini(struct log_rig *rig)
{
    disk_double_free(rig->disks[0]);
    disk_double_free(rig->disks[1]);
}

static void answered(struct chunk_group *group, enum gfs_err err)
{
    cr_assert_eq(err, GFS_OK);
    group->records = NULL;
}

/* Decided here, so answered at the return. */
static void append(struct disk_double *disk, uint64_t first, uint64_t last)
{
    struct chunk_store *store = disk_double_store(disk);
    disk_double_set_auto(disk, false);
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        struct chunk_record edit = {
            .kind = CHUNK_RECORD_EDIT, .lsn = lsn, .payload = gfs_slice_str("edit")};
        struct chunk_group group = {.records = &edit, .done = answered};
        store->ops->submit(store, &group);
        cr_assert_eq(disk_double_decide(disk, 1), 1);
        cr_assert_null(group.records);
    }
    disk_double_set_auto(disk, true);
}

static uint64_t gone(struct chunk_store *store)
{
    struct chunk_store_status status = {0};
    store->ops->status(store, &status);
    return status.lsn_gone;
}

static enum gfs_err count_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    (void)lsn;
    (void)edit;
    (*(unsigned *)arg)++;
    return GFS_OK;
}

static enum gfs_err replay(struct chunk_store *store, uint64_t after, unsigned *ret_count)
{
    *ret_count = 0;
    return store->ops->replay_edits(store, after, count_edit, ret_count, NULL);
}

Test(pool_log, a_log_that_lacks_nothing_is_extended_without_a_word)
{
    struct log_rig rig;
    unsigned count;
    rig_init(&rig);
    append(rig.disks[0], 1, 10);
    append(rig.disks[1], 1, 5);
    rig.from->ops->trim_edits(rig.from, 5);
    cr_assert_eq(pool_log_extend(rig.from, rig.to, &rig.error), GFS_OK);
    cr_expect_eq(gone(rig.to), 0);
    cr_expect_eq(replay(rig.to, 0, &count), GFS_OK);
    cr_expect_eq(count, 10);
    rig_fini(&rig);
}

Test(pool_log, a_log_that_is_extended_behind_a_gap_says_so)
{
    struct log_rig rig;
    unsigned count;
    for (unsigned own = 0; own <= 5; own += 5) { /* a new disk, and one that was away */
        rig_init(&rig);
        append(rig.disks[0], 1, 10);
        append(rig.disks[1], 1, own);
        rig.from->ops->trim_edits(rig.from, 8);
        cr_assert_eq(pool_log_extend(rig.from, rig.to, &rig.error), GFS_OK);
        cr_expect_eq(gone(rig.to), 8);
        cr_expect_eq(replay(rig.to, 0, &count), GFS_CORRUPT);
        cr_expect_eq(replay(rig.to, 4, &count), GFS_CORRUPT, "with edit 5, without edit 6");
        cr_expect_eq(replay(rig.to, 8, &count), GFS_OK);
        cr_expect_eq(count, 2);
        cr_assert_eq(pool_log_extend(rig.from, rig.to, &rig.error), GFS_OK, "and again");
        cr_expect_eq(replay(rig.to, 8, &count), GFS_OK);
        cr_expect_eq(count, 2);
        rig_fini(&rig);
    }
}

/* The power went between the word and the edits, and another disk is the source now. */
Test(pool_log, nothing_is_appended_below_what_a_log_says_is_gone)
{
    struct log_rig rig;
    unsigned count;
    rig_init(&rig);
    append(rig.disks[0], 1, 8);
    rig.from->ops->trim_edits(rig.from, 8);
    cr_assert_eq(pool_log_extend(rig.from, rig.to, &rig.error), GFS_OK);
    cr_expect_eq(gone(rig.to), 8);
    struct disk_double *other = disk_double_new();
    append(other, 1, 10);
    cr_assert_eq(pool_log_extend(disk_double_store(other), rig.to, &rig.error), GFS_OK);
    cr_expect_eq(disk_double_edits(rig.disks[1]), 2);
    cr_expect_eq(replay(rig.to, 8, &count), GFS_OK);
    cr_expect_eq(count, 2);
    disk_double_free(other);
    rig_fini(&rig);
}

Test(pool_log, logs_are_compared_from_where_both_are_whole)
{
    struct log_rig rig;
    rig_init(&rig);
    append(rig.disks[0], 1, 10);
    append(rig.disks[1], 1, 9);
    rig.from->ops->trim_edits(rig.from, 3);
    cr_expect_eq(pool_log_compare(rig.from, rig.to, 0, &rig.error), GFS_OK);
    rig.to->ops->trim_edits(rig.to, 6);
    cr_expect_eq(pool_log_compare(rig.from, rig.to, 0, &rig.error), GFS_OK);
    rig.from->ops->trim_edits(rig.from, 9);
    cr_expect_eq(pool_log_compare(rig.from, rig.to, 0, &rig.error), GFS_OK);
    rig_fini(&rig);
}

Test(pool_log, an_edit_that_only_one_of_them_has_is_a_conflict_at_the_beginning_too)
{
    for (unsigned which = 0; which < 2; which++) {
        struct log_rig rig;
        rig_init(&rig);
        append(rig.disks[which], 4, 4);
        append(rig.disks[0], 5, 10);
        append(rig.disks[1], 5, 9);
        cr_expect_eq(pool_log_compare(rig.from, rig.to, 3, &rig.error), GFS_CONFLICT);
        cr_expect_eq(pool_log_compare(rig.from, rig.to, 4, &rig.error), GFS_OK, "trimmed");
        rig_fini(&rig);
    }
}

Test(pool_log, what_was_reclaimed_is_no_damage)
{
    struct log_rig rig;
    rig_init(&rig);
    append(rig.disks[0], 1, 10);
    rig.from->ops->trim_edits(rig.from, 8);
    cr_expect_eq(pool_log_check(rig.from, &rig.error), GFS_OK);
    disk_double_damage_log(rig.disks[0], true);
    cr_expect_eq(pool_log_check(rig.from, &rig.error), GFS_CORRUPT);
    rig_fini(&rig);
}
