/* The audit both ways: does every chunk that metadata refers to have its fragments, and is every
 * fragment's chunk referred to?
 *
 * A search goes over the 1,024 parts of the chunk ids, as many parts at a time as fit its memory:
 * the references of all rows to those parts are collected, then the fragments of each part are
 * listed and both are compared. What looks wrong is judged again before it is reported: a row that
 * is gone meanwhile is no loss, and a chunk that metadata knows now is no orphan.
 *
 * Orphans are given back, never losses: a chunk that searches at least orphan_age_ms apart found
 * in nobody's name, that metadata says for certain it does not know, and only while such chunks are
 * few (fsck_orphans.h). How old they are is kept across restarts. Searches start by themselves once
 * a day, and every orphan_age_ms when that is less.
 *
 * A search also starts when storage says that more is lost than before, so that the objects are
 * named soon; at most every SEARCH_GAP (fsck.c).
 *
 * Threads: one of its own does everything; the others ask. */
#pragma once

#include "goodfs/fsck_source.h"
#include "libgoodfs/json_out.h"

struct fsck;

/* Plain data. */
struct fsck_options {
    struct fsck_source source; /* outlives the fsck */
    int64_t orphan_age_ms;
    const char *dir;       /* of a disk that keeps the ages of orphans; outlives it. NULL = none */
    size_t references_max; /* ids in memory at once; 0 = 4,000,000 (64 MiB) */
    unsigned idle_percent; /* of its time it waits, for the disks' sake */
    bool is_manual;        /* no thread: fsck_run does a search. Tests */
};

struct fsck *fsck_open(const struct fsck_options *options);
/* No search begins any more, and the one under way ends soon. NULL allowed. Any thread. */
void fsck_stop(struct fsck *fsck);
/* Waits for the end of a search under way, for at most wait_ms. NULL allowed: true. false: it hangs
 * in a disk, so that the fsck and its source must be left as they are until the process ends. */
bool fsck_close(struct fsck *fsck, uint32_t wait_ms);

/* A search begins from now on, after the one under way; once, however often it is asked for. Any
 * thread. */
void fsck_start(struct fsck *fsck);
/* Chunks of objects and uploads that the last search found too little of, for good or for now. Any
 * thread. */
uint64_t fsck_losses(struct fsck *fsck);
/* Progress, and what the last search found; docs/OPERATIONS.md. Any thread. */
void fsck_json(struct fsck *fsck, struct gfs_json_out *out, const char *name);

/* A whole search, by hand. Manual mode only. */
void fsck_run(struct fsck *fsck);
