/* The state of an open pool, shared by the pool_*.c files and nobody else.
 *
 * Views. The map in force and the disks it names are one immutable, counted value (struct
 * pool_view). Whoever works on a chunk takes the current view once and keeps it to the end of that
 * work: what it decides is decided by one map. A new map is a new view; the old one dies with its
 * last user. Disks are counted as well: a disk's store is closed only when nobody uses it.
 *
 * Threads: any thread submits, pins, reads, appends. Completions come on the disks' threads.
 * The watch thread (pool_watch.c) times writes out and makes the maps that drops, notes and failed
 * mirrors ask for: who needs one of these and cannot wait is called when it is there. The patrol
 * (pool_patrol.c) looks at the disks, the mirrors' thread (pool_mirrors.c) at who holds the
 * metadata, and calls the hooks. The reconcile thread (pool_reconcile.c) repairs and moves, with
 * copiers (pool_copiers.c) while there is much to be copied; the scrub thread (pool_scrub.c)
 * verifies. Each disk has reader threads (pool_reader.c). All of these but the last two, errands,
 * the operator's calls and the placement of chunks make maps, each by pool_change_map.
 *
 * Locks, outermost first: change_lock (making a map; held across disk I/O), submit_lock (order of
 * groups), tomb_lock (deletes against copies), a disk's reader lock, view_lock (innermost, a few
 * instructions). Answers are given in order by one thread at a time, with no lock held. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "libgoodfs/chunk_store.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/ec.h"
#include "pool/pool.h"
#include "pool/pool_map.h"
#include "pool/pool_map_file.h"
#include "pool/pool_stripe.h"

enum {
    POOL_READERS_PER_DISK = 2,
    POOL_READ_JOBS_MAX = 4096,      /* of one disk; over it reads are answered BUSY */
    POOL_BULK_MAX = 4096,           /* large chunks, written or finished and kept; over it BUSY */
    POOL_BULK_ROWS_MAX = 512 << 20, /* bytes that the rows of those being written may take */
    POOL_TOMBS_MAX = 1 << 20,
    POOL_SUSPECTS_MAX = 65536, /* fragments reported bad and not repaired yet */
};

struct pool_reader; /* pool_reader.c: the reader threads of a disk */

/* A disk of the pool while this process uses it. Counted by views, parts of pins, bulks, groups. */
struct pool_disk {
    atomic_uint references;
    uint16_t number;
    uint8_t id[16];
    char path[POOL_PATH_LEN_MAX];
    struct pool_root root;     /* where its store was opened; set before the disk is used */
    struct chunk_store *store; /* NULL = away: never was opened in this run */
    struct pool *pool;
    struct pool_reader *reader; /* NULL with store */
    atomic_bool is_dropped;     /* found failing: used for nothing new, whatever the view says */
    atomic_bool is_distrusted;  /* dropped, and not for its writes alone: nothing of it is read */
    atomic_int drop_err;        /* enum gfs_err: why it was dropped */
    atomic_bool takes_edits;    /* its log is as those in sync: it joins them. Set while paused;
                                   cleared under change_lock, or by who set it */
    atomic_bool is_being_left;  /* by pins */
    atomic_bool is_full;        /* as of the watch's last look; placement avoids it */
    atomic_ulong slow_reads;    /* that were raced */
    atomic_llong slow_until_ns; /* monotonic; readers prefer other disks until then */
    atomic_llong progress_ns;   /* monotonic; when a write last went on here */
    atomic_uint owed;           /* groups it was given and did not answer yet */
    atomic_ulong read_failures; /* reads the disk could not do; damage found is not among them */
    atomic_uint last_failures;  /* of these, since it was dropped */
    atomic_ulong behind_notes; /* counted by pool_note_behind, under change_lock, before it looks at
                                  the map: a pass clears is_behind only if none came meanwhile */
    atomic_ulong healed;       /* bad fragments on it that were written anew */
    struct pool_disk *next_unused; /* pool_view.c */
    struct pool_disk *next_open;   /* in pool->open_disks */
};

/* Immutable. disks: by number, map->disk_count of them; NULL = removed or unknown to this run. */
struct pool_view {
    atomic_ulong references; /* work by it, pins, marks: see pool_view_pin, pool_view_mark */
    struct pool *pool;
    struct pool_view *next, **link; /* in pool->views; guarded by view_lock */
    struct pool_map *map;
    uint64_t since; /* the version from which on the map and the disks in use were like these */
    struct pool_disk *disks[POOL_DISKS_MAX];
    /* By number: open, not in use, and read when the others do not suffice (pool_former.h). */
    struct pool_disk *fallbacks[POOL_DISKS_MAX];
    bool is_read_only;
    char read_only_reason[160];
};

