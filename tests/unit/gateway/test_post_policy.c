#include "gateway/post_policy.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

#define NOW_MS 1795244290000 /* 2026-11-21T06:58:10Z */

#define TEXT(text)                                                                                 \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

static const struct form_data_field usual[] = {
    {TEXT("key"), TEXT("user/eric/pic.jpg")},  {TEXT("content-type"), TEXT("image/jpeg")},
    {TEXT("x-ignore-this"), TEXT("anything")}, {TEXT("policy"), TEXT("...")},
    {TEXT("x-amz-signature"), TEXT("...")},
};

static char message[512];
static struct post_policy_range range;

static enum s3_err check_fields(const char *json, const struct form_data_field *fields,
                                size_t count)
{
    char policy[8192];
    const char *text = NULL;
    struct gfs_arena arena;
    struct post_policy_form form = {
        .bucket = GFS_SLICE_LITERAL("pics"), .field_count = count, .fields = fields};
    gfs_arena_init(&arena, 65536);
    gfs_base64_encode(json, strlen(json), policy);
    enum s3_err err =
        post_policy_check(gfs_slice_str(policy), NOW_MS, &form, &arena, &range, &text);
    (void)snprintf(message, sizeof message, "%s", text == NULL ? "" : text);
    gfs_arena_fini(&arena);
    return err;
}

#define POLICY(conditions)                                                                         \
    "{\"expiration\":\"2026-11-21T06:58:10.000Z\",\"conditions\":[" conditions "]}"
#define BASE "{\"bucket\":\"pics\"},[\"eq\",\"$key\",\"user/eric/pic.jpg\"],"
#define TYPE "[\"starts-with\",\"$Content-Type\",\"image/\"]"

static void expect(const char *json, enum s3_err expected, const char *words)
{
    enum s3_err err = check_fields(json, usual, GFS_COUNT(usual));
    cr_assert_eq(err, expected, "%s: %s %s", json, s3_err_code(err), message);
    if (words != NULL) {
        cr_assert_not_null(strstr(message, words), "%s: %s", json, message);
    }
}

Test(post_policy, accepts_a_form_that_meets_every_condition)
{
    expect(POLICY(BASE TYPE), S3_OK, NULL);
    cr_assert_eq(range.length_min, 0u);
    cr_assert_eq(range.length_max, GFS_PART_SIZE_MAX);
    expect(POLICY("{\"bUcKeT\":\"pics\"},[\"StArTs-WiTh\",\"$KeY\",\"user/\"]," TYPE), S3_OK, NULL);
    expect(POLICY(BASE "[\"starts-with\",\"$content-type\",\"\"]"), S3_OK, NULL);
    expect(
        POLICY(
            "[\"eq\",\"$bucket\",\"pics\"],[\"starts-with\",\"$key\",\"user/eric/pic.jpg\"]," TYPE),
        S3_OK, NULL);
}

Test(post_policy, refuses_what_breaks_a_condition_and_names_it)
{
    expect(POLICY("{\"bucket\":\"other\"}," TYPE), S3_AccessDenied,
           "Invalid according to Policy: Policy Condition failed: {\"bucket\":\"other\"}");
    expect(POLICY(BASE "[\"eq\",\"$Content-Type\",\"image/png\"]"), S3_AccessDenied,
           "Policy Condition failed: [\"eq\",\"$Content-Type\",\"image/png\"]");
    expect(POLICY(BASE "[\"starts-with\",\"$Content-Type\",\"text/\"]"), S3_AccessDenied,
           "Policy Condition failed");
    expect(POLICY(BASE TYPE ",{\"acl\":\"public-read\"}"), S3_AccessDenied,
           "Policy Condition failed: {\"acl\":\"public-read\"}");
    expect(POLICY(BASE TYPE ",[\"starts-with\",\"$x-amz-meta-tag\",\"\"]"), S3_AccessDenied,
           "Policy Condition failed");
    expect(POLICY(BASE "[\"starts-with\",\"$Content-Type\",\"IMAGE/\"]"), S3_AccessDenied,
           "Policy Condition failed");
}

Test(post_policy, every_field_and_the_bucket_must_be_covered)
{
    expect(POLICY("{\"bucket\":\"pics\"}," TYPE), S3_AccessDenied,
           "Invalid according to Policy: Extra input fields: key");
    expect(POLICY("{\"bucket\":\"pics\"},[\"starts-with\",\"$key\",\"\"]"), S3_AccessDenied,
           "Extra input fields: content-type");
    expect(POLICY("[\"starts-with\",\"$key\",\"\"]," TYPE), S3_AccessDenied,
           "Extra input fields: bucket");
    expect(POLICY(""), S3_AccessDenied, "Extra input fields");
}

