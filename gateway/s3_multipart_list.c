/* ListParts and ListMultipartUploads; scans and XML on a worker thread. */
#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "gateway/s3_complete.h"
#include "gateway/s3_list_params.h"
#include "gateway/s3_list_xml.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum {
    /* 1,000 keys of 1 KiB with every byte escaped to six, and what stands around them */
    LIST_XML_MAX = 16 * 1024 * 1024,
    PART_ARENA_MAX = 1024 * 1024, /* one part with its chunks */
};

static void add_date(struct gfs_buf *xml, const char *element, int64_t ms)
{
    char date[GFS_ISO_DATE_LEN + 1];
    gfs_iso_date(ms, date);
    gfs_xml_element_str(xml, element, date);
}

static void add_checksum_kind(struct gfs_buf *xml, const struct meta_checksum *checksum)
{
    if (checksum->algo != META_CHECKSUM_NONE) {
        gfs_xml_element_str(xml, "ChecksumAlgorithm", s3_checksum_name(checksum->algo));
        gfs_xml_element_str(xml, "ChecksumType", s3_checksum_type_name(checksum->type));
    }
}

/* ---- ListParts ---- */

struct list_parts {
    uint8_t upload_id[META_UPLOAD_ID_LEN];
    uint32_t marker, max, last;
    struct gfs_buf parts, out;
    enum gfs_err err;
};

static enum gfs_err visit_part(void *arg, const struct meta_list_item *item)
{
    struct list_parts *list = arg;
    struct gfs_arena arena GFS_CLEANUP(gfs_arena_fini);
    struct meta_part part;
    gfs_arena_init(&arena, PART_ARENA_MAX);
    enum gfs_err err = meta_part_decode(item->row, &arena, &part);
    if (err != GFS_OK) {
        return err;
    }
    struct gfs_buf *xml = &list->parts;
    gfs_xml_open(xml, "Part");
    gfs_xml_element_u64(xml, "PartNumber", part.number);
    add_date(xml, "LastModified", part.mtime_ms);
    gfs_xml_element(xml, "ETag", s3_etag_text(&arena, part.etag, 0));
    gfs_xml_element_u64(xml, "Size", part.size);
    s3_checksum_xml(xml, &arena, &part.checksum, 0);
    gfs_xml_close(xml, "Part");
    list->last = part.number;
    return GFS_OK;
}

static void write_parts(struct s3_request *r, struct list_parts *list,
                        const struct meta_object *upload, bool is_truncated)
{
    struct gfs_buf *xml = &list->out;
    gfs_xml_begin(xml, "ListPartsResult", S3_XMLNS);
    gfs_xml_element(xml, "Bucket", r->bucket);
    gfs_xml_element(xml, "Key", r->key);
    gfs_xml_element(xml, "UploadId", s3_upload_id_text(&r->arena, list->upload_id));
    s3_xml_owner(xml, "Initiator", r);
    s3_xml_owner(xml, "Owner", r);
    gfs_xml_element(xml, "StorageClass", s3_storage_class_text(upload));
    gfs_xml_element_u64(xml, "PartNumberMarker", list->marker);
    gfs_xml_element_u64(xml, "NextPartNumberMarker", list->last);
    gfs_xml_element_u64(xml, "MaxParts", list->max);
    gfs_xml_element_bool(xml, "IsTruncated", is_truncated);
    add_checksum_kind(xml, &upload->checksum);
    gfs_buf_add_slice(xml, gfs_buf_slice(&list->parts));
    gfs_xml_close(xml, "ListPartsResult");
    xml->is_full |= list->parts.is_full;
}

static void parts_work(struct s3_request *r)
{
    struct list_parts *list = r->op_state;
    struct meta_service *meta = r->gw->options.meta;
    struct meta_row *row = NULL;
    struct meta_object upload;
    bool is_truncated = false;
    list->err = meta->ops->upload(meta, r->bucket_rec.id, r->key, list->upload_id, 0, &row);
    if (list->err == GFS_OK) {
        list->err = meta_object_decode_summary(meta_row_bytes(row), &upload);
    }
    if (list->err == GFS_OK && list->max > 0) {
        list->err = meta->ops->list_parts(meta, list->upload_id, list->marker, list->max,
                                          visit_part, list, &is_truncated);
    }
    if (list->err == GFS_OK) {
        write_parts(r, list, &upload, is_truncated);
    }
    meta_row_unref(row);
}

