/* The order of looking is what makes the answers right:
 *
 *   references (t1) -> fragments (t2) -> names (t3) -> fragments again (t4) -> has_references (t5)
 *
 * A chunk becomes live before a row refers to it, and is deleted only after none does, and ids are
 * never used again. So what is referred to at t1 and at t3 was live at t2: if it was not listed
 * then, and is not at t4, it is lost. What was listed at t2 and is not referred to at t5, a day
 * after the same was so, is nobody's. */
#include "goodfs/fsck_search.h"

#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

enum {
    STEP_EVERY = 4096,
    LOOKS = 3, /* again, at what looks bad: a fragment that moves may be missed on both disks */
};

/* A search under way. */
struct search {
    const struct fsck_search_options *options;
    const struct fsck_source *source;
    struct fsck_orphans *orphans;
    struct fsck_result *result;
    uint32_t part_first, part_end; /* the parts of this round */
    struct chunk_id *references;   /* to them; sorted once collected */
    bool *is_listed;               /* of each reference */
    size_t reference_count;
    bool is_full; /* the round has more references than fit */
    struct fsck_findings findings;
    uint64_t visited; /* for steps */
    int64_t now_ms;
    double done, done_next; /* of this round */
};

static int compare_ids(const void *left, const void *right)
{
    return chunk_id_compare(*(const struct chunk_id *)left, *(const struct chunk_id *)right);
}

static enum gfs_err step(struct search *search, double done)
{
    return search->options->step(search->options->arg, done) ? GFS_OK : GFS_CANCELLED;
}

/* ---- references ---- */

static enum gfs_err collect(void *arg, const struct fsck_reference *reference)
{
    struct search *search = arg;
    uint32_t part = chunk_list_part(reference->id);
    if (++search->visited % STEP_EVERY == 0) {
        enum gfs_err err = step(search, search->done);
        if (err != GFS_OK) {
            return err;
        }
    }
    if (part < search->part_first || part >= search->part_end) {
        return GFS_OK;
    }
    if (search->reference_count == search->options->references_max) {
        search->is_full = true;
        return GFS_END;
    }
    search->references[search->reference_count++] = reference->id;
    return GFS_OK;
}

static void sort_references(struct search *search)
{
    size_t kept = 0;
    if (search->reference_count > 1) {
        qsort(search->references, search->reference_count, sizeof *search->references, compare_ids);
    }
    for (size_t i = 0; i < search->reference_count; i++) {
        if (kept == 0 || compare_ids(&search->references[kept - 1], &search->references[i]) != 0) {
            search->references[kept++] = search->references[i];
        }
    }
    search->reference_count = kept;
    memset(search->is_listed, 0, kept * sizeof *search->is_listed);
}

/* Every row but the damaged ones was visited: what the others refer to can be judged. */
static enum gfs_err forgive_damage(struct search *search, enum gfs_err err)
{
    search->result->is_damaged |= err == GFS_CORRUPT;
    return err == GFS_CORRUPT ? GFS_OK : err;
}

/* Of as many parts as fit, from part_first on. */
static enum gfs_err collect_round(struct search *search)
{
    for (;;) {
        search->reference_count = 0;
        search->is_full = false;
        enum gfs_err err = search->source->visit_references(search->source->arg, collect, search);
        if (!search->is_full) {
            sort_references(search);
            return forgive_damage(search, err);
        }
        uint32_t parts = search->part_end - search->part_first;
        if (parts == 1) {
            return GFS_TOO_BIG;
        }
        search->part_end = search->part_first + parts / 2;
    }
}

/* ---- fragments ---- */

static void judge(void *arg, const struct fsck_chunk *chunk)
{
    struct search *search = arg;
    struct chunk_id *reference =
        search->reference_count == 0
            ? NULL
            : bsearch(&chunk->id, search->references, search->reference_count,
                      sizeof *search->references, compare_ids);
    search->result->chunks++;
    if (reference == NULL) {
        fsck_orphans_add(search->orphans, chunk->id, chunk->bytes, search->now_ms);
        return;
    }
    search->is_listed[reference - search->references] = true;
    fsck_findings_add(&search->findings, chunk);
}

