/* The one access control list there is: the owner may do everything. */
#pragma once

#include "gateway/s3.h"

/* The AccessControlPolicy document. */
void s3_acl_xml(struct gfs_buf *xml);
/* Whether a PUT ?acl asks for what is already so: x-amz-acl: private (or the owner's full control),
 * or a body with that one grant. S3_NotImplemented when it asks for anything else,
 * S3_MissingSecurityHeader when for nothing, S3_MalformedXML. */
enum s3_err s3_acl_check(const struct http_request *http, struct gfs_slice body,
                         struct gfs_arena *arena);
