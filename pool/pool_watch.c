/* Drops, notes, mirrors that fail, ticks: what must not wait for anything but the map.
 *
 * A disk that is dropped is used for nothing new at once; this thread makes the version of the map
 * that says so. A note (a disk lacks what is about to be acknowledged) is answered when the map
 * says so. Both are batched: whatever came while a version was made is in the next one. */
#include "pool/pool_watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_change.h"
#include "pool/pool_pace.h"

enum { TICK_MS = 100, UNSAID_MS = 1000 };

#define NS_PER_MS 1000000LL

struct note {
    struct note *next;
    struct pool_disk *disk; /* counted */
    void (*then)(void *arg, enum gfs_err err);
    void *arg;
};

struct failed_mirror {
    struct failed_mirror *next;
    char path[POOL_PATH_LEN_MAX];
};

/* Guarded by lock. */
struct pool_watch {
    struct pool *pool;
    pthread_mutex_t lock;
    struct pool_pace pace; /* the thread sleeps on it between its ticks */
    pthread_t thread;
    struct note *notes, **notes_tail;
    struct failed_mirror *failed_mirrors;
    bool is_stopped; /* what comes now comes to nothing */
    /* Owned by the thread. */
    struct failed_mirror *unsaid_mirrors; /* no map could say so yet */
    int64_t unsaid_ns;                    /* monotonic; when the next attempt is due */
    struct pool_patrol *patrol;
};

/* All of a list. */
static void answer(struct note *notes, enum gfs_err err)
{
    while (notes != NULL) {
        struct note *note = notes;
        notes = note->next;
        note->then(note->arg, err);
        pool_disk_unref(note->disk);
        free(note);
    }
}

static void free_mirrors(struct failed_mirror **list)
{
    while (*list != NULL) {
        struct failed_mirror *failed = *list;
        *list = failed->next;
        free(failed);
    }
}

void pool_disk_drop(struct pool *pool, struct pool_disk *disk, enum gfs_err err, const char *what)
{
    int none = GFS_OK;
    (void)atomic_compare_exchange_strong(&disk->drop_err, &none, (int)err);
    if (atomic_exchange(&disk->is_dropped, true)) {
        return;
    }
    if (disk->number < POOL_DISKS_MAX) {
        atomic_store(&pool->drop_errs[disk->number], (int)err);
    }
    char path[POOL_PATH_LEN_MAX + 8];
    gfs_log(GFS_LOG_ERROR,
            "op=disk-drop disk=%u path=%s cause=%s err=%s msg=\"it is not used any more\"",
            disk->number, gfs_log_quote(gfs_slice_str(disk->path), path, sizeof path), what,
            gfs_err_name(err));
    struct pool_watch *watch = atomic_load(&pool->watch);
    if (watch != NULL) {
        pool_pace_wake(&watch->pace);
    }
}

void pool_disk_distrust(struct pool *pool, struct pool_disk *disk, enum gfs_err err,
                        const char *what)
{
    atomic_store(&disk->is_distrusted, true); /* first: a view made meanwhile must not keep it */
    pool_disk_drop(pool, disk, err, what);
}

void pool_note_behind(struct pool *pool, struct pool_disk *disk,
                      void (*then)(void *arg, enum gfs_err err), void *arg)
{
    struct pool_watch *watch = atomic_load(&pool->watch);
    struct note *note = gfs_alloc(sizeof *note);
    *note = (struct note){.disk = pool_disk_ref(disk), .then = then, .arg = arg};
    (void)atomic_fetch_add(&disk->behind_notes, 1);
    (void)pthread_mutex_lock(&watch->lock);
    bool is_stopped = watch->is_stopped;
    if (!is_stopped) {
        *watch->notes_tail = note;
        watch->notes_tail = &note->next;
        pool_pace_wake(&watch->pace);
    }
    (void)pthread_mutex_unlock(&watch->lock);
    if (is_stopped) {
        answer(note, GFS_UNREACHABLE);
    }
}

