/* Many threads on one metadata shard: puts, deletes, conditional counters, copies, uploads, bucket
 * deletions and listings, while the log refuses some edits and chunks are swept at once; then the
 * same while the database moves from directory to directory and references are visited.
 *
 * Checked while it runs: an object read back whole; counters that only conditional writes move;
 * listings in order. Checked at the end, after a restart: usage equals a recount, every chunk that
 * is referenced is live, every other one is gone.
 * GOODFS_RACE_STEPS=N changes the number of operations a thread. */
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "metad/shard.h"
#include "tests/race/mover.h"
#include "tests/unit/metad/log_double.h"
#include "tests/unit/metad/random.h"

enum { SUBMITTERS = 4, LISTERS = 2, STEPS = 1500, KEYS = 24, COUNTERS = 8, CHUNKS = 3 };

struct counted {
    struct chunk_id *ids;
    size_t count, size;
};

/* Guarded by lock: chunks. The rest is set before the threads start. */
struct race {
    struct shard *shard;
    struct meta_service *meta;
    struct log_double *log;
    uint64_t bucket;
    int steps;
    pthread_mutex_t lock;
    struct counted chunks; /* durable at some time */
    bool is_over;          /* for the listers; guarded by lock */
};

/* Owned by its thread, but for what the lock guards. */
struct worker {
    struct race *race;
    struct random random;
    unsigned number;
    uint64_t increments[COUNTERS]; /* conditional writes that succeeded */
    uint64_t done, refused;
};

/* An operation and its answer. */
struct call {
    struct meta_op op;
    struct meta_object object;
    struct meta_part part;
    struct meta_part used;
    struct meta_delete delete;
    struct meta_chunk_ref chunks[CHUNKS];
    struct chunk_record records[CHUNKS];
    struct meta_etag etag;
    char key[16];
    pthread_mutex_t lock;
    pthread_cond_t is_done;
    bool has_answer;
    enum gfs_err err;
};

static void done(struct meta_op *op, enum gfs_err err)
{
    struct call *call = GFS_CONTAINER_OF(op, struct call, op);
    (void)pthread_mutex_lock(&call->lock);
    GFS_ASSERT(!call->has_answer);
    call->has_answer = true;
    call->err = err;
    (void)pthread_cond_signal(&call->is_done);
    (void)pthread_mutex_unlock(&call->lock);
}

static void call_init(struct call *call, struct race *race, enum meta_op_kind kind, const char *key)
{
    *call = (struct call){.op = {.kind = kind, .bucket_id = race->bucket, .done = done}};
    (void)snprintf(call->key, sizeof call->key, "%s", key);
    call->op.key = call->op.name = gfs_slice_str(call->key);
    call->op.object = &call->object;
    call->op.part = &call->part;
    call->op.used_parts = &call->used;
    call->op.deletes = &call->delete;
    call->delete.key = call->op.key;
    call->op.delete_count = kind == META_OBJECT_DELETE ? 1 : 0;
    (void)pthread_mutex_init(&call->lock, NULL);
    (void)pthread_cond_init(&call->is_done, NULL);
}

static void call_fill(struct call *call, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        call->chunks[i] = (struct meta_chunk_ref){.id = chunk_id_new(0), .len = 10};
        call->records[i] =
            (struct chunk_record){.kind = CHUNK_RECORD_DATA,
                                  .id = call->chunks[i].id,
                                  .next = i + 1 < count ? &call->records[i + 1] : NULL};
    }
    call->op.data = count == 0 ? NULL : call->records;
    call->object.chunks = call->part.chunks = call->chunks;
    call->object.chunk_count = call->part.chunk_count = count;
    call->object.size = call->part.size = 10ULL * count;
}

static void note_chunks(struct race *race, const struct call *call)
{
    (void)pthread_mutex_lock(&race->lock);
    struct counted *chunks = &race->chunks;
    for (const struct chunk_record *r = call->op.data; r != NULL; r = r->next) {
        if (chunks->count == chunks->size) {
            chunks->size = chunks->size == 0 ? 1024 : 2 * chunks->size;
            chunks->ids = gfs_realloc(chunks->ids, chunks->size * sizeof chunks->ids[0]);
        }
        chunks->ids[chunks->count++] = r->id;
    }
    (void)pthread_mutex_unlock(&race->lock);
}

