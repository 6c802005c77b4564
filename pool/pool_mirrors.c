/* Who holds copies of the metadata, and what its keeper is told about them.
 *
 *   log disk, not in sync -> its log is made that of the others: compared, extended, and once more
 *   while no edit is under way; from then on it takes every edit -> hook join: the database is
 *   copied -> in sync by a version of the map
 *
 * A log that holds edits which never counted (its disk was away when they were given up), or that
 * is damaged, cannot become that of the others: the disk waits until all it holds is trimmed, and
 * nothing of it will be read again. The keeper is asked for that: nobody else may write an edit for
 * days.
 *
 * The hooks take as long as they take: they have this thread to themselves. Logs are read and
 * written by errands, which are left alone when a disk hangs in them; no pass of repair waits for
 * any of this, as nothing here is work on chunks. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"
#include "pool/pool_log.h"
#include "pool/pool_pace.h"
#include "pool/pool_plan.h"
#include "pool/pool_watch.h"

enum { LOOK_MS = 1000, EXTENDS_MAX = 8, RETRY_S = 5, WAIT_STEP_MS = 100 };

/* Plain data. A copy that the keeper of the metadata knows. */
struct copy {
    uint16_t disk; /* POOL_NO_DISK = none */
    char path[POOL_PATH_LEN_MAX];
};

struct pool_mirrors {
    struct pool *pool;
    struct pool_pace pace; /* the thread sleeps on it between its looks */
    pthread_t thread;
    bool is_running;
    /* Owned by the thread. */
    struct copy live;
    struct copy copies[POOL_LOG_DISKS];
    int64_t retry_ns[POOL_DISKS_MAX];
    struct pool_errand *log_work[POOL_DISKS_MAX]; /* by disk; given up, but not over */
};

static void set_copy(struct copy *copy, const struct pool_map *map, uint16_t disk)
{
    copy->disk = disk;
    (void)snprintf(copy->path, sizeof copy->path, "%s", map->disks[disk].path);
}

static const struct pool_log_disk *find_log_disk(const struct pool_map *map, uint16_t disk)
{
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == disk) {
            return &map->log_disks[i];
        }
    }
    return NULL;
}

static bool is_good(const struct pool_view *view, uint16_t disk)
{
    const struct pool_log_disk *log_disk =
        disk == POOL_NO_DISK ? NULL : find_log_disk(view->map, disk);
    return log_disk != NULL && log_disk->is_in_sync && pool_disk_is_usable(view->disks[disk]);
}

/* ---- the live database ---- */

struct sync_change {
    struct pool_disk *disk;
    bool is_in_sync;
};

static enum gfs_err change_sync(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const struct sync_change *change = arg;
    uint32_t others = 0;
    struct pool_log_disk *own = NULL;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == change->disk->number) {
            own = &map->log_disks[i];
        } else {
            others += map->log_disks[i].is_in_sync ? 1 : 0;
        }
    }
    bool is_able = !change->is_in_sync || (pool_disk_is_usable(change->disk) &&
                                           atomic_load(&change->disk->takes_edits));
    if (own == NULL || !is_able) {
        return gfs_fail(error, GFS_CONFLICT, "the disk was lost meanwhile");
    }
    if (!change->is_in_sync && others == 0) {
        return gfs_fail(error, GFS_CONFLICT, "there is no other copy of the metadata");
    }
    own->is_in_sync = change->is_in_sync;
    pool_plan_log_disks(map);
    return GFS_OK;
}

static enum gfs_err set_in_sync(struct pool *pool, struct pool_disk *disk, bool is_in_sync)
{
    struct gfs_error error = {0};
    struct sync_change change = {.disk = disk, .is_in_sync = is_in_sync};
    enum gfs_err err = pool_change_map(pool, change_sync, &change, &error);
    gfs_log(err == GFS_OK ? GFS_LOG_INFO : GFS_LOG_WARN, "op=mirror disk=%u err=%s msg=\"%s %s\"",
            disk->number, gfs_err_name(err), is_in_sync ? "in sync" : "not in sync any more",
            error.text);
    return err;
}

static void forget_copy(struct pool_mirrors *mirrors, uint16_t disk)
{
    for (size_t i = 0; i < POOL_LOG_DISKS; i++) {
        if (mirrors->copies[i].disk == disk) {
            mirrors->copies[i].disk = POOL_NO_DISK;
        }
    }
}

