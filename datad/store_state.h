/* The state of an open store, shared by the store_*.c files and nobody else.
 *
 * Threads: the store's thread owns the log head, batches and all submitted I/O (store_log.c,
 * store_bulk.c); the background thread prepares, recycles, compacts, punches and checkpoints
 * (store_background.c); the placing thread finds places for large chunks (store_bulk_begin.c); any
 * thread pins, reads, appends and submits, and waits for the disk in read and owner only. In manual
 * mode one thread is all of them. Lock order: bulk->lock, store->lock, the bulk pool's lock; none
 * of them is held while the disk is waited for. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "datad/chunk_index.h"
#include "datad/segment.h"
#include "datad/store.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/identity.h"
#include "libgoodfs/io.h"
#include "libgoodfs/mem.h"

#define STORE_UNCLAIMED_MAX                                                                        \
    (8ULL << 30) /* bytes of unfinished large chunks that a crash leaves                           \
                  */

enum {
    STORE_SEGMENT_SIZE = 64 << 20,
    STORE_SEGMENT_SIZE_MIN = 64 << 10, /* for tests */
    STORE_BATCH_LEN_TARGET = 4 << 20,  /* a batch takes no more groups past this */
    STORE_BATCH_LEN_MAX = 12 << 20,    /* one group alone: an edit of 4 MiB, a DELETE of 4 MiB */
    STORE_JOB_LEN_MAX = 1 << 20,       /* copies of one compaction step */
    STORE_BULK_BUFFER_SIZE = 512 << 10,
    STORE_BULK_BUFFERS_MAX = 512, /* 256 MiB, when as many slow writers fill one each */
    STORE_BULK_SHARED_PART = 8,   /* an eighth of them, 32 MiB: over it only a writer's first */
    STORE_BULK_BUFFERS_IDLE = 2,  /* kept when no bulk is open */
    STORE_BULK_BUFFERS_EACH = 8,  /* of one writer */
    STORE_BULK_WRITERS_MAX = 4096,
    STORE_SPARES = 2,
    STORE_THREADS = 3,
    STORE_PATH_MAX = 40,
    STORE_EXTENT_BUCKETS = 1024,
    STORE_SPACE_CACHE_NS = 100 * 1000 * 1000,
};

/* How many bytes of tombstones in a segment belong to records of another one. */
struct tombstone_target {
    uint32_t seq;
    uint32_t bytes;
};

/* A log segment. Guarded by store->lock, except what never changes and `end` (store's thread). */
struct log_segment {
    struct segment_header header;
    struct gfs_file *file;
    uint32_t seq;
    uint32_t end;              /* offset behind the last durable batch */
    uint64_t first_batch;      /* sequence number of its first batch */
    uint64_t live;             /* bytes of live DATA and PLACE records and needed tombstones */
    uint64_t lsn_min, lsn_max; /* of its EDIT records, 0 = none */
    uint64_t lsn_hold;         /* edits up to it must be trimmed too before it is compacted */
    uint32_t pins;             /* of chunks, and of who reads its batches */
    bool is_sealed;
    bool has_stale;   /* may hold records that were superseded by later segments' */
    bool is_drained;  /* everything needed was copied; waits to be recycled */
    bool is_leaving;  /* is being recycled: nobody may pin it any more */
    bool is_damaged;  /* kept for repair, not compacted */
    bool is_given_up; /* damaged, and repaired elsewhere: what cannot be read is not wanted */
    bool is_cut;      /* its file is shorter than it was made: what it held last may be missing */
    struct tombstone_target *targets;
    uint32_t target_count, target_size;
};

/* Guarded by store->lock; flush_* are the store's thread's. */
struct bulk_file {
    struct bulk_file *next;
    struct gfs_file *file;
    uint32_t number;
    uint32_t end_page;   /* where the next extent goes */
    uint32_t extents;    /* live, pinned or being written, or waiting to be punched */
    uint64_t live_bytes; /* pages of live chunks, in bytes */
    bool is_closed;      /* no more extents */
    struct gfs_io_op flush_op;
    bool is_flushing;
    uint64_t flush_turn;
    struct chunk_bulk *flush_waiting, *flush_running;
};

