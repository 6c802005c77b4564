#include "pool/pool_pace.h"

#include <time.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

enum { SECOND_NS = 1000000000, BURST_NS = SECOND_NS / 10 };

void pool_pace_init(struct pool_pace *pace, uint64_t rate)
{
    *pace = (struct pool_pace){.rate = rate};
    pthread_condattr_t attributes;
    int rc = pthread_condattr_init(&attributes);
    GFS_ASSERT(rc == 0);
    rc = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    GFS_ASSERT(rc == 0);
    rc = pthread_cond_init(&pace->changed, &attributes);
    GFS_ASSERT(rc == 0);
    (void)pthread_condattr_destroy(&attributes);
    rc = pthread_mutex_init(&pace->lock, NULL);
    GFS_ASSERT(rc == 0);
}

void pool_pace_fini(struct pool_pace *pace)
{
    (void)pthread_cond_destroy(&pace->changed);
    (void)pthread_mutex_destroy(&pace->lock);
}

void pool_pace_stop(struct pool_pace *pace)
{
    (void)pthread_mutex_lock(&pace->lock);
    pace->is_stopped = true;
    (void)pthread_cond_broadcast(&pace->changed);
    (void)pthread_mutex_unlock(&pace->lock);
}

void pool_pace_wake(struct pool_pace *pace)
{
    (void)pthread_mutex_lock(&pace->lock);
    pace->is_woken = true;
    (void)pthread_cond_broadcast(&pace->changed);
    (void)pthread_mutex_unlock(&pace->lock);
}

void pool_pace_set_rate(struct pool_pace *pace, uint64_t rate)
{
    (void)pthread_mutex_lock(&pace->lock);
    pace->rate = rate;
    pace->free_ns = 0; /* what was spent at the old rate is forgiven */
    (void)pthread_cond_broadcast(&pace->changed);
    (void)pthread_mutex_unlock(&pace->lock);
}

bool pool_pace_is_stopped(struct pool_pace *pace)
{
    (void)pthread_mutex_lock(&pace->lock);
    bool is_stopped = pace->is_stopped;
    (void)pthread_mutex_unlock(&pace->lock);
    return is_stopped;
}

static struct timespec after(int64_t ns)
{
    struct timespec at;
    int rc = clock_gettime(CLOCK_MONOTONIC, &at);
    GFS_ASSERT(rc == 0);
    ns += at.tv_nsec;
    at.tv_sec += ns / SECOND_NS;
    at.tv_nsec = ns % SECOND_NS;
    return at;
}

bool pool_pace_spend(struct pool_pace *pace, uint64_t bytes)
{
    (void)pthread_mutex_lock(&pace->lock);
    if (pace->rate != 0) {
        int64_t now_ns = gfs_monotonic_ns();
        double cost_ns = (double)bytes * SECOND_NS / (double)pace->rate;
        pace->free_ns = GFS_MAX(pace->free_ns, now_ns - BURST_NS) + (int64_t)cost_ns;
    }
    int64_t paid_ns = pace->free_ns;
    while (!pace->is_stopped && pace->rate != 0) {
        /* earlier than paid_ns: a new rate forgave what was spent */
        int64_t wait_ns = GFS_MIN(paid_ns, pace->free_ns) - gfs_monotonic_ns();
        if (wait_ns <= 0) {
            break;
        }
        struct timespec until = after(wait_ns);
        (void)pthread_cond_timedwait(&pace->changed, &pace->lock, &until);
    }
    bool goes_on = !pace->is_stopped;
    (void)pthread_mutex_unlock(&pace->lock);
    return goes_on;
}

bool pool_pace_sleep(struct pool_pace *pace, uint64_t ms)
{
    struct timespec until = after((int64_t)ms * 1000000);
    (void)pthread_mutex_lock(&pace->lock);
    int rc = 0;
    while (!pace->is_stopped && !pace->is_woken && rc == 0) {
        rc = pthread_cond_timedwait(&pace->changed, &pace->lock, &until);
    }
    pace->is_woken = false;
    bool goes_on = !pace->is_stopped;
    (void)pthread_mutex_unlock(&pace->lock);
    return goes_on;
}
