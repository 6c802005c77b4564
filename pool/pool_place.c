/* Groups are taken in turn; one whose disks all take writes is preferred to one that lacks some,
 * and none with a full disk is taken at all: what the full disk could not take would have to be
 * repaired for ever. Neither is one with a read-only disk, even if others lack more disks: it gets
 * nothing new. */
#include "pool/pool_place.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_plan.h"

enum { PROFILES_MAX = 64 };

struct table {
    struct pool_profile profile;
    uint32_t *groups;
    uint32_t count;
};

/* Guarded by lock. */
struct pool_place {
    pthread_mutex_t lock;
    uint64_t version; /* of the map the tables are of */
    struct table tables[PROFILES_MAX];
    uint32_t count;
    uint32_t turn;
};

struct pool_place *pool_place_new(void)
{
    struct pool_place *place = gfs_alloc(sizeof *place);
    (void)pthread_mutex_init(&place->lock, NULL);
    return place;
}

static void clear(struct pool_place *place)
{
    for (uint32_t i = 0; i < place->count; i++) {
        free(place->tables[i].groups);
    }
    place->count = 0;
}

void pool_place_free(struct pool_place *place)
{
    if (place != NULL) {
        clear(place);
        (void)pthread_mutex_destroy(&place->lock);
        free(place);
    }
}

/* ---- classes ---- */

/* GFS_INVALID: no such class. */
static enum gfs_err find_profile(const struct pool_map *map, struct gfs_slice name,
                                 struct pool_profile *ret)
{
    for (uint32_t i = 0; i < map->class_count; i++) {
        if (gfs_slice_eq_str(name, map->classes[i].name) || (name.len == 0 && i == 0)) {
            *ret = map->classes[i].profile;
            return GFS_OK;
        }
    }
    return name.len == 0 ? GFS_INVALID : pool_profile_parse(name, ret, NULL);
}

static unsigned count_disks(const struct pool_map *map)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        count += map->disks[i].state == POOL_DISK_ACTIVE && !map->disks[i].is_read_only ? 1 : 0;
    }
    return count;
}

/* must_be_open: some that new chunks may go to. */
static bool has_groups(const struct pool_map *map, struct pool_profile profile, bool must_be_open)
{
    for (uint32_t i = 1; i < map->group_count; i++) { /* group 0 is for what was there before */
        const struct pool_group *group = &map->groups[i];
        if (pool_profile_is_equal(group->profile, profile) &&
            (!must_be_open || pool_plan_is_open(map, group))) {
            return true;
        }
    }
    return false;
}

bool pool_has_class(struct chunk_store *chunks, struct gfs_slice storage_class)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    struct pool_view *view = pool_view_get(pool);
    struct pool_profile profile;
    bool has = find_profile(view->map, storage_class, &profile) == GFS_OK &&
               (has_groups(view->map, profile, false) ||
                count_disks(view->map) >= pool_profile_width(profile));
    pool_view_put(view);
    return has;
}

static bool place_profile(struct pool_map *map, struct pool_profile profile)
{
    struct gfs_error error = {0};
    if (has_groups(map, profile, true)) {
        return false;
    }
    enum gfs_err err = pool_plan_profile(map, profile, &error);
    if (err != GFS_OK) {
        char text[POOL_PROFILE_TEXT_SIZE];
        pool_profile_format(profile, text);
        gfs_log(GFS_LOG_WARN, "op=place profile=%s err=%s msg=\"%s\"", text, gfs_err_name(err),
                error.text);
        return false;
    }
    pool_plan_log_disks(map); /* its data may survive more disks than the metadata does */
    return true;
}

static bool place_both(struct pool_map *map, struct pool_profile profile)
{
    bool is_new = place_profile(map, profile);
    if (profile.kind == POOL_EC) {
        is_new = place_profile(map, pool_profile_small(profile)) || is_new;
    }
    return is_new;
}

