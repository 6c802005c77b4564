#include "gateway/ingest.h"

#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/md5_lanes.h"
#include "libgoodfs/mem.h"

/* One bulk chunk of a large body. The tasks run on the loop thread. */
struct ingest_chunk {
    struct ingest_chunk *next;
    struct ingest *in;
    struct chunk_bulk *bulk;
    struct chunk_id id;
    uint32_t size_max; /* bytes it was begun with */
    uint32_t len;      /* bytes appended */
    enum gfs_err err;
    struct http_task writable_task, finished_task;
};

/* Owned by the request's loop thread; begin_work borrows it while is_beginning. */
struct ingest {
    struct s3_request *r;
    struct gfs_slice owner, storage_class;
    void (*on_room)(void *arg);
    void *on_room_arg;
    uint64_t size, taken;
    bool is_small, is_beginning, is_done;
    char *small; /* size bytes */
    struct chunk_record small_record;
    struct ingest_chunk *chunks, **chunks_tail, *current;
    uint32_t chunk_count;
    uint32_t unfinished_count;
    enum gfs_err err;
    struct gfs_md5_lane *md5_lane; /* large bodies: hashed beside those of other requests */
    struct gfs_digest md5;         /* small ones */
    struct checksum sum;
    struct chunk_record *place_records;
    struct ingest_result result;
    void (*after)(struct s3_request *r, enum gfs_err err);
};

static void begin_chunk(struct ingest *in);

enum s3_err ingest_begin(struct s3_request *r, const struct ingest_options *options,
                         struct ingest **ret)
{
    uint64_t size = options->size;
    enum meta_checksum_algo algo = options->algo;
    bool is_small = size <= GFS_SMALL_CHUNK_MAX;
    if (is_small) {
        uint64_t used = atomic_fetch_add(&r->gw->ingest_bytes, size);
        if (used + size > r->gw->options.ingest_bytes_max) {
            atomic_fetch_sub(&r->gw->ingest_bytes, size);
            return S3_SlowDown;
        }
    }
    struct ingest *in = gfs_alloc(sizeof *in);
    in->r = r;
    in->size = size;
    in->is_small = is_small;
    in->chunks_tail = &in->chunks;
    in->owner = gfs_arena_copy(&r->arena, options->owner);
    in->storage_class = options->storage_class;
    in->on_room = options->on_room;
    in->on_room_arg = options->on_room_arg;
    /* CRC64NVME is always made; another algorithm runs beside it */
    checksum_init(&in->sum, algo == META_CHECKSUM_NONE ? META_CHECKSUM_CRC64NVME : algo);
    if (is_small && size > 0) {
        in->small = malloc(size);
        if (in->small == NULL) {
            ingest_free(in);
            return S3_SlowDown;
        }
    }
    *ret = in;
    if (is_small) {
        gfs_digest_init(&in->md5, GFS_MD5);
    } else {
        in->md5_lane = gfs_md5_lane_new(r->gw->md5_pools[http_loop_index(r->loop)]);
        begin_chunk(in);
    }
    return S3_OK;
}

/* ---- bulk chunks ---- */

static void has_room(struct ingest *in)
{
    if (in->on_room != NULL) {
        in->on_room(in->on_room_arg);
    } else {
        s3_resume_body(in->r);
    }
}

static void on_writable(struct http_task *task)
{
    struct ingest_chunk *chunk = GFS_CONTAINER_OF(task, struct ingest_chunk, writable_task);
    struct s3_request *r = chunk->in->r;
    has_room(chunk->in);
    s3_release(r);
}

static void writable(void *arg)
{
    struct ingest_chunk *chunk = arg;
    http_post(chunk->in->r->loop, &chunk->writable_task);
}

static void begin_work(struct s3_request *r, struct ingest_chunk *chunk)
{
    struct chunk_store *store = r->gw->options.chunks;
    const struct ingest *in = chunk->in;
    chunk->err = store->ops->new_id(store, in->storage_class, in->size, &chunk->id);
    if (chunk->err != GFS_OK) {
        return;
    }
    struct chunk_bulk_options options = {
        .id = chunk->id,
        .owner = in->owner,
        .len_max = chunk->size_max,
        .writable = writable,
        .arg = chunk,
    };
    chunk->err = store->ops->bulk_begin(store, &options, &chunk->bulk);
}

struct begin_job {
    struct worker_job job;
    struct http_task task;
    struct ingest_chunk *chunk;
};

static void begin_after(struct http_task *task)
{
    struct begin_job *begin = GFS_CONTAINER_OF(task, struct begin_job, task);
    struct ingest_chunk *chunk = begin->chunk;
    struct ingest *in = chunk->in;
    struct s3_request *r = in->r;
    free(begin);
    in->is_beginning = false;
    if (chunk->err != GFS_OK) {
        in->err = chunk->err;
        if (!r->is_replied) {
            s3_fail(r, s3_err_from_gfs(chunk->err, META_MISSING_NONE), NULL);
        }
    } else {
        in->current = chunk;
        has_room(in);
    }
    s3_release(r);
}

