#include "pool/pool_pin.h"

#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_reader.h"

enum {
    LAST_FAILURES_MAX = 32, /* reads that fail on a dropped disk before it is not read any more */
};
#define NS_PER_MS 1000000LL

/* ---- looking for parts ---- */

static bool is_avoided(const struct pool_pin *pin, unsigned slot, uint16_t number)
{
    bool is_copy = pin->profile.kind == POOL_REPLICA;
    return number == pin->avoid_disk && (is_copy || slot == pin->avoid_slot);
}

static bool has_copy_on(const struct pool_pin *pin, const struct pool_disk *disk)
{
    bool found = false;
    for (unsigned i = 0; i < pin->width && pin->profile.kind == POOL_REPLICA; i++) {
        found = found || pin->parts[i].disk == disk;
    }
    return found;
}

static enum gfs_err pin_part(struct pool_pin *pin, unsigned slot, struct pool_disk *disk)
{
    struct pool_part *part = &pin->parts[slot];
    struct chunk_id id = pool_fragment_id(pin->group, pin->id, slot);
    enum gfs_err err = disk->store->ops->pin(disk->store, id, &part->pin);
    if (err == GFS_OK) {
        part->disk = pool_disk_ref(disk);
        pin->there |= 1U << slot;
    } else if (err != GFS_NOT_FOUND) {
        pin->damaged |= 1U << slot;
    }
    return err;
}

/* On that disk; false: not there. */
static bool pin_on(struct pool_pin *pin, unsigned slot, uint16_t number)
{
    struct pool_disk *disk = number < POOL_DISKS_MAX ? pin->view->disks[number] : NULL;
    if (is_avoided(pin, slot, number) || number == POOL_NO_DISK) {
        return false;
    }
    if (!pool_disk_is_usable(disk)) {
        pin->away |= 1U << slot;
        return false;
    }
    if (has_copy_on(pin, disk) || pin->parts[slot].disk != NULL) {
        return false; /* another slot's copy already, or one of an odd length */
    }
    enum gfs_err err = pin_part(pin, slot, disk);
    if (err != GFS_OK && err != GFS_NOT_FOUND) {
        struct pool_suspect suspect = {
            .id = pin->id, .disk = number, .slot = (uint8_t)slot, .is_bad = true};
        pool_suspect_add(pin->pool, &suspect);
    }
    return err == GFS_OK;
}

static bool look(struct pool_pin *pin, unsigned slot)
{
    const struct pool_slot *where = &pin->group->slots[slot];
    return (pin->there >> slot & 1) != 0 || pin_on(pin, slot, where->disk) ||
           pin_on(pin, slot, where->from);
}

/* Where the map does not say that it is: what a move left behind is as good. */
static void look_everywhere(struct pool_pin *pin, unsigned slot)
{
    for (uint32_t i = 0; i < pin->view->map->disk_count && (pin->there >> slot & 1) == 0; i++) {
        uint32_t away = pin->away;
        (void)pin_on(pin, slot, (uint16_t)i);
        pin->away = away; /* only those of the slot count as missing */
    }
}

static void unpin_part(struct pool_pin *pin, unsigned slot)
{
    struct pool_part *part = &pin->parts[slot];
    if (part->disk != NULL) {
        part->disk->store->ops->unpin(part->disk->store, &part->pin);
        pool_disk_unref(GFS_TAKE(part->disk));
        pin->there &= ~(1U << slot);
    }
}

static void leave_out_odd(struct pool_pin *pin)
{
    for (unsigned i = 0; i < pin->width; i++) {
        if ((pin->there >> i & 1) != 0 && pin->parts[i].pin.len != pin->fragment_len) {
            pool_pin_report(pin, i, GFS_CORRUPT);
            pin->damaged |= 1U << i;
            pin->there &= ~(1U << i); /* it stays pinned: a read of it may be under way */
        }
    }
}

/* All parts are of one length; those that are not, the fewer, are damage. */
static void agree_on_length(struct pool_pin *pin)
{
    unsigned best = 0;
    for (unsigned i = 0; i < pin->width; i++) {
        unsigned same = 0;
        for (unsigned j = 0; j < pin->width && (pin->there >> i & 1) != 0; j++) {
            same += (pin->there >> j & 1) != 0 && pin->parts[j].pin.len == pin->parts[i].pin.len;
        }
        if (same > best) {
            best = same;
            pin->fragment_len = pin->parts[i].pin.len;
        }
    }
    leave_out_odd(pin);
}

