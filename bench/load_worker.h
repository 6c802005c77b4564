/* A thread of the load generator: a closed loop over its share of the connections, and what it
 * counted. Counted are the responses that end between measure_from and stop, or all of them when
 * the run is bound by a count; after that nothing is begun and what is under way is awaited. */
#pragma once

#include <stdatomic.h>

#include "bench/load_conn.h"
#include "bench/load_hist.h"

/* Shared by all workers. Immutable after the start, but for `issued`. */
struct load_run {
    const struct load_options *options;
    const struct load_requests *requests;
    uint64_t start_ns, measure_from_ns, stop_ns; /* set before load_worker_run */
    atomic_uint_fast64_t issued;                 /* requests begun so far, all threads */
};

/* Plain data. */
struct load_stats {
    uint64_t ops, bytes; /* good responses within the measured time; bytes of their objects */
    uint64_t ops_all;    /* good responses at any time */
    uint64_t failures[LOAD_FAILURE_COUNT]; /* at any time */
    uint64_t reconnects;                   /* asked for by the server */
    uint64_t last_ns;                      /* when the last counted response ended */
    uint64_t cpu_ns;                       /* of this thread within the measured time */
    char first_failure[320];
    struct load_hist latency;
};

struct load_worker;

/* Connects; a refused connection is counted as a failure. */
struct load_worker *load_worker_new(struct load_run *run, uint64_t index, uint64_t connections);
void load_worker_free(struct load_worker *worker);
/* Runs to the end of the run. Any one thread. */
void load_worker_run(struct load_worker *worker);
const struct load_stats *load_worker_stats(const struct load_worker *worker);
