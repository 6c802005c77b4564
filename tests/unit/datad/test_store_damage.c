/* Bytes of a disk that are not what was written. */
#include <fcntl.h>

#include "tests/unit/datad/store_rig.h"

enum { PAGE = 4096, BIG = 1 << 20 };

static const char first_segment[] = "log/000000000001.seg";
static const char first_bulk[] = "bulk/000000000001.seg";

static struct chunk_id id_of(uint64_t n)
{
    return (struct chunk_id){.hi = 7, .lo = n};
}

static int open_file(const struct rig *rig, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    return fd;
}

static void flip(const struct rig *rig, const char *name, off_t offset)
{
    GFS_CLOSE int fd = open_file(rig, name);
    char byte;
    cr_assert_eq(pread(fd, &byte, 1, offset), 1);
    byte = (char)(byte ^ 4);
    cr_assert_eq(pwrite(fd, &byte, 1, offset), 1);
}

static void swap_pages(const struct rig *rig, const char *name, off_t left, off_t right)
{
    GFS_CLOSE int fd = open_file(rig, name);
    char a[PAGE];
    char b[PAGE];
    cr_assert_eq(pread(fd, a, PAGE, left), PAGE);
    cr_assert_eq(pread(fd, b, PAGE, right), PAGE);
    cr_assert_eq(pwrite(fd, a, PAGE, right), PAGE);
    cr_assert_eq(pwrite(fd, b, PAGE, left), PAGE);
}

static off_t allocated(const struct rig *rig, const char *name)
{
    GFS_CLOSE int fd = open_file(rig, name);
    struct stat info;
    cr_assert_eq(fstat(fd, &info), 0);
    return (off_t)info.st_blocks * 512;
}

static uint64_t damaged_places(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats.damaged_places;
}

static enum gfs_err count_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    (void)lsn;
    (void)edit;
    ++*(unsigned *)arg;
    return GFS_OK;
}

/* A large chunk, and small ones until the log is several segments on. */
static void load(struct rig *rig)
{
    cr_assert_eq(rig_put_bulk(rig, id_of(1), BIG), GFS_OK);
    for (uint64_t i = 2; i < 30; i++) {
        cr_assert_eq(rig_put(rig, id_of(i), 100000), GFS_OK);
    }
}

Test(store_damage, what_a_lost_record_may_name_is_kept_over_every_later_start)
{
    struct rig rig;
    rig_init(&rig);
    load(&rig);
    off_t before = allocated(&rig, first_bulk);
    rig_close(&rig);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/index.ckpt", rig.dir);
    cr_assert_eq(unlink(path), 0);
    flip(&rig, first_segment, PAGE + 80); /* the batch with the PLACE record */
    rig_open(&rig);
    for (int i = 0; i < 3; i++) {
        store_settle(rig.store);
        cr_expect_gt(damaged_places(&rig), 0, "start %d", i);
        cr_expect_eq(allocated(&rig, first_bulk), before, "start %d", i);
        cr_expect_eq(rig_check(&rig, id_of(1), BIG), GFS_NOT_FOUND, "start %d", i);
        cr_expect_eq(rig_check(&rig, id_of(2), 100000), GFS_OK, "start %d", i);
        rig_reopen(&rig);
    }
    rig_fini(&rig);
}

Test(store_damage, what_is_readable_again_is_there_again)
{
    struct rig rig;
    rig_init(&rig);
    load(&rig);
    rig_close(&rig);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/index.ckpt", rig.dir);
    cr_assert_eq(unlink(path), 0);
    flip(&rig, first_segment, PAGE + 80);
    rig_open(&rig);
    store_settle(rig.store);
    cr_expect_eq(rig_check(&rig, id_of(1), BIG), GFS_NOT_FOUND);
    rig_close(&rig);
    flip(&rig, first_segment, PAGE + 80);
    rig_open(&rig);
    cr_expect_eq(damaged_places(&rig), 0);
    cr_expect_eq(rig_check(&rig, id_of(1), BIG), GFS_OK);
    rig_fini(&rig);
}

