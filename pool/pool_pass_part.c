/* One part of a pass: list, compare, act. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_pass_state.h"

enum { WINDOW = 32 }; /* copies under way at once: small ones share flushes */

/* What the comparison of one part found. Grows as it is filled. */
struct findings {
    struct pool_pass *pass;
    enum pool_pass_aim aim;
    bool is_first;
    struct pool_pass_job *jobs;
    size_t job_count, job_size;
    struct pool_pass_extra *extras;
    size_t extra_count, extra_size;
};

static void findings_fini(struct findings *findings)
{
    free(findings->jobs);
    free(findings->extras);
}

static void add_job(struct findings *findings, const struct pool_part_chunk *chunk, uint32_t slot)
{
    if (findings->job_count == findings->job_size) {
        findings->job_size = GFS_MAX((size_t)64, findings->job_size * 2);
        findings->jobs =
            gfs_realloc(findings->jobs, findings->job_size * sizeof *findings->jobs);
    }
    findings->jobs[findings->job_count++] = (struct pool_pass_job){.id = chunk->id,
                                                                   .slot = slot,
                                                                   .len = chunk->fragment_len,
                                                                   .have = chunk->have,
                                                                   .need = chunk->need};
}

static void add_extra(struct findings *findings, const struct pool_part_chunk *chunk,
                      const struct pool_part_entry *entry)
{
    if (findings->extra_count == findings->extra_size) {
        findings->extra_size = GFS_MAX((size_t)64, findings->extra_size * 2);
        findings->extras =
            gfs_realloc(findings->extras, findings->extra_size * sizeof *findings->extras);
    }
    findings->extras[findings->extra_count++] =
        (struct pool_pass_extra){.id = chunk->id, .fragment = entry->id, .disk = entry->disk};
}

/* A move, or that its disk was away or lost, is why this fragment is not wanted any more. */
static bool is_explained(const struct pool_pass *pass, uint32_t number, uint16_t disk)
{
    const struct pool_map_disk *in_map = &pass->map->disks[disk];
    if (in_map->is_behind || in_map->state != POOL_DISK_ACTIVE) {
        return true;
    }
    const struct pool_group *group = &pass->map->groups[number];
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        if (group->slots[i].is_filling) {
            return true;
        }
    }
    return false;
}

static void count_chunk(struct pool_pass *pass, const struct pool_part_chunk *chunk)
{
    struct pool_tally *tally = &pass->tally;
    unsigned missing = (unsigned)__builtin_popcount(chunk->missing);
    tally->chunks++;
    tally->conflicts += chunk->has_conflict;
    if (chunk->is_stray) {
        tally->strays++;
        return;
    }
    tally->missing += missing;
    tally->missing_bytes += (uint64_t)missing * chunk->fragment_len;
    tally->unplaced += (unsigned)__builtin_popcount(chunk->away | chunk->lost);
    tally->extras += chunk->extra_count;
    for (unsigned i = 0; i < chunk->extra_count; i++) {
        tally->unasked += !is_explained(pass, chunk->group, chunk->extras[i]->disk);
    }
    if (chunk->have < chunk->need && chunk->away == 0) {
        if (pass->lost_count < POOL_LOST_MAX) {
            pass->lost[pass->lost_count] = (struct pool_lost){
                .id = chunk->id, .have = chunk->have, .need = chunk->need};
        }
        pass->lost_count++;
    }
}

static void visit_extras(struct findings *findings, const struct pool_part_chunk *chunk)
{
    struct pool_pass *pass = findings->pass;
    bool may_delete = pool_part_is_whole(chunk) && !pass->is_dirty[chunk->group];
    for (unsigned i = 0; i < chunk->extra_count; i++) {
        const struct pool_part_entry *extra = chunk->extras[i];
        if (!may_delete) {
            pass->keeps_extras[extra->disk] = true;
        } else if (is_explained(pass, chunk->group, extra->disk) || !pass->is_halted) {
            add_extra(findings, chunk, extra);
        }
    }
}

