/* What a start does before it writes anything: it takes an epoch of its own. */
#pragma once

#include "pool/pool_state.h"

/* Plain data; borrows. */
struct pool_promise {
    const struct pool_map *newest;              /* of all that were found */
    const struct pool_map *own[POOL_DISKS_MAX]; /* by number: each disk's; NULL = it has none */
    struct pool_disk *disks[POOL_DISKS_MAX];    /* by number, NULL = not there */
    bool is_away[POOL_DISKS_MAX]; /* by number: it may lack more than the newest says */
    uint64_t epoch;               /* higher than any that was promised */
};
/* Each disk keeps the map it has, and that nothing of a lower epoch is to be written: a later start
 * with any quorum learns of this one, and whatever an earlier one left behind is known to be older
 * than what this one writes. Then, if the newest map changed who has a vote and nobody knows
 * whether it was in force, it is put in force under this epoch: only then it may be followed. It
 * says who was away: that is not forgotten when the start comes to nothing.
 *
 * *ret_settled: that version, the caller's, or NULL: the newest is followed as it is. Disks that
 * fail are dropped. UNREACHABLE, NO_SPACE: no quorum; nothing but promises was written. Durable on
 * return. Under change_lock. */
enum gfs_err pool_promise(struct pool *pool, const struct pool_promise *promise,
                          struct pool_map **ret_settled, struct gfs_error *error) GFS_MUST_CHECK;
