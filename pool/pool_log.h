/* The edit log of a pool: its mirrors read as one. */
#pragma once

#include "pool/pool_state.h"

/* chunk_store.replay_edits, .trim_edits. */
enum gfs_err pool_replay_edits(struct chunk_store *chunks, uint64_t after,
                               enum gfs_err (*visit)(void *arg, uint64_t lsn,
                                                     struct gfs_slice edit),
                               void *arg, struct gfs_error *error);
void pool_trim_edits(struct chunk_store *chunks, uint64_t lsn);

/* Brings the log in `to` to the end that the one in `from` has: appends what has a higher LSN than
 * the last of `to`. Blocking. */
enum gfs_err pool_log_extend(struct chunk_store *from, struct chunk_store *to,
                             struct gfs_error *error) GFS_MUST_CHECK;
/* Whether the log in `to`, as far as it reaches and is not trimmed (up to `trimmed`), holds exactly
 * the edits that the one in `from` holds. CONFLICT: it does not: it has edits that never counted,
 * or lacks some. */
enum gfs_err pool_log_compare(struct chunk_store *from, struct chunk_store *to, uint64_t trimmed,
                              struct gfs_error *error) GFS_MUST_CHECK;
/* GFS_OK: the log can be read to its end. */
enum gfs_err pool_log_check(struct chunk_store *store, uint64_t after,
                            struct gfs_error *error) GFS_MUST_CHECK;
