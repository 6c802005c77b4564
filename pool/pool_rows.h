/* Cuts a stream of bytes into the rows of a chunk and adds parity.
 *
 * A row is what a fragment of each slot gets at once: k cells and their m parity cells, or, for
 * copies, the same bytes for everybody. Bytes are taken until a row is ready; its cells are then at
 * rows->cells until pool_rows_next. Before the first byte of a striped row each cell can be given
 * the place where it is wanted in the end, so that bytes are copied once; the others have a buffer
 * of the rows' own. The bytes of copies are not copied at all: a ready row is the caller's own
 * bytes, which pool_rows_keep copies when they are needed for longer.
 *
 *   FILLING --add: row is full, or seal--> READY --next--> FILLING
 *
 * Owned by its user, who guards it. */
#pragma once

#include "libgoodfs/ec.h"
#include "pool/pool_stripe.h"

/* Plain data; cells, cell and total are for the user to read. */
struct pool_rows {
    const struct ec *coder; /* NULL = copies */
    unsigned k, m;
    uint8_t *buffer; /* cells without a place, by slot; one for copies; made when first needed */
    uint8_t *places[POOL_WIDTH_MAX];      /* of the row's cells, by slot, NULL = in buffer */
    uint32_t fill;                        /* bytes of a row that is not ready */
    uint32_t total;                       /* bytes taken */
    bool is_borrowed;                     /* cells are the caller's bytes */
    uint32_t cell;                        /* bytes of each cell of the ready row, 0 = none */
    const uint8_t *cells[POOL_WIDTH_MAX]; /* by slot */
};

/* Bytes that the rows of such chunks have in memory at the most. */
size_t pool_rows_size(struct pool_profile profile);
void pool_rows_init(struct pool_rows *rows, struct pool_profile profile, const struct ec *coder);
void pool_rows_fini(struct pool_rows *rows);
/* A striped row begins with the next byte: cells can be given places. */
bool pool_rows_is_at_start(const struct pool_rows *rows);
/* The slot's cell of the row that begins is to be made there: POOL_CELL bytes, aligned to
 * POOL_CELL_ALIGN, the rows' own until pool_rows_next; NULL = nowhere special. */
void pool_rows_place(struct pool_rows *rows, unsigned slot, void *place);
/* The place goes away, and with it who wants the slot's cells: this one is in the buffer from now
 * on, with what it has; that of a ready row, which nobody needs any more, is not there at all. */
void pool_rows_unplace(struct pool_rows *rows, unsigned slot);
/* Takes bytes until a row is ready or all are taken; answers how many. None while a row is
 * ready. */
size_t pool_rows_add(struct pool_rows *rows, const void *ptr, size_t len);
/* The last row: zero padded and ready, if there is one. */
void pool_rows_seal(struct pool_rows *rows);
/* The ready row stays valid after the caller's bytes are gone. */
void pool_rows_keep(struct pool_rows *rows);
/* Everybody has the ready row. */
void pool_rows_next(struct pool_rows *rows);
