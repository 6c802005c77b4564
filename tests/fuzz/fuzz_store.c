/* Input: changes to the bytes of a small store's log; with a flag, the checksums are made right
 * again, so that what they protect is looked at too. The store is opened on that, read, verified,
 * opened once more, said to be repaired, and opened for the last time. Layout of the input: a byte
 * of flags, then 4 bytes a change: page, offset (2), value. */
#include "datad/segment.h"
#include "datad/store.h"
#include "fuzz.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"
#include "tests/sim/io_sim.h"

enum {
    SEGMENT_SIZE = 64 << 10,
    CAPACITY = 8 << 20,
    CHUNKS = 5,
    LEN = 3000,
    FLAG_SEAL = 1,
    FLAG_NO_CHECKPOINT = 2,
};

static const char segment_name[] = "log/000000000001.seg";

static struct store *open_store(struct gfs_io_sim *disk)
{
    struct store_options options = {.io = gfs_io_sim_io(disk),
                                    .segment_size = SEGMENT_SIZE,
                                    .bulk_size = 1 << 20,
                                    .reserve_bytes = 1 << 20,
                                    .is_manual = true};
    struct store *store = NULL;
    return store_open(&options, &store, NULL) == GFS_OK ? store : NULL;
}

static void group_done(struct chunk_group *group, enum gfs_err err)
{
    group->err = err;
}

static void finished(void *arg, enum gfs_err err)
{
    FUZZ_CHECK(err == GFS_OK);
    *(bool *)arg = true;
}

static void submit(struct store *store, struct chunk_record *record, uint64_t lsn)
{
    struct chunk_record edit = {
        .kind = CHUNK_RECORD_EDIT, .lsn = lsn, .payload = gfs_slice_str("edit")};
    record->next = &edit;
    struct chunk_group group = {.records = record, .done = group_done, .may_use_reserve = true};
    store_chunks(store)->ops->submit(store_chunks(store), &group);
    store_settle(store);
    FUZZ_CHECK(group.err == GFS_OK);
}

static struct chunk_id id_of(uint64_t n)
{
    return (struct chunk_id){.hi = 9, .lo = n};
}

static void put(struct store *store, uint64_t n, bool is_bulk, const char *bytes, uint64_t lsn)
{
    const struct chunk_store_ops *ops = store_chunks(store)->ops;
    struct chunk_record record = {.kind = CHUNK_RECORD_DATA,
                                  .id = id_of(n),
                                  .owner = gfs_slice_str("b/k"),
                                  .payload = gfs_slice_of(bytes, LEN)};
    bool is_finished = false;
    struct chunk_bulk_options options = {.id = id_of(n), .len_max = LEN, .arg = &is_finished};
    if (is_bulk) {
        record.kind = CHUNK_RECORD_PLACE;
        FUZZ_CHECK(ops->bulk_begin(store_chunks(store), &options, &record.bulk) == GFS_OK);
        FUZZ_CHECK(ops->bulk_append(record.bulk, bytes, LEN) == LEN);
        ops->bulk_finish(record.bulk, finished);
        store_settle(store);
        FUZZ_CHECK(is_finished);
    }
    submit(store, &record, lsn);
    ops->bulk_free(record.bulk);
}

static void delete_chunk(struct store *store, uint64_t n, uint64_t lsn)
{
    struct chunk_id id = id_of(n);
    struct chunk_record record = {.kind = CHUNK_RECORD_DELETE,
                                  .payload = gfs_slice_of(&id, sizeof id)};
    submit(store, &record, lsn);
}

/* Chunks 1 to 3 small, 4 large, 5 deleted; 1 and 4 written anew, 2 deleted and added again. */
static void fill_store(struct store *store, const char *bytes)
{
    for (uint64_t n = 1; n <= CHUNKS; n++) {
        put(store, n, n == 4, bytes, n);
    }
    uint64_t lsn = CHUNKS;
    delete_chunk(store, CHUNKS, ++lsn);
    put(store, 1, false, bytes, ++lsn);
    put(store, 4, true, bytes, ++lsn);
    delete_chunk(store, 2, ++lsn);
    put(store, 2, true, bytes, ++lsn);
}

static void seal_records(char *bytes, size_t used)
{
    size_t at = sizeof(struct batch_header);
    struct record_header head;
    while (at + sizeof head <= used) {
        memcpy(&head, bytes + at, sizeof head);
        size_t rest = (size_t)head.block_count * sizeof(uint32_t) + head.owner_len;
        if (rest > used - at - sizeof head) {
            return;
        }
        uint32_t crc = gfs_crc32c(0, &head, offsetof(struct record_header, crc));
        head.crc = gfs_crc32c(crc, bytes + at + sizeof head, rest);
        memcpy(bytes + at, &head, sizeof head);
        at += segment_record_size(head.payload_len, head.owner_len);
    }
}

