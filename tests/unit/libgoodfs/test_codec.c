#include "libgoodfs/codec.h"

#include <criterion/criterion.h>

#include "libgoodfs/mem.h"

static const uint64_t numbers[] = {
    0,         1, 0x7F, 0x80, 0x3FFF, 0x4000, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX >> 1,
    UINT64_MAX};

static struct gfs_codec_reader reader_of(const void *ptr, size_t len)
{
    return gfs_codec_reader_of(gfs_slice_of(ptr, len));
}

Test(codec, integers_and_bytes_come_back)
{
    struct gfs_buf out;
    gfs_buf_init(&out, 4096);
    for (size_t i = 0; i < GFS_COUNT(numbers); i++) {
        gfs_codec_put_u8(&out, (uint8_t)numbers[i]);
        gfs_codec_put_u32(&out, (uint32_t)numbers[i]);
        gfs_codec_put_u64(&out, numbers[i]);
        gfs_codec_put_varint(&out, numbers[i]);
        gfs_codec_put_bytes(&out, gfs_slice_of("a\0b", (size_t)i % 4));
    }
    struct gfs_codec_reader in = gfs_codec_reader_of(gfs_buf_slice(&out));
    for (size_t i = 0; i < GFS_COUNT(numbers); i++) {
        cr_expect_eq(gfs_codec_get_u8(&in), (uint8_t)numbers[i]);
        cr_expect_eq(gfs_codec_get_u32(&in), (uint32_t)numbers[i]);
        cr_expect_eq(gfs_codec_get_u64(&in), numbers[i]);
        cr_expect_eq(gfs_codec_get_varint(&in), numbers[i]);
        cr_expect(gfs_slice_eq(gfs_codec_get_bytes(&in), gfs_slice_of("a\0b", (size_t)i % 4)));
    }
    cr_expect(!in.is_bad);
    cr_expect_eq(in.len, 0u);
    gfs_buf_fini(&out);
}

Test(codec, integers_are_little_endian_and_varints_leb128)
{
    struct gfs_buf out;
    gfs_buf_init(&out, 64);
    gfs_codec_put_u32(&out, 0x01020304);
    gfs_codec_put_varint(&out, 300);
    cr_assert_eq(out.len, 6u);
    cr_assert_arr_eq(out.ptr, "\x04\x03\x02\x01\xAC\x02", 6);
    gfs_buf_fini(&out);
    uint8_t raw[8];
    gfs_codec_store_u64_be(raw, 0x0102030405060708ULL);
    cr_assert_arr_eq(raw, "\1\2\3\4\5\6\7\10", 8);
    cr_assert_eq(gfs_codec_load_u64_be(raw), 0x0102030405060708ULL);
}

Test(codec, reading_past_the_end_is_sticky)
{
    const uint8_t bytes[] = {1, 2, 3, 4, 5};
    struct gfs_codec_reader in = reader_of(bytes, sizeof bytes);
    cr_expect_eq(gfs_codec_get_u64(&in), 0u);
    cr_expect(in.is_bad);
    cr_expect_eq(gfs_codec_get_u8(&in), 0);
    cr_expect_eq(gfs_codec_get_u32(&in), 0u);
    cr_expect_eq(gfs_codec_get_varint(&in), 0u);
    cr_expect_eq(gfs_codec_get_bytes(&in).len, 0u);
    cr_expect_null(gfs_codec_get_raw(&in, 0));
}

Test(codec, every_truncated_varint_is_bad)
{
    for (size_t i = 0; i < GFS_COUNT(numbers); i++) {
        struct gfs_buf out;
        gfs_buf_init(&out, 64);
        gfs_codec_put_varint(&out, numbers[i]);
        for (size_t len = 0; len < out.len; len++) {
            struct gfs_codec_reader in = reader_of(out.ptr, len);
            cr_expect_eq(gfs_codec_get_varint(&in), 0u);
            cr_expect(in.is_bad, "%zu of %zu bytes", len, out.len);
        }
        gfs_buf_fini(&out);
    }
}

Test(codec, varint_over_64_bits_is_bad)
{
    uint8_t bytes[11];
    memset(bytes, 0xFF, sizeof bytes);
    bytes[9] = 1;
    struct gfs_codec_reader in = reader_of(bytes, 10);
    cr_expect_eq(gfs_codec_get_varint(&in), UINT64_MAX);
    cr_expect(!in.is_bad);
    bytes[9] = 2; /* bit 64 */
    in = reader_of(bytes, 10);
    cr_expect_eq(gfs_codec_get_varint(&in), 0u);
    cr_expect(in.is_bad);
    bytes[9] = 0x81;
    bytes[10] = 0;
    in = reader_of(bytes, 11);
    (void)gfs_codec_get_varint(&in);
    cr_expect(in.is_bad, "eleven bytes are too many");
}

Test(codec, count_over_its_maximum_is_bad)
{
    const uint8_t bytes[] = {10, 11, 7};
    struct gfs_codec_reader in = reader_of(bytes, sizeof bytes);
    cr_expect_eq(gfs_codec_get_count(&in, 10), 10u);
    cr_expect_eq(gfs_codec_get_count(&in, 10), 0u);
    cr_expect(in.is_bad);
    cr_expect_eq(gfs_codec_get_u8(&in), 0);
}

Test(codec, bytes_longer_than_what_is_there_are_bad)
{
    const uint8_t bytes[] = {4, 'a', 'b', 'c'};
    struct gfs_codec_reader in = reader_of(bytes, sizeof bytes);
    cr_expect_eq(gfs_codec_get_bytes(&in).len, 0u);
    cr_expect(in.is_bad);
    uint8_t huge[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 'x'};
    in = reader_of(huge, sizeof huge);
    cr_expect_eq(gfs_codec_get_bytes(&in).len, 0u);
    cr_expect(in.is_bad);
}
