#include "libgoodfs/clock.h"

#include <criterion/criterion.h>
#include <time.h>

Test(clock, wall_clock_is_unix_time_in_milliseconds)
{
    int64_t before_s = (int64_t)time(NULL);
    int64_t now_ms = gfs_wall_ms();
    cr_assert_geq(now_ms / 1000, before_s - 1);
    cr_assert_leq(now_ms / 1000, before_s + 5);
}

Test(clock, shifts_add_up_and_leave_the_monotonic_clock_alone)
{
    int64_t mono_ns = gfs_monotonic_ns();
    int64_t wall_ms = gfs_wall_ms();
    gfs_clock_shift_wall_ms(3600000);
    gfs_clock_shift_wall_ms(-1800000);
    int64_t moved_ms = gfs_wall_ms() - wall_ms;
    cr_assert_geq(moved_ms, 1800000);
    cr_assert_lt(moved_ms, 1800000 + 60000);
    cr_assert_lt(gfs_monotonic_ns() - mono_ns, INT64_C(60000000000));
}

Test(clock, monotonic_clock_never_goes_back)
{
    int64_t last_ns = gfs_monotonic_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now_ns = gfs_monotonic_ns();
        cr_assert_geq(now_ns, last_ns);
        last_ns = now_ns;
    }
}
