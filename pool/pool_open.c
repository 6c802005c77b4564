/* Opening a pool: what is there, what it was, what it is from now on.
 *
 *   look at all paths -> pool_admit -> open the stores -> an epoch, promised by a quorum -> change
 *   the map (mirrors, disks that came, went or are behind) -> even out the logs -> the map durable
 *   -> a view in force
 *
 * Until the map is durable nothing was changed but promises, logs of mirrors in sync, which get
 * what another one has, and directories that are to become disks, which are marked so. A start that
 * ends anywhere is simply done again. */
#include "pool/pool_open.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_change.h"
#include "pool/pool_gather.h"
#include "pool/pool_map_file.h"
#include "pool/pool_place.h"
#include "pool/pool_plan.h"
#include "pool/pool_promise.h"

enum { LSN_JUMP = 1 << 20 };

struct opening {
    const struct pool_options *options;
    struct pool *pool;
    uint32_t count;
    const char **paths;
    struct pool_found *found;
    struct pool_admitted *admitted;
    struct pool_gathered *gathered;
    struct pool_disk **opened;
    const struct pool_map *last; /* the newest found, or `settled`; NULL = a new pool */
    struct pool_map *settled;
    uint64_t epoch; /* of this start */
    struct pool_map *map;
    char cluster[GFS_IDENTITY_ID_SIZE];
    struct pool_disk *disks[POOL_DISKS_MAX]; /* by number; borrowed */
    uint64_t lsn;
};

/* ---- what is there ---- */

static bool is_given(const struct opening *opening, const struct pool_map_disk *disk)
{
    for (uint32_t i = 0; i < opening->count; i++) {
        const struct pool_found *found = &opening->found[i];
        if (strcmp(opening->paths[i], disk->path) == 0 ||
            (found->has_identity && memcmp(found->id, disk->id, sizeof disk->id) == 0)) {
            return true;
        }
    }
    return false;
}

/* From `first` on. */
static void look(struct opening *opening, uint32_t first, uint32_t count)
{
    pool_gather_look(opening->pool, opening->paths + first, count, opening->found + first);
    opening->count = first + count;
}

static enum gfs_err probe_all(struct opening *opening, struct gfs_error *error)
{
    const char *const *given = opening->options->paths;
    uint32_t count = 0;
    while (given != NULL && given[count] != NULL) {
        if (strlen(given[count]) >= POOL_PATH_LEN_MAX) {
            return gfs_fail(error, GFS_INVALID, "%.100s...: path too long", given[count]);
        }
        count++;
    }
    if (count == 0 || count > POOL_DISKS_MAX) {
        return gfs_fail(error, GFS_INVALID, "%u directories: give 1 to %d", count, POOL_DISKS_MAX);
    }
    uint32_t size = count + POOL_DISKS_MAX;
    opening->paths = gfs_alloc_array(size, sizeof opening->paths[0]);
    opening->found = gfs_alloc_array(size, sizeof opening->found[0]);
    opening->admitted = gfs_alloc_array(size, sizeof opening->admitted[0]);
    opening->gathered = gfs_alloc_array(size, sizeof opening->gathered[0]);
    opening->opened = gfs_alloc_array(size, sizeof(struct pool_disk *));
    memcpy(opening->paths, given, count * sizeof opening->paths[0]);
    look(opening, 0, count);
    const struct pool_map *newest = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct pool_map *map = opening->found[i].map;
        newest = map != NULL && pool_map_is_newer(map, newest) ? map : newest;
    }
    uint32_t more = 0;
    for (uint32_t i = 0; newest != NULL && i < newest->disk_count; i++) {
        const struct pool_map_disk *disk = &newest->disks[i];
        if (disk->state != POOL_DISK_REMOVED && disk->path[0] != '\0' && !is_given(opening, disk)) {
            opening->paths[count + more++] = disk->path;
        }
    }
    look(opening, count, more);
    return GFS_OK;
}

static void draw_cluster(char ret[GFS_IDENTITY_ID_SIZE])
{
    uint8_t id[16];
    gfs_uuid_draw(id);
    gfs_uuid_format(id, ret);
}

/* The map's, that of the store that was there before, that of a start that was interrupted, the one
 * asked for, or a new one. */
