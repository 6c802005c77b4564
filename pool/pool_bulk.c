/* Writing large chunks to a group.
 *
 * Each slot has a child: a bulk writer on its disk. Bytes become rows (pool_rows.h); a ready row goes
 * to all children, and no further byte is taken until each of them has its cell or is given up. A
 * child that takes less calls back when it has room and is served then, on its disk's thread; the
 * user is told when the last one has its cell. A child is finished as soon as it has all its cells.
 *
 *   a child:  WRITING --all cells, end of chunk--> FINISHING --> FINISHED
 *                 \------------ error, disk dropped, stalled ----------> LOST
 *
 * A child is stalled when it did not go on for slow_ms although its disk had that long to do
 * anything for any writer; or for STALL_FACTOR times as long, whatever the disk does. Lost children
 * only wait to be freed. With fewer than the write quorum left the chunk has failed: bytes are
 * swallowed and finish says so.
 *
 * Locks, outermost first: a child's own (held by its store while it calls back), call_lock (held
 * while the user is called, so that free waits for that), lock. Children are freed with none of ours
 * held, and only when nobody refers to the writer: whoever drops the last reference frees them,
 * which waits for their callbacks, and those find is_ending. Appending to a child and finishing it
 * do not take its lock. */
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_rows.h"
#include "pool/pool_state.h"

enum { STALL_FACTOR = 5 };
#define NS_PER_MS 1000000LL

enum child_state { CHILD_LOST = 0, CHILD_WRITING, CHILD_FINISHING, CHILD_FINISHED };

/* Guarded by the writer's lock, except bulk and disk, which never change. */
struct bulk_child {
    struct pool_bulk *bulk;
    struct pool_disk *disk; /* of the view */
    struct chunk_bulk *chunks; /* the disk's writer, NULL = never begun */
    enum child_state state;
    bool is_waiting;  /* it took less and will call */
    uint32_t taken;   /* bytes of the ready row's cell */
    int64_t since_ns; /* it went on last */
};

struct pool_bulk {
    struct pool *pool;
    struct pool_view *view;
    const struct pool_group *group;
    struct chunk_id id;
    uint32_t len_max;
    chunk_writable_fn writable;
    void *arg;
    struct pool_bulk *next, *previous; /* pool->bulks, guarded by its bulk_lock */

    pthread_mutex_t call_lock; /* recursive */
    bool is_freed;             /* guarded by call_lock */

    pthread_mutex_t lock; /* guards the rest */
    unsigned references;
    bool is_ending; /* no reference is left */
    bool is_user_waiting, is_finishing, is_answered;
    enum gfs_err err; /* the chunk has failed */
    uint32_t appended;
    char owner[CHUNK_OWNER_LEN_MAX]; /* the gateway's */
    size_t owner_len;
    bool is_owner_new; /* another than the children were begun with */
    struct pool_rows rows;
    unsigned width, alive_count, no_space_count;
    chunk_finished_fn finished;
    struct bulk_child children[POOL_WIDTH_MAX];
};

/* What is to be done once the lock is not held. */
struct bulk_todo {
    bool is_writable, is_finished;
    enum gfs_err err; /* of finished */
    unsigned drop_count;
    struct {
        struct pool_disk *disk;
        enum gfs_err err;
    } drops[POOL_WIDTH_MAX];
};

static struct pool_bulk *bulk_of(struct chunk_bulk *chunks)
{
    return (struct pool_bulk *)(void *)chunks;
}

static const struct chunk_store_ops *ops_of(const struct bulk_child *child)
{
    return child->disk->store->ops;
}

/* ---- life ---- */

static void destroy(struct pool_bulk *bulk)
{
    for (unsigned i = 0; i < bulk->width; i++) {
        struct bulk_child *child = &bulk->children[i];
        if (child->chunks != NULL) {
            ops_of(child)->bulk_free(child->chunks);
        }
    }
    struct pool *pool = bulk->pool;
    pool_rows_fini(&bulk->rows);
    pool_view_put(bulk->view);
    (void)pthread_mutex_destroy(&bulk->lock);
    (void)pthread_mutex_destroy(&bulk->call_lock);
    free(bulk);
    atomic_fetch_sub(&pool->bulk_count, 1);
}

static void unref(struct pool_bulk *bulk)
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

/* ---- losing children ---- */