Test(store_damage, batches_in_each_others_place_are_damage)
{
    struct rig rig;
    rig_init(&rig);
    struct chunk_id id = id_of(1);
    cr_assert_eq(rig_put(&rig, id, 100), GFS_OK);
    cr_assert_eq(rig_delete(&rig, &id, 1), GFS_OK);
    cr_assert_eq(rig_put(&rig, id_of(2), 100), GFS_OK);
    rig_close(&rig);
    swap_pages(&rig, first_segment, PAGE, 2 * PAGE); /* DELETE, then DATA */
    rig_open(&rig);
    cr_expect_gt(damaged_places(&rig), 0);
    rig_fini(&rig);
}

Test(store_damage, a_batch_of_earlier_in_place_of_the_last_is_damage)
{
    struct rig rig;
    rig_init(&rig);
    for (uint64_t lsn = 1; lsn < 4; lsn++) {
        cr_assert_eq(rig_edit(&rig, lsn, "edit"), GFS_OK);
    }
    rig_close(&rig);
    char page[PAGE];
    GFS_CLOSE int fd = open_file(&rig, first_segment);
    cr_assert_eq(pread(fd, page, PAGE, 2 * PAGE), PAGE);
    cr_assert_eq(pwrite(fd, page, PAGE, 3 * PAGE), PAGE);
    rig_open(&rig);
    unsigned count = 0;
    cr_expect_eq(rig.chunks->ops->replay_edits(rig.chunks, 0, count_edit, &count, NULL),
                 GFS_CORRUPT);
    cr_expect_gt(damaged_places(&rig), 0);
    rig_fini(&rig);
}

Test(store_damage, an_edit_whose_batch_lost_its_header_behind_a_damaged_one_is_missed)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_put(&rig, id_of(1), 100), GFS_OK);
    cr_assert_eq(rig_edit(&rig, 1, "one"), GFS_OK);
    cr_assert_eq(rig_put(&rig, id_of(2), 100), GFS_OK);
    cr_assert_eq(rig_edit(&rig, 2, "two"), GFS_OK);
    flip(&rig, first_segment, PAGE + 200);
    flip(&rig, first_segment, 2 * PAGE);
    unsigned count = 0;
    cr_expect_eq(rig.chunks->ops->replay_edits(rig.chunks, 0, count_edit, &count, NULL),
                 GFS_CORRUPT);
    cr_expect_eq(rig.chunks->ops->replay_edits(rig.chunks, 1, count_edit, &count, NULL), GFS_OK,
                 "what is lost is not wanted");
    cr_expect_eq(count, 1);
    rig_fini(&rig);
}

Test(store_damage, a_damaged_checkpoint_costs_nothing_but_time)
{
    struct rig rig;
    rig_init(&rig);
    load(&rig);
    uint64_t hash = store_index_hash(rig.store);
    rig_close(&rig);
    for (off_t offset = 0; offset < PAGE + 600; offset += 37) {
        flip(&rig, "index.ckpt", offset);
        rig_open(&rig);
        cr_expect_eq(store_index_hash(rig.store), hash, "flipped at %ld", (long)offset);
        cr_expect_eq(damaged_places(&rig), 0);
        rig_close(&rig);
    }
    rig_open(&rig);
    rig_fini(&rig);
}

static void remove_file(const struct rig *rig, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    cr_assert_eq(unlink(path), 0);
}

static void cut(const struct rig *rig, const char *name, off_t size)
{
    GFS_CLOSE int fd = open_file(rig, name);
    cr_assert_eq(ftruncate(fd, size), 0);
}

static enum gfs_err replay_all(const struct rig *rig, unsigned *ret_count)
{
    *ret_count = 0;
    return rig->chunks->ops->replay_edits(rig->chunks, 0, count_edit, ret_count, NULL);
}

