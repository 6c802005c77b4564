/* GetObject and HeadObject.
 *
 * The hot path (row and data in memory) answers inside the first call: lookup, conditions, range,
 * one verified read into the reply's buffer. What needs the disk goes through a worker. Larger
 * answers are streamed: read, verify, send, block by block; a block that does not verify resets the
 * connection, so that no client takes a short or wrong body for a good one. */
#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "gateway/reader.h"
#include "gateway/s3_conditions.h"
#include "gateway/s3_ops.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum {
    GET_BYTES_MAX = 256 * 1024, /* up to here the answer is one buffer */
    GET_PREFETCH_SIZE = 256 * 1024,
    GET_RETRIES = 3, /* chunks that vanish between lookup and pin: the object was replaced */
};

/* In the request's arena. */
struct get {
    struct meta_row *row;
    struct meta_object object;
    struct s3_range range;
    uint32_t part_number; /* 0 = none */
    int status;
    struct reader *reader;
    uint32_t retry_count;
    /* one block of work for a worker: the next bytes, read from the disk */
    char *prefetch;
    size_t prefetch_len, prefetch_used;
    enum gfs_err prefetch_err;
    bool is_prefetching;
};

static void found(struct s3_request *r, enum gfs_err err, struct meta_row *row);

/* ---- headers ---- */

static const char *const overrides[][2] = {
    {"response-content-type", "content-type"},
    {"response-content-language", "content-language"},
    {"response-expires", "expires"},
    {"response-cache-control", "cache-control"},
    {"response-content-disposition", "content-disposition"},
    {"response-content-encoding", "content-encoding"},
};

static struct gfs_slice override_of(const struct s3_request *r, struct gfs_slice name)
{
    if (r->param_count == 0) {
        return (struct gfs_slice){0};
    }
    for (size_t i = 0; i < GFS_COUNT(overrides); i++) {
        if (gfs_slice_eq_str(name, overrides[i][1])) {
            const struct s3_param *param = s3_param_find(r, overrides[i][0]);
            return param == NULL ? (struct gfs_slice){0} : param->value;
        }
    }
    return (struct gfs_slice){0};
}

/* A line break in an override would begin a header of the requester's choice. */
static bool are_overrides_sendable(const struct s3_request *r)
{
    for (size_t i = 0; i < GFS_COUNT(overrides) && r->param_count > 0; i++) {
        struct gfs_slice value = s3_param_value(r, overrides[i][0]);
        for (size_t at = 0; at < value.len; at++) {
            unsigned char c = (unsigned char)value.ptr[at];
            if ((c < ' ' && c != '\t') || c == 0x7f) {
                return false;
            }
        }
    }
    return true;
}

/* Stored headers, unless overridden; then the overrides themselves. */
static void add_stored_headers(struct s3_request *r, const struct meta_object *object)
{
    bool has_type = false;
    for (uint32_t i = 0; i < object->header_count; i++) {
        struct gfs_slice name = object->headers[i].name;
        if (override_of(r, name).ptr != NULL) {
            continue;
        }
        has_type = has_type || gfs_slice_eq_str(name, "content-type");
        s3_reply_header_slice(r, name, object->headers[i].value);
    }
    for (size_t i = 0; i < GFS_COUNT(overrides) && r->param_count > 0; i++) {
        const struct s3_param *param = s3_param_find(r, overrides[i][0]);
        if (param != NULL) {
            has_type = has_type || i == 0;
            s3_reply_header(r, overrides[i][1], param->value);
        }
    }
    if (!has_type) {
        s3_reply_header_str(r, "content-type", "binary/octet-stream");
    }
}

