/* The edit log's side: replaying it to its owner, and learning what it no longer needs.
 *
 * Replaying goes from segment to segment while the store works. The one being read is held against
 * recycling; one that leaves before its turn held nothing but trimmed edits, and lsn_gone had risen
 * over them by then: that is looked at before the next one is read. Of the head only what was
 * durable when its turn came is read, and nothing behind it: the log may be in another segment by
 * then, and its edits follow those that were left out.
 *
 * Segments leave in any order, so edits below lsn_gone may be there with others missing behind them
 * (store_compact.c). LSNs have gaps of their own, so nothing but lsn_gone tells. */
#include <stdlib.h>

#include "datad/store_state.h"

struct edit_replay {
    struct store *store;
    uint64_t after;
    uint64_t last; /* highest lsn visited or skipped */
    bool has_head; /* what was the head when its turn came was read: what follows is newer */
    bool has_hole; /* something unreadable lies between `last` and the next edit */
    uint32_t hole_seq, hole_offset;
    enum gfs_err (*visit)(void *arg, uint64_t lsn, struct gfs_slice edit);
    void *arg;
    struct gfs_error *error;
};

static enum gfs_err fail_damaged(const struct edit_replay *replay, uint32_t seq, uint32_t offset,
                                 uint64_t lsn)
{
    return gfs_fail(replay->error, GFS_CORRUPT,
                    "log segment %u is damaged at offset %u: edits from lsn %llu on may be lost",
                    seq, offset, (unsigned long long)lsn);
}

/* What is gone went in order with what was visited: below the last one of that, nothing is missed.
 */
static enum gfs_err check_gone(const struct edit_replay *replay)
{
    struct store *store = replay->store;
    (void)pthread_mutex_lock(&store->lock);
    uint64_t gone = store->lsn_gone;
    (void)pthread_mutex_unlock(&store->lock);
    if (gone <= GFS_MAX(replay->after, replay->last)) {
        return GFS_OK;
    }
    return gfs_fail(replay->error, GFS_CORRUPT,
                    "edits up to lsn %llu are not all in the log any more, and those behind lsn "
                    "%llu are asked for",
                    (unsigned long long)gone, (unsigned long long)replay->after);
}

static void note_hole(struct edit_replay *replay, uint32_t seq, uint32_t offset)
{
    if (!replay->has_hole) {
        replay->has_hole = true;
        replay->hole_seq = seq;
        replay->hole_offset = offset;
    }
}

/* Edits come in order, so the first one behind a hole tells what the hole can have held: nothing
 * that is wanted when it is itself the first wanted one, nothing at all when it continues `last`.
 */
static enum gfs_err close_hole(struct edit_replay *replay, uint64_t lsn)
{
    if (replay->has_hole && lsn > replay->after + 1 && lsn != replay->last + 1) {
        return fail_damaged(replay, replay->hole_seq, replay->hole_offset, replay->last + 1);
    }
    replay->has_hole = false;
    return GFS_OK;
}

static enum gfs_err replay_edit(struct edit_replay *replay, struct log_segment *segment,
                                uint32_t offset, const struct segment_record *record)
{
    uint64_t lsn = record->head.lsn;
    enum gfs_err err = close_hole(replay, lsn);
    if (err != GFS_OK) {
        return err;
    }
    if (lsn <= replay->after) {
        replay->last = GFS_MAX(replay->last, lsn);
        return GFS_OK;
    }
    if (lsn <= replay->last || segment_payload_verify(record) != GFS_OK) {
        return fail_damaged(replay, segment->seq, offset + (uint32_t)record->offset, lsn);
    }
    replay->last = lsn;
    return replay->visit(replay->arg, lsn, record->payload);
}

