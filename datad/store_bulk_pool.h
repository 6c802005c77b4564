/* The buffers of large chunks being written, and what waits for them or for the store's thread.
 * Shared by store_bulk.c, store_bulk_begin.c and store_bulk_pool.c only. */
#pragma once

#include "datad/store_state.h"

struct chunk_bulk {
    struct store *store;
    struct chunk_bulk *next_waiting, *next_ready; /* pool lists; next_ready also of flushes */
    struct bulk_file *file; /* NULL = no place; set once, with page, before is_placing ends */
    uint32_t page, page_count;
    struct chunk_id id;
    char *owner;
    size_t owner_len;
    uint32_t len_max;
    chunk_writable_fn writable;
    void *arg;

    pthread_mutex_t lock; /* recursive; held while a callback runs, so that free waits for it */
    /* One appending thread at a time. */
    uint32_t len;     /* bytes appended */
    uint32_t written; /* bytes handed to the ring */
    uint32_t crc;     /* of the current block */
    struct bulk_buffer *buffer;
    char *trailer; /* pages; the table grows in place */
    size_t trailer_size;
    struct gfs_io_op trailer_op;

    /* Guarded by the pool's lock. */
    unsigned in_flight;
    unsigned references; /* the user's, that of who places it, and of a callback that runs */
    enum gfs_err err;
    bool is_placing;                     /* what is to be written is held back */
    struct chunk_bulk *next_placing;     /* in the pool's list */
    struct gfs_io_op *held, **held_tail; /* counted in in_flight */
    bool is_waiting, is_finishing, is_flushing, is_done, is_freed;
    bool is_live;
    chunk_finished_fn finished;
};

/* A page more than a buffer is mapped, and never touched: buffers that follow each other would else
 * lie a power of two apart, and cells that are encoded together would compete for the same places
 * of the caches (bench/ec). */
enum { STORE_BULK_MAPPED_SIZE = STORE_BULK_BUFFER_SIZE + SEGMENT_PAGE };

struct bulk_buffer {
    struct bulk_buffer *next; /* free list */
    struct gfs_io_op op;
    struct chunk_bulk *bulk;
    char *bytes;
    size_t used;
};

/* Guarded by lock. */
struct store_bulk_pool {
    pthread_mutex_t lock;
    struct bulk_buffer *free;
    size_t buffers_max, shared_max; /* over shared_max only a writer's first; constant */
    size_t buffer_count, free_count;
    size_t writer_count;
    struct chunk_bulk *waiting, **waiting_tail; /* for a buffer */
    struct gfs_io_op *queued, **queued_tail;    /* for the store's thread */
    struct gfs_io_op *unplaced;                 /* as well: of writers that got no place */
    struct chunk_bulk *ready;                   /* every write done, for the store's thread */
    size_t busy_count;                          /* placings, operations and flushes under way */
    uint64_t turn;                              /* store's thread */
    pthread_cond_t place_cond;                  /* the placing thread has something to do */
    struct chunk_bulk *placing, **placing_tail; /* for the placing thread */
    bool is_space_wanted, is_stopping;          /* as well */
};

/* With the pool's lock. NULL: used_max are in use, or memory is short. */
struct bulk_buffer *bulk_pool_take_locked(struct store_bulk_pool *pool, size_t used_max);
void bulk_pool_put_locked(struct store_bulk_pool *pool, struct bulk_buffer *buffer);
/* Gives memory back when nobody writes. */
void bulk_pool_shrink_locked(struct store_bulk_pool *pool);
/* An operation of a writer whose placing is over: to the store's thread. op->offset: in the
 * extent. */
void bulk_pool_queue_locked(struct store_bulk_pool *pool, const struct chunk_bulk *bulk,
                            struct gfs_io_op *op);

/* store_bulk.c: gives a reference back. */
void bulk_release(struct chunk_bulk *bulk);
