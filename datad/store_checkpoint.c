/* index.ckpt: the index and the segment table as they were, so that a restart reads only the log
 * written since.
 *
 * Taken while the store works: the position is fixed first, then shard after shard is copied under
 * the lock for a moment each. An entry may therefore be newer than the position; replaying the log
 * from there again ends at the same place, because the last record about an id decides. What is
 * kept per segment is written last (has_stale only ever rises) and only for segments before the
 * position; the others are replayed from their start. A segment is recycled only when a checkpoint
 * lies behind it, so what a checkpoint refers to is either still there or superseded by a later
 * record. A checkpoint that was taken while a segment was damaged may lack what that one held: it
 * is not used, so every start looks at the damage again; segments that were lost are named in it,
 * since a file that is gone does not show. Layout: header page, entries, segments with their
 * tombstone targets. */
#include <stdlib.h>

#include "datad/store_state.h"
#include "libgoodfs/crc.h"

enum {
    CHECKPOINT_MAGIC = 0x43474647, /* "GFGC" */
    CHECKPOINT_VERSION = 2,
    CHECKPOINT_CHUNK = 1 << 20,
    SEGMENT_HAS_STALE = 1,
    SEGMENT_IS_DAMAGED = 2,
    SEGMENT_IS_LOST = 4,
};

struct checkpoint_header {
    uint32_t magic;
    uint32_t version;
    uint8_t disk[16];
    uint64_t seq, first_batch, durable_seq, lsn_last, lsn_gone;
    uint64_t entry_count, segment_count;
    uint64_t body_len;
    uint64_t body_crc; /* CRC64NVME */
    uint32_t reserved;
    uint32_t crc; /* CRC32C of the fields above */
};
_Static_assert(sizeof(struct checkpoint_header) == 104, "on disk");

struct checkpoint_segment {
    uint32_t seq;
    uint32_t flags;
    uint32_t end;
    uint32_t target_count; /* struct tombstone_target each, following */
    uint64_t first_batch;
    uint64_t lsn_min, lsn_max;
};
_Static_assert(sizeof(struct checkpoint_segment) == 40, "on disk");

/* --- writing --- */

struct writer {
    struct gfs_file *file;
    char *bytes;
    size_t len, size;
    struct checkpoint_header header;
};

static enum gfs_err write_out(struct writer *writer)
{
    uint64_t offset = SEGMENT_PAGE + writer->header.body_len;
    enum gfs_err err =
        writer->file->io->ops->write(writer->file, writer->bytes, writer->len, offset);
    writer->header.body_crc = gfs_crc64nvme(writer->header.body_crc, writer->bytes, writer->len);
    writer->header.body_len += writer->len;
    writer->len = 0;
    return err;
}

static void add_bytes(struct writer *writer, const void *ptr, size_t len)
{
    if (writer->len + len > writer->size) {
        writer->size = GFS_MAX(writer->size * 2, writer->len + len);
        writer->bytes = gfs_realloc(writer->bytes, writer->size);
    }
    memcpy(writer->bytes + writer->len, ptr, len);
    writer->len += len;
}

static enum gfs_err write_entries(struct store *store, struct writer *writer)
{
    for (unsigned shard = 0; shard < CHUNK_INDEX_SHARDS; shard++) {
        (void)pthread_mutex_lock(&store->lock);
        size_t count;
        const struct chunk_entry *slots = chunk_index_shard(store->index, shard, &count);
        for (size_t i = 0; i < count; i++) {
            if ((slots[i].hi | slots[i].lo) != 0) {
                add_bytes(writer, &slots[i], sizeof slots[i]);
                writer->header.entry_count++;
            }
        }
        (void)pthread_mutex_unlock(&store->lock);
        if (writer->len >= CHECKPOINT_CHUNK) {
            enum gfs_err err = write_out(writer);
            if (err != GFS_OK) {
                return err;
            }
        }
    }
    return GFS_OK;
}

static void add_lost_locked(struct store *store, struct writer *writer)
{
    for (size_t i = 0; i < store->damage_count; i++) {
        const struct log_damage *damage = &store->damage[i];
        if (damage->is_lost && !damage->is_over) {
            struct checkpoint_segment saved = {.seq = damage->seq, .flags = SEGMENT_IS_LOST};
            add_bytes(writer, &saved, sizeof saved);
            writer->header.segment_count++;
        }
    }
}

