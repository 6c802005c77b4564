/* What to make of the directories found at a start, all of them together.
 *
 * Who is who is decided by ids. What rules is the newest map (pool_map_is_newer).
 *
 * A disk whose own map is not the newest:
 *  - older than what the others know to have been durable on it: an older copy of itself. Refused:
 *    what it holds is a past, in which it may have what was deleted and lack what was written.
 *  - the one that the newest followed, in use by both: the newest was being written when all
 *    stopped. Nothing was acknowledged under it, or the map itself says what the disk lacks. As if
 *    it had it.
 *  - else it was away.
 *
 * A disk whose map is damaged may have had a newer one than those found. So it counts for a quorum
 * only when no disk is missing besides: then there is nobody who could go on without it. */
#include <stdio.h>

#include "libgoodfs/mem.h"
#include "pool/pool_map_file.h"

/* What is known of all together. */
struct inquest {
    const struct pool_found *found;
    uint32_t count;
    char cluster[GFS_IDENTITY_ID_SIZE]; /* the one that is right; empty = nobody has one */
    const struct pool_map *map;         /* the newest; NULL = none */
    uint32_t store_count;               /* stores without a map that may have data */
};

static bool is_fresh(const struct pool_found *found)
{
    return found->is_empty || found->is_begun;
}

/* ---- what rules ---- */

static bool is_of(const struct pool_found *found, const char *cluster)
{
    return found->has_identity && strcmp(found->cluster, cluster) == 0;
}

/* The cluster of most disks that have a map; without maps, of most stores. */
static void choose_cluster(struct inquest *inquest)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < inquest->count; i++) {
        const struct pool_found *one = &inquest->found[i];
        uint32_t votes = 0;
        for (uint32_t j = 0; j < inquest->count && one->has_identity; j++) {
            const struct pool_found *other = &inquest->found[j];
            uint32_t weight = other->map != NULL ? POOL_DISKS_MAX * 2 : other->is_begun ? 1 : 2;
            votes += is_of(other, one->cluster) ? weight : 0;
        }
        if (votes > best) {
            best = votes;
            (void)snprintf(inquest->cluster, sizeof inquest->cluster, "%s", one->cluster);
        }
    }
}

static bool is_usable_map(const struct inquest *inquest, const struct pool_found *found)
{
    return found->map != NULL && is_of(found, inquest->cluster) &&
           strcmp(found->map->cluster, inquest->cluster) == 0;
}

static void choose_map(struct inquest *inquest)
{
    for (uint32_t i = 0; i < inquest->count; i++) {
        const struct pool_found *found = &inquest->found[i];
        if (is_usable_map(inquest, found) && pool_map_is_newer(found->map, inquest->map)) {
            inquest->map = found->map;
        }
    }
}

static void count_stores(struct inquest *inquest)
{
    for (uint32_t i = 0; i < inquest->count; i++) {
        const struct pool_found *found = &inquest->found[i];
        bool is_store = found->has_identity && found->map == NULL && !is_fresh(found);
        inquest->store_count += is_store && is_of(found, inquest->cluster) ? 1 : 0;
    }
}

/* ---- one by one ---- */

/* Paths are compared without the slashes at their ends. */
static bool is_same_path(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    while (a_len > 1 && a[a_len - 1] == '/') {
        a_len--;
    }
    while (b_len > 1 && b[b_len - 1] == '/') {
        b_len--;
    }
    return gfs_slice_eq(gfs_slice_of(a, a_len), gfs_slice_of(b, b_len));
}

static bool is_found_anywhere(const struct inquest *inquest, const uint8_t id[16])
{
    for (uint32_t i = 0; i < inquest->count; i++) {
        const struct pool_found *found = &inquest->found[i];
        if (is_of(found, inquest->cluster) && memcmp(found->id, id, 16) == 0) {
            return true;
        }
    }
    return false;
}

/* The disk of the map whose place this is and that was found nowhere; one that is in use before one
 * that failed. */
static uint16_t place_of(const struct inquest *inquest, const char *path)
{
    uint16_t failed = POOL_NO_DISK;
    for (uint16_t i = 0; inquest->map != NULL && i < inquest->map->disk_count; i++) {
        const struct pool_map_disk *disk = &inquest->map->disks[i];
        bool is_its = disk->state != POOL_DISK_REMOVED && is_same_path(disk->path, path) &&
                      !is_found_anywhere(inquest, disk->id);
        if (is_its && disk->state != POOL_DISK_FAILED) {
            return i;
        }
        failed = is_its ? i : failed;
    }
    return failed;
}

static struct pool_admitted answer(enum pool_admission what, uint16_t number)
{
    return (struct pool_admitted){.what = what, .number = number};
}

