#include <stdio.h>
#include <sys/stat.h>

#include "libgoodfs/mem.h"
#include "pool/pool_audit.h"
#include "pool/pool_map_file.h"
#include "pool/pool_plan.h"
#include "pool/pool_watch.h"
#include "tests/unit/pool/open_rig.h"

enum { SPARE_DIRS = 6 };

/* Nothing looks at the disks by itself. */
static void init(struct open_rig *rig, unsigned disks)
{
    open_rig_init(rig, disks);
    open_rig_open(rig);
    pool_watch_set_interval(rig->pool, 3600 * 1000);
    for (unsigned i = disks; i < SPARE_DIRS; i++) {
        cr_assert_eq(mkdir(rig->paths[i], 0700), 0);
    }
}

/* A copy of the map in force; the caller frees it. */
static struct pool_map *copy_map(struct open_rig *rig)
{
    struct pool_view *view = open_rig_view(rig);
    struct pool_map *map = pool_map_copy(view->map);
    pool_view_put(view);
    return map;
}

static void put_file(const char *dir, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_eq(fclose(file), 0);
}

static uint32_t slots_of(struct open_rig *rig, uint16_t disk)
{
    struct pool_map *map = copy_map(rig);
    uint32_t count = 0;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            count += map->groups[g].slots[i].disk == disk;
        }
    }
    pool_map_free(map);
    return count;
}

static enum pool_disk_state state_of(struct open_rig *rig, uint16_t disk)
{
    struct pool_map *map = copy_map(rig);
    cr_assert_lt(disk, map->disk_count);
    enum pool_disk_state state = map->disks[disk].state;
    pool_map_free(map);
    return state;
}

static uint64_t version_of(struct open_rig *rig)
{
    struct pool_map *map = copy_map(rig);
    uint64_t version = map->version;
    pool_map_free(map);
    return version;
}

static bool is_given_up(struct open_rig *rig, uint16_t disk)
{
    bool given_up[POOL_DISKS_MAX];
    pool_audit_given_up(rig->pool, given_up);
    return given_up[disk];
}

Test(pool_admin, an_empty_directory_becomes_a_disk)
{
    struct open_rig rig;
    init(&rig, 3);
    struct gfs_error error = {0};
    uint64_t before = version_of(&rig);
    cr_assert_eq(pool_disk_add(rig.pool, rig.paths[3], &error), GFS_OK, "%s", error.text);
    struct pool_map *map = copy_map(&rig), *own = NULL;
    cr_assert_gt(map->version, before);
    cr_assert_eq(map->disk_count, 4);
    cr_assert_eq(map->disks[3].state, POOL_DISK_ACTIVE);
    cr_assert_str_eq(map->disks[3].path, rig.paths[3]);
    cr_assert_eq(pool_map_file_load(rig.paths[3], &own, &error), GFS_OK);
    cr_assert_eq(own->version, map->version, "the new disk has the new map");
    pool_map_free(own);
    pool_map_free(map);
    cr_assert_not_null(disk_doubles_at(rig.doubles, rig.paths[3]));
    cr_assert_eq(pool_disk_add(rig.pool, rig.paths[3], &error), GFS_EXISTS);
    rig.given[3] = rig.paths[3];
    open_rig_reopen(&rig);
    cr_assert_eq(state_of(&rig, 3), POOL_DISK_ACTIVE);
    open_rig_fini(&rig);
}

Test(pool_admin, what_is_no_empty_directory_is_refused_and_nothing_changes)
{
    struct open_rig rig;
    init(&rig, 2);
    struct gfs_error error = {0};
    uint64_t before = version_of(&rig);
    char path[256];
    put_file(rig.paths[3], "holiday.jpg");
    cr_assert_eq(pool_disk_add(rig.pool, rig.paths[3], &error), GFS_INVALID);
    cr_assert_not_null(strstr(error.text, "only an empty directory becomes a disk"));
    (void)snprintf(path, sizeof path, "%s/nothing", rig.home);
    cr_assert_eq(pool_disk_add(rig.pool, path, &error), GFS_INVALID);
    cr_assert_not_null(strstr(error.text, "no such directory"));
    cr_assert_eq(pool_disk_add(rig.pool, "relative", &error), GFS_INVALID);
    cr_assert_eq(pool_disk_add(rig.pool, "", &error), GFS_INVALID);
    (void)snprintf(path, sizeof path, "%s/", rig.paths[1]);
    cr_assert_eq(pool_disk_add(rig.pool, path, &error), GFS_EXISTS);
    disk_doubles_fail_open(rig.doubles, rig.paths[4], GFS_IO);
    cr_assert_eq(pool_disk_add(rig.pool, rig.paths[4], &error), GFS_IO);
    cr_assert_eq(version_of(&rig), before);
    cr_assert_eq(pool_disk_add(rig.pool, rig.paths[4], &error), GFS_OK, "%s: it can be done again",
                 error.text);
    open_rig_fini(&rig);
}

