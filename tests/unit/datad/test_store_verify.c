/* The log read again while the store works: edits replayed, damage found, and its end. */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/datad/store_rig.h"

enum { PAGE = 4096, BIG = 1 << 20, MIDDLE = 100000, SEGMENT = 1 << 20 };

static const char first_segment[] = "log/000000000001.seg";

static struct chunk_id id_of(uint64_t n)
{
    return (struct chunk_id){.hi = 7, .lo = n};
}

static void flip(const struct rig *rig, const char *name, off_t offset)
{
    char path[128];
    char byte;
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    GFS_CLOSE int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &byte, 1, offset), 1);
    byte = (char)(byte ^ 4);
    cr_assert_eq(pwrite(fd, &byte, 1, offset), 1);
}

/* The next start reads the whole log. */
static void reopen_without_checkpoint(struct rig *rig)
{
    char path[128];
    rig_close(rig);
    (void)snprintf(path, sizeof path, "%s/index.ckpt", rig->dir);
    cr_assert_eq(unlink(path), 0);
    rig_open(rig);
}

static bool is_there(const struct rig *rig, const char *name)
{
    char path[128];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    return stat(path, &info) == 0;
}

static uint64_t damaged_places(const struct rig *rig)
{
    struct chunk_store_status status;
    rig->chunks->ops->status(rig->chunks, &status);
    return status.damaged_places;
}

/* Answers how many calls it took. */
static unsigned verify(const struct rig *rig, uint64_t bytes)
{
    uint64_t cursor = 0;
    unsigned count = 0;
    do {
        enum gfs_err err = rig->chunks->ops->verify_log(rig->chunks, &cursor, bytes);
        cr_assert_eq(err, GFS_OK);
        cr_assert_lt(count, 10000);
        count++;
    } while (cursor != 0);
    return count;
}

static void put_many(struct rig *rig, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        cr_assert_eq(rig_put(rig, id_of(i), MIDDLE), GFS_OK);
    }
}

static void delete_many(struct rig *rig, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        struct chunk_id id = id_of(i);
        cr_assert_eq(rig_delete(rig, &id, 1), GFS_OK);
    }
}

/* ---- replay while everything goes on ---- */

struct replayed {
    struct rig *rig;
    uint64_t last;
    unsigned count;
};

/* What was visited is trimmed, emptied and recycled. */
static enum gfs_err disturb(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct replayed *replayed = arg;
    struct rig *rig = replayed->rig;
    cr_expect_eq(edit.len, 4);
    cr_expect_gt(lsn, replayed->last);
    replayed->last = lsn;
    replayed->count++;
    if (lsn == 30) {
        delete_many(rig, 100, 40);
        rig->chunks->ops->trim_edits(rig->chunks, lsn);
        store_settle(rig->store);
    }
    cr_expect_eq(rig_edit(rig, 1000 + lsn, "more"), GFS_OK);
    return GFS_OK;
}

Test(store_verify, edits_are_replayed_while_segments_are_recycled_and_written)
{
    struct rig rig;
    rig_init(&rig);
    for (uint64_t i = 1; i <= 40; i++) {
        cr_assert_eq(rig_edit(&rig, i, "edit"), GFS_OK);
        put_many(&rig, 99 + i, 1);
    }
    struct replayed replayed = {.rig = &rig};
    enum gfs_err err = rig.chunks->ops->replay_edits(rig.chunks, 0, disturb, &replayed, NULL);
    cr_expect_eq(err, GFS_OK);
    cr_expect_geq(replayed.count, 40);
    struct store_stats stats;
    store_stats(rig.store, &stats);
    cr_expect_gt(stats.segments_recycled, 0);
    rig_fini(&rig);
}

/* At the last edit that is there: more come, and the log goes on in another segment. */
static enum gfs_err write_on(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct rig *rig = arg;
    (void)edit;
    cr_expect_leq(lsn, 2, "edit %llu came, and edit 3 did not", (unsigned long long)lsn);
    if (lsn == 2) {
        cr_assert_eq(rig_edit(rig, 3, "edit"), GFS_OK);
        put_many(rig, 1, 12);
        cr_assert_eq(rig_edit(rig, 4, "edit"), GFS_OK);
    }
    return GFS_OK;
}

Test(store_verify, a_replay_leaves_no_edit_out_before_one_that_it_gives)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_edit(&rig, 1, "edit"), GFS_OK);
    cr_assert_eq(rig_edit(&rig, 2, "edit"), GFS_OK);
    cr_expect_eq(rig.chunks->ops->replay_edits(rig.chunks, 0, write_on, &rig, NULL), GFS_OK);
    cr_assert(is_there(&rig, "log/000000000002.seg"));
    rig_fini(&rig);
}

/* ---- verifying ---- */

