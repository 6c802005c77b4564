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
 * A disk that failed by its own errors is not taken back in this run. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_change.h"
#include "pool/pool_errand.h"
#include "pool/pool_former.h"
#include "pool/pool_map_file.h"
#include "pool/pool_plan.h"
#include "pool/pool_watch.h"

enum {
    INTERVAL_MS = 1000,
    READ_FAILURES_MAX = 32, /* in one look: a disk that fails more reads is given up */
    STRIKES_MAX = 2,        /* looks at which a disk must fail before it is dropped */
    RETRY_S_MAX = 600,
    FULL_PERCENT = 2,       /* of free space between full and not full again */
    LOOK_WAIT_MS = 200,     /* for looks and arrivals; what takes longer is for the next round */
    HANG_FACTOR = 5,        /* times slow_ms: a look that takes longer hangs */
    OPEN_S = 5,             /* between attempts to take writes again */
};

static const int64_t SECOND_NS = 1000000000;

/* A look at a directory, by an errand. Owned by it until it is over. */
struct look {
    char path[POOL_PATH_LEN_MAX];
    bool is_absent; /* the disk was not in use when it began */
    bool has_known; /* asked: whether the identity file is still `known` */
    struct stat known;
    bool is_there, is_same; /* that file; what follows is not looked for when it is the same */
    struct stat identity;
    struct pool_found found;
};

/* A disk that is taken in, by an errand. Owned by it until it is over. */
struct arrival {
    struct pool *pool;
    char path[POOL_PATH_LEN_MAX];
    uint16_t number; /* of the one it is, or in whose stead it comes */
    bool is_new;
    struct pool_disk *disk;
    struct pool_map_disk described; /* of a new one */
    enum gfs_err err;
    struct gfs_error error;
};

/* What is remembered of a disk by its number. */
struct post {
    struct pool_errand *looking, *arriving; /* under way, with: */
    struct look *look;
    struct arrival *arrival;
    int64_t look_ns; /* when it began */
    struct stat identity;
    uint8_t id[16]; /* whose identity that is */
    bool has_identity;
    unsigned strikes;
    unsigned long read_failures;
    int64_t away_since_ns; /* 0 = it is there */
    int64_t retry_ns;      /* not before */
    int64_t retry_s;       /* grows with every return and every refusal */
    int64_t returned_ns;
    char told[256]; /* the last reason not to take it back, told once */
};

/* posts: owned by the thread. */
struct pool_patrol {
    struct pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    pthread_t thread;
    bool is_stopping;     /* guarded by lock */
    uint32_t interval_ms; /* guarded by lock */
    struct post posts[POOL_DISKS_MAX];
    struct pool_former_watch *former;
    int64_t open_ns; /* monotonic; no attempt to open a closed pool before */
};

/* ---- disks in use ---- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void run_look(void *arg)
{
    struct look *look = arg;
    char path[POOL_PATH_LEN_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/identity", look->path);
    look->is_there = stat(path, &look->identity) == 0;
    look->is_same =
        look->has_known && look->is_there && is_same_file(&look->identity, &look->known);
    if (!look->is_same) {
        pool_found_probe(look->path, &look->found);
    }
}

static void end_look(void *arg)
{
    struct look *look = arg;
    pool_found_fini(&look->found);
    free(look);
}

static void start_look(struct pool *pool, struct post *post, const char *path, bool is_absent)
{
    struct look *look = gfs_alloc(sizeof *look);
    (void)snprintf(look->path, sizeof look->path, "%s", path);
    look->is_absent = is_absent;
    look->has_known = !is_absent && post->has_identity;
    look->known = post->identity;
    post->look = look;
    post->look_ns = gfs_monotonic_ns();
    post->looking = pool_errand_start(pool->errands, "disk-look", run_look, end_look, look);
}

static void end_looking(struct post *post)
{
    pool_errand_let_go(GFS_TAKE(post->looking));
    post->look = NULL;
}

/* GFS_OK: the disk is the one it was. TIMEOUT: not there now. NOT_FOUND: emptied. CONFLICT: another
 * one. IO. */
