/* Phase 2: edits to the log mirrors, in LSN order, and when they count as durable.
 *
 * The edits of flights that are ready in a row go out as one batch: one group a mirror, one fate.
 * Many batches are on their way at once. The mirrors in sync get them, and the disks that are
 * about to be called so (takes_edits); durable is what all of these have, if those in sync by the
 * map in force are enough. A mirror that fails or hangs is therefore waited out until a map says
 * that it is not in sync any more: then whatever start follows does not believe its log.
 *
 * Edits may use the reserve of a disk. Space is judged when a group comes in, by whether enough
 * mirrors have room besides their reserve, and by its data: an edit that one mirror takes and
 * another has no room for cannot be refused any more. A mirror without room even for that has a gap
 * and is reported; those that are enough without it had room when the group came in. It takes
 * nothing behind the gap until the map says that it is not in sync, so that a start in between
 * finds a log that ends, not one that lacks an edit.
 *
 * Once one mirror may have a batch, it cannot be refused. If too few mirrors are left by then, its
 * outcome is unknown: it is answered GFS_IO and so is everything after it, until a restart has
 * evened out the logs. That is why nothing is sent while a mirror is failing that the map still
 * calls in sync: what has not been sent can be refused. */
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "pool/pool_flight.h"
#include "pool/pool_plan.h"

enum {
    BATCH_BYTES_MAX = CHUNK_EDIT_LEN_MAX,
    BATCH_FLIGHTS_MAX = 256,
    BATCH_EDITS_MAX = 1024,
};

/* ---- mirrors ---- */

static bool is_in_sync(const struct pool_map *map, uint16_t number)
{
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        const struct pool_log_disk *log = &map->log_disks[i];
        if (log->disk == number) {
            return log->is_in_sync && map->disks[number].state != POOL_DISK_FAILED;
        }
    }
    return false;
}

/* It takes edits, and the map that calls it in sync may be on its way: up to the map that does not,
 * whatever becomes of the disk. */
static bool is_joining(const struct pool_view *view, const struct pool_disk *disk)
{
    const struct pool_map *map = view->map;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == disk->number) {
            return view->disks[disk->number] == disk && atomic_load(&disk->takes_edits);
        }
    }
    return false;
}

enum gfs_err pool_flight_edits_check_locked(const struct pool_submit *submit,
                                            const struct pool_view *view, bool may_use_reserve)
{
    const struct pool_map *map = view->map;
    if (submit->has_failed) {
        return GFS_IO;
    }
    unsigned count = 0;
    unsigned with_room = 0;
    bool is_failing = false;
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        uint16_t number = map->log_disks[i].disk;
        struct pool_disk *disk = view->disks[number];
        bool is_mirror = is_in_sync(map, number);
        if (is_mirror) {
            count++;
            with_room += disk != NULL && !atomic_load(&disk->is_full) ? 1 : 0;
        }
        if (is_mirror || (disk != NULL && is_joining(view, disk))) {
            is_failing = is_failing || !pool_disk_is_usable(disk);
        }
    }
    if (view->is_read_only || count < pool_plan_logs_needed(map)) {
        return GFS_UNREACHABLE;
    }
    if (with_room < pool_plan_logs_needed(map) && !may_use_reserve) {
        return GFS_NO_SPACE;
    }
    return is_failing ? GFS_AGAIN : GFS_OK;
}

/* ---- the end of a batch ---- */

static void batch_free_locked(struct pool_submit *submit, struct batch *batch)
{
    for (uint32_t i = 0; i < batch->flight_count; i++) {
        pool_flight_unref_locked(submit, batch->flights[i]);
    }
    for (uint32_t i = 0; i < batch->leg_count; i++) {
        pool_disk_unref(batch->legs[i].disk);
    }
    free(batch);
}

static void decide_locked(struct pool_submit *submit, struct batch *batch, enum gfs_err err)
{
    batch->is_decided = true;
    batch->err = err;
    if (err == GFS_IO) {
        submit->has_failed = true;
    }
    for (uint32_t i = 0; i < batch->flight_count; i++) {
        struct flight *flight = batch->flights[i];
        GFS_ASSERT(flight->state == FLIGHT_SENT);
        flight->state = err == GFS_OK || err == GFS_IO ? FLIGHT_DECIDED : FLIGHT_READY;
        flight->err = err;
        if (flight->state == FLIGHT_READY) {
            pool_flight_refuse_locked(submit, flight, err);
        }
    }
}

/* The map shall not call it in sync: it lacks what others have. */
static void report_locked(struct pool_submit *submit, struct batch_leg *leg)
{
    unsigned *count = &submit->outside.mirror_count;
    if (!leg->is_reported && *count < POOL_LOG_DISKS) {
        leg->is_reported = true;
        submit->outside.mirrors[(*count)++] = pool_disk_ref(leg->disk);
    }
}

