#include "gateway/s3_list_xml.h"

#include "gateway/s3_xml.h"
#include "s3_fixture.h"

#define OWNER                                                                                      \
    "<Owner><ID>5a4f3b6f0c1d9d7be5c9a1f64e0a2d83907b6c5e4d3f2a1b8c7d6e5f40312a9b</ID>"             \
    "<DisplayName>goodfs</DisplayName></Owner>"
#define PLAIN                                                                                      \
    "<LastModified>2026-11-21T06:58:10.123Z</LastModified>"                                        \
    "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag>"                                    \
    "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"     \
    "<Size>0</Size>"
#define STANDARD "<StorageClass>STANDARD</StorageClass>"
#define HEAD(root) "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<" root " xmlns=\"" S3_XMLNS "\">"

static const struct meta_object empty_object = {
    .mtime_ms = 1795244290123,
    .etag = {0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0x00, 0xb2, 0x04, 0xe9, 0x80, 0x09, 0x98, 0xec, 0xf8,
             0x42, 0x7e},
    .checksum = {.algo = META_CHECKSUM_CRC64NVME},
};

static char *finish(struct s3_list_xml *x, bool is_truncated)
{
    struct gfs_arena arena;
    struct gfs_buf out;
    gfs_arena_init(&arena, 1 << 20);
    s3_list_xml_finish(x, is_truncated, &arena, &out);
    cr_assert(!out.is_full);
    size_t len = 0;
    char *text = gfs_buf_take(&out, &len);
    s3_list_xml_fini(x);
    gfs_arena_fini(&arena);
    return text;
}

Test(s3_list_xml, writes_version_1_in_the_order_of_s3)
{
    struct s3_list_query query = {.kind = S3_LIST_V1,
                                  .bucket = GFS_SLICE_LITERAL("bucket"),
                                  .delimiter = GFS_SLICE_LITERAL("/"),
                                  .max_keys = 2};
    struct s3_list_xml x;
    s3_list_xml_init(&x, &query);
    s3_list_xml_object(&x, GFS_SLICE_LITERAL("a&b"), &empty_object);
    s3_list_xml_prefix(&x, GFS_SLICE_LITERAL("c/"));
    char *text GFS_FREE = finish(&x, true);
    cr_assert_str_eq(
        text,
        HEAD("ListBucketResult") "<Name>bucket</Name><Prefix></Prefix>"
                                 "<Marker></Marker><NextMarker>c/</NextMarker><MaxKeys>2</MaxKeys>"
                                 "<Delimiter>/</Delimiter><IsTruncated>true</IsTruncated>"
                                 "<Contents><Key>a&amp;b</Key>" PLAIN OWNER STANDARD "</Contents>"
                                 "<CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes>"
                                 "</ListBucketResult>");
}

Test(s3_list_xml, version_1_has_a_next_marker_only_with_a_delimiter)
{
    struct s3_list_query query = {.kind = S3_LIST_V1, .max_keys = 1};
    struct s3_list_xml x;
    s3_list_xml_init(&x, &query);
    s3_list_xml_object(&x, GFS_SLICE_LITERAL("a"), &empty_object);
    char *text GFS_FREE = finish(&x, true);
    cr_assert_null(strstr(text, "NextMarker"));
    cr_assert_null(strstr(text, "Delimiter"));
    cr_assert_not_null(strstr(text, "<IsTruncated>true</IsTruncated>"));
}

Test(s3_list_xml, version_2_counts_and_continues_by_token)
{
    struct s3_list_query query = {.kind = S3_LIST_V2,
                                  .bucket = GFS_SLICE_LITERAL("bucket"),
                                  .prefix = GFS_SLICE_LITERAL("p q"),
                                  .delimiter = GFS_SLICE_LITERAL(" "),
                                  .has_marker = true,
                                  .marker = GFS_SLICE_LITERAL("<"),
                                  .has_token = true,
                                  .token = GFS_SLICE_LITERAL("AWth"),
                                  .is_encoded = true,
                                  .max_keys = 1};
    struct s3_list_xml x;
    s3_list_xml_init(&x, &query);
    s3_list_xml_object(&x, GFS_SLICE_LITERAL("p q+\x01"), &empty_object);
    char *text GFS_FREE = finish(&x, true);
    cr_assert_str_eq(
        text,
        HEAD("ListBucketResult") "<Name>bucket</Name><Prefix>p%20q</Prefix>"
                                 "<StartAfter>%3C</StartAfter>"
                                 "<ContinuationToken>AWth</ContinuationToken>"
                                 "<NextContinuationToken>AWtwIHErAQ==</NextContinuationToken>"
                                 "<KeyCount>1</KeyCount><MaxKeys>1</MaxKeys><Delimiter>%20</"
                                 "Delimiter>"
                                 "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
                                 "<Contents><Key>p%20q%2B%01</Key>" PLAIN STANDARD "</Contents>"
                                 "</ListBucketResult>");
}

