/* Parts of a pass: listed, compared, and, as many as make a batch, acted upon. */
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_pass_state.h"

enum { BATCH_COUNT = 16384 }; /* what is found may be so much, and one part more */
#define BATCH_BYTES (1ULL << 30)

/* One comparison. */
struct comparison {
    struct pool_pass *pass;
    struct pool_findings *findings;
    enum pool_pass_aim aim;
    bool is_first;
};

void pool_findings_fini(struct pool_findings *findings)
{
    free(findings->jobs);
    free(findings->extras);
    *findings = (struct pool_findings){0};
}

/* Copies of replicated chunks have the same id, whatever their slot. */
static bool is_listed_elsewhere(const struct pool_part_chunk *chunk, uint32_t slot)
{
    for (unsigned i = 0; i < chunk->extra_count; i++) {
        if (chunk->need == 1 || chunk_id_slot(chunk->extras[i]->id) == slot) {
            return true;
        }
    }
    return false;
}

static void add_job(struct pool_findings *findings, const struct pool_part_chunk *chunk,
                    uint32_t slot)
{
    findings->bytes += chunk->fragment_len;
    if (findings->job_count == findings->job_size) {
        findings->job_size = GFS_MAX((size_t)64, findings->job_size * 2);
        findings->jobs = gfs_realloc(findings->jobs, findings->job_size * sizeof *findings->jobs);
    }
    findings->jobs[findings->job_count++] = (struct pool_pass_job){
        .id = chunk->id,
        .slot = slot,
        .len = chunk->fragment_len,
        .have = chunk->have,
        .need = chunk->need,
        .is_gone = pool_part_is_lost(chunk) && !is_listed_elsewhere(chunk, slot)};
}

static void add_extra(struct pool_findings *findings, const struct pool_part_chunk *chunk,
                      const struct pool_part_entry *entry)
{
    findings->bytes += chunk->fragment_len;
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
    tally->read_only += (unsigned)__builtin_popcount(chunk->read_only);
    tally->extras += chunk->extra_count;
    for (unsigned i = 0; i < chunk->extra_count; i++) {
        tally->unasked += !is_explained(pass, chunk->group, chunk->extras[i]->disk);
    }
    if (chunk->have < chunk->need && chunk->away == 0 && !pool_view_has_fallback(pass->view)) {
        if (pass->lost_count < POOL_LOST_MAX) {
            pass->lost[pass->lost_count] =
                (struct pool_lost){.id = chunk->id, .have = chunk->have, .need = chunk->need};
        }
        (void)pool_lost_ids_add(&pass->lost_ids, chunk->id);
        pass->lost_count++;
    }
}

/* Of a chunk that will never be whole: the fragment is where it is wanted, too. Without this what a
 * killed writer left would hold up a move until it is swept. */
static bool has_moved(const struct pool_part_chunk *chunk, const struct pool_part_entry *extra)
{
    bool is_wanted = (chunk->missing >> chunk_id_slot(extra->id) & 1) == 0;
    return chunk->need > 1 && pool_part_is_lost(chunk) && chunk->lost == 0 && is_wanted;
}

static void visit_extras(struct comparison *comparison, const struct pool_part_chunk *chunk)
{
    struct pool_pass *pass = comparison->pass;
    bool is_whole = pool_part_is_whole(chunk);
    /* What was filled lacks it again, as when repair found it bad and could not write it anew: the
     * disk it came from is not forgotten. */
    pass->is_dirty[chunk->group] |= chunk->extra_count != 0 && chunk->missing != 0 &&
                                    pass->is_moving[chunk->group] && !pool_part_is_lost(chunk);
    for (unsigned i = 0; i < chunk->extra_count; i++) {
        const struct pool_part_entry *extra = chunk->extras[i];
        bool may_delete = is_whole || has_moved(chunk, extra);
        if (!may_delete || pass->is_dirty[chunk->group]) {
            pass->keeps_extras[extra->disk] = true;
        } else if (is_explained(pass, chunk->group, extra->disk) || !pass->is_halted) {
            add_extra(comparison->findings, chunk, extra);
        }
    }
}

static void keep_extras(struct pool_pass *pass, const struct pool_part_chunk *chunk)
{
    for (unsigned i = 0; i < chunk->extra_count; i++) {
        pass->keeps_extras[chunk->extras[i]->disk] = true;
    }
}

