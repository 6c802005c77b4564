/* POST Object: a browser form whose policy is its credential.
 *
 * Fields come first and are bounded; when the file begins everything is known, and the policy's
 * signature and every condition are checked before the first byte of the file is looked at. */
#include <stdlib.h>

#include "gateway/form_data.h"
#include "gateway/gateway_state.h"
#include "gateway/ingest.h"
#include "gateway/post_policy.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_put.h"
#include "gateway/s3_request.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

static const char filename_variable[] = "${filename}";

/* In the request's arena. */
struct post {
    struct form_data *form;
    struct post_policy_range range;
    bool is_authenticated;
    uint64_t file_len;
    struct ingest *in;
    struct s3_declared_digests declared;
    struct meta_object object;
    struct meta_op op;
};

static void post_start(struct s3_request *r)
{
    struct post *post = gfs_arena_alloc(&r->arena, sizeof *post);
    GFS_ASSERT(post != NULL);
    r->op_state = post;
    const char *message = NULL;
    enum s3_err err = form_data_new(s3_header(r, "content-type"), &post->form, &message);
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
    }
}

/* ---- when the file begins ---- */

static enum s3_err read_key(struct s3_request *r, struct post *post, const char **ret_message)
{
    struct gfs_slice key = form_data_value(post->form, "key");
    if (key.ptr == NULL || key.len == 0) {
        *ret_message = "Bucket POST must contain a field named 'key'.  If it is specified, please "
                       "check the order of the fields.";
        return S3_InvalidArgument;
    }
    size_t variable_len = sizeof filename_variable - 1;
    const char *found = memmem(key.ptr, key.len, filename_variable, variable_len);
    struct gfs_slice name = form_data_filename(post->form);
    if (found != NULL) {
        struct gfs_buf text;
        gfs_buf_init(&text, FORM_DATA_FIELDS_LEN_MAX * 2);
        size_t before = (size_t)(found - key.ptr);
        gfs_buf_add(&text, key.ptr, before);
        gfs_buf_add_slice(&text, name);
        gfs_buf_add(&text, found + variable_len, key.len - before - variable_len);
        key = gfs_arena_copy(&r->arena, gfs_buf_slice(&text));
        gfs_buf_fini(&text);
    } else {
        key = gfs_arena_copy(&r->arena, key);
    }
    if (key.len > GFS_KEY_LEN_MAX) {
        return S3_KeyTooLongError;
    }
    if (!gfs_is_utf8(key)) {
        *ret_message = "The key is not valid UTF-8.";
        return S3_InvalidArgument;
    }
    r->key = key;
    return S3_OK;
}

static enum s3_err check_signature(struct s3_request *r, struct post *post,
                                   const char **ret_message)
{
    struct auth_post_fields fields = {
        .policy = form_data_value(post->form, "policy"),
        .algorithm = form_data_value(post->form, "x-amz-algorithm"),
        .credential = form_data_value(post->form, "x-amz-credential"),
        .date = form_data_value(post->form, "x-amz-date"),
        .signature = form_data_value(post->form, "x-amz-signature"),
    };
    if (fields.policy.ptr == NULL) {
        return S3_AccessDenied; /* nothing vouches for the form */
    }
    struct auth_options options = {
        .keys = r->gw->keys,
        .now_s = gfs_wall_ms() / 1000,
        .region = gfs_slice_str(r->gw->options.region),
        .is_region_strict = r->gw->options.is_region_strict,
    };
    struct auth_result result;
    enum s3_err err = auth_verify_post(&options, &fields, &r->arena, &result, &r->auth_detail);
    *ret_message = r->auth_detail.message;
    return err;
}

static enum s3_err check_policy(struct s3_request *r, struct post *post, const char **ret_message)
{
    size_t count = form_data_field_count(post->form);
    struct form_data_field *fields = gfs_arena_alloc(&r->arena, count * sizeof *fields);
    GFS_ASSERT(fields != NULL);
    memcpy(fields, form_data_fields(post->form), count * sizeof *fields);
    for (size_t i = 0; i < count; i++) {
        if (gfs_slice_eq_str(fields[i].name, "key")) {
            fields[i].value = r->key;
        }
    }
    struct post_policy_form form = {.bucket = r->bucket, .field_count = count, .fields = fields};
    return post_policy_check(form_data_value(post->form, "policy"), gfs_wall_ms(), &form, &r->arena,
                             &post->range, ret_message);
}

