/* The children of a large chunk's writer: giving them their cells, and hearing from them. */
#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_bulk_state.h"

enum { STALL_FACTOR = 5 };
#define NS_PER_MS 1000000LL

static const struct chunk_store_ops *ops_of(const struct bulk_child *child)
{
    return child->disk->store->ops;
}

/* ---- losing children ---- */

enum gfs_err pool_bulk_serve_verdict(const struct pool_bulk *bulk)
{
    unsigned quorum = pool_profile_quorum(bulk->profile);
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
        todo->drops[todo->drop_count].disk = pool_disk_ref(child->disk);
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
    return pool_fragment_owner_write(bulk->profile, (uint32_t)(child - bulk->children), chunk_len,
                                     gfs_slice_of(bulk->owner, bulk->owner_len), ret);
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

void pool_bulk_serve_places_locked(struct pool_bulk *bulk)
{
    for (unsigned i = 0; i < bulk->width; i++) {
        struct bulk_child *child = &bulk->children[i];
        if (child->state == CHILD_WRITING && ops_of(child)->bulk_room != NULL) {
            GFS_ASSERT(!child->is_waiting); /* that is for a row's end, and this is a row's start */
            pool_rows_place(&bulk->rows, i, ops_of(child)->bulk_room(child->chunks));
        }
    }
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
        bulk->err = pool_bulk_serve_verdict(bulk);
    }
    if (bulk->rows.cell == 0 || (bulk->err == GFS_OK && is_row_pending_locked(bulk))) {
        return;
    }
    pool_rows_next(&bulk->rows);
    for (unsigned i = 0; i < bulk->width; i++) {
        bulk->children[i].taken = 0;
    }
}

void pool_bulk_serve_all_locked(struct pool_bulk *bulk, struct bulk_todo *todo)
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

void pool_bulk_serve_end_rows(struct pool_bulk *bulk)
{
    pool_rows_fini(&bulk->rows);
    atomic_fetch_sub(&bulk->pool->bulk_row_bytes, bulk->rows_size);
    bulk->rows_size = 0;
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
        pool_bulk_serve_end_rows(bulk);
        todo->is_finished = true;
        todo->err = bulk->err;
    }
}

