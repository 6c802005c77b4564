/* A pool: many disks as one chunk store, with replicas or Reed-Solomon stripes over them.
 *
 * Data flow, order and failure rules: docs/decisions/0008-many-disks.md; threads and locks:
 * pool_state.h. What a disk is, is the driver's business; the pool knows its chunk_store.
 *
 * Invariants
 *  1. An acknowledged group's data is durable in at least the write quorum of fragments, and its
 *     edits on every log mirror that is in sync, of which there are at least a majority of
 *     min(3, disks).
 *  2. A disk that lacks anything that was acknowledged is called behind, not in sync or failed by a
 *     map that was durable before the acknowledgement.
 *  3. An edit is durable nowhere before the data that came with it is durable.
 *  4. A fragment is given back only when its chunk was deleted by a DELETE record, or when every
 *     fragment of the chunk is whole where the map wants it. Absence is never taken for deletion.
 */
#pragma once

#include "libgoodfs/chunk_store.h"
#include "libgoodfs/json_out.h"
#include "pool/pool_map.h"

struct pool;

/* How directories become stores. Blocking calls, any thread, one at a time a path. */
struct pool_driver {
    void *arg;
    /* Opens the store in dir; makes it when there is none (then its id is drawn; the cluster is
     * the one given). ret_id: the id in its identity file. Errors as store_open. */
    enum gfs_err (*open)(void *arg, const char *dir, const char *cluster, struct chunk_store **ret,
                         uint8_t ret_id[16], struct gfs_error *error);
    void (*close)(void *arg, struct chunk_store *store);
    /* Whether the disk takes writes, found out by writing something to dir that leaves nothing
     * behind. The store there may be open. NULL = by a small file, pool_map_file_try. */
    enum gfs_err (*try_write)(void *arg, const char *dir);
};

/* What the pool asks of whoever keeps the metadata. Called on one thread of the pool's that does
 * nothing else (pool_mirrors.c), so they may take as long as they need; any of them NULL when there
 * is no metadata (tests). dir: the disk's directory. */
struct pool_meta_hooks {
    void *arg;
    /* A full copy of the database into dir, durable at return, and kept up to date from now on.
     * The mirror's log is at the call, and from then on, as that of the others in sync. */
    enum gfs_err (*join)(void *arg, const char *dir);
    /* No more copies to dir; it need not be reachable. */
    void (*leave)(void *arg, const char *dir);
    /* The live database was in lost_dir, which is gone: go on with the copy in dir. */
    enum gfs_err (*move)(void *arg, const char *lost_dir, const char *dir);
    /* Some edit is to become the newest, and all before it soon trimmed. Waits for nothing; asked
     * again when it was not. NULL allowed, as the others. */
    void (*trim)(void *arg);
};

/* Plain data. Zero = the default. Strings are copied. */
struct pool_options {
    const char *const *paths;   /* directories, NULL-terminated */
    const char *cluster;        /* it must be; NULL = any, drawn for a new pool */
    const char *const *classes; /* "NAME=PROFILE" ..., NULL-terminated; only NULL = by disk count */
    struct pool_driver driver;
    uint64_t small_max;       /* objects up to it are copies in ec classes; 128 KiB */
    uint64_t reserved;        /* bytes of each disk not to be used; 0 */
    uint32_t slow_ms;         /* a disk that does not answer a write is dropped; 2,000 */
    uint32_t race_ms;         /* a read that takes longer is raced; 50 */
    uint32_t missing_grace_s; /* a disk that is away is failed after it; 600 (an emptied or wrong
                                 one at once) */
    uint32_t mark_s;          /* between what is said of disks, for older copies of them; 60 */
    uint64_t repair_rate;     /* bytes a second repair may write; 0 = 256 MiB */
    uint64_t scrub_rate;      /* bytes a second and disk; 0 = 8 MiB, more for all in five days */
    bool allow_minority;      /* open read-only without a quorum */
};

/* Opens the disks, agrees on the map, evens out the log mirrors. OK; INVALID (options, classes);
 * CONFLICT (a disk was refused: swapped, twice, of another cluster, an older copy of itself);
 * UNREACHABLE (no quorum; error names what is missing); CORRUPT, IO, NO_SPACE, BUSY. Nothing runs
 * yet but what was submitted. */
