/* Dates of libgoodfs/text.h: proleptic Gregorian, UTC, without the C library's locale and zone. */
#include <stdio.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { DAY_S = 86400 };

#define UNIX_S_MIN (-62167219200LL) /* 0000-01-01T00:00:00Z */
#define UNIX_S_MAX 253402300799LL   /* 9999-12-31T23:59:59Z */

static const char days[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                 "Thursday", "Friday", "Saturday"};
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct civil {
    int64_t year;
    unsigned month, day; /* from 1 */
    unsigned hour, minute, second;
    unsigned week_day; /* 0 = Sunday */
};

/* Days before that of 1970-01-01, years beginning in March: the leap day is the last one. */
static int64_t days_of(const struct civil *date)
{
    int64_t year = date->month <= 2 ? date->year - 1 : date->year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year =
        (153 * (date->month + (date->month > 2 ? -3LL : 9LL)) + 2) / 5 + date->day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static struct civil civil_of(int64_t unix_s)
{
    unix_s = GFS_MAX(GFS_MIN(unix_s, UNIX_S_MAX), UNIX_S_MIN);
    int64_t day = unix_s >= 0 ? unix_s / DAY_S : (unix_s - (DAY_S - 1)) / DAY_S;
    unsigned rest = (unsigned)(unix_s - day * DAY_S);
    int64_t shifted = day + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month_index = (unsigned)((5 * day_of_year + 2) / 153);
    struct civil date = {
        .day = (unsigned)(day_of_year - (153 * (int64_t)month_index + 2) / 5 + 1),
        .month = month_index < 10 ? month_index + 3 : month_index - 9,
        .hour = rest / 3600,
        .minute = rest / 60 % 60,
        .second = rest % 60,
        .week_day = (unsigned)(((day + 4) % 7 + 7) % 7),
    };
    date.year = year_of_era + era * 400 + (date.month <= 2 ? 1 : 0);
    return date;
}

static bool is_valid(const struct civil *date)
{
    static const unsigned char lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = date->year % 4 == 0 && (date->year % 100 != 0 || date->year % 400 == 0);
    if (date->month < 1 || date->month > 12 || date->day < 1 ||
        date->day > lengths[date->month - 1] || (date->month == 2 && date->day == 29 && !is_leap)) {
        return false;
    }
    return date->hour < 24 && date->minute < 60 && date->second < 60;
}

static int64_t unix_of(const struct civil *date)
{
    return days_of(date) * DAY_S + date->hour * 3600 + date->minute * 60 + date->second;
}

/* `width` digits at *at, which moves behind them. */
static bool take_number(const char **at, int width, unsigned *ret)
{
    unsigned value = 0;
    for (int i = 0; i < width; i++) {
        unsigned digit = (unsigned)((*at)[i] - '0');
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    *at += width;
    *ret = value;
    return true;
}

static bool take_text(const char **at, const char *text)
{
    size_t len = strlen(text);
    if (strncmp(*at, text, len) != 0) {
        return false;
    }
    *at += len;
    return true;
}

static bool take_year(const char **at, struct civil *date)
{
    unsigned year;
    bool ok = take_number(at, 4, &year);
    date->year = ok ? year : 0;
    return ok;
}

static bool take_month_name(const char **at, struct civil *date)
{
    for (unsigned i = 0; i < 12; i++) {
        if (strncmp(*at, months + 3 * (size_t)i, 3) == 0) {
            *at += 3;
            date->month = i + 1;
            return true;
        }
    }
    return false;
}

/* Three letters, or the whole name. */
static bool take_day_name(const char **at, bool is_whole)
{
    for (size_t i = 0; i < GFS_COUNT(days); i++) {
        size_t len = is_whole ? strlen(days[i]) : 3;
        if (strncmp(*at, days[i], len) == 0) {
            *at += len;
            return true;
        }
    }
    return false;
}

static bool take_clock(const char **at, struct civil *date)
{
    return take_number(at, 2, &date->hour) && take_text(at, ":") &&
           take_number(at, 2, &date->minute) && take_text(at, ":") &&
           take_number(at, 2, &date->second);
}

static bool parse_imf(const char *at, struct civil *date)
{
    return take_day_name(&at, false) && take_text(&at, ", ") && take_number(&at, 2, &date->day) &&
           take_text(&at, " ") && take_month_name(&at, date) && take_text(&at, " ") &&
           take_year(&at, date) && take_text(&at, " ") && take_clock(&at, date) &&
           take_text(&at, " GMT") && *at == '\0';
}

static bool parse_rfc850(const char *at, struct civil *date)
{
    unsigned year;
    if (!take_day_name(&at, true) || !take_text(&at, ", ") || !take_number(&at, 2, &date->day) ||
        !take_text(&at, "-") || !take_month_name(&at, date) || !take_text(&at, "-") ||
        !take_number(&at, 2, &year)) {
        return false;
    }
    date->year = year < 70 ? 2000 + year : 1900 + year;
    return take_text(&at, " ") && take_clock(&at, date) && take_text(&at, " GMT") && *at == '\0';
}

static bool parse_asctime(const char *at, struct civil *date)
{
    if (!take_day_name(&at, false) || !take_text(&at, " ") || !take_month_name(&at, date) ||
        !take_text(&at, " ")) {
        return false;
    }
    int width = *at == ' ' ? 1 : 2;
    at += *at == ' ' ? 1 : 0;
    return take_number(&at, width, &date->day) && take_text(&at, " ") && take_clock(&at, date) &&
           take_text(&at, " ") && take_year(&at, date) && *at == '\0';
}

/* A terminated copy, so that the takers stop at the end; false when it is too long or holds NUL. */
static bool copy_text(struct gfs_slice text, char *ret, size_t size)
{
    if (text.len >= size || (text.len != 0 && memchr(text.ptr, '\0', text.len) != NULL)) {
        return false;
    }
    if (text.len != 0) {
        memcpy(ret, text.ptr, text.len);
    }
    ret[text.len] = '\0';
    return true;
}

enum gfs_err gfs_parse_http_date(struct gfs_slice text, int64_t *ret_unix_s)
{
    char copy[40];
    if (!copy_text(text, copy, sizeof copy)) {
        return GFS_INVALID;
    }
    struct civil date = {0};
    if (!(parse_imf(copy, &date) || parse_rfc850(copy, &date) || parse_asctime(copy, &date)) ||
        !is_valid(&date)) {
        return GFS_INVALID;
    }
    *ret_unix_s = unix_of(&date);
    return GFS_OK;
}

enum gfs_err gfs_parse_iso_date(struct gfs_slice text, int64_t *ret_unix_ms)
{
    char copy[40];
    struct civil date = {0};
    if (!copy_text(text, copy, sizeof copy)) {
        return GFS_INVALID;
    }
    const char *at = copy;
    if (!take_year(&at, &date) || !take_text(&at, "-") || !take_number(&at, 2, &date.month) ||
        !take_text(&at, "-") || !take_number(&at, 2, &date.day) || !take_text(&at, "T") ||
        !take_clock(&at, &date) || !is_valid(&date)) {
        return GFS_INVALID;
    }
    int64_t ms = 0;
    if (take_text(&at, ".")) {
        int scale = 100; /* digits after the third are dropped */
        const char *first = at;
        for (; *at >= '0' && *at <= '9'; at++, scale /= 10) {
            ms += (*at - '0') * scale;
        }
        if (at == first) {
            return GFS_INVALID;
        }
    }
    if (!take_text(&at, "Z") || *at != '\0') {
        return GFS_INVALID;
    }
    *ret_unix_ms = unix_of(&date) * 1000 + ms;
    return GFS_OK;
}

enum gfs_err gfs_parse_amz_date(struct gfs_slice text, int64_t *ret_unix_s)
{
    char copy[GFS_AMZ_DATE_LEN + 1];
    struct civil date = {0};
    if (!copy_text(text, copy, sizeof copy)) {
        return GFS_INVALID;
    }
    const char *at = copy;
    if (!take_year(&at, &date) || !take_number(&at, 2, &date.month) ||
        !take_number(&at, 2, &date.day) || !take_text(&at, "T") ||
        !take_number(&at, 2, &date.hour) || !take_number(&at, 2, &date.minute) ||
        !take_number(&at, 2, &date.second) || !take_text(&at, "Z") || *at != '\0' ||
        !is_valid(&date)) {
        return GFS_INVALID;
    }
    *ret_unix_s = unix_of(&date);
    return GFS_OK;
}

static char *put_number(char *at, unsigned value, int width)
{
    for (int i = width; i-- > 0; value /= 10) {
        at[i] = (char)('0' + value % 10);
    }
    return at + width;
}

static char *put_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *put_clock(char *at, const struct civil *date)
{
    at = put_number(at, date->hour, 2);
    *at++ = ':';
    at = put_number(at, date->minute, 2);
    *at++ = ':';
    return put_number(at, date->second, 2);
}

void gfs_http_date(int64_t unix_s, char ret[GFS_HTTP_DATE_LEN + 1])
{
    struct civil date = civil_of(unix_s);
    char *at = put_text(ret, days[date.week_day], 3);
    at = put_text(at, ", ", 2);
    at = put_number(at, date.day, 2);
    *at++ = ' ';
    at = put_text(at, months + 3 * ((size_t)date.month - 1), 3);
    *at++ = ' ';
    at = put_number(at, (unsigned)date.year, 4);
    *at++ = ' ';
    at = put_clock(at, &date);
    at = put_text(at, " GMT", 5);
    GFS_ASSERT(at == ret + GFS_HTTP_DATE_LEN + 1);
}

void gfs_iso_date(int64_t unix_ms, char ret[GFS_ISO_DATE_LEN + 1])
{
    int64_t unix_s = unix_ms >= 0 ? unix_ms / 1000 : (unix_ms - 999) / 1000;
    struct civil date = civil_of(unix_s);
    char *at = put_number(ret, (unsigned)date.year, 4);
    *at++ = '-';
    at = put_number(at, date.month, 2);
    *at++ = '-';
    at = put_number(at, date.day, 2);
    *at++ = 'T';
    at = put_clock(at, &date);
    *at++ = '.';
    at = put_number(at, (unsigned)(unix_ms - unix_s * 1000), 3);
    at = put_text(at, "Z", 2);
    GFS_ASSERT(at == ret + GFS_ISO_DATE_LEN + 1);
}

void gfs_amz_date(int64_t unix_s, char ret[GFS_AMZ_DATE_LEN + 1])
{
    struct civil date = civil_of(unix_s);
    char *at = put_number(ret, (unsigned)date.year, 4);
    at = put_number(at, date.month, 2);
    at = put_number(at, date.day, 2);
    *at++ = 'T';
    at = put_number(at, date.hour, 2);
    at = put_number(at, date.minute, 2);
    at = put_number(at, date.second, 2);
    at = put_text(at, "Z", 2);
    GFS_ASSERT(at == ret + GFS_AMZ_DATE_LEN + 1);
}
