/* Comparing the log of a disk that is to be a mirror with that of one that is, and extending it, by
 * errands: either disk can hang in that for ever. What is given up writes to the first no more, but
 * for what is on its way there already, and lets go of that disk as soon as it is out of its calls;
 * in the other one it hangs on. */
#pragma once

#include "pool/pool_pace.h"
#include "pool/pool_state.h"

struct pool_log_work;

/* Plain data, zero but for `pool` and `pace` at first. Owned by one thread. */
struct pool_log_works {
    struct pool *pool;
    struct pool_pace *pace;         /* that of the thread: once stopped nothing is waited for */
    struct pool_log_work *given_up; /* and not over: one a source that hangs */
};

/* As pool_log_compare and pool_log_extend, as long as both disks are in use. BUSY: what was given
 * up still writes to `to`; TIMEOUT: given up, as one of them was dropped or (extend; 0 = no limit)
 * limit_ms are over. */
enum gfs_err pool_log_work_compare(struct pool_log_works *works, struct pool_disk *from,
                                   struct pool_disk *to, struct gfs_error *error) GFS_MUST_CHECK;
enum gfs_err pool_log_work_extend(struct pool_log_works *works, struct pool_disk *from,
                                  struct pool_disk *to, uint32_t limit_ms,
                                  struct gfs_error *error) GFS_MUST_CHECK;
/* Something that was given up still reads this disk's log. */
bool pool_log_work_hangs_in(const struct pool_log_works *works, const struct pool_disk *from);
/* Ends what was given up and is over; now and then. */
void pool_log_work_look(struct pool_log_works *works);
/* Nothing is asked for any more: what hangs is left to pool->errands. */
void pool_log_work_leave(struct pool_log_works *works);
