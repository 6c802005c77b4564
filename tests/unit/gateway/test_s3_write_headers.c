#include "s3_fixture.h"

static enum s3_err stored(const char *lines, struct fixture **ret, struct meta_object *object)
{
    const char *message = NULL;
    *ret = fixture_new(lines);
    *object = (struct meta_object){0};
    return s3_stored_headers(&(*ret)->r, object, &message);
}

static struct gfs_slice kept(const struct meta_object *object, const char *name)
{
    for (uint32_t i = 0; i < object->header_count; i++) {
        if (gfs_slice_eq_str(object->headers[i].name, name)) {
            return object->headers[i].value;
        }
    }
    return (struct gfs_slice){0};
}

Test(s3_write_headers, keeps_system_headers_and_metadata_and_nothing_else)
{
    struct fixture *f;
    struct meta_object object;
    cr_assert_eq(stored("host:x\ncontent-type:text/plain\nx-amz-meta-a:1\ncache-control:no-store\n"
                        "content-disposition:inline\ncontent-language:de\nexpires:0\n"
                        "content-length:5\nx-amz-date:20261121T000000Z\nx-amz-acl:private\n",
                        &f, &object),
                 S3_OK);
    cr_assert_eq(object.header_count, 6u);
    ASSERT_SLICE(kept(&object, "content-type"), "text/plain");
    ASSERT_SLICE(kept(&object, "x-amz-meta-a"), "1");
    ASSERT_SLICE(kept(&object, "expires"), "0");
    fixture_free(f);
}

Test(s3_write_headers, drops_aws_chunked_from_the_content_encoding)
{
    static const struct {
        const char *line, *want;
    } cases[] = {{"content-encoding:aws-chunked", NULL},
                 {"content-encoding:aws-chunked,gzip", "gzip"},
                 {"content-encoding:gzip, AWS-chunked , br", "gzip,br"},
                 {"content-encoding:gzip", "gzip"}};
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct fixture *f;
        struct meta_object object;
        cr_assert_eq(stored(cases[i].line, &f, &object), S3_OK);
        struct gfs_slice value = kept(&object, "content-encoding");
        if (cases[i].want == NULL) {
            cr_assert_eq(object.header_count, 0u);
        } else {
            ASSERT_SLICE(value, cases[i].want);
        }
        fixture_free(f);
    }
}

Test(s3_write_headers, joins_repeated_metadata_with_a_comma)
{
    struct fixture *f;
    struct meta_object object;
    cr_assert_eq(stored("x-amz-meta-a:1\nx-amz-meta-b:\nx-amz-meta-a:2\n", &f, &object), S3_OK);
    cr_assert_eq(object.header_count, 2u);
    ASSERT_SLICE(kept(&object, "x-amz-meta-a"), "1,2");
    ASSERT_SLICE(kept(&object, "x-amz-meta-b"), "");
    fixture_free(f);
}

Test(s3_write_headers, limits_user_metadata_to_2048_bytes_of_names_and_values)
{
    char line[4096];
    struct fixture *f;
    struct meta_object object;
    (void)snprintf(line, sizeof line, "x-amz-meta-ab:%0*d", 2046, 0);
    cr_assert_eq(stored(line, &f, &object), S3_OK);
    fixture_free(f);
    (void)snprintf(line, sizeof line, "x-amz-meta-ab:%0*d", 2047, 0);
    cr_assert_eq(stored(line, &f, &object), S3_MetadataTooLarge);
    fixture_free(f);
}

Test(s3_write_headers, refuses_what_would_change_the_meaning_of_the_object)
{
    static const char *const lines[] = {
        "x-amz-server-side-encryption:AES256",
        "x-amz-server-side-encryption-customer-algorithm:AES256",
        "x-amz-object-lock-mode:GOVERNANCE",
        "x-amz-object-lock-legal-hold:ON",
        "x-amz-grant-read:id=1",
        "x-amz-acl:public-read",
        "x-amz-tagging:a=b",
        "x-amz-website-redirect-location:/x",
    };
    for (size_t i = 0; i < GFS_COUNT(lines); i++) {
        struct fixture *f;
        struct meta_object object;
        cr_assert_eq(stored(lines[i], &f, &object), S3_NotImplemented, "%s", lines[i]);
        fixture_free(f);
    }
}

Test(s3_write_headers, asks_the_store_which_storage_classes_there_are)
{
    struct fixture *f;
    struct meta_object object;
    cr_assert_eq(stored("x-amz-storage-class:STANDARD", &f, &object), S3_OK);
    cr_assert_eq(object.storage_class.len, 0u);
    fixture_free(f);
    cr_assert_eq(stored("x-amz-storage-class:replica:3", &f, &object), S3_OK);
    ASSERT_SLICE(object.storage_class, "replica:3");
    fixture_free(f);
    cr_assert_eq(stored("x-amz-storage-class:GLACIER", &f, &object), S3_InvalidStorageClass);
    fixture_free(f);
}

static enum s3_err declared(const char *lines, struct s3_declared_checksum *ret)
{
    const char *message = NULL;
    struct fixture *f = fixture_new(lines);
    enum s3_err err = s3_declared_checksum(&f->r, ret, &message);
    cr_assert_eq(err == S3_OK, message == NULL);
    fixture_free(f);
    return err;
}

