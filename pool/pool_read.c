/* The chunk_store's reading side: ranges of chunks as cells of their rows. */
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"
#include "pool/pool_cells.h"

enum { BATCH_SIZE = 4 * 1024 * 1024 }; /* bytes of a range that are under way at once */

static struct pool_pin *pin_of(const struct chunk_pin *pin)
{
    GFS_ASSERT(pin->state != NULL);
    return pin->state;
}

enum gfs_err pool_pin(struct chunk_store *chunks, struct chunk_id id, struct chunk_pin *ret)
{
    struct pool *pool = GFS_CONTAINER_OF(chunks, struct pool, base);
    struct pool_view *view = pool_view_get(pool);
    struct pool_pin_options options = {.id = id, .avoid_disk = POOL_NO_DISK};
    struct pool_pin *pin = NULL;
    enum gfs_err err = pool_pin_new(pool, view, &options, &pin);
    pool_view_put(view);
    if (err == GFS_OK) {
        *ret = (struct chunk_pin){.id = id, .len = pin->k * pin->fragment_len, .state = pin};
        pin->is_given = true;
        pool_pin_exit(pin);
    }
    return err;
}

void pool_unpin(struct chunk_store *chunks, struct chunk_pin *pin)
{
    (void)chunks;
    pool_pin_unref(pin_of(pin));
    *pin = (struct chunk_pin){0};
}

/* ---- ranges ---- */

/* A part of a range, whole rows of it at the most POOL_CELLS_ROWS_MAX. */
struct range {
    struct pool_pin *pin;
    uint32_t begin, end; /* in the chunk */
    uint8_t *bytes;      /* where `begin` goes */
    uint32_t first_row;
};

/* Any part is the chunk. Not so with k = 1 alone: of one data cell parity is no copy. */
static bool has_copies(const struct pool_pin *pin)
{
    return pin->profile.kind == POOL_REPLICA;
}

/* Where a cell begins in the chunk. */
static uint32_t cell_begin(const struct range *range, uint32_t row, unsigned slot)
{
    uint32_t number = range->first_row + row;
    unsigned column = has_copies(range->pin) ? 0 : slot;
    return number * range->pin->k * POOL_CELL + column * pool_cells_len(range->pin, number);
}

static uint8_t *place(void *arg, uint32_t row, unsigned slot)
{
    const struct range *range = arg;
    uint32_t begin = cell_begin(range, row, slot);
    uint32_t end = begin + pool_cells_len(range->pin, range->first_row + row);
    bool is_whole = begin >= range->begin && end <= range->end;
    return is_whole ? range->bytes + (begin - range->begin) : NULL;
}

/* The cells the range is in. Of copies the preferred one is the one column. */
static void want_range(const struct range *range, struct pool_cells_want *want)
{
    const struct pool_pin *pin = range->pin;
    uint32_t row_size = pin->k * POOL_CELL;
    want->first_row = range->first_row;
    want->row_count = (range->end - 1) / row_size - range->first_row + 1;
    for (uint32_t row = 0; row < want->row_count; row++) {
        uint32_t cell = pool_cells_len(pin, range->first_row + row);
        uint32_t begin = (range->first_row + row) * row_size;
        uint32_t from = GFS_MAX(range->begin, begin) - begin;
        uint32_t to = GFS_MIN(range->end, begin + pin->k * cell) - begin;
        for (uint32_t column = from / cell; column <= (to - 1) / cell; column++) {
            want->wanted[row] |= 1U << (has_copies(pin) ? pin->preferred : column);
        }
    }
}

/* Cells of which only a part was wanted are not in their place yet. */
static void copy_ends(const struct range *range, const struct pool_cells_want *want,
                      const struct pool_cells *cells)
{
    for (uint32_t row = 0; row < want->row_count; row++) {
        uint32_t slots = want->wanted[row];
        for (; slots != 0; slots &= slots - 1) {
            unsigned slot = (unsigned)__builtin_ctz(slots);
            if (place((void *)(uintptr_t)range, row, slot) != NULL) {
                continue;
            }
            uint32_t cell = cell_begin(range, row, slot);
            uint32_t from = GFS_MAX(range->begin, cell);
            uint32_t to =
                GFS_MIN(range->end, cell + pool_cells_len(range->pin, range->first_row + row));
            memcpy(range->bytes + (from - range->begin),
                   pool_cells_at(cells, row, slot) + (from - cell), to - from);
        }
    }
}

static enum gfs_err read_range(struct range *range, unsigned flags)
{
    struct pool_cells_want want = {.pin = range->pin, .flags = flags, .place = place, .arg = range};
    want_range(range, &want);
    struct pool_cells *cells = NULL;
    enum gfs_err err = pool_cells_get(&want, &cells);
    if (err == GFS_OK) {
        copy_ends(range, &want, cells);
    }
    pool_cells_free(cells);
    return err;
}

