/* CopyObject and UploadPartCopy: the copy shares the source's chunks, no byte of them is written,
 * unless it is to have another storage class: then the bytes are read and stored anew.
 *
 * The commit demands that the source is still the row that was read (meta_share); when it changed
 * the copy starts again. What must be hashed anew (a part of a range, another checksum algorithm)
 * is read through a worker, a slice at a time, so that long copies do not hold one. */
#include <stdlib.h>

#include "gateway/checksum.h"
#include "gateway/gateway_state.h"
#include "gateway/reader.h"
#include "gateway/s3_conditions.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_put.h"
#include "gateway/s3_request.h"
#include "gateway/s3_rewrite.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { COPY_RETRIES = 5, COPY_BUFFER_SIZE = 256 * 1024, COPY_SLICE_SIZE = 16 * 1024 * 1024 };

/* In the request's arena. */
struct copy {
    bool is_part;
    uint64_t source_bucket_id;
    struct gfs_slice source_key;
    struct meta_row *source_row, *upload_row;
    struct meta_object source;
    struct s3_range range;
    bool is_replace;
    enum meta_checksum_algo wanted; /* NONE = whatever the source has */
    uint8_t upload_id[META_UPLOAD_ID_LEN];
    enum gfs_err upload_err;
    /* hashing */
    struct reader *reader;
    char *buffer;
    struct gfs_digest md5;
    uint64_t crc64;
    struct checksum sum;
    enum gfs_err hash_err;
    struct s3_rewrite *rewrite; /* NULL = the chunks are shared */
    /* commit */
    struct meta_object object;
    struct meta_part part;
    struct meta_op op;
    uint32_t retry_count;
};

static void source_found(struct s3_request *r, enum gfs_err err, struct meta_row *row);

/* "bucket/key", "/bucket/key", percent-encoded, perhaps with ?versionId=null. */
static enum s3_err parse_source(struct s3_request *r, struct copy *copy, const char **ret_message)
{
    struct gfs_slice raw = s3_header(r, "x-amz-copy-source");
    const char *question = raw.len == 0 ? NULL : memchr(raw.ptr, '?', raw.len);
    if (question != NULL) {
        struct gfs_slice query =
            gfs_slice_of(question + 1, raw.len - (size_t)(question - raw.ptr) - 1);
        if (!gfs_slice_eq_str(query, "versionId=null")) {
            *ret_message = "Invalid version id specified";
            return S3_InvalidArgument;
        }
        raw.len = (size_t)(question - raw.ptr);
    }
    if (raw.len > 0 && raw.ptr[0] == '/') {
        raw = gfs_slice_of(raw.ptr + 1, raw.len - 1);
    }
    *ret_message = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";
    char *text = gfs_arena_alloc(&r->arena, raw.len + 1);
    size_t len = 0;
    if (text == NULL || gfs_uri_decode(raw, false, text, &len) != GFS_OK) {
        return S3_InvalidArgument;
    }
    const char *slash = memchr(text, '/', len);
    if (slash == NULL || slash == text || slash == text + len - 1) {
        return S3_InvalidArgument;
    }
    struct gfs_slice bucket = gfs_slice_of(text, (size_t)(slash - text));
    copy->source_key = gfs_slice_of(slash + 1, len - bucket.len - 1);
    *ret_message = NULL;
    if (copy->source_key.len > GFS_KEY_LEN_MAX) {
        return S3_KeyTooLongError;
    }
    struct meta_bucket found;
    struct meta_service *meta = r->gw->options.meta;
    if (meta->ops->bucket(meta, bucket, &found) != GFS_OK) {
        return S3_NoSuchBucket;
    }
    copy->source_bucket_id = found.id;
    return S3_OK;
}

/* ---- hashing what is shared ---- */

