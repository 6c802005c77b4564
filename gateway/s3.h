/* One S3 request: what every operation gets, and what it may call.
 *
 * Life: s3_request.c parses the target, finds the operation (s3_routes.c), authenticates and
 * authorises, looks the bucket up, and calls op->start. Operations with a body then get op->data
 * (stream) or find it whole in r->body (XML), and op->finish once the body was complete and its
 * signature, length and Content-MD5 were right. Each operation ends with exactly one s3_reply_* or
 * s3_fail. All of it runs on the request's loop thread; blocking work goes through s3_block, and
 * commits through s3_commit, whose `after` runs on the loop thread again. A request whose client
 * vanished lives on until its pending work is done; replies then go nowhere. */
#pragma once

#include "gateway/auth.h"
#include "gateway/gateway.h"
#include "gateway/http_server.h"
#include "gateway/s3_error.h"
#include "libgoodfs/arena.h"
#include "libgoodfs/buf.h"
#include "libgoodfs/meta_service.h"
#include "libgoodfs/xml.h"

struct s3_request;

enum s3_level { S3_SERVICE, S3_BUCKET, S3_OBJECT };

enum s3_body_mode {
    S3_BODY_NONE,   /* a body is drained and ignored (bounded) */
    S3_BODY_XML,    /* buffered whole, at most GFS_XML_BODY_MAX bytes; over it MalformedXML */
    S3_BODY_STREAM, /* data() */
};

/* What authorisation asks about; every route names one (s3_routes.c). */
enum s3_action {
    S3_ACTION_READ,
    S3_ACTION_WRITE,
    S3_ACTION_LIST,
    S3_ACTION_ADMIN_BUCKET,
    S3_ACTION_FORM, /* POST object: authenticated by its policy, in the operation */
};

enum s3_flags {
    S3_NEEDS_BUCKET = 1, /* r->bucket_rec is filled, else NoSuchBucket, before start */
    /* x-amz-checksum-* headers are about the object and checked by the operation, not about the
     * XML body */
    S3_CHECKSUM_OF_OBJECT = 2,
};

/* Immutable table entry. */
struct s3_op {
    const char *name; /* AWS's name of the operation, for logs and metrics */
    enum s3_action action;
    enum s3_body_mode body;
    unsigned flags;
    void (*start)(struct s3_request *r);
    /* STREAM: answers how many bytes were taken; fewer: s3_resume_body continues. */
    size_t (*data)(struct s3_request *r, const char *ptr, size_t len);
    void (*finish)(struct s3_request *r);
    void (*release)(struct s3_request *r); /* frees op_state; always called last; may be NULL */
};

/* Plain data. A decoded query parameter; has_value is false for "?acl". */
struct s3_param {
    struct gfs_slice name, value;
    bool has_value;
};

/* Owned by its loop thread, except what s3_block's work function may touch: arena, op_state and the
 * fields it was given, while the loop thread leaves them alone. */
struct s3_request {
    struct gateway *gw;
    struct http_exchange *x; /* NULL once the exchange is closed */
    struct http_loop *loop;
    const struct http_request *http; /* copied into the arena on the first hold */
    struct gfs_arena arena;
    const struct s3_op *op;
    char request_id[17];
    enum s3_level level;
    struct gfs_slice bucket, key; /* decoded; NUL-terminated */
    struct gfs_slice host;        /* as the client named it */
    uint32_t param_count;
    struct s3_param *params;
    struct auth_result auth;
    struct auth_detail auth_detail;
    struct meta_bucket bucket_rec;
    uint64_t object_size; /* for the error that tells it, see S3_InvalidRange */
    struct gfs_buf body;  /* S3_BODY_XML */
    void *op_state;
    int64_t start_ns;
    struct s3_body_state *body_state; /* s3_request.c */
    struct gfs_buf reply_bytes;       /* owns the body of a bytes reply */
    uint32_t reply_header_count, reply_header_size;
    struct http_reply_header *reply_headers; /* in the arena */
    uint32_t hold_count;
    bool is_replied, is_closed, is_detached;
    int status;
};

