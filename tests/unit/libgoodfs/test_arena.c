#include <criterion/criterion.h>
#include <stdint.h>

#include "libgoodfs/arena.h"

Test(arena, gives_zeroed_aligned_memory_that_does_not_overlap)
{
    struct gfs_arena arena;
    gfs_arena_init(&arena, 1 << 20);
    char *last = NULL;
    for (size_t size = 1; size < 3000; size += 7) {
        char *ptr = gfs_arena_alloc(&arena, size);
        cr_assert_not_null(ptr);
        cr_assert_eq((uintptr_t)ptr % 16, 0u);
        for (size_t i = 0; i < size; i++) {
            cr_assert_eq(ptr[i], 0);
        }
        memset(ptr, 0xAA, size);
        cr_assert_neq(ptr, last);
        last = ptr;
    }
    gfs_arena_fini(&arena);
}

Test(arena, refuses_what_passes_its_maximum_and_goes_on_with_less)
{
    struct gfs_arena arena;
    gfs_arena_init(&arena, 10000);
    cr_expect_null(gfs_arena_alloc(&arena, 10001));
    cr_expect_null(gfs_arena_alloc(&arena, SIZE_MAX));
    cr_expect_not_null(gfs_arena_alloc(&arena, 5000));
    cr_expect_null(gfs_arena_alloc(&arena, 6000));
    cr_expect_not_null(gfs_arena_alloc(&arena, 100));
    gfs_arena_fini(&arena);
}

Test(arena, copies_and_prints_end_with_nul)
{
    struct gfs_arena arena;
    gfs_arena_init(&arena, 100);
    struct gfs_slice copy = gfs_arena_copy(&arena, gfs_slice_of("abcdef", 3));
    cr_expect_str_eq(copy.ptr, "abc");
    cr_expect_eq(copy.len, 3u);
    cr_expect_str_eq(gfs_arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    cr_expect_str_eq(gfs_arena_copy(&arena, gfs_slice_of(NULL, 0)).ptr, "");
    cr_expect_null(gfs_arena_printf(&arena, "%200d", 1));
    gfs_arena_fini(&arena);
}
