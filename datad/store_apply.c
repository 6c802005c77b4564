/* What a durable batch changes in memory: the index and what each segment still holds of value.
 *
 * The same code runs when a batch becomes durable and when it is replayed, so a restart arrives at
 * the same state. Records are applied in log order:
 *  - DATA and PLACE set the id's place. When one was there, it is superseded: it was copied by
 *    compaction, or written anew by its owner. An older segment with such a record has_stale; the
 *    pages of a superseded bulk chunk go back, unless the new record names the same ones.
 *  - DELETE names for each id a segment, the one that held the id's record when the DELETE was
 *    written, or its own. It ends the id's record when that lies in no later segment than the named
 *    one, or in front of it in its own batch; else it has no effect: it is a copy made by
 *    compaction, and the id was added again behind the DELETE it was copied from. So an id that was
 *    deleted can come back, in whatever order its records are copied afterwards: store_compact.c.
 * A tombstone is live as long as the segment it names exists. */
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

uint32_t log_tombstone_keeper_locked(struct store *store, uint32_t seq,
                                     const struct log_segment *in)
{
    uint32_t in_seq = in == NULL ? 0 : in->seq;
    if (seq != in_seq && log_segment_find_locked(store, seq) != NULL) {
        return seq;
    }
    uint32_t keeper = 0;
    for (size_t i = 0; i < store->segment_count && store->segments[i]->seq < seq; i++) {
        const struct log_segment *segment = store->segments[i];
        if (segment->is_damaged && segment->seq != in_seq) {
            keeper = segment->seq;
        }
    }
    return keeper;
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
            uint32_t keeper = log_tombstone_keeper_locked(store, seq, segment);
            if (keeper != 0) {
                add_target_locked(segment, keeper, bytes);
            }
            break;
        }
    }
}

/* A batch being applied. */
struct apply {
    struct store *store;
    struct log_segment *segment;
    uint32_t offset;         /* of the batch in its segment */
    struct chunk_id *placed; /* ids of its PLACE records so far */
    size_t placed_count, placed_size;
};

/* The segment with the record behind an entry. */
static uint32_t record_seq(const struct chunk_entry *entry)
{
    return (entry->file & CHUNK_INDEX_BULK) != 0 ? entry->extra : entry->file;
}

/* Answers whether the entry's bytes lie elsewhere than those of the one before. */
static bool set_place_locked(struct store *store, const struct chunk_entry *entry)
{
    struct chunk_entry *old = chunk_index_find(store->index, entry->hi, entry->lo);
    if (old == NULL) {
        chunk_index_put(store->index, entry);
        return true;
    }
    struct chunk_entry superseded = *old;
    uint32_t seq = forget_record_locked(store, old);
    struct log_segment *segment = log_segment_find_locked(store, seq);
    if (segment != NULL && seq != record_seq(entry)) {
        segment->has_stale = true;
        store_wake_background_locked(store);
    }
    *old = *entry;
    bool is_moved = superseded.file != entry->file || superseded.where != entry->where;
    if (is_moved) {
        bulk_extent_release_locked(store, &superseded);
    }
    return is_moved;
}

static void apply_data_locked(struct apply *apply, const struct segment_record *record)
{
    struct chunk_entry entry = {
        .hi = record->head.id_hi,
        .lo = record->head.id_lo,
        .file = apply->segment->seq,
        .where = apply->offset + (uint32_t)record->offset,
        .len = record->head.payload_len,
        .extra = (uint32_t)segment_head_len(record->head.payload_len, record->head.owner_len),
    };
    (void)set_place_locked(apply->store, &entry);
    apply->segment->live += record->size;
}

static void note_placed(struct apply *apply, const struct chunk_entry *entry)
{
    if (apply->placed_count == apply->placed_size) {
        apply->placed_size = apply->placed_size == 0 ? 16 : apply->placed_size * 2;
        apply->placed = gfs_realloc(apply->placed, apply->placed_size * sizeof *apply->placed);
    }
    apply->placed[apply->placed_count++] = (struct chunk_id){.hi = entry->hi, .lo = entry->lo};
}

