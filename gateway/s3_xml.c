#include "gateway/s3_xml.h"

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum {
    XML_DEPTH_MAX = 16,
    TOKEN_VERSION = 1,
    TOKEN_HEAD_LEN = 2, /* version, and 'k' or 'p' */
};

enum s3_err s3_xml_parse(struct gfs_slice body, const char *root, size_t node_count_max,
                         struct gfs_arena *arena, const struct gfs_xml_node **ret)
{
    struct gfs_xml_limits limits = {.node_count_max = node_count_max, .depth_max = XML_DEPTH_MAX};
    struct gfs_xml_node *tree = NULL;
    enum gfs_err err = gfs_xml_parse(body, &limits, arena, &tree);
    if (err == GFS_BUSY) {
        return S3_SlowDown;
    }
    if (err != GFS_OK || !gfs_slice_eq_str(tree->name, root)) {
        return S3_MalformedXML;
    }
    *ret = tree;
    return S3_OK;
}

bool s3_xml_is_blank(struct gfs_slice body)
{
    for (size_t i = 0; i < body.len; i++) {
        if (memchr(" \t\r\n", body.ptr[i], 4) == NULL) {
            return false;
        }
    }
    return true;
}

struct gfs_slice s3_token_text(struct gfs_arena *arena, struct gfs_slice key, bool is_prefix)
{
    size_t len = TOKEN_HEAD_LEN + key.len;
    char *raw = gfs_arena_alloc(arena, len);
    char *text = gfs_arena_alloc(arena, GFS_BASE64_LEN(len) + 1);
    if (raw == NULL || text == NULL) {
        return (struct gfs_slice){0};
    }
    raw[0] = TOKEN_VERSION;
    raw[1] = is_prefix ? 'p' : 'k';
    if (key.len > 0) {
        memcpy(raw + TOKEN_HEAD_LEN, key.ptr, key.len);
    }
    gfs_base64_encode(raw, len, text);
    return gfs_slice_str(text);
}

bool s3_token_parse(struct gfs_arena *arena, struct gfs_slice text, struct gfs_slice *ret,
                    bool *ret_is_prefix)
{
    size_t size = text.len / 4 * 3;
    char *raw = gfs_arena_alloc(arena, size + 1);
    size_t len = 0;
    if (raw == NULL || gfs_base64_decode(text, raw, size, &len) != GFS_OK) {
        return false;
    }
    if (len <= TOKEN_HEAD_LEN || len > GFS_KEY_LEN_MAX + TOKEN_HEAD_LEN ||
        raw[0] != TOKEN_VERSION || (raw[1] != 'k' && raw[1] != 'p')) {
        return false;
    }
    *ret = gfs_slice_of(raw + TOKEN_HEAD_LEN, len - TOKEN_HEAD_LEN);
    *ret_is_prefix = raw[1] == 'p';
    return true;
}
