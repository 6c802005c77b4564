#include "goodfs/admin_call.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct gfs_slice args[ADMIN_ARGS_MAX];
static struct gfs_arena arena;

static void forget(void)
{
    gfs_arena_fini(&arena);
}

TestSuite(admin_routes, .fini = forget);

static enum gfs_err find(const char *method, const char *path, const struct admin_route **ret)
{
    forget();
    gfs_arena_init(&arena, 64 * 1024);
    struct http_request request = {
        .method = strcmp(method, "HEAD") == 0 ? HTTP_HEAD : HTTP_OTHER,
        .method_text = gfs_slice_str(method),
        .raw_path = gfs_slice_str(path),
    };
    memset(args, 0, sizeof args);
    return admin_routes_find(&request, &arena, ret, args);
}

/* "/a/{b}/{c...}" with words for what stands in braces. */
static void fill(const char *pattern, char ret[256])
{
    size_t len = 0;
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at == '{') {
            at = strchr(at, '}');
            ret[len++] = 'x';
        } else {
            ret[len++] = *at;
        }
    }
    ret[len] = '\0';
}

Test(admin_routes, each_line_is_found_by_its_own_path_and_method)
{
    const struct admin_route *route;
    const struct admin_route *found;
    for (size_t i = 0; (route = admin_routes_at(i)) != NULL; i++) {
        char path[256];
        fill(route->path, path);
        cr_assert_eq(find(route->method, path, &found), GFS_OK, "%s %s", route->method, path);
        cr_assert_eq(found, route, "%s %s is another line's", route->method, path);
        cr_assert_eq(find("BREW", path, &found), GFS_UNSUPPORTED, "%s", path);
    }
}

Test(admin_routes, only_health_and_metrics_are_open_and_nothing_open_changes_anything)
{
    const struct admin_route *route;
    for (size_t i = 0; (route = admin_routes_at(i)) != NULL; i++) {
        bool is_api = strncmp(route->path, "/_/admin/v1/", 12) == 0;
        cr_assert_eq(route->access == ADMIN_ANYONE, !is_api, "%s", route->path);
        if (strcmp(route->method, "GET") != 0) {
            cr_assert_eq(route->thread, ADMIN_CHANGER, "%s %s", route->method, route->path);
        }
        cr_assert(route->thread != ADMIN_LOOP || strcmp(route->path, "/_/health/live") == 0);
    }
}

Test(admin_routes, arguments_are_decoded_once_and_keys_keep_their_slashes)
{
    const struct admin_route *route;
    cr_assert_eq(find("GET", "/_/admin/v1/objects/b%2Dc/a/%2e%2e//d%252F%C3%A4", &route), GFS_OK);
    cr_assert(gfs_slice_eq_str(args[0], "b-c"));
    cr_assert(gfs_slice_eq_str(args[1], "a/..//d%2F\xc3\xa4"));
    cr_assert_eq(find("HEAD", "/_/admin/v1/objects/b/k", &route), GFS_OK);
}

Test(admin_routes, paths_that_are_not_there_and_bad_escapes_are_refused)
{
    static const char *const missing[] = {"",
                                          "/",
                                          "//metrics",
                                          "/metrics/",
                                          "/_/admin/v1",
                                          "/_/admin/v1/",
                                          "/_/admin/v1/objects/b",
                                          "/_/admin/v1/objects/b/",
                                          "/_/admin/v1/objects//k",
                                          "/_/admin/v1/routes/x",
                                          "metrics"};
    static const char *const bad[] = {"/_/admin/v1/objects/b/%zz", "/_/admin/v1/objects/b/%ff",
                                      "/_/admin/v1/objects/b/a%00b", "/_/admin/v1/objects/b/%2"};
    const struct admin_route *route;
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        cr_assert_eq(find("GET", missing[i], &route), GFS_NOT_FOUND, "%s", missing[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(find("GET", bad[i], &route), GFS_INVALID, "%s", bad[i]);
    }
}
