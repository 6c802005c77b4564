/* From canonical request to signature, and the secret of a claim. */
#pragma once

#include "gateway/auth_claim.h"

enum {
    AUTH_SIGNATURE_LEN = 2 * GFS_SHA256_LEN, /* hex digits */
    AUTH_STRING_TO_SIGN_MAX = 256,           /* 17 + 17 + scope (< 128) + 64 */
};

/* "AWS4-HMAC-SHA256\ndate\nscope\nhex(sha256(canonical))" into ret; answers its length. */
size_t auth_string_to_sign(const char *amz_date, struct gfs_slice scope, struct gfs_slice canonical,
                           char ret[AUTH_STRING_TO_SIGN_MAX]);

/* Hex, lower case, NUL-terminated. */
void auth_signature(const uint8_t key[GFS_SHA256_LEN], const char *amz_date, struct gfs_slice scope,
                    struct gfs_slice canonical, char ret[AUTH_SIGNATURE_LEN + 1]);

/* The claim's signing key. False: the access key is unknown; the key is then that of a stand-in
 * secret, for the same work to be done with. */
bool auth_signing_key(const struct auth_context *context, const struct auth_claim *claim,
                      uint8_t ret[GFS_SHA256_LEN]);

/* Copies what later stages need of a verified claim. ret->signing_key is there already. */
void auth_result_fill(struct auth_result *ret, const struct auth_claim *claim);
