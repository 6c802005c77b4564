/* Disks that fail reads, here or there: what they still give is read, and nobody is told that it is
 * lost. */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_pin.h"
#include "tests/unit/pool/data_rig.h"

struct written {
    struct chunk_id id;
    char *bytes;
    size_t len;
};

static struct written write_chunk(struct data_rig *rig, size_t len)
{
    struct written chunk = {data_rig_next(rig), gfs_alloc(len), len};
    data_rig_fill(chunk.bytes, len, len);
    cr_assert_eq(data_rig_write(rig, chunk.id, chunk.bytes, len, 1 << 20, 0), GFS_OK);
    return chunk;
}

/* A disk with some blocks that cannot be read has the others still: each is asked for when nobody
 * else has it. */
Test(pool_read_errors, blocks_beside_those_that_cannot_be_read_are_read)
{
    static const char *const profiles[] = {"ec:2+1", "replica:2"};
    for (unsigned p = 0; p < GFS_COUNT(profiles); p++) {
        struct data_rig rig;
        data_rig_init(&rig, profiles[p], 0);
        unsigned k = rig.profile.kind == POOL_EC ? 2 : 1;
        struct written chunk = write_chunk(&rig, (size_t)k * POOL_CELL * 12);
        for (unsigned i = 0; i < rig.width; i++) {
            disk_double_set_cold(rig.disks[i], true);
        }
        struct chunk_id first = data_rig_fragment(&rig, chunk.id, 0);
        cr_assert(disk_double_wear(rig.disks[0], first, 0));
        cr_assert(disk_double_wear(rig.disks[0], first, 1));
        cr_assert(disk_double_wear(rig.disks[0], first, 4));
        for (unsigned block = 2; block < 12; block++) {
            if (block != 4) {
                cr_assert(disk_double_flip(rig.disks[1], data_rig_fragment(&rig, chunk.id, 1),
                                           block * POOL_CELL));
            }
        }
        enum gfs_err err = data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len);
        cr_expect_eq(err, GFS_OK, "%s: %s", profiles[p], gfs_err_name(err));
        free(chunk.bytes);
        data_rig_fini(&rig);
    }
}

/* One row of a chunk of ec:4+2 with so many cells that cannot be read and so many damaged ones. */
static enum gfs_err read_with(const char *profile, unsigned worn, unsigned flipped, bool is_cold)
{
    struct data_rig rig;
    data_rig_init(&rig, profile, 0);
    struct written chunk = write_chunk(&rig, 4 * POOL_CELL);
    for (unsigned i = 0; i < rig.width; i++) {
        struct chunk_id id = data_rig_fragment(&rig, chunk.id, i);
        disk_double_set_cold(rig.disks[i], is_cold);
        if (i < worn) {
            cr_assert(disk_double_wear(rig.disks[i], id, 0));
        } else if (i < worn + flipped) {
            cr_assert(disk_double_flip(rig.disks[i], id, 5));
        }
    }
    enum gfs_err err = data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len);
    free(chunk.bytes);
    data_rig_fini(&rig);
    return err;
}

/* They may only have lost their cable. Lost is what is damaged on too many others. */
Test(pool_read_errors, what_disks_fail_to_read_is_out_of_reach_and_not_called_lost)
{
    for (unsigned i = 0; i < 2; i++) {
        bool is_cold = i == 1;
        cr_expect_eq(read_with("ec:4+2", 3, 0, is_cold), GFS_UNREACHABLE);
        cr_expect_eq(read_with("ec:4+2", 1, 2, is_cold), GFS_UNREACHABLE);
        cr_expect_eq(read_with("ec:4+2", 1, 3, is_cold), GFS_CORRUPT);
        cr_expect_eq(read_with("ec:4+2", 0, 3, is_cold), GFS_CORRUPT);
        cr_expect_eq(read_with("replica:3", 3, 0, is_cold), GFS_UNREACHABLE);
        cr_expect_eq(read_with("replica:3", 1, 2, is_cold), GFS_UNREACHABLE);
        cr_expect_eq(read_with("replica:1", 1, 0, is_cold), GFS_UNREACHABLE);
        cr_expect_eq(read_with("replica:1", 0, 1, is_cold), GFS_CORRUPT);
    }
}

/* A copy that is longer than the others was pinned first: what was told stays so, and when it
 * cannot be read, nothing of the others is taken for it. */
