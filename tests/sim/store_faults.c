/* The store on a disk with faults: a change that fails, a disk that fills up, bytes that flip.
 *
 * GOODFS_SIM_SEEDS (2): loads that are run, from GOODFS_SIM_FIRST (1) on. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "tests/sim/world.h"

enum { GROUPS = 60, FLIPS = 200, FLIP_VARIANTS = 10, REPAIRS = 30 };

static void lose_power(struct world *world)
{
    world_close(world);
    gfs_io_sim_restart(world->disk);
    world_open_whole(world);
}

/* Once an answer is IO, no later one may be OK: what the disk kept is unknown until a restart. */
static void check_fail_stop(struct world *world)
{
    bool has_failed = false;
    for (uint32_t i = 0; i < world->group_count; i++) {
        enum gfs_err err = world->groups[i]->err;
        WORLD_CHECK(world, !has_failed || err != GFS_OK, "group %u acknowledged after a fault", i);
        has_failed = has_failed || err == GFS_IO;
    }
    struct store_stats stats;
    store_stats(world->store, &stats);
    WORLD_CHECK(world, !has_failed || stats.has_failed, "%s", "the store does not say it failed");
}

/* The n-th change answers err. Answers whether there was one. */
static bool fail_once(uint64_t seed, uint64_t n, enum gfs_err err)
{
    struct world *world = world_new(seed);
    world_name("store_faults: seed %llu, change %llu answers %s", (unsigned long long)seed,
               (unsigned long long)n, gfs_err_name(err));
    gfs_io_sim_fail_at(world->disk, n, err);
    if (world_open(world, NULL) == GFS_OK) {
        world_load(world, GROUPS);
        store_settle(world->store);
        check_fail_stop(world);
    }
    bool has_failed = gfs_io_sim_changes(world->disk) >= n;
    lose_power(world);
    world_audit(world);
    world_load(world, 12);
    world_empty(world);
    world_free(world);
    return has_failed;
}

/* Refused groups leave nothing, deletes go on, and with space everything goes on. */
static void fill_up(uint64_t seed)
{
    struct world *world = world_new(seed);
    world_name("store_faults: seed %llu, full disk", (unsigned long long)seed);
    world_open_whole(world);
    world_load(world, 20);
    gfs_io_sim_set_capacity(world->disk, gfs_io_sim_used(world->disk) + WORLD_RESERVE / 2);
    world_load(world, 20);
    uint32_t refused = 0;
    for (uint32_t i = 0; i < world->group_count; i++) {
        refused += world->groups[i]->err == GFS_NO_SPACE;
    }
    WORLD_CHECK(world, refused > 0, "%s", "the disk never filled up");
    lose_power(world);
    world_audit(world);
    gfs_io_sim_set_capacity(world->disk, WORLD_CAPACITY);
    (void)store_poll(world->store);
    uint32_t before = world->group_count;
    world_load(world, 20);
    for (uint32_t i = before; i < world->group_count; i++) {
        WORLD_CHECK(world, world->groups[i]->err == GFS_OK, "refused with space: %s",
                    gfs_err_text(world->groups[i]->err));
    }
    lose_power(world);
    world_audit(world);
    world_empty(world);
    world_free(world);
}

static void note_answer(struct chunk_group *group, enum gfs_err err)
{
    group->err = err;
}

/* The same chunk again, of `len` bytes, 0 = none, with an edit. */
static enum gfs_err write_over(struct world *world, uint32_t len, uint64_t lsn)
{
    GFS_FREE char *bytes = gfs_alloc((size_t)len + 1);
    struct chunk_record edit = {
        .kind = CHUNK_RECORD_EDIT, .lsn = lsn, .payload = gfs_slice_str("edit")};
    struct chunk_record data = {.kind = CHUNK_RECORD_DATA,
                                .id = {.hi = 12, .lo = 1},
                                .payload = gfs_slice_of(bytes, len),
                                .next = &edit};
    struct chunk_group group = {
        .records = len == 0 ? &edit : &data, .done = note_answer, .may_use_reserve = true};
    world->chunks->ops->submit(world->chunks, &group);
    store_settle(world->store);
    return group.err;
}

/* An edit alone, that goes on from another one; 0 = from none. */
static enum gfs_err write_behind(struct world *world, uint64_t lsn, uint64_t after_lsn)
{
    struct chunk_record edit = {
        .kind = CHUNK_RECORD_EDIT, .lsn = lsn, .payload = gfs_slice_str("edit")};
    struct chunk_group group = {
        .records = &edit, .done = note_answer, .may_use_reserve = true, .after_lsn = after_lsn};
    world->chunks->ops->submit(world->chunks, &group);
    store_settle(world->store);
    return group.err;
}

