#include "goodfs/fsck_storage.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "pool/pool_audit.h"
#include "pool/pool_orphans.h"

enum { BUCKETS_STEP = 1000, IDS_MAX = 4096 };

/* ---- references ---- */

/* A visit under way, with the names of the buckets. */
struct naming {
    struct meta_bucket *buckets; /* by id */
    size_t count;
    fsck_reference_fn visit;
    void *arg;
};

static int compare_buckets(const void *left, const void *right)
{
    const struct meta_bucket *a = left;
    const struct meta_bucket *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static enum gfs_err load_buckets(struct meta_service *meta, struct naming *naming)
{
    bool is_truncated = true;
    struct gfs_slice after = {0};
    while (is_truncated) {
        uint32_t count = 0;
        naming->buckets =
            gfs_realloc(naming->buckets, (naming->count + BUCKETS_STEP) * sizeof *naming->buckets);
        if (naming->count > 0) {
            after = gfs_slice_str(naming->buckets[naming->count - 1].name);
        }
        enum gfs_err err =
            meta->ops->buckets(meta, (struct gfs_slice){0}, after, BUCKETS_STEP,
                               naming->buckets + naming->count, &count, &is_truncated);
        if (err != GFS_OK) {
            return err;
        }
        naming->count += count;
        is_truncated = is_truncated && count > 0;
    }
    if (naming->count > 1) {
        qsort(naming->buckets, naming->count, sizeof *naming->buckets, compare_buckets);
    }
    return GFS_OK;
}

static enum gfs_err name_reference(void *arg, const struct shard_reference *reference)
{
    const struct naming *naming = arg;
    const struct meta_bucket wanted = {.id = reference->bucket_id};
    const struct meta_bucket *bucket =
        naming->count == 0
            ? NULL
            : bsearch(&wanted, naming->buckets, naming->count, sizeof wanted, compare_buckets);
    char key[64];
    struct fsck_reference named = {
        .id = reference->id,
        .bucket = bucket == NULL ? GFS_SLICE_LITERAL("(a bucket that is new or gone)")
                                 : gfs_slice_str(bucket->name),
        .key = reference->key};
    if (reference->is_part) {
        int len =
            snprintf(key, sizeof key, "(upload %.*s)", (int)reference->key.len, reference->key.ptr);
        named.key = gfs_slice_of(key, (size_t)len);
    }
    return naming->visit(naming->arg, &named);
}

static enum gfs_err visit_references(void *arg, fsck_reference_fn visit, void *visit_arg)
{
    struct fsck_storage *storage = arg;
    struct naming naming = {.visit = visit, .arg = visit_arg};
    enum gfs_err err = load_buckets(shard_service(storage->shard), &naming);
    if (err == GFS_OK) {
        err = shard_visit_references(storage->shard, name_reference, &naming);
    }
    free(naming.buckets);
    return err;
}

static enum gfs_err has_references(void *arg, const struct chunk_id *ids, size_t count, bool *ret)
{
    struct fsck_storage *storage = arg;
    return shard_has_references(storage->shard, ids, count, ret);
}

/* ---- chunks ---- */

/* Hands on what a pool lists. */
struct handing {
    fsck_chunk_fn visit;
    void *arg;
};

static void hand_on(void *arg, const struct pool_audit_chunk *audit)
{
    const struct handing *handing = arg;
    struct fsck_chunk chunk = {.id = audit->id,
                               .bytes = audit->bytes,
                               .have = audit->have,
                               .need = audit->need,
                               .width = audit->width,
                               .is_disk_away = audit->is_disk_away};
    handing->visit(handing->arg, &chunk);
}

static enum gfs_err visit_chunks(void *arg, uint32_t part, fsck_chunk_fn visit, void *visit_arg)
{
    struct fsck_storage *storage = arg;
    struct chunk_listed *listed = NULL;
    size_t count = 0;
    if (storage->pool != NULL) {
        struct handing handing = {visit, visit_arg};
        pool_audit_part(storage->pool, part, hand_on, &handing);
        return GFS_OK;
    }
    storage->chunks->ops->list(storage->chunks, part, &listed, &count);
    for (size_t i = 0; i < count; i++) {
        struct fsck_chunk chunk = {
            .id = listed[i].id, .bytes = listed[i].len, .have = 1, .need = 1, .width = 1};
        visit(visit_arg, &chunk);
    }
    free(listed);
    return GFS_OK;
}

static void shape(void *arg, struct chunk_id id, unsigned *ret_need, unsigned *ret_width)
{
    struct fsck_storage *storage = arg;
    *ret_need = *ret_width = 1;
    if (storage->pool != NULL) {
        pool_audit_shape(storage->pool, id, ret_need, ret_width);
    }
}

static bool is_whole(void *arg)
{
    struct fsck_storage *storage = arg;
    return storage->pool == NULL || pool_audit_is_whole(storage->pool);
}

static uint64_t losses(void *arg)
{
    struct fsck_storage *storage = arg;
    return storage->pool == NULL ? 0 : pool_audit_losses(storage->pool);
}

static_assert((int)FSCK_DISKS_MAX == (int)POOL_DISKS_MAX, "they are copied");

static void given_up(void *arg, bool ret[FSCK_DISKS_MAX])
{
    struct fsck_storage *storage = arg;
    if (storage->pool != NULL) {
        pool_audit_given_up(storage->pool, ret);
    } else {
        memset(ret, 0, FSCK_DISKS_MAX * sizeof *ret);
    }
}

/* ---- deleting ---- */

/* A group that a thread waits for. */
struct deletion {
    struct chunk_group group;
    struct chunk_record record;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_done; /* guarded by lock */
    enum gfs_err err;
};

static void deleted(struct chunk_group *group, enum gfs_err err)
{
    struct deletion *deletion = GFS_CONTAINER_OF(group, struct deletion, group);
    pthread_mutex_lock(&deletion->lock);
    deletion->err = err;
    deletion->is_done = true;
    pthread_cond_signal(&deletion->wake);
    pthread_mutex_unlock(&deletion->lock);
}

/* Every group is answered, also while stopping, so this ends. */
static enum gfs_err submit_deletion(struct fsck_storage *storage, const struct chunk_id *ids,
                                    size_t count)
{
    GFS_ASSERT(count <= IDS_MAX);
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) payload;
    gfs_buf_init(&payload, IDS_MAX * sizeof *ids);
    for (size_t i = 0; i < count; i++) {
        gfs_codec_put_u64(&payload, ids[i].hi);
        gfs_codec_put_u64(&payload, ids[i].lo);
    }
    struct deletion deletion = {
        .group = {.records = &deletion.record, .done = deleted, .may_use_reserve = true},
        .record = {.kind = CHUNK_RECORD_DELETE, .payload = gfs_buf_slice(&payload)},
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .wake = PTHREAD_COND_INITIALIZER};
    storage->chunks->ops->submit(storage->chunks, &deletion.group);
    pthread_mutex_lock(&deletion.lock);
    while (!deletion.is_done) {
        pthread_cond_wait(&deletion.wake, &deletion.lock);
    }
    pthread_mutex_unlock(&deletion.lock);
    pthread_cond_destroy(&deletion.wake);
    pthread_mutex_destroy(&deletion.lock);
    return deletion.err;
}

/* A pool deletes where the map says; what else the disks have of them goes after that. */
static enum gfs_err delete_chunks(void *arg, const struct chunk_id *ids, size_t count)
{
    struct fsck_storage *storage = arg;
    enum gfs_err err = submit_deletion(storage, ids, count);
    return err == GFS_OK && storage->pool != NULL ? pool_orphans_delete(storage->pool, ids, count)
                                                  : err;
}

struct fsck_source fsck_storage_source(struct fsck_storage *storage)
{
    return (struct fsck_source){.arg = storage,
                                .visit_references = visit_references,
                                .has_references = has_references,
                                .visit_chunks = visit_chunks,
                                .delete_chunks = delete_chunks,
                                .is_whole = is_whole,
                                .losses = losses,
                                .shape = shape,
                                .given_up = given_up};
}
