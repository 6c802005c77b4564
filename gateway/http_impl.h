/* Private to gateway/http_*.c, the module that wraps libmicrohttpd.
 *
 * Threads: one acceptor, and one thread per loop. A connection belongs to its loop for life;
 * everything in struct http_conn and struct http_exchange is owned by that thread. What other
 * threads touch is atomic. Files, lowest first:
 *   http_framing  which requests are refused      http_reply   replies and streams
 *   http_tls      certificates                    http_sweep   timeouts and vanished clients
 *   http_conn     connections and requests        http_loop    one thread: tasks, polling
 *   http_listen   sockets and the acceptor        http_server  start and stop */
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "gateway/http_framing.h"
#include "gateway/http_server.h"
#include "libgoodfs/mem.h"

enum {
    /* Per connection: the largest head, its parsed list and the reply's head must fit. The library
     * clears all of it after every request, so more costs time. */
    HTTP_POOL_SIZE = 56 * 1024,
    /* The rest of a refused body that is read away to keep the connection. */
    HTTP_DRAIN_MAX = 64 * 1024,
    /* A refused sender is listened to this long, so that it reads the reply and not a reset. */
    HTTP_LINGER_S = 5,
    HTTP_LINGER_BYTES_MAX = 32 * 1024 * 1024, /* and no further than this */
    /* A client that closed its sending side while its exchange is suspended: half-closed or gone?
     */
    HTTP_HALF_CLOSED_S = 10,
    HTTP_CUT_BYTES_MAX = 64 * 1024,         /* a reply sent before the body's end */
    HTTP_BLOCK_SIZE = 256 * 1024,           /* of a streamed reply; measured */
    HTTP_COLLECT_MAX = 64 * 1024,           /* streams up to here go out with their head */
    HTTP_ARENA_SIZE_MAX = 16 * 1024 * 1024, /* one request's small memory */
    HTTP_LISTEN_MAX = 16,                   /* addresses */
    HTTP_BACKLOG = 4096,
    HTTP_RATE_WINDOW_S = 30,
};

/*
 *          .-> LINGER (reply sent raw, rest of the body discarded, then closed)
 *  IDLE -> LINE -> BEGIN -> BODY -> END -> REPLY -> IDLE
 *                    |        `-> DRAIN ----^  ^
 *                    `-------------------------'  (refused before its body: closed after it)
 */
enum http_phase {
    HTTP_PHASE_IDLE,   /* no request, or its first line is incomplete */
    HTTP_PHASE_LINE,   /* request line is in, headers are not */
    HTTP_PHASE_BEGIN,  /* inside begin */
    HTTP_PHASE_BODY,   /* receiving, or paused */
    HTTP_PHASE_DRAIN,  /* replied; a small rest of the body is read away first */
    HTTP_PHASE_LINGER, /* reply was sent and the sending side closed */
    HTTP_PHASE_END,    /* waiting for the handler's reply */
    HTTP_PHASE_REPLY,  /* the library is sending it */
};

/* How a reply leaves, chosen in http_reply. */
enum http_way {
    HTTP_WAY_NONE,       /* not replied yet */
    HTTP_WAY_AFTER_BODY, /* the normal one: when the request is read whole */
    HTTP_WAY_AT_ONCE,    /* from the first handler call; the library closes after it */
    HTTP_WAY_CUT,        /* while the body still comes: sent by hand, then LINGER */
    HTTP_WAY_ABORT,      /* no way to send it: the connection is reset */
};

struct http_exchange {
    struct http_conn *conn;
    enum http_phase phase;
    enum http_way way;
    bool is_begun;      /* closed must be called */
    bool is_in_handler; /* a callback of the handler is on the stack */
    bool is_suspended;
    bool is_resume_wanted; /* http_resume came before the suspension */
    bool is_aborted;       /* the next call of the library ends the connection */
    bool is_cut_sent;      /* whole */
    void *data;
    struct http_request request;
    struct gfs_arena arena;
    struct gfs_slice target;
    const char *target_at; /* where the library holds it */
    uint64_t body_taken;   /* bytes the handler took */
    uint64_t lingered;     /* bytes read away since the reply */
    uint64_t begin_turn;   /* of the loop */
    /* the reply */
    struct MHD_Response *response;
    unsigned status;
    struct gfs_slice cut; /* the whole reply as text */
    int64_t (*read)(void *arg, uint64_t offset, char *buf, size_t size);
    void *read_arg;
    char *collected; /* a small stream's bytes */
    uint64_t collected_len, collect_len;
};

struct http_conn {
    struct http_loop *loop;
    struct MHD_Connection *mhd;
    struct http_conn *prev, *next; /* all of the loop */
    int fd;                        /* owned by the library */
    char peer[64];
    uint64_t request_count; /* finished */
    struct http_exchange x;
    /* of the sweep, ns of gfs_monotonic_ns */
    uint64_t swept_request_count;
    uint64_t received, sent;   /* bytes, by the kernel's count */
    uint64_t received_at_idle; /* when the connection was last seen without a request */
    int64_t active_ns;         /* last progress either way */
    int64_t head_ns;           /* since when a head is incomplete; 0 = none */
    int64_t window_ns;         /* start of the body-rate window; 0 = none */
    uint64_t window_received;  /* bytes at its start */
    int64_t suspended_ns;      /* since when seen suspended; 0 = not */
    int64_t linger_ns;         /* since when seen lingering */
    bool is_end_seen;          /* by the last sweep: the sender is gone and nothing is unread */
};

