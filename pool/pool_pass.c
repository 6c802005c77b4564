#include "pool/pool_pass.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_pass_state.h"

enum {
    UNASKED_PERCENT_MAX = 1, /* of all fragments: more deletions than that need a reason */
    UNASKED_ALWAYS = 16,     /* so few are no flood, whatever the percentage */
    OLD_VIEW_LOOK_MS = 10,
};

void pool_pass_note_deletions(struct pool_copier *copier, struct pool_view *view)
{
    pool_tombs_begin(copier->pool);
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        if (pool_disk_is_usable(view->disks[i])) {
            enum gfs_err err = pool_copy_settle(copier, view->disks[i]);
            if (err != GFS_OK && err != GFS_STOPPED) { /* nothing it lists is to be believed */
                pool_disk_drop(copier->pool, view->disks[i], err, "repair");
            }
        }
    }
}

static bool is_gone(const struct pool_view *now, const struct pool_disk *disk)
{
    return disk != NULL && disk->store != NULL && !pool_view_has_disk(now, disk);
}

/* The pass keeps a disk from being closed, and so from coming back; or one is there that it does
 * not know. */
static bool has_other_disks(const struct pool_pass *pass, const struct pool_view *now)
{
    const struct pool_view *then = pass->view;
    for (uint32_t d = 0; d < then->map->disk_count; d++) {
        bool is_kept = is_gone(now, then->disks[d]) || is_gone(now, then->fallbacks[d]);
        bool is_there = pool_disk_is_usable(now->disks[d]) && now->disks[d] != then->disks[d];
        if (is_kept || is_there) {
            return true;
        }
    }
    return false;
}

/* The map says something else about where fragments are. */
static bool has_other_places(const struct pool_map *then, const struct pool_map *now)
{
    bool is_same = now->disk_count == then->disk_count && now->group_count >= then->group_count;
    for (uint32_t d = 0; d < then->disk_count && is_same; d++) {
        is_same = now->disks[d].state == then->disks[d].state &&
                  now->disks[d].is_read_only == then->disks[d].is_read_only;
    }
    for (uint32_t g = 0; g < then->group_count && is_same; g++) {
        unsigned width = pool_profile_width(then->groups[g].profile);
        is_same = pool_profile_width(now->groups[g].profile) == width;
        for (unsigned i = 0; i < width && is_same; i++) {
            is_same = now->groups[g].slots[i].disk == then->groups[g].slots[i].disk &&
                      now->groups[g].slots[i].from == then->groups[g].slots[i].from;
        }
    }
    return !is_same;
}

/* What is in force now is not what the pass goes by. */
static bool is_outdated(const struct pool_pass *pass)
{
    struct pool_view *now = pool_view_get(pass->options->pool);
    bool is_outdated =
        now != pass->view && (has_other_places(pass->map, now->map) || has_other_disks(pass, now));
    pool_view_put(now);
    return is_outdated;
}

/* Until nobody works by an older map, or for so long that it is not worth it. */
static bool await_older_views(struct pool_pass *pass)
{
    struct pool *pool = pass->options->pool;
    for (unsigned ms = 0; pool_view_oldest(pool) < pass->view->since; ms += OLD_VIEW_LOOK_MS) {
        bool is_over = ms >= pass->options->older_ms || is_outdated(pass);
        if (is_over || !pool_pace_sleep(pass->options->pace, OLD_VIEW_LOOK_MS)) {
            return false;
        }
    }
    return true;
}

static void begin(struct pool_pass *pass)
{
    pass->map = pass->view->map;
    pass->is_dirty = gfs_alloc_array(pass->map->group_count, sizeof *pass->is_dirty);
    pass->is_moving = gfs_alloc_array(pass->map->group_count, sizeof *pass->is_moving);
    for (uint32_t g = 0; g < pass->map->group_count; g++) {
        const struct pool_group *group = &pass->map->groups[g];
        for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
            pass->is_moving[g] |= group->slots[i].from != POOL_NO_DISK;
        }
    }
    for (uint32_t d = 0; d < pass->map->disk_count; d++) {
        struct pool_disk *disk = pass->view->disks[d];
        if (pool_disk_is_usable(disk)) {
            struct chunk_store_status status;
            disk->store->ops->status(disk->store, &status);
            pass->damaged[d] = status.damaged_places;
            pass->behind_notes[d] = atomic_load(&disk->behind_notes);
        }
    }
    pass->may_settle = await_older_views(pass);
}

