/* Latency histogram with logarithmic buckets: 64 to each power of two, so a value read back is at
 * most 1.6 % off; the maximum is exact. Owned by one thread at a time. */
#pragma once

#include <stdint.h>

enum { LOAD_HIST_SUB = 64, LOAD_HIST_COUNT = 64 * LOAD_HIST_SUB };

/* Plain data; zeroed = empty. */
struct load_hist {
    uint64_t count;
    uint64_t max_ns;
    uint64_t buckets[LOAD_HIST_COUNT];
};

void load_hist_add(struct load_hist *hist, uint64_t value_ns);
void load_hist_merge(struct load_hist *into, const struct load_hist *from);
/* The value that `permille` of 1,000 values do not exceed; 0 when empty. */
uint64_t load_hist_quantile_ns(const struct load_hist *hist, uint64_t permille);
