/* SigV4 signing keys: four HMACs from the secret, remembered per thread. */
#pragma once

#include <stdint.h>

#include "libgoodfs/digest.h"
#include "libgoodfs/slice.h"

enum {
    AUTH_SECRET_LEN_MAX = 128, /* bytes, what auth_keys.find may give */
    AUTH_DATE_LEN = 8,         /* "20261121" */
    AUTH_REGION_LEN_MAX = 64,  /* bytes; so that a scope fits auth_result.scope */
    AUTH_SERVICE_LEN_MAX = 16, /* "s3", "goodfs" */
};

/* The service that is meant: "s3" where none is named. */
static inline struct gfs_slice auth_service(struct gfs_slice service)
{
    return service.len == 0 ? GFS_SLICE_LITERAL("s3") : service;
}

/* HMAC chain "AWS4"+secret, date, region, service, "aws4_request". The lengths are at most those
 * above. A small cache of the calling thread answers what it was asked lately; whether it did shows
 * in time, but not for which key: an unknown key is derived from a stand-in secret like any other.
 */
void auth_key_get(struct gfs_slice secret, struct gfs_slice date, struct gfs_slice region,
                  struct gfs_slice service, uint8_t ret[GFS_SHA256_LEN]);
