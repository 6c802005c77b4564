/* Chunk ids: hi is drawn once per process from the kernel, the serial in lo counts. Two processes
 * collide only when they draw the same 64 bits, and then only for equal counters. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>

#include "libgoodfs/chunk_store.h"
#include "libgoodfs/mem.h"

/* Process-wide on purpose: an id must be unique over all stores of a process. */
static pthread_once_t id_once = PTHREAD_ONCE_INIT;
static uint64_t id_hi;
static _Atomic uint64_t id_serial;

static void draw_prefix(void)
{
    while (id_hi == 0) { /* an all-zero id means none */
        ssize_t len = getrandom(&id_hi, sizeof id_hi, 0);
        GFS_ASSERT(len == (ssize_t)sizeof id_hi);
    }
}

struct chunk_id chunk_id_new(uint32_t group)
{
    GFS_ASSERT(group <= CHUNK_GROUP_MAX);
    (void)pthread_once(&id_once, draw_prefix);
    uint64_t serial = atomic_fetch_add_explicit(&id_serial, 1, memory_order_relaxed) + 1;
    uint64_t in_lo = serial & ((1ULL << CHUNK_SERIAL_BITS) - 1);
    return (struct chunk_id){
        .hi = id_hi + (serial >> CHUNK_SERIAL_BITS), /* goes on when the serial is used up */
        .lo = (uint64_t)group << (CHUNK_SLOT_BITS + CHUNK_SERIAL_BITS) | in_lo << CHUNK_SLOT_BITS,
    };
}

uint32_t chunk_list_part(struct chunk_id id)
{
    /* hi is the same for all chunks of a run, so the serial must spread: a multiplicative hash. */
    uint64_t key = id.hi ^ (id.lo >> CHUNK_SLOT_BITS);
    return (uint32_t)(key * 0x9E3779B97F4A7C15ULL >> 54);
}
