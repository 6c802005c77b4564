#include "metad/row.h"

#include <criterion/criterion.h>

Test(row, holds_a_copy_of_its_bytes)
{
    char bytes[] = "a\0b";
    struct meta_row *row = row_copy(gfs_slice_of(bytes, 3));
    bytes[0] = 'x';
    cr_expect(gfs_slice_eq(meta_row_bytes(row), gfs_slice_of("a\0b", 3)));
    meta_row_unref(row);
    row = row_copy((struct gfs_slice){0});
    cr_expect_eq(meta_row_bytes(row).len, 0u);
    meta_row_unref(row);
}

Test(row, lives_as_long_as_its_last_reference)
{
    struct meta_row *row = row_new(100);
    memset(row_mutable(row), 7, 100);
    cr_expect_eq(row_ref(row), row);
    meta_row_unref(row);
    cr_expect_eq(meta_row_bytes(row).ptr[99], 7);
    meta_row_unref(row);
}

Test(row, none_is_allowed_where_a_row_is_released_or_measured)
{
    meta_row_unref(NULL);
    cr_expect_null(row_ref(NULL));
    cr_expect_eq(row_size(NULL), 0u);
    struct meta_row *row = row_new(1000);
    cr_expect_geq(row_size(row), 1000u);
    row_unref_ptr(&row);
}
