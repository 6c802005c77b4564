#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_scrub_state.h"
#include "tests/unit/pool/repair_load.h"

static void start(struct repair_rig *rig)
{
    rig->pool.scrub = pool_scrub_start_thread(&rig->pool);
    rig->pool.reconcile = pool_reconcile_start(&rig->pool);
}

static void stop(struct repair_rig *rig)
{
    pool_scrub_stop(GFS_TAKE(rig->pool.scrub));
    pool_reconcile_stop(rig->pool.reconcile);
    pool_reconcile_free(rig->pool.reconcile);
}

static char *show(struct repair_rig *rig, struct gfs_buf *text)
{
    gfs_buf_init(text, 1 << 16);
    struct gfs_json_out out;
    gfs_json_out_init(&out, text);
    pool_scrub_json(&rig->pool, &out, NULL);
    return text->ptr;
}

/* Every disk's pass number `stop_at` is over. */
static bool is_through(struct repair_rig *rig)
{
    struct gfs_buf text;
    char wanted[40];
    (void)snprintf(wanted, sizeof wanted, "],\"is_running\":false,\"pass\":%u,", rig->stop_at);
    bool is_so = strstr(show(rig, &text), wanted) != NULL;
    gfs_buf_fini(&text);
    return is_so;
}

static bool is_healed(struct repair_rig *rig)
{
    unsigned long healed = 0;
    for (unsigned i = 0; i < RIG_DISKS_MAX && rig->disks[i] != NULL; i++) {
        healed += atomic_load(&rig->disks[i]->healed);
    }
    return healed >= rig->stop_at;
}

/* One flipped byte in fragment `slot` of each chunk, at a place of its own. */
static void flip_all(struct repair_rig *rig, const struct repair_load *load, uint32_t slot)
{
    for (unsigned i = 0; i < LOAD_CHUNKS; i++) {
        const struct pool_map *map = repair_rig_map(rig);
        const struct pool_group *group = &map->groups[chunk_id_group(load->ids[i])];
        struct chunk_id there = pool_fragment_id(group, load->ids[i], slot);
        struct disk_double *disk = rig->doubles[group->slots[slot].disk];
        uint32_t len = (uint32_t)disk_double_bytes(disk, there, NULL, 0);
        cr_assert(disk_double_flip(disk, there, len * i / LOAD_CHUNKS));
    }
}

static void expect_counts(struct repair_rig *rig, unsigned found, unsigned healed)
{
    struct gfs_buf text;
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "\"found\":%u,\"healed\":%u", found, healed);
    cr_assert_not_null(strstr(show(rig, &text), wanted), "%s", text.ptr);
    gfs_buf_fini(&text);
}

Test(pool_scrub, every_flipped_byte_is_found_and_healed_in_one_pass)
{
    struct repair_rig *rig = repair_rig_new(6, "ec:4+2", "replica:3");
    struct repair_load striped = repair_load_put(rig, "ec:4+2");
    struct repair_load copied = repair_load_put(rig, "replica:3");
    flip_all(rig, &striped, 0);
    flip_all(rig, &striped, 4);
    flip_all(rig, &copied, 1);
    start(rig);
    rig->stop_at = 3 * LOAD_CHUNKS;
    repair_rig_await(rig, is_healed);
    rig->stop_at = 1;
    repair_rig_await(rig, is_through);
    expect_counts(rig, 3 * LOAD_CHUNKS, 3 * LOAD_CHUNKS);
    stop(rig);
    repair_load_expect(rig, &striped);
    repair_load_expect(rig, &copied);
    repair_rig_free(rig);
}

