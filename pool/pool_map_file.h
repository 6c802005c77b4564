/* Reading and writing the map on the disks: DIR/pool.json, by temporary file, fsync, rename, fsync
 * of the directory. Blocking; any thread, one call at a time a directory. */
#pragma once

#include "pool/pool_map.h"

/* NOT_FOUND: no map there; CORRUPT, UNSUPPORTED, IO (error names the file). */
enum gfs_err pool_map_file_load(const char *dir, struct pool_map **ret,
                                struct gfs_error *error) GFS_MUST_CHECK;
/* Durable on return. NO_SPACE, IO. */
enum gfs_err pool_map_file_store(const char *dir, struct gfs_slice text,
                                 struct gfs_error *error) GFS_MUST_CHECK;

/* Plain data. What is in a directory that may be a disk. */
struct pool_found {
    const char *path;
    bool is_missing;   /* no such directory, or it cannot be read: error says why */
    bool is_empty;     /* nothing in it (but lost+found): may become a new disk */
    bool has_identity; /* of a datad store */
    bool is_mount;     /* a file system of its own */
    char cluster[37];
    uint8_t id[16];
    struct pool_map *map; /* its own copy, NULL = none; owned */
    struct gfs_error error;
};
void pool_found_probe(const char *path, struct pool_found *ret);
void pool_found_fini(struct pool_found *found);

/* Plain data. What pool_open does with one path. */
enum pool_admission {
    POOL_ADMIT_KNOWN = 1, /* a disk of the map, up to date */
    POOL_ADMIT_AWAY,      /* a disk of the map that missed versions: behind */
    POOL_ADMIT_NEW,       /* an empty directory: a new disk */
    POOL_ADMIT_STEAD,     /* an empty directory in the place of disk `number`, which is lost */
    POOL_ADMIT_FIRST,     /* a store that was used without a pool: becomes disk 0, with group 0 */
    POOL_ADMIT_MISSING,   /* nothing there: the disk of the map at this path is away */
    POOL_ADMIT_REFUSED,   /* error says why */
};
struct pool_admitted {
    enum pool_admission what;
    uint16_t number; /* of the map; KNOWN, AWAY, STEAD, MISSING (POOL_NO_DISK = unknown path) */
    struct gfs_error error;
};
/* Judges the directories found together: newest map, cluster, duplicates, older copies, quorum.
 * *ret_map: the newest map found (borrowed from found), NULL = a new pool. Answers GFS_OK when the
 * pool can be opened with what was not refused; UNREACHABLE: the disks present are no quorum (the
 * error names the missing ones); CONFLICT: at least one was refused, error is the first one's.
 * ret: count of them. Pure. */
enum gfs_err pool_admit(const struct pool_found *found, uint32_t count,
                        struct pool_admitted *ret, const struct pool_map **ret_map,
                        struct gfs_error *error) GFS_MUST_CHECK;