enum gfs_err pool_open(const struct pool_options *options, struct pool **ret,
                       struct gfs_error *error) GFS_MUST_CHECK;
/* Begins to watch, repair and scrub. hooks are copied. */
void pool_start(struct pool *pool, const struct pool_meta_hooks *hooks);
/* No hook is called any more, nothing is moved. For a stop in order: before the metadata closes. */
void pool_stop(struct pool *pool);
/* Pins are released and bulk writers freed before. NULL allowed: true. is_used: somebody hangs in a
 * disk who may yet call the pool, pins and all: what is under way is waited for, and nothing is
 * closed. false: that, or a disk hangs in something, so that the pool, and what it needs of the
 * driver, must be left as it is until the process ends. */
bool pool_close(struct pool *pool, bool is_used);

struct chunk_store *pool_chunks(struct pool *pool);
/* Directory of the disk that holds the live database, "" = none; ret has POOL_PATH_LEN_MAX. index:
 * 0 the live one, then the other mirrors in sync; false = no such. */
bool pool_mirror_dir(struct pool *pool, uint32_t index, char *ret);
/* The database in dir (a disk's directory) cannot be used, though the disk's log may be: the mirror
 * is not in sync any more and joins anew; if it was the live one, `move` is called. Never blocks.
 * Any thread. */
void pool_mirror_failed(struct pool *pool, const char *dir);

/* ---- for the operator; blocking, any thread. error has a sentence for people. ---- */

enum gfs_err pool_disk_add(struct pool *pool, const char *path, struct gfs_error *error);
/* disk: number, id text or path of a disk of the map. path: empty directory, may be the same. */
enum gfs_err pool_disk_replace(struct pool *pool, const char *disk, const char *path,
                               struct gfs_error *error);
enum gfs_err pool_disk_drain(struct pool *pool, const char *disk, struct gfs_error *error);
/* NULL members are left as they are. */
struct pool_disk_settings {
    const bool *is_read_only;
    const uint64_t *reserved;
};
enum gfs_err pool_disk_set(struct pool *pool, const char *disk,
                           const struct pool_disk_settings *settings, struct gfs_error *error);
enum gfs_err pool_rebalance_start(struct pool *pool, struct gfs_error *error);
/* What is being moved is moved to its end. */
enum gfs_err pool_rebalance_stop(struct pool *pool, struct gfs_error *error);
/* Verifies everything once, from the start, at once: `rate` bytes a second and disk, 0 = as fast as
 * it goes. BUSY: such a pass is under way. */
enum gfs_err pool_scrub_start(struct pool *pool, uint64_t rate, struct gfs_error *error);

/* One JSON value for people and scripts, appended; the shapes are in docs/OPERATIONS.md. name: as
 * in json_out.h. */
void pool_status_json(struct pool *pool, struct gfs_json_out *out,
                      const char *name); /* health, reasons, space, mirrors, version */
void pool_disks_json(struct pool *pool, struct gfs_json_out *out,
                     const char *name); /* one object a disk */
void pool_groups_json(struct pool *pool, struct gfs_json_out *out,
                      const char *name); /* one object a group */
void pool_repair_json(struct pool *pool, struct gfs_json_out *out,
                      const char *name); /* what is under way, done, left, rate, ETA */
void pool_scrub_json(struct pool *pool, struct gfs_json_out *out,
                     const char *name); /* pass, position, found, healed, per disk */
void pool_rebalance_json(struct pool *pool, struct gfs_json_out *out, const char *name);
/* The fragments of one chunk: disk, slot, length, state (ok, missing, damaged...). verify: read
 * them all. Repair is told of what is missing or damaged. */
void pool_chunk_json(struct pool *pool, struct chunk_id id, bool verify, struct gfs_json_out *out,
                     const char *name);

enum pool_health {
    POOL_HEALTHY = 0,
    POOL_DEGRADED,  /* something is under-replicated, behind, failed or draining lost disks */
    POOL_READ_ONLY, /* writes are refused; reason says why */
};
enum pool_health pool_health(struct pool *pool, char *ret_reason, size_t reason_size);
/* Prometheus text, appended. */
struct gfs_buf;
void pool_metrics(struct pool *pool, struct gfs_buf *out);
