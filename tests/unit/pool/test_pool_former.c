/* Disks that cannot be written any more are read where the others do not suffice, until they are
 * taken back: a whole pool, on disks in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "tests/unit/pool/chunks_rig.h"

static enum gfs_err put(struct chunks_rig *kept, unsigned number, struct chunk_id *ret)
{
    return open_rig_put(&kept->rig, kept->texts[number], ++kept->lsn, ret);
}

static void set_unwritable(struct chunks_rig *kept, unsigned first, unsigned count,
                           bool is_unwritable)
{
    for (unsigned i = first; i < first + count; i++) {
        disk_double_set_unwritable(open_rig_double(&kept->rig, i), is_unwritable);
    }
}

static bool is_read_only(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->is_read_only;
}

static bool is_used_by_nobody(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    bool is_so = view->is_read_only;
    for (uint32_t d = 0; d < view->map->disk_count; d++) {
        is_so = is_so && !pool_disk_is_usable(view->disks[d]);
    }
    return is_so;
}

Test(pool_former, when_no_disk_takes_writes_everything_is_read_and_writes_say_why_not)
{
    struct chunks_rig kept;
    char reason[256];
    struct chunk_id id;
    chunks_rig_init(&kept, 6);
    set_unwritable(&kept, 0, 6, true);
    open_rig_await(&kept.rig, is_used_by_nobody);
    chunks_rig_expect_readable(&kept);
    cr_assert_eq(put(&kept, 0, &id), GFS_UNREACHABLE);
    cr_assert_eq(put(&kept, 1, &id), GFS_UNREACHABLE);
    cr_assert_eq(pool_health(kept.rig.pool, reason, sizeof reason), POOL_READ_ONLY);
    cr_assert(strstr(reason, "disk") != NULL, "%s", reason);
    (void)usleep(100000); /* many rounds of the patrol: it stays so */
    chunks_rig_expect_readable(&kept);
    set_unwritable(&kept, 0, 6, false);
    open_rig_await(&kept.rig, open_rig_is_healthy);
    chunks_rig_expect_readable(&kept);
    cr_assert_eq(put(&kept, 0, &kept.ids[0]), GFS_OK);
    open_rig_reopen(&kept.rig);
    chunks_rig_expect_readable(&kept);
    chunks_rig_fini(&kept);
}

/* At any time: those that are closed to be opened again are few, and the others wait readable. */
Test(pool_former, everything_is_read_while_the_disks_are_taken_back)
{
    struct chunks_rig kept;
    chunks_rig_init(&kept, 6);
    set_unwritable(&kept, 0, 6, true);
    open_rig_await(&kept.rig, is_used_by_nobody);
    set_unwritable(&kept, 0, 6, false);
    int64_t until_ns = gfs_monotonic_ns() + 30000000000LL;
    struct pool_view *view = open_rig_view(&kept.rig);
    while (!open_rig_is_healthy(&kept.rig, view)) {
        pool_view_put(view);
        cr_assert_lt(gfs_monotonic_ns(), until_ns, "they are not taken back");
        chunks_rig_expect_readable(&kept);
        view = open_rig_view(&kept.rig);
    }
    pool_view_put(view);
    chunks_rig_fini(&kept);
}

/* A map cannot be written there, though the store takes writes. */
static void block_map(struct chunks_rig *kept, unsigned disk, bool is_blocked)
{
    char path[OPEN_RIG_PATH_SIZE + 32];
    (void)snprintf(path, sizeof path, "%s/pool.json.tmp", kept->rig.paths[disk]);
    cr_assert_eq(is_blocked ? mkdir(path, 0700) : rmdir(path), 0);
}

/* They fail again when a map is to be made with all of them: no view ever had them. */
Test(pool_former, disks_that_fail_while_they_wait_for_others_come_back_all_the_same)
{
    struct chunks_rig kept;
    chunks_rig_init(&kept, 6);
    set_unwritable(&kept, 0, 6, true);
    open_rig_await(&kept.rig, is_used_by_nobody);
    for (unsigned d = 0; d < 4; d++) {
        block_map(&kept, d, true);
    }
    set_unwritable(&kept, 0, 6, false);
    (void)usleep(500000); /* they come back, and fail */
    chunks_rig_expect_readable(&kept);
    for (unsigned d = 0; d < 4; d++) {
        block_map(&kept, d, false);
    }
    open_rig_await(&kept.rig, open_rig_is_healthy);
    chunks_rig_expect_readable(&kept);
    chunks_rig_fini(&kept);
}

/* Three are more than a stripe of 4 + 2 can lose; the others go on. Answers them as a mask. */
static unsigned fail_three(struct chunks_rig *kept)
{
    struct pool_view *view = open_rig_view(&kept->rig);
    unsigned mirrors = 0, failed = 0;
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        mirrors |= 1U << view->map->log_disks[i].disk;
    }
    for (unsigned d = 0; d < view->map->disk_count && __builtin_popcount(failed) < 3; d++) {
        if ((mirrors >> d & 1) == 0) {
            set_unwritable(kept, d, 1, true);
            failed |= 1U << d;
        }
    }
    pool_view_put(view);
    return failed;
}

static bool is_made_anew(struct open_rig *rig, const struct pool_view *view)
{
    struct pool_repair_summary summary;
    unsigned failed = 0;
    bool is_so = true;
    pool_reconcile_summary(rig->pool, &summary);
    for (uint32_t d = 0; d < view->map->disk_count; d++) {
        failed += view->map->disks[d].state == POOL_DISK_FAILED;
        is_so = is_so && view->fallbacks[d] == NULL;
    }
    return is_so && failed == 3 && !summary.is_running;
}

