/* Random histories of starts with some of the disks, of disks that fail and come back, and of
 * crashes in the middle of writing a map: what was in force is never forgotten, and who is let in
 * as if it lacked nothing lacks nothing but what the map says. */
#include <stdlib.h>

#include "map_rig.h"
#include "pool/pool_map_file.h"

enum { DISKS = 5, STEPS = 300, HISTORIES = 2000, VERSIONS_MAX = 4096 };

/* Which version followed which. */
struct made {
    uint64_t epoch, version, before_epoch, before_version;
};

/* A pool as it would behave, in short: what is durable where. */
struct model {
    uint64_t random;
    struct pool_map *own[DISKS]; /* durable on the disk */
    bool lacks[DISKS];           /* something that was acknowledged */
    bool is_there[DISKS];        /* used by the process that runs */
    struct pool_map *force;      /* NULL = no process runs */
    uint64_t used, epoch;        /* of the process: highest version tried, its epoch */
    struct made made[VERSIONS_MAX];
    unsigned made_count;
    uint64_t force_epoch, force_version; /* of what was in force last, by whatever process */
    uint64_t starts, refused, vain;
};

static void stop(struct model *model)
{
    pool_map_free(model->force);
    model->force = NULL;
}

static void note(struct model *model, const struct pool_map *map)
{
    cr_assert_lt(model->made_count, VERSIONS_MAX);
    model->made[model->made_count++] =
        (struct made){map->epoch, map->version, map->before_epoch, map->before_version};
}

/* Whether the map is what was in force last, or made from it. */
static bool knows_what_was_in_force(const struct model *model, const struct pool_map *map)
{
    uint64_t epoch = map->epoch, version = map->version;
    for (unsigned i = model->made_count; i > 0; i--) { /* the newest last */
        const struct made *made = &model->made[i - 1];
        if (epoch == model->force_epoch && version == model->force_version) {
            return true;
        }
        if (made->epoch == epoch && made->version == version) {
            epoch = made->before_epoch;
            version = made->before_version;
        }
    }
    return epoch == model->force_epoch && version == model->force_version;
}

/* Answers whether the disk has it: when the process crashes, some have. */
static bool store(struct model *model, unsigned disk, const struct pool_map *map, bool crashes)
{
    if (crashes && map_rig_draw(&model->random, 2) == 0) {
        return false;
    }
    pool_map_free(model->own[disk]);
    model->own[disk] = pool_map_copy(map);
    return true;
}

/* targets: becomes who has it. False: the process crashed. */
static bool write_to_all(struct model *model, struct pool_map *map, bool targets[POOL_DISKS_MAX])
{
    bool crashes = map_rig_draw(&model->random, 8) == 0;
    map_rig_check(map);
    note(model, map);
    for (unsigned i = 0; i < DISKS; i++) {
        targets[i] = targets[i] && store(model, i, map, crashes);
    }
    return !crashes;
}

/* The next version, which is taken over. False: the process ended, by a crash or for want of a
 * quorum; some disks may have it. */
static bool put_in_force(struct model *model, struct pool_map *map, bool is_first)
{
    bool took[POOL_DISKS_MAX] = {0}, is_done = false;
    pool_map_follow(map, model->force);
    map->epoch = map->promised = model->epoch;
    while (!is_done) { /* each turn but the last loses a disk */
        unsigned bad = (unsigned)map_rig_draw(&model->random, DISKS * 6);
        map->version = ++model->used;
        for (unsigned i = 0; i < DISKS; i++) {
            took[i] = model->is_there[i] && map->disks[i].state == POOL_DISK_ACTIVE;
        }
        if (!pool_map_is_joint_quorum(map, took)) {
            stop(model);
            pool_map_free(map);
            return false;
        }
        is_done = bad >= DISKS || !model->is_there[bad];
        if (!is_done) { /* it fails while it is written to, and the others take it */
            model->is_there[bad] = took[bad] = false;
            model->vain++;
        }
        if (!write_to_all(model, map, took)) {
            stop(model);
            pool_map_free(map);
            return false;
        }
        if (!is_done) {
            map->disks[bad].state = POOL_DISK_FAILED;
            map->disks[bad].is_behind = false;
        }
    }
    for (unsigned i = 0; i < DISKS; i++) {
        map->disks[i].seen_version = took[i] ? map->version : map->disks[i].seen_version;
    }
    pool_map_free(model->force);
    model->force = map;
    model->force_epoch = map->epoch;
    model->force_version = map->version;
    return (!is_first && pool_map_has_same_votes(map)) ||
           put_in_force(model, pool_map_copy(map), false);
}

