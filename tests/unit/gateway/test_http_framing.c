#include "gateway/http_framing.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"

/* "a: b\r\n" lines in the form in which the library leaves them. */
static size_t mangle(const char *lines, char *ret)
{
    size_t len = strlen(lines);
    memcpy(ret, lines, len);
    bool is_name = true;
    for (size_t i = 0; i < len; i++) {
        if (ret[i] == '\r' && i + 1 < len && ret[i + 1] == '\n') {
            ret[i] = '\0';
        } else if (ret[i] == '\n') {
            ret[i] = '\0';
            is_name = true;
        } else if (ret[i] == ':' && is_name) {
            ret[i] = '\0';
            is_name = false;
        }
    }
    return len;
}

/* Splits and judges a whole request head. */
static struct http_refusal judge(const char *method, const char *target, bool is_http_1_0,
                                 const char *lines, struct http_request *ret)
{
    static char text[128 * 1024];
    static struct http_header headers[GFS_HEADER_COUNT_MAX];
    struct http_head head = {.method = gfs_slice_str(method),
                             .target = gfs_slice_str(target),
                             .is_http_1_0 = is_http_1_0,
                             .headers = headers,
                             .len = strlen(method) + strlen(target) + strlen(lines) + 12};
    *ret = (struct http_request){0};
    size_t len = mangle(lines, text);
    enum gfs_err err =
        http_framing_split(text, len, headers, GFS_HEADER_COUNT_MAX, &head.header_count);
    if (err != GFS_OK) {
        return (struct http_refusal){
            err == GFS_TOO_BIG ? S3_RequestHeaderSectionTooLarge : S3_InvalidRequest, "split"};
    }
    return http_framing_check(&head, ret);
}

static enum s3_err verdict(const char *lines)
{
    struct http_request request;
    return judge("PUT", "/b/k", false, lines, &request).err;
}

#define HOST "Host: h\r\n"
#define END "\r\n"

Test(http_framing, takes_a_plain_request_apart)
{
    struct http_request request;
    struct http_refusal refusal = judge(
        "PUT", "/b/k%20?a=1&b?c", false,
        HOST "Content-Length: 12\r\nX-Amz-Meta-A:\t two  words \t\r\nEmpty:\r\nExpect: 100-Continue"
             "\r\n" END,
        &request);
    cr_assert_eq(refusal.err, S3_OK, "%s", refusal.message);
    cr_assert_eq(request.method, HTTP_PUT);
    cr_assert(gfs_slice_eq_str(request.raw_path, "/b/k%20"));
    cr_assert(gfs_slice_eq_str(request.raw_query, "a=1&b?c"));
    cr_assert_eq(request.header_count, 5u);
    cr_assert(gfs_slice_eq_str(request.headers[2].name, "x-amz-meta-a"));
    cr_assert(gfs_slice_eq_str(request.headers[2].value, "two  words"));
    cr_assert_eq(request.headers[3].value.len, 0u);
    cr_assert(request.has_content_length);
    cr_assert_eq(request.content_length, 12u);
    cr_assert(request.expects_continue);
    cr_assert_not(request.is_chunked);
}

Test(http_framing, knows_the_methods_and_leaves_others_to_the_router)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "get"};
    for (int i = 0; i < 7; i++) {
        struct http_request request;
        cr_assert_eq(judge(names[i], "/", false, HOST END, &request).err, S3_OK);
        cr_assert_eq((int)request.method, i);
    }
}

Test(http_framing, takes_chunked_in_any_case_and_nothing_else)
{
    struct http_request request;
    cr_assert_eq(judge("PUT", "/", false, HOST "Transfer-Encoding: Chunked\r\n" END, &request).err,
                 S3_OK);
    cr_assert(request.is_chunked);
    static const char *const bad[] = {
        "xchunked", "gzip, chunked", "chunked, chunked", "identity",   "",
        "chunked ", "chunked\t",     "\"chunked\"",      "chunked;a=b"};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        char lines[128];
        (void)snprintf(lines, sizeof lines, HOST "Transfer-Encoding: %s\r\n" END, bad[i]);
        cr_assert_eq(verdict(lines), S3_NotImplemented, "%s", bad[i]);
    }
}

