/* What a durable batch changes in memory: the index and what each segment still holds of value.
 *
 * The same code runs when a batch becomes durable and when it is replayed, so a restart arrives at
 * the same state. Records are applied in log order and the last one about an id wins:
 *  - DATA and PLACE set the id's place. When one was there, it is a copy made by compaction: the
 *    older segment then holds a stale record (has_stale).
 *  - DELETE removes it. Its tombstone is live as long as the segment with the dead record exists.
 */
#include <stdlib.h>

#include "datad/store_state.h"

uint32_t bulk_page_count(const struct chunk_entry *entry)
{
    /* The owner's length is not in the index: extents have room for the longest. */
    size_t trailer = segment_trailer_size(entry->len, CHUNK_OWNER_LEN_MAX);
    return (uint32_t)((segment_align_page(entry->len) + trailer) / SEGMENT_PAGE);
}

static void sub_live_locked(struct store *store, uint32_t seq, uint64_t bytes)
{
    struct log_segment *segment = log_segment_find_locked(store, seq);
    if (segment != NULL) {
        segment->live -= GFS_MIN(bytes, segment->live);
    }
}

/* The record behind an entry is no longer the live one. Answers its segment. */
static uint32_t forget_record_locked(struct store *store, const struct chunk_entry *entry)
{
    if ((entry->file & CHUNK_INDEX_BULK) != 0) {
        sub_live_locked(store, entry->extra, SEGMENT_PLACE_SIZE);
        return entry->extra;
    }
    sub_live_locked(store, entry->file, segment_align8(entry->extra + entry->len));
    return entry->file;
}

/* The segment that keeps a tombstone needed, 0 = none: the one with the dead record, or, when that
 * is gone, an older damaged one that may hold a copy and is never recycled. */
static uint32_t tombstone_keeper_locked(struct store *store, uint32_t seq)
{
    if (log_segment_find_locked(store, seq) != NULL) {
        return seq;
    }
    for (size_t i = 0; i < store->segment_count && store->segments[i]->seq < seq; i++) {
        if (store->segments[i]->is_damaged) {
            return store->segments[i]->seq;
        }
    }
    return 0;
}

bool log_tombstone_is_needed_locked(struct store *store, uint32_t seq, const struct log_segment *in)
{
    uint32_t keeper = tombstone_keeper_locked(store, seq);
    return keeper != 0 && keeper != in->seq;
}

static void add_target_locked(struct log_segment *segment, uint32_t seq, uint32_t bytes)
{
    segment->live += bytes;
    for (size_t i = segment->target_count; i-- > 0;) {
        if (segment->targets[i].seq == seq) {
            segment->targets[i].bytes += bytes;
            return;
        }
    }
    if (segment->target_count == segment->target_size) {
        segment->target_size = segment->target_size == 0 ? 8 : segment->target_size * 2;
        segment->targets =
            gfs_realloc(segment->targets, segment->target_size * sizeof *segment->targets);
    }
    segment->targets[segment->target_count++] =
        (struct tombstone_target){.seq = seq, .bytes = bytes};
}

void log_segment_forget_locked(struct store *store, uint32_t seq)
{
    for (size_t i = 0; i < store->segment_count; i++) {
        struct log_segment *segment = store->segments[i];
        for (size_t k = 0; k < segment->target_count; k++) {
            if (segment->targets[k].seq != seq) {
                continue;
            }
            uint32_t bytes = segment->targets[k].bytes;
            segment->live -= GFS_MIN((uint64_t)bytes, segment->live);
            segment->targets[k] = segment->targets[--segment->target_count];
            uint32_t keeper = tombstone_keeper_locked(store, seq);
            if (keeper != 0) {
                add_target_locked(segment, keeper, bytes);
            }
            break;
        }
    }
}

