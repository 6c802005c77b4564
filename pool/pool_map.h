/* The map of a pool: its disks, storage classes, placement groups and log mirrors.
 *
 * An immutable value with a version; a change is a new value with the next version. Pure functions:
 * files and disks are pool_map_file.h and pool.h. Text form: schema/pool-map.md.
 *
 * Invariants (pool_map_check)
 *  1. Disk numbers are never reused, and neither are group numbers.
 *  2. A group's slots name different disks (and different `from`s), as many as its profile is wide.
 *     A slot with a `from` is filling.
 *  3. A group's profile never changes, except that group 0 may get more copies.
 *  4. log_disks are different disks, at most POOL_LOG_DISKS, and each that is in sync is not
 *     failed.
 *  5. What a version followed is older, and no epoch is promised that is below its own.
 *
 * Which of two maps is newer is told by the epoch, then the version. An epoch belongs to one start,
 * which had it promised by a quorum before it wrote anything: so what an earlier one left on a few
 * disks without a quorum can never be taken for newer than what was in force since. Disks in use
 * (ACTIVE, DRAINING) have a vote. A version that changes who has one needs a quorum by the votes of
 * before as well, also at a start that finds it: else those who were called failed and those who
 * did so could both go on. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libgoodfs/buf.h"
#include "libgoodfs/err.h"
#include "libgoodfs/identity.h"
#include "libgoodfs/slice.h"

enum {
    POOL_DISKS_MAX = 256, /* ever; numbers 0..255 */
    POOL_GROUPS_MAX = 65536,
    POOL_WIDTH_MAX = 32, /* k + m, or copies */
    POOL_COPIES_MAX = 8,
    POOL_CLASSES_MAX = 16,
    POOL_LOG_DISKS = 8,     /* at most; how many there should be: pool_plan_log_disks */
    POOL_LOG_DISKS_MIN = 3, /* so many, if there are as many disks; a majority of them is needed */
    POOL_PATH_LEN_MAX = 1024,
    POOL_CLASS_NAME_LEN_MAX = 31,
    POOL_NO_DISK = 0xffff,
    POOL_MAP_TEXT_MAX = 32 << 20, /* bytes of a map as text */
};

enum pool_profile_kind { POOL_REPLICA = 1, POOL_EC = 2 };

/* Plain data. How a chunk is kept. */
struct pool_profile {
    enum pool_profile_kind kind;
    uint8_t k; /* EC: data cells; REPLICA: 1 */
    uint8_t m; /* EC: parity cells; REPLICA: copies - 1 */
};

static inline unsigned pool_profile_width(struct pool_profile profile)
{
    return (unsigned)profile.k + profile.m;
}
/* Fragments that must be durable before a write counts: replica n/2 + 1, ec k + 1 at the most. */
unsigned pool_profile_quorum(struct pool_profile profile);
/* How small objects of a class are kept: as many copies as survive what the profile does. */
struct pool_profile pool_profile_small(struct pool_profile profile);
static inline bool pool_profile_is_equal(struct pool_profile a, struct pool_profile b)
{
    return a.kind == b.kind && a.k == b.k && a.m == b.m;
}
/* "replica:3", "ec:4+2", no leading zeros. INVALID (error says why): not of this form, or numbers
 * out of range. */
enum gfs_err pool_profile_parse(struct gfs_slice text, struct pool_profile *ret,
                                struct gfs_error *error) GFS_MUST_CHECK;
enum { POOL_PROFILE_TEXT_SIZE = 16 };
void pool_profile_format(struct pool_profile profile, char ret[POOL_PROFILE_TEXT_SIZE]);

enum pool_disk_state {
    POOL_DISK_ACTIVE = 1, /* in use, or away for now */
    POOL_DISK_DRAINING,   /* is being emptied: readable, gets nothing new */
    POOL_DISK_FAILED,     /* errors, missing too long, wrong or emptied: what it held is rebuilt */
    POOL_DISK_REMOVED,    /* nothing refers to it any more; kept so that its id is refused */
};

/* Plain data. */
struct pool_map_disk {
    uint8_t id[16];               /* of its identity file */
    char path[POOL_PATH_LEN_MAX]; /* UTF-8; "" = given up: FAILED or REMOVED, its place is free */
    enum pool_disk_state state;
    bool is_behind;        /* may lack fragments it should have; a whole pass clears it */
    bool is_read_only;     /* gets nothing new, keeps what it has */
    bool is_full;          /* as last seen: placement gives it no more slots */
    bool is_mount;         /* its directory was a mount point of its own */
    uint64_t capacity;     /* bytes, as last seen: the weight of placement */
    uint64_t reserved;     /* bytes of it not to be used */
    bool had_vote;         /* it was in use in the version that this one followed */
    uint64_t seen_version; /* newest map version known to be durable on it */
};
/* It belongs to the pool and has a vote in it, whether it is there or not. */
static inline bool pool_map_disk_is_in_use(const struct pool_map_disk *disk)
{
    return disk->state == POOL_DISK_ACTIVE || disk->state == POOL_DISK_DRAINING;
}