static bool is_certainly_unwritten(const struct batch_leg *leg)
{
    return !leg->is_owed && leg->err != GFS_OK && leg->err != GFS_IO;
}

/* Nobody answers any more that has not been dropped. */
static bool is_settled(const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->leg_count; i++) {
        if (batch->legs[i].is_owed && pool_disk_is_usable(batch->legs[i].disk)) {
            return false;
        }
    }
    return true;
}

bool pool_flight_edits_stand_locked(const struct pool_submit *submit, bool *ret_needs_map)
{
    bool stand = true;
    *ret_needs_map = false;
    for (const struct batch *batch = submit->batches; batch != NULL; batch = batch->next) {
        bool is_answered = is_settled(batch);
        stand = stand && is_answered && batch->is_decided;
        *ret_needs_map = *ret_needs_map || (is_answered && !batch->is_decided);
    }
    return stand;
}

/* What some mirrors have and others took no part of: those have a gap. */
static void report_gaps_locked(struct pool_submit *submit, struct batch *batch)
{
    bool is_refused = batch->is_decided && batch->err != GFS_OK && batch->err != GFS_IO;
    if (is_refused || !is_settled(batch)) {
        return;
    }
    for (uint32_t i = 0; i < batch->leg_count; i++) {
        if (is_certainly_unwritten(&batch->legs[i])) {
            report_locked(submit, &batch->legs[i]);
        }
    }
}

/* What the answers so far and the map in force say; AGAIN = nothing yet. */
static enum gfs_err judge(const struct batch *batch, const struct pool_view *view)
{
    const struct pool_map *map = view->map;
    unsigned count = 0;
    bool is_waiting = false;
    bool is_unwritten = true;
    bool has_no_space = false;
    for (uint32_t i = 0; i < batch->leg_count; i++) {
        const struct batch_leg *leg = &batch->legs[i];
        is_unwritten = is_unwritten && is_certainly_unwritten(leg);
        has_no_space = has_no_space || (!leg->is_owed && leg->err == GFS_NO_SPACE);
        bool is_mirror = is_in_sync(map, leg->disk->number);
        bool is_good = !leg->is_owed && leg->err == GFS_OK;
        is_waiting = is_waiting || (!is_good && (is_mirror || is_joining(view, leg->disk)));
        count += is_good && is_mirror ? 1 : 0;
    }
    if (is_unwritten) {
        return has_no_space ? GFS_NO_SPACE : GFS_UNREACHABLE;
    }
    if (is_waiting && batch->is_given_up) {
        return GFS_IO;
    }
    if (is_waiting) {
        return GFS_AGAIN;
    }
    return count >= pool_plan_logs_needed(map) ? GFS_OK : GFS_IO;
}

static void look_locked(struct pool_submit *submit, struct batch *batch)
{
    if (batch->is_decided) {
        return;
    }
    struct pool_view *view = pool_view_get(submit->pool);
    enum gfs_err err = judge(batch, view);
    pool_view_put(view);
    if (err != GFS_AGAIN) {
        decide_locked(submit, batch, err);
    }
}

static void end_if_over_locked(struct pool_submit *submit, struct batch *batch)
{
    if (!batch->is_decided || batch->owed != 0) {
        return;
    }
    *batch->link = batch->next;
    *(batch->next == NULL ? &submit->batches_tail : &batch->next->link) = batch->link;
    batch_free_locked(submit, batch);
}

void pool_flight_edits_look_locked(struct pool_submit *submit)
{
    struct batch *next;
    for (struct batch *batch = submit->batches; batch != NULL; batch = next) {
        next = batch->next;
        look_locked(submit, batch);
        report_gaps_locked(submit, batch);
        end_if_over_locked(submit, batch);
    }
}

static void leg_done(struct chunk_group *group, enum gfs_err err)
{
    struct batch_leg *leg = GFS_CONTAINER_OF(group, struct batch_leg, group);
    struct batch *batch = leg->batch;
    struct pool_submit *submit = batch->submit;
    pool_submit_wrote(leg->disk, err);
    (void)pthread_mutex_lock(&submit->lock);
    GFS_ASSERT(leg->is_owed);
    leg->is_owed = false;
    (void)atomic_fetch_sub(&leg->disk->owed, 1);
    leg->err = err;
    batch->owed--;
    submit->owed--;
    look_locked(submit, batch);
    if (err != GFS_OK || batch->has_gap) {
        batch->has_gap = true;
        report_gaps_locked(submit, batch);
    }
    end_if_over_locked(submit, batch);
    pool_submit_unlock(submit, true);
}

/* ---- sending ---- */

static bool fits(const struct flight *flight, uint32_t flights, uint32_t edits, size_t bytes)
{
    return flight != NULL && flight->state == FLIGHT_READY && flights < BATCH_FLIGHTS_MAX &&
           edits + flight->edit_count <= BATCH_EDITS_MAX &&
           bytes + flight->edit_bytes <= BATCH_BYTES_MAX;
}

