/* x-amz-content-sha256: how the body is protected. */
#pragma once

#include "gateway/auth_claim.h"

/* The header's value into ret->payload and ret->sha256. InvalidArgument: no such value;
 * NotImplemented: the forms of Signature Version 4A. */
enum s3_err auth_payload_parse(const struct auth_context *context, struct gfs_slice value,
                               struct auth_result *ret);
