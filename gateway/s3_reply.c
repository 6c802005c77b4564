/* Answers and waiting: everything that ends a request or hands it to another thread and back. */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "gateway/s3_request.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { ERROR_XML_MAX = 256 * 1024 };

void s3_reply_header_slice(struct s3_request *r, struct gfs_slice name, struct gfs_slice value)
{
    if (r->reply_header_count == r->reply_header_size) {
        uint32_t size = GFS_MAX(r->reply_header_size * 2, 16U);
        struct http_reply_header *grown = gfs_arena_alloc(&r->arena, size * sizeof *grown);
        GFS_ASSERT(grown != NULL);
        if (r->reply_header_count > 0) {
            memcpy(grown, r->reply_headers, r->reply_header_count * sizeof *grown);
        }
        r->reply_headers = grown;
        r->reply_header_size = size;
    }
    r->reply_headers[r->reply_header_count++] = (struct http_reply_header){name, value};
}

void s3_reply_header(struct s3_request *r, const char *name, struct gfs_slice value)
{
    s3_reply_header_slice(r, gfs_slice_str(name), value);
}

void s3_reply_header_str(struct s3_request *r, const char *name, const char *value)
{
    s3_reply_header(r, name, gfs_slice_str(value));
}

void s3_reply(struct s3_request *r, struct http_reply *reply)
{
    GFS_ASSERT(!r->is_replied);
    r->is_replied = true;
    r->status = reply->status;
    if (r->x == NULL) {
        return;
    }
    s3_reply_header(r, "x-amz-request-id", gfs_slice_of(r->request_id, 16));
    s3_reply_header_str(r, "server", "GoodFS");
    reply->header_count = r->reply_header_count;
    reply->headers = r->reply_headers;
    http_reply(r->x, reply);
}

void s3_reply_empty(struct s3_request *r, int status)
{
    struct http_reply reply = {.status = status, .body = HTTP_BODY_NONE};
    s3_reply(r, &reply);
}

void s3_reply_xml(struct s3_request *r, int status, struct gfs_buf *xml)
{
    if (xml->is_full) {
        gfs_buf_fini(xml);
        s3_fail(r, S3_InternalError, "The answer is larger than the server may build.");
        return;
    }
    r->reply_bytes = *xml;
    *xml = (struct gfs_buf){.size_max = xml->size_max};
    s3_reply_header_str(r, "content-type", "application/xml");
    struct http_reply reply = {
        .status = status, .body = HTTP_BODY_BYTES, .bytes = gfs_buf_slice(&r->reply_bytes)};
    s3_reply(r, &reply);
}

static void add_signature_detail(struct s3_request *r, struct gfs_buf *xml)
{
    const struct auth_detail *detail = &r->auth_detail;
    gfs_xml_element(xml, "AWSAccessKeyId", detail->access_key);
    gfs_xml_element(xml, "StringToSign", detail->string_to_sign);
    gfs_xml_element(xml, "SignatureProvided", detail->signature);
    gfs_xml_element(xml, "CanonicalRequest", detail->canonical_request);
}

static void add_skew_detail(struct s3_request *r, struct gfs_buf *xml)
{
    char now[GFS_ISO_DATE_LEN + 1];
    gfs_iso_date(gfs_wall_ms(), now);
    gfs_xml_element(xml, "RequestTime", s3_header(r, "x-amz-date"));
    gfs_xml_element_str(xml, "ServerTime", now);
    gfs_xml_element_u64(xml, "MaxAllowedSkewMilliseconds", 900000);
}

static void build_error(struct s3_request *r, enum s3_err err, const char *message,
                        struct gfs_buf *xml)
{
    gfs_xml_begin(xml, "Error", NULL);
    gfs_xml_element_str(xml, "Code", s3_err_code(err));
    gfs_xml_element_str(xml, "Message", message);
    if (r->bucket.len > 0) {
        gfs_xml_element(xml, "BucketName", r->bucket);
    }
    if (r->key.len > 0) {
        gfs_xml_element(xml, "Key", r->key);
    }
    if (err == S3_SignatureDoesNotMatch) {
        add_signature_detail(r, xml);
    } else if (err == S3_RequestTimeTooSkewed) {
        add_skew_detail(r, xml);
    } else if (err == S3_InvalidRange && s3_header(r, "range").ptr != NULL) {
        gfs_xml_element(xml, "RangeRequested", s3_header(r, "range"));
        gfs_xml_element_u64(xml, "ActualObjectSize", r->object_size);
    }
    gfs_xml_element(xml, "Resource", r->http->raw_path);
    gfs_xml_element_str(xml, "RequestId", r->request_id);
    gfs_xml_close(xml, "Error");
}

