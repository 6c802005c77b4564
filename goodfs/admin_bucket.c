/* Settings of a bucket that S3 has no operation for. */
#include <pthread.h>

#include "goodfs/admin_call.h"
#include "libgoodfs/mem.h"

/* An operation that a thread waits for. */
struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_done; /* guarded by lock */
    enum gfs_err err;
};

static void done(struct meta_op *op, enum gfs_err err)
{
    struct waiting *waiting = op->arg;
    pthread_mutex_lock(&waiting->lock);
    waiting->err = err;
    waiting->is_done = true;
    pthread_cond_signal(&waiting->wake);
    pthread_mutex_unlock(&waiting->lock);
}

/* Every operation that was taken is answered, also while stopping, so this ends. */
static enum gfs_err submit_and_wait(struct meta_service *meta, struct meta_op *op)
{
    struct waiting waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    op->done = done;
    op->arg = &waiting;
    enum gfs_err err = meta->ops->submit(meta, op, 0);
    if (err != GFS_OK) {
        return err;
    }
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.is_done) {
        pthread_cond_wait(&waiting.wake, &waiting.lock);
    }
    pthread_mutex_unlock(&waiting.lock);
    pthread_cond_destroy(&waiting.wake);
    pthread_mutex_destroy(&waiting.lock);
    return waiting.err;
}

static enum gfs_err find_bucket(struct admin_call *call, struct meta_bucket *ret)
{
    struct meta_service *meta = call->services->meta;
    enum gfs_err err = meta->ops->bucket(meta, call->args[0], ret);
    return err == GFS_OK ? err
                         : gfs_fail(&call->error, err, "there is no bucket \"%.*s\"",
                                    (int)GFS_MIN(call->args[0].len, (size_t)64), call->args[0].ptr);
}

static void write_class(struct admin_call *call, const struct meta_bucket *bucket)
{
    gfs_json_out_text(call->out, "bucket", bucket->name);
    gfs_json_out_text(call->out, "storage_class",
                      bucket->storage_class[0] == '\0' ? "STANDARD" : bucket->storage_class);
}

enum gfs_err admin_run_bucket_class(struct admin_call *call)
{
    struct meta_bucket bucket;
    enum gfs_err err = find_bucket(call, &bucket);
    if (err == GFS_OK) {
        write_class(call, &bucket);
    }
    return err;
}

enum gfs_err admin_run_bucket_set_class(struct admin_call *call)
{
    struct chunk_store *chunks = call->services->chunks;
    struct meta_bucket bucket;
    const char *name = NULL;
    enum gfs_err err =
        admin_call_text(call, "storage_class", sizeof bucket.storage_class - 1, &name);
    if (err == GFS_OK && name == NULL) {
        err = gfs_fail(&call->error, GFS_INVALID, "\"storage_class\" is missing");
    }
    if (err == GFS_OK && !chunks->ops->has_class(chunks, gfs_slice_str(name))) {
        err = gfs_fail(&call->error, GFS_INVALID, "there is no storage class \"%s\" here", name);
    }
    if (err == GFS_OK) {
        err = find_bucket(call, &bucket);
    }
    if (err != GFS_OK) {
        return err;
    }
    struct meta_op op = {.kind = META_BUCKET_SET,
                         .bucket_id = bucket.id,
                         .setting = META_BUCKET_STORAGE_CLASS,
                         .storage_class = gfs_slice_str(name)};
    err = submit_and_wait(call->services->meta, &op);
    if (err != GFS_OK) {
        return gfs_fail(&call->error, err, "the bucket's storage class was not set: %s",
                        gfs_err_text(err));
    }
    write_class(call, &op.ret_bucket);
    return GFS_OK;
}