struct http_loop {
    struct http_server *server; /* Immutable after init */
    uint32_t index;             /* Immutable after init */
    pthread_t thread;
    bool is_thread_up;
    struct MHD_Daemon *daemon;
    int epoll_fd; /* the library's epoll fd and event_fd */
    int event_fd;
    _Atomic(struct http_task *) tasks; /* newest first */
    atomic_bool is_sleeping;
    atomic_uint posting;    /* threads inside http_post */
    atomic_uint conn_count; /* handed over or open */
    /* loop thread only */
    struct http_conn *conns;
    uint64_t turn;
    bool is_conn_started; /* by the last MHD_add_connection */
    bool is_dead;         /* every further call of the library ends its connection */
    char *scratch;        /* one head's parsed headers */
    /* counters: written by the loop, read by any thread */
    atomic_uint_fast64_t requests, bytes_in, bytes_out, suspended, refused, timeouts;
};

struct http_listener {
    int fd;
    uint16_t port;
};

struct http_tls;

struct http_server {
    struct http_server_options options; /* listen and file names are copies */
    char *tls_cert_file, *tls_key_file;
    struct http_tls *tls; /* NULL = plain */
    bool is_raw_visible;  /* the library in use leaves the head in its buffer as split expects */
    struct http_listener listeners[HTTP_LISTEN_MAX];
    uint32_t listener_count;
    pthread_t acceptor;
    bool is_acceptor_up;
    int acceptor_event_fd;
    atomic_bool is_acceptor_full; /* waits for a connection to end */
    atomic_bool is_stopping;
    _Atomic int64_t stop_deadline_ns, work_deadline_ns;
    atomic_bool has_hung; /* the handler's work, at its deadline */
    atomic_uint conn_count;
    atomic_uint_fast64_t accepted;
    atomic_uint_fast64_t request_ids;
    struct http_loop *loops;
};

/* http_tls */
enum gfs_err http_tls_open(const char *cert_file, const char *key_file, struct http_tls **ret,
                           struct gfs_error *error) GFS_MUST_CHECK;
void http_tls_close(struct http_tls *tls);
enum gfs_err http_tls_reload(struct http_tls *tls, const char *cert_file, const char *key_file,
                             struct gfs_error *error) GFS_MUST_CHECK;
/* The value of MHD_OPTION_HTTPS_CERT_CALLBACK. */
void *http_tls_callback(void);
/* Sends what the socket takes now; true when that was all. */
bool http_tls_send(struct MHD_Connection *mhd, const char *ptr, size_t len);
struct http_tls *http_conn_tls(struct MHD_Connection *mhd);

/* http_conn */
void http_conn_notify(void *cls, struct MHD_Connection *mhd, void **context,
                      enum MHD_ConnectionNotificationCode code);
void *http_conn_line(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result http_conn_call(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_len, void **context);
void http_conn_completed(void *cls, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code);
void http_conn_suspend(struct http_exchange *x);
void http_conn_wake(struct http_exchange *x);
/* Ends the connection whatever it does; closed follows within this or the next turn. */
void http_conn_abort(struct http_conn *conn);
/* Sends x->cut by hand, closes the sending side, enters LINGER. */
void http_conn_cut(struct http_exchange *x);
/* Bytes the kernel counted; false when it cannot say. */
bool http_conn_counts(const struct http_conn *conn, uint64_t *ret_received, uint64_t *ret_sent);

/* http_reply */
/* Makes the reply of a refused request, ready to be queued. */
void http_reply_refusal(struct http_exchange *x, struct http_refusal refusal);
/* Goes on collecting a small stream. GFS_AGAIN: not ready; GFS_IO: gave up. */
enum gfs_err http_reply_collect(struct http_exchange *x) GFS_MUST_CHECK;
/* Releases what was built and not queued. */
void http_reply_discard(struct http_exchange *x);

/* http_sweep */
void http_sweep_loop(struct http_loop *loop, int64_t now_ns);
void http_sweep_stop(struct http_loop *loop); /* ends connections without a request */

/* http_loop */
enum gfs_err http_loop_open(struct http_loop *loop, struct gfs_error *error) GFS_MUST_CHECK;
enum gfs_err http_loop_start(struct http_loop *loop, struct gfs_error *error) GFS_MUST_CHECK;
void http_loop_wake(struct http_loop *loop);
void http_loop_join(struct http_loop *loop);
void http_loop_close(struct http_loop *loop);
/* Hands a connected socket over; any thread. */
void http_loop_adopt(struct http_loop *loop, int fd, const struct sockaddr_storage *peer,
                     socklen_t peer_len);

/* http_listen */
enum gfs_err http_listen_open(struct http_server *server, const char *address,
                              struct gfs_error *error) GFS_MUST_CHECK;
enum gfs_err http_listen_start(struct http_server *server, struct gfs_error *error) GFS_MUST_CHECK;
void http_listen_wake(struct http_server *server);
void http_listen_stop(struct http_server *server); /* joins the acceptor, closes the sockets */
