/* The live database is lost, and a copy takes its place. */
#include <sched.h>
#include <stdatomic.h>

#include "libgoodfs/mem.h"
#include "tests/unit/metad/file_shim.h"
#include "tests/unit/metad/shard_rig.h"

enum { COPIES = 2, KEYS = 200 };

struct move_rig {
    struct rig rig;
    uint64_t bucket;
    char dirs[COPIES][TEMP_DIR_SIZE];
    bool has_mover; /* moves when it is told of a failure; the thread of it is */
    pthread_t mover;
    atomic_uint failed_count;
    _Atomic(enum gfs_err) failed_err;
    _Atomic(enum gfs_err) moved;
    atomic_bool is_reading;
    atomic_ulong reads;
};

static void *move_main(void *arg)
{
    struct move_rig *rig = arg;
    while (atomic_load(&rig->failed_count) == 0) {
        (void)sched_yield();
    }
    atomic_store(&rig->moved, shard_move(rig->rig.shard, rig->dirs[0], NULL));
    return NULL;
}

static void note_failed(void *arg, const char *dir, enum gfs_err err)
{
    struct move_rig *rig = arg;
    cr_expect(strcmp(dir, rig->rig.dir) == 0 || strcmp(dir, rig->dirs[0]) == 0);
    atomic_store(&rig->failed_err, err);
    atomic_fetch_add(&rig->failed_count, 1);
}

static void start_mover(struct move_rig *rig)
{
    rig->has_mover = true;
    cr_assert_eq(pthread_create(&rig->mover, NULL, move_main, rig), 0);
}

/* Applied at once, nothing in the row cache, copies in both directories. */
static void init(struct move_rig *rig)
{
    memset(rig, 0, sizeof *rig);
    rig_init(&rig->rig);
    rig->bucket = rig_bucket(&rig->rig, "bucket");
    for (size_t i = 0; i < COPIES; i++) {
        temp_dir_make(rig->dirs[i]);
    }
    rig_close(&rig->rig);
    rig->rig.options.apply_delay_ms = 1;
    rig->rig.options.cache_bytes_max = 1;
    rig->rig.options.database_failed = note_failed;
    rig->rig.options.arg = rig;
    rig_open(&rig->rig);
    for (size_t i = 0; i < COPIES; i++) {
        cr_assert_eq(shard_copy_add(rig->rig.shard, rig->dirs[i], NULL), GFS_OK);
    }
}

static void fini(struct move_rig *rig)
{
    if (rig->has_mover) {
        (void)pthread_join(rig->mover, NULL);
    }
    file_shim_set("", FILE_SHIM_NONE);
    rig_fini(&rig->rig);
    for (size_t i = 0; i < COPIES; i++) {
        temp_dir_remove(rig->dirs[i]);
    }
}

static void fill(struct move_rig *rig, unsigned from, unsigned to)
{
    char key[16];
    for (unsigned i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "k%04u", i);
        cr_assert_eq(rig_put(&rig->rig, rig->bucket, key, 1, (uint8_t)i, NULL), GFS_OK);
    }
}

static void check(struct move_rig *rig, unsigned count)
{
    char key[16];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "k%04u", i);
        cr_assert_eq(rig_tag(&rig->rig, rig->bucket, key), (int)(uint8_t)i, "%s", key);
    }
}

static void move(struct move_rig *rig, unsigned index)
{
    struct gfs_error error = {0};
    cr_assert_eq(shard_move(rig->rig.shard, rig->dirs[index], &error), GFS_OK, "%s", error.text);
}

/* What a restart finds in the directory of a copy. */
static void open_in(struct move_rig *rig, unsigned index)
{
    char dir[TEMP_DIR_SIZE];
    rig_close(&rig->rig);
    memcpy(dir, rig->rig.dir, sizeof dir);
    memcpy(rig->rig.dir, rig->dirs[index], sizeof dir);
    memcpy(rig->dirs[index], dir, sizeof dir);
    rig_open(&rig->rig);
}

Test(shard_move, goes_on_with_the_copy)
{
    struct move_rig rig;
    struct shard_stats stats;
    init(&rig);
    fill(&rig, 0, 50);
    move(&rig, 0);
    check(&rig, 50);
    fill(&rig, 50, 100);
    move(&rig, 1);
    check(&rig, 100);
    fill(&rig, 100, 120);
    check(&rig, 120);
    shard_stats(rig.rig.shard, &stats);
    cr_expect_eq(stats.moves, 2u);
    cr_expect_eq(stats.copies, 0u);
    cr_expect_eq(shard_move(rig.rig.shard, rig.dirs[1], NULL), GFS_EXISTS);
    open_in(&rig, 1);
    check(&rig, 120);
    fini(&rig);
}

