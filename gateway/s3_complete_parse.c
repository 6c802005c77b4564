/* Bodies and headers of multipart uploads. */
#include <stdio.h>

#include "gateway/s3_complete.h"
#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum {
    /* per part: itself, number, ETag and five checksums; and the root */
    NODES_MAX = 8 * GFS_PART_NUMBER_MAX + 64,
};

/* ---- checksums in headers ---- */

bool s3_checksum_type_parse(struct gfs_slice text, enum meta_checksum_type *ret)
{
    if (gfs_slice_case_eq(text, GFS_SLICE_LITERAL("FULL_OBJECT"))) {
        *ret = META_CHECKSUM_FULL_OBJECT;
        return true;
    }
    *ret = META_CHECKSUM_COMPOSITE;
    return gfs_slice_case_eq(text, GFS_SLICE_LITERAL("COMPOSITE"));
}

static const char *lower_name(enum meta_checksum_algo algo)
{
    return s3_checksum_header(algo) + sizeof "x-amz-checksum-" - 1;
}

enum s3_err s3_upload_checksum(struct gfs_slice algorithm, struct gfs_slice type,
                               struct gfs_arena *arena, struct meta_checksum *ret,
                               const char **ret_message)
{
    *ret = (struct meta_checksum){.algo = META_CHECKSUM_NONE, .type = META_CHECKSUM_FULL_OBJECT};
    enum meta_checksum_type wanted = META_CHECKSUM_FULL_OBJECT;
    if (type.ptr != NULL && !s3_checksum_type_parse(type, &wanted)) {
        *ret_message = "Value for x-amz-checksum-type header is invalid.";
        return S3_InvalidRequest;
    }
    if (algorithm.ptr == NULL) {
        if (type.ptr == NULL) {
            return S3_OK;
        }
        *ret_message = "The x-amz-checksum-type header can only be used with the "
                       "x-amz-checksum-algorithm header.";
        return S3_InvalidRequest;
    }
    ret->algo = s3_checksum_parse(algorithm);
    if (ret->algo == META_CHECKSUM_NONE) {
        *ret_message = "Checksum algorithm provided is unsupported. Please try again with any of "
                       "the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]";
        return S3_InvalidRequest;
    }
    bool is_sha = ret->algo == META_CHECKSUM_SHA1 || ret->algo == META_CHECKSUM_SHA256;
    bool is_crc64 = ret->algo == META_CHECKSUM_CRC64NVME;
    ret->type = is_crc64 ? META_CHECKSUM_FULL_OBJECT : META_CHECKSUM_COMPOSITE;
    if (type.ptr == NULL) {
        return S3_OK;
    }
    ret->type = wanted;
    if ((is_sha && wanted == META_CHECKSUM_FULL_OBJECT) ||
        (is_crc64 && wanted == META_CHECKSUM_COMPOSITE)) {
        *ret_message = gfs_arena_printf(
            arena, "The %s checksum type cannot be used with the %s checksum algorithm.",
            s3_checksum_type_name(wanted), lower_name(ret->algo));
        return S3_InvalidRequest;
    }
    return S3_OK;
}

bool s3_complete_checksum(struct gfs_slice text, enum meta_checksum_algo algo,
                          struct s3_complete_request *ret)
{
    size_t len = meta_checksum_len(algo);
    size_t base64_len = GFS_BASE64_LEN(len);
    uint64_t parts = 0;
    if (text.len > base64_len) {
        if (text.ptr[base64_len] != '-' ||
            gfs_parse_u64(gfs_slice_of(text.ptr + base64_len + 1, text.len - base64_len - 1),
                          GFS_PART_NUMBER_MAX, &parts) != GFS_OK ||
            parts == 0) {
            return false;
        }
        text.len = base64_len;
    }
    if (gfs_base64_decode_exact(text, ret->checksum.value, len) != GFS_OK) {
        return false;
    }
    ret->checksum.algo = algo;
    ret->checksum_parts = (uint32_t)parts;
    return true;
}

