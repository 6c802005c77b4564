/* Writing a map to many disks at once: a thread each, none waited for longer than the limit. */
#pragma once

#include "pool/pool_state.h"

enum { POOL_MAP_WRITE_LIMIT_MS = 10000 };

/* Writes text to every disk that is not NULL. ret: by the same index, GFS_OK = durable there;
 * TIMEOUT: not answered in time, it may yet be written. Under change_lock. */
void pool_map_write(struct pool *pool, struct gfs_slice text,
                    struct pool_disk *const disks[POOL_DISKS_MAX],
                    enum gfs_err ret[POOL_DISKS_MAX]);
/* Whether a write that was given up may still land in this directory. Under change_lock. */
bool pool_map_write_is_late(struct pool *pool, const char *path);
/* Waits at most wait_ms for what was given up. At the close. false: a disk hangs. */
bool pool_map_write_end(struct pool *pool, uint32_t wait_ms);