static enum gfs_err verdict(const struct pool_bulk *bulk)
{
    unsigned quorum = pool_profile_quorum(bulk->group->profile);
    if (bulk->alive_count >= quorum) {
        return GFS_OK;
    }
    return bulk->alive_count + bulk->no_space_count >= quorum ? GFS_NO_SPACE : GFS_UNREACHABLE;
}

static void lose_locked(struct bulk_child *child, enum gfs_err err, struct bulk_todo *todo)
{
    struct pool_bulk *bulk = child->bulk;
    GFS_ASSERT(child->state != CHILD_LOST);
    child->state = CHILD_LOST;
    bulk->alive_count--;
    bulk->no_space_count += err == GFS_NO_SPACE;
    if (err != GFS_NO_SPACE && !atomic_load(&child->disk->is_dropped)) {
        todo->drops[todo->drop_count].disk = child->disk;
        todo->drops[todo->drop_count++].err = err;
    }
}

/* ---- rows to children ---- */

static void child_writable(void *arg);
static void child_finished(void *arg, enum gfs_err err);

/* What the child's disk keeps with the fragment of a chunk of that length. */
static size_t child_owner(const struct bulk_child *child, uint32_t chunk_len, char *ret)
{
    const struct pool_bulk *bulk = child->bulk;
    return pool_fragment_owner_write(bulk->group->profile, (uint32_t)(child - bulk->children),
                                     chunk_len, gfs_slice_of(bulk->owner, bulk->owner_len), ret);
}

static void finish_child_locked(struct bulk_child *child)
{
    struct pool_bulk *bulk = child->bulk;
    if (bulk->appended != bulk->len_max || bulk->is_owner_new) { /* begin's says len_max */
        char owner[CHUNK_OWNER_LEN_MAX];
        size_t len = child_owner(child, bulk->appended, owner);
        ops_of(child)->bulk_owner(child->chunks, gfs_slice_of(owner, len));
    }
    child->state = CHILD_FINISHING;
    child->since_ns = gfs_monotonic_ns();
    ops_of(child)->bulk_finish(child->chunks, child_finished);
}

/* Gives the child what it lacks of the ready row, and the end. */
static void serve_locked(struct bulk_child *child, struct bulk_todo *todo)
{
    struct pool_bulk *bulk = child->bulk;
    if (child->state != CHILD_WRITING || child->is_waiting) {
        return;
    }
    if (atomic_load(&child->disk->is_dropped)) {
        lose_locked(child, GFS_IO, todo);
        return;
    }
    const uint8_t *cell = bulk->rows.cells[child - bulk->children];
    uint32_t left = bulk->rows.cell - child->taken;
    if (left > 0) {
        size_t taken = ops_of(child)->bulk_append(child->chunks, cell + child->taken, left);
        child->taken += (uint32_t)taken;
        child->is_waiting = taken < left;
        if (child->is_waiting) {
            child->since_ns = gfs_monotonic_ns();
            return;
        }
    }
    if (bulk->is_finishing) {
        finish_child_locked(child);
    }
}

static bool is_row_pending_locked(const struct pool_bulk *bulk)
{
    for (unsigned i = 0; i < bulk->width && bulk->rows.cell != 0; i++) {
        const struct bulk_child *child = &bulk->children[i];
        if (child->state == CHILD_WRITING && child->taken < bulk->rows.cell) {
            return true;
        }
    }
    return false;
}

/* After anything happened to children: failure, end of the row. */
static void settle_row_locked(struct pool_bulk *bulk)
{
    if (bulk->err == GFS_OK) {
        bulk->err = verdict(bulk);
    }
    if (bulk->rows.cell == 0 || (bulk->err == GFS_OK && is_row_pending_locked(bulk))) {
        return;
    }
    pool_rows_next(&bulk->rows);
    for (unsigned i = 0; i < bulk->width; i++) {
        bulk->children[i].taken = 0;
    }
}

static void serve_all_locked(struct pool_bulk *bulk, struct bulk_todo *todo)
{
    for (unsigned i = 0; i < bulk->width && bulk->err == GFS_OK; i++) {
        serve_locked(&bulk->children[i], todo);
    }
    settle_row_locked(bulk);
}

/* ---- answers ---- */

static bool is_finished_locked(const struct pool_bulk *bulk)
{
    for (unsigned i = 0; i < bulk->width && bulk->err == GFS_OK; i++) {
        enum child_state state = bulk->children[i].state;
        if (state == CHILD_WRITING || state == CHILD_FINISHING) {
            return false;
        }
    }
    return true;
}

