/* What the disks say, and what cannot be understood of it. */
#include "tests/unit/metad/rebuild_rig.h"

Test(rebuild_read, chunks_that_no_row_names_are_reported_with_their_key)
{
    struct rebuild_rig rig;
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 1, 1, NULL), GFS_OK);
    log_double_set_chunk(rig.rig.log, chunk_id_new(0), GFS_SLICE_LITERAL("o\5\0\0\0\0\0\0\0lone"),
                         GFS_SLICE_LITERAL("bytes"));
    log_double_set_chunk(rig.rig.log, chunk_id_new(0), GFS_SLICE_LITERAL("nonsense"),
                         GFS_SLICE_LITERAL("bytes"));
    log_double_set_chunk(rig.rig.log, chunk_id_new(0), GFS_SLICE_LITERAL("L\2garbage"),
                         GFS_SLICE_LITERAL("bytes"));
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig.finding_count, 3);
    cr_expect(rebuild_rig_has(&rig, REBUILD_LEFT_OUT, "lone", "no row"));
    cr_expect(rebuild_rig_has(&rig, REBUILD_LEFT_OUT, "", "cannot be read"));
    cr_expect(rebuild_rig_has(&rig, REBUILD_LEFT_OUT, "", "cannot be understood"));
    cr_expect_eq(rig_tag(&rig.rig, rig.bucket, "a"), 1);
    rebuild_rig_fini(&rig);
}

Test(rebuild_read, labels_of_a_newer_version_stop_it)
{
    struct rebuild_rig rig;
    struct gfs_error error = {0};
    rebuild_rig_init(&rig);
    log_double_set_chunk(rig.rig.log, chunk_id_new(0), GFS_SLICE_LITERAL("L\3what is this"),
                         GFS_SLICE_LITERAL("bytes"));
    rebuild_rig_lose(&rig);
    cr_expect_eq(rebuild_rig_run(&rig, &error), GFS_UNSUPPORTED);
    cr_expect(!rebuild_has_database(rig.rig.dir));
    rig.rig.shard = NULL;
    rebuild_rig_fini(&rig);
}

Test(rebuild_read, a_note_that_is_cut_is_reported)
{
    struct rebuild_rig rig;
    struct job found;
    struct chunk_store *store;
    struct chunk_pin pin;
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t len = 0;
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 0, 1, NULL), GFS_OK);
    job_init(&found, META_OBJECT_PUT, rig.bucket, (struct gfs_slice){0});
    cr_assert_eq(rig_get(&rig.rig, rig.bucket, "a", &found), GFS_OK);
    store = log_double_store(rig.rig.log);
    cr_assert_eq(store->ops->pin(store, found.chunks[0].id, &pin), GFS_OK);
    cr_assert_eq(store->ops->owner(store, &pin, owner, &len), GFS_OK);
    log_double_set_chunk(rig.rig.log, found.chunks[0].id, gfs_slice_of(owner, len),
                         GFS_SLICE_LITERAL("short"));
    job_fini(&found);
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig.finding_count, 1);
    cr_expect(rebuild_rig_has(&rig, REBUILD_LEFT_OUT, "", "note"));
    rebuild_rig_fini(&rig);
}

Test(rebuild_read, the_newest_row_says_what_its_bucket_is_like)
{
    struct rebuild_rig rig;
    struct job job;
    struct meta_bucket found;
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "a", 1, 1, NULL), GFS_OK);
    job_init(&job, META_BUCKET_SET, rig.bucket, (struct gfs_slice){0});
    job.op.setting = META_BUCKET_STORAGE_CLASS;
    job.op.storage_class = GFS_SLICE_LITERAL("COLD");
    cr_assert_eq(rig_run(&rig.rig, &job), GFS_OK);
    job_fini(&job);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "b", 1, 2, NULL), GFS_OK);
    cr_assert_eq(rig.rig.meta->ops->bucket(rig.rig.meta, GFS_SLICE_LITERAL("bucket"), &found),
                 GFS_OK);
    int64_t created_ms = found.created_ms;
    rebuild_rig_rebuild(&rig);
    cr_assert_eq(rig.rig.meta->ops->bucket(rig.rig.meta, GFS_SLICE_LITERAL("bucket"), &found),
                 GFS_OK);
    cr_expect_str_eq(found.storage_class, "COLD");
    cr_expect_eq(found.created_ms, created_ms);
    cr_expect_eq(found.id, rig.bucket);
    rebuild_rig_fini(&rig);
}
