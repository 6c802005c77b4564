#include "metad/record.h"

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"

enum { RECORD_VERSION = 1 };
enum record_kind {
    RECORD_OBJECT = 1, /* also an upload */
    RECORD_PART = 2,
    RECORD_COMPLETED = 3,
    RECORD_GARBAGE = 4,
};

/* Flags of a chunk reference: which fields follow; the others are as in the reference before. */
enum {
    CHUNK_HAS_HI = 1,
    CHUNK_HAS_PG = 2,
    CHUNK_HAS_OFFSET = 4, /* otherwise 0 */
    CHUNK_HAS_LEN = 8,
    CHUNK_FLAGS_ALL = 15,
};

enum { CHECKSUM_TYPE_SHIFT = 4, CHUNK_REF_LEN_MIN = 2, HEADER_LEN_MIN = 2, PART_LEN_MIN = 27 };

size_t meta_checksum_len(enum meta_checksum_algo algo)
{
    switch (algo) {
    case META_CHECKSUM_CRC32:
    case META_CHECKSUM_CRC32C:
        return 4;
    case META_CHECKSUM_CRC64NVME:
        return 8;
    case META_CHECKSUM_SHA1:
        return 20;
    case META_CHECKSUM_SHA256:
        return 32;
    case META_CHECKSUM_NONE:
    default:
        return 0;
    }
}

static void put_head(struct gfs_buf *out, enum record_kind kind)
{
    static const char zero[RECORD_HEAD_LEN];
    const uint8_t head[2] = {RECORD_VERSION, (uint8_t)kind};
    gfs_buf_add(out, head, sizeof head);
    gfs_buf_add(out, zero, RECORD_HEAD_LEN - sizeof head);
}

static enum gfs_err get_head(struct gfs_codec_reader *in, enum record_kind kind, uint64_t *ret_lsn,
                             int64_t *ret_mtime_ms)
{
    uint8_t version = gfs_codec_get_u8(in);
    uint8_t found = gfs_codec_get_u8(in);
    *ret_lsn = gfs_codec_get_u64(in);
    *ret_mtime_ms = (int64_t)gfs_codec_get_u64(in);
    return in->is_bad || version != RECORD_VERSION || found != (uint8_t)kind ? GFS_CORRUPT : GFS_OK;
}

void record_stamp(char *bytes, uint64_t lsn, int64_t mtime_ms)
{
    gfs_codec_store_u64(bytes + RECORD_STAMP_OFFSET, lsn);
    gfs_codec_store_u64(bytes + RECORD_STAMP_OFFSET + sizeof lsn, (uint64_t)mtime_ms);
}

uint64_t record_mod_lsn(struct gfs_slice bytes)
{
    return bytes.len < RECORD_HEAD_LEN ? 0 : gfs_codec_load_u64(bytes.ptr + RECORD_STAMP_OFFSET);
}

int64_t record_mtime_ms(struct gfs_slice bytes)
{
    const size_t offset = RECORD_STAMP_OFFSET + sizeof(uint64_t);
    return bytes.len < RECORD_HEAD_LEN ? 0 : (int64_t)gfs_codec_load_u64(bytes.ptr + offset);
}

static void put_checksum(struct gfs_buf *out, const struct meta_checksum *checksum)
{
    gfs_codec_put_u8(
        out, (uint8_t)((unsigned)checksum->algo | (unsigned)checksum->type << CHECKSUM_TYPE_SHIFT));
    gfs_buf_add(out, checksum->value, meta_checksum_len(checksum->algo));
}

static void get_checksum(struct gfs_codec_reader *in, struct meta_checksum *ret)
{
    uint8_t kind = gfs_codec_get_u8(in);
    *ret = (struct meta_checksum){0};
    if ((kind & 0xF) > META_CHECKSUM_SHA256 || kind >> CHECKSUM_TYPE_SHIFT > 1) {
        in->is_bad = true;
        return;
    }
    ret->algo = (enum meta_checksum_algo)(kind & 0xF);
    ret->type = (enum meta_checksum_type)(kind >> CHECKSUM_TYPE_SHIFT);
    const void *value = gfs_codec_get_raw(in, meta_checksum_len(ret->algo));
    if (value != NULL) {
        memcpy(ret->value, value, meta_checksum_len(ret->algo));
    }
}

