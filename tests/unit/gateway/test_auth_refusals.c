/* Everything that must not pass, with its code and words. */
#include "auth_fixture.h"

#define BASE "host:h\nx-amz-date:" FIXTURE_DATE "\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"
#define SCOPE "/20261121/us-east-1/s3/aws4_request"
#define NAMES "SignedHeaders=host;x-amz-content-sha256;x-amz-date"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define WHOLE(credential)                                                                          \
    "authorization:AWS4-HMAC-SHA256 Credential=" credential ", " NAMES ", Signature=" ZEROS "\n"

struct refusal {
    const char *headers;
    enum s3_err err;
    const char *words;
};

static void check(const struct refusal *cases, size_t count, const char *base)
{
    for (size_t i = 0; i < count; i++) {
        struct fixture *f = fixture_new("PUT", "/b/k", "", base);
        fixture_add_headers(f, cases[i].headers);
        enum s3_err err = fixture_verify(f);
        cr_assert_eq(err, cases[i].err, "%zu: %s %s", i, s3_err_code(err), f->detail.message);
        if (cases[i].words != NULL) {
            cr_assert_not_null(f->detail.message, "%zu", i);
            cr_assert_not_null(strstr(f->detail.message, cases[i].words), "%s", f->detail.message);
        }
        cr_assert_eq(f->result.access_key.len, 0u);
        fixture_free(f);
    }
}

Test(auth_refusals, the_authorization_header_must_be_whole)
{
    static const struct refusal cases[] = {
        {"authorization:\n", S3_InvalidArgument, "Unsupported Authorization Type"},
        {"authorization:Basic dTpw\n", S3_InvalidArgument, "Unsupported Authorization Type"},
        {"authorization:aws4-hmac-sha256 x\n", S3_InvalidArgument, "Unsupported"},
        {"authorization:AWS AKID:c2lnbmF0dXJl\n", S3_InvalidRequest, "use AWS4-HMAC-SHA256"},
        {"authorization:AWS4-ECDSA-P256-SHA256 x\n", S3_NotImplemented, "4A"},
        {"authorization:AWS4-HMAC-SHA256\n", S3_AuthorizationHeaderMalformed, "malformed"},
        {"authorization:AWS4-HMAC-SHA256 garbage\n", S3_AuthorizationHeaderMalformed, "malformed"},
        {"authorization:AWS4-HMAC-SHA256 Credential=AKID" SCOPE ", " NAMES "\n",
         S3_AuthorizationHeaderMalformed, "each exactly once"},
        {"authorization:AWS4-HMAC-SHA256 Credential=A" SCOPE ", " NAMES ", " NAMES
         ", Signature=00\n",
         S3_AuthorizationHeaderMalformed, "each exactly once"},
        {"authorization:AWS4-HMAC-SHA256 Credential=A" SCOPE ", " NAMES ", Signature=00, X=y\n",
         S3_AuthorizationHeaderMalformed, "each exactly once"},
        {"authorization:AWS4-HMAC-SHA256 Credential=A" SCOPE ", " NAMES ", Signature=00,\n",
         S3_InvalidAccessKeyId, NULL},
        {WHOLE("A") WHOLE("A"), S3_InvalidArgument, "Only one auth mechanism"},
    };
    check(cases, GFS_COUNT(cases), BASE);
}

Test(auth_refusals, the_scope_must_be_of_this_service_and_day)
{
    static const struct refusal cases[] = {
        {WHOLE("AKID"), S3_AuthorizationHeaderMalformed, "the Credential is mal-formed"},
        {WHOLE("20261121/us-east-1/s3/aws4_request"), S3_AuthorizationHeaderMalformed,
         "mal-formed"},
        {WHOLE("/20261121/us-east-1/s3/aws4_request"), S3_AuthorizationHeaderMalformed,
         "mal-formed"},
        {WHOLE("A/20261121//s3/aws4_request"), S3_AuthorizationHeaderMalformed, "mal-formed"},
        {WHOLE("A/20261121/" ZEROS "0/s3/aws4_request"), S3_AuthorizationHeaderMalformed,
         "mal-formed"},
        {WHOLE("A/2026112/us-east-1/s3/aws4_request"), S3_AuthorizationHeaderMalformed,
         "incorrect date format \"2026112\""},
        {WHOLE("A/2026112x/us-east-1/s3/aws4_request"), S3_AuthorizationHeaderMalformed,
         "incorrect date format"},
        {WHOLE("A/20261121/us-east-1/sqs/aws4_request"), S3_AuthorizationHeaderMalformed,
         "incorrect service \"sqs\". This endpoint belongs to \"s3\""},
        {WHOLE("A/20261121/us-east-1/s3/aws5_request"), S3_AuthorizationHeaderMalformed,
         "incorrect terminal \"aws5_request\""},
        {WHOLE("A/20261120/us-east-1/s3/aws4_request"), S3_AuthorizationHeaderMalformed,
         "Invalid credential date \"20261120\". This date is not the same as X-Amz-Date: "
         "\"20261121\""},
    };
    check(cases, GFS_COUNT(cases), BASE);
}

