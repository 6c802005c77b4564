/* Where groups go: changes of the map as pure functions. Each answers GFS_OK and a changed map in
 * place (version untouched), or an error and the map as it was.
 *
 * Placement: groups are spread so that each disk holds fragments in proportion to its usable
 * capacity (capacity - reserved) while no two slots of a group share a disk; a change moves as
 * little as it can. Placement is deterministic: same map, same answer.
 *
 * Whatever gives a slot that may hold chunks another disk sets the slot's is_filling, with `from`
 * or without; slots of new groups are not filling. A slot whose `disk` fails while `from` is whole
 * keeps that `from`, or goes back to it if it can.
 *
 * A slot has one `from`. So one that is being filled from a disk does not move on when its own disk
 * is to be emptied (drain, replace): it follows when it is filled, by pool_plan_place, which
 * belongs after every pass. */
#pragma once

#include "pool/pool_map.h"

/* Adds a disk (state ACTIVE); *ret_number. BUSY: POOL_DISKS_MAX; EXISTS: the id is known. Groups
 * are not changed: that is pool_plan_rebalance. */
enum gfs_err pool_plan_add_disk(struct pool_map *map, const struct pool_map_disk *disk,
                                uint16_t *ret_number, struct gfs_error *error) GFS_MUST_CHECK;

/* New chunks may go to the group: no disk of it is read-only. (One that has failed does not count:
 * it gets nothing anyway.) */
bool pool_plan_is_open(const struct pool_map *map, const struct pool_group *group);
/* Makes the groups a profile needs when it has none, or hardly any that are open: enough of them
 * that disks are filled evenly (about 32 slots a disk and profile, 128 to 4,096 groups). INVALID:
 * fewer usable disks than the profile is wide; BUSY: POOL_GROUPS_MAX. */
enum gfs_err pool_plan_profile(struct pool_map *map, struct pool_profile profile,
                               struct gfs_error *error) GFS_MUST_CHECK;
/* Groups of a profile, count into ret_count; ret is the caller's to free. */
void pool_plan_groups(const struct pool_map *map, struct pool_profile profile, uint32_t **ret,
                      uint32_t *ret_count);

/* The disk is lost: each of its slots gets another disk (from = none), or keeps the lost one when
 * no disk is left that the group does not use yet (*ret_unplaced counts those). State FAILED. If it
 * was a log disk, another usable disk takes its place, not in sync. UNREACHABLE: it is the only log
 * disk in sync. */
enum gfs_err pool_plan_fail(struct pool_map *map, uint16_t disk, uint32_t *ret_unplaced,
                            struct gfs_error *error) GFS_MUST_CHECK;
/* A disk that failed or was away is there again: in use, and behind. Not REMOVED. */
void pool_plan_return(struct pool_map *map, uint16_t disk);
/* Slots that still name a FAILED or DRAINING disk get a usable one if there is one now. Answers how
 * many. */
uint32_t pool_plan_place(struct pool_map *map);
/* `by` (a number from pool_plan_add_disk) takes over all slots of `disk`; from = none if the disk
 * is lost (it is then FAILED and given up: its path is free), else `disk` itself, which becomes
 * DRAINING. UNREACHABLE as pool_plan_fail. */
enum gfs_err pool_plan_replace(struct pool_map *map, uint16_t disk, uint16_t by, bool is_lost,
                               struct gfs_error *error) GFS_MUST_CHECK;
/* Each of its slots gets another disk, from = the drained one. INVALID: some group has no other
 * disk to go to (error says how many disks are needed). A FAILED disk is given up: its path is
 * free. */
enum gfs_err pool_plan_drain(struct pool_map *map, uint16_t disk,
                             struct gfs_error *error) GFS_MUST_CHECK;
/* The disk becomes read-only: it keeps its slots, but their groups get no new chunks; each profile
 * that has groups has open ones on other disks afterwards. INVALID: too few other disks take new
 * data (error says how many are needed); BUSY: POOL_GROUPS_MAX. */
enum gfs_err pool_plan_read_only(struct pool_map *map, uint16_t disk,
                                 struct gfs_error *error) GFS_MUST_CHECK;
/* Moves slots (from = where they were) until no disk is more than 5 % of its share away from it, or
 * max_moves. Slots that are moving already are left alone. Answers how many moved; 0 = balanced. */
uint32_t pool_plan_rebalance(struct pool_map *map, uint32_t max_moves);
/* A DRAINING disk that no slot and no log mirror names becomes REMOVED, unless it is behind: then
 * it may have what the disks that are named lack. So does a FAILED one that was given up when all
 * slots are filled and no disk is behind. Answers how many. */
uint32_t pool_plan_retire(struct pool_map *map);
/* log_disks has as many members as disks allow of max(3, 1 + the disks that a class in use may
 * lose), so that names survive whatever data survives; new ones are not in sync. One on a
 * draining or read-only disk goes when a majority is in sync without it: call it again when a
 * mirror came in sync. */
void pool_plan_log_disks(struct pool_map *map);
/* Mirrors in sync that there must be for anything to be acknowledged: a majority of min(3, disks),
 * however many more there are. */
uint32_t pool_plan_logs_needed(const struct pool_map *map);
/* Group 0 has at least as many copies as min(3, usable disks); true = changed. Only when
 * `has_chunks`: something is kept in group 0. */
bool pool_plan_widen_group0(struct pool_map *map, bool has_chunks);
/* The default profile for that many disks. */
struct pool_profile pool_plan_default_profile(uint32_t disk_count);
