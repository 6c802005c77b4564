/* Byte codec of everything this project writes itself: little-endian integers, LEB128 varints,
 * length-prefixed bytes. Writing appends to a gfs_buf (whose is_full is checked once at the end);
 * reading has one sticky error: after it every answer is zero or empty, so that a decoder checks
 * is_bad once, and before it allocates what a count asks for. */
#pragma once

#include <stdint.h>

#include "libgoodfs/buf.h"
#include "libgoodfs/slice.h"

void gfs_codec_put_u8(struct gfs_buf *out, uint8_t value);
void gfs_codec_put_u32(struct gfs_buf *out, uint32_t value);
void gfs_codec_put_u64(struct gfs_buf *out, uint64_t value);
void gfs_codec_put_varint(struct gfs_buf *out, uint64_t value);
/* varint length, then the bytes. */
void gfs_codec_put_bytes(struct gfs_buf *out, struct gfs_slice bytes);

/* Plain data. Borrows what it reads. */
struct gfs_codec_reader {
    const uint8_t *ptr;
    size_t len;  /* bytes left */
    bool is_bad; /* sticky: read past the end, or a varint over 64 bits */
};

struct gfs_codec_reader gfs_codec_reader_of(struct gfs_slice bytes);
uint8_t gfs_codec_get_u8(struct gfs_codec_reader *in);
uint32_t gfs_codec_get_u32(struct gfs_codec_reader *in);
uint64_t gfs_codec_get_u64(struct gfs_codec_reader *in);
uint64_t gfs_codec_get_varint(struct gfs_codec_reader *in);
/* A varint of at most max, else is_bad. */
uint32_t gfs_codec_get_count(struct gfs_codec_reader *in, uint32_t max);
struct gfs_slice gfs_codec_get_bytes(struct gfs_codec_reader *in);
/* len bytes without a length in front; NULL when they are not there. */
const void *gfs_codec_get_raw(struct gfs_codec_reader *in, size_t len);

/* Fixed places in memory. */
void gfs_codec_store_u32(void *ptr, uint32_t value);
void gfs_codec_store_u64(void *ptr, uint64_t value);
uint32_t gfs_codec_load_u32(const void *ptr);
uint64_t gfs_codec_load_u64(const void *ptr);
/* Big-endian, so that memcmp order is numeric order. */
void gfs_codec_store_u64_be(void *ptr, uint64_t value);
uint64_t gfs_codec_load_u64_be(const void *ptr);