/* Suspects go first; parts that have nothing to do take no notes, so it is done here. */
static void look_at_suspects(struct pool_pass *pass)
{
    if (pool_suspect_count(pass->options->pool) > 0) {
        pool_pass_note_deletions(&pass->copier, pass->view);
        pass->options->between(pass->options->arg, pass->view);
        pool_tombs_end(pass->options->pool);
    }
}

/* All parts for one aim; false: the pass ends here, *ret says how. */
static bool sweep(struct pool_pass *pass, enum pool_phase phase, enum pool_pass_aim aim,
                  enum pool_pass_outcome *ret)
{
    pool_progress_phase(pass->options->progress, phase);
    uint32_t listed = 0; /* parts that are not done: of the batch, and between its parts */
    for (uint32_t part = 0; part < CHUNK_LIST_PARTS; part++) {
        look_at_suspects(pass);
        pool_pass_part(pass, part, aim);
        if (part + 1 == CHUNK_LIST_PARTS) {
            pool_pass_act(pass, aim);
        }
        if (pass->is_stopped || pool_pace_is_stopped(pass->options->pace)) {
            *ret = POOL_PASS_STOPPED;
            return false;
        }
        if (is_outdated(pass)) {
            *ret = POOL_PASS_OUTDATED;
            return false;
        }
        listed++;
        if (pass->part_count == 0) {
            pool_progress_parts(pass->options->progress, listed);
            listed = 0;
        }
    }
    return true;
}

/* Deletions that nothing asked for are a sign that something is wrong with the map or the listings:
 * many of them are not made. */
static void judge_extras(struct pool_pass *pass)
{
    const struct pool_tally *tally = &pass->tally;
    pass->is_halted = tally->unasked > UNASKED_ALWAYS &&
                      tally->unasked * 100 > tally->fragments * UNASKED_PERCENT_MAX;
    char why[160] = "";
    if (pass->is_halted) {
        (void)snprintf(why, sizeof why,
                       "%llu of %llu fragments lie where no slot wants them, without a move or a "
                       "failed disk: they are left alone",
                       (unsigned long long)tally->unasked, (unsigned long long)tally->fragments);
        gfs_log(GFS_LOG_ERROR, "op=repair msg=\"%s\"", why);
    }
    pool_progress_halted(pass->options->progress, why);
}

static bool is_any_dirty(const struct pool_pass *pass)
{
    for (uint32_t g = 0; g < pass->map->group_count; g++) {
        if (!pool_pass_is_clean(pass, g)) {
            return true;
        }
    }
    return false;
}

static enum pool_pass_outcome run(struct pool_pass *pass)
{
    enum pool_pass_outcome outcome = POOL_PASS_INCOMPLETE;
    if (!sweep(pass, POOL_PHASE_SURVEY, POOL_AIM_SURVEY, &outcome)) {
        return outcome;
    }
    pool_progress_survey(pass->options->progress, &pass->tally, pass->lost, pass->lost_count,
                         &pass->lost_ids);
    judge_extras(pass);
    if (pass->tally.missing > 0 && !sweep(pass, POOL_PHASE_FILL, POOL_AIM_FILL, &outcome)) {
        return outcome;
    }
    if (pass->tally.extras > 0 && pass->may_settle &&
        !sweep(pass, POOL_PHASE_TIDY, POOL_AIM_TIDY, &outcome)) {
        return outcome;
    }
    enum gfs_err err = pool_pass_settle(pass);
    return err == GFS_OK && !is_any_dirty(pass) ? POOL_PASS_WHOLE : POOL_PASS_INCOMPLETE;
}

enum pool_pass_outcome pool_pass_run(const struct pool_pass_options *options)
{
    struct pool_pass pass = {
        .options = options,
        .copier = {.pool = options->pool, .pace = options->pace, .bytes = options->bytes},
        .view = pool_view_get(options->pool),
    };
    pool_progress_begin(options->progress);
    begin(&pass);
    enum pool_pass_outcome outcome = run(&pass);
    pool_progress_end(options->progress);
    pool_copiers_free(pass.copiers);
    pool_findings_fini(&pass.found); /* of a batch that it ended before */
    pool_lost_ids_fini(&pass.lost_ids);
    pool_view_put(pass.view);
    free(pass.is_dirty);
    free(pass.is_moving);
    return outcome;
}