Test(store_verify, a_whole_log_is_verified_in_steps_of_any_size)
{
    struct rig rig;
    rig_init(&rig);
    cr_expect_leq(verify(&rig, 1), 2, "an empty one too");
    put_many(&rig, 1, 30);
    cr_assert_eq(rig_put_bulk(&rig, id_of(99), BIG), GFS_OK);
    cr_assert_eq(rig_edit(&rig, 1, "edit"), GFS_OK);
    delete_many(&rig, 1, 3);
    unsigned one = verify(&rig, 1);
    unsigned some = verify(&rig, 300000);
    cr_expect_gt(one, 30);
    cr_expect_lt(some, 20);
    cr_expect_eq(verify(&rig, UINT64_MAX), 1);
    cr_expect_eq(damaged_places(&rig), 0);
    rig_fini(&rig);
}

Test(store_verify, damage_that_would_cost_a_record_is_counted_once)
{
    const off_t offsets[] = {0, PAGE, PAGE + 70, PAGE + 64 + 52, SEGMENT - PAGE + 9};
    for (size_t i = 0; i < GFS_COUNT(offsets); i++) {
        struct rig rig;
        rig_init(&rig);
        cr_assert_eq(rig_edit(&rig, 1, "edit"), GFS_OK); /* the first batch */
        put_many(&rig, 1, 30);
        flip(&rig, first_segment, offsets[i]);
        (void)verify(&rig, 100000);
        cr_expect_eq(damaged_places(&rig), 1, "at %ld", (long)offsets[i]);
        (void)verify(&rig, 100000);
        cr_expect_eq(damaged_places(&rig), 1, "at %ld", (long)offsets[i]);
        rig_fini(&rig);
    }
}

Test(store_verify, the_bytes_of_a_chunk_are_its_own_matter_and_a_repaired_one_is_forgotten)
{
    struct rig rig;
    rig_init(&rig);
    put_many(&rig, 1, 30);
    flip(&rig, first_segment, PAGE + 500); /* chunk 1 */
    (void)verify(&rig, UINT64_MAX);
    cr_expect_eq(damaged_places(&rig), 0);
    cr_expect_eq(rig_check(&rig, id_of(1), MIDDLE), GFS_CORRUPT);
    cr_expect_eq(rig_put(&rig, id_of(1), MIDDLE), GFS_OK);
    delete_many(&rig, 2, 4);
    store_settle(rig.store);
    put_many(&rig, 50, 20);
    store_settle(rig.store);
    cr_expect_eq(damaged_places(&rig), 0, "what is damaged is superseded");
    cr_expect_eq(rig_check(&rig, id_of(1), MIDDLE), GFS_OK);
    cr_expect_not(is_there(&rig, first_segment));
    rig_fini(&rig);
}

/* ---- the end of damage ---- */

/* Chunk 1 lies in the first batch; most of its segment is dead. */
static void load_damaged(struct rig *rig)
{
    put_many(rig, 1, 30);
    flip(rig, first_segment, PAGE + 500);
    delete_many(rig, 3, 7);
    store_settle(rig->store);
}

Test(store_verify, a_live_record_that_cannot_be_copied_is_kept_and_counted)
{
    struct rig rig;
    rig_init(&rig);
    load_damaged(&rig);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(damaged_places(&rig), 1, "start %d", i);
        cr_expect(is_there(&rig, first_segment));
        cr_expect_eq(rig_check(&rig, id_of(1), MIDDLE), GFS_CORRUPT);
        cr_expect_eq(rig_check(&rig, id_of(2), MIDDLE), GFS_OK);
        rig_reopen(&rig);
        store_settle(rig.store);
    }
    rig_fini(&rig);
}

Test(store_verify, a_batch_whose_header_is_gone_keeps_its_segment)
{
    struct rig rig;
    rig_init(&rig);
    put_many(&rig, 1, 30);
    flip(&rig, first_segment, PAGE);
    delete_many(&rig, 3, 7);
    store_settle(rig.store);
    for (int i = 0; i < 3; i++) {
        cr_expect_gt(damaged_places(&rig), 0, "start %d", i);
        cr_expect(is_there(&rig, first_segment));
        cr_expect_eq(rig_check(&rig, id_of(2), MIDDLE), GFS_OK);
        rig_reopen(&rig);
        store_settle(rig.store);
    }
    rig_fini(&rig);
}

Test(store_verify, after_repair_what_can_be_read_is_saved_and_the_rest_is_given_up)
{
    struct rig rig;
    rig_init(&rig);
    load_damaged(&rig);
    rig.chunks->ops->repaired(rig.chunks);
    cr_expect_eq(damaged_places(&rig), 0);
    put_many(&rig, 50, 20); /* the log goes on, and checkpoints with it */
    store_settle(rig.store);
    cr_expect_not(is_there(&rig, first_segment));
    cr_expect_eq(damaged_places(&rig), 1, "what was lost is told");
    rig.chunks->ops->repaired(rig.chunks);
    store_settle(rig.store);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(damaged_places(&rig), 0);
        cr_expect_eq(rig_check(&rig, id_of(1), MIDDLE), GFS_NOT_FOUND);
        cr_expect_eq(rig_check(&rig, id_of(2), MIDDLE), GFS_OK);
        rig_reopen(&rig);
        store_settle(rig.store);
    }
    rig_fini(&rig);
}

