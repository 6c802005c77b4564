#include "metad/record.h"

#include <criterion/criterion.h>

#include "libgoodfs/mem.h"
#include "tests/unit/metad/random.h"

static struct meta_header headers[] = {
    {{"content-type", 12}, {"text/plain", 10}},
    {{"x-amz-meta-a", 12}, {"", 0}},
    {{"x-amz-meta-b", 12}, {"\0\377", 2}},
};
static struct meta_chunk_ref chunks[] = {
    {{7, 100}, 3, 0, 64 << 20}, {{7, 101}, 3, 0, 64 << 20},
    {{7, 99}, 4, 17, 64 << 20}, {{UINT64_MAX, 0}, UINT32_MAX, UINT32_MAX, UINT32_MAX},
    {{0, UINT64_MAX}, 0, 0, 1}, {{0, UINT64_MAX}, 0, 1, 0},
};
static struct meta_part parts[] = {
    {.number = 1,
     .size = 5 << 20,
     .etag = {1},
     .crc64 = 11,
     .checksum = {META_CHECKSUM_SHA256, META_CHECKSUM_FULL_OBJECT, {1, 2, 3}}},
    {.number = 10000, .size = UINT64_MAX, .etag = {0xFF}, .crc64 = UINT64_MAX},
};

static struct meta_object full_object(void)
{
    return (struct meta_object){
        .size = 123456789012,
        .etag = {1, 2, 3, 4},
        .etag_parts = 2,
        .crc64 = 0x0102030405060708,
        .checksum = {META_CHECKSUM_SHA1, META_CHECKSUM_COMPOSITE, {9, 8, 7}},
        .storage_class = GFS_SLICE_LITERAL("GLACIER"),
        .header_count = GFS_COUNT(headers),
        .headers = headers,
        .part_count = GFS_COUNT(parts),
        .parts = parts,
        .chunk_count = GFS_COUNT(chunks),
        .chunks = chunks,
    };
}

static void encode(struct gfs_buf *out, const struct meta_object *object)
{
    gfs_buf_init(out, 4 << 20);
    record_encode_object(out, object);
    cr_assert(!out->is_full);
    record_stamp(out->ptr, 77, -5);
}

static void expect_chunks(const struct meta_chunk_ref *a, const struct meta_chunk_ref *b,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_expect(a[i].id.hi == b[i].id.hi && a[i].id.lo == b[i].id.lo && a[i].pg == b[i].pg &&
                      a[i].offset == b[i].offset && a[i].len == b[i].len,
                  "reference %u", i);
    }
}

static void expect_checksum(const struct meta_checksum *a, const struct meta_checksum *b)
{
    cr_expect_eq(a->algo, b->algo);
    cr_expect_eq(a->type, b->type);
    cr_expect_arr_eq(a->value, b->value, meta_checksum_len(a->algo));
}

static void expect_summary(const struct meta_object *a, const struct meta_object *b)
{
    cr_expect_eq(b->mod_lsn, 77u);
    cr_expect_eq(b->mtime_ms, -5);
    cr_expect_eq(a->size, b->size);
    cr_expect_arr_eq(a->etag, b->etag, META_ETAG_LEN);
    cr_expect_eq(a->etag_parts, b->etag_parts);
    expect_checksum(&a->checksum, &b->checksum);
    cr_expect(gfs_slice_eq(a->storage_class, b->storage_class));
}

Test(record, object_comes_back)
{
    struct meta_object object = full_object();
    struct gfs_buf bytes;
    encode(&bytes, &object);
    struct gfs_arena arena;
    gfs_arena_init(&arena, 1 << 20);
    struct meta_object found;
    cr_assert_eq(meta_object_decode(gfs_buf_slice(&bytes), &arena, &found), GFS_OK);
    expect_summary(&object, &found);
    cr_expect_eq(found.crc64, object.crc64);
    cr_assert_eq(found.header_count, GFS_COUNT(headers));
    for (size_t i = 0; i < GFS_COUNT(headers); i++) {
        cr_expect(gfs_slice_eq(found.headers[i].name, headers[i].name));
        cr_expect(gfs_slice_eq(found.headers[i].value, headers[i].value));
    }
    cr_assert_eq(found.part_count, GFS_COUNT(parts));
    for (size_t i = 0; i < GFS_COUNT(parts); i++) {
        cr_expect_eq(found.parts[i].number, parts[i].number);
        cr_expect_eq(found.parts[i].size, parts[i].size);
        cr_expect_eq(found.parts[i].crc64, parts[i].crc64);
        cr_expect_arr_eq(found.parts[i].etag, parts[i].etag, META_ETAG_LEN);
        expect_checksum(&found.parts[i].checksum, &parts[i].checksum);
        cr_expect_null(found.parts[i].chunks);
    }
    cr_assert_eq(found.chunk_count, GFS_COUNT(chunks));
    expect_chunks(found.chunks, chunks, GFS_COUNT(chunks));
    struct meta_object summary;
    cr_assert_eq(meta_object_decode_summary(gfs_buf_slice(&bytes), &summary), GFS_OK);
    expect_summary(&object, &summary);
    cr_expect_eq(summary.chunk_count, 0u);
    cr_expect_eq(record_mod_lsn(gfs_buf_slice(&bytes)), 77u);
    cr_expect_eq(record_mtime_ms(gfs_buf_slice(&bytes)), -5);
    gfs_arena_fini(&arena);
    gfs_buf_fini(&bytes);
}

