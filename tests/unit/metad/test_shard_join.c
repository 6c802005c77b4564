/* How a directory comes to hold a copy: taken up, or made, wherever that is cut short. */
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "libgoodfs/mem.h"
#include "metad/apply.h"
#include "metad/record.h"
#include "metad/rebuild.h"
#include "tests/unit/metad/copy_rig.h"
#include "tests/unit/metad/file_shim.h"

Test(shard_join, directory_is_made_and_named_twice_is_refused)
{
    struct copy_rig rig;
    char dir[TEMP_PATH_SIZE];
    copy_rig_init(&rig);
    (void)snprintf(dir, sizeof dir, "%s/sub", rig.dirs[0]);
    copy_rig_add(&rig, dir);
    cr_expect_neq(copy_rig_file(dir), 0u);
    cr_expect_eq(shard_copy_add(rig.rig.shard, dir, NULL), GFS_EXISTS);
    cr_expect_eq(shard_copy_add(rig.rig.shard, rig.rig.dir, NULL), GFS_EXISTS);
    shard_copy_remove(rig.rig.shard, rig.rig.dir); /* ignored */
    shard_copy_remove(rig.rig.shard, "/nowhere");
    copy_rig_fill(&rig, 0, 10);
    copy_rig_check(&rig, 10);
    copy_rig_fini(&rig);
}

Test(shard_join, one_of_an_earlier_run_is_taken_up_where_it_was)
{
    struct copy_rig rig;
    copy_rig_init(&rig);
    copy_rig_add(&rig, rig.dirs[0]);
    copy_rig_fill(&rig, 0, 50);
    rig.list[0] = rig.dirs[0];
    rig.rig.options.copies = rig.list;
    ino_t before = copy_rig_file(rig.dirs[0]);
    rig_crash(&rig.rig);
    copy_rig_await(&rig, 1);
    copy_rig_fill(&rig, 50, 100);
    rig_restart(&rig.rig);
    copy_rig_await(&rig, 1);
    cr_expect_eq(copy_rig_file(rig.dirs[0]), before);
    rig.rig.options.copies = NULL;
    copy_rig_open_in(&rig, 0);
    copy_rig_check(&rig, 100);
    copy_rig_fini(&rig);
}

Test(shard_join, one_that_the_log_has_left_behind_is_made_anew)
{
    struct copy_rig rig;
    copy_rig_init(&rig);
    copy_rig_add(&rig, rig.dirs[0]);
    copy_rig_fill(&rig, 0, 50);
    ino_t before = copy_rig_file(rig.dirs[0]);
    shard_copy_remove(rig.rig.shard, rig.dirs[0]);
    cr_expect_eq(copy_rig_stats(&rig).copies, 0u);
    copy_rig_fill(&rig, 50, 100);
    rig_restart(&rig.rig); /* trims */
    copy_rig_add(&rig, rig.dirs[0]);
    cr_expect_neq(copy_rig_file(rig.dirs[0]), before);
    copy_rig_fill(&rig, 100, 150);
    copy_rig_open_in(&rig, 0);
    copy_rig_check(&rig, 150);
    copy_rig_fini(&rig);
}

Test(shard_join, one_whose_edit_is_there_and_those_behind_it_are_not_is_made_anew)
{
    struct copy_rig rig;
    copy_rig_init(&rig);
    log_double_keep(rig.rig.log);
    copy_rig_add(&rig, rig.dirs[0]);
    copy_rig_fill(&rig, 0, 50);
    ino_t before = copy_rig_file(rig.dirs[0]);
    rig_await_applied(&rig.rig);
    uint64_t lsn = copy_rig_stats(&rig).committed_lsn;
    shard_copy_remove(rig.rig.shard, rig.dirs[0]);
    copy_rig_fill(&rig, 50, 100);
    rig_restart(&rig.rig); /* trims */
    log_double_reclaim(rig.rig.log, lsn + 1, lsn + 20);
    copy_rig_add(&rig, rig.dirs[0]);
    cr_expect_neq(copy_rig_file(rig.dirs[0]), before);
    copy_rig_fill(&rig, 100, 150);
    copy_rig_open_in(&rig, 0);
    copy_rig_check(&rig, 150);
    copy_rig_fini(&rig);
}

