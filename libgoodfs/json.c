/* The one module that includes jansson.h. */
#include "libgoodfs/json.h"

#include <jansson.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

/* jansson's own handle under our name; its readers take const pointers. */
static const json_t *in(const struct gfs_json *value)
{
    return (const json_t *)(const void *)value;
}

static const struct gfs_json *out(const json_t *value)
{
    return (const struct gfs_json *)(const void *)value;
}

enum gfs_err gfs_json_parse(struct gfs_slice text, struct gfs_json **ret, struct gfs_error *error)
{
    json_error_t why;
    json_t *root =
        json_loadb(text.len == 0 ? "" : text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL) {
        return gfs_fail(error, GFS_INVALID, "line %d column %d: %s", why.line, why.column,
                        why.text);
    }
    *ret = (struct gfs_json *)(void *)root;
    return GFS_OK;
}

void gfs_json_free(struct gfs_json *document)
{
    json_decref((json_t *)(void *)document);
}

enum gfs_json_type gfs_json_type(const struct gfs_json *value)
{
    switch (json_typeof(in(value))) {
    case JSON_OBJECT:
        return GFS_JSON_OBJECT;
    case JSON_ARRAY:
        return GFS_JSON_ARRAY;
    case JSON_STRING:
        return GFS_JSON_STRING;
    case JSON_INTEGER:
        return GFS_JSON_INTEGER;
    case JSON_REAL:
        return GFS_JSON_REAL;
    case JSON_TRUE:
        return GFS_JSON_TRUE;
    case JSON_FALSE:
        return GFS_JSON_FALSE;
    case JSON_NULL:
        break;
    }
    return GFS_JSON_NULL;
}

struct gfs_slice gfs_json_string(const struct gfs_json *value)
{
    return json_is_string(in(value))
               ? gfs_slice_of(json_string_value(in(value)), json_string_length(in(value)))
               : (struct gfs_slice){0};
}

bool gfs_json_integer(const struct gfs_json *value, int64_t *ret)
{
    if (!json_is_integer(in(value))) {
        return false;
    }
    *ret = json_integer_value(in(value));
    return true;
}

bool gfs_json_number(const struct gfs_json *value, double *ret)
{
    if (!json_is_number(in(value))) {
        return false;
    }
    *ret = json_number_value(in(value));
    return true;
}

size_t gfs_json_count(const struct gfs_json *value)
{
    return json_is_object(in(value)) ? json_object_size(in(value)) : json_array_size(in(value));
}

const struct gfs_json *gfs_json_at(const struct gfs_json *array, size_t index)
{
    return out(json_array_get(in(array), index));
}

const struct gfs_json *gfs_json_get(const struct gfs_json *object, const char *name)
{
    return out(json_object_get(in(object), name));
}

bool gfs_json_member(const struct gfs_json *object, size_t index, struct gfs_slice *ret_name,
                     const struct gfs_json **ret_value)
{
    if (!json_is_object(in(object)) || index >= json_object_size(in(object))) {
        return false;
    }
    /* jansson's iterators take the object without const, but only read it. */
    json_t *readable = (json_t *)(uintptr_t)object;
    void *member = json_object_iter(readable);
    for (size_t i = 0; i < index; i++) {
        member = json_object_iter_next(readable, member);
    }
    *ret_name = gfs_slice_str(json_object_iter_key(member));
    *ret_value = out(json_object_iter_value(member));
    return true;
}

bool gfs_json_only_member(const struct gfs_json *object, struct gfs_slice *ret_name,
                          const struct gfs_json **ret_value)
{
    return gfs_json_count(object) == 1 && gfs_json_member(object, 0, ret_name, ret_value);
}

void gfs_json_show(const struct gfs_json *value, char *ret, size_t size)
{
    size_t len = json_dumpb(in(value), ret, size - 1, JSON_COMPACT | JSON_ENCODE_ANY);
    ret[GFS_MIN(len, size - 1)] = '\0'; /* jansson writes what fits and answers what it wanted */
}
