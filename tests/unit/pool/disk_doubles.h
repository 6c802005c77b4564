/* Doubles of disks by directory, as a pool's driver. The directory holds an identity file like a
 * store's, the double is found by the id in it: directories may be moved, swapped, emptied, copied
 * and taken away as disks are. */
#pragma once

#include "pool/pool.h"
#include "tests/unit/pool/disk_double.h"

struct disk_doubles;

struct disk_doubles *disk_doubles_new(void);
/* Everything is closed. Frees the doubles, not the directories. NULL allowed. */
void disk_doubles_free(struct disk_doubles *set);
struct pool_driver disk_doubles_driver(struct disk_doubles *set);
/* The double whose identity is in dir; NULL = none. Lives as long as the set. */
struct disk_double *disk_doubles_at(struct disk_doubles *set, const char *dir);
/* The next opening of dir is answered err; GFS_OK = as usual. Of one directory at a time. */
void disk_doubles_fail_open(struct disk_doubles *set, const char *dir, enum gfs_err err);
