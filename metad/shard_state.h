/* The inside of a shard, shared by the files shard*.c and scan.c. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "libgoodfs/cond.h"
#include "metad/apply.h"
#include "metad/bucket_map.h"
#include "metad/cache.h"
#include "metad/overlay.h"
#include "metad/readers.h"
#include "metad/shard.h"
#include "metad/shard_ops.h"

enum { PROPOSAL_INLINE_ENTRIES = 4, SHARD_MOVE_WAIT_S = 30, SHARD_BIRTH_SIZE = 33 };
struct copy;    /* shard_copy.h, as struct edits */
struct visitor; /* shard_references.c */

enum bucket_change { BUCKET_IS_CREATED = 1, BUCKET_IS_SET, BUCKET_IS_DROPPED };

/* One edit on its way from submit to SQLite. Owned by submit until proposed, then by the shard's
 * lists: under way in the log (by its group), then committed (waiting to be applied). */
struct proposal {
    struct proposal *next;
    struct shard *shard;
    struct meta_op *op; /* NULL: the shard's own, or answered */
    uint64_t lsn;
    int64_t committed_ns;           /* monotonic */
    struct gfs_buf edit, chunk_ids; /* chunk_ids: payload of delete_record, the sweep's */
    struct chunk_record edit_record, delete_record;
    struct chunk_group group;
    uint64_t bucket_id; /* of a bucket that is created, changed or dropped by it, else 0 */
    enum bucket_change bucket_change;
    struct shard_label *label; /* shard_label.c; NULL = none, or the log has answered */
    uint32_t entry_count;
    struct overlay_entry **entries; /* one version each, of this LSN */
    struct overlay_entry *entries_inline[PROPOSAL_INLINE_ENTRIES];
};

/* Proposals taken off the list of committed ones together. */
struct batch {
    struct proposal *first, *last;
    struct edits *edits;
};

/* An answer that waits: for the edit it rests on, or for SQLite to catch up. In op->internal. */
struct waiting_answer {
    struct waiting_answer *next;
    struct meta_op *op;
    uint64_t lsn; /* what it waits for */
    enum gfs_err err;
};

/* Guarded by `lock`, except: options, log, seed and cache (see there). */
struct shard {
    struct meta_service service;
    struct shard_options options;
    struct chunk_store *log;
    uint64_t seed; /* of key hashes */
    struct cache *cache;

    pthread_mutex_t trim_lock; /* held while the log is told; taken before `lock` */
    pthread_mutex_t lock;
    struct gfs_cond sweep_wake, decided;
    struct gfs_cond moved; /* anything about copies: roles, is_dropping, progress */
    pthread_t sweep_thread;
    char birth[SHARD_BIRTH_SIZE]; /* of the live database; immutable once it is open */
    struct copy *live;
    struct copy *copies, *leavers;
    uint64_t move_count;
    struct copy *heir;          /* is to be the live one: that takes up no new edits; NULL = none */
    int64_t damage_reported_ns; /* damaged rows were reported last; 0 = never */
    uint32_t snapshot_count;    /* full copies being made: checkpoints cannot complete */
    struct batch batch;         /* being applied by the live database, or tried again */
    bool is_dropping;           /* rows of what was applied are leaving the overlay */
    uint64_t wanted_lsn;        /* edits up to it are applied without waiting for company */
    uint64_t checkpoint_lsn;    /* databases that hold it make a checkpoint that does */
    struct visitor *visitors;   /* who is to be told of copies of objects */
    struct overlay *overlay;
    struct bucket_map *buckets;
    uint64_t next_lsn;
    uint64_t committed_lsn; /* every LSN up to here is decided */
    uint64_t applied_lsn;
    int64_t last_time_ms;                /* of the newest proposal: time never runs backwards */
    uint32_t under_way, decided_waiters; /* proposals in the log, or not yet answered */
    struct proposal *committed, **committed_tail; /* to be applied, in LSN order */
    struct waiting_answer *parked;                /* rest on undecided edits */
    struct waiting_answer *held, **held_tail;     /* until the overlay shrinks */
    enum gfs_err apply_fault;         /* passing (see there): it goes on later; else for good */
    bool is_stopping;                 /* no new operations */
    bool is_ending_visits, is_ending; /* about to stop: visits end; no database is waited for */
    bool is_apply_stopping, is_sweep_stopping, is_copy_stopping, is_sweep_over;
    bool may_trim;         /* all copies are known, and none was cut short */
    bool has_failed;       /* the log has failed */
    bool is_sweep_refused; /* the sweep's proposal was */
    struct shard_stats counters;
};

