#include "goodfs/fsck.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "goodfs/fsck_due.h"
#include "goodfs/fsck_kept.h"
#include "goodfs/fsck_search.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"
#include "pool/pool_errand.h"

enum {
    REFERENCES_MAX = 4000000,
    FIRST_SEARCH_MS = 60 * 1000,  /* after the start; sooner when the age is less */
    PERIOD_MS = 24 * 3600 * 1000, /* of searches, likewise */
    LOOK_MS = 2000,               /* how often storage is asked */
    PAUSE_MS_MAX = 1000,
    SHOWN_MAX = 1000,    /* of each list in an answer */
    FILE_WAIT_MS = 5000, /* for the disk with the file of what is known */
    NS_PER_MS = 1000000,
};

struct fsck {
    struct fsck_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    struct gfs_cond wake;
    /* guarded by lock */
    bool is_stopping, is_wanted, is_running;
    bool may_be_many;      /* the orphans that the search that is wanted deletes */
    bool is_over;          /* the thread is at its end */
    bool has_result;       /* of a search that came to its end */
    uint64_t search_count; /* that came to their end: the same number is the same result */
    enum gfs_err err;
    int64_t started_ms, ended_ms; /* Unix time */
    double done;                  /* 0 to 1 */
    struct fsck_result result;
    struct fsck_orphan shown[SHOWN_MAX];
    size_t shown_count;
    struct fsck_due due;
    /* the thread's own */
    struct fsck_kept kept; /* its `known` is what the file was last told */
    struct pool_errands *errands;
    struct pool_errand *file_errand; /* hangs; NULL = none does */
    int64_t worked_since_ns;
};

/* ---- a search ---- */

/* The disks' time for others: as long as the work since the last step took, times the share. */
static bool step(void *arg, double done)
{
    struct fsck *fsck = arg;
    int64_t worked_ms = (gfs_monotonic_ns() - fsck->worked_since_ns) / NS_PER_MS;
    unsigned idle = fsck->options.idle_percent;
    int64_t pause_ms = idle >= 100 ? PAUSE_MS_MAX : worked_ms * idle / (100 - idle);
    pthread_mutex_lock(&fsck->lock);
    fsck->done = done;
    if (pause_ms > 0 && !fsck->is_stopping) {
        int64_t wait_ns = GFS_MIN(pause_ms, (int64_t)PAUSE_MS_MAX) * NS_PER_MS;
        (void)gfs_cond_wait_until(&fsck->wake, &fsck->lock, gfs_monotonic_ns() + wait_ns);
    }
    bool goes_on = !fsck->is_stopping;
    pthread_mutex_unlock(&fsck->lock);
    fsck->worked_since_ns = gfs_monotonic_ns();
    return goes_on;
}

static uint64_t losses_of(const struct fsck_result *result)
{
    return result->list.lost + result->list.unreachable + result->list.unjudged_losses;
}

static void log_result(const struct fsck *fsck, enum gfs_err err, const struct fsck_result *result)
{
    bool is_bad = err != GFS_OK || losses_of(result) > 0 || result->is_damaged;
    gfs_log(is_bad ? GFS_LOG_ERROR : GFS_LOG_INFO,
            "op=fsck err=%s chunks=%" PRIu64 " references=%" PRIu64 " lost=%" PRIu64
            " unreachable=%" PRIu64 " degraded=%" PRIu64 " orphans=%" PRIu64 " deleted=%" PRIu64
            " sweep=\"%s\" ms=%" PRId64,
            gfs_err_name(err), result->chunks, result->references, result->list.lost,
            result->list.unreachable, result->list.degraded, result->orphans, result->deleted,
            result->sweep, gfs_wall_ms() - fsck->started_ms);
}

