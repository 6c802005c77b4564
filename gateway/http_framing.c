#include "gateway/http_framing.h"

#include <assert.h>

#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"

/* Headers that have one value, so two of them are two readings of one request. Lists (If-Match,
 * x-amz-object-attributes, Cookie ...) and x-amz-meta-* may repeat. */
static const char *const singletons[] = {
    "authorization",
    "content-length",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "expect",
    "host",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "origin",
    "range",
    "transfer-encoding",
    "user-agent",
    "x-amz-acl",
    "x-amz-algorithm",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-type",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-copy-source-range",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-metadata-directive",
    "x-amz-mp-object-size",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-tagging-directive",
};
static_assert(GFS_COUNT(singletons) <= 64, "one bit each");

/* What the rules found while walking the headers. */
struct findings {
    uint64_t seen; /* bit i: singletons[i] */
    const struct http_header *content_length, *transfer_encoding, *expect, *host;
};

static const struct http_refusal is_fine = {S3_OK, NULL};

static struct http_refusal refuse(enum s3_err err, const char *message)
{
    return (struct http_refusal){err, message};
}

/* RFC 9110 section 5.6.2. */
static bool is_token_byte(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
        return true;
    }
    return c > ' ' && c < 0x7f && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(struct gfs_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_token_byte((unsigned char)text.ptr[i])) {
            return false;
        }
    }
    return text.len != 0;
}

/* RFC 9110 section 5.5: visible bytes, space, tab, and bytes over 0x7f. */
static bool is_value(struct gfs_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

void http_framing_lower(char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (name[i] >= 'A' && name[i] <= 'Z') {
            name[i] = (char)(name[i] + ('a' - 'A'));
        }
    }
}

enum gfs_err http_framing_split(char *text, size_t len, struct http_header *headers,
                                uint32_t count_max, uint32_t *ret_count)
{
    uint32_t count = 0;
    char *at = text;
    char *end = text + len;
    while (end - at > 2) {
        char *colon = memchr(at, '\0', (size_t)(end - at));
        if (colon == NULL || colon == at) {
            return GFS_INVALID;
        }
        char *value = colon + 1;
        char *stop = memchr(value, '\0', (size_t)(end - value));
        if (stop == NULL || end - stop < 2 || stop[1] != '\0') {
            return GFS_INVALID; /* a bare LF leaves one NUL where CRLF leaves two */
        }
        if (count == count_max) {
            return GFS_TOO_BIG;
        }
        while (*value == ' ' || *value == '\t') {
            value++;
        }
        http_framing_lower(at, (size_t)(colon - at));
        headers[count].name = gfs_slice_of(at, (size_t)(colon - at));
        headers[count].value = gfs_slice_of(value, (size_t)(stop - value));
        count++;
        at = stop + 2;
    }
    if (end - at != 2 || at[0] != '\0' || at[1] != '\0') {
        return GFS_INVALID;
    }
    *ret_count = count;
    return GFS_OK;
}

/* Answers false when the header is a singleton that was there already. */
static bool note_singleton(struct findings *found, const struct http_header *header)
{
    for (size_t i = 0; i < GFS_COUNT(singletons); i++) {
        if (header->name.ptr[0] == singletons[i][0] &&
            gfs_slice_eq_str(header->name, singletons[i])) {
            uint64_t bit = UINT64_C(1) << i;
            bool is_first = (found->seen & bit) == 0;
            found->seen |= bit;
            return is_first;
        }
    }
    return true;
}

static void note_framing(struct findings *found, const struct http_header *header)
{
    if (gfs_slice_eq_str(header->name, "content-length")) {
        found->content_length = header;
    } else if (gfs_slice_eq_str(header->name, "transfer-encoding")) {
        found->transfer_encoding = header;
    } else if (gfs_slice_eq_str(header->name, "expect")) {
        found->expect = header;
    } else if (gfs_slice_eq_str(header->name, "host")) {
        found->host = header;
    }
}

static struct http_refusal check_target(const struct http_head *head)
{
    struct gfs_slice target = head->target;
    if (target.len == 0 || target.ptr[0] != '/') {
        return refuse(S3_InvalidURI, "The request target must begin with a slash.");
    }
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];
        if (c <= ' ' || c == 0x7f || c == '#') {
            return refuse(S3_InvalidURI, "The request target holds a byte that must be escaped.");
        }
    }
    return is_fine;
}

