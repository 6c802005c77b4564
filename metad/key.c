#include "metad/key.h"

#include <assert.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/meta_service.h"

enum { BUCKET_ID_LEN = 8, PART_NUMBER_LEN = 2 };

static_assert(KEY_LEN_MAX == 1 + BUCKET_ID_LEN + 2 * GFS_KEY_LEN_MAX + 2 + META_UPLOAD_ID_LEN + 1,
              "the longest upload key and its successor fit");

static void add(struct key *key, const void *ptr, size_t len)
{
    GFS_ASSERT(len <= sizeof key->bytes - key->len);
    if (len != 0) {
        memcpy(key->bytes + key->len, ptr, len);
        key->len += len;
    }
}

static void begin(struct key *key, enum table table)
{
    key->len = 1;
    key->bytes[0] = (char)table;
}

static void add_u64(struct key *key, uint64_t value)
{
    uint8_t raw[sizeof value];
    gfs_codec_store_u64_be(raw, value);
    add(key, raw, sizeof raw);
}

void key_object(struct key *ret, uint64_t bucket_id, struct gfs_slice key)
{
    begin(ret, TABLE_OBJECTS);
    add_u64(ret, bucket_id);
    add(ret, key.ptr, key.len);
}

void key_uploads_prefix(struct key *ret, uint64_t bucket_id, struct gfs_slice prefix)
{
    begin(ret, TABLE_UPLOADS);
    add_u64(ret, bucket_id);
    for (size_t i = 0; i < prefix.len; i++) {
        add(ret, &prefix.ptr[i], 1);
        if (prefix.ptr[i] == '\0') {
            add(ret, "\1", 1);
        }
    }
}

void key_uploads_of(struct key *ret, uint64_t bucket_id, struct gfs_slice key)
{
    key_uploads_prefix(ret, bucket_id, key);
    add(ret, "\0\0", 2);
}

void key_upload(struct key *ret, uint64_t bucket_id, struct gfs_slice key, const uint8_t *id)
{
    key_uploads_of(ret, bucket_id, key);
    add(ret, id, META_UPLOAD_ID_LEN);
}

void key_parts_of(struct key *ret, const uint8_t *upload_id)
{
    begin(ret, TABLE_PARTS);
    add(ret, upload_id, META_UPLOAD_ID_LEN);
}

void key_part(struct key *ret, const uint8_t *upload_id, uint32_t number)
{
    GFS_ASSERT(number <= UINT16_MAX);
    key_parts_of(ret, upload_id);
    const uint8_t raw[PART_NUMBER_LEN] = {(uint8_t)(number >> 8), (uint8_t)number};
    add(ret, raw, sizeof raw);
}

void key_completed(struct key *ret, const uint8_t *upload_id)
{
    begin(ret, TABLE_COMPLETED);
    add(ret, upload_id, META_UPLOAD_ID_LEN);
}

void key_bucket(struct key *ret, enum table table, uint64_t bucket_id)
{
    begin(ret, table);
    add_u64(ret, bucket_id);
}

void key_garbage(struct key *ret, uint64_t lsn, uint32_t n)
{
    begin(ret, TABLE_GARBAGE);
    add_u64(ret, lsn);
    const uint8_t raw[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    add(ret, raw, sizeof raw);
}

void key_ref(struct key *ret, struct chunk_id id)
{
    begin(ret, TABLE_REFS);
    add_u64(ret, id.hi);
    add_u64(ret, id.lo);
}

void key_set(struct key *ret, struct gfs_slice full)
{
    ret->len = 0;
    add(ret, full.ptr, full.len);
}

void key_after(struct key *key)
{
    add(key, "\0", 1);
}

void key_after_prefix(struct key *key)
{
    while (key->len > 0 && (unsigned char)key->bytes[key->len - 1] == 0xFF) {
        key->len--;
    }
    GFS_ASSERT(key->len > 0); /* the table byte is never FF */
    key->bytes[key->len - 1] = (char)((unsigned char)key->bytes[key->len - 1] + 1);
}

enum gfs_err key_parse_upload(struct gfs_slice row_key, char *ret_key, size_t *ret_key_len,
                              uint8_t *ret_upload_id)
{
    if (row_key.len < BUCKET_ID_LEN + 2 + META_UPLOAD_ID_LEN) {
        return GFS_CORRUPT;
    }
    const char *ptr = row_key.ptr + BUCKET_ID_LEN;
    size_t left = row_key.len - BUCKET_ID_LEN - META_UPLOAD_ID_LEN;
    size_t len = 0;
    while (left >= 2 && !(ptr[0] == '\0' && ptr[1] == '\0')) {
        size_t step = ptr[0] == '\0' ? 2 : 1;
        if (len == GFS_KEY_LEN_MAX || (step == 2 && ptr[1] != '\1')) {
            return GFS_CORRUPT;
        }
        ret_key[len++] = ptr[0];
        ptr += step;
        left -= step;
    }
    if (left != 2) {
        return GFS_CORRUPT;
    }
    memcpy(ret_upload_id, ptr + 2, META_UPLOAD_ID_LEN);
    *ret_key_len = len;
    return GFS_OK;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t key_hash(struct gfs_slice full, uint64_t seed)
{
    /* 16 bytes a round, folded by a 128-bit multiplication; constants: digits of pi. */
    const uint64_t k0 = 0x243F6A8885A308D3ULL;
    const uint64_t k1 = 0x13198A2E03707344ULL;
    uint64_t hash = mix(seed ^ k0, k1 ^ full.len);
    const char *ptr = full.ptr;
    size_t left = full.len;
    while (left >= 16) {
        hash = mix(gfs_codec_load_u64(ptr) ^ k1, gfs_codec_load_u64(ptr + 8) ^ hash);
        ptr += 16;
        left -= 16;
    }
    char tail[16] = {0};
    if (left != 0) {
        memcpy(tail, ptr, left);
    }
    return mix(gfs_codec_load_u64(tail) ^ k0 ^ hash, gfs_codec_load_u64(tail + 8) ^ hash ^ k1);
}
