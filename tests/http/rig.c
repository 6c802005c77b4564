#include "tests/http/rig.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"

enum { RIG_WAIT_MS = 10000, RIG_SIZE = 4 * 1024 * 1024 };

static char *rig_buffer;

void rig_start(struct rig *rig)
{
    static const char *const loopback[] = {"127.0.0.1:0", NULL};
    struct gfs_error error;
    gfs_log_set_level(GFS_LOG_ERROR);
    rig->toy = toy_new();
    rig->counts = toy_counts(rig->toy);
    if (rig->options.listen == NULL) {
        rig->options.listen = loopback;
    }
    if (rig->options.loop_count == 0) {
        rig->options.loop_count = 1;
    }
    if (rig->options.connection_max == 0) {
        rig->options.connection_max = 1000;
    }
    rig->options.handler = toy_handler(rig->toy);
    enum gfs_err err = http_server_start(&rig->options, &rig->server, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
    rig->port = http_server_port(rig->server, 0);
}

void rig_stop(struct rig *rig)
{
    (void)http_server_stop(rig->server, 2000, 60000);
    cr_assert_eq(rig->counts->closed, rig->counts->begun);
    toy_free(rig->toy);
    free(rig_buffer);
    rig_buffer = NULL;
}

int rig_connect(const struct rig *rig)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(rig->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&in, sizeof in), 0, "%s", strerror(errno));
    return fd;
}

bool rig_try_send(int fd, const void *ptr, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)ptr + done, len - done, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

void rig_send_bytes(int fd, const void *ptr, size_t len)
{
    cr_assert(rig_try_send(fd, ptr, len));
}

void rig_send(int fd, const char *text)
{
    rig_send_bytes(fd, text, strlen(text));
}

static char *buffer(void)
{
    if (rig_buffer == NULL) {
        rig_buffer = gfs_alloc(RIG_SIZE);
    }
    return rig_buffer;
}

/* Bytes read, 0 at the end; -1 when the connection broke. */
static ssize_t receive(int fd, char *ptr, size_t len)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&poll_fd, 1, RIG_WAIT_MS), 1, "nothing came for 10 s");
    return recv(fd, ptr, len, 0);
}

static size_t content_length(const char *head)
{
    const char *line = strstr(head, "Content-Length: ");
    return line == NULL ? 0 : strtoul(line + sizeof "Content-Length: " - 1, NULL, 10);
}

const char *rig_reply(int fd, bool is_head)
{
    char *text = buffer();
    size_t len = 0;
    const char *end = NULL;
    while (end == NULL) {
        /* One byte at a time: a pipelined reply behind this one stays in the socket. */
        cr_assert_eq(receive(fd, text + len, 1), 1, "the connection ended within a head");
        text[++len] = '\0';
        end = len >= 4 && memcmp(text + len - 4, "\r\n\r\n", 4) == 0 ? text + len : NULL;
    }
    size_t rest = is_head ? 0 : content_length(text);
    cr_assert_lt(len + rest, (size_t)RIG_SIZE);
    while (rest != 0) {
        ssize_t n = receive(fd, text + len, rest);
        cr_assert_gt(n, 0, "the connection ended within a body");
        len += (size_t)n;
        rest -= (size_t)n;
        text[len] = '\0';
    }
    return text;
}

const char *rig_body(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n");
    cr_assert_not_null(end);
    return end + 4;
}

const char *rig_rest(int fd, size_t *ret_len)
{
    char *text = buffer();
    size_t len = 0;
    for (;;) {
        ssize_t n = receive(fd, text + len, RIG_SIZE - len - 1);
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    text[len] = '\0';
    if (ret_len != NULL) {
        *ret_len = len;
    }
    return text;
}

void rig_expect_end(int fd)
{
    cr_assert_str_empty(rig_rest(fd, NULL));
}

void rig_expect_silence(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&poll_fd, 1, 100), 0, "something came");
}

void rig_wait(atomic_uint *count, unsigned wanted)
{
    int64_t deadline_ns = gfs_monotonic_ns() + RIG_WAIT_MS * INT64_C(1000000);
    while (atomic_load(count) < wanted) {
        cr_assert_lt(gfs_monotonic_ns(), deadline_ns, "waited 10 s for %u, at %u", wanted,
                     atomic_load(count));
        (void)poll(NULL, 0, 1);
    }
}