Test(post_policy, a_bucket_field_must_be_the_bucket_of_the_target)
{
    struct form_data_field fields[] = {{GFS_SLICE_LITERAL("bucket"), GFS_SLICE_LITERAL("pics")}};
    cr_assert_eq(check_fields(POLICY("{\"bucket\":\"pics\"}"), fields, 1), S3_OK, "%s", message);
    fields[0].value = GFS_SLICE_LITERAL("other");
    cr_assert_eq(check_fields(POLICY("{\"bucket\":\"pics\"}"), fields, 1), S3_AccessDenied);
    cr_assert_eq(check_fields(POLICY("{\"bucket\":\"other\"}"), fields, 1), S3_AccessDenied);
}

Test(post_policy, a_list_of_content_types_must_match_in_each_item)
{
    struct form_data_field fields[] = {
        {GFS_SLICE_LITERAL("content-type"), GFS_SLICE_LITERAL("image/png, image/gif")}};
    cr_assert_eq(check_fields(POLICY("{\"bucket\":\"pics\"}," TYPE), fields, 1), S3_OK);
    fields[0].value = GFS_SLICE_LITERAL("image/png,text/html");
    cr_assert_eq(check_fields(POLICY("{\"bucket\":\"pics\"}," TYPE), fields, 1), S3_AccessDenied);
    fields[0].value = GFS_SLICE_LITERAL("image/png,");
    cr_assert_eq(check_fields(POLICY("{\"bucket\":\"pics\"}," TYPE), fields, 1), S3_AccessDenied);
}

Test(post_policy, expires)
{
    expect("{\"expiration\":\"2026-11-21T06:58:09.999Z\",\"conditions\":[]}", S3_AccessDenied,
           "Invalid according to Policy: Policy expired.");
    expect("{\"expiration\":\"2000-01-01T00:00:00Z\",\"conditions\":[]}", S3_AccessDenied,
           "expired");
}

Test(post_policy, malformed_documents_are_invalid)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{\"conditions\":[]}",
        "{\"EXPIRATION\":\"2030-01-01T00:00:00Z\",\"conditions\":[]}",
        "{\"expiration\":\"soon\",\"conditions\":[]}",
        "{\"expiration\":1,\"conditions\":[]}",
        "{\"expiration\":\"2030-01-01T00:00:00Z\"}",
        "{\"expiration\":\"2030-01-01T00:00:00Z\",\"CONDITIONS\":[]}",
        "{\"expiration\":\"2030-01-01T00:00:00Z\",\"conditions\":{}}",
        "{\"expiration\":\"2030-01-01T00:00:00Z\",\"expiration\":\"2031-01-01T00:00:00Z\"}",
        POLICY("{}"),
        POLICY("{\"a\":\"b\",\"c\":\"d\"}"),
        POLICY("{\"a\":1}"),
        POLICY("null"),
        POLICY("[]"),
        POLICY("[1,2,3]"),
        POLICY("[\"eq\"]"),
        POLICY("[\"eq\",\"key\",\"x\"]"),
        POLICY("[\"eq\",\"$\",\"x\"]"),
        POLICY("[\"eq\",\"$key\"]"),
        POLICY("[\"eq\",\"$key\",\"x\",\"y\"]"),
        POLICY("[\"eq\",\"$key\",1]"),
        POLICY("[\"ends-with\",\"$key\",\"x\"]"),
        POLICY("[\"content-length-range\",0]"),
        POLICY("[\"content-length-range\",-1,0]"),
        POLICY("[\"content-length-range\",2,1]"),
        POLICY("[\"content-length-range\",\"a\",1]"),
        POLICY("[\"content-length-range\",0,1,2]"),
    };
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        expect(bad[i], S3_InvalidPolicyDocument, "Invalid Policy: ");
    }
    struct gfs_arena arena;
    const char *text = NULL;
    struct post_policy_form form = {.bucket = GFS_SLICE_LITERAL("pics")};
    gfs_arena_init(&arena, 65536);
    cr_assert_eq(
        post_policy_check(GFS_SLICE_LITERAL("no base64"), NOW_MS, &form, &arena, &range, &text),
        S3_InvalidPolicyDocument);
    gfs_arena_fini(&arena);
}

Test(post_policy, lengths_are_bounded_by_every_range)
{
    expect(POLICY(BASE TYPE
                  ",[\"content-length-range\",10,100],[\"Content-Length-Range\",\"5\",\"50\"]"),
           S3_OK, NULL);
    cr_assert_eq(range.length_min, 10u);
    cr_assert_eq(range.length_max, 50u);
    cr_assert_eq(post_policy_check_length(&range, 9, false), S3_OK);
    cr_assert_eq(post_policy_check_length(&range, 9, true), S3_EntityTooSmall);
    cr_assert_eq(post_policy_check_length(&range, 10, true), S3_OK);
    cr_assert_eq(post_policy_check_length(&range, 50, true), S3_OK);
    cr_assert_eq(post_policy_check_length(&range, 51, false), S3_EntityTooLarge);
}
