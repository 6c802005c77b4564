#include "pool/pool_reader.h"

#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

enum {
    IO_ERRORS_MAX = 2, /* of one job: a dying disk takes long for each */
    STUCK_FACTOR = 5,  /* times slow_ms: a read that takes longer hangs */
};
#define NS_PER_MS 1000000LL

/* Guarded by lock, except disk and threads. */
struct pool_reader {
    struct pool_disk *disk;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct pool_read_job *first, *last;
    unsigned count; /* queued */
    bool is_stopping;
    unsigned started;                        /* threads that have a place in begun_ns */
    int64_t begun_ns[POOL_READERS_PER_DISK]; /* monotonic, of what each thread does; 0 = nothing */
    pthread_t threads[POOL_READERS_PER_DISK];
};

static struct pool_part *part_of(const struct pool_read_job *job)
{
    return &job->pin->parts[job->part];
}

static void job_free(struct pool_read_job *job)
{
    struct pool_pin *pin = job->pin;
    free(job->bytes);
    free(job);
    pool_pin_unref(pin);
}

static void unlink_locked(struct pool_reader *reader, struct pool_read_job *job)
{
    *(job->previous == NULL ? &reader->first : &job->previous->next) = job->next;
    *(job->next == NULL ? &reader->last : &job->next->previous) = job->previous;
    job->next = job->previous = NULL;
    job->is_queued = false;
    reader->count--;
}

/* ---- the threads ---- */

static enum gfs_err read_range(const struct pool_read_job *job, uint32_t at, uint32_t len)
{
    struct pool_part *part = part_of(job);
    struct chunk_store *store = part->disk->store;
    return store->ops->read(store, &part->pin, job->offset + at, len, job->bytes + at, job->flags);
}

/* Some block is bad: which are not. */
static void read_blocks(struct pool_read_job *job)
{
    unsigned io_errors = 0;
    for (uint32_t at = 0; at < job->len; at += GFS_BLOCK_SIZE) {
        uint64_t bit = 1ULL << at / GFS_BLOCK_SIZE;
        if (io_errors == IO_ERRORS_MAX) {
            job->untried |= bit;
            continue;
        }
        enum gfs_err err = read_range(job, at, GFS_MIN((uint32_t)GFS_BLOCK_SIZE, job->len - at));
        job->whole |= err == GFS_OK ? bit : 0;
        job->damaged |= err == GFS_CORRUPT ? bit : 0;
        io_errors += err != GFS_OK && err != GFS_CORRUPT;
    }
}

static void read_owner(struct pool_read_job *job)
{
    struct pool_part *part = part_of(job);
    struct chunk_store *store = part->disk->store;
    job->bytes = gfs_alloc(CHUNK_OWNER_LEN_MAX);
    job->err = store->ops->owner(store, &part->pin, job->bytes, &job->owner_len);
}

static void run(struct pool_read_job *job)
{
    if (job->is_owner) {
        read_owner(job);
        return;
    }
    uint32_t blocks = (job->len + GFS_BLOCK_SIZE - 1) / GFS_BLOCK_SIZE;
    GFS_ASSERT(blocks >= 1 && blocks <= 64);
    job->bytes = gfs_alloc_aligned(64, job->len);
    job->err = read_range(job, 0, job->len);
    if (job->err == GFS_OK) {
        job->whole = UINT64_MAX >> (64 - blocks);
    } else if (blocks > 1) {
        read_blocks(job);
    } else {
        job->damaged = job->err == GFS_CORRUPT ? 1 : 0;
    }
}

static void end(struct pool_read_job *job)
{
    struct pool_pin *pin = job->pin;
    atomic_store(&part_of(job)->is_busy, false);
    (void)pthread_mutex_lock(&pin->lock);
    job->is_done = true;
    bool is_abandoned = job->is_abandoned;
    gfs_cond_broadcast(&pin->changed);
    (void)pthread_mutex_unlock(&pin->lock);
    if (is_abandoned) {
        job_free(job);
    }
}

