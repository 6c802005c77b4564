/* Phase 1: data and deletions to their disks, and what follows when a disk does not take them.
 *
 * It is over when every disk has answered or was dropped. Then, for each chunk: enough fragments,
 * and those missing on disks that the map calls failed or behind before anything is acknowledged;
 * for deletions: all disks. Else the group is refused, its edits are never sent, and what was
 * written is deleted again: a disk that missed that has an orphan, as after a crash. */
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "pool/pool_flight.h"

enum { ID_LEN = 16 };

/* ---- taking back ---- */

/* The deletion on one disk of what was written for a group that is refused. */
struct undo {
    struct undo *next;
    struct chunk_group group;
    struct chunk_record record;
    struct pool_submit *submit;
    struct pool_disk *disk; /* counted */
    char ids[];
};

static void undo_done(struct chunk_group *group, enum gfs_err err)
{
    struct undo *undo = GFS_CONTAINER_OF(group, struct undo, group);
    struct pool_submit *submit = undo->submit;
    pool_submit_wrote(undo->disk, err);
    (void)atomic_fetch_sub(&undo->disk->owed, 1);
    pool_disk_unref(undo->disk);
    free(undo);
    (void)pthread_mutex_lock(&submit->lock);
    submit->owed--;
    pool_submit_unlock(submit, true);
}

static bool is_written(const struct flight *flight, const struct flight_part *part, uint32_t leg)
{
    return part->leg == leg && part->record.kind != 0 && flight->legs[leg].err == GFS_OK;
}

/* NULL: nothing was written there. */
static struct undo *undo_new(struct pool_submit *submit, const struct flight *flight, uint32_t leg)
{
    size_t count = 0;
    for (uint32_t i = 0; i < flight->part_count; i++) {
        count += is_written(flight, &flight->parts[i], leg) ? 1 : 0;
    }
    struct pool_disk *disk = flight->legs[leg].disk;
    if (count == 0 || !pool_disk_is_usable(disk)) {
        return NULL;
    }
    struct undo *undo = gfs_alloc(sizeof *undo + count * ID_LEN);
    undo->submit = submit;
    undo->disk = pool_disk_ref(disk);
    undo->record.kind = CHUNK_RECORD_DELETE;
    undo->record.payload = gfs_slice_of(undo->ids, count * ID_LEN);
    undo->group =
        (struct chunk_group){.records = &undo->record, .done = undo_done, .may_use_reserve = true};
    char *to = undo->ids;
    for (uint32_t i = 0; i < flight->part_count; i++) {
        const struct flight_part *part = &flight->parts[i];
        if (is_written(flight, part, leg)) {
            memcpy(to, &part->record.id.hi, 8); /* little-endian, as the machine */
            memcpy(to + 8, &part->record.id.lo, 8);
            to += ID_LEN;
        }
    }
    return undo;
}

static void send_undos(void *arg)
{
    struct undo *undo = arg;
    while (undo != NULL) {
        struct undo *next = undo->next;
        struct chunk_store *store = undo->disk->store;
        undo->submit->owed++;
        (void)atomic_fetch_add(&undo->disk->owed, 1);
        store->ops->submit(store, &undo->group);
        undo = next;
    }
}

static void take_back_locked(struct pool_submit *submit, struct flight *flight)
{
    struct undo *undos = NULL;
    for (uint32_t leg = 0; leg < flight->leg_count; leg++) {
        struct undo *undo = undo_new(submit, flight, leg);
        if (undo != NULL) {
            undo->next = undos;
            undos = undo;
        }
    }
    if (undos == NULL) {
        return;
    }
    struct chunk_id *ids GFS_FREE = gfs_alloc_array(flight->item_count, sizeof *ids);
    for (uint32_t i = 0; i < flight->item_count; i++) {
        ids[i] = flight->items[i].id;
    }
    if (!pool_tombs_delete(submit->pool, ids, flight->item_count, send_undos, undos)) {
        send_undos(undos); /* a copy under way may make an orphan of it again */
    }
}

void pool_flight_refuse_locked(struct pool_submit *submit, struct flight *flight, enum gfs_err err)
{
    GFS_ASSERT(err != GFS_OK);
    GFS_ASSERT(flight->state != FLIGHT_SENT && flight->state != FLIGHT_DECIDED);
    flight->state = FLIGHT_DECIDED;
    flight->err = err;
    take_back_locked(submit, flight);
}