Test(auth_refusals, the_region_counts_only_when_strict)
{
    struct fixture *f = fixture_new("GET", "/b", "", BASE WHOLE("A/20261121/US/s3/aws4_request"));
    fixture_expect(f, S3_InvalidAccessKeyId, NULL);
    f->options.is_region_strict = true;
    fixture_expect(f, S3_AuthorizationHeaderMalformed,
                   "the region 'US' is wrong; expecting 'us-east-1'");
    fixture_free(f);
}

Test(auth_refusals, signed_headers_are_ascending_lower_case_and_not_empty)
{
    static const char *const lists[] = {
        "",     ";",     "host;",   ";host", "host;;x-amz-date", "host;host", "x-amz-date;host",
        "Host", "ho st", "host;x:y"};
    for (size_t i = 0; i < GFS_COUNT(lists); i++) {
        char headers[512];
        (void)snprintf(headers, sizeof headers,
                       BASE "authorization:AWS4-HMAC-SHA256 Credential=A" SCOPE
                            ",SignedHeaders=%s,Signature=" ZEROS "\n",
                       lists[i]);
        struct fixture *f = fixture_new("GET", "/b", "", headers);
        fixture_expect(f, S3_AuthorizationHeaderMalformed, "SignedHeaders");
        fixture_free(f);
    }
}

#define SIGNED_AS(names)                                                                           \
    "authorization:AWS4-HMAC-SHA256 Credential=" FIXTURE_ACCESS_KEY SCOPE ", SignedHeaders=" names \
    ", Signature=" ZEROS "\n"

Test(auth_refusals, what_matters_must_be_signed_and_what_is_signed_must_be_there)
{
    static const struct refusal cases[] = {
        {SIGNED_AS("x-amz-content-sha256;x-amz-date"), S3_AccessDenied, "not signed: host"},
        {SIGNED_AS("host;x-amz-date"), S3_AccessDenied, "not signed: x-amz-content-sha256"},
        {"x-amz-acl:public-read\n" SIGNED_AS("host;x-amz-content-sha256;x-amz-date"),
         S3_AccessDenied, "not signed: x-amz-acl"},
        {"x-amz-copy-source:/b/secret\n" SIGNED_AS("host;x-amz-content-sha256;x-amz-date"),
         S3_AccessDenied, "not signed: x-amz-copy-source"},
        {SIGNED_AS("host;x-absent;x-amz-content-sha256;x-amz-date"), S3_SignatureDoesNotMatch,
         "\"x-absent\" is not in the request"},
        {SIGNED_AS("host;x-amz-content-sha256;x-amz-date"), S3_SignatureDoesNotMatch, NULL},
        {"authorization:AWS4-HMAC-SHA256 Credential=" FIXTURE_ACCESS_KEY SCOPE ", " NAMES
         ", Signature=" ZEROS "00\n",
         S3_SignatureDoesNotMatch, NULL},
        {"authorization:AWS4-HMAC-SHA256 Credential=" FIXTURE_ACCESS_KEY SCOPE ", " NAMES
         ", Signature=\n",
         S3_SignatureDoesNotMatch, NULL},
        {"x-amz-security-token:t\n" SIGNED_AS("host;x-amz-content-sha256;x-amz-date"),
         S3_InvalidToken, NULL},
    };
    check(cases, GFS_COUNT(cases), BASE);
}

/* An attacker who knows a key id but no secret, on the form of body that checks nothing by itself.
 */
Test(auth_refusals, an_unsigned_trailer_does_not_excuse_a_wrong_signature)
{
    static const struct refusal cases[] = {
        {"host:h\nx-amz-date:" FIXTURE_DATE
         "\nx-amz-content-sha256:STREAMING-UNSIGNED-PAYLOAD-TRAILER\n" SIGNED_AS(
             "host;x-amz-content-sha256;x-amz-date"),
         S3_SignatureDoesNotMatch, NULL},
    };
    check(cases, GFS_COUNT(cases), "");
}