static void hash_work(struct s3_request *r)
{
    struct copy *copy = r->op_state;
    size_t done = 0;
    while (done < COPY_SLICE_SIZE && reader_left(copy->reader) > 0) {
        size_t len = 0;
        copy->hash_err = reader_read(copy->reader, copy->buffer, COPY_BUFFER_SIZE, 0, &len);
        if (copy->hash_err != GFS_OK) {
            return;
        }
        gfs_digest_add(&copy->md5, copy->buffer, len);
        copy->crc64 = gfs_crc64nvme(copy->crc64, copy->buffer, len);
        checksum_add(&copy->sum, copy->buffer, len);
        done += len;
    }
}

static void hashed(struct s3_request *r);

static void hash_after(struct s3_request *r)
{
    struct copy *copy = r->op_state;
    if (copy->hash_err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(reader_verdict(copy->hash_err), META_MISSING_NONE), NULL);
    } else if (r->is_closed) {
        return; /* nobody waits for it */
    } else if (reader_left(copy->reader) > 0) {
        s3_block(r, hash_work, hash_after);
    } else {
        hashed(r);
    }
}

/* Why the source's chunks cannot be read; when they are gone its row is read again. */
static void source_failed(struct s3_request *r, struct copy *copy, enum gfs_err err)
{
    if (reader_may_be_stale(err) && copy->retry_count++ < COPY_RETRIES) {
        meta_row_unref(GFS_TAKE(copy->source_row));
        s3_lookup(r, copy->source_bucket_id, copy->source_key, source_found);
    } else {
        s3_fail(r, s3_err_from_gfs(reader_verdict(err), META_MISSING_NONE), NULL);
    }
}

static void start_hash(struct s3_request *r, struct copy *copy)
{
    gfs_digest_init(&copy->md5, GFS_MD5);
    copy->crc64 = 0;
    checksum_init(&copy->sum, copy->wanted);
    reader_free(GFS_TAKE(copy->reader));
    enum gfs_err err =
        reader_new(r->gw->options.chunks, copy->source.chunks, copy->source.chunk_count,
                   copy->range.start, copy->range.len, &copy->reader);
    if (err != GFS_OK) {
        source_failed(r, copy, err);
        return;
    }
    if (copy->buffer == NULL) {
        copy->buffer = gfs_alloc(COPY_BUFFER_SIZE);
    }
    s3_block(r, hash_work, hash_after);
}

/* ---- commit and answer ---- */

static void add_checksum_elements(struct s3_request *r, struct gfs_buf *xml,
                                  const struct meta_checksum *checksum, uint32_t parts)
{
    if (checksum->algo == META_CHECKSUM_NONE) {
        return;
    }
    const char *name = gfs_arena_printf(&r->arena, "Checksum%s", s3_checksum_name(checksum->algo));
    GFS_ASSERT(name != NULL);
    gfs_xml_element(xml, name, s3_checksum_text(&r->arena, checksum, parts));
}

static void reply_copied(struct s3_request *r, struct copy *copy)
{
    const char *root = copy->is_part ? "CopyPartResult" : "CopyObjectResult";
    char date[GFS_ISO_DATE_LEN + 1];
    struct gfs_buf xml;
    gfs_buf_init(&xml, 4096);
    gfs_xml_begin(&xml, root, "http://s3.amazonaws.com/doc/2006-03-01/");
    gfs_iso_date(copy->op.mtime_ms, date);
    gfs_xml_element_str(&xml, "LastModified", date);
    const uint8_t *etag = copy->is_part ? copy->part.etag : copy->object.etag;
    uint32_t parts = copy->is_part ? 0 : copy->object.etag_parts;
    gfs_xml_element(&xml, "ETag", s3_etag_text(&r->arena, etag, parts));
    add_checksum_elements(r, &xml, copy->is_part ? &copy->part.checksum : &copy->object.checksum,
                          parts);
    if (!copy->is_part) {
        gfs_xml_element_str(&xml, "ChecksumType",
                            s3_checksum_type_name(copy->object.checksum.type));
    }
    gfs_xml_close(&xml, root);
    s3_reply_xml(r, 200, &xml);
}

