/* The log read again where it lies, and the end of damage.
 *
 * Verifying goes batch by batch below the durable end, from the medium. Damage is whatever would
 * cost a record at the next start: a header of the segment or of a batch, a record's head, the
 * payload of PLACE, DELETE and EDIT. The bytes of a small chunk cost nothing but the chunk and are
 * verified by reading it. A segment with damage is counted once and left alone until it is said to
 * be repaired; then compaction saves what can be read and gives up the rest (store_compact.c). */
#include "datad/store_state.h"

/* A cursor is a segment's number and a page in it: 48 bits, until a disk has used 2^29 segments. */
enum { CURSOR_PAGE_BITS = 19, CURSOR_PAGE_MASK = (1 << CURSOR_PAGE_BITS) - 1 };
_Static_assert(INT32_MAX / SEGMENT_PAGE <= CURSOR_PAGE_MASK, "a page of the largest segment");

struct verifier {
    uint64_t left; /* bytes to look at */
    bool is_damaged;
};

/* Whether anything but the bytes of small chunks is wrong. bytes: as of batch_visit_fn. */
static bool has_lost_records(const char *bytes, const struct batch_header *header)
{
    if (header == NULL) {
        return true;
    }
    size_t at = sizeof *header;
    struct segment_record record;
    enum gfs_err err;
    while ((err = segment_record_next(bytes, header->used, &at, &record)) == GFS_OK) {
        if (record.head.kind != CHUNK_RECORD_DATA && segment_payload_verify(&record) != GFS_OK) {
            return true;
        }
    }
    return err != GFS_END;
}

static enum gfs_err verify_batch(void *arg, struct log_segment *segment, uint32_t offset,
                                 const char *bytes, const struct batch_header *header,
                                 bool is_damaged)
{
    (void)segment;
    (void)offset;
    (void)is_damaged;
    struct verifier *verifier = arg;
    if (verifier->left == 0) {
        return GFS_CANCELLED; /* enough for now: the next call begins here */
    }
    verifier->is_damaged = verifier->is_damaged || has_lost_records(bytes, header);
    uint64_t len = header == NULL ? SEGMENT_PAGE : header->len;
    verifier->left -= GFS_MIN(verifier->left, len);
    return GFS_OK;
}

static enum gfs_err read_medium(struct gfs_file *file, void *to, size_t len, uint64_t offset)
{
    struct iovec iov = {.iov_base = to, .iov_len = len};
    size_t got = 0;
    enum gfs_err err = file->io->ops->read(file, &iov, 1, offset, GFS_IO_MEDIUM, &got);
    return err == GFS_OK && got != len ? GFS_CORRUPT : err;
}

/* Both copies of a segment's header. */
static enum gfs_err verify_headers(const struct log_segment *segment)
{
    const uint64_t offsets[] = {0, segment->header.size - SEGMENT_PAGE};
    for (size_t i = 0; i < GFS_COUNT(offsets); i++) {
        struct segment_header header;
        char page[sizeof header];
        enum gfs_err err = read_medium(segment->file, page, sizeof page, offsets[i]);
        if (err == GFS_OK) {
            err = segment_header_parse(page, &header);
        }
        if (err == GFS_OK && memcmp(&header, &segment->header, sizeof header) != 0) {
            err = GFS_CORRUPT;
        }
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

/* One held segment from *offset on, which is left behind what was verified, 0 = its end. */
static enum gfs_err verify_segment(struct store *store, struct log_segment *segment,
                                   uint32_t *offset, struct verifier *verifier)
{
    (void)pthread_mutex_lock(&store->lock);
    bool is_known = segment->is_damaged || segment->is_given_up;
    struct segment_scan scan = {
        .segment = segment,
        .offset = GFS_MAX(*offset, (uint32_t)SEGMENT_PAGE),
        .next_seq = 1,
        .durable_seq = UINT64_MAX,
        .limit = segment->end,
        .is_medium = true,
    };
    (void)pthread_mutex_unlock(&store->lock);
    uint32_t from = *offset;
    *offset = 0;
    if (is_known) {
        return GFS_OK;
    }
    enum gfs_err err = from == 0 ? verify_headers(segment) : GFS_OK;
    bool is_damaged = err != GFS_OK;
    bool has_unreadable = err == GFS_IO;
    if (scan.offset < scan.limit) {
        verifier->is_damaged = false;
        err = log_segment_scan(&scan, verify_batch, verifier);
        is_damaged = is_damaged || verifier->is_damaged || scan.has_unreadable ||
                     (err != GFS_OK && err != GFS_CANCELLED);
        has_unreadable = has_unreadable || scan.has_unreadable || err == GFS_IO;
    }
    if (is_damaged) { /* the rest of it is looked at when it is saved */
        (void)pthread_mutex_lock(&store->lock);
        log_segment_damaged_locked(store, segment);
        (void)pthread_mutex_unlock(&store->lock);
    } else if (err == GFS_CANCELLED) {
        *offset = scan.offset;
    }
    return has_unreadable ? GFS_IO : GFS_OK;
}

enum gfs_err store_verify_log(struct chunk_store *chunks, uint64_t *cursor, uint64_t bytes)
{
    struct store *store = GFS_CONTAINER_OF(chunks, struct store, base);
    struct verifier verifier = {.left = bytes};
    uint32_t seq = (uint32_t)(*cursor >> CURSOR_PAGE_BITS);
    uint32_t offset = (uint32_t)(*cursor & CURSOR_PAGE_MASK) * SEGMENT_PAGE;
    while (verifier.left != 0) {
        struct log_segment *segment = log_segment_hold(store, GFS_MAX(seq, 1U));
        if (segment == NULL) {
            *cursor = 0;
            return GFS_OK;
        }
        offset = segment->seq == seq ? offset : 0;
        seq = segment->seq;
        enum gfs_err err = verify_segment(store, segment, &offset, &verifier);
        log_segment_release(store, segment);
        verifier.left -= GFS_MIN(verifier.left, (uint64_t)SEGMENT_PAGE); /* for its headers */
        seq += offset == 0;
        *cursor = (uint64_t)seq << CURSOR_PAGE_BITS | offset / SEGMENT_PAGE;
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

/* Damaged segments go before newer ones, like those with superseded records, and as these only when
 * every edit that they may have held is known to be durable elsewhere. */
void store_repaired(struct chunk_store *chunks)
{
    struct store *store = GFS_CONTAINER_OF(chunks, struct store, base);
    (void)pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->segment_count; i++) {
        struct log_segment *segment = store->segments[i];
        if (segment->is_damaged) {
            segment->is_damaged = false;
            segment->is_given_up = true;
            segment->has_stale = true;
            segment->lsn_hold = store->lsn_last;
        }
    }
    for (size_t i = 0; i < store->damage_count; i++) {
        struct log_damage *damage = &store->damage[i];
        if (!damage->is_given_up) {
            damage->is_given_up = true;
            damage->lsn_hold = store->lsn_last;
        }
    }
    store->stats.damaged_places = 0;
    store_wake_background_locked(store);
    (void)pthread_mutex_unlock(&store->lock);
}
