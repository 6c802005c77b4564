#include <criterion/criterion.h>
#include <stdio.h>

#include "ctl/ctl.h"

static void bar(const char *text, unsigned width, char ret[256])
{
    struct gfs_json *value = NULL;
    struct gfs_buf out;
    gfs_buf_init(&out, 256);
    cr_assert_eq(gfs_json_parse(gfs_slice_str(text), &value, NULL), GFS_OK);
    ctl_watch_bar(value, width, &out);
    (void)snprintf(ret, 256, "%s", out.ptr);
    gfs_json_free(value);
    gfs_buf_fini(&out);
}

Test(ctl_watch, a_bar_shows_share_rate_and_time_left_and_fits_the_line)
{
    char text[256];
    bar("{\"done_bytes\":25,\"left_bytes\":75,\"rate\":1048576,\"eta_s\":90}", 50, text);
    cr_assert_str_eq(text, "[#####...............]  25.0 % 1.0 MiB/s ETA 1m30s");
    bar("{\"position\":0.5}", 30, text);
    cr_assert_str_eq(text, "[#######.......]  50.0 % ETA ?");
    bar("{\"done\":1,\"left\":0}", 5, text);
    cr_assert_str_eq(text, " 100.0 % ETA ?", "no room for a bar");
    bar("{\"position\":1.5}", 30, text);
    cr_assert_str_eq(text, "[##############] 100.0 % ETA ?");
    bar("{}", 30, text);
    cr_assert_str_eq(text, "[......................] ETA ?", "nothing is known");
}
