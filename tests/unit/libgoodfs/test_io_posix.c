/* The contract of libgoodfs/io.h on a real directory, with the ring and without. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libgoodfs/io.h"
#include "libgoodfs/mem.h"

enum { PAGE = 4096 };

struct rig {
    char dir[64];
    struct gfs_io *io;
    const struct gfs_io_ops *ops;
};

static void rig_init(struct rig *rig, bool use_ring)
{
    (void)snprintf(rig->dir, sizeof rig->dir, "/tmp/goodfs-io-XXXXXX");
    cr_assert_not_null(mkdtemp(rig->dir));
    struct gfs_error error = {0};
    cr_assert_eq(gfs_io_posix_open(rig->dir, use_ring, &rig->io, &error), GFS_OK, "%s", error.text);
    rig->ops = rig->io->ops;
}

static void rig_fini(struct rig *rig, const char *const *names, size_t count)
{
    char path[128];
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(rig->ops->remove(rig->io, names[i]), GFS_OK, "%s", names[i]);
    }
    rig->ops->close(rig->io);
    (void)snprintf(path, sizeof path, "%s", rig->dir);
    (void)rmdir(path);
}

static struct gfs_file *open_file(struct rig *rig, const char *path, unsigned flags)
{
    struct gfs_file *file = NULL;
    cr_assert_eq(rig->ops->file_open(rig->io, path, flags, &file), GFS_OK);
    return file;
}

Test(io_posix, names_are_made_renamed_listed_and_removed)
{
    struct rig rig;
    rig_init(&rig, false);
    struct gfs_file *file = NULL;
    cr_expect_eq(rig.ops->file_open(rig.io, "none", 0, &file), GFS_NOT_FOUND);
    rig.ops->file_close(open_file(&rig, "a", GFS_IO_CREATE));
    cr_expect_eq(rig.ops->rename(rig.io, "a", "b"), GFS_OK);
    cr_expect_eq(rig.ops->rename(rig.io, "a", "c"), GFS_NOT_FOUND);
    cr_expect_eq(rig.ops->sync_dir(rig.io, "."), GFS_OK);
    cr_expect_eq(rig.ops->file_open(rig.io, "a", 0, &file), GFS_NOT_FOUND);
    cr_expect_eq(rig.ops->remove(rig.io, "a"), GFS_NOT_FOUND);
    const char *const names[] = {"b"};
    rig_fini(&rig, names, 1);
}

Test(io_posix, bytes_are_read_as_they_were_written_and_a_file_ends)
{
    struct rig rig;
    rig_init(&rig, false);
    struct gfs_file *file = open_file(&rig, "f", GFS_IO_CREATE);
    cr_expect_eq(rig.ops->write(file, "hello", 5, 3), GFS_OK);
    char bytes[16] = {0};
    cr_expect_eq(gfs_io_read_exact(file, bytes, 8, 0), GFS_OK);
    cr_expect_eq(memcmp(bytes, "\0\0\0hello", 8), 0);
    cr_expect_eq(gfs_io_read_exact(file, bytes, 9, 0), GFS_CORRUPT);
    cr_expect_eq(rig.ops->truncate(file, 5), GFS_OK);
    struct gfs_file_info info;
    cr_expect_eq(rig.ops->file_info(file, &info), GFS_OK);
    cr_expect_eq(info.size, 5u);
    rig.ops->file_close(file);
    const char *const names[] = {"f"};
    rig_fini(&rig, names, 1);
}

Test(io_posix, a_read_of_the_medium_is_of_any_bytes_and_ends_with_the_file)
{
    enum { LEN = 20001 };
    struct rig rig;
    rig_init(&rig, false);
    struct gfs_file *file = open_file(&rig, "f", GFS_IO_CREATE | GFS_IO_DIRECT);
    GFS_FREE char *bytes = gfs_alloc(LEN);
    GFS_FREE char *got = gfs_alloc(LEN);
    for (size_t i = 0; i < LEN; i++) {
        bytes[i] = (char)(i * 7 + i / 256);
    }
    cr_expect_eq(rig.ops->write(file, bytes, LEN, 0), GFS_OK);
    const size_t at[] = {0, 1, 4095, 4096, 9000, LEN};
    for (size_t i = 0; i + 1 < GFS_COUNT(at); i++) {
        struct iovec iov[2] = {{.iov_base = got, .iov_len = 100},
                               {.iov_base = got + 100, .iov_len = LEN - 100}};
        size_t len = 0;
        rig.ops->prefetch(file, at[i], LEN);
        cr_expect_eq(rig.ops->read(file, iov, 2, at[i], GFS_IO_MEDIUM, &len), GFS_OK);
        cr_expect_eq(len, LEN - at[i]);
        cr_expect_eq(memcmp(got, bytes + at[i], LEN - at[i]), 0);
        iov[1].iov_len = 500;
        cr_expect_eq(rig.ops->read(file, iov, 2, at[i], GFS_IO_MEDIUM, &len), GFS_OK);
        cr_expect_eq(len, 600);
        cr_expect_eq(memcmp(got, bytes + at[i], 600), 0);
    }
    rig.ops->file_close(file);
    const char *const names[] = {"f"};
    rig_fini(&rig, names, 1);
}

Test(io_posix, allocated_space_reads_as_zeros_and_a_hole_gives_it_back)
{
    struct rig rig;
    rig_init(&rig, false);
    struct gfs_file *file = open_file(&rig, "f", GFS_IO_CREATE);
    cr_expect_eq(rig.ops->allocate(file, 0, 16 * PAGE), GFS_OK);
    struct gfs_file_info before;
    struct gfs_file_info after;
    cr_expect_eq(rig.ops->file_info(file, &before), GFS_OK);
    cr_expect_eq(before.size, 16u * PAGE);
    cr_expect_geq(before.allocated, 16u * PAGE);
    cr_expect_eq(rig.ops->write(file, "x", 1, 8 * PAGE), GFS_OK);
    cr_expect_eq(rig.ops->punch(file, 4 * PAGE, 8 * PAGE), GFS_OK);
    cr_expect_eq(rig.ops->file_info(file, &after), GFS_OK);
    cr_expect_eq(after.size, before.size);
    cr_expect_leq(after.allocated, before.allocated - 8 * PAGE);
    char byte = 1;
    cr_expect_eq(gfs_io_read_exact(file, &byte, 1, 8 * PAGE), GFS_OK);
    cr_expect_eq(byte, 0);
    rig.ops->file_close(file);
    const char *const names[] = {"f"};
    rig_fini(&rig, names, 1);
}

Test(io_posix, a_file_is_replaced_whole)
{
    struct rig rig;
    rig_init(&rig, false);
    cr_expect_eq(gfs_io_replace(rig.io, ".", "t", "f", gfs_slice_str("one")), GFS_OK);
    cr_expect_eq(gfs_io_replace(rig.io, ".", "t", "f", gfs_slice_str("second")), GFS_OK);
    char bytes[8];
    size_t len = 0;
    cr_expect_eq(gfs_io_load(rig.io, "f", bytes, sizeof bytes, &len), GFS_OK);
    cr_expect_eq(len, 6u);
    cr_expect_eq(memcmp(bytes, "second", 6), 0);
    cr_expect_eq(gfs_io_load(rig.io, "f", bytes, 5, &len), GFS_TOO_BIG);
    cr_expect_eq(gfs_io_load(rig.io, "t", bytes, sizeof bytes, &len), GFS_NOT_FOUND);
    const char *const names[] = {"f"};
    rig_fini(&rig, names, 1);
}

Test(io_posix, a_lock_is_held_against_another_opener)
{
    struct rig rig;
    rig_init(&rig, false);
    cr_expect_eq(rig.ops->lock(rig.io, "lock"), GFS_OK);
    struct gfs_io *other = NULL;
    cr_assert_eq(gfs_io_posix_open(rig.dir, false, &other, NULL), GFS_OK);
    cr_expect_eq(other->ops->lock(other, "lock"), GFS_BUSY);
    other->ops->close(other);
    const char *const names[] = {"lock"};
    rig_fini(&rig, names, 1);
}

static void count_done(struct gfs_io_op *op)
{
    op->next = op; /* marks it done */
}