void pool_mirror_failed(struct pool *pool, const char *dir)
{
    struct pool_watch *watch = atomic_load(&pool->watch);
    struct failed_mirror *failed = gfs_alloc(sizeof *failed);
    (void)snprintf(failed->path, sizeof failed->path, "%s", dir);
    (void)pthread_mutex_lock(&watch->lock);
    bool is_stopped = watch->is_stopped;
    if (!is_stopped) {
        failed->next = watch->failed_mirrors;
        watch->failed_mirrors = failed;
        pool_pace_wake(&watch->pace);
    }
    (void)pthread_mutex_unlock(&watch->lock);
    if (is_stopped) { /* a disk that hung, after the pool was closed but for it */
        free(failed);
    }
}

/* ---- drops ---- */

/* Plain data. Those found dropped in one view. */
struct drops {
    uint32_t count;
    uint16_t numbers[POOL_DISKS_MAX];
    enum gfs_err errs[POOL_DISKS_MAX];
};

static void find_drops(struct pool *pool, struct drops *ret)
{
    struct pool_view *view = pool_view_get(pool);
    ret->count = 0;
    for (uint16_t i = 0; i < view->map->disk_count; i++) {
        struct pool_disk *disk = view->disks[i];
        if (disk != NULL && disk->store != NULL && atomic_load(&disk->is_dropped)) {
            ret->numbers[ret->count] = i;
            ret->errs[ret->count++] = (enum gfs_err)atomic_load(&disk->drop_err);
        }
    }
    pool_view_put(view);
}

static enum gfs_err change_drops(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const struct drops *drops = arg;
    enum gfs_err err = GFS_OK;
    for (uint32_t i = 0; i < drops->count && err == GFS_OK; i++) {
        err = pool_change_lose(map, drops->numbers[i], drops->errs[i], error);
    }
    return err;
}

static void handle_drops(struct pool_watch *watch)
{
    struct pool *pool = watch->pool;
    struct drops drops;
    struct gfs_error error = {0};
    find_drops(pool, &drops);
    if (drops.count == 0) {
        return;
    }
    enum gfs_err err = pool_change_map(pool, change_drops, &drops, &error);
    for (uint32_t i = 0; i < drops.count && err == GFS_OK; i++) {
        gfs_log(GFS_LOG_WARN, "op=disk-drop disk=%u msg=\"%s\"", drops.numbers[i],
                drops.errs[i] == GFS_TIMEOUT ? "behind until it answers again"
                                             : "failed: what it held is rebuilt");
    }
    if (err != GFS_OK) {
        (void)pthread_mutex_lock(&pool->change_lock);
        pool_change_close(pool, error.text);
        (void)pthread_mutex_unlock(&pool->change_lock);
        pool_submit_view_changed(pool);
    }
    pool_mirrors_wake(pool);
}

/* ---- notes ---- */

static bool is_said(const struct pool_map *map, const struct pool_disk *disk)
{
    const struct pool_map_disk *in_map = &map->disks[disk->number];
    return in_map->is_behind || in_map->state == POOL_DISK_FAILED ||
           in_map->state == POOL_DISK_REMOVED;
}

static enum gfs_err change_behind(void *arg, struct pool_map *map, struct gfs_error *error)
{
    bool is_changed = false;
    for (const struct note *note = arg; note != NULL; note = note->next) {
        if (!is_said(map, note->disk)) {
            map->disks[note->disk->number].is_behind = true;
            is_changed = true;
        }
    }
    return is_changed ? GFS_OK : gfs_fail(error, GFS_EXISTS, "the map says so already");
}

static struct note *take_notes(struct pool_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    struct note *notes = GFS_TAKE(watch->notes);
    watch->notes_tail = &watch->notes;
    (void)pthread_mutex_unlock(&watch->lock);
    return notes;
}

static void handle_notes(struct pool_watch *watch)
{
    struct note *notes = take_notes(watch);
    if (notes == NULL) {
        return;
    }
    struct gfs_error error = {0};
    enum gfs_err err = pool_change_map(watch->pool, change_behind, notes, &error);
    if (err != GFS_OK && err != GFS_EXISTS) {
        gfs_log(GFS_LOG_ERROR, "op=behind err=%s msg=\"%s\"", gfs_err_name(err), error.text);
    }
    answer(notes, err == GFS_EXISTS ? GFS_OK : err);
}