bool pool_place_classes(struct pool_map *map)
{
    bool is_new = false;
    for (uint32_t i = 0; i < map->class_count; i++) {
        is_new = place_both(map, map->classes[i].profile) || is_new;
    }
    return is_new;
}

static enum gfs_err change(void *arg, struct pool_map *map, struct gfs_error *error)
{
    const struct pool_profile *profile = arg;
    if (place_both(map, *profile)) {
        return GFS_OK;
    }
    return has_groups(map, *profile, true) ? gfs_fail(error, GFS_EXISTS, "somebody was faster")
                                           : gfs_fail(error, GFS_UNREACHABLE, "too few disks");
}

/* ---- groups ---- */

static const struct table *find_table(struct pool_place *place, const struct pool_map *map,
                                      struct pool_profile profile)
{
    if (place->version != map->version) {
        clear(place);
        place->version = map->version;
    }
    for (uint32_t i = 0; i < place->count; i++) {
        if (pool_profile_is_equal(place->tables[i].profile, profile)) {
            return &place->tables[i];
        }
    }
    if (place->count == PROFILES_MAX) {
        clear(place);
    }
    struct table *table = &place->tables[place->count++];
    *table = (struct table){.profile = profile};
    pool_plan_groups(map, profile, &table->groups, &table->count);
    return table;
}

enum fitness { UNFIT, FULL, SHORT, GOOD };

static enum fitness judge(const struct pool_view *view, const struct pool_group *group)
{
    unsigned width = pool_profile_width(group->profile), there = 0;
    bool is_good = true;
    for (unsigned i = 0; i < width; i++) {
        uint16_t number = group->slots[i].disk;
        const struct pool_disk *disk = number == POOL_NO_DISK ? NULL : view->disks[number];
        if (!pool_disk_is_usable(disk)) {
            is_good = false;
            continue;
        }
        if (atomic_load(&disk->is_full)) {
            return FULL;
        }
        is_good = is_good && view->map->disks[number].state == POOL_DISK_ACTIVE;
        there++;
    }
    return is_good ? GOOD : there >= pool_profile_quorum(group->profile) ? SHORT : UNFIT;
}

/* GFS_NOT_FOUND: the profile has no open groups yet. */
static enum gfs_err choose(struct pool *pool, const struct pool_view *view,
                           struct pool_profile profile, uint32_t *ret)
{
    struct pool_place *place = pool->place;
    (void)pthread_mutex_lock(&place->lock);
    const struct table *table = find_table(place, view->map, profile);
    enum fitness best = UNFIT;
    uint32_t start = ++place->turn, tried = 0, seen = 0;
    for (uint32_t i = 0; i < table->count && best != GOOD; i++) {
        uint32_t number = table->groups[(start + i) % table->count];
        if (number == 0 || !pool_plan_is_open(view->map, &view->map->groups[number])) {
            continue;
        }
        seen++;
        enum fitness fitness = judge(view, &view->map->groups[number]);
        if (fitness > best) {
            best = fitness;
            *ret = number;
            tried = i;
        }
    }
    place->turn = start + tried;
    (void)pthread_mutex_unlock(&place->lock);
    if (best >= SHORT) {
        return GFS_OK;
    }
    return seen == 0 ? GFS_NOT_FOUND : best == FULL ? GFS_NO_SPACE : GFS_UNREACHABLE;
}

static enum gfs_err choose_for(struct pool *pool, struct gfs_slice storage_class, uint64_t size,
                               struct pool_profile *ret_profile, uint32_t *ret)
{
    struct pool_view *view = pool_view_get(pool);
    enum gfs_err err = find_profile(view->map, storage_class, ret_profile);
    if (err == GFS_OK && view->is_read_only) {
        err = GFS_UNREACHABLE;
    }
    if (err == GFS_OK) {
        struct pool_profile profile = *ret_profile;
        if (profile.kind == POOL_EC && size <= pool->options.small_max) {
            profile = pool_profile_small(profile);
        }
        err = choose(pool, view, profile, ret);
        if (err == GFS_NOT_FOUND && count_disks(view->map) < pool_profile_width(profile)) {
            err = GFS_UNREACHABLE;
        }
    }
    pool_view_put(view);
    return err;
}

