/* What operations that store bytes share. */
#pragma once

#include "gateway/ingest.h"
#include "gateway/s3.h"

/* partNumber and uploadId of a request. S3_InvalidArgument, S3_NoSuchUpload. */
enum s3_err s3_part_target(struct s3_request *r, uint32_t *ret_number,
                           uint8_t ret_upload_id[META_UPLOAD_ID_LEN], const char **ret_message);
/* Plain data. What the client said about the bytes it sends. */
struct s3_declared_digests {
    struct s3_declared_checksum checksum;
    bool has_md5;
    uint8_t md5[GFS_MD5_LEN];
};

/* Content-MD5 and the declared checksum. S3_InvalidDigest, S3_InvalidRequest. */
enum s3_err s3_declared_digests(struct s3_request *r, struct s3_declared_digests *ret,
                                const char **ret_message);
/* Compares them, and the checksum from the trailer, with what came. S3_BadDigest. */
enum s3_err s3_verify_digests(struct s3_request *r, struct s3_declared_digests *declared,
                              const struct ingest_result *result, const char **ret_message);
/* Size, ETag, checksums and chunks of an object that was uploaded in one piece. */
void s3_fill_object(struct meta_object *object, const struct ingest_result *result);
void s3_fill_part(struct meta_part *part, const struct ingest_result *result);
/* Adds ETag and checksum headers of what was stored. */
void s3_reply_stored(struct s3_request *r, const struct ingest_result *result);
