#include "tests/unit/pool/repair_rig.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/codec.h"
#include "pool/pool_errand.h"
#include "pool/pool_copy_op.h"

static void close_nothing(void *arg, struct chunk_store *store)
{
    (void)arg;
    (void)store; /* the doubles outlive the pool, as disks do */
}

static void init_pool(struct repair_rig *rig)
{
    struct pool *pool = &rig->pool;
    *pool = (struct pool){.options.driver.close = close_nothing};
    pool->options.scrub_rate = 1ULL << 40;
    pool->options.repair_rate = 1ULL << 40;
    (void)pthread_mutex_init(&pool->view_lock, NULL);
    (void)pthread_mutex_init(&pool->coder_lock, NULL);
    (void)pthread_mutex_init(&pool->change_lock, NULL);
    pool->tombs = pool_tombs_new();
    pool->suspects = pool_suspects_new();
    pool->errands = pool_errands_new();
    pool_progress_init(&rig->progress);
}

static void fini_pool(struct repair_rig *rig)
{
    struct pool *pool = &rig->pool;
    pool_view_set(pool, NULL);
    cr_assert_eq(pool->views, NULL, "a view is still held");
    for (unsigned i = 0; i < RIG_DISKS_MAX; i++) {
        if (rig->disks[i] != NULL) {
            pool_disk_unref(GFS_TAKE(rig->disks[i]));
        }
    }
    pool_disk_reap(pool);
    /* what a copy still had under way lets go of its disk on the disk's own thread */
    for (unsigned i = 0; i < 5000 && pool->open_disks != NULL; i++) {
        (void)usleep(1000);
        pool_disk_reap(pool);
    }
    for (unsigned k = 0; k <= POOL_WIDTH_MAX; k++) {
        for (unsigned m = 0; m <= POOL_WIDTH_MAX; m++) {
            ec_free(pool->coders[k][m]);
        }
    }
    cr_assert(pool_errands_end(pool->errands, 10000));
    pool_errands_free(pool->errands);
    pool_tombs_free(pool->tombs);
    pool_suspects_free(pool->suspects);
    pool_progress_fini(&rig->progress);
}

static struct pool_disk *make_disk(struct repair_rig *rig, uint16_t number, bool is_there)
{
    struct pool_map_disk like = map_rig_disk(number, 100);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%u", rig->dir, (unsigned)number);
    (void)mkdir(path, 0755);
    (void)snprintf(path, sizeof path, "%s/%u/identity", rig->dir, (unsigned)number);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    (void)fclose(file);
    (void)snprintf(path, sizeof path, "%s/%u", rig->dir, (unsigned)number);
    struct chunk_store *store = is_there ? disk_double_store(rig->doubles[number]) : NULL;
    return pool_disk_new(&rig->pool, number, like.id, path, store);
}

