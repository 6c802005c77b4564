/* Histories of a pool's edit log, drawn at random: runs that end with edits on some mirrors only,
 * starts with some of the disks, disks that fail and come back, mirrors that join, trimming.
 *
 * What was acknowledged is replayed by every start, in order, each once; of what was not either all
 * of it stays, or it is never heard of again; and every mirror in sync has the same to tell. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_watch.h"
#include "tests/unit/pool/map_rig.h"
#include "tests/unit/pool/open_rig.h"

enum { HISTORIES = 12, LIVES = 8, EDITS_MAX = 1024, TAIL_MAX = 4, JOIN_WAIT_MS = 150 };

/* Plain data. An edit that was submitted, in the order of that. */
struct edit {
    uint64_t lsn;
    char text[24];
    enum { UNKNOWN = 1, COMMITTED, DEAD } fate;
};

struct history {
    struct open_rig rig;
    uint64_t random;
    unsigned disks;
    bool reclaims; /* the disks do, now and then, what is trimmed */
    struct edit edits[EDITS_MAX];
    size_t count;
    uint64_t next_lsn, trimmed;
    bool is_away[OPEN_RIG_DISKS_MAX];
    bool is_failing; /* one was made to fail in this run */
    unsigned number; /* of the history, for messages */
};

static bool draw(struct history *history, unsigned one_in)
{
    return map_rig_draw(&history->random, one_in) == 0;
}

static struct edit *new_edit(struct history *history)
{
    cr_assert_lt(history->count, EDITS_MAX);
    struct edit *edit = &history->edits[history->count];
    *edit = (struct edit){.lsn = history->next_lsn++, .fate = UNKNOWN};
    (void)snprintf(edit->text, sizeof edit->text, "edit %zu", history->count++);
    return edit;
}

/* ---- one edit ---- */

struct answer {
    struct chunk_group group;
    atomic_int err; /* -1 = none yet */
};

static void note_answer(struct chunk_group *group, enum gfs_err err)
{
    struct answer *answer = GFS_CONTAINER_OF(group, struct answer, group);
    atomic_store(&answer->err, (int)err);
}

static enum gfs_err submit(struct chunk_store *store, const struct edit *edit)
{
    struct chunk_record record = {
        .kind = CHUNK_RECORD_EDIT, .lsn = edit->lsn, .payload = gfs_slice_str(edit->text)};
    struct answer answer = {.group = {.records = &record, .done = note_answer}, .err = -1};
    store->ops->submit(store, &answer.group);
    while (atomic_load(&answer.err) < 0) {
        (void)usleep(200);
    }
    return (enum gfs_err)atomic_load(&answer.err);
}

static enum gfs_err put(struct history *history)
{
    struct edit *edit = new_edit(history);
    enum gfs_err err = submit(pool_chunks(history->rig.pool), edit);
    edit->fate = err == GFS_OK ? COMMITTED : err == GFS_IO ? UNKNOWN : DEAD;
    return err;
}

/* ---- what logs tell ---- */

/* Plain data. Reading a log, against what it has to say. */
struct reader {
    struct history *history;
    size_t next;       /* in edits */
    bool may_decide;   /* a start has just decided what becomes of what was open */
    const char *wrong; /* "" = nothing */
};

static enum gfs_err read_edit(void *arg, uint64_t lsn, struct gfs_slice text)
{
    struct reader *reader = arg;
    struct history *history = reader->history;
    struct edit *edits = history->edits;
    while (reader->next < history->count && edits[reader->next].lsn < lsn) {
        struct edit *passed = &edits[reader->next++];
        if (passed->fate == COMMITTED) {
            reader->wrong = "an acknowledged edit is missing";
        }
        passed->fate = passed->fate == UNKNOWN && reader->may_decide ? DEAD : passed->fate;
    }
    /* numbers of edits that were refused may be given again */
    struct edit *own = reader->next < history->count ? &edits[reader->next] : NULL;
    if (own == NULL || own->lsn != lsn || !gfs_slice_eq_str(text, own->text) || own->fate == DEAD) {
        reader->wrong = "an edit that never counted";
        return GFS_END;
    }
    own->fate = COMMITTED;
    reader->next++;
    return GFS_OK;
}

static void skip(struct reader *reader, uint64_t after)
{
    struct history *history = reader->history;
    while (reader->next < history->count && history->edits[reader->next].lsn <= after) {
        reader->next++;
    }
}

