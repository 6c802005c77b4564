#include "gateway/s3_rewrite.h"

#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "gateway/reader.h"
#include "libgoodfs/mem.h"

enum { REWRITE_BUFFER_SIZE = 1024 * 1024 };

struct s3_rewrite {
    struct s3_request *r;
    struct reader *reader;
    struct ingest *in;
    struct worker_job job; /* one at a time: it holds the request */
    struct http_task task;
    enum gfs_err err;
    bool is_waiting; /* for room */
    size_t len, at;  /* of buffer: what was read, what was taken */
    void (*after)(struct s3_request *r, enum gfs_err err);
    char buffer[REWRITE_BUFFER_SIZE];
};

static void read_next(struct s3_rewrite *rewrite);

/* Hands on what was read; when all of it is taken, what comes next. */
static void feed(struct s3_rewrite *rewrite)
{
    struct s3_request *r = rewrite->r;
    rewrite->is_waiting = false;
    size_t want = rewrite->len - rewrite->at;
    size_t taken = ingest_data(rewrite->in, rewrite->buffer + rewrite->at, want);
    if (r->is_replied || r->is_closed) {
        return; /* it failed, or nobody waits for it */
    }
    rewrite->at += taken;
    if (taken < want) {
        rewrite->is_waiting = true;
    } else if (reader_left(rewrite->reader) > 0) {
        read_next(rewrite);
    } else {
        ingest_finish(rewrite->in, rewrite->after);
    }
}

static void on_room(void *arg)
{
    struct s3_rewrite *rewrite = arg;
    if (rewrite->is_waiting && !rewrite->r->is_replied && !rewrite->r->is_closed) {
        feed(rewrite);
    }
}

static void was_read(struct http_task *task)
{
    struct s3_rewrite *rewrite = GFS_CONTAINER_OF(task, struct s3_rewrite, task);
    struct s3_request *r = rewrite->r;
    if (!r->is_replied && !r->is_closed) {
        if (rewrite->err == GFS_OK) {
            feed(rewrite);
        } else {
            rewrite->after(r, rewrite->err);
        }
    }
    s3_release(r);
}

static void read_run(struct worker_job *job)
{
    struct s3_rewrite *rewrite = GFS_CONTAINER_OF(job, struct s3_rewrite, job);
    rewrite->at = 0;
    rewrite->err =
        reader_read(rewrite->reader, rewrite->buffer, sizeof rewrite->buffer, 0, &rewrite->len);
    http_post(rewrite->r->loop, &rewrite->task);
}

static void read_next(struct s3_rewrite *rewrite)
{
    rewrite->job.run = read_run;
    rewrite->task.fn = was_read;
    s3_hold(rewrite->r);
    if (!worker_submit(rewrite->r->gw->workers, &rewrite->job)) {
        rewrite->err = GFS_BUSY;
        http_post(rewrite->r->loop, &rewrite->task);
    }
}

enum gfs_err s3_rewrite_begin(struct s3_request *r, const struct s3_rewrite_options *options,
                              struct s3_rewrite **ret)
{
    struct reader *reader;
    enum gfs_err err = reader_new(r->gw->options.chunks, options->chunks, options->chunk_count,
                                  options->start, options->len, &reader);
    if (err != GFS_OK) {
        return err;
    }
    struct s3_rewrite *rewrite = malloc(sizeof *rewrite);
    if (rewrite == NULL) {
        reader_free(reader);
        return GFS_BUSY;
    }
    memset(rewrite, 0, offsetof(struct s3_rewrite, buffer));
    rewrite->r = r;
    rewrite->reader = reader;
    struct ingest_options ingest = options->ingest;
    ingest.size = options->len;
    ingest.on_room = on_room;
    ingest.on_room_arg = rewrite;
    if (ingest_begin(r, &ingest, &rewrite->in) != S3_OK) {
        s3_rewrite_free(rewrite);
        return GFS_BUSY;
    }
    *ret = rewrite;
    return GFS_OK;
}

void s3_rewrite_run(struct s3_rewrite *rewrite,
                    void (*after)(struct s3_request *r, enum gfs_err err))
{
    rewrite->after = after;
    read_next(rewrite);
}

const struct ingest_result *s3_rewrite_result(const struct s3_rewrite *rewrite)
{
    return ingest_result(rewrite->in);
}

void s3_rewrite_free(struct s3_rewrite *rewrite)
{
    if (rewrite != NULL) {
        ingest_free(rewrite->in);
        reader_free(rewrite->reader);
        free(rewrite);
    }
}
