/* How far repair is: written by the reconcile thread, read by whoever asks. */
#pragma once

#include <pthread.h>

#include "libgoodfs/chunk_store.h"
#include "pool/pool_map.h"

enum pool_phase {
    POOL_PHASE_IDLE = 0,
    POOL_PHASE_SURVEY, /* all parts are compared; what is in danger is repaired at once */
    POOL_PHASE_FILL,   /* what is missing is copied and rebuilt */
    POOL_PHASE_TIDY,   /* what lies where nothing wants it any more is deleted */
};

enum { POOL_LOST_MAX = 256 };

/* Plain data. A chunk of which too few fragments are left. */
struct pool_lost {
    struct chunk_id id;
    uint32_t have, need; /* fragments */
};

/* Plain data; embedded in its owner, all zeros at first. Chunks that were counted as lost. Open
 * addressing, at most half full. */
struct pool_lost_ids {
    struct chunk_id *ids;
    size_t count, size;
};
/* Whether it is new; one more than 2^20 never is. */
bool pool_lost_ids_add(struct pool_lost_ids *lost, struct chunk_id id);
void pool_lost_ids_fini(struct pool_lost_ids *lost);

/* Plain data. Chunks and fragments as of the last survey. */
struct pool_tally {
    uint64_t chunks, fragments;
    uint64_t missing, missing_bytes; /* fragments that can be made now */
    uint64_t unplaced;               /* fragments whose disk is lost or away, or cannot take them */
    uint64_t read_only;              /* of those: their disk is there, but read-only */
    uint64_t extras;                 /* fragments where no slot wants them */
    uint64_t unasked;                /* extras that no move and no failure explains */
    uint64_t strays;    /* chunks that only disks outside of their group list, too few to read */
    uint64_t unknown;   /* fragments of no group */
    uint64_t conflicts; /* chunks whose fragments differ in length */
};

/* Plain data. */
struct pool_progress_state {
    enum pool_phase phase;
    uint32_t parts_done;       /* of the phase */
    uint64_t passes;           /* ended */
    uint64_t done, done_bytes; /* fragments made in the pass under way, or the last one */
    uint64_t left, left_bytes;
    uint64_t deleted;  /* extras, since the start */
    uint64_t failures; /* of the pass under way, or the last one */
    uint64_t healed;   /* suspects repaired since the start */
    int64_t since_ns;  /* monotonic; of the pass under way */
    int64_t until_ns;  /* of the last one, 0 = under way */
    struct pool_tally tally;
    uint64_t lost_count; /* may be more than are listed */
    struct pool_lost lost[POOL_LOST_MAX];
    char halted[160]; /* why deletions were not made, "" = they were */
};

/* Guarded by lock. */
struct pool_progress {
    pthread_mutex_t lock;
    struct pool_progress_state state;
    struct pool_lost_ids lost_ids; /* that state.lost_count counts */
};

void pool_progress_init(struct pool_progress *progress);
void pool_progress_fini(struct pool_progress *progress);
void pool_progress_begin(struct pool_progress *progress);
void pool_progress_phase(struct pool_progress *progress, enum pool_phase phase);
void pool_progress_parts(struct pool_progress *progress, uint32_t count); /* more are done */
/* The survey is made: what was found replaces what the one before found. lost: the first of them;
 * lost_ids: all, taken over. */
void pool_progress_survey(struct pool_progress *progress, const struct pool_tally *tally,
                          const struct pool_lost *lost, uint64_t lost_count,
                          struct pool_lost_ids *lost_ids);
void pool_progress_copied(struct pool_progress *progress, uint64_t bytes);
void pool_progress_failed(struct pool_progress *progress);
void pool_progress_healed(struct pool_progress *progress);
void pool_progress_deleted(struct pool_progress *progress, uint64_t count);
/* Once per chunk: known ones are not counted again. */
void pool_progress_lost(struct pool_progress *progress, const struct pool_lost *lost);
void pool_progress_halted(struct pool_progress *progress, const char *why);
void pool_progress_end(struct pool_progress *progress);
/* Bytes a second of the pass under way, or the last one. */
uint64_t pool_progress_rate(const struct pool_progress_state *state, int64_t now_ns);