/* A fragment that was found bad or missing by a read or a scrub. */
struct pool_suspect {
    struct chunk_id id; /* of the chunk */
    uint16_t disk;
    uint8_t slot;
    bool is_bad; /* there, but damaged: rewrite even though it is listed */
};

struct pool_pin;       /* pool_pin.c: a chunk held for reading */
struct pool_errands;   /* pool_errand.c: calls that may hang in a disk */
struct pool_submit;    /* pool_submit.c: groups under way */
struct pool_watch;     /* pool_watch.c: drops, notes, ticks */
struct pool_mirrors;   /* pool_mirrors.c: who holds the metadata, and the hooks */
struct pool_writes;    /* pool_map_write.c */
struct pool_place;     /* pool_place.c: groups by profile */
struct pool_reconcile; /* pool_reconcile.c */
struct pool_scrub;     /* pool_scrub.c */
struct pool_suspects;  /* pool_suspects.c */
struct pool_tombs;     /* pool_tombs.c */

struct pool {
    struct chunk_store base;
    struct pool_options options; /* paths, classes and cluster are not kept */
    pthread_mutex_t view_lock;
    struct pool_view *view;       /* guarded by view_lock */
    struct pool_view *views;      /* all that are held; guarded by view_lock */
    struct pool_pin *pins;        /* all that are held; guarded by view_lock */
    struct gfs_cond views_gone;   /* and pins; with view_lock */
    struct pool_disk *open_disks; /* whose stores are not closed yet; guarded by view_lock */
    atomic_int drop_errs[POOL_DISKS_MAX]; /* enum gfs_err, by number: the last drop in this run */
    _Atomic(struct pool_disk *) unused_disks; /* wait for pool_disk_reap */
    struct ec
        *coders[POOL_WIDTH_MAX + 1][POOL_WIDTH_MAX + 1]; /* [k][m], made once, under coder_lock */
    pthread_mutex_t coder_lock;
    pthread_mutex_t change_lock;
    struct pool_errands *errands;
    pthread_mutex_t asking_lock;                /* a few instructions; above it none */
    struct pool_errand *asking[POOL_DISKS_MAX]; /* where a disk is: hangs; NULL = none does */
    struct pool_submit *submit;
    struct pool_watch *_Atomic watch; /* set once, freed with the pool */
    struct pool_mirrors *mirrors;
    struct pool_writes *late_writes; /* of maps, to disks that do not answer; under change_lock */
    uint64_t marked_lsn;             /* of pool_change_mark; under change_lock */
    struct pool_place *place;
    /* Back again, but with too few others to be taken back; counted; under change_lock. */
    struct pool_disk *waiting[POOL_DISKS_MAX];
    /* Dropped for their writes, kept open to be read; counted; under change_lock. */
    struct pool_disk *former[POOL_DISKS_MAX];
    uint64_t version_used;    /* the highest number a version was tried with; under change_lock */
    bool is_minority;         /* opened without a quorum: no version is ever written */
    atomic_ulong lsn_trimmed; /* edits up to it are not needed any more */
    atomic_bool is_log_held;  /* a mirror's database is not kept up to date, though the map calls it
                                 in sync: it will need the edits that it lacks */
    struct pool_reconcile *_Atomic reconcile; /* set once, freed with the pool */
    struct pool_scrub *scrub;
    struct pool_suspects *suspects;
    struct pool_tombs *tombs;
    struct pool_meta_hooks hooks;
    atomic_uint bulk_count;
    atomic_ulong bulk_row_bytes; /* that rows of large chunks being written may take */
    pthread_mutex_t bulk_lock;
    struct pool_bulk *bulks; /* guarded by bulk_lock; those pool_bulk_tick looks at */
    uint64_t lsn_floor;
};

/* ---- pool_view.c ---- */
/* A disk with one reference. store NULL = away; else it is the disk's from now on, and its readers
 * run. */
struct pool_disk *pool_disk_new(struct pool *pool, uint16_t number, const uint8_t id[16],
                                const char *path, struct chunk_store *store);
