/* Deleting chunks that are in nobody's name, wherever the disks have something of them. */
#pragma once

#include "libgoodfs/chunk_store.h"

struct pool;

/* Deletes every fragment of these chunks that a disk in use lists, whether or not the map looks for
 * it there: a disk that was away while a chunk was deleted may bring back what no slot asks for.
 * Durable at return. Nothing refers to them, and nobody is going to. UNREACHABLE (a disk is away),
 * BUSY: not all for now; else as done of chunk_store. Blocking, but not for a disk that hangs. Any
 * thread. */
enum gfs_err pool_orphans_delete(struct pool *pool, const struct chunk_id *ids, size_t count);
