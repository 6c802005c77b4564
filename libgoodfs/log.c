#include "libgoodfs/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

/* Longer lines are cut: one write of this size is never split by the kernel between processes that
 * share a pipe (PIPE_BUF is 4096). */
enum { LOG_LINE_SIZE = 4096 };

static _Atomic int log_level = GFS_LOG_INFO;

void gfs_log_set_level(enum gfs_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool gfs_log_is_on(enum gfs_log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

static size_t log_add_prefix(char *line, size_t size, enum gfs_log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    int64_t now_ms = gfs_wall_ms();
    time_t now_s = (time_t)(now_ms / 1000);
    struct tm utc;
    struct tm *converted = gmtime_r(&now_s, &utc);
    GFS_ASSERT(converted != NULL);
    int len = snprintf(line, size, "ts=%04d-%02d-%02dT%02d:%02d:%02d.%03dZ level=%s ",
                       utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                       utc.tm_sec, (int)(now_ms % 1000), names[level]);
    GFS_ASSERT(len > 0);
    return (size_t)len;
}

void gfs_log(enum gfs_log_level level, const char *format, ...)
{
    if (!gfs_log_is_on(level)) {
        return;
    }
    int saved_errno = errno;
    char line[LOG_LINE_SIZE];
    size_t len = log_add_prefix(line, sizeof line, level);
    va_list args;
    va_start(args, format);
    int added = vsnprintf(line + len, sizeof line - len - 1, format, args);
    va_end(args);
    if (added > 0) {
        len = GFS_MIN(len + (size_t)added, sizeof line - 2);
    }
    for (size_t i = 0; i < len; i++) {
        /* One event, one line, even when a value was not quoted. */
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    line[len++] = '\n';
    for (size_t done = 0; done < len;) {
        ssize_t n = write(STDERR_FILENO, line + done, len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break; /* nowhere left to complain to */
        }
        done += (size_t)n;
    }
    errno = saved_errno;
}

/* Bytes that `byte` becomes, written to out (at most 4). */
static size_t log_escape(unsigned char byte, char out[4])
{
    static const char hex[] = "0123456789abcdef";
    if (byte == '"' || byte == '\\') {
        out[0] = '\\';
        out[1] = (char)byte;
        return 2;
    }
    if (byte >= ' ' && byte < 0x7f) {
        out[0] = (char)byte;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = hex[byte >> 4];
    out[3] = hex[byte & 15];
    return 4;
}

const char *gfs_log_quote(struct gfs_slice bytes, char *ret, size_t size)
{
    GFS_ASSERT(size >= sizeof "\"...\"");
    const size_t tail = sizeof "...\""; /* with its NUL */
    size_t len = 0;
    size_t cut_len = 1; /* where "..." goes if the rest does not fit */
    ret[len++] = '"';
    for (size_t i = 0; i < bytes.len; i++) {
        char escaped[4];
        size_t n = log_escape((unsigned char)bytes.ptr[i], escaped);
        if (len + n + 2 > size) {
            memcpy(ret + cut_len, "...\"", tail);
            return ret;
        }
        memcpy(ret + len, escaped, n);
        len += n;
        if (len + tail <= size) {
            cut_len = len;
        }
    }
    ret[len++] = '"';
    ret[len] = '\0';
    return ret;
}
