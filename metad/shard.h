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
 * Locks: `lock` guards overlay, buckets and lists; inside it only the locks of the cache's parts
 * are taken, and the log's submit is called (which never blocks and never calls back). */
#pragma once

#include "libgoodfs/meta_service.h"

struct shard;

/* Plain data. Zero = the default, except gc_grace_ms. */
struct shard_options {
    const char *dir;          /* exists; holds the database and nothing else */
    struct chunk_store *log;  /* outlives the shard; no edit was submitted to it by others */
    size_t cache_bytes_max;   /* row cache; 16 MiB */
    size_t overlay_bytes_max; /* above it acknowledgements wait for SQLite; 64 MiB */
    int64_t apply_delay_ms;   /* an edit waits this long for company; 200 */
    int64_t gc_grace_ms;      /* between freeing and deleting a chunk */
};

/* Plain data. */
struct shard_stats {
    uint64_t committed_lsn, applied_lsn;
    uint64_t overlay_bytes, cache_bytes;
    uint64_t applied_batches, checkpoints;
    uint64_t chunks_freed, chunks_deleted; /* since open */
    uint64_t damaged_rows;                 /* met while applying, since open */
    bool has_failed;
};

/* Opens or creates, and applies what the log holds behind the database. CORRUPT: the log or the
 * database is damaged, or they do not belong together (one is lost, or an old copy);
 * UNSUPPORTED: a newer format; IO, NO_SPACE. error says what and where. */
enum gfs_err shard_open(const struct shard_options *options, struct shard **ret,
                        struct gfs_error *error) GFS_MUST_CHECK;

/* No call of the service is under way or comes any more; operations under way are waited for, so
 * the log is still open. Applies everything and checkpoints. NULL allowed. */
void shard_close(struct shard *shard);

/* ---- references: for the search for what is lost and what is nobody's ---- */

/* Plain data, valid during the visit. */
struct shard_reference {
    struct chunk_id id;
    bool is_part;        /* of an upload that is not complete: key is its id in hex */
    uint64_t bucket_id;
    struct gfs_slice key;
};
typedef enum gfs_err (*shard_reference_fn)(void *arg, const struct shard_reference *reference);
/* Calls visit for each chunk reference of every committed object and part. A row is as of some moment
 * during the call. Any answer of visit but GFS_OK ends it and is its answer. CORRUPT: at least one
 * row could not be read; all others were visited. IO. May wait; any thread. */
enum gfs_err shard_visit_references(struct shard *shard, shard_reference_fn visit,
                                    void *arg) GFS_MUST_CHECK;
/* ret[i]: a committed row refers to ids[i], or it is garbage that the shard deletes itself. ids
 * ascend by (hi, lo), each once. Goes over all rows, whatever the count. Any error (CORRUPT: a row
 * could not be read): nothing is known. May wait; any thread. */
enum gfs_err shard_has_references(struct shard *shard, const struct chunk_id *ids, size_t count,
                                  bool *ret) GFS_MUST_CHECK;

/* Lives as long as the shard. Any thread. */
struct meta_service *shard_service(struct shard *shard);
/* Any thread. */
void shard_stats(struct shard *shard, struct shard_stats *ret);
