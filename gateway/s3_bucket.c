/* CreateBucket, HeadBucket, DeleteBucket, ListBuckets, GetBucketLocation. */
#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

#define REGION_DEFAULT "us-east-1"

enum {
    CREATE_NODES_MAX = 256,
    BUCKETS_MAX = 10000, /* a page of ListBuckets, S3 */
    BUCKETS_STEP = 256,  /* read at once */
    BUCKETS_XML_MAX = 8 * 1024 * 1024,
};

/* Shown and stored: the default region is the empty one. */
static const char *region_text(const struct meta_bucket *bucket)
{
    return bucket->region[0] == '\0' ? REGION_DEFAULT : bucket->region;
}

/* ---- CreateBucket ---- */

/* Headers that ask for what there is not; NULL when all is well. */
static const char *unsupported_header(const struct s3_request *r)
{
    for (uint32_t i = 0; i < r->http->header_count; i++) {
        struct gfs_slice name = r->http->headers[i].name;
        struct gfs_slice value = r->http->headers[i].value;
        if (gfs_slice_starts(name, GFS_SLICE_LITERAL("x-amz-grant-"))) {
            return "ACL grants are not implemented.";
        }
        if (gfs_slice_eq_str(name, "x-amz-acl") && !gfs_slice_eq_str(value, "private")) {
            return "Canned ACLs other than private are not implemented.";
        }
        if (gfs_slice_eq_str(name, "x-amz-bucket-object-lock-enabled") &&
            gfs_slice_case_eq(value, GFS_SLICE_LITERAL("true"))) {
            return "Object Lock is not implemented.";
        }
        if (gfs_slice_eq_str(name, "x-amz-object-ownership") &&
            !gfs_slice_eq_str(value, "BucketOwnerEnforced")) {
            return "Object ownership other than BucketOwnerEnforced is not implemented.";
        }
        if (gfs_slice_eq_str(name, "x-amz-bucket-namespace") &&
            !gfs_slice_eq_str(value, "global")) {
            return "Bucket namespaces other than global are not implemented.";
        }
    }
    return NULL;
}

static void create_start(struct s3_request *r)
{
    if (!s3_bucket_name_ok(r->bucket)) {
        s3_fail(r, S3_InvalidBucketName, NULL);
        return;
    }
    const char *unsupported = unsupported_header(r);
    if (unsupported != NULL) {
        s3_fail(r, S3_NotImplemented, "%s", unsupported);
        return;
    }
    struct meta_op *op = gfs_arena_alloc(&r->arena, sizeof *op);
    enum s3_err err = op == NULL ? S3_SlowDown : s3_wanted_storage_class(r, &op->storage_class);
    if (err != S3_OK) {
        s3_fail(r, err, NULL);
        return;
    }
    r->op_state = op;
}

/* Any name of the shape of a region: which ones exist is nobody's business here. */
static bool is_region_sane(struct gfs_slice region)
{
    if (region.len == 0 || region.len >= sizeof((struct meta_bucket *)0)->region) {
        return false;
    }
    for (size_t i = 0; i < region.len; i++) {
        char byte = region.ptr[i];
        bool is_alnum = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                        (byte >= '0' && byte <= '9');
        if (!is_alnum && byte != '-' && byte != '_') {
            return false;
        }
    }
    return true;
}

static enum s3_err parse_create(struct s3_request *r, struct gfs_slice *ret_region,
                                const char **ret_message)
{
    const struct gfs_xml_node *root = NULL;
    struct gfs_slice body = gfs_buf_slice(&r->body);
    *ret_region = gfs_slice_str(r->gw->options.region);
    if (s3_xml_is_blank(body)) {
        return S3_OK;
    }
    enum s3_err err =
        s3_xml_parse(body, "CreateBucketConfiguration", CREATE_NODES_MAX, &r->arena, &root);
    if (err != S3_OK) {
        return err;
    }
    if (gfs_xml_child(root, "Location") != NULL || gfs_xml_child(root, "Bucket") != NULL) {
        *ret_message = "Directory buckets are not implemented.";
        return S3_NotImplemented;
    }
    const struct gfs_xml_node *tags = gfs_xml_child(root, "Tags");
    if (tags != NULL && tags->child != NULL) {
        *ret_message = "Bucket tagging is not implemented.";
        return S3_NotImplemented;
    }
    struct gfs_slice region = gfs_xml_child_text(root, "LocationConstraint");
    if (region.len == 0) {
        return S3_OK;
    }
    if (!is_region_sane(region)) {
        return S3_InvalidLocationConstraint;
    }
    *ret_region = region;
    return S3_OK;
}

