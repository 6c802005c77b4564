/* Reading and writing the map on the disks: DIR/pool.json, by temporary file, fsync, rename, fsync
 * of the directory. Blocking; any thread, one call at a time a directory. */
#pragma once

#include <sys/stat.h>

#include "pool/pool_map.h"

/* NOT_FOUND: no map there; CORRUPT, UNSUPPORTED, IO (error names the file). */
enum gfs_err pool_map_file_load(const char *dir, struct pool_map **ret,
                                struct gfs_error *error) GFS_MUST_CHECK;
/* Plain data. The directory that a path led to. A copy of a disk has the disk's id, and is another
 * one. */
struct pool_root {
    bool is_known;
    dev_t dev;
    ino_t ino;
};
/* May hang in the disk. Not known: there is none, or it cannot be read. */
struct pool_root pool_root_of(const char *path);
/* Both are known, and not the same. */
bool pool_root_is_other(const struct pool_root *a, const struct pool_root *b);

/* Durable on return, if dir is that disk, and where it was opened: another one, or a copy of it,
 * shall not seem to have a map that it never got. TIMEOUT: it is elsewhere, or nowhere, or only the
 * empty place it was mounted at; CONFLICT: another disk; CORRUPT, UNSUPPORTED: its identity;
 * NO_SPACE; IO. */
enum gfs_err pool_map_file_store(const char *dir, const struct pool_root *root,
                                 const uint8_t id[16], struct gfs_slice text,
                                 struct gfs_error *error) GFS_MUST_CHECK;
/* Whether files in dir can be written: makes one, flushes it, and takes it away again. NO_SPACE,
 * IO. */
enum gfs_err pool_map_file_try(const char *dir) GFS_MUST_CHECK;
/* Marks an empty directory (made when missing) as one that becomes a disk: before a store is made
 * in it. Until a map is stored there it counts as empty, whatever is in it: a start that was
 * interrupted is simply done again. NO_SPACE, IO. */
enum gfs_err pool_map_file_begin(const char *dir, struct gfs_error *error) GFS_MUST_CHECK;

/* Plain data. What is in a directory that may be a disk. */
struct pool_found {
    const char *path;
    bool is_missing;   /* no such directory (NOT_FOUND), or it cannot be read: error says why */
    bool is_empty;     /* nothing in it that counts: may become a new disk */
    bool is_begun;     /* pool_map_file_begin, and no map yet: may as well */
    bool has_identity; /* of a datad store */
    bool is_mount;     /* a file system of its own */
    char cluster[GFS_IDENTITY_ID_SIZE];
    uint8_t id[16];
    struct pool_map *map;   /* its own copy, NULL = none; owned */
    struct gfs_error error; /* why it is missing, or has no identity or map; OK = there is none */
};
void pool_found_probe(const char *path, struct pool_found *ret);
void pool_found_fini(struct pool_found *found);

/* Plain data. What pool_open does with one path. */
enum pool_admission {
    POOL_ADMIT_KNOWN = 1, /* a disk of the map that lacks nothing but what the map says */
    POOL_ADMIT_AWAY,    /* a disk of the map that missed versions, or was called failed and is back:
                           behind (and ACTIVE again, if it was FAILED) */
    POOL_ADMIT_NEW,     /* an empty directory: a new disk */
    POOL_ADMIT_STEAD,   /* an empty directory in the place of disk `number`, which is lost */
    POOL_ADMIT_FIRST,   /* a store that was used without a pool: becomes disk 0, with group 0 */
    POOL_ADMIT_MISSING, /* disk `number` of the map is not there: away; error says why */
    POOL_ADMIT_RETIRED, /* disk `number` was drained or replaced: left alone */
    POOL_ADMIT_REFUSED, /* error says why */
};
struct pool_admitted {
    enum pool_admission what;
    uint16_t number; /* of the map; KNOWN, AWAY, STEAD, RETIRED, MISSING (POOL_NO_DISK = unknown
                        path) */
    struct gfs_error error;
};
/* Judges the directories found together: newest map, cluster, duplicates, older copies, quorum.
 * Disks are known by their ids; where they are found does not matter. What is at the place of a
 * known disk and cannot be it (nothing, unreadable, an empty directory where a mount point was) is
 * MISSING: the pool goes on without it. *ret_map: the newest map found (borrowed from found), NULL
 * = a new pool. All that is not refused and has an identity is of one cluster. Answers GFS_OK when
 * the pool can be opened; CONFLICT: at least one was refused, error is the first one's;
 * UNREACHABLE: the disks present are no quorum (the error names the missing ones). ret: count of
 * them. Pure. */
enum gfs_err pool_admit(const struct pool_found *found, uint32_t count, struct pool_admitted *ret,
                        const struct pool_map **ret_map, struct gfs_error *error) GFS_MUST_CHECK;
