/* Databases and their threads. A copy is not a copy of pages: it applies the same edits, so damage
 * of one database does not reach another, a crash leaves what SQLite leaves after any crash, and
 * taking over needs nothing but the edits it lacks, usually the queue in memory.
 *
 *   live database applied a batch -> queue of each copy -> its thread: one transaction for all that
 *   is queued -> now and then a checkpoint -> what all of them hold is trimmed from the log
 *
 * A copy that is slower than the live database for so long that its queue is full is behind: the
 * queue goes, and it reads what it lacks from the log, which keeps it. Nobody waits for a copy. A
 * copy that fails in any way leaves: after that the log keeps nothing for it. */
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "metad/shard_copy.h"

enum {
    WRITER_CACHE_BYTES = 8 << 20,
    PATH_LEN_MAX = 4096,
    QUEUE_BYTES_MAX = 32 << 20,
    QUEUE_BYTES_DUE = 8 << 20, /* applied at once */
    QUEUE_DELAY_FACTOR = 5,    /* times apply_delay_ms: copies wait longer for company */
    REPLAY_EDITS_MAX = 65536,
    REPLAY_BYTES_MAX = 16 << 20,
    CHECKPOINT_WAL_SIZE = 64 << 20,
    TRUNCATE_WAL_SIZE = 256 << 20,
};
#define IDLE_CHECKPOINT_NS (5LL * 1000 * 1000 * 1000)

struct edits *edits_ref(struct edits *edits)
{
    atomic_fetch_add_explicit(&edits->references, 1, memory_order_relaxed);
    return edits;
}

void edits_unref(struct edits *edits)
{
    if (edits != NULL &&
        atomic_fetch_sub_explicit(&edits->references, 1, memory_order_acq_rel) == 1) {
        for (size_t i = 0; i < edits->count; i++) {
            gfs_buf_fini(&edits->items[i].bytes);
        }
        free(edits);
    }
}

/* ---- life ---- */

enum gfs_err copy_open(struct copy *copy, struct gfs_error *error)
{
    enum gfs_err err = db_open_writer(copy->path, WRITER_CACHE_BYTES, &copy->db, error);
    if (err == GFS_OK) {
        err = apply_new(copy->db, &copy->apply, error);
    }
    return err;
}

struct copy *copy_new(struct shard *shard, const char *dir, enum copy_role role)
{
    struct copy *copy = gfs_alloc(sizeof *copy);
    struct gfs_buf path;
    gfs_buf_init(&path, PATH_LEN_MAX);
    gfs_buf_add_slice(&path, gfs_slice_str(dir));
    gfs_buf_add_slice(&path, GFS_SLICE_LITERAL("/metadata.sqlite"));
    gfs_buf_add_char(&path, '\0');
    copy->path = gfs_strdup(path.is_full ? "" : path.ptr); /* which nobody can open */
    gfs_buf_fini(&path);
    copy->shard = shard;
    copy->dir = gfs_strdup(dir);
    copy->role = role;
    copy->queue_tail = &copy->queue;
    gfs_cond_init(&copy->wake);
    return copy;
}

static void drop_queue(struct copy *copy)
{
    while (copy->queue != NULL) {
        struct queued *next = copy->queue->next;
        edits_unref(copy->queue->edits);
        free(copy->queue);
        copy->queue = next;
    }
    copy->queue_tail = &copy->queue;
    copy->queue_bytes = 0;
}

static void close_database(struct copy *copy)
{
    readers_free(copy->readers);
    apply_free(copy->apply);
    db_close(copy->db);
    copy->readers = NULL;
    copy->apply = NULL;
    copy->db = NULL;
}

void copy_free(struct copy *copy)
{
    if (copy != NULL) {
        drop_queue(copy);
        close_database(copy);
        gfs_cond_fini(&copy->wake);
        free(copy->dir);
        free(copy->path);
        free(copy);
    }
}

void copy_leave_locked(struct copy *copy, enum gfs_err fault)
{
    struct shard *shard = copy->shard;
    if (copy->role == COPY_LEAVING) {
        return;
    }
    bool is_short = copy->role != COPY_LIVE && copy->durable_lsn < shard->applied_lsn;
    if (shard->is_stopping && (is_short || copy->role == COPY_JOINING)) {
        shard->may_trim = false; /* the next run takes it up */
    }
    for (struct copy **link = &shard->copies; *link != NULL; link = &(*link)->next) {
        if (*link == copy) {
            *link = copy->next;
            break;
        }
    }
    copy->role = COPY_LEAVING;
    copy->fault = fault;
    copy->next = shard->leavers;
    shard->leavers = copy;
    gfs_cond_signal(&copy->wake);
    gfs_cond_broadcast(&shard->moved);
}

