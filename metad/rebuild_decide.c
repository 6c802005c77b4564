/* Of all rows found, those that are restored.
 *
 *   objects   the newest whole one of each key
 *   uploads   those that no object came from
 *   parts     of such uploads, the newest whole one of each number, unless the chunk that carries
 *             its label belongs to a restored object: then it is a part of that object. An upload
 *             whose own row is lost comes back without headers. */
#include <stdlib.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "metad/rebuild_state.h"
#include "metad/record.h"

enum { TAIL_LEN = 24, ROW_ARENA_MAX = 256 << 20, EDIT_NUMBER_LEN = 4 };

/* The row that is looked at. */
struct candidate {
    struct label label;
    struct chunk_id carrier;
    struct gfs_slice label_bytes;
    struct gfs_arena arena;
    struct meta_object object;
    struct meta_part part;
    struct rebuild_bytes bytes;
};

/* The rows of one name, newest first. */
struct name {
    struct gfs_buf key;  /* without the tail */
    bool is_decided;     /* a row is restored */
    const char *lacking; /* why a newer one is not; NULL = there is none */
};

/* ---- looking ---- */

static void set_bytes(struct candidate *candidate)
{
    const struct meta_object *object = &candidate->object;
    const struct meta_part *part = &candidate->part;
    bool is_part = candidate->label.table == TABLE_PARTS;
    candidate->bytes = (struct rebuild_bytes){
        .chunks = is_part ? part->chunks : object->chunks,
        .chunk_count = is_part ? part->chunk_count : object->chunk_count,
        .size = is_part ? part->size : object->size,
        .crc64 = is_part ? part->crc64 : object->crc64,
        .md5 = is_part ? part->etag : object->etag,
    };
    if (!is_part && object->etag_parts != 0) {
        candidate->bytes.md5 = NULL;
    }
}

static enum gfs_err decode(struct candidate *candidate, struct gfs_slice key,
                           struct gfs_slice label_bytes)
{
    const char *ids = key.ptr + key.len - 2 * sizeof(uint64_t);
    candidate->carrier = (struct chunk_id){.hi = gfs_codec_load_u64_be(ids),
                                           .lo = gfs_codec_load_u64_be(ids + sizeof(uint64_t))};
    candidate->label_bytes = label_bytes;
    enum gfs_err err = label_decode(label_bytes, &candidate->label);
    if (err != GFS_OK) {
        return err;
    }
    struct gfs_slice row = candidate->label.row;
    err = candidate->label.table == TABLE_PARTS
              ? meta_part_decode(row, &candidate->arena, &candidate->part)
              : meta_object_decode(row, &candidate->arena, &candidate->object);
    if (err == GFS_OK) {
        set_bytes(candidate);
    }
    return err;
}

static enum gfs_err mark_chunks(struct rebuild *rebuild, enum table table,
                                const struct candidate *candidate)
{
    enum gfs_err err = GFS_OK;
    for (uint32_t i = 0; i < candidate->bytes.chunk_count && err == GFS_OK; i++) {
        err = rebuild_put_chunk(rebuild, table, candidate->bytes.chunks[i].id);
    }
    return err;
}

/* ---- planning ---- */

static enum gfs_err plan(struct rebuild *rebuild, uint64_t lsn, uint8_t kind,
                         struct gfs_slice bytes)
{
    char key[sizeof lsn + EDIT_NUMBER_LEN];
    struct gfs_buf value;
    uint32_t number = kind == REBUILD_PLAN_BUCKET ? 0 : ++rebuild->plan_count;
    gfs_codec_store_u64_be(key, lsn);
    for (size_t i = 0; i < EDIT_NUMBER_LEN; i++) {
        key[sizeof lsn + i] = (char)(number >> (8 * (EDIT_NUMBER_LEN - 1 - i)));
    }
    gfs_buf_init(&value, REBUILD_VALUE_MAX);
    gfs_codec_put_u8(&value, kind);
    gfs_buf_add_slice(&value, bytes);
    enum gfs_err err = value.is_full
                           ? GFS_TOO_BIG
                           : rebuild_put(rebuild, TABLE_PARTS, gfs_slice_of(key, sizeof key),
                                         gfs_buf_slice(&value));
    gfs_buf_fini(&value);
    return err;
}

static enum gfs_err plan_candidate(struct rebuild *rebuild, const struct candidate *candidate)
{
    return plan(rebuild, record_mod_lsn(candidate->label.row), REBUILD_PLAN_ROW,
                candidate->label_bytes);
}

