#include "gateway/auth_payload.h"

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum s3_err auth_payload_parse(const struct auth_context *context, struct gfs_slice value,
                               struct auth_result *ret)
{
    static const struct {
        const char *text;
        enum auth_payload payload;
    } words[] = {
        {"UNSIGNED-PAYLOAD", AUTH_PAYLOAD_UNSIGNED},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", AUTH_PAYLOAD_CHUNKS},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", AUTH_PAYLOAD_CHUNKS_TRAILER},
        {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", AUTH_PAYLOAD_UNSIGNED_TRAILER},
    };
    if (gfs_hex_decode(value, ret->sha256, sizeof ret->sha256) == GFS_OK) {
        ret->payload = AUTH_PAYLOAD_SHA256;
        return S3_OK;
    }
    for (size_t i = 0; i < GFS_COUNT(words); i++) {
        if (gfs_slice_eq_str(value, words[i].text)) {
            ret->payload = words[i].payload;
            return S3_OK;
        }
    }
    if (gfs_slice_starts(value, GFS_SLICE_LITERAL("STREAMING-AWS4-ECDSA-"))) {
        return auth_refuse(context, S3_NotImplemented,
                           "Payloads signed with Signature Version 4A are not supported.");
    }
    return auth_refuse(context, S3_InvalidArgument,
                       "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "
                       "STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
                       "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.");
}
