/* Fragments that were found bad or missing, each once. What does not fit is found again by the next
 * scrub.
 *
 *   reported --> QUEUED --taken--> repaired, or --> PARKED --its time has come--> QUEUED
 *
 * What is parked could not be repaired a while ago: that it is reported again changes nothing, or
 * the fragments of a chunk that is lost would report each other without end. */
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_state.h"

enum { BUCKETS = 4096 };

struct entry {
    struct entry *next;         /* younger, of its list */
    struct entry *next_of_hash; /* in its bucket */
    struct pool_suspect suspect;
    bool is_parked;
    int64_t until_ns; /* parked: monotonic */
};

/* First in, first out. */
struct list {
    struct entry *first, **tail;
    size_t count;
};

/* Guarded by lock. */
struct pool_suspects {
    pthread_mutex_t lock;
    struct list queued, parked;
    size_t parked_bad; /* of those parked */
    struct entry *buckets[BUCKETS];
};

static void list_add(struct list *list, struct entry *entry)
{
    entry->next = NULL;
    *list->tail = entry;
    list->tail = &entry->next;
    list->count++;
}

/* NULL when empty. */
static struct entry *list_take(struct list *list)
{
    struct entry *entry = list->first;
    if (entry != NULL) {
        list->first = entry->next;
        list->tail = list->first == NULL ? &list->first : list->tail;
        list->count--;
    }
    return entry;
}

static void list_fini(struct list *list)
{
    struct entry *entry;
    while ((entry = list_take(list)) != NULL) {
        free(entry);
    }
}

struct pool_suspects *pool_suspects_new(void)
{
    struct pool_suspects *suspects = gfs_alloc(sizeof *suspects);
    (void)pthread_mutex_init(&suspects->lock, NULL);
    suspects->queued.tail = &suspects->queued.first;
    suspects->parked.tail = &suspects->parked.first;
    return suspects;
}

void pool_suspects_free(struct pool_suspects *suspects)
{
    if (suspects == NULL) {
        return;
    }
    list_fini(&suspects->queued);
    list_fini(&suspects->parked);
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

/* NULL: it is known, or there is no room. */
static struct entry *enter_locked(struct pool_suspects *suspects,
                                  const struct pool_suspect *suspect)
{
    struct entry **link = find_locked(suspects, suspect);
    struct entry *known = *link;
    if (known != NULL) {
        suspects->parked_bad += known->is_parked && suspect->is_bad && !known->suspect.is_bad;
        known->suspect.is_bad |= suspect->is_bad;
        return NULL;
    }
    if (suspects->queued.count + suspects->parked.count == POOL_SUSPECTS_MAX) {
        return NULL;
    }
    struct entry *entry = gfs_alloc(sizeof *entry);
    entry->suspect = *suspect;
    *link = entry;
    return entry;
}

void pool_suspect_add(struct pool *pool, const struct pool_suspect *suspect)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    struct entry *entry = enter_locked(suspects, suspect);
    if (entry != NULL) {
        list_add(&suspects->queued, entry);
    }
    (void)pthread_mutex_unlock(&suspects->lock);
    if (entry != NULL) {
        pool_reconcile_wake(pool);
    }
}

bool pool_suspect_take(struct pool *pool, struct pool_suspect *ret)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    struct entry *entry = list_take(&suspects->queued);
    if (entry != NULL) {
        struct entry **link = find_locked(suspects, &entry->suspect);
        GFS_ASSERT(*link == entry);
        *link = entry->next_of_hash;
        *ret = entry->suspect;
    }
    (void)pthread_mutex_unlock(&suspects->lock);
    free(entry);
    return entry != NULL;
}

void pool_suspect_park(struct pool *pool, const struct pool_suspect *suspect, int64_t until_ns)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    /* Half of the room is for what may still be repaired. */
    bool has_room = suspects->parked.count < POOL_SUSPECTS_MAX / 2;
    struct entry *entry = has_room ? enter_locked(suspects, suspect) : NULL;
    if (entry != NULL) {
        entry->is_parked = true;
        entry->until_ns = until_ns;
        suspects->parked_bad += suspect->is_bad;
        list_add(&suspects->parked, entry);
    }
    (void)pthread_mutex_unlock(&suspects->lock);
}

void pool_suspects_unpark(struct pool *pool, int64_t now_ns)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    while (suspects->parked.first != NULL && suspects->parked.first->until_ns <= now_ns) {
        struct entry *entry = list_take(&suspects->parked);
        entry->is_parked = false;
        suspects->parked_bad -= entry->suspect.is_bad;
        list_add(&suspects->queued, entry);
    }
    (void)pthread_mutex_unlock(&suspects->lock);
}

size_t pool_suspect_count(struct pool *pool)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    size_t count = suspects->queued.count;
    (void)pthread_mutex_unlock(&suspects->lock);
    return count;
}

size_t pool_suspect_unrepaired(struct pool *pool)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    size_t count = suspects->parked_bad;
    (void)pthread_mutex_unlock(&suspects->lock);
    return count;
}

bool pool_suspect_is_bad(struct pool *pool, const struct pool_suspect *suspect)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    bool is_any = suspects->queued.count + suspects->parked.count > 0;
    const struct entry *entry = is_any ? *find_locked(suspects, suspect) : NULL;
    bool is_bad = entry != NULL && entry->suspect.is_bad;
    (void)pthread_mutex_unlock(&suspects->lock);
    return is_bad;
}
