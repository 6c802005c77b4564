/* The simulated disk itself: what it keeps, what it may lose, what it answers. */
#include <criterion/criterion.h>

#include "libgoodfs/mem.h"
#include "tests/sim/io_sim.h"

enum { SEEDS = 200, LEN = 4096, CAPACITY = 1 << 20 };

struct rig {
    struct gfs_io_sim *sim;
    struct gfs_io *io;
    const struct gfs_io_ops *ops;
    char bytes[LEN]; /* what is written */
};

static struct rig rig_new(uint64_t seed)
{
    struct rig rig = {.sim = gfs_io_sim_new(seed, CAPACITY)};
    rig.io = gfs_io_sim_io(rig.sim);
    rig.ops = rig.io->ops;
    memset(rig.bytes, 'x', LEN);
    return rig;
}

static struct gfs_file *open_file(struct rig *rig, const char *path)
{
    struct gfs_file *file = NULL;
    cr_assert_eq(rig->ops->file_open(rig->io, path, GFS_IO_CREATE, &file), GFS_OK);
    return file;
}

/* A file that is wholly durable. */
static struct gfs_file *durable_file(struct rig *rig, const char *path)
{
    struct gfs_file *file = open_file(rig, path);
    cr_assert_eq(rig->ops->write(file, rig->bytes, LEN, 0), GFS_OK);
    cr_assert_eq(rig->ops->flush(file), GFS_OK);
    cr_assert_eq(rig->ops->sync_dir(rig->io, "."), GFS_OK);
    return file;
}

/* How many of the file's bytes are `what`; 0 when there is no such file. */
static size_t count_of(struct rig *rig, const char *path, char what)
{
    char bytes[LEN];
    size_t len = 0;
    enum gfs_err err = gfs_io_load(rig->io, path, bytes, LEN, &len);
    cr_assert(err == GFS_OK || err == GFS_NOT_FOUND);
    size_t count = 0;
    for (size_t i = 0; i < len; i++) {
        count += bytes[i] == what;
    }
    return count;
}

static void note(struct gfs_io_op *op)
{
    op->next = op; /* done */
}

Test(io_sim, what_was_flushed_and_synced_survives_a_power_loss)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig = rig_new(seed);
        rig.ops->file_close(durable_file(&rig, "kept"));
        gfs_io_sim_restart(rig.sim);
        cr_assert_eq(count_of(&rig, "kept", 'x'), LEN);
        gfs_io_sim_free(rig.sim);
    }
}

Test(io_sim, of_what_was_not_flushed_any_sectors_survive)
{
    size_t none = 0;
    size_t some = 0;
    size_t all = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig = rig_new(seed);
        struct gfs_file *file = durable_file(&rig, "file");
        memset(rig.bytes, 'y', LEN);
        cr_assert_eq(rig.ops->write(file, rig.bytes, LEN, 0), GFS_OK);
        rig.ops->file_close(file);
        cr_assert_eq(count_of(&rig, "file", 'y'), LEN);
        gfs_io_sim_restart(rig.sim);
        size_t count = count_of(&rig, "file", 'y');
        cr_assert_eq(count % 512, 0);
        cr_assert_eq(count_of(&rig, "file", 'x'), LEN - count);
        none += count == 0;
        all += count == LEN;
        some += count != 0 && count != LEN;
        gfs_io_sim_free(rig.sim);
    }
    cr_expect_gt(none, 0);
    cr_expect_gt(some, 0);
    cr_expect_gt(all, 0);
}

Test(io_sim, the_write_that_runs_is_torn_down_to_the_byte)
{
    size_t in_sector = 0;
    size_t all = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig = rig_new(seed);
        struct gfs_file *file = durable_file(&rig, "file");
        memset(rig.bytes, 'y', LEN);
        gfs_io_sim_crash_at(rig.sim, 1);
        cr_assert_eq(rig.ops->write(file, rig.bytes, LEN, 0), GFS_IO);
        cr_assert(gfs_io_sim_has_crashed(rig.sim));
        cr_assert_eq(rig.ops->flush(file), GFS_IO);
        rig.ops->file_close(file);
        gfs_io_sim_resume(rig.sim); /* nothing is lost yet: the cut itself shows */
        size_t count = count_of(&rig, "file", 'y');
        in_sector += count % 512 != 0;
        all += count == LEN;
        gfs_io_sim_free(rig.sim);
    }
    cr_expect_gt(in_sector, 0);
    cr_expect_gt(all, 0);
}

