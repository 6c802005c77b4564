#include "gateway/s3_complete.h"

#include "gateway/checksum.h"
#include "libgoodfs/crc.h"
#include "s3_fixture.h"

enum { PART_COUNT = 3, PART_LEN = 5 * 1024 * 1024, LAST_LEN = 1234 };

/* An upload of three parts (numbers 1, 5, 9) with real checksums of real bytes, and the request
 * that completes it. */
struct rig {
    struct gfs_arena arena;
    char *bytes;
    struct meta_header header;
    struct meta_object upload;
    struct meta_part uploaded[PART_COUNT];
    struct meta_chunk_ref chunks[PART_COUNT * 2];
    struct s3_wanted_part wanted[PART_COUNT];
    struct s3_complete_request request;
    struct s3_completed done;
    const char *message;
};

static void rig_part(struct rig *rig, uint32_t i, enum meta_checksum_algo algo)
{
    size_t len = i + 1 < PART_COUNT ? PART_LEN : LAST_LEN;
    const char *bytes = rig->bytes + (size_t)i * PART_LEN;
    struct meta_part *part = &rig->uploaded[i];
    struct checksum sum;
    *part = (struct meta_part){.number = 1 + 4 * i,
                               .size = len,
                               .mod_lsn = 100 + i,
                               .crc64 = gfs_crc64nvme(0, bytes, len),
                               .chunk_count = i + 1 < PART_COUNT ? 2 : 1,
                               .chunks = &rig->chunks[2 * i]};
    gfs_md5(gfs_slice_of(bytes, len), part->etag);
    part->checksum.algo = algo;
    checksum_init(&sum, algo);
    checksum_add(&sum, bytes, len);
    checksum_fini(&sum, part->checksum.value);
    rig->chunks[2 * i].id.lo = 2 * i;
    rig->chunks[2 * i + 1].id.lo = 2 * i + 1;
    rig->wanted[i] = (struct s3_wanted_part){
        .number = part->number, .is_etag_valid = true, .checksum = part->checksum};
    memcpy(rig->wanted[i].etag, part->etag, sizeof part->etag);
}

static struct rig *rig_new(enum meta_checksum_algo algo, enum meta_checksum_type type)
{
    struct rig *rig = gfs_alloc(sizeof *rig);
    size_t len = (size_t)PART_LEN * PART_COUNT;
    gfs_arena_init(&rig->arena, 1 << 20);
    rig->bytes = gfs_alloc(len);
    for (size_t i = 0; i < len; i++) {
        rig->bytes[i] = (char)(i * 2654435761U >> 11);
    }
    for (uint32_t i = 0; i < PART_COUNT; i++) {
        rig_part(rig, i, algo == META_CHECKSUM_NONE ? META_CHECKSUM_CRC64NVME : algo);
    }
    rig->header = (struct meta_header){GFS_SLICE_LITERAL("x-amz-meta-a"), GFS_SLICE_LITERAL("1")};
    rig->upload.header_count = 1;
    rig->upload.headers = &rig->header;
    rig->upload.checksum.algo = algo;
    rig->upload.checksum.type = type;
    rig->request.parts = rig->wanted;
    rig->request.part_count = PART_COUNT;
    return rig;
}

static void rig_free(struct rig *rig)
{
    gfs_arena_fini(&rig->arena);
    free(rig->bytes);
    free(rig);
}

static enum s3_err build(struct rig *rig)
{
    rig->message = NULL;
    return s3_complete_build(&rig->request, &rig->upload, rig->uploaded, PART_COUNT, &rig->arena,
                             &rig->done, &rig->message);
}

static size_t whole_len(void)
{
    return (size_t)2 * PART_LEN + LAST_LEN;
}

Test(s3_complete, makes_one_object_of_the_parts)
{
    struct rig *rig = rig_new(META_CHECKSUM_NONE, META_CHECKSUM_FULL_OBJECT);
    cr_assert_eq(build(rig), S3_OK);
    const struct meta_object *object = &rig->done.object;
    cr_assert_eq(object->size, whole_len());
    cr_assert_eq(object->etag_parts, 3u);
    cr_assert_eq(object->part_count, 3u);
    cr_assert_eq(object->parts[2].number, 9u);
    cr_assert_eq(object->parts[2].size, (uint64_t)LAST_LEN);
    cr_assert_eq(object->parts[2].mod_lsn, 0u);
    cr_assert_null(object->parts[2].chunks);
    cr_assert_eq(object->parts[2].chunk_count, 1u);
    cr_assert_eq(object->chunk_count, 5u);
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert_eq(object->chunks[i].id.lo, i);
    }
    cr_assert_eq(rig->done.used_count, 3u);
    cr_assert_eq(rig->done.used[1].mod_lsn, 101u);
    cr_assert_eq(object->header_count, 1u);
    rig_free(rig);
}

