/* Errands: waited for as long as one likes, left alone when they hang. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"

enum { LONG_MS = 60000, SHORT_MS = 10, AWAIT_MS = 10000 };

/* Something that hangs until it is let through. */
struct gate {
    pthread_mutex_t lock;
    struct gfs_cond changed;
    bool is_open;
    unsigned inside, through, ended;
};

static void gate_init(struct gate *gate)
{
    *gate = (struct gate){0};
    (void)pthread_mutex_init(&gate->lock, NULL);
    gfs_cond_init(&gate->changed);
}

static void gate_open(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->is_open = true;
    gfs_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

static void gate_fini(struct gate *gate)
{
    gfs_cond_fini(&gate->changed);
    (void)pthread_mutex_destroy(&gate->lock);
}

static void pass(void *arg)
{
    struct gate *gate = arg;
    (void)pthread_mutex_lock(&gate->lock);
    gate->inside++;
    gfs_cond_broadcast(&gate->changed);
    while (!gate->is_open) {
        gfs_cond_wait(&gate->changed, &gate->lock);
    }
    gate->inside--;
    gate->through++;
    (void)pthread_mutex_unlock(&gate->lock);
}

static void note_end(void *arg)
{
    struct gate *gate = arg;
    (void)pthread_mutex_lock(&gate->lock);
    gate->ended++;
    gfs_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

/* Waits for *count, guarded by the lock, to be 1; false: it was not for so long. */
static bool gate_await(struct gate *gate, const unsigned *count)
{
    int64_t until_ns = gfs_monotonic_ns() + (int64_t)AWAIT_MS * 1000000;
    bool has_time = true;
    (void)pthread_mutex_lock(&gate->lock);
    while (*count != 1 && has_time) {
        has_time = gfs_cond_wait_until(&gate->changed, &gate->lock, until_ns);
    }
    bool is_so = *count == 1;
    (void)pthread_mutex_unlock(&gate->lock);
    return is_so;
}

Test(pool_errand, one_is_over_when_its_call_is_and_ends_when_it_is_let_go)
{
    struct gate gate;
    gate_init(&gate);
    gate.is_open = true;
    struct pool_errands *errands = pool_errands_new();
    struct pool_errand *errand = pool_errand_start(errands, "test", pass, note_end, &gate);
    cr_assert(pool_errand_await(errand, LONG_MS));
    cr_expect_eq(gate.through, 1);
    cr_expect_eq(gate.ended, 0, "somebody still looks at it");
    pool_errand_let_go(errand);
    cr_expect_eq(gate.ended, 1);
    cr_expect(pool_errands_end(errands, LONG_MS));
    pool_errands_free(errands);
    gate_fini(&gate);
}

/* Whoever let go of it never comes back, and nobody else starts one. */
Test(pool_errand, one_that_was_let_go_while_under_way_ends_when_it_is_over)
{
    struct gate gate;
    gate_init(&gate);
    struct pool_errands *errands = pool_errands_new();
    struct pool_errand *errand = pool_errand_start(errands, "test", pass, note_end, &gate);
    cr_assert(gate_await(&gate, &gate.inside));
    pool_errand_let_go(errand);
    cr_expect_eq(gate.ended, 0, "it is under way");
    gate_open(&gate);
    cr_expect(gate_await(&gate, &gate.ended), "what it needed is free");
    cr_assert(pool_errands_end(errands, LONG_MS));
    cr_expect_eq(gate.ended, 1);
    pool_errands_free(errands);
    gate_fini(&gate);
}

Test(pool_errand, one_that_hangs_holds_nobody_and_ends_later)
{
    struct gate gate, other;
    gate_init(&gate);
    gate_init(&other);
    other.is_open = true;
    struct pool_errands *errands = pool_errands_new();
    struct pool_errand *hanging = pool_errand_start(errands, "test", pass, note_end, &gate);
    cr_expect_not(pool_errand_await(hanging, 0));
    cr_expect_not(pool_errand_await(hanging, SHORT_MS));
    pool_errand_let_go(hanging);
    struct pool_errand *errand = pool_errand_start(errands, "test", pass, note_end, &other);
    cr_assert(pool_errand_await(errand, LONG_MS));
    pool_errand_let_go(errand);
    cr_expect_eq(other.ended, 1);
    cr_expect_not(pool_errands_end(errands, SHORT_MS), "it hangs");
    cr_expect_eq(gate.ended, 0);
    gate_open(&gate);
    cr_assert(pool_errands_end(errands, LONG_MS));
    cr_expect_eq(gate.ended, 1);
    pool_errands_free(errands);
    gate_fini(&gate);
    gate_fini(&other);
}

Test(pool_errand, many_run_at_once_and_more_one_after_the_other)
{
    enum { COUNT = 20, TURNS = 200 };
    struct gate gate;
    gate_init(&gate);
    struct pool_errands *errands = pool_errands_new();
    for (unsigned i = 0; i < COUNT; i++) {
        pool_errand_let_go(pool_errand_start(errands, "test", pass, note_end, &gate));
    }
    (void)pthread_mutex_lock(&gate.lock);
    while (gate.inside < COUNT) { /* none waits for another */
        gfs_cond_wait(&gate.changed, &gate.lock);
    }
    (void)pthread_mutex_unlock(&gate.lock);
    gate_open(&gate);
    for (unsigned i = 0; i < TURNS; i++) {
        struct pool_errand *errand = pool_errand_start(errands, "test", pass, NULL, &gate);
        cr_assert(pool_errand_await(errand, LONG_MS));
        pool_errand_let_go(errand);
    }
    cr_assert(pool_errands_end(errands, LONG_MS));
    cr_expect_eq(gate.through, COUNT + TURNS);
    cr_expect_eq(gate.ended, COUNT);
    pool_errands_free(errands);
    gate_fini(&gate);
}
