/* What a start does with all disks at once: looking at their directories, and opening their stores.
 *
 * A disk may hang in either, and in both for ever. Errands do them, and the start goes on without
 * those that do not answer: they are away, and the patrol takes them back when they do. */
#pragma once

#include "pool/pool_map_file.h"
#include "pool/pool_state.h"

/* Looks at count directories; ret, of count, borrows the paths. One that does not answer is as one
 * that cannot be read: missing, TIMEOUT. */
void pool_gather_look(struct pool *pool, const char *const *paths, uint32_t count,
                      struct pool_found *ret);

/* Plain data. A store to be opened. */
struct pool_gathered {
    const char *path;          /* NULL = nothing to do here */
    uint16_t number;           /* in the map; POOL_NO_DISK = it is not in it */
    bool is_new;               /* the directory becomes a disk: it is marked so first */
    struct pool_opened opened; /* the store is the caller's; NULL = err says why */
    enum gfs_err err;
    struct gfs_error error;
};
/* Opens the stores of a list. That may take minutes, when much of a log is to be read: so only when
 * those that are open are a quorum of the map (any of them, for a minority) do the others have a
 * limit, of as long again and some seconds. TIMEOUT: such a one; it is closed again should it be
 * open ever. map NULL = none: all are waited for, as when there is no quorum, but not longer than
 * ten minutes. */
void pool_gather_open(struct pool *pool, const char *cluster, const struct pool_map *map,
                      struct pool_gathered *list, uint32_t count);