Test(s3_complete, etag_is_the_md5_of_the_md5s)
{
    struct rig *rig = rig_new(META_CHECKSUM_NONE, META_CHECKSUM_FULL_OBJECT);
    uint8_t md5s[PART_COUNT * META_ETAG_LEN];
    uint8_t want[META_ETAG_LEN];
    for (size_t i = 0; i < PART_COUNT; i++) {
        memcpy(md5s + i * META_ETAG_LEN, rig->uploaded[i].etag, META_ETAG_LEN);
    }
    gfs_md5(gfs_slice_of(md5s, sizeof md5s), want);
    cr_assert_eq(build(rig), S3_OK);
    cr_assert_arr_eq(rig->done.object.etag, want, sizeof want);
    rig_free(rig);
}

Test(s3_complete, full_object_checksums_are_those_of_the_whole_bytes)
{
    static const enum meta_checksum_algo algos[] = {META_CHECKSUM_NONE, META_CHECKSUM_CRC64NVME,
                                                    META_CHECKSUM_CRC32, META_CHECKSUM_CRC32C};
    for (size_t i = 0; i < GFS_COUNT(algos); i++) {
        struct rig *rig = rig_new(algos[i], META_CHECKSUM_FULL_OBJECT);
        enum meta_checksum_algo want_algo =
            algos[i] == META_CHECKSUM_NONE ? META_CHECKSUM_CRC64NVME : algos[i];
        uint8_t want[META_CHECKSUM_LEN_MAX];
        struct checksum sum;
        checksum_init(&sum, want_algo);
        checksum_add(&sum, rig->bytes, whole_len());
        checksum_fini(&sum, want);
        cr_assert_eq(build(rig), S3_OK);
        const struct meta_object *object = &rig->done.object;
        cr_assert_eq(object->checksum.algo, want_algo);
        cr_assert_eq(object->checksum.type, META_CHECKSUM_FULL_OBJECT);
        cr_assert_arr_eq(object->checksum.value, want, meta_checksum_len(want_algo));
        cr_assert_eq(object->crc64, gfs_crc64nvme(0, rig->bytes, whole_len()));
        rig_free(rig);
    }
}

Test(s3_complete, composite_checksums_are_those_of_the_parts_checksums)
{
    static const enum meta_checksum_algo algos[] = {META_CHECKSUM_CRC32, META_CHECKSUM_CRC32C,
                                                    META_CHECKSUM_SHA1, META_CHECKSUM_SHA256};
    for (size_t i = 0; i < GFS_COUNT(algos); i++) {
        struct rig *rig = rig_new(algos[i], META_CHECKSUM_COMPOSITE);
        size_t len = meta_checksum_len(algos[i]);
        uint8_t want[META_CHECKSUM_LEN_MAX];
        char joined[PART_COUNT * META_CHECKSUM_LEN_MAX];
        for (size_t j = 0; j < PART_COUNT; j++) {
            memcpy(joined + j * len, rig->uploaded[j].checksum.value, len);
        }
        struct checksum sum;
        checksum_init(&sum, algos[i]);
        checksum_add(&sum, joined, PART_COUNT * len);
        checksum_fini(&sum, want);
        cr_assert_eq(build(rig), S3_OK);
        cr_assert_eq(rig->done.object.checksum.type, META_CHECKSUM_COMPOSITE);
        cr_assert_arr_eq(rig->done.object.checksum.value, want, len);
        rig_free(rig);
    }
}

Test(s3_complete, takes_a_subset_and_says_which)
{
    struct rig *rig = rig_new(META_CHECKSUM_CRC32, META_CHECKSUM_COMPOSITE);
    rig->request.parts = &rig->wanted[1];
    rig->request.part_count = 2;
    cr_assert_eq(build(rig), S3_OK);
    cr_assert_eq(rig->done.used_count, 2u);
    cr_assert_eq(rig->done.used[0].number, 5u);
    cr_assert_eq(rig->done.object.size, (uint64_t)PART_LEN + LAST_LEN);
    cr_assert_eq(rig->done.object.chunks[0].id.lo, 2u);
    rig_free(rig);
}

Test(s3_complete, every_part_must_be_there_as_the_client_knows_it)
{
    struct rig *rig = rig_new(META_CHECKSUM_CRC32, META_CHECKSUM_COMPOSITE);
    rig->wanted[1].number = 4;
    cr_assert_eq(build(rig), S3_InvalidPart);
    rig->wanted[1].number = 5;
    rig->wanted[2].number = 10;
    cr_assert_eq(build(rig), S3_InvalidPart);
    rig->wanted[2].number = 9;
    rig->wanted[0].etag[15] ^= 1;
    cr_assert_eq(build(rig), S3_InvalidPart);
    rig->wanted[0].etag[15] ^= 1;
    rig->wanted[0].is_etag_valid = false;
    cr_assert_eq(build(rig), S3_InvalidPart);
    rig->wanted[0].is_etag_valid = true;
    rig->wanted[2].checksum.value[3] ^= 1;
    cr_assert_eq(build(rig), S3_InvalidPart);
    rig->wanted[2].checksum.value[3] ^= 1;
    cr_assert_eq(build(rig), S3_OK);
    rig_free(rig);
}

