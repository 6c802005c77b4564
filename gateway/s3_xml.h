/* XML bodies of requests: bounded parsing of what operations accept. */
#pragma once

#include "gateway/s3.h"

#define S3_XMLNS "http://s3.amazonaws.com/doc/2006-03-01/"

/* Parses a body whose root element must be `root`. S3_MalformedXML for everything that is no such
 * document, has more than node_count_max elements or a DOCTYPE. The tree lives in the arena. */
enum s3_err s3_xml_parse(struct gfs_slice body, const char *root, size_t node_count_max,
                         struct gfs_arena *arena, const struct gfs_xml_node **ret);
/* True when there is nothing but white space. */
bool s3_xml_is_blank(struct gfs_slice body);

/* Opaque continuation tokens: base64 of a version byte, what was shown last (a key or a common
 * prefix) and its bytes. The text is in the arena; .ptr is NULL when that is full. */
struct gfs_slice s3_token_text(struct gfs_arena *arena, struct gfs_slice key, bool is_prefix);
/* False: no token of this store. ret is in the arena. */
bool s3_token_parse(struct gfs_arena *arena, struct gfs_slice text, struct gfs_slice *ret,
                    bool *ret_is_prefix);
