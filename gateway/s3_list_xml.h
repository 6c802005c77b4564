/* The XML of object listings, built entry by entry: pure functions over bytes. */
#pragma once

#include "gateway/s3.h"

enum s3_list_kind { S3_LIST_V1, S3_LIST_V2, S3_LIST_VERSIONS };

/* Plain data. What a listing was asked for; slices are borrowed. */
struct s3_list_query {
    enum s3_list_kind kind;
    struct gfs_slice bucket;
    struct gfs_slice prefix, delimiter;
    bool has_marker;
    struct gfs_slice marker;         /* V1 marker, V2 start-after, versions key-marker */
    struct gfs_slice version_marker; /* versions */
    bool has_token;
    struct gfs_slice token; /* V2, as given */
    uint32_t max_keys;
    bool is_encoded; /* encoding-type=url */
    bool has_owner;  /* V2: fetch-owner=true */
};

/* Owned by one thread at a time. */
struct s3_list_xml {
    const struct s3_list_query *query;
    struct gfs_buf contents, prefixes;
    struct gfs_buf owner; /* the <Owner> element, or empty */
    uint32_t count;
    bool is_last_prefix;
    size_t last_len; /* the last key or prefix that was added */
    char last[GFS_KEY_LEN_MAX];
};

void s3_list_xml_init(struct s3_list_xml *x, const struct s3_list_query *query);
void s3_list_xml_fini(struct s3_list_xml *x);
/* No printf and one bounds check per entry: 1,000 of them are a common answer. */
void s3_list_xml_object(struct s3_list_xml *x, struct gfs_slice key,
                        const struct meta_object *object);
void s3_list_xml_prefix(struct s3_list_xml *x, struct gfs_slice prefix);
/* The whole document into out (its is_full is set when anything did not fit). The arena holds the
 * continuation token. */
void s3_list_xml_finish(struct s3_list_xml *x, bool is_truncated, struct gfs_arena *arena,
                        struct gfs_buf *out);

/* An exclusive start that compares with every possible key as `marker` does and is no longer than a
 * key can be. */
struct gfs_slice s3_list_start(struct gfs_slice marker);
/* True when the marker is a whole common prefix of this listing, so that everything under it has
 * been shown: markers carry no other sign of it. */
bool s3_list_is_prefix(struct gfs_slice marker, struct gfs_slice prefix,
                       struct gfs_slice delimiter);
