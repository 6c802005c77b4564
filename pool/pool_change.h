/* Making a version of the map and putting it in force. */
#pragma once

#include "pool/pool_state.h"

/* Plain data. A version to be. */
struct pool_next {
    const struct pool_map *last; /* in force until now, whose votes count; NULL = a new pool */
    struct pool_map *map;        /* taken over; its version is the last one's */
    /* By number in `map`, NULL = not there. The view refers to them of its own. */
    struct pool_disk *disks[POOL_DISKS_MAX];
    bool is_lost[POOL_DISKS_MAX]; /* it was dropped, and `map` says what became of it */
    bool is_to_be_shown;          /* another one follows, which says what is durable where */
    bool is_shown;                /* answered: all that follow were made */
    bool is_same; /* as the last one, but for what is durable where and who had a vote */
};
/* Makes it durable on the disks that are there and puts it in force. Disks that fail are dropped,
 * and called failed in the version after. UNREACHABLE: no quorum; nothing is in force that was not.
 * Under change_lock. */
enum gfs_err pool_change_force(struct pool *pool, struct pool_next *next,
                               struct gfs_error *error) GFS_MUST_CHECK;
/* A view of the map in force that takes no writes, and why. Under change_lock. */
void pool_change_close(struct pool *pool, const char *reason);
/* A view of the map in force, as open or closed as it is, with the disks that are read as a last
 * resort now. Under change_lock. */
void pool_change_renew(struct pool *pool);
/* Of a pool that was closed, when the disks that are there are enough by now though none came back
 * (those that were full have room): a new version shows it. */
void pool_change_try_open(struct pool *pool);
/* Says what is durable where, if there were edits since the last time: an older copy of a disk, of
 * before this call, is known for what it is from then on. Disks that fail in it are dropped. */
void pool_change_mark(struct pool *pool);
/* Lets go of disks that came back while there were too few: they wait, open, until a version can be
 * made with all of them. */
void pool_change_forget_waiting(struct pool *pool);
/* The disk is lost, or (TIMEOUT) does not answer for now: what the map must say. UNREACHABLE: its
 * copy of the metadata is the only one. */
enum gfs_err pool_change_lose(struct pool_map *map, uint16_t disk, enum gfs_err why,
                              struct gfs_error *error) GFS_MUST_CHECK;
