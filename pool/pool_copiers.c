#include "pool/pool_copiers.h"

#include <malloc.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/mem.h"

struct pool_copiers {
    /* Immutable. */
    struct pool *pool;
    struct pool_pace *pace;
    pthread_t threads[POOL_COPIERS];
    /* The owner's. */
    struct pool_copy_lot lots[POOL_COPY_LOTS];
    struct pool_copy_lot *free;
    unsigned count; /* waiting, under way, done */

    pthread_mutex_t lock;
    struct gfs_cond has_work;
    struct gfs_cond has_done;
    /* Guarded by lock. */
    bool is_stopping;
    struct pool_copy_lot *waiting, **waiting_tail;
    struct pool_copy_lot *done;
};

/* Small ones become durable together: all are submitted before the first is waited for. */
static void copy_lot(struct pool_copier *copier, struct pool_copy_lot *lot)
{
    struct pool_copy *copies[POOL_COPY_LOT_MAX];
    for (unsigned i = 0; i < lot->count; i++) {
        struct pool_copy_item *item = &lot->items[i];
        item->err = pool_pace_is_stopped(copier->pace)
                        ? GFS_STOPPED
                        : pool_copy_begin(copier, &item->task, &copies[i]);
    }
    for (unsigned i = 0; i < lot->count; i++) {
        struct pool_copy_item *item = &lot->items[i];
        if (item->err == GFS_OK) {
            item->err = pool_copy_end(copies[i], &item->len);
        }
    }
}

static struct pool_copy_lot *next_waiting_locked(struct pool_copiers *copiers)
{
    struct pool_copy_lot *lot = copiers->waiting;
    if (lot != NULL) {
        copiers->waiting = lot->next;
        if (copiers->waiting == NULL) {
            copiers->waiting_tail = &copiers->waiting;
        }
    }
    return lot;
}

static void *copier_main(void *arg)
{
    struct pool_copiers *copiers = arg;
    GFS_FREE char *bytes = gfs_alloc_aligned(4096, POOL_COPY_STEP);
    struct pool_copier copier = {.pool = copiers->pool, .pace = copiers->pace, .bytes = bytes};
    (void)pthread_mutex_lock(&copiers->lock);
    while (!copiers->is_stopping) {
        struct pool_copy_lot *lot = next_waiting_locked(copiers);
        if (lot == NULL) {
            gfs_cond_wait(&copiers->has_work, &copiers->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&copiers->lock);
        copy_lot(&copier, lot);
        (void)pthread_mutex_lock(&copiers->lock);
        lot->next = copiers->done;
        copiers->done = lot;
        gfs_cond_signal(&copiers->has_done);
    }
    (void)pthread_mutex_unlock(&copiers->lock);
    return NULL;
}

struct pool_copiers *pool_copiers_new(struct pool *pool, struct pool_pace *pace)
{
    struct pool_copiers *copiers = gfs_alloc(sizeof *copiers);
    copiers->pool = pool;
    copiers->pace = pace;
    copiers->waiting_tail = &copiers->waiting;
    for (unsigned i = 0; i < POOL_COPY_LOTS; i++) {
        pool_copiers_put(copiers, &copiers->lots[i]);
    }
    int rc = pthread_mutex_init(&copiers->lock, NULL);
    GFS_ASSERT(rc == 0);
    gfs_cond_init(&copiers->has_work);
    gfs_cond_init(&copiers->has_done);
    for (unsigned i = 0; i < POOL_COPIERS; i++) {
        rc = pthread_create(&copiers->threads[i], NULL, copier_main, copiers);
        GFS_ASSERT(rc == 0);
        (void)pthread_setname_np(copiers->threads[i], "copier");
    }
    return copiers;
}

void pool_copiers_free(struct pool_copiers *copiers)
{
    if (copiers == NULL) {
        return;
    }
    GFS_ASSERT(copiers->count == 0);
    (void)pthread_mutex_lock(&copiers->lock);
    copiers->is_stopping = true;
    gfs_cond_broadcast(&copiers->has_work);
    (void)pthread_mutex_unlock(&copiers->lock);
    for (unsigned i = POOL_COPIERS; i-- > 0;) {
        (void)pthread_join(copiers->threads[i], NULL);
    }
    gfs_cond_fini(&copiers->has_done);
    gfs_cond_fini(&copiers->has_work);
    (void)pthread_mutex_destroy(&copiers->lock);
    free(copiers);
    (void)malloc_trim(0); /* repair is rare, and what it read into is much */
}

struct pool_copy_lot *pool_copiers_lot(struct pool_copiers *copiers)
{
    struct pool_copy_lot *lot = copiers->free;
    if (lot != NULL) {
        copiers->free = lot->next;
        lot->next = NULL;
    }
    return lot;
}

void pool_copiers_put(struct pool_copiers *copiers, struct pool_copy_lot *lot)
{
    lot->count = 0;
    lot->bytes = 0;
    lot->next = copiers->free;
    copiers->free = lot;
}

void pool_copiers_add(struct pool_copiers *copiers, struct pool_copy_lot *lot)
{
    GFS_ASSERT(lot->count >= 1 && lot->count <= POOL_COPY_LOT_MAX);
    copiers->count++;
    lot->next = NULL;
    (void)pthread_mutex_lock(&copiers->lock);
    *copiers->waiting_tail = lot;
    copiers->waiting_tail = &lot->next;
    gfs_cond_signal(&copiers->has_work);
    (void)pthread_mutex_unlock(&copiers->lock);
}

struct pool_copy_lot *pool_copiers_take(struct pool_copiers *copiers, unsigned wait_ms)
{
    int64_t until_ns = gfs_monotonic_ns() + (int64_t)wait_ms * 1000000;
    bool has_time = wait_ms != 0 && copiers->count != 0;
    (void)pthread_mutex_lock(&copiers->lock);
    while (copiers->done == NULL && has_time) {
        has_time = gfs_cond_wait_until(&copiers->has_done, &copiers->lock, until_ns);
    }
    struct pool_copy_lot *lot = copiers->done;
    if (lot != NULL) {
        copiers->done = lot->next;
        copiers->count--;
    }
    (void)pthread_mutex_unlock(&copiers->lock);
    return lot;
}

unsigned pool_copiers_count(const struct pool_copiers *copiers)
{
    return copiers->count;
}
