/* Disks that are away, and those that our own users keep away. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "tests/unit/pool/open_rig.h"

static void open_with_short_grace(struct open_rig *rig)
{
    open_rig_init(rig, 4);
    rig->options.missing_grace_s = 1;
    open_rig_open(rig);
    open_rig_start(rig, NULL);
}

static bool is_1_away(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[1].state == POOL_DISK_ACTIVE && view->map->disks[1].is_behind &&
           !pool_disk_is_usable(view->disks[1]);
}

static bool is_1_failed(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[1].state == POOL_DISK_FAILED;
}

static bool is_1_not_open(struct open_rig *rig, const struct pool_view *view)
{
    (void)view;
    return !pool_disk_is_open(rig->pool, rig->paths[1]);
}

static bool is_1_there_again(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return pool_disk_is_usable(view->disks[1]) && view->map->disks[1].is_behind;
}

/* Two and a half times the grace. */
static void expect_1_not_failed_for_long(struct open_rig *rig)
{
    for (int64_t until = gfs_monotonic_ns() + 2500000000LL; gfs_monotonic_ns() < until;) {
        struct pool_view *view = open_rig_view(rig);
        cr_assert(!is_1_failed(rig, view), "it answers again, and it is we who keep it open");
        pool_view_put(view);
        (void)usleep(10000);
    }
}

Test(pool_patrol, a_disk_that_is_back_is_not_failed_for_being_still_used)
{
    struct open_rig rig;
    open_with_short_grace(&rig);
    struct pool_view *user = pool_view_get_pinned(rig.pool);
    open_rig_take_away(&rig, 1);
    open_rig_await(&rig, is_1_away);
    open_rig_bring_back(&rig, 1);
    expect_1_not_failed_for_long(&rig);
    pool_view_unpin(user);
    open_rig_await(&rig, open_rig_is_healthy);
    open_rig_fini(&rig);
}

Test(pool_patrol, a_disk_comes_back_while_a_chunk_on_it_is_held_for_reading)
{
    struct open_rig rig;
    struct chunk_id id;
    struct chunk_pin pin;
    char bytes[16];
    open_with_short_grace(&rig);
    cr_assert_eq(open_rig_put(&rig, "some bytes", 1, &id), GFS_OK);
    struct chunk_store *store = pool_chunks(rig.pool);
    cr_assert_eq(store->ops->pin(store, id, &pin), GFS_OK);
    for (unsigned i = 0; i < 4; i++) { /* one of them has the copy that is held */
        open_rig_take_away(&rig, i);
        struct pool_view *view = open_rig_view(&rig);
        pool_disk_drop(rig.pool, view->disks[i], GFS_TIMEOUT, "test");
        pool_view_put(view);
        open_rig_bring_back(&rig, i);
        open_rig_await(&rig, open_rig_is_healthy);
    }
    cr_assert_eq(store->ops->read(store, &pin, 0, pin.len, bytes, 0), GFS_OK);
    cr_assert_eq(memcmp(bytes, "some bytes", 10), 0);
    store->ops->unpin(store, &pin);
    open_rig_fini(&rig);
}

Test(pool_patrol, a_disk_that_does_not_take_writes_is_failed_though_it_is_still_used)
{
    struct open_rig rig;
    open_with_short_grace(&rig);
    struct pool_view *user = pool_view_get_pinned(rig.pool);
    disk_double_set_unwritable(open_rig_double(&rig, 1), true);
    pool_disk_drop(rig.pool, user->disks[1], GFS_TIMEOUT, "test");
    open_rig_await(&rig, is_1_failed);
    pool_view_unpin(user);
    open_rig_fini(&rig);
}

/* Another way to the disk works, but one call of ours does not come back. */
Test(pool_patrol, a_disk_that_owes_an_answer_is_failed_though_it_could_be_written)
{
    struct open_rig rig;
    struct chunk_id id;
    open_with_short_grace(&rig);
    struct disk_double *stuck = open_rig_double(&rig, 1);
    disk_double_hang(stuck, true);
    cr_assert_eq(open_rig_put(&rig, "some bytes", 1, &id), GFS_OK);
    open_rig_await(&rig, is_1_failed);
    disk_double_hang(stuck, false);
    open_rig_await(&rig, is_1_not_open);
    open_rig_fini(&rig);
}

/* ---- copies ---- */

/* Disk 1 was taken away, and a copy is in its place: of the bytes (-r), or by links (-al). */
static void put_copy_in_place(struct open_rig *rig, const char *how)
{
    char command[512];
    open_rig_take_away(rig, 1);
    (void)snprintf(command, sizeof command, "cp %s %s.away %s", how, rig->paths[1], rig->paths[1]);
    cr_assert_eq(system(command), 0); /* NOLINT */
}

