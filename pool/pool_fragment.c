/* One fragment of a chunk for repair: copied from where it is, or made from others, cell by cell
 * whatever works. */
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"
#include "pool/pool_cells.h"

/* Repair is in no hurry. Its reads wait for each other, several to a disk: that makes no disk a
 * slow one, which clients would avoid, and which reads of even more disks would race. */
enum { RACE_MS = 1000 };

struct pool_fragment {
    struct pool_pin *pin;
    struct pool_pin *all; /* with the avoided one; NULL = that was not needed yet */
    uint16_t avoid;
    unsigned slot;
    uint32_t at; /* bytes given */
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t owner_len;
};

/* The owner as it must be written with the slot, from that of any part. */
static enum gfs_err make_owner(struct pool_fragment *fragment, uint32_t slot)
{
    struct pool_pin *pin = fragment->pin;
    struct pool_profile profile = pin->profile;
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t len = 0;
    enum gfs_err err = pool_pin_owner(pin, owner, &len);
    if (err != GFS_OK) {
        return err;
    }
    struct fragment_owner head;
    struct gfs_slice rest = gfs_slice_of(owner, len);
    err = pool_fragment_owner_parse(rest, &head, &rest);
    if (err == GFS_NOT_FOUND) { /* of a store without a pool: its copies are chunks */
        head = (struct fragment_owner){.kind = POOL_REPLICA, .k = 1};
        head.chunk_len = pin->fragment_len;
        err = GFS_OK;
    }
    if (err != GFS_OK || head.kind != (uint8_t)profile.kind || head.k != profile.k ||
        rest.len > CHUNK_OWNER_LEN_MAX - FRAGMENT_OWNER_LEN) {
        return GFS_CORRUPT;
    }
    uint32_t expected =
        profile.kind == POOL_EC ? pool_fragment_len(profile.k, head.chunk_len) : head.chunk_len;
    if (expected != pin->fragment_len) {
        return GFS_CORRUPT;
    }
    fragment->owner_len =
        pool_fragment_owner_write(profile, slot, head.chunk_len, rest, fragment->owner);
    return GFS_OK;
}

enum gfs_err pool_fragment_open(struct pool *pool, struct pool_view *view, struct chunk_id id,
                                uint32_t slot, uint16_t avoid, struct pool_fragment **ret)
{
    struct pool_pin_options options = {
        .id = id, .avoid_disk = avoid, .avoid_slot = slot, .is_for_slot = true};
    struct pool_fragment *fragment = gfs_alloc(sizeof *fragment);
    fragment->avoid = avoid;
    enum gfs_err err = pool_pin_new(pool, view, &options, &fragment->pin);
    if (err == GFS_OK) {
        struct pool_pin *pin = fragment->pin;
        GFS_ASSERT(slot < pin->width);
        fragment->slot = pin->profile.kind == POOL_EC ? slot : pin->preferred;
        err = make_owner(fragment, slot);
        pin->is_given = true;
    }
    if (err != GFS_OK) {
        pool_fragment_close(fragment);
        return err;
    }
    *ret = fragment;
    return GFS_OK;
}

uint32_t pool_fragment_bytes(const struct pool_fragment *fragment)
{
    return fragment->pin->fragment_len;
}

struct gfs_slice pool_fragment_owner(const struct pool_fragment *fragment)
{
    return gfs_slice_of(fragment->owner, fragment->owner_len);
}

static uint8_t *place(void *arg, uint32_t row, unsigned slot)
{
    (void)slot;
    return (uint8_t *)arg + (size_t)row * POOL_CELL;
}

/* `count` rows from where the fragment was read to. */
static enum gfs_err read_rows(const struct pool_fragment *fragment, struct pool_pin *pin,
                              uint32_t count, void *ret_bytes)
{
    unsigned slot = pin->profile.kind == POOL_EC ? fragment->slot : pin->preferred;
    struct pool_cells_want want = {.pin = pin,
                                   .race_ms = RACE_MS,
                                   .first_row = fragment->at / POOL_CELL,
                                   .row_count = count,
                                   .place = place,
                                   .arg = ret_bytes};
    for (uint32_t row = 0; row < count; row++) {
        want.wanted[row] = 1U << slot;
    }
    struct pool_cells *cells = NULL;
    enum gfs_err err = pool_cells_get(&want, &cells);
    pool_cells_free(cells);
    return err;
}

/* The avoided one is bad somewhere, and where it is whole the others may be bad: what is left of it
 * is as good as theirs, as every cell is verified. false: there is none. */
static bool has_all(struct pool_fragment *fragment)
{
    struct pool_pin *pin = fragment->pin;
    if (fragment->all == NULL && fragment->avoid != POOL_NO_DISK) {
        struct pool_pin_options options = {.id = pin->id, .avoid_disk = POOL_NO_DISK};
        struct pool_view *view = pool_view_get(pin->pool);
        enum gfs_err err = pool_pin_new(pin->pool, view, &options, &fragment->all);
        pool_view_put(view);
        if (err == GFS_OK) {
            pool_pin_complete(fragment->all);
            fragment->all->is_given = true;
        }
    }
    return fragment->all != NULL && fragment->all->fragment_len == pin->fragment_len;
}

static bool is_lack(enum gfs_err err)
{
    return err == GFS_CORRUPT || err == GFS_IO || err == GFS_UNREACHABLE;
}

enum gfs_err pool_fragment_read(struct pool_fragment *fragment, void *ret_bytes, size_t size,
                                size_t *ret_len)
{
    GFS_ASSERT(size >= POOL_CELL);
    uint32_t left = fragment->pin->fragment_len - fragment->at;
    *ret_len = 0;
    if (left == 0) {
        return GFS_OK;
    }
    size_t rows = GFS_MIN(size / POOL_CELL, (size_t)(left + POOL_CELL - 1) / POOL_CELL);
    uint32_t count = (uint32_t)GFS_MIN(rows, (size_t)POOL_CELLS_ROWS_MAX);
    enum gfs_err err = read_rows(fragment, fragment->pin, count, ret_bytes);
    if (is_lack(err) && has_all(fragment)) {
        err = read_rows(fragment, fragment->all, count, ret_bytes);
    }
    if (err == GFS_OK) {
        uint32_t len = GFS_MIN(left, count * (uint32_t)POOL_CELL);
        fragment->at += len;
        *ret_len = len;
    }
    return err == GFS_IO ? GFS_CORRUPT : err; /* the rest of repair does not wait for it */
}

void pool_fragment_close(struct pool_fragment *fragment)
{
    if (fragment == NULL) {
        return;
    }
    if (fragment->pin != NULL) {
        pool_pin_unref(fragment->pin);
    }
    if (fragment->all != NULL) {
        pool_pin_unref(fragment->all);
    }
    free(fragment);
}
