/* Disks that are to be closed, and what lets go of them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "pool/pool_errand.h"
#include "pool/pool_leave.h"
#include "pool/pool_pin.h"
#include "tests/unit/pool/data_rig.h"

enum { CHUNK_LEN = 1000, WAIT_MS = 10000, LEFT = 0 };

static void change_nothing(struct pool_map *map, unsigned arg)
{
    (void)map;
    (void)arg;
}

/* Of a chunk whose copy on that disk is the one to be read: the id decides. */
static struct pool_pin *pin_on_left(struct data_rig *rig, const char *bytes, struct chunk_pin *ret)
{
    struct pool_pin *pin = NULL;
    while (pin == NULL) {
        struct chunk_id id = data_rig_next(rig);
        cr_assert_eq(data_rig_write(rig, id, bytes, CHUNK_LEN, CHUNK_LEN, 0), GFS_OK);
        cr_assert_eq(pool_pin(&rig->pool.base, id, ret), GFS_OK);
        pin = ret->state;
        if (pin->parts[pin->preferred].disk != rig->pool_disks[LEFT]) {
            pool_unpin(&rig->pool.base, ret);
            pin = NULL;
        }
    }
    return pin;
}

/* The view in force does without the disk, and so does the rig. */
static void take_out(struct data_rig *rig)
{
    struct pool_disk *disk = rig->pool_disks[LEFT];
    (void)snprintf(disk->path, sizeof disk->path, "/left");
    atomic_store(&disk->is_dropped, true);
    rig->pool_disks[LEFT] = pool_disk_new(&rig->pool, LEFT, disk->id, "", NULL);
    data_rig_change(rig, change_nothing, 0);
    pool_disk_unref(disk);
}

/* Nobody else has anything to do with disks meanwhile: no patrol, no repair. */
static bool is_closed_in_time(struct data_rig *rig)
{
    int64_t until_ns = gfs_monotonic_ns() + (int64_t)WAIT_MS * 1000000;
    while (pool_disk_is_open(&rig->pool, "/left") && gfs_monotonic_ns() < until_ns) {
        (void)usleep(1000); /* what is waited for happens on an errand's thread */
        pool_disk_reap(&rig->pool);
    }
    return !pool_disk_is_open(&rig->pool, "/left");
}

Test(pool_leave, a_disk_can_be_closed_as_soon_as_readers_let_go_of_it)
{
    struct data_rig rig;
    struct chunk_pin held;
    char bytes[CHUNK_LEN];
    data_rig_init(&rig, "replica:3", 0);
    rig.pool.errands = pool_errands_new();
    data_rig_fill(bytes, sizeof bytes, 1);
    struct pool_pin *pin = pin_on_left(&rig, bytes, &held);
    take_out(&rig);
    pool_disk_reap(&rig.pool);
    cr_assert(pool_disk_is_open(&rig.pool, "/left"), "it is held for reading");
    (void)pthread_mutex_lock(&pin->lock); /* letting go takes its time: nobody waits for it */
    pool_leave_disks(&rig.pool);
    (void)pthread_mutex_unlock(&pin->lock);
    cr_expect(is_closed_in_time(&rig));
    char got[CHUNK_LEN];
    cr_expect_eq(pool_read(&rig.pool.base, &held, 0, CHUNK_LEN, got, 0), GFS_OK);
    cr_expect_eq(memcmp(got, bytes, sizeof got), 0, "from another disk");
    pool_unpin(&rig.pool.base, &held);
    data_rig_fini(&rig);
    cr_assert(pool_errands_end(rig.pool.errands, WAIT_MS));
    pool_errands_free(rig.pool.errands);
}