/* Answers whether the live database is where it can be. */
static bool move_to(struct pool_mirrors *mirrors, struct pool_view *view, uint16_t disk)
{
    const struct pool_meta_hooks *hooks = &mirrors->pool->hooks;
    struct copy next;
    set_copy(&next, view->map, disk);
    enum gfs_err err = hooks->move == NULL
                           ? GFS_OK
                           : hooks->move(hooks->arg, mirrors->live.path, next.path);
    gfs_log(err == GFS_OK ? GFS_LOG_WARN : GFS_LOG_ERROR, "op=mirror disk=%u lost=%u err=%s "
            "msg=\"the metadata goes on with the copy there\"", disk, mirrors->live.disk,
            gfs_err_name(err));
    if (err == GFS_OK || err == GFS_EXISTS) {
        forget_copy(mirrors, disk);
        mirrors->live = next;
        return true;
    }
    if (err == GFS_STOPPED) { /* says nothing of the disk: the next start sees to it */
        return true;
    }
    atomic_store(&view->disks[disk]->takes_edits, false);
    (void)set_in_sync(mirrors->pool, view->disks[disk], false);
    return false;
}

static void keep_live(struct pool_mirrors *mirrors)
{
    bool is_done = false;
    for (uint32_t turn = 0; turn < POOL_LOG_DISKS && !is_done; turn++) {
        struct pool_view *view = pool_view_get_pinned(mirrors->pool);
        is_done = is_good(view, mirrors->live.disk);
        for (uint32_t i = 0; i < view->map->log_disk_count && !is_done; i++) {
            uint16_t disk = view->map->log_disks[i].disk;
            if (is_good(view, disk)) {
                is_done = move_to(mirrors, view, disk);
                break; /* it may be another map now */
            }
        }
        pool_view_unpin(view);
    }
}

/* ---- copies that go ---- */

static void let_go(struct pool_mirrors *mirrors)
{
    const struct pool_meta_hooks *hooks = &mirrors->pool->hooks;
    struct pool_view *view = pool_view_get_pinned(mirrors->pool);
    for (size_t i = 0; i < POOL_LOG_DISKS; i++) {
        struct copy *copy = &mirrors->copies[i];
        if (copy->disk == POOL_NO_DISK || is_good(view, copy->disk)) {
            continue;
        }
        const struct pool_log_disk *log_disk = find_log_disk(view->map, copy->disk);
        if (log_disk != NULL && log_disk->is_in_sync) { /* no map can say yet that it is not */
            atomic_store(&mirrors->pool->is_log_held, true); /* before nobody trims for it */
        }
        if (hooks->leave != NULL) {
            hooks->leave(hooks->arg, copy->path);
        }
        copy->disk = POOL_NO_DISK;
    }
    pool_view_unpin(view);
}

/* ---- copies that come ---- */

static struct pool_disk *find_source(const struct pool_view *view)
{
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        if (is_good(view, view->map->log_disks[i].disk)) {
            return view->disks[view->map->log_disks[i].disk];
        }
    }
    return NULL;
}

static bool is_even(struct chunk_store *from, struct chunk_store *to)
{
    struct chunk_store_status of_from = {0}, of_to = {0};
    from->ops->status(from, &of_from);
    to->ops->status(to, &of_to);
    return of_to.lsn_last >= of_from.lsn_last;
}

/* Comparing a log with another, or extending it, by an errand. */
struct log_work {
    struct pool_disk *from, *to; /* counted */
    bool is_compare;
    uint64_t trimmed;
    enum gfs_err err;
    struct gfs_error error;
};

static void run_log_work(void *arg)
{
    struct log_work *work = arg;
    work->err = work->is_compare
                    ? pool_log_compare(work->from->store, work->to->store, work->trimmed,
                                       &work->error)
                    : pool_log_extend(work->from->store, work->to->store, &work->error);
}

static void end_log_work(void *arg)
{
    struct log_work *work = arg;
    pool_disk_unref(work->from);
    pool_disk_unref(work->to);
    free(work);
}

/* limit_ms 0: as long as both disks are in use. One that is given up may still write to the log of
 * `to`, which nothing else does before it is over. */
static enum gfs_err work_on_log(struct pool_mirrors *mirrors, const struct log_work *wanted,
                                uint32_t limit_ms, struct gfs_error *error)
{
    struct log_work *work = gfs_alloc(sizeof *work);
    *work = *wanted;
    (void)pool_disk_ref(work->from);
    (void)pool_disk_ref(work->to);
    struct pool_errand *errand = pool_errand_start(mirrors->pool->errands, "mirror-log",
                                                   run_log_work, end_log_work, work);
    uint32_t waited_ms = 0;
    bool is_over = false;
    for (bool goes_on = true; goes_on && !is_over; waited_ms += WAIT_STEP_MS) {
        is_over = pool_errand_await(errand, WAIT_STEP_MS);
        goes_on = pool_disk_is_usable(wanted->from) && pool_disk_is_usable(wanted->to) &&
                  !pool_pace_is_stopped(&mirrors->pace) && (limit_ms == 0 || waited_ms < limit_ms);
    }
    if (!is_over) {
        mirrors->log_work[wanted->to->number] = errand;
        return gfs_fail(error, GFS_TIMEOUT, "a disk does not answer");
    }
    enum gfs_err err = work->err == GFS_OK ? GFS_OK : gfs_fail(error, work->err, "%s",
                                                              work->error.text);
    pool_errand_let_go(errand);
    return err;
}