static void tell_failed_locked(struct copy *copy, enum gfs_err err)
{
    struct shard *shard = copy->shard;
    if (shard->is_stopping || shard->options.copy_failed == NULL) {
        return;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    shard->options.copy_failed(shard->options.arg, copy->dir, err);
    (void)pthread_mutex_lock(&shard->lock);
}

void copy_reap_locked(struct shard *shard)
{
    struct copy **link = &shard->leavers;
    while (*link != NULL) {
        struct copy *copy = *link;
        if (!copy->is_closed || copy->waiters != 0) {
            link = &copy->next;
            continue;
        }
        *link = copy->next;
        (void)pthread_mutex_unlock(&shard->lock);
        (void)pthread_join(copy->thread, NULL);
        copy_free(copy);
        (void)pthread_mutex_lock(&shard->lock);
        link = &shard->leavers;
    }
}

/* ---- applying ---- */

static void log_fault(const struct copy *copy, const char *text)
{
    char file[1024];
    char fault[1024];
    gfs_log(GFS_LOG_ERROR, "msg=\"metadata database\" file=%s err=%s",
            gfs_log_quote(gfs_slice_str(copy->path), file, sizeof file),
            gfs_log_quote(gfs_slice_str(text), fault, sizeof fault));
}

static size_t count_of(struct edits *const *edits, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += edits[i]->count;
    }
    return sum;
}

static enum gfs_err apply_slices(struct copy *copy, const struct gfs_slice *slices, size_t count,
                                 struct apply_result *ret)
{
    struct gfs_error error = {0};
    *ret = (struct apply_result){0};
    if (count == 0) {
        return GFS_OK;
    }
    if (db_has_moved(copy->db)) {
        log_fault(copy, "the file is gone");
        return GFS_IO;
    }
    copy->is_dirty = true;
    enum gfs_err err = apply_edits(copy->apply, slices, count, ret, &error);
    if (err != GFS_OK) {
        log_fault(copy, error.text);
    }
    return err;
}

enum gfs_err copy_apply(struct copy *copy, struct edits *const *edits, size_t count,
                        struct apply_result *ret)
{
    struct gfs_slice *slices GFS_FREE =
        gfs_alloc_array(GFS_MAX(count_of(edits, count), 1U), sizeof *slices);
    uint64_t lsn = apply_lsn(copy->apply);
    size_t slice_count = 0;
    if (count != 0 && lsn < edits[0]->after) {
        log_fault(copy, "edits are missing before those to be applied");
        return GFS_CORRUPT;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < edits[i]->count; j++) {
            if (edits[i]->items[j].lsn > lsn) {
                slices[slice_count++] = gfs_buf_slice(&edits[i]->items[j].bytes);
            }
        }
    }
    return apply_slices(copy, slices, slice_count, ret);
}

/* Called and returns with the lock. */
static enum gfs_err apply_queue_locked(struct copy *copy)
{
    struct shard *shard = copy->shard;
    struct copy taken = {.queue = copy->queue};
    size_t count = 0;
    copy->queue = NULL;
    drop_queue(copy);
    (void)pthread_mutex_unlock(&shard->lock);
    for (const struct queued *q = taken.queue; q != NULL; q = q->next) {
        count++;
    }
    struct edits **edits GFS_FREE = gfs_alloc_array(count, sizeof(struct edits *));
    count = 0;
    for (const struct queued *q = taken.queue; q != NULL; q = q->next) {
        edits[count++] = q->edits;
    }
    struct apply_result result;
    enum gfs_err err = copy_apply(copy, edits, count, &result);
    drop_queue(&taken);
    (void)pthread_mutex_lock(&shard->lock);
    copy->is_behind = copy->is_behind || err != GFS_OK; /* what is queued has a gap before it */
    return err;
}

