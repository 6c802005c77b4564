/* Opening: from the segments on disk to the index, and the edits back to their owner.
 *
 * 1. Segment files are opened; those behind the last one that holds a batch are spares. The one
 *    that was the head when index.ckpt was written is none if it held a batch then, whatever is
 *    read there now; and files that were not to leave and are gone are damage.
 * 2. The index comes from index.ckpt when it is usable, else it starts empty at the oldest segment.
 * 3. The log from there on is applied, batch by batch, in order.
 * 4. The last segment is flushed once: what was read of it may not have been durable yet.
 * 5. Writing goes on behind its last good batch, over a torn one; behind damage, in a new segment.
 * Edits are replayed on demand by reading the segments that hold them again. */
#include <stdlib.h>

#include "datad/store_state.h"

enum { LSN_JUMP = 1 << 20 }; /* more edits than damage can hide behind the last one seen */

void log_damage_add(struct store *store, uint32_t seq, uint32_t offset, bool is_lost)
{
    store->damage = gfs_realloc(store->damage, (store->damage_count + 1) * sizeof *store->damage);
    store->damage[store->damage_count++] =
        (struct log_damage){.seq = seq, .offset = offset, .is_lost = is_lost};
    store->stats.damaged_places = store->damage_count;
}

void log_damage_add_lost(struct store *store, uint32_t seq)
{
    bool is_known = log_segment_find_locked(store, seq) != NULL;
    for (size_t i = 0; i < store->damage_count; i++) {
        is_known = is_known || (store->damage[i].is_lost && store->damage[i].seq == seq);
    }
    if (!is_known) {
        log_damage_add(store, seq, 0, true);
    }
    store->seq_last = GFS_MAX(store->seq_last, seq); /* never that of another segment */
}

static enum gfs_err replay_batch(void *arg, struct log_segment *segment, uint32_t offset,
                                 const char *bytes, const struct batch_header *header,
                                 bool is_damaged)
{
    struct store *store = arg;
    if (is_damaged) {
        log_damage_add(store, segment->seq, offset, false);
        segment->is_damaged = true;
    }
    if (header != NULL) {
        bool is_cut = false;
        apply_batch_locked(store, segment, offset, bytes, header, &is_cut);
        if (is_cut && !is_damaged) { /* whole by its checksum, yet not to be parsed */
            log_damage_add(store, segment->seq, offset, false);
            segment->is_damaged = true;
        }
        segment->lsn_max = GFS_MAX(segment->lsn_max, header->lsn_last);
        store->lsn_last = GFS_MAX(store->lsn_last, header->lsn_last);
    }
    store->stats.replayed_batches++;
    return GFS_OK;
}

/* Segments behind the last one with a batch become spares; answers the index of that one. */
static enum gfs_err split_spares(struct store *store, const struct checkpoint_head *head,
                                 struct segment_scan *last)
{
    bool is_used = false;
    size_t count = store->segment_count;
    while (count > 0 && !is_used) {
        struct log_segment *segment = store->segments[count - 1];
        if ((segment->seq == head->seq && head->has_batches) || segment->is_cut) {
            break;
        }
        enum gfs_err err = log_segment_is_used(segment, &is_used);
        if (err != GFS_OK) {
            return err;
        }
        count -= is_used ? 0 : 1;
    }
    size_t first_spare = count;
    size_t end = store->segment_count;
    store->segment_count = first_spare;
    enum gfs_err err = GFS_OK;
    for (size_t i = first_spare; i < end; i++) {
        struct log_segment *segment = store->segments[i];
        if (err == GFS_OK && store->spare_count < STORE_SPARES &&
            segment->header.size == store->options.segment_size) {
            store->spares[store->spare_count++] = segment;
            continue;
        }
        char path[STORE_PATH_MAX];
        segment_path(path, "log", segment->seq, "seg");
        log_segment_free(segment);
        err = err == GFS_OK ? store->io->ops->remove(store->io, path) : err;
    }
    last->segment = first_spare == 0 ? NULL : store->segments[first_spare - 1];
    return err;
}

/* The head of the checkpoint leaves only when a newer checkpoint is durable. */
static void look_for_head(struct store *store, const struct checkpoint_head *head)
{
    store->seq_last = GFS_MAX(store->seq_last, head->seq); /* never that of another segment */
    if (head->has_batches) {
        log_damage_add_lost(store, head->seq);
    }
}

/* The highest batch that a segment can have held; of_newest: of the last one, as far as known. */
static uint64_t durable_seq_of(const struct store *store, size_t i, uint64_t of_newest)
{
    if (store->segments[i]->is_cut) {
        return UINT64_MAX;
    }
    if (i + 1 == store->segment_count) {
        return of_newest;
    }
    uint64_t next = log_segment_first_seq(store->segments[i + 1]);
    return next == 0 ? UINT64_MAX : next - 1;
}