static bool is_log_busy(struct pool_mirrors *mirrors, uint16_t disk)
{
    struct pool_errand **errand = &mirrors->log_work[disk];
    if (*errand != NULL && pool_errand_await(*errand, 0)) {
        pool_errand_let_go(GFS_TAKE(*errand));
    }
    return *errand != NULL;
}

/* The log of `to` becomes that of the others, and takes edits. */
static enum gfs_err join_log(struct pool_mirrors *mirrors, struct pool_disk *from,
                             struct pool_disk *to, struct gfs_error *error)
{
    struct pool *pool = mirrors->pool;
    if (atomic_load(&to->takes_edits)) {
        return GFS_OK;
    }
    if (is_log_busy(mirrors, to->number)) {
        return gfs_fail(error, GFS_BUSY, "an earlier attempt hangs in a disk");
    }
    const struct log_work extend = {.from = from, .to = to};
    struct log_work compare = {.from = from, .to = to, .is_compare = true};
    compare.trimmed = atomic_load(&pool->lsn_trimmed);
    enum gfs_err err = work_on_log(mirrors, &compare, 0, error);
    for (int i = 0; i < EXTENDS_MAX && err == GFS_OK && !is_even(from->store, to->store); i++) {
        err = work_on_log(mirrors, &extend, 0, error);
    }
    if (err != GFS_OK) {
        return err;
    }
    err = pool_submit_pause(pool);
    if (err == GFS_OK) { /* nobody writes meanwhile */
        err = work_on_log(mirrors, &extend, pool->options.slow_ms, error);
    } else {
        (void)gfs_fail(error, err, "edits are under way for too long");
    }
    if (err == GFS_OK) {
        atomic_store(&to->takes_edits, true);
    }
    pool_submit_resume(pool);
    return err;
}

static void add_copy(struct pool_mirrors *mirrors, const struct pool_map *map, uint16_t disk)
{
    forget_copy(mirrors, disk);
    for (size_t i = 0; i < POOL_LOG_DISKS; i++) {
        if (mirrors->copies[i].disk == POOL_NO_DISK) {
            set_copy(&mirrors->copies[i], map, disk);
            return;
        }
    }
}

static void join(struct pool_mirrors *mirrors, struct pool_view *view, uint16_t number)
{
    struct pool *pool = mirrors->pool;
    const struct pool_meta_hooks *hooks = &pool->hooks;
    struct pool_disk *source = find_source(view), *disk = view->disks[number];
    struct gfs_error error = {0};
    enum gfs_err err =
        source == NULL ? gfs_fail(&error, GFS_UNREACHABLE, "no other mirror is there")
                       : join_log(mirrors, source, disk, &error);
    if (err == GFS_CONFLICT && hooks->trim != NULL) {
        hooks->trim(hooks->arg);
    }
    if (err == GFS_OK && hooks->join != NULL) {
        err = hooks->join(hooks->arg, disk->path);
        err = err == GFS_EXISTS ? GFS_OK : err;
        if (err != GFS_OK) {
            (void)gfs_fail(&error, err, "copying the database: %s", gfs_err_text(err));
        }
    }
    if (err == GFS_OK) {
        add_copy(mirrors, view->map, number);
        if (set_in_sync(pool, disk, true) == GFS_OK) {
            return;
        }
    } else {
        gfs_log(GFS_LOG_WARN, "op=mirror disk=%u err=%s msg=\"cannot hold the metadata yet: %s\"",
                number, gfs_err_name(err), error.text);
    }
    mirrors->retry_ns[number] = gfs_monotonic_ns() + (int64_t)RETRY_S * 1000000000;
}

static bool is_kept_up(const struct pool_mirrors *mirrors, uint16_t disk)
{
    bool is_it = mirrors->live.disk == disk;
    for (size_t i = 0; i < POOL_LOG_DISKS; i++) {
        is_it = is_it || mirrors->copies[i].disk == disk;
    }
    return is_it;
}

/* Mirrors that were away while no map could say so: they are in sync still, nothing was written
 * meanwhile, but their databases were let go of. */
