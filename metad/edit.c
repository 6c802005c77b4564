#include "metad/edit.h"

#include <assert.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"
#include "metad/record.h"

/* Head: version u8, 3 bytes 0, crc32c u32 of everything else, lsn u64, time_ms i64, len u32. */
enum {
    EDIT_VERSION = 1,
    EDIT_CRC_OFFSET = 4,
    EDIT_LSN_OFFSET = 8,
    EDIT_TIME_OFFSET = 16,
    EDIT_LEN_OFFSET = 24,
    NUMBER_LEN = 2,
    ID_LEN = 16,
};

static_assert(EDIT_LEN_OFFSET + 4 == EDIT_HEAD_LEN, "the head ends with its length");

void edit_begin(struct gfs_buf *out)
{
    static const char zero[EDIT_HEAD_LEN];
    gfs_buf_add(out, zero, sizeof zero);
}

void edit_put(struct gfs_buf *out, enum table table, struct gfs_slice key, struct gfs_slice value)
{
    GFS_ASSERT(table <= TABLE_ROW_LAST);
    GFS_ASSERT(value.len >= RECORD_HEAD_LEN);
    gfs_codec_put_u8(out, CHANGE_PUT);
    gfs_codec_put_u8(out, (uint8_t)table);
    gfs_codec_put_bytes(out, key);
    gfs_codec_put_bytes(out, value);
}

void edit_delete(struct gfs_buf *out, enum table table, struct gfs_slice key)
{
    GFS_ASSERT(table <= TABLE_ROW_LAST);
    gfs_codec_put_u8(out, CHANGE_DELETE);
    gfs_codec_put_u8(out, (uint8_t)table);
    gfs_codec_put_bytes(out, key);
}

void edit_upload_end(struct gfs_buf *out, struct gfs_slice key, const uint16_t *numbers,
                     uint32_t count)
{
    gfs_codec_put_u8(out, CHANGE_UPLOAD_END);
    gfs_codec_put_bytes(out, key);
    gfs_codec_put_varint(out, count);
    for (uint32_t i = 0; i < count; i++) {
        GFS_ASSERT(i == 0 || numbers[i] > numbers[i - 1]);
        const uint8_t raw[NUMBER_LEN] = {(uint8_t)(numbers[i] >> 8), (uint8_t)numbers[i]};
        gfs_buf_add(out, raw, sizeof raw);
    }
}

void edit_ref_add(struct gfs_buf *out, const struct chunk_id *ids, uint32_t count)
{
    gfs_codec_put_u8(out, CHANGE_REF_ADD);
    gfs_codec_put_varint(out, count);
    for (uint32_t i = 0; i < count; i++) {
        gfs_codec_put_u64(out, ids[i].hi);
        gfs_codec_put_u64(out, ids[i].lo);
    }
}

void edit_bucket_put(struct gfs_buf *out, struct gfs_slice name, struct gfs_slice region)
{
    gfs_codec_put_u8(out, CHANGE_BUCKET_PUT);
    gfs_codec_put_bytes(out, name);
    gfs_codec_put_bytes(out, region);
}

void edit_bucket_set(struct gfs_buf *out, uint64_t bucket_id, uint8_t setting,
                     struct gfs_slice value)
{
    gfs_codec_put_u8(out, CHANGE_BUCKET_SET);
    gfs_codec_put_u64(out, bucket_id);
    gfs_codec_put_u8(out, setting);
    gfs_codec_put_bytes(out, value);
}

void edit_bucket_drop(struct gfs_buf *out, uint64_t bucket_id)
{
    gfs_codec_put_u8(out, CHANGE_BUCKET_DROP);
    gfs_codec_put_u64(out, bucket_id);
}

void edit_garbage_done(struct gfs_buf *out, uint64_t lsn, uint32_t n)
{
    gfs_codec_put_u8(out, CHANGE_GARBAGE_DONE);
    gfs_codec_put_u64(out, lsn);
    gfs_codec_put_u32(out, n);
}

enum gfs_err edit_finish(struct gfs_buf *out)
{
    if (out->is_full) {
        return GFS_TOO_BIG;
    }
    GFS_ASSERT(out->len >= EDIT_HEAD_LEN);
    out->ptr[0] = EDIT_VERSION;
    gfs_codec_store_u32(out->ptr + EDIT_LEN_OFFSET, (uint32_t)out->len);
    return GFS_OK;
}

static uint32_t edit_crc(const char *bytes, size_t len)
{
    uint32_t crc = gfs_crc32c(0, bytes, EDIT_CRC_OFFSET);
    return gfs_crc32c(crc, bytes + EDIT_LSN_OFFSET, len - EDIT_LSN_OFFSET);
}

static void get_items(struct gfs_codec_reader *in, size_t item_len, struct change *ret)
{
    ret->count = gfs_codec_get_count(in, (uint32_t)(in->len / item_len));
    ret->items = gfs_slice_of(gfs_codec_get_raw(in, ret->count * item_len),
                              in->is_bad ? 0 : ret->count * item_len);
}