static void parts_after(struct s3_request *r)
{
    struct list_parts *list = r->op_state;
    if (list->err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(list->err, META_MISSING_UPLOAD), NULL);
        return;
    }
    s3_reply_xml(r, 200, &list->out);
}

static enum s3_err parse_parts(struct s3_request *r, struct list_parts *list,
                               const char **ret_message)
{
    enum s3_err err = s3_list_max(r, "max-parts", &list->max, ret_message);
    if (err == S3_OK) {
        err = s3_param_uint(r, "part-number-marker", GFS_PART_NUMBER_MAX, true, 0, &list->marker);
        if (err != S3_OK) {
            *ret_message =
                "Argument part-number-marker must be an integer between 0 and 2147483647";
        }
    }
    if (err == S3_OK && !s3_upload_id_parse(s3_param_value(r, "uploadId"), list->upload_id)) {
        err = S3_NoSuchUpload;
    }
    return err;
}

static void parts_start(struct s3_request *r)
{
    struct list_parts *list = gfs_alloc(sizeof *list);
    r->op_state = list;
    gfs_buf_init(&list->parts, LIST_XML_MAX);
    gfs_buf_init(&list->out, LIST_XML_MAX);
    const char *message = NULL;
    enum s3_err err = parse_parts(r, list, &message);
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    s3_block(r, parts_work, parts_after);
}

static void parts_release(struct s3_request *r)
{
    struct list_parts *list = r->op_state;
    if (list != NULL) {
        gfs_buf_fini(&list->parts);
        gfs_buf_fini(&list->out);
        free(list);
    }
}

const struct s3_op s3_op_list_parts = {
    .name = "ListParts",
    .action = S3_ACTION_LIST,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = parts_start,
    .release = parts_release,
};

/* ---- ListMultipartUploads ---- */

struct list_uploads {
    struct gfs_slice prefix, delimiter, key_marker, upload_id_marker;
    bool is_encoded, has_upload_id;
    uint8_t upload_id[META_UPLOAD_ID_LEN];
    uint32_t max;
    /* the last thing that was shown */
    char last[GFS_KEY_LEN_MAX];
    size_t last_len;
    bool is_last_prefix;
    uint8_t last_id[META_UPLOAD_ID_LEN];
    struct gfs_buf uploads, prefixes, out;
    enum gfs_err err;
};

static void add_upload_id(struct gfs_buf *xml, const char *element,
                          const uint8_t id[META_UPLOAD_ID_LEN])
{
    char hex[2 * META_UPLOAD_ID_LEN + 1];
    gfs_hex_encode(id, META_UPLOAD_ID_LEN, hex);
    gfs_xml_element_str(xml, element, hex);
}

static void add_upload(struct list_uploads *list, const struct meta_list_item *item,
                       const struct meta_object *upload)
{
    struct gfs_buf *xml = &list->uploads;
    gfs_xml_open(xml, "Upload");
    s3_xml_key(xml, "Key", item->key, list->is_encoded);
    add_upload_id(xml, "UploadId", item->upload_id);
    s3_xml_owner(xml, "Initiator", NULL);
    s3_xml_owner(xml, "Owner", NULL);
    gfs_xml_element(xml, "StorageClass", s3_storage_class_text(upload));
    add_date(xml, "Initiated", upload->mtime_ms);
    add_checksum_kind(xml, &upload->checksum);
    gfs_xml_close(xml, "Upload");
}

static enum gfs_err visit_upload(void *arg, const struct meta_list_item *item)
{
    struct list_uploads *list = arg;
    struct meta_object upload;
    if (item->key.len > sizeof list->last) {
        return GFS_CORRUPT;
    }
    if (item->is_prefix) {
        gfs_xml_open(&list->prefixes, "CommonPrefixes");
        s3_xml_key(&list->prefixes, "Prefix", item->key, list->is_encoded);
        gfs_xml_close(&list->prefixes, "CommonPrefixes");
    } else {
        enum gfs_err err = meta_object_decode_summary(item->row, &upload);
        if (err != GFS_OK) {
            return err;
        }
        add_upload(list, item, &upload);
        memcpy(list->last_id, item->upload_id, sizeof list->last_id);
    }
    memcpy(list->last, item->key.ptr, item->key.len);
    list->last_len = item->key.len;
    list->is_last_prefix = item->is_prefix;
    return GFS_OK;
}

