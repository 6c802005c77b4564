/* io_uring: write and flush operations of one owner thread, and a wake-up from any thread.
 * The only module that includes liburing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libgoodfs/err.h"

struct gfs_ring;

typedef void (*gfs_ring_done_fn)(void *context, void *op, int result);

/* depth: operations in flight at the most. GFS_UNSUPPORTED: the kernel refuses io_uring. The ring
 * is bound to the thread that first submits or waits. */
enum gfs_err gfs_ring_open(unsigned depth, struct gfs_ring **ret) GFS_MUST_CHECK;
void gfs_ring_close(struct gfs_ring *ring); /* NULL allowed; nothing in flight */

/* false: the ring is full, wait first. result at done: bytes written or -errno. */
bool gfs_ring_write(struct gfs_ring *ring, int fd, const void *ptr, size_t len, uint64_t offset,
                    bool is_durable, void *op);
bool gfs_ring_flush(struct gfs_ring *ring, int fd, void *op); /* fdatasync */

/* Submits what was queued and calls done(context, op, result) for each completion; when `block`,
 * waits for one or for a wake. GFS_IO: the ring broke. */
enum gfs_err gfs_ring_wait(struct gfs_ring *ring, bool block, gfs_ring_done_fn done, void *context);
void gfs_ring_wake(struct gfs_ring *ring);