/* Every page that begins like a batch becomes a whole one, as far as its lengths allow. */
static void seal(char *segment)
{
    struct segment_header own;
    memcpy(&own, segment, sizeof own);
    segment_header_seal(&own);
    memcpy(segment, &own, sizeof own);
    for (size_t at = SEGMENT_PAGE; at < SEGMENT_SIZE; at += SEGMENT_PAGE) {
        struct batch_header head;
        memcpy(&head, segment + at, sizeof head);
        if (head.magic != SEGMENT_BATCH_MAGIC || head.used < sizeof head ||
            head.used > SEGMENT_SIZE - at) {
            continue;
        }
        seal_records(segment + at, head.used);
        head.body_crc = gfs_crc32c(0, segment + at + sizeof head, (size_t)head.used - sizeof head);
        head.crc = gfs_crc32c(0, &head, offsetof(struct batch_header, crc));
        memcpy(segment + at, &head, sizeof head);
    }
}

static void change_segment(struct gfs_io_sim *disk, const uint8_t *data, size_t size)
{
    struct gfs_io *io = gfs_io_sim_io(disk);
    struct gfs_file *file = NULL;
    FUZZ_CHECK(io->ops->file_open(io, segment_name, 0, &file) == GFS_OK);
    GFS_FREE char *segment = gfs_alloc(SEGMENT_SIZE);
    FUZZ_CHECK(gfs_io_read_exact(file, segment, SEGMENT_SIZE, 0) == GFS_OK);
    for (size_t i = 1; i + 4 <= size; i += 4) {
        size_t page = data[i] % (SEGMENT_SIZE / SEGMENT_PAGE);
        size_t offset = (data[i + 1] | (size_t)data[i + 2] << 8) % SEGMENT_PAGE;
        segment[page * SEGMENT_PAGE + offset] ^= (char)data[i + 3];
    }
    if ((data[0] & FLAG_SEAL) != 0) {
        seal(segment);
    }
    FUZZ_CHECK(io->ops->write(file, segment, SEGMENT_SIZE, 0) == GFS_OK);
    io->ops->file_close(file);
    if ((data[0] & FLAG_NO_CHECKPOINT) != 0) {
        FUZZ_CHECK(io->ops->remove(io, "index.ckpt") == GFS_OK);
    }
}

static enum gfs_err see_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    uint64_t *last = arg;
    FUZZ_CHECK(lsn > *last);
    FUZZ_CHECK(edit.len == 0 || edit.ptr != NULL);
    *last = lsn;
    return GFS_OK;
}

/* Never other bytes, unless the checksums were made to fit them. */
static void read_store(struct store *store, const char *bytes, bool is_sealed)
{
    struct chunk_store *chunks = store_chunks(store);
    uint64_t last = 0;
    (void)!chunks->ops->replay_edits(chunks, 0, see_edit, &last, NULL);
    for (uint64_t n = 1; n <= CHUNKS; n++) {
        struct chunk_pin pin;
        if (chunks->ops->pin(chunks, id_of(n), &pin) != GFS_OK) {
            continue;
        }
        GFS_FREE char *got = gfs_alloc((size_t)pin.len + 1);
        if (chunks->ops->read(chunks, &pin, 0, pin.len, got, 0) == GFS_OK && !is_sealed) {
            FUZZ_CHECK(pin.len == LEN && memcmp(got, bytes, LEN) == 0);
        }
        chunks->ops->unpin(chunks, &pin);
    }
    store_settle(store);
}

/* So much that the log goes on in another segment. No edits: one of any number may be there. */
static void fill_segment(struct store *store)
{
    GFS_FREE char *bytes = gfs_alloc(SEGMENT_SIZE / 2);
    for (uint64_t n = 0; n < 3; n++) {
        struct chunk_record record = {.kind = CHUNK_RECORD_DATA,
                                      .id = id_of(100 + n),
                                      .payload = gfs_slice_of(bytes, SEGMENT_SIZE / 2)};
        struct chunk_group group = {.records = &record, .done = group_done};
        store_chunks(store)->ops->submit(store_chunks(store), &group);
        store_settle(store);
    }
}

static void verify_store(struct store *store)
{
    struct chunk_store *chunks = store_chunks(store);
    uint64_t cursor = 0;
    unsigned steps = 0;
    do {
        (void)!chunks->ops->verify_log(chunks, &cursor, SEGMENT_SIZE / 4);
        FUZZ_CHECK(++steps < 1000);
    } while (cursor != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    char bytes[LEN];
    memset(bytes, 'b', LEN);
    struct gfs_io_sim *disk = gfs_io_sim_new(1, CAPACITY);
    struct store *store = open_store(disk);
    FUZZ_CHECK(store != NULL);
    fill_store(store, bytes);
    store_close(store);
    change_segment(disk, data, size);
    for (int i = 0; i < 3; i++) {
        store = open_store(disk);
        if (store != NULL) {
            read_store(store, bytes, (data[0] & FLAG_SEAL) != 0);
            verify_store(store);
            if (i == 1) { /* the damage leaves: everything is copied or given up */
                store_chunks(store)->ops->repaired(store_chunks(store));
                store_chunks(store)->ops->trim_edits(store_chunks(store), UINT64_MAX);
                fill_segment(store);
                read_store(store, bytes, (data[0] & FLAG_SEAL) != 0);
            }
            store_close(store);
        }
    }
    gfs_io_sim_free(disk);
    return 0;
}
