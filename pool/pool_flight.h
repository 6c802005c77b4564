/* Groups under way through a pool, from pool_submit to their answer. Shared by pool_submit.c
 * (order, answers, threads), pool_flight.c (what goes to which disk), pool_flight_data.c (phase 1)
 * and pool_flight_edits.c (phase 2).
 *
 *   WRITING --all disks answered or dropped--> NOTING --maps in force--> READY --turn--> SENT
 *   WRITING --nothing is missing--> READY       SENT --mirrors answered--> DECIDED --turn--> done
 *   any before SENT --refused, what was written is deleted--> DECIDED
 *
 * All fields are guarded by submit_lock (pool_submit.lock), except those set before the flight is
 * in the queue and never after. Nothing that may block or take a lock above it is called under it:
 * what is to be done outside waits in pool_submit.outside. */
#pragma once

#include "libgoodfs/cond.h"
#include "libgoodfs/mem.h"
#include "pool/pool_state.h"

struct flight;

/* What one disk gets in phase 1. disk NULL = a disk of the map that this run does not know. */
struct flight_leg {
    struct chunk_group group;
    struct flight *flight;
    struct pool_disk *disk; /* counted */
    uint16_t number;
    struct chunk_record **tail;
    struct chunk_record delete_record;
    uint32_t delete_count; /* ids in it */
    enum gfs_err err;      /* once answered, or UNREACHABLE when it was not sent */
    bool is_owed;          /* an answer */
    bool lacks;            /* a fragment that will be acknowledged: it must be called behind */
    int64_t sent_ns;
};

/* A chunk of the group: quorum counts by it. */
struct flight_item {
    struct chunk_id id;
    unsigned quorum;
    char *encoded;           /* fragments of an ec chunk, owned */
    struct chunk_bulk *bulk; /* held */
};

/* A fragment. record.kind 0: there is none to write. */
struct flight_part {
    struct chunk_record record;
    uint32_t item, leg;
};

struct flight_edit {
    uint64_t lsn;
    struct gfs_slice payload; /* in the flight's memory */
};

enum flight_state {
    FLIGHT_WRITING = 1,
    FLIGHT_NOTING,
    FLIGHT_READY,
    FLIGHT_SENT,
    FLIGHT_DECIDED,
};

/* One allocation with everything it sends but the fragments of ec chunks: disks that hang read it
 * after the submitter was answered. */
struct flight {
    struct flight *next;    /* in the queue, in order of submission */
    struct flight *outside; /* in a list of pool_submit.outside */
    struct pool *pool;
    struct chunk_group *group; /* the submitter's, until answered */
    struct pool_view *view;    /* until answered */
    enum flight_state state;
    enum gfs_err err;    /* once DECIDED */
    unsigned references; /* the queue, legs owed, notes owed and who asks for them, the batch */
    unsigned owed, notes_owed;
    enum gfs_err note_err;
    int64_t submitted_ns;
    struct flight_leg *legs;
    struct flight_item *items;
    struct flight_part *parts;
    struct flight_edit *edits;
    struct chunk_id *deletes; /* of chunks */
    uint32_t leg_count, item_count, part_count, edit_count, delete_count;
    size_t edit_bytes;
};

/* Phase 2 of flights that became ready together: they share their fate. */
struct batch_leg {
    struct chunk_group group;
    struct batch *batch;
    struct pool_disk *disk; /* counted */
    enum gfs_err err;
    bool is_owed, is_reported;
    int64_t sent_ns;
};

struct batch {
    struct batch *next, **link;
    struct pool_submit *submit;
    uint64_t number;
    uint64_t lsn_last;
    int64_t sent_ns;
    bool is_decided;
    bool has_gap;     /* a mirror did not take it */
    bool is_given_up; /* waited too long for a map */
    enum gfs_err err; /* once decided */
    unsigned owed;
    uint32_t leg_count, flight_count;
    struct batch_leg legs[POOL_LOG_DISKS];
    struct flight **flights; /* each with a reference */
    struct chunk_record *records;
};

struct pool_submit {
    struct pool *pool;
    pthread_mutex_t lock;    /* "submit_lock" */
    struct gfs_cond changed; /* there is an answer to give, or less is under way */
    pthread_t thread;        /* gives the answers that no disk's thread can */
    struct flight *first, **tail;
    struct flight *next_send; /* the oldest whose edits have not had their turn, NULL = none */
    struct batch *batches;    /* undecided or owed, in order */
    struct batch **batches_tail;
    uint64_t batch_number;
    size_t owed;      /* answers of disks, those to deletions of what was refused included */
    size_t noting;    /* flights with notes owed */
    unsigned waiters; /* for less to be under way */
    bool is_delivering, is_paused, is_stopping;
    bool has_failed; /* an outcome is unknown: nothing is accepted until a restart */
    bool is_broken;  /* and the first such answer was given: all later ones are the same */
    struct {
        struct flight *garbage, *to_note;
        struct pool_disk *mirrors[POOL_LOG_DISKS]; /* to be called not in sync; counted */
        unsigned mirror_count;
    } outside;
};

enum { POOL_FLIGHT_WAIT_MS_MAX = 30000 }; /* for a map, over it a flight is given up */

/* ---- pool_flight.c ---- */
/* Takes the view over. *ret_err: why it must be refused before anything is sent; OK: need not. */
struct flight *pool_flight_new(struct pool *pool, struct pool_view *view, struct chunk_group *group,
                               enum gfs_err *ret_err);
/* Outside the lock. */
void pool_flight_free(struct flight *flight);
/* Of the queue or whoever; the last one makes it garbage. */
void pool_flight_unref_locked(struct pool_submit *submit, struct flight *flight);

/* ---- pool_flight_data.c ---- */
/* It is in the queue: sends phase 1, or refuses it with err. */
void pool_flight_send_locked(struct pool_submit *submit, struct flight *flight, enum gfs_err err);
/* Goes on when no disk that is still in use owes an answer. */
void pool_flight_look_locked(struct pool_submit *submit, struct flight *flight);
void pool_flight_refuse_locked(struct pool_submit *submit, struct flight *flight, enum gfs_err err);
/* Asks for the maps that a flight waits for. Outside the lock. */
void pool_flight_note(struct flight *flight);

/* ---- pool_flight_edits.c ---- */
/* Whether edits can be sent: OK; AGAIN (when the next map is there); UNREACHABLE, NO_SPACE, IO. */
enum gfs_err pool_flight_edits_check_locked(const struct pool_submit *submit,
                                            const struct pool_view *view, bool may_use_reserve);
/* Sends what is ready and has its turn. */
void pool_flight_edits_pump_locked(struct pool_submit *submit);
/* No disk in use owes an answer to what was sent, and all of it is decided. *ret_needs_map:
 * something waits for the next map alone. */
bool pool_flight_edits_stand_locked(const struct pool_submit *submit, bool *ret_needs_map);
/* Decides what can be decided by the view in force. */
void pool_flight_edits_look_locked(struct pool_submit *submit);

/* ---- pool_submit.c ---- */
/* Does what had to wait for it. On a disk's thread also gives answers. */
void pool_submit_unlock(struct pool_submit *submit, bool may_deliver);
void pool_submit_wrote(struct pool_disk *disk, enum gfs_err err); /* an answer came; outside */
