/* The owner of a chunk, from any of its parts.
 *
 * The parts are asked one after the other, the next one when those before do not answer for some
 * time; the slow ones late, those on disks that are only read last. Who was asked may answer until
 * the end: that a disk takes its time never means that a chunk is lost. */
#include <string.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_pin.h"
#include "pool/pool_reader.h"

enum {
    PATIENCE_RACES = 20, /* race_ms until another disk is asked as well */
    GIVE_UP_RACES = 600, /* when only disks that do not answer are left */
    LOOK_MS = 250,       /* how often it is seen to what ended otherwise */
};
#define NS_PER_MS 1000000LL

/* Owned by the asking thread. */
struct search {
    struct pool_pin *pin;
    struct pool_read_job *jobs[POOL_WIDTH_MAX]; /* under way, by slot */
    uint32_t asked;
    bool is_refused; /* by a disk that has too many jobs */
    char *ret;
    size_t *ret_len;
};

static int64_t races_ns(const struct search *search, int64_t races)
{
    return races * search->pin->pool->options.race_ms * NS_PER_MS;
}

/* Of jobs of ours that are done. */
static uint32_t done_locked(const struct search *search)
{
    uint32_t done = 0;
    for (unsigned i = 0; i < search->pin->width; i++) {
        done |= search->jobs[i] != NULL && search->jobs[i]->is_done ? 1U << i : 0;
    }
    return done;
}

/* What came back; true: the owner is among it. */
static bool take_done(struct search *search)
{
    struct pool_pin *pin = search->pin;
    (void)pthread_mutex_lock(&pin->lock);
    uint32_t done = done_locked(search);
    (void)pthread_mutex_unlock(&pin->lock);
    bool is_found = false;
    for (; done != 0; done &= done - 1) {
        unsigned slot = (unsigned)__builtin_ctz(done);
        struct pool_read_job *job = GFS_TAKE(search->jobs[slot]);
        if (job->err != GFS_OK) {
            pool_pin_report(pin, slot, job->err);
        } else if (!is_found) {
            is_found = true;
            memcpy(search->ret, job->bytes, job->owner_len);
            *search->ret_len = job->owner_len;
        }
        pool_reader_forget(job);
    }
    return is_found;
}

/* Until a job of ours is done. */
static void wait_for_jobs(struct search *search, int64_t until_ns)
{
    struct pool_pin *pin = search->pin;
    (void)pthread_mutex_lock(&pin->lock);
    while (done_locked(search) == 0 && gfs_monotonic_ns() < until_ns) {
        pool_pin_wait_locked(pin, until_ns);
    }
    (void)pthread_mutex_unlock(&pin->lock);
}

/* Parts with a read under way that is worth waiting for, ours or one that was given up earlier. */
static uint32_t awaited(const struct search *search)
{
    const struct pool_pin *pin = search->pin;
    uint32_t parts = 0;
    for (unsigned i = 0; i < pin->width; i++) {
        bool is_read = search->jobs[i] != NULL || atomic_load(&pin->parts[i].is_busy);
        parts |= is_read && pool_pin_is_awaited(pin, i) ? 1U << i : 0;
    }
    return parts;
}

/* Of those not asked yet that can be: one that is not slow, if there is one. false: none. */
static bool choose(struct search *search, unsigned *ret_slot)
{
    struct pool_pin *pin = search->pin;
    uint32_t left = pool_pin_readable(pin) & ~search->asked;
    if (left == 0) {
        pool_pin_find_last(pin);
        left = (pool_pin_readable(pin) | pool_pin_last(pin)) & ~search->asked;
    }
    uint32_t fast = 0;
    for (uint32_t parts = left; parts != 0; parts &= parts - 1) {
        unsigned slot = (unsigned)__builtin_ctz(parts);
        fast |= pool_pin_is_slow(pin, slot) ? 0 : 1U << slot;
    }
    if (left != 0) {
        *ret_slot = (unsigned)__builtin_ctz(fast != 0 ? fast : left);
    }
    return left != 0;
}

static void ask(struct search *search, unsigned slot)
{
    struct pool_read_job wanted = {.pin = search->pin, .part = slot, .is_owner = true};
    search->asked |= 1U << slot;
    search->jobs[slot] = pool_reader_start(&wanted);
    if (search->jobs[slot] == NULL) {
        search->is_refused = true;
    } else {
        wait_for_jobs(search, gfs_monotonic_ns() + races_ns(search, PATIENCE_RACES));
    }
}

static enum gfs_err run(struct search *search)
{
    int64_t give_up_ns = gfs_monotonic_ns() + races_ns(search, GIVE_UP_RACES);
    while (true) {
        /* Looked at before what is done: a read that ends meanwhile is seen by one of the two. */
        bool must_wait = awaited(search) != 0;
        unsigned slot;
        if (take_done(search)) {
            return GFS_OK;
        }
        if (choose(search, &slot)) {
            ask(search, slot);
            continue;
        }
        if (!must_wait) {
            return search->is_refused ? GFS_BUSY : pool_pin_lost(search->pin);
        }
        int64_t now_ns = gfs_monotonic_ns();
        if (now_ns >= give_up_ns) {
            return GFS_TIMEOUT;
        }
        if (awaited(search) == 0) {
            continue; /* the last one has just failed */
        }
        wait_for_jobs(search, GFS_MIN(give_up_ns, now_ns + LOOK_MS * NS_PER_MS));
    }
}

enum gfs_err pool_pin_owner(struct pool_pin *pin, char *ret, size_t *ret_len)
{
    struct search search = {.pin = pin, .ret = ret, .ret_len = ret_len};
    pool_pin_complete(pin);
    enum gfs_err err = run(&search);
    for (unsigned i = 0; i < pin->width; i++) {
        if (search.jobs[i] != NULL) {
            pool_reader_forget(search.jobs[i]);
        }
    }
    return err;
}