Test(auth_refusals, the_clock_may_be_wrong_by_fifteen_minutes)
{
    struct fixture *f = fixture_new("GET", "/b", "", BASE);
    fixture_sign(f);
    f->options.now_s = FIXTURE_NOW_S + 900;
    fixture_expect(f, S3_OK, NULL);
    f->options.now_s = FIXTURE_NOW_S - 900;
    fixture_expect(f, S3_OK, NULL);
    f->options.now_s = FIXTURE_NOW_S + 901;
    fixture_expect(f, S3_RequestTimeTooSkewed, NULL);
    cr_assert_eq(f->detail.server_time_s, FIXTURE_NOW_S + 901);
    f->options.now_s = FIXTURE_NOW_S - 901;
    fixture_expect(f, S3_RequestTimeTooSkewed, NULL);
    fixture_free(f);
}

Test(auth_refusals, a_date_and_a_payload_hash_are_needed)
{
    static const struct refusal cases[] = {
        {"host:h\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n", S3_AccessDenied, "x-amz-date header"},
        {"host:h\nx-amz-date:yesterday\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n", S3_AccessDenied,
         "x-amz-date header"},
        {"host:h\nx-amz-date:x\ndate:Sat, 21 Nov 2026 06:58:10 GMT\n", S3_AccessDenied,
         "valid Date"},
        {"host:h\nx-amz-date:" FIXTURE_DATE "\n", S3_InvalidRequest,
         "Missing required header for this request: x-amz-content-sha256"},
        {"host:h\nx-amz-date:" FIXTURE_DATE "\nx-amz-content-sha256:\n", S3_InvalidArgument,
         "x-amz-content-sha256 must be"},
        {"host:h\nx-amz-date:" FIXTURE_DATE "\nx-amz-content-sha256:" ZEROS "0\n",
         S3_InvalidArgument, "x-amz-content-sha256 must be"},
        {"host:h\nx-amz-date:" FIXTURE_DATE
         "\nx-amz-content-sha256:STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD\n",
         S3_NotImplemented, NULL},
        {BASE "x-amz-content-sha256:" ZEROS "\n", S3_InvalidArgument, "given once"},
    };
    check(cases, GFS_COUNT(cases), WHOLE("A" SCOPE));
}

Test(auth_refusals, too_many_headers_or_parameters_are_refused)
{
    struct fixture *f = fixture_new("GET", "/b", "", BASE WHOLE("A" SCOPE));
    while (f->request.header_count <= 200) {
        fixture_add_headers(f, "a:b\n");
    }
    fixture_expect(f, S3_RequestHeaderSectionTooLarge, NULL);
    f->request.header_count = 4;
    char query[2 * 129 + 1] = "";
    for (size_t i = 0; i < 129; i++) {
        memcpy(query + 2 * i, "a&", 3);
    }
    f->request.raw_query = gfs_slice_str(query);
    fixture_expect(f, S3_InvalidRequest, NULL);
    f->request.raw_query.len -= 2;
    fixture_expect(f, S3_InvalidAccessKeyId, NULL);
    fixture_free(f);
}

#define ALGO "X-Amz-Algorithm=AWS4-HMAC-SHA256"
#define CRED "&X-Amz-Credential=" FIXTURE_ACCESS_KEY "%2F20261121%2Fus-east-1%2Fs3%2Faws4_request"
#define DATE "&X-Amz-Date=" FIXTURE_DATE
#define EXPIRES "&X-Amz-Expires=60"
#define SIGNED "&X-Amz-SignedHeaders=host"
#define SIGNATURE "&X-Amz-Signature=" ZEROS