static void plan(struct pool_map *map, const char *profile)
{
    struct gfs_error error = {0};
    enum gfs_err err = pool_plan_profile(map, map_rig_profile(profile), &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
}

struct repair_rig *repair_rig_new(unsigned disks, const char *profile, const char *other)
{
    struct repair_rig *rig = gfs_alloc(sizeof *rig);
    (void)pthread_mutex_init(&rig->lock, NULL);
    gfs_cond_init(&rig->changed);
    (void)pthread_mutex_init(&rig->hook_lock, NULL);
    (void)snprintf(rig->dir, sizeof rig->dir, "/tmp/goodfs-repair-XXXXXX");
    cr_assert_neq(mkdtemp(rig->dir), NULL);
    init_pool(rig);
    struct pool_map *map = map_rig_new(disks, profile);
    plan(map, profile);
    if (other != NULL) {
        plan(map, other);
    }
    map_rig_check(map);
    for (uint16_t i = 0; i < disks; i++) {
        rig->doubles[i] = disk_double_new();
        rig->disks[i] = make_disk(rig, i, true);
    }
    pool_view_set(&rig->pool, pool_view_new(&rig->pool, map, rig->disks));
    return rig;
}

void repair_rig_free(struct repair_rig *rig)
{
    fini_pool(rig);
    for (unsigned i = 0; i < RIG_DISKS_MAX; i++) {
        disk_double_free(rig->doubles[i]);
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%u/scrub.json", rig->dir, i);
        (void)unlink(path);
        (void)snprintf(path, sizeof path, "%s/%u/identity", rig->dir, i);
        (void)unlink(path);
        (void)snprintf(path, sizeof path, "%s/%u", rig->dir, i);
        (void)rmdir(path);
    }
    (void)rmdir(rig->dir);
    free(rig);
}

void repair_rig_change(struct repair_rig *rig, void (*change)(struct pool_map *map, void *arg),
                       void *arg)
{
    struct pool_view *before = pool_view_get(&rig->pool);
    struct pool_map *map = pool_map_copy(before->map);
    pool_view_put(before);
    if (change != NULL) {
        change(map, arg);
    }
    map->version++;
    map_rig_check(map);
    pool_view_set(&rig->pool, pool_view_new(&rig->pool, map, rig->disks));
}

static void fail_disk(struct pool_map *map, void *arg)
{
    uint32_t unplaced;
    struct gfs_error error = {0};
    enum gfs_err err = pool_plan_fail(map, *(uint16_t *)arg, &unplaced, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
}

void repair_rig_lose(struct repair_rig *rig, uint16_t disk)
{
    repair_rig_take_away(rig, disk);
    repair_rig_change(rig, fail_disk, &disk);
}

static void return_disk(struct pool_map *map, void *arg)
{
    pool_plan_return(map, *(uint16_t *)arg);
}

void repair_rig_return(struct repair_rig *rig, uint16_t disk)
{
    repair_rig_bring_back(rig, disk);
    repair_rig_change(rig, return_disk, &disk);
}

static void add_one(struct pool_map *map, void *arg)
{
    uint16_t number = pool_map_add_disk(map, arg);
    GFS_ASSERT(number < RIG_DISKS_MAX);
}

uint16_t repair_rig_add_disk(struct repair_rig *rig)
{
    uint16_t number = (uint16_t)repair_rig_map(rig)->disk_count;
    rig->doubles[number] = disk_double_new();
    rig->disks[number] = make_disk(rig, number, true);
    struct pool_map_disk disk = map_rig_disk(number, 100);
    repair_rig_change(rig, add_one, &disk);
    return number;
}

static void replace_disk(struct repair_rig *rig, uint16_t disk, bool is_there)
{
    pool_disk_unref(rig->disks[disk]);
    rig->disks[disk] = make_disk(rig, disk, is_there);
    repair_rig_change(rig, NULL, NULL);
}

void repair_rig_take_away(struct repair_rig *rig, uint16_t disk)
{
    replace_disk(rig, disk, false);
}

void repair_rig_bring_back(struct repair_rig *rig, uint16_t disk)
{
    replace_disk(rig, disk, true);
}

void repair_rig_empty(struct repair_rig *rig, uint16_t disk)
{
    repair_rig_take_away(rig, disk);
    pool_disk_reap(&rig->pool);
    disk_double_free(rig->doubles[disk]);
    rig->doubles[disk] = disk_double_new();
    repair_rig_bring_back(rig, disk);
}

void repair_rig_restart(struct repair_rig *rig)
{
    struct pool_map *map = pool_map_copy(repair_rig_map(rig));
    bool is_there[RIG_DISKS_MAX] = {0};
    for (uint16_t i = 0; i < map->disk_count; i++) {
        is_there[i] = rig->disks[i]->store != NULL;
    }
    fini_pool(rig);
    init_pool(rig);
    for (uint16_t i = 0; i < map->disk_count; i++) {
        rig->disks[i] = make_disk(rig, i, is_there[i]);
    }
    map->version++;
    pool_view_set(&rig->pool, pool_view_new(&rig->pool, map, rig->disks));
}

const struct pool_map *repair_rig_map(struct repair_rig *rig)
{
    struct pool_view *view = pool_view_get(&rig->pool);
    const struct pool_map *map = view->map;
    pool_view_put(view); /* the one in force holds it */
    return map;
}

/* ---- chunks ---- */

static void draw(unsigned number, uint8_t *ret, uint32_t len)
{
    uint64_t state = number * 7919ULL + 1;
    for (uint32_t i = 0; i < len; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        ret[i] = (uint8_t)(state >> 56);
    }
}

/* The fragment of a slot: stripes are laid down whole fragments at a time here, which repair does
 * not see. */
static uint8_t *make_fragment(struct repair_rig *rig, struct pool_profile profile, unsigned number,
                              uint32_t len, uint32_t slot, uint32_t *ret_len)
{
    uint32_t each = profile.kind == POOL_EC ? pool_fragment_len(profile.k, len) : len;
    uint8_t *all = gfs_alloc((size_t)pool_profile_width(profile) * each);
    draw(number, all, profile.k * each);
    if (profile.kind == POOL_EC) {
        const uint8_t *data[EC_CELLS_MAX];
        uint8_t *parity[EC_CELLS_MAX];
        for (unsigned i = 0; i < profile.k; i++) {
            data[i] = all + (size_t)i * each;
        }
        for (unsigned i = 0; i < profile.m; i++) {
            parity[i] = all + (size_t)(profile.k + i) * each;
        }
        ec_encode(pool_coder(&rig->pool, profile), each, data, parity);
    }
    uint8_t *bytes = gfs_alloc(each);
    memcpy(bytes, all + (profile.kind == POOL_EC ? (size_t)slot * each : 0), each);
    free(all);
    *ret_len = each;
    return bytes;
}

static size_t make_owner(struct pool_profile profile, unsigned number, uint32_t len, uint32_t slot,
                         char *ret)
{
    char text[32];
    (void)snprintf(text, sizeof text, "o%u", number);
    return pool_fragment_owner_write(profile, slot, len, gfs_slice_str(text), ret);
}

static void write_fragment(struct repair_rig *rig, uint16_t disk, struct chunk_id id,
                           struct gfs_slice owner, struct gfs_slice bytes)
{
    struct pool_pace pace;
    pool_pace_init(&pace, 0);
    struct pool_copy_op *op = pool_copy_op_new(&rig->pool, &pace, rig->disks[disk]);
    struct chunk_record record = {
        .kind = CHUNK_RECORD_DATA, .id = id, .owner = owner, .payload = bytes};
    if (bytes.len > GFS_SMALL_CHUNK_MAX) {
        cr_assert_eq(pool_copy_op_begin(op, id, owner, (uint32_t)bytes.len), GFS_OK);
        cr_assert_eq(pool_copy_op_append(op, bytes.ptr, bytes.len), GFS_OK);
        cr_assert_eq(pool_copy_op_finish(op), GFS_OK);
        record = (struct chunk_record){.kind = CHUNK_RECORD_PLACE, .bulk = pool_copy_op_bulk(op)};
    }
    struct chunk_store *store = disk_double_store(rig->doubles[disk]);
    store->ops->submit(store, pool_copy_op_group(op, &record));
    cr_assert_eq(pool_copy_op_wait(op), GFS_OK);
    pool_copy_op_free(op);
    pool_pace_fini(&pace);
}

struct chunk_id repair_rig_put(struct repair_rig *rig, const char *profile, unsigned nth,
                               unsigned number, uint32_t len)
{
    GFS_FREE uint32_t *groups = NULL;
    uint32_t count;
    pool_plan_groups(repair_rig_map(rig), map_rig_profile(profile), &groups, &count);
    struct chunk_id id = chunk_id_new(groups[nth % count]);
    const struct pool_group *group = &repair_rig_map(rig)->groups[groups[nth % count]];
    for (uint32_t slot = 0; slot < pool_profile_width(group->profile); slot++) {
        uint32_t each;
        char owner[CHUNK_OWNER_LEN_MAX];
        size_t owner_len = make_owner(group->profile, number, len, slot, owner);
        GFS_FREE uint8_t *bytes = make_fragment(rig, group->profile, number, len, slot, &each);
        write_fragment(rig, group->slots[slot].disk, pool_fragment_id(group, id, slot),
                       gfs_slice_of(owner, owner_len), gfs_slice_of(bytes, each));
    }
    return id;
}

bool repair_rig_is_there(struct repair_rig *rig, struct chunk_id id, unsigned number, uint32_t len,
                         uint32_t slot, uint16_t disk)
{
    const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(id)];
    struct chunk_id there = pool_fragment_id(group, id, slot);
    uint32_t each;
    char owner[CHUNK_OWNER_LEN_MAX];
    char found_owner[CHUNK_OWNER_LEN_MAX];
    size_t owner_len = make_owner(group->profile, number, len, slot, owner);
    GFS_FREE uint8_t *bytes = make_fragment(rig, group->profile, number, len, slot, &each);
    GFS_FREE char *found = gfs_alloc(each);
    return disk_double_bytes(rig->doubles[disk], there, found, each) == each &&
           memcmp(found, bytes, each) == 0 &&
           disk_double_owner(rig->doubles[disk], there, found_owner, sizeof found_owner) ==
               owner_len &&
           memcmp(found_owner, owner, owner_len) == 0;
}

bool repair_rig_is_whole(struct repair_rig *rig, struct chunk_id id, unsigned number, uint32_t len)
{
    const struct pool_group *group = &repair_rig_map(rig)->groups[chunk_id_group(id)];
    bool is_whole = true;
    for (uint32_t slot = 0; slot < pool_profile_width(group->profile); slot++) {
        is_whole &= repair_rig_is_there(rig, id, number, len, slot, group->slots[slot].disk);
    }
    return is_whole;
}

unsigned repair_rig_extras(struct repair_rig *rig, struct chunk_id id)
{
    const struct pool_map *map = repair_rig_map(rig);
    const struct pool_group *group = &map->groups[chunk_id_group(id)];
    unsigned width = pool_profile_width(group->profile);
    bool is_ec = group->profile.kind == POOL_EC;
    unsigned count = 0;
    for (uint16_t disk = 0; disk < map->disk_count; disk++) {
        for (uint32_t slot = 0; slot < (is_ec ? width : 1); slot++) {
            bool is_wanted = false;
            for (unsigned i = 0; i < width; i++) {
                is_wanted |= group->slots[i].disk == disk && (!is_ec || i == slot);
            }
            count += !is_wanted &&
                     disk_double_has(rig->doubles[disk], pool_fragment_id(group, id, slot));
        }
    }
    return count;
}

/* DELETE records of one chunk on their way. */
struct deletion {
    struct repair_rig *rig;
    struct pool_view *view;
    struct chunk_id id;
    struct pool_pace pace;
    struct pool_copy_op *ops[RIG_DISKS_MAX];
};

static void send_deletes(void *arg)
{
    struct deletion *deletion = arg;
    const struct pool_group *group = pool_view_group(deletion->view, deletion->id);
    unsigned width = pool_profile_width(group->profile);
    for (uint16_t disk = 0; disk < deletion->view->map->disk_count; disk++) {
        bool may_have = false;
        for (unsigned i = 0; i < width; i++) {
            may_have |= group->slots[i].disk == disk || group->slots[i].from == disk;
        }
        if (!may_have || !pool_disk_is_usable(deletion->view->disks[disk])) {
            continue;
        }
        struct pool_copy_op *op =
            pool_copy_op_new(&deletion->rig->pool, &deletion->pace, deletion->view->disks[disk]);
        char *ids = pool_copy_op_reserve(op, (size_t)width * 16);
        for (unsigned i = 0; i < width; i++) {
            struct chunk_id there = pool_fragment_id(group, deletion->id, i);
            gfs_codec_store_u64(ids + (size_t)i * 16, there.hi);
            gfs_codec_store_u64(ids + (size_t)i * 16 + 8, there.lo);
        }
        unsigned count = group->profile.kind == POOL_EC ? width : 1;
        struct chunk_record record = {.kind = CHUNK_RECORD_DELETE,
                                      .payload = gfs_slice_of(ids, (size_t)count * 16)};
        struct chunk_store *store = deletion->view->disks[disk]->store;
        store->ops->submit(store, pool_copy_op_group(op, &record));
        deletion->ops[disk] = op;
    }
}

void repair_rig_delete(struct repair_rig *rig, struct chunk_id id, bool is_awaited)
{
    struct deletion deletion = {.rig = rig, .view = pool_view_get(&rig->pool), .id = id};
    pool_pace_init(&deletion.pace, 0);
    cr_assert(pool_tombs_delete(&rig->pool, &id, 1, send_deletes, &deletion));
    for (unsigned i = 0; i < RIG_DISKS_MAX; i++) {
        if (deletion.ops[i] != NULL) {
            cr_assert(!is_awaited || pool_copy_op_wait(deletion.ops[i]) == GFS_OK);
            pool_copy_op_free(deletion.ops[i]);
        }
    }
    pool_view_put(deletion.view);
    pool_pace_fini(&deletion.pace);
}

static void between(void *arg, struct pool_view *view)
{
    (void)view;
    struct repair_rig *rig = arg;
    atomic_fetch_add(&rig->betweens, 1);
}

enum pool_pass_outcome repair_rig_pass(struct repair_rig *rig)
{
    struct pool_pace pace;
    pool_pace_init(&pace, 0);
    rig->pace = &pace;
    GFS_FREE char *bytes = gfs_alloc_aligned(4096, POOL_COPY_STEP);
    struct pool_pass_options options = {
        .pool = &rig->pool,
        .pace = &pace,
        .progress = &rig->progress,
        .bytes = bytes,
        .between = between,
        .arg = rig,
        .older_ms = 0,
    };
    enum pool_pass_outcome outcome = pool_pass_run(&options);
    rig->pace = NULL;
    pool_pace_fini(&pace);
    return outcome;
}

unsigned repair_rig_flags(struct repair_rig *rig)
{
    const struct pool_map *map = repair_rig_map(rig);
    unsigned count = 0;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            count += map->groups[g].slots[i].is_filling;
        }
    }
    for (uint32_t d = 0; d < map->disk_count; d++) {
        count += map->disks[d].is_behind;
    }
    return count;
}

void repair_rig_await(struct repair_rig *rig, bool (*is_so)(struct repair_rig *rig))
{
    for (unsigned i = 0; i < 4000; i++) {
        if (is_so(rig)) {
            return;
        }
        (void)pthread_mutex_lock(&rig->lock);
        (void)gfs_cond_wait_until(&rig->changed, &rig->lock, gfs_monotonic_ns() + 5000000);
        (void)pthread_mutex_unlock(&rig->lock);
    }
    cr_assert(false, "it did not come to pass");
}
