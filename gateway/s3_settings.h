/* Subresources that are settings (?acl, ?policy, ...): there are none yet, so reads answer as S3
 * does when nothing is configured, and writes say which feature is not there. */
#pragma once

#include "gateway/s3.h"

/* The operation for a query parameter that names a setting of a bucket or object; NULL when it
 * names none, and for methods that settings do not have. Any thread. */
const struct s3_op *s3_settings_op(enum http_method method, enum s3_level level,
                                   struct gfs_slice subresource);
