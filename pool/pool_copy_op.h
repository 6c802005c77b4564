/* A group or a large chunk on one disk, and a thread that waits for it. A disk that never answers
 * must not hold that thread for ever: it may leave, and the operation lives on until the disk
 * answers. One thread begins, appends and waits; the disk's thread completes. */
#pragma once

#include "pool/pool_pace.h"
#include "pool/pool_state.h"

/* Bytes read and written at a time. The disks' readers allocate as much: of twice the size glibc
 * would map and unmap it each time, whose page faults took most of the time of a copy. */
enum { POOL_COPY_STEP = 512 * 1024 };

struct pool_copy_op;

/* disk: counted until the operation ends. */
struct pool_copy_op *pool_copy_op_new(struct pool *pool, struct pool_pace *pace,
                                      struct pool_disk *disk);
/* The waiting thread is through with it. NULL allowed. */
void pool_copy_op_free(struct pool_copy_op *op);

/* Room for `size` bytes that live as long as the operation. Once. */
char *pool_copy_op_reserve(struct pool_copy_op *op, size_t size);
/* The group to be submitted by the caller; record is copied, what it points to lives as long as the
 * operation. One at a time: the one before was waited for. */
struct chunk_group *pool_copy_op_group(struct pool_copy_op *op, const struct chunk_record *record);
/* As that, to delete these fragments: may use the reserve. Reserves the room for their ids. */
struct chunk_group *pool_copy_op_delete(struct pool_copy_op *op, const struct chunk_id *fragments,
                                        size_t count);
/* Takes back a group that was not submitted. */
void pool_copy_op_forget(struct pool_copy_op *op);
/* The group's answer. STOPPED: the pace is stopped and the disk did not answer; TIMEOUT: it is
 * dropped, or is now because it did not answer for a long time. */
enum gfs_err pool_copy_op_wait(struct pool_copy_op *op) GFS_MUST_CHECK;

/* Reads a fragment that is live, all of it, from the medium; its owner as well if asked to. Errors
 * of chunk_store.pin, .owner and .read; STOPPED and TIMEOUT as of pool_copy_op_wait. */
enum gfs_err pool_copy_op_read(struct pool_copy_op *op, struct chunk_id fragment, bool with_owner,
                               uint32_t *ret_len, uint32_t *ret_crc) GFS_MUST_CHECK;

/* A large chunk: begin, append all of it, finish (waits until it is durable, but not live), then a
 * group with the PLACE record of pool_copy_op_bulk. */
enum gfs_err pool_copy_op_begin(struct pool_copy_op *op, struct chunk_id id, struct gfs_slice owner,
                                uint32_t len) GFS_MUST_CHECK;
enum gfs_err pool_copy_op_append(struct pool_copy_op *op, const char *ptr,
                                 size_t len) GFS_MUST_CHECK;
enum gfs_err pool_copy_op_finish(struct pool_copy_op *op) GFS_MUST_CHECK;
struct chunk_bulk *pool_copy_op_bulk(struct pool_copy_op *op);