static void visit(void *arg, const struct pool_part_chunk *chunk)
{
    struct findings *findings = arg;
    struct pool_pass *pass = findings->pass;
    if (findings->aim == POOL_AIM_SURVEY && findings->is_first) {
        count_chunk(pass, chunk);
    }
    if (chunk->is_stray) {
        return; /* of a chunk that was deleted, most likely; metadata knows */
    }
    if (chunk->has_conflict) {
        pass->is_dirty[chunk->group] = true;
        return;
    }
    bool is_endangered = chunk->have <= chunk->need && chunk->width > chunk->need;
    if (findings->aim == POOL_AIM_FILL || (findings->aim == POOL_AIM_SURVEY && is_endangered)) {
        for (uint32_t slot = 0; slot < chunk->width; slot++) {
            if ((chunk->missing & 1U << slot) != 0) {
                add_job(findings, chunk, slot);
            }
        }
    }
    if (findings->aim == POOL_AIM_TIDY) {
        visit_extras(findings, chunk);
    }
}

/* All listings of a part in one array, which the caller frees. */
static struct pool_part_entry *list_part(struct pool_pass *pass, uint32_t part, bool *ret_usable,
                                         size_t *ret_count)
{
    struct pool_part_entry *entries = NULL;
    size_t count = 0;
    for (uint16_t number = 0; number < pass->map->disk_count; number++) {
        struct pool_disk *disk = pass->view->disks[number];
        ret_usable[number] = pool_disk_is_usable(disk);
        if (!ret_usable[number]) {
            continue;
        }
        GFS_FREE struct chunk_listed *items = NULL;
        size_t some = 0;
        disk->store->ops->list(disk->store, part, &items, &some);
        if (some == 0) {
            continue;
        }
        entries = gfs_realloc(entries, (count + some) * sizeof *entries);
        for (size_t i = 0; i < some; i++) {
            entries[count++] = (struct pool_part_entry){
                .id = items[i].id, .len = items[i].len, .disk = number};
        }
    }
    *ret_count = count;
    return entries;
}

static void compare(struct findings *findings, uint32_t part)
{
    struct pool_pass *pass = findings->pass;
    bool usable[POOL_DISKS_MAX];
    size_t count;
    GFS_FREE struct pool_part_entry *entries = list_part(pass, part, usable, &count);
    size_t known = pool_part_sort(pass->map, entries, count);
    if (findings->aim == POOL_AIM_SURVEY && findings->is_first) {
        pass->tally.fragments += count;
        pass->tally.unknown += count - known;
    }
    pool_part_diff(pass->map, usable, entries, known, visit, findings);
}

static int compare_ids(struct chunk_id a, struct chunk_id b)
{
    if (a.hi != b.hi) {
        return a.hi < b.hi ? -1 : 1;
    }
    return (a.lo > b.lo) - (a.lo < b.lo);
}

static int compare_jobs(const void *left, const void *right)
{
    const struct pool_pass_job *a = left;
    const struct pool_pass_job *b = right;
    int order = compare_ids(a->id, b->id);
    return order != 0 ? order : (a->slot > b->slot) - (a->slot < b->slot);
}

static int compare_extras(const void *left, const void *right)
{
    const struct pool_pass_extra *a = left;
    const struct pool_pass_extra *b = right;
    int order = compare_ids(a->fragment, b->fragment);
    return order != 0 ? order : (a->disk > b->disk) - (a->disk < b->disk);
}

/* After a failure: what it means for the chunk's group. */
static void judge_failure(struct pool_pass *pass, const struct pool_pass_job *job,
                          uint16_t disk, enum gfs_err err)
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
        /* Nothing more can be done, but what a move would leave behind is not given up. */
        pass->is_dirty[group] |= pass->is_moving[group];
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

/* Copies under way. */
struct window {
    struct pool_copy *copies[WINDOW];
    const struct pool_pass_job *jobs[WINDOW];
    unsigned count;
};

