/* Error codes and the error message buffer.
 *
 * A function that can fail returns enum gfs_err (0 = GFS_OK). Two families:
 * answers (part of a contract, handled by the direct caller) and faults (only forwarded, matched
 * where a request is retried, a quorum is counted or an HTTP status is chosen). */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define GFS_ERRORS(X)                                                                              \
    X(OK, "success")                                                                               \
    /* answers */                                                                                  \
    X(NOT_FOUND, "not found")                                                                      \
    X(EXISTS, "already exists")                                                                    \
    X(PRECONDITION, "precondition failed")                                                         \
    X(CONFLICT, "conflicting operation in progress")                                               \
    X(NOT_EMPTY, "not empty")                                                                      \
    X(RANGE, "out of range")                                                                       \
    X(INVALID, "invalid input")                                                                    \
    X(DIGEST, "checksum mismatch")                                                                 \
    X(DENIED, "access denied")                                                                     \
    X(TOO_BIG, "too big")                                                                          \
    X(BUSY, "busy: a bounded resource is exhausted")                                               \
    X(AGAIN, "would block")                                                                        \
    X(END, "end of data")                                                                          \
    X(UNSUPPORTED, "not supported")                                                                \
    X(CANCELLED, "cancelled")                                                                      \
    /* faults */                                                                                   \
    X(IO, "input/output error")                                                                    \
    X(NO_SPACE, "no space left on device")                                                         \
    X(CORRUPT, "stored data is damaged")                                                           \
    X(TIMEOUT, "timed out")                                                                        \
    X(UNREACHABLE, "too few disks or peers can be reached")                                        \
    X(PROTOCOL, "protocol violation")                                                              \
    X(STOPPED, "service is stopped")

enum gfs_err {
#define X(name, text) GFS_##name,
    GFS_ERRORS(X)
#undef X
};

#define GFS_MUST_CHECK __attribute__((warn_unused_result))
#define GFS_PRINTF(fmt_index, args_index) __attribute__((format(printf, fmt_index, args_index)))

/* Plain data. Caller-owned; may be NULL wherever it is a parameter; never allocates. */
struct gfs_error {
    enum gfs_err code;
    char text[256]; /* NUL-terminated, outside-in context; never holds a secret */
};

/* The fixed English text of a code. Never NULL. */
const char *gfs_err_text(enum gfs_err code);

/* The name of a code without its prefix, for logs: "NOT_FOUND". Never NULL. */
const char *gfs_err_name(enum gfs_err code);

/* Sets *error (when not NULL) and returns code, so `return gfs_fail(error, GFS_IO, "...")`. */
enum gfs_err gfs_fail(struct gfs_error *error, enum gfs_err code, const char *format, ...)
    GFS_PRINTF(3, 4);

/* Prepends "context: " to error->text (cut at its end when full); returns code. */
enum gfs_err gfs_wrap(struct gfs_error *error, enum gfs_err code, const char *format, ...)
    GFS_PRINTF(3, 4);

/* Maps errno to a code: ENOSPC/EDQUOT/EFBIG NO_SPACE, ENOENT NOT_FOUND, EEXIST EXISTS, EAGAIN
 * AGAIN, else IO. */
enum gfs_err gfs_err_from_errno(int errnum);
