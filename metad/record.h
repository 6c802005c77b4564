/* The bytes of rows: objects, uploads, parts, completed uploads, garbage. Format: schema/
 * metadata-records.md. Decoders take untrusted bytes. The checksum of a row is not in here: db.c
 * adds and verifies it, edits have their own. */
#pragma once

#include "libgoodfs/codec.h"
#include "libgoodfs/meta_service.h"

/* Every record starts: version u8, kind u8, mod_lsn u64, mtime_ms i64; the last two are filled by
 * record_stamp when the operation has its LSN. */
enum { RECORD_STAMP_OFFSET = 2, RECORD_HEAD_LEN = 18 };

void record_encode_object(struct gfs_buf *out, const struct meta_object *object);
void record_encode_part(struct gfs_buf *out, uint64_t bucket_id, const struct meta_part *part);
void record_encode_completed(struct gfs_buf *out, uint64_t bucket_id, struct gfs_slice key,
                             const struct meta_object *object);

/* bytes holds at least RECORD_HEAD_LEN. */
void record_stamp(char *bytes, uint64_t lsn, int64_t mtime_ms);
/* 0 when too short. */
uint64_t record_mod_lsn(struct gfs_slice bytes);
int64_t record_mtime_ms(struct gfs_slice bytes);

/* What accounting needs of a row, without decoding all of it. */
struct record_size {
    uint64_t size;      /* bytes of the object or part */
    uint64_t bucket_id; /* parts only */
};
enum gfs_err record_size(struct gfs_slice bytes, struct record_size *ret) GFS_MUST_CHECK;
/* CORRUPT: no part. */
enum gfs_err record_part_number(struct gfs_slice bytes, uint32_t *ret) GFS_MUST_CHECK;

/* Walks the chunk references of an object or part row. */
struct record_chunks {
    struct gfs_codec_reader in;
    uint32_t left;              /* references not yet read */
    struct meta_chunk_ref last; /* the next one is written as a difference to it */
};
enum gfs_err record_chunks_begin(struct gfs_slice bytes, struct record_chunks *ret) GFS_MUST_CHECK;
/* GFS_END after the last one. */
enum gfs_err record_chunks_next(struct record_chunks *chunks,
                                struct meta_chunk_ref *ret) GFS_MUST_CHECK;

enum { RECORD_GARBAGE_IDS_MAX = 128 };
void record_encode_garbage(struct gfs_buf *out, int64_t time_ms, const struct chunk_id *ids,
                           uint32_t count);
/* ids has room for RECORD_GARBAGE_IDS_MAX. */
enum gfs_err record_decode_garbage(struct gfs_slice bytes, int64_t *ret_time_ms,
                                   struct chunk_id *ids, uint32_t *ret_count) GFS_MUST_CHECK;
