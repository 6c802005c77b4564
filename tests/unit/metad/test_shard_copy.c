/* Copies of the database: kept up, slow ones, and lost ones. */
#include <sched.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "tests/unit/metad/copy_rig.h"
#include "tests/unit/metad/file_shim.h"

#define IDLE_NS (5LL * 1000 * 1000 * 1000) /* after which a database makes a checkpoint anyway */

Test(shard_copy, holds_what_was_there_and_what_came_later)
{
    struct copy_rig rig;
    copy_rig_init(&rig);
    copy_rig_fill(&rig, 0, 100);
    copy_rig_add(&rig, rig.dirs[0]);
    cr_expect_eq(copy_rig_stats(&rig).copies, 1u);
    copy_rig_fill(&rig, 100, 200);
    copy_rig_add(&rig, rig.dirs[1]);
    copy_rig_fill(&rig, 200, 300);
    (void)rig_delete(&rig.rig, rig.bucket, "k299");
    copy_rig_fill(&rig, 299, 300);
    copy_rig_open_in(&rig, 0);
    copy_rig_check(&rig, 300);
    copy_rig_open_in(&rig, 1);
    copy_rig_check(&rig, 300);
    cr_expect_eq(copy_rig_failures(&rig), 0u);
    copy_rig_fini(&rig);
}

Test(shard_copy, log_keeps_what_the_slowest_copy_lacks)
{
    struct copy_rig rig;
    copy_rig_init(&rig);
    copy_rig_fill(&rig, 0, 10);
    copy_rig_add(&rig, rig.dirs[0]);
    file_shim_set(rig.dirs[0], FILE_SHIM_HANG);
    copy_rig_fill(&rig, 10, 100);
    while (file_shim_hanging() == 0) {
        (void)sched_yield();
    }
    cr_expect_leq(log_double_trimmed(rig.rig.log), 11u);
    file_shim_set(rig.dirs[0], FILE_SHIM_NONE);
    rig_close(&rig.rig);
    cr_expect_eq(log_double_trimmed(rig.rig.log), 100u, "all but the newest of 101 edits");
    rig_open(&rig.rig);
    copy_rig_fini(&rig);
}

/* A trim that only an idle or a large database would make is made now. */
Test(shard_copy, log_is_trimmed_when_somebody_asks_for_it)
{
    struct copy_rig rig;
    copy_rig_init(&rig);
    copy_rig_add(&rig, rig.dirs[0]);
    copy_rig_fill(&rig, 0, 100);
    uint64_t newest = copy_rig_stats(&rig).committed_lsn;
    int64_t begun_ns = gfs_monotonic_ns();
    cr_assert_eq(shard_trim(rig.rig.shard), GFS_OK);
    while (log_double_trimmed(rig.rig.log) < newest) {
        (void)sched_yield();
    }
    cr_expect_lt(gfs_monotonic_ns() - begun_ns, IDLE_NS, "not because nothing was written");
    cr_expect_eq(log_double_trimmed(rig.rig.log), newest);
    rig_restart(&rig.rig);
    copy_rig_check(&rig, 100);
    copy_rig_open_in(&rig, 0);
    copy_rig_check(&rig, 100);
    copy_rig_fini(&rig);
}

/* SQLite may call a page that it cannot read damage. */
static void check_lost(enum file_shim_fault fault, enum gfs_err err, enum gfs_err or_err)
{
    struct copy_rig rig;
    copy_rig_init(&rig);
    copy_rig_add(&rig, rig.dirs[0]);
    copy_rig_add(&rig, rig.dirs[1]);
    file_shim_set(rig.dirs[1], fault);
    copy_rig_fill(&rig, 0, 20);
    while (copy_rig_failures(&rig) == 0) {
        (void)sched_yield();
    }
    cr_expect_str_eq(rig.failed_dir, rig.dirs[1]);
    cr_expect(rig.failed_err == err || rig.failed_err == or_err);
    cr_expect_eq(copy_rig_stats(&rig).copies, 1u);
    file_shim_set(rig.dirs[1], FILE_SHIM_NONE);
    copy_rig_fill(&rig, 20, 60);
    copy_rig_check(&rig, 60);
    rig_restart(&rig.rig);
    cr_expect_eq(log_double_trimmed(rig.rig.log), 60u, "nothing is kept for it");
    copy_rig_open_in(&rig, 0);
    copy_rig_check(&rig, 60);
    copy_rig_fini(&rig);
}