/* First without waiting, as the gateway does. */
static enum gfs_err run(struct worker *worker, struct call *call)
{
    struct meta_service *meta = worker->race->meta;
    if (meta->ops->submit(meta, &call->op, META_NOWAIT) == GFS_AGAIN) {
        enum gfs_err err = meta->ops->submit(meta, &call->op, 0);
        GFS_ASSERT(err == GFS_OK);
    }
    (void)pthread_mutex_lock(&call->lock);
    while (!call->has_answer) {
        (void)pthread_cond_wait(&call->is_done, &call->lock);
    }
    (void)pthread_mutex_unlock(&call->lock);
    (void)pthread_mutex_destroy(&call->lock);
    (void)pthread_cond_destroy(&call->is_done);
    worker->done += call->err == GFS_OK ? 1 : 0;
    worker->refused += call->err == GFS_NO_SPACE ? 1 : 0;
    if (call->err == GFS_OK) {
        note_chunks(worker->race, call);
    }
    return call->err;
}

static enum gfs_err read_object(struct race *race, struct gfs_slice key, struct gfs_arena *arena,
                                struct meta_object *ret)
{
    struct meta_row *row = NULL;
    struct meta_service *meta = race->meta;
    enum gfs_err err = meta->ops->object(meta, race->bucket, key, META_NOWAIT, &row);
    if (err == GFS_AGAIN) {
        err = meta->ops->object(meta, race->bucket, key, 0, &row);
    }
    GFS_ASSERT(err == GFS_OK || err == GFS_NOT_FOUND);
    if (err == GFS_OK) {
        enum gfs_err decode_err = meta_object_decode(meta_row_bytes(row), arena, ret);
        GFS_ASSERT(decode_err == GFS_OK);
        meta_row_unref(row);
    }
    return err;
}

/* ---- what a submitter does ---- */

static void any_key(struct worker *worker, char ret[16])
{
    (void)snprintf(ret, 16, "k%02u", random_below(&worker->random, KEYS));
}

static void put_or_delete(struct worker *worker)
{
    struct call call;
    char key[16];
    any_key(worker, key);
    bool is_put = random_below(&worker->random, 3) != 0;
    call_init(&call, worker->race, is_put ? META_OBJECT_PUT : META_OBJECT_DELETE, key);
    if (is_put) {
        call_fill(&call, random_below(&worker->random, CHUNKS + 1));
        call.object.crc64 = call.object.size; /* to be found again together */
    }
    enum gfs_err err = run(worker, &call);
    GFS_ASSERT(err == GFS_OK || err == GFS_NO_SPACE);
}

static void copy(struct worker *worker)
{
    struct call call;
    struct gfs_arena arena;
    char from[16];
    char to[16];
    any_key(worker, from);
    any_key(worker, to);
    gfs_arena_init(&arena, 1 << 16);
    call_init(&call, worker->race, META_OBJECT_PUT, to);
    if (read_object(worker->race, gfs_slice_str(from), &arena, &call.object) == GFS_OK) {
        call.op.share = (struct meta_share){true, worker->race->bucket, gfs_slice_str(from),
                                            call.object.mod_lsn};
        enum gfs_err err = run(worker, &call);
        GFS_ASSERT(err == GFS_OK || err == GFS_NO_SPACE || err == GFS_CONFLICT || err == GFS_BUSY);
    }
    gfs_arena_fini(&arena);
}

/* The ETag counts; every increment demands the ETag that was read. */
static void increment(struct worker *worker)
{
    struct call call;
    struct gfs_arena arena;
    char key[16];
    unsigned counter = random_below(&worker->random, COUNTERS);
    (void)snprintf(key, sizeof key, "counter%u", counter);
    gfs_arena_init(&arena, 1 << 16);
    call_init(&call, worker->race, META_OBJECT_PUT, key);
    struct meta_object now = {0};
    bool is_there = read_object(worker->race, call.op.key, &arena, &now) == GFS_OK;
    call_fill(&call, 1);
    memcpy(call.object.etag, now.etag, sizeof now.etag);
    memcpy(call.etag.md5, now.etag, sizeof now.etag);
    gfs_codec_store_u64(call.object.etag, gfs_codec_load_u64(now.etag) + 1);
    call.op.condition =
        is_there
            ? (struct meta_condition){.has_if_match = true, .etag_count = 1, .etags = &call.etag}
            : (struct meta_condition){.if_none_match_any = true};
    enum gfs_err err = run(worker, &call);
    GFS_ASSERT(err == GFS_OK || err == GFS_PRECONDITION || err == GFS_NO_SPACE || err == GFS_BUSY);
    worker->increments[counter] += err == GFS_OK ? 1 : 0;
    gfs_arena_fini(&arena);
}

static void upload_call(struct call *call, struct worker *worker, enum meta_op_kind kind,
                        const char *key, const uint8_t *id)
{
    call_init(call, worker->race, kind, key);
    memcpy(call->op.upload_id, id, META_UPLOAD_ID_LEN);
}

