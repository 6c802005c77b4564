/* Reed-Solomon over GF(2^8) with a Cauchy matrix: m parity cells from k data cells, any k of the
 * k + m give back the rest. The one module that includes isa-l's coder. Pure functions over memory;
 * an encoder is immutable once made and may be used by any number of threads. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "libgoodfs/err.h"

enum {
    EC_CELLS_MAX = 32,
    EC_TABLE_SIZE = 32, /* bytes of coding table for one source and one target */
    EC_TABLES_MAX = EC_CELLS_MAX / 2 * (EC_CELLS_MAX / 2), /* sources + targets <= EC_CELLS_MAX */
};

struct ec;

/* k >= 1, m >= 1, k + m <= EC_CELLS_MAX, else GFS_INVALID. */
enum gfs_err ec_new(unsigned k, unsigned m, struct ec **ret) GFS_MUST_CHECK;
void ec_free(struct ec *ec); /* NULL allowed */

/* parity[0..m) from data[0..k), len bytes each. Buffers do not overlap. */
void ec_encode(const struct ec *ec, size_t len, const uint8_t *const *data, uint8_t *const *parity);

/* How to get some cells from k others; made once for a set of lost cells, used for many rows. */
struct ec_plan {
    unsigned source_count;         /* k */
    uint8_t sources[EC_CELLS_MAX]; /* indexes of the cells to read, ascending */
    unsigned target_count;         /* cells to make */
    uint8_t targets[EC_CELLS_MAX];
    uint8_t tables[EC_TABLES_MAX * EC_TABLE_SIZE];
};

/* have: bit i = cell i (0..k-1 data, k..k+m-1 parity) can be read; data cells are preferred as
 * sources. want: cells to make; none of them becomes a source, whether it is in have or not.
 * GFS_NOT_FOUND: fewer than k can be read. */
enum gfs_err ec_plan_make(const struct ec *ec, uint32_t have, uint32_t want,
                          struct ec_plan *ret) GFS_MUST_CHECK;
/* sources, targets: in the order of the plan. */
void ec_plan_run(const struct ec_plan *plan, size_t len, const uint8_t *const *sources,
                 uint8_t *const *targets);
