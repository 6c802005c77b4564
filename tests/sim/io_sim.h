/* A disk in memory, for tests: it forgets what was not flushed, tears writes, fills up, and fails.
 *
 * Model: tests/sim/sim_disk.h. A power loss keeps a seeded part of what was not flushed: any subset
 * of the sectors, either size, a prefix or a subset of each directory's unsynced changes; of the
 * write that runs, and of those submitted, a part down to the byte. Submitted operations complete
 * in a seeded order. A flush that fails may drop what it should have written for good, and the next
 * one succeeds. One thread. */
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
/* Reads since new. */
uint64_t gfs_io_sim_reads(const struct gfs_io_sim *sim);
/* Everything ends in the middle of the n-th change from now (1 = the next): that change is applied
 * in part, it and all later calls answer GFS_IO. 0 = never. */
void gfs_io_sim_crash_at(struct gfs_io_sim *sim, uint64_t n);
bool gfs_io_sim_has_crashed(const struct gfs_io_sim *sim);
/* The n-th change from now answers err and does nothing, or, a write or flush, only a part. A
 * GFS_NO_SPACE that is asked of a flush is a GFS_IO. 0 = never. */
void gfs_io_sim_fail_at(struct gfs_io_sim *sim, uint64_t n, enum gfs_err err);
/* The n-th read from now and those behind it, `count` in all, answer GFS_IO. 0 = never. */
void gfs_io_sim_fail_reads_at(struct gfs_io_sim *sim, uint64_t n, uint64_t count);
/* The n-th read from now has one bit wrong that is right on the platter. 0 = never. */
void gfs_io_sim_flip_read_at(struct gfs_io_sim *sim, uint64_t n);
/* After a crash that was a loss of power: what was not durable is decided now. No file is open. */
void gfs_io_sim_restart(struct gfs_io_sim *sim);
/* After a crash of the process alone: all it wrote is still seen, and not durable. No file is open.
 */
void gfs_io_sim_resume(struct gfs_io_sim *sim);

void gfs_io_sim_set_capacity(struct gfs_io_sim *sim, uint64_t capacity);
uint64_t gfs_io_sim_used(const struct gfs_io_sim *sim); /* bytes */
/* Damage: xors one byte, on the platter too. GFS_NOT_FOUND, GFS_RANGE. */
enum gfs_err gfs_io_sim_flip(struct gfs_io_sim *sim, const char *path, uint64_t offset,
                             uint8_t mask) GFS_MUST_CHECK;
