#include "libgoodfs/cond.h"

#include <errno.h>
#include <time.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

#define NS_PER_S 1000000000

void gfs_cond_init(struct gfs_cond *cond)
{
    pthread_condattr_t attributes;
    int rc = pthread_condattr_init(&attributes);
    GFS_ASSERT(rc == 0);
    rc = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    GFS_ASSERT(rc == 0);
    rc = pthread_cond_init(&cond->cond, &attributes);
    GFS_ASSERT(rc == 0);
    (void)pthread_condattr_destroy(&attributes);
}

void gfs_cond_fini(struct gfs_cond *cond)
{
    int rc = pthread_cond_destroy(&cond->cond);
    GFS_ASSERT(rc == 0);
}

void gfs_cond_wait(struct gfs_cond *cond, pthread_mutex_t *lock)
{
    int rc = pthread_cond_wait(&cond->cond, lock);
    GFS_ASSERT(rc == 0);
}

/* CLOCK_MONOTONIC, the only one of the two kinds that a condition variable can wait on, stands
 * still while the machine sleeps and gfs_monotonic_ns does not: what counts is how much time is
 * left. */
bool gfs_cond_wait_until(struct gfs_cond *cond, pthread_mutex_t *lock, int64_t until_ns)
{
    int64_t now_ns = gfs_monotonic_ns(); /* read first: the wait never ends too early */
    int64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec at;
    int rc = clock_gettime(CLOCK_MONOTONIC, &at);
    GFS_ASSERT(rc == 0);
    int64_t nsec = at.tv_nsec + left_ns % NS_PER_S;
    at.tv_sec += left_ns / NS_PER_S + nsec / NS_PER_S;
    at.tv_nsec = nsec % NS_PER_S;
    rc = pthread_cond_timedwait(&cond->cond, lock, &at);
    GFS_ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void gfs_cond_signal(struct gfs_cond *cond)
{
    int rc = pthread_cond_signal(&cond->cond);
    GFS_ASSERT(rc == 0);
}

void gfs_cond_broadcast(struct gfs_cond *cond)
{
    int rc = pthread_cond_broadcast(&cond->cond);
    GFS_ASSERT(rc == 0);
}