/* ---- shard_propose.c: the way of a proposal ---- */
struct proposal *proposal_new(struct shard *shard, struct meta_op *op);
void proposal_free(struct proposal *proposal);
/* The edit is finished. Gives it an LSN, puts its rows into the overlay, hands it to the log. */
void proposal_submit_locked(struct proposal *proposal);
struct waiting_answer *shard_answer_of(struct meta_op *op, enum gfs_err err, uint64_t lsn);
/* The committed edit of an earlier run takes effect in memory; in order, before the threads run. */
enum gfs_err proposal_adopt(struct proposal *proposal) GFS_MUST_CHECK;
/* Calls done of every answer. Outside the lock. */
void shard_give_answers(struct waiting_answer *answers);
/* Held answers, when there is no more reason to hold them; NULL = none. */
struct waiting_answer *shard_take_held_locked(struct shard *shard);
/* Waits, letting go of the lock, until the edit of that LSN is committed or refused. */
void shard_await_decision_locked(struct shard *shard, uint64_t lsn);
/* SQLite may be able to go on later. */
static inline bool shard_is_passing(enum gfs_err fault)
{
    return fault == GFS_NO_SPACE || fault == GFS_BUSY;
}
/* Why no operation is taken now: OK, STOPPED, UNREACHABLE, NO_SPACE, BUSY. */
enum gfs_err shard_refusal_locked(const struct shard *shard, bool may_use_reserve);

/* ---- shard_bucket.c ---- */
/* It is visible. Any thread, without the lock. */
bool shard_has_bucket(struct shard *shard, uint64_t bucket_id);
/* The whole operation, answer included. May be answered AGAIN with META_NOWAIT. */
enum gfs_err shard_bucket_create(struct shard *shard, struct meta_op *op);
enum gfs_err shard_bucket_set(struct shard *shard, struct meta_op *op);
enum gfs_err shard_bucket_delete(struct shard *shard, struct meta_op *op, unsigned flags);
struct change;
/* CHANGE_BUCKET_PUT, _SET or _DROP of an edit of an earlier run. CORRUPT, UNSUPPORTED. */
enum gfs_err shard_bucket_adopt(struct shard *shard, uint64_t lsn, int64_t time_ms,
                                const struct change *change) GFS_MUST_CHECK;
/* A proposal that creates, changes or drops a bucket is proposed, and decided. */
void shard_bucket_proposed_locked(struct proposal *proposal, int64_t time_ms);
void shard_bucket_decided_locked(struct proposal *proposal, bool is_committed);

/* ---- shard_read.c ---- */
/* The committed row. NOT_FOUND, AGAIN (META_NOWAIT), CORRUPT, IO. Any thread. */
enum gfs_err shard_read_row(struct shard *shard, const struct key *key, unsigned flags,
                            struct meta_row **ret);
/* Past overlay and cache; into the cache unless something was applied since applied_lsn. */
enum gfs_err shard_read_database(struct shard *shard, const struct key *key, uint64_t applied_lsn,
                                 struct meta_row **ret);

/* ---- shard_replay.c ---- */
/* Opening: applies what the log holds behind the database; without space it stays committed. */
enum gfs_err shard_replay(struct shard *shard, struct gfs_error *error) GFS_MUST_CHECK;

/* ---- shard_sweep.c ---- */
void *shard_sweep_main(void *arg);
