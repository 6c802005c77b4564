#include "tests/unit/pool/submit_rig.h"

#include <stdlib.h>

#include "libgoodfs/clock.h"

enum { GROUPS = 3, SLOW_MS = 2000, MIRRORS = 3 };

static struct submit_rig *rig_of(struct pool *pool)
{
    return GFS_CONTAINER_OF(pool, struct submit_rig, pool);
}

/* ---- instead of the watch ---- */

static void wish(struct pool_disk *disk, struct submit_wish wanted)
{
    struct submit_rig *rig = rig_of(disk->pool);
    wanted.disk = pool_disk_ref(disk);
    (void)pthread_mutex_lock(&rig->lock);
    GFS_ASSERT(rig->wish_count < SUBMIT_RIG_WISHES_MAX);
    rig->wishes[rig->wish_count++] = wanted;
    (void)pthread_mutex_unlock(&rig->lock);
}

void pool_disk_drop(struct pool *pool, struct pool_disk *disk, enum gfs_err err, const char *what)
{
    (void)pool;
    GFS_ASSERT(err != GFS_OK && what != NULL);
    if (!atomic_exchange(&disk->is_dropped, true)) {
        wish(disk, (struct submit_wish){.kind = WISH_DROP});
    }
}

void pool_note_behind(struct pool *pool, struct pool_disk *disk,
                      void (*then)(void *arg, enum gfs_err err), void *arg)
{
    (void)pool;
    wish(disk, (struct submit_wish){.kind = WISH_NOTE, .then = then, .arg = arg});
}

void pool_mirror_failed(struct pool *pool, const char *dir)
{
    struct submit_rig *rig = rig_of(pool);
    for (unsigned i = 0; i < rig->disk_count; i++) {
        if (strcmp(rig->disks[i]->path, dir) == 0) {
            wish(rig->disks[i], (struct submit_wish){.kind = WISH_MIRROR});
        }
    }
}

void pool_reconcile_wake(struct pool *pool)
{
    (void)pool;
}

static void leave_log(struct pool_map *map, uint16_t disk)
{
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        if (map->log_disks[i].disk == disk) {
            map->log_disks[i].is_in_sync = false;
        }
    }
}

static void grant(struct submit_rig *rig, struct pool_map *map, const struct submit_wish *wanted)
{
    struct pool_map_disk *disk = &map->disks[wanted->disk->number];
    if (wanted->kind != WISH_MIRROR) {
        disk->is_behind = true;
    }
    if (wanted->kind == WISH_DROP && rig->fails_disks) {
        disk->state = POOL_DISK_FAILED;
    }
    if (wanted->kind != WISH_NOTE) {
        leave_log(map, wanted->disk->number);
        atomic_store(&wanted->disk->takes_edits, false);
    }
}

static bool has_quorum(const struct submit_rig *rig, const struct pool_map *map)
{
    bool present[POOL_DISKS_MAX] = {false};
    for (unsigned i = 0; i < rig->disk_count; i++) {
        present[i] = pool_disk_is_usable(rig->disks[i]);
    }
    bool has_mirror = false; /* the last one stays, whatever it is like */
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        has_mirror = has_mirror || map->log_disks[i].is_in_sync;
    }
    return has_mirror && pool_map_is_quorum(map, present);
}

static void put_in_force(struct submit_rig *rig, struct pool_map *map, bool is_read_only)
{
    map->version++;
    struct pool_view *view = pool_view_new(&rig->pool, map, rig->disks);
    view->is_read_only = is_read_only;
    pool_view_set(&rig->pool, view);
    pool_submit_view_changed(&rig->pool);
}

bool submit_rig_watch(struct submit_rig *rig)
{
    struct submit_wish *wishes GFS_FREE =
        gfs_alloc_array(SUBMIT_RIG_WISHES_MAX, sizeof(struct submit_wish));
    (void)pthread_mutex_lock(&rig->lock);
    size_t count = rig->wish_count;
    memcpy(wishes, rig->wishes, count * sizeof *wishes);
    rig->wish_count = 0;
    (void)pthread_mutex_unlock(&rig->lock);
    if (count == 0) {
        return false;
    }
    struct pool_map *map = pool_map_copy(submit_rig_map(rig));
    for (size_t i = 0; i < count; i++) {
        grant(rig, map, &wishes[i]);
    }
    enum gfs_err err = GFS_OK;
    if (has_quorum(rig, map)) {
        put_in_force(rig, map, false);
    } else { /* the map cannot be made: the one before stays, and nothing is written */
        err = GFS_UNREACHABLE;
        pool_map_free(map);
        put_in_force(rig, pool_map_copy(submit_rig_map(rig)), true);
    }
    for (size_t i = 0; i < count; i++) {
        if (wishes[i].then != NULL) {
            wishes[i].then(wishes[i].arg, err);
        }
        pool_disk_unref(wishes[i].disk);
    }
    return true;
}

