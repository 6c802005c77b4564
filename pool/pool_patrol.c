/* Looking at the disks, every second: is each still there and the one it was, has it room, does it
 * fail; and do those that are away or lost come back, or an empty one in their place.
 *
 * Looking may hang in the disk, and so may opening and closing it: errands do that, and this thread
 * goes on with the other disks, and with what is to become of this one.
 *
 *   in use -> another one or emptied      -> dropped: failed at once
 *          -> not there, not mounted      -> dropped: away, failed after missing_grace_s
 *          -> has_failed, reads fail      -> dropped: failed
 *          -> a look at it hangs          -> dropped: away, failed after missing_grace_s
 *   away or failed -> itself again        -> opened, behind
 *                  -> an empty directory  -> a new disk in its stead
 *
 * A disk that is away is opened again when nobody uses it as it was any more. If that takes long
 * and the disk takes writes again meanwhile, it is not the disk that fails to come back: its grace
 * begins anew, up to HELD_FACTOR times. That is not so for one that owes answers, as one does that
 * hangs.
 *
 * A disk that failed by its own errors is taken back, ever later, only while others cannot do
 * without it: a slot still names it, as no other disk could take that over, or chunks have too few
 * fragments left. When its errors are gone what it holds is good, and when they are not it fails
 * again: to come back it must write its log and the map. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_arrival.h"
#include "pool/pool_change.h"
#include "pool/pool_former.h"
#include "pool/pool_leave.h"
#include "pool/pool_look.h"
#include "pool/pool_pace.h"
#include "pool/pool_plan.h"
#include "pool/pool_retry.h"
#include "pool/pool_trial.h"
#include "pool/pool_watch.h"

enum {
    INTERVAL_MS = 1000,
    READ_FAILURES_MAX = 32, /* in one look: a disk that fails more reads is given up */
    STRIKES_MAX = 2,        /* looks at which a disk must fail before it is dropped */
    FULL_PERCENT = 2,       /* of free space between full and not full again */
    LOOK_WAIT_MS = 200,     /* for looks and arrivals; what takes longer is for the next round */
    HANG_FACTOR = 5,        /* times slow_ms: a look that takes longer hangs */
    OPEN_S = 5,             /* between attempts to take writes again */
    HELD_FACTOR = 6,        /* times the grace: for one that could come back but for its users */
};

static const int64_t SECOND_NS = 1000000000;

/* What is remembered of a disk by its number. */
struct post {
    struct pool_look *look;       /* under way; NULL = none */
    struct pool_arrival *arrival; /* likewise */
    struct pool_trial *trial;     /* likewise */
    struct stat identity;
    uint8_t id[16]; /* whose identity that is */
    bool has_identity;
    unsigned strikes;
    unsigned long read_failures;
    int64_t away_since_ns; /* 0 = it is there; the grace counts from here */
    int64_t left_ns;       /* when it went, if it is away */
    bool has_own_errors;   /* it was seen that it failed by itself */
    struct pool_retry retry;
    char told[256]; /* the last reason not to take it back, told once */
};

/* posts: owned by the thread. */
struct pool_patrol {
    struct pool *pool;
    struct pool_pace pace; /* the thread sleeps on it between its rounds */
    pthread_t thread;
    atomic_uint interval_ms;
    struct post posts[POOL_DISKS_MAX];
    struct pool_former_watch *former;
    int64_t open_ns; /* monotonic; no attempt to open a closed pool before */
    int64_t mark_ns; /* likewise; when the next pool_change_mark is due */
};

/* ---- disks in use ---- */

static void end_look(struct post *post)
{
    pool_look_end(GFS_TAKE(post->look));
}

/* GFS_OK: the disk is the one it was. TIMEOUT: not there now, or a copy of it is. NOT_FOUND:
 * emptied. CONFLICT: another one. IO. */
