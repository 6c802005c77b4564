/* Buckets: kept whole in memory, changed by edits like everything else. */
#include "libgoodfs/mem.h"
#include "metad/bucket_row.h"
#include "metad/edit.h"
#include "metad/scan.h"
#include "metad/shard_state.h"

static struct shard *shard_of(struct meta_service *meta)
{
    return GFS_CONTAINER_OF(meta, struct shard, service);
}

enum gfs_err shard_bucket(struct meta_service *meta, struct gfs_slice name, struct meta_bucket *ret)
{
    struct shard *shard = shard_of(meta);
    (void)pthread_mutex_lock(&shard->lock);
    const struct bucket *bucket = bucket_map_by_name(shard->buckets, name);
    bool is_there = bucket != NULL && bucket_is_visible(bucket);
    if (is_there) {
        *ret = bucket->info;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return is_there ? GFS_OK : GFS_NOT_FOUND;
}

bool shard_has_bucket(struct shard *shard, uint64_t bucket_id)
{
    (void)pthread_mutex_lock(&shard->lock);
    const struct bucket *bucket = bucket_map_by_id(shard->buckets, bucket_id);
    bool is_there = bucket != NULL && bucket_is_visible(bucket);
    (void)pthread_mutex_unlock(&shard->lock);
    return is_there;
}

enum gfs_err shard_buckets(struct meta_service *meta, struct gfs_slice prefix,
                           struct gfs_slice after, uint32_t max, struct meta_bucket *ret,
                           uint32_t *ret_count, bool *ret_is_truncated)
{
    struct shard *shard = shard_of(meta);
    *ret_count = 0;
    *ret_is_truncated = false;
    (void)pthread_mutex_lock(&shard->lock);
    size_t index = bucket_map_index_after(shard->buckets, after);
    const struct bucket *bucket;
    for (; (bucket = bucket_map_at(shard->buckets, index)) != NULL; index++) {
        struct gfs_slice name = gfs_slice_str(bucket->info.name);
        if (!bucket_is_visible(bucket) || !gfs_slice_starts(name, prefix)) {
            if (gfs_slice_cmp(name, prefix) > 0 && !gfs_slice_starts(name, prefix)) {
                break;
            }
            continue;
        }
        if (*ret_count == max) {
            *ret_is_truncated = true;
            break;
        }
        ret[(*ret_count)++] = bucket->info;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return GFS_OK;
}

static enum gfs_err answer(struct meta_op *op, struct proposal *proposal, enum gfs_err err)
{
    proposal_free(proposal);
    op->done(op, err);
    return GFS_OK;
}

/* OK, or what is there already. A creation that is not decided yet is answered like a bucket that
 * is being deleted: come again. */
static enum gfs_err judge_create_locked(struct shard *shard, struct meta_op *op)
{
    enum gfs_err err = shard_refusal_locked(shard, false);
    const struct bucket *bucket = bucket_map_by_name(shard->buckets, op->name);
    if (err != GFS_OK || bucket == NULL) {
        return err;
    }
    if (bucket->state != BUCKET_ACTIVE) {
        return GFS_CONFLICT;
    }
    op->ret_bucket = bucket->info;
    return GFS_EXISTS;
}

enum gfs_err shard_bucket_create(struct shard *shard, struct meta_op *op)
{
    struct proposal *proposal = proposal_new(shard, op);
    if (op->name.len == 0 || op->name.len > GFS_BUCKET_NAME_LEN_MAX ||
        op->region.len >= sizeof op->ret_bucket.region) {
        return answer(op, proposal, GFS_INVALID);
    }
    struct meta_bucket probe = {0};
    enum gfs_err err = bucket_row_set(&probe, META_BUCKET_STORAGE_CLASS, op->storage_class);
    if (err != GFS_OK) {
        return answer(op, proposal, err);
    }
    proposal->bucket_change = BUCKET_IS_CREATED;
    edit_begin(&proposal->edit);
    edit_bucket_put(&proposal->edit, op->name, op->region);
    if (op->storage_class.len != 0) {
        edit_bucket_set(&proposal->edit, 0, META_BUCKET_STORAGE_CLASS, op->storage_class);
    }
    err = edit_finish(&proposal->edit);
    GFS_ASSERT(err == GFS_OK);
    (void)pthread_mutex_lock(&shard->lock);
    err = judge_create_locked(shard, op);
    if (err == GFS_OK) {
        proposal_submit_locked(proposal);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return err == GFS_OK ? GFS_OK : answer(op, proposal, err);
}

/* The bucket takes operations. NOT_FOUND, CONFLICT. */
static enum gfs_err judge_change_locked(struct shard *shard, struct meta_op *op,
                                        bool may_use_reserve)
{
    enum gfs_err err = shard_refusal_locked(shard, may_use_reserve);
    const struct bucket *bucket = bucket_map_by_id(shard->buckets, op->bucket_id);
    if (err == GFS_OK && (bucket == NULL || bucket->state == BUCKET_CREATING)) {
        op->what_missing = META_MISSING_BUCKET;
        err = GFS_NOT_FOUND;
    } else if (err == GFS_OK && bucket->state != BUCKET_ACTIVE) {
        err = GFS_CONFLICT;
    }
    return err;
}

static struct gfs_slice value_of(const struct meta_op *op)
{
    return op->setting == META_BUCKET_STORAGE_CLASS ? op->storage_class : (struct gfs_slice){0};
}

enum gfs_err shard_bucket_set(struct shard *shard, struct meta_op *op)
{
    struct proposal *proposal = proposal_new(shard, op);
    struct meta_bucket probe = {0};
    enum gfs_err err = bucket_row_set(&probe, op->setting, value_of(op));
    if (err != GFS_OK) {
        return answer(op, proposal, GFS_INVALID);
    }
    proposal->bucket_id = op->bucket_id;
    proposal->bucket_change = BUCKET_IS_SET;
    edit_begin(&proposal->edit);
    edit_bucket_set(&proposal->edit, op->bucket_id, (uint8_t)op->setting, value_of(op));
    err = edit_finish(&proposal->edit);
    GFS_ASSERT(err == GFS_OK);
    (void)pthread_mutex_lock(&shard->lock);
    err = judge_change_locked(shard, op, false);
    if (err == GFS_OK) {
        proposal_submit_locked(proposal);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return err == GFS_OK ? GFS_OK : answer(op, proposal, err);
}

/* No operation on the bucket is accepted any more; waits until those under way are decided. */
static enum gfs_err seal(struct shard *shard, struct meta_op *op)
{
    (void)pthread_mutex_lock(&shard->lock);
    enum gfs_err err = judge_change_locked(shard, op, true);
    if (err == GFS_OK) {
        bucket_set_state(bucket_map_by_id(shard->buckets, op->bucket_id), BUCKET_SEALED);
        shard_await_decision_locked(shard, shard->next_lsn - 1);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return err;
}

static enum gfs_err check_empty(struct shard *shard, uint64_t bucket_id)
{
    struct key from;
    struct key to;
    key_bucket(&from, TABLE_OBJECTS, bucket_id);
    to = from;
    key_after_prefix(&to);
    struct scan *scan = scan_begin(shard, &from, &to);
    struct gfs_slice key;
    struct gfs_slice row;
    enum gfs_err err = scan_next(scan, &key, &row);
    scan_end(scan);
    if (err == GFS_END) {
        return GFS_OK;
    }
    return err == GFS_OK ? GFS_NOT_EMPTY : err;
}

enum gfs_err shard_bucket_delete(struct shard *shard, struct meta_op *op, unsigned flags)
{
    if ((flags & META_NOWAIT) != 0) {
        return GFS_AGAIN;
    }
    struct proposal *proposal = proposal_new(shard, op);
    proposal->bucket_id = op->bucket_id;
    proposal->bucket_change = BUCKET_IS_DROPPED;
    proposal->group.may_use_reserve = true;
    edit_begin(&proposal->edit);
    edit_bucket_drop(&proposal->edit, op->bucket_id);
    enum gfs_err err = edit_finish(&proposal->edit);
    GFS_ASSERT(err == GFS_OK);
    err = check_empty(shard, op->bucket_id); /* usually the answer, and no writer is disturbed */
    if (err == GFS_OK) {
        err = seal(shard, op);
    }
    if (err != GFS_OK) {
        return answer(op, proposal, err);
    }
    err = check_empty(shard, op->bucket_id);
    (void)pthread_mutex_lock(&shard->lock);
    if (err == GFS_OK) {
        err = shard_refusal_locked(shard, true);
    }
    if (err == GFS_OK) {
        proposal_submit_locked(proposal);
    } else {
        bucket_set_state(bucket_map_by_id(shard->buckets, op->bucket_id), BUCKET_ACTIVE);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return err == GFS_OK ? GFS_OK : answer(op, proposal, err);
}

void shard_bucket_proposed_locked(struct proposal *proposal, int64_t time_ms)
{
    struct shard *shard = proposal->shard;
    struct meta_op *op = proposal->op;
    if (proposal->bucket_change == BUCKET_IS_DROPPED) {
        struct bucket *bucket = bucket_map_by_id(shard->buckets, proposal->bucket_id);
        bucket_set_state(bucket, BUCKET_DROPPING);
    } else if (proposal->bucket_change == BUCKET_IS_CREATED) {
        proposal->bucket_id = proposal->lsn;
        op->ret_bucket = (struct meta_bucket){.id = proposal->lsn, .created_ms = time_ms};
        memcpy(op->ret_bucket.name, op->name.ptr, op->name.len);
        if (op->region.len != 0) {
            memcpy(op->ret_bucket.region, op->region.ptr, op->region.len);
        }
        enum gfs_err err =
            bucket_row_set(&op->ret_bucket, META_BUCKET_STORAGE_CLASS, op->storage_class);
        GFS_ASSERT(err == GFS_OK); /* tried before */
        (void)bucket_map_add(shard->buckets, &op->ret_bucket, BUCKET_CREATING);
    }
}

/* Decisions come in order, and a bucket is dropped only after everything before is decided. */
static void set_decided_locked(struct proposal *proposal)
{
    struct meta_op *op = proposal->op;
    struct bucket *bucket = bucket_map_by_id(proposal->shard->buckets, proposal->bucket_id);
    enum gfs_err err = bucket_row_set(&bucket->info, op->setting, value_of(op));
    GFS_ASSERT(err == GFS_OK); /* tried before */
    op->ret_bucket = bucket->info;
}

void shard_bucket_decided_locked(struct proposal *proposal, bool is_committed)
{
    struct shard *shard = proposal->shard;
    bool is_drop = proposal->bucket_change == BUCKET_IS_DROPPED;
    if (proposal->bucket_change == BUCKET_IS_SET) {
        if (is_committed) {
            set_decided_locked(proposal);
        }
    } else if (is_drop == is_committed) { /* dropped, or never created */
        bucket_map_remove(shard->buckets, proposal->bucket_id);
    } else {
        bucket_set_state(bucket_map_by_id(shard->buckets, proposal->bucket_id), BUCKET_ACTIVE);
    }
}

static enum gfs_err adopt_set(struct shard *shard, uint64_t lsn, const struct change *change)
{
    struct bucket *bucket =
        bucket_map_by_id(shard->buckets, change->bucket_id == 0 ? lsn : change->bucket_id);
    enum gfs_err err = bucket == NULL
                           ? GFS_CORRUPT
                           : bucket_row_set(&bucket->info, change->setting, change->value);
    return err == GFS_INVALID ? GFS_CORRUPT : err;
}

enum gfs_err shard_bucket_adopt(struct shard *shard, uint64_t lsn, int64_t time_ms,
                                const struct change *change)
{
    if (change->kind == CHANGE_BUCKET_DROP) {
        if (bucket_map_by_id(shard->buckets, change->bucket_id) == NULL) {
            return GFS_CORRUPT;
        }
        bucket_map_remove(shard->buckets, change->bucket_id);
        return GFS_OK;
    }
    if (change->kind == CHANGE_BUCKET_SET) {
        return adopt_set(shard, lsn, change);
    }
    struct meta_bucket bucket = {.id = lsn, .created_ms = time_ms};
    if (change->key.len >= sizeof bucket.name || change->value.len >= sizeof bucket.region ||
        bucket_map_by_name(shard->buckets, change->key) != NULL) {
        return GFS_CORRUPT;
    }
    memcpy(bucket.name, change->key.ptr, change->key.len);
    memcpy(bucket.region, change->value.ptr, change->value.len);
    (void)bucket_map_add(shard->buckets, &bucket, BUCKET_ACTIVE);
    return GFS_OK;
}
