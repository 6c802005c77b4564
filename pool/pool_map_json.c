/* The map as text: schema/pool-map.md. One object on one line; its last member is the checksum of
 * all bytes before it. The text comes from a disk: everything is checked. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/crc.h"
#include "libgoodfs/json.h"
#include "libgoodfs/json_out.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"
#include "pool/pool_map.h"

enum { MAP_FORMAT = 1, MAP_MEMBERS = 12, CRC_TEXT_SIZE = 40 };

static const enum pool_disk_state disk_states[] = {POOL_DISK_ACTIVE, POOL_DISK_DRAINING,
                                                   POOL_DISK_FAILED, POOL_DISK_REMOVED};

/* The end of the text: the last member, which holds the checksum of what is before it. */
static void crc_text(struct gfs_slice before, char ret[CRC_TEXT_SIZE])
{
    uint64_t crc = gfs_crc64nvme(0, before.ptr, before.len);
    (void)snprintf(ret, CRC_TEXT_SIZE, ",\"crc64nvme\":\"%016llx\"}\n", (unsigned long long)crc);
}

/* ---- out ---- */

static void encode_disk(const struct pool_map_disk *disk, struct gfs_json_out *json)
{
    char id[GFS_IDENTITY_ID_SIZE];
    gfs_uuid_format(disk->id, id);
    gfs_json_out_object(json, NULL);
    gfs_json_out_text(json, "id", id);
    gfs_json_out_text(json, "path", disk->path);
    gfs_json_out_text(json, "state", pool_map_state_text(disk->state));
    gfs_json_out_bool(json, "behind", disk->is_behind);
    gfs_json_out_bool(json, "read_only", disk->is_read_only);
    gfs_json_out_bool(json, "full", disk->is_full);
    gfs_json_out_bool(json, "mount", disk->is_mount);
    gfs_json_out_u64(json, "capacity", disk->capacity);
    gfs_json_out_u64(json, "reserved", disk->reserved);
    gfs_json_out_bool(json, "had_vote", disk->had_vote);
    gfs_json_out_u64(json, "seen", disk->seen_version);
    gfs_json_out_end_object(json);
}

static void encode_profile(struct pool_profile profile, struct gfs_json_out *json)
{
    char text[POOL_PROFILE_TEXT_SIZE];
    pool_profile_format(profile, text);
    gfs_json_out_text(json, "profile", text);
}

static void encode_group(const struct pool_group *group, struct gfs_json_out *json)
{
    gfs_json_out_object(json, NULL);
    encode_profile(group->profile, json);
    gfs_json_out_array(json, "slots");
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        struct pool_slot slot = group->slots[i];
        if (!slot.is_filling) {
            gfs_json_out_u64(json, NULL, slot.disk);
            continue;
        }
        gfs_json_out_array(json, NULL);
        gfs_json_out_u64(json, NULL, slot.disk);
        if (slot.from != POOL_NO_DISK) {
            gfs_json_out_u64(json, NULL, slot.from);
        }
        gfs_json_out_end_array(json);
    }
    gfs_json_out_end_array(json);
    gfs_json_out_end_object(json);
}

static void encode_arrays(const struct pool_map *map, struct gfs_json_out *json)
{
    gfs_json_out_array(json, "disks");
    for (uint32_t i = 0; i < map->disk_count; i++) {
        encode_disk(&map->disks[i], json);
    }
    gfs_json_out_end_array(json);
    gfs_json_out_array(json, "classes");
    for (uint32_t i = 0; i < map->class_count; i++) {
        gfs_json_out_object(json, NULL);
        gfs_json_out_text(json, "name", map->classes[i].name);
        encode_profile(map->classes[i].profile, json);
        gfs_json_out_end_object(json);
    }
    gfs_json_out_end_array(json);
    gfs_json_out_array(json, "log_disks");
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        gfs_json_out_object(json, NULL);
        gfs_json_out_u64(json, "disk", map->log_disks[i].disk);
        gfs_json_out_bool(json, "in_sync", map->log_disks[i].is_in_sync);
        gfs_json_out_end_object(json);
    }
    gfs_json_out_end_array(json);
    gfs_json_out_array(json, "groups");
    for (uint32_t i = 0; i < map->group_count; i++) {
        encode_group(&map->groups[i], json);
    }
    gfs_json_out_end_array(json);
}

