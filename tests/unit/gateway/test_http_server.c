#include "gateway/http_server.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libgoodfs/mem.h"
#include "tests/http/rig.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static struct rig rig;

static void start(void)
{
    rig = (struct rig){0};
    rig_start(&rig);
}

static void stop(void)
{
    rig_stop(&rig);
}

static bool has_status(const char *reply, const char *status)
{
    return strncmp(reply, "HTTP/1.1 ", 9) == 0 && strncmp(reply + 9, status, 3) == 0;
}

static void expect_pattern(const char *body, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        cr_assert_eq(body[i], (char)('a' + i % 23), "byte %zu", i);
    }
    cr_assert_eq(body[len], '\0');
}

/* The connection still serves a request. */
static void expect_alive(int fd)
{
    rig_send(fd, GET("/bytes/3"));
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "abc");
}

TestSuite(http_server, .init = start, .fini = stop, .timeout = 60);

Test(http_server, keeps_a_connection_for_many_requests)
{
    int fd = rig_connect(&rig);
    for (unsigned i = 1; i <= 50; i++) {
        expect_alive(fd);
        rig_wait(&rig.counts->closed, i);
    }
    struct http_server_stats stats;
    http_server_stats(rig.server, &stats);
    cr_assert_eq(stats.connections_accepted, 1u);
    cr_assert_eq(stats.requests, 50u);
    cr_assert_eq(stats.suspended, 0u, "an inline reply must not leave the fast path");
    cr_assert_eq(rig.counts->aborted, 0u);
    (void)close(fd);
}

Test(http_server, answers_pipelined_requests_in_order)
{
    int fd = rig_connect(&rig);
    rig_send(fd, GET("/bytes/1") GET("/async")
                     GET("/stream/2") "PUT /echo HTTP/1.1\r\nHost: h\r\n"
                                      "Content-Length: 2\r\n\r\n\x01\x02" GET("/bytes/4"));
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "a");
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "async");
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "ab");
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "2 3");
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "abcd");
    (void)close(fd);
}

Test(http_server, takes_a_request_one_byte_at_a_time)
{
    int fd = rig_connect(&rig);
    const char *text = "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
                       "PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "2;ext=1\r\nab\r\n1\r\nc\r\n0\r\nTrailer: x\r\n\r\n";
    for (const char *at = text; *at != '\0'; at++) {
        rig_send_bytes(fd, at, 1);
    }
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "3 294");
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "3 294");
    expect_alive(fd);
    (void)close(fd);
}

Test(http_server, sends_streams_of_every_size_whole)
{
    static const unsigned sizes[] = {0,     1,      23,     65535,   65536,  65537,
                                     99999, 262144, 262145, 1000003, 3000000};
    int fd = rig_connect(&rig);
    for (size_t i = 0; i < GFS_COUNT(sizes); i++) {
        char text[96];
        (void)snprintf(text, sizeof text, "GET /stream/%u HTTP/1.1\r\nHost: h\r\n\r\n", sizes[i]);
        rig_send(fd, text);
        expect_pattern(rig_body(rig_reply(fd, false)), sizes[i]);
    }
    (void)close(fd);
}

Test(http_server, waits_for_streams_that_are_not_ready)
{
    int fd = rig_connect(&rig);
    rig_send(fd, GET("/trickle/30") GET("/trickle/2000000") GET("/trickle/65536"));
    expect_pattern(rig_body(rig_reply(fd, false)), 30);
    expect_pattern(rig_body(rig_reply(fd, false)), 2000000);
    expect_pattern(rig_body(rig_reply(fd, false)), 65536);
    struct http_server_stats stats;
    http_server_stats(rig.server, &stats);
    cr_assert_gt(stats.suspended, 5u);
    (void)close(fd);
}

Test(http_server, breaks_a_transfer_that_gives_up_so_the_client_sees_it)
{
    static const char *const paths[] = {GET("/fail/1000000"), GET("/fail/1000")};
    for (size_t i = 0; i < GFS_COUNT(paths); i++) {
        int fd = rig_connect(&rig);
        size_t len = 0;
        rig_send(fd, paths[i]);
        const char *text = rig_rest(fd, &len);
        cr_assert_lt(len, 990000u);
        cr_assert_eq(i == 1, len == 0, "a small stream breaks before its head: %s", text);
        rig_wait(&rig.counts->aborted, (unsigned)i + 1);
        (void)close(fd);
    }
}

