/* Writing large chunks to a group.
 *
 * Each slot has a child: a bulk writer on its disk. Bytes become rows (pool_rows.h), of which each
 * cell is made in its child's own memory if that has some; a ready row goes to all children, and no
 * further byte is taken until each of them has its cell or is given up. A child that takes less
 * calls back when it has room and is served then, on its disk's thread; the user is told when the
 * last one has its cell. A child that has all its cells is finished.
 *
 *   a child:  WRITING --all cells, end of chunk--> FINISHING --> FINISHED
 *                 \------------ error, disk dropped, stalled ----------> LOST
 *
 * A child is stalled when it did not go on for slow_ms although its disk had that long to do
 * anything for any writer; or for STALL_FACTOR times as long, whatever the disk does. Lost children
 * only wait to be freed, with the writer or when their disk is to be closed (pool_leave.h). With
 * fewer than the write quorum left the chunk has failed: bytes are swallowed and finish says so.
 *
 * The view is only marked: a writer counts as work by its map, but it refers to the disks of its
 * children alone, and to one that was dropped no longer than anything is under way there.
 *
 * Locks, outermost first: a child's own (held by its store while it calls back), call_lock (held
 * while the user is called, so that free waits for that), lock. Children are freed with none of
 * ours held, and, but for lost ones, only when nobody refers to the writer: whoever drops the last
 * reference frees them, which waits for their callbacks, and those find is_ending. Appending to a
 * child and finishing it do not take its lock. */
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"
#include "pool/pool_bulk_state.h"

static struct pool_bulk *bulk_of(struct chunk_bulk *chunks)
{
    return (struct pool_bulk *)(void *)chunks;
}

/* ---- life ---- */

/* From here on the pool may close. */
static void uncount(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->view_lock);
    atomic_fetch_sub(&pool->bulk_count, 1);
    gfs_cond_broadcast(&pool->views_gone);
    (void)pthread_mutex_unlock(&pool->view_lock);
}

static void destroy(struct pool_bulk *bulk)
{
    for (unsigned i = 0; i < bulk->width; i++) {
        struct bulk_child *child = &bulk->children[i];
        if (child->chunks != NULL) {
            child->disk->store->ops->bulk_free(child->chunks);
        }
        if (child->disk != NULL) {
            pool_disk_unref(child->disk);
        }
    }
    pool_bulk_serve_end_rows(bulk);
    if (bulk->view != NULL) {
        pool_view_unmark(bulk->view);
    }
    uncount(bulk->pool);
    (void)pthread_mutex_destroy(&bulk->lock);
    (void)pthread_mutex_destroy(&bulk->call_lock);
    free(bulk);
}

void pool_bulk_unref(struct pool_bulk *bulk)
{
    (void)pthread_mutex_lock(&bulk->lock);
    GFS_ASSERT(bulk->references > 0);
    bool is_last = --bulk->references == 0;
    bulk->is_ending = is_last;
    (void)pthread_mutex_unlock(&bulk->lock);
    if (is_last) {
        destroy(bulk);
    }
}

static void link_bulk(struct pool *pool, struct pool_bulk *bulk)
{
    (void)pthread_mutex_lock(&pool->bulk_lock);
    bulk->next = pool->bulks;
    if (bulk->next != NULL) {
        bulk->next->previous = bulk;
    }
    pool->bulks = bulk;
    (void)pthread_mutex_unlock(&pool->bulk_lock);
}

static void unlink_bulk(struct pool *pool, struct pool_bulk *bulk)
{
    (void)pthread_mutex_lock(&pool->bulk_lock);
    *(bulk->previous == NULL ? &pool->bulks : &bulk->previous->next) = bulk->next;
    if (bulk->next != NULL) {
        bulk->next->previous = bulk->previous;
    }
    (void)pthread_mutex_unlock(&pool->bulk_lock);
}

void pool_bulk_tick(struct pool *pool, int64_t now_ns)
{
    (void)pthread_mutex_lock(&pool->bulk_lock);
    size_t size = atomic_load(&pool->bulk_count), count = 0; /* those that are linked, and more */
    GFS_FREE struct pool_bulk **bulks = gfs_alloc_array(size, sizeof *bulks);
    for (struct pool_bulk *bulk = pool->bulks; bulk != NULL; bulk = bulk->next) {
        (void)pthread_mutex_lock(&bulk->lock); /* linked: the user's reference is there */
        bool is_kept = bulk->is_answered && bulk->err == GFS_OK; /* no child is under way */
        bulk->references += is_kept ? 0 : 1;
        (void)pthread_mutex_unlock(&bulk->lock);
        if (!is_kept) {
            GFS_ASSERT(count < size);
            bulks[count++] = bulk;
        }
    }
    (void)pthread_mutex_unlock(&pool->bulk_lock);
    for (size_t i = 0; i < count; i++) {
        pool_bulk_serve_look_after(bulks[i], now_ns);
    }
}

