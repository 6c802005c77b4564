#include "gateway/s3_complete.h"

#include "gateway/checksum.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/digest.h"
#include "libgoodfs/mem.h"

/* The uploaded part of each wanted one, in order, into ret->used. */
static enum s3_err choose(const struct s3_complete_request *request,
                          const struct meta_part *uploaded, uint32_t uploaded_count,
                          struct s3_completed *ret)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < request->part_count; i++) {
        const struct s3_wanted_part *want = &request->parts[i];
        while (at < uploaded_count && uploaded[at].number < want->number) {
            at++;
        }
        if (at == uploaded_count || uploaded[at].number != want->number || !want->is_etag_valid ||
            memcmp(uploaded[at].etag, want->etag, sizeof want->etag) != 0) {
            return S3_InvalidPart;
        }
        ret->used[ret->used_count++] = uploaded[at];
    }
    return S3_OK;
}

/* A checksum the client repeats must be the part's; one that was never computed cannot be. */
static bool part_checksum_holds(const struct meta_checksum *want, const struct meta_part *part)
{
    uint8_t crc64[META_CHECKSUM_LEN_MAX];
    const uint8_t *have = part->checksum.value;
    if (want->algo == META_CHECKSUM_NONE) {
        return true;
    }
    if (want->algo == META_CHECKSUM_CRC64NVME) {
        checksum_store_crc(META_CHECKSUM_CRC64NVME, part->crc64, crc64);
        have = crc64;
    } else if (want->algo != part->checksum.algo) {
        return false;
    }
    return memcmp(want->value, have, meta_checksum_len(want->algo)) == 0;
}

static enum s3_err check_parts(const struct s3_complete_request *request,
                               const struct s3_completed *done, struct gfs_arena *arena,
                               const char **ret_message)
{
    for (uint32_t i = 0; i < done->used_count; i++) {
        const struct meta_part *part = &done->used[i];
        if (!part_checksum_holds(&request->parts[i].checksum, part)) {
            return S3_InvalidPart;
        }
        if (i + 1 < done->used_count && part->size < GFS_PART_SIZE_MIN) {
            *ret_message = gfs_arena_printf(
                arena,
                "Your proposed upload is smaller than the minimum allowed size: part %u has %llu "
                "bytes, every part but the last needs %llu",
                part->number, (unsigned long long)part->size,
                (unsigned long long)GFS_PART_SIZE_MIN);
            return S3_EntityTooSmall;
        }
    }
    return S3_OK;
}

void s3_complete_etag(const struct s3_complete_request *request, uint8_t ret[META_ETAG_LEN])
{
    struct gfs_digest digest;
    gfs_digest_init(&digest, GFS_MD5);
    for (uint32_t i = 0; i < request->part_count; i++) {
        gfs_digest_add(&digest, request->parts[i].etag, META_ETAG_LEN);
    }
    gfs_digest_fini(&digest, ret);
}

/* Sizes, chunks and the CRC64 that every object has. */
static enum s3_err join(struct s3_completed *done, struct gfs_arena *arena)
{
    struct meta_object *object = &done->object;
    uint64_t chunk_count = 0;
    for (uint32_t i = 0; i < done->used_count; i++) {
        chunk_count += done->used[i].chunk_count;
    }
    object->parts = gfs_arena_alloc(arena, done->used_count * sizeof *object->parts);
    object->chunks = gfs_arena_alloc(arena, chunk_count * sizeof *object->chunks);
    if (object->parts == NULL || object->chunks == NULL) {
        return S3_SlowDown;
    }
    for (uint32_t i = 0; i < done->used_count; i++) {
        const struct meta_part *part = &done->used[i];
        object->parts[i] = *part;
        object->parts[i].chunks = NULL;
        object->parts[i].mod_lsn = 0;
        if (part->chunk_count > 0) {
            memcpy(object->chunks + object->chunk_count, part->chunks,
                   part->chunk_count * sizeof *part->chunks);
        }
        object->chunk_count += part->chunk_count;
        object->size += part->size;
        object->crc64 = gfs_crc64nvme_combine(object->crc64, part->crc64, part->size);
        if (object->size > GFS_OBJECT_SIZE_MAX) {
            return S3_EntityTooLarge;
        }
    }
    object->part_count = done->used_count;
    return S3_OK;
}

static uint32_t load_crc32(const uint8_t value[META_CHECKSUM_LEN_MAX])
{
    return (uint32_t)value[0] << 24 | (uint32_t)value[1] << 16 | (uint32_t)value[2] << 8 | value[3];
}

static void combine_full(const struct s3_completed *done, struct meta_checksum *ret)
{
    uint64_t crc = 0;
    for (uint32_t i = 0; i < done->used_count; i++) {
        const struct meta_part *part = &done->used[i];
        uint32_t next = load_crc32(part->checksum.value);
        crc = ret->algo == META_CHECKSUM_CRC32
                  ? gfs_crc32_combine((uint32_t)crc, next, part->size)
                  : gfs_crc32c_combine((uint32_t)crc, next, part->size);
    }
    checksum_store_crc(ret->algo, crc, ret->value);
}

