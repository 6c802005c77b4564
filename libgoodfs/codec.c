#include "libgoodfs/codec.h"

#include <endian.h>

enum { VARINT_LEN_MAX = 10 };

void gfs_codec_store_u32(void *ptr, uint32_t value)
{
    uint32_t raw = htole32(value);
    memcpy(ptr, &raw, sizeof raw);
}

void gfs_codec_store_u64(void *ptr, uint64_t value)
{
    uint64_t raw = htole64(value);
    memcpy(ptr, &raw, sizeof raw);
}

uint32_t gfs_codec_load_u32(const void *ptr)
{
    uint32_t raw;
    memcpy(&raw, ptr, sizeof raw);
    return le32toh(raw);
}

uint64_t gfs_codec_load_u64(const void *ptr)
{
    uint64_t raw;
    memcpy(&raw, ptr, sizeof raw);
    return le64toh(raw);
}

void gfs_codec_store_u64_be(void *ptr, uint64_t value)
{
    uint64_t raw = htobe64(value);
    memcpy(ptr, &raw, sizeof raw);
}

uint64_t gfs_codec_load_u64_be(const void *ptr)
{
    uint64_t raw;
    memcpy(&raw, ptr, sizeof raw);
    return be64toh(raw);
}

void gfs_codec_put_u8(struct gfs_buf *out, uint8_t value)
{
    gfs_buf_add(out, &value, sizeof value);
}

void gfs_codec_put_u32(struct gfs_buf *out, uint32_t value)
{
    uint8_t raw[sizeof value];
    gfs_codec_store_u32(raw, value);
    gfs_buf_add(out, raw, sizeof raw);
}

void gfs_codec_put_u64(struct gfs_buf *out, uint64_t value)
{
    uint8_t raw[sizeof value];
    gfs_codec_store_u64(raw, value);
    gfs_buf_add(out, raw, sizeof raw);
}

void gfs_codec_put_varint(struct gfs_buf *out, uint64_t value)
{
    uint8_t raw[VARINT_LEN_MAX];
    size_t len = 0;
    while (value >= 0x80) {
        raw[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    raw[len++] = (uint8_t)value;
    gfs_buf_add(out, raw, len);
}

void gfs_codec_put_bytes(struct gfs_buf *out, struct gfs_slice bytes)
{
    gfs_codec_put_varint(out, bytes.len);
    gfs_buf_add_slice(out, bytes);
}

struct gfs_codec_reader gfs_codec_reader_of(struct gfs_slice bytes)
{
    return (struct gfs_codec_reader){(const uint8_t *)bytes.ptr, bytes.len, false};
}

const void *gfs_codec_get_raw(struct gfs_codec_reader *in, size_t len)
{
    if (in->is_bad || len > in->len) {
        in->is_bad = true;
        in->len = 0;
        return NULL;
    }
    const void *ptr = in->ptr;
    in->ptr += len;
    in->len -= len;
    return ptr;
}

uint8_t gfs_codec_get_u8(struct gfs_codec_reader *in)
{
    const uint8_t *raw = gfs_codec_get_raw(in, 1);
    return raw == NULL ? 0 : *raw;
}

uint32_t gfs_codec_get_u32(struct gfs_codec_reader *in)
{
    const void *raw = gfs_codec_get_raw(in, sizeof(uint32_t));
    return raw == NULL ? 0 : gfs_codec_load_u32(raw);
}

uint64_t gfs_codec_get_u64(struct gfs_codec_reader *in)
{
    const void *raw = gfs_codec_get_raw(in, sizeof(uint64_t));
    return raw == NULL ? 0 : gfs_codec_load_u64(raw);
}

uint64_t gfs_codec_get_varint(struct gfs_codec_reader *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = gfs_codec_get_u8(in);
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) {
            return in->is_bad ? 0 : value;
        }
    }
    in->is_bad = true;
    in->len = 0;
    return 0;
}

uint32_t gfs_codec_get_count(struct gfs_codec_reader *in, uint32_t max)
{
    uint64_t value = gfs_codec_get_varint(in);
    if (value > max) {
        in->is_bad = true;
        in->len = 0;
        return 0;
    }
    return (uint32_t)value;
}

struct gfs_slice gfs_codec_get_bytes(struct gfs_codec_reader *in)
{
    uint64_t len = gfs_codec_get_varint(in);
    if (len > in->len) {
        in->is_bad = true;
        in->len = 0;
        return (struct gfs_slice){0};
    }
    return gfs_slice_of(gfs_codec_get_raw(in, (size_t)len), (size_t)len);
}
