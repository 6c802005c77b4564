/* What goes to which disk: a group taken apart by one view, in one allocation.
 *
 * Everything is copied. A disk that hangs is not waited for, and it may still read its records when
 * the submitter was answered long ago. */
#include "pool/pool_flight.h"

#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/codec.h"

enum { ID_LEN = 16 };

/* What a flight needs, counted before it is allocated. */
struct tally {
    uint32_t legs, items, parts, edits, deletes, targets;
    size_t bytes;
    bool is_marked[POOL_DISKS_MAX]; /* disks counted in legs */
};

struct splitter {
    struct flight *flight;
    const struct pool_map *map;
    enum gfs_err err;
    char *bytes;                     /* unused room */
    uint32_t counts[POOL_DISKS_MAX]; /* ids to delete, by disk */
};

static struct chunk_id id_at(struct gfs_slice ids, size_t index)
{
    const char *raw = ids.ptr + index * ID_LEN;
    return (struct chunk_id){gfs_codec_load_u64(raw), gfs_codec_load_u64(raw + 8)};
}

/* ---- counting ---- */

static void mark(struct tally *tally, uint16_t disk)
{
    if (disk != POOL_NO_DISK && !tally->is_marked[disk]) {
        tally->is_marked[disk] = true;
        tally->legs++;
    }
}

static void tally_data(struct tally *tally, const struct pool_group *group,
                       const struct chunk_record *record)
{
    unsigned width = pool_profile_width(group->profile);
    size_t owner_len = FRAGMENT_OWNER_LEN + record->owner.len;
    bool is_ec = group->profile.kind == POOL_EC;
    tally->bytes += is_ec ? width * owner_len : owner_len + record->payload.len;
    tally->parts += width;
    tally->items++;
    for (unsigned i = 0; i < width; i++) {
        mark(tally, group->slots[i].disk);
    }
}

static void tally_delete(struct tally *tally, const struct pool_view *view, struct gfs_slice ids)
{
    uint32_t count = (uint32_t)(ids.len / ID_LEN);
    tally->deletes += count;
    for (uint32_t i = 0; i < count; i++) {
        const struct pool_group *group = pool_view_group(view, id_at(ids, i));
        unsigned width = group == NULL ? 0 : pool_profile_width(group->profile);
        for (unsigned slot = 0; slot < width; slot++) {
            mark(tally, group->slots[slot].disk);
            mark(tally, group->slots[slot].from);
        }
        tally->targets += 2 * width;
    }
}

static void tally_records(struct tally *tally, const struct pool_view *view,
                          const struct chunk_record *records)
{
    for (const struct chunk_record *record = records; record != NULL; record = record->next) {
        const struct pool_group *group;
        switch (record->kind) {
        case CHUNK_RECORD_DATA:
            group = pool_view_group(view, record->id);
            if (group != NULL) {
                tally_data(tally, group, record);
            }
            break;
        case CHUNK_RECORD_PLACE: /* its disks are the bulk's, perhaps of an older view */
            tally->items++;
            tally->parts += POOL_WIDTH_MAX;
            tally->legs += POOL_WIDTH_MAX;
            break;
        case CHUNK_RECORD_DELETE:
            tally_delete(tally, view, record->payload);
            break;
        case CHUNK_RECORD_EDIT:
            tally->edits++;
            tally->bytes += record->payload.len;
            break;
        case CHUNK_RECORD_GONE:
            GFS_ASSERT(false && "a record of one disk");
            break;
        }
    }
}