Test(pool_admin, an_emptied_disk_is_replaced_in_its_place)
{
    struct open_rig rig;
    init(&rig, 3);
    struct gfs_error error = {0};
    uint32_t slots = slots_of(&rig, 1);
    cr_assert_eq(pool_disk_replace(rig.pool, "1", rig.paths[1], &error), GFS_INVALID,
                 "it is not empty");
    open_rig_empty(&rig, 1);
    cr_assert_eq(pool_disk_replace(rig.pool, "1", rig.paths[1], &error), GFS_OK, "%s", error.text);
    cr_assert_eq(state_of(&rig, 1), POOL_DISK_FAILED);
    cr_assert_eq(state_of(&rig, 3), POOL_DISK_ACTIVE);
    cr_assert_eq(slots_of(&rig, 1), 0);
    cr_assert_eq(slots_of(&rig, 3), slots);
    struct pool_map *map = copy_map(&rig);
    cr_assert_str_eq(map->disks[1].path, "");
    cr_assert_str_eq(map->disks[3].path, rig.paths[1]);
    pool_map_free(map);
    open_rig_reopen(&rig);
    cr_assert_eq(state_of(&rig, 3), POOL_DISK_ACTIVE);
    open_rig_fini(&rig);
}

Test(pool_admin, a_working_disk_is_replaced_by_one_in_a_new_place_and_read_until_then)
{
    struct open_rig rig;
    init(&rig, 3);
    struct gfs_error error = {0};
    uint32_t slots = slots_of(&rig, 2);
    char id[GFS_IDENTITY_ID_SIZE];
    struct pool_map *map = copy_map(&rig);
    gfs_uuid_format(map->disks[2].id, id);
    pool_map_free(map);
    cr_assert_eq(pool_disk_replace(rig.pool, id, rig.paths[0], &error), GFS_EXISTS);
    cr_assert_eq(pool_disk_replace(rig.pool, id, rig.paths[5], &error), GFS_OK, "%s", error.text);
    cr_assert_eq(state_of(&rig, 2), POOL_DISK_DRAINING);
    cr_assert_eq(slots_of(&rig, 3), slots);
    map = copy_map(&rig);
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            struct pool_slot slot = map->groups[g].slots[i];
            cr_assert_eq(slot.from, slot.disk == 3 ? 2 : POOL_NO_DISK);
        }
    }
    pool_map_free(map);
    open_rig_fini(&rig);
}

Test(pool_admin, a_disk_is_named_by_number_id_or_path_and_others_are_not_found)
{
    struct open_rig rig;
    init(&rig, 5);
    struct gfs_error error = {0};
    const char *const unknown[] = {
        "5", "999", "-1", "", "x", "/nowhere", "00000000-0000-0000-0000-000000000000"};
    for (size_t i = 0; i < GFS_COUNT(unknown); i++) {
        cr_assert_eq(pool_disk_drain(rig.pool, unknown[i], &error), GFS_NOT_FOUND, "%s",
                     unknown[i]);
    }
    const bool yes = true;
    const struct pool_disk_settings settings = {.is_read_only = &yes};
    cr_assert_eq(pool_disk_set(rig.pool, rig.paths[2], &settings, &error), GFS_OK, "%s",
                 error.text);
    struct pool_map *map = copy_map(&rig);
    cr_assert(map->disks[2].is_read_only && !map->disks[1].is_read_only);
    pool_map_free(map);
    open_rig_fini(&rig);
}

