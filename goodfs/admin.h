/* The admin listener: GET /metrics and /_/health/..., nothing that changes or reveals settings. */
#pragma once

#include "gateway/http_server.h"
#include "libgoodfs/buf.h"

/* Plain data. Both functions may be called from the listener's thread until admin_stop returns. */
struct admin_options {
    const char *const *listen;
    void (*write_metrics)(void *arg, struct gfs_buf *out);
    bool (*is_ready)(void *arg, const char **ret_reason);
    void *arg;
};

struct admin;
/* Listens on the addresses of the options, in a server of its own. IO, INVALID; error says which
 * address and why. */
enum gfs_err admin_start(const struct admin_options *options, struct admin **ret,
                         struct gfs_error *error) GFS_MUST_CHECK;
void admin_stop(struct admin *admin); /* NULL allowed */
struct http_server *admin_http(struct admin *admin);
