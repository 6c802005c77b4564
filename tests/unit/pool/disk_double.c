#include "tests/unit/pool/disk_double.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/codec.h"
#include "libgoodfs/limits.h"
#include "tests/unit/pool/disk_double_state.h"

/* Counted by its user and by the events that name it. Guarded by the double's lock. */
struct chunk_bulk {
    struct disk_double *disk;
    struct chunk_bulk_options options;
    char owner[CHUNK_OWNER_LEN_MAX];
    char *bytes;
    char *room; /* a block, from op_bulk_room until the next append; NULL = none was asked for */
    size_t len;
    unsigned references, generation;
    bool is_freed, is_durable, is_short; /* short: writable is to be called */
    bool is_calling;                     /* its user, on `caller` */
    pthread_t caller;
    chunk_finished_fn finished;
};

struct disk_double *disk_double_of(struct chunk_store *store)
{
    return GFS_CONTAINER_OF(store, struct disk_double, base);
}

/* ---- deciding ---- */

/* Gone for good, so that whoever still looks there is found out. */
static void end_room_locked(struct chunk_bulk *bulk)
{
    if (bulk->room != NULL) {
        (void)munmap(GFS_TAKE(bulk->room), GFS_BLOCK_SIZE);
    }
}

static void bulk_unref_locked(struct chunk_bulk *bulk)
{
    if (--bulk->references == 0) {
        bulk->disk->counts.bulks_held--;
        end_room_locked(bulk);
        free(bulk->bytes);
        free(bulk);
    }
}

static void push_locked(struct disk_double *disk, enum event_kind kind, struct chunk_group *group,
                        struct chunk_bulk *bulk)
{
    struct event *event = gfs_alloc(sizeof *event);
    *event = (struct event){
        .kind = kind, .group = group, .bulk = bulk, .arrived_ns = gfs_monotonic_ns()};
    if (bulk != NULL) {
        bulk->references++;
    }
    *disk->tail = event;
    disk->tail = &event->next;
    disk->waiting++;
    gfs_cond_broadcast(&disk->changed);
}

static struct event *pop_locked(struct disk_double *disk)
{
    struct event *event = disk->first;
    if (event != NULL) {
        disk->first = event->next;
        disk->tail = disk->first == NULL ? &disk->first : disk->tail;
        disk->waiting--;
    }
    return event;
}

static void delete_ids_locked(struct disk_double *disk, struct gfs_slice ids)
{
    for (size_t at = 0; at + 16 <= ids.len; at += 16) {
        struct chunk_id id = {gfs_codec_load_u64(ids.ptr + at),
                              gfs_codec_load_u64(ids.ptr + at + 8)};
        (void)disk_double_remove_locked(disk, id);
        disk->counts.deleted_ids++;
    }
}

static void keep_group_locked(struct disk_double *disk, const struct chunk_group *group)
{
    for (const struct chunk_record *record = group->records; record != NULL;
         record = record->next) {
        switch (record->kind) {
        case CHUNK_RECORD_DATA:
            disk_double_put_locked(disk, record->id, record->owner, record->payload);
            disk->counts.data++;
            break;
        case CHUNK_RECORD_PLACE:
            GFS_ASSERT(record->bulk->disk == disk);
            GFS_ASSERT(record->bulk->is_durable);
            disk_double_put_locked(disk, record->bulk->options.id, record->bulk->options.owner,
                                   gfs_slice_of(record->bulk->bytes, record->bulk->len));
            disk->counts.places++;
            break;
        case CHUNK_RECORD_DELETE:
            delete_ids_locked(disk, record->payload);
            break;
        case CHUNK_RECORD_EDIT:
            disk_double_keep_edit_locked(disk, record->lsn, record->payload);
            disk->counts.edits++;
            break;
        case CHUNK_RECORD_GONE:
            disk->lsn_gone = GFS_MAX(disk->lsn_gone, record->lsn);
            break;
        }
    }
}

static bool is_stale(const struct disk_double *disk, const struct chunk_group *group)
{
    for (const struct chunk_record *record = group->records; record != NULL;
         record = record->next) {
        if (record->kind == CHUNK_RECORD_PLACE && record->bulk->generation != disk->generation) {
            return true;
        }
    }
    return false;
}

static enum gfs_err outcome_locked(struct disk_double *disk)
{
    if (disk->fail_in != 0 && --disk->fail_in == 0) {
        disk->is_failing = true;
    }
    if (disk->is_closed) {
        return GFS_STOPPED;
    }
    bool is_bad = disk->is_failing || disk->is_unwritable || disk->is_crashed;
    return is_bad ? GFS_IO : GFS_OK;
}

