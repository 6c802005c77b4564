#include "gateway/s3_xml.h"

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { XML_DEPTH_MAX = 16, TOKEN_VERSION = 1 };

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

struct gfs_slice s3_token_text(struct gfs_arena *arena, struct gfs_slice key)
{
    char *raw = gfs_arena_alloc(arena, key.len + 1);
    char *text = gfs_arena_alloc(arena, GFS_BASE64_LEN(key.len + 1) + 1);
    if (raw == NULL || text == NULL) {
        return (struct gfs_slice){0};
    }
    raw[0] = TOKEN_VERSION;
    if (key.len > 0) {
        memcpy(raw + 1, key.ptr, key.len);
    }
    gfs_base64_encode(raw, key.len + 1, text);
    return gfs_slice_str(text);
}

bool s3_token_parse(struct gfs_arena *arena, struct gfs_slice text, struct gfs_slice *ret)
{
    size_t size = text.len / 4 * 3;
    char *raw = gfs_arena_alloc(arena, size + 1);
    size_t len = 0;
    if (raw == NULL || gfs_base64_decode(text, raw, size, &len) != GFS_OK) {
        return false;
    }
    if (len < 2 || len > GFS_KEY_LEN_MAX + 1 || raw[0] != TOKEN_VERSION) {
        return false;
    }
    *ret = gfs_slice_of(raw + 1, len - 1);
    return true;
}
