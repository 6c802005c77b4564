#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "libgoodfs/mem.h"
#include "pool/pool_watch.h"
#include "tests/unit/pool/open_rig.h"

static void put_some(struct open_rig *rig, struct chunk_id *ret)
{
    cr_assert_eq(open_rig_put(rig, "some bytes", 1, ret), GFS_OK);
}

static unsigned count_in_sync(const struct pool_map *map)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        count += map->log_disks[i].is_in_sync ? 1 : 0;
    }
    return count;
}

static bool has_mirror(const struct pool_map *map, uint16_t disk, bool is_in_sync)
{
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == disk) {
            return map->log_disks[i].is_in_sync == is_in_sync;
        }
    }
    return false;
}

static void open_started(struct open_rig *rig, unsigned disks, const struct pool_meta_hooks *hooks)
{
    open_rig_init(rig, disks);
    open_rig_open(rig);
    open_rig_start(rig, hooks);
}

static bool is_0_failed(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[0].state == POOL_DISK_FAILED;
}

static bool is_1_away(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[1].state == POOL_DISK_ACTIVE && view->map->disks[1].is_behind &&
           !pool_disk_is_usable(view->disks[1]);
}

static bool has_three_in_sync(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return count_in_sync(view->map) == 3;
}

Test(pool_watch, a_disk_that_fails_a_write_is_failed_and_the_write_is_acknowledged)
{
    struct open_rig rig;
    struct chunk_id id;
    open_started(&rig, 4, NULL);
    disk_double_fail(open_rig_double(&rig, 0), 1);
    cr_assert_eq(open_rig_put(&rig, "some bytes", 1, &id), GFS_OK);
    open_rig_await(&rig, is_0_failed);
    cr_assert(open_rig_has(&rig, id, "some bytes"));
    open_rig_await(&rig, has_three_in_sync);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert(has_mirror(view->map, 3, true), "the fourth disk took the log over");
    pool_view_put(view);
    cr_assert(disk_double_has_edit(open_rig_double(&rig, 3), 1));
    open_rig_fini(&rig);
}

Test(pool_watch, an_idle_disk_that_failed_is_found)
{
    struct open_rig rig;
    struct chunk_id id;
    open_started(&rig, 4, NULL);
    put_some(&rig, &id);
    disk_double_crash(open_rig_double(&rig, 0), 0);
    open_rig_await(&rig, is_0_failed);
    open_rig_fini(&rig);
}

Test(pool_watch, a_disk_that_is_taken_away_is_away_and_comes_back_behind_and_is_healed)
{
    struct open_rig rig;
    struct chunk_id id, later;
    open_started(&rig, 4, NULL);
    put_some(&rig, &id);
    open_rig_take_away(&rig, 1);
    open_rig_await(&rig, is_1_away);
    cr_assert_eq(open_rig_put(&rig, "later", 2, &later), GFS_OK);
    open_rig_bring_back(&rig, 1);
    open_rig_await(&rig, open_rig_is_healthy);
    cr_assert(open_rig_has(&rig, id, "some bytes"));
    cr_assert(open_rig_has(&rig, later, "later"));
    open_rig_fini(&rig);
}

Test(pool_watch, a_disk_that_is_away_for_too_long_is_failed)
{
    struct open_rig rig;
    open_rig_init(&rig, 4);
    rig.options.missing_grace_s = 1;
    open_rig_open(&rig);
    open_rig_start(&rig, NULL);
    open_rig_take_away(&rig, 0);
    open_rig_await(&rig, is_0_failed);
    open_rig_bring_back(&rig, 0);
    open_rig_fini(&rig);
}

static bool has_stead(struct open_rig *rig, const struct pool_view *view)
{
    return view->map->disk_count == 5 && view->map->disks[0].state != POOL_DISK_ACTIVE &&
           strcmp(view->map->disks[4].path, rig->paths[0]) == 0 && open_rig_is_healthy(rig, view);
}

Test(pool_watch, an_emptied_disk_is_replaced_by_a_new_one_in_its_place)
{
    struct open_rig rig;
    struct chunk_id id;
    open_started(&rig, 4, NULL);
    put_some(&rig, &id);
    open_rig_empty(&rig, 0);
    open_rig_await(&rig, has_stead);
    cr_assert(open_rig_has(&rig, id, "some bytes"));
    open_rig_reopen(&rig);
    cr_assert(open_rig_has(&rig, id, "some bytes"));
    open_rig_fini(&rig);
}