static enum gfs_err write_segments(struct store *store, struct writer *writer)
{
    (void)pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->segment_count; i++) {
        const struct log_segment *segment = store->segments[i];
        if (segment->seq >= writer->header.seq) {
            break;
        }
        struct checkpoint_segment saved = {
            .seq = segment->seq,
            .flags =
                (segment->has_stale ? (unsigned)SEGMENT_HAS_STALE : 0U) |
                (segment->is_damaged || segment->is_given_up ? (unsigned)SEGMENT_IS_DAMAGED : 0U),
            .end = segment->end,
            .target_count = segment->target_count,
            .first_batch = segment->first_batch,
            .lsn_min = segment->lsn_min,
            .lsn_max = segment->lsn_max,
        };
        add_bytes(writer, &saved, sizeof saved);
        if (segment->target_count != 0) {
            add_bytes(writer, segment->targets, segment->target_count * sizeof *segment->targets);
        }
        writer->header.segment_count++;
    }
    add_lost_locked(store, writer);
    (void)pthread_mutex_unlock(&store->lock);
    return write_out(writer);
}

static enum gfs_err write_file(struct store *store, struct writer *writer)
{
    enum gfs_err err = writer->file->io->ops->truncate(writer->file, 0);
    if (err == GFS_OK) {
        err = write_entries(store, writer);
    }
    if (err == GFS_OK) {
        err = write_segments(store, writer);
    }
    if (err != GFS_OK) {
        return err;
    }
    struct checkpoint_header *header = &writer->header;
    header->crc = gfs_crc32c(0, header, offsetof(struct checkpoint_header, crc));
    char page[SEGMENT_PAGE] = {0};
    memcpy(page, header, sizeof *header);
    err = writer->file->io->ops->write(writer->file, page, sizeof page, 0);
    return err == GFS_OK ? writer->file->io->ops->flush(writer->file) : err;
}

static void begin_position(struct store *store, struct checkpoint_header *header)
{
    (void)pthread_mutex_lock(&store->lock);
    *header = (struct checkpoint_header){
        .magic = CHECKPOINT_MAGIC,
        .version = CHECKPOINT_VERSION,
        .seq = store->head->seq,
        .first_batch = store->head->first_batch,
        .durable_seq = store->batch_seq_durable,
        .lsn_last = store->lsn_last,
        .lsn_gone = store->lsn_gone,
    };
    memcpy(header->disk, store->identity.id, sizeof store->identity.id);
    store->bytes_since_checkpoint = 0;
    store->has_new_damage = false;
    (void)pthread_mutex_unlock(&store->lock);
}

enum gfs_err checkpoint_write(struct store *store)
{
    const struct gfs_io_ops *ops = store->io->ops;
    struct writer writer = {0};
    /* What was emptied, or is another disk's by now, must not find a file of ours. */
    enum gfs_err err = identity_verify(store);
    if (err != GFS_OK) {
        return GFS_IO;
    }
    begin_position(store, &writer.header);
    err = ops->file_open(store->io, "index.tmp", GFS_IO_CREATE, &writer.file);
    if (err != GFS_OK) {
        return err;
    }
    err = write_file(store, &writer);
    ops->file_close(writer.file);
    free(writer.bytes);
    if (err == GFS_OK) {
        err = ops->rename(store->io, "index.tmp", "index.ckpt");
    }
    if (err == GFS_OK) {
        err = ops->sync_dir(store->io, ".");
    }
    if (err != GFS_OK) {
        (void)ops->remove(store->io, "index.tmp");
        return err;
    }
    (void)pthread_mutex_lock(&store->lock);
    store->checkpoint_seq = (uint32_t)writer.header.seq;
    store->stats.checkpoints++;
    (void)pthread_mutex_unlock(&store->lock);
    return GFS_OK;
}

bool checkpoint_is_due_locked(struct store *store)
{
    uint64_t bytes = store->bytes_since_checkpoint;
    if (bytes >= GFS_MAX(store->options.checkpoint_bytes, chunk_index_bytes(store->index)) ||
        store->has_new_damage) {
        return true;
    }
    /* Drained segments wait for one: at once when they are worth the writing or space is short,
     * else when some log was written. */
    uint64_t waiting = 0;
    for (size_t i = 0; i < store->segment_count; i++) {
        const struct log_segment *segment = store->segments[i];
        if (segment->is_drained && segment->pins == 0 && segment->seq >= store->checkpoint_seq &&
            segment != store->head && store->head->seq > store->checkpoint_seq) {
            waiting += segment->header.size;
        }
    }
    return waiting != 0 && (waiting >= chunk_index_bytes(store->index) ||
                            bytes >= store->options.segment_size || store->stats.is_full);
}

