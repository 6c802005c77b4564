/* Large chunks whose disks are dropped while they are written. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "tests/unit/pool/data_rig.h"

/* What the watch and the patrol do. */
static void let_go(struct data_rig *rig)
{
    pool_bulk_tick(&rig->pool, gfs_monotonic_ns());
    for (unsigned i = 0; i < rig->width; i++) {
        if (atomic_load(&rig->pool_disks[i]->is_dropped)) {
            pool_bulk_leave_disk(&rig->pool, rig->pool_disks[i]);
        }
    }
}

static void come_and_go(uint64_t seed)
{
    static const char *const profiles[] = {"ec:4+2", "ec:2+2", "replica:3", "ec:1+2"};
    struct data_rig rig;
    data_rig_init(&rig, profiles[seed % 4], 0);
    struct data_heard heard;
    data_heard_init(&heard);
    struct chunk_id id = data_rig_next(&rig);
    unsigned k = rig.profile.kind == POOL_EC ? rig.profile.k : 1;
    size_t len = 3 * (size_t)k * POOL_CELL + (seed * 7919) % 100000;
    char *bytes = gfs_alloc(len);
    data_rig_fill(bytes, len, len);
    struct chunk_bulk_options options = {.id = id,
                                         .owner = gfs_slice_str("owner"),
                                         .len_max = (uint32_t)len,
                                         .writable = data_heard_writable,
                                         .arg = &heard};
    struct chunk_bulk *bulk = NULL;
    cr_assert_eq(pool_bulk_begin(&rig.pool.base, &options, &bulk), GFS_OK);
    unsigned quorum = pool_profile_quorum(rig.profile), gone = 0;
    size_t at = 0;
    while (at < len) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        unsigned disk = (unsigned)(seed >> 40) % rig.width;
        disk_double_set_append_max(rig.disks[disk], (seed >> 33) % 3 == 0 ? 30011 : 0);
        if ((seed >> 36) % 9 == 0 && gone < rig.width - quorum &&
            !atomic_load(&rig.pool_disks[disk]->is_dropped)) {
            atomic_store(&rig.pool_disks[disk]->is_dropped, true);
            gone++;
        }
        if ((seed >> 34) % 2 == 0) {
            let_go(&rig);
        }
        at += pool_bulk_append(bulk, bytes + at, GFS_MIN(len - at, (size_t)(seed >> 45) % 90000));
    }
    pool_bulk_finish(bulk, data_heard_finished);
    cr_assert_eq(data_heard_await(&heard), GFS_OK);
    data_rig_place(&rig, bulk);
    pool_bulk_free(bulk);
    for (unsigned i = 0; i < rig.width; i++) {
        bool is_dropped = atomic_load(&rig.pool_disks[i]->is_dropped);
        atomic_store(&rig.pool_disks[i]->is_distrusted, is_dropped);
    }
    cr_assert_eq(data_rig_check(&rig, id, bytes, len), GFS_OK);
    free(bytes);
    data_heard_fini(&heard);
    data_rig_fini(&rig);
}

/* In any of them, in the middle of rows, while others are slow. */
Test(pool_bulk_drops, what_is_written_while_disks_are_dropped_and_let_go_of_is_whole)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        come_and_go(seed);
    }
}
