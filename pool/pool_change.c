/* Versions of the map, one after the other.
 *
 * A version is in force when it is durable on every active disk that is there. One that fails in
 * doing so is dropped and called failed by the version after, which is tried at once; numbers that
 * were used in vain are not used again. Those that have it must be a quorum by the votes of the
 * version before and by its own, so that no start can find a quorum without it. When they cannot
 * be, nothing is written.
 *
 * One that changes who has a vote is followed by one that says so and changes nothing else: from
 * then on the votes of before are not needed any more. The first one of a start is, too, and so are
 * those made from time to time and at a stop: it says what is durable where, so that an older copy
 * of a disk is known for what it is. */
#include "pool/pool_change.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_former.h"
#include "pool/pool_map_write.h"
#include "pool/pool_plan.h"

/* ---- what becomes of a disk ---- */

static void set_out_of_sync(struct pool_map *map, uint16_t disk)
{
    uint32_t others = 0;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        others += map->log_disks[i].is_in_sync && map->log_disks[i].disk != disk ? 1 : 0;
    }
    for (uint32_t i = 0; i < map->log_disk_count && others > 0; i++) {
        if (map->log_disks[i].disk == disk) {
            map->log_disks[i].is_in_sync = false;
        }
    }
}

enum gfs_err pool_change_lose(struct pool_map *map, uint16_t disk, enum gfs_err why,
                              struct gfs_error *error)
{
    GFS_ASSERT(disk < map->disk_count);
    if (!pool_map_disk_is_in_use(&map->disks[disk])) {
        return GFS_OK;
    }
    if (why == GFS_TIMEOUT) {
        map->disks[disk].is_behind = true;
        set_out_of_sync(map, disk);
        return GFS_OK;
    }
    uint32_t unplaced = 0;
    enum gfs_err err = pool_plan_fail(map, disk, &unplaced, error);
    if (err == GFS_OK && unplaced > 0) {
        gfs_log(GFS_LOG_WARN,
                "op=disk-fail disk=%u unplaced=%u msg=\"no disk is left to take its "
                "place in these groups: add one",
                disk, unplaced);
    }
    return err;
}

/* ---- one attempt ---- */

static void choose_targets(const struct pool_next *next, struct pool_disk *ret[POOL_DISKS_MAX])
{
    memset(ret, 0, POOL_DISKS_MAX * sizeof ret[0]);
    for (uint32_t i = 0; i < next->map->disk_count; i++) {
        if (pool_map_disk_is_in_use(&next->map->disks[i]) && pool_disk_is_usable(next->disks[i])) {
            ret[i] = next->disks[i];
        }
    }
}

/* Answers whether some disk failed, so that the next version must say so; it was dropped. A full
 * one keeps the map it has: it lacks nothing else. */