static enum gfs_err choose_cluster(struct opening *opening, struct gfs_error *error)
{
    const char *asked = opening->options->cluster;
    const char *own = opening->last == NULL ? NULL : opening->last->cluster;
    for (uint32_t i = 0; i < opening->count && own == NULL; i++) {
        own = opening->found[i].has_identity ? opening->found[i].cluster : NULL;
    }
    if (own != NULL && asked != NULL && strcmp(own, asked) != 0) {
        return gfs_fail(error, GFS_CONFLICT, "the disks belong to cluster %.40s, not to %.40s", own,
                        asked);
    }
    if (own == NULL && asked == NULL) {
        draw_cluster(opening->cluster);
        return GFS_OK;
    }
    (void)snprintf(opening->cluster, sizeof opening->cluster, "%s", own == NULL ? asked : own);
    return GFS_OK;
}

/* ---- the stores ---- */

static bool is_known(const struct pool_admitted *admitted)
{
    return admitted->what == POOL_ADMIT_KNOWN || admitted->what == POOL_ADMIT_AWAY;
}

static bool is_new(const struct pool_admitted *admitted)
{
    return admitted->what == POOL_ADMIT_NEW || admitted->what == POOL_ADMIT_STEAD;
}

static bool is_wanted(const struct opening *opening, uint32_t index)
{
    const struct pool_admitted *admitted = &opening->admitted[index];
    return is_known(admitted) || (!opening->pool->is_minority &&
                                  (is_new(admitted) || admitted->what == POOL_ADMIT_FIRST));
}

/* A known disk that cannot be read, or does not answer, is away, as if it were not there; whatever
 * else is wrong with one is for the operator. */
static enum gfs_err judge_opened(struct opening *opening, uint32_t index, struct gfs_error *error)
{
    struct pool_gathered *gathered = &opening->gathered[index];
    struct pool_admitted *admitted = &opening->admitted[index];
    enum gfs_err err = gathered->err;
    bool is_broken = err == GFS_IO || err == GFS_CORRUPT || err == GFS_NO_SPACE ||
                     err == GFS_NOT_FOUND || err == GFS_TIMEOUT;
    if (is_broken && is_known(admitted)) {
        gfs_log(GFS_LOG_WARN,
                "op=start disk=%u err=%s msg=\"cannot be opened, goes on without: "
                "%s\"",
                admitted->number, gfs_err_name(err), gathered->error.text);
        admitted->what = POOL_ADMIT_MISSING;
        admitted->error = gathered->error;
        return GFS_OK;
    }
    if (err != GFS_OK) {
        *error = gathered->error;
        return err;
    }
    if (is_known(admitted) && memcmp(gathered->opened.id, opening->found[index].id, 16) != 0) {
        return gfs_fail(error, GFS_CONFLICT, "%.120s changed while it was opened",
                        opening->paths[index]);
    }
    opening->opened[index] = pool_disk_new(opening->pool, gathered->number, gathered->opened.id,
                                           opening->paths[index], GFS_TAKE(gathered->opened.store));
    opening->opened[index]->root = gathered->opened.root;
    return GFS_OK;
}

static enum gfs_err open_stores(struct opening *opening, struct gfs_error *error)
{
    for (uint32_t i = 0; i < opening->count; i++) {
        const struct pool_admitted *admitted = &opening->admitted[i];
        if (is_wanted(opening, i)) {
            opening->gathered[i] = (struct pool_gathered){
                .path = opening->paths[i],
                .number = is_known(admitted) ? admitted->number : POOL_NO_DISK,
                .is_new = is_new(admitted),
            };
        }
    }
    pool_gather_open(opening->pool, opening->cluster, opening->last, opening->gathered,
                     opening->count);
    enum gfs_err err = GFS_OK;
    for (uint32_t i = 0; i < opening->count && err == GFS_OK; i++) {
        if (opening->gathered[i].path != NULL) {
            err = judge_opened(opening, i, error);
        }
    }
    return err;
}

/* ---- the map ---- */

static enum gfs_err add_disk(struct opening *opening, uint32_t index, uint16_t *ret,
                             struct gfs_error *error)
{
    struct pool_disk *disk = opening->opened[index];
    struct pool_map_disk described;
    pool_disk_describe(disk, &described);
    described.is_mount = opening->found[index].is_mount;
    enum gfs_err err = pool_plan_add_disk(opening->map, &described, ret, error);
    if (err == GFS_OK) {
        disk->number = *ret;
        opening->disks[*ret] = disk;
    }
    return err;
}

