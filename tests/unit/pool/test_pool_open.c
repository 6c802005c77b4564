#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/pool/open_rig.h"

Test(pool_open, a_new_pool_takes_chunks_and_has_them_after_a_reopen)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    cr_assert_eq(open_rig_put(&rig, "hello", 1, &id), GFS_OK);
    cr_assert(open_rig_has(&rig, id, "hello"));
    open_rig_reopen(&rig);
    cr_assert(open_rig_has(&rig, id, "hello"));
    open_rig_fini(&rig);
}

Test(pool_open, the_default_class_depends_on_the_number_of_disks)
{
    const struct {
        unsigned disks;
        struct pool_profile profile;
    } expected[] = {{1, {POOL_REPLICA, 1, 0}},
                    {2, {POOL_REPLICA, 1, 1}},
                    {3, {POOL_REPLICA, 1, 2}},
                    {4, {POOL_EC, 2, 2}},
                    {6, {POOL_EC, 4, 2}}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        struct open_rig rig;
        open_rig_init(&rig, expected[i].disks);
        open_rig_open(&rig);
        struct pool_view *view = open_rig_view(&rig);
        cr_assert(pool_profile_is_equal(view->map->classes[0].profile, expected[i].profile));
        cr_assert_str_eq(view->map->classes[0].name, "STANDARD");
        pool_view_put(view);
        open_rig_fini(&rig);
    }
}

/* ---- at a start ---- */

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

Test(pool_open, each_start_is_an_epoch_and_a_version)
{
    struct open_rig rig;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    uint64_t version = view->map->version, epoch = view->map->epoch;
    cr_assert_eq(count_in_sync(view->map), 3);
    pool_view_put(view);
    open_rig_reopen(&rig);
    view = open_rig_view(&rig);
    cr_assert_eq(view->map->version, version + 2, "one more says what is durable where");
    cr_assert_eq(view->map->epoch, epoch + 1);
    cr_assert_eq(view->map->disks[2].seen_version, version + 2);
    pool_view_put(view);
    open_rig_fini(&rig);
}

Test(pool_open, a_missing_disk_is_away_and_its_mirror_out_of_sync_and_lsns_jump)
{
    struct open_rig rig;
    struct chunk_id id;
    struct chunk_store_status status;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    put_some(&rig, &id);
    open_rig_close(&rig);
    open_rig_take_away(&rig, 1);
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert_eq(view->map->disks[1].state, POOL_DISK_ACTIVE);
    cr_assert_null(view->disks[1]->store);
    cr_assert_eq(count_in_sync(view->map), 2);
    pool_view_put(view);
    pool_chunks(rig.pool)->ops->status(pool_chunks(rig.pool), &status);
    cr_assert_eq(status.lsn_floor, 1 + (1 << 20));
    cr_assert(open_rig_has(&rig, id, "some bytes"));
    open_rig_bring_back(&rig, 1);
    open_rig_fini(&rig);
}

Test(pool_open, a_disk_that_was_away_while_the_map_went_on_is_behind)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    put_some(&rig, &id);
    open_rig_close(&rig);
    open_rig_take_away(&rig, 2);
    open_rig_open(&rig);
    cr_assert_eq(open_rig_put(&rig, "more", 2 + (1 << 20), &id), GFS_OK);
    open_rig_close(&rig);
    open_rig_bring_back(&rig, 2);
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert(view->map->disks[2].is_behind);
    cr_assert_eq(count_in_sync(view->map), 2, "its log is not what the others have");
    cr_assert_not_null(view->disks[2]->store);
    pool_view_put(view);
    open_rig_fini(&rig);
}