__attribute__((format(printf, 2, 3))) static struct pool_admitted refuse(enum gfs_err err,
                                                                         const char *format, ...)
{
    struct pool_admitted refused = answer(POOL_ADMIT_REFUSED, POOL_NO_DISK);
    va_list args;
    va_start(args, format);
    refused.error.code = err;
    (void)vsnprintf(refused.error.text, sizeof refused.error.text, format, args);
    va_end(args);
    return refused;
}

static struct pool_admitted miss(const struct pool_found *found, uint16_t number)
{
    struct pool_admitted missing = answer(POOL_ADMIT_MISSING, number);
    missing.error = found->error;
    return missing;
}

static struct pool_admitted judge_nothing(const struct inquest *inquest,
                                          const struct pool_found *found)
{
    if (inquest->map != NULL) {
        return miss(found, place_of(inquest, found->path));
    }
    if (found->error.code == GFS_NOT_FOUND) {
        return answer(POOL_ADMIT_NEW, POOL_NO_DISK);
    }
    return refuse(found->error.code, "%s", found->error.text);
}

static struct pool_admitted judge_fresh(const struct inquest *inquest,
                                        const struct pool_found *found)
{
    uint16_t number = place_of(inquest, found->path);
    if (inquest->map == NULL || number == POOL_NO_DISK) {
        return answer(POOL_ADMIT_NEW, POOL_NO_DISK);
    }
    if (inquest->map->disks[number].is_mount && !found->is_mount) {
        struct pool_admitted missing = answer(POOL_ADMIT_MISSING, number);
        (void)gfs_fail(&missing.error, GFS_NOT_FOUND,
                       "%.120s is empty and no mount point, and disk %u was mounted there: is it "
                       "mounted?",
                       found->path, number);
        return missing;
    }
    return answer(POOL_ADMIT_STEAD, number);
}

/* Neither empty nor a store. */
static struct pool_admitted judge_foreign(const struct inquest *inquest,
                                          const struct pool_found *found)
{
    uint16_t number = place_of(inquest, found->path);
    if (found->error.code == GFS_OK) {
        return refuse(GFS_CONFLICT,
                      "%.120s holds files of something else and no disk of GoodFS: only an empty "
                      "directory becomes one",
                      found->path);
    }
    bool is_broken = found->error.code != GFS_UNSUPPORTED;
    if (is_broken && number != POOL_NO_DISK) {
        return miss(found, number);
    }
    return refuse(found->error.code, "%s", found->error.text);
}

static const struct pool_found *find_twin(const struct inquest *inquest,
                                          const struct pool_found *found)
{
    for (uint32_t i = 0; i < inquest->count; i++) {
        const struct pool_found *other = &inquest->found[i];
        bool is_same = other == found || is_same_path(other->path, found->path);
        if (!is_same && other->has_identity && memcmp(other->id, found->id, 16) == 0) {
            return other;
        }
    }
    return NULL;
}

/* The newest version that anybody knows to have been durable on the disk. */
static uint64_t seen_by_all(const struct inquest *inquest, const uint8_t id[16])
{
    uint64_t seen = 0;
    for (uint32_t i = 0; i < inquest->count; i++) {
        const struct pool_found *found = &inquest->found[i];
        if (is_usable_map(inquest, found)) {
            uint16_t number = pool_map_find_disk(found->map, id);
            uint64_t told = number == POOL_NO_DISK ? 0 : found->map->disks[number].seen_version;
            seen = GFS_MAX(seen, told);
        }
    }
    return seen;
}

static bool is_in_use(const struct pool_map *map, uint16_t number)
{
    return number < map->disk_count && pool_map_disk_is_in_use(&map->disks[number]);
}

/* A disk of the map, there once. */
static struct pool_admitted judge_known(const struct inquest *inquest,
                                        const struct pool_found *found, uint16_t number)
{
    const struct pool_map *map = inquest->map;
    if (map->disks[number].state == POOL_DISK_REMOVED) {
        return answer(POOL_ADMIT_RETIRED, number);
    }
    if (found->map == NULL && found->error.code != GFS_OK) {
        if (found->error.code == GFS_UNSUPPORTED) {
            return refuse(found->error.code, "%s", found->error.text);
        }
        /* A damaged map: how old the disk is cannot be told, so it is compared with the others. */
        return found->error.code == GFS_CORRUPT ? answer(POOL_ADMIT_AWAY, number)
                                                : miss(found, number);
    }
    uint64_t own = found->map == NULL ? 0 : found->map->version;
    uint64_t seen = seen_by_all(inquest, found->id);
    if (own < seen) {
        return refuse(GFS_CONFLICT,
                      "%.100s is an older copy of disk %u: its map is version %llu, and the disk "
                      "had version %llu already",
                      found->path, number, (unsigned long long)own, (unsigned long long)seen);
    }
    uint64_t own_epoch = found->map == NULL ? 0 : found->map->epoch;
    bool has_newest = own == map->version && own_epoch == map->epoch;
    bool has_last = own == map->before_version && own_epoch == map->before_epoch &&
                    (own == 0 ? found->is_begun : is_in_use(found->map, number));
    bool is_current = is_in_use(map, number) && (has_newest || has_last);
    return answer(is_current ? POOL_ADMIT_KNOWN : POOL_ADMIT_AWAY, number);
}

