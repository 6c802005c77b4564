/* Disks that were dropped for their writes, kept open to be read when the others do not suffice.
 *
 * A disk that cannot be written, or does not answer writes, is used for nothing new; but what it
 * has can often be read still. When a controller hiccups or file systems are remounted read-only,
 * that is true of all disks at once, and nothing else is left of the data.
 *
 * Why what it has is right, however long ago it was dropped:
 *  - Every block is verified when it is read, and the record's own id with it.
 *  - An id names the same bytes for ever: ids are not used again, a chunk never changes, and what
 *    repair writes anew under the id of a fragment are the fragment's bytes.
 *  - What the disk missed are deletions and fragments written since. Nobody asks for a chunk that
 *    was deleted: no metadata names it; and what it does not have it does not give.
 *  - So it is never asked what there is: it is not listed, and no pass takes it for the place of
 *    anything. Edits are not read from it either: its log may lack the newest.
 * That is not so when its reads fail, or when what is in its directory is not the disk any more: it
 * is distrusted, and read no more.
 *
 * It is the last resort: looked at only when the usable disks have too little of a chunk, and read
 * on its own reader threads alone, which nobody waits for when one is stuck.
 *
 *   dropped, can be read -> kept -> takes writes again     -> closed, and opened anew by the patrol
 *                                -> not itself, reads fail -> distrusted, closed
 *                                -> failed, not needed     -> closed: it can be unmounted
 *
 * Between being closed and opened a disk cannot be read. So they go a few at a time, and the next
 * ones when these are back: those that wait for a quorum (pool->waiting) are read the same way. */
#include "pool/pool_former.h"

#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_change.h"
#include "pool/pool_trial.h"

enum {
    RETURN_S = 30, /* for one that was closed to be opened, before the others go on without */
    CLOSE_S = 60,  /* for one to be closed: it may never be, and the others are needed */
    HELD_S = 600,  /* the same, while nothing hangs in it but it is still used */
    KEEP_S = 5,    /* that a failed one is kept at least: more may fail, and it was not its fault */
    TRY_WAIT_MS = 200, /* for trials; what takes longer is for the next round */
};

#define SECOND_NS 1000000000LL

/* ---- keeping ---- */

static void forget(struct pool *pool, uint16_t number)
{
    if (pool->former[number] != NULL) {
        pool_disk_unref(GFS_TAKE(pool->former[number]));
    }
}

void pool_former_keep(struct pool *pool, uint16_t number, struct pool_disk *disk)
{
    if (!pool_disk_is_readable(disk) || pool->former[number] == disk) {
        return;
    }
    forget(pool, number);
    pool->former[number] = pool_disk_ref(disk);
    gfs_log(GFS_LOG_WARN, "op=disk-drop disk=%u msg=\"it is read where the others do not suffice\"",
            number);
}

void pool_former_forget(struct pool *pool)
{
    for (uint16_t i = 0; i < POOL_DISKS_MAX; i++) {
        forget(pool, i);
    }
}

void pool_former_fill(struct pool *pool, struct pool_view *view)
{
    for (uint16_t i = 0; i < view->map->disk_count; i++) {
        bool is_back = view->disks[i] != NULL && view->disks[i]->store != NULL;
        if (is_back || !pool_disk_is_readable(pool->former[i]) ||
            view->map->disks[i].state == POOL_DISK_REMOVED) {
            forget(pool, i);
        }
        struct pool_disk *disk = pool->waiting[i] != NULL ? pool->waiting[i] : pool->former[i];
        if (!is_back && pool_disk_is_readable(disk)) {
            view->fallbacks[i] = pool_disk_ref(disk);
        }
    }
}

void pool_former_pardon(struct pool *pool)
{
    for (uint16_t i = 0; i < POOL_DISKS_MAX; i++) {
        if (pool->former[i] != NULL) {
            atomic_store(&pool->drop_errs[i], (int)GFS_UNREACHABLE);
        }
    }
}

void pool_former_let_go(struct pool *pool, uint16_t number)
{
    (void)pthread_mutex_lock(&pool->change_lock);
    if (pool->former[number] != NULL) {
        forget(pool, number);
        pool_change_renew(pool);
    }
    (void)pthread_mutex_unlock(&pool->change_lock);
}

/* ---- those that failed by themselves ---- */

bool pool_former_has_own_errors(struct pool *pool, const struct pool_map *map, uint16_t number)
{
    return map->disks[number].state == POOL_DISK_FAILED &&
           atomic_load(&pool->drop_errs[number]) == GFS_IO;
}

/* By number: the disks that a slot names. All false before. */
static void find_named(const struct pool_map *map, bool ret[POOL_DISKS_MAX])
{
    for (uint32_t g = 0; g < map->group_count; g++) {
        const struct pool_group *group = &map->groups[g];
        for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
            ret[group->slots[i].disk] = true;
        }
    }
}

bool pool_former_is_missed(struct pool *pool, const struct pool_map *map, uint16_t number)
{
    bool is_named[POOL_DISKS_MAX] = {0};
    struct pool_repair_summary repair;
    find_named(map, is_named);
    pool_reconcile_summary(pool, &repair);
    return is_named[number] || repair.lost > 0;
}

bool pool_former_is_kept_out(struct pool *pool, const struct pool_map *map, uint16_t number)
{
    return pool_former_has_own_errors(pool, map, number) &&
           !pool_former_is_missed(pool, map, number);
}

/* ---- what becomes of them ---- */

struct pool_former_watch {
    struct pool *pool;
    struct pool_trial *trials[POOL_DISKS_MAX]; /* under way */
    int64_t kept_ns[POOL_DISKS_MAX];           /* since when; 0 = it is not */
    bool has_left[POOL_DISKS_MAX];             /* to be opened again, and was not seen since */
    int64_t left_ns;                           /* when the last one was let go of */
};

