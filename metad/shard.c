#include "metad/shard.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "metad/bucket_row.h"
#include "metad/shard_copy.h"

enum {
    CACHE_BYTES = 16 << 20,
    OVERLAY_BYTES = 64 << 20,
    APPLY_DELAY_MS = 200,
    CLOSE_STALL_MS = 15000,
    LOG_HUNG_STALL_MS = 3000,
    READER_COUNT = 4,
    READER_CACHE_BYTES = 1 << 20,
};

static const struct meta_service_ops service_ops = {
    .bucket = shard_bucket,
    .buckets = shard_buckets,
    .object = shard_object,
    .upload = shard_upload,
    .completed = shard_completed,
    .submit = shard_submit,
    .list_objects = shard_list_objects,
    .list_uploads = shard_list_uploads,
    .list_parts = shard_list_parts,
    .usage = shard_usage,
};

static struct shard *shard_new(const struct shard_options *options)
{
    struct shard *shard = gfs_alloc(sizeof *shard);
    shard->service.ops = &service_ops;
    shard->options = *options;
    shard->log = options->log;
    if (shard->options.cache_bytes_max == 0) {
        shard->options.cache_bytes_max = CACHE_BYTES;
    }
    if (shard->options.overlay_bytes_max == 0) {
        shard->options.overlay_bytes_max = OVERLAY_BYTES;
    }
    if (shard->options.apply_delay_ms == 0) {
        shard->options.apply_delay_ms = APPLY_DELAY_MS;
    }
    if (shard->options.close_stall_ms == 0) {
        shard->options.close_stall_ms = CLOSE_STALL_MS;
    }
    shard->seed = chunk_id_new(0).hi; /* random, drawn at process start */
    shard->overlay = overlay_new(shard->seed);
    shard->buckets = bucket_map_new();
    shard->cache = cache_new(shard->options.cache_bytes_max);
    shard->committed_tail = &shard->committed;
    shard->held_tail = &shard->held;
    (void)pthread_mutex_init(&shard->lock, NULL);
    (void)pthread_mutex_init(&shard->trim_lock, NULL);
    gfs_cond_init(&shard->moved);
    gfs_cond_init(&shard->sweep_wake);
    gfs_cond_init(&shard->decided);
    return shard;
}

static void free_proposals(struct proposal *first)
{
    while (first != NULL) {
        struct proposal *next = first->next;
        proposal_free(first);
        first = next;
    }
}

/* Databases are closed and freed, except `live` when opening failed. */
static void shard_free(struct shard *shard)
{
    free_proposals(shard->committed); /* of a database that could not be written */
    free_proposals(shard->batch.first);
    edits_unref(shard->batch.edits);
    overlay_free(shard->overlay);
    bucket_map_free(shard->buckets);
    cache_free(shard->cache);
    (void)pthread_mutex_destroy(&shard->lock);
    (void)pthread_mutex_destroy(&shard->trim_lock);
    gfs_cond_fini(&shard->moved);
    gfs_cond_fini(&shard->sweep_wake);
    gfs_cond_fini(&shard->decided);
    free(shard);
}

static enum gfs_err load_buckets(struct shard *shard, struct gfs_error *error)
{
    struct db *db = shard->live->db;
    struct key from = {.len = 1, .bytes = {TABLE_BUCKETS}};
    static const char last[sizeof(uint64_t)] = "\377\377\377\377\377\377\377\377";
    enum gfs_err err = db_seek(db, TABLE_BUCKETS, key_row(&from), gfs_slice_of(last, sizeof last));
    while (err == GFS_OK) {
        struct gfs_slice key;
        struct gfs_slice row;
        struct meta_bucket bucket;
        err = db_next(db, TABLE_BUCKETS, &key, &row);
        if (err == GFS_OK) {
            err = bucket_row_decode(key, row, &bucket);
        }
        if (err == GFS_OK) {
            (void)bucket_map_add(shard->buckets, &bucket, BUCKET_ACTIVE);
        }
    }
    db_reset(db, TABLE_BUCKETS);
    return err == GFS_END
               ? GFS_OK
               : gfs_fail(error, err, "database: list of buckets: %s", gfs_err_text(err));
}

/* Edits that could not be applied for want of space go on as if they had just been committed. */
static enum gfs_err adopt_kept(struct shard *shard, struct gfs_error *error)
{
    shard->applied_lsn = apply_lsn(shard->live->apply);
    shard->committed_lsn = shard->applied_lsn;
    for (struct proposal *p = shard->committed; p != NULL; p = p->next) {
        enum gfs_err err = proposal_adopt(p);
        if (err != GFS_OK) {
            return gfs_fail(error, err, "edit log behind LSN %llu: %s",
                            (unsigned long long)shard->committed_lsn, gfs_err_text(err));
        }
        shard->committed_tail = &p->next;
    }
    return GFS_OK;
}

struct readers *shard_readers_new(const char *path)
{
    return readers_new(path, READER_COUNT, READER_CACHE_BYTES);
}

static enum gfs_err open_database(struct shard *shard, struct gfs_error *error)
{
    struct copy *live = copy_new(shard, shard->options.dir, COPY_LIVE);
    shard->live = live;
    if (live->path[0] == '\0') {
        return gfs_fail(error, GFS_INVALID, "%s: path too long", live->dir);
    }
    enum gfs_err err = copy_open(live, error);
    if (err == GFS_OK) {
        err = shard_replay(shard, error);
    }
    if (err == GFS_OK) {
        err = load_buckets(shard, error);
    }
    if (err == GFS_OK) {
        err = adopt_kept(shard, error);
    }
    live->readers = shard_readers_new(live->path);
    live->is_dirty = true; /* what opening applied */
    return err;
}

