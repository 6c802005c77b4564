/* Chunk ids: hi is drawn once per process from the kernel, lo counts. Two processes collide only
 * when they draw the same 64 bits, and then only for equal counters. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>

#include "libgoodfs/chunk_store.h"
#include "libgoodfs/mem.h"

/* Process-wide on purpose: an id must be unique over all stores of a process. */
static pthread_once_t id_once = PTHREAD_ONCE_INIT;
static uint64_t id_hi;
static _Atomic uint64_t id_lo;

static void draw_prefix(void)
{
    while (id_hi == 0) { /* an all-zero id means none */
        ssize_t len = getrandom(&id_hi, sizeof id_hi, 0);
        GFS_ASSERT(len == (ssize_t)sizeof id_hi);
    }
}

struct chunk_id chunk_id_new(void)
{
    (void)pthread_once(&id_once, draw_prefix);
    uint64_t lo = atomic_fetch_add_explicit(&id_lo, 1, memory_order_relaxed);
    return (struct chunk_id){.hi = id_hi, .lo = lo + 1};
}