Test(pool_open, too_few_disks_are_refused_with_the_missing_ones_named_or_opened_to_read)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 4);
    open_rig_open(&rig);
    put_some(&rig, &id);
    open_rig_close(&rig);
    open_rig_take_away(&rig, 0);
    open_rig_take_away(&rig, 1);
    cr_assert_eq(open_rig_try(&rig), GFS_UNREACHABLE);
    cr_assert_not_null(strstr(rig.error.text, rig.paths[1]), "%s", rig.error.text);
    rig.options.allow_minority = true;
    open_rig_open(&rig);
    char reason[160];
    cr_assert_eq(pool_health(rig.pool, reason, sizeof reason), POOL_READ_ONLY);
    cr_assert_not_null(strstr(reason, "missing"), "%s", reason);
    cr_assert_neq(open_rig_put(&rig, "no", 2 + (2 << 20), &id), GFS_OK);
    open_rig_close(&rig);
    open_rig_bring_back(&rig, 0);
    open_rig_bring_back(&rig, 1);
    rig.options.allow_minority = false;
    open_rig_open(&rig);
    open_rig_fini(&rig);
}

Test(pool_open, half_of_the_disks_are_a_quorum_with_the_first_of_them_only)
{
    struct open_rig rig;
    open_rig_init(&rig, 2);
    open_rig_open(&rig);
    open_rig_close(&rig);
    open_rig_take_away(&rig, 1);
    open_rig_open(&rig);
    open_rig_close(&rig);
    open_rig_bring_back(&rig, 1);
    open_rig_open(&rig);
    open_rig_close(&rig);
    open_rig_take_away(&rig, 0);
    cr_assert_eq(open_rig_try(&rig), GFS_UNREACHABLE);
    open_rig_bring_back(&rig, 0);
    open_rig_fini(&rig);
}

Test(pool_open, a_disk_that_cannot_be_opened_is_as_one_that_is_not_there)
{
    struct open_rig rig;
    open_rig_init(&rig, 2);
    open_rig_open(&rig);
    open_rig_close(&rig);
    disk_doubles_fail_open(rig.doubles, rig.paths[1], GFS_IO);
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert_eq(count_in_sync(view->map), 1);
    pool_view_put(view);
    open_rig_close(&rig);
    disk_doubles_fail_open(rig.doubles, rig.paths[0], GFS_IO);
    rig.options.allow_minority = true;
    cr_assert_eq(open_rig_try(&rig), GFS_UNREACHABLE, "the only mirror in sync is on it");
    open_rig_fini(&rig);
}

Test(pool_open, without_a_mirror_in_sync_there_is_no_pool)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 7);
    open_rig_open(&rig);
    put_some(&rig, &id);
    open_rig_close(&rig);
    for (unsigned i = 0; i < 3; i++) {
        open_rig_take_away(&rig, i);
    }
    cr_assert_eq(open_rig_try(&rig), GFS_UNREACHABLE);
    cr_assert_not_null(strstr(rig.error.text, "metadata"), "%s", rig.error.text);
    for (unsigned i = 0; i < 3; i++) {
        open_rig_bring_back(&rig, i);
    }
    open_rig_fini(&rig);
}

Test(pool_open, swapped_disks_are_known_by_their_ids)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    put_some(&rig, &id);
    open_rig_close(&rig);
    open_rig_swap(&rig, 0, 2);
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert_str_eq(view->map->disks[0].path, rig.paths[2]);
    cr_assert_str_eq(view->map->disks[2].path, rig.paths[0]);
    pool_view_put(view);
    cr_assert(open_rig_has(&rig, id, "some bytes"));
    open_rig_fini(&rig);
}

static void copy_file(struct open_rig *rig, const char *name, unsigned from, unsigned to)
{
    char command[512];
    (void)snprintf(command, sizeof command, "cp %s/%s %s/%s", rig->paths[from], name,
                   rig->paths[to], name);
    cr_assert_eq(system(command), 0); /* NOLINT: paths of our own */
}

