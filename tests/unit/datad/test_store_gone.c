/* What the log says of edits that are not in it any more. */
#include "tests/unit/datad/store_rig.h"

enum { MIDDLE = 200000, FIRST_EDITS = 3 };

static struct chunk_id id_of(uint64_t n)
{
    return (struct chunk_id){.hi = 7, .lo = n};
}

static uint64_t recycled(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats.segments_recycled;
}

static uint64_t gone(const struct rig *rig)
{
    struct chunk_store_status status;
    rig->chunks->ops->status(rig->chunks, &status);
    return status.lsn_gone;
}

static bool is_there(const struct rig *rig, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    return access(path, F_OK) == 0;
}

static enum gfs_err count_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    (void)lsn;
    (void)edit;
    (*(unsigned *)arg)++;
    return GFS_OK;
}

static enum gfs_err replay(const struct rig *rig, uint64_t after, unsigned *ret_count)
{
    *ret_count = 0;
    return rig->chunks->ops->replay_edits(rig->chunks, after, count_edit, ret_count, NULL);
}

/* Writes one chunk again and again, an edit with each; answers the last edit's LSN. */
static uint64_t overwrite(struct rig *rig, uint64_t lsn, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(rig_put(rig, id_of(100), MIDDLE), GFS_OK);
        cr_assert_eq(rig_edit(rig, ++lsn, "edit"), GFS_OK);
    }
    return lsn;
}

/* The first segment stays, full of what is wanted, with its edits; those behind it leave with
 * theirs. Answers the LSN of the last edit, the only one that is not trimmed. */
static uint64_t leave_hole(struct rig *rig)
{
    for (uint64_t i = 1; i <= 5; i++) {
        cr_assert_eq(rig_put(rig, id_of(i), MIDDLE), GFS_OK);
        if (i <= FIRST_EDITS) {
            cr_assert_eq(rig_edit(rig, i, "edit"), GFS_OK);
        }
    }
    uint64_t last = overwrite(rig, FIRST_EDITS, 20);
    rig->chunks->ops->trim_edits(rig->chunks, last - 1);
    store_settle(rig->store);
    cr_assert_gt(recycled(rig), 2);
    cr_assert(is_there(rig, "log/000000000001.seg"));
    return last;
}

static void expect_hole_is_known(const struct rig *rig, uint64_t last)
{
    unsigned count;
    for (uint64_t after = 0; after <= FIRST_EDITS; after++) {
        cr_expect_eq(replay(rig, after, &count), GFS_CORRUPT, "behind %llu",
                     (unsigned long long)after);
    }
    cr_expect_eq(replay(rig, last - 1, &count), GFS_OK);
    cr_expect_eq(count, 1);
}

static void forget_checkpoint(const struct rig *rig)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/index.ckpt", rig->dir);
    cr_assert_eq(unlink(path), 0);
}

Test(store_gone, edits_behind_which_some_left_with_later_segments_are_not_replayed)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t last = leave_hole(&rig);
    expect_hole_is_known(&rig, last);
    rig_reopen(&rig);
    expect_hole_is_known(&rig, last);
    rig_close(&rig);
    forget_checkpoint(&rig);
    rig_open(&rig);
    expect_hole_is_known(&rig, last);
    rig_fini(&rig);
}

Test(store_gone, it_is_known_as_long_as_anything_is_there)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t last = leave_hole(&rig);
    uint64_t before = gone(&rig);
    cr_expect_gt(before, FIRST_EDITS);
    cr_expect_lt(before, last);
    for (int round = 0; round < 4; round++) { /* no edits: what said it is recycled as well */
        for (int i = 0; i < 12; i++) {
            cr_assert_eq(rig_put(&rig, id_of(100), MIDDLE), GFS_OK);
        }
        rig.chunks->ops->trim_edits(rig.chunks, last);
        store_settle(rig.store);
        cr_expect_geq(gone(&rig), before);
        before = gone(&rig);
        rig_close(&rig);
        forget_checkpoint(&rig);
        rig_open(&rig);
        cr_expect_eq(gone(&rig), before);
    }
    cr_expect_eq(before, last);
    unsigned count;
    cr_expect_eq(replay(&rig, last, &count), GFS_OK);
    cr_expect_eq(replay(&rig, last - 1, &count), GFS_CORRUPT);
    struct chunk_store_status status;
    rig.chunks->ops->status(rig.chunks, &status);
    cr_expect_geq(status.lsn_floor, last, "none of them is given again");
    rig_fini(&rig);
}

Test(store_gone, a_log_that_never_lost_an_edit_is_replayed_from_the_beginning)
{
    struct rig rig;
    rig_init(&rig);
    for (int i = 0; i < 12; i++) {
        cr_assert_eq(rig_put(&rig, id_of(1), MIDDLE), GFS_OK);
    }
    cr_assert_eq(rig_edit(&rig, 5, "edit"), GFS_OK);
    store_settle(rig.store);
    cr_assert_gt(recycled(&rig), 0);
    cr_expect_eq(gone(&rig), 0);
    unsigned count;
    cr_expect_eq(replay(&rig, 0, &count), GFS_OK);
    cr_expect_eq(count, 1);
    rig_fini(&rig);
}

