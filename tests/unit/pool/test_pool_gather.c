/* A start with disks that hang: the others do, and those come back when they answer. */
#include "pool/pool_gather.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "pool/pool_watch.h"
#include "tests/unit/pool/open_rig.h"

enum { SLOW_MS = 20, SOON_S = 5 };

/* The driver of the doubles, but for opening: one directory hangs, and none is opened twice, as the
 * lock of a store has it. */
struct hanging {
    struct pool_driver inner;
    pthread_mutex_t lock; /* guards what follows */
    struct gfs_cond changed;
    const char *dir; /* that hangs; NULL = none */
    unsigned hanging;
    struct chunk_store *stores[OPEN_RIG_DISKS_MAX]; /* that are open */
    char dirs[OPEN_RIG_DISKS_MAX][OPEN_RIG_PATH_SIZE];
};

static unsigned find_locked(const struct hanging *hanging, const char *dir)
{
    unsigned free = OPEN_RIG_DISKS_MAX;
    for (unsigned i = 0; i < OPEN_RIG_DISKS_MAX; i++) {
        if (hanging->dirs[i][0] == '\0') {
            free = i;
        } else if (strcmp(hanging->dirs[i], dir) == 0) {
            return OPEN_RIG_DISKS_MAX;
        }
    }
    return free;
}

static enum gfs_err open_or_hang(void *arg, const char *dir, const char *cluster,
                                 struct chunk_store **ret, uint8_t ret_id[16],
                                 struct gfs_error *error)
{
    struct hanging *hanging = arg;
    (void)pthread_mutex_lock(&hanging->lock);
    hanging->hanging++;
    while (hanging->dir != NULL && strcmp(hanging->dir, dir) == 0) {
        gfs_cond_wait(&hanging->changed, &hanging->lock);
    }
    hanging->hanging--;
    unsigned place = find_locked(hanging, dir);
    enum gfs_err err = GFS_BUSY;
    if (place < OPEN_RIG_DISKS_MAX) {
        err = hanging->inner.open(hanging->inner.arg, dir, cluster, ret, ret_id, error);
    }
    if (err == GFS_OK) {
        (void)snprintf(hanging->dirs[place], OPEN_RIG_PATH_SIZE, "%s", dir);
        hanging->stores[place] = *ret;
    }
    (void)pthread_mutex_unlock(&hanging->lock);
    return err;
}

static void close_open(void *arg, struct chunk_store *store)
{
    struct hanging *hanging = arg;
    (void)pthread_mutex_lock(&hanging->lock);
    for (unsigned i = 0; i < OPEN_RIG_DISKS_MAX; i++) {
        if (hanging->stores[i] == store) {
            hanging->stores[i] = NULL;
            hanging->dirs[i][0] = '\0';
        }
    }
    hanging->inner.close(hanging->inner.arg, store);
    (void)pthread_mutex_unlock(&hanging->lock);
}

static void set_hanging(struct hanging *hanging, const char *dir)
{
    (void)pthread_mutex_lock(&hanging->lock);
    hanging->dir = dir;
    gfs_cond_broadcast(&hanging->changed);
    (void)pthread_mutex_unlock(&hanging->lock);
}

static void init(struct open_rig *rig, struct hanging *hanging)
{
    open_rig_init(rig, 4);
    *hanging = (struct hanging){.inner = rig->options.driver};
    (void)pthread_mutex_init(&hanging->lock, NULL);
    gfs_cond_init(&hanging->changed);
    rig->options.driver.arg = hanging;
    rig->options.driver.open = open_or_hang;
    rig->options.driver.close = close_open;
    rig->options.slow_ms = SLOW_MS;
}

static void fini(struct open_rig *rig, struct hanging *hanging)
{
    open_rig_fini(rig);
    cr_expect_eq(hanging->hanging, 0u);
    for (unsigned i = 0; i < OPEN_RIG_DISKS_MAX; i++) {
        cr_expect_null(hanging->stores[i], "what opened too late was closed");
    }
    gfs_cond_fini(&hanging->changed);
    (void)pthread_mutex_destroy(&hanging->lock);
}

/* Opened without disk `away`: it is written to and read. */
static void use_without(struct open_rig *rig, unsigned away, struct chunk_id before)
{
    struct chunk_id id;
    struct pool_view *view = open_rig_view(rig);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(pool_disk_is_usable(view->disks[i]), i != away, "%u", i);
    }
    pool_view_put(view);
    open_rig_start(rig, NULL);
    cr_assert(open_rig_has(rig, before, "before"));
    cr_assert_eq(open_rig_put(rig, "meanwhile", 1 << 30, &id), GFS_OK);
    cr_assert(open_rig_has(rig, id, "meanwhile"));
}

