#include "goodfs/fsck_orphans.h"

#include <criterion/criterion.h>

static struct fsck_orphans orphans;

static struct chunk_id id_of(uint64_t n)
{
    return (struct chunk_id){.hi = n % 7, .lo = n};
}

static void add(uint64_t first, uint64_t end, int64_t now_ms)
{
    for (uint64_t n = first; n < end; n++) {
        fsck_orphans_add(&orphans, id_of(n), 10, now_ms);
    }
}

Test(fsck_orphans, keep_when_they_were_first_seen_and_go_when_they_are_not_seen)
{
    fsck_orphans_begin(&orphans, 0);
    add(1, 100, 5);
    fsck_orphans_end(&orphans);
    cr_assert_eq(orphans.count, 99u);
    fsck_orphans_begin(&orphans, 0);
    add(50, 150, 9);
    fsck_orphans_end(&orphans);
    cr_assert_eq(orphans.count, 100u);
    for (size_t i = 0; i < orphans.count; i++) {
        uint64_t n = orphans.items[i].id.lo;
        cr_assert(n >= 50 && n < 150);
        cr_assert_eq(orphans.items[i].first_seen_ms, n < 100 ? 5 : 9);
    }
    fsck_orphans_fini(&orphans);
}

Test(fsck_orphans, are_let_go_of_one_by_one)
{
    bool keep[10] = {true, false, true};
    fsck_orphans_begin(&orphans, 0);
    add(0, 10, 1);
    fsck_orphans_filter(&orphans, keep);
    cr_assert_eq(orphans.count, 2u);
    cr_assert_eq(orphans.items[1].id.lo, 2u);
    fsck_orphans_fini(&orphans);
}

Test(fsck_orphans, too_many_are_abnormal_and_few_are_not_in_a_small_store)
{
    static const struct {
        uint64_t orphans, chunks, references;
        bool is_abnormal;
    } cases[] = {
        {0, 0, 0, false},    {1, 1, 0, true}, /* all that there is */
        {5, 10, 0, true},                     /* an empty database */
        {1, 10, 4, false},   {3, 10, 4, true},          {16, 100, 84, false},
        {17, 100, 83, true}, {100, 10000, 9900, false}, {101, 10000, 9899, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fsck_orphans_begin(&orphans, 0);
        add(0, cases[i].orphans, 1);
        cr_assert_eq(fsck_orphans_is_abnormal(&orphans, cases[i].chunks, cases[i].references),
                     cases[i].is_abnormal, "case %zu", i);
        fsck_orphans_fini(&orphans);
    }
}

Test(fsck_orphans, age_by_what_passes_between_searches_and_never_backwards)
{
    fsck_orphans_begin(&orphans, 1000);
    add(1, 3, 5);
    fsck_orphans_end(&orphans);
    fsck_orphans_begin(&orphans, 1700);
    add(1, 4, 9);
    fsck_orphans_end(&orphans);
    fsck_orphans_begin(&orphans, 1600);
    cr_assert_eq(orphans.items[0].age_ms, 700);
    cr_assert_eq(orphans.items[2].age_ms, 0);
    fsck_orphans_fini(&orphans);
}
