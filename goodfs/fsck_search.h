/* One search: what fsck.c lets run, and what it finds. Owned by the thread that runs it. */
#pragma once

#include "goodfs/fsck_findings.h"
#include "goodfs/fsck_orphans.h"
#include "goodfs/fsck_source.h"

enum { FSCK_BATCH = 256 }; /* ids deleted at once */

/* Plain data. What a search found; released with fsck_search_release. */
struct fsck_result {
    uint64_t chunks;     /* listed */
    uint64_t references; /* different chunks that rows refer to */
    struct fsck_list list;
    uint64_t orphans, orphan_bytes;
    uint64_t deleted, deleted_bytes; /* orphans that were given back */
    bool is_damaged;   /* rows of the metadata cannot be read: what they refer to is not known */
    const char *sweep; /* why no more of them: static text */
};
void fsck_search_release(struct fsck_result *result);

/* Plain data. How a search is run. */
struct fsck_search_options {
    const struct fsck_source *source;
    int64_t orphan_age_ms;
    int64_t uptime_ms; /* now; see fsck_orphans_begin */
    size_t references_max;
    bool may_be_many; /* the operator knows why chunks in nobody's name are more than a few */
    /* Called often; done: 0 to 1. Answers false to end the search. */
    bool (*step)(void *arg, double done);
    void *arg;
};

/* OK: whole; CANCELLED: ended by step; anything else: the source's answer, and then nothing was
 * deleted. orphans: of the searches before; with anything but OK it only grows. */
enum gfs_err fsck_search(const struct fsck_search_options *options, struct fsck_orphans *orphans,
                         struct fsck_result *ret) GFS_MUST_CHECK;