/* An upload of which only parts are left. */
static enum gfs_err plan_lost_upload(struct rebuild *rebuild, const struct candidate *candidate)
{
    struct gfs_buf bytes;
    struct meta_object none = {0};
    struct label label = candidate->label;
    struct gfs_slice row = label.row;
    label.table = TABLE_UPLOADS;
    label.row = (struct gfs_slice){0};
    gfs_buf_init(&bytes, REBUILD_VALUE_MAX);
    label_encode(&bytes, &label);
    size_t offset = bytes.len;
    record_encode_object(&bytes, &none);
    record_stamp(bytes.ptr + offset, record_mod_lsn(row), record_mtime_ms(row));
    enum gfs_err err = plan(rebuild, record_mod_lsn(row), REBUILD_PLAN_ROW, gfs_buf_slice(&bytes));
    gfs_buf_fini(&bytes);
    if (err == GFS_OK) {
        rebuild->result.uploads++;
        rebuild_report(rebuild, &label,
                       (struct rebuild_finding){.verdict = REBUILD_UNPROVED,
                                                .reason = "of the upload only parts are left: its "
                                                          "headers and checksum type are lost"});
    }
    return err;
}

static enum gfs_err add_upload(struct rebuild *rebuild, const struct candidate *candidate)
{
    struct key key;
    bool is_there = false;
    key_completed(&key, candidate->label.upload_id);
    enum gfs_err err = rebuild_has(rebuild, TABLE_UPLOADS, key_row(&key), &is_there);
    if (err == GFS_OK && !is_there && candidate->label.table == TABLE_PARTS) {
        err = plan_lost_upload(rebuild, candidate);
    }
    return err == GFS_OK && !is_there
               ? rebuild_put(rebuild, TABLE_UPLOADS, key_row(&key), GFS_SLICE_LITERAL("1"))
               : err;
}

static enum gfs_err restore(struct rebuild *rebuild, const struct candidate *candidate)
{
    enum gfs_err err = GFS_OK;
    if (candidate->label.table == TABLE_OBJECTS) {
        rebuild->result.objects++;
        rebuild->result.object_bytes += candidate->object.size;
        err = mark_chunks(rebuild, TABLE_REFS, candidate);
    } else {
        err = add_upload(rebuild, candidate);
        bool is_part = candidate->label.table == TABLE_PARTS;
        rebuild->result.parts += is_part ? 1 : 0;
        rebuild->result.uploads += is_part ? 0 : 1;
    }
    return err == GFS_OK ? plan_candidate(rebuild, candidate) : err;
}

/* ---- deciding ---- */

/* What is not to be restored, for reasons of order. */
static enum gfs_err is_over(struct rebuild *rebuild, const struct candidate *candidate, bool *ret)
{
    *ret = false;
    if (candidate->label.table == TABLE_OBJECTS) {
        return GFS_OK;
    }
    struct key key;
    key_completed(&key, candidate->label.upload_id);
    enum gfs_err err = rebuild_has(rebuild, TABLE_COMPLETED, key_row(&key), ret);
    if (err == GFS_OK && !*ret && candidate->label.table == TABLE_PARTS) {
        err = rebuild_has_chunk(rebuild, TABLE_REFS, candidate->carrier, ret);
    }
    return err;
}

static enum gfs_err is_bucket_current(struct rebuild *rebuild, const struct candidate *candidate,
                                      bool *ret)
{
    struct gfs_buf value;
    gfs_buf_init(&value, 64);
    struct gfs_slice name = gfs_slice_str(candidate->label.bucket.name);
    enum gfs_err err = db_get(rebuild->scratch, TABLE_META, name, &value);
    *ret = err == GFS_OK && gfs_codec_load_u64(value.ptr) == candidate->label.bucket.id;
    gfs_buf_fini(&value);
    return err;
}

/* Why the row is not restored; NULL = it can be. */
static enum gfs_err judge(struct rebuild *rebuild, const struct candidate *candidate,
                          const char **ret_reason, struct chunk_id *ret_chunk)
{
    bool is_current = true;
    *ret_chunk = (struct chunk_id){0};
    enum gfs_err err = is_bucket_current(rebuild, candidate, &is_current);
    if (err != GFS_OK) {
        return err;
    }
    if (!is_current) {
        *ret_reason = "its bucket was deleted, and another one has the name now";
    } else if (candidate->label.table == TABLE_UPLOADS) {
        *ret_reason = NULL;
    } else {
        *ret_reason = rebuild_check(rebuild, &candidate->bytes, ret_chunk);
    }
    return GFS_OK;
}

