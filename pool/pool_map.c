/* The map as a value: memory, profiles, invariants, quorum. */
#include "pool/pool_map.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { EC_CELLS_MAX = POOL_WIDTH_MAX - 1 };

unsigned pool_profile_quorum(struct pool_profile profile)
{
    return profile.kind == POOL_EC ? profile.k + 1U : pool_profile_width(profile) / 2 + 1;
}

struct pool_profile pool_profile_small(struct pool_profile profile)
{
    unsigned copies = GFS_MIN(profile.m + 1U, (unsigned)POOL_COPIES_MAX);
    return (struct pool_profile){.kind = POOL_REPLICA, .k = 1, .m = (uint8_t)(copies - 1)};
}

static bool is_profile(struct pool_profile profile)
{
    if (profile.kind == POOL_REPLICA) {
        return profile.k == 1 && profile.m < POOL_COPIES_MAX;
    }
    return profile.kind == POOL_EC && profile.k >= 1 && profile.m >= 1 &&
           pool_profile_width(profile) <= POOL_WIDTH_MAX;
}

static bool take_number(struct gfs_slice text, uint64_t max, uint8_t *ret)
{
    uint64_t value;
    bool has_zero = text.len != 0 && text.ptr[0] == '0';
    if (has_zero || gfs_parse_u64(text, max, &value) != GFS_OK) {
        return false;
    }
    *ret = (uint8_t)value;
    return true;
}

static struct gfs_slice behind(struct gfs_slice text, size_t len)
{
    return gfs_slice_of(text.ptr + len, text.len - len);
}

static bool parse_ec(struct gfs_slice numbers, struct pool_profile *ret)
{
    const char *plus = numbers.len == 0 ? NULL : memchr(numbers.ptr, '+', numbers.len);
    if (plus == NULL) {
        return false;
    }
    size_t len = (size_t)(plus - numbers.ptr);
    ret->kind = POOL_EC;
    return take_number(gfs_slice_of(numbers.ptr, len), EC_CELLS_MAX, &ret->k) &&
           take_number(behind(numbers, len + 1), EC_CELLS_MAX, &ret->m);
}

enum gfs_err pool_profile_parse(struct gfs_slice text, struct pool_profile *ret,
                                struct gfs_error *error)
{
    const struct gfs_slice copies = GFS_SLICE_LITERAL("replica:"), cells = GFS_SLICE_LITERAL("ec:");
    struct pool_profile profile = {0};
    bool is_good = false;
    if (gfs_slice_starts(text, copies)) {
        profile = (struct pool_profile){.kind = POOL_REPLICA, .k = 1};
        is_good = take_number(behind(text, copies.len), POOL_COPIES_MAX, &profile.m);
        profile.m--;
    } else if (gfs_slice_starts(text, cells)) {
        is_good = parse_ec(behind(text, cells.len), &profile);
    }
    if (!is_good || !is_profile(profile)) {
        return gfs_fail(error, GFS_INVALID,
                        "\"%.*s\" is no profile: it is replica:N (N 1 to %d) or ec:K+M (K and M at "
                        "least 1, together at most %d)",
                        (int)GFS_MIN(text.len, (size_t)40), text.len == 0 ? "" : text.ptr,
                        POOL_COPIES_MAX, POOL_WIDTH_MAX);
    }
    *ret = profile;
    return GFS_OK;
}

void pool_profile_format(struct pool_profile profile, char ret[POOL_PROFILE_TEXT_SIZE])
{
    if (profile.kind == POOL_EC) {
        (void)snprintf(ret, POOL_PROFILE_TEXT_SIZE, "ec:%u+%u", profile.k, profile.m);
    } else {
        (void)snprintf(ret, POOL_PROFILE_TEXT_SIZE, "replica:%u", profile.m + 1U);
    }
}

struct pool_map *pool_map_new(const char *cluster)
{
    struct pool_map *map = gfs_alloc(sizeof *map);
    map->version = 1;
    (void)snprintf(map->cluster, sizeof map->cluster, "%s", cluster);
    (void)pool_map_add_group(map, (struct pool_profile){.kind = POOL_REPLICA, .k = 1});
    return map;
}