static void committed(struct s3_request *r, struct meta_op *op, enum gfs_err err)
{
    struct copy *copy = r->op_state;
    bool is_shared = copy->rewrite == NULL;
    if (err == GFS_CONFLICT && is_shared && copy->retry_count++ < COPY_RETRIES) {
        meta_row_unref(GFS_TAKE(copy->source_row));
        s3_lookup(r, copy->source_bucket_id, copy->source_key, source_found);
    } else if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, op->what_missing), NULL);
    } else {
        reply_copied(r, copy);
    }
}

static void commit(struct s3_request *r, struct copy *copy)
{
    copy->op.bucket_id = r->bucket_rec.id;
    copy->op.key = r->key;
    if (copy->rewrite == NULL) {
        copy->op.share = (struct meta_share){.is_used = true,
                                             .bucket_id = copy->source_bucket_id,
                                             .key = copy->source_key,
                                             .mod_lsn = copy->source.mod_lsn};
    } else {
        copy->op.data = s3_rewrite_result(copy->rewrite)->records;
    }
    if (copy->is_part) {
        copy->op.kind = META_PART_PUT;
        copy->op.part = &copy->part;
        memcpy(copy->op.upload_id, copy->upload_id, sizeof copy->upload_id);
    } else {
        copy->op.kind = META_OBJECT_PUT;
        copy->op.object = &copy->object;
    }
    s3_commit(r, &copy->op, committed);
}

/* The references of a byte range: whole chunks and slices of the first and last. */
static void slice_refs(struct s3_request *r, struct copy *copy)
{
    const struct meta_object *source = &copy->source;
    struct meta_part *part = &copy->part;
    part->chunks = gfs_arena_alloc(&r->arena, source->chunk_count * sizeof *part->chunks);
    GFS_ASSERT(part->chunks != NULL || source->chunk_count == 0);
    part->chunk_count = 0;
    uint64_t start = copy->range.start;
    uint64_t left = copy->range.len;
    for (uint32_t i = 0; i < source->chunk_count && left > 0; i++) {
        struct meta_chunk_ref ref = source->chunks[i];
        if (start >= ref.len) {
            start -= ref.len;
            continue;
        }
        ref.offset += (uint32_t)start;
        ref.len -= (uint32_t)start;
        start = 0;
        ref.len = (uint32_t)GFS_MIN((uint64_t)ref.len, left);
        left -= ref.len;
        part->chunks[part->chunk_count++] = ref;
    }
}

static void hashed(struct s3_request *r)
{
    struct copy *copy = r->op_state;
    struct meta_checksum checksum = {.algo = copy->wanted};
    checksum_fini(&copy->sum, checksum.value);
    uint8_t md5[GFS_MD5_LEN];
    gfs_digest_fini(&copy->md5, md5);
    if (!copy->is_part) {
        copy->object.checksum = checksum;
        if (copy->object.etag_parts != 0) {
            /* all bytes were read anyway: the copy gets the ETag of a single upload */
            memcpy(copy->object.etag, md5, sizeof md5);
            copy->object.etag_parts = 0;
            copy->object.part_count = 0;
        }
    } else {
        memcpy(copy->part.etag, md5, sizeof md5);
        copy->part.crc64 = copy->crc64;
        copy->part.checksum = checksum;
    }
    commit(r, copy);
}

/* ---- another storage class ---- */

static void rewritten(struct s3_request *r, enum gfs_err err)
{
    struct copy *copy = r->op_state;
    if (r->is_closed || r->is_replied) {
        return;
    }
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(reader_verdict(err), META_MISSING_NONE), NULL);
        return;
    }
    const struct ingest_result *result = s3_rewrite_result(copy->rewrite);
    if (copy->is_part) {
        s3_fill_part(&copy->part, result);
        commit(r, copy);
        return;
    }
    if (result->crc64 != copy->source.crc64) { /* the whole object: its checksum is known */
        s3_fail(r, S3_InternalError, NULL);
        return;
    }
    s3_fill_object(&copy->object, result);
    copy->object.etag_parts = 0; /* all bytes were read: the ETag of a single upload */
    copy->object.part_count = 0;
    commit(r, copy);
}

