/* How ETags, checksums, upload ids, keys and owners look on the wire: pure functions. */
#include "gateway/s3.h"

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

/* The canonical user id of the one account: opaque to clients, but they expect 64 hex digits. */
#define OWNER_ID "5a4f3b6f0c1d9d7be5c9a1f64e0a2d83907b6c5e4d3f2a1b8c7d6e5f40312a9b"
#define OWNER_NAME "goodfs"

/* ---- ETags ---- */

struct gfs_slice s3_etag_text(struct gfs_arena *arena, const uint8_t etag[META_ETAG_LEN],
                              uint32_t parts)
{
    char hex[2 * META_ETAG_LEN + 1];
    gfs_hex_encode(etag, META_ETAG_LEN, hex);
    return gfs_slice_str(parts == 0 ? gfs_arena_printf(arena, "\"%s\"", hex)
                                    : gfs_arena_printf(arena, "\"%s-%u\"", hex, parts));
}

bool s3_etag_parse(struct gfs_slice text, uint8_t ret[META_ETAG_LEN], uint32_t *ret_parts)
{
    enum { HEX_LEN = 2 * META_ETAG_LEN };
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"') {
        text = gfs_slice_of(text.ptr + 1, text.len - 2);
    }
    if (text.len < HEX_LEN) {
        return false;
    }
    uint64_t parts = 0;
    uint8_t etag[META_ETAG_LEN];
    if (text.len > HEX_LEN) {
        struct gfs_slice number = gfs_slice_of(text.ptr + HEX_LEN + 1, text.len - HEX_LEN - 1);
        if (text.ptr[HEX_LEN] != '-' ||
            gfs_parse_u64(number, GFS_PART_NUMBER_MAX, &parts) != GFS_OK || parts == 0) {
            return false;
        }
    }
    if (gfs_hex_decode(gfs_slice_of(text.ptr, HEX_LEN), etag, sizeof etag) != GFS_OK) {
        return false;
    }
    memcpy(ret, etag, sizeof etag);
    *ret_parts = (uint32_t)parts;
    return true;
}

/* ---- checksums ---- */

static const struct {
    const char *name, *header;
} checksum_texts[] = {
    [META_CHECKSUM_NONE] = {"NONE", "x-amz-checksum-none"},
    [META_CHECKSUM_CRC32] = {"CRC32", "x-amz-checksum-crc32"},
    [META_CHECKSUM_CRC32C] = {"CRC32C", "x-amz-checksum-crc32c"},
    [META_CHECKSUM_CRC64NVME] = {"CRC64NVME", "x-amz-checksum-crc64nvme"},
    [META_CHECKSUM_SHA1] = {"SHA1", "x-amz-checksum-sha1"},
    [META_CHECKSUM_SHA256] = {"SHA256", "x-amz-checksum-sha256"},
};

const char *s3_checksum_name(enum meta_checksum_algo algo)
{
    GFS_ASSERT((size_t)algo < GFS_COUNT(checksum_texts));
    return checksum_texts[algo].name;
}

const char *s3_checksum_header(enum meta_checksum_algo algo)
{
    GFS_ASSERT((size_t)algo < GFS_COUNT(checksum_texts));
    return checksum_texts[algo].header;
}

enum meta_checksum_algo s3_checksum_parse(struct gfs_slice text)
{
    for (size_t i = META_CHECKSUM_CRC32; i < GFS_COUNT(checksum_texts); i++) {
        if (gfs_slice_case_eq(text, gfs_slice_str(checksum_texts[i].name))) {
            return (enum meta_checksum_algo)i;
        }
    }
    return META_CHECKSUM_NONE;
}

struct gfs_slice s3_checksum_text(struct gfs_arena *arena, const struct meta_checksum *checksum,
                                  uint32_t parts)
{
    char base64[GFS_BASE64_LEN(META_CHECKSUM_LEN_MAX) + 1];
    gfs_base64_encode(checksum->value, meta_checksum_len(checksum->algo), base64);
    if (checksum->type == META_CHECKSUM_COMPOSITE && parts > 0) {
        return gfs_slice_str(gfs_arena_printf(arena, "%s-%u", base64, parts));
    }
    return gfs_arena_copy(arena, gfs_slice_str(base64));
}

const char *s3_checksum_type_name(enum meta_checksum_type type)
{
    return type == META_CHECKSUM_COMPOSITE ? "COMPOSITE" : "FULL_OBJECT";
}