Test(pool_gather, a_disk_whose_store_does_not_open_is_away_until_it_does)
{
    struct open_rig rig;
    struct hanging hanging;
    struct chunk_id id;
    for (unsigned disk = 0; disk < 2; disk++) { /* with the metadata, without */
        init(&rig, &hanging);
        open_rig_open(&rig);
        cr_assert_eq(open_rig_put(&rig, "before", 1, &id), GFS_OK);
        open_rig_close(&rig);
        set_hanging(&hanging, rig.paths[3 * disk]);
        int64_t begun_ns = gfs_monotonic_ns();
        open_rig_open(&rig);
        cr_expect_lt(gfs_monotonic_ns() - begun_ns, SOON_S * 1000000000LL);
        use_without(&rig, 3 * disk, id);
        set_hanging(&hanging, NULL);
        open_rig_await(&rig, open_rig_is_healthy);
        fini(&rig, &hanging);
    }
}

/* Lets go of the one that hangs when it is the only one that is not open, after a while. */
static void *release_later(void *arg)
{
    struct hanging *hanging = arg;
    unsigned count = 0;
    while (count < 3) {
        (void)usleep(1000);
        count = 0;
        (void)pthread_mutex_lock(&hanging->lock);
        for (unsigned i = 0; i < OPEN_RIG_DISKS_MAX; i++) {
            count += hanging->stores[i] != NULL ? 1 : 0;
        }
        (void)pthread_mutex_unlock(&hanging->lock);
    }
    (void)usleep(300000);
    set_hanging(hanging, NULL);
    return NULL;
}

Test(pool_gather, a_store_that_is_slower_than_the_others_is_waited_for)
{
    struct open_rig rig;
    struct hanging hanging;
    struct chunk_id id;
    pthread_t thread;
    init(&rig, &hanging);
    open_rig_open(&rig);
    cr_assert_eq(open_rig_put(&rig, "before", 1, &id), GFS_OK);
    open_rig_close(&rig);
    rig.options.slow_ms = 1000;
    set_hanging(&hanging, rig.paths[2]);
    cr_assert_eq(pthread_create(&thread, NULL, release_later, &hanging), 0);
    open_rig_open(&rig);
    (void)pthread_join(thread, NULL);
    struct pool_view *view = open_rig_view(&rig);
    cr_expect(pool_disk_is_usable(view->disks[2]));
    cr_expect_not(view->map->disks[2].is_behind);
    pool_view_put(view);
    fini(&rig, &hanging);
}

/* ---- looking ---- */

/* Whoever reads the identity of a disk hangs: it is a pipe into which nobody writes. */
static void hide_identity(const char *dir)
{
    char path[OPEN_RIG_PATH_SIZE + 32], hidden[OPEN_RIG_PATH_SIZE + 32];
    (void)snprintf(path, sizeof path, "%s/identity", dir);
    (void)snprintf(hidden, sizeof hidden, "%s.identity", dir);
    (void)rename(path, hidden); /* there is none in an empty directory */
    cr_assert_eq(mkfifo(path, 0600), 0);
}

/* They go on. Answers what is to be closed when nobody can look any more. */
static int show_identity(const char *dir)
{
    char path[OPEN_RIG_PATH_SIZE + 32], hidden[OPEN_RIG_PATH_SIZE + 32];
    (void)snprintf(path, sizeof path, "%s/identity", dir);
    (void)snprintf(hidden, sizeof hidden, "%s.identity", dir);
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(access(hidden, F_OK) == 0 ? rename(hidden, path) : unlink(path), 0);
    return fd;
}

Test(pool_gather, a_disk_that_cannot_be_looked_at_is_away_until_it_can)
{
    struct open_rig rig;
    struct hanging hanging;
    struct chunk_id id;
    init(&rig, &hanging);
    open_rig_open(&rig);
    cr_assert_eq(open_rig_put(&rig, "before", 1, &id), GFS_OK);
    open_rig_close(&rig);
    hide_identity(rig.paths[0]);
    open_rig_open(&rig);
    use_without(&rig, 0, id);
    int fd = show_identity(rig.paths[0]);
    open_rig_await(&rig, open_rig_is_healthy);
    (void)close(fd);
    fini(&rig, &hanging);
}

struct showing {
    const char *dir;
    int fd;
};

static void *show_later(void *arg)
{
    struct showing *showing = arg;
    (void)usleep(SLOW_MS * 20 * 1000);
    showing->fd = show_identity(showing->dir);
    return NULL;
}

Test(pool_gather, a_new_pool_does_without_no_disk)
{
    struct open_rig rig;
    struct hanging hanging;
    init(&rig, &hanging);
    struct showing showing = {.dir = rig.paths[3]};
    pthread_t thread;
    hide_identity(showing.dir);
    cr_assert_eq(pthread_create(&thread, NULL, show_later, &showing), 0);
    cr_assert_neq(open_rig_try(&rig), GFS_OK);
    cr_expect_not_null(strstr(rig.error.text, "does not answer"), "%s", rig.error.text);
    (void)pthread_join(thread, NULL);
    (void)close(showing.fd);
    fini(&rig, &hanging);
}
