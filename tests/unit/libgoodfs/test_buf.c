#include "libgoodfs/buf.h"

#include <criterion/criterion.h>

Test(buf, grows_up_to_its_maximum_and_then_says_it_is_full)
{
    struct gfs_buf buf;
    gfs_buf_init(&buf, 1000);
    for (int i = 0; i < 100; i++) {
        gfs_buf_add(&buf, "0123456789", 10);
    }
    cr_assert(!buf.is_full);
    cr_assert_eq(buf.len, 1000u);
    gfs_buf_add_char(&buf, 'x');
    cr_assert(buf.is_full);
    cr_assert_eq(buf.len, 1000u);
    gfs_buf_fini(&buf);
}

Test(buf, is_always_terminated)
{
    struct gfs_buf buf;
    gfs_buf_init(&buf, 64);
    gfs_buf_printf(&buf, "%d-%s", 42, "x");
    cr_assert_str_eq(buf.ptr, "42-x");
    gfs_buf_add_str(&buf, "!");
    cr_assert_str_eq(buf.ptr, "42-x!");
    gfs_buf_fini(&buf);
}