/* Its disk was away meanwhile. The log has all of it still. */
Test(shard_join, one_of_before_the_metadata_was_rebuilt_is_made_anew)
{
    struct copy_rig rig;
    char first[TEMP_DIR_SIZE];
    char dir[TEMP_DIR_SIZE + 8];
    struct rebuild_result result;
    struct gfs_error error = {0};
    copy_rig_init(&rig);
    log_double_keep(rig.rig.log);
    copy_rig_add(&rig, rig.dirs[0]);
    copy_rig_fill(&rig, 0, 50);
    rig_await_applied(&rig.rig);
    shard_copy_remove(rig.rig.shard, rig.dirs[0]);
    rig_close(&rig.rig);
    ino_t before = copy_rig_file(rig.dirs[0]);
    (void)snprintf(dir, sizeof dir, "%s/again", rig.rig.dir);
    struct rebuild_options options = {.dir = dir, .chunks = log_double_store(rig.rig.log)};
    cr_assert_eq(rebuild_run(&options, &result, &error), GFS_OK, "%s", error.text);
    memcpy(first, rig.rig.dir, sizeof first);
    (void)snprintf(rig.rig.dir, sizeof rig.rig.dir, "%.*s", TEMP_DIR_SIZE - 1, dir);
    rig_open(&rig.rig);
    copy_rig_add(&rig, rig.dirs[0]);
    cr_expect_neq(copy_rig_file(rig.dirs[0]), before);
    copy_rig_fini(&rig);
    temp_dir_remove(first);
}

Test(shard_join, what_is_no_database_is_replaced)
{
    struct copy_rig rig;
    char path[TEMP_PATH_SIZE];
    copy_rig_init(&rig);
    copy_rig_fill(&rig, 0, 50);
    const char *const names[] = {"metadata.sqlite", "metadata.sqlite-wal", "metadata.sqlite.new"};
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", rig.dirs[0], names[i]);
        FILE *file = fopen(path, "w");
        cr_assert_not_null(file);
        for (int j = 0; j < 10000; j++) {
            (void)fputs("nonsense ", file);
        }
        (void)fclose(file);
    }
    copy_rig_add(&rig, rig.dirs[0]);
    copy_rig_open_in(&rig, 0);
    copy_rig_check(&rig, 50);
    copy_rig_fini(&rig);
}

Test(shard_join, making_one_on_a_bad_disk_is_an_error)
{
    const enum file_shim_fault faults[] = {FILE_SHIM_FAIL, FILE_SHIM_FULL};
    const enum gfs_err errs[] = {GFS_IO, GFS_NO_SPACE};
    struct copy_rig rig;
    copy_rig_init(&rig);
    copy_rig_fill(&rig, 0, 20);
    for (size_t i = 0; i < GFS_COUNT(faults); i++) {
        struct gfs_error error = {0};
        file_shim_set(rig.dirs[0], faults[i]);
        cr_expect_eq(shard_copy_add(rig.rig.shard, rig.dirs[0], &error), errs[i], "%s", error.text);
        file_shim_set(rig.dirs[0], FILE_SHIM_NONE);
        cr_expect_eq(copy_rig_failures(&rig), 0u, "who asked was answered");
        while (shard_copy_add(rig.rig.shard, rig.dirs[0], NULL) == GFS_BUSY) {
            (void)sched_yield();
        }
        cr_expect_eq(copy_rig_stats(&rig).copies, 1u);
        shard_copy_remove(rig.rig.shard, rig.dirs[0]);
        rig_restart(&rig.rig);
        temp_dir_remove(rig.dirs[0]);
    }
    copy_rig_check(&rig, 20);
    copy_rig_fini(&rig);
}

/* ---- the process ends anywhere ---- */

enum { KEYS = 40 };

/* Shared with the process that ends. */
struct seen {
    bool is_joined;   /* shard_copy_add has returned */
    uint64_t trimmed; /* what the log may have forgotten */
};
static struct seen *seen;
static struct chunk_store_ops ops;
static void (*trim_of_double)(struct chunk_store *store, uint64_t lsn);

static void note_trim(struct chunk_store *store, uint64_t lsn)
{
    seen->trimmed = GFS_MAX(seen->trimmed, lsn);
    trim_of_double(store, lsn);
}

/* The edit of LSN n writes object n % KEYS, after the first, which makes the bucket. */
static void write_some(struct rig *rig, uint64_t bucket, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct shard_stats stats;
        char key[16];
        shard_stats(rig->shard, &stats);
        (void)snprintf(key, sizeof key, "%u", (unsigned)((stats.committed_lsn + 1) % KEYS));
        cr_assert_eq(rig_put(rig, bucket, key, 1, 1, NULL), GFS_OK);
    }
}