/* From here on the form's fields take the place of the request's headers: they name the same
 * things, and one reading of them serves both ways of uploading. */
static enum s3_err read_fields(struct s3_request *r, struct post *post, const char **ret_message)
{
    size_t count = form_data_field_count(post->form);
    const struct form_data_field *fields = form_data_fields(post->form);
    struct http_request *as_request = gfs_arena_alloc(&r->arena, sizeof *as_request);
    struct http_header *headers = gfs_arena_alloc(&r->arena, (count + 1) * sizeof *headers);
    GFS_ASSERT(as_request != NULL && headers != NULL);
    for (size_t i = 0; i < count; i++) {
        bool is_acl = gfs_slice_eq_str(fields[i].name, "acl");
        bool is_tagging = gfs_slice_eq_str(fields[i].name, "tagging");
        headers[i].name = is_acl       ? GFS_SLICE_LITERAL("x-amz-acl")
                          : is_tagging ? GFS_SLICE_LITERAL("x-amz-tagging")
                                       : gfs_arena_copy(&r->arena, fields[i].name);
        headers[i].value = gfs_arena_copy(&r->arena, fields[i].value);
    }
    *as_request = *r->http;
    as_request->headers = headers;
    as_request->header_count = (uint32_t)count;
    r->http = as_request;
    enum s3_err err = s3_stored_headers(r, &post->object, ret_message);
    return err != S3_OK ? err : s3_declared_digests(r, &post->declared, ret_message);
}

static enum s3_err file_begins(struct s3_request *r, struct post *post, const char **ret_message)
{
    post->is_authenticated = true;
    enum s3_err err = check_signature(r, post, ret_message);
    if (err == S3_OK) {
        err = read_key(r, post, ret_message);
    }
    if (err == S3_OK) {
        err = check_policy(r, post, ret_message);
    }
    if (err == S3_OK) {
        err = read_fields(r, post, ret_message);
    }
    if (err != S3_OK) {
        return err;
    }
    uint64_t bound = GFS_MIN(s3_body_length(r), (uint64_t)GFS_PART_SIZE_MAX);
    struct gfs_slice owner = ingest_owner_object(&r->arena, r->bucket_rec.id, r->key);
    struct ingest_options options = {.size = bound,
                                     .owner = owner,
                                     .storage_class = post->object.storage_class,
                                     .algo = post->declared.checksum.algo};
    return ingest_begin(r, &options, &post->in);
}

/* ---- body ---- */

static size_t file_bytes(void *arg, const char *ptr, size_t len)
{
    struct s3_request *r = arg;
    struct post *post = r->op_state;
    if (r->is_replied) {
        return len;
    }
    enum s3_err err = post_policy_check_length(&post->range, post->file_len + len, false);
    if (err != S3_OK) {
        s3_fail(r, err, NULL);
        return len;
    }
    size_t taken = ingest_data(post->in, ptr, len);
    post->file_len += taken;
    return taken;
}

static size_t post_data(struct s3_request *r, const char *ptr, size_t len)
{
    struct post *post = r->op_state;
    size_t done = 0;
    for (;;) {
        const char *message = NULL;
        size_t taken = 0;
        enum s3_err err =
            form_data_feed(post->form, ptr + done, len - done, file_bytes, r, &taken, &message);
        done += taken;
        bool is_file_new =
            err == S3_OK && form_data_has_file(post->form) && !post->is_authenticated;
        if (is_file_new) {
            err = file_begins(r, post, &message);
        }
        if (r->is_replied) {
            return len;
        }
        if (err != S3_OK) {
            s3_fail_message(r, err, message);
            return len;
        }
        if (!is_file_new) {
            return done;
        }
    }
}

/* ---- the answer ---- */

static struct gfs_slice location_of(struct s3_request *r)
{
    struct gfs_buf text;
    gfs_buf_init(&text, 8192);
    gfs_buf_printf(&text, "%s://", r->http->is_tls ? "https" : "http");
    gfs_buf_add_slice(&text, r->host);
    gfs_buf_add_char(&text, '/');
    gfs_uri_encode(&text, r->bucket, false);
    gfs_buf_add_char(&text, '/');
    gfs_uri_encode(&text, r->key, true);
    struct gfs_slice copy = gfs_arena_copy(&r->arena, gfs_buf_slice(&text));
    gfs_buf_fini(&text);
    return copy;
}

