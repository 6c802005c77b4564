/* A handler that does one simple thing per path, for tests and measurements of the HTTP server.
 *
 *   /bytes/N          N bytes from memory
 *   /stream/N         N bytes as a stream (byte i is 'a' + i % 23)
 *   /trickle/N        the same, but every other read answers 0 and a worker thread resumes it
 *   /fail/N           a stream that gives up at N / 2
 *   /status/S         status S without body; /length/N the same as HEAD's answer with a length
 *   /echo             the length and the sum of the body's bytes
 *   /sink             the same without the sum
 *   /pause            as echo, taking at most 1000 bytes between resumes by the worker
 *   /async            "async" sent from the worker
 *   /refuse           403 from begin
 *   /middle           403 from the first body call; /middle-async the same from the worker
 *   /hold             never answers
 * All counts are of the whole toy. */
#pragma once

#include <stdatomic.h>

#include "gateway/http_server.h"

struct toy;

struct toy_counts {
    atomic_uint begun, bodies, ended, closed, aborted;
};

struct toy *toy_new(void);
void toy_free(struct toy *toy); /* after http_server_stop */
struct http_handler toy_handler(struct toy *toy);
struct toy_counts *toy_counts(struct toy *toy);
struct http_loop *toy_last_loop(struct toy *toy); /* of the last exchange begun */