static void created(struct s3_request *r, struct meta_op *op, enum gfs_err err)
{
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, op->what_missing), NULL);
        return;
    }
    const char *location = gfs_arena_printf(&r->arena, "/%s", r->bucket.ptr);
    if (location != NULL) {
        s3_reply_header_str(r, "location", location);
    }
    s3_reply_empty(r, 200);
}

static void create_finish(struct s3_request *r)
{
    const char *message = NULL;
    struct gfs_slice region;
    enum s3_err err = parse_create(r, &region, &message);
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    struct meta_op *op = r->op_state;
    op->kind = META_BUCKET_CREATE;
    op->name = r->bucket;
    op->region = gfs_slice_eq_str(region, REGION_DEFAULT) ? GFS_SLICE_LITERAL("") : region;
    s3_commit(r, op, created);
}

const struct s3_op s3_op_create_bucket = {
    .name = "CreateBucket",
    .action = S3_ACTION_ADMIN_BUCKET,
    .body = S3_BODY_XML,
    .start = create_start,
    .finish = create_finish,
};

/* ---- HeadBucket, GetBucketLocation ---- */

static void head_start(struct s3_request *r)
{
    s3_reply_header_str(r, "x-amz-bucket-region", region_text(&r->bucket_rec));
    s3_reply_header_str(r, "x-amz-access-point-alias", "false");
    s3_reply_empty(r, 200);
}

const struct s3_op s3_op_head_bucket = {
    .name = "HeadBucket",
    .action = S3_ACTION_LIST,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = head_start,
};

static void location_start(struct s3_request *r)
{
    struct gfs_buf xml;
    gfs_buf_init(&xml, 1024);
    gfs_xml_begin(&xml, "LocationConstraint", S3_XMLNS);
    gfs_xml_text(&xml, gfs_slice_str(r->bucket_rec.region)); /* empty for us-east-1, as S3 */
    gfs_xml_close(&xml, "LocationConstraint");
    s3_reply_xml(r, 200, &xml);
}

const struct s3_op s3_op_get_bucket_location = {
    .name = "GetBucketLocation",
    .action = S3_ACTION_LIST,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = location_start,
};

/* ---- DeleteBucket ---- */

static void deleted(struct s3_request *r, struct meta_op *op, enum gfs_err err)
{
    (void)op;
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, META_MISSING_BUCKET), NULL);
        return;
    }
    s3_reply_empty(r, 204);
}

static void delete_finish(struct s3_request *r)
{
    struct meta_op *op = gfs_arena_alloc(&r->arena, sizeof *op);
    if (op == NULL) {
        s3_fail(r, S3_SlowDown, NULL);
        return;
    }
    op->kind = META_BUCKET_DELETE;
    op->bucket_id = r->bucket_rec.id;
    op->name = r->bucket;
    s3_commit(r, op, deleted);
}

const struct s3_op s3_op_delete_bucket = {
    .name = "DeleteBucket",
    .action = S3_ACTION_ADMIN_BUCKET,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .finish = delete_finish,
};

/* ---- ListBuckets ---- */

struct bucket_list {
    struct gfs_slice prefix, after, region; /* region empty = all */
    bool is_paged; /* any parameter was given: regions are shown, as S3 does */
    uint32_t max, count;
    bool is_truncated;
    char last[GFS_BUCKET_NAME_LEN_MAX + 1];
    struct gfs_buf xml;
    enum gfs_err err;
};

static void add_bucket(struct bucket_list *list, const struct meta_bucket *bucket)
{
    char date[GFS_ISO_DATE_LEN + 1];
    gfs_iso_date(bucket->created_ms, date);
    gfs_xml_open(&list->xml, "Bucket");
    gfs_xml_element_str(&list->xml, "Name", bucket->name);
    gfs_xml_element_str(&list->xml, "CreationDate", date);
    if (list->is_paged) {
        gfs_xml_element_str(&list->xml, "BucketRegion", region_text(bucket));
    }
    gfs_xml_close(&list->xml, "Bucket");
    memcpy(list->last, bucket->name, sizeof list->last);
    list->count++;
}