Test(pool_open, the_same_disk_twice_is_refused)
{
    struct open_rig rig;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    open_rig_close(&rig);
    cr_assert_eq(mkdir(rig.paths[3], 0700), 0);
    copy_file(&rig, "identity", 1, 3);
    copy_file(&rig, "pool.json", 1, 3);
    rig.given[3] = rig.paths[3];
    cr_assert_eq(open_rig_try(&rig), GFS_CONFLICT);
    cr_assert_not_null(strstr(rig.error.text, "same disk id"), "%s", rig.error.text);
    open_rig_empty(&rig, 3);
    rig.given[3] = NULL;
    open_rig_open(&rig);
    open_rig_fini(&rig);
}

/* The map of disk 1, which the doubles know it by. */
static void copy_map(const struct open_rig *rig, bool is_back)
{
    char kept[OPEN_RIG_PATH_SIZE], own[OPEN_RIG_PATH_SIZE + 16], command[512];
    (void)snprintf(kept, sizeof kept, "%s/kept.json", rig->home);
    (void)snprintf(own, sizeof own, "%s/pool.json", rig->paths[1]);
    (void)snprintf(command, sizeof command, "cp %s %s", is_back ? kept : own, is_back ? own : kept);
    cr_assert_eq(system(command), 0); /* NOLINT */
}

static void expect_older_copy(struct open_rig *rig)
{
    copy_map(rig, true);
    cr_assert_eq(open_rig_try(rig), GFS_CONFLICT);
    cr_assert_not_null(strstr(rig->error.text, "older copy"), "%s", rig->error.text);
}

Test(pool_open, an_older_copy_of_a_disk_is_refused)
{
    struct open_rig rig;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    open_rig_close(&rig);
    copy_map(&rig, false);
    open_rig_open(&rig);
    open_rig_close(&rig);
    expect_older_copy(&rig);
    open_rig_fini(&rig);
}

Test(pool_open, an_older_copy_that_was_made_during_the_last_run_is_refused)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    copy_map(&rig, false);
    put_some(&rig, &id);
    open_rig_close(&rig);
    expect_older_copy(&rig);
    open_rig_fini(&rig);
}

static bool is_marked(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[1].seen_version > view->since + 1;
}

/* So that it is refused after a kill, too. */
Test(pool_open, what_disks_have_is_said_from_time_to_time_if_there_were_edits)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    rig.options.mark_s = 1;
    open_rig_open(&rig);
    open_rig_start(&rig, NULL);
    struct pool_view *view = open_rig_view(&rig);
    uint64_t since = view->since, version = view->map->version;
    pool_view_put(view);
    (void)usleep(1500000);
    view = open_rig_view(&rig);
    cr_assert_eq(view->map->version, version, "nothing was written");
    pool_view_put(view);
    put_some(&rig, &id);
    open_rig_await(&rig, is_marked);
    (void)usleep(1500000);
    view = open_rig_view(&rig);
    cr_assert_eq(view->map->version, version + 2);
    cr_assert_eq(view->map->disks[1].seen_version, version + 2);
    cr_assert_eq(view->since, since, "no pass waits for who works by the map before");
    pool_view_put(view);
    open_rig_fini(&rig);
}

Test(pool_open, an_emptied_disk_is_a_new_one_in_its_stead)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 4);
    open_rig_open(&rig);
    put_some(&rig, &id);
    open_rig_close(&rig);
    open_rig_empty(&rig, 0);
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert_eq(view->map->disk_count, 5);
    cr_assert_eq(view->map->disks[0].state, POOL_DISK_FAILED);
    cr_assert_str_eq(view->map->disks[4].path, rig.paths[0]);
    cr_assert_eq(count_in_sync(view->map), 2);
    for (uint32_t g = 0; g < view->map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(view->map->groups[g].profile); i++) {
            cr_assert_neq(view->map->groups[g].slots[i].disk, 0);
        }
    }
    pool_view_put(view);
    cr_assert(open_rig_has(&rig, id, "some bytes"));
    open_rig_reopen(&rig);
    open_rig_fini(&rig);
}

