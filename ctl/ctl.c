/* Talking to the server: one request after the other, and what their answers mean for the exit
 * status. */
#include "ctl/ctl.h"

#include <stdio.h>

#include "ctl/client.h"

bool ctl_is_json(const struct ctl *ctl)
{
    return (ctl->args->given & ARGS_BIT(ARGS_JSON)) != 0;
}

void ctl_print_json(const struct ctl *ctl)
{
    (void)fwrite(ctl->reply.ptr, 1, ctl->reply.len, stdout);
}

/* Which exit status a refusal is: who we are and whether it works are one thing, what we asked for
 * another. */
static enum ctl_status status_of(int http_status, struct gfs_slice code)
{
    bool is_auth = http_status == 401 || http_status == 403 ||
                   gfs_slice_starts(code, GFS_SLICE_LITERAL("Authorization"));
    bool is_refusal =
        http_status >= 400 && (http_status < 500 || http_status == 501 || http_status == 507);
    return is_refusal && !is_auth ? CTL_NO : CTL_UNREACHABLE;
}

enum ctl_status ctl_send(struct ctl *ctl, const struct ctl_request *request)
{
    struct gfs_error error = {0};
    struct client_request http = {.method = request->method,
                                  .path = request->path,
                                  .query = request->query,
                                  .body = request->body};
    int http_status = 0;
    gfs_json_free(ctl->value);
    ctl->value = NULL;
    enum gfs_err err = client_send(ctl->client, &http, &http_status, &ctl->reply, &error);
    if (err == GFS_OK) {
        err = gfs_json_parse(gfs_buf_slice(&ctl->reply), &ctl->value, &error);
        err = err == GFS_OK
                  ? err
                  : gfs_wrap(&error, err, "this is no GoodFS admin address (HTTP %d)", http_status);
    }
    if (err != GFS_OK) {
        (void)fprintf(stderr, "goodfsctl: %s\n", error.text);
        return err == GFS_INVALID && http_status == 0 ? CTL_USAGE : CTL_UNREACHABLE;
    }
    if (http_status == 200) {
        return CTL_FINE;
    }
    const struct gfs_json *refusal = gfs_json_get(ctl->value, "error");
    struct gfs_slice code = gfs_json_string(gfs_json_get(refusal, "code"));
    struct gfs_slice message = gfs_json_string(gfs_json_get(refusal, "message"));
    if (ctl_is_json(ctl)) {
        ctl_print_json(ctl);
    }
    (void)fprintf(stderr, "goodfsctl: %.*s: %.*s\n", (int)code.len, code.len == 0 ? "" : code.ptr,
                  (int)message.len, message.len == 0 ? "" : message.ptr);
    return status_of(http_status, code);
}