/* Arrays have room for the next power of two, so their size need not be kept. */
static size_t room_for(uint32_t count)
{
    size_t room = 1;
    while (room < count) {
        room *= 2;
    }
    return room;
}

struct pool_map *pool_map_copy(const struct pool_map *map)
{
    struct pool_map *copy = gfs_alloc(sizeof *copy);
    *copy = *map;
    copy->disks = gfs_alloc_array(room_for(map->disk_count), sizeof *copy->disks);
    if (map->disk_count != 0) {
        memcpy(copy->disks, map->disks, map->disk_count * sizeof *copy->disks);
    }
    copy->groups = gfs_alloc_array(room_for(map->group_count), sizeof *copy->groups);
    for (uint32_t i = 0; i < map->group_count; i++) {
        copy->groups[i].profile = map->groups[i].profile;
        copy->groups[i].slots = gfs_alloc_array(POOL_WIDTH_MAX, sizeof(struct pool_slot));
        memcpy(copy->groups[i].slots, map->groups[i].slots,
               POOL_WIDTH_MAX * sizeof(struct pool_slot));
    }
    return copy;
}

void pool_map_free(struct pool_map *map)
{
    if (map == NULL) {
        return;
    }
    for (uint32_t i = 0; i < map->group_count; i++) {
        free(map->groups[i].slots);
    }
    free(map->groups);
    free(map->disks);
    free(map);
}

uint16_t pool_map_add_disk(struct pool_map *map, const struct pool_map_disk *disk)
{
    GFS_ASSERT(map->disk_count < POOL_DISKS_MAX);
    struct pool_map_disk added = *disk; /* it may lie in the array */
    map->disks = gfs_realloc(map->disks, room_for(map->disk_count + 1) * sizeof *map->disks);
    map->disks[map->disk_count] = added;
    return (uint16_t)map->disk_count++;
}

uint32_t pool_map_add_group(struct pool_map *map, struct pool_profile profile)
{
    GFS_ASSERT(map->group_count < POOL_GROUPS_MAX);
    GFS_ASSERT(is_profile(profile));
    map->groups = gfs_realloc(map->groups, room_for(map->group_count + 1) * sizeof *map->groups);
    struct pool_group *group = &map->groups[map->group_count];
    group->profile = profile;
    group->slots = gfs_alloc_array(POOL_WIDTH_MAX, sizeof *group->slots);
    for (unsigned i = 0; i < POOL_WIDTH_MAX; i++) {
        group->slots[i] = (struct pool_slot){.disk = POOL_NO_DISK, .from = POOL_NO_DISK};
    }
    return map->group_count++;
}

static bool is_visible(const char *text, size_t size)
{
    size_t len = strnlen(text, size);
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return len != 0 && len < size;
}

static bool is_path(const struct pool_map_disk *disk)
{
    size_t len = strnlen(disk->path, sizeof disk->path);
    bool may_be_empty = disk->state == POOL_DISK_FAILED || disk->state == POOL_DISK_REMOVED;
    return len < sizeof disk->path && (len != 0 || may_be_empty) &&
           gfs_is_utf8(gfs_slice_of(disk->path, len));
}

static enum gfs_err check_disks(const struct pool_map *map, struct gfs_error *error)
{
    if (map->disk_count == 0 || map->disk_count > POOL_DISKS_MAX) {
        return gfs_fail(error, GFS_INVALID, "it has %u disks", map->disk_count);
    }
    for (uint32_t i = 0; i < map->disk_count; i++) {
        const struct pool_map_disk *disk = &map->disks[i];
        if (disk->state < POOL_DISK_ACTIVE || disk->state > POOL_DISK_REMOVED) {
            return gfs_fail(error, GFS_INVALID, "disk %u has no valid state", i);
        }
        if (!is_path(disk)) {
            return gfs_fail(error, GFS_INVALID, "disk %u: its path is empty, too long or not UTF-8",
                            i);
        }
        if (disk->capacity > INT64_MAX || disk->reserved > INT64_MAX) {
            return gfs_fail(error, GFS_INVALID, "disk %u: its size is out of range", i);
        }
        if (disk->seen_version > map->version) {
            return gfs_fail(error, GFS_INVALID, "disk %u has seen a later version", i);
        }
        if (pool_map_find_disk(map, disk->id) != i) {
            return gfs_fail(error, GFS_INVALID, "disk %u: its id is that of another one", i);
        }
    }
    return GFS_OK;
}

