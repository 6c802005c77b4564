/* Repair gets a lost fragment back byte for byte, with its owner, or hears clearly why not. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"
#include "tests/unit/pool/data_rig.h"

enum { LEN = 4 * POOL_CELL * 9 + 4321 };

static struct chunk_id write_chunk(struct data_rig *rig)
{
    char *bytes = gfs_alloc(LEN);
    data_rig_fill(bytes, LEN, 11);
    struct chunk_id id = data_rig_next(rig);
    cr_assert_eq(data_rig_write(rig, id, bytes, LEN, 1 << 20, 0), GFS_OK);
    free(bytes);
    return id;
}

static enum gfs_err open_fragment(struct data_rig *rig, struct chunk_id id, unsigned slot,
                                  uint16_t avoid, struct pool_fragment **ret)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    enum gfs_err err = pool_fragment_open(&rig->pool, view, id, slot, avoid, ret);
    pool_view_put(view);
    return err;
}

/* Reads the fragment in pieces of `size` and compares it and its owner with what is on its disk. */
static void check(struct data_rig *rig, struct chunk_id id, unsigned slot, uint16_t avoid,
                  size_t size)
{
    struct chunk_id own = data_rig_fragment(rig, id, slot);
    size_t len = disk_double_bytes(rig->disks[slot], own, NULL, 0);
    char *kept = gfs_alloc(len);
    char *got = gfs_alloc(len + size);
    (void)disk_double_bytes(rig->disks[slot], own, kept, len);
    struct pool_fragment *fragment = NULL;
    cr_assert_eq(open_fragment(rig, id, slot, avoid, &fragment), GFS_OK);
    cr_assert_eq(pool_fragment_bytes(fragment), len);
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t owner_len = disk_double_owner(rig->disks[slot], own, owner, sizeof owner);
    cr_expect(gfs_slice_eq(pool_fragment_owner(fragment), gfs_slice_of(owner, owner_len)));
    size_t at = 0;
    size_t step = 1;
    while (step > 0) {
        cr_assert_eq(pool_fragment_read(fragment, got + at, size, &step), GFS_OK);
        cr_assert_leq(step, size);
        at += step;
    }
    cr_assert_eq(at, len);
    cr_assert(memcmp(got, kept, len) == 0, "slot %u", slot);
    pool_fragment_close(fragment);
    free(kept);
    free(got);
}

Test(pool_fragment, every_fragment_is_made_again_from_others)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct chunk_id id = write_chunk(&rig);
    for (unsigned slot = 0; slot < rig.width; slot++) {
        check(&rig, id, slot, (uint16_t)slot, POOL_CELL);
        check(&rig, id, slot, (uint16_t)slot, 5 * POOL_CELL + 77);
        check(&rig, id, slot, POOL_NO_DISK, 1 << 20); /* there, and copied */
    }
    data_rig_fini(&rig);
}

Test(pool_fragment, damage_elsewhere_and_a_lost_disk_do_not_matter)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct chunk_id id = write_chunk(&rig);
    cr_assert(disk_double_flip(rig.disks[2], chunk_id_at(id, 2), 3 * POOL_CELL + 1));
    cr_assert(disk_double_flip(rig.disks[4], chunk_id_at(id, 4), POOL_CELL + 1));
    check(&rig, id, 0, 0, POOL_CELL * 3);
    disk_double_hang(rig.disks[3], true);
    check(&rig, id, 1, POOL_NO_DISK, POOL_CELL);
    disk_double_hang(rig.disks[3], false);
    data_rig_fini(&rig);
}

Test(pool_fragment, disks_that_take_their_time_are_not_called_slow_by_repair)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct chunk_id id = write_chunk(&rig);
    for (unsigned i = 0; i < rig.width; i++) {
        disk_double_set_delay(rig.disks[i], 3 * (int64_t)rig.pool.options.race_ms * 1000000);
    }
    check(&rig, id, 1, 1, 16 * POOL_CELL);
    for (unsigned i = 0; i < rig.width; i++) {
        cr_expect_eq(atomic_load(&rig.pool_disks[i]->slow_reads), 0, "disk %u", i);
    }
    data_rig_fini(&rig);
}

