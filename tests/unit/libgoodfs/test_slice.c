#include <criterion/criterion.h>

#include "libgoodfs/slice.h"

static struct gfs_slice text(const char *ptr)
{
    return gfs_slice_str(ptr);
}

Test(slice, order_is_that_of_bytes_and_the_shorter_goes_first)
{
    cr_expect_lt(gfs_slice_cmp(text("a"), text("b")), 0);
    cr_expect_lt(gfs_slice_cmp(text("a"), text("a/b")), 0);
    cr_expect_gt(gfs_slice_cmp(text("\xC3"), text("z")), 0, "bytes are unsigned");
    cr_expect_lt(gfs_slice_cmp(gfs_slice_of("a\0", 2), gfs_slice_of("a\1", 2)), 0);
    cr_expect_eq(gfs_slice_cmp(gfs_slice_of(NULL, 0), text("")), 0);
}

Test(slice, equality_counts_length_and_every_byte)
{
    cr_expect(gfs_slice_eq(text("abc"), gfs_slice_of("abcd", 3)));
    cr_expect_not(gfs_slice_eq(text("abc"), text("abC")));
    cr_expect_not(gfs_slice_eq(gfs_slice_of("a\0b", 3), text("a")));
    cr_expect(gfs_slice_eq_str(text("x"), "x"));
    cr_expect(gfs_slice_case_eq(text("Content-TYPE"), text("content-type")));
    cr_expect_not(gfs_slice_case_eq(text("a["), text("A{")), "only letters have a case");
}

Test(slice, a_prefix_starts_its_own_and_longer_slices)
{
    cr_expect(gfs_slice_starts(text("bytes=1"), text("bytes=")));
    cr_expect(gfs_slice_starts(text("a"), gfs_slice_of(NULL, 0)));
    cr_expect_not(gfs_slice_starts(text("byte"), text("bytes")));
}
