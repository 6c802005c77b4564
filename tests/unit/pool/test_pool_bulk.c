/* Writing large chunks: nothing is lost or repeated whatever the disks do, and what is answered is
 * true. */
#include <criterion/criterion.h>
#include <sched.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_bulk_state.h"
#include "tests/unit/pool/data_rig.h"

#define MS 1000000LL

static void set_manual(struct data_rig *rig)
{
    for (unsigned i = 0; i < rig->disk_count; i++) {
        disk_double_set_auto(rig->disks[i], false);
    }
}

static size_t held(struct data_rig *rig)
{
    size_t count = 0;
    for (unsigned i = 0; i < rig->disk_count; i++) {
        struct disk_double_counts counts;
        disk_double_counts(rig->disks[i], &counts);
        count += counts.bulks_held;
    }
    return count;
}

/* The disks' threads may be about to return from the last callback. */
static bool is_none_held(struct data_rig *rig)
{
    int64_t until_ns = gfs_monotonic_ns() + 10000 * MS;
    while (held(rig) != 0 && gfs_monotonic_ns() < until_ns) {
        (void)sched_yield();
    }
    return held(rig) == 0;
}

static unsigned dropped(const struct data_rig *rig)
{
    unsigned count = 0;
    for (unsigned i = 0; i < rig->disk_count; i++) {
        count += atomic_load(&rig->pool_disks[i]->is_dropped);
    }
    return count;
}

static size_t row_size(const struct data_rig *rig)
{
    return (rig->profile.kind == POOL_EC ? rig->profile.k : 1U) * (size_t)POOL_CELL;
}

static char *make_bytes(size_t len)
{
    char *bytes = gfs_alloc(len);
    data_rig_fill(bytes, len, len);
    return bytes;
}

static enum gfs_err begin(struct data_rig *rig, struct chunk_id id, size_t len_max,
                          struct data_heard *heard, struct chunk_bulk **ret)
{
    struct chunk_bulk_options options = {.id = id,
                                         .owner = gfs_slice_str("owner"),
                                         .len_max = (uint32_t)len_max,
                                         .writable = data_heard_writable,
                                         .arg = heard};
    return pool_bulk_begin(&rig->pool.base, &options, ret);
}

static void check_slow_children(const char *profile, size_t append_max)
{
    struct data_rig rig;
    data_rig_init(&rig, profile, 0);
    size_t len = 2 * row_size(&rig) + 1234;
    char *bytes = make_bytes(len);
    for (unsigned i = 0; i < rig.width; i++) { /* each of another speed, one not slow at all */
        disk_double_set_append_max(rig.disks[i], i * append_max);
    }
    size_t steps[] = {50000, len};
    for (unsigned i = 0; i < GFS_COUNT(steps); i++) {
        struct chunk_id id = data_rig_next(&rig);
        cr_assert_eq(data_rig_write(&rig, id, bytes, len, steps[i], 0), GFS_OK);
        cr_assert_eq(data_rig_check(&rig, id, bytes, len), GFS_OK, "%s", profile);
    }
    free(bytes);
    data_rig_fini(&rig);
}

Test(pool_bulk, slow_children_get_every_byte_once)
{
    check_slow_children("ec:4+2", 7000);
    check_slow_children("ec:4+2", POOL_CELL / 2);
    check_slow_children("ec:10+4", 30001);
    check_slow_children("replica:3", 9999);
    check_slow_children("replica:1", 9999);
}

/* The disk fails at its n-th decision, for every n until it does not happen any more. */
static void check_failing(const char *profile)
{
    unsigned n = 1;
    for (bool has_failed = true; has_failed; n++) {
        struct data_rig rig;
        data_rig_init(&rig, profile, 0);
        size_t len = 2 * row_size(&rig) + 99;
        char *bytes = make_bytes(len);
        disk_double_set_append_max(rig.disks[1], 40000);
        disk_double_fail(rig.disks[1], n);
        struct chunk_id id = data_rig_next(&rig);
        cr_assert_eq(data_rig_write(&rig, id, bytes, len, 60000, 0), GFS_OK, "%s %u", profile, n);
        struct disk_double_counts counts;
        disk_double_counts(rig.disks[1], &counts);
        has_failed = counts.places == 0;
        cr_assert_eq(data_rig_check(&rig, id, bytes, len), GFS_OK, "%s %u", profile, n);
        free(bytes);
        data_rig_fini(&rig);
    }
    cr_assert_gt(n, 5);
}