static struct flight *allocate(const struct tally *tally, char **ret_ids, char **ret_bytes)
{
    size_t legs = sizeof(struct flight);
    size_t items = legs + tally->legs * sizeof(struct flight_leg);
    size_t parts = items + tally->items * sizeof(struct flight_item);
    size_t edits = parts + tally->parts * sizeof(struct flight_part);
    size_t deletes = edits + tally->edits * sizeof(struct flight_edit);
    size_t ids = deletes + tally->deletes * sizeof(struct chunk_id);
    size_t bytes = ids + (size_t)tally->targets * ID_LEN;
    struct flight *flight = gfs_alloc(bytes + tally->bytes);
    char *base = (char *)flight;
    flight->legs = (struct flight_leg *)(void *)(base + legs);
    flight->items = (struct flight_item *)(void *)(base + items);
    flight->parts = (struct flight_part *)(void *)(base + parts);
    flight->edits = (struct flight_edit *)(void *)(base + edits);
    flight->deletes = (struct chunk_id *)(void *)(base + deletes);
    *ret_ids = base + ids;
    *ret_bytes = base + bytes;
    return flight;
}

/* ---- splitting ---- */

static struct gfs_slice keep(struct splitter *splitter, struct gfs_slice bytes)
{
    char *copy = splitter->bytes;
    if (bytes.len != 0) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    splitter->bytes += bytes.len;
    return gfs_slice_of(copy, bytes.len);
}

/* Its index. */
static uint32_t leg_of(struct flight *flight, struct pool_disk *disk, uint16_t number)
{
    for (uint32_t i = 0; i < flight->leg_count; i++) {
        if (flight->legs[i].disk == disk && flight->legs[i].number == number) {
            return i;
        }
    }
    struct flight_leg *leg = &flight->legs[flight->leg_count];
    leg->flight = flight;
    leg->disk = disk == NULL ? NULL : pool_disk_ref(disk);
    leg->number = number;
    leg->tail = &leg->group.records;
    leg->group.may_use_reserve = flight->group->may_use_reserve;
    leg->err = GFS_UNREACHABLE;
    return flight->leg_count++;
}

static struct chunk_record *add_part(struct flight *flight, uint32_t leg)
{
    struct flight_part *part = &flight->parts[flight->part_count++];
    part->item = flight->item_count - 1;
    part->leg = leg;
    return &part->record;
}

static void append(struct flight_leg *leg, struct chunk_record *record)
{
    *leg->tail = record;
    leg->tail = &record->next;
}

static struct flight_item *add_item(struct flight *flight, struct chunk_id id,
                                    struct pool_profile profile)
{
    struct flight_item *item = &flight->items[flight->item_count++];
    item->id = id;
    item->quorum = pool_profile_quorum(profile);
    return item;
}

static void split_data(struct splitter *splitter, const struct chunk_record *record)
{
    struct flight *flight = splitter->flight;
    const struct pool_group *group = pool_view_group(flight->view, record->id);
    if (group == NULL) {
        splitter->err = GFS_UNREACHABLE;
        return;
    }
    struct pool_profile profile = group->profile;
    struct flight_item *item = add_item(flight, record->id, profile);
    bool is_ec = profile.kind == POOL_EC;
    size_t len = record->payload.len;
    struct gfs_slice owner = {0};
    struct gfs_slice payload = {0};
    if (is_ec) {
        item->encoded = pool_encode_small(flight->pool, profile, record->payload);
        len = pool_fragment_len(profile.k, (uint32_t)record->payload.len);
    } else {
        payload = keep(splitter, record->payload);
    }
    for (unsigned slot = 0; slot < pool_profile_width(profile); slot++) {
        if (is_ec || slot == 0) {
            owner.ptr = splitter->bytes;
            owner.len = pool_fragment_owner_write(profile, slot, (uint32_t)record->payload.len,
                                                  record->owner, splitter->bytes);
            splitter->bytes += owner.len;
        }
        if (is_ec) {
            payload = gfs_slice_of(item->encoded + slot * len, len);
        }
        uint16_t number = group->slots[slot].disk;
        GFS_ASSERT(number < splitter->map->disk_count);
        uint32_t leg = leg_of(flight, flight->view->disks[number], number);
        struct chunk_record *part = add_part(flight, leg);
        part->kind = CHUNK_RECORD_DATA;
        part->id = pool_fragment_id(group, record->id, slot);
        part->owner = owner;
        part->payload = payload;
        append(&flight->legs[leg], part);
    }
}

