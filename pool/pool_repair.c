/* What repair and rebalancing say of themselves. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_reconcile_state.h"

static const char *phase_text(enum pool_phase phase)
{
    switch (phase) {
    case POOL_PHASE_IDLE:
        return "idle";
    case POOL_PHASE_SURVEY:
        return "survey";
    case POOL_PHASE_FILL:
        return "fill";
    case POOL_PHASE_TIDY:
        return "tidy";
    }
    return "unknown";
}

/* The caller frees it. All zero when repair does not run. */
static struct pool_progress_state *get_state(struct pool *pool)
{
    struct pool_progress_state *state = gfs_alloc(sizeof *state);
    if (pool->reconcile != NULL) {
        (void)pthread_mutex_lock(&pool->reconcile->progress.lock);
        *state = pool->reconcile->progress.state;
        (void)pthread_mutex_unlock(&pool->reconcile->progress.lock);
    }
    return state;
}

static void put_eta(struct gfs_json_out *out, uint64_t left_bytes, uint64_t rate)
{
    if (rate == 0) {
        gfs_json_out_null(out, "eta_s");
    } else {
        gfs_json_out_u64(out, "eta_s", (left_bytes + rate - 1) / rate);
    }
}

void pool_reconcile_summary(struct pool *pool, struct pool_repair_summary *ret)
{
    GFS_FREE struct pool_progress_state *state = get_state(pool);
    *ret = (struct pool_repair_summary){
        .is_running = state->phase != POOL_PHASE_IDLE,
        .is_surveyed = state->tally.chunks > 0 || state->passes > 0,
        .left = state->left,
        .left_bytes = state->left_bytes,
        .unplaced = state->tally.unplaced,
        .lost = state->lost_count,
        .failures = state->failures,
        .healed = state->healed,
    };
}

static void put_lost(struct gfs_json_out *out, const struct pool_progress_state *state)
{
    gfs_json_out_u64(out, "lost", state->lost_count);
    gfs_json_out_array(out, "lost_chunks");
    for (uint64_t i = 0; i < GFS_MIN(state->lost_count, (uint64_t)POOL_LOST_MAX); i++) {
        char id[33];
        (void)snprintf(id, sizeof id, "%016llx%016llx", (unsigned long long)state->lost[i].id.hi,
                       (unsigned long long)state->lost[i].id.lo);
        gfs_json_out_object(out, NULL);
        gfs_json_out_text(out, "id", id);
        gfs_json_out_u64(out, "have", state->lost[i].have);
        gfs_json_out_u64(out, "need", state->lost[i].need);
        gfs_json_out_end_object(out);
    }
    gfs_json_out_end_array(out);
}

void pool_repair_json(struct pool *pool, struct gfs_json_out *out, const char *name)
{
    GFS_FREE struct pool_progress_state *state = get_state(pool);
    bool is_running = state->phase != POOL_PHASE_IDLE;
    uint64_t rate = is_running ? pool_progress_rate(state, gfs_monotonic_ns()) : 0;
    gfs_json_out_object(out, name);
    gfs_json_out_bool(out, "is_running", is_running);
    gfs_json_out_text(out, "phase", phase_text(state->phase));
    gfs_json_out_real(out, "position", (double)state->parts_done / CHUNK_LIST_PARTS);
    gfs_json_out_u64(out, "passes", state->passes);
    gfs_json_out_u64(out, "done", state->done);
    gfs_json_out_u64(out, "done_bytes", state->done_bytes);
    gfs_json_out_u64(out, "left", state->left);
    gfs_json_out_u64(out, "left_bytes", state->left_bytes);
    gfs_json_out_u64(out, "rate", rate);
    put_eta(out, state->left_bytes, rate);
    gfs_json_out_u64(out, "failures", state->failures);
    gfs_json_out_u64(out, "healed", state->healed);
    gfs_json_out_u64(out, "deleted", state->deleted);
    gfs_json_out_u64(out, "chunks", state->tally.chunks);
    gfs_json_out_u64(out, "fragments", state->tally.fragments);
    gfs_json_out_u64(out, "unplaced", state->tally.unplaced);
    gfs_json_out_u64(out, "read_only", state->tally.read_only);
    gfs_json_out_u64(out, "extras", state->tally.extras);
    gfs_json_out_u64(out, "strays", state->tally.strays);
    gfs_json_out_u64(out, "unknown", state->tally.unknown);
    gfs_json_out_u64(out, "conflicts", state->tally.conflicts);
    gfs_json_out_u64(out, "suspects", pool_suspect_count(pool));
    gfs_json_out_u64(out, "unrepaired", pool_suspect_unrepaired(pool));
    gfs_json_out_text(out, "halted", state->halted);
    put_lost(out, state);
    gfs_json_out_end_object(out);
}

/* Bytes that lie on disks beyond their share by capacity. */
static uint64_t surplus_bytes(struct pool *pool)
{
    struct pool_view *view = pool_view_get(pool);
    GFS_FREE uint64_t *live = gfs_alloc_array(POOL_DISKS_MAX, sizeof *live);
    double total = 0;
    double capacity = 0;
    for (uint32_t d = 0; d < view->map->disk_count; d++) {
        const struct pool_map_disk *disk = &view->map->disks[d];
        if (pool_disk_is_usable(view->disks[d]) && disk->state == POOL_DISK_ACTIVE) {
            struct chunk_store_status status;
            view->disks[d]->store->ops->status(view->disks[d]->store, &status);
            live[d] = status.live_bytes;
            total += (double)live[d];
            capacity += (double)disk->capacity - (double)GFS_MIN(disk->reserved, disk->capacity);
        }
    }
    double surplus = 0;
    for (uint32_t d = 0; d < view->map->disk_count && capacity > 0; d++) {
        const struct pool_map_disk *disk = &view->map->disks[d];
        double usable = (double)disk->capacity - (double)GFS_MIN(disk->reserved, disk->capacity);
        double share = total * usable / capacity;
        surplus += live[d] > 0 && (double)live[d] > share ? (double)live[d] - share : 0;
    }
    pool_view_put(view);
    return (uint64_t)surplus;
}

void pool_rebalance_json(struct pool *pool, struct gfs_json_out *out, const char *name)
{
    GFS_FREE struct pool_progress_state *state = get_state(pool);
    struct pool_view *view = pool_view_get(pool);
    bool is_running = view->map->is_rebalancing;
    pool_view_put(view);
    bool is_passing = state->phase != POOL_PHASE_IDLE;
    uint64_t done_bytes = is_running && is_passing ? state->done_bytes : 0;
    uint64_t moves = 0;
    if (pool->reconcile != NULL) {
        done_bytes += atomic_load(&pool->reconcile->moved_bytes);
        moves = atomic_load(&pool->reconcile->moves);
    }
    uint64_t rate = is_running ? pool_progress_rate(state, gfs_monotonic_ns()) : 0;
    uint64_t left_bytes = is_running ? surplus_bytes(pool) : 0;
    gfs_json_out_object(out, name);
    gfs_json_out_bool(out, "is_running", is_running);
    gfs_json_out_u64(out, "moves", moves);
    gfs_json_out_u64(out, "done_bytes", done_bytes);
    gfs_json_out_u64(out, "left_bytes", left_bytes);
    gfs_json_out_u64(out, "rate", rate);
    put_eta(out, left_bytes, rate);
    gfs_json_out_end_object(out);
}