/* ---- reading the request ---- */
/* NULL when absent. */
const struct s3_param *s3_param_find(const struct s3_request *r, const char *name);
/* Value of a parameter; empty slice when absent or without value. */
struct gfs_slice s3_param_value(const struct s3_request *r, const char *name);
/* Integer parameter in 0..max; absent: *ret = fallback. S3_InvalidArgument with a message naming
 * the parameter; values over max are cut to max when clamp. */
enum s3_err s3_param_uint(struct s3_request *r, const char *name, uint32_t max, bool clamp,
                          uint32_t fallback, uint32_t *ret);
struct gfs_slice s3_header(const struct s3_request *r, const char *lower_name);

/* ---- answering (loop thread, exactly once) ---- */
/* Adds a header to the coming reply; the slice must live in the arena or be static. */
void s3_reply_header_slice(struct s3_request *r, struct gfs_slice name, struct gfs_slice value);
void s3_reply_header(struct s3_request *r, const char *name, struct gfs_slice value);
void s3_reply_header_str(struct s3_request *r, const char *name, const char *value);
void s3_reply_empty(struct s3_request *r, int status);
/* Takes the buffer's storage; GFS "is_full" becomes InternalError. Content-Type: application/xml.
 */
void s3_reply_xml(struct s3_request *r, int status, struct gfs_buf *xml);
/* Any other body; fills in the common headers. */
void s3_reply(struct s3_request *r, struct http_reply *reply);
/* Error body (none for HEAD and 304); message NULL = the code's own. printf style. */
void s3_fail(struct s3_request *r, enum s3_err err, const char *format, ...) GFS_PRINTF(3, 4);
/* message may be NULL: the error's own text. */
static inline void s3_fail_message(struct s3_request *r, enum s3_err err, const char *message)
{
    s3_fail(r, err, message == NULL ? NULL : "%s", message);
}
/* The S3 error for a failed metadata or chunk operation; GFS_NOT_FOUND by what_missing. */
enum s3_err s3_err_from_gfs(enum gfs_err err, enum meta_missing what_missing);

/* ---- waiting ---- */
/* Runs work(r) on a worker thread (it may block), then after(r) on the loop thread. When too many
 * are waiting the request is answered SlowDown and neither runs. */
void s3_block(struct s3_request *r, void (*work)(struct s3_request *r),
              void (*after)(struct s3_request *r));
/* The same, but for requests whose reply is under way: false, and no answer, when too many are
 * waiting. */
bool s3_try_block(struct s3_request *r, void (*work)(struct s3_request *r),
                  void (*after)(struct s3_request *r));
/* Submits the operation (from memory at once, else through a worker) and calls after(r, op, err) on
 * the loop thread. The op lives in the arena or op_state; op->done and op->arg are set here. */
void s3_commit(struct s3_request *r, struct meta_op *op,
               void (*after)(struct s3_request *r, struct meta_op *op, enum gfs_err err));
/* Keeps the request alive for a callback of the caller's own; paired with s3_release. */
void s3_hold(struct s3_request *r);
void s3_release(struct s3_request *r);
/* The body that data() left is offered again. */
void s3_resume_body(struct s3_request *r);
/* Object row from memory or through a worker; then after(r, err, row) on the loop thread (row to be
 * unref-ed by after). */
void s3_lookup(struct s3_request *r, uint64_t bucket_id, struct gfs_slice key,
               void (*after)(struct s3_request *r, enum gfs_err err, struct meta_row *row));

/* ---- helpers shared by operations (s3_common.c) ---- */
/* The versionId parameter: absent or "null" is S3_OK. S3_NoSuchVersion for what could be an id,
 * S3_InvalidArgument for what cannot. */
