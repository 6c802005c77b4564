/* Pins and verified reads.
 *
 * A pin keeps a chunk's bytes in place: of a log segment it counts against recycling, of a bulk
 * chunk it holds an extent object, shared by all pins of the chunk, which delays punching and keeps
 * the checksum table once read. Nothing is returned that does not match its checksum, and the
 * header's id and length must be those of the index: a misdirected write is damage too. */
#include <stdlib.h>

#include "datad/store_state.h"

enum { HEAD_LEN_MAX = sizeof(struct record_header) + 4 * sizeof(uint32_t) + CHUNK_OWNER_LEN_MAX };
_Static_assert(GFS_SMALL_CHUNK_MAX / GFS_BLOCK_SIZE == 4, "HEAD_LEN_MAX");

static struct store *store_of(struct chunk_store *chunks)
{
    return GFS_CONTAINER_OF(chunks, struct store, base);
}

static struct bulk_extent **extent_slot(struct store *store, uint32_t file, uint32_t page)
{
    uint32_t bucket = (file * 2654435761U + page * 40503U) % STORE_EXTENT_BUCKETS;
    struct bulk_extent **slot = &store->extents[bucket];
    while (*slot != NULL && ((*slot)->file->number != file || (*slot)->page != page)) {
        slot = &(*slot)->next;
    }
    return slot;
}

static enum gfs_err pin_bulk_locked(struct store *store, const struct chunk_entry *entry,
                                    struct chunk_pin *ret)
{
    uint32_t number = entry->file & ~CHUNK_INDEX_BULK;
    struct bulk_extent **slot = extent_slot(store, number, entry->where);
    if (*slot == NULL) {
        struct bulk_file *file = bulk_file_find_locked(store, number);
        if (file == NULL) {
            return GFS_CORRUPT; /* the file is lost */
        }
        *slot = gfs_alloc(sizeof **slot);
        (*slot)->file = file;
        (*slot)->page = entry->where;
        (*slot)->page_count = bulk_page_count(entry);
    }
    (*slot)->pins++;
    ret->place = *slot;
    ret->offset = (uint64_t)entry->where * SEGMENT_PAGE;
    return GFS_OK;
}

enum gfs_err store_pin(struct chunk_store *chunks, struct chunk_id id, struct chunk_pin *ret)
{
    struct store *store = store_of(chunks);
    enum gfs_err err = GFS_OK;
    struct chunk_pin pin = {.id = id};
    (void)pthread_mutex_lock(&store->lock);
    const struct chunk_entry *entry = chunk_index_find(store->index, id.hi, id.lo);
    if (entry == NULL) {
        err = GFS_NOT_FOUND;
    } else if ((entry->file & CHUNK_INDEX_BULK) != 0) {
        err = pin_bulk_locked(store, entry, &pin);
    } else {
        struct log_segment *segment = log_segment_find_locked(store, entry->file);
        if (segment == NULL) {
            err = GFS_CORRUPT;
        } else {
            segment->pins++;
            pin.place = segment;
            pin.offset = (uint64_t)entry->extra << 32 | entry->where;
        }
    }
    if (err == GFS_OK) {
        pin.len = entry->len;
        pin.segment = entry->file;
    }
    (void)pthread_mutex_unlock(&store->lock);
    if (err == GFS_OK) {
        *ret = pin;
    }
    return err;
}

static bool is_bulk(const struct chunk_pin *pin)
{
    return (pin->segment & CHUNK_INDEX_BULK) != 0;
}

static void end_extent_locked(struct store *store, struct bulk_extent *extent)
{
    struct bulk_extent **slot = extent_slot(store, extent->file->number, extent->page);
    GFS_ASSERT(*slot == extent);
    *slot = extent->next;
    if (extent->is_dead) {
        bulk_punch_locked(store, extent->file, extent->page, extent->page_count, true);
    }
    free(atomic_load(&extent->table));
    free(extent);
}

void store_unpin(struct chunk_store *chunks, struct chunk_pin *pin)
{
    struct store *store = store_of(chunks);
    GFS_ASSERT(pin->place != NULL);
    (void)pthread_mutex_lock(&store->lock);
    if (is_bulk(pin)) {
        struct bulk_extent *extent = pin->place;
        GFS_ASSERT(extent->pins > 0);
        if (--extent->pins == 0) {
            end_extent_locked(store, extent);
        }
    } else {
        log_segment_release_locked(store, pin->place);
    }
    (void)pthread_mutex_unlock(&store->lock);
    free(pin->state);
    *pin = (struct chunk_pin){0};
}

