/* One kernel in GCC vector extensions, compiled for each instruction set: the compiler makes the
 * rotations and the three-input functions of the target, so there is no second source to keep
 * equal. Messages are transposed through memory, which overlaps with the dependent steps. */
#include "libgoodfs/md5_lanes.h"

#include <stdlib.h>
#include <string.h>

#include "libgoodfs/digest.h"
#include "libgoodfs/mem.h"

typedef uint32_t vector __attribute__((vector_size(4 * GFS_MD5_LANES)));

/* RFC 1321: the function of each round, with the usual reductions to fewer operations. */
#define F1(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define F2(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
#define F3(x, y, z) ((x) ^ (y) ^ (z))
#define F4(x, y, z) ((y) ^ ((x) | ~(z)))
#define STEP(f, a, b, c, d, k, s, t)                                                               \
    do {                                                                                           \
        (a) += f(b, c, d) + words[k] + (t);                                                        \
        (a) = (((a) << (s)) | ((a) >> (32 - (s)))) + (b);                                          \
    } while (0)
#define ROUND1(f, k0, k1, k2, k3, s0, s1, s2, s3, t0, t1, t2, t3)                                  \
    do {                                                                                           \
        STEP(f, a, b, c, d, k0, s0, t0);                                                           \
        STEP(f, d, a, b, c, k1, s1, t1);                                                           \
        STEP(f, c, d, a, b, k2, s2, t2);                                                           \
        STEP(f, b, c, d, a, k3, s3, t3);                                                           \
    } while (0)

static inline __attribute__((always_inline)) void transpose(const uint8_t *const *ptrs,
                                                            uint32_t stream_count, size_t offset,
                                                            uint32_t plain[16][GFS_MD5_LANES],
                                                            vector words[16])
{
    for (uint32_t lane = 0; lane < stream_count; lane++) {
        const uint8_t *ptr = ptrs[lane] + offset;
        for (uint32_t i = 0; i < 16; i++) {
            memcpy(&plain[i][lane], ptr + (size_t)i * 4, 4);
        }
    }
    memcpy(words, plain, 16 * sizeof words[0]);
}

static inline __attribute__((always_inline)) void rounds(vector words[16], vector *pa, vector *pb,
                                                         vector *pc, vector *pd)
{
    vector a = *pa;
    vector b = *pb;
    vector c = *pc;
    vector d = *pd;
    ROUND1(F1, 0, 1, 2, 3, 7, 12, 17, 22, 0xd76aa478u, 0xe8c7b756u, 0x242070dbu, 0xc1bdceeeu);
    ROUND1(F1, 4, 5, 6, 7, 7, 12, 17, 22, 0xf57c0fafu, 0x4787c62au, 0xa8304613u, 0xfd469501u);
    ROUND1(F1, 8, 9, 10, 11, 7, 12, 17, 22, 0x698098d8u, 0x8b44f7afu, 0xffff5bb1u, 0x895cd7beu);
    ROUND1(F1, 12, 13, 14, 15, 7, 12, 17, 22, 0x6b901122u, 0xfd987193u, 0xa679438eu, 0x49b40821u);
    ROUND1(F2, 1, 6, 11, 0, 5, 9, 14, 20, 0xf61e2562u, 0xc040b340u, 0x265e5a51u, 0xe9b6c7aau);
    ROUND1(F2, 5, 10, 15, 4, 5, 9, 14, 20, 0xd62f105du, 0x02441453u, 0xd8a1e681u, 0xe7d3fbc8u);
    ROUND1(F2, 9, 14, 3, 8, 5, 9, 14, 20, 0x21e1cde6u, 0xc33707d6u, 0xf4d50d87u, 0x455a14edu);
    ROUND1(F2, 13, 2, 7, 12, 5, 9, 14, 20, 0xa9e3e905u, 0xfcefa3f8u, 0x676f02d9u, 0x8d2a4c8au);
    ROUND1(F3, 5, 8, 11, 14, 4, 11, 16, 23, 0xfffa3942u, 0x8771f681u, 0x6d9d6122u, 0xfde5380cu);
    ROUND1(F3, 1, 4, 7, 10, 4, 11, 16, 23, 0xa4beea44u, 0x4bdecfa9u, 0xf6bb4b60u, 0xbebfbc70u);
    ROUND1(F3, 13, 0, 3, 6, 4, 11, 16, 23, 0x289b7ec6u, 0xeaa127fau, 0xd4ef3085u, 0x04881d05u);
    ROUND1(F3, 9, 12, 15, 2, 4, 11, 16, 23, 0xd9d4d039u, 0xe6db99e5u, 0x1fa27cf8u, 0xc4ac5665u);
    ROUND1(F4, 0, 7, 14, 5, 6, 10, 15, 21, 0xf4292244u, 0x432aff97u, 0xab9423a7u, 0xfc93a039u);
    ROUND1(F4, 12, 3, 10, 1, 6, 10, 15, 21, 0x655b59c3u, 0x8f0ccc92u, 0xffeff47du, 0x85845dd1u);
    ROUND1(F4, 8, 15, 6, 13, 6, 10, 15, 21, 0x6fa87e4fu, 0xfe2ce6e0u, 0xa3014314u, 0x4e0811a1u);
    ROUND1(F4, 4, 11, 2, 9, 6, 10, 15, 21, 0xf7537e82u, 0xbd3af235u, 0x2ad7d2bbu, 0xeb86d391u);
    *pa += a;
    *pb += b;
    *pc += c;
    *pd += d;
}

