/* Searches over a store and metadata that are arrays, which change between any two looks. */
#include "goodfs/fsck_search.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

enum { ITEMS = 3000, AGE_MS = 86400 * 1000 };

/* What the world holds of chunk n. */
static struct {
    bool is_referred, is_garbage;
    unsigned have; /* 0: not listed; need 2 of width 3 */
} items[ITEMS];
static struct chunk_id ids[ITEMS];
static bool is_whole = true, is_away;
static unsigned reference_visits, delete_calls;
static enum gfs_err fail_references, fail_chunks, fail_has, fail_delete;
static void (*on_chunks)(uint32_t part);      /* before a part is listed */
static void (*on_references)(unsigned visit); /* before rows are visited */
static unsigned steps_left = 1000000000;
static int64_t uptime_ms = 1000;
static struct fsck_orphans orphans;
static struct fsck_result result;

static enum gfs_err visit_references(void *arg, fsck_reference_fn visit, void *visit_arg)
{
    (void)arg;
    reference_visits++;
    if (on_references != NULL) {
        on_references(reference_visits);
    }
    for (size_t n = 0; n < ITEMS; n++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key%zu", n);
        struct fsck_reference reference = {ids[n], GFS_SLICE_LITERAL("bucket"), gfs_slice_str(key)};
        enum gfs_err err = items[n].is_referred ? visit(visit_arg, &reference) : GFS_OK;
        err = err == GFS_OK && items[n].is_referred && n % 3 == 0 ? visit(visit_arg, &reference)
                                                                  : err; /* two rows, one chunk */
        if (err != GFS_OK) {
            return err;
        }
    }
    return fail_references;
}

static enum gfs_err has_references(void *arg, const struct chunk_id *asked, size_t count, bool *ret)
{
    (void)arg;
    for (size_t i = 0; i < count; i++) {
        ret[i] = true;
        for (size_t n = 0; n < ITEMS; n++) {
            if (ids[n].hi == asked[i].hi && ids[n].lo == asked[i].lo) {
                ret[i] = items[n].is_referred || items[n].is_garbage;
            }
        }
    }
    return fail_has;
}

static enum gfs_err visit_chunks(void *arg, uint32_t part, fsck_chunk_fn visit, void *visit_arg)
{
    (void)arg;
    if (on_chunks != NULL) {
        on_chunks(part);
    }
    for (size_t n = 0; n < ITEMS; n++) {
        if (items[n].have > 0 && chunk_list_part(ids[n]) == part) {
            struct fsck_chunk chunk = {.id = ids[n],
                                       .bytes = 100,
                                       .have = items[n].have,
                                       .need = 2,
                                       .width = 3,
                                       .is_disk_away = is_away};
            visit(visit_arg, &chunk);
        }
    }
    return fail_chunks;
}

static enum gfs_err delete_chunks(void *arg, const struct chunk_id *asked, size_t count)
{
    (void)arg;
    delete_calls++;
    for (size_t i = 0; fail_delete == GFS_OK && i < count; i++) {
        for (size_t n = 0; n < ITEMS; n++) {
            if (ids[n].hi == asked[i].hi && ids[n].lo == asked[i].lo) {
                cr_assert(!items[n].is_referred, "a chunk in use was deleted");
                cr_assert(!items[n].is_garbage);
                items[n].have = 0;
            }
        }
    }
    return fail_delete;
}

static void shape(void *arg, struct chunk_id id, unsigned *ret_need, unsigned *ret_width)
{
    (void)arg;
    (void)id;
    *ret_need = 2;
    *ret_width = 3;
}

static bool answer_is_whole(void *arg)
{
    (void)arg;
    return is_whole;
}

static bool count_step(void *arg, double done)
{
    (void)arg;
    cr_assert(done >= 0 && done <= 1);
    return steps_left-- > 0;
}

static bool may_be_many;

static enum gfs_err search(size_t references_max)
{
    static const struct fsck_source source = {.visit_references = visit_references,
                                              .has_references = has_references,
                                              .visit_chunks = visit_chunks,
                                              .delete_chunks = delete_chunks,
                                              .is_whole = answer_is_whole,
                                              .shape = shape};
    struct fsck_search_options options = {.source = &source,
                                          .orphan_age_ms = AGE_MS,
                                          .uptime_ms = uptime_ms,
                                          .references_max = references_max,
                                          .may_be_many = may_be_many,
                                          .step = count_step};
    fsck_search_release(&result);
    reference_visits = 0;
    return fsck_search(&options, &orphans, &result);
}

