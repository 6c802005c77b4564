/* Reading what the disks say: owners and notes, chunk by chunk. */
#include <stdlib.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "metad/rebuild_state.h"
#include "metad/record.h"

enum { BUCKET_LEN_MAX = 512 };

void rebuild_encode_bucket(struct gfs_buf *out, const struct meta_bucket *bucket)
{
    gfs_codec_put_u64(out, bucket->id);
    gfs_codec_put_u64(out, (uint64_t)bucket->created_ms);
    gfs_codec_put_bytes(out, gfs_slice_str(bucket->name));
    gfs_codec_put_bytes(out, gfs_slice_str(bucket->region));
    gfs_codec_put_bytes(out, gfs_slice_str(bucket->storage_class));
}

static void get_text(struct gfs_codec_reader *in, char *ret, size_t size)
{
    struct gfs_slice text = gfs_codec_get_bytes(in);
    in->is_bad = in->is_bad || text.len >= size;
    if (!in->is_bad && text.len != 0) {
        memcpy(ret, text.ptr, text.len);
    }
}

enum gfs_err rebuild_decode_bucket(struct gfs_slice bytes, struct meta_bucket *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(bytes);
    *ret = (struct meta_bucket){.id = gfs_codec_get_u64(&in)};
    ret->created_ms = (int64_t)gfs_codec_get_u64(&in);
    get_text(&in, ret->name, sizeof ret->name);
    get_text(&in, ret->region, sizeof ret->region);
    get_text(&in, ret->storage_class, sizeof ret->storage_class);
    return in.is_bad || in.len != 0 ? GFS_CORRUPT : GFS_OK;
}

/* ---- one label ---- */

/* The newest row knows the bucket's settings best. */
static enum gfs_err note_bucket(struct rebuild *rebuild, const struct meta_bucket *bucket,
                                uint64_t lsn)
{
    struct key key;
    struct gfs_buf value;
    key_bucket(&key, TABLE_BUCKETS, bucket->id);
    gfs_buf_init(&value, BUCKET_LEN_MAX);
    enum gfs_err err = db_get(rebuild->scratch, TABLE_BUCKETS, key_row(&key), &value);
    bool is_newer = err == GFS_NOT_FOUND || (err == GFS_OK && value.len >= sizeof lsn &&
                                             gfs_codec_load_u64(value.ptr) < lsn);
    err = err == GFS_NOT_FOUND ? GFS_OK : err;
    if (err == GFS_OK && is_newer) {
        gfs_buf_clear(&value);
        gfs_codec_put_u64(&value, lsn);
        rebuild_encode_bucket(&value, bucket);
        err = rebuild_put(rebuild, TABLE_BUCKETS, key_row(&key), gfs_buf_slice(&value));
    }
    gfs_buf_clear(&value);
    struct gfs_slice name = gfs_slice_str(bucket->name);
    if (err == GFS_OK) {
        err = db_get(rebuild->scratch, TABLE_META, name, &value);
        bool is_first = err == GFS_NOT_FOUND;
        err = is_first ? GFS_OK : err;
        if (err == GFS_OK && (is_first || gfs_codec_load_u64(value.ptr) < bucket->id)) {
            char raw[sizeof bucket->id];
            gfs_codec_store_u64(raw, bucket->id);
            err = rebuild_put(rebuild, TABLE_META, name, gfs_slice_of(raw, sizeof raw));
        }
    }
    gfs_buf_fini(&value);
    return err;
}

static enum gfs_err put_found(struct rebuild *rebuild, const struct label *label,
                              struct gfs_slice bytes, const struct key *row_key,
                              struct chunk_id carrier)
{
    struct gfs_slice row = key_row(row_key);
    uint64_t lsn = record_mod_lsn(label->row);
    struct gfs_buf key;
    gfs_buf_init(&key, 2 * KEY_LEN_MAX);
    gfs_codec_put_u8(&key, (uint8_t)label->table);
    gfs_codec_put_u8(&key, (uint8_t)(row.len >> 8));
    gfs_codec_put_u8(&key, (uint8_t)row.len);
    gfs_buf_add_slice(&key, row);
    char tail[3 * sizeof lsn];
    gfs_codec_store_u64_be(tail, ~lsn);
    gfs_codec_store_u64_be(tail + sizeof lsn, carrier.hi);
    gfs_codec_store_u64_be(tail + 2 * sizeof lsn, carrier.lo);
    gfs_buf_add(&key, tail, sizeof tail);
    enum gfs_err err = rebuild_put(rebuild, TABLE_OBJECTS, gfs_buf_slice(&key), bytes);
    gfs_buf_fini(&key);
    if (err == GFS_OK) {
        rebuild->lsn_max = GFS_MAX(rebuild->lsn_max, lsn);
        err = note_bucket(rebuild, &label->bucket, lsn);
    }
    if (err == GFS_OK && label->table == TABLE_OBJECTS && label->has_upload) {
        struct key upload;
        key_completed(&upload, label->upload_id);
        err = rebuild_put(rebuild, TABLE_COMPLETED, key_row(&upload), GFS_SLICE_LITERAL("1"));
    }
    return err;
}

static void report_chunk(struct rebuild *rebuild, struct chunk_id id, const char *reason)
{
    rebuild_report(
        rebuild, NULL,
        (struct rebuild_finding){
            .verdict = REBUILD_LEFT_OUT, .table = TABLE_REFS, .chunk = id, .reason = reason});
}

