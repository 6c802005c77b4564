/* What a search found: nothing that is lost is left out for what is only degraded. */
#include "goodfs/fsck_findings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct fsck_findings findings;
static struct fsck_list list;

static void begin(void)
{
    fsck_findings_init(&findings);
}

static void clear(void)
{
    fsck_findings_fini(&findings);
    fsck_list_release(&list);
}

static struct fsck_chunk chunk(uint64_t number, unsigned have)
{
    return (struct fsck_chunk){.id = {number, 1}, .have = have, .need = 2, .width = 3};
}

static void add(uint64_t number, unsigned have)
{
    struct fsck_chunk added = chunk(number, have);
    fsck_findings_add(&findings, &added);
}

static void name(uint64_t number, const char *key)
{
    struct fsck_reference reference = {
        {number, 1}, GFS_SLICE_LITERAL("bucket"), gfs_slice_str(key)};
    fsck_findings_name(&findings, &reference);
}

static void name_all(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key%07llu", (unsigned long long)i);
        name(i, key);
    }
}

TestSuite(fsck_findings, .init = begin, .fini = clear);

Test(fsck_findings, what_is_lost_is_named_however_much_is_degraded)
{
    enum { COUNT = FSCK_DEGRADED_MAX + 20000 };
    for (uint64_t i = 0; i < COUNT; i++) {
        add(i, i < COUNT - 7 ? 2 : 1);
    }
    fsck_findings_sort(&findings);
    name_all(COUNT);
    fsck_findings_end(&findings, &list);
    cr_assert_eq(list.lost, 7u);
    cr_assert_eq(list.degraded, FSCK_DEGRADED_MAX);
    cr_assert_eq(list.unjudged, 20000u - 7);
    cr_assert_eq(list.unjudged_losses, 0u);
    cr_assert_eq(list.row_count, FSCK_DEGRADED_MAX + 7u);
    for (size_t i = 0; i < 8; i++) {
        cr_assert_eq(list.rows[i].worst.state, i < 7 ? FSCK_LOST : FSCK_DEGRADED);
    }
}

Test(fsck_findings, an_object_is_one_row_however_many_of_its_chunks_are_bad)
{
    for (uint64_t i = 0; i < 10; i++) {
        add(i, i == 4 ? 0 : 2);
    }
    add(10, 2);
    fsck_findings_sort(&findings);
    name(10, "other");
    for (uint64_t i = 0; i < 10; i++) {
        name(i, "large");
    }
    name(10, "copy");
    name(3, "large"); /* visited again: a copy was made meanwhile */
    fsck_findings_end(&findings, &list);
    cr_assert_eq(list.row_count, 3u);
    cr_assert_str_eq(list.rows[0].key, "large");
    cr_assert_eq(list.rows[0].worst.state, FSCK_LOST);
    cr_assert_eq(list.rows[0].worst.id.hi, 4u);
    cr_assert_eq(list.rows[0].chunk_count, 10u);
    cr_assert_str_eq(list.rows[1].key, "copy");
    cr_assert_str_eq(list.rows[2].key, "other");
    cr_assert_eq(list.degraded, 10u);
}

Test(fsck_findings, what_is_well_when_judged_again_is_taken_back)
{
    struct fsck_chunk well = chunk(1, 3), worse = chunk(2, 1);
    add(1, 2);
    add(2, 2);
    add(3, 1); /* nobody names it */
    fsck_findings_sort(&findings);
    name(1, "one");
    name(2, "two");
    fsck_findings_judge(&findings, &well);
    fsck_findings_judge(&findings, &worse);
    fsck_findings_end(&findings, &list);
    cr_assert_eq(list.lost, 1u);
    cr_assert_eq(list.degraded, 0u);
    cr_assert_eq(list.row_count, 1u);
    cr_assert_str_eq(list.rows[0].key, "two");
}

Test(fsck_findings, more_losses_than_there_is_room_for_are_counted_and_said)
{
    for (uint64_t i = 0; i < FSCK_LOSSES_MAX + 5; i++) {
        add(i, 0);
    }
    add(FSCK_LOSSES_MAX + 5, 2);
    fsck_findings_sort(&findings);
    name_all(FSCK_LOSSES_MAX + 6);
    name(0, "a copy");
    fsck_findings_end(&findings, &list);
    cr_assert_eq(list.lost, FSCK_LOSSES_MAX);
    cr_assert_eq(list.unjudged_losses, 5u);
    cr_assert_eq(list.degraded, 1u);
    cr_assert_eq(list.row_count, FSCK_LOSSES_MAX + 1u);
    cr_assert(list.has_more);
}
