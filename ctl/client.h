/* Signed requests to the admin address: the only module that includes libcurl. */
#pragma once

#include "libgoodfs/buf.h"
#include "libgoodfs/err.h"

struct client;

/* Plain data; borrowed while the client lives. */
struct client_options {
    const char *address; /* HOST:PORT */
    const char *access_key, *secret_key;
    unsigned limit_s; /* how long an answer is waited for; not 0 */
};

/* Never NULL, except when libcurl cannot be had. One thread. */
struct client *client_new(const struct client_options *options);
void client_free(struct client *client); /* NULL allowed */

/* Plain data. path: as on the wire, below /_/admin/v1/. */
struct client_request {
    const char *method, *path;
    const char *query; /* NULL = none */
    const char *body;  /* JSON; NULL = none */
};
/* Sends, and replaces body's content with the answer's. GFS_OK: *ret_status is the answer's.
 * UNREACHABLE: there was none within limit_s; TOO_BIG: larger than the buffer; INVALID: the
 * address or path cannot be put into a request. error has a sentence. */
enum gfs_err client_send(struct client *client, const struct client_request *request,
                         int *ret_status, struct gfs_buf *body,
                         struct gfs_error *error) GFS_MUST_CHECK;
