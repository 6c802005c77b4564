/* A shard with directories for copies of its database, and what was reported of them. */
#pragma once

#include "tests/unit/metad/shard_rig.h"

enum { COPY_RIG_DIRS = 2 };

struct copy_rig {
    struct rig rig;
    uint64_t bucket;
    char dirs[COPY_RIG_DIRS][TEMP_DIR_SIZE];
    const char *list[COPY_RIG_DIRS + 1];
    pthread_mutex_t lock; /* guards what follows */
    unsigned failed_count;
    char failed_dir[TEMP_PATH_SIZE];
    enum gfs_err failed_err;
};

/* Applied at once; a bucket is there. */
void copy_rig_init(struct copy_rig *rig);
void copy_rig_fini(struct copy_rig *rig);
/* Objects k0, k1, ... */
void copy_rig_fill(struct copy_rig *rig, unsigned from, unsigned to);
void copy_rig_check(struct copy_rig *rig, unsigned count);
void copy_rig_add(struct copy_rig *rig, const char *dir);
struct shard_stats copy_rig_stats(struct copy_rig *rig);
void copy_rig_await(struct copy_rig *rig, unsigned count); /* that many are kept up */
unsigned copy_rig_failures(struct copy_rig *rig);          /* calls of copy_failed */
/* Goes on with the database in that directory. */
void copy_rig_open_in(struct copy_rig *rig, unsigned index);
/* The inode of the database there; 0 = none. */
ino_t copy_rig_file(const char *dir);
