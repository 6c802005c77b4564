#include "goodfs/fsck.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "goodfs/fsck_orphans_file.h"
#include "goodfs/fsck_search.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"
#include "pool/pool_errand.h"

enum {
    REFERENCES_MAX = 4000000,
    FIRST_SEARCH_MS = 600 * 1000,   /* after the start; sooner when the age is less */
    PERIOD_MS = 24 * 3600 * 1000, /* of searches, likewise */
    SEARCH_GAP_MS = 60 * 1000, /* between searches for what storage says is lost */
    LOOK_MS = 2000,            /* how often storage is asked */
    PAUSE_MS_MAX = 1000,
    SHOWN_MAX = 1000, /* of each list in an answer */
    FILE_WAIT_MS = 5000, /* for the disk with the ages of orphans */
    NS_PER_MS = 1000000,
};

struct fsck {
    struct fsck_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    struct gfs_cond wake;
    /* guarded by lock */
    bool is_stopping, is_wanted, is_running;
    bool is_over; /* the thread is at its end */
    bool has_result; /* of a search that came to its end */
    enum gfs_err err;
    int64_t started_ms, ended_ms; /* Unix time */
    double done;                  /* 0 to 1 */
    struct fsck_result result;
    struct fsck_orphan shown[SHOWN_MAX];
    size_t shown_count;
    /* the thread's own */
    struct fsck_orphans orphans;
    struct pool_errands *errands;
    struct pool_errand *file_errand; /* hangs; NULL = none does */
    int64_t worked_since_ns;
    uint64_t known_losses; /* that the last search was told of */
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

static void log_result(const struct fsck *fsck, enum gfs_err err, const struct fsck_result *result)
{
    bool is_bad = err != GFS_OK || result->lost + result->unreachable > 0;
    gfs_log(is_bad ? GFS_LOG_ERROR : GFS_LOG_INFO,
            "op=fsck err=%s chunks=%" PRIu64 " references=%" PRIu64 " lost=%" PRIu64
            " unreachable=%" PRIu64 " degraded=%" PRIu64 " orphans=%" PRIu64 " deleted=%" PRIu64
            " sweep=\"%s\" ms=%" PRId64,
            gfs_err_name(err), result->chunks, result->references, result->lost,
            result->unreachable, result->degraded, result->orphans, result->deleted, result->sweep,
            gfs_wall_ms() - fsck->started_ms);
}

static void publish(struct fsck *fsck, enum gfs_err err, struct fsck_result *result)
{
    pthread_mutex_lock(&fsck->lock);
    fsck->err = err;
    fsck->ended_ms = gfs_wall_ms();
    fsck->is_running = false;
    fsck->has_result = true;
    fsck_search_release(&fsck->result);
    fsck->result = *result;
    fsck->shown_count = GFS_MIN(fsck->orphans.count, (size_t)SHOWN_MAX);
    if (fsck->shown_count > 0) {
        memcpy(fsck->shown, fsck->orphans.items, fsck->shown_count * sizeof fsck->shown[0]);
    }
    pthread_mutex_unlock(&fsck->lock);
}

/* ---- the file with the ages of orphans ---- */

/* Loading or storing it. Owned until it is over by an errand, which may hang in the disk. */
struct file_work {
    struct fsck_orphans orphans; /* a copy */
    char *dir;
    bool is_load;
    enum gfs_err err;
};

static void run_file_work(void *arg)
{
    struct file_work *work = arg;
    work->err = work->is_load ? fsck_orphans_load(&work->orphans, work->dir)
                              : fsck_orphans_store(&work->orphans, work->dir);
}

static void end_file_work(void *arg)
{
    struct file_work *work = arg;
    fsck_orphans_fini(&work->orphans);
    free(work->dir);
    free(work);
}

static void copy_orphans(const struct fsck_orphans *orphans, struct fsck_orphans *ret)
{
    *ret = *orphans;
    ret->items = gfs_alloc_array(GFS_MAX(orphans->count, (size_t)1), sizeof *orphans->items);
    if (orphans->count != 0) {
        memcpy(ret->items, orphans->items, orphans->count * sizeof *orphans->items);
    }
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
        copy_orphans(&fsck->orphans, &work->orphans);
    }
    struct pool_errand *errand =
        pool_errand_start(fsck->errands, "fsck-file", run_file_work, end_file_work, work);
    if (!pool_errand_await(errand, FILE_WAIT_MS)) {
        fsck->file_errand = errand;
        return GFS_TIMEOUT;
    }
    enum gfs_err err = work->err;
    if (is_load && err == GFS_OK) {
        fsck->orphans = work->orphans;
        work->orphans = (struct fsck_orphans){0};
    }
    pool_errand_let_go(errand);
    return err;
}