/* success_action_redirect with bucket, key and etag added; NULL ptr when there is no usable one. */
static struct gfs_slice redirect_of(struct s3_request *r, struct post *post, struct gfs_slice etag)
{
    struct gfs_slice url = form_data_value(post->form, "success_action_redirect");
    if (url.ptr == NULL) {
        url = form_data_value(post->form, "redirect");
    }
    if (!gfs_slice_starts(url, GFS_SLICE_LITERAL("http://")) &&
        !gfs_slice_starts(url, GFS_SLICE_LITERAL("https://"))) {
        return (struct gfs_slice){0};
    }
    for (size_t i = 0; i < url.len; i++) {
        if ((unsigned char)url.ptr[i] <= ' ' || url.ptr[i] == 0x7f) {
            return (struct gfs_slice){0};
        }
    }
    struct gfs_buf text;
    gfs_buf_init(&text, FORM_DATA_FIELDS_LEN_MAX * 2);
    gfs_buf_add_slice(&text, url);
    gfs_buf_add_str(&text, memchr(url.ptr, '?', url.len) == NULL ? "?bucket=" : "&bucket=");
    gfs_uri_encode(&text, r->bucket, false);
    gfs_buf_add_str(&text, "&key=");
    gfs_uri_encode(&text, r->key, false);
    gfs_buf_add_str(&text, "&etag=");
    gfs_uri_encode(&text, etag, false);
    struct gfs_slice copy = gfs_arena_copy(&r->arena, gfs_buf_slice(&text));
    gfs_buf_fini(&text);
    return copy;
}

static void reply_created(struct s3_request *r, struct gfs_slice etag)
{
    struct gfs_buf xml;
    gfs_buf_init(&xml, 16384);
    gfs_xml_begin(&xml, "PostResponse", NULL);
    gfs_xml_element(&xml, "Location", location_of(r));
    gfs_xml_element(&xml, "Bucket", r->bucket);
    gfs_xml_element(&xml, "Key", r->key);
    gfs_xml_element(&xml, "ETag", etag);
    gfs_xml_close(&xml, "PostResponse");
    s3_reply_xml(r, 201, &xml);
}

static void committed(struct s3_request *r, struct meta_op *op, enum gfs_err err)
{
    struct post *post = r->op_state;
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, op->what_missing), NULL);
        return;
    }
    s3_reply_stored(r, ingest_result(post->in));
    struct gfs_slice etag = s3_etag_text(&r->arena, post->object.etag, 0);
    struct gfs_slice redirect = redirect_of(r, post, etag);
    if (redirect.ptr != NULL) {
        s3_reply_header(r, "location", redirect);
        s3_reply_empty(r, 303);
        return;
    }
    s3_reply_header(r, "location", location_of(r));
    struct gfs_slice status = form_data_value(post->form, "success_action_status");
    if (gfs_slice_eq_str(status, "201")) {
        reply_created(r, etag);
    } else {
        s3_reply_empty(r, gfs_slice_eq_str(status, "200") ? 200 : 204);
    }
}

static void stored(struct s3_request *r, enum gfs_err err)
{
    struct post *post = r->op_state;
    if (r->is_closed || r->is_replied) {
        return;
    }
    const char *message = NULL;
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, META_MISSING_NONE), NULL);
        return;
    }
    const struct ingest_result *result = ingest_result(post->in);
    enum s3_err verdict = s3_verify_digests(r, &post->declared, result, &message);
    if (verdict != S3_OK) {
        s3_fail_message(r, verdict, message);
        return;
    }
    s3_fill_object(&post->object, result);
    post->op.kind = META_OBJECT_PUT;
    post->op.bucket_id = r->bucket_rec.id;
    post->op.key = r->key;
    post->op.object = &post->object;
    post->op.data = result->records;
    s3_commit(r, &post->op, committed);
}

static void post_finish(struct s3_request *r)
{
    struct post *post = r->op_state;
    const char *message = NULL;
    enum s3_err err = form_data_end(post->form, &message);
    if (err == S3_OK) {
        err = post_policy_check_length(&post->range, post->file_len, true);
    }
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    ingest_finish(post->in, stored);
}

static void post_release(struct s3_request *r)
{
    struct post *post = r->op_state;
    if (post != NULL) {
        ingest_free(post->in);
        form_data_free(post->form);
    }
}

const struct s3_op s3_op_post_object = {
    .name = "PostObject",
    .action = S3_ACTION_FORM,
    .body = S3_BODY_STREAM,
    .flags = S3_NEEDS_BUCKET,
    .start = post_start,
    .data = post_data,
    .finish = post_finish,
    .release = post_release,
};
