/* The command line of the load generator. Immutable after load_options_parse. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libgoodfs/err.h"

enum load_op { LOAD_GET, LOAD_PUT, LOAD_HEAD, LOAD_DELETE, LOAD_LIST };

enum load_payload {
    LOAD_PAYLOAD_AUTO, /* sha256 up to 1 MiB, unsigned above */
    LOAD_PAYLOAD_SHA256,
    LOAD_PAYLOAD_UNSIGNED,
};

enum {
    LOAD_STATUS_MAX = 4,
    LOAD_CONNECTIONS_MAX = 16384,
    LOAD_THREADS_MAX = 64,
    LOAD_PREFIX_LEN_MAX = 100,
    LOAD_HOST_LEN_MAX = 40,
};

/* Plain data; the texts are argv's or the environment's. */
struct load_options {
    enum load_op op;
    const char *host; /* IPv4 address */
    uint16_t port;
    const char *bucket, *prefix, *region;
    const char *access_key, *secret; /* NULL: anonymous, plain HTTP */
    enum load_payload payload;
    bool is_random;   /* keys at random, else one after the other */
    bool signs_each;  /* a signature when a request is sent, else all before the clock starts */
    bool checks_body; /* CRC32C of each GET body against what PUT sends */
    bool holds;       /* after the result, connections stay open until standard input ends */
    uint64_t connections, threads, seed;
    uint64_t size;      /* bytes of an object */
    uint64_t key_count; /* distinct keys, or listing positions */
    uint64_t max_keys;  /* of a listing; also how many entries its answer must hold */
    uint64_t count;     /* requests in all; 0 = bound by duration */
    uint64_t duration_ms, warmup_ms, timeout_ms;
    uint64_t status_count;
    uint64_t statuses[LOAD_STATUS_MAX]; /* that count as success */
};

/* GFS_INVALID with the reason in error. Keys are read from GOODFS_ROOT_ACCESS_KEY and
 * GOODFS_ROOT_SECRET_KEY unless --anonymous is given. */
enum gfs_err load_options_parse(int argc, char **argv, struct load_options *ret,
                                struct gfs_error *error) GFS_MUST_CHECK;

/* "get", "put", ... Never NULL. */
const char *load_options_op_name(enum load_op op);