Test(pool_read_errors, a_copy_of_an_odd_length_is_no_other_chunk)
{
    struct data_rig rig;
    data_rig_init(&rig, "replica:3", 0);
    struct written chunk = write_chunk(&rig, 4 * POOL_CELL);
    unsigned first = (unsigned)((chunk.id.hi ^ chunk.id.lo >> CHUNK_SLOT_BITS) % 3);
    atomic_store(&rig.pool_disks[first]->is_dropped, true);
    cr_assert_eq(data_rig_write(&rig, chunk.id, chunk.bytes, POOL_CELL, POOL_CELL, 0), GFS_OK);
    atomic_store(&rig.pool_disks[first]->is_dropped, false);
    cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK, "the odd one");
    cr_assert(disk_double_flip(rig.disks[first], chunk.id, 3 * POOL_CELL));
    cr_expect_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_CORRUPT);
    free(chunk.bytes);
    data_rig_fini(&rig);
}

/* ---- everything at once ---- */

enum { ROWS = 6, TRIALS = 400 };

/* What is wrong with a chunk, by what was done to it. Masks of slots. */
struct faults {
    uint32_t missing, away, last; /* last: dropped for its writes */
    uint32_t flipped[ROWS], worn[ROWS];
};

static uint32_t draw(uint64_t *seed, uint32_t below)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*seed >> 33) % below;
}

static void do_harm(struct data_rig *rig, struct chunk_id id, uint64_t *seed, struct faults *ret)
{
    *ret = (struct faults){0};
    uint32_t rate = 3 + draw(seed, 12);
    for (unsigned i = 0; i < rig->width; i++) {
        struct chunk_id own = data_rig_fragment(rig, id, i);
        disk_double_set_cold(rig->disks[i], draw(seed, 2) == 0);
        for (unsigned row = 0; row < ROWS; row++) {
            if (draw(seed, rate) == 0) {
                cr_assert(disk_double_wear(rig->disks[i], own, row));
                ret->worn[row] |= 1U << i;
            } else if (draw(seed, rate) == 0) {
                cr_assert(disk_double_flip(rig->disks[i], own, row * POOL_CELL + 5));
                ret->flipped[row] |= 1U << i;
            }
        }
        uint32_t what = draw(seed, 4 * rate);
        ret->missing |= what == 0 && disk_double_drop(rig->disks[i], own) ? 1U << i : 0;
        ret->away |= what == 1 ? 1U << i : 0;
        ret->last |= what == 2 ? 1U << i : 0;
        atomic_store(&rig->pool_disks[i]->is_dropped, what == 1 || what == 2);
        atomic_store(&rig->pool_disks[i]->is_distrusted, what == 1);
    }
}

static uint32_t good_in(const struct data_rig *rig, const struct faults *faults, unsigned row)
{
    uint32_t all = (uint32_t)((1ULL << rig->width) - 1);
    return all & ~(faults->missing | faults->away | faults->flipped[row] | faults->worn[row]);
}

static unsigned count_of(uint32_t mask)
{
    return (unsigned)__builtin_popcount(mask);
}

/* Cells [first, end) of the chunk are wanted. */
static void expect_read(struct data_rig *rig, const struct written *chunk,
                        const struct faults *faults, unsigned first, unsigned end)
{
    unsigned k = rig->profile.kind == POOL_EC ? rig->profile.k : 1;
    uint32_t pinned = (uint32_t)((1ULL << rig->width) - 1) & ~(faults->missing | faults->away);
    bool is_there = true, may_be_back = (faults->away | faults->last) != 0;
    for (unsigned cell = first; cell < end; cell++) {
        uint32_t good = good_in(rig, faults, cell / k);
        bool has_own = rig->profile.kind == POOL_EC && (good >> cell % k & 1) != 0;
        is_there = is_there && (count_of(good) >= k || (has_own && count_of(pinned) >= k));
        may_be_back = may_be_back || faults->worn[cell / k] != 0;
    }
    enum gfs_err err = data_rig_check_range(rig, chunk->id, chunk->bytes, chunk->len,
                                            first * POOL_CELL, (end - first) * POOL_CELL);
    bool is_lost = err == GFS_CORRUPT || (err == GFS_NOT_FOUND && !may_be_back);
    if (is_there) {
        cr_assert_eq(err, GFS_OK, "cells %u to %u: %s", first, end, gfs_err_name(err));
    } else if (err != GFS_OK) { /* each in its own place may be enough */
        cr_assert(err == GFS_UNREACHABLE ? may_be_back : is_lost, "%s", gfs_err_name(err));
    }
}