Test(record, empty_object_comes_back)
{
    struct meta_object object = {0};
    struct gfs_buf bytes;
    encode(&bytes, &object);
    struct gfs_arena arena;
    gfs_arena_init(&arena, 4096);
    struct meta_object found;
    cr_assert_eq(meta_object_decode(gfs_buf_slice(&bytes), &arena, &found), GFS_OK);
    cr_expect_eq(found.chunk_count + found.header_count + found.part_count, 0u);
    cr_expect_eq(found.size, 0u);
    gfs_arena_fini(&arena);
    gfs_buf_fini(&bytes);
}

Test(record, part_comes_back)
{
    struct meta_part part = parts[0];
    part.chunks = chunks;
    part.chunk_count = GFS_COUNT(chunks);
    struct gfs_buf bytes;
    gfs_buf_init(&bytes, 1 << 16);
    record_encode_part(&bytes, 4711, &part);
    record_stamp(bytes.ptr, 5, 6);
    struct gfs_arena arena;
    gfs_arena_init(&arena, 1 << 16);
    struct meta_part found;
    cr_assert_eq(meta_part_decode(gfs_buf_slice(&bytes), &arena, &found), GFS_OK);
    cr_expect_eq(found.mod_lsn, 5u);
    cr_expect_eq(found.mtime_ms, 6);
    cr_expect_eq(found.number, part.number);
    cr_expect_eq(found.size, part.size);
    cr_expect_eq(found.crc64, part.crc64);
    expect_checksum(&found.checksum, &part.checksum);
    cr_assert_eq(found.chunk_count, part.chunk_count);
    expect_chunks(found.chunks, chunks, part.chunk_count);
    struct record_size size;
    cr_assert_eq(record_size(gfs_buf_slice(&bytes), &size), GFS_OK);
    cr_expect_eq(size.bucket_id, 4711u);
    cr_expect_eq(size.size, part.size);
    for (size_t len = 0; len < bytes.len; len++) {
        cr_expect_eq(meta_part_decode(gfs_slice_of(bytes.ptr, len), &arena, &found), GFS_CORRUPT);
    }
    gfs_arena_fini(&arena);
    gfs_buf_fini(&bytes);
}

Test(record, completed_upload_comes_back)
{
    struct meta_object object = full_object();
    struct gfs_buf bytes;
    gfs_buf_init(&bytes, 1 << 16);
    record_encode_completed(&bytes, 9, gfs_slice_of("a\0b", 3), &object);
    record_stamp(bytes.ptr, 77, -5);
    struct meta_completed found;
    cr_assert_eq(meta_completed_decode(gfs_buf_slice(&bytes), &found), GFS_OK);
    cr_expect_eq(found.bucket_id, 9u);
    cr_expect(gfs_slice_eq(found.key, gfs_slice_of("a\0b", 3)));
    cr_expect_eq(found.mod_lsn, 77u);
    cr_expect_eq(found.size, object.size);
    cr_expect_eq(found.etag_parts, 2u);
    cr_expect_eq(found.crc64, object.crc64);
    expect_checksum(&found.checksum, &object.checksum);
    for (size_t len = 0; len < bytes.len; len++) {
        cr_expect_eq(meta_completed_decode(gfs_slice_of(bytes.ptr, len), &found), GFS_CORRUPT);
    }
    gfs_buf_fini(&bytes);
}

Test(record, garbage_comes_back)
{
    struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
    for (uint32_t i = 0; i < RECORD_GARBAGE_IDS_MAX; i++) {
        ids[i] = (struct chunk_id){i, ~(uint64_t)i};
    }
    struct gfs_buf bytes;
    gfs_buf_init(&bytes, 1 << 16);
    record_encode_garbage(&bytes, 99, ids, RECORD_GARBAGE_IDS_MAX);
    struct chunk_id found[RECORD_GARBAGE_IDS_MAX];
    int64_t time_ms = 0;
    uint32_t count = 0;
    cr_assert_eq(record_decode_garbage(gfs_buf_slice(&bytes), &time_ms, found, &count), GFS_OK);
    cr_expect_eq(time_ms, 99);
    cr_assert_eq(count, (uint32_t)RECORD_GARBAGE_IDS_MAX);
    cr_expect_arr_eq(found, ids, sizeof ids);
    for (size_t len = 0; len < bytes.len; len++) {
        cr_expect_eq(record_decode_garbage(gfs_slice_of(bytes.ptr, len), &time_ms, found, &count),
                     GFS_CORRUPT);
    }
    gfs_buf_fini(&bytes);
}

