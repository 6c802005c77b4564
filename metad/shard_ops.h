/* What a shard does as a meta_service: the functions of its ops, whose contracts are in
 * libgoodfs/meta_service.h. */
#pragma once

#include "libgoodfs/meta_service.h"

/* meta_service_ops.bucket */
enum gfs_err shard_bucket(struct meta_service *meta, struct gfs_slice name,
                          struct meta_bucket *ret);
/* meta_service_ops.buckets */
enum gfs_err shard_buckets(struct meta_service *meta, struct gfs_slice prefix,
                           struct gfs_slice after, uint32_t max, struct meta_bucket *ret,
                           uint32_t *ret_count, bool *ret_is_truncated);
/* meta_service_ops.object */
enum gfs_err shard_object(struct meta_service *meta, uint64_t bucket_id, struct gfs_slice key,
                          unsigned flags, struct meta_row **ret);
/* meta_service_ops.upload */
enum gfs_err shard_upload(struct meta_service *meta, uint64_t bucket_id, struct gfs_slice key,
                          const uint8_t upload_id[META_UPLOAD_ID_LEN], unsigned flags,
                          struct meta_row **ret);
/* meta_service_ops.completed */
enum gfs_err shard_completed(struct meta_service *meta, const uint8_t upload_id[META_UPLOAD_ID_LEN],
                             unsigned flags, struct meta_row **ret);
/* meta_service_ops.submit */
enum gfs_err shard_submit(struct meta_service *meta, struct meta_op *op, unsigned flags);
/* meta_service_ops.list_objects */
enum gfs_err shard_list_objects(struct meta_service *meta, const struct meta_list_query *query,
                                meta_visit_fn visit, void *arg, bool *ret_is_truncated);
/* meta_service_ops.list_uploads */
enum gfs_err shard_list_uploads(struct meta_service *meta, const struct meta_list_query *query,
                                meta_visit_fn visit, void *arg, bool *ret_is_truncated);
/* meta_service_ops.list_parts */
enum gfs_err shard_list_parts(struct meta_service *meta,
                              const uint8_t upload_id[META_UPLOAD_ID_LEN], uint32_t after,
                              uint32_t max, meta_visit_fn visit, void *arg, bool *ret_is_truncated);
/* meta_service_ops.usage */
enum gfs_err shard_usage(struct meta_service *meta, uint64_t bucket_id, struct meta_usage *ret);
