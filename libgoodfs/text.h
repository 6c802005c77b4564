/* Text codecs: hex, base64, percent-encoding, integers, dates, UTF-8. Nothing allocates except
 * where an arena or buffer is passed. All parsers take the whole input or answer GFS_INVALID. */
#pragma once

#include <stdint.h>

#include "libgoodfs/arena.h"
#include "libgoodfs/buf.h"
#include "libgoodfs/err.h"
#include "libgoodfs/slice.h"

/* Lower case; ret has room for 2*len+1, and is NUL-terminated. */
void gfs_hex_encode(const void *ptr, size_t len, char *ret);
/* Either case; text.len must be 2*len. */
enum gfs_err gfs_hex_decode(struct gfs_slice text, void *ret, size_t len) GFS_MUST_CHECK;

#define GFS_BASE64_LEN(len) (((len) + 2) / 3 * 4)
/* Standard alphabet, padded; ret has room for GFS_BASE64_LEN(len)+1, NUL-terminated. */
void gfs_base64_encode(const void *ptr, size_t len, char *ret);
/* Strict: padded, no white space, no stray bits; exactly len bytes must come out. */
enum gfs_err gfs_base64_decode_exact(struct gfs_slice text, void *ret, size_t len) GFS_MUST_CHECK;
/* Any length up to size; *ret_len bytes are written. */
enum gfs_err gfs_base64_decode(struct gfs_slice text, void *ret, size_t size,
                               size_t *ret_len) GFS_MUST_CHECK;

/* RFC 3986 unreserved characters stay (A-Z a-z 0-9 - . _ ~), and '/' when keep_slash; all else
 * becomes %XX in upper case: SigV4's UriEncode and S3's encoding-type=url (which keeps '/'). */
void gfs_uri_encode(struct gfs_buf *out, struct gfs_slice text, bool keep_slash);
/* %XX decoded once; '+' becomes a space when plus_is_space; a bad escape is GFS_INVALID.
 * ret has room for text.len bytes; may be text.ptr itself. */
enum gfs_err gfs_uri_decode(struct gfs_slice text, bool plus_is_space, char *ret,
                            size_t *ret_len) GFS_MUST_CHECK;

/* Decimal, no sign, no spaces, no empty text; GFS_RANGE over max. */
enum gfs_err gfs_parse_u64(struct gfs_slice text, uint64_t max, uint64_t *ret) GFS_MUST_CHECK;
enum gfs_err gfs_parse_hex_u64(struct gfs_slice text, uint64_t max, uint64_t *ret) GFS_MUST_CHECK;

/* Valid UTF-8 without surrogates and over-long forms. NUL is valid. */
bool gfs_is_utf8(struct gfs_slice text);

/* Bytes of the valid UTF-8 character at the start of text; 0 when there is none. */
size_t gfs_utf8_len(struct gfs_slice text);

/* Trims spaces and tabs at both ends. */
struct gfs_slice gfs_trim(struct gfs_slice text);

enum { GFS_HTTP_DATE_LEN = 29, GFS_ISO_DATE_LEN = 24, GFS_AMZ_DATE_LEN = 16 };
/* "Sat, 21 Nov 2026 06:58:10 GMT"; ret has room for GFS_HTTP_DATE_LEN+1. Thread-safe, locale-free.
 */
void gfs_http_date(int64_t unix_s, char ret[GFS_HTTP_DATE_LEN + 1]);
/* All three forms of RFC 9110 section 5.6.7. */
enum gfs_err gfs_parse_http_date(struct gfs_slice text, int64_t *ret_unix_s) GFS_MUST_CHECK;
/* "2026-11-21T06:58:10.123Z", S3's XML form. */
void gfs_iso_date(int64_t unix_ms, char ret[GFS_ISO_DATE_LEN + 1]);
/* ISO 8601 in UTC, seconds or fractions ("2026-11-21T06:58:10Z", "...10.123Z"). */
enum gfs_err gfs_parse_iso_date(struct gfs_slice text, int64_t *ret_unix_ms) GFS_MUST_CHECK;
/* "20261121T065810Z", SigV4. */
void gfs_amz_date(int64_t unix_s, char ret[GFS_AMZ_DATE_LEN + 1]);
enum gfs_err gfs_parse_amz_date(struct gfs_slice text, int64_t *ret_unix_s) GFS_MUST_CHECK;
