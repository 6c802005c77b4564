/* Applying edits to SQLite: a pure function of the state and the edits.
 *
 * One call is one transaction: all edits and applied_lsn, or nothing. How edits are divided into
 * calls does not change the result, garbage keys included, so replicas and replays agree.
 * Within a call, single rows are sorted by key (several rows a page instead of a page a row) and
 * written once each, while every value replaced on the way is accounted for: its chunks lose a
 * reference, the last reference puts the chunk on the garbage list, usage counters follow exactly.
 * Whole-range changes (UPLOAD_END, BUCKET_DROP) are barriers.
 *
 * References: a chunk is referenced 1 + refs[chunk] times by rows, counting repetition inside a
 * row; refs holds only counts above 0. Adding comes before freeing, which is right in any order:
 * a chunk that is about to be shared still has a reference. */
#pragma once

#include "libgoodfs/meta_service.h"
#include "metad/db.h"

struct apply;

/* The writer connection stays the caller's. Owned by one thread. */
enum gfs_err apply_new(struct db *db, struct apply **ret, struct gfs_error *error) GFS_MUST_CHECK;
void apply_free(struct apply *apply);

/* Plain data. */
struct apply_result {
    uint64_t row_count;     /* rows written or deleted */
    uint64_t freed_count;   /* chunks put on the garbage list */
    uint64_t damaged_count; /* rows that were replaced although they could not be read */
};

/* Edits in LSN order, all above the applied LSN. On any error nothing happened: CORRUPT, NO_SPACE
 * (try again when there is room), IO. */
enum gfs_err apply_edits(struct apply *apply, const struct gfs_slice *edits, size_t count,
                         struct apply_result *ret, struct gfs_error *error) GFS_MUST_CHECK;
uint64_t apply_lsn(const struct apply *apply);

/* The row of usage counters. CORRUPT. */
enum gfs_err apply_decode_usage(struct gfs_slice value, struct meta_usage *ret) GFS_MUST_CHECK;