/* A fragment is read in steps: a pass is through with it after the last one only. */
Test(pool_scrub, a_large_fragment_is_read_to_its_last_byte)
{
    enum { LEN = 5 << 20 };
    struct repair_rig *rig = repair_rig_new(4, "ec:2+2", "replica:2");
    struct chunk_id copied = repair_rig_put(rig, "replica:2", 0, 1, LEN);
    struct chunk_id striped = repair_rig_put(rig, "ec:2+2", 0, 2, LEN);
    const struct pool_map *map = repair_rig_map(rig);
    const struct pool_group *group = &map->groups[chunk_id_group(copied)];
    cr_assert(disk_double_flip(rig->doubles[group->slots[1].disk], copied, LEN - 1));
    group = &map->groups[chunk_id_group(striped)];
    cr_assert(
        disk_double_flip(rig->doubles[group->slots[0].disk], chunk_id_at(striped, 0), LEN / 2 - 1));
    cr_assert(disk_double_flip(rig->doubles[group->slots[3].disk], chunk_id_at(striped, 3),
                               (1 << 20) + 1));
    start(rig);
    rig->stop_at = 1;
    repair_rig_await(rig, is_through);
    rig->stop_at = 3;
    repair_rig_await(rig, is_healed);
    expect_counts(rig, 3, 3);
    stop(rig);
    cr_assert(repair_rig_is_whole(rig, copied, 1, LEN));
    cr_assert(repair_rig_is_whole(rig, striped, 2, LEN));
    repair_rig_free(rig);
}

/* As when the file is gone that it was in: only what was deleted is NOT_FOUND. */
Test(pool_scrub, a_fragment_that_is_listed_and_not_there_is_made_anew)
{
    struct repair_rig *rig = repair_rig_new(4, "ec:2+2", "replica:2");
    struct repair_load copied = repair_load_put(rig, "replica:2");
    struct repair_load striped = repair_load_put(rig, "ec:2+2");
    for (unsigned i = 0; i < LOAD_CHUNKS; i++) {
        const struct pool_map *map = repair_rig_map(rig);
        const struct pool_group *group = &map->groups[chunk_id_group(copied.ids[i])];
        cr_assert(disk_double_lose(rig->doubles[group->slots[i % 2].disk], copied.ids[i]));
        group = &map->groups[chunk_id_group(striped.ids[i])];
        cr_assert(disk_double_lose(rig->doubles[group->slots[i % 4].disk],
                                   chunk_id_at(striped.ids[i], i % 4)));
    }
    start(rig);
    rig->stop_at = 1;
    repair_rig_await(rig, is_through);
    rig->stop_at = 2 * LOAD_CHUNKS;
    repair_rig_await(rig, is_healed);
    expect_counts(rig, 2 * LOAD_CHUNKS, 2 * LOAD_CHUNKS);
    stop(rig);
    repair_load_expect(rig, &copied);
    repair_load_expect(rig, &striped);
    repair_rig_free(rig);
}

Test(pool_scrub, a_pass_that_is_asked_for_begins_at_once_and_one_at_a_time)
{
    struct repair_rig *rig = repair_rig_new(3, "replica:3", NULL);
    struct repair_load load = repair_load_put(rig, "replica:3");
    cr_assert_eq(pool_scrub_start(&rig->pool, 0, NULL), GFS_STOPPED);
    start(rig);
    rig->stop_at = 1;
    repair_rig_await(rig, is_through);
    flip_all(rig, &load, 2);
    disk_double_hang(rig->doubles[0], true);
    cr_assert_eq(pool_scrub_start(&rig->pool, 0, NULL), GFS_OK);
    cr_assert_eq(pool_scrub_start(&rig->pool, 0, NULL), GFS_BUSY);
    disk_double_hang(rig->doubles[0], false);
    rig->stop_at = LOAD_CHUNKS;
    repair_rig_await(rig, is_healed);
    rig->stop_at = 2;
    repair_rig_await(rig, is_through);
    stop(rig);
    repair_load_expect(rig, &load);
    repair_rig_free(rig);
}

static bool is_mirror_lost(struct repair_rig *rig)
{
    (void)pthread_mutex_lock(&rig->lock);
    bool is_so = rig->mirror_failures > 0;
    (void)pthread_mutex_unlock(&rig->lock);
    return is_so;
}

static bool is_log_repaired(struct repair_rig *rig)
{
    struct chunk_store_status status;
    struct chunk_store *store = disk_double_store(rig->doubles[0]);
    store->ops->status(store, &status);
    struct pool_view *view = pool_view_get(&rig->pool);
    bool is_so = status.damaged_places == 0 && !view->map->disks[0].is_behind;
    pool_view_put(view);
    return is_so;
}