static void begin_run(struct worker_job *job)
{
    struct begin_job *begin = GFS_CONTAINER_OF(job, struct begin_job, job);
    struct s3_request *r = begin->chunk->in->r;
    begin_work(r, begin->chunk);
    begin->task.fn = begin_after;
    http_post(r->loop, &begin->task);
}

/* Allocating space may wait for the file system: a worker does it. */
static void begin_chunk(struct ingest *in)
{
    uint64_t rest = in->size - in->taken;
    struct ingest_chunk *chunk = gfs_alloc(sizeof *chunk);
    chunk->in = in;
    chunk->size_max = (uint32_t)GFS_MIN(rest, (uint64_t)GFS_CHUNK_SIZE_MAX);
    chunk->writable_task.fn = on_writable;
    *in->chunks_tail = chunk;
    in->chunks_tail = &chunk->next;
    in->chunk_count++;
    in->is_beginning = true;
    struct begin_job *begin = gfs_alloc(sizeof *begin);
    begin->chunk = chunk;
    begin->job.run = begin_run;
    s3_hold(in->r);
    if (!worker_submit(in->r->gw->workers, &begin->job)) {
        chunk->err = GFS_BUSY;
        begin_after(&begin->task);
    }
}

static void finish_if_done(struct ingest *in)
{
    if (in->is_done && in->unfinished_count == 0 && in->after != NULL) {
        void (*after)(struct s3_request * r, enum gfs_err err) = in->after;
        in->after = NULL;
        after(in->r, in->err);
    }
}

static void on_finished(struct http_task *task)
{
    struct ingest_chunk *chunk = GFS_CONTAINER_OF(task, struct ingest_chunk, finished_task);
    struct ingest *in = chunk->in;
    struct s3_request *r = in->r;
    in->unfinished_count--;
    if (chunk->err != GFS_OK && in->err == GFS_OK) {
        in->err = chunk->err;
    }
    finish_if_done(in);
    s3_release(r);
}

static void finished(void *arg, enum gfs_err err)
{
    struct ingest_chunk *chunk = arg;
    chunk->err = err;
    chunk->finished_task.fn = on_finished;
    http_post(chunk->in->r->loop, &chunk->finished_task);
}

static void finish_current(struct ingest *in)
{
    struct ingest_chunk *chunk = GFS_TAKE(in->current);
    in->unfinished_count++;
    s3_hold(in->r);
    in->r->gw->options.chunks->ops->bulk_finish(chunk->bulk, finished);
}

/* ---- bytes ---- */

static void hash(struct ingest *in, const char *ptr, size_t len)
{
    if (in->is_small) {
        gfs_digest_add(&in->md5, ptr, len);
    } else {
        gfs_md5_lane_add(in->md5_lane, ptr, len);
    }
    in->result.crc64 = gfs_crc64nvme(in->result.crc64, ptr, len);
    if (in->sum.algo != META_CHECKSUM_CRC64NVME) {
        checksum_add(&in->sum, ptr, len);
    }
    in->taken += len;
}

static size_t bulk_data(struct ingest *in, const char *ptr, size_t len)
{
    size_t done = 0;
    while (done < len && in->current != NULL) {
        struct ingest_chunk *chunk = in->current;
        size_t want = GFS_MIN(len - done, (size_t)(chunk->size_max - chunk->len));
        /* held for the writable callback, which may run before append returns */
        s3_hold(in->r);
        size_t taken = in->r->gw->options.chunks->ops->bulk_append(chunk->bulk, ptr + done, want);
        hash(in, ptr + done, taken);
        chunk->len += (uint32_t)taken;
        done += taken;
        if (taken < want) {
            break;
        }
        s3_release(in->r);
        if (chunk->len == chunk->size_max) {
            finish_current(in);
            if (in->taken < in->size) {
                begin_chunk(in);
            }
        }
    }
    return done;
}

size_t ingest_data(struct ingest *in, const char *ptr, size_t len)
{
    if (in->err != GFS_OK) {
        return len; /* the request has failed already; the rest is drained */
    }
    GFS_ASSERT(len <= in->size - in->taken);
    if (!in->is_small) {
        return bulk_data(in, ptr, len);
    }
    memcpy(in->small + in->taken, ptr, len);
    hash(in, ptr, len);
    return len;
}

/* ---- the end ---- */

static struct meta_chunk_ref chunk_ref(struct chunk_id id, uint32_t len)
{
    return (struct meta_chunk_ref){.id = id, .pg = chunk_id_group(id), .len = len};
}

