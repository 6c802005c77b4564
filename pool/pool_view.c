/* Views and the disks in them: counting, and what depends on nothing else.
 *
 * A view is on the list of its pool from the day it is made until its last user is gone, whether it
 * is in force or not: that is what pool_view_oldest looks at. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"
#include "pool/pool_state.h"

enum { CLOSE_WAIT_MS = 500 }; /* for a store to be closed */

/* ---- disks ---- */

struct pool_disk *pool_disk_new(struct pool *pool, uint16_t number, const uint8_t id[16],
                                const char *path, struct chunk_store *store)
{
    struct pool_disk *disk = gfs_alloc(sizeof *disk);
    atomic_init(&disk->references, 1);
    disk->number = number;
    memcpy(disk->id, id, sizeof disk->id);
    (void)snprintf(disk->path, sizeof disk->path, "%s", path);
    disk->store = store;
    disk->pool = pool;
    if (store != NULL) {
        disk->reader = pool_reader_new(disk);
        (void)pthread_mutex_lock(&pool->view_lock);
        disk->next_open = pool->open_disks;
        pool->open_disks = disk;
        (void)pthread_mutex_unlock(&pool->view_lock);
    }
    return disk;
}

static void forget_open(struct pool *pool, struct pool_disk *disk)
{
    (void)pthread_mutex_lock(&pool->view_lock);
    struct pool_disk **link = &pool->open_disks;
    while (*link != NULL && *link != disk) {
        link = &(*link)->next_open;
    }
    if (*link != NULL) {
        *link = disk->next_open;
    }
    (void)pthread_mutex_unlock(&pool->view_lock);
}

bool pool_disk_is_open(struct pool *pool, const char *path)
{
    bool is_open = false;
    (void)pthread_mutex_lock(&pool->view_lock);
    for (struct pool_disk *disk = pool->open_disks; disk != NULL && !is_open;
         disk = disk->next_open) {
        is_open = strcmp(disk->path, path) == 0;
    }
    (void)pthread_mutex_unlock(&pool->view_lock);
    return is_open;
}

bool pool_disk_ref_if_used(struct pool_disk *disk)
{
    unsigned count = atomic_load(&disk->references);
    while (count != 0 && !atomic_compare_exchange_weak(&disk->references, &count, count + 1)) {
    }
    return count != 0;
}

struct pool_disk *pool_disk_ref(struct pool_disk *disk)
{
    unsigned before = atomic_fetch_add_explicit(&disk->references, 1, memory_order_relaxed);
    GFS_ASSERT(before != 0);
    return disk;
}

void pool_disk_unref(struct pool_disk *disk)
{
    unsigned before = atomic_fetch_sub_explicit(&disk->references, 1, memory_order_acq_rel);
    GFS_ASSERT(before != 0);
    if (before != 1) {
        return;
    }
    struct pool *pool = disk->pool;
    disk->next_unused = atomic_load(&pool->unused_disks);
    while (!atomic_compare_exchange_weak(&pool->unused_disks, &disk->next_unused, disk)) {
    }
}

static void close_store(void *arg)
{
    struct pool_disk *disk = arg;
    struct pool *pool = disk->pool;
    pool_reader_free(disk->reader);
    pool->options.driver.close(pool->options.driver.arg, disk->store);
    forget_open(pool, disk);
}

/* One that hangs would hold whoever closes it. */
static void start_closing(struct pool *pool, struct pool_disk *disk)
{
    struct pool_errand *errand =
        pool_errand_start(pool->errands, "disk-close", close_store, free, disk);
    (void)pool_errand_await(errand, CLOSE_WAIT_MS);
    pool_errand_let_go(errand);
}

void pool_disk_reap(struct pool *pool)
{
    struct pool_disk *disk = atomic_exchange(&pool->unused_disks, NULL);
    while (disk != NULL) {
        struct pool_disk *next = disk->next_unused;
        if (disk->store != NULL && pool->errands != NULL) {
            start_closing(pool, disk);
        } else {
            if (disk->store != NULL) {
                close_store(disk);
            }
            free(disk);
        }
        disk = next;
    }
}

/* ---- views ---- */

#define WORK 1UL /* at most 2^24 of it, as of pins; 2^16 marks */
#define PIN (1UL << 24)
#define MARK (1UL << 48)
_Static_assert(sizeof(unsigned long) == 8, "three counts in one");

struct pool_view *pool_view_new(struct pool *pool, struct pool_map *map,
                                struct pool_disk *const disks[POOL_DISKS_MAX])
{
    GFS_ASSERT(map->disk_count <= POOL_DISKS_MAX);
    struct pool_view *view = gfs_alloc(sizeof *view);
    atomic_init(&view->references, WORK);
    view->pool = pool;
    view->map = map;
    view->since = map->version;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        view->disks[i] = disks[i] == NULL ? NULL : pool_disk_ref(disks[i]);
    }
    (void)pthread_mutex_lock(&pool->view_lock);
    view->next = pool->views;
    view->link = &pool->views;
    if (view->next != NULL) {
        view->next->link = &view->next;
    }
    pool->views = view;
    (void)pthread_mutex_unlock(&pool->view_lock);
    return view;
}

static void unref_disks(struct pool_view *view)
{
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        if (view->disks[i] != NULL) {
            pool_disk_unref(GFS_TAKE(view->disks[i]));
        }
        if (view->fallbacks[i] != NULL) {
            pool_disk_unref(GFS_TAKE(view->fallbacks[i]));
        }
    }
}

