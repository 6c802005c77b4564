#include "datad/segment.h"

#include <stddef.h>
#include <string.h>

#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "segments are little-endian");

void segment_header_seal(struct segment_header *header)
{
    header->magic = SEGMENT_HEADER_MAGIC;
    header->version = SEGMENT_VERSION;
    header->crc = gfs_crc32c(0, header, offsetof(struct segment_header, crc));
}

enum gfs_err segment_header_parse(const void *page, struct segment_header *ret)
{
    struct segment_header header;
    memcpy(&header, page, sizeof header);
    if (header.magic != SEGMENT_HEADER_MAGIC ||
        header.crc != gfs_crc32c(0, &header, offsetof(struct segment_header, crc))) {
        return GFS_CORRUPT;
    }
    if (header.version != SEGMENT_VERSION) {
        return GFS_UNSUPPORTED;
    }
    if (header.size < 4 * SEGMENT_PAGE || header.size > UINT32_MAX ||
        header.size % SEGMENT_PAGE != 0 || header.seq == 0 || header.seq > INT32_MAX) {
        return GFS_CORRUPT;
    }
    *ret = header;
    return GFS_OK;
}

void segment_batch_seal(void *bytes, struct batch_header *header)
{
    GFS_ASSERT(header->len % SEGMENT_PAGE == 0);
    GFS_ASSERT(header->used >= sizeof *header && header->used <= header->len);
    char *ptr = bytes;
    memset(ptr + header->used, 0, header->len - header->used);
    header->magic = SEGMENT_BATCH_MAGIC;
    header->version = SEGMENT_VERSION;
    header->flags |= header->lsn_gone != 0 ? (uint16_t)SEGMENT_BATCH_GONE : (uint16_t)0;
    header->body_crc = gfs_crc32c(0, ptr + sizeof *header, header->used - sizeof *header);
    header->crc = gfs_crc32c(0, header, offsetof(struct batch_header, crc));
    memcpy(ptr, header, sizeof *header);
}

enum gfs_err segment_batch_parse(const void *bytes, size_t room,
                                 const struct segment_header *segment, struct batch_header *ret)
{
    struct batch_header header;
    if (room < sizeof header) {
        return GFS_CORRUPT;
    }
    memcpy(&header, bytes, sizeof header);
    if (header.magic != SEGMENT_BATCH_MAGIC || header.salt != segment->salt ||
        header.segment_seq != segment->seq || header.version != SEGMENT_VERSION) {
        return GFS_CORRUPT;
    }
    if (header.crc != gfs_crc32c(0, &header, offsetof(struct batch_header, crc)) ||
        header.used < sizeof header || header.used > header.len || header.len > room ||
        header.len % SEGMENT_PAGE != 0) {
        return GFS_CORRUPT;
    }
    if ((header.flags & SEGMENT_BATCH_GONE) == 0) {
        header.lsn_gone = 0; /* earlier writers had something else there */
    }
    *ret = header;
    return GFS_OK;
}

enum gfs_err segment_batch_verify(const void *bytes, const struct batch_header *header)
{
    uint32_t crc =
        gfs_crc32c(0, (const char *)bytes + sizeof *header, header->used - sizeof *header);
    return crc == header->body_crc ? GFS_OK : GFS_CORRUPT;
}

size_t segment_record_finish(void *to, const struct record_header *head, struct gfs_slice owner)
{
    GFS_ASSERT(owner.len <= CHUNK_OWNER_LEN_MAX);
    struct record_header header = *head;
    header.magic = SEGMENT_RECORD_MAGIC;
    header.reserved = 0;
    header.reserved2 = 0;
    header.owner_len = (uint16_t)owner.len;
    header.block_count = segment_block_count(header.payload_len);
    size_t table_len = header.block_count * sizeof(uint32_t);
    char *ptr = to;
    if (owner.len != 0) {
        memcpy(ptr + sizeof header + table_len, owner.ptr, owner.len);
    }
    uint32_t crc = gfs_crc32c(0, &header, offsetof(struct record_header, crc));
    header.crc = gfs_crc32c(crc, ptr + sizeof header, table_len + owner.len);
    memcpy(ptr, &header, sizeof header);
    return sizeof header + table_len + owner.len;
}

size_t segment_record_write(void *to, const struct record_header *head, struct gfs_slice owner,
                            struct gfs_slice payload)
{
    GFS_ASSERT(payload.len <= UINT32_MAX);
    struct record_header header = *head;
    header.payload_len = (uint32_t)payload.len;
    char *table = (char *)to + sizeof header;
    size_t offset = 0;
    while (offset < payload.len) {
        size_t len = GFS_MIN(payload.len - offset, (size_t)GFS_BLOCK_SIZE);
        uint32_t crc = gfs_crc32c(0, payload.ptr + offset, len);
        memcpy(table, &crc, sizeof crc);
        table += sizeof crc;
        offset += len;
    }
    return segment_record_finish(to, &header, owner);
}

