/* Fragments that a read or the scrub found bad or missing: looked at again, and written anew from
 * what else there is of the chunk. */
#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "pool/pool_reconcile_state.h"

#define RETRY_NS (30 * 1000000000LL)

/* Where the suspect is wanted: false if it is not, then passes see to it. */
static bool find_slot(const struct pool_view *view, const struct pool_suspect *suspect,
                      uint32_t *ret_slot)
{
    const struct pool_group *group = pool_view_group(view, suspect->id);
    if (group == NULL) {
        return false;
    }
    unsigned width = pool_profile_width(group->profile);
    if (group->profile.kind == POOL_EC) {
        *ret_slot = suspect->slot;
        return suspect->slot < width && group->slots[suspect->slot].disk == suspect->disk;
    }
    for (uint32_t i = 0; i < width; i++) {
        if (group->slots[i].disk == suspect->disk) {
            *ret_slot = i;
            return true;
        }
    }
    return false;
}

/* OK: repaired, or nothing to repair. */
static enum gfs_err repair(struct pool_reconcile *reconcile, struct pool_view *view,
                           const struct pool_suspect *suspect, uint32_t slot)
{
    struct pool_copier copier = {
        .pool = reconcile->pool, .pace = &reconcile->pace, .bytes = reconcile->bytes};
    const struct pool_group *group = pool_view_group(view, suspect->id);
    struct pool_disk *disk = view->disks[suspect->disk];
    enum gfs_err err = pool_copy_verify(&copier, disk, pool_fragment_id(group, suspect->id, slot));
    if (err == GFS_OK || err == GFS_STOPPED) {
        return err; /* whole: it was repaired since, or could not be read for a moment */
    }
    if (!pool_disk_is_usable(disk) || view->map->disks[suspect->disk].is_read_only) {
        return GFS_UNREACHABLE;
    }
    struct pool_copy_task task = {.view = view,
                                  .id = suspect->id,
                                  .slot = slot,
                                  .disk = suspect->disk,
                                  .is_bad = err != GFS_NOT_FOUND};
    uint32_t bytes;
    err = pool_copy_fragment(&copier, &task, &bytes);
    if (err == GFS_NOT_FOUND) {
        return GFS_OK; /* the chunk was deleted */
    }
    if (err == GFS_OK) {
        atomic_fetch_add(&disk->healed, 1);
        pool_progress_healed(&reconcile->progress);
        gfs_log(GFS_LOG_INFO, "op=repair chunk=%016llx%016llx slot=%u disk=%u msg=healed",
                (unsigned long long)suspect->id.hi, (unsigned long long)suspect->id.lo, slot,
                (unsigned)suspect->disk);
    }
    return err;
}

/* Whether nothing is left to be done about it. */
static bool handle(struct pool_reconcile *reconcile, struct pool_view *view,
                   const struct pool_suspect *suspect)
{
    uint32_t slot;
    if (suspect->disk >= view->map->disk_count || !find_slot(view, suspect, &slot)) {
        return true;
    }
    enum gfs_err err = repair(reconcile, view, suspect, slot);
    if (err == GFS_CORRUPT) {
        const struct pool_group *group = pool_view_group(view, suspect->id);
        struct pool_lost lost = {.id = suspect->id, .need = group->profile.k};
        pool_progress_lost(&reconcile->progress, &lost);
    }
    if (err != GFS_OK && err != GFS_CANCELLED && err != GFS_STOPPED) {
        gfs_log(GFS_LOG_WARN, "op=repair chunk=%016llx%016llx slot=%u disk=%u err=%s",
                (unsigned long long)suspect->id.hi, (unsigned long long)suspect->id.lo, slot,
                (unsigned)suspect->disk, gfs_err_name(err));
    }
    return err == GFS_OK;
}

void pool_reconcile_suspects(struct pool_reconcile *reconcile, struct pool_view *view,
                             bool is_noting)
{
    if (view->is_read_only || pool_suspect_count(reconcile->pool) == 0) {
        return;
    }
    struct pool_copier copier = {
        .pool = reconcile->pool, .pace = &reconcile->pace, .bytes = reconcile->bytes};
    if (!is_noting) {
        pool_pass_note_deletions(&copier, view);
    }
    /* No more than there are now: a pass goes on in between. */
    size_t count = pool_suspect_count(reconcile->pool);
    struct pool_suspect suspect;
    for (; count > 0 && !pool_pace_is_stopped(&reconcile->pace) &&
           pool_suspect_take(reconcile->pool, &suspect);
         count--) {
        if (handle(reconcile, view, &suspect)) {
            pool_suspect_done(reconcile->pool, &suspect);
        } else {
            pool_suspect_park(reconcile->pool, &suspect, gfs_monotonic_ns() + RETRY_NS);
        }
    }
    if (!is_noting) {
        pool_tombs_end(reconcile->pool);
    }
}
