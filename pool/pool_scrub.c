/* The scrub: reads every fragment and the whole log of every disk from the medium, again and again.
 *
 * Each disk has its own thread, cursor and pace: one that hangs holds its own scrub only. The
 * thread reads by a map without working by it, so no pass of repair waits for it. A pass of a disk
 * reads its fragments part by part of the listing, then verifies its log; the next one begins a day
 * after the last one began, or at once when an operator asks. What is bad becomes a suspect, which
 * the reconcile thread writes anew from the other disks. Damage in the log may have cost fragments
 * that are not even listed any more: the disk is called behind, so that a pass looks for them; and
 * when the edits are damaged, the log mirror joins anew. */
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"
#include "pool/pool_log.h"
#include "pool/pool_reconcile_part.h"
#include "pool/pool_scrub_state.h"

#define SECOND_NS 1000000000LL
#define SAVE_NS (60 * SECOND_NS)
#define PERIOD_MS (24 * 3600 * 1000LL)
#define BURST_NS (SECOND_NS / 10)

enum {
    STEP = 1024 * 1024, /* bytes read at a time */
    LOOK_MS_MAX = 1000,
    LEAST_RATE = 8 << 20,
    WHOLE_S = 5 * 24 * 3600, /* for a pass at most: every byte is read once a week */
    STOP_WAIT_MS = 5000,     /* for disks that hang */
};

uint64_t pool_scrub_usual_rate(uint64_t live_bytes)
{
    return GFS_MAX((uint64_t)LEAST_RATE, live_bytes / WHOLE_S);
}

uint64_t pool_scrub_rate_locked(const struct pool_scrub *scrub, const struct pool_scrub_disk *disk)
{
    return disk->is_requested ? scrub->requested_rate : disk->usual_rate;
}

static uint64_t choose_rate(const struct pool_scrub *scrub, struct pool_disk *disk)
{
    struct chunk_store_status status;
    disk->store->ops->status(disk->store, &status);
    uint64_t rate = scrub->pool->options.scrub_rate;
    return rate == 0 ? pool_scrub_usual_rate(status.live_bytes) : rate;
}

static void save(struct pool_scrub_disk *mine)
{
    mine->saved_ns = gfs_monotonic_ns();
    if (!pool_scrub_file_store(mine->path, &mine->cursor)) {
        gfs_log(GFS_LOG_DEBUG, "op=scrub disk=%u msg=\"cursor not stored\"", mine->number);
    }
}

/* The disk under this number is another one than before, or was never looked at. */
static void meet(struct pool_scrub *scrub, struct pool_scrub_disk *mine, struct pool_disk *disk)
{
    if (mine->is_known && memcmp(mine->id, disk->id, sizeof mine->id) == 0) {
        return;
    }
    struct pool_scrub_cursor cursor;
    pool_scrub_file_load(disk->path, &cursor);
    uint64_t rate = choose_rate(scrub, disk);
    (void)pthread_mutex_lock(&scrub->lock);
    free(GFS_TAKE(mine->items));
    mine->item_count = mine->item_index = 0;
    mine->offset = 0;
    mine->is_known = true;
    mine->cursor = cursor;
    mine->usual_rate = rate;
    mine->healed_before = cursor.healed;
    mine->free_ns = 0;
    mine->saved_ns = gfs_monotonic_ns();
    memcpy(mine->id, disk->id, sizeof mine->id);
    memcpy(mine->path, disk->path, sizeof mine->path);
    (void)pthread_mutex_unlock(&scrub->lock);
}

static void begin_pass(struct pool_scrub *scrub, struct pool_scrub_disk *mine,
                       struct pool_disk *disk)
{
    uint64_t rate = choose_rate(scrub, disk);
    (void)pthread_mutex_lock(&scrub->lock);
    struct pool_scrub_cursor *cursor = &mine->cursor;
    cursor->is_running = true;
    cursor->is_in_log = false;
    cursor->part = 0;
    cursor->log = 0;
    cursor->bytes = 0;
    cursor->pass++;
    mine->usual_rate = rate;
    cursor->started_ms = gfs_wall_ms();
    free(GFS_TAKE(mine->items));
    mine->item_count = mine->item_index = 0;
    mine->offset = 0;
    (void)pthread_mutex_unlock(&scrub->lock);
}