static uint64_t version_at(const char *dir)
{
    struct pool_map *map = NULL;
    cr_assert_eq(pool_map_file_load(dir, &map, NULL), GFS_OK);
    uint64_t version = map->version;
    pool_map_free(map);
    return version;
}

static bool is_1_dropped(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return !pool_disk_is_usable(view->disks[1]);
}

static bool is_2_behind(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[2].is_behind;
}

static void noted(void *arg, enum gfs_err err)
{
    (void)arg;
    (void)err;
}

static void note_2_behind(struct open_rig *rig)
{
    struct pool_view *view = open_rig_view(rig);
    pool_note_behind(rig->pool, view->disks[2], noted, NULL);
    pool_view_put(view);
    open_rig_await(rig, is_2_behind);
}

/* Else an older copy would seem to be the disk. */
Test(pool_patrol, a_copy_in_the_place_of_a_disk_gets_no_map)
{
    struct open_rig rig;
    open_rig_init(&rig, 4);
    open_rig_open(&rig); /* the patrol has not begun to look */
    put_copy_in_place(&rig, "-r");
    uint64_t version = version_at(rig.paths[1]);
    note_2_behind(&rig);
    cr_assert_eq(version_at(rig.paths[1]), version);
    cr_assert_gt(version_at(rig.paths[2]), version);
    open_rig_await(&rig, is_1_dropped);
    open_rig_fini(&rig);
}

static bool has_1_a_note(struct open_rig *rig, const struct pool_view *view)
{
    (void)rig;
    return view->map->disks[1].is_behind;
}

/* A copy by links, or the contents put into a new directory: its files are the disk's own. */
Test(pool_patrol, a_new_directory_with_the_disks_own_files_is_no_empty_one)
{
    struct open_rig rig;
    open_rig_init(&rig, 4);
    open_rig_open(&rig);
    open_rig_start(&rig, NULL);
    open_rig_await(&rig, open_rig_is_healthy);
    put_copy_in_place(&rig, "-al");
    open_rig_await(&rig, has_1_a_note);
    open_rig_await(&rig, open_rig_is_healthy);
    struct pool_view *view = open_rig_view(&rig);
    cr_assert_eq(view->map->disks[1].state, POOL_DISK_ACTIVE);
    cr_assert_eq(view->map->disk_count, 4, "it was not taken for a new one");
    pool_view_put(view);
    open_rig_fini(&rig);
}

/* It has missed nothing that the map knows of: it is as the disk when that was away. */
Test(pool_patrol, a_copy_in_the_place_of_a_disk_is_behind)
{
    struct open_rig rig;
    open_rig_init(&rig, 4);
    open_rig_open(&rig);
    open_rig_start(&rig, NULL);
    open_rig_await(&rig, open_rig_is_healthy);
    put_copy_in_place(&rig, "-r");
    open_rig_await(&rig, has_1_a_note);
    open_rig_await(&rig, open_rig_is_healthy);
    open_rig_fini(&rig);
}

/* ---- uploads ---- */

enum { UPLOAD_LEN = 700000 };

/* A large chunk on its way. */
struct upload {
    struct open_rig *rig;
    struct chunk_id id;
    struct chunk_bulk *bulk;
    char *bytes;
    struct chunk_group group;
    struct chunk_record record;
    atomic_int finished, placed; /* 0 = not yet; else 1 + err */
};

static void upload_writable(void *arg)
{
    (void)arg;
}

static void upload_finished(void *arg, enum gfs_err err)
{
    struct upload *upload = arg;
    atomic_store(&upload->finished, 1 + (int)err);
}

static void upload_placed(struct chunk_group *group, enum gfs_err err)
{
    struct upload *upload = GFS_CONTAINER_OF(group, struct upload, group);
    atomic_store(&upload->placed, 1 + (int)err);
}

static void await_ok(atomic_int *answer)
{
    for (int64_t until = gfs_monotonic_ns() + 10000000000LL; atomic_load(answer) == 0;) {
        cr_assert_lt(gfs_monotonic_ns(), until);
        (void)usleep(1000);
    }
    cr_assert_eq(atomic_load(answer), 1 + (int)GFS_OK);
}

static void append(struct upload *upload, size_t from, size_t to)
{
    cr_assert_eq(pool_bulk_append(upload->bulk, upload->bytes + from, to - from), to - from);
}