static enum gfs_err identify(struct post *post, const struct pool_disk *disk, bool was_mount)
{
    const struct pool_look *look = post->look;
    const struct pool_found *found = &look->found;
    bool is_other = pool_root_is_other(&look->root, &disk->root);
    enum gfs_err err = GFS_NOT_FOUND;
    if (look->cannot_be_read) {
        return GFS_IO;
    }
    if (look->is_same) {
        post->has_identity = !is_other;
        return is_other ? GFS_TIMEOUT : GFS_OK;
    }
    if (found->has_identity) {
        err = memcmp(found->id, disk->id, sizeof disk->id) != 0 ? GFS_CONFLICT
              : is_other                                        ? GFS_TIMEOUT
                                                                : GFS_OK;
    } else if (found->error.code == GFS_IO) {
        err = GFS_IO;
    } else if (found->is_missing || (was_mount && !found->is_mount)) {
        err = GFS_TIMEOUT;
    }
    post->has_identity = err == GFS_OK && look->is_there;
    post->identity = look->identity;
    memcpy(post->id, disk->id, sizeof post->id);
    return err;
}

/* Full by what the store says, or by what is to be left free. Not full again only when there is
 * some room, so that it does not go back and forth. */
static bool is_full(const struct pool_disk *disk, const struct pool_map_disk *in_map,
                    const struct chunk_store_status *status)
{
    uint64_t limit = in_map->reserved;
    if (atomic_load(&disk->is_full)) {
        limit += status->space_total / 100 * FULL_PERCENT;
    }
    return status->is_full || status->space_free < limit;
}

/* Plain data. What is wrong with a disk in use. */
struct fault {
    const char *what;
    bool is_of_reads; /* or of what it is; else of its writes, or it hangs */
};

static enum gfs_err inspect(struct pool *pool, struct post *post, struct pool_disk *disk,
                            const struct pool_map_disk *in_map, struct fault *ret)
{
    struct chunk_store_status status = {0};
    disk->store->ops->status(disk->store, &status);
    *ret = (struct fault){.what = "write"};
    if (status.has_failed) {
        return GFS_IO;
    }
    atomic_store(&disk->is_full, is_full(disk, in_map, &status));
    ret->what = "look";
    if (!pool_look_await(post->look, 0)) {
        int64_t limit_ns = (int64_t)pool->options.slow_ms * HANG_FACTOR * (SECOND_NS / 1000);
        return gfs_monotonic_ns() - post->look->begun_ns > limit_ns ? GFS_TIMEOUT : GFS_OK;
    }
    if (post->look->is_absent) {
        end_look(post); /* of before it came back */
        return GFS_OK;
    }
    unsigned long failures = atomic_load(&disk->read_failures);
    unsigned long more = failures - GFS_MIN(failures, post->read_failures);
    post->read_failures = failures;
    enum gfs_err err = identify(post, disk, in_map->is_mount);
    /* what can be read there at all, reads will show */
    *ret = (struct fault){.what = post->look->cannot_be_read ? "look" : "identity",
                          .is_of_reads = !post->look->cannot_be_read};
    end_look(post);
    if (err == GFS_OK && more > READ_FAILURES_MAX) {
        ret->what = "read";
        err = GFS_IO;
    }
    post->strikes = err == GFS_OK ? 0 : post->strikes + 1;
    /* Reading may fail once by accident; a directory that is another one is no accident. */
    return err == GFS_IO && post->strikes < STRIKES_MAX ? GFS_OK : err;
}

/* ---- fullness in the map ---- */

static enum gfs_err change_full(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)error;
    const struct pool_view *view = arg;
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        if (pool_disk_is_usable(view->disks[i])) {
            map->disks[i].is_full = atomic_load(&view->disks[i]->is_full);
        }
    }
    return GFS_OK;
}

static void tell_full(struct pool *pool, struct pool_view *view)
{
    bool is_changed = false;
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        if (pool_disk_is_usable(view->disks[i])) {
            bool is_now = atomic_load(&view->disks[i]->is_full);
            if (is_now != view->map->disks[i].is_full) {
                gfs_log(is_now ? GFS_LOG_WARN : GFS_LOG_INFO, "op=disk disk=%u msg=\"%s\"", i,
                        is_now ? "is full" : "has room again");
                is_changed = true;
            }
        }
    }
    struct gfs_error error = {0};
    if (is_changed && !view->is_read_only &&
        pool_change_map(pool, change_full, view, &error) != GFS_OK) {
        gfs_log(GFS_LOG_WARN, "op=disk msg=\"%s\"", error.text);
    }
}

