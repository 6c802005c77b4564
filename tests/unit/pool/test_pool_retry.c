#include <criterion/criterion.h>

#include "pool/pool_retry.h"

#define SECOND_NS 1000000000LL

static int64_t wait_s(const struct pool_retry *retry, int64_t now_ns)
{
    cr_assert_eq((retry->due_ns - now_ns) % SECOND_NS, 0);
    return (retry->due_ns - now_ns) / SECOND_NS;
}

Test(pool_retry, one_that_was_never_away_is_due_when_it_leaves)
{
    struct pool_retry retry = {0};
    pool_retry_leave(&retry, 1000 * SECOND_NS);
    cr_assert(pool_retry_is_due(&retry, 1000 * SECOND_NS));
}

Test(pool_retry, one_that_comes_and_goes_is_due_ever_later_until_it_stays)
{
    static const int64_t waits_s[] = {1, 3, 7, 15, 31, 63, 127, 255, 511, 600, 600};
    struct pool_retry retry = {0};
    int64_t now_ns = 5000 * SECOND_NS;
    pool_retry_leave(&retry, now_ns);
    for (unsigned i = 0; i < sizeof waits_s / sizeof waits_s[0]; i++) {
        pool_retry_return(&retry, now_ns);
        now_ns += 2 * SECOND_NS;
        pool_retry_stay(&retry, now_ns);
        pool_retry_leave(&retry, now_ns);
        cr_assert_eq(wait_s(&retry, now_ns), waits_s[i], "after %u returns", i + 1);
        cr_assert(!pool_retry_is_due(&retry, retry.due_ns - 1));
        cr_assert(pool_retry_is_due(&retry, retry.due_ns));
        now_ns = retry.due_ns;
    }
    pool_retry_return(&retry, now_ns);
    now_ns += 601 * SECOND_NS;
    pool_retry_stay(&retry, now_ns);
    pool_retry_leave(&retry, now_ns);
    cr_assert(pool_retry_is_due(&retry, now_ns));
}

Test(pool_retry, one_with_errors_of_its_own_waits_the_first_time_too)
{
    static const int64_t waits_s[] = {5, 11, 23, 47};
    struct pool_retry retry = {0};
    int64_t now_ns = 7 * SECOND_NS;
    for (unsigned i = 0; i < sizeof waits_s / sizeof waits_s[0]; i++) {
        pool_retry_fail(&retry, now_ns);
        cr_assert_eq(wait_s(&retry, now_ns), waits_s[i]);
        now_ns = retry.due_ns;
        pool_retry_return(&retry, now_ns);
    }
}

/* Refused however often, the next look is not far; and when it is back, the refusals were not its
 * own. */
Test(pool_retry, refusals_defer_the_next_look_by_a_minute_at_most)
{
    static const int64_t waits_s[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    struct pool_retry retry = {0};
    int64_t now_ns = 100 * SECOND_NS;
    for (unsigned i = 0; i < sizeof waits_s / sizeof waits_s[0]; i++) {
        pool_retry_refuse(&retry, now_ns);
        cr_assert_eq(wait_s(&retry, now_ns), waits_s[i]);
        now_ns = retry.due_ns;
    }
    pool_retry_return(&retry, now_ns);
    pool_retry_leave(&retry, now_ns);
    cr_assert_eq(wait_s(&retry, now_ns), 1);
    pool_retry_refuse(&retry, now_ns);
    cr_assert_eq(wait_s(&retry, now_ns), 1, "they are counted anew");
}

Test(pool_retry, a_limit_is_kept_though_it_is_set_again_and_again)
{
    struct pool_retry retry = {.away_s = 500};
    int64_t now_ns = 100 * SECOND_NS;
    pool_retry_leave(&retry, now_ns);
    cr_assert_eq(wait_s(&retry, now_ns), 500);
    pool_retry_limit(&retry, now_ns, 60);
    cr_assert_eq(wait_s(&retry, now_ns), 60);
    pool_retry_limit(&retry, now_ns + 30 * SECOND_NS, 60);
    cr_assert_eq(wait_s(&retry, now_ns), 60);
    pool_retry_limit(&retry, now_ns, 5);
    cr_assert_eq(wait_s(&retry, now_ns), 5);
}
