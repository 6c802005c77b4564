#include "pool/pool_copy_op.h"

#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/codec.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"

enum {
    ID_LEN = 16,
    LOOK_MS = 100,         /* how often a waiting thread looks whether waiting makes sense */
    ANSWER_MS_MAX = 30000, /* a disk that owes an answer for longer is dropped */
    STOP_MS_MAX = 5000,    /* it may still answer while the pool stops */
};

struct pool_copy_op {
    struct pool *pool;
    struct pool_pace *pace;
    struct pool_disk *disk;
    pthread_mutex_t lock;
    struct gfs_cond changed;
    int64_t asked_ns;    /* monotonic; when the disk was last asked for an answer */
    unsigned references; /* the waiting thread; each call that the disk still has to make */
    bool is_answered;
    bool is_writable;
    enum gfs_err err;
    struct chunk_group group; /* the disk's while it has to call done */
    struct chunk_record record;
    struct chunk_bulk *bulk;
    char *bytes;
    /* Of a read; the errand's until it is answered. */
    struct chunk_id fragment;
    bool with_owner;
    uint32_t len, crc;
};

struct pool_copy_op *pool_copy_op_new(struct pool *pool, struct pool_pace *pace,
                                      struct pool_disk *disk)
{
    struct pool_copy_op *op = gfs_alloc(sizeof *op);
    op->pool = pool;
    op->pace = pace;
    op->disk = pool_disk_ref(disk);
    op->references = 1;
    gfs_cond_init(&op->changed);
    int rc = pthread_mutex_init(&op->lock, NULL);
    GFS_ASSERT(rc == 0);
    return op;
}

static void release(struct pool_copy_op *op)
{
    (void)pthread_mutex_lock(&op->lock);
    unsigned left = --op->references;
    (void)pthread_mutex_unlock(&op->lock);
    if (left != 0) {
        return;
    }
    op->disk->store->ops->bulk_free(op->bulk);
    pool_disk_unref(op->disk);
    gfs_cond_fini(&op->changed);
    (void)pthread_mutex_destroy(&op->lock);
    free(op->bytes);
    free(op);
}

void pool_copy_op_free(struct pool_copy_op *op)
{
    if (op != NULL) {
        release(op);
    }
}

static void answer(struct pool_copy_op *op, enum gfs_err err)
{
    (void)pthread_mutex_lock(&op->lock);
    op->err = err;
    op->is_answered = true;
    gfs_cond_broadcast(&op->changed);
    (void)pthread_mutex_unlock(&op->lock);
    release(op);
}

static void group_done(struct chunk_group *group, enum gfs_err err)
{
    answer(GFS_CONTAINER_OF(group, struct pool_copy_op, group), err);
}

static void bulk_finished(void *arg, enum gfs_err err)
{
    answer(arg, err);
}

static void bulk_writable(void *arg)
{
    struct pool_copy_op *op = arg;
    (void)pthread_mutex_lock(&op->lock);
    op->is_writable = true;
    gfs_cond_broadcast(&op->changed);
    (void)pthread_mutex_unlock(&op->lock);
}

/* The disk will call once more. */
static void expect(struct pool_copy_op *op)
{
    (void)pthread_mutex_lock(&op->lock);
    op->references++;
    op->is_answered = false;
    op->asked_ns = gfs_monotonic_ns();
    (void)pthread_mutex_unlock(&op->lock);
}

char *pool_copy_op_reserve(struct pool_copy_op *op, size_t size)
{
    GFS_ASSERT(op->bytes == NULL);
    op->bytes = gfs_alloc_aligned(4096, (size + 4095) / 4096 * 4096);
    return op->bytes;
}

struct chunk_group *pool_copy_op_group(struct pool_copy_op *op, const struct chunk_record *record)
{
    op->record = *record;
    op->group = (struct chunk_group){.records = &op->record, .done = group_done};
    expect(op);
    return &op->group;
}

struct chunk_group *pool_copy_op_delete(struct pool_copy_op *op, const struct chunk_id *fragments,
                                        size_t count)
{
    char *bytes = pool_copy_op_reserve(op, count * ID_LEN);
    for (size_t i = 0; i < count; i++) {
        gfs_codec_store_u64(bytes + i * ID_LEN, fragments[i].hi);
        gfs_codec_store_u64(bytes + i * ID_LEN + 8, fragments[i].lo);
    }
    struct chunk_record record = {.kind = CHUNK_RECORD_DELETE,
                                  .payload = gfs_slice_of(bytes, count * ID_LEN)};
    struct chunk_group *group = pool_copy_op_group(op, &record);
    group->may_use_reserve = true;
    return group;
}

void pool_copy_op_forget(struct pool_copy_op *op)
{
    (void)pthread_mutex_lock(&op->lock);
    GFS_ASSERT(op->references >= 2); /* more: the disk's thread has not left its last call yet */
    op->references--;
    (void)pthread_mutex_unlock(&op->lock);
}

