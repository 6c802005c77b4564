#include <criterion/criterion.h>
#include <time.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

#define LIT GFS_SLICE_LITERAL

Test(text_date, http_dates_are_written_and_read)
{
    char text[GFS_HTTP_DATE_LEN + 1];
    int64_t back = 0;
    gfs_http_date(784111777, text);
    cr_assert_str_eq(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    cr_assert_eq(gfs_parse_http_date(gfs_slice_str(text), &back), GFS_OK);
    cr_assert_eq(back, 784111777);
    cr_assert_eq(gfs_parse_http_date(LIT("Sunday, 06-Nov-94 08:49:37 GMT"), &back), GFS_OK);
    cr_assert_eq(back, 784111777);
    cr_assert_eq(gfs_parse_http_date(LIT("Sun Nov  6 08:49:37 1994"), &back), GFS_OK);
    cr_assert_eq(back, 784111777);
    cr_assert_eq(gfs_parse_http_date(LIT("Wed Nov 16 08:49:37 1994"), &back), GFS_OK);
    cr_assert_eq(back, 784111777 + 10 * 86400);
}

Test(text_date, malformed_http_dates_are_refused)
{
    static const char *const bad[] = {"",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Sun, 6 Nov 1994 08:49:37 GMT",
                                      "Sun, 31 Feb 1994 08:49:37 GMT",
                                      "Sun, 29 Feb 1900 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:00:00 GMT",
                                      "Sun, 06 Nov 1994 08:60:37 GMT",
                                      "Xyz, 06 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:37 GMT ",
                                      "Sun, 00 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:37 GMTTTTTTTTTTTTTTTTTTTTT"};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        int64_t back;
        cr_assert_eq(gfs_parse_http_date(gfs_slice_str(bad[i]), &back), GFS_INVALID, "%s", bad[i]);
    }
}

Test(text_date, iso_dates_are_written_and_read)
{
    char text[GFS_ISO_DATE_LEN + 1];
    int64_t back = 0;
    gfs_iso_date(1795244290123, text);
    cr_assert_str_eq(text, "2026-11-21T06:58:10.123Z");
    cr_assert_eq(gfs_parse_iso_date(gfs_slice_str(text), &back), GFS_OK);
    cr_assert_eq(back, 1795244290123);
    cr_assert_eq(gfs_parse_iso_date(LIT("2026-11-21T06:58:10Z"), &back), GFS_OK);
    cr_assert_eq(back, 1795244290000);
    cr_assert_eq(gfs_parse_iso_date(LIT("2026-11-21T06:58:10.1239Z"), &back), GFS_OK);
    cr_assert_eq(back, 1795244290123);
    cr_assert_eq(gfs_parse_iso_date(LIT("2026-11-21T06:58:10.Z"), &back), GFS_INVALID);
    cr_assert_eq(gfs_parse_iso_date(LIT("2026-11-21T06:58:10"), &back), GFS_INVALID);
    cr_assert_eq(gfs_parse_iso_date(LIT("2026-02-29T06:58:10Z"), &back), GFS_INVALID);
    cr_assert_eq(gfs_parse_iso_date(LIT("2026-11-21T06:58:10Z\0"), &back), GFS_INVALID);
    gfs_iso_date(-1, text);
    cr_assert_str_eq(text, "1969-12-31T23:59:59.999Z");
}

Test(text_date, amz_dates_are_written_and_read)
{
    char text[GFS_AMZ_DATE_LEN + 1];
    int64_t back = 0;
    gfs_amz_date(1795244290, text);
    cr_assert_str_eq(text, "20261121T065810Z");
    cr_assert_eq(gfs_parse_amz_date(gfs_slice_str(text), &back), GFS_OK);
    cr_assert_eq(back, 1795244290);
    cr_assert_eq(gfs_parse_amz_date(LIT("20261121T065810"), &back), GFS_INVALID);
    cr_assert_eq(gfs_parse_amz_date(LIT("20261321T065810Z"), &back), GFS_INVALID);
    cr_assert_eq(gfs_parse_amz_date(LIT("20261121T065810ZZ"), &back), GFS_INVALID);
}

Test(text_date, every_day_of_500_years_agrees_with_the_c_library)
{
    for (int64_t day = -100000; day < 82000; day++) {
        time_t at = (time_t)(day * 86400 + 43199);
        struct tm tm;
        char expected[32], text[GFS_AMZ_DATE_LEN + 1];
        int64_t back = 0;
        cr_assert_not_null(gmtime_r(&at, &tm));
        cr_assert_eq(strftime(expected, sizeof expected, "%Y%m%dT%H%M%SZ", &tm), 16u);
        gfs_amz_date(at, text);
        cr_assert_str_eq(text, expected);
        cr_assert_eq(gfs_parse_amz_date(gfs_slice_str(text), &back), GFS_OK);
        cr_assert_eq(back, (int64_t)at);
        char http[GFS_HTTP_DATE_LEN + 1];
        gfs_http_date(at, http);
        cr_assert_eq(strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm), 29u);
        cr_assert_str_eq(http, expected);
    }
}

Test(text_date, times_outside_four_digit_years_are_cut)
{
    char text[GFS_AMZ_DATE_LEN + 1];
    gfs_amz_date(INT64_MAX, text);
    cr_assert_str_eq(text, "99991231T235959Z");
    gfs_amz_date(INT64_MIN, text);
    cr_assert_str_eq(text, "00000101T000000Z");
}