Test(s3_write_headers, finds_a_checksum_in_header_trailer_or_by_name)
{
    struct s3_declared_checksum sum;
    cr_assert_eq(declared("host:x", &sum), S3_OK);
    cr_assert_eq(sum.algo, META_CHECKSUM_NONE);
    cr_assert_eq(
        declared("x-amz-checksum-crc32:NhCmhg==\nx-amz-sdk-checksum-algorithm:CRC32", &sum), S3_OK);
    cr_assert_eq(sum.algo, META_CHECKSUM_CRC32);
    cr_assert(sum.has_value);
    cr_assert_arr_eq(sum.value, "\x36\x10\xa6\x86", 4);
    cr_assert_eq(declared("x-amz-trailer:x-amz-checksum-crc64nvme", &sum), S3_OK);
    cr_assert_eq(sum.algo, META_CHECKSUM_CRC64NVME);
    cr_assert(!sum.has_value);
    cr_assert_eq(declared("x-amz-checksum-algorithm:sha256", &sum), S3_OK);
    cr_assert_eq(sum.algo, META_CHECKSUM_SHA256);
    cr_assert_eq(declared("x-amz-sdk-checksum-algorithm:CRC32C", &sum), S3_OK);
    cr_assert_eq(sum.algo, META_CHECKSUM_CRC32C);
}

Test(s3_write_headers, leaves_checksums_it_does_not_know_alone)
{
    struct s3_declared_checksum sum;
    cr_assert_eq(declared("x-amz-checksum-xxhash3:AAAA\nx-amz-sdk-checksum-algorithm:XXHASH3\n"
                          "x-amz-checksum-mode:ENABLED\nx-amz-checksum-type:FULL_OBJECT\n"
                          "x-amz-trailer:x-amz-checksum-md5",
                          &sum),
                 S3_OK);
    cr_assert_eq(sum.algo, META_CHECKSUM_NONE);
}

Test(s3_write_headers, refuses_contradicting_or_broken_checksums)
{
    static const char *const lines[] = {
        "x-amz-checksum-crc32:NhCmhg==\nx-amz-checksum-crc32c:NhCmhg==",
        "x-amz-checksum-crc32:NhCmhg==\nx-amz-checksum-crc32:NhCmhg==",
        "x-amz-checksum-crc32:NhCmhg==\nx-amz-trailer:x-amz-checksum-crc32",
        "x-amz-checksum-crc32:NhCmhg",
        "x-amz-checksum-crc32:AAAAAAAAAAA=",
        "x-amz-checksum-sha1:NhCmhg==",
        "x-amz-checksum-crc32:",
        "x-amz-checksum-crc32:NhCmhg==\nx-amz-sdk-checksum-algorithm:SHA1",
        "x-amz-checksum-algorithm:MD5",
    };
    for (size_t i = 0; i < GFS_COUNT(lines); i++) {
        struct s3_declared_checksum sum;
        cr_assert_eq(declared(lines[i], &sum), S3_InvalidRequest, "%s", lines[i]);
    }
}

static enum s3_err condition(const char *lines, struct fixture **ret,
                             struct meta_condition *condition)
{
    const char *message = NULL;
    *ret = fixture_new(lines);
    return s3_write_condition(&(*ret)->r, condition, &message);
}

Test(s3_write_headers, reads_write_conditions)
{
    struct fixture *f;
    struct meta_condition cond;
    cr_assert_eq(condition("host:x", &f, &cond), S3_OK);
    cr_assert(!cond.if_match_any && !cond.if_none_match_any && !cond.has_if_match);
    fixture_free(f);
    cr_assert_eq(condition("if-none-match:*", &f, &cond), S3_OK);
    cr_assert(cond.if_none_match_any);
    fixture_free(f);
    cr_assert_eq(condition("if-match:*", &f, &cond), S3_OK);
    cr_assert(cond.if_match_any && !cond.has_if_match);
    fixture_free(f);
    cr_assert_eq(condition("if-match:\"d41d8cd98f00b204e9800998ecf8427e\", "
                           "\"d41d8cd98f00b204e9800998ecf8427e-7\", \"other\"",
                           &f, &cond),
                 S3_OK);
    cr_assert(cond.has_if_match);
    cr_assert_eq(cond.etag_count, 2u);
    cr_assert_eq(cond.etags[1].parts, 7u);
    fixture_free(f);
}

Test(s3_write_headers, an_etag_nothing_can_have_stays_a_condition)
{
    struct fixture *f;
    struct meta_condition cond;
    cr_assert_eq(condition("if-match:\"abc\"", &f, &cond), S3_OK);
    cr_assert(cond.has_if_match);
    cr_assert_eq(cond.etag_count, 0u);
    fixture_free(f);
}

Test(s3_write_headers, never_ignores_a_condition_it_cannot_keep)
{
    static const char *const lines[] = {
        "if-none-match:\"d41d8cd98f00b204e9800998ecf8427e\"",
        "if-modified-since:Sat, 21 Nov 2026 06:58:10 GMT",
        "if-unmodified-since:Sat, 21 Nov 2026 06:58:10 GMT",
    };
    for (size_t i = 0; i < GFS_COUNT(lines); i++) {
        struct fixture *f;
        struct meta_condition cond;
        cr_assert_eq(condition(lines[i], &f, &cond), S3_NotImplemented, "%s", lines[i]);
        fixture_free(f);
    }
}
