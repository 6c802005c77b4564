/* Input: bytes of a segment, whole or in part; then the same bytes as payloads of records, which
 * are written, sealed, damaged in one place, and read again. */
#include "datad/segment.h"
#include "fuzz.h"

enum { BATCH_SIZE_MAX = 512 << 10, RECORDS_MAX = 16 };

static bool is_inside(struct gfs_slice part, const char *bytes, size_t len)
{
    return part.len == 0 || (part.ptr >= bytes && part.ptr + part.len <= bytes + len);
}

/* Answers how many records could be read. */
static unsigned walk(const char *bytes, size_t used)
{
    size_t offset = sizeof(struct batch_header);
    struct segment_record record;
    unsigned count = 0;
    while (segment_record_next(bytes, used, &offset, &record) == GFS_OK) {
        FUZZ_CHECK(offset <= used);
        FUZZ_CHECK(is_inside(record.owner, bytes, used));
        FUZZ_CHECK(is_inside(record.payload, bytes, used));
        (void)!segment_payload_verify(&record);
        count++;
    }
    return count;
}

static void read_any(const char *bytes, size_t size)
{
    struct segment_header segment = {0};
    struct segment_record record;
    if (size >= sizeof segment) {
        (void)!segment_header_parse(bytes, &segment);
    }
    (void)!segment_head_parse(bytes, size, &record);
    struct batch_header batch;
    if (size >= sizeof batch) {
        memcpy(&batch, bytes, sizeof batch);
        segment.salt = batch.salt; /* as if it belonged to this segment */
        segment.seq = batch.segment_seq;
        if (segment_batch_parse(bytes, size, &segment, &batch) == GFS_OK) {
            FUZZ_CHECK(batch.len <= size && batch.used <= batch.len);
            (void)!segment_batch_verify(bytes, &batch);
        }
        (void)walk(bytes, size);
    }
}

/* Records whose payloads are lines of the input. */
static unsigned write_records(char *bytes, struct gfs_slice rest, struct batch_header *batch)
{
    size_t at = sizeof *batch;
    unsigned count = 0;
    while (rest.len != 0 && count < RECORDS_MAX) {
        struct gfs_slice owner = fuzz_cut(&rest, ':');
        struct gfs_slice payload = fuzz_line(&rest);
        owner.len = owner.len > CHUNK_OWNER_LEN_MAX ? CHUNK_OWNER_LEN_MAX : owner.len;
        struct record_header head = {
            .kind = CHUNK_RECORD_DATA, .id_hi = 1, .id_lo = count, .owner_len = 0};
        size_t size = segment_record_size(payload.len, owner.len);
        if (at + size > BATCH_SIZE_MAX - SEGMENT_PAGE) {
            break;
        }
        size_t head_len = segment_record_write(bytes + at, &head, owner, payload);
        if (payload.len != 0) {
            memcpy(bytes + at + head_len, payload.ptr, payload.len);
        }
        at += size;
        count++;
    }
    batch->used = (uint32_t)at;
    batch->len = (uint32_t)segment_align_page(at);
    segment_batch_seal(bytes, batch);
    return count;
}

static void write_and_damage(const uint8_t *data, size_t size)
{
    char *bytes = calloc(1, BATCH_SIZE_MAX);
    FUZZ_CHECK(bytes != NULL);
    struct segment_header segment = {.seq = 3, .salt = 4};
    struct batch_header batch = {.salt = 4, .segment_seq = 3, .batch_seq = 5};
    unsigned count = write_records(bytes, gfs_slice_of(data, size), &batch);
    struct batch_header found;
    FUZZ_CHECK(segment_batch_parse(bytes, BATCH_SIZE_MAX, &segment, &found) == GFS_OK);
    FUZZ_CHECK(segment_batch_verify(bytes, &found) == GFS_OK);
    FUZZ_CHECK(walk(bytes, found.used) == count);
    uint64_t state = size;
    size_t place = (fuzz_step(&state) + (size == 0 ? 0 : data[0])) % found.used;
    bytes[place] ^= (char)(1 << (place % 8));
    bool is_whole = segment_batch_parse(bytes, BATCH_SIZE_MAX, &segment, &batch) == GFS_OK &&
                    segment_batch_verify(bytes, &batch) == GFS_OK;
    FUZZ_CHECK(!is_whole);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1); /* its end is where reading too far is seen */
    FUZZ_CHECK(copy != NULL);
    if (size != 0) {
        memcpy(copy, data, size);
    }
    read_any(copy, size);
    free(copy);
    write_and_damage(data, size);
    return 0;
}