/* On a disk that is not used any more, or is again. */
static void pin_last(struct pool_pin *pin, unsigned slot, uint16_t number)
{
    struct pool_disk *disk = pin->view->disks[number];
    if (disk == NULL || disk->store == NULL) {
        disk = pin->view->fallbacks[number];
    }
    if (pool_disk_is_readable(disk) && !is_avoided(pin, slot, number) && !has_copy_on(pin, disk)) {
        (void)pin_part(pin, slot, disk);
    }
}

static void find_last(struct pool_pin *pin)
{
    for (unsigned i = 0; i < pin->width; i++) {
        for (uint16_t d = 0; d < pin->view->map->disk_count && pin->parts[i].disk == NULL; d++) {
            pin_last(pin, i, d);
        }
    }
    if (pin->is_given) {
        leave_out_odd(pin);
    } else {
        agree_on_length(pin);
    }
}

/* A part is missing where it should be, and no pass is going to bring it. */
static void report_missing(struct pool_pin *pin)
{
    for (unsigned i = 0; i < pin->width; i++) {
        const struct pool_slot *slot = &pin->group->slots[i];
        const struct pool_disk *disk =
            slot->disk < POOL_DISKS_MAX ? pin->view->disks[slot->disk] : NULL;
        bool is_known = ((pin->there | pin->away | pin->damaged) >> i & 1) != 0;
        if (is_known || !pool_disk_is_usable(disk) || slot->is_filling ||
            is_avoided(pin, i, slot->disk) || pin->view->map->disks[slot->disk].is_behind) {
            continue;
        }
        struct pool_suspect suspect = {.id = pin->id, .disk = slot->disk, .slot = (uint8_t)i};
        pool_suspect_add(pin->pool, &suspect);
    }
}

static void complete(struct pool_pin *pin)
{
    pin->is_complete = true;
    pin->away = 0;
    for (unsigned i = 0; i < pin->width; i++) {
        (void)look(pin, i);
    }
    for (unsigned i = 0; i < pin->width && (unsigned)__builtin_popcount(pin->there) < pin->k; i++) {
        look_everywhere(pin, i);
    }
    if (pin->is_given) {
        leave_out_odd(pin);
    } else {
        agree_on_length(pin);
    }
    if (pin->there != 0) {
        report_missing(pin);
    }
}

/* By that view. */
static void begin_looking(struct pool_pin *pin, const struct pool_view *view)
{
    GFS_ASSERT(pin->view == NULL);
    pin->view = view;
    pin->group = pool_view_group(view, pin->id);
    GFS_ASSERT(pin->group != NULL); /* groups are never taken away, nor made narrower */
    GFS_ASSERT(pool_profile_width(pin->group->profile) >= pin->width);
}

static void end_looking(struct pool_pin *pin)
{
    pin->view = NULL;
    pin->group = NULL;
}

void pool_pin_find_last(struct pool_pin *pin)
{
    struct pool_view *view = pool_view_get(pin->pool);
    begin_looking(pin, view);
    find_last(pin);
    end_looking(pin);
    pool_view_put(view);
}

void pool_pin_complete(struct pool_pin *pin)
{
    if (!pin->is_complete) {
        struct pool_view *view = pool_view_get(pin->pool);
        begin_looking(pin, view);
        complete(pin);
        end_looking(pin);
        pool_view_put(view);
    }
}

static bool is_slow(const struct pool_disk *disk)
{
    int64_t until_ns = disk == NULL ? 0 : (int64_t)atomic_load(&disk->slow_until_ns);
    return until_ns != 0 && gfs_monotonic_ns() < until_ns;
}

/* One copy, the first of the turn whose disk is not slow. */
static void choose_copy(struct pool_pin *pin)
{
    unsigned start = (unsigned)((pin->id.hi ^ pin->id.lo >> CHUNK_SLOT_BITS) % pin->width);
    for (unsigned turn = 0; turn < 2 * pin->width; turn++) {
        unsigned slot = (start + turn) % pin->width;
        uint16_t number = pin->group->slots[slot].disk;
        struct pool_disk *disk = number < POOL_DISKS_MAX ? pin->view->disks[number] : NULL;
        if ((turn >= pin->width || !is_slow(disk)) && look(pin, slot)) {
            pin->preferred = slot;
            pin->fragment_len = pin->parts[slot].pin.len;
            pin->is_complete = pin->width == 1;
            return;
        }
    }
    complete(pin);
    pin->preferred = pin->there == 0 ? 0 : (unsigned)__builtin_ctz(pin->there);
}

/* ---- life ---- */

enum gfs_err pool_pin_lost(const struct pool_pin *pin)
{
    uint32_t away = pin->away & ~pin->there;
    for (unsigned i = 0; i < pin->width; i++) {
        bool is_dropped = (pin->there >> i & 1) != 0 && !pool_disk_is_usable(pin->parts[i].disk);
        away |= is_dropped ? 1U << i : 0;
    }
    return away != 0 ? GFS_UNREACHABLE : GFS_CORRUPT;
}