static void start_rewrite(struct s3_request *r, struct copy *copy, struct gfs_slice storage_class,
                          struct gfs_slice owner)
{
    struct s3_rewrite_options options = {
        .chunks = copy->source.chunks,
        .chunk_count = copy->source.chunk_count,
        .start = copy->range.start,
        .len = copy->range.len,
        .ingest = {.owner = owner, .storage_class = storage_class, .algo = copy->wanted},
    };
    enum gfs_err err = s3_rewrite_begin(r, &options, &copy->rewrite);
    if (err != GFS_OK) {
        source_failed(r, copy, err);
    } else {
        s3_rewrite_run(copy->rewrite, rewritten);
    }
}

static bool is_other_class(const struct copy *copy, struct gfs_slice storage_class)
{
    return !gfs_slice_eq(storage_class, copy->source.storage_class) && copy->range.len > 0;
}

static void copy_part(struct s3_request *r, struct copy *copy)
{
    struct meta_object upload;
    if (meta_object_decode(meta_row_bytes(copy->upload_row), &r->arena, &upload) != GFS_OK) {
        s3_fail(r, S3_InternalError, NULL);
        return;
    }
    struct gfs_slice header = s3_header(r, "x-amz-copy-source-range");
    enum s3_err err = s3_copy_range_parse(header, copy->source.size, &copy->range);
    if (err == S3_OK && copy->range.len > GFS_PART_SIZE_MAX) {
        err = S3_EntityTooLarge;
    }
    if (err != S3_OK) {
        s3_fail(r, err,
                err == S3_EntityTooLarge
                    ? NULL
                    : "Range specified is not valid for source object of size: %llu",
                (unsigned long long)copy->source.size);
        return;
    }
    copy->wanted =
        upload.checksum.algo == META_CHECKSUM_NONE ? META_CHECKSUM_CRC64NVME : upload.checksum.algo;
    if (is_other_class(copy, upload.storage_class)) {
        start_rewrite(r, copy, upload.storage_class,
                      ingest_owner_part(&r->arena, r->bucket_rec.id, copy->upload_id,
                                        copy->part.number, r->key));
        return;
    }
    copy->part.size = copy->range.len;
    slice_refs(r, copy);
    start_hash(r, copy);
}

static void copy_object(struct s3_request *r, struct copy *copy)
{
    struct meta_object headers = copy->object; /* what the request asked to store */
    struct meta_object *object = &copy->object;
    *object = copy->source;
    object->storage_class = headers.storage_class;
    if (copy->is_replace) {
        object->header_count = headers.header_count;
        object->headers = headers.headers;
    }
    copy->range = (struct s3_range){.len = object->size};
    bool is_full = object->checksum.type == META_CHECKSUM_FULL_OBJECT;
    if (is_other_class(copy, object->storage_class)) {
        copy->wanted =
            copy->wanted == META_CHECKSUM_NONE && is_full ? object->checksum.algo : copy->wanted;
        start_rewrite(r, copy, object->storage_class,
                      ingest_owner_object(&r->arena, r->bucket_rec.id, r->key));
        return;
    }
    bool is_same =
        copy->wanted == META_CHECKSUM_NONE || (copy->wanted == object->checksum.algo && is_full);
    if (!is_same) {
        start_hash(r, copy);
        return;
    }
    commit(r, copy);
}

static void source_found(struct s3_request *r, enum gfs_err err, struct meta_row *row)
{
    struct copy *copy = r->op_state;
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, META_MISSING_KEY), NULL);
        return;
    }
    copy->source_row = row;
    err = meta_object_decode(meta_row_bytes(row), &r->arena, &copy->source);
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, META_MISSING_NONE), NULL);
        return;
    }
    enum s3_err condition = s3_read_condition(r, "x-amz-copy-source-", &copy->source);
    if (condition != S3_OK) {
        s3_fail(r, condition, NULL);
        return;
    }
    if (copy->is_part) {
        copy_part(r, copy);
    } else {
        copy_object(r, copy);
    }
}

/* ---- starting ---- */