Test(pool_bulk, a_child_may_fail_at_any_point)
{
    check_failing("ec:4+2");
    check_failing("replica:3");
}

Test(pool_bulk, without_a_quorum_it_fails_and_says_so_at_finish)
{
    static const char *const profiles[] = {"ec:4+2", "replica:3"};
    for (unsigned p = 0; p < 2; p++) {
        struct data_rig rig;
        data_rig_init(&rig, profiles[p], 0);
        char *bytes = make_bytes(300000);
        struct chunk_id id = data_rig_next(&rig);
        disk_double_fail(rig.disks[0], 1);
        disk_double_fail(rig.disks[1], 1);
        cr_expect_eq(data_rig_write(&rig, id, bytes, 300000, 60000, 0), GFS_UNREACHABLE);
        /* The second failure gave the answer; the first disk's thread may still be on its way. */
        while (dropped(&rig) < 2) {
            (void)sched_yield();
        }
        struct data_heard heard;
        data_heard_init(&heard);
        struct chunk_bulk *bulk = NULL;
        cr_expect_eq(begin(&rig, id, 10, &heard, &bulk), GFS_UNREACHABLE, "nor can one begin");
        data_heard_fini(&heard);
        free(bytes);
        data_rig_fini(&rig);
    }
}

Test(pool_bulk, full_disks_are_no_space_and_are_not_dropped)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    char *bytes = make_bytes(300000);
    disk_double_set_room(rig.disks[0], DISK_DOUBLE_FULL);
    struct chunk_id id = data_rig_next(&rig);
    cr_expect_eq(data_rig_write(&rig, id, bytes, 300000, 60000, 0), GFS_OK);
    cr_expect_eq(data_rig_check(&rig, id, bytes, 300000), GFS_OK);
    disk_double_set_room(rig.disks[3], DISK_DOUBLE_FULL);
    cr_expect_eq(data_rig_write(&rig, data_rig_next(&rig), bytes, 300000, 60000, 0), GFS_NO_SPACE);
    cr_expect_eq(dropped(&rig), 0);
    cr_expect_eq(held(&rig), 0);
    free(bytes);
    data_rig_fini(&rig);
}

/* Begins as many as there may be; how many. */
static unsigned begin_all(struct data_rig *rig, struct data_heard *heard,
                          struct chunk_bulk *ret[POOL_BULK_MAX])
{
    unsigned count = 0;
    struct chunk_bulk *bulk = NULL;
    enum gfs_err err;
    while ((err = begin(rig, data_rig_next(rig), 10, heard, &bulk)) == GFS_OK) {
        cr_assert_lt(count, POOL_BULK_MAX);
        ret[count++] = bulk;
    }
    cr_assert_eq(err, GFS_BUSY);
    return count;
}

Test(pool_bulk, so_many_are_written_at_once_as_rows_have_memory)
{
    static const struct {
        const char *profile;
        unsigned count;
    } cases[] = {{"replica:2", POOL_BULK_MAX},
                 {"ec:4+2", POOL_BULK_ROWS_MAX / (6 * POOL_CELL)},
                 {"ec:28+4", POOL_BULK_ROWS_MAX / (32 * POOL_CELL)}};
    for (unsigned i = 0; i < GFS_COUNT(cases); i++) {
        struct data_rig rig;
        data_rig_init(&rig, cases[i].profile, 0);
        struct data_heard heard;
        data_heard_init(&heard);
        GFS_FREE struct chunk_bulk **bulks = gfs_alloc_array(POOL_BULK_MAX, sizeof *bulks);
        for (unsigned round = 0; round < 2; round++) {
            unsigned count = begin_all(&rig, &heard, bulks);
            cr_expect_eq(count, cases[i].count, "%s: %u", cases[i].profile, count);
            pool_bulk_tick(&rig.pool, gfs_monotonic_ns());
            while (count > 0) {
                pool_bulk_free(bulks[--count]);
            }
        }
        cr_expect_eq(held(&rig), 0);
        data_heard_fini(&heard);
        data_rig_fini(&rig);
    }
}

