/* The pool as a chunk store, and its life after it is open. */
#include "pool/pool.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_change.h"
#include "pool/pool_errand.h"
#include "pool/pool_log.h"
#include "pool/pool_map_write.h"
#include "pool/pool_open.h"
#include "pool/pool_place.h"
#include "pool/pool_watch.h"
#include "pool/pool_where.h"

enum {
    CURSOR_DISK_SHIFT = 48, /* of verify_log: disk above, the disk's own cursor below */
    CLOSE_WAIT_MS = 10000,  /* for what hangs in a disk */
    USED_WAIT_MS = 3000,    /* the same, when one hangs for certain */
    REFUSAL_SIZE = 160,
};

/* ---- listing ---- */

/* The chunk that a fragment is of, and the length that readers see. */
static struct chunk_listed chunk_of(const struct pool_view *view, struct chunk_listed listed)
{
    const struct pool_group *group = pool_view_group(view, listed.id);
    if (group != NULL && group->profile.kind == POOL_EC) {
        listed.id = chunk_id_at(listed.id, 0);
        listed.len *= group->profile.k;
    }
    return listed;
}

static int compare_ids(const void *a_ptr, const void *b_ptr)
{
    const struct chunk_listed *a = a_ptr, *b = b_ptr;
    return chunk_id_compare(a->id, b->id);
}

static size_t drop_twins(struct chunk_listed *list, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || compare_ids(&list[kept - 1], &list[i]) != 0) {
            list[kept++] = list[i];
        }
    }
    return kept;
}

/* A chunk is listed once, if any disk has a fragment of it. */
static void list_chunks(struct chunk_store *chunks, uint32_t part, struct chunk_listed **ret,
                        size_t *ret_count)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    struct pool_view *view = pool_view_get(pool);
    struct chunk_listed *all = NULL;
    size_t count = 0;
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        if (!pool_disk_is_usable(view->disks[i])) {
            continue;
        }
        struct chunk_listed *list = NULL;
        size_t more = 0;
        view->disks[i]->store->ops->list(view->disks[i]->store, part, &list, &more);
        if (more != 0) {
            all = gfs_realloc(all, (count + more) * sizeof all[0]);
        }
        for (size_t j = 0; j < more; j++) {
            all[count++] = chunk_of(view, list[j]);
        }
        free(list);
    }
    pool_view_put(view);
    if (count != 0) {
        qsort(all, count, sizeof all[0], compare_ids);
        count = drop_twins(all, count);
    }
    *ret = all;
    *ret_count = count;
}

/* ---- status ---- */

static void add_status(struct chunk_store_status *sum, struct pool_disk *disk)
{
    struct chunk_store_status one = {0};
    disk->store->ops->status(disk->store, &one);
    sum->space_total += one.space_total;
    sum->space_free += one.space_free;
    sum->chunks += one.chunks;
    sum->live_bytes += one.live_bytes;
    sum->damaged_places += one.damaged_places;
    sum->read_errors += one.read_errors;
    sum->is_full = sum->is_full && atomic_load(&disk->is_full);
}

/* lsn_gone: a replay takes the mirror that can give most. */
static void add_log_status(struct chunk_store_status *sum, const struct pool_view *view)
{
    bool is_first = true;
    for (uint32_t i = 0; i < view->map->log_disk_count; i++) {
        const struct pool_log_disk *mirror = &view->map->log_disks[i];
        struct pool_disk *disk = view->disks[mirror->disk];
        if (mirror->is_in_sync && pool_disk_is_usable(disk)) {
            struct chunk_store_status one = {0};
            disk->store->ops->status(disk->store, &one);
            sum->lsn_last = GFS_MAX(sum->lsn_last, one.lsn_last);
            sum->lsn_floor = GFS_MAX(sum->lsn_floor, one.lsn_floor);
            sum->lsn_gone = is_first ? one.lsn_gone : GFS_MIN(sum->lsn_gone, one.lsn_gone);
            is_first = false;
        }
    }
}

/* chunks and live_bytes are those of all fragments. */
static void get_status(struct chunk_store *chunks, struct chunk_store_status *ret)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    struct pool_view *view = pool_view_get(pool);
    bool has_disk = false;
    *ret = (struct chunk_store_status){.lsn_floor = pool->lsn_floor, .is_full = true};
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        if (pool_disk_is_usable(view->disks[i])) {
            add_status(ret, view->disks[i]);
            has_disk = true;
        }
    }
    add_log_status(ret, view);
    ret->has_failed = !has_disk || view->is_read_only;
    ret->is_full = ret->is_full && has_disk;
    pool_view_put(view);
}

