/* The bytes of a segment file: headers, batches, records (schema/segment-format.md).
 *
 * A log segment is a header page, then batches back to back, each padded to whole pages; the last
 * page repeats the header. A batch carries its segment's sequence number and salt (random, drawn
 * when the segment is prepared), so neither what a recycled segment held before nor bytes a client
 * chose can be taken for a batch. All integers are little-endian, as is every machine we build on.
 * Pure functions over memory, and input is never trusted: what does not verify is an answer. */
#pragma once

#include <stdint.h>

#include "libgoodfs/chunk_store.h"
#include "libgoodfs/limits.h"

enum {
    SEGMENT_PAGE = 4096, /* bytes; unit of batches, bulk places and direct I/O */
    SEGMENT_VERSION = 1,
    SEGMENT_HEADER_MAGIC = 0x53474647, /* "GFGS" */
    SEGMENT_BATCH_MAGIC = 0x42474647,  /* "GFGB" */
    SEGMENT_RECORD_MAGIC = 0x52474647, /* "GFGR" */
    SEGMENT_RECORD_BULK = 5, /* kind of a bulk chunk's trailer; continues chunk_record_kind */
    SEGMENT_BATCH_SEAL = 1,  /* flag: the last batch of its segment */
    SEGMENT_BATCH_GONE = 2,  /* flag: has lsn_gone; set by segment_batch_seal */
    SEGMENT_EDIT_BLOCKS_MAX = CHUNK_EDIT_LEN_MAX / GFS_BLOCK_SIZE,
    SEGMENT_BULK_BLOCKS_MAX = GFS_CHUNK_SIZE_MAX / GFS_BLOCK_SIZE,
};

/* Plain data, as on disk. */
struct segment_header {
    uint32_t magic;
    uint16_t version;
    uint16_t reserved;
    uint64_t seq; /* rises with every use of a file; names it */
    uint64_t salt;
    uint8_t disk[16]; /* of the identity file */
    uint64_t size;    /* bytes of the file */
    uint32_t reserved2;
    uint32_t crc; /* CRC32C of the fields above */
};
_Static_assert(sizeof(struct segment_header) == 56, "on disk");

struct batch_header {
    uint32_t magic;
    uint16_t version;
    uint16_t flags;
    uint64_t salt;
    uint64_t segment_seq;
    uint64_t batch_seq; /* rises by one over the whole log */
    uint64_t lsn_gone;  /* edits up to it need not be in the log any more */
    uint64_t lsn_last;  /* of the EDIT records inside, 0 = none */
    uint32_t len;       /* bytes with header and padding, whole pages */
    uint32_t used;      /* bytes with header, without padding */
    uint32_t body_crc;  /* CRC32C of bytes [sizeof header, used) */
    uint32_t crc;       /* CRC32C of the fields above */
};
_Static_assert(sizeof(struct batch_header) == 64, "on disk");

/* Followed by block_count CRC32C of the payload's 64 KiB blocks, the owner, and the payload. */
struct record_header {
    uint32_t magic;
    uint8_t kind;
    uint8_t reserved;
    uint16_t owner_len;
    uint64_t id_hi, id_lo;
    uint64_t lsn;
    uint32_t payload_len;
    uint32_t block_count;
    uint32_t reserved2;
    uint32_t crc; /* CRC32C of the fields above, the block table and the owner */
};
_Static_assert(sizeof(struct record_header) == 48, "on disk");

/* Payload of a PLACE record. */
struct place_entry {
    uint32_t file; /* number of the bulk file */
    uint32_t page; /* where the chunk begins in it */
    uint32_t len;  /* bytes of the chunk; its trailer begins at the next page boundary */
    uint32_t reserved;
};
_Static_assert(sizeof(struct place_entry) == 16, "on disk");

/* Payload of a DELETE record: one entry a chunk. */
struct tombstone {
    uint64_t id_hi, id_lo;
    uint64_t segment_seq; /* of the log segment whose record it makes dead */
};
_Static_assert(sizeof(struct tombstone) == 24, "on disk");