void pool_bulk_leave_disk(struct pool *pool, const struct pool_disk *disk)
{
    /* a later one is looked at next time */
    size_t size = atomic_load(&pool->bulk_count), count = 0;
    GFS_FREE struct pool_bulk **bulks = gfs_alloc_array(GFS_MAX(size, (size_t)1), sizeof *bulks);
    (void)pthread_mutex_lock(&pool->bulk_lock);
    for (struct pool_bulk *bulk = pool->bulks; bulk != NULL && count < size; bulk = bulk->next) {
        if (pool_bulk_serve_has_left(bulk, disk)) {
            (void)pthread_mutex_lock(&bulk->lock); /* linked: the user's reference is there */
            bulk->references++;
            (void)pthread_mutex_unlock(&bulk->lock);
            bulks[count++] = bulk;
        }
    }
    (void)pthread_mutex_unlock(&pool->bulk_lock);
    for (size_t i = 0; i < count; i++) {
        pool_bulk_serve_leave_disk(bulks[i], disk);
        pool_bulk_unref(bulks[i]);
    }
}

/* ---- begin ---- */

static void init_locks(struct pool_bulk *bulk)
{
    pthread_mutexattr_t attr;
    int result = pthread_mutexattr_init(&attr);
    GFS_ASSERT(result == 0);
    (void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    result = pthread_mutex_init(&bulk->call_lock, &attr);
    GFS_ASSERT(result == 0);
    (void)pthread_mutexattr_destroy(&attr);
    result = pthread_mutex_init(&bulk->lock, NULL);
    GFS_ASSERT(result == 0);
}

static void set_owner(struct pool_bulk *bulk, struct gfs_slice owner)
{
    GFS_ASSERT(owner.len <= CHUNK_OWNER_LEN_MAX - FRAGMENT_OWNER_LEN);
    bulk->owner_len = owner.len;
    if (owner.len != 0) {
        memcpy(bulk->owner, owner.ptr, owner.len);
    }
}

static struct pool_bulk *bulk_new(struct pool *pool, struct pool_view *view,
                                  const struct pool_group *group,
                                  const struct chunk_bulk_options *options)
{
    struct pool_bulk *bulk = gfs_alloc(sizeof *bulk);
    bulk->pool = pool;
    bulk->view = view;
    bulk->profile = group->profile;
    bulk->id = options->id;
    set_owner(bulk, options->owner);
    bulk->len_max = options->len_max;
    bulk->writable = options->writable;
    bulk->arg = options->arg;
    bulk->references = 1;
    bulk->width = pool_profile_width(group->profile);
    bulk->rows_size = pool_rows_size(group->profile);
    init_locks(bulk);
    const struct ec *coder =
        group->profile.kind == POOL_EC ? pool_coder(pool, group->profile) : NULL;
    pool_rows_init(&bulk->rows, group->profile, coder);
    return bulk;
}

static enum gfs_err begin(struct pool *pool, struct pool_view *view,
                          const struct chunk_bulk_options *options, struct pool_bulk **ret)
{
    const struct pool_group *group = pool_view_group(view, options->id);
    if (group == NULL) {
        pool_view_put(view);
        uncount(pool);
        return GFS_INVALID;
    }
    struct pool_bulk *bulk = bulk_new(pool, view, group, options);
    uint64_t before = atomic_fetch_add(&pool->bulk_row_bytes, bulk->rows_size);
    bool is_room = before + bulk->rows_size <= POOL_BULK_ROWS_MAX;
    enum gfs_err err = view->is_read_only ? GFS_UNREACHABLE : is_room ? GFS_OK : GFS_BUSY;
    struct bulk_todo todo = {0};
    for (unsigned i = 0; i < bulk->width && err == GFS_OK; i++) {
        err = pool_bulk_serve_begin(bulk, view, i, &todo);
    }
    err = err == GFS_OK ? pool_bulk_serve_verdict(bulk) : err;
    pool_view_mark(view); /* an upload may take hours */
    bulk->references++;
    pool_bulk_serve_act(bulk, &todo);
    if (err != GFS_OK) {
        pool_bulk_unref(bulk);
        return err;
    }
    link_bulk(pool, bulk);
    *ret = bulk;
    return GFS_OK;
}

enum gfs_err pool_bulk_begin(struct chunk_store *chunks, const struct chunk_bulk_options *options,
                             struct chunk_bulk **ret)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    GFS_ASSERT(options->len_max >= 1 && options->len_max <= GFS_CHUNK_SIZE_MAX);
    if (atomic_fetch_add(&pool->bulk_count, 1) >= POOL_BULK_MAX) {
        uncount(pool);
        return GFS_BUSY;
    }
    struct pool_bulk *bulk = NULL;
    enum gfs_err err = begin(pool, pool_view_get(pool), options, &bulk);
    if (err == GFS_OK) {
        *ret = (struct chunk_bulk *)(void *)bulk;
    }
    return err;
}

