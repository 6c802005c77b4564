#include "gateway/worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

/* Guarded by lock, except threads and the counts, which are immutable. */
struct worker_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct worker_job *head, **tail;
    uint32_t queued_count, queue_max, idle_count;
    bool is_stopping;
    uint32_t thread_count;
    pthread_t threads[];
};

static void *worker_main(void *arg)
{
    struct worker_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->head == NULL && !pool->is_stopping) {
            pool->idle_count++;
            pthread_cond_wait(&pool->wake, &pool->lock);
            pool->idle_count--;
        }
        struct worker_job *job = pool->head;
        if (job == NULL) {
            break;
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
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct worker_pool *worker_pool_new(uint32_t thread_count, uint32_t queue_max)
{
    GFS_ASSERT(thread_count > 0);
    struct worker_pool *pool =
        gfs_alloc(sizeof *pool + (size_t)thread_count * sizeof pool->threads[0]);
    pool->tail = &pool->head;
    pool->queue_max = queue_max;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (uint32_t i = 0; i < thread_count; i++) {
        int rc = pthread_create(&pool->threads[i], NULL, worker_main, pool);
        GFS_ASSERT(rc == 0);
        (void)pthread_setname_np(pool->threads[i], "worker");
        pool->thread_count++;
    }
    return pool;
}

void worker_pool_free(struct worker_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

bool worker_submit(struct worker_pool *pool, struct worker_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&pool->lock);
    bool is_taken = pool->queued_count < pool->queue_max && !pool->is_stopping;
    if (is_taken) {
        *pool->tail = job;
        pool->tail = &job->next;
        pool->queued_count++;
        if (pool->idle_count > 0) {
            pthread_cond_signal(&pool->wake);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return is_taken;
}
