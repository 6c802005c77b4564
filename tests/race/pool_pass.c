/* Passes fill emptied disks, with copiers, while chunks are deleted, disks hang for moments, and
 * the pass is stopped at any time.
 *
 * Checked after each round: once a pass was whole, what was not deleted is whole on all disks, byte
 * for byte, and nothing that was deleted is anywhere. GOODFS_RACE_STEPS=N changes the number of
 * rounds. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "tests/unit/pool/repair_rig.h"

enum { ROUNDS = 8, DISKS = 6, CHUNKS = 36, PASSES_MAX = 4 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "race: %s:%d: %s\n", __FILE__, __LINE__, #condition);            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct race {
    struct repair_rig *rig;
    unsigned round;
    struct chunk_id ids[CHUNKS];
    bool is_there[CHUNKS];
    atomic_bool is_over;
};

static const uint32_t lens[] = {1, 70000, 1 << 20, 300000, 3 << 20, 5 << 20};

static const char *profile_of(unsigned i)
{
    return i % 2 == 0 ? "ec:4+2" : "replica:2";
}

static uint32_t len_of(unsigned i)
{
    return lens[i % GFS_COUNT(lens)];
}

static void fill(struct race *race)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        if (!race->is_there[i]) {
            race->ids[i] = repair_rig_put(race->rig, profile_of(i), i, i, len_of(i));
            race->is_there[i] = true;
        }
    }
}

static void call_behind(struct pool_map *map, void *arg)
{
    map->disks[*(uint16_t *)arg].is_behind = true;
}

static void stop_at(struct repair_rig *rig, struct chunk_id id)
{
    (void)id;
    if (++rig->opens == rig->stop_at) {
        pool_pace_stop(rig->pace);
    }
}

/* A third of the chunks. */
static void *delete_main(void *arg)
{
    struct race *race = arg;
    for (unsigned i = race->round % 3; i < CHUNKS; i += 3) {
        repair_rig_delete(race->rig, race->ids[i], false);
        race->is_there[i] = false;
        (void)sched_yield();
    }
    return NULL;
}

static void *disturb_main(void *arg)
{
    struct race *race = arg;
    for (unsigned i = 0; !atomic_load(&race->is_over); i++) {
        struct disk_double *disk = race->rig->doubles[i / 2 % DISKS];
        disk_double_hang(disk, i % 2 == 0);
        (void)sched_yield();
    }
    for (unsigned i = 0; i < DISKS; i++) {
        disk_double_hang(race->rig->doubles[i], false);
    }
    return NULL;
}

static bool is_anywhere(struct repair_rig *rig, struct chunk_id id)
{
    const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(id)];
    for (unsigned disk = 0; disk < DISKS; disk++) {
        for (unsigned slot = 0; slot < pool_profile_width(group->profile); slot++) {
            if (disk_double_has(rig->doubles[disk], pool_fragment_id(group, id, slot))) {
                return true;
            }
        }
    }
    return false;
}

static void run_round(struct race *race)
{
    struct repair_rig *rig = race->rig;
    uint16_t disk = (uint16_t)(race->round % DISKS);
    fill(race);
    repair_rig_change(rig, call_behind, &disk);
    repair_rig_empty(rig, disk);
    rig->opens = 0;
    rig->stop_at = race->round % 2 == 0 ? 0 : 1 + race->round * 3;
    rig->on_open = stop_at;
    atomic_store(&race->is_over, false);
    pthread_t deleter;
    pthread_t disturber;
    CHECK(pthread_create(&deleter, NULL, delete_main, race) == 0);
    CHECK(pthread_create(&disturber, NULL, disturb_main, race) == 0);
    (void)repair_rig_pass(rig);
    CHECK(pthread_join(deleter, NULL) == 0);
    atomic_store(&race->is_over, true);
    CHECK(pthread_join(disturber, NULL) == 0);
    rig->on_open = NULL;
    enum pool_pass_outcome outcome = POOL_PASS_INCOMPLETE;
    for (unsigned i = 0; i < PASSES_MAX && outcome != POOL_PASS_WHOLE; i++) {
        outcome = repair_rig_pass(rig);
    }
    CHECK(outcome == POOL_PASS_WHOLE);
    CHECK(rig->drops == 0);
    CHECK(repair_rig_flags(rig) == 0);
    for (unsigned i = 0; i < CHUNKS; i++) {
        CHECK(race->is_there[i] ? repair_rig_is_whole(rig, race->ids[i], i, len_of(i))
                                : !is_anywhere(rig, race->ids[i]));
    }
}

int main(void)
{
    const char *text = getenv("GOODFS_RACE_STEPS");
    unsigned rounds = text == NULL ? ROUNDS : (unsigned)strtoul(text, NULL, 10);
    struct race *race = gfs_alloc(sizeof *race);
    race->rig = repair_rig_new(DISKS, "ec:4+2", "replica:2");
    for (race->round = 0; race->round < rounds; race->round++) {
        run_round(race);
    }
    repair_rig_free(race->rig);
    free(race);
    (void)puts("race: passes: as they should be");
    return 0;
}
