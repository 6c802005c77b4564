/* A shard is closed, or about to be, while the disk of one of its databases hangs. */
#include <sched.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "tests/unit/metad/copy_rig.h"
#include "tests/unit/metad/file_shim.h"

enum { KEYS = 50, STALL_MS = 300, SOON_S = 20 };

/* What hangs is left until the process ends; so does a test. */
static struct shard *volatile left_shard; /* a root, for who looks for leaks */

static void open_with(struct copy_rig *rig)
{
    copy_rig_init(rig);
    rig_close(&rig->rig);
    rig->rig.options.close_stall_ms = STALL_MS;
    rig->rig.options.cache_bytes_max = 1;
    rig_open(&rig->rig);
    copy_rig_add(rig, rig->dirs[0]);
    copy_rig_fill(rig, 0, KEYS);
    rig_await_applied(&rig->rig);
}

static void await_hanging(void)
{
    while (file_shim_hanging() == 0) {
        (void)sched_yield();
    }
}

/* Closes what does not close, and lets the disk answer again: its threads end. */
static void close_and_leave(struct copy_rig *rig)
{
    int64_t begun_ns = gfs_monotonic_ns();
    struct shard *shard = GFS_TAKE(rig->rig.shard);
    left_shard = shard;
    cr_expect(!shard_close(shard));
    cr_expect_lt(gfs_monotonic_ns() - begun_ns, SOON_S * 1000000000LL);
    file_shim_set("", FILE_SHIM_NONE);
    while (file_shim_hanging() != 0) {
        (void)sched_yield();
    }
}

/* What the next start makes of it, from the log and the directory of the live database or the copy.
 */
static void expect_all_in(struct copy_rig *rig, bool is_live, unsigned count)
{
    char dir[TEMP_DIR_SIZE];
    if (!is_live) {
        memcpy(dir, rig->rig.dir, sizeof dir);
        memcpy(rig->rig.dir, rig->dirs[0], sizeof dir);
        memcpy(rig->dirs[0], dir, sizeof dir);
    }
    rig_open(&rig->rig);
    copy_rig_check(rig, count);
    rig_close(&rig->rig);
    temp_dir_remove(rig->rig.dir);
    for (size_t i = 0; i < COPY_RIG_DIRS; i++) {
        temp_dir_remove(rig->dirs[i]);
    }
}

static void *visit_main(void *arg)
{
    struct copy_rig *rig = arg;
    struct chunk_id id = chunk_id_new(0);
    bool is_referred = false;
    return (void *)(intptr_t)shard_has_references(rig->rig.shard, &id, 1, &is_referred);
}

Test(shard_close, nobody_waits_for_a_database_that_hangs_when_the_service_is_about_to_stop)
{
    struct copy_rig rig;
    pthread_t thread;
    void *answer = NULL;
    open_with(&rig);
    file_shim_set(rig.rig.dir, FILE_SHIM_HANG);
    copy_rig_fill(&rig, KEYS, KEYS + 1); /* which the database does not get */
    await_hanging();
    cr_assert_eq(pthread_create(&thread, NULL, visit_main, &rig), 0);
    shard_end_waits(rig.rig.shard);
    (void)pthread_join(thread, &answer);
    cr_expect_eq((enum gfs_err)(intptr_t)answer, GFS_STOPPED);
    cr_expect_eq(shard_move(rig.rig.shard, rig.dirs[0], NULL), GFS_STOPPED);
    cr_expect_eq(shard_copy_add(rig.rig.shard, rig.dirs[1], NULL), GFS_STOPPED);
    copy_rig_fill(&rig, KEYS + 1, KEYS + 2); /* operations are taken until it closes */
    file_shim_set("", FILE_SHIM_NONE);
    copy_rig_fini(&rig);
}

Test(shard_close, a_live_database_that_hangs_is_given_up_and_the_log_has_what_it_lacks)
{
    struct copy_rig rig;
    open_with(&rig);
    file_shim_set(rig.rig.dir, FILE_SHIM_HANG);
    copy_rig_fill(&rig, KEYS, 2 * KEYS);
    await_hanging();
    close_and_leave(&rig);
    expect_all_in(&rig, false, 2 * KEYS);
}

Test(shard_close, a_copy_that_hangs_is_given_up_and_the_live_database_is_closed_in_order)
{
    struct copy_rig rig;
    open_with(&rig);
    file_shim_set(rig.dirs[0], FILE_SHIM_HANG);
    copy_rig_fill(&rig, KEYS, 2 * KEYS);
    close_and_leave(&rig);
    expect_all_in(&rig, true, 2 * KEYS);
}

/* A read came to hang in a database that was left since; it comes back when all is closed. */
Test(shard_close, a_reader_that_hangs_in_a_former_database_comes_back_to_a_shard_that_is_closed)
{
    struct copy_rig rig;
    pthread_t thread;
    void *answer = NULL;
    open_with(&rig);
    /* A connection is open, as opening one does not hang for long, and what it knows is old. */
    cr_assert_eq((enum gfs_err)(intptr_t)visit_main(&rig), GFS_OK);
    copy_rig_fill(&rig, KEYS, KEYS + 1);
    rig_await_applied(&rig.rig);
    file_shim_set(rig.rig.dir, FILE_SHIM_HANG);
    cr_assert_eq(pthread_create(&thread, NULL, visit_main, &rig), 0);
    await_hanging();
    cr_assert_eq(shard_move(rig.rig.shard, rig.dirs[0], NULL), GFS_OK);
    copy_rig_fill(&rig, KEYS + 1, 2 * KEYS);
    close_and_leave(&rig);
    (void)pthread_join(thread, &answer);
    cr_expect_eq((enum gfs_err)(intptr_t)answer, GFS_STOPPED);
    expect_all_in(&rig, false, 2 * KEYS);
}