/* Pages to give back. Owned by the queue in store->punches. */
struct punch_item {
    struct punch_item *next;
    struct bulk_file *file;
    uint32_t page, page_count;
    bool is_extent; /* ends an extent: counts down file->extents */
};

/* A bulk chunk that pins hold. Guarded by store->lock; table is set once. */
struct bulk_extent {
    struct bulk_extent *next;
    struct bulk_file *file;
    uint32_t page, page_count;
    uint32_t pins;
    bool is_dead; /* punched when the last pin goes */
    _Atomic(char *) table;
};

/* A damaged part of the log, found at open. */
struct log_damage {
    uint32_t seq;
    uint32_t offset;
    bool is_lost;      /* not even the segment's header can be read: it is not in the table */
    bool is_over;      /* lost, given up, about to leave: checkpoints need not name it */
    bool is_given_up;  /* lost, and repaired elsewhere */
    uint64_t lsn_hold; /* as of a segment */
};

/* Records to copy to the log's head, made by the background, written by the store's thread. */
struct compact_job {
    bool is_started; /* in a batch */
    struct log_segment *from;
    char *bytes; /* whole records, back to back */
    size_t len;
    uint32_t *places; /* of each record in `from`, 0 = tombstones */
    size_t count;
    uint64_t lsn_gone; /* the batch says so; 0 = as it is */
    bool is_done;
};

struct store_bulk_pool;

struct store {
    struct chunk_store base;
    struct store_options options; /* strings are not kept */
    struct gfs_io *io;
    struct gfs_identity identity;

    pthread_mutex_t lock;
    /* Guarded by lock. */
    struct chunk_index *index;
    struct log_segment **segments; /* by rising seq, spares not included */
    size_t segment_count, segment_size;
    struct log_segment *spares[STORE_SPARES + 1]; /* oldest first */
    size_t spare_count;
    uint32_t seq_last;            /* highest ever given out */
    bool is_out_of_spares;        /* preparing one failed for want of space */
    struct bulk_file *bulk_files; /* newest first */
    uint32_t bulk_number_last;
    struct bulk_extent *extents[STORE_EXTENT_BUCKETS];
    struct punch_item *punches;
    struct compact_job *job; /* waits for or is in a batch */
    uint64_t lsn_trimmed;
    uint64_t lsn_last;       /* of durable EDIT records */
    uint64_t lsn_floor;      /* what damage may have held had lower ones */
    uint64_t lsn_gone;       /* the newest durable batch says so: store_compact.c */
    uint32_t checkpoint_seq; /* segments before it are covered by index.ckpt on disk */
    uint64_t bytes_since_checkpoint;
    uint64_t batch_seq_durable;
    struct store_stats stats;
    struct gfs_io_space space;
    atomic_llong space_read_ns; /* 0 = it has changed */
    bool is_stopping;
    struct log_damage *damage; /* found at open */
    size_t damage_count;
    bool has_new_damage; /* the checkpoint on disk does not know of it */

    atomic_bool has_failed;
    atomic_uint_fast64_t read_errors;

    /* Submitted groups, newest first: any thread pushes, the store's thread takes all. */
    _Atomic(struct chunk_group *) incoming;
    atomic_bool is_sleeping; /* the store's thread waits with nothing in flight */

    /* Store's thread. */
    struct chunk_group *pending, **pending_tail;
    struct chunk_group *batch_groups; /* of the batch in flight */
    struct log_segment *head;
    char *arena;
    size_t arena_size;
    struct batch_header batch;
    uint64_t batch_group_count, batch_record_count;
    bool batch_is_mark; /* written for its lsn_gone, though there may be nothing in it */
    struct compact_job *batch_job;
    struct gfs_io_op log_op;
    bool is_writing;
    uint64_t batch_seq; /* of the next batch */
    uint64_t
        refused_lsn; /* the first edit refused for want of space since one was taken; 0 = none */

