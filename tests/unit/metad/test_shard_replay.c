/* Opening after a crash, after losses, and with what does not belong together. */
#include <fcntl.h>

#include "libgoodfs/mem.h"
#include "tests/unit/metad/shard_rig.h"

static void remove_database(const struct rig *rig)
{
    static const char *const names[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        char path[TEMP_PATH_SIZE];
        (void)snprintf(path, sizeof path, "%s/metadata.sqlite%s", rig->dir, names[i]);
        (void)unlink(path);
    }
}

static void move_database(const struct rig *rig, const char *from, const char *to)
{
    char old[TEMP_PATH_SIZE];
    char new[TEMP_PATH_SIZE];
    (void)snprintf(old, sizeof old, "%s/%s", rig->dir, from);
    (void)snprintf(new, sizeof new, "%s/%s", rig->dir, to);
    cr_assert_eq(rename(old, new), 0);
}

static void copy_database(const struct rig *rig)
{
    char command[2 * TEMP_PATH_SIZE];
    (void)snprintf(command, sizeof command, "cp %s/metadata.sqlite %s/old", rig->dir, rig->dir);
    cr_assert_eq(system(command), 0);
}

static void expect_refusal(struct rig *rig, const char *text)
{
    struct gfs_error error = {0};
    cr_expect_eq(rig_try_open(rig, &error), GFS_CORRUPT);
    cr_expect_not_null(strstr(error.text, text), "%s", error.text);
    cr_expect_not_null(strstr(error.text, rig->dir), "%s", error.text);
}

Test(shard_replay, crash_at_any_moment_loses_nothing_answered)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    for (int i = 1; i <= 40; i++) {
        cr_assert_eq(rig_put(&rig, bucket, "a", 1, (uint8_t)i, NULL), GFS_OK);
        if (i % 7 == 0) {
            rig_restart(&rig);
        }
        if (i % 3 == 0) {
            rig_crash(&rig);
        }
        cr_assert_eq(rig_tag(&rig, bucket, "a"), i);
    }
    rig_fini(&rig);
}

Test(shard_replay, crash_during_the_first_start_is_no_loss)
{
    struct rig rig;
    rig_init(&rig);
    for (int i = 0; i < 3; i++) {
        rig_crash(&rig);
    }
    cr_expect_gt(rig_bucket(&rig, "bucket"), 0u);
    rig_fini(&rig);
}

Test(shard_replay, lost_database_is_rebuilt_while_the_log_is_whole)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_assert_eq(rig_put(&rig, bucket, "a", 1, 1, NULL), GFS_OK);
    struct log_double *whole = log_double_clone(rig.log);
    rig_close(&rig);
    log_double_free(rig.log);
    rig.log = whole;
    remove_database(&rig);
    rig_open(&rig);
    cr_expect_eq(rig_tag(&rig, bucket, "a"), 1);
    rig_fini(&rig);
}

Test(shard_replay, lost_database_behind_a_trimmed_log_is_an_error)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_assert_eq(rig_put(&rig, bucket, "a", 1, 1, NULL), GFS_OK);
    rig_close(&rig);
    cr_expect_eq(log_double_edits(rig.log), 1u, "the newest one stays");
    move_database(&rig, "metadata.sqlite", "safe");
    remove_database(&rig);
    for (int round = 0; round < 2; round++) {
        expect_refusal(&rig, "gone");
    }
    remove_database(&rig);
    move_database(&rig, "safe", "metadata.sqlite");
    rig_open(&rig);
    cr_expect_eq(rig_tag(&rig, bucket, "a"), 1, "nothing was harmed");
    rig_fini(&rig);
}

