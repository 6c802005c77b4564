/* OpenSSL 3 deprecates the low-level hash functions in favour of EVP, which allocates and looks its
 * algorithm up at each use: more than the hash of a whole SigV4 request costs. The low-level states
 * are plain structs, so a digest can be copied and needs no freeing. HMAC is written out for the
 * same reason. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "libgoodfs/digest.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "libgoodfs/mem.h"

enum { HMAC_BLOCK = 64 };

static_assert(sizeof(MD5_CTX) <= sizeof((struct gfs_digest *)0)->state, "MD5 state fits");
static_assert(sizeof(SHA_CTX) <= sizeof((struct gfs_digest *)0)->state, "SHA-1 state fits");
static_assert(sizeof(SHA256_CTX) <= sizeof((struct gfs_digest *)0)->state, "SHA-256 state fits");
static_assert(MD5_DIGEST_LENGTH == GFS_MD5_LEN, "MD5 length");
static_assert(SHA_DIGEST_LENGTH == GFS_SHA1_LEN, "SHA-1 length");
static_assert(SHA256_DIGEST_LENGTH == GFS_SHA256_LEN, "SHA-256 length");

void gfs_digest_init(struct gfs_digest *digest, enum gfs_digest_algo algo)
{
    int ok = 0;
    digest->algo = algo;
    void *state = digest->state;
    switch (algo) {
    case GFS_MD5:
        ok = MD5_Init(state);
        break;
    case GFS_SHA1:
        ok = SHA1_Init(state);
        break;
    case GFS_SHA256:
        ok = SHA256_Init(state);
        break;
    }
    GFS_ASSERT(ok == 1);
}

void gfs_digest_add(struct gfs_digest *digest, const void *ptr, size_t len)
{
    int ok = 0;
    void *state = digest->state;
    switch (digest->algo) {
    case GFS_MD5:
        ok = MD5_Update(state, ptr, len);
        break;
    case GFS_SHA1:
        ok = SHA1_Update(state, ptr, len);
        break;
    case GFS_SHA256:
        ok = SHA256_Update(state, ptr, len);
        break;
    }
    GFS_ASSERT(ok == 1);
}

void gfs_digest_fini(struct gfs_digest *digest, uint8_t *ret)
{
    int ok = 0;
    void *state = digest->state;
    switch (digest->algo) {
    case GFS_MD5:
        ok = MD5_Final(ret, state);
        break;
    case GFS_SHA1:
        ok = SHA1_Final(ret, state);
        break;
    case GFS_SHA256:
        ok = SHA256_Final(ret, state);
        break;
    }
    GFS_ASSERT(ok == 1);
}

size_t gfs_digest_len(enum gfs_digest_algo algo)
{
    switch (algo) {
    case GFS_MD5:
        return GFS_MD5_LEN;
    case GFS_SHA1:
        return GFS_SHA1_LEN;
    case GFS_SHA256:
        return GFS_SHA256_LEN;
    }
    return 0;
}

/* A context that continues after `len` bytes (a multiple of the block) with that state. */
static MD5_CTX md5_at(const uint32_t state[4], uint64_t len)
{
    MD5_CTX md5;
    MD5_Init(&md5);
    md5.A = state[0];
    md5.B = state[1];
    md5.C = state[2];
    md5.D = state[3];
    md5.Nl = (MD5_LONG)(len << 3);
    md5.Nh = (MD5_LONG)(len >> 29);
    return md5;
}

void gfs_md5_blocks(uint32_t state[4], const void *ptr, size_t block_count)
{
    MD5_CTX md5 = md5_at(state, 0);
    MD5_Update(&md5, ptr, block_count * MD5_CBLOCK);
    state[0] = md5.A;
    state[1] = md5.B;
    state[2] = md5.C;
    state[3] = md5.D;
}

void gfs_md5_finish(const uint32_t state[4], uint64_t len, const void *tail, size_t tail_len,
                    uint8_t ret[GFS_MD5_LEN])
{
    GFS_ASSERT(len % MD5_CBLOCK == 0);
    MD5_CTX md5 = md5_at(state, len);
    MD5_Update(&md5, tail, tail_len);
    MD5_Final(ret, &md5);
}

void gfs_md5(struct gfs_slice bytes, uint8_t ret[GFS_MD5_LEN])
{
    MD5_CTX state;
    MD5_Init(&state);
    MD5_Update(&state, bytes.ptr, bytes.len);
    MD5_Final(ret, &state);
}

void gfs_sha256(struct gfs_slice bytes, uint8_t ret[GFS_SHA256_LEN])
{
    SHA256_CTX state;
    SHA256_Init(&state);
    SHA256_Update(&state, bytes.ptr, bytes.len);
    SHA256_Final(ret, &state);
}

/* RFC 2104 */
void gfs_hmac_sha256(struct gfs_slice key, struct gfs_slice bytes, uint8_t ret[GFS_SHA256_LEN])
{
    uint8_t block[HMAC_BLOCK] = {0}, pad[HMAC_BLOCK], inner[GFS_SHA256_LEN];
    if (key.len > HMAC_BLOCK) {
        gfs_sha256(key, block);
    } else if (key.len != 0) {
        memcpy(block, key.ptr, key.len);
    }
    SHA256_CTX state;
    for (size_t i = 0; i < HMAC_BLOCK; i++) {
        pad[i] = block[i] ^ 0x36;
    }
    SHA256_Init(&state);
    SHA256_Update(&state, pad, sizeof pad);
    SHA256_Update(&state, bytes.ptr, bytes.len);
    SHA256_Final(inner, &state);
    for (size_t i = 0; i < HMAC_BLOCK; i++) {
        pad[i] = block[i] ^ 0x5c;
    }
    SHA256_Init(&state);
    SHA256_Update(&state, pad, sizeof pad);
    SHA256_Update(&state, inner, sizeof inner);
    SHA256_Final(ret, &state);
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(pad, sizeof pad);
}

bool gfs_const_time_eq(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void gfs_random(void *ret, size_t len)
{
    unsigned char *bytes = ret;
    while (len != 0) {
        ssize_t got = getrandom(bytes, len, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            (void)fprintf(stderr, "level=error msg=\"no randomness\" errno=%d\n", errno);
            abort();
        }
        bytes += got;
        len -= (size_t)got;
    }
}
