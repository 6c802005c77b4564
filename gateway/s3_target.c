/* The target of a request: bucket, key and query parameters, decoded exactly once.
 *
 * Path style /bucket/key, or virtual-host style when the host is BUCKET.DOMAIN of a configured
 * domain. Keys are opaque bytes: "..", "//" and "%2F" have no meaning here. */
#include "gateway/gateway_state.h"
#include "gateway/s3_request.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { PARAM_COUNT_MAX = 128 };

/* The host without its port; brackets of IPv6 stay. */
static struct gfs_slice host_name(struct gfs_slice host)
{
    size_t len = host.len;
    while (len > 0 && host.ptr[len - 1] >= '0' && host.ptr[len - 1] <= '9') {
        len--;
    }
    if (len > 0 && host.ptr[len - 1] == ':') {
        return gfs_slice_of(host.ptr, len - 1);
    }
    return host;
}

/* The bucket in front of a configured domain; empty when the host names none. */
static struct gfs_slice virtual_host_bucket(const struct s3_request *r)
{
    struct gfs_slice host = host_name(s3_header(r, "host"));
    const char *const *domain = r->gw->options.domains;
    for (; domain != NULL && *domain != NULL; domain++) {
        struct gfs_slice suffix = gfs_slice_str(*domain);
        if (host.len <= suffix.len + 1) {
            continue;
        }
        size_t bucket_len = host.len - suffix.len - 1;
        if (host.ptr[bucket_len] == '.' &&
            gfs_slice_case_eq(gfs_slice_of(host.ptr + bucket_len + 1, suffix.len), suffix)) {
            return gfs_slice_of(host.ptr, bucket_len);
        }
    }
    return (struct gfs_slice){0};
}

static enum s3_err decode(struct s3_request *r, struct gfs_slice raw, bool plus_is_space,
                          struct gfs_slice *ret)
{
    char *text = gfs_arena_alloc(&r->arena, raw.len + 1);
    size_t len = 0;
    if (text == NULL || gfs_uri_decode(raw, plus_is_space, text, &len) != GFS_OK) {
        return S3_InvalidURI;
    }
    text[len] = '\0';
    *ret = gfs_slice_of(text, len);
    return S3_OK;
}

static enum s3_err parse_key(struct s3_request *r, struct gfs_slice raw)
{
    if (raw.len == 0) {
        r->level = S3_BUCKET;
        return S3_OK;
    }
    enum s3_err err = decode(r, raw, false, &r->key);
    if (err != S3_OK) {
        return err;
    }
    if (r->key.len > GFS_KEY_LEN_MAX) {
        return S3_KeyTooLongError;
    }
    if (!gfs_is_utf8(r->key)) {
        return S3_InvalidURI;
    }
    r->level = S3_OBJECT;
    return S3_OK;
}

static enum s3_err parse_path(struct s3_request *r)
{
    struct gfs_slice path = r->http->raw_path;
    if (path.len == 0 || path.ptr[0] != '/') {
        return S3_InvalidURI;
    }
    path = gfs_slice_of(path.ptr + 1, path.len - 1);
    r->bucket = virtual_host_bucket(r);
    if (r->bucket.len > 0) {
        r->bucket = gfs_arena_copy(&r->arena, r->bucket);
        return parse_key(r, path);
    }
    if (path.len == 0) {
        r->level = S3_SERVICE;
        return S3_OK;
    }
    const char *slash = memchr(path.ptr, '/', path.len);
    size_t bucket_len = slash == NULL ? path.len : (size_t)(slash - path.ptr);
    enum s3_err err = decode(r, gfs_slice_of(path.ptr, bucket_len), false, &r->bucket);
    if (err != S3_OK) {
        return err;
    }
    if (r->bucket.len == 0) {
        return S3_InvalidBucketName;
    }
    size_t key_start = slash == NULL ? path.len : bucket_len + 1;
    return parse_key(r, gfs_slice_of(path.ptr + key_start, path.len - key_start));
}

static enum s3_err parse_param(struct s3_request *r, struct gfs_slice raw)
{
    const char *equals = memchr(raw.ptr, '=', raw.len);
    size_t name_len = equals == NULL ? raw.len : (size_t)(equals - raw.ptr);
    struct s3_param *param = &r->params[r->param_count];
    enum s3_err err = decode(r, gfs_slice_of(raw.ptr, name_len), true, &param->name);
    if (err != S3_OK) {
        return err;
    }
    param->value = GFS_SLICE_LITERAL("");
    param->has_value = equals != NULL;
    if (equals != NULL) {
        err = decode(r, gfs_slice_of(equals + 1, raw.len - name_len - 1), true, &param->value);
    }
    r->param_count++;
    return err;
}