/* A view with one reference. Takes the map over; refers to the disks (by number, NULL allowed) of
 * its own. It counts as held from here on. */
struct pool_view *pool_view_new(struct pool *pool, struct pool_map *map,
                                struct pool_disk *const disks[POOL_DISKS_MAX]);
/* Puts the view in force and takes it over; the one before lives until its last user. NULL = none,
 * at the close. */
void pool_view_set(struct pool *pool, struct pool_view *view);
struct pool_view *pool_view_get(struct pool *pool); /* counted: give it back */
void pool_view_put(struct pool_view *view);
/* Holds and releases the view for reading: as a reference, but one that is no work by it, and may
 * take long. Who pins holds the view otherwise. */
void pool_view_pin(struct pool_view *view);
void pool_view_unpin(struct pool_view *view);
/* The caller's hold becomes a mark: work by the map is under way still, which pool_view_oldest
 * tells, but it refers to the disks that it needs by itself, so that the view keeps none of them
 * open. Of this view's disks nothing is touched any more. Given back with pool_view_unmark. */
void pool_view_mark(struct pool_view *view);
void pool_view_unmark(struct pool_view *view);
/* The view in force, only pinned: for calls that may hang or take long, and are no work by its
 * map. */
struct pool_view *pool_view_get_pinned(struct pool *pool);
/* Whether the view uses or reads the disk. */
bool pool_view_has_disk(const struct pool_view *view, const struct pool_disk *disk);
/* The disks that are open, but neither used nor read by the view in force, and that somebody still
 * refers to; counted; how many. */
unsigned pool_view_left_disks(struct pool *pool, struct pool_disk *ret[POOL_DISKS_MAX]);
/* After pool_view_set(NULL): waits until nobody holds a view, a pin or a bulk any more, as reads
 * that were given up and writers whose last callback is about to return do for a moment. false:
 * after wait_ms somebody still does (a disk hangs), and the pool's memory must stay. */
bool pool_view_await_none(struct pool *pool, uint32_t wait_ms);
/* The version of the oldest view that anybody works by, pins left aside. While it is older than a
 * pass's own, somebody may still write or delete where an older map said. */
uint64_t pool_view_oldest(struct pool *pool);
struct pool_disk *pool_disk_ref(struct pool_disk *disk);
/* Unless nobody refers to it any more: then it is not counted, and answers false. With view_lock,
 * of a disk that is in open_disks. */
bool pool_disk_ref_if_used(struct pool_disk *disk);
/* The last one leaves the disk to pool_disk_reap: it may come on one of the disk's own threads. Any
 * thread. */
void pool_disk_unref(struct pool_disk *disk);
/* Closes the stores of the disks that nobody uses any more, by errands if the pool has any: those
 * that do not hang are closed at return. By the patrol, every second, and at the end of pool_close,
 * when no view is left. Never on a disk's thread. */
void pool_disk_reap(struct pool *pool);
/* Whether the store in this directory is still open, if only until its last user is gone. */
bool pool_disk_is_open(struct pool *pool, const char *path);
/* It is open, but only because somebody still refers to it who may take long (a read, an upload):
 * no call into it hangs. false as well: it is being closed. */
bool pool_disk_is_held(struct pool *pool, const char *path);
/* The disk is there, opened and not dropped. */
static inline bool pool_disk_is_usable(const struct pool_disk *disk)
{
    return disk != NULL && disk->store != NULL && !atomic_load(&disk->is_dropped);
}
/* What it has is what it was: it can be read, if only when the usable ones do not suffice. */
static inline bool pool_disk_is_readable(const struct pool_disk *disk)
{
    return disk != NULL && disk->store != NULL && !atomic_load(&disk->is_distrusted);
}
/* Some disk is read as a last resort: what usable disks lack is not lost yet. */
static inline bool pool_view_has_fallback(const struct pool_view *view)
{
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        if (pool_disk_is_readable(view->fallbacks[i])) {
            return true;
        }
    }
    return false;
}
/* The group of a chunk, NULL = no such. */
const struct pool_group *pool_view_group(const struct pool_view *view, struct chunk_id id);
/* The id under which a disk keeps slot `slot` of a chunk. */
struct chunk_id pool_fragment_id(const struct pool_group *group, struct chunk_id id, uint32_t slot);
/* The coder of a profile; made at first use, kept for good. Any thread. */
const struct ec *pool_coder(struct pool *pool, struct pool_profile profile);

