#include "libgoodfs/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void out_of_memory(size_t size) __attribute__((noreturn));

static void out_of_memory(size_t size)
{
    (void)fprintf(stderr, "level=error msg=\"out of memory\" bytes=%zu\n", size);
    abort();
}

void *gfs_alloc(size_t size)
{
    void *ptr = calloc(1, size == 0 ? 1 : size);
    if (ptr == NULL) {
        out_of_memory(size);
    }
    return ptr;
}

void *gfs_alloc_array(size_t count, size_t size)
{
    void *ptr = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
    if (ptr == NULL) {
        out_of_memory(size);
    }
    return ptr;
}

void *gfs_realloc(void *ptr, size_t size)
{
    void *grown = realloc(ptr, size == 0 ? 1 : size);
    if (grown == NULL) {
        out_of_memory(size);
    }
    return grown;
}

void *gfs_alloc_aligned(size_t align, size_t size)
{
    void *ptr = NULL;
    if (posix_memalign(&ptr, align, size == 0 ? align : size) != 0) {
        out_of_memory(size);
    }
    return ptr;
}

char *gfs_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = gfs_alloc(size);
    memcpy(copy, text, size);
    return copy;
}

void gfs_free_ptr(void *ptr_to_ptr)
{
    void *ptr;
    memcpy(&ptr, ptr_to_ptr, sizeof ptr);
    free(ptr);
}

void gfs_close_fd(const int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

void gfs_assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "level=error msg=\"assertion failed\" condition=\"%s\" at=%s:%d\n",
                  condition, file, line);
    abort();
}