static void end_pass(struct pool_scrub *scrub, struct pool_scrub_disk *mine, struct pool_disk *disk)
{
    (void)pthread_mutex_lock(&scrub->lock);
    if (mine->cursor.is_running) { /* else an operator has just asked for another one */
        mine->cursor.is_running = false;
        mine->cursor.finished_ms = gfs_wall_ms();
        mine->is_requested = false;
    }
    (void)pthread_mutex_unlock(&scrub->lock);
    gfs_log(GFS_LOG_INFO, "op=scrub disk=%u pass=%llu bytes=%llu found=%llu msg=\"pass ended\"",
            (unsigned)disk->number, (unsigned long long)mine->cursor.pass,
            (unsigned long long)mine->cursor.bytes, (unsigned long long)mine->cursor.found);
    save(mine);
}

static void count(struct pool_scrub *scrub, struct pool_scrub_disk *mine, uint64_t bytes,
                  uint64_t found)
{
    (void)pthread_mutex_lock(&scrub->lock);
    mine->cursor.bytes += bytes;
    mine->cursor.found += found;
    (void)pthread_mutex_unlock(&scrub->lock);
}

/* A bad fragment: repair writes it anew. */
static void report(struct pool_scrub *scrub, struct pool_view *view, struct pool_disk *disk,
                   struct chunk_id fragment, enum gfs_err err)
{
    gfs_log(GFS_LOG_WARN, "op=scrub disk=%u chunk=%016llx%016llx err=%s", (unsigned)disk->number,
            (unsigned long long)fragment.hi, (unsigned long long)fragment.lo, gfs_err_name(err));
    struct pool_suspect suspect = {.disk = disk->number, .is_bad = true};
    if (!pool_part_key(view->map, fragment, &suspect.id)) {
        return; /* of no group: nobody has another one */
    }
    const struct pool_group *group = &view->map->groups[chunk_id_group(fragment)];
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        suspect.slot = group->slots[i].disk == disk->number ? (uint8_t)i : suspect.slot;
    }
    if (group->profile.kind == POOL_EC) {
        suspect.slot = (uint8_t)chunk_id_slot(fragment);
    }
    pool_suspect_add(scrub->pool, &suspect);
}

/* The next bytes of the fragment under way, and how long all of it is. NOT_FOUND: it was deleted
 * since it was listed. */
static enum gfs_err read_step(struct pool_scrub_disk *mine, struct chunk_store *store,
                              struct chunk_id id, uint32_t *ret_len, uint32_t *ret_whole_len)
{
    struct chunk_pin pin;
    enum gfs_err err = store->ops->pin(store, id, &pin);
    if (err != GFS_OK) {
        return err;
    }
    *ret_whole_len = pin.len; /* after unpin nothing of a pin is good any more */
    *ret_len = mine->offset < pin.len ? GFS_MIN((uint32_t)STEP, pin.len - mine->offset) : 0;
    if (mine->offset == 0) {
        size_t owner_len;
        err = store->ops->owner(store, &pin, mine->bytes, &owner_len);
    }
    if (err == GFS_OK && *ret_len > 0) {
        err = store->ops->read(store, &pin, mine->offset, *ret_len, mine->bytes, CHUNK_READ_MEDIUM);
    }
    store->ops->unpin(store, &pin);
    return err;
}

/* A step of the fragment under way; false: it is through. */
static bool verify_fragment(struct pool_scrub *scrub, struct pool_view *view,
                            struct pool_scrub_disk *mine, struct pool_disk *disk)
{
    struct chunk_id id = mine->items[mine->item_index].id;
    uint32_t len = 0;
    uint32_t whole_len = 0;
    enum gfs_err err = read_step(mine, disk->store, id, &len, &whole_len);
    if (err != GFS_OK && err != GFS_NOT_FOUND && !atomic_load(&disk->is_dropped)) {
        count(scrub, mine, 0, 1);
        report(scrub, view, disk, id, err);
        return false;
    }
    mine->offset += len;
    return err == GFS_OK && mine->offset < whole_len;
}

/* Answers the bytes it took from the disk. */
static uint64_t step_fragments(struct pool_scrub *scrub, struct pool_view *view,
                               struct pool_scrub_disk *mine, struct pool_disk *disk)
{
    if (mine->item_index == mine->item_count) {
        free(GFS_TAKE(mine->items));
        mine->item_index = mine->item_count = 0;
        mine->offset = 0;
        if (mine->cursor.part >= CHUNK_LIST_PARTS) {
            (void)pthread_mutex_lock(&scrub->lock);
            mine->cursor.is_in_log = true;
            (void)pthread_mutex_unlock(&scrub->lock);
            return 0;
        }
        disk->store->ops->list(disk->store, mine->cursor.part, &mine->items, &mine->item_count);
        (void)pthread_mutex_lock(&scrub->lock);
        mine->cursor.part += mine->item_count == 0;
        (void)pthread_mutex_unlock(&scrub->lock);
        return 0;
    }
    uint32_t before = mine->offset;
    bool goes_on = verify_fragment(scrub, view, mine, disk);
    uint64_t bytes = mine->offset - before;
    if (!goes_on) {
        mine->offset = 0;
        mine->item_index++;
    }
    (void)pthread_mutex_lock(&scrub->lock);
    mine->cursor.bytes += bytes;
    /* The cursor points behind a part when it was read to its end: a kill reads it again. */
    mine->cursor.part += mine->item_index == mine->item_count;
    (void)pthread_mutex_unlock(&scrub->lock);
    return bytes;
}

