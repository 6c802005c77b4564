#include "pool/pool_log_work.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"
#include "pool/pool_log.h"

enum { WAIT_STEP_MS = 100 };

/* ---- the log that is worked on ---- */

/* The store of a disk, for the calls of one work, until that is given up. Guarded by lock, but for
 * what the work's own thread uses between its calls: group, outer. */
struct guest {
    struct chunk_store base;
    pthread_mutex_t lock;
    struct pool_disk *disk; /* counted; NULL = left alone for good */
    bool is_given_up;
    bool is_writing;           /* an answer is owed; nothing else is written meanwhile */
    unsigned inside;           /* calls that have not returned, and the answer */
    struct chunk_group group;  /* what the disk is given for... */
    struct chunk_group *outer; /* ...this one */
};

static struct guest *guest_of(struct chunk_store *store)
{
    return GFS_CONTAINER_OF(store, struct guest, base);
}

static void unref(struct pool_disk *disk)
{
    if (disk != NULL) {
        pool_disk_unref(disk);
    }
}

static struct pool_disk *take_if_left_locked(struct guest *guest)
{
    return guest->is_given_up && guest->inside == 0 ? GFS_TAKE(guest->disk) : NULL;
}

/* NULL: given up. */
static struct chunk_store *enter(struct guest *guest, bool is_writing)
{
    struct chunk_store *store = NULL;
    (void)pthread_mutex_lock(&guest->lock);
    if (!guest->is_given_up) {
        store = guest->disk->store;
        guest->inside++;
        guest->is_writing = guest->is_writing || is_writing;
    }
    (void)pthread_mutex_unlock(&guest->lock);
    return store;
}

static void leave(struct guest *guest, bool was_writing)
{
    (void)pthread_mutex_lock(&guest->lock);
    GFS_ASSERT(guest->inside != 0);
    guest->inside--;
    guest->is_writing = guest->is_writing && !was_writing;
    struct pool_disk *disk = take_if_left_locked(guest);
    (void)pthread_mutex_unlock(&guest->lock);
    unref(disk);
}

static void give_up(struct guest *guest)
{
    (void)pthread_mutex_lock(&guest->lock);
    guest->is_given_up = true;
    struct pool_disk *disk = take_if_left_locked(guest);
    (void)pthread_mutex_unlock(&guest->lock);
    unref(disk);
}

static void guest_done(struct chunk_group *group, enum gfs_err err)
{
    struct guest *guest = GFS_CONTAINER_OF(group, struct guest, group);
    struct chunk_group *outer = GFS_TAKE(guest->outer);
    leave(guest, true); /* first: with the answer the work may be over */
    outer->done(outer, err);
}

static void guest_submit(struct chunk_store *store, struct chunk_group *group)
{
    struct guest *guest = guest_of(store);
    struct chunk_store *own = enter(guest, true);
    if (own == NULL) {
        group->done(group, GFS_STOPPED);
        return;
    }
    GFS_ASSERT(guest->outer == NULL);
    guest->outer = group;
    guest->group = (struct chunk_group){
        .records = group->records, .done = guest_done, .may_use_reserve = group->may_use_reserve};
    own->ops->submit(own, &guest->group);
}

static void guest_status(struct chunk_store *store, struct chunk_store_status *ret)
{
    struct guest *guest = guest_of(store);
    struct chunk_store *own = enter(guest, false);
    *ret = (struct chunk_store_status){0};
    if (own != NULL) {
        own->ops->status(own, ret);
        leave(guest, false);
    }
}

static enum gfs_err guest_replay(struct chunk_store *store, uint64_t after,
                                 enum gfs_err (*visit)(void *arg, uint64_t lsn,
                                                       struct gfs_slice edit),
                                 void *arg, struct gfs_error *error)
{
    struct guest *guest = guest_of(store);
    struct chunk_store *own = enter(guest, false);
    if (own == NULL) {
        return gfs_fail(error, GFS_STOPPED, "given up");
    }
    enum gfs_err err = own->ops->replay_edits(own, after, visit, arg, error);
    leave(guest, false);
    return err;
}

/* What pool_log.c asks of a log. */
static const struct chunk_store_ops guest_ops = {
    .submit = guest_submit, .status = guest_status, .replay_edits = guest_replay};

static void init_guest(struct guest *guest, struct pool_disk *disk)
{
    guest->base.ops = &guest_ops;
    (void)pthread_mutex_init(&guest->lock, NULL);
    guest->disk = pool_disk_ref(disk);
}

static void fini_guest(struct guest *guest)
{
    GFS_ASSERT(guest->inside == 0);
    unref(guest->disk);
    (void)pthread_mutex_destroy(&guest->lock);
}

/* ---- the work ---- */

