/* Records of an id that was there before: written anew, and added again after it was deleted. */
#include <sys/stat.h>

#include "tests/unit/datad/store_rig.h"

enum { SMALL = 5000, MIDDLE = 200000 };

static struct chunk_id id_of(uint64_t n)
{
    return (struct chunk_id){.hi = 7, .lo = n};
}

static uint64_t chunk_count(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats.chunks;
}

static off_t allocated(const struct rig *rig, const char *name)
{
    char path[128];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    cr_assert_eq(stat(path, &info), 0);
    return (off_t)info.st_blocks * 512;
}

/* Bytes until the log is in another segment. */
static void fill_segments(struct rig *rig, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        cr_assert_eq(rig_put(rig, id_of(i), MIDDLE), GFS_OK);
    }
}

static void forget_checkpoint(const struct rig *rig)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/index.ckpt", rig->dir);
    (void)unlink(path);
}

Test(store_supersede, a_record_of_a_live_id_takes_its_place)
{
    struct rig rig;
    rig_init(&rig);
    cr_expect_eq(rig_put(&rig, id_of(1), SMALL), GFS_OK);
    cr_expect_eq(rig_put(&rig, id_of(1), MIDDLE), GFS_OK);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(chunk_count(&rig), 1);
        cr_expect_eq(rig_check(&rig, id_of(1), MIDDLE), GFS_OK);
        rig_close(&rig);
        forget_checkpoint(&rig);
        rig_open(&rig);
    }
    rig_fini(&rig);
}

Test(store_supersede, what_is_pinned_stays_readable_where_it_was)
{
    struct rig rig;
    rig_init(&rig);
    for (uint64_t n = 1; n <= 2; n++) {
        bool is_bulk = n == 2;
        cr_assert_eq(is_bulk ? rig_put_bulk(&rig, id_of(n), MIDDLE)
                             : rig_put(&rig, id_of(n), MIDDLE),
                     GFS_OK);
        struct chunk_pin pin;
        GFS_FREE char *expected = gfs_alloc(MIDDLE);
        GFS_FREE char *bytes = gfs_alloc(MIDDLE);
        rig_fill(expected, MIDDLE, n);
        cr_assert_eq(rig.chunks->ops->pin(rig.chunks, id_of(n), &pin), GFS_OK);
        cr_assert_eq(is_bulk ? rig_put_bulk(&rig, id_of(n), MIDDLE)
                             : rig_put(&rig, id_of(n), MIDDLE),
                     GFS_OK);
        fill_segments(&rig, n * 100, 12);
        cr_assert_eq(rig_edit(&rig, n, "edit"), GFS_OK);
        rig.chunks->ops->trim_edits(rig.chunks, n);
        store_settle(rig.store);
        cr_expect_eq(rig.chunks->ops->read(rig.chunks, &pin, 0, MIDDLE, bytes, 0), GFS_OK);
        cr_expect_eq(memcmp(bytes, expected, MIDDLE), 0);
        rig.chunks->ops->unpin(rig.chunks, &pin);
        cr_expect_eq(rig_check(&rig, id_of(n), MIDDLE), GFS_OK);
    }
    rig_fini(&rig);
}

Test(store_supersede, the_pages_of_a_superseded_large_chunk_come_back_with_its_last_pin)
{
    struct rig rig;
    rig_init(&rig);
    const char *file = "bulk/000000000001.seg";
    enum { BIG = 1 << 20 };
    cr_assert_eq(rig_put_bulk(&rig, id_of(1), BIG), GFS_OK);
    off_t once = allocated(&rig, file);
    struct chunk_pin pin;
    cr_assert_eq(rig.chunks->ops->pin(rig.chunks, id_of(1), &pin), GFS_OK);
    cr_assert_eq(rig_put_bulk(&rig, id_of(1), BIG), GFS_OK);
    store_settle(rig.store);
    cr_expect_geq(allocated(&rig, file), once + BIG);
    rig.chunks->ops->unpin(rig.chunks, &pin);
    store_settle(rig.store);
    cr_expect_leq(allocated(&rig, file), once + 8192);
    cr_expect_eq(rig_check(&rig, id_of(1), BIG), GFS_OK);
    cr_assert_eq(rig_put(&rig, id_of(1), SMALL), GFS_OK, "large, then small");
    store_settle(rig.store);
    cr_expect_leq(allocated(&rig, file), 8192);
    cr_assert_eq(rig_put_bulk(&rig, id_of(1), BIG), GFS_OK, "and back");
    for (int i = 0; i < 2; i++) {
        struct store_stats stats;
        store_stats(rig.store, &stats);
        cr_expect_eq(stats.chunks, 1);
        cr_expect_leq(stats.bulk_live_bytes, (uint64_t)once + 8192);
        cr_expect_eq(rig_check(&rig, id_of(1), BIG), GFS_OK);
        rig_reopen(&rig);
    }
    rig_fini(&rig);
}

