/* CompleteMultipartUpload: parts become an object in one commit.
 *
 *   headers -> body -> [worker: upload and parts are read, the object is built] -> commit -> 200
 *                         ^-- the parts changed meanwhile (CONFLICT), a few times --'
 * An upload that is gone may have been completed by an earlier try whose answer was lost: the same
 * answer is given again when the parts are the same. */
#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "gateway/s3_complete.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum {
    TRIES_MAX = 5,
    /* the tree of 10,000 parts, each with ETag and checksum */
    BODY_ARENA_MAX = 24 * 1024 * 1024,
    /* 10,000 parts, twice, and the chunks of an object as large as an edit can describe, twice */
    BUILD_ARENA_MAX = 64 * 1024 * 1024,
};

struct complete {
    struct gfs_arena body_arena, build_arena;
    struct s3_complete_request request;
    uint8_t upload_id[META_UPLOAD_ID_LEN];
    struct meta_condition condition;
    bool is_parsed;
    uint32_t try_count;
    /* of the current try, in build_arena */
    struct meta_row *upload_row;
    uint32_t uploaded_count;
    struct meta_part *uploaded;
    struct s3_completed done;
    struct meta_op op;
    /* out of the worker */
    enum s3_err err;
    const char *message;
    bool is_repeat; /* the answer is that of an earlier Complete, in done.object */
};

/* ---- start: the headers ---- */

static enum s3_err parse_checksum_headers(struct s3_request *r, struct s3_complete_request *request,
                                          const char **ret_message)
{
    for (int i = META_CHECKSUM_CRC32; i <= META_CHECKSUM_SHA256; i++) {
        enum meta_checksum_algo algo = (enum meta_checksum_algo)i;
        struct gfs_slice text = s3_header(r, s3_checksum_header(algo));
        if (text.ptr == NULL) {
            continue;
        }
        if (request->checksum.algo != META_CHECKSUM_NONE) {
            *ret_message = "Expecting a single x-amz-checksum- header. Multiple checksum Types "
                           "are not allowed.";
            return S3_InvalidRequest;
        }
        if (!s3_complete_checksum(text, algo, request)) {
            *ret_message = gfs_arena_printf(&r->arena, "Value for %s header is invalid.",
                                            s3_checksum_header(algo));
            return S3_InvalidRequest;
        }
    }
    struct gfs_slice type = s3_header(r, "x-amz-checksum-type");
    request->has_type = type.ptr != NULL;
    if (request->has_type && !s3_checksum_type_parse(type, &request->type)) {
        *ret_message = "Value for x-amz-checksum-type header is invalid.";
        return S3_InvalidRequest;
    }
    return S3_OK;
}

static enum s3_err parse_headers(struct s3_request *r, struct complete *complete,
                                 const char **ret_message)
{
    struct s3_complete_request *request = &complete->request;
    if (!s3_upload_id_parse(s3_param_value(r, "uploadId"), complete->upload_id)) {
        return S3_NoSuchUpload;
    }
    for (uint32_t i = 0; i < r->http->header_count; i++) {
        if (gfs_slice_starts(r->http->headers[i].name,
                             GFS_SLICE_LITERAL("x-amz-server-side-encryption"))) {
            *ret_message = "Server-side encryption is not implemented.";
            return S3_NotImplemented;
        }
    }
    struct gfs_slice size = s3_header(r, "x-amz-mp-object-size");
    request->has_size = size.ptr != NULL;
    if (request->has_size && gfs_parse_u64(size, INT64_MAX, &request->size) != GFS_OK) {
        *ret_message = "Value for x-amz-mp-object-size header is invalid.";
        return S3_InvalidRequest;
    }
    enum s3_err err = parse_checksum_headers(r, request, ret_message);
    return err == S3_OK ? s3_write_condition(r, &complete->condition, ret_message) : err;
}

