#include "s3_fixture.h"

static const uint8_t md5[META_ETAG_LEN] = {0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0x00, 0xb2, 0x04,
                                           0xe9, 0x80, 0x09, 0x98, 0xec, 0xf8, 0x42, 0x7e};
#define MD5_HEX "d41d8cd98f00b204e9800998ecf8427e"

Test(s3_common, writes_etags_in_quotes_with_the_number_of_parts)
{
    struct fixture *f = fixture_new("");
    ASSERT_SLICE(s3_etag_text(&f->r.arena, md5, 0), "\"" MD5_HEX "\"");
    ASSERT_SLICE(s3_etag_text(&f->r.arena, md5, 10000), "\"" MD5_HEX "-10000\"");
    fixture_free(f);
}

Test(s3_common, reads_etags_quoted_and_bare_in_either_case)
{
    static const struct {
        const char *text;
        uint32_t parts;
    } good[] = {{"\"" MD5_HEX "\"", 0},
                {MD5_HEX, 0},
                {"D41D8CD98F00B204E9800998ECF8427E", 0},
                {MD5_HEX "-1", 1},
                {"\"" MD5_HEX "-10000\"", 10000}};
    for (size_t i = 0; i < GFS_COUNT(good); i++) {
        uint8_t etag[META_ETAG_LEN] = {0};
        uint32_t parts = 77;
        cr_assert(s3_etag_parse(gfs_slice_str(good[i].text), etag, &parts), "%s", good[i].text);
        cr_assert_arr_eq(etag, md5, sizeof etag);
        cr_assert_eq(parts, good[i].parts);
    }
}

Test(s3_common, takes_nothing_else_for_an_etag)
{
    static const char *const bad[] = {"",
                                      "\"\"",
                                      "\"",
                                      "*",
                                      "d41d8cd98f00b204e9800998ecf8427",
                                      MD5_HEX "0",
                                      MD5_HEX "-",
                                      MD5_HEX "-0",
                                      MD5_HEX "-10001",
                                      MD5_HEX "-1x",
                                      "g41d8cd98f00b204e9800998ecf8427e",
                                      "W/\"" MD5_HEX "\""};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        uint8_t etag[META_ETAG_LEN];
        uint32_t parts = 0;
        cr_assert(!s3_etag_parse(gfs_slice_str(bad[i]), etag, &parts), "%s", bad[i]);
    }
}

Test(s3_common, knows_every_checksum_by_name_and_header)
{
    static const struct {
        enum meta_checksum_algo algo;
        const char *name, *header;
    } all[] = {{META_CHECKSUM_CRC32, "CRC32", "x-amz-checksum-crc32"},
               {META_CHECKSUM_CRC32C, "CRC32C", "x-amz-checksum-crc32c"},
               {META_CHECKSUM_CRC64NVME, "CRC64NVME", "x-amz-checksum-crc64nvme"},
               {META_CHECKSUM_SHA1, "SHA1", "x-amz-checksum-sha1"},
               {META_CHECKSUM_SHA256, "SHA256", "x-amz-checksum-sha256"}};
    for (size_t i = 0; i < GFS_COUNT(all); i++) {
        cr_assert_str_eq(s3_checksum_name(all[i].algo), all[i].name);
        cr_assert_str_eq(s3_checksum_header(all[i].algo), all[i].header);
        cr_assert_eq(s3_checksum_parse(gfs_slice_str(all[i].name)), all[i].algo);
    }
    cr_assert_eq(s3_checksum_parse(GFS_SLICE_LITERAL("crc32c")), META_CHECKSUM_CRC32C);
    cr_assert_eq(s3_checksum_parse(GFS_SLICE_LITERAL("MD5")), META_CHECKSUM_NONE);
    cr_assert_eq(s3_checksum_parse(GFS_SLICE_LITERAL("")), META_CHECKSUM_NONE);
    cr_assert_eq(s3_checksum_parse(GFS_SLICE_LITERAL("NONE")), META_CHECKSUM_NONE);
}

Test(s3_common, shows_the_part_count_behind_composite_checksums_only)
{
    struct fixture *f = fixture_new("");
    struct meta_checksum sum = {.algo = META_CHECKSUM_CRC32,
                                .type = META_CHECKSUM_COMPOSITE,
                                .value = {0x36, 0x10, 0xa6, 0x86}};
    ASSERT_SLICE(s3_checksum_text(&f->r.arena, &sum, 3), "NhCmhg==-3");
    ASSERT_SLICE(s3_checksum_text(&f->r.arena, &sum, 0), "NhCmhg==");
    sum.type = META_CHECKSUM_FULL_OBJECT;
    ASSERT_SLICE(s3_checksum_text(&f->r.arena, &sum, 3), "NhCmhg==");
    fixture_free(f);
}

Test(s3_common, upload_ids_are_32_hex_digits)
{
    struct fixture *f = fixture_new("");
    uint8_t id[META_UPLOAD_ID_LEN];
    cr_assert(s3_upload_id_parse(GFS_SLICE_LITERAL(MD5_HEX), id));
    ASSERT_SLICE(s3_upload_id_text(&f->r.arena, id), MD5_HEX);
    cr_assert(!s3_upload_id_parse(GFS_SLICE_LITERAL(""), id));
    cr_assert(!s3_upload_id_parse(GFS_SLICE_LITERAL(MD5_HEX "00"), id));
    cr_assert(!s3_upload_id_parse(GFS_SLICE_LITERAL("../41d8cd98f00b204e9800998ecf8427"), id));
    fixture_free(f);
}

Test(s3_common, encodes_keys_only_when_asked)
{
    struct gfs_buf xml;
    gfs_buf_init(&xml, 1000);
    s3_xml_key(&xml, "Key", GFS_SLICE_LITERAL("a b/<&\x01"), true);
    cr_assert_str_eq(xml.ptr, "<Key>a%20b/%3C%26%01</Key>");
    gfs_buf_clear(&xml);
    s3_xml_key(&xml, "Key", GFS_SLICE_LITERAL("a b/<&"), false);
    cr_assert_str_eq(xml.ptr, "<Key>a b/&lt;&amp;</Key>");
    gfs_buf_fini(&xml);
}

Test(s3_common, accepts_bucket_names_by_the_naming_rules)
{
    static const char *const good[] = {
        "abc",
        "a-b",
        "my.bucket.example",
        "123",
        "1.2.3",
        "a--b",
        "012345678901234567890123456789012345678901234567890123456789012"};
    static const char *const bad[] = {"",
                                      "ab",
                                      "_",
                                      "v1",
                                      "Abc",
                                      "a_b",
                                      "-abc",
                                      "abc-",
                                      ".abc",
                                      "abc.",
                                      "a..b",
                                      "a.-b",
                                      "a-.b",
                                      "a b",
                                      "a/b",
                                      "abc\xc3\xa9",
                                      "192.168.5.4",
                                      "xn--abc",
                                      "sthree-abc",
                                      "amzn-s3-demo-x",
                                      "abc-s3alias",
                                      "abc--ol-s3",
                                      "abc.mrap",
                                      "abc--x-s3",
                                      "abc--table-s3",
                                      ("012345678901234567890123456789"
                                       "0123456789012345678901234567890123")};
    for (size_t i = 0; i < GFS_COUNT(good); i++) {
        cr_assert(s3_bucket_name_ok(gfs_slice_str(good[i])), "%s", good[i]);
    }
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert(!s3_bucket_name_ok(gfs_slice_str(bad[i])), "%s", bad[i]);
    }
    cr_assert(!s3_bucket_name_ok(gfs_slice_of("ab\0c", 4)));
}