/* The chunks of large objects are kept until the object is whole. */
Test(pool_bulk, what_is_written_and_kept_leaves_others_their_turn)
{
    static const char *const profiles[] = {"ec:28+4", "replica:3"};
    enum { KEPT = 1000 };
    for (unsigned p = 0; p < GFS_COUNT(profiles); p++) {
        struct data_rig rig;
        data_rig_init(&rig, profiles[p], 0);
        GFS_FREE struct chunk_bulk **bulks = gfs_alloc_array(KEPT, sizeof *bulks);
        for (unsigned i = 0; i < KEPT; i++) {
            struct data_heard heard;
            data_heard_init(&heard);
            cr_assert_eq(begin(&rig, data_rig_next(&rig), 10, &heard, &bulks[i]), GFS_OK, "%u", i);
            cr_assert_eq(pool_bulk_append(bulks[i], "0123456789", 10), 10);
            pool_bulk_finish(bulks[i], data_heard_finished);
            cr_assert_eq(data_heard_await(&heard), GFS_OK);
            cr_assert_null(((struct pool_bulk *)(void *)bulks[i])->rows.buffer);
            data_heard_fini(&heard);
        }
        pool_bulk_tick(&rig.pool, gfs_monotonic_ns());
        cr_expect_eq(atomic_load(&rig.pool.bulk_row_bytes), 0);
        cr_expect_eq(dropped(&rig), 0);
        for (unsigned i = 0; i < KEPT; i++) {
            pool_bulk_free(bulks[i]);
        }
        cr_expect(is_none_held(&rig));
        data_rig_fini(&rig);
    }
}

Test(pool_bulk, a_disk_with_too_many_writers_is_busy)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:2+1", 0);
    struct data_heard heard;
    data_heard_init(&heard);
    struct chunk_bulk *bulk = NULL;
    disk_double_set_bulk_max(rig.disks[2], 1);
    cr_assert_eq(begin(&rig, data_rig_next(&rig), 10, &heard, &bulk), GFS_OK);
    struct chunk_bulk *second = NULL;
    cr_expect_eq(begin(&rig, data_rig_next(&rig), 10, &heard, &second), GFS_BUSY);
    cr_expect_eq(dropped(&rig), 0);
    pool_bulk_free(bulk);
    cr_expect_eq(held(&rig), 0);
    data_heard_fini(&heard);
    data_rig_fini(&rig);
}

Test(pool_bulk, a_hanging_disk_is_given_up_after_slow_ms)
{
    static const char *const profiles[] = {"ec:4+2", "replica:3"};
    for (unsigned p = 0; p < 2; p++) {
        struct data_rig rig;
        data_rig_init(&rig, profiles[p], 0);
        set_manual(&rig);
        struct data_heard heard;
        data_heard_init(&heard);
        struct chunk_bulk *bulk = NULL;
        struct chunk_id id = data_rig_next(&rig);
        char *bytes = make_bytes(100000);
        cr_assert_eq(begin(&rig, id, 100000, &heard, &bulk), GFS_OK);
        cr_assert_eq(pool_bulk_append(bulk, bytes, 100000), 100000);
        pool_bulk_finish(bulk, data_heard_finished);
        for (unsigned i = 1; i < rig.width; i++) {
            cr_assert_eq(disk_double_decide(rig.disks[i], 1), 1);
        }
        int64_t now = gfs_monotonic_ns();
        pool_bulk_tick(&rig.pool, now + 1900 * MS);
        cr_expect_eq(heard.finished_count, 0, "it waits for all");
        atomic_store(&rig.pool_disks[0]->progress_ns, now + 2000 * MS);
        pool_bulk_tick(&rig.pool, now + 3000 * MS);
        cr_expect_eq(heard.finished_count, 0, "a disk that works for others is only busy");
        pool_bulk_tick(&rig.pool, now + 4100 * MS);
        cr_expect_eq(heard.finished_count, 1);
        cr_expect_eq(heard.err, GFS_OK);
        cr_expect(atomic_load(&rig.pool_disks[0]->is_dropped));
        cr_expect_eq(dropped(&rig), 1);
        struct pool_bulk_part parts[POOL_WIDTH_MAX];
        cr_assert_eq(pool_bulk_parts(bulk, &id, parts), rig.width);
        cr_expect_null(parts[0].child);
        cr_expect_not_null(parts[1].child);
        cr_expect_eq(disk_double_decide(rig.disks[0], 1), 1, "its answer comes late");
        cr_expect_eq(heard.finished_count, 1);
        pool_bulk_free(bulk);
        cr_expect_eq(held(&rig), rig.width, "what a group may still name is kept");
        pool_bulk_release(bulk);
        cr_expect_eq(held(&rig), 0);
        free(bytes);
        data_heard_fini(&heard);
        data_rig_fini(&rig);
    }
}