static enum gfs_err identify(struct post *post, const struct pool_disk *disk, bool was_mount)
{
    const struct look *look = post->look;
    const struct pool_found *found = &look->found;
    enum gfs_err err = GFS_NOT_FOUND;
    if (look->is_same) {
        return GFS_OK;
    }
    if (found->has_identity) {
        err = memcmp(found->id, disk->id, sizeof disk->id) == 0 ? GFS_OK : GFS_CONFLICT;
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
    if (!pool_errand_await(post->looking, 0)) {
        int64_t limit_ns = (int64_t)pool->options.slow_ms * HANG_FACTOR * (SECOND_NS / 1000);
        return gfs_monotonic_ns() - post->look_ns > limit_ns ? GFS_TIMEOUT : GFS_OK;
    }
    if (post->look->is_absent) {
        end_looking(post); /* of before it came back */
        return GFS_OK;
    }
    unsigned long failures = atomic_load(&disk->read_failures);
    unsigned long more = failures - GFS_MIN(failures, post->read_failures);
    post->read_failures = failures;
    enum gfs_err err = identify(post, disk, in_map->is_mount);
    end_looking(post);
    *ret = (struct fault){.what = "identity", .is_of_reads = true};
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

static enum gfs_err change_return(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const struct arrival *arrival = arg;
    struct pool_map_disk *in_map = &map->disks[arrival->number];
    if (in_map->state == POOL_DISK_REMOVED) {
        return gfs_fail(error, GFS_CONFLICT, "disk %u was taken out", arrival->number);
    }
    if (in_map->state == POOL_DISK_FAILED) {
        in_map->state = POOL_DISK_ACTIVE;
    }
    in_map->is_behind = true;
    pool_plan_log_disks(map);
    return GFS_OK;
}

static enum gfs_err change_stead(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const struct arrival *arrival = arg;
    uint16_t number = POOL_NO_DISK;
    if (map->disks[arrival->number].state == POOL_DISK_REMOVED) {
        return gfs_fail(error, GFS_CONFLICT, "disk %u was taken out", arrival->number);
    }
    enum gfs_err err = pool_plan_add_disk(map, &arrival->described, &number, error);
    if (err == GFS_OK) {
        err = pool_plan_replace(map, arrival->number, number, true, error);
    }
    if (err == GFS_OK) {
        (void)pool_plan_place(map);
        pool_plan_log_disks(map);
    }
    return err;
}

static void put_off(struct post *post, const char *why, uint16_t number)
{
    post->retry_s = post->retry_s == 0 ? 1 : GFS_MIN(post->retry_s * 2, (int64_t)RETRY_S_MAX);
    post->retry_ns = gfs_monotonic_ns() + post->retry_s * SECOND_NS;
    if (strncmp(post->told, why, sizeof post->told - 1) != 0) {
        (void)snprintf(post->told, sizeof post->told, "%s", why);
        gfs_log(GFS_LOG_WARN, "op=disk-return disk=%u msg=\"not taken back: %s\"", number, why);
    }
}

/* Another disk, or a new life of this one; but one that comes and goes is taken back ever later.
 * What is under way remains so. */
static void forget(struct post *post)
{
    *post = (struct post){.retry_s = post->retry_s,
                          .returned_ns = post->returned_ns,
                          .looking = post->looking,
                          .look = post->look,
                          .look_ns = post->look_ns,
                          .arriving = post->arriving,
                          .arrival = post->arrival};
}

static void run_arrival(void *arg)
{
    struct arrival *arrival = arg;
    struct pool *pool = arrival->pool;
    arrival->err = pool_disk_open(pool, arrival->path, &arrival->disk, &arrival->error);
    if (arrival->err != GFS_OK) {
        return;
    }
    pool_disk_describe(arrival->disk, &arrival->described);
    arrival->err =
        pool_change_map_with(pool, arrival->disk, arrival->is_new ? change_stead : change_return,
                             arrival, &arrival->error);
    uint16_t own = arrival->disk->number;
    pool_disk_unref(arrival->disk);
    if (arrival->err == GFS_OK) {
        gfs_log(GFS_LOG_INFO, "op=disk-return disk=%u stead=%u msg=\"%s\"", own, arrival->number,
                arrival->is_new ? "a new disk in the place of a lost one: it is being filled"
                                : "is back: it is compared with the others");
        pool_mirrors_wake(pool);
    }
}

static void take_in(struct pool *pool, struct post *post, uint16_t number, const char *path,
                    bool is_new)
{
    struct arrival *arrival = gfs_alloc(sizeof *arrival);
    *arrival = (struct arrival){.pool = pool, .number = number, .is_new = is_new};
    (void)snprintf(arrival->path, sizeof arrival->path, "%s", path);
    post->arrival = arrival;
    post->arriving = pool_errand_start(pool->errands, "disk-open", run_arrival, free, arrival);
    (void)pool_errand_await(post->arriving, LOOK_WAIT_MS);
}

static void look_at_arrival(struct post *post)
{
    if (post->arriving == NULL || !pool_errand_await(post->arriving, 0)) {
        return;
    }
    const struct arrival *arrival = GFS_TAKE(post->arrival);
    struct pool_errand *arriving = GFS_TAKE(post->arriving);
    if (arrival->err == GFS_OK) {
        forget(post);
        post->returned_ns = gfs_monotonic_ns();
        post->retry_s = GFS_MIN(post->retry_s * 2 + 1, (int64_t)RETRY_S_MAX);
    } else {
        put_off(post, arrival->error.text, arrival->number);
    }
    pool_errand_let_go(arriving);
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
                     const struct pool_map_disk *in_map)
{
    const struct pool_found *found = &post->look->found;
    int drop_err = atomic_load(&pool->drop_errs[number]);
    bool has_own_errors = drop_err == GFS_IO && in_map->state == POOL_DISK_FAILED;
    if (is_fresh_place(found, in_map)) {
        take_in(pool, post, number, in_map->path, true);
    } else if (found->has_identity && memcmp(found->id, in_map->id, sizeof found->id) == 0 &&
               !has_own_errors) {
        take_in(pool, post, number, in_map->path, false);
    } else if (found->has_identity && in_map->state != POOL_DISK_FAILED) {
        fail_absent(pool, post, number, "another disk is in its place");
    } else if (!found->is_missing && !has_own_errors) {
        put_off(post, found->error.code == GFS_OK ? "something else is in its place"
                                                  : found->error.text, number);
    }
}

/* ---- all of them ---- */

/* Somebody may still use what was there; one that hangs, for ever. */
static bool may_look_for(struct pool *pool, const struct post *post,
                         const struct pool_map_disk *in_map)
{
    bool is_wanted = !pool->is_minority && in_map->state != POOL_DISK_REMOVED &&
                     in_map->path[0] != '\0' && post->arriving == NULL;
    return is_wanted && gfs_monotonic_ns() >= post->retry_ns &&
           !pool_disk_is_open(pool, in_map->path);
}

static void begin_look(struct pool *pool, const struct pool_view *view, uint16_t number,
                       struct post *post)
{
    const struct pool_map_disk *in_map = &view->map->disks[number];
    const struct pool_disk *disk = view->disks[number];
    look_at_arrival(post);
    if (post->looking != NULL) {
        return;
    }
    if (pool_disk_is_usable(disk)) {
        if (memcmp(post->id, disk->id, sizeof post->id) != 0) {
            forget(post);
        }
        start_look(pool, post, disk->path, false);
    } else if (may_look_for(pool, post, in_map)) {
        start_look(pool, post, in_map->path, true);
    }
}

static void look_at_absent(struct pool *pool, const struct pool_view *view, uint16_t number,
                           struct post *post)
{
    const struct pool_map_disk *in_map = &view->map->disks[number];
    if (pool->is_minority || in_map->state == POOL_DISK_REMOVED || in_map->path[0] == '\0') {
        return;
    }
    int64_t now_ns = gfs_monotonic_ns();
    if (view->is_read_only && post->away_since_ns != 0) { /* it could not have come back */
        post->away_since_ns = now_ns;
    }
    if (post->away_since_ns == 0) {
        post->away_since_ns = now_ns;
        if (post->returned_ns != 0 && post->retry_s != 0) {
            post->retry_ns = now_ns + post->retry_s * SECOND_NS;
        }
    }
    if (post->looking != NULL && pool_errand_await(post->looking, 0)) {
        if (post->look->is_absent && may_look_for(pool, post, in_map)) {
            look_for(pool, post, number, in_map);
        }
        end_looking(post);
    }
    int64_t grace_ns = (int64_t)pool->options.missing_grace_s * SECOND_NS;
    look_at_arrival(post);
    if (post->arriving == NULL && in_map->state != POOL_DISK_FAILED &&
        post->away_since_ns != 0 && !view->is_read_only &&
        now_ns - post->away_since_ns > grace_ns) {
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
    if (post->looking == NULL) {
        return; /* it came back since this round began */
    }
    if (gfs_monotonic_ns() - post->returned_ns > RETRY_S_MAX * SECOND_NS) {
        post->retry_s = 0;
    }
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
        const struct post *post = &patrol->posts[i];
        int64_t left_ns = until_ns - gfs_monotonic_ns();
        if (post->looking != NULL && post->look_ns >= since_ns && left_ns > 0) {
            (void)pool_errand_await(post->looking, (uint32_t)(left_ns / 1000000) + 1);
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
    pool_former_look(patrol->former);
    bool is_closed = view->is_read_only && begun_ns >= patrol->open_ns;
    pool_view_put(view);
    if (is_closed) {
        patrol->open_ns = begun_ns + OPEN_S * SECOND_NS;
        pool_change_try_open(patrol->pool);
    }
    pool_disk_reap(patrol->pool);
}

static bool wait_for_round(struct pool_patrol *patrol)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    (void)pthread_mutex_lock(&patrol->lock);
    int64_t ns = until.tv_nsec + (int64_t)patrol->interval_ms * 1000000;
    until.tv_sec += ns / SECOND_NS;
    until.tv_nsec = ns % SECOND_NS;
    int status = 0;
    while (!patrol->is_stopping && status == 0) {
        status = pthread_cond_timedwait(&patrol->cond, &patrol->lock, &until);
    }
    bool goes_on = !patrol->is_stopping;
    (void)pthread_mutex_unlock(&patrol->lock);
    return goes_on;
}

static void *patrol_main(void *arg)
{
    while (wait_for_round(arg)) {
        go_round(arg);
    }
    return NULL;
}

struct pool_patrol *pool_patrol_start(struct pool *pool)
{
    struct pool_patrol *patrol = gfs_alloc(sizeof *patrol);
    patrol->pool = pool;
    patrol->interval_ms = INTERVAL_MS;
    patrol->former = pool_former_watch_new(pool);
    (void)pthread_mutex_init(&patrol->lock, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&patrol->cond, &attr);
    (void)pthread_condattr_destroy(&attr);
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
    (void)pthread_mutex_lock(&patrol->lock);
    patrol->is_stopping = true;
    (void)pthread_cond_signal(&patrol->cond);
    (void)pthread_mutex_unlock(&patrol->lock);
    (void)pthread_join(patrol->thread, NULL);
    for (uint32_t i = 0; i < POOL_DISKS_MAX; i++) {
        pool_errand_let_go(patrol->posts[i].looking);
        pool_errand_let_go(patrol->posts[i].arriving);
    }
    pool_former_watch_free(patrol->former);
    (void)pthread_cond_destroy(&patrol->cond);
    (void)pthread_mutex_destroy(&patrol->lock);
    free(patrol);
}

void pool_patrol_set_interval(struct pool_patrol *patrol, uint32_t ms)
{
    (void)pthread_mutex_lock(&patrol->lock);
    patrol->interval_ms = ms;
    (void)pthread_cond_signal(&patrol->cond);
    (void)pthread_mutex_unlock(&patrol->lock);
}
