/* GetObjectAttributes. */
#include "gateway/gateway_state.h"
#include "gateway/s3_complete.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum attribute {
    ATTRIBUTE_ETAG = 1,
    ATTRIBUTE_CHECKSUM = 2,
    ATTRIBUTE_PARTS = 4,
    ATTRIBUTE_STORAGE_CLASS = 8,
    ATTRIBUTE_SIZE = 16,
};

enum { ATTRIBUTES_XML_MAX = 1024 * 1024 };

/* In the request's arena. */
struct attributes {
    unsigned wanted; /* enum attribute, or-ed */
    uint32_t max_parts, marker;
};

/* ---- parameters ---- */

static unsigned attribute_of(struct gfs_slice name)
{
    static const struct {
        const char *name;
        enum attribute attribute;
    } names[] = {
        {"ETag", ATTRIBUTE_ETAG},         {"Checksum", ATTRIBUTE_CHECKSUM},
        {"ObjectParts", ATTRIBUTE_PARTS}, {"StorageClass", ATTRIBUTE_STORAGE_CLASS},
        {"ObjectSize", ATTRIBUTE_SIZE},
    };
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        if (gfs_slice_eq_str(name, names[i].name)) {
            return names[i].attribute;
        }
    }
    return 0;
}

/* One header's comma-separated names; false when one is unknown. */
static bool add_names(struct gfs_slice list, unsigned *wanted)
{
    while (list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.ptr);
        unsigned attribute = attribute_of(gfs_trim(gfs_slice_of(list.ptr, len)));
        if (attribute == 0) {
            return false;
        }
        *wanted |= attribute;
        len += comma == NULL ? 0 : 1;
        list = gfs_slice_of(list.ptr + len, list.len - len);
    }
    return true;
}

static enum s3_err parse_number(struct s3_request *r, const char *name, uint32_t fallback,
                                uint32_t max, uint32_t *ret, const char **ret_message)
{
    struct gfs_slice text = s3_header(r, name);
    uint64_t value = fallback;
    if (text.ptr != NULL && gfs_parse_u64(text, INT32_MAX, &value) != GFS_OK) {
        *ret_message = gfs_arena_printf(
            &r->arena, "Argument %s must be an integer between 0 and 2147483647", name);
        return S3_InvalidArgument;
    }
    *ret = (uint32_t)GFS_MIN(value, (uint64_t)max);
    return S3_OK;
}

static enum s3_err parse(struct s3_request *r, struct attributes *attributes,
                         const char **ret_message)
{
    enum s3_err err = s3_version_check(r, ret_message);
    if (err != S3_OK) {
        return err;
    }
    for (uint32_t i = 0; i < r->http->header_count; i++) {
        const struct http_header *header = &r->http->headers[i];
        if (gfs_slice_eq_str(header->name, "x-amz-object-attributes") &&
            !add_names(header->value, &attributes->wanted)) {
            *ret_message = "Invalid attribute name specified.";
            return S3_InvalidArgument;
        }
    }
    if (attributes->wanted == 0) {
        *ret_message = "The x-amz-object-attributes header specifying the attributes to be "
                       "retrieved is either missing or empty";
        return S3_InvalidRequest;
    }
    err = parse_number(r, "x-amz-max-parts", GFS_LIST_KEYS_MAX, GFS_LIST_KEYS_MAX,
                       &attributes->max_parts, ret_message);
    return err == S3_OK ? parse_number(r, "x-amz-part-number-marker", 0, GFS_PART_NUMBER_MAX,
                                       &attributes->marker, ret_message)
                        : err;
}

/* ---- the answer ---- */