/* What was refused for its size leaves no gap where what comes behind it would fit. */
static void refuse_behind_a_gap(uint64_t seed)
{
    struct world *world = world_new(seed);
    world_name("store_faults: seed %llu, behind a gap", (unsigned long long)seed);
    world_open_whole(world);
    uint64_t lsn = 1;
    gfs_io_sim_set_capacity(world->disk, gfs_io_sim_used(world->disk) + WORLD_SEGMENT_SIZE / 2);
    while (lsn < 500 && write_over(world, WORLD_SEGMENT_SIZE / 6, lsn) == GFS_OK) {
        lsn++;
    }
    WORLD_CHECK(world, lsn < 500, "%s", "the disk never filled up");
    enum gfs_err err = write_behind(world, lsn, 0);
    WORLD_CHECK(world, err == GFS_OK, "given again, and it fits: %s", gfs_err_text(err));
    err = write_behind(world, lsn + 1, lsn);
    WORLD_CHECK(world, err == GFS_OK, "behind what was given again: %s", gfs_err_text(err));
    err = write_over(world, WORLD_SEGMENT_SIZE / 6, lsn + 2);
    WORLD_CHECK(world, err == GFS_NO_SPACE, "it fits now: %s", gfs_err_text(err));
    err = write_behind(world, lsn + 3, lsn + 2);
    WORLD_CHECK(world, err == GFS_NO_SPACE, "behind a gap: %s", gfs_err_text(err));
    err = write_behind(world, lsn + 4, lsn + 3);
    WORLD_CHECK(world, err == GFS_NO_SPACE, "behind what is behind it: %s", gfs_err_text(err));
    err = write_behind(world, lsn + 5, lsn + 2); /* what is between was refused by all */
    WORLD_CHECK(world, err == GFS_NO_SPACE, "behind a gap again: %s", gfs_err_text(err));
    world_free(world);
}

/* No space for another segment, and none left in the last one: when the edits are trimmed, the
 * segments of dead chunks are used again all the same. */
static void fill_to_the_brim(uint64_t seed)
{
    struct world *world = world_new(seed);
    world_name("store_faults: seed %llu, no page left", (unsigned long long)seed);
    world_open_whole(world);
    uint64_t lsn = 1;
    uint32_t len = WORLD_SEGMENT_SIZE / 6;
    while (lsn < 20 && write_over(world, len, lsn) == GFS_OK) {
        lsn++;
    }
    gfs_io_sim_set_capacity(world->disk, gfs_io_sim_used(world->disk) + WORLD_SEGMENT_SIZE / 2);
    while (lsn < 500 &&
           (write_over(world, len, lsn) == GFS_OK || write_over(world, 0, lsn) == GFS_OK)) {
        lsn++;
    }
    WORLD_CHECK(world, lsn < 500, "%s", "the disk never filled up");
    world->chunks->ops->trim_edits(world->chunks, lsn - 2);
    store_settle(world->store);
    enum gfs_err err = write_over(world, 0, lsn);
    WORLD_CHECK(world, err == GFS_OK, "dead segments are not used again: %s", gfs_err_text(err));
    world_free(world);
}

/* Every chunk answers its own bytes or a fault. */
static void check_reads(struct world *world)
{
    for (uint32_t i = 0; i < world->chunk_count; i++) {
        enum gfs_err err = world_read(world, &world->chunk[i]);
        WORLD_CHECK(world, err == GFS_OK || err == GFS_CORRUPT || err == GFS_NOT_FOUND,
                    "chunk %u: %s", i, gfs_err_text(err));
    }
}

static enum gfs_err next_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    (void)edit;
    uint64_t *last = arg;
    if (lsn != *last + 1) {
        return GFS_RANGE;
    }
    *last = lsn;
    return GFS_OK;
}

/* Edits come without a gap, or replay says that some may be lost. The last batch of all is the
 * exception: after a power loss its damage cannot be told from a write that was torn, so edits may
 * be missing at the end. */
static void check_edits(struct world *world)
{
    uint64_t last = world->trimmed_lsn;
    enum gfs_err err =
        world->chunks->ops->replay_edits(world->chunks, world->trimmed_lsn, next_edit, &last, NULL);
    WORLD_CHECK(world, err == GFS_OK || err == GFS_CORRUPT, "an edit is missing behind %llu: %s",
                (unsigned long long)last, gfs_err_text(err));
}

/* Chooses one of the files seen, each with the same odds. */
struct choice {
    struct world *world;
    const char *dir;
    char path[64];
    uint64_t seen;
};

static enum gfs_err choose(void *arg, const char *file)
{
    struct choice *choice = arg;
    if (world_draw(choice->world, ++choice->seen) == 0) {
        (void)snprintf(choice->path, sizeof choice->path, "%s/%s", choice->dir, file);
    }
    return GFS_OK;
}

