/* DeleteObject and DeleteObjects: one META_OBJECT_DELETE each, however many keys. */
#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "gateway/s3_delete_body.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

/* 1,000 keys of 1 KiB, each byte escaped to six, twice (a key and its error), and the rest */
enum { REPLY_MAX = 16 * 1024 * 1024, TREE_MAX = 8 * 1024 * 1024 };

/* ---- DeleteObject ---- */

/* In the request's arena. */
struct delete_one {
    struct meta_op op;
    struct meta_delete item;
};

static enum s3_err parse_condition(struct s3_request *r, struct meta_condition *ret,
                                   const char **ret_message)
{
    enum s3_err err = s3_write_condition(r, ret, ret_message);
    if (err != S3_OK) {
        return err;
    }
    if (ret->if_none_match_any) {
        *ret_message = "If-None-Match is not implemented for deletes.";
        return S3_NotImplemented;
    }
    struct gfs_slice size = s3_header(r, "x-amz-if-match-size");
    if (size.ptr != NULL) {
        ret->has_if_match_size = true;
        if (gfs_parse_u64(size, INT64_MAX, &ret->if_match_size) != GFS_OK) {
            *ret_message = "x-amz-if-match-size must be a number of bytes.";
            return S3_InvalidArgument;
        }
    }
    struct gfs_slice date = s3_header(r, "x-amz-if-match-last-modified-time");
    if (date.ptr != NULL) {
        ret->has_if_match_mtime = true;
        if (!s3_delete_date_parse(date, &ret->if_match_mtime_s)) {
            *ret_message = "x-amz-if-match-last-modified-time must be a date.";
            return S3_InvalidArgument;
        }
    }
    return S3_OK;
}

static void deleted(struct s3_request *r, struct meta_op *op, enum gfs_err err)
{
    enum meta_missing missing = op->what_missing;
    if (err == GFS_OK) {
        err = op->deletes[0].err;
        missing = META_MISSING_KEY;
    }
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, missing), NULL);
        return;
    }
    s3_reply_empty(r, 204);
}

static void delete_finish(struct s3_request *r)
{
    struct delete_one *state = gfs_arena_alloc(&r->arena, sizeof *state);
    if (state == NULL) {
        s3_fail(r, S3_SlowDown, NULL);
        return;
    }
    const char *message = NULL;
    enum s3_err err = s3_version_check(r, &message);
    if (err == S3_NoSuchVersion) {
        s3_reply_empty(r, 204); /* there is none, so it is gone */
        return;
    }
    if (err == S3_OK) {
        err = parse_condition(r, &state->item.condition, &message);
    }
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    state->item.key = r->key;
    state->op.kind = META_OBJECT_DELETE;
    state->op.bucket_id = r->bucket_rec.id;
    state->op.delete_count = 1;
    state->op.deletes = &state->item;
    s3_commit(r, &state->op, deleted);
}

const struct s3_op s3_op_delete_object = {
    .name = "DeleteObject",
    .action = S3_ACTION_WRITE,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .finish = delete_finish,
};

/* ---- DeleteObjects ---- */

struct delete_many {
    struct gfs_arena arena; /* the body's tree and the list */
    struct s3_delete_list list;
    struct meta_op op;
    struct gfs_buf xml;
    enum s3_err err;
};

/* The body must be protected by one of the digests that requests are checked by. */
static bool is_body_protected(const struct s3_request *r)
{
    for (uint32_t i = 0; i < r->http->header_count; i++) {
        struct gfs_slice name = r->http->headers[i].name;
        if (gfs_slice_eq_str(name, "content-md5") || gfs_slice_eq_str(name, "x-amz-trailer") ||
            gfs_slice_starts(name, GFS_SLICE_LITERAL("x-amz-checksum-"))) {
            return true;
        }
    }
    return false;
}

static void many_start(struct s3_request *r)
{
    if (!is_body_protected(r)) {
        s3_fail(r, S3_InvalidRequest,
                "Missing required header for this request: Content-MD5 OR x-amz-checksum-*");
    }
}

static void many_reply(struct s3_request *r)
{
    struct delete_many *many = r->op_state;
    gfs_xml_begin(&many->xml, "DeleteResult", S3_XMLNS);
    s3_delete_result(&many->list, &many->xml);
    gfs_xml_close(&many->xml, "DeleteResult");
    s3_reply_xml(r, 200, &many->xml);
}

static void many_deleted(struct s3_request *r, struct meta_op *op, enum gfs_err err)
{
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, op->what_missing), NULL);
        return;
    }
    many_reply(r);
}

static void many_parse(struct s3_request *r)
{
    struct delete_many *many = r->op_state;
    many->err = s3_delete_parse(gfs_buf_slice(&r->body), &many->arena, &many->list);
}

static void many_parsed(struct s3_request *r)
{
    struct delete_many *many = r->op_state;
    if (many->err != S3_OK) {
        s3_fail(r, many->err, NULL);
        return;
    }
    if (many->list.delete_count == 0) {
        many_reply(r);
        return;
    }
    many->op.kind = META_OBJECT_DELETE;
    many->op.bucket_id = r->bucket_rec.id;
    many->op.delete_count = many->list.delete_count;
    many->op.deletes = many->list.deletes;
    s3_commit(r, &many->op, many_deleted);
}

static void many_finish(struct s3_request *r)
{
    struct delete_many *many = gfs_alloc(sizeof *many);
    r->op_state = many;
    gfs_arena_init(&many->arena, TREE_MAX);
    gfs_buf_init(&many->xml, REPLY_MAX);
    s3_block(r, many_parse, many_parsed);
}

static void many_release(struct s3_request *r)
{
    struct delete_many *many = r->op_state;
    if (many != NULL) {
        gfs_buf_fini(&many->xml);
        gfs_arena_fini(&many->arena);
        free(many);
    }
}

const struct s3_op s3_op_delete_objects = {
    .name = "DeleteObjects",
    .action = S3_ACTION_WRITE,
    .body = S3_BODY_XML,
    .flags = S3_NEEDS_BUCKET,
    .start = many_start,
    .finish = many_finish,
    .release = many_release,
};