static enum gfs_err add_class(struct pool_map *map, const char *text, struct gfs_error *error)
{
    const char *equals = strchr(text, '=');
    size_t len = equals == NULL ? 0 : (size_t)(equals - text);
    struct pool_profile profile;
    if (len == 0 || len > POOL_CLASS_NAME_LEN_MAX) {
        return gfs_fail(error, GFS_INVALID, "class \"%.60s\" is not NAME=PROFILE", text);
    }
    enum gfs_err err = pool_profile_parse(gfs_slice_str(equals + 1), &profile, error);
    if (err != GFS_OK) {
        return gfs_wrap(error, err, "class \"%.60s\"", text);
    }
    uint32_t at = 0;
    while (at < map->class_count &&
           !gfs_slice_eq_str(gfs_slice_of(text, len), map->classes[at].name)) {
        at++;
    }
    if (at == POOL_CLASSES_MAX) {
        return gfs_fail(error, GFS_INVALID, "more than %d classes", POOL_CLASSES_MAX);
    }
    struct pool_class *own = &map->classes[at];
    (void)snprintf(own->name, sizeof own->name, "%.*s", (int)len, text);
    own->profile = profile;
    map->class_count = GFS_MAX(map->class_count, at + 1);
    return GFS_OK;
}

static enum gfs_err set_classes(struct opening *opening, struct gfs_error *error)
{
    struct pool_map *map = opening->map;
    const char *const *classes = opening->options->classes;
    if (map->class_count == 0) {
        map->class_count = 1;
        (void)snprintf(map->classes[0].name, sizeof map->classes[0].name, "STANDARD");
        map->classes[0].profile = pool_plan_default_profile(map->disk_count);
    }
    for (size_t i = 0; classes != NULL && classes[i] != NULL; i++) {
        enum gfs_err err = add_class(map, classes[i], error);
        if (err != GFS_OK) {
            return err;
        }
    }
    for (uint32_t i = 0; opening->last == NULL && i < map->class_count; i++) {
        if (pool_profile_width(map->classes[i].profile) > map->disk_count) {
            return gfs_fail(error, GFS_INVALID, "class %s needs %u disks and there are %u",
                            map->classes[i].name, pool_profile_width(map->classes[i].profile),
                            map->disk_count);
        }
    }
    return GFS_OK;
}

/* The store that was there before is disk 0 and the only one with a log. */
static enum gfs_err make_map(struct opening *opening, struct gfs_error *error)
{
    struct pool_map *map = opening->map = pool_map_new(opening->cluster);
    bool has_first = false;
    uint16_t number = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < opening->count; i++) {
            bool is_first = opening->admitted[i].what == POOL_ADMIT_FIRST;
            if (opening->opened[i] == NULL || is_first != (pass == 0)) {
                continue;
            }
            has_first = has_first || is_first;
            enum gfs_err err = add_disk(opening, i, &number, error);
            if (err != GFS_OK) {
                return err;
            }
        }
    }
    map->groups[0].slots[0] = (struct pool_slot){.disk = 0, .from = POOL_NO_DISK};
    (void)pool_plan_widen_group0(map, has_first);
    enum gfs_err err = set_classes(opening, error);
    if (err != GFS_OK) {
        return err;
    }
    pool_plan_log_disks(map);
    (void)pool_place_classes(map); /* adds log disks, too */
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        map->log_disks[i].is_in_sync = !has_first || map->log_disks[i].disk == 0;
    }
    return pool_even_logs(map, opening->disks, &opening->lsn, error);
}

static void update_known(struct opening *opening, uint32_t index)
{
    const struct pool_admitted *admitted = &opening->admitted[index];
    struct pool_disk *disk = opening->opened[index];
    struct pool_map_disk *in_map = &opening->map->disks[admitted->number];
    struct chunk_store_status status = {0};
    disk->store->ops->status(disk->store, &status);
    opening->disks[admitted->number] = disk;
    (void)snprintf(in_map->path, sizeof in_map->path, "%s", disk->path);
    in_map->is_mount = opening->found[index].is_mount;
    in_map->capacity = status.space_total;
    const struct pool_map *own = opening->found[index].map;
    if (own != NULL) { /* no older copy of it will be taken for it */
        in_map->seen_version = GFS_MAX(in_map->seen_version, own->version);
    }
    if (in_map->state == POOL_DISK_FAILED) {
        in_map->state = POOL_DISK_ACTIVE;
    }
    bool was_behind = in_map->is_behind;
    in_map->is_behind =
        was_behind || admitted->what == POOL_ADMIT_AWAY || status.damaged_places != 0;
    if (in_map->is_behind && !was_behind) {
        gfs_log(GFS_LOG_WARN,
                "op=start disk=%u damaged=%llu msg=\"%s: it is compared with the "
                "others\"",
                admitted->number, (unsigned long long)status.damaged_places,
                admitted->what == POOL_ADMIT_AWAY ? "was away" : "its log is damaged");
    }
}

