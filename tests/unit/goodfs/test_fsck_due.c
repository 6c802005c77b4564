/* When searches are due, at any moment, without a thread or a clock. */
#include "goodfs/fsck_due.h"

#include <criterion/criterion.h>

#define S INT64_C(1000000000)
#define HOUR (3600 * S)
#define DAY (24 * HOUR)

static struct fsck_due due;
static struct fsck_look now;

static void begin(void)
{
    now = (struct fsck_look){.disks = {FSCK_DISK_IN_USE, FSCK_DISK_IN_USE}, .is_whole = true};
    fsck_due_init(&due, &now, 60 * S, DAY);
}

static void run(int64_t at_ns, int64_t took_ns, uint64_t losses)
{
    fsck_due_begin(&due, &now, at_ns);
    fsck_due_end(&due, true, losses, at_ns + took_ns);
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
    cr_expect(!fsck_due_is_unsure(&due, now.disks));
}

Test(fsck_due, after_a_disk_was_given_up_it_is_searched_as_soon_as_the_others_are_whole)
{
    now.disks[1] = FSCK_DISK_FAILED;
    now.is_whole = false;
    cr_expect(fsck_due_is_unsure(&due, now.disks), "before anybody looked");
    cr_expect(!fsck_due_look(&due, &now, S));
    now.disks[1] = FSCK_DISK_GONE;
    now.is_whole = true;
    cr_expect(fsck_due_look(&due, &now, 2 * S));
    fsck_due_begin(&due, &now, 2 * S);
    cr_expect(fsck_due_is_unsure(&due, now.disks));
    fsck_due_end(&due, false, 0, 3 * S);
    cr_expect(fsck_due_is_unsure(&due, now.disks), "that search failed");
    cr_expect(!fsck_due_look(&due, &now, 50 * S));
    cr_expect(fsck_due_look(&due, &now, 63 * S));
    run(63 * S, S, 0);
    cr_expect(!fsck_due_is_unsure(&due, now.disks));
    cr_expect(!fsck_due_look(&due, &now, HOUR));
}

Test(fsck_due, a_disk_that_is_given_up_during_a_search_wants_another)
{
    fsck_due_begin(&due, &now, S);
    now.disks[0] = FSCK_DISK_GONE; /* failed, too, but nobody looked */
    fsck_due_end(&due, true, 0, 2 * S);
    cr_expect(fsck_due_is_unsure(&due, now.disks));
    cr_expect(fsck_due_look(&due, &now, 9 * S));
}

Test(fsck_due, a_disk_that_was_emptied_or_added_is_no_reason)
{
    now.disks[1] = FSCK_DISK_LEAVING;
    now.disks[2] = FSCK_DISK_IN_USE;
    cr_expect(!fsck_due_look(&due, &now, S));
    now.disks[1] = FSCK_DISK_GONE;
    cr_expect(!fsck_due_look(&due, &now, 2 * S));
    cr_expect(!fsck_due_is_unsure(&due, now.disks));
    now.disks[2] = FSCK_DISK_FAILED;
    cr_expect(fsck_due_look(&due, &now, 3 * S));
}

Test(fsck_due, a_start_with_a_disk_that_is_new_or_failed_is_searched)
{
    now.is_whole = false;
    fsck_due_init(&due, &now, 60 * S, DAY);
    cr_expect(fsck_due_is_unsure(&due, now.disks));
    cr_expect(!fsck_due_look(&due, &now, S));
    now.is_whole = true;
    cr_expect(fsck_due_look(&due, &now, 2 * S));
    now.disks[0] = FSCK_DISK_FAILED;
    fsck_due_init(&due, &now, 60 * S, DAY);
    cr_expect(fsck_due_look(&due, &now, S));
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