static enum gfs_err see_label(struct rebuild *rebuild, struct gfs_slice bytes,
                              struct chunk_id carrier)
{
    struct label label;
    struct key row_key;
    enum gfs_err err = label_decode(bytes, &label);
    if (err == GFS_OK) {
        err = label_row_key(&label, &row_key);
    }
    if (err == GFS_UNSUPPORTED) {
        return gfs_fail(rebuild->error, err, "a newer version of goodfs wrote these disks");
    }
    if (err != GFS_OK) {
        report_chunk(rebuild, carrier, "its label cannot be understood");
        return GFS_OK;
    }
    return put_found(rebuild, &label, bytes, &row_key, carrier);
}

/* ---- notes ---- */

/* The first `want` bytes: a striped chunk is padded. */
static enum gfs_err add_payload(struct rebuild *rebuild, struct chunk_id id, uint32_t want,
                                struct gfs_buf *out)
{
    struct chunk_store *store = rebuild->chunks;
    struct chunk_pin pin;
    enum gfs_err err = store->ops->pin(store, id, &pin);
    if (err != GFS_OK) {
        return err;
    }
    bool is_sane = pin.len >= want && pin.len <= 2 * GFS_SMALL_CHUNK_MAX;
    char *room = is_sane ? gfs_buf_reserve(out, pin.len) : NULL;
    err = room == NULL ? GFS_CORRUPT : store->ops->read(store, &pin, 0, pin.len, room, 0);
    if (err == GFS_OK) {
        out->len += want;
    }
    store->ops->unpin(store, &pin);
    return err;
}

static enum gfs_err see_note(struct rebuild *rebuild, const struct label_owner *owner,
                             struct chunk_id id)
{
    struct gfs_buf label;
    gfs_buf_init(&label, 2 * LABEL_LEN_MAX);
    uint32_t count = owner->more_count + 1;
    uint32_t step = label_note_step(owner->len, count);
    enum gfs_err err = GFS_OK;
    for (uint32_t i = 0; i < count && err == GFS_OK; i++) {
        uint32_t left = owner->len - (uint32_t)label.len;
        err = add_payload(rebuild, i == 0 ? id : owner->more[i - 1], GFS_MIN(step, left), &label);
    }
    if (err == GFS_OK) {
        err = see_label(rebuild, gfs_buf_slice(&label), id);
    } else {
        report_chunk(rebuild, id, "a note, not all of which can be read");
        err = GFS_OK;
    }
    gfs_buf_fini(&label);
    return err;
}

/* ---- all chunks ---- */

/* What is done with a chunk; err: of reading its owner. */
typedef enum gfs_err (*chunk_fn)(struct rebuild *rebuild, struct chunk_id id, enum gfs_err err,
                                 const struct label_owner *owner);

static enum gfs_err see_chunk(struct rebuild *rebuild, struct chunk_id id, chunk_fn visit)
{
    struct chunk_store *store = rebuild->chunks;
    char bytes[CHUNK_OWNER_LEN_MAX];
    size_t len = 0;
    struct chunk_pin pin;
    struct label_owner owner = {0};
    enum gfs_err err = store->ops->pin(store, id, &pin);
    if (err == GFS_OK) {
        err = store->ops->owner(store, &pin, bytes, &len);
        store->ops->unpin(store, &pin);
    }
    if (err == GFS_OK) {
        err = label_owner_parse(gfs_slice_of(bytes, len), &owner);
    }
    return visit(rebuild, id, err, &owner);
}

static enum gfs_err see_all(struct rebuild *rebuild, chunk_fn visit)
{
    enum gfs_err err = GFS_OK;
    for (uint32_t part = 0; part < CHUNK_LIST_PARTS && err == GFS_OK; part++) {
        struct chunk_listed *listed GFS_FREE = NULL;
        size_t count = 0;
        rebuild->chunks->ops->list(rebuild->chunks, part, &listed, &count);
        for (size_t i = 0; i < count && err == GFS_OK; i++) {
            err = see_chunk(rebuild, listed[i].id, visit);
        }
    }
    return err;
}

static enum gfs_err see_owner(struct rebuild *rebuild, struct chunk_id id, enum gfs_err err,
                              const struct label_owner *owner)
{
    rebuild->result.chunks++;
    if (err == GFS_UNSUPPORTED) {
        return gfs_fail(rebuild->error, err, "a newer version of goodfs wrote these disks");
    }
    if (err != GFS_OK) {
        report_chunk(rebuild, id, "what it belongs to cannot be read");
        return GFS_OK;
    }
    if (owner->kind == LABEL_WHOLE) {
        return see_label(rebuild, owner->label, id);
    }
    return owner->kind == LABEL_NOTE ? see_note(rebuild, owner, id) : GFS_OK;
}

enum gfs_err rebuild_read(struct rebuild *rebuild)
{
    return see_all(rebuild, see_owner);
}

static enum gfs_err see_stray(struct rebuild *rebuild, struct chunk_id id, enum gfs_err err,
                              const struct label_owner *owner)
{
    bool is_known = true;
    if (err != GFS_OK || owner->kind != LABEL_NAME) {
        return GFS_OK; /* reported before, or the label of a row that was looked at */
    }
    err = rebuild_has_chunk(rebuild, TABLE_USAGE, id, &is_known);
    if (err == GFS_OK && !is_known) {
        rebuild_report(rebuild, NULL,
                       (struct rebuild_finding){.verdict = REBUILD_LEFT_OUT,
                                                .table = TABLE_REFS,
                                                .bucket_id = owner->bucket_id,
                                                .key = owner->key,
                                                .chunk = id,
                                                .reason =
                                                    "no row on the disks names this chunk: it was "
                                                    "deleted or replaced, or its row is lost"});
    }
    return err;
}

enum gfs_err rebuild_read_strays(struct rebuild *rebuild)
{
    return see_all(rebuild, see_stray);
}
