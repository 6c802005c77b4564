#include "gateway/s3_complete.h"

#include "s3_fixture.h"

#define MD5_HEX "d41d8cd98f00b204e9800998ecf8427e"
#define PART(number) "<Part><PartNumber>" number "</PartNumber><ETag>\"" MD5_HEX "\"</ETag></Part>"
#define BODY(parts) "<CompleteMultipartUpload>" parts "</CompleteMultipartUpload>"

static enum s3_err parse_in(struct gfs_arena *arena, const char *body,
                            struct s3_complete_request *ret)
{
    const char *message = NULL;
    gfs_arena_init(arena, 24 << 20);
    *ret = (struct s3_complete_request){0};
    return s3_complete_parse(gfs_slice_str(body), arena, ret, &message);
}

static enum s3_err parse(const char *body)
{
    struct gfs_arena arena;
    struct s3_complete_request request;
    enum s3_err err = parse_in(&arena, body, &request);
    gfs_arena_fini(&arena);
    return err;
}

Test(s3_complete_parse, reads_numbers_etags_and_checksums)
{
    struct gfs_arena arena;
    struct s3_complete_request request;
    cr_assert_eq(
        parse_in(&arena,
                 BODY("<Part><ETag>" MD5_HEX "</ETag><ChecksumCRC32>NhCmhg==</ChecksumCRC32>"
                      "<PartNumber>2</PartNumber></Part>"
                      "<Part><PartNumber>10000</PartNumber><ETag>&quot;" MD5_HEX "&quot;</ETag>"
                      "<ChecksumXXHASH3>AAAA</ChecksumXXHASH3></Part>"),
                 &request),
        S3_OK);
    cr_assert_eq(request.part_count, 2u);
    cr_assert_eq(request.parts[0].number, 2u);
    cr_assert(request.parts[0].is_etag_valid);
    cr_assert_eq(request.parts[0].etag[15], 0x7e);
    cr_assert_eq(request.parts[0].checksum.algo, META_CHECKSUM_CRC32);
    cr_assert_arr_eq(request.parts[0].checksum.value, "\x36\x10\xa6\x86", 4);
    cr_assert_eq(request.parts[1].number, 10000u);
    cr_assert(request.parts[1].is_etag_valid);
    cr_assert_eq(request.parts[1].checksum.algo, META_CHECKSUM_NONE);
    gfs_arena_fini(&arena);
}

Test(s3_complete_parse, marks_etags_that_no_part_can_have)
{
    struct gfs_arena arena;
    struct s3_complete_request request;
    cr_assert_eq(parse_in(&arena,
                          BODY("<Part><PartNumber>1</PartNumber><ETag>zzz</ETag></Part>"
                               "<Part><PartNumber>2</PartNumber><ETag>" MD5_HEX "-3</ETag></Part>"),
                          &request),
                 S3_OK);
    cr_assert(!request.parts[0].is_etag_valid);
    cr_assert(!request.parts[1].is_etag_valid);
    gfs_arena_fini(&arena);
}

Test(s3_complete_parse, refuses_what_is_no_list_of_parts)
{
    cr_assert_eq(parse(""), S3_InvalidRequest);
    cr_assert_eq(parse(BODY("")), S3_MalformedXML);
    cr_assert_eq(parse("<Other>" PART("1") "</Other>"), S3_MalformedXML);
    cr_assert_eq(parse(BODY("<Part><PartNumber>1</PartNumber></Part>")), S3_MalformedXML);
    cr_assert_eq(parse(BODY("<Part><ETag>" MD5_HEX "</ETag></Part>")), S3_MalformedXML);
    cr_assert_eq(parse(BODY(PART("one"))), S3_MalformedXML);
    cr_assert_eq(parse("<!DOCTYPE a [<!ENTITY b \"c\">]>" BODY(PART("1"))), S3_MalformedXML);
    cr_assert_eq(parse(BODY("<Part><PartNumber>1</PartNumber><ETag>" MD5_HEX "</ETag>"
                            "<ChecksumCRC32>NhCmhg==</ChecksumCRC32>"
                            "<ChecksumCRC32C>NhCmhg==</ChecksumCRC32C></Part>")),
                 S3_MalformedXML);
    cr_assert_eq(parse(BODY("<Part><PartNumber>1</PartNumber><ETag>" MD5_HEX "</ETag>"
                            "<ChecksumCRC32>NhCmhg</ChecksumCRC32></Part>")),
                 S3_InvalidPart);
}

Test(s3_complete_parse, part_numbers_are_1_to_10000)
{
    cr_assert_eq(parse(BODY(PART("0"))), S3_InvalidArgument);
    cr_assert_eq(parse(BODY(PART("-1"))), S3_InvalidArgument);
    cr_assert_eq(parse(BODY(PART("10001"))), S3_InvalidArgument);
    cr_assert_eq(parse(BODY(PART("99999999999999999999999"))), S3_InvalidArgument);
}