static inline __attribute__((always_inline)) void blocks(uint32_t (*const *states)[4],
                                                         const uint8_t *const *ptrs,
                                                         uint32_t stream_count, size_t block_count)
{
    vector sum[4];
    uint32_t plain[4][GFS_MD5_LANES];
    for (uint32_t lane = 0; lane < GFS_MD5_LANES; lane++) {
        for (uint32_t i = 0; i < 4; i++) {
            plain[i][lane] = (*states[lane < stream_count ? lane : 0])[i];
        }
    }
    memcpy(sum, plain, sizeof sum);
    uint32_t message[16][GFS_MD5_LANES] = {{0}}; /* lanes without a stream stay zero */
    for (size_t block = 0; block < block_count; block++) {
        vector words[16];
        transpose(ptrs, stream_count, block * 64, message, words);
        rounds(words, &sum[0], &sum[1], &sum[2], &sum[3]);
    }
    memcpy(plain, sum, sizeof sum);
    for (uint32_t lane = 0; lane < stream_count; lane++) {
        for (uint32_t i = 0; i < 4; i++) {
            (*states[lane])[i] = plain[i][lane];
        }
    }
}

static void blocks_portable(uint32_t (*const *states)[4], const uint8_t *const *ptrs,
                            uint32_t stream_count, size_t block_count)
{
    blocks(states, ptrs, stream_count, block_count);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void blocks_avx2(uint32_t (*const *states)[4],
                                                        const uint8_t *const *ptrs,
                                                        uint32_t stream_count, size_t block_count)
{
    blocks(states, ptrs, stream_count, block_count);
}

__attribute__((target("avx512f,avx512vl"))) static void blocks_avx512(uint32_t (*const *states)[4],
                                                                      const uint8_t *const *ptrs,
                                                                      uint32_t stream_count,
                                                                      size_t block_count)
{
    blocks(states, ptrs, stream_count, block_count);
}
#endif

bool gfs_md5_lanes_blocks(int kind, uint32_t (*const *states)[4], const uint8_t *const *ptrs,
                          uint32_t stream_count, size_t block_count)
{
    GFS_ASSERT(stream_count >= 1 && stream_count <= GFS_MD5_LANES);
#if defined(__x86_64__)
    bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
    bool has_avx2 = __builtin_cpu_supports("avx2");
    if ((kind == 2 || kind == -1) && has_avx512) {
        blocks_avx512(states, ptrs, stream_count, block_count);
        return true;
    }
    if ((kind == 1 || kind == -1) && has_avx2) {
        blocks_avx2(states, ptrs, stream_count, block_count);
        return true;
    }
#endif
    if (kind > 0) {
        return false;
    }
    blocks_portable(states, ptrs, stream_count, block_count);
    return true;
}

/* ---- streams ---- */

struct gfs_md5_lane {
    struct gfs_md5_pool *pool;
    uint32_t state[4];
    uint64_t len;  /* bytes in state */
    uint8_t *fill; /* being filled */
    size_t fill_len;
    uint8_t *other; /* spare, or queued when is_queued */
    bool is_queued;
};

struct gfs_md5_pool {
    uint32_t queued_count;
    uint32_t simd_min; /* from this many streams on the kernel beats one at a time */
    struct gfs_md5_lane *queued[GFS_MD5_LANES];
};

struct gfs_md5_pool *gfs_md5_pool_new(void)
{
    struct gfs_md5_pool *pool = gfs_alloc(sizeof *pool);
    pool->simd_min = 6;
#if defined(__x86_64__)
    pool->simd_min = __builtin_cpu_supports("avx512vl") ? 2
                     : __builtin_cpu_supports("avx2")   ? 3
                                                        : 6;
#endif
    return pool;
}

void gfs_md5_pool_free(struct gfs_md5_pool *pool)
{
    GFS_ASSERT(pool == NULL || pool->queued_count == 0);
    free(pool);
}

static void run_queue(struct gfs_md5_pool *pool)
{
    enum { BLOCKS = GFS_MD5_LANE_SIZE / 64 };
    uint32_t(*states[GFS_MD5_LANES])[4];
    const uint8_t *ptrs[GFS_MD5_LANES];
    uint32_t count = pool->queued_count;
    for (uint32_t i = 0; i < count; i++) {
        struct gfs_md5_lane *lane = pool->queued[i];
        states[i] = &lane->state;
        ptrs[i] = lane->other;
        lane->len += GFS_MD5_LANE_SIZE;
        lane->is_queued = false;
    }
    pool->queued_count = 0;
    if (count >= pool->simd_min) {
        (void)gfs_md5_lanes_blocks(-1, states, ptrs, count, BLOCKS);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        gfs_md5_blocks(*states[i], ptrs[i], BLOCKS);
    }
}

struct gfs_md5_lane *gfs_md5_lane_new(struct gfs_md5_pool *pool)
{
    static const uint32_t start[4] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u};
    struct gfs_md5_lane *lane = gfs_alloc(sizeof *lane);
    lane->pool = pool;
    memcpy(lane->state, start, sizeof start);
    lane->fill = gfs_alloc_aligned(64, GFS_MD5_LANE_SIZE);
    lane->other = gfs_alloc_aligned(64, GFS_MD5_LANE_SIZE);
    return lane;
}