/* ---- pool_watch.c ---- */
/* A disk misbehaves (err: GFS_IO, GFS_TIMEOUT...): it is dropped at once, the watch makes the map
 * that says so. Never blocks. Any thread. what: for the log and the operator, "write", "identity".
 */
void pool_disk_drop(struct pool *pool, struct pool_disk *disk, enum gfs_err err, const char *what);
/* As well: its reads fail, or it is not the disk it was. It is not read any more. */
void pool_disk_distrust(struct pool *pool, struct pool_disk *disk, enum gfs_err err,
                        const char *what);
/* Makes `change` to a copy of the map in force and puts the result in force: durable on every
 * active disk, those that fail meanwhile being called failed. UNREACHABLE: the disks left are no
 * quorum (the pool is read-only then). Blocking; not on a disk's thread. */
typedef enum gfs_err (*pool_change_fn)(void *arg, struct pool_map *map, struct gfs_error *error);
enum gfs_err pool_change_map(struct pool *pool, pool_change_fn change, void *arg,
                             struct gfs_error *error) GFS_MUST_CHECK;
/* Plain data. */
struct pool_opened {
    struct chunk_store *store;
    uint8_t id[16];
    struct pool_root root; /* that it is in */
};
/* A driver's open; is_new: the directory is marked first as one that becomes a disk. Errors as
 * either; BUSY: another directory came in its place meanwhile. May hang in the disk. */
enum gfs_err pool_store_open(const struct pool_driver *driver, const char *path,
                             const char *cluster, bool is_new, struct pool_opened *ret,
                             struct gfs_error *error) GFS_MUST_CHECK;
/* Opens the store in dir (made when the directory is empty) for a disk that is not in the map yet,
 * or comes back. INVALID and CONFLICT as pool_open. Blocking. */
enum gfs_err pool_disk_open(struct pool *pool, const char *path, struct pool_disk **ret,
                            struct gfs_error *error) GFS_MUST_CHECK;
/* What a map says of a disk that is opened: id, path, capacity, ACTIVE. */
void pool_disk_describe(const struct pool_disk *disk, struct pool_map_disk *ret);
/* As pool_change_map; the disk, which stays the caller's as well, is used from the new version on
 * if that names its id. */
enum gfs_err pool_change_map_with(struct pool *pool, struct pool_disk *disk, pool_change_fn change,
                                  void *arg, struct gfs_error *error) GFS_MUST_CHECK;
/* The disk lacks something that is about to be acknowledged: asks the watch for a map that says so.
 * `then` is called on the watch thread when it is in force (GFS_OK) or cannot be; at once, when the
 * watch was stopped. Never blocks. */
void pool_note_behind(struct pool *pool, struct pool_disk *disk,
                      void (*then)(void *arg, enum gfs_err err), void *arg);

/* ---- pool_submit.c: chunk_store.submit, done, LSN order, mirrors ---- */
/* After the first view is in force. EDIT records go to the log disks of the view in force when
 * their phase 2 begins that are in sync or whose takes_edits is set, and are waited for on all of
 * these. */
struct pool_submit *pool_submit_new(struct pool *pool);
/* What an edit that is submitted now is answered because of the mirrors: OK, AGAIN (one of them is
 * being dropped), NO_SPACE, UNREACHABLE, IO. */
enum gfs_err pool_submit_check(struct pool_submit *submit, const struct pool_view *view);
/* Waits until everything is answered, which needs the watch: it drops who does not answer; and, for
 * wait_ms at the most, until no disk owes an answer any more. false: one still does, and may come
 * back with it. Nothing is submitted any more. */
bool pool_submit_drain(struct pool_submit *submit, uint32_t wait_ms);
/* It is drained, or is to be waited for. NULL allowed. */
void pool_submit_free(struct pool_submit *submit);
/* No phase 2 begins any more until resumed. At return those that had begun are decided on every
 * disk they went to: the logs stand still, and one can be copied to a disk that is to be a mirror.
 * For milliseconds, by the watch. UNREACHABLE: a disk owes its answer for too long; resume all the
 * same. */
