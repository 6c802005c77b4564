#include "pool/pool_pace.h"

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

enum { SECOND_NS = 1000000000, BURST_NS = SECOND_NS / 10 };

void pool_pace_init(struct pool_pace *pace, uint64_t rate)
{
    *pace = (struct pool_pace){.rate = rate};
    gfs_cond_init(&pace->changed);
    int rc = pthread_mutex_init(&pace->lock, NULL);
    GFS_ASSERT(rc == 0);
}

void pool_pace_fini(struct pool_pace *pace)
{
    gfs_cond_fini(&pace->changed);
    (void)pthread_mutex_destroy(&pace->lock);
}

void pool_pace_stop(struct pool_pace *pace)
{
    (void)pthread_mutex_lock(&pace->lock);
    pace->is_stopped = true;
    gfs_cond_broadcast(&pace->changed);
    (void)pthread_mutex_unlock(&pace->lock);
}

void pool_pace_wake(struct pool_pace *pace)
{
    (void)pthread_mutex_lock(&pace->lock);
    pace->is_woken = true;
    gfs_cond_broadcast(&pace->changed);
    (void)pthread_mutex_unlock(&pace->lock);
}

void pool_pace_set_rate(struct pool_pace *pace, uint64_t rate)
{
    (void)pthread_mutex_lock(&pace->lock);
    pace->rate = rate;
    pace->free_ns = 0; /* what was spent at the old rate is forgiven */
    gfs_cond_broadcast(&pace->changed);
    (void)pthread_mutex_unlock(&pace->lock);
}

bool pool_pace_is_stopped(struct pool_pace *pace)
{
    (void)pthread_mutex_lock(&pace->lock);
    bool is_stopped = pace->is_stopped;
    (void)pthread_mutex_unlock(&pace->lock);
    return is_stopped;
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
        int64_t until_ns = GFS_MIN(paid_ns, pace->free_ns);
        if (until_ns <= gfs_monotonic_ns()) {
            break;
        }
        (void)gfs_cond_wait_until(&pace->changed, &pace->lock, until_ns);
    }
    bool goes_on = !pace->is_stopped;
    (void)pthread_mutex_unlock(&pace->lock);
    return goes_on;
}

bool pool_pace_sleep(struct pool_pace *pace, uint64_t ms)
{
    int64_t until_ns = gfs_monotonic_ns() + (int64_t)ms * 1000000;
    (void)pthread_mutex_lock(&pace->lock);
    bool has_time = true;
    while (!pace->is_stopped && !pace->is_woken && has_time) {
        has_time = gfs_cond_wait_until(&pace->changed, &pace->lock, until_ns);
    }
    pace->is_woken = false;
    bool goes_on = !pace->is_stopped;
    (void)pthread_mutex_unlock(&pace->lock);
    return goes_on;
}