    /* Large chunks (store_bulk.c). */
    struct store_bulk_pool *bulk_pool;

    pthread_t threads[STORE_THREADS];
    unsigned thread_count;
    bool has_threads;
    struct gfs_cond background_cond; /* with lock: something to do, or stopping */
    struct gfs_cond job_cond;        /* with lock: the compaction job is done */
    bool has_background_work;        /* guarded by lock */
};

/* store_segments.c: files of the log. */
void segment_path(char path[STORE_PATH_MAX], const char *dir, uint32_t number, const char *suffix);
bool segment_name_parse(const char *name, uint32_t *ret);
struct log_segment *log_segment_find_locked(struct store *store, uint32_t seq);
void log_segment_append_locked(struct store *store, struct log_segment *segment);
void log_segment_remove_locked(struct store *store, struct log_segment *segment);
void log_segment_free(struct log_segment *segment);
/* Opens every segment file: those with batches and spares alike land in store->segments. */
enum gfs_err log_segments_open(struct store *store, struct gfs_error *error) GFS_MUST_CHECK;
/* A fresh zero-written segment at the end of store->spares. GFS_NO_SPACE leaves nothing behind. */
enum gfs_err log_segment_prepare(struct store *store) GFS_MUST_CHECK;
/* Gives a drained segment, already removed from the table, a new life as spare or deletes it. */
enum gfs_err log_segment_recycle(struct store *store, struct log_segment *segment) GFS_MUST_CHECK;
/* The file of a segment that is in no table, if there is one. */
enum gfs_err log_segment_remove_lost(struct store *store, uint32_t seq) GFS_MUST_CHECK;

/* Keeps a segment from being recycled while its batches are read. NULL: none at or behind seq. */
struct log_segment *log_segment_hold(struct store *store, uint32_t seq);
void log_segment_release(struct store *store, struct log_segment *segment);
void log_segment_release_locked(struct store *store, struct log_segment *segment);
/* Damage found while running: counted once a segment, kept for repair. */
void log_segment_damaged_locked(struct store *store, struct log_segment *segment);

/* store_apply.c: what a durable record changes. Same code at replay and at run time. */
void apply_batch_locked(struct store *store, struct log_segment *segment, uint32_t offset,
                        const char *bytes, const struct batch_header *header, bool *ret_is_damaged);
void log_segment_forget_locked(struct store *store, uint32_t seq);
/* The segment that keeps a tombstone in `in` needed elsewhere than there, 0 = none: the one it
 * names, or, when that is gone or `in` itself, the last older damaged one, which may hold a record
 * of the id and was passed over when newer ones were recycled. in: NULL = anywhere. */
uint32_t log_tombstone_keeper_locked(struct store *store, uint32_t seq,
                                     const struct log_segment *in);
uint32_t bulk_page_count(const struct chunk_entry *entry);

/* store_log.c */
void store_submit(struct chunk_store *chunks, struct chunk_group *group);
bool store_log_step(struct store *store); /* store's thread: one turn; true = did something */
/* A job without records, a mark, finds room for it in the head, spares or not. */
bool log_mark_fits_locked(const struct store *store, const struct compact_job *job);
void store_log_trim(struct store *store); /* nothing in flight; gives idle memory back */
void store_log_stop(struct store *store); /* answers everything waiting GFS_STOPPED */
void store_fail(struct store *store);     /* the disk is gone for writing */
void store_wake_background_locked(struct store *store);

/* store_scan.c: the batches of a segment, as they are on disk. */
/* bytes, header: a batch (is_damaged: its body does not verify, its header does); or NULL for a
 * place where not even a header is. Torn tails are not visited. */
typedef enum gfs_err (*batch_visit_fn)(void *arg, struct log_segment *segment, uint32_t offset,
                                       const char *bytes, const struct batch_header *header,
                                       bool is_damaged);
