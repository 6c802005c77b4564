/* logfmt to stderr: ts=... level=... and the fields given. One call, one line, written whole. */
#pragma once

#include "libgoodfs/err.h"
#include "libgoodfs/slice.h"

enum gfs_log_level { GFS_LOG_ERROR, GFS_LOG_WARN, GFS_LOG_INFO, GFS_LOG_DEBUG };

/* The one mutable global: lines above the level are dropped. Default INFO. */
void gfs_log_set_level(enum gfs_log_level level);
bool gfs_log_is_on(enum gfs_log_level level);

/* `format` gives the fields after ts and level, already in logfmt: "op=%s msg=\"%s\"". Values that
 * come from outside go through gfs_log_quote first. */
void gfs_log(enum gfs_log_level level, const char *format, ...) GFS_PRINTF(2, 3);

/* Writes `bytes` as a quoted logfmt value (quotes, backslash and every control or non-ASCII byte
 * escaped, cut at size with "..."), NUL-terminated, and returns ret. */
const char *gfs_log_quote(struct gfs_slice bytes, char *ret, size_t size);
