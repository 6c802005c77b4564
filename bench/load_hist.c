#include "bench/load_hist.h"

#include <stddef.h>

#include "libgoodfs/mem.h"

/* Values below 64 have a bucket each; above, the top bit picks the row, the next six the cell. */
static size_t bucket_of(uint64_t value)
{
    if (value < LOAD_HIST_SUB) {
        return (size_t)value;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - 6u;
    return (size_t)(shift + 1) * LOAD_HIST_SUB + (size_t)((value >> shift) - LOAD_HIST_SUB);
}

/* The middle of a bucket. */
static uint64_t value_of(size_t bucket)
{
    if (bucket < LOAD_HIST_SUB) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / LOAD_HIST_SUB) - 1u;
    uint64_t low = (uint64_t)(LOAD_HIST_SUB + bucket % LOAD_HIST_SUB) << shift;
    return low + ((1ULL << shift) >> 1);
}

void load_hist_add(struct load_hist *hist, uint64_t value_ns)
{
    hist->buckets[bucket_of(value_ns)]++;
    hist->count++;
    hist->max_ns = GFS_MAX(hist->max_ns, value_ns);
}

void load_hist_merge(struct load_hist *into, const struct load_hist *from)
{
    for (size_t i = 0; i < LOAD_HIST_COUNT; i++) {
        into->buckets[i] += from->buckets[i];
    }
    into->count += from->count;
    into->max_ns = GFS_MAX(into->max_ns, from->max_ns);
}

uint64_t load_hist_quantile_ns(const struct load_hist *hist, uint64_t permille)
{
    GFS_ASSERT(permille <= 1000);
    uint64_t rank = (hist->count * permille + 999) / 1000, seen = 0;
    for (size_t i = 0; i < LOAD_HIST_COUNT && rank != 0; i++) {
        seen += hist->buckets[i];
        if (seen >= rank) {
            return GFS_MIN(value_of(i), hist->max_ns);
        }
    }
    return 0;
}