Test(http_server, sends_heads_without_bodies)
{
    int fd = rig_connect(&rig);
    rig_send(fd, "HEAD /length/987654321987 HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_not_null(strstr(rig_reply(fd, true), "Content-Length: 987654321987\r\n"));
    rig_send(fd, "HEAD /bytes/10 HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_not_null(strstr(rig_reply(fd, true), "Content-Length: 10\r\n"));
    rig_send(fd, "HEAD /stream/500000 HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_not_null(strstr(rig_reply(fd, true), "Content-Length: 500000\r\n"));
    rig_send(fd, GET("/status/204"));
    const char *reply = rig_reply(fd, true);
    cr_assert(has_status(reply, "204"));
    cr_assert_null(strstr(reply, "Content-Length"));
    rig_send(fd, GET("/status/304"));
    cr_assert(has_status(rig_reply(fd, true), "304"));
    rig_send(fd, GET("/status/404"));
    cr_assert_not_null(strstr(rig_reply(fd, false), "Content-Length: 0\r\n"));
    expect_alive(fd);
    (void)close(fd);
}

Test(http_server, never_lets_a_reply_header_start_another)
{
    int fd = rig_connect(&rig);
    rig_send(fd, GET("/stream/1"));
    const char *reply = rig_reply(fd, false);
    cr_assert_null(strstr(reply, "Injected"));
    cr_assert_not_null(strstr(reply, "x-amz-meta-empty:"));
    cr_assert_not_null(strstr(reply, "Date: "));
    cr_assert_eq(strstr(strstr(reply, "Content-Length") + 1, "Content-Length"), NULL);
    (void)close(fd);
}

Test(http_server, takes_large_bodies_in_both_framings)
{
    enum { LEN = 1000000 };
    char *body = malloc(LEN);
    memset(body, 1, LEN);
    int fd = rig_connect(&rig);
    rig_send(fd, "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    rig_send_bytes(fd, body, LEN);
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "1000000 1000000");
    rig_send(fd, "PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        rig_send(fd, "186A0\r\n");
        rig_send_bytes(fd, body, 100000);
        rig_send(fd, "\r\n");
    }
    rig_send(fd, "0\r\n\r\n");
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "1000000 1000000");
    free(body);
    (void)close(fd);
}

Test(http_server, pauses_a_body_until_it_is_resumed)
{
    enum { LEN = 300000 };
    char *body = malloc(LEN);
    memset(body, 2, LEN);
    int fd = rig_connect(&rig);
    rig_send(fd, "PUT /pause HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n");
    rig_send_bytes(fd, body, LEN);
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "300000 600000");
    rig_send(fd, "PUT /pause HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3A98\r\n");
    rig_send_bytes(fd, body, 15000);
    rig_send(fd, "\r\n0\r\n\r\n");
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "15000 30000");
    expect_alive(fd);
    free(body);
    (void)close(fd);
}

Test(http_server, asks_for_a_body_only_when_it_wants_it)
{
    int fd = rig_connect(&rig);
    rig_send(fd, "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
                 "Expect: 100-continue\r\n\r\n");
    cr_assert(has_status(rig_reply(fd, true), "100"));
    rig_send(fd, "abc");
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "3 294");
    rig_send(fd, "PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
                 "Expect: 100-continue\r\n\r\n");
    const char *reply = rig_reply(fd, false);
    cr_assert(has_status(reply, "403"), "%s", reply);
    cr_assert_not_null(strstr(reply, "Connection: close\r\n"));
    rig_expect_end(fd);
    (void)close(fd);
}

Test(http_server, drains_a_small_refused_body_and_keeps_the_connection)
{
    static const char body[65536] = {0};
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /refuse HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert(has_status(rig_reply(fd, false), "403"));
    rig_send(fd, "PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n");
    rig_send_bytes(fd, body, sizeof body);
    cr_assert(has_status(rig_reply(fd, false), "403"));
    rig_send(fd, "PUT /middle HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n");
    rig_send_bytes(fd, body, sizeof body);
    cr_assert(has_status(rig_reply(fd, false), "403"));
    expect_alive(fd);
    cr_assert_eq(rig.counts->bodies, 1u, "no body call after the reply");
    rig_wait(&rig.counts->closed, 4);
    cr_assert_eq(rig.counts->aborted, 0u);
    (void)close(fd);
}

/* A refusal must reach a client that goes on sending. It never sends all: a body that was read
 * whole before the refusal leaves the connection open. */