static void load_orphans(struct fsck *fsck)
{
    enum gfs_err err = fsck->options.dir == NULL ? GFS_NOT_FOUND : work_on_file(fsck, true);
    if (err != GFS_OK && err != GFS_NOT_FOUND) {
        gfs_log(GFS_LOG_WARN, "op=fsck err=%s msg=\"the ages of orphans begin anew\"",
                gfs_err_name(err));
    }
    fsck->orphans.uptime_ms = gfs_monotonic_ns() / NS_PER_MS;
}

static void store_orphans(struct fsck *fsck)
{
    enum gfs_err err = fsck->options.dir == NULL ? GFS_OK : work_on_file(fsck, false);
    if (err != GFS_OK) {
        gfs_log(GFS_LOG_WARN, "op=fsck err=%s msg=\"the ages of orphans are not stored\"",
                gfs_err_name(err));
    }
}

/* ---- searches ---- */

static void search(struct fsck *fsck)
{
    struct fsck_result result;
    struct fsck_search_options options = {.source = &fsck->options.source,
                                          .orphan_age_ms = fsck->options.orphan_age_ms,
                                          .uptime_ms = gfs_monotonic_ns() / NS_PER_MS,
                                          .references_max = fsck->options.references_max,
                                          .step = step,
                                          .arg = fsck};
    pthread_mutex_lock(&fsck->lock);
    fsck->is_running = true;
    fsck->started_ms = gfs_wall_ms();
    fsck->done = 0;
    pthread_mutex_unlock(&fsck->lock);
    fsck->worked_since_ns = gfs_monotonic_ns();
    enum gfs_err err = fsck_search(&options, &fsck->orphans, &result);
    log_result(fsck, err, &result);
    if (err == GFS_OK) {
        store_orphans(fsck);
    }
    publish(fsck, err, &result);
}

/* Storage lost something since it was last asked. */
static bool has_new_losses(struct fsck *fsck)
{
    uint64_t losses = fsck->options.source.losses(fsck->options.source.arg);
    bool is_more = losses > fsck->known_losses;
    fsck->known_losses = GFS_MIN(fsck->known_losses, losses);
    return is_more;
}

