#include "pool/pool_log.h"

#include <stdlib.h>

#include "libgoodfs/buf.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"

/* ---- replay ---- */

struct replay {
    uint64_t last; /* the highest LSN visited */
    enum gfs_err visit_err;
    enum gfs_err (*visit)(void *arg, uint64_t lsn, struct gfs_slice edit);
    void *arg;
};

static enum gfs_err replay_one(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct replay *replay = arg;
    replay->visit_err = replay->visit(replay->arg, lsn, edit);
    if (replay->visit_err == GFS_OK) {
        replay->last = lsn;
    }
    return replay->visit_err;
}

enum gfs_err pool_replay_edits(struct chunk_store *chunks, uint64_t after,
                               enum gfs_err (*visit)(void *arg, uint64_t lsn,
                                                     struct gfs_slice edit),
                               void *arg, struct gfs_error *error)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    struct pool_view *view = pool_view_get_pinned(pool); /* reading may take long */
    struct replay replay = {.last = after, .visit = visit, .arg = arg};
    enum gfs_err err = gfs_fail(error, GFS_UNREACHABLE, "no disk with the metadata's log is there");
    for (uint32_t i = 0; i < view->map->log_disk_count && err != GFS_OK; i++) {
        uint16_t number = view->map->log_disks[i].disk;
        struct pool_disk *disk = view->disks[number];
        if (!view->map->log_disks[i].is_in_sync || !pool_disk_is_usable(disk)) {
            continue;
        }
        err = disk->store->ops->replay_edits(disk->store, replay.last, replay_one, &replay, error);
        if (replay.visit_err != GFS_OK) {
            break;
        }
        if (err != GFS_OK) {
            (void)gfs_wrap(error, err, "disk %u", number);
            gfs_log(GFS_LOG_WARN,
                    "op=replay disk=%u lsn=%llu err=%s msg=\"the log is read on "
                    "from the next mirror\"",
                    number, (unsigned long long)replay.last, gfs_err_name(err));
        }
    }
    pool_view_unpin(view);
    return err;
}

void pool_trim_edits(struct chunk_store *chunks, uint64_t lsn)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    if (atomic_load(&pool->is_log_held)) {
        return; /* there will be a later one */
    }
    uint64_t before = atomic_load(&pool->lsn_trimmed);
    while (before < lsn && !atomic_compare_exchange_weak(&pool->lsn_trimmed, &before, lsn)) {
    }
    struct pool_view *view = pool_view_get(pool);
    /* Disks that were mirrors once as well: nobody needs what they have. */
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        if (pool_disk_is_usable(view->disks[i])) {
            struct chunk_store *store = view->disks[i]->store;
            store->ops->trim_edits(store, lsn);
        }
    }
    pool_view_put(view);
}

/* ---- one log to another ---- */

enum {
    BATCH_BYTES = 4 << 20,
    BATCH_EDITS = 4096,
    TRIES = 8, /* trimmed edits may be reclaimed while they are read; that is seldom */
};

static uint64_t gone(struct chunk_store *store)
{
    struct chunk_store_status status = {0};
    store->ops->status(store, &status);
    return status.lsn_gone;
}

/* Edits on their way to a store, a group at a time. */
struct extend {
    struct chunk_store *to;
    struct chunk_group group;
    struct chunk_record records[BATCH_EDITS];
    size_t offsets[BATCH_EDITS]; /* in bytes */
    struct gfs_buf bytes;
    uint32_t count;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_done; /* guarded by lock */
    enum gfs_err err;
};

static void extend_done(struct chunk_group *group, enum gfs_err err)
{
    struct extend *extend = GFS_CONTAINER_OF(group, struct extend, group);
    (void)pthread_mutex_lock(&extend->lock);
    extend->err = err;
    extend->is_done = true;
    (void)pthread_cond_signal(&extend->cond);
    (void)pthread_mutex_unlock(&extend->lock);
}

