/* The segment store of one disk: the chunk_store of libgoodfs/chunk_store.h on a directory.
 *
 * Small chunks and the edit log are packed into log segments; a batch of groups is one write that
 * is durable when it completes. Large chunks ("bulk") go to bulk files, page-aligned, and become
 * live by a PLACE record in the log. Layout and bytes: schema/segment-format.md.
 *
 * Invariants
 *  1. A group is acknowledged only after its batch is durable; one batch is in flight, so batch
 *     n + 1 in a segment proves that batch n was durable.
 *  2. A bulk chunk's data and trailer are durable before its PLACE record is written.
 *  3. Space is given back only after the DELETE record is durable and no pin holds the chunk.
 *  4. Replaying the log segments that exist, oldest first, always gives the live chunks: see
 *     store_compact.c for what may be recycled when.
 *  5. index.ckpt is a cache of that replay; without it the result is the same.
 *  6. A failed write or flush of the log fails the disk for good: nothing is retried. */
#pragma once

#include "libgoodfs/chunk_store.h"

struct gfs_io;
struct store;

/* Plain data. Zero = the default. */
struct store_options {
    const char *dir;       /* made when missing; its parent must exist */
    const char *cluster;   /* text id this disk must belong to; NULL = any, drawn on a new disk */
    const char *node;      /* written on a new disk, NULL = "local" */
    struct gfs_io *io;     /* NULL = gfs_io_posix_open(dir); taken over, closed with the store */
    uint32_t segment_size; /* bytes of a new log segment; 64 MiB */
    uint64_t bulk_size;    /* bytes a bulk file spans; 4 GiB */
    uint64_t checkpoint_bytes; /* log bytes between index checkpoints; 256 MiB */
    uint64_t reserve_bytes;    /* kept free for deletes; min(5 % of the disk, 1 GiB) */
    uint64_t compact_rate;     /* bytes a second compaction may read; 64 MiB */
    uint32_t buffers_max;      /* of 512 KiB, for large chunks being written; 512 (256 MiB) */
    bool is_manual;            /* no threads: the caller drives everything by store_poll */
    bool is_buffered;          /* log writes through the page cache: first reads are hits */
};

/* Plain data. Counters since open unless a level is meant. */
struct store_stats {
    uint64_t flushes, batches, groups, records, bytes_written;
    uint64_t groups_refused;      /* no space */
    uint64_t chunks, index_bytes; /* levels */
    uint64_t log_segments, log_bytes, log_live_bytes;
    uint64_t bulk_files, bulk_live_bytes, bulk_writers;
    uint64_t bulk_kept_bytes;         /* in nobody's name at open, kept: see store_open */
    uint64_t space_total, space_free; /* bytes of the file system */
    uint64_t compactions, compacted_bytes, segments_recycled, checkpoints;
    uint64_t bytes_punched;
    uint64_t damaged_places;   /* found at open: see store_open */
    uint64_t replayed_batches; /* at open */
    uint64_t read_errors;      /* reads answered GFS_IO or GFS_CORRUPT */
    bool has_failed, is_full;
};

/* Opens or creates. GFS_BUSY: another process holds it; GFS_UNSUPPORTED: a newer format;
 * GFS_CONFLICT: another cluster; GFS_INVALID: options; GFS_CORRUPT, GFS_IO, GFS_NO_SPACE. error
 * names the file. Damage in the log does not fail the open: what can be read is served, the rest is
 * counted in damaged_places, and replay_edits answers GFS_CORRUPT when it may hide an edit. Bytes
 * of large chunks that no record names are given back, except when records may be missing: after
 * damage, or when they are more than crashes can leave. */
enum gfs_err store_open(const struct store_options *options, struct store **ret,
                        struct gfs_error *error) GFS_MUST_CHECK;

/* Answers waiting groups GFS_STOPPED, writes the index checkpoint, releases everything. Pins are
 * released and bulk writers freed before. NULL allowed. */
void store_close(struct store *store);

struct chunk_store *store_chunks(struct store *store);
void store_stats(struct store *store, struct store_stats *ret);
/* The id in the disk's identity file. */
void store_disk_id(const struct store *store, uint8_t ret[16]);

/* Manual mode only: one turn of the store's and the background's loop. Answers whether anything
 * was done. */
bool store_poll(struct store *store);
/* Manual mode only: everything submitted is answered, nothing is left in the background. */
void store_settle(struct store *store);
/* Tests: a hash over all index entries; equal indexes, equal hashes. */
uint64_t store_index_hash(struct store *store);
/* Writes the index checkpoint now. Manual mode, or before close. */
enum gfs_err store_checkpoint(struct store *store) GFS_MUST_CHECK;
