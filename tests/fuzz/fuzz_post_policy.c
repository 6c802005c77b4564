/* Input: a policy document; it is tried as it is (so mostly no base64) and encoded. */
#include "fuzz.h"
#include "gateway/post_policy.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

#define TEXT(text)                                                                                 \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }
#define NOW_MS 1795244290000 /* 2026-11-21T06:58:10Z */

static const struct form_data_field fields[] = {{TEXT("key"), TEXT("user/eric/pic.jpg")},
                                                {TEXT("content-type"), TEXT("image/jpeg")},
                                                {TEXT("policy"), TEXT("...")}};

static void check(struct gfs_slice policy)
{
    struct gfs_arena arena;
    struct post_policy_range range;
    const char *message = NULL;
    struct post_policy_form form = {
        .bucket = TEXT("pics"), .field_count = GFS_COUNT(fields), .fields = fields};
    gfs_arena_init(&arena, 1 << 20);
    enum s3_err err = post_policy_check(policy, NOW_MS, &form, &arena, &range, &message);
    FUZZ_CHECK(err == S3_OK || err == S3_AccessDenied || err == S3_InvalidPolicyDocument ||
               err == S3_MaxPostPreDataLengthExceededError);
    FUZZ_CHECK(err == S3_OK || err == S3_MaxPostPreDataLengthExceededError || message != NULL);
    if (err == S3_OK) {
        (void)post_policy_check_length(&range, 1, true);
    }
    gfs_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char encoded[GFS_BASE64_LEN(FORM_DATA_FIELDS_LEN_MAX) + 1];
    check(gfs_slice_of(data, size));
    if (size <= FORM_DATA_FIELDS_LEN_MAX) {
        gfs_base64_encode(data, size, encoded);
        check(gfs_slice_str(encoded));
    }
    return 0;
}
