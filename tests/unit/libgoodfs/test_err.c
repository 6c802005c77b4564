#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "libgoodfs/err.h"

Test(err, every_code_has_a_text_and_a_name)
{
    cr_expect_str_eq(gfs_err_name(GFS_OK), "OK");
    cr_expect_str_eq(gfs_err_name(GFS_STOPPED), "STOPPED");
    for (int code = 0; code <= (int)GFS_STOPPED; code++) {
        cr_expect_gt(strlen(gfs_err_text((enum gfs_err)code)), 0u);
    }
    cr_expect_str_eq(gfs_err_text((enum gfs_err)9999), "unknown error");
    cr_expect_str_eq(gfs_err_name((enum gfs_err)9999), "UNKNOWN");
}

Test(err, fail_sets_and_wrap_puts_the_context_in_front)
{
    struct gfs_error error = {0};
    cr_expect_eq(gfs_fail(&error, GFS_IO, "read %d", 7), GFS_IO);
    cr_expect_str_eq(error.text, "read 7");
    cr_expect_eq(gfs_wrap(&error, GFS_CORRUPT, "file %s", "a"), GFS_CORRUPT);
    cr_expect_str_eq(error.text, "file a: read 7");
    cr_expect_eq(error.code, GFS_CORRUPT);
    cr_expect_eq(gfs_fail(NULL, GFS_IO, "nobody listens"), GFS_IO);
    cr_expect_eq(gfs_wrap(NULL, GFS_IO, "nobody listens"), GFS_IO);
}

Test(err, long_texts_are_cut_and_ended)
{
    struct gfs_error error = {0};
    (void)gfs_fail(&error, GFS_IO, "%0300d", 1);
    cr_expect_eq(strlen(error.text), sizeof error.text - 1);
    (void)gfs_wrap(&error, GFS_IO, "%0300d", 2);
    cr_expect_eq(strlen(error.text), sizeof error.text - 1);
}

Test(err, errno_maps_to_what_callers_decide_by)
{
    cr_expect_eq(gfs_err_from_errno(ENOSPC), GFS_NO_SPACE);
    cr_expect_eq(gfs_err_from_errno(EDQUOT), GFS_NO_SPACE);
    cr_expect_eq(gfs_err_from_errno(ENOENT), GFS_NOT_FOUND);
    cr_expect_eq(gfs_err_from_errno(EEXIST), GFS_EXISTS);
    cr_expect_eq(gfs_err_from_errno(EAGAIN), GFS_AGAIN);
    cr_expect_eq(gfs_err_from_errno(EIO), GFS_IO);
}
