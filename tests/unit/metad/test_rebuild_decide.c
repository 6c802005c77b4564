/* Which of the rows found is restored. */
#include "tests/unit/metad/rebuild_rig.h"

Test(rebuild_decide, the_newest_row_of_a_name_wins)
{
    struct rebuild_rig rig;
    rebuild_rig_init(&rig);
    for (uint8_t tag = 1; tag <= 9; tag++) {
        cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", tag % 3, tag, NULL), GFS_OK);
        cr_assert_eq(rig_put(&rig.rig, rig.bucket, "ab", 1, (uint8_t)(tag + 10), NULL), GFS_OK);
    }
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig.finding_count, 0);
    cr_expect_eq(rig.result.objects, 2);
    cr_expect_eq(rig.result.older, 16);
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "a"), 9);
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "ab"), 19);
    rebuild_rig_fini(&rig);
}

Test(rebuild_decide, an_older_row_stands_in_for_one_that_lacks_data_and_that_is_said)
{
    struct rebuild_rig rig;
    struct chunk_id ids[2];
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 2, 1, NULL), GFS_OK);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 2, 2, ids), GFS_OK);
    log_double_lose_chunk(rig.rig.log, ids[1]);
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "a"), 1);
    cr_expect_eq(rig.result.unproved, 1);
    cr_expect(rebuild_rig_has(&rig, REBUILD_LEFT_OUT, "a", "missing"));
    cr_expect(rebuild_rig_has(&rig, REBUILD_UNPROVED, "a", "older version"));
    rebuild_rig_fini(&rig);
}

static int part_count(struct rebuild_rig *rig, uint8_t upload)
{
    struct meta_row *row = NULL;
    uint8_t id[META_UPLOAD_ID_LEN] = {upload};
    struct meta_usage usage;
    enum gfs_err err = rig->rig.meta->ops->upload(rig->rig.meta, rig->bucket,
                                                  GFS_SLICE_LITERAL("up"), id, 0, &row);
    meta_row_unref(row);
    if (err != GFS_OK) {
        return -1;
    }
    cr_assert_eq(rig->rig.meta->ops->usage(rig->rig.meta, rig->bucket, &usage), GFS_OK);
    return (int)(usage.part_bytes / 10);
}

Test(rebuild_decide, open_uploads_come_back_with_their_parts)
{
    struct rebuild_rig rig;
    rebuild_rig_init(&rig);
    rig_upload(&rig.rig, rig.bucket, "up", 1);
    cr_assert_eq(rig_part(&rig.rig, rig.bucket, "up", 1, 3, NULL, NULL), GFS_OK);
    cr_assert_eq(rig_part(&rig.rig, rig.bucket, "up", 1, 7, NULL, NULL), GFS_OK);
    cr_assert_eq(rig_part(&rig.rig, rig.bucket, "up", 1, 7, NULL, NULL), GFS_OK);
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig.finding_count, 0);
    cr_expect_eq(rig.result.parts, 2);
    cr_expect_eq(part_count(&rig, 1), 2);
    rebuild_rig_fini(&rig);
}

Test(rebuild_decide, a_completed_upload_is_its_object_alone)
{
    struct rebuild_rig rig;
    struct chunk_id chunk;
    uint64_t lsn = 0;
    struct job job;
    rebuild_rig_init(&rig);
    rig_upload(&rig.rig, rig.bucket, "up", 1);
    cr_assert_eq(rig_part(&rig.rig, rig.bucket, "up", 1, 1, &chunk, &lsn), GFS_OK);
    cr_assert_eq(rig_part(&rig.rig, rig.bucket, "up", 1, 2, NULL, NULL), GFS_OK); /* not used */
    job_complete(&job, rig.bucket, "up", 1);
    job_use_part(&job, 1, lsn, chunk);
    cr_assert_eq(rig_run(&rig.rig, &job), GFS_OK);
    job_fini(&job);
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig.finding_count, 0);
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "up"), 1);
    cr_expect_eq(rig.result.uploads, 0);
    cr_expect_eq(part_count(&rig, 1), -1);
    rebuild_rig_fini(&rig);
}

Test(rebuild_decide, parts_without_their_upload_get_one_and_that_is_said)
{
    struct rebuild_rig rig;
    struct chunk_id before[64];
    size_t count = 0;
    rebuild_rig_init(&rig);
    rig_upload(&rig.rig, rig.bucket, "up", 1);
    struct chunk_store *store = log_double_store(rig.rig.log);
    for (uint32_t part = 0; part < CHUNK_LIST_PARTS; part++) {
        struct chunk_listed *listed = NULL;
        size_t listed_count = 0;
        store->ops->list(store, part, &listed, &listed_count);
        for (size_t i = 0; i < listed_count; i++) {
            before[count++] = listed[i].id;
        }
        free(listed);
    }
    cr_assert_eq(rig_part(&rig.rig, rig.bucket, "up", 1, 3, NULL, NULL), GFS_OK);
    cr_assert_eq(count, 1);
    log_double_lose_chunk(rig.rig.log, before[0]);
    rebuild_rig_rebuild(&rig);
    cr_expect(rebuild_rig_has(&rig, REBUILD_UNPROVED, "up", "only parts"));
    cr_expect_eq(part_count(&rig, 1), 1);
    rebuild_rig_fini(&rig);
}

Test(rebuild_decide, rows_of_a_bucket_that_was_made_again_stay_out)
{
    struct rebuild_rig rig;
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "old", 1, 1, NULL), GFS_OK);
    cr_assert_eq(rig_delete(&rig.rig, rig.bucket, "old"), GFS_OK);
    cr_assert_eq(rig_drop(&rig.rig, rig.bucket), GFS_OK);
    uint64_t bucket = rig_bucket(&rig.rig, "bucket");
    cr_assert_eq(rig_put(&rig.rig, bucket, "new", 1, 2, NULL), GFS_OK);
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig.result.objects, 1);
    cr_expect_eq(rig.result.buckets, 1);
    cr_expect(rebuild_rig_has(&rig, REBUILD_LEFT_OUT, "old", "bucket was deleted"));
    cr_expect_eq(rig_tag(&rig.rig, bucket, "new"), 2);
    rebuild_rig_fini(&rig);
}
