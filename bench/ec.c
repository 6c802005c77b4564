/* What striping costs on one core: the coder alone, with the checksums that every cell gets, and
 * the whole way of a stream's bytes into what the disks' writers hand to the kernel.
 *
 * usage: ec [--json] [milliseconds per figure]. MB of chunk data a second by profile and way, the
 * median of ROUNDS that take turns; as text with the ratio to the coder with checksums. The stream
 * is in cache, as bytes from a socket are; each disk's writer goes through a buffer of the size it
 * really has, which is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datad/store_bulk_pool.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"
#include "pool/pool_rows.h"

enum { SOURCE_SIZE = 2 << 20 };

struct bench {
    struct pool_profile profile;
    struct ec *coder;
    uint8_t *source;   /* each piece is its beginning, as in a socket's buffer */
    uint8_t *row;      /* k + m cells */
    uint8_t *children; /* k + m buffers, one of each disk's writer */
    size_t at;         /* of the next cell in each of them */
    struct pool_rows rows;
    size_t piece; /* bytes that come at once */
    uint32_t sum; /* so that nothing is left out */
};

static size_t row_size(const struct bench *bench)
{
    return (size_t)bench->profile.k * POOL_CELL;
}

static void encode_row(struct bench *bench)
{
    const uint8_t *data[POOL_WIDTH_MAX];
    uint8_t *parity[POOL_WIDTH_MAX];
    for (unsigned i = 0; i < bench->profile.k; i++) {
        data[i] = bench->row + (size_t)i * POOL_CELL;
    }
    for (unsigned i = 0; i < bench->profile.m; i++) {
        parity[i] = bench->row + row_size(bench) + (size_t)i * POOL_CELL;
    }
    ec_encode(bench->coder, POOL_CELL, data, parity);
}

/* Each way handles one row. */
static void coder_alone(struct bench *bench)
{
    encode_row(bench);
}

static void coder_and_checksums(struct bench *bench)
{
    encode_row(bench);
    for (unsigned i = 0; i < pool_profile_width(bench->profile); i++) {
        bench->sum ^= gfs_crc32c(0, bench->row + (size_t)i * POOL_CELL, POOL_CELL);
    }
}

static uint8_t *child_cell(const struct bench *bench, unsigned slot)
{
    return bench->children + (size_t)slot * STORE_BULK_MAPPED_SIZE + bench->at;
}

static void coder_and_checksums_there(struct bench *bench)
{
    uint8_t *row[POOL_WIDTH_MAX] = {NULL};
    unsigned width = pool_profile_width(bench->profile);
    for (unsigned i = 0; i < width; i++) {
        row[i] = child_cell(bench, i);
    }
    ec_encode(bench->coder, POOL_CELL, (const uint8_t *const *)row, row + bench->profile.k);
    for (unsigned i = 0; i < width; i++) {
        bench->sum ^= gfs_crc32c(0, row[i], POOL_CELL);
    }
    bench->at = (bench->at + POOL_CELL) % STORE_BULK_BUFFER_SIZE;
}

/* The bytes of one row in pieces, until they are in the children's buffers with their checksums: as
 * pool_bulk.c and the store's bulk_append do it. */
static void write_row(struct bench *bench, bool has_room)
{
    size_t left = row_size(bench);
    unsigned width = pool_profile_width(bench->profile);
    for (unsigned i = 0; i < width && has_room; i++) {
        pool_rows_place(&bench->rows, i, child_cell(bench, i));
    }
    while (bench->rows.cell == 0) {
        left -= pool_rows_add(&bench->rows, bench->source, GFS_MIN(bench->piece, left));
    }
    GFS_ASSERT(left == 0);
    for (unsigned i = 0; i < width; i++) {
        uint8_t *cell = child_cell(bench, i);
        if (bench->rows.cells[i] != cell) {
            memcpy(cell, bench->rows.cells[i], POOL_CELL);
        }
        bench->sum ^= gfs_crc32c(0, cell, POOL_CELL);
    }
    pool_rows_next(&bench->rows);
    bench->at = (bench->at + POOL_CELL) % STORE_BULK_BUFFER_SIZE;
}

static void write_in_place(struct bench *bench)
{
    write_row(bench, true);
}

static void write_with_copy(struct bench *bench)
{
    write_row(bench, false);
}

