#include "pool/pool_cells.h"

#include <stdlib.h>
#include <string.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_reader.h"

enum {
    GIVE_UP_MS = 30000, /* when only disks that do not answer are left */
    SLOW_MS = 3000,     /* that a disk counts as slow after a read was raced */
    LOOK_MS = 250,      /* how often it is seen to whether a disk is stuck that is only read */
};
#define NS_PER_MS 1000000LL

/* Memory that cells were made in. */
struct scratch {
    struct scratch *next;
    uint8_t *bytes;
};

/* Owned by the reading thread. Rows are counted from the first wanted one. */
struct pool_cells {
    const struct pool_cells_want *want; /* during get */
    struct pool_pin *pin;
    uint32_t got[POOL_CELLS_ROWS_MAX];     /* masks of slots */
    uint32_t bad[POOL_CELLS_ROWS_MAX];     /* or not to be had */
    uint32_t unread[POOL_CELLS_ROWS_MAX];  /* of the bad ones: could not be read */
    uint32_t untried[POOL_CELLS_ROWS_MAX]; /* not asked for again unless the others do not do */
    const uint8_t **at;                    /* by row and slot */
    struct pool_read_job *jobs[POOL_WIDTH_MAX]; /* running, by slot */
    uint32_t job_rows_first[POOL_WIDTH_MAX];
    uint64_t job_rows[POOL_WIDTH_MAX]; /* rows it covers; 0 without job */
    uint32_t late;                     /* mask of slots whose job takes too long */
    uint32_t refused;                  /* of slots whose disk has too many jobs */
    bool has_last; /* last parts, too, were looked for: the others do not suffice */
    struct pool_read_job *done[4 * POOL_WIDTH_MAX]; /* their memory is used */
    unsigned done_count;
    struct scratch *scratch;
    int64_t begun_ns;
    bool has_plan;
    uint32_t plan_have, plan_want;
    struct ec_plan plan;
};

uint32_t pool_cells_len(const struct pool_pin *pin, uint32_t row)
{
    GFS_ASSERT(row * (uint32_t)POOL_CELL < pin->fragment_len);
    return GFS_MIN((uint32_t)POOL_CELL, pin->fragment_len - row * POOL_CELL);
}

static uint32_t cell_len(const struct pool_cells *cells, uint32_t row)
{
    return pool_cells_len(cells->pin, cells->want->first_row + row);
}

static bool has(uint32_t mask, unsigned bit)
{
    return (mask >> bit & 1) != 0;
}

static uint32_t missing(const struct pool_cells *cells, uint32_t row)
{
    return cells->want->wanted[row] & ~cells->got[row];
}

static bool is_complete(const struct pool_cells *cells)
{
    for (uint32_t row = 0; row < cells->want->row_count; row++) {
        if (missing(cells, row) != 0) {
            return false;
        }
    }
    return true;
}

static const uint8_t **at(const struct pool_cells *cells, uint32_t row, unsigned slot)
{
    return &cells->at[(size_t)row * cells->pin->width + slot];
}

const uint8_t *pool_cells_at(const struct pool_cells *cells, uint32_t row, unsigned slot)
{
    GFS_ASSERT(has(cells->got[row], slot));
    return *at(cells, row, slot);
}

/* Where a cell goes: to its place when it is wanted, else to memory of ours. */
static uint8_t *room_for(struct pool_cells *cells, uint32_t row, unsigned slot)
{
    uint8_t *place = NULL;
    if (has(cells->want->wanted[row], slot)) {
        place = cells->want->place(cells->want->arg, row, slot);
    }
    if (place == NULL) {
        struct scratch *scratch = gfs_alloc(sizeof *scratch);
        scratch->bytes = gfs_alloc_aligned(POOL_CELL_ALIGN, POOL_CELL);
        scratch->next = cells->scratch;
        cells->scratch = scratch;
        place = scratch->bytes;
    }
    return place;
}

static void set_bad(struct pool_cells *cells, uint32_t row, unsigned slot, bool is_damaged)
{
    cells->bad[row] |= 1U << slot;
    cells->unread[row] |= is_damaged ? 0 : 1U << slot;
}

static void set_got(struct pool_cells *cells, uint32_t row, unsigned slot, const uint8_t *bytes)
{
    *at(cells, row, slot) = bytes;
    cells->got[row] |= 1U << slot;
}

/* ---- without waiting ---- */

