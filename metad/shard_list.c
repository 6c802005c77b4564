/* Listings: a scan, folded into common prefixes. */
#include "libgoodfs/mem.h"
#include "metad/scan.h"
#include "metad/shard_state.h"

enum { BUCKET_ID_LEN = 8 };

/* A listing under way. */
struct listing {
    const struct meta_list_query *query;
    struct scan *scan;
    meta_visit_fn visit;
    void *arg;
    uint32_t count; /* items and prefixes given */
    /* the least full key behind everything that starts with a common prefix */
    void (*prefix_key)(struct key *ret, uint64_t bucket_id, struct gfs_slice prefix);
};

static struct shard *shard_of(struct meta_service *meta)
{
    return GFS_CONTAINER_OF(meta, struct shard, service);
}

static bool is_valid(const struct meta_list_query *query)
{
    return query->prefix.len <= GFS_KEY_LEN_MAX && query->after.len <= GFS_KEY_LEN_MAX;
}

/* The common prefix that the key falls under, or nothing (ptr NULL). */
static struct gfs_slice common_prefix(const struct meta_list_query *query, struct gfs_slice key)
{
    if (query->delimiter.len == 0 || key.len <= query->prefix.len) {
        return (struct gfs_slice){0};
    }
    const char *rest = key.ptr + query->prefix.len;
    const char *found =
        memmem(rest, key.len - query->prefix.len, query->delimiter.ptr, query->delimiter.len);
    if (found == NULL) {
        return (struct gfs_slice){0};
    }
    return gfs_slice_of(key.ptr, (size_t)(found - key.ptr) + query->delimiter.len);
}

/* Gives one row to the visitor, alone or as its common prefix. END: there is one more than asked
 * for. */
static enum gfs_err give(struct listing *listing, struct meta_list_item *item)
{
    if (listing->count == listing->query->max) {
        return GFS_END;
    }
    listing->count++;
    struct gfs_slice prefix = common_prefix(listing->query, item->key);
    if (prefix.ptr == NULL) {
        return listing->visit(listing->arg, item);
    }
    struct key next;
    listing->prefix_key(&next, listing->query->bucket_id, prefix);
    key_after_prefix(&next);
    struct meta_list_item folded = {.is_prefix = true, .key = prefix};
    enum gfs_err err = listing->visit(listing->arg, &folded);
    scan_skip(listing->scan, &next);
    return err;
}

static void start_at(struct key *from, const struct key *after)
{
    if (gfs_slice_cmp(key_full(after), key_full(from)) > 0) {
        *from = *after;
    }
}

enum gfs_err shard_list_objects(struct meta_service *meta, const struct meta_list_query *query,
                                meta_visit_fn visit, void *arg, bool *ret_is_truncated)
{
    *ret_is_truncated = false;
    if (!is_valid(query)) {
        return GFS_INVALID;
    }
    if (query->max == 0) {
        return GFS_OK;
    }
    struct key from;
    struct key to;
    struct key after;
    key_object(&from, query->bucket_id, query->prefix);
    to = from;
    key_after_prefix(&to);
    key_object(&after, query->bucket_id, query->after);
    if (query->after.len != 0) {
        if (query->after_is_prefix) {
            key_after_prefix(&after);
        } else {
            key_after(&after);
        }
        start_at(&from, &after);
    }
    struct listing listing = {.query = query,
                              .scan = scan_begin(shard_of(meta), &from, &to),
                              .visit = visit,
                              .arg = arg,
                              .prefix_key = key_object};
    struct gfs_slice key;
    enum gfs_err err;
    struct meta_list_item item = {0};
    while ((err = scan_next(listing.scan, &key, &item.row)) == GFS_OK) {
        item.key = gfs_slice_of(key.ptr + BUCKET_ID_LEN, key.len - BUCKET_ID_LEN);
        err = give(&listing, &item);
        if (err != GFS_OK) {
            *ret_is_truncated = err == GFS_END;
            break;
        }
    }
    scan_end(listing.scan);
    return err == GFS_END ? GFS_OK : err;
}

/* Behind which key the listing of uploads begins; false: at the beginning. */
static bool uploads_after(const struct meta_list_query *query, struct key *ret)
{
    if (query->has_after_upload) {
        key_upload(ret, query->bucket_id, query->after, query->after_upload);
        key_after(ret);
        return true;
    }
    if (query->after_is_prefix) {
        key_uploads_prefix(ret, query->bucket_id, query->after);
    } else {
        key_uploads_of(ret, query->bucket_id, query->after);
    }
    key_after_prefix(ret);
    return query->after.len != 0;
}

enum gfs_err shard_list_uploads(struct meta_service *meta, const struct meta_list_query *query,
                                meta_visit_fn visit, void *arg, bool *ret_is_truncated)
{
    *ret_is_truncated = false;
    if (!is_valid(query)) {
        return GFS_INVALID;
    }
    if (query->max == 0 || !shard_has_bucket(shard_of(meta), query->bucket_id)) {
        return GFS_OK; /* of a dropped bucket, uploads may still be in the database */
    }
    struct key from;
    struct key to;
    struct key after;
    key_uploads_prefix(&from, query->bucket_id, query->prefix);
    to = from;
    key_after_prefix(&to);
    if (uploads_after(query, &after)) {
        start_at(&from, &after);
    }
    struct listing listing = {.query = query,
                              .scan = scan_begin(shard_of(meta), &from, &to),
                              .visit = visit,
                              .arg = arg,
                              .prefix_key = key_uploads_prefix};
    struct gfs_slice key;
    enum gfs_err err;
    struct meta_list_item item = {0};
    while ((err = scan_next(listing.scan, &key, &item.row)) == GFS_OK) {
        char name[GFS_KEY_LEN_MAX];
        size_t name_len = 0;
        err = key_parse_upload(key, name, &name_len, item.upload_id);
        item.key = gfs_slice_of(name, name_len);
        if (err == GFS_OK) {
            err = give(&listing, &item);
        }
        if (err != GFS_OK) {
            *ret_is_truncated = err == GFS_END;
            break;
        }
    }
    scan_end(listing.scan);
    return err == GFS_END ? GFS_OK : err;
}

enum gfs_err shard_list_parts(struct meta_service *meta,
                              const uint8_t upload_id[META_UPLOAD_ID_LEN], uint32_t after,
                              uint32_t max, meta_visit_fn visit, void *arg, bool *ret_is_truncated)
{
    *ret_is_truncated = false;
    if (after >= GFS_PART_NUMBER_MAX || max == 0) {
        return GFS_OK;
    }
    struct key from;
    struct key to;
    key_parts_of(&to, upload_id);
    key_after_prefix(&to);
    key_part(&from, upload_id, after + 1);
    struct scan *scan = scan_begin(shard_of(meta), &from, &to);
    struct gfs_slice key;
    struct meta_list_item item = {0};
    uint32_t count = 0;
    enum gfs_err err;
    while ((err = scan_next(scan, &key, &item.row)) == GFS_OK) {
        *ret_is_truncated = count == max;
        err = count++ == max ? GFS_END : visit(arg, &item);
        if (err != GFS_OK) {
            break;
        }
    }
    scan_end(scan);
    return err == GFS_END ? GFS_OK : err;
}