static void get_etag(struct gfs_codec_reader *in, uint8_t *ret)
{
    const void *etag = gfs_codec_get_raw(in, META_ETAG_LEN);
    if (etag != NULL) {
        memcpy(ret, etag, META_ETAG_LEN);
    }
}

/* Ids of one writer follow each other and most chunks of an object are equally long, so a reference
 * usually takes 2 bytes instead of 28: 50 TiB in 64 MiB chunks stay under CHUNK_EDIT_LEN_MAX. */
static void put_chunks(struct gfs_buf *out, const struct meta_chunk_ref *chunks, uint32_t count)
{
    struct meta_chunk_ref last = {0};
    gfs_codec_put_varint(out, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct meta_chunk_ref *chunk = &chunks[i];
        unsigned flags = (chunk->id.hi != last.id.hi ? CHUNK_HAS_HI : 0U) |
                         (chunk->pg != last.pg ? CHUNK_HAS_PG : 0U) |
                         (chunk->offset != 0 ? CHUNK_HAS_OFFSET : 0U) |
                         (chunk->len != last.len ? CHUNK_HAS_LEN : 0U);
        gfs_codec_put_u8(out, (uint8_t)flags);
        uint64_t step = chunk->id.lo - last.id.lo; /* zigzag of the signed difference */
        gfs_codec_put_varint(out, step << 1 ^ (step >> 63 != 0 ? UINT64_MAX : 0));
        if ((flags & CHUNK_HAS_HI) != 0) {
            gfs_codec_put_u64(out, chunk->id.hi);
        }
        if ((flags & CHUNK_HAS_PG) != 0) {
            gfs_codec_put_varint(out, chunk->pg);
        }
        if ((flags & CHUNK_HAS_OFFSET) != 0) {
            gfs_codec_put_varint(out, chunk->offset);
        }
        if ((flags & CHUNK_HAS_LEN) != 0) {
            gfs_codec_put_varint(out, chunk->len);
        }
        last = *chunk;
    }
}

static uint32_t chunk_count(struct gfs_codec_reader *in)
{
    return gfs_codec_get_count(in, (uint32_t)GFS_MIN(in->len / CHUNK_REF_LEN_MIN, UINT32_MAX));
}

enum gfs_err record_chunks_next(struct record_chunks *chunks, struct meta_chunk_ref *ret)
{
    if (chunks->left == 0) {
        return GFS_END;
    }
    struct gfs_codec_reader *in = &chunks->in;
    struct meta_chunk_ref *last = &chunks->last;
    unsigned flags = gfs_codec_get_u8(in);
    uint64_t step = gfs_codec_get_varint(in);
    last->id.lo += step >> 1 ^ ((step & 1) != 0 ? UINT64_MAX : 0);
    if ((flags & CHUNK_HAS_HI) != 0) {
        last->id.hi = gfs_codec_get_u64(in);
    }
    if ((flags & CHUNK_HAS_PG) != 0) {
        last->pg = gfs_codec_get_count(in, UINT32_MAX);
    }
    last->offset = (flags & CHUNK_HAS_OFFSET) != 0 ? gfs_codec_get_count(in, UINT32_MAX) : 0;
    if ((flags & CHUNK_HAS_LEN) != 0) {
        last->len = gfs_codec_get_count(in, UINT32_MAX);
    }
    if (in->is_bad || (flags & ~(unsigned)CHUNK_FLAGS_ALL) != 0) {
        return GFS_CORRUPT;
    }
    chunks->left--;
    *ret = *last;
    return GFS_OK;
}