enum gfs_err pool_submit_pause(struct pool *pool) GFS_MUST_CHECK;
void pool_submit_resume(struct pool *pool);
/* Edits were sent to the disk whose answers have not come yet. */
bool pool_submit_owes_edits(struct pool *pool, const struct pool_disk *disk);
void pool_submit(struct chunk_store *chunks, struct chunk_group *group);
/* A new view is in force: what waits for a mirror or disk that is no longer needed goes on. */
void pool_submit_view_changed(struct pool *pool);
/* Called by the watch every 100 ms: drops disks that have owed an answer for longer than slow_ms.
 */
void pool_submit_tick(struct pool *pool, int64_t now_ns);

/* ---- pool_bulk.c ---- */
enum gfs_err pool_bulk_begin(struct chunk_store *chunks, const struct chunk_bulk_options *options,
                             struct chunk_bulk **ret);
size_t pool_bulk_append(struct chunk_bulk *bulk, const void *ptr, size_t len);
void pool_bulk_owner(struct chunk_bulk *bulk, struct gfs_slice owner);
/* finished may be called before return, when it is clear that the chunk has failed. */
void pool_bulk_finish(struct chunk_bulk *bulk, chunk_finished_fn finished);
void pool_bulk_free(struct chunk_bulk *bulk);
void pool_bulk_tick(struct pool *pool, int64_t now_ns); /* as pool_submit_tick */
/* Lets go of a disk that was dropped and is only kept open by what no chunk will come of. May hang
 * in it. */
void pool_bulk_leave_disk(struct pool *pool, const struct pool_disk *disk);
/* What pool_submit needs for a PLACE record: the finished fragments. child NULL = that slot has
 * none (its disk is behind). Answers the width. The bulk is held until pool_bulk_release: a disk
 * that hangs may still have the record when the user was answered and freed the bulk. Any thread.
 */
struct pool_bulk_part {
    uint16_t number;        /* of the disk that the slot named when the chunk was begun */
    struct pool_disk *disk; /* NULL: it was not there, or was let go of */
    struct chunk_bulk *child;
};
unsigned pool_bulk_parts(struct chunk_bulk *bulk, struct chunk_id *ret_id,
                         struct pool_bulk_part ret[POOL_WIDTH_MAX]);
void pool_bulk_release(struct chunk_bulk *bulk);

/* ---- pool_small.c ---- */
/* What pool_submit needs for a DATA record of an ec group: the fragment of a slot, encoded from the
 * payload. ret: width buffers of pool_fragment_len bytes, back to back, caller frees. */
char *pool_encode_small(struct pool *pool, struct pool_profile profile, struct gfs_slice payload);

/* ---- pool_read.c ---- */
enum gfs_err pool_pin(struct chunk_store *chunks, struct chunk_id id, struct chunk_pin *ret);
void pool_unpin(struct chunk_store *chunks, struct chunk_pin *pin);
enum gfs_err pool_read(struct chunk_store *chunks, struct chunk_pin *pin, uint32_t offset,
                       uint32_t len, void *ret_bytes, unsigned flags);
enum gfs_err pool_owner(struct chunk_store *chunks, struct chunk_pin *pin, void *ret_bytes,
                        size_t *ret_len);
void pool_prefetch(struct chunk_store *chunks, struct chunk_pin *pin, uint32_t offset,
                   uint32_t len);

/* ---- pool_fragment.c: for repair. A fragment's bytes, from wherever they can be had. ---- */
struct pool_fragment;
/* Finds what is needed to give fragment `slot` of the chunk: a whole copy of it on another disk
 * than `avoid` (POOL_NO_DISK = none is avoided), else k others; what is whole of the one that is
 * avoided only where these do not suffice. NOT_FOUND: no disk lists the chunk
 * any more; CORRUPT: too few fragments (or none whole) are left; UNREACHABLE: too few, and disks
 * are away. owner: as it must be written with that slot. Blocking. */
enum gfs_err pool_fragment_open(struct pool *pool, struct pool_view *view, struct chunk_id id,
                                uint32_t slot, uint16_t avoid, struct pool_fragment **ret);
uint32_t pool_fragment_bytes(const struct pool_fragment *fragment);
struct gfs_slice pool_fragment_owner(const struct pool_fragment *fragment);
/* The next bytes in order, at most `size` (>= POOL_CELL); 0 at the end. Verified. Blocking. */
enum gfs_err pool_fragment_read(struct pool_fragment *fragment, void *ret_bytes, size_t size,
                                size_t *ret_len);
void pool_fragment_close(struct pool_fragment *fragment); /* NULL allowed */

