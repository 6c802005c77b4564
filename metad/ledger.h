/* Accounting of one apply transaction: references, garbage rows and usage counters. */
#pragma once

#include "libgoodfs/meta_service.h"
#include "metad/db.h"

struct ledger;

struct ledger *ledger_new(struct db *db);
void ledger_free(struct ledger *ledger);
/* Forgets everything not flushed. */
void ledger_clear(struct ledger *ledger);

/* One more reference to a chunk; written at once. */
enum gfs_err ledger_add_ref(struct ledger *ledger, struct chunk_id id) GFS_MUST_CHECK;
/* Every chunk of an object or part row loses a reference, on behalf of change `seq` of the edit.
 * CORRUPT: the row cannot be read; nothing was noted. */
enum gfs_err ledger_free_row(struct ledger *ledger, uint64_t lsn, int64_t time_ms, uint32_t seq,
                             struct gfs_slice row) GFS_MUST_CHECK;
/* Signed differences, as two's complement. */
void ledger_add_usage(struct ledger *ledger, uint64_t bucket_id, const struct meta_usage *delta);
/* The garbage row goes at the next flush, after rows that the same flush writes. */
void ledger_garbage_done(struct ledger *ledger, uint64_t lsn, uint32_t n);

/* Writes references, garbage rows and counters. *freed_count grows by the chunks that became
 * garbage. */
enum gfs_err ledger_flush(struct ledger *ledger, uint64_t *freed_count) GFS_MUST_CHECK;

void ledger_encode_usage(struct gfs_buf *out, const struct meta_usage *usage);
/* CORRUPT. */
enum gfs_err ledger_decode_usage(struct gfs_slice value, struct meta_usage *ret) GFS_MUST_CHECK;
