/* Right signatures: made by botocore, by AWS's own documentation, and by auth_sign. */
#include <stdlib.h>

#include "auth_fixture.h"
#include "libgoodfs/text.h"

#define STANDARD_HEADERS                                                                           \
    "host:127.0.0.1:9000\nx-amz-date:" FIXTURE_DATE "\nx-amz-content-sha256:" FIXTURE_EMPTY "\n"

static const struct vector {
    const char *name, *method, *path, *query, *headers;
} vectors[] = {
#include "auth_vectors.inc"
};

Test(auth, accepts_what_botocore_signs)
{
    for (size_t i = 0; i < GFS_COUNT(vectors); i++) {
        const struct vector *vector = &vectors[i];
        struct fixture *f =
            fixture_new(vector->method, vector->path, vector->query, vector->headers);
        enum s3_err err = fixture_verify(f);
        cr_assert_eq(err, S3_OK, "%s: %s\n%.*s", vector->name, s3_err_code(err),
                     (int)f->detail.canonical_request.len, f->detail.canonical_request.ptr);
        cr_assert(gfs_slice_eq_str(f->result.access_key, FIXTURE_ACCESS_KEY));
        cr_assert_eq(f->result.is_presigned, strstr(vector->query, "X-Amz-Signature") != NULL);
        cr_assert(!f->result.is_anonymous);
        fixture_free(f);
    }
}

/* Each in turn: another method, path, query, header value, time of day. */
Test(auth, refuses_what_botocore_signed_once_it_is_changed)
{
    for (size_t i = 0; i < GFS_COUNT(vectors); i++) {
        const struct vector *vector = &vectors[i];
        for (int change = 0; change < 4; change++) {
            struct fixture *f =
                fixture_new(vector->method, vector->path, vector->query, vector->headers);
            char text[2048];
            if (change == 0) {
                f->request.method_text = GFS_SLICE_LITERAL("POST");
            } else if (change == 1) {
                (void)snprintf(text, sizeof text, "%sx", vector->path);
                f->request.raw_path = gfs_slice_str(text);
            } else if (change == 2) {
                (void)snprintf(text, sizeof text, "%s&x-id=GetObject", vector->query);
                f->request.raw_query = gfs_slice_str(text);
            } else {
                f->headers[0].value = GFS_SLICE_LITERAL("127.0.0.1:9001");
            }
            cr_assert_eq(fixture_verify(f), S3_SignatureDoesNotMatch, "%s %d", vector->name,
                         change);
            cr_assert_not_null(f->detail.canonical_request.ptr);
            cr_assert_not_null(f->detail.string_to_sign.ptr);
            fixture_free(f);
        }
    }
}

#define DOC_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

static bool find_doc_key(void *arg, struct gfs_slice access_key, char *ret_secret)
{
    (void)arg;
    memcpy(ret_secret, DOC_SECRET, sizeof DOC_SECRET);
    return gfs_slice_eq_str(access_key, "AKIAIOSFODNN7EXAMPLE");
}

