/* The interface of the metadata service: rows, and the operations that change them.
 *
 * Implemented by metad (one shard in this process); used by the gateway. Reads see exactly the
 * operations whose done was, or could have been, called with GFS_OK; conditions are evaluated
 * inside the commit, against everything proposed before. An operation is one edit-log record:
 * atomic, durable when done says GFS_OK, together with the chunk records that came with it. */
#pragma once

#include <stdint.h>

#include "libgoodfs/arena.h"
#include "libgoodfs/chunk_store.h"
#include "libgoodfs/err.h"
#include "libgoodfs/limits.h"
#include "libgoodfs/slice.h"

enum meta_checksum_algo {
    META_CHECKSUM_NONE = 0,
    META_CHECKSUM_CRC32,
    META_CHECKSUM_CRC32C,
    META_CHECKSUM_CRC64NVME,
    META_CHECKSUM_SHA1,
    META_CHECKSUM_SHA256,
};

enum meta_checksum_type { META_CHECKSUM_FULL_OBJECT = 0, META_CHECKSUM_COMPOSITE };

enum { META_CHECKSUM_LEN_MAX = 32, META_ETAG_LEN = 16, META_UPLOAD_ID_LEN = 16 };

/* Plain data. CRCs big-endian, as S3 sends them in base64. */
struct meta_checksum {
    enum meta_checksum_algo algo;
    enum meta_checksum_type type;
    uint8_t value[META_CHECKSUM_LEN_MAX];
};

/* Bytes of a value: 4, 4, 8, 20, 32; 0 for none. */
size_t meta_checksum_len(enum meta_checksum_algo algo);

/* Plain data. A run of bytes inside a stored chunk. */
struct meta_chunk_ref {
    struct chunk_id id;
    uint32_t pg;     /* placement group */
    uint32_t offset; /* in the chunk, 0 unless a part was copied from a range */
    uint32_t len;    /* bytes */
};

/* Plain data. A name and a value, both borrowed. */
struct meta_header {
    struct gfs_slice name; /* lower case */
    struct gfs_slice value;
};

/* Plain data. One part of a completed multipart object, or one uploaded part. */
struct meta_part {
    uint32_t number;  /* 1..10,000 */
    uint64_t size;    /* bytes */
    uint64_t mod_lsn; /* uploaded parts: LSN that wrote it; 0 in completed objects */
    int64_t mtime_ms; /* Unix time */
    uint8_t etag[META_ETAG_LEN];
    uint64_t crc64;                /* CRC64NVME of the part, always known */
    struct meta_checksum checksum; /* what the client asked for; FULL_OBJECT type, of this part */
    uint32_t chunk_count;
    struct meta_chunk_ref *chunks; /* uploaded parts only; NULL in a completed object's parts */
};

/* Plain data. An object, or an upload in progress (size, etag, parts and chunks unused). Slices and
 * arrays are borrowed. */
struct meta_object {
    uint64_t mod_lsn; /* LSN of the operation that wrote it; filled by metad */
    int64_t mtime_ms; /* Unix time; filled by metad when the operation is proposed */
    uint64_t size;    /* bytes */
    uint8_t etag[META_ETAG_LEN];
    uint32_t etag_parts;            /* 0: plain MD5, else the N of "md5-N" */
    uint64_t crc64;                 /* CRC64NVME of the whole object */
    struct meta_checksum checksum;  /* what is shown to clients; NONE never for new objects */
    struct gfs_slice storage_class; /* empty = STANDARD */
    uint32_t header_count;       /* stored system headers (content-type, cache-control, ...) and */
    struct meta_header *headers; /* x-amz-meta-*, in the order given */
    uint32_t part_count;
    struct meta_part *parts; /* completed multipart: in order, without chunks */
    uint32_t chunk_count;
    struct meta_chunk_ref *chunks; /* all bytes of the object in order */
};

/* Plain data. */
struct meta_bucket {
    uint64_t id; /* never reused: a bucket made again under an old name is another bucket */
    int64_t created_ms;
    char name[GFS_BUCKET_NAME_LEN_MAX + 1];
    char region[32];        /* empty = us-east-1 */
    char storage_class[32]; /* of objects that name none; empty = the store's default */
};

/* An encoded, checksummed row, shared and reference-counted (atomic). */
struct meta_row;
struct gfs_slice meta_row_bytes(const struct meta_row *row);
void meta_row_unref(struct meta_row *row); /* NULL allowed */

/* Decoding (metad/record.c, also for tests). Slices point into the bytes, arrays into the arena.
 * GFS_CORRUPT, GFS_BUSY (arena full). */
enum gfs_err meta_object_decode(struct gfs_slice bytes, struct gfs_arena *arena,
                                struct meta_object *ret);
/* Only the fields a listing shows: mod_lsn, mtime, size, etag, etag_parts, checksum,
 * storage_class. Allocates nothing. */