/* Of each fragment that is not on a disk in use, or is bad there. */
static void expect_repair(struct data_rig *rig, const struct written *chunk,
                          const struct faults *faults, unsigned slot)
{
    unsigned k = rig->profile.kind == POOL_EC ? rig->profile.k : 1;
    uint32_t others = (uint32_t)((1ULL << rig->width) - 1) & ~(faults->missing | faults->away);
    bool is_there = count_of(others & ~(1U << slot)) >= k;
    for (unsigned row = 0; row < ROWS; row++) {
        uint32_t good = good_in(rig, faults, row);
        is_there = is_there && (count_of(good) >= k || (good >> slot & 1) != 0);
    }
    struct pool_view *view = pool_view_get(&rig->pool);
    struct pool_fragment *fragment = NULL;
    enum gfs_err err =
        pool_fragment_open(&rig->pool, view, chunk->id, slot, (uint16_t)slot, &fragment);
    pool_view_put(view);
    char *bytes = gfs_alloc(ROWS * POOL_CELL);
    size_t len = 1;
    for (size_t at = 0; err == GFS_OK && len != 0; at += len) {
        err = pool_fragment_read(fragment, bytes, ROWS * POOL_CELL, &len);
        for (size_t i = 0; err == GFS_OK && i < len / POOL_CELL && slot < k; i++) {
            unsigned column = k == 1 ? 0 : slot;
            size_t row = at / POOL_CELL + i;
            cr_assert(memcmp(bytes + i * POOL_CELL, chunk->bytes + (row * k + column) * POOL_CELL,
                             POOL_CELL) == 0);
        }
    }
    cr_assert(err == GFS_OK ? true : !is_there, "slot %u: %s", slot, gfs_err_name(err));
    free(bytes);
    pool_fragment_close(fragment);
}

Test(pool_read_errors, whatever_is_wrong_what_can_be_had_is_read_and_never_other_bytes)
{
    static const char *const profiles[] = {"ec:2+1",    "ec:2+2",    "ec:4+2",
                                           "replica:3", "replica:2", "ec:1+2"};
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        uint64_t seed = trial;
        struct data_rig rig;
        data_rig_init(&rig, profiles[trial % GFS_COUNT(profiles)], 0);
        unsigned k = rig.profile.kind == POOL_EC ? rig.profile.k : 1;
        struct written chunk = write_chunk(&rig, (size_t)k * POOL_CELL * ROWS);
        struct faults faults;
        do_harm(&rig, chunk.id, &seed, &faults);
        unsigned cells = ROWS * k, cell = draw(&seed, cells);
        expect_read(&rig, &chunk, &faults, 0, cells);
        expect_read(&rig, &chunk, &faults, draw(&seed, cells), cells);
        expect_read(&rig, &chunk, &faults, cell, cell + 1);
        expect_repair(&rig, &chunk, &faults, draw(&seed, rig.width));
        free(chunk.bytes);
        data_rig_fini(&rig);
    }
}

/* ---- disks that come and go under a download ---- */

enum { IN_USE, FORMER, AWAY, STEPS = 3000 };

struct coming {
    struct data_rig rig;
    unsigned states[POOL_WIDTH_MAX];
    atomic_uint closed;
};

static void count_close(void *arg, struct chunk_store *store)
{
    (void)store;
    atomic_fetch_add(&((struct coming *)arg)->closed, 1);
}

/* A view by the states. */
static void force(struct coming *coming)
{
    struct data_rig *rig = &coming->rig;
    struct pool_disk *disks[POOL_DISKS_MAX] = {NULL};
    for (unsigned i = 0; i < rig->width; i++) {
        disks[i] = coming->states[i] == IN_USE
                       ? pool_disk_ref(rig->pool_disks[i])
                       : pool_disk_new(&rig->pool, (uint16_t)i, rig->pool_disks[i]->id, "", NULL);
    }
    struct pool_view *view = pool_view_new(&rig->pool, pool_map_copy(rig->pool.view->map), disks);
    for (unsigned i = 0; i < rig->width; i++) {
        pool_disk_unref(disks[i]);
        if (coming->states[i] == FORMER) {
            view->fallbacks[i] = pool_disk_ref(rig->pool_disks[i]);
        }
    }
    pool_view_set(&rig->pool, view);
    pool_disk_reap(&rig->pool);
}

