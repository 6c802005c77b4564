/* Who waits for an owner hears what it is, or clearly why not: a source that does not answer yet is
 * none that is lost. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_reader.h"
#include "tests/unit/pool/data_rig.h"

#define MS 1000000LL

enum { LEN = 300000 };

static struct chunk_id write_chunk(struct data_rig *rig)
{
    GFS_FREE char *bytes = gfs_alloc(LEN);
    data_rig_fill(bytes, LEN, 3);
    struct chunk_id id = data_rig_next(rig);
    cr_assert_eq(data_rig_write(rig, id, bytes, LEN, 1 << 20, 0), GFS_OK);
    return id;
}

/* As repair does that makes slot `slot` anew on its own disk. */
static enum gfs_err open_fragment(struct data_rig *rig, struct chunk_id id, unsigned slot)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    struct pool_fragment *fragment = NULL;
    enum gfs_err err = pool_fragment_open(&rig->pool, view, id, slot, (uint16_t)slot, &fragment);
    pool_view_put(view);
    if (err == GFS_OK) {
        char owner[CHUNK_OWNER_LEN_MAX];
        size_t len = disk_double_owner(rig->disks[slot], data_rig_fragment(rig, id, slot), owner,
                                       sizeof owner);
        cr_assert(gfs_slice_eq(pool_fragment_owner(fragment), gfs_slice_of(owner, len)));
        pool_fragment_close(fragment);
    }
    return err;
}

Test(pool_pin_owner, the_only_source_is_waited_for_when_it_stalls)
{
    struct data_rig rig;
    data_rig_init(&rig, "replica:2", 0);
    rig.pool.options.race_ms = 5;
    struct chunk_id id = write_chunk(&rig);
    disk_double_set_owner_delay(rig.disks[0], 300 * MS);
    cr_assert_eq(open_fragment(&rig, id, 1), GFS_OK);
    data_rig_fini(&rig);
}

Test(pool_pin_owner, a_source_that_does_not_answer_is_not_lost)
{
    struct data_rig rig;
    data_rig_init(&rig, "replica:2", 0);
    rig.pool.options.race_ms = 1;
    struct chunk_id id = write_chunk(&rig);
    disk_double_hang(rig.disks[0], true);
    enum gfs_err err = open_fragment(&rig, id, 1);
    cr_assert_eq(err, GFS_TIMEOUT, "%s", gfs_err_name(err));
    disk_double_hang(rig.disks[0], false);
    data_rig_fini(&rig);
}

/* As many reads wait for the disk as may. */
Test(pool_pin_owner, a_source_of_which_too_much_is_asked_is_not_lost)
{
    enum { COUNT = POOL_READ_JOBS_MAX + POOL_READERS_PER_DISK };
    struct data_rig rig;
    data_rig_init(&rig, "replica:2", 0);
    struct chunk_id id = write_chunk(&rig);
    GFS_FREE struct pool_read_job **jobs = gfs_alloc_array(COUNT, sizeof(struct pool_read_job *));
    GFS_FREE struct pool_pin **pins = gfs_alloc_array(COUNT, sizeof(struct pool_pin *));
    struct pool_pin_options options = {.id = id, .avoid_disk = 1, .avoid_slot = 1};
    disk_double_hang(rig.disks[0], true);
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert_eq(pool_pin_new(&rig.pool, rig.pool.view, &options, &pins[i]), GFS_OK);
        struct pool_read_job wanted = {.pin = pins[i], .part = 0, .is_owner = true};
        do { /* the last ones wait until the disk's threads have taken the first */
            jobs[i] = pool_reader_start(&wanted);
        } while (jobs[i] == NULL);
    }
    enum gfs_err err = open_fragment(&rig, id, 1);
    cr_assert_eq(err, GFS_BUSY, "%s", gfs_err_name(err));
    disk_double_hang(rig.disks[0], false);
    for (unsigned i = 0; i < COUNT; i++) {
        pool_reader_forget(jobs[i]);
        pool_pin_unref(pins[i]);
    }
    data_rig_fini(&rig);
}

Test(pool_pin_owner, another_disk_is_asked_when_one_stalls)
{
    static const char *const profiles[] = {"replica:3", "ec:4+2"};
    for (unsigned p = 0; p < GFS_COUNT(profiles); p++) {
        struct data_rig rig;
        data_rig_init(&rig, profiles[p], 0);
        rig.pool.options.race_ms = 10;
        struct chunk_id id = write_chunk(&rig);
        disk_double_hang(rig.disks[0], true);
        int64_t begun_ns = gfs_monotonic_ns();
        cr_assert_eq(open_fragment(&rig, id, 2), GFS_OK);
        cr_assert_lt(gfs_monotonic_ns() - begun_ns, 5000 * MS, "the first one is not waited for");
        disk_double_hang(rig.disks[0], false);
        data_rig_fini(&rig);
    }
}

/* A read that was given up is under way, and ends in time. */
Test(pool_pin_owner, a_part_that_is_still_being_read_is_waited_for)
{
    struct data_rig rig;
    data_rig_init(&rig, "replica:1", 0);
    struct chunk_id id = write_chunk(&rig);
    struct pool_pin *pin;
    struct pool_pin_options options = {.id = id, .avoid_disk = POOL_NO_DISK};
    cr_assert_eq(pool_pin_new(&rig.pool, rig.pool.view, &options, &pin), GFS_OK);
    disk_double_set_owner_delay(rig.disks[0], 100 * MS);
    struct pool_read_job wanted = {.pin = pin, .part = 0, .is_owner = true};
    struct pool_read_job *job = pool_reader_start(&wanted);
    cr_assert_not_null(job);
    struct disk_double_counts counts = {0};
    while (counts.owners == 0) {
        disk_double_counts(rig.disks[0], &counts);
    }
    pool_reader_forget(job);
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t len = 0;
    cr_assert_eq(pool_pin_owner(pin, owner, &len), GFS_OK);
    cr_assert_gt(len, 0);
    pool_pin_unref(pin);
    data_rig_fini(&rig);
}

Test(pool_pin_owner, nobody_waits_long_for_a_disk_that_is_only_read_and_hangs)
{
    struct data_rig rig;
    data_rig_init(&rig, "replica:2", 0);
    rig.pool.options.slow_ms = 20;
    struct chunk_id id = write_chunk(&rig);
    atomic_store(&rig.pool_disks[0]->is_dropped, true);
    disk_double_hang(rig.disks[0], true);
    int64_t begun_ns = gfs_monotonic_ns();
    enum gfs_err err = open_fragment(&rig, id, 1);
    cr_assert_eq(err, GFS_UNREACHABLE, "%s", gfs_err_name(err));
    cr_assert_lt(gfs_monotonic_ns() - begun_ns, 10000 * MS);
    disk_double_hang(rig.disks[0], false);
    data_rig_fini(&rig);
}
