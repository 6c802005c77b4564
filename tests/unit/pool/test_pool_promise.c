/* Starts that are killed in the middle, and starts with some of the disks: what was in force and
 * acknowledged stays so. */
#include <stdio.h>
#include <unistd.h>

#include "libgoodfs/mem.h"
#include "pool/pool_log.h"
#include "pool/pool_map_file.h"
#include "tests/unit/pool/open_rig.h"

static struct pool_map *load_map(struct open_rig *rig, unsigned disk)
{
    struct pool_map *map = NULL;
    struct gfs_error error = {0};
    cr_assert_eq(pool_map_file_load(rig->paths[disk], &map, &error), GFS_OK, "%s", error.text);
    return map;
}

static void store_map(struct open_rig *rig, unsigned disk, const struct pool_map *map)
{
    struct gfs_buf text;
    struct gfs_error error = {0};
    gfs_buf_init(&text, POOL_MAP_TEXT_MAX);
    cr_assert_eq(pool_map_check(map, &error), GFS_OK, "%s", error.text);
    pool_map_encode(map, &text);
    struct pool_root root = pool_root_of(rig->paths[disk]);
    cr_assert_eq(pool_map_file_store(rig->paths[disk], &root, map->disks[disk].id,
                                     gfs_buf_slice(&text), &error),
                 GFS_OK, "%s", error.text);
    gfs_buf_fini(&text);
}

enum { STAGES = 4 };

/* What a start writes to each disk, one after the other: a promise, its first version, the one that
 * says what is durable. ret[0]: what was there. Leaves the pool closed, with the last. */
static void write_in_stages(struct open_rig *rig, struct pool_map *ret[STAGES])
{
    ret[0] = load_map(rig, 0);
    open_rig_open(rig);
    open_rig_close(rig);
    ret[3] = load_map(rig, 0);
    cr_assert_eq(ret[3]->version, ret[0]->version + 2);
    ret[1] = pool_map_copy(ret[0]);
    ret[1]->promised = ret[3]->epoch;
    ret[2] = pool_map_copy(ret[3]);
    pool_map_follow(ret[2], ret[0]);
    ret[2]->version--;
    for (uint32_t i = 0; i < ret[2]->disk_count; i++) {
        ret[2]->disks[i].seen_version = ret[0]->version;
    }
}

Test(pool_promise, a_start_that_is_killed_between_two_map_writes_is_done_again)
{
    enum { DISKS = 3 };
    for (unsigned i = 0; i < (STAGES - 1) << DISKS; i++) {
        unsigned stage = 1 + (i >> DISKS);
        struct pool_map *maps[STAGES];
        struct open_rig rig;
        struct chunk_id id;
        open_rig_init(&rig, DISKS);
        open_rig_open(&rig);
        cr_assert_eq(open_rig_put(&rig, "some bytes", 1, &id), GFS_OK);
        open_rig_close(&rig);
        write_in_stages(&rig, maps);
        for (unsigned d = 0; d < DISKS; d++) { /* some have what comes before */
            store_map(&rig, d, maps[stage - (i >> d & 1)]);
        }
        open_rig_open(&rig);
        struct pool_view *view = open_rig_view(&rig);
        cr_assert_geq(view->map->version, maps[0]->version);
        for (unsigned d = 0; d < DISKS; d++) {
            cr_assert(!view->map->disks[d].is_behind, "mask %u disk %u", i, d);
        }
        for (uint32_t l = 0; l < view->map->log_disk_count; l++) {
            cr_assert(view->map->log_disks[l].is_in_sync);
        }
        pool_view_put(view);
        cr_assert(open_rig_has(&rig, id, "some bytes"));
        open_rig_fini(&rig);
        for (unsigned s = 0; s < STAGES; s++) {
            pool_map_free(maps[s]);
        }
    }
}

Test(pool_promise, a_creation_that_is_killed_anywhere_is_done_again)
{
    enum { DISKS = 3 };
    for (unsigned mask = 0; mask < 1U << DISKS; mask++) {
        struct open_rig rig;
        char name[OPEN_RIG_PATH_SIZE + 16];
        open_rig_init(&rig, DISKS);
        open_rig_open(&rig);
        open_rig_close(&rig);
        struct pool_map *first = load_map(&rig, 0);
        pool_map_follow(first, NULL);
        first->version = 1;
        for (unsigned i = 0; i < DISKS; i++) {
            first->disks[i].seen_version = 0;
        }
        for (unsigned i = 0; i < DISKS; i++) {
            store_map(&rig, i, first);
            if ((mask & 1U << i) != 0) { /* these never got one */
                (void)snprintf(name, sizeof name, "%s/pool.json", rig.paths[i]);
                cr_assert_eq(unlink(name), 0);
                (void)snprintf(name, sizeof name, "%s/pool.new", rig.paths[i]);
                FILE *mark = fopen(name, "we");
                cr_assert_not_null(mark);
                (void)fclose(mark);
            }
        }
        pool_map_free(first);
        open_rig_open(&rig);
        struct pool_view *view = open_rig_view(&rig);
        cr_assert_eq(view->map->disk_count, DISKS, "mask %u", mask);
        pool_view_put(view);
        open_rig_fini(&rig);
    }
}

/* The log on the disk, as edits' LSNs added up. */
static enum gfs_err add_lsn(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    uint64_t *sum = arg;
    (void)edit;
    *sum += lsn;
    return GFS_OK;
}