static enum s3_err parse_query(struct s3_request *r)
{
    struct gfs_slice rest = r->http->raw_query;
    if (rest.len == 0) {
        return S3_OK;
    }
    size_t count = 1;
    for (size_t i = 0; i < rest.len; i++) {
        count += rest.ptr[i] == '&';
    }
    if (count > PARAM_COUNT_MAX) {
        return S3_InvalidURI;
    }
    r->params = gfs_arena_alloc(&r->arena, count * sizeof *r->params);
    GFS_ASSERT(r->params != NULL);
    while (rest.len > 0) {
        const char *end = memchr(rest.ptr, '&', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.ptr);
        if (len > 0) {
            enum s3_err err = parse_param(r, gfs_slice_of(rest.ptr, len));
            if (err != S3_OK) {
                return err;
            }
        }
        len += end == NULL ? 0 : 1;
        rest = gfs_slice_of(rest.ptr + len, rest.len - len);
    }
    return S3_OK;
}

enum s3_err s3_target_parse(struct s3_request *r)
{
    r->host = gfs_arena_copy(&r->arena, s3_header(r, "host"));
    enum s3_err err = parse_path(r);
    return err != S3_OK ? err : parse_query(r);
}

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
    return param == NULL ? GFS_SLICE_LITERAL("") : param->value;
}

enum s3_err s3_param_uint(struct s3_request *r, const char *name, uint32_t max, bool clamp,
                          uint32_t fallback, uint32_t *ret)
{
    const struct s3_param *param = s3_param_find(r, name);
    if (param == NULL || (param->value.len == 0 && !param->has_value)) {
        *ret = fallback;
        return S3_OK;
    }
    uint64_t value = 0;
    /* AWS takes 32-bit integers here: more is an error, not a large number */
    if (gfs_parse_u64(param->value, INT32_MAX, &value) != GFS_OK || (value > max && !clamp)) {
        return S3_InvalidArgument;
    }
    *ret = value > max ? max : (uint32_t)value;
    return S3_OK;
}

struct gfs_slice s3_header(const struct s3_request *r, const char *lower_name)
{
    return http_request_header(r->http, lower_name);
}

/* ---- reserved paths ---- */

static void reply_health(struct s3_request *r, bool is_live_only)
{
    char reason[256] = "ok";
    bool is_ready = is_live_only || r->gw->options.is_ready == NULL ||
                    r->gw->options.is_ready(r->gw->options.ready_arg, reason, sizeof reason);
    gfs_buf_init(&r->reply_bytes, 512);
    gfs_buf_printf(&r->reply_bytes, "%s\n", reason);
    s3_reply_header_str(r, "content-type", "text/plain");
    struct http_reply reply = {.status = is_ready ? 200 : 503,
                               .body = HTTP_BODY_BYTES,
                               .bytes = gfs_buf_slice(&r->reply_bytes)};
    if (r->http->method == HTTP_HEAD) {
        reply.body = HTTP_BODY_NONE;
    }
    s3_reply(r, &reply);
}

bool s3_reserved(struct s3_request *r)
{
    struct gfs_slice path = r->http->raw_path;
    bool is_internal = gfs_slice_starts(path, GFS_SLICE_LITERAL("/_/"));
    bool is_rest = gfs_slice_starts(path, GFS_SLICE_LITERAL("/v1/")) ||
                   gfs_slice_eq(path, GFS_SLICE_LITERAL("/v1"));
    if ((!is_internal && !is_rest) || virtual_host_bucket(r).len > 0) {
        return false;
    }
    bool is_read = r->http->method == HTTP_GET || r->http->method == HTTP_HEAD;
    if (is_read && gfs_slice_eq_str(path, "/_/health/live")) {
        reply_health(r, true);
    } else if (is_read && gfs_slice_eq_str(path, "/_/health/ready")) {
        reply_health(r, false);
    } else {
        s3_fail(r, is_rest ? S3_NotImplemented : S3_AccessDenied, NULL);
    }
    return true;
}