/* One part; then completed or aborted, or left behind. */
static void upload(struct worker *worker)
{
    struct call call;
    char key[16];
    uint8_t id[META_UPLOAD_ID_LEN] = {(uint8_t)worker->number};
    gfs_codec_store_u64(id + 8, random_u64(&worker->random));
    any_key(worker, key);
    upload_call(&call, worker, META_UPLOAD_CREATE, key, id);
    if (run(worker, &call) != GFS_OK) {
        return;
    }
    upload_call(&call, worker, META_PART_PUT, key, id);
    call.part.number = 1;
    call_fill(&call, 2);
    if (run(worker, &call) != GFS_OK) {
        return;
    }
    uint64_t lsn = call.op.lsn;
    struct meta_chunk_ref chunks[2] = {call.chunks[0], call.chunks[1]};
    bool is_complete = random_below(&worker->random, 2) == 0;
    upload_call(&call, worker, is_complete ? META_UPLOAD_COMPLETE : META_UPLOAD_ABORT, key, id);
    call.used = (struct meta_part){.number = 1, .mod_lsn = lsn};
    call.op.used_part_count = 1;
    call.object =
        (struct meta_object){.size = 20, .crc64 = 20, .chunk_count = 2, .chunks = call.chunks};
    memcpy(call.chunks, chunks, sizeof chunks);
    if (random_below(&worker->random, 8) != 0) {
        enum gfs_err err = run(worker, &call);
        GFS_ASSERT(err == GFS_OK || err == GFS_NO_SPACE);
    }
}

static void make_and_drop_bucket(struct worker *worker)
{
    struct call call;
    call_init(&call, worker->race, META_BUCKET_CREATE, "bucket2");
    enum gfs_err err = run(worker, &call);
    GFS_ASSERT(err == GFS_OK || err == GFS_EXISTS || err == GFS_CONFLICT || err == GFS_NO_SPACE);
    uint64_t bucket = call.op.ret_bucket.id;
    if (err != GFS_OK && err != GFS_EXISTS) {
        return;
    }
    bool is_put = random_below(&worker->random, 2) == 0;
    call_init(&call, worker->race, is_put ? META_OBJECT_PUT : META_OBJECT_DELETE, "x");
    call.op.bucket_id = bucket;
    err = run(worker, &call);
    GFS_ASSERT(err == GFS_OK || err == GFS_NOT_FOUND || err == GFS_CONFLICT || err == GFS_NO_SPACE);
    call_init(&call, worker->race, META_BUCKET_DELETE, "");
    call.op.bucket_id = bucket;
    err = run(worker, &call);
    GFS_ASSERT(err == GFS_OK || err == GFS_NOT_FOUND || err == GFS_CONFLICT ||
               err == GFS_NOT_EMPTY || err == GFS_NO_SPACE);
}

static void *submit_main(void *arg)
{
    struct worker *worker = arg;
    for (int i = 0; i < worker->race->steps; i++) {
        switch (random_below(&worker->random, 8)) {
        case 0:
            copy(worker);
            break;
        case 1:
        case 2:
            increment(worker);
            break;
        case 3:
            upload(worker);
            break;
        case 4:
            make_and_drop_bucket(worker);
            break;
        default:
            put_or_delete(worker);
            break;
        }
    }
    return NULL;
}

/* ---- what a lister does, and the recount at the end ---- */

struct walk {
    struct race *race;
    char last[16];
    uint64_t count, bytes;
    struct counted *chunks; /* referenced; NULL = not wanted */
};

static void collect_chunks(struct counted *to, const struct meta_chunk_ref *chunks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (to->count == to->size) {
            to->size = to->size == 0 ? 1024 : 2 * to->size;
            to->ids = gfs_realloc(to->ids, to->size * sizeof to->ids[0]);
        }
        to->ids[to->count++] = chunks[i].id;
    }
}

static enum gfs_err see_object(void *arg, const struct meta_list_item *item)
{
    struct walk *walk = arg;
    struct meta_object object;
    struct gfs_arena arena;
    gfs_arena_init(&arena, 1 << 16);
    enum gfs_err err = meta_object_decode(item->row, &arena, &object);
    GFS_ASSERT(err == GFS_OK);
    GFS_ASSERT(gfs_slice_cmp(item->key, gfs_slice_str(walk->last)) > 0);
    GFS_ASSERT(item->key.ptr[0] != 'k' || object.crc64 == object.size);
    GFS_ASSERT(item->key.ptr[0] != 'k' || object.size == 10ULL * object.chunk_count);
    (void)snprintf(walk->last, sizeof walk->last, "%.*s", (int)item->key.len, item->key.ptr);
    walk->count++;
    walk->bytes += object.size;
    if (walk->chunks != NULL) {
        collect_chunks(walk->chunks, object.chunks, object.chunk_count);
    }
    gfs_arena_fini(&arena);
    return GFS_OK;
}

