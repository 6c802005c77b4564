/* What searches know, in a file of a disk, so that a restart forgets neither how old orphans are
 * nor what was lost, and nobody is sure after it of what was not searched for before it. A file
 * that is missing, damaged or of another format means that the wait of orphans begins anew and that
 * every disk that was given up is searched for once more.
 *
 * Format, little-endian: "gfsckpt1" | losses (8) | damaged rows (1: 0 or 1) | disks that were given
 * up and searched (32: a bit each, by number) | count (8) | count times an orphan: id (16), first
 * seen (Unix ms, 8), age (ms, 8), bytes (8) | CRC32C of all before (4). */
#pragma once

#include "goodfs/fsck_due.h"
#include "goodfs/fsck_orphans.h"
#include "libgoodfs/err.h"

/* Plain data; embedded in its owner. */
struct fsck_kept {
    struct fsck_orphans orphans;
    struct fsck_known known;
};

/* ret: a copy that its owner gives back. */
void fsck_kept_copy(const struct fsck_kept *kept, struct fsck_kept *ret);
void fsck_kept_fini(struct fsck_kept *kept);
/* dir: a disk's, with its identity. What `kept` had is replaced. NOT_FOUND, CORRUPT, IO: nothing is
 * known. Blocks. */
enum gfs_err fsck_kept_load(struct fsck_kept *kept, const char *dir) GFS_MUST_CHECK;
/* Durable at return. NOT_FOUND: no disk of ours; IO, NO_SPACE: what was there before is kept.
 * Blocks. */
enum gfs_err fsck_kept_store(const struct fsck_kept *kept, const char *dir) GFS_MUST_CHECK;
