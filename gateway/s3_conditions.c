#include "gateway/s3_conditions.h"

#include <stdio.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

static struct gfs_slice condition_header(const struct s3_request *r, const char *prefix,
                                         const char *name)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    return s3_header(r, full);
}

static bool etag_is(struct gfs_slice text, const struct meta_object *object)
{
    uint8_t etag[META_ETAG_LEN];
    uint32_t parts = 0;
    if (gfs_slice_starts(text, GFS_SLICE_LITERAL("W/"))) {
        text = gfs_slice_of(text.ptr + 2, text.len - 2);
    }
    return s3_etag_parse(text, etag, &parts) && parts == object->etag_parts &&
           memcmp(etag, object->etag, sizeof etag) == 0;
}

/* "*", or a comma-separated list of ETags. */
static bool etag_list_holds(struct gfs_slice list, const struct meta_object *object)
{
    while (list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.ptr);
        struct gfs_slice item = gfs_trim(gfs_slice_of(list.ptr, len));
        if (gfs_slice_eq_str(item, "*") || etag_is(item, object)) {
            return true;
        }
        len += comma == NULL ? 0 : 1;
        list = gfs_slice_of(list.ptr + len, list.len - len);
    }
    return false;
}

enum s3_err s3_read_condition(const struct s3_request *r, const char *prefix,
                              const struct meta_object *object)
{
    int64_t mtime_s = object->mtime_ms / 1000;
    int64_t date = 0;
    bool is_copy = prefix[0] != '\0';
    struct gfs_slice match = condition_header(r, prefix, "if-match");
    struct gfs_slice unmodified = condition_header(r, prefix, "if-unmodified-since");
    if (match.ptr != NULL) {
        if (!etag_list_holds(match, object)) {
            return S3_PreconditionFailed;
        }
    } else if (unmodified.ptr != NULL && gfs_parse_http_date(unmodified, &date) == GFS_OK &&
               mtime_s > date) {
        return S3_PreconditionFailed;
    }
    struct gfs_slice none_match = condition_header(r, prefix, "if-none-match");
    struct gfs_slice modified = condition_header(r, prefix, "if-modified-since");
    bool is_unchanged = false;
    if (none_match.ptr != NULL) {
        is_unchanged = etag_list_holds(none_match, object);
    } else if (modified.ptr != NULL && gfs_parse_http_date(modified, &date) == GFS_OK) {
        is_unchanged = mtime_s <= date;
    }
    if (!is_unchanged) {
        return S3_OK;
    }
    return is_copy ? S3_PreconditionFailed : S3_NotModified;
}

bool s3_if_range_holds(const struct s3_request *r, const struct meta_object *object)
{
    struct gfs_slice text = s3_header(r, "if-range");
    if (text.ptr == NULL) {
        return true;
    }
    int64_t date = 0;
    if (gfs_parse_http_date(text, &date) == GFS_OK) {
        return object->mtime_ms / 1000 == date;
    }
    return etag_is(text, object);
}

/* Digits; a position past 64 bits is as good as the greatest one. */
static bool parse_position(struct gfs_slice text, uint64_t *ret)
{
    enum gfs_err err = gfs_parse_u64(text, UINT64_MAX, ret);
    if (err == GFS_RANGE) {
        *ret = UINT64_MAX;
    }
    return err == GFS_OK || err == GFS_RANGE;
}

enum s3_err s3_range_parse(struct gfs_slice header, uint64_t size, struct s3_range *ret)
{
    *ret = (struct s3_range){.is_partial = false, .start = 0, .len = size};
    if (!gfs_slice_starts(header, GFS_SLICE_LITERAL("bytes="))) {
        return S3_OK;
    }
    struct gfs_slice spec = gfs_slice_of(header.ptr + 6, header.len - 6);
    const char *dash = memchr(spec.ptr, '-', spec.len);
    if (dash == NULL || memchr(spec.ptr, ',', spec.len) != NULL) {
        return S3_OK;
    }
    struct gfs_slice first = gfs_slice_of(spec.ptr, (size_t)(dash - spec.ptr));
    struct gfs_slice last = gfs_slice_of(dash + 1, spec.len - first.len - 1);
    uint64_t start = 0;
    uint64_t end = size == 0 ? 0 : size - 1;
    if (first.len == 0) {
        uint64_t suffix = 0;
        if (!parse_position(last, &suffix)) {
            return S3_OK;
        }
        if (suffix == 0 || size == 0) {
            return S3_InvalidRange;
        }
        start = suffix >= size ? 0 : size - suffix;
    } else {
        if (!parse_position(first, &start)) {
            return S3_OK;
        }
        if (last.len != 0) {
            if (!parse_position(last, &end) || end < start) {
                return S3_OK;
            }
            end = size == 0 ? 0 : GFS_MIN(end, size - 1);
        }
        if (start >= size) {
            return S3_InvalidRange;
        }
    }
    *ret = (struct s3_range){.is_partial = true, .start = start, .len = end - start + 1};
    return S3_OK;
}

enum s3_err s3_copy_range_parse(struct gfs_slice header, uint64_t size, struct s3_range *ret)
{
    *ret = (struct s3_range){.is_partial = false, .start = 0, .len = size};
    if (header.ptr == NULL) {
        return S3_OK;
    }
    uint64_t start = 0;
    uint64_t end = 0;
    const char *dash = memchr(header.ptr, '-', header.len);
    if (!gfs_slice_starts(header, GFS_SLICE_LITERAL("bytes=")) || dash == NULL) {
        return S3_InvalidArgument;
    }
    struct gfs_slice first = gfs_slice_of(header.ptr + 6, (size_t)(dash - header.ptr) - 6);
    struct gfs_slice last = gfs_slice_of(dash + 1, header.len - (size_t)(dash - header.ptr) - 1);
    if (gfs_parse_u64(first, INT64_MAX, &start) != GFS_OK ||
        gfs_parse_u64(last, INT64_MAX, &end) != GFS_OK || end < start) {
        return S3_InvalidArgument;
    }
    if (end >= size) {
        return S3_InvalidRange;
    }
    *ret = (struct s3_range){.is_partial = true, .start = start, .len = end - start + 1};
    return S3_OK;
}