static void resume_copies(struct pool_mirrors *mirrors)
{
    const struct pool_meta_hooks *hooks = &mirrors->pool->hooks;
    struct pool_view *view = pool_view_get_pinned(mirrors->pool);
    bool is_any_left = view->is_read_only;
    for (uint32_t i = 0; i < view->map->log_disk_count && !view->is_read_only; i++) {
        uint16_t disk = view->map->log_disks[i].disk;
        if (!view->map->log_disks[i].is_in_sync || is_kept_up(mirrors, disk)) {
            continue;
        }
        is_any_left = true;
        if (!is_good(view, disk) || gfs_monotonic_ns() < mirrors->retry_ns[disk]) {
            continue;
        }
        const char *path = view->map->disks[disk].path;
        enum gfs_err err = hooks->join == NULL ? GFS_OK : hooks->join(hooks->arg, path);
        if (err == GFS_OK || err == GFS_EXISTS) {
            add_copy(mirrors, view->map, disk);
        } else {
            mirrors->retry_ns[disk] = gfs_monotonic_ns() + (int64_t)RETRY_S * 1000000000;
            gfs_log(GFS_LOG_WARN, "op=mirror disk=%u err=%s msg=\"its copy of the metadata is not "
                    "kept up to date\"", disk, gfs_err_name(err));
        }
    }
    if (!is_any_left) {
        atomic_store(&mirrors->pool->is_log_held, false);
    }
    pool_view_unpin(view);
}

/* Not the one with the live database: if that is to go, keep_live moves first. */
static void take_in(struct pool_mirrors *mirrors)
{
    struct pool_view *view = pool_view_get_pinned(mirrors->pool);
    for (uint32_t i = 0; i < view->map->log_disk_count && !view->is_read_only; i++) {
        const struct pool_log_disk *log_disk = &view->map->log_disks[i];
        if (!log_disk->is_in_sync && log_disk->disk != mirrors->live.disk &&
            pool_disk_is_usable(view->disks[log_disk->disk]) &&
            gfs_monotonic_ns() >= mirrors->retry_ns[log_disk->disk]) {
            join(mirrors, view, log_disk->disk);
            break; /* one at a time: it is another map now */
        }
    }
    pool_view_unpin(view);
}

/* ---- the thread ---- */

/* What was given up keeps its disks open until it is over and somebody saw that. */
static void end_log_works(struct pool_mirrors *mirrors)
{
    for (uint16_t i = 0; i < POOL_DISKS_MAX; i++) {
        (void)is_log_busy(mirrors, i);
    }
}

static void *mirrors_main(void *arg)
{
    struct pool_mirrors *mirrors = arg;
    do {
        end_log_works(mirrors);
        keep_live(mirrors);
        let_go(mirrors);
        resume_copies(mirrors);
        take_in(mirrors);
    } while (pool_pace_sleep(&mirrors->pace, LOOK_MS));
    return NULL;
}

struct pool_mirrors *pool_mirrors_new(struct pool *pool)
{
    struct pool_mirrors *mirrors = gfs_alloc(sizeof *mirrors);
    mirrors->pool = pool;
    mirrors->live.disk = POOL_NO_DISK;
    for (size_t i = 0; i < POOL_LOG_DISKS; i++) {
        mirrors->copies[i].disk = POOL_NO_DISK;
    }
    pool_pace_init(&mirrors->pace, 0);
    /* What the keeper of the metadata opens: pool_mirror_dir. */
    struct pool_view *view = pool_view_get(pool);
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        const struct pool_log_disk *log_disk = &view->map->log_disks[i];
        if (log_disk->is_in_sync && mirrors->live.disk == POOL_NO_DISK) {
            set_copy(&mirrors->live, view->map, log_disk->disk);
        } else if (log_disk->is_in_sync) {
            add_copy(mirrors, view->map, log_disk->disk);
        }
    }
    pool_view_put(view);
    return mirrors;
}

void pool_mirrors_start(struct pool_mirrors *mirrors)
{
    if (mirrors->pool->is_minority) {
        return;
    }
    int status = pthread_create(&mirrors->thread, NULL, mirrors_main, mirrors);
    GFS_ASSERT(status == 0);
    (void)pthread_setname_np(mirrors->thread, "pool-mirrors");
    mirrors->is_running = true;
}

void pool_mirrors_stop(struct pool_mirrors *mirrors)
{
    if (mirrors == NULL || !mirrors->is_running) {
        return;
    }
    pool_pace_stop(&mirrors->pace);
    (void)pthread_join(mirrors->thread, NULL);
    for (uint32_t i = 0; i < POOL_DISKS_MAX; i++) {
        pool_errand_let_go(GFS_TAKE(mirrors->log_work[i]));
    }
    mirrors->is_running = false;
}

void pool_mirrors_free(struct pool_mirrors *mirrors)
{
    if (mirrors != NULL) {
        pool_pace_fini(&mirrors->pace);
        free(mirrors);
    }
}

void pool_mirrors_wake(struct pool *pool)
{
    pool_pace_wake(&pool->mirrors->pace);
}