/* AGAIN, OK, or what else: it is bad. */
static enum gfs_err try_cell(struct pool_cells *cells, uint32_t row, unsigned slot)
{
    struct pool_part *part = &cells->pin->parts[slot];
    struct chunk_store *store = part->disk->store;
    uint8_t *to = room_for(cells, row, slot);
    enum gfs_err err =
        store->ops->read(store, &part->pin, (cells->want->first_row + row) * POOL_CELL,
                         cell_len(cells, row), to, cells->want->flags | CHUNK_READ_NOWAIT);
    if (err == GFS_OK) {
        set_got(cells, row, slot, to);
    } else if (err != GFS_AGAIN) {
        set_bad(cells, row, slot, err == GFS_CORRUPT);
        pool_pin_report(cells->pin, slot, err);
    }
    return err;
}

static void try_wanted(struct pool_cells *cells)
{
    uint32_t readable = pool_pin_readable(cells->pin);
    for (uint32_t row = 0; row < cells->want->row_count && readable != 0; row++) {
        uint32_t slots = missing(cells, row) & readable;
        for (; slots != 0; slots &= slots - 1) {
            unsigned slot = (unsigned)__builtin_ctz(slots);
            if (try_cell(cells, row, slot) == GFS_AGAIN) {
                readable &= ~(1U << slot); /* what follows is hardly in memory either */
            }
        }
    }
}

/* ---- making cells from others ---- */

static void decode_ec(struct pool_cells *cells, uint32_t row, uint32_t want)
{
    uint32_t have = cells->got[row];
    if (!cells->has_plan || cells->plan_have != have || cells->plan_want != want) {
        const struct ec *coder = pool_coder(cells->pin->pool, cells->pin->profile);
        enum gfs_err err = ec_plan_make(coder, have, want, &cells->plan);
        GFS_ASSERT(err == GFS_OK);
        cells->has_plan = true;
        cells->plan_have = have;
        cells->plan_want = want;
    }
    const uint8_t *sources[POOL_WIDTH_MAX];
    uint8_t *targets[POOL_WIDTH_MAX];
    for (unsigned i = 0; i < cells->plan.source_count; i++) {
        sources[i] = *at(cells, row, cells->plan.sources[i]);
    }
    for (unsigned i = 0; i < cells->plan.target_count; i++) {
        targets[i] = room_for(cells, row, cells->plan.targets[i]);
    }
    ec_plan_run(&cells->plan, cell_len(cells, row), sources, targets);
    for (unsigned i = 0; i < cells->plan.target_count; i++) {
        set_got(cells, row, cells->plan.targets[i], targets[i]);
    }
}

/* k cells of the row are there: makes all that miss. */
static void make(struct pool_cells *cells, uint32_t row)
{
    uint32_t want = missing(cells, row);
    if (cells->pin->profile.kind == POOL_EC) {
        decode_ec(cells, row, want);
        return;
    }
    const uint8_t *copy = *at(cells, row, (unsigned)__builtin_ctz(cells->got[row]));
    for (; want != 0; want &= want - 1) {
        unsigned slot = (unsigned)__builtin_ctz(want);
        uint8_t *to = room_for(cells, row, slot);
        memcpy(to, copy, cell_len(cells, row));
        set_got(cells, row, slot, to);
    }
}

static bool can_make(const struct pool_cells *cells, uint32_t row)
{
    return (unsigned)__builtin_popcount(cells->got[row]) >= cells->pin->k;
}

/* For callers that do not wait: what can be made from memory. */
static enum gfs_err make_now(struct pool_cells *cells)
{
    pool_pin_complete(cells->pin);
    for (uint32_t row = 0; row < cells->want->row_count; row++) {
        if (missing(cells, row) == 0) {
            continue;
        }
        uint32_t slots = pool_pin_readable(cells->pin) & ~cells->got[row] & ~cells->bad[row];
        for (; slots != 0 && !can_make(cells, row); slots &= slots - 1) {
            if (try_cell(cells, row, (unsigned)__builtin_ctz(slots)) == GFS_AGAIN) {
                return GFS_AGAIN;
            }
        }
        if (!can_make(cells, row)) {
            return GFS_AGAIN; /* whoever waits finds out why */
        }
        make(cells, row);
    }
    return GFS_OK;
}

/* ---- with the disks' threads ---- */

