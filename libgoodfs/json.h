/* JSON in, by jansson: an immutable tree. Strings are UTF-8 without NUL; duplicate names are
 * refused. Any thread, one at a time. */
#pragma once

#include "libgoodfs/err.h"
#include "libgoodfs/slice.h"

struct gfs_json; /* one value; those inside a document live as long as it */

enum gfs_json_type {
    GFS_JSON_OBJECT,
    GFS_JSON_ARRAY,
    GFS_JSON_STRING,
    GFS_JSON_INTEGER,
    GFS_JSON_REAL,
    GFS_JSON_TRUE,
    GFS_JSON_FALSE,
    GFS_JSON_NULL,
};

/* The whole text is one object or array. GFS_INVALID says where and why in *error. Memory is a
 * small multiple of the text, whose length the caller bounds. Released with gfs_json_free. */
enum gfs_err gfs_json_parse(struct gfs_slice text, struct gfs_json **ret,
                            struct gfs_error *error) GFS_MUST_CHECK;
void gfs_json_free(struct gfs_json *document); /* of gfs_json_parse only; NULL allowed */

enum gfs_json_type gfs_json_type(const struct gfs_json *value);

/* The string's bytes; NULL ptr when value is NULL or no string. */
struct gfs_slice gfs_json_string(const struct gfs_json *value);

/* True for integers of 64 bits; *ret is untouched otherwise. */
bool gfs_json_integer(const struct gfs_json *value, int64_t *ret);

/* True for integers and reals. */
bool gfs_json_number(const struct gfs_json *value, double *ret);

/* Members of an array or object; 0 for anything else. */
size_t gfs_json_count(const struct gfs_json *value);

/* NULL beyond the end, and for anything but an array. */
const struct gfs_json *gfs_json_at(const struct gfs_json *array, size_t index);

/* The member of exactly that name; NULL when absent, and for anything but an object. */
const struct gfs_json *gfs_json_get(const struct gfs_json *object, const char *name);

/* The index-th member of an object, in the text's order; false beyond the end, and for anything but
 * an object. */
bool gfs_json_member(const struct gfs_json *object, size_t index, struct gfs_slice *ret_name,
                     const struct gfs_json **ret_value);

/* The only member of an object; false unless it has exactly one. */
bool gfs_json_only_member(const struct gfs_json *object, struct gfs_slice *ret_name,
                          const struct gfs_json **ret_value);

/* As compact text, bounded: cut to fit size, NUL-terminated. For messages. */
void gfs_json_show(const struct gfs_json *value, char *ret, size_t size);