/* ---- disks that are away or lost ---- */

static void put_off(struct post *post, const char *why, uint16_t number)
{
    pool_retry_refuse(&post->retry, gfs_monotonic_ns());
    if (strncmp(post->told, why, sizeof post->told - 1) != 0) {
        (void)snprintf(post->told, sizeof post->told, "%s", why);
        gfs_log(GFS_LOG_WARN, "op=disk-return disk=%u msg=\"not taken back: %s\"", number, why);
    }
}

/* Another disk, or a new life of this one; but one that comes and goes is taken back ever later.
 * What is under way remains so. */
static void forget(struct post *post)
{
    *post = (struct post){
        .retry = post->retry, .look = post->look, .arrival = post->arrival, .trial = post->trial};
}

static void take_in(struct pool *pool, struct post *post, uint16_t number, const char *path,
                    bool is_new)
{
    post->arrival = pool_arrival_start(pool, number, path, is_new);
    (void)pool_arrival_await(post->arrival, LOOK_WAIT_MS);
}

static void look_at_arrival(struct post *post, uint16_t number)
{
    if (post->arrival == NULL || !pool_arrival_await(post->arrival, 0)) {
        return;
    }
    struct pool_arrival *arrival = GFS_TAKE(post->arrival);
    const char *why = "";
    if (pool_arrival_err(arrival, &why) == GFS_OK) {
        forget(post);
        pool_retry_return(&post->retry, gfs_monotonic_ns());
    } else {
        put_off(post, why, number);
    }
    pool_arrival_end(arrival);
}

/* Whether the directory may take the place of the disk as an empty one. */
static bool is_fresh_place(const struct pool_found *found, const struct pool_map_disk *in_map)
{
    return (found->is_empty || (found->is_begun && !found->is_missing)) &&
           (!in_map->is_mount || found->is_mount);
}

static enum gfs_err change_fail(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const uint16_t *number = arg;
    uint32_t unplaced = 0;
    return pool_plan_fail(map, *number, &unplaced, error);
}

static void fail_absent(struct pool *pool, struct post *post, uint16_t number, const char *why)
{
    struct gfs_error error = {0};
    enum gfs_err err = pool_change_map(pool, change_fail, &number, &error);
    gfs_log(GFS_LOG_ERROR, "op=disk-fail disk=%u err=%s msg=\"%s: what it held is rebuilt %s\"",
            number, gfs_err_name(err), why, error.text);
    post->away_since_ns = err == GFS_OK ? 0 : gfs_monotonic_ns(); /* again after another grace */
    pool_mirrors_wake(pool);
}

static void look_for(struct pool *pool, struct post *post, uint16_t number,
                     const struct pool_map *map)
{
    const struct pool_map_disk *in_map = &map->disks[number];
    const struct pool_found *found = &post->look->found;
    bool is_kept_out = pool_former_is_kept_out(pool, map, number);
    if (is_fresh_place(found, in_map)) {
        take_in(pool, post, number, in_map->path, true);
    } else if (found->has_identity && memcmp(found->id, in_map->id, sizeof found->id) == 0 &&
               !is_kept_out) {
        take_in(pool, post, number, in_map->path, false);
    } else if (found->has_identity && in_map->state != POOL_DISK_FAILED) {
        fail_absent(pool, post, number, "another disk is in its place");
    } else if (!found->is_missing && !is_kept_out) {
        put_off(post,
                found->error.code == GFS_OK ? "something else is in its place" : found->error.text,
                number);
    }
}

/* ---- all of them ---- */

/* Somebody may still use what was there; one that hangs, for ever. */
static bool may_look_for(struct pool *pool, const struct post *post,
                         const struct pool_map_disk *in_map)
{
    bool is_wanted = !pool->is_minority && in_map->state != POOL_DISK_REMOVED &&
                     in_map->path[0] != '\0' && post->arrival == NULL;
    return is_wanted && pool_retry_is_due(&post->retry, gfs_monotonic_ns()) &&
           !pool_disk_is_open(pool, in_map->path);
}

