#include <criterion/criterion.h>
#include <sched.h>

#include "libgoodfs/clock.h"
#include "pool/pool_pace.h"
#include "pool/pool_progress.h"

Test(pool_pace, what_is_spent_over_the_rate_is_waited_for)
{
    struct pool_pace pace;
    pool_pace_init(&pace, 10 << 20);
    int64_t since_ns = gfs_monotonic_ns();
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(pool_pace_spend(&pace, 1 << 20));
    }
    int64_t ms = (gfs_monotonic_ns() - since_ns) / 1000000;
    cr_assert_geq(ms, 190, "3 MiB at 10 MiB/s, 1 of them free, took %d ms", (int)ms);
    pool_pace_fini(&pace);
}

Test(pool_pace, no_rate_is_no_wait)
{
    struct pool_pace pace;
    pool_pace_init(&pace, 0);
    cr_assert(pool_pace_spend(&pace, UINT64_MAX));
    pool_pace_set_rate(&pace, 1);
    pool_pace_set_rate(&pace, 0);
    cr_assert(pool_pace_spend(&pace, UINT64_MAX));
    pool_pace_fini(&pace);
}

static void *spend_much(void *arg)
{
    for (unsigned i = 0; i < 4; i++) {
        cr_assert(pool_pace_spend(arg, 1 << 20));
    }
    return NULL;
}

Test(pool_pace, all_threads_together_keep_to_the_rate)
{
    struct pool_pace pace;
    pool_pace_init(&pace, 50 << 20);
    pthread_t threads[4];
    int64_t since_ns = gfs_monotonic_ns();
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, spend_much, &pace), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    int64_t ms = (gfs_monotonic_ns() - since_ns) / 1000000;
    cr_assert_geq(ms, 215, "16 MiB at 50 MiB/s, 5 of them free, took %d ms", (int)ms);
    pool_pace_fini(&pace);
}

/* When somebody has spent: so much that it takes 10 s. */
static void *spend_later(void *arg)
{
    struct pool_pace *pace = arg;
    bool is_first = true;
    while (is_first) {
        (void)pthread_mutex_lock(&pace->lock);
        is_first = pace->free_ns == 0;
        (void)pthread_mutex_unlock(&pace->lock);
        (void)sched_yield();
    }
    cr_assert_not(pool_pace_spend(pace, 100 << 20));
    return NULL;
}

Test(pool_pace, bytes_that_others_spend_later_are_not_waited_for)
{
    struct pool_pace pace;
    pool_pace_init(&pace, 10 << 20);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, spend_later, &pace), 0);
    int64_t since_ns = gfs_monotonic_ns();
    cr_assert(pool_pace_spend(&pace, 3 << 20));
    int64_t ms = (gfs_monotonic_ns() - since_ns) / 1000000;
    cr_assert_lt(ms, 5000, "3 MiB at 10 MiB/s took %d ms", (int)ms);
    pool_pace_stop(&pace);
    (void)pthread_join(thread, NULL);
    pool_pace_fini(&pace);
}

static void *stop(void *arg)
{
    pool_pace_stop(arg);
    return NULL;
}

Test(pool_pace, a_stop_ends_every_wait_for_good)
{
    struct pool_pace pace;
    pool_pace_init(&pace, 1);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, stop, &pace), 0);
    cr_assert_not(pool_pace_spend(&pace, 1000000));
    cr_assert_not(pool_pace_sleep(&pace, 1000000));
    (void)pthread_join(thread, NULL);
    pool_pace_fini(&pace);
}

Test(pool_pace, a_wake_before_the_sleep_is_not_lost)
{
    struct pool_pace pace;
    pool_pace_init(&pace, 1);
    pool_pace_wake(&pace);
    cr_assert(pool_pace_sleep(&pace, 1000000));
    cr_assert(pool_pace_sleep(&pace, 1));
    pool_pace_fini(&pace);
}

Test(pool_progress, a_lost_chunk_is_counted_once)
{
    struct pool_progress progress;
    pool_progress_init(&progress);
    for (unsigned i = 0; i < 2 * (POOL_LOST_MAX + 3); i++) {
        struct pool_lost lost = {.id = {1, i % (POOL_LOST_MAX + 3)}, .have = 1, .need = 2};
        pool_progress_lost(&progress, &lost);
    }
    cr_assert_eq(progress.state.lost_count, POOL_LOST_MAX + 3);
    cr_assert_eq(progress.state.lost[POOL_LOST_MAX - 1].id.lo, POOL_LOST_MAX - 1);
    pool_progress_fini(&progress);
}

Test(pool_progress, what_was_made_during_the_survey_is_not_left)
{
    struct pool_progress progress;
    pool_progress_init(&progress);
    pool_progress_begin(&progress);
    pool_progress_copied(&progress, 100);
    struct pool_tally tally = {.missing = 3, .missing_bytes = 700};
    static const struct pool_lost none[POOL_LOST_MAX];
    struct pool_lost_ids no_ids = {0};
    pool_progress_survey(&progress, &tally, none, 0, &no_ids);
    cr_assert_eq(progress.state.left, 2);
    cr_assert_eq(progress.state.left_bytes, 600);
    progress.state.since_ns = 0;
    cr_assert_eq(pool_progress_rate(&progress.state, 2000000000), 50);
    pool_progress_fini(&progress);
}
