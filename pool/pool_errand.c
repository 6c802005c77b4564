#include "pool/pool_errand.h"

#include <pthread.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/mem.h"

enum { IDLE_MAX = 4 }; /* threads kept for the next errand */

/* A thread of the errands'. Guarded by their lock, but for `thread`, which its starter sets. */
struct runner {
    struct runner *next; /* among the idle, or the ended */
    struct pool_errands *errands;
    pthread_t thread;
    struct pool_errand *errand; /* NULL = none to do */
};

/* Guarded by lock. */
struct pool_errands {
    pthread_mutex_t lock;
    struct gfs_cond changed;
    struct pool_errand *first;
    struct runner *idle, *ended;
    unsigned idle_count, running; /* running: threads that are not ended */
    bool is_ending;
};

/* Guarded by the lock, but for what never changes. */
struct pool_errand {
    struct pool_errand *next;
    struct pool_errands *errands;
    const char *name;
    void (*run)(void *arg);
    void (*end)(void *arg);
    void *arg;
    bool is_over, is_let_go;
};

struct pool_errands *pool_errands_new(void)
{
    struct pool_errands *errands = gfs_alloc(sizeof *errands);
    (void)pthread_mutex_init(&errands->lock, NULL);
    gfs_cond_init(&errands->changed);
    return errands;
}

void pool_errands_free(struct pool_errands *errands)
{
    if (errands != NULL) {
        GFS_ASSERT(errands->first == NULL && errands->running == 0);
        GFS_ASSERT(errands->ended == NULL);
        gfs_cond_fini(&errands->changed);
        (void)pthread_mutex_destroy(&errands->lock);
        free(errands);
    }
}

static int64_t after(uint32_t ms)
{
    return gfs_monotonic_ns() + (int64_t)ms * 1000000;
}

/* One that is over and let go, off the list; NULL = none. */
static struct pool_errand *take_ended_locked(struct pool_errands *errands)
{
    struct pool_errand **link = &errands->first;
    while (*link != NULL && !((*link)->is_over && (*link)->is_let_go)) {
        link = &(*link)->next;
    }
    struct pool_errand *errand = *link;
    if (errand != NULL) {
        *link = errand->next;
    }
    return errand;
}

/* Those that are over and were let go. Called and returns with the lock, lets go of it. */
static void end_those_over_locked(struct pool_errands *errands)
{
    struct pool_errand *errand;
    while ((errand = take_ended_locked(errands)) != NULL) {
        (void)pthread_mutex_unlock(&errands->lock);
        if (errand->end != NULL) {
            errand->end(errand->arg);
        }
        free(errand);
        (void)pthread_mutex_lock(&errands->lock);
    }
}

/* As well, and the threads that ended are joined. */
static void reap_locked(struct pool_errands *errands)
{
    end_those_over_locked(errands);
    while (errands->ended != NULL) {
        struct runner *runner = errands->ended;
        errands->ended = runner->next;
        (void)pthread_mutex_unlock(&errands->lock);
        (void)pthread_join(runner->thread, NULL);
        free(runner);
        (void)pthread_mutex_lock(&errands->lock);
    }
}

/* ---- threads ---- */

/* Waits for the next one; false: this thread ends. */
static bool await_errand_locked(struct runner *runner)
{
    struct pool_errands *errands = runner->errands;
    if (errands->idle_count == IDLE_MAX || errands->is_ending) {
        return false;
    }
    runner->next = errands->idle;
    errands->idle = runner;
    errands->idle_count++;
    while (runner->errand == NULL && !errands->is_ending) {
        gfs_cond_wait(&errands->changed, &errands->lock);
    }
    return runner->errand != NULL;
}