/* Reads in steps until the page is full: buckets of other regions do not count. */
static void list_buckets_work(struct s3_request *r)
{
    struct bucket_list *list = r->op_state;
    struct meta_service *meta = r->gw->options.meta;
    struct meta_bucket *buckets GFS_FREE = gfs_alloc_array(BUCKETS_STEP, sizeof *buckets);
    char after[GFS_BUCKET_NAME_LEN_MAX + 1];
    struct gfs_slice position = list->after;
    bool has_more = true;
    while (has_more) {
        uint32_t count = 0;
        list->err = meta->ops->buckets(meta, list->prefix, position, BUCKETS_STEP, buckets, &count,
                                       &has_more);
        if (list->err != GFS_OK || count == 0) {
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            bool is_wanted =
                list->region.len == 0 || gfs_slice_eq_str(list->region, region_text(&buckets[i]));
            if (is_wanted && list->count == list->max) {
                list->is_truncated = true;
                return;
            }
            if (is_wanted) {
                add_bucket(list, &buckets[i]);
            }
        }
        memcpy(after, buckets[count - 1].name, sizeof after);
        position = gfs_slice_str(after);
    }
}

static void list_buckets_after(struct s3_request *r)
{
    struct bucket_list *list = r->op_state;
    if (list->err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(list->err, META_MISSING_NONE), NULL);
        return;
    }
    gfs_xml_close(&list->xml, "Buckets");
    if (list->is_truncated) {
        gfs_xml_element(&list->xml, "ContinuationToken",
                        s3_token_text(&r->arena, gfs_slice_str(list->last), false));
    }
    if (list->prefix.len > 0) {
        gfs_xml_element(&list->xml, "Prefix", list->prefix);
    }
    gfs_xml_close(&list->xml, "ListAllMyBucketsResult");
    s3_reply_xml(r, 200, &list->xml);
}

static enum s3_err parse_list_buckets(struct s3_request *r, struct bucket_list *list,
                                      const char **ret_message)
{
    if (s3_param_uint(r, "max-buckets", BUCKETS_MAX, false, BUCKETS_MAX, &list->max) != S3_OK ||
        list->max == 0) {
        *ret_message = "Argument max-buckets must be an integer between 1 and 10000";
        return S3_InvalidArgument;
    }
    const struct s3_param *token = s3_param_find(r, "continuation-token");
    bool is_prefix = false;
    if (token != NULL && !s3_token_parse(&r->arena, token->value, &list->after, &is_prefix)) {
        *ret_message = "The continuation token provided is incorrect";
        return S3_InvalidArgument;
    }
    list->prefix = s3_param_value(r, "prefix");
    list->region = s3_param_value(r, "bucket-region");
    list->is_paged = token != NULL || list->prefix.len > 0 || list->region.len > 0 ||
                     s3_param_find(r, "max-buckets") != NULL;
    return S3_OK;
}

static void list_buckets_start(struct s3_request *r)
{
    struct bucket_list *list = gfs_alloc(sizeof *list);
    r->op_state = list;
    gfs_buf_init(&list->xml, BUCKETS_XML_MAX);
    const char *message = NULL;
    enum s3_err err = parse_list_buckets(r, list, &message);
    if (err != S3_OK) {
        s3_fail(r, err, "%s", message);
        return;
    }
    gfs_xml_begin(&list->xml, "ListAllMyBucketsResult", S3_XMLNS);
    s3_xml_owner(&list->xml, "Owner", r);
    gfs_xml_open(&list->xml, "Buckets");
    s3_block(r, list_buckets_work, list_buckets_after);
}

static void list_buckets_release(struct s3_request *r)
{
    struct bucket_list *list = r->op_state;
    if (list != NULL) {
        gfs_buf_fini(&list->xml);
        free(list);
    }
}

const struct s3_op s3_op_list_buckets = {
    .name = "ListBuckets",
    .action = S3_ACTION_LIST,
    .body = S3_BODY_NONE,
    .start = list_buckets_start,
    .release = list_buckets_release,
};
