#include "tests/unit/metad/shard_model.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"

const struct gfs_slice model_keys[MODEL_KEYS] = {
    {"\0", 1},    {"a", 1},   {"a\0", 2},    {"a\0b", 3},     {"a/", 2},  {"a/b", 3},
    {"a/b/c", 5}, {"a/c", 3}, {"a/\377", 3}, {"ab", 2},       {"b/1", 3}, {"b/2", 3},
    {"b/2/", 4},  {"c", 1},   {"\377", 1},   {"\377\377", 2},
};

void model_fini(struct model *model)
{
    free(model->chunks);
}

void model_note_chunks(struct model *model, const struct model_row *row)
{
    for (uint32_t i = 0; i < row->chunk_count; i++) {
        if (model->chunk_count == model->chunk_size) {
            model->chunk_size = model->chunk_size == 0 ? 256 : 2 * model->chunk_size;
            model->chunks = gfs_realloc(model->chunks, model->chunk_size * sizeof model->chunks[0]);
        }
        model->chunks[model->chunk_count++] = row->chunks[i];
    }
}

static bool has_chunk(const struct model_row *row, struct chunk_id id)
{
    for (uint32_t i = 0; row->is_there && i < row->chunk_count; i++) {
        if (row->chunks[i].hi == id.hi && row->chunks[i].lo == id.lo) {
            return true;
        }
    }
    return false;
}

bool model_is_referenced(const struct model *model, struct chunk_id id)
{
    for (uint32_t b = 0; b < MODEL_BUCKETS; b++) {
        const struct model_bucket *bucket = &model->buckets[b];
        for (uint32_t k = 0; bucket->is_there && k < MODEL_KEYS; k++) {
            if (has_chunk(&bucket->objects[k], id)) {
                return true;
            }
        }
        for (uint32_t i = 0; bucket->is_there && i < MODEL_UPLOADS * MODEL_PARTS; i++) {
            const struct model_upload *upload = &bucket->uploads[i / MODEL_PARTS];
            if (upload->is_there && has_chunk(&upload->parts[i % MODEL_PARTS], id)) {
                return true;
            }
        }
    }
    return false;
}

bool model_is_empty(const struct model_bucket *bucket)
{
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        if (bucket->objects[k].is_there) {
            return false;
        }
    }
    return true;
}

struct meta_usage model_usage(const struct model_bucket *bucket)
{
    struct meta_usage usage = {0};
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        usage.object_count += bucket->objects[k].is_there ? 1 : 0;
        usage.object_bytes +=
            bucket->objects[k].is_there ? 10ULL * bucket->objects[k].chunk_count : 0;
    }
    for (uint32_t u = 0; u < MODEL_UPLOADS; u++) {
        const struct model_upload *upload = &bucket->uploads[u];
        usage.upload_count += upload->is_there ? 1 : 0;
        for (uint32_t p = 0; upload->is_there && p < MODEL_PARTS; p++) {
            usage.part_bytes +=
                upload->parts[p].is_there ? 10ULL * upload->parts[p].chunk_count : 0;
        }
    }
    return usage;
}

enum gfs_err model_judge(const struct model_row *row, const struct meta_condition *condition)
{
    bool is_match_wanted =
        condition->if_match_any || condition->has_if_match || condition->has_if_match_size;
    if (!row->is_there) {
        return is_match_wanted ? GFS_NOT_FOUND : GFS_OK;
    }
    bool is_found = !condition->has_if_match;
    for (uint32_t i = 0; condition->has_if_match && i < condition->etag_count; i++) {
        is_found = is_found || condition->etags[i].md5[0] == row->tag;
    }
    bool is_size =
        !condition->has_if_match_size || condition->if_match_size == 10ULL * row->chunk_count;
    return condition->if_none_match_any || !is_found || !is_size ? GFS_PRECONDITION : GFS_OK;
}