/* --- reading --- */

static enum gfs_err load_header(struct store *store, struct gfs_file *file,
                                struct checkpoint_header *ret)
{
    struct checkpoint_header header;
    if (gfs_io_read_exact(file, &header, sizeof header, 0) != GFS_OK) {
        return GFS_NOT_FOUND;
    }
    bool is_whole = header.magic == CHECKPOINT_MAGIC && header.version == CHECKPOINT_VERSION &&
                    header.crc == gfs_crc32c(0, &header, offsetof(struct checkpoint_header, crc)) &&
                    memcmp(header.disk, store->identity.id, sizeof store->identity.id) == 0;
    struct gfs_file_info info;
    if (!is_whole || file->io->ops->file_info(file, &info) != GFS_OK ||
        header.body_len > info.size ||
        header.entry_count > header.body_len / sizeof(struct chunk_entry) ||
        header.seq > INT32_MAX) {
        return GFS_NOT_FOUND;
    }
    *ret = header;
    return GFS_OK;
}

static void count_live(struct store *store, const struct chunk_entry *entry)
{
    bool is_bulk = (entry->file & CHUNK_INDEX_BULK) != 0;
    struct log_segment *segment =
        log_segment_find_locked(store, is_bulk ? entry->extra : entry->file);
    if (segment != NULL) { /* else recycled since: the log behind the position has the copy */
        segment->live += is_bulk ? SEGMENT_PLACE_SIZE : segment_align8(entry->extra + entry->len);
    }
}

/* The checksum is of what was taken, not of another read of the same bytes. */
static enum gfs_err load_entries(struct store *store, struct gfs_file *file,
                                 const struct checkpoint_header *header, uint64_t *ret_crc)
{
    uint64_t crc = 0;
    chunk_index_reserve(store->index, header->entry_count);
    GFS_FREE struct chunk_entry *entries = gfs_alloc_aligned(SEGMENT_PAGE, CHECKPOINT_CHUNK);
    uint64_t len_all = header->entry_count * sizeof *entries;
    for (uint64_t offset = 0; offset < len_all; offset += CHECKPOINT_CHUNK) {
        size_t len = (size_t)GFS_MIN(len_all - offset, (uint64_t)CHECKPOINT_CHUNK);
        enum gfs_err err = gfs_io_read_exact(file, entries, len, SEGMENT_PAGE + offset);
        if (err != GFS_OK) {
            return err;
        }
        crc = gfs_crc64nvme(crc, entries, len);
        for (size_t i = 0; i < len / sizeof *entries; i++) {
            if ((entries[i].hi | entries[i].lo) == 0 ||
                chunk_index_find(store->index, entries[i].hi, entries[i].lo) != NULL) {
                return GFS_CORRUPT;
            }
            chunk_index_put(store->index, &entries[i]);
        }
    }
    *ret_crc = crc;
    return GFS_OK;
}

/* Segments as saved, in memory. Answers GFS_CORRUPT when the lengths do not add up. */
static enum gfs_err take_segments(struct store *store, const char *bytes, size_t len,
                                  const struct checkpoint_header *header)
{
    size_t known = 0;
    bool has_damage = false;
    for (uint64_t i = 0; i < header->segment_count; i++) {
        struct checkpoint_segment saved;
        if (len < sizeof saved) {
            return GFS_CORRUPT;
        }
        memcpy(&saved, bytes, sizeof saved);
        size_t targets_len = saved.target_count * sizeof(struct tombstone_target);
        if (targets_len > len - sizeof saved) {
            return GFS_CORRUPT;
        }
        struct log_segment *segment = log_segment_find_locked(store, saved.seq);
        if ((saved.flags & SEGMENT_IS_DAMAGED) != 0) {
            has_damage = true; /* records may be missing here: the log is asked again */
        }
        if ((saved.flags & SEGMENT_IS_LOST) != 0) {
            has_damage = true;
            log_damage_add_lost(store, saved.seq);
        } else if (segment != NULL) {
            known++;
            segment->has_stale = (saved.flags & SEGMENT_HAS_STALE) != 0;
            segment->is_sealed = true;
            segment->end = saved.end;
            segment->first_batch = saved.first_batch;
            segment->lsn_min = saved.lsn_min;
            segment->lsn_max = saved.lsn_max;
            segment->targets = gfs_alloc(targets_len);
            memcpy(segment->targets, bytes + sizeof saved, targets_len);
            segment->target_count = segment->target_size = saved.target_count;
        }
        bytes += sizeof saved + targets_len;
        len -= sizeof saved + targets_len;
    }
    size_t wanted = 0; /* each one before the position must be known, and the position be there */
    while (wanted < store->segment_count && store->segments[wanted]->seq < header->seq) {
        wanted++;
    }
    bool has_position = log_segment_find_locked(store, (uint32_t)header->seq) != NULL;
    return known == wanted && has_position && !has_damage ? GFS_OK : GFS_CORRUPT;
}