/* The flights from `first` on that go together; they are SENT. */
static struct batch *batch_new_locked(struct pool_submit *submit, struct flight *first,
                                      uint32_t mirrors)
{
    uint32_t flights = 1;
    uint32_t edits = first->edit_count;
    size_t bytes = first->edit_bytes;
    struct flight *next = first->next;
    while (fits(next, flights, edits, bytes)) {
        flights++;
        edits += next->edit_count;
        bytes += next->edit_bytes;
        next = next->next;
    }
    size_t records = sizeof(struct batch) + flights * sizeof(struct flight *);
    struct batch *batch =
        gfs_alloc(records + (size_t)edits * mirrors * sizeof(struct chunk_record));
    batch->flights = (struct flight **)(void *)(batch + 1);
    batch->records = (struct chunk_record *)(void *)((char *)batch + records);
    batch->submit = submit;
    batch->number = ++submit->batch_number;
    batch->sent_ns = gfs_monotonic_ns();
    for (struct flight *flight = first; flight != next; flight = flight->next) {
        flight->references++;
        flight->state = FLIGHT_SENT;
        batch->flights[batch->flight_count++] = flight;
    }
    submit->next_send = next;
    return batch;
}

/* The last of the edits whose fate is open: who refused it for want of space shall not take what
 * comes behind it. Else a kill before the map says so would leave a mirror that is called in sync
 * with a gap in its log. 0 = none. */
static uint64_t open_lsn(const struct pool_submit *submit)
{
    uint64_t lsn = 0;
    for (const struct batch *batch = submit->batches; batch != NULL; batch = batch->next) {
        lsn = batch->is_decided ? lsn : batch->lsn_last;
    }
    return lsn;
}

static void fill_leg(struct batch *batch, struct batch_leg *leg, struct chunk_record *records)
{
    struct chunk_record **tail = &leg->group.records;
    for (uint32_t i = 0; i < batch->flight_count; i++) {
        const struct flight *flight = batch->flights[i];
        for (uint32_t j = 0; j < flight->edit_count; j++) {
            *records = (struct chunk_record){.kind = CHUNK_RECORD_EDIT,
                                             .lsn = flight->edits[j].lsn,
                                             .payload = flight->edits[j].payload};
            batch->lsn_last = records->lsn;
            *tail = records;
            tail = &records->next;
            records++;
        }
    }
    leg->group.done = leg_done;
    leg->group.may_use_reserve = true;
}

static uint32_t edits_of(const struct batch *batch)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->flight_count; i++) {
        count += batch->flights[i]->edit_count;
    }
    return count;
}

static void send_locked(struct pool_submit *submit, struct batch *batch,
                        const struct pool_view *view)
{
    uint64_t after_lsn = open_lsn(submit);
    batch->link = submit->batches_tail;
    *batch->link = batch;
    submit->batches_tail = &batch->next;
    uint32_t edits = edits_of(batch);
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        uint16_t number = view->map->log_disks[i].disk;
        struct pool_disk *disk = view->disks[number];
        bool is_mirror = is_in_sync(view->map, number);
        if (disk == NULL || (!is_mirror && !is_joining(view, disk))) {
            continue;
        }
        struct batch_leg *leg = &batch->legs[batch->leg_count];
        leg->batch = batch;
        leg->disk = pool_disk_ref(disk);
        leg->err = GFS_UNREACHABLE;
        fill_leg(batch, leg, batch->records + (size_t)batch->leg_count * edits);
        leg->group.after_lsn = after_lsn;
        batch->leg_count++;
        if (pool_disk_is_usable(disk)) {
            leg->is_owed = true;
            (void)atomic_fetch_add(&disk->owed, 1);
            leg->sent_ns = batch->sent_ns;
            batch->owed++;
            submit->owed++;
            disk->store->ops->submit(disk->store, &leg->group);
        }
    }
}

void pool_flight_edits_pump_locked(struct pool_submit *submit)
{
    while (submit->next_send != NULL) {
        struct flight *flight = submit->next_send;
        if (flight->state == FLIGHT_DECIDED) { /* nothing to send */
            submit->next_send = flight->next;
            continue;
        }
        if (flight->state != FLIGHT_READY || submit->is_paused) {
            return;
        }
        struct pool_view *view = pool_view_get(submit->pool);
        enum gfs_err err = pool_flight_edits_check_locked(submit, view, true);
        if (err == GFS_OK) {
            uint32_t mirrors = view->map->log_disk_count;
            send_locked(submit, batch_new_locked(submit, flight, mirrors), view);
        } else if (err != GFS_AGAIN) {
            pool_flight_refuse_locked(submit, flight, err);
        }
        pool_view_put(view);
        if (err == GFS_AGAIN) {
            return;
        }
    }
}