static enum gfs_err get_chunks(struct gfs_codec_reader *in, struct gfs_arena *arena,
                               struct meta_chunk_ref **ret, uint32_t *ret_count)
{
    uint32_t count = chunk_count(in);
    if (in->is_bad) {
        return GFS_CORRUPT;
    }
    struct meta_chunk_ref *chunks = gfs_arena_alloc(arena, count * sizeof *chunks);
    if (chunks == NULL) {
        return GFS_BUSY;
    }
    struct record_chunks walk = {.in = *in, .left = count};
    for (uint32_t i = 0; i < count; i++) {
        enum gfs_err err = record_chunks_next(&walk, &chunks[i]);
        if (err != GFS_OK) {
            return err;
        }
    }
    *in = walk.in;
    *ret = chunks;
    *ret_count = count;
    return GFS_OK;
}

static void put_summary(struct gfs_buf *out, const struct meta_object *object)
{
    gfs_codec_put_varint(out, object->size);
    gfs_buf_add(out, object->etag, META_ETAG_LEN);
    gfs_codec_put_varint(out, object->etag_parts);
    put_checksum(out, &object->checksum);
    gfs_codec_put_bytes(out, object->storage_class);
    gfs_codec_put_u64(out, object->crc64);
}

static enum gfs_err get_summary(struct gfs_codec_reader *in, struct meta_object *ret)
{
    *ret = (struct meta_object){0};
    enum gfs_err err = get_head(in, RECORD_OBJECT, &ret->mod_lsn, &ret->mtime_ms);
    if (err != GFS_OK) {
        return err;
    }
    ret->size = gfs_codec_get_varint(in);
    get_etag(in, ret->etag);
    ret->etag_parts = gfs_codec_get_count(in, UINT32_MAX);
    get_checksum(in, &ret->checksum);
    ret->storage_class = gfs_codec_get_bytes(in);
    ret->crc64 = gfs_codec_get_u64(in);
    return in->is_bad ? GFS_CORRUPT : GFS_OK;
}

enum gfs_err meta_object_decode_summary(struct gfs_slice bytes, struct meta_object *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(bytes);
    struct meta_object object;
    enum gfs_err err = get_summary(&in, &object);
    if (err == GFS_OK) {
        *ret = object;
    }
    return err;
}

void record_encode_object(struct gfs_buf *out, const struct meta_object *object)
{
    put_head(out, RECORD_OBJECT);
    put_summary(out, object);
    put_chunks(out, object->chunks, object->chunk_count);
    gfs_codec_put_varint(out, object->header_count);
    for (uint32_t i = 0; i < object->header_count; i++) {
        gfs_codec_put_bytes(out, object->headers[i].name);
        gfs_codec_put_bytes(out, object->headers[i].value);
    }
    gfs_codec_put_varint(out, object->part_count);
    for (uint32_t i = 0; i < object->part_count; i++) {
        const struct meta_part *part = &object->parts[i];
        gfs_codec_put_varint(out, part->number);
        gfs_codec_put_varint(out, part->size);
        gfs_buf_add(out, part->etag, META_ETAG_LEN);
        gfs_codec_put_u64(out, part->crc64);
        put_checksum(out, &part->checksum);
    }
}

static enum gfs_err get_headers(struct gfs_codec_reader *in, struct gfs_arena *arena,
                                struct meta_object *ret)
{
    uint32_t count =
        gfs_codec_get_count(in, (uint32_t)GFS_MIN(in->len / HEADER_LEN_MIN, UINT32_MAX));
    if (in->is_bad) {
        return GFS_CORRUPT;
    }
    ret->headers = gfs_arena_alloc(arena, count * sizeof *ret->headers);
    if (ret->headers == NULL) {
        return GFS_BUSY;
    }
    for (uint32_t i = 0; i < count; i++) {
        ret->headers[i].name = gfs_codec_get_bytes(in);
        ret->headers[i].value = gfs_codec_get_bytes(in);
    }
    ret->header_count = count;
    return in->is_bad ? GFS_CORRUPT : GFS_OK;
}

