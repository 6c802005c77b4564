/* What a store says of its chunks: the list, levels, owners; and reads that see the medium. */
#include <fcntl.h>

#include "datad/segment.h"
#include "tests/unit/datad/store_rig.h"

static struct chunk_id id_of(uint64_t serial, uint32_t slot)
{
    return chunk_id_at((struct chunk_id){.hi = 99, .lo = serial << CHUNK_SLOT_BITS}, slot);
}

Test(store_status, every_live_chunk_is_listed_once_in_its_part)
{
    struct rig rig;
    rig_init(&rig);
    enum { COUNT = 300 };
    for (uint64_t i = 1; i <= COUNT; i++) {
        cr_assert_eq(rig_put(&rig, id_of(i, (uint32_t)(i % 3)), (size_t)i), GFS_OK);
    }
    cr_assert_eq(rig_put_bulk(&rig, id_of(COUNT + 1, 0), 300000), GFS_OK);
    struct chunk_id dead = id_of(5, 5 % 3);
    cr_assert_eq(rig_delete(&rig, &dead, 1), GFS_OK);
    rig_reopen(&rig);
    bool seen[COUNT + 2] = {0};
    for (uint32_t part = 0; part < CHUNK_LIST_PARTS; part++) {
        struct chunk_listed *listed = NULL;
        size_t count = 0;
        rig.chunks->ops->list(rig.chunks, part, &listed, &count);
        cr_expect((count == 0) == (listed == NULL));
        for (size_t i = 0; i < count; i++) {
            uint64_t serial = listed[i].id.lo >> CHUNK_SLOT_BITS;
            cr_assert(serial >= 1 && serial <= COUNT + 1);
            cr_expect_eq(chunk_list_part(listed[i].id), part);
            cr_expect_eq(chunk_list_part(id_of(serial, 40)), part, "every slot of a chunk");
            cr_expect_eq(listed[i].len, serial > COUNT ? 300000 : serial);
            cr_expect_not(seen[serial]);
            seen[serial] = true;
        }
        free(listed);
    }
    for (uint64_t i = 1; i <= COUNT + 1; i++) {
        cr_expect_eq(seen[i], i != 5, "chunk %u", (unsigned)i);
    }
    rig_fini(&rig);
}

Test(store_status, a_new_id_is_of_group_0_and_there_is_one_class)
{
    struct rig rig;
    rig_init(&rig);
    const struct chunk_store_ops *ops = rig.chunks->ops;
    struct chunk_id id = {0};
    cr_expect(ops->has_class(rig.chunks, gfs_slice_str("")));
    cr_expect(ops->has_class(rig.chunks, gfs_slice_str("STANDARD")));
    cr_expect_not(ops->has_class(rig.chunks, gfs_slice_str("ec:4+2")));
    cr_expect_eq(ops->new_id(rig.chunks, gfs_slice_str("ec:4+2"), 1, &id), GFS_INVALID);
    cr_expect_eq(ops->new_id(rig.chunks, gfs_slice_str("STANDARD"), 1, &id), GFS_OK);
    cr_expect_eq(chunk_id_group(id), 0);
    cr_expect_neq(id.hi | id.lo, 0);
    rig_fini(&rig);
}

Test(store_status, levels_are_those_of_the_chunks_and_edits)
{
    struct rig rig;
    rig_init(&rig);
    struct chunk_store_status before;
    struct chunk_store_status after;
    rig.chunks->ops->status(rig.chunks, &before);
    cr_expect_eq(before.chunks, 0);
    cr_expect_eq(before.lsn_last, 0);
    cr_assert_eq(rig_put(&rig, id_of(1, 0), 5000), GFS_OK);
    cr_assert_eq(rig_put_bulk(&rig, id_of(2, 0), 300000), GFS_OK);
    cr_assert_eq(rig_edit(&rig, 77, "edit"), GFS_OK);
    for (int i = 0; i < 2; i++) {
        rig.chunks->ops->status(rig.chunks, &after);
        cr_expect_eq(after.chunks, 2);
        cr_expect_geq(after.live_bytes, 305000);
        cr_expect_leq(after.live_bytes, 330000);
        cr_expect_eq(after.lsn_last, 77);
        cr_expect_eq(after.lsn_floor, 77);
        cr_expect_gt(after.space_total, after.space_free);
        cr_expect_eq(after.damaged_places, 0);
        cr_expect_eq(after.read_errors, 0);
        cr_expect_not(after.has_failed);
        cr_expect_not(after.is_full);
        rig_reopen(&rig);
    }
    rig_fini(&rig);
}

static void expect_owner(struct rig *rig, struct chunk_id id, const char *expected)
{
    struct chunk_pin pin;
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t len = 0;
    cr_assert_eq(rig->chunks->ops->pin(rig->chunks, id, &pin), GFS_OK);
    rig->chunks->ops->prefetch(rig->chunks, &pin, 0, pin.len);
    cr_expect_eq(rig->chunks->ops->owner(rig->chunks, &pin, owner, &len), GFS_OK);
    cr_expect(gfs_slice_eq_str(gfs_slice_of(owner, len), expected));
    rig->chunks->ops->unpin(rig->chunks, &pin);
}