/* Whether the answer is still worth waiting for. */
static enum gfs_err judge_wait(struct pool_copy_op *op, int64_t since_ns)
{
    int64_t waited_ms = (gfs_monotonic_ns() - since_ns) / 1000000;
    if (atomic_load(&op->disk->is_dropped)) {
        return GFS_TIMEOUT;
    }
    if (waited_ms > STOP_MS_MAX && pool_pace_is_stopped(op->pace)) {
        return GFS_STOPPED;
    }
    if (waited_ms > ANSWER_MS_MAX) {
        pool_disk_drop(op->pool, op->disk, GFS_TIMEOUT, "repair");
        return GFS_TIMEOUT;
    }
    return GFS_OK;
}

/* Until *flag, which the disk sets; it was asked for it at since_ns. */
static enum gfs_err await(struct pool_copy_op *op, const bool *flag, int64_t since_ns)
{
    (void)pthread_mutex_lock(&op->lock);
    enum gfs_err err = GFS_OK;
    while (!*flag && err == GFS_OK) {
        (void)gfs_cond_wait_until(&op->changed, &op->lock, gfs_monotonic_ns() + LOOK_MS * 1000000);
        if (!*flag) {
            (void)pthread_mutex_unlock(&op->lock); /* what follows takes other locks */
            err = judge_wait(op, since_ns);
            (void)pthread_mutex_lock(&op->lock);
        }
    }
    err = *flag ? GFS_OK : err;
    (void)pthread_mutex_unlock(&op->lock);
    return err;
}

enum gfs_err pool_copy_op_wait(struct pool_copy_op *op)
{
    enum gfs_err err = await(op, &op->is_answered, op->asked_ns);
    return err == GFS_OK ? op->err : err;
}

enum gfs_err pool_copy_op_begin(struct pool_copy_op *op, struct chunk_id id, struct gfs_slice owner,
                                uint32_t len)
{
    GFS_ASSERT(op->bulk == NULL);
    struct chunk_bulk_options options = {
        .id = id, .owner = owner, .len_max = len, .writable = bulk_writable, .arg = op};
    return op->disk->store->ops->bulk_begin(op->disk->store, &options, &op->bulk);
}

enum gfs_err pool_copy_op_append(struct pool_copy_op *op, const char *ptr, size_t len)
{
    while (true) {
        (void)pthread_mutex_lock(&op->lock);
        op->is_writable = false;
        (void)pthread_mutex_unlock(&op->lock);
        size_t taken = op->disk->store->ops->bulk_append(op->bulk, ptr, len);
        if (taken == len) {
            return GFS_OK;
        }
        ptr += taken;
        len -= taken;
        enum gfs_err err = await(op, &op->is_writable, gfs_monotonic_ns());
        if (err != GFS_OK) {
            return err;
        }
    }
}

enum gfs_err pool_copy_op_finish(struct pool_copy_op *op)
{
    expect(op);
    op->disk->store->ops->bulk_finish(op->bulk, bulk_finished);
    return pool_copy_op_wait(op);
}

/* ---- reading ---- */

static enum gfs_err read_pinned(struct pool_copy_op *op, struct chunk_pin *pin)
{
    struct chunk_store *store = op->disk->store;
    size_t size = GFS_MIN((size_t)pin->len, (size_t)POOL_COPY_STEP);
    size = GFS_MAX(size, (size_t)CHUNK_OWNER_LEN_MAX);
    GFS_FREE char *bytes = gfs_alloc_aligned(4096, (size + 4095) / 4096 * 4096);
    size_t owner_len;
    enum gfs_err err = op->with_owner ? store->ops->owner(store, pin, bytes, &owner_len) : GFS_OK;
    op->len = pin->len;
    op->crc = 0;
    for (uint32_t at = 0; err == GFS_OK && at < pin->len; at += POOL_COPY_STEP) {
        uint32_t len = GFS_MIN((uint32_t)POOL_COPY_STEP, pin->len - at);
        err = store->ops->read(store, pin, at, len, bytes, CHUNK_READ_MEDIUM);
        if (err == GFS_OK) {
            op->crc = gfs_crc32c(op->crc, bytes, len);
        }
    }
    return err;
}

static void run_read(void *arg)
{
    struct pool_copy_op *op = arg;
    struct chunk_store *store = op->disk->store;
    struct chunk_pin pin;
    enum gfs_err err = store->ops->pin(store, op->fragment, &pin);
    if (err == GFS_OK) {
        err = read_pinned(op, &pin);
        store->ops->unpin(store, &pin);
    }
    answer(op, err);
}

enum gfs_err pool_copy_op_read(struct pool_copy_op *op, struct chunk_id fragment, bool with_owner,
                               uint32_t *ret_len, uint32_t *ret_crc)
{
    op->fragment = fragment;
    op->with_owner = with_owner;
    expect(op);
    pool_errand_let_go(pool_errand_start(op->pool->errands, "copy-read", run_read, NULL, op));
    enum gfs_err err = pool_copy_op_wait(op);
    if (err == GFS_OK) {
        *ret_len = op->len;
        *ret_crc = op->crc;
    }
    return err;
}

struct chunk_bulk *pool_copy_op_bulk(struct pool_copy_op *op)
{
    return op->bulk;
}
