/* A large chunk being written, shared by pool_bulk.c (its life, its user) and pool_bulk_serve.c
 * (its children). States, locks and failures: pool_bulk.c. */
#pragma once

#include "pool/pool_rows.h"
#include "pool/pool_state.h"

enum child_state { CHILD_LOST = 0, CHILD_WRITING, CHILD_FINISHING, CHILD_FINISHED };

/* Guarded by the writer's lock, except bulk and number, which never change, and disk, which only
 * changes once nobody else has anything to do with a lost child. */
struct bulk_child {
    struct pool_bulk *bulk;
    struct pool_disk *disk;    /* counted; NULL = there was none, or it was let go of */
    uint16_t number;           /* of the disk that the slot named */
    struct chunk_bulk *chunks; /* the disk's writer, NULL = never begun, or freed */
    enum child_state state;
    bool is_waiting;  /* it took less and will call */
    uint32_t taken;   /* bytes of the ready row's cell */
    int64_t since_ns; /* it went on last */
};

struct pool_bulk {
    struct pool *pool;
    struct pool_view *view; /* marked; NULL = the user has freed the writer */
    struct pool_profile profile;
    struct chunk_id id;
    uint32_t len_max;
    chunk_writable_fn writable;
    void *arg;
    struct pool_bulk *next, *previous; /* pool->bulks, guarded by its bulk_lock */

    pthread_mutex_t call_lock; /* recursive */
    bool is_freed;             /* guarded by call_lock */

    pthread_mutex_t lock; /* guards the rest */
    unsigned references;
    bool is_ending; /* no reference is left */
    bool is_placed; /* its parts were asked for: they stay as they are */
    bool is_user_waiting, is_finishing, is_answered;
    enum gfs_err err; /* the chunk has failed */
    uint32_t appended;
    char owner[CHUNK_OWNER_LEN_MAX]; /* the gateway's */
    size_t owner_len;
    bool is_owner_new;     /* another than the children were begun with */
    struct pool_rows rows; /* no memory of theirs once it is answered */
    size_t rows_size;      /* counted in the pool's bulk_row_bytes, 0 = not any more */
    unsigned width, alive_count, no_space_count;
    chunk_finished_fn finished;
    struct bulk_child children[POOL_WIDTH_MAX];
};

/* What is to be done once the lock is not held. */
struct bulk_todo {
    bool is_writable, is_finished;
    enum gfs_err err; /* of finished */
    unsigned drop_count;
    struct {
        struct pool_disk *disk; /* counted */
        enum gfs_err err;
    } drops[POOL_WIDTH_MAX];
};

/* ---- pool_bulk.c ---- */
void pool_bulk_unref(struct pool_bulk *bulk);

/* ---- pool_bulk_serve.c; _locked: with bulk->lock ---- */
/* BUSY: it can be tried again. All else costs this slot only. Before anybody else has the bulk. */
enum gfs_err pool_bulk_serve_begin(struct pool_bulk *bulk, const struct pool_view *view,
                                   unsigned slot, struct bulk_todo *todo);
/* Whether enough children are left: OK, NO_SPACE, UNREACHABLE. */
enum gfs_err pool_bulk_serve_verdict(const struct pool_bulk *bulk);
/* A row begins: its cells are made where the children want them. A child that is lost meanwhile
 * keeps its memory, as it is freed last. */
void pool_bulk_serve_places_locked(struct pool_bulk *bulk);
/* Gives all children that do not wait what they lack of the ready row. */
void pool_bulk_serve_all_locked(struct pool_bulk *bulk, struct bulk_todo *todo);
/* Unlocks, and does what is to be done. Gives a reference back. */
void pool_bulk_serve_leave(struct pool_bulk *bulk, struct bulk_todo *todo);
void pool_bulk_serve_act(struct pool_bulk *bulk, const struct bulk_todo *todo);
/* It is answered, or never begins: nothing more is added to it. */
void pool_bulk_serve_end_rows(struct pool_bulk *bulk);
/* Whether the disk is kept open by lost children alone; and lets go of them, which may hang in it.
 * With a reference. */
bool pool_bulk_serve_has_left(struct pool_bulk *bulk, const struct pool_disk *disk);
void pool_bulk_serve_leave_disk(struct pool_bulk *bulk, const struct pool_disk *disk);
/* Gives up children that are stalled or whose disk was dropped. Gives a reference back. */
void pool_bulk_serve_look_after(struct pool_bulk *bulk, int64_t now_ns);
