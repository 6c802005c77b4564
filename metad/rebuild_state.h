/* The inside of a rebuild, shared by the files rebuild*.c.
 *
 * What is found is sorted by a database of its own, thrown away at the end; its tables are used as
 *   objects    rows found: table (1) | length of the row key (2) | row key | ~LSN (8) | id of the
 *              chunk that carries the label (16) = the label: newest first within a name
 *   buckets    bucket id = LSN of the newest row that told of it (8), the bucket
 *   meta       bucket name = its newest id (8)
 *   completed  uploads that became objects
 *   uploads    uploads that are restored
 *   refs       chunks of restored objects
 *   usage      chunks that some row names
 *   garbage    chunks that a row written so far refers to
 *   parts      what is to be written: LSN (8) | running number (4) = kind (1), bucket or label */
#pragma once

#include "libgoodfs/arena.h"
#include "metad/db.h"
#include "metad/label.h"
#include "metad/rebuild.h"

enum { REBUILD_PLAN_BUCKET = 1, REBUILD_PLAN_ROW = 2, REBUILD_VALUE_MAX = 8 << 20 };

/* Owned by one thread. */
struct rebuild {
    const struct rebuild_options *options;
    struct chunk_store *chunks;
    struct db *scratch;
    uint32_t uncommitted; /* writes to scratch */
    uint32_t plan_count;
    uint64_t lsn_max;
    struct rebuild_result result;
    struct gfs_error *error;
};

/* ---- rebuild.c: the scratch database ---- */
enum gfs_err rebuild_put(struct rebuild *rebuild, enum table table, struct gfs_slice key,
                         struct gfs_slice value) GFS_MUST_CHECK;
enum gfs_err rebuild_has(struct rebuild *rebuild, enum table table, struct gfs_slice key,
                         bool *ret) GFS_MUST_CHECK;
enum gfs_err rebuild_put_chunk(struct rebuild *rebuild, enum table table,
                               struct chunk_id id) GFS_MUST_CHECK;
enum gfs_err rebuild_has_chunk(struct rebuild *rebuild, enum table table, struct chunk_id id,
                               bool *ret) GFS_MUST_CHECK;
/* Of which row, with a verdict; counts it. label NULL: of a chunk, see the finding. */
void rebuild_report(struct rebuild *rebuild, const struct label *label,
                    struct rebuild_finding finding);

/* ---- rebuild_read.c ---- */
/* Every label on the disks, into objects, buckets, meta and completed. */
enum gfs_err rebuild_read(struct rebuild *rebuild) GFS_MUST_CHECK;
/* Reports chunks that no row names. */
enum gfs_err rebuild_read_strays(struct rebuild *rebuild) GFS_MUST_CHECK;
/* A bucket in buckets and in the plan. */
void rebuild_encode_bucket(struct gfs_buf *out, const struct meta_bucket *bucket);
enum gfs_err rebuild_decode_bucket(struct gfs_slice bytes, struct meta_bucket *ret) GFS_MUST_CHECK;

/* ---- rebuild_check.c ---- */
/* Plain data. What a row says of its bytes. */
struct rebuild_bytes {
    const struct meta_chunk_ref *chunks;
    uint32_t chunk_count;
    uint64_t size;
    uint64_t crc64;
    const uint8_t *md5; /* NULL: not known */
};
/* NULL: proved, else why not, and *ret_chunk the chunk that is to blame. */
const char *rebuild_check(struct rebuild *rebuild, const struct rebuild_bytes *bytes,
                          struct chunk_id *ret_chunk);

/* ---- rebuild_decide.c ---- */
/* What is to be written, into parts. */
enum gfs_err rebuild_decide(struct rebuild *rebuild) GFS_MUST_CHECK;

/* ---- rebuild_write.c ---- */
/* Writes the plan into a new database at path, which ends with an empty edit that the log gets. */
enum gfs_err rebuild_write(struct rebuild *rebuild, const char *path) GFS_MUST_CHECK;