static void *reader_main(void *arg)
{
    struct pool_reader *reader = arg;
    (void)pthread_mutex_lock(&reader->lock);
    int64_t *begun_ns = &reader->begun_ns[reader->started++];
    while (!reader->is_stopping || reader->first != NULL) {
        struct pool_read_job *job = reader->first;
        if (job == NULL) {
            (void)pthread_cond_wait(&reader->wake, &reader->lock);
            continue;
        }
        unlink_locked(reader, job);
        *begun_ns = gfs_monotonic_ns();
        (void)pthread_mutex_unlock(&reader->lock);
        run(job);
        end(job);
        (void)pthread_mutex_lock(&reader->lock);
        *begun_ns = 0;
    }
    (void)pthread_mutex_unlock(&reader->lock);
    return NULL;
}

struct pool_reader *pool_reader_new(struct pool_disk *disk)
{
    struct pool_reader *reader = gfs_alloc(sizeof *reader);
    reader->disk = disk;
    int rc = pthread_mutex_init(&reader->lock, NULL);
    GFS_ASSERT(rc == 0);
    rc = pthread_cond_init(&reader->wake, NULL);
    GFS_ASSERT(rc == 0);
    for (unsigned i = 0; i < POOL_READERS_PER_DISK; i++) {
        rc = pthread_create(&reader->threads[i], NULL, reader_main, reader);
        GFS_ASSERT(rc == 0);
        (void)pthread_setname_np(reader->threads[i], "disk_reader");
    }
    return reader;
}

void pool_reader_free(struct pool_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&reader->lock);
    reader->is_stopping = true;
    (void)pthread_cond_broadcast(&reader->wake);
    (void)pthread_mutex_unlock(&reader->lock);
    for (unsigned i = 0; i < POOL_READERS_PER_DISK; i++) {
        (void)pthread_join(reader->threads[i], NULL);
    }
    (void)pthread_cond_destroy(&reader->wake);
    (void)pthread_mutex_destroy(&reader->lock);
    free(reader);
}

bool pool_reader_is_stuck(struct pool_reader *reader)
{
    int64_t limit_ns = (int64_t)reader->disk->pool->options.slow_ms * STUCK_FACTOR * NS_PER_MS;
    int64_t late_ns = gfs_monotonic_ns() - limit_ns; /* what began before it takes too long */
    bool is_stuck = false;
    (void)pthread_mutex_lock(&reader->lock);
    for (unsigned i = 0; i < POOL_READERS_PER_DISK; i++) {
        is_stuck = is_stuck || (reader->begun_ns[i] != 0 && reader->begun_ns[i] < late_ns);
    }
    (void)pthread_mutex_unlock(&reader->lock);
    return is_stuck;
}

/* ---- those who wait ---- */

struct pool_read_job *pool_reader_start(const struct pool_read_job *wanted)
{
    struct pool_reader *reader = part_of(wanted)->disk->reader;
    (void)pthread_mutex_lock(&reader->lock);
    bool has_room = reader->count < POOL_READ_JOBS_MAX && !reader->is_stopping;
    struct pool_read_job *job = NULL;
    if (has_room) {
        job = gfs_alloc(sizeof *job);
        *job = *wanted;
        job->begun_ns = gfs_monotonic_ns();
        pool_pin_ref(job->pin);
        GFS_ASSERT(!atomic_load(&part_of(job)->is_busy));
        atomic_store(&part_of(job)->is_busy, true);
        job->previous = reader->last;
        *(reader->last == NULL ? &reader->first : &reader->last->next) = job;
        reader->last = job;
        job->is_queued = true;
        reader->count++;
        (void)pthread_cond_signal(&reader->wake);
    }
    (void)pthread_mutex_unlock(&reader->lock);
    return job;
}

void pool_reader_forget(struct pool_read_job *job)
{
    struct pool_reader *reader = part_of(job)->disk->reader;
    (void)pthread_mutex_lock(&reader->lock);
    bool was_queued = job->is_queued;
    if (was_queued) {
        unlink_locked(reader, job);
    }
    (void)pthread_mutex_unlock(&reader->lock);
    bool is_over = was_queued;
    if (was_queued) {
        atomic_store(&part_of(job)->is_busy, false);
    } else {
        struct pool_pin *pin = job->pin;
        (void)pthread_mutex_lock(&pin->lock);
        is_over = job->is_done;
        job->is_abandoned = true;
        (void)pthread_mutex_unlock(&pin->lock);
    }
    if (is_over) {
        job_free(job);
    }
}