static enum gfs_err flush(struct extend *extend)
{
    if (extend->count == 0) {
        return GFS_OK;
    }
    for (uint32_t i = 0; i < extend->count; i++) {
        struct chunk_record *record = &extend->records[i];
        record->payload.ptr = extend->bytes.ptr + extend->offsets[i];
        record->next = i + 1 < extend->count ? &extend->records[i + 1] : NULL;
    }
    extend->group = (struct chunk_group){
        .records = extend->records, .done = extend_done, .may_use_reserve = true};
    extend->is_done = false;
    extend->to->ops->submit(extend->to, &extend->group);
    (void)pthread_mutex_lock(&extend->lock);
    while (!extend->is_done) {
        (void)pthread_cond_wait(&extend->cond, &extend->lock);
    }
    (void)pthread_mutex_unlock(&extend->lock);
    extend->count = 0;
    gfs_buf_clear(&extend->bytes);
    return extend->err;
}

static enum gfs_err extend_one(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct extend *extend = arg;
    if (extend->count == BATCH_EDITS ||
        (extend->count != 0 && extend->bytes.len + edit.len > BATCH_BYTES)) {
        enum gfs_err err = flush(extend);
        if (err != GFS_OK) {
            return err;
        }
    }
    extend->records[extend->count] =
        (struct chunk_record){.kind = CHUNK_RECORD_EDIT, .lsn = lsn, .payload = {.len = edit.len}};
    extend->offsets[extend->count++] = extend->bytes.len;
    gfs_buf_add_slice(&extend->bytes, edit);
    GFS_ASSERT(!extend->bytes.is_full);
    return GFS_OK;
}

static enum gfs_err say_gone(struct extend *extend, uint64_t lsn)
{
    extend->records[0] = (struct chunk_record){.kind = CHUNK_RECORD_GONE, .lsn = lsn};
    extend->offsets[0] = 0;
    extend->count = 1;
    return flush(extend);
}

/* What `to` lacks of what was reclaimed from `from` it will never have: that is on record before
 * anything is appended behind it. */
static enum gfs_err extend_once(struct chunk_store *from, struct extend *extend,
                                uint64_t *ret_after, struct gfs_error *error)
{
    struct chunk_store_status of_to = {0};
    extend->to->ops->status(extend->to, &of_to);
    uint64_t after = GFS_MAX(of_to.lsn_last, of_to.lsn_gone);
    uint64_t lsn_gone = gone(from);
    extend->count = 0;
    gfs_buf_clear(&extend->bytes);
    enum gfs_err err = GFS_OK;
    if (lsn_gone > after) {
        after = lsn_gone;
        err = say_gone(extend, after);
    }
    *ret_after = after;
    if (err == GFS_OK) {
        err = from->ops->replay_edits(from, after, extend_one, extend, error);
    }
    return err == GFS_OK ? flush(extend) : err;
}

static struct extend *extend_new(struct chunk_store *to)
{
    struct extend *extend = gfs_alloc(sizeof *extend);
    extend->to = to;
    gfs_buf_init(&extend->bytes, (size_t)BATCH_BYTES + CHUNK_EDIT_LEN_MAX);
    (void)pthread_mutex_init(&extend->lock, NULL);
    (void)pthread_cond_init(&extend->cond, NULL);
    return extend;
}

static void extend_free(struct extend *extend)
{
    (void)pthread_cond_destroy(&extend->cond);
    (void)pthread_mutex_destroy(&extend->lock);
    gfs_buf_fini(&extend->bytes);
    free(extend);
}

enum gfs_err pool_log_extend(struct chunk_store *from, struct chunk_store *to,
                             struct gfs_error *error)
{
    struct extend *extend = extend_new(to);
    uint64_t after = 0;
    struct gfs_error own = {0};
    enum gfs_err err = extend_once(from, extend, &after, &own);
    for (int i = 1; i < TRIES && err == GFS_CORRUPT && gone(from) > after; i++) {
        err = extend_once(from, extend, &after, &own);
    }
    if (extend->err != GFS_OK) {
        err = gfs_fail(error, extend->err, "appending to the log: %s", gfs_err_text(extend->err));
    } else if (err != GFS_OK) {
        (void)gfs_fail(error, err, "%s", own.text);
    }
    extend_free(extend);
    return err;
}

/* ---- comparing ---- */

struct entry {
    uint64_t lsn;
    uint64_t crc;
};

struct entries {
    struct entry *list;
    size_t count, size;
    size_t next;   /* compared so far */
    uint64_t last; /* of the list */
};

