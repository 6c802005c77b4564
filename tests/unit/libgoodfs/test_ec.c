/* The coder against a second, plain implementation of the same code. */
#include <criterion/criterion.h>
#include <string.h>

#include "libgoodfs/ec.h"
#include "libgoodfs/mem.h"

enum { LEN = 192 };

struct cells {
    uint8_t bytes[EC_CELLS_MAX][LEN];
};

static uint32_t random_state = 12345;

static uint32_t draw(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

/* GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1, bit by bit. */
static uint8_t times(uint8_t a, uint8_t b)
{
    unsigned product = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        if ((b >> bit & 1) != 0) {
            product ^= (unsigned)a << bit;
        }
    }
    for (unsigned bit = 15; bit >= 8; bit--) {
        if ((product >> bit & 1) != 0) {
            product ^= 0x11dU << (bit - 8);
        }
    }
    return (uint8_t)product;
}

static uint8_t inverse_of(uint8_t a)
{
    unsigned b = 1;
    while (times(a, (uint8_t)b) != 1) {
        b++;
    }
    return (uint8_t)b;
}

static void naive_encode(unsigned k, unsigned m, struct cells *cells)
{
    for (unsigned p = k; p < k + m; p++) {
        memset(cells->bytes[p], 0, LEN);
        for (unsigned d = 0; d < k; d++) {
            uint8_t factor = inverse_of((uint8_t)(p ^ d));
            for (unsigned i = 0; i < LEN; i++) {
                cells->bytes[p][i] ^= times(factor, cells->bytes[d][i]);
            }
        }
    }
}

static struct ec *make(unsigned k, unsigned m, struct cells *cells)
{
    struct ec *ec = NULL;
    cr_assert_eq(ec_new(k, m, &ec), GFS_OK);
    for (unsigned i = 0; i < k; i++) {
        for (unsigned j = 0; j < LEN; j++) {
            cells->bytes[i][j] = (uint8_t)draw();
        }
    }
    const uint8_t *data[EC_CELLS_MAX];
    uint8_t *parity[EC_CELLS_MAX];
    for (unsigned i = 0; i < EC_CELLS_MAX; i++) {
        data[i] = cells->bytes[i];
        parity[i] = i + k < EC_CELLS_MAX ? cells->bytes[i + k] : NULL;
    }
    ec_encode(ec, LEN, data, parity);
    return ec;
}

/* Every cell of `lost` comes back from the others. */
static void check_loss(const struct ec *ec, unsigned k, unsigned m, const struct cells *cells,
                       uint32_t lost)
{
    struct ec_plan plan;
    uint32_t all = (uint32_t)((1ULL << (k + m)) - 1);
    cr_assert_eq(ec_plan_make(ec, all & ~lost, lost, &plan), GFS_OK);
    cr_assert_eq(plan.source_count, k);
    cr_assert_eq(plan.target_count, (unsigned)__builtin_popcount(lost));
    const uint8_t *sources[EC_CELLS_MAX];
    uint8_t *targets[EC_CELLS_MAX];
    struct cells made;
    for (unsigned i = 0; i < k; i++) {
        cr_assert_eq(lost >> plan.sources[i] & 1, 0U);
        sources[i] = cells->bytes[plan.sources[i]];
    }
    for (unsigned i = 0; i < plan.target_count; i++) {
        targets[i] = made.bytes[i];
    }
    ec_plan_run(&plan, LEN, sources, targets);
    for (unsigned i = 0; i < plan.target_count; i++) {
        cr_assert_arr_eq(made.bytes[i], cells->bytes[plan.targets[i]], LEN, "%u+%u lost %x", k, m,
                         lost);
    }
}

static void check_all_losses(unsigned k, unsigned m)
{
    struct cells cells;
    struct ec *ec = make(k, m, &cells);
    for (uint32_t lost = 0; lost < 1U << (k + m); lost++) {
        if ((unsigned)__builtin_popcount(lost) <= m) {
            check_loss(ec, k, m, &cells, lost);
        }
    }
    ec_free(ec);
}

static void check_random_losses(unsigned k, unsigned m, unsigned times_tried)
{
    struct cells cells;
    struct ec *ec = make(k, m, &cells);
    for (unsigned i = 0; i < times_tried; i++) {
        uint32_t lost = 0;
        while ((unsigned)__builtin_popcount(lost) < m) {
            lost |= 1U << draw() % (k + m);
        }
        check_loss(ec, k, m, &cells, lost);
    }
    ec_free(ec);
}

Test(ec, every_loss_of_at_most_m_cells_is_made_good)
{
    check_all_losses(1, 1);
    check_all_losses(2, 1);
    check_all_losses(2, 2);
    check_all_losses(4, 2);
    check_all_losses(8, 3);
}

Test(ec, random_losses_of_wide_codes_are_made_good)
{
    check_random_losses(10, 4, 300);
    check_random_losses(16, 16, 50);
    check_random_losses(31, 1, 50);
    check_random_losses(1, 31, 50);
}

Test(ec, parity_is_that_of_a_plain_implementation)
{
    static const unsigned shapes[][2] = {{2, 1}, {4, 2}, {8, 3}, {10, 4}, {31, 1}, {1, 31}};
    for (unsigned i = 0; i < GFS_COUNT(shapes); i++) {
        struct cells cells;
        struct ec *ec = make(shapes[i][0], shapes[i][1], &cells);
        struct cells naive = cells;
        naive_encode(shapes[i][0], shapes[i][1], &naive);
        cr_assert_arr_eq(&naive, &cells, (shapes[i][0] + shapes[i][1]) * LEN, "shape %u", i);
        ec_free(ec);
    }
}

Test(ec, a_cell_that_is_wanted_is_never_a_source)
{
    struct cells cells;
    struct ec *ec = make(4, 2, &cells);
    struct ec_plan plan;
    cr_assert_eq(ec_plan_make(ec, 0x3f, 0x01, &plan), GFS_OK);
    cr_assert_arr_eq(plan.sources, ((uint8_t[]){1, 2, 3, 4}), 4);
    cr_assert_eq(plan.targets[0], 0);
    ec_free(ec);
}

Test(ec, fewer_than_k_cells_are_not_enough)
{
    struct cells cells;
    struct ec *ec = make(4, 2, &cells);
    struct ec_plan plan;
    cr_assert_eq(ec_plan_make(ec, 0x07, 0x08, &plan), GFS_NOT_FOUND);
    cr_assert_eq(ec_plan_make(ec, 0x0f, 0x08, &plan), GFS_NOT_FOUND);
    ec_free(ec);
}

Test(ec, shapes_out_of_range_are_refused)
{
    struct ec *ec = NULL;
    cr_assert_eq(ec_new(0, 1, &ec), GFS_INVALID);
    cr_assert_eq(ec_new(1, 0, &ec), GFS_INVALID);
    cr_assert_eq(ec_new(31, 2, &ec), GFS_INVALID);
    cr_assert_eq(ec_new(0x80000000U, 0x80000001U, &ec), GFS_INVALID);
    cr_assert_null(ec);
}