static void visit(void *arg, const struct pool_part_chunk *chunk)
{
    struct comparison *comparison = arg;
    struct pool_pass *pass = comparison->pass;
    if (comparison->aim == POOL_AIM_SURVEY && comparison->is_first) {
        count_chunk(pass, chunk);
    }
    if (chunk->is_stray) { /* of a chunk that was deleted, most likely; metadata knows */
        if (chunk->lost != 0 || !pool_pass_is_clean(pass, chunk->group)) {
            keep_extras(pass, chunk); /* or the rest of it is where nobody can look now */
        }
        return;
    }
    if (chunk->has_conflict) {
        pass->is_dirty[chunk->group] = true;
        keep_extras(pass, chunk);
        return;
    }
    /* It gets the fragment when it is not read-only any more: until then nothing is forgotten that
     * says so, nor where else it is. Of disks that are away pool_pass_is_clean knows. */
    pass->is_dirty[chunk->group] |= chunk->read_only != 0;
    bool is_endangered = chunk->have <= chunk->need && chunk->width > chunk->need;
    if (comparison->aim == POOL_AIM_FILL || (comparison->aim == POOL_AIM_SURVEY && is_endangered)) {
        for (uint32_t slot = 0; slot < chunk->width; slot++) {
            if ((chunk->missing & 1U << slot) != 0) {
                add_job(comparison->findings, chunk, slot);
            }
        }
    }
    if (comparison->aim == POOL_AIM_TIDY) {
        visit_extras(comparison, chunk);
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
            entries[count++] =
                (struct pool_part_entry){.id = items[i].id, .len = items[i].len, .disk = number};
        }
    }
    *ret_count = count;
    return entries;
}

static void compare(struct comparison *comparison, uint32_t part)
{
    struct pool_pass *pass = comparison->pass;
    bool usable[POOL_DISKS_MAX];
    size_t count;
    GFS_FREE struct pool_part_entry *entries = list_part(pass, part, usable, &count);
    size_t known = pool_part_sort(pass->map, entries, count);
    if (comparison->aim == POOL_AIM_SURVEY && comparison->is_first) {
        pass->tally.fragments += count;
        pass->tally.unknown += count - known;
    }
    pool_part_diff(pass->map, usable, entries, known, visit, comparison);
}

static int compare_jobs(const void *left, const void *right)
{
    const struct pool_pass_job *a = left;
    const struct pool_pass_job *b = right;
    int order = chunk_id_compare(a->id, b->id);
    return order != 0 ? order : (a->slot > b->slot) - (a->slot < b->slot);
}

static int compare_extras(const void *left, const void *right)
{
    const struct pool_pass_extra *a = left;
    const struct pool_pass_extra *b = right;
    int order = chunk_id_compare(a->fragment, b->fragment);
    return order != 0 ? order : (a->disk > b->disk) - (a->disk < b->disk);
}

bool pool_findings_has_job(const struct pool_findings *findings, const struct pool_pass_job *job)
{
    return findings->job_count != 0 &&
           bsearch(job, findings->jobs, findings->job_count, sizeof *job, compare_jobs) != NULL;
}

bool pool_findings_has_extra(const struct pool_findings *findings,
                             const struct pool_pass_extra *extra)
{
    return findings->extra_count != 0 && bsearch(extra, findings->extras, findings->extra_count,
                                                 sizeof *extra, compare_extras) != NULL;
}

static void sort(struct pool_findings *findings)
{
    if (findings->job_count > 1) {
        qsort(findings->jobs, findings->job_count, sizeof *findings->jobs, compare_jobs);
    }
    if (findings->extra_count > 1) {
        qsort(findings->extras, findings->extra_count, sizeof *findings->extras, compare_extras);
    }
}

void pool_pass_part(struct pool_pass *pass, uint32_t part, enum pool_pass_aim aim)
{
    struct pool_findings *found = &pass->found;
    size_t before = found->job_count + found->extra_count;
    struct comparison comparison = {.pass = pass, .findings = found, .aim = aim, .is_first = true};
    compare(&comparison, part);
    size_t after = found->job_count + found->extra_count;
    if (after != before) {
        pass->parts[pass->part_count++] = part;
    }
    if (after >= BATCH_COUNT || found->bytes >= BATCH_BYTES) {
        pool_pass_act(pass, aim);
    }
}

void pool_pass_act(struct pool_pass *pass, enum pool_pass_aim aim)
{
    if (pass->part_count == 0) {
        return;
    }
    sort(&pass->found);
    pool_pass_note_deletions(&pass->copier, pass->view);
    GFS_CLEANUP(pool_findings_fini) struct pool_findings now = {0};
    struct comparison comparison = {.pass = pass, .findings = &now, .aim = aim};
    for (uint32_t i = 0; i < pass->part_count; i++) {
        compare(&comparison, pass->parts[i]);
    }
    if (aim == POOL_AIM_TIDY) {
        pool_pass_tidy(pass, &pass->found, &now);
    } else {
        pool_pass_fill(pass, &pass->found, &now);
    }
    pool_tombs_end(pass->options->pool);
    pool_findings_fini(&pass->found);
    pass->part_count = 0;
}