/* A life with a copy that is made, kept up, taken up again and replaced. */
static void live(const char *dir, const char *copy_dir, long end_at)
{
    struct rig rig = {.options = {.apply_delay_ms = 1, .gc_grace_ms = 86400 * 1000LL}};
    const char *copies[] = {copy_dir, NULL};
    (void)snprintf(rig.dir, sizeof rig.dir, "%s", dir);
    rig.log = log_double_new();
    ops = *log_double_store(rig.log)->ops;
    trim_of_double = ops.trim_edits;
    ops.trim_edits = note_trim;
    log_double_store(rig.log)->ops = &ops;
    rig_open(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    write_some(&rig, bucket, 100);
    rig_await_applied(&rig);
    file_shim_end_at(copy_dir, end_at);
    cr_assert_eq(shard_copy_add(rig.shard, copy_dir, NULL), GFS_OK);
    seen->is_joined = true;
    write_some(&rig, bucket, 60);
    rig_close(&rig);
    seen->is_joined = false; /* opened without it: the log keeps nothing for it */
    rig_open(&rig);
    cr_assert_eq(shard_copy_add(rig.shard, copy_dir, NULL), GFS_OK);
    seen->is_joined = true;
    write_some(&rig, bucket, 60);
    seen->is_joined = false;
    shard_copy_remove(rig.shard, copy_dir);
    write_some(&rig, bucket, 60);
    rig_restart(&rig);
    cr_assert_eq(shard_copy_add(rig.shard, copy_dir, NULL), GFS_OK);
    seen->is_joined = true;
    rig_close(&rig);
    rig.options.copies = copies;
    rig_open(&rig);
    write_some(&rig, bucket, 60);
    rig_close(&rig);
    log_double_free(rig.log);
}

static void check_object(struct db *db, uint64_t bucket, uint64_t n, uint64_t lsn)
{
    char name[16];
    struct key key;
    struct gfs_buf value;
    (void)snprintf(name, sizeof name, "%u", (unsigned)n);
    key_object(&key, bucket, gfs_slice_str(name));
    gfs_buf_init(&value, 65536);
    cr_assert_eq(db_get(db, TABLE_OBJECTS, key_row(&key), &value), GFS_OK);
    cr_assert_eq(record_mod_lsn(gfs_buf_slice(&value)), lsn);
    gfs_buf_fini(&value);
}

/* A whole database, as of an edit that the log still has. */
static void check_copy(const char *copy_dir, long end_at)
{
    char path[TEMP_PATH_SIZE];
    struct db *db = NULL;
    struct apply *apply = NULL;
    struct gfs_error error = {0};
    (void)snprintf(path, sizeof path, "%s/metadata.sqlite", copy_dir);
    cr_assert_eq(db_open_writer(path, 1 << 20, &db, &error), GFS_OK, "%ld: %s", end_at, error.text);
    cr_assert_eq(apply_new(db, &apply, &error), GFS_OK, "%ld: %s", end_at, error.text);
    uint64_t lsn = apply_lsn(apply);
    cr_assert_gt(lsn, seen->trimmed, "%ld: %llu", end_at, (unsigned long long)lsn);
    cr_assert_gt(lsn, (uint64_t)KEYS);
    for (uint64_t n = 0; n < KEYS; n++) {
        uint64_t newest = lsn - lsn % KEYS + n;
        check_object(db, 1, n, newest <= lsn ? newest : newest - KEYS);
    }
    apply_free(apply);
    db_close(db);
}

static bool end_at(long n)
{
    char dir[TEMP_DIR_SIZE];
    char copy_dir[TEMP_DIR_SIZE];
    temp_dir_make(dir);
    temp_dir_make(copy_dir);
    *seen = (struct seen){.is_joined = false};
    pid_t child = fork();
    if (child == 0) {
        live(dir, copy_dir, n);
        _exit(0);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    bool has_ended = WEXITSTATUS(status) == FILE_SHIM_STATUS;
    cr_assert(has_ended || WEXITSTATUS(status) == 0, "%ld: status %d", n, WEXITSTATUS(status));
    if (seen->is_joined) {
        check_copy(copy_dir, n);
    }
    temp_dir_remove(dir);
    temp_dir_remove(copy_dir);
    return has_ended;
}

Test(shard_join, is_whole_and_covered_by_the_log_wherever_the_process_ends, .timeout = 100)
{
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(seen, MAP_FAILED);
    long n = 0;
    while (end_at(n)) {
        n++;
    }
    cr_expect_gt(n, 50, "only %ld changes", n);
    (void)munmap(seen, sizeof *seen);
}