Test(shard_move, former_live_directory_can_be_a_copy_again_and_live_again)
{
    struct move_rig rig;
    init(&rig);
    for (unsigned i = 0; i < 6; i++) {
        enum gfs_err err;
        const char *former = i % 2 == 0 ? rig.rig.dir : rig.dirs[0];
        fill(&rig, i * 10, i * 10 + 10);
        cr_assert_eq(shard_move(rig.rig.shard, i % 2 == 0 ? rig.dirs[0] : rig.rig.dir, NULL),
                     GFS_OK);
        while ((err = shard_copy_add(rig.rig.shard, former, NULL)) == GFS_BUSY) {
            (void)sched_yield();
        }
        cr_assert_eq(err, GFS_OK);
    }
    check(&rig, 60);
    fini(&rig);
}

Test(shard_move, database_that_is_not_kept_up_is_good_enough_when_the_log_covers_it)
{
    struct move_rig rig;
    init(&rig);
    fill(&rig, 0, 50);
    shard_copy_remove(rig.rig.shard, rig.dirs[0]);
    fill(&rig, 50, 100); /* no checkpoint meanwhile: the log has all of it */
    enum gfs_err err;
    while ((err = shard_move(rig.rig.shard, rig.dirs[0], NULL)) == GFS_BUSY) {
        (void)sched_yield();
    }
    cr_expect_eq(err, GFS_OK);
    check(&rig, 100);
    fini(&rig);
}

Test(shard_move, directory_without_a_database_changes_nothing)
{
    struct move_rig rig;
    char dir[TEMP_DIR_SIZE];
    temp_dir_make(dir);
    init(&rig);
    fill(&rig, 0, 20);
    cr_expect_eq(shard_move(rig.rig.shard, dir, NULL), GFS_NOT_FOUND);
    cr_expect_eq(shard_move(rig.rig.shard, "/nowhere", NULL), GFS_NOT_FOUND);
    fill(&rig, 20, 40);
    check(&rig, 40);
    fini(&rig);
    temp_dir_remove(dir);
}

static enum gfs_err count_item(void *arg, const struct meta_list_item *item)
{
    uint32_t *count = arg;
    (void)item;
    ++*count;
    return GFS_OK;
}

static void list_all(struct move_rig *rig, uint32_t least)
{
    struct meta_list_query query = {.bucket_id = rig->bucket, .max = 100000};
    bool is_truncated = false;
    uint32_t count = 0;
    cr_assert_eq(
        rig->rig.meta->ops->list_objects(rig->rig.meta, &query, count_item, &count, &is_truncated),
        GFS_OK);
    cr_assert_geq(count, least);
}

/* Everything written before is there at any moment. */
static void *read_main(void *arg)
{
    struct move_rig *rig = arg;
    char key[16];
    for (unsigned i = 0; atomic_load(&rig->is_reading); i++) {
        (void)snprintf(key, sizeof key, "k%04u", i % KEYS);
        cr_assert_eq(rig_tag(&rig->rig, rig->bucket, key), (int)(uint8_t)(i % KEYS));
        if (i % 64 == 0) {
            list_all(rig, KEYS);
        }
        atomic_fetch_add(&rig->reads, 1);
    }
    return NULL;
}

static void await_reads(struct move_rig *rig)
{
    unsigned long before = atomic_load(&rig->reads);
    while (atomic_load(&rig->reads) < before + 200) {
        (void)sched_yield();
    }
}

