/* Orphans are deleted wherever a disk of the pool has something of them. */
#include "goodfs/fsck_storage.h"
#include "pool/pool_copy_op.h"
#include "tests/unit/pool/chunks_rig.h"

/* A fragment on a disk where no slot asks for it. */
static void put_fragment(struct chunks_rig *kept, uint16_t disk, struct chunk_id fragment)
{
    struct pool_view *view = open_rig_view(&kept->rig);
    struct chunk_record record = {
        .kind = CHUNK_RECORD_DATA, .id = fragment, .payload = gfs_slice_str("what it had")};
    struct pool_pace pace;
    pool_pace_init(&pace, 0);
    struct pool_copy_op *op = pool_copy_op_new(kept->rig.pool, &pace, view->disks[disk]);
    struct chunk_store *store = view->disks[disk]->store;
    store->ops->submit(store, pool_copy_op_group(op, &record));
    cr_assert_eq(pool_copy_op_wait(op), GFS_OK);
    pool_copy_op_free(op);
    pool_pace_fini(&pace);
    pool_view_put(view);
}

/* The disk of the chunk's slot; below 0: one that no slot of its group names. */
static uint16_t disk_of(struct chunks_rig *kept, struct chunk_id id, int slot)
{
    struct pool_view *view = open_rig_view(&kept->rig);
    const struct pool_group *group = pool_view_group(view, id);
    uint16_t disk = slot < 0 ? 0 : group->slots[slot].disk;
    for (unsigned i = 0; slot < 0 && i < pool_profile_width(group->profile); i++) {
        if (group->slots[i].disk == disk) {
            disk++;
            i = UINT32_MAX; /* from the first slot on */
        }
    }
    cr_assert_lt(disk, view->map->disk_count);
    pool_view_put(view);
    return disk;
}

static bool has(struct chunks_rig *kept, uint16_t disk, struct chunk_id fragment)
{
    return disk_double_has(open_rig_double(&kept->rig, disk), fragment);
}

/* Chunk 0 is a stripe, chunk 1 copies: deleted, but a disk that was away has something of them. */
static void make_orphans(struct chunks_rig *kept, struct fsck_source *source)
{
    struct chunk_id stripe = kept->ids[0], copy = kept->ids[1];
    cr_assert_eq(source->delete_chunks(source->arg, (struct chunk_id[]){stripe, copy}, 2), GFS_OK);
    cr_assert_not(open_rig_has(&kept->rig, stripe, kept->texts[0]));
    put_fragment(kept, disk_of(kept, stripe, -1), chunk_id_at(stripe, 1));
    put_fragment(kept, disk_of(kept, stripe, 0), chunk_id_at(stripe, 2));
    put_fragment(kept, disk_of(kept, copy, -1), copy);
}

Test(fsck_storage, orphans_are_deleted_where_no_slot_asks_for_them)
{
    struct chunks_rig kept;
    chunks_rig_init(&kept, 8);
    struct fsck_storage storage = {.chunks = pool_chunks(kept.rig.pool), .pool = kept.rig.pool};
    struct fsck_source source = fsck_storage_source(&storage);
    make_orphans(&kept, &source);
    struct chunk_id ids[] = {kept.ids[0], kept.ids[1]};
    cr_assert_eq(source.delete_chunks(source.arg, ids, 2), GFS_OK);
    cr_expect_not(has(&kept, disk_of(&kept, ids[0], -1), chunk_id_at(ids[0], 1)));
    cr_expect_not(has(&kept, disk_of(&kept, ids[0], 0), chunk_id_at(ids[0], 2)));
    cr_expect_not(has(&kept, disk_of(&kept, ids[1], -1), ids[1]));
    for (unsigned i = 2; i < CHUNKS_RIG_COUNT; i++) {
        cr_expect(open_rig_has(&kept.rig, kept.ids[i], kept.texts[i]), "chunk %u", i);
    }
    chunks_rig_fini(&kept);
}

/* What is not deleted is found by the next search. */
Test(fsck_storage, an_orphan_that_a_disk_does_not_delete_is_not_called_deleted)
{
    struct chunks_rig kept;
    chunks_rig_init(&kept, 8);
    struct fsck_storage storage = {.chunks = pool_chunks(kept.rig.pool), .pool = kept.rig.pool};
    struct fsck_source source = fsck_storage_source(&storage);
    make_orphans(&kept, &source);
    struct chunk_id id = kept.ids[0];
    disk_double_set_unwritable(open_rig_double(&kept.rig, disk_of(&kept, id, -1)), true);
    cr_expect_neq(source.delete_chunks(source.arg, &id, 1), GFS_OK);
    disk_double_set_unwritable(open_rig_double(&kept.rig, disk_of(&kept, id, -1)), false);
    chunks_rig_fini(&kept);
}
