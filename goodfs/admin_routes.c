/* The table of everything the admin address answers. */
#include "goodfs/admin_call.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

#define API "/_/admin/v1/"

static const struct admin_route routes[] = {
    {.method = "GET",
     .path = "/_/health/live",
     .access = ADMIN_ANYONE,
     .thread = ADMIN_LOOP,
     .is_text = true,
     .run = admin_run_live},
    {.method = "GET",
     .path = "/_/health/ready",
     .access = ADMIN_ANYONE,
     .is_text = true,
     .run = admin_run_ready},
    {.method = "GET",
     .path = "/metrics",
     .access = ADMIN_ANYONE,
     .is_text = true,
     .run = admin_run_metrics},
    {.method = "GET", .path = API "status", .run = admin_run_status},
    {.method = "GET", .path = API "health", .run = admin_run_health},
    {.method = "GET", .path = API "disks", .run = admin_run_disks},
    {.method = "POST",
     .path = API "disks",
     .thread = ADMIN_CHANGER,
     .members = "path",
     .run = admin_run_disk_add},
    {.method = "POST",
     .path = API "disks/{disk}/replace",
     .thread = ADMIN_CHANGER,
     .members = "path",
     .run = admin_run_disk_replace},
    {.method = "POST",
     .path = API "disks/{disk}/drain",
     .thread = ADMIN_CHANGER,
     .run = admin_run_disk_drain},
    {.method = "PATCH",
     .path = API "disks/{disk}",
     .thread = ADMIN_CHANGER,
     .members = "read_only,reserved",
     .run = admin_run_disk_set},
    {.method = "GET", .path = API "groups", .run = admin_run_groups},
    {.method = "GET", .path = API "repair", .run = admin_run_repair},
    {.method = "GET", .path = API "scrub", .run = admin_run_scrub},
    {.method = "POST",
     .path = API "scrub",
     .thread = ADMIN_CHANGER,
     .members = "rate",
     .run = admin_run_scrub_start},
    {.method = "GET", .path = API "rebalance", .run = admin_run_rebalance},
    {.method = "POST",
     .path = API "rebalance",
     .thread = ADMIN_CHANGER,
     .run = admin_run_rebalance_start},
    {.method = "DELETE",
     .path = API "rebalance",
     .thread = ADMIN_CHANGER,
     .run = admin_run_rebalance_stop},
    {.method = "GET", .path = API "fsck", .query = "after,limit", .run = admin_run_fsck},
    {.method = "POST",
     .path = API "fsck",
     .thread = ADMIN_CHANGER,
     .query = "delete_orphans_anyway",
     .run = admin_run_fsck_start},
    {.method = "GET", .path = API "routes", .run = admin_run_routes},
    {.method = "GET",
     .path = API "objects/{bucket}/{key...}",
     .thread = ADMIN_ASKER,
     .query = "verify,after,limit",
     .run = admin_run_object},
    {.method = "GET", .path = API "buckets/{bucket}/storage-class", .run = admin_run_bucket_class},
    {.method = "PUT",
     .path = API "buckets/{bucket}/storage-class",
     .thread = ADMIN_CHANGER,
     .members = "storage_class",
     .run = admin_run_bucket_set_class},
};

const struct admin_route *admin_routes_at(size_t index)
{
    return index < GFS_COUNT(routes) ? &routes[index] : NULL;
}

/* Cuts "/segment" off *rest, which begins with a slash. */
static bool cut_segment(struct gfs_slice *rest, struct gfs_slice *ret)
{
    if (rest->len == 0 || rest->ptr[0] != '/') {
        return false;
    }
    const char *end = rest->len == 1 ? NULL : memchr(rest->ptr + 1, '/', rest->len - 1);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    *ret = gfs_slice_of(rest->ptr + 1, len - 1);
    *rest = gfs_slice_of(rest->ptr + len, rest->len - len);
    return true;
}

static bool ends_with(struct gfs_slice text, const char *end)
{
    size_t len = strlen(end);
    return text.len >= len && memcmp(text.ptr + text.len - len, end, len) == 0;
}

/* The raw arguments of a path, *ret_count of them. */
static bool path_matches(const char *pattern, struct gfs_slice path,
                         struct gfs_slice ret[ADMIN_ARGS_MAX], size_t *ret_count)
{
    struct gfs_slice left = gfs_slice_str(pattern), want, have;
    *ret_count = 0;
    while (cut_segment(&left, &want)) {
        bool is_arg = want.len > 0 && want.ptr[0] == '{';
        bool is_rest = is_arg && ends_with(want, "...}");
        if (is_rest && path.len > 1) {
            have = gfs_slice_of(path.ptr + 1, path.len - 1);
            path.len = 0;
        } else if (!cut_segment(&path, &have)) {
            return false;
        }
        if (is_arg && have.len > 0) {
            GFS_ASSERT(*ret_count < ADMIN_ARGS_MAX);
            ret[(*ret_count)++] = have;
        } else if (!gfs_slice_eq(have, want)) {
            return false;
        }
    }
    return path.len == 0;
}

static bool method_matches(const struct admin_route *route, const struct http_request *request)
{
    return gfs_slice_eq_str(request->method_text, route->method) ||
           (request->method == HTTP_HEAD && strcmp(route->method, "GET") == 0);
}

static enum gfs_err decode(struct gfs_arena *arena, struct gfs_slice *arg)
{
    size_t len = 0;
    char *text = gfs_arena_alloc(arena, arg->len + 1);
    if (text == NULL || gfs_uri_decode(*arg, false, text, &len) != GFS_OK || len == 0 ||
        memchr(text, '\0', len) != NULL || !gfs_is_utf8(gfs_slice_of(text, len))) {
        return GFS_INVALID;
    }
    text[len] = '\0';
    *arg = gfs_slice_of(text, len);
    return GFS_OK;
}

enum gfs_err admin_routes_find(const struct http_request *request, struct gfs_arena *arena,
                               const struct admin_route **ret,
                               struct gfs_slice ret_args[ADMIN_ARGS_MAX])
{
    bool is_path = false;
    for (size_t i = 0; i < GFS_COUNT(routes); i++) {
        size_t count = 0;
        if (!path_matches(routes[i].path, request->raw_path, ret_args, &count)) {
            continue;
        }
        is_path = true;
        if (!method_matches(&routes[i], request)) {
            continue;
        }
        for (size_t arg = 0; arg < count; arg++) {
            if (decode(arena, &ret_args[arg]) != GFS_OK) {
                return GFS_INVALID;
            }
        }
        *ret = &routes[i];
        return GFS_OK;
    }
    return is_path ? GFS_UNSUPPORTED : GFS_NOT_FOUND;
}

enum gfs_err admin_run_routes(struct admin_call *call)
{
    gfs_json_out_array(call->out, "routes");
    for (size_t i = 0; i < GFS_COUNT(routes); i++) {
        gfs_json_out_object(call->out, NULL);
        gfs_json_out_text(call->out, "method", routes[i].method);
        gfs_json_out_text(call->out, "path", routes[i].path);
        gfs_json_out_text(call->out, "access",
                          routes[i].access == ADMIN_ANYONE ? "anyone" : "root");
        gfs_json_out_text(call->out, "query", routes[i].query == NULL ? "" : routes[i].query);
        gfs_json_out_text(call->out, "members", routes[i].members == NULL ? "" : routes[i].members);
        gfs_json_out_end_object(call->out);
    }
    gfs_json_out_end_array(call->out);
    return GFS_OK;
}