static void take_job(struct pool_cells *cells, unsigned slot)
{
    struct pool_read_job *job = GFS_TAKE(cells->jobs[slot]);
    uint32_t first = cells->job_rows_first[slot];
    bool has_failed = false;
    for (uint32_t row = first; row < cells->want->row_count; row++) {
        if ((cells->job_rows[slot] >> row & 1) == 0) {
            continue;
        }
        uint32_t block = row - first;
        if ((job->untried >> block & 1) != 0) {
            cells->untried[row] |= 1U << slot;
            continue;
        }
        if ((job->whole >> block & 1) == 0) {
            set_bad(cells, row, slot, (job->damaged >> block & 1) != 0);
            has_failed = true;
            continue;
        }
        if (has(cells->got[row], slot)) {
            continue;
        }
        const uint8_t *bytes = job->bytes + (size_t)block * POOL_CELL;
        uint8_t *place = has(cells->want->wanted[row], slot)
                             ? cells->want->place(cells->want->arg, row, slot)
                             : NULL;
        if (place != NULL) {
            memcpy(place, bytes, cell_len(cells, row));
            bytes = place;
        }
        set_got(cells, row, slot, bytes);
    }
    if (has_failed) {
        pool_pin_report(cells->pin, slot, job->err);
    }
    cells->job_rows[slot] = 0;
    cells->late &= ~(1U << slot);
    cells->done[cells->done_count++] = job;
}

static void take_done_jobs(struct pool_cells *cells)
{
    uint32_t done = 0;
    (void)pthread_mutex_lock(&cells->pin->lock);
    for (unsigned i = 0; i < cells->pin->width; i++) {
        done |= cells->jobs[i] != NULL && cells->jobs[i]->is_done ? 1U << i : 0;
    }
    (void)pthread_mutex_unlock(&cells->pin->lock);
    for (; done != 0; done &= done - 1) {
        take_job(cells, (unsigned)__builtin_ctz(done));
    }
}

static void start_job(struct pool_cells *cells, unsigned slot, uint64_t rows)
{
    uint32_t first = (uint32_t)__builtin_ctzll(rows);
    uint32_t last = 63 - (uint32_t)__builtin_clzll(rows);
    bool has_room = cells->done_count + cells->pin->width < GFS_COUNT(cells->done);
    uint32_t offset = (cells->want->first_row + first) * POOL_CELL;
    struct pool_read_job wanted = {
        .pin = cells->pin,
        .part = slot,
        .offset = offset,
        .len = GFS_MIN((last - first + 1) * (uint32_t)POOL_CELL, cells->pin->fragment_len - offset),
        .flags = cells->want->flags & ~(unsigned)CHUNK_READ_NOWAIT,
    };
    struct pool_read_job *job = has_room ? pool_reader_start(&wanted) : NULL;
    if (job == NULL) {
        cells->refused |= 1U << slot;
        return;
    }
    cells->jobs[slot] = job;
    cells->job_rows_first[slot] = first;
    cells->job_rows[slot] = UINT64_MAX >> (63 - last) & UINT64_MAX << first;
}

static uint32_t slow_parts(const struct pool_cells *cells)
{
    uint32_t slow = cells->late;
    for (unsigned i = 0; i < cells->pin->width; i++) {
        bool is_slow = pool_pin_is_slow(cells->pin, i) || pool_pin_is_last(cells->pin, i);
        slow |= is_slow ? 1U << i : 0;
    }
    return slow;
}

/* Parts that have a job or can get one. */
static uint32_t askable(const struct pool_cells *cells)
{
    uint32_t parts = pool_pin_readable(cells->pin);
    parts |= cells->has_last ? pool_pin_last(cells->pin) : 0;
    for (unsigned i = 0; i < cells->pin->width; i++) {
        bool is_awaited = cells->jobs[i] != NULL && pool_pin_is_awaited(cells->pin, i);
        parts |= is_awaited ? 1U << i : 0;
    }
    return parts & ~cells->refused;
}

/* Up to `count` of the candidates, running ones first, then data before parity. */
static uint32_t choose(const struct pool_cells *cells, uint32_t row, uint32_t candidates,
                       unsigned count)
{
    uint32_t running = 0;
    for (unsigned i = 0; i < cells->pin->width; i++) {
        running |= (cells->job_rows[i] >> row & 1) != 0 ? 1U << i : 0;
    }
    uint32_t chosen = 0;
    for (unsigned turn = 0; turn < 2; turn++) {
        uint32_t from = candidates & (turn == 0 ? running : ~running);
        for (; from != 0 && (unsigned)__builtin_popcount(chosen) < count; from &= from - 1) {
            chosen |= from & -from;
        }
    }
    return chosen;
}