/* The bulk's fragments lie, and are missing, where the map said when it began; what has moved since
 * is moved, and what another disk was to hold instead made there, by the pass that waits for all
 * older views. */
static void split_place(struct splitter *splitter, const struct chunk_record *record)
{
    struct flight *flight = splitter->flight;
    struct pool_bulk_part children[POOL_WIDTH_MAX];
    struct chunk_id id;
    unsigned width = pool_bulk_parts(record->bulk, &id, children);
    const struct pool_group *group = pool_view_group(flight->view, id);
    GFS_ASSERT(group != NULL); /* groups are never taken away */
    struct pool_profile profile = group->profile;
    GFS_ASSERT(width == pool_profile_width(profile));
    struct flight_item *item = add_item(flight, id, profile);
    item->bulk = record->bulk;
    for (unsigned slot = 0; slot < width; slot++) {
        struct pool_disk *disk = children[slot].disk;
        uint16_t number = children[slot].number;
        GFS_ASSERT(number < splitter->map->disk_count);
        if (disk == NULL) { /* let go of, or never there: what it is now, perhaps back, lacks it */
            disk = flight->view->disks[number];
        }
        uint32_t leg = leg_of(flight, disk, number);
        struct chunk_record *part = add_part(flight, leg);
        if (disk != NULL && children[slot].child != NULL) {
            part->kind = CHUNK_RECORD_PLACE;
            part->id = pool_fragment_id(group, id, slot);
            part->bulk = children[slot].child;
            append(&flight->legs[leg], part);
        }
    }
}

/* Whether the disk may hold fragments that count. */
static bool may_hold(const struct splitter *splitter, uint16_t disk)
{
    if (disk == POOL_NO_DISK) {
        return false;
    }
    enum pool_disk_state state = splitter->map->disks[disk].state;
    return state != POOL_DISK_FAILED && state != POOL_DISK_REMOVED;
}

/* A disk that may hold a fragment of a chunk. */
struct holder {
    uint16_t disk;
    struct chunk_id fragment;
};

/* All of a chunk that count; how many. */
static unsigned find_holders(const struct splitter *splitter, struct chunk_id id,
                             struct holder ret[2 * POOL_WIDTH_MAX])
{
    const struct pool_group *group = pool_view_group(splitter->flight->view, id);
    unsigned width = group == NULL ? 0 : pool_profile_width(group->profile);
    unsigned count = 0;
    for (unsigned slot = 0; slot < width; slot++) {
        const uint16_t disks[] = {group->slots[slot].disk, group->slots[slot].from};
        for (unsigned i = 0; i < GFS_COUNT(disks); i++) {
            if (may_hold(splitter, disks[i])) {
                ret[count++] = (struct holder){disks[i], pool_fragment_id(group, id, slot)};
            }
        }
    }
    return count;
}

static void split_delete(struct splitter *splitter, struct gfs_slice ids)
{
    struct flight *flight = splitter->flight;
    struct holder holders[2 * POOL_WIDTH_MAX];
    for (size_t i = 0; i < ids.len / ID_LEN; i++) {
        struct chunk_id id = id_at(ids, i);
        unsigned count = find_holders(splitter, id, holders);
        for (unsigned j = 0; j < count; j++) {
            splitter->counts[holders[j].disk]++;
        }
        flight->deletes[flight->delete_count++] = id;
    }
}

static void save_id(struct flight_leg *leg, struct chunk_id id)
{
    char *to =
        (char *)(uintptr_t)leg->delete_record.payload.ptr + (size_t)leg->delete_count++ * ID_LEN;
    memcpy(to, &id.hi, 8); /* little-endian, as the machine: chunk_store.h */
    memcpy(to + 8, &id.lo, 8);
}