/* Nothing behind the checkpoint's position has left: there, the segment behind a seal begins with
 * the number that follows, unless one between them is gone. */
static void look_for_gap(struct store *store, const struct segment_scan *before,
                         const struct log_segment *segment)
{
    uint32_t from = before->segment->seq;
    bool is_known = !before->is_sealed || !before->is_numbered || segment->seq == from + 1;
    for (size_t i = 0; i < store->damage_count; i++) {
        const struct log_damage *damage = &store->damage[i];
        is_known =
            is_known || (damage->is_lost && damage->seq > from && damage->seq < segment->seq);
    }
    if (!is_known && log_segment_first_seq(segment) > before->next_seq) {
        log_damage_add_lost(store, segment->seq - 1);
    }
}

/* Applies the log from a position on; `last` is left where the last segment's scan ended. */
static enum gfs_err replay(struct store *store, const struct checkpoint_position *from,
                           struct segment_scan *last)
{
    struct log_segment *newest = last->segment;
    for (size_t i = 0; i < store->segment_count; i++) {
        struct log_segment *segment = store->segments[i];
        if (segment->seq < from->seq) {
            continue;
        }
        struct segment_scan scan = {
            .segment = segment,
            .offset = SEGMENT_PAGE,
            .next_seq = store->batch_seq,
            .durable_seq = durable_seq_of(store, i, from->durable_seq),
        };
        if (from->seq != 0 && segment->seq > from->seq) {
            look_for_gap(store, last, segment);
        }
        segment->first_batch = store->batch_seq;
        enum gfs_err err = log_segment_scan(&scan, replay_batch, store);
        if (err != GFS_OK) {
            return err;
        }
        segment->end = scan.offset;
        segment->is_sealed = scan.is_sealed || segment != newest;
        store->batch_seq = GFS_MAX(store->batch_seq, scan.next_seq);
        *last = scan;
    }
    return GFS_OK;
}

static enum gfs_err prepare_spares(struct store *store)
{
    enum gfs_err err = GFS_OK;
    while (err == GFS_OK && store->spare_count == 0) {
        err = log_segment_prepare(store);
    }
    return err;
}

/* The segment to write to, and everything read so far on stable storage. */
static enum gfs_err choose_head(struct store *store, const struct segment_scan *last)
{
    enum gfs_err err = GFS_OK;
    if (last->segment != NULL) {
        err = last->segment->file->io->ops->flush(last->segment->file);
        if (err == GFS_OK && !last->is_sealed && !last->is_tail_damaged) {
            store->head = last->segment;
            return GFS_OK;
        }
        last->segment->is_sealed = true;
    }
    if (err == GFS_OK) {
        err = prepare_spares(store);
    }
    if (err != GFS_OK) {
        return err;
    }
    store->head = store->spares[0];
    store->spare_count--;
    memmove(&store->spares[0], &store->spares[1], store->spare_count * sizeof store->spares[0]);
    log_segment_append_locked(store, store->head);
    store->head->first_batch = store->batch_seq;
    return GFS_OK;
}

enum gfs_err store_recover(struct store *store, struct gfs_error *error)
{
    enum gfs_err err = log_segments_open(store, error);
    if (err != GFS_OK) {
        return err;
    }
    struct checkpoint_head head = {0};
    err = checkpoint_head(store, &head);
    if (err != GFS_OK && err != GFS_NOT_FOUND) {
        return gfs_fail(error, err, "index.ckpt: %s", gfs_err_text(err));
    }
    struct segment_scan last = {0};
    err = split_spares(store, &head, &last);
    if (err != GFS_OK) {
        return gfs_fail(error, err, "log: %s", gfs_err_text(err));
    }
    look_for_head(store, &head);
    struct checkpoint_position from = {.first_batch = 1};
    err = checkpoint_load(store, &from);
    if (err != GFS_OK && err != GFS_NOT_FOUND) {
        return gfs_fail(error, err, "index.ckpt: %s", gfs_err_text(err));
    }
    store->checkpoint_seq = from.seq;
    store->batch_seq = from.first_batch;
    err = replay(store, &from, &last);
    if (err == GFS_OK) {
        if (store->damage_count != 0) {
            store->lsn_floor = store->lsn_last + LSN_JUMP;
        }
        store->batch_seq = GFS_MAX(store->batch_seq, from.durable_seq + 1);
        store->batch_seq_durable = store->batch_seq - 1;
        err = choose_head(store, &last);
    }
    return err == GFS_OK ? GFS_OK : gfs_fail(error, err, "log: %s", gfs_err_text(err));
}
