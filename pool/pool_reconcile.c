/* The reconcile thread: decides when to repair, to pass, to place and to rebalance.
 *
 * A pass is made after each start, when the map asks for one (slots that are filling, disks that
 * are behind), when a disk's log is damaged, and every hour. One that is incomplete is made again
 * after a while that doubles up to a minute, or when the map has changed. After a pass, slots of
 * lost disks are placed if there is now a disk for them, and emptied disks are removed.
 * Rebalancing is a few moves at a time, each followed by the pass that makes them. */
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_plan.h"
#include "pool/pool_reconcile_state.h"

#define SECOND_NS 1000000000LL
#define CHECK_NS (3600 * SECOND_NS)

enum {
    LOOK_MS = 1000,
    OLDER_MS = 10000,    /* a request may hold its map for as long */
    MOVES_PER_STEP = 64, /* a pass over everything each: few passes, but it can be stopped */
    DEFAULT_RATE = 256 << 20,
    BACKOFF_S_MAX = 60,
};

static bool map_asks(const struct pool_view *view)
{
    const struct pool_map *map = view->map;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            if (map->groups[g].slots[i].is_filling) {
                return true;
            }
        }
    }
    for (uint32_t d = 0; d < map->disk_count; d++) {
        bool is_usable = pool_disk_is_usable(view->disks[d]);
        if (!is_usable) {
            continue;
        }
        struct chunk_store_status status;
        view->disks[d]->store->ops->status(view->disks[d]->store, &status);
        if (map->disks[d].is_behind || status.damaged_places > 0) {
            return true;
        }
    }
    return false;
}

static bool is_pass_due(struct pool_reconcile *reconcile, const struct pool_view *view)
{
    int64_t now_ns = gfs_monotonic_ns();
    bool is_check_due = !reconcile->is_checked || now_ns - reconcile->checked_ns > CHECK_NS;
    if (!is_check_due && !map_asks(view)) {
        return false;
    }
    return now_ns >= reconcile->next_pass_ns || view->since != reconcile->pass_version;
}

/* A change that answers how much it changed, tried on a copy first: no map without a difference. */
typedef uint32_t (*plan_fn)(struct pool_map *map);

static enum gfs_err change_by_plan(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)error;
    const plan_fn *plan = arg;
    (void)(*plan)(map);
    return GFS_OK;
}

static uint32_t apply_plan(struct pool_reconcile *reconcile, plan_fn plan, const char *what)
{
    struct pool_view *view = pool_view_get(reconcile->pool);
    struct pool_map *trial = pool_map_copy(view->map);
    uint32_t count = view->is_read_only ? 0 : plan(trial);
    pool_map_free(trial);
    pool_view_put(view);
    if (count == 0) {
        return 0;
    }
    struct gfs_error error = {0};
    enum gfs_err err = pool_change_map(reconcile->pool, change_by_plan, &plan, &error);
    if (err != GFS_OK) {
        gfs_log(GFS_LOG_WARN, "op=%s err=%s msg=\"%s\"", what, gfs_err_name(err), error.text);
        return 0;
    }
    gfs_log(GFS_LOG_INFO, "op=%s count=%u", what, count);
    return count;
}

static uint32_t plan_moves(struct pool_map *map)
{
    return pool_plan_rebalance(map, MOVES_PER_STEP);
}

static uint32_t plan_end_of_moves(struct pool_map *map)
{
    bool was = map->is_rebalancing;
    map->is_rebalancing = false;
    return was;
}

static bool has_moves(const struct pool_view *view)
{
    const struct pool_map *map = view->map;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            if (map->groups[g].slots[i].from != POOL_NO_DISK) {
                return true;
            }
        }
    }
    return false;
}

/* The next moves, when those before are made; the end of rebalancing when there are none. */
static void rebalance(struct pool_reconcile *reconcile)
{
    struct pool_view *view = pool_view_get(reconcile->pool);
    bool is_wanted = view->map->is_rebalancing;
    bool is_waiting = view->is_read_only || has_moves(view);
    struct pool_map *trial = pool_map_copy(view->map);
    uint32_t wanted = is_waiting || !is_wanted ? 0 : plan_moves(trial);
    pool_map_free(trial);
    pool_view_put(view);
    if (is_waiting || !is_wanted) {
        return;
    }
    if (wanted == 0) {
        (void)apply_plan(reconcile, plan_end_of_moves, "rebalance-end");
        gfs_log(GFS_LOG_INFO, "op=rebalance msg=balanced moves=%lu",
                atomic_load(&reconcile->moves));
        return;
    }
    atomic_fetch_add(&reconcile->moves, apply_plan(reconcile, plan_moves, "rebalance"));
}

static void between(void *arg, struct pool_view *view)
{
    pool_reconcile_suspects(arg, view, true);
}

static void schedule(struct pool_reconcile *reconcile, enum pool_pass_outcome outcome)
{
    int64_t now_ns = gfs_monotonic_ns();
    struct pool_view *view = pool_view_get(reconcile->pool);
    reconcile->pass_version = view->since;
    pool_view_put(view);
    reconcile->next_pass_ns = now_ns + reconcile->backoff_ns;
    if (outcome == POOL_PASS_WHOLE) {
        reconcile->is_checked = true;
        reconcile->checked_ns = now_ns;
        reconcile->backoff_ns = SECOND_NS;
    } else if (outcome == POOL_PASS_OUTDATED) {
        reconcile->next_pass_ns = now_ns;
    } else {
        reconcile->is_checked = false;
        reconcile->backoff_ns = GFS_MIN(reconcile->backoff_ns * 2, BACKOFF_S_MAX * SECOND_NS);
    }
}

