/* PutObject and UploadPart: headers, body, commit, answer. */
#include "gateway/gateway_state.h"
#include "gateway/ingest.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_put.h"
#include "gateway/s3_request.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

/* In the request's arena. */
struct put {
    bool is_part;
    bool is_starting;       /* inside start: the body is not waiting yet */
    bool is_finish_pending; /* the body ended before the rows were looked up */
    struct ingest *in;
    struct s3_declared_digests declared;
    struct meta_object object; /* of a part: only the upload's storage class */
    struct meta_part part;
    struct meta_op op;
    enum gfs_err lookup_err;
    struct meta_row *upload_row;
    uint8_t upload_id[META_UPLOAD_ID_LEN];
    enum meta_checksum_algo algo; /* to compute */
};

enum s3_err s3_declared_digests(struct s3_request *r, struct s3_declared_digests *ret,
                                const char **ret_message)
{
    struct gfs_slice md5 = s3_header(r, "content-md5");
    ret->has_md5 = md5.ptr != NULL;
    if (ret->has_md5 && gfs_base64_decode_exact(md5, ret->md5, sizeof ret->md5) != GFS_OK) {
        *ret_message = "The Content-MD5 you specified is not valid.";
        return S3_InvalidDigest;
    }
    return s3_declared_checksum(r, &ret->checksum, ret_message);
}

static enum s3_err parse_common(struct s3_request *r, struct put *put, const char **ret_message)
{
    if (s3_body_length(r) > GFS_PART_SIZE_MAX) {
        return S3_EntityTooLarge;
    }
    enum s3_err err = s3_declared_digests(r, &put->declared, ret_message);
    put->algo = put->declared.checksum.algo;
    return err;
}

static void start_body(struct s3_request *r, struct put *put)
{
    struct gfs_slice owner = put->is_part
                                 ? ingest_owner_part(&r->arena, r->bucket_rec.id, put->upload_id,
                                                     put->part.number, r->key)
                                 : ingest_owner_object(&r->arena, r->bucket_rec.id, r->key);
    struct ingest_options options = {.size = s3_body_length(r),
                                     .owner = owner,
                                     .storage_class = put->object.storage_class,
                                     .algo = put->algo};
    enum s3_err err = ingest_begin(r, &options, &put->in);
    if (err != S3_OK) {
        s3_fail(r, err, NULL);
    }
}

static void put_finish(struct s3_request *r);

/* What was looked up is there: the body may come. */
static void go_on(struct s3_request *r, struct put *put)
{
    start_body(r, put);
    if (r->is_replied) {
        return;
    }
    if (put->is_finish_pending) {
        put_finish(r);
    } else if (!put->is_starting) {
        s3_resume_body(r);
    }
}

/* A condition that is false already is answered before the body is sent; the commit judges it
 * again, and that counts. */
static void current_found(struct s3_request *r, enum gfs_err err, struct meta_row *row)
{
    struct put *put = r->op_state;
    struct gfs_slice object = row == NULL ? (struct gfs_slice){0} : meta_row_bytes(row);
    enum gfs_err verdict = err == GFS_OK || err == GFS_NOT_FOUND
                               ? meta_condition_check(&put->op.condition, object)
                               : GFS_OK;
    meta_row_unref(row);
    if (r->is_closed) {
        return;
    }
    if (verdict != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(verdict, META_MISSING_KEY), NULL);
        return;
    }
    go_on(r, put);
}

static void put_object_start(struct s3_request *r)
{
    struct put *put = gfs_arena_alloc(&r->arena, sizeof *put);
    GFS_ASSERT(put != NULL);
    r->op_state = put;
    const char *message = NULL;
    enum s3_err err = parse_common(r, put, &message);
    if (err == S3_OK) {
        err = s3_stored_headers(r, &put->object, &message);
    }
    if (err == S3_OK) {
        err = s3_write_condition(r, &put->op.condition, &message);
    }
    if (err == S3_OK && s3_header(r, "x-amz-write-offset-bytes").ptr != NULL) {
        err = S3_NotImplemented;
        message = "Appending by x-amz-write-offset-bytes is not implemented.";
    }
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    if (!meta_condition_is_any(&put->op.condition)) {
        start_body(r, put);
        return;
    }
    put->is_starting = true;
    s3_lookup(r, r->bucket_rec.id, r->key, current_found);
    put->is_starting = false;
}

