/* The store on a disk that loses power: at every change of the disk in turn, and again while it
 * recovers. What was not flushed is lost, torn and reordered by seed.
 *
 * GOODFS_SIM_SEEDS (2): loads that are run, from GOODFS_SIM_FIRST (1) on; GOODFS_SIM_GROUPS (60):
 * groups of each. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "tests/sim/world.h"

/* Restarts; with crash_again, the power goes once more while the store recovers. */
static void recover(struct world *world, uint64_t crash_again)
{
    world_close(world);
    gfs_io_sim_restart(world->disk);
    if (crash_again != 0) {
        gfs_io_sim_crash_at(world->disk, crash_again);
        if (world_open(world, NULL) == GFS_OK) {
            world_close(world); /* recovery changed less than that */
        }
        gfs_io_sim_restart(world->disk);
    }
    world_open_whole(world);
}

/* The same index comes from another start, with and without the checkpoint. */
static void check_index(struct world *world)
{
    uint64_t hash = store_index_hash(world->store);
    world_close(world);
    world_open_whole(world);
    WORLD_CHECK(world, store_index_hash(world->store) == hash, "another start, another index");
    world_close(world);
    struct gfs_io *io = gfs_io_sim_io(world->disk);
    enum gfs_err err = io->ops->remove(io, "index.ckpt");
    WORLD_CHECK(world, err == GFS_OK || err == GFS_NOT_FOUND, "remove: %s", gfs_err_text(err));
    world_open_whole(world);
    WORLD_CHECK(world, store_index_hash(world->store) == hash, "the log alone gives another index");
}

/* One load until the power goes at the n-th change. Answers whether it did. */
static bool crash_once(uint64_t seed, uint64_t n, uint32_t groups)
{
    struct world *world = world_new(seed);
    world_name("store_crash: seed %llu, change %llu", (unsigned long long)seed,
               (unsigned long long)n);
    gfs_io_sim_crash_at(world->disk, n);
    if (world_open(world, NULL) == GFS_OK) {
        world_load(world, groups);
        store_settle(world->store);
    }
    bool has_crashed = gfs_io_sim_has_crashed(world->disk);
    recover(world, n % 3 == 0 ? 1 + n / 3 % 40 : 0);
    world_audit(world);
    check_index(world);
    world_audit(world);
    world_load(world, 12);
    world_empty(world);
    world_free(world);
    return has_crashed;
}

int main(void)
{
    uint64_t first = world_knob("GOODFS_SIM_FIRST", 1);
    uint64_t seeds = world_knob("GOODFS_SIM_SEEDS", 2);
    uint32_t groups = (uint32_t)world_knob("GOODFS_SIM_GROUPS", 60);
    uint64_t points = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        for (uint64_t n = 1; crash_once(seed, n, groups); n++) {
            points++;
        }
    }
    printf("store_crash: %llu loads, power lost at %llu changes\n", (unsigned long long)seeds,
           (unsigned long long)points);
    return points == 0;
}
