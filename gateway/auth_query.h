/* Query string -> parameters, as SigV4 sees them: split at '&' and the first '=', decoded once ('+'
 * is a space), encoded again. Empty pieces ("a&&b") do not count. */
#pragma once

#include "gateway/s3_error.h"
#include "libgoodfs/slice.h"

enum { AUTH_PARAM_COUNT_MAX = 128 }; /* S3's widest operation has some 20 */

/* Plain data. name and value are percent-encoded canonically; a name of letters, digits and '-' can
 * be compared as it is. */
struct auth_param {
    struct gfs_slice name, value;
    struct gfs_slice raw_value; /* as on the wire */
};

/* Plain data. Borrows the raw query and owns `text`. */
struct auth_query {
    char *text; /* what name and value point into */
    uint32_t count;
    struct auth_param params[AUTH_PARAM_COUNT_MAX];
};

/* InvalidURI: a bad escape; InvalidRequest: too many parameters. On failure nothing is to be
 * released. */
enum s3_err auth_query_init(struct auth_query *query, struct gfs_slice raw_query);
void auth_query_fini(struct auth_query *query);

/* Number of parameters of that name; *ret is the first of them (untouched when there is none). */
uint32_t auth_query_find(const struct auth_query *query, const char *name, struct auth_param *ret);

/* By name, then value, as bytes. */
void auth_query_sort(struct auth_query *query);

/* Decodes once and encodes again: unreserved characters stay, the rest becomes %XX. At most
 * 3 * raw.len bytes are written; answers the end, or NULL at a bad escape. '/' is kept where
 * keep_slash, and an escaped one stays escaped. */
char *auth_recode(struct gfs_slice raw, bool plus_is_space, bool keep_slash, char *ret);
