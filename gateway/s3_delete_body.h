/* The body of DeleteObjects and its answer: pure functions over bytes. */
#pragma once

#include "gateway/s3.h"

/* Plain data. One <Object> of the request, in its order. */
struct s3_delete_entry {
    struct gfs_slice key;
    struct gfs_slice version_id; /* as given; NULL ptr when none */
    enum s3_err err;             /* refused before anything was asked of the store */
    struct meta_delete *item;    /* NULL when refused */
};

/* Plain data; everything in the arena of the parse. */
struct s3_delete_list {
    bool is_quiet;
    uint32_t entry_count;
    struct s3_delete_entry *entries;
    uint32_t delete_count; /* those that go into the operation */
    struct meta_delete *deletes;
};

/* S3_MalformedXML: no <Delete> document of 1..1,000 objects that each have a key; S3_SlowDown. */
enum s3_err s3_delete_parse(struct gfs_slice body, struct gfs_arena *arena,
                            struct s3_delete_list *ret);
/* <Deleted> (unless quiet) and <Error> elements, after the operation has filled in the results. */
void s3_delete_result(const struct s3_delete_list *list, struct gfs_buf *xml);
/* An HTTP or ISO 8601 date, to whole seconds. */
bool s3_delete_date_parse(struct gfs_slice text, int64_t *ret_unix_s);