/* Numbers below it may have been used by edits that only a lost part of the log knows. */
static uint64_t log_floor(const struct shard *shard)
{
    struct chunk_store_status status = {0};
    if (shard->log->ops->status != NULL) {
        shard->log->ops->status(shard->log, &status);
    }
    return status.lsn_floor;
}

enum gfs_err shard_open(const struct shard_options *options, struct shard **ret,
                        struct gfs_error *error)
{
    struct shard *shard = shard_new(options);
    enum gfs_err err = open_database(shard, error);
    if (err != GFS_OK) {
        copy_free(shard->live);
        shard_free(shard);
        return err;
    }
    shard->next_lsn = GFS_MAX(shard->committed_lsn, log_floor(shard)) + 1;
    shard_copies_start(shard); /* before anything can be trimmed that one of them lacks */
    copy_start(shard->live);
    int rc = pthread_create(&shard->sweep_thread, NULL, shard_sweep_main, shard);
    GFS_ASSERT(rc == 0);
    (void)pthread_setname_np(shard->sweep_thread, "meta-sweep");
    *ret = shard;
    return GFS_OK;
}

void shard_end_visits(struct shard *shard)
{
    (void)pthread_mutex_lock(&shard->lock);
    shard->is_ending_visits = true;
    shard->is_sweep_stopping = true;
    gfs_cond_signal(&shard->sweep_wake);
    gfs_cond_broadcast(&shard->moved);
    (void)pthread_mutex_unlock(&shard->lock);
}

void shard_end_waits(struct shard *shard)
{
    shard_end_visits(shard);
    (void)pthread_mutex_lock(&shard->lock);
    shard->is_ending = true;
    gfs_cond_broadcast(&shard->moved);
    (void)pthread_mutex_unlock(&shard->lock);
}

/* false: it hangs in a read of a database, of one that was left before if there is such. */
static bool await_sweep(struct shard *shard)
{
    bool has_time = true;
    (void)pthread_mutex_lock(&shard->lock);
    int64_t until = shard_close_until_locked(shard);
    while (!shard->is_sweep_over && has_time) {
        has_time = gfs_cond_wait_until(&shard->moved, &shard->lock, until);
    }
    bool is_over = shard->is_sweep_over;
    (void)pthread_mutex_unlock(&shard->lock);
    if (is_over) {
        (void)pthread_join(shard->sweep_thread, NULL);
    }
    return is_over;
}

/* false: the log hangs. Every edit decided is a reason to wait for the next. */
static bool await_decisions(struct shard *shard)
{
    bool has_time = true;
    (void)pthread_mutex_lock(&shard->lock);
    shard->decided_waiters++;
    while (shard->under_way != 0 && has_time) {
        uint32_t under_way = shard->under_way;
        int64_t until = gfs_monotonic_ns() + shard->options.close_stall_ms * INT64_C(1000000);
        while (shard->under_way == under_way && has_time) {
            has_time = gfs_cond_wait_until(&shard->decided, &shard->lock, until);
        }
    }
    shard->decided_waiters--;
    bool is_none = shard->under_way == 0;
    (void)pthread_mutex_unlock(&shard->lock);
    return is_none;
}

bool shard_close(struct shard *shard)
{
    if (shard == NULL) {
        return true;
    }
    shard_end_waits(shard);
    (void)pthread_mutex_lock(&shard->lock);
    shard->is_stopping = true;
    (void)pthread_mutex_unlock(&shard->lock);
    bool is_idle = await_sweep(shard);
    if (!await_decisions(shard)) { /* with one disk the database hangs with the log */
        is_idle = false;
        shard->options.close_stall_ms = GFS_MIN(shard->options.close_stall_ms, LOG_HUNG_STALL_MS);
    }
    is_idle = shard_copies_stop(shard) && is_idle;
    if (is_idle) {
        GFS_ASSERT(shard->parked == NULL && shard->held == NULL);
        shard_free(shard);
    } else {
        gfs_log(GFS_LOG_ERROR, "msg=\"a metadata database does not close: left as it is\"");
    }
    return is_idle;
}

struct meta_service *shard_service(struct shard *shard)
{
    return &shard->service;
}

void shard_stats(struct shard *shard, struct shard_stats *ret)
{
    (void)pthread_mutex_lock(&shard->lock);
    *ret = shard->counters;
    ret->committed_lsn = shard->committed_lsn;
    ret->applied_lsn = shard->applied_lsn;
    ret->overlay_bytes = overlay_size(shard->overlay);
    ret->has_failed = shard->has_failed || (shard->apply_fault != GFS_OK);
    ret->moves = shard->move_count;
    for (const struct copy *copy = shard->copies; copy != NULL; copy = copy->next) {
        if (copy->role == COPY_FOLLOWING) {
            ret->copied_lsn =
                ret->copies == 0 ? copy->durable_lsn : GFS_MIN(ret->copied_lsn, copy->durable_lsn);
            ret->copies++;
        }
    }
    (void)pthread_mutex_unlock(&shard->lock);
    ret->cache_bytes = cache_size(shard->cache);
}
