/* Threads that copy fragments: while one copy reads its sources, others write, flush, and are read
 * back.
 *
 * Work comes in lots: some small fragments, which share flushes, or a large one alone. A thread
 * copies one lot at a time, with a buffer of its own, so what is under way is bounded by the number
 * of threads, and what waits or was not taken back by the number of lots.
 *
 *   free --lot--> filled by the caller --add--> waiting --> under way --> done --take--> the
 *   caller's --put--> free
 *
 * Every copy is one of pool_copy.h, with all that is promised there; what became of it is for the
 * caller to judge. From the first add until the last lot was taken back the caller notes deletions
 * (pool_tombs_begin) and holds the views of its tasks. Once the pace is stopped, lots come back as
 * soon as the disks answer or pool_copy_op gives them up.
 *
 * Owned by one thread, which alone makes the calls. */
#pragma once

#include "pool/pool_copy.h"

enum {
    POOL_COPIERS = 4,
    POOL_COPY_LOTS = 2 * POOL_COPIERS, /* so that no thread waits for the owner */
    POOL_COPY_LOT_MAX = 32,            /* fragments */
    POOL_COPY_LOT_BYTES = 4 << 20,     /* of small fragments: all of them are in memory at once */
};

/* Plain data. */
struct pool_copy_item {
    struct pool_copy_task task;
    const void *arg;  /* the caller's */
    enum gfs_err err; /* when it was copied: of pool_copy_fragment */
    uint32_t len;     /* when it was copied: bytes */
};

/* Plain data. */
struct pool_copy_lot {
    struct pool_copy_lot *next; /* in the list of its state */
    uint64_t bytes;             /* the caller's count */
    unsigned count;
    struct pool_copy_item items[POOL_COPY_LOT_MAX];
};

struct pool_copiers;

struct pool_copiers *pool_copiers_new(struct pool *pool, struct pool_pace *pace);
/* Every lot was taken back. NULL allowed. */
void pool_copiers_free(struct pool_copiers *copiers);

/* An empty lot; NULL = none is free. */
struct pool_copy_lot *pool_copiers_lot(struct pool_copiers *copiers);
/* To be copied: at least one fragment. */
void pool_copiers_add(struct pool_copiers *copiers, struct pool_copy_lot *lot);
/* A lot that is done; waits for one for at most wait_ms. NULL = there is none. */
struct pool_copy_lot *pool_copiers_take(struct pool_copiers *copiers, unsigned wait_ms);
void pool_copiers_put(struct pool_copiers *copiers, struct pool_copy_lot *lot);
/* Lots that were added and not taken back. */
unsigned pool_copiers_count(const struct pool_copiers *copiers);