/* ---- upload ids ---- */

bool s3_upload_id_parse(struct gfs_slice text, uint8_t ret[META_UPLOAD_ID_LEN])
{
    uint8_t id[META_UPLOAD_ID_LEN];
    if (text.len != 2 * sizeof id || gfs_hex_decode(text, id, sizeof id) != GFS_OK) {
        return false;
    }
    memcpy(ret, id, sizeof id);
    return true;
}

struct gfs_slice s3_upload_id_text(struct gfs_arena *arena, const uint8_t id[META_UPLOAD_ID_LEN])
{
    char hex[2 * META_UPLOAD_ID_LEN + 1];
    gfs_hex_encode(id, META_UPLOAD_ID_LEN, hex);
    return gfs_arena_copy(arena, gfs_slice_str(hex));
}

/* ---- XML ---- */

void s3_xml_key(struct gfs_buf *xml, const char *element, struct gfs_slice key, bool encode)
{
    gfs_xml_open(xml, element);
    if (encode) {
        gfs_uri_encode(xml, key, true);
    } else {
        gfs_xml_text(xml, key);
    }
    gfs_xml_close(xml, element);
}

void s3_xml_owner(struct gfs_buf *xml, const char *element, const struct s3_request *r)
{
    (void)r; /* there is one account, whoever asks */
    gfs_xml_open(xml, element);
    gfs_buf_add_str(xml, "<ID>" OWNER_ID "</ID><DisplayName>" OWNER_NAME "</DisplayName>");
    gfs_xml_close(xml, element);
}

const char *s3_owner_id(void)
{
    return OWNER_ID;
}

struct gfs_slice s3_storage_class_text(const struct meta_object *object)
{
    return object->storage_class.len == 0 ? GFS_SLICE_LITERAL("STANDARD") : object->storage_class;
}

/* ---- bucket names ---- */

static bool is_label_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

/* Four groups of digits: names like IP addresses cannot be told from hosts. */
static bool looks_like_ipv4(struct gfs_slice name)
{
    size_t dots = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '.') {
            dots++;
        } else if (name.ptr[i] < '0' || name.ptr[i] > '9') {
            return false;
        }
    }
    return dots == 3;
}

static bool is_reserved_name(struct gfs_slice name)
{
    static const char *const prefixes[] = {"xn--", "sthree-", "amzn-s3-demo-"};
    static const char *const suffixes[] = {"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"};
    for (size_t i = 0; i < GFS_COUNT(prefixes); i++) {
        if (gfs_slice_starts(name, gfs_slice_str(prefixes[i]))) {
            return true;
        }
    }
    for (size_t i = 0; i < GFS_COUNT(suffixes); i++) {
        struct gfs_slice suffix = gfs_slice_str(suffixes[i]);
        if (name.len >= suffix.len &&
            gfs_slice_eq(gfs_slice_of(name.ptr + name.len - suffix.len, suffix.len), suffix)) {
            return true;
        }
    }
    return false;
}

bool s3_bucket_name_ok(struct gfs_slice name)
{
    if (name.len < 3 || name.len > GFS_BUCKET_NAME_LEN_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.ptr[i];
        bool is_inner = i > 0 && i + 1 < name.len;
        /* a dot separates DNS labels, which begin and end with a letter or digit */
        bool is_dot = byte == '.' && is_inner && is_label_byte(name.ptr[i - 1]) &&
                      is_label_byte(name.ptr[i + 1]);
        bool is_hyphen = byte == '-' && is_inner;
        if (!is_label_byte(byte) && !is_dot && !is_hyphen) {
            return false;
        }
    }
    return !looks_like_ipv4(name) && !is_reserved_name(name);
}

enum s3_err s3_version_check(const struct s3_request *r, const char **ret_message)
{
    enum { ID_LEN_MIN = 32, ID_LEN_MAX = 1024 }; /* S3's own have 32 characters and more */
    const struct s3_param *version = s3_param_find(r, "versionId");
    if (version == NULL || gfs_slice_eq_str(version->value, "null")) {
        return S3_OK;
    }
    if (version->value.len >= ID_LEN_MIN && version->value.len <= ID_LEN_MAX) {
        return S3_NoSuchVersion;
    }
    *ret_message = version->value.len == 0 ? "Version id cannot be the empty string"
                                           : "Invalid version id specified";
    return S3_InvalidArgument;
}
