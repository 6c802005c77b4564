/* One HTTP/1.1 response, taken in pieces: head, then a body of the declared length.
 *
 *   begin -> add ... -> MORE ... -> DONE
 *                   \-> BAD: not HTTP, no Content-Length, or more bytes than declared
 * Transfer-Encoding is not understood (BAD): the servers measured declare their lengths. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libgoodfs/buf.h"

enum { LOAD_RESPONSE_HEAD_MAX = 8192, LOAD_RESPONSE_EXCERPT = 160 };

enum load_step { LOAD_STEP_MORE, LOAD_STEP_DONE, LOAD_STEP_BAD };

/* What is wanted of the body besides its length. */
enum load_body { LOAD_BODY_SKIP, LOAD_BODY_CRC, LOAD_BODY_KEEP };

/* Plain data. Owned by its connection. */
struct load_response {
    bool is_bodyless; /* the answer to HEAD */
    enum load_body wants;
    bool has_head, closes; /* closes: the server ends the connection after it */
    uint32_t status;
    uint64_t declared_len;               /* bytes, Content-Length */
    uint64_t body_len;                   /* bytes seen so far */
    uint32_t crc;                        /* LOAD_BODY_CRC */
    struct gfs_buf kept;                 /* LOAD_BODY_KEEP */
    char excerpt[LOAD_RESPONSE_EXCERPT]; /* start of the body, for messages; NUL-terminated */
    size_t head_len;
    char head[LOAD_RESPONSE_HEAD_MAX];
};

void load_response_init(struct load_response *response);
void load_response_fini(struct load_response *response);
void load_response_begin(struct load_response *response, bool is_bodyless, enum load_body wants);

/* Where the next bytes go, at most *ret_size: into the head until that is complete, then into sink.
 * Never asks for more than the response holds, once its length is known. */
char *load_response_room(struct load_response *response, char *sink, size_t sink_size,
                         size_t *ret_size);
/* ptr is what load_response_room answered. */
enum load_step load_response_add(struct load_response *response, const char *ptr, size_t len);

/* How often text occurs in the kept body. */
uint64_t load_response_count(const struct load_response *response, const char *text);