static void add_mirror(struct pool_map *map, void *arg)
{
    (void)arg;
    map->log_disk_count = 2;
    map->log_disks[1] = (struct pool_log_disk){.disk = 1, .is_in_sync = true};
}

Test(pool_scrub, damage_in_a_log_makes_a_pass_look_for_what_it_cost)
{
    struct repair_rig *rig = repair_rig_new(3, "replica:3", NULL);
    struct repair_load load = repair_load_put(rig, "replica:3");
    repair_rig_change(rig, add_mirror, NULL);
    disk_double_damage_log(rig->doubles[0], false);
    for (unsigned i = 0; i < LOAD_CHUNKS; i += 3) {
        cr_assert(disk_double_drop(rig->doubles[0], load.ids[i]));
    }
    start(rig);
    repair_rig_await(rig, is_mirror_lost);
    repair_rig_await(rig, is_log_repaired);
    stop(rig);
    repair_load_expect(rig, &load);
    repair_rig_free(rig);
}

Test(pool_scrub, damage_that_no_other_mirror_can_answer_for_leaves_the_mirror_alone)
{
    struct repair_rig *rig = repair_rig_new(3, "replica:3", NULL);
    disk_double_damage_log(rig->doubles[0], false);
    start(rig);
    rig->stop_at = 1;
    repair_rig_await(rig, is_through);
    repair_rig_await(rig, is_log_repaired);
    stop(rig);
    cr_assert_not(is_mirror_lost(rig));
    repair_rig_free(rig);
}

Test(pool_scrub, a_pass_goes_on_where_it_was_when_the_pool_was_closed)
{
    struct repair_rig *rig = repair_rig_new(1, "replica:1", NULL);
    struct pool_scrub_cursor cursor = {.is_running = true,
                                       .is_in_log = true,
                                       .pass = 7,
                                       .part = CHUNK_LIST_PARTS,
                                       .started_ms = gfs_wall_ms(),
                                       .bytes = 5,
                                       .found = 3,
                                       .healed = 2};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/0", rig->dir);
    cr_assert(pool_scrub_file_store(path, &cursor));
    start(rig);
    rig->stop_at = 7;
    repair_rig_await(rig, is_through);
    stop(rig);
    pool_scrub_file_load(path, &cursor);
    cr_assert_not(cursor.is_running);
    cr_assert_eq(cursor.pass, 7);
    cr_assert_eq(cursor.found, 3);
    cr_assert_eq(cursor.healed, 2);
    cr_assert_gt(cursor.finished_ms, 1000);
    repair_rig_free(rig);
}

Test(pool_scrub, a_cursor_that_cannot_be_read_is_none)
{
    char dir[] = "/tmp/goodfs-scrub-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    char path[64];
    (void)snprintf(path, sizeof path, "%s/scrub.json", dir);
    static const char *const texts[] = {"", "{", "[1]", "{\"part\":-1}", "{\"part\":\"x\"}"};
    for (unsigned i = 0; i < GFS_COUNT(texts); i++) {
        FILE *file = fopen(path, "w");
        cr_assert_not_null(file);
        (void)fputs(texts[i], file);
        (void)fclose(file);
        struct pool_scrub_cursor cursor = {.part = 9};
        pool_scrub_file_load(dir, &cursor);
        cr_assert_eq(cursor.part, 0);
        cr_assert_not(cursor.is_running);
    }
    (void)unlink(path);
    struct pool_scrub_cursor cursor = {.part = 9};
    cr_assert_not(pool_scrub_file_store(dir, &cursor), "there is no disk in it");
    cr_assert_eq(rmdir(dir), 0, "an emptied directory stays empty");
}

Test(pool_scrub, a_pass_takes_five_days_at_most_and_is_not_slower_than_need_be)
{
    const uint64_t day_s = 86400;
    cr_assert_eq(pool_scrub_usual_rate(0), 8U << 20);
    cr_assert_eq(pool_scrub_usual_rate(1ULL << 40), 8U << 20);
    uint64_t rate = pool_scrub_usual_rate(20ULL << 40);
    cr_assert_leq((20ULL << 40) / rate, 5 * day_s + 1);
    cr_assert_lt(rate, 64U << 20);
}
