#include "gateway/s3_complete.h"
#include "libgoodfs/digest.h"
#include "libgoodfs/text.h"
#include "s3_rig.h"

#define UPLOAD_ID "00112233445566778899aabbccddeeff"
#define MD5_A "0cc175b9c0f1b6a831c399e269772661"
#define MD5_B "92eb5ffee6ae2fec3ad71c777531578f"
#define PART(number, etag)                                                                         \
    "<Part><PartNumber>" number "</PartNumber><ETag>\"" etag "\"</ETag></Part>"
#define BODY                                                                                       \
    "<CompleteMultipartUpload>" PART("1", MD5_A) PART("2", MD5_B) "</CompleteMultipartUpload>"

static void add_part(struct rig *rig, uint32_t number, char letter, uint64_t size)
{
    struct meta_part *part = &rig->parts[rig->part_count++].part;
    *part = (struct meta_part){.number = number, .size = size, .mod_lsn = 10 + number};
    gfs_md5(gfs_slice_of(&letter, 1), part->etag);
    part->checksum.algo = META_CHECKSUM_CRC64NVME;
}

static struct rig *upload(const char *lines)
{
    struct rig *rig = rig_new(HTTP_POST, "key", "uploadId=" UPLOAD_ID, lines);
    rig->has_upload = true;
    add_part(rig, 1, 'a', GFS_PART_SIZE_MIN);
    add_part(rig, 2, 'b', 1);
    return rig;
}

static void etag_of(const struct rig *rig, char ret[64])
{
    uint8_t md5s[2 * META_ETAG_LEN];
    uint8_t md5[META_ETAG_LEN];
    char hex[2 * META_ETAG_LEN + 1];
    memcpy(md5s, rig->parts[0].part.etag, META_ETAG_LEN);
    memcpy(md5s + META_ETAG_LEN, rig->parts[1].part.etag, META_ETAG_LEN);
    gfs_md5(gfs_slice_of(md5s, sizeof md5s), md5);
    gfs_hex_encode(md5, sizeof md5, hex);
    (void)snprintf(ret, 64, "<ETag>&quot;%s-2&quot;</ETag>", hex);
}

Test(s3_multipart_complete, commits_the_parts_and_names_the_object)
{
    struct rig *rig = upload("host:h:9000\n");
    char etag[64];
    etag_of(rig, etag);
    rig_run(rig, &s3_op_complete_multipart_upload, BODY);
    cr_assert_eq(rig->status, 200, "%s", rig->message);
    RIG_ASSERT_BODY(rig, "<Location>http://h:9000/bucket/raw%20key</Location>");
    RIG_ASSERT_BODY(rig, "<Bucket>bucket</Bucket><Key>key</Key>");
    RIG_ASSERT_BODY(rig, etag);
    RIG_ASSERT_BODY(rig, "<ChecksumCRC64NVME>");
    RIG_ASSERT_BODY(rig, "<ChecksumType>FULL_OBJECT</ChecksumType>");
    cr_assert_eq(rig->last_op.kind, META_UPLOAD_COMPLETE);
    cr_assert_eq(rig->last_op.bucket_id, 7u);
    cr_assert_eq(rig->last_op.used_part_count, 2u);
    cr_assert_eq(rig->last_op.used_parts[1].mod_lsn, 12u);
    cr_assert_eq(rig->last_op.object->size, GFS_PART_SIZE_MIN + 1);
    cr_assert_eq(rig->last_op.upload_id[1], 0x11);
    rig_free(rig);
}

/* Another UploadPart came between: its row has a newer LSN. */
static void replace_part(struct rig *rig, struct meta_op *op)
{
    (void)op;
    rig->parts[1].part.mod_lsn++;
}

