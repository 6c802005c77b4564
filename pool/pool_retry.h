/* When a disk that is away, lost or refused is tried again. Times are monotonic, in ns; plain data,
 * no locks.
 *
 * One that comes and goes is taken back ever later, since each time costs the writers what it takes
 * to notice that it left; a place where something wrong was found is looked at ever later, but
 * soon enough for whoever puts the right disk there. When it must be there, the limits are
 * others'. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    POOL_RETRY_OWN_ERRORS_S = 5, /* from a disk's own errors until it is tried again, at first */
    POOL_RETRY_RETURNS_MAX_S = 600,
    POOL_RETRY_REFUSALS_MAX_S = 60,
    POOL_RETRY_MISSED_S = 60, /* while redundancy is lacking without it */
    POOL_RETRY_CLOSED_S = 5,  /* while the pool takes no writes: it may need just this one */
};

/* All zero: it was never away. */
struct pool_retry {
    int64_t due_ns;      /* not before */
    int64_t returned_ns; /* the last time; 0 = never */
    int64_t away_s;      /* for how long it stays away the next time */
    int64_t refused_s;   /* since the last refusal; 0 = there was none since it returned */
};

/* It left. A disk that returned before waits. */
void pool_retry_leave(struct pool_retry *retry, int64_t now_ns);
/* It left by errors of its own. */
void pool_retry_fail(struct pool_retry *retry, int64_t now_ns);
/* It was tried, and not taken back. */
void pool_retry_refuse(struct pool_retry *retry, int64_t now_ns);
void pool_retry_return(struct pool_retry *retry, int64_t now_ns);
/* It is there. All is forgotten when that has been so for long. */
void pool_retry_stay(struct pool_retry *retry, int64_t now_ns);
/* Not later than in limit_s. */
void pool_retry_limit(struct pool_retry *retry, int64_t now_ns, int64_t limit_s);
bool pool_retry_is_due(const struct pool_retry *retry, int64_t now_ns);