/* Which parts to ask for a row that misses cells; 0 = it cannot be had. */
static uint32_t plan_row(struct pool_cells *cells, uint32_t row, uint32_t slow)
{
    uint32_t parts = askable(cells) & ~cells->bad[row] & ~cells->got[row];
    uint32_t late = cells->late | cells->untried[row];
    uint32_t want = missing(cells, row);
    slow |= late;
    if ((want & ~(parts & ~slow)) == 0) {
        return want; /* each from its own disk */
    }
    unsigned lack = cells->pin->k - (unsigned)__builtin_popcount(cells->got[row]);
    uint32_t chosen = choose(cells, row, parts & ~slow & want, lack);
    chosen |=
        choose(cells, row, parts & ~slow & ~chosen, lack - (unsigned)__builtin_popcount(chosen));
    /* Slow ones, but those that are late with this very read last: else they, running already,
     * would be preferred for as long as it lasts, and the others never asked. */
    chosen |=
        choose(cells, row, parts & ~late & ~chosen, lack - (unsigned)__builtin_popcount(chosen));
    chosen |= choose(cells, row, parts & ~chosen, lack - (unsigned)__builtin_popcount(chosen));
    if ((unsigned)__builtin_popcount(chosen) == lack) {
        return chosen;
    }
    return (want & ~parts) == 0 ? want : 0;
}

static uint32_t busy_parts(const struct pool_pin *pin)
{
    uint32_t busy = 0;
    for (unsigned i = 0; i < pin->width; i++) {
        busy |= atomic_load(&pin->parts[i].is_busy) ? 1U << i : 0;
    }
    return busy;
}

/* With what could not be read it would do. */
static bool may_be_whole(const struct pool_cells *cells, uint32_t row)
{
    uint32_t left = (cells->pin->there & ~cells->bad[row]) | cells->unread[row];
    bool is_enough = (unsigned)__builtin_popcount(left) >= cells->pin->k;
    return cells->unread[row] != 0 && (is_enough || (cells->want->wanted[row] & ~left) == 0);
}

/* busy: before it was looked whom to ask. What ended since was not seen by either look. */
static enum gfs_err lost(const struct pool_cells *cells, uint32_t row, uint32_t busy)
{
    for (; busy != 0; busy &= busy - 1) {
        if (pool_pin_is_awaited(cells->pin, (unsigned)__builtin_ctz(busy))) {
            return GFS_TIMEOUT; /* a read of it is not back yet, or was not then */
        }
    }
    enum gfs_err err = cells->refused != 0 ? GFS_BUSY : pool_pin_lost(cells->pin);
    return err == GFS_CORRUPT && may_be_whole(cells, row) ? GFS_IO : err;
}

/* Makes what can be made and asks for what is needed. TIMEOUT: wait_for_busy and look again. */
static enum gfs_err proceed(struct pool_cells *cells)
{
    uint64_t needs[POOL_WIDTH_MAX] = {0};
    uint32_t busy = busy_parts(cells->pin);
    uint32_t slow = slow_parts(cells);
    for (uint32_t row = 0; row < cells->want->row_count; row++) {
        if (missing(cells, row) == 0) {
            continue;
        }
        if (can_make(cells, row)) {
            make(cells, row);
            continue;
        }
        uint32_t asked = plan_row(cells, row, slow);
        if (asked == 0 || (asked & (slow | cells->untried[row])) != 0) {
            pool_pin_complete(cells->pin);
            asked = plan_row(cells, row, slow);
        }
        if (asked == 0 && !cells->has_last) {
            cells->has_last = true;
            pool_pin_find_last(cells->pin);
            slow = slow_parts(cells);
            asked = plan_row(cells, row, slow);
        }
        if (asked == 0) {
            return lost(cells, row, busy);
        }
        for (; asked != 0; asked &= asked - 1) {
            needs[__builtin_ctz(asked)] |= 1ULL << row;
        }
    }
    for (unsigned i = 0; i < cells->pin->width; i++) {
        if (needs[i] != 0 && cells->jobs[i] == NULL) {
            start_job(cells, i, needs[i]);
        }
    }
    return GFS_OK;
}

/* Jobs that take too long; answers when the next one will. */
static int64_t mark_late(struct pool_cells *cells, int64_t now_ns)
{
    uint32_t race_ms =
        cells->want->race_ms != 0 ? cells->want->race_ms : cells->pin->pool->options.race_ms;
    int64_t race_ns = (int64_t)race_ms * NS_PER_MS;
    int64_t next_ns = cells->begun_ns + GIVE_UP_MS * NS_PER_MS;
    for (unsigned i = 0; i < cells->pin->width; i++) {
        const struct pool_read_job *job = cells->jobs[i];
        if (job != NULL && pool_pin_is_last(cells->pin, i)) {
            next_ns = GFS_MIN(next_ns, now_ns + LOOK_MS * NS_PER_MS);
        }
        if (job == NULL || has(cells->late, i)) {
            continue;
        }
        if (now_ns < job->begun_ns + race_ns) {
            next_ns = GFS_MIN(next_ns, job->begun_ns + race_ns);
            continue;
        }
        cells->late |= 1U << i;
        struct pool_disk *disk = cells->pin->parts[i].disk;
        atomic_fetch_add(&disk->slow_reads, 1);
        atomic_store(&disk->slow_until_ns, now_ns + SLOW_MS * NS_PER_MS);
        next_ns = now_ns; /* plan again first */
    }
    return next_ns;
}

