/* Walking a segment's batches, and telling a torn tail from damage.
 *
 * One batch is in flight at a time, so a batch that is followed by another one of the same use of
 * the segment was durable once: if it does not verify it is damaged. So is a hole at or below the
 * highest batch known to have been durable, by the checkpoint or by the log going on in a later
 * segment. Only what is left, an invalid suffix above all that, is a torn tail:
 * a batch that was never acknowledged. (A segment has no seal when an earlier start found damage at
 * its end; the first number of the next segment says what has to be there.) Headers carry the
 * segment's salt, so nothing that a client stored can pose as one, and batches are numbered without
 * gaps, so none can stand in another's place.
 *
 * What does not verify is read once more, and what the disk refuses to read is never a torn tail:
 * the scan fails, and the next one may see it. */
#include <stdlib.h>

#include "datad/store_state.h"

enum { WINDOW_LEN = 1 << 20 };

struct window {
    struct gfs_file *file;
    unsigned flags;   /* of reads */
    size_t file_size; /* bytes of the segment that can hold batches */
    char *bytes;
    bool *is_unreadable; /* a page each */
    size_t size;         /* of storage */
    size_t offset, len;
};

static enum gfs_err read_at(const struct window *window, void *to, size_t len, uint64_t offset)
{
    struct iovec iov = {.iov_base = to, .iov_len = len};
    size_t got = 0;
    enum gfs_err err =
        window->file->io->ops->read(window->file, &iov, 1, offset, window->flags, &got);
    return err == GFS_OK && got != len ? GFS_CORRUPT : err;
}

/* What cannot be read is taken for zeros: it will not verify. So is what is behind the end of a
 * file that was cut, but no later read will find it. */
static void read_pages(struct window *window)
{
    for (size_t at = 0; at < window->len; at += SEGMENT_PAGE) {
        enum gfs_err err = read_at(window, window->bytes + at, SEGMENT_PAGE, window->offset + at);
        if (err != GFS_OK) {
            memset(window->bytes + at, 0, SEGMENT_PAGE);
            window->is_unreadable[at / SEGMENT_PAGE] = err != GFS_CORRUPT;
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
            free(window->is_unreadable);
            window->bytes = gfs_alloc_aligned(SEGMENT_PAGE, want);
            window->is_unreadable = gfs_alloc(want / SEGMENT_PAGE);
            window->size = want;
        }
        window->offset = offset;
        window->len = want;
        memset(window->is_unreadable, 0, want / SEGMENT_PAGE);
        if (read_at(window, window->bytes, want, offset) != GFS_OK) {
            read_pages(window);
        }
    }
    return window->bytes + (offset - window->offset);
}

/* Whether the disk gave all of a range; it is read when it is not in the window. */
static bool window_has(struct window *window, size_t offset, size_t len)
{
    (void)window_at(window, offset, len);
    size_t first = (offset - window->offset) / SEGMENT_PAGE;
    for (size_t i = first; i < first + len / SEGMENT_PAGE; i++) {
        if (window->is_unreadable[i]) {
            return false;
        }
    }
    return true;
}

/* The next question goes to the disk again. */
static void window_forget(struct window *window)
{
    window->len = 0;
}

static void window_free(struct window *window)
{
    free(window->bytes);
    free(window->is_unreadable);
}

static struct window window_of(const struct log_segment *segment)
{
    return (struct window){.file = segment->file,
                           .file_size = (size_t)segment->header.size - SEGMENT_PAGE};
}

