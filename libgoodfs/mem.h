/* Allocation that cannot fail, ownership macros and the assertion that stays on in release. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "libgoodfs/err.h"

/* Small fixed allocations: zeroed, never NULL; the process ends when memory is gone. Anything sized
 * by a client comes from a bounded arena, buffer or pool instead. */
void *gfs_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *gfs_alloc_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *gfs_realloc(void *ptr, size_t size) __attribute__((returns_nonnull));
/* align is a power of two; released with free(). Not zeroed. */
void *gfs_alloc_aligned(size_t align, size_t size) __attribute__((malloc, returns_nonnull));
char *gfs_strdup(const char *text) __attribute__((malloc, returns_nonnull));

/* GFS_CLEANUP(fn): fn(&variable) runs when the variable leaves its scope. */
#define GFS_CLEANUP(fn) __attribute__((cleanup(fn)))
#define GFS_FREE GFS_CLEANUP(gfs_free_ptr)
#define GFS_CLOSE GFS_CLEANUP(gfs_close_fd)

/* Moves a pointer out of an owning variable, leaving NULL behind. */
#define GFS_TAKE(ptr)                                                                              \
    __extension__({                                                                                \
        __typeof__(ptr) taken_ = (ptr);                                                            \
        (ptr) = NULL;                                                                              \
        taken_;                                                                                    \
    })

void gfs_free_ptr(void *ptr_to_ptr);
void gfs_close_fd(const int *fd); /* ignores -1 */

/* Programmer errors only, no side effects, one condition a line. Stays on in release. */
#define GFS_ASSERT(condition)                                                                      \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            gfs_assert_failed(#condition, __FILE__, __LINE__);                                     \
        }                                                                                          \
    } while (0)

void gfs_assert_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

#define GFS_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define GFS_COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* Each argument is evaluated once. */
#define GFS_MIN(a, b) GFS_PICK_AS(a, <, b, __COUNTER__)
#define GFS_MAX(a, b) GFS_PICK_AS(a, >, b, __COUNTER__)
#define GFS_PICK_AS(a, op, b, number) GFS_PICK_OF(a, op, b, number) /* expands the number */
#define GFS_PICK_OF(a, op, b, number)                                                              \
    __extension__({                                                                                \
        __auto_type left_##number = (a);                                                           \
        __auto_type right_##number = (b);                                                          \
        left_##number op right_##number ? left_##number : right_##number;                          \
    })