Test(store_damage, the_place_of_a_large_chunk_whose_file_was_cut_is_not_given_to_another)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_put_bulk(&rig, id_of(1), BIG), GFS_OK);
    cr_assert_eq(rig_put_bulk(&rig, id_of(2), BIG), GFS_OK);
    rig_close(&rig);
    cut(&rig, first_bulk, BIG + BIG / 2);
    rig_open(&rig);
    cr_expect_eq(rig_check(&rig, id_of(2), BIG), GFS_CORRUPT);
    cr_assert_eq(rig_put_bulk(&rig, id_of(3), BIG), GFS_OK);
    struct chunk_id lost = id_of(2);
    cr_assert_eq(rig_delete(&rig, &lost, 1), GFS_OK);
    store_settle(rig.store);
    cr_expect_eq(rig_check(&rig, id_of(1), BIG), GFS_OK);
    cr_expect_eq(rig_check(&rig, id_of(3), BIG), GFS_OK);
    rig_fini(&rig);
}

Test(store_damage, the_only_batch_of_the_newest_segment_is_missed)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_edit(&rig, 1, "edit"), GFS_OK);
    rig_close(&rig);
    flip(&rig, first_segment, PAGE + 1);
    rig_open(&rig);
    unsigned count;
    cr_expect_gt(damaged_places(&rig), 0);
    cr_expect_eq(replay_all(&rig, &count), GFS_CORRUPT);
    rig_close(&rig);
    flip(&rig, first_segment, PAGE + 1);
    rig_open(&rig);
    cr_expect_eq(damaged_places(&rig), 0);
    cr_expect_eq(replay_all(&rig, &count), GFS_OK);
    cr_expect_eq(count, 1, "nothing was written over it");
    rig_fini(&rig);
}

Test(store_damage, the_newest_segment_is_missed_when_it_is_gone)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_put_bulk(&rig, id_of(1), BIG), GFS_OK);
    cr_assert_eq(rig_edit(&rig, 1, "edit"), GFS_OK);
    off_t before = allocated(&rig, first_bulk);
    rig_close(&rig);
    remove_file(&rig, first_segment);
    rig_open(&rig);
    for (int i = 0; i < 3; i++) {
        store_settle(rig.store);
        unsigned count;
        cr_expect_gt(damaged_places(&rig), 0, "start %d", i);
        cr_expect_eq(replay_all(&rig, &count), GFS_CORRUPT, "start %d", i);
        cr_expect_eq(allocated(&rig, first_bulk), before, "start %d", i);
        rig_reopen(&rig);
    }
    rig.chunks->ops->repaired(rig.chunks);
    rig.chunks->ops->trim_edits(rig.chunks, UINT64_MAX);
    store_settle(rig.store);
    rig_reopen(&rig);
    cr_expect_eq(damaged_places(&rig), 0, "what was repaired is over");
    rig_fini(&rig);
}

Test(store_damage, a_cut_segment_is_damage_and_no_reason_not_to_start)
{
    struct rig rig;
    rig_init(&rig);
    for (uint64_t lsn = 1; lsn < 4; lsn++) {
        cr_assert_eq(rig_edit(&rig, lsn, "edit"), GFS_OK);
    }
    rig_close(&rig);
    remove_file(&rig, "index.ckpt"); /* as after a kill: nobody knows how far the log goes */
    cut(&rig, first_segment, (off_t)3 * PAGE);
    struct store_options options = rig_options(&rig);
    enum gfs_err err = store_open(&options, &rig.store, NULL);
    cr_assert_eq(err, GFS_OK, "%s", gfs_err_text(err));
    rig.chunks = store_chunks(rig.store);
    for (int i = 0; i < 2; i++) {
        unsigned count;
        cr_expect_gt(damaged_places(&rig), 0, "start %d", i);
        cr_expect_eq(replay_all(&rig, &count), GFS_CORRUPT, "start %d", i);
        cr_expect_eq(count, 2, "start %d", i);
        cr_expect_eq(rig_put(&rig, id_of((uint64_t)i + 1), 100), GFS_OK, "start %d", i);
        rig_reopen(&rig);
    }
    cr_expect_eq(rig_check(&rig, id_of(1), 100), GFS_OK);
    cr_expect_eq(rig_check(&rig, id_of(2), 100), GFS_OK);
    rig_fini(&rig);
}