Test(store_status, a_chunk_keeps_its_owner)
{
    struct rig rig;
    rig_init(&rig);
    cr_assert_eq(rig_put(&rig, id_of(1, 0), 5000), GFS_OK);
    cr_assert_eq(rig_put(&rig, id_of(2, 0), 0), GFS_OK);
    cr_assert_eq(rig_put_bulk(&rig, id_of(3, 0), 300000), GFS_OK);
    for (int i = 0; i < 2; i++) {
        expect_owner(&rig, id_of(1, 0), "bucket/key");
        expect_owner(&rig, id_of(2, 0), "bucket/key");
        expect_owner(&rig, id_of(3, 0), "bucket/big");
        rig_reopen(&rig);
    }
    rig_fini(&rig);
}

static void flip(const struct rig *rig, const char *name, off_t offset)
{
    char path[128];
    char byte;
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    GFS_CLOSE int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &byte, 1, offset), 1);
    byte = (char)(byte ^ 4);
    cr_assert_eq(pwrite(fd, &byte, 1, offset), 1);
}

/* Also of parts, through pins that have read before, into memory that is aligned and that is not,
 * and of what lies unaligned in the log. */
Test(store_status, a_read_from_the_medium_answers_the_same_bytes)
{
    struct rig rig;
    rig_init(&rig);
    enum { SMALL = 200001, BIG = 300001, BLOCK = GFS_BLOCK_SIZE };
    cr_assert_eq(rig_put(&rig, id_of(1, 0), SMALL), GFS_OK);
    cr_assert_eq(rig_put_bulk(&rig, id_of(2, 0), BIG), GFS_OK);
    for (uint64_t i = 1; i <= 2; i++) {
        struct chunk_pin pin;
        uint32_t size = i == 1 ? SMALL : BIG;
        GFS_FREE char *expected = gfs_alloc(size);
        GFS_FREE char *bytes = gfs_alloc(size);
        rig_fill(expected, size, id_of(i, 0).lo);
        cr_assert_eq(rig.chunks->ops->pin(rig.chunks, id_of(i, 0), &pin), GFS_OK);
        for (int round = 0; round < 2; round++) {
            enum gfs_err err =
                rig.chunks->ops->read(rig.chunks, &pin, 0, size, bytes, CHUNK_READ_MEDIUM);
            cr_expect_eq(err, GFS_OK);
            cr_expect_eq(memcmp(bytes, expected, size), 0);
            err =
                rig.chunks->ops->read(rig.chunks, &pin, BLOCK, 2 * BLOCK, bytes, CHUNK_READ_MEDIUM);
            cr_expect_eq(err, GFS_OK);
            cr_expect_eq(memcmp(bytes, expected + BLOCK, 2 * (size_t)BLOCK), 0);
            GFS_FREE char *aligned = gfs_alloc_aligned(4096, 2 * (size_t)BLOCK);
            err = rig.chunks->ops->read(rig.chunks, &pin, BLOCK, 2 * BLOCK, aligned,
                                        CHUNK_READ_MEDIUM);
            cr_expect_eq(err, GFS_OK);
            cr_expect_eq(memcmp(aligned, expected + BLOCK, 2 * (size_t)BLOCK), 0);
        }
        rig.chunks->ops->unpin(rig.chunks, &pin);
    }
    rig_fini(&rig);
}

Test(store_status, a_trailer_that_went_bad_is_seen_by_a_read_from_the_medium)
{
    struct rig rig;
    rig_init(&rig);
    enum { BIG = 300000, BLOCK = GFS_BLOCK_SIZE };
    cr_assert_eq(rig_put_bulk(&rig, id_of(2, 0), BIG), GFS_OK);
    struct chunk_pin pin;
    GFS_FREE char *bytes = gfs_alloc(BIG);
    cr_assert_eq(rig.chunks->ops->pin(rig.chunks, id_of(2, 0), &pin), GFS_OK);
    cr_expect_eq(rig.chunks->ops->read(rig.chunks, &pin, 0, BIG, bytes, 0), GFS_OK);
    flip(&rig, "bulk/000000000001.seg", (off_t)segment_align_page(BIG) + 50);
    cr_expect_eq(rig.chunks->ops->read(rig.chunks, &pin, 0, BLOCK, bytes, 0), GFS_OK,
                 "the table is known");
    cr_expect_eq(rig.chunks->ops->read(rig.chunks, &pin, BLOCK, BLOCK, bytes, CHUNK_READ_MEDIUM),
                 GFS_OK, "it is read again with the first bytes");
    cr_expect_eq(rig.chunks->ops->read(rig.chunks, &pin, 0, BLOCK, bytes, CHUNK_READ_MEDIUM),
                 GFS_CORRUPT);
    size_t len;
    char owner[CHUNK_OWNER_LEN_MAX];
    cr_expect_eq(rig.chunks->ops->owner(rig.chunks, &pin, owner, &len), GFS_CORRUPT);
    rig.chunks->ops->unpin(rig.chunks, &pin);
    struct chunk_store_status status;
    rig.chunks->ops->status(rig.chunks, &status);
    cr_expect_eq(status.read_errors, 2);
    rig_fini(&rig);
}
