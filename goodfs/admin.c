#include "goodfs/admin.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"

enum { METRICS_LEN_MAX = 1024 * 1024 };

struct admin {
    struct admin_options options;
    struct http_server *http;
};

/* One exchange. Owned by the listener's thread. */
struct admin_exchange {
    struct admin *admin;
    struct gfs_buf body;
};

static void reply_text(struct http_exchange *x, int status)
{
    static const struct http_reply_header headers[] = {
        {{"content-type", 12}, {"text/plain; version=0.0.4; charset=utf-8", 40}},
    };
    struct admin_exchange *exchange = http_exchange_data(x);
    bool is_head = http_exchange_request(x)->method == HTTP_HEAD;
    struct http_reply reply = {
        .status = status,
        .header_count = 1,
        .headers = headers,
        .body = is_head ? HTTP_BODY_NONE : HTTP_BODY_BYTES,
        .bytes = gfs_buf_slice(&exchange->body),
        .length = exchange->body.len,
        .has_length = is_head,
    };
    http_reply(x, &reply);
}

static void admin_begin(void *arg, struct http_exchange *x)
{
    struct admin *admin = arg;
    struct admin_exchange *exchange = gfs_alloc(sizeof *exchange);
    exchange->admin = admin;
    gfs_buf_init(&exchange->body, METRICS_LEN_MAX);
    http_exchange_set_data(x, exchange);
    const struct http_request *request = http_exchange_request(x);
    int status = 200;
    const char *reason = "ok";
    if (request->method != HTTP_GET && request->method != HTTP_HEAD) {
        status = 405;
        gfs_buf_add_str(&exchange->body, "method not allowed\n");
    } else if (gfs_slice_eq_str(request->raw_path, "/metrics")) {
        admin->options.write_metrics(admin->options.arg, &exchange->body);
    } else if (gfs_slice_eq_str(request->raw_path, "/_/health/live")) {
        gfs_buf_add_str(&exchange->body, "ok\n");
    } else if (gfs_slice_eq_str(request->raw_path, "/_/health/ready")) {
        status = admin->options.is_ready(admin->options.arg, &reason) ? 200 : 503;
        gfs_buf_printf(&exchange->body, "%s\n", reason);
    } else {
        status = 404;
        gfs_buf_add_str(&exchange->body, "not found\n");
    }
    reply_text(x, status);
}

static size_t admin_body(struct http_exchange *x, const char *ptr, size_t len)
{
    (void)x;
    (void)ptr;
    return len;
}

static void admin_end(struct http_exchange *x)
{
    (void)x;
}

static void admin_closed(struct http_exchange *x, bool aborted)
{
    (void)aborted;
    struct admin_exchange *exchange = http_exchange_data(x);
    gfs_buf_fini(&exchange->body);
    free(exchange);
}

enum gfs_err admin_start(const struct admin_options *options, struct admin **ret,
                         struct gfs_error *error)
{
    struct admin *admin = gfs_alloc(sizeof *admin);
    admin->options = *options;
    struct http_server_options http = {
        .listen = options->listen,
        .loop_count = 1,
        .connection_max = 64,
        .idle_timeout_s = 30,
        .header_timeout_s = 10,
        .body_bytes_per_s_min = 1024,
        .handler = {admin, admin_begin, admin_body, admin_end, admin_closed, NULL},
    };
    enum gfs_err err = http_server_start(&http, &admin->http, error);
    if (err != GFS_OK) {
        free(admin);
        return err;
    }
    *ret = admin;
    return GFS_OK;
}

void admin_stop(struct admin *admin)
{
    if (admin != NULL) {
        http_server_stop(admin->http, 0);
        free(admin);
    }
}

struct http_server *admin_http(struct admin *admin)
{
    return admin->http;
}
