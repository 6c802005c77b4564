/* Reads a byte range of an object, in order, from its chunks; every block is verified.
 * Owned by one thread at a time. */
#pragma once

#include "libgoodfs/chunk_store.h"
#include "libgoodfs/meta_service.h"

struct reader;

/* refs stay valid until reader_free. The range lies inside the object. Pins the chunks of the range
 * (all of them up to READER_PINS_MAX, later ones when they are reached), so that a deletion
 * meanwhile does not cut the answer. GFS_NOT_FOUND: a chunk is gone, read the metadata again. */
enum { READER_PINS_MAX = 1024 };
enum gfs_err reader_new(struct chunk_store *store, const struct meta_chunk_ref *refs,
                        uint32_t ref_count, uint64_t start, uint64_t len, struct reader **ret);
void reader_free(struct reader *reader); /* NULL allowed */
/* Of reader_new: the chunks may have been deleted since they were looked up, look again. Deletion
 * reaches the disks of a chunk one by one, so it can look like damage or like missing disks. */
static inline bool reader_may_be_stale(enum gfs_err err)
{
    return err == GFS_NOT_FOUND || err == GFS_CORRUPT || err == GFS_UNREACHABLE;
}
/* What it means for whoever does not look again: the key is there, so that no disk has what it
 * names is damage, and never told as a key that is not there. */
static inline enum gfs_err reader_verdict(enum gfs_err err)
{
    return err == GFS_NOT_FOUND ? GFS_CORRUPT : err;
}

/* Continues at the position: up to size bytes, at least one unless the range is done (*ret_len 0).
 * size is at least 1; GFS_BLOCK_SIZE or more is read without a copy. CHUNK_READ_NOWAIT: GFS_AGAIN
 * when the disk must be waited for. GFS_CORRUPT, GFS_IO, GFS_NOT_FOUND. */
enum gfs_err reader_read(struct reader *reader, char *ret_bytes, size_t size, unsigned flags,
                         size_t *ret_len);
uint64_t reader_left(const struct reader *reader); /* bytes still to come */