void pool_map_encode(const struct pool_map *map, struct gfs_buf *out)
{
    size_t start = out->len;
    struct gfs_json_out json;
    gfs_json_out_init(&json, out);
    gfs_json_out_object(&json, NULL);
    gfs_json_out_u64(&json, "format", MAP_FORMAT);
    gfs_json_out_text(&json, "cluster", map->cluster);
    gfs_json_out_u64(&json, "version", map->version);
    gfs_json_out_u64(&json, "epoch", map->epoch);
    gfs_json_out_u64(&json, "promised", map->promised);
    gfs_json_out_u64(&json, "before_version", map->before_version);
    gfs_json_out_u64(&json, "before_epoch", map->before_epoch);
    if (map->is_rebalancing) {
        gfs_json_out_bool(&json, "rebalancing", true);
    }
    if (map->lsn_floor != 0) {
        gfs_json_out_u64(&json, "lsn_floor", map->lsn_floor);
    }
    encode_arrays(map, &json);
    if (out->is_full) {
        return;
    }
    char crc[CRC_TEXT_SIZE];
    crc_text(gfs_slice_of(out->ptr + start, out->len - start), crc);
    gfs_buf_add_str(out, crc); /* which closes the object */
}

/* ---- in ---- */

static bool take_u64(const struct gfs_json *value, uint64_t max, uint64_t *ret)
{
    int64_t number;
    if (value == NULL || !gfs_json_integer(value, &number) || number < 0 ||
        (uint64_t)number > max) {
        return false;
    }
    *ret = (uint64_t)number;
    return true;
}

static bool take_bool(const struct gfs_json *value, bool *ret)
{
    enum gfs_json_type type = value == NULL ? GFS_JSON_NULL : gfs_json_type(value);
    *ret = type == GFS_JSON_TRUE;
    return type == GFS_JSON_TRUE || type == GFS_JSON_FALSE;
}

/* A string that fits size with its NUL; it has no NUL inside (json.h). */
static bool take_text(const struct gfs_json *value, char *ret, size_t size)
{
    struct gfs_slice text = gfs_json_string(value);
    if (text.ptr == NULL || text.len >= size) {
        return false;
    }
    memcpy(ret, text.ptr, text.len);
    ret[text.len] = '\0';
    return true;
}

static bool take_profile(const struct gfs_json *value, struct pool_profile *ret)
{
    return pool_profile_parse(gfs_json_string(value), ret, NULL) == GFS_OK;
}

static bool take_state(const struct gfs_json *value, enum pool_disk_state *ret)
{
    struct gfs_slice text = gfs_json_string(value);
    for (size_t i = 0; text.ptr != NULL && i < GFS_COUNT(disk_states); i++) {
        if (gfs_slice_eq_str(text, pool_map_state_text(disk_states[i]))) {
            *ret = disk_states[i];
            return true;
        }
    }
    return false;
}

/* An array of at most `max` values; NULL when it is something else. */
static const struct gfs_json *take_array(const struct gfs_json *object, const char *name,
                                         uint32_t max, uint32_t *ret_count)
{
    const struct gfs_json *array = gfs_json_get(object, name);
    if (array == NULL || gfs_json_type(array) != GFS_JSON_ARRAY || gfs_json_count(array) > max) {
        return NULL;
    }
    *ret_count = (uint32_t)gfs_json_count(array);
    return array;
}