void copy_queue_locked(struct shard *shard, struct edits *edits)
{
    for (struct copy *copy = shard->copies; copy != NULL; copy = copy->next) {
        if (copy->role != COPY_FOLLOWING || copy->is_behind) {
            continue;
        }
        if (copy->queue != NULL && copy->queue_bytes + edits->bytes > QUEUE_BYTES_MAX) {
            copy->is_behind = true;
            drop_queue(copy);
        } else {
            struct queued *queued = gfs_alloc(sizeof *queued);
            queued->edits = edits_ref(edits);
            copy->queue_ns = copy->queue == NULL ? gfs_monotonic_ns() : copy->queue_ns;
            *copy->queue_tail = queued;
            copy->queue_tail = &queued->next;
            copy->queue_bytes += edits->bytes;
        }
        gfs_cond_signal(&copy->wake);
    }
}

/* ---- from the log ---- */

bool copy_note_progress(struct copy *copy)
{
    struct shard *shard = copy->shard;
    (void)pthread_mutex_lock(&shard->lock);
    copy->progress++;
    bool is_wanted = copy->role != COPY_LEAVING;
    gfs_cond_broadcast(&shard->moved);
    (void)pthread_mutex_unlock(&shard->lock);
    return is_wanted;
}

struct catch_up {
    struct copy *copy;
    uint64_t known_lsn; /* applied already: the log gives it first; 0 = none */
    uint64_t to;
    struct gfs_buf bytes; /* of collected edits, one behind the other */
    size_t count;
    size_t ends[REPLAY_EDITS_MAX];
};

static enum gfs_err flush_collected(struct catch_up *catch_up)
{
    struct gfs_slice *slices GFS_FREE =
        gfs_alloc_array(GFS_MAX(catch_up->count, 1U), sizeof *slices);
    size_t begin = 0;
    for (size_t i = 0; i < catch_up->count; i++) {
        slices[i] = gfs_slice_of(catch_up->bytes.ptr + begin, catch_up->ends[i] - begin);
        begin = catch_up->ends[i];
    }
    struct apply_result result;
    enum gfs_err err = apply_slices(catch_up->copy, slices, catch_up->count, &result);
    catch_up->count = 0;
    gfs_buf_clear(&catch_up->bytes);
    (void)copy_note_progress(catch_up->copy);
    return err == GFS_OK ? copy_checkpoint(catch_up->copy, false) : err;
}

static enum gfs_err collect(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct catch_up *catch_up = arg;
    if (lsn == catch_up->known_lsn) {
        catch_up->known_lsn = 0;
        return GFS_OK;
    }
    if (catch_up->known_lsn != 0) {
        return GFS_CORRUPT;
    }
    if (lsn > catch_up->to) {
        return GFS_END;
    }
    gfs_buf_add_slice(&catch_up->bytes, edit);
    catch_up->ends[catch_up->count++] = catch_up->bytes.len;
    bool is_full = catch_up->count == REPLAY_EDITS_MAX || catch_up->bytes.len >= REPLAY_BYTES_MAX;
    return is_full ? flush_collected(catch_up) : GFS_OK;
}

/* From the newest applied edit on, which shows that log and database fit. When edits behind it were
 * reclaimed the log refuses; the durable_lsn of a copy keeps it from that. */
static enum gfs_err read_log(struct copy *copy, uint64_t to)
{
    struct chunk_store *log = copy->shard->log;
    uint64_t known_lsn = apply_lsn(copy->apply);
    if (known_lsn >= to) {
        return GFS_OK;
    }
    struct gfs_error error = {0};
    struct catch_up *catch_up GFS_FREE = gfs_alloc(sizeof *catch_up);
    *catch_up = (struct catch_up){.copy = copy, .known_lsn = known_lsn, .to = to};
    gfs_buf_init(&catch_up->bytes, REPLAY_BYTES_MAX + CHUNK_EDIT_LEN_MAX);
    enum gfs_err err =
        log->ops->replay_edits(log, known_lsn == 0 ? 0 : known_lsn - 1, collect, catch_up, &error);
    if (err == GFS_OK || err == GFS_END) {
        err = flush_collected(catch_up);
    }
    gfs_buf_fini(&catch_up->bytes);
    if (err == GFS_OK && apply_lsn(copy->apply) != to) {
        err = gfs_fail(&error, GFS_CORRUPT, "the log does not go up to what is applied");
    }
    if (err != GFS_OK) {
        log_fault(copy, error.text[0] == '\0' ? gfs_err_text(err) : error.text);
    }
    return err;
}

