/* Many threads write and read large chunks on a pool: of disk doubles that are slow, hang and come
 * back, then of real stores; writers are abandoned, the watch's tick goes round, and the map does
 * without a disk now and then, which readers then let go of.
 *
 * Checked while it runs: what was finished and made live is read back byte for byte; each short
 * append is followed by a call. At the end nobody holds anything.
 * GOODFS_RACE_STEPS=N changes the number of operations a thread. */
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datad/store.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"
#include "pool/pool_leave.h"
#include "pool/pool_state.h"
#include "tests/unit/pool/disk_double.h"

enum { THREADS = 4, STEPS = 120, DISKS = 6, LEN_MAX = 700 << 10 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "race: %s:%d: %s\n", __FILE__, __LINE__, #condition);            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct race {
    struct pool pool;
    struct pool_disk *pool_disks[DISKS];
    struct disk_double *disks[DISKS]; /* NULL: real stores in dir */
    struct store *stores[DISKS];
    char dir[64];
    unsigned steps;
    atomic_bool is_over;
    atomic_uint suspects;
};

/* One user of the pool: does one thing at a time. */
struct user {
    struct race *race;
    pthread_t thread;
    uint64_t random;
    /* Guarded by lock: what callbacks tell. */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned answers, writables;
    enum gfs_err err;
};

/* The parts of the pool that are not here. */
void pool_disk_drop(struct pool *pool, struct pool_disk *disk, enum gfs_err err, const char *what)
{
    (void)pool;
    (void)disk;
    (void)err;
    (void)what; /* it stays: others go on using it */
}

void pool_suspect_add(struct pool *pool, const struct pool_suspect *suspect)
{
    (void)suspect;
    atomic_fetch_add(&GFS_CONTAINER_OF(pool, struct race, pool)->suspects, 1);
}

static uint64_t draw(struct user *user, uint64_t limit)
{
    user->random ^= user->random << 13;
    user->random ^= user->random >> 7;
    user->random ^= user->random << 17;
    return (user->random * 0x2545F4914F6CDD1DU >> 16) % limit;
}

static char *bytes_of(struct chunk_id id, size_t len)
{
    char *bytes = gfs_alloc(len + 8);
    uint64_t x = (id.lo + 1) * 0x9E3779B97F4A7C15U;
    for (size_t i = 0; i < len; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bytes + i, &x, sizeof x);
    }
    return bytes;
}

/* ---- what is told ---- */

static void writable(void *arg)
{
    struct user *user = arg;
    (void)pthread_mutex_lock(&user->lock);
    user->writables++;
    (void)pthread_cond_signal(&user->cond);
    (void)pthread_mutex_unlock(&user->lock);
}

static void answered(void *arg, enum gfs_err err)
{
    struct user *user = arg;
    (void)pthread_mutex_lock(&user->lock);
    user->answers++;
    user->err = err;
    (void)pthread_cond_signal(&user->cond);
    (void)pthread_mutex_unlock(&user->lock);
}

static void await(struct user *user, const unsigned *count, unsigned wanted)
{
    (void)pthread_mutex_lock(&user->lock);
    while (*count < wanted) {
        (void)pthread_cond_wait(&user->cond, &user->lock);
    }
    (void)pthread_mutex_unlock(&user->lock);
}

struct placing {
    struct chunk_group group;
    struct user *user;
};

static void placed(struct chunk_group *group, enum gfs_err err)
{
    answered(GFS_CONTAINER_OF(group, struct placing, group)->user, err);
}

static unsigned place(struct user *user, struct chunk_bulk *bulk)
{
    struct pool_bulk_part parts[POOL_WIDTH_MAX];
    struct chunk_id id;
    unsigned width = pool_bulk_parts(bulk, &id, parts);
    unsigned count = 0;
    for (unsigned i = 0; i < width; i++) {
        if (parts[i].child == NULL) {
            continue;
        }
        struct chunk_record record = {.kind = CHUNK_RECORD_PLACE, .bulk = parts[i].child};
        struct placing placing = {.group = {.records = &record, .done = placed}, .user = user};
        user->answers = 0;
        parts[i].disk->store->ops->submit(parts[i].disk->store, &placing.group);
        await(user, &user->answers, 1);
        count++;
    }
    pool_bulk_release(bulk);
    return count;
}

/* ---- users ---- */

