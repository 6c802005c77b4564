/* Many threads submit groups to a pool on disk doubles that answer on threads of their own, while a
 * watch makes maps, disks fill up and empty, one hangs and one fails.
 *
 * Checked while it runs, by the rig: the order of answers, data before edits, what is missing is
 * called behind, an acknowledged edit is on every mirror in sync; at the end, that nobody holds
 * anything. GOODFS_RACE_STEPS=N changes the number of groups a thread. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "tests/unit/pool/submit_rig.h"

enum { THREADS = 4, STEPS = 1500, DISKS = 6, AHEAD_MAX = 64 };

struct race {
    struct submit_rig *rig;
    pthread_mutex_t order; /* LSNs are given in the order of submission */
    unsigned steps;
    atomic_uint submitted;
    atomic_bool is_over;
};

static void *submit_main(void *arg)
{
    struct race *race = arg;
    struct submit_rig *rig = race->rig;
    uint64_t state = (uint64_t)(uintptr_t)&state;
    struct submit_group *mine[AHEAD_MAX] = {NULL};
    for (unsigned i = 0; i < race->steps; i++) {
        struct submit_group *oldest = mine[i % AHEAD_MAX];
        bool is_good = oldest != NULL && submit_rig_await(oldest) == GFS_OK;
        unsigned flags = map_rig_draw(&state, 6) == 0 ? 0 : SUBMIT_EDIT;
        uint32_t pg = 1 + (uint32_t)map_rig_draw(&state, 2);
        uint32_t len = 1 + (uint32_t)map_rig_draw(&state, 3000);
        (void)pthread_mutex_lock(&race->order);
        if (is_good && !oldest->is_delete && map_rig_draw(&state, 4) == 0) {
            mine[i % AHEAD_MAX] = submit_rig_delete(rig, oldest, flags | SUBMIT_RESERVE);
        } else {
            mine[i % AHEAD_MAX] = submit_rig_put(rig, pg, 1, len, flags);
        }
        (void)pthread_mutex_unlock(&race->order);
        atomic_fetch_add(&race->submitted, 1);
    }
    return NULL;
}

static void *watch_main(void *arg)
{
    struct race *race = arg;
    while (!atomic_load(&race->is_over)) {
        if (!submit_rig_watch(race->rig)) {
            (void)sched_yield();
        }
        pool_submit_tick(&race->rig->pool, gfs_monotonic_ns());
        if (pool_submit_pause(&race->rig->pool) == GFS_OK) {
            GFS_ASSERT(race->rig->pool.view != NULL);
        }
        pool_submit_resume(&race->rig->pool);
    }
    return NULL;
}

/* What happens to the disks, as the groups go by. */
static void disturb(struct race *race)
{
    struct submit_rig *rig = race->rig;
    unsigned all = THREADS * race->steps;
    unsigned at;
    unsigned last = 0;
    while ((at = atomic_load(&race->submitted) * 20 / all) < 19) {
        if (at != last) {
            last = at;
            disk_double_set_room(rig->doubles[4], at % 2 ? DISK_DOUBLE_FULL : DISK_DOUBLE_ROOM);
        }
        if (at == 8 && !atomic_load(&rig->disks[1]->is_dropped)) {
            disk_double_hang(rig->doubles[1], true);
            pool_disk_drop(&rig->pool, rig->disks[1], GFS_TIMEOUT, "write");
        }
        if (at == 13) {
            disk_double_fail(rig->doubles[5], 1);
        }
        (void)sched_yield();
    }
}

static void run(const char *profile, bool has_faults, unsigned steps)
{
    struct race race = {.rig = submit_rig_new(DISKS, profile), .steps = steps};
    race.rig->pool.options.slow_ms = 30000; /* a machine with much to do is no fault */
    (void)pthread_mutex_init(&race.order, NULL);
    for (unsigned i = 0; i < DISKS; i++) {
        disk_double_set_auto(race.rig->doubles[i], true);
    }
    pthread_t watch;
    pthread_t threads[THREADS];
    int rc = pthread_create(&watch, NULL, watch_main, &race);
    for (unsigned i = 0; i < THREADS && rc == 0; i++) {
        rc = pthread_create(&threads[i], NULL, submit_main, &race);
    }
    GFS_ASSERT(rc == 0);
    int64_t begin_ns = gfs_monotonic_ns();
    if (has_faults) {
        disturb(&race);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    size_t good = 0;
    for (size_t i = 0; i < race.rig->count; i++) {
        good += submit_rig_await(race.rig->groups[i]) == GFS_OK ? 1 : 0;
    }
    int64_t ns = gfs_monotonic_ns() - begin_ns;
    atomic_store(&race.is_over, true);
    (void)pthread_join(watch, NULL);
    (void)printf("%s: %zu groups, %zu acknowledged, %lld us each\n", profile, race.rig->count, good,
                 (long long)(ns / 1000 / (int64_t)race.rig->count));
    GFS_ASSERT(has_faults || good == race.rig->count);
    GFS_ASSERT(good > race.rig->count / 10); /* what is refused is refused quickly */
    submit_rig_check_all(race.rig);
    submit_rig_free(race.rig);
    (void)pthread_mutex_destroy(&race.order);
}

int main(void)
{
    const char *wanted = getenv("GOODFS_RACE_STEPS");
    unsigned steps = wanted == NULL ? STEPS : (unsigned)strtoul(wanted, NULL, 10);
    run("replica:3", false, steps);
    run("ec:2+2", true, steps);
    run("replica:3", true, steps);
    return 0;
}
