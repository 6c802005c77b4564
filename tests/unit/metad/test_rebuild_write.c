/* The database that is written: references, numbers, usage. */
#include <sched.h>

#include "tests/unit/metad/rebuild_rig.h"

Test(rebuild_write, shared_chunks_live_until_the_last_of_their_rows_goes)
{
    struct rebuild_rig rig;
    struct chunk_id ids[2];
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 2, 1, ids), GFS_OK);
    cr_assert_eq(rig_copy(&rig.rig, rig.bucket, "a", "b"), GFS_OK);
    cr_assert_eq(rig_copy(&rig.rig, rig.bucket, "b", "c"), GFS_OK);
    rig.rig.options.gc_grace_ms = 0;
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig.finding_count, 0);
    cr_assert_eq(rig_delete(&rig.rig, rig.bucket, "a"), GFS_OK);
    cr_assert_eq(rig_delete(&rig.rig, rig.bucket, "c"), GFS_OK);
    while (log_double_deleted(rig.rig.log) != 2) { /* their notes */
        (void)sched_yield();
    }
    cr_expect(log_double_is_live(rig.rig.log, ids[0]));
    cr_assert_eq(rig_delete(&rig.rig, rig.bucket, "b"), GFS_OK);
    while (log_double_deleted(rig.rig.log) != 5) {
        (void)sched_yield();
    }
    cr_expect(!log_double_is_live(rig.rig.log, ids[0]));
    rebuild_rig_fini(&rig);
}

Test(rebuild_write, rows_keep_their_numbers_and_new_ones_are_above_all)
{
    struct rebuild_rig rig;
    struct job before;
    struct job after;
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 2, 1, NULL), GFS_OK);
    job_init(&before, META_OBJECT_PUT, rig.bucket, (struct gfs_slice){0});
    job_init(&after, META_OBJECT_PUT, rig.bucket, (struct gfs_slice){0});
    cr_assert_eq(rig_get(&rig.rig, rig.bucket, "a", &before), GFS_OK);
    log_double_set_floor(rig.rig.log, 5000);
    rebuild_rig_rebuild(&rig);
    cr_assert_eq(rig_get(&rig.rig, rig.bucket, "a", &after), GFS_OK);
    cr_expect_eq(after.object.mod_lsn, before.object.mod_lsn);
    cr_expect_eq(after.object.mtime_ms, before.object.mtime_ms);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "b", 2, 1, NULL), GFS_OK);
    cr_assert_eq(rig_get(&rig.rig, rig.bucket, "b", &after), GFS_OK);
    cr_expect_gt(after.object.mod_lsn, 5001);
    job_fini(&before);
    job_fini(&after);
    rebuild_rig_fini(&rig);
}

Test(rebuild_write, usage_is_counted_anew)
{
    struct rebuild_rig rig;
    struct meta_usage usage;
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 2, 1, NULL), GFS_OK);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "b", 3, 1, NULL), GFS_OK);
    rig_upload(&rig.rig, rig.bucket, "up", 1);
    rebuild_rig_rebuild(&rig);
    cr_assert_eq(rig.rig.meta->ops->usage(rig.rig.meta, rig.bucket, &usage), GFS_OK);
    cr_expect_eq(usage.object_count, 2);
    cr_expect_eq(usage.object_bytes, 50);
    cr_expect_eq(usage.upload_count, 1);
    rebuild_rig_fini(&rig);
}
