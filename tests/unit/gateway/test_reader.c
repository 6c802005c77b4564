#include "gateway/reader.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"

/* A store of three chunks whose byte at offset i is a function of chunk and i. */
enum { CHUNKS = 3 };
static const uint32_t chunk_lens[CHUNKS] = {200000, 65536, 70001};

struct memory_store {
    struct chunk_store base;
    int pins;
    int fail_at; /* fail the n-th read; -1 never */
    enum gfs_err fail_err;
    uint32_t missing; /* index of a chunk that is gone, or CHUNKS */
};

static char byte_at(uint64_t chunk, uint64_t offset)
{
    return (char)(chunk * 31 + offset * 7 + (offset >> 8));
}

static enum gfs_err memory_pin(struct chunk_store *base, struct chunk_id id, struct chunk_pin *ret)
{
    struct memory_store *store = (struct memory_store *)base;
    if (id.lo == store->missing) {
        return GFS_NOT_FOUND;
    }
    store->pins++;
    *ret = (struct chunk_pin){.id = id, .len = chunk_lens[id.lo]};
    return GFS_OK;
}

static void memory_unpin(struct chunk_store *base, struct chunk_pin *pin)
{
    (void)pin;
    ((struct memory_store *)base)->pins--;
}

static enum gfs_err memory_read(struct chunk_store *base, struct chunk_pin *pin, uint32_t offset,
                                uint32_t len, void *ret_bytes, unsigned flags)
{
    struct memory_store *store = (struct memory_store *)base;
    (void)flags;
    if (store->fail_at >= 0 && store->fail_at-- == 0) {
        return store->fail_err;
    }
    cr_assert_eq(offset % GFS_BLOCK_SIZE, 0u);
    cr_assert(offset + len <= pin->len);
    cr_assert(len % GFS_BLOCK_SIZE == 0 || offset + len == pin->len);
    for (uint32_t i = 0; i < len; i++) {
        ((char *)ret_bytes)[i] = byte_at(pin->id.lo, offset + i);
    }
    return GFS_OK;
}

static const struct chunk_store_ops memory_ops = {
    .pin = memory_pin, .unpin = memory_unpin, .read = memory_read};

static struct memory_store make_store(void)
{
    return (struct memory_store){.base = {&memory_ops}, .fail_at = -1, .missing = CHUNKS};
}

/* All of chunk 0, a slice of chunk 1, all of chunk 2. */
static const struct meta_chunk_ref refs[CHUNKS] = {
    {.id = {0, 0}, .offset = 0, .len = 200000},
    {.id = {0, 1}, .offset = 1000, .len = 50000},
    {.id = {0, 2}, .offset = 0, .len = 70001},
};

static char expected(uint64_t at)
{
    for (uint32_t i = 0; i < CHUNKS; i++) {
        if (at < refs[i].len) {
            return byte_at(i, refs[i].offset + at);
        }
        at -= refs[i].len;
    }
    abort();
}

static void check_range(uint64_t start, uint64_t len, size_t step)
{
    struct memory_store store = make_store();
    struct reader *reader = NULL;
    cr_assert_eq(reader_new(&store.base, refs, CHUNKS, start, len, &reader), GFS_OK);
    char *buf = malloc(step);
    uint64_t done = 0;
    while (done < len) {
        size_t got = 0;
        cr_assert_eq(reader_read(reader, buf, step, 0, &got), GFS_OK);
        cr_assert(got > 0 && got <= step && got <= len - done);
        for (size_t i = 0; i < got; i++) {
            cr_assert_eq(buf[i], expected(start + done + i));
        }
        done += got;
    }
    size_t got = 1;
    cr_assert_eq(reader_read(reader, buf, step, 0, &got), GFS_OK);
    cr_assert_eq(got, 0u);
    reader_free(reader);
    free(buf);
    cr_assert_eq(store.pins, 0);
}

Test(reader, gives_every_range_exactly_whatever_the_buffer)
{
    static const uint64_t starts[] = {0,      1,      65535,  65536,  131072, 199999,
                                      200000, 200001, 249999, 250000, 315535, 320000};
    static const size_t steps[] = {1000, 65536, 65537, 262144};
    for (size_t i = 0; i < GFS_COUNT(starts); i++) {
        for (size_t j = 0; j < GFS_COUNT(steps); j++) {
            check_range(starts[i], 1, steps[j]);
            check_range(starts[i], 320001 - starts[i], steps[j]);
            check_range(starts[i], (320001 - starts[i]) / 2 + 1, steps[j]);
        }
    }
}

Test(reader, a_failed_read_is_passed_on_and_can_be_repeated)
{
    struct memory_store store = make_store();
    struct reader *reader = NULL;
    cr_assert_eq(reader_new(&store.base, refs, CHUNKS, 5, 1000, &reader), GFS_OK);
    char buf[2000];
    size_t got = 0;
    store.fail_at = 0;
    store.fail_err = GFS_AGAIN;
    cr_assert_eq(reader_read(reader, buf, sizeof buf, CHUNK_READ_NOWAIT, &got), GFS_AGAIN);
    cr_assert_eq(reader_read(reader, buf, sizeof buf, 0, &got), GFS_OK);
    cr_assert_eq(got, 1000u);
    cr_assert_eq(buf[0], expected(5));
    reader_free(reader);
}

Test(reader, a_chunk_that_is_gone_is_not_found_and_leaves_no_pin)
{
    struct memory_store store = make_store();
    store.missing = 2;
    struct reader *reader = NULL;
    cr_assert_eq(reader_new(&store.base, refs, CHUNKS, 0, 320001, &reader), GFS_NOT_FOUND);
    cr_assert_eq(store.pins, 0);
    cr_assert_eq(reader_verdict(GFS_NOT_FOUND), GFS_CORRUPT, "the key is there all the same");
    cr_assert_eq(reader_verdict(GFS_UNREACHABLE), GFS_UNREACHABLE);
    cr_assert_eq(reader_new(&store.base, refs, CHUNKS, 0, 250000, &reader), GFS_OK);
    reader_free(reader);
}

Test(reader, a_range_longer_than_its_chunks_is_corruption)
{
    struct memory_store store = make_store();
    struct reader *reader = NULL;
    cr_assert_eq(reader_new(&store.base, refs, CHUNKS, 0, 320002, &reader), GFS_CORRUPT);
    cr_assert_eq(store.pins, 0);
}