void s3_checksum_xml(struct gfs_buf *xml, struct gfs_arena *arena,
                     const struct meta_checksum *checksum, uint32_t parts)
{
    char element[32];
    if (checksum->algo != META_CHECKSUM_NONE) {
        (void)snprintf(element, sizeof element, "Checksum%s", s3_checksum_name(checksum->algo));
        gfs_xml_element(xml, element, s3_checksum_text(arena, checksum, parts));
    }
}

/* ---- the body ---- */

/* The checksum a part names, if any: at most one. */
static enum s3_err parse_part_checksum(const struct gfs_xml_node *part, struct meta_checksum *ret)
{
    struct gfs_slice prefix = GFS_SLICE_LITERAL("Checksum");
    for (const struct gfs_xml_node *node = part->child; node != NULL; node = node->next) {
        if (!gfs_slice_starts(node->name, prefix)) {
            continue;
        }
        enum meta_checksum_algo algo = s3_checksum_parse(
            gfs_slice_of(node->name.ptr + prefix.len, node->name.len - prefix.len));
        if (algo == META_CHECKSUM_NONE) {
            continue; /* an algorithm this store does not know, as in headers */
        }
        if (ret->algo != META_CHECKSUM_NONE) {
            return S3_MalformedXML;
        }
        if (gfs_base64_decode_exact(gfs_trim(node->text), ret->value, meta_checksum_len(algo)) !=
            GFS_OK) {
            return S3_InvalidPart;
        }
        ret->algo = algo;
    }
    return S3_OK;
}

static enum s3_err parse_part(const struct gfs_xml_node *node, struct s3_wanted_part *ret,
                              const char **ret_message)
{
    uint64_t number = 0;
    uint32_t etag_parts = 0;
    struct gfs_slice etag = gfs_trim(gfs_xml_child_text(node, "ETag"));
    struct gfs_slice text = gfs_trim(gfs_xml_child_text(node, "PartNumber"));
    *ret = (struct s3_wanted_part){0};
    if (etag.len == 0 || text.len == 0) {
        return S3_MalformedXML;
    }
    enum gfs_err err = gfs_parse_u64(text, GFS_PART_NUMBER_MAX, &number);
    if (err == GFS_INVALID && text.ptr[0] != '-') {
        return S3_MalformedXML;
    }
    if (err != GFS_OK || number == 0) {
        *ret_message = "PartNumber must be an integer between 1 and 10000, inclusive";
        return S3_InvalidArgument;
    }
    ret->number = (uint32_t)number;
    ret->is_etag_valid = s3_etag_parse(etag, ret->etag, &etag_parts) && etag_parts == 0;
    return parse_part_checksum(node, &ret->checksum);
}

static uint32_t count_children(const struct gfs_xml_node *root, const char *name)
{
    uint32_t count = 0;
    for (const struct gfs_xml_node *node = root->child; node != NULL; node = node->next) {
        count += gfs_slice_eq_str(node->name, name);
    }
    return count;
}

enum s3_err s3_complete_parse(struct gfs_slice body, struct gfs_arena *arena,
                              struct s3_complete_request *ret, const char **ret_message)
{
    const struct gfs_xml_node *root = NULL;
    if (s3_xml_is_blank(body)) {
        *ret_message = "You must specify at least one part";
        return S3_InvalidRequest;
    }
    enum s3_err err = s3_xml_parse(body, "CompleteMultipartUpload", NODES_MAX, arena, &root);
    if (err != S3_OK) {
        return err;
    }
    uint32_t count = count_children(root, "Part");
    if (count == 0 || count > GFS_PART_NUMBER_MAX) {
        return S3_MalformedXML;
    }
    ret->part_count = 0;
    ret->parts = gfs_arena_alloc(arena, count * sizeof *ret->parts);
    if (ret->parts == NULL) {
        return S3_SlowDown;
    }
    for (const struct gfs_xml_node *node = root->child; node != NULL; node = node->next) {
        if (!gfs_slice_eq_str(node->name, "Part")) {
            continue;
        }
        struct s3_wanted_part *part = &ret->parts[ret->part_count++];
        err = parse_part(node, part, ret_message);
        if (err != S3_OK) {
            return err;
        }
        if (ret->part_count > 1 && part->number <= part[-1].number) {
            return S3_InvalidPartOrder;
        }
    }
    return S3_OK;
}