enum gfs_err meta_object_decode_summary(struct gfs_slice bytes, struct meta_object *ret);
enum gfs_err meta_part_decode(struct gfs_slice bytes, struct gfs_arena *arena,
                              struct meta_part *ret);

/* Plain data. What a finished upload became, kept for 7 days so that a repeated Complete can be
 * given the same answer. key is borrowed from the bytes. */
struct meta_completed {
    uint64_t bucket_id;
    struct gfs_slice key;
    uint64_t mod_lsn; /* of the object it made */
    int64_t mtime_ms;
    uint64_t size;
    uint8_t etag[META_ETAG_LEN];
    uint32_t etag_parts;
    uint64_t crc64;
    struct meta_checksum checksum;
};
enum gfs_err meta_completed_decode(struct gfs_slice bytes, struct meta_completed *ret);

/* A condition on the current object, evaluated inside the commit. Plain data. */
struct meta_condition {
    bool if_none_match_any; /* If-None-Match: * */
    bool if_match_any;      /* If-Match: * */
    bool has_if_match;      /* If-Match: one of etags */
    uint32_t etag_count;
    struct meta_etag {
        uint8_t md5[META_ETAG_LEN];
        uint32_t parts;
    } * etags;
    bool has_if_match_mtime; /* x-amz-if-match-last-modified-time, whole seconds */
    int64_t if_match_mtime_s;
    bool has_if_match_size;
    uint64_t if_match_size;
};

/* object: the encoded current object, ptr NULL when there is none. OK, PRECONDITION, NOT_FOUND
 * (something must match, and nothing is there), CORRUPT. The commit judges by it; before, it only
 * saves work that is bound to fail. */
bool meta_condition_is_any(const struct meta_condition *condition);
enum gfs_err meta_condition_check(const struct meta_condition *condition,
                                  struct gfs_slice object) GFS_MUST_CHECK;

enum meta_op_kind {
    META_BUCKET_CREATE = 1, /* name, region, storage_class; EXISTS (ret_bucket = the one there) */
    META_BUCKET_DELETE,     /* bucket_id; NOT_FOUND, NOT_EMPTY; drops its uploads */
    META_OBJECT_PUT,        /* bucket_id, key, object; NOT_FOUND = no such bucket */
    META_OBJECT_DELETE,     /* bucket_id, deletes[]; each delete has its own err */
    META_UPLOAD_CREATE,     /* bucket_id, key, object, upload_id */
    META_PART_PUT,          /* bucket_id, key, upload_id, part; NOT_FOUND = no such upload/bucket */
    META_UPLOAD_COMPLETE,   /* bucket_id, key, upload_id, object, used_parts */
    META_UPLOAD_ABORT,      /* bucket_id, key, upload_id; NOT_FOUND */
    META_BUCKET_SET,        /* bucket_id, setting, and its value; NOT_FOUND */
};

/* Settings of a bucket: which one META_BUCKET_SET changes. The values are on disk. */
enum meta_bucket_setting {
    META_BUCKET_STORAGE_CLASS = 1, /* storage_class; empty = the store's default */
};

/* Plain data. One key of META_OBJECT_DELETE. */
struct meta_delete {
    struct gfs_slice key;
    struct meta_condition condition;
    /* out: OK also when the key was not there (unless a condition demanded it: NOT_FOUND), or
     * PRECONDITION */
    enum gfs_err err;
};

/* Shared chunks (copies without moving data): the row they come from must still be the one that
 * was read, else GFS_CONFLICT and the caller reads again. Plain data. */
struct meta_share {
    bool is_used;
    uint64_t bucket_id;
    struct gfs_slice key;
    uint64_t mod_lsn;
};

struct meta_op;
/* Called once, on a thread of the service; must not block; the op belongs to the caller again.
 * Answers besides those of the kind: PRECONDITION (a condition is false), NOT_FOUND (If-Match on a
 * missing key, no such bucket or upload: see op->what_missing), CONFLICT (share or used_parts
 * changed since they were read, or the bucket is being deleted), NO_SPACE, UNREACHABLE (too few
 * disks), IO, BUSY, STOPPED. */
typedef void (*meta_done_fn)(struct meta_op *op, enum gfs_err err);

enum meta_missing { META_MISSING_NONE, META_MISSING_BUCKET, META_MISSING_KEY, META_MISSING_UPLOAD };

/* Plain data. An operation; owned by the caller, and everything in it stays valid until done. */
struct meta_op {
    enum meta_op_kind kind;
    uint64_t bucket_id;
    struct gfs_slice name, region;    /* BUCKET_CREATE */
    struct gfs_slice storage_class;   /* BUCKET_CREATE, BUCKET_SET; else the object has its own */
    enum meta_bucket_setting setting; /* BUCKET_SET */
    struct gfs_slice key;
    struct meta_condition condition; /* OBJECT_PUT, UPLOAD_COMPLETE */
    struct meta_object *object;
    uint8_t upload_id[META_UPLOAD_ID_LEN];
    struct meta_part *part;
    uint32_t used_part_count; /* COMPLETE: (number, mod_lsn) of the parts the object is made of; */
    struct meta_part *used_parts; /* the others are freed */
    uint32_t delete_count;
    struct meta_delete *deletes;
    struct meta_share share;
    struct chunk_record *data; /* DATA and PLACE records that become durable with the edit */
    meta_done_fn done;
    void *arg;
    /* out */
    enum meta_missing what_missing;
    uint64_t lsn;
    int64_t mtime_ms;
    struct meta_bucket ret_bucket; /* BUCKET_CREATE, BUCKET_SET: as it is now */
    void *internal[8];             /* the service's */
};

