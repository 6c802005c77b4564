/* Reads on the own threads of a disk: what must wait for it.
 *
 * A job owns the memory it reads into and holds the pinned chunk it reads from, so whoever waits
 * for it may go away: a job that is abandoned in the queue is gone at once, one that runs is freed
 * when it ends. Memory is taken when a job runs, so a disk that hangs holds only its threads'.
 *
 *   queued --> running --> done     abandoned: at any time, by the waiter */
#pragma once

#include "pool/pool_pin.h"

/* Plain data. The fields after `flags` are the thread's until is_done, which pin->lock guards. */
struct pool_read_job {
    struct pool_read_job *next, *previous; /* in the queue; guarded by the reader's lock */
    struct pool_pin *pin;                  /* counted */
    unsigned part;
    bool is_owner;        /* of the record, instead of its bytes */
    bool is_queued;       /* guarded by the reader's lock */
    uint32_t offset, len; /* in the fragment; offset at a block, at most 64 blocks */
    unsigned flags;
    int64_t begun_ns; /* by the waiter */
    uint8_t *bytes;   /* len of them, or the owner */
    size_t owner_len;
    uint64_t whole;   /* bit i: block i of the range is there and verified */
    uint64_t damaged; /* likewise: CORRUPT; all others could not be read */
    uint64_t untried; /* likewise: or not even that, as reads of others had failed */
    enum gfs_err err; /* of a block that is not whole */
    bool is_done, is_abandoned;
};

/* NULL: too many wait for this disk. The part is pinned, and busy until the job is done. */
struct pool_read_job *pool_reader_start(const struct pool_read_job *job);
/* The waiter is done with it, whatever its state. */
void pool_reader_forget(struct pool_read_job *job);
