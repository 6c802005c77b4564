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
 * few (fsck_orphans.h), or the operator says that many are right. How old they are is kept across
 * restarts, and so is what was lost (fsck_kept.h). Searches start by themselves once a day, and
 * every orphan_age_ms when that is less.
 *
 * A search also starts when something may have been lost, so that health knows and the objects are
 * named soon, and again while something is (fsck_due.h).
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
    const char *dir;       /* of a disk that keeps what is known; outlives it. NULL = none */
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

/* A search begins from now on, after the one under way; once, however often it is asked for.
 * may_be_many: that search deletes orphans that are old enough however many they are; what else
 * keeps them does so. Any thread. */
void fsck_start(struct fsck *fsck, bool may_be_many);
/* Plain data. What the last search that ended well says, one before a restart too. */
struct fsck_verdict {
    uint64_t losses; /* chunks of objects and uploads with too little left, for good or for now */
    bool has_damage; /* of rows of the metadata: nobody knows what they refer to */
    bool is_unsure;  /* a disk was given up, and what that means has not been searched for yet */
};
/* All of it as of one moment. Any thread. */
void fsck_judge(struct fsck *fsck, struct fsck_verdict *ret);
enum { FSCK_PAGE_MAX = 1000 };
/* Progress, and what the last search found, of its rows `limit` (up to FSCK_PAGE_MAX) from the
 * after-th on; docs/OPERATIONS.md. Any thread. */
void fsck_json(struct fsck *fsck, uint64_t after, uint64_t limit, struct gfs_json_out *out,
               const char *name);

/* A whole search, by hand. Manual mode only. */
void fsck_run(struct fsck *fsck);
