#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "libgoodfs/mem.h"
#include "pool/pool_plan.h"
#include "pool/pool_watch.h"
#include "tests/unit/pool/open_rig.h"

static bool has_mirror(const struct pool_map *map, uint16_t disk, bool is_in_sync)
{
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == disk) {
            return map->log_disks[i].is_in_sync == is_in_sync;
        }
    }
    return false;
}

static bool is_2_in_sync(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return has_mirror(view->map, 2, true);
}

static bool is_2_out_of_sync(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return has_mirror(view->map, 2, false);
}

static bool is_0_out_of_sync(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return has_mirror(view->map, 0, false);
}

static bool has_four_in_sync(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    bool are_all = view->map->log_disk_count == 4;
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        are_all = are_all && view->map->log_disks[i].is_in_sync;
    }
    return are_all;
}

static void open_started(struct open_rig *rig, unsigned disks, const struct pool_meta_hooks *hooks)
{
    open_rig_init(rig, disks);
    open_rig_open(rig);
    open_rig_start(rig, hooks);
}

static void put_edits(struct open_rig *rig, uint64_t first, uint64_t last)
{
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        cr_assert_eq(open_rig_put(rig, "", lsn, NULL), GFS_OK);
    }
}

/* Plain data. The LSNs of a log, in its order. */
struct log_seen {
    uint64_t lsns[64];
    size_t count;
};

static enum gfs_err see_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct log_seen *seen = arg;
    (void)edit;
    cr_assert_lt(seen->count, GFS_COUNT(seen->lsns));
    seen->lsns[seen->count++] = lsn;
    return GFS_OK;
}

static void expect_same_log(struct open_rig *rig, unsigned a, unsigned b)
{
    struct log_seen seen[2] = {0};
    const unsigned disks[2] = {a, b};
    for (size_t i = 0; i < 2; i++) {
        struct chunk_store *store = disk_double_store(open_rig_double(rig, disks[i]));
        cr_assert_eq(store->ops->replay_edits(store, 0, see_edit, &seen[i], NULL), GFS_OK);
    }
    cr_expect_eq(seen[0].count, seen[1].count, "%zu and %zu", seen[0].count, seen[1].count);
    cr_expect_arr_eq(seen[0].lsns, seen[1].lsns, sizeof seen[0].lsns);
}

static enum gfs_err change_read_only(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)error;
    map->disks[2].is_read_only = *(const bool *)arg;
    pool_plan_log_disks(map);
    return GFS_OK;
}

/* Disk 2. Not by pool_disk_set, which sees to it that enough others take new data. */
static void set_read_only(struct open_rig *rig, bool is_read_only)
{
    cr_assert_eq(pool_change_map(rig->pool, change_read_only, &is_read_only, NULL), GFS_OK);
}

/* Plain data. A database that is being copied until somebody lets it go. */
struct held_join {
    atomic_bool has_begun, may_end;
};

static enum gfs_err hold_join(void *arg, const char *dir)
{
    struct held_join *held = arg;
    (void)dir;
    atomic_store(&held->has_begun, true);
    while (!atomic_load(&held->may_end)) {
        (void)usleep(1000);
    }
    return GFS_OK;
}

static bool has_begun_to_copy(struct open_rig *rig, const struct pool_view *view)
{
    const struct held_join *held = rig->pool->hooks.arg;
    (void)view;
    return atomic_load(&held->has_begun);
}

/* ---- logs ---- */

