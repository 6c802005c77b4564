/* JSON for people: members as aligned lines, arrays of objects as tables. How a value is written
 * follows from its name: sizes, rates, times, yes and no. Pure. */
#pragma once

#include "libgoodfs/buf.h"
#include "libgoodfs/json.h"

/* One value, as it stands in a cell. */
void show_cell(struct gfs_buf *out, struct gfs_slice name, const struct gfs_json *value);
/* Lines "name  value", two spaces deeper for objects inside, tables for arrays of objects. */
void show_object(struct gfs_buf *out, const struct gfs_json *object, unsigned indent);
/* One line a member of the array. columns: names separated by ','; those that no row has are left
 * out; NULL = the members of the first row. "(none)" without rows. */
void show_table(struct gfs_buf *out, const struct gfs_json *array, const char *columns,
                unsigned indent);

void show_bytes(struct gfs_buf *out, double bytes);     /* "1.5 GiB" */
void show_seconds(struct gfs_buf *out, double seconds); /* "45s", "12m05s", "3h20m", "2d04h" */
