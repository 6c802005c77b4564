#include "libgoodfs/log.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

static struct gfs_slice lit(const char *text)
{
    return gfs_slice_str(text);
}

/* Runs one gfs_log call with stderr in a file; answers what was written. */
static char *captured(enum gfs_log_level level, const char *value)
{
    static char text[8192];
    char path[] = "/tmp/gfs_log_XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    (void)unlink(path);
    int saved = dup(STDERR_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    gfs_log(level, "op=%s", value);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    cr_assert_geq(n, 0);
    text[n] = '\0';
    (void)close(fd);
    return text;
}

Test(log, writes_one_logfmt_line)
{
    char *line = captured(GFS_LOG_WARN, "put");
    cr_assert_eq(strncmp(line, "ts=20", 5), 0);
    cr_assert_str_eq(strchr(line, ' '), " level=warn op=put\n");
}

Test(log, drops_lines_above_the_level)
{
    cr_assert_str_empty(captured(GFS_LOG_DEBUG, "x"));
    gfs_log_set_level(GFS_LOG_DEBUG);
    cr_assert_not(strlen(captured(GFS_LOG_DEBUG, "x")) == 0);
    gfs_log_set_level(GFS_LOG_ERROR);
    cr_assert_str_empty(captured(GFS_LOG_WARN, "x"));
    cr_assert(gfs_log_is_on(GFS_LOG_ERROR));
}

Test(log, never_lets_a_value_start_a_second_line)
{
    char *line = captured(GFS_LOG_INFO, "a\nlevel=error\r\x1b[2J");
    cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
    cr_assert_null(strchr(line, '\x1b'));
}

Test(log, cuts_a_line_that_is_too_long_and_still_ends_it)
{
    char value[6000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    char *line = captured(GFS_LOG_INFO, value);
    cr_assert_leq(strlen(line), 4096u);
    cr_assert_eq(line[strlen(line) - 1], '\n');
}

Test(log, quotes_and_escapes_a_value)
{
    char out[64];
    cr_assert_str_eq(gfs_log_quote(lit("plain"), out, sizeof out), "\"plain\"");
    cr_assert_str_eq(gfs_log_quote(lit("a\"b\\c\n\xc3"), out, sizeof out),
                     "\"a\\\"b\\\\c\\x0a\\xc3\"");
    cr_assert_str_eq(gfs_log_quote(gfs_slice_of(NULL, 0), out, sizeof out), "\"\"");
}

Test(log, cuts_a_quoted_value_at_any_size_without_half_an_escape)
{
    for (size_t size = 6; size < 40; size++) {
        char out[41];
        memset(out, '#', sizeof out);
        (void)gfs_log_quote(lit("ab\n\"\n\n\nxy"), out, size);
        cr_assert_lt(strlen(out), size);
        cr_assert_eq(out[size], '#', "wrote past size %zu", size);
        cr_assert_eq(out[strlen(out) - 1], '"');
        cr_assert(strstr(out, "...") != NULL ||
                  strcmp(out, "\"ab\\x0a\\\"\\x0a\\x0a\\x0axy\"") == 0);
    }
}
