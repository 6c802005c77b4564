/* All chunk references there are, table by table, a few rows at a time.
 *
 * Why a chunk that is referenced all the time is visited: before anything is read, every operation
 * submitted by then is decided and applied, so what refers to the chunk is in the database. From
 * then on a reference can only
 *   - stay where it is,
 *   - go from a part to the object its upload becomes, or from an upload, part or object to the
 *     garbage list, in one transaction each time; tables are read in the order uploads, parts,
 *     objects, garbage, so it is met before it goes or where it went, or
 *   - be made from another one: a copy of an object or part. Such an edit says so, and the rows it
 *     writes are noted when it is applied, and visited.
 * Take a chunk that no copy was made of meanwhile: each of its references only moves forward, so
 * one that exists to the end was in some table all the while that table was read. */
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"
#include "metad/edit.h"
#include "metad/record.h"
#include "metad/shard_copy.h"

enum {
    BUCKET_ID_LEN = 8,
    TABLE_END_LEN = 24,
    ROWS_MAX = 512, /* read at a time */
    ROWS_BYTES_MAX = 1 << 20,
    ROW_LEN_MAX = 8 << 20,
    NOTED_BYTES_MAX = 16 << 20,
};
#define SETTLE_NS (60LL * 1000 * 1000 * 1000)

/* Rows in a buffer: table, key and value, one behind the other. */
static void add_row(struct gfs_buf *rows, enum table table, struct gfs_slice key,
                    struct gfs_slice row)
{
    gfs_codec_put_u8(rows, (uint8_t)table);
    gfs_codec_put_bytes(rows, key);
    gfs_codec_put_bytes(rows, row);
}

/* A visit under way. Guarded by the shard's lock: next, noted. */
struct visitor {
    struct visitor *next;
    struct gfs_buf noted; /* rows that copies made */
    struct shard *shard;
    enum gfs_err (*see)(struct visitor *visitor, enum table table, struct gfs_slice key,
                        struct gfs_slice row);
    shard_reference_fn visit;
    void *arg;
    uint64_t damaged_rows;
    struct gfs_buf rows;
    struct key cursor;
};

/* ---- copies made meanwhile ---- */

/* The rows that an edit writes, when it makes references from others. */
static void collect_copies(struct gfs_slice bytes, struct gfs_buf *rows)
{
    struct edit edit;
    struct change change;
    bool is_copy = false;
    size_t len = rows->len;
    if (edit_open(bytes, &edit) != GFS_OK) {
        return; /* it was applied a moment ago, so it is whole */
    }
    while (edit_next(&edit, &change) == GFS_OK) {
        is_copy = is_copy || change.kind == CHANGE_REF_ADD;
        if (change.kind == CHANGE_PUT &&
            (change.table == TABLE_OBJECTS || change.table == TABLE_PARTS)) {
            add_row(rows, change.table, change.key, change.value);
        }
    }
    if (!is_copy && !rows->is_full) {
        rows->len = len;
    }
}

