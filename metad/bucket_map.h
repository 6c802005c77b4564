/* All buckets of the shard, in memory, in name order and by id.
 *
 * A bucket passes through
 *
 *   (none) --create proposed--> CREATING --committed--> ACTIVE --delete asked--> SEALED
 *                                  |                      ^                        |
 *                                  +--refused--> (none)   +------ not empty -------+
 *                                                         +------ drop refused ----+--drop
 *                                                                       proposed--> DROPPING
 *   DROPPING --committed--> (none);  DROPPING --refused--> ACTIVE
 *
 * CREATING is invisible; ACTIVE, SEALED and DROPPING are visible (nothing is committed yet); only
 * ACTIVE takes operations. The id is the LSN of the creation, hence never reused.
 * Guarded by its owner's lock: nothing in here locks. */
#pragma once

#include "libgoodfs/meta_service.h"

enum bucket_state { BUCKET_CREATING = 1, BUCKET_ACTIVE, BUCKET_SEALED, BUCKET_DROPPING };

/* Plain data. */
struct bucket {
    struct meta_bucket info;
    enum bucket_state state;
};

struct bucket_map;

struct bucket_map *bucket_map_new(void);
void bucket_map_free(struct bucket_map *map);
/* The name is not there yet. The pointer is valid until the next add or remove. */
struct bucket *bucket_map_add(struct bucket_map *map, const struct meta_bucket *info,
                              enum bucket_state state);
void bucket_map_remove(struct bucket_map *map, uint64_t id);
/* NULL when not there. */
struct bucket *bucket_map_by_name(const struct bucket_map *map, struct gfs_slice name);
struct bucket *bucket_map_by_id(const struct bucket_map *map, uint64_t id);
/* In name order, behind `after` (empty = all); NULL when index is past the end. */
size_t bucket_map_index_after(const struct bucket_map *map, struct gfs_slice after);
const struct bucket *bucket_map_at(const struct bucket_map *map, size_t index);
bool bucket_is_visible(const struct bucket *bucket);
/* Moves along an arrow of the diagram; anything else is a programmer error. */
void bucket_set_state(struct bucket *bucket, enum bucket_state state);