/* Owned by its errand until that is over, but for what is below; then by who waits for it. */
struct pool_log_work {
    struct pool_disk *from; /* counted */
    struct guest to;
    bool is_compare;
    uint64_t trimmed;
    enum gfs_err err;
    struct gfs_error error;
    struct pool_errand *errand; /* of who waits */
    struct pool_log_work *next; /* given up */
};

static void run(void *arg)
{
    struct pool_log_work *work = arg;
    struct chunk_store *from = work->from->store;
    work->err = work->is_compare
                    ? pool_log_compare(from, &work->to.base, work->trimmed, &work->error)
                    : pool_log_extend(from, &work->to.base, &work->error);
}

static void end(void *arg)
{
    struct pool_log_work *work = arg;
    pool_disk_unref(work->from);
    fini_guest(&work->to);
    free(work);
}

static bool is_written_to(struct pool_log_works *works, const struct pool_disk *to)
{
    bool is_it = false;
    for (struct pool_log_work *work = works->given_up; work != NULL; work = work->next) {
        (void)pthread_mutex_lock(&work->to.lock);
        is_it = is_it || (work->to.disk == to && work->to.is_writing);
        (void)pthread_mutex_unlock(&work->to.lock);
    }
    return is_it;
}

static bool goes_on(const struct pool_log_works *works, const struct pool_disk *from,
                    const struct pool_disk *to)
{
    return pool_disk_is_usable(from) && pool_disk_is_usable(to) &&
           !pool_pace_is_stopped(works->pace);
}

/* Takes the work over. */
static enum gfs_err await(struct pool_log_works *works, struct pool_log_work *work,
                          struct pool_disk *to, uint32_t limit_ms, struct gfs_error *error)
{
    uint32_t waited_ms = 0;
    bool is_over = pool_errand_await(work->errand, WAIT_STEP_MS);
    while (!is_over && goes_on(works, work->from, to) && (limit_ms == 0 || waited_ms < limit_ms)) {
        waited_ms += WAIT_STEP_MS;
        is_over = pool_errand_await(work->errand, WAIT_STEP_MS);
    }
    if (!is_over) {
        give_up(&work->to);
        work->next = works->given_up;
        works->given_up = work;
        return gfs_fail(error, GFS_TIMEOUT, "a disk does not answer");
    }
    enum gfs_err err = work->err;
    if (err != GFS_OK) {
        (void)gfs_fail(error, err, "%s", work->error.text);
    }
    pool_errand_let_go(work->errand);
    return err;
}

static enum gfs_err do_work(struct pool_log_works *works, struct pool_log_work *work,
                            struct pool_disk *from, struct pool_disk *to, uint32_t limit_ms,
                            struct gfs_error *error)
{
    work->from = pool_disk_ref(from);
    init_guest(&work->to, to);
    work->errand = pool_errand_start(works->pool->errands, "mirror-log", run, end, work);
    return await(works, work, to, limit_ms, error);
}

static enum gfs_err fail_busy(struct gfs_error *error)
{
    return gfs_fail(error, GFS_BUSY, "an earlier attempt hangs in the disk");
}

enum gfs_err pool_log_work_compare(struct pool_log_works *works, struct pool_disk *from,
                                   struct pool_disk *to, struct gfs_error *error)
{
    if (is_written_to(works, to)) {
        return fail_busy(error);
    }
    struct pool_log_work *work = gfs_alloc(sizeof *work);
    work->is_compare = true;
    work->trimmed = atomic_load(&works->pool->lsn_trimmed);
    return do_work(works, work, from, to, 0, error);
}

enum gfs_err pool_log_work_extend(struct pool_log_works *works, struct pool_disk *from,
                                  struct pool_disk *to, uint32_t limit_ms, struct gfs_error *error)
{
    if (is_written_to(works, to)) {
        return fail_busy(error);
    }
    return do_work(works, gfs_alloc(sizeof(struct pool_log_work)), from, to, limit_ms, error);
}

/* ---- what was given up ---- */

bool pool_log_work_hangs_in(const struct pool_log_works *works, const struct pool_disk *from)
{
    const struct pool_log_work *work = works->given_up;
    while (work != NULL && work->from != from) {
        work = work->next;
    }
    return work != NULL;
}

static void let_go(struct pool_log_works *works, bool all)
{
    struct pool_log_work **link = &works->given_up;
    while (*link != NULL) {
        struct pool_log_work *work = *link;
        if (all || pool_errand_await(work->errand, 0)) {
            *link = work->next;
            pool_errand_let_go(work->errand);
        } else {
            link = &work->next;
        }
    }
}

void pool_log_work_look(struct pool_log_works *works)
{
    let_go(works, false);
}

void pool_log_work_leave(struct pool_log_works *works)
{
    let_go(works, true);
}
