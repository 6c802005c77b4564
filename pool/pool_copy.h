/* One fragment onto one disk, verified there; and fragments away from one. Blocking calls, of the
 * reconcile thread and of copiers (pool_copiers.h): any number at once, of different copiers. */
#pragma once

#include "pool/pool_copy_op.h"
#include "pool/pool_pace.h"
#include "pool/pool_state.h"

/* Plain data. What a copier works with: of one thread at a time. */
struct pool_copier {
    struct pool *pool;
    struct pool_pace *pace; /* bytes written are paid here */
    char *bytes;            /* POOL_COPY_STEP of its own, used by each call from begin to end */
};

/* Plain data. */
struct pool_copy_task {
    struct pool_view *view;
    struct chunk_id id; /* of the chunk */
    uint32_t slot;
    uint16_t disk; /* where the fragment is to be */
    bool is_bad;   /* the one that is there is no source */
};

/* A fragment on its way. */
struct pool_copy;

/* Gets the fragment from wherever it can be had and submits it, unless the chunk was deleted
 * meanwhile. Several small ones may be under way at once, so that they share a flush. From before
 * this call until the copy has ended deletions are being noted (pool_tombs_begin), and those sent
 * before are durable. OK: to be ended.
 *
 * NOT_FOUND: the chunk is deleted; CANCELLED: it may be, ask again later. CORRUPT: too few
 * fragments are left; UNREACHABLE: too few for now; NO_SPACE; BUSY; IO, TIMEOUT: the disk (dropped)
 * or a source; STOPPED. */
enum gfs_err pool_copy_begin(struct pool_copier *copier, const struct pool_copy_task *task,
                             struct pool_copy **ret) GFS_MUST_CHECK;
/* Waits until it is live, and reads it back from the medium: OK only when it is there, whole.
 * *ret_bytes: its length. What does not read back as it was written is deleted again: DIGEST. Else
 * as above. Frees the copy. */
enum gfs_err pool_copy_end(struct pool_copy *copy, uint32_t *ret_bytes) GFS_MUST_CHECK;
/* Both. */
enum gfs_err pool_copy_fragment(struct pool_copier *copier, const struct pool_copy_task *task,
                                uint32_t *ret_bytes) GFS_MUST_CHECK;

/* Whether the fragment that the disk lists is whole on the medium, its owner included: OK;
 * NOT_FOUND; CORRUPT; IO (a page cannot be read, or the disk is not usable); STOPPED. */
enum gfs_err pool_copy_verify(struct pool_copier *copier, struct pool_disk *disk,
                              struct chunk_id fragment) GFS_MUST_CHECK;

/* DELETE records for fragments on that disk alone, durable at return. Errors as done. */
enum gfs_err pool_copy_delete(struct pool_copier *copier, struct pool_disk *disk,
                              const struct chunk_id *fragments, size_t count) GFS_MUST_CHECK;

/* Everything submitted to the disk before the call is durable, or was refused. */
enum gfs_err pool_copy_settle(struct pool_copier *copier, struct pool_disk *disk) GFS_MUST_CHECK;
