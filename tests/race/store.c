/* Many threads on one store of a real directory: small and large chunks, deletes, reads under pins,
 * chunks written anew and added again, abandoned writers, while segments are compacted, recycled
 * and checkpointed, and while one thread lists, replays edits and verifies the log.
 *
 * Checked while it runs: what was acknowledged is read back byte for byte, also when it is deleted
 * under a pin. Checked at the end, after a restart: exactly what was not deleted is there, and the
 * log alone gives the same index.
 * GOODFS_RACE_STEPS=N changes the number of operations a thread. */
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "datad/store.h"
#include "libgoodfs/mem.h"

enum {
    THREADS = 6,
    STEPS = 300,
    KEPT_MAX = 24,
    SMALL_LEN_MAX = 60 << 10,
    BULK_LEN_MAX = 900 << 10,
};

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "race: %s:%d: %s\n", __FILE__, __LINE__, #condition);            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Plain data. A chunk that was acknowledged and not deleted. */
struct kept {
    struct chunk_id id;
    uint32_t len;
};

struct race {
    char dir[64];
    struct store *store;
    struct chunk_store *chunks;
    pthread_mutex_t submit_lock;
    uint64_t lsn; /* guarded by submit_lock */
    unsigned steps;
    atomic_bool is_over;
};

/* One user of the store: does one thing at a time. */
struct user {
    struct race *race;
    pthread_t thread;
    uint64_t random;
    struct kept kept[KEPT_MAX];
    size_t kept_count;
    /* Guarded by lock: what callbacks tell. */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct chunk_group group;
    bool is_answered, is_writable;
    enum gfs_err err;
};

static uint64_t draw(struct user *user, uint64_t limit)
{
    user->random ^= user->random << 13;
    user->random ^= user->random >> 7;
    user->random ^= user->random << 17;
    return (user->random * 0x2545F4914F6CDD1DU >> 16) % limit;
}

static char *bytes_of(struct chunk_id id, uint32_t len)
{
    char *bytes = gfs_alloc(len + 8);
    uint64_t x = (id.lo + 1) * 0x9E3779B97F4A7C15U;
    for (uint32_t i = 0; i < len; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bytes + i, &x, sizeof x);
    }
    return bytes;
}

static void tell(struct user *user, enum gfs_err err)
{
    (void)pthread_mutex_lock(&user->lock);
    user->is_answered = true;
    user->err = err;
    (void)pthread_cond_signal(&user->cond);
    (void)pthread_mutex_unlock(&user->lock);
}

static void group_done(struct chunk_group *group, enum gfs_err err)
{
    tell(GFS_CONTAINER_OF(group, struct user, group), err);
}

static void bulk_finished(void *arg, enum gfs_err err)
{
    tell(arg, err);
}

static void bulk_writable(void *arg)
{
    struct user *user = arg;
    (void)pthread_mutex_lock(&user->lock);
    user->is_writable = true;
    (void)pthread_cond_signal(&user->cond);
    (void)pthread_mutex_unlock(&user->lock);
}

static enum gfs_err wait_answer(struct user *user)
{
    (void)pthread_mutex_lock(&user->lock);
    while (!user->is_answered) {
        (void)pthread_cond_wait(&user->cond, &user->lock);
    }
    user->is_answered = false;
    enum gfs_err err = user->err;
    (void)pthread_mutex_unlock(&user->lock);
    return err;
}

/* The record and an edit, in one group; edits are trimmed as they come. */
static void submit(struct user *user, struct chunk_record *record)
{
    struct race *race = user->race;
    struct chunk_record edit = {.kind = CHUNK_RECORD_EDIT, .payload = gfs_slice_str("edit")};
    record->next = &edit;
    user->group = (struct chunk_group){.records = record, .done = group_done};
    (void)pthread_mutex_lock(&race->submit_lock);
    edit.lsn = ++race->lsn;
    race->chunks->ops->submit(race->chunks, &user->group);
    (void)pthread_mutex_unlock(&race->submit_lock);
    CHECK(wait_answer(user) == GFS_OK);
    if (edit.lsn % 16 == 0) {
        race->chunks->ops->trim_edits(race->chunks, edit.lsn - 8);
    }
}

static void keep(struct user *user, struct chunk_id id, uint32_t len)
{
    user->kept[user->kept_count++] = (struct kept){.id = id, .len = len};
}

static void write_small(struct user *user, struct chunk_id id, uint32_t len)
{
    GFS_FREE char *bytes = bytes_of(id, len);
    struct chunk_record record = {.kind = CHUNK_RECORD_DATA,
                                  .id = id,
                                  .owner = gfs_slice_str("bucket/key"),
                                  .payload = gfs_slice_of(bytes, len)};
    submit(user, &record);
}

static void put_small(struct user *user)
{
    struct chunk_id id = chunk_id_new(0);
    uint32_t len = (uint32_t)draw(user, SMALL_LEN_MAX);
    write_small(user, id, len);
    keep(user, id, len);
}

