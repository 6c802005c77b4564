/* The framing rules of an HTTP/1 request: which requests are refused before anything looks at them.
 *
 * Two programs that parse the same bytes differently are how requests are smuggled past a proxy, so
 * everything ambiguous is refused and the connection closed:
 * - Transfer-Encoding together with Content-Length, twice, on HTTP/1.0, or anything but `chunked`
 * - a header that has one value (list in the .c file) given twice; Content-Length not plain digits
 * - names that are not tokens, control bytes in values, folded lines, bare LF, NUL
 * - no Host on HTTP/1.1; a target that does not begin with '/'; more than GFS_HEADER_COUNT_MAX
 *   headers or GFS_HEADER_BYTES_MAX bytes of head
 * Before these rules the library itself refuses, with pages of its own that 0.9.75 does not let us
 * change (always 4xx or 5xx, and the connection is closed): heads over its memory (414, 431),
 * versions other than 1.x (505), lines without a colon, a Content-Length that is no number (its
 * status line comes twice then), malformed chunks. What 0.9.75 accepts and cannot show us: a bare
 * LF and extensions in chunk-size lines, and anything in trailers; empty lines before a request. A
 * proxy that normalises chunks removes them.
 * Pure functions; any thread. Sources: RFC 9110 section 5, RFC 9112 sections 3, 5, 6. */
#pragma once

#include "gateway/http_server.h"
#include "gateway/s3_error.h"

/* Plain data. */
struct http_refusal {
    enum s3_err err;     /* S3_OK: the request is well framed */
    const char *message; /* which rule refused it; static text */
};

/* A parsed head, before it is judged. Plain data. */
struct http_head {
    struct gfs_slice method, target;
    bool is_http_1_0;
    struct http_header *headers; /* names in lower case, values with their trailing white space */
    uint32_t header_count;
    size_t len; /* bytes of the whole head on the wire */
};

/* Splits header lines in the form in which libmicrohttpd 0.9.75 leaves them in its read buffer: the
 * colon after the name, and CR and LF, each replaced by NUL, and an empty line at the end. So
 * folded lines, lines ended by a bare LF, and NUL bytes in names or values all show here although
 * its interface hides them. Names become lower case in place; the slices point into text.
 * GFS_INVALID: not exactly of that form; GFS_TOO_BIG: more than count_max headers. */
enum gfs_err http_framing_split(char *text, size_t len, struct http_header *headers,
                                uint32_t count_max, uint32_t *ret_count) GFS_MUST_CHECK;

/* Applies the rules and fills *ret (all but peer and is_tls) when they hold; trims the values. */
struct http_refusal http_framing_check(const struct http_head *head, struct http_request *ret);

/* Lower-cases an ASCII name in place. */
void http_framing_lower(char *name, size_t len);