static void begin_look(struct pool *pool, const struct pool_view *view, uint16_t number,
                       struct post *post)
{
    const struct pool_map_disk *in_map = &view->map->disks[number];
    const struct pool_disk *disk = view->disks[number];
    look_at_arrival(post, number);
    if (post->look != NULL) {
        return;
    }
    if (pool_disk_is_usable(disk)) {
        if (memcmp(post->id, disk->id, sizeof post->id) != 0) {
            forget(post);
        }
        post->look = pool_look_start(pool->errands, disk->path, false,
                                     post->has_identity ? &post->identity : NULL);
    } else if (may_look_for(pool, post, in_map)) {
        post->look = pool_look_start(pool->errands, in_map->path, true, NULL);
    }
}

static void limit_retry(struct pool *pool, struct post *post, const struct pool_view *view,
                        uint16_t number, int64_t now_ns)
{
    if (pool_former_is_missed(pool, view->map, number)) {
        pool_retry_limit(&post->retry, now_ns, POOL_RETRY_MISSED_S);
    }
    if (view->is_read_only) {
        pool_retry_limit(&post->retry, now_ns, POOL_RETRY_CLOSED_S);
    }
}

/* It takes writes, but is still open from before: whoever uses it keeps it away. */
static bool is_kept_away(struct pool *pool, struct post *post, const struct pool_map_disk *in_map,
                         int64_t now_ns, int64_t grace_ns)
{
    bool is_worth_it = in_map->state != POOL_DISK_FAILED &&
                       now_ns - post->away_since_ns > grace_ns / 2 &&
                       now_ns - post->left_ns < HELD_FACTOR * grace_ns;
    if (post->trial == NULL && is_worth_it && pool_disk_is_held(pool, in_map->path)) {
        post->trial = pool_trial_start(pool, in_map->path, in_map->id);
    }
    if (post->trial == NULL || !pool_trial_await(post->trial, 0)) {
        return false;
    }
    struct pool_trial *trial = GFS_TAKE(post->trial);
    bool is_well = trial->is_itself && trial->takes_writes &&
                   memcmp(trial->id, in_map->id, sizeof trial->id) == 0;
    pool_trial_end(trial);
    return is_worth_it && is_well && pool_disk_is_held(pool, in_map->path);
}

static void look_at_absent(struct pool *pool, const struct pool_view *view, uint16_t number,
                           struct post *post)
{
    const struct pool_map_disk *in_map = &view->map->disks[number];
    if (pool->is_minority || in_map->state == POOL_DISK_REMOVED || in_map->path[0] == '\0') {
        return;
    }
    int64_t now_ns = gfs_monotonic_ns();
    int64_t grace_ns = (int64_t)pool->options.missing_grace_s * SECOND_NS;
    if (view->is_read_only && post->away_since_ns != 0) { /* it could not have come back */
        post->away_since_ns = post->left_ns = now_ns;
    }
    if (post->away_since_ns == 0) {
        post->away_since_ns = post->left_ns = now_ns;
        pool_retry_leave(&post->retry, now_ns);
    }
    if (!post->has_own_errors && pool_former_has_own_errors(pool, view->map, number)) {
        post->has_own_errors = true;
        pool_retry_fail(&post->retry, now_ns);
    }
    limit_retry(pool, post, view, number, now_ns);
    if (post->look != NULL && pool_look_await(post->look, 0)) {
        if (post->look->is_absent && may_look_for(pool, post, in_map)) {
            look_for(pool, post, number, view->map);
        }
        end_look(post);
    }
    if (is_kept_away(pool, post, in_map, now_ns, grace_ns)) {
        post->away_since_ns = now_ns;
    }
    look_at_arrival(post, number);
    if (post->arrival == NULL && in_map->state != POOL_DISK_FAILED && post->away_since_ns != 0 &&
        !view->is_read_only && now_ns - post->away_since_ns > grace_ns) {
        fail_absent(pool, post, number, "away for too long");
    }
}

static void look_at(struct pool *pool, struct pool_view *view, uint16_t number, struct post *post)
{
    const struct pool_map_disk *in_map = &view->map->disks[number];
    struct pool_disk *disk = view->disks[number];
    if (!pool_disk_is_usable(disk)) {
        look_at_absent(pool, view, number, post);
        return;
    }
    struct fault fault;
    post->away_since_ns = 0;
    if (post->look == NULL) {
        return; /* it came back since this round began */
    }
    pool_retry_stay(&post->retry, gfs_monotonic_ns());
    enum gfs_err err = inspect(pool, post, disk, in_map, &fault);
    if (err != GFS_OK) {
        forget(post);
        (fault.is_of_reads ? pool_disk_distrust : pool_disk_drop)(pool, disk, err, fault.what);
    }
}

