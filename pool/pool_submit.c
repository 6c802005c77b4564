/* Groups of a pool: their order, their answers, and who waits for whom.
 *
 *   submit --> split by disk, phase 1 at once ------------------+ data durable, maps say
 *                                                               | what is missing
 *   queue, in order of submission --> turn --> phase 2, in order of LSN --> answer, in order
 *
 * Answers are given by whichever disk's thread decided them, one thread at a time, without a lock;
 * those that no disk's thread decided (refused at the door, decided by a new map) by a thread of
 * our own, so that nobody is called back from within his own submit, and the watch never waits for
 * a user. */
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "pool/pool_flight.h"

enum { LATE_MAX = 32, PATIENCE = 10, NS_PER_MS = 1000000, WAIT_STEP_MS = 20 };

/* ---- answers ---- */

static bool has_answer_locked(const struct pool_submit *submit)
{
    return submit->first != NULL && submit->first->state == FLIGHT_DECIDED &&
           !submit->is_delivering;
}

static struct flight *pop_locked(struct pool_submit *submit)
{
    struct flight *flight = submit->first;
    submit->first = flight->next;
    if (submit->first == NULL) {
        submit->tail = &submit->first;
    }
    if (submit->next_send == flight) {
        submit->next_send = flight->next;
    }
    if (flight->err == GFS_IO) {
        submit->is_broken = true;
    }
    flight->err = submit->is_broken ? GFS_IO : flight->err;
    return flight;
}

static void collect_garbage_locked(struct pool_submit *submit)
{
    while (submit->outside.garbage != NULL) {
        struct flight *flight = submit->outside.garbage;
        submit->outside.garbage = flight->outside;
        (void)pthread_mutex_unlock(&submit->lock);
        pool_flight_free(flight);
        (void)pthread_mutex_lock(&submit->lock);
    }
}

static void deliver_locked(struct pool_submit *submit)
{
    if (!has_answer_locked(submit)) {
        return;
    }
    submit->is_delivering = true;
    while (submit->first != NULL && submit->first->state == FLIGHT_DECIDED) {
        struct flight *flight = pop_locked(submit);
        (void)pthread_mutex_unlock(&submit->lock);
        pool_view_put(GFS_TAKE(flight->view));
        struct chunk_group *group = GFS_TAKE(flight->group);
        group->done(group, flight->err);
        (void)pthread_mutex_lock(&submit->lock);
        pool_flight_unref_locked(submit, flight);
        collect_garbage_locked(submit);
    }
    submit->is_delivering = false;
    gfs_cond_broadcast(&submit->changed);
}

static void *deliver_main(void *arg)
{
    struct pool_submit *submit = arg;
    (void)pthread_mutex_lock(&submit->lock);
    while (!submit->is_stopping) {
        if (has_answer_locked(submit)) {
            deliver_locked(submit);
        } else {
            gfs_cond_wait(&submit->changed, &submit->lock);
        }
    }
    (void)pthread_mutex_unlock(&submit->lock);
    return NULL;
}

static bool has_outside_locked(const struct pool_submit *submit)
{
    return submit->outside.garbage != NULL || submit->outside.to_note != NULL ||
           submit->outside.mirror_count != 0;
}

static void run_outside_locked(struct pool_submit *submit)
{
    while (has_outside_locked(submit)) {
        collect_garbage_locked(submit);
        struct flight *flight = submit->outside.to_note;
        struct pool_disk *mirror = NULL;
        if (flight != NULL) {
            submit->outside.to_note = flight->outside;
        }
        if (submit->outside.mirror_count != 0) {
            mirror = submit->outside.mirrors[--submit->outside.mirror_count];
        }
        (void)pthread_mutex_unlock(&submit->lock);
        if (flight != NULL) {
            pool_flight_note(flight);
        }
        if (mirror != NULL) {
            pool_mirror_failed(submit->pool, mirror->path);
            pool_disk_unref(mirror);
        }
        (void)pthread_mutex_lock(&submit->lock);
    }
}

void pool_submit_unlock(struct pool_submit *submit, bool may_deliver)
{
    run_outside_locked(submit);
    if (may_deliver) {
        deliver_locked(submit);
    }
    if (has_answer_locked(submit) || submit->waiters != 0) {
        gfs_cond_broadcast(&submit->changed);
    }
    (void)pthread_mutex_unlock(&submit->lock);
}

void pool_submit_wrote(struct pool_disk *disk, enum gfs_err err)
{
    atomic_store_explicit(&disk->progress_ns, gfs_monotonic_ns(), memory_order_relaxed);
    if (err == GFS_IO) {
        pool_disk_drop(disk->pool, disk, err, "write");
    }
}

/* ---- in ---- */