static void flip_one(struct world *world)
{
    struct gfs_io *io = gfs_io_sim_io(world->disk);
    struct choice choice = {.world = world, .dir = "log"};
    WORLD_CHECK(world, io->ops->list(io, "log", choose, &choice) == GFS_OK, "%s", "list");
    choice.dir = "bulk";
    WORLD_CHECK(world, io->ops->list(io, "bulk", choose, &choice) == GFS_OK, "%s", "list");
    struct gfs_file *file = NULL;
    struct gfs_file_info info;
    enum gfs_err err = io->ops->file_open(io, choice.path, 0, &file);
    WORLD_CHECK(world, err == GFS_OK, "%s: %s", choice.path, gfs_err_text(err));
    err = io->ops->file_info(file, &info);
    io->ops->file_close(file);
    WORLD_CHECK(world, err == GFS_OK && info.size != 0, "%s is empty", choice.path);
    err = gfs_io_sim_flip(world->disk, choice.path, world_draw(world, info.size),
                          (uint8_t)(1 << world_draw(world, 8)));
    WORLD_CHECK(world, err == GFS_OK, "%s: %s", choice.path, gfs_err_text(err));
}

static void flip_bytes(uint64_t seed)
{
    struct world *world = world_new(seed);
    world_name("store_faults: seed %llu, flipped bytes", (unsigned long long)seed);
    world_open_whole(world);
    world_load(world, GROUPS);
    for (uint32_t i = 0; i < FLIPS; i++) {
        flip_one(world);
        if (i % 20 == 0) {
            check_reads(world);
        }
    }
    world_close(world);
    if (world_open(world, NULL) == GFS_OK) {
        check_edits(world);
        check_reads(world);
    }
    world_free(world);
}

static uint64_t damaged_places(struct world *world)
{
    struct chunk_store_status status;
    world->chunks->ops->status(world->chunks, &status);
    return status.damaged_places;
}

/* All of the log, in small steps. Answers whether it could be read. */
static bool verify(struct world *world)
{
    uint64_t cursor = 0;
    bool is_whole = true;
    uint32_t steps = 0;
    do {
        is_whole =
            world->chunks->ops->verify_log(world->chunks, &cursor, 64 << 10) == GFS_OK && is_whole;
        WORLD_CHECK(world, ++steps < 10000, "%s", "verifying has no end");
    } while (cursor != 0);
    return is_whole;
}

/* Bytes of the log flip, at rest or while the store runs. What was lost is written again, and then
 * the damage leaves with its segments: the next start finds a whole disk. Answers what was
 * repaired. */
static uint64_t repair_damage(uint64_t seed, bool is_running)
{
    struct world *world = world_new(seed);
    world_name("store_faults: seed %llu, repair, %d", (unsigned long long)seed, is_running);
    world_open_whole(world);
    world_load(world, GROUPS);
    world_trim_all(world);
    WORLD_CHECK(world, verify(world), "%s", "unreadable");
    WORLD_CHECK(world, damaged_places(world) == 0, "%s", "damage where none is");
    world_unpin_all(world);
    if (!is_running) {
        world_close(world);
        if (seed % 2 == 0) { /* else what was damaged before the checkpoint is known to the index */
            struct gfs_io *io = gfs_io_sim_io(world->disk);
            enum gfs_err err = io->ops->remove(io, "index.ckpt");
            WORLD_CHECK(world, err == GFS_OK, "%s", gfs_err_text(err));
        }
    }
    for (uint64_t i = 0; i < 1 + seed % 4; i++) {
        flip_one(world);
    }
    if (!is_running && world_open(world, NULL) != GFS_OK) {
        world_free(world);
        return 0;
    }
    world->may_revive = is_running; /* by tombstones that nobody can read any more */
    (void)verify(world);
    uint64_t found = damaged_places(world);
    (void)verify(world);
    WORLD_CHECK(world, damaged_places(world) == found, "%s", "counted twice");
    uint64_t count = world_repair(world);
    world->chunks->ops->repaired(world->chunks);
    WORLD_CHECK(world, damaged_places(world) == 0, "%s", "damage stays for ever");
    world_load(world, GROUPS);
    world_trim_all(world);
    world_unpin_all(world);
    store_settle(world->store);
    lose_power(world);
    count += world_repair(world); /* of the last segment, which was still written to */
    world_trim_all(world);
    world->chunks->ops->repaired(world->chunks);
    world_audit(world);
    world_empty(world);
    world_free(world);
    return count;
}

enum read_fault { READ_FAILS, READS_FAIL, ALL_READS_FAIL, READ_FLIPS };