static bool are_both_failed(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    char reason[160];
    return (view->map->disks[4].state == POOL_DISK_FAILED &&
            view->map->disks[3].state == POOL_DISK_FAILED) ||
           pool_health(rig->pool, reason, sizeof reason) == POOL_READ_ONLY;
}

Test(pool_watch, swapped_disks_are_not_written_to)
{
    struct open_rig rig;
    struct chunk_id id;
    open_started(&rig, 6, NULL);
    put_some(&rig, &id);
    open_rig_swap(&rig, 3, 4);
    open_rig_await(&rig, are_both_failed);
    open_rig_reopen(&rig);
    cr_assert(open_rig_has(&rig, id, "some bytes"));
    open_rig_fini(&rig);
}

static bool is_read_only(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->is_read_only;
}

static bool is_writable(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return !view->is_read_only;
}

/* Two of four with the first are a quorum, two without it are none. */
Test(pool_watch, without_a_quorum_the_pool_is_read_only_until_disks_return)
{
    struct open_rig rig;
    struct chunk_id id, other;
    open_started(&rig, 4, NULL);
    put_some(&rig, &id);
    (void)pthread_mutex_lock(&rig.pool->change_lock); /* both are gone before a map is made */
    open_rig_take_away(&rig, 0);
    open_rig_take_away(&rig, 1);
    struct pool_view *view = open_rig_view(&rig);
    pool_disk_drop(rig.pool, view->disks[0], GFS_TIMEOUT, "test");
    pool_disk_drop(rig.pool, view->disks[1], GFS_TIMEOUT, "test");
    pool_view_put(view);
    (void)pthread_mutex_unlock(&rig.pool->change_lock);
    open_rig_await(&rig, is_read_only);
    char reason[160];
    cr_assert_eq(pool_health(rig.pool, reason, sizeof reason), POOL_READ_ONLY);
    cr_assert_not_null(strstr(reason, "2 of 4"), "%s", reason);
    cr_assert_eq(open_rig_put(&rig, "no", 2, &other), GFS_UNREACHABLE);
    open_rig_bring_back(&rig, 0);
    open_rig_bring_back(&rig, 1);
    open_rig_await(&rig, is_writable);
    open_rig_await(&rig, open_rig_is_healthy);
    cr_assert_eq(open_rig_put(&rig, "yes", 3, &other), GFS_OK);
    cr_assert(open_rig_has(&rig, id, "some bytes"));
    open_rig_fini(&rig);
}

/* ---- the keeper of the metadata ---- */

struct keeper {
    enum gfs_err join_err, move_err;
    atomic_uint joins, leaves, moves;
    char moved_to[POOL_PATH_LEN_MAX];
};

static enum gfs_err keeper_join(void *arg, const char *dir)
{
    struct keeper *keeper = arg;
    (void)dir;
    atomic_fetch_add(&keeper->joins, 1);
    return keeper->join_err;
}

static void keeper_leave(void *arg, const char *dir)
{
    struct keeper *keeper = arg;
    (void)dir;
    atomic_fetch_add(&keeper->leaves, 1);
}

static enum gfs_err keeper_move(void *arg, const char *lost_dir, const char *dir)
{
    struct keeper *keeper = arg;
    (void)lost_dir;
    (void)snprintf(keeper->moved_to, sizeof keeper->moved_to, "%s", dir);
    atomic_fetch_add(&keeper->moves, 1);
    return keeper->move_err;
}