/* ---- the user's side ---- */

size_t pool_bulk_append(struct chunk_bulk *chunks, const void *ptr, size_t len)
{
    struct pool_bulk *bulk = bulk_of(chunks);
    const char *bytes = ptr;
    struct bulk_todo todo = {0};
    size_t taken = 0;
    (void)pthread_mutex_lock(&bulk->lock);
    GFS_ASSERT(!bulk->is_finishing);
    GFS_ASSERT(len <= bulk->len_max - bulk->appended);
    bulk->is_user_waiting = false;
    while (bulk->err == GFS_OK) {
        if (bulk->rows.cell == 0) {
            if (taken < len && pool_rows_is_at_start(&bulk->rows)) {
                pool_bulk_serve_places_locked(bulk);
            }
            taken += pool_rows_add(&bulk->rows, bytes + taken, len - taken);
        }
        if (bulk->rows.cell == 0) {
            break; /* everything is taken, no row is ready */
        }
        pool_bulk_serve_all_locked(bulk, &todo);
        if (bulk->rows.cell != 0) { /* somebody is slower */
            pool_rows_keep(&bulk->rows);
            bulk->is_user_waiting = taken < len;
            break;
        }
    }
    taken = bulk->err == GFS_OK ? taken : len;
    bulk->appended += (uint32_t)taken;
    bulk->references++;
    (void)pthread_mutex_unlock(&bulk->lock);
    pool_bulk_serve_act(bulk, &todo);
    return taken;
}

void pool_bulk_owner(struct chunk_bulk *chunks, struct gfs_slice owner)
{
    struct pool_bulk *bulk = bulk_of(chunks);
    (void)pthread_mutex_lock(&bulk->lock);
    GFS_ASSERT(!bulk->is_finishing);
    set_owner(bulk, owner);
    bulk->is_owner_new = true;
    (void)pthread_mutex_unlock(&bulk->lock);
}

void pool_bulk_finish(struct chunk_bulk *chunks, chunk_finished_fn finished)
{
    struct pool_bulk *bulk = bulk_of(chunks);
    struct bulk_todo todo = {0};
    GFS_ASSERT(finished != NULL);
    (void)pthread_mutex_lock(&bulk->lock);
    GFS_ASSERT(!bulk->is_finishing);
    GFS_ASSERT(bulk->appended > 0);
    bulk->finished = finished;
    bulk->is_finishing = true;
    bulk->is_user_waiting = false;
    bulk->references++;
    if (bulk->err == GFS_OK) {
        pool_rows_seal(&bulk->rows);
        pool_bulk_serve_all_locked(bulk, &todo);
    }
    pool_bulk_serve_leave(bulk, &todo);
}

void pool_bulk_free(struct chunk_bulk *chunks)
{
    if (chunks == NULL) {
        return;
    }
    struct pool_bulk *bulk = bulk_of(chunks);
    (void)pthread_mutex_lock(&bulk->call_lock);
    GFS_ASSERT(!bulk->is_freed);
    bulk->is_freed = true;
    (void)pthread_mutex_unlock(&bulk->call_lock);
    unlink_bulk(bulk->pool, bulk);
    /* It is answered. What a disk that hangs may still do for it is no work by its map. */
    pool_view_unmark(GFS_TAKE(bulk->view));
    pool_bulk_unref(bulk);
}

void pool_bulk_release(struct chunk_bulk *chunks)
{
    pool_bulk_unref(bulk_of(chunks));
}

unsigned pool_bulk_parts(struct chunk_bulk *chunks, struct chunk_id *ret_id,
                         struct pool_bulk_part ret[POOL_WIDTH_MAX])
{
    struct pool_bulk *bulk = bulk_of(chunks);
    (void)pthread_mutex_lock(&bulk->lock);
    GFS_ASSERT(bulk->is_answered);
    bulk->references++;
    bulk->is_placed = true;
    for (unsigned i = 0; i < bulk->width; i++) {
        const struct bulk_child *child = &bulk->children[i];
        ret[i].disk = child->disk;
        ret[i].number = child->number;
        ret[i].child = child->state == CHILD_FINISHED ? child->chunks : NULL;
    }
    (void)pthread_mutex_unlock(&bulk->lock);
    *ret_id = bulk->id;
    return bulk->width;
}
