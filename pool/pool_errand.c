#include "pool/pool_errand.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "libgoodfs/mem.h"

/* Guarded by lock. */
struct pool_errands {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* on the monotonic clock */
    struct pool_errand *first;
};

/* Guarded by the lock, but for what never changes. */
struct pool_errand {
    struct pool_errand *next;
    struct pool_errands *errands;
    pthread_t thread;
    bool has_thread;
    void (*run)(void *arg);
    void (*end)(void *arg);
    void *arg;
    bool is_over, is_let_go;
};

struct pool_errands *pool_errands_new(void)
{
    struct pool_errands *errands = gfs_alloc(sizeof *errands);
    (void)pthread_mutex_init(&errands->lock, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&errands->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    return errands;
}

void pool_errands_free(struct pool_errands *errands)
{
    if (errands != NULL) {
        GFS_ASSERT(errands->first == NULL);
        (void)pthread_cond_destroy(&errands->changed);
        (void)pthread_mutex_destroy(&errands->lock);
        free(errands);
    }
}

static struct timespec after(uint32_t ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
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

/* Called and returns with the lock, lets go of it. */
static void reap_locked(struct pool_errands *errands)
{
    struct pool_errand *errand;
    while ((errand = take_ended_locked(errands)) != NULL) {
        (void)pthread_mutex_unlock(&errands->lock);
        if (errand->has_thread) {
            (void)pthread_join(errand->thread, NULL);
        }
        if (errand->end != NULL) {
            errand->end(errand->arg);
        }
        free(errand);
        (void)pthread_mutex_lock(&errands->lock);
    }
}

bool pool_errands_end(struct pool_errands *errands, uint32_t wait_ms)
{
    struct timespec until = after(wait_ms);
    int rc = 0;
    (void)pthread_mutex_lock(&errands->lock);
    reap_locked(errands);
    while (errands->first != NULL && rc == 0) {
        rc = pthread_cond_timedwait(&errands->changed, &errands->lock, &until);
        reap_locked(errands);
    }
    bool is_none = errands->first == NULL;
    (void)pthread_mutex_unlock(&errands->lock);
    return is_none;
}

static void *errand_main(void *arg)
{
    struct pool_errand *errand = arg;
    struct pool_errands *errands = errand->errands;
    errand->run(errand->arg);
    (void)pthread_mutex_lock(&errands->lock);
    errand->is_over = true;
    (void)pthread_cond_broadcast(&errands->changed);
    (void)pthread_mutex_unlock(&errands->lock);
    return NULL;
}

struct pool_errand *pool_errand_start(struct pool_errands *errands, const char *name,
                                      void (*run)(void *arg), void (*end)(void *arg), void *arg)
{
    struct pool_errand *errand = gfs_alloc(sizeof *errand);
    *errand = (struct pool_errand){.errands = errands, .run = run, .end = end, .arg = arg};
    (void)pthread_mutex_lock(&errands->lock);
    reap_locked(errands);
    errand->next = errands->first;
    errands->first = errand;
    /* under the lock: whoever reaps it must know the thread */
    errand->has_thread = pthread_create(&errand->thread, NULL, errand_main, errand) == 0;
    if (errand->has_thread) {
        (void)pthread_setname_np(errand->thread, name);
    }
    (void)pthread_mutex_unlock(&errands->lock);
    if (!errand->has_thread) { /* no memory for a thread: it is done here */
        (void)errand_main(errand);
    }
    return errand;
}

bool pool_errand_await(struct pool_errand *errand, uint32_t wait_ms)
{
    struct pool_errands *errands = errand->errands;
    struct timespec until = after(wait_ms);
    int rc = 0;
    (void)pthread_mutex_lock(&errands->lock);
    while (!errand->is_over && wait_ms != 0 && rc == 0) {
        rc = pthread_cond_timedwait(&errands->changed, &errands->lock, &until);
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
        (void)pthread_cond_broadcast(&errands->changed);
        reap_locked(errands);
        (void)pthread_mutex_unlock(&errands->lock);
    }
}