enum meta_flags {
    META_NOWAIT = 1, /* answer GFS_AGAIN instead of reading the database; the caller then calls
                        again without it from a thread that may block */
};

/* Plain data. One row of a listing; slices are valid during the callback. */
struct meta_list_item {
    bool is_prefix;                        /* a common prefix: only key is set */
    struct gfs_slice key;                  /* object key, common prefix, or upload key */
    struct gfs_slice row;                  /* encoded object, upload or part */
    uint8_t upload_id[META_UPLOAD_ID_LEN]; /* uploads */
};

struct meta_list_query {
    uint64_t bucket_id;
    struct gfs_slice prefix, delimiter;
    struct gfs_slice after; /* exclusive start: a key or a common prefix; empty = beginning */
    bool after_is_prefix;   /* everything that starts with `after` is behind us: set it when the
                               last thing shown was the common prefix `after`. Without it a
                               listing after "a/b" by "/" shows the prefix "a/" (again) when
                               there are keys > "a/b" under it, as S3's start-after does */
    bool has_after_upload;  /* uploads: exclusive start (after, after_upload); without it all */
    uint8_t after_upload[META_UPLOAD_ID_LEN]; /* uploads of key `after` are skipped */
    uint32_t max;                             /* items and prefixes together; 0 = none */
};

/* A visit that answers anything but GFS_OK stops the listing, which answers the same. */
typedef enum gfs_err (*meta_visit_fn)(void *arg, const struct meta_list_item *item);

struct meta_usage {
    uint64_t object_count, object_bytes, upload_count, part_bytes;
};

struct meta_service {
    const struct meta_service_ops *ops;
};

struct meta_service_ops {
    /* The bucket record, from memory. NOT_FOUND. Never blocks. Any thread. */
    enum gfs_err (*bucket)(struct meta_service *meta, struct gfs_slice name,
                           struct meta_bucket *ret);
    /* Buckets in name order after `after`, at most max, into ret (room for max). From memory. */
    enum gfs_err (*buckets)(struct meta_service *meta, struct gfs_slice prefix,
                            struct gfs_slice after, uint32_t max, struct meta_bucket *ret,
                            uint32_t *ret_count, bool *ret_is_truncated);
    /* The committed object. NOT_FOUND, AGAIN (META_NOWAIT), CORRUPT, IO. Any thread. */
    enum gfs_err (*object)(struct meta_service *meta, uint64_t bucket_id, struct gfs_slice key,
                           unsigned flags, struct meta_row **ret);
    enum gfs_err (*upload)(struct meta_service *meta, uint64_t bucket_id, struct gfs_slice key,
                           const uint8_t upload_id[META_UPLOAD_ID_LEN], unsigned flags,
                           struct meta_row **ret);
    /* The result of an upload completed in the last 7 days, for meta_completed_decode. NOT_FOUND,
     * AGAIN (META_NOWAIT), CORRUPT, IO. Any thread. */
    enum gfs_err (*completed)(struct meta_service *meta,
                              const uint8_t upload_id[META_UPLOAD_ID_LEN], unsigned flags,
                              struct meta_row **ret);
    /* Validates, assigns LSN and time, submits. OK: done will be called. AGAIN: only with
     * META_NOWAIT, nothing happened. Everything else comes by done (possibly before return). */
    enum gfs_err (*submit)(struct meta_service *meta, struct meta_op *op, unsigned flags);
    /* Listings; may block. Each key is as of some moment during the call. */
    enum gfs_err (*list_objects)(struct meta_service *meta, const struct meta_list_query *query,
                                 meta_visit_fn visit, void *arg, bool *ret_is_truncated);
    enum gfs_err (*list_uploads)(struct meta_service *meta, const struct meta_list_query *query,
                                 meta_visit_fn visit, void *arg, bool *ret_is_truncated);
    /* Parts of an upload with number > after, in order, at most max. May block. */
    enum gfs_err (*list_parts)(struct meta_service *meta,
                               const uint8_t upload_id[META_UPLOAD_ID_LEN], uint32_t after,
                               uint32_t max, meta_visit_fn visit, void *arg,
                               bool *ret_is_truncated);
    /* Exact usage of a bucket as of the applied state. May block. NOT_FOUND. */
    enum gfs_err (*usage)(struct meta_service *meta, uint64_t bucket_id, struct meta_usage *ret);
};