static enum gfs_err check_classes(const struct pool_map *map, struct gfs_error *error)
{
    if (map->class_count == 0 || map->class_count > POOL_CLASSES_MAX ||
        strcmp(map->classes[0].name, "STANDARD") != 0) {
        return gfs_fail(error, GFS_INVALID,
                        "the first class is not STANDARD, or there are too many");
    }
    for (uint32_t i = 0; i < map->class_count; i++) {
        const struct pool_class *class = &map->classes[i];
        if (!is_visible(class->name, sizeof class->name) || !is_profile(class->profile)) {
            return gfs_fail(error, GFS_INVALID, "class %u has no valid name or profile", i);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(class->name, map->classes[j].name) == 0) {
                return gfs_fail(error, GFS_INVALID, "there are two classes %s", class->name);
            }
        }
    }
    return GFS_OK;
}

static bool is_disk(const struct pool_map *map, uint16_t number)
{
    return number < map->disk_count && map->disks[number].state != POOL_DISK_REMOVED;
}

static enum gfs_err check_group(const struct pool_map *map, uint32_t number,
                                struct gfs_error *error)
{
    const struct pool_group *group = &map->groups[number];
    if (!is_profile(group->profile)) {
        return gfs_fail(error, GFS_INVALID, "group %u has no valid profile", number);
    }
    bool has[POOL_DISKS_MAX] = {0}, had[POOL_DISKS_MAX] = {0};
    unsigned width = pool_profile_width(group->profile);
    for (unsigned i = 0; i < width; i++) {
        struct pool_slot slot = group->slots[i];
        bool has_from = slot.from != POOL_NO_DISK;
        if (!is_disk(map, slot.disk) || (has_from && !is_disk(map, slot.from))) {
            return gfs_fail(error, GFS_INVALID, "group %u slot %u names no disk", number, i);
        }
        if (has[slot.disk] || (has_from && (had[slot.from] || slot.from == slot.disk))) {
            return gfs_fail(error, GFS_INVALID, "group %u slot %u names a disk twice", number, i);
        }
        if (has_from && !slot.is_filling) {
            return gfs_fail(error, GFS_INVALID, "group %u slot %u moves, and is not filling",
                            number, i);
        }
        has[slot.disk] = true;
        if (has_from) {
            had[slot.from] = true;
        }
    }
    return GFS_OK;
}

