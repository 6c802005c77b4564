#include "tests/unit/pool/data_rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"

/* The watch's part: this rig has none. */
void pool_disk_drop(struct pool *pool, struct pool_disk *disk, enum gfs_err err, const char *what)
{
    (void)pool;
    (void)err;
    (void)what;
    atomic_store(&disk->is_dropped, true);
}

/* Repair's part: the suspects are only kept. */
static struct data_rig *rig_of(struct pool *pool)
{
    return GFS_CONTAINER_OF(pool, struct data_rig, pool);
}

void pool_suspect_add(struct pool *pool, const struct pool_suspect *suspect)
{
    struct data_rig *rig = rig_of(pool);
    (void)pthread_mutex_lock(&rig->lock);
    if (rig->suspect_count < GFS_COUNT(rig->suspects)) {
        rig->suspects[rig->suspect_count++] = *suspect;
    }
    (void)pthread_mutex_unlock(&rig->lock);
}

bool pool_suspect_take(struct pool *pool, struct pool_suspect *ret)
{
    struct data_rig *rig = rig_of(pool);
    (void)pthread_mutex_lock(&rig->lock);
    bool is_there = rig->suspect_count > 0;
    if (is_there) {
        *ret = rig->suspects[--rig->suspect_count];
    }
    (void)pthread_mutex_unlock(&rig->lock);
    return is_there;
}

size_t pool_suspect_count(struct pool *pool)
{
    struct data_rig *rig = rig_of(pool);
    (void)pthread_mutex_lock(&rig->lock);
    size_t count = rig->suspect_count;
    (void)pthread_mutex_unlock(&rig->lock);
    return count;
}

static void close_disk(void *arg, struct chunk_store *store)
{
    (void)arg;
    disk_double_free(disk_double_of(store));
}

static void set_view(struct data_rig *rig, struct pool_map *map)
{
    struct pool_disk *disks[POOL_DISKS_MAX] = {NULL};
    for (unsigned i = 0; i < rig->disk_count; i++) {
        disks[i] = rig->pool_disks[i];
    }
    pool_view_set(&rig->pool, pool_view_new(&rig->pool, map, disks));
}

void data_rig_init(struct data_rig *rig, const char *profile, unsigned spares)
{
    *rig = (struct data_rig){0};
    cr_assert_eq(pool_profile_parse(gfs_slice_str(profile), &rig->profile, NULL), GFS_OK);
    struct pool *pool = &rig->pool;
    (void)pthread_mutex_init(&pool->view_lock, NULL);
    gfs_cond_init(&pool->views_gone);
    (void)pthread_mutex_init(&pool->coder_lock, NULL);
    (void)pthread_mutex_init(&pool->bulk_lock, NULL);
    pool->options.race_ms = 50;
    pool->options.slow_ms = 2000;
    pool->options.driver.close = close_disk;
    (void)pthread_mutex_init(&rig->lock, NULL);
    rig->width = pool_profile_width(rig->profile);
    rig->disk_count = rig->width + spares;
    struct pool_map *map = pool_map_new("00000000-0000-0000-0000-000000000001");
    map->version = 1;
    map->disk_count = rig->disk_count;
    map->disks = gfs_realloc(map->disks, rig->disk_count * sizeof *map->disks);
    for (unsigned i = 0; i < rig->disk_count; i++) {
        map->disks[i] = (struct pool_map_disk){.state = POOL_DISK_ACTIVE, .id = {(uint8_t)(i + 1)}};
        rig->disks[i] = disk_double_new();
        disk_double_set_copying(rig->disks[i], i % 3 == 1);
        rig->pool_disks[i] = pool_disk_new(pool, (uint16_t)i, map->disks[i].id, "",
                                           disk_double_store(rig->disks[i]));
    }
    map->groups = gfs_realloc(map->groups, 2 * sizeof *map->groups);
    map->group_count = 2;
    for (unsigned g = 0; g < 2; g++) {
        map->groups[g].profile = rig->profile;
        if (g != 0) {
            map->groups[g].slots = gfs_alloc_array(POOL_WIDTH_MAX, sizeof(struct pool_slot));
        }
        for (unsigned i = 0; i < POOL_WIDTH_MAX; i++) {
            map->groups[g].slots[i] = (struct pool_slot){.disk = (uint16_t)i, .from = POOL_NO_DISK};
        }
    }
    set_view(rig, map);
}