static enum gfs_err replay_edits_of_batch(void *arg, struct log_segment *segment, uint32_t offset,
                                          const char *bytes, const struct batch_header *header,
                                          bool is_damaged)
{
    struct edit_replay *replay = arg;
    if (header == NULL) {
        note_hole(replay, segment->seq, offset);
        return GFS_OK;
    }
    size_t at = sizeof *header;
    struct segment_record record;
    enum gfs_err err;
    uint64_t last = 0;
    while ((err = segment_record_next(bytes, header->used, &at, &record)) == GFS_OK) {
        if (record.head.kind == CHUNK_RECORD_EDIT) {
            last = record.head.lsn;
            enum gfs_err edit_err = replay_edit(replay, segment, offset, &record);
            if (edit_err != GFS_OK) {
                return edit_err;
            }
        }
    }
    bool has_lost = header->lsn_last > GFS_MAX(replay->after, last);
    if (has_lost && (is_damaged || err != GFS_END)) {
        return fail_damaged(replay, segment->seq, offset + (uint32_t)at, replay->last + 1);
    }
    return GFS_OK;
}

/* Segments whose files could not even be identified lie between their neighbours in order. */
static void note_lost_segments(struct edit_replay *replay, uint32_t from, uint32_t to)
{
    struct store *store = replay->store;
    (void)pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->damage_count; i++) {
        const struct log_damage *damage = &store->damage[i];
        if (damage->is_lost && damage->seq > from && damage->seq < to) {
            note_hole(replay, damage->seq, damage->offset);
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
}

static enum gfs_err replay_segment(struct edit_replay *replay, struct log_segment *segment)
{
    struct store *store = replay->store;
    (void)pthread_mutex_lock(&store->lock);
    replay->has_head = segment == store->head;
    bool is_whole = !segment->is_damaged && !segment->is_given_up;
    uint64_t lsn_min = segment->lsn_min;
    uint64_t lsn_max = segment->lsn_max;
    struct segment_scan scan = {
        .segment = segment,
        .offset = SEGMENT_PAGE,
        .next_seq = 1,
        .durable_seq = UINT64_MAX,
        .limit = is_whole || replay->has_head ? segment->end : 0,
    };
    (void)pthread_mutex_unlock(&store->lock);
    if (lsn_max <= replay->after && is_whole) {
        enum gfs_err err = lsn_min == 0 ? GFS_OK : close_hole(replay, lsn_min);
        replay->last = GFS_MAX(replay->last, lsn_max);
        return err;
    }
    enum gfs_err err = log_segment_scan(&scan, replay_edits_of_batch, replay);
    if (err == GFS_OK && scan.is_tail_damaged) {
        note_hole(replay, segment->seq, scan.offset); /* more may have stood behind it */
    }
    return err;
}

enum gfs_err store_replay_edits(struct chunk_store *chunks, uint64_t after,
                                enum gfs_err (*visit)(void *arg, uint64_t lsn,
                                                      struct gfs_slice edit),
                                void *arg, struct gfs_error *error)
{
    struct store *store = GFS_CONTAINER_OF(chunks, struct store, base);
    struct edit_replay replay = {
        .store = store, .after = after, .visit = visit, .arg = arg, .error = error};
    enum gfs_err err = GFS_OK;
    uint32_t seq = 0;
    struct log_segment *segment;
    while (err == GFS_OK && !replay.has_head &&
           (segment = log_segment_hold(store, seq + 1)) != NULL) {
        note_lost_segments(&replay, seq, segment->seq);
        seq = segment->seq;
        err = check_gone(&replay);
        if (err == GFS_OK) {
            err = replay_segment(&replay, segment);
        }
        log_segment_release(store, segment);
    }
    note_lost_segments(&replay, seq, UINT32_MAX);
    if (err == GFS_OK && replay.has_hole) {
        err = fail_damaged(&replay, replay.hole_seq, replay.hole_offset, replay.last + 1);
    }
    return err;
}

void store_trim_edits(struct chunk_store *chunks, uint64_t lsn)
{
    struct store *store = GFS_CONTAINER_OF(chunks, struct store, base);
    (void)pthread_mutex_lock(&store->lock);
    if (lsn > store->lsn_trimmed) {
        store->lsn_trimmed = lsn;
        store_wake_background_locked(store);
    }
    (void)pthread_mutex_unlock(&store->lock);
}