/* What a disk missed while it was no log disk, it must be given before it is in sync again. */
Test(pool_mirrors, a_mirror_that_was_none_for_a_while_has_all_edits_when_it_is_in_sync_again)
{
    struct open_rig rig;
    struct held_join held = {.may_end = true};
    struct pool_meta_hooks hooks = {.arg = &held, .join = hold_join};
    open_started(&rig, 3, &hooks);
    put_edits(&rig, 1, 1);
    pool_mirror_failed(rig.pool, rig.paths[2]);
    open_rig_await(&rig, has_begun_to_copy);
    open_rig_await(&rig, is_2_in_sync);
    put_edits(&rig, 2, 2);
    set_read_only(&rig, true);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert(!has_mirror(view->map, 2, true) && !has_mirror(view->map, 2, false));
    pool_view_put(view);
    put_edits(&rig, 3, 9);
    set_read_only(&rig, false);
    open_rig_await(&rig, is_2_in_sync);
    put_edits(&rig, 10, 10);
    expect_same_log(&rig, 0, 2);
    open_rig_fini(&rig);
}

static bool is_0_in_sync(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return has_mirror(view->map, 0, true);
}

/* Disk 0 took an edit that nobody else did and that nobody was told of. When that is trimmed the
 * disk is a mirror again, the first one. What its log cannot give is taken from another. */
Test(pool_mirrors, an_edit_that_never_counted_is_never_replayed)
{
    struct open_rig rig;
    open_started(&rig, 3, NULL);
    put_edits(&rig, 1, 1);
    open_rig_append(disk_double_store(open_rig_double(&rig, 0)), 2);
    open_rig_close(&rig);
    open_rig_take_away(&rig, 0);
    open_rig_open(&rig);
    put_edits(&rig, 11, 12);
    open_rig_close(&rig);
    open_rig_bring_back(&rig, 0);
    open_rig_open(&rig);
    atomic_store(&rig.pool->lsn_trimmed, 11); /* of which nothing is reclaimed yet */
    open_rig_start(&rig, NULL);
    open_rig_await(&rig, is_0_in_sync);
    open_rig_reopen(&rig);
    struct log_seen seen = {0};
    struct chunk_store *chunks = pool_chunks(rig.pool);
    cr_assert_eq(chunks->ops->replay_edits(chunks, 0, see_edit, &seen, NULL), GFS_OK);
    cr_assert_eq(seen.count, 3, "%zu", seen.count);
    const uint64_t lsns[] = {1, 11, 12};
    cr_expect_arr_eq(seen.lsns, lsns, sizeof lsns);
    open_rig_fini(&rig);
}

static void open_with_four_logs(struct open_rig *rig)
{
    const char *classes[] = {"STANDARD=replica:4", NULL};
    open_rig_init(rig, 4);
    rig->options.classes = classes;
    open_rig_open(rig);
    open_rig_start(rig, NULL);
    struct pool_view *view = open_rig_view(rig);
    cr_assert(has_four_in_sync(rig, view), "from the first edit on");
    pool_view_put(view);
}

/* Else the metadata would not survive what the data does. */
Test(pool_mirrors, a_class_asked_for_later_gets_as_many_mirrors_as_it_survives_disks)
{
    struct open_rig rig;
    struct chunk_id id;
    open_started(&rig, 5, NULL);
    struct chunk_store *store = pool_chunks(rig.pool);
    put_edits(&rig, 1, 3);
    cr_assert_eq(store->ops->new_id(store, gfs_slice_str("replica:4"), 1, &id), GFS_OK);
    open_rig_await(&rig, has_four_in_sync);
    expect_same_log(&rig, 0, 3);
    open_rig_fini(&rig);
}

/* What it has was all there was when the join began. */
Test(pool_mirrors, a_disk_does_not_join_by_a_log_that_gets_no_edits_any_more)
{
    struct open_rig rig;
    open_with_four_logs(&rig);
    put_edits(&rig, 1, 1);
    disk_double_hang_log(open_rig_double(&rig, 0), true);
    pool_mirror_failed(rig.pool, rig.paths[3]);
    disk_double_await_replay(open_rig_double(&rig, 0));
    pool_mirror_failed(rig.pool, rig.paths[0]);
    open_rig_await(&rig, is_0_out_of_sync);
    put_edits(&rig, 2, 9);
    disk_double_hang_log(open_rig_double(&rig, 0), false);
    open_rig_await(&rig, has_four_in_sync);
    put_edits(&rig, 10, 10);
    expect_same_log(&rig, 1, 3);
    expect_same_log(&rig, 1, 0);
    open_rig_fini(&rig);
}

