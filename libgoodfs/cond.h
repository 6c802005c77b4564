/* A condition variable whose deadlines are times of gfs_monotonic_ns: no step of the wall clock
 * makes a wait longer or shorter.
 *
 * As with any condition variable a wait may end for no reason: whoever waits asks in a loop whether
 * what it waits for has come to pass, under the lock that guards it. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Plain data; embedded in its owner, guarded by the lock that its waits are given. */
struct gfs_cond {
    pthread_cond_t cond;
};

void gfs_cond_init(struct gfs_cond *cond);
void gfs_cond_fini(struct gfs_cond *cond); /* nobody may be waiting */

/* Lets go of the lock, which the caller holds, waits for a signal and takes it again. */
void gfs_cond_wait(struct gfs_cond *cond, pthread_mutex_t *lock);

/* The same, but no longer than until gfs_monotonic_ns() is until_ns. Answers false when that time
 * has come, at once if it has come already; true when woken before. While the machine is asleep a
 * wait stands still: it may then end later than until_ns by as long as the machine slept, never
 * earlier. */
bool gfs_cond_wait_until(struct gfs_cond *cond, pthread_mutex_t *lock, int64_t until_ns);

void gfs_cond_signal(struct gfs_cond *cond);    /* wakes one of those who wait, if any do */
void gfs_cond_broadcast(struct gfs_cond *cond); /* wakes all of them */