static void *runner_main(void *arg)
{
    struct runner *runner = arg;
    struct pool_errands *errands = runner->errands;
    (void)pthread_mutex_lock(&errands->lock);
    do {
        struct pool_errand *errand = GFS_TAKE(runner->errand);
        (void)pthread_mutex_unlock(&errands->lock);
        (void)pthread_setname_np(pthread_self(), errand->name);
        errand->run(errand->arg);
        (void)pthread_mutex_lock(&errands->lock);
        errand->is_over = true;
        gfs_cond_broadcast(&errands->changed);
        /* If it was let go before, nobody else may come for long to free what it needed. */
        end_those_over_locked(errands);
    } while (await_errand_locked(runner));
    runner->next = errands->ended;
    errands->ended = runner;
    errands->running--;
    gfs_cond_broadcast(&errands->changed);
    (void)pthread_mutex_unlock(&errands->lock);
    return NULL;
}

/* false: there is no memory for a thread. */
static bool hand_out_locked(struct pool_errands *errands, struct pool_errand *errand)
{
    struct runner *runner = errands->idle;
    if (runner != NULL) {
        errands->idle = runner->next;
        errands->idle_count--;
        runner->errand = errand;
        gfs_cond_broadcast(&errands->changed);
        return true;
    }
    runner = gfs_alloc(sizeof *runner);
    *runner = (struct runner){.errands = errands, .errand = errand};
    /* under the lock: whoever joins it must know the thread */
    bool is_made = pthread_create(&runner->thread, NULL, runner_main, runner) == 0;
    errands->running += is_made;
    if (!is_made) {
        free(runner);
    }
    return is_made;
}

bool pool_errands_end(struct pool_errands *errands, uint32_t wait_ms)
{
    int64_t until_ns = after(wait_ms);
    bool has_time = true;
    (void)pthread_mutex_lock(&errands->lock);
    reap_locked(errands);
    while (errands->first != NULL && has_time) {
        has_time = gfs_cond_wait_until(&errands->changed, &errands->lock, until_ns);
        reap_locked(errands);
    }
    bool is_none = errands->first == NULL;
    if (is_none) { /* its threads are idle, or about to be: one may be ending its last errand */
        errands->is_ending = true;
        errands->idle = NULL;
        errands->idle_count = 0;
        gfs_cond_broadcast(&errands->changed);
        while (errands->running != 0) {
            gfs_cond_wait(&errands->changed, &errands->lock);
        }
        reap_locked(errands);
        errands->is_ending = false;
    }
    (void)pthread_mutex_unlock(&errands->lock);
    return is_none;
}

/* ---- one ---- */

struct pool_errand *pool_errand_start(struct pool_errands *errands, const char *name,
                                      void (*run)(void *arg), void (*end)(void *arg), void *arg)
{
    struct pool_errand *errand = gfs_alloc(sizeof *errand);
    *errand =
        (struct pool_errand){.errands = errands, .name = name, .run = run, .end = end, .arg = arg};
    (void)pthread_mutex_lock(&errands->lock);
    reap_locked(errands);
    errand->next = errands->first;
    errands->first = errand;
    bool is_handed_out = hand_out_locked(errands, errand);
    (void)pthread_mutex_unlock(&errands->lock);
    if (!is_handed_out) {
        run(arg);
        (void)pthread_mutex_lock(&errands->lock);
        errand->is_over = true;
        (void)pthread_mutex_unlock(&errands->lock);
    }
    return errand;
}

bool pool_errand_await(struct pool_errand *errand, uint32_t wait_ms)
{
    struct pool_errands *errands = errand->errands;
    int64_t until_ns = after(wait_ms);
    bool has_time = wait_ms != 0;
    (void)pthread_mutex_lock(&errands->lock);
    while (!errand->is_over && has_time) {
        has_time = gfs_cond_wait_until(&errands->changed, &errands->lock, until_ns);
    }
    bool is_over = errand->is_over;
    (void)pthread_mutex_unlock(&errands->lock);
    return is_over;
}

void pool_errand_let_go(struct pool_errand *errand)
{
    if (errand != NULL) {
        struct pool_errands *errands = errand->errands;
        (void)pthread_mutex_lock(&errands->lock);
        errand->is_let_go = true;
        gfs_cond_broadcast(&errands->changed);
        reap_locked(errands);
        (void)pthread_mutex_unlock(&errands->lock);
    }
}
