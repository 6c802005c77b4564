#include "libgoodfs/json_out.h"

#include <inttypes.h>
#include <math.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

void gfs_json_out_init(struct gfs_json_out *out, struct gfs_buf *buf)
{
    *out = (struct gfs_json_out){.buf = buf};
}

static void add_string(struct gfs_buf *buf, struct gfs_slice text)
{
    gfs_buf_add_char(buf, '"');
    while (text.len != 0) {
        unsigned char byte = (unsigned char)text.ptr[0];
        size_t len = gfs_utf8_len(text);
        if (len == 0) {
            gfs_buf_add_str(buf, "\\ufffd");
            len = 1;
        } else if (byte == '"' || byte == '\\') {
            gfs_buf_add_char(buf, '\\');
            gfs_buf_add_char(buf, (char)byte);
        } else if (byte < 0x20) {
            gfs_buf_printf(buf, "\\u%04x", byte);
        } else {
            gfs_buf_add(buf, text.ptr, len);
        }
        text = gfs_slice_of(text.ptr + len, text.len - len);
    }
    gfs_buf_add_char(buf, '"');
}

/* What stands before a value: comma and name. */
static void begin_value(struct gfs_json_out *out, const char *name)
{
    if (out->has_member[out->depth]) {
        gfs_buf_add_char(out->buf, ',');
    }
    out->has_member[out->depth] = true;
    if (name != NULL) {
        add_string(out->buf, gfs_slice_str(name));
        gfs_buf_add_char(out->buf, ':');
    }
}

static void open_level(struct gfs_json_out *out, const char *name, char byte)
{
    begin_value(out, name);
    gfs_buf_add_char(out->buf, byte);
    GFS_ASSERT(out->depth + 1 < GFS_JSON_DEPTH_MAX);
    out->has_member[++out->depth] = false;
}

static void close_level(struct gfs_json_out *out, char byte)
{
    GFS_ASSERT(out->depth > 0);
    out->depth--;
    gfs_buf_add_char(out->buf, byte);
}

void gfs_json_out_object(struct gfs_json_out *out, const char *name)
{
    open_level(out, name, '{');
}

void gfs_json_out_array(struct gfs_json_out *out, const char *name)
{
    open_level(out, name, '[');
}

void gfs_json_out_end_object(struct gfs_json_out *out)
{
    close_level(out, '}');
}

void gfs_json_out_end_array(struct gfs_json_out *out)
{
    close_level(out, ']');
}

void gfs_json_out_slice(struct gfs_json_out *out, const char *name, struct gfs_slice value)
{
    begin_value(out, name);
    add_string(out->buf, value);
}

void gfs_json_out_text(struct gfs_json_out *out, const char *name, const char *value)
{
    gfs_json_out_slice(out, name, gfs_slice_str(value));
}

void gfs_json_out_u64(struct gfs_json_out *out, const char *name, uint64_t value)
{
    begin_value(out, name);
    gfs_buf_printf(out->buf, "%" PRIu64, value);
}

void gfs_json_out_i64(struct gfs_json_out *out, const char *name, int64_t value)
{
    begin_value(out, name);
    gfs_buf_printf(out->buf, "%" PRId64, value);
}

void gfs_json_out_bool(struct gfs_json_out *out, const char *name, bool value)
{
    begin_value(out, name);
    gfs_buf_add_str(out->buf, value ? "true" : "false");
}

void gfs_json_out_real(struct gfs_json_out *out, const char *name, double value)
{
    if (!isfinite(value)) {
        gfs_json_out_null(out, name);
        return;
    }
    begin_value(out, name);
    gfs_buf_printf(out->buf, "%.2f", value);
}

void gfs_json_out_null(struct gfs_json_out *out, const char *name)
{
    begin_value(out, name);
    gfs_buf_add_str(out->buf, "null");
}