static void set_place_locked(struct store *store, const struct chunk_entry *entry)
{
    struct chunk_entry *old = chunk_index_find(store->index, entry->hi, entry->lo);
    if (old == NULL) {
        chunk_index_put(store->index, entry);
        return;
    }
    uint32_t seq = forget_record_locked(store, old);
    uint32_t now = (entry->file & CHUNK_INDEX_BULK) != 0 ? entry->extra : entry->file;
    struct log_segment *segment = log_segment_find_locked(store, seq);
    if (segment != NULL && seq != now) {
        segment->has_stale = true;
    }
    *old = *entry;
}

static void apply_data_locked(struct store *store, struct log_segment *segment, uint32_t offset,
                              const struct segment_record *record)
{
    struct chunk_entry entry = {
        .hi = record->head.id_hi,
        .lo = record->head.id_lo,
        .file = segment->seq,
        .where = offset,
        .len = record->head.payload_len,
        .extra = (uint32_t)segment_head_len(record->head.payload_len, record->head.owner_len),
    };
    set_place_locked(store, &entry);
    segment->live += record->size;
}

static void apply_place_locked(struct store *store, struct log_segment *segment,
                               const struct segment_record *record)
{
    struct place_entry place;
    memcpy(&place, record->payload.ptr, sizeof place);
    struct chunk_entry entry = {
        .hi = record->head.id_hi,
        .lo = record->head.id_lo,
        .file = CHUNK_INDEX_BULK | place.file,
        .where = place.page,
        .len = place.len,
        .extra = segment->seq,
    };
    bool is_new = chunk_index_find(store->index, entry.hi, entry.lo) == NULL;
    set_place_locked(store, &entry);
    segment->live += record->size;
    struct bulk_file *file = is_new ? bulk_file_find_locked(store, place.file) : NULL;
    if (file != NULL) { /* not while replaying: files are opened after it */
        file->live_bytes += (uint64_t)bulk_page_count(&entry) * SEGMENT_PAGE;
    }
}

static void apply_delete_locked(struct store *store, struct log_segment *segment,
                                const struct segment_record *record)
{
    for (size_t offset = 0; offset < record->payload.len; offset += sizeof(struct tombstone)) {
        struct tombstone tombstone;
        memcpy(&tombstone, record->payload.ptr + offset, sizeof tombstone);
        struct chunk_entry *entry =
            chunk_index_find(store->index, tombstone.id_hi, tombstone.id_lo);
        if (entry != NULL) {
            struct chunk_entry dead = *entry;
            (void)forget_record_locked(store, &dead);
            chunk_index_erase(store->index, entry);
            bulk_extent_release_locked(store, &dead);
        }
        uint32_t keeper = tombstone_keeper_locked(store, (uint32_t)tombstone.segment_seq);
        if (keeper != 0 && keeper != segment->seq) {
            add_target_locked(segment, keeper, sizeof tombstone);
        }
    }
    store_wake_background_locked(store);
}

static void apply_edit_locked(struct store *store, struct log_segment *segment, uint64_t lsn)
{
    segment->lsn_min = segment->lsn_min == 0 ? lsn : segment->lsn_min;
    segment->lsn_max = GFS_MAX(segment->lsn_max, lsn);
    store->lsn_last = GFS_MAX(store->lsn_last, lsn);
}

void apply_batch_locked(struct store *store, struct log_segment *segment, uint32_t offset,
                        const char *bytes, const struct batch_header *header, bool *ret_is_damaged)
{
    size_t at = sizeof *header;
    struct segment_record record;
    enum gfs_err err;
    while ((err = segment_record_next(bytes, header->used, &at, &record)) == GFS_OK) {
        switch (record.head.kind) {
        case CHUNK_RECORD_DATA:
            apply_data_locked(store, segment, offset + (uint32_t)record.offset, &record);
            break;
        case CHUNK_RECORD_PLACE:
            apply_place_locked(store, segment, &record);
            break;
        case CHUNK_RECORD_DELETE:
            apply_delete_locked(store, segment, &record);
            break;
        default:
            apply_edit_locked(store, segment, record.head.lsn);
            break;
        }
    }
    *ret_is_damaged = err != GFS_END;
}
