/* Hostile and broken clients: what they send is refused, and what they hold is taken back. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http_server.h"
#include "libgoodfs/mem.h"
#include "tests/http/rig.h"

#define H "Host: a\r\n"
#define SMUGGLED "GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n"

static struct rig rig;

static void start(void)
{
    rig = (struct rig){.options = {.idle_timeout_s = 2, .header_timeout_s = 1}};
    rig_start(&rig);
}

static void stop(void)
{
    rig_stop(&rig);
}

TestSuite(http_abuse, .init = start, .fini = stop, .timeout = 60);

struct attack {
    const char *bytes;
    size_t len;
    const char *status, *code;
};
#define ATTACK(text, status, code)                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1, status, code                                                       \
    }

static void expect_refused(const struct attack *attack)
{
    int fd = rig_connect(&rig);
    rig_send_bytes(fd, attack->bytes, attack->len);
    const char *text = rig_rest(fd, NULL);
    cr_assert_eq(strncmp(text + 9, attack->status, 3), 0, "%s%s", attack->bytes, text);
    cr_assert_not_null(strstr(text, "Connection: close\r\n"));
    cr_assert_null(strstr(text + 1, "HTTP/1.1 "), "one reply only:\n%s", text);
    char code[64];
    (void)snprintf(code, sizeof code, "<Error><Code>%s</Code><Message>", attack->code);
    cr_assert_not_null(strstr(text, code), "%s%s", attack->bytes, text);
    cr_assert_not_null(strstr(text, "<RequestId>"));
    (void)close(fd);
}

Test(http_abuse, refuses_ambiguous_framing_and_never_runs_what_follows)
{
    static const struct attack attacks[] = {
        ATTACK("POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
               "0\r\n\r\n" SMUGGLED,
               "400", "InvalidRequest"),
        ATTACK("POST /echo HTTP/1.1\r\n" H
               "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello" SMUGGLED,
               "400", "InvalidRequest"),
        ATTACK("POST /echo HTTP/1.1\r\n" H
               "Content-Length: 0\r\nContent-Length: 24\r\n\r\n" SMUGGLED,
               "400", "InvalidRequest"),
        ATTACK("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SMUGGLED,
               "501", "NotImplemented"),
        ATTACK("POST /echo HTTP/1.1\r\n" H
               "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
               "501", "NotImplemented"),
        ATTACK("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n"
               "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
               "400", "InvalidRequest"),
        ATTACK("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n" SMUGGLED,
               "501", "NotImplemented"),
        ATTACK("POST /echo HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
               "400", "InvalidRequest"),
        ATTACK("POST /echo HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\nhello" SMUGGLED, "400",
               "InvalidRequest"),
        ATTACK("POST /echo HTTP/1.1\r\n" H "X-Amz-Ac: abc\r\n l\r\n\r\n" SMUGGLED, "400",
               "InvalidRequest"),
        ATTACK("POST /echo HTTP/1.1\r\n" H
               "Transfer-Enc: chunked\r\n oding\r\n\r\n0\r\n\r\n" SMUGGLED,
               "400", "InvalidRequest"),
        ATTACK("POST /echo HTTP/1.1\r\n" H "Content-Len: 5\r\n gth\r\n\r\nhello" SMUGGLED, "400",
               "InvalidRequest"),
        ATTACK("GET /bytes/1 HTTP/1.1\nHost: a\n\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET /bytes/1 HTTP/1.1\r\nHost: a\n\r\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET /bytes/1 HTTP/1.1\r\n" H "A: b\r\n\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET /bytes/1 HTTP/1.1\r\n" H "A: b\rc\r\n\r\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET /bytes/1 HTTP/1.1\r\n\r\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET /bytes/1 HTTP/1.1\r\n" H "Host: b\r\n\r\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET /bytes/1 HTTP/1.1\r\n" H "X-Amz-Date: 2020\0zz\r\n\r\n" SMUGGLED, "400",
               "InvalidRequest"),
        ATTACK("GET /bytes/1\0/2 HTTP/1.1\r\n" H "\r\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET  /bytes/1 HTTP/1.1\r\n" H "\r\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET /bytes/1  HTTP/1.1\r\n" H "\r\n" SMUGGLED, "400", "InvalidURI"),
        ATTACK("GET /bytes/1 x HTTP/1.1\r\n" H "\r\n" SMUGGLED, "400", "InvalidURI"),
        ATTACK("GET http://evil/a HTTP/1.1\r\n" H "\r\n" SMUGGLED, "400", "InvalidURI"),
        ATTACK("GET * HTTP/1.1\r\n" H "\r\n" SMUGGLED, "400", "InvalidURI"),
        ATTACK("G@T /bytes/1 HTTP/1.1\r\n" H "\r\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET /bytes/1 HTTP/1.1\r\n" H "X\x01y: 1\r\n\r\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET /bytes/1 HTTP/1.1\r\n X: 1\r\n" H "\r\n" SMUGGLED, "400", "InvalidRequest"),
        ATTACK("GET /bytes/1 HTTP/1.1\r\n" H "Expect: a-miracle\r\n\r\n" SMUGGLED, "400",
               "InvalidRequest"),
    };
    for (size_t i = 0; i < GFS_COUNT(attacks); i++) {
        expect_refused(&attacks[i]);
    }
    cr_assert_eq(rig.counts->begun, 0u, "nothing was executed");
    struct http_server_stats stats;
    http_server_stats(rig.server, &stats);
    cr_assert_eq(stats.refused_framing, (unsigned)GFS_COUNT(attacks));
}

/* What the library refuses by itself, with pages of its own that it does not let us change. */
Test(http_abuse, closes_on_what_the_library_refuses_before_us)
{
    static const char *const attacks[] = {
        "POST /echo HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\nhello" SMUGGLED,
        "POST /echo HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\nhello" SMUGGLED,
        "POST /echo HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\nhello" SMUGGLED,
        "GET /bytes/1 HTTP/2.0\r\n" H "\r\n" SMUGGLED,
        "GET /bytes/1 HTTP/1.1x\r\n" H "\r\n" SMUGGLED,
        "GET /bytes/1\r\n" SMUGGLED,
        "GET /bytes/1 HTTP/1.1\r\nno colon\r\n\r\n" SMUGGLED,
    };
    for (size_t i = 0; i < GFS_COUNT(attacks); i++) {
        int fd = rig_connect(&rig);
        rig_send(fd, attacks[i]);
        const char *text = rig_rest(fd, NULL);
        cr_assert(text[9] == '4' || text[9] == '5', "%s%s", attacks[i], text);
        cr_assert_null(strstr(text, " 200 "), "%s%s", attacks[i], text);
        (void)close(fd);
    }
    cr_assert_eq(rig.counts->begun, 0u);
}

