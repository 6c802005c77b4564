/* What a search found wrong: chunks that lack fragments, and the objects and uploads that need
 * them. Owned by the thread that searches.
 *
 * First chunks are added; then they are sorted, the rows that refer to them give them names, and
 * each is judged again, which may take it back; in the end what is left is counted and listed.
 *
 * Losses and what is only degraded never take each other's place: a disk that is away makes
 * everything degraded, and must not hide what is lost. Memory is a few MiB until something is lost,
 * and with as many losses as there may be 200 MiB: 24 bytes a chunk, 72 a row, and the names. */
#pragma once

#include "goodfs/fsck_source.h"
#include "libgoodfs/buf.h"

enum {
    FSCK_LOSSES_MAX = 1000000,     /* chunks lost or unreachable, and rows that need such; more
                                    * chunks are counted, more rows are not listed */
    FSCK_DEGRADED_MAX = 10000,     /* the same, degraded */
    FSCK_NAMES_LEN_MAX = 96 << 20, /* of buckets and keys */
};

enum fsck_state {
    FSCK_LOST = 1,    /* fewer fragments than it takes to read it, and no disk is away */
    FSCK_UNREACHABLE, /* so few, but a disk is away */
    FSCK_DEGRADED,    /* readable, and some fragment is not where it should be */
};

/* Plain data. */
struct fsck_finding {
    struct chunk_id id;
    uint8_t state; /* enum fsck_state; 0 = it was well when it was judged again */
    uint8_t have, need, width;
    bool is_named; /* a row refers to it */
};

/* Plain data. An object or upload, once, that needs chunks of the findings. */
struct fsck_named {
    const char *bucket, *key; /* the result's */
    struct fsck_finding worst;
    uint32_t chunk_count; /* that lack fragments */
    /* until the end of the search */
    uint32_t name_at; /* bucket and key, each with its NUL */
    uint32_t link_at, link_count;
};

/* Plain data. What is left in the end, worst first, then by bucket and key. */
struct fsck_list {
    uint64_t lost, unreachable, degraded; /* chunks that are referred to */
    uint64_t unjudged, unjudged_losses;   /* looked so, were too many to be judged again; of these
                                           * the ones that looked lost or unreachable */
    struct fsck_named *rows;
    size_t row_count;
    char *names;
    bool has_more; /* rows than could be listed */
};
void fsck_list_release(struct fsck_list *list);

/* Plain data; embedded in its owner, all zeros at first. */
struct fsck_findings {
    struct fsck_finding *items; /* sorted by id once collected */
    size_t count, size;
    size_t loss_count;
    uint64_t unjudged, unjudged_losses;
    struct fsck_named *rows;
    size_t row_count, row_size;
    size_t loss_row_count;
    uint32_t *links; /* indices of items; those of a row are one behind the other */
    size_t link_count, link_size;
    struct gfs_buf names;
    bool has_more;
};
void fsck_findings_init(struct fsck_findings *findings);
void fsck_findings_fini(struct fsck_findings *findings);

/* Once a chunk; nothing happens when it lacks nothing. */
void fsck_findings_add(struct fsck_findings *findings, const struct fsck_chunk *chunk);
void fsck_findings_sort(struct fsck_findings *findings);
/* Of a row; the references of one row come one after the other, mostly. */
void fsck_findings_name(struct fsck_findings *findings, const struct fsck_reference *reference);
/* Any chunk; those that are no findings are left alone. */
void fsck_findings_judge(struct fsck_findings *findings, const struct fsck_chunk *chunk);
/* Moves what is left into *ret. */
void fsck_findings_end(struct fsck_findings *findings, struct fsck_list *ret);