Test(s3_multipart_complete, reads_the_parts_again_when_they_changed)
{
    struct rig *rig = upload("");
    rig->commit_errs[0] = GFS_CONFLICT;
    rig->commit_errs[1] = GFS_CONFLICT;
    rig->on_commit = replace_part;
    rig_run(rig, &s3_op_complete_multipart_upload, BODY);
    cr_assert_eq(rig->status, 200, "%s", rig->message);
    cr_assert_eq(rig->commit_count, 3u);
    cr_assert_eq(rig->list_count, 3u);
    cr_assert_eq(rig->last_op.used_parts[1].mod_lsn, 14u);
    rig_free(rig);
}

Test(s3_multipart_complete, gives_up_after_a_few_conflicts)
{
    static const struct {
        const char *lines;
        enum s3_err err;
    } cases[] = {{"", S3_OperationAborted}, {"if-none-match:*", S3_ConditionalRequestConflict}};
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct rig *rig = upload(cases[i].lines);
        for (size_t j = 0; j < RIG_ERRS_MAX; j++) {
            rig->commit_errs[j] = GFS_CONFLICT;
        }
        rig_run(rig, &s3_op_complete_multipart_upload, BODY);
        cr_assert_eq(rig->err, cases[i].err);
        cr_assert_eq(rig->status, 409);
        cr_assert_leq(rig->commit_count, 5u);
        rig_free(rig);
    }
}

static void remember_completed(struct rig *rig, const struct meta_op *op)
{
    rig->has_upload = false;
    rig->has_completed = true;
    rig->completed = (struct meta_completed){.bucket_id = op->bucket_id,
                                             .key = op->key,
                                             .etag_parts = op->object->etag_parts,
                                             .checksum = op->object->checksum};
    memcpy(rig->completed.etag, op->object->etag, META_ETAG_LEN);
}

/* The first Complete wins between this one's reading and its commit. */
static void complete_before(struct rig *rig, struct meta_op *op)
{
    if (rig->commit_count == 1) {
        remember_completed(rig, op);
    }
}

Test(s3_multipart_complete, a_race_with_itself_ends_in_the_same_answer)
{
    struct rig *rig = upload("if-none-match:*");
    char etag[64];
    etag_of(rig, etag);
    rig->commit_errs[0] = GFS_NOT_FOUND;
    rig->what_missing = META_MISSING_UPLOAD;
    rig->on_commit = complete_before;
    rig_run(rig, &s3_op_complete_multipart_upload, BODY);
    cr_assert_eq(rig->status, 200, "%s", rig->message);
    cr_assert_eq(rig->commit_count, 1u);
    RIG_ASSERT_BODY(rig, etag);
    rig_free(rig);
}

static struct rig *repeated(void)
{
    struct rig *first = upload("");
    struct rig *rig = upload("");
    rig_run(first, &s3_op_complete_multipart_upload, BODY);
    remember_completed(rig, &first->last_op);
    rig_free(first);
    return rig;
}

Test(s3_multipart_complete, repeating_a_finished_one_gives_the_same_answer)
{
    struct rig *rig = repeated();
    char etag[64];
    etag_of(rig, etag);
    rig_run(rig, &s3_op_complete_multipart_upload, BODY);
    cr_assert_eq(rig->status, 200, "%s", rig->message);
    cr_assert_eq(rig->commit_count, 0u);
    RIG_ASSERT_BODY(rig, etag);
    RIG_ASSERT_BODY(rig, "<ChecksumCRC64NVME>");
    rig_free(rig);
}

Test(s3_multipart_complete, another_list_of_parts_or_key_is_no_repetition)
{
    struct rig *rig = repeated();
    rig_run(rig, &s3_op_complete_multipart_upload,
            "<CompleteMultipartUpload>" PART("1", MD5_A) "</CompleteMultipartUpload>");
    cr_assert_eq(rig->err, S3_NoSuchUpload);
    rig_free(rig);
    rig = repeated();
    rig->completed.key = GFS_SLICE_LITERAL("other");
    rig_run(rig, &s3_op_complete_multipart_upload, BODY);
    cr_assert_eq(rig->err, S3_NoSuchUpload);
    rig_free(rig);
    rig = repeated();
    rig->completed.bucket_id++;
    rig_run(rig, &s3_op_complete_multipart_upload, BODY);
    cr_assert_eq(rig->err, S3_NoSuchUpload);
    rig_free(rig);
}