static void begin_upload(struct open_rig *rig, struct upload *upload)
{
    struct chunk_store *store = pool_chunks(rig->pool);
    *upload = (struct upload){.rig = rig};
    cr_assert_eq(store->ops->new_id(store, gfs_slice_str(""), UPLOAD_LEN, &upload->id), GFS_OK);
    upload->bytes = gfs_alloc(UPLOAD_LEN + 1);
    for (size_t i = 0; i < UPLOAD_LEN; i++) {
        upload->bytes[i] = (char)('a' + (i * 7 + upload->id.lo / 64) % 23);
    }
    struct chunk_bulk_options options = {.id = upload->id,
                                         .owner = gfs_slice_str("owner"),
                                         .len_max = UPLOAD_LEN,
                                         .writable = upload_writable,
                                         .arg = upload};
    cr_assert_eq(pool_bulk_begin(store, &options, &upload->bulk), GFS_OK);
    append(upload, 0, UPLOAD_LEN / 2);
}

static void finish_upload(struct upload *upload)
{
    append(upload, UPLOAD_LEN / 2, UPLOAD_LEN);
    pool_bulk_finish(upload->bulk, upload_finished);
    await_ok(&upload->finished);
}

static void end_upload(struct upload *upload)
{
    upload->record = (struct chunk_record){.kind = CHUNK_RECORD_PLACE, .bulk = upload->bulk};
    upload->group = (struct chunk_group){.records = &upload->record, .done = upload_placed};
    pool_submit(pool_chunks(upload->rig->pool), &upload->group);
    await_ok(&upload->placed);
    pool_bulk_free(upload->bulk);
}

/* Disk 1 gets what it missed. */
static void expect_whole(struct upload *upload)
{
    struct open_rig *rig = upload->rig;
    cr_assert(open_rig_has(rig, upload->id, upload->bytes));
    struct pool_view *view = open_rig_view(rig);
    const struct pool_group *group = pool_view_group(view, upload->id);
    unsigned slot = 0;
    while (group->slots[slot].disk != 1) {
        slot++;
    }
    pool_view_put(view); /* or no pass would begin */
    struct chunk_id fragment = chunk_id_at(upload->id, slot);
    for (int64_t until = gfs_monotonic_ns() + 10000000000LL;
         !disk_double_has(open_rig_double(rig, 1), fragment);) {
        cr_assert_lt(gfs_monotonic_ns(), until, "fragment %u is missing for good", slot);
        (void)usleep(1000);
    }
    free(upload->bytes);
}

/* One that goes on, and one that is only not live yet. */
Test(pool_patrol, a_disk_comes_back_while_uploads_to_it_are_under_way)
{
    struct open_rig rig;
    struct upload slow, kept;
    open_rig_init(&rig, 6);
    open_rig_open(&rig);
    open_rig_start(&rig, NULL);
    begin_upload(&rig, &slow);
    begin_upload(&rig, &kept);
    finish_upload(&kept);
    struct pool_view *view = open_rig_view(&rig);
    pool_disk_drop(rig.pool, view->disks[1], GFS_TIMEOUT, "test");
    pool_view_put(view);
    open_rig_await(&rig, is_1_there_again);
    finish_upload(&slow);
    end_upload(&kept);
    end_upload(&slow);
    expect_whole(&kept);
    expect_whole(&slow);
    open_rig_await(&rig, open_rig_is_healthy);
    open_rig_fini(&rig);
}

static bool is_repairing(struct open_rig *rig, const struct pool_view *view)
{
    struct pool_repair_summary summary;
    (void)view;
    pool_reconcile_summary(rig->pool, &summary);
    return summary.is_running;
}

/* The pass waits for those who work by an older map, and goes by a map that has the disk. */
Test(pool_patrol, a_disk_comes_back_while_a_pass_waits_for_uploads)
{
    struct open_rig rig;
    struct upload slow;
    open_rig_init(&rig, 6);
    open_rig_open(&rig);
    open_rig_start(&rig, NULL);
    begin_upload(&rig, &slow);
    note_2_behind(&rig);
    open_rig_await(&rig, is_repairing);
    int64_t dropped_ns = gfs_monotonic_ns();
    struct pool_view *view = open_rig_view(&rig);
    pool_disk_drop(rig.pool, view->disks[1], GFS_TIMEOUT, "test");
    pool_view_put(view);
    open_rig_await(&rig, is_1_there_again);
    cr_assert_lt(gfs_monotonic_ns() - dropped_ns, 5000000000LL, "it waited for the pass");
    finish_upload(&slow);
    end_upload(&slow);
    expect_whole(&slow);
    open_rig_await(&rig, open_rig_is_healthy);
    open_rig_fini(&rig);
}