static void read_back(struct user *user, struct chunk_id id, const char *bytes, size_t len)
{
    struct chunk_store *chunks = &user->race->pool.base;
    struct chunk_pin pin;
    CHECK(pool_pin(chunks, id, &pin) == GFS_OK);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t blocks = (pin.len - 1) / GFS_BLOCK_SIZE + 1;
        uint32_t offset = (uint32_t)draw(user, blocks) * GFS_BLOCK_SIZE;
        uint32_t want = (uint32_t)(1 + draw(user, 8)) * GFS_BLOCK_SIZE;
        want = GFS_MIN(want, pin.len - offset);
        char *got = gfs_alloc(want);
        enum gfs_err err =
            pool_read(chunks, &pin, offset, want, got, draw(user, 3) == 0 ? CHUNK_READ_NOWAIT : 0);
        CHECK(err == GFS_OK || err == GFS_AGAIN);
        if (err == GFS_OK && offset < len) {
            CHECK(memcmp(got, bytes + offset, GFS_MIN((size_t)want, len - offset)) == 0);
        }
        free(got);
    }
    pool_unpin(chunks, &pin);
}

static void write_one(struct user *user)
{
    struct race *race = user->race;
    size_t len = 1 + draw(user, LEN_MAX);
    struct chunk_id id = chunk_id_new(1 + (uint32_t)draw(user, 2));
    char *bytes = bytes_of(id, len);
    struct chunk_bulk_options options = {
        .id = id, .len_max = (uint32_t)len, .writable = writable, .arg = user};
    struct chunk_bulk *bulk = NULL;
    enum gfs_err err = pool_bulk_begin(&race->pool.base, &options, &bulk);
    CHECK(err == GFS_OK);
    size_t abandon_at = draw(user, 4) == 0 ? draw(user, len + 1) : SIZE_MAX;
    bool is_abandoned = false;
    size_t at = 0;
    user->writables = 0;
    unsigned waits = 0;
    while (at < len && !is_abandoned) {
        size_t want = 1 + draw(user, 150000);
        want = GFS_MIN(len - at, want);
        size_t taken = pool_bulk_append(bulk, bytes + at, want);
        at += taken;
        is_abandoned = at >= abandon_at;
        if (taken < want && !is_abandoned) {
            await(user, &user->writables, ++waits);
        }
    }
    if (!is_abandoned) {
        (void)pthread_mutex_lock(&user->lock);
        user->answers = 0;
        (void)pthread_mutex_unlock(&user->lock);
        pool_bulk_finish(bulk, answered);
        is_abandoned = draw(user, 8) == 0;
    }
    if (!is_abandoned) {
        await(user, &user->answers, 1);
        CHECK(user->err == GFS_OK || user->err == GFS_UNREACHABLE);
        if (user->err == GFS_OK && place(user, bulk) > 0) {
            read_back(user, id, bytes, len);
        }
    }
    pool_bulk_free(bulk);
    free(bytes);
}

static void *use(void *arg)
{
    struct user *user = arg;
    for (unsigned i = 0; i < user->race->steps; i++) {
        write_one(user);
    }
    return NULL;
}

/* Without disk 2, or with it again. */
static void change_view(struct race *race, bool is_without)
{
    atomic_store(&race->pool_disks[2]->is_dropped, is_without);
    struct pool_view *before = pool_view_get(&race->pool);
    struct pool_map *map = pool_map_copy(before->map);
    pool_view_put(before);
    struct pool_disk *disks[POOL_DISKS_MAX] = {NULL};
    for (unsigned i = 0; i < DISKS; i++) {
        disks[i] = i == 2 && is_without ? NULL : race->pool_disks[i];
    }
    pool_view_set(&race->pool, pool_view_new(&race->pool, map, disks));
    pool_leave_disks(&race->pool);
}

/* Disk 1 hangs now and then, disk 2 is left and taken back, and the tick goes round. */
static void *disturb(void *arg)
{
    struct race *race = arg;
    for (unsigned i = 0; !atomic_load(&race->is_over); i++) {
        if (race->disks[1] != NULL) {
            disk_double_hang(race->disks[1], i % 64 < 16);
        }
        if (i % 8 == 0) {
            change_view(race, i % 32 < 16);
        }
        pool_bulk_tick(&race->pool, gfs_monotonic_ns() + (i % 50 == 0 ? 2100000000LL : 0));
        (void)sched_yield();
    }
    if (race->disks[1] != NULL) {
        disk_double_hang(race->disks[1], false);
    }
    return NULL;
}

/* ---- the pool ---- */

static void close_disk(void *arg, struct chunk_store *store)
{
    struct race *race = arg;
    if (race->disks[0] != NULL) {
        disk_double_free(disk_double_of(store));
        return;
    }
    for (unsigned i = 0; i < DISKS; i++) {
        if (store_chunks(race->stores[i]) == store) {
            store_close(race->stores[i]);
            return;
        }
    }
}