static enum gfs_err get_object_parts(struct gfs_codec_reader *in, struct gfs_arena *arena,
                                     struct meta_object *ret)
{
    uint32_t count = gfs_codec_get_count(
        in, (uint32_t)GFS_MIN(in->len / PART_LEN_MIN, (size_t)GFS_PART_NUMBER_MAX));
    if (in->is_bad) {
        return GFS_CORRUPT;
    }
    ret->parts = gfs_arena_alloc(arena, count * sizeof *ret->parts);
    if (ret->parts == NULL) {
        return GFS_BUSY;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct meta_part *part = &ret->parts[i];
        part->number = gfs_codec_get_count(in, GFS_PART_NUMBER_MAX);
        part->size = gfs_codec_get_varint(in);
        get_etag(in, part->etag);
        part->crc64 = gfs_codec_get_u64(in);
        get_checksum(in, &part->checksum);
    }
    ret->part_count = count;
    return in->is_bad ? GFS_CORRUPT : GFS_OK;
}

enum gfs_err meta_object_decode(struct gfs_slice bytes, struct gfs_arena *arena,
                                struct meta_object *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(bytes);
    struct meta_object object;
    enum gfs_err err = get_summary(&in, &object);
    if (err == GFS_OK) {
        err = get_chunks(&in, arena, &object.chunks, &object.chunk_count);
    }
    if (err == GFS_OK) {
        err = get_headers(&in, arena, &object);
    }
    if (err == GFS_OK) {
        err = get_object_parts(&in, arena, &object);
    }
    if (err == GFS_OK && in.len != 0) {
        err = GFS_CORRUPT;
    }
    if (err == GFS_OK) {
        *ret = object;
    }
    return err;
}

void record_encode_part(struct gfs_buf *out, uint64_t bucket_id, const struct meta_part *part)
{
    put_head(out, RECORD_PART);
    gfs_codec_put_u64(out, bucket_id);
    gfs_codec_put_varint(out, part->number);
    gfs_codec_put_varint(out, part->size);
    gfs_buf_add(out, part->etag, META_ETAG_LEN);
    gfs_codec_put_u64(out, part->crc64);
    put_checksum(out, &part->checksum);
    put_chunks(out, part->chunks, part->chunk_count);
}

static enum gfs_err get_part_head(struct gfs_codec_reader *in, struct meta_part *ret,
                                  uint64_t *ret_bucket_id)
{
    *ret = (struct meta_part){0};
    enum gfs_err err = get_head(in, RECORD_PART, &ret->mod_lsn, &ret->mtime_ms);
    if (err != GFS_OK) {
        return err;
    }
    *ret_bucket_id = gfs_codec_get_u64(in);
    ret->number = gfs_codec_get_count(in, GFS_PART_NUMBER_MAX);
    ret->size = gfs_codec_get_varint(in);
    get_etag(in, ret->etag);
    ret->crc64 = gfs_codec_get_u64(in);
    get_checksum(in, &ret->checksum);
    return in->is_bad ? GFS_CORRUPT : GFS_OK;
}

enum gfs_err meta_part_decode(struct gfs_slice bytes, struct gfs_arena *arena,
                              struct meta_part *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(bytes);
    struct meta_part part;
    uint64_t bucket_id;
    enum gfs_err err = get_part_head(&in, &part, &bucket_id);
    if (err == GFS_OK) {
        err = get_chunks(&in, arena, &part.chunks, &part.chunk_count);
    }
    if (err == GFS_OK && in.len != 0) {
        err = GFS_CORRUPT;
    }
    if (err == GFS_OK) {
        *ret = part;
    }
    return err;
}

enum gfs_err record_size(struct gfs_slice bytes, struct record_size *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(bytes);
    struct meta_object object;
    struct meta_part part;
    struct record_size size = {0};
    if (get_summary(&in, &object) == GFS_OK) {
        size.size = object.size;
    } else {
        in = gfs_codec_reader_of(bytes);
        enum gfs_err err = get_part_head(&in, &part, &size.bucket_id);
        if (err != GFS_OK) {
            return err;
        }
        size.size = part.size;
    }
    *ret = size;
    return GFS_OK;
}

