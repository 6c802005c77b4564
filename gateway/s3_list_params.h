/* What listings have in common: their parameters. */
#pragma once

#include "gateway/s3.h"

/* encoding-type: absent, or "url" in any case; else S3_InvalidArgument with a message. */
enum s3_err s3_list_encoding(const struct s3_request *r, bool *ret_is_encoded,
                             const char **ret_message);
/* A count such as max-keys: at most GFS_LIST_KEYS_MAX, which is also the default; larger ones are
 * cut. S3_InvalidArgument with a message in the arena. */
enum s3_err s3_list_max(struct s3_request *r, const char *name, uint32_t *ret,
                        const char **ret_message);
/* An exclusive start that compares with every possible key as `marker` does and is no longer than a
 * key can be. */
struct gfs_slice s3_list_start(struct gfs_slice marker);
/* True when the marker is a whole common prefix of this listing, so that everything under it has
 * been shown: markers carry no other sign of it. */
bool s3_list_is_prefix(struct gfs_slice marker, struct gfs_slice prefix,
                       struct gfs_slice delimiter);