Test(pool_watch, the_live_databases_disk_is_lost_and_the_next_mirror_takes_over)
{
    struct open_rig rig;
    struct chunk_id id;
    struct keeper keeper = {0};
    struct pool_meta_hooks hooks = {
        .arg = &keeper, .join = keeper_join, .leave = keeper_leave, .move = keeper_move};
    open_started(&rig, 4, &hooks);
    put_some(&rig, &id);
    char live[POOL_PATH_LEN_MAX];
    cr_assert(pool_mirror_dir(rig.pool, 0, live));
    cr_assert_str_eq(live, rig.paths[0]);
    disk_double_crash(open_rig_double(&rig, 0), 0);
    open_rig_await(&rig, is_0_failed);
    open_rig_await(&rig, has_three_in_sync);
    pool_stop(rig.pool);
    cr_assert_eq(atomic_load(&keeper.moves), 1);
    cr_assert_str_eq(keeper.moved_to, rig.paths[1]);
    cr_assert_eq(atomic_load(&keeper.joins), 1);
    cr_assert(pool_mirror_dir(rig.pool, 0, live));
    cr_assert_str_eq(live, rig.paths[1]);
    cr_assert(!pool_mirror_dir(rig.pool, 3, live));
    open_rig_fini(&rig);
}

static bool has_tried_to_move(struct open_rig *rig, const struct pool_view *view)
{
    const struct keeper *keeper = rig->pool->hooks.arg;
    (void)view;
    return atomic_load(&keeper->moves) != 0;
}

Test(pool_watch, a_move_that_ends_because_the_service_stops_is_held_against_no_disk)
{
    struct open_rig rig;
    struct chunk_id id;
    struct keeper keeper = {.join_err = GFS_BUSY, .move_err = GFS_STOPPED};
    struct pool_meta_hooks hooks = {.arg = &keeper, .join = keeper_join, .move = keeper_move};
    open_started(&rig, 3, &hooks);
    put_some(&rig, &id);
    disk_double_crash(open_rig_double(&rig, 0), 0);
    open_rig_await(&rig, is_0_failed);
    open_rig_await(&rig, has_tried_to_move);
    pool_stop(rig.pool);
    struct pool_view *view = pool_view_get(rig.pool);
    cr_expect_eq(count_in_sync(view->map), 2u);
    pool_view_put(view);
    open_rig_fini(&rig);
}

static bool has_joined_again(struct open_rig *rig, const struct pool_view *view)
{
    const struct keeper *keeper = rig->pool->hooks.arg;
    return atomic_load(&keeper->joins) == 1 && count_in_sync(view->map) == 3;
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

struct failing_live {
    struct keeper keeper; /* first: has_tried_to_move looks at it */
    struct open_rig rig;
};

/* The live database fails as well, before the mirror that failed first has joined anew. */
static void fail_live_too(void *arg, const char *dir)
{
    struct failing_live *failing = arg;
    bool is_known = strcmp(dir, failing->rig.paths[2]) != 0;
    if (!is_known) {
        pool_mirror_failed(failing->rig.pool, failing->rig.paths[0]);
    }
    while (!is_known) {
        struct pool_view *view = open_rig_view(&failing->rig);
        is_known = has_mirror(view->map, 0, false);
        pool_view_put(view);
    }
}

Test(pool_watch, a_live_database_that_failed_does_not_join_as_a_copy_before_another_is_live)
{
    struct failing_live failing = {0};
    struct open_rig *rig = &failing.rig;
    struct chunk_id id;
    struct pool_meta_hooks hooks = {.arg = &failing, .leave = fail_live_too, .move = keeper_move};
    open_started(rig, 3, &hooks);
    put_some(rig, &id);
    pool_mirror_failed(rig->pool, rig->paths[2]);
    open_rig_await(rig, has_tried_to_move);
    open_rig_await(rig, has_three_in_sync);
    cr_expect_eq(atomic_load(&failing.keeper.moves), 1);
    cr_expect_str_eq(failing.keeper.moved_to, rig->paths[1]);
    open_rig_fini(rig);
}

/* As the metadata's shard does: an edit that changes nothing, and all before it are trimmed. */
static void write_and_trim(void *arg)
{
    struct open_rig *rig = arg;
    struct chunk_store *store = pool_chunks(rig->pool);
    cr_assert_eq(open_rig_put(rig, "", 2, NULL), GFS_OK);
    store->ops->trim_edits(store, 1);
}

/* Nobody writes, so nothing would be trimmed either. */
Test(pool_watch, a_mirror_whose_log_lost_its_newest_edits_joins_in_an_idle_pool)
{
    struct open_rig rig;
    struct chunk_id id;
    struct pool_meta_hooks hooks = {.arg = &rig, .trim = write_and_trim};
    open_started(&rig, 3, &hooks);
    put_some(&rig, &id);
    disk_double_lose_edits(open_rig_double(&rig, 2));
    pool_mirror_failed(rig.pool, rig.paths[2]);
    open_rig_await(&rig, is_2_out_of_sync);
    open_rig_await(&rig, is_2_in_sync);
    cr_assert(disk_double_has_edit(open_rig_double(&rig, 2), 2));
    open_rig_fini(&rig);
}

static enum gfs_err ignore_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    (void)arg;
    (void)lsn;
    (void)edit;
    return GFS_OK;
}