/* Until some job is done or late. false: it takes too long altogether. */
static bool wait_for_jobs(struct pool_cells *cells)
{
    struct pool_pin *pin = cells->pin;
    int64_t now_ns = gfs_monotonic_ns();
    int64_t until_ns = mark_late(cells, now_ns);
    if (now_ns >= cells->begun_ns + GIVE_UP_MS * NS_PER_MS) {
        return false;
    }
    (void)pthread_mutex_lock(&pin->lock);
    bool is_done = false;
    bool is_running = false;
    for (unsigned i = 0; i < pin->width; i++) {
        is_done = is_done || (cells->jobs[i] != NULL && cells->jobs[i]->is_done);
        is_running = is_running || cells->jobs[i] != NULL;
    }
    if (!is_done && is_running && until_ns > now_ns) {
        pool_pin_wait_locked(pin, until_ns);
    }
    (void)pthread_mutex_unlock(&pin->lock);
    return true;
}

/* Too little can be asked for while reads of some parts, given up earlier, are not back: waits for
 * one. false: it takes too long altogether. */
static bool wait_for_busy(struct pool_cells *cells)
{
    struct pool_pin *pin = cells->pin;
    int64_t now_ns = gfs_monotonic_ns();
    int64_t until_ns = cells->begun_ns + GIVE_UP_MS * NS_PER_MS;
    if (now_ns >= until_ns) {
        return false;
    }
    until_ns = GFS_MIN(until_ns, now_ns + LOOK_MS * NS_PER_MS);
    (void)pthread_mutex_lock(&pin->lock);
    uint32_t busy = busy_parts(pin);
    while (busy != 0 && busy_parts(pin) == busy && gfs_monotonic_ns() < until_ns) {
        pool_pin_wait_locked(pin, until_ns);
    }
    (void)pthread_mutex_unlock(&pin->lock);
    return true;
}

static enum gfs_err get_waiting(struct pool_cells *cells)
{
    while (!is_complete(cells)) {
        take_done_jobs(cells);
        enum gfs_err err = proceed(cells);
        if (err == GFS_TIMEOUT && wait_for_busy(cells)) {
            continue;
        }
        if (err != GFS_OK) {
            return err;
        }
        if (!is_complete(cells) && !wait_for_jobs(cells)) {
            return GFS_TIMEOUT;
        }
    }
    return GFS_OK;
}

enum gfs_err pool_cells_get(const struct pool_cells_want *want, struct pool_cells **ret)
{
    GFS_ASSERT(want->row_count >= 1 && want->row_count <= POOL_CELLS_ROWS_MAX);
    struct pool_cells *cells = gfs_alloc(sizeof *cells);
    cells->want = want;
    cells->pin = want->pin;
    cells->begun_ns = gfs_monotonic_ns();
    cells->at = gfs_alloc_array((size_t)want->row_count * want->pin->width, sizeof *cells->at);
    *ret = cells;
    if ((want->flags & CHUNK_READ_MEDIUM) == 0) {
        try_wanted(cells);
    }
    enum gfs_err err = GFS_OK;
    if (!is_complete(cells)) {
        bool may_wait = (want->flags & CHUNK_READ_NOWAIT) == 0;
        err = may_wait ? get_waiting(cells) : make_now(cells);
    }
    for (unsigned i = 0; i < cells->pin->width; i++) {
        if (cells->jobs[i] != NULL) {
            pool_reader_forget(GFS_TAKE(cells->jobs[i]));
        }
    }
    return err;
}

void pool_cells_free(struct pool_cells *cells)
{
    if (cells == NULL) {
        return;
    }
    for (unsigned i = 0; i < cells->done_count; i++) {
        pool_reader_forget(cells->done[i]);
    }
    while (cells->scratch != NULL) {
        struct scratch *scratch = cells->scratch;
        cells->scratch = scratch->next;
        free(scratch->bytes);
        free(scratch);
    }
    free(cells->at);
    free(cells);
}