static bool has_edit(const struct chunk_group *group)
{
    for (const struct chunk_record *record = group->records; record != NULL;
         record = record->next) {
        if (record->kind == CHUNK_RECORD_EDIT) {
            return true;
        }
    }
    return false;
}

enum gfs_err pool_submit_check(struct pool_submit *submit, const struct pool_view *view)
{
    (void)pthread_mutex_lock(&submit->lock);
    enum gfs_err err = pool_flight_edits_check_locked(submit, view, false);
    (void)pthread_mutex_unlock(&submit->lock);
    return err;
}

void pool_submit(struct chunk_store *chunks, struct chunk_group *group)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    struct pool_submit *submit = pool->submit;
    GFS_ASSERT(group->done != NULL);
    enum gfs_err err = GFS_OK;
    struct flight *flight = pool_flight_new(pool, pool_view_get(pool), group, &err);
    bool is_exempt = group->may_use_reserve || !has_edit(group);
    (void)pthread_mutex_lock(&submit->lock);
    GFS_ASSERT(!submit->is_stopping);
    enum gfs_err refusal = pool_flight_edits_check_locked(submit, flight->view, is_exempt);
    if (refusal != GFS_OK && refusal != GFS_AGAIN) {
        err = refusal;
    }
    *submit->tail = flight;
    submit->tail = &flight->next;
    if (submit->next_send == NULL) {
        submit->next_send = flight;
    }
    pool_flight_send_locked(submit, flight, err);
    pool_submit_unlock(submit, false);
}

/* ---- maps and time ---- */

static void look_at_all_locked(struct pool_submit *submit)
{
    for (struct flight *flight = submit->first; flight != NULL; flight = flight->next) {
        pool_flight_look_locked(submit, flight);
    }
    pool_flight_edits_look_locked(submit);
    pool_flight_edits_pump_locked(submit);
}

void pool_submit_view_changed(struct pool *pool)
{
    struct pool_submit *submit = pool->submit;
    (void)pthread_mutex_lock(&submit->lock);
    look_at_all_locked(submit);
    pool_submit_unlock(submit, false);
}

struct late {
    struct pool_disk *disks[LATE_MAX]; /* counted */
    unsigned count;
    int64_t now_ns, slow_ns;
};

/* A disk that answers others meanwhile is busy; but not for ever. */
static void judge_disk(struct late *late, struct pool_disk *disk, int64_t sent_ns)
{
    int64_t progress_ns = atomic_load_explicit(&disk->progress_ns, memory_order_relaxed);
    bool is_silent = late->now_ns - GFS_MAX(sent_ns, progress_ns) > late->slow_ns;
    bool is_late = is_silent || late->now_ns - sent_ns > PATIENCE * late->slow_ns;
    if (!is_late || !pool_disk_is_usable(disk) || late->count == LATE_MAX) {
        return;
    }
    for (unsigned i = 0; i < late->count; i++) {
        if (late->disks[i] == disk) {
            return;
        }
    }
    late->disks[late->count++] = pool_disk_ref(disk);
}

static void find_late_locked(struct pool_submit *submit, struct late *late)
{
    for (struct flight *flight = submit->first;
         flight != NULL && late->now_ns - flight->submitted_ns > late->slow_ns;
         flight = flight->next) {
        for (uint32_t i = 0; i < flight->leg_count; i++) {
            if (flight->legs[i].is_owed) {
                judge_disk(late, flight->legs[i].disk, flight->legs[i].sent_ns);
            }
        }
    }
    for (struct batch *batch = submit->batches; batch != NULL; batch = batch->next) {
        for (uint32_t i = 0; i < batch->leg_count; i++) {
            if (batch->legs[i].is_owed) {
                judge_disk(late, batch->legs[i].disk, batch->legs[i].sent_ns);
            }
        }
    }
}

/* A map that does not come is not waited for for ever. */
static void give_up_locked(struct pool_submit *submit, int64_t now_ns)
{
    const int64_t wait_ns = (int64_t)POOL_FLIGHT_WAIT_MS_MAX * NS_PER_MS;
    for (struct flight *flight = submit->first;
         flight != NULL && now_ns - flight->submitted_ns > wait_ns; flight = flight->next) {
        if (flight->state == FLIGHT_READY) {
            pool_flight_refuse_locked(submit, flight, GFS_UNREACHABLE);
        }
    }
    for (struct batch *batch = submit->batches; batch != NULL; batch = batch->next) {
        batch->is_given_up = batch->is_given_up || now_ns - batch->sent_ns > wait_ns;
    }
}

