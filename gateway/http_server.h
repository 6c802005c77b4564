/* The HTTP server: the only module that includes microhttpd.h.
 *
 * One struct http_request per request is what authorisation, routing and storage all use; the raw
 * target is never decoded here. N loops (threads), each with its own MHD daemon driven through its
 * epoll fd; a connection stays on one loop, and every callback of its exchanges runs there.
 *
 *   begin -> [body ...] -> end -> http_reply -> closed
 *     \-> http_reply (refused: no 100-continue, no body is read) -> closed
 * A client that vanishes leads to closed at any point. Refused before begin, with an S3 error body:
 * everything in the framing rules (http_framing.h).
 *
 * A reply before the body's end: the rest of the body, up to 64 KiB, is read away and the
 * connection kept; with more to come (or `Expect: 100-continue`, or chunks) the reply is sent at
 * once and the connection closed after it. In body(), with more to come, only replies without body
 * or with at most 64 KiB of BYTES can be sent; others reset the connection. Replies given inside a
 * callback never leave the fast path (one recv and one send); suspending costs about three more
 * system calls. Starting a server raises the descriptor limit and tells malloc to keep blocks of up
 * to 1 MiB mapped. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "libgoodfs/arena.h"
#include "libgoodfs/err.h"
#include "libgoodfs/slice.h"

struct http_server;
struct http_loop;
struct http_exchange;

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_PUT,
    HTTP_POST,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER,
};

/* Plain data. */
struct http_header {
    struct gfs_slice name;  /* lower case */
    struct gfs_slice value; /* without leading and trailing white space */
};

/* Plain data, immutable, valid until closed. */
struct http_request {
    enum http_method method;
    struct gfs_slice method_text;
    struct gfs_slice raw_path;  /* as on the wire, before '?' */
    struct gfs_slice raw_query; /* as on the wire, after '?'; empty when none */
    uint32_t header_count;
    const struct http_header *headers; /* in the order received */
    bool has_content_length;
    uint64_t content_length; /* bytes */
    bool is_chunked;         /* Transfer-Encoding: chunked, and then no Content-Length */
    bool is_http_1_0;
    bool expects_continue;
    bool is_tls;
    struct gfs_slice peer; /* "127.0.0.1:5555" or "[::1]:5555" */
};

/* Value of the first header of that lower-case name; NULL ptr when there is none. */
struct gfs_slice http_request_header(const struct http_request *request, const char *name);

struct http_handler {
    void *arg;
    /* Headers are in. May call http_reply at once. Sets its state by http_exchange_set_data. */
    void (*begin)(void *arg, struct http_exchange *x);
    /* Body bytes; answers how many were taken. Fewer than len: paused until http_resume. Not called
     * after http_reply (the server drains a small rest and closes otherwise). */
    size_t (*body)(struct http_exchange *x, const char *ptr, size_t len);
    /* The body is complete, exactly as long as declared. The reply may come later. */
    void (*end)(struct http_exchange *x);
    /* Exactly once per begin, last of all. aborted: the client went away or timed out before the
     * reply was sent whole. Frees the state. */
    void (*closed)(struct http_exchange *x, bool aborted);
    /* Asked while stopping, after every exchange was closed: false = work is still under way that
     * will call http_post. NULL = there never is. */
    bool (*is_idle)(void *arg);
};

struct http_server_options {
    /* "HOST:PORT", "[::1]:9000", "0.0.0.0:0"; NULL-terminated. "[::]:P" is IPv6 only: list
     * "0.0.0.0:P" beside it. */
    const char *const *listen;
    uint32_t loop_count;           /* threads, >= 1 */
    uint32_t connection_max;       /* over it new connections wait in the backlog */
    uint32_t idle_timeout_s;       /* without any byte either way */
    uint32_t header_timeout_s;     /* a request's headers must be in by then, from its first byte */
    uint32_t body_bytes_per_s_min; /* averaged over 30 s; slower senders are cut off; 0 = off */
    const char *tls_cert_file, *tls_key_file; /* PEM; NULL = plain */
    struct http_handler handler;
};

