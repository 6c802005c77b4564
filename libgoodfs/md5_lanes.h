/* MD5 of several streams at once, a SIMD lane each.
 *
 * MD5 cannot be made faster within one stream (each step waits for the one before), but 16 streams
 * cost one core little more than one does. A pool belongs to one thread; each stream keeps up to
 * two blocks of GFS_MD5_LANE_SIZE bytes. A full block is queued; when a stream needs its other
 * block, or ends, everything queued in the pool is hashed together. A lone stream goes at scalar
 * speed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GFS_MD5_LANE_SIZE = 64 * 1024, GFS_MD5_LANES = 16 };

struct gfs_md5_pool;
struct gfs_md5_lane;

struct gfs_md5_pool *gfs_md5_pool_new(void);
void gfs_md5_pool_free(struct gfs_md5_pool *pool); /* NULL allowed; its lanes were freed before */

/* One stream; everything on the pool's thread. */
struct gfs_md5_lane *gfs_md5_lane_new(struct gfs_md5_pool *pool);
void gfs_md5_lane_free(struct gfs_md5_lane *lane); /* NULL allowed; any state */
void gfs_md5_lane_add(struct gfs_md5_lane *lane, const void *ptr, size_t len);
void gfs_md5_lane_fini(struct gfs_md5_lane *lane, uint8_t ret[16]);

/* The kernel, for tests: hashes block_count blocks of 64 bytes of each of the streams (1 to
 * GFS_MD5_LANES). kind: 0 portable, 1 AVX2, 2 AVX-512; -1 = the best of this processor. Answers
 * whether the kind exists here. */
bool gfs_md5_lanes_blocks(int kind, uint32_t (*const *states)[4], const uint8_t *const *ptrs,
                          uint32_t stream_count, size_t block_count);