/* ---- the disks' logs, one after the other ---- */

/* Each disk is told by the repair of what it lost (pool_pass_settle.c); who says that everything is
 * well again speaks of all of them. */
static void set_repaired(struct chunk_store *chunks)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    struct pool_view *view = pool_view_get(pool);
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        if (pool_disk_is_usable(view->disks[i])) {
            view->disks[i]->store->ops->repaired(view->disks[i]->store);
        }
    }
    pool_view_put(view);
}

static enum gfs_err verify_log(struct chunk_store *chunks, uint64_t *cursor, uint64_t bytes)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    struct pool_view *view = pool_view_get(pool);
    uint64_t number = *cursor >> CURSOR_DISK_SHIFT;
    uint64_t own = *cursor & ((1ULL << CURSOR_DISK_SHIFT) - 1);
    enum gfs_err err = GFS_OK;
    while (number < view->map->disk_count && !pool_disk_is_usable(view->disks[number])) {
        number++;
        own = 0;
    }
    if (number < view->map->disk_count) {
        struct chunk_store *store = view->disks[number]->store;
        err = store->ops->verify_log(store, &own, bytes);
        number += own == 0 ? 1 : 0;
    }
    *cursor = number < view->map->disk_count ? number << CURSOR_DISK_SHIFT | own : 0;
    pool_view_put(view);
    return err;
}

static const struct chunk_store_ops pool_ops = {
    .new_id = pool_new_id,
    .has_class = pool_has_class,
    .refusal = pool_refusal,
    .submit = pool_submit,
    .bulk_begin = pool_bulk_begin,
    .bulk_append = pool_bulk_append,
    .bulk_owner = pool_bulk_owner,
    .bulk_finish = pool_bulk_finish,
    .bulk_free = pool_bulk_free,
    .pin = pool_pin,
    .unpin = pool_unpin,
    .read = pool_read,
    .owner = pool_owner,
    .prefetch = pool_prefetch,
    .list = list_chunks,
    .status = get_status,
    .repaired = set_repaired,
    .verify_log = verify_log,
    .replay_edits = pool_replay_edits,
    .trim_edits = pool_trim_edits,
};

/* ---- life ---- */

struct pool *pool_new(const struct pool_options *options)
{
    struct pool *pool = gfs_alloc(sizeof *pool);
    pool->base.ops = &pool_ops;
    pool->options = *options;
    struct pool_options *own = &pool->options;
    own->paths = NULL;
    own->classes = NULL;
    own->cluster = NULL;
    own->small_max = own->small_max == 0 ? 128 << 10 : own->small_max;
    own->slow_ms = own->slow_ms == 0 ? 2000 : own->slow_ms;
    own->race_ms = own->race_ms == 0 ? 50 : own->race_ms;
    own->missing_grace_s = own->missing_grace_s == 0 ? 600 : own->missing_grace_s;
    own->mark_s = own->mark_s == 0 ? 60 : own->mark_s;
    own->repair_rate = own->repair_rate == 0 ? 256 << 20 : own->repair_rate;
    (void)pthread_mutex_init(&pool->view_lock, NULL);
    gfs_cond_init(&pool->views_gone);
    (void)pthread_mutex_init(&pool->coder_lock, NULL);
    (void)pthread_mutex_init(&pool->change_lock, NULL);
    (void)pthread_mutex_init(&pool->asking_lock, NULL);
    (void)pthread_mutex_init(&pool->bulk_lock, NULL);
    pool->suspects = pool_suspects_new();
    pool->tombs = pool_tombs_new();
    pool->place = pool_place_new();
    pool->errands = pool_errands_new();
    return pool;
}

void pool_run(struct pool *pool)
{
    pool->submit = pool_submit_new(pool);
    pool->mirrors = pool_mirrors_new(pool);
    struct chunk_store_status status = {0};
    get_status(&pool->base, &status);
    pool->marked_lsn = status.lsn_last; /* the start said what is where */
    pool_watch_start(pool);
}

/* What hangs in a disk may come back at any time: what it uses stays until the process ends. */
static bool leave_open(void)
{
    gfs_log(GFS_LOG_WARN, "op=pool_close msg=\"a disk does not answer: left open\"");
    return false;
}

