/* ListObjects, ListObjectsV2 and ListObjectVersions: one scan, three ways to write it down.
 *
 * The scan and the XML both happen on a worker thread; the loop thread only parses parameters and
 * sends. Buckets have no versions yet, so every object is its own latest version "null". */
#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "gateway/s3_list_params.h"
#include "gateway/s3_list_xml.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"

struct list {
    struct s3_list_query query;
    struct gfs_slice after; /* exclusive start of the scan */
    bool after_is_prefix;
    struct s3_list_xml xml;
    struct gfs_buf out;
    enum gfs_err err;
};

/* ---- parameters ---- */

static void start_at_marker(struct list *list)
{
    const struct s3_list_query *query = &list->query;
    list->after = query->marker;
    list->after_is_prefix = s3_list_is_prefix(query->marker, query->prefix, query->delimiter);
}

static enum s3_err parse_v2(struct s3_request *r, struct list *list, const char **ret_message)
{
    const struct s3_param *token = s3_param_find(r, "continuation-token");
    const struct s3_param *start = s3_param_find(r, "start-after");
    struct gfs_slice type = s3_param_value(r, "list-type");
    if (!gfs_slice_eq_str(type, "2")) {
        *ret_message = "Invalid List Type specified in Request";
        return S3_InvalidArgument;
    }
    if (start != NULL) {
        list->query.has_marker = start->value.len > 0;
        list->query.marker = start->value;
        list->after = start->value;
    }
    if (token != NULL) {
        list->query.has_token = true;
        list->query.token = token->value;
        if (!s3_token_parse(&r->arena, token->value, &list->after, &list->after_is_prefix)) {
            *ret_message = "The continuation token provided is incorrect";
            return S3_InvalidArgument;
        }
    }
    list->query.has_owner =
        gfs_slice_case_eq(s3_param_value(r, "fetch-owner"), GFS_SLICE_LITERAL("true"));
    return S3_OK;
}

static enum s3_err parse_versions(struct s3_request *r, struct list *list, const char **ret_message)
{
    list->query.marker = s3_param_value(r, "key-marker");
    list->query.version_marker = s3_param_value(r, "version-id-marker");
    start_at_marker(list);
    if (list->query.version_marker.len == 0) {
        return S3_OK;
    }
    if (list->query.marker.len == 0) {
        *ret_message = "A version-id marker cannot be specified without a key marker.";
        return S3_InvalidArgument;
    }
    if (!gfs_slice_eq_str(list->query.version_marker, "null")) {
        *ret_message = "Invalid version id specified";
        return S3_InvalidArgument;
    }
    return S3_OK;
}

static enum s3_err parse(struct s3_request *r, struct list *list, const char **ret_message)
{
    struct s3_list_query *query = &list->query;
    query->bucket = r->bucket;
    query->prefix = s3_param_value(r, "prefix");
    query->delimiter = s3_param_value(r, "delimiter");
    enum s3_err err = s3_list_encoding(r, &query->is_encoded, ret_message);
    if (err == S3_OK) {
        err = s3_list_max(r, "max-keys", &query->max_keys, ret_message);
    }
    if (err != S3_OK) {
        return err;
    }
    switch (query->kind) {
    case S3_LIST_V1:
        query->marker = s3_param_value(r, "marker");
        start_at_marker(list);
        return S3_OK;
    case S3_LIST_V2:
        return parse_v2(r, list, ret_message);
    case S3_LIST_VERSIONS:
        return parse_versions(r, list, ret_message);
    }
    return S3_InternalError;
}

/* ---- the scan ---- */

static enum gfs_err visit(void *arg, const struct meta_list_item *item)
{
    struct list *list = arg;
    if (item->key.len > GFS_KEY_LEN_MAX) {
        return GFS_CORRUPT;
    }
    if (item->is_prefix) {
        s3_list_xml_prefix(&list->xml, item->key);
        return GFS_OK;
    }
    struct meta_object object;
    enum gfs_err err = meta_object_decode_summary(item->row, &object);
    if (err == GFS_OK) {
        s3_list_xml_object(&list->xml, item->key, &object);
    }
    return err;
}

static void work(struct s3_request *r)
{
    struct list *list = r->op_state;
    struct meta_service *meta = r->gw->options.meta;
    const struct s3_list_query *query = &list->query;
    struct meta_list_query scan = {
        .bucket_id = r->bucket_rec.id,
        .prefix = query->prefix,
        .delimiter = query->delimiter,
        .after = s3_list_start(list->after),
        .after_is_prefix = list->after_is_prefix,
        .max = query->max_keys,
    };
    bool is_truncated = false;
    /* no key has a prefix longer than a key can be */
    if (scan.max > 0 && scan.prefix.len <= GFS_KEY_LEN_MAX) {
        list->err = meta->ops->list_objects(meta, &scan, visit, list, &is_truncated);
    }
    if (list->err == GFS_OK) {
        s3_list_xml_finish(&list->xml, is_truncated, &r->arena, &list->out);
    }
}

static void after(struct s3_request *r)
{
    struct list *list = r->op_state;
    if (list->err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(list->err, META_MISSING_BUCKET), NULL);
        return;
    }
    s3_reply_xml(r, 200, &list->out);
}

static void start(struct s3_request *r, enum s3_list_kind kind)
{
    struct list *list = gfs_alloc(sizeof *list);
    r->op_state = list;
    list->query.kind = kind;
    const char *message = NULL;
    enum s3_err err = parse(r, list, &message);
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    s3_list_xml_init(&list->xml, &list->query);
    s3_block(r, work, after);
}

static void release(struct s3_request *r)
{
    struct list *list = r->op_state;
    if (list != NULL) {
        s3_list_xml_fini(&list->xml);
        gfs_buf_fini(&list->out);
        free(list);
    }
}

static void start_v1(struct s3_request *r)
{
    start(r, S3_LIST_V1);
}

static void start_v2(struct s3_request *r)
{
    start(r, S3_LIST_V2);
}

static void start_versions(struct s3_request *r)
{
    start(r, S3_LIST_VERSIONS);
}

const struct s3_op s3_op_list_objects = {
    .name = "ListObjects",
    .action = S3_ACTION_LIST,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = start_v1,
    .release = release,
};

const struct s3_op s3_op_list_objects_v2 = {
    .name = "ListObjectsV2",
    .action = S3_ACTION_LIST,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = start_v2,
    .release = release,
};

const struct s3_op s3_op_list_object_versions = {
    .name = "ListObjectVersions",
    .action = S3_ACTION_LIST,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = start_versions,
    .release = release,
};