Test(pool_former, what_too_many_failed_disks_have_is_made_anew_from_them)
{
    struct chunks_rig kept;
    chunks_rig_init(&kept, 9);
    (void)fail_three(&kept);
    for (unsigned i = 0; i < 20; i++) {
        chunks_rig_expect_readable(&kept);
    }
    open_rig_await(&kept.rig, is_made_anew); /* and only then they are closed */
    chunks_rig_expect_readable(&kept);
    chunks_rig_fini(&kept);
}

static bool are_three_kept(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    unsigned kept = 0;
    for (uint32_t d = 0; d < view->map->disk_count; d++) {
        kept += view->map->disks[d].state == POOL_DISK_FAILED && view->fallbacks[d] != NULL;
    }
    return kept == 3;
}

Test(pool_former, failed_disks_that_are_still_read_can_be_added_back)
{
    struct chunks_rig kept;
    struct gfs_error error = {0};
    chunks_rig_init(&kept, 7);
    unsigned failed = fail_three(&kept);
    open_rig_await(&kept.rig, are_three_kept); /* and for good: four cannot take over for seven */
    (void)usleep(50000);
    chunks_rig_expect_readable(&kept);
    for (unsigned d = 0; d < 7; d++) {
        if ((failed >> d & 1) != 0) {
            set_unwritable(&kept, d, 1, false);
            cr_assert_eq(pool_disk_add(kept.rig.pool, kept.rig.paths[d], &error), GFS_OK, "%s",
                         error.text);
            chunks_rig_expect_readable(&kept);
        }
    }
    open_rig_await(&kept.rig, open_rig_is_healthy);
    chunks_rig_expect_readable(&kept);
    chunks_rig_fini(&kept);
}

static bool is_third_let_go(struct open_rig *rig, const struct pool_view *view)
{
    return view->fallbacks[3] == NULL && !pool_disk_is_open(rig->pool, rig->paths[3]);
}

Test(pool_former, a_disk_that_is_emptied_or_gone_is_not_read_any_more)
{
    struct chunks_rig kept;
    chunks_rig_init(&kept, 6);
    set_unwritable(&kept, 0, 6, true);
    open_rig_await(&kept.rig, is_used_by_nobody);
    open_rig_empty(&kept.rig, 3);
    open_rig_await(&kept.rig, is_third_let_go);
    chunks_rig_expect_readable(&kept); /* the others suffice */
    open_rig_take_away(&kept.rig, 4);
    open_rig_take_away(&kept.rig, 5);
    struct chunk_store *store = pool_chunks(kept.rig.pool);
    struct chunk_pin pin;
    enum gfs_err err;
    int64_t until = gfs_monotonic_ns() + 10000000000LL;
    while ((err = store->ops->pin(store, kept.ids[0], &pin)) == GFS_OK) {
        store->ops->unpin(store, &pin);
        cr_assert_lt(gfs_monotonic_ns(), until, "they are read still");
        (void)usleep(1000);
    }
    cr_assert_eq(err, GFS_UNREACHABLE);
    open_rig_bring_back(&kept.rig, 4);
    open_rig_bring_back(&kept.rig, 5);
    set_unwritable(&kept, 0, 3, false);
    set_unwritable(&kept, 4, 2, false);
    until = gfs_monotonic_ns() + 10000000000LL;
    while (!open_rig_has(&kept.rig, kept.ids[0], kept.texts[0])) {
        cr_assert_lt(gfs_monotonic_ns(), until, "it does not come back");
        (void)usleep(1000);
    }
    chunks_rig_fini(&kept);
}

static void expect_pinned(struct chunks_rig *kept, struct chunk_pin *pin, unsigned number)
{
    struct chunk_store *store = pool_chunks(kept->rig.pool);
    char *bytes = gfs_alloc(pin->len);
    cr_assert_eq(store->ops->read(store, pin, 0, pin->len, bytes, 0), GFS_OK);
    cr_assert_eq(memcmp(bytes, kept->texts[number], strlen(kept->texts[number])), 0);
    free(bytes);
}

/* And the disks come back while it lasts: it keeps none of them from that. */
Test(pool_former, a_read_under_way_goes_on_when_its_disks_are_dropped)
{
    struct chunks_rig kept;
    struct chunk_pin pins[CHUNKS_RIG_COUNT];
    chunks_rig_init(&kept, 6);
    struct chunk_store *store = pool_chunks(kept.rig.pool);
    for (unsigned i = 0; i < CHUNKS_RIG_COUNT; i++) {
        cr_assert_eq(store->ops->pin(store, kept.ids[i], &pins[i]), GFS_OK);
    }
    set_unwritable(&kept, 0, 6, true);
    open_rig_await(&kept.rig, is_read_only);
    expect_pinned(&kept, &pins[0], 0);
    set_unwritable(&kept, 0, 6, false);
    open_rig_await(&kept.rig, open_rig_is_healthy);
    cr_assert_eq(put(&kept, 0, &kept.ids[0]), GFS_OK);
    for (unsigned i = 0; i < CHUNKS_RIG_COUNT; i++) {
        expect_pinned(&kept, &pins[i], i);
        store->ops->unpin(store, &pins[i]);
    }
    chunks_rig_fini(&kept);
}