void pool_submit_tick(struct pool *pool, int64_t now_ns)
{
    struct pool_submit *submit = pool->submit;
    struct late late = {.now_ns = now_ns, .slow_ns = (int64_t)pool->options.slow_ms * NS_PER_MS};
    (void)pthread_mutex_lock(&submit->lock);
    find_late_locked(submit, &late);
    (void)pthread_mutex_unlock(&submit->lock);
    for (unsigned i = 0; i < late.count; i++) {
        pool_disk_drop(pool, late.disks[i], GFS_TIMEOUT, "write");
        pool_disk_unref(late.disks[i]);
    }
    (void)pthread_mutex_lock(&submit->lock);
    give_up_locked(submit, now_ns);
    look_at_all_locked(submit);
    pool_submit_unlock(submit, false);
}

static void wait_locked(struct pool_submit *submit, int64_t ms)
{
    submit->waiters++;
    (void)gfs_cond_wait_until(&submit->changed, &submit->lock, gfs_monotonic_ns() + ms * NS_PER_MS);
    submit->waiters--;
}

enum gfs_err pool_submit_pause(struct pool *pool)
{
    struct pool_submit *submit = pool->submit;
    int64_t until_ns = gfs_monotonic_ns() + (int64_t)pool->options.slow_ms * NS_PER_MS;
    (void)pthread_mutex_lock(&submit->lock);
    submit->is_paused = true;
    bool needs_map = false; /* which takes longer than the logs should stand still */
    bool stand = pool_flight_edits_stand_locked(submit, &needs_map);
    while (!stand && !needs_map && gfs_monotonic_ns() < until_ns) {
        wait_locked(submit, WAIT_STEP_MS);
        stand = pool_flight_edits_stand_locked(submit, &needs_map);
    }
    (void)pthread_mutex_unlock(&submit->lock);
    return stand ? GFS_OK : GFS_UNREACHABLE;
}

void pool_submit_resume(struct pool *pool)
{
    struct pool_submit *submit = pool->submit;
    (void)pthread_mutex_lock(&submit->lock);
    submit->is_paused = false;
    pool_flight_edits_pump_locked(submit);
    pool_submit_unlock(submit, false);
}

bool pool_submit_owes_edits(struct pool *pool, const struct pool_disk *disk)
{
    struct pool_submit *submit = pool->submit;
    bool owes = false;
    (void)pthread_mutex_lock(&submit->lock);
    for (const struct batch *batch = submit->batches; batch != NULL; batch = batch->next) {
        for (uint32_t i = 0; i < batch->leg_count; i++) {
            owes = owes || (batch->legs[i].is_owed && batch->legs[i].disk == disk);
        }
    }
    (void)pthread_mutex_unlock(&submit->lock);
    return owes;
}

/* ---- life ---- */

struct pool_submit *pool_submit_new(struct pool *pool)
{
    struct pool_submit *submit = gfs_alloc(sizeof *submit);
    submit->pool = pool;
    submit->tail = &submit->first;
    submit->batches_tail = &submit->batches;
    (void)pthread_mutex_init(&submit->lock, NULL);
    gfs_cond_init(&submit->changed);
    int rc = pthread_create(&submit->thread, NULL, deliver_main, submit);
    GFS_ASSERT(rc == 0);
    (void)pthread_setname_np(submit->thread, "pool-answers");
    return submit;
}

bool pool_submit_drain(struct pool_submit *submit, uint32_t wait_ms)
{
    int64_t until_ns = gfs_monotonic_ns() + (int64_t)wait_ms * NS_PER_MS;
    (void)pthread_mutex_lock(&submit->lock);
    submit->is_paused = false;
    while (submit->first != NULL || submit->noting != 0 || submit->is_delivering ||
           has_outside_locked(submit) || (submit->owed != 0 && gfs_monotonic_ns() < until_ns)) {
        look_at_all_locked(submit);
        run_outside_locked(submit);
        if (has_answer_locked(submit)) {
            gfs_cond_broadcast(&submit->changed);
        }
        wait_locked(submit, WAIT_STEP_MS);
    }
    bool is_empty = submit->owed == 0;
    GFS_ASSERT(!is_empty || submit->batches == NULL);
    (void)pthread_mutex_unlock(&submit->lock);
    return is_empty;
}

void pool_submit_free(struct pool_submit *submit)
{
    if (submit == NULL) {
        return;
    }
    bool is_empty = pool_submit_drain(submit, UINT32_MAX);
    GFS_ASSERT(is_empty);
    (void)pthread_mutex_lock(&submit->lock);
    submit->is_stopping = true;
    gfs_cond_broadcast(&submit->changed);
    (void)pthread_mutex_unlock(&submit->lock);
    (void)pthread_join(submit->thread, NULL);
    (void)pthread_mutex_destroy(&submit->lock);
    gfs_cond_fini(&submit->changed);
    free(submit);
}
