/* A shard on a fresh directory with a log double, and the calls tests make on it. */
#pragma once

#include <pthread.h>

#include "libgoodfs/limits.h"
#include "metad/shard.h"
#include "tests/unit/metad/log_double.h"
#include "tests/unit/metad/temp_dir.h"

enum { JOB_CHUNKS_MAX = 16, JOB_DELETES_MAX = 16, JOB_PARTS_MAX = 8, RIG_TEXT_SIZE = 65536 };

struct rig {
    char dir[TEMP_DIR_SIZE];
    struct shard_options options; /* of the next rig_open */
    struct log_double *log;
    struct shard *shard;
    struct meta_service *meta;
};

/* Edits stay in the overlay until they are asked for (rig_apply, rig_restart), and nothing is swept
 * before `gc_grace_ms`, which begins as a day. */
void rig_init(struct rig *rig);
void rig_open(struct rig *rig);
enum gfs_err rig_try_open(struct rig *rig, struct gfs_error *error);
void rig_close(struct rig *rig);
void rig_fini(struct rig *rig);
void rig_restart(struct rig *rig); /* in order: everything is applied */
/* Opens what is on the disks at this moment. Undecided groups are answered STOPPED. */
void rig_crash(struct rig *rig);
/* Waits until everything committed is applied; for shards with a short apply_delay_ms. */
void rig_await_applied(struct rig *rig);

/* An operation with everything it points to. */
struct job {
    struct meta_op op;
    struct meta_object object;
    struct meta_part part;
    struct meta_part used[JOB_PARTS_MAX];
    struct meta_chunk_ref chunks[JOB_CHUNKS_MAX];
    struct chunk_record records[JOB_CHUNKS_MAX];
    struct meta_delete deletes[JOB_DELETES_MAX];
    struct meta_etag etags[JOB_DELETES_MAX + 1]; /* of the deletes, and of the operation */
    char key[GFS_KEY_LEN_MAX];
    char delete_keys[JOB_DELETES_MAX][32];
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t is_done;
    unsigned done_count;
    enum gfs_err err;
    struct rig *rig; /* while a thread submits it */
    pthread_t thread;
};

void job_init(struct job *job, enum meta_op_kind kind, uint64_t bucket_id, struct gfs_slice key);
void job_fini(struct job *job);
/* New chunks with DATA records; the size is 10 bytes a chunk and the ETag is `tag`. For objects and
 * parts. */
void job_fill(struct job *job, uint32_t chunk_count, uint8_t tag);
void job_if_none_match(struct job *job);
void job_if_match(struct job *job, uint8_t tag);
struct meta_delete *job_delete(struct job *job, const char *key);
enum gfs_err rig_submit(struct rig *rig, struct job *job, unsigned flags);
unsigned job_done_count(struct job *job);
enum gfs_err job_wait(struct job *job); /* the answer */
enum gfs_err rig_run(struct rig *rig, struct job *job);
/* Submits on a thread of its own, where waiting does not matter; job_join answers like job_wait. */
void rig_start(struct rig *rig, struct job *job);
enum gfs_err job_join(struct job *job);

/* ---- whole operations; the log decides by itself ---- */
uint64_t rig_bucket(struct rig *rig, const char *name);
enum gfs_err rig_drop(struct rig *rig, uint64_t bucket_id);
/* ret_chunks may be NULL. */
enum gfs_err rig_put(struct rig *rig, uint64_t bucket_id, const char *key, uint32_t chunk_count,
                     uint8_t tag, struct chunk_id *ret_chunks);
enum gfs_err rig_delete(struct rig *rig, uint64_t bucket_id, const char *key);
enum gfs_err rig_copy(struct rig *rig, uint64_t bucket_id, const char *from, const char *to);
void rig_upload(struct rig *rig, uint64_t bucket_id, const char *key, uint8_t upload);
/* ret_lsn may be NULL. */
enum gfs_err rig_part(struct rig *rig, uint64_t bucket_id, const char *key, uint8_t upload,
                      uint32_t number, struct chunk_id *ret_chunk, uint64_t *ret_lsn);
void job_complete(struct job *job, uint64_t bucket_id, const char *key, uint8_t upload);
void job_use_part(struct job *job, uint32_t number, uint64_t mod_lsn, struct chunk_id chunk);

/* The ETag's first byte, or -1 when there is no object. */
int rig_tag(struct rig *rig, uint64_t bucket_id, const char *key);
/* Decoded; chunks are copied into the job. NOT_FOUND. */
enum gfs_err rig_get(struct rig *rig, uint64_t bucket_id, const char *key, struct job *ret);
/* "key key prefix* ...": names in order, prefixes with a star; "+" at the end when truncated.
 * NULs are written as 0. */
const char *rig_list(struct rig *rig, const struct meta_list_query *query, bool is_uploads,
                     char text[RIG_TEXT_SIZE]);
