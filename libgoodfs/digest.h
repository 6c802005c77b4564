/* MD5, SHA-1, SHA-256, HMAC-SHA256, random bytes and constant-time comparison (libcrypto). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libgoodfs/slice.h"

enum gfs_digest_algo { GFS_MD5, GFS_SHA1, GFS_SHA256 };
enum { GFS_MD5_LEN = 16, GFS_SHA1_LEN = 20, GFS_SHA256_LEN = 32, GFS_DIGEST_LEN_MAX = 32 };

/* Plain data, no heap inside: copyable, nothing to free. Owned by one thread at a time. */
struct gfs_digest {
    enum gfs_digest_algo algo;
    _Alignas(16) unsigned char state[256];
};

void gfs_digest_init(struct gfs_digest *digest, enum gfs_digest_algo algo);
void gfs_digest_add(struct gfs_digest *digest, const void *ptr, size_t len);
/* ret has room for the algorithm's length. The digest is spent. */
void gfs_digest_fini(struct gfs_digest *digest, uint8_t *ret);
size_t gfs_digest_len(enum gfs_digest_algo algo);

void gfs_md5(struct gfs_slice bytes, uint8_t ret[GFS_MD5_LEN]);
/* MD5 by hand, for md5_lanes: blocks of 64 bytes into a bare state; and the end of a stream of
 * which `len` bytes (a multiple of 64) are in the state. */
void gfs_md5_blocks(uint32_t state[4], const void *ptr, size_t block_count);
void gfs_md5_finish(const uint32_t state[4], uint64_t len, const void *tail, size_t tail_len,
                    uint8_t ret[GFS_MD5_LEN]);
void gfs_sha256(struct gfs_slice bytes, uint8_t ret[GFS_SHA256_LEN]);
void gfs_hmac_sha256(struct gfs_slice key, struct gfs_slice bytes, uint8_t ret[GFS_SHA256_LEN]);

/* Time depends on len only. */
bool gfs_const_time_eq(const void *a, const void *b, size_t len);

/* From the kernel; never fails (the process ends when there is no randomness). */
void gfs_random(void *ret, size_t len);