static void add_checksum(struct s3_request *r, const struct get *get)
{
    const struct meta_object *object = &get->object;
    struct gfs_slice mode = s3_header(r, "x-amz-checksum-mode");
    if (!gfs_slice_case_eq(mode, GFS_SLICE_LITERAL("enabled")) ||
        object->checksum.algo == META_CHECKSUM_NONE) {
        return;
    }
    if (get->part_number != 0 && object->part_count > 0) {
        const struct meta_part *part = &object->parts[get->part_number - 1];
        if (part->checksum.algo != META_CHECKSUM_NONE) {
            s3_reply_header(r, s3_checksum_header(part->checksum.algo),
                            s3_checksum_text(&r->arena, &part->checksum, 0));
        }
        return;
    }
    if (get->range.is_partial && get->range.len != object->size) {
        return; /* a checksum of all bytes says nothing about some of them */
    }
    s3_reply_header(r, s3_checksum_header(object->checksum.algo),
                    s3_checksum_text(&r->arena, &object->checksum, object->etag_parts));
    s3_reply_header_str(r, "x-amz-checksum-type", s3_checksum_type_name(object->checksum.type));
}

static void add_headers(struct s3_request *r, const struct get *get)
{
    const struct meta_object *object = &get->object;
    char *date = gfs_arena_alloc(&r->arena, GFS_HTTP_DATE_LEN + 1);
    GFS_ASSERT(date != NULL);
    gfs_http_date(object->mtime_ms / 1000, date);
    s3_reply_header(r, "last-modified", gfs_slice_of(date, GFS_HTTP_DATE_LEN));
    s3_reply_header(r, "etag", s3_etag_text(&r->arena, object->etag, object->etag_parts));
    s3_reply_header_str(r, "accept-ranges", "bytes");
    if (object->storage_class.len > 0 && !gfs_slice_eq_str(object->storage_class, "STANDARD")) {
        s3_reply_header(r, "x-amz-storage-class", object->storage_class);
    }
    add_checksum(r, get);
    if (get->part_number != 0 && object->part_count > 0) {
        s3_reply_header_str(r, "x-amz-mp-parts-count",
                            gfs_arena_printf(&r->arena, "%u", object->part_count));
    }
    if (get->range.is_partial && get->status == 206) {
        s3_reply_header_str(
            r, "content-range",
            gfs_arena_printf(&r->arena, "bytes %llu-%llu/%llu",
                             (unsigned long long)get->range.start,
                             (unsigned long long)(get->range.start + get->range.len - 1),
                             (unsigned long long)object->size));
    }
    add_stored_headers(r, object);
}

/* ---- streaming ---- */

static void prefetch_work(struct s3_request *r)
{
    struct get *get = r->op_state;
    get->prefetch_err =
        reader_read(get->reader, get->prefetch, GET_PREFETCH_SIZE, 0, &get->prefetch_len);
    get->prefetch_used = 0;
}

static void prefetch_after(struct s3_request *r)
{
    struct get *get = r->op_state;
    get->is_prefetching = false;
    if (r->x != NULL) {
        http_resume(r->x);
    }
}

/* The reply is under way, so s3_block's SlowDown is no answer here: a full queue ends the transfer.
 */
static bool start_prefetch(struct s3_request *r, struct get *get)
{
    if (get->prefetch == NULL) {
        get->prefetch = malloc(GET_PREFETCH_SIZE);
        if (get->prefetch == NULL) {
            return false;
        }
    }
    get->is_prefetching = true;
    if (!s3_try_block(r, prefetch_work, prefetch_after)) {
        get->is_prefetching = false;
    }
    return get->is_prefetching;
}

static int64_t broken(struct s3_request *r, enum gfs_err err)
{
    char bucket[96];
    char key[256];
    gfs_log(GFS_LOG_ERROR, "req=%s op=%s bucket=%s key=%s err=%s msg=\"read failed, reset\"",
            r->request_id, r->op->name, gfs_log_quote(r->bucket, bucket, sizeof bucket),
            gfs_log_quote(r->key, key, sizeof key), gfs_err_name(err));
    r->status = 500;
    return -1;
}

static int64_t stream_read(void *arg, uint64_t offset, char *buf, size_t size)
{
    struct s3_request *r = arg;
    struct get *get = r->op_state;
    (void)offset; /* the server asks in order */
    if (get->is_prefetching) {
        return 0;
    }
    if (get->prefetch_err != GFS_OK) {
        return broken(r, get->prefetch_err);
    }
    if (get->prefetch_used < get->prefetch_len) {
        size_t len = GFS_MIN(size, get->prefetch_len - get->prefetch_used);
        memcpy(buf, get->prefetch + get->prefetch_used, len);
        get->prefetch_used += len;
        return (int64_t)len;
    }
    size_t len = 0;
    enum gfs_err err = reader_read(get->reader, buf, size, CHUNK_READ_NOWAIT, &len);
    if (err == GFS_AGAIN) {
        return start_prefetch(r, get) ? 0 : broken(r, GFS_BUSY);
    }
    return err == GFS_OK ? (int64_t)len : broken(r, err);
}

