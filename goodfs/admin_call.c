/* What a call was given: query parameters and members of the body, each checked. */
#include "goodfs/admin_call.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

/* Cuts "name=value" up to the next '&' off *rest; false at the end. */
static bool cut_param(struct gfs_slice *rest, struct gfs_slice *ret_name,
                      struct gfs_slice *ret_value)
{
    if (rest->len == 0) {
        return false;
    }
    const char *end = memchr(rest->ptr, '&', rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    const char *equals = len == 0 ? NULL : memchr(rest->ptr, '=', len);
    size_t name_len = equals == NULL ? len : (size_t)(equals - rest->ptr);
    *ret_name = gfs_slice_of(rest->ptr, name_len);
    *ret_value = equals == NULL ? gfs_slice_of(rest->ptr + len, 0)
                                : gfs_slice_of(equals + 1, len - name_len - 1);
    len += end == NULL ? 0 : 1;
    *rest = gfs_slice_of(rest->ptr + len, rest->len - len);
    return true;
}

enum gfs_err admin_call_query(struct admin_call *call, const char *name, uint64_t max,
                              uint64_t *ret)
{
    struct gfs_slice rest = call->query, found, value;
    while (cut_param(&rest, &found, &value)) {
        if (!gfs_slice_eq_str(found, name)) {
            continue;
        }
        if (gfs_parse_u64(value, max, ret) != GFS_OK) {
            return gfs_fail(&call->error, GFS_INVALID,
                            "the parameter %s must be a whole number up to %llu", name,
                            (unsigned long long)max);
        }
        return GFS_OK;
    }
    return GFS_OK;
}

static const struct gfs_json *member(const struct admin_call *call, const char *name)
{
    return call->body == NULL ? NULL : gfs_json_get(call->body, name);
}

enum gfs_err admin_call_text(struct admin_call *call, const char *name, size_t len_max,
                             const char **ret)
{
    const struct gfs_json *value = member(call, name);
    if (value == NULL) {
        return GFS_OK;
    }
    struct gfs_slice text = gfs_json_string(value);
    if (text.ptr == NULL || text.len == 0 || text.len > len_max) {
        return gfs_fail(&call->error, GFS_INVALID, "\"%s\" must be a text of 1 to %zu bytes", name,
                        len_max);
    }
    *ret = gfs_arena_copy(call->arena, text).ptr; /* bodies are smaller than the arena */
    GFS_ASSERT(*ret != NULL);
    return GFS_OK;
}

enum gfs_err admin_call_u64(struct admin_call *call, const char *name, uint64_t *ret)
{
    const struct gfs_json *value = member(call, name);
    int64_t number = 0;
    if (value == NULL) {
        return GFS_OK;
    }
    if (!gfs_json_integer(value, &number) || number < 0) {
        return gfs_fail(&call->error, GFS_INVALID, "\"%s\" must be a whole number", name);
    }
    *ret = (uint64_t)number;
    return GFS_OK;
}

enum gfs_err admin_call_bool(struct admin_call *call, const char *name, const bool **ret)
{
    static const bool values[] = {false, true};
    const struct gfs_json *value = member(call, name);
    if (value == NULL) {
        return GFS_OK;
    }
    enum gfs_json_type type = gfs_json_type(value);
    if (type != GFS_JSON_TRUE && type != GFS_JSON_FALSE) {
        return gfs_fail(&call->error, GFS_INVALID, "\"%s\" must be true or false", name);
    }
    *ret = &values[type == GFS_JSON_TRUE];
    return GFS_OK;
}

/* Whether `name` is one of the words of `list`. */
static bool is_listed(const char *list, struct gfs_slice name)
{
    for (const char *at = list; at != NULL && name.len > 0;) {
        size_t len = strcspn(at, ",");
        if (gfs_slice_eq(gfs_slice_of(at, len), name)) {
            return true;
        }
        at = at[len] == ',' ? at + len + 1 : NULL;
    }
    return false;
}

enum gfs_err admin_call_check(const struct admin_route *route, struct admin_call *call)
{
    struct gfs_slice rest = call->query, name, value;
    while (cut_param(&rest, &name, &value)) {
        struct gfs_slice others = rest, other, ignored;
        if (name.len == 0 && value.len == 0) {
            continue;
        }
        if (!is_listed(route->query, name)) {
            return gfs_fail(&call->error, GFS_INVALID, "there is no parameter \"%.*s\" here",
                            (int)GFS_MIN(name.len, (size_t)64), name.ptr);
        }
        while (cut_param(&others, &other, &ignored)) {
            if (gfs_slice_eq(other, name)) {
                return gfs_fail(&call->error, GFS_INVALID, "the parameter %.*s comes twice",
                                (int)name.len, name.ptr);
            }
        }
    }
    size_t known = 0;
    for (const char *at = route->members; call->body != NULL && at != NULL;) {
        char text[64];
        size_t len = strcspn(at, ",");
        GFS_ASSERT(len < sizeof text);
        memcpy(text, at, len);
        text[len] = '\0';
        known += gfs_json_get(call->body, text) != NULL;
        at = at[len] == ',' ? at + len + 1 : NULL;
    }
    if (call->body != NULL && gfs_json_count(call->body) != known) {
        return gfs_fail(&call->error, GFS_INVALID, "the body has a member that is none of: %s",
                        route->members);
    }
    return GFS_OK;
}