Test(pool_bulk, a_disk_that_takes_nothing_is_given_up_and_the_user_goes_on)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    set_manual(&rig);
    struct data_heard heard;
    data_heard_init(&heard);
    struct chunk_bulk *bulk = NULL;
    size_t row = row_size(&rig);
    char *bytes = make_bytes(2 * row);
    cr_assert_eq(begin(&rig, data_rig_next(&rig), 2 * row, &heard, &bulk), GFS_OK);
    disk_double_set_append_max(rig.disks[2], 1000);
    cr_assert_eq(pool_bulk_append(bulk, bytes, row), row, "a row is kept for the slow one");
    cr_assert_eq(pool_bulk_append(bulk, bytes + row, row), 0);
    cr_assert_eq(pool_bulk_append(bulk, bytes + row, row), 0, "asking again changes nothing");
    pool_bulk_tick(&rig.pool, gfs_monotonic_ns() + 1000 * MS);
    cr_expect_eq(heard.writable_count, 0);
    pool_bulk_tick(&rig.pool, gfs_monotonic_ns() + 3000 * MS);
    cr_expect_eq(heard.writable_count, 1);
    cr_expect_eq(dropped(&rig), 1);
    cr_expect_eq(pool_bulk_append(bulk, bytes + row, row), row);
    pool_bulk_free(bulk);
    free(bytes);
    data_heard_fini(&heard);
    data_rig_fini(&rig);
}

static size_t bulks_on(struct data_rig *rig, unsigned disk)
{
    struct disk_double_counts counts;
    disk_double_counts(rig->disks[disk], &counts);
    return counts.bulks_held;
}

/* Also in the middle of a row, whose cell lay in its memory. */
Test(pool_bulk, a_dropped_disk_is_let_go_of_while_the_upload_lasts)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct data_heard heard;
    data_heard_init(&heard);
    size_t len = 2 * row_size(&rig);
    struct chunk_id id = data_rig_next(&rig);
    struct chunk_bulk *bulk = NULL;
    char *bytes = make_bytes(len);
    cr_assert_eq(begin(&rig, id, len, &heard, &bulk), GFS_OK);
    size_t some = POOL_CELL + 1000;
    cr_assert_eq(pool_bulk_append(bulk, bytes, some), some);
    unsigned references = atomic_load(&rig.pool_disks[0]->references);
    atomic_store(&rig.pool_disks[0]->is_dropped, true);
    pool_bulk_tick(&rig.pool, gfs_monotonic_ns());
    pool_bulk_leave_disk(&rig.pool, rig.pool_disks[0]);
    cr_expect_eq(bulks_on(&rig, 0), 0);
    cr_expect_eq(atomic_load(&rig.pool_disks[0]->references), references - 1);
    cr_expect_eq(pool_view_oldest(&rig.pool), rig.pool.view->map->version, "it is work still");
    cr_assert_eq(pool_bulk_append(bulk, bytes + some, len - some), len - some);
    pool_bulk_finish(bulk, data_heard_finished);
    cr_assert_eq(data_heard_await(&heard), GFS_OK);
    data_rig_place(&rig, bulk);
    pool_bulk_free(bulk);
    cr_expect_eq(data_rig_check_range(&rig, id, bytes, len, 0, (uint32_t)len), GFS_OK);
    free(bytes);
    data_heard_fini(&heard);
    data_rig_fini(&rig);
}

