/* CRC64NVME (Rocksoft): polynomial 0xAD93D23594C93659, reflected, all-ones before and after.
 *
 * Portable: slicing by 8. Fast: the message is folded with carry-less multiplication. A 128-bit
 * accumulator holds first * x^64 + second (the first eight bytes, in memory order, are the higher
 * half). Moving it D bits ahead multiplies it by x^D: the halves are multiplied by x^(D+64) and x^D
 * mod P and the products added to the block that stands there. The product of two reflected 64-bit
 * values lies one bit too high, hence the exponents D+63 and D-1 below. What is left at the end is
 * 16 bytes with the same remainder as all bytes before, which the tables finish.
 *
 * Tables and constants follow from the polynomial and are computed once, before main. */
#include "libgoodfs/crc.h"

#include <stdbool.h>
#include <string.h>

#include "libgoodfs/mem.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <sys/auxv.h>
#endif

#define POLY 0x9A6C9329AC4BC9B5u /* reflected */

enum { SLICES = 8, BLOCK = 16, LANES = 8, STRIDE = BLOCK * LANES };

/* {x^(D+63) mod P, x^(D-1) mod P}, reflected */
struct fold_key {
    uint64_t first, second;
};

/* Immutable after the constructor. */
static uint64_t table[SLICES][256];
static struct fold_key key_block;  /* D = 128 bits */
static struct fold_key key_stride; /* D = 1024 bits */
static struct fold_key key_wide;   /* D = 512 bits */
static struct fold_key key_wide4;  /* D = 2048 bits */

static uint64_t times_x(uint64_t value)
{
    return (value & 1) != 0 ? (value >> 1) ^ POLY : value >> 1;
}

static uint64_t power_of_x(unsigned exponent)
{
    uint64_t value = 1ULL << 63; /* x^0 */
    for (unsigned i = 0; i < exponent; i++) {
        value = times_x(value);
    }
    return value;
}

static struct fold_key fold_key_of(unsigned bits)
{
    return (struct fold_key){power_of_x(bits + 63), power_of_x(bits - 1)};
}

__attribute__((constructor)) static void crc64nvme_init(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t value = i;
        for (int bit = 0; bit < 8; bit++) {
            value = times_x(value);
        }
        table[0][i] = value;
    }
    for (int slice = 1; slice < SLICES; slice++) {
        for (unsigned i = 0; i < 256; i++) {
            uint64_t before = table[slice - 1][i];
            table[slice][i] = table[0][before & 0xff] ^ (before >> 8);
        }
    }
    key_block = fold_key_of(8 * BLOCK);
    key_stride = fold_key_of(8 * STRIDE);
    key_wide = fold_key_of(8 * 64);
    key_wide4 = fold_key_of(8 * 256);
}