static void expect_cut(const char *head)
{
    static const char block[65536] = {0};
    int fd = rig_connect(&rig);
    rig_send(fd, head);
    for (int i = 0; i < 32 && rig_try_send(fd, block, sizeof block); i++) {
    }
    const char *text = rig_rest(fd, NULL);
    cr_assert(has_status(text, "403"), "%s", text);
    cr_assert_not_null(strstr(text, "Connection: close\r\n"));
    cr_assert_null(strstr(text + 1, "HTTP/1.1"), "one reply only");
    (void)close(fd);
}

Test(http_server, refuses_a_large_body_while_it_is_sent)
{
    expect_cut("PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n");
    expect_cut("PUT /middle HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n");
    expect_cut("PUT /middle-async HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n");
    rig_wait(&rig.counts->closed, 3);
    cr_assert_eq(rig.counts->aborted, 0u);
}

Test(http_server, refuses_an_endless_chunked_body)
{
    int fd = rig_connect(&rig);
    rig_send(fd, "PUT /refuse HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "5\r\nhello\r\n");
    cr_assert(has_status(rig_rest(fd, NULL), "403"));
    (void)close(fd);
}

Test(http_server, answers_http_1_0_and_closes)
{
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /bytes/3 HTTP/1.0\r\n\r\n");
    const char *text = rig_rest(fd, NULL);
    cr_assert(has_status(text, "200"));
    cr_assert_str_eq(rig_body(text), "abc");
    (void)close(fd);
}

Test(http_server, closes_when_the_client_says_so)
{
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /bytes/3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET("/bytes/1"));
    cr_assert_str_eq(rig_body(rig_rest(fd, NULL)), "abc");
    cr_assert_eq(rig.counts->begun, 1u);
    (void)close(fd);
}

Test(http_server, answers_a_client_that_closed_its_sending_side)
{
    int fd = rig_connect(&rig);
    rig_send(fd, GET("/async"));
    (void)shutdown(fd, SHUT_WR);
    cr_assert_str_eq(rig_body(rig_rest(fd, NULL)), "async");
    (void)close(fd);
}

/* Resets the connection at once instead of closing it in order. */
static void vanish(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    (void)close(fd);
}

Test(http_server, closes_the_exchange_once_when_the_client_vanishes_in_any_state)
{
    static const char *const states[] = {
        "GET /bytes/3 HTTP/1.1\r\nHost",                                        /* head */
        "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab",         /* body */
        "PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5", /* chunk */
        GET("/hold"),                                                           /* waiting */
        GET("/stream/900000000"),                                               /* sending */
        "PUT /middle HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\nab",  /* lingering */
    };
    unsigned begun = 0;
    for (size_t i = 0; i < GFS_COUNT(states); i++) {
        int fd = rig_connect(&rig);
        rig_send(fd, states[i]);
        begun += i != 0;
        rig_wait(&rig.counts->begun, begun);
        if (i == 5) {
            (void)rig_reply(fd, false); /* the refusal is there: not aborted */
        }
        vanish(fd);
        rig_wait(&rig.counts->closed, begun);
    }
    cr_assert_eq(rig.counts->begun, 5u);
    cr_assert_eq(rig.counts->closed, 5u);
    cr_assert_eq(rig.counts->aborted, 4u);
}

Test(http_server, serves_many_connections_at_once)
{
    enum { COUNT = 500 };
    int fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = rig_connect(&rig);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            rig_send(fds[i], i % 2 == 0 ? GET("/bytes/5") : GET("/async"));
        }
        for (int i = 0; i < COUNT; i++) {
            cr_assert_str_eq(rig_body(rig_reply(fds[i], false)), i % 2 == 0 ? "abcde" : "async");
        }
    }
    struct http_server_stats stats;
    http_server_stats(rig.server, &stats);
    cr_assert_eq(stats.connections_open, (unsigned)COUNT);
    for (int i = 0; i < COUNT; i++) {
        (void)close(fds[i]);
    }
}

static int task_runs;
static void count_task(struct http_task *task)
{
    (void)task;
    task_runs++;
}