static struct http_refusal check_headers(const struct http_head *head, struct findings *found)
{
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct http_header *header = &head->headers[i];
        if (!is_token(header->name)) {
            return refuse(S3_InvalidRequest, "A header name is not a token.");
        }
        if (!is_value(header->value)) {
            return refuse(S3_InvalidRequest, "A header value holds a control byte.");
        }
        if (!note_singleton(found, header)) {
            return refuse(S3_InvalidRequest, "A header that has one value was given twice.");
        }
        note_framing(found, header);
    }
    if (found->host == NULL && !head->is_http_1_0) {
        return refuse(S3_InvalidRequest, "The Host header is missing.");
    }
    return is_fine;
}

/* At most 2^63 - 1, so lengths may be added without care. */
static bool parse_length(struct gfs_slice text, uint64_t *ret)
{
    uint64_t length = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c < '0' || c > '9' || length > (INT64_MAX - (uint64_t)(c - '0')) / 10) {
            return false;
        }
        length = length * 10 + (uint64_t)(c - '0');
    }
    *ret = length;
    return text.len != 0;
}

static struct http_refusal check_body(const struct http_head *head, const struct findings *found,
                                      struct http_request *ret)
{
    if (found->transfer_encoding != NULL) {
        if (found->content_length != NULL) {
            return refuse(S3_InvalidRequest,
                          "Content-Length and Transfer-Encoding exclude each other.");
        }
        if (head->is_http_1_0) {
            return refuse(S3_InvalidRequest, "Transfer-Encoding does not exist in HTTP/1.0.");
        }
        /* Compared before trimming: with a space behind it the library would not read chunks. */
        if (!gfs_slice_case_eq(found->transfer_encoding->value, GFS_SLICE_LITERAL("chunked"))) {
            return refuse(S3_NotImplemented, "The only Transfer-Encoding supported is chunked.");
        }
        ret->is_chunked = true;
    }
    if (found->content_length != NULL) {
        if (!parse_length(found->content_length->value, &ret->content_length)) {
            return refuse(S3_InvalidRequest, "Content-Length is not a number below 2^63.");
        }
        ret->has_content_length = true;
    }
    if (found->expect != NULL && !head->is_http_1_0) {
        if (!gfs_slice_case_eq(found->expect->value, GFS_SLICE_LITERAL("100-continue"))) {
            return refuse(S3_InvalidRequest, "The only expectation supported is 100-continue.");
        }
        ret->expects_continue = true;
    }
    return is_fine;
}

static enum http_method method_of(struct gfs_slice text)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"};
    static_assert(HTTP_GET == 0 && HTTP_OPTIONS == 5, "same order as the enum");
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        if (gfs_slice_eq_str(text, names[i])) {
            return (enum http_method)i;
        }
    }
    return HTTP_OTHER;
}

static void fill_request(const struct http_head *head, struct http_request *ret)
{
    for (uint32_t i = 0; i < head->header_count; i++) {
        struct gfs_slice *value = &head->headers[i].value;
        while (value->len != 0 &&
               (value->ptr[value->len - 1] == ' ' || value->ptr[value->len - 1] == '\t')) {
            value->len--;
        }
    }
    const char *mark = memchr(head->target.ptr, '?', head->target.len);
    const char *end = head->target.ptr + head->target.len;
    ret->raw_path =
        gfs_slice_of(head->target.ptr, (size_t)((mark == NULL ? end : mark) - head->target.ptr));
    ret->raw_query =
        mark == NULL ? gfs_slice_of(end, 0) : gfs_slice_of(mark + 1, (size_t)(end - mark - 1));
    ret->method_text = head->method;
    ret->method = method_of(head->method);
    ret->is_http_1_0 = head->is_http_1_0;
    ret->headers = head->headers;
    ret->header_count = head->header_count;
}

struct http_refusal http_framing_check(const struct http_head *head, struct http_request *ret)
{
    if (head->len > GFS_HEADER_BYTES_MAX || head->header_count > GFS_HEADER_COUNT_MAX) {
        return refuse(S3_RequestHeaderSectionTooLarge,
                      "At most 200 headers and 32 KiB of request line and headers are read.");
    }
    if (!is_token(head->method)) {
        return refuse(S3_InvalidRequest, "The method is not a token.");
    }
    struct http_refusal refusal = check_target(head);
    if (refusal.err != S3_OK) {
        return refusal;
    }
    struct findings found = {0};
    refusal = check_headers(head, &found);
    if (refusal.err != S3_OK) {
        return refusal;
    }
    refusal = check_body(head, &found, ret);
    if (refusal.err == S3_OK) {
        fill_request(head, ret);
    }
    return refusal;
}
