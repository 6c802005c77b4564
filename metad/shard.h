/* A shard of the metadata service: the edit log in front, SQLite behind, memory between.
 *
 * Model: an operation is validated against everything proposed before it, gets the next LSN and
 * becomes one edit of the log; when the log says it is durable it is committed, answered and
 * visible. A thread applies committed edits to SQLite in batches; until then their rows are in the
 * overlay. SQLite is never waited for on the way to an answer.
 *
 *   submit -> judged, LSN, overlay -> log -> committed, answered -> applied to SQLite -> row cache
 *
 * Invariants
 *  1. Readers see exactly the edits with LSN <= committed_lsn, in overlay, row cache or SQLite, in
 *     this order of precedence.
 *  2. SQLite holds a prefix of the committed edits, and applied_lsn in the same transaction.
 *  3. Edits are trimmed from the log only when a complete checkpoint put them into the database
 *     file, and never the newest applied one; opening applies those behind applied_lsn again, and
 *     refuses a log that does not hold applied_lsn itself.
 *  4. A refused edit (no space) leaves nothing: its rows go from the overlay before its LSN counts
 *     as decided. Refusals that rest on an undecided edit are answered when that one is decided,
 *     and an operation whose acceptance would rest on one is judged again after its decision.
 *  5. Chunks are deleted only by an edit of the sweep, at least gc_grace_ms after the row that held
 *     their last reference went.
 *  6. A copy is a database of its own in another directory, to which the same edits are applied by
 *     a thread of its own. The log keeps every edit that the live database or a copy may lack after
 *     a power loss: it is trimmed up to the least of what their complete checkpoints hold.
 *  7. Readers use the live database only, and only when it holds everything that left the overlay.
 *     A copy becomes the live one by applying what it lacks, from memory or from the log.
 * Locks: `lock` guards overlay, buckets and lists; inside it only the locks of the cache's parts
 * are taken, and the log's submit is called (which never blocks and never calls back). */
#pragma once

#include "libgoodfs/meta_service.h"

struct shard;

/* Plain data. Zero = the default, except gc_grace_ms. */
struct shard_options {
    const char *dir;           /* exists; holds the database and nothing else */
    const char *const *copies; /* directories of copies, NULL-terminated, NULL = none: as if
                                  shard_copy_add had been called for each, but not waited for */
    struct chunk_store *log;   /* outlives the shard; no edit was submitted to it by others */
    size_t cache_bytes_max;    /* row cache; 16 MiB */
    size_t overlay_bytes_max;  /* above it acknowledgements wait for SQLite; 64 MiB */
    int64_t apply_delay_ms;    /* an edit waits this long for company; 200 */
    int64_t gc_grace_ms;       /* between freeing and deleting a chunk */
    int64_t close_stall_ms;    /* closing gives up what does not move for so long; 15,000 */
    bool has_labels;           /* each row written leaves a copy with the data (label.h): owners of
                                  DATA records are replaced while the log has them */
    /* Called on any thread, must not block and calls nothing of the shard. NULL allowed.
     * copy_failed: dir is no copy any more (IO, NO_SPACE, CORRUPT...). database_failed: the live
     * database cannot be used (IO), or is damaged (CORRUPT; of damaged rows at most once an hour);
     * operations then wait 30 s for shard_move when there are copies. Told again after that. */
    void (*copy_failed)(void *arg, const char *dir, enum gfs_err err);
    void (*database_failed)(void *arg, const char *dir, enum gfs_err err);
    void *arg;
};

/* Plain data. */
struct shard_stats {
    uint64_t committed_lsn, applied_lsn;
    uint64_t overlay_bytes, cache_bytes;
    uint64_t applied_batches, checkpoints;
    uint64_t chunks_freed, chunks_deleted; /* since open */
    uint64_t damaged_rows;                 /* met while applying, since open */
    uint32_t copies;                       /* that are whole and kept up */
    uint64_t copied_lsn;                   /* the least durable in a copy; 0 = no copies */
    uint64_t moves;                        /* of the live database, since open */
    bool has_failed;
};

/* Opens or creates, and applies what the log holds behind the database. CORRUPT: the log or the
 * database is damaged, or they do not belong together (one is lost, or an old copy);
 * UNSUPPORTED: a newer format; IO, NO_SPACE. error says what and where. */
enum gfs_err shard_open(const struct shard_options *options, struct shard **ret,
                        struct gfs_error *error) GFS_MUST_CHECK;

/* The service is about to stop: first what it does by itself ends, the sweep and visits of
 * references, which get STOPPED. Operations go on. Any thread. */