static enum gfs_err judge_round(struct search *search)
{
    for (uint32_t part = search->part_first; part < search->part_end; part++) {
        search->now_ms = gfs_wall_ms();
        enum gfs_err err = search->source->visit_chunks(search->source->arg, part, judge, search);
        if (err == GFS_OK) {
            err = step(search, (part + 1.0) / CHUNK_LIST_PARTS);
        }
        if (err != GFS_OK) {
            return err;
        }
    }
    bool is_whole = search->source->is_whole(search->source->arg);
    for (size_t i = 0; i < search->reference_count; i++) {
        if (!search->is_listed[i]) {
            struct fsck_chunk chunk = {.id = search->references[i], .is_disk_away = !is_whole};
            search->source->shape(search->source->arg, chunk.id, &chunk.need, &chunk.width);
            fsck_findings_add(&search->findings, &chunk);
        }
    }
    search->result->references += search->reference_count;
    return GFS_OK;
}

static enum gfs_err search_parts(struct search *search)
{
    uint32_t parts = CHUNK_LIST_PARTS;
    enum gfs_err err = GFS_OK;
    for (search->part_first = 0; err == GFS_OK && search->part_first < CHUNK_LIST_PARTS;
         search->part_first = search->part_end) {
        search->part_end = GFS_MIN(search->part_first + parts, (uint32_t)CHUNK_LIST_PARTS);
        search->done = (double)search->part_first / CHUNK_LIST_PARTS;
        err = collect_round(search);
        parts = search->part_end - search->part_first; /* the next round is not smaller than fits */
        if (err == GFS_OK) {
            err = judge_round(search);
        }
    }
    return err;
}

/* ---- losses are judged again ---- */

static enum gfs_err name_finding(void *arg, const struct fsck_reference *reference)
{
    struct search *search = arg;
    enum gfs_err err = ++search->visited % STEP_EVERY == 0 ? step(search, 1) : GFS_OK;
    if (err == GFS_OK) {
        fsck_findings_name(&search->findings, reference);
    }
    return err;
}

/* A write that was acknowledged by its quorum may have been ending when it was looked at. */
static void judge_again(void *arg, const struct fsck_chunk *chunk)
{
    struct search *search = arg;
    fsck_findings_judge(&search->findings, chunk);
}

