/* A disk in memory, for tests: it forgets what was not flushed, tears writes, fills up, and fails.
 *
 * Model: a file has what processes see and what the platter holds. A write changes the former and
 * marks its 512-byte sectors; a flush copies marked sectors (a durable write only its own). Names
 * change at once for processes and become durable by sync_dir of their directory. A power loss
 * keeps a seeded subset of the marked sectors, either size, and a prefix of each directory's
 * unsynced changes; so un-flushed writes may be lost, torn and reordered. Submitted operations
 * complete in a seeded order. One thread. */
#pragma once

#include "libgoodfs/io.h"

struct gfs_io_sim;

/* capacity: bytes of the disk, counted in 4 KiB pages of file data. */
struct gfs_io_sim *gfs_io_sim_new(uint64_t seed, uint64_t capacity);
void gfs_io_sim_free(struct gfs_io_sim *sim);
/* The back end. Its close keeps the disk: it can be opened again. */
struct gfs_io *gfs_io_sim_io(struct gfs_io_sim *sim);

/* Operations that change something, since new. */
uint64_t gfs_io_sim_changes(const struct gfs_io_sim *sim);
/* The power goes in the middle of the n-th change from now (1 = the next): that change is applied
 * in part, it and all later calls answer GFS_IO. 0 = never. */
void gfs_io_sim_crash_at(struct gfs_io_sim *sim, uint64_t n);
bool gfs_io_sim_has_crashed(const struct gfs_io_sim *sim);
/* The n-th change from now answers err and does nothing, or, a write, only a part. 0 = never. */
void gfs_io_sim_fail_at(struct gfs_io_sim *sim, uint64_t n, enum gfs_err err);
/* Power back: what was not durable is decided now. No file is open. */
void gfs_io_sim_restart(struct gfs_io_sim *sim);

void gfs_io_sim_set_capacity(struct gfs_io_sim *sim, uint64_t capacity);
uint64_t gfs_io_sim_used(const struct gfs_io_sim *sim); /* bytes */
/* Damage: xors one byte, on the platter too. GFS_NOT_FOUND, GFS_RANGE. */
enum gfs_err gfs_io_sim_flip(struct gfs_io_sim *sim, const char *path, uint64_t offset,
                             uint8_t mask) GFS_MUST_CHECK;