static bool has_refused(struct open_rig *rig, const struct pool_view *view)
{
    struct disk_double_counts counts;
    (void)view;
    disk_double_counts(open_rig_double(rig, 2), &counts);
    return counts.refused > 0;
}

static void *put_one(void *arg)
{
    cr_expect_eq(open_rig_put(arg, "", 2, NULL), GFS_OK);
    return NULL;
}

/* A map that calls it in sync may be under way: only one after it can say that it is not. */
Test(pool_mirrors, a_disk_that_fails_while_it_joins_is_waited_for_until_maps_under_way_are_made)
{
    struct open_rig rig;
    struct held_join held = {0};
    pthread_t thread;
    struct pool_meta_hooks hooks = {.arg = &held, .join = hold_join};
    open_started(&rig, 3, &hooks);
    put_edits(&rig, 1, 1);
    pool_mirror_failed(rig.pool, rig.paths[2]);
    open_rig_await(&rig, has_begun_to_copy);
    struct pool_view *view = open_rig_view(&rig);
    disk_double_set_room(open_rig_double(&rig, 2), DISK_DOUBLE_BRIMFUL);
    (void)pthread_mutex_lock(&rig.pool->change_lock);
    cr_assert_eq(pthread_create(&thread, NULL, put_one, &rig), 0);
    open_rig_await(&rig, has_refused);
    for (int i = 0; i < 50; i++) { /* for the watch to hear of it */
        cr_expect(atomic_load(&view->disks[2]->takes_edits));
        (void)usleep(1000);
    }
    (void)pthread_mutex_unlock(&rig.pool->change_lock);
    (void)pthread_join(thread, NULL);
    cr_expect(!atomic_load(&view->disks[2]->takes_edits));
    pool_view_put(view);
    atomic_store(&held.may_end, true);
    open_rig_fini(&rig);
}

/* ---- logs that cannot be read ---- */

static void drop(struct open_rig *rig, unsigned disk)
{
    struct pool_view *view = open_rig_view(rig);
    pool_disk_drop(rig->pool, view->disks[disk], GFS_TIMEOUT, "test");
    pool_view_put(view);
}

static bool is_2_away(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return !pool_disk_is_usable(view->disks[2]) && !has_mirror(view->map, 2, true);
}

/* It hangs for ever: the errand that read its log with it. */
Test(pool_mirrors, a_source_that_hangs_keeps_no_other_disk_from_being_a_mirror)
{
    struct open_rig rig;
    open_started(&rig, 5, NULL);
    struct disk_double *source = open_rig_double(&rig, 0);
    put_edits(&rig, 1, 3);
    disk_double_hang_log(source, true);
    pool_mirror_failed(rig.pool, rig.paths[2]);
    disk_double_await_replay(source);
    drop(&rig, 0);
    open_rig_await(&rig, is_2_in_sync);
    put_edits(&rig, 4, 6);
    expect_same_log(&rig, 1, 2);
    drop(&rig, 2); /* and it can be closed, and opened again */
    open_rig_await(&rig, is_2_away);
    open_rig_await(&rig, is_2_in_sync);
    put_edits(&rig, 7, 9);
    expect_same_log(&rig, 1, 2);
    disk_double_hang_log(source, false);
    open_rig_fini(&rig);
}

/* ---- databases that fail ---- */

/* Then both are said to be there: the one that is not, and the one that was found in its place. */
Test(pool_mirrors, a_database_that_fails_is_that_of_the_disk_that_is_there)
{
    struct open_rig rig;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    open_rig_close(&rig);
    open_rig_take_away(&rig, 1);
    cr_assert_eq(rename(rig.paths[2], rig.paths[1]), 0);
    rig.given[2] = NULL;
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert(has_mirror(view->map, 1, false));
    cr_assert(has_mirror(view->map, 2, true));
    pool_view_put(view);
    pool_mirror_failed(rig.pool, rig.paths[1]);
    open_rig_await(&rig, is_2_out_of_sync);
    open_rig_fini(&rig);
}

