/* Orphans on disk, so that their age goes on after a restart. A file that is missing, damaged or of
 * another format means that the wait begins anew, never that something is deleted earlier.
 *
 * Format, little-endian: "gforphn1" | count (8) | count times: id (16), first seen (Unix ms, 8),
 * age (ms, 8), bytes (8) | CRC32C of all before (4). */
#pragma once

#include "goodfs/fsck_orphans.h"
#include "libgoodfs/err.h"

/* dir: a disk's, with its identity. What is known is replaced. NOT_FOUND, CORRUPT, IO: nothing is
 * known. Blocks. */
enum gfs_err fsck_orphans_load(struct fsck_orphans *orphans, const char *dir) GFS_MUST_CHECK;
/* Durable at return. NOT_FOUND: no disk of ours; IO, NO_SPACE: what was there before is kept.
 * Blocks. */
enum gfs_err fsck_orphans_store(const struct fsck_orphans *orphans, const char *dir) GFS_MUST_CHECK;