/* Plain data. */
struct segment_scan {
    struct log_segment *segment;
    uint32_t offset;      /* in: where to begin; out: behind the last batch */
    uint64_t next_seq;    /* in and out: of the next batch */
    uint64_t durable_seq; /* batches up to it were durable: a hole below it is damage, not a tear */
    uint32_t limit;       /* in: known to end here; 0 = not known */
    bool is_medium;       /* in: memory is not believed */
    bool is_sealed;       /* out */
    bool is_tail_damaged; /* out: nothing may be appended behind the end */
    bool has_unreadable;  /* out: damage that was visited is where the disk refuses to read */
    bool is_numbered;     /* next_seq is exact */
    uint64_t seq_min;     /* else the least that the next batch can have */
};
/* GFS_IO: what may be the last batch cannot be read, so it is neither torn nor damaged. */
enum gfs_err log_segment_scan(struct segment_scan *scan, batch_visit_fn visit,
                              void *arg) GFS_MUST_CHECK;
/* The number of a segment's first batch, 0 = cannot be told. */
uint64_t log_segment_first_seq(const struct log_segment *segment);
/* Whether a segment holds any batch of its own. GFS_IO: that cannot be read. */
enum gfs_err log_segment_is_used(struct log_segment *segment, bool *ret) GFS_MUST_CHECK;

/* store_recover.c */
void log_damage_add(struct store *store, uint32_t seq, uint32_t offset, bool is_lost);
/* A segment that is gone, unless it is there or known to be lost. */
void log_damage_add_lost(struct store *store, uint32_t seq);
enum gfs_err store_recover(struct store *store, struct gfs_error *error) GFS_MUST_CHECK;
enum gfs_err store_replay_edits(struct chunk_store *chunks, uint64_t after,
                                enum gfs_err (*visit)(void *arg, uint64_t lsn,
                                                      struct gfs_slice edit),
                                void *arg, struct gfs_error *error);
void store_trim_edits(struct chunk_store *chunks, uint64_t lsn);

/* store_verify.c */
enum gfs_err store_verify_log(struct chunk_store *chunks, uint64_t *cursor, uint64_t bytes);
void store_repaired(struct chunk_store *chunks);

/* store_read.c */
enum gfs_err store_pin(struct chunk_store *chunks, struct chunk_id id, struct chunk_pin *ret);
void store_unpin(struct chunk_store *chunks, struct chunk_pin *pin);
enum gfs_err store_read(struct chunk_store *chunks, struct chunk_pin *pin, uint32_t offset,
                        uint32_t len, void *ret_bytes, unsigned flags);
enum gfs_err store_owner(struct chunk_store *chunks, struct chunk_pin *pin, void *ret_bytes,
                         size_t *ret_len);
void store_prefetch(struct chunk_store *chunks, struct chunk_pin *pin, uint32_t offset,
                    uint32_t len);
void bulk_extent_release_locked(struct store *store, const struct chunk_entry *entry);

/* store_status.c */
void store_status(struct chunk_store *chunks, struct chunk_store_status *ret);
void store_list(struct chunk_store *chunks, uint32_t part, struct chunk_listed **ret,
                size_t *ret_count);

/* store_bulk_files.c */
enum gfs_err bulk_files_open(struct store *store, struct gfs_error *error) GFS_MUST_CHECK;
void bulk_files_close(struct store *store);
struct bulk_file *bulk_file_find_locked(struct store *store, uint32_t number);
enum gfs_err bulk_extent_allocate(struct store *store, uint32_t page_count,
                                  struct bulk_file **ret_file, uint32_t *ret_page) GFS_MUST_CHECK;
void bulk_punch_locked(struct store *store, struct bulk_file *file, uint32_t page,
                       uint32_t page_count, bool is_extent);
bool bulk_punch_step(struct store *store); /* background */