static void set_room_for_maps(bool has_room)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = has_room ? limit.rlim_max : 100;
    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool is_refused_the_map(struct open_rig *rig, const struct pool_view *view)
{
    (void)view; /* there may be a newer one by now */
    (void)pthread_mutex_lock(&rig->pool->change_lock);
    struct pool_view *last = open_rig_view(rig);
    bool was_tried = rig->pool->version_used > last->map->version;
    pool_view_put(last);
    (void)pthread_mutex_unlock(&rig->pool->change_lock);
    return was_tried;
}

/* Else its copy counts for ever, though it is none. */
Test(pool_mirrors, a_failure_that_no_map_has_room_for_is_said_when_there_is_room)
{
    struct open_rig rig;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    set_room_for_maps(false);
    pool_mirror_failed(rig.pool, rig.paths[2]);
    open_rig_await(&rig, is_refused_the_map);
    struct pool_view *view = open_rig_view(&rig);
    cr_expect(has_mirror(view->map, 2, true) && !view->is_read_only);
    pool_view_put(view);
    set_room_for_maps(true);
    open_rig_await(&rig, is_2_out_of_sync);
    open_rig_fini(&rig);
}

/* A start may find the one that calls it in sync. */
Test(pool_mirrors, a_join_that_no_map_had_room_for_is_over_when_a_later_map_says_so)
{
    struct open_rig rig;
    struct held_join held = {0};
    pthread_t thread;
    struct pool_meta_hooks hooks = {.arg = &held, .join = hold_join};
    open_started(&rig, 3, &hooks);
    put_edits(&rig, 1, 1);
    pool_mirror_failed(rig.pool, rig.paths[2]);
    open_rig_await(&rig, has_begun_to_copy);
    set_room_for_maps(false);
    atomic_store(&held.may_end, true);
    open_rig_await(&rig, is_refused_the_map);
    disk_double_set_room(open_rig_double(&rig, 2), DISK_DOUBLE_BRIMFUL);
    cr_assert_eq(pthread_create(&thread, NULL, put_one, &rig), 0);
    open_rig_await(&rig, has_refused);
    set_room_for_maps(true);
    (void)pthread_join(thread, NULL);
    struct pool_view *view = open_rig_view(&rig);
    cr_expect(!is_refused_the_map(&rig, view), "the map in force is the newest");
    cr_expect(has_mirror(view->map, 2, false));
    pool_view_put(view);
    open_rig_fini(&rig);
}

struct keeper {
    enum gfs_err join_err;
    const char *counted; /* path of the disk whose joins count */
    atomic_uint joins, leaves;
};

static enum gfs_err keeper_join(void *arg, const char *dir)
{
    struct keeper *keeper = arg;
    atomic_fetch_add(&keeper->joins, strcmp(dir, keeper->counted) == 0 ? 1 : 0);
    return keeper->join_err;
}

static void keeper_leave(void *arg, const char *dir)
{
    struct keeper *keeper = arg;
    (void)dir;
    atomic_fetch_add(&keeper->leaves, 1);
}

static bool is_closed(struct open_rig *rig, const struct pool_view *view)
{
    struct keeper *keeper = rig->pool->hooks.arg;
    return view->is_read_only && atomic_load(&keeper->leaves) != 0;
}

static bool is_open(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return !view->is_read_only;
}

static bool is_trimmed(struct open_rig *rig, const struct pool_view *view)
{
    struct chunk_store *store = pool_chunks(rig->pool);
    (void)view;
    store->ops->trim_edits(store, 3);
    return disk_double_trimmed(open_rig_double(rig, 0)) == 3;
}

