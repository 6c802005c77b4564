/* All chunk references there are, row by row. Parts come before objects: a completion in between
 * moves references that way. */
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"
#include "metad/record.h"
#include "metad/scan.h"
#include "metad/shard_state.h"

enum { BUCKET_ID_LEN = 8, DAMAGED_ROWS_MAX = 100000, TABLE_END_LEN = 24 };

/* A visit under way. */
struct visit {
    struct shard *shard;
    shard_reference_fn visit;
    void *arg;
    uint64_t damaged_rows;
};

static enum gfs_err visit_row(struct visit *visit, struct shard_reference *reference,
                              struct gfs_slice row)
{
    struct record_chunks chunks;
    enum gfs_err err = record_chunks_begin(row, &chunks);
    while (err == GFS_OK) {
        struct meta_chunk_ref ref;
        err = record_chunks_next(&chunks, &ref);
        reference->id = ref.id;
        if (err == GFS_OK && (err = visit->visit(visit->arg, reference)) != GFS_OK) {
            return err == GFS_CORRUPT ? GFS_CANCELLED : err;
        }
    }
    visit->damaged_rows += err == GFS_CORRUPT;
    return err == GFS_END || err == GFS_CORRUPT ? GFS_OK : err;
}

static enum gfs_err visit_object(struct visit *visit, struct gfs_slice key, struct gfs_slice row)
{
    if (key.len < BUCKET_ID_LEN) {
        visit->damaged_rows++;
        return GFS_OK;
    }
    struct shard_reference reference = {
        .bucket_id = gfs_codec_load_u64_be(key.ptr),
        .key = gfs_slice_of(key.ptr + BUCKET_ID_LEN, key.len - BUCKET_ID_LEN)};
    return visit_row(visit, &reference, row);
}

static enum gfs_err visit_part(struct visit *visit, struct gfs_slice key, struct gfs_slice row)
{
    char name[2 * META_UPLOAD_ID_LEN + 1];
    struct record_size size;
    if (key.len < META_UPLOAD_ID_LEN || record_size(row, &size) != GFS_OK) {
        visit->damaged_rows++;
        return GFS_OK;
    }
    gfs_hex_encode(key.ptr, META_UPLOAD_ID_LEN, name);
    struct shard_reference reference = {
        .is_part = true, .bucket_id = size.bucket_id, .key = gfs_slice_str(name)};
    return visit_row(visit, &reference, row);
}

static enum gfs_err visit_table(struct visit *visit, enum table table,
                                enum gfs_err (*visit_one)(struct visit *visit, struct gfs_slice key,
                                                          struct gfs_slice row))
{
    struct key from = {.len = 1, .bytes = {(char)table}};
    /* above every row: bucket ids count from 1, and part numbers end at 10,000 */
    struct key to = {.len = 1 + TABLE_END_LEN, .bytes = {(char)table}};
    memset(to.bytes + 1, 0xff, TABLE_END_LEN);
    struct scan *scan = scan_begin(visit->shard, &from, &to);
    struct gfs_slice key;
    struct gfs_slice row;
    enum gfs_err err = GFS_OK;
    while (err == GFS_OK && visit->damaged_rows < DAMAGED_ROWS_MAX) {
        err = scan_next(scan, &key, &row);
        if (err == GFS_CORRUPT) {
            visit->damaged_rows++; /* the scan goes on behind it */
            err = GFS_OK;
        } else if (err == GFS_OK) {
            err = visit_one(visit, key, row);
        }
    }
    scan_end(scan);
    return err == GFS_END ? GFS_OK : err;
}

enum gfs_err shard_visit_references(struct shard *shard, shard_reference_fn visit, void *arg)
{
    struct visit own = {.shard = shard, .visit = visit, .arg = arg};
    enum gfs_err err = visit_table(&own, TABLE_PARTS, visit_part);
    if (err == GFS_OK) {
        err = visit_table(&own, TABLE_OBJECTS, visit_object);
    }
    return err == GFS_OK && own.damaged_rows > 0 ? GFS_CORRUPT : err;
}

/* ---- of certain chunks ---- */

/* What is looked for. */
struct wanted {
    const struct chunk_id *ids;
    size_t count;
    bool *ret;
};

static int compare_ids(const void *left, const void *right)
{
    const struct chunk_id *a = left;
    const struct chunk_id *b = right;
    if (a->hi != b->hi) {
        return a->hi < b->hi ? -1 : 1;
    }
    return (a->lo > b->lo) - (a->lo < b->lo);
}

static void mark(const struct wanted *wanted, struct chunk_id id)
{
    const struct chunk_id *found = bsearch(&id, wanted->ids, wanted->count, sizeof id, compare_ids);
    if (found != NULL) {
        wanted->ret[found - wanted->ids] = true;
    }
}

static enum gfs_err mark_reference(void *arg, const struct shard_reference *reference)
{
    mark(arg, reference->id);
    return GFS_OK;
}

static enum gfs_err mark_garbage(struct visit *visit, struct gfs_slice key, struct gfs_slice row)
{
    struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
    uint32_t count = 0;
    int64_t time_ms = 0;
    (void)key;
    if (record_decode_garbage(row, &time_ms, ids, &count) != GFS_OK) {
        visit->damaged_rows++;
        return GFS_OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        mark(visit->arg, ids[i]);
    }
    return GFS_OK;
}

enum gfs_err shard_has_references(struct shard *shard, const struct chunk_id *ids, size_t count,
                                  bool *ret)
{
    struct wanted wanted = {.ids = ids, .count = count, .ret = ret};
    memset(ret, 0, count * sizeof *ret);
    if (count == 0) {
        return GFS_OK;
    }
    enum gfs_err err = shard_visit_references(shard, mark_reference, &wanted);
    struct visit garbage = {.shard = shard, .arg = &wanted};
    if (err == GFS_OK) {
        err = visit_table(&garbage, TABLE_GARBAGE, mark_garbage); /* rows went there meanwhile */
    }
    return err == GFS_OK && garbage.damaged_rows > 0 ? GFS_CORRUPT : err;
}
