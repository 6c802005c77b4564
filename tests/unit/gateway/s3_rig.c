#include "s3_rig.h"

#include "libgoodfs/text.h"

size_t meta_checksum_len(enum meta_checksum_algo algo)
{
    static const size_t lens[] = {0, 4, 4, 8, 20, 32};
    return lens[algo];
}

/* ---- rows: the bytes are the struct itself ---- */

struct meta_row {
    struct rig *rig;
    struct gfs_slice bytes;
};

struct gfs_slice meta_row_bytes(const struct meta_row *row)
{
    return row->bytes;
}

void meta_row_unref(struct meta_row *row)
{
    if (row != NULL) {
        row->rig->live_rows--;
        free(row);
    }
}

static struct meta_row *row_new(struct rig *rig, const void *ptr, size_t len)
{
    struct meta_row *row = gfs_alloc(sizeof *row);
    *row = (struct meta_row){rig, gfs_slice_of(ptr, len)};
    rig->live_rows++;
    return row;
}

static enum gfs_err copy_out(struct gfs_slice bytes, void *ret, size_t len)
{
    if (bytes.len != len) {
        return GFS_CORRUPT;
    }
    memcpy(ret, bytes.ptr, len);
    return GFS_OK;
}

enum gfs_err meta_object_decode(struct gfs_slice bytes, struct gfs_arena *arena,
                                struct meta_object *ret)
{
    (void)arena;
    return copy_out(bytes, ret, sizeof *ret);
}

enum gfs_err meta_object_decode_summary(struct gfs_slice bytes, struct meta_object *ret)
{
    return copy_out(bytes, ret, sizeof *ret);
}

enum gfs_err meta_part_decode(struct gfs_slice bytes, struct gfs_arena *arena,
                              struct meta_part *ret)
{
    (void)arena;
    return copy_out(bytes, ret, sizeof *ret);
}

enum gfs_err meta_completed_decode(struct gfs_slice bytes, struct meta_completed *ret)
{
    return copy_out(bytes, ret, sizeof *ret);
}

/* ---- the metadata service ---- */

static struct rig *rig_of(struct meta_service *meta)
{
    return GFS_CONTAINER_OF(meta, struct rig, meta);
}

static enum gfs_err fake_buckets(struct meta_service *meta, struct gfs_slice prefix,
                                 struct gfs_slice after, uint32_t max, struct meta_bucket *ret,
                                 uint32_t *ret_count, bool *ret_is_truncated)
{
    struct rig *rig = rig_of(meta);
    *ret_count = 0;
    *ret_is_truncated = false;
    for (uint32_t i = 0; i < rig->bucket_count; i++) {
        struct gfs_slice name = gfs_slice_str(rig->buckets[i].name);
        if (!gfs_slice_starts(name, prefix) || gfs_slice_cmp(name, after) <= 0) {
            continue;
        }
        if (*ret_count == max) {
            *ret_is_truncated = true;
            break;
        }
        ret[(*ret_count)++] = rig->buckets[i];
    }
    return rig->read_err;
}

static enum gfs_err fake_object(struct meta_service *meta, uint64_t bucket_id, struct gfs_slice key,
                                unsigned flags, struct meta_row **ret)
{
    struct rig *rig = rig_of(meta);
    (void)bucket_id;
    (void)flags;
    if (rig->read_err != GFS_OK) {
        return rig->read_err;
    }
    for (uint32_t i = 0; i < rig->item_count; i++) {
        if (gfs_slice_eq_str(key, rig->items[i].key)) {
            *ret = row_new(rig, &rig->items[i].object, sizeof rig->items[i].object);
            return GFS_OK;
        }
    }
    return GFS_NOT_FOUND;
}

static enum gfs_err fake_upload(struct meta_service *meta, uint64_t bucket_id, struct gfs_slice key,
                                const uint8_t upload_id[META_UPLOAD_ID_LEN], unsigned flags,
                                struct meta_row **ret)
{
    struct rig *rig = rig_of(meta);
    (void)bucket_id;
    (void)key;
    (void)upload_id;
    (void)flags;
    if (rig->read_err != GFS_OK || !rig->has_upload) {
        return rig->read_err != GFS_OK ? rig->read_err : GFS_NOT_FOUND;
    }
    *ret = row_new(rig, &rig->upload, sizeof rig->upload);
    return GFS_OK;
}

static enum gfs_err fake_completed(struct meta_service *meta,
                                   const uint8_t upload_id[META_UPLOAD_ID_LEN], unsigned flags,
                                   struct meta_row **ret)
{
    struct rig *rig = rig_of(meta);
    (void)upload_id;
    (void)flags;
    if (!rig->has_completed) {
        return GFS_NOT_FOUND;
    }
    *ret = row_new(rig, &rig->completed, sizeof rig->completed);
    return GFS_OK;
}

