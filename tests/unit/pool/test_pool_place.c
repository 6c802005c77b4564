#include <sys/stat.h>

#include "pool/pool_flight.h"
#include "pool/pool_place.h"
#include "pool/pool_watch.h"
#include "tests/unit/pool/open_rig.h"

/* Nothing looks at the disks by itself. */
static void init(struct open_rig *rig, unsigned disks)
{
    open_rig_init(rig, disks);
    open_rig_open(rig);
    pool_watch_set_interval(rig->pool, 3600 * 1000);
}

static enum gfs_err set_read_only(struct open_rig *rig, const char *disk, bool is_read_only,
                                  struct gfs_error *error)
{
    const struct pool_disk_settings settings = {.is_read_only = &is_read_only};
    return pool_disk_set(rig->pool, disk, &settings, error);
}

/* How many of new chunks, small and large ones, are to have a fragment on the disk. */
static unsigned count_new_on(struct open_rig *rig, uint16_t disk)
{
    static const uint64_t sizes[] = {1, 64 << 20};
    struct chunk_store *store = pool_chunks(rig->pool);
    unsigned count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        struct chunk_id id;
        cr_assert_eq(store->ops->new_id(store, gfs_slice_str(""), sizes[i % 2], &id), GFS_OK);
        struct pool_view *view = open_rig_view(rig);
        const struct pool_group *group = pool_view_group(view, id);
        for (unsigned slot = 0; slot < pool_profile_width(group->profile); slot++) {
            count += group->slots[slot].disk == disk;
        }
        pool_view_put(view);
    }
    return count;
}

Test(pool_place, a_read_only_disk_gets_no_new_chunks_until_it_is_writable_again)
{
    struct open_rig rig;
    struct gfs_error error = {0};
    init(&rig, 5); /* ec:2+2 */
    cr_assert_gt(count_new_on(&rig, 2), 0);
    cr_assert_eq(set_read_only(&rig, "2", true, &error), GFS_OK, "%s", error.text);
    cr_assert_eq(count_new_on(&rig, 2), 0);
    cr_assert_eq(set_read_only(&rig, "2", false, &error), GFS_OK, "%s", error.text);
    cr_assert_gt(count_new_on(&rig, 2), 0);
    open_rig_fini(&rig);
}

Test(pool_place, a_disk_that_was_added_makes_up_for_a_read_only_one_that_all_groups_name)
{
    struct open_rig rig;
    struct gfs_error error = {0};
    init(&rig, 4); /* ec:2+2 */
    cr_assert_eq(set_read_only(&rig, "0", true, &error), GFS_INVALID);
    cr_assert_not_null(strstr(error.text, "needs 4 disks that take new data"), "%s", error.text);
    cr_assert_gt(count_new_on(&rig, 0), 0);
    cr_assert_eq(mkdir(rig.paths[4], 0700), 0);
    cr_assert_eq(pool_disk_add(rig.pool, rig.paths[4], &error), GFS_OK, "%s", error.text);
    cr_assert_eq(set_read_only(&rig, "0", true, &error), GFS_OK, "%s", error.text);
    cr_assert_eq(count_new_on(&rig, 0), 0);
    open_rig_reopen(&rig);
    cr_assert_eq(count_new_on(&rig, 0), 0);
    cr_assert_eq(set_read_only(&rig, "1", true, &error), GFS_INVALID, "one is enough");
    open_rig_fini(&rig);
}

static enum gfs_err change_read_only(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)error;
    map->disks[0].is_read_only = *(const bool *)arg;
    return GFS_OK;
}

/* As a map may say that was made before pool_disk_set refused it. */
Test(pool_place, a_class_without_an_open_group_is_still_one_and_waits_for_disks)
{
    struct open_rig rig;
    init(&rig, 4); /* ec:2+2 */
    struct chunk_store *store = pool_chunks(rig.pool);
    bool is_read_only = true;
    struct chunk_id id;
    cr_assert_eq(pool_change_map(rig.pool, change_read_only, &is_read_only, NULL), GFS_OK);
    cr_assert(store->ops->has_class(store, gfs_slice_str("STANDARD")));
    cr_assert_eq(store->ops->new_id(store, gfs_slice_str(""), 64 << 20, &id), GFS_UNREACHABLE);
    is_read_only = false;
    cr_assert_eq(pool_change_map(rig.pool, change_read_only, &is_read_only, NULL), GFS_OK);
    cr_assert_eq(store->ops->new_id(store, gfs_slice_str(""), 64 << 20, &id), GFS_OK);
    open_rig_fini(&rig);
}

