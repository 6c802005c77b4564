/* Which group a new chunk goes to. */
#pragma once

#include "pool/pool_state.h"

/* Groups by profile, of one version of the map, in pool->place. */
struct pool_place *pool_place_new(void);
void pool_place_free(struct pool_place *place); /* NULL allowed */

/* chunk_store.new_id. The first chunk of a class that was never used (a profile by its name) waits
 * for the version of the map that has its groups; nothing else here waits. */
enum gfs_err pool_new_id(struct chunk_store *chunks, struct gfs_slice storage_class, uint64_t size,
                         struct chunk_id *ret);
bool pool_has_class(struct chunk_store *chunks, struct gfs_slice storage_class);
/* Groups for every profile of every class, small objects' included, as far as there are disks. For
 * a new map, and when disks come. Answers whether there are new ones. */
bool pool_place_classes(struct pool_map *map);
/* Why new objects are refused now, "" when they are not; the default class first. Answers whether
 * those of all classes are. Never waits for a disk. Any thread. */
bool pool_place_refusal(struct pool *pool, const struct pool_view *view, char *ret_reason,
                        size_t size);
/* chunk_store.refusal. */
void pool_refusal(struct chunk_store *chunks, char *ret_reason, size_t size);
