#include "pool/pool_leave.h"

#include "pool/pool_errand.h"
#include "pool/pool_pin.h"

static void run(void *arg)
{
    struct pool_disk *disk = arg;
    pool_pin_leave_disk(disk->pool, disk);
    pool_bulk_leave_disk(disk->pool, disk);
    atomic_store(&disk->is_being_left, false);
}

static void end(void *arg)
{
    pool_disk_unref(arg);
}

void pool_leave_disks(struct pool *pool)
{
    struct pool_disk *disks[POOL_DISKS_MAX];
    unsigned count = pool_view_left_disks(pool, disks);
    for (unsigned i = 0; i < count; i++) {
        if (atomic_exchange(&disks[i]->is_being_left, true)) {
            pool_disk_unref(disks[i]);
        } else {
            pool_errand_let_go(pool_errand_start(pool->errands, "disk-leave", run, end, disks[i]));
        }
    }
}