static void decide_group(struct disk_double *disk, struct chunk_group *group)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk_double_judge_fn judge = disk->judge;
    void *arg = disk->judge_arg;
    (void)pthread_mutex_unlock(&disk->lock);
    enum gfs_err err = judge == NULL ? GFS_OK : judge(arg, disk, group);
    (void)pthread_mutex_lock(&disk->lock);
    disk->is_failing = disk->is_failing || err == GFS_IO;
    enum gfs_err own = outcome_locked(disk);
    err = own != GFS_OK ? own : err;
    bool has_room = disk->room == DISK_DOUBLE_ROOM ||
                    (disk->room == DISK_DOUBLE_FULL && group->may_use_reserve);
    has_room = has_room && (disk->lsn_refused == 0 || group->after_lsn < disk->lsn_refused);
    if (err == GFS_OK && !has_room) {
        err = GFS_NO_SPACE;
    }
    if (err == GFS_OK && is_stale(disk, group)) {
        err = GFS_IO;
    }
    if (err == GFS_OK) {
        keep_group_locked(disk, group);
    }
    disk_double_note_refusal_locked(disk, group, err);
    disk->counts.refused += err != GFS_OK;
    if (err == GFS_NO_SPACE && disk->waiting == 0) {
        disk->lsn_submitted = disk->lsn_last; /* what was refused may be given again */
    }
    (void)pthread_mutex_unlock(&disk->lock);
    group->done(group, err);
}

static void decide_bulk(struct disk_double *disk, const struct event *event)
{
    struct chunk_bulk *bulk = event->bulk;
    (void)pthread_mutex_lock(&disk->lock);
    enum gfs_err err = outcome_locked(disk);
    bool is_freed = bulk->is_freed;
    bool is_finish = event->kind == EVENT_FINISH;
    bulk->is_durable = bulk->is_durable || (is_finish && err == GFS_OK);
    bulk->is_short = bulk->is_short && is_finish; /* before writable is called: it may append */
    bulk->is_calling = true;
    bulk->caller = pthread_self();
    (void)pthread_mutex_unlock(&disk->lock);
    if (!is_freed && is_finish) {
        bulk->finished(bulk->options.arg, err);
    } else if (!is_freed) {
        bulk->options.writable(bulk->options.arg);
    }
    (void)pthread_mutex_lock(&disk->lock);
    bulk->is_calling = false;
    gfs_cond_broadcast(&disk->changed);
    bulk_unref_locked(bulk);
    (void)pthread_mutex_unlock(&disk->lock);
}

static bool decide_one(struct disk_double *disk)
{
    (void)pthread_mutex_lock(&disk->deciding);
    (void)pthread_mutex_lock(&disk->lock);
    bool is_held = disk->is_hanging && !disk->is_crashed && !disk->is_closed;
    struct event *event = is_held ? NULL : pop_locked(disk);
    (void)pthread_mutex_unlock(&disk->lock);
    if (event != NULL && event->kind == EVENT_GROUP) {
        decide_group(disk, event->group);
    } else if (event != NULL) {
        decide_bulk(disk, event);
    }
    bool did = event != NULL;
    free(event);
    (void)pthread_mutex_unlock(&disk->deciding);
    return did;
}

/* Waits until the oldest event is due; false = something else must be looked at first. */
static bool is_due_locked(struct disk_double *disk)
{
    bool is_held = disk->is_hanging && !disk->is_crashed && !disk->is_closed;
    if (!disk->is_auto || disk->first == NULL || is_held) {
        gfs_cond_wait(&disk->changed, &disk->lock);
        return false;
    }
    int64_t due_ns = disk->first->arrived_ns + disk->delay_ns;
    if (disk->delay_ns == 0 || gfs_monotonic_ns() >= due_ns) {
        return true;
    }
    (void)gfs_cond_wait_until(&disk->changed, &disk->lock, due_ns);
    return false;
}