void gfs_md5_lane_free(struct gfs_md5_lane *lane)
{
    if (lane == NULL) {
        return;
    }
    if (lane->is_queued) {
        run_queue(lane->pool);
    }
    free(lane->fill);
    free(lane->other);
    free(lane);
}

static void queue_block(struct gfs_md5_lane *lane)
{
    struct gfs_md5_pool *pool = lane->pool;
    if (lane->is_queued || pool->queued_count == GFS_MD5_LANES) {
        run_queue(pool);
    }
    uint8_t *full = lane->fill;
    lane->fill = lane->other;
    lane->other = full;
    lane->fill_len = 0;
    lane->is_queued = true;
    pool->queued[pool->queued_count++] = lane;
}

void gfs_md5_lane_add(struct gfs_md5_lane *lane, const void *ptr, size_t len)
{
    const uint8_t *bytes = ptr;
    while (len > 0) {
        size_t room = GFS_MD5_LANE_SIZE - lane->fill_len;
        size_t taken = GFS_MIN(len, room);
        memcpy(lane->fill + lane->fill_len, bytes, taken);
        lane->fill_len += taken;
        bytes += taken;
        len -= taken;
        if (lane->fill_len == GFS_MD5_LANE_SIZE) {
            queue_block(lane);
        }
    }
}

void gfs_md5_lane_fini(struct gfs_md5_lane *lane, uint8_t ret[16])
{
    if (lane->is_queued) {
        run_queue(lane->pool);
    }
    gfs_md5_finish(lane->state, lane->len, lane->fill, lane->fill_len, ret);
}
