#include "metad/bucket_row.h"

#include <criterion/criterion.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"

static const char row_key[8] = {0, 0, 0, 0, 0, 0, 1, 2};

static enum gfs_err decode(const struct gfs_buf *row, size_t len, struct meta_bucket *ret)
{
    return bucket_row_decode(gfs_slice_of(row_key, sizeof row_key), gfs_slice_of(row->ptr, len),
                             ret);
}

/* Version, time, name and region of every version. */
static void begin(struct gfs_buf *row, uint8_t version)
{
    gfs_buf_init(row, BUCKET_ROW_LEN_MAX);
    gfs_codec_put_u8(row, version);
    gfs_codec_put_u64(row, 1234);
    gfs_codec_put_bytes(row, GFS_SLICE_LITERAL("name"));
    gfs_codec_put_bytes(row, GFS_SLICE_LITERAL("region"));
}

Test(bucket_row, comes_back_with_and_without_settings)
{
    const char *classes[] = {"", "STANDARD_IA", "1234567890123456789012345678901"};
    for (size_t i = 0; i < GFS_COUNT(classes); i++) {
        struct meta_bucket bucket = {.id = 0x102, .created_ms = -5, .name = "nnn", .region = "eu"};
        struct meta_bucket found;
        cr_assert_eq(bucket_row_set(&bucket, META_BUCKET_STORAGE_CLASS, gfs_slice_str(classes[i])),
                     GFS_OK);
        struct gfs_buf row;
        gfs_buf_init(&row, BUCKET_ROW_LEN_MAX);
        bucket_row_encode(&row, &bucket);
        cr_assert(!row.is_full);
        cr_assert_eq(decode(&row, row.len, &found), GFS_OK);
        cr_expect_arr_eq(&found, &bucket, sizeof bucket);
        for (size_t len = 0; len < row.len; len++) {
            cr_expect_eq(decode(&row, len, &found), GFS_CORRUPT);
        }
        gfs_buf_fini(&row);
    }
}

Test(bucket_row, first_version_has_no_settings)
{
    struct gfs_buf row;
    struct meta_bucket found;
    begin(&row, 1);
    cr_assert_eq(decode(&row, row.len, &found), GFS_OK);
    cr_expect_eq(found.id, 0x102u);
    cr_expect_eq(found.created_ms, 1234);
    cr_expect_str_eq(found.name, "name");
    cr_expect_str_eq(found.region, "region");
    cr_expect_str_eq(found.storage_class, "");
    gfs_codec_put_varint(&row, 0);
    cr_expect_eq(decode(&row, row.len, &found), GFS_CORRUPT);
    gfs_buf_fini(&row);
}

Test(bucket_row, newer_versions_and_unknown_settings_are_not_guessed_at)
{
    struct gfs_buf row;
    struct meta_bucket found;
    begin(&row, 3);
    cr_expect_eq(decode(&row, row.len, &found), GFS_UNSUPPORTED);
    gfs_buf_fini(&row);
    begin(&row, 2);
    gfs_codec_put_varint(&row, 1);
    gfs_codec_put_u8(&row, 200);
    gfs_codec_put_bytes(&row, GFS_SLICE_LITERAL("x"));
    cr_expect_eq(decode(&row, row.len, &found), GFS_UNSUPPORTED);
    gfs_buf_fini(&row);
}

Test(bucket_row, damaged_settings_are_found)
{
    struct gfs_buf row;
    struct meta_bucket found;
    begin(&row, 2);
    gfs_codec_put_varint(&row, 2);
    for (int i = 0; i < 2; i++) { /* the same one twice */
        gfs_codec_put_u8(&row, META_BUCKET_STORAGE_CLASS);
        gfs_codec_put_bytes(&row, GFS_SLICE_LITERAL("x"));
    }
    cr_expect_eq(decode(&row, row.len, &found), GFS_CORRUPT);
    gfs_buf_fini(&row);
    begin(&row, 2);
    gfs_codec_put_varint(&row, 1);
    gfs_codec_put_u8(&row, META_BUCKET_STORAGE_CLASS);
    gfs_codec_put_bytes(&row, GFS_SLICE_LITERAL("12345678901234567890123456789012"));
    cr_expect_eq(decode(&row, row.len, &found), GFS_CORRUPT);
    gfs_buf_fini(&row);
}
