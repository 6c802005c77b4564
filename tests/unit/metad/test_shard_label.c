/* What operations leave with the data, and how long it lives. */
#include <sched.h>

#include "metad/label.h"
#include "metad/record.h"
#include "tests/unit/metad/rebuild_rig.h"

/* The owner of a live chunk. */
static struct label_owner owner_of(struct rebuild_rig *rig, struct chunk_id id, char *bytes)
{
    struct chunk_store *store = log_double_store(rig->rig.log);
    struct chunk_pin pin;
    struct label_owner owner = {0};
    size_t len = 0;
    cr_assert_eq(store->ops->pin(store, id, &pin), GFS_OK);
    cr_assert_eq(store->ops->owner(store, &pin, bytes, &len), GFS_OK);
    cr_assert_eq(label_owner_parse(gfs_slice_of(bytes, len), &owner), GFS_OK);
    return owner;
}

static size_t live_count(struct rebuild_rig *rig)
{
    struct chunk_store *store = log_double_store(rig->rig.log);
    size_t total = 0;
    for (uint32_t part = 0; part < CHUNK_LIST_PARTS; part++) {
        struct chunk_listed *listed = NULL;
        size_t count = 0;
        store->ops->list(store, part, &listed, &count);
        free(listed);
        total += count;
    }
    return total;
}

Test(shard_label, a_small_object_carries_its_whole_row)
{
    struct rebuild_rig rig;
    char bytes[CHUNK_OWNER_LEN_MAX];
    struct chunk_id id;
    struct job found;
    struct label label;
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "key", 1, 7, &id), GFS_OK);
    struct label_owner owner = owner_of(&rig, id, bytes);
    cr_assert_eq(owner.kind, LABEL_WHOLE);
    cr_assert_eq(label_decode(owner.label, &label), GFS_OK);
    cr_expect_str_eq(label.bucket.name, "bucket");
    cr_expect(gfs_slice_eq_str(label.key, "key"));
    job_init(&found, META_OBJECT_PUT, rig.bucket, (struct gfs_slice){0});
    cr_assert_eq(rig_get(&rig.rig, rig.bucket, "key", &found), GFS_OK);
    cr_expect_eq(found.object.chunk_count, 1, "no note");
    cr_expect_eq(record_mod_lsn(label.row), found.object.mod_lsn);
    cr_expect_eq(record_mtime_ms(label.row), found.object.mtime_ms);
    job_fini(&found);
    rebuild_rig_fini(&rig);
}

Test(shard_label, other_rows_have_a_note_that_goes_with_them)
{
    struct rebuild_rig rig;
    struct job found;
    char bytes[CHUNK_OWNER_LEN_MAX];
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "two", 2, 7, NULL), GFS_OK);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "none", 0, 8, NULL), GFS_OK);
    job_init(&found, META_OBJECT_PUT, rig.bucket, (struct gfs_slice){0});
    cr_assert_eq(rig_get(&rig.rig, rig.bucket, "two", &found), GFS_OK);
    cr_assert_eq(found.object.chunk_count, 3);
    cr_expect_eq(found.chunks[2].len, 0);
    cr_expect_eq(owner_of(&rig, found.chunks[2].id, bytes).kind, LABEL_NOTE);
    job_fini(&found);
    cr_expect_eq(live_count(&rig), 4);
    cr_assert_eq(rig_delete(&rig.rig, rig.bucket, "two"), GFS_OK);
    cr_assert_eq(rig_delete(&rig.rig, rig.bucket, "none"), GFS_OK);
    rig.rig.options.gc_grace_ms = 0;
    rig_restart(&rig.rig);
    while (live_count(&rig) != 0) {
        (void)sched_yield();
    }
    rebuild_rig_fini(&rig);
}