static enum gfs_err check_groups(const struct pool_map *map, struct gfs_error *error)
{
    if (map->group_count == 0 || map->group_count > POOL_GROUPS_MAX) {
        return gfs_fail(error, GFS_INVALID, "it has %u groups", map->group_count);
    }
    if (map->groups[0].profile.kind != POOL_REPLICA) {
        return gfs_fail(error, GFS_INVALID, "group 0 does not keep copies");
    }
    for (uint32_t i = 0; i < map->group_count; i++) {
        enum gfs_err err = check_group(map, i, error);
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

static enum gfs_err check_log_disks(const struct pool_map *map, struct gfs_error *error)
{
    if (map->log_disk_count > POOL_LOG_DISKS) {
        return gfs_fail(error, GFS_INVALID, "it has %u log disks", map->log_disk_count);
    }
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        struct pool_log_disk log = map->log_disks[i];
        if (!is_disk(map, log.disk)) {
            return gfs_fail(error, GFS_INVALID, "log disk %u names no disk", i);
        }
        if (log.is_in_sync && map->disks[log.disk].state == POOL_DISK_FAILED) {
            return gfs_fail(error, GFS_INVALID, "log disk %u is in sync, and failed", i);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (log.disk == map->log_disks[j].disk) {
                return gfs_fail(error, GFS_INVALID, "log disks %u and %u are the same", j, i);
            }
        }
    }
    return GFS_OK;
}

enum gfs_err pool_map_check(const struct pool_map *map, struct gfs_error *error)
{
    if (map->version == 0 || map->version > INT64_MAX || map->promised > INT64_MAX ||
        map->epoch > map->promised) {
        return gfs_fail(error, GFS_INVALID, "its version or epoch is out of range");
    }
    if (map->lsn_floor > INT64_MAX) {
        return gfs_fail(error, GFS_INVALID, "the number of its first edit is out of range");
    }
    if (map->before_version >= map->version || map->before_epoch > map->epoch) {
        return gfs_fail(error, GFS_INVALID, "it follows a later version");
    }
    if (!is_visible(map->cluster, sizeof map->cluster)) {
        return gfs_fail(error, GFS_INVALID, "it has no valid cluster");
    }
    enum gfs_err err = check_disks(map, error);
    if (err == GFS_OK) {
        err = check_classes(map, error);
    }
    if (err == GFS_OK) {
        err = check_groups(map, error);
    }
    return err == GFS_OK ? check_log_disks(map, error) : err;
}

const char *pool_map_state_text(enum pool_disk_state state)
{
    switch (state) {
    case POOL_DISK_ACTIVE:
        return "active";
    case POOL_DISK_DRAINING:
        return "draining";
    case POOL_DISK_FAILED:
        return "failed";
    case POOL_DISK_REMOVED:
        break;
    }
    return "removed";
}

uint16_t pool_map_find_disk(const struct pool_map *map, const uint8_t id[16])
{
    for (uint32_t i = 0; i < map->disk_count; i++) {
        if (memcmp(map->disks[i].id, id, sizeof map->disks[i].id) == 0) {
            return (uint16_t)i;
        }
    }
    return POOL_NO_DISK;
}

/* ---- votes ---- */

static bool had_vote(const struct pool_map_disk *disk)
{
    return disk->had_vote;
}

static bool is_quorum(const struct pool_map *map, const bool *present,
                      bool (*votes)(const struct pool_map_disk *disk))
{
    uint32_t all = 0, there = 0;
    bool has_first = false;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        if (votes(&map->disks[i])) {
            has_first |= all == 0 && present[i];
            there += present[i] ? 1 : 0;
            all++;
        }
    }
    return there * 2 > all || (there != 0 && there * 2 == all && has_first);
}

bool pool_map_is_quorum(const struct pool_map *map, const bool *present)
{
    return is_quorum(map, present, pool_map_disk_is_in_use);
}

bool pool_map_is_joint_quorum(const struct pool_map *map, const bool *present)
{
    return is_quorum(map, present, pool_map_disk_is_in_use) && is_quorum(map, present, had_vote);
}

enum gfs_err pool_map_tell_missing(const struct pool_map *map, const bool *present,
                                   struct gfs_error *error)
{
    uint32_t all = 0, there = 0;
    char missing[160] = "";
    for (uint32_t i = 0; i < map->disk_count; i++) {
        const struct pool_map_disk *disk = &map->disks[i];
        if (!pool_map_disk_is_in_use(disk) && !had_vote(disk)) {
            continue;
        }
        size_t len = strlen(missing);
        all++;
        there += present[i] ? 1 : 0;
        if (!present[i] && len + 1 < sizeof missing) {
            (void)snprintf(missing + len, sizeof missing - len, "%s%u (%.60s)",
                           len == 0 ? "" : ", ", i, disk->path);
        }
    }
    return gfs_fail(error, GFS_UNREACHABLE, "%u of %u disks are there, too few; missing: %s", there,
                    all, missing);
}

bool pool_map_is_newer(const struct pool_map *map, const struct pool_map *than)
{
    if (than == NULL || map->epoch != than->epoch) {
        return than == NULL || map->epoch > than->epoch;
    }
    return map->version > than->version;
}

void pool_map_follow(struct pool_map *map, const struct pool_map *last)
{
    map->before_version = last == NULL ? 0 : last->version;
    map->before_epoch = last == NULL ? 0 : last->epoch;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        struct pool_map_disk *disk = &map->disks[i];
        bool is_known = last != NULL && i < last->disk_count;
        disk->had_vote = last == NULL ? pool_map_disk_is_in_use(disk)
                                      : is_known && pool_map_disk_is_in_use(&last->disks[i]);
    }
}

bool pool_map_has_same_votes(const struct pool_map *map)
{
    bool is_same = true;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        is_same = is_same && pool_map_disk_is_in_use(&map->disks[i]) == had_vote(&map->disks[i]);
    }
    return is_same;
}