/* ---- UploadPart: the upload must exist, and says which checksum it wants ---- */

static void upload_work(struct s3_request *r)
{
    struct put *put = r->op_state;
    struct meta_service *meta = r->gw->options.meta;
    put->lookup_err =
        meta->ops->upload(meta, r->bucket_rec.id, r->key, put->upload_id, 0, &put->upload_row);
}

static void upload_after(struct s3_request *r)
{
    struct put *put = r->op_state;
    if (r->is_closed) {
        return;
    }
    if (put->lookup_err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(put->lookup_err, META_MISSING_UPLOAD), NULL);
        return;
    }
    struct meta_object upload;
    if (meta_object_decode(meta_row_bytes(put->upload_row), &r->arena, &upload) != GFS_OK) {
        s3_fail(r, S3_InternalError, NULL);
        return;
    }
    enum meta_checksum_algo wanted = upload.checksum.algo;
    enum meta_checksum_algo declared = put->declared.checksum.algo;
    if (wanted != META_CHECKSUM_NONE && declared != META_CHECKSUM_NONE && declared != wanted) {
        s3_fail(r, S3_InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum "
                "Type: %s",
                s3_checksum_name(wanted), s3_checksum_name(declared));
        return;
    }
    if (put->algo == META_CHECKSUM_NONE) {
        put->algo = wanted;
    }
    put->object.storage_class = upload.storage_class;
    go_on(r, put);
}

static void upload_part_start(struct s3_request *r)
{
    struct put *put = gfs_arena_alloc(&r->arena, sizeof *put);
    GFS_ASSERT(put != NULL);
    r->op_state = put;
    put->is_part = true;
    const char *message = NULL;
    enum s3_err err = s3_part_target(r, &put->part.number, put->upload_id, &message);
    if (err == S3_OK) {
        err = parse_common(r, put, &message);
    }
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    s3_block(r, upload_work, upload_after);
}

enum s3_err s3_part_target(struct s3_request *r, uint32_t *ret_number,
                           uint8_t ret_upload_id[META_UPLOAD_ID_LEN], const char **ret_message)
{
    uint64_t number = 0;
    if (gfs_parse_u64(s3_param_value(r, "partNumber"), GFS_PART_NUMBER_MAX, &number) != GFS_OK ||
        number == 0) {
        *ret_message = "Part number must be an integer between 1 and 10000, inclusive";
        return S3_InvalidArgument;
    }
    *ret_number = (uint32_t)number;
    if (s3_param_find(r, "uploadId") == NULL) {
        *ret_message = "This operation does not accept a query-string without uploadId.";
        return S3_InvalidArgument;
    }
    return s3_upload_id_parse(s3_param_value(r, "uploadId"), ret_upload_id) ? S3_OK
                                                                            : S3_NoSuchUpload;
}

/* ---- body and commit ---- */

static size_t put_data(struct s3_request *r, const char *ptr, size_t len)
{
    struct put *put = r->op_state;
    return put->in == NULL ? 0 : ingest_data(put->in, ptr, len);
}

enum s3_err s3_verify_digests(struct s3_request *r, struct s3_declared_digests *declared,
                              const struct ingest_result *result, const char **ret_message)
{
    struct s3_declared_checksum *checksum = &declared->checksum;
    enum s3_err err = checksum_from_trailer(checksum, s3_body_trailer(r), ret_message);
    if (err != S3_OK) {
        return err;
    }
    if (checksum->has_value &&
        memcmp(checksum->value, result->checksum.value, meta_checksum_len(checksum->algo)) != 0) {
        *ret_message = gfs_arena_printf(
            &r->arena, "The %s you specified did not match the calculated checksum.",
            s3_checksum_name(checksum->algo));
        return S3_BadDigest;
    }
    if (declared->has_md5 && memcmp(declared->md5, result->md5, sizeof declared->md5) != 0) {
        *ret_message = "The Content-MD5 you specified did not match what we received.";
        return S3_BadDigest;
    }
    return S3_OK;
}

