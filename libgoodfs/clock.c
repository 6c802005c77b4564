#include "libgoodfs/clock.h"

#include <stdatomic.h>
#include <time.h>

#include "libgoodfs/mem.h"

/* Stays 0 outside tests. */
static _Atomic int64_t clock_shift_ms;

int64_t gfs_wall_ms(void)
{
    struct timespec now;
    int rc = clock_gettime(CLOCK_REALTIME, &now);
    GFS_ASSERT(rc == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 +
           atomic_load_explicit(&clock_shift_ms, memory_order_relaxed);
}

int64_t gfs_monotonic_ns(void)
{
    struct timespec now;
    int rc = clock_gettime(CLOCK_BOOTTIME, &now);
    GFS_ASSERT(rc == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void gfs_clock_shift_wall_ms(int64_t shift_ms)
{
    atomic_fetch_add_explicit(&clock_shift_ms, shift_ms, memory_order_relaxed);
}
