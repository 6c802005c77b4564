#include "gateway/auth_signature.h"

#include <assert.h>

#include "gateway/auth_key.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

/* date/region/s3/aws4_request */
enum { SCOPE_LEN_MAX = AUTH_DATE_LEN + 1 + AUTH_REGION_LEN_MAX + 1 + 2 + 1 + 12 };

static_assert(SCOPE_LEN_MAX < sizeof((struct auth_result *)0)->scope, "a scope fits");
static_assert(17 + 17 + SCOPE_LEN_MAX + 1 + AUTH_SIGNATURE_LEN < AUTH_STRING_TO_SIGN_MAX,
              "a string to sign fits");

static char *put(char *at, const char *ptr, size_t len)
{
    memcpy(at, ptr, len);
    return at + len;
}

size_t auth_string_to_sign(const char *amz_date, struct gfs_slice scope, struct gfs_slice canonical,
                           char ret[AUTH_STRING_TO_SIGN_MAX])
{
    static const char first[] = "AWS4-HMAC-SHA256\n";
    uint8_t digest[GFS_SHA256_LEN];
    GFS_ASSERT(scope.len <= SCOPE_LEN_MAX);
    gfs_sha256(canonical, digest);
    char *at = put(ret, first, sizeof first - 1);
    at = put(at, amz_date, GFS_AMZ_DATE_LEN);
    *at++ = '\n';
    at = put(at, scope.ptr, scope.len);
    *at++ = '\n';
    gfs_hex_encode(digest, sizeof digest, at);
    return (size_t)(at - ret) + AUTH_SIGNATURE_LEN;
}

void auth_signature(const uint8_t key[GFS_SHA256_LEN], const char *amz_date, struct gfs_slice scope,
                    struct gfs_slice canonical, char ret[AUTH_SIGNATURE_LEN + 1])
{
    char text[AUTH_STRING_TO_SIGN_MAX];
    uint8_t mac[GFS_SHA256_LEN];
    size_t len = auth_string_to_sign(amz_date, scope, canonical, text);
    gfs_hmac_sha256(gfs_slice_of(key, GFS_SHA256_LEN), gfs_slice_of(text, len), mac);
    gfs_hex_encode(mac, sizeof mac, ret);
}

bool auth_signing_key(const struct auth_context *context, const struct auth_claim *claim,
                      uint8_t ret[GFS_SHA256_LEN])
{
    static const char stand_in[] = "no-such-key-no-such-key-no-such-key-0000";
    char secret[AUTH_SECRET_LEN_MAX + 1] = {0};
    const struct auth_keys *keys = &context->options->keys;
    bool is_known = keys->find(keys->arg, claim->access_key, secret);
    if (!is_known) {
        memcpy(secret, stand_in, sizeof stand_in);
    }
    auth_key_get(gfs_slice_str(secret), claim->date, claim->region,
                 auth_service(context->options->service), ret);
    explicit_bzero(secret, sizeof secret);
    return is_known;
}

void auth_result_fill(struct auth_result *ret, const struct auth_claim *claim)
{
    GFS_ASSERT(claim->signature.len == AUTH_SIGNATURE_LEN);
    GFS_ASSERT(claim->scope.len < sizeof ret->scope);
    ret->access_key = claim->access_key;
    memcpy(ret->seed_signature, claim->signature.ptr, AUTH_SIGNATURE_LEN);
    memcpy(ret->amz_date, claim->amz_date, sizeof ret->amz_date);
    memcpy(ret->scope, claim->scope.ptr, claim->scope.len);
}