static void publish(struct fsck *fsck, enum gfs_err err, struct fsck_result *result)
{
    pthread_mutex_lock(&fsck->lock);
    fsck->err = err;
    fsck->ended_ms = gfs_wall_ms();
    fsck->is_running = false;
    fsck->has_result = true;
    fsck->search_count++;
    fsck_due_end(&fsck->due, err == GFS_OK, losses_of(result), result->is_damaged,
                 gfs_monotonic_ns());
    fsck_search_release(&fsck->result);
    fsck->result = *result;
    fsck->shown_count = GFS_MIN(fsck->kept.orphans.count, (size_t)SHOWN_MAX);
    if (fsck->shown_count > 0) {
        memcpy(fsck->shown, fsck->kept.orphans.items, fsck->shown_count * sizeof fsck->shown[0]);
    }
    pthread_mutex_unlock(&fsck->lock);
}

/* ---- the file of what is known ---- */

/* Loading or storing it. Owned until it is over by an errand, which may hang in the disk. */
struct file_work {
    struct fsck_kept kept; /* a copy */
    char *dir;
    bool is_load;
    enum gfs_err err;
};

static void run_file_work(void *arg)
{
    struct file_work *work = arg;
    work->err = work->is_load ? fsck_kept_load(&work->kept, work->dir)
                              : fsck_kept_store(&work->kept, work->dir);
}

static void end_file_work(void *arg)
{
    struct file_work *work = arg;
    fsck_kept_fini(&work->kept);
    free(work->dir);
    free(work);
}

/* TIMEOUT: it hangs; BUSY: an earlier one does still. */
static enum gfs_err work_on_file(struct fsck *fsck, bool is_load)
{
    if (fsck->file_errand != NULL && !pool_errand_await(fsck->file_errand, 0)) {
        return GFS_BUSY;
    }
    pool_errand_let_go(GFS_TAKE(fsck->file_errand));
    struct file_work *work = gfs_alloc(sizeof *work);
    work->dir = gfs_strdup(fsck->options.dir);
    work->is_load = is_load;
    if (!is_load) {
        fsck_kept_copy(&fsck->kept, &work->kept);
    }
    struct pool_errand *errand =
        pool_errand_start(fsck->errands, "fsck-file", run_file_work, end_file_work, work);
    if (!pool_errand_await(errand, FILE_WAIT_MS)) {
        fsck->file_errand = errand;
        return GFS_TIMEOUT;
    }
    enum gfs_err err = work->err;
    if (is_load && err == GFS_OK) {
        fsck->kept = work->kept;
        work->kept = (struct fsck_kept){0};
    }
    pool_errand_let_go(errand);
    return err;
}

static void load_kept(struct fsck *fsck)
{
    enum gfs_err err = fsck->options.dir == NULL ? GFS_NOT_FOUND : work_on_file(fsck, true);
    if (err != GFS_OK && err != GFS_NOT_FOUND) {
        gfs_log(GFS_LOG_WARN, "op=fsck err=%s msg=\"what earlier searches knew is not known\"",
                gfs_err_name(err));
    }
    fsck->kept.orphans.uptime_ms = gfs_monotonic_ns() / NS_PER_MS;
}

static void store_kept(struct fsck *fsck)
{
    pthread_mutex_lock(&fsck->lock);
    fsck->kept.known = fsck->due.known;
    pthread_mutex_unlock(&fsck->lock);
    enum gfs_err err = fsck->options.dir == NULL ? GFS_OK : work_on_file(fsck, false);
    if (err != GFS_OK) {
        gfs_log(GFS_LOG_WARN, "op=fsck err=%s msg=\"what is known is not stored\"",
                gfs_err_name(err));
    }
}

/* ---- searches ---- */

static void look(struct fsck *fsck, struct fsck_look *ret)
{
    const struct fsck_source *source = &fsck->options.source;
    source->given_up(source->arg, ret->given_up);
    ret->is_whole = source->is_whole(source->arg);
    ret->losses = source->losses(source->arg);
}