void data_rig_change(struct data_rig *rig, void (*change)(struct pool_map *map, unsigned arg),
                     unsigned arg)
{
    struct pool_map *map = pool_map_copy(rig->pool.view->map);
    map->version++;
    change(map, arg);
    set_view(rig, map);
}

void data_rig_fini(struct data_rig *rig)
{
    pool_view_set(&rig->pool, NULL);
    for (unsigned i = 0; i < rig->disk_count; i++) {
        pool_disk_unref(rig->pool_disks[i]);
    }
    cr_assert(pool_view_await_none(&rig->pool, 10000), "reads and writers come to an end");
    cr_assert_eq(atomic_load(&rig->pool.bulk_count), 0);
    cr_assert_eq(atomic_load(&rig->pool.bulk_row_bytes), 0);
    pool_disk_reap(&rig->pool);
    for (unsigned k = 0; k <= POOL_WIDTH_MAX; k++) {
        for (unsigned m = 0; m <= POOL_WIDTH_MAX; m++) {
            ec_free(rig->pool.coders[k][m]);
        }
    }
    (void)pthread_mutex_destroy(&rig->lock);
}

void data_rig_fill(char *bytes, size_t len, uint64_t seed)
{
    uint64_t x = seed * 0x9E3779B97F4A7C15U + 1;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bytes + i, &x, 8);
    }
    for (; i < len; i++) {
        bytes[i] = (char)(seed + i);
    }
}

/* ---- what is heard ---- */

void data_heard_init(struct data_heard *heard)
{
    *heard = (struct data_heard){0};
    (void)pthread_mutex_init(&heard->lock, NULL);
    (void)pthread_cond_init(&heard->changed, NULL);
}

void data_heard_fini(struct data_heard *heard)
{
    (void)pthread_mutex_destroy(&heard->lock);
    (void)pthread_cond_destroy(&heard->changed);
}

void data_heard_writable(void *arg)
{
    struct data_heard *heard = arg;
    (void)pthread_mutex_lock(&heard->lock);
    heard->writable_count++;
    (void)pthread_cond_broadcast(&heard->changed);
    (void)pthread_mutex_unlock(&heard->lock);
}

void data_heard_finished(void *arg, enum gfs_err err)
{
    struct data_heard *heard = arg;
    (void)pthread_mutex_lock(&heard->lock);
    heard->finished_count++;
    heard->err = err;
    (void)pthread_cond_broadcast(&heard->changed);
    (void)pthread_mutex_unlock(&heard->lock);
}

enum gfs_err data_heard_await(struct data_heard *heard)
{
    (void)pthread_mutex_lock(&heard->lock);
    while (heard->finished_count == 0) {
        (void)pthread_cond_wait(&heard->changed, &heard->lock);
    }
    (void)pthread_mutex_unlock(&heard->lock);
    cr_assert_eq(heard->finished_count, 1);
    return heard->err;
}

/* ---- chunks ---- */

struct chunk_id data_rig_next(struct data_rig *rig)
{
    (void)rig;
    return chunk_id_new(1);
}

struct chunk_id data_rig_fragment(const struct data_rig *rig, struct chunk_id id, unsigned slot)
{
    return rig->profile.kind == POOL_EC ? chunk_id_at(id, slot) : id;
}

struct waiting_group {
    struct chunk_group group;
    struct data_heard heard;
};

static void group_done(struct chunk_group *group, enum gfs_err err)
{
    data_heard_finished(&GFS_CONTAINER_OF(group, struct waiting_group, group)->heard, err);
}

