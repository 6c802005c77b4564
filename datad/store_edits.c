/* The edit log's side: replaying it to its owner, and learning what it no longer needs. */
#include <stdlib.h>

#include "datad/store_state.h"

struct edit_replay {
    struct store *store;
    uint64_t after;
    uint64_t last; /* highest lsn visited or skipped */
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
    for (size_t i = 0; i < store->damage_count; i++) {
        uint32_t seq = store->damage[i].seq;
        if (seq > from && seq < to && log_segment_find_locked(store, seq) == NULL) {
            note_hole(replay, seq, store->damage[i].offset);
        }
    }
}

static enum gfs_err replay_segment(struct edit_replay *replay, struct log_segment *segment)
{
    if (segment->lsn_max <= replay->after && !segment->is_damaged) {
        enum gfs_err err = segment->lsn_min == 0 ? GFS_OK : close_hole(replay, segment->lsn_min);
        replay->last = GFS_MAX(replay->last, segment->lsn_max);
        return err;
    }
    struct segment_scan scan = {
        .segment = segment,
        .offset = SEGMENT_PAGE,
        .next_seq = 1,
        .durable_seq = segment == replay->store->head ? 0 : UINT64_MAX,
        .limit = segment->is_damaged || segment == replay->store->head ? 0 : segment->end,
    };
    return log_segment_scan(&scan, replay_edits_of_batch, replay);
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
    for (size_t i = 0; i < store->segment_count && err == GFS_OK; i++) {
        note_lost_segments(&replay, seq, store->segments[i]->seq);
        seq = store->segments[i]->seq;
        err = replay_segment(&replay, store->segments[i]);
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
