/* One connection of the load generator: sends a request, takes its response, again and again.
 * Sockets are non-blocking and edge-triggered, so a request in the steady state costs one sendmsg,
 * one epoll_wait shared with the others, and one recv. Owned by its worker's thread.
 *
 *   CLOSED --open--> IDLE --start--> BUSY --io: DONE--> IDLE
 *                                         \-io: FAILED-> CLOSED */
#pragma once

#include "bench/load_request.h"
#include "bench/load_response.h"

#define LOAD_FAILURES(X)                                                                           \
    X(CONNECT, "connect")                                                                          \
    X(CLOSED, "closed")                                                                            \
    X(TIMEOUT, "timeout")                                                                          \
    X(PROTOCOL, "protocol")                                                                        \
    X(STATUS, "status")                                                                            \
    X(LENGTH, "length")                                                                            \
    X(CONTENT, "content")

enum load_failure {
#define X(name, text) LOAD_FAILURE_##name,
    LOAD_FAILURES(X)
#undef X
        LOAD_FAILURE_COUNT,
};

const char *load_conn_failure_name(enum load_failure failure);

enum load_io { LOAD_IO_WAIT, LOAD_IO_DONE, LOAD_IO_FAILED };

/* Plain data. */
struct load_conn {
    int fd; /* -1 = closed */
    bool is_busy;
    uint64_t started_ns; /* of the request under way */
    uint64_t sent;       /* bytes of head and body */
    struct load_request request;
    struct gfs_buf scratch;    /* the head, when it is signed now */
    enum load_failure failure; /* after LOAD_IO_FAILED */
    struct load_response response;
};

void load_conn_init(struct load_conn *conn);
void load_conn_fini(struct load_conn *conn);

/* Connects (blocking: loopback) and adds itself to the epoll set; false when refused. */
bool load_conn_open(struct load_conn *conn, const struct load_options *options, int epoll_fd);
void load_conn_close(struct load_conn *conn);

/* Sends conn->request, as much as the socket takes. Never LOAD_IO_DONE. */
enum load_io load_conn_start(struct load_conn *conn, const struct load_options *options,
                             uint64_t now_ns);
/* After an event. hung_up: the peer sends no more. sink is scratch memory of the worker. */
enum load_io load_conn_io(struct load_conn *conn, bool hung_up, char *sink, size_t sink_size);