static bool decode_disk(const struct gfs_json *value, struct pool_map_disk *ret)
{
    return gfs_json_count(value) == 11 &&
           gfs_uuid_parse(gfs_json_string(gfs_json_get(value, "id")), ret->id) &&
           take_text(gfs_json_get(value, "path"), ret->path, sizeof ret->path) &&
           take_state(gfs_json_get(value, "state"), &ret->state) &&
           take_bool(gfs_json_get(value, "behind"), &ret->is_behind) &&
           take_bool(gfs_json_get(value, "read_only"), &ret->is_read_only) &&
           take_bool(gfs_json_get(value, "full"), &ret->is_full) &&
           take_bool(gfs_json_get(value, "mount"), &ret->is_mount) &&
           take_u64(gfs_json_get(value, "capacity"), INT64_MAX, &ret->capacity) &&
           take_u64(gfs_json_get(value, "reserved"), INT64_MAX, &ret->reserved) &&
           take_bool(gfs_json_get(value, "had_vote"), &ret->had_vote) &&
           take_u64(gfs_json_get(value, "seen"), INT64_MAX, &ret->seen_version);
}

static bool decode_disks(const struct gfs_json *root, struct pool_map *map)
{
    uint32_t count = 0;
    const struct gfs_json *array = take_array(root, "disks", POOL_DISKS_MAX, &count);
    for (uint32_t i = 0; array != NULL && i < count; i++) {
        struct pool_map_disk disk = {0};
        if (!decode_disk(gfs_json_at(array, i), &disk)) {
            return false;
        }
        (void)pool_map_add_disk(map, &disk);
    }
    return array != NULL;
}

static bool decode_classes(const struct gfs_json *root, struct pool_map *map)
{
    const struct gfs_json *array = take_array(root, "classes", POOL_CLASSES_MAX, &map->class_count);
    for (uint32_t i = 0; array != NULL && i < map->class_count; i++) {
        const struct gfs_json *value = gfs_json_at(array, i);
        struct pool_class *class = &map->classes[i];
        if (gfs_json_count(value) != 2 ||
            !take_text(gfs_json_get(value, "name"), class->name, sizeof class->name) ||
            !take_profile(gfs_json_get(value, "profile"), &class->profile)) {
            return false;
        }
    }
    return array != NULL;
}

static bool decode_log_disks(const struct gfs_json *root, struct pool_map *map)
{
    const struct gfs_json *array =
        take_array(root, "log_disks", POOL_LOG_DISKS, &map->log_disk_count);
    for (uint32_t i = 0; array != NULL && i < map->log_disk_count; i++) {
        const struct gfs_json *value = gfs_json_at(array, i);
        uint64_t disk;
        if (gfs_json_count(value) != 2 ||
            !take_u64(gfs_json_get(value, "disk"), POOL_DISKS_MAX - 1, &disk) ||
            !take_bool(gfs_json_get(value, "in_sync"), &map->log_disks[i].is_in_sync)) {
            return false;
        }
        map->log_disks[i].disk = (uint16_t)disk;
    }
    return array != NULL;
}

/* A number; while the slot is being filled an array: disk, and from if there is one. */
static bool decode_slot(const struct gfs_json *value, struct pool_slot *ret)
{
    uint64_t disk, from = POOL_NO_DISK;
    bool is_filling = gfs_json_type(value) == GFS_JSON_ARRAY;
    size_t count = gfs_json_count(value);
    if (!take_u64(is_filling ? gfs_json_at(value, 0) : value, POOL_DISKS_MAX - 1, &disk) ||
        count > 2) {
        return false;
    }
    if (count == 2 && !take_u64(gfs_json_at(value, 1), POOL_DISKS_MAX - 1, &from)) {
        return false;
    }
    *ret = (struct pool_slot){
        .disk = (uint16_t)disk, .from = (uint16_t)from, .is_filling = is_filling};
    return true;
}

static bool decode_group(const struct gfs_json *value, struct pool_map *map)
{
    struct pool_profile profile;
    uint32_t count = 0;
    const struct gfs_json *slots = take_array(value, "slots", POOL_WIDTH_MAX, &count);
    if (gfs_json_count(value) != 2 || slots == NULL ||
        !take_profile(gfs_json_get(value, "profile"), &profile) ||
        count != pool_profile_width(profile)) {
        return false;
    }
    uint32_t number = pool_map_add_group(map, profile);
    for (uint32_t i = 0; i < count; i++) {
        if (!decode_slot(gfs_json_at(slots, i), &map->groups[number].slots[i])) {
            return false;
        }
    }
    return true;
}