/* ---- looking at disks ---- */

const struct pool_map *submit_rig_map(struct submit_rig *rig)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    const struct pool_map *map = view->map;
    pool_view_put(view);
    return map;
}

static bool is_on(struct submit_rig *rig, const struct pool_group *group, struct chunk_id id,
                  unsigned slot)
{
    return disk_double_has(rig->doubles[group->slots[slot].disk],
                           pool_fragment_id(group, id, slot));
}

/* Enough fragments are durable, and the map says of the other disks that they lack something. */
static void check_data(struct submit_rig *rig, const struct submit_group *group)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    for (uint32_t i = 0; i < group->id_count && !group->is_delete; i++) {
        const struct pool_group *pg = pool_view_group(view, group->ids[i]);
        unsigned there = 0;
        for (unsigned slot = 0; slot < pool_profile_width(pg->profile); slot++) {
            const struct pool_map_disk *disk = &view->map->disks[pg->slots[slot].disk];
            bool is_there = is_on(rig, pg, group->ids[i], slot);
            GFS_ASSERT(is_there || disk->is_behind || disk->state == POOL_DISK_FAILED);
            there += is_there ? 1 : 0;
        }
        GFS_ASSERT(there >= pool_profile_quorum(pg->profile));
    }
    pool_view_put(view);
}

static void check_edit(struct submit_rig *rig, const struct submit_group *group)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    unsigned mirrors = 0;
    for (uint32_t i = 0; i < view->map->log_disk_count && group->lsn != 0; i++) {
        const struct pool_log_disk *log = &view->map->log_disks[i];
        if (log->is_in_sync) {
            GFS_ASSERT(disk_double_has_edit(rig->doubles[log->disk], group->lsn));
            mirrors++;
        }
    }
    GFS_ASSERT(group->lsn == 0 || mirrors >= 1);
    pool_view_put(view);
}

static void check_deleted(struct submit_rig *rig, const struct submit_group *group)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    for (uint32_t i = 0; i < group->id_count && group->is_delete; i++) {
        const struct pool_group *pg = pool_view_group(view, group->ids[i]);
        for (unsigned slot = 0; slot < pool_profile_width(pg->profile); slot++) {
            enum pool_disk_state state = view->map->disks[pg->slots[slot].disk].state;
            GFS_ASSERT(state == POOL_DISK_FAILED || !is_on(rig, pg, group->ids[i], slot));
        }
    }
    pool_view_put(view);
}

/* Of a double: an edit is about to become durable. */
static enum gfs_err judge(void *arg, struct disk_double *disk, const struct chunk_group *group)
{
    struct submit_rig *rig = arg;
    (void)disk;
    for (const struct chunk_record *record = group->records; record != NULL;
         record = record->next) {
        if (record->kind != CHUNK_RECORD_EDIT) {
            continue;
        }
        struct submit_group *found = NULL;
        (void)pthread_mutex_lock(&rig->lock);
        for (size_t i = rig->count; i > 0 && found == NULL; i--) {
            found = rig->groups[i - 1]->lsn == record->lsn ? rig->groups[i - 1] : NULL;
        }
        (void)pthread_mutex_unlock(&rig->lock);
        GFS_ASSERT(found != NULL);
        if (!found->is_answered) {
            check_data(rig, found);
        }
    }
    return GFS_OK;
}

unsigned submit_rig_fragments(struct submit_rig *rig, struct chunk_id id)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    const struct pool_group *pg = pool_view_group(view, id);
    unsigned count = 0;
    for (unsigned disk = 0; disk < rig->disk_count; disk++) {
        bool is_ec = pg->profile.kind == POOL_EC;
        for (unsigned slot = 0; slot < (is_ec ? pool_profile_width(pg->profile) : 1); slot++) {
            count += disk_double_has(rig->doubles[disk], pool_fragment_id(pg, id, slot)) ? 1 : 0;
        }
    }
    pool_view_put(view);
    return count;
}

