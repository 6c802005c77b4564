#include "metad/cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

enum { PART_BITS = 3, PART_COUNT = 1 << PART_BITS, SLOT_COUNT_MIN = 64, MALLOC_OVERHEAD = 16 };

struct entry {
    struct entry *hash_next;
    struct entry *newer, *older; /* order of entry, for second-chance eviction */
    struct meta_row *row;
    uint64_t hash;
    uint32_t key_len;
    bool is_used; /* since it last was first in line for eviction */
    char key[];
};

/* Guarded by lock. */
struct part {
    pthread_mutex_t lock;
    struct entry **slots;
    size_t slot_count;
    size_t count;
    size_t size;
    struct entry *newest, *oldest;
    char padding[64]; /* keeps the locks of neighbours on different cache lines */
};

struct cache {
    size_t part_size_max;
    struct part parts[PART_COUNT];
};

static struct part *part_of(struct cache *cache, uint64_t hash)
{
    return &cache->parts[hash >> (64 - PART_BITS)];
}

static size_t entry_size(const struct entry *entry)
{
    return sizeof *entry + entry->key_len + MALLOC_OVERHEAD + row_size(entry->row);
}

struct cache *cache_new(size_t size_max)
{
    struct cache *cache = gfs_alloc(sizeof *cache);
    cache->part_size_max = size_max / PART_COUNT;
    for (unsigned i = 0; i < PART_COUNT; i++) {
        struct part *part = &cache->parts[i];
        (void)pthread_mutex_init(&part->lock, NULL);
        part->slot_count = SLOT_COUNT_MIN;
        part->slots = gfs_alloc_array(part->slot_count, sizeof *part->slots);
    }
    return cache;
}

void cache_free(struct cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (unsigned i = 0; i < PART_COUNT; i++) {
        struct part *part = &cache->parts[i];
        while (part->newest != NULL) {
            struct entry *older = part->newest->older;
            meta_row_unref(part->newest->row);
            free(part->newest);
            part->newest = older;
        }
        free(part->slots);
        (void)pthread_mutex_destroy(&part->lock);
    }
    free(cache);
}

static struct entry **find_locked(struct part *part, struct gfs_slice full, uint64_t hash)
{
    struct entry **link = &part->slots[hash & (part->slot_count - 1)];
    while (*link != NULL && ((*link)->hash != hash ||
                             !gfs_slice_eq(gfs_slice_of((*link)->key, (*link)->key_len), full))) {
        link = &(*link)->hash_next;
    }
    return link;
}

static void push_locked(struct part *part, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = part->newest;
    if (part->newest != NULL) {
        part->newest->newer = entry;
    } else {
        part->oldest = entry;
    }
    part->newest = entry;
}

static void unlink_locked(struct part *part, struct entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &part->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &part->oldest) = entry->newer;
}

/* Takes the entry out; the caller frees it after unlocking or at once. */
static void remove_locked(struct part *part, struct entry **link)
{
    struct entry *entry = *link;
    GFS_ASSERT(entry != NULL);
    *link = entry->hash_next;
    unlink_locked(part, entry);
    part->count--;
    part->size -= entry_size(entry);
    meta_row_unref(entry->row);
    free(entry);
}

static void evict_locked(struct part *part, size_t size_max)
{
    while (part->size > size_max && part->oldest != NULL) {
        struct entry *entry = part->oldest;
        if (entry->is_used) {
            entry->is_used = false;
            unlink_locked(part, entry);
            push_locked(part, entry);
            continue;
        }
        remove_locked(part,
                      find_locked(part, gfs_slice_of(entry->key, entry->key_len), entry->hash));
    }
}

static void grow_locked(struct part *part)
{
    size_t count = part->slot_count * 2;
    struct entry **slots = gfs_alloc_array(count, sizeof *slots);
    for (struct entry *entry = part->newest; entry != NULL; entry = entry->older) {
        struct entry **slot = &slots[entry->hash & (count - 1)];
        entry->hash_next = *slot;
        *slot = entry;
    }
    free(part->slots);
    part->slots = slots;
    part->slot_count = count;
}

struct meta_row *cache_get(struct cache *cache, struct gfs_slice full, uint64_t hash)
{
    struct part *part = part_of(cache, hash);
    struct meta_row *row = NULL;
    (void)pthread_mutex_lock(&part->lock);
    struct entry *entry = *find_locked(part, full, hash);
    if (entry != NULL) {
        entry->is_used = true;
        row = row_ref(entry->row);
    }
    (void)pthread_mutex_unlock(&part->lock);
    return row;
}

void cache_put(struct cache *cache, struct gfs_slice full, uint64_t hash, struct meta_row *row)
{
    struct part *part = part_of(cache, hash);
    if (row_size(row) > cache->part_size_max / 4) {
        cache_remove(cache, full, hash); /* one huge row must not push out all others */
        return;
    }
    struct entry *fresh = malloc(sizeof *fresh + full.len);
    GFS_ASSERT(fresh != NULL);
    *fresh = (struct entry){.row = row_ref(row), .hash = hash, .key_len = (uint32_t)full.len};
    memcpy(fresh->key, full.ptr, full.len);
    (void)pthread_mutex_lock(&part->lock);
    struct entry **link = find_locked(part, full, hash);
    if (*link != NULL) {
        fresh->is_used = (*link)->is_used;
        remove_locked(part, link);
        link = find_locked(part, full, hash);
    }
    fresh->hash_next = *link;
    *link = fresh;
    push_locked(part, fresh);
    part->count++;
    part->size += entry_size(fresh);
    if (part->count > part->slot_count) {
        grow_locked(part);
    }
    evict_locked(part, cache->part_size_max);
    (void)pthread_mutex_unlock(&part->lock);
}

void cache_remove(struct cache *cache, struct gfs_slice full, uint64_t hash)
{
    struct part *part = part_of(cache, hash);
    (void)pthread_mutex_lock(&part->lock);
    struct entry **link = find_locked(part, full, hash);
    if (*link != NULL) {
        remove_locked(part, link);
    }
    (void)pthread_mutex_unlock(&part->lock);
}

size_t cache_size(struct cache *cache)
{
    size_t size = 0;
    for (unsigned i = 0; i < PART_COUNT; i++) {
        struct part *part = &cache->parts[i];
        (void)pthread_mutex_lock(&part->lock);
        size += part->size + part->slot_count * sizeof *part->slots;
        (void)pthread_mutex_unlock(&part->lock);
    }
    return size;
}
