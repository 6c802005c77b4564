/* The settings of `goodfs server`. */
#pragma once

#include "libgoodfs/config.h"

/* The table; *ret_count lines. */
const struct gfs_setting *settings_table(size_t *ret_count);
