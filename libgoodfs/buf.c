#include "libgoodfs/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

void gfs_buf_init(struct gfs_buf *buf, size_t size_max)
{
    *buf = (struct gfs_buf){.size_max = size_max};
}

void gfs_buf_fini(struct gfs_buf *buf)
{
    free(buf->ptr);
    *buf = (struct gfs_buf){.size_max = buf->size_max};
}

void gfs_buf_clear(struct gfs_buf *buf)
{
    buf->len = 0;
    buf->is_full = false;
    if (buf->ptr != NULL) {
        buf->ptr[0] = '\0';
    }
}

char *gfs_buf_reserve(struct gfs_buf *buf, size_t len)
{
    GFS_ASSERT(buf->size_max < SIZE_MAX / 2);
    if (buf->is_full || len > buf->size_max || buf->len > buf->size_max - len) {
        buf->is_full = true;
        return NULL;
    }
    size_t need = buf->len + len + 1; /* and the NUL */
    if (need > buf->size) {
        size_t size = buf->size == 0 ? 256 : buf->size * 2;
        size = GFS_MAX(size, need);
        size = GFS_MIN(size, GFS_MAX(buf->size_max + 1, need));
        buf->ptr = gfs_realloc(buf->ptr, size);
        buf->size = size;
    }
    return buf->ptr + buf->len;
}

void gfs_buf_add(struct gfs_buf *buf, const void *ptr, size_t len)
{
    char *room = gfs_buf_reserve(buf, len);
    if (room != NULL) {
        if (len != 0) {
            memcpy(room, ptr, len);
        }
        buf->len += len;
        buf->ptr[buf->len] = '\0';
    }
}

void gfs_buf_add_slice(struct gfs_buf *buf, struct gfs_slice bytes)
{
    gfs_buf_add(buf, bytes.ptr, bytes.len);
}

void gfs_buf_add_str(struct gfs_buf *buf, const char *text)
{
    gfs_buf_add(buf, text, strlen(text));
}

void gfs_buf_add_char(struct gfs_buf *buf, char byte)
{
    gfs_buf_add(buf, &byte, 1);
}

void gfs_buf_printf(struct gfs_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    GFS_ASSERT(len >= 0);
    char *room = gfs_buf_reserve(buf, (size_t)len);
    if (room != NULL) {
        va_start(args, format);
        (void)vsnprintf(room, (size_t)len + 1, format, args);
        va_end(args);
        buf->len += (size_t)len;
    }
}

char *gfs_buf_take(struct gfs_buf *buf, size_t *ret_len)
{
    char *ptr = buf->ptr;
    *ret_len = buf->len;
    *buf = (struct gfs_buf){.size_max = buf->size_max};
    return ptr;
}