bool pool_free(struct pool *pool)
{
    pool_disk_reap(pool);
    if (!pool_errands_end(pool->errands, CLOSE_WAIT_MS) ||
        !pool_map_write_end(pool, CLOSE_WAIT_MS)) {
        return leave_open();
    }
    pool_errands_free(pool->errands);
    pool_watch_free(pool->watch);
    pool_reconcile_free(pool->reconcile);
    for (size_t k = 0; k <= POOL_WIDTH_MAX; k++) {
        for (size_t m = 0; m <= POOL_WIDTH_MAX; m++) {
            ec_free(pool->coders[k][m]);
        }
    }
    pool_place_free(pool->place);
    pool_tombs_free(pool->tombs);
    pool_suspects_free(pool->suspects);
    (void)pthread_mutex_destroy(&pool->bulk_lock);
    (void)pthread_mutex_destroy(&pool->change_lock);
    (void)pthread_mutex_destroy(&pool->asking_lock);
    (void)pthread_mutex_destroy(&pool->coder_lock);
    gfs_cond_fini(&pool->views_gone);
    (void)pthread_mutex_destroy(&pool->view_lock);
    free(pool);
    return true;
}

void pool_start(struct pool *pool, const struct pool_meta_hooks *hooks)
{
    pool->hooks = *hooks;
    pool_mirrors_start(pool->mirrors);
    if (!pool->is_minority) {
        pool->reconcile = pool_reconcile_start(pool);
        pool->scrub = pool_scrub_start_thread(pool);
    }
}

void pool_stop(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->change_lock);
    struct pool_scrub *scrub = GFS_TAKE(pool->scrub);
    (void)pthread_mutex_unlock(&pool->change_lock);
    pool_scrub_stop(scrub);
    pool_reconcile_stop(pool->reconcile);
    pool_mirrors_stop(pool->mirrors);
}

bool pool_close(struct pool *pool, bool is_used)
{
    if (pool == NULL) {
        return true;
    }
    pool_stop(pool);
    bool is_idle = pool_submit_drain(pool->submit, is_used ? USED_WAIT_MS : CLOSE_WAIT_MS);
    if (is_idle && !is_used) {
        pool_change_mark(pool);
    }
    pool_watch_stop(atomic_load(&pool->watch));
    pool_where_end(pool);
    is_idle = is_idle && !is_used && pool_errands_end(pool->errands, CLOSE_WAIT_MS);
    if (is_idle) {
        pool_change_forget_waiting(pool);
        pool_submit_free(GFS_TAKE(pool->submit));
        pool_mirrors_free(pool->mirrors);
        pool_view_set(pool, NULL);
        is_idle = pool_view_await_none(pool, CLOSE_WAIT_MS);
    }
    return is_idle ? pool_free(pool) : leave_open();
}

struct chunk_store *pool_chunks(struct pool *pool)
{
    return &pool->base;
}

bool pool_mirror_dir(struct pool *pool, uint32_t index, char *ret)
{
    struct pool_view *view = pool_view_get(pool);
    const struct pool_map *map = view->map;
    bool has = false;
    for (uint32_t i = 0; i < map->log_disk_count && !has; i++) {
        if (map->log_disks[i].is_in_sync && index-- == 0) {
            (void)snprintf(ret, POOL_PATH_LEN_MAX, "%s", map->disks[map->log_disks[i].disk].path);
            has = true;
        }
    }
    pool_view_put(view);
    return has;
}

/* ---- health ---- */

static bool is_named(const struct pool_map *map, uint32_t number)
{
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            if (map->groups[g].slots[i].disk == number) {
                return true;
            }
        }
    }
    return false;
}

static bool is_to_be_filled(const struct pool_map *map, uint32_t number)
{
    if (map->disks[number].is_behind) {
        return true;
    }
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            const struct pool_slot *slot = &map->groups[g].slots[i];
            if (slot->disk == number && slot->is_filling) {
                return true;
            }
        }
    }
    return false;
}

/* What does not end by itself, NULL = nothing. A failed disk whose part others have taken over
 * leaves nothing without its copies. */
