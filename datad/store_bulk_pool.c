#include "datad/store_bulk_pool.h"

#include <stdlib.h>
#include <sys/mman.h>

struct store_bulk_pool *bulk_pool_new(size_t buffers_max)
{
    struct store_bulk_pool *pool = gfs_alloc(sizeof *pool);
    pool->buffers_max = buffers_max;
    pool->shared_max = GFS_MAX(buffers_max / STORE_BULK_SHARED_PART, (size_t)1);
    (void)pthread_mutex_init(&pool->lock, NULL);
    pool->waiting_tail = &pool->waiting;
    pool->queued_tail = &pool->queued;
    (void)pthread_cond_init(&pool->place_cond, NULL);
    pool->placing_tail = &pool->placing;
    return pool;
}

static void free_buffer(struct bulk_buffer *buffer)
{
    (void)munmap(buffer->bytes, STORE_BULK_MAPPED_SIZE);
    free(buffer);
}

void bulk_pool_free(struct store_bulk_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    GFS_ASSERT(pool->writer_count == 0);
    GFS_ASSERT(pool->busy_count == 0);
    while (pool->free != NULL) {
        struct bulk_buffer *buffer = pool->free;
        pool->free = buffer->next;
        free_buffer(buffer);
    }
    (void)pthread_cond_destroy(&pool->place_cond);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

struct bulk_buffer *bulk_pool_take_locked(struct store_bulk_pool *pool, size_t used_max)
{
    if (pool->buffer_count - pool->free_count >= used_max) {
        return NULL;
    }
    struct bulk_buffer *buffer = pool->free;
    if (buffer != NULL) {
        pool->free = buffer->next;
        pool->free_count--;
        return buffer;
    }
    /* mapped, not allocated: given back at once when the store is idle */
    void *bytes = mmap(NULL, STORE_BULK_MAPPED_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) {
        return NULL;
    }
    buffer = gfs_alloc(sizeof *buffer);
    buffer->bytes = bytes;
    pool->buffer_count++;
    return buffer;
}

void bulk_pool_put_locked(struct store_bulk_pool *pool, struct bulk_buffer *buffer)
{
    buffer->bulk = NULL;
    buffer->used = 0;
    size_t kept = pool->writer_count == 0 ? (size_t)STORE_BULK_BUFFERS_IDLE : pool->shared_max;
    if (pool->free_count >= kept) {
        pool->buffer_count--;
        free_buffer(buffer);
        return;
    }
    buffer->next = pool->free;
    pool->free = buffer;
    pool->free_count++;
}

void bulk_pool_shrink_locked(struct store_bulk_pool *pool)
{
    while (pool->writer_count == 0 && pool->free_count > STORE_BULK_BUFFERS_IDLE) {
        struct bulk_buffer *buffer = pool->free;
        pool->free = buffer->next;
        pool->free_count--;
        pool->buffer_count--;
        free_buffer(buffer);
    }
}

void bulk_pool_queue_locked(struct store_bulk_pool *pool, const struct chunk_bulk *bulk,
                            struct gfs_io_op *op)
{
    GFS_ASSERT(!bulk->is_placing);
    if (bulk->file == NULL) {
        op->next = pool->unplaced;
        pool->unplaced = op;
        return;
    }
    op->file = bulk->file->file;
    op->offset += (uint64_t)bulk->page * SEGMENT_PAGE;
    op->next = NULL;
    *pool->queued_tail = op;
    pool->queued_tail = &op->next;
}