static void append(struct user *user, struct chunk_bulk *bulk, const char *bytes, size_t len)
{
    size_t at = 0;
    while (at < len) {
        at += user->race->chunks->ops->bulk_append(bulk, bytes + at, len - at);
        if (at < len) {
            (void)pthread_mutex_lock(&user->lock);
            while (!user->is_writable) {
                (void)pthread_cond_wait(&user->cond, &user->lock);
            }
            user->is_writable = false;
            (void)pthread_mutex_unlock(&user->lock);
        }
    }
}

/* Answers whether it was placed, and not given up. */
static bool write_bulk(struct user *user, struct chunk_id id, uint32_t len)
{
    const struct chunk_store_ops *ops = user->race->chunks->ops;
    GFS_FREE char *bytes = bytes_of(id, len);
    struct chunk_bulk_options options = {.id = id,
                                         .owner = gfs_slice_str("bucket/big"),
                                         .len_max = len + 5000,
                                         .writable = bulk_writable,
                                         .arg = user};
    struct chunk_bulk *bulk = NULL;
    CHECK(ops->bulk_begin(user->race->chunks, &options, &bulk) == GFS_OK);
    append(user, bulk, bytes, len);
    uint64_t fate = draw(user, 6);
    if (fate == 0) {
        ops->bulk_free(bulk); /* given up with writes under way */
        return false;
    }
    ops->bulk_finish(bulk, bulk_finished);
    CHECK(wait_answer(user) == GFS_OK);
    if (fate != 1) { /* else finished, and never placed */
        struct chunk_record record = {.kind = CHUNK_RECORD_PLACE, .bulk = bulk};
        submit(user, &record);
    }
    ops->bulk_free(bulk);
    return fate != 1;
}

static void put_bulk(struct user *user)
{
    struct chunk_id id = chunk_id_new(0);
    uint32_t len = (uint32_t)draw(user, BULK_LEN_MAX);
    if (write_bulk(user, id, len)) {
        keep(user, id, len);
    }
}

static void check_pinned(struct race *race, const struct kept *kept, struct chunk_pin *pin)
{
    GFS_FREE char *expected = bytes_of(kept->id, kept->len);
    GFS_FREE char *bytes = gfs_alloc(kept->len + 1);
    CHECK(pin->len == kept->len);
    CHECK(race->chunks->ops->read(race->chunks, pin, 0, kept->len, bytes, 0) == GFS_OK);
    CHECK(memcmp(bytes, expected, kept->len) == 0);
}

/* Deletes one, and often reads it once more under a pin. */
static void delete_one(struct user *user)
{
    struct race *race = user->race;
    size_t index = (size_t)draw(user, user->kept_count);
    struct kept kept = user->kept[index];
    user->kept[index] = user->kept[--user->kept_count];
    struct chunk_pin pin;
    bool is_pinned = draw(user, 2) == 0;
    if (is_pinned) {
        CHECK(race->chunks->ops->pin(race->chunks, kept.id, &pin) == GFS_OK);
    }
    struct chunk_record record = {.kind = CHUNK_RECORD_DELETE,
                                  .payload = gfs_slice_of(&kept.id, sizeof kept.id)};
    submit(user, &record);
    if (is_pinned) {
        check_pinned(race, &kept, &pin);
        race->chunks->ops->unpin(race->chunks, &pin);
    }
    CHECK(race->chunks->ops->pin(race->chunks, kept.id, &pin) == GFS_NOT_FOUND);
}

static void read_one(struct race *race, const struct kept *kept)
{
    struct chunk_pin pin;
    CHECK(race->chunks->ops->pin(race->chunks, kept->id, &pin) == GFS_OK);
    check_pinned(race, kept, &pin);
    race->chunks->ops->unpin(race->chunks, &pin);
}

static void put_again(struct user *user, const struct kept *kept)
{
    if (kept->len > SMALL_LEN_MAX || draw(user, 3) == 0) {
        (void)write_bulk(user, kept->id, kept->len);
        return;
    }
    if (draw(user, 2) == 0) { /* moved away and back */
        struct chunk_id id = kept->id;
        struct chunk_record record = {.kind = CHUNK_RECORD_DELETE,
                                      .payload = gfs_slice_of(&id, sizeof id)};
        submit(user, &record);
    }
    write_small(user, kept->id, kept->len);
}

static enum gfs_err see_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    uint64_t *last = arg;
    CHECK(lsn == *last + 1 && edit.len == 4);
    *last = lsn;
    return GFS_OK;
}

/* Every edit behind what was reclaimed, unless that rises meanwhile. */
static void replay(const struct race *race)
{
    const struct chunk_store_ops *ops = race->chunks->ops;
    struct chunk_store_status status;
    ops->status(race->chunks, &status);
    uint64_t gone = status.lsn_gone;
    uint64_t last = gone;
    enum gfs_err err = ops->replay_edits(race->chunks, gone, see_edit, &last, NULL);
    ops->status(race->chunks, &status);
    CHECK(err == GFS_OK || (err == GFS_CORRUPT && status.lsn_gone > gone));
}

