/* The third step of a pass: fragments where no slot wants them any more are deleted. */
#include "libgoodfs/mem.h"
#include "pool/pool_pass_state.h"

/* The copies that took over from the extra are read once more: a pass that was killed may have
 * left some that nobody verified. */
static enum gfs_err verify_heirs(struct pool_pass *pass, const struct pool_pass_extra *extra)
{
    const struct pool_group *group = &pass->map->groups[chunk_id_group(extra->id)];
    unsigned width = pool_profile_width(group->profile);
    bool is_ec = group->profile.kind == POOL_EC;
    bool has_heir = false;
    enum gfs_err err = GFS_OK;
    for (uint32_t slot = 0; slot < width && err == GFS_OK; slot++) {
        bool is_heir = is_ec ? slot == chunk_id_slot(extra->fragment)
                             : group->slots[slot].is_filling || (!has_heir && slot + 1 == width);
        if (is_heir) {
            has_heir = true;
            err = pool_copy_verify(&pass->copier, pass->view->disks[group->slots[slot].disk],
                                   pool_fragment_id(group, extra->id, slot));
            if (err == GFS_CORRUPT || err == GFS_IO) {
                struct pool_suspect suspect = {.id = extra->id,
                                               .disk = group->slots[slot].disk,
                                               .slot = (uint8_t)slot,
                                               .is_bad = true};
                pool_suspect_add(pass->options->pool, &suspect);
            }
        }
    }
    return err;
}

static bool is_there(const struct pool_pass *pass, const struct pool_pass_extra *extra)
{
    struct chunk_store *store = pass->view->disks[extra->disk]->store;
    struct chunk_pin pin;
    enum gfs_err err = store->ops->pin(store, extra->fragment, &pin);
    if (err == GFS_OK) {
        store->ops->unpin(store, &pin);
    }
    return err != GFS_NOT_FOUND;
}

/* Whether it may be deleted now. An heir that is gone was deleted with its chunk, and the extra,
 * too; or it was bad, and what repair wrote in its place was, too. */
static bool judge_extra(struct pool_pass *pass, const struct pool_pass_extra *extra)
{
    enum gfs_err err = verify_heirs(pass, extra);
    if (err != GFS_OK && (err != GFS_NOT_FOUND || is_there(pass, extra))) {
        pass->is_stopped |= err == GFS_STOPPED;
        pass->is_dirty[chunk_id_group(extra->id)] = true;
        pass->keeps_extras[extra->disk] = true;
        pool_progress_failed(pass->options->progress);
    }
    return err == GFS_OK;
}

/* Those of one disk, in one group. */
static void delete_extras(struct pool_pass *pass, uint16_t disk,
                          const struct pool_pass_extra *extras, size_t count)
{
    GFS_FREE struct chunk_id *fragments = gfs_alloc_array(count, sizeof *fragments);
    size_t some = 0;
    for (size_t i = 0; i < count; i++) {
        if (extras[i].disk == disk) {
            fragments[some++] = extras[i].fragment;
        }
    }
    if (some == 0) {
        return;
    }
    enum gfs_err err = pool_copy_delete(&pass->copier, pass->view->disks[disk], fragments, some);
    if (err == GFS_OK) {
        pool_progress_deleted(pass->options->progress, some);
        return;
    }
    pass->is_stopped |= err == GFS_STOPPED;
    pass->keeps_extras[disk] = true;
    for (size_t i = 0; i < count; i++) {
        pass->is_dirty[chunk_id_group(extras[i].id)] |= extras[i].disk == disk;
    }
    pool_progress_failed(pass->options->progress);
}

void pool_pass_tidy(struct pool_pass *pass, const struct pool_findings *before,
                    const struct pool_findings *now)
{
    GFS_FREE struct pool_pass_extra *judged =
        gfs_alloc_array(GFS_MAX(now->extra_count, (size_t)1), sizeof *judged);
    size_t count = 0;
    for (size_t i = 0; i < now->extra_count && !pass->is_stopped; i++) {
        const struct pool_pass_extra *extra = &now->extras[i];
        if (!pool_findings_has_extra(before, extra) || pass->is_dirty[chunk_id_group(extra->id)]) {
            pass->keeps_extras[extra->disk] = true;
        } else {
            pass->options->between(pass->options->arg, pass->view);
            if (judge_extra(pass, extra)) {
                judged[count++] = *extra;
            }
        }
    }
    for (uint16_t disk = 0; disk < pass->map->disk_count && count > 0 && !pass->is_stopped;
         disk++) {
        delete_extras(pass, disk, judged, count);
    }
}