static enum gfs_err say_gone(struct rig *rig, uint64_t lsn)
{
    struct chunk_record record = {.kind = CHUNK_RECORD_GONE, .lsn = lsn};
    return rig_submit(rig, &record, true);
}

Test(store_gone, whoever_keeps_the_log_can_say_it)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_edit(&rig, 5, "edit"), GFS_OK);
    cr_expect_eq(say_gone(&rig, 1000), GFS_OK);
    cr_expect_eq(say_gone(&rig, 900), GFS_OK, "it never falls");
    for (int i = 0; i < 3; i++) {
        unsigned count;
        cr_expect_eq(gone(&rig), 1000);
        cr_expect_eq(replay(&rig, 5, &count), GFS_CORRUPT);
        cr_expect_eq(replay(&rig, 1000, &count), GFS_OK);
        cr_expect_eq(count, (unsigned)i);
        cr_assert_eq(rig_edit(&rig, 1001 + (uint64_t)i, "edit"), GFS_OK);
        rig_close(&rig);
        if (i == 1) {
            forget_checkpoint(&rig);
        }
        rig_open(&rig);
    }
    rig_fini(&rig);
}

enum { CHUNKS = 24 };

/* The first edit comes: all chunks are deleted, and the others are trimmed and leave. */
static enum gfs_err empty_log(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct rig *rig = arg;
    (void)edit;
    for (uint64_t i = 1; i <= CHUNKS && lsn == 1; i++) {
        struct chunk_id id = id_of(i);
        cr_assert_eq(rig_delete(rig, &id, 1), GFS_OK);
    }
    rig->chunks->ops->trim_edits(rig->chunks, CHUNKS - 1);
    store_settle(rig->store);
    return GFS_OK;
}

Test(store_gone, a_replay_says_so_when_edits_leave_before_their_turn)
{
    struct rig rig;
    rig_init(&rig);
    for (uint64_t i = 1; i <= CHUNKS; i++) {
        cr_assert_eq(rig_put(&rig, id_of(i), MIDDLE), GFS_OK);
        cr_assert_eq(rig_edit(&rig, i, "edit"), GFS_OK);
    }
    enum gfs_err err = rig.chunks->ops->replay_edits(rig.chunks, 0, empty_log, &rig, NULL);
    cr_expect_eq(err, GFS_CORRUPT);
    cr_expect_gt(recycled(&rig), 0);
    rig_fini(&rig);
}

/* A DELETE of chunks that are not there: bytes that nobody needs. */
static void put_nothing(struct rig *rig, struct chunk_group *group, struct chunk_record *record)
{
    static const struct chunk_id ids[8000];
    *record = (struct chunk_record){.kind = CHUNK_RECORD_DELETE,
                                    .payload = gfs_slice_of(ids, sizeof ids)};
    group->records = record;
    group->may_use_reserve = true;
    rig->chunks->ops->submit(rig->chunks, group);
}

/* Ends right behind a segment's seal, with nothing in the next one. */
static void close_at_seal(struct rig *rig)
{
    struct rig_answer answer = {.group = {.done = rig_done}};
    struct chunk_record record;
    struct store_stats stats;
    store_stats(rig->store, &stats);
    uint64_t seals = stats.batches - stats.groups;
    while (stats.batches - stats.groups == seals) {
        answer.count = 0;
        put_nothing(rig, &answer.group, &record);
        do {
            (void)store_poll(rig->store);
            store_stats(rig->store, &stats);
        } while (answer.count == 0 && stats.batches - stats.groups == seals);
    }
    cr_assert_eq(answer.count, 0);
    rig_close(rig);
    cr_assert_eq(answer.err, GFS_STOPPED);
}

Test(store_gone, the_segment_that_says_it_last_leaves_when_another_does)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t last = leave_hole(&rig);
    rig.chunks->ops->trim_edits(rig.chunks, last);
    struct chunk_id id = id_of(100);
    cr_assert_eq(rig_delete(&rig, &id, 1), GFS_OK);
    for (int i = 0; i < 12; i++) {
        struct rig_answer answer = {.group = {.done = rig_done}};
        struct chunk_record record;
        put_nothing(&rig, &answer.group, &record);
        store_settle(rig.store);
        cr_assert_eq(answer.err, GFS_OK);
    }
    cr_assert_eq(gone(&rig), last);
    close_at_seal(&rig);
    rig_open(&rig);
    cr_expect_eq(gone(&rig), last);
    uint64_t before = recycled(&rig);
    store_settle(rig.store);
    cr_assert_gt(recycled(&rig), before);
    rig_close(&rig);
    forget_checkpoint(&rig);
    rig_open(&rig);
    cr_expect_eq(gone(&rig), last, "what said so is gone");
    rig_fini(&rig);
}