/* Looks at everything, for as long as there are users. */
static void *watch(void *arg)
{
    struct race *race = arg;
    const struct chunk_store_ops *ops = race->chunks->ops;
    uint64_t cursor = 0;
    for (uint32_t i = 0; !atomic_load(&race->is_over); i++) {
        struct chunk_listed *listed = NULL;
        size_t count = 0;
        ops->list(race->chunks, i % CHUNK_LIST_PARTS, &listed, &count);
        free(listed);
        struct chunk_store_status status;
        ops->status(race->chunks, &status);
        CHECK(status.damaged_places == 0);
        CHECK(ops->verify_log(race->chunks, &cursor, 1 << 20) == GFS_OK);
        if (i % 8 == 0) {
            replay(race);
        }
    }
    return NULL;
}

static void *use(void *arg)
{
    struct user *user = arg;
    for (unsigned i = 0; i < user->race->steps; i++) {
        uint64_t choice = draw(user, 12);
        if (user->kept_count == KEPT_MAX || (choice < 3 && user->kept_count != 0)) {
            delete_one(user);
        } else if (choice < 6 && user->kept_count != 0) {
            read_one(user->race, &user->kept[draw(user, user->kept_count)]);
        } else if (choice < 8 && user->kept_count != 0) {
            put_again(user, &user->kept[draw(user, user->kept_count)]);
        } else if (choice == 8) {
            put_bulk(user);
        } else {
            put_small(user);
        }
    }
    return NULL;
}

static void open_race(struct race *race)
{
    struct store_options options = {.dir = race->dir,
                                    .segment_size = 1 << 20,
                                    .bulk_size = 16 << 20,
                                    .checkpoint_bytes = 4 << 20,
                                    .compact_rate = 1ULL << 30,
                                    .reserve_bytes = 1 << 20};
    struct gfs_error error = {0};
    if (store_open(&options, &race->store, &error) != GFS_OK) {
        (void)fprintf(stderr, "race: %s\n", error.text);
        abort();
    }
    race->chunks = store_chunks(race->store);
}

static void check_all(struct race *race, const struct user *users)
{
    uint64_t count = 0;
    for (size_t i = 0; i < THREADS; i++) {
        for (size_t k = 0; k < users[i].kept_count; k++) {
            read_one(race, &users[i].kept[k]);
        }
        count += users[i].kept_count;
    }
    struct store_stats stats;
    store_stats(race->store, &stats);
    CHECK(stats.chunks == count);
    CHECK(stats.damaged_places == 0 && !stats.has_failed);
}

static void check_restarts(struct race *race, const struct user *users)
{
    uint64_t hash = store_index_hash(race->store);
    for (int i = 0; i < 2; i++) {
        char path[128];
        store_close(GFS_TAKE(race->store));
        (void)snprintf(path, sizeof path, "%s/index.ckpt", race->dir);
        CHECK(i == 0 || unlink(path) == 0);
        open_race(race);
        check_all(race, users);
        CHECK(i == 0 || store_index_hash(race->store) == hash);
        hash = store_index_hash(race->store);
    }
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

int main(void)
{
    const char *steps = getenv("GOODFS_RACE_STEPS");
    struct race race = {.dir = "/tmp/goodfs-race-XXXXXX",
                        .submit_lock = PTHREAD_MUTEX_INITIALIZER,
                        .steps = steps == NULL ? STEPS : (unsigned)strtoul(steps, NULL, 10)};
    CHECK(mkdtemp(race.dir) != NULL);
    open_race(&race);
    struct user *users = gfs_alloc_array(THREADS, sizeof *users);
    for (size_t i = 0; i < THREADS; i++) {
        users[i].race = &race;
        users[i].random = (i + 1) * 0x9E3779B97F4A7C15U;
        (void)pthread_mutex_init(&users[i].lock, NULL);
        (void)pthread_cond_init(&users[i].cond, NULL);
        CHECK(pthread_create(&users[i].thread, NULL, use, &users[i]) == 0);
    }
    pthread_t watcher;
    CHECK(pthread_create(&watcher, NULL, watch, &race) == 0);
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(users[i].thread, NULL);
    }
    atomic_store(&race.is_over, true);
    (void)pthread_join(watcher, NULL);
    struct store_stats stats;
    store_stats(race.store, &stats);
    check_all(&race, users);
    check_restarts(&race, users);
    store_close(race.store);
    printf("race_store: %llu groups in %llu batches, %llu segments recycled, %llu checkpoints\n",
           (unsigned long long)stats.groups, (unsigned long long)stats.batches,
           (unsigned long long)stats.segments_recycled, (unsigned long long)stats.checkpoints);
    free(users);
    (void)nftw(race.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return stats.segments_recycled == 0;
}
