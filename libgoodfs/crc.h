/* CRC32 (zlib), CRC32C (Castagnoli) and CRC64NVME: streaming, combinable.
 * All take the running value of the bytes before (0 at the start) and return that of all bytes;
 * pre- and post-inversion are inside. Any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint32_t gfs_crc32(uint32_t crc, const void *ptr, size_t len);
uint32_t gfs_crc32c(uint32_t crc, const void *ptr, size_t len);
/* "123456789" -> 0xAE8B14860A799888. PCLMULQDQ (x86-64) or PMULL (arm64) with a portable twin. */
uint64_t gfs_crc64nvme(uint64_t crc, const void *ptr, size_t len);
uint64_t gfs_crc64nvme_portable(uint64_t crc, const void *ptr, size_t len);

/* CRC of A||B from those of A and B and the length of B in bytes. */
uint32_t gfs_crc32_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);
uint32_t gfs_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);
uint64_t gfs_crc64nvme_combine(uint64_t crc_a, uint64_t crc_b, uint64_t len_b);