static uint64_t load_le64(const uint8_t *ptr)
{
    uint64_t value;
    memcpy(&value, ptr, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

/* The raw register, without inversions. */
static uint64_t update(uint64_t state, const uint8_t *ptr, size_t len)
{
    for (; len >= 8; ptr += 8, len -= 8) {
        state ^= load_le64(ptr);
        state = table[7][state & 0xff] ^ table[6][(state >> 8) & 0xff] ^
                table[5][(state >> 16) & 0xff] ^ table[4][(state >> 24) & 0xff] ^
                table[3][(state >> 32) & 0xff] ^ table[2][(state >> 40) & 0xff] ^
                table[1][(state >> 48) & 0xff] ^ table[0][state >> 56];
    }
    for (; len > 0; ptr++, len--) {
        state = table[0][(state ^ *ptr) & 0xff] ^ (state >> 8);
    }
    return state;
}

uint64_t gfs_crc64nvme_portable(uint64_t crc, const void *ptr, size_t len)
{
    return ~update(~crc, ptr, len);
}

#if defined(__x86_64__) || defined(__aarch64__)

#if defined(__x86_64__)
#define FOLD_TARGET __attribute__((target("pclmul,sse4.1")))
typedef __m128i block128;

static bool has_carryless(void)
{
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

FOLD_TARGET static inline block128 block_load(const uint8_t *ptr)
{
    return _mm_loadu_si128((const void *)ptr);
}

FOLD_TARGET static inline void block_store(uint8_t *ptr, block128 value)
{
    _mm_storeu_si128((void *)ptr, value);
}

FOLD_TARGET static inline block128 block_add(block128 a, block128 b)
{
    return _mm_xor_si128(a, b);
}

FOLD_TARGET static inline block128 block_of(uint64_t first, uint64_t second)
{
    return _mm_set_epi64x((long long)second, (long long)first);
}

FOLD_TARGET static inline block128 block_fold(block128 value, block128 key)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(value, key, 0x00),
                         _mm_clmulepi64_si128(value, key, 0x11));
}
#else
#if defined(__clang__) /* the two compilers spell it differently */
#define FOLD_TARGET __attribute__((target("aes")))
#else
#define FOLD_TARGET __attribute__((target("+crypto")))
#endif
typedef uint64x2_t block128;

static bool has_carryless(void)
{
    return (getauxval(AT_HWCAP) & (1UL << 4)) != 0; /* HWCAP_PMULL */
}

FOLD_TARGET static inline block128 block_load(const uint8_t *ptr)
{
    return vreinterpretq_u64_u8(vld1q_u8(ptr));
}

FOLD_TARGET static inline void block_store(uint8_t *ptr, block128 value)
{
    vst1q_u8(ptr, vreinterpretq_u8_u64(value));
}

FOLD_TARGET static inline block128 block_add(block128 a, block128 b)
{
    return veorq_u64(a, b);
}

FOLD_TARGET static inline block128 block_of(uint64_t first, uint64_t second)
{
    return vcombine_u64(vcreate_u64(first), vcreate_u64(second));
}

FOLD_TARGET static inline block128 block_fold(block128 value, block128 key)
{
    poly64x2_t a = vreinterpretq_p64_u64(value), b = vreinterpretq_p64_u64(key);
    poly128_t low = vmull_p64(vgetq_lane_p64(a, 0), vgetq_lane_p64(b, 0));
    poly128_t high = vmull_high_p64(a, b);
    return veorq_u64(vreinterpretq_u64_p128(low), vreinterpretq_u64_p128(high));
}
#endif

/* Folds len >= STRIDE bytes; answers the register after all of them. */
FOLD_TARGET static uint64_t update_folding(uint64_t state, const uint8_t *ptr, size_t len)
{
    block128 lane[LANES];
    for (int i = 0; i < LANES; i++) {
        lane[i] = block_load(ptr + BLOCK * i);
    }
    lane[0] = block_add(lane[0], block_of(state, 0));
    ptr += STRIDE;
    len -= STRIDE;
    const block128 stride = block_of(key_stride.first, key_stride.second);
    for (; len >= STRIDE; ptr += STRIDE, len -= STRIDE) {
        for (int i = 0; i < LANES; i++) {
            lane[i] = block_add(block_fold(lane[i], stride), block_load(ptr + BLOCK * i));
        }
    }
    const block128 step = block_of(key_block.first, key_block.second);
    block128 sum = lane[0];
    for (int i = 1; i < LANES; i++) {
        sum = block_add(block_fold(sum, step), lane[i]);
    }
    for (; len >= BLOCK; ptr += BLOCK, len -= BLOCK) {
        sum = block_add(block_fold(sum, step), block_load(ptr));
    }
    uint8_t rest[BLOCK];
    block_store(rest, sum);
    return update(update(0, rest, sizeof rest), ptr, len);
}
#endif

#if defined(__x86_64__)
enum { WIDE = 64, WIDE_STRIDE = 4 * WIDE };

#define WIDE_TARGET __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.1")))

WIDE_TARGET static inline __m512i wide_fold(__m512i value, __m512i key, __m512i data)
{
    /* 0x96: a xor b xor c */
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(value, key, 0x00),
                                     _mm512_clmulepi64_epi128(value, key, 0x11), data, 0x96);
}

WIDE_TARGET static inline __m512i wide_key(struct fold_key key)
{
    return _mm512_broadcast_i32x4(_mm_set_epi64x((long long)key.second, (long long)key.first));
}

/* As update_folding, four blocks to a register; len >= 2 * WIDE_STRIDE. */
WIDE_TARGET static uint64_t update_folding_wide(uint64_t state, const uint8_t *ptr, size_t len)
{
    __m512i lane[4];
    for (int i = 0; i < 4; i++) {
        lane[i] = _mm512_loadu_si512(ptr + WIDE * i);
    }
    lane[0] =
        _mm512_xor_si512(lane[0], _mm512_zextsi128_si512(_mm_cvtsi64_si128((long long)state)));
    ptr += WIDE_STRIDE;
    len -= WIDE_STRIDE;
    const __m512i stride = wide_key(key_wide4);
    for (; len >= WIDE_STRIDE; ptr += WIDE_STRIDE, len -= WIDE_STRIDE) {
        for (int i = 0; i < 4; i++) {
            lane[i] = wide_fold(lane[i], stride, _mm512_loadu_si512(ptr + WIDE * i));
        }
    }
    const __m512i step = wide_key(key_wide);
    __m512i sum = lane[0];
    for (int i = 1; i < 4; i++) {
        sum = wide_fold(sum, step, lane[i]);
    }
    for (; len >= WIDE; ptr += WIDE, len -= WIDE) {
        sum = wide_fold(sum, step, _mm512_loadu_si512(ptr));
    }
    uint8_t rest[WIDE];
    _mm512_storeu_si512(rest, sum);
    return update(update(0, rest, sizeof rest), ptr, len);
}
#endif

uint64_t gfs_crc64nvme(uint64_t crc, const void *ptr, size_t len)
{
    const uint8_t *bytes = ptr;
#if defined(__x86_64__)
    if (len >= 2 * WIDE_STRIDE && __builtin_cpu_supports("vpclmulqdq") &&
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) {
        return ~update_folding_wide(~crc, bytes, len);
    }
#endif
#if defined(__x86_64__) || defined(__aarch64__)
    if (len >= STRIDE && has_carryless()) {
        return ~update_folding(~crc, bytes, len);
    }
#endif
    return ~update(~crc, bytes, len);
}