Test(s3_complete, part_checksums_are_optional_and_crc64_is_always_known)
{
    struct rig *rig = rig_new(META_CHECKSUM_SHA256, META_CHECKSUM_COMPOSITE);
    rig->wanted[0].checksum = (struct meta_checksum){0};
    rig->wanted[1].checksum = (struct meta_checksum){.algo = META_CHECKSUM_CRC64NVME};
    checksum_store_crc(META_CHECKSUM_CRC64NVME, rig->uploaded[1].crc64,
                       rig->wanted[1].checksum.value);
    cr_assert_eq(build(rig), S3_OK);
    rig->wanted[1].checksum.value[0] ^= 1;
    cr_assert_eq(build(rig), S3_InvalidPart);
    rig->wanted[1].checksum = (struct meta_checksum){.algo = META_CHECKSUM_CRC32};
    cr_assert_eq(build(rig), S3_InvalidPart, "a checksum nobody computed proves nothing");
    rig_free(rig);
}

Test(s3_complete, only_the_last_part_may_be_small)
{
    struct rig *rig = rig_new(META_CHECKSUM_NONE, META_CHECKSUM_FULL_OBJECT);
    rig->uploaded[1].size = PART_LEN - 1;
    cr_assert_eq(build(rig), S3_EntityTooSmall);
    cr_assert_not_null(strstr(rig->message, "part 5 has 5242879 bytes"));
    rig->request.part_count = 2;
    cr_assert_eq(build(rig), S3_OK);
    rig_free(rig);
}

Test(s3_complete, promises_about_the_whole_object_are_kept)
{
    struct rig *rig = rig_new(META_CHECKSUM_CRC32, META_CHECKSUM_FULL_OBJECT);
    cr_assert_eq(build(rig), S3_OK);
    struct meta_checksum right = rig->done.object.checksum;
    rig->request.has_size = true;
    rig->request.size = whole_len();
    rig->request.has_type = true;
    rig->request.type = META_CHECKSUM_FULL_OBJECT;
    rig->request.checksum = right;
    cr_assert_eq(build(rig), S3_OK);
    rig->request.checksum.value[0] ^= 1;
    cr_assert_eq(build(rig), S3_BadDigest);
    rig->request.checksum = right;
    rig->request.checksum.algo = META_CHECKSUM_CRC32C;
    cr_assert_eq(build(rig), S3_InvalidRequest);
    rig->request.checksum = right;
    rig->request.checksum_parts = 2;
    cr_assert_eq(build(rig), S3_BadDigest);
    rig->request.checksum_parts = 3;
    cr_assert_eq(build(rig), S3_OK);
    rig->request.size++;
    cr_assert_eq(build(rig), S3_InvalidRequest);
    rig->request.size--;
    rig->request.type = META_CHECKSUM_COMPOSITE;
    cr_assert_eq(build(rig), S3_InvalidRequest);
    rig_free(rig);
}

Test(s3_complete, a_part_without_the_uploads_checksum_is_refused)
{
    struct rig *rig = rig_new(META_CHECKSUM_SHA1, META_CHECKSUM_COMPOSITE);
    rig->uploaded[1].checksum.algo = META_CHECKSUM_CRC64NVME;
    rig->wanted[1].checksum.algo = META_CHECKSUM_NONE;
    cr_assert_eq(build(rig), S3_InvalidRequest);
    rig_free(rig);
}

Test(s3_complete, objects_have_a_largest_size)
{
    struct rig *rig = rig_new(META_CHECKSUM_NONE, META_CHECKSUM_FULL_OBJECT);
    rig->uploaded[1].size = GFS_OBJECT_SIZE_MAX;
    cr_assert_eq(build(rig), S3_EntityTooLarge);
    rig_free(rig);
}

Test(s3_complete, a_full_arena_is_an_answer)
{
    struct rig *rig = rig_new(META_CHECKSUM_NONE, META_CHECKSUM_FULL_OBJECT);
    rig->arena.size_max = 600;
    cr_assert_eq(build(rig), S3_SlowDown);
    rig_free(rig);
}

Test(s3_complete, writes_checksum_elements)
{
    struct rig *rig = rig_new(META_CHECKSUM_NONE, META_CHECKSUM_FULL_OBJECT);
    struct meta_checksum sum = {.algo = META_CHECKSUM_CRC32,
                                .type = META_CHECKSUM_COMPOSITE,
                                .value = {0x36, 0x10, 0xa6, 0x86}};
    struct gfs_buf xml;
    gfs_buf_init(&xml, 1000);
    s3_checksum_xml(&xml, &rig->arena, &sum, 2);
    cr_assert_str_eq(xml.ptr, "<ChecksumCRC32>NhCmhg==-2</ChecksumCRC32>");
    gfs_buf_clear(&xml);
    sum.algo = META_CHECKSUM_NONE;
    s3_checksum_xml(&xml, &rig->arena, &sum, 2);
    cr_assert_eq(xml.len, 0u);
    gfs_buf_fini(&xml);
    rig_free(rig);
}