/* ---- mirrors whose copy of the metadata failed ---- */

/* Plain data. */
struct mirror_failure {
    struct pool *pool;
    const char *path;
    uint16_t number;   /* set by the change; POOL_NO_DISK = of no disk */
    bool is_to_follow; /* as well: another change */
};

/* Two disks of a map can have one path: one that is away, and one that was found in its place. The
 * copy that failed is on the one that is there. */
static uint16_t find_disk(const struct pool_view *view, const char *path)
{
    uint16_t named = POOL_NO_DISK;
    for (uint16_t i = 0; i < view->map->disk_count; i++) {
        const struct pool_disk *disk = view->disks[i];
        if (disk != NULL && strcmp(disk->path, path) == 0) {
            if (disk->store != NULL) {
                return i;
            }
            named = named == POOL_NO_DISK ? i : named;
        }
    }
    return named;
}

/* One that joins takes no edits any more. false: not before a version supersedes those that were
 * tried in vain: one may have called it in sync, and be found by a start. */
static bool end_join(struct pool *pool, uint16_t number)
{
    struct pool_view *view = pool_view_get(pool);
    struct pool_disk *disk = view->disks[number];
    bool is_joining = disk != NULL && atomic_load(&disk->takes_edits);
    bool can_end = !is_joining || pool->version_used <= view->map->version;
    if (is_joining && can_end) {
        atomic_store(&disk->takes_edits, false);
    }
    pool_view_put(view);
    return can_end;
}

/* Under change_lock: whoever is about to be called in sync was, or will not be. One that is the
 * only one stays: it is what there is. */
static enum gfs_err change_mirror(void *arg, struct pool_map *map, struct gfs_error *error)
{
    struct mirror_failure *failure = arg;
    struct pool_view *view = pool_view_get(failure->pool);
    failure->number = find_disk(view, failure->path);
    pool_view_put(view);
    struct pool_log_disk *own = NULL;
    uint32_t others = 0;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == failure->number) {
            own = &map->log_disks[i];
        } else {
            others += map->log_disks[i].is_in_sync ? 1 : 0;
        }
    }
    if (own == NULL || !own->is_in_sync) {
        failure->is_to_follow = own != NULL && !end_join(failure->pool, failure->number);
        return failure->is_to_follow ? GFS_OK
                                     : gfs_fail(error, GFS_EXISTS, "it is not in sync already");
    }
    if (others == 0) {
        return gfs_fail(error, GFS_CONFLICT, "there is no other copy of the metadata");
    }
    own->is_in_sync = false;
    return GFS_OK;
}

/* OK, EXISTS and CONFLICT: that is settled. Else no map can say so now: too few disks are there
 * (UNREACHABLE), or have room for it. */
static enum gfs_err fail_mirror(struct pool *pool, const char *path)
{
    struct mirror_failure failure = {.pool = pool, .path = path, .number = POOL_NO_DISK};
    struct gfs_error error = {0};
    enum gfs_err err = pool_change_map(pool, change_mirror, &failure, &error);
    if (err == GFS_OK && failure.is_to_follow) {
        failure.is_to_follow = false;
        err = pool_change_map(pool, change_mirror, &failure, &error);
        err = err == GFS_OK && failure.is_to_follow ? GFS_AGAIN : err;
    }
    if (failure.number == POOL_NO_DISK) {
        return GFS_OK;
    }
    gfs_log(GFS_LOG_WARN, "op=mirror disk=%u err=%s msg=\"its copy of the metadata failed %s\"",
            failure.number, gfs_err_name(err), error.text);
    if (err != GFS_OK) {
        pool_submit_view_changed(pool); /* it does not take edits any more */
    }
    return err;
}

/* Said when a map can be made again: else it would be called in sync with a copy that is none. */
static void keep_unsaid(struct pool_watch *watch, struct failed_mirror *failed)
{
    const struct failed_mirror *same = watch->unsaid_mirrors;
    while (same != NULL && strcmp(same->path, failed->path) != 0) {
        same = same->next;
    }
    if (same != NULL) {
        free(failed);
        return;
    }
    failed->next = watch->unsaid_mirrors;
    watch->unsaid_mirrors = failed;
}

