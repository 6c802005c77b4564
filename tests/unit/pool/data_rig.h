/* A pool of disk doubles with one group, without map files, watch and submission: for tests of how
 * chunks are written and read. Fragments that were written become live by data_rig_place. */
#pragma once

#include "pool/pool_state.h"
#include "tests/unit/pool/disk_double.h"

struct data_rig {
    struct pool pool;
    struct pool_disk *pool_disks[POOL_WIDTH_MAX + 2];
    struct disk_double *disks[POOL_WIDTH_MAX + 2];
    unsigned disk_count, width;
    struct pool_profile profile;
    pthread_mutex_t lock;
    struct pool_suspect suspects[64]; /* that were reported */
    size_t suspect_count;
};

/* Disk i has slot i of group 1; `spares` more disks have none. "ec:4+2", "replica:3". */
void data_rig_init(struct data_rig *rig, const char *profile, unsigned spares);
void data_rig_fini(struct data_rig *rig);
/* A new view with the map as `change` leaves it. */
void data_rig_change(struct data_rig *rig, void (*change)(struct pool_map *map, unsigned arg),
                     unsigned arg);

void data_rig_fill(char *bytes, size_t len, uint64_t seed);
/* What a writer's callbacks saw. */
struct data_heard {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned writable_count, finished_count;
    enum gfs_err err;
};
void data_heard_init(struct data_heard *heard);
void data_heard_fini(struct data_heard *heard);
void data_heard_writable(void *arg);
void data_heard_finished(void *arg, enum gfs_err err);
enum gfs_err data_heard_await(struct data_heard *heard);

/* Writes bytes in pieces of `step`, waits for finish and frees the writer after placing what it
 * made. len_max = len + slack. */
enum gfs_err data_rig_write(struct data_rig *rig, struct chunk_id id, const char *bytes, size_t len,
                            size_t step, size_t slack);
/* Makes the finished fragments live. */
void data_rig_place(struct data_rig *rig, struct chunk_bulk *bulk);
/* Pins, reads the whole chunk in one call, compares the first len bytes, and that the rest is
 * zeros. */
enum gfs_err data_rig_check(struct data_rig *rig, struct chunk_id id, const char *bytes,
                            size_t len);
/* The same for [offset, offset + want) of the chunk: offset at a block. */
enum gfs_err data_rig_check_range(struct data_rig *rig, struct chunk_id id, const char *bytes,
                                  size_t len, uint32_t offset, uint32_t want);
struct chunk_id data_rig_next(struct data_rig *rig);
/* The id fragment `slot` of the chunk has on its disk. */
struct chunk_id data_rig_fragment(const struct data_rig *rig, struct chunk_id id, unsigned slot);
