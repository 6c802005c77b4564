/* Disks that were dropped for their writes, kept open to be read when the others do not suffice. */
#pragma once

#include "pool/pool_state.h"

/* It is dropped, and the view to come does without it: kept, if it can be read. Under change_lock.
 */
void pool_former_keep(struct pool *pool, uint16_t number, struct pool_disk *disk);
/* Before the view is in force: what it may read besides its disks. Lets go of disks that are back,
 * taken out or not to be read. Under change_lock. */
void pool_former_fill(struct pool *pool, struct pool_view *view);
/* So many disks failed that the pool is closed: it was hardly the fault of each. Those that are
 * kept may come back as disks that were away do, also if they were called failed. Under
 * change_lock. */
void pool_former_pardon(struct pool *pool);
/* The store of that number is closed when nobody reads it any more, if one is kept. Blocking. */
void pool_former_let_go(struct pool *pool, uint16_t number);
/* Whether the disk was called failed for errors of its own in this run. */
bool pool_former_has_own_errors(struct pool *pool, const struct pool_map *map, uint16_t number);
/* The others cannot do without it: a slot names it, as no other disk took that over, or some chunk
 * has too few fragments left. */
bool pool_former_is_missed(struct pool *pool, const struct pool_map *map, uint16_t number);
/* It has own errors and is not missed: it is not taken back. */
bool pool_former_is_kept_out(struct pool *pool, const struct pool_map *map, uint16_t number);
void pool_former_forget(struct pool *pool); /* all; at the close, under change_lock */

/* Who finds out what becomes of them: the patrol, in every round. Owned by its thread. */
struct pool_former_watch;
struct pool_former_watch *pool_former_watch_new(struct pool *pool);
void pool_former_watch_free(struct pool_former_watch *watch);
/* is_due: by number, whether the disk would be opened again at once; until then it is kept. */
void pool_former_look(struct pool_former_watch *watch, const bool *is_due);