/* The header of the batch goes; the store knows where everything is, and only that. */
Test(store_verify, what_the_index_knows_is_saved_from_an_unreadable_batch)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_put_bulk(&rig, id_of(200), BIG), GFS_OK);
    put_many(&rig, 1, 30);
    flip(&rig, first_segment, PAGE);            /* the PLACE record's */
    flip(&rig, first_segment, (off_t)PAGE * 2); /* chunk 1's */
    (void)verify(&rig, UINT64_MAX);
    cr_expect_gt(damaged_places(&rig), 0);
    rig.chunks->ops->repaired(rig.chunks);
    put_many(&rig, 50, 20);
    store_settle(rig.store);
    cr_expect_not(is_there(&rig, first_segment));
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(rig_check(&rig, id_of(200), BIG), GFS_OK);
        cr_expect_eq(rig_check(&rig, id_of(1), MIDDLE), GFS_OK);
        cr_expect_eq(damaged_places(&rig), 0);
        reopen_without_checkpoint(&rig);
    }
    rig_fini(&rig);
}

/* Chunk 3 is written anew, so its first record is superseded where the damage is. When the second
 * one is gone with its segment, only the tombstone stands against the first. */
Test(store_verify, a_deleted_chunk_does_not_come_back_from_a_damaged_segment)
{
    struct rig rig;
    rig_init(&rig);
    put_many(&rig, 1, 12);
    flip(&rig, first_segment, PAGE + 500); /* chunk 1 */
    put_many(&rig, 3, 1);
    store_settle(rig.store);
    cr_expect_eq(damaged_places(&rig), 1);
    delete_many(&rig, 3, 1);
    put_many(&rig, 50, 30);
    delete_many(&rig, 11, 2);
    delete_many(&rig, 50, 30);
    put_many(&rig, 90, 10);
    store_settle(rig.store);
    struct store_stats stats;
    store_stats(rig.store, &stats);
    cr_expect_gt(stats.segments_recycled, 1);
    cr_expect_not(is_there(&rig, "log/000000000002.seg"));
    reopen_without_checkpoint(&rig);
    cr_expect_gt(damaged_places(&rig), 0);
    cr_expect_eq(rig_check(&rig, id_of(3), MIDDLE), GFS_NOT_FOUND);
    cr_expect_eq(rig_check(&rig, id_of(2), MIDDLE), GFS_OK);
    rig_fini(&rig);
}

Test(store_verify, edits_that_damage_may_have_held_are_awaited_before_it_leaves)
{
    struct rig rig;
    rig_init(&rig);
    load_damaged(&rig);
    cr_assert_eq(rig_edit(&rig, 2, "edit"), GFS_OK); /* in a later segment */
    rig.chunks->ops->repaired(rig.chunks);
    rig.chunks->ops->trim_edits(rig.chunks, 1);
    put_many(&rig, 50, 20);
    store_settle(rig.store);
    cr_expect(is_there(&rig, first_segment));
    rig.chunks->ops->trim_edits(rig.chunks, 2);
    store_settle(rig.store);
    put_many(&rig, 80, 20);
    store_settle(rig.store);
    cr_expect_not(is_there(&rig, first_segment));
    rig_fini(&rig);
}

Test(store_verify, a_segment_without_a_header_leaves_after_repair)
{
    struct rig rig;
    rig_init(&rig);
    put_many(&rig, 1, 30);
    cr_assert_eq(rig_put_bulk(&rig, id_of(200), BIG), GFS_OK);
    rig_close(&rig);
    flip(&rig, first_segment, 0);
    flip(&rig, first_segment, SEGMENT - PAGE);
    rig_open(&rig);
    store_settle(rig.store);
    cr_expect_gt(damaged_places(&rig), 0);
    cr_expect(is_there(&rig, first_segment));
    cr_expect_neq(rig_check(&rig, id_of(1), MIDDLE), GFS_OK);
    rig.chunks->ops->repaired(rig.chunks);
    store_settle(rig.store);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(damaged_places(&rig), 0);
        cr_expect_not(is_there(&rig, first_segment));
        cr_expect_eq(rig_check(&rig, id_of(1), MIDDLE), GFS_NOT_FOUND);
        cr_expect_eq(rig_check(&rig, id_of(30), MIDDLE), GFS_OK);
        cr_expect_eq(rig_check(&rig, id_of(200), BIG), GFS_OK);
        rig_reopen(&rig);
    }
    rig_fini(&rig);
}

Test(store_verify, after_damage_lsns_go_on_above_what_it_can_have_held)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_edit(&rig, 9, "edit"), GFS_OK);
    put_many(&rig, 1, 3);
    rig_close(&rig);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/index.ckpt", rig.dir);
    cr_assert_eq(unlink(path), 0);
    flip(&rig, first_segment, PAGE + 70);
    rig_open(&rig);
    struct chunk_store_status status;
    rig.chunks->ops->status(rig.chunks, &status);
    cr_expect_gt(status.damaged_places, 0);
    cr_expect_gt(status.lsn_floor, status.lsn_last + 1000);
    rig_fini(&rig);
}
