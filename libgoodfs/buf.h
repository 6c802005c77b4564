/* A growable byte buffer that always has a maximum. Owned by one thread at a time. */
#pragma once

#include "libgoodfs/err.h"
#include "libgoodfs/slice.h"

/* Plain data. ptr is always NUL-terminated once something was written. */
struct gfs_buf {
    char *ptr;
    size_t len;      /* bytes in use */
    size_t size;     /* bytes of storage */
    size_t size_max; /* bytes; growth past it sets is_full */
    bool is_full;    /* sticky: something did not fit, the content is incomplete */
};

void gfs_buf_init(struct gfs_buf *buf, size_t size_max);
void gfs_buf_fini(struct gfs_buf *buf);
void gfs_buf_clear(struct gfs_buf *buf); /* keeps the storage */

/* Appending never fails loudly: past size_max nothing more is written and is_full is set; check it
 * once at the end. */
void gfs_buf_add(struct gfs_buf *buf, const void *ptr, size_t len);
void gfs_buf_add_slice(struct gfs_buf *buf, struct gfs_slice bytes);
void gfs_buf_add_str(struct gfs_buf *buf, const char *text);
void gfs_buf_add_char(struct gfs_buf *buf, char byte);
void gfs_buf_printf(struct gfs_buf *buf, const char *format, ...) GFS_PRINTF(2, 3);

/* Room for len more bytes, to be filled by the caller, who then adds to buf->len; NULL when full.
 */
char *gfs_buf_reserve(struct gfs_buf *buf, size_t len);

/* Moves the storage out (to be released with free()), leaving the buffer empty. */
char *gfs_buf_take(struct gfs_buf *buf, size_t *ret_len);

static inline struct gfs_slice gfs_buf_slice(const struct gfs_buf *buf)
{
    return gfs_slice_of(buf->ptr, buf->len);
}