/* With a reference, which is given back, and no lock held but perhaps a child's. */
void pool_bulk_serve_act(struct pool_bulk *bulk, const struct bulk_todo *todo)
{
    for (unsigned i = 0; i < todo->drop_count; i++) {
        pool_disk_drop(bulk->pool, todo->drops[i].disk, todo->drops[i].err, "write");
        pool_disk_unref(todo->drops[i].disk);
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
    pool_bulk_unref(bulk);
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

void pool_bulk_serve_leave(struct pool_bulk *bulk, struct bulk_todo *todo)
{
    settle_locked(bulk, todo);
    (void)pthread_mutex_unlock(&bulk->lock);
    pool_bulk_serve_act(bulk, todo);
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
    pool_bulk_serve_leave(child->bulk, &todo);
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
    pool_bulk_serve_leave(child->bulk, &todo);
}

static bool is_stalled(const struct bulk_child *child, int64_t now_ns)
{
    int64_t slow_ns = (int64_t)child->bulk->pool->options.slow_ms * NS_PER_MS;
    bool owes =
        child->state == CHILD_FINISHING || (child->state == CHILD_WRITING && child->is_waiting);
    int64_t quiet_ns = now_ns - child->since_ns;
    int64_t disk_quiet_ns = now_ns - (int64_t)atomic_load(&child->disk->progress_ns);
    return owes && quiet_ns > slow_ns &&
           (disk_quiet_ns > slow_ns || quiet_ns > STALL_FACTOR * slow_ns);
}

/* ---- letting go of lost children ---- */

/* Nothing will come of it, and its disk is to be closed. FINISHED ones are lost as well: what is
 * not live when the disk is opened again is gone. */
static bool is_to_be_left(const struct bulk_child *child, const struct pool_disk *disk)
{
    return (child->state == CHILD_LOST || child->state == CHILD_FINISHED) && child->disk == disk &&
           atomic_load(&disk->is_dropped);
}

static struct bulk_child *find_left_locked(struct pool_bulk *bulk, const struct pool_disk *disk)
{
    struct bulk_child *found = NULL;
    for (unsigned i = 0; i < bulk->width && found == NULL && !bulk->is_placed; i++) {
        found = is_to_be_left(&bulk->children[i], disk) ? &bulk->children[i] : NULL;
    }
    return found;
}

bool pool_bulk_serve_has_left(struct pool_bulk *bulk, const struct pool_disk *disk)
{
    (void)pthread_mutex_lock(&bulk->lock);
    bool has_left = find_left_locked(bulk, disk) != NULL;
    (void)pthread_mutex_unlock(&bulk->lock);
    return has_left;
}

/* It is nobody else's from here on, but for callbacks of its own. */
static struct chunk_bulk *take_chunks_locked(struct bulk_child *child)
{
    struct pool_bulk *bulk = child->bulk;
    bulk->alive_count -= child->state == CHILD_FINISHED && !bulk->is_answered ? 1 : 0;
    child->state = CHILD_LOST;
    pool_rows_unplace(&bulk->rows, (unsigned)(child - bulk->children));
    return GFS_TAKE(child->chunks);
}

void pool_bulk_serve_leave_disk(struct pool_bulk *bulk, const struct pool_disk *disk)
{
    struct bulk_child *child;
    (void)pthread_mutex_lock(&bulk->lock);
    while ((child = find_left_locked(bulk, disk)) != NULL) {
        struct chunk_bulk *chunks = take_chunks_locked(child);
        (void)pthread_mutex_unlock(&bulk->lock);
        ops_of(child)->bulk_free(chunks); /* waits for its callbacks, which need the disk */
        (void)pthread_mutex_lock(&bulk->lock);
        if (!bulk->is_placed) { /* with its disk */
            pool_disk_unref(GFS_TAKE(child->disk));
        }
    }
    (void)pthread_mutex_unlock(&bulk->lock);
}

void pool_bulk_serve_look_after(struct pool_bulk *bulk, int64_t now_ns)
{
    struct bulk_todo todo = {0};
    (void)pthread_mutex_lock(&bulk->lock);
    for (unsigned i = 0; i < bulk->width; i++) {
        struct bulk_child *child = &bulk->children[i];
        bool is_under_way = child->state == CHILD_WRITING || child->state == CHILD_FINISHING;
        if (is_under_way && (atomic_load(&child->disk->is_dropped) || is_stalled(child, now_ns))) {
            lose_locked(child, GFS_TIMEOUT, &todo);
        }
    }
    pool_bulk_serve_leave(bulk, &todo);
}

/* ---- begin ---- */

/* BUSY: it can be tried again. All else costs this slot only. */
enum gfs_err pool_bulk_serve_begin(struct pool_bulk *bulk, const struct pool_view *view,
                                   unsigned slot, struct bulk_todo *todo)
{
    struct bulk_child *child = &bulk->children[slot];
    struct pool_profile profile = bulk->profile;
    const struct pool_group *group = pool_view_group(view, bulk->id);
    uint16_t number = group->slots[slot].disk;
    struct pool_disk *disk = number < POOL_DISKS_MAX ? view->disks[number] : NULL;
    child->bulk = bulk;
    child->disk = disk == NULL ? NULL : pool_disk_ref(disk);
    child->number = number;
    if (!pool_disk_is_usable(child->disk)) {
        return GFS_OK;
    }
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t owner_len = child_owner(child, bulk->len_max, owner);
    struct chunk_bulk_options options = {
        .id = pool_fragment_id(group, bulk->id, slot),
        .owner = gfs_slice_of(owner, owner_len),
        .len_max =
            profile.kind == POOL_EC ? pool_fragment_len(profile.k, bulk->len_max) : bulk->len_max,
        .writable = child_writable,
        .arg = child,
    };
    enum gfs_err err = ops_of(child)->bulk_begin(child->disk->store, &options, &child->chunks);
    child->state = CHILD_WRITING;
    bulk->alive_count++;
    if (err != GFS_OK && err != GFS_BUSY) {
        lose_locked(child, err, todo);
    }
    return err == GFS_BUSY ? GFS_BUSY : GFS_OK;
}
