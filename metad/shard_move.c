/* Copies come and go, one of them becomes the live database, and readers find the one that is.
 *
 * The copy that is to take over (the heir) first comes to hold everything that left the overlay,
 * while the live one takes up no new edits; until it does readers use the live one, which may fail
 * in writing alone. Should the heir fail, nothing has changed for them. Then it becomes `live` at
 * once, and no thread touches the former one any more but those that are inside it. Threads that
 * hang in there hang on; its own thread closes it when the last of them is out, and nobody waits
 * for that. */
#include <stdio.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "metad/shard_copy.h"

#define SECOND_NS (1000LL * 1000 * 1000)
#define WAIT_NS (SHARD_MOVE_WAIT_S * SECOND_NS)
#define DAMAGE_REPORT_NS (3600 * SECOND_NS)
enum { CLOSE_WAIT_S = 60 };
#define LEFT_WAIT_MS INT64_C(2000)

/* ---- faults of the live database ---- */

bool shard_expects_move_locked(const struct shard *shard)
{
    const struct copy *live = shard->live;
    return shard->copies != NULL && live->is_reported &&
           gfs_monotonic_ns() < live->reported_ns + WAIT_NS;
}

bool shard_note_failure_locked(struct shard *shard, enum gfs_err err, bool is_stopped)
{
    struct copy *live = shard->live;
    int64_t now = gfs_monotonic_ns();
    bool is_fault = err == GFS_IO || err == GFS_CORRUPT;
    bool is_known = live->is_reported && now < live->reported_ns + WAIT_NS;
    if (!is_fault || is_known || shard->options.database_failed == NULL || shard->is_stopping) {
        return false;
    }
    /* The next database may have the same damaged row: no going round in circles. */
    if (err == GFS_CORRUPT && !is_stopped) {
        if (shard->damage_reported_ns != 0 && now < shard->damage_reported_ns + DAMAGE_REPORT_NS) {
            return false;
        }
        shard->damage_reported_ns = now;
    }
    live->is_reported = true;
    live->reported_ns = now;
    return true;
}

/* ---- readers ---- */

enum gfs_err shard_reader_get(struct shard *shard, struct reading *ret)
{
    *ret = (struct reading){0};
    (void)pthread_mutex_lock(&shard->lock);
    ret->move_count = shard->move_count;
    if (shard->is_stopping) { /* a thread that hung comes back */
        (void)pthread_mutex_unlock(&shard->lock);
        return GFS_STOPPED;
    }
    ret->copy = shard->live;
    ret->copy->users++;
    (void)pthread_mutex_unlock(&shard->lock);
    struct db *db = NULL;
    enum gfs_err err = readers_get(ret->copy->readers, &db);
    if (err == GFS_OK) {
        ret->db = db;
    } else {
        shard_reader_put(shard, ret);
    }
    return err;
}