enum gfs_err pool_new_id(struct chunk_store *chunks, struct gfs_slice storage_class, uint64_t size,
                         struct chunk_id *ret)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    struct pool_profile profile;
    uint32_t group = 0;
    enum gfs_err err = choose_for(pool, storage_class, size, &profile, &group);
    if (err == GFS_NOT_FOUND) {
        struct gfs_error error = {0};
        err = pool_change_map(pool, change, &profile, &error);
        if (err == GFS_OK || err == GFS_EXISTS) {
            err = choose_for(pool, storage_class, size, &profile, &group);
        }
        if (err == GFS_NOT_FOUND) {
            err = GFS_UNREACHABLE;
        }
    }
    if (err == GFS_OK) {
        *ret = chunk_id_new(group);
    }
    return err;
}

/* ---- refusals ---- */

static enum gfs_err try_profile(struct pool *pool, const struct pool_view *view,
                                struct pool_profile profile)
{
    uint32_t group = 0;
    enum gfs_err err = choose(pool, view, profile, &group);
    if (err == GFS_NOT_FOUND) { /* the first of them makes its groups */
        bool is_enough = count_disks(view->map) >= pool_profile_width(profile);
        err = is_enough ? GFS_OK : GFS_UNREACHABLE;
    }
    return err;
}

/* Of large or small objects; whether of both. */
static enum gfs_err try_class(struct pool *pool, const struct pool_view *view,
                              const struct pool_class *class, bool *ret_is_whole)
{
    enum gfs_err large = try_profile(pool, view, class->profile);
    enum gfs_err small = class->profile.kind == POOL_EC
                             ? try_profile(pool, view, pool_profile_small(class->profile))
                             : large;
    *ret_is_whole = large != GFS_OK && small != GFS_OK;
    return large != GFS_OK ? large : small;
}

bool pool_place_refusal(struct pool *pool, const struct pool_view *view, char *ret_reason,
                        size_t size)
{
    (void)snprintf(ret_reason, size, "%s", "");
    enum gfs_err err = pool_submit_check(pool->submit, view);
    if (err == GFS_NO_SPACE) {
        (void)snprintf(ret_reason, size, "%s", "the disks with the metadata are full");
    } else if (err == GFS_IO) { /* what became of it is open, and nothing can follow it */
        (void)snprintf(ret_reason, size, "%s",
                       "a change of the metadata was cut off by failing disks: restart the server");
    } else if (err != GFS_OK && err != GFS_AGAIN) {
        (void)snprintf(ret_reason, size, "%s", "too few disks with the metadata take writes");
    }
    if (ret_reason[0] != '\0') {
        return true;
    }
    bool is_all = view->map->class_count > 0;
    for (uint32_t i = 0; i < view->map->class_count; i++) {
        const struct pool_class *class = &view->map->classes[i];
        bool is_whole = false;
        err = try_class(pool, view, class, &is_whole);
        is_all = is_all && is_whole;
        if (err != GFS_OK && ret_reason[0] == '\0') {
            (void)snprintf(ret_reason, size,
                           err == GFS_NO_SPACE ? "the disks for class %s are full"
                                               : "too few disks for class %s take writes",
                           class->name);
        }
    }
    return is_all;
}

void pool_refusal(struct chunk_store *chunks, char *ret_reason, size_t size)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    struct pool_view *view = pool_view_get(pool);
    if (view->is_read_only) { /* behind the semicolon it names disks: not for clients */
        (void)snprintf(ret_reason, size, "%.*s", (int)strcspn(view->read_only_reason, ";"),
                       view->read_only_reason);
    } else {
        (void)pool_place_refusal(pool, view, ret_reason, size);
    }
    pool_view_put(view);
}