Test(pool_watch, a_mirror_that_was_away_while_edits_were_trimmed_knows_what_it_lacks)
{
    struct open_rig rig;
    struct chunk_id id;
    open_started(&rig, 3, NULL);
    put_some(&rig, &id);
    open_rig_close(&rig);
    open_rig_take_away(&rig, 2);
    open_rig_open(&rig);
    for (uint64_t i = 2; i <= 6; i++) {
        cr_assert_eq(open_rig_put(&rig, "", (i << 21) + i, NULL), GFS_OK);
    }
    struct chunk_store *chunks = pool_chunks(rig.pool);
    chunks->ops->trim_edits(chunks, (5 << 21) + 5);
    struct chunk_store_status status;
    chunks->ops->status(chunks, &status);
    cr_expect_eq(status.lsn_gone, (5 << 21) + 5);
    open_rig_bring_back(&rig, 2);
    open_rig_close(&rig);
    open_rig_open(&rig);
    open_rig_start(&rig, NULL);
    open_rig_await(&rig, is_2_in_sync);
    struct disk_double *disk = open_rig_double(&rig, 2);
    struct chunk_store *store = disk_double_store(disk);
    cr_expect(disk_double_has_edit(disk, 1) && disk_double_has_edit(disk, (6 << 21) + 6));
    cr_expect_not(disk_double_has_edit(disk, (5 << 21) + 5));
    cr_expect_eq(store->ops->replay_edits(store, 1, ignore_edit, NULL, NULL), GFS_CORRUPT);
    cr_expect_eq(store->ops->replay_edits(store, (5 << 21) + 5, ignore_edit, NULL, NULL), GFS_OK);
    open_rig_fini(&rig);
}

Test(pool_watch, a_mirror_whose_database_failed_joins_anew)
{
    struct open_rig rig;
    struct chunk_id id;
    struct keeper keeper = {0};
    struct pool_meta_hooks hooks = {
        .arg = &keeper, .join = keeper_join, .leave = keeper_leave, .move = keeper_move};
    open_started(&rig, 3, &hooks);
    put_some(&rig, &id);
    pool_mirror_failed(rig.pool, rig.paths[2]);
    open_rig_await(&rig, has_joined_again);
    cr_assert_eq(open_rig_put(&rig, "more", 2, &id), GFS_OK);
    cr_assert(disk_double_has_edit(open_rig_double(&rig, 2), 2));
    cr_assert_eq(atomic_load(&keeper.leaves), 1);
    open_rig_fini(&rig);
}

/* ---- changes ---- */

static enum gfs_err add_reserved(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)arg;
    (void)error;
    map->disks[0].reserved++;
    return GFS_OK;
}

static void *change_often(void *arg)
{
    struct open_rig *rig = arg;
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(pool_change_map(rig->pool, add_reserved, NULL, NULL), GFS_OK);
    }
    return NULL;
}

Test(pool_watch, changes_of_many_threads_and_a_drop_are_all_in_the_map)
{
    struct open_rig rig;
    pthread_t threads[3];
    open_started(&rig, 5, NULL);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, change_often, &rig), 0);
    }
    struct pool_view *view = open_rig_view(&rig);
    pool_disk_drop(rig.pool, view->disks[4], GFS_IO, "test");
    pool_view_put(view);
    for (size_t i = 0; i < 3; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    view = open_rig_view(&rig);
    cr_assert_eq(view->map->disks[0].reserved, 60);
    pool_view_put(view);
    open_rig_close(&rig);
    open_rig_open(&rig);
    view = open_rig_view(&rig);
    cr_assert_eq(view->map->disks[0].reserved, 60, "it was durable");
    pool_view_put(view);
    open_rig_fini(&rig);
}