/* store_bulk.c */
struct store_bulk_pool *bulk_pool_new(size_t buffers_max);
void bulk_pool_free(struct store_bulk_pool *pool);
bool bulk_step(struct store *store); /* store's thread */
bool bulk_is_idle(struct store *store);
size_t bulk_writer_count(struct store *store);
void bulk_made_live(struct chunk_bulk *bulk); /* its PLACE record is durable */
/* What the PLACE record of a finished bulk says. */
void bulk_place(const struct chunk_bulk *bulk, struct chunk_id *ret_id, struct place_entry *ret);
enum gfs_err store_bulk_begin(struct chunk_store *chunks, const struct chunk_bulk_options *options,
                              struct chunk_bulk **ret);
size_t store_bulk_append(struct chunk_bulk *bulk, const void *ptr, size_t len);
void *store_bulk_room(struct chunk_bulk *bulk);
void store_bulk_owner(struct chunk_bulk *bulk, struct gfs_slice owner);
void store_bulk_finish(struct chunk_bulk *bulk, chunk_finished_fn finished);
void store_bulk_free(struct chunk_bulk *bulk);

/* store_bulk_begin.c */
void *bulk_placer_main(void *arg);
void bulk_placer_want_space(struct store *store); /* asks it for store_space_look */
void bulk_placer_stop(struct store *store);       /* it ends when it has nothing to do */

/* store_space.c */
/* By what was read last; who may wait for the disk looks first. */
bool store_is_low_locked(struct store *store, uint64_t wanted);
bool store_is_surely_low(struct store *store, uint64_t wanted); /* by what was read just now */
/* Reads it if it was not just now. The store's own threads only: it may wait for the disk. */
void store_space_look(struct store *store);
void store_space_changed_locked(struct store *store); /* read it again at the next question */

/* store_checkpoint.c */
/* Plain data. */
struct checkpoint_position {
    uint32_t seq;         /* the log is replayed from this segment's start */
    uint64_t first_batch; /* its first batch */
    uint64_t durable_seq; /* batches up to this one were durable */
};
/* Plain data. The head of the log as it was when the checkpoint was taken. */
struct checkpoint_head {
    uint32_t seq;     /* 0 = not known */
    bool has_batches; /* durable ones: it is no spare, and cannot have left */
};
/* What even a checkpoint says that is not usable. GFS_NOT_FOUND: nothing. */
enum gfs_err checkpoint_head(struct store *store, struct checkpoint_head *ret) GFS_MUST_CHECK;
/* Fills index and segment table. GFS_NOT_FOUND: nothing usable; both are untouched, and what is
 * known of ret->durable_seq is still set. */
enum gfs_err checkpoint_load(struct store *store, struct checkpoint_position *ret) GFS_MUST_CHECK;
enum gfs_err checkpoint_write(struct store *store) GFS_MUST_CHECK;
bool checkpoint_is_due_locked(struct store *store);

/* store_compact.c */
bool compact_step(struct store *store); /* background; true = did something */
bool recycle_step(struct store *store); /* background */
bool lost_step(struct store *store);    /* background: files given up leave */
/* Whether a DATA or PLACE record at that place of a segment is what the index points to. */
bool log_record_is_live_locked(struct store *store, uint32_t seq, uint32_t place,
                               const struct segment_record *record);

/* store_background.c */
bool store_background_step(struct store *store);
bool store_background_urgent(struct store *store); /* what compaction itself may wait for */
void *store_background_main(void *arg);
/* Waits at most ns for a change of the background's state; false = stopping. */
bool store_background_pause(struct store *store, int64_t ns);
bool store_turn(struct store *store, bool block); /* store's thread: one turn */
void *store_log_main(void *arg);

/* identity.c */
enum gfs_err identity_open(struct store *store, struct gfs_error *error) GFS_MUST_CHECK;
/* The directory is still this disk's. NOT_FOUND: it was emptied; CONFLICT: it is another's; IO. */
enum gfs_err identity_verify(struct store *store) GFS_MUST_CHECK;