static void set_read_fault(struct world *world, uint64_t n, enum read_fault fault)
{
    if (fault == READ_FLIPS) {
        gfs_io_sim_flip_read_at(world->disk, n);
    } else {
        uint64_t count = fault == READ_FAILS ? 1 : fault == READS_FAIL ? 5 : UINT32_MAX;
        gfs_io_sim_fail_reads_at(world->disk, n, count);
    }
}

static void end_read_faults(struct world *world)
{
    gfs_io_sim_flip_read_at(world->disk, 0);
    gfs_io_sim_fail_reads_at(world->disk, 0, 0);
}

/* After a power loss the n-th read of the start is bad. The start may fail or show less and say
 * so, but it never takes what it could not read for what was never there: the next one has it all.
 * Answers whether there was such a read. */
static bool misread_once(uint64_t seed, uint64_t n, enum read_fault fault)
{
    struct world *world = world_new(seed);
    world_name("store_faults: seed %llu, read %llu of a start, fault %d", (unsigned long long)seed,
               (unsigned long long)n, (int)fault);
    if (seed % 2 != 0) { /* else the last batch is one that was acknowledged */
        gfs_io_sim_crash_at(world->disk, 60 + seed * 37 % 100);
    }
    if (world_open(world, NULL) == GFS_OK) {
        world_load(world, seed % 2 != 0 ? GROUPS : GROUPS / 3);
    }
    gfs_io_sim_crash_at(world->disk, 1); /* closing has no time to write anything */
    world_close(world);
    gfs_io_sim_restart(world->disk);
    uint64_t before = gfs_io_sim_reads(world->disk);
    set_read_fault(world, n, fault);
    enum gfs_err err = world_open(world, NULL);
    bool was_there = gfs_io_sim_reads(world->disk) >= before + n;
    end_read_faults(world);
    if (err == GFS_OK) {
        struct store_stats stats;
        store_stats(world->store, &stats);
        world->may_revive = stats.damaged_places != 0;
        if (world_audit_damaged(world)) {
            world_load(world, 8);
        }
    }
    lose_power(world);
    world_audit(world);
    world_load(world, 8);
    world_empty(world);
    world_free(world);
    return was_there;
}

/* Reads are bad while everything is under way: faults are answered, wrong bytes never. */
static void misread_running(uint64_t seed, enum read_fault fault)
{
    struct world *world = world_new(seed);
    world_name("store_faults: seed %llu, reads while running, fault %d", (unsigned long long)seed,
               (int)fault);
    world->has_read_faults = true;
    world_open_whole(world);
    for (uint32_t i = 0; i < 20; i++) {
        set_read_fault(world, 1 + world_draw(world, 12), fault);
        world_load(world, 4);
        store_settle(world->store);
    }
    end_read_faults(world);
    lose_power(world);
    world_audit(world);
    world_free(world);
}

static uint64_t misread_all(uint64_t seed)
{
    uint64_t count = 0;
    for (int fault = READ_FAILS; fault <= READ_FLIPS; fault++) {
        for (uint64_t variant = 0; variant < (fault == READ_FLIPS ? FLIP_VARIANTS : 1); variant++) {
            for (uint64_t n = 1; misread_once(seed + variant * 1001, n, (enum read_fault)fault);
                 n++) {
                count++;
            }
        }
    }
    misread_running(seed, READ_FAILS);
    misread_running(seed, READ_FLIPS);
    return count;
}

int main(void)
{
    gfs_log_set_level(GFS_LOG_ERROR); /* files that were written anew */
    uint64_t first = world_knob("GOODFS_SIM_FIRST", 1);
    uint64_t seeds = world_knob("GOODFS_SIM_SEEDS", 2);
    uint64_t faults = 0;
    uint64_t misreads = 0;
    uint64_t repairs = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        for (uint64_t n = 1; fail_once(seed, n, GFS_IO); n++) {
            faults++;
        }
        for (uint64_t n = 1; fail_once(seed, n, GFS_NO_SPACE); n++) {
            faults++;
        }
        fill_up(seed);
        fill_to_the_brim(seed);
        refuse_behind_a_gap(seed);
        flip_bytes(seed);
        misreads += misread_all(seed);
        for (uint64_t variant = 0; variant < REPAIRS; variant++) {
            repairs += repair_damage(seed + variant * 1001, false);
            repairs += repair_damage(seed + variant * 1001, true);
        }
    }
    printf("store_faults: %llu loads, %llu failed changes, %llu bad reads, %llu "
           "chunks repaired\n",
           (unsigned long long)seeds, (unsigned long long)faults, (unsigned long long)misreads,
           (unsigned long long)repairs);
    return faults == 0 || misreads == 0 || repairs == 0;
}