void data_rig_place(struct data_rig *rig, struct chunk_bulk *bulk)
{
    struct pool_bulk_part parts[POOL_WIDTH_MAX];
    struct chunk_id id;
    unsigned width = pool_bulk_parts(bulk, &id, parts);
    cr_assert_eq(width, rig->width);
    for (unsigned i = 0; i < width; i++) {
        if (parts[i].child == NULL || atomic_load(&parts[i].disk->is_dropped)) {
            continue;
        }
        struct chunk_record record = {.kind = CHUNK_RECORD_PLACE, .bulk = parts[i].child};
        struct waiting_group waiting = {.group = {.records = &record, .done = group_done}};
        data_heard_init(&waiting.heard);
        parts[i].disk->store->ops->submit(parts[i].disk->store, &waiting.group);
        (void)data_heard_await(&waiting.heard);
        data_heard_fini(&waiting.heard);
    }
    pool_bulk_release(bulk);
}

enum gfs_err data_rig_write(struct data_rig *rig, struct chunk_id id, const char *bytes, size_t len,
                            size_t step, size_t slack)
{
    struct data_heard heard;
    data_heard_init(&heard);
    struct chunk_bulk_options options = {.id = id,
                                         .owner = gfs_slice_str("owner"),
                                         .len_max = (uint32_t)(len + slack),
                                         .writable = data_heard_writable,
                                         .arg = &heard};
    struct chunk_bulk *bulk = NULL;
    enum gfs_err err = pool_bulk_begin(&rig->pool.base, &options, &bulk);
    if (err != GFS_OK) {
        data_heard_fini(&heard);
        return err;
    }
    size_t at = 0;
    unsigned waits = 0;
    while (at < len) {
        size_t want = GFS_MIN(step, len - at);
        size_t taken = pool_bulk_append(bulk, bytes + at, want);
        at += taken;
        if (taken < want) { /* told exactly once for each short append */
            waits++;
            (void)pthread_mutex_lock(&heard.lock);
            while (heard.writable_count < waits) {
                (void)pthread_cond_wait(&heard.changed, &heard.lock);
            }
            cr_assert_eq(heard.writable_count, waits);
            (void)pthread_mutex_unlock(&heard.lock);
        }
    }
    pool_bulk_finish(bulk, data_heard_finished);
    err = data_heard_await(&heard);
    if (err == GFS_OK) {
        data_rig_place(rig, bulk);
    }
    pool_bulk_free(bulk);
    data_heard_fini(&heard);
    return err;
}

static void compare(const char *got, const char *bytes, size_t len, uint32_t offset, uint32_t want)
{
    size_t known = offset < len ? GFS_MIN(len - offset, (size_t)want) : 0;
    cr_assert(memcmp(got, bytes + offset, known) == 0, "bytes of [%u, +%u) of %zu", offset, want,
              len);
    for (size_t i = known; i < want; i++) {
        cr_assert_eq(got[i], 0, "padding at %zu of [%u, +%u) of %zu", i, offset, want, len);
    }
}

enum gfs_err data_rig_check_range(struct data_rig *rig, struct chunk_id id, const char *bytes,
                                  size_t len, uint32_t offset, uint32_t want)
{
    struct chunk_pin pin;
    enum gfs_err err = pool_pin(&rig->pool.base, id, &pin);
    if (err != GFS_OK) {
        return err;
    }
    want = GFS_MIN(want, pin.len - offset);
    char *got = gfs_alloc(want + 1);
    err = pool_read(&rig->pool.base, &pin, offset, want, got, 0);
    pool_unpin(&rig->pool.base, &pin);
    if (err == GFS_OK) {
        compare(got, bytes, len, offset, want);
        cr_assert_eq(got[want], 0, "nothing behind the range is written");
    }
    free(got);
    return err;
}

enum gfs_err data_rig_check(struct data_rig *rig, struct chunk_id id, const char *bytes, size_t len)
{
    return data_rig_check_range(rig, id, bytes, len, 0, UINT32_MAX);
}
