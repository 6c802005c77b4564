/* The first two steps of a pass: missing fragments are copied or rebuilt, by the copiers. What
 * became of each is judged here, on the pass's own thread. */
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_pass_state.h"

enum { LOOK_MS = 100 }; /* how often suspects are looked at while copies are waited for */

/* After a failure: what it means for the chunk's group. */
static void judge_failure(struct pool_pass *pass, const struct pool_pass_job *job, uint16_t disk,
                          enum gfs_err err)
{
    uint32_t group = chunk_id_group(job->id);
    if (err == GFS_STOPPED) {
        pass->is_stopped = true;
        pass->is_dirty[group] = true;
        return;
    }
    if (err == GFS_CORRUPT) {
        struct pool_lost lost = {.id = job->id, .have = job->have, .need = job->need};
        pool_progress_lost(pass->options->progress, &lost);
        /* Nothing more can be done, but what a move would leave behind is not given up. What is
         * nowhere is not left behind. */
        pass->is_dirty[group] |= pass->is_moving[group] && !job->is_gone;
        return;
    }
    pass->is_dirty[group] = true;
    if (err != GFS_CANCELLED) {
        pass->is_full[disk] |= err == GFS_NO_SPACE;
        pool_progress_failed(pass->options->progress);
        gfs_log(GFS_LOG_WARN, "op=repair chunk=%016llx%016llx slot=%u disk=%u err=%s",
                (unsigned long long)job->id.hi, (unsigned long long)job->id.lo, job->slot,
                (unsigned)disk, gfs_err_name(err));
    }
}

static uint16_t target_of(const struct pool_pass *pass, const struct pool_pass_job *job)
{
    return pass->map->groups[chunk_id_group(job->id)].slots[job->slot].disk;
}

static void look_at_suspects(struct pool_pass *pass)
{
    pass->options->between(pass->options->arg, pass->view);
}

/* What became of a lot that is done, if there is one within that time. */
static bool take_back(struct pool_pass *pass, unsigned wait_ms)
{
    struct pool_copy_lot *lot = pool_copiers_take(pass->copiers, wait_ms);
    if (lot == NULL) {
        return false;
    }
    for (unsigned i = 0; i < lot->count; i++) {
        const struct pool_copy_item *item = &lot->items[i];
        if (item->err == GFS_OK) {
            pool_progress_copied(pass->options->progress, item->len);
        } else if (item->err != GFS_NOT_FOUND) { /* that: deleted meanwhile */
            judge_failure(pass, item->arg, item->task.disk, item->err);
        }
    }
    pool_copiers_put(pass->copiers, lot);
    return true;
}

static struct pool_copy_lot *get_lot(struct pool_pass *pass)
{
    struct pool_copy_lot *lot;
    while ((lot = pool_copiers_lot(pass->copiers)) == NULL) {
        if (!take_back(pass, LOOK_MS)) {
            look_at_suspects(pass);
        }
    }
    return lot;
}

/* *lot: that is being filled, NULL = none. */
static void hand_over(struct pool_pass *pass, struct pool_copy_lot **lot)
{
    if (*lot != NULL) {
        pool_copiers_add(pass->copiers, GFS_TAKE(*lot));
        while (take_back(pass, 0)) {
        }
    }
}

static void add_job(struct pool_pass *pass, struct pool_copy_lot **lot,
                    const struct pool_pass_job *job)
{
    uint16_t disk = target_of(pass, job);
    if (pass->is_full[disk]) {
        pass->is_dirty[chunk_id_group(job->id)] = true;
        pool_progress_failed(pass->options->progress);
        return;
    }
    bool is_large = job->len > GFS_SMALL_CHUNK_MAX;
    if (*lot != NULL && (is_large || (*lot)->count == POOL_COPY_LOT_MAX ||
                         (*lot)->bytes + job->len > POOL_COPY_LOT_BYTES)) {
        hand_over(pass, lot);
    }
    if (*lot == NULL) {
        *lot = get_lot(pass);
    }
    struct pool_copy_task task = {
        .view = pass->view, .id = job->id, .slot = job->slot, .disk = disk};
    (*lot)->items[(*lot)->count++] = (struct pool_copy_item){.task = task, .arg = job};
    (*lot)->bytes += job->len;
    if (is_large) {
        hand_over(pass, lot);
    }
}

void pool_pass_fill(struct pool_pass *pass, const struct pool_findings *before,
                    const struct pool_findings *now)
{
    if (now->job_count != 0 && pass->copiers == NULL) {
        pass->copiers = pool_copiers_new(pass->options->pool, pass->options->pace);
    }
    struct pool_copy_lot *lot = NULL;
    for (size_t i = 0; i < now->job_count && !pass->is_stopped; i++) {
        if (pool_findings_has_job(before, &now->jobs[i])) {
            look_at_suspects(pass);
            add_job(pass, &lot, &now->jobs[i]);
        }
    }
    hand_over(pass, &lot);
    while (pass->copiers != NULL && pool_copiers_count(pass->copiers) != 0) {
        if (!take_back(pass, LOOK_MS)) {
            look_at_suspects(pass);
        }
    }
}