static bool decode_groups(const struct gfs_json *root, struct pool_map *map)
{
    uint32_t count = 0;
    const struct gfs_json *array = take_array(root, "groups", POOL_GROUPS_MAX, &count);
    for (uint32_t i = 0; array != NULL && i < count; i++) {
        if (!decode_group(gfs_json_at(array, i), map)) {
            return false;
        }
    }
    return array != NULL;
}

static bool decode_members(const struct gfs_json *root, struct pool_map *map)
{
    const struct gfs_json *rebalancing = gfs_json_get(root, "rebalancing");
    const struct gfs_json *lsn_floor = gfs_json_get(root, "lsn_floor");
    unsigned optional = (rebalancing != NULL ? 1U : 0U) + (lsn_floor != NULL ? 1U : 0U);
    unsigned members = MAP_MEMBERS + optional;
    return gfs_json_count(root) == members &&
           (rebalancing == NULL || take_bool(rebalancing, &map->is_rebalancing)) &&
           (lsn_floor == NULL || take_u64(lsn_floor, INT64_MAX, &map->lsn_floor)) &&
           take_text(gfs_json_get(root, "cluster"), map->cluster, sizeof map->cluster) &&
           take_u64(gfs_json_get(root, "version"), INT64_MAX, &map->version) &&
           take_u64(gfs_json_get(root, "epoch"), INT64_MAX, &map->epoch) &&
           take_u64(gfs_json_get(root, "promised"), INT64_MAX, &map->promised) &&
           take_u64(gfs_json_get(root, "before_version"), INT64_MAX, &map->before_version) &&
           take_u64(gfs_json_get(root, "before_epoch"), INT64_MAX, &map->before_epoch) &&
           decode_disks(root, map) && decode_classes(root, map) && decode_log_disks(root, map) &&
           decode_groups(root, map);
}

static enum gfs_err decode_root(const struct gfs_json *root, struct pool_map **ret,
                                struct gfs_error *error)
{
    uint64_t format;
    if (!take_u64(gfs_json_get(root, "format"), INT64_MAX, &format) || format == 0) {
        return gfs_fail(error, GFS_CORRUPT, "it has no format number");
    }
    if (format != MAP_FORMAT) {
        return gfs_fail(error, GFS_UNSUPPORTED,
                        "format %llu was written by a newer version; this one knows %d",
                        (unsigned long long)format, MAP_FORMAT);
    }
    struct pool_map *map = gfs_alloc(sizeof *map);
    enum gfs_err err = GFS_CORRUPT;
    if (!decode_members(root, map)) {
        err = gfs_fail(error, GFS_CORRUPT, "a member is missing, unknown or out of range");
    } else {
        err = pool_map_check(map, error) == GFS_OK ? GFS_OK : GFS_CORRUPT;
    }
    if (err != GFS_OK) {
        pool_map_free(map);
        return err;
    }
    *ret = map;
    return GFS_OK;
}

/* Exactly what crc_text writes, so that no byte of the text can be another one. */
static bool has_crc(struct gfs_slice text)
{
    char crc[CRC_TEXT_SIZE];
    size_t crc_len = strlen(",\"crc64nvme\":\"\"}\n") + 16;
    if (text.len <= crc_len) {
        return false;
    }
    crc_text(gfs_slice_of(text.ptr, text.len - crc_len), crc);
    return memcmp(text.ptr + text.len - crc_len, crc, crc_len) == 0;
}

enum gfs_err pool_map_decode(struct gfs_slice text, struct pool_map **ret, struct gfs_error *error)
{
    if (text.len > POOL_MAP_TEXT_MAX || !has_crc(text)) {
        return gfs_fail(error, GFS_CORRUPT, "its checksum is wrong, or it is not whole");
    }
    struct gfs_json *root = NULL;
    if (gfs_json_parse(text, &root, error) != GFS_OK) {
        return gfs_wrap(error, GFS_CORRUPT, "its checksum is right, and yet it is no JSON");
    }
    enum gfs_err err = decode_root(root, ret, error);
    gfs_json_free(root);
    if (err == GFS_CORRUPT && error != NULL) {
        error->code = err; /* pool_map_check calls the same thing invalid */
    }
    return err;
}
