/* A pool without clients, for tests of repair: disks in memory, real maps, views, notes and
 * suspects; maps are put in force at once, and fragments are got by reading whole ones. Chunks are
 * drawn from a number, so that what is on a disk can be checked byte by byte. */
#pragma once

#include "libgoodfs/cond.h"
#include "pool/pool_pass.h"
#include "pool/pool_plan.h"
#include "tests/unit/pool/disk_double.h"
#include "tests/unit/pool/map_rig.h"

enum { RIG_DISKS_MAX = 16 };

struct repair_rig {
    struct pool pool;
    struct disk_double *doubles[RIG_DISKS_MAX];
    struct pool_disk *disks[POOL_DISKS_MAX]; /* RIG_DISKS_MAX at the most */
    char dir[64];                            /* DIR/N is disk N's */
    pthread_mutex_t lock;
    struct gfs_cond changed;
    unsigned changes; /* maps that were made */
    unsigned drops, mirror_failures;
    enum gfs_err change_err; /* the next change is answered that, when it is not GFS_OK */
    enum gfs_err open_err;   /* and so is whoever wants to get a fragment */
    /* A fragment is being got; some of its bytes are. Any thread, one call at a time. */
    void (*on_open)(struct repair_rig *rig, struct chunk_id id);
    void (*on_read)(struct repair_rig *rig, struct chunk_id id);
    pthread_mutex_t hook_lock; /* held for them; guards what they change */
    unsigned opens;            /* for the two: what they count */
    unsigned stop_at;
    struct chunk_id victim;
    atomic_uint betweens;   /* how often the pass has looked for suspects */
    struct pool_pace *pace; /* of the pass under way */
    struct pool_progress progress;
};

/* disks of 100 GiB, and groups of the profile (and of `other`, NULL = none) as planned. */
struct repair_rig *repair_rig_new(unsigned disks, const char *profile, const char *other);
void repair_rig_free(struct repair_rig *rig);
/* One more disk, empty; in no group. */
uint16_t repair_rig_add_disk(struct repair_rig *rig);
/* A disk is taken away, or back; what it keeps stays. */
void repair_rig_take_away(struct repair_rig *rig, uint16_t disk);
void repair_rig_bring_back(struct repair_rig *rig, uint16_t disk);
/* It is taken away and called failed, or is back and used again. */
void repair_rig_lose(struct repair_rig *rig, uint16_t disk);
void repair_rig_return(struct repair_rig *rig, uint16_t disk);
/* An empty double in the disk's place. */
void repair_rig_empty(struct repair_rig *rig, uint16_t disk);
/* What is on the disks stays; everything in memory is new, as after a kill. */
void repair_rig_restart(struct repair_rig *rig);

/* The map in force; good until the next change. */
const struct pool_map *repair_rig_map(struct repair_rig *rig);
void repair_rig_change(struct repair_rig *rig, void (*change)(struct pool_map *map, void *arg),
                       void *arg);

/* Chunk number `number` (of that length) in the n-th group of the profile; its fragments are on all
 * slots' disks. */
struct chunk_id repair_rig_put(struct repair_rig *rig, const char *profile, unsigned nth,
                               unsigned number, uint32_t len);
/* The fragment of a slot on that disk is, byte by byte and with its owner, what it has to be. */
bool repair_rig_is_there(struct repair_rig *rig, struct chunk_id id, unsigned number, uint32_t len,
                         uint32_t slot, uint16_t disk);
/* All of the chunk's fragments, where the map wants them. */
bool repair_rig_is_whole(struct repair_rig *rig, struct chunk_id id, unsigned number, uint32_t len);
/* Disks that list any fragment of the chunk beyond those that the map wants. */
unsigned repair_rig_extras(struct repair_rig *rig, struct chunk_id id);
/* A client deletes the chunk: noted, and DELETE records to all disks that may have it; any thread,
 * but a disk's own must not wait for it. */
void repair_rig_delete(struct repair_rig *rig, struct chunk_id id, bool is_awaited);
/* Waits until it is so, for threads of the pool to make it so. */
void repair_rig_await(struct repair_rig *rig, bool (*is_so)(struct repair_rig *rig));

enum pool_pass_outcome repair_rig_pass(struct repair_rig *rig);
/* Flags that the map has: slots that are filling, and disks that are behind. */
unsigned repair_rig_flags(struct repair_rig *rig);