/* The chunk was deleted: its pages go back now or with the last pin. */
void bulk_extent_release_locked(struct store *store, const struct chunk_entry *entry)
{
    if ((entry->file & CHUNK_INDEX_BULK) == 0) {
        return;
    }
    uint32_t number = entry->file & ~CHUNK_INDEX_BULK;
    struct bulk_file *file = bulk_file_find_locked(store, number);
    if (file == NULL) {
        return; /* replaying: bulk files are opened, and swept, afterwards */
    }
    uint32_t page_count = bulk_page_count(entry);
    uint64_t bytes = (uint64_t)page_count * SEGMENT_PAGE;
    file->live_bytes -= GFS_MIN(bytes, file->live_bytes);
    struct bulk_extent *extent = *extent_slot(store, number, entry->where);
    if (extent != NULL) {
        extent->is_dead = true;
    } else {
        bulk_punch_locked(store, file, entry->where, page_count, true);
    }
}

/* --- reading --- */

static enum gfs_err read_exact(struct gfs_file *file, struct iovec *iov, int count, uint64_t offset,
                               unsigned flags)
{
    size_t want = 0;
    for (int i = 0; i < count; i++) {
        want += iov[i].iov_len;
    }
    size_t got = 0;
    unsigned io_flags = (flags & CHUNK_READ_NOWAIT) != 0 ? (unsigned)GFS_IO_NOWAIT : 0U;
    io_flags |= (flags & CHUNK_READ_MEDIUM) != 0 ? (unsigned)GFS_IO_MEDIUM : 0U;
    enum gfs_err err = file->io->ops->read(file, iov, count, offset, io_flags, &got);
    if (err != GFS_OK) {
        return err;
    }
    return got == want ? GFS_OK : GFS_CORRUPT;
}

static enum gfs_err check_head(const void *bytes, size_t len, uint8_t kind,
                               const struct chunk_pin *pin, struct segment_record *ret)
{
    enum gfs_err err = segment_head_parse(bytes, len, ret);
    if (err != GFS_OK) {
        return err;
    }
    bool is_ours = ret->head.kind == kind && ret->head.id_hi == pin->id.hi &&
                   ret->head.id_lo == pin->id.lo && ret->head.payload_len == pin->len;
    return is_ours ? GFS_OK : GFS_CORRUPT;
}

static char *copy_table(const struct segment_record *record)
{
    size_t len = record->head.block_count * sizeof(uint32_t);
    char *table = gfs_alloc(len);
    memcpy(table, record->table, len);
    return table;
}

/* Head and payload in one call: what nearly every read of a small chunk is. */
static enum gfs_err read_whole_small(const struct log_segment *segment, const struct chunk_pin *pin,
                                     void *to, unsigned flags)
{
    size_t head_len = pin->offset >> 32;
    char head[HEAD_LEN_MAX];
    if (head_len > sizeof head) {
        return GFS_CORRUPT;
    }
    struct iovec iov[2] = {{.iov_base = head, .iov_len = head_len},
                           {.iov_base = to, .iov_len = pin->len}};
    enum gfs_err err = read_exact(segment->file, iov, 2, pin->offset & UINT32_MAX, flags);
    struct segment_record record;
    if (err == GFS_OK) {
        err = check_head(head, head_len, CHUNK_RECORD_DATA, pin, &record);
    }
    return err == GFS_OK ? segment_blocks_verify(record.table, 0, to, pin->len) : err;
}

/* The head of a small chunk's record. head: HEAD_LEN_MAX bytes, which ret refers to. */
static enum gfs_err read_small_head(const struct log_segment *segment, const struct chunk_pin *pin,
                                    char *head, unsigned flags, struct segment_record *ret)
{
    size_t head_len = pin->offset >> 32;
    if (head_len > HEAD_LEN_MAX) {
        return GFS_CORRUPT;
    }
    struct iovec iov = {.iov_base = head, .iov_len = head_len};
    enum gfs_err err = read_exact(segment->file, &iov, 1, pin->offset & UINT32_MAX, flags);
    return err == GFS_OK ? check_head(head, head_len, CHUNK_RECORD_DATA, pin, ret) : err;
}

static enum gfs_err load_small_table(const struct log_segment *segment, struct chunk_pin *pin,
                                     unsigned flags)
{
    if (pin->state != NULL && (flags & CHUNK_READ_MEDIUM) == 0) {
        return GFS_OK;
    }
    char head[HEAD_LEN_MAX];
    struct segment_record record;
    enum gfs_err err = read_small_head(segment, pin, head, flags, &record);
    if (err == GFS_OK) {
        free(pin->state);
        pin->state = copy_table(&record);
    }
    return err;
}

/* The trailer of a bulk chunk, in an array the caller frees, which ret refers to. */
static enum gfs_err read_trailer(const struct bulk_extent *extent, const struct chunk_pin *pin,
                                 unsigned flags, char **ret_bytes, struct segment_record *ret)
{
    size_t len = segment_trailer_size(pin->len, CHUNK_OWNER_LEN_MAX);
    *ret_bytes = gfs_alloc_aligned(SEGMENT_PAGE, len);
    struct iovec iov = {.iov_base = *ret_bytes, .iov_len = len};
    enum gfs_err err =
        read_exact(extent->file->file, &iov, 1, pin->offset + segment_align_page(pin->len), flags);
    return err == GFS_OK ? check_head(*ret_bytes, len, SEGMENT_RECORD_BULK, pin, ret) : err;
}

