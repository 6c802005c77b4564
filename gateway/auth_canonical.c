#include "gateway/auth_canonical.h"

#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"

enum { EXTRA_LEN = 256 }; /* method, line ends, payload word, a substituted accept-encoding */

/* One bit per header of the request. */
struct seen {
    uint64_t bits[(GFS_HEADER_COUNT_MAX + 63) / 64];
};

static char *put(char *at, struct gfs_slice bytes)
{
    if (bytes.len != 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
    return at + bytes.len;
}

static char *put_char(char *at, char byte)
{
    *at = byte;
    return at + 1;
}

/* Inner runs of spaces become one; the ends are trimmed already. */
static char *put_value(char *at, struct gfs_slice value)
{
    if (memmem(value.ptr, value.len, "  ", 2) == NULL) {
        return put(at, value);
    }
    bool was_space = false;
    for (size_t i = 0; i < value.len; i++) {
        bool is_space = value.ptr[i] == ' ';
        if (!is_space || !was_space) {
            *at++ = value.ptr[i];
        }
        was_space = is_space;
    }
    return at;
}

static char *put_query(char *at, const struct auth_canonical *in)
{
    bool is_first = true;
    for (uint32_t i = 0; i < in->query->count; i++) {
        const struct auth_param *param = &in->query->params[i];
        if (in->is_presigned && gfs_slice_eq_str(param->name, "X-Amz-Signature")) {
            continue;
        }
        if (!is_first) {
            *at++ = '&';
        }
        is_first = false;
        at = put(at, param->name);
        at = put_char(at, '=');
        at = put(at, param->value);
    }
    return at;
}

/* The lines of one signed name: its values joined by commas. */
static char *put_header(char *at, const struct auth_canonical *in, struct gfs_slice name,
                        struct seen *seen, struct auth_unsigned *ret)
{
    bool is_found = false;
    bool is_substituted = in->accept_encoding != NULL && gfs_slice_eq_str(name, "accept-encoding");
    at = put(at, name);
    at = put_char(at, ':');
    for (uint32_t i = 0; i < in->request->header_count; i++) {
        const struct http_header *header = &in->request->headers[i];
        if (!gfs_slice_eq(header->name, name)) {
            continue;
        }
        seen->bits[i / 64] |= 1ULL << (i % 64);
        if (!is_substituted) {
            at = is_found ? put_char(at, ',') : at;
            at = put_value(at, header->value);
        }
        is_found = true;
    }
    if (is_substituted) {
        at = put(at, gfs_slice_str(in->accept_encoding));
    } else if (!is_found && !gfs_slice_eq_str(name, "accept-encoding")) {
        ret->missing = name;
    }
    return put_char(at, '\n');
}

static char *put_headers(char *at, const struct auth_canonical *in, struct seen *seen,
                         struct auth_unsigned *ret)
{
    const char *start = in->signed_headers.ptr, *end = start + in->signed_headers.len;
    while (start < end) {
        const char *stop = memchr(start, ';', (size_t)(end - start));
        stop = stop == NULL ? end : stop;
        at = put_header(at, in, gfs_slice_of(start, (size_t)(stop - start)), seen, ret);
        start = stop + 1;
    }
    return at;
}

/* host and every x-amz-* header must be signed: what is not signed, anyone on the way may change.
 */
static void find_not_covered(const struct http_request *request, const struct seen *seen,
                             struct auth_unsigned *ret)
{
    for (uint32_t i = 0; i < request->header_count; i++) {
        struct gfs_slice name = request->headers[i].name;
        if ((seen->bits[i / 64] >> (i % 64) & 1) == 0 &&
            (gfs_slice_starts(name, GFS_SLICE_LITERAL("x-amz-")) ||
             gfs_slice_eq_str(name, "host"))) {
            ret->not_covered = name;
            return;
        }
    }
}

/* Every header of the request is written at most once, for signed names do not repeat. */
static size_t len_max(const struct auth_canonical *in)
{
    const struct http_request *request = in->request;
    size_t len = EXTRA_LEN + request->method_text.len + 3 * request->raw_path.len +
                 in->signed_headers.len * 3 + in->payload.len;
    for (uint32_t i = 0; i < in->query->count; i++) {
        len += in->query->params[i].name.len + in->query->params[i].value.len + 2;
    }
    for (uint32_t i = 0; i < request->header_count; i++) {
        len += request->headers[i].name.len + request->headers[i].value.len + 2;
    }
    return len;
}

enum s3_err auth_canonical_build(const struct auth_canonical *in, struct gfs_buf *out,
                                 struct auth_unsigned *ret)
{
    struct seen seen = {0};
    GFS_ASSERT(in->request->header_count <= GFS_HEADER_COUNT_MAX);
    *ret = (struct auth_unsigned){0};
    size_t size = len_max(in);
    gfs_buf_clear(out);
    out->size_max = size;
    char *start = gfs_buf_reserve(out, size);
    char *at = put(start, in->request->method_text);
    at = put_char(at, '\n');
    at = auth_recode(in->request->raw_path, false, true, at);
    if (at == NULL) {
        return S3_InvalidURI;
    }
    at = put_char(at, '\n');
    at = put_query(at, in);
    at = put_char(at, '\n');
    at = put_headers(at, in, &seen, ret);
    at = put_char(at, '\n');
    at = put(at, in->signed_headers);
    at = put_char(at, '\n');
    at = put(at, in->payload);
    find_not_covered(in->request, &seen, ret);
    out->len = (size_t)(at - start);
    GFS_ASSERT(out->len <= size);
    return S3_OK;
}
