#include "gateway/s3_list_xml.h"

#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum {
    /* 1,000 keys of 1 KiB with every byte escaped to six, and what stands around them */
    LIST_XML_MAX = 16 * 1024 * 1024,
    ENTRY_TAIL_MAX = 512, /* everything of an entry but key, owner and storage class */
};

static bool shows_owner(const struct s3_list_query *query)
{
    return query->kind != S3_LIST_V2 || query->has_owner;
}

void s3_list_xml_init(struct s3_list_xml *x, const struct s3_list_query *query)
{
    *x = (struct s3_list_xml){.query = query};
    gfs_buf_init(&x->contents, LIST_XML_MAX);
    gfs_buf_init(&x->prefixes, LIST_XML_MAX);
    gfs_buf_init(&x->owner, 1024);
    if (shows_owner(query)) {
        s3_xml_owner(&x->owner, "Owner", NULL);
    }
}

void s3_list_xml_fini(struct s3_list_xml *x)
{
    gfs_buf_fini(&x->contents);
    gfs_buf_fini(&x->prefixes);
    gfs_buf_fini(&x->owner);
}

/* ---- where a listing begins ---- */

struct gfs_slice s3_list_start(struct gfs_slice marker)
{
    return gfs_slice_of(marker.ptr, GFS_MIN(marker.len, (size_t)GFS_KEY_LEN_MAX));
}

bool s3_list_is_prefix(struct gfs_slice marker, struct gfs_slice prefix, struct gfs_slice delimiter)
{
    if (delimiter.len == 0 || marker.len > GFS_KEY_LEN_MAX ||
        marker.len < prefix.len + delimiter.len || !gfs_slice_starts(marker, prefix)) {
        return false;
    }
    const char *rest = marker.ptr + prefix.len;
    const char *first = memmem(rest, marker.len - prefix.len, delimiter.ptr, delimiter.len);
    return first != NULL && first + delimiter.len == marker.ptr + marker.len;
}

/* ---- entries ---- */

/* Printable ASCII without the four that XML escapes: nearly every key there is. */
static bool is_plain(struct gfs_slice text)
{
    bool is_odd = false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        is_odd |=
            byte < 0x20 || byte >= 0x7f || byte == '&' || byte == '<' || byte == '>' || byte == '"';
    }
    return !is_odd;
}

static void add_key(struct gfs_buf *out, struct gfs_slice key, bool is_encoded)
{
    if (is_encoded) {
        gfs_uri_encode(out, key, true);
    } else if (is_plain(key)) {
        gfs_buf_add_slice(out, key);
    } else {
        gfs_xml_text(out, key);
    }
}

static void remember(struct s3_list_xml *x, struct gfs_slice key, bool is_prefix)
{
    GFS_ASSERT(key.len <= sizeof x->last);
    if (key.len > 0) {
        memcpy(x->last, key.ptr, key.len);
    }
    x->last_len = key.len;
    x->is_last_prefix = is_prefix;
    x->count++;
}

/* Room is ENTRY_TAIL_MAX, asserted by the caller. */
static char *put_str(char *at, const char *text)
{
    size_t len = strlen(text);
    memcpy(at, text, len);
    return at + len;
}

