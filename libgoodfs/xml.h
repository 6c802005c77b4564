/* XML out (a writer over gfs_buf) and in (expat with limits). */
#pragma once

#include "libgoodfs/arena.h"
#include "libgoodfs/buf.h"
#include "libgoodfs/err.h"
#include "libgoodfs/slice.h"

/* Writing. Text is escaped as S3 does: & < > " and, as character references, control characters
 * that XML 1.0 can carry (\r \n \t); those it cannot carry become U+FFFD. */
void gfs_xml_begin(struct gfs_buf *out, const char *root, const char *xmlns); /* declaration too */
void gfs_xml_open(struct gfs_buf *out, const char *name);
void gfs_xml_close(struct gfs_buf *out, const char *name);
void gfs_xml_text(struct gfs_buf *out, struct gfs_slice text);
void gfs_xml_element(struct gfs_buf *out, const char *name, struct gfs_slice text);
void gfs_xml_element_str(struct gfs_buf *out, const char *name, const char *text);
void gfs_xml_element_u64(struct gfs_buf *out, const char *name, uint64_t value);
void gfs_xml_element_bool(struct gfs_buf *out, const char *name, bool value);

/* Reading into a tree in the arena. Plain data; names are local ones, of any name space. */
struct gfs_xml_node {
    struct gfs_slice name;
    struct gfs_slice text; /* of the element itself, trimmed of nothing */
    struct gfs_xml_node *child, *next;
};

struct gfs_xml_limits {
    size_t node_count_max; /* over it GFS_TOO_BIG */
    size_t depth_max;      /* over it GFS_INVALID */
};

/* Whole document -> tree. GFS_INVALID: not well-formed (with name spaces: every prefix is
 * declared), not UTF-8, has a DOCTYPE or an entity declaration, too deep; GFS_TOO_BIG: too many
 * nodes or the arena is full. Memory is bounded by the arena and the limits. */
enum gfs_err gfs_xml_parse(struct gfs_slice text, const struct gfs_xml_limits *limits,
                           struct gfs_arena *arena, struct gfs_xml_node **ret_root) GFS_MUST_CHECK;
/* First child of that name, NULL when none. */
const struct gfs_xml_node *gfs_xml_child(const struct gfs_xml_node *node, const char *name);
/* Text of the first child of that name; empty slice with NULL ptr when none. */
struct gfs_slice gfs_xml_child_text(const struct gfs_xml_node *node, const char *name);
