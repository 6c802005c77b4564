/* The store on a disk that loses power: at every change of the disk in turn, and again while it
 * recovers; then over many lives of one disk. What was not flushed is lost, torn and reordered by
 * seed. In some lives only the process ends, and the power goes after the next start: what that
 * start has shown must be there still.
 *
 * GOODFS_SIM_SEEDS (8): loads that are run, from GOODFS_SIM_FIRST (1) on; GOODFS_SIM_GROUPS (60):
 * groups of each. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "tests/sim/world.h"

enum { LIVES_MAX = 60, LIFE_GROUPS_MAX = 100, LIFE_CHANGES_MAX = 800, EARLY_CHANGES = 24 };

/* Plain data. What was run, and what the store did meanwhile. */
struct tally {
    uint64_t points, lives, shared, rewrites, revivals, refusals;
    struct store_stats seen;
};

static void lose_power(struct world *world)
{
    if (world->store != NULL && !gfs_io_sim_has_crashed(world->disk)) {
        gfs_io_sim_crash_at(world->disk, 1); /* closing has no time to write anything */
    }
    world_close(world);
    gfs_io_sim_restart(world->disk);
}

/* The power goes once more while the store recovers; n: at which change. */
static void crash_recovery(struct world *world, uint64_t n)
{
    gfs_io_sim_crash_at(world->disk, n);
    if (world_open(world, NULL) == GFS_OK) {
        (void)store_poll(world->store);
    }
    lose_power(world);
}

/* The process ends and is started again; what it shows and then acknowledges has to survive the
 * power, which goes at the n-th change. */
static void end_process(struct world *world, uint64_t n)
{
    world_close(world);
    gfs_io_sim_resume(world->disk);
    gfs_io_sim_crash_at(world->disk, n);
    if (world_open(world, NULL) == GFS_OK) {
        world_audit(world);
        world_load(world, 4);
    }
    lose_power(world);
}

static void recover(struct world *world, uint64_t n)
{
    if (n % 4 == 0) {
        end_process(world, 1 + n / 4 % 20);
    } else {
        lose_power(world);
    }
    for (uint64_t i = 0; i < n % 3; i++) {
        crash_recovery(world, 1 + (n / 3 + i * 7) % 40);
    }
    world_open_whole(world);
}

static uint64_t lsn_gone(const struct world *world)
{
    struct chunk_store_status status;
    world->chunks->ops->status(world->chunks, &status);
    return status.lsn_gone;
}

/* The same index comes from another start, with and without the checkpoint. */
static void check_index(struct world *world)
{
    uint64_t hash = store_index_hash(world->store);
    uint64_t gone = lsn_gone(world);
    world_close(world);
    world_open_whole(world);
    WORLD_CHECK(world, store_index_hash(world->store) == hash, "%s", "another start differs");
    world_close(world);
    struct gfs_io *io = gfs_io_sim_io(world->disk);
    enum gfs_err err = io->ops->remove(io, "index.ckpt");
    WORLD_CHECK(world, err == GFS_OK || err == GFS_NOT_FOUND, "remove: %s", gfs_err_text(err));
    world_open_whole(world);
    WORLD_CHECK(world, store_index_hash(world->store) == hash, "%s", "the log alone differs");
    WORLD_CHECK(world, lsn_gone(world) == gone, "%s", "the log alone has other edits");
}

static void add_seen(struct tally *tally, const struct world *world)
{
    const struct store_stats *seen = &world->seen;
    tally->shared += world->shared_count;
    tally->rewrites += world->rewrite_count;
    tally->revivals += world->revive_count;
    tally->refusals += world->refused_count;
    tally->seen.groups += seen->groups;
    tally->seen.compacted_bytes += seen->compacted_bytes;
    tally->seen.segments_recycled += seen->segments_recycled;
    tally->seen.checkpoints += seen->checkpoints;
    tally->seen.bytes_punched += seen->bytes_punched;
}

/* One load until the power goes at the n-th change. Answers whether it did. */
static bool crash_once(uint64_t seed, uint64_t n, uint32_t groups, struct tally *tally)
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
    recover(world, n);
    world_audit(world);
    check_index(world);
    world_audit(world);
    world_load(world, 12);
    world_empty(world);
    world_close(world);
    if (!has_crashed) { /* the one run that was a whole load */
        add_seen(tally, world);
    }
    world_free(world);
    return has_crashed;
}