static void add_parts(struct s3_request *r, const struct attributes *attributes,
                      const struct meta_object *object, struct gfs_buf *xml)
{
    uint32_t first = 0;
    while (first < object->part_count && object->parts[first].number <= attributes->marker) {
        first++;
    }
    uint32_t count = GFS_MIN(object->part_count - first, attributes->max_parts);
    uint32_t last = count == 0 ? attributes->marker : object->parts[first + count - 1].number;
    gfs_xml_open(xml, "ObjectParts");
    gfs_xml_element_u64(xml, "PartsCount", object->part_count);
    gfs_xml_element_u64(xml, "PartNumberMarker", attributes->marker);
    gfs_xml_element_u64(xml, "NextPartNumberMarker", last);
    gfs_xml_element_u64(xml, "MaxParts", attributes->max_parts);
    gfs_xml_element_bool(xml, "IsTruncated",
                         attributes->max_parts > 0 && first + count < object->part_count);
    for (uint32_t i = first; i < first + count; i++) {
        const struct meta_part *part = &object->parts[i];
        gfs_xml_open(xml, "Part");
        gfs_xml_element_u64(xml, "PartNumber", part->number);
        gfs_xml_element_u64(xml, "Size", part->size);
        s3_checksum_xml(xml, &r->arena, &part->checksum, 0);
        gfs_xml_close(xml, "Part");
    }
    gfs_xml_close(xml, "ObjectParts");
}

/* Here, and only here, S3 shows the ETag without its quotes. */
static void add_etag(struct s3_request *r, const struct meta_object *object, struct gfs_buf *xml)
{
    struct gfs_slice etag = s3_etag_text(&r->arena, object->etag, object->etag_parts);
    gfs_xml_element(xml, "ETag", gfs_slice_of(etag.ptr + 1, etag.len - 2));
}

static void reply(struct s3_request *r, const struct meta_object *object)
{
    const struct attributes *attributes = r->op_state;
    struct gfs_buf xml;
    gfs_buf_init(&xml, ATTRIBUTES_XML_MAX);
    gfs_xml_begin(&xml, "GetObjectAttributesResponse", S3_XMLNS);
    if ((attributes->wanted & ATTRIBUTE_ETAG) != 0) {
        add_etag(r, object, &xml);
    }
    if ((attributes->wanted & ATTRIBUTE_CHECKSUM) != 0) {
        gfs_xml_open(&xml, "Checksum");
        s3_checksum_xml(&xml, &r->arena, &object->checksum, object->part_count);
        gfs_xml_element_str(&xml, "ChecksumType", s3_checksum_type_name(object->checksum.type));
        gfs_xml_close(&xml, "Checksum");
    }
    if ((attributes->wanted & ATTRIBUTE_PARTS) != 0 && object->part_count > 0) {
        add_parts(r, attributes, object, &xml);
    }
    if ((attributes->wanted & ATTRIBUTE_STORAGE_CLASS) != 0) {
        gfs_xml_element(&xml, "StorageClass", s3_storage_class_text(object));
    }
    if ((attributes->wanted & ATTRIBUTE_SIZE) != 0) {
        gfs_xml_element_u64(&xml, "ObjectSize", object->size);
    }
    gfs_xml_close(&xml, "GetObjectAttributesResponse");
    char date[GFS_HTTP_DATE_LEN + 1];
    gfs_http_date(object->mtime_ms / 1000, date);
    s3_reply_header(r, "last-modified", gfs_arena_copy(&r->arena, gfs_slice_str(date)));
    s3_reply_xml(r, 200, &xml);
}

static void found(struct s3_request *r, enum gfs_err err, struct meta_row *row)
{
    struct meta_object object;
    if (err == GFS_OK) {
        err = meta_object_decode(meta_row_bytes(row), &r->arena, &object);
    }
    if (err == GFS_OK) {
        reply(r, &object);
    } else {
        s3_fail(r, s3_err_from_gfs(err, META_MISSING_KEY), NULL);
    }
    meta_row_unref(row);
}

static void start(struct s3_request *r)
{
    struct attributes *attributes = gfs_arena_alloc(&r->arena, sizeof *attributes);
    if (attributes == NULL) {
        s3_fail(r, S3_SlowDown, NULL);
        return;
    }
    r->op_state = attributes;
    const char *message = NULL;
    enum s3_err err = parse(r, attributes, &message);
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    s3_lookup(r, r->bucket_rec.id, r->key, found);
}

const struct s3_op s3_op_get_object_attributes = {
    .name = "GetObjectAttributes",
    .action = S3_ACTION_READ,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = start,
};