Test(shard_label, a_copy_has_its_own_note_and_leaves_the_sources)
{
    struct rebuild_rig rig;
    struct job source;
    struct job copy;
    rebuild_rig_init(&rig);
    cr_assert_eq(rig_put(&rig.rig, rig.bucket, "two", 2, 7, NULL), GFS_OK);
    cr_assert_eq(rig_copy(&rig.rig, rig.bucket, "two", "copy"), GFS_OK);
    job_init(&source, META_OBJECT_PUT, rig.bucket, (struct gfs_slice){0});
    job_init(&copy, META_OBJECT_PUT, rig.bucket, (struct gfs_slice){0});
    cr_assert_eq(rig_get(&rig.rig, rig.bucket, "two", &source), GFS_OK);
    cr_assert_eq(rig_get(&rig.rig, rig.bucket, "copy", &copy), GFS_OK);
    cr_assert_eq(copy.object.chunk_count, 3);
    cr_expect_eq(copy.chunks[1].id.lo, source.chunks[1].id.lo);
    cr_expect_neq(copy.chunks[2].id.lo, source.chunks[2].id.lo);
    job_fini(&source);
    job_fini(&copy);
    rig.rig.options.gc_grace_ms = 0;
    rig_restart(&rig.rig);
    cr_assert_eq(rig_delete(&rig.rig, rig.bucket, "two"), GFS_OK);
    while (live_count(&rig) != 3) { /* its note goes, what is shared stays */
        (void)sched_yield();
    }
    cr_assert_eq(rig_delete(&rig.rig, rig.bucket, "copy"), GFS_OK);
    while (live_count(&rig) != 0) {
        (void)sched_yield();
    }
    rebuild_rig_fini(&rig);
}

Test(shard_label, notes_of_uploads_go_with_their_end_and_their_bucket)
{
    struct rebuild_rig rig;
    rebuild_rig_init(&rig);
    rig.rig.options.gc_grace_ms = 0;
    rig_restart(&rig.rig);
    uint64_t other = rig_bucket(&rig.rig, "other");
    rig_upload(&rig.rig, rig.bucket, "up", 1);
    rig_upload(&rig.rig, other, "up", 2);
    cr_expect_eq(live_count(&rig), 2);
    struct job job;
    job_init(&job, META_UPLOAD_ABORT, rig.bucket, GFS_SLICE_LITERAL("up"));
    job.op.upload_id[0] = 1;
    cr_assert_eq(rig_run(&rig.rig, &job), GFS_OK);
    job_fini(&job);
    cr_assert_eq(rig_drop(&rig.rig, other), GFS_OK);
    while (live_count(&rig) != 0) {
        (void)sched_yield();
    }
    rebuild_rig_fini(&rig);
}

Test(shard_label, notes_of_uploads_are_somebodys)
{
    struct rebuild_rig rig;
    struct chunk_id ids[1];
    bool is_referenced[1] = {false};
    rebuild_rig_init(&rig);
    rig_upload(&rig.rig, rig.bucket, "up", 1);
    struct chunk_store *store = log_double_store(rig.rig.log);
    for (uint32_t part = 0; part < CHUNK_LIST_PARTS; part++) {
        struct chunk_listed *listed = NULL;
        size_t count = 0;
        store->ops->list(store, part, &listed, &count);
        if (count != 0) {
            ids[0] = listed[0].id;
        }
        free(listed);
    }
    cr_assert_eq(shard_has_references(rig.rig.shard, ids, 1, is_referenced), GFS_OK);
    cr_expect(is_referenced[0]);
    rebuild_rig_fini(&rig);
}

Test(shard_label, a_row_too_long_for_one_note_is_in_several)
{
    enum { PARTS = 10000 };
    struct rebuild_rig rig;
    struct job job;
    struct meta_part *parts = calloc(PARTS, sizeof *parts);
    rebuild_rig_init(&rig);
    job_init(&job, META_OBJECT_PUT, rig.bucket, GFS_SLICE_LITERAL("long"));
    for (uint32_t i = 0; i < PARTS; i++) {
        parts[i] = (struct meta_part){.number = i + 1, .crc64 = i};
    }
    job_fill(&job, 1, 7);
    job.object.parts = parts;
    job.object.part_count = PARTS;
    job.object.storage_class = GFS_SLICE_LITERAL("UNKNOWN"); /* any more: the default then */
    cr_assert_eq(rig_run(&rig.rig, &job), GFS_OK);
    job_fini(&job);
    cr_expect_geq(live_count(&rig), 3);
    rebuild_rig_rebuild(&rig);
    cr_expect_eq(rig.finding_count, 0);
    struct meta_row *row = NULL;
    struct meta_object found;
    struct gfs_arena arena;
    gfs_arena_init(&arena, 16 << 20);
    cr_assert_eq(
        rig.rig.meta->ops->object(rig.rig.meta, rig.bucket, GFS_SLICE_LITERAL("long"), 0, &row),
        GFS_OK);
    cr_assert_eq(meta_object_decode(meta_row_bytes(row), &arena, &found), GFS_OK);
    cr_assert_eq(found.part_count, (uint32_t)PARTS);
    cr_expect_eq(found.parts[PARTS - 1].crc64, PARTS - 1);
    meta_row_unref(row);
    gfs_arena_fini(&arena);
    free(parts);
    rebuild_rig_fini(&rig);
}
