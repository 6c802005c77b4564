#include "pool/pool_map_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_map_file.h"

struct job {
    struct pool_writes *writes;
    pthread_t thread;
    char path[POOL_PATH_LEN_MAX];
    uint8_t id[16];
    struct pool_root root;
    uint16_t index;
    bool has_thread;
    bool is_done; /* with err; guarded by the lock */
    enum gfs_err err;
};

/* One map on its way. Freed when every thread was joined. */
struct pool_writes {
    struct pool_writes *next; /* in pool->late_writes */
    pthread_mutex_t lock;
    struct gfs_cond cond;
    uint32_t pending; /* guarded by lock */
    char *text;
    size_t len;
    uint32_t count;
    struct job jobs[];
};

static void *write_one(void *arg)
{
    struct job *job = arg;
    struct pool_writes *writes = job->writes;
    struct gfs_error error = {0};
    enum gfs_err err = pool_map_file_store(job->path, &job->root, job->id,
                                           gfs_slice_of(writes->text, writes->len), &error);
    if (err != GFS_OK) {
        gfs_log(GFS_LOG_WARN, "op=map-write err=%s msg=\"%s\"", gfs_err_name(err), error.text);
    }
    (void)pthread_mutex_lock(&writes->lock);
    job->err = err;
    job->is_done = true;
    writes->pending--;
    gfs_cond_signal(&writes->cond);
    (void)pthread_mutex_unlock(&writes->lock);
    return NULL;
}

static void free_writes(struct pool_writes *writes)
{
    for (uint32_t i = 0; i < writes->count; i++) {
        if (writes->jobs[i].has_thread) {
            (void)pthread_join(writes->jobs[i].thread, NULL);
        }
    }
    (void)pthread_mutex_destroy(&writes->lock);
    gfs_cond_fini(&writes->cond);
    free(writes->text);
    free(writes);
}

static struct pool_writes *new_writes(struct gfs_slice text,
                                      struct pool_disk *const disks[POOL_DISKS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < POOL_DISKS_MAX; i++) {
        count += disks[i] != NULL ? 1 : 0;
    }
    struct pool_writes *writes = gfs_alloc(sizeof *writes + count * sizeof writes->jobs[0]);
    (void)pthread_mutex_init(&writes->lock, NULL);
    gfs_cond_init(&writes->cond);
    writes->text = gfs_alloc(text.len + 1);
    memcpy(writes->text, text.ptr, text.len);
    writes->len = text.len;
    for (uint16_t i = 0; i < POOL_DISKS_MAX; i++) {
        if (disks[i] != NULL) {
            struct job *job = &writes->jobs[writes->count++];
            *job = (struct job){.writes = writes, .index = i};
            memcpy(job->path, disks[i]->path, sizeof job->path);
            memcpy(job->id, disks[i]->id, sizeof job->id);
            job->root = disks[i]->root;
        }
    }
    return writes;
}

static void start(struct pool_writes *writes)
{
    writes->pending = writes->count;
    for (uint32_t i = 0; i < writes->count; i++) {
        struct job *job = &writes->jobs[i];
        job->has_thread = pthread_create(&job->thread, NULL, write_one, job) == 0;
        if (!job->has_thread) { /* no memory for a thread: it is done here */
            (void)write_one(job);
        }
    }
}

/* Answers whether all are done. */
static bool wait_for(struct pool_writes *writes, uint32_t wait_ms)
{
    int64_t until_ns = gfs_monotonic_ns() + (int64_t)wait_ms * 1000000;
    bool has_time = true;
    (void)pthread_mutex_lock(&writes->lock);
    while (writes->pending != 0 && has_time) {
        has_time = gfs_cond_wait_until(&writes->cond, &writes->lock, until_ns);
    }
    bool is_done = writes->pending == 0;
    (void)pthread_mutex_unlock(&writes->lock);
    return is_done;
}

static void reap_late(struct pool *pool)
{
    struct pool_writes **link = &pool->late_writes;
    while (*link != NULL) {
        struct pool_writes *writes = *link;
        (void)pthread_mutex_lock(&writes->lock);
        bool is_done = writes->pending == 0;
        (void)pthread_mutex_unlock(&writes->lock);
        if (is_done) {
            *link = writes->next;
            free_writes(writes);
        } else {
            link = &writes->next;
        }
    }
}

/* A full one lacks nothing but the map. */
static void drop_failed(struct pool *pool, struct pool_disk *const disks[POOL_DISKS_MAX],
                        const enum gfs_err results[POOL_DISKS_MAX])
{
    for (uint32_t i = 0; i < POOL_DISKS_MAX; i++) {
        if (disks[i] == NULL || results[i] == GFS_OK || results[i] == GFS_NO_SPACE) {
            continue;
        }
        if (results[i] == GFS_IO || results[i] == GFS_TIMEOUT) {
            pool_disk_drop(pool, disks[i], results[i], "map");
        } else { /* it is not the disk it was */
            pool_disk_distrust(pool, disks[i], results[i], "map");
        }
    }
}

static void write_text(struct pool *pool, struct gfs_slice text,
                       struct pool_disk *const disks[POOL_DISKS_MAX],
                       enum gfs_err ret[POOL_DISKS_MAX])
{
    struct pool_writes *writes = new_writes(text, disks);
    start(writes);
    bool is_done = wait_for(writes, POOL_MAP_WRITE_LIMIT_MS);
    (void)pthread_mutex_lock(&writes->lock);
    for (uint32_t i = 0; i < writes->count; i++) {
        const struct job *job = &writes->jobs[i];
        ret[job->index] = job->is_done ? job->err : GFS_TIMEOUT;
    }
    (void)pthread_mutex_unlock(&writes->lock);
    drop_failed(pool, disks, ret);
    if (is_done) {
        free_writes(writes);
    } else {
        writes->next = pool->late_writes;
        pool->late_writes = writes;
    }
    reap_late(pool);
}

enum gfs_err pool_map_write(struct pool *pool, const struct pool_map *map,
                            struct pool_disk *const disks[POOL_DISKS_MAX],
                            enum gfs_err ret[POOL_DISKS_MAX], struct gfs_error *error)
{
    enum gfs_err err = pool_map_check(map, error);
    if (err != GFS_OK) {
        return err;
    }
    struct gfs_buf text;
    gfs_buf_init(&text, POOL_MAP_TEXT_MAX);
    pool_map_encode(map, &text);
    if (text.is_full) {
        err = gfs_fail(error, GFS_TOO_BIG, "the map is larger than %d bytes", POOL_MAP_TEXT_MAX);
    } else {
        write_text(pool, gfs_buf_slice(&text), disks, ret);
    }
    gfs_buf_fini(&text);
    return err;
}

bool pool_map_write_is_late(struct pool *pool, const char *path)
{
    reap_late(pool);
    for (struct pool_writes *writes = pool->late_writes; writes != NULL; writes = writes->next) {
        for (uint32_t i = 0; i < writes->count; i++) {
            (void)pthread_mutex_lock(&writes->lock);
            bool is_late = !writes->jobs[i].is_done && strcmp(writes->jobs[i].path, path) == 0;
            (void)pthread_mutex_unlock(&writes->lock);
            if (is_late) {
                return true;
            }
        }
    }
    return false;
}

bool pool_map_write_end(struct pool *pool, uint32_t wait_ms)
{
    while (pool->late_writes != NULL && wait_for(pool->late_writes, wait_ms)) {
        struct pool_writes *writes = pool->late_writes;
        pool->late_writes = writes->next;
        free_writes(writes);
    }
    return pool->late_writes == NULL;
}
