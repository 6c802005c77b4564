/* Jobs are run in order by some thread, and calls that hang do not keep others from it. */
#include "gateway/worker.h"

#include <criterion/criterion.h>
#include <pthread.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/mem.h"

enum { WAIT_S = 20 };

/* Guarded by lock. */
struct desk {
    pthread_mutex_t lock;
    struct gfs_cond changed;
    unsigned begun, over;
    bool is_open; /* who hangs goes on */
};

struct call {
    struct worker_job job;
    struct desk *desk;
    bool hangs;
};

static void run(struct worker_job *job)
{
    struct call *call = GFS_CONTAINER_OF(job, struct call, job);
    struct desk *desk = call->desk;
    pthread_mutex_lock(&desk->lock);
    desk->begun++;
    gfs_cond_broadcast(&desk->changed);
    while (call->hangs && !desk->is_open) {
        gfs_cond_wait(&desk->changed, &desk->lock);
    }
    desk->over++;
    gfs_cond_broadcast(&desk->changed);
    pthread_mutex_unlock(&desk->lock);
}

static void desk_init(struct desk *desk)
{
    *desk = (struct desk){.begun = 0};
    pthread_mutex_init(&desk->lock, NULL);
    gfs_cond_init(&desk->changed);
}

static void desk_fini(struct desk *desk)
{
    gfs_cond_fini(&desk->changed);
    pthread_mutex_destroy(&desk->lock);
}

static void desk_open(struct desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    desk->is_open = true;
    gfs_cond_broadcast(&desk->changed);
    pthread_mutex_unlock(&desk->lock);
}

/* Whether *count, of the desk, came to `wanted` within ms. */
static bool comes_to(struct desk *desk, const unsigned *count, unsigned wanted, int64_t ms)
{
    int64_t until_ns = gfs_monotonic_ns() + ms * 1000000;
    bool has_time = true;
    pthread_mutex_lock(&desk->lock);
    while (*count < wanted && has_time) {
        has_time = gfs_cond_wait_until(&desk->changed, &desk->lock, until_ns);
    }
    bool is_there = *count >= wanted;
    pthread_mutex_unlock(&desk->lock);
    return is_there;
}

static void submit(struct worker_pool *pool, struct desk *desk, struct call *call, bool hangs)
{
    *call = (struct call){.job = {.run = run}, .desk = desk, .hangs = hangs};
    cr_assert(worker_submit(pool, &call->job));
}

Test(worker, calls_that_hang_in_every_thread_do_not_stop_the_others)
{
    enum { THREADS = 2, EXTRA = 3, OTHERS = 100 };
    struct worker_options options = {
        .thread_count = THREADS, .extra_max = EXTRA, .late_ms = 20, .queue_max = 1000};
    struct worker_pool *pool = worker_pool_new(&options);
    struct desk desk;
    static struct call hanging[THREADS + EXTRA + 1], others[OTHERS];
    desk_init(&desk);
    for (unsigned i = 0; i < THREADS + EXTRA - 1; i++) {
        submit(pool, &desk, &hanging[i], true);
    }
    cr_assert(comes_to(&desk, &desk.begun, THREADS + EXTRA - 1, WAIT_S * 1000));
    for (unsigned i = 0; i < OTHERS; i++) {
        submit(pool, &desk, &others[i], false);
    }
    cr_assert(comes_to(&desk, &desk.over, OTHERS, WAIT_S * 1000), "one thread is left for them");
    submit(pool, &desk, &hanging[THREADS + EXTRA - 1], true);
    cr_assert(comes_to(&desk, &desk.begun, OTHERS + THREADS + EXTRA, WAIT_S * 1000));
    submit(pool, &desk, &hanging[THREADS + EXTRA], true);
    cr_expect(!comes_to(&desk, &desk.begun, OTHERS + THREADS + EXTRA + 1, 200),
              "there are as many threads as may be");
    desk_open(&desk);
    worker_pool_free(pool);
    cr_expect_eq(desk.over, OTHERS + THREADS + EXTRA + 1);
    desk_fini(&desk);
}

Test(worker, without_extra_threads_one_call_follows_the_other)
{
    struct worker_options options = {.thread_count = 1, .queue_max = 2};
    struct worker_pool *pool = worker_pool_new(&options);
    struct desk desk;
    struct call hanging, second, third, fourth = {.job = {.run = run}, .desk = &desk};
    desk_init(&desk);
    submit(pool, &desk, &hanging, true);
    cr_assert(comes_to(&desk, &desk.begun, 1, WAIT_S * 1000));
    submit(pool, &desk, &second, false);
    submit(pool, &desk, &third, false);
    cr_expect(!worker_submit(pool, &fourth.job), "the queue is full");
    cr_expect(!comes_to(&desk, &desk.begun, 2, 100));
    desk_open(&desk);
    worker_pool_free(pool); /* runs what is queued */
    cr_expect_eq(desk.over, 3);
    desk_fini(&desk);
}

Test(worker, a_pool_that_stood_by_for_nothing_ends_at_once)
{
    struct worker_options options = {
        .thread_count = 1, .extra_max = 4, .late_ms = 3600000, .queue_max = 10};
    struct worker_pool *pool = worker_pool_new(&options);
    struct desk desk;
    struct call calls[10];
    desk_init(&desk);
    for (unsigned i = 0; i < 10; i++) {
        submit(pool, &desk, &calls[i], false);
    }
    int64_t begun_ns = gfs_monotonic_ns();
    worker_pool_free(pool);
    cr_expect_lt(gfs_monotonic_ns() - begun_ns, WAIT_S * 1000000000LL);
    cr_expect_eq(desk.over, 10);
    desk_fini(&desk);
}
