/* Fragments that were found bad or missing, each once. What does not fit is found again by the next
 * scrub.
 *
 *   reported --> QUEUED --> TAKEN --> done (repaired, or nothing to repair)
 *                  ^          `-----> PARKED --.
 *                  `-------- its time has come-'
 *
 * What is parked could not be repaired a while ago. That a fragment is reported again while it is
 * taken or parked changes nothing: or those of a chunk of which too little is left, whose repair
 * reports what it misses, would report each other without end. */
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_state.h"

enum { BUCKETS = 4096 };

enum state { QUEUED, TAKEN, PARKED };

struct entry {
    struct entry *next;         /* younger, of its list */
    struct entry *next_of_hash; /* in its bucket */
    struct pool_suspect suspect;
    enum state state;
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
    size_t taken;
    size_t bad, parked_bad; /* of all, of those parked */
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
    for (size_t i = 0; i < BUCKETS; i++) {
        struct entry *entry = suspects->buckets[i];
        while (entry != NULL) {
            struct entry *next = entry->next_of_hash;
            free(entry);
            entry = next;
        }
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

/* NULL: it is known, or there is no room. */
static struct entry *enter_locked(struct pool_suspects *suspects,
                                  const struct pool_suspect *suspect)
{
    struct entry **link = find_locked(suspects, suspect);
    struct entry *known = *link;
    if (known != NULL) {
        bool is_news = suspect->is_bad && !known->suspect.is_bad;
        known->suspect.is_bad |= is_news;
        suspects->bad += is_news;
        suspects->parked_bad += is_news && known->state == PARKED;
        return NULL;
    }
    if (suspects->queued.count + suspects->taken + suspects->parked.count == POOL_SUSPECTS_MAX) {
        return NULL;
    }
    struct entry *entry = gfs_alloc(sizeof *entry);
    entry->suspect = *suspect;
    suspects->bad += suspect->is_bad;
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
        entry->state = TAKEN;
        suspects->taken++;
        *ret = entry->suspect;
    }
    (void)pthread_mutex_unlock(&suspects->lock);
    return entry != NULL;
}

/* Whoever took it gives it back. */
static struct entry *give_back_locked(struct pool_suspects *suspects,
                                      const struct pool_suspect *suspect)
{
    struct entry *entry = *find_locked(suspects, suspect);
    GFS_ASSERT(entry != NULL && entry->state == TAKEN);
    suspects->taken--;
    return entry;
}

static void remove_locked(struct pool_suspects *suspects, struct entry *entry)
{
    *find_locked(suspects, &entry->suspect) = entry->next_of_hash;
    suspects->bad -= entry->suspect.is_bad;
    free(entry);
}

void pool_suspect_done(struct pool *pool, const struct pool_suspect *suspect)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    remove_locked(suspects, give_back_locked(suspects, suspect));
    (void)pthread_mutex_unlock(&suspects->lock);
}

void pool_suspect_park(struct pool *pool, const struct pool_suspect *suspect, int64_t until_ns)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    struct entry *entry = give_back_locked(suspects, suspect);
    if (suspects->parked.count < POOL_SUSPECTS_MAX / 2) { /* the rest is for what can be repaired */
        entry->state = PARKED;
        entry->until_ns = until_ns;
        suspects->parked_bad += entry->suspect.is_bad;
        list_add(&suspects->parked, entry);
    } else {
        remove_locked(suspects, entry);
    }
    (void)pthread_mutex_unlock(&suspects->lock);
}

void pool_suspects_unpark(struct pool *pool, int64_t now_ns)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    while (suspects->parked.first != NULL && suspects->parked.first->until_ns <= now_ns) {
        struct entry *entry = list_take(&suspects->parked);
        entry->state = QUEUED;
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

size_t pool_suspect_bad(struct pool *pool)
{
    struct pool_suspects *suspects = pool->suspects;
    (void)pthread_mutex_lock(&suspects->lock);
    size_t count = suspects->bad;
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
    const struct entry *entry = suspects->bad > 0 ? *find_locked(suspects, suspect) : NULL;
    bool is_bad = entry != NULL && entry->suspect.is_bad;
    (void)pthread_mutex_unlock(&suspects->lock);
    return is_bad;
}
