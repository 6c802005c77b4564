/* What an operator asks of the scrub, and what it answers. */
#include "libgoodfs/mem.h"
#include "pool/pool_scrub_state.h"

enum gfs_err pool_scrub_start(struct pool *pool, uint64_t rate, struct gfs_error *error)
{
    struct pool_scrub *scrub = pool->scrub;
    if (scrub == NULL) {
        return gfs_fail(error, GFS_STOPPED, "the scrub does not run");
    }
    struct pool_view *view = pool_view_get(pool);
    uint32_t disk_count = view->map->disk_count;
    bool is_usable[POOL_DISKS_MAX];
    for (uint32_t d = 0; d < disk_count; d++) {
        is_usable[d] = pool_disk_is_usable(view->disks[d]);
    }
    pool_view_put(view);
    bool is_busy = false;
    (void)pthread_mutex_lock(&scrub->lock);
    for (uint32_t d = 0; d < disk_count; d++) {
        is_busy |= is_usable[d] && scrub->disks[d].is_requested;
    }
    for (uint32_t d = 0; d < disk_count && !is_busy; d++) {
        scrub->disks[d].is_requested = is_usable[d];
        scrub->disks[d].cursor.is_running = false; /* from the start */
        scrub->requested_rate = rate;
    }
    pool_scrub_wake_locked(scrub);
    (void)pthread_mutex_unlock(&scrub->lock);
    return is_busy ? gfs_fail(error, GFS_BUSY, "a scrub that was asked for is under way") : GFS_OK;
}

/* Plain data. Of a disk, or all. */
struct scrub_sum {
    bool is_running;
    uint64_t pass, parts, disks, rate, bytes, total, found, healed;
    int64_t finished_ms;
};

static void put_members(struct gfs_json_out *out, const struct scrub_sum *sum)
{
    uint64_t left = sum->total > sum->bytes ? sum->total - sum->bytes : 0;
    double parts_all = (double)GFS_MAX(sum->disks, (uint64_t)1) * (CHUNK_LIST_PARTS + 1);
    gfs_json_out_bool(out, "is_running", sum->is_running);
    gfs_json_out_u64(out, "pass", sum->pass);
    gfs_json_out_real(out, "position", (double)sum->parts / parts_all);
    gfs_json_out_u64(out, "rate", sum->rate);
    if (!sum->is_running || sum->rate == 0) {
        gfs_json_out_null(out, "eta_s");
    } else {
        gfs_json_out_u64(out, "eta_s", (left + sum->rate - 1) / sum->rate);
    }
    gfs_json_out_u64(out, "verified_bytes", sum->bytes);
    gfs_json_out_u64(out, "found", sum->found);
    gfs_json_out_u64(out, "healed", sum->healed);
    if (sum->finished_ms == 0) {
        gfs_json_out_null(out, "last_pass_s");
    } else {
        gfs_json_out_i64(out, "last_pass_s", sum->finished_ms / 1000);
    }
}

static struct scrub_sum sum_disk(struct pool_scrub *scrub, struct pool_disk *disk)
{
    struct chunk_store_status status;
    disk->store->ops->status(disk->store, &status);
    (void)pthread_mutex_lock(&scrub->lock);
    struct pool_scrub_disk *mine = &scrub->disks[disk->number];
    struct scrub_sum sum = {
        .is_running = mine->cursor.is_running || mine->is_requested,
        .pass = mine->cursor.pass,
        .parts = mine->is_known && !mine->cursor.is_running && !mine->is_requested
                     ? CHUNK_LIST_PARTS + 1
                     : GFS_MIN(mine->cursor.part, (uint32_t)CHUNK_LIST_PARTS),
        .disks = 1,
        .rate = pool_scrub_rate_locked(scrub, mine),
        .bytes = mine->cursor.bytes,
        .total = status.live_bytes,
        .found = mine->cursor.found,
        .healed = mine->healed_before + atomic_load(&disk->healed),
        .finished_ms = mine->cursor.finished_ms,
    };
    (void)pthread_mutex_unlock(&scrub->lock);
    return sum;
}

static void add(struct scrub_sum *all, const struct scrub_sum *one)
{
    bool is_first = all->disks == 0;
    all->is_running |= one->is_running;
    all->pass = is_first ? one->pass : GFS_MIN(all->pass, one->pass);
    all->finished_ms = is_first ? one->finished_ms : GFS_MIN(all->finished_ms, one->finished_ms);
    all->parts += one->parts;
    all->disks++;
    all->rate += one->is_running ? one->rate : 0;
    all->bytes += one->bytes;
    all->total += one->total;
    all->found += one->found;
    all->healed += one->healed;
}

void pool_scrub_json(struct pool *pool, struct gfs_json_out *out, const char *name)
{
    struct scrub_sum all = {0};
    struct pool_view *view = pool_view_get(pool);
    gfs_json_out_object(out, name);
    gfs_json_out_array(out, "disks");
    for (uint32_t d = 0; d < view->map->disk_count && pool->scrub != NULL; d++) {
        if (pool_disk_is_usable(view->disks[d])) {
            struct scrub_sum one = sum_disk(pool->scrub, view->disks[d]);
            gfs_json_out_object(out, NULL);
            gfs_json_out_u64(out, "disk", d);
            put_members(out, &one);
            gfs_json_out_end_object(out);
            add(&all, &one);
        }
    }
    gfs_json_out_end_array(out);
    pool_view_put(view);
    put_members(out, &all);
    gfs_json_out_end_object(out);
}
