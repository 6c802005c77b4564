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
 * A mirror in sync whose database is not kept up (it was away while no map could say so) needs the
 * edits that it lacks: nothing is trimmed. When its database cannot be made again it is called out
 * of sync, if enough are in sync without it, and the logs can be trimmed.
 *
 * The hooks take as long as they take: they have this thread to themselves. Logs are read and
 * written by errands, which are left alone when a disk hangs in them; no pass of repair waits for
 * any of this, as nothing here is work on chunks. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_log_work.h"
#include "pool/pool_pace.h"
#include "pool/pool_plan.h"
#include "pool/pool_watch.h"

enum {
    LOOK_MS = 1000,
    EXTENDS_MAX = 8,
    RETRY_S = 1, /* at first; each time in a row twice as long */
    RETRY_S_MAX = 60,
    RESUMES_MAX = 3, /* attempts to keep a database up to date before its mirror is given up */
    STILL_STEP_MS = 10,
};

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
    uint32_t failures[POOL_DISKS_MAX]; /* to be a mirror; in a row */
    bool is_in_vain[POOL_DISKS_MAX];   /* a version that calls it in sync may be on some disk */
    struct pool_log_works log_works;
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

static void retry_later(struct pool_mirrors *mirrors, uint16_t disk)
{
    uint32_t failures = mirrors->failures[disk]++;
    int64_t after_s = failures < 6 ? (int64_t)RETRY_S << failures : RETRY_S_MAX;
    mirrors->retry_ns[disk] =
        gfs_monotonic_ns() + GFS_MIN(after_s, (int64_t)RETRY_S_MAX) * 1000000000;
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
    bool is_able = !change->is_in_sync ||
                   (pool_disk_is_usable(change->disk) && atomic_load(&change->disk->takes_edits));
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
    enum gfs_err err =
        hooks->move == NULL ? GFS_OK : hooks->move(hooks->arg, mirrors->live.path, next.path);
    gfs_log(err == GFS_OK ? GFS_LOG_WARN : GFS_LOG_ERROR,
            "op=mirror disk=%u lost=%u err=%s "
            "msg=\"the metadata goes on with the copy there\"",
            disk, mirrors->live.disk, gfs_err_name(err));
    if (err == GFS_OK || err == GFS_EXISTS) {
        forget_copy(mirrors, disk);
        mirrors->live = next;
        return true;
    }
    if (err == GFS_STOPPED) { /* says nothing of the disk: the next start sees to it */
        return true;
    }
    forget_copy(mirrors, disk);
    if (set_in_sync(mirrors->pool, view->disks[disk], false) != GFS_OK) {
        atomic_store(&mirrors->pool->is_log_held, true); /* it counts as one, and is not kept up */
    }
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
        if (log_disk != NULL && log_disk->is_in_sync) {      /* no map can say yet that it is not */
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

/* Not one that hangs: nothing was heard of it since an earlier attempt. */
static struct pool_disk *find_source(const struct pool_mirrors *mirrors,
                                     const struct pool_view *view)
{
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        uint16_t number = view->map->log_disks[i].disk;
        if (is_good(view, number) &&
            !pool_log_work_hangs_in(&mirrors->log_works, view->disks[number])) {
            return view->disks[number];
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

/* The disk gets no edits, and owes no answer to those it was sent: what is appended to its log now
 * comes behind all that it has. */
static enum gfs_err still_log(struct pool_mirrors *mirrors, struct pool_disk *disk,
                              struct gfs_error *error)
{
    int64_t until_ns = gfs_monotonic_ns() + (int64_t)mirrors->pool->options.slow_ms * 1000000;
    bool goes_on = true;
    atomic_store(&disk->takes_edits, false); /* of an attempt that came to nothing */
    bool owes = pool_submit_owes_edits(mirrors->pool, disk);
    while (owes && goes_on) {
        goes_on = pool_pace_sleep(&mirrors->pace, STILL_STEP_MS) && pool_disk_is_usable(disk) &&
                  gfs_monotonic_ns() < until_ns;
        owes = pool_submit_owes_edits(mirrors->pool, disk);
    }
    return owes ? gfs_fail(error, GFS_BUSY, "it is still being written to") : GFS_OK;
}

/* All edits that count are in the log of `from`, as it is in sync to this day, and `to` is to have
 * them. While paused. */
static bool can_give(struct pool *pool, const struct pool_disk *from, const struct pool_disk *to)
{
    struct pool_view *view = pool_view_get(pool);
    bool can = view->disks[from->number] == from && is_good(view, from->number) &&
               view->disks[to->number] == to && find_log_disk(view->map, to->number) != NULL;
    pool_view_put(view);
    return can;
}

/* The log of `to` becomes that of the others, and takes edits. AGAIN: `from` was lost meanwhile. */
static enum gfs_err join_log(struct pool_mirrors *mirrors, struct pool_disk *from,
                             struct pool_disk *to, struct gfs_error *error)
{
    struct pool *pool = mirrors->pool;
    struct pool_log_works *works = &mirrors->log_works;
    enum gfs_err err = still_log(mirrors, to, error);
    if (err != GFS_OK) {
        return err;
    }
    err = pool_log_work_compare(works, from, to, error);
    for (int i = 0; i < EXTENDS_MAX && err == GFS_OK && !is_even(from->store, to->store); i++) {
        err = pool_log_work_extend(works, from, to, 0, error);
    }
    if (err != GFS_OK) {
        return err;
    }
    err = pool_submit_pause(pool);
    if (err != GFS_OK) {
        (void)gfs_fail(error, err, "edits are under way for too long");
    } else if (!can_give(pool, from, to)) {
        err = gfs_fail(error, GFS_AGAIN, "disk %u has no complete log any more", from->number);
    } else { /* nobody writes meanwhile */
        err = pool_log_work_extend(works, from, to, pool->options.slow_ms, error);
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

/* The last step of a join. */
static enum gfs_err call_in_sync(struct pool_mirrors *mirrors, struct pool_disk *disk)
{
    enum gfs_err err = set_in_sync(mirrors->pool, disk, true);
    mirrors->is_in_vain[disk->number] = err != GFS_OK && err != GFS_CONFLICT;
    return err;
}

/* A start must not find a version that calls the disk in sync once it takes no edits any more. */
static enum gfs_err supersede(struct pool_mirrors *mirrors, struct pool_disk *disk)
{
    bool *is_in_vain = &mirrors->is_in_vain[disk->number];
    if (*is_in_vain && atomic_load(&disk->takes_edits)) {
        enum gfs_err err = set_in_sync(mirrors->pool, disk, false);
        if (err != GFS_OK) {
            return err;
        }
    }
    *is_in_vain = false;
    return GFS_OK;
}

static void join(struct pool_mirrors *mirrors, struct pool_view *view, uint16_t number)
{
    struct pool *pool = mirrors->pool;
    const struct pool_meta_hooks *hooks = &pool->hooks;
    struct pool_disk *source = find_source(mirrors, view), *disk = view->disks[number];
    struct gfs_error error = {0};
    enum gfs_err err = supersede(mirrors, disk);
    if (err != GFS_OK) {
        (void)gfs_fail(&error, err, "an earlier attempt is not over");
    } else if (source == NULL) {
        err = gfs_fail(&error, GFS_UNREACHABLE, "no other mirror is there");
    } else {
        err = join_log(mirrors, source, disk, &error);
    }
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
        if (call_in_sync(mirrors, disk) == GFS_OK) {
            mirrors->failures[number] = 0;
            return;
        }
    } else {
        gfs_log(GFS_LOG_WARN, "op=mirror disk=%u err=%s msg=\"cannot hold the metadata yet: %s\"",
                number, gfs_err_name(err), error.text);
    }
    if (err != GFS_AGAIN) {
        retry_later(mirrors, number);
    }
}

static bool is_kept_up(const struct pool_mirrors *mirrors, uint16_t disk)
{
    bool is_it = mirrors->live.disk == disk;
    for (size_t i = 0; i < POOL_LOG_DISKS; i++) {
        is_it = is_it || mirrors->copies[i].disk == disk;
    }
    return is_it;
}

/* Writing goes on without this mirror: enough others are in sync, and their databases kept up. */
static bool is_dispensable(const struct pool_mirrors *mirrors, const struct pool_view *view,
                           uint16_t disk)
{
    uint32_t others = 0;
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        uint16_t other = view->map->log_disks[i].disk;
        others += other != disk && is_good(view, other) && is_kept_up(mirrors, other) ? 1 : 0;
    }
    return others >= pool_plan_logs_needed(view->map);
}

/* The log is held for it: one whose database cannot be made joins anew, so that the log can be
 * trimmed. */
static void resume_copy(struct pool_mirrors *mirrors, const struct pool_view *view, uint16_t disk)
{
    const struct pool_meta_hooks *hooks = &mirrors->pool->hooks;
    const char *path = view->map->disks[disk].path;
    enum gfs_err err = hooks->join == NULL ? GFS_OK : hooks->join(hooks->arg, path);
    if (err == GFS_OK || err == GFS_EXISTS) {
        add_copy(mirrors, view->map, disk);
        mirrors->failures[disk] = 0;
        return;
    }
    gfs_log(GFS_LOG_WARN,
            "op=mirror disk=%u err=%s msg=\"its copy of the metadata is not kept up "
            "to date\"",
            disk, gfs_err_name(err));
    retry_later(mirrors, disk);
    if (mirrors->failures[disk] >= RESUMES_MAX && err != GFS_STOPPED &&
        is_dispensable(mirrors, view, disk)) {
        (void)set_in_sync(mirrors->pool, view->disks[disk], false);
    }
}

/* Mirrors that were away while no map could say so: they are in sync still, nothing was written
 * meanwhile, but their databases were let go of. */
static void resume_copies(struct pool_mirrors *mirrors)
{
    struct pool_view *view = pool_view_get_pinned(mirrors->pool);
    bool is_any_left = view->is_read_only;
    for (uint32_t i = 0; i < view->map->log_disk_count && !view->is_read_only; i++) {
        uint16_t disk = view->map->log_disks[i].disk;
        if (!view->map->log_disks[i].is_in_sync || is_kept_up(mirrors, disk)) {
            continue;
        }
        is_any_left = true;
        if (is_good(view, disk) && gfs_monotonic_ns() >= mirrors->retry_ns[disk]) {
            resume_copy(mirrors, view, disk);
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

static void *mirrors_main(void *arg)
{
    struct pool_mirrors *mirrors = arg;
    do {
        pool_log_work_look(&mirrors->log_works);
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
    mirrors->log_works = (struct pool_log_works){.pool = pool, .pace = &mirrors->pace};
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
    pool_log_work_leave(&mirrors->log_works);
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