/* ---- missing fragments ---- */

static void noted(void *arg, enum gfs_err err)
{
    struct flight *flight = arg;
    struct pool_submit *submit = flight->pool->submit;
    (void)pthread_mutex_lock(&submit->lock);
    GFS_ASSERT(flight->notes_owed > 0);
    flight->note_err = err != GFS_OK ? err : flight->note_err;
    if (--flight->notes_owed == 0) {
        submit->noting--;
        if (flight->state == FLIGHT_NOTING && flight->note_err != GFS_OK) {
            pool_flight_refuse_locked(submit, flight, GFS_UNREACHABLE);
        } else if (flight->state == FLIGHT_NOTING) {
            flight->state = flight->edit_count == 0 ? FLIGHT_DECIDED : FLIGHT_READY;
        }
        pool_flight_edits_pump_locked(submit);
        pool_flight_unref_locked(submit, flight);
    }
    pool_submit_unlock(submit, false);
}

void pool_flight_note(struct flight *flight)
{
    struct pool_submit *submit = flight->pool->submit;
    for (uint32_t i = 0; i < flight->leg_count; i++) {
        if (flight->legs[i].lacks) {
            pool_note_behind(flight->pool, flight->legs[i].disk, noted, flight);
        }
    }
    (void)pthread_mutex_lock(&submit->lock);
    pool_flight_unref_locked(submit, flight);
    pool_submit_unlock(submit, false);
}

/* The map the flight works by says already that this disk lacks things, and no pass can find
 * otherwise before the flight is over: it was never opened in this run, or what it had is given up
 * for lost. */
static bool is_known_to_lack(const struct flight *flight, const struct flight_leg *leg)
{
    const struct pool_map_disk *disk = &flight->view->map->disks[leg->number];
    if (disk->state == POOL_DISK_FAILED || disk->state == POOL_DISK_REMOVED) {
        return true;
    }
    return disk->is_behind && (leg->disk == NULL || leg->disk->store == NULL);
}

/* OK: `lacks` is set where the map has to say so first, count of them. UNREACHABLE: it cannot. */
static enum gfs_err find_lacking(struct flight *flight, unsigned *ret_count)
{
    *ret_count = 0;
    for (uint32_t i = 0; i < flight->part_count; i++) {
        const struct flight_part *part = &flight->parts[i];
        struct flight_leg *leg = &flight->legs[part->leg];
        bool is_there = part->record.kind != 0 && leg->err == GFS_OK && !leg->is_owed;
        if (is_there || leg->lacks || is_known_to_lack(flight, leg)) {
            continue;
        }
        if (leg->disk == NULL) {
            return GFS_UNREACHABLE;
        }
        leg->lacks = true;
        ++*ret_count;
    }
    return GFS_OK;
}

/* ---- judging ---- */

static enum gfs_err refusal_of(enum gfs_err worst, enum gfs_err err)
{
    if (err == GFS_TOO_BIG || worst == GFS_TOO_BIG) {
        return GFS_TOO_BIG;
    }
    return err == GFS_NO_SPACE || worst == GFS_NO_SPACE ? GFS_NO_SPACE : GFS_UNREACHABLE;
}

/* Parts of an item lie behind each other. */
static enum gfs_err judge_items(const struct flight *flight)
{
    uint32_t at = 0;
    for (uint32_t item = 0; item < flight->item_count; item++) {
        unsigned count = 0;
        enum gfs_err refusal = GFS_UNREACHABLE;
        for (; at < flight->part_count && flight->parts[at].item == item; at++) {
            const struct flight_leg *leg = &flight->legs[flight->parts[at].leg];
            bool is_there = flight->parts[at].record.kind != 0 && !leg->is_owed;
            count += is_there && leg->err == GFS_OK ? 1 : 0;
            refusal = is_there ? refusal_of(refusal, leg->err) : refusal;
        }
        if (count < flight->items[item].quorum) {
            return refusal;
        }
    }
    GFS_ASSERT(at == flight->part_count);
    return GFS_OK;
}

static enum gfs_err judge_deletes(const struct flight *flight)
{
    for (uint32_t i = 0; i < flight->leg_count; i++) {
        const struct flight_leg *leg = &flight->legs[i];
        if (leg->delete_count != 0 && (leg->is_owed || leg->err != GFS_OK)) {
            return refusal_of(GFS_UNREACHABLE, leg->err);
        }
    }
    return GFS_OK;
}

