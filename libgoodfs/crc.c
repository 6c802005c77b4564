/* CRC32 and CRC32C by isa-l, and the combination of all three.
 *
 * A CRC in its reflected form is a polynomial over GF(2) whose highest bit of the integer holds
 * x^0. With equal pre- and post-inversion, crc(A||B) = crc(A) * x^(8*len(B)) mod P  xor  crc(B).
 * The powers x^(8*2^k) are computed once, before main. */
#include "libgoodfs/crc.h"

#include <isa-l/crc.h>
#include <limits.h>

#include "libgoodfs/mem.h"

#define CRC32_POLY 0xEDB88320u             /* reflected 0x04C11DB7 */
#define CRC32C_POLY 0x82F63B78u            /* reflected 0x1EDC6F41 */
#define CRC64NVME_POLY 0x9A6C9329AC4BC9B5u /* reflected 0xAD93D23594C93659 */

enum { LEN_BITS = 64 };

struct ring {
    uint64_t poly;            /* reflected, without its leading term */
    uint64_t top;             /* the bit that stands for x^0 */
    uint64_t power[LEN_BITS]; /* x^(8 * 2^k) mod P */
};

/* Immutable after the constructor. */
static struct ring ring32 = {.poly = CRC32_POLY, .top = 1ULL << 31, .power = {0}};
static struct ring ring32c = {.poly = CRC32C_POLY, .top = 1ULL << 31, .power = {0}};
static struct ring ring64 = {.poly = CRC64NVME_POLY, .top = 1ULL << 63, .power = {0}};

/* a * b mod P */
static uint64_t multiply(const struct ring *ring, uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = ring->top; bit != 0 && a != 0; bit >>= 1) {
        if ((a & bit) != 0) {
            product ^= b;
            a ^= bit;
        }
        b = (b & 1) != 0 ? (b >> 1) ^ ring->poly : b >> 1;
    }
    return product;
}

static void fill_powers(struct ring *ring)
{
    uint64_t power = ring->top >> 8; /* x^8 */
    for (int k = 0; k < LEN_BITS; k++) {
        ring->power[k] = power;
        power = multiply(ring, power, power);
    }
}

__attribute__((constructor)) static void crc_init(void)
{
    fill_powers(&ring32);
    fill_powers(&ring32c);
    fill_powers(&ring64);
}

static uint64_t combine(const struct ring *ring, uint64_t crc_a, uint64_t crc_b, uint64_t len_b)
{
    for (int k = 0; len_b != 0; k++, len_b >>= 1) {
        if ((len_b & 1) != 0) {
            crc_a = multiply(ring, ring->power[k], crc_a);
        }
    }
    return crc_a ^ crc_b;
}

uint32_t gfs_crc32_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b)
{
    return (uint32_t)combine(&ring32, crc_a, crc_b, len_b);
}

uint32_t gfs_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b)
{
    return (uint32_t)combine(&ring32c, crc_a, crc_b, len_b);
}

uint64_t gfs_crc64nvme_combine(uint64_t crc_a, uint64_t crc_b, uint64_t len_b)
{
    return combine(&ring64, crc_a, crc_b, len_b);
}

uint32_t gfs_crc32(uint32_t crc, const void *ptr, size_t len)
{
    return len == 0 ? crc : crc32_gzip_refl(crc, ptr, len);
}

/* isa-l's prototype lacks the const its code keeps. */
static unsigned char *unconst(const unsigned char *ptr)
{
    return (unsigned char *)(uintptr_t)ptr;
}

uint32_t gfs_crc32c(uint32_t crc, const void *ptr, size_t len)
{
    /* crc32_iscsi takes the raw register and an int length. */
    const size_t step_max = 1U << 30;
    const unsigned char *bytes = ptr;
    uint32_t state = ~crc;
    while (len != 0) {
        size_t step = GFS_MIN(len, step_max);
        state = crc32_iscsi(unconst(bytes), (int)step, state);
        bytes += step;
        len -= step;
    }
    return ~state;
}