static void search(struct fsck *fsck)
{
    struct fsck_result result;
    struct fsck_look begin;
    struct fsck_search_options options = {.source = &fsck->options.source,
                                          .orphan_age_ms = fsck->options.orphan_age_ms,
                                          .uptime_ms = gfs_monotonic_ns() / NS_PER_MS,
                                          .references_max = fsck->options.references_max,
                                          .step = step,
                                          .arg = fsck};
    look(fsck, &begin);
    pthread_mutex_lock(&fsck->lock);
    fsck->is_running = true;
    fsck->started_ms = gfs_wall_ms();
    fsck->done = 0;
    options.may_be_many = fsck->may_be_many;
    fsck->may_be_many = false;
    fsck_due_begin(&fsck->due, &begin, gfs_monotonic_ns());
    pthread_mutex_unlock(&fsck->lock);
    fsck->worked_since_ns = gfs_monotonic_ns();
    enum gfs_err err = fsck_search(&options, &fsck->kept.orphans, &result);
    log_result(fsck, err, &result);
    publish(fsck, err, &result);
    if (err == GFS_OK) {
        store_kept(fsck);
    }
}

/* Under the lock. A look noticed what the file does not say yet. */
static bool is_file_outdated(const struct fsck *fsck)
{
    return memcmp(fsck->kept.known.searched, fsck->due.known.searched,
                  sizeof fsck->due.known.searched) != 0;
}

static void *fsck_main(void *arg)
{
    struct fsck *fsck = arg;
    pthread_mutex_lock(&fsck->lock);
    while (!fsck->is_stopping) {
        struct fsck_look now;
        pthread_mutex_unlock(&fsck->lock);
        look(fsck, &now);
        pthread_mutex_lock(&fsck->lock);
        int64_t now_ns = gfs_monotonic_ns();
        bool is_due = fsck_due_look(&fsck->due, &now, now_ns) || fsck->is_wanted;
        if (fsck->is_stopping) {
            break;
        }
        if (is_file_outdated(fsck)) {
            pthread_mutex_unlock(&fsck->lock);
            store_kept(fsck);
            pthread_mutex_lock(&fsck->lock);
            continue;
        }
        if (!is_due) {
            int64_t look_ns = now_ns + LOOK_MS * (int64_t)NS_PER_MS;
            (void)gfs_cond_wait_until(&fsck->wake, &fsck->lock,
                                      GFS_MIN(fsck->due.period_at_ns, look_ns));
            continue;
        }
        fsck->is_wanted = false;
        fsck->is_running = true; /* whoever waits for its end must not look between the two */
        pthread_mutex_unlock(&fsck->lock);
        search(fsck);
        pthread_mutex_lock(&fsck->lock);
    }
    fsck->is_over = true;
    gfs_cond_broadcast(&fsck->wake);
    pthread_mutex_unlock(&fsck->lock);
    return NULL;
}

/* ---- life ---- */

struct fsck *fsck_open(const struct fsck_options *options)
{
    struct fsck *fsck = gfs_alloc(sizeof *fsck);
    fsck->options = *options;
    if (fsck->options.references_max == 0) {
        fsck->options.references_max = REFERENCES_MAX;
    }
    pthread_mutex_init(&fsck->lock, NULL);
    gfs_cond_init(&fsck->wake);
    fsck->errands = pool_errands_new();
    load_kept(fsck);
    int64_t age_ms = options->orphan_age_ms;
    fsck_due_init(&fsck->due, &fsck->kept.known,
                  gfs_monotonic_ns() + GFS_MIN(age_ms, (int64_t)FIRST_SEARCH_MS) * NS_PER_MS,
                  GFS_MIN(age_ms, (int64_t)PERIOD_MS) * NS_PER_MS);
    if (!options->is_manual) {
        int rc = pthread_create(&fsck->thread, NULL, fsck_main, fsck);
        GFS_ASSERT(rc == 0);
        (void)pthread_setname_np(fsck->thread, "fsck");
    }
    return fsck;
}

void fsck_stop(struct fsck *fsck)
{
    if (fsck != NULL) {
        pthread_mutex_lock(&fsck->lock);
        fsck->is_stopping = true;
        gfs_cond_broadcast(&fsck->wake);
        pthread_mutex_unlock(&fsck->lock);
    }
}