/* Plain data. */
struct pool_slot {
    uint16_t disk;   /* number; where fragments go */
    uint16_t from;   /* the disk that had them and may still, POOL_NO_DISK = none */
    bool is_filling; /* `disk` took the slot over and may lack fragments; a whole pass clears it */
};

/* Plain data. slots has room for POOL_WIDTH_MAX in the map's memory. */
struct pool_group {
    struct pool_profile profile;
    struct pool_slot *slots; /* pool_profile_width of them */
};

/* Plain data. */
struct pool_class {
    char name[POOL_CLASS_NAME_LEN_MAX + 1];
    struct pool_profile profile;
};

/* Plain data. */
struct pool_log_disk {
    uint16_t disk;
    bool is_in_sync;
};

struct pool_map {
    uint64_t version;  /* 1 = the first */
    uint64_t epoch;    /* of the start that made it; each has a higher one */
    uint64_t promised; /* on this disk: nothing of a lower epoch is written any more */
    uint64_t before_version, before_epoch; /* in force when it was made, 0 = none was */
    uint64_t lsn_floor;                    /* edits of its epoch have higher numbers */
    char cluster[GFS_IDENTITY_ID_SIZE];    /* UUID text */
    bool is_rebalancing; /* until the disks are evenly full, or an operator stops it */
    uint32_t disk_count;
    struct pool_map_disk *disks;
    uint32_t class_count; /* [0] is STANDARD, the default */
    struct pool_class classes[POOL_CLASSES_MAX];
    uint32_t group_count;
    struct pool_group *groups; /* by number; group 0 always exists */
    uint32_t log_disk_count;
    struct pool_log_disk log_disks[POOL_LOG_DISKS]; /* the first in sync holds the live database */
};

/* All take ownership of nothing. A copy is deep. A new map is version 1 and has group 0 alone,
 * whose one slot names no disk: it is valid when disks, classes and log disks are in. */
struct pool_map *pool_map_new(const char *cluster);
struct pool_map *pool_map_copy(const struct pool_map *map);
void pool_map_free(struct pool_map *map); /* NULL allowed */
/* Append; answer the number. Not beyond POOL_DISKS_MAX and POOL_GROUPS_MAX. The slots of a new
 * group name no disk. Pointers into the arrays that grow are no longer good. */
uint16_t pool_map_add_disk(struct pool_map *map, const struct pool_map_disk *disk);
uint32_t pool_map_add_group(struct pool_map *map, struct pool_profile profile);
/* INVALID: an invariant does not hold; error says which. */
enum gfs_err pool_map_check(const struct pool_map *map, struct gfs_error *error) GFS_MUST_CHECK;

/* JSON text with a checksum, one line. out holds at most POOL_MAP_TEXT_MAX bytes, or is_full. */
void pool_map_encode(const struct pool_map *map, struct gfs_buf *out);
/* CORRUPT: not whole, or an invariant does not hold; UNSUPPORTED: of a newer format. */
enum gfs_err pool_map_decode(struct gfs_slice text, struct pool_map **ret,
                             struct gfs_error *error) GFS_MUST_CHECK;

/* "active", "draining", "failed", "removed". */
const char *pool_map_state_text(enum pool_disk_state state);

/* Numbers of the disks by id; POOL_NO_DISK. */
uint16_t pool_map_find_disk(const struct pool_map *map, const uint8_t id[16]);
/* Whether the disks in `present` (indexed by number) are a quorum of the map: more than half of
 * those ACTIVE or DRAINING, or exactly half with the first of them. */
bool pool_map_is_quorum(const struct pool_map *map, const bool *present);
/* As that, and by the votes of before. Needed by whoever found the map and goes on from it. */
bool pool_map_is_joint_quorum(const struct pool_map *map, const bool *present);
/* Answers UNREACHABLE, with an error that says how many of those with a vote, now or before, are
 * there, and which are not. */
enum gfs_err pool_map_tell_missing(const struct pool_map *map, const bool *present,
                                   struct gfs_error *error) GFS_MUST_CHECK;
/* Higher epoch, then higher version. than: NULL = none. */
bool pool_map_is_newer(const struct pool_map *map, const struct pool_map *than);
/* What a map that follows `last` (NULL = it is the first) says of that. */
void pool_map_follow(struct pool_map *map, const struct pool_map *last);
/* Whether who has a vote is as it was before. */
bool pool_map_has_same_votes(const struct pool_map *map);