Test(pool_admin, a_disk_is_drained_once_and_only_if_there_is_room)
{
    struct open_rig rig;
    init(&rig, 5); /* ec:2+2 */
    struct gfs_error error = {0};
    cr_assert_eq(pool_disk_drain(rig.pool, "0", &error), GFS_OK, "%s", error.text);
    cr_assert_eq(state_of(&rig, 0), POOL_DISK_DRAINING);
    cr_assert_eq(slots_of(&rig, 0), 0);
    cr_assert_eq(pool_disk_drain(rig.pool, "0", &error), GFS_EXISTS);
    uint64_t before = version_of(&rig);
    cr_assert_eq(pool_disk_drain(rig.pool, "1", &error), GFS_INVALID);
    cr_assert_not_null(strstr(error.text, "add one first"), "%s", error.text);
    cr_assert_eq(version_of(&rig), before);
    open_rig_fini(&rig);
}

Test(pool_admin, space_can_be_reserved_but_not_all_of_it)
{
    struct open_rig rig;
    init(&rig, 2);
    struct gfs_error error = {0};
    struct pool_map *map = copy_map(&rig);
    uint64_t all = map->disks[0].capacity, half = all / 2, huge = UINT64_MAX;
    pool_map_free(map);
    cr_assert_neq(all, 0);
    struct pool_disk_settings settings = {.reserved = &half};
    cr_assert_eq(pool_disk_set(rig.pool, "0", &settings, &error), GFS_OK, "%s", error.text);
    settings.reserved = &all;
    cr_assert_eq(pool_disk_set(rig.pool, "0", &settings, &error), GFS_INVALID);
    settings.reserved = &huge;
    cr_assert_eq(pool_disk_set(rig.pool, "0", &settings, &error), GFS_INVALID);
    map = copy_map(&rig);
    cr_assert_eq(map->disks[0].reserved, half);
    pool_map_free(map);
    open_rig_fini(&rig);
}

static enum gfs_err call_failed(void *arg, struct pool_map *map, struct gfs_error *error)
{
    uint32_t unplaced = 0;
    return pool_plan_fail(map, *(const uint16_t *)arg, &unplaced, error);
}

Test(pool_admin, a_disk_that_was_called_failed_and_is_whole_may_come_back)
{
    struct open_rig rig;
    init(&rig, 4);
    struct gfs_error error = {0};
    uint16_t disk = 3;
    cr_assert_eq(pool_change_map(rig.pool, call_failed, &disk, &error), GFS_OK, "%s", error.text);
    cr_assert(is_given_up(&rig, 3));
    pool_disk_reap(rig.pool); /* its store is closed */
    cr_assert_eq(pool_disk_add(rig.pool, rig.paths[3], &error), GFS_OK, "%s", error.text);
    cr_assert_not(is_given_up(&rig, 3));
    struct pool_map *map = copy_map(&rig);
    cr_assert_eq(map->disk_count, 4);
    cr_assert_eq(map->disks[3].state, POOL_DISK_ACTIVE);
    cr_assert(map->disks[3].is_behind);
    pool_map_free(map);
    open_rig_fini(&rig);
}

static bool is_rebalancing(struct open_rig *rig)
{
    struct pool_view *view = open_rig_view(rig);
    bool is_so = view->map->is_rebalancing;
    pool_view_put(view);
    return is_so;
}

Test(pool_admin, a_rebalance_is_wanted_until_it_is_stopped)
{
    struct open_rig rig;
    init(&rig, 2);
    cr_assert(!is_rebalancing(&rig));
    cr_assert_eq(pool_rebalance_start(rig.pool, NULL), GFS_OK);
    cr_assert(is_rebalancing(&rig));
    open_rig_reopen(&rig);
    cr_assert(is_rebalancing(&rig), "it goes on after a restart");
    cr_assert_eq(pool_rebalance_stop(rig.pool, NULL), GFS_OK);
    cr_assert(!is_rebalancing(&rig));
    open_rig_reopen(&rig);
    cr_assert(!is_rebalancing(&rig));
    open_rig_fini(&rig);
}

/* ---- with everything at work ---- */

enum { CHUNKS = 40 };