static bool await_thread(struct fsck *fsck, uint32_t wait_ms)
{
    int64_t until_ns = gfs_monotonic_ns() + wait_ms * (int64_t)NS_PER_MS;
    bool has_time = true;
    pthread_mutex_lock(&fsck->lock);
    while (!fsck->is_over && has_time) {
        has_time = gfs_cond_wait_until(&fsck->wake, &fsck->lock, until_ns);
    }
    bool is_over = fsck->is_over;
    pthread_mutex_unlock(&fsck->lock);
    return is_over;
}

bool fsck_close(struct fsck *fsck, uint32_t wait_ms)
{
    if (fsck == NULL) {
        return true;
    }
    fsck_stop(fsck);
    if (!fsck->options.is_manual && !await_thread(fsck, wait_ms)) {
        return false;
    }
    if (!fsck->options.is_manual) {
        pthread_join(fsck->thread, NULL);
    }
    pool_errand_let_go(fsck->file_errand);
    /* one that is still under way was waited for already: it hangs, and needs them */
    if (pool_errands_end(fsck->errands, 0)) {
        pool_errands_free(fsck->errands);
    }
    fsck_kept_fini(&fsck->kept);
    fsck_search_release(&fsck->result);
    gfs_cond_fini(&fsck->wake);
    pthread_mutex_destroy(&fsck->lock);
    free(fsck);
    return true;
}

void fsck_start(struct fsck *fsck, bool may_be_many)
{
    pthread_mutex_lock(&fsck->lock);
    fsck->is_wanted = true;
    fsck->may_be_many |= may_be_many;
    gfs_cond_broadcast(&fsck->wake);
    pthread_mutex_unlock(&fsck->lock);
}

void fsck_judge(struct fsck *fsck, struct fsck_verdict *ret)
{
    bool given_up[FSCK_DISKS_MAX];
    fsck->options.source.given_up(fsck->options.source.arg, given_up);
    pthread_mutex_lock(&fsck->lock);
    *ret = (struct fsck_verdict){.losses = fsck->due.known.losses,
                                 .has_damage = fsck->due.known.has_damage,
                                 .is_unsure = fsck_due_is_unsure(&fsck->due, given_up)};
    pthread_mutex_unlock(&fsck->lock);
}

void fsck_run(struct fsck *fsck)
{
    GFS_ASSERT(fsck->options.is_manual);
    search(fsck);
}

/* ---- answers; under the lock ---- */

static void write_id(struct gfs_json_out *out, struct chunk_id id)
{
    char text[33];
    (void)snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, id.hi, id.lo);
    gfs_json_out_text(out, "chunk", text);
}

/* One page of the rows; "next" is the after of the one behind it. */
static void write_objects(const struct fsck_list *list, uint64_t after, uint64_t limit,
                          struct gfs_json_out *out)
{
    static const char *const states[] = {
        [FSCK_LOST] = "lost", [FSCK_UNREACHABLE] = "unreachable", [FSCK_DEGRADED] = "degraded"};
    uint64_t end = GFS_MIN(after + limit, (uint64_t)list->row_count);
    gfs_json_out_array(out, "objects");
    for (uint64_t i = after; i < end; i++) {
        const struct fsck_named *row = &list->rows[i];
        gfs_json_out_object(out, NULL);
        gfs_json_out_text(out, "state", states[row->worst.state]);
        gfs_json_out_u64(out, "have", row->worst.have);
        gfs_json_out_u64(out, "need", row->worst.need);
        gfs_json_out_u64(out, "width", row->worst.width);
        write_id(out, row->worst.id);
        gfs_json_out_u64(out, "bad_chunks", row->chunk_count);
        gfs_json_out_text(out, "bucket", row->bucket);
        gfs_json_out_text(out, "key", row->key);
        gfs_json_out_end_object(out);
    }
    gfs_json_out_end_array(out);
    gfs_json_out_u64(out, "object_count", list->row_count);
    gfs_json_out_bool(out, "has_more_objects", list->has_more);
    if (end < list->row_count) {
        gfs_json_out_u64(out, "next", end);
    }
}

