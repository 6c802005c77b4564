#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libgoodfs/mem.h"
#include "tests/unit/pool/disk_doubles.h"

struct answered {
    struct chunk_group group;
    struct chunk_record record;
    enum gfs_err err;
    bool is_done;
};

static void done(struct chunk_group *group, enum gfs_err err)
{
    struct answered *answered = GFS_CONTAINER_OF(group, struct answered, group);
    answered->err = err;
    answered->is_done = true;
}

static void submit(struct disk_double *disk, struct answered *answered, struct chunk_record record)
{
    *answered = (struct answered){.record = record};
    answered->group = (struct chunk_group){.records = &answered->record, .done = done};
    struct chunk_store *store = disk_double_store(disk);
    store->ops->submit(store, &answered->group);
}

static struct chunk_record data(struct chunk_id id, const char *text)
{
    return (struct chunk_record){.kind = CHUNK_RECORD_DATA,
                                 .id = id,
                                 .owner = GFS_SLICE_LITERAL("owner"),
                                 .payload = gfs_slice_str(text)};
}

static struct chunk_record edit(uint64_t lsn)
{
    return (struct chunk_record){
        .kind = CHUNK_RECORD_EDIT, .lsn = lsn, .payload = GFS_SLICE_LITERAL("edit")};
}

static void writable(void *arg)
{
    *(enum gfs_err *)arg = GFS_AGAIN;
}

static void finished(void *arg, enum gfs_err err)
{
    *(enum gfs_err *)arg = err;
}

static struct disk_double *manual_double(void)
{
    struct disk_double *disk = disk_double_new();
    disk_double_set_auto(disk, false);
    return disk;
}

Test(disk_double, what_was_decided_is_read_back_and_a_flipped_byte_shows)
{
    struct disk_double *disk = manual_double();
    struct chunk_store *store = disk_double_store(disk);
    struct chunk_id id = chunk_id_new(3);
    struct answered answered;
    submit(disk, &answered, data(id, "hello"));
    cr_assert(!answered.is_done && !disk_double_has(disk, id));
    cr_assert_eq(disk_double_decide(disk, 9), 1);
    cr_assert(answered.is_done && answered.err == GFS_OK);
    struct chunk_pin pin;
    char bytes[CHUNK_OWNER_LEN_MAX];
    size_t len = 0;
    cr_assert_eq(store->ops->pin(store, id, &pin), GFS_OK);
    cr_assert_eq(store->ops->read(store, &pin, 0, pin.len, bytes, 0), GFS_OK);
    cr_assert(pin.len == 5 && memcmp(bytes, "hello", 5) == 0);
    cr_assert_eq(store->ops->owner(store, &pin, bytes, &len), GFS_OK);
    cr_assert(len == 5 && memcmp(bytes, "owner", 5) == 0);
    cr_assert(disk_double_flip(disk, id, 4));
    cr_assert_eq(store->ops->read(store, &pin, 0, pin.len, bytes, 0), GFS_CORRUPT);
    cr_assert(disk_double_drop(disk, id));
    store->ops->unpin(store, &pin);
    cr_assert_eq(store->ops->pin(store, id, &pin), GFS_NOT_FOUND);
    disk_double_free(disk);
}

Test(disk_double, a_large_chunk_is_live_with_its_place_record_only)
{
    struct disk_double *disk = manual_double();
    struct chunk_store *store = disk_double_store(disk);
    disk_double_set_append_max(disk, 3);
    struct chunk_id id = chunk_id_new(1);
    struct chunk_bulk *bulk = NULL;
    enum gfs_err err = GFS_END;
    struct chunk_bulk_options options = {
        .id = id, .len_max = 10, .writable = writable, .arg = &err};
    cr_assert_eq(store->ops->bulk_begin(store, &options, &bulk), GFS_OK);
    cr_assert_eq(store->ops->bulk_append(bulk, "0123456789", 10), 3);
    cr_assert_eq(store->ops->bulk_append(bulk, "3456789", 7), 0);
    cr_assert(disk_double_decide(disk, 9) == 1 && err == GFS_AGAIN);
    cr_assert_eq(store->ops->bulk_append(bulk, "345", 3), 3);
    struct answered answered;
    store->ops->bulk_finish(bulk, finished);
    cr_assert_eq(disk_double_decide(disk, 1), 1);
    cr_assert(err == GFS_OK && !disk_double_has(disk, id));
    submit(disk, &answered, (struct chunk_record){.kind = CHUNK_RECORD_PLACE, .bulk = bulk});
    cr_assert_eq(disk_double_decide(disk, 1), 1);
    store->ops->bulk_free(bulk);
    char bytes[8];
    cr_assert_eq(disk_double_bytes(disk, id, bytes, sizeof bytes), 6);
    cr_assert(answered.err == GFS_OK && memcmp(bytes, "012345", 6) == 0);
    disk_double_free(disk);
}

