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
 * the last of `to`. What was trimmed and reclaimed from `from` meanwhile is left out, and `to` says
 * so (lsn_gone). Blocking. */
enum gfs_err pool_log_extend(struct chunk_store *from, struct chunk_store *to,
                             struct gfs_error *error) GFS_MUST_CHECK;
/* Whether the log in `to`, as far as it reaches, holds exactly the edits that the one in `from`
 * holds behind `trimmed` and what either has reclaimed. CONFLICT: it does not: it has edits that
 * never counted, or lacks some. What it has of what was not compared it does not give any more
 * (lsn_gone). Blocking. */
enum gfs_err pool_log_compare(struct chunk_store *from, struct chunk_store *to, uint64_t trimmed,
                              struct gfs_error *error) GFS_MUST_CHECK;
/* GFS_OK: the log can be read from what was reclaimed to its end. */
enum gfs_err pool_log_check(struct chunk_store *store, struct gfs_error *error) GFS_MUST_CHECK;