static void link_pin(struct pool *pool, struct pool_pin *pin)
{
    (void)pthread_mutex_lock(&pool->view_lock);
    pin->next = pool->pins;
    pin->link = &pool->pins;
    if (pin->next != NULL) {
        pin->next->link = &pin->next;
    }
    pool->pins = pin;
    (void)pthread_mutex_unlock(&pool->view_lock);
}

/* From here on the pool may be gone. */
static void unlink_pin(struct pool *pool, struct pool_pin *pin)
{
    (void)pthread_mutex_lock(&pool->view_lock);
    *pin->link = pin->next;
    if (pin->next != NULL) {
        pin->next->link = pin->link;
    }
    if (pool->pins == NULL) {
        gfs_cond_broadcast(&pool->views_gone);
    }
    (void)pthread_mutex_unlock(&pool->view_lock);
}

static struct pool_pin *make_pin(struct pool *pool, struct pool_profile profile,
                                 const struct pool_pin_options *options)
{
    unsigned width = pool_profile_width(profile);
    struct pool_pin *pin = gfs_alloc(sizeof *pin + width * sizeof pin->parts[0]);
    pin->pool = pool;
    pin->profile = profile;
    pin->id = options->id;
    pin->k = profile.kind == POOL_EC ? profile.k : 1;
    pin->width = width;
    pin->avoid_disk = options->avoid_disk;
    pin->avoid_slot = options->avoid_slot;
    atomic_init(&pin->references, 1);
    pin->users = 1;
    gfs_cond_init(&pin->changed);
    int rc = pthread_mutex_init(&pin->lock, NULL);
    GFS_ASSERT(rc == 0);
    link_pin(pool, pin);
    return pin;
}

enum gfs_err pool_pin_new(struct pool *pool, struct pool_view *view,
                          const struct pool_pin_options *options, struct pool_pin **ret)
{
    const struct pool_group *group = pool_view_group(view, options->id);
    if (group == NULL) {
        return GFS_NOT_FOUND;
    }
    struct pool_pin *pin = make_pin(pool, group->profile, options);
    pin->is_alone = pin->width == 1 && view->map->disk_count == 1;
    begin_looking(pin, view);
    if (pin->profile.kind == POOL_REPLICA) {
        choose_copy(pin);
    } else {
        complete(pin);
    }
    if ((unsigned)__builtin_popcount(pin->there) < pin->k) {
        find_last(pin);
        pin->preferred = pin->there == 0 ? 0 : (unsigned)__builtin_ctz(pin->there);
    }
    end_looking(pin);
    bool is_enough = (unsigned)__builtin_popcount(pin->there) >= pin->k ||
                     (options->is_for_slot && (pin->there >> options->avoid_slot & 1) != 0);
    if (!is_enough || pin->fragment_len == 0) {
        bool is_nowhere = (pin->there | pin->away | pin->damaged) == 0;
        enum gfs_err err = is_nowhere ? GFS_NOT_FOUND : pool_pin_lost(pin);
        pool_pin_unref(pin);
        return err;
    }
    *ret = pin;
    return GFS_OK;
}

void pool_pin_ref(struct pool_pin *pin)
{
    unsigned before = atomic_fetch_add_explicit(&pin->references, 1, memory_order_relaxed);
    GFS_ASSERT(before != 0);
}

void pool_pin_unref(struct pool_pin *pin)
{
    unsigned before = atomic_fetch_sub_explicit(&pin->references, 1, memory_order_acq_rel);
    GFS_ASSERT(before != 0);
    if (before != 1) {
        return;
    }
    for (unsigned i = 0; i < pin->width; i++) {
        unpin_part(pin, i);
    }
    unlink_pin(pin->pool, pin);
    gfs_cond_fini(&pin->changed);
    (void)pthread_mutex_destroy(&pin->lock);
    free(pin);
}

void pool_pin_enter(struct pool_pin *pin, bool is_look_free)
{
    (void)pthread_mutex_lock(&pin->lock);
    pin->users++;
    bool has_left = pin->has_left && !is_look_free;
    pin->has_left = pin->has_left && is_look_free;
    (void)pthread_mutex_unlock(&pin->lock);
    if (!has_left) {
        return;
    }
    pin->is_complete = false;
    pool_pin_complete(pin);
    if (pin->k == 1 && (pin->there >> pin->preferred & 1) == 0 && pin->there != 0) {
        pin->preferred = (unsigned)__builtin_ctz(pin->there);
    }
}

void pool_pin_exit(struct pool_pin *pin)
{
    (void)pthread_mutex_lock(&pin->lock);
    GFS_ASSERT(pin->users > 0);
    pin->users--;
    (void)pthread_mutex_unlock(&pin->lock);
}