static void pass_time(int64_t ms)
{
    uptime_ms += ms;
}

static void fill(void)
{
    for (size_t n = 0; n < ITEMS; n++) {
        ids[n] = chunk_id_new((uint32_t)(n % 50));
        items[n].is_referred = true;
        items[n].have = 3;
    }
}

static void clear(void)
{
    fsck_search_release(&result);
    fsck_orphans_fini(&orphans);
}

TestSuite(fsck_search, .init = fill, .fini = clear);

Test(fsck_search, a_whole_store_is_clean_in_one_round)
{
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(reference_visits, 1u);
    cr_assert_eq(result.chunks, (uint64_t)ITEMS);
    cr_assert_eq(result.references, (uint64_t)ITEMS);
    cr_assert_eq(result.list.lost + result.list.unreachable, 0u);
    cr_assert_eq(result.list.degraded + result.orphans, 0u);
}

Test(fsck_search, little_memory_means_more_rounds_and_the_same_answer)
{
    items[7].have = 1;
    items[8].have = 2;
    items[9].is_referred = false;
    cr_assert_eq(search(200), GFS_OK);
    cr_assert_gt(reference_visits, 10u);
    cr_assert_eq(result.chunks, (uint64_t)ITEMS);
    cr_assert_eq(result.references, (uint64_t)ITEMS - 1);
    cr_assert_eq(result.list.lost, 1u);
    cr_assert_eq(result.list.degraded, 1u);
    cr_assert_eq(result.orphans, 1u);
}

Test(fsck_search, every_object_that_lost_too_much_is_named)
{
    items[1].have = 0;
    items[2].have = 1;
    items[3].have = 2;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.list.lost, 2u);
    cr_assert_eq(result.list.degraded, 1u);
    static const char *const keys[] = {"key1", "key2", "key3"}; /* 3 is named by two rows */
    cr_assert_eq(result.list.row_count, GFS_COUNT(keys));
    for (size_t i = 0; i < result.list.row_count; i++) {
        const struct fsck_named *row = &result.list.rows[i];
        cr_assert_str_eq(row->bucket, "bucket");
        cr_assert_str_eq(row->key, keys[i]);
        cr_assert_eq(row->worst.need, 2u);
        cr_assert_eq(row->worst.width, 3u, "key1 has nothing that says so");
        cr_assert_eq(row->worst.state, i < 2 ? FSCK_LOST : FSCK_DEGRADED);
    }
    cr_assert(!result.list.has_more);
}

Test(fsck_search, with_a_disk_away_nothing_is_called_lost)
{
    items[1].have = 0;
    items[2].have = 1;
    is_whole = false;
    is_away = true;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.list.lost, 0u);
    cr_assert_eq(result.list.unreachable, 2u);
}

static void delete_some(uint32_t part)
{
    if (part == 0) {
        for (size_t n = 0; n < 100; n++) { /* deleted between the looks: rows, then chunks */
            items[n].is_referred = false;
            items[n].have = 0;
        }
    }
}

Test(fsck_search, what_is_deleted_meanwhile_is_no_loss)
{
    on_chunks = delete_some;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.list.lost + result.list.degraded, 0u);
    cr_assert_eq(result.list.row_count, 0u);
}

static void finish_writes(unsigned visit)
{
    if (visit == 2) {
        items[5].have = 3;
    }
}

Test(fsck_search, a_write_that_was_ending_is_not_called_degraded)
{
    items[5].have = 2;
    on_references = finish_writes;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.list.degraded, 0u);
    cr_assert_eq(result.list.row_count, 0u);
}

static void create_some(uint32_t part)
{
    if (part == 0) {
        items[3].is_referred = items[4].is_referred = true;
        items[3].have = items[4].have = 3;
    }
}

Test(fsck_search, what_is_written_meanwhile_is_no_orphan)
{
    items[3].is_referred = items[4].is_referred = false;
    items[3].have = items[4].have = 0;
    on_chunks = create_some;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.orphans, 0u);
    cr_assert_eq(orphans.count, 0u);
}