Test(io_sim, what_was_submitted_may_be_there_after_a_crash)
{
    size_t there = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig = rig_new(seed);
        struct gfs_file *file = durable_file(&rig, "file");
        struct gfs_file *other = durable_file(&rig, "other");
        memset(rig.bytes, 'y', LEN);
        struct gfs_io_op op = {
            .kind = GFS_IO_WRITE_DURABLE, .file = file, .ptr = rig.bytes, .len = LEN, .done = note};
        rig.ops->submit(rig.io, &op);
        gfs_io_sim_crash_at(rig.sim, 1);
        cr_assert_eq(rig.ops->flush(other), GFS_IO);
        while (op.next == NULL) {
            cr_assert_eq(rig.ops->wait(rig.io, false), GFS_OK);
        }
        cr_assert_eq(op.result, GFS_IO);
        rig.ops->file_close(file);
        rig.ops->file_close(other);
        gfs_io_sim_restart(rig.sim);
        there += count_of(&rig, "file", 'y') != 0;
        gfs_io_sim_free(rig.sim);
    }
    cr_expect_gt(there, 0);
    cr_expect_lt(there, SEEDS);
}

Test(io_sim, a_durable_write_is_durable_alone)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig = rig_new(seed);
        struct gfs_file *file = durable_file(&rig, "file");
        memset(rig.bytes, 'y', LEN);
        struct gfs_io_op op = {.kind = GFS_IO_WRITE_DURABLE,
                               .file = file,
                               .ptr = rig.bytes,
                               .len = 512,
                               .offset = 1024,
                               .done = note};
        rig.ops->submit(rig.io, &op);
        while (op.next == NULL) {
            cr_assert_eq(rig.ops->wait(rig.io, false), GFS_OK);
        }
        cr_assert_eq(op.result, GFS_OK);
        rig.ops->file_close(file);
        gfs_io_sim_restart(rig.sim);
        cr_assert_eq(count_of(&rig, "file", 'y'), 512);
        gfs_io_sim_free(rig.sim);
    }
}

Test(io_sim, names_that_were_not_synced_are_kept_or_dropped)
{
    size_t created = 0;
    size_t renamed = 0;
    size_t removed = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig = rig_new(seed);
        rig.ops->file_close(durable_file(&rig, "from"));
        rig.ops->file_close(durable_file(&rig, "gone"));
        rig.ops->file_close(open_file(&rig, "new"));
        cr_assert_eq(rig.ops->rename(rig.io, "from", "to"), GFS_OK);
        cr_assert_eq(rig.ops->remove(rig.io, "gone"), GFS_OK);
        cr_assert_eq(count_of(&rig, "from", 'x'), 0);
        gfs_io_sim_restart(rig.sim);
        struct gfs_file *file = NULL;
        if (rig.ops->file_open(rig.io, "new", 0, &file) == GFS_OK) {
            created++;
            rig.ops->file_close(file);
        }
        size_t is_renamed = count_of(&rig, "to", 'x') == LEN;
        cr_assert_eq(count_of(&rig, "from", 'x'), is_renamed ? 0 : LEN, "one of both names");
        renamed += is_renamed;
        removed += count_of(&rig, "gone", 'x') == 0;
        gfs_io_sim_free(rig.sim);
    }
    cr_expect(created > 0 && created < SEEDS);
    cr_expect(renamed > 0 && renamed < SEEDS);
    cr_expect(removed > 0 && removed < SEEDS);
}

Test(io_sim, the_end_of_a_process_loses_nothing_and_makes_nothing_durable)
{
    size_t lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig = rig_new(seed);
        struct gfs_file *file = open_file(&rig, "file");
        cr_assert_eq(rig.ops->write(file, rig.bytes, LEN, 0), GFS_OK);
        gfs_io_sim_crash_at(rig.sim, 1);
        cr_assert_eq(rig.ops->sync_dir(rig.io, "."), GFS_IO);
        rig.ops->file_close(file);
        gfs_io_sim_resume(rig.sim);
        cr_assert_eq(count_of(&rig, "file", 'x'), LEN);
        gfs_io_sim_restart(rig.sim);
        lost += count_of(&rig, "file", 'x') != LEN;
        gfs_io_sim_free(rig.sim);
    }
    cr_expect_gt(lost, 0);
}

Test(io_sim, what_a_failed_flush_covered_may_never_be_written)
{
    size_t lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig = rig_new(seed);
        struct gfs_file *file = durable_file(&rig, "file");
        memset(rig.bytes, 'y', LEN);
        cr_assert_eq(rig.ops->write(file, rig.bytes, LEN, 0), GFS_OK);
        gfs_io_sim_fail_at(rig.sim, 1, GFS_IO);
        cr_assert_eq(rig.ops->flush(file), GFS_IO);
        cr_assert_eq(rig.ops->flush(file), GFS_OK, "the second one lies");
        cr_assert_eq(count_of(&rig, "file", 'y'), LEN);
        rig.ops->file_close(file);
        gfs_io_sim_restart(rig.sim);
        lost += count_of(&rig, "file", 'y') != LEN;
        gfs_io_sim_free(rig.sim);
    }
    cr_expect_gt(lost, 0);
}