/* Starts with one disk that can be opened write nothing that a later one would believe. */
Test(pool_promise, what_starts_without_a_quorum_leave_behind_never_rules)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    cr_assert_eq(open_rig_put(&rig, "some bytes", 1, &id), GFS_OK);
    open_rig_close(&rig);
    open_rig_take_away(&rig, 2);
    for (unsigned i = 0; i < 3; i++) {
        disk_doubles_fail_open(rig.doubles, rig.paths[1], GFS_IO);
        cr_assert_eq(open_rig_try(&rig), GFS_UNREACHABLE, "%u: %s", i, rig.error.text);
    }
    struct pool_map *left = load_map(&rig, 0);
    left->version += 50; /* as if it had been killed in the middle, again and again */
    left->before_version += 50;
    left->log_disks[1].is_in_sync = left->log_disks[2].is_in_sync = false;
    left->disks[1].is_behind = left->disks[2].is_behind = true;
    store_map(&rig, 0, left);
    pool_map_free(left);
    open_rig_take_away(&rig, 0);
    open_rig_bring_back(&rig, 2);
    open_rig_open(&rig);
    uint64_t lsn = (2 << 20) + 7, sum = 0;
    cr_assert_eq(open_rig_put(&rig, "acknowledged", lsn, &id), GFS_OK);
    open_rig_close(&rig);
    open_rig_bring_back(&rig, 0);
    open_rig_open(&rig);
    cr_assert_eq(pool_replay_edits(pool_chunks(rig.pool), lsn - 1, add_lsn, &sum, NULL), GFS_OK);
    cr_assert_eq(sum, lsn);
    cr_assert(open_rig_has(&rig, id, "acknowledged"));
    struct pool_view *view = open_rig_view(&rig);
    cr_assert(view->map->disks[0].is_behind);
    cr_assert(!view->map->disks[1].is_behind && !view->map->disks[2].is_behind);
    pool_view_put(view);
    open_rig_fini(&rig);
}

/* Too many fail at once: who is left does not go on without those that it calls failed. */
Test(pool_promise, one_disk_of_three_is_no_pool_though_the_others_failed_before_its_eyes)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    cr_assert_eq(open_rig_put(&rig, "some bytes", 1, &id), GFS_OK);
    struct pool_view *view = open_rig_view(&rig);
    (void)pthread_mutex_lock(&rig.pool->change_lock);
    pool_disk_drop(rig.pool, view->disks[1], GFS_IO, "test");
    pool_disk_drop(rig.pool, view->disks[2], GFS_IO, "test");
    (void)pthread_mutex_unlock(&rig.pool->change_lock);
    pool_view_put(view);
    (void)open_rig_put(&rig, "not acknowledged", 3, &id);
    open_rig_close(&rig);
    open_rig_take_away(&rig, 1);
    open_rig_take_away(&rig, 2);
    cr_assert_eq(open_rig_try(&rig), GFS_UNREACHABLE);
    open_rig_bring_back(&rig, 1);
    open_rig_bring_back(&rig, 2);
    open_rig_open(&rig);
    open_rig_fini(&rig);
}

/* A start that ends in the middle: what it was asked for cannot be. */
static void start_in_vain(struct open_rig *rig)
{
    const char *classes[] = {"no class", NULL};
    rig->options.classes = classes;
    cr_assert_eq(open_rig_try(rig), GFS_INVALID);
    rig->options.classes = NULL;
}

static void expect_behind(struct open_rig *rig, unsigned disk)
{
    open_rig_open(rig);
    struct pool_view *view = open_rig_view(rig);
    cr_expect(view->map->disks[disk].is_behind);
    pool_view_put(view);
    open_rig_close(rig);
}

/* How old it is cannot be told; nor could it be if it had a map again. */
Test(pool_promise, a_disk_with_a_damaged_map_is_compared_though_a_start_came_to_nothing)
{
    struct open_rig rig;
    char name[OPEN_RIG_PATH_SIZE + 16];
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    open_rig_close(&rig);
    (void)snprintf(name, sizeof name, "%s/pool.json", rig.paths[2]);
    FILE *file = fopen(name, "we");
    cr_assert_not_null(file);
    (void)fclose(file);
    start_in_vain(&rig);
    expect_behind(&rig, 2);
    open_rig_fini(&rig);
}

/* The newest version calls disk 1 failed, and has to be put in force anew; disk 2 was away. */
Test(pool_promise, a_disk_that_was_away_is_compared_though_a_start_came_to_nothing)
{
    struct open_rig rig;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    open_rig_reopen(&rig);
    open_rig_close(&rig);
    struct pool_map *last = load_map(&rig, 0);
    last->disks[2].seen_version = last->version - 1;
    store_map(&rig, 1, last);
    struct pool_map *newest = pool_map_copy(last);
    newest->version++;
    newest->disks[1].state = POOL_DISK_FAILED;
    for (uint32_t i = 0; i < newest->log_disk_count; i++) {
        newest->log_disks[i].is_in_sync = newest->log_disks[i].disk != 1;
    }
    pool_map_follow(newest, last);
    store_map(&rig, 0, newest);
    last->version--;
    last->before_version--;
    store_map(&rig, 2, last);
    start_in_vain(&rig);
    expect_behind(&rig, 2);
    pool_map_free(last);
    pool_map_free(newest);
    open_rig_fini(&rig);
}
