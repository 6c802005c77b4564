/* The coder: isa-l's multiplication tables for a Cauchy matrix.
 *
 * The matrix has k + m rows of k: the unit matrix (a data cell is itself), then one row a parity
 * cell. Every k of its rows are independent, so what k cells hold gives the data by the inverse of
 * their rows, and parity by the parity row times that inverse. */
#include "libgoodfs/ec.h"

#include <isa-l/erasure_code.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"

/* Immutable after ec_new. */
struct ec {
    unsigned k, m;
    uint8_t matrix[EC_CELLS_MAX * EC_CELLS_MAX];
    uint8_t tables[EC_TABLES_MAX * EC_TABLE_SIZE]; /* of the parity rows */
};

enum gfs_err ec_new(unsigned k, unsigned m, struct ec **ret)
{
    if (k < 1 || m < 1 || k > EC_CELLS_MAX || m > EC_CELLS_MAX || k + m > EC_CELLS_MAX) {
        return GFS_INVALID;
    }
    struct ec *ec = gfs_alloc(sizeof *ec);
    ec->k = k;
    ec->m = m;
    gf_gen_cauchy1_matrix(ec->matrix, (int)(k + m), (int)k);
    ec_init_tables((int)k, (int)m, ec->matrix + (size_t)k * k, ec->tables);
    *ret = ec;
    return GFS_OK;
}

void ec_free(struct ec *ec)
{
    free(ec);
}

/* isa-l's prototypes lack the const its code keeps. */
static void encode(size_t len, unsigned sources, unsigned targets, const uint8_t *tables,
                   const uint8_t *const *from, uint8_t *const *to)
{
    GFS_ASSERT(len <= INT32_MAX);
    ec_encode_data((int)len, (int)sources, (int)targets, (unsigned char *)(uintptr_t)tables,
                   (unsigned char **)(uintptr_t)from, (unsigned char **)(uintptr_t)to);
}

void ec_encode(const struct ec *ec, size_t len, const uint8_t *const *data, uint8_t *const *parity)
{
    encode(len, ec->k, ec->m, ec->tables, data, parity);
}

/* The first k cells of `have`: data before parity, which saves decoding. */
static bool choose_sources(const struct ec *ec, uint32_t have, struct ec_plan *plan)
{
    plan->source_count = 0;
    for (unsigned i = 0; i < ec->k + ec->m && plan->source_count < ec->k; i++) {
        if ((have >> i & 1) != 0) {
            plan->sources[plan->source_count++] = (uint8_t)i;
        }
    }
    return plan->source_count == ec->k;
}

/* row (1 x k) times inverse (k x k). */
static void multiply(const uint8_t *row, const uint8_t *inverse, unsigned k, uint8_t *ret)
{
    for (unsigned column = 0; column < k; column++) {
        uint8_t sum = 0;
        for (unsigned i = 0; i < k; i++) {
            sum ^= gf_mul(row[i], inverse[i * k + column]);
        }
        ret[column] = sum;
    }
}

enum gfs_err ec_plan_make(const struct ec *ec, uint32_t have, uint32_t want, struct ec_plan *ret)
{
    unsigned k = ec->k;
    if (!choose_sources(ec, have & ~want, ret)) {
        return GFS_NOT_FOUND;
    }
    uint8_t rows[EC_CELLS_MAX * EC_CELLS_MAX];
    uint8_t inverse[EC_CELLS_MAX * EC_CELLS_MAX];
    for (unsigned i = 0; i < k; i++) {
        memcpy(rows + (size_t)i * k, ec->matrix + (size_t)ret->sources[i] * k, k);
    }
    int result = gf_invert_matrix(rows, inverse, (int)k);
    GFS_ASSERT(result == 0); /* any k rows of the matrix are independent */
    ret->target_count = 0;
    for (unsigned i = 0; i < k + ec->m; i++) {
        if ((want >> i & 1) == 0) {
            continue;
        }
        multiply(ec->matrix + (size_t)i * k, inverse, k, rows + (size_t)ret->target_count * k);
        ret->targets[ret->target_count++] = (uint8_t)i;
    }
    ec_init_tables((int)k, (int)ret->target_count, rows, ret->tables);
    return GFS_OK;
}

void ec_plan_run(const struct ec_plan *plan, size_t len, const uint8_t *const *sources,
                 uint8_t *const *targets)
{
    if (plan->target_count > 0) {
        encode(len, plan->source_count, plan->target_count, plan->tables, sources, targets);
    }
}