/* It has its cell of the row, which lay in its memory: that may be another writer's by now. */
Test(pool_bulk, a_dropped_disk_is_let_go_of_while_another_one_is_slow)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    set_manual(&rig);
    struct data_heard heard;
    data_heard_init(&heard);
    size_t row = row_size(&rig);
    struct chunk_id id = data_rig_next(&rig);
    struct chunk_bulk *bulk = NULL;
    char *bytes = make_bytes(2 * row);
    cr_assert_eq(begin(&rig, id, 2 * row, &heard, &bulk), GFS_OK);
    disk_double_set_append_max(rig.disks[5], 1000);
    cr_assert_eq(pool_bulk_append(bulk, bytes, row), row, "a row is kept for the slow one");
    atomic_store(&rig.pool_disks[0]->is_dropped, true);
    pool_bulk_tick(&rig.pool, gfs_monotonic_ns());
    pool_bulk_leave_disk(&rig.pool, rig.pool_disks[0]);
    cr_expect_eq(bulks_on(&rig, 0), 0);
    disk_double_set_append_max(rig.disks[5], 0);
    for (unsigned i = 0; i < rig.width; i++) {
        disk_double_set_auto(rig.disks[i], true);
    }
    size_t at = row;
    while (at < 2 * row) {
        at += pool_bulk_append(bulk, bytes + at, 2 * row - at);
    }
    pool_bulk_finish(bulk, data_heard_finished);
    cr_assert_eq(data_heard_await(&heard), GFS_OK);
    data_rig_place(&rig, bulk);
    pool_bulk_free(bulk);
    cr_expect_eq(data_rig_check_range(&rig, id, bytes, 2 * row, 0, (uint32_t)(2 * row)), GFS_OK);
    free(bytes);
    data_heard_fini(&heard);
    data_rig_fini(&rig);
}

Test(pool_bulk, a_dropped_disk_is_not_waited_for)
{
    struct data_rig rig;
    data_rig_init(&rig, "replica:3", 0);
    set_manual(&rig);
    struct data_heard heard;
    data_heard_init(&heard);
    struct chunk_bulk *bulk = NULL;
    cr_assert_eq(begin(&rig, data_rig_next(&rig), 10, &heard, &bulk), GFS_OK);
    cr_assert_eq(pool_bulk_append(bulk, "0123456789", 10), 10);
    pool_bulk_finish(bulk, data_heard_finished);
    cr_assert_eq(disk_double_decide(rig.disks[1], 1), 1);
    atomic_store(&rig.pool_disks[0]->is_dropped, true);
    pool_bulk_tick(&rig.pool, gfs_monotonic_ns());
    cr_expect_eq(heard.finished_count, 0);
    atomic_store(&rig.pool_disks[2]->is_dropped, true);
    pool_bulk_tick(&rig.pool, gfs_monotonic_ns());
    cr_expect_eq(heard.finished_count, 1);
    cr_expect_eq(heard.err, GFS_UNREACHABLE);
    pool_bulk_free(bulk);
    data_heard_fini(&heard);
    data_rig_fini(&rig);
}

/* Freed after `stage` steps of: append a row, append part, finish, decide some, decide all. */
static void abandon(const char *profile, unsigned stage)
{
    struct data_rig rig;
    data_rig_init(&rig, profile, 0);
    set_manual(&rig);
    disk_double_set_append_max(rig.disks[rig.width - 1], 5000);
    struct data_heard heard;
    data_heard_init(&heard);
    struct chunk_bulk *bulk = NULL;
    size_t row = row_size(&rig);
    char *bytes = make_bytes(row);
    cr_assert_eq(begin(&rig, data_rig_next(&rig), 2 * row, &heard, &bulk), GFS_OK);
    for (unsigned i = 0; i < stage; i++) {
        if (i < 2) {
            (void)pool_bulk_append(bulk, bytes, i == 0 ? row : 100);
        } else if (i == 2) {
            pool_bulk_finish(bulk, data_heard_finished);
        } else {
            for (unsigned d = i == 3 ? 1 : 0; d < rig.width; d++) {
                (void)disk_double_decide(rig.disks[d], 100);
            }
        }
    }
    cr_expect_eq(heard.finished_count, stage < 5 ? 0U : 1U);
    unsigned before = heard.writable_count + heard.finished_count;
    pool_bulk_free(bulk);
    for (unsigned d = 0; d < rig.width; d++) {
        (void)disk_double_decide(rig.disks[d], 100);
    }
    cr_expect_eq(heard.writable_count + heard.finished_count, before, "silent after free");
    cr_expect_eq(held(&rig), 0);
    free(bytes);
    data_heard_fini(&heard);
    data_rig_fini(&rig);
}