/* What the user must hear now. */
static void settle_locked(struct pool_bulk *bulk, struct bulk_todo *todo)
{
    settle_row_locked(bulk);
    if (bulk->is_user_waiting && bulk->rows.cell == 0) {
        bulk->is_user_waiting = false;
        todo->is_writable = true;
    }
    if (bulk->is_finishing && !bulk->is_answered && is_finished_locked(bulk)) {
        bulk->is_answered = true;
        todo->is_finished = true;
        todo->err = bulk->err;
    }
}

/* With a reference, which is given back, and no lock held but perhaps a child's. */
static void act(struct pool_bulk *bulk, const struct bulk_todo *todo)
{
    for (unsigned i = 0; i < todo->drop_count; i++) {
        pool_disk_drop(bulk->pool, todo->drops[i].disk, todo->drops[i].err, "write");
    }
    if (todo->is_writable || todo->is_finished) {
        (void)pthread_mutex_lock(&bulk->call_lock);
        if (todo->is_writable && !bulk->is_freed && bulk->writable != NULL) {
            bulk->writable(bulk->arg);
        }
        if (todo->is_finished && !bulk->is_freed) {
            bulk->finished(bulk->arg, todo->err);
        }
        (void)pthread_mutex_unlock(&bulk->call_lock);
    }
    unref(bulk);
}

/* ---- callbacks of children, on their disks' threads ---- */

/* Locks the writer; false: it ends, and must not be touched. */
static bool enter(struct bulk_child *child)
{
    struct pool_bulk *bulk = child->bulk;
    (void)pthread_mutex_lock(&bulk->lock);
    if (bulk->is_ending) {
        (void)pthread_mutex_unlock(&bulk->lock);
        return false;
    }
    bulk->references++;
    child->since_ns = gfs_monotonic_ns();
    atomic_store(&child->disk->progress_ns, child->since_ns);
    return true;
}

static void leave(struct pool_bulk *bulk, struct bulk_todo *todo)
{
    settle_locked(bulk, todo);
    (void)pthread_mutex_unlock(&bulk->lock);
    act(bulk, todo);
}

static void child_writable(void *arg)
{
    struct bulk_child *child = arg;
    if (!enter(child)) {
        return;
    }
    struct bulk_todo todo = {0};
    child->is_waiting = false;
    if (child->bulk->err == GFS_OK) {
        serve_locked(child, &todo);
    }
    leave(child->bulk, &todo);
}

static void child_finished(void *arg, enum gfs_err err)
{
    struct bulk_child *child = arg;
    if (!enter(child)) {
        return;
    }
    struct bulk_todo todo = {0};
    if (child->state == CHILD_FINISHING && err == GFS_OK) {
        child->state = CHILD_FINISHED;
    } else if (child->state == CHILD_FINISHING) {
        lose_locked(child, err, &todo);
    }
    leave(child->bulk, &todo);
}

static bool is_stalled(const struct bulk_child *child, int64_t now_ns)
{
    int64_t slow_ns = (int64_t)child->bulk->pool->options.slow_ms * NS_PER_MS;
    bool owes = child->state == CHILD_FINISHING ||
                (child->state == CHILD_WRITING && child->is_waiting);
    int64_t quiet_ns = now_ns - child->since_ns;
    int64_t disk_quiet_ns = now_ns - (int64_t)atomic_load(&child->disk->progress_ns);
    return owes && quiet_ns > slow_ns &&
           (disk_quiet_ns > slow_ns || quiet_ns > STALL_FACTOR * slow_ns);
}

static void look_after(struct pool_bulk *bulk, int64_t now_ns)
{
    struct bulk_todo todo = {0};
    (void)pthread_mutex_lock(&bulk->lock);
    for (unsigned i = 0; i < bulk->width; i++) {
        struct bulk_child *child = &bulk->children[i];
        bool is_under_way = child->state == CHILD_WRITING || child->state == CHILD_FINISHING;
        if (is_under_way &&
            (atomic_load(&child->disk->is_dropped) || is_stalled(child, now_ns))) {
            lose_locked(child, GFS_TIMEOUT, &todo);
        }
    }
    leave(bulk, &todo);
}

