/* Writing a map to many disks at once: a thread each, none waited for longer than the limit. */
#pragma once

#include "pool/pool_state.h"

enum { POOL_MAP_WRITE_LIMIT_MS = 10000 };

/* Writes the map to every disk that is not NULL. ret: by the same index, GFS_OK = durable there;
 * TIMEOUT: not answered in time, it may yet be written. Disks that fail are dropped; full ones,
 * with NO_SPACE, are not. INVALID (pool_map_check), TOO_BIG: nothing was written. Under
 * change_lock. */
enum gfs_err pool_map_write(struct pool *pool, const struct pool_map *map,
                            struct pool_disk *const disks[POOL_DISKS_MAX],
                            enum gfs_err ret[POOL_DISKS_MAX],
                            struct gfs_error *error) GFS_MUST_CHECK;
/* Whether a write that was given up may still land in this directory. Under change_lock. */
bool pool_map_write_is_late(struct pool *pool, const char *path);
/* Waits at most wait_ms for what was given up. At the close. false: a disk hangs. */
bool pool_map_write_end(struct pool *pool, uint32_t wait_ms);