static char byte_of(struct chunk_id id, uint32_t at)
{
    return (char)((id.lo >> CHUNK_SLOT_BITS) * 31 + at * 7 + (at >> 8));
}

unsigned submit_rig_good_fragments(struct submit_rig *rig, const struct submit_group *group,
                                   uint32_t chunk)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    struct chunk_id id = group->ids[chunk];
    const struct pool_group *pg = pool_view_group(view, id);
    unsigned k = pg->profile.kind == POOL_EC ? pg->profile.k : 1;
    unsigned good = 0;
    for (unsigned slot = 0; slot < k || (k == 1 && slot < pool_profile_width(pg->profile));
         slot++) {
        struct disk_double *disk = rig->doubles[pg->slots[slot].disk];
        char bytes[GFS_BLOCK_SIZE];
        char owner[CHUNK_OWNER_LEN_MAX];
        struct chunk_id there = pool_fragment_id(pg, id, slot);
        size_t len = disk_double_bytes(disk, there, bytes, sizeof bytes);
        size_t owner_len = disk_double_owner(disk, there, owner, sizeof owner);
        struct fragment_owner head;
        struct gfs_slice rest;
        bool is_good =
            len != 0 && len <= sizeof bytes &&
            pool_fragment_owner_parse(gfs_slice_of(owner, owner_len), &head, &rest) == GFS_OK &&
            head.slot == (k == 1 ? 0 : slot) && gfs_slice_eq_str(rest, "oowner");
        for (uint32_t i = 0; i < len && is_good; i++) { /* one row: cells follow one another */
            uint32_t at = (k == 1 ? 0 : slot * (uint32_t)len) + i;
            is_good = bytes[i] == (at < head.chunk_len ? byte_of(id, at) : 0);
        }
        good += is_good ? 1 : 0;
    }
    pool_view_put(view);
    return good;
}

unsigned submit_rig_mirrors(struct submit_rig *rig, const struct submit_group *group)
{
    unsigned count = 0;
    for (unsigned i = 0; i < rig->disk_count; i++) {
        count += disk_double_has_edit(rig->doubles[i], group->lsn) ? 1 : 0;
    }
    return count;
}

/* An edit that the next start would take for durable. */
static bool has_mirror(struct submit_rig *rig, const struct submit_group *group)
{
    const struct pool_map *map = submit_rig_map(rig);
    bool has = false;
    for (uint32_t i = 0; i < map->log_disk_count && group->lsn != 0; i++) {
        const struct pool_log_disk *log = &map->log_disks[i];
        has = has || (log->is_in_sync && disk_double_has_edit(rig->doubles[log->disk], group->lsn));
    }
    return has;
}

void submit_rig_check_all(struct submit_rig *rig)
{
    for (size_t i = 0; i < rig->count; i++) {
        const struct submit_group *group = rig->groups[i];
        bool is_good = group->is_answered && group->err == GFS_OK;
        if (is_good) {
            check_edit(rig, group);
        }
        if ((is_good || has_mirror(rig, group)) && !group->is_given_up) {
            check_data(rig, group);
        }
    }
}

/* ---- groups ---- */

static void done(struct chunk_group *chunk_group, enum gfs_err err)
{
    struct submit_group *group = GFS_CONTAINER_OF(chunk_group, struct submit_group, group);
    struct submit_rig *rig = group->rig;
    if (err == GFS_OK) {
        check_data(rig, group);
        check_edit(rig, group);
        check_deleted(rig, group);
    }
    (void)pthread_mutex_lock(&rig->lock);
    GFS_ASSERT(!group->is_answered);
    GFS_ASSERT(group->number == rig->answered);
    free(group->memory);
    group->memory = NULL;
    memset(group->records, 0xee, sizeof group->records);
    group->is_answered = true;
    group->err = err;
    rig->answered++;
    (void)pthread_cond_broadcast(&rig->changed);
    (void)pthread_mutex_unlock(&rig->lock);
    if (group->then != NULL) {
        group->then(group);
    }
}

static struct submit_group *group_new(struct submit_rig *rig, size_t memory, unsigned flags)
{
    struct submit_group *group = gfs_alloc(sizeof *group);
    group->rig = rig;
    group->memory = gfs_alloc(memory);
    group->group.done = done;
    group->group.may_use_reserve = (flags & SUBMIT_RESERVE) != 0;
    return group;
}

static void link_record(struct submit_group *group, struct chunk_record *record)
{
    struct chunk_record **tail = &group->group.records;
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    *tail = record;
}