static enum gfs_err collect(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct entries *entries = arg;
    if (entries->count == entries->size) {
        entries->size = entries->size * 2 + 1024;
        entries->list = gfs_realloc(entries->list, entries->size * sizeof entries->list[0]);
    }
    entries->list[entries->count++] =
        (struct entry){.lsn = lsn, .crc = gfs_crc64nvme(0, edit.ptr, edit.len)};
    entries->last = lsn;
    return GFS_OK;
}

static enum gfs_err compare_one(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct entries *entries = arg;
    if (lsn > entries->last) {
        return GFS_END;
    }
    GFS_ASSERT(entries->next < entries->count);
    const struct entry *own = &entries->list[entries->next];
    if (own->lsn != lsn || own->crc != gfs_crc64nvme(0, edit.ptr, edit.len)) {
        return GFS_CONFLICT;
    }
    entries->next++;
    return GFS_OK;
}

/* Behind `after` both hold everything that they ever had. */
static enum gfs_err compare_behind(struct chunk_store *from, struct chunk_store *to, uint64_t after,
                                   struct gfs_error *error)
{
    struct entries entries = {0};
    struct chunk_store_status status = {0};
    to->ops->status(to, &status);
    if (status.lsn_last <= after) {
        return GFS_OK; /* nothing in it will be read again: forget_below */
    }
    enum gfs_err err = to->ops->replay_edits(to, after, collect, &entries, error);
    if (err == GFS_OK && entries.last < status.lsn_last) {
        err = gfs_fail(error, GFS_CONFLICT, "its newest edits cannot be read any more");
    }
    if (err == GFS_OK) {
        err = from->ops->replay_edits(from, after, compare_one, &entries, error);
        err = err == GFS_END ? GFS_OK : err;
        if (err == GFS_CONFLICT || (err == GFS_OK && entries.next != entries.count)) {
            err = gfs_fail(error, GFS_CONFLICT,
                           "its log is not that of the others: it can join when lsn %llu is "
                           "trimmed",
                           (unsigned long long)status.lsn_last);
        }
    }
    free(entries.list);
    return err;
}

/* What was reclaimed from either was trimmed, whoever remembers that. */
static uint64_t begin_of(struct chunk_store *from, struct chunk_store *to, uint64_t trimmed)
{
    return GFS_MAX(GFS_MAX(gone(from), gone(to)), trimmed);
}

/* What was not compared may be what never counted, and others may be missing: none of it is to be
 * read again, though neither has reclaimed it, and who trimmed it will not remember that. */
static enum gfs_err forget_below(struct chunk_store *to, uint64_t after, struct gfs_error *error)
{
    struct chunk_store_status status = {0};
    to->ops->status(to, &status);
    uint64_t lsn = GFS_MIN(after, status.lsn_last);
    if (lsn <= status.lsn_gone) {
        return GFS_OK;
    }
    struct extend *extend = extend_new(to);
    enum gfs_err err = say_gone(extend, lsn);
    extend_free(extend);
    return err == GFS_OK ? GFS_OK
                         : gfs_fail(error, err, "appending to the log: %s", gfs_err_text(err));
}

enum gfs_err pool_log_compare(struct chunk_store *from, struct chunk_store *to, uint64_t trimmed,
                              struct gfs_error *error)
{
    uint64_t after = begin_of(from, to, trimmed);
    enum gfs_err err = compare_behind(from, to, after, error);
    for (int i = 1; i < TRIES && err == GFS_CORRUPT; i++) {
        uint64_t begin = begin_of(from, to, trimmed);
        if (begin == after) {
            break;
        }
        after = begin;
        err = compare_behind(from, to, after, error);
    }
    if (err == GFS_OK) {
        err = forget_below(to, after, error);
    }
    return err == GFS_CORRUPT ? GFS_CONFLICT : err;
}

static enum gfs_err ignore_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    (void)lsn;
    (void)edit;
    (void)arg;
    return GFS_OK;
}

enum gfs_err pool_log_check(struct chunk_store *store, struct gfs_error *error)
{
    uint64_t after = gone(store);
    enum gfs_err err = store->ops->replay_edits(store, after, ignore_edit, NULL, error);
    for (int i = 1; i < TRIES && err == GFS_CORRUPT && gone(store) > after; i++) {
        after = gone(store);
        err = store->ops->replay_edits(store, after, ignore_edit, NULL, error);
    }
    return err;
}
