/* Moves a shard's database round a few directories and visits its references, while others use
 * it. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "metad/shard.h"

enum { MOVER_DIRS = 3 };

struct mover {
    char dirs[MOVER_DIRS][32]; /* the caller's; the live database is in the first at the start */
    unsigned live;             /* where it is; the mover's until it has stopped */
    unsigned moves;
    uint64_t references;
    struct shard *shard;
    atomic_bool is_over;
    pthread_t move_thread, visit_thread;
};

void mover_start(struct mover *mover, struct shard *shard);
/* Every step must have succeeded, and there must have been one. */
void mover_stop(struct mover *mover);
