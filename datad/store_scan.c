/* Walking a segment's batches, and telling a torn tail from damage.
 *
 * One batch is in flight at a time, so a batch that is followed by another one of the same use of
 * the segment was durable once: if it does not verify it is damaged. So is a hole at or below the
 * highest batch known to have been durable, and the end of a segment that has no seal although the
 * log went on in a later one. Only what is left, an invalid suffix above all that, is a torn tail:
 * a batch that was never acknowledged. Headers carry the segment's salt, so nothing that a client
 * stored can pose as one. */
#include <stdlib.h>

#include "datad/store_state.h"

enum { WINDOW_LEN = 1 << 20 };

struct window {
    struct gfs_file *file;
    size_t file_size; /* bytes of the segment that can hold batches */
    char *bytes;
    size_t size; /* of storage */
    size_t offset, len;
};

/* What cannot be read is taken for zeros: it will not verify. */
static void read_pages(struct window *window)
{
    for (size_t at = 0; at < window->len; at += SEGMENT_PAGE) {
        if (gfs_io_read_exact(window->file, window->bytes + at, SEGMENT_PAGE,
                              window->offset + at) != GFS_OK) {
            memset(window->bytes + at, 0, SEGMENT_PAGE);
        }
    }
}

/* len bytes at offset, both whole pages and inside the segment. */
static const char *window_at(struct window *window, size_t offset, size_t len)
{
    GFS_ASSERT(offset + len <= window->file_size);
    if (offset < window->offset || offset + len > window->offset + window->len) {
        size_t want = GFS_MIN(GFS_MAX(len, (size_t)WINDOW_LEN), window->file_size - offset);
        if (want > window->size) {
            free(window->bytes);
            window->bytes = gfs_alloc_aligned(SEGMENT_PAGE, want);
            window->size = want;
        }
        window->offset = offset;
        window->len = want;
        if (gfs_io_read_exact(window->file, window->bytes, want, offset) != GFS_OK) {
            read_pages(window);
        }
    }
    return window->bytes + (offset - window->offset);
}

static struct window window_of(const struct log_segment *segment)
{
    return (struct window){.file = segment->file,
                           .file_size = (size_t)segment->header.size - SEGMENT_PAGE};
}

/* The next batch header at or behind offset, within what one batch can cover. */
static bool find_header(struct window *window, const struct segment_header *segment, size_t offset,
                        size_t *ret_offset)
{
    size_t limit = GFS_MIN(window->file_size, offset + STORE_BATCH_LEN_MAX + SEGMENT_PAGE);
    for (size_t at = offset; at + SEGMENT_PAGE <= limit; at += SEGMENT_PAGE) {
        struct batch_header header;
        if (segment_batch_parse(window_at(window, at, SEGMENT_PAGE), window->file_size - at,
                                segment, &header) == GFS_OK) {
            *ret_offset = at;
            return true;
        }
    }
    return false;
}

enum gfs_err log_segment_is_used(struct store *store, struct log_segment *segment, bool *ret)
{
    (void)store;
    struct window window = window_of(segment);
    size_t offset;
    *ret = find_header(&window, &segment->header, SEGMENT_PAGE, &offset);
    free(window.bytes);
    return GFS_OK;
}

/* A batch that does not verify at scan->offset. Answers GFS_END when it ends the segment. */
static enum gfs_err step_over_damage(struct segment_scan *scan, struct window *window,
                                     const struct batch_header *header, batch_visit_fn visit,
                                     void *arg)
{
    size_t next = 0;
    size_t from = scan->offset + (header != NULL ? header->len : (size_t)SEGMENT_PAGE);
    bool has_next = find_header(window, &scan->segment->header, from, &next);
    if (!has_next && scan->next_seq > scan->durable_seq) {
        return GFS_END; /* torn */
    }
    const char *bytes = header == NULL ? NULL : window_at(window, scan->offset, header->len);
    enum gfs_err err = visit(arg, scan->segment, scan->offset, bytes, header, true);
    if (err != GFS_OK) {
        return err;
    }
    if (!has_next) {
        scan->is_tail_damaged = true;
        return GFS_END;
    }
    scan->offset = (uint32_t)next;
    return GFS_OK;
}

static enum gfs_err scan_one(struct segment_scan *scan, struct window *window, batch_visit_fn visit,
                             void *arg)
{
    if (scan->offset + SEGMENT_PAGE > window->file_size) {
        return GFS_END;
    }
    struct batch_header header;
    size_t room = window->file_size - scan->offset;
    const char *bytes = window_at(window, scan->offset, SEGMENT_PAGE);
    if (segment_batch_parse(bytes, room, &scan->segment->header, &header) != GFS_OK) {
        return step_over_damage(scan, window, NULL, visit, arg);
    }
    bytes = window_at(window, scan->offset, header.len);
    if (segment_batch_verify(bytes, &header) != GFS_OK) {
        return step_over_damage(scan, window, &header, visit, arg);
    }
    enum gfs_err err = visit(arg, scan->segment, scan->offset, bytes, &header, false);
    if (err != GFS_OK) {
        return err;
    }
    scan->offset += header.len;
    scan->next_seq = header.batch_seq + 1;
    scan->is_sealed = (header.flags & SEGMENT_BATCH_SEAL) != 0;
    return scan->is_sealed ? GFS_END : GFS_OK;
}

enum gfs_err log_segment_scan(struct store *store, struct segment_scan *scan, batch_visit_fn visit,
                              void *arg)
{
    (void)store;
    GFS_ASSERT(scan->offset >= SEGMENT_PAGE);
    struct window window = window_of(scan->segment);
    scan->is_sealed = false;
    scan->is_tail_damaged = false;
    enum gfs_err err = GFS_OK;
    while (err == GFS_OK) {
        err = scan_one(scan, &window, visit, arg);
    }
    free(window.bytes);
    return err == GFS_END ? GFS_OK : err;
}