static void submitted_operations_complete(bool use_ring)
{
    enum { COUNT = 8 };
    struct rig rig;
    rig_init(&rig, use_ring);
    struct gfs_file *file = open_file(&rig, "f", GFS_IO_CREATE);
    GFS_FREE char *bytes = gfs_alloc_aligned(PAGE, COUNT * PAGE);
    struct gfs_io_op ops[COUNT + 1];
    for (int i = 0; i < COUNT; i++) {
        memset(bytes + (size_t)i * PAGE, 'a' + i, PAGE);
        ops[i] = (struct gfs_io_op){.kind = i % 2 == 0 ? GFS_IO_WRITE : GFS_IO_WRITE_DURABLE,
                                    .file = file,
                                    .ptr = bytes + (size_t)i * PAGE,
                                    .len = PAGE,
                                    .offset = (uint64_t)i * PAGE,
                                    .done = count_done,
                                    .result = GFS_AGAIN};
        rig.ops->submit(rig.io, &ops[i]);
    }
    ops[COUNT] = (struct gfs_io_op){
        .kind = GFS_IO_FLUSH, .file = file, .done = count_done, .result = GFS_AGAIN};
    rig.ops->submit(rig.io, &ops[COUNT]);
    for (int i = 0; i <= COUNT;) {
        if (ops[i].next == &ops[i]) {
            cr_expect_eq(ops[i].result, GFS_OK);
            i++;
        } else {
            cr_assert_eq(rig.ops->wait(rig.io, true), GFS_OK);
        }
    }
    GFS_FREE char *found = gfs_alloc(COUNT * PAGE);
    cr_expect_eq(gfs_io_read_exact(file, found, COUNT * PAGE, 0), GFS_OK);
    cr_expect_eq(memcmp(found, bytes, COUNT * PAGE), 0);
    rig.ops->wake(rig.io);
    cr_expect_eq(rig.ops->wait(rig.io, true), GFS_OK, "a wake ends the wait");
    rig.ops->file_close(file);
    const char *const names[] = {"f"};
    rig_fini(&rig, names, 1);
}

Test(io_posix, submitted_operations_complete_with_the_ring)
{
    submitted_operations_complete(true);
}

Test(io_posix, submitted_operations_complete_without_the_ring)
{
    submitted_operations_complete(false);
}