static enum gfs_err add_new(struct opening *opening, uint32_t index, struct gfs_error *error)
{
    const struct pool_admitted *admitted = &opening->admitted[index];
    uint16_t number = POOL_NO_DISK;
    enum gfs_err err = add_disk(opening, index, &number, error);
    if (err == GFS_OK && admitted->what == POOL_ADMIT_STEAD) {
        err = pool_plan_replace(opening->map, admitted->number, number, true, error);
        gfs_log(GFS_LOG_WARN,
                "op=start disk=%u stead=%u err=%s msg=\"an empty directory takes a "
                "lost disk's place\"",
                number, admitted->number, gfs_err_name(err));
    } else if (err == GFS_OK) {
        gfs_log(GFS_LOG_INFO, "op=start disk=%u msg=\"new\"", number);
    }
    return err;
}

static enum gfs_err change_map(struct opening *opening, struct gfs_error *error)
{
    struct pool_map *map = opening->map = pool_map_copy(opening->last);
    for (uint32_t i = 0; i < opening->count; i++) {
        if (is_known(&opening->admitted[i])) {
            update_known(opening, i);
        }
    }
    enum gfs_err err = pool_even_logs(map, opening->disks, &opening->lsn, error);
    for (uint32_t i = 0; i < opening->count && err == GFS_OK; i++) {
        if (opening->opened[i] != NULL && is_new(&opening->admitted[i])) {
            err = add_new(opening, i, error);
        }
    }
    if (err == GFS_OK) {
        err = set_classes(opening, error);
    }
    if (err == GFS_OK) {
        (void)pool_plan_place(map);
        (void)pool_plan_widen_group0(map, pool_profile_width(map->groups[0].profile) > 1);
        pool_plan_log_disks(map);
    }
    return err;
}

/* ---- together ---- */

static void log_absent(const struct opening *opening)
{
    for (uint32_t i = 0; i < opening->count; i++) {
        const struct pool_admitted *admitted = &opening->admitted[i];
        if (admitted->what == POOL_ADMIT_MISSING) {
            gfs_log(GFS_LOG_WARN, "op=start disk=%d path=%s msg=\"is away: %s\"",
                    admitted->number == POOL_NO_DISK ? -1 : (int)admitted->number,
                    opening->paths[i], admitted->error.text);
        } else if (admitted->what == POOL_ADMIT_RETIRED) {
            gfs_log(GFS_LOG_INFO,
                    "op=start disk=%u path=%s msg=\"was taken out of the pool and is "
                    "left alone\"",
                    admitted->number, opening->paths[i]);
        }
    }
}

static enum gfs_err force_first(struct opening *opening, struct gfs_error *error)
{
    struct pool *pool = opening->pool;
    struct pool_next next = {
        .last = opening->last, .map = GFS_TAKE(opening->map), .is_to_be_shown = true};
    memcpy(next.disks, opening->disks, sizeof next.disks);
    next.map->epoch = opening->epoch;
    next.map->lsn_floor = pool->lsn_floor;
    (void)pool_place_classes(next.map);
    (void)pthread_mutex_lock(&pool->change_lock);
    enum gfs_err err = pool_change_force(pool, &next, error);
    (void)pthread_mutex_unlock(&pool->change_lock);
    return err;
}

static enum gfs_err check_mirrors(const struct opening *opening, struct gfs_error *error)
{
    const struct pool_map *map = opening->last;
    for (uint32_t i = 0; i < opening->count && map != NULL; i++) {
        for (uint32_t j = 0; opening->opened[i] != NULL && j < map->log_disk_count; j++) {
            if (map->log_disks[j].is_in_sync && is_known(&opening->admitted[i]) &&
                map->log_disks[j].disk == opening->admitted[i].number) {
                return GFS_OK;
            }
        }
    }
    return map == NULL ? GFS_OK
                       : gfs_fail(error, GFS_UNREACHABLE,
                                  "none of the disks with a complete copy of the metadata is "
                                  "there");
}

/* What is there without a quorum: to be read. */
static void open_minority(struct opening *opening, const char *reason)
{
    struct pool *pool = opening->pool;
    struct pool_map *map = pool_map_copy(opening->last);
    struct pool_disk *disks[POOL_DISKS_MAX] = {0};
    pool->is_minority = true;
    for (uint32_t i = 0; i < opening->count; i++) {
        uint16_t number = opening->admitted[i].number;
        struct pool_disk *disk = opening->opened[i];
        if (is_known(&opening->admitted[i]) && pool_disk_is_usable(disk)) {
            disks[number] = disk;
        }
    }
    struct pool_view *view = pool_view_new(pool, map, disks);
    view->is_read_only = true;
    (void)snprintf(view->read_only_reason, sizeof view->read_only_reason, "%.150s", reason);
    pool_view_set(pool, view);
    gfs_log(GFS_LOG_WARN, "op=start msg=\"read-only: %.150s\"", reason);
}