/* Answers whether the process goes on. */
static bool take_epoch(struct model *model, struct pool_map **newest)
{
    bool crashes = map_rig_draw(&model->random, 8) == 0, took[POOL_DISKS_MAX] = {0};
    model->used = model->epoch = 0;
    for (unsigned i = 0; i < DISKS; i++) {
        if (model->is_there[i]) {
            model->epoch = GFS_MAX(model->epoch, model->own[i]->promised);
            model->used = GFS_MAX(model->used, model->own[i]->version);
        }
    }
    model->epoch++;
    for (unsigned i = 0; i < DISKS; i++) {
        if (model->is_there[i]) {
            struct pool_map *own = pool_map_copy(model->own[i]);
            own->promised = model->epoch;
            (void)store(model, i, own, crashes);
            pool_map_free(own);
        }
    }
    if (crashes || pool_map_has_same_votes(*newest)) {
        return !crashes;
    }
    struct pool_map *map = *newest;
    map->before_epoch = map->epoch;
    map->before_version = map->version;
    map->epoch = map->promised = model->epoch;
    map->version = ++model->used;
    memcpy(took, model->is_there, sizeof model->is_there); /* those called failed as well */
    return write_to_all(model, map, took) && pool_map_is_joint_quorum(map, took);
}

static void go_on(struct model *model, const struct pool_map *found, struct pool_map *map)
{
    struct pool_map *newest = pool_map_copy(found);
    if (!take_epoch(model, &newest)) {
        pool_map_free(newest);
        pool_map_free(map);
        return;
    }
    model->force = newest;
    (void)put_in_force(model, map, true);
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
    cr_assert(knows_what_was_in_force(model, newest), "what was in force rules");
    struct pool_map *map = pool_map_copy(newest), *rules = pool_map_copy(newest);
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
        map->disks[disk].seen_version =
            GFS_MAX(map->disks[disk].seen_version, model->own[disk]->version);
    }
    go_on(model, rules, map);
    pool_map_free(rules);
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
    } else if (!put_in_force(model, map, false)) {
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
    (void)put_in_force(model, map, false);
}

/* Disks that are away are called failed, or not. */
static void fail(struct model *model)
{
    struct pool_map *map = pool_map_copy(model->force);
    bool has_changed = false;
    for (unsigned i = 0; i < DISKS; i++) {
        bool fails = !model->is_there[i] && map->disks[i].state == POOL_DISK_ACTIVE &&
                     map_rig_draw(&model->random, 2) == 0;
        if (fails) {
            map->disks[i].state = POOL_DISK_FAILED;
            map->disks[i].is_behind = false;
            has_changed = true;
        }
    }
    if (has_changed) {
        (void)put_in_force(model, map, false);
    } else {
        pool_map_free(map);
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

Test(pool_admit_history, nothing_that_was_in_force_is_forgotten_and_nobody_hides_what_it_lacks)
{
    uint64_t starts = 0, refused = 0, vain = 0;
    struct model *model = gfs_alloc(sizeof *model);
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        *model = (struct model){.random = seed};
        model->force = map_rig_new(DISKS, "replica:3");
        model->force->log_disk_count = 0;
        model->used = model->force_version = model->force->version;
        for (unsigned i = 0; i < DISKS; i++) {
            model->own[i] = pool_map_copy(model->force);
            model->is_there[i] = true;
        }
        for (unsigned i = 0; i < STEPS; i++) {
            step(model);
        }
        stop(model);
        for (unsigned i = 0; i < DISKS; i++) {
            pool_map_free(model->own[i]);
        }
        starts += model->starts;
        refused += model->refused;
        vain += model->vain;
    }
    free(model);
    cr_assert_gt(starts, refused * 2, "most starts are real ones: %lu of %lu are not",
                 (unsigned long)refused, (unsigned long)starts);
    cr_assert_gt(vain, HISTORIES, "disks fail while they are written to");
}
