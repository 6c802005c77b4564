/* Small seeded random numbers, the same on every machine. */
#pragma once

#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_u64(struct random *random)
{
    uint64_t z = random->state += 0x9E3779B97F4A7C15ULL; /* splitmix64 */
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
}

/* 0..limit-1 */
static inline uint32_t random_below(struct random *random, uint32_t limit)
{
    return (uint32_t)((random_u64(random) >> 32) * limit >> 32);
}