/* Nobody refers to it any more. */
static void end_view(struct pool_view *view)
{
    struct pool *pool = view->pool;
    (void)pthread_mutex_lock(&pool->view_lock);
    *view->link = view->next;
    if (view->next != NULL) {
        view->next->link = view->link;
    }
    if (pool->views == NULL) {
        gfs_cond_broadcast(&pool->views_gone);
    }
    (void)pthread_mutex_unlock(&pool->view_lock); /* from here on the pool may be gone */
    pool_map_free(view->map);
    free(view);
}

/* Gives `kind` back and takes `stead` for it, 0 = nothing. With the last work or pin the disks are
 * let go of, under a mark. */
static void exchange(struct pool_view *view, unsigned long kind, unsigned long stead)
{
    unsigned long before = atomic_load(&view->references), after;
    bool is_last;
    do {
        GFS_ASSERT(before >= kind);
        after = before - kind + stead;
        is_last = kind != MARK && after % MARK == 0;
        after += is_last ? MARK : 0;
    } while (!atomic_compare_exchange_weak(&view->references, &before, after));
    if (is_last) {
        unref_disks(view);
        exchange(view, MARK, 0);
    } else if (after == 0) {
        end_view(view);
    }
}

static void release(struct pool_view *view, unsigned long kind)
{
    exchange(view, kind, 0);
}

static bool is_held_locked(struct pool *pool)
{
    return pool->views != NULL || pool->pins != NULL || atomic_load(&pool->bulk_count) != 0;
}

bool pool_view_await_none(struct pool *pool, uint32_t wait_ms)
{
    int64_t until_ns = gfs_monotonic_ns() + (int64_t)wait_ms * 1000000;
    bool has_time = true;
    (void)pthread_mutex_lock(&pool->view_lock);
    while (is_held_locked(pool) && has_time) {
        has_time = gfs_cond_wait_until(&pool->views_gone, &pool->view_lock, until_ns);
    }
    bool is_none = !is_held_locked(pool);
    (void)pthread_mutex_unlock(&pool->view_lock);
    return is_none;
}

void pool_view_put(struct pool_view *view)
{
    release(view, WORK);
}

void pool_view_pin(struct pool_view *view)
{
    unsigned long before = atomic_fetch_add_explicit(&view->references, PIN, memory_order_relaxed);
    GFS_ASSERT(before != 0);
}

void pool_view_unpin(struct pool_view *view)
{
    release(view, PIN);
}

void pool_view_mark(struct pool_view *view)
{
    exchange(view, WORK, MARK);
}

void pool_view_unmark(struct pool_view *view)
{
    release(view, MARK);
}

struct pool_view *pool_view_get_pinned(struct pool *pool)
{
    struct pool_view *view = pool_view_get(pool);
    pool_view_pin(view);
    pool_view_put(view);
    return view;
}

void pool_view_set(struct pool *pool, struct pool_view *view)
{
    (void)pthread_mutex_lock(&pool->view_lock);
    struct pool_view *before = pool->view;
    pool->view = view;
    (void)pthread_mutex_unlock(&pool->view_lock);
    if (before != NULL) {
        pool_view_put(before);
    }
}

struct pool_view *pool_view_get(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->view_lock);
    struct pool_view *view = pool->view;
    GFS_ASSERT(view != NULL);
    (void)atomic_fetch_add_explicit(&view->references, WORK, memory_order_relaxed);
    (void)pthread_mutex_unlock(&pool->view_lock);
    return view;
}

bool pool_view_has_disk(const struct pool_view *view, const struct pool_disk *disk)
{
    bool has = false;
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        has = has || view->disks[i] == disk || view->fallbacks[i] == disk;
    }
    return has;
}

unsigned pool_view_left_disks(struct pool *pool, struct pool_disk *ret[POOL_DISKS_MAX])
{
    unsigned count = 0;
    (void)pthread_mutex_lock(&pool->view_lock);
    for (struct pool_disk *disk = pool->open_disks; disk != NULL && count < POOL_DISKS_MAX;
         disk = disk->next_open) {
        if (!pool_view_has_disk(pool->view, disk) && pool_disk_ref_if_used(disk)) {
            ret[count++] = disk;
        }
    }
    (void)pthread_mutex_unlock(&pool->view_lock);
    return count;
}

uint64_t pool_view_oldest(struct pool *pool)
{
    uint64_t oldest = UINT64_MAX;
    (void)pthread_mutex_lock(&pool->view_lock);
    for (const struct pool_view *view = pool->views; view != NULL; view = view->next) {
        unsigned long references = atomic_load(&view->references);
        if (references % PIN != 0 || references >= MARK) {
            oldest = GFS_MIN(oldest, view->since);
        }
    }
    (void)pthread_mutex_unlock(&pool->view_lock);
    return oldest;
}

/* ---- chunks ---- */

const struct pool_group *pool_view_group(const struct pool_view *view, struct chunk_id id)
{
    uint32_t group = chunk_id_group(id);
    return group < view->map->group_count ? &view->map->groups[group] : NULL;
}

struct chunk_id pool_fragment_id(const struct pool_group *group, struct chunk_id id, uint32_t slot)
{
    GFS_ASSERT(slot < pool_profile_width(group->profile));
    return group->profile.kind == POOL_EC ? chunk_id_at(id, slot) : id;
}

const struct ec *pool_coder(struct pool *pool, struct pool_profile profile)
{
    GFS_ASSERT(profile.kind == POOL_EC);
    GFS_ASSERT(profile.k <= POOL_WIDTH_MAX && profile.m <= POOL_WIDTH_MAX);
    (void)pthread_mutex_lock(&pool->coder_lock);
    struct ec **coder = &pool->coders[profile.k][profile.m];
    if (*coder == NULL) {
        enum gfs_err err = ec_new(profile.k, profile.m, coder);
        GFS_ASSERT(err == GFS_OK);
    }
    const struct ec *made = *coder;
    (void)pthread_mutex_unlock(&pool->coder_lock);
    return made;
}