static void put_chunks(struct open_rig *rig, struct chunk_id ids[CHUNKS])
{
    for (uint64_t i = 0; i < CHUNKS; i++) {
        cr_assert_eq(open_rig_put(rig, "what was written", i + 1, &ids[i]), GFS_OK);
    }
}

static void check_chunks(struct open_rig *rig, const struct chunk_id ids[CHUNKS])
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        cr_assert(open_rig_has(rig, ids[i], "what was written"), "chunk %u", i);
    }
}

static bool is_first_removed(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[0].state == POOL_DISK_REMOVED;
}

Test(pool_admin, a_drained_disk_is_emptied_and_taken_out_with_everything_readable)
{
    struct open_rig rig;
    struct gfs_error error = {0};
    struct chunk_id ids[CHUNKS];
    open_rig_init(&rig, 5);
    open_rig_open(&rig);
    open_rig_start(&rig, NULL);
    put_chunks(&rig, ids);
    cr_assert_eq(pool_disk_drain(rig.pool, "0", &error), GFS_OK, "%s", error.text);
    open_rig_await(&rig, is_first_removed);
    cr_assert_not(is_given_up(&rig, 0));
    check_chunks(&rig, ids);
    open_rig_reopen(&rig); /* its directory is still given, and left alone */
    cr_assert_eq(state_of(&rig, 0), POOL_DISK_REMOVED);
    check_chunks(&rig, ids);
    open_rig_fini(&rig);
}

static bool is_balanced(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    for (uint32_t g = 0; g < view->map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(view->map->groups[g].profile); i++) {
            if (view->map->groups[g].slots[i].is_filling) {
                return false;
            }
        }
    }
    return !view->map->is_rebalancing;
}

Test(pool_admin, an_added_disk_has_its_share_after_a_rebalance)
{
    struct open_rig rig;
    struct gfs_error error = {0};
    struct chunk_id ids[CHUNKS];
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    open_rig_start(&rig, NULL);
    cr_assert_eq(mkdir(rig.paths[3], 0700), 0);
    put_chunks(&rig, ids);
    cr_assert_eq(pool_disk_add(rig.pool, rig.paths[3], &error), GFS_OK, "%s", error.text);
    cr_assert_eq(pool_rebalance_start(rig.pool, &error), GFS_OK);
    open_rig_await(&rig, is_balanced);
    uint32_t all = 0, own = slots_of(&rig, 3);
    for (uint16_t i = 0; i < 4; i++) {
        all += slots_of(&rig, i);
    }
    cr_assert(own * 40 > all * 9 && own * 40 < all * 11, "%u of %u slots", own, all);
    check_chunks(&rig, ids);
    open_rig_fini(&rig);
}

static bool is_second_removed(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[1].state == POOL_DISK_REMOVED;
}

Test(pool_admin, a_replaced_disk_is_removed_when_the_new_one_has_everything)
{
    for (int is_emptied = 0; is_emptied < 2; is_emptied++) {
        struct open_rig rig;
        struct gfs_error error = {0};
        struct chunk_id ids[CHUNKS];
        open_rig_init(&rig, 3);
        open_rig_open(&rig);
        open_rig_start(&rig, NULL);
        pool_watch_set_interval(rig.pool, 3600 * 1000);
        cr_assert_eq(mkdir(rig.paths[3], 0700), 0);
        put_chunks(&rig, ids);
        if (is_emptied) {
            open_rig_empty(&rig, 1);
        }
        const char *place = rig.paths[is_emptied ? 1 : 3];
        cr_assert_eq(pool_disk_replace(rig.pool, "1", place, &error), GFS_OK, "%s", error.text);
        cr_assert_eq(is_given_up(&rig, 1), is_emptied);
        open_rig_await(&rig, is_second_removed);
        cr_assert_eq(is_given_up(&rig, 1), is_emptied);
        cr_assert_not(is_given_up(&rig, 3));
        check_chunks(&rig, ids);
        struct disk_double *disk = disk_doubles_at(rig.doubles, place);
        for (unsigned i = 0; i < CHUNKS; i++) {
            cr_assert(disk_double_has(disk, ids[i]), "it has every copy now");
        }
        open_rig_fini(&rig);
    }
}
