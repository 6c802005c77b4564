/* A body on its way into the chunk store: hashed, cut into chunks, written, not yet visible.
 *
 * Small bodies (GFS_SMALL_CHUNK_MAX) are kept in memory and become one DATA record of the commit.
 * Larger ones are streamed into bulk chunks of at most GFS_CHUNK_SIZE_MAX; their PLACE records make
 * them live in the commit. So until the commit nothing exists, and ingest_free leaves nothing. */
#pragma once

#include "gateway/checksum.h"
#include "gateway/s3.h"

struct ingest;

/* Plain data. */
struct ingest_result {
    uint64_t size;
    uint8_t md5[GFS_MD5_LEN];
    uint64_t crc64;
    struct meta_checksum checksum; /* of the algorithm asked for; CRC64NVME when none was */
    uint32_t chunk_count;
    struct meta_chunk_ref *chunks; /* in the request's arena */
    struct chunk_record *records;  /* for the commit; valid until ingest_free */
};

/* Plain data. */
struct ingest_options {
    uint64_t size;                  /* bytes that will come, or that may come at most (forms) */
    struct gfs_slice owner;         /* kept with each chunk; copied */
    struct gfs_slice storage_class; /* empty = the default; lives as long as the request */
    enum meta_checksum_algo algo;
    void (*on_room)(void *arg); /* after ingest_data took less; NULL = s3_resume_body */
    void *on_room_arg;
};

/* S3_SlowDown when the memory for small bodies is used up. Loop thread, like everything here. */
enum s3_err ingest_begin(struct s3_request *r, const struct ingest_options *options,
                         struct ingest **ret);
/* Answers how many bytes were taken; fewer: on_room follows. May have failed the request. */
size_t ingest_data(struct ingest *in, const char *ptr, size_t len);
/* All bytes came: computes the result; after(r, err) once everything is on stable storage (bulk) or
 * ready for the commit (small); may be called before return. */
void ingest_finish(struct ingest *in, void (*after)(struct s3_request *r, enum gfs_err err));
/* Valid from ingest_finish on. */
const struct ingest_result *ingest_result(const struct ingest *in);
/* NULL allowed. Not while after is still to come (hold the request until then). */
void ingest_free(struct ingest *in);

/* What is kept with a chunk so that names can be rebuilt from disks (schema/segment-format.md):
 * 1 byte kind ('o' object, 'p' part), bucket id LE64, for parts the upload id and number LE32, then
 * the key. */
struct gfs_slice ingest_owner_object(struct gfs_arena *arena, uint64_t bucket_id,
                                     struct gfs_slice key);
struct gfs_slice ingest_owner_part(struct gfs_arena *arena, uint64_t bucket_id,
                                   const uint8_t upload_id[META_UPLOAD_ID_LEN], uint32_t number,
                                   struct gfs_slice key);
