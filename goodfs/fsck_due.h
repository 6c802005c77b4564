/* When a search is due without anybody asking, and whether health can be sure of the last one.
 *
 *   - once a period;
 *   - when storage says that more is lost than before;
 *   - when a disk was given up (it failed, or another is in its place) and all that are left are
 *     whole; until a search that began after that has ended well, nobody is sure that everything is
 *     there;
 *   - while the last search found losses: when disks came back that were away in it, and again and
 *     again, because objects that are deleted are no losses any more.
 *
 * Pure; times are monotonic. Guarded by the lock of whoever embeds it. */
#pragma once

#include "goodfs/fsck_source.h"

/* Plain data. How storage is at a moment. */
struct fsck_look {
    bool given_up[FSCK_DISKS_MAX];
    bool is_whole;
    uint64_t losses;
};

/* Plain data. What searches that ended well know, this process's or an earlier one's. */
struct fsck_known {
    bool searched[FSCK_DISKS_MAX]; /* this disk was given up, and searched since */
    uint64_t losses;               /* that the last one found */
    bool has_damage;               /* it met damaged rows of the metadata */
};

/* Plain data; embedded in its owner. */
struct fsck_due {
    struct fsck_known known;
    bool given_up[FSCK_DISKS_MAX]; /* when the last search began */
    int64_t period_ns;
    uint64_t told_losses; /* of storage, that the last search was told of */
    bool is_whole;        /* when the last search began */
    bool was_whole;       /* the same of the last that ended well */
    int64_t begun_ns;
    int64_t period_at_ns, gap_until_ns, again_at_ns; /* INT64_MAX = not */
};

/* first_ns: of the first search of a period. known: zeroes when nobody ever searched. */
void fsck_due_init(struct fsck_due *due, const struct fsck_known *known, int64_t first_ns,
                   int64_t period_ns);
/* Whether a search is due now. */
bool fsck_due_look(struct fsck_due *due, const struct fsck_look *look, int64_t now_ns);
/* A search begins, due or wished for; look: from before it looks at anything. */
void fsck_due_begin(struct fsck_due *due, const struct fsck_look *look, int64_t now_ns);
/* It ended; what it found. */
void fsck_due_end(struct fsck_due *due, bool is_good, uint64_t losses, bool has_damage,
                  int64_t now_ns);
/* A disk was given up, and no search since has ended well. given_up: as they are now. */
bool fsck_due_is_unsure(const struct fsck_due *due, const bool given_up[FSCK_DISKS_MAX]);