/* Tombstones whose segment is gone since are dead; live bytes are counted afresh. */
static void settle_live(struct store *store)
{
    for (unsigned shard = 0; shard < CHUNK_INDEX_SHARDS; shard++) {
        size_t count;
        const struct chunk_entry *slots = chunk_index_shard(store->index, shard, &count);
        for (size_t i = 0; i < count; i++) {
            if ((slots[i].hi | slots[i].lo) != 0) {
                count_live(store, &slots[i]);
            }
        }
    }
    for (size_t i = 0; i < store->segment_count; i++) {
        struct log_segment *segment = store->segments[i];
        uint32_t kept = 0;
        for (uint32_t k = 0; k < segment->target_count; k++) {
            if (log_segment_find_locked(store, segment->targets[k].seq) != NULL) {
                segment->live += segment->targets[k].bytes;
                segment->targets[kept++] = segment->targets[k];
            }
        }
        segment->target_count = kept;
    }
}

static enum gfs_err load_body(struct store *store, struct gfs_file *file,
                              const struct checkpoint_header *header)
{
    uint64_t entries_len = header->entry_count * sizeof(struct chunk_entry);
    size_t len = (size_t)(header->body_len - entries_len);
    GFS_FREE char *bytes = gfs_alloc(len);
    uint64_t crc = 0;
    enum gfs_err err = load_entries(store, file, header, &crc);
    if (err == GFS_OK) {
        err = gfs_io_read_exact(file, bytes, len, SEGMENT_PAGE + entries_len);
    }
    if (err == GFS_OK && gfs_crc64nvme(crc, bytes, len) != header->body_crc) {
        err = GFS_CORRUPT;
    }
    return err == GFS_OK ? take_segments(store, bytes, len, header) : err;
}

static void forget_loaded(struct store *store)
{
    chunk_index_clear(store->index);
    for (size_t i = 0; i < store->segment_count; i++) {
        struct log_segment *segment = store->segments[i];
        segment->live = 0;
        segment->has_stale = segment->is_damaged = segment->is_sealed = false;
        segment->end = SEGMENT_PAGE;
        segment->lsn_min = segment->lsn_max = segment->first_batch = 0;
        free(GFS_TAKE(segment->targets));
        segment->target_count = segment->target_size = 0;
    }
}

/* *ret_file is open only with GFS_OK. */
static enum gfs_err open_checkpoint(struct store *store, struct gfs_file **ret_file,
                                    struct checkpoint_header *ret)
{
    const struct gfs_io_ops *ops = store->io->ops;
    enum gfs_err err = ops->file_open(store->io, "index.ckpt", 0, ret_file);
    if (err != GFS_OK) {
        return err;
    }
    err = load_header(store, *ret_file, ret);
    if (err != GFS_OK) {
        ops->file_close(*ret_file);
    }
    return err;
}

enum gfs_err checkpoint_head(struct store *store, struct checkpoint_head *ret)
{
    struct gfs_file *file;
    struct checkpoint_header header;
    enum gfs_err err = open_checkpoint(store, &file, &header);
    if (err == GFS_OK) {
        *ret = (struct checkpoint_head){.seq = (uint32_t)header.seq,
                                        .has_batches = header.durable_seq >= header.first_batch};
        store->io->ops->file_close(file);
    }
    return err;
}

enum gfs_err checkpoint_load(struct store *store, struct checkpoint_position *ret)
{
    struct gfs_file *file;
    struct checkpoint_header header;
    enum gfs_err err = open_checkpoint(store, &file, &header);
    if (err != GFS_OK) {
        return err;
    }
    ret->durable_seq = header.durable_seq;
    store->lsn_gone = header.lsn_gone;
    err = load_body(store, file, &header);
    if (err == GFS_OK) {
        settle_live(store);
        store->lsn_last = header.lsn_last;
        ret->seq = (uint32_t)header.seq;
        ret->first_batch = header.first_batch;
    } else {
        forget_loaded(store); /* the log alone says the same, it only takes longer */
        err = GFS_NOT_FOUND;
    }
    store->io->ops->file_close(file);
    return err;
}