void s3_reply_stored(struct s3_request *r, const struct ingest_result *result)
{
    s3_reply_header(r, "etag", s3_etag_text(&r->arena, result->md5, 0));
    s3_reply_header(r, s3_checksum_header(result->checksum.algo),
                    s3_checksum_text(&r->arena, &result->checksum, 0));
}

static void committed(struct s3_request *r, struct meta_op *op, enum gfs_err err)
{
    struct put *put = r->op_state;
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, op->what_missing), NULL);
        return;
    }
    s3_reply_stored(r, ingest_result(put->in));
    if (!put->is_part) {
        s3_reply_header_str(r, "x-amz-checksum-type", "FULL_OBJECT");
    }
    s3_reply_empty(r, 200);
}

void s3_fill_object(struct meta_object *object, const struct ingest_result *result)
{
    object->size = result->size;
    memcpy(object->etag, result->md5, sizeof object->etag);
    object->crc64 = result->crc64;
    object->checksum = result->checksum;
    object->chunk_count = result->chunk_count;
    object->chunks = result->chunks;
}

void s3_fill_part(struct meta_part *part, const struct ingest_result *result)
{
    part->size = result->size;
    memcpy(part->etag, result->md5, sizeof part->etag);
    part->crc64 = result->crc64;
    part->checksum = result->checksum;
    part->chunk_count = result->chunk_count;
    part->chunks = result->chunks;
}

static void stored(struct s3_request *r, enum gfs_err err)
{
    struct put *put = r->op_state;
    if (r->is_closed || r->is_replied) {
        return; /* nobody waits for it: not committing leaves nothing behind */
    }
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, META_MISSING_NONE), NULL);
        return;
    }
    const struct ingest_result *result = ingest_result(put->in);
    put->op.bucket_id = r->bucket_rec.id;
    put->op.key = r->key;
    put->op.data = result->records;
    if (put->is_part) {
        s3_fill_part(&put->part, result);
        put->op.kind = META_PART_PUT;
        put->op.part = &put->part;
        memcpy(put->op.upload_id, put->upload_id, sizeof put->upload_id);
    } else {
        s3_fill_object(&put->object, result);
        put->op.kind = META_OBJECT_PUT;
        put->op.object = &put->object;
    }
    s3_commit(r, &put->op, committed);
}

static void checked(struct s3_request *r, enum gfs_err err)
{
    const char *message = NULL;
    struct put *put = r->op_state;
    enum s3_err verdict =
        err == GFS_OK ? s3_verify_digests(r, &put->declared, ingest_result(put->in), &message)
                      : S3_OK;
    if (verdict != S3_OK && !r->is_replied) {
        s3_fail_message(r, verdict, message);
        return;
    }
    stored(r, err);
}

static void put_finish(struct s3_request *r)
{
    struct put *put = r->op_state;
    if (put->in == NULL) {
        put->is_finish_pending = true;
        return;
    }
    ingest_finish(put->in, checked);
}

static void put_release(struct s3_request *r)
{
    struct put *put = r->op_state;
    if (put != NULL) {
        meta_row_unref(put->upload_row);
        ingest_free(put->in);
    }
}

const struct s3_op s3_op_put_object = {
    .name = "PutObject",
    .action = S3_ACTION_WRITE,
    .body = S3_BODY_STREAM,
    .flags = S3_NEEDS_BUCKET,
    .start = put_object_start,
    .data = put_data,
    .finish = put_finish,
    .release = put_release,
};

const struct s3_op s3_op_upload_part = {
    .name = "UploadPart",
    .action = S3_ACTION_WRITE,
    .body = S3_BODY_STREAM,
    .flags = S3_NEEDS_BUCKET,
    .start = upload_part_start,
    .data = put_data,
    .finish = put_finish,
    .release = put_release,
};