static double megabytes_per_s(struct bench *bench, void (*way)(struct bench *bench), int64_t for_ns)
{
    for (unsigned i = 0; i < 50; i++) {
        way(bench);
    }
    int64_t begun = gfs_monotonic_ns();
    int64_t now = begun;
    uint64_t rows = 0;
    while (now - begun < for_ns) {
        for (unsigned i = 0; i < 50; i++) {
            way(bench);
        }
        rows += 50;
        now = gfs_monotonic_ns();
    }
    return (double)rows * (double)row_size(bench) * 1e3 / (double)(now - begun);
}

static const struct {
    const char *name, *key;
    void (*way)(struct bench *bench);
    size_t piece;
} ways[] = {
    {"coder", "raw", coder_alone, 0},
    {"coder+checksums", "raw_crc", coder_and_checksums, 0},
    {"coder+checksums, disks' buffers", "raw_crc_buffers", coder_and_checksums_there, 0},
    {"stream to disks' buffers", "path", write_in_place, 64 << 10},
    {"the same when these have no room", "path_with_copy", write_with_copy, 64 << 10},
};
enum { WAYS = GFS_COUNT(ways), RAW_CRC = 1, ROUNDS = 7 };

static int compare_rates(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void run(struct pool_profile profile, int64_t for_ns, double ret_rates[WAYS])
{
    struct bench bench = {.profile = profile};
    enum gfs_err err = ec_new(profile.k, profile.m, &bench.coder);
    GFS_ASSERT(err == GFS_OK);
    bench.source = gfs_alloc_aligned(POOL_CELL_ALIGN, SOURCE_SIZE);
    memset(bench.source, 0x5a, SOURCE_SIZE);
    bench.row = gfs_alloc_aligned(POOL_CELL_ALIGN, (size_t)POOL_WIDTH_MAX * POOL_CELL);
    memset(bench.row, 0xa5, (size_t)POOL_WIDTH_MAX * POOL_CELL);
    size_t buffers = (size_t)pool_profile_width(profile) * STORE_BULK_MAPPED_SIZE;
    bench.children = gfs_alloc_aligned(POOL_CELL_ALIGN, buffers);
    memset(bench.children, 0x77, buffers);
    double rates[WAYS][ROUNDS];
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < WAYS; i++) {
            pool_rows_init(&bench.rows, profile, bench.coder);
            bench.piece = ways[i].piece;
            rates[i][round] = megabytes_per_s(&bench, ways[i].way, for_ns / ROUNDS);
            pool_rows_fini(&bench.rows);
        }
    }
    for (size_t i = 0; i < WAYS; i++) {
        qsort(rates[i], ROUNDS, sizeof rates[i][0], compare_rates);
        ret_rates[i] = rates[i][ROUNDS / 2];
    }
    ec_free(bench.coder);
    free(bench.source);
    free(bench.row);
    free(bench.children);
}

static void print_text(const char *profile, const double rates[WAYS])
{
    for (size_t i = 0; i < WAYS; i++) {
        (void)printf("%-8s %-36s %8.0f MB/s %5.2f\n", profile, ways[i].name, rates[i],
                     rates[i] / rates[RAW_CRC]);
    }
}

/* {"4+2":{"raw":...},...} */
static void print_json(const char *profile, const double rates[WAYS], bool is_first)
{
    (void)printf("%s\"%s\":{", is_first ? "{" : ",", profile + strlen("ec:"));
    for (size_t i = 0; i < WAYS; i++) {
        (void)printf("%s\"%s\":%.0f", i == 0 ? "" : ",", ways[i].key, rates[i]);
    }
    (void)printf("}");
}

int main(int argc, char **argv)
{
    bool is_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    long ms = argc > 1 + is_json ? strtol(argv[1 + is_json], NULL, 10) : 300;
    static const struct pool_profile profiles[] = {
        {POOL_EC, 4, 2}, {POOL_EC, 8, 3}, {POOL_EC, 10, 4}};
    for (size_t i = 0; i < GFS_COUNT(profiles); i++) {
        double rates[WAYS];
        char text[POOL_PROFILE_TEXT_SIZE];
        run(profiles[i], GFS_MAX(ms, 1L) * 1000000, rates);
        pool_profile_format(profiles[i], text);
        if (is_json) {
            print_json(text, rates, i == 0);
        } else {
            print_text(text, rates);
        }
    }
    if (is_json) {
        (void)printf("}\n");
    }
    return 0;
}