Test(shard_copy, disk_that_fails_loses_its_copy_and_the_shard_goes_on)
{
    check_lost(FILE_SHIM_FAIL, GFS_IO, GFS_CORRUPT);
}

Test(shard_copy, full_disk_loses_its_copy_and_the_shard_goes_on)
{
    check_lost(FILE_SHIM_FULL, GFS_NO_SPACE, GFS_NO_SPACE);
}

Test(shard_copy, directory_that_vanishes_loses_its_copy_and_can_be_made_again)
{
    struct copy_rig rig;
    copy_rig_init(&rig);
    copy_rig_add(&rig, rig.dirs[0]);
    copy_rig_fill(&rig, 0, 20);
    temp_dir_remove(rig.dirs[0]);
    copy_rig_fill(&rig, 20, 40);
    while (copy_rig_failures(&rig) == 0) {
        (void)sched_yield();
    }
    cr_expect_eq(rig.failed_err, GFS_IO);
    enum gfs_err err;
    while ((err = shard_copy_add(rig.rig.shard, rig.dirs[0], NULL)) == GFS_BUSY) {
        (void)sched_yield(); /* its files are being closed */
    }
    cr_assert_eq(err, GFS_OK);
    copy_rig_open_in(&rig, 0);
    copy_rig_check(&rig, 40);
    copy_rig_fini(&rig);
}

/* Large edits while its disk hangs: the queue is given up, and the log has what it lacks. */
Test(shard_copy, slow_one_falls_behind_and_catches_up)
{
    enum { COUNT = 20, VALUE_LEN = 3 << 20 };
    struct copy_rig rig;
    copy_rig_init(&rig);
    copy_rig_add(&rig, rig.dirs[0]);
    copy_rig_fill(&rig, 0, 1);
    char *value GFS_FREE = gfs_alloc(VALUE_LEN);
    memset(value, 'x', VALUE_LEN);
    struct meta_header header = {GFS_SLICE_LITERAL("big"), gfs_slice_of(value, VALUE_LEN)};
    file_shim_set(rig.dirs[0], FILE_SHIM_HANG);
    for (int i = 0; i < COUNT; i++) {
        struct job job;
        job_init(&job, META_OBJECT_PUT, rig.bucket, GFS_SLICE_LITERAL("big"));
        job.object.header_count = 1;
        job.object.headers = &header;
        job.object.etag[0] = (uint8_t)i;
        cr_assert_eq(rig_run(&rig.rig, &job), GFS_OK);
        job_fini(&job);
        rig_await_applied(&rig.rig);
    }
    while (file_shim_hanging() == 0) { /* its thread need not have come to it yet */
        (void)sched_yield();
    }
    file_shim_set(rig.dirs[0], FILE_SHIM_NONE);
    copy_rig_fill(&rig, 1, 50);
    copy_rig_open_in(&rig, 0);
    copy_rig_check(&rig, 50);
    cr_expect_eq(copy_rig_failures(&rig), 0u);
    struct meta_row *row = NULL;
    cr_assert_eq(
        rig.rig.meta->ops->object(rig.rig.meta, rig.bucket, GFS_SLICE_LITERAL("big"), 0, &row),
        GFS_OK);
    struct meta_object object;
    cr_assert_eq(meta_object_decode_summary(meta_row_bytes(row), &object), GFS_OK);
    cr_expect_eq(object.etag[0], COUNT - 1);
    meta_row_unref(row);
    copy_rig_fini(&rig);
}