enum gfs_err copy_catch_up_locked(struct copy *copy, uint64_t lsn)
{
    struct shard *shard = copy->shard;
    if (copy->is_behind) {
        drop_queue(copy);
        copy->is_behind = false; /* what is applied from now on is queued again */
    }
    enum gfs_err err = copy->queue == NULL ? GFS_OK : apply_queue_locked(copy);
    (void)pthread_mutex_unlock(&shard->lock);
    if (err == GFS_OK) {
        err = read_log(copy, lsn);
    }
    (void)pthread_mutex_lock(&shard->lock);
    return err;
}

/* ---- checkpoints ---- */

static uint64_t least_durable_locked(const struct shard *shard)
{
    uint64_t least = shard->live->durable_lsn;
    for (const struct copy *copy = shard->copies; copy != NULL; copy = copy->next) {
        least = GFS_MIN(least, copy->durable_lsn);
    }
    return least;
}

/* The last one stays: opening finds it again and so knows that log and database fit. */
static void trim_log(struct shard *shard)
{
    (void)pthread_mutex_lock(&shard->trim_lock);
    (void)pthread_mutex_lock(&shard->lock);
    uint64_t least = least_durable_locked(shard);
    bool may_trim = shard->may_trim;
    (void)pthread_mutex_unlock(&shard->lock);
    if (least != 0 && may_trim) {
        shard->log->ops->trim_edits(shard->log, least - 1);
    }
    (void)pthread_mutex_unlock(&shard->trim_lock);
}

static bool is_checkpoint_due(const struct copy *copy, size_t wal_size, bool is_idle)
{
    struct shard *shard = copy->shard;
    uint64_t lsn = apply_lsn(copy->apply);
    (void)pthread_mutex_lock(&shard->lock);
    bool is_wanted = copy->durable_lsn < shard->checkpoint_lsn && lsn >= shard->checkpoint_lsn;
    /* A full copy of it is being made: until then no checkpoint can complete. */
    bool is_snapshot_open = copy == shard->live && shard->snapshot_count != 0;
    (void)pthread_mutex_unlock(&shard->lock);
    return !is_snapshot_open && (is_idle || is_wanted || wal_size >= CHECKPOINT_WAL_SIZE);
}

enum gfs_err copy_checkpoint(struct copy *copy, bool is_idle)
{
    struct shard *shard = copy->shard;
    size_t size = db_wal_size(copy->db);
    if (!is_checkpoint_due(copy, size, is_idle)) {
        return GFS_OK;
    }
    bool is_complete = false;
    uint64_t lsn = apply_lsn(copy->apply);
    enum gfs_err err = GFS_IO;
    if (!db_has_moved(copy->db)) {
        err = db_checkpoint(copy->db, is_idle || size >= TRUNCATE_WAL_SIZE, &is_complete);
    }
    if (err != GFS_OK) {
        log_fault(copy,
                  err == GFS_IO ? "checkpoint failed, or the file is gone" : gfs_err_text(err));
        return err;
    }
    if (is_complete) {
        copy->is_dirty = false;
        (void)pthread_mutex_lock(&shard->lock);
        copy->durable_lsn = lsn;
        shard->counters.checkpoints += copy->role == COPY_LIVE ? 1 : 0;
        (void)pthread_mutex_unlock(&shard->lock);
        trim_log(shard);
    }
    return GFS_OK;
}

/* ---- the thread ---- */

static enum gfs_err idle_checkpoint_locked(struct copy *copy)
{
    struct shard *shard = copy->shard;
    (void)pthread_mutex_unlock(&shard->lock);
    enum gfs_err err = copy_checkpoint(copy, true);
    db_shrink(copy->db);
    (void)pthread_mutex_lock(&shard->lock);
    return err;
}

/* Waits until there is something to do; false: an idle copy is to make its checkpoint. */
static bool wait_for_edits_locked(struct copy *copy)
{
    struct shard *shard = copy->shard;
    int64_t idle_since = gfs_monotonic_ns();
    while (copy->role == COPY_FOLLOWING && !copy->is_behind && shard->heir != copy &&
           !shard->is_copy_stopping) {
        int64_t now = gfs_monotonic_ns();
        int64_t delay = QUEUE_DELAY_FACTOR * shard->options.apply_delay_ms * 1000000;
        if (copy->queue != NULL) {
            if (copy->queue_bytes >= QUEUE_BYTES_DUE || now >= copy->queue_ns + delay) {
                return true;
            }
            (void)gfs_cond_wait_until(&copy->wake, &shard->lock, copy->queue_ns + delay);
        } else if (!copy->is_dirty) {
            gfs_cond_wait(&copy->wake, &shard->lock);
        } else if (now - idle_since >= IDLE_CHECKPOINT_NS) {
            return false;
        } else {
            (void)gfs_cond_wait_until(&copy->wake, &shard->lock, idle_since + IDLE_CHECKPOINT_NS);
        }
    }
    return true;
}

