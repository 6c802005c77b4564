/* The threads that look after a pool: what they do is in pool_watch.c (drops, notes, ticks),
 * pool_patrol.c (the disks' directories) and pool_mirrors.c (the metadata's copies). */
#pragma once

#include "pool/pool_state.h"

/* Begins with the first view in force, as pool->watch; stops when nothing writes to the pool any
 * more. What errands and disks that hung tell it after that comes to nothing. */
void pool_watch_start(struct pool *pool);
void pool_watch_stop(struct pool_watch *watch); /* NULL allowed, and twice */
void pool_watch_free(struct pool_watch *watch); /* stopped before; NULL allowed */
/* Tests: how often the disks are looked at; 1,000 ms. */
void pool_watch_set_interval(struct pool *pool, uint32_t patrol_ms);

/* ---- pool_patrol.c ---- */
struct pool_patrol;
struct pool_patrol *pool_patrol_start(struct pool *pool);
void pool_patrol_stop(struct pool_patrol *patrol); /* NULL allowed */
void pool_patrol_set_interval(struct pool_patrol *patrol, uint32_t ms);

/* ---- pool_mirrors.c ---- */
struct pool_mirrors *pool_mirrors_new(struct pool *pool);
void pool_mirrors_free(struct pool_mirrors *mirrors); /* NULL allowed; stopped before */
void pool_mirrors_start(struct pool_mirrors *mirrors);
void pool_mirrors_stop(struct pool_mirrors *mirrors);
void pool_mirrors_wake(struct pool *pool); /* the map changed. Never blocks */