Test(disk_double, a_crash_keeps_a_prefix_and_forgets_the_rest)
{
    struct disk_double *disk = manual_double();
    struct answered answered[3];
    for (unsigned i = 0; i < 3; i++) {
        submit(disk, &answered[i], edit(i + 1));
    }
    disk_double_crash(disk, 2);
    cr_assert_eq(disk_double_decide(disk, 9), 3);
    cr_assert(answered[0].err == GFS_IO && answered[2].err == GFS_IO);
    cr_assert(disk_double_has_edit(disk, 2) && !disk_double_has_edit(disk, 3));
    disk_double_revive(disk);
    submit(disk, &answered[2], edit(3));
    cr_assert_eq(disk_double_decide(disk, 1), 1);
    cr_assert(answered[2].err == GFS_OK && disk_double_edits(disk) == 3);
    disk_double_free(disk);
}

Test(disk_double, a_full_one_takes_only_what_may_use_the_reserve)
{
    struct disk_double *disk = manual_double();
    struct answered plain;
    struct answered reserve;
    disk_double_set_room(disk, DISK_DOUBLE_FULL);
    submit(disk, &plain, edit(1));
    submit(disk, &reserve, edit(2));
    reserve.group.may_use_reserve = true;
    cr_assert_eq(disk_double_decide(disk, 2), 2);
    cr_assert(plain.err == GFS_NO_SPACE && reserve.err == GFS_OK);
    disk_double_free(disk);
}

Test(disk_double, failing_is_for_good_and_hanging_until_released)
{
    struct disk_double *disk = manual_double();
    struct answered answered[3];
    disk_double_fail(disk, 2);
    for (unsigned i = 0; i < 3; i++) {
        submit(disk, &answered[i], edit(i + 1));
    }
    disk_double_hang(disk, true);
    cr_assert_eq(disk_double_decide(disk, 3), 0);
    disk_double_hang(disk, false);
    cr_assert_eq(disk_double_decide(disk, 3), 3);
    cr_assert(answered[0].err == GFS_OK && answered[1].err == GFS_IO && answered[2].err == GFS_IO);
    disk_double_free(disk);
}

Test(disk_double, directories_are_disks)
{
    char dir[] = "/tmp/disk_double.XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    char path[64];
    char identity[80];
    (void)snprintf(path, sizeof path, "%s/a", dir);
    (void)snprintf(identity, sizeof identity, "%s/identity", path);
    struct disk_doubles *set = disk_doubles_new();
    struct pool_driver driver = disk_doubles_driver(set);
    struct chunk_store *store = NULL;
    struct chunk_store *second = NULL;
    uint8_t id[16];
    uint8_t other[16];
    cr_assert_eq(driver.open(driver.arg, path, NULL, &store, id, NULL), GFS_OK);
    cr_assert_eq(driver.open(driver.arg, path, NULL, &second, other, NULL), GFS_BUSY);
    driver.close(driver.arg, store);
    cr_assert_eq(driver.open(driver.arg, path, "another", &second, other, NULL), GFS_CONFLICT);
    cr_assert_eq(driver.open(driver.arg, path, NULL, &second, other, NULL), GFS_OK);
    cr_assert(second == store && memcmp(id, other, 16) == 0);
    cr_assert(disk_doubles_at(set, path) == disk_double_of(store));
    driver.close(driver.arg, store);
    cr_assert_eq(unlink(identity), 0); /* emptied: another disk */
    cr_assert_eq(driver.open(driver.arg, path, NULL, &second, other, NULL), GFS_OK);
    cr_assert(second != store && memcmp(id, other, 16) != 0);
    driver.close(driver.arg, second);
    disk_doubles_free(set);
    cr_assert_eq(unlink(identity), 0);
    cr_assert(rmdir(path) == 0 && rmdir(dir) == 0);
}