Test(pool_fragment, a_disk_that_hangs_does_not_hold_repair)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct chunk_id id = write_chunk(&rig);
    struct pool_fragment *fragment = NULL;
    cr_assert_eq(open_fragment(&rig, id, 1, 1, &fragment), GFS_OK);
    disk_double_hang(rig.disks[0], true);
    static char bytes[16 * POOL_CELL];
    size_t len;
    cr_assert_eq(pool_fragment_read(fragment, bytes, sizeof bytes, &len), GFS_OK);
    cr_expect_eq(atomic_load(&rig.pool_disks[0]->slow_reads), 1);
    disk_double_hang(rig.disks[0], false);
    pool_fragment_close(fragment);
    data_rig_fini(&rig);
}

Test(pool_fragment, a_copy_comes_from_another_disk)
{
    struct data_rig rig;
    data_rig_init(&rig, "replica:3", 0);
    struct chunk_id id = write_chunk(&rig);
    for (unsigned slot = 0; slot < 3; slot++) {
        struct disk_double_counts before, after;
        disk_double_counts(rig.disks[slot], &before);
        check(&rig, id, slot, (uint16_t)slot, 2 * POOL_CELL);
        disk_double_counts(rig.disks[slot], &after);
        cr_expect_eq(before.reads, after.reads, "the avoided disk is not read");
    }
    cr_assert(disk_double_flip(rig.disks[0], id, 5));
    cr_assert(disk_double_flip(rig.disks[1], id, 100000));
    check(&rig, id, 2, 2, POOL_CELL);
    data_rig_fini(&rig);
}

/* Two are damaged, each where the other one is whole: of neither could all be made anew if what is
 * left of it were not used. */
static void check_crossed(const char *profile, bool is_worn)
{
    struct data_rig rig;
    data_rig_init(&rig, profile, 0);
    struct chunk_id id = write_chunk(&rig);
    for (unsigned slot = 0; slot < 2; slot++) {
        struct chunk_id own = data_rig_fragment(&rig, id, slot);
        struct chunk_id other = data_rig_fragment(&rig, id, 1 - slot);
        size_t len = disk_double_bytes(rig.disks[slot], own, NULL, 0);
        char *kept = gfs_alloc(len);
        char *got = gfs_alloc(len + POOL_CELL);
        (void)disk_double_bytes(rig.disks[slot], own, kept, len);
        if (is_worn && slot == 0) {
            cr_assert(disk_double_wear(rig.disks[0], own, 1));
        } else if (slot == 0) {
            cr_assert(disk_double_flip(rig.disks[0], own, POOL_CELL + 9));
        }
        if (slot == 0) {
            cr_assert(disk_double_flip(rig.disks[1], other, 7));
        } else {
            kept[7] ^= 1; /* as it was */
        }
        struct pool_fragment *fragment = NULL;
        cr_assert_eq(open_fragment(&rig, id, slot, (uint16_t)slot, &fragment), GFS_OK);
        size_t at = 0, step = 1;
        while (step > 0) {
            enum gfs_err err = pool_fragment_read(fragment, got + at, POOL_CELL, &step);
            cr_assert_eq(err, GFS_OK, "%s slot %u at %zu: %s", profile, slot, at,
                         gfs_err_name(err));
            at += step;
        }
        cr_assert_eq(at, len);
        cr_assert(memcmp(got, kept, len) == 0, "%s slot %u", profile, slot);
        pool_fragment_close(fragment);
        free(kept);
        free(got);
    }
    data_rig_fini(&rig);
}

Test(pool_fragment, what_is_left_of_it_is_used_where_the_others_do_not_suffice)
{
    check_crossed("ec:2+1", false);
    check_crossed("ec:2+1", true);
    check_crossed("replica:2", false);
    check_crossed("replica:2", true);
}

Test(pool_fragment, what_cannot_be_had_is_told_apart)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct chunk_id id = write_chunk(&rig);
    struct pool_fragment *fragment = NULL;
    cr_expect_eq(open_fragment(&rig, data_rig_next(&rig), 0, 0, &fragment), GFS_NOT_FOUND);
    cr_assert(disk_double_drop(rig.disks[1], chunk_id_at(id, 1)));
    cr_assert(disk_double_drop(rig.disks[2], chunk_id_at(id, 2)));
    cr_expect_eq(open_fragment(&rig, id, 0, 0, &fragment), GFS_CORRUPT);
    cr_assert_eq(open_fragment(&rig, id, 0, POOL_NO_DISK, &fragment), GFS_OK, "it is there itself");
    pool_fragment_close(fragment);
    atomic_store(&rig.pool_disks[3]->is_dropped, true);
    cr_expect_eq(open_fragment(&rig, id, 0, 0, &fragment), GFS_UNREACHABLE);
    atomic_store(&rig.pool_disks[3]->is_dropped, false);
    data_rig_fini(&rig);
}