static void log_failure(struct s3_request *r, enum s3_err err, const char *message)
{
    char bucket[128];
    char text[256];
    gfs_log(s3_err_status(err) == 500 ? GFS_LOG_ERROR : GFS_LOG_WARN,
            "req=%s op=%s bucket=%s err=%s msg=%s", r->request_id,
            r->op == NULL ? "-" : r->op->name, gfs_log_quote(r->bucket, bucket, sizeof bucket),
            s3_err_code(err), gfs_log_quote(gfs_slice_str(message), text, sizeof text));
}

/* A write that storage does not take: why, for who may write at all. */
static void add_refusal(const struct s3_request *r, enum s3_err err, char *message, size_t size)
{
    char reason[256] = "";
    struct chunk_store *chunks = r->gw->options.chunks;
    bool is_write = r->http != NULL && r->http->method != HTTP_GET && r->http->method != HTTP_HEAD;
    bool is_refusal = err == S3_ServiceUnavailable || err == S3_StorageFull;
    if (is_write && is_refusal && r->auth.access_key.len > 0 && chunks->ops->refusal != NULL) {
        chunks->ops->refusal(chunks, reason, sizeof reason);
    }
    if (reason[0] != '\0') {
        (void)snprintf(message, size, "Writes are refused: %s.", reason);
    }
}

void s3_fail(struct s3_request *r, enum s3_err err, const char *format, ...)
{
    GFS_ASSERT(err != S3_OK);
    char message[1024];
    (void)snprintf(message, sizeof message, "%s", s3_err_message(err));
    if (format != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(message, sizeof message, format, args);
        va_end(args);
    } else {
        add_refusal(r, err, message, sizeof message);
    }
    int status = s3_err_status(err);
    if (status >= 500 && err != S3_NotImplemented) {
        log_failure(r, err, message);
    }
    if (r->x == NULL) {
        r->is_replied = true;
        r->status = status;
        return;
    }
    r->reply_header_count = 0;
    if (status == 304 || r->http->method == HTTP_HEAD) {
        s3_reply_empty(r, status);
        return;
    }
    struct gfs_buf xml;
    gfs_buf_init(&xml, ERROR_XML_MAX);
    build_error(r, err, message, &xml);
    if (status == 503) {
        s3_reply_header_str(r, "retry-after", "1");
    }
    s3_reply_xml(r, status, &xml);
}

/* ---- waiting ---- */

struct blocked {
    struct worker_job job;
    struct http_task task;
    struct s3_request *r;
    void (*work)(struct s3_request *r);
    void (*after)(struct s3_request *r);
};

static void blocked_after(struct http_task *task)
{
    struct blocked *blocked = GFS_CONTAINER_OF(task, struct blocked, task);
    struct s3_request *r = blocked->r;
    void (*after)(struct s3_request * r) = blocked->after;
    free(blocked);
    after(r);
    s3_release(r);
}

static void blocked_run(struct worker_job *job)
{
    struct blocked *blocked = GFS_CONTAINER_OF(job, struct blocked, job);
    blocked->work(blocked->r);
    blocked->task.fn = blocked_after;
    http_post(blocked->r->loop, &blocked->task);
}

bool s3_try_block(struct s3_request *r, void (*work)(struct s3_request *r),
                  void (*after)(struct s3_request *r))
{
    struct blocked *blocked = gfs_alloc(sizeof *blocked);
    *blocked = (struct blocked){.r = r, .work = work, .after = after};
    blocked->job.run = blocked_run;
    if (!worker_submit(r->gw->workers, &blocked->job)) {
        free(blocked);
        return false;
    }
    s3_hold(r); /* in time: it is over on this thread */
    return true;
}

void s3_block(struct s3_request *r, void (*work)(struct s3_request *r),
              void (*after)(struct s3_request *r))
{
    if (!s3_try_block(r, work, after)) {
        s3_fail(r, S3_SlowDown, NULL);
    }
}

struct commit {
    struct worker_job job;
    struct http_task task;
    struct s3_request *r;
    struct meta_op *op;
    enum gfs_err err;
    void (*after)(struct s3_request *r, struct meta_op *op, enum gfs_err err);
};