static enum gfs_err lose_failed(struct pool_next *next,
                                struct pool_disk *const targets[POOL_DISKS_MAX],
                                const enum gfs_err results[POOL_DISKS_MAX], bool *ret_again,
                                struct gfs_error *error)
{
    *ret_again = false;
    for (uint16_t i = 0; i < next->map->disk_count; i++) {
        if (targets[i] == NULL || results[i] == GFS_OK || results[i] == GFS_NO_SPACE) {
            continue;
        }
        *ret_again = true;
        enum gfs_err err = pool_change_lose(next->map, i, results[i], error);
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

static bool is_enough(const struct pool_next *next, const bool has[POOL_DISKS_MAX])
{
    return next->last == NULL || pool_map_is_joint_quorum(next->map, has);
}

/* results: of those that did not take it, why. */
static enum gfs_err check_quorum(const struct pool_next *next, const bool took[POOL_DISKS_MAX],
                                 const enum gfs_err results[POOL_DISKS_MAX],
                                 struct gfs_error *error)
{
    if (next->last == NULL) { /* a new pool: all of its disks */
        for (uint32_t i = 0; i < next->map->disk_count; i++) {
            if (!took[i]) {
                return gfs_fail(error, GFS_IO, "%.100s: the map could not be written",
                                next->map->disks[i].path);
            }
        }
        return GFS_OK;
    }
    if (is_enough(next, took)) {
        return GFS_OK;
    }
    bool is_there[POOL_DISKS_MAX];
    for (uint32_t i = 0; i < POOL_DISKS_MAX; i++) {
        is_there[i] = took[i] || results[i] == GFS_NO_SPACE;
    }
    return is_enough(next, is_there)
               ? gfs_fail(error, GFS_NO_SPACE, "too many disks are full to write the map")
               : pool_map_tell_missing(next->map, took, error);
}

/* Whoever asked for this version: disks that were dropped before it was made are lost in it. */
static enum gfs_err lose_dropped(struct pool_next *next, struct gfs_error *error)
{
    for (uint16_t i = 0; i < next->map->disk_count; i++) {
        const struct pool_disk *disk = next->disks[i];
        if (disk == NULL || disk->store == NULL || !atomic_load(&disk->is_dropped)) {
            continue;
        }
        enum gfs_err why = (enum gfs_err)atomic_load(&disk->drop_err);
        enum gfs_err err = pool_change_lose(next->map, i, why, error);
        if (err != GFS_OK) {
            return err;
        }
        next->is_lost[i] = true;
    }
    return GFS_OK;
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

/* A disk takes edits while it joins, and is called in sync for having taken them all: so only from
 * version to version that has it among the log disks, and never on from one that called it in sync.
 * What it missed otherwise nobody would notice. */
static bool goes_on_taking(const struct pool_next *next, uint16_t disk)
{
    const struct pool_log_disk *now = find_log_disk(next->map, disk);
    const struct pool_log_disk *last = next->last == NULL ? now : find_log_disk(next->last, disk);
    return now != NULL && last != NULL && (now->is_in_sync || !last->is_in_sync);
}

static void end_joins(const struct pool_next *next)
{
    for (uint16_t i = 0; i < next->map->disk_count; i++) {
        struct pool_disk *disk = next->disks[i];
        if (disk != NULL && (next->is_lost[i] || !goes_on_taking(next, i))) {
            atomic_store(&disk->takes_edits, false);
        }
    }
}

/* Whoever works by the view before does what one who works by this one would. */
static bool is_like_before(const struct pool_view *view, const struct pool_view *before)
{
    bool is_like = !before->is_read_only && before->map->disk_count == view->map->disk_count;
    for (uint32_t i = 0; i < view->map->disk_count && is_like; i++) {
        const struct pool_disk *now = view->disks[i], *then = before->disks[i];
        is_like = now == then ||
                  (now != NULL && then != NULL && now->store == NULL && then->store == NULL);
    }
    return is_like;
}

/* The disks of the new view: one that was dropped is away from now on, one that is lost is not in
 * it; what they have is still read as a last resort. One that was dropped too late for this version
 * stays, so that the next one can say so. */
static struct pool_view *make_view(struct pool *pool, struct pool_next *next)
{
    end_joins(next);
    struct pool_map *map = GFS_TAKE(next->map);
    struct pool_disk *disks[POOL_DISKS_MAX] = {0};
    for (uint16_t i = 0; i < map->disk_count; i++) {
        if (next->is_lost[i]) {
            pool_former_keep(pool, i, next->disks[i]);
        }
        if (pool_map_disk_is_in_use(&map->disks[i])) {
            struct pool_disk *disk = next->disks[i];
            bool is_there = disk != NULL && disk->store != NULL && !next->is_lost[i];
            disks[i] = is_there
                           ? pool_disk_ref(disk)
                           : pool_disk_new(pool, i, map->disks[i].id, map->disks[i].path, NULL);
        }
    }
    struct pool_view *view = pool_view_new(pool, map, disks);
    for (uint32_t i = 0; i < map->disk_count; i++) {
        if (disks[i] != NULL) {
            pool_disk_unref(disks[i]);
        }
    }
    pool_former_fill(pool, view);
    if (next->is_same && is_like_before(view, pool->view)) {
        view->since = pool->view->since;
    }
    return view;
}

static enum gfs_err write_version(struct pool *pool, struct pool_next *next, bool *ret_again,
                                  struct gfs_error *error)
{
    struct pool_disk *targets[POOL_DISKS_MAX];
    enum gfs_err results[POOL_DISKS_MAX] = {0};
    bool took[POOL_DISKS_MAX] = {0};
    *ret_again = false;
    pool_map_follow(next->map, next->last);
    next->map->promised = next->map->epoch;
    choose_targets(next, targets);
    for (uint32_t i = 0; i < next->map->disk_count; i++) {
        took[i] = targets[i] != NULL;
    }
    if (!is_enough(next, took)) {
        return pool_map_tell_missing(next->map, took, error);
    }
    enum gfs_err err = pool_map_write(pool, next->map, targets, results, error);
    if (err != GFS_OK) {
        return err;
    }
    for (uint32_t i = 0; i < next->map->disk_count; i++) {
        took[i] = targets[i] != NULL && results[i] == GFS_OK;
        if (took[i]) {
            next->map->disks[i].seen_version = next->map->version;
        }
    }
    err = lose_failed(next, targets, results, ret_again, error);
    return err != GFS_OK || *ret_again ? err : check_quorum(next, took, results, error);
}

static enum gfs_err force_one(struct pool *pool, struct pool_next *next, struct gfs_error *error)
{
    bool again = true;
    enum gfs_err err = GFS_OK;
    if (next->last != NULL) {
        pool->version_used = GFS_MAX(pool->version_used, next->last->version);
    }
    while (again && err == GFS_OK) { /* each turn but the last drops a disk */
        err = lose_dropped(next, error);
        if (err == GFS_OK) {
            next->map->version = ++pool->version_used;
            err = write_version(pool, next, &again, error);
        }
    }
    if (err != GFS_OK) {
        pool_map_free(GFS_TAKE(next->map));
        return err;
    }
    pool_view_set(pool, make_view(pool, next));
    return GFS_OK;
}

enum gfs_err pool_change_force(struct pool *pool, struct pool_next *next, struct gfs_error *error)
{
    bool is_to_be_shown = next->is_to_be_shown;
    enum gfs_err err = force_one(pool, next, error);
    struct pool_view *view = err == GFS_OK ? pool_view_get(pool) : NULL;
    while (view != NULL && (is_to_be_shown || !pool_map_has_same_votes(view->map))) {
        struct pool_next settled = {
            .last = view->map, .map = pool_map_copy(view->map), .is_same = true};
        struct gfs_error why = {0};
        is_to_be_shown = false;
        memcpy(settled.disks, view->disks, sizeof settled.disks);
        enum gfs_err settled_err = force_one(pool, &settled, &why);
        pool_view_put(view);
        view = settled_err == GFS_OK ? pool_view_get(pool) : NULL;
        next->is_shown = settled_err == GFS_OK;
        if (settled_err != GFS_OK) { /* whoever failed is seen to; the next version does as well */
            gfs_log(GFS_LOG_WARN, "op=pool err=%s msg=\"the version before counts still: %s\"",
                    gfs_err_name(settled_err), why.text);
        }
    }
    if (view != NULL) {
        pool_view_put(view);
    }
    return err;
}

void pool_change_close(struct pool *pool, const char *reason)
{
    struct pool_view *before = pool_view_get(pool);
    struct pool_next next = {.map = pool_map_copy(before->map)};
    memcpy(next.disks, before->disks, sizeof next.disks);
    for (uint32_t i = 0; i < next.map->disk_count; i++) {
        next.is_lost[i] = !pool_disk_is_usable(next.disks[i]);
    }
    struct pool_view *view = make_view(pool, &next);
    view->is_read_only = true;
    (void)snprintf(view->read_only_reason, sizeof view->read_only_reason, "%.150s", reason);
    pool_former_pardon(pool);
    pool_view_set(pool, view);
    if (!before->is_read_only) {
        gfs_log(GFS_LOG_ERROR, "op=pool msg=\"read-only: %.150s\"", reason);
    }
    pool_view_put(before);
}

void pool_change_renew(struct pool *pool)
{
    struct pool_view *before = pool_view_get(pool);
    struct pool_next next = {.map = pool_map_copy(before->map), .is_same = true};
    memcpy(next.disks, before->disks, sizeof next.disks);
    struct pool_view *view = make_view(pool, &next);
    view->is_read_only = before->is_read_only;
    memcpy(view->read_only_reason, before->read_only_reason, sizeof view->read_only_reason);
    pool_view_set(pool, view);
    pool_view_put(before);
}

/* ---- disks that wait for others ---- */

/* No version can be made with it alone. Its store stays open, so that it is there when the next one
 * comes back; a disk that the map does not know waits for nothing. */
static void keep_waiting(struct pool *pool, const struct pool_map *map, struct pool_disk *disk)
{
    uint16_t number = pool_map_find_disk(map, disk->id);
    if (number != POOL_NO_DISK && pool->waiting[number] == NULL) {
        pool->waiting[number] = pool_disk_ref(disk);
    }
}

/* Those of no use any more: taken back, or not wanted. One that was called failed waits as well: it
 * is read meanwhile; and so is one that fails while it waits, as any other that was dropped. */
static void stop_waiting(struct pool *pool, const struct pool_view *view)
{
    for (uint16_t i = 0; i < POOL_DISKS_MAX; i++) {
        struct pool_disk *disk = pool->waiting[i];
        bool is_wanted = disk != NULL && i < view->map->disk_count &&
                         view->map->disks[i].state != POOL_DISK_REMOVED &&
                         !pool_disk_is_usable(view->disks[i]);
        if (disk == NULL || (is_wanted && pool_disk_is_usable(disk))) {
            continue;
        }
        if (is_wanted) {
            pool_former_keep(pool, i, disk);
        }
        pool_disk_unref(GFS_TAKE(pool->waiting[i]));
    }
}

static void add_waiting(struct pool *pool, struct pool_next *next)
{
    for (uint16_t i = 0; i < next->map->disk_count; i++) {
        struct pool_disk *disk = pool->waiting[i];
        if (disk != NULL && next->map->disks[i].state != POOL_DISK_REMOVED &&
            pool_disk_is_usable(disk)) {
            GFS_ASSERT(disk->number == i); /* it is read meanwhile: never set anew */
            next->disks[i] = disk;
            pool_plan_return(next->map, i);
        }
    }
}

/* A pool that was closed: mirrors that are still away are not waited for, the others have all that
 * was acknowledged. */
static void leave_absent_mirrors(struct pool_next *next)
{
    const struct pool_map *map = next->map;
    bool is_any_there = false;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        const struct pool_log_disk *mirror = &map->log_disks[i];
        is_any_there |= mirror->is_in_sync && pool_disk_is_usable(next->disks[mirror->disk]);
    }
    for (uint32_t i = 0; i < map->log_disk_count && is_any_there; i++) {
        if (!pool_disk_is_usable(next->disks[map->log_disks[i].disk])) {
            set_out_of_sync(next->map, map->log_disks[i].disk);
        }
    }
}

void pool_change_forget_waiting(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->change_lock);
    for (uint16_t i = 0; i < POOL_DISKS_MAX; i++) {
        if (pool->waiting[i] != NULL) {
            pool_disk_unref(GFS_TAKE(pool->waiting[i]));
        }
    }
    pool_former_forget(pool);
    (void)pthread_mutex_unlock(&pool->change_lock);
}

/* ---- by request ---- */

/* Plain data. */
struct request {
    pool_change_fn change;
    void *arg;
    struct pool_disk *arriving; /* NULL = none */
    bool is_mark;               /* the change changes nothing */
    uint64_t lsn;               /* of a mark: the last edit until then */
};

static enum gfs_err change_locked(struct pool *pool, const struct pool_view *before,
                                  const struct request *request, struct gfs_error *error)
{
    struct pool_disk *arriving = request->arriving;
    if (pool->is_minority) {
        return gfs_fail(error, GFS_UNREACHABLE, "%s", before->read_only_reason);
    }
    struct pool_next next = {.last = before->map,
                             .map = pool_map_copy(before->map),
                             .is_to_be_shown = request->is_mark,
                             .is_same = request->is_mark};
    memcpy(next.disks, before->disks, sizeof next.disks);
    stop_waiting(pool, before);
    enum gfs_err err = request->change(request->arg, next.map, error);
    if (err != GFS_OK) {
        pool_map_free(next.map);
        return err;
    }
    add_waiting(pool, &next);
    if (arriving != NULL) {
        uint16_t number = pool_map_find_disk(next.map, arriving->id);
        if (number != POOL_NO_DISK) {
            if (arriving->number != number) { /* it may be read already */
                arriving->number = number;
            }
            next.disks[number] = arriving;
        }
    }
    if (before->is_read_only) {
        leave_absent_mirrors(&next);
    }
    err = pool_change_force(pool, &next, error);
    if (err == GFS_UNREACHABLE && arriving != NULL) {
        keep_waiting(pool, before->map, arriving);
    }
    if (err == GFS_UNREACHABLE) {
        stop_waiting(pool, before); /* those that failed meanwhile are in the view to come */
        pool_change_close(pool, error->text);
    }
    if (request->is_mark && err == GFS_OK && next.is_shown) {
        pool->marked_lsn = request->lsn;
    }
    struct pool_view *view = pool_view_get(pool);
    stop_waiting(pool, view);
    pool_view_put(view);
    return err;
}

static enum gfs_err make_change(struct pool *pool, const struct request *request,
                                struct gfs_error *error)
{
    struct gfs_error own = {0};
    error = error == NULL ? &own : error;
    (void)pthread_mutex_lock(&pool->change_lock);
    struct pool_view *before = pool_view_get(pool);
    enum gfs_err err = change_locked(pool, before, request, error);
    pool_view_put(before);
    bool is_changed = err == GFS_OK || err == GFS_UNREACHABLE;
    if (is_changed) {
        pool_reconcile_wake(pool);
    }
    (void)pthread_mutex_unlock(&pool->change_lock);
    if (is_changed) {
        pool_submit_view_changed(pool);
    }
    return err;
}

enum gfs_err pool_change_map_with(struct pool *pool, struct pool_disk *disk, pool_change_fn change,
                                  void *arg, struct gfs_error *error)
{
    struct request request = {.change = change, .arg = arg, .arriving = disk};
    return make_change(pool, &request, error);
}

enum gfs_err pool_change_map(struct pool *pool, pool_change_fn change, void *arg,
                             struct gfs_error *error)
{
    return pool_change_map_with(pool, NULL, change, arg, error);
}

static enum gfs_err change_nothing(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)arg;
    (void)map;
    (void)error;
    return GFS_OK;
}