static uint16_t target_of(const struct pool_pass *pass, const struct pool_pass_job *job)
{
    return pass->map->groups[chunk_id_group(job->id)].slots[job->slot].disk;
}

static void begin_job(struct pool_pass *pass, struct window *window,
                      const struct pool_pass_job *job)
{
    uint16_t disk = target_of(pass, job);
    if (pass->is_full[disk]) {
        pass->is_dirty[chunk_id_group(job->id)] = true;
        pool_progress_failed(pass->options->progress);
        return;
    }
    struct pool_copy_task task = {
        .view = pass->view, .id = job->id, .slot = job->slot, .disk = disk};
    struct pool_copy *copy;
    enum gfs_err err = pool_copy_begin(&pass->copier, &task, &copy);
    if (err == GFS_OK) {
        window->jobs[window->count] = job;
        window->copies[window->count++] = copy;
    } else if (err != GFS_NOT_FOUND) {
        judge_failure(pass, job, disk, err);
    }
}

static void end_jobs(struct pool_pass *pass, struct window *window)
{
    for (unsigned i = 0; i < window->count; i++) {
        uint32_t bytes;
        enum gfs_err err = pool_copy_end(window->copies[i], &bytes);
        if (err == GFS_OK) {
            pool_progress_copied(pass->options->progress, bytes);
        } else {
            judge_failure(pass, window->jobs[i], target_of(pass, window->jobs[i]), err);
        }
    }
    window->count = 0;
}

/* Jobs that were found before deletions were noted, and still are there after. */
static void fill(struct pool_pass *pass, const struct findings *before, const struct findings *now)
{
    struct window window = {0};
    for (size_t i = 0; i < now->job_count && !pass->is_stopped; i++) {
        const struct pool_pass_job *job = &now->jobs[i];
        if (bsearch(job, before->jobs, before->job_count, sizeof *job, compare_jobs) != NULL) {
            pass->options->between(pass->options->arg, pass->view);
            begin_job(pass, &window, job);
        }
        if (window.count == WINDOW) {
            end_jobs(pass, &window);
        }
    }
    end_jobs(pass, &window);
}

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

/* Whether it may be deleted now. */
static bool judge_extra(struct pool_pass *pass, const struct pool_pass_extra *extra)
{
    enum gfs_err err = verify_heirs(pass, extra);
    if (err != GFS_OK && err != GFS_NOT_FOUND) { /* that: deleted meanwhile, and the extra, too */
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

static void tidy(struct pool_pass *pass, const struct findings *before, const struct findings *now)
{
    GFS_FREE struct pool_pass_extra *judged =
        gfs_alloc_array(GFS_MAX(now->extra_count, (size_t)1), sizeof *judged);
    size_t count = 0;
    for (size_t i = 0; i < now->extra_count && !pass->is_stopped; i++) {
        const struct pool_pass_extra *extra = &now->extras[i];
        bool is_known = bsearch(extra, before->extras, before->extra_count, sizeof *extra,
                                compare_extras) != NULL;
        if (!is_known || pass->is_dirty[chunk_id_group(extra->id)]) {
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

void pool_pass_part(struct pool_pass *pass, uint32_t part, enum pool_pass_aim aim)
{
    GFS_CLEANUP(findings_fini)
    struct findings before = {.pass = pass, .aim = aim, .is_first = true};
    compare(&before, part);
    if (before.job_count == 0 && before.extra_count == 0) {
        return;
    }
    if (before.job_count > 1) {
        qsort(before.jobs, before.job_count, sizeof *before.jobs, compare_jobs);
    }
    if (before.extra_count > 1) {
        qsort(before.extras, before.extra_count, sizeof *before.extras, compare_extras);
    }
    pool_pass_note_deletions(&pass->copier, pass->view);
    GFS_CLEANUP(findings_fini) struct findings now = {.pass = pass, .aim = aim};
    compare(&now, part);
    if (aim == POOL_AIM_TIDY) {
        tidy(pass, &before, &now);
    } else {
        fill(pass, &before, &now);
    }
    pool_tombs_end(pass->options->pool);
}
