#include "auth_fixture.h"
#include "libgoodfs/text.h"

#define CREDENTIAL FIXTURE_ACCESS_KEY "/20261121/us-east-1/s3/aws4_request"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static enum s3_err verify(struct fixture *f, const struct auth_post_fields *fields)
{
    return auth_verify_post(&f->options, fields, &f->arena, &f->result, &f->detail);
}

static struct auth_post_fields fields_of(const char *policy, const char *signature)
{
    return (struct auth_post_fields){.policy = gfs_slice_str(policy),
                                     .algorithm = GFS_SLICE_LITERAL("AWS4-HMAC-SHA256"),
                                     .credential = GFS_SLICE_LITERAL(CREDENTIAL),
                                     .date = GFS_SLICE_LITERAL(FIXTURE_DATE),
                                     .signature = gfs_slice_str(signature)};
}

/* By hmac and hashlib alone, for the policy "e30=". */
#define E30_SIGNATURE "4a6c43c0923a52b14fef921bf881a539078b8c636819d8bef2b34767eb06d85a"

Test(auth_post, accepts_a_policy_signed_by_another_program)
{
    struct fixture *f = fixture_new("POST", "/b", "", "host:h\n");
    struct auth_post_fields fields = fields_of("e30=", E30_SIGNATURE);
    cr_assert_eq(verify(f, &fields), S3_OK);
    cr_assert(!f->result.is_anonymous);
    cr_assert(gfs_slice_eq_str(f->result.access_key, FIXTURE_ACCESS_KEY));
    fixture_free(f);
}

#define DOC_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

static bool find_doc_key(void *arg, struct gfs_slice access_key, char *ret_secret)
{
    (void)arg;
    memcpy(ret_secret, DOC_SECRET, sizeof DOC_SECRET);
    return gfs_slice_eq_str(access_key, "AKIAIOSFODNN7EXAMPLE");
}

/* "Example: Browser-Based Upload using HTTP POST" of the S3 API reference. */
Test(auth_post, accepts_the_example_of_the_s3_reference)
{
    struct fixture *f = fixture_new("POST", "/", "", "host:h\n");
    f->options.keys.find = find_doc_key;
    struct auth_post_fields fields = {
        .policy = GFS_SLICE_LITERAL("eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KIC"
                                    "AiY29uZGl0aW9ucyI6IFsNCiAgICB7Im"
                                    "J1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13"
                                    "aXRoIiwgIiRrZXkiLCAidXNlci91c2Vy"
                                    "MS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2"
                                    "Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR"
                                    "0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc"
                                    "3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgIC"
                                    "BbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQog"
                                    "ICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiM"
                                    "TQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J"
                                    "5cHRpb24iOiAiQUVTMjU2In0sDQogICAg"
                                    "WyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgIC"
                                    "B7IngtYW16LWNyZWRlbnRpYWwiOiAiQUt"
                                    "JQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfc"
                                    "mVxdWVzdCJ9LA0KICAgIHsieC1hbXotYW"
                                    "xnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRh"
                                    "dGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgf"
                                    "Q0KICBdDQp9"),
        .algorithm = GFS_SLICE_LITERAL("AWS4-HMAC-SHA256"),
        .credential = GFS_SLICE_LITERAL("AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"),
        .date = GFS_SLICE_LITERAL("20151229T000000Z"),
        .signature =
            GFS_SLICE_LITERAL("8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e")};
    cr_assert_eq(verify(f, &fields), S3_OK);
    fixture_free(f);
}

Test(auth_post, no_field_at_all_is_anonymous_and_some_are_not_enough)
{
    struct fixture *f = fixture_new("POST", "/b", "", "host:h\n");
    struct auth_post_fields none = {0}, whole = fields_of("e30=", E30_SIGNATURE);
    cr_assert_eq(verify(f, &none), S3_OK);
    cr_assert(f->result.is_anonymous);
    struct gfs_slice *const each[] = {&whole.policy, &whole.algorithm, &whole.credential,
                                      &whole.date, &whole.signature};
    for (size_t i = 0; i < GFS_COUNT(each); i++) {
        struct gfs_slice kept = *each[i];
        *each[i] = (struct gfs_slice){0};
        cr_assert_eq(verify(f, &whole), S3_InvalidArgument);
        cr_assert_not_null(strstr(f->detail.message, "must contain a field named"));
        cr_assert(!f->result.is_anonymous);
        *each[i] = kept;
    }
    fixture_free(f);
}

Test(auth_post, wrong_fields_are_refused)
{
    struct fixture *f = fixture_new("POST", "/b", "", "host:h\n");
    struct auth_post_fields fields = fields_of("e30=", ZEROS);
    cr_assert_eq(verify(f, &fields), S3_SignatureDoesNotMatch);
    fields = fields_of("e31=", E30_SIGNATURE);
    cr_assert_eq(verify(f, &fields), S3_SignatureDoesNotMatch);
    fields = fields_of("e30=", "x");
    cr_assert_eq(verify(f, &fields), S3_SignatureDoesNotMatch);
    fields = fields_of("e30=", E30_SIGNATURE);
    fields.credential = GFS_SLICE_LITERAL("NOSUCHKEY/20261121/us-east-1/s3/aws4_request");
    cr_assert_eq(verify(f, &fields), S3_InvalidAccessKeyId);
    fields.credential = GFS_SLICE_LITERAL("x");
    cr_assert_eq(verify(f, &fields), S3_InvalidArgument);
    fields = fields_of("e30=", E30_SIGNATURE);
    fields.date = GFS_SLICE_LITERAL("20261122T000000Z");
    cr_assert_eq(verify(f, &fields), S3_InvalidArgument);
    fields.date = GFS_SLICE_LITERAL("today");
    cr_assert_eq(verify(f, &fields), S3_InvalidArgument);
    fields = fields_of("e30=", E30_SIGNATURE);
    fields.algorithm = GFS_SLICE_LITERAL("AWS4-HMAC-SHA1");
    cr_assert_eq(verify(f, &fields), S3_InvalidArgument);
    fixture_free(f);
}
