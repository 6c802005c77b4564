#include "gateway/reader.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"

struct reader_slot {
    struct chunk_pin pin;
    bool is_pinned;
};

struct reader {
    struct chunk_store *store;
    const struct meta_chunk_ref *refs; /* of the range only */
    uint32_t ref_count;
    uint32_t index;                   /* current ref */
    uint32_t offset;                  /* in the current ref */
    uint64_t left;                    /* bytes to come */
    char *block;                      /* GFS_BLOCK_SIZE bytes, for ends that are not aligned */
    uint32_t block_offset, block_len; /* what of the current chunk is in block */
    struct reader_slot slots[];
};

static enum gfs_err pin(struct reader *reader, uint32_t index)
{
    struct reader_slot *slot = &reader->slots[index];
    const struct meta_chunk_ref *ref = &reader->refs[index];
    if (slot->is_pinned || ref->len == 0) { /* notes are nothing to read */
        return GFS_OK;
    }
    enum gfs_err err = reader->store->ops->pin(reader->store, ref->id, &slot->pin);
    if (err != GFS_OK) {
        return err;
    }
    slot->is_pinned = true;
    bool is_inside = ref->offset <= slot->pin.len && ref->len <= slot->pin.len - ref->offset;
    return is_inside ? GFS_OK : GFS_CORRUPT;
}

static void unpin(struct reader *reader, uint32_t index)
{
    struct reader_slot *slot = &reader->slots[index];
    if (slot->is_pinned) {
        slot->is_pinned = false;
        reader->store->ops->unpin(reader->store, &slot->pin);
    }
}

enum gfs_err reader_new(struct chunk_store *store, const struct meta_chunk_ref *refs,
                        uint32_t ref_count, uint64_t start, uint64_t len, struct reader **ret)
{
    while (ref_count > 0 && start >= refs->len) {
        start -= refs->len;
        refs++;
        ref_count--;
    }
    uint64_t covered = 0;
    uint32_t used = 0;
    while (used < ref_count && covered < start + len) {
        covered += refs[used++].len;
    }
    if (covered < start + len) {
        return GFS_CORRUPT;
    }
    struct reader *reader = gfs_alloc(sizeof *reader + used * sizeof reader->slots[0]);
    reader->store = store;
    reader->refs = refs;
    reader->ref_count = used;
    reader->offset = (uint32_t)start;
    reader->left = len;
    for (uint32_t i = 0; i < used && i < READER_PINS_MAX; i++) {
        enum gfs_err err = pin(reader, i);
        if (err != GFS_OK) {
            reader_free(reader);
            return err;
        }
    }
    *ret = reader;
    return GFS_OK;
}

void reader_free(struct reader *reader)
{
    if (reader == NULL) {
        return;
    }
    for (uint32_t i = 0; i < reader->ref_count; i++) {
        unpin(reader, i);
    }
    free(reader->block);
    free(reader);
}

uint64_t reader_left(const struct reader *reader)
{
    return reader->left;
}

/* Bytes that can be read straight into the caller's buffer; 0 when the block buffer is needed. */
static uint32_t direct_len(const struct reader *reader, uint32_t at, size_t size)
{
    uint32_t chunk_left = reader->slots[reader->index].pin.len - at;
    if (at % GFS_BLOCK_SIZE != 0) {
        return 0;
    }
    if (size >= chunk_left) {
        return chunk_left;
    }
    return (uint32_t)(size - size % GFS_BLOCK_SIZE);
}

/* Through the block buffer: the block that holds byte `at` of the current chunk. */
static enum gfs_err load_block(struct reader *reader, uint32_t at, unsigned flags)
{
    struct chunk_pin *chunk = &reader->slots[reader->index].pin;
    uint32_t start = at - at % GFS_BLOCK_SIZE;
    if (reader->block_len != 0 && reader->block_offset == start) {
        return GFS_OK;
    }
    if (reader->block == NULL) {
        reader->block = gfs_alloc_aligned(64, GFS_BLOCK_SIZE);
    }
    uint32_t len = GFS_MIN((uint32_t)GFS_BLOCK_SIZE, chunk->len - start);
    reader->block_len = 0;
    enum gfs_err err =
        reader->store->ops->read(reader->store, chunk, start, len, reader->block, flags);
    if (err == GFS_OK) {
        reader->block_offset = start;
        reader->block_len = len;
    }
    return err;
}

static void advance(struct reader *reader, uint32_t len)
{
    reader->left -= len;
    reader->offset += len;
    while (reader->index < reader->ref_count && reader->offset == reader->refs[reader->index].len) {
        unpin(reader, reader->index);
        reader->index++;
        reader->offset = 0;
        reader->block_len = 0;
    }
}

enum gfs_err reader_read(struct reader *reader, char *ret_bytes, size_t size, unsigned flags,
                         size_t *ret_len)
{
    GFS_ASSERT(size > 0);
    *ret_len = 0;
    if (reader->left == 0) {
        return GFS_OK;
    }
    enum gfs_err err = pin(reader, reader->index);
    if (err != GFS_OK) {
        return err;
    }
    const struct meta_chunk_ref *ref = &reader->refs[reader->index];
    uint32_t at = ref->offset + reader->offset;
    uint64_t want = GFS_MIN(reader->left, (uint64_t)(ref->len - reader->offset));
    uint32_t direct = direct_len(reader, at, size);
    uint32_t len;
    if (direct > 0) {
        struct chunk_pin *chunk = &reader->slots[reader->index].pin;
        /* no further than the blocks that hold what is wanted */
        uint64_t blocks = (want + GFS_BLOCK_SIZE - 1) / GFS_BLOCK_SIZE * GFS_BLOCK_SIZE;
        direct = (uint32_t)GFS_MIN((uint64_t)direct, blocks);
        err = reader->store->ops->read(reader->store, chunk, at, direct, ret_bytes, flags);
        len = (uint32_t)GFS_MIN((uint64_t)direct, want);
    } else {
        err = load_block(reader, at, flags);
        if (err != GFS_OK) {
            return err;
        }
        uint32_t in_block = at % GFS_BLOCK_SIZE;
        len = (uint32_t)GFS_MIN(want, (uint64_t)(reader->block_len - in_block));
        len = (uint32_t)GFS_MIN((uint64_t)len, (uint64_t)size);
        memcpy(ret_bytes, reader->block + in_block, len);
    }
    if (err != GFS_OK) {
        return err;
    }
    advance(reader, len);
    *ret_len = len;
    return GFS_OK;
}
