/* The databases of a shard, the live one and its copies: shard_apply.c (the live one), shard_copy.c
 * (what they have in common, and copies), shard_join.c (how one becomes a copy), shard_move.c
 * (which one is live, and reading it). */
#pragma once

#include "metad/shard_state.h"

/* Edits that are applied together. Immutable, counted: every database that has to apply them. */
struct edits {
    atomic_uint references;
    uint64_t after; /* LSN of the edit applied before them */
    size_t count, bytes;
    struct edit_item {
        uint64_t lsn;
        struct gfs_buf bytes;
    } items[];
};

/* Edits on their way into a copy. */
struct queued {
    struct queued *next;
    struct edits *edits;
};

/* JOINING -> FOLLOWING -> LIVE, and from each of them -> LEAVING. Only its own thread uses the
 * database itself; readers have connections of their own. */
enum copy_role {
    COPY_JOINING,   /* its thread opens or makes it */
    COPY_FOLLOWING, /* its thread applies what is queued */
    COPY_LIVE,      /* its thread applies what is committed, and leads the others */
    COPY_LEAVING,   /* its thread closes it, when it can */
};

/* A database of the shard, and the thread it belongs to. Guarded by the shard's lock, but for dir,
 * path, may_make and is_awaited, which do not change, and db, apply and is_dirty, which are the
 * thread's. */
struct copy {
    struct copy *next; /* among shard->copies or shard->leavers */
    struct shard *shard;
    char *dir, *path;
    bool may_make;   /* a full one, when there is none that is of use */
    bool is_awaited; /* joining: somebody waits for the outcome, who need not be told of it */
    pthread_t thread;
    struct db *db;
    struct apply *apply;
    bool is_dirty; /* something was applied since its last checkpoint */

    struct gfs_cond wake; /* of its thread */
    enum copy_role role;
    enum gfs_err fault;      /* why it left; OK = it was asked to */
    struct gfs_error error;  /* of joining */
    struct readers *readers; /* LIVE, and LEAVING until users is 0 */
    uint32_t users;          /* readers and makers of copies */
    bool is_reported;        /* it was called failed, at */
    int64_t reported_ns;
    bool is_closed;       /* the thread is at its end */
    bool is_given_up;     /* it hangs: closing does not wait for it any more */
    uint64_t durable_lsn; /* a complete checkpoint holds it; 0 = unknown: nothing is trimmed */
    uint64_t progress;    /* rises while it is made, or catches up from the log */
    uint32_t waiters;     /* for its joining or taking over; they keep it from being freed */
    bool is_behind;       /* edits were left out of the queue: the log has them */
    struct queued *queue, **queue_tail;
    size_t queue_bytes;
    int64_t queue_ns; /* when its first was queued; monotonic */
};

/* ---- shard_apply.c ---- */
/* One step of the thread of the live database: applies, makes checkpoints, or waits. */
void shard_live_turn_locked(struct copy *copy);
static inline void shard_wake_live_locked(struct shard *shard)
{
    gfs_cond_signal(&shard->live->wake);
}

/* ---- shard_copy.c ---- */
struct edits *edits_ref(struct edits *edits);
void edits_unref(struct edits *edits); /* NULL allowed */

/* CORRUPT... as db_open_writer. The database is made when it is missing. */
enum gfs_err copy_open(struct copy *copy, struct gfs_error *error) GFS_MUST_CHECK;
struct copy *copy_new(struct shard *shard, const char *dir, enum copy_role role);
void copy_free(struct copy *copy); /* its thread has ended or never began. NULL allowed */
void copy_start(struct copy *copy);
/* Applies those above its applied LSN, as one transaction. On its thread. */
enum gfs_err copy_apply(struct copy *copy, struct edits *const *edits, size_t count,
                        struct apply_result *ret) GFS_MUST_CHECK;
/* Edits that were applied by the live database go to the copies. */
void copy_queue_locked(struct shard *shard, struct edits *edits);
/* Applies everything up to that LSN, which is applied by the shard, from the queue or the log.
 * Called and returns with the lock. On its thread. */
enum gfs_err copy_catch_up_locked(struct copy *copy, uint64_t lsn) GFS_MUST_CHECK;
/* Makes a checkpoint if the WAL is large or somebody waits for one, and if `is_idle` in any case.
 * Outside the lock, on its thread. IO: also when the file is not at its place any more. */
enum gfs_err copy_checkpoint(struct copy *copy, bool is_idle);
/* It gets on: who waits for it waits longer. false: it is not wanted any more. */
bool copy_note_progress(struct copy *copy);
void copy_leave_locked(struct copy *copy, enum gfs_err fault);
/* Closed ones are freed. Called and returns with the lock, lets go of it. */
void copy_reap_locked(struct shard *shard);

/* ---- shard_join.c ---- */
/* The thread's first step: opens the database, or makes it. NOT_FOUND: there is none of use, and
 * none may be made. */
enum gfs_err copy_join(struct copy *copy, struct gfs_error *error) GFS_MUST_CHECK;

/* ---- shard_references.c ---- */
/* They were applied while somebody visits references. Outside the lock. */
void shard_note_copies(struct shard *shard, const struct edits *edits);

/* ---- shard_move.c ---- */
/* The copies of the options. */
void shard_copies_start(struct shard *shard);
/* Closing: the live database applies everything, then the copies, and all are closed. false: a
 * thread hangs in one of them, the shard must stay in memory. */
bool shard_copies_stop(struct shard *shard) GFS_MUST_CHECK;
/* Until when a thread is waited for that may be in any database. Monotonic, ns. */
int64_t shard_close_until_locked(const struct shard *shard);
struct readers *shard_readers_new(const char *path);
/* The live database has a fault, which stops it, or does not: then CORRUPT is only some row. true:
 * the owner is to be told, outside the lock. */
bool shard_note_failure_locked(struct shard *shard, enum gfs_err err, bool is_stopped);
/* A move is to be expected, so waiting for it makes sense. */
bool shard_expects_move_locked(const struct shard *shard);

/* Text that a database and all copies of it have, and no other: one that was made anew, from the
 * log or from the disks, is another history, though the log is the same. NOT_FOUND: it was just
 * made. CORRUPT, IO. Its thread's. shard_replay.c */
enum gfs_err shard_read_birth(struct db *db, char ret[SHARD_BIRTH_SIZE]) GFS_MUST_CHECK;
/* The heir holds everything that left the overlay: it is the live database from now on. On its
 * thread. */
void shard_make_live_locked(struct copy *copy);

/* A read connection to the live database. */
struct reading {
    struct copy *copy;
    struct db *db;
    uint64_t move_count;
};
/* Waits for a connection. IO, CORRUPT, STOPPED; only move_count is set then, as it is behind
 * shard_reader_put. */
enum gfs_err shard_reader_get(struct shard *shard, struct reading *ret) GFS_MUST_CHECK;
void shard_reader_put(struct shard *shard, struct reading *reading); /* scans are ended */
/* What was read with it (given back by now) gave err. When that is the database's fault, its owner
 * is told and a move waited for. true: there was one, read again. */
bool shard_read_again(struct shard *shard, const struct reading *reading, enum gfs_err err);
/* The whole of it: get, read, put, again. */
typedef enum gfs_err (*shard_read_fn)(void *arg, struct db *db);
enum gfs_err shard_read(struct shard *shard, shard_read_fn read, void *arg) GFS_MUST_CHECK;
