/* The headers of a request that stores something: what is kept, what is verified, what is a
 * condition, and what is refused because ignoring it would store something else than was meant. */
#include "gateway/gateway_state.h"
#include "gateway/s3.h"

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

#define META_PREFIX "x-amz-meta-"

/* First header of that name; NULL when there is none. */
static const struct http_header *find(const struct http_request *http, const char *name)
{
    for (uint32_t i = 0; i < http->header_count; i++) {
        if (gfs_slice_eq_str(http->headers[i].name, name)) {
            return &http->headers[i];
        }
    }
    return NULL;
}

/* ---- what is refused ---- */

/* A list of canned ACLs that say what is already so: the one account owns and controls all. */
static bool is_acl_harmless(struct gfs_slice acl)
{
    return gfs_slice_eq_str(acl, "private") || gfs_slice_eq_str(acl, "bucket-owner-full-control") ||
           gfs_slice_eq_str(acl, "bucket-owner-read");
}

static bool is_unsupported(const struct http_header *header)
{
    static const char *const prefixes[] = {"x-amz-server-side-encryption", "x-amz-object-lock-",
                                           "x-amz-grant-"};
    for (size_t i = 0; i < GFS_COUNT(prefixes); i++) {
        if (gfs_slice_starts(header->name, gfs_slice_str(prefixes[i]))) {
            return true;
        }
    }
    if (gfs_slice_eq_str(header->name, "x-amz-acl")) {
        return !is_acl_harmless(header->value);
    }
    return header->value.len > 0 &&
           (gfs_slice_eq_str(header->name, "x-amz-tagging") ||
            gfs_slice_eq_str(header->name, "x-amz-website-redirect-location"));
}

static enum s3_err check_unsupported(struct s3_request *r, const char **ret_message)
{
    for (uint32_t i = 0; i < r->http->header_count; i++) {
        const struct http_header *header = &r->http->headers[i];
        if (is_unsupported(header)) {
            *ret_message = gfs_arena_printf(
                &r->arena,
                "A header you provided implies functionality that is not implemented: %.*s",
                (int)GFS_MIN(header->name.len, (size_t)100), header->name.ptr);
            return S3_NotImplemented;
        }
    }
    return S3_OK;
}

/* ---- what is kept ---- */

