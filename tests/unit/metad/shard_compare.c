#include "tests/unit/metad/shard_compare.h"

#include <sched.h>

#include "libgoodfs/mem.h"

static enum gfs_err write_object(void *arg, const struct meta_list_item *item)
{
    struct meta_object object = {0};
    if (!item->is_prefix) {
        cr_assert_eq(meta_object_decode_summary(item->row, &object), GFS_OK);
    }
    model_write_item(arg, item->key, item->is_prefix, object.etag[0]);
    return GFS_OK;
}

static enum gfs_err write_upload(void *arg, const struct meta_list_item *item)
{
    model_write_item(arg, item->key, item->is_prefix,
                     item->is_prefix ? 0 : gfs_codec_load_u64_be(item->upload_id));
    return GFS_OK;
}

void compare_listing(struct run *run, const struct model_bucket *bucket,
                     const struct meta_list_query *query, bool is_uploads)
{
    struct meta_service *meta = run->rig.meta;
    struct gfs_buf found;
    struct gfs_buf expected;
    bool is_truncated = false;
    gfs_buf_init(&found, 1 << 16);
    gfs_buf_init(&expected, 1 << 16);
    enum gfs_err err =
        is_uploads ? meta->ops->list_uploads(meta, query, write_upload, &found, &is_truncated)
                   : meta->ops->list_objects(meta, query, write_object, &found, &is_truncated);
    EXPECT(run, err == GFS_OK);
    if (is_truncated) {
        gfs_buf_add_char(&found, '+');
    }
    if (bucket->is_there) {
        (is_uploads ? model_list_uploads : model_list_objects)(bucket, query, &expected);
    }
    cr_assert(gfs_slice_eq(gfs_buf_slice(&found), gfs_buf_slice(&expected)),
              "seed %llu, step %d: listing (%s, prefix %.*s, delimiter %.*s, after %.*s %d, max %u)"
              "\nis      %s\ninstead %s",
              (unsigned long long)run->seed, run->step, is_uploads ? "uploads" : "objects",
              (int)query->prefix.len, query->prefix.ptr, (int)query->delimiter.len,
              query->delimiter.ptr, (int)query->after.len, query->after.ptr, query->after_is_prefix,
              query->max, found.ptr, expected.ptr);
    gfs_buf_fini(&found);
    gfs_buf_fini(&expected);
}

void compare_object(struct run *run, const struct model_bucket *bucket, uint32_t k)
{
    const struct model_row *row = &bucket->objects[k];
    struct meta_row *found = NULL;
    struct meta_service *meta = run->rig.meta;
    enum gfs_err err = meta->ops->object(meta, bucket->id, model_keys[k], 0, &found);
    EXPECT(run, err == (bucket->is_there && row->is_there ? GFS_OK : GFS_NOT_FOUND));
    if (err != GFS_OK) {
        return;
    }
    struct gfs_arena arena;
    struct meta_object object;
    gfs_arena_init(&arena, 1 << 16);
    EXPECT(run, meta_object_decode(meta_row_bytes(found), &arena, &object) == GFS_OK);
    EXPECT(run, object.mod_lsn == row->lsn && object.etag[0] == row->tag);
    EXPECT(run, object.chunk_count == row->chunk_count);
    for (uint32_t i = 0; i < row->chunk_count; i++) {
        EXPECT(run, object.chunks[i].id.hi == row->chunks[i].hi &&
                        object.chunks[i].id.lo == row->chunks[i].lo);
    }
    gfs_arena_fini(&arena);
    meta_row_unref(found);
}

struct part_walk {
    struct run *run;
    const struct model_upload *upload;
    uint32_t next;
};