Test(auth_refusals, presigned_parameters_must_be_whole_and_within_bounds)
{
    static const struct {
        const char *query;
        enum s3_err err;
        const char *words;
    } cases[] = {
        {ALGO CRED DATE EXPIRES SIGNED SIGNATURE, S3_SignatureDoesNotMatch, NULL},
        {ALGO CRED DATE EXPIRES SIGNED, S3_AuthorizationQueryParametersError, "requires"},
        {"X-Amz-Signature=" ZEROS, S3_AuthorizationQueryParametersError, "requires"},
        {"X-Amz-Signat%75re=" ZEROS, S3_AuthorizationQueryParametersError, "requires"},
        {"X-Amz-Credential=" FIXTURE_ACCESS_KEY, S3_AuthorizationQueryParametersError, "requires"},
        {ALGO CRED DATE EXPIRES EXPIRES SIGNED SIGNATURE, S3_AuthorizationQueryParametersError,
         "each once"},
        {ALGO CRED DATE EXPIRES SIGNED SIGNATURE SIGNATURE, S3_AuthorizationQueryParametersError,
         "each once"},
        {"X-Amz-Algorithm=AWS4-HMAC-SHA1" CRED DATE EXPIRES SIGNED SIGNATURE,
         S3_AuthorizationQueryParametersError, "X-Amz-Algorithm only supports"},
        {ALGO "&X-Amz-Credential=x" DATE EXPIRES SIGNED SIGNATURE,
         S3_AuthorizationQueryParametersError, "the Credential is mal-formed"},
        {ALGO CRED "&X-Amz-Date=now" EXPIRES SIGNED SIGNATURE, S3_AuthorizationQueryParametersError,
         "ISO8601 Long Format"},
        {ALGO CRED "&X-Amz-Date=20261120T235959Z" EXPIRES SIGNED SIGNATURE,
         S3_AuthorizationQueryParametersError, "Invalid credential date"},
        {ALGO CRED DATE "&X-Amz-Expires=-1" SIGNED SIGNATURE, S3_AuthorizationQueryParametersError,
         "non-negative"},
        {ALGO CRED DATE "&X-Amz-Expires=0" SIGNED SIGNATURE, S3_AuthorizationQueryParametersError,
         "greater than 0"},
        {ALGO CRED DATE "&X-Amz-Expires=604801" SIGNED SIGNATURE,
         S3_AuthorizationQueryParametersError, "less than a week"},
        {ALGO CRED DATE "&X-Amz-Expires=99999999999999999999" SIGNED SIGNATURE,
         S3_AuthorizationQueryParametersError, "less than a week"},
        {ALGO CRED DATE "&X-Amz-Expires=1h" SIGNED SIGNATURE, S3_AuthorizationQueryParametersError,
         "should be a number"},
        {ALGO CRED DATE EXPIRES "&X-Amz-SignedHeaders=" SIGNATURE,
         S3_AuthorizationQueryParametersError, "X-Amz-SignedHeaders"},
        {ALGO CRED DATE EXPIRES "&X-Amz-SignedHeaders=range" SIGNATURE, S3_AccessDenied,
         "not signed: host"},
        {ALGO CRED DATE EXPIRES SIGNED SIGNATURE "&X-Amz-Security-Token=t", S3_InvalidToken, NULL},
        {"AWSAccessKeyId=A&Signature=x&Expires=1", S3_InvalidRequest, "use AWS4-HMAC-SHA256"},
    };
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct fixture *f = fixture_new("GET", "/b/k", cases[i].query, "host:h\nrange:bytes=0-1\n");
        enum s3_err err = fixture_verify(f);
        cr_assert_eq(err, cases[i].err, "%zu: %s %s", i, s3_err_code(err), f->detail.message);
        if (cases[i].words != NULL) {
            cr_assert_not_null(strstr(f->detail.message, cases[i].words), "%s", f->detail.message);
        }
        fixture_free(f);
    }
}

Test(auth_refusals, a_credential_in_the_query_does_not_help_a_header)
{
    static const char *const queries[] = {("X-Amz-Signature=" ZEROS), "X-Amz-Credential=A", ALGO,
                                          "AWSAccessKeyId=A", "Signature=x"};
    for (size_t i = 0; i < GFS_COUNT(queries); i++) {
        struct fixture *f = fixture_new("GET", "/b", queries[i], BASE);
        fixture_sign(f);
        fixture_expect(f, S3_InvalidArgument, "Only one auth mechanism allowed");
        fixture_free(f);
    }
}

Test(auth_refusals, an_anonymous_body_cannot_have_signed_chunks)
{
    struct fixture *f = fixture_new("PUT", "/b/k", "",
                                    "host:h\nx-amz-content-sha256:"
                                    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD\n");
    fixture_expect(f, S3_AccessDenied, "signed request");
    fixture_free(f);
}

Test(auth_refusals, an_unknown_key_is_told_apart_by_its_code_only)
{
    struct fixture *f = fixture_new("GET", "/b", "", BASE WHOLE("NOSUCHKEY" SCOPE));
    fixture_expect(f, S3_InvalidAccessKeyId, NULL);
    cr_assert(gfs_slice_eq_str(f->detail.access_key, "NOSUCHKEY"));
    cr_assert_null(f->detail.canonical_request.ptr);
    static const uint8_t zero[GFS_SHA256_LEN];
    cr_assert_eq(memcmp(f->result.signing_key, zero, sizeof zero), 0);
    fixture_free(f);
}
