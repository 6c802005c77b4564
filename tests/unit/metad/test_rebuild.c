/* Where a rebuilt database goes, and what is left alone. */
#include "tests/unit/metad/rebuild_rig.h"

#include <dirent.h>
#include <sys/stat.h>

Test(rebuild, everything_is_there_again_and_can_be_rebuilt_again)
{
    struct rebuild_rig rig;
    rebuild_rig_init(&rig);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 1, (uint8_t)(1 + i), NULL), GFS_OK);
        cr_assert_eq(rig_put(&rig.rig, rig.bucket, "b", 3, 5, NULL), GFS_OK);
        cr_assert_eq(rig_put(&rig.rig, rig.bucket, "c", 0, 6, NULL), GFS_OK);
        rebuild_rig_rebuild(&rig);
        cr_expect_eq(rig.finding_count, 0);
        cr_expect_eq(rig.result.objects, 3);
        cr_expect_eq(rig.result.buckets, 1);
        cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "a"), (int)(1 + i));
        cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "b"), 5);
        cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "c"), 6);
    }
    rig_crash(&rig.rig); /* log and database fit */
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "a"), 2);
    rebuild_rig_fini(&rig);
}

Test(rebuild, a_database_with_rows_is_kept_unless_it_is_to_be_replaced)
{
    struct rebuild_rig rig;
    struct gfs_error error = {0};
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 1, 1, NULL), GFS_OK);
    rig_close(&rig.rig);
    cr_expect(rebuild_has_database(rig.rig.dir));
    cr_expect_eq(rebuild_rig_run(&rig, &error), GFS_EXISTS);
    rig_open(&rig.rig);
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "a"), 1);
    rig_close(&rig.rig);
    rig.options.must_replace = true;
    cr_assert_eq(rebuild_rig_run(&rig, &error), GFS_OK);
    rig_open(&rig.rig);
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "a"), 1);
    rebuild_rig_fini(&rig);
}

Test(rebuild, what_an_interrupted_one_left_is_no_hindrance)
{
    struct rebuild_rig rig;
    char path[TEMP_PATH_SIZE];
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 1, 1, NULL), GFS_OK);
    (void)snprintf(path, sizeof path, "%s.rebuild", rig.rig.dir);
    cr_assert_eq(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s.rebuild/metadata.sqlite", rig.rig.dir);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && fputs("half a database", file) >= 0 && fclose(file) == 0);
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "a"), 1);
    (void)snprintf(path, sizeof path, "%s.rebuild", rig.rig.dir);
    cr_expect_neq(access(path, F_OK), 0);
    (void)snprintf(path, sizeof path, "%s.rebuild-sort", rig.rig.dir);
    cr_expect_neq(access(path, F_OK), 0);
    rebuild_rig_fini(&rig);
}

Test(rebuild, a_log_that_refuses_leaves_no_database)
{
    struct rebuild_rig rig;
    struct gfs_error error = {0};
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 1, 1, NULL), GFS_OK);
    rebuild_rig_lose(&rig);
    log_double_refuse(rig.rig.log, 1, 1);
    cr_expect_eq(rebuild_rig_run(&rig, &error), GFS_NO_SPACE);
    cr_expect(!rebuild_has_database(rig.rig.dir));
    log_double_refuse(rig.rig.log, 0, 1);
    cr_assert_eq(rebuild_rig_run(&rig, &error), GFS_OK);
    rig_open(&rig.rig);
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "a"), 1);
    rebuild_rig_fini(&rig);
}
