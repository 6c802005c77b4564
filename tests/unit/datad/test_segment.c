#include "datad/segment.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

enum { BYTES = 1 << 20 };

Test(segment, a_header_is_read_back_and_any_flipped_bit_is_seen)
{
    struct segment_header header = {.seq = 5, .salt = 6, .size = 1 << 20};
    struct segment_header found;
    segment_header_seal(&header);
    cr_expect_eq(segment_header_parse(&header, &found), GFS_OK);
    cr_expect_eq(found.seq, 5u);
    for (size_t bit = 0; bit < sizeof header * 8; bit++) {
        char bytes[sizeof header];
        memcpy(bytes, &header, sizeof bytes);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << (bit % 8)));
        cr_expect_neq(segment_header_parse(bytes, &found), GFS_OK, "bit %zu", bit);
    }
}

static size_t add(char *bytes, size_t at, uint64_t id, struct gfs_slice owner,
                  struct gfs_slice payload)
{
    struct record_header head = {.kind = CHUNK_RECORD_DATA, .id_hi = 1, .id_lo = id};
    size_t head_len = segment_record_write(bytes + at, &head, owner, payload);
    if (payload.len != 0) {
        memcpy(bytes + at + head_len, payload.ptr, payload.len);
    }
    return at + segment_record_size(payload.len, owner.len);
}

static const struct segment_header segment = {.seq = 3, .salt = 4};

/* Three records; answers the batch's header. */
static struct batch_header build(char *bytes, const char *big, size_t big_len)
{
    size_t at = sizeof(struct batch_header);
    at = add(bytes, at, 1, gfs_slice_str("bucket/a"), gfs_slice_str("first"));
    at = add(bytes, at, 2, gfs_slice_of(NULL, 0), gfs_slice_of(NULL, 0));
    at = add(bytes, at, 3, gfs_slice_str("b"), gfs_slice_of(big, big_len));
    struct batch_header header = {.salt = 4,
                                  .segment_seq = 3,
                                  .batch_seq = 9,
                                  .used = (uint32_t)at,
                                  .len = (uint32_t)segment_align_page(at)};
    segment_batch_seal(bytes, &header);
    return header;
}

Test(segment, records_of_a_batch_are_read_back_in_order)
{
    enum { BIG = 200000 };
    GFS_FREE char *bytes = gfs_alloc(BYTES);
    GFS_FREE char *big = gfs_alloc(BIG);
    memset(big, 'x', BIG);
    struct batch_header built = build(bytes, big, BIG);
    struct batch_header found;
    cr_assert_eq(segment_batch_parse(bytes, BYTES, &segment, &found), GFS_OK);
    cr_expect_eq(segment_batch_verify(bytes, &found), GFS_OK);
    size_t at = sizeof found;
    struct segment_record record;
    cr_assert_eq(segment_record_next(bytes, built.used, &at, &record), GFS_OK);
    cr_expect(gfs_slice_eq_str(record.owner, "bucket/a"));
    cr_expect(gfs_slice_eq_str(record.payload, "first"));
    cr_assert_eq(segment_record_next(bytes, built.used, &at, &record), GFS_OK);
    cr_expect_eq(record.payload.len, 0u);
    cr_assert_eq(segment_record_next(bytes, built.used, &at, &record), GFS_OK);
    cr_expect_eq(record.payload.len, (size_t)BIG);
    cr_expect_eq(segment_payload_verify(&record), GFS_OK);
    cr_expect_eq(
        segment_blocks_verify(record.table, 1, record.payload.ptr + GFS_BLOCK_SIZE, GFS_BLOCK_SIZE),
        GFS_OK);
    cr_expect_eq(segment_record_next(bytes, built.used, &at, &record), GFS_END);
}

Test(segment, a_batch_of_another_use_of_the_file_is_none)
{
    GFS_FREE char *bytes = gfs_alloc(BYTES);
    (void)build(bytes, "y", 1);
    struct batch_header found;
    struct segment_header other = segment;
    other.salt++;
    cr_expect_eq(segment_batch_parse(bytes, BYTES, &other, &found), GFS_CORRUPT);
    other = segment;
    other.seq++;
    cr_expect_eq(segment_batch_parse(bytes, BYTES, &other, &found), GFS_CORRUPT);
    cr_expect_eq(segment_batch_parse(bytes, SEGMENT_PAGE / 2, &segment, &found), GFS_CORRUPT,
                 "longer than the room there is");
}

Test(segment, any_flipped_bit_of_a_batch_is_seen)
{
    GFS_FREE char *bytes = gfs_alloc(BYTES);
    struct batch_header built = build(bytes, "payload", 7);
    for (size_t bit = 0; bit < (size_t)built.used * 8; bit++) {
        struct batch_header found;
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << (bit % 8)));
        bool is_whole = segment_batch_parse(bytes, BYTES, &segment, &found) == GFS_OK &&
                        segment_batch_verify(bytes, &found) == GFS_OK;
        cr_expect_not(is_whole, "bit %zu", bit);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << (bit % 8)));
    }
}

Test(segment, a_record_of_no_chunk_is_refused)
{
    char bytes[SEGMENT_PAGE];
    for (uint8_t kind = CHUNK_RECORD_DATA; kind <= SEGMENT_RECORD_BULK; kind++) {
        struct place_entry place = {.file = 1};
        struct record_header head = {.kind = kind};
        bool is_of_chunk = kind != CHUNK_RECORD_DELETE && kind != CHUNK_RECORD_EDIT;
        size_t len = kind == CHUNK_RECORD_PLACE ? sizeof place : 0;
        size_t end =
            segment_record_write(bytes, &head, gfs_slice_of(NULL, 0), gfs_slice_of(&place, len));
        struct segment_record record;
        cr_expect_eq(segment_head_parse(bytes, end, &record), is_of_chunk ? GFS_CORRUPT : GFS_OK,
                     "kind %u", kind);
    }
}