Test(pool_bulk, a_writer_may_be_abandoned_at_any_stage)
{
    for (unsigned stage = 0; stage <= 5; stage++) {
        abandon("ec:4+2", stage);
        abandon("replica:3", stage);
    }
}

/* Its user's callback frees the writer, on a disk's thread. */
struct freeing {
    struct chunk_bulk *bulk;
    struct data_heard heard;
};

static void free_in_callback(void *arg, enum gfs_err err)
{
    struct freeing *freeing = arg;
    pool_bulk_free(freeing->bulk);
    data_heard_finished(&freeing->heard, err);
}

Test(pool_bulk, a_writer_may_be_freed_by_its_own_callback)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    for (unsigned i = 0; i < 50; i++) {
        struct freeing freeing;
        data_heard_init(&freeing.heard);
        struct chunk_bulk_options options = {
            .id = data_rig_next(&rig), .len_max = 10, .arg = &freeing};
        cr_assert_eq(pool_bulk_begin(&rig.pool.base, &options, &freeing.bulk), GFS_OK);
        cr_assert_eq(pool_bulk_append(freeing.bulk, "0123456789", 10), 10);
        pool_bulk_finish(freeing.bulk, free_in_callback);
        cr_expect_eq(data_heard_await(&freeing.heard), GFS_OK);
        data_heard_fini(&freeing.heard);
    }
    data_rig_fini(&rig);
}

Test(pool_bulk, every_fragment_says_what_it_is)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    char *bytes = make_bytes(300000);
    size_t slacks[] = {0, 70000};
    for (unsigned i = 0; i < GFS_COUNT(slacks); i++) {
        struct chunk_id id = data_rig_next(&rig);
        cr_assert_eq(data_rig_write(&rig, id, bytes, 300000, 60000, slacks[i]), GFS_OK);
        for (unsigned slot = 0; slot < rig.width; slot++) {
            char owner[CHUNK_OWNER_LEN_MAX];
            size_t len =
                disk_double_owner(rig.disks[slot], chunk_id_at(id, slot), owner, sizeof owner);
            struct fragment_owner head;
            struct gfs_slice rest;
            cr_assert_eq(pool_fragment_owner_parse(gfs_slice_of(owner, len), &head, &rest), GFS_OK);
            cr_expect_eq(head.slot, slot);
            cr_expect_eq(head.chunk_len, 300000);
            cr_expect(gfs_slice_eq_str(rest, "owner"));
        }
    }
    free(bytes);
    data_rig_fini(&rig);
}

Test(pool_bulk, small_chunks_become_the_same_fragments)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    size_t lens[] = {1, 1000, GFS_SMALL_CHUNK_MAX - 1, GFS_SMALL_CHUNK_MAX};
    for (unsigned i = 0; i < GFS_COUNT(lens); i++) {
        char *bytes = make_bytes(lens[i]);
        struct chunk_id id = data_rig_next(&rig);
        cr_assert_eq(data_rig_write(&rig, id, bytes, lens[i], 60000, 0), GFS_OK);
        char *small = pool_encode_small(&rig.pool, rig.profile, gfs_slice_of(bytes, lens[i]));
        size_t size = pool_fragment_len(4, (uint32_t)lens[i]);
        char *kept = gfs_alloc(size);
        for (unsigned slot = 0; slot < rig.width; slot++) {
            cr_assert_eq(disk_double_bytes(rig.disks[slot], chunk_id_at(id, slot), kept, size),
                         size);
            cr_expect(memcmp(kept, small + slot * size, size) == 0, "%zu slot %u", lens[i], slot);
        }
        free(kept);
        free(small);
        free(bytes);
    }
    data_rig_fini(&rig);
}
