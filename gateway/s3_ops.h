/* Every S3 operation of the gateway, one immutable table entry each; s3_routes.c names them. */
#pragma once

#include "gateway/s3.h"

/* s3_bucket.c */
extern const struct s3_op s3_op_create_bucket;
extern const struct s3_op s3_op_head_bucket;
extern const struct s3_op s3_op_delete_bucket;
extern const struct s3_op s3_op_list_buckets;
extern const struct s3_op s3_op_get_bucket_location;

/* s3_list.c */
extern const struct s3_op s3_op_list_objects;
extern const struct s3_op s3_op_list_objects_v2;
extern const struct s3_op s3_op_list_object_versions;

/* s3_delete.c */
extern const struct s3_op s3_op_delete_object;
extern const struct s3_op s3_op_delete_objects;

/* s3_multipart.c, s3_multipart_list.c, s3_multipart_complete.c */
extern const struct s3_op s3_op_create_multipart_upload;
extern const struct s3_op s3_op_abort_multipart_upload;
extern const struct s3_op s3_op_list_parts;
extern const struct s3_op s3_op_list_multipart_uploads;
extern const struct s3_op s3_op_complete_multipart_upload;

/* s3_attributes.c */
extern const struct s3_op s3_op_get_object_attributes;

/* s3_get.c */
extern const struct s3_op s3_op_get_object;
extern const struct s3_op s3_op_head_object;

/* s3_put.c */
extern const struct s3_op s3_op_put_object;
extern const struct s3_op s3_op_upload_part;

/* s3_copy.c */
extern const struct s3_op s3_op_copy_object;
extern const struct s3_op s3_op_upload_part_copy;

/* s3_post.c */
extern const struct s3_op s3_op_post_object;
