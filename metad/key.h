/* Row keys: which table, and bytes whose memcmp order is the order listings need.
 *
 *   objects    bucket_id (8, big-endian) | key
 *   uploads    bucket_id | key with 00 -> 00 01 | 00 00 | upload_id (16)
 *              the terminator sorts below every continuation, so the order is key, then upload id,
 *              also for keys with NUL bytes, and a prefix of the key is a prefix of the row key
 *   parts      upload_id | number (2, big-endian)
 *   completed  upload_id
 *   buckets, usage   bucket_id
 *   garbage    lsn (8, big-endian) | n (4, big-endian)
 *   refs       chunk id (hi, lo, big-endian)
 *   meta       a name
 *
 * In memory (overlay, cache) one byte of table goes in front: that is a "full key". */
#pragma once

#include "libgoodfs/chunk_store.h"
#include "libgoodfs/slice.h"

/* The values are on disk (edits, row checksums): never renumber. */
enum table {
    TABLE_OBJECTS = 1,
    TABLE_UPLOADS = 2,
    TABLE_PARTS = 3,
    TABLE_COMPLETED = 4,
    TABLE_BUCKETS = 5,
    TABLE_GARBAGE = 6,
    TABLE_REFS = 7,
    TABLE_USAGE = 8,
    TABLE_META = 9,
    TABLE_COUNT,
    TABLE_ROW_LAST = TABLE_COMPLETED, /* tables that edits write rows to */
};

/* table + bucket id + escaped key of 1,024 bytes + terminator + upload id, and one byte to form
 * the immediate successor. */
enum { KEY_LEN_MAX = 1 + 8 + 2 * 1024 + 2 + 16 + 1 };

/* Plain data. A full key under construction; bytes[0] is the table. */
struct key {
    size_t len;
    char bytes[KEY_LEN_MAX];
};

/* Keys longer than GFS_KEY_LEN_MAX are a programmer error: submit and the reads check first. */
void key_object(struct key *ret, uint64_t bucket_id, struct gfs_slice key);
/* Without upload id: the prefix of all uploads of that key. */
void key_uploads_of(struct key *ret, uint64_t bucket_id, struct gfs_slice key);
/* Without terminator: the prefix of all uploads whose key starts with `prefix`. */
void key_uploads_prefix(struct key *ret, uint64_t bucket_id, struct gfs_slice prefix);
void key_upload(struct key *ret, uint64_t bucket_id, struct gfs_slice key, const uint8_t *id);
void key_parts_of(struct key *ret, const uint8_t *upload_id);
void key_part(struct key *ret, const uint8_t *upload_id, uint32_t number);
void key_completed(struct key *ret, const uint8_t *upload_id);
void key_bucket(struct key *ret, enum table table, uint64_t bucket_id);
void key_garbage(struct key *ret, uint64_t lsn, uint32_t n);
void key_ref(struct key *ret, struct chunk_id id);

static inline struct gfs_slice key_full(const struct key *key)
{
    return gfs_slice_of(key->bytes, key->len);
}

/* Without the table byte: as stored in SQLite and in edits. */
static inline struct gfs_slice key_row(const struct key *key)
{
    return gfs_slice_of(key->bytes + 1, key->len - 1);
}

static inline enum table key_table(struct gfs_slice full)
{
    return (enum table)(unsigned char)full.ptr[0];
}

static inline struct gfs_slice key_strip(struct gfs_slice full)
{
    return gfs_slice_of(full.ptr + 1, full.len - 1);
}

void key_set(struct key *ret, struct gfs_slice full);
/* The least key above `key`: one zero byte behind it. */
void key_after(struct key *key);
/* The least key above everything that starts with `key`. */
void key_after_prefix(struct key *key);

/* Taking apart what came from disk: GFS_CORRUPT. key_unescape writes at most 1,024 bytes. */
enum gfs_err key_parse_upload(struct gfs_slice row_key, char *ret_key, size_t *ret_key_len,
                              uint8_t *ret_upload_id) GFS_MUST_CHECK;
/* 64 mixed bits; seed keeps clients from choosing colliding keys. */
uint64_t key_hash(struct gfs_slice full, uint64_t seed);
