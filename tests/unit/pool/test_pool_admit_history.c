/* Random histories of starts, crashes in the middle of writing a map, disks that are away and come
 * back: who is let in as if it lacked nothing lacks nothing but what the map says. */
#include <stdlib.h>

#include "map_rig.h"
#include "pool/pool_map_file.h"

enum { DISKS = 5, STEPS = 300, HISTORIES = 200 };

/* A pool as it would behave, in short: what is durable where. */
struct model {
    uint64_t random;
    struct pool_map *own[DISKS]; /* durable on the disk */
    bool lacks[DISKS];           /* something that was acknowledged */
    bool is_there[DISKS];        /* used by the process that runs */
    struct pool_map *force;      /* NULL = no process runs */
    uint64_t used, version;      /* version numbers: tried by the process, last in force */
    uint64_t starts, refused;
};

static void stop(struct model *model)
{
    pool_map_free(model->force);
    model->force = NULL;
}

/* Puts the map, which is taken over, in force. False: the process crashed, or stopped for want of a
 * quorum; some disks may have it. */
static bool put_in_force(struct model *model, struct pool_map *map)
{
    bool crashes = map_rig_draw(&model->random, 6) == 0, took[POOL_DISKS_MAX] = {0};
    bool is_quorum = pool_map_is_quorum(model->force, model->is_there);
    map->version = ++model->used;
    map_rig_check(map);
    for (unsigned i = 0; i < DISKS; i++) {
        bool is_target = model->is_there[i] && map->disks[i].state == POOL_DISK_ACTIVE;
        took[i] = is_target && (!crashes || map_rig_draw(&model->random, 2) == 0);
        if (took[i]) {
            pool_map_free(model->own[i]);
            model->own[i] = pool_map_copy(map);
        }
    }
    stop(model);
    if (crashes || !is_quorum) {
        pool_map_free(map);
        return false;
    }
    for (unsigned i = 0; i < DISKS; i++) {
        map->disks[i].seen_version = took[i] ? map->version : map->disks[i].seen_version;
    }
    model->force = map;
    model->version = map->version;
    return true;
}

static void start(struct model *model)
{
    struct pool_found found[DISKS];
    struct pool_admitted admitted[DISKS];
    uint16_t numbers[DISKS];
    uint32_t count = 0;
    for (uint16_t i = 0; i < DISKS; i++) {
        model->is_there[i] = map_rig_draw(&model->random, 4) != 0;
        if (model->is_there[i]) {
            found[count] = (struct pool_found){
                .path = model->own[i]->disks[i].path, .has_identity = true, .map = model->own[i]};
            (void)snprintf(found[count].cluster, sizeof found[count].cluster, MAP_RIG_CLUSTER);
            memcpy(found[count].id, model->own[i]->disks[i].id, sizeof found[count].id);
            numbers[count++] = i;
        }
    }
    const struct pool_map *newest = NULL;
    struct gfs_error error = {0};
    enum gfs_err err = pool_admit(found, count, admitted, &newest, &error);
    model->starts++;
    if (err == GFS_UNREACHABLE || count == 0) {
        model->refused++;
        return;
    }
    cr_assert_eq(err, GFS_OK, "nobody is a copy: %s", error.text);
    cr_assert_geq(newest->version, model->version, "what was in force rules");
    struct pool_map *map = pool_map_copy(newest);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t disk = numbers[i];
        cr_assert_eq(admitted[i].number, disk);
        if (admitted[i].what == POOL_ADMIT_AWAY) {
            map->disks[disk].state = POOL_DISK_ACTIVE;
            map->disks[disk].is_behind = true;
        } else {
            cr_assert_eq(admitted[i].what, POOL_ADMIT_KNOWN);
            cr_assert(!model->lacks[disk] || newest->disks[disk].is_behind,
                      "disk %u lacks something, and nobody knows", disk);
        }
    }
    model->force = pool_map_copy(newest);
    model->used = newest->version;
    map->epoch++;
    (void)put_in_force(model, map);
}

/* Something is written: who is away is called behind before it is acknowledged. */
static void write_one(struct model *model)
{
    struct pool_map *map = pool_map_copy(model->force);
    bool has_changed = false;
    for (unsigned i = 0; i < DISKS; i++) {
        struct pool_map_disk *disk = &map->disks[i];
        if (!model->is_there[i] && disk->state == POOL_DISK_ACTIVE && !disk->is_behind) {
            disk->is_behind = has_changed = true;
        }
    }
    if (!has_changed) {
        pool_map_free(map);
    } else if (!put_in_force(model, map)) {
        return;
    }
    for (unsigned i = 0; i < DISKS; i++) {
        bool takes = model->is_there[i] && model->force->disks[i].state == POOL_DISK_ACTIVE;
        model->lacks[i] = model->lacks[i] || !takes;
    }
}

/* A pass: disks that are there lack nothing any more, and then the map says so. */
static void heal(struct model *model)
{
    struct pool_map *map = pool_map_copy(model->force);
    for (unsigned i = 0; i < DISKS; i++) {
        if (model->is_there[i] && map->disks[i].state == POOL_DISK_ACTIVE) {
            model->lacks[i] = false;
            map->disks[i].is_behind = false;
        }
    }
    (void)put_in_force(model, map);
}

/* A disk that is away is called failed. */
static void fail(struct model *model)
{
    uint64_t disk = map_rig_draw(&model->random, DISKS);
    if (!model->is_there[disk]) {
        struct pool_map *map = pool_map_copy(model->force);
        map->disks[disk].state = POOL_DISK_FAILED;
        map->disks[disk].is_behind = false;
        (void)put_in_force(model, map);
    }
}

static void step(struct model *model)
{
    if (model->force == NULL) {
        start(model);
        return;
    }
    switch (map_rig_draw(&model->random, 8)) {
    case 0:
        stop(model);
        break;
    case 1:
        heal(model);
        break;
    case 2:
        fail(model);
        break;
    case 3:
    case 4:
        model->is_there[map_rig_draw(&model->random, DISKS)] = false;
        break;
    default:
        write_one(model);
        break;
    }
}

Test(pool_admit_history, nobody_is_let_in_as_if_it_had_what_it_lacks)
{
    uint64_t starts = 0, refused = 0;
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        struct model model = {.random = seed};
        model.force = map_rig_new(DISKS, "replica:3");
        model.force->log_disk_count = 0;
        model.used = model.version = model.force->version;
        for (unsigned i = 0; i < DISKS; i++) {
            model.own[i] = pool_map_copy(model.force);
            model.is_there[i] = true;
        }
        for (unsigned i = 0; i < STEPS; i++) {
            step(&model);
        }
        stop(&model);
        for (unsigned i = 0; i < DISKS; i++) {
            pool_map_free(model.own[i]);
        }
        starts += model.starts;
        refused += model.refused;
    }
    cr_assert_gt(starts, refused * 2, "most starts are real ones: %lu of %lu are not",
                 (unsigned long)refused, (unsigned long)starts);
}
