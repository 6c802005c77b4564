/* Fragments that were found bad or missing, first in, first out, each once. What does not fit is
 * found again by the next scrub. */
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_state.h"

enum { BUCKETS = 4096 };

struct entry {
    struct entry *next;         /* younger */
    struct entry *next_of_hash; /* in its bucket */
    struct pool_suspect suspect;
};

/* Guarded by lock. */
struct pool_suspects {
    pthread_mutex_t lock;
    struct entry *first, **tail;
    struct entry *buckets[BUCKETS];
    size_t count;
};

struct pool_suspects *pool_suspects_new(void)
{
    struct pool_suspects *suspects = gfs_alloc(sizeof *suspects);
    (void)pthread_mutex_init(&suspects->lock, NULL);
    suspects->tail = &suspects->first;
    return suspects;
}

void pool_suspects_free(struct pool_suspects *suspects)
{
    if (suspects == NULL) {
        return;
    }
    while (suspects->first != NULL) {
        struct entry *entry = suspects->first;
        suspects->first = entry->next;
        free(entry);
    }
    (void)pthread_mutex_destroy(&suspects->lock);
    free(suspects);
}

/* Where the same fragment is, or the end of its bucket. */
static struct entry **find_locked(struct pool_suspects *suspects, const struct pool_suspect *wanted)
{
    uint64_t key = wanted->id.hi ^ wanted->id.lo ^ ((uint64_t)wanted->disk << 8 | wanted->slot);
    struct entry **link = &suspects->buckets[(key * 0x9E3779B97F4A7C15ULL >> 40) % BUCKETS];
    for (; *link != NULL; link = &(*link)->next_of_hash) {
        const struct pool_suspect *suspect = &(*link)->suspect;
        if (suspect->id.hi == wanted->id.hi && suspect->id.lo == wanted->id.lo &&
            suspect->disk == wanted->disk && suspect->slot == wanted->slot) {
            break;
        }
    }
    return link;
}

static bool add_locked(struct pool_suspects *suspects, const struct pool_suspect *suspect)
{
    struct entry **link = find_locked(suspects, suspect);
    if (*link != NULL) {
        (*link)->suspect.is_bad |= suspect->is_bad;
        return false;
    }
    if (suspects->count == POOL_SUSPECTS_MAX) {
        return false;
    }
    struct entry *entry = gfs_alloc(sizeof *entry);
    entry->suspect = *suspect;
    *link = entry;
    *suspects->tail = entry;
    suspects->tail = &entry->next;
    suspects->count++;
    return true;
}

void pool_suspect_add(struct pool *pool, const struct pool_suspect *suspect)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    bool is_new = add_locked(suspects, suspect);
    (void)pthread_mutex_unlock(&suspects->lock);
    if (is_new) {
        pool_reconcile_wake(pool);
    }
}

bool pool_suspect_take(struct pool *pool, struct pool_suspect *ret)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    struct entry *entry = suspects->first;
    if (entry != NULL) {
        struct entry **link = find_locked(suspects, &entry->suspect);
        GFS_ASSERT(*link == entry);
        *link = entry->next_of_hash;
        suspects->first = entry->next;
        suspects->tail = suspects->first == NULL ? &suspects->first : suspects->tail;
        suspects->count--;
        *ret = entry->suspect;
    }
    (void)pthread_mutex_unlock(&suspects->lock);
    free(entry);
    return entry != NULL;
}

size_t pool_suspect_count(struct pool *pool)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    size_t count = suspects->count;
    (void)pthread_mutex_unlock(&suspects->lock);
    return count;
}
