#include "libgoodfs/crc.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

/* Bit by bit, straight from the definition: the reference for all that is faster. */
static uint64_t crc_reference(uint64_t poly_reflected, uint64_t ones, uint64_t crc,
                              const uint8_t *ptr, size_t len)
{
    uint64_t state = crc ^ ones;
    for (size_t i = 0; i < len; i++) {
        state ^= ptr[i];
        for (int bit = 0; bit < 8; bit++) {
            state = (state & 1) != 0 ? (state >> 1) ^ poly_reflected : state >> 1;
        }
    }
    return state ^ ones;
}

static uint64_t reference32(uint64_t crc, const uint8_t *ptr, size_t len)
{
    return crc_reference(0xEDB88320u, 0xFFFFFFFFu, crc, ptr, len);
}

static uint64_t reference32c(uint64_t crc, const uint8_t *ptr, size_t len)
{
    return crc_reference(0x82F63B78u, 0xFFFFFFFFu, crc, ptr, len);
}

/* 0xAD93D23594C93659 with its bits in reverse, computed here so that a slip in one is seen. */
static uint64_t reference64(uint64_t crc, const uint8_t *ptr, size_t len)
{
    uint64_t reflected = 0;
    for (int bit = 0; bit < 64; bit++) {
        reflected |= (0xAD93D23594C93659u >> bit & 1) << (63 - bit);
    }
    return crc_reference(reflected, UINT64_MAX, crc, ptr, len);
}

static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(seed >> 56);
    }
}

Test(crc, gives_the_published_check_values)
{
    cr_assert_eq(gfs_crc32(0, "123456789", 9), 0xCBF43926u);
    cr_assert_eq(gfs_crc32c(0, "123456789", 9), 0xE3069283u);
    cr_assert_eq(gfs_crc64nvme(0, "123456789", 9), 0xAE8B14860A799888u);
    cr_assert_eq(gfs_crc64nvme_portable(0, "123456789", 9), 0xAE8B14860A799888u);
}

/* NVM Express NVM Command Set Specification 1.0, figure "64b CRC test cases" */
Test(crc, gives_the_vectors_of_the_nvme_specification)
{
    static uint8_t block[4096];
    cr_assert_eq(gfs_crc64nvme(0, block, sizeof block), 0x6482D367EB22B64Eu);
    memset(block, 0xff, sizeof block);
    cr_assert_eq(gfs_crc64nvme(0, block, sizeof block), 0xC0DDBA7302ECA3ACu);
}

Test(crc, of_nothing_is_what_was_before)
{
    cr_assert_eq(gfs_crc32(0, NULL, 0), 0u);
    cr_assert_eq(gfs_crc32(7, NULL, 0), 7u);
    cr_assert_eq(gfs_crc32c(7, NULL, 0), 7u);
    cr_assert_eq(gfs_crc64nvme(7, NULL, 0), 7u);
}

Test(crc, every_length_and_alignment_matches_the_reference)
{
    enum { LEN_MAX = 600, SHIFTS = 17 };
    static uint8_t bytes[LEN_MAX + SHIFTS];
    fill(bytes, sizeof bytes, 1);
    for (size_t shift = 0; shift < SHIFTS; shift++) {
        for (size_t len = 0; len <= LEN_MAX; len++) {
            const uint8_t *ptr = bytes + shift;
            uint64_t before = len * 0x9E3779B97F4A7C15u;
            uint64_t expected = reference64(before, ptr, len);
            cr_assert_eq(gfs_crc64nvme(before, ptr, len), expected, "len %zu", len);
            cr_assert_eq(gfs_crc64nvme_portable(before, ptr, len), expected, "len %zu", len);
            uint32_t before32 = (uint32_t)before;
            cr_assert_eq(gfs_crc32(before32, ptr, len), reference32(before32, ptr, len));
            cr_assert_eq(gfs_crc32c(before32, ptr, len), reference32c(before32, ptr, len));
        }
    }
}

Test(crc, fast_and_portable_agree_on_long_runs_and_may_be_split_anywhere)
{
    enum { LEN = 70000 };
    static uint8_t bytes[LEN];
    fill(bytes, LEN, 2);
    for (size_t len = 601; len < LEN; len += 997) {
        uint64_t whole = gfs_crc64nvme(0, bytes, len);
        cr_assert_eq(whole, gfs_crc64nvme_portable(0, bytes, len));
        size_t cut = len * 7 % 1009;
        uint64_t first = gfs_crc64nvme(0, bytes, cut);
        cr_assert_eq(whole, gfs_crc64nvme(first, bytes + cut, len - cut));
        cr_assert_eq(gfs_crc32c(0, bytes, len),
                     gfs_crc32c(gfs_crc32c(0, bytes, cut), bytes + cut, len - cut));
        cr_assert_eq(gfs_crc32(0, bytes, len),
                     gfs_crc32(gfs_crc32(0, bytes, cut), bytes + cut, len - cut));
    }
}

Test(crc, combines_without_the_bytes)
{
    enum { LEN = 3000 };
    static uint8_t bytes[LEN];
    fill(bytes, LEN, 3);
    for (size_t cut = 0; cut <= LEN; cut += 37) {
        const uint8_t *rest = bytes + cut;
        size_t rest_len = LEN - cut;
        cr_assert_eq(
            gfs_crc32_combine(gfs_crc32(0, bytes, cut), gfs_crc32(0, rest, rest_len), rest_len),
            gfs_crc32(0, bytes, LEN));
        cr_assert_eq(
            gfs_crc32c_combine(gfs_crc32c(0, bytes, cut), gfs_crc32c(0, rest, rest_len), rest_len),
            gfs_crc32c(0, bytes, LEN));
        cr_assert_eq(gfs_crc64nvme_combine(gfs_crc64nvme(0, bytes, cut),
                                           gfs_crc64nvme(0, rest, rest_len), rest_len),
                     gfs_crc64nvme(0, bytes, LEN));
    }
}

/* (A||B)||C = A||(B||C) with lengths no test could hash. */
Test(crc, combining_is_associative_for_huge_lengths)
{
    uint64_t len_b = (5ULL << 40) + 12345, len_c = (1ULL << 45) + 3;
    uint64_t a = 0x1122334455667788u, b = 0x99AABBCCDDEEFF00u, c = 0x0F1E2D3C4B5A6978u;
    cr_assert_eq(gfs_crc64nvme_combine(gfs_crc64nvme_combine(a, b, len_b), c, len_c),
                 gfs_crc64nvme_combine(a, gfs_crc64nvme_combine(b, c, len_c), len_b + len_c));
    uint32_t a32 = (uint32_t)a, b32 = (uint32_t)b, c32 = (uint32_t)c;
    cr_assert_eq(gfs_crc32_combine(gfs_crc32_combine(a32, b32, len_b), c32, len_c),
                 gfs_crc32_combine(a32, gfs_crc32_combine(b32, c32, len_c), len_b + len_c));
    cr_assert_eq(gfs_crc32c_combine(gfs_crc32c_combine(a32, b32, len_b), c32, len_c),
                 gfs_crc32c_combine(a32, gfs_crc32c_combine(b32, c32, len_c), len_b + len_c));
}