/* The process ends at the n-th change of a new disk, and the power goes at the m-th change after
 * the next start: names that the first process had not synced were used by the second. */
static void end_twice(uint64_t seed, uint64_t n, uint64_t m)
{
    struct world *world = world_new(seed * 1000003 + n * 1009 + m);
    world_name("store_crash: seed %llu, process ends at change %llu, power at %llu",
               (unsigned long long)seed, (unsigned long long)n, (unsigned long long)m);
    gfs_io_sim_crash_at(world->disk, n);
    if (world_open(world, NULL) == GFS_OK) {
        world_load(world, 4);
    }
    end_process(world, m);
    world_open_whole(world);
    world_audit(world);
    world_free(world);
}

static void end_early(uint64_t seed, struct tally *tally)
{
    for (uint64_t n = 1; n <= EARLY_CHANGES; n++) {
        for (uint64_t m = 1; m <= EARLY_CHANGES; m++) {
            end_twice(seed, n, m);
            tally->points++;
        }
    }
}

/* One disk over many lives, each of which ends somewhere. */
static void live_long(uint64_t seed, struct tally *tally)
{
    struct world *world = world_new(seed);
    for (uint32_t life = 0; life < LIVES_MAX && world_has_room(world, LIFE_GROUPS_MAX + 4);
         life++) {
        world_name("store_crash: seed %llu, life %u", (unsigned long long)seed, life);
        uint64_t end = 1 + world_draw(world, LIFE_CHANGES_MAX);
        bool is_fault = world_draw(world, 4) == 0; /* the disk fails, and then the process ends */
        if (is_fault) {
            gfs_io_sim_fail_at(world->disk, end, GFS_IO);
        } else {
            gfs_io_sim_crash_at(world->disk, end);
        }
        if (world_open(world, NULL) == GFS_OK) {
            world_load(world, 1 + (uint32_t)world_draw(world, LIFE_GROUPS_MAX));
        }
        if (gfs_io_sim_has_crashed(world->disk) || is_fault) {
            recover(world, world_draw(world, 1000));
        } else {
            world_close(world); /* or stopped in peace */
            gfs_io_sim_resume(world->disk);
            world_open_whole(world);
        }
        world_audit(world);
        if (world_draw(world, 3) == 0) {
            check_index(world);
        }
        world_close(world);
        tally->lives++;
    }
    world_open_whole(world);
    world_empty(world);
    world_close(world);
    add_seen(tally, world);
    world_free(world);
}

/* A load that leaves out what it is meant to break shows nothing. */
static bool has_seen_all(const struct tally *tally)
{
    const struct store_stats *seen = &tally->seen;
    return tally->points != 0 && tally->lives != 0 && tally->shared != 0 && tally->rewrites != 0 &&
           tally->revivals != 0 && tally->refusals != 0 && seen->compacted_bytes != 0 &&
           seen->segments_recycled != 0 && seen->checkpoints != 0 && seen->bytes_punched != 0;
}

int main(void)
{
    uint64_t first = world_knob("GOODFS_SIM_FIRST", 1);
    uint64_t seeds = world_knob("GOODFS_SIM_SEEDS", 8);
    uint32_t groups = (uint32_t)world_knob("GOODFS_SIM_GROUPS", 60);
    struct tally tally = {0};
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        for (uint64_t n = 1; crash_once(seed, n, groups, &tally); n++) {
            tally.points++;
        }
        end_early(seed, &tally);
        live_long(seed, &tally);
    }
    printf("store_crash: %llu loads, power lost at %llu changes, %llu more lives; %llu groups, "
           "%llu in a batch with others, %llu records written anew, %llu after a delete, %llu "
           "replays from where edits had left, %llu bytes compacted, %llu segments recycled, %llu "
           "checkpoints\n",
           (unsigned long long)seeds, (unsigned long long)tally.points,
           (unsigned long long)tally.lives, (unsigned long long)tally.seen.groups,
           (unsigned long long)tally.shared, (unsigned long long)tally.rewrites,
           (unsigned long long)tally.revivals, (unsigned long long)tally.refusals,
           (unsigned long long)tally.seen.compacted_bytes,
           (unsigned long long)tally.seen.segments_recycled,
           (unsigned long long)tally.seen.checkpoints);
    if (!has_seen_all(&tally)) {
        (void)fprintf(stderr, "store_crash: the loads leave something out\n");
        return 1;
    }
    return 0;
}