static void complete_start(struct s3_request *r)
{
    struct complete *complete = gfs_alloc(sizeof *complete);
    r->op_state = complete;
    gfs_arena_init(&complete->body_arena, BODY_ARENA_MAX);
    gfs_arena_init(&complete->build_arena, BUILD_ARENA_MAX);
    const char *message = NULL;
    enum s3_err err = parse_headers(r, complete, &message);
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
    }
}

/* ---- on a worker: read and build ---- */

static enum gfs_err visit_part(void *arg, const struct meta_list_item *item)
{
    struct complete *complete = arg;
    if (complete->uploaded_count == GFS_PART_NUMBER_MAX) {
        return GFS_CORRUPT;
    }
    struct meta_part *part = &complete->uploaded[complete->uploaded_count];
    enum gfs_err err = meta_part_decode(item->row, &complete->build_arena, part);
    if (err == GFS_OK) {
        complete->uploaded_count++;
    }
    return err;
}

/* The upload is not there: perhaps because it was completed before. */
static enum s3_err find_completed(struct s3_request *r, struct complete *complete)
{
    struct meta_service *meta = r->gw->options.meta;
    struct meta_row *row = NULL;
    struct meta_completed before;
    uint8_t etag[META_ETAG_LEN];
    enum gfs_err err = meta->ops->completed(meta, complete->upload_id, 0, &row);
    if (err == GFS_OK) {
        err = meta_completed_decode(meta_row_bytes(row), &before);
    }
    bool is_same = false;
    if (err == GFS_OK) {
        s3_complete_etag(&complete->request, etag);
        is_same = before.bucket_id == r->bucket_rec.id && gfs_slice_eq(before.key, r->key) &&
                  before.etag_parts == complete->request.part_count &&
                  memcmp(before.etag, etag, sizeof etag) == 0;
    }
    meta_row_unref(row);
    if (err != GFS_OK || !is_same) {
        return err == GFS_OK ? S3_NoSuchUpload : s3_err_from_gfs(err, META_MISSING_UPLOAD);
    }
    complete->is_repeat = true;
    complete->done.object = (struct meta_object){.size = before.size,
                                                 .etag_parts = before.etag_parts,
                                                 .part_count = before.etag_parts,
                                                 .checksum = before.checksum};
    memcpy(complete->done.object.etag, etag, sizeof etag);
    return S3_OK;
}

static enum s3_err read_and_build(struct s3_request *r, struct complete *complete)
{
    struct meta_service *meta = r->gw->options.meta;
    struct meta_object upload;
    bool is_truncated = false;
    enum gfs_err err = meta->ops->upload(meta, r->bucket_rec.id, r->key, complete->upload_id, 0,
                                         &complete->upload_row);
    if (err == GFS_NOT_FOUND) {
        return find_completed(r, complete);
    }
    if (err == GFS_OK) {
        err = meta_object_decode(meta_row_bytes(complete->upload_row), &complete->build_arena,
                                 &upload);
    }
    if (err != GFS_OK) {
        return s3_err_from_gfs(err, META_MISSING_UPLOAD);
    }
    complete->uploaded_count = 0;
    complete->uploaded =
        gfs_arena_alloc(&complete->build_arena, GFS_PART_NUMBER_MAX * sizeof *complete->uploaded);
    GFS_ASSERT(complete->uploaded != NULL);
    err = meta->ops->list_parts(meta, complete->upload_id, 0, GFS_PART_NUMBER_MAX, visit_part,
                                complete, &is_truncated);
    if (err != GFS_OK) {
        return s3_err_from_gfs(err, META_MISSING_UPLOAD);
    }
    return s3_complete_build(&complete->request, &upload, complete->uploaded,
                             complete->uploaded_count, &complete->build_arena, &complete->done,
                             &complete->message);
}

static void prepare_work(struct s3_request *r)
{
    struct complete *complete = r->op_state;
    complete->err = S3_OK;
    complete->message = NULL;
    if (!complete->is_parsed) {
        complete->err = s3_complete_parse(gfs_buf_slice(&r->body), &complete->body_arena,
                                          &complete->request, &complete->message);
        complete->is_parsed = true;
    }
    if (complete->err == S3_OK) {
        complete->err = read_and_build(r, complete);
    }
}