static bool is_over(struct race *race)
{
    (void)pthread_mutex_lock(&race->lock);
    bool over = race->is_over;
    (void)pthread_mutex_unlock(&race->lock);
    return over;
}

static void *list_main(void *arg)
{
    struct worker *worker = arg;
    struct race *race = worker->race;
    while (!is_over(race)) {
        struct walk walk = {.race = race};
        struct meta_list_query query = {.bucket_id = race->bucket,
                                        .max = 1 + random_below(&worker->random, 40)};
        bool is_truncated;
        enum gfs_err err =
            race->meta->ops->list_objects(race->meta, &query, see_object, &walk, &is_truncated);
        GFS_ASSERT(err == GFS_OK);
        GFS_ASSERT(walk.count <= query.max);
        GFS_ASSERT(!is_truncated || walk.count == query.max);
        struct meta_usage usage;
        err = race->meta->ops->usage(race->meta, race->bucket, &usage);
        GFS_ASSERT(err == GFS_OK);
        worker->done++;
    }
    return NULL;
}

static enum gfs_err see_part(void *arg, const struct meta_list_item *item)
{
    struct walk *walk = arg;
    struct meta_part part;
    struct gfs_arena arena;
    gfs_arena_init(&arena, 1 << 16);
    enum gfs_err err = meta_part_decode(item->row, &arena, &part);
    GFS_ASSERT(err == GFS_OK);
    walk->bytes += part.size;
    collect_chunks(walk->chunks, part.chunks, part.chunk_count);
    gfs_arena_fini(&arena);
    return GFS_OK;
}

static enum gfs_err see_upload(void *arg, const struct meta_list_item *item)
{
    struct walk *walk = arg;
    bool is_truncated;
    walk->count++;
    return walk->race->meta->ops->list_parts(walk->race->meta, item->upload_id, 0, 100, see_part,
                                             walk, &is_truncated);
}

static int id_order(const void *left, const void *right)
{
    const struct chunk_id *a = left;
    const struct chunk_id *b = right;
    if (a->hi != b->hi) {
        return a->hi < b->hi ? -1 : 1;
    }
    return (a->lo > b->lo) - (a->lo < b->lo);
}

static void check_chunks(struct race *race, struct counted *referenced)
{
    qsort(referenced->ids, referenced->count, sizeof referenced->ids[0], id_order);
    for (size_t i = 0; i < referenced->count; i++) {
        GFS_ASSERT(log_double_is_live(race->log, referenced->ids[i]));
    }
    for (size_t i = 0; i < race->chunks.count; i++) {
        struct chunk_id id = race->chunks.ids[i];
        bool is_referenced =
            bsearch(&id, referenced->ids, referenced->count, sizeof id, id_order) != NULL;
        while (!is_referenced && log_double_is_live(race->log, id)) {
            (void)sched_yield(); /* the sweep is on its way */
        }
    }
}

static void check_end(struct race *race, const struct worker *workers)
{
    struct counted referenced = {0};
    struct walk objects = {.race = race, .chunks = &referenced};
    struct walk uploads = {.race = race, .chunks = &referenced};
    struct meta_list_query query = {.bucket_id = race->bucket, .max = UINT32_MAX};
    struct meta_service *meta = race->meta;
    bool is_truncated;
    enum gfs_err err = meta->ops->list_objects(meta, &query, see_object, &objects, &is_truncated);
    GFS_ASSERT(err == GFS_OK);
    err = meta->ops->list_uploads(meta, &query, see_upload, &uploads, &is_truncated);
    GFS_ASSERT(err == GFS_OK);
    struct meta_usage usage;
    err = meta->ops->usage(meta, race->bucket, &usage);
    GFS_ASSERT(err == GFS_OK);
    GFS_ASSERT(usage.object_count == objects.count);
    GFS_ASSERT(usage.object_bytes == objects.bytes);
    GFS_ASSERT(usage.upload_count == uploads.count);
    GFS_ASSERT(usage.part_bytes == uploads.bytes);
    check_chunks(race, &referenced);
    for (unsigned i = 0; i < COUNTERS; i++) {
        char key[16];
        struct gfs_arena arena;
        struct meta_object object = {0};
        uint64_t sum = 0;
        for (unsigned w = 0; w < SUBMITTERS; w++) {
            sum += workers[w].increments[i];
        }
        (void)snprintf(key, sizeof key, "counter%u", i);
        gfs_arena_init(&arena, 1 << 16);
        (void)read_object(race, gfs_slice_str(key), &arena, &object);
        GFS_ASSERT(gfs_codec_load_u64(object.etag) == sum);
        gfs_arena_fini(&arena);
    }
    free(referenced.ids);
}

