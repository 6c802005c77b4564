/* A fixed set of threads for calls that may block (database reads, listings, cold data). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct worker_pool;

/* Embedded in its owner, valid until run was called. */
struct worker_job {
    struct worker_job *next;
    void (*run)(struct worker_job *job);
};

/* queue_max: jobs waiting; over it worker_submit answers false. Never NULL. */
struct worker_pool *worker_pool_new(uint32_t thread_count, uint32_t queue_max);
/* Runs everything queued, then joins. NULL allowed. */
void worker_pool_free(struct worker_pool *pool);
/* Any thread. False when the queue is full: the job will not run. */
bool worker_submit(struct worker_pool *pool, struct worker_job *job);
