/* From an operation to its edit and its label. */
#pragma once

#include "metad/label.h"
#include "metad/shard_state.h"

/* The edit of the proposal's operation and, when the shard has labels, its label. TOO_BIG, and
 * what the log answers to new_id. */
enum gfs_err shard_label_build(struct proposal *proposal) GFS_MUST_CHECK;
/* The records that go to the log behind the edit, the label's stamped; one of the operation's may
 * be changed until shard_label_end. */
struct chunk_record *shard_label_seal(struct proposal *proposal, uint64_t lsn, int64_t time_ms);
/* Submitted: the log has answered, and the operation not yet. No label: nothing happens. */
void shard_label_end(struct proposal *proposal, bool is_submitted);

/* shard_submit.c: the edit alone, of an operation on rows; for deletions only after they were
 * judged. TOO_BIG. */
enum gfs_err shard_build_edit(struct gfs_buf *out, const struct meta_op *op) GFS_MUST_CHECK;