static const char *judge_disk(const struct pool_view *view, uint32_t number)
{
    const struct pool_map_disk *disk = &view->map->disks[number];
    switch (disk->state) {
    case POOL_DISK_REMOVED:
        return NULL;
    case POOL_DISK_FAILED:
        return is_named(view->map, number) ? "has failed, and no other can take its place" : NULL;
    case POOL_DISK_ACTIVE:
    case POOL_DISK_DRAINING:
        break;
    }
    if (!pool_disk_is_usable(view->disks[number])) {
        return "is away";
    }
    return disk->is_read_only && is_to_be_filled(view->map, number)
               ? "is read-only, and may lack fragments that it gets when it is not"
               : NULL;
}

/* What is being worked at, NULL = nothing; of a disk that judge_disk has nothing to say of. */
static const char *judge_work(const struct pool_view *view, uint32_t number)
{
    const struct pool_map_disk *disk = &view->map->disks[number];
    if (disk->state == POOL_DISK_REMOVED || disk->state == POOL_DISK_FAILED) {
        return NULL;
    }
    if (disk->state == POOL_DISK_DRAINING && is_named(view->map, number)) {
        return "is being emptied";
    }
    if (disk->is_behind) {
        return "is behind";
    }
    if (atomic_load(&view->disks[number]->is_full)) {
        return "is full";
    }
    struct chunk_store *store = view->disks[number]->store;
    struct chunk_store_status status;
    store->ops->status(store, &status);
    return status.damaged_places > 0 ? "has damage in its log" : NULL;
}

static bool is_filling(const struct pool_map *map)
{
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            const struct pool_slot *slot = &map->groups[g].slots[i];
            if (slot->is_filling && slot->from == POOL_NO_DISK) { /* with a `from` it only moves */
                return true;
            }
        }
    }
    return false;
}

static bool has_mirror_out_of_sync(const struct pool_map *map)
{
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (!map->log_disks[i].is_in_sync) {
            return true;
        }
    }
    return false;
}

/* NULL: nothing is wrong. */
static const char *judge_rest(struct pool *pool, const struct pool_map *map)
{
    if (is_filling(map)) {
        return "fragments are being rebuilt";
    }
    if (has_mirror_out_of_sync(map)) {
        return "a copy of the metadata is being made";
    }
    size_t bad = pool_suspect_bad(pool);
    if (bad == 0) {
        return NULL;
    }
    return pool_suspect_unrepaired(pool) < bad ? "damaged fragments wait for repair"
                                               : "damaged fragments could not be repaired";
}

/* Of all disks: what a person must do something about is said first. */
static const char *judge_disks(const struct pool_view *view, uint32_t *ret_number)
{
    static const char *(*const judges[])(const struct pool_view *view,
                                         uint32_t number) = {judge_disk, judge_work};
    const char *wrong = NULL;
    for (unsigned i = 0; i < GFS_COUNT(judges); i++) {
        for (uint32_t number = 0; number < view->map->disk_count && wrong == NULL; number++) {
            wrong = judges[i](view, number);
            *ret_number = wrong != NULL ? number : *ret_number;
        }
    }
    return wrong;
}

enum pool_health pool_health(struct pool *pool, char *ret_reason, size_t reason_size)
{
    struct pool_view *view = pool_view_get(pool);
    enum pool_health health = POOL_HEALTHY;
    char refusal[REFUSAL_SIZE] = "";
    (void)snprintf(ret_reason, reason_size, "%s", "");
    if (view->is_read_only) {
        health = POOL_READ_ONLY;
        (void)snprintf(ret_reason, reason_size, "%s", view->read_only_reason);
    } else if (pool_place_refusal(pool, view, refusal, sizeof refusal)) {
        health = POOL_READ_ONLY;
        (void)snprintf(ret_reason, reason_size, "%s", refusal);
    }
    if (health == POOL_HEALTHY && refusal[0] != '\0') {
        health = POOL_DEGRADED;
        (void)snprintf(ret_reason, reason_size, "%s", refusal);
    }
    uint32_t disk = 0;
    const char *wrong = health == POOL_HEALTHY ? judge_disks(view, &disk) : NULL;
    if (wrong != NULL) {
        health = POOL_DEGRADED;
        (void)snprintf(ret_reason, reason_size, "disk %u (%.100s) %s", disk,
                       view->map->disks[disk].path, wrong);
    }
    const char *rest = health == POOL_HEALTHY ? judge_rest(pool, view->map) : NULL;
    if (rest != NULL) {
        health = POOL_DEGRADED;
        (void)snprintf(ret_reason, reason_size, "%s", rest);
    }
    pool_view_put(view);
    return health;
}