void shard_end_visits(struct shard *shard);
/* That, and from now on nobody waits for a database that moves or joins: they get STOPPED. Any
 * thread. */
void shard_end_waits(struct shard *shard);

/* No call of the service comes any more, and none is under way but such as hang in a database;
 * operations under way are waited for, so the log is still open. Applies everything, checkpoints.
 * NULL allowed. A database or log that does not get on is waited for as the options say; a database
 * that was left before, for a moment. false: threads hang in one, so that the shard and its log
 * must be left as they are until the process ends. The log has everything that was acknowledged,
 * and the next start applies it. */
bool shard_close(struct shard *shard);

/* ---- copies. Any thread, which may wait, but not one that the log waits for ---- */

/* Makes dir, which is made if it is not there, hold a copy, and keeps it up from now on. A database
 * that is there is taken up if the log holds what it lacks; else it is replaced by a full copy. At
 * return the copy is durable, as of some applied edit. EXISTS: dir is a copy, or the live one;
 * BUSY: an earlier copy there is still being closed; TIMEOUT: nothing moved for 30 s; IO, NO_SPACE,
 * CORRUPT; STOPPED: shard_end_waits. */
enum gfs_err shard_copy_add(struct shard *shard, const char *dir,
                            struct gfs_error *error) GFS_MUST_CHECK;
/* dir is no longer kept up, nor does the log keep anything for it; it need not be reachable.
 * Waits for nothing. What is not a copy is ignored, the live database as well. */
void shard_copy_remove(struct shard *shard, const char *dir);
/* The copy in dir becomes the live database, the one that was it is let go of, whatever state it is
 * in. Operations go on meanwhile, and reads use the former one until readers can use this one: OK.
 * A database in dir that is not kept up is good enough if the log holds what it lacks. EXISTS: it
 * is the live one already; NOT_FOUND: there is none in dir, or it is of no use; BUSY: an earlier
 * one there is still being closed, or another one is about to take over; STOPPED: shard_end_waits.
 * IO, CORRUPT, TIMEOUT (nothing moved for 30 s), NO_SPACE: it cannot take over, and is no copy any
 * more. With every error the live database is the one it was. */
enum gfs_err shard_move(struct shard *shard, const char *dir,
                        struct gfs_error *error) GFS_MUST_CHECK;

/* Soon the log is trimmed of every edit there is now: an edit without changes becomes the newest,
 * and the databases make checkpoints that hold it. Asks for that and waits for nothing; the log may
 * yet refuse the edit. STOPPED, UNREACHABLE, NO_SPACE, BUSY, as an operation. Any thread. */
enum gfs_err shard_trim(struct shard *shard) GFS_MUST_CHECK;

/* ---- references: for the search for what is lost and what is nobody's ---- */

/* Plain data, valid during the visit. */
struct shard_reference {
    struct chunk_id id;
    bool is_part; /* of an upload that is not complete, its note too: key is its id in hex */
    uint64_t bucket_id;
    struct gfs_slice key;
    uint64_t mod_lsn; /* of the row */
};
typedef enum gfs_err (*shard_reference_fn)(void *arg, const struct shard_reference *reference);
/* Calls visit for each chunk reference of rows of uploads, parts and objects, and of copies
 * made meanwhile. A chunk that a row refers to all the time, though it need not be the same row, is
 * visited for certain. Nothing is held between visits, which may take their time. Any answer of
 * visit but GFS_OK ends it and is its answer. STOPPED: shard_end_visits. CORRUPT: at least one row
 * could not be read; all others were visited. BUSY: too many copies were made meanwhile. IO. May
 * wait; any thread. */
enum gfs_err shard_visit_references(struct shard *shard, shard_reference_fn visit,
                                    void *arg) GFS_MUST_CHECK;
/* ret[i] = false: nothing refers to ids[i]: no row, no operation submitted before the call, no
 * garbage that the shard deletes itself; nor will anything ever, if the chunk was listed before
 * the call: what makes a chunk live was submitted with the operation that refers to it, and more
 * references come from rows only. true: something did at some time during the call. ids ascend by
 * (hi, lo), each once. Goes over all rows, whatever the count. Any error (CORRUPT: a row could not
 * be read): nothing is known. May wait; any thread. */
enum gfs_err shard_has_references(struct shard *shard, const struct chunk_id *ids, size_t count,
                                  bool *ret) GFS_MUST_CHECK;

/* Lives as long as the shard. Any thread. */
struct meta_service *shard_service(struct shard *shard);
/* Any thread. */
void shard_stats(struct shard *shard, struct shard_stats *ret);