static void get_row(struct gfs_codec_reader *in, struct change *ret)
{
    ret->table = (enum table)gfs_codec_get_u8(in);
    ret->key = gfs_codec_get_bytes(in);
    if (ret->table == 0 || ret->table > TABLE_ROW_LAST) {
        in->is_bad = true;
    }
}

static void get_change(struct gfs_codec_reader *in, struct change *ret)
{
    *ret = (struct change){.kind = (enum change_kind)gfs_codec_get_u8(in)};
    switch (ret->kind) {
    case CHANGE_PUT:
        get_row(in, ret);
        ret->value = gfs_codec_get_bytes(in);
        in->is_bad = in->is_bad || ret->value.len < RECORD_HEAD_LEN;
        break;
    case CHANGE_DELETE:
        get_row(in, ret);
        break;
    case CHANGE_UPLOAD_END:
        ret->key = gfs_codec_get_bytes(in);
        get_items(in, NUMBER_LEN, ret);
        break;
    case CHANGE_REF_ADD:
        get_items(in, ID_LEN, ret);
        break;
    case CHANGE_BUCKET_PUT:
        ret->key = gfs_codec_get_bytes(in);
        ret->value = gfs_codec_get_bytes(in);
        break;
    case CHANGE_BUCKET_DROP:
        ret->bucket_id = gfs_codec_get_u64(in);
        break;
    case CHANGE_BUCKET_SET:
        ret->bucket_id = gfs_codec_get_u64(in);
        ret->setting = gfs_codec_get_u8(in);
        ret->value = gfs_codec_get_bytes(in);
        break;
    case CHANGE_GARBAGE_DONE:
        ret->garbage_lsn = gfs_codec_get_u64(in);
        ret->garbage_n = gfs_codec_get_u32(in);
        break;
    default:
        in->is_bad = true;
        break;
    }
}

enum gfs_err edit_next(struct edit *edit, struct change *ret)
{
    if (edit->bytes.len == 0) {
        return GFS_END;
    }
    struct gfs_codec_reader in = gfs_codec_reader_of(edit->bytes);
    get_change(&in, ret);
    edit->bytes = gfs_slice_of(in.ptr, in.len);
    return in.is_bad ? GFS_CORRUPT : GFS_OK;
}

enum gfs_err edit_open(struct gfs_slice bytes, struct edit *ret)
{
    if (bytes.len < EDIT_HEAD_LEN || gfs_codec_load_u32(bytes.ptr + EDIT_LEN_OFFSET) != bytes.len ||
        gfs_codec_load_u32(bytes.ptr + EDIT_CRC_OFFSET) != edit_crc(bytes.ptr, bytes.len)) {
        return GFS_CORRUPT;
    }
    if (bytes.ptr[0] != EDIT_VERSION) {
        return GFS_UNSUPPORTED;
    }
    *ret = (struct edit){
        .lsn = gfs_codec_load_u64(bytes.ptr + EDIT_LSN_OFFSET),
        .time_ms = (int64_t)gfs_codec_load_u64(bytes.ptr + EDIT_TIME_OFFSET),
        .bytes = gfs_slice_of(bytes.ptr + EDIT_HEAD_LEN, bytes.len - EDIT_HEAD_LEN),
    };
    return GFS_OK;
}

void edit_seal(char *bytes, size_t len, uint64_t lsn, int64_t time_ms)
{
    GFS_ASSERT(gfs_codec_load_u32(bytes + EDIT_LEN_OFFSET) == len);
    gfs_codec_store_u64(bytes + EDIT_LSN_OFFSET, lsn);
    gfs_codec_store_u64(bytes + EDIT_TIME_OFFSET, (uint64_t)time_ms);
    struct edit walk = {.bytes = gfs_slice_of(bytes + EDIT_HEAD_LEN, len - EDIT_HEAD_LEN)};
    struct change change;
    enum gfs_err err;
    while ((err = edit_next(&walk, &change)) == GFS_OK) {
        if (change.kind == CHANGE_PUT) {
            record_stamp(bytes + (change.value.ptr - bytes), lsn, time_ms);
        }
    }
    GFS_ASSERT(err == GFS_END);
    gfs_codec_store_u32(bytes + EDIT_CRC_OFFSET, edit_crc(bytes, len));
}

uint16_t edit_number(const struct change *change, uint32_t index)
{
    GFS_ASSERT(index < change->count);
    const uint8_t *raw = (const uint8_t *)change->items.ptr + (size_t)index * NUMBER_LEN;
    return (uint16_t)(raw[0] << 8 | raw[1]);
}

bool edit_has_number(const struct change *change, uint32_t number)
{
    uint32_t low = 0;
    uint32_t high = change->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint16_t found = edit_number(change, middle);
        if (found == number) {
            return true;
        }
        if (found < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

struct chunk_id edit_id(const struct change *change, uint32_t index)
{
    GFS_ASSERT(index < change->count);
    const char *raw = change->items.ptr + (size_t)index * ID_LEN;
    return (struct chunk_id){gfs_codec_load_u64(raw), gfs_codec_load_u64(raw + sizeof(uint64_t))};
}