Test(store_damage, what_follows_a_large_damaged_part_is_not_taken_for_what_was_never_written)
{
    enum { COUNT = 180, LEN = 100000, WIPED = 14 << 20 };
    struct rig rig;
    rig_init(&rig);
    rig_close(&rig);
    (void)nftw(rig.dir, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    struct store_options options = rig_options(&rig);
    options.segment_size = 32 << 20;
    rig_open_with(&rig, &options);
    for (uint64_t i = 1; i <= COUNT; i++) {
        cr_assert_eq(rig_put(&rig, id_of(i), LEN), GFS_OK);
    }
    rig_close(&rig);
    remove_file(&rig, "index.ckpt");
    GFS_FREE char *zeros = gfs_alloc(WIPED);
    memset(zeros, 0, WIPED);
    GFS_CLOSE int fd = open_file(&rig, first_segment);
    cr_assert_eq(pwrite(fd, zeros, WIPED, (off_t)PAGE * 2 + LEN / PAGE * PAGE), WIPED);
    rig_open_with(&rig, &options);
    cr_expect_gt(damaged_places(&rig), 0);
    cr_expect_eq(rig_check(&rig, id_of(1), LEN), GFS_OK);
    cr_expect_eq(rig_check(&rig, id_of(COUNT), LEN), GFS_OK);
    rig_fini(&rig);
}

Test(store_damage, files_of_other_names_are_left_alone)
{
    const char *const names[] = {"log/1.seg", "log/ 00000000001.seg", "log/100000000001.seg",
                                 "bulk/1.seg", "bulk/+00000000001.seg"};
    struct rig rig;
    rig_init(&rig);
    load(&rig);
    uint64_t hash = store_index_hash(rig.store);
    rig_close(&rig);
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", rig.dir, names[i]);
        GFS_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
        cr_assert_geq(fd, 0);
    }
    rig_open(&rig);
    store_settle(rig.store);
    cr_expect_eq(damaged_places(&rig), 0);
    cr_expect_eq(store_index_hash(rig.store), hash);
    struct store_stats stats;
    store_stats(rig.store, &stats);
    cr_expect_eq(stats.bulk_files, 1);
    cr_expect_eq(rig_check(&rig, id_of(1), BIG), GFS_OK);
    rig_fini(&rig);
}

/* What a checkpoint is for a process that was killed: one of earlier. */
Test(store_damage, a_segment_that_is_gone_from_the_middle_of_what_is_replayed_is_missed)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_put_bulk(&rig, id_of(1), BIG), GFS_OK);
    cr_assert_eq(store_checkpoint(rig.store), GFS_OK);
    char path[2][128];
    (void)snprintf(path[0], sizeof path[0], "%s/index.ckpt", rig.dir);
    (void)snprintf(path[1], sizeof path[1], "%s/kept", rig.dir);
    cr_assert_eq(link(path[0], path[1]), 0);
    for (uint64_t i = 2; i < 30; i++) {
        cr_assert_eq(rig_put(&rig, id_of(i), 100000), GFS_OK);
    }
    rig_close(&rig);
    cr_assert_eq(rename(path[1], path[0]), 0);
    remove_file(&rig, "log/000000000002.seg");
    rig_open(&rig);
    for (int i = 0; i < 2; i++) {
        cr_expect_gt(damaged_places(&rig), 0, "start %d", i);
        cr_expect_eq(rig_check(&rig, id_of(2), 100000), GFS_OK);
        cr_expect_eq(rig_check(&rig, id_of(29), 100000), GFS_OK);
        rig_reopen(&rig);
    }
    rig_fini(&rig);
}
