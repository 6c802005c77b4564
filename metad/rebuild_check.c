/* Whether the bytes that a row names are there. */
#include <stdlib.h>

#include "libgoodfs/crc.h"
#include "libgoodfs/digest.h"
#include "libgoodfs/mem.h"
#include "metad/rebuild_state.h"

enum { READ_SIZE = 16 * GFS_BLOCK_SIZE };

struct sums {
    struct gfs_digest md5;
    uint64_t crc64;
    char *buffer; /* READ_SIZE */
};

static const char *read_ref(struct chunk_store *store, struct chunk_pin *pin,
                            const struct meta_chunk_ref *ref, struct sums *sums)
{
    uint32_t end = ref->offset + ref->len;
    uint32_t at = ref->offset;
    while (at < end) {
        uint32_t begin = at - at % GFS_BLOCK_SIZE;
        uint32_t len = GFS_MIN((uint32_t)READ_SIZE, pin->len - begin);
        if (store->ops->read(store, pin, begin, len, sums->buffer, 0) != GFS_OK) {
            return "a chunk cannot be read";
        }
        uint32_t used = GFS_MIN(end - at, len - (at - begin));
        gfs_digest_add(&sums->md5, sums->buffer + (at - begin), used);
        sums->crc64 = gfs_crc64nvme(sums->crc64, sums->buffer + (at - begin), used);
        at += used;
    }
    return NULL;
}

/* sums NULL: lengths only. */
static const char *check_ref(struct chunk_store *store, const struct meta_chunk_ref *ref,
                             struct sums *sums)
{
    struct chunk_pin pin;
    enum gfs_err err = store->ops->pin(store, ref->id, &pin);
    if (err != GFS_OK) {
        return err == GFS_NOT_FOUND ? "a chunk is missing" : "a chunk cannot be read";
    }
    const char *reason = NULL;
    if (ref->offset > pin.len || ref->len > pin.len - ref->offset) {
        reason = "a chunk is shorter than the row says";
    } else if (sums != NULL) {
        reason = read_ref(store, &pin, ref, sums);
    }
    store->ops->unpin(store, &pin);
    return reason;
}

static const char *compare(const struct rebuild_bytes *bytes, struct sums *sums)
{
    uint8_t md5[GFS_MD5_LEN];
    gfs_digest_fini(&sums->md5, md5);
    if (sums->crc64 != bytes->crc64) {
        return "its bytes do not have its CRC64NVME";
    }
    bool is_same = bytes->md5 == NULL || memcmp(md5, bytes->md5, sizeof md5) == 0;
    return is_same ? NULL : "its bytes do not have its MD5";
}

const char *rebuild_check(struct rebuild *rebuild, const struct rebuild_bytes *bytes,
                          struct chunk_id *ret_chunk)
{
    struct sums sums = {0};
    bool must_read = rebuild->options->must_verify;
    uint64_t size = 0;
    const char *reason = NULL;
    gfs_digest_init(&sums.md5, GFS_MD5);
    if (must_read) {
        sums.buffer = gfs_alloc_aligned(64, READ_SIZE);
    }
    *ret_chunk = (struct chunk_id){0};
    for (uint32_t i = 0; i < bytes->chunk_count && reason == NULL; i++) {
        const struct meta_chunk_ref *ref = &bytes->chunks[i];
        size += ref->len;
        if (ref->len != 0) { /* notes hold no bytes of it */
            reason = check_ref(rebuild->chunks, ref, must_read ? &sums : NULL);
            *ret_chunk = reason == NULL ? (struct chunk_id){0} : ref->id;
        }
    }
    if (reason == NULL && size != bytes->size) {
        reason = "its chunks do not add up to its size";
    }
    const char *verdict = compare(bytes, &sums); /* also ends the digest */
    free(sums.buffer);
    return reason != NULL || !must_read ? reason : verdict;
}