static void collect_small(struct ingest *in)
{
    if (in->taken == 0) {
        return;
    }
    struct chunk_store *store = in->r->gw->options.chunks;
    struct chunk_id id;
    in->err = store->ops->new_id(store, in->storage_class, in->taken, &id);
    if (in->err != GFS_OK) {
        return;
    }
    in->small_record = (struct chunk_record){
        .kind = CHUNK_RECORD_DATA,
        .id = id,
        .owner = in->owner,
        .payload = gfs_slice_of(in->small, in->taken),
    };
    in->result.records = &in->small_record;
    in->result.chunk_count = 1;
    in->result.chunks = gfs_arena_alloc(&in->r->arena, sizeof *in->result.chunks);
    GFS_ASSERT(in->result.chunks != NULL);
    in->result.chunks[0] = chunk_ref(id, (uint32_t)in->taken);
}

static void collect_bulk(struct ingest *in)
{
    in->place_records = gfs_alloc_array(in->chunk_count, sizeof *in->place_records);
    in->result.chunks = gfs_arena_alloc(&in->r->arena, in->chunk_count * sizeof *in->result.chunks);
    GFS_ASSERT(in->result.chunks != NULL);
    uint32_t count = 0;
    for (struct ingest_chunk *chunk = in->chunks; chunk != NULL; chunk = chunk->next) {
        if (chunk->len == 0) {
            continue;
        }
        in->result.chunks[count] = chunk_ref(chunk->id, chunk->len);
        in->place_records[count] =
            (struct chunk_record){.kind = CHUNK_RECORD_PLACE, .id = chunk->id, .bulk = chunk->bulk};
        if (count > 0) {
            in->place_records[count - 1].next = &in->place_records[count];
        }
        count++;
    }
    in->result.chunk_count = count;
    in->result.records = count == 0 ? NULL : in->place_records;
}

void ingest_finish(struct ingest *in, void (*after)(struct s3_request *r, enum gfs_err err))
{
    GFS_ASSERT(!in->is_done);
    in->is_done = true;
    in->after = after;
    in->result.size = in->taken;
    if (in->is_small) {
        gfs_digest_fini(&in->md5, in->result.md5);
    } else {
        gfs_md5_lane_fini(in->md5_lane, in->result.md5);
    }
    in->result.checksum.algo = in->sum.algo;
    in->sum.crc = in->sum.algo == META_CHECKSUM_CRC64NVME ? in->result.crc64 : in->sum.crc;
    checksum_fini(&in->sum, in->result.checksum.value);
    if (in->current != NULL && in->current->len > 0) {
        finish_current(in);
    }
    if (in->is_small) {
        collect_small(in);
    } else {
        collect_bulk(in);
    }
    finish_if_done(in);
}

const struct ingest_result *ingest_result(const struct ingest *in)
{
    GFS_ASSERT(in->is_done);
    return &in->result;
}

void ingest_free(struct ingest *in)
{
    if (in == NULL) {
        return;
    }
    struct ingest_chunk *chunk = in->chunks;
    while (chunk != NULL) {
        struct ingest_chunk *next = chunk->next;
        in->r->gw->options.chunks->ops->bulk_free(chunk->bulk);
        free(chunk);
        chunk = next;
    }
    if (in->is_small) {
        atomic_fetch_sub(&in->r->gw->ingest_bytes, in->size);
    }
    gfs_md5_lane_free(in->md5_lane);
    free(in->small);
    free(in->place_records);
    free(in);
}

/* ---- owners ---- */

static char *put_u64(char *out, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        *out++ = (char)(value >> (8 * i));
    }
    return out;
}

struct gfs_slice ingest_owner_object(struct gfs_arena *arena, uint64_t bucket_id,
                                     struct gfs_slice key)
{
    size_t len = 1 + 8 + key.len;
    char *text = gfs_arena_alloc(arena, len);
    GFS_ASSERT(text != NULL);
    text[0] = 'o';
    char *out = put_u64(text + 1, bucket_id, 8);
    memcpy(out, key.ptr, key.len);
    return gfs_slice_of(text, len);
}

struct gfs_slice ingest_owner_part(struct gfs_arena *arena, uint64_t bucket_id,
                                   const uint8_t upload_id[META_UPLOAD_ID_LEN], uint32_t number,
                                   struct gfs_slice key)
{
    size_t len = 1 + 8 + META_UPLOAD_ID_LEN + 4 + key.len;
    char *text = gfs_arena_alloc(arena, len);
    GFS_ASSERT(text != NULL);
    text[0] = 'p';
    char *out = put_u64(text + 1, bucket_id, 8);
    memcpy(out, upload_id, META_UPLOAD_ID_LEN);
    out = put_u64(out + META_UPLOAD_ID_LEN, number, 4);
    memcpy(out, key.ptr, key.len);
    return gfs_slice_of(text, len);
}
