/* The state of a pass, shared by the pool_pass*.c files. */
#pragma once

#include "pool/pool_copiers.h"
#include "pool/pool_pass.h"
#include "pool/pool_reconcile_part.h"

/* Plain data. A fragment to be made. */
struct pool_pass_job {
    struct chunk_id id;
    uint32_t slot;
    uint32_t len;
    unsigned have, need;
    bool is_gone; /* no disk lists it, and too few others to make it */
};

/* Plain data. A fragment to be deleted. */
struct pool_pass_extra {
    struct chunk_id id;       /* of the chunk */
    struct chunk_id fragment; /* as its disk lists it */
    uint16_t disk;
};

/* Plain data. What comparisons found. Grows as it is filled. */
struct pool_findings {
    struct pool_pass_job *jobs;
    size_t job_count, job_size;
    struct pool_pass_extra *extras;
    size_t extra_count, extra_size;
    uint64_t bytes; /* of all fragments in it */
};

struct pool_pass {
    const struct pool_pass_options *options;
    struct pool_copier copier;    /* of the pass's own thread, with options->bytes */
    struct pool_copiers *copiers; /* NULL until something is to be copied */
    struct pool_view *view;
    const struct pool_map *map; /* the view's */
    bool may_settle;            /* nobody works by an older map */
    bool is_stopped;
    bool *is_dirty;  /* by group */
    bool *is_moving; /* by group: some slot has a `from` */
    bool is_full[POOL_DISKS_MAX];
    bool keeps_extras[POOL_DISKS_MAX]; /* some could not be deleted yet, or may be needed */
    unsigned long behind_notes[POOL_DISKS_MAX]; /* when the pass began */
    uint64_t damaged[POOL_DISKS_MAX];
    struct pool_tally tally;
    uint64_t lost_count;
    struct pool_lost_ids lost_ids; /* until the survey is made */
    struct pool_lost lost[POOL_LOST_MAX];
    bool is_halted; /* extras that nothing explains are left alone: too many */
    /* The batch: parts in which something was found, and what. */
    struct pool_findings found;
    uint32_t parts[CHUNK_LIST_PARTS];
    uint32_t part_count;
};

/* What a part is looked at for. */
enum pool_pass_aim { POOL_AIM_SURVEY, POOL_AIM_FILL, POOL_AIM_TIDY };

/* ---- pool_pass_part.c ---- */
/* Compares a part, and acts when that makes a batch. */
void pool_pass_part(struct pool_pass *pass, uint32_t part, enum pool_pass_aim aim);
/* Acts upon what was found and still is so when deletions are being noted; the batch is empty
 * then. */
void pool_pass_act(struct pool_pass *pass, enum pool_pass_aim aim);
/* Sorted ones. */
bool pool_findings_has_job(const struct pool_findings *findings, const struct pool_pass_job *job);
bool pool_findings_has_extra(const struct pool_findings *findings,
                             const struct pool_pass_extra *extra);
void pool_findings_fini(struct pool_findings *findings);

/* ---- pool_pass_fill.c, pool_pass_tidy.c ---- */
/* Those of `now` that are in `before` as well. Deletions are being noted. */
void pool_pass_fill(struct pool_pass *pass, const struct pool_findings *before,
                    const struct pool_findings *now);
void pool_pass_tidy(struct pool_pass *pass, const struct pool_findings *before,
                    const struct pool_findings *now);

/* ---- pool_pass_settle.c ---- */
/* The group's disks are all there (but failed ones), and nothing of it failed. */
bool pool_pass_is_clean(const struct pool_pass *pass, uint32_t group);
/* Puts a map in force that says what the pass completed; GFS_OK too when there is nothing to
 * say. AGAIN: somebody still works by an older map. */
enum gfs_err pool_pass_settle(struct pool_pass *pass);