static void check_under_load(enum file_shim_fault fault)
{
    enum { READERS = 3 };
    struct move_rig rig;
    pthread_t readers[READERS];
    init(&rig);
    fill(&rig, 0, KEYS);
    atomic_store(&rig.is_reading, true);
    for (size_t i = 0; i < READERS; i++) {
        cr_assert_eq(pthread_create(&readers[i], NULL, read_main, &rig), 0);
    }
    await_reads(&rig);
    fill(&rig, KEYS, KEYS + 50);
    file_shim_set(rig.rig.dir, fault);
    fill(&rig, KEYS + 50, KEYS + 100);
    if (fault == FILE_SHIM_FAIL) {
        start_mover(&rig);
    } else {
        move(&rig, 0);
    }
    fill(&rig, KEYS + 100, KEYS + 150);
    if (rig.has_mover) {
        (void)pthread_join(rig.mover, NULL);
        rig.has_mover = false;
        cr_expect_eq(atomic_load(&rig.moved), GFS_OK);
    }
    if (fault == FILE_SHIM_HANG) { /* readers that were in there hang, others do not */
        list_all(&rig, KEYS);
        check(&rig, KEYS + 150);
    } else {
        await_reads(&rig);
    }
    file_shim_set("", FILE_SHIM_NONE);
    await_reads(&rig);
    atomic_store(&rig.is_reading, false);
    for (size_t i = 0; i < READERS; i++) {
        (void)pthread_join(readers[i], NULL);
    }
    check(&rig, KEYS + 150);
    open_in(&rig, 0);
    check(&rig, KEYS + 150);
    fini(&rig);
}

Test(shard_move, under_load_no_read_fails_and_nothing_is_lost)
{
    check_under_load(FILE_SHIM_NONE);
}

Test(shard_move, when_the_disk_fails_no_read_fails_and_nothing_is_lost)
{
    check_under_load(FILE_SHIM_FAIL);
}

Test(shard_move, when_the_disk_hangs_nobody_else_does)
{
    check_under_load(FILE_SHIM_HANG);
}

Test(shard_move, reads_of_a_disk_that_fails_wait_for_the_move)
{
    struct move_rig rig;
    init(&rig);
    fill(&rig, 0, KEYS);
    rig_await_applied(&rig.rig);
    file_shim_set(rig.rig.dir, FILE_SHIM_FAIL);
    start_mover(&rig);
    check(&rig, KEYS);
    list_all(&rig, KEYS);
    (void)pthread_join(rig.mover, NULL);
    rig.has_mover = false;
    cr_expect_eq(atomic_load(&rig.moved), GFS_OK);
    cr_expect_eq(atomic_load(&rig.failed_count), 1u, "told once");
    fini(&rig);
}

Test(shard_move, directory_that_vanishes_is_told_when_something_is_applied)
{
    struct move_rig rig;
    init(&rig);
    fill(&rig, 0, KEYS);
    temp_dir_remove(rig.rig.dir);
    start_mover(&rig);
    fill(&rig, KEYS, KEYS + 100);
    (void)pthread_join(rig.mover, NULL);
    rig.has_mover = false;
    cr_expect_eq(atomic_load(&rig.failed_err), GFS_IO);
    cr_expect_eq(atomic_load(&rig.moved), GFS_OK);
    check(&rig, KEYS + 100);
    open_in(&rig, 0);
    check(&rig, KEYS + 100);
    fini(&rig);
}

Test(shard_move, without_a_copy_faults_are_answered_at_once)
{
    struct move_rig rig;
    init(&rig);
    fill(&rig, 0, KEYS);
    rig_await_applied(&rig.rig);
    for (size_t i = 0; i < COPIES; i++) {
        shard_copy_remove(rig.rig.shard, rig.dirs[i]);
    }
    file_shim_set(rig.rig.dir, FILE_SHIM_FAIL);
    struct meta_row *row = NULL;
    enum gfs_err err = GFS_OK;
    for (unsigned i = 0; i < KEYS && err == GFS_OK; i++) { /* some pages are in memory */
        char key[16];
        (void)snprintf(key, sizeof key, "k%04u", i);
        err = rig.rig.meta->ops->object(rig.rig.meta, rig.bucket, gfs_slice_str(key), 0, &row);
        meta_row_unref(row);
        row = NULL;
    }
    cr_expect(err == GFS_IO || err == GFS_CORRUPT, "%s", gfs_err_text(err));
    cr_expect_eq(atomic_load(&rig.failed_count), 1u);
    file_shim_set("", FILE_SHIM_NONE);
    fini(&rig);
}

/* The second disk fails while it takes over: the third one does. */
Test(shard_move, copy_that_fails_can_be_moved_away_from_as_well)
{
    struct move_rig rig;
    init(&rig);
    fill(&rig, 0, KEYS);
    file_shim_set(rig.dirs[0], FILE_SHIM_FAIL);
    struct gfs_error error = {0};
    enum gfs_err err = shard_move(rig.rig.shard, rig.dirs[0], &error);
    /* it may have had everything by then, or have left as a copy already */
    cr_expect(err == GFS_OK || err == GFS_IO || err == GFS_CORRUPT || err == GFS_NOT_FOUND ||
                  err == GFS_BUSY,
              "%s", error.text);
    fill(&rig, KEYS, KEYS + 20);
    move(&rig, 1);
    check(&rig, KEYS + 20);
    file_shim_set("", FILE_SHIM_NONE);
    fini(&rig);
}

