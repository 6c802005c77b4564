/* The state of the reconcile thread, shared by pool_reconcile.c, pool_reconcile_suspects.c and
 * pool_repair.c. */
#pragma once

#include "pool/pool_pass.h"

struct pool_reconcile {
    struct pool *pool;
    pthread_t thread;
    bool is_joined; /* who stops it */
    struct pool_pace pace;
    struct pool_progress progress;
    atomic_ulong moves;       /* slots that rebalancing moved since it was asked for */
    atomic_ulong moved_bytes; /* fragments made while it was wanted */
    /* Owned by the thread. */
    char *bytes;              /* POOL_COPY_STEP */
    int64_t next_pass_ns;     /* monotonic; not before */
    int64_t backoff_ns;       /* after the next pass that is incomplete */
    uint64_t seen_version;    /* of the map, when suspects were looked at last */
    uint64_t pass_version;    /* of the map, after the last pass */
    uint64_t retired_version; /* of the map in which no disk is left to be retired */
    bool is_checked;          /* a pass was whole since the start */
    int64_t checked_ns;       /* when */
};

/* ---- pool_reconcile_suspects.c ---- */
/* Repairs what is queued by now, unless the thread is stopped; what cannot be repaired is parked.
 * is_noting: deletions are being noted already. */
void pool_reconcile_suspects(struct pool_reconcile *reconcile, struct pool_view *view,
                             bool is_noting);