/* ---- answers ---- */

static void reply_bytes(struct s3_request *r, struct get *get)
{
    add_headers(r, get);
    struct http_reply reply = {
        .status = get->status, .body = HTTP_BODY_BYTES, .bytes = gfs_buf_slice(&r->reply_bytes)};
    s3_reply(r, &reply);
}

/* The whole range into the reply's buffer; AGAIN leaves what was read where it is. */
static enum gfs_err fill(struct s3_request *r, unsigned flags)
{
    struct get *get = r->op_state;
    struct gfs_buf *out = &r->reply_bytes;
    while (reader_left(get->reader) > 0) {
        size_t len = 0;
        enum gfs_err err =
            reader_read(get->reader, out->ptr + out->len, out->size - out->len, flags, &len);
        if (err != GFS_OK) {
            return err;
        }
        out->len += len;
    }
    return GFS_OK;
}

static void fill_work(struct s3_request *r)
{
    struct get *get = r->op_state;
    get->prefetch_err = fill(r, 0);
}

static void fill_after(struct s3_request *r)
{
    struct get *get = r->op_state;
    if (get->prefetch_err == GFS_OK) {
        reply_bytes(r, get);
        return;
    }
    gfs_buf_fini(&r->reply_bytes);
    (void)broken(r, get->prefetch_err);
    s3_fail(r, s3_err_from_gfs(reader_verdict(get->prefetch_err), META_MISSING_NONE), NULL);
}

static void send_body(struct s3_request *r, struct get *get)
{
    if (get->range.len > GET_BYTES_MAX) {
        add_headers(r, get);
        struct http_reply reply = {.status = get->status,
                                   .body = HTTP_BODY_STREAM,
                                   .length = get->range.len,
                                   .read = stream_read,
                                   .arg = r};
        s3_reply(r, &reply);
        return;
    }
    /* room for the last block whole, so that it is read without a second copy */
    gfs_buf_init(&r->reply_bytes, GET_BYTES_MAX + GFS_BLOCK_SIZE);
    if (gfs_buf_reserve(&r->reply_bytes, get->range.len) == NULL) {
        s3_fail(r, S3_SlowDown, NULL);
        return;
    }
    enum gfs_err err = fill(r, CHUNK_READ_NOWAIT);
    if (err == GFS_AGAIN) {
        s3_block(r, fill_work, fill_after);
        return;
    }
    get->prefetch_err = err;
    fill_after(r);
}

static void reply_head(struct s3_request *r, struct get *get)
{
    add_headers(r, get);
    struct http_reply reply = {.status = get->status,
                               .body = HTTP_BODY_NONE,
                               .has_length = true,
                               .length = get->range.len};
    s3_reply(r, &reply);
}

static void reply_not_modified(struct s3_request *r, struct get *get)
{
    get->status = 304;
    get->range.is_partial = false;
    add_headers(r, get);
    s3_reply_empty(r, 304);
}

static void reply_bad_range(struct s3_request *r, const struct get *get)
{
    r->object_size = get->object.size;
    s3_fail(r, S3_InvalidRange, NULL);
}

/* partNumber=N: the bytes of that part. */
static enum s3_err select_part(struct s3_request *r, struct get *get)
{
    const struct meta_object *object = &get->object;
    if (s3_header(r, "range").ptr != NULL) {
        return S3_InvalidRequest;
    }
    uint64_t number = 0;
    if (gfs_parse_u64(s3_param_value(r, "partNumber"), GFS_PART_NUMBER_MAX, &number) != GFS_OK ||
        number == 0) {
        return S3_InvalidArgument;
    }
    get->part_number = (uint32_t)number;
    uint32_t count = GFS_MAX(object->part_count, 1U);
    if (number > count) {
        return S3_InvalidPartNumber;
    }
    get->range = (struct s3_range){.is_partial = true, .start = 0, .len = object->size};
    if (object->part_count > 0) {
        for (uint32_t i = 0; i + 1 < number; i++) {
            get->range.start += object->parts[i].size;
        }
        get->range.len = object->parts[number - 1].size;
    }
    return S3_OK;
}