/* ---- leaving disks ---- */

/* The parts of the pin that are on the disk, if nobody uses them now. */
static void leave_disk(struct pool_pin *pin, const struct pool_disk *disk)
{
    for (unsigned i = 0; i < pin->width; i++) {
        struct pool_part *part = &pin->parts[i];
        struct pool_part left = {0};
        (void)pthread_mutex_lock(&pin->lock);
        if (pin->users == 0 && part->disk == disk && !atomic_load(&part->is_busy)) {
            left.pin = part->pin;
            left.disk = GFS_TAKE(part->disk);
            part->is_reported = false;
            pin->there &= ~(1U << i);
            pin->away |= 1U << i;
            pin->has_left = true;
        }
        (void)pthread_mutex_unlock(&pin->lock);
        if (left.disk != NULL) { /* which may hang */
            left.disk->store->ops->unpin(left.disk->store, &left.pin);
            pool_disk_unref(left.disk);
        }
    }
}

/* The one behind, or the first; counted. Gives `pin` back. */
static struct pool_pin *next_pin(struct pool *pool, struct pool_pin *pin)
{
    (void)pthread_mutex_lock(&pool->view_lock);
    struct pool_pin *next = pin == NULL ? pool->pins : pin->next;
    bool is_found = false;
    while (next != NULL && !is_found) {
        unsigned count = atomic_load(&next->references);
        while (count != 0 && !atomic_compare_exchange_weak(&next->references, &count, count + 1)) {
        }
        is_found = count != 0;
        next = is_found ? next : next->next;
    }
    (void)pthread_mutex_unlock(&pool->view_lock);
    if (pin != NULL) {
        pool_pin_unref(pin);
    }
    return next;
}

void pool_pin_leave_disk(struct pool *pool, const struct pool_disk *disk)
{
    struct pool_pin *pin = next_pin(pool, NULL);
    while (pin != NULL) {
        leave_disk(pin, disk);
        pin = next_pin(pool, pin);
    }
}

/* ---- for readers ---- */

uint32_t pool_pin_readable(const struct pool_pin *pin)
{
    uint32_t readable = 0;
    for (unsigned i = 0; i < pin->width; i++) {
        const struct pool_part *part = &pin->parts[i];
        bool is_readable = (pin->there >> i & 1) != 0 && pool_disk_is_usable(part->disk) &&
                           !atomic_load(&part->is_busy);
        readable |= is_readable ? 1U << i : 0;
    }
    return readable;
}

bool pool_pin_is_last(const struct pool_pin *pin, unsigned part)
{
    return pin->parts[part].disk != NULL && !pool_disk_is_usable(pin->parts[part].disk);
}

bool pool_pin_is_awaited(const struct pool_pin *pin, unsigned part)
{
    return !pool_pin_is_last(pin, part) || !pool_reader_is_stuck(pin->parts[part].disk->reader);
}

uint32_t pool_pin_last(const struct pool_pin *pin)
{
    uint32_t last = 0;
    for (unsigned i = 0; i < pin->width; i++) {
        const struct pool_part *part = &pin->parts[i];
        bool is_it = (pin->there >> i & 1) != 0 && pool_pin_is_last(pin, i) &&
                     pool_disk_is_readable(part->disk) && !atomic_load(&part->is_busy) &&
                     pool_pin_is_awaited(pin, i);
        last |= is_it ? 1U << i : 0;
    }
    return last;
}

bool pool_pin_is_slow(const struct pool_pin *pin, unsigned part)
{
    return is_slow(pin->parts[part].disk);
}

void pool_pin_report(struct pool_pin *pin, unsigned slot, enum gfs_err err)
{
    struct pool_part *part = &pin->parts[slot];
    if (part->is_reported) {
        return;
    }
    part->is_reported = true;
    if (pool_pin_is_last(pin, slot)) {
        if (err != GFS_CORRUPT &&
            atomic_fetch_add(&part->disk->last_failures, 1) >= LAST_FAILURES_MAX) {
            atomic_store(&part->disk->is_distrusted, true); /* the patrol lets go of it */
        }
    } else {
        atomic_fetch_add(&part->disk->read_failures, err == GFS_CORRUPT ? 0 : 1);
        struct pool_suspect suspect = {
            .id = pin->id, .disk = part->disk->number, .slot = (uint8_t)slot, .is_bad = true};
        pool_suspect_add(pin->pool, &suspect);
    }
}

void pool_pin_wait_locked(struct pool_pin *pin, int64_t until_ns)
{
    (void)gfs_cond_wait_until(&pin->changed, &pin->lock, until_ns);
}