enum s3_err s3_version_check(const struct s3_request *r, const char **ret_message);
/* "\"md5hex\"" or "\"md5hex-N\"", in the arena. */
struct gfs_slice s3_etag_text(struct gfs_arena *arena, const uint8_t etag[META_ETAG_LEN],
                              uint32_t parts);
/* Quoted or bare; S3_OK and false when it is no ETag that this store can have made. */
bool s3_etag_parse(struct gfs_slice text, uint8_t ret[META_ETAG_LEN], uint32_t *ret_parts);
/* "CRC32", "CRC64NVME"...; and back, case-insensitive; NONE when unknown. */
const char *s3_checksum_name(enum meta_checksum_algo algo);
enum meta_checksum_algo s3_checksum_parse(struct gfs_slice text);
/* "x-amz-checksum-crc32" */
const char *s3_checksum_header(enum meta_checksum_algo algo);
/* base64 of the value, with "-N" for COMPOSITE when parts > 0; in the arena. */
struct gfs_slice s3_checksum_text(struct gfs_arena *arena, const struct meta_checksum *checksum,
                                  uint32_t parts);
const char *s3_checksum_type_name(enum meta_checksum_type type);
/* upload ids on the wire: 32 hex digits. False: no id of ours (NoSuchUpload). */
bool s3_upload_id_parse(struct gfs_slice text, uint8_t ret[META_UPLOAD_ID_LEN]);
struct gfs_slice s3_upload_id_text(struct gfs_arena *arena, const uint8_t id[META_UPLOAD_ID_LEN]);
/* Key or prefix in a listing: percent-encoded when encode, else as it is. */
void s3_xml_key(struct gfs_buf *xml, const char *element, struct gfs_slice key, bool encode);
/* <Owner> or <Initiator> of the one account; r may be NULL. */
void s3_xml_owner(struct gfs_buf *xml, const char *element, const struct s3_request *r);
/* Canonical user id of the one account. */
const char *s3_owner_id(void);
/* Storage class as shown: "STANDARD" when empty. */
struct gfs_slice s3_storage_class_text(const struct meta_object *object);
/* True for 3..63 characters by S3's naming rules. */
bool s3_bucket_name_ok(struct gfs_slice name);
/* The class that x-amz-storage-class names, else the bucket's own; empty = STANDARD, what the store
 * does by itself. S3_InvalidStorageClass. */
enum s3_err s3_wanted_storage_class(struct s3_request *r, struct gfs_slice *ret);
/* System headers to store (content-type, cache-control, content-disposition, content-encoding
 * without aws-chunked, content-language, expires) and x-amz-meta-*, from the request's headers,
 * into object->headers in the arena. S3_MetadataTooLarge, S3_InvalidArgument. Also refuses with
 * S3_NotImplemented request headers that would change the meaning of what is stored and are not
 * supported (server-side encryption, object lock, tagging, ACL grants, website redirect), and
 * fills in object->storage_class. */
enum s3_err s3_stored_headers(struct s3_request *r, struct meta_object *object,
                              const char **ret_message);
/* The declared checksum: x-amz-checksum-<algo> (value), x-amz-sdk-checksum-algorithm,
 * x-amz-trailer. algo NONE when nothing was asked. InvalidRequest: two values, a bad value or an
 * unknown algorithm in x-amz-checksum-algorithm. */
struct s3_declared_checksum {
    enum meta_checksum_algo algo;
    bool has_value; /* in a header; otherwise it comes in the trailer, or is only to be computed */
    uint8_t value[META_CHECKSUM_LEN_MAX];
};
enum s3_err s3_declared_checksum(struct s3_request *r, struct s3_declared_checksum *ret,
                                 const char **ret_message);
/* If-Match / If-None-Match of a write into a commit condition. S3_NotImplemented for If-None-Match
 * other than "*" and for dates. */
enum s3_err s3_write_condition(struct s3_request *r, struct meta_condition *ret,
                               const char **ret_message);