static enum gfs_err fake_list(struct meta_service *meta, const struct meta_list_query *query,
                              meta_visit_fn visit, void *arg, bool *ret_is_truncated)
{
    struct rig *rig = rig_of(meta);
    uint32_t count = 0;
    rig->list_count++;
    rig->last_query = *query;
    (void)snprintf(rig->last_after, sizeof rig->last_after, "%.*s", (int)query->after.len,
                   query->after.len == 0 ? "" : query->after.ptr);
    *ret_is_truncated = false;
    for (uint32_t i = 0; i < rig->item_count && rig->read_err == GFS_OK; i++) {
        const struct rig_item *from = &rig->items[i];
        struct meta_list_item item = {.is_prefix = from->is_prefix,
                                      .key = gfs_slice_str(from->key),
                                      .row = gfs_slice_of(&from->object, sizeof from->object)};
        memcpy(item.upload_id, from->upload_id, sizeof item.upload_id);
        if (gfs_slice_cmp(item.key, query->after) <= 0) {
            continue;
        }
        if (count++ == query->max) {
            *ret_is_truncated = true;
            return GFS_OK;
        }
        enum gfs_err err = visit(arg, &item);
        if (err != GFS_OK) {
            return err;
        }
    }
    return rig->read_err;
}

static enum gfs_err fake_list_parts(struct meta_service *meta,
                                    const uint8_t upload_id[META_UPLOAD_ID_LEN], uint32_t after,
                                    uint32_t max, meta_visit_fn visit, void *arg,
                                    bool *ret_is_truncated)
{
    struct rig *rig = rig_of(meta);
    uint32_t count = 0;
    (void)upload_id;
    rig->list_count++;
    *ret_is_truncated = false;
    for (uint32_t i = 0; i < rig->part_count; i++) {
        const struct meta_part *part = &rig->parts[i].part;
        struct meta_list_item item = {.row = gfs_slice_of(part, sizeof *part)};
        if (part->number <= after) {
            continue;
        }
        if (count++ == max) {
            *ret_is_truncated = true;
            return GFS_OK;
        }
        enum gfs_err err = visit(arg, &item);
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

static const struct meta_service_ops fake_ops = {
    .buckets = fake_buckets,
    .object = fake_object,
    .upload = fake_upload,
    .completed = fake_completed,
    .list_objects = fake_list,
    .list_uploads = fake_list,
    .list_parts = fake_list_parts,
};

/* ---- the half of gateway/s3.h that answers and waits ---- */

static struct rig *rig_of_request(const struct s3_request *r)
{
    const char *at = (const char *)r;
    struct rig *rig;
    at -= offsetof(struct rig, r);
    memcpy(&rig, &at, sizeof rig);
    return rig;
}

static struct rig *answer(struct s3_request *r, int status)
{
    struct rig *rig = rig_of_request(r);
    cr_assert(!rig->is_replied, "answered twice");
    rig->is_replied = true;
    rig->status = status;
    return rig;
}

void s3_reply_header(struct s3_request *r, const char *name, struct gfs_slice value)
{
    struct rig *rig = rig_of_request(r);
    size_t len = strlen(rig->reply_headers);
    (void)snprintf(rig->reply_headers + len, sizeof rig->reply_headers - len, "%s: %.*s\n", name,
                   (int)value.len, value.ptr);
}

void s3_reply_header_str(struct s3_request *r, const char *name, const char *value)
{
    s3_reply_header(r, name, gfs_slice_str(value));
}

void s3_reply_empty(struct s3_request *r, int status)
{
    (void)answer(r, status);
}

void s3_reply_xml(struct s3_request *r, int status, struct gfs_buf *xml)
{
    struct rig *rig = answer(r, status);
    size_t len = 0;
    cr_assert(!xml->is_full);
    rig->body = gfs_buf_take(xml, &len);
    /* what is sent is XML */
    struct gfs_xml_limits limits = {.node_count_max = 100000, .depth_max = 10};
    struct gfs_xml_node *root = NULL;
    struct gfs_arena arena;
    gfs_arena_init(&arena, 16 << 20);
    cr_assert_eq(gfs_xml_parse(gfs_slice_of(rig->body, len), &limits, &arena, &root), GFS_OK, "%s",
                 rig->body);
    gfs_arena_fini(&arena);
}

void s3_fail(struct s3_request *r, enum s3_err err, const char *format, ...)
{
    struct rig *rig = answer(r, s3_err_status(err));
    rig->err = err;
    (void)snprintf(rig->message, sizeof rig->message, "%s", s3_err_message(err));
    if (format != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(rig->message, sizeof rig->message, format, args);
        va_end(args);
    }
}

void s3_block(struct s3_request *r, void (*work)(struct s3_request *r),
              void (*after)(struct s3_request *r))
{
    work(r);
    after(r);
}

void s3_commit(struct s3_request *r, struct meta_op *op,
               void (*after)(struct s3_request *r, struct meta_op *op, enum gfs_err err))
{
    struct rig *rig = rig_of_request(r);
    enum gfs_err err = GFS_OK;
    if (rig->commit_count < RIG_ERRS_MAX) {
        err = rig->commit_errs[rig->commit_count];
    }
    rig->commit_count++;
    rig->last_op = *op;
    op->what_missing = err == GFS_NOT_FOUND ? rig->what_missing : META_MISSING_NONE;
    if (rig->on_commit != NULL) {
        rig->on_commit(rig, op);
    }
    after(r, op, err);
}

void s3_lookup(struct s3_request *r, uint64_t bucket_id, struct gfs_slice key,
               void (*after)(struct s3_request *r, enum gfs_err err, struct meta_row *row))
{
    struct meta_service *meta = r->gw->options.meta;
    struct meta_row *row = NULL;
    enum gfs_err err = meta->ops->object(meta, bucket_id, key, 0, &row);
    after(r, err, row);
}

/* ---- reading the request ---- */

const struct s3_param *s3_param_find(const struct s3_request *r, const char *name)
{
    for (uint32_t i = 0; i < r->param_count; i++) {
        if (gfs_slice_eq_str(r->params[i].name, name)) {
            return &r->params[i];
        }
    }
    return NULL;
}

struct gfs_slice s3_param_value(const struct s3_request *r, const char *name)
{
    const struct s3_param *param = s3_param_find(r, name);
    return param == NULL ? (struct gfs_slice){0} : param->value;
}

enum s3_err s3_param_uint(struct s3_request *r, const char *name, uint32_t max, bool clamp,
                          uint32_t fallback, uint32_t *ret)
{
    const struct s3_param *param = s3_param_find(r, name);
    uint64_t value = fallback;
    if (param != NULL && gfs_parse_u64(param->value, INT32_MAX, &value) != GFS_OK) {
        return S3_InvalidArgument;
    }
    if (value > max && !clamp) {
        return S3_InvalidArgument;
    }
    *ret = value > max ? max : (uint32_t)value;
    return S3_OK;
}

struct gfs_slice s3_header(const struct s3_request *r, const char *lower_name)
{
    for (uint32_t i = 0; i < r->http->header_count; i++) {
        if (gfs_slice_eq_str(r->http->headers[i].name, lower_name)) {
            return r->http->headers[i].value;
        }
    }
    return (struct gfs_slice){0};
}

/* ---- the rig ---- */

static void add_params(struct rig *rig, const char *query)
{
    while (*query != '\0') {
        size_t len = strcspn(query, "&");
        size_t name_len = strcspn(query, "=&");
        struct s3_param *param = &rig->params[rig->r.param_count++];
        cr_assert_leq(rig->r.param_count, GFS_COUNT(rig->params));
        param->name = gfs_slice_of(query, name_len);
        param->has_value = name_len < len;
        param->value =
            gfs_slice_of(query + name_len + param->has_value, len - name_len - param->has_value);
        query += len + (query[len] == '&');
    }
}

static void add_headers(struct rig *rig, const char *lines)
{
    while (*lines != '\0') {
        size_t name_len = strcspn(lines, ":");
        size_t value_len = strcspn(lines + name_len + 1, "\n");
        cr_assert_lt(rig->http.header_count, GFS_COUNT(rig->headers));
        rig->headers[rig->http.header_count++] = (struct http_header){
            gfs_slice_of(lines, name_len), gfs_slice_of(lines + name_len + 1, value_len)};
        lines += name_len + 1 + value_len;
        lines += *lines == '\n';
    }
}

struct rig *rig_new(enum http_method method, const char *key, const char *query, const char *lines)
{
    struct rig *rig = gfs_alloc(sizeof *rig);
    gfs_arena_init(&rig->r.arena, 8 << 20);
    gfs_buf_init(&rig->r.body, GFS_XML_BODY_MAX);
    rig->meta.ops = &fake_ops;
    rig->gw.options.meta = &rig->meta;
    rig->gw.options.region = "us-east-1";
    rig->r.gw = &rig->gw;
    rig->r.http = &rig->http;
    rig->http.method = method;
    rig->http.headers = rig->headers;
    rig->http.raw_path = GFS_SLICE_LITERAL("/bucket/raw%20key");
    rig->r.params = rig->params;
    rig->r.bucket = GFS_SLICE_LITERAL("bucket");
    rig->r.key = gfs_slice_str(key);
    rig->r.level = key == NULL ? S3_BUCKET : S3_OBJECT;
    rig->r.bucket_rec.id = 7;
    add_params(rig, query);
    add_headers(rig, lines);
    return rig;
}

void rig_run(struct rig *rig, const struct s3_op *op, const char *body)
{
    struct s3_request *r = &rig->r;
    cr_assert_null(r->op, "one operation a rig");
    r->op = op;
    if (op->start != NULL) {
        op->start(r);
    }
    if (!rig->is_replied && op->finish != NULL) {
        gfs_buf_add_str(&r->body, body);
        op->finish(r);
    }
    cr_assert(rig->is_replied, "no answer");
}

void rig_free(struct rig *rig)
{
    if (rig->r.op != NULL && rig->r.op->release != NULL) {
        rig->r.op->release(&rig->r);
    }
    cr_assert_eq(rig->live_rows, 0u);
    gfs_buf_fini(&rig->r.body);
    gfs_arena_fini(&rig->r.arena);
    free(rig->body);
    free(rig);
}
