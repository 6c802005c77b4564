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
