#include "gateway/checksum.h"

#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

void checksum_init(struct checksum *sum, enum meta_checksum_algo algo)
{
    sum->algo = algo;
    sum->crc = 0;
    if (algo == META_CHECKSUM_SHA1) {
        gfs_digest_init(&sum->digest, GFS_SHA1);
    } else if (algo == META_CHECKSUM_SHA256) {
        gfs_digest_init(&sum->digest, GFS_SHA256);
    }
}

void checksum_add(struct checksum *sum, const void *ptr, size_t len)
{
    switch (sum->algo) {
    case META_CHECKSUM_NONE:
        break;
    case META_CHECKSUM_CRC32:
        sum->crc = gfs_crc32((uint32_t)sum->crc, ptr, len);
        break;
    case META_CHECKSUM_CRC32C:
        sum->crc = gfs_crc32c((uint32_t)sum->crc, ptr, len);
        break;
    case META_CHECKSUM_CRC64NVME:
        sum->crc = gfs_crc64nvme(sum->crc, ptr, len);
        break;
    case META_CHECKSUM_SHA1:
    case META_CHECKSUM_SHA256:
        gfs_digest_add(&sum->digest, ptr, len);
        break;
    }
}

void checksum_store_crc(enum meta_checksum_algo algo, uint64_t crc,
                        uint8_t ret[META_CHECKSUM_LEN_MAX])
{
    size_t len = meta_checksum_len(algo);
    GFS_ASSERT(len <= sizeof crc);
    for (size_t i = 0; i < len; i++) {
        ret[i] = (uint8_t)(crc >> (8 * (len - 1 - i)));
    }
}

void checksum_fini(struct checksum *sum, uint8_t ret[META_CHECKSUM_LEN_MAX])
{
    if (sum->algo == META_CHECKSUM_SHA1 || sum->algo == META_CHECKSUM_SHA256) {
        gfs_digest_fini(&sum->digest, ret);
    } else if (sum->algo != META_CHECKSUM_NONE) {
        checksum_store_crc(sum->algo, sum->crc, ret);
    }
}

enum s3_err checksum_from_trailer(struct s3_declared_checksum *declared, struct gfs_slice trailer,
                                  const char **ret_message)
{
    if (declared->algo == META_CHECKSUM_NONE || declared->has_value || trailer.len == 0) {
        return S3_OK;
    }
    if (gfs_base64_decode_exact(trailer, declared->value, meta_checksum_len(declared->algo)) !=
        GFS_OK) {
        *ret_message = "Value for the checksum trailing header is invalid.";
        return S3_InvalidRequest;
    }
    declared->has_value = true;
    return S3_OK;
}