/* Numbers, LSNs and submissions are in one order. */
static struct submit_group *submit(struct submit_rig *rig, struct submit_group *group,
                                   unsigned flags, char *edit)
{
    (void)pthread_mutex_lock(&rig->lock);
    if ((flags & SUBMIT_EDIT) != 0) {
        group->lsn = ++rig->last_lsn;
        struct chunk_record *record = &group->records[SUBMIT_RIG_CHUNKS_MAX + 1];
        (void)snprintf(edit, 32, "edit %llu", (unsigned long long)group->lsn);
        *record = (struct chunk_record){
            .kind = CHUNK_RECORD_EDIT, .lsn = group->lsn, .payload = gfs_slice_of(edit, 32)};
        link_record(group, record);
    }
    if (rig->count == rig->size) {
        rig->size = rig->size == 0 ? 64 : 2 * rig->size;
        rig->groups = gfs_realloc(rig->groups, rig->size * sizeof *rig->groups);
    }
    group->number = rig->count;
    rig->groups[rig->count++] = group;
    (void)pthread_mutex_unlock(&rig->lock);
    pool_submit(&rig->pool.base, &group->group);
    return group;
}

struct submit_group *submit_rig_put(struct submit_rig *rig, uint32_t pg, unsigned chunks,
                                    uint32_t len, unsigned flags)
{
    struct submit_group *group = group_new(rig, chunks * (len + 6) + 32, flags);
    GFS_ASSERT(chunks <= SUBMIT_RIG_CHUNKS_MAX);
    char *memory = group->memory;
    for (unsigned i = 0; i < chunks; i++) {
        group->ids[group->id_count++] = chunk_id_new(pg);
        for (uint32_t at = 0; at < len; at++) {
            memory[at] = byte_of(group->ids[i], at);
        }
        memcpy(memory + len, "oowner", 6);
        group->records[i] = (struct chunk_record){.kind = CHUNK_RECORD_DATA,
                                                  .id = group->ids[i],
                                                  .payload = gfs_slice_of(memory, len),
                                                  .owner = gfs_slice_of(memory + len, 6)};
        link_record(group, &group->records[i]);
        memory += len + 6;
    }
    return submit(rig, group, flags, memory);
}

struct submit_group *submit_rig_delete(struct submit_rig *rig, struct submit_group *other,
                                       unsigned flags)
{
    other->is_given_up = true;
    struct submit_group *group = group_new(rig, sizeof other->ids + 32, flags);
    group->is_delete = true;
    group->id_count = other->id_count;
    memcpy(group->ids, other->ids, sizeof group->ids);
    memcpy(group->memory, other->ids, sizeof group->ids);
    group->records[0] = (struct chunk_record){
        .kind = CHUNK_RECORD_DELETE,
        .payload = gfs_slice_of(group->memory, group->id_count * sizeof(struct chunk_id))};
    link_record(group, &group->records[0]);
    return submit(rig, group, flags, group->memory + sizeof group->ids);
}

struct submit_group *submit_rig_edit(struct submit_rig *rig)
{
    struct submit_group *group = group_new(rig, 32, 0);
    return submit(rig, group, SUBMIT_EDIT, group->memory);
}

enum gfs_err submit_rig_await(struct submit_group *group)
{
    struct submit_rig *rig = group->rig;
    (void)pthread_mutex_lock(&rig->lock);
    while (!group->is_answered) {
        (void)pthread_cond_wait(&rig->changed, &rig->lock);
    }
    (void)pthread_mutex_unlock(&rig->lock);
    return group->err;
}

size_t submit_rig_decide(struct submit_rig *rig)
{
    size_t total = 0;
    size_t count;
    do {
        count = 0;
        for (unsigned i = 0; i < rig->disk_count; i++) {
            count += disk_double_decide(rig->doubles[i], SIZE_MAX);
        }
        total += count;
    } while (count != 0);
    return total;
}

void submit_rig_settle(struct submit_rig *rig)
{
    while (submit_rig_decide(rig) != 0 || submit_rig_watch(rig)) {
    }
}

void submit_rig_time_out(struct submit_rig *rig)
{
    pool_submit_tick(&rig->pool, gfs_monotonic_ns() + (SLOW_MS + 1000) * 1000000LL);
}

/* ---- life ---- */

static void close_store(void *arg, struct chunk_store *store)
{
    (void)arg;
    (void)store;
}