/* One copy in one call: what nearly every read of copies is. AGAIN: it takes more than that. */
static enum gfs_err read_copy(struct pool_pin *pin, uint32_t offset, uint32_t len, void *ret_bytes,
                              unsigned flags)
{
    /* Nobody else to ask, and nothing else to do: wait for it here. */
    bool may_wait = pin->is_alone && (flags & CHUNK_READ_NOWAIT) == 0;
    bool is_medium = (flags & CHUNK_READ_MEDIUM) != 0;
    if (!has_copies(pin) || (is_medium && !may_wait) ||
        (pool_pin_readable(pin) >> pin->preferred & 1) == 0) {
        return GFS_AGAIN;
    }
    struct pool_part *part = &pin->parts[pin->preferred];
    unsigned how = may_wait ? flags : flags | CHUNK_READ_NOWAIT;
    enum gfs_err err =
        part->disk->store->ops->read(part->disk->store, &part->pin, offset, len, ret_bytes, how);
    if (err == GFS_OK || err == GFS_AGAIN) {
        return err;
    }
    pool_pin_report(pin, pin->preferred, err);
    return pin->is_alone ? err : GFS_AGAIN;
}

static enum gfs_err read_all(struct pool_pin *pin, uint32_t offset, uint32_t len, void *ret_bytes,
                             unsigned flags)
{
    enum gfs_err err = len == 0 ? GFS_OK : read_copy(pin, offset, len, ret_bytes, flags);
    if (err != GFS_AGAIN) {
        return err;
    }
    uint32_t row_size = pin->k * POOL_CELL;
    uint32_t rows = GFS_MAX(1U, GFS_MIN(BATCH_SIZE / row_size, (uint32_t)POOL_CELLS_ROWS_MAX));
    uint8_t *bytes = ret_bytes;
    uint32_t at = offset;
    while (at < offset + len) {
        struct range range = {.pin = pin, .begin = at, .bytes = bytes, .first_row = at / row_size};
        uint64_t batch_end = ((uint64_t)range.first_row + rows) * row_size;
        range.end = (uint32_t)GFS_MIN(batch_end, (uint64_t)offset + len);
        err = read_range(&range, flags);
        if (err != GFS_OK) {
            return err;
        }
        bytes += range.end - at;
        at = range.end;
    }
    return GFS_OK;
}

enum gfs_err pool_read(struct chunk_store *chunks, struct chunk_pin *chunk, uint32_t offset,
                       uint32_t len, void *ret_bytes, unsigned flags)
{
    (void)chunks;
    struct pool_pin *pin = pin_of(chunk);
    GFS_ASSERT(offset % GFS_BLOCK_SIZE == 0);
    GFS_ASSERT(offset <= chunk->len && len <= chunk->len - offset);
    GFS_ASSERT(len % GFS_BLOCK_SIZE == 0 || offset + len == chunk->len);
    pool_pin_enter(pin, false);
    enum gfs_err err = read_all(pin, offset, len, ret_bytes, flags);
    pool_pin_exit(pin);
    return err == GFS_IO ? GFS_UNREACHABLE : err; /* nothing says that it is lost */
}

enum gfs_err pool_owner(struct chunk_store *chunks, struct chunk_pin *chunk, void *ret_bytes,
                        size_t *ret_len)
{
    (void)chunks;
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t len = 0;
    pool_pin_enter(pin_of(chunk), false);
    enum gfs_err err = pool_pin_owner(pin_of(chunk), owner, &len);
    pool_pin_exit(pin_of(chunk));
    if (err != GFS_OK) {
        return err;
    }
    struct gfs_slice rest = gfs_slice_of(owner, len);
    struct fragment_owner head;
    err = pool_fragment_owner_parse(rest, &head, &rest);
    if (err != GFS_OK && err != GFS_NOT_FOUND) { /* that of a store without a pool */
        return err;
    }
    if (rest.len != 0) {
        memcpy(ret_bytes, rest.ptr, rest.len);
    }
    *ret_len = rest.len;
    return GFS_OK;
}

void pool_prefetch(struct chunk_store *chunks, struct chunk_pin *chunk, uint32_t offset,
                   uint32_t len)
{
    (void)chunks;
    struct pool_pin *pin = pin_of(chunk);
    if (offset >= chunk->len || len == 0) {
        return;
    }
    uint32_t end = len < chunk->len - offset ? offset + len : chunk->len;
    uint32_t row_size = pin->k * POOL_CELL;
    uint32_t from = offset / row_size * POOL_CELL; /* in the fragments */
    uint32_t to = GFS_MIN(((end - 1) / row_size + 1) * POOL_CELL, pin->fragment_len);
    pool_pin_enter(pin, true);
    uint32_t readable = pool_pin_readable(pin);
    for (unsigned i = 0; i < pin->k; i++) {
        unsigned slot = has_copies(pin) ? pin->preferred : i;
        struct pool_part *part = &pin->parts[slot];
        /* a disk that does not answer holds whoever fills its queue */
        if ((readable >> slot & 1) != 0 && !pool_pin_is_slow(pin, slot)) {
            part->disk->store->ops->prefetch(part->disk->store, &part->pin, from, to - from);
        }
    }
    pool_pin_exit(pin);
}