/* Binds all addresses and starts the threads, or nothing. Options are copied; what handler and
 * files name outlives the server. IO, INVALID: error says which address or file, and why. */
enum gfs_err http_server_start(const struct http_server_options *options, struct http_server **ret,
                               struct gfs_error *error) GFS_MUST_CHECK;
/* The bound port of the i-th listen address (for port 0). */
uint16_t http_server_port(const struct http_server *server, uint32_t index);
/* Reads certificate and key again; on failure the old ones stay in use. */
enum gfs_err http_server_reload_tls(struct http_server *server, struct gfs_error *error);
/* Stops accepting, lets replies under way finish for at most grace_ms, then closes everything and
 * joins the threads. Every exchange has been closed on return. Work that outlives its exchange
 * (is_idle) has work_ms more. false: it hangs; what it posts will not run, and the server must stay
 * as it is until the process ends. NULL allowed: true. */
bool http_server_stop(struct http_server *server, uint32_t grace_ms, uint32_t work_ms);

struct http_server_stats {
    uint64_t connections_accepted, connections_open, requests, refused_framing, timeouts;
    uint64_t bytes_in, bytes_out; /* of the sockets, a second behind */
    uint64_t suspended;           /* times an exchange left the fast path */
};
void http_server_stats(const struct http_server *server, struct http_server_stats *ret);

/* ---- exchange: loop thread only, unless said otherwise ---- */
const struct http_request *http_exchange_request(const struct http_exchange *x);
struct gfs_arena *http_exchange_arena(struct http_exchange *x); /* freed after closed */
void http_exchange_set_data(struct http_exchange *x, void *data);
void *http_exchange_data(const struct http_exchange *x);
struct http_loop *http_exchange_loop(const struct http_exchange *x); /* any thread */
uint32_t http_loop_index(const struct http_loop *loop);

/* Runs fn(arg) on the loop's thread soon; any thread; never blocks, never fails. Functions posted
 * before http_server_stop returns are run. */
struct http_task {
    struct http_task *next;
    void (*fn)(struct http_task *task);
};
void http_post(struct http_loop *loop, struct http_task *task);

/* The paused body, or the reply stream that answered 0, is asked again. */
void http_resume(struct http_exchange *x);

struct http_reply_header {
    struct gfs_slice name, value; /* value without CR, LF, NUL, else the header is dropped */
};

/* Where the body comes from. */
enum http_body_kind {
    HTTP_BODY_NONE,   /* Content-Length: 0, or none for 204 and 304 */
    HTTP_BODY_BYTES,  /* bytes stay valid until closed */
    HTTP_BODY_STREAM, /* read() is called until length bytes came */
};

/* Plain data; copied by http_reply (except the bytes of the body). */
struct http_reply {
    int status;
    uint32_t header_count;
    const struct http_reply_header *headers; /* Date, Content-Length, Connection are the server's */
    enum http_body_kind body;
    struct gfs_slice bytes;
    uint64_t length; /* Content-Length of STREAM, and of a HEAD reply with body NONE */
    bool has_length; /* for HEAD and 304: send `length` although there is no body */
    bool must_close; /* close the connection after this reply */
    /* Fills buf with at most size bytes from offset: first all of a stream of up to 64 KiB, which
     * is sent with its head, else blocks of 256 KiB. > 0 bytes; 0 = not ready, http_resume will be
     * called (never from inside read); -1 = give up: the connection is reset, so the client sees a
     * broken transfer and never a short success. */
    int64_t (*read)(void *arg, uint64_t offset, char *buf, size_t size);
    void *arg;
};

/* Exactly once per exchange; may be called from begin, end, or later on the loop thread. */
void http_reply(struct http_exchange *x, const struct http_reply *reply);