Test(http_abuse, breaks_off_malformed_chunks)
{
    static const char *const bodies[] = {"zz\r\n", "-1\r\nx\r\n", "5\r\nhelloX\r\n",
                                         "FFFFFFFFFFFFFFFFFF\r\n", "\r\n"};
    for (size_t i = 0; i < GFS_COUNT(bodies); i++) {
        int fd = rig_connect(&rig);
        rig_send(fd, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
        rig_send(fd, bodies[i]);
        rig_send(fd, SMUGGLED);
        const char *text = rig_rest(fd, NULL);
        cr_assert_eq(text[9], '4', "%s", bodies[i]);
        cr_assert_null(strstr(text, " 200 "));
        (void)close(fd);
    }
    rig_wait(&rig.counts->closed, (unsigned)GFS_COUNT(bodies));
    cr_assert_eq(rig.counts->ended, 0u);
    cr_assert_eq(rig.counts->aborted, (unsigned)GFS_COUNT(bodies));
}

Test(http_abuse, serves_targets_that_only_look_dangerous_untouched)
{
    static const char *const targets[] = {"/bytes/1/k%00/../x", "/bytes/1/a%2f..%2f..%2fetc",
                                          "/bytes/1?x=a+b%2Bc&x=d&y", "/bytes/1//\xc3\xa4/"};
    for (size_t i = 0; i < GFS_COUNT(targets); i++) {
        char text[128];
        int fd = rig_connect(&rig);
        (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" H "\r\n", targets[i]);
        rig_send(fd, text);
        cr_assert_str_eq(rig_body(rig_reply(fd, false)), "a");
        (void)close(fd);
    }
}

/* A head of `count` headers with values of `len` bytes. */
static char *head_of(int count, int len)
{
    size_t size = (size_t)count * (size_t)(len + 16) + 128;
    char *text = gfs_alloc(size);
    size_t at = (size_t)snprintf(text, size, "GET /bytes/1 HTTP/1.1\r\n" H);
    for (int i = 0; i < count; i++) {
        at += (size_t)snprintf(text + at, size - at, "x-%d: %0*d\r\n", i, len, 0);
    }
    (void)snprintf(text + at, size - at, "\r\n");
    return text;
}

Test(http_abuse, takes_heads_up_to_its_limits_and_refuses_larger_ones)
{
    static const struct {
        int count, len;
        const char *status;
    } heads[] = {{199, 1, "200"},   {199, 140, "200"}, {1, 32000, "200"},  {200, 1, "431"},
                 {1, 33000, "431"}, {199, 300, "431"}, {1, 200000, "431"}, {5000, 1, "431"}};
    for (size_t i = 0; i < GFS_COUNT(heads); i++) {
        GFS_FREE char *text = head_of(heads[i].count, heads[i].len);
        int fd = rig_connect(&rig);
        (void)rig_try_send(fd, text, strlen(text));
        const char *reply = rig_reply(fd, false);
        cr_assert_eq(strncmp(reply + 9, heads[i].status, 3), 0, "%zu: %s", i, reply);
        (void)close(fd);
    }
}

Test(http_abuse, ends_connections_whose_head_does_not_come)
{
    static const char *const parts[] = {"G", "GET /bytes/1 HTTP/1.1\r\n",
                                        "GET /bytes/1 HTTP/1.1\r\nHost: a\r\nX: "};
    int fds[GFS_COUNT(parts)];
    for (size_t i = 0; i < GFS_COUNT(parts); i++) {
        fds[i] = rig_connect(&rig);
        if (i == 1) {
            rig_send(fds[i], SMUGGLED);
            (void)rig_reply(fds[i], false); /* a good request first does not buy time */
        }
        rig_send(fds[i], parts[i]);
    }
    for (size_t i = 0; i < GFS_COUNT(parts); i++) {
        rig_expect_end(fds[i]);
        (void)close(fds[i]);
    }
    struct http_server_stats stats;
    http_server_stats(rig.server, &stats);
    cr_assert_eq(stats.timeouts, (unsigned)GFS_COUNT(parts));
}

Test(http_abuse, ends_idle_connections_and_bodies_and_readers_that_stopped)
{
    int idle = rig_connect(&rig);
    int body = rig_connect(&rig);
    int reader = rig_connect(&rig);
    int held = rig_connect(&rig);
    rig_send(idle, SMUGGLED);
    (void)rig_reply(idle, false);
    rig_send(body, "PUT /echo HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\nabc");
    rig_send(reader, "GET /stream/900000000 HTTP/1.1\r\n" H "\r\n");
    rig_send(held, "GET /hold HTTP/1.1\r\n" H "\r\n");
    rig_expect_end(idle);
    rig_expect_end(body);
    rig_wait(&rig.counts->closed, 3); /* idle's, body's, reader's */
    cr_assert_eq(rig.counts->aborted, 2u);
    cr_assert_eq(rig.counts->closed, 3u, "who waits for us has not timed out");
    rig_expect_silence(held);
    (void)close(idle);
    (void)close(body);
    (void)close(reader);
    (void)close(held);
}
