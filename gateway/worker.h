/* Threads for calls that may block (database reads, listings, cold data).
 *
 * A call may hang in a disk for ever. When a job has waited for late_ms because every thread is
 * busy, a thread is added, up to a limit: what hangs in one disk does not stop what others answer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct worker_pool;

/* Embedded in its owner, valid until run was called. */
struct worker_job {
    struct worker_job *next;
    int64_t queued_ns; /* the pool's */
    void (*run)(struct worker_job *job);
};

/* Plain data. */
struct worker_options {
    uint32_t thread_count; /* > 0 */
    uint32_t extra_max;    /* threads that may be added; they stay */
    uint32_t late_ms;      /* what a job may wait before one is; unused without extra_max */
    uint32_t queue_max;    /* jobs waiting; over it worker_submit answers false */
};

struct worker_pool *worker_pool_new(const struct worker_options *options); /* never NULL */
/* Runs everything queued, then joins. NULL allowed. */
void worker_pool_free(struct worker_pool *pool);
/* Any thread. False when the queue is full: the job will not run. */
bool worker_submit(struct worker_pool *pool, struct worker_job *job);