Test(http_server, closes_every_exchange_when_it_stops)
{
    int held = rig_connect(&rig);
    int idle = rig_connect(&rig);
    int busy = rig_connect(&rig);
    rig_send(held, GET("/hold"));
    rig_send(busy, "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    rig_wait(&rig.counts->begun, 2);
    cr_expect(http_server_stop(rig.server, 50, 10000));
    cr_assert_eq(rig.counts->closed, 2u);
    cr_assert_eq(rig.counts->aborted, 2u);
    rig_expect_end(held);
    rig_expect_end(idle);
    rig_expect_end(busy);
    (void)close(held);
    (void)close(idle);
    (void)close(busy);
    toy_free(rig.toy);
    start(); /* for the suite's end */
}

/* ---- without the suite's server ---- */

static bool is_never_idle(void *arg)
{
    (void)arg;
    return false;
}

Test(http_server_options, work_that_hangs_is_given_up_and_the_server_stays)
{
    static struct http_server *left; /* until the process ends */
    struct toy *toy = toy_new();
    struct http_server_options options = {.listen = (const char *const[]){"127.0.0.1:0", NULL},
                                          .loop_count = 2,
                                          .connection_max = 10,
                                          .handler = toy_handler(toy)};
    options.handler.is_idle = is_never_idle;
    cr_assert_eq(http_server_start(&options, &left, NULL), GFS_OK);
    cr_expect(!http_server_stop(left, 0, 20));
    struct http_server_stats stats;
    http_server_stats(left, &stats);
    cr_expect_eq(stats.connections_open, 0u);
    toy_free(toy);
}

Test(http_server_options, waits_at_the_connection_limit_and_goes_on_below_it)
{
    struct rig small = {.options = {.connection_max = 2, .loop_count = 2}};
    rig_start(&small);
    int first = rig_connect(&small);
    int second = rig_connect(&small);
    rig_send(first, GET("/bytes/1"));
    rig_send(second, GET("/bytes/1"));
    (void)rig_reply(first, false);
    (void)rig_reply(second, false);
    int third = rig_connect(&small);
    rig_send(third, GET("/bytes/2"));
    rig_expect_silence(third);
    (void)close(first);
    cr_assert_str_eq(rig_body(rig_reply(third, false)), "ab");
    (void)close(second);
    (void)close(third);
    rig_stop(&small);
}

Test(http_server_options, serves_ipv6_beside_ipv4)
{
    static const char *const both[] = {"127.0.0.1:0", "[::1]:0", NULL};
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (probe < 0 || bind(probe, (struct sockaddr *)&in6, sizeof in6) != 0) {
        cr_skip_test("no IPv6 here");
    }
    (void)close(probe);
    struct rig dual = {.options = {.listen = both}};
    rig_start(&dual);
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    in6.sin6_port = htons(http_server_port(dual.server, 1));
    cr_assert_eq(connect(fd, (struct sockaddr *)&in6, sizeof in6), 0);
    rig_send(fd, GET("/bytes/3"));
    cr_assert_str_eq(rig_body(rig_reply(fd, false)), "abc");
    int fd4 = rig_connect(&dual);
    rig_send(fd4, GET("/bytes/3"));
    cr_assert_str_eq(rig_body(rig_reply(fd4, false)), "abc");
    (void)close(fd);
    (void)close(fd4);
    rig_stop(&dual);
}

static const char *refused_listen(const char *address)
{
    static struct gfs_error error;
    const char *listen[] = {address, NULL};
    struct toy *toy = toy_new();
    struct http_server *server = NULL;
    struct http_server_options options = {
        .listen = listen, .loop_count = 1, .connection_max = 1, .handler = toy_handler(toy)};
    cr_assert_neq(http_server_start(&options, &server, &error), GFS_OK);
    toy_free(toy);
    return error.text;
}

Test(http_server_options, says_which_address_it_cannot_serve)
{
    cr_assert_not_null(strstr(refused_listen("127.0.0.1"), "not HOST:PORT"));
    cr_assert_not_null(strstr(refused_listen("::1:80"), "not HOST:PORT"));
    cr_assert_not_null(strstr(refused_listen("127.0.0.1:"), "not HOST:PORT"));
    cr_assert_not_null(strstr(refused_listen("127.0.0.1:http"), "listen 127.0.0.1:http"));
    struct rig taken = {0};
    char address[32];
    rig_start(&taken);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)taken.port);
    cr_assert_not_null(strstr(refused_listen(address), "Address already in use"));
    rig_stop(&taken);
}

Test(http_server_options, runs_tasks_posted_from_anywhere)
{
    enum { COUNT = 1000 };
    static struct http_task tasks[COUNT];
    struct rig posted = {0};
    rig_start(&posted);
    struct http_loop *loop = NULL;
    int fd = rig_connect(&posted);
    rig_send(fd, GET("/bytes/1"));
    (void)rig_reply(fd, false);
    loop = toy_last_loop(posted.toy);
    for (int i = 0; i < COUNT; i++) {
        tasks[i].fn = count_task;
        http_post(loop, &tasks[i]);
    }
    (void)close(fd);
    rig_stop(&posted);
    cr_assert_eq(task_runs, (int)COUNT, "all that were posted before stop returned");
}
