/* A toy server on a free port and a client that speaks raw bytes to it. */
#pragma once

#include "tests/http/toy.h"

struct rig {
    struct http_server_options options; /* set before rig_start; zero fields get test defaults */
    const char *listen[3];
    struct toy *toy;
    struct toy_counts *counts;
    struct http_server *server;
    uint16_t port;
};

void rig_start(struct rig *rig);
void rig_stop(struct rig *rig); /* and checks that every exchange begun was closed */

int rig_connect(const struct rig *rig);
void rig_send(int fd, const char *text);
void rig_send_bytes(int fd, const void *ptr, size_t len);
/* Answers false when the peer has gone. */
bool rig_try_send(int fd, const void *ptr, size_t len);

/* One reply: its head and Content-Length bytes of body, NUL-terminated; valid until the next call.
 * is_head: no body follows. Fails the test after 10 s. */
const char *rig_reply(int fd, bool is_head);
const char *rig_body(const char *reply);
/* What comes until the end of the connection, however it ends. Fails the test after 10 s. */
const char *rig_rest(int fd, size_t *ret_len);
/* The connection is closed now or within 10 s, with nothing more sent. */
void rig_expect_end(int fd);
/* Nothing has come for a tenth of a second. */
void rig_expect_silence(int fd);
/* Waits until *count is at least `wanted`; fails the test after 10 s. */
void rig_wait(atomic_uint *count, unsigned wanted);