static enum gfs_err skip_reference(void *arg, const struct shard_reference *reference)
{
    (void)arg;
    (void)reference;
    return GFS_OK;
}

/* A visit begins with everything applied: that does not wait for apply_delay_ms. */
static void apply_all(struct move_rig *rig)
{
    cr_assert_eq(shard_visit_references(rig->rig.shard, skip_reference, NULL), GFS_OK);
}

/* Applied by the live database, and not by the first copy, which has a fault now. */
static void init_with_copy_behind(struct move_rig *rig, enum file_shim_fault fault)
{
    init(rig);
    rig_close(&rig->rig);
    rig->rig.options.apply_delay_ms = 60 * 1000;
    rig_open(&rig->rig);
    cr_assert_eq(shard_copy_add(rig->rig.shard, rig->dirs[0], NULL), GFS_OK);
    fill(rig, 0, KEYS);
    apply_all(rig);
    file_shim_set(rig->dirs[0], fault);
}

Test(shard_move, when_the_next_one_fails_the_former_one_is_read_as_before)
{
    struct move_rig rig;
    struct gfs_error error = {0};
    struct shard_stats stats;
    init_with_copy_behind(&rig, FILE_SHIM_FAIL);
    cr_assert_eq(shard_move(rig.rig.shard, rig.dirs[0], &error), GFS_IO, "%s", error.text);
    check(&rig, KEYS);
    fill(&rig, KEYS, KEYS + 20);
    apply_all(&rig);
    check(&rig, KEYS + 20);
    shard_stats(rig.rig.shard, &stats);
    cr_expect_eq(stats.moves, 0u);
    cr_expect_eq(stats.copies, 0u, "it is none any more");
    cr_expect_eq(atomic_load(&rig.failed_count), 0u);
    fini(&rig);
}

Test(shard_move, while_the_next_one_hangs_the_former_one_is_read)
{
    struct move_rig rig;
    init_with_copy_behind(&rig, FILE_SHIM_HANG);
    atomic_store(&rig.failed_count, 1);
    start_mover(&rig);
    while (file_shim_hanging() == 0) {
        (void)sched_yield();
    }
    check(&rig, KEYS);
    fill(&rig, KEYS, KEYS + 20);
    check(&rig, KEYS + 20);
    file_shim_set("", FILE_SHIM_NONE);
    (void)pthread_join(rig.mover, NULL);
    rig.has_mover = false;
    cr_expect_eq(atomic_load(&rig.moved), GFS_OK);
    check(&rig, KEYS + 20);
    fini(&rig);
}

static void flip_rows(const char *dir)
{
    char path[TEMP_PATH_SIZE];
    char page[8192];
    (void)snprintf(path, sizeof path, "%s/metadata.sqlite", dir);
    FILE *file = fopen(path, "r+");
    cr_assert_not_null(file);
    for (long at = 0; fseek(file, at, SEEK_SET) == 0 && fread(page, 1, sizeof page, file) != 0;
         at += (long)sizeof page) {
        char *found = memmem(page, sizeof page, "k0007", 5);
        while (found != NULL) { /* a byte of the value, behind the key */
            found[20] = (char)(found[20] ^ 0x40);
            found = memmem(found + 5, (size_t)(page + sizeof page - found - 5), "k0007", 5);
        }
        (void)fseek(file, at, SEEK_SET);
        (void)fwrite(page, 1, sizeof page, file);
    }
    (void)fclose(file);
}

Test(shard_move, damaged_row_is_read_from_a_copy_that_has_it_whole)
{
    struct move_rig rig;
    init(&rig);
    fill(&rig, 0, KEYS);
    rig_close(&rig.rig); /* all of it is in the files */
    flip_rows(rig.rig.dir);
    const char *list[] = {rig.dirs[0], NULL};
    rig.rig.options.copies = list;
    rig_open(&rig.rig);
    struct shard_stats stats;
    do {
        (void)sched_yield();
        shard_stats(rig.rig.shard, &stats);
    } while (stats.copies == 0);
    start_mover(&rig);
    check(&rig, KEYS);
    cr_expect_eq(atomic_load(&rig.failed_err), GFS_CORRUPT);
    fini(&rig);
}