static void *decide_main(void *arg)
{
    struct disk_double *disk = arg;
    (void)pthread_mutex_lock(&disk->lock);
    while (!disk->is_stopping) {
        if (is_due_locked(disk)) {
            (void)pthread_mutex_unlock(&disk->lock);
            (void)decide_one(disk);
            (void)pthread_mutex_lock(&disk->lock);
        }
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return NULL;
}

/* ---- operations ---- */

static enum gfs_err op_new_id(struct chunk_store *store, struct gfs_slice storage_class,
                              uint64_t size, struct chunk_id *ret)
{
    (void)store;
    (void)size;
    *ret = chunk_id_new(0);
    return storage_class.len == 0 ? GFS_OK : GFS_INVALID;
}

static bool op_has_class(struct chunk_store *store, struct gfs_slice storage_class)
{
    (void)store;
    return storage_class.len == 0;
}

static void op_submit(struct chunk_store *store, struct chunk_group *group)
{
    struct disk_double *disk = disk_double_of(store);
    GFS_ASSERT(group->done != NULL);
    (void)pthread_mutex_lock(&disk->lock);
    for (const struct chunk_record *record = group->records; record != NULL;
         record = record->next) {
        if (record->kind == CHUNK_RECORD_EDIT) {
            GFS_ASSERT(record->lsn > disk->lsn_submitted);
            disk->lsn_submitted = record->lsn;
        }
    }
    disk->counts.groups++;
    push_locked(disk, EVENT_GROUP, group, NULL);
    (void)pthread_mutex_unlock(&disk->lock);
}

static enum gfs_err op_bulk_begin(struct chunk_store *store,
                                  const struct chunk_bulk_options *options, struct chunk_bulk **ret)
{
    struct disk_double *disk = disk_double_of(store);
    GFS_ASSERT(options->owner.len <= CHUNK_OWNER_LEN_MAX);
    (void)pthread_mutex_lock(&disk->lock);
    enum gfs_err err = GFS_OK;
    if (disk->is_failing || disk->is_unwritable || disk->is_crashed || disk->is_closed) {
        err = GFS_IO;
    } else if (disk->room != DISK_DOUBLE_ROOM) {
        err = GFS_NO_SPACE;
    } else if (disk->bulk_max != 0 && disk->counts.bulks_held >= disk->bulk_max) {
        err = GFS_BUSY;
    }
    if (err == GFS_OK) {
        struct chunk_bulk *bulk = gfs_alloc(sizeof *bulk);
        bulk->disk = disk;
        bulk->options = *options;
        if (options->owner.len != 0) {
            memcpy(bulk->owner, options->owner.ptr, options->owner.len);
        }
        bulk->options.owner = gfs_slice_of(bulk->owner, options->owner.len);
        bulk->bytes = gfs_alloc(options->len_max);
        bulk->references = 1;
        bulk->generation = disk->generation;
        disk->counts.bulks++;
        disk->counts.bulks_held++;
        *ret = bulk;
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return err;
}

static size_t op_bulk_append(struct chunk_bulk *bulk, const void *ptr, size_t len)
{
    struct disk_double *disk = bulk->disk;
    (void)pthread_mutex_lock(&disk->lock);
    GFS_ASSERT(bulk->finished == NULL);
    GFS_ASSERT(bulk->len + len <= bulk->options.len_max);
    size_t taken = bulk->is_short ? 0 : len;
    if (disk->append_max != 0) {
        taken = GFS_MIN(taken, disk->append_max);
    }
    if (taken != 0) {
        memcpy(bulk->bytes + bulk->len, ptr, taken);
    }
    if (taken == len) { /* of the rest of a block the caller still has to append from there */
        end_room_locked(bulk);
    }
    bulk->len += taken;
    disk->counts.appended_bytes += taken;
    if (taken < len && !bulk->is_short && bulk->options.writable != NULL) {
        bulk->is_short = true;
        push_locked(disk, EVENT_WRITABLE, NULL, bulk);
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return taken;
}

static void *op_bulk_room(struct chunk_bulk *bulk)
{
    struct disk_double *disk = bulk->disk;
    (void)pthread_mutex_lock(&disk->lock);
    GFS_ASSERT(bulk->finished == NULL);
    bool has_room = !disk->is_copying && bulk->len % GFS_BLOCK_SIZE == 0 && !bulk->is_short;
    if (has_room && bulk->room == NULL) {
        bulk->room =
            mmap(NULL, GFS_BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        GFS_ASSERT(bulk->room != MAP_FAILED);
    }
    char *room = has_room ? bulk->room : NULL;
    (void)pthread_mutex_unlock(&disk->lock);
    return room;
}

static void op_bulk_owner(struct chunk_bulk *bulk, struct gfs_slice owner)
{
    struct disk_double *disk = bulk->disk;
    GFS_ASSERT(owner.len <= CHUNK_OWNER_LEN_MAX);
    (void)pthread_mutex_lock(&disk->lock);
    GFS_ASSERT(bulk->finished == NULL);
    if (owner.len != 0) {
        memcpy(bulk->owner, owner.ptr, owner.len);
    }
    bulk->options.owner = gfs_slice_of(bulk->owner, owner.len);
    (void)pthread_mutex_unlock(&disk->lock);
}

static void op_bulk_finish(struct chunk_bulk *bulk, chunk_finished_fn finished)
{
    struct disk_double *disk = bulk->disk;
    (void)pthread_mutex_lock(&disk->lock);
    GFS_ASSERT(bulk->finished == NULL);
    bulk->finished = finished;
    push_locked(disk, EVENT_FINISH, NULL, bulk);
    (void)pthread_mutex_unlock(&disk->lock);
}

static void op_bulk_free(struct chunk_bulk *bulk)
{
    if (bulk == NULL) {
        return;
    }
    struct disk_double *disk = bulk->disk;
    (void)pthread_mutex_lock(&disk->lock);
    GFS_ASSERT(!bulk->is_freed);
    bulk->is_freed = true;
    while (bulk->is_calling && !pthread_equal(bulk->caller, pthread_self())) {
        gfs_cond_wait(&disk->changed, &disk->lock);
    }
    bulk_unref_locked(bulk);
    (void)pthread_mutex_unlock(&disk->lock);
}

static const struct chunk_store_ops double_ops = {
    .new_id = op_new_id,
    .has_class = op_has_class,
    .submit = op_submit,
    .bulk_begin = op_bulk_begin,
    .bulk_append = op_bulk_append,
    .bulk_room = op_bulk_room,
    .bulk_owner = op_bulk_owner,
    .bulk_finish = op_bulk_finish,
    .bulk_free = op_bulk_free,
    .pin = disk_double_op_pin,
    .unpin = disk_double_op_unpin,
    .read = disk_double_op_read,
    .owner = disk_double_op_owner,
    .prefetch = disk_double_op_prefetch,
    .list = disk_double_op_list,
    .status = disk_double_op_status,
    .repaired = disk_double_op_repaired,
    .verify_log = disk_double_op_verify_log,
    .replay_edits = disk_double_op_replay,
    .trim_edits = disk_double_op_trim,
};

/* ---- life ---- */

struct disk_double *disk_double_new(void)
{
    struct disk_double *disk = gfs_alloc(sizeof *disk);
    disk->base.ops = &double_ops;
    disk->tail = &disk->first;
    disk->is_auto = true;
    disk->space_total = disk->space_free = 1ULL << 40;
    (void)pthread_mutex_init(&disk->lock, NULL);
    (void)pthread_mutex_init(&disk->deciding, NULL);
    gfs_cond_init(&disk->changed);
    int rc = pthread_create(&disk->thread, NULL, decide_main, disk);
    GFS_ASSERT(rc == 0);
    return disk;
}

void disk_double_set_open(struct disk_double *disk, bool is_open)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk->is_closed = !is_open;
    if (is_open) {
        disk->is_crashed = false;
        disk->lsn_submitted = disk->lsn_last;
    } else {
        GFS_ASSERT(disk->counts.pins_held == 0);
        disk->generation++;
    }
    (void)pthread_mutex_unlock(&disk->lock);
    while (!is_open && decide_one(disk)) {
    }
}

void disk_double_free(struct disk_double *disk)
{
    if (disk == NULL) {
        return;
    }
    disk_double_set_open(disk, false);
    (void)pthread_mutex_lock(&disk->lock);
    disk->is_stopping = true;
    gfs_cond_broadcast(&disk->changed);
    (void)pthread_mutex_unlock(&disk->lock);
    (void)pthread_join(disk->thread, NULL);
    for (uint32_t i = 0; i < CHUNK_LIST_PARTS; i++) {
        while (disk->parts[i] != NULL) {
            (void)disk_double_remove_locked(disk, disk->parts[i]->id);
        }
    }
    disk_double_lose_edits_locked(disk);
    free(disk->edits);
    (void)pthread_mutex_destroy(&disk->lock);
    (void)pthread_mutex_destroy(&disk->deciding);
    gfs_cond_fini(&disk->changed);
    free(disk);
}

struct chunk_store *disk_double_store(struct disk_double *disk)
{
    return &disk->base;
}

/* ---- controls ---- */

size_t disk_double_decide(struct disk_double *disk, size_t count)
{
    size_t done = 0;
    while (done < count && decide_one(disk)) {
        done++;
    }
    return done;
}

void disk_double_await(struct disk_double *disk, size_t count)
{
    (void)pthread_mutex_lock(&disk->lock);
    while (disk->waiting < count) {
        gfs_cond_wait(&disk->changed, &disk->lock);
    }
    (void)pthread_mutex_unlock(&disk->lock);
}

void disk_double_await_replay(struct disk_double *disk)
{
    (void)pthread_mutex_lock(&disk->lock);
    while (disk->replays_blocked == 0) {
        gfs_cond_wait(&disk->changed, &disk->lock);
    }
    (void)pthread_mutex_unlock(&disk->lock);
}

void disk_double_crash(struct disk_double *disk, size_t keep)
{
    (void)pthread_mutex_lock(&disk->deciding);
    (void)pthread_mutex_lock(&disk->lock);
    bool can_keep = !disk->is_crashed && !disk->is_failing && !disk->is_closed;
    for (struct event *event = disk->first; event != NULL && keep > 0 && can_keep;
         event = event->next) {
        if (event->kind == EVENT_GROUP) {
            keep_group_locked(disk, event->group);
            keep--;
        }
    }
    disk->is_crashed = true;
    disk->generation++;
    gfs_cond_broadcast(&disk->changed);
    (void)pthread_mutex_unlock(&disk->lock);
    (void)pthread_mutex_unlock(&disk->deciding);
}

void disk_double_revive(struct disk_double *disk)
{
    (void)pthread_mutex_lock(&disk->lock);
    GFS_ASSERT(disk->waiting == 0);
    disk->is_crashed = disk->is_failing = disk->is_hanging = false;
    disk->fail_in = 0;
    disk->lsn_submitted = disk->lsn_last;
    gfs_cond_broadcast(&disk->changed);
    (void)pthread_mutex_unlock(&disk->lock);
}

void disk_double_set_judge(struct disk_double *disk, disk_double_judge_fn judge, void *arg)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk->judge = judge;
    disk->judge_arg = arg;
    (void)pthread_mutex_unlock(&disk->lock);
}

void disk_double_counts(struct disk_double *disk, struct disk_double_counts *ret)
{
    (void)pthread_mutex_lock(&disk->lock);
    *ret = disk->counts;
    (void)pthread_mutex_unlock(&disk->lock);
}

void disk_double_set_space(struct disk_double *disk, uint64_t total, uint64_t free_bytes)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk->space_total = total;
    disk->space_free = free_bytes;
    (void)pthread_mutex_unlock(&disk->lock);
}

/* Sets a field; whoever waits looks again. */
#define SET(name, type, field)                                                                     \
    void name(struct disk_double *disk, type value)                                                \
    {                                                                                              \
        (void)pthread_mutex_lock(&disk->lock);                                                     \
        disk->field = value;                                                                       \
        gfs_cond_broadcast(&disk->changed);                                                        \
        (void)pthread_mutex_unlock(&disk->lock);                                                   \
    }

SET(disk_double_set_auto, bool, is_auto)
SET(disk_double_set_delay, int64_t, delay_ns)
SET(disk_double_set_owner_delay, int64_t, owner_delay_ns)
SET(disk_double_fail, unsigned, fail_in)
SET(disk_double_set_unwritable, bool, is_unwritable)
SET(disk_double_hang, bool, is_hanging)
SET(disk_double_hang_log, bool, is_log_hanging)
SET(disk_double_set_room, enum disk_double_room, room)
SET(disk_double_set_cold, bool, is_cold)
SET(disk_double_set_append_max, size_t, append_max)
SET(disk_double_set_copying, bool, is_copying)
SET(disk_double_set_bulk_max, size_t, bulk_max)

#define GET(name, type, field)                                                                     \
    type name(struct disk_double *disk)                                                            \
    {                                                                                              \
        (void)pthread_mutex_lock(&disk->lock);                                                     \
        type value = disk->field;                                                                  \
        (void)pthread_mutex_unlock(&disk->lock);                                                   \
        return value;                                                                              \
    }

GET(disk_double_has_failed, bool, is_failing)
GET(disk_double_is_unwritable, bool, is_unwritable)
GET(disk_double_waiting, size_t, waiting)
GET(disk_double_chunks, size_t, chunk_count)
GET(disk_double_edits, size_t, edit_count)
GET(disk_double_trimmed, uint64_t, trimmed)