static bool was_tried_often(struct open_rig *rig, const struct pool_view *view)
{
    struct keeper *keeper = rig->pool->hooks.arg;
    (void)view;
    return atomic_load(&keeper->joins) >= 3;
}

/* Disks from `first` on are away for a while, so that no map can say so; that one is back first. */
static void be_closed_for_a_while(struct open_rig *rig, unsigned first, unsigned disks)
{
    (void)pthread_mutex_lock(&rig->pool->change_lock);
    struct pool_view *view = open_rig_view(rig);
    for (unsigned i = first; i < disks; i++) {
        open_rig_take_away(rig, i);
        pool_disk_drop(rig->pool, view->disks[i], GFS_TIMEOUT, "test");
    }
    pool_view_put(view);
    (void)pthread_mutex_unlock(&rig->pool->change_lock);
    open_rig_await(rig, is_closed);
    open_rig_bring_back(rig, first);
    open_rig_await(rig, is_open);
    for (unsigned i = first + 1; i < disks; i++) {
        open_rig_bring_back(rig, i);
    }
}

/* It is in sync by its log, which no other may trim for it. */
Test(pool_mirrors, a_database_that_cannot_be_copied_again_does_not_hold_the_logs_for_ever)
{
    struct open_rig rig;
    struct keeper keeper = {.join_err = GFS_IO, .counted = rig.paths[2]};
    struct pool_meta_hooks hooks = {.arg = &keeper, .join = keeper_join, .leave = keeper_leave};
    open_started(&rig, 5, &hooks);
    put_edits(&rig, 1, 3);
    be_closed_for_a_while(&rig, 2, 5);
    open_rig_await(&rig, is_2_out_of_sync);
    cr_expect_gt(atomic_load(&keeper.joins), 1, "once may be by chance");
    open_rig_await(&rig, is_trimmed);
    put_edits(&rig, 4, 5);
    open_rig_fini(&rig);
}

/* Its log has everything: that is enough to write, for as long as the disks have room. */
Test(pool_mirrors, a_mirror_without_which_nothing_could_be_written_stays_one)
{
    struct open_rig rig;
    struct keeper keeper = {.join_err = GFS_IO, .counted = rig.paths[1]};
    struct pool_meta_hooks hooks = {.arg = &keeper, .join = keeper_join, .leave = keeper_leave};
    open_started(&rig, 3, &hooks);
    put_edits(&rig, 1, 3);
    be_closed_for_a_while(&rig, 1, 3);
    open_rig_await(&rig, was_tried_often);
    for (uint64_t lsn = 4; lsn < 50; lsn++) { /* one more look may come meanwhile */
        put_edits(&rig, lsn, lsn);
        (void)usleep(1000);
    }
    cr_expect(!is_trimmed(&rig, NULL));
    struct pool_view *view = open_rig_view(&rig);
    cr_expect(has_mirror(view->map, 1, true));
    pool_view_put(view);
    open_rig_fini(&rig);
}

/* ---- the end ---- */

static void answered(void *arg, enum gfs_err err)
{
    *(enum gfs_err *)arg = err;
}

/* Disks that hung answer when they like. */
Test(pool_mirrors, who_tells_the_watch_something_after_its_end_is_answered)
{
    struct open_rig rig;
    enum gfs_err err = GFS_OK;
    open_started(&rig, 3, NULL);
    pool_stop(rig.pool);
    pool_watch_stop(rig.pool->watch);
    struct pool_view *view = open_rig_view(&rig);
    pool_note_behind(rig.pool, view->disks[2], answered, &err);
    cr_expect_eq(err, GFS_UNREACHABLE);
    pool_mirror_failed(rig.pool, rig.paths[2]);
    pool_disk_drop(rig.pool, view->disks[2], GFS_TIMEOUT, "test");
    pool_view_put(view);
    open_rig_fini(&rig);
}