enum gfs_err record_part_number(struct gfs_slice bytes, uint32_t *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(bytes);
    struct meta_part part;
    uint64_t bucket_id;
    enum gfs_err err = get_part_head(&in, &part, &bucket_id);
    if (err == GFS_OK) {
        *ret = part.number;
    }
    return err;
}

enum gfs_err record_chunks_begin(struct gfs_slice bytes, struct record_chunks *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(bytes);
    struct meta_object object;
    struct meta_part part;
    uint64_t bucket_id;
    if (get_summary(&in, &object) != GFS_OK) {
        in = gfs_codec_reader_of(bytes);
        enum gfs_err err = get_part_head(&in, &part, &bucket_id);
        if (err != GFS_OK) {
            return err;
        }
    }
    uint32_t count = chunk_count(&in);
    if (in.is_bad) {
        return GFS_CORRUPT;
    }
    *ret = (struct record_chunks){.in = in, .left = count};
    return GFS_OK;
}

void record_encode_completed(struct gfs_buf *out, uint64_t bucket_id, struct gfs_slice key,
                             const struct meta_object *object)
{
    put_head(out, RECORD_COMPLETED);
    gfs_codec_put_u64(out, bucket_id);
    gfs_codec_put_bytes(out, key);
    gfs_codec_put_varint(out, object->size);
    gfs_buf_add(out, object->etag, META_ETAG_LEN);
    gfs_codec_put_varint(out, object->etag_parts);
    gfs_codec_put_u64(out, object->crc64);
    put_checksum(out, &object->checksum);
}

enum gfs_err meta_completed_decode(struct gfs_slice bytes, struct meta_completed *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(bytes);
    struct meta_completed done = {0};
    enum gfs_err err = get_head(&in, RECORD_COMPLETED, &done.mod_lsn, &done.mtime_ms);
    if (err != GFS_OK) {
        return err;
    }
    done.bucket_id = gfs_codec_get_u64(&in);
    done.key = gfs_codec_get_bytes(&in);
    done.size = gfs_codec_get_varint(&in);
    get_etag(&in, done.etag);
    done.etag_parts = gfs_codec_get_count(&in, UINT32_MAX);
    done.crc64 = gfs_codec_get_u64(&in);
    get_checksum(&in, &done.checksum);
    if (in.is_bad || in.len != 0) {
        return GFS_CORRUPT;
    }
    *ret = done;
    return GFS_OK;
}

void record_encode_garbage(struct gfs_buf *out, int64_t time_ms, const struct chunk_id *ids,
                           uint32_t count)
{
    GFS_ASSERT(count <= RECORD_GARBAGE_IDS_MAX);
    const uint8_t head[2] = {RECORD_VERSION, RECORD_GARBAGE};
    gfs_buf_add(out, head, sizeof head);
    gfs_codec_put_u64(out, (uint64_t)time_ms);
    gfs_codec_put_varint(out, count);
    for (uint32_t i = 0; i < count; i++) {
        gfs_codec_put_u64(out, ids[i].hi);
        gfs_codec_put_u64(out, ids[i].lo);
    }
}

enum gfs_err record_decode_garbage(struct gfs_slice bytes, int64_t *ret_time_ms,
                                   struct chunk_id *ids, uint32_t *ret_count)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(bytes);
    uint8_t version = gfs_codec_get_u8(&in);
    uint8_t kind = gfs_codec_get_u8(&in);
    int64_t time_ms = (int64_t)gfs_codec_get_u64(&in);
    uint32_t count = gfs_codec_get_count(&in, RECORD_GARBAGE_IDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        ids[i].hi = gfs_codec_get_u64(&in);
        ids[i].lo = gfs_codec_get_u64(&in);
    }
    if (in.is_bad || in.len != 0 || version != RECORD_VERSION || kind != RECORD_GARBAGE) {
        return GFS_CORRUPT;
    }
    *ret_time_ms = time_ms;
    *ret_count = count;
    return GFS_OK;
}