static enum gfs_err judge_findings_again(struct search *search)
{
    bool has_part[CHUNK_LIST_PARTS] = {false};
    for (size_t i = 0; i < search->findings.count; i++) {
        const struct fsck_finding *finding = &search->findings.items[i];
        has_part[chunk_list_part(finding->id)] |= finding->is_named && finding->state != 0;
    }
    for (uint32_t part = 0; part < CHUNK_LIST_PARTS; part++) {
        enum gfs_err err = GFS_OK;
        if (has_part[part]) {
            err = search->source->visit_chunks(search->source->arg, part, judge_again, search);
            err = err == GFS_OK ? step(search, 1) : err;
        }
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

static enum gfs_err name_findings(struct search *search)
{
    if (search->findings.count == 0) {
        return GFS_OK;
    }
    fsck_findings_sort(&search->findings);
    enum gfs_err err = search->source->visit_references(search->source->arg, name_finding, search);
    err = forgive_damage(search, err);
    for (unsigned i = 0; i < LOOKS && err == GFS_OK; i++) {
        err = judge_findings_again(search);
    }
    fsck_findings_end(&search->findings, &search->result->list);
    return err;
}

/* ---- orphans ---- */

/* Lets go of those that metadata knows after all. What it does not know now it never will: only a
 * row that refers to a chunk can give it to another, and what was being written is not old. */
static enum gfs_err filter_orphans(struct search *search)
{
    struct fsck_orphans *orphans = search->orphans;
    fsck_orphans_sort(orphans);
    struct chunk_id *ids = gfs_alloc_array(orphans->count + 1, sizeof *ids);
    bool *keep = gfs_alloc_array(orphans->count + 1, sizeof *keep);
    for (size_t i = 0; i < orphans->count; i++) {
        ids[i] = orphans->items[i].id;
    }
    enum gfs_err err =
        orphans->count == 0
            ? GFS_OK
            : search->source->has_references(search->source->arg, ids, orphans->count, keep);
    for (size_t i = 0; i < orphans->count; i++) {
        keep[i] = !keep[i];
    }
    if (err == GFS_OK) {
        fsck_orphans_filter(orphans, keep);
    }
    free(ids);
    free(keep);
    return err;
}

static bool is_old_enough(const struct search *search, const struct fsck_orphan *orphan)
{
    return orphan->age_ms >= search->options->orphan_age_ms;
}

/* Deletes those that are old enough; keep[i] becomes false for what is gone. */
static enum gfs_err delete_old(struct search *search, bool *keep)
{
    struct fsck_orphans *orphans = search->orphans;
    enum gfs_err err = GFS_OK;
    for (size_t at = 0; err == GFS_OK && at < orphans->count;) {
        struct chunk_id ids[FSCK_BATCH];
        size_t indices[FSCK_BATCH];
        size_t count = 0;
        for (; at < orphans->count && count < FSCK_BATCH; at++) {
            if (is_old_enough(search, &orphans->items[at])) {
                indices[count] = at;
                ids[count++] = orphans->items[at].id;
            }
        }
        if (count > 0) {
            err = search->source->delete_chunks(search->source->arg, ids, count);
        }
        for (size_t i = 0; err == GFS_OK && i < count; i++) {
            keep[indices[i]] = false;
            search->result->deleted++;
            search->result->deleted_bytes += orphans->items[indices[i]].bytes;
        }
        err = err == GFS_OK ? step(search, 1) : err;
    }
    return err;
}

static enum gfs_err sweep(struct search *search)
{
    struct fsck_orphans *orphans = search->orphans;
    struct fsck_result *result = search->result;
    result->sweep = "ready";
    if (!search->options->may_be_many &&
        fsck_orphans_is_abnormal(orphans, result->chunks, result->references)) {
        result->sweep = "stopped: more than 1 % of all chunks are in nobody's name";
        return GFS_OK;
    }
    if (!search->source->is_whole(search->source->arg)) {
        result->sweep = "waits until all disks are there";
        return GFS_OK;
    }
    bool *keep = gfs_alloc_array(orphans->count + 1, sizeof *keep);
    for (size_t i = 0; i < orphans->count; i++) {
        keep[i] = true;
    }
    enum gfs_err err = delete_old(search, keep);
    fsck_orphans_filter(orphans, keep);
    free(keep);
    if (err != GFS_OK && err != GFS_CANCELLED) {
        result->sweep = "a deletion failed: the next search tries again";
        err = GFS_OK; /* the search itself is whole */
    }
    return err;
}

static enum gfs_err handle_orphans(struct search *search)
{
    enum gfs_err err = search->result->is_damaged ? GFS_CORRUPT : filter_orphans(search);
    if (err == GFS_CORRUPT) {
        search->result->is_damaged = true;
        search->result->sweep = "stopped: rows of the metadata are damaged";
        err = GFS_OK;
    } else if (err == GFS_OK) {
        fsck_orphans_end(search->orphans);
        err = sweep(search);
    }
    for (size_t i = 0; i < search->orphans->count; i++) {
        search->result->orphan_bytes += search->orphans->items[i].bytes;
    }
    search->result->orphans = search->orphans->count;
    return err;
}

enum gfs_err fsck_search(const struct fsck_search_options *options, struct fsck_orphans *orphans,
                         struct fsck_result *ret)
{
    *ret = (struct fsck_result){.sweep = "not reached"};
    struct search search = {
        .options = options, .source = options->source, .orphans = orphans, .result = ret};
    search.references = gfs_alloc_array(options->references_max, sizeof *search.references);
    search.is_listed = gfs_alloc_array(options->references_max, sizeof *search.is_listed);
    fsck_findings_init(&search.findings);
    fsck_orphans_begin(orphans, options->uptime_ms);
    enum gfs_err err = search_parts(&search);
    if (err == GFS_OK) {
        err = name_findings(&search);
    }
    if (err == GFS_OK) {
        err = handle_orphans(&search);
    }
    free(search.references);
    free(search.is_listed);
    fsck_findings_fini(&search.findings);
    return err;
}

void fsck_search_release(struct fsck_result *result)
{
    fsck_list_release(&result->list);
    *result = (struct fsck_result){0};
}