Test(s3_complete_parse, parts_ascend)
{
    cr_assert_eq(parse(BODY(PART("1") PART("3"))), S3_OK);
    cr_assert_eq(parse(BODY(PART("3") PART("1"))), S3_InvalidPartOrder);
    cr_assert_eq(parse(BODY(PART("1") PART("1"))), S3_InvalidPartOrder);
}

static enum s3_err parse_many(int count)
{
    struct gfs_buf body;
    gfs_buf_init(&body, GFS_XML_BODY_MAX);
    gfs_buf_add_str(&body, "<CompleteMultipartUpload>");
    for (int i = 1; i <= count; i++) {
        gfs_buf_printf(&body,
                       "<Part><PartNumber>%d</PartNumber><ETag>&quot;" MD5_HEX "&quot;</ETag>"
                       "<ChecksumSHA256>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
                       "</ChecksumSHA256></Part>",
                       i);
    }
    gfs_buf_add_str(&body, "</CompleteMultipartUpload>");
    cr_assert(!body.is_full);
    enum s3_err err = parse(body.ptr);
    gfs_buf_fini(&body);
    return err;
}

Test(s3_complete_parse, takes_10000_parts_and_not_one_more)
{
    cr_assert_eq(parse_many(10000), S3_OK);
    cr_assert_eq(parse_many(10001), S3_MalformedXML);
}

Test(s3_complete_parse, composite_values_may_carry_their_part_count)
{
    struct s3_complete_request request = {0};
    cr_assert(s3_complete_checksum(GFS_SLICE_LITERAL("NhCmhg==-3"), META_CHECKSUM_CRC32, &request));
    cr_assert_eq(request.checksum_parts, 3u);
    cr_assert(s3_complete_checksum(GFS_SLICE_LITERAL("NhCmhg=="), META_CHECKSUM_CRC32, &request));
    cr_assert_eq(request.checksum_parts, 0u);
    static const char *const bad[] = {"",       "NhCmhg==-",      "NhCmhg==-0", "NhCmhg==x1",
                                      "NhCmhg", "NhCmhg==-10001", "NhCmhg==3"};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert(!s3_complete_checksum(gfs_slice_str(bad[i]), META_CHECKSUM_CRC32, &request), "%s",
                  bad[i]);
    }
}

Test(s3_complete_parse, uploads_have_the_types_their_algorithm_allows)
{
    static const struct {
        const char *algorithm, *type;
        enum s3_err err;
        enum meta_checksum_algo algo;
        enum meta_checksum_type want;
    } cases[] = {
        {NULL, NULL, S3_OK, META_CHECKSUM_NONE, META_CHECKSUM_FULL_OBJECT},
        {"CRC32", NULL, S3_OK, META_CHECKSUM_CRC32, META_CHECKSUM_COMPOSITE},
        {"CRC32C", "FULL_OBJECT", S3_OK, META_CHECKSUM_CRC32C, META_CHECKSUM_FULL_OBJECT},
        {"crc32", "composite", S3_OK, META_CHECKSUM_CRC32, META_CHECKSUM_COMPOSITE},
        {"CRC64NVME", NULL, S3_OK, META_CHECKSUM_CRC64NVME, META_CHECKSUM_FULL_OBJECT},
        {"CRC64NVME", "FULL_OBJECT", S3_OK, META_CHECKSUM_CRC64NVME, META_CHECKSUM_FULL_OBJECT},
        {"CRC64NVME", "COMPOSITE", S3_InvalidRequest, META_CHECKSUM_NONE, 0},
        {"SHA1", NULL, S3_OK, META_CHECKSUM_SHA1, META_CHECKSUM_COMPOSITE},
        {"SHA256", "COMPOSITE", S3_OK, META_CHECKSUM_SHA256, META_CHECKSUM_COMPOSITE},
        {"SHA256", "FULL_OBJECT", S3_InvalidRequest, META_CHECKSUM_NONE, 0},
        {"MD5", NULL, S3_InvalidRequest, META_CHECKSUM_NONE, 0},
        {NULL, "COMPOSITE", S3_InvalidRequest, META_CHECKSUM_NONE, 0},
        {"CRC32", "PARTIAL", S3_InvalidRequest, META_CHECKSUM_NONE, 0},
    };
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct fixture *f = fixture_new("");
        struct meta_checksum sum;
        const char *message = NULL;
        cr_assert_eq(s3_upload_checksum(gfs_slice_str(cases[i].algorithm),
                                        gfs_slice_str(cases[i].type), &f->r.arena, &sum, &message),
                     cases[i].err, "%zu", i);
        if (cases[i].err == S3_OK) {
            cr_assert_eq(sum.algo, cases[i].algo);
            cr_assert_eq(sum.type, cases[i].want);
        } else {
            cr_assert_not_null(message);
        }
        fixture_free(f);
    }
}
