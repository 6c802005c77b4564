/* The pace of background work: how many bytes a second it may move all together, and a sleep that
 * others can end; threads that move nothing use the sleep alone. One thread sleeps; any thread
 * spends, stops, wakes and sets the rate. Who spends first is served first: bytes that others spend
 * later are not waited for. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "libgoodfs/cond.h"

/* Guarded by lock. */
struct pool_pace {
    pthread_mutex_t lock;
    struct gfs_cond changed;
    bool is_stopped; /* for good */
    bool is_woken;   /* since the last sleep */
    uint64_t rate;   /* bytes a second, 0 = no limit */
    int64_t free_ns; /* monotonic; when what was spent so far is paid for */
};

void pool_pace_init(struct pool_pace *pace, uint64_t rate);
void pool_pace_fini(struct pool_pace *pace);
void pool_pace_stop(struct pool_pace *pace);
void pool_pace_wake(struct pool_pace *pace); /* ends a sleep, or the next one; never blocks */
void pool_pace_set_rate(struct pool_pace *pace, uint64_t rate);
bool pool_pace_is_stopped(struct pool_pace *pace);

/* Pays for bytes: waits until they fit the rate, a tenth of a second's worth being free. False:
 * stopped. */
bool pool_pace_spend(struct pool_pace *pace, uint64_t bytes);
/* Until woken, stopped or the time is over. False: stopped. */
bool pool_pace_sleep(struct pool_pace *pace, uint64_t ms);
