/* One pass over all chunks: what the map wants against what the disks list, part by part. What is
 * found to be done is done in batches of about 1 GiB, so that several copies are under way at once
 * (pool_copiers.h) and little of it waits for the end of a batch.
 *
 * Order
 *  1. Survey: every part is compared, and chunks that bear no further loss are repaired first.
 *  2. Fill: every missing fragment is copied or rebuilt, and counts when it was read back.
 *  3. Tidy: fragments where no slot wants them are deleted, when their chunk is whole where the map
 *     wants it (or is lost, and they at least are there), seen again in a new listing, and its
 *     copies that took over are read once more.
 *  4. Settle: a map that says `filled` and `not behind` for what this pass asked for and completed.
 * Former disks are emptied before the map forgets them, so that a pass that was killed begins again
 * with the same reason to do so. A step that fails makes its group `dirty`: its flags stay, its
 * extras stay, the other groups go on. Absence deletes nothing: a chunk that no disk lists is not
 * looked for.
 *
 * Writes under way: a listing may show a chunk on some of its disks and not yet on others. So what
 * a part lacks is listed a second time, after everything submitted before is durable, and only what
 * is missing both times is made. Deletions: they are noted from before that second listing on until
 * the last copy of the batch has ended, see pool_tombs. Writers by older maps: while there are any,
 * a pass changes no flag.
 *
 * Owned by the reconcile thread, which decides, judges, verifies heirs and deletes; copiers only
 * copy, and none is under way between two batches. */
#pragma once

#include "pool/pool_copy.h"
#include "pool/pool_progress.h"

/* Plain data. */
struct pool_pass_options {
    struct pool *pool;
    struct pool_pace *pace;
    struct pool_progress *progress;
    char *bytes;       /* POOL_COPY_STEP, for the reconcile thread: `between` may use it as well */
    unsigned older_ms; /* how long to wait for who works by an older map */
    /* Called often, while deletions are being noted: suspects go first. */
    void (*between)(void *arg, struct pool_view *view);
    void *arg;
};

enum pool_pass_outcome {
    POOL_PASS_WHOLE = 1,  /* nothing is left to do but what waits for disks */
    POOL_PASS_INCOMPLETE, /* something failed, or could not be judged */
    POOL_PASS_OUTDATED,   /* the map changed under it: to be begun again */
    POOL_PASS_STOPPED,
};

enum pool_pass_outcome pool_pass_run(const struct pool_pass_options *options);

/* Deletions are noted from now on, and those sent before are durable: what a disk lists is not
 * deleted without a note. Paired with pool_tombs_end. */
void pool_pass_note_deletions(struct pool_copier *copier, struct pool_view *view);