static bool is_closed(struct pool *pool)
{
    struct pool_view *view = pool_view_get(pool);
    bool is_closed = view->is_read_only;
    pool_view_put(view);
    return is_closed;
}

/* Not while it is known to be in vain. */
static struct failed_mirror *take_unsaid(struct pool_watch *watch)
{
    bool is_due = watch->unsaid_mirrors != NULL && gfs_monotonic_ns() >= watch->unsaid_ns;
    return is_due && !is_closed(watch->pool) ? GFS_TAKE(watch->unsaid_mirrors) : NULL;
}

static void handle_mirrors(struct pool_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    struct failed_mirror *failed = GFS_TAKE(watch->failed_mirrors);
    (void)pthread_mutex_unlock(&watch->lock);
    failed = failed != NULL ? failed : take_unsaid(watch);
    bool is_any = failed != NULL;
    while (failed != NULL) {
        struct failed_mirror *next = failed->next;
        enum gfs_err err = fail_mirror(watch->pool, failed->path);
        if (err == GFS_OK || err == GFS_EXISTS || err == GFS_CONFLICT) {
            free(failed);
        } else {
            /* a pool that is closed shows when it is worth it */
            int64_t wait_ms = err == GFS_UNREACHABLE ? 0 : UNSAID_MS;
            watch->unsaid_ns = gfs_monotonic_ns() + wait_ms * NS_PER_MS;
            keep_unsaid(watch, failed);
        }
        failed = next;
    }
    if (is_any) {
        pool_mirrors_wake(watch->pool);
    }
}

/* ---- the thread ---- */

static void *watch_main(void *arg)
{
    struct pool_watch *watch = arg;
    struct pool *pool = watch->pool;
    while (pool_pace_sleep(&watch->pace, TICK_MS)) {
        int64_t now_ns = gfs_monotonic_ns();
        handle_drops(watch);
        handle_notes(watch);
        handle_mirrors(watch);
        pool_submit_tick(pool, now_ns);
        pool_bulk_tick(pool, now_ns);
    }
    handle_notes(watch);
    handle_mirrors(watch);
    return NULL;
}

void pool_watch_start(struct pool *pool)
{
    struct pool_watch *watch = gfs_alloc(sizeof *watch);
    watch->pool = pool;
    watch->notes_tail = &watch->notes;
    (void)pthread_mutex_init(&watch->lock, NULL);
    pool_pace_init(&watch->pace, 0);
    atomic_store(&pool->watch, watch);
    int status = pthread_create(&watch->thread, NULL, watch_main, watch);
    GFS_ASSERT(status == 0);
    (void)pthread_setname_np(watch->thread, "pool-watch");
    watch->patrol = pool_patrol_start(pool);
}

void pool_watch_stop(struct pool_watch *watch)
{
    if (watch == NULL || watch->is_stopped) {
        return;
    }
    pool_patrol_stop(watch->patrol);
    pool_pace_stop(&watch->pace);
    (void)pthread_join(watch->thread, NULL);
    (void)pthread_mutex_lock(&watch->lock);
    watch->is_stopped = true;
    struct note *notes = GFS_TAKE(watch->notes);
    watch->notes_tail = &watch->notes;
    free_mirrors(&watch->failed_mirrors);
    (void)pthread_mutex_unlock(&watch->lock);
    answer(notes, GFS_UNREACHABLE);
    free_mirrors(&watch->unsaid_mirrors);
}

void pool_watch_free(struct pool_watch *watch)
{
    if (watch != NULL) {
        GFS_ASSERT(watch->is_stopped);
        pool_pace_fini(&watch->pace);
        (void)pthread_mutex_destroy(&watch->lock);
        free(watch);
    }
}

void pool_watch_set_interval(struct pool *pool, uint32_t patrol_ms)
{
    pool_patrol_set_interval(atomic_load(&pool->watch)->patrol, patrol_ms);
}