Test(io_sim, a_change_that_fails_answers_so_and_does_a_part_at_most)
{
    struct rig rig = rig_new(1);
    struct gfs_file *file = durable_file(&rig, "file");
    memset(rig.bytes, 'y', LEN);
    for (uint64_t i = 0; i < 20; i++) {
        gfs_io_sim_fail_at(rig.sim, 1, i % 2 == 0 ? GFS_IO : GFS_NO_SPACE);
        cr_assert_eq(rig.ops->write(file, rig.bytes, LEN, 0), i % 2 == 0 ? GFS_IO : GFS_NO_SPACE);
    }
    gfs_io_sim_fail_at(rig.sim, 1, GFS_IO);
    cr_expect_eq(rig.ops->rename(rig.io, "file", "other"), GFS_IO);
    cr_expect_eq(rig.ops->rename(rig.io, "file", "other"), GFS_OK);
    rig.ops->file_close(file);
    gfs_io_sim_free(rig.sim);
}

Test(io_sim, a_full_disk_refuses_and_gives_space_back)
{
    struct rig rig = rig_new(1);
    struct gfs_file *file = open_file(&rig, "file");
    cr_expect_eq(rig.ops->allocate(file, 0, CAPACITY - LEN), GFS_OK);
    cr_expect_eq(gfs_io_sim_used(rig.sim), CAPACITY - LEN);
    cr_expect_eq(rig.ops->allocate(file, 0, CAPACITY + LEN), GFS_NO_SPACE);
    cr_expect_eq(rig.ops->write(file, rig.bytes, LEN, CAPACITY - LEN), GFS_OK);
    cr_expect_eq(rig.ops->write(file, rig.bytes, LEN, CAPACITY), GFS_NO_SPACE);
    cr_expect_eq(rig.ops->write(file, rig.bytes, LEN, 0), GFS_OK, "over what is there");
    cr_expect_eq(rig.ops->punch(file, 0, CAPACITY / 2), GFS_OK);
    cr_expect_eq(gfs_io_sim_used(rig.sim), CAPACITY / 2);
    rig.ops->file_close(file);
    cr_expect_eq(rig.ops->remove(rig.io, "file"), GFS_OK);
    cr_expect_eq(rig.ops->sync_dir(rig.io, "."), GFS_OK);
    cr_expect_eq(gfs_io_sim_used(rig.sim), 0);
    gfs_io_sim_free(rig.sim);
}

Test(io_sim, bad_reads_are_bad_once)
{
    struct rig rig = rig_new(1);
    struct gfs_file *file = durable_file(&rig, "file");
    char bytes[LEN];
    gfs_io_sim_fail_reads_at(rig.sim, 2, 2);
    cr_expect_eq(gfs_io_read_exact(file, bytes, LEN, 0), GFS_OK);
    cr_expect_eq(gfs_io_read_exact(file, bytes, LEN, 0), GFS_IO);
    cr_expect_eq(gfs_io_read_exact(file, bytes, LEN, 0), GFS_IO);
    cr_expect_eq(gfs_io_read_exact(file, bytes, LEN, 0), GFS_OK);
    gfs_io_sim_flip_read_at(rig.sim, 1);
    cr_expect_eq(gfs_io_read_exact(file, bytes, LEN, 0), GFS_OK);
    cr_expect_neq(memcmp(bytes, rig.bytes, LEN), 0);
    cr_expect_eq(gfs_io_read_exact(file, bytes, LEN, 0), GFS_OK);
    cr_expect_eq(memcmp(bytes, rig.bytes, LEN), 0);
    cr_expect_eq(gfs_io_sim_flip(rig.sim, "file", LEN, 1), GFS_RANGE);
    cr_expect_eq(gfs_io_sim_flip(rig.sim, "none", 0, 1), GFS_NOT_FOUND);
    cr_expect_eq(gfs_io_sim_flip(rig.sim, "file", 0, 1), GFS_OK);
    cr_expect_eq(gfs_io_read_exact(file, bytes, LEN, 0), GFS_OK);
    cr_expect_eq(bytes[0], 'x' ^ 1);
    rig.ops->file_close(file);
    gfs_io_sim_free(rig.sim);
}

Test(io_sim, equal_seeds_lose_the_same)
{
    size_t counts[2];
    for (size_t i = 0; i < 2; i++) {
        struct rig rig = rig_new(77);
        struct gfs_file *file = durable_file(&rig, "file");
        memset(rig.bytes, 'y', LEN);
        cr_assert_eq(rig.ops->write(file, rig.bytes, LEN, 0), GFS_OK);
        rig.ops->file_close(file);
        gfs_io_sim_restart(rig.sim);
        counts[i] = count_of(&rig, "file", 'y');
        gfs_io_sim_free(rig.sim);
    }
    cr_expect_eq(counts[0], counts[1]);
}
