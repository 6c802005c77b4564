#include "libgoodfs/arena.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

enum { ARENA_BLOCK_SIZE = 4096, ARENA_ALIGN = 16 };

struct gfs_arena_block {
    struct gfs_arena_block *next;
    size_t size; /* bytes of data */
    size_t len;  /* bytes used */
    _Alignas(ARENA_ALIGN) char data[];
};

void gfs_arena_init(struct gfs_arena *arena, size_t size_max)
{
    *arena = (struct gfs_arena){.size_max = size_max};
}

void gfs_arena_fini(struct gfs_arena *arena)
{
    struct gfs_arena_block *block = arena->blocks;
    while (block != NULL) {
        struct gfs_arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->blocks = NULL;
    arena->used_len = 0;
}

void *gfs_arena_alloc(struct gfs_arena *arena, size_t size)
{
    if (size > arena->size_max) {
        return NULL;
    }
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (size > arena->size_max - arena->used_len) {
        return NULL;
    }
    struct gfs_arena_block *block = arena->blocks;
    if (block == NULL || block->size - block->len < size) {
        size_t block_size = GFS_MAX(size, (size_t)ARENA_BLOCK_SIZE - sizeof *block);
        block = gfs_alloc(sizeof *block + block_size);
        block->size = block_size;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *ptr = block->data + block->len;
    block->len += size;
    arena->used_len += size;
    return ptr;
}

struct gfs_slice gfs_arena_copy(struct gfs_arena *arena, struct gfs_slice bytes)
{
    char *copy = gfs_arena_alloc(arena, bytes.len + 1);
    if (copy == NULL) {
        return (struct gfs_slice){0};
    }
    if (bytes.len != 0) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    return gfs_slice_of(copy, bytes.len);
}

char *gfs_arena_printf(struct gfs_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = len < 0 ? NULL : gfs_arena_alloc(arena, (size_t)len + 1);
    if (text != NULL) {
        va_start(args, format);
        (void)vsnprintf(text, (size_t)len + 1, format, args);
        va_end(args);
    }
    return text;
}