/* The log begins at edit 1, as one that was never trimmed does. */
Test(shard_replay, lost_database_behind_a_log_that_lost_edits_in_between_is_an_error)
{
    struct rig rig;
    rig_init(&rig);
    log_double_keep(rig.log);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    for (uint8_t i = 2; i <= 6; i++) {
        cr_assert_eq(rig_put(&rig, bucket, "a", 1, i, NULL), GFS_OK);
    }
    rig_close(&rig);
    cr_assert_eq(log_double_edits(rig.log), 6u);
    log_double_reclaim(rig.log, 3, 4);
    move_database(&rig, "metadata.sqlite", "safe");
    remove_database(&rig);
    expect_refusal(&rig, "database is gone");
    remove_database(&rig);
    move_database(&rig, "safe", "metadata.sqlite");
    rig_open(&rig);
    cr_expect_eq(rig_tag(&rig, bucket, "a"), 6, "nothing was harmed");
    rig_fini(&rig);
}

/* Also when what left are its own newest edit and others behind that. */
Test(shard_replay, old_copy_of_the_database_whose_edits_are_there_with_a_gap_is_an_error)
{
    for (uint64_t first = 3; first <= 4; first++) {
        struct rig rig;
        rig_init(&rig);
        log_double_keep(rig.log);
        uint64_t bucket = rig_bucket(&rig, "bucket");
        cr_assert_eq(rig_put(&rig, bucket, "a", 1, 2, NULL), GFS_OK);
        cr_assert_eq(rig_put(&rig, bucket, "a", 1, 3, NULL), GFS_OK);
        rig_close(&rig);
        copy_database(&rig); /* at edit 3 */
        rig_open(&rig);
        for (uint8_t i = 4; i <= 8; i++) {
            cr_assert_eq(rig_put(&rig, bucket, "b", 1, i, NULL), GFS_OK);
        }
        rig_close(&rig);
        log_double_reclaim(rig.log, first, first);
        remove_database(&rig);
        move_database(&rig, "old", "metadata.sqlite");
        expect_refusal(&rig, "old copy");
        log_double_free(rig.log);
        temp_dir_remove(rig.dir);
    }
}

Test(shard_replay, old_copy_of_the_database_is_an_error)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_assert_eq(rig_put(&rig, bucket, "a", 1, 1, NULL), GFS_OK);
    rig_close(&rig);
    copy_database(&rig);
    rig_open(&rig);
    cr_assert_eq(rig_put(&rig, bucket, "b", 1, 1, NULL), GFS_OK);
    rig_close(&rig);
    remove_database(&rig);
    move_database(&rig, "old", "metadata.sqlite");
    expect_refusal(&rig, "old copy");
    log_double_free(rig.log);
    temp_dir_remove(rig.dir);
}

Test(shard_replay, lost_log_is_an_error)
{
    struct rig rig;
    rig_init(&rig);
    (void)rig_bucket(&rig, "bucket");
    rig_close(&rig);
    log_double_lose_edits(rig.log);
    expect_refusal(&rig, "do not belong together");
    log_double_free(rig.log);
    temp_dir_remove(rig.dir);
}

Test(shard_replay, damaged_edit_behind_the_database_is_an_error)
{
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_assert_eq(rig_put(&rig, bucket, "a", 1, 1, NULL), GFS_OK);
    struct log_double *log = log_double_clone(rig.log);
    rig_close(&rig);
    log_double_free(rig.log);
    rig.log = log;
    remove_database(&rig);
    log_double_damage(log);
    struct gfs_error error = {0};
    cr_expect_eq(rig_try_open(&rig, &error), GFS_CORRUPT);
    cr_expect_not_null(strstr(error.text, gfs_err_text(GFS_CORRUPT)), "%s", error.text);
    log_double_free(log);
    temp_dir_remove(rig.dir);
}

Test(shard_replay, damaged_database_is_an_error)
{
    struct rig rig;
    char path[TEMP_PATH_SIZE];
    rig_init(&rig);
    (void)rig_bucket(&rig, "bucket");
    rig_close(&rig);
    (void)snprintf(path, sizeof path, "%s/metadata.sqlite", rig.dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, "xxxxxxxxxxxxxxxx", 16, 0), 16);
    close(fd);
    struct gfs_error error = {0};
    cr_expect_eq(rig_try_open(&rig, &error), GFS_CORRUPT);
    cr_expect_gt(strlen(error.text), 10u);
    log_double_free(rig.log);
    temp_dir_remove(rig.dir);
}