Test(http_framing, refuses_two_ways_to_end_a_body)
{
    struct http_request request;
    cr_assert_eq(verdict(HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END),
                 S3_InvalidRequest);
    cr_assert_eq(verdict(HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END),
                 S3_InvalidRequest);
    cr_assert_eq(verdict(HOST "Content-Length: 5\r\nContent-Length: 5\r\n" END), S3_InvalidRequest);
    cr_assert_eq(judge("PUT", "/", true, "Transfer-Encoding: chunked\r\n" END, &request).err,
                 S3_InvalidRequest);
}

Test(http_framing, refuses_lengths_that_are_not_plain_digits)
{
    static const char *const bad[] = {"",
                                      "+5",
                                      "-1",
                                      "5, 5",
                                      "0x5",
                                      "5 ",
                                      "5.0",
                                      "５",
                                      "9223372036854775808",
                                      "18446744073709551617",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        char lines[128];
        (void)snprintf(lines, sizeof lines, HOST "Content-Length: %s\r\n" END, bad[i]);
        cr_assert_eq(verdict(lines), S3_InvalidRequest, "%s", bad[i]);
    }
    struct http_request request;
    cr_assert_eq(
        judge("PUT", "/", false, HOST "Content-Length: 0009223372036854775807\r\n" END, &request)
            .err,
        S3_OK);
    cr_assert_eq(request.content_length, (uint64_t)INT64_MAX);
}

Test(http_framing, refuses_repeated_single_headers_and_allows_repeated_lists)
{
    static const char *const single[] = {
        "Host",  "Authorization", "Content-Type",      "x-amz-date",  "X-Amz-Content-Sha256",
        "Range", "Date",          "x-amz-copy-source", "content-md5", "expect"};
    for (size_t i = 0; i < GFS_COUNT(single); i++) {
        char lines[256];
        (void)snprintf(lines, sizeof lines, "Host: h\r\n%s: 1\r\nA: b\r\n%s: 1\r\n\r\n", single[i],
                       single[i]);
        cr_assert_eq(verdict(lines), S3_InvalidRequest, "%s", single[i]);
    }
    cr_assert_eq(verdict(HOST "If-Match: \"a\"\r\nIf-Match: \"b\"\r\nx-amz-meta-a: 1\r\n"
                              "x-amz-meta-a: 2\r\nCookie: a\r\nCookie: b\r\n" END),
                 S3_OK);
}

Test(http_framing, needs_a_host_on_http_1_1_only)
{
    struct http_request request;
    cr_assert_eq(verdict("A: b\r\n" END), S3_InvalidRequest);
    cr_assert_eq(verdict(END), S3_InvalidRequest);
    cr_assert_eq(judge("GET", "/", true, "A: b\r\n" END, &request).err, S3_OK);
    cr_assert(request.is_http_1_0);
}

Test(http_framing, refuses_names_that_are_not_tokens_and_control_bytes_in_values)
{
    static const char *const bad[] = {
        HOST "X y: 1\r\n" END,  HOST "X\x01y: 1\r\n" END,   HOST "X : 1\r\n" END,
        HOST "X(: 1\r\n" END,   HOST "\xc3\xa4: 1\r\n" END, HOST "A: \x01\r\n" END,
        HOST "A: \x7f\r\n" END, HOST "A: b\rc\r\n" END,     HOST ": 1\r\n" END,
    };
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert_eq(verdict(bad[i]), S3_InvalidRequest, "%s", bad[i]);
    }
    cr_assert_eq(verdict(HOST "A: \xc3\xa4\tb\r\n" END), S3_OK);
}