void submit_rig_change(struct submit_rig *rig, void (*change)(struct pool_map *map))
{
    struct pool_map *map = pool_map_copy(submit_rig_map(rig));
    change(map);
    put_in_force(rig, map, false);
}

static struct pool_map *new_map(unsigned disks, const char *text)
{
    struct pool_map *map = map_rig_new(disks, text);
    struct pool_profile profile = map_rig_profile(text);
    unsigned width = pool_profile_width(profile);
    GFS_ASSERT(width <= disks);
    for (uint32_t i = 1; i < GROUPS; i++) {
        uint32_t number = pool_map_add_group(map, profile);
        GFS_ASSERT(number == i);
        for (unsigned slot = 0; slot < width; slot++) {
            uint16_t disk = (uint16_t)(i == 1 ? slot : disks - 1 - slot);
            map->groups[i].slots[slot] = (struct pool_slot){.disk = disk, .from = POOL_NO_DISK};
        }
    }
    map->log_disk_count = GFS_MIN(disks, (unsigned)MIRRORS);
    for (uint16_t i = 0; i < map->log_disk_count; i++) {
        map->log_disks[i] = (struct pool_log_disk){.disk = i, .is_in_sync = true};
    }
    map_rig_check(map);
    return map;
}

struct submit_rig *submit_rig_new(unsigned disks, const char *profile)
{
    struct submit_rig *rig = gfs_alloc(sizeof *rig);
    struct pool *pool = &rig->pool;
    (void)pthread_mutex_init(&rig->lock, NULL);
    (void)pthread_cond_init(&rig->changed, NULL);
    (void)pthread_mutex_init(&pool->view_lock, NULL);
    (void)pthread_mutex_init(&pool->coder_lock, NULL);
    (void)pthread_mutex_init(&pool->bulk_lock, NULL);
    pool->options.driver.close = close_store;
    pool->options.slow_ms = SLOW_MS;
    pool->tombs = pool_tombs_new();
    pool->suspects = pool_suspects_new();
    rig->disk_count = disks;
    struct pool_map *map = new_map(disks, profile);
    for (uint16_t i = 0; i < disks; i++) {
        rig->doubles[i] = disk_double_new();
        disk_double_set_auto(rig->doubles[i], false);
        disk_double_set_judge(rig->doubles[i], judge, rig);
        rig->disks[i] = pool_disk_new(pool, i, map->disks[i].id, map->disks[i].path,
                                      disk_double_store(rig->doubles[i]));
    }
    pool_view_set(pool, pool_view_new(pool, map, rig->disks));
    pool->submit = pool_submit_new(pool);
    return rig;
}

void submit_rig_free(struct submit_rig *rig)
{
    struct pool *pool = &rig->pool;
    for (unsigned i = 0; i < rig->disk_count; i++) {
        disk_double_hang(rig->doubles[i], false);
    }
    submit_rig_settle(rig);
    pool_submit_tick(pool, gfs_monotonic_ns() + 60000000000); /* maps that never come */
    submit_rig_settle(rig);
    for (size_t i = 0; i < rig->count; i++) {
        (void)submit_rig_await(rig->groups[i]);
    }
    for (unsigned i = 0; i < rig->disk_count; i++) { /* what was refused last is still deleted */
        disk_double_set_auto(rig->doubles[i], true);
    }
    pool_submit_free(pool->submit);
    for (size_t i = 0; i < rig->wish_count; i++) {
        GFS_ASSERT(rig->wishes[i].then == NULL);
        pool_disk_unref(rig->wishes[i].disk);
    }
    pool_view_set(pool, NULL);
    GFS_ASSERT(pool->views == NULL);
    for (unsigned i = 0; i < rig->disk_count; i++) {
        GFS_ASSERT(atomic_load(&rig->disks[i]->references) == 1);
        pool_disk_unref(rig->disks[i]);
    }
    pool_disk_reap(pool);
    for (unsigned i = 0; i < rig->disk_count; i++) {
        disk_double_free(rig->doubles[i]);
    }
    for (unsigned k = 0; k <= POOL_WIDTH_MAX; k++) {
        for (unsigned m = 0; m <= POOL_WIDTH_MAX; m++) {
            ec_free(pool->coders[k][m]);
        }
    }
    pool_tombs_free(pool->tombs);
    pool_suspects_free(pool->suspects);
    for (size_t i = 0; i < rig->count; i++) {
        free(rig->groups[i]);
    }
    free(rig->groups);
    free(rig);
}
