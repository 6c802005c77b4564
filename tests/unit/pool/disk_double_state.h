/* The inside of a double: disk_double.c (decisions), disk_double_chunks.c (what is on it). */
#pragma once

#include <pthread.h>

#include "libgoodfs/cond.h"
#include "libgoodfs/mem.h"
#include "tests/unit/pool/disk_double.h"

/* Bytes of a live chunk. Counted by the double while live and by its pins. */
struct kept_chunk {
    struct kept_chunk *next; /* in its part */
    struct chunk_id id;
    unsigned references;
    char *bytes, *owner;
    uint32_t len, owner_len;
    uint32_t *sums; /* CRC32C of each block, as it was written */
    bool is_lost;
    uint64_t worn; /* mask of blocks that cannot be read */
};

struct kept_edit {
    uint64_t lsn;
    char *bytes;
    size_t len;
};

enum event_kind { EVENT_GROUP, EVENT_FINISH, EVENT_WRITABLE };

/* What waits to be decided. */
struct event {
    struct event *next;
    enum event_kind kind;
    struct chunk_group *group;
    struct chunk_bulk *bulk;
    int64_t arrived_ns;
};

/* Guarded by lock. */
struct disk_double {
    struct chunk_store base;
    pthread_mutex_t lock;
    struct gfs_cond changed;  /* anything at all */
    pthread_mutex_t deciding; /* decisions are made one at a time, in order */
    pthread_t thread;
    bool is_auto, is_stopping, is_closed;
    bool is_hanging, is_failing, is_unwritable, is_crashed, is_cold;
    unsigned fail_in;    /* decisions until it fails, 0 = never */
    unsigned generation; /* of bulks: those of before a crash cannot be placed */
    enum disk_double_room room;
    uint64_t space_total, space_free;
    size_t append_max, bulk_max;
    bool is_copying;
    int64_t delay_ns, owner_delay_ns;
    disk_double_judge_fn judge;
    void *judge_arg;
    struct event *first, **tail;
    size_t waiting;
    struct kept_chunk *parts[CHUNK_LIST_PARTS];
    size_t chunk_count;
    uint64_t live_bytes;
    struct kept_edit *edits; /* durable; trimmed ones are gone */
    size_t edit_count, edit_size;
    uint64_t lsn_submitted, lsn_refused, lsn_last, lsn_gone, trimmed;
    uint64_t damage_hidden, damage_known, read_errors;
    bool is_log_hanging;
    unsigned replays_blocked; /* since it was made */
    bool has_damaged_edits;   /* repairing fragments does not bring edits back */
    struct disk_double_counts counts;
};

/* ---- disk_double_chunks.c ---- */
struct kept_chunk **disk_double_find_locked(struct disk_double *disk, struct chunk_id id);
void disk_double_put_locked(struct disk_double *disk, struct chunk_id id, struct gfs_slice owner,
                            struct gfs_slice bytes);
bool disk_double_remove_locked(struct disk_double *disk, struct chunk_id id);
/* What comes behind a refused edit may have to be refused as well. */
void disk_double_note_refusal_locked(struct disk_double *disk, const struct chunk_group *group,
                                     enum gfs_err err);
void disk_double_keep_edit_locked(struct disk_double *disk, uint64_t lsn, struct gfs_slice bytes);
void disk_double_lose_edits_locked(struct disk_double *disk);
/* The parts of chunk_store_ops that look at what is there. */
enum gfs_err disk_double_op_pin(struct chunk_store *store, struct chunk_id id,
                                struct chunk_pin *ret);
void disk_double_op_unpin(struct chunk_store *store, struct chunk_pin *pin);
enum gfs_err disk_double_op_read(struct chunk_store *store, struct chunk_pin *pin, uint32_t offset,
                                 uint32_t len, void *ret_bytes, unsigned flags);
enum gfs_err disk_double_op_owner(struct chunk_store *store, struct chunk_pin *pin, void *ret_bytes,
                                  size_t *ret_len);
void disk_double_op_prefetch(struct chunk_store *store, struct chunk_pin *pin, uint32_t offset,
                             uint32_t len);
void disk_double_op_list(struct chunk_store *store, uint32_t part, struct chunk_listed **ret,
                         size_t *ret_count);
void disk_double_op_status(struct chunk_store *store, struct chunk_store_status *ret);
enum gfs_err disk_double_op_verify_log(struct chunk_store *store, uint64_t *cursor, uint64_t bytes);
void disk_double_op_repaired(struct chunk_store *store);
enum gfs_err disk_double_op_replay(struct chunk_store *store, uint64_t after,
                                   enum gfs_err (*visit)(void *arg, uint64_t lsn,
                                                         struct gfs_slice edit),
                                   void *arg, struct gfs_error *error);
void disk_double_op_trim(struct chunk_store *store, uint64_t lsn);
/* Waits as a read of the medium does: while it hangs, and for the delay. */
void disk_double_wait_locked(struct disk_double *disk);
/* By disk_double_fail; a crash is over with the next opening. */
bool disk_double_has_failed(struct disk_double *disk);
bool disk_double_is_unwritable(struct disk_double *disk);
/* Opened again by a driver, or closed. */
void disk_double_set_open(struct disk_double *disk, bool is_open);
