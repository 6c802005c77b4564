/* One S3 operation without server, threads or storage: the answering half of gateway/s3.h and the
 * metadata service are doubles that act at once and remember what they were given. */
#pragma once

#include "gateway/gateway_state.h"
#include "gateway/s3_ops.h"
#include "s3_fixture.h"

enum { RIG_ITEMS_MAX = 16, RIG_ERRS_MAX = 8 };

/* Plain data. A row as a test writes it: an object, upload or part under its name. */
struct rig_item {
    const char *key;
    bool is_prefix;
    uint8_t upload_id[META_UPLOAD_ID_LEN];
    struct meta_object object;
    struct meta_part part;
};

struct rig {
    struct s3_request r;
    struct http_request http;
    struct http_header headers[16];
    struct s3_param params[16];
    struct gateway gw;
    struct meta_service meta;
    /* what the store holds */
    uint32_t bucket_count, item_count, part_count;
    struct meta_bucket buckets[RIG_ITEMS_MAX];
    struct rig_item items[RIG_ITEMS_MAX]; /* objects or uploads, in order */
    struct rig_item parts[RIG_ITEMS_MAX];
    bool has_upload;
    struct meta_object upload;
    bool has_completed;
    struct meta_completed completed;
    enum gfs_err read_err; /* of every read, when not OK */
    /* what commits answer, in turn; OK after the last */
    enum gfs_err commit_errs[RIG_ERRS_MAX];
    enum meta_missing what_missing;
    void (*on_commit)(struct rig *rig, struct meta_op *op); /* may be NULL */
    /* what happened */
    uint32_t commit_count, list_count, live_rows;
    struct meta_op last_op;
    struct meta_list_query last_query;
    char last_after[2048];
    bool is_replied;
    int status;
    enum s3_err err;
    char message[1024];
    char reply_headers[2048]; /* "name: value\n" */
    char *body;               /* NULL when none */
};

/* query: "a=b&c", not percent-encoded; lines: "name:value\n..." */
struct rig *rig_new(enum http_method method, const char *key, const char *query, const char *lines);
/* start and, when that did not answer, finish. Fails the test unless there is exactly one answer.
 */
void rig_run(struct rig *rig, const struct s3_op *op, const char *body);
/* Runs the release of the operation; fails the test when a row was leaked. */
void rig_free(struct rig *rig);

#define RIG_ASSERT_BODY(rig, text)                                                                 \
    cr_assert((rig)->body != NULL && strstr((rig)->body, (text)) != NULL, "%d %s\n%s",             \
              (rig)->status, (rig)->message, (rig)->body == NULL ? "" : (rig)->body)
