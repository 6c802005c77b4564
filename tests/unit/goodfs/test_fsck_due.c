/* When searches are due, at any moment, without a thread or a clock. */
#include "goodfs/fsck_due.h"

#include <criterion/criterion.h>

#define S INT64_C(1000000000)
#define HOUR (3600 * S)
#define DAY (24 * HOUR)

static struct fsck_due due;
static struct fsck_look now;
static const struct fsck_known nothing;

static void begin(void)
{
    now = (struct fsck_look){.is_whole = true};
    fsck_due_init(&due, &nothing, 60 * S, DAY);
}

static void run(int64_t at_ns, int64_t took_ns, uint64_t losses)
{
    fsck_due_begin(&due, &now, at_ns);
    fsck_due_end(&due, true, losses, false, at_ns + took_ns);
}

TestSuite(fsck_due, .init = begin);

Test(fsck_due, the_first_is_a_minute_after_the_start_and_then_once_a_period)
{
    cr_expect(!fsck_due_look(&due, &now, 59 * S));
    cr_expect(fsck_due_look(&due, &now, 60 * S));
    run(60 * S, S, 0);
    cr_expect(!fsck_due_look(&due, &now, DAY));
    cr_expect(fsck_due_look(&due, &now, DAY + 61 * S));
}

Test(fsck_due, a_disk_that_goes_and_comes_back_is_no_reason)
{
    now.is_whole = false;
    cr_expect(!fsck_due_look(&due, &now, S));
    now.is_whole = true;
    cr_expect(!fsck_due_look(&due, &now, 2 * S));
    cr_expect(!fsck_due_is_unsure(&due, now.given_up));
}

Test(fsck_due, after_a_disk_was_given_up_it_is_searched_as_soon_as_the_others_are_whole)
{
    now.given_up[1] = true;
    now.is_whole = false;
    cr_expect(fsck_due_is_unsure(&due, now.given_up), "before anybody looked");
    cr_expect(!fsck_due_look(&due, &now, S));
    now.is_whole = true;
    cr_expect(fsck_due_look(&due, &now, 2 * S));
    fsck_due_begin(&due, &now, 2 * S);
    cr_expect(fsck_due_is_unsure(&due, now.given_up));
    fsck_due_end(&due, false, 0, false, 3 * S);
    cr_expect(fsck_due_is_unsure(&due, now.given_up), "that search failed");
    cr_expect(!fsck_due_look(&due, &now, 50 * S));
    cr_expect(fsck_due_look(&due, &now, 63 * S));
    run(63 * S, S, 0);
    cr_expect(!fsck_due_is_unsure(&due, now.given_up));
    cr_expect(!fsck_due_look(&due, &now, HOUR));
}

Test(fsck_due, a_disk_that_is_given_up_during_a_search_wants_another)
{
    fsck_due_begin(&due, &now, S);
    now.given_up[0] = true;
    fsck_due_end(&due, true, 0, false, 2 * S);
    cr_expect(fsck_due_is_unsure(&due, now.given_up));
    cr_expect(fsck_due_look(&due, &now, 9 * S));
}

Test(fsck_due, a_disk_that_is_in_use_again_and_fails_again_is_searched_for_again)
{
    now.given_up[2] = true;
    run(S, S, 0);
    cr_expect(!fsck_due_look(&due, &now, 9 * S));
    now.given_up[2] = false;
    cr_expect(!fsck_due_look(&due, &now, 10 * S));
    now.given_up[2] = true;
    cr_expect(fsck_due_is_unsure(&due, now.given_up));
    cr_expect(fsck_due_look(&due, &now, 11 * S));
}

Test(fsck_due, a_start_goes_on_with_what_searches_before_it_knew)
{
    struct fsck_known known = {.searched = {false, true}};
    now.given_up[1] = true;
    fsck_due_init(&due, &known, 60 * S, DAY);
    cr_expect(!fsck_due_is_unsure(&due, now.given_up));
    cr_expect(!fsck_due_look(&due, &now, S));
    now.given_up[0] = true; /* meanwhile, and another one has its place already */
    fsck_due_init(&due, &known, 60 * S, DAY);
    cr_expect(fsck_due_is_unsure(&due, now.given_up));
    cr_expect(fsck_due_look(&due, &now, S));
}

Test(fsck_due, a_start_searches_for_what_was_lost_before_it)
{
    fsck_due_init(&due, &(struct fsck_known){.losses = 1}, 60 * S, DAY);
    cr_expect(fsck_due_look(&due, &now, S));
    fsck_due_init(&due, &(struct fsck_known){.has_damage = true}, 60 * S, DAY);
    cr_expect(fsck_due_look(&due, &now, S));
    run(S, S, 0);
    cr_expect(!fsck_due_look(&due, &now, HOUR));
}

Test(fsck_due, while_something_is_lost_it_is_searched_again_and_when_disks_are_back_at_once)
{
    now.is_whole = false;
    run(S, S, 2);
    cr_expect(!fsck_due_look(&due, &now, 6 * S));
    now.is_whole = true;
    cr_expect(fsck_due_look(&due, &now, 6 * S));
    run(6 * S, S, 2);
    cr_expect(!fsck_due_look(&due, &now, 30 * S));
    cr_expect(fsck_due_look(&due, &now, 70 * S));
    run(70 * S, S, 0);
    cr_expect(!fsck_due_look(&due, &now, HOUR));
}

Test(fsck_due, what_storage_says_is_lost_is_searched_for_once)
{
    now.losses = 1;
    cr_expect(fsck_due_look(&due, &now, S));
    cr_expect(fsck_due_look(&due, &now, 2 * S), "until it was");
    run(2 * S, S, 0);
    cr_expect(!fsck_due_look(&due, &now, 10 * S));
    now.losses = 2;
    cr_expect(fsck_due_look(&due, &now, 11 * S));
}

Test(fsck_due, a_search_that_takes_long_is_not_repeated_all_the_time)
{
    run(S, HOUR, 5);
    cr_expect(!fsck_due_look(&due, &now, 2 * HOUR));
    now.losses = 1;
    cr_expect(!fsck_due_look(&due, &now, 2 * HOUR));
    cr_expect(fsck_due_look(&due, &now, 3 * HOUR + 2 * S));
}