/* What leaves the overlay while the heir catches up is the batch that was being applied already. */
static enum gfs_err inherit_locked(struct copy *copy)
{
    struct shard *shard = copy->shard;
    enum gfs_err err = GFS_OK;
    while (err == GFS_OK && copy->role == COPY_FOLLOWING && shard->heir == copy) {
        if (shard->is_dropping) { /* that waits for no disk */
            gfs_cond_wait(&shard->moved, &shard->lock);
        } else if (apply_lsn(copy->apply) < shard->applied_lsn) {
            err = copy_catch_up_locked(copy, shard->applied_lsn);
        } else {
            shard_make_live_locked(copy);
        }
    }
    return err;
}

static enum gfs_err follow_turn_locked(struct copy *copy)
{
    struct shard *shard = copy->shard;
    if (!wait_for_edits_locked(copy)) {
        return idle_checkpoint_locked(copy);
    }
    if (copy->role != COPY_FOLLOWING) {
        return GFS_OK;
    }
    if (shard->heir == copy) {
        return inherit_locked(copy);
    }
    bool is_stopping = shard->is_copy_stopping;
    enum gfs_err err = GFS_OK;
    if (copy->is_behind) {
        err = copy_catch_up_locked(copy, shard->applied_lsn);
    } else if (copy->queue != NULL) {
        err = apply_queue_locked(copy);
    }
    if (err == GFS_OK && is_stopping) {
        err = idle_checkpoint_locked(copy);
        copy_leave_locked(copy, GFS_OK);
        return err;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    if (err == GFS_OK) {
        err = copy_checkpoint(copy, false);
    }
    (void)pthread_mutex_lock(&shard->lock);
    return err;
}

static void join_locked(struct copy *copy)
{
    struct shard *shard = copy->shard;
    struct gfs_error error = {0};
    (void)pthread_mutex_unlock(&shard->lock);
    enum gfs_err err = copy_join(copy, &error);
    (void)pthread_mutex_lock(&shard->lock);
    if (copy->role != COPY_JOINING) {
        return;
    }
    if (err != GFS_OK) {
        bool is_awaited = copy->is_awaited;
        copy->error = error;
        copy_leave_locked(copy, err);
        if (!is_awaited) {
            tell_failed_locked(copy, err);
        }
        return;
    }
    copy->role = COPY_FOLLOWING;
    copy->is_behind = true; /* nothing was queued until now */
    copy->durable_lsn = apply_lsn(copy->apply);
    gfs_cond_broadcast(&shard->moved);
}

static void *copy_main(void *arg)
{
    struct copy *copy = arg;
    struct shard *shard = copy->shard;
    (void)pthread_mutex_lock(&shard->lock);
    if (copy->role == COPY_JOINING) {
        join_locked(copy);
    }
    while (copy->role != COPY_LEAVING) {
        if (copy->role == COPY_LIVE) {
            shard_live_turn_locked(copy);
            continue;
        }
        enum gfs_err err = follow_turn_locked(copy);
        if (err != GFS_OK && copy->role == COPY_FOLLOWING) {
            copy_leave_locked(copy, err);
            tell_failed_locked(copy, err);
        }
    }
    while (copy->users != 0) {
        gfs_cond_wait(&copy->wake, &shard->lock);
    }
    drop_queue(copy);
    (void)pthread_mutex_unlock(&shard->lock);
    close_database(copy);
    (void)pthread_mutex_lock(&shard->lock);
    copy->is_closed = true;
    gfs_cond_broadcast(&shard->moved);
    (void)pthread_mutex_unlock(&shard->lock);
    return NULL;
}

void copy_start(struct copy *copy)
{
    int rc = pthread_create(&copy->thread, NULL, copy_main, copy);
    GFS_ASSERT(rc == 0);
    (void)pthread_setname_np(copy->thread, copy->role == COPY_LIVE ? "meta-apply" : "meta-copy");
}