void model_write_item(struct gfs_buf *out, struct gfs_slice key, bool is_prefix, uint64_t value)
{
    for (size_t i = 0; i < key.len; i++) {
        gfs_buf_add_char(out, key.ptr[i] == 0 ? '0' : key.ptr[i]);
    }
    if (is_prefix) {
        gfs_buf_add_str(out, "* ");
    } else {
        gfs_buf_printf(out, "=%llu ", (unsigned long long)value);
    }
}

/* A listing being written: items are given in order, all of them. */
struct listing {
    const struct meta_list_query *query;
    struct gfs_buf *out;
    uint32_t count;
    bool is_truncated;
    struct gfs_slice last_prefix; /* ptr NULL = none yet */
};

static struct gfs_slice common_prefix(const struct meta_list_query *query, struct gfs_slice key)
{
    for (size_t at = query->prefix.len;
         query->delimiter.len != 0 && at + query->delimiter.len <= key.len; at++) {
        if (memcmp(key.ptr + at, query->delimiter.ptr, query->delimiter.len) == 0) {
            return gfs_slice_of(key.ptr, at + query->delimiter.len);
        }
    }
    return (struct gfs_slice){0};
}

static void give(struct listing *listing, struct gfs_slice key, uint64_t value)
{
    struct gfs_slice prefix = common_prefix(listing->query, key);
    bool is_repeated = prefix.ptr != NULL && listing->last_prefix.ptr != NULL &&
                       gfs_slice_eq(prefix, listing->last_prefix);
    if (!gfs_slice_starts(key, listing->query->prefix) || is_repeated || listing->is_truncated) {
        return;
    }
    if (listing->count == listing->query->max) {
        listing->is_truncated = listing->query->max != 0;
        return;
    }
    listing->count++;
    listing->last_prefix = prefix;
    model_write_item(listing->out, prefix.ptr == NULL ? key : prefix, prefix.ptr != NULL, value);
}

static bool is_behind_prefix(const struct meta_list_query *query, struct gfs_slice key)
{
    return gfs_slice_cmp(key, query->after) >= 0 && !gfs_slice_starts(key, query->after);
}

void model_list_objects(const struct model_bucket *bucket, const struct meta_list_query *query,
                        struct gfs_buf *out)
{
    struct listing listing = {.query = query, .out = out};
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        struct gfs_slice key = model_keys[k];
        bool is_behind = query->after.len == 0 ||
                         (query->after_is_prefix ? is_behind_prefix(query, key)
                                                 : gfs_slice_cmp(key, query->after) > 0);
        if (bucket->objects[k].is_there && is_behind) {
            give(&listing, key, bucket->objects[k].tag);
        }
    }
    if (listing.is_truncated) {
        gfs_buf_add_char(out, '+');
    }
}

/* The upload of that key with the least id above `id`; NULL when there is none. */
static const struct model_upload *next_upload(const struct model_bucket *bucket, uint32_t key,
                                              uint64_t id)
{
    const struct model_upload *next = NULL;
    for (uint32_t u = 0; u < MODEL_UPLOADS; u++) {
        const struct model_upload *upload = &bucket->uploads[u];
        if (upload->is_there && upload->key == key && upload->id > id &&
            (next == NULL || upload->id < next->id)) {
            next = upload;
        }
    }
    return next;
}

void model_list_uploads(const struct model_bucket *bucket, const struct meta_list_query *query,
                        struct gfs_buf *out)
{
    struct listing listing = {.query = query, .out = out};
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        struct gfs_slice key = model_keys[k];
        uint64_t id = 0;
        int order = gfs_slice_cmp(key, query->after);
        if (query->has_after_upload) {
            id = order == 0 ? query->after_upload[7] + 256ULL * query->after_upload[6] : 0;
            order = order < 0 ? -1 : 1;
        } else if (query->after_is_prefix && query->after.len != 0) {
            order = is_behind_prefix(query, key) ? 1 : -1;
        }
        const struct model_upload *upload = next_upload(bucket, k, id);
        while (order > 0 && upload != NULL) {
            give(&listing, key, upload->id);
            upload = next_upload(bucket, k, upload->id);
        }
    }
    if (listing.is_truncated) {
        gfs_buf_add_char(out, '+');
    }
}
