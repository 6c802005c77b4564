/* Cells of a chunk, from where they are or made from others.
 *
 * First everything is tried that needs no waiting, on the caller's thread. What must wait goes to
 * the disks' reader threads, all at once. A cell that fails its checksum, is missing, or whose disk
 * takes longer than race_ms (or did lately) is made from k others of its row, or read from another
 * copy: whichever comes first counts. Only verified cells are used. */
#pragma once

#include "pool/pool_pin.h"

enum { POOL_CELLS_ROWS_MAX = 64 };

/* Plain data. What is wanted. */
struct pool_cells_want {
    struct pool_pin *pin;
    unsigned flags;     /* enum chunk_read_flags */
    uint32_t race_ms;   /* after which a disk is raced and counts as slow; 0 = the pool's */
    uint32_t first_row; /* number in the chunk */
    uint32_t row_count; /* 1..POOL_CELLS_ROWS_MAX */
    uint32_t wanted[POOL_CELLS_ROWS_MAX]; /* masks of slots; copies: any one slot */
    /* Where the bytes of a wanted cell are to be; NULL = anywhere. */
    uint8_t *(*place)(void *arg, uint32_t row, unsigned slot);
    void *arg;
};

struct pool_cells;

/* Cells are of that row's length: of the fragment, from row * POOL_CELL on. */
uint32_t pool_cells_len(const struct pool_pin *pin, uint32_t row);
/* All wanted cells. AGAIN (NOWAIT only); CORRUPT: too few cells of a row are whole; UNREACHABLE:
 * too few, and disks are away; IO: too few, but those that disks failed to read may be; BUSY: too
 * many reads wait for the disks; TIMEOUT. One call at a time per pin. ret: set in any case, for
 * pool_cells_free. */
enum gfs_err pool_cells_get(const struct pool_cells_want *want, struct pool_cells **ret);
/* After OK: the bytes of a wanted cell. row: from 0 in what was wanted. */
const uint8_t *pool_cells_at(const struct pool_cells *cells, uint32_t row, unsigned slot);
void pool_cells_free(struct pool_cells *cells);