static enum s3_err parse_directive(struct s3_request *r, struct copy *copy,
                                   const char **ret_message)
{
    struct gfs_slice directive = s3_header(r, "x-amz-metadata-directive");
    copy->is_replace = gfs_slice_eq_str(directive, "REPLACE");
    if (directive.ptr != NULL && !copy->is_replace && !gfs_slice_eq_str(directive, "COPY")) {
        *ret_message = "Unknown metadata directive.";
        return S3_InvalidArgument;
    }
    struct gfs_slice tagging = s3_header(r, "x-amz-tagging-directive");
    if (tagging.ptr != NULL && !gfs_slice_eq_str(tagging, "COPY") &&
        !gfs_slice_eq_str(tagging, "REPLACE")) {
        *ret_message = "Unknown tagging directive.";
        return S3_InvalidArgument;
    }
    bool has_class = s3_header(r, "x-amz-storage-class").ptr != NULL;
    bool is_self =
        copy->source_bucket_id == r->bucket_rec.id && gfs_slice_eq(copy->source_key, r->key);
    if (is_self && !copy->is_replace && !has_class) {
        *ret_message = "This copy request is illegal because it is trying to copy an object to "
                       "itself without changing the object's metadata, storage class, website "
                       "redirect location or encryption attributes.";
        return S3_InvalidRequest;
    }
    struct gfs_slice algo = s3_header(r, "x-amz-checksum-algorithm");
    if (algo.ptr != NULL) {
        copy->wanted = s3_checksum_parse(algo);
        if (copy->wanted == META_CHECKSUM_NONE) {
            *ret_message = "Checksum algorithm provided is unsupported.";
            return S3_InvalidRequest;
        }
    }
    return S3_OK;
}

static void copy_object_start(struct s3_request *r)
{
    struct copy *copy = gfs_arena_alloc(&r->arena, sizeof *copy);
    GFS_ASSERT(copy != NULL);
    r->op_state = copy;
    const char *message = NULL;
    enum s3_err err = parse_source(r, copy, &message);
    if (err == S3_OK) {
        err = parse_directive(r, copy, &message);
    }
    if (err == S3_OK) {
        err = s3_stored_headers(r, &copy->object, &message);
    }
    if (err == S3_OK) {
        err = s3_write_condition(r, &copy->op.condition, &message);
    }
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    s3_lookup(r, copy->source_bucket_id, copy->source_key, source_found);
}

static void upload_work(struct s3_request *r)
{
    struct copy *copy = r->op_state;
    struct meta_service *meta = r->gw->options.meta;
    copy->upload_err =
        meta->ops->upload(meta, r->bucket_rec.id, r->key, copy->upload_id, 0, &copy->upload_row);
}

static void upload_after(struct s3_request *r)
{
    struct copy *copy = r->op_state;
    if (copy->upload_err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(copy->upload_err, META_MISSING_UPLOAD), NULL);
        return;
    }
    s3_lookup(r, copy->source_bucket_id, copy->source_key, source_found);
}

static void upload_part_copy_start(struct s3_request *r)
{
    struct copy *copy = gfs_arena_alloc(&r->arena, sizeof *copy);
    GFS_ASSERT(copy != NULL);
    r->op_state = copy;
    copy->is_part = true;
    const char *message = NULL;
    enum s3_err err = s3_part_target(r, &copy->part.number, copy->upload_id, &message);
    if (err == S3_OK) {
        err = parse_source(r, copy, &message);
    }
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    s3_block(r, upload_work, upload_after);
}

static void copy_release(struct s3_request *r)
{
    struct copy *copy = r->op_state;
    if (copy != NULL) {
        reader_free(copy->reader);
        s3_rewrite_free(copy->rewrite);
        free(copy->buffer);
        meta_row_unref(copy->source_row);
        meta_row_unref(copy->upload_row);
    }
}

const struct s3_op s3_op_copy_object = {
    .name = "CopyObject",
    .action = S3_ACTION_WRITE,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = copy_object_start,
    .release = copy_release,
};

const struct s3_op s3_op_upload_part_copy = {
    .name = "UploadPartCopy",
    .action = S3_ACTION_WRITE,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = upload_part_copy_start,
    .release = copy_release,
};
