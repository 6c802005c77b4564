/* CreateMultipartUpload and AbortMultipartUpload. */
#include "gateway/gateway_state.h"
#include "gateway/s3_complete.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_xml.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/digest.h"
#include "libgoodfs/mem.h"

/* In the request's arena. */
struct create {
    struct meta_op op;
    struct meta_object object;
};

/* Big-endian time first, so that the uploads of a key list in the order they were begun; random
 * for the rest. */
static void make_upload_id(uint8_t ret[META_UPLOAD_ID_LEN])
{
    enum { TIME_LEN = 6 };
    uint64_t now_ms = (uint64_t)gfs_wall_ms();
    for (size_t i = 0; i < TIME_LEN; i++) {
        ret[i] = (uint8_t)(now_ms >> (8 * (TIME_LEN - 1 - i)));
    }
    gfs_random(ret + TIME_LEN, META_UPLOAD_ID_LEN - TIME_LEN);
}

static void create_start(struct s3_request *r)
{
    struct create *create = gfs_arena_alloc(&r->arena, sizeof *create);
    if (create == NULL) {
        s3_fail(r, S3_SlowDown, NULL);
        return;
    }
    r->op_state = create;
    const char *message = NULL;
    enum s3_err err = s3_stored_headers(r, &create->object, &message);
    if (err == S3_OK) {
        err = s3_upload_checksum(s3_header(r, "x-amz-checksum-algorithm"),
                                 s3_header(r, "x-amz-checksum-type"), &r->arena,
                                 &create->object.checksum, &message);
    }
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
    }
}

static void created(struct s3_request *r, struct meta_op *op, enum gfs_err err)
{
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, op->what_missing), NULL);
        return;
    }
    struct gfs_buf xml;
    gfs_buf_init(&xml, 16 * 1024);
    gfs_xml_begin(&xml, "InitiateMultipartUploadResult", S3_XMLNS);
    gfs_xml_element(&xml, "Bucket", r->bucket);
    gfs_xml_element(&xml, "Key", r->key);
    gfs_xml_element(&xml, "UploadId", s3_upload_id_text(&r->arena, op->upload_id));
    gfs_xml_close(&xml, "InitiateMultipartUploadResult");
    const struct meta_checksum *checksum = &op->object->checksum;
    if (checksum->algo != META_CHECKSUM_NONE) {
        s3_reply_header_str(r, "x-amz-checksum-algorithm", s3_checksum_name(checksum->algo));
        s3_reply_header_str(r, "x-amz-checksum-type", s3_checksum_type_name(checksum->type));
    }
    s3_reply_xml(r, 200, &xml);
}

static void create_finish(struct s3_request *r)
{
    struct create *create = r->op_state;
    create->op.kind = META_UPLOAD_CREATE;
    create->op.bucket_id = r->bucket_rec.id;
    create->op.key = r->key;
    create->op.object = &create->object;
    make_upload_id(create->op.upload_id);
    s3_commit(r, &create->op, created);
}

const struct s3_op s3_op_create_multipart_upload = {
    .name = "CreateMultipartUpload",
    .action = S3_ACTION_WRITE,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = create_start,
    .finish = create_finish,
};

/* ---- AbortMultipartUpload ---- */

static void aborted(struct s3_request *r, struct meta_op *op, enum gfs_err err)
{
    if (err != GFS_OK) {
        enum meta_missing missing =
            op->what_missing == META_MISSING_BUCKET ? META_MISSING_BUCKET : META_MISSING_UPLOAD;
        s3_fail(r, s3_err_from_gfs(err, missing), NULL);
        return;
    }
    s3_reply_empty(r, 204);
}

static void abort_finish(struct s3_request *r)
{
    struct meta_op *op = gfs_arena_alloc(&r->arena, sizeof *op);
    if (op == NULL) {
        s3_fail(r, S3_SlowDown, NULL);
        return;
    }
    if (s3_header(r, "x-amz-if-match-initiated-time").ptr != NULL) {
        s3_fail(r, S3_NotImplemented, "x-amz-if-match-initiated-time is not implemented.");
        return;
    }
    if (!s3_upload_id_parse(s3_param_value(r, "uploadId"), op->upload_id)) {
        s3_fail(r, S3_NoSuchUpload, NULL);
        return;
    }
    op->kind = META_UPLOAD_ABORT;
    op->bucket_id = r->bucket_rec.id;
    op->key = r->key;
    s3_commit(r, op, aborted);
}

const struct s3_op s3_op_abort_multipart_upload = {
    .name = "AbortMultipartUpload",
    .action = S3_ACTION_WRITE,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .finish = abort_finish,
};