/* A record found in memory; borrows. Plain data. */
struct segment_record {
    struct record_header head;
    const char *table; /* block_count unaligned uint32_t */
    struct gfs_slice owner;
    struct gfs_slice payload;
    size_t offset; /* of its header in the bytes it was found in */
    size_t size;   /* bytes until the next record */
};

static inline size_t segment_align8(size_t len)
{
    return (len + 7) & ~(size_t)7;
}

static inline size_t segment_align_page(size_t len)
{
    return (len + SEGMENT_PAGE - 1) & ~(size_t)(SEGMENT_PAGE - 1);
}

static inline uint32_t segment_block_count(size_t payload_len)
{
    return (uint32_t)((payload_len + GFS_BLOCK_SIZE - 1) / GFS_BLOCK_SIZE);
}

/* Bytes from a record's start to its payload. */
static inline size_t segment_head_len(size_t payload_len, size_t owner_len)
{
    return sizeof(struct record_header) + segment_block_count(payload_len) * sizeof(uint32_t) +
           owner_len;
}

/* Bytes a record takes in a batch. */
static inline size_t segment_record_size(size_t payload_len, size_t owner_len)
{
    return segment_align8(segment_head_len(payload_len, owner_len) + payload_len);
}

/* Bytes of a PLACE record in a batch. */
#define SEGMENT_PLACE_SIZE segment_record_size(sizeof(struct place_entry), 0)

/* Bytes of a bulk chunk's trailer on disk for a chunk of up to `len` bytes, whole pages. */
static inline size_t segment_trailer_size(size_t len, size_t owner_len)
{
    return segment_align_page(segment_head_len(len, owner_len));
}

void segment_header_seal(struct segment_header *header);
/* GFS_CORRUPT; GFS_UNSUPPORTED when the header is whole but of a newer version. page: at least
 * sizeof header bytes. */
enum gfs_err segment_header_parse(const void *page, struct segment_header *ret) GFS_MUST_CHECK;

/* Fills in magic, version and both checksums of the batch at `bytes`, whose other fields and body
 * are complete, and zeroes the padding. */
void segment_batch_seal(void *bytes, struct batch_header *header);
/* Checks the header alone: GFS_CORRUPT, or GFS_OK when it belongs to this use of the segment and
 * its lengths are sane (len <= room). */
enum gfs_err segment_batch_parse(const void *bytes, size_t room,
                                 const struct segment_header *segment,
                                 struct batch_header *ret) GFS_MUST_CHECK;
/* bytes: the whole batch. GFS_CORRUPT when the body is not what was written. */
enum gfs_err segment_batch_verify(const void *bytes,
                                  const struct batch_header *header) GFS_MUST_CHECK;

/* Writes a record's head (header, block table, owner) to `to`, computing the checksums of payload;
 * the payload itself is the caller's to copy. Answers the head's length. head: kind, id and lsn. */
size_t segment_record_write(void *to, const struct record_header *head, struct gfs_slice owner,
                            struct gfs_slice payload);
/* As segment_record_write, for a head whose block table is already in place behind it. */
size_t segment_record_finish(void *to, const struct record_header *head, struct gfs_slice owner);

/* The record at *offset in a batch's `used` bytes; moves *offset behind it. GFS_END at the end;
 * GFS_CORRUPT when the head does not verify or lengths leave the batch. Payload checksums are not
 * looked at. */
enum gfs_err segment_record_next(const void *bytes, size_t used, size_t *offset,
                                 struct segment_record *ret) GFS_MUST_CHECK;
/* Checks a head alone, of `len` readable bytes: fixed part, table, owner. */
enum gfs_err segment_head_parse(const void *bytes, size_t len,
                                struct segment_record *ret) GFS_MUST_CHECK;
/* GFS_CORRUPT unless `bytes`, which begin at block first_block of the payload, match the table. */
enum gfs_err segment_blocks_verify(const char *table, uint32_t first_block, const void *bytes,
                                   size_t len) GFS_MUST_CHECK;
/* All of a record's payload. */
enum gfs_err segment_payload_verify(const struct segment_record *record) GFS_MUST_CHECK;