Test(pool_open, a_new_disk_is_added_and_a_known_one_need_not_be_given)
{
    struct open_rig rig;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    open_rig_close(&rig);
    cr_assert_eq(mkdir(rig.paths[3], 0700), 0);
    rig.given[1] = rig.paths[3];
    rig.given[2] = NULL;
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert_eq(view->map->disk_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert(pool_disk_is_usable(view->disks[i]), "%u", i);
    }
    pool_view_put(view);
    open_rig_fini(&rig);
}

Test(pool_open, the_single_store_of_before_is_disk_0_with_group_0_and_the_log)
{
    struct open_rig rig;
    uint8_t id[16];
    struct chunk_store *store = NULL;
    struct gfs_error error;
    open_rig_init(&rig, 3);
    cr_assert_eq(
        rig.options.driver.open(rig.options.driver.arg, rig.paths[1], NULL, &store, id, &error),
        GFS_OK);
    rig.options.driver.close(rig.options.driver.arg, store);
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert_str_eq(view->map->disks[0].path, rig.paths[1]);
    cr_assert_eq(view->map->groups[0].slots[0].disk, 0);
    cr_assert_eq(pool_profile_width(view->map->groups[0].profile), 3);
    cr_assert_eq(count_in_sync(view->map), 1);
    pool_view_put(view);
    open_rig_fini(&rig);
}

Test(pool_open, a_disk_with_a_damaged_log_is_behind_and_its_mirror_goes)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    put_some(&rig, &id);
    open_rig_close(&rig);
    disk_double_damage_log(open_rig_double(&rig, 1), true);
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert(view->map->disks[1].is_behind);
    cr_assert(!view->map->disks[0].is_behind);
    cr_assert_eq(count_in_sync(view->map), 2);
    pool_view_put(view);
    open_rig_fini(&rig);
}

static enum gfs_err note_lsn(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    (void)edit;
    *(uint64_t *)arg = lsn;
    return GFS_OK;
}

/* What one mirror has and was never acknowledged is on all of them after the start. */
Test(pool_open, log_mirrors_are_brought_to_the_same_end)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    put_some(&rig, &id);
    open_rig_close(&rig);
    uint8_t disk_id[16];
    struct chunk_store *store = NULL;
    struct gfs_error error;
    cr_assert_eq(rig.options.driver.open(rig.options.driver.arg, rig.paths[2], NULL, &store,
                                         disk_id, &error),
                 GFS_OK);
    open_rig_append(store, 2);
    open_rig_append(store, 7);
    rig.options.driver.close(rig.options.driver.arg, store);
    open_rig_open(&rig);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(disk_double_has_edit(open_rig_double(&rig, i), 2), "%u", i);
        cr_assert(disk_double_has_edit(open_rig_double(&rig, i), 7), "%u", i);
    }
    uint64_t last = 0;
    store = pool_chunks(rig.pool);
    cr_assert_eq(store->ops->replay_edits(store, 0, note_lsn, &last, &error), GFS_OK);
    cr_assert_eq(last, 7);
    open_rig_fini(&rig);
}

/* An older copy of the disk: what the others acknowledged meanwhile they have trimmed. */
Test(pool_open, a_log_mirror_that_lacks_what_was_trimmed_is_not_in_sync)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    put_some(&rig, &id);
    open_rig_close(&rig);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t disk_id[16];
        struct chunk_store *store = NULL;
        struct gfs_error error;
        cr_assert_eq(rig.options.driver.open(rig.options.driver.arg, rig.paths[i], NULL, &store,
                                             disk_id, &error),
                     GFS_OK);
        for (uint64_t lsn = 2; lsn <= 5; lsn++) {
            open_rig_append(store, lsn);
        }
        store->ops->trim_edits(store, 4);
        rig.options.driver.close(rig.options.driver.arg, store);
    }
    open_rig_open(&rig);
    struct pool_view *view = open_rig_view(&rig);
    cr_expect_eq(count_in_sync(view->map), 2);
    pool_view_put(view);
    cr_expect_not(disk_double_has_edit(open_rig_double(&rig, 2), 5));
    open_rig_fini(&rig);
}

