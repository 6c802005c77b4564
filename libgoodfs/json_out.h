/* JSON out: compact text, appended to a buffer, one call a value. Any thread, one at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libgoodfs/buf.h"
#include "libgoodfs/slice.h"

enum { GFS_JSON_DEPTH_MAX = 16 };

/* Plain data. */
struct gfs_json_out {
    struct gfs_buf *buf;
    unsigned depth;
    bool has_member[GFS_JSON_DEPTH_MAX]; /* of each open object or array */
};

void gfs_json_out_init(struct gfs_json_out *out, struct gfs_buf *buf);
/* name: of the member, NULL inside an array and at the top. */
void gfs_json_out_object(struct gfs_json_out *out, const char *name);
void gfs_json_out_array(struct gfs_json_out *out, const char *name);
/* Closes the object or array opened last. */
void gfs_json_out_end_object(struct gfs_json_out *out);
void gfs_json_out_end_array(struct gfs_json_out *out);
/* Bytes that are not UTF-8 become U+FFFD. */
void gfs_json_out_slice(struct gfs_json_out *out, const char *name, struct gfs_slice value);
void gfs_json_out_text(struct gfs_json_out *out, const char *name, const char *value);
void gfs_json_out_u64(struct gfs_json_out *out, const char *name, uint64_t value);
void gfs_json_out_i64(struct gfs_json_out *out, const char *name, int64_t value);
void gfs_json_out_bool(struct gfs_json_out *out, const char *name, bool value);
/* With two digits behind the point; null when it is not finite. */
void gfs_json_out_real(struct gfs_json_out *out, const char *name, double value);
void gfs_json_out_null(struct gfs_json_out *out, const char *name);