Test(s3_list_xml, version_2_shows_the_owner_when_asked)
{
    struct s3_list_query query = {.kind = S3_LIST_V2, .has_owner = true, .max_keys = 1};
    struct s3_list_xml x;
    s3_list_xml_init(&x, &query);
    s3_list_xml_object(&x, GFS_SLICE_LITERAL("a"), &empty_object);
    char *text GFS_FREE = finish(&x, false);
    cr_assert_not_null(strstr(text, "</Size>" OWNER STANDARD));
    cr_assert_null(strstr(text, "NextContinuationToken"));
}

Test(s3_list_xml, versions_are_the_null_version)
{
    struct s3_list_query query = {.kind = S3_LIST_VERSIONS,
                                  .bucket = GFS_SLICE_LITERAL("bucket"),
                                  .marker = GFS_SLICE_LITERAL("0"),
                                  .version_marker = GFS_SLICE_LITERAL("null"),
                                  .max_keys = 1};
    struct s3_list_xml x;
    s3_list_xml_init(&x, &query);
    s3_list_xml_object(&x, GFS_SLICE_LITERAL("a"), &empty_object);
    char *text GFS_FREE = finish(&x, true);
    cr_assert_str_eq(
        text,
        HEAD("ListVersionsResult") "<Name>bucket</Name><Prefix></Prefix>"
                                   "<KeyMarker>0</KeyMarker><VersionIdMarker>null</VersionIdMarker>"
                                   "<NextKeyMarker>a</NextKeyMarker>"
                                   "<NextVersionIdMarker>null</NextVersionIdMarker><MaxKeys>1</"
                                   "MaxKeys>"
                                   "<IsTruncated>true</IsTruncated><Version><Key>a</Key>"
                                   "<VersionId>null</VersionId><IsLatest>true</IsLatest>" PLAIN
                                       OWNER STANDARD "</Version></ListVersionsResult>");
}

Test(s3_list_xml, shows_sizes_parts_and_composite_checksums)
{
    struct s3_list_query query = {.kind = S3_LIST_V2, .max_keys = 1};
    struct s3_list_xml x;
    struct meta_object object = empty_object;
    object.size = UINT64_MAX;
    object.etag_parts = 10000;
    object.checksum =
        (struct meta_checksum){.algo = META_CHECKSUM_SHA256, .type = META_CHECKSUM_COMPOSITE};
    s3_list_xml_init(&x, &query);
    s3_list_xml_object(&x, GFS_SLICE_LITERAL("a"), &object);
    char *text GFS_FREE = finish(&x, false);
    cr_assert_not_null(strstr(text, "8427e-10000&quot;</ETag>"));
    cr_assert_not_null(strstr(text, "<Size>18446744073709551615</Size>"));
    cr_assert_not_null(strstr(text, "<ChecksumAlgorithm>SHA256</ChecksumAlgorithm>"
                                    "<ChecksumType>COMPOSITE</ChecksumType>"));
}

Test(s3_list_xml, a_full_page_of_the_worst_keys_fits)
{
    char key[GFS_KEY_LEN_MAX];
    memset(key, '"', sizeof key);
    for (int encoded = 0; encoded < 2; encoded++) {
        struct s3_list_query query = {
            .kind = S3_LIST_V1, .max_keys = 1000, .is_encoded = encoded == 1};
        struct s3_list_xml x;
        s3_list_xml_init(&x, &query);
        for (int i = 0; i < 1000; i++) {
            s3_list_xml_object(&x, gfs_slice_of(key, sizeof key), &empty_object);
        }
        char *text GFS_FREE = finish(&x, true);
        cr_assert_not_null(strstr(text, "</ListBucketResult>"));
    }
}

Test(s3_list_xml, a_marker_is_a_prefix_when_it_ends_with_its_first_delimiter)
{
    static const struct {
        const char *marker, *prefix, *delimiter;
        bool want;
    } cases[] = {
        {"a/", "", "/", true},     {"a/b", "", "/", false},  {"a/b/", "", "/", false},
        {"a/b/", "a/", "/", true}, {"a/", "a/", "/", false}, {"a/", "b", "/", false},
        {"a/", "", "", false},     {"", "", "/", false},     {"x--", "", "--", true},
        {"x---", "", "--", false}, {"/", "", "/", true},     {"photos/x", "photos/", "x", true},
    };
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        cr_assert_eq(s3_list_is_prefix(gfs_slice_str(cases[i].marker),
                                       gfs_slice_str(cases[i].prefix),
                                       gfs_slice_str(cases[i].delimiter)),
                     cases[i].want, "%s %s", cases[i].marker, cases[i].prefix);
    }
}