static enum s3_err select_range(struct s3_request *r, struct get *get)
{
    get->status = 200;
    get->range = (struct s3_range){.is_partial = false, .start = 0, .len = get->object.size};
    enum s3_err err = S3_OK;
    if (s3_param_find(r, "partNumber") != NULL) {
        err = select_part(r, get);
    } else {
        struct gfs_slice header = s3_header(r, "range");
        if (header.ptr != NULL && s3_if_range_holds(r, &get->object)) {
            err = s3_range_parse(header, get->object.size, &get->range);
        }
    }
    if (get->range.is_partial && get->range.len > 0) {
        get->status = 206;
    }
    return err;
}

static void respond(struct s3_request *r, struct get *get)
{
    enum s3_err err = s3_read_condition(r, "", &get->object);
    if (err == S3_NotModified) {
        (void)select_range(r, get);
        reply_not_modified(r, get);
        return;
    }
    if (err != S3_OK) {
        s3_fail(r, err, NULL);
        return;
    }
    err = select_range(r, get);
    if (err == S3_InvalidRange) {
        reply_bad_range(r, get);
        return;
    }
    if (err != S3_OK) {
        s3_fail(r, err,
                err == S3_InvalidRequest
                    ? "Cannot specify both Range header and partNumber query parameter"
                : err == S3_InvalidArgument
                    ? "Part number must be an integer between 1 and 10000, inclusive"
                    : NULL);
        return;
    }
    if (r->http->method == HTTP_HEAD || get->range.len == 0) {
        reply_head(r, get);
        return;
    }
    enum gfs_err gfs =
        reader_new(r->gw->options.chunks, get->object.chunks, get->object.chunk_count,
                   get->range.start, get->range.len, &get->reader);
    if (reader_may_be_stale(gfs) && get->retry_count++ < GET_RETRIES) {
        meta_row_unref(GFS_TAKE(get->row));
        s3_lookup(r, r->bucket_rec.id, r->key, found);
        return;
    }
    if (gfs != GFS_OK) {
        (void)broken(r, gfs);
        s3_fail(r, s3_err_from_gfs(reader_verdict(gfs), META_MISSING_NONE), NULL);
        return;
    }
    send_body(r, get);
}

static void found(struct s3_request *r, enum gfs_err err, struct meta_row *row)
{
    struct get *get = r->op_state;
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, META_MISSING_KEY), NULL);
        return;
    }
    get->row = row;
    err = meta_object_decode(meta_row_bytes(row), &r->arena, &get->object);
    if (err != GFS_OK) {
        (void)broken(r, err);
        s3_fail(r, s3_err_from_gfs(err, META_MISSING_NONE), NULL);
        return;
    }
    respond(r, get);
}

static void get_start(struct s3_request *r)
{
    struct get *get = gfs_arena_alloc(&r->arena, sizeof *get);
    GFS_ASSERT(get != NULL);
    r->op_state = get;
    const char *message = NULL;
    enum s3_err err = s3_version_check(r, &message);
    if (err == S3_OK && !are_overrides_sendable(r)) {
        err = S3_InvalidArgument;
        message = "A response header override holds a control character.";
    }
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    s3_lookup(r, r->bucket_rec.id, r->key, found);
}

static void get_release(struct s3_request *r)
{
    struct get *get = r->op_state;
    if (get != NULL) {
        reader_free(get->reader);
        meta_row_unref(get->row);
        free(get->prefetch);
    }
}

const struct s3_op s3_op_get_object = {
    .name = "GetObject",
    .action = S3_ACTION_READ,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = get_start,
    .release = get_release,
};

const struct s3_op s3_op_head_object = {
    .name = "HeadObject",
    .action = S3_ACTION_READ,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = get_start,
    .release = get_release,
};
