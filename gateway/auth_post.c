/* POST forms: the signature covers the base64 text of the policy, nothing else. */
#include "gateway/auth_claim.h"
#include "gateway/auth_signature.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

static enum s3_err check_present(const struct auth_context *context,
                                 const struct auth_post_fields *fields)
{
    const struct {
        struct gfs_slice value;
        const char *name;
    } needed[] = {{fields->policy, "policy"},
                  {fields->algorithm, "x-amz-algorithm"},
                  {fields->credential, "x-amz-credential"},
                  {fields->date, "x-amz-date"},
                  {fields->signature, "x-amz-signature"}};
    for (size_t i = 0; i < GFS_COUNT(needed); i++) {
        if (needed[i].value.len == 0) {
            return auth_refuse(context, S3_InvalidArgument,
                               "Bucket POST must contain a field named '%s'.  If it is specified, "
                               "please check the order of the fields.",
                               needed[i].name);
        }
    }
    return S3_OK;
}

static enum s3_err read_claim(const struct auth_context *context,
                              const struct auth_post_fields *fields, struct auth_claim *claim)
{
    enum s3_err err = check_present(context, fields);
    if (err != S3_OK) {
        return err;
    }
    if (!gfs_slice_eq_str(fields->algorithm, "AWS4-HMAC-SHA256")) {
        return auth_refuse(context, S3_InvalidArgument,
                           "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"");
    }
    err = auth_claim_credential(context, AUTH_IN_FORM, fields->credential, claim);
    if (err != S3_OK) {
        return err;
    }
    if (gfs_parse_amz_date(fields->date, &claim->date_s) != GFS_OK) {
        return auth_refuse(context, S3_InvalidArgument,
                           "X-Amz-Date must be in the ISO8601 Long Format "
                           "\"yyyyMMdd'T'HHmmss'Z'\"");
    }
    gfs_amz_date(claim->date_s, claim->amz_date);
    claim->signature = fields->signature;
    return auth_claim_same_day(context, AUTH_IN_FORM, claim);
}

enum s3_err auth_verify_post(const struct auth_options *options,
                             const struct auth_post_fields *fields, struct gfs_arena *arena,
                             struct auth_result *ret, struct auth_detail *ret_detail)
{
    memset(ret, 0, sizeof *ret);
    memset(ret_detail, 0, sizeof *ret_detail);
    ret_detail->server_time_s = options->now_s;
    if (fields->policy.len == 0 && fields->algorithm.len == 0 && fields->credential.len == 0 &&
        fields->date.len == 0 && fields->signature.len == 0) {
        ret->is_anonymous = true;
        return S3_OK;
    }
    struct auth_context context = {.options = options, .arena = arena, .detail = ret_detail};
    struct auth_claim claim = {0};
    enum s3_err err = read_claim(&context, fields, &claim);
    if (err != S3_OK) {
        return err;
    }
    uint8_t key[GFS_SHA256_LEN], mac[GFS_SHA256_LEN];
    char signature[AUTH_SIGNATURE_LEN + 1];
    bool is_known = auth_signing_key(&context, &claim, key);
    gfs_hmac_sha256(gfs_slice_of(key, sizeof key), fields->policy, mac);
    gfs_hex_encode(mac, sizeof mac, signature);
    bool is_equal = claim.signature.len == AUTH_SIGNATURE_LEN &&
                    gfs_const_time_eq(signature, claim.signature.ptr, AUTH_SIGNATURE_LEN);
    if (!is_known) {
        return S3_InvalidAccessKeyId;
    }
    if (!is_equal) {
        ret_detail->string_to_sign = fields->policy;
        ret_detail->signature = claim.signature;
        return S3_SignatureDoesNotMatch;
    }
    memcpy(ret->signing_key, key, sizeof key);
    auth_result_fill(ret, &claim);
    return S3_OK;
}