static struct chunk_store *open_disk(struct race *race, unsigned number)
{
    if (race->dir[0] == '\0') {
        race->disks[number] = disk_double_new();
        return disk_double_store(race->disks[number]);
    }
    char dir[80];
    (void)snprintf(dir, sizeof dir, "%s/%u", race->dir, number);
    struct store_options options = {
        .dir = dir, .segment_size = 4 << 20, .bulk_size = 64 << 20, .reserve_bytes = 1};
    struct gfs_error error = {0};
    if (store_open(&options, &race->stores[number], &error) != GFS_OK) {
        (void)fprintf(stderr, "race: %s\n", error.text);
        abort();
    }
    return store_chunks(race->stores[number]);
}

static void init_group(struct pool_map *map, struct pool_profile profile)
{
    uint32_t number = pool_map_add_group(map, profile);
    CHECK(number != 0);
    struct pool_group *group = &map->groups[number];
    for (unsigned i = 0; i < pool_profile_width(profile); i++) {
        group->slots[i] = (struct pool_slot){.disk = (uint16_t)i, .from = POOL_NO_DISK};
    }
}

static void race_init(struct race *race)
{
    struct pool *pool = &race->pool;
    (void)pthread_mutex_init(&pool->view_lock, NULL);
    gfs_cond_init(&pool->views_gone);
    (void)pthread_mutex_init(&pool->coder_lock, NULL);
    (void)pthread_mutex_init(&pool->bulk_lock, NULL);
    pool->errands = pool_errands_new();
    pool->options.race_ms = 5;
    pool->options.slow_ms = 2000;
    pool->options.driver.arg = race;
    pool->options.driver.close = close_disk;
    struct pool_map *map = pool_map_new("00000000-0000-0000-0000-000000000001");
    map->version = 1;
    map->disk_count = DISKS;
    map->disks = gfs_realloc(map->disks, DISKS * sizeof *map->disks);
    struct pool_disk *disks[POOL_DISKS_MAX] = {NULL};
    for (unsigned i = 0; i < DISKS; i++) {
        map->disks[i] = (struct pool_map_disk){.state = POOL_DISK_ACTIVE, .id = {(uint8_t)(i + 1)}};
        race->pool_disks[i] =
            pool_disk_new(pool, (uint16_t)i, map->disks[i].id, "", open_disk(race, i));
        disks[i] = race->pool_disks[i];
    }
    init_group(map, (struct pool_profile){POOL_EC, 4, 2});
    init_group(map, (struct pool_profile){POOL_REPLICA, 1, 2});
    if (race->disks[0] != NULL) {
        disk_double_set_append_max(race->disks[0], 30000);
        disk_double_set_append_max(race->disks[2], 50001);
        disk_double_set_cold(race->disks[3], true);
    }
    pool_view_set(pool, pool_view_new(pool, map, disks));
}

static void race_fini(struct race *race)
{
    struct pool *pool = &race->pool;
    CHECK(pool_errands_end(pool->errands, 20000));
    pool_errands_free(GFS_TAKE(pool->errands));
    pool_view_set(pool, NULL);
    CHECK(pool_view_await_none(pool, 20000));
    CHECK(atomic_load(&pool->bulk_count) == 0);
    CHECK(pool->bulks == NULL);
    for (unsigned i = 0; i < DISKS; i++) {
        if (race->disks[i] != NULL) {
            struct disk_double_counts counts;
            disk_double_counts(race->disks[i], &counts);
            CHECK(counts.pins_held == 0);
        }
        pool_disk_unref(race->pool_disks[i]);
    }
    pool_disk_reap(pool);
    ec_free(pool->coders[4][2]);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static void run(struct race *race)
{
    race_init(race);
    pthread_t disturber;
    CHECK(pthread_create(&disturber, NULL, disturb, race) == 0);
    struct user *users = gfs_alloc_array(THREADS, sizeof *users);
    for (unsigned i = 0; i < THREADS; i++) {
        users[i].race = race;
        users[i].random = i + 1;
        (void)pthread_mutex_init(&users[i].lock, NULL);
        (void)pthread_cond_init(&users[i].cond, NULL);
        CHECK(pthread_create(&users[i].thread, NULL, use, &users[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_join(users[i].thread, NULL) == 0);
    }
    atomic_store(&race->is_over, true);
    CHECK(pthread_join(disturber, NULL) == 0);
    race_fini(race);
    free(users);
}

int main(void)
{
    const char *text = getenv("GOODFS_RACE_STEPS");
    unsigned steps = text == NULL ? STEPS : (unsigned)strtoul(text, NULL, 10);
    struct race *race = gfs_alloc(sizeof *race);
    race->steps = steps;
    run(race);
    free(race);
    race = gfs_alloc(sizeof *race);
    race->steps = steps / 4 + 1;
    (void)snprintf(race->dir, sizeof race->dir, "goodfs-race-pool-XXXXXX");
    CHECK(mkdtemp(race->dir) != NULL);
    run(race);
    (void)nftw(race->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(race);
    (void)puts("race: chunks of a pool: as they should be");
    return 0;
}
