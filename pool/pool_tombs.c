/* Ids deleted while a pass runs: a hash set that lives as long as the pass.
 *
 * The lock is held while DELETE records and copies are submitted, so that both are on a disk's log
 * in the order in which they were here. Submitting never blocks. */
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_state.h"

enum { SIZE_MIN = 1024 };

/* Guarded by lock. */
struct pool_tombs {
    pthread_mutex_t lock;
    bool is_noting;
    struct chunk_id *ids; /* open addressing; size is a power of two, at most half full */
    size_t count, size;
};

struct pool_tombs *pool_tombs_new(void)
{
    struct pool_tombs *tombs = gfs_alloc(sizeof *tombs);
    (void)pthread_mutex_init(&tombs->lock, NULL);
    return tombs;
}

void pool_tombs_free(struct pool_tombs *tombs)
{
    if (tombs == NULL) {
        return;
    }
    free(tombs->ids);
    (void)pthread_mutex_destroy(&tombs->lock);
    free(tombs);
}

static bool is_none(struct chunk_id id)
{
    return (id.hi | id.lo) == 0;
}

/* Where the id is, or would be. */
static struct chunk_id *find(struct chunk_id *ids, size_t size, struct chunk_id id)
{
    uint64_t hash = (id.hi ^ id.lo >> CHUNK_SLOT_BITS) * 0x9E3779B97F4A7C15ULL;
    size_t index = (hash ^ hash >> 32) & (size - 1);
    while (!is_none(ids[index]) && (ids[index].hi != id.hi || ids[index].lo != id.lo)) {
        index = (index + 1) & (size - 1);
    }
    return &ids[index];
}

static void grow_locked(struct pool_tombs *tombs, size_t count)
{
    size_t size = GFS_MAX(tombs->size, (size_t)SIZE_MIN);
    while (size < 2 * count) {
        size *= 2;
    }
    if (size == tombs->size) {
        return;
    }
    struct chunk_id *grown = gfs_alloc_array(size, sizeof *grown);
    for (size_t i = 0; i < tombs->size; i++) {
        if (!is_none(tombs->ids[i])) {
            *find(grown, size, tombs->ids[i]) = tombs->ids[i];
        }
    }
    free(tombs->ids);
    tombs->ids = grown;
    tombs->size = size;
}

static void forget_locked(struct pool_tombs *tombs)
{
    free(tombs->ids);
    tombs->ids = NULL;
    tombs->count = tombs->size = 0;
}

void pool_tombs_begin(struct pool *pool)
{
    struct pool_tombs *tombs = pool->tombs;
    (void)pthread_mutex_lock(&tombs->lock);
    forget_locked(tombs);
    tombs->is_noting = true;
    (void)pthread_mutex_unlock(&tombs->lock);
}

void pool_tombs_end(struct pool *pool)
{
    struct pool_tombs *tombs = pool->tombs;
    (void)pthread_mutex_lock(&tombs->lock);
    forget_locked(tombs);
    tombs->is_noting = false;
    (void)pthread_mutex_unlock(&tombs->lock);
}

static bool note_locked(struct pool_tombs *tombs, const struct chunk_id *ids, size_t count)
{
    if (!tombs->is_noting) {
        return true;
    }
    if (count > POOL_TOMBS_MAX - tombs->count) {
        return false;
    }
    grow_locked(tombs, tombs->count + count);
    for (size_t i = 0; i < count; i++) {
        struct chunk_id *place = find(tombs->ids, tombs->size, ids[i]);
        tombs->count += is_none(*place) && !is_none(ids[i]) ? 1 : 0;
        *place = ids[i];
    }
    return true;
}

bool pool_tombs_delete(struct pool *pool, const struct chunk_id *ids, size_t count,
                       void (*send)(void *arg), void *arg)
{
    struct pool_tombs *tombs = pool->tombs;
    (void)pthread_mutex_lock(&tombs->lock);
    bool is_noted = note_locked(tombs, ids, count);
    if (is_noted) {
        send(arg);
    }
    (void)pthread_mutex_unlock(&tombs->lock);
    return is_noted;
}

bool pool_tombs_submit(struct pool *pool, struct chunk_id id, struct pool_disk *disk,
                       struct chunk_group *group)
{
    struct pool_tombs *tombs = pool->tombs;
    (void)pthread_mutex_lock(&tombs->lock);
    bool is_deleted = tombs->size != 0 && !is_none(*find(tombs->ids, tombs->size, id));
    if (!is_deleted) {
        disk->store->ops->submit(disk->store, group);
    }
    (void)pthread_mutex_unlock(&tombs->lock);
    return !is_deleted;
}
