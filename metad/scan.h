/* An ordered walk over the committed rows of one table, overlay over database.
 *
 * Works in segments: a run of overlay entries is copied under the shard's lock, then the database
 * is read between the same keys. The copy comes first, so a row that moves from the overlay to the
 * database meanwhile is seen in one of them; each row is as of some moment during the walk.
 * Owned by one thread; holds a reader connection from its first row to its end.
 * When the live database is moved, the scan goes on in the new one behind the row given last. */
#pragma once

#include "metad/key.h"

struct shard;
struct scan;

/* Full keys of one table, from <= key < to; copied. */
struct scan *scan_begin(struct shard *shard, const struct key *from, const struct key *to);
/* The next row: key without its table, both valid until the next call. END, CORRUPT, IO. */
enum gfs_err scan_next(struct scan *scan, struct gfs_slice *ret_key,
                       struct gfs_slice *ret_row) GFS_MUST_CHECK;
/* The next row is the first >= from, which is behind the row given last. */
void scan_skip(struct scan *scan, const struct key *from);
void scan_end(struct scan *scan);
