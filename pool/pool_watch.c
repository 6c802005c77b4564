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

enum { TICK_MS = 100 };

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
    struct failed_mirror *unsaid_mirrors; /* no map could say so yet; owned by the thread */
    struct pool_patrol *patrol;
};

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
    if (pool->watch != NULL) {
        pool_pace_wake(&pool->watch->pace);
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
    struct pool_watch *watch = pool->watch;
    struct note *note = gfs_alloc(sizeof *note);
    *note = (struct note){.disk = pool_disk_ref(disk), .then = then, .arg = arg};
    (void)atomic_fetch_add(&disk->behind_notes, 1);
    (void)pthread_mutex_lock(&watch->lock);
    *watch->notes_tail = note;
    watch->notes_tail = &note->next;
    pool_pace_wake(&watch->pace);
    (void)pthread_mutex_unlock(&watch->lock);
}

void pool_mirror_failed(struct pool *pool, const char *dir)
{
    struct pool_watch *watch = pool->watch;
    if (watch == NULL) { /* a disk that hung, after the pool was closed but for it */
        return;
    }
    struct failed_mirror *failed = gfs_alloc(sizeof *failed);
    (void)snprintf(failed->path, sizeof failed->path, "%s", dir);
    (void)pthread_mutex_lock(&watch->lock);
    failed->next = watch->failed_mirrors;
    watch->failed_mirrors = failed;
    pool_pace_wake(&watch->pace);
    (void)pthread_mutex_unlock(&watch->lock);
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
    err = err == GFS_EXISTS ? GFS_OK : err;
    while (notes != NULL) {
        struct note *note = notes;
        notes = note->next;
        note->then(note->arg, err);
        pool_disk_unref(note->disk);
        free(note);
    }
}

/* ---- mirrors whose copy of the metadata failed ---- */

/* One that is the only one stays: it is what there is. */
static enum gfs_err change_mirror(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const uint16_t *number = arg;
    struct pool_log_disk *own = NULL;
    uint32_t others = 0;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == *number) {
            own = &map->log_disks[i];
        } else {
            others += map->log_disks[i].is_in_sync ? 1 : 0;
        }
    }
    if (own == NULL || !own->is_in_sync) {
        return gfs_fail(error, GFS_EXISTS, "it is not in sync already");
    }
    if (others == 0) {
        return gfs_fail(error, GFS_CONFLICT, "there is no other copy of the metadata");
    }
    own->is_in_sync = false;
    return GFS_OK;
}

/* UNREACHABLE: no map can say so now. */
static enum gfs_err fail_mirror(struct pool *pool, const char *path)
{
    enum gfs_err err = GFS_OK;
    struct pool_view *view = pool_view_get(pool);
    struct gfs_error error = {0};
    uint16_t number = 0;
    while (number < view->map->disk_count && (view->map->disks[number].path[0] == '\0' ||
                                              strcmp(view->map->disks[number].path, path) != 0)) {
        number++;
    }
    if (number < view->map->disk_count && view->disks[number] != NULL) {
        atomic_store(&view->disks[number]->takes_edits, false);
        err = pool_change_map(pool, change_mirror, &number, &error);
        gfs_log(GFS_LOG_WARN, "op=mirror disk=%u err=%s msg=\"its copy of the metadata failed %s\"",
                number, gfs_err_name(err), error.text);
        if (err != GFS_OK) {
            pool_submit_view_changed(pool); /* it does not take edits any more */
        }
    }
    pool_view_put(view);
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

static void free_unsaid(struct pool_watch *watch)
{
    while (watch->unsaid_mirrors != NULL) {
        struct failed_mirror *failed = watch->unsaid_mirrors;
        watch->unsaid_mirrors = failed->next;
        free(failed);
    }
}

static bool is_closed(struct pool *pool)
{
    struct pool_view *view = pool_view_get(pool);
    bool is_closed = view->is_read_only;
    pool_view_put(view);
    return is_closed;
}

static void handle_mirrors(struct pool_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    struct failed_mirror *failed = GFS_TAKE(watch->failed_mirrors);
    (void)pthread_mutex_unlock(&watch->lock);
    if (failed == NULL && watch->unsaid_mirrors != NULL && !is_closed(watch->pool)) {
        failed = GFS_TAKE(watch->unsaid_mirrors);
    }
    bool is_any = failed != NULL;
    while (failed != NULL) {
        struct failed_mirror *next = failed->next;
        if (fail_mirror(watch->pool, failed->path) == GFS_UNREACHABLE) {
            keep_unsaid(watch, failed);
        } else {
            free(failed);
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
    free_unsaid(watch);
    return NULL;
}

struct pool_watch *pool_watch_start(struct pool *pool)
{
    struct pool_watch *watch = gfs_alloc(sizeof *watch);
    watch->pool = pool;
    watch->notes_tail = &watch->notes;
    (void)pthread_mutex_init(&watch->lock, NULL);
    pool_pace_init(&watch->pace, 0);
    pool->watch = watch;
    int status = pthread_create(&watch->thread, NULL, watch_main, watch);
    GFS_ASSERT(status == 0);
    (void)pthread_setname_np(watch->thread, "pool-watch");
    watch->patrol = pool_patrol_start(pool);
    return watch;
}

void pool_watch_stop(struct pool_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    pool_patrol_stop(watch->patrol);
    pool_pace_stop(&watch->pace);
    (void)pthread_join(watch->thread, NULL);
    watch->pool->watch = NULL;
    pool_pace_fini(&watch->pace);
    (void)pthread_mutex_destroy(&watch->lock);
    free(watch);
}

void pool_watch_set_interval(struct pool *pool, uint32_t patrol_ms)
{
    pool_patrol_set_interval(pool->watch->patrol, patrol_ms);
}