static void apply_place_locked(struct apply *apply, const struct segment_record *record)
{
    struct store *store = apply->store;
    struct place_entry place;
    memcpy(&place, record->payload.ptr, sizeof place);
    struct chunk_entry entry = {
        .hi = record->head.id_hi,
        .lo = record->head.id_lo,
        .file = CHUNK_INDEX_BULK | place.file,
        .where = place.page,
        .len = place.len,
        .extra = apply->segment->seq,
    };
    bool is_new = set_place_locked(store, &entry);
    note_placed(apply, &entry);
    apply->segment->live += record->size;
    struct bulk_file *file = is_new ? bulk_file_find_locked(store, place.file) : NULL;
    if (file != NULL) { /* not while replaying: files are opened after it */
        file->live_bytes += (uint64_t)bulk_page_count(&entry) * SEGMENT_PAGE;
    }
}

/* Whether the record behind an entry, one of the batch's segment, is in the batch itself. */
static bool is_in_batch(const struct apply *apply, const struct chunk_entry *entry)
{
    if ((entry->file & CHUNK_INDEX_BULK) == 0) {
        return entry->where >= apply->offset;
    }
    size_t i = 0;
    while (i < apply->placed_count &&
           (apply->placed[i].lo != entry->lo || apply->placed[i].hi != entry->hi)) {
        i++;
    }
    return i < apply->placed_count;
}

static bool is_ended(const struct apply *apply, const struct tombstone *tombstone,
                     const struct chunk_entry *entry)
{
    uint32_t seq = record_seq(entry);
    if (seq <= tombstone->segment_seq) {
        return true;
    }
    return seq == apply->segment->seq && is_in_batch(apply, entry);
}

static void apply_delete_locked(struct apply *apply, const struct segment_record *record)
{
    struct store *store = apply->store;
    for (size_t offset = 0; offset < record->payload.len; offset += sizeof(struct tombstone)) {
        struct tombstone tombstone;
        memcpy(&tombstone, record->payload.ptr + offset, sizeof tombstone);
        struct chunk_entry *entry =
            chunk_index_find(store->index, tombstone.id_hi, tombstone.id_lo);
        if (entry != NULL && is_ended(apply, &tombstone, entry)) {
            struct chunk_entry dead = *entry;
            (void)forget_record_locked(store, &dead);
            chunk_index_erase(store->index, entry);
            bulk_extent_release_locked(store, &dead);
        }
        uint32_t keeper =
            log_tombstone_keeper_locked(store, (uint32_t)tombstone.segment_seq, apply->segment);
        if (keeper != 0) {
            add_target_locked(apply->segment, keeper, sizeof tombstone);
        }
    }
    store_wake_background_locked(store);
}

static void apply_edit_locked(struct apply *apply, uint64_t lsn)
{
    struct log_segment *segment = apply->segment;
    segment->lsn_min = segment->lsn_min == 0 ? lsn : segment->lsn_min;
    segment->lsn_max = GFS_MAX(segment->lsn_max, lsn);
    apply->store->lsn_last = GFS_MAX(apply->store->lsn_last, lsn);
}

/* Answers false when what the record says cannot be trusted: the batch it is in is damaged. */
static bool apply_record_locked(struct apply *apply, const struct segment_record *record)
{
    switch (record->head.kind) {
    case CHUNK_RECORD_DATA: /* the bytes are verified by whoever reads them */
        apply_data_locked(apply, record);
        return true;
    case CHUNK_RECORD_PLACE:
        if (segment_payload_verify(record) != GFS_OK) {
            return false;
        }
        apply_place_locked(apply, record);
        return true;
    case CHUNK_RECORD_DELETE:
        if (segment_payload_verify(record) != GFS_OK) {
            return false;
        }
        apply_delete_locked(apply, record);
        return true;
    default:
        apply_edit_locked(apply, record->head.lsn);
        return true;
    }
}

void apply_batch_locked(struct store *store, struct log_segment *segment, uint32_t offset,
                        const char *bytes, const struct batch_header *header, bool *ret_is_damaged)
{
    struct apply apply = {.store = store, .segment = segment, .offset = offset};
    size_t at = sizeof *header;
    struct segment_record record;
    bool is_whole = true;
    enum gfs_err err;
    while ((err = segment_record_next(bytes, header->used, &at, &record)) == GFS_OK) {
        is_whole = apply_record_locked(&apply, &record) && is_whole;
    }
    free(apply.placed);
    store->lsn_gone = GFS_MAX(store->lsn_gone, header->lsn_gone);
    *ret_is_damaged = err != GFS_END || !is_whole;
}
