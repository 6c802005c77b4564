/* One running checksum of any of S3's algorithms. */
#pragma once

#include "gateway/s3.h"
#include "libgoodfs/digest.h"
#include "libgoodfs/meta_service.h"

/* Plain data, nothing to free. Owned by one thread at a time. */
struct checksum {
    enum meta_checksum_algo algo;
    uint64_t crc;
    struct gfs_digest digest; /* SHA1, SHA256 */
};

void checksum_init(struct checksum *sum, enum meta_checksum_algo algo);
void checksum_add(struct checksum *sum, const void *ptr, size_t len);
/* ret gets meta_checksum_len bytes, CRCs big-endian; nothing for NONE. */
void checksum_fini(struct checksum *sum, uint8_t ret[META_CHECKSUM_LEN_MAX]);
/* A CRC as the big-endian bytes S3 shows. */
void checksum_store_crc(enum meta_checksum_algo algo, uint64_t crc,
                        uint8_t ret[META_CHECKSUM_LEN_MAX]);

/* Takes the value of a declared checksum from the trailer when it was not in a header.
 * S3_InvalidRequest when it was announced for the trailer and is not there or not valid. */
enum s3_err checksum_from_trailer(struct s3_declared_checksum *declared, struct gfs_slice trailer,
                                  const char **ret_message);