/* ---- main ---- */

static int unlink_path(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat;
    (void)type;
    (void)walk;
    return remove(path);
}

static void open_shard(struct race *race, const struct shard_options *options)
{
    struct gfs_error error = {0};
    if (shard_open(options, &race->shard, &error) != GFS_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        abort();
    }
    race->meta = shard_service(race->shard);
}

static void run_threads(struct race *race, struct worker *workers)
{
    pthread_t threads[SUBMITTERS + LISTERS];
    for (unsigned i = 0; i < SUBMITTERS + LISTERS; i++) {
        workers[i] = (struct worker){.race = race, .random = {i + 1}, .number = i};
        int rc = pthread_create(&threads[i], NULL, i < SUBMITTERS ? submit_main : list_main,
                                &workers[i]);
        GFS_ASSERT(rc == 0);
    }
    for (unsigned i = 0; i < SUBMITTERS + LISTERS; i++) {
        if (i == SUBMITTERS) {
            (void)pthread_mutex_lock(&race->lock);
            race->is_over = true;
            (void)pthread_mutex_unlock(&race->lock);
        }
        (void)pthread_join(threads[i], NULL);
    }
}

/* With a mover the database moves while they run. */
static void run_all(struct race *race, struct worker *workers, struct mover *mover)
{
    if (mover != NULL) {
        mover_start(mover, race->shard);
    }
    run_threads(race, workers);
    if (mover != NULL) {
        mover_stop(mover);
    }
}

/* One shard from its first bucket to the recount. */
static void run_race(int steps, size_t cache_bytes, bool is_moving)
{
    struct race race = {.log = log_double_new(), .steps = steps};
    struct worker workers[SUBMITTERS + LISTERS];
    struct mover mover = {0};
    (void)pthread_mutex_init(&race.lock, NULL);
    for (unsigned i = 0; i < MOVER_DIRS; i++) {
        (void)snprintf(mover.dirs[i], sizeof mover.dirs[i], "/tmp/goodfs-race-XXXXXX");
        GFS_ASSERT(mkdtemp(mover.dirs[i]) != NULL);
    }
    struct shard_options options = {.dir = mover.dirs[0],
                                    .log = log_double_store(race.log),
                                    .apply_delay_ms = 1,
                                    .cache_bytes_max = cache_bytes,
                                    .overlay_bytes_max = 32768};
    open_shard(&race, &options);
    struct call call;
    call_init(&call, &race, META_BUCKET_CREATE, "bucket");
    workers[0] = (struct worker){.race = &race};
    enum gfs_err err = run(&workers[0], &call);
    GFS_ASSERT(err == GFS_OK);
    race.bucket = call.op.ret_bucket.id;
    log_double_refuse(race.log, 10, 1);
    run_all(&race, workers, is_moving ? &mover : NULL);
    log_double_refuse(race.log, 0, 0);
    shard_close(race.shard);
    options.dir = mover.dirs[mover.live];
    open_shard(&race, &options);
    check_end(&race, workers);
    uint64_t done_count = 0;
    uint64_t refused_count = 0;
    for (unsigned i = 0; i < SUBMITTERS; i++) {
        done_count += workers[i].done;
        refused_count += workers[i].refused;
    }
    (void)printf("%llu operations done, %llu refused by the log, %zu chunks\n",
                 (unsigned long long)done_count, (unsigned long long)refused_count,
                 race.chunks.count);
    shard_close(race.shard);
    log_double_free(race.log);
    free(race.chunks.ids);
    (void)pthread_mutex_destroy(&race.lock);
    for (unsigned i = 0; i < MOVER_DIRS; i++) {
        (void)nftw(mover.dirs[i], unlink_path, 8, FTW_DEPTH | FTW_PHYS);
    }
}

int main(void)
{
    const char *text = getenv("GOODFS_RACE_STEPS");
    int steps = text == NULL ? STEPS : (int)strtol(text, NULL, 10);
    const size_t cache_bytes[] = {1, 8000, 65536}; /* none, always too small, large enough */
    for (size_t i = 0; i < GFS_COUNT(cache_bytes); i++) {
        run_race(steps, cache_bytes[i], false);
        run_race(steps, cache_bytes[i], true);
    }
    return 0;
}
