/* The row cache: rows as they are in SQLite, by full key, bounded.
 *
 * Split by hash into parts, each with its lock; second-chance eviction. Coherence is the users'
 * business: readers look into the overlay first; whoever drops a version from the overlay puts its
 * row here (or removes the key) in the same step, so the cache never holds what SQLite does not. */
#pragma once

#include "metad/key.h"
#include "metad/row.h"

struct cache;

struct cache *cache_new(size_t size_max);
void cache_free(struct cache *cache);

/* A reference, or NULL. Any thread. */
struct meta_row *cache_get(struct cache *cache, struct gfs_slice full, uint64_t hash);
/* Takes its own reference; replaces. Any thread. */
void cache_put(struct cache *cache, struct gfs_slice full, uint64_t hash, struct meta_row *row);
void cache_remove(struct cache *cache, struct gfs_slice full, uint64_t hash);
size_t cache_size(struct cache *cache); /* bytes */