static enum gfs_err read_log(struct history *history, struct chunk_store *store, uint64_t after,
                             bool may_decide, const char *what)
{
    struct reader reader = {.history = history, .may_decide = may_decide, .wrong = ""};
    struct gfs_error error = {0};
    skip(&reader, after);
    enum gfs_err err = store->ops->replay_edits(store, after, read_edit, &reader, &error);
    if (err == GFS_OK) {
        (void)read_edit(&reader, UINT64_MAX, gfs_slice_str("")); /* none behind the last one */
        reader.wrong = strcmp(reader.wrong, "an edit that never counted") == 0 ? "" : reader.wrong;
    }
    cr_assert_str_empty(reader.wrong, "history %u, %s, behind %llu: %s", history->number, what,
                        (unsigned long long)after, reader.wrong);
    return err;
}

static void check_logs(struct history *history, bool may_decide)
{
    struct open_rig *rig = &history->rig;
    struct chunk_store *chunks = pool_chunks(rig->pool);
    cr_assert_eq(read_log(history, chunks, history->trimmed, may_decide, "pool"), GFS_OK,
                 "history %u", history->number);
    (void)read_log(history, chunks, 0, false, "pool from the first"); /* or it is refused */
    struct pool_view *view = open_rig_view(rig);
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        struct pool_disk *disk = view->disks[view->map->log_disks[i].disk];
        if (view->map->log_disks[i].is_in_sync && pool_disk_is_usable(disk)) {
            char what[16];
            (void)snprintf(what, sizeof what, "disk %u", disk->number);
            cr_assert_eq(read_log(history, disk->store, history->trimmed, false, what), GFS_OK,
                         "history %u, %s", history->number, what);
            (void)read_log(history, disk->store, 0, false, what);
        }
    }
    pool_view_put(view);
}

/* ---- what happens in a run ---- */

/* What no database needs any more; the disks reclaim it at once, or nobody does before the end. */
static void trim(struct history *history)
{
    uint64_t last = 0;
    uint64_t lsn = 0; /* the newest stays: metad/shard_copy.c */
    for (size_t i = 0; i < history->count; i++) {
        bool counts = history->edits[i].fate == COMMITTED;
        lsn = counts ? last : lsn;
        last = counts ? history->edits[i].lsn : last;
    }
    lsn = GFS_MAX(lsn, history->trimmed);
    history->trimmed = lsn;
    if (history->reclaims && draw(history, 2)) {
        pool_chunks(history->rig.pool)->ops->trim_edits(pool_chunks(history->rig.pool), lsn);
    } else {
        atomic_store(&history->rig.pool->lsn_trimmed, lsn);
    }
}

/* While the history waits for mirrors. */
static void put_and_trim(void *arg)
{
    struct history *history = arg;
    (void)put(history);
    trim(history);
}

static bool are_all_in_sync(struct history *history)
{
    struct pool_view *view = open_rig_view(&history->rig);
    bool are = true;
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        are = are && (view->map->log_disks[i].is_in_sync ||
                      !pool_disk_is_usable(view->disks[view->map->log_disks[i].disk]));
    }
    pool_view_put(view);
    return are;
}

static void await_mirrors(struct history *history)
{
    struct pool_meta_hooks hooks = {.arg = history, .trim = put_and_trim};
    if (!draw(history, 3)) {
        trim(history);
    }
    open_rig_start(&history->rig, &hooks);
    int64_t until_ns = gfs_monotonic_ns() + JOIN_WAIT_MS * 1000000LL;
    while (!are_all_in_sync(history) && gfs_monotonic_ns() < until_ns) {
        (void)usleep(200);
    }
    pool_mirrors_stop(history->rig.pool->mirrors);
}

/* One without which there is a quorum: else a write waits long for what becomes of it. */
static void fail_one(struct history *history)
{
    unsigned disk = (unsigned)map_rig_draw(&history->random, history->disks);
    unsigned count = 0;
    struct pool_view *view = open_rig_view(&history->rig);
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        count += pool_disk_is_usable(view->disks[i]) ? 1 : 0;
    }
    bool can = pool_disk_is_usable(view->disks[disk]) && (count - 1) * 2 > history->disks;
    pool_view_put(view);
    if (can && !history->is_failing && draw(history, 2)) {
        history->is_failing = true;
        disk_double_fail(open_rig_double(&history->rig, disk), 1);
    }
}

static void live(struct history *history)
{
    history->is_failing = false;
    bool has_waited = false;
    bool goes_on = true;
    for (unsigned step = 0; step < 6 && goes_on; step++) {
        switch (map_rig_draw(&history->random, 5)) {
        case 0:
            if (!has_waited) {
                has_waited = true;
                await_mirrors(history);
            }
            break;
        case 1:
            trim(history);
            break;
        case 2:
            fail_one(history);
            break;
        default:
            goes_on = put(history) == GFS_OK;
        }
    }
    if (goes_on) {
        check_logs(history, false);
    }
}