Test(record, object_cut_at_any_byte_is_corrupt)
{
    struct meta_object object = full_object();
    struct gfs_buf bytes;
    encode(&bytes, &object);
    for (size_t len = 0; len < bytes.len; len++) {
        char *copy = gfs_alloc(GFS_MAX(len, 1U)); /* its end is the end of what may be read */
        memcpy(copy, bytes.ptr, len);
        struct gfs_arena arena;
        gfs_arena_init(&arena, 1 << 20);
        struct meta_object found;
        cr_expect_eq(meta_object_decode(gfs_slice_of(copy, len), &arena, &found), GFS_CORRUPT,
                     "%zu of %zu bytes", len, bytes.len);
        gfs_arena_fini(&arena);
        free(copy);
    }
    gfs_buf_fini(&bytes);
}

static void decode_everything(struct gfs_slice bytes)
{
    struct gfs_arena arena;
    struct meta_object object;
    struct meta_part part;
    struct meta_completed completed;
    struct record_size size;
    struct record_chunks walk;
    struct meta_chunk_ref ref;
    struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
    int64_t time_ms;
    uint32_t count;
    gfs_arena_init(&arena, 1 << 20);
    enum gfs_err err = meta_object_decode(bytes, &arena, &object);
    cr_assert(err == GFS_OK || err == GFS_CORRUPT || err == GFS_BUSY);
    err = meta_part_decode(bytes, &arena, &part);
    cr_assert(err == GFS_OK || err == GFS_CORRUPT || err == GFS_BUSY);
    (void)meta_object_decode_summary(bytes, &object);
    (void)meta_completed_decode(bytes, &completed);
    (void)!record_decode_garbage(bytes, &time_ms, ids, &count);
    (void)!record_size(bytes, &size);
    if (record_chunks_begin(bytes, &walk) == GFS_OK) {
        while (record_chunks_next(&walk, &ref) == GFS_OK) {
        }
    }
    gfs_arena_fini(&arena);
}

Test(record, damaged_bytes_are_never_more_than_an_answer)
{
    struct meta_object object = full_object();
    struct gfs_buf bytes;
    encode(&bytes, &object);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.ptr[bit / 8] ^= (char)(1 << bit % 8);
        decode_everything(gfs_buf_slice(&bytes));
        bytes.ptr[bit / 8] ^= (char)(1 << bit % 8);
    }
    struct random random = {1};
    for (int i = 0; i < 20000; i++) {
        char *copy = gfs_alloc(bytes.len);
        memcpy(copy, bytes.ptr, bytes.len);
        for (uint32_t n = random_below(&random, 8); n-- > 0;) {
            copy[random_below(&random, (uint32_t)bytes.len)] = (char)random_u64(&random);
        }
        decode_everything(gfs_slice_of(copy, random_below(&random, (uint32_t)bytes.len)));
        free(copy);
    }
    gfs_buf_fini(&bytes);
}

Test(record, version_and_kind_are_checked)
{
    struct meta_object object = full_object();
    struct gfs_buf bytes;
    encode(&bytes, &object);
    struct meta_part part;
    struct gfs_arena arena;
    gfs_arena_init(&arena, 1 << 16);
    cr_expect_eq(meta_part_decode(gfs_buf_slice(&bytes), &arena, &part), GFS_CORRUPT);
    bytes.ptr[0]++;
    cr_expect_eq(meta_object_decode_summary(gfs_buf_slice(&bytes), &object), GFS_CORRUPT);
    gfs_arena_fini(&arena);
    gfs_buf_fini(&bytes);
}

Test(record, full_arena_is_busy)
{
    struct meta_object object = full_object();
    struct gfs_buf bytes;
    encode(&bytes, &object);
    struct gfs_arena arena;
    gfs_arena_init(&arena, 64);
    struct meta_object found;
    cr_expect_eq(meta_object_decode(gfs_buf_slice(&bytes), &arena, &found), GFS_BUSY);
    gfs_arena_fini(&arena);
    gfs_buf_fini(&bytes);
}

Test(record, largest_object_stays_within_an_edit)
{
    const uint32_t count = 819200; /* 50 TiB in chunks of 64 MiB, from 10,000 parts */
    struct meta_chunk_ref *refs = gfs_alloc_array(count, sizeof *refs);
    struct meta_part *many = gfs_alloc_array(10000, sizeof *many);
    for (uint32_t i = 0; i < count; i++) {
        refs[i] = (struct meta_chunk_ref){{i / 400000, 3 * (uint64_t)i}, i / 100, 0, 64 << 20};
    }
    for (uint32_t i = 0; i < 10000; i++) {
        many[i] = (struct meta_part){
            .number = i + 1, .size = 5ULL << 30, .checksum = {.algo = META_CHECKSUM_SHA256}};
    }
    struct meta_object object = {.size = 50ULL << 40,
                                 .chunks = refs,
                                 .chunk_count = count,
                                 .parts = many,
                                 .part_count = 10000};
    struct gfs_buf bytes;
    gfs_buf_init(&bytes, CHUNK_EDIT_LEN_MAX);
    record_encode_object(&bytes, &object);
    cr_expect(!bytes.is_full, "%zu bytes", bytes.len);
    gfs_buf_fini(&bytes);
    free(refs);
    free(many);
}