/* The next batch header at or behind offset and before limit. */
static bool find_header(struct window *window, const struct segment_header *segment, size_t offset,
                        size_t limit, size_t *ret_offset)
{
    limit = GFS_MIN(window->file_size, limit);
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

enum gfs_err log_segment_is_used(struct log_segment *segment, bool *ret)
{
    struct window window = window_of(segment);
    size_t limit = STORE_BATCH_LEN_MAX + 2 * SEGMENT_PAGE; /* what the first one can cover */
    size_t offset;
    *ret = find_header(&window, &segment->header, SEGMENT_PAGE, limit, &offset);
    if (!*ret) {
        window_forget(&window);
        *ret = find_header(&window, &segment->header, SEGMENT_PAGE, limit, &offset);
    }
    enum gfs_err err = GFS_OK;
    if (!*ret && !window_has(&window, SEGMENT_PAGE, SEGMENT_PAGE)) {
        err = GFS_IO; /* its first batch may be there */
    }
    window_free(&window);
    return err;
}

uint64_t log_segment_first_seq(const struct log_segment *segment)
{
    char page[sizeof(struct batch_header)];
    struct batch_header header;
    size_t room = (size_t)segment->header.size - 2 * SEGMENT_PAGE;
    if (gfs_io_read_exact(segment->file, page, sizeof page, SEGMENT_PAGE) != GFS_OK ||
        segment_batch_parse(page, room, &segment->header, &header) != GFS_OK) {
        return 0;
    }
    return header.batch_seq;
}

/* What is at scan->offset. Plain data. */
struct found {
    struct batch_header header;
    const char *bytes; /* of the batch, NULL = not even a header */
    bool is_whole;
    bool is_unreadable;
};

/* A number that does not follow is none of a batch that belongs here; behind damage any higher one
 * does, and the first of a segment only has to be the segment's. */
static bool is_next(const struct segment_scan *scan, uint64_t seq)
{
    return scan->is_numbered ? seq == scan->next_seq : seq >= scan->seq_min;
}

static struct found look(const struct segment_scan *scan, struct window *window)
{
    struct found found = {.is_unreadable = !window_has(window, scan->offset, SEGMENT_PAGE)};
    size_t room = window->file_size - scan->offset;
    const char *bytes = window_at(window, scan->offset, SEGMENT_PAGE);
    if (segment_batch_parse(bytes, room, &scan->segment->header, &found.header) == GFS_OK &&
        is_next(scan, found.header.batch_seq)) {
        found.is_unreadable = !window_has(window, scan->offset, found.header.len);
        found.bytes = window_at(window, scan->offset, found.header.len);
        found.is_whole = segment_batch_verify(found.bytes, &found.header) == GFS_OK;
    }
    return found;
}

/* A batch that does not verify at scan->offset. Answers GFS_END when it ends the segment. */
static enum gfs_err step_over_damage(struct segment_scan *scan, struct window *window,
                                     const struct found *found, batch_visit_fn visit, void *arg)
{
    size_t next = 0;
    const struct batch_header *header = found->bytes == NULL ? NULL : &found->header;
    size_t from = scan->offset + (header != NULL ? header->len : (size_t)SEGMENT_PAGE);
    bool has_next = find_header(window, &scan->segment->header, from, window->file_size, &next);
    if (!has_next && scan->next_seq > scan->durable_seq) {
        return found->is_unreadable ? GFS_IO : GFS_END; /* torn */
    }
    scan->has_unreadable = scan->has_unreadable || found->is_unreadable;
    const char *bytes = header == NULL ? NULL : window_at(window, scan->offset, header->len);
    enum gfs_err err = visit(arg, scan->segment, scan->offset, bytes, header, true);
    if (err != GFS_OK) {
        return err;
    }
    scan->is_numbered = false;
    if (!has_next) {
        scan->is_tail_damaged = true;
        return GFS_END;
    }
    if (header != NULL && next > from) { /* batches behind it are gone with their headers */
        err = visit(arg, scan->segment, (uint32_t)from, NULL, NULL, true);
    }
    scan->offset = (uint32_t)next;
    return err;
}

static enum gfs_err scan_one(struct segment_scan *scan, struct window *window, batch_visit_fn visit,
                             void *arg)
{
    if (scan->offset + SEGMENT_PAGE > window->file_size ||
        (scan->limit != 0 && scan->offset >= scan->limit)) {
        return GFS_END;
    }
    struct found found = look(scan, window);
    if (!found.is_whole) {
        window_forget(window);
        found = look(scan, window);
    }
    if (!found.is_whole) {
        return step_over_damage(scan, window, &found, visit, arg);
    }
    const struct batch_header *header = &found.header;
    enum gfs_err err = visit(arg, scan->segment, scan->offset, found.bytes, header, false);
    if (err != GFS_OK) {
        return err;
    }
    scan->offset += header->len;
    scan->next_seq = scan->seq_min = header->batch_seq + 1;
    scan->is_numbered = true;
    scan->is_sealed = (header->flags & SEGMENT_BATCH_SEAL) != 0;
    return scan->is_sealed ? GFS_END : GFS_OK;
}

enum gfs_err log_segment_scan(struct segment_scan *scan, batch_visit_fn visit, void *arg)
{
    GFS_ASSERT(scan->offset >= SEGMENT_PAGE);
    struct window window = window_of(scan->segment);
    window.flags = scan->is_medium ? (unsigned)GFS_IO_MEDIUM : 0U;
    scan->seq_min = 0;
    scan->has_unreadable = false;
    scan->is_numbered = false;
    scan->is_sealed = false;
    scan->is_tail_damaged = false;
    enum gfs_err err = GFS_OK;
    while (err == GFS_OK) {
        err = scan_one(scan, &window, visit, arg);
    }
    window_free(&window);
    return err == GFS_END ? GFS_OK : err;
}
