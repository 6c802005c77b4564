/* The command line of goodfsctl: words, flags, and what they may be. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libgoodfs/err.h"

enum args_flag {
    ARGS_ADMIN,
    ARGS_CREDENTIALS,
    ARGS_JSON,
    ARGS_HELP,
    ARGS_TIMEOUT,
    ARGS_VERSION,
    ARGS_WAIT,
    ARGS_WATCH,
    ARGS_VERIFY,
    ARGS_RATE,
    ARGS_READ_ONLY,
    ARGS_RESERVED,
    ARGS_STORAGE_CLASS,
    ARGS_DELETE_ORPHANS_ANYWAY,
    ARGS_FLAG_COUNT,
};
#define ARGS_BIT(flag) (1U << (flag))

enum { ARGS_WORDS_MAX = 16 };

/* Plain data; borrows argv. */
struct args {
    const char *words[ARGS_WORDS_MAX]; /* what is no flag, in order */
    unsigned word_count;
    const char *values[ARGS_FLAG_COUNT]; /* NULL = not given; "" for flags without a value */
    unsigned given;                      /* ARGS_BIT of each flag that was given */
};

/* argv without the program's name. INVALID: unknown, repeated, without its value, or with one it
 * does not have; error says which. After "--" everything is a word. */
enum gfs_err args_parse(int argc, char **argv, struct args *ret,
                        struct gfs_error *error) GFS_MUST_CHECK;
const char *args_flag_name(enum args_flag flag); /* "--json" */
/* What stands behind it in a usage: "BYTES"; NULL = it has no value. */
const char *args_flag_value(enum args_flag flag);

/* "67108864", "64MiB", "64M", "1 TiB" without the space: bytes. */
enum gfs_err args_bytes(const char *text, uint64_t *ret) GFS_MUST_CHECK;
/* "90": whole seconds from 1 to a day. */
enum gfs_err args_seconds(const char *text, unsigned *ret) GFS_MUST_CHECK;
/* true/false, yes/no, on/off, 1/0. */
enum gfs_err args_bool(const char *text, bool *ret) GFS_MUST_CHECK;