static void *fsck_main(void *arg)
{
    struct fsck *fsck = arg;
    int64_t age_ms = fsck->options.orphan_age_ms;
    int64_t next_ns = gfs_monotonic_ns() + GFS_MIN(age_ms, (int64_t)FIRST_SEARCH_MS) * NS_PER_MS;
    int64_t gap_ns = 0;
    pthread_mutex_lock(&fsck->lock);
    while (!fsck->is_stopping) {
        int64_t now_ns = gfs_monotonic_ns();
        bool is_due = fsck->is_wanted || now_ns >= next_ns ||
                      (now_ns >= gap_ns && has_new_losses(fsck));
        if (!is_due) {
            int64_t look_ns = now_ns + LOOK_MS * (int64_t)NS_PER_MS;
            (void)gfs_cond_wait_until(&fsck->wake, &fsck->lock, GFS_MIN(next_ns, look_ns));
            continue;
        }
        fsck->is_wanted = false;
        fsck->is_running = true; /* whoever waits for its end must not look between the two */
        pthread_mutex_unlock(&fsck->lock);
        fsck->known_losses = fsck->options.source.losses(fsck->options.source.arg);
        search(fsck);
        next_ns = gfs_monotonic_ns() + GFS_MIN(age_ms, (int64_t)PERIOD_MS) * NS_PER_MS;
        gap_ns = gfs_monotonic_ns() + SEARCH_GAP_MS * (int64_t)NS_PER_MS;
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
    load_orphans(fsck);
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
    fsck_orphans_fini(&fsck->orphans);
    fsck_search_release(&fsck->result);
    gfs_cond_fini(&fsck->wake);
    pthread_mutex_destroy(&fsck->lock);
    free(fsck);
    return true;
}

void fsck_start(struct fsck *fsck)
{
    pthread_mutex_lock(&fsck->lock);
    fsck->is_wanted = true;
    gfs_cond_broadcast(&fsck->wake);
    pthread_mutex_unlock(&fsck->lock);
}

uint64_t fsck_losses(struct fsck *fsck)
{
    pthread_mutex_lock(&fsck->lock);
    uint64_t losses = fsck->result.lost + fsck->result.unreachable;
    pthread_mutex_unlock(&fsck->lock);
    return losses;
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

static void write_objects(const struct fsck_result *result, struct gfs_json_out *out)
{
    static const char *const states[] = {
        [FSCK_LOST] = "lost", [FSCK_UNREACHABLE] = "unreachable", [FSCK_DEGRADED] = "degraded"};
    gfs_json_out_array(out, "objects");
    for (size_t i = 0; i < GFS_MIN(result->named_count, (size_t)SHOWN_MAX); i++) {
        const struct fsck_named *named = &result->named[i];
        gfs_json_out_object(out, NULL);
        gfs_json_out_text(out, "state", states[named->finding.state]);
        gfs_json_out_u64(out, "have", named->finding.have);
        gfs_json_out_u64(out, "need", named->finding.need);
        gfs_json_out_u64(out, "width", named->finding.width);
        write_id(out, named->finding.id);
        gfs_json_out_text(out, "bucket", named->bucket);
        gfs_json_out_text(out, "key", named->key);
        gfs_json_out_end_object(out);
    }
    gfs_json_out_end_array(out);
    gfs_json_out_bool(out, "has_more_objects",
                      result->has_more_named || result->named_count > SHOWN_MAX);
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

static void write_result(const struct fsck *fsck, struct gfs_json_out *out)
{
    const struct fsck_result *result = &fsck->result;
    bool is_clean = fsck->err == GFS_OK && !result->is_damaged &&
                    result->lost + result->unreachable + result->degraded + result->unjudged == 0;
    gfs_json_out_bool(out, "is_clean", is_clean);
    gfs_json_out_bool(out, "has_damaged_rows", result->is_damaged);
    gfs_json_out_u64(out, "chunks", result->chunks);
    gfs_json_out_u64(out, "references", result->references);
    gfs_json_out_u64(out, "lost", result->lost);
    gfs_json_out_u64(out, "unreachable", result->unreachable);
    gfs_json_out_u64(out, "degraded", result->degraded);
    gfs_json_out_u64(out, "unjudged", result->unjudged);
    gfs_json_out_u64(out, "orphans", result->orphans);
    gfs_json_out_u64(out, "orphan_bytes", result->orphan_bytes);
    gfs_json_out_u64(out, "deleted", result->deleted);
    gfs_json_out_u64(out, "deleted_bytes", result->deleted_bytes);
    gfs_json_out_text(out, "sweep", result->sweep);
    write_objects(result, out);
    write_orphans(fsck, out);
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

void fsck_json(struct fsck *fsck, struct gfs_json_out *out, const char *name)
{
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
    if (fsck->err != GFS_OK) {
        gfs_json_out_text(out, "error", gfs_err_text(fsck->err));
    }
    write_times(fsck, out);
    if (fsck->has_result) {
        write_result(fsck, out);
    }
    gfs_json_out_end_object(out);
    pthread_mutex_unlock(&fsck->lock);
}