/* With the first bytes from the medium what is known is not believed but read once more. With the
 * others it would make a disk go to and fro between a chunk's bytes and its end. */
static enum gfs_err load_bulk_table(struct bulk_extent *extent, const struct chunk_pin *pin,
                                    uint32_t offset, unsigned flags, const char **ret)
{
    *ret = atomic_load_explicit(&extent->table, memory_order_acquire);
    if (*ret != NULL && ((flags & CHUNK_READ_MEDIUM) == 0 || offset != 0)) {
        return GFS_OK;
    }
    GFS_FREE char *trailer = NULL;
    struct segment_record record;
    enum gfs_err err = read_trailer(extent, pin, flags, &trailer, &record);
    if (err != GFS_OK) {
        return err;
    }
    char *table = copy_table(&record);
    char *expected = NULL;
    if (!atomic_compare_exchange_strong(&extent->table, &expected, table)) {
        free(table); /* another pin's reader was first, with the same verified bytes */
        table = expected;
    }
    *ret = table;
    return GFS_OK;
}

static enum gfs_err count_error(struct store *store, enum gfs_err err)
{
    if (err == GFS_IO || err == GFS_CORRUPT) {
        atomic_fetch_add(&store->read_errors, 1);
    }
    return err;
}

static enum gfs_err read_blocks(struct chunk_pin *pin, uint32_t offset, uint32_t len,
                                void *ret_bytes, unsigned flags)
{
    GFS_ASSERT(pin->place != NULL);
    GFS_ASSERT(offset % GFS_BLOCK_SIZE == 0);
    GFS_ASSERT(offset <= pin->len && len <= pin->len - offset);
    GFS_ASSERT(len % GFS_BLOCK_SIZE == 0 || offset + len == pin->len);
    struct gfs_file *file;
    uint64_t payload;
    const char *table;
    enum gfs_err err;
    if (is_bulk(pin)) {
        struct bulk_extent *extent = pin->place;
        file = extent->file->file;
        payload = pin->offset;
        err = load_bulk_table(extent, pin, offset, flags, &table);
    } else {
        const struct log_segment *segment = pin->place;
        if (len == pin->len && pin->state == NULL) {
            return read_whole_small(segment, pin, ret_bytes, flags);
        }
        file = segment->file;
        payload = (pin->offset & UINT32_MAX) + (pin->offset >> 32);
        err = load_small_table(segment, pin, flags);
        table = pin->state;
    }
    if (err != GFS_OK || len == 0) {
        return err;
    }
    struct iovec iov = {.iov_base = ret_bytes, .iov_len = len};
    err = read_exact(file, &iov, 1, payload + offset, flags);
    if (err != GFS_OK) {
        return err;
    }
    return segment_blocks_verify(table, offset / GFS_BLOCK_SIZE, ret_bytes, len);
}

enum gfs_err store_read(struct chunk_store *chunks, struct chunk_pin *pin, uint32_t offset,
                        uint32_t len, void *ret_bytes, unsigned flags)
{
    return count_error(store_of(chunks), read_blocks(pin, offset, len, ret_bytes, flags));
}

enum gfs_err store_owner(struct chunk_store *chunks, struct chunk_pin *pin, void *ret_bytes,
                         size_t *ret_len)
{
    GFS_ASSERT(pin->place != NULL);
    struct segment_record record;
    GFS_FREE char *bytes = NULL;
    enum gfs_err err;
    if (is_bulk(pin)) {
        err = read_trailer(pin->place, pin, 0, &bytes, &record);
    } else {
        bytes = gfs_alloc(HEAD_LEN_MAX);
        err = read_small_head(pin->place, pin, bytes, 0, &record);
    }
    if (err == GFS_OK) {
        memcpy(ret_bytes, record.owner.ptr, record.owner.len);
        *ret_len = record.owner.len;
    }
    return count_error(store_of(chunks), err);
}

void store_prefetch(struct chunk_store *chunks, struct chunk_pin *pin, uint32_t offset,
                    uint32_t len)
{
    (void)chunks;
    GFS_ASSERT(pin->place != NULL);
    GFS_ASSERT(offset <= pin->len && len <= pin->len - offset);
    struct gfs_file *file;
    uint64_t begin = pin->offset + offset;
    uint64_t bytes = len;
    if (is_bulk(pin)) {
        const struct bulk_extent *extent = pin->place;
        file = extent->file->file;
        if (atomic_load(&extent->table) == NULL) { /* the trailer is read first */
            file->io->ops->prefetch(file, pin->offset + segment_align_page(pin->len),
                                    segment_trailer_size(pin->len, CHUNK_OWNER_LEN_MAX));
        }
    } else {
        const struct log_segment *segment = pin->place;
        file = segment->file;
        begin = (pin->offset & UINT32_MAX) + offset; /* with the head, which lies in front */
        bytes += pin->offset >> 32;
    }
    file->io->ops->prefetch(file, begin, bytes);
}