static void write_uploads(struct s3_request *r, struct list_uploads *list, bool is_truncated)
{
    struct gfs_buf *xml = &list->out;
    gfs_xml_begin(xml, "ListMultipartUploadsResult", S3_XMLNS);
    gfs_xml_element(xml, "Bucket", r->bucket);
    s3_xml_key(xml, "KeyMarker", list->key_marker, list->is_encoded);
    gfs_xml_element(xml, "UploadIdMarker", list->upload_id_marker);
    if (is_truncated) {
        s3_xml_key(xml, "NextKeyMarker", gfs_slice_of(list->last, list->last_len),
                   list->is_encoded);
        if (!list->is_last_prefix) {
            add_upload_id(xml, "NextUploadIdMarker", list->last_id);
        }
    }
    s3_xml_key(xml, "Prefix", list->prefix, list->is_encoded);
    if (list->delimiter.len > 0) {
        s3_xml_key(xml, "Delimiter", list->delimiter, list->is_encoded);
    }
    if (list->is_encoded) {
        gfs_xml_element_str(xml, "EncodingType", "url");
    }
    gfs_xml_element_u64(xml, "MaxUploads", list->max);
    gfs_xml_element_bool(xml, "IsTruncated", is_truncated);
    gfs_buf_add_slice(xml, gfs_buf_slice(&list->uploads));
    gfs_buf_add_slice(xml, gfs_buf_slice(&list->prefixes));
    gfs_xml_close(xml, "ListMultipartUploadsResult");
    xml->is_full |= list->uploads.is_full || list->prefixes.is_full;
}

static void uploads_work(struct s3_request *r)
{
    struct list_uploads *list = r->op_state;
    struct meta_service *meta = r->gw->options.meta;
    struct meta_list_query scan = {
        .bucket_id = r->bucket_rec.id,
        .prefix = list->prefix,
        .delimiter = list->delimiter,
        .after = s3_list_start(list->key_marker),
        .after_is_prefix = s3_list_is_prefix(list->key_marker, list->prefix, list->delimiter),
        .has_after_upload = list->has_upload_id,
        .max = list->max,
    };
    bool is_truncated = false;
    memcpy(scan.after_upload, list->upload_id, sizeof scan.after_upload);
    if (scan.max > 0 && scan.prefix.len <= GFS_KEY_LEN_MAX) {
        list->err = meta->ops->list_uploads(meta, &scan, visit_upload, list, &is_truncated);
    }
    if (list->err == GFS_OK) {
        write_uploads(r, list, is_truncated);
    }
}

static void uploads_after(struct s3_request *r)
{
    struct list_uploads *list = r->op_state;
    if (list->err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(list->err, META_MISSING_BUCKET), NULL);
        return;
    }
    s3_reply_xml(r, 200, &list->out);
}

static enum s3_err parse_uploads(struct s3_request *r, struct list_uploads *list,
                                 const char **ret_message)
{
    list->prefix = s3_param_value(r, "prefix");
    list->delimiter = s3_param_value(r, "delimiter");
    list->key_marker = s3_param_value(r, "key-marker");
    list->upload_id_marker = s3_param_value(r, "upload-id-marker");
    /* without a key marker S3 ignores the other one */
    list->has_upload_id = list->key_marker.len > 0 && list->upload_id_marker.len > 0;
    if (list->has_upload_id && !s3_upload_id_parse(list->upload_id_marker, list->upload_id)) {
        *ret_message = "Invalid uploadId marker";
        return S3_InvalidArgument;
    }
    enum s3_err err = s3_list_encoding(r, &list->is_encoded, ret_message);
    return err == S3_OK ? s3_list_max(r, "max-uploads", &list->max, ret_message) : err;
}

static void uploads_start(struct s3_request *r)
{
    struct list_uploads *list = gfs_alloc(sizeof *list);
    r->op_state = list;
    gfs_buf_init(&list->uploads, LIST_XML_MAX);
    gfs_buf_init(&list->prefixes, LIST_XML_MAX);
    gfs_buf_init(&list->out, 2 * LIST_XML_MAX);
    const char *message = NULL;
    enum s3_err err = parse_uploads(r, list, &message);
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    s3_block(r, uploads_work, uploads_after);
}

static void uploads_release(struct s3_request *r)
{
    struct list_uploads *list = r->op_state;
    if (list != NULL) {
        gfs_buf_fini(&list->uploads);
        gfs_buf_fini(&list->prefixes);
        gfs_buf_fini(&list->out);
        free(list);
    }
}

const struct s3_op s3_op_list_multipart_uploads = {
    .name = "ListMultipartUploads",
    .action = S3_ACTION_LIST,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = uploads_start,
    .release = uploads_release,
};
