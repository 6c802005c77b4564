/* What a multipart upload becomes: the rules of CompleteMultipartUpload as pure functions.
 *
 * body -> list of wanted parts -> chosen among the uploaded ones -> one object with the parts'
 * chunks, the ETag of ETags and the combined checksum. Nothing is read again: CRCs are combined. */
#pragma once

#include "gateway/s3.h"

/* Plain data. One <Part> of the body. */
struct s3_wanted_part {
    uint32_t number;
    bool is_etag_valid; /* false: no part can have such an ETag */
    uint8_t etag[META_ETAG_LEN];
    struct meta_checksum checksum; /* algo NONE: none was given */
};

/* Plain data. What a Complete asks for and promises. */
struct s3_complete_request {
    uint32_t part_count;
    struct s3_wanted_part *parts;
    bool has_size; /* x-amz-mp-object-size */
    uint64_t size;
    bool has_type; /* x-amz-checksum-type */
    enum meta_checksum_type type;
    struct meta_checksum checksum; /* x-amz-checksum-*, algo NONE: none */
    uint32_t checksum_parts;       /* N of "value-N", 0 when not given */
};

/* Algorithm and type of a new upload from its two headers (NULL ptr = absent). S3_InvalidRequest
 * with a message in the arena or static. */
enum s3_err s3_upload_checksum(struct gfs_slice algorithm, struct gfs_slice type,
                               struct gfs_arena *arena, struct meta_checksum *ret,
                               const char **ret_message);
/* "FULL_OBJECT" or "COMPOSITE" in any case. */
bool s3_checksum_type_parse(struct gfs_slice text, enum meta_checksum_type *ret);
/* x-amz-checksum-* of a Complete: base64, with "-N" behind it or not. False: neither. */
bool s3_complete_checksum(struct gfs_slice text, enum meta_checksum_algo algo,
                          struct s3_complete_request *ret);

/* Fills in parts. S3_MalformedXML, S3_InvalidRequest (empty), S3_InvalidArgument (part number),
 * S3_InvalidPartOrder, S3_SlowDown (arena full). */
enum s3_err s3_complete_parse(struct gfs_slice body, struct gfs_arena *arena,
                              struct s3_complete_request *ret, const char **ret_message);

/* Plain data, in the arena of the build. */
struct s3_completed {
    struct meta_object object;
    uint32_t used_count;
    struct meta_part *used; /* number and mod_lsn of what the object is made of */
};

/* uploaded: all parts of the upload, ascending. S3_InvalidPart, S3_EntityTooSmall,
 * S3_EntityTooLarge, S3_InvalidRequest, S3_BadDigest, S3_SlowDown. */
enum s3_err s3_complete_build(const struct s3_complete_request *request,
                              const struct meta_object *upload, const struct meta_part *uploaded,
                              uint32_t uploaded_count, struct gfs_arena *arena,
                              struct s3_completed *ret, const char **ret_message);
/* MD5 of the parts' MD5s, as the client knows them. */
void s3_complete_etag(const struct s3_complete_request *request, uint8_t ret[META_ETAG_LEN]);
/* <ChecksumCRC32>...</ChecksumCRC32>; nothing for NONE. */
void s3_checksum_xml(struct gfs_buf *xml, struct gfs_arena *arena,
                     const struct meta_checksum *checksum, uint32_t parts);