static bool is_rebalancing(struct pool *pool)
{
    struct pool_view *view = pool_view_get(pool);
    bool is_so = view->map->is_rebalancing;
    pool_view_put(view);
    return is_so;
}

static void make_pass(struct pool_reconcile *reconcile)
{
    struct pool_pass_options options = {
        .pool = reconcile->pool,
        .pace = &reconcile->pace,
        .progress = &reconcile->progress,
        .bytes = reconcile->bytes,
        .older_ms = OLDER_MS,
        .between = between,
        .arg = reconcile,
    };
    enum pool_pass_outcome outcome = pool_pass_run(&options);
    if (outcome == POOL_PASS_STOPPED) {
        return;
    }
    if (is_rebalancing(reconcile->pool)) {
        (void)pthread_mutex_lock(&reconcile->progress.lock);
        uint64_t done_bytes = reconcile->progress.state.done_bytes;
        (void)pthread_mutex_unlock(&reconcile->progress.lock);
        atomic_fetch_add(&reconcile->moved_bytes, done_bytes);
    }
    schedule(reconcile, outcome);
    if (outcome != POOL_PASS_OUTDATED) {
        (void)apply_plan(reconcile, pool_plan_place, "place");
    }
}

/* A drained disk may have held nothing, or its copy of the log goes after its last fragment: that
 * takes no pass. */
static void retire(struct pool_reconcile *reconcile)
{
    struct pool_view *view = pool_view_get(reconcile->pool);
    uint64_t version = view->since;
    pool_view_put(view);
    if (version != reconcile->retired_version &&
        apply_plan(reconcile, pool_plan_retire, "retire") == 0) {
        reconcile->retired_version = version;
    }
}

/* A disk that is being emptied may be named by a log mirror for longer than by a slot: it retires
 * when neither does, whichever is later. */
static bool is_draining(const struct pool_view *view)
{
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        if (view->map->disks[i].state == POOL_DISK_DRAINING) {
            return true;
        }
    }
    return false;
}

/* Whatever there is to do now. */
static void work(struct pool_reconcile *reconcile)
{
    struct pool_view *view = pool_view_get(reconcile->pool);
    bool is_new_map = view->since != reconcile->seen_version; /* a disk may be back */
    reconcile->seen_version = view->since;
    pool_suspects_unpark(reconcile->pool, is_new_map ? INT64_MAX : gfs_monotonic_ns());
    pool_reconcile_suspects(reconcile, view, false);
    bool is_due = !view->is_read_only && is_pass_due(reconcile, view);
    bool may_retire = is_draining(view);
    pool_view_put(view);
    if (is_due) {
        make_pass(reconcile);
    } else if (may_retire) {
        (void)apply_plan(reconcile, pool_plan_retire, "retire");
    }
    retire(reconcile);
    if (!pool_pace_is_stopped(&reconcile->pace)) {
        rebalance(reconcile);
    }
}

/* Something can be done at once, without waiting for a look. */
static bool is_more(struct pool_reconcile *reconcile)
{
    struct pool_view *view = pool_view_get(reconcile->pool);
    bool is_more = !view->is_read_only &&
                   (is_pass_due(reconcile, view) || pool_suspect_count(reconcile->pool) > 0);
    pool_view_put(view);
    return is_more;
}

static void *reconcile_main(void *arg)
{
    struct pool_reconcile *reconcile = arg;
    while (!pool_pace_is_stopped(&reconcile->pace)) {
        work(reconcile);
        if (!is_more(reconcile)) {
            (void)pool_pace_sleep(&reconcile->pace, LOOK_MS);
        }
    }
    return NULL;
}

struct pool_reconcile *pool_reconcile_start(struct pool *pool)
{
    struct pool_reconcile *reconcile = gfs_alloc(sizeof *reconcile);
    uint64_t rate = pool->options.repair_rate;
    reconcile->pool = pool;
    reconcile->backoff_ns = SECOND_NS;
    reconcile->bytes = gfs_alloc_aligned(4096, POOL_COPY_STEP);
    pool_pace_init(&reconcile->pace, rate == 0 ? DEFAULT_RATE : rate);
    pool_progress_init(&reconcile->progress);
    int rc = pthread_create(&reconcile->thread, NULL, reconcile_main, reconcile);
    GFS_ASSERT(rc == 0);
    (void)pthread_setname_np(reconcile->thread, "reconcile");
    return reconcile;
}

void pool_reconcile_stop(struct pool_reconcile *reconcile)
{
    if (reconcile != NULL && !reconcile->is_joined) {
        pool_pace_stop(&reconcile->pace);
        (void)pthread_join(reconcile->thread, NULL);
        reconcile->is_joined = true;
    }
}

void pool_reconcile_free(struct pool_reconcile *reconcile)
{
    if (reconcile == NULL) {
        return;
    }
    pool_progress_fini(&reconcile->progress);
    pool_pace_fini(&reconcile->pace);
    free(reconcile->bytes);
    free(reconcile);
}

void pool_reconcile_wake(struct pool *pool)
{
    struct pool_reconcile *reconcile = pool->reconcile;
    if (reconcile != NULL) {
        pool_pace_wake(&reconcile->pace);
    }
}