/* An edit that reaches this disk alone: the others, and whoever submitted it, know of none. */
static void append_to_one(struct open_rig *rig, unsigned disk, uint64_t lsn)
{
    uint8_t disk_id[16];
    struct chunk_store *store = NULL;
    struct gfs_error error;
    cr_assert_eq(rig->options.driver.open(rig->options.driver.arg, rig->paths[disk], NULL, &store,
                                          disk_id, &error),
                 GFS_OK);
    open_rig_append(store, lsn);
    rig->options.driver.close(rig->options.driver.arg, store);
}

static uint64_t lsn_floor(struct open_rig *rig)
{
    struct chunk_store_status status;
    pool_chunks(rig->pool)->ops->status(pool_chunks(rig->pool), &status);
    return status.lsn_floor;
}

/* The first edit of a run is as far from what the disks that are there know as it was then. */
Test(pool_open, no_number_is_given_twice_however_little_a_run_acknowledged)
{
    struct open_rig rig;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    cr_assert_eq(open_rig_put(&rig, "", 1, NULL), GFS_OK);
    open_rig_reopen(&rig);
    uint64_t lsn = lsn_floor(&rig) + 1; /* the run ends with it */
    open_rig_close(&rig);
    append_to_one(&rig, 2, lsn);
    open_rig_take_away(&rig, 2);
    open_rig_open(&rig);
    cr_expect_geq(lsn_floor(&rig), lsn);
    open_rig_reopen(&rig);
    cr_expect_geq(lsn_floor(&rig), lsn);
    open_rig_bring_back(&rig, 2);
    open_rig_fini(&rig);
}

/* ---- a start that ends between any two of its writes ---- */

/* The map reaches only some of the disks: as a start that was killed leaves it. */
/* ---- classes ---- */

Test(pool_open, classes_are_checked)
{
    const char *const bad[] = {"X=ec:4+2", "replica:2", "=replica:2", "A=replica:9", NULL};
    for (size_t i = 0; bad[i] != NULL; i++) {
        struct open_rig rig;
        const char *classes[] = {bad[i], NULL};
        open_rig_init(&rig, 3);
        rig.options.classes = classes;
        cr_assert_eq(open_rig_try(&rig), GFS_INVALID, "%s: %s", bad[i], rig.error.text);
        open_rig_fini(&rig);
    }
}

Test(pool_open, a_profile_by_its_name_gets_its_groups_with_the_first_chunk)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    struct chunk_store *store = pool_chunks(rig.pool);
    cr_assert(store->ops->has_class(store, gfs_slice_str("ec:2+1")));
    cr_assert(!store->ops->has_class(store, gfs_slice_str("ec:4+2")), "there are three disks");
    cr_assert(!store->ops->has_class(store, gfs_slice_str("GLACIER")));
    cr_assert_eq(store->ops->new_id(store, gfs_slice_str("ec:2+1"), 1 << 20, &id), GFS_OK);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert_eq(pool_view_group(view, id)->profile.kind, POOL_EC);
    pool_view_put(view);
    cr_assert_eq(store->ops->new_id(store, gfs_slice_str("ec:2+1"), 1000, &id), GFS_OK);
    view = open_rig_view(&rig);
    cr_assert_eq(pool_view_group(view, id)->profile.kind, POOL_REPLICA);
    cr_assert_eq(pool_profile_width(pool_view_group(view, id)->profile), 2);
    pool_view_put(view);
    cr_assert_eq(store->ops->new_id(store, gfs_slice_str("nonsense"), 1, &id), GFS_INVALID);
    open_rig_fini(&rig);
}