void pool_bulk_tick(struct pool *pool, int64_t now_ns)
{
    struct pool_bulk *bulks[POOL_BULK_MAX];
    size_t count = 0;
    (void)pthread_mutex_lock(&pool->bulk_lock);
    for (struct pool_bulk *bulk = pool->bulks; bulk != NULL; bulk = bulk->next) {
        (void)pthread_mutex_lock(&bulk->lock); /* linked: the user's reference is there */
        bulk->references++;
        (void)pthread_mutex_unlock(&bulk->lock);
        GFS_ASSERT(count < POOL_BULK_MAX);
        bulks[count++] = bulk;
    }
    (void)pthread_mutex_unlock(&pool->bulk_lock);
    for (size_t i = 0; i < count; i++) {
        look_after(bulks[i], now_ns);
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

/* BUSY: it can be tried again. All else costs this slot only. */
static enum gfs_err begin_child(struct pool_bulk *bulk, unsigned slot, struct bulk_todo *todo)
{
    struct bulk_child *child = &bulk->children[slot];
    struct pool_profile profile = bulk->group->profile;
    uint16_t number = bulk->group->slots[slot].disk;
    child->bulk = bulk;
    child->disk = number < POOL_DISKS_MAX ? bulk->view->disks[number] : NULL;
    if (!pool_disk_is_usable(child->disk)) {
        return GFS_OK;
    }
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t owner_len = child_owner(child, bulk->len_max, owner);
    struct chunk_bulk_options options = {
        .id = pool_fragment_id(bulk->group, bulk->id, slot),
        .owner = gfs_slice_of(owner, owner_len),
        .len_max = profile.kind == POOL_EC ? pool_fragment_len(profile.k, bulk->len_max)
                                           : bulk->len_max,
        .writable = child_writable,
        .arg = child,
    };
    enum gfs_err err =
        ops_of(child)->bulk_begin(child->disk->store, &options, &child->chunks);
    child->state = CHILD_WRITING;
    bulk->alive_count++;
    if (err != GFS_OK && err != GFS_BUSY) {
        lose_locked(child, err, todo);
    }
    return err == GFS_BUSY ? GFS_BUSY : GFS_OK;
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
    bulk->group = group;
    bulk->id = options->id;
    set_owner(bulk, options->owner);
    bulk->len_max = options->len_max;
    bulk->writable = options->writable;
    bulk->arg = options->arg;
    bulk->references = 1;
    bulk->width = pool_profile_width(group->profile);
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
        atomic_fetch_sub(&pool->bulk_count, 1);
        return GFS_INVALID;
    }
    struct pool_bulk *bulk = bulk_new(pool, view, group, options);
    enum gfs_err err = view->is_read_only ? GFS_UNREACHABLE : GFS_OK;
    struct bulk_todo todo = {0};
    for (unsigned i = 0; i < bulk->width && err == GFS_OK; i++) {
        err = begin_child(bulk, i, &todo);
    }
    err = err == GFS_OK ? verdict(bulk) : err;
    bulk->references++;
    act(bulk, &todo);
    if (err != GFS_OK) {
        unref(bulk);
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
        atomic_fetch_sub(&pool->bulk_count, 1);
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
            taken += pool_rows_add(&bulk->rows, bytes + taken, len - taken);
        }
        if (bulk->rows.cell == 0) {
            break; /* everything is taken, no row is ready */
        }
        serve_all_locked(bulk, &todo);
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
    act(bulk, &todo);
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
        serve_all_locked(bulk, &todo);
    }
    leave(bulk, &todo);
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
    unref(bulk);
}

void pool_bulk_release(struct chunk_bulk *chunks)
{
    unref(bulk_of(chunks));
}

unsigned pool_bulk_parts(struct chunk_bulk *chunks, struct chunk_id *ret_id,
                         struct pool_bulk_part ret[POOL_WIDTH_MAX])
{
    struct pool_bulk *bulk = bulk_of(chunks);
    (void)pthread_mutex_lock(&bulk->lock);
    GFS_ASSERT(bulk->is_answered);
    bulk->references++;
    for (unsigned i = 0; i < bulk->width; i++) {
        const struct bulk_child *child = &bulk->children[i];
        ret[i].disk = child->disk;
        ret[i].child = child->state == CHILD_FINISHED ? child->chunks : NULL;
    }
    (void)pthread_mutex_unlock(&bulk->lock);
    *ret_id = bulk->id;
    return bulk->width;
}
