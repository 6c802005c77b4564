/* What a metadata shard is meant to hold, in plain arrays: buckets, objects, uploads, parts, and
 * every chunk that ever became durable. Nothing here is quick, and nothing is clever. */
#pragma once

#include "libgoodfs/buf.h"
#include "libgoodfs/meta_service.h"

enum {
    MODEL_BUCKETS = 3,
    MODEL_KEYS = 16,
    MODEL_UPLOADS = 5, /* of a bucket */
    MODEL_PARTS = 4,
    MODEL_CHUNKS = 12, /* of an object */
    MODEL_PART_CHUNKS = 3,
    MODEL_DONE_MAX = 4096,
};

/* In S3's order. */
extern const struct gfs_slice model_keys[MODEL_KEYS];

struct model_row {
    bool is_there;
    uint8_t tag; /* first byte of the ETag */
    uint64_t lsn;
    uint32_t chunk_count;
    struct chunk_id chunks[MODEL_CHUNKS]; /* 10 bytes each */
};

struct model_upload {
    bool is_there;
    uint32_t key;
    uint64_t id;
    struct model_row parts[MODEL_PARTS];
};

struct model_bucket {
    bool is_there;
    uint64_t id;
    struct model_row objects[MODEL_KEYS];
    struct model_upload uploads[MODEL_UPLOADS];
};

struct model_done {
    uint64_t id, lsn;
};

/* Plain data. */
struct model {
    struct model_bucket buckets[MODEL_BUCKETS];
    struct model_done done[MODEL_DONE_MAX]; /* completed uploads */
    uint32_t done_count;
    uint64_t upload_ids;     /* given out */
    struct chunk_id *chunks; /* durable at some time */
    size_t chunk_count, chunk_size;
};

void model_fini(struct model *model);
void model_note_chunks(struct model *model, const struct model_row *row);
bool model_is_referenced(const struct model *model, struct chunk_id id);
bool model_is_empty(const struct model_bucket *bucket);
struct meta_usage model_usage(const struct model_bucket *bucket);

/* OK, PRECONDITION or NOT_FOUND, as the operation must answer. */
enum gfs_err model_judge(const struct model_row *row, const struct meta_condition *condition);

/* What a listing must show, as text; "+" at the end: truncated. */
void model_list_objects(const struct model_bucket *bucket, const struct meta_list_query *query,
                        struct gfs_buf *out);
void model_list_uploads(const struct model_bucket *bucket, const struct meta_list_query *query,
                        struct gfs_buf *out);
/* One item of such a text: a key with its tag or upload id, or a common prefix. */
void model_write_item(struct gfs_buf *out, struct gfs_slice key, bool is_prefix, uint64_t value);
