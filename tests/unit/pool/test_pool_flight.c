/* Large chunks whose disks change while they are written. */
#include <semaphore.h>
#include <sys/stat.h>

#include "libgoodfs/mem.h"
#include "pool/pool_plan.h"
#include "pool/pool_watch.h"
#include "tests/unit/pool/open_rig.h"

enum { LEN = 300000 };

static enum gfs_err call_failed(void *arg, struct pool_map *map, struct gfs_error *error)
{
    uint32_t unplaced = 0;
    enum gfs_err err = pool_plan_fail(map, *(const uint16_t *)arg, &unplaced, error);
    cr_assert_gt(unplaced, 0, "its slots find no other disk");
    return err;
}

/* A large chunk being written. */
struct upload {
    struct chunk_store *store;
    struct chunk_id id;
    struct chunk_bulk *bulk;
    struct chunk_record record;
    struct chunk_group group;
    sem_t done;
    enum gfs_err err;
};

static void on_finished(void *arg, enum gfs_err err)
{
    struct upload *upload = arg;
    upload->err = err;
    (void)sem_post(&upload->done);
}

static void on_done(struct chunk_group *group, enum gfs_err err)
{
    on_finished(GFS_CONTAINER_OF(group, struct upload, group), err);
}

static void begin(struct upload *upload, struct open_rig *rig)
{
    *upload = (struct upload){.store = pool_chunks(rig->pool)};
    (void)sem_init(&upload->done, 0, 0);
    const struct chunk_store_ops *ops = upload->store->ops;
    cr_assert_eq(ops->new_id(upload->store, gfs_slice_str(""), LEN, &upload->id), GFS_OK);
    const struct chunk_bulk_options options = {
        .id = upload->id, .owner = gfs_slice_str("owner"), .len_max = LEN, .arg = upload};
    cr_assert_eq(ops->bulk_begin(upload->store, &options, &upload->bulk), GFS_OK);
}

/* The rest of its bytes, and all of its records. */
static enum gfs_err end(struct upload *upload)
{
    const struct chunk_store_ops *ops = upload->store->ops;
    GFS_FREE char *bytes = gfs_alloc(LEN);
    memset(bytes, 'x', LEN);
    cr_assert_eq(ops->bulk_append(upload->bulk, bytes, LEN), LEN);
    ops->bulk_finish(upload->bulk, on_finished);
    (void)sem_wait(&upload->done);
    cr_assert_eq(upload->err, GFS_OK);
    upload->record =
        (struct chunk_record){.kind = CHUNK_RECORD_PLACE, .id = upload->id, .bulk = upload->bulk};
    upload->group = (struct chunk_group){.records = &upload->record, .done = on_done};
    ops->submit(upload->store, &upload->group);
    (void)sem_wait(&upload->done);
    ops->bulk_free(upload->bulk);
    (void)sem_destroy(&upload->done);
    return upload->err;
}

/* Four disks for ec:2+2, of which the last is lost, and a directory for a fifth. */
static void init(struct open_rig *rig, bool is_started)
{
    uint16_t lost = 3;
    open_rig_init(rig, 4);
    open_rig_open(rig);
    cr_assert_eq(mkdir(rig->paths[4], 0700), 0);
    if (is_started) {
        open_rig_start(rig, NULL);
    } else {
        pool_watch_set_interval(rig->pool, 3600 * 1000); /* nothing looks by itself */
    }
    cr_assert_eq(pool_change_map(rig->pool, call_failed, &lost, NULL), GFS_OK);
}

static uint32_t slot_on(struct open_rig *rig, struct chunk_id id, uint16_t disk, bool is_filling)
{
    struct pool_view *view = open_rig_view(rig);
    const struct pool_group *group = pool_view_group(view, id);
    uint32_t slot = 0;
    while (slot < 4 && group->slots[slot].disk != disk) {
        slot++;
    }
    cr_assert_lt(slot, 4);
    cr_assert_eq(group->slots[slot].is_filling, is_filling);
    pool_view_put(view);
    return slot;
}

Test(pool_flight, a_chunk_begun_without_a_lost_disk_is_placed_when_another_has_its_slots)
{
    for (unsigned replaced = 0; replaced < 2; replaced++) {
        struct open_rig rig;
        struct gfs_error error = {0};
        struct upload upload;
        init(&rig, false);
        begin(&upload, &rig);
        enum gfs_err err = replaced ? pool_disk_replace(rig.pool, "3", rig.paths[4], &error)
                                    : pool_disk_add(rig.pool, rig.paths[4], &error);
        cr_assert_eq(err, GFS_OK, "%s", error.text);
        cr_assert_eq(end(&upload), GFS_OK);
        (void)slot_on(&rig, upload.id, 4, true);
        open_rig_fini(&rig);
    }
}

Test(pool_flight, a_chunk_begun_without_a_lost_disk_is_placed_when_that_one_is_back)
{
    struct open_rig rig;
    struct gfs_error error = {0};
    struct upload upload;
    init(&rig, false);
    pool_disk_reap(rig.pool); /* its store is closed */
    begin(&upload, &rig);
    cr_assert_eq(pool_disk_add(rig.pool, rig.paths[3], &error), GFS_OK, "%s", error.text);
    cr_assert_eq(end(&upload), GFS_OK);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert(view->map->disks[3].is_behind);
    pool_view_put(view);
    open_rig_fini(&rig);
}

Test(pool_flight, what_it_lacks_is_made_on_the_new_disk_and_not_called_there_before)
{
    struct open_rig rig;
    struct gfs_error error = {0};
    struct upload upload;
    init(&rig, true);
    begin(&upload, &rig);
    cr_assert_eq(pool_disk_replace(rig.pool, "3", rig.paths[4], &error), GFS_OK, "%s", error.text);
    uint32_t slot = slot_on(&rig, upload.id, 4, true);
    cr_assert_eq(end(&upload), GFS_OK);
    open_rig_await(&rig, open_rig_is_healthy);
    cr_assert_eq(slot_on(&rig, upload.id, 4, false), slot);
    cr_assert(disk_double_has(open_rig_double(&rig, 4), chunk_id_at(upload.id, slot)));
    open_rig_fini(&rig);
}