static void write_orphans(const struct fsck *fsck, struct gfs_json_out *out)
{
    gfs_json_out_array(out, "orphan_list");
    for (size_t i = 0; i < fsck->shown_count; i++) {
        char date[GFS_ISO_DATE_LEN + 1];
        gfs_iso_date(fsck->shown[i].first_seen_ms, date);
        gfs_json_out_object(out, NULL);
        write_id(out, fsck->shown[i].id);
        gfs_json_out_u64(out, "bytes", fsck->shown[i].bytes);
        gfs_json_out_text(out, "first_seen", date);
        gfs_json_out_end_object(out);
    }
    gfs_json_out_end_array(out);
}

static void write_result(const struct fsck *fsck, uint64_t after, uint64_t limit,
                         struct gfs_json_out *out)
{
    const struct fsck_result *result = &fsck->result;
    bool is_clean = fsck->err == GFS_OK && !result->is_damaged &&
                    result->list.lost + result->list.unreachable + result->list.degraded +
                            result->list.unjudged ==
                        0;
    gfs_json_out_bool(out, "is_clean", is_clean);
    gfs_json_out_bool(out, "has_damaged_rows", result->is_damaged);
    gfs_json_out_u64(out, "chunks", result->chunks);
    gfs_json_out_u64(out, "references", result->references);
    gfs_json_out_u64(out, "lost", result->list.lost);
    gfs_json_out_u64(out, "unreachable", result->list.unreachable);
    gfs_json_out_u64(out, "degraded", result->list.degraded);
    gfs_json_out_u64(out, "unjudged", result->list.unjudged);
    gfs_json_out_u64(out, "unjudged_losses", result->list.unjudged_losses);
    gfs_json_out_u64(out, "orphans", result->orphans);
    gfs_json_out_u64(out, "orphan_bytes", result->orphan_bytes);
    gfs_json_out_u64(out, "deleted", result->deleted);
    gfs_json_out_u64(out, "deleted_bytes", result->deleted_bytes);
    gfs_json_out_text(out, "sweep", result->sweep);
    write_objects(&result->list, after, limit, out);
    if (after == 0) {
        write_orphans(fsck, out);
    }
}

static void write_times(const struct fsck *fsck, struct gfs_json_out *out)
{
    char date[GFS_ISO_DATE_LEN + 1];
    if (fsck->started_ms == 0) {
        return;
    }
    int64_t end_ms = fsck->is_running ? gfs_wall_ms() : fsck->ended_ms;
    double took_s = (double)(end_ms - fsck->started_ms) / 1000;
    gfs_iso_date(fsck->started_ms, date);
    gfs_json_out_text(out, "started", date);
    gfs_json_out_real(out, "took_s", took_s);
    if (fsck->is_running) {
        gfs_json_out_real(out, "position", fsck->done);
    }
    if (fsck->is_running && fsck->done > 0) {
        gfs_json_out_real(out, "eta_s", took_s / fsck->done * (1 - fsck->done));
    }
}

void fsck_json(struct fsck *fsck, uint64_t after, uint64_t limit, struct gfs_json_out *out,
               const char *name)
{
    GFS_ASSERT(limit <= FSCK_PAGE_MAX);
    pthread_mutex_lock(&fsck->lock);
    bool is_running = fsck->is_running || fsck->is_wanted;
    const char *state = is_running                   ? "running"
                        : !fsck->has_result          ? "never"
                        : fsck->err == GFS_OK        ? "done"
                        : fsck->err == GFS_CANCELLED ? "stopped"
                                                     : "failed";
    gfs_json_out_object(out, name);
    gfs_json_out_bool(out, "is_running", is_running);
    gfs_json_out_text(out, "state", state);
    gfs_json_out_u64(out, "searches", fsck->search_count); /* its pages belong together */
    if (fsck->err != GFS_OK) {
        gfs_json_out_text(out, "error", gfs_err_text(fsck->err));
    }
    write_times(fsck, out);
    if (fsck->has_result) {
        write_result(fsck, after, limit, out);
    }
    gfs_json_out_end_object(out);
    pthread_mutex_unlock(&fsck->lock);
}