/* A checksum of the parts' checksums. */
static void combine_composite(const struct s3_completed *done, struct meta_checksum *ret)
{
    struct checksum sum;
    checksum_init(&sum, ret->algo);
    for (uint32_t i = 0; i < done->used_count; i++) {
        checksum_add(&sum, done->used[i].checksum.value, meta_checksum_len(ret->algo));
    }
    checksum_fini(&sum, ret->value);
}

/* The object's checksum by the upload's algorithm; CRC64NVME when it named none. */
static enum s3_err combine(const struct meta_object *upload, struct s3_completed *done,
                           struct gfs_arena *arena, const char **ret_message)
{
    struct meta_checksum *ret = &done->object.checksum;
    *ret = (struct meta_checksum){.algo = upload->checksum.algo, .type = upload->checksum.type};
    if (ret->algo == META_CHECKSUM_NONE || ret->algo == META_CHECKSUM_CRC64NVME) {
        ret->algo = META_CHECKSUM_CRC64NVME;
        ret->type = META_CHECKSUM_FULL_OBJECT;
        checksum_store_crc(ret->algo, done->object.crc64, ret->value);
        return S3_OK;
    }
    for (uint32_t i = 0; i < done->used_count; i++) {
        if (done->used[i].checksum.algo != ret->algo) {
            *ret_message = gfs_arena_printf(
                arena, "The upload was created using a %s checksum. Part %u has none.",
                s3_checksum_name(ret->algo), done->used[i].number);
            return S3_InvalidRequest;
        }
    }
    if (ret->type == META_CHECKSUM_COMPOSITE) {
        combine_composite(done, ret);
    } else {
        combine_full(done, ret);
    }
    return S3_OK;
}

static enum s3_err check_type(const struct s3_complete_request *request,
                              const struct meta_object *upload, struct gfs_arena *arena,
                              const char **ret_message)
{
    if (request->has_type && request->type != upload->checksum.type) {
        *ret_message = gfs_arena_printf(arena,
                                        "The upload was created using the %s checksum mode. The "
                                        "complete request must use the same checksum mode.",
                                        s3_checksum_type_name(upload->checksum.type));
        return S3_InvalidRequest;
    }
    return S3_OK;
}

/* What the client promised about the whole object. */
static enum s3_err check_object(const struct s3_complete_request *request,
                                const struct meta_object *object, struct gfs_arena *arena,
                                const char **ret_message)
{
    if (request->has_size && request->size != object->size) {
        *ret_message = gfs_arena_printf(
            arena,
            "The provided 'x-amz-mp-object-size' header value %llu does not match what was "
            "computed: %llu",
            (unsigned long long)request->size, (unsigned long long)object->size);
        return S3_InvalidRequest;
    }
    const struct meta_checksum *want = &request->checksum;
    if (want->algo == META_CHECKSUM_NONE) {
        return S3_OK;
    }
    if (want->algo != object->checksum.algo) {
        *ret_message = gfs_arena_printf(
            arena,
            "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: "
            "%s",
            s3_checksum_name(object->checksum.algo), s3_checksum_name(want->algo));
        return S3_InvalidRequest;
    }
    bool is_count_wrong =
        request->checksum_parts != 0 && request->checksum_parts != object->part_count;
    if (is_count_wrong ||
        memcmp(want->value, object->checksum.value, meta_checksum_len(want->algo)) != 0) {
        *ret_message =
            gfs_arena_printf(arena, "The %s you specified did not match the calculated checksum.",
                             s3_checksum_name(want->algo));
        return S3_BadDigest;
    }
    return S3_OK;
}

enum s3_err s3_complete_build(const struct s3_complete_request *request,
                              const struct meta_object *upload, const struct meta_part *uploaded,
                              uint32_t uploaded_count, struct gfs_arena *arena,
                              struct s3_completed *ret, const char **ret_message)
{
    *ret = (struct s3_completed){
        .object = {.storage_class = upload->storage_class,
                   .header_count = upload->header_count,
                   .headers = upload->headers,
                   .etag_parts = request->part_count},
        .used = gfs_arena_alloc(arena, request->part_count * sizeof *ret->used),
    };
    if (ret->used == NULL) {
        return S3_SlowDown;
    }
    enum s3_err err = check_type(request, upload, arena, ret_message);
    if (err == S3_OK) {
        err = choose(request, uploaded, uploaded_count, ret);
    }
    if (err == S3_OK) {
        err = check_parts(request, ret, arena, ret_message);
    }
    if (err == S3_OK) {
        err = join(ret, arena);
    }
    if (err == S3_OK) {
        s3_complete_etag(request, ret->object.etag);
        err = combine(upload, ret, arena, ret_message);
    }
    return err == S3_OK ? check_object(request, &ret->object, arena, ret_message) : err;
}