/* "Examples: Signature Calculations" of the S3 API reference. */
Test(auth, accepts_the_example_of_the_s3_reference)
{
    struct fixture *f = fixture_new(
        "GET", "/test.txt", "",
        "host:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\nx-amz-content-sha256:" FIXTURE_EMPTY
        "\nx-amz-date:20130524T000000Z\n"
        "authorization:AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
        "aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41\n");
    f->options.keys.find = find_doc_key;
    f->options.now_s = 1369353600;
    fixture_expect(f, S3_OK, NULL);
    cr_assert_eq(f->result.payload, AUTH_PAYLOAD_SHA256);
    cr_assert_str_eq(f->result.scope, "20130524/us-east-1/s3/aws4_request");
    cr_assert_str_eq(f->result.amz_date, "20130524T000000Z");
    cr_assert_str_eq(f->result.seed_signature,
                     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    fixture_free(f);
}

Test(auth, accepts_the_presigned_example_of_the_s3_reference)
{
    struct fixture *f = fixture_new(
        "GET", "/test.txt",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
        "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
        "X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        "host:examplebucket.s3.amazonaws.com\n");
    f->options.keys.find = find_doc_key;
    f->options.now_s = 1369353600 + 86400;
    fixture_expect(f, S3_OK, NULL);
    cr_assert_eq(f->result.payload, AUTH_PAYLOAD_UNSIGNED);
    f->options.now_s++;
    fixture_expect(f, S3_AccessDenied, "Request has expired");
    f->options.now_s = 1369353600 - 15 * 60 - 1;
    fixture_expect(f, S3_AccessDenied, "Request is not valid yet");
    fixture_free(f);
}

Test(auth, signs_what_it_verifies)
{
    struct fixture *f =
        fixture_new("GET", "/b//./a%2Fb%7E", "x=1&a=%20&a=",
                    STANDARD_HEADERS "x-amz-meta-a:1  2\nx-amz-meta-a:3\nexpect:100-continue\n");
    fixture_sign(f);
    fixture_expect(f, S3_OK, NULL);
    fixture_free(f);
}

/* Both spellings of the path sign alike, for the signature covers the one encoding. */
Test(auth, a_path_verifies_however_it_is_escaped)
{
    static const char *const spellings[] = {"/b/~a", "/b/%7Ea", "/b/%7ea", "/%62/%7E%61"};
    struct fixture *f = fixture_new("GET", "/b/~a", "", STANDARD_HEADERS);
    fixture_sign(f);
    for (size_t i = 0; i < GFS_COUNT(spellings); i++) {
        f->request.raw_path = gfs_slice_str(spellings[i]);
        fixture_expect(f, S3_OK, NULL);
    }
    f->request.raw_path = GFS_SLICE_LITERAL("/b/%257Ea");
    fixture_expect(f, S3_SignatureDoesNotMatch, NULL);
    f->request.raw_path = GFS_SLICE_LITERAL("/b/%7");
    fixture_expect(f, S3_InvalidURI, NULL);
    f->request.raw_path = GFS_SLICE_LITERAL("/b%2F~a");
    fixture_expect(f, S3_SignatureDoesNotMatch, NULL);
    fixture_free(f);
}

Test(auth, a_query_verifies_in_any_order_and_plus_is_a_space)
{
    static const char *const spellings[] = {"prefix=a%20b&acl", "acl&prefix=a+b",
                                            "acl=&prefix=%61+b&&"};
    struct fixture *f = fixture_new("GET", "/b", "acl=&prefix=a%20b", STANDARD_HEADERS);
    fixture_sign(f);
    for (size_t i = 0; i < GFS_COUNT(spellings); i++) {
        f->request.raw_query = gfs_slice_str(spellings[i]);
        fixture_expect(f, S3_OK, NULL);
    }
    f->request.raw_query = GFS_SLICE_LITERAL("acl=&prefix=a%2Bb");
    fixture_expect(f, S3_SignatureDoesNotMatch, NULL);
    f->request.raw_query = GFS_SLICE_LITERAL("acl=&prefix=a%2");
    fixture_expect(f, S3_InvalidURI, NULL);
    fixture_free(f);
}

Test(auth, headers_that_nobody_signed_may_come_and_go)
{
    struct fixture *f = fixture_new("GET", "/b/k", "", STANDARD_HEADERS);
    fixture_sign(f);
    fixture_add_headers(f, "user-agent:curl\nx-amzn-trace-id:1\nvia:proxy\n");
    fixture_expect(f, S3_OK, NULL);
    fixture_free(f);
}

Test(auth, the_date_header_serves_where_there_is_no_x_amz_date)
{
    struct fixture *f = fixture_new(
        "GET", "/b", "",
        "host:h\ndate:Sat, 21 Nov 2026 06:58:10 GMT\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"
        /* hmac over the request above, by hashlib */
        "authorization:AWS4-HMAC-SHA256 Credential=" FIXTURE_ACCESS_KEY
        "/20261121/us-east-1/s3/aws4_request, SignedHeaders=date;host;x-amz-content-sha256, "
        "Signature=ccaedc83d6f56da21c8dd50b5e14b1208004d5e253504cf1a78b95c76447619a\n");
    fixture_expect(f, S3_OK, NULL);
    cr_assert_str_eq(f->result.amz_date, FIXTURE_DATE);
    fixture_free(f);
}

Test(auth, a_proxy_may_rewrite_accept_encoding)
{
    static const char *const signed_values[] = {"identity", "gzip", ""};
    for (size_t i = 0; i < GFS_COUNT(signed_values); i++) {
        char header[64];
        (void)snprintf(header, sizeof header, "accept-encoding:%s\n", signed_values[i]);
        struct fixture *f = fixture_new("GET", "/b/k", "", STANDARD_HEADERS);
        fixture_add_headers(f, header);
        uint32_t index = f->request.header_count - 1;
        fixture_sign(f);
        f->headers[index].value = GFS_SLICE_LITERAL("gzip, br");
        fixture_expect(f, S3_OK, NULL);
        f->headers[index].name = GFS_SLICE_LITERAL("x-dropped");
        fixture_expect(f, S3_OK, NULL);
        f->request.raw_path = GFS_SLICE_LITERAL("/b/other");
        fixture_expect(f, S3_SignatureDoesNotMatch, NULL);
        fixture_free(f);
    }
}

Test(auth, says_how_the_payload_is_protected)
{
    static const struct {
        const char *header;
        enum auth_payload payload;
    } cases[] = {
        {"x-amz-content-sha256:UNSIGNED-PAYLOAD\n", AUTH_PAYLOAD_UNSIGNED},
        {"x-amz-content-sha256:" FIXTURE_EMPTY "\n", AUTH_PAYLOAD_SHA256},
        {"x-amz-content-sha256:STREAMING-AWS4-HMAC-SHA256-PAYLOAD\n", AUTH_PAYLOAD_CHUNKS},
        {"x-amz-content-sha256:STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\n",
         AUTH_PAYLOAD_CHUNKS_TRAILER},
        {"x-amz-content-sha256:STREAMING-UNSIGNED-PAYLOAD-TRAILER\n",
         AUTH_PAYLOAD_UNSIGNED_TRAILER},
    };
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct fixture *f = fixture_new("PUT", "/b/k", "", "host:h\nx-amz-date:" FIXTURE_DATE "\n");
        fixture_add_headers(f, cases[i].header);
        fixture_sign(f);
        fixture_expect(f, S3_OK, NULL);
        cr_assert_eq(f->result.payload, cases[i].payload);
        fixture_free(f);
    }
    struct fixture *f = fixture_new("PUT", "/b/k", "", STANDARD_HEADERS);
    fixture_sign(f);
    fixture_expect(f, S3_OK, NULL);
    uint8_t empty[GFS_SHA256_LEN];
    gfs_sha256(GFS_SLICE_LITERAL(""), empty);
    cr_assert_eq(memcmp(f->result.sha256, empty, sizeof empty), 0);
    fixture_free(f);
}

Test(auth, no_credentials_are_anonymous)
{
    struct fixture *f = fixture_new("GET", "/b/k", "prefix=x", "host:h\n");
    fixture_expect(f, S3_OK, NULL);
    cr_assert(f->result.is_anonymous);
    cr_assert_eq(f->result.payload, AUTH_PAYLOAD_UNSIGNED);
    fixture_add_headers(f, "x-amz-content-sha256:STREAMING-UNSIGNED-PAYLOAD-TRAILER\n");
    fixture_expect(f, S3_OK, NULL);
    cr_assert(f->result.is_anonymous);
    cr_assert_eq(f->result.payload, AUTH_PAYLOAD_UNSIGNED_TRAILER);
    fixture_free(f);
}

Test(auth, signing_keys_are_kept_apart_by_day_region_and_secret)
{
    for (int round = 0; round < 3; round++) {
        for (int day = 1; day <= 28; day++) {
            char date[17], headers[256];
            gfs_amz_date(FIXTURE_NOW_S + day * 86400, date);
            (void)snprintf(headers, sizeof headers,
                           "host:h\nx-amz-date:%s\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n", date);
            struct fixture *f = fixture_new("GET", "/b", "", headers);
            f->options.now_s += day * 86400;
            fixture_sign(f);
            fixture_expect(f, S3_OK, NULL);
            fixture_free(f);
        }
    }
}

Test(auth, a_signature_counts_for_the_service_it_was_made_for_only)
{
    static const char *const services[] = {"", "s3", "goodfs"};
    for (size_t made = 0; made < GFS_COUNT(services); made++) {
        for (size_t asked = 0; asked < GFS_COUNT(services); asked++) {
            struct fixture *f = fixture_new("GET", "/a", "", STANDARD_HEADERS);
            f->options.service = gfs_slice_str(services[made]);
            fixture_sign(f);
            f->options.service = gfs_slice_str(services[asked]);
            bool is_same = (made == 2) == (asked == 2); /* "" is "s3" */
            const char *words = asked == 2 ? "belongs to \"goodfs\"" : "belongs to \"s3\"";
            fixture_expect(f, is_same ? S3_OK : S3_AuthorizationHeaderMalformed,
                           is_same ? NULL : words);
            fixture_free(f);
        }
    }
}