/* ---- pool_reader.c ---- */
/* A read on a disk's own threads. The job owns what it reads into until it is done: who waits may
 * give up waiting, and the job's memory is freed when it ends. */
struct pool_read_job;
struct pool_reader *pool_reader_new(struct pool_disk *disk);
void pool_reader_free(struct pool_reader *reader); /* waits for its jobs */
/* A read on one of its threads has taken so long that it hangs: 5 times slow_ms. Any thread. */
bool pool_reader_is_stuck(struct pool_reader *reader);

/* ---- pool_suspects.c: what reads and scrubs found, for the reconcile thread ---- */
struct pool_suspects *pool_suspects_new(void);
void pool_suspects_free(struct pool_suspects *suspects);                      /* NULL allowed */
void pool_suspect_add(struct pool *pool, const struct pool_suspect *suspect); /* never blocks */
/* The first one queued. Until it is done or parked, reports of it are ignored. */
bool pool_suspect_take(struct pool *pool, struct pool_suspect *ret);
void pool_suspect_done(struct pool *pool, const struct pool_suspect *suspect);
/* It could not be repaired: until then (monotonic) reports of it are ignored, and then it is queued
 * again. Times must not descend. */
void pool_suspect_park(struct pool *pool, const struct pool_suspect *suspect, int64_t until_ns);
void pool_suspects_unpark(struct pool *pool, int64_t now_ns);
size_t pool_suspect_count(struct pool *pool); /* queued */
/* Reported as bad: all, and those parked. Missing ones do not count: they may be of a write that
 * was cut off, and what else misses them the next pass finds. */
size_t pool_suspect_bad(struct pool *pool);
size_t pool_suspect_unrepaired(struct pool *pool);
/* Of id, disk and slot: reported as bad, and not repaired yet. */
bool pool_suspect_is_bad(struct pool *pool, const struct pool_suspect *suspect);

/* ---- pool_tombs.c: deletions against copies under way ----
 * While a pass runs, every id that pool_submit deletes is noted before its DELETE records go to the
 * disks. A copy of a chunk becomes live by pool_tombs_submit only, which refuses when the chunk was
 * noted: so on the target's log the copy is either before the DELETE or not there at all. */
struct pool_tombs *pool_tombs_new(void);
void pool_tombs_free(struct pool_tombs *tombs); /* NULL allowed */
void pool_tombs_begin(struct pool *pool);       /* of a pass; forgets what was noted */
void pool_tombs_end(struct pool *pool);
/* Notes ids (if a pass runs) and calls `send` under the lock, which submits the DELETE records. Who
 * deletes holds the view by which it chose the disks until the records are durable. false: too many
 * deletions in one pass, nothing was sent. */
bool pool_tombs_delete(struct pool *pool, const struct chunk_id *ids, size_t count,
                       void (*send)(void *arg), void *arg);
/* Submits the group that makes a copy of `id` live on the disk; false: deleted meanwhile, nothing
 * was submitted. */
bool pool_tombs_submit(struct pool *pool, struct chunk_id id, struct pool_disk *disk,
                       struct chunk_group *group);

/* ---- pool_reconcile.c, pool_scrub.c ---- */
struct pool_reconcile *pool_reconcile_start(struct pool *pool);
/* Ends the thread; what others ask or tell it later comes to nothing. NULL allowed, and
 * twice. */
void pool_reconcile_stop(struct pool_reconcile *reconcile);
void pool_reconcile_free(struct pool_reconcile *reconcile); /* stopped before; NULL allowed */
void pool_reconcile_wake(
    struct pool *pool); /* the map changed, or there are suspects. Never blocks */
/* Plain data. What repair knows, for health and metrics (pool_repair.c). All zero when it does not
 * run. */
struct pool_repair_summary {
    bool is_running;           /* a pass is under way */
    bool is_surveyed;          /* all chunks were compared since the start */
    uint64_t left, left_bytes; /* fragments still to be made */
    uint64_t unplaced;         /* fragments whose disk is lost, away or read-only */
    uint64_t lost;             /* chunks of which too few fragments are left */
    uint64_t failures;         /* of the last pass */
    uint64_t healed;           /* bad fragments written anew since the start */
};
void pool_reconcile_summary(struct pool *pool, struct pool_repair_summary *ret);
struct pool_scrub *pool_scrub_start_thread(struct pool *pool);
void pool_scrub_stop(struct pool_scrub *scrub); /* NULL allowed */
