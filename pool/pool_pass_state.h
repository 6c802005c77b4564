/* The state of a pass, shared by pool_pass.c, pool_pass_part.c and pool_pass_settle.c. */
#pragma once

#include "pool/pool_pass.h"
#include "pool/pool_reconcile_part.h"

/* Plain data. A fragment to be made. */
struct pool_pass_job {
    struct chunk_id id;
    uint32_t slot;
    uint32_t len;
    unsigned have, need;
};

/* Plain data. A fragment to be deleted. */
struct pool_pass_extra {
    struct chunk_id id;       /* of the chunk */
    struct chunk_id fragment; /* as its disk lists it */
    uint16_t disk;
};

struct pool_pass {
    const struct pool_pass_options *options;
    struct pool_copier copier;
    struct pool_view *view;
    const struct pool_map *map; /* the view's */
    bool may_settle;            /* nobody works by an older map */
    bool is_stopped;
    bool *is_dirty;             /* by group */
    bool *is_moving;            /* by group: some slot has a `from` */
    bool is_full[POOL_DISKS_MAX];
    bool keeps_extras[POOL_DISKS_MAX]; /* some could not be deleted yet */
    unsigned long behind_notes[POOL_DISKS_MAX]; /* when the pass began */
    uint64_t damaged[POOL_DISKS_MAX];
    struct pool_tally tally;
    uint64_t lost_count;
    struct pool_lost lost[POOL_LOST_MAX];
    bool is_halted; /* extras that nothing explains are left alone: too many */
};

/* What a part is looked at for. */
enum pool_pass_aim { POOL_AIM_SURVEY, POOL_AIM_FILL, POOL_AIM_TIDY };

/* ---- pool_pass_part.c ---- */
void pool_pass_part(struct pool_pass *pass, uint32_t part, enum pool_pass_aim aim);

/* ---- pool_pass_settle.c ---- */
/* The group's disks are all there (but failed ones), and nothing of it failed. */
bool pool_pass_is_clean(const struct pool_pass *pass, uint32_t group);
/* Puts a map in force that says what the pass completed; GFS_OK too when there is nothing to
 * say. AGAIN: somebody still works by an older map. */
enum gfs_err pool_pass_settle(struct pool_pass *pass);
