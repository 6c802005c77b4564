/* What placement counts with, for the pool_plan*.c files alone: who may take slots, how much each
 * disk should have and has, and which disk a slot goes to. Pure. */
#pragma once

#include "pool/pool_map.h"

/* The disk may get a slot: active, for writing, with room. */
bool pool_plan_load_can_take(const struct pool_map_disk *disk);
/* The disk has a share in what is stored, even if it is full for now: active and for writing. */
bool pool_plan_load_has_share(const struct pool_map_disk *disk);
/* What placement is in proportion to: MiB that may be used, 0 = none, at most 2^36. */
uint64_t pool_plan_load_weight(const struct pool_map_disk *disk);

/* Slots for each of `count` disks, in proportion to their weights, at most `cap` a disk; they add
 * up to `total` if count * cap allows. seed: who gets the odd ones of equals. */
void pool_plan_load_quota(const uint64_t *weights, uint32_t count, uint64_t total, uint64_t cap,
                          uint64_t seed, uint32_t *ret);

/* A number that looks random, always the same for the same two. */
uint64_t pool_plan_load_mix(uint64_t a, uint64_t b);

/* Slots each disk has, by profile; group 0 is counted by itself. Counted at the first use of a
 * profile and kept up to date by pool_plan_load_set. */
struct pool_plan_loads;
struct pool_plan_loads *pool_plan_load_new(struct pool_map *map);
void pool_plan_load_free(struct pool_plan_loads *loads); /* NULL allowed */
/* By disk number, POOL_DISKS_MAX of them. */
const uint32_t *pool_plan_load_of(struct pool_plan_loads *loads, uint32_t group);
/* The disk that should take a slot of the group: one that the group does not use, if possible not
 * even to read from, and has least for its weight. POOL_NO_DISK: there is none. */
uint16_t pool_plan_load_choose(struct pool_plan_loads *loads, uint32_t group);
/* The slot goes to `disk`, to be filled, from `from` (POOL_NO_DISK = rebuilt). */
void pool_plan_load_set(struct pool_plan_loads *loads, uint32_t group, unsigned slot, uint16_t disk,
                        uint16_t from);

/* Whether a slot of the group names the disk as its own / as the one it is filled from. */
bool pool_plan_load_has_disk(const struct pool_group *group, uint16_t disk);
bool pool_plan_load_has_from(const struct pool_group *group, uint16_t disk);