/* Something is being made anew, perhaps from what it has, or a group lacks too much without it. */
static bool is_needed(const struct pool_view *view)
{
    for (uint32_t g = 0; g < view->map->group_count; g++) {
        const struct pool_group *group = &view->map->groups[g];
        unsigned lacking = 0;
        for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
            const struct pool_slot *slot = &group->slots[i];
            if (slot->is_filling) {
                return true;
            }
            lacking += pool_disk_is_usable(view->disks[slot->disk]) ? 0 : 1;
        }
        if (lacking > group->profile.m) {
            return true;
        }
    }
    return false;
}

/* How long to wait for one that is away before one more goes than can be done without. */
static int64_t return_time_s(struct pool *pool, const char *path)
{
    int64_t time_s = pool_disk_is_open(pool, path) ? CLOSE_S : RETURN_S;
    return pool_disk_is_held(pool, path) ? HELD_S : time_s;
}

/* So few disks are neither used nor read that one more does no harm. */
static bool may_leave(struct pool_former_watch *watch, const struct pool_view *view)
{
    unsigned away = 0, bearable = POOL_WIDTH_MAX;
    int64_t wait_s = RETURN_S;
    bool is_named[POOL_DISKS_MAX] = {0};
    find_named(view->map, is_named);
    for (uint32_t g = 0; g < view->map->group_count; g++) {
        unsigned m = view->map->groups[g].profile.m;
        bearable = m == 0 ? bearable : GFS_MIN(bearable, m); /* which bears nothing anyway */
    }
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        bool is_there =
            pool_disk_is_usable(view->disks[i]) || pool_disk_is_readable(view->fallbacks[i]);
        watch->has_left[i] = watch->has_left[i] && !is_there;
        if (!is_there && (is_named[i] || watch->has_left[i])) {
            away++;
            wait_s = GFS_MAX(wait_s, return_time_s(watch->pool, view->map->disks[i].path));
        }
    }
    bool is_late = gfs_monotonic_ns() - watch->left_ns > wait_s * SECOND_NS;
    return away < GFS_MAX(bearable, 1U) || is_late;
}

static void judge(struct pool_former_watch *watch, const struct pool_view *view, uint16_t number,
                  bool is_due)
{
    struct pool *pool = watch->pool;
    const struct pool_trial *trial = watch->trials[number];
    bool is_kept_long = gfs_monotonic_ns() - watch->kept_ns[number] > KEEP_S * SECOND_NS;
    bool is_early = !is_kept_long && pool_former_has_own_errors(pool, view->map, number);
    bool goes = false;
    if (trial->is_known && !trial->is_itself) {
        pool_disk_distrust(pool, view->fallbacks[number], GFS_CONFLICT, "identity");
        goes = true;
    } else if (pool_former_is_kept_out(pool, view->map, number)) {
        goes = !is_needed(view) && is_kept_long;
    } else {
        goes = is_due && !is_early && trial->takes_writes && may_leave(watch, view);
        watch->has_left[number] = goes;
    }
    if (goes) {
        watch->left_ns = gfs_monotonic_ns();
        pool_former_let_go(pool, number);
    }
}

static bool is_kept(const struct pool_view *view, uint16_t number)
{
    return view->fallbacks[number] != NULL && atomic_load(&view->fallbacks[number]->is_dropped);
}

static void look_at(struct pool_former_watch *watch, const struct pool_view *view, uint16_t number,
                    uint32_t wait_ms, bool is_due)
{
    const struct pool_disk *disk = view->fallbacks[number];
    if (is_kept(view, number) && !pool_disk_is_readable(disk)) {
        pool_former_let_go(watch->pool, number);
    } else if (watch->trials[number] != NULL && pool_trial_await(watch->trials[number], wait_ms)) {
        const struct pool_trial *trial = watch->trials[number];
        if (is_kept(view, number) && memcmp(trial->id, disk->id, sizeof disk->id) == 0) {
            judge(watch, view, number, is_due);
        }
        pool_trial_end(GFS_TAKE(watch->trials[number]));
    }
}

void pool_former_look(struct pool_former_watch *watch, const bool *is_due)
{
    struct pool_view *view = pool_view_get(watch->pool);
    uint32_t count = view->map->disk_count;
    for (uint16_t i = 0; i < count; i++) {
        int64_t since_ns = watch->kept_ns[i] != 0 ? watch->kept_ns[i] : gfs_monotonic_ns();
        watch->kept_ns[i] = is_kept(view, i) ? since_ns : 0;
        if (is_kept(view, i) && watch->trials[i] == NULL) {
            const struct pool_disk *disk = view->fallbacks[i];
            watch->trials[i] = pool_trial_start(watch->pool, disk->path, disk->id);
        }
    }
    pool_view_put(view);
    int64_t until_ns = gfs_monotonic_ns() + TRY_WAIT_MS * 1000000LL;
    for (uint16_t i = 0; i < count; i++) {
        int64_t left_ns = GFS_MAX(until_ns - gfs_monotonic_ns(), 0);
        view = pool_view_get(watch->pool); /* as it is without those that went */
        look_at(watch, view, i, (uint32_t)(left_ns / 1000000), is_due[i]);
        pool_view_put(view);
    }
}

struct pool_former_watch *pool_former_watch_new(struct pool *pool)
{
    struct pool_former_watch *watch = gfs_alloc(sizeof *watch);
    watch->pool = pool;
    return watch;
}

void pool_former_watch_free(struct pool_former_watch *watch)
{
    for (uint32_t i = 0; i < POOL_DISKS_MAX; i++) {
        pool_trial_end(watch->trials[i]);
    }
    free(watch);
}
