/* The buffers of large chunks being written, and what waits for them or for the store's thread.
 * Shared by store_bulk.c and store_bulk_pool.c only. */
#pragma once

#include "datad/store_state.h"

struct chunk_bulk;

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
    struct chunk_bulk *ready;                   /* every write done, for the store's thread */
    size_t busy_count;                          /* operations and flushes under way */
    uint64_t turn;                              /* store's thread */
};

/* With the pool's lock. NULL: used_max are in use, or memory is short. */
struct bulk_buffer *bulk_pool_take_locked(struct store_bulk_pool *pool, size_t used_max);
void bulk_pool_put_locked(struct store_bulk_pool *pool, struct bulk_buffer *buffer);
/* Gives memory back when nobody writes. */
void bulk_pool_shrink_locked(struct store_bulk_pool *pool);
