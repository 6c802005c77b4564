/* A chunk store in memory, for tests of the metadata shard.
 *
 * Groups are decided when the test says so: on its thread (log_double_decide), or, while the double
 * is automatic, on a thread of its own in order of submission. What was decided GFS_OK is durable;
 * log_double_clone is the disk as a crash at this moment would leave it. Trimmed edits leave at
 * once, or in any order (log_double_keep); a replay from below one that left is refused. Bulk
 * chunks are not there. Owners and payloads of DATA records are kept, also those of deleted chunks;
 * the storage class UNKNOWN is not known. */
#pragma once

#include "libgoodfs/chunk_store.h"

struct log_double;

struct log_double *log_double_new(void);
/* Everything durable, nothing undecided, and automatic. Any thread. */
struct log_double *log_double_clone(struct log_double *log);
/* All groups are decided. */
void log_double_free(struct log_double *log);
struct chunk_store *log_double_store(struct log_double *log);

/* Switching it on also decides what waits. A new double is automatic. */
void log_double_set_auto(struct log_double *log, bool is_auto);
/* The oldest groups, at most count, on this thread; answers how many there were. GFS_IO makes every
 * later group fail with it, too. */
size_t log_double_decide(struct log_double *log, size_t count, enum gfs_err err);
/* Automatic decisions: one group in `period` is refused with NO_SPACE; 0 = none. */
void log_double_refuse(struct log_double *log, unsigned period, uint64_t seed);
size_t log_double_waiting(struct log_double *log);
/* LSN of the edit of the oldest group; 0 = none waits. */
uint64_t log_double_next_lsn(struct log_double *log);
/* Waits until count groups wait to be decided. */
void log_double_await(struct log_double *log, size_t count);

/* A record made it live, and none deleted it since. */
bool log_double_is_live(struct log_double *log, struct chunk_id id);
/* Ids named by DELETE records, and edits that are neither trimmed nor refused. */
size_t log_double_deleted(struct log_double *log);
size_t log_double_edits(struct log_double *log);
/* Trimmed edits stay until they are reclaimed, as on a disk. */
void log_double_keep(struct log_double *log);
void log_double_reclaim(struct log_double *log, uint64_t first, uint64_t last);
uint64_t log_double_trimmed(struct log_double *log);
/* chunk_store_status.lsn_floor; 0 at first. */
void log_double_set_floor(struct log_double *log, uint64_t lsn);
/* Flips a bit of the newest edit, or loses all of them, as a broken disk does. Nothing is open. */
void log_double_damage(struct log_double *log);
void log_double_lose_edits(struct log_double *log);
/* A live chunk with these bytes; or one less. */
void log_double_set_chunk(struct log_double *log, struct chunk_id id, struct gfs_slice owner_bytes,
                          struct gfs_slice payload);
void log_double_lose_chunk(struct log_double *log, struct chunk_id id);