/* ---- commit and answer ---- */

static void reply(struct s3_request *r, struct complete *complete)
{
    const struct meta_object *object = &complete->done.object;
    struct gfs_slice host = s3_header(r, "host");
    struct gfs_buf xml;
    gfs_buf_init(&xml, 64 * 1024);
    gfs_xml_begin(&xml, "CompleteMultipartUploadResult", S3_XMLNS);
    gfs_xml_open(&xml, "Location");
    gfs_buf_add_str(&xml, r->http->is_tls ? "https://" : "http://");
    gfs_xml_text(&xml, host);
    gfs_xml_text(&xml, r->http->raw_path);
    gfs_xml_close(&xml, "Location");
    gfs_xml_element(&xml, "Bucket", r->bucket);
    gfs_xml_element(&xml, "Key", r->key);
    gfs_xml_element(&xml, "ETag", s3_etag_text(&r->arena, object->etag, object->etag_parts));
    s3_checksum_xml(&xml, &r->arena, &object->checksum, object->part_count);
    gfs_xml_element_str(&xml, "ChecksumType", s3_checksum_type_name(object->checksum.type));
    gfs_xml_close(&xml, "CompleteMultipartUploadResult");
    s3_reply_xml(r, 200, &xml);
}

static void prepared(struct s3_request *r);

static void prepare(struct s3_request *r)
{
    struct complete *complete = r->op_state;
    complete->try_count++;
    meta_row_unref(GFS_TAKE(complete->upload_row));
    gfs_arena_fini(&complete->build_arena);
    s3_block(r, prepare_work, prepared);
}

static void committed(struct s3_request *r, struct meta_op *op, enum gfs_err err)
{
    struct complete *complete = r->op_state;
    if (err == GFS_OK) {
        reply(r, complete);
        return;
    }
    bool is_upload_gone = err == GFS_NOT_FOUND && op->what_missing == META_MISSING_UPLOAD;
    if ((err == GFS_CONFLICT || is_upload_gone) && complete->try_count < TRIES_MAX) {
        prepare(r);
        return;
    }
    const struct meta_condition *condition = &complete->condition;
    bool is_conditional =
        condition->if_none_match_any || condition->if_match_any || condition->has_if_match;
    if (err == GFS_CONFLICT && is_conditional) {
        s3_fail(r, S3_ConditionalRequestConflict, NULL);
        return;
    }
    s3_fail(r, s3_err_from_gfs(err, op->what_missing), NULL);
}

static void prepared(struct s3_request *r)
{
    struct complete *complete = r->op_state;
    if (complete->err != S3_OK) {
        s3_fail(r, complete->err, complete->message == NULL ? NULL : "%s", complete->message);
        return;
    }
    if (complete->is_repeat) {
        reply(r, complete);
        return;
    }
    complete->op = (struct meta_op){
        .kind = META_UPLOAD_COMPLETE,
        .bucket_id = r->bucket_rec.id,
        .key = r->key,
        .condition = complete->condition,
        .object = &complete->done.object,
        .used_part_count = complete->done.used_count,
        .used_parts = complete->done.used,
    };
    memcpy(complete->op.upload_id, complete->upload_id, sizeof complete->op.upload_id);
    s3_commit(r, &complete->op, committed);
}

static void complete_release(struct s3_request *r)
{
    struct complete *complete = r->op_state;
    if (complete != NULL) {
        meta_row_unref(complete->upload_row);
        gfs_arena_fini(&complete->build_arena);
        gfs_arena_fini(&complete->body_arena);
        free(complete);
    }
}

const struct s3_op s3_op_complete_multipart_upload = {
    .name = "CompleteMultipartUpload",
    .action = S3_ACTION_WRITE,
    .body = S3_BODY_XML,
    .flags = S3_NEEDS_BUCKET | S3_CHECKSUM_OF_OBJECT,
    .start = complete_start,
    .finish = prepare,
    .release = complete_release,
};