/* ---- how it ends, and begins ---- */

/* Edits that were under way: each mirror has so many of them, and nobody was told. */
static void end(struct history *history)
{
    struct open_rig *rig = &history->rig;
    bool is_mirror[POOL_DISKS_MAX] = {0};
    struct pool_view *view = open_rig_view(rig);
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        struct pool_disk *disk = view->disks[view->map->log_disks[i].disk];
        is_mirror[view->map->log_disks[i].disk] =
            view->map->log_disks[i].is_in_sync && pool_disk_is_usable(disk) && !view->is_read_only;
    }
    pool_view_put(view);
    bool has_failed = false;
    for (size_t i = 0; i < history->count; i++) {
        has_failed = has_failed || history->edits[i].fate == UNKNOWN;
    }
    for (unsigned d = 0; d < history->disks; d++) {
        if (!history->is_away[d]) {
            disk_double_fail(open_rig_double(rig, d), 0); /* what did not fail does not */
        }
    }
    open_rig_close(rig);
    size_t first = history->count;
    uint64_t tail = has_failed ? 0 : map_rig_draw(&history->random, TAIL_MAX + 1);
    for (uint64_t i = 0; i < tail; i++) {
        (void)new_edit(history);
    }
    for (unsigned d = 0; d < history->disks; d++) {
        uint8_t id[16];
        struct chunk_store *store = NULL;
        uint64_t count = tail == 0 ? 0 : map_rig_draw(&history->random, tail + 1);
        if (!is_mirror[d] || history->is_away[d] ||
            rig->options.driver.open(rig->options.driver.arg, rig->paths[d], NULL, &store, id,
                                     &rig->error) != GFS_OK) {
            continue;
        }
        enum gfs_err err = GFS_OK;
        for (uint64_t i = 0; i < count && err == GFS_OK; i++) {
            err = submit(store, &history->edits[first + i]);
        }
        rig->options.driver.close(rig->options.driver.arg, store);
    }
}

static void set_away(struct history *history, unsigned disk, bool is_away)
{
    if (history->is_away[disk] != is_away) {
        history->is_away[disk] = is_away;
        (is_away ? open_rig_take_away : open_rig_bring_back)(&history->rig, disk);
    }
}

static void begin(struct history *history)
{
    unsigned stays = (unsigned)map_rig_draw(&history->random, history->disks);
    for (unsigned d = 0; d < history->disks; d++) {
        set_away(history, d, false);
        if (draw(history, 2)) {
            disk_double_revive(open_rig_double(&history->rig, d));
        }
        set_away(history, d, d != stays && draw(history, 4));
    }
    if (open_rig_try(&history->rig) != GFS_OK) {
        for (unsigned d = 0; d < history->disks; d++) {
            set_away(history, d, false);
            disk_double_revive(open_rig_double(&history->rig, d));
        }
        open_rig_open(&history->rig);
    }
    struct chunk_store_status status = {0};
    struct chunk_store *chunks = pool_chunks(history->rig.pool);
    chunks->ops->status(chunks, &status);
    cr_assert_geq(status.lsn_floor + 1, history->next_lsn, "history %u: a number is given twice",
                  history->number);
    history->next_lsn = status.lsn_floor + 1;
    check_logs(history, true);
    for (size_t i = 0; i < history->count; i++) {
        history->edits[i].fate = history->edits[i].fate == UNKNOWN ? DEAD : history->edits[i].fate;
    }
}

static void run(unsigned number)
{
    struct history *history = gfs_alloc(sizeof *history);
    *history = (struct history){
        .random = number * 7919 + 1, .number = number, .disks = 3 + number % 3, .next_lsn = 1};
    history->reclaims = number / 3 % 2 != 0;
    open_rig_init(&history->rig, history->disks);
    open_rig_open(&history->rig);
    cr_assert_eq(put(history), GFS_OK);
    for (unsigned i = 0; i < LIVES; i++) {
        live(history);
        end(history);
        begin(history);
    }
    for (unsigned d = 0; d < history->disks; d++) {
        open_rig_close(&history->rig);
        set_away(history, d, false);
        open_rig_open(&history->rig);
    }
    open_rig_fini(&history->rig);
    free(history);
}

Test(pool_edit_history, what_was_acknowledged_is_replayed_and_what_was_lost_stays_so)
{
    for (unsigned number = 0; number < HISTORIES; number++) {
        run(number);
    }
}
