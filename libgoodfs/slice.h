/* A borrowed run of bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Plain data. Borrows; not NUL-terminated. ptr may be NULL when len is 0. */
struct gfs_slice {
    const char *ptr;
    size_t len; /* bytes */
};

#define GFS_SLICE_LITERAL(text) ((struct gfs_slice){(text), sizeof(text) - 1})

static inline struct gfs_slice gfs_slice_of(const void *ptr, size_t len)
{
    return (struct gfs_slice){(const char *)ptr, len};
}

static inline struct gfs_slice gfs_slice_str(const char *text)
{
    return (struct gfs_slice){text, text == NULL ? 0 : strlen(text)};
}

/* memcmp order, the shorter first when one is a prefix of the other: S3's key order. */
static inline int gfs_slice_cmp(struct gfs_slice a, struct gfs_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.ptr, b.ptr, len);
    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static inline bool gfs_slice_eq(struct gfs_slice a, struct gfs_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool gfs_slice_eq_str(struct gfs_slice a, const char *text)
{
    return gfs_slice_eq(a, gfs_slice_str(text));
}

/* ASCII case-insensitive. */
bool gfs_slice_case_eq(struct gfs_slice a, struct gfs_slice b);

static inline bool gfs_slice_starts(struct gfs_slice a, struct gfs_slice prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}