/* Those begun now; what hung in the last round is not waited for again. */
static void await_looks(struct pool_patrol *patrol, uint32_t count, int64_t since_ns)
{
    int64_t until_ns = since_ns + LOOK_WAIT_MS * (SECOND_NS / 1000);
    for (uint32_t i = 0; i < count; i++) {
        const struct pool_look *look = patrol->posts[i].look;
        int64_t left_ns = until_ns - gfs_monotonic_ns();
        if (look != NULL && look->begun_ns >= since_ns && left_ns > 0) {
            (void)pool_look_await(look, (uint32_t)(left_ns / 1000000) + 1);
        }
    }
}

static void go_round(struct pool_patrol *patrol)
{
    struct pool_view *view = pool_view_get(patrol->pool);
    int64_t begun_ns = gfs_monotonic_ns();
    for (uint16_t i = 0; i < view->map->disk_count; i++) {
        begin_look(patrol->pool, view, i, &patrol->posts[i]);
    }
    await_looks(patrol, view->map->disk_count, begun_ns);
    for (uint16_t i = 0; i < view->map->disk_count; i++) {
        look_at(patrol->pool, view, i, &patrol->posts[i]);
    }
    tell_full(patrol->pool, view);
    bool is_due[POOL_DISKS_MAX] = {false};
    for (uint16_t i = 0; i < view->map->disk_count; i++) {
        is_due[i] = pool_retry_is_due(&patrol->posts[i].retry, begun_ns);
    }
    pool_former_look(patrol->former, is_due);
    bool is_closed = view->is_read_only && begun_ns >= patrol->open_ns;
    pool_view_put(view);
    if (is_closed) {
        patrol->open_ns = begun_ns + OPEN_S * SECOND_NS;
        pool_change_try_open(patrol->pool);
    }
    if (begun_ns >= patrol->mark_ns) {
        patrol->mark_ns = begun_ns + (int64_t)patrol->pool->options.mark_s * SECOND_NS;
        pool_change_mark(patrol->pool);
    }
    pool_leave_disks(patrol->pool);
    pool_disk_reap(patrol->pool);
}

static void *patrol_main(void *arg)
{
    struct pool_patrol *patrol = arg;
    while (pool_pace_sleep(&patrol->pace, atomic_load(&patrol->interval_ms))) {
        go_round(patrol);
    }
    return NULL;
}

struct pool_patrol *pool_patrol_start(struct pool *pool)
{
    struct pool_patrol *patrol = gfs_alloc(sizeof *patrol);
    patrol->pool = pool;
    atomic_init(&patrol->interval_ms, INTERVAL_MS);
    patrol->former = pool_former_watch_new(pool);
    patrol->mark_ns = gfs_monotonic_ns() + (int64_t)pool->options.mark_s * SECOND_NS;
    pool_pace_init(&patrol->pace, 0);
    int status = pthread_create(&patrol->thread, NULL, patrol_main, patrol);
    GFS_ASSERT(status == 0);
    (void)pthread_setname_np(patrol->thread, "pool-patrol");
    return patrol;
}

void pool_patrol_stop(struct pool_patrol *patrol)
{
    if (patrol == NULL) {
        return;
    }
    pool_pace_stop(&patrol->pace);
    (void)pthread_join(patrol->thread, NULL);
    for (uint32_t i = 0; i < POOL_DISKS_MAX; i++) {
        pool_look_end(patrol->posts[i].look);
        pool_arrival_end(patrol->posts[i].arrival);
        pool_trial_end(patrol->posts[i].trial);
    }
    pool_former_watch_free(patrol->former);
    pool_pace_fini(&patrol->pace);
    free(patrol);
}

void pool_patrol_set_interval(struct pool_patrol *patrol, uint32_t ms)
{
    atomic_store(&patrol->interval_ms, ms);
}
