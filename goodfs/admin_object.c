/* One object: what is known of it, and where its chunks are.
 *
 * A page holds at most `limit` chunks from the `after`-th on, because the largest object has
 * 800,000 of them; with verify=1 every fragment is read, so there a page is smaller. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "goodfs/admin_call.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"
#include "pool/pool.h"

enum { PAGE_MAX = 1000, VERIFY_PAGE_MAX = 8, CHUNK_ID_TEXT_SIZE = 33 };

/* Plain data. What a call asks for. */
struct page {
    uint64_t after, limit;
    uint64_t verify;
};

static enum gfs_err read_page(struct admin_call *call, struct page *page)
{
    enum gfs_err err = admin_call_query(call, "verify", 1, &page->verify);
    page->limit = page->verify ? VERIFY_PAGE_MAX : PAGE_MAX;
    if (err == GFS_OK) {
        err = admin_call_query(call, "after", UINT32_MAX, &page->after);
    }
    if (err == GFS_OK) {
        err = admin_call_query(call, "limit", page->limit, &page->limit);
    }
    return err;
}

static enum gfs_err find_object(struct admin_call *call, struct meta_row **ret)
{
    struct meta_service *meta = call->services->meta;
    struct meta_bucket bucket;
    enum gfs_err err = meta->ops->bucket(meta, call->args[0], &bucket);
    if (err != GFS_OK) {
        return gfs_fail(&call->error, err, "there is no bucket \"%.*s\"",
                        (int)GFS_MIN(call->args[0].len, (size_t)64), call->args[0].ptr);
    }
    err = meta->ops->object(meta, bucket.id, call->args[1], 0, ret);
    if (err == GFS_NOT_FOUND) {
        return gfs_fail(&call->error, err, "there is no object of that key in bucket \"%s\"",
                        bucket.name);
    }
    return err == GFS_OK ? err
                         : gfs_fail(&call->error, err, "the object's row: %s", gfs_err_text(err));
}

static void write_head(struct admin_call *call, const struct meta_object *object)
{
    struct gfs_json_out *out = call->out;
    char etag[2 * META_ETAG_LEN + 16];
    char date[GFS_ISO_DATE_LEN + 1];
    gfs_hex_encode(object->etag, META_ETAG_LEN, etag);
    if (object->etag_parts > 0) {
        (void)snprintf(etag + 2 * META_ETAG_LEN, sizeof etag - 2 * META_ETAG_LEN, "-%" PRIu32,
                       object->etag_parts);
    }
    gfs_iso_date(object->mtime_ms, date);
    gfs_json_out_slice(out, "bucket", call->args[0]);
    gfs_json_out_slice(out, "key", call->args[1]);
    gfs_json_out_u64(out, "size", object->size);
    gfs_json_out_text(out, "etag", etag);
    gfs_json_out_slice(out, "storage_class",
                       object->storage_class.len == 0 ? GFS_SLICE_LITERAL("STANDARD")
                                                      : object->storage_class);
    gfs_json_out_text(out, "modified", date);
    gfs_json_out_u64(out, "parts", object->part_count);
    gfs_json_out_u64(out, "chunk_count", object->chunk_count);
}

/* Reads the whole chunk, a few blocks at a time. */
static const char *verify_chunk(struct chunk_store *chunks, struct chunk_pin *pin)
{
    enum { STEP = 16 * GFS_BLOCK_SIZE };
    char GFS_FREE *bytes = gfs_alloc(STEP);
    for (uint32_t at = 0; at < pin->len; at += STEP) {
        uint32_t len = GFS_MIN((uint32_t)STEP, pin->len - at);
        enum gfs_err err = chunks->ops->read(chunks, pin, at, len, bytes, CHUNK_READ_MEDIUM);
        if (err != GFS_OK) {
            return err == GFS_CORRUPT ? "damaged" : "unreadable";
        }
    }
    return "ok";
}

/* Of a store without a pool: the chunk is its only fragment. */
static void write_plain(struct admin_call *call, struct chunk_id id, bool must_verify)
{
    struct chunk_store *chunks = call->services->chunks;
    struct chunk_pin pin = {0};
    const char *state = "ok";
    enum gfs_err err = chunks->ops->pin(chunks, id, &pin);
    if (err != GFS_OK) {
        state = err == GFS_NOT_FOUND ? "missing" : "unreadable";
    } else if (must_verify) {
        state = verify_chunk(chunks, &pin);
    }
    gfs_json_out_array(call->out, "fragments");
    gfs_json_out_object(call->out, NULL);
    gfs_json_out_u64(call->out, "disk", 0);
    gfs_json_out_u64(call->out, "slot", 0);
    gfs_json_out_u64(call->out, "length", err == GFS_OK ? pin.len : 0);
    gfs_json_out_text(call->out, "state", state);
    gfs_json_out_end_object(call->out);
    gfs_json_out_end_array(call->out);
    if (err == GFS_OK) {
        chunks->ops->unpin(chunks, &pin);
    }
}

static void write_chunk(struct admin_call *call, uint32_t index, const struct meta_chunk_ref *ref,
                        bool must_verify)
{
    struct gfs_json_out *out = call->out;
    char id[CHUNK_ID_TEXT_SIZE];
    (void)snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, ref->id.hi, ref->id.lo);
    gfs_json_out_object(out, NULL);
    gfs_json_out_u64(out, "index", index);
    gfs_json_out_text(out, "id", id);
    gfs_json_out_u64(out, "offset", ref->offset);
    gfs_json_out_u64(out, "length", ref->len);
    gfs_json_out_u64(out, "group", chunk_id_group(ref->id));
    if (call->services->pool != NULL) {
        pool_chunk_json(call->services->pool, ref->id, must_verify, out, "fragments");
    } else {
        write_plain(call, ref->id, must_verify);
    }
    gfs_json_out_end_object(out);
}

/* Notes (metad/label.h) hold nothing of the object: fsck looks after them. */
static void drop_notes(struct meta_object *object)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < object->chunk_count; i++) {
        if (object->chunks[i].len != 0) {
            object->chunks[count++] = object->chunks[i];
        }
    }
    object->chunk_count = count;
}

enum gfs_err admin_run_object(struct admin_call *call)
{
    struct page page = {0};
    struct meta_row *row = NULL;
    struct meta_object object;
    enum gfs_err err = read_page(call, &page);
    if (err == GFS_OK) {
        err = find_object(call, &row);
    }
    if (err != GFS_OK) {
        return err;
    }
    err = meta_object_decode(meta_row_bytes(row), call->arena, &object);
    if (err != GFS_OK) {
        meta_row_unref(row);
        return gfs_fail(&call->error, err, "the object's row cannot be read: %s",
                        gfs_err_text(err));
    }
    drop_notes(&object);
    write_head(call, &object);
    gfs_json_out_array(call->out, "chunks");
    uint64_t end = GFS_MIN(page.after + page.limit, (uint64_t)object.chunk_count);
    for (uint64_t i = page.after; i < end; i++) {
        write_chunk(call, (uint32_t)i, &object.chunks[i], page.verify != 0);
    }
    gfs_json_out_end_array(call->out);
    if (end < object.chunk_count) {
        gfs_json_out_u64(call->out, "next", end); /* ?after= of the next page */
    }
    meta_row_unref(row);
    return GFS_OK;
}