/* Nobody keeps it open, and it is opened anew when it returns. */
static void move_on(struct coming *coming, unsigned disk, bool is_kept)
{
    struct data_rig *rig = &coming->rig;
    struct pool_disk *before = rig->pool_disks[disk];
    if (coming->states[disk] == IN_USE && is_kept) {
        atomic_store(&before->is_dropped, true);
        coming->states[disk] = FORMER;
    } else if (coming->states[disk] != AWAY) {
        atomic_store(&before->is_dropped, true);
        atomic_store(&before->is_distrusted, !is_kept);
        coming->states[disk] = AWAY;
    } else {
        rig->pool_disks[disk] = pool_disk_new(&rig->pool, before->number, before->id, "",
                                              disk_double_store(rig->disks[disk]));
        pool_disk_unref(before);
        coming->states[disk] = IN_USE;
    }
    force(coming);
    if (coming->states[disk] == AWAY) {
        unsigned closed = atomic_load(&coming->closed);
        rig->pool_disks[disk] = pool_disk_new(&rig->pool, before->number, before->id, "", NULL);
        int64_t until_ns = gfs_monotonic_ns() + 10000000000;
        pool_pin_leave_disk(&rig->pool, before);
        while (atomic_load(&before->references) > 1 && gfs_monotonic_ns() < until_ns) {
            (void)sched_yield(); /* a read that was not needed is about to end */
            pool_pin_leave_disk(&rig->pool, before);
        }
        pool_disk_unref(before);
        pool_disk_reap(&rig->pool);
        cr_assert_eq(atomic_load(&coming->closed), closed + 1, "nobody keeps it open");
    }
}

static void download(const char *profile, uint64_t seed)
{
    static struct coming coming;
    coming = (struct coming){0};
    struct data_rig *rig = &coming.rig;
    data_rig_init(rig, profile, 0);
    rig->pool.options.race_ms = 10000; /* reads are waited for */
    rig->pool.options.driver.arg = &coming;
    rig->pool.options.driver.close = count_close;
    unsigned k = rig->profile.kind == POOL_EC ? rig->profile.k : 1;
    struct written chunk = write_chunk(rig, (size_t)k * POOL_CELL * ROWS);
    char *bytes = gfs_alloc(POOL_CELL);
    struct chunk_pin pin;
    cr_assert_eq(pool_pin(&rig->pool.base, chunk.id, &pin), GFS_OK);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned disk = draw(&seed, rig->width);
        disk_double_set_cold(rig->disks[disk], draw(&seed, 2) == 0);
        move_on(&coming, disk, draw(&seed, 2) == 0);
        unsigned away = 0;
        for (unsigned i = 0; i < rig->width; i++) {
            away += coming.states[i] == AWAY;
        }
        uint32_t at = draw(&seed, ROWS * k) * POOL_CELL;
        enum gfs_err err = pool_read(&rig->pool.base, &pin, at, POOL_CELL, bytes, 0);
        if (away <= rig->width - k) {
            cr_assert_eq(err, GFS_OK, "%s step %u: %s", profile, step, gfs_err_name(err));
        } else {
            cr_assert(err == GFS_OK || err == GFS_UNREACHABLE, "%s", gfs_err_name(err));
        }
        cr_assert(err != GFS_OK || memcmp(bytes, chunk.bytes + at, POOL_CELL) == 0);
    }
    pool_unpin(&rig->pool.base, &pin);
    for (unsigned i = 0; i < rig->width; i++) {
        struct disk_double_counts counts;
        disk_double_counts(rig->disks[i], &counts);
        cr_expect_eq(counts.pins_held, 0);
    }
    free(bytes);
    free(chunk.bytes);
    data_rig_fini(rig);
    for (unsigned i = 0; i < rig->width; i++) {
        disk_double_free(rig->disks[i]);
    }
}

Test(pool_read_errors, a_download_goes_on_while_disks_come_and_go)
{
    static const char *const profiles[] = {"ec:2+1", "ec:4+2", "replica:3", "ec:1+2"};
    for (unsigned i = 0; i < GFS_COUNT(profiles); i++) {
        download(profiles[i], i);
    }
}