static struct pool_admitted judge_store(const struct inquest *inquest,
                                        const struct pool_found *found)
{
    if (!is_of(found, inquest->cluster)) {
        return refuse(GFS_CONFLICT, "%.100s belongs to cluster %s, not to %s", found->path,
                      found->cluster, inquest->cluster);
    }
    if (found->map != NULL && strcmp(found->map->cluster, found->cluster) != 0) {
        return refuse(GFS_CONFLICT, "%.100s: its identity says cluster %s, its map %s", found->path,
                      found->cluster, found->map->cluster);
    }
    const struct pool_found *twin = find_twin(inquest, found);
    if (twin != NULL) {
        return refuse(GFS_CONFLICT,
                      "%.90s and %.90s have the same disk id: one is a copy of the other, take it "
                      "away",
                      found->path, twin->path);
    }
    uint16_t number =
        inquest->map == NULL ? POOL_NO_DISK : pool_map_find_disk(inquest->map, found->id);
    if (number != POOL_NO_DISK) {
        return judge_known(inquest, found, number);
    }
    if (is_fresh(found)) {
        return judge_fresh(inquest, found);
    }
    if (found->error.code != GFS_OK) {
        return refuse(found->error.code, "%s", found->error.text);
    }
    if (inquest->map != NULL) {
        return refuse(GFS_CONFLICT,
                      "%.120s holds a store with data that is no disk of this pool: use an empty "
                      "directory",
                      found->path);
    }
    if (inquest->store_count > 1) {
        return refuse(GFS_CONFLICT,
                      "%.120s is one of %u stores without a pool: a pool begins with one store at "
                      "most",
                      found->path, inquest->store_count);
    }
    return answer(POOL_ADMIT_FIRST, POOL_NO_DISK);
}

static struct pool_admitted judge(const struct inquest *inquest, uint32_t index)
{
    const struct pool_found *found = &inquest->found[index];
    for (uint32_t i = 0; i < index; i++) {
        if (is_same_path(found->path, inquest->found[i].path)) {
            return refuse(GFS_CONFLICT, "%.120s is given twice", found->path);
        }
    }
    if (found->is_missing) {
        return judge_nothing(inquest, found);
    }
    if (found->has_identity) {
        return judge_store(inquest, found);
    }
    return is_fresh(found) ? judge_fresh(inquest, found) : judge_foreign(inquest, found);
}

/* ---- together ---- */

/* present: by number; has_map: those of them whose map can be read, or who never had one. */
static enum gfs_err check_quorum(const struct pool_map *map, const bool *present,
                                 const bool *has_map, struct gfs_error *error)
{
    bool is_any_missing = false;
    for (uint16_t i = 0; i < map->disk_count; i++) {
        is_any_missing |= !present[i] && (is_in_use(map, i) || map->disks[i].had_vote);
    }
    const bool *counted = is_any_missing ? has_map : present;
    return pool_map_is_joint_quorum(map, counted) ? GFS_OK
                                                  : pool_map_tell_missing(map, counted, error);
}

static enum gfs_err judge_all(const struct inquest *inquest, struct pool_admitted *ret,
                              struct gfs_error *error)
{
    bool present[POOL_DISKS_MAX] = {0}, has_map[POOL_DISKS_MAX] = {0};
    const struct pool_admitted *refused = NULL;
    for (uint32_t i = 0; i < inquest->count; i++) {
        ret[i] = judge(inquest, i);
        if (ret[i].what == POOL_ADMIT_KNOWN || ret[i].what == POOL_ADMIT_AWAY) {
            present[ret[i].number] = true;
            has_map[ret[i].number] = inquest->found[i].error.code == GFS_OK;
        }
        refused = refused == NULL && ret[i].what == POOL_ADMIT_REFUSED ? &ret[i] : refused;
    }
    if (refused != NULL) {
        return gfs_fail(error, GFS_CONFLICT, "%s", refused->error.text);
    }
    return inquest->map == NULL ? GFS_OK : check_quorum(inquest->map, present, has_map, error);
}

enum gfs_err pool_admit(const struct pool_found *found, uint32_t count, struct pool_admitted *ret,
                        const struct pool_map **ret_map, struct gfs_error *error)
{
    struct inquest inquest = {.found = found, .count = count};
    choose_cluster(&inquest);
    choose_map(&inquest);
    count_stores(&inquest);
    *ret_map = inquest.map;
    return judge_all(&inquest, ret, error);
}