void shard_note_copies(struct shard *shard, const struct edits *edits)
{
    struct gfs_buf rows;
    gfs_buf_init(&rows, NOTED_BYTES_MAX);
    for (size_t i = 0; i < edits->count; i++) {
        collect_copies(gfs_buf_slice(&edits->items[i].bytes), &rows);
    }
    (void)pthread_mutex_lock(&shard->lock);
    for (struct visitor *visitor = shard->visitors; visitor != NULL; visitor = visitor->next) {
        gfs_buf_add_slice(&visitor->noted, gfs_buf_slice(&rows));
        visitor->noted.is_full |= rows.is_full;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    gfs_buf_fini(&rows);
}

/* ---- the walk ---- */

static bool is_pending_locked(const struct shard *shard, uint64_t lsn)
{
    const struct proposal *first = shard->batch.first;
    first = first == NULL ? shard->committed : first;
    return first != NULL && first->lsn <= lsn;
}

/* Everything proposed by now is refused, or in the database. */
static enum gfs_err settle(struct shard *shard)
{
    enum gfs_err err = GFS_OK;
    int64_t until = gfs_monotonic_ns() + SETTLE_NS;
    (void)pthread_mutex_lock(&shard->lock);
    uint64_t lsn = shard->next_lsn - 1;
    shard_await_decision_locked(shard, lsn);
    shard->wanted_lsn = GFS_MAX(shard->wanted_lsn, lsn);
    shard_wake_live_locked(shard);
    while (err == GFS_OK && is_pending_locked(shard, lsn)) {
        if (gfs_monotonic_ns() >= until || shard->is_ending_visits) {
            err = shard->is_ending_visits ? GFS_STOPPED : GFS_IO;
        } else {
            (void)gfs_cond_wait_until(&shard->moved, &shard->lock, until);
        }
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return err;
}

struct segment_read {
    struct visitor *visitor;
    bool is_end;
    bool may_skip; /* damaged rows */
};

/* Rows from the cursor on, into the buffer. CORRUPT: one is damaged, and may not be skipped. */
static enum gfs_err read_segment(struct segment_read *read, struct db *db)
{
    struct visitor *visitor = read->visitor;
    enum table table = key_table(key_full(&visitor->cursor));
    char last[TABLE_END_LEN]; /* bucket ids count from 1, and part numbers end at 10,000 */
    memset(last, 0xff, sizeof last);
    gfs_buf_clear(&visitor->rows);
    enum gfs_err err =
        db_seek(db, table, key_row(&visitor->cursor), gfs_slice_of(last, sizeof last));
    for (size_t count = 0;
         err == GFS_OK && count < ROWS_MAX && visitor->rows.len < ROWS_BYTES_MAX;) {
        struct gfs_slice key;
        struct gfs_slice row;
        err = db_next(db, table, &key, &row);
        if (err == GFS_OK) {
            add_row(&visitor->rows, table, key, row);
            count++;
        } else if (err == GFS_CORRUPT && read->may_skip) {
            visitor->damaged_rows++;
            err = GFS_OK;
        }
    }
    db_reset(db, table);
    read->is_end = err == GFS_END;
    return err == GFS_END ? GFS_OK : err;
}

/* A database that fails is moved, and one with damage perhaps, too: then all is read again. */
static enum gfs_err next_segment(struct visitor *visitor, bool *ret_is_end)
{
    struct shard *shard = visitor->shard;
    struct segment_read read = {.visitor = visitor};
    for (;;) {
        struct reading reading;
        enum gfs_err err = shard_reader_get(shard, &reading);
        if (err == GFS_OK) {
            err = read_segment(&read, reading.db);
            shard_reader_put(shard, &reading);
        }
        *ret_is_end = read.is_end;
        if (err == GFS_OK) {
            return GFS_OK;
        }
        if (shard_read_again(shard, &reading, err)) {
            continue;
        }
        if (err != GFS_CORRUPT || read.may_skip) {
            return err;
        }
        read.may_skip = true;
    }
}

/* Shows the rows of a buffer; the cursor goes behind the last one of its table. */
static enum gfs_err see_rows(struct visitor *visitor, const struct gfs_buf *rows, bool is_walk)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(gfs_buf_slice(rows));
    enum gfs_err err = GFS_OK;
    while (in.len != 0 && err == GFS_OK) {
        enum table table = (enum table)gfs_codec_get_u8(&in);
        struct gfs_slice key = gfs_codec_get_bytes(&in);
        struct gfs_slice row = gfs_codec_get_bytes(&in);
        GFS_ASSERT(!in.is_bad);
        if (key.len + 1 >= sizeof visitor->cursor.bytes) {
            return GFS_CORRUPT; /* no key of ours */
        }
        if (is_walk) {
            memcpy(visitor->cursor.bytes + 1, key.ptr, key.len);
            visitor->cursor.len = key.len + 1;
            key_after(&visitor->cursor);
        }
        err = visitor->see(visitor, table, key, row);
    }
    return err;
}

static enum gfs_err see_copies(struct visitor *visitor)
{
    struct shard *shard = visitor->shard;
    struct gfs_buf noted;
    gfs_buf_init(&noted, NOTED_BYTES_MAX);
    (void)pthread_mutex_lock(&shard->lock);
    struct gfs_buf empty = noted;
    noted = visitor->noted;
    visitor->noted = empty;
    (void)pthread_mutex_unlock(&shard->lock);
    enum gfs_err err = noted.is_full ? GFS_BUSY : see_rows(visitor, &noted, false);
    gfs_buf_fini(&noted);
    return err;
}

static enum gfs_err walk(struct visitor *visitor, enum table table)
{
    bool is_end = false;
    enum gfs_err err = GFS_OK;
    visitor->cursor = (struct key){.len = 1, .bytes = {(char)table}};
    while (err == GFS_OK && !is_end) {
        err = next_segment(visitor, &is_end);
        if (err == GFS_OK) {
            err = see_rows(visitor, &visitor->rows, true);
        }
        if (err == GFS_OK) {
            err = see_copies(visitor);
        }
    }
    return err;
}

static enum gfs_err visit(struct visitor *visitor, bool is_with_garbage)
{
    struct shard *shard = visitor->shard;
    gfs_buf_init(&visitor->noted, NOTED_BYTES_MAX);
    gfs_buf_init(&visitor->rows, ROWS_BYTES_MAX + 2 * ROW_LEN_MAX);
    (void)pthread_mutex_lock(&shard->lock);
    visitor->next = shard->visitors;
    shard->visitors = visitor; /* from here on copies are noted */
    (void)pthread_mutex_unlock(&shard->lock);
    enum gfs_err err = settle(shard);
    (void)pthread_mutex_lock(&shard->lock);
    gfs_buf_clear(&visitor->noted); /* what was copied until now is in the database */
    (void)pthread_mutex_unlock(&shard->lock);
    const enum table tables[] = {TABLE_UPLOADS, TABLE_PARTS, TABLE_OBJECTS, TABLE_GARBAGE};
    for (size_t i = 0; err == GFS_OK && i < (is_with_garbage ? 4U : 3U); i++) {
        err = walk(visitor, tables[i]);
    }
    (void)pthread_mutex_lock(&shard->lock);
    struct visitor **link = &shard->visitors;
    while (*link != visitor) {
        link = &(*link)->next;
    }
    *link = visitor->next;
    (void)pthread_mutex_unlock(&shard->lock);
    if (err == GFS_OK) { /* the copies noted last */
        err = visitor->noted.is_full ? GFS_BUSY : see_rows(visitor, &visitor->noted, false);
    }
    gfs_buf_fini(&visitor->noted);
    gfs_buf_fini(&visitor->rows);
    return err == GFS_OK && visitor->damaged_rows != 0 ? GFS_CORRUPT : err;
}

/* ---- references ---- */

static enum gfs_err see_chunks(struct visitor *visitor, struct shard_reference *reference,
                               struct gfs_slice row)
{
    struct record_chunks chunks;
    reference->mod_lsn = record_mod_lsn(row);
    enum gfs_err err = record_chunks_begin(row, &chunks);
    while (err == GFS_OK) {
        struct meta_chunk_ref ref;
        err = record_chunks_next(&chunks, &ref);
        if (err == GFS_OK) {
            reference->id = ref.id;
            enum gfs_err answer = visitor->visit(visitor->arg, reference);
            if (answer != GFS_OK) {
                return answer;
            }
        }
    }
    visitor->damaged_rows += err == GFS_END ? 0 : 1;
    return GFS_OK;
}

static enum gfs_err see_row(struct visitor *visitor, enum table table, struct gfs_slice key,
                            struct gfs_slice row)
{
    char name[2 * META_UPLOAD_ID_LEN + 1];
    struct record_size size = {0};
    bool is_part = table == TABLE_PARTS;
    bool is_upload = table == TABLE_UPLOADS;
    if (key.len < (is_part ? (size_t)META_UPLOAD_ID_LEN : (size_t)BUCKET_ID_LEN) ||
        (is_upload && key.len < BUCKET_ID_LEN + META_UPLOAD_ID_LEN) ||
        (is_part && record_size(row, &size) != GFS_OK)) {
        visitor->damaged_rows++;
        return GFS_OK;
    }
    struct shard_reference reference = {.is_part = is_part || is_upload,
                                        .bucket_id = size.bucket_id};
    if (is_upload) {
        reference.bucket_id = gfs_codec_load_u64_be(key.ptr);
        gfs_hex_encode(key.ptr + key.len - META_UPLOAD_ID_LEN, META_UPLOAD_ID_LEN, name);
        reference.key = gfs_slice_str(name);
    } else if (is_part) {
        gfs_hex_encode(key.ptr, META_UPLOAD_ID_LEN, name);
        reference.key = gfs_slice_str(name);
    } else {
        reference.bucket_id = gfs_codec_load_u64_be(key.ptr);
        reference.key = gfs_slice_of(key.ptr + BUCKET_ID_LEN, key.len - BUCKET_ID_LEN);
    }
    return see_chunks(visitor, &reference, row);
}

enum gfs_err shard_visit_references(struct shard *shard, shard_reference_fn visit_one, void *arg)
{
    struct visitor visitor = {.shard = shard, .see = see_row, .visit = visit_one, .arg = arg};
    return visit(&visitor, false);
}

/* ---- of certain chunks ---- */

/* What is looked for. */
struct wanted {
    const struct chunk_id *ids;
    size_t count;
    bool *ret;
};

static int compare_ids(const void *left, const void *right)
{
    return chunk_id_compare(*(const struct chunk_id *)left, *(const struct chunk_id *)right);
}

static void mark(const struct wanted *wanted, struct chunk_id id)
{
    const struct chunk_id *found = bsearch(&id, wanted->ids, wanted->count, sizeof id, compare_ids);
    if (found != NULL) {
        wanted->ret[found - wanted->ids] = true;
    }
}

static enum gfs_err mark_reference(void *arg, const struct shard_reference *reference)
{
    mark(arg, reference->id);
    return GFS_OK;
}

static enum gfs_err mark_row(struct visitor *visitor, enum table table, struct gfs_slice key,
                             struct gfs_slice row)
{
    if (table != TABLE_GARBAGE) {
        return see_row(visitor, table, key, row);
    }
    struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
    uint32_t count = 0;
    int64_t time_ms = 0;
    if (record_decode_garbage(row, &time_ms, ids, &count) != GFS_OK) {
        visitor->damaged_rows++;
    }
    for (uint32_t i = 0; i < count; i++) {
        mark(visitor->arg, ids[i]);
    }
    return GFS_OK;
}

enum gfs_err shard_has_references(struct shard *shard, const struct chunk_id *ids, size_t count,
                                  bool *ret)
{
    struct wanted wanted = {.ids = ids, .count = count, .ret = ret};
    memset(ret, 0, count * sizeof *ret);
    if (count == 0) {
        return GFS_OK;
    }
    struct visitor visitor = {
        .shard = shard, .see = mark_row, .visit = mark_reference, .arg = &wanted};
    return visit(&visitor, true);
}