static bool can_mark(struct pool *pool, uint64_t lsn)
{
    (void)pthread_mutex_lock(&pool->change_lock);
    struct pool_view *view = pool_view_get(pool);
    /* another disk must be there to tell of an older copy */
    bool can = lsn != pool->marked_lsn && !view->is_read_only && view->map->disk_count > 1;
    pool_view_put(view);
    (void)pthread_mutex_unlock(&pool->change_lock);
    return can;
}

void pool_change_mark(struct pool *pool)
{
    struct chunk_store_status status = {0};
    struct gfs_error error = {0};
    pool->base.ops->status(&pool->base, &status);
    struct request request = {.change = change_nothing, .is_mark = true, .lsn = status.lsn_last};
    if (!can_mark(pool, status.lsn_last)) {
        return;
    }
    enum gfs_err err = make_change(pool, &request, &error);
    if (err != GFS_OK) {
        gfs_log(GFS_LOG_WARN, "op=map-mark err=%s msg=\"%s\"", gfs_err_name(err), error.text);
    }
}

void pool_change_try_open(struct pool *pool)
{
    bool is_there[POOL_DISKS_MAX] = {0};
    struct gfs_error error = {0};
    struct pool_view *view = pool_view_get(pool);
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        is_there[i] = pool_disk_is_usable(view->disks[i]);
    }
    bool has_log = false; /* else no edit could be written: the reason given is the better one */
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        const struct pool_log_disk *mirror = &view->map->log_disks[i];
        has_log |= mirror->is_in_sync && is_there[mirror->disk];
    }
    bool is_worth_it = view->is_read_only && !pool->is_minority && has_log &&
                       pool_map_is_quorum(view->map, is_there);
    pool_view_put(view);
    if (is_worth_it && pool_change_map(pool, change_nothing, NULL, &error) == GFS_OK) {
        gfs_log(GFS_LOG_INFO, "op=pool msg=\"takes writes again\"");
    }
}