static bool is_over(const struct flight *flight)
{
    if (flight->owed == 0) {
        return true;
    }
    for (uint32_t i = 0; i < flight->leg_count; i++) {
        const struct flight_leg *leg = &flight->legs[i];
        if (leg->is_owed && pool_disk_is_usable(leg->disk)) {
            return false;
        }
    }
    return true;
}

void pool_flight_look_locked(struct pool_submit *submit, struct flight *flight)
{
    if (flight->state != FLIGHT_WRITING || !is_over(flight)) {
        return;
    }
    enum gfs_err err = submit->has_failed ? GFS_IO : judge_items(flight);
    unsigned lacking = 0;
    if (err == GFS_OK) {
        err = judge_deletes(flight);
    }
    if (err == GFS_OK) {
        err = find_lacking(flight, &lacking);
    }
    if (err != GFS_OK) {
        pool_flight_refuse_locked(submit, flight, err);
    } else if (lacking != 0) {
        flight->state = FLIGHT_NOTING;
        flight->notes_owed = lacking;
        flight->references += 2;
        submit->noting++;
        flight->outside = submit->outside.to_note;
        submit->outside.to_note = flight;
    } else {
        flight->state = flight->edit_count == 0 ? FLIGHT_DECIDED : FLIGHT_READY;
    }
    pool_flight_edits_pump_locked(submit);
}

/* ---- sending ---- */

static void leg_done(struct chunk_group *group, enum gfs_err err)
{
    struct flight_leg *leg = GFS_CONTAINER_OF(group, struct flight_leg, group);
    struct flight *flight = leg->flight;
    struct pool_submit *submit = flight->pool->submit;
    pool_submit_wrote(leg->disk, err);
    if (err == GFS_NO_SPACE) { /* before the patrol comes by: edits must not eat up the reserve */
        atomic_store(&leg->disk->is_full, true);
    }
    (void)pthread_mutex_lock(&submit->lock);
    GFS_ASSERT(leg->is_owed);
    leg->is_owed = false;
    (void)atomic_fetch_sub(&leg->disk->owed, 1);
    leg->err = err;
    flight->owed--;
    submit->owed--;
    pool_flight_look_locked(submit, flight);
    pool_flight_unref_locked(submit, flight);
    pool_submit_unlock(submit, true);
}

static void send_legs(void *arg)
{
    struct flight *flight = arg;
    struct pool_submit *submit = flight->pool->submit;
    int64_t now = gfs_monotonic_ns();
    for (uint32_t i = 0; i < flight->leg_count; i++) {
        struct flight_leg *leg = &flight->legs[i];
        if (leg->group.records == NULL || !pool_disk_is_usable(leg->disk)) {
            continue;
        }
        leg->is_owed = true;
        (void)atomic_fetch_add(&leg->disk->owed, 1);
        leg->sent_ns = now;
        leg->group.done = leg_done;
        flight->owed++;
        flight->references++;
        submit->owed++;
        leg->disk->store->ops->submit(leg->disk->store, &leg->group);
    }
}

/* Before anything is written: it cannot work. */
static enum gfs_err foresee(const struct flight *flight)
{
    uint32_t at = 0;
    for (uint32_t item = 0; item < flight->item_count; item++) {
        unsigned count = 0;
        for (; at < flight->part_count && flight->parts[at].item == item; at++) {
            const struct flight_part *part = &flight->parts[at];
            bool can = part->record.kind != 0 && pool_disk_is_usable(flight->legs[part->leg].disk);
            count += can ? 1 : 0;
        }
        if (count < flight->items[item].quorum) {
            return GFS_UNREACHABLE;
        }
    }
    return GFS_OK;
}

void pool_flight_send_locked(struct pool_submit *submit, struct flight *flight, enum gfs_err err)
{
    if (err == GFS_OK) {
        err = foresee(flight);
    }
    if (err == GFS_OK && flight->delete_count == 0) {
        send_legs(flight);
    } else if (err == GFS_OK && !pool_tombs_delete(submit->pool, flight->deletes,
                                                   flight->delete_count, send_legs, flight)) {
        err = GFS_UNREACHABLE;
    }
    if (err != GFS_OK) {
        pool_flight_refuse_locked(submit, flight, err);
        pool_flight_edits_pump_locked(submit);
    } else {
        pool_flight_look_locked(submit, flight);
    }
}
