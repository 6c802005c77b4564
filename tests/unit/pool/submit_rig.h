/* A pool that only writes, on disks in memory that answer when the test says so, with a watch that
 * makes its maps when the test says so.
 *
 * At every answer and at every edit that becomes durable the rig checks the rules of pool.h by
 * looking at the disks: order of answers, data before edits, what is missing is called behind, an
 * acknowledged edit is on every mirror in sync. A broken rule ends the program. The memory of a
 * group is gone with its answer. */
#pragma once

#include "pool/pool_state.h"
#include "tests/unit/pool/disk_double.h"
#include "tests/unit/pool/map_rig.h"

enum { SUBMIT_RIG_DISKS_MAX = 8, SUBMIT_RIG_CHUNKS_MAX = 4, SUBMIT_RIG_WISHES_MAX = 4096 };

struct submit_rig;

/* A group of the test's. Lives as long as the rig. */
struct submit_group {
    struct submit_rig *rig;
    size_t number; /* in order of submission */
    struct chunk_group group;
    struct chunk_record records[SUBMIT_RIG_CHUNKS_MAX + 2];
    struct chunk_id ids[SUBMIT_RIG_CHUNKS_MAX];
    uint32_t id_count;
    uint64_t lsn; /* 0 = no edit */
    bool is_delete;
    bool is_given_up; /* a deletion of its chunks was submitted */
    char *memory;     /* everything its records point to, until answered */
    bool is_answered;
    enum gfs_err err;
    void (*then)(struct submit_group *group); /* in done */
};

struct submit_wish {
    struct pool_disk *disk;
    enum { WISH_DROP = 1, WISH_NOTE, WISH_MIRROR } kind;
    void (*then)(void *arg, enum gfs_err err);
    void *arg;
};

struct submit_rig {
    struct pool pool;
    struct disk_double *doubles[SUBMIT_RIG_DISKS_MAX];
    struct pool_disk *disks[POOL_DISKS_MAX];
    unsigned disk_count;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    struct submit_group **groups; /* by number */
    size_t count, size, answered;
    uint64_t last_lsn;
    struct submit_wish wishes[SUBMIT_RIG_WISHES_MAX];
    size_t wish_count;
    bool fails_disks; /* the watch calls a dropped disk FAILED, not just behind */
};

/* Group 1 has that profile, on the first disks; 2 the same on the last ones. Manual disks. */
struct submit_rig *submit_rig_new(unsigned disks, const char *profile);
/* Decides everything. */
void submit_rig_free(struct submit_rig *rig);
const struct pool_map *submit_rig_map(struct submit_rig *rig); /* in force; good until the next */
void submit_rig_change(struct submit_rig *rig, void (*change)(struct pool_map *map));

enum {
    SUBMIT_EDIT = 1,    /* with an edit */
    SUBMIT_RESERVE = 2, /* may use the reserve */
};
/* Chunks of `len` bytes in that placement group. */
struct submit_group *submit_rig_put(struct submit_rig *rig, uint32_t pg, unsigned chunks,
                                    uint32_t len, unsigned flags);
/* Deletes the chunks of another group. */
struct submit_group *submit_rig_delete(struct submit_rig *rig, struct submit_group *other,
                                       unsigned flags);
struct submit_group *submit_rig_edit(struct submit_rig *rig);

/* All disks decide until nothing waits that can be decided; answers how much that was. */
size_t submit_rig_decide(struct submit_rig *rig);
/* One turn of the watch; false: nothing was wished for. */
bool submit_rig_watch(struct submit_rig *rig);
/* Disks and watch until nothing happens any more, and the answers are given. */
void submit_rig_settle(struct submit_rig *rig);
/* More time than a disk may take has gone by. */
void submit_rig_time_out(struct submit_rig *rig);
/* Waits for the answer; a group that is not decided makes the test time out. */
enum gfs_err submit_rig_await(struct submit_group *group);

/* Fragments of the chunk on disks. */
unsigned submit_rig_fragments(struct submit_rig *rig, struct chunk_id id);
/* Of those that should be: right bytes and owner. */
unsigned submit_rig_good_fragments(struct submit_rig *rig, const struct submit_group *group,
                                   uint32_t chunk);
/* Log mirrors that have the edit. */
unsigned submit_rig_mirrors(struct submit_rig *rig, const struct submit_group *group);
/* Checks every group as if the program had ended now: what was acknowledged is there, and so are
 * the data of every edit that a mirror in sync has. */
void submit_rig_check_all(struct submit_rig *rig);