void shard_reader_put(struct shard *shard, struct reading *reading)
{
    if (reading->db != NULL) {
        readers_put(reading->copy->readers, reading->db);
    }
    (void)pthread_mutex_lock(&shard->lock);
    reading->copy->users--;
    if (reading->copy->users == 0 && reading->copy->role == COPY_LEAVING) {
        gfs_cond_signal(&reading->copy->wake);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    reading->copy = NULL;
    reading->db = NULL;
}

bool shard_read_again(struct shard *shard, const struct reading *reading, enum gfs_err err)
{
    if (err != GFS_IO && err != GFS_CORRUPT) {
        return false;
    }
    char dir[4096] = "";
    bool is_told = false;
    (void)pthread_mutex_lock(&shard->lock);
    if (shard->move_count == reading->move_count) {
        is_told = shard_note_failure_locked(shard, err, false);
        (void)snprintf(dir, sizeof dir, "%s", shard->live->dir);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    if (is_told) {
        shard->options.database_failed(shard->options.arg, dir, err);
    }
    (void)pthread_mutex_lock(&shard->lock);
    while (shard->move_count == reading->move_count && shard_expects_move_locked(shard) &&
           !shard->is_ending) {
        (void)gfs_cond_wait_until(&shard->moved, &shard->lock, shard->live->reported_ns + WAIT_NS);
    }
    bool was_moved = shard->move_count != reading->move_count;
    (void)pthread_mutex_unlock(&shard->lock);
    return was_moved;
}

enum gfs_err shard_read(struct shard *shard, shard_read_fn read, void *arg)
{
    for (;;) {
        struct reading reading;
        enum gfs_err err = shard_reader_get(shard, &reading);
        if (err == GFS_OK) {
            err = read(arg, reading.db);
            shard_reader_put(shard, &reading);
        }
        if (err == GFS_OK || !shard_read_again(shard, &reading, err)) {
            return err;
        }
    }
}

/* ---- copies ---- */

static struct copy *find_locked(struct copy *first, const char *dir)
{
    struct copy *copy = first;
    while (copy != NULL && strcmp(copy->dir, dir) != 0) {
        copy = copy->next;
    }
    return copy;
}

/* A new one begins to join. */
static struct copy *begin_locked(struct shard *shard, const char *dir, bool may_make,
                                 bool is_awaited)
{
    struct copy *copy = copy_new(shard, dir, COPY_JOINING);
    copy->may_make = may_make;
    copy->is_awaited = is_awaited;
    copy->next = shard->copies;
    shard->copies = copy;
    copy_start(copy);
    return copy;
}

void shard_copies_start(struct shard *shard)
{
    const char *const *dirs = shard->options.copies;
    (void)pthread_mutex_lock(&shard->lock);
    for (size_t i = 0; dirs != NULL && dirs[i] != NULL; i++) {
        if (find_locked(shard->copies, dirs[i]) == NULL && strcmp(dirs[i], shard->live->dir) != 0) {
            (void)begin_locked(shard, dirs[i], true, false);
        }
    }
    shard->may_trim = true;
    (void)pthread_mutex_unlock(&shard->lock);
}

/* Until it has another role, or nothing moved for long: then it leaves. */
static void wait_for_role_locked(struct copy *copy, enum copy_role before)
{
    struct shard *shard = copy->shard;
    uint64_t progress = copy->progress;
    int64_t until = gfs_monotonic_ns() + WAIT_NS;
    copy->waiters++;
    while (copy->role == before && !shard->is_ending) {
        int64_t now = gfs_monotonic_ns();
        if (copy->progress != progress) {
            progress = copy->progress;
            until = now + WAIT_NS;
        }
        if (now >= until) {
            (void)gfs_fail(&copy->error, GFS_TIMEOUT, "%s: nothing moved for %d s", copy->dir,
                           (int)SHARD_MOVE_WAIT_S);
            copy_leave_locked(copy, GFS_TIMEOUT);
        } else {
            (void)gfs_cond_wait_until(&shard->moved, &shard->lock, until);
        }
    }
    copy->waiters--;
}

static enum gfs_err fault_of_locked(const struct copy *copy, struct gfs_error *error)
{
    enum gfs_err err = copy->fault == GFS_OK ? GFS_STOPPED : copy->fault;
    return gfs_fail(error, err, "%s",
                    copy->error.text[0] == '\0' ? gfs_err_text(err) : copy->error.text);
}

static enum gfs_err await_join_locked(struct copy *copy, struct gfs_error *error)
{
    wait_for_role_locked(copy, COPY_JOINING);
    if (copy->role == COPY_JOINING) { /* it leaves when the shard closes */
        return gfs_fail(error, GFS_STOPPED, "the service stops");
    }
    return copy->role == COPY_LEAVING ? fault_of_locked(copy, error) : GFS_OK;
}

enum gfs_err shard_copy_add(struct shard *shard, const char *dir, struct gfs_error *error)
{
    enum gfs_err err = GFS_OK;
    (void)pthread_mutex_lock(&shard->lock);
    copy_reap_locked(shard);
    struct copy *there = find_locked(shard->copies, dir);
    if (there != NULL && there->role == COPY_JOINING) { /* of the options: it holds nothing yet */
        err = await_join_locked(there, error);
    } else if (strcmp(shard->live->dir, dir) == 0 || there != NULL) {
        err = gfs_fail(error, GFS_EXISTS, "%s: has the database already", dir);
    } else if (find_locked(shard->leavers, dir) != NULL) {
        err = gfs_fail(error, GFS_BUSY, "%s: the database there is still being closed", dir);
    } else if (shard->is_ending) {
        err = gfs_fail(error, GFS_STOPPED, "the service stops");
    } else {
        err = await_join_locked(begin_locked(shard, dir, true, true), error);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return err;
}

void shard_copy_remove(struct shard *shard, const char *dir)
{
    (void)pthread_mutex_lock(&shard->lock);
    struct copy *copy = find_locked(shard->copies, dir);
    if (copy != NULL) {
        copy_leave_locked(copy, GFS_OK);
    }
    copy_reap_locked(shard);
    (void)pthread_mutex_unlock(&shard->lock);
}

/* ---- moving ---- */

void shard_make_live_locked(struct copy *copy)
{
    struct shard *shard = copy->shard;
    struct copy *former = shard->live;
    for (struct copy **link = &shard->copies; *link != NULL; link = &(*link)->next) {
        if (*link == copy) {
            *link = copy->next;
            break;
        }
    }
    copy->next = NULL;
    copy->role = COPY_LIVE;
    copy->readers = shard_readers_new(copy->path);
    shard->live = copy;
    shard->heir = NULL;
    shard->move_count++;
    shard->apply_fault = GFS_OK;
    readers_retire(former->readers);
    copy_leave_locked(former, GFS_OK);
}

/* The copy becomes the live database, or leaves. */
static enum gfs_err succeed_locked(struct copy *copy, struct gfs_error *error)
{
    struct shard *shard = copy->shard;
    if (shard->heir != NULL) {
        return gfs_fail(error, GFS_BUSY, "%s: is about to take over", shard->heir->dir);
    }
    shard->heir = copy;
    shard->live->reported_ns = gfs_monotonic_ns(); /* those who wait for this get the time for it */
    gfs_cond_signal(&copy->wake);
    wait_for_role_locked(copy, COPY_FOLLOWING);
    if (shard->heir == copy) {
        shard->heir = NULL;
        shard_wake_live_locked(shard);
    }
    if (copy->role == COPY_FOLLOWING) {
        return gfs_fail(error, GFS_STOPPED, "the service stops");
    }
    return copy->role == COPY_LEAVING ? fault_of_locked(copy, error) : GFS_OK;
}

enum gfs_err shard_move(struct shard *shard, const char *dir, struct gfs_error *error)
{
    (void)pthread_mutex_lock(&shard->lock);
    copy_reap_locked(shard);
    if (shard->is_ending) {
        (void)pthread_mutex_unlock(&shard->lock);
        return gfs_fail(error, GFS_STOPPED, "the service stops");
    }
    if (strcmp(shard->live->dir, dir) == 0) {
        (void)pthread_mutex_unlock(&shard->lock);
        return gfs_fail(error, GFS_EXISTS, "%s: has the live database", dir);
    }
    if (find_locked(shard->leavers, dir) != NULL) {
        (void)pthread_mutex_unlock(&shard->lock);
        return gfs_fail(error, GFS_BUSY, "%s: the database there is still being closed", dir);
    }
    struct copy *copy = find_locked(shard->copies, dir);
    if (copy == NULL) {
        copy = begin_locked(shard, dir, false, true);
    }
    enum gfs_err err = await_join_locked(copy, error);
    if (err == GFS_OK && copy->role == COPY_FOLLOWING) {
        err = succeed_locked(copy, error);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return err;
}

/* ---- closing ---- */

/* What changes while databases get on with being closed. */
static uint64_t closing_progress_locked(const struct shard *shard)
{
    uint64_t sum = shard->applied_lsn + shard->counters.applied_batches;
    const struct copy *const lists[] = {shard->copies, shard->leavers};
    for (size_t i = 0; i < GFS_COUNT(lists); i++) {
        for (const struct copy *copy = lists[i]; copy != NULL; copy = copy->next) {
            sum += copy->durable_lsn + copy->progress + (i == 1) + copy->is_closed;
        }
    }
    return sum;
}

static bool all_closed_locked(const struct shard *shard)
{
    for (const struct copy *copy = shard->leavers; copy != NULL; copy = copy->next) {
        if (!copy->is_closed && !copy->is_given_up) {
            return false;
        }
    }
    return shard->copies == NULL;
}

/* As long as something moves, and no longer than CLOSE_WAIT_S. */
static void await_closed_locked(struct shard *shard, const struct copy *only)
{
    const int64_t last = gfs_monotonic_ns() + CLOSE_WAIT_S * SECOND_NS;
    const int64_t stall = shard->options.close_stall_ms * (SECOND_NS / 1000);
    uint64_t progress = closing_progress_locked(shard);
    int64_t until = gfs_monotonic_ns() + stall;
    bool has_time = true;
    while (has_time && !(only == NULL ? all_closed_locked(shard) : only->is_closed)) {
        has_time = gfs_cond_wait_until(&shard->moved, &shard->lock, GFS_MIN(until, last));
        if (progress != closing_progress_locked(shard)) {
            progress = closing_progress_locked(shard);
            until = gfs_monotonic_ns() + stall;
            has_time = gfs_monotonic_ns() < last;
        }
    }
}

int64_t shard_close_until_locked(const struct shard *shard)
{
    bool has_left = false; /* one that hangs, most likely */
    for (const struct copy *copy = shard->leavers; copy != NULL; copy = copy->next) {
        has_left = has_left || !copy->is_closed;
    }
    int64_t ms = shard->options.close_stall_ms;
    return gfs_monotonic_ns() + (has_left ? GFS_MIN(ms, LEFT_WAIT_MS) : ms) * (SECOND_NS / 1000);
}

/* Databases left before are of no use to anybody: those that do not close are given up. */
static void give_up_left_locked(struct shard *shard)
{
    int64_t until = shard_close_until_locked(shard);
    bool has_time = true;
    for (struct copy *copy = shard->leavers; copy != NULL; copy = copy->next) {
        while (!copy->is_closed && has_time) {
            has_time = gfs_cond_wait_until(&shard->moved, &shard->lock, until);
        }
        copy->is_given_up = !copy->is_closed;
    }
}

static bool has_open_locked(const struct shard *shard)
{
    bool is_any = false;
    for (const struct copy *copy = shard->leavers; copy != NULL; copy = copy->next) {
        is_any = is_any || !copy->is_closed;
    }
    return is_any || shard->copies != NULL;
}

bool shard_copies_stop(struct shard *shard)
{
    (void)pthread_mutex_lock(&shard->lock);
    give_up_left_locked(shard);
    for (struct copy *copy = shard->copies; copy != NULL;) {
        struct copy *next = copy->next;
        if (copy->role == COPY_JOINING) {
            copy_leave_locked(copy, GFS_STOPPED);
        }
        copy = next;
    }
    struct copy *live = shard->live;
    shard->is_apply_stopping = true;
    shard_wake_live_locked(shard);
    await_closed_locked(shard, live);
    live->is_given_up = !live->is_closed;
    /* Copies that close are counted no more, and lack what it may still apply: the log keeps it. */
    shard->may_trim = shard->may_trim && live->is_closed;
    shard->is_copy_stopping = true; /* they have everything that the live one applied last */
    for (struct copy *copy = shard->copies; copy != NULL; copy = copy->next) {
        gfs_cond_signal(&copy->wake);
    }
    await_closed_locked(shard, NULL);
    bool is_done = live->is_closed && !has_open_locked(shard);
    if (is_done) { /* else threads that hang may look at the others */
        copy_reap_locked(shard);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return is_done;
}
