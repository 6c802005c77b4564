/* Waiting for work in the server: asks once a second, draws a bar for people. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/show.h"
#include "libgoodfs/mem.h"

enum { INTERVAL_MS = 500, WIDTH_DEFAULT = 80, WIDTH_MAX = 200, BAR_WIDTH_MIN = 10 };

/* How much is done, 0 to 1; negative: not known. */
static double fraction_of(const struct gfs_json *progress)
{
    static const char *const pairs[][2] = {{"done_bytes", "left_bytes"}, {"done", "left"}};
    double position = -1;
    for (size_t i = 0; i < GFS_COUNT(pairs); i++) {
        double done = 0, left = 0;
        if (gfs_json_number(gfs_json_get(progress, pairs[i][0]), &done) &&
            gfs_json_number(gfs_json_get(progress, pairs[i][1]), &left) && done + left > 0) {
            return done / (done + left);
        }
    }
    (void)gfs_json_number(gfs_json_get(progress, "position"), &position);
    return position;
}

void ctl_watch_bar(const struct gfs_json *progress, unsigned width, struct gfs_buf *out)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) tail;
    gfs_buf_init(&tail, 256);
    double fraction = fraction_of(progress), number = 0;
    if (fraction >= 0) {
        gfs_buf_printf(&tail, " %5.1f %%", 100 * GFS_MIN(fraction, 1.0));
    }
    if (gfs_json_number(gfs_json_get(progress, "rate"), &number)) {
        gfs_buf_add_char(&tail, ' ');
        show_bytes(&tail, number);
        gfs_buf_add_str(&tail, "/s");
    }
    gfs_buf_add_str(&tail, " ETA ");
    if (gfs_json_number(gfs_json_get(progress, "eta_s"), &number)) {
        show_seconds(&tail, number);
    } else {
        gfs_buf_add_char(&tail, '?');
    }
    if (width >= tail.len + 2 + BAR_WIDTH_MIN) {
        size_t cells = width - tail.len - 2;
        size_t full = fraction <= 0 ? 0 : (size_t)(GFS_MIN(fraction, 1.0) * (double)cells);
        gfs_buf_add_char(out, '[');
        for (size_t i = 0; i < cells; i++) {
            gfs_buf_add_char(out, i < full ? '#' : '.');
        }
        gfs_buf_add_char(out, ']');
    }
    gfs_buf_add_slice(out, gfs_buf_slice(&tail));
}

static unsigned terminal_width(void)
{
    struct winsize size = {0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return WIDTH_DEFAULT;
    }
    return GFS_MIN((unsigned)size.ws_col, (unsigned)WIDTH_MAX);
}

static void draw(const struct gfs_json *progress)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) line;
    gfs_buf_init(&line, 1024);
    ctl_watch_bar(progress, terminal_width() - 1, &line);
    (void)fprintf(stderr, "\r\033[K%s", line.ptr);
    (void)fflush(stderr);
}

enum ctl_status ctl_watch(struct ctl *ctl, const char *path, const char *name)
{
    bool has_bar = isatty(STDERR_FILENO) == 1;
    bool is_drawn = false;
    enum ctl_status status;
    for (;;) {
        status = ctl_send(ctl, &(struct ctl_request){.method = "GET", .path = path});
        const struct gfs_json *progress = gfs_json_get(ctl->value, name);
        const struct gfs_json *is_running = gfs_json_get(progress, "is_running");
        if (status != CTL_FINE || is_running == NULL ||
            gfs_json_type(is_running) != GFS_JSON_TRUE) {
            break;
        }
        if (has_bar) {
            draw(progress);
            is_drawn = true;
        }
        const struct timespec pause = {.tv_nsec = INTERVAL_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
    if (is_drawn) {
        (void)fprintf(stderr, "\r\033[K");
    }
    return status;
}