static void make_orphans(size_t count)
{
    for (size_t n = 100; n < 100 + count; n++) {
        items[n].is_referred = false;
    }
}

Test(fsck_search, orphans_go_after_two_searches_a_day_apart)
{
    make_orphans(5);
    items[104].is_garbage = true; /* metadata deletes it itself */
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.orphans, 4u);
    cr_assert_eq(result.orphan_bytes, 400u);
    pass_time(AGE_MS / 2);
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.orphans, 4u);
    cr_assert_eq(delete_calls, 0u, "half a day is not enough");
    items[100].is_referred = true; /* whatever the reason: it is in use again */
    pass_time(AGE_MS + 1000);
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.deleted, 3u);
    cr_assert_eq(result.orphans, 0u);
    cr_assert_eq(items[100].have, 3u);
    cr_assert_eq(items[104].have, 3u);
}

Test(fsck_search, an_orphan_of_one_search_alone_stays_however_late_it_is)
{
    make_orphans(1);
    pass_time(10LL * AGE_MS);
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.deleted, 0u);
    cr_assert_eq(result.orphans, 1u);
}

Test(fsck_search, too_many_orphans_stop_the_sweep)
{
    make_orphans(ITEMS / 100 + 1);
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    pass_time(2LL * AGE_MS);
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(delete_calls, 0u);
    cr_assert(strstr(result.sweep, "1 %") != NULL);
}

/* When they are old enough: the first search that finds them deletes none. */
Test(fsck_search, too_many_orphans_go_when_the_operator_says_so)
{
    may_be_many = true;
    make_orphans(ITEMS / 100 + 1);
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(delete_calls, 0u);
    pass_time(2LL * AGE_MS);
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.deleted, ITEMS / 100 + 1);
    cr_assert_eq(result.orphans, 0u);
}

Test(fsck_search, an_empty_database_deletes_nothing)
{
    for (size_t n = 0; n < ITEMS; n++) {
        items[n].is_referred = false;
        items[n].have = n < 10 ? 3 : 0;
    }
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    pass_time(2LL * AGE_MS);
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.orphans, 10u);
    cr_assert_eq(delete_calls, 0u);
}

Test(fsck_search, any_error_and_any_doubt_keeps_everything)
{
    make_orphans(5);
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    pass_time(2LL * AGE_MS);
    fail_has = GFS_IO;
    cr_assert_eq(search(2 * ITEMS), GFS_IO);
    fail_has = GFS_OK;
    fail_references = GFS_IO;
    cr_assert_eq(search(2 * ITEMS), GFS_IO);
    fail_references = GFS_CORRUPT;
    items[1].have = 1;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert(result.is_damaged);
    cr_assert_eq(result.list.lost, 1u, "what can be judged is judged");
    items[1].have = 3;
    fail_references = GFS_OK;
    fail_has = GFS_CORRUPT;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert(result.is_damaged);
    fail_has = GFS_OK;
    fail_chunks = GFS_UNREACHABLE;
    cr_assert_eq(search(2 * ITEMS), GFS_UNREACHABLE);
    fail_chunks = GFS_OK;
    is_whole = false;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert(strstr(result.sweep, "disks") != NULL);
    is_whole = true;
    cr_assert_eq(delete_calls, 0u);
    fail_delete = GFS_UNREACHABLE;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.deleted, 0u);
    cr_assert_eq(result.orphans, 5u);
    fail_delete = GFS_OK;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    cr_assert_eq(result.deleted, 5u);
}

Test(fsck_search, it_ends_when_it_is_told_to_at_every_step)
{
    make_orphans(3);
    items[1].have = 1;
    cr_assert_eq(search(2 * ITEMS), GFS_OK);
    pass_time(2LL * AGE_MS);
    enum gfs_err err = GFS_CANCELLED;
    for (unsigned stop = 0; stop < 5000 && err != GFS_OK; stop += 37) {
        steps_left = stop;
        err = search(2 * ITEMS);
        cr_assert(err == GFS_OK || err == GFS_CANCELLED);
    }
    cr_assert_eq(err, GFS_OK);
    cr_assert_eq(result.list.lost, 1u);
    cr_assert_eq(items[100].have + items[101].have + items[102].have, 0u);
}