/* In one group, so in one batch. */
static enum gfs_err submit_pair(struct rig *rig, struct chunk_id id, bool is_delete_first)
{
    char bytes[SMALL];
    rig_fill(bytes, sizeof bytes, id.lo);
    struct chunk_record data = {
        .kind = CHUNK_RECORD_DATA, .id = id, .payload = gfs_slice_of(bytes, sizeof bytes)};
    struct chunk_record delete = {.kind = CHUNK_RECORD_DELETE,
                                  .payload = gfs_slice_of(&id, sizeof id)};
    data.next = is_delete_first ? NULL : &delete;
    delete.next = is_delete_first ? &data : NULL;
    return rig_submit(rig, is_delete_first ? &delete : &data, true);
}

Test(store_supersede, the_order_inside_a_batch_decides)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_put(&rig, id_of(1), SMALL), GFS_OK);
    cr_assert_eq(rig_put(&rig, id_of(2), SMALL), GFS_OK);
    fill_segments(&rig, 100, 12);
    cr_expect_eq(submit_pair(&rig, id_of(1), true), GFS_OK);
    cr_expect_eq(submit_pair(&rig, id_of(2), false), GFS_OK);
    cr_expect_eq(submit_pair(&rig, id_of(3), true), GFS_OK);
    cr_expect_eq(submit_pair(&rig, id_of(4), false), GFS_OK);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(rig_check(&rig, id_of(1), SMALL), GFS_OK);
        cr_expect_eq(rig_check(&rig, id_of(2), SMALL), GFS_NOT_FOUND);
        cr_expect_eq(rig_check(&rig, id_of(3), SMALL), GFS_OK);
        cr_expect_eq(rig_check(&rig, id_of(4), SMALL), GFS_NOT_FOUND);
        rig_close(&rig);
        forget_checkpoint(&rig);
        rig_open(&rig);
    }
    rig_fini(&rig);
}

/* The tombstone is copied behind the record that brought the id back, because the segment with the
 * dead record is still there. */
Test(store_supersede, a_chunk_that_came_back_outlives_the_copies_of_its_tombstone)
{
    struct rig rig;
    rig_init(&rig);
    struct chunk_id ids[64];
    size_t count = 0;
    cr_assert_eq(rig_put(&rig, id_of(1), SMALL), GFS_OK);
    cr_assert_eq(rig_put_bulk(&rig, id_of(2), MIDDLE), GFS_OK);
    fill_segments(&rig, 100, 10); /* stay: the first segments are not emptied */
    struct chunk_id both[] = {id_of(1), id_of(2)};
    cr_assert_eq(rig_delete(&rig, both, 2), GFS_OK);
    cr_assert_eq(rig_put(&rig, id_of(1), SMALL), GFS_OK);
    cr_assert_eq(rig_put_bulk(&rig, id_of(2), MIDDLE), GFS_OK);
    for (uint64_t i = 200; i < 210; i++) { /* go: the segment with the tombstone is */
        cr_assert_eq(rig_put(&rig, id_of(i), MIDDLE), GFS_OK);
        ids[count++] = id_of(i);
    }
    cr_assert_eq(rig_delete(&rig, ids, count), GFS_OK);
    store_settle(rig.store);
    struct store_stats stats;
    store_stats(rig.store, &stats);
    cr_expect_gt(stats.compactions, 0);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(rig_check(&rig, id_of(1), SMALL), GFS_OK);
        cr_expect_eq(rig_check(&rig, id_of(2), MIDDLE), GFS_OK);
        rig_close(&rig);
        forget_checkpoint(&rig);
        rig_open(&rig);
        store_settle(rig.store);
    }
    rig_fini(&rig);
}