static enum gfs_err check_part(void *arg, const struct meta_list_item *item)
{
    struct part_walk *walk = arg;
    struct gfs_arena arena;
    struct meta_part part;
    gfs_arena_init(&arena, 1 << 16);
    EXPECT(walk->run, meta_part_decode(item->row, &arena, &part) == GFS_OK);
    while (walk->next < MODEL_PARTS && !walk->upload->parts[walk->next].is_there) {
        walk->next++;
    }
    EXPECT(walk->run, walk->next < MODEL_PARTS && part.number == walk->next + 1);
    EXPECT(walk->run, part.mod_lsn == walk->upload->parts[walk->next].lsn);
    EXPECT(walk->run, part.chunk_count == walk->upload->parts[walk->next].chunk_count);
    walk->next++;
    gfs_arena_fini(&arena);
    return GFS_OK;
}

static void compare_upload(struct run *run, const struct model_bucket *bucket,
                           const struct model_upload *upload)
{
    struct meta_service *meta = run->rig.meta;
    struct part_walk walk = {run, upload, 0};
    uint8_t id[META_UPLOAD_ID_LEN];
    bool is_truncated;
    if (!bucket->is_there || !upload->is_there) {
        return;
    }
    run_upload_id(id, upload->id);
    EXPECT(run,
           meta->ops->list_parts(meta, id, 0, 1000, check_part, &walk, &is_truncated) == GFS_OK);
    for (; walk.next < MODEL_PARTS; walk.next++) {
        EXPECT(run, !upload->parts[walk.next].is_there);
    }
}

static void compare_done(struct run *run)
{
    for (uint32_t i = 0; i < run->model.done_count; i++) {
        struct meta_row *row = NULL;
        struct meta_completed done;
        uint8_t id[META_UPLOAD_ID_LEN];
        run_upload_id(id, run->model.done[i].id);
        EXPECT(run, run->rig.meta->ops->completed(run->rig.meta, id, 0, &row) == GFS_OK);
        EXPECT(run, meta_completed_decode(meta_row_bytes(row), &done) == GFS_OK);
        EXPECT(run, done.mod_lsn == run->model.done[i].lsn);
        meta_row_unref(row);
    }
}

static void compare_chunks(struct run *run)
{
    for (size_t i = 0; i < run->model.chunk_count; i++) {
        struct chunk_id id = run->model.chunks[i];
        bool is_referenced = model_is_referenced(&run->model, id);
        EXPECT(run, !is_referenced || log_double_is_live(run->rig.log, id));
    }
}

void compare_all(struct run *run)
{
    for (uint32_t b = 0; b < MODEL_BUCKETS; b++) {
        const struct model_bucket *bucket = &run->model.buckets[b];
        struct meta_list_query query = {.bucket_id = bucket->id, .max = 1000};
        for (uint32_t k = 0; k < MODEL_KEYS; k++) {
            compare_object(run, bucket, k);
        }
        compare_listing(run, bucket, &query, false);
        compare_listing(run, bucket, &query, true);
        for (uint32_t u = 0; u < MODEL_UPLOADS; u++) {
            compare_upload(run, bucket, &bucket->uploads[u]);
        }
    }
    compare_done(run);
    compare_chunks(run);
}

static void compare_usage(struct run *run)
{
    for (uint32_t b = 0; b < MODEL_BUCKETS; b++) {
        const struct model_bucket *bucket = &run->model.buckets[b];
        struct meta_usage expected = model_usage(bucket);
        struct meta_usage found;
        enum gfs_err err = run->rig.meta->ops->usage(run->rig.meta, bucket->id, &found);
        EXPECT(run, err == (bucket->is_there ? GFS_OK : GFS_NOT_FOUND));
        EXPECT(run, err != GFS_OK || memcmp(&found, &expected, sizeof found) == 0);
    }
}

void compare_end(struct run *run)
{
    run->rig.options.gc_grace_ms = 0;
    log_double_refuse(run->rig.log, 0, 0);
    rig_restart(&run->rig);
    compare_all(run);
    compare_usage(run);
    for (size_t i = 0; i < run->model.chunk_count; i++) {
        struct chunk_id id = run->model.chunks[i];
        while (!model_is_referenced(&run->model, id) && log_double_is_live(run->rig.log, id)) {
            (void)sched_yield();
        }
    }
    compare_chunks(run);
}