/* One DELETE record a disk with all its ids. */
static void fill_deletes(struct splitter *splitter, char *room)
{
    struct flight *flight = splitter->flight;
    for (uint16_t number = 0; number < splitter->map->disk_count; number++) {
        if (splitter->counts[number] == 0) {
            continue;
        }
        struct pool_disk *disk = flight->view->disks[number];
        if (!pool_disk_is_usable(disk)) {
            splitter->err = GFS_UNREACHABLE; /* it may come back with what was to be deleted */
        }
        struct flight_leg *leg = &flight->legs[leg_of(flight, disk, number)];
        size_t len = (size_t)splitter->counts[number] * ID_LEN;
        leg->delete_record.kind = CHUNK_RECORD_DELETE;
        leg->delete_record.payload = gfs_slice_of(room, len);
        room += len;
        append(leg, &leg->delete_record);
    }
    struct holder holders[2 * POOL_WIDTH_MAX];
    for (uint32_t i = 0; i < flight->delete_count; i++) {
        unsigned count = find_holders(splitter, flight->deletes[i], holders);
        for (unsigned j = 0; j < count; j++) {
            struct pool_disk *disk = flight->view->disks[holders[j].disk];
            save_id(&flight->legs[leg_of(flight, disk, holders[j].disk)], holders[j].fragment);
        }
    }
}

static void split_edit(struct splitter *splitter, const struct chunk_record *record)
{
    struct flight *flight = splitter->flight;
    GFS_ASSERT(record->payload.len <= CHUNK_EDIT_LEN_MAX);
    GFS_ASSERT(record->lsn != 0);
    flight->edits[flight->edit_count++] =
        (struct flight_edit){record->lsn, keep(splitter, record->payload)};
    flight->edit_bytes += record->payload.len;
}

static void split(struct splitter *splitter, const struct chunk_record *records)
{
    for (const struct chunk_record *record = records; record != NULL; record = record->next) {
        switch (record->kind) {
        case CHUNK_RECORD_DATA:
            split_data(splitter, record);
            break;
        case CHUNK_RECORD_PLACE:
            split_place(splitter, record);
            break;
        case CHUNK_RECORD_DELETE:
            split_delete(splitter, record->payload);
            break;
        case CHUNK_RECORD_EDIT:
            split_edit(splitter, record);
            break;
        case CHUNK_RECORD_GONE:
            break; /* pool_flight_new has seen that there is none */
        }
    }
}

struct flight *pool_flight_new(struct pool *pool, struct pool_view *view, struct chunk_group *group,
                               enum gfs_err *ret_err)
{
    struct tally tally = {0};
    tally_records(&tally, view, group->records);
    char *ids = NULL;
    struct splitter splitter = {.map = view->map};
    struct flight *flight = allocate(&tally, &ids, &splitter.bytes);
    const char *end = splitter.bytes + tally.bytes;
    flight->pool = pool;
    flight->group = group;
    flight->view = view;
    flight->state = FLIGHT_WRITING;
    flight->references = 1;
    flight->submitted_ns = gfs_monotonic_ns();
    splitter.flight = flight;
    split(&splitter, group->records);
    if (flight->delete_count != 0) {
        fill_deletes(&splitter, ids);
    }
    GFS_ASSERT(splitter.bytes <= end);
    GFS_ASSERT(flight->leg_count <= tally.legs);
    *ret_err = splitter.err;
    return flight;
}

void pool_flight_free(struct flight *flight)
{
    GFS_ASSERT(flight->references == 0 && flight->owed == 0);
    for (uint32_t i = 0; i < flight->leg_count; i++) {
        if (flight->legs[i].disk != NULL) {
            pool_disk_unref(flight->legs[i].disk);
        }
    }
    for (uint32_t i = 0; i < flight->item_count; i++) {
        free(flight->items[i].encoded);
        if (flight->items[i].bulk != NULL) {
            pool_bulk_release(flight->items[i].bulk);
        }
    }
    GFS_ASSERT(flight->view == NULL);
    free(flight);
}

void pool_flight_unref_locked(struct pool_submit *submit, struct flight *flight)
{
    GFS_ASSERT(flight->references > 0);
    if (--flight->references == 0) {
        flight->outside = submit->outside.garbage;
        submit->outside.garbage = flight;
    }
}
