/* The log mirrors of a map, for the pool_plan*.c files alone. */
#pragma once

#include "pool/pool_map.h"

/* The disk has a copy of the log, in sync or not. */
bool pool_plan_log_has(const struct pool_map *map, uint16_t disk);
/* Takes a lost disk off the log disks, if it is one. UNREACHABLE: nobody else has all of the log.
 */
enum gfs_err pool_plan_log_lose(struct pool_map *map, uint16_t disk,
                                struct gfs_error *error) GFS_MUST_CHECK;