static void noted(void *arg, enum gfs_err err)
{
    (void)arg;
    (void)err; /* a disk that cannot be called behind now has damaged_places, and is passed over */
}

/* A log mirror whose edits are damaged cannot stand in for another: it joins anew, if there is one
 * to join. */
static void check_mirror(struct pool_scrub *scrub, struct pool_view *view, struct pool_disk *disk)
{
    bool is_mirror = false;
    bool has_other = false;
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        const struct pool_log_disk *mirror = &view->map->log_disks[i];
        is_mirror |= mirror->is_in_sync && mirror->disk == disk->number;
        has_other |= mirror->is_in_sync && mirror->disk != disk->number &&
                     pool_disk_is_usable(view->disks[mirror->disk]);
    }
    if (!is_mirror) {
        return;
    }
    struct gfs_error error = {0};
    enum gfs_err err = pool_log_check(disk->store, &error);
    if (err == GFS_OK) {
        return;
    }
    gfs_log(GFS_LOG_ERROR, "op=scrub disk=%u err=%s msg=\"%s\"", (unsigned)disk->number,
            gfs_err_name(err), error.text);
    if (has_other) {
        pool_mirror_failed(scrub->pool, disk->path);
    }
}

static uint64_t step_log(struct pool_scrub *scrub, struct pool_view *view,
                         struct pool_scrub_disk *mine, struct pool_disk *disk)
{
    struct chunk_store_status before;
    struct chunk_store_status after;
    disk->store->ops->status(disk->store, &before);
    uint64_t cursor = mine->cursor.log;
    enum gfs_err err = disk->store->ops->verify_log(disk->store, &cursor, STEP);
    disk->store->ops->status(disk->store, &after);
    (void)pthread_mutex_lock(&scrub->lock);
    mine->cursor.log = cursor;
    mine->cursor.bytes += STEP;
    (void)pthread_mutex_unlock(&scrub->lock);
    if (after.damaged_places > before.damaged_places) {
        count(scrub, mine, 0, after.damaged_places - before.damaged_places);
        gfs_log(GFS_LOG_ERROR, "op=scrub disk=%u err=%s msg=\"log damaged\" places=%llu",
                (unsigned)disk->number, gfs_err_name(err),
                (unsigned long long)after.damaged_places);
        pool_note_behind(scrub->pool, disk, noted, NULL);
        check_mirror(scrub, view, disk);
    }
    if (cursor == 0) {
        end_pass(scrub, mine, disk);
    }
    return STEP;
}

/* A little of the disk's pass, if one is due; answers when to come again (monotonic). */
static int64_t step(struct pool_scrub *scrub, struct pool_view *view, struct pool_disk *disk)
{
    struct pool_scrub_disk *mine = &scrub->disks[disk->number];
    meet(scrub, mine, disk);
    int64_t now_ns = gfs_monotonic_ns();
    (void)pthread_mutex_lock(&scrub->lock);
    bool is_requested = mine->is_requested;
    bool is_running = mine->cursor.is_running;
    uint64_t rate = pool_scrub_rate_locked(scrub, mine);
    mine->cursor.healed = mine->healed_before + atomic_load(&disk->healed);
    (void)pthread_mutex_unlock(&scrub->lock);
    if (!is_running) {
        int64_t wait_ms = mine->cursor.started_ms + PERIOD_MS - gfs_wall_ms();
        bool is_due = wait_ms <= 0 || wait_ms > PERIOD_MS; /* the clock was set back */
        if (!is_requested && !is_due) {
            return now_ns + wait_ms * 1000000;
        }
        begin_pass(scrub, mine, disk);
    }
    if (now_ns < mine->free_ns) {
        return mine->free_ns;
    }
    uint64_t bytes = mine->cursor.is_in_log ? step_log(scrub, view, mine, disk)
                                            : step_fragments(scrub, view, mine, disk);
    if (rate != 0) {
        double cost_ns = (double)bytes * SECOND_NS / (double)rate;
        mine->free_ns = GFS_MAX(mine->free_ns, now_ns - BURST_NS) + (int64_t)cost_ns;
    }
    if (now_ns - mine->saved_ns > SAVE_NS) {
        save(mine);
    }
    return mine->free_ns;
}

