/* Calls that wait for a disk, each on a thread of its own. A few threads whose call is over are
 * kept for the next one.
 *
 * A disk can hang in any call, for ever. Whoever looks after more than that disk has such calls
 * made by an errand and waits as long as it likes; an errand that hangs hangs on, with what it
 * needs, and nobody else with it. Few at a time: whoever starts them has at most one a disk. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pool_errands; /* those of a pool */
struct pool_errand;

struct pool_errands *pool_errands_new(void);
/* Until all are over, or for wait_ms. false: some hang, and what they use must stay, errands
 * included. Nobody starts one meanwhile but errands themselves. */
bool pool_errands_end(struct pool_errands *errands, uint32_t wait_ms);
void pool_errands_free(struct pool_errands *errands); /* all are over. NULL allowed */

/* Calls run(arg). end(arg), which may be NULL, is called as soon as that is over and the errand was
 * let go, by whoever comes second: it must not wait for anything. name: of the thread, a literal.
 * Any thread. */
struct pool_errand *pool_errand_start(struct pool_errands *errands, const char *name,
                                      void (*run)(void *arg), void (*end)(void *arg), void *arg);
/* Waits at most wait_ms; answers whether it is over. */
bool pool_errand_await(struct pool_errand *errand, uint32_t wait_ms);
/* Nobody asks for it any more. NULL allowed. */
void pool_errand_let_go(struct pool_errand *errand);
