/* Errands: waited for as long as one likes, left alone when they hang. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"

enum { LONG_MS = 60000, SHORT_MS = 10 };

/* Something that hangs until it is let through. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_open;
    unsigned inside, through, ended;
};

static void gate_init(struct gate *gate)
{
    *gate = (struct gate){0};
    (void)pthread_mutex_init(&gate->lock, NULL);
    (void)pthread_cond_init(&gate->changed, NULL);
}

static void gate_open(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->is_open = true;
    (void)pthread_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

static void gate_fini(struct gate *gate)
{
    (void)pthread_cond_destroy(&gate->changed);
    (void)pthread_mutex_destroy(&gate->lock);
}

static void pass(void *arg)
{
    struct gate *gate = arg;
    (void)pthread_mutex_lock(&gate->lock);
    gate->inside++;
    (void)pthread_cond_broadcast(&gate->changed);
    while (!gate->is_open) {
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
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
    (void)pthread_mutex_unlock(&gate->lock);
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
        (void)pthread_cond_wait(&gate.changed, &gate.lock);
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