static char *put_u64(char *at, uint64_t value)
{
    char digits[20];
    size_t len = 0;
    do {
        digits[len++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (len > 0) {
        *at++ = digits[--len];
    }
    return at;
}

static char *put_etag(char *at, const struct meta_object *object)
{
    at = put_str(at, "<ETag>&quot;");
    gfs_hex_encode(object->etag, sizeof object->etag, at);
    at += 2 * sizeof object->etag;
    if (object->etag_parts > 0) {
        *at++ = '-';
        at = put_u64(at, object->etag_parts);
    }
    return put_str(at, "&quot;</ETag>");
}

static char *put_checksum(char *at, const struct meta_checksum *checksum)
{
    if (checksum->algo == META_CHECKSUM_NONE) {
        return at;
    }
    at = put_str(at, "<ChecksumAlgorithm>");
    at = put_str(at, s3_checksum_name(checksum->algo));
    at = put_str(at, "</ChecksumAlgorithm><ChecksumType>");
    at = put_str(at, s3_checksum_type_name(checksum->type));
    return put_str(at, "</ChecksumType>");
}

void s3_list_xml_object(struct s3_list_xml *x, struct gfs_slice key,
                        const struct meta_object *object)
{
    struct gfs_buf *out = &x->contents;
    bool is_version = x->query->kind == S3_LIST_VERSIONS;
    gfs_buf_add_str(out, is_version ? "<Version><Key>" : "<Contents><Key>");
    add_key(out, key, x->query->is_encoded);
    char *start = gfs_buf_reserve(out, ENTRY_TAIL_MAX);
    if (start == NULL) {
        return;
    }
    char *at = put_str(start, "</Key>");
    if (is_version) {
        at = put_str(at, "<VersionId>null</VersionId><IsLatest>true</IsLatest>");
    }
    at = put_str(at, "<LastModified>");
    gfs_iso_date(object->mtime_ms, at);
    at = put_str(at + GFS_ISO_DATE_LEN, "</LastModified>");
    at = put_etag(at, object);
    at = put_checksum(at, &object->checksum);
    at = put_str(at, "<Size>");
    at = put_u64(at, object->size);
    at = put_str(at, "</Size>");
    GFS_ASSERT(at - start < ENTRY_TAIL_MAX);
    out->len += (size_t)(at - start);
    gfs_buf_add_slice(out, gfs_buf_slice(&x->owner));
    gfs_xml_element(out, "StorageClass", s3_storage_class_text(object));
    gfs_xml_close(out, is_version ? "Version" : "Contents");
    remember(x, key, false);
}

void s3_list_xml_prefix(struct s3_list_xml *x, struct gfs_slice prefix)
{
    gfs_buf_add_str(&x->prefixes, "<CommonPrefixes><Prefix>");
    add_key(&x->prefixes, prefix, x->query->is_encoded);
    gfs_buf_add_str(&x->prefixes, "</Prefix></CommonPrefixes>");
    remember(x, prefix, true);
}

/* ---- the elements around the entries ---- */

static void add_v1(const struct s3_list_xml *x, bool is_truncated, struct gfs_buf *out)
{
    const struct s3_list_query *query = x->query;
    s3_xml_key(out, "Marker", query->marker, query->is_encoded);
    /* without a delimiter the last key is the next marker, and S3 sends none */
    if (is_truncated && query->delimiter.len > 0) {
        s3_xml_key(out, "NextMarker", gfs_slice_of(x->last, x->last_len), query->is_encoded);
    }
}

static void add_v2(const struct s3_list_xml *x, bool is_truncated, struct gfs_arena *arena,
                   struct gfs_buf *out)
{
    const struct s3_list_query *query = x->query;
    if (query->has_marker) {
        s3_xml_key(out, "StartAfter", query->marker, query->is_encoded);
    }
    if (query->has_token) {
        gfs_xml_element(out, "ContinuationToken", query->token);
    }
    if (is_truncated) {
        struct gfs_slice last = gfs_slice_of(x->last, x->last_len);
        struct gfs_slice token = s3_token_text(arena, last, x->is_last_prefix);
        out->is_full |= token.ptr == NULL;
        gfs_xml_element(out, "NextContinuationToken", token);
    }
    gfs_xml_element_u64(out, "KeyCount", x->count);
}

static void add_versions(const struct s3_list_xml *x, bool is_truncated, struct gfs_buf *out)
{
    const struct s3_list_query *query = x->query;
    s3_xml_key(out, "KeyMarker", query->marker, query->is_encoded);
    gfs_xml_element(out, "VersionIdMarker", query->version_marker);
    if (is_truncated) {
        s3_xml_key(out, "NextKeyMarker", gfs_slice_of(x->last, x->last_len), query->is_encoded);
        if (!x->is_last_prefix) {
            gfs_xml_element_str(out, "NextVersionIdMarker", "null");
        }
    }
}

void s3_list_xml_finish(struct s3_list_xml *x, bool is_truncated, struct gfs_arena *arena,
                        struct gfs_buf *out)
{
    const struct s3_list_query *query = x->query;
    bool is_versions = query->kind == S3_LIST_VERSIONS;
    const char *root = is_versions ? "ListVersionsResult" : "ListBucketResult";
    gfs_buf_init(out, 2 * LIST_XML_MAX);
    gfs_xml_begin(out, root, S3_XMLNS);
    gfs_xml_element(out, "Name", query->bucket);
    s3_xml_key(out, "Prefix", query->prefix, query->is_encoded);
    switch (query->kind) {
    case S3_LIST_V1:
        add_v1(x, is_truncated, out);
        break;
    case S3_LIST_V2:
        add_v2(x, is_truncated, arena, out);
        break;
    case S3_LIST_VERSIONS:
        add_versions(x, is_truncated, out);
        break;
    }
    gfs_xml_element_u64(out, "MaxKeys", query->max_keys);
    if (query->delimiter.len > 0) {
        s3_xml_key(out, "Delimiter", query->delimiter, query->is_encoded);
    }
    if (query->is_encoded) {
        gfs_xml_element_str(out, "EncodingType", "url");
    }
    gfs_xml_element_bool(out, "IsTruncated", is_truncated);
    gfs_buf_add_slice(out, gfs_buf_slice(&x->contents));
    gfs_buf_add_slice(out, gfs_buf_slice(&x->prefixes));
    gfs_xml_close(out, root);
    out->is_full |= x->contents.is_full || x->prefixes.is_full;
}