Test(s3_multipart_complete, answers_of_the_commit_become_s3_errors)
{
    static const struct {
        enum gfs_err err;
        enum meta_missing missing;
        enum s3_err want;
    } cases[] = {{GFS_PRECONDITION, META_MISSING_NONE, S3_PreconditionFailed},
                 {GFS_NOT_FOUND, META_MISSING_KEY, S3_NoSuchKey},
                 {GFS_NOT_FOUND, META_MISSING_BUCKET, S3_NoSuchBucket},
                 {GFS_NO_SPACE, META_MISSING_NONE, S3_StorageFull},
                 {GFS_BUSY, META_MISSING_NONE, S3_SlowDown},
                 {GFS_IO, META_MISSING_NONE, S3_InternalError}};
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct rig *rig = upload("if-match:*");
        rig->commit_errs[0] = cases[i].err;
        rig->what_missing = cases[i].missing;
        rig_run(rig, &s3_op_complete_multipart_upload, BODY);
        cr_assert(rig->last_op.condition.if_match_any);
        cr_assert_eq(rig->err, cases[i].want);
        cr_assert_eq(rig->commit_count, 1u);
        rig_free(rig);
    }
}

Test(s3_multipart_complete, nothing_is_committed_when_a_promise_is_broken)
{
    static const struct {
        const char *lines;
        enum s3_err err;
    } cases[] = {
        {"x-amz-mp-object-size:1", S3_InvalidRequest},
        {"x-amz-mp-object-size:x", S3_InvalidRequest},
        {"x-amz-checksum-type:COMPOSITE", S3_InvalidRequest},
        {"x-amz-checksum-type:HALF", S3_InvalidRequest},
        {"x-amz-checksum-crc64nvme:AAAAAAAAAAE=", S3_BadDigest},
        {"x-amz-checksum-crc32:NhCmhg==", S3_InvalidRequest},
        {"x-amz-checksum-crc32:!", S3_InvalidRequest},
        {"x-amz-checksum-crc32:NhCmhg==\nx-amz-checksum-crc32c:NhCmhg==", S3_InvalidRequest},
        {"x-amz-server-side-encryption-customer-algorithm:AES256", S3_NotImplemented},
        {"if-none-match:\"x\"", S3_NotImplemented},
    };
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct rig *rig = upload(cases[i].lines);
        rig_run(rig, &s3_op_complete_multipart_upload, BODY);
        cr_assert_eq(rig->err, cases[i].err, "%s: %s", cases[i].lines, rig->message);
        cr_assert_eq(rig->commit_count, 0u);
        rig_free(rig);
    }
}

Test(s3_multipart_complete, unknown_uploads_and_bad_bodies_are_refused)
{
    struct rig *rig = upload("");
    rig->has_upload = false;
    rig_run(rig, &s3_op_complete_multipart_upload, BODY);
    cr_assert_eq(rig->err, S3_NoSuchUpload);
    rig_free(rig);
    rig = rig_new(HTTP_POST, "key", "uploadId=nonsense", "");
    rig_run(rig, &s3_op_complete_multipart_upload, BODY);
    cr_assert_eq(rig->err, S3_NoSuchUpload);
    rig_free(rig);
    rig = upload("");
    rig_run(rig, &s3_op_complete_multipart_upload, "<CompleteMultipartUpload/>");
    cr_assert_eq(rig->err, S3_MalformedXML);
    rig_free(rig);
    rig = upload("");
    rig->read_err = GFS_CORRUPT;
    rig_run(rig, &s3_op_complete_multipart_upload, BODY);
    cr_assert_eq(rig->err, S3_InternalError);
    rig_free(rig);
}
