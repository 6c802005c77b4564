#include "tests/unit/pool/open_rig.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_watch.h"

enum { WAIT_MS = 10000, PATROL_MS = 5 };

static int unlink_one(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat;
    (void)type;
    return walk->level == 0 ? 0 : remove(path);
}

static void clear_dir(const char *path)
{
    (void)nftw(path, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
}

void open_rig_init(struct open_rig *rig, unsigned disks)
{
    *rig = (struct open_rig){0};
    gfs_log_set_level(GFS_LOG_ERROR);
    (void)snprintf(rig->home, sizeof rig->home, "/tmp/goodfs-pool-XXXXXX");
    cr_assert_not_null(mkdtemp(rig->home));
    for (unsigned i = 0; i < OPEN_RIG_DISKS_MAX; i++) {
        (void)snprintf(rig->paths[i], OPEN_RIG_PATH_SIZE, "%s/d%u", rig->home, i);
    }
    for (unsigned i = 0; i < disks; i++) {
        cr_assert_eq(mkdir(rig->paths[i], 0700), 0);
        rig->given[i] = rig->paths[i];
    }
    rig->doubles = disk_doubles_new();
    rig->options = (struct pool_options){
        .paths = rig->given, .driver = disk_doubles_driver(rig->doubles), .slow_ms = 200};
}

void open_rig_fini(struct open_rig *rig)
{
    open_rig_close(rig);
    disk_doubles_free(rig->doubles);
    clear_dir(rig->home);
    (void)rmdir(rig->home);
}

enum gfs_err open_rig_try(struct open_rig *rig)
{
    rig->error = (struct gfs_error){0};
    return pool_open(&rig->options, &rig->pool, &rig->error);
}

void open_rig_open(struct open_rig *rig)
{
    enum gfs_err err = open_rig_try(rig);
    cr_assert_eq(err, GFS_OK, "%s: %s", gfs_err_name(err), rig->error.text);
}

void open_rig_close(struct open_rig *rig)
{
    cr_assert(pool_close(GFS_TAKE(rig->pool), false));
}

void open_rig_reopen(struct open_rig *rig)
{
    open_rig_close(rig);
    open_rig_open(rig);
}

void open_rig_start(struct open_rig *rig, const struct pool_meta_hooks *hooks)
{
    struct pool_meta_hooks none = {0};
    pool_watch_set_interval(rig->pool, PATROL_MS);
    pool_start(rig->pool, hooks == NULL ? &none : hooks);
}

void open_rig_empty(struct open_rig *rig, unsigned disk)
{
    clear_dir(rig->paths[disk]);
}

static void rename_dir(const char *from, const char *to)
{
    cr_assert_eq(rename(from, to), 0, "%s: %d", from, errno);
}

void open_rig_take_away(struct open_rig *rig, unsigned disk)
{
    char away[OPEN_RIG_PATH_SIZE + 8];
    (void)snprintf(away, sizeof away, "%s.away", rig->paths[disk]);
    rename_dir(rig->paths[disk], away);
}

void open_rig_bring_back(struct open_rig *rig, unsigned disk)
{
    char away[OPEN_RIG_PATH_SIZE + 8];
    (void)snprintf(away, sizeof away, "%s.away", rig->paths[disk]);
    rename_dir(away, rig->paths[disk]);
}

void open_rig_swap(struct open_rig *rig, unsigned a, unsigned b)
{
    open_rig_take_away(rig, a);
    rename_dir(rig->paths[b], rig->paths[a]);
    char away[OPEN_RIG_PATH_SIZE + 8];
    (void)snprintf(away, sizeof away, "%s.away", rig->paths[a]);
    rename_dir(away, rig->paths[b]);
}

struct disk_double *open_rig_double(struct open_rig *rig, unsigned disk)
{
    struct disk_double *found = disk_doubles_at(rig->doubles, rig->paths[disk]);
    cr_assert_not_null(found);
    return found;
}

/* ---- groups ---- */

struct put {
    struct chunk_group group;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_done;
    enum gfs_err err;
};

static void put_done(struct chunk_group *group, enum gfs_err err)
{
    struct put *put = GFS_CONTAINER_OF(group, struct put, group);
    (void)pthread_mutex_lock(&put->lock);
    put->is_done = true;
    put->err = err;
    (void)pthread_cond_signal(&put->cond);
    (void)pthread_mutex_unlock(&put->lock);
}

static enum gfs_err submit(struct chunk_store *store, struct chunk_record *records)
{
    struct put put = {.group = {.done = put_done, .records = records}};
    (void)pthread_mutex_init(&put.lock, NULL);
    (void)pthread_cond_init(&put.cond, NULL);
    store->ops->submit(store, &put.group);
    (void)pthread_mutex_lock(&put.lock);
    while (!put.is_done) {
        (void)pthread_cond_wait(&put.cond, &put.lock);
    }
    (void)pthread_mutex_unlock(&put.lock);
    (void)pthread_cond_destroy(&put.cond);
    (void)pthread_mutex_destroy(&put.lock);
    return put.err;
}

void open_rig_append(struct chunk_store *store, uint64_t lsn)
{
    struct chunk_record edit = {
        .kind = CHUNK_RECORD_EDIT, .lsn = lsn, .payload = gfs_slice_str("edit")};
    cr_assert_eq(submit(store, &edit), GFS_OK);
}

enum gfs_err open_rig_put(struct open_rig *rig, const char *data, uint64_t lsn,
                          struct chunk_id *ret)
{
    struct chunk_store *store = pool_chunks(rig->pool);
    struct chunk_record edit = {
        .kind = CHUNK_RECORD_EDIT, .lsn = lsn, .payload = gfs_slice_str("edit")};
    struct chunk_record chunk = {.kind = CHUNK_RECORD_DATA,
                                 .payload = gfs_slice_str(data),
                                 .owner = gfs_slice_str("owner"),
                                 .next = lsn == 0 ? NULL : &edit};
    if (data[0] != '\0') {
        enum gfs_err err = store->ops->new_id(store, gfs_slice_str(""), strlen(data), &chunk.id);
        if (err != GFS_OK) {
            return err;
        }
        *ret = chunk.id;
    }
    return submit(store, data[0] == '\0' ? &edit : &chunk);
}

bool open_rig_has(struct open_rig *rig, struct chunk_id id, const char *data)
{
    struct chunk_store *store = pool_chunks(rig->pool);
    struct chunk_pin pin;
    size_t len = strlen(data);
    if (store->ops->pin(store, id, &pin) != GFS_OK) {
        return false;
    }
    char *bytes = gfs_alloc(pin.len + 1);
    enum gfs_err err =
        pin.len < len ? GFS_CORRUPT : store->ops->read(store, &pin, 0, pin.len, bytes, 0);
    store->ops->unpin(store, &pin);
    bool is_same = err == GFS_OK && memcmp(bytes, data, len) == 0;
    free(bytes);
    return is_same;
}

/* ---- the map ---- */

struct pool_view *open_rig_view(struct open_rig *rig)
{
    return pool_view_get(rig->pool);
}

bool open_rig_is_healthy(struct open_rig *rig, const struct pool_view *view)
{
    char reason[256];
    return !view->is_read_only && pool_health(rig->pool, reason, sizeof reason) == POOL_HEALTHY;
}

void open_rig_await(struct open_rig *rig,
                    bool (*is_true)(struct open_rig *rig, const struct pool_view *view))
{
    int64_t until = gfs_monotonic_ns() + (int64_t)WAIT_MS * 1000000;
    bool is_so = false;
    while (!is_so) {
        cr_assert_lt(gfs_monotonic_ns(), until, "it did not come true");
        struct pool_view *view = pool_view_get(rig->pool);
        is_so = is_true(rig, view);
        pool_view_put(view);
        if (!is_so) {
            (void)usleep(1000); /* what is waited for happens on the pool's threads */
        }
    }
}