/* Versions that were given in vain count as well: what a disk is known to have had never falls. */
static enum gfs_err take_epoch(struct opening *opening, struct gfs_error *error)
{
    struct pool *pool = opening->pool;
    struct pool_promise promise = {.newest = opening->last};
    for (uint32_t i = 0; i < opening->count; i++) {
        const struct pool_map *map = opening->found[i].map;
        if (map != NULL) {
            promise.epoch = GFS_MAX(promise.epoch, map->promised);
            pool->version_used = GFS_MAX(pool->version_used, map->version);
        }
        if (is_known(&opening->admitted[i])) {
            promise.own[opening->admitted[i].number] = map;
            promise.is_away[opening->admitted[i].number] =
                opening->admitted[i].what == POOL_ADMIT_AWAY;
            promise.disks[opening->admitted[i].number] = opening->opened[i];
        }
    }
    opening->epoch = ++promise.epoch;
    if (opening->last == NULL) {
        return GFS_OK;
    }
    (void)pthread_mutex_lock(&pool->change_lock);
    enum gfs_err err = pool_promise(pool, &promise, &opening->settled, error);
    (void)pthread_mutex_unlock(&pool->change_lock);
    opening->last = opening->settled != NULL ? opening->settled : opening->last;
    return err;
}

/* Makes the first version, and puts it in force. */
static enum gfs_err go_on(struct opening *opening, struct gfs_error *error)
{
    enum gfs_err err = take_epoch(opening, error);
    if (err == GFS_OK) {
        err = opening->last == NULL ? make_map(opening, error) : change_map(opening, error);
    }
    /* What was sent to a mirror that is not there now, and to nobody else, has an LSN below the
     * jump: it can never be taken for an edit of this run. It may be all that its run wrote, which
     * had jumped as well: so the map says from where. Only a log that begins with edit 1 can make a
     * database anew: as long as nothing was acknowledged nothing is jumped over. */
    uint64_t floor = opening->last == NULL ? 0 : opening->last->lsn_floor;
    uint64_t lsn = GFS_MAX(opening->lsn, floor);
    opening->pool->lsn_floor = lsn + (lsn == 0 ? 0 : LSN_JUMP);
    return err == GFS_OK ? force_first(opening, error) : err;
}

static enum gfs_err run(struct opening *opening, struct gfs_error *error)
{
    struct pool *pool = opening->pool;
    enum gfs_err err = probe_all(opening, error);
    if (err != GFS_OK) {
        return err;
    }
    err = pool_admit(opening->found, opening->count, opening->admitted, &opening->last, error);
    pool->is_minority = err == GFS_UNREACHABLE && opening->options->allow_minority;
    if (err == GFS_OK || pool->is_minority) {
        err = choose_cluster(opening, error);
    }
    if (err == GFS_OK) {
        log_absent(opening);
        err = open_stores(opening, error);
    }
    if (err != GFS_OK) {
        return err;
    }
    struct gfs_error why = *error;
    err = check_mirrors(opening, error);
    if (err != GFS_OK) {
        return err;
    }
    if (pool->is_minority) {
        open_minority(opening, why.text);
        return GFS_OK;
    }
    err = go_on(opening, error);
    if (err == GFS_UNREACHABLE && opening->options->allow_minority && opening->last != NULL) {
        open_minority(opening, error->text); /* some that are there could not be used */
        return GFS_OK;
    }
    return err;
}

static void fini(struct opening *opening)
{
    for (uint32_t i = 0; i < opening->count; i++) {
        if (opening->opened[i] != NULL) {
            pool_disk_unref(opening->opened[i]);
        }
        if (opening->gathered[i].opened.store != NULL) {
            opening->options->driver.close(opening->options->driver.arg,
                                           opening->gathered[i].opened.store);
        }
        pool_found_fini(&opening->found[i]);
    }
    pool_map_free(opening->map);
    pool_map_free(opening->settled);
    free(opening->paths);
    free(opening->found);
    free(opening->admitted);
    free(opening->gathered);
    free(opening->opened);
}

enum gfs_err pool_open(const struct pool_options *options, struct pool **ret,
                       struct gfs_error *error)
{
    struct gfs_error own = {0};
    error = error == NULL ? &own : error;
    struct opening opening = {.options = options, .pool = pool_new(options)};
    enum gfs_err err = run(&opening, error);
    fini(&opening);
    if (err != GFS_OK) {
        (void)pool_free(opening.pool);
        return err;
    }
    pool_run(opening.pool);
    *ret = opening.pool;
    return GFS_OK;
}