static uint32_t payload_len_max(uint8_t kind)
{
    switch (kind) {
    case CHUNK_RECORD_DATA:
        return GFS_SMALL_CHUNK_MAX;
    case CHUNK_RECORD_PLACE:
        return sizeof(struct place_entry);
    case CHUNK_RECORD_DELETE:
    case CHUNK_RECORD_EDIT:
        return 2 * CHUNK_EDIT_LEN_MAX;
    case SEGMENT_RECORD_BULK:
        return GFS_CHUNK_SIZE_MAX;
    default:
        return 0;
    }
}

static bool is_sane_head(const struct record_header *head)
{
    if (head->magic != SEGMENT_RECORD_MAGIC || head->kind < CHUNK_RECORD_DATA ||
        head->kind > SEGMENT_RECORD_BULK || head->owner_len > CHUNK_OWNER_LEN_MAX ||
        head->payload_len > payload_len_max(head->kind) ||
        head->block_count != segment_block_count(head->payload_len)) {
        return false;
    }
    bool is_of_chunk = head->kind != CHUNK_RECORD_DELETE && head->kind != CHUNK_RECORD_EDIT;
    if (is_of_chunk && (head->id_hi | head->id_lo) == 0) {
        return false; /* no chunk has it, and the index takes it for an empty place */
    }
    if (head->kind == CHUNK_RECORD_PLACE) {
        return head->payload_len == sizeof(struct place_entry);
    }
    return head->kind != CHUNK_RECORD_DELETE || head->payload_len % sizeof(struct tombstone) == 0;
}

enum gfs_err segment_head_parse(const void *bytes, size_t len, struct segment_record *ret)
{
    struct record_header head;
    if (len < sizeof head) {
        return GFS_CORRUPT;
    }
    const char *ptr = bytes;
    memcpy(&head, ptr, sizeof head);
    if (!is_sane_head(&head)) {
        return GFS_CORRUPT;
    }
    size_t rest = head.block_count * sizeof(uint32_t) + head.owner_len;
    if (rest > len - sizeof head) {
        return GFS_CORRUPT;
    }
    uint32_t crc = gfs_crc32c(0, &head, offsetof(struct record_header, crc));
    if (head.crc != gfs_crc32c(crc, ptr + sizeof head, rest)) {
        return GFS_CORRUPT;
    }
    *ret = (struct segment_record){
        .head = head,
        .table = ptr + sizeof head,
        .owner =
            gfs_slice_of(ptr + sizeof head + head.block_count * sizeof(uint32_t), head.owner_len),
        .size = segment_record_size(head.payload_len, head.owner_len),
    };
    return GFS_OK;
}

enum gfs_err segment_record_next(const void *bytes, size_t used, size_t *offset,
                                 struct segment_record *ret)
{
    GFS_ASSERT(*offset <= used);
    if (*offset == used) {
        return GFS_END;
    }
    struct segment_record record;
    const char *ptr = (const char *)bytes + *offset;
    enum gfs_err err = segment_head_parse(ptr, used - *offset, &record);
    if (err != GFS_OK) {
        return err;
    }
    if (record.head.kind == SEGMENT_RECORD_BULK || record.size > used - *offset) {
        return GFS_CORRUPT;
    }
    record.payload =
        gfs_slice_of(ptr + segment_head_len(record.head.payload_len, record.head.owner_len),
                     record.head.payload_len);
    record.offset = *offset;
    *offset += record.size;
    *ret = record;
    return GFS_OK;
}

enum gfs_err segment_blocks_verify(const char *table, uint32_t first_block, const void *bytes,
                                   size_t len)
{
    const char *ptr = bytes;
    for (size_t offset = 0; offset < len; offset += GFS_BLOCK_SIZE) {
        uint32_t expected;
        memcpy(&expected, table + (size_t)first_block * sizeof expected, sizeof expected);
        if (gfs_crc32c(0, ptr + offset, GFS_MIN(len - offset, (size_t)GFS_BLOCK_SIZE)) !=
            expected) {
            return GFS_CORRUPT;
        }
        first_block++;
    }
    return GFS_OK;
}

enum gfs_err segment_payload_verify(const struct segment_record *record)
{
    return segment_blocks_verify(record->table, 0, record->payload.ptr, record->payload.len);
}