static enum gfs_err decide_one(struct rebuild *rebuild, struct name *name,
                               const struct candidate *candidate)
{
    bool is_no_more = name->is_decided;
    enum gfs_err err = mark_chunks(rebuild, TABLE_USAGE, candidate);
    if (err == GFS_OK && !is_no_more) {
        err = is_over(rebuild, candidate, &is_no_more);
    }
    if (err != GFS_OK || is_no_more) {
        rebuild->result.older++;
        return err;
    }
    const char *reason = NULL;
    struct chunk_id chunk;
    err = judge(rebuild, candidate, &reason, &chunk);
    if (err != GFS_OK) {
        return err;
    }
    if (reason != NULL) {
        name->lacking = name->lacking == NULL ? reason : name->lacking;
        rebuild_report(rebuild, &candidate->label,
                       (struct rebuild_finding){
                           .verdict = REBUILD_LEFT_OUT, .chunk = chunk, .reason = reason});
        return GFS_OK;
    }
    name->is_decided = true;
    if (name->lacking != NULL) {
        rebuild_report(rebuild, &candidate->label,
                       (struct rebuild_finding){.verdict = REBUILD_UNPROVED,
                                                .reason = "an older version of it: the newest is "
                                                          "left out"});
    }
    return restore(rebuild, candidate);
}

static enum gfs_err decide_row(struct rebuild *rebuild, struct name *name, struct gfs_slice key,
                               struct gfs_slice label_bytes)
{
    struct candidate candidate = {0};
    struct gfs_slice name_key = gfs_slice_of(key.ptr, key.len - TAIL_LEN);
    if (!gfs_slice_eq(gfs_buf_slice(&name->key), name_key)) {
        gfs_buf_clear(&name->key);
        gfs_buf_add_slice(&name->key, name_key);
        name->is_decided = false;
        name->lacking = NULL;
    }
    gfs_arena_init(&candidate.arena, ROW_ARENA_MAX);
    enum gfs_err err = decode(&candidate, key, label_bytes);
    if (err == GFS_OK) {
        err = decide_one(rebuild, name, &candidate);
    } else if (err == GFS_CORRUPT) {
        name->lacking = "its row cannot be understood";
        rebuild_report(rebuild, &candidate.label,
                       (struct rebuild_finding){.verdict = REBUILD_LEFT_OUT,
                                                .chunk = candidate.carrier,
                                                .reason = name->lacking});
        err = GFS_OK;
    }
    gfs_arena_fini(&candidate.arena);
    return err;
}

/* All rows found of one table: the first byte of their keys. */
static enum gfs_err decide_table(struct rebuild *rebuild, enum table table)
{
    char from[] = {(char)table};
    char to[] = {(char)(table + 1)};
    struct name name = {0};
    gfs_buf_init(&name.key, 2 * KEY_LEN_MAX);
    enum gfs_err err =
        db_seek(rebuild->scratch, TABLE_OBJECTS, gfs_slice_of(from, 1), gfs_slice_of(to, 1));
    while (err == GFS_OK) {
        struct gfs_slice key;
        struct gfs_slice value;
        err = db_next(rebuild->scratch, TABLE_OBJECTS, &key, &value);
        if (err == GFS_OK) {
            err = decide_row(rebuild, &name, key, value);
        }
    }
    db_reset(rebuild->scratch, TABLE_OBJECTS);
    gfs_buf_fini(&name.key);
    return err == GFS_END ? GFS_OK : err;
}

/* Each bucket that is the newest of its name. */
static enum gfs_err plan_buckets(struct rebuild *rebuild)
{
    static const char from[] = {0};
    static const char to[] = "\377\377\377\377\377\377\377\377\377";
    enum gfs_err err = db_seek(rebuild->scratch, TABLE_BUCKETS, gfs_slice_of(from, sizeof from),
                               gfs_slice_of(to, sizeof to - 1));
    while (err == GFS_OK) {
        struct gfs_slice key;
        struct gfs_slice value;
        struct candidate candidate = {0};
        bool is_current = false;
        err = db_next(rebuild->scratch, TABLE_BUCKETS, &key, &value);
        if (err != GFS_OK) {
            break;
        }
        struct gfs_slice bytes =
            gfs_slice_of(value.ptr + sizeof(uint64_t), value.len - sizeof(uint64_t));
        err = rebuild_decode_bucket(bytes, &candidate.label.bucket);
        if (err == GFS_OK) {
            err = is_bucket_current(rebuild, &candidate, &is_current);
        }
        if (err == GFS_OK && is_current) {
            rebuild->result.buckets++;
            rebuild->lsn_max = GFS_MAX(rebuild->lsn_max, candidate.label.bucket.id);
            err = plan(rebuild, candidate.label.bucket.id, REBUILD_PLAN_BUCKET, bytes);
        }
    }
    db_reset(rebuild->scratch, TABLE_BUCKETS);
    return err == GFS_END ? GFS_OK : err;
}

enum gfs_err rebuild_decide(struct rebuild *rebuild)
{
    static const enum table order[] = {TABLE_OBJECTS, TABLE_UPLOADS, TABLE_PARTS};
    enum gfs_err err = plan_buckets(rebuild);
    for (size_t i = 0; i < GFS_COUNT(order) && err == GFS_OK; i++) {
        err = decide_table(rebuild, order[i]);
    }
    return err;
}
