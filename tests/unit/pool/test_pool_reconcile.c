#include <criterion/criterion.h>

#include "libgoodfs/mem.h"
#include "tests/unit/pool/repair_load.h"

static bool is_removed(struct repair_rig *rig)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    bool is_so = view->map->disks[2].state == POOL_DISK_REMOVED;
    pool_view_put(view);
    return is_so;
}

static bool is_balanced(struct repair_rig *rig)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    bool is_so = !view->map->is_rebalancing;
    pool_view_put(view);
    return is_so;
}

static bool is_healed(struct repair_rig *rig)
{
    unsigned long healed = 0;
    for (unsigned i = 0; i < RIG_DISKS_MAX && rig->disks[i] != NULL; i++) {
        healed += atomic_load(&rig->disks[i]->healed);
    }
    return healed == rig->stop_at;
}

static void want_balance(struct pool_map *map, void *arg)
{
    (void)arg;
    map->is_rebalancing = true;
}

static void start(struct repair_rig *rig)
{
    rig->pool.reconcile = pool_reconcile_start(&rig->pool);
}

static void stop(struct repair_rig *rig)
{
    pool_reconcile_stop(rig->pool.reconcile);
    pool_reconcile_free(rig->pool.reconcile);
}

Test(pool_reconcile, a_drained_disk_is_removed_in_the_end)
{
    struct repair_rig *rig = repair_rig_new(6, "ec:2+1", NULL);
    struct repair_load load = repair_load_put(rig, "ec:2+1");
    uint16_t disk = 2;
    repair_rig_change(rig, repair_load_drain, &disk);
    start(rig);
    repair_rig_await(rig, is_removed);
    stop(rig);
    repair_load_expect(rig, &load);
    cr_assert_eq(repair_load_extras(rig, &load), 0);
    repair_rig_free(rig);
}

Test(pool_reconcile, rebalancing_gives_new_disks_their_share)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:2", NULL);
    struct repair_load load = repair_load_put(rig, "replica:2");
    (void)repair_rig_add_disk(rig);
    (void)repair_rig_add_disk(rig);
    repair_rig_change(rig, want_balance, NULL);
    start(rig);
    repair_rig_await(rig, is_balanced);
    stop(rig);
    repair_load_expect(rig, &load);
    cr_assert_eq(repair_load_extras(rig, &load), 0);
    cr_assert_eq(repair_rig_flags(rig), 0);
    struct pool_map *map = pool_map_copy(repair_rig_map(rig));
    cr_assert_eq(pool_plan_rebalance(map, 1000), 0);
    pool_map_free(map);
    cr_assert_gt(rig->changes, 2, "in several steps");
    repair_rig_free(rig);
}

Test(pool_reconcile, bad_fragments_are_written_anew_and_only_bad_ones)
{
    struct repair_rig *rig = repair_rig_new(6, "ec:4+2", "replica:3");
    struct repair_load striped = repair_load_put(rig, "ec:4+2");
    struct repair_load copied = repair_load_put(rig, "replica:3");
    start(rig);
    for (unsigned i = 0; i < LOAD_CHUNKS; i++) {
        struct pool_view *view = pool_view_get(&rig->pool);
        for (uint32_t slot = 0; slot < 2; slot++) {
            const struct pool_group *group = pool_view_group(view, striped.ids[i]);
            struct pool_suspect suspect = {.id = striped.ids[i],
                                           .disk = group->slots[slot].disk,
                                           .slot = (uint8_t)slot,
                                           .is_bad = true};
            cr_assert(
                disk_double_flip(rig->doubles[suspect.disk], chunk_id_at(striped.ids[i], slot), 0));
            pool_suspect_add(&rig->pool, &suspect);
        }
        const struct pool_group *group = pool_view_group(view, copied.ids[i]);
        struct pool_suspect suspect = {
            .id = copied.ids[i], .disk = group->slots[1].disk, .slot = 1, .is_bad = true};
        pool_suspect_add(&rig->pool, &suspect); /* is whole: left alone */
        pool_view_put(view);
    }
    rig->stop_at = 2 * LOAD_CHUNKS;
    repair_rig_await(rig, is_healed);
    stop(rig);
    cr_assert(is_healed(rig));
    repair_load_expect(rig, &striped);
    repair_load_expect(rig, &copied);
    repair_rig_free(rig);
}

Test(pool_reconcile, it_says_how_far_it_is)
{
    struct repair_rig *rig = repair_rig_new(4, "replica:2", NULL);
    (void)repair_load_put(rig, "replica:2");
    struct gfs_buf text;
    gfs_buf_init(&text, 1 << 16);
    struct gfs_json_out out;
    gfs_json_out_init(&out, &text);
    gfs_json_out_object(&out, NULL);
    pool_repair_json(&rig->pool, &out, "repair");
    pool_rebalance_json(&rig->pool, &out, "rebalance");
    gfs_json_out_end_object(&out);
    cr_assert_not_null(strstr(text.ptr, "\"repair\":{\"is_running\":false"));
    cr_assert_not_null(strstr(text.ptr, "\"rebalance\":{\"is_running\":false"));
    gfs_buf_fini(&text);
    repair_rig_free(rig);
}
