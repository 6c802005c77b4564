/* What pool_open is made of. */
#pragma once

#include "pool/pool_state.h"

/* ---- pool.c: a pool without disks; running; its end ---- */
struct pool *pool_new(const struct pool_options *options);
void pool_run(struct pool *pool); /* a view is in force */
/* Nothing runs, no view is held. false: a disk hangs in being closed, and it is left as it is. */
bool pool_free(struct pool *pool);

/* ---- pool_even.c ---- */
/* Brings the log mirrors in sync that are there to the same end, calls those out of sync that are
 * not there or damaged, and answers the highest LSN that any disk knows. disks: by number.
 * UNREACHABLE: none in sync is there. */
enum gfs_err pool_even_logs(struct pool_map *map, struct pool_disk *const disks[POOL_DISKS_MAX],
                            uint64_t *ret_lsn, struct gfs_error *error) GFS_MUST_CHECK;
