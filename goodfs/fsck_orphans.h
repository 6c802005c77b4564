/* Chunks in nobody's name: since when, and which of them may go. Owned by the search's thread.
 *
 * A chunk is given back when two searches found it, at least the age apart (of time that the server
 * ran: clocks jump), and when such chunks are few: more than 1 % of all chunks means that metadata
 * is lost or wrong, and then nothing is. In a small store up to 16 may be more than 1 %, but never
 * more than a quarter of what is referred to. */
#pragma once

#include "libgoodfs/chunk_store.h"

enum { FSCK_ORPHANS_MAX = 1000000, FSCK_ORPHANS_FEW = 16 };

/* Plain data. */
struct fsck_orphan {
    struct chunk_id id;
    uint64_t bytes;
    int64_t first_seen_ms; /* Unix time; for people */
    int64_t age_ms;        /* while the server ran */
    bool is_seen;          /* by the search under way */
};

/* Plain data; embedded in its owner. Sorted by id between searches. */
struct fsck_orphans {
    struct fsck_orphan *items;
    size_t count, size;
    size_t sorted_count; /* the rest was added by the search under way */
    bool is_full;        /* more than FSCK_ORPHANS_MAX were found */
    int64_t uptime_ms;   /* at the last search */
};

void fsck_orphans_fini(struct fsck_orphans *orphans);
/* A search begins: nothing was seen by it. uptime_ms: of a clock that never jumps, since any moment
 * before the first search; what is known ages by what passed since the last one. */
void fsck_orphans_begin(struct fsck_orphans *orphans, int64_t uptime_ms);
/* Once a search and chunk. */
void fsck_orphans_add(struct fsck_orphans *orphans, struct chunk_id id, uint64_t bytes,
                      int64_t now_ms);
/* The search was whole: what it did not see is forgotten. */
void fsck_orphans_end(struct fsck_orphans *orphans);
/* By id, for who asks about all of them. */
void fsck_orphans_sort(struct fsck_orphans *orphans);
/* Takes out what `keep` (one flag an item) does not hold. */
void fsck_orphans_filter(struct fsck_orphans *orphans, const bool *keep);
/* Too many to be true, of `chunks` listed and `references` different ones referred to. */
bool fsck_orphans_is_abnormal(const struct fsck_orphans *orphans, uint64_t chunks,
                              uint64_t references);