/* A map that cannot be written to a disk is durable on the others, and calls that one failed. */
Test(pool_watch, a_disk_that_does_not_take_the_map_is_failed_by_the_next_version)
{
    struct open_rig rig;
    char path[OPEN_RIG_PATH_SIZE + 16];
    open_rig_init(&rig, 4);
    open_rig_open(&rig);
    (void)snprintf(path, sizeof path, "%s/pool.json.tmp", rig.paths[2]);
    cr_assert_eq(mkdir(path, 0700), 0); /* in the way of the temporary file */
    cr_assert_eq(pool_change_map(rig.pool, add_reserved, NULL, NULL), GFS_OK);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert_eq(view->map->disks[2].state, POOL_DISK_FAILED);
    cr_assert_eq(view->map->disks[0].reserved, 1);
    pool_view_put(view);
    open_rig_fini(&rig);
}

static enum gfs_err refuse(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)arg;
    map->disks[0].reserved = 77;
    return gfs_fail(error, GFS_INVALID, "no");
}

Test(pool_watch, a_change_that_is_refused_changes_nothing)
{
    struct open_rig rig;
    struct gfs_error error;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    struct pool_view *before = open_rig_view(&rig);
    cr_assert_eq(pool_change_map(rig.pool, refuse, NULL, &error), GFS_INVALID);
    struct pool_view *after = open_rig_view(&rig);
    cr_assert_eq(before, after);
    cr_assert_eq(after->map->disks[0].reserved, 0);
    pool_view_put(before);
    pool_view_put(after);
    open_rig_fini(&rig);
}

struct noted {
    atomic_uint count;
    struct pool *pool;
    atomic_bool was_said;
};

static void noted(void *arg, enum gfs_err err)
{
    struct noted *own = arg;
    struct pool_view *view = pool_view_get(own->pool);
    atomic_store(&own->was_said, err == GFS_OK && view->map->disks[1].is_behind);
    pool_view_put(view);
    atomic_fetch_add(&own->count, 1);
}

static bool is_1_behind(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[1].is_behind;
}

Test(pool_watch, notes_are_answered_when_the_map_says_so)
{
    struct open_rig rig;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    struct noted own = {.pool = rig.pool};
    struct pool_view *view = open_rig_view(&rig);
    uint64_t version = view->map->version;
    for (int i = 0; i < 100; i++) {
        pool_note_behind(rig.pool, view->disks[1], noted, &own);
    }
    pool_view_put(view);
    open_rig_await(&rig, is_1_behind);
    open_rig_close(&rig); /* answers what is left */
    cr_assert_eq(atomic_load(&own.count), 100);
    cr_assert(atomic_load(&own.was_said));
    open_rig_open(&rig);
    view = open_rig_view(&rig);
    cr_assert_leq(view->map->version, version + 3, "many notes are one version");
    pool_view_put(view);
    open_rig_fini(&rig);
}

static bool is_0_full(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[0].is_full && atomic_load(&view->disks[0]->is_full);
}

Test(pool_watch, a_full_disk_gets_no_new_chunks_and_all_full_is_no_space)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 5);
    const char *classes[] = {"STANDARD=replica:2", NULL};
    rig.options.classes = classes;
    open_rig_open(&rig);
    open_rig_start(&rig, NULL);
    disk_double_set_room(open_rig_double(&rig, 0), DISK_DOUBLE_FULL);
    open_rig_await(&rig, is_0_full);
    struct chunk_store *store = pool_chunks(rig.pool);
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(store->ops->new_id(store, gfs_slice_str(""), 1, &id), GFS_OK);
        struct pool_view *view = open_rig_view(&rig);
        const struct pool_group *group = pool_view_group(view, id);
        cr_assert(group->slots[0].disk != 0 && group->slots[1].disk != 0);
        pool_view_put(view);
    }
    struct pool_view *view = open_rig_view(&rig);
    for (unsigned i = 0; i < 5; i++) {
        atomic_store(&view->disks[i]->is_full, true);
        disk_double_set_room(open_rig_double(&rig, i), DISK_DOUBLE_FULL);
    }
    pool_view_put(view);
    cr_assert_eq(store->ops->new_id(store, gfs_slice_str(""), 1, &id), GFS_NO_SPACE);
    open_rig_fini(&rig);
}
