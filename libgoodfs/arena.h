/* Arena: many small allocations freed at once, with a maximum. Owned by one thread at a time. */
#pragma once

#include <stddef.h>

#include "libgoodfs/err.h"
#include "libgoodfs/slice.h"

struct gfs_arena_block;

/* Plain data; embedded in its owner. */
struct gfs_arena {
    struct gfs_arena_block *blocks; /* newest first */
    size_t used_len;                /* bytes given out */
    size_t size_max;                /* bytes; over it gfs_arena_alloc answers NULL */
};

void gfs_arena_init(struct gfs_arena *arena, size_t size_max);
void gfs_arena_fini(struct gfs_arena *arena); /* frees everything; may be init-ed again */

/* 16-byte aligned, zeroed; NULL when size_max would be passed: the caller answers GFS_BUSY or
 * GFS_TOO_BIG. */
void *gfs_arena_alloc(struct gfs_arena *arena, size_t size);

/* A NUL-terminated copy; .ptr is NULL when size_max would be passed. */
struct gfs_slice gfs_arena_copy(struct gfs_arena *arena, struct gfs_slice bytes);

/* printf into the arena; NULL when size_max would be passed. */
char *gfs_arena_printf(struct gfs_arena *arena, const char *format, ...) GFS_PRINTF(2, 3);