/* ---- threads ---- */

void pool_scrub_wake_locked(struct pool_scrub *scrub)
{
    scrub->wakes++;
    gfs_cond_broadcast(&scrub->changed);
}

/* Until then, or woken; false: stopped. */
static bool sleep_until(struct pool_scrub *scrub, int64_t until_ns)
{
    bool has_time = true;
    (void)pthread_mutex_lock(&scrub->lock);
    uint64_t wakes = scrub->wakes;
    while (!scrub->is_stopping && scrub->wakes == wakes && has_time) {
        has_time = gfs_cond_wait_until(&scrub->changed, &scrub->lock, until_ns);
    }
    bool goes_on = !scrub->is_stopping;
    (void)pthread_mutex_unlock(&scrub->lock);
    return goes_on;
}

/* One disk, while it is in use. */
static void scrub_disk(void *arg)
{
    struct pool_scrub_disk *mine = arg;
    struct pool_scrub *scrub = mine->scrub;
    int64_t next_ns;
    bool is_there;
    mine->bytes = gfs_alloc_aligned(4096, STEP);
    do {
        struct pool_view *view = pool_view_get_pinned(scrub->pool);
        struct pool_disk *disk =
            mine->number < view->map->disk_count ? view->disks[mine->number] : NULL;
        next_ns = gfs_monotonic_ns() + LOOK_MS_MAX * 1000000LL;
        is_there = pool_disk_is_usable(disk);
        if (is_there) {
            next_ns = GFS_MIN(next_ns, step(scrub, view, disk));
        }
        pool_view_unpin(view);
    } while (is_there && sleep_until(scrub, next_ns));
    if (is_there) { /* stopped */
        save(mine);
    }
    free(GFS_TAKE(mine->bytes));
}

static void start_disk(struct pool_scrub *scrub, struct pool_scrub_disk *mine)
{
    if (mine->errand != NULL && !pool_errand_await(mine->errand, 0)) {
        return;
    }
    pool_errand_let_go(mine->errand);
    mine->errand = pool_errand_start(scrub->errands, "scrub-disk", scrub_disk, NULL, mine);
}

static void *scrub_main(void *arg)
{
    struct pool_scrub *scrub = arg;
    do {
        struct pool_view *view = pool_view_get(scrub->pool);
        for (uint32_t d = 0; d < view->map->disk_count; d++) {
            if (pool_disk_is_usable(view->disks[d])) {
                start_disk(scrub, &scrub->disks[d]);
            }
        }
        pool_view_put(view);
    } while (sleep_until(scrub, gfs_monotonic_ns() + LOOK_MS_MAX * 1000000LL));
    return NULL;
}

struct pool_scrub *pool_scrub_start_thread(struct pool *pool)
{
    struct pool_scrub *scrub = gfs_alloc(sizeof *scrub);
    scrub->pool = pool;
    scrub->errands = pool_errands_new();
    for (uint16_t d = 0; d < POOL_DISKS_MAX; d++) {
        scrub->disks[d].scrub = scrub;
        scrub->disks[d].number = d;
    }
    int rc = pthread_mutex_init(&scrub->lock, NULL);
    GFS_ASSERT(rc == 0);
    gfs_cond_init(&scrub->changed);
    rc = pthread_create(&scrub->thread, NULL, scrub_main, scrub);
    GFS_ASSERT(rc == 0);
    (void)pthread_setname_np(scrub->thread, "scrub");
    return scrub;
}

void pool_scrub_stop(struct pool_scrub *scrub)
{
    if (scrub == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&scrub->lock);
    scrub->is_stopping = true;
    gfs_cond_broadcast(&scrub->changed);
    (void)pthread_mutex_unlock(&scrub->lock);
    (void)pthread_join(scrub->thread, NULL);
    for (uint32_t d = 0; d < POOL_DISKS_MAX; d++) {
        pool_errand_let_go(scrub->disks[d].errand);
    }
    if (!pool_errands_end(scrub->errands, STOP_WAIT_MS)) {
        return; /* a disk hangs: what is read from it may still come, and needs all this */
    }
    for (uint32_t d = 0; d < POOL_DISKS_MAX; d++) {
        free(scrub->disks[d].items);
    }
    pool_errands_free(scrub->errands);
    gfs_cond_fini(&scrub->changed);
    (void)pthread_mutex_destroy(&scrub->lock);
    free(scrub);
}