static bool is_dropped(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return !pool_disk_is_usable(view->disks[4]);
}

Test(pool_place, a_read_only_disk_gets_nothing_even_while_another_is_away)
{
    struct open_rig rig;
    struct gfs_error error = {0};
    init(&rig, 5);
    cr_assert_eq(set_read_only(&rig, "1", true, &error), GFS_OK, "%s", error.text);
    struct pool_view *view = open_rig_view(&rig);
    pool_disk_drop(rig.pool, view->disks[4], GFS_IO, "test");
    pool_view_put(view);
    open_rig_await(&rig, is_dropped);
    cr_assert_eq(count_new_on(&rig, 1), 0);
    open_rig_fini(&rig);
}

static void set_full(struct open_rig *rig, uint16_t disk, bool is_full)
{
    struct pool_view *view = open_rig_view(rig);
    atomic_store(&view->disks[disk]->is_full, is_full);
    pool_view_put(view);
}

static bool is_mirror(struct open_rig *rig, uint16_t disk)
{
    struct pool_view *view = open_rig_view(rig);
    bool is_one = false;
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        is_one = is_one || view->map->log_disks[i].disk == disk;
    }
    pool_view_put(view);
    return is_one;
}

Test(pool_place, health_says_when_a_disk_is_full_and_when_no_group_has_room)
{
    struct open_rig rig;
    char reason[256];
    init(&rig, 5); /* ec:2+2: any two disks are in every group */
    struct chunk_store *store = pool_chunks(rig.pool);
    open_rig_await(&rig, open_rig_is_healthy);
    store->ops->refusal(store, reason, sizeof reason);
    cr_assert_str_eq(reason, "");
    unsigned full = 0;
    for (uint16_t disk = 0; disk < 5; disk++) {
        if (!is_mirror(&rig, disk)) {
            set_full(&rig, disk, true);
            full++; /* small objects, of three copies, have room all the time */
            cr_assert_eq(pool_health(rig.pool, reason, sizeof reason), POOL_DEGRADED);
            cr_assert(strstr(reason, full == 1 ? "is full" : "class STANDARD are full") != NULL,
                      "%s", reason);
        }
    }
    cr_assert_eq(full, 2u);
    struct chunk_id id;
    cr_assert_eq(store->ops->new_id(store, gfs_slice_str(""), 1 << 20, &id), GFS_NO_SPACE);
    store->ops->refusal(store, reason, sizeof reason);
    cr_assert(strstr(reason, "class STANDARD are full") != NULL, "%s", reason);
    for (uint16_t disk = 0; disk < 5; disk++) {
        set_full(&rig, disk, true);
    }
    cr_assert_eq(pool_health(rig.pool, reason, sizeof reason), POOL_READ_ONLY);
    cr_assert(strstr(reason, "metadata are full") != NULL, "%s", reason);
    for (uint16_t disk = 0; disk < 5; disk++) {
        set_full(&rig, disk, false);
    }
    cr_assert_eq(pool_health(rig.pool, reason, sizeof reason), POOL_HEALTHY, "%s", reason);
    open_rig_fini(&rig);
}

/* The operator has to know: it does not pass by itself. */
Test(pool_place, a_change_that_was_cut_off_asks_for_a_restart)
{
    struct open_rig rig;
    char reason[256];
    init(&rig, 3);
    (void)pthread_mutex_lock(&rig.pool->submit->lock);
    rig.pool->submit->has_failed = true;
    (void)pthread_mutex_unlock(&rig.pool->submit->lock);
    cr_assert_eq(pool_health(rig.pool, reason, sizeof reason), POOL_READ_ONLY);
    cr_assert_not_null(strstr(reason, "restart the server"), "%s", reason);
    open_rig_fini(&rig);
}
