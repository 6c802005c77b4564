/* What operations that store bytes share. */
#pragma once

#include "gateway/ingest.h"
#include "gateway/s3.h"

/* partNumber and uploadId of a request. S3_InvalidArgument, S3_NoSuchUpload. */
enum s3_err s3_part_target(struct s3_request *r, uint32_t *ret_number,
                           uint8_t ret_upload_id[META_UPLOAD_ID_LEN], const char **ret_message);
/* Adds ETag and checksum headers of what was stored. */
void s3_reply_stored(struct s3_request *r, const struct ingest_result *result);