Test(http_framing, sees_folds_bare_line_feeds_and_nul_bytes)
{
    cr_assert_eq(verdict(HOST "A: b\r\n c\r\n" END), S3_InvalidRequest);
    cr_assert_eq(verdict(HOST "A: b\r\n\tc: d\r\n" END), S3_InvalidRequest);
    cr_assert_eq(verdict("Host: h\nA: b\r\n" END), S3_InvalidRequest);
    cr_assert_eq(verdict(HOST "A: b\n" END), S3_InvalidRequest);
    cr_assert_eq(verdict(HOST "A: b\r\n\n"), S3_InvalidRequest);
    char nul_value[] = "host\0h\0\0a\0b\0c\0\0\0\0";
    char nul_name[] = "host\0h\0\0a\0a\0b\0\0\0\0";
    struct http_header headers[8];
    uint32_t count = 0;
    cr_assert_eq(http_framing_split(nul_value, sizeof nul_value - 1, headers, 8, &count),
                 GFS_INVALID);
    cr_assert_eq(http_framing_split(nul_name, sizeof nul_name - 1, headers, 8, &count),
                 GFS_INVALID);
}

Test(http_framing, takes_targets_that_begin_with_a_slash_and_hold_no_raw_controls)
{
    static const char *const bad[] = {"",      "*",      "b/k",  "http://evil/a", "evil:80", "/a b",
                                      "/a\tb", "/a\x7f", "/a#b", "/\x01",         "/a\rb"};
    struct http_request request;
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert_eq(judge("GET", bad[i], false, HOST END, &request).err, S3_InvalidURI, "%s",
                     bad[i]);
    }
    cr_assert_eq(judge("GET", "/b/\xc3\xa4%00..%2f//?", false, HOST END, &request).err, S3_OK);
    cr_assert(gfs_slice_eq_str(request.raw_path, "/b/\xc3\xa4%00..%2f//"));
    cr_assert_eq(request.raw_query.len, 0u);
    cr_assert_eq(judge("G ET", "/", false, HOST END, &request).err, S3_InvalidRequest);
    cr_assert_eq(judge("", "/", false, HOST END, &request).err, S3_InvalidRequest);
}

Test(http_framing, bounds_the_number_and_the_bytes_of_headers)
{
    static char lines[64 * 1024];
    size_t len = (size_t)snprintf(lines, sizeof lines, HOST);
    for (int i = 1; i < GFS_HEADER_COUNT_MAX; i++) {
        len += (size_t)snprintf(lines + len, sizeof lines - len, "a%d: b\r\n", i);
    }
    memcpy(lines + len, END, sizeof END);
    cr_assert_eq(verdict(lines), S3_OK);
    memcpy(lines + len, "z: z\r\n" END, sizeof "z: z\r\n" END);
    cr_assert_eq(verdict(lines), S3_RequestHeaderSectionTooLarge);
    len = (size_t)snprintf(lines, sizeof lines, HOST "a: ");
    memset(lines + len, 'x', GFS_HEADER_BYTES_MAX);
    memcpy(lines + len + GFS_HEADER_BYTES_MAX, "\r\n" END, sizeof "\r\n" END);
    cr_assert_eq(verdict(lines), S3_RequestHeaderSectionTooLarge);
}

Test(http_framing, refuses_expectations_it_does_not_know)
{
    struct http_request request;
    cr_assert_eq(verdict(HOST "Expect: 200-ok\r\n" END), S3_InvalidRequest);
    cr_assert_eq(judge("PUT", "/", true, "Expect: 100-continue\r\n" END, &request).err, S3_OK);
    cr_assert_not(request.expects_continue);
}

Test(http_framing, never_reads_outside_its_input)
{
    /* Every string over three bytes up to a length, in memory of exactly that size. */
    static const char bytes[] = {'\0', 'a', ' '};
    struct http_header headers[4];
    for (size_t len = 0; len <= 8; len++) {
        size_t count = 1;
        for (size_t i = 0; i < len; i++) {
            count *= 3;
        }
        for (size_t n = 0; n < count; n++) {
            char *text = malloc(len == 0 ? 1 : len);
            size_t rest = n;
            for (size_t i = 0; i < len; i++, rest /= 3) {
                text[i] = bytes[rest % 3];
            }
            uint32_t header_count = 0;
            enum gfs_err err = http_framing_split(text, len, headers, 4, &header_count);
            cr_assert(err == GFS_OK || err == GFS_INVALID || err == GFS_TOO_BIG);
            cr_assert_leq(header_count, 4u);
            free(text);
        }
    }
}
