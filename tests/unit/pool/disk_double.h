/* A chunk store in memory, for tests of a pool: one disk, with every fault a disk can have.
 *
 * Groups and finished bulk chunks are decided in the order they came: on the double's own thread
 * while it is automatic (a new one is), else on the test's thread by disk_double_decide. What was
 * decided GFS_OK is durable; the answer follows at once. A crash forgets the rest. All functions:
 * any thread. */
#pragma once

#include "libgoodfs/chunk_store.h"

struct disk_double;

struct disk_double *disk_double_new(void);
/* Pins are released and bulk writers freed. What waits is answered GFS_STOPPED. NULL allowed. */
void disk_double_free(struct disk_double *disk);
struct chunk_store *disk_double_store(struct disk_double *disk);
struct disk_double *disk_double_of(struct chunk_store *store);

/* ---- when it answers ---- */

/* Switching it on also decides what waits. */
void disk_double_set_auto(struct disk_double *disk, bool is_auto);
/* The oldest groups, finishes and calls of writable, at most count, on this thread; answers how
 * many there were; 0 while it hangs. */
size_t disk_double_decide(struct disk_double *disk, size_t count);
size_t disk_double_waiting(struct disk_double *disk);
/* Waits until at least count wait to be decided. */
void disk_double_await(struct disk_double *disk, size_t count);
/* Every decision and every waiting read takes at least that long; 0 = no time. */
void disk_double_set_delay(struct disk_double *disk, int64_t delay_ns);
/* Reading an owner takes that long in any case. */
void disk_double_set_owner_delay(struct disk_double *disk, int64_t owner_delay_ns);

/* ---- faults ---- */

/* From the n-th decision from now on (1 = the next; 0 = never again) every write is answered
 * GFS_IO, and from then on every read too. Stays until it is revived. */
void disk_double_fail(struct disk_double *disk, unsigned n);
/* While it is so every write is answered GFS_IO, and it cannot be opened; reads go on. */
void disk_double_set_unwritable(struct disk_double *disk, bool is_unwritable);
/* Nothing is answered until released: decisions wait, blocking reads block, NOWAIT reads are
 * answered AGAIN. */
void disk_double_hang(struct disk_double *disk, bool is_hanging);
/* Replays of edits block until released. */
void disk_double_hang_log(struct disk_double *disk, bool is_hanging);
/* Waits until one does, or did before. */
void disk_double_await_replay(struct disk_double *disk);
enum disk_double_room {
    DISK_DOUBLE_ROOM = 0,
    DISK_DOUBLE_FULL,    /* only groups that may use the reserve are taken */
    DISK_DOUBLE_BRIMFUL, /* nothing is */
};
void disk_double_set_room(struct disk_double *disk, enum disk_double_room room);
void disk_double_set_space(struct disk_double *disk, uint64_t total, uint64_t free);
/* NOWAIT reads are answered AGAIN, as if nothing were in memory. */
void disk_double_set_cold(struct disk_double *disk, bool is_cold);
/* Appends take at most len bytes a call, and ask to come again; 0 = all. */
void disk_double_set_append_max(struct disk_double *disk, size_t len);
/* Appends copy: it has no memory of its own to offer. */
void disk_double_set_copying(struct disk_double *disk, bool is_copying);
/* At most count bulk writers at once, more are BUSY; 0 = any number. */
void disk_double_set_bulk_max(struct disk_double *disk, size_t count);
/* Changes a byte of a live fragment: reads of its block are CORRUPT. false: not there. */
bool disk_double_flip(struct disk_double *disk, struct chunk_id id, uint32_t offset);
/* Reads of that block (below 64) of a live fragment are IO. false: not there. */
bool disk_double_wear(struct disk_double *disk, struct chunk_id id, unsigned block);
/* The fragment's bytes are gone: it is listed, and whoever pins it hears CORRUPT. false: not there.
 */
bool disk_double_lose(struct disk_double *disk, struct chunk_id id);
/* The fragment is gone, as if it had never been. false: it is not there. */
bool disk_double_drop(struct disk_double *disk, struct chunk_id id);
void disk_double_lose_edits(struct disk_double *disk); /* all of them */
/* The log is damaged: edits cannot be replayed; counted when is_known, else once verify_log was
 * there. chunk_store.repaired ends it. */
void disk_double_damage_log(struct disk_double *disk, bool is_known);
/* Power is lost: the oldest `keep` waiting groups are durable, though nobody hears of it; the
 * rest is forgotten. Everything waiting and everything later is answered GFS_IO (in manual mode
 * when it is decided), and what is on the disk changes no more, until it is revived. */
void disk_double_crash(struct disk_double *disk, size_t keep);
/* Works again, as after a restart, with what is durable. Nothing waits. */
void disk_double_revive(struct disk_double *disk);
/* Called before each group is decided, on the deciding thread, without a lock held; its answer is
 * the group's outcome, GFS_OK = as usual. NULL = none. */
typedef enum gfs_err (*disk_double_judge_fn)(void *arg, struct disk_double *disk,
                                             const struct chunk_group *group);
void disk_double_set_judge(struct disk_double *disk, disk_double_judge_fn judge, void *arg);

/* ---- what is on it ---- */

bool disk_double_has(struct disk_double *disk, struct chunk_id id);
/* The bytes of a live fragment, copied to ret (at most size); answers its length, 0 = not there. */
size_t disk_double_bytes(struct disk_double *disk, struct chunk_id id, char *ret, size_t size);
size_t disk_double_owner(struct disk_double *disk, struct chunk_id id, char *ret, size_t size);
size_t disk_double_chunks(struct disk_double *disk);
bool disk_double_has_edit(struct disk_double *disk, uint64_t lsn);
size_t disk_double_edits(struct disk_double *disk);
uint64_t disk_double_trimmed(struct disk_double *disk);

/* Plain data. Since it was made. */
struct disk_double_counts {
    size_t groups;                           /* submitted */
    size_t refused;                          /* of them, not answered GFS_OK */
    size_t data, places, deleted_ids, edits; /* records that became durable */
    size_t bulks, pins, reads, appended_bytes, owners;
    size_t pins_held, bulks_held; /* now */
};
void disk_double_counts(struct disk_double *disk, struct disk_double_counts *ret);
