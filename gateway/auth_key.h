/* SigV4 signing keys: four HMACs from the secret, remembered per thread. */
#pragma once

#include <stdint.h>

#include "libgoodfs/digest.h"
#include "libgoodfs/slice.h"

enum {
    AUTH_SECRET_LEN_MAX = 128, /* bytes, what auth_keys.find may give */
    AUTH_DATE_LEN = 8,         /* "20261121" */
    AUTH_REGION_LEN_MAX = 64,  /* bytes; so that a scope fits auth_result.scope */
};

/* HMAC chain "AWS4"+secret, date, region, "s3", "aws4_request". The lengths are at most those
 * above. A small cache of the calling thread answers what it was asked lately; whether it did shows
 * in time, but not for which key: an unknown key is derived from a stand-in secret like any other.
 */
void auth_key_get(struct gfs_slice secret, struct gfs_slice date, struct gfs_slice region,
                  uint8_t ret[GFS_SHA256_LEN]);
