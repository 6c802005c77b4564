/* What proves that an object's bytes are there. */
#include "tests/unit/metad/rebuild_rig.h"

Test(rebuild_check, a_chunk_that_is_missing_or_short_is_noticed_without_reading)
{
    struct rebuild_rig rig;
    struct chunk_id ids[3];
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "missing", 3, 1, ids), GFS_OK);
    log_double_lose_chunk(rig.rig.log, ids[1]);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "short", 3, 2, ids), GFS_OK);
    log_double_set_chunk(rig.rig.log, ids[2], GFS_SLICE_LITERAL("o12345678short"),
                         GFS_SLICE_LITERAL("012345678"));
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "whole", 3, 3, NULL), GFS_OK);
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig.finding_count, 2);
    cr_expect(rebuild_rig_has(&rig, REBUILD_LEFT_OUT, "missing", "missing"));
    cr_expect(rebuild_rig_has(&rig, REBUILD_LEFT_OUT, "short", "shorter"));
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "missing"), -1);
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "whole"), 3);
    rebuild_rig_fini(&rig);
}

Test(rebuild_check, a_size_that_is_not_that_of_the_chunks_is_noticed)
{
    struct rebuild_rig rig;
    struct job job;
    rebuild_rig_init(&rig);
    job_init(&job, META_OBJECT_PUT, rig.bucket, GFS_SLICE_LITERAL("key"));
    job_fill(&job, 2, 1);
    job.object.size++;
    cr_assert_eq(rig_run(&rig.rig, &job), GFS_OK);
    job_fini(&job);
    rebuild_rig_rebuild(&rig);
    cr_expect(rebuild_rig_has(&rig, REBUILD_LEFT_OUT, "key", "add up"));
    rebuild_rig_fini(&rig);
}

Test(rebuild_check, bytes_are_compared_when_asked_for)
{
    static char bytes[100000];
    struct rebuild_rig rig;
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t owner_len = 0;
    struct chunk_pin pin;
    rebuild_rig_init(&rig);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7);
    }
    (void)rebuild_rig_put(&rig, "good", gfs_slice_of(bytes, sizeof bytes));
    struct chunk_id id = rebuild_rig_put(&rig, "bad", gfs_slice_of(bytes, sizeof bytes));
    struct chunk_store *store = log_double_store(rig.rig.log);
    cr_assert_eq(store->ops->pin(store, id, &pin), GFS_OK);
    cr_assert_eq(store->ops->owner(store, &pin, owner, &owner_len), GFS_OK);
    bytes[99999]++;
    log_double_set_chunk(rig.rig.log, id, gfs_slice_of(owner, owner_len),
                         gfs_slice_of(bytes, sizeof bytes));
    rig.options.must_verify = true;
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig.finding_count, 1);
    cr_expect(rebuild_rig_has(&rig, REBUILD_LEFT_OUT, "bad", "CRC64NVME"));
    cr_expect_eq(rig.result.objects, 1);
    rebuild_rig_fini(&rig);
}