static bool is_system_header(struct gfs_slice name)
{
    static const char *const names[] = {"content-type",        "cache-control",
                                        "content-disposition", "content-encoding",
                                        "content-language",    "expires"};
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        if (gfs_slice_eq_str(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* Content-Encoding without aws-chunked, which describes the transfer and not the object. */
static struct gfs_slice without_aws_chunked(struct gfs_arena *arena, struct gfs_slice list)
{
    char *text = gfs_arena_alloc(arena, list.len + 1);
    size_t len = 0;
    while (text != NULL && list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t item_len = comma == NULL ? list.len : (size_t)(comma - list.ptr);
        struct gfs_slice item = gfs_trim(gfs_slice_of(list.ptr, item_len));
        if (item.len > 0 && !gfs_slice_case_eq(item, GFS_SLICE_LITERAL("aws-chunked"))) {
            if (len > 0) {
                text[len++] = ',';
            }
            memcpy(text + len, item.ptr, item.len);
            len += item.len;
        }
        item_len += comma == NULL ? 0 : 1;
        list = gfs_slice_of(list.ptr + item_len, list.len - item_len);
    }
    return gfs_slice_of(text, len);
}

/* Keeps one header; a name that came before gets the second value behind a comma, which is also how
 * repeated headers are signed. False: the arena is full. */
static bool keep(struct gfs_arena *arena, struct meta_object *object, struct gfs_slice name,
                 struct gfs_slice value)
{
    for (uint32_t i = 0; i < object->header_count; i++) {
        struct meta_header *kept = &object->headers[i];
        if (gfs_slice_eq(kept->name, name)) {
            const char *joined =
                gfs_arena_printf(arena, "%.*s,%.*s", (int)kept->value.len, kept->value.ptr,
                                 (int)value.len, value.len == 0 ? "" : value.ptr);
            kept->value = gfs_slice_str(joined);
            return joined != NULL;
        }
    }
    struct meta_header *header = &object->headers[object->header_count];
    header->name = gfs_arena_copy(arena, name);
    header->value = gfs_arena_copy(arena, value);
    object->header_count++;
    return header->name.ptr != NULL && header->value.ptr != NULL;
}

static enum s3_err keep_headers(struct s3_request *r, struct meta_object *object)
{
    struct gfs_slice meta_prefix = GFS_SLICE_LITERAL(META_PREFIX);
    const struct http_request *http = r->http;
    object->header_count = 0;
    object->headers =
        gfs_arena_alloc(&r->arena, ((size_t)http->header_count + 1) * sizeof *object->headers);
    if (object->headers == NULL) {
        return S3_SlowDown;
    }
    for (uint32_t i = 0; i < http->header_count; i++) {
        struct gfs_slice name = http->headers[i].name;
        struct gfs_slice value = http->headers[i].value;
        bool is_meta = gfs_slice_starts(name, meta_prefix);
        if (!is_meta && !is_system_header(name)) {
            continue;
        }
        if (gfs_slice_eq_str(name, "content-encoding")) {
            value = without_aws_chunked(&r->arena, value);
        }
        if (!is_meta && value.len == 0) {
            continue; /* an empty system header says nothing */
        }
        if (!keep(&r->arena, object, name, value)) {
            return S3_SlowDown;
        }
    }
    return S3_OK;
}

/* Names count without their prefix, as S3 counts. */
static bool is_user_metadata_too_large(const struct meta_object *object)
{
    size_t total = 0;
    for (uint32_t i = 0; i < object->header_count; i++) {
        const struct meta_header *header = &object->headers[i];
        if (gfs_slice_starts(header->name, GFS_SLICE_LITERAL(META_PREFIX))) {
            total += header->name.len - (sizeof META_PREFIX - 1) + header->value.len;
        }
    }
    return total > GFS_USER_METADATA_LEN_MAX;
}

/* STANDARD is stored as no class: what it means may change with the number of disks. */
enum s3_err s3_wanted_storage_class(struct s3_request *r, struct gfs_slice *ret)
{
    const struct http_header *header = find(r->http, "x-amz-storage-class");
    if (header == NULL) {
        *ret = gfs_slice_str(r->bucket_rec.storage_class);
        return S3_OK;
    }
    *ret = (struct gfs_slice){0};
    if (gfs_slice_eq_str(header->value, "STANDARD")) {
        return S3_OK;
    }
    struct chunk_store *store = r->gw->options.chunks;
    if (!store->ops->has_class(store, header->value)) {
        return S3_InvalidStorageClass;
    }
    *ret = gfs_arena_copy(&r->arena, header->value);
    return S3_OK;
}

enum s3_err s3_stored_headers(struct s3_request *r, struct meta_object *object,
                              const char **ret_message)
{
    enum s3_err err = check_unsupported(r, ret_message);
    if (err != S3_OK) {
        return err;
    }
    err = s3_wanted_storage_class(r, &object->storage_class);
    if (err == S3_OK) {
        err = keep_headers(r, object);
    }
    if (err == S3_OK && is_user_metadata_too_large(object)) {
        err = S3_MetadataTooLarge;
    }
    return err;
}

/* ---- the declared checksum ---- */

static const char single_checksum[] =
    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";

/* The algorithm of "x-amz-checksum-crc32"; NONE for every other header. */
static enum meta_checksum_algo algo_of_header(struct gfs_slice name)
{
    struct gfs_slice prefix = GFS_SLICE_LITERAL("x-amz-checksum-");
    if (name.len <= prefix.len || !gfs_slice_case_eq(gfs_slice_of(name.ptr, prefix.len), prefix)) {
        return META_CHECKSUM_NONE;
    }
    return s3_checksum_parse(gfs_slice_of(name.ptr + prefix.len, name.len - prefix.len));
}

static enum s3_err find_value(struct s3_request *r, struct s3_declared_checksum *ret,
                              const char **ret_message)
{
    for (uint32_t i = 0; i < r->http->header_count; i++) {
        const struct http_header *header = &r->http->headers[i];
        enum meta_checksum_algo algo = algo_of_header(header->name);
        if (algo == META_CHECKSUM_NONE) {
            continue;
        }
        if (ret->has_value) {
            *ret_message = single_checksum;
            return S3_InvalidRequest;
        }
        ret->algo = algo;
        ret->has_value = true;
        if (gfs_base64_decode_exact(header->value, ret->value, meta_checksum_len(algo)) != GFS_OK) {
            *ret_message = gfs_arena_printf(&r->arena, "Value for %s header is invalid.",
                                            s3_checksum_header(algo));
            return S3_InvalidRequest;
        }
    }
    return S3_OK;
}

/* Trailers of algorithms that are not known here are left alone: they are framing, and the body's
 * own signature and length still hold. */
static enum s3_err find_trailer(struct s3_request *r, struct s3_declared_checksum *ret,
                                const char **ret_message)
{
    const struct http_header *trailer = find(r->http, "x-amz-trailer");
    enum meta_checksum_algo algo =
        trailer == NULL ? META_CHECKSUM_NONE : algo_of_header(trailer->value);
    if (algo == META_CHECKSUM_NONE) {
        return S3_OK;
    }
    if (ret->has_value) {
        *ret_message = single_checksum;
        return S3_InvalidRequest;
    }
    ret->algo = algo;
    return S3_OK;
}

/* The algorithms that are only named. x-amz-checksum-algorithm chooses what is computed, so it must
 * be known; x-amz-sdk-checksum-algorithm must not contradict the value that came. */
static enum s3_err find_named(struct s3_request *r, struct s3_declared_checksum *ret,
                              const char **ret_message)
{
    const struct http_header *chosen = find(r->http, "x-amz-checksum-algorithm");
    if (chosen != NULL) {
        enum meta_checksum_algo algo = s3_checksum_parse(chosen->value);
        if (algo == META_CHECKSUM_NONE) {
            *ret_message = "Checksum algorithm provided is unsupported. Please try again with any "
                           "of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]";
            return S3_InvalidRequest;
        }
        if (ret->algo == META_CHECKSUM_NONE) {
            ret->algo = algo;
        }
    }
    const struct http_header *named = find(r->http, "x-amz-sdk-checksum-algorithm");
    enum meta_checksum_algo algo =
        named == NULL ? META_CHECKSUM_NONE : s3_checksum_parse(named->value);
    if (algo == META_CHECKSUM_NONE) {
        return S3_OK;
    }
    if (ret->algo == META_CHECKSUM_NONE) {
        ret->algo = algo;
    } else if (ret->algo != algo) {
        *ret_message = "Value for x-amz-sdk-checksum-algorithm header is invalid.";
        return S3_InvalidRequest;
    }
    return S3_OK;
}

enum s3_err s3_declared_checksum(struct s3_request *r, struct s3_declared_checksum *ret,
                                 const char **ret_message)
{
    *ret = (struct s3_declared_checksum){.algo = META_CHECKSUM_NONE};
    enum s3_err err = find_value(r, ret, ret_message);
    if (err == S3_OK) {
        err = find_trailer(r, ret, ret_message);
    }
    return err == S3_OK ? find_named(r, ret, ret_message) : err;
}

/* ---- conditions ---- */

/* ETags that no object here can have are dropped: the condition with what is left, perhaps nothing,
 * is then as false as it should be. */
static enum s3_err parse_if_match(struct s3_request *r, struct gfs_slice list,
                                  struct meta_condition *ret)
{
    size_t count = 1;
    for (size_t i = 0; i < list.len; i++) {
        count += list.ptr[i] == ',';
    }
    ret->has_if_match = true;
    ret->etags = gfs_arena_alloc(&r->arena, count * sizeof *ret->etags);
    if (ret->etags == NULL) {
        return S3_SlowDown;
    }
    while (list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.ptr);
        struct meta_etag *etag = &ret->etags[ret->etag_count];
        if (s3_etag_parse(gfs_trim(gfs_slice_of(list.ptr, len)), etag->md5, &etag->parts)) {
            ret->etag_count++;
        }
        len += comma == NULL ? 0 : 1;
        list = gfs_slice_of(list.ptr + len, list.len - len);
    }
    return S3_OK;
}

enum s3_err s3_write_condition(struct s3_request *r, struct meta_condition *ret,
                               const char **ret_message)
{
    *ret = (struct meta_condition){0};
    if (find(r->http, "if-modified-since") != NULL ||
        find(r->http, "if-unmodified-since") != NULL) {
        *ret_message = "If-Modified-Since and If-Unmodified-Since are not implemented for writes.";
        return S3_NotImplemented;
    }
    const struct http_header *none_match = find(r->http, "if-none-match");
    if (none_match != NULL) {
        if (!gfs_slice_eq_str(none_match->value, "*")) {
            *ret_message = "If-None-Match on a write is only implemented for the value *.";
            return S3_NotImplemented;
        }
        ret->if_none_match_any = true;
    }
    const struct http_header *match = find(r->http, "if-match");
    if (match == NULL) {
        return S3_OK;
    }
    if (none_match != NULL) {
        *ret_message = "If-Match and If-None-Match together are not implemented for writes.";
        return S3_NotImplemented;
    }
    if (gfs_slice_eq_str(match->value, "*")) {
        ret->if_match_any = true;
        return S3_OK;
    }
    return parse_if_match(r, match->value, ret);
}
