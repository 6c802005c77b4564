/* One thread more than work stands by, as long as one may be added: it looks at how long the first
 * job has waited, becomes a worker when that is too long, and starts the next one to stand by. */
#include "gateway/worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"

#define NS_PER_MS 1000000LL

/* Guarded by lock, except the limits, which are immutable. */
struct worker_pool {
    pthread_mutex_t lock;
    struct gfs_cond wake; /* a job for an idle worker */
    struct gfs_cond late; /* for who stands by: jobs wait */
    struct worker_job *head, **tail;
    uint32_t queued_count, queue_max, idle_count;
    int64_t late_ns;
    bool is_stopping;
    bool is_timed; /* who stands by knows that jobs wait */
    uint32_t thread_count, thread_max;
    pthread_t threads[];
};

static void work_locked(struct worker_pool *pool)
{
    for (;;) {
        while (pool->head == NULL && !pool->is_stopping) {
            pool->idle_count++;
            gfs_cond_wait(&pool->wake, &pool->lock);
            pool->idle_count--;
        }
        struct worker_job *job = pool->head;
        if (job == NULL) {
            return;
        }
        pool->head = job->next;
        if (pool->head == NULL) {
            pool->tail = &pool->head;
        }
        pool->queued_count--;
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        pthread_mutex_lock(&pool->lock);
    }
}

static void *worker_main(void *arg)
{
    struct worker_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    work_locked(pool);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static bool start_locked(struct worker_pool *pool, void *(*run)(void *arg))
{
    pthread_t *thread = &pool->threads[pool->thread_count];
    bool is_started = pthread_create(thread, NULL, run, pool) == 0;
    if (is_started) {
        (void)pthread_setname_np(*thread, "worker");
        pool->thread_count++;
    }
    return is_started;
}

/* Until a job has waited for too long; false: the pool stops. */
static bool stand_by_locked(struct worker_pool *pool)
{
    while (!pool->is_stopping) {
        pool->is_timed = pool->head != NULL;
        if (!pool->is_timed) {
            gfs_cond_wait(&pool->late, &pool->lock);
        } else if (!gfs_cond_wait_until(&pool->late, &pool->lock,
                                        pool->head->queued_ns + pool->late_ns) &&
                   pool->head != NULL &&
                   gfs_monotonic_ns() - pool->head->queued_ns >= pool->late_ns) {
            pool->is_timed = false;
            return true;
        }
    }
    return false;
}

static void *standby_main(void *arg)
{
    struct worker_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    if (stand_by_locked(pool)) {
        gfs_log(GFS_LOG_WARN,
                "op=worker threads=%u msg=\"all are busy, perhaps with a disk that "
                "hangs: one more\"",
                pool->thread_count);
        if (pool->thread_count < pool->thread_max) {
            (void)start_locked(pool, standby_main);
        }
        work_locked(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct worker_pool *worker_pool_new(const struct worker_options *options)
{
    GFS_ASSERT(options->thread_count > 0);
    uint32_t thread_max = options->thread_count + options->extra_max;
    struct worker_pool *pool = gfs_alloc(sizeof *pool + thread_max * sizeof pool->threads[0]);
    pool->tail = &pool->head;
    pool->queue_max = options->queue_max;
    pool->late_ns = options->late_ms * NS_PER_MS;
    pool->thread_max = thread_max;
    pthread_mutex_init(&pool->lock, NULL);
    gfs_cond_init(&pool->wake);
    gfs_cond_init(&pool->late);
    pthread_mutex_lock(&pool->lock);
    for (uint32_t i = 0; i < options->thread_count; i++) {
        bool is_started = start_locked(pool, worker_main);
        GFS_ASSERT(is_started);
    }
    if (options->extra_max > 0) {
        (void)start_locked(pool, standby_main);
    }
    pthread_mutex_unlock(&pool->lock);
    return pool;
}

void worker_pool_free(struct worker_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true; /* and no thread is added any more */
    gfs_cond_broadcast(&pool->wake);
    gfs_cond_broadcast(&pool->late);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    gfs_cond_fini(&pool->late);
    gfs_cond_fini(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

bool worker_submit(struct worker_pool *pool, struct worker_job *job)
{
    job->next = NULL;
    job->queued_ns = gfs_monotonic_ns();
    pthread_mutex_lock(&pool->lock);
    bool is_taken = pool->queued_count < pool->queue_max && !pool->is_stopping;
    if (is_taken) {
        *pool->tail = job;
        pool->tail = &job->next;
        pool->queued_count++;
        if (pool->idle_count > 0) {
            gfs_cond_signal(&pool->wake);
        }
        if (pool->queued_count > pool->idle_count && !pool->is_timed) {
            gfs_cond_signal(&pool->late);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return is_taken;
}