static void commit_after(struct http_task *task)
{
    struct commit *commit = GFS_CONTAINER_OF(task, struct commit, task);
    struct s3_request *r = commit->r;
    struct commit copy = *commit;
    free(commit);
    copy.after(r, copy.op, copy.err);
    s3_release(r);
}

static void commit_done(struct meta_op *op, enum gfs_err err)
{
    struct commit *commit = op->arg;
    commit->err = err;
    commit->task.fn = commit_after;
    http_post(commit->r->loop, &commit->task);
}

static void commit_blocking(struct worker_job *job)
{
    struct commit *commit = GFS_CONTAINER_OF(job, struct commit, job);
    struct meta_service *meta = commit->r->gw->options.meta;
    enum gfs_err err = meta->ops->submit(meta, commit->op, 0);
    GFS_ASSERT(err == GFS_OK);
}

void s3_commit(struct s3_request *r, struct meta_op *op,
               void (*after)(struct s3_request *r, struct meta_op *op, enum gfs_err err))
{
    s3_hold(r);
    struct commit *commit = gfs_alloc(sizeof *commit);
    *commit = (struct commit){.r = r, .op = op, .after = after};
    op->done = commit_done;
    op->arg = commit;
    struct meta_service *meta = r->gw->options.meta;
    if (meta->ops->submit(meta, op, META_NOWAIT) == GFS_OK) {
        return;
    }
    commit->job.run = commit_blocking;
    if (!worker_submit(r->gw->workers, &commit->job)) {
        commit_done(op, GFS_BUSY);
    }
}

struct lookup {
    struct worker_job job;
    struct http_task task;
    struct s3_request *r;
    uint64_t bucket_id;
    struct gfs_slice key;
    enum gfs_err err;
    struct meta_row *row;
    void (*after)(struct s3_request *r, enum gfs_err err, struct meta_row *row);
};

static void lookup_after(struct http_task *task)
{
    struct lookup *lookup = GFS_CONTAINER_OF(task, struct lookup, task);
    struct lookup copy = *lookup;
    free(lookup);
    copy.after(copy.r, copy.err, copy.row);
    s3_release(copy.r);
}

static void lookup_run(struct worker_job *job)
{
    struct lookup *lookup = GFS_CONTAINER_OF(job, struct lookup, job);
    struct meta_service *meta = lookup->r->gw->options.meta;
    lookup->err = meta->ops->object(meta, lookup->bucket_id, lookup->key, 0, &lookup->row);
    lookup->task.fn = lookup_after;
    http_post(lookup->r->loop, &lookup->task);
}

void s3_lookup(struct s3_request *r, uint64_t bucket_id, struct gfs_slice key,
               void (*after)(struct s3_request *r, enum gfs_err err, struct meta_row *row))
{
    struct meta_service *meta = r->gw->options.meta;
    struct meta_row *row = NULL;
    enum gfs_err err = meta->ops->object(meta, bucket_id, key, META_NOWAIT, &row);
    if (err != GFS_AGAIN) {
        after(r, err, row);
        return;
    }
    s3_hold(r);
    struct lookup *lookup = gfs_alloc(sizeof *lookup);
    *lookup = (struct lookup){.r = r, .bucket_id = bucket_id, .key = key, .after = after};
    lookup->job.run = lookup_run;
    if (!worker_submit(r->gw->workers, &lookup->job)) {
        free(lookup);
        s3_fail(r, S3_SlowDown, NULL);
        s3_release(r);
    }
}

void s3_request_detach(struct s3_request *r)
{
    const struct http_request *from = r->http;
    if (r->is_detached) {
        return;
    }
    r->is_detached = true;
    struct http_request *copy = gfs_arena_alloc(&r->arena, sizeof *copy);
    struct http_header *headers =
        gfs_arena_alloc(&r->arena, (size_t)from->header_count * sizeof *headers);
    GFS_ASSERT(copy != NULL && headers != NULL);
    *copy = *from;
    for (uint32_t i = 0; i < from->header_count; i++) {
        headers[i].name = gfs_arena_copy(&r->arena, from->headers[i].name);
        headers[i].value = gfs_arena_copy(&r->arena, from->headers[i].value);
    }
    copy->headers = headers;
    copy->method_text = gfs_arena_copy(&r->arena, from->method_text);
    copy->raw_path = gfs_arena_copy(&r->arena, from->raw_path);
    copy->raw_query = gfs_arena_copy(&r->arena, from->raw_query);
    copy->peer = gfs_arena_copy(&r->arena, from->peer);
    r->http = copy;
}
