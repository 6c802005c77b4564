/* Every bound of the program in one place, each with its source. */
#pragma once

enum {
    GFS_KEY_LEN_MAX = 1024,           /* bytes, S3 object key */
    GFS_BUCKET_NAME_LEN_MAX = 63,     /* S3 bucket naming rules; the minimum is 3 */
    GFS_PART_NUMBER_MAX = 10000,      /* S3 multipart limits */
    GFS_LIST_KEYS_MAX = 1000,         /* S3 max-keys, max-parts, max-uploads */
    GFS_DELETE_KEYS_MAX = 1000,       /* S3 DeleteObjects */
    GFS_USER_METADATA_LEN_MAX = 2048, /* bytes of x-amz-meta-* names and values, S3 */
    GFS_HEADER_COUNT_MAX = 200,       /* headers a request may carry */
    GFS_HEADER_BYTES_MAX = 32 * 1024, /* request line and headers together */
    GFS_XML_BODY_MAX =
        2 * 1024 * 1024,              /* 10,000 parts with two checksums, or 1,000 keys of 1 KiB */
    GFS_BLOCK_SIZE = 64 * 1024,       /* bytes under one checksum in a stored chunk */
    GFS_SMALL_CHUNK_MAX = 256 * 1024, /* up to here a chunk is packed in the log */
    GFS_CHUNK_SIZE_MAX = 64 * 1024 * 1024,
};

#define GFS_PART_SIZE_MIN (5ULL << 20)    /* bytes, every part but the last, S3 */
#define GFS_PART_SIZE_MAX (5ULL << 30)    /* bytes, S3; also a single PUT and copy */
#define GFS_OBJECT_SIZE_MAX (50ULL << 40) /* bytes, S3 since December 2025 */
