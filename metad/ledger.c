#include "metad/ledger.h"

#include <stdlib.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "metad/record.h"

enum { USAGE_VERSION = 1, USAGE_LEN = 33, REF_LEN = 4, GARBAGE_ROW_LEN_MAX = 4096 };

struct freed {
    uint64_t lsn;
    uint32_t seq;   /* the change within its edit */
    uint32_t index; /* in order of arrival */
    int64_t time_ms;
    struct chunk_id id;
};

struct usage_delta {
    uint64_t bucket_id;
    struct meta_usage delta;
};

struct garbage_key {
    uint64_t lsn;
    uint32_t n;
};

struct ledger {
    struct db *db;
    struct freed *freed;
    size_t freed_count, freed_size;
    struct usage_delta *deltas;
    size_t delta_count, delta_size;
    struct garbage_key *dones;
    size_t done_count, done_size;
    struct garbage_key last; /* garbage row written last: rows of one LSN are numbered on */
    struct gfs_buf scratch;
};

struct ledger *ledger_new(struct db *db)
{
    struct ledger *ledger = gfs_alloc(sizeof *ledger);
    ledger->db = db;
    gfs_buf_init(&ledger->scratch, GARBAGE_ROW_LEN_MAX);
    return ledger;
}

void ledger_free(struct ledger *ledger)
{
    if (ledger != NULL) {
        free(ledger->freed);
        free(ledger->deltas);
        free(ledger->dones);
        gfs_buf_fini(&ledger->scratch);
        free(ledger);
    }
}

void ledger_clear(struct ledger *ledger)
{
    ledger->freed_count = 0;
    ledger->delta_count = 0;
    ledger->done_count = 0;
    ledger->last = (struct garbage_key){0};
}

/* Room for one more element; the arrays are bounded by the edits of one transaction. */
static void *grow(void *array, size_t count, size_t *size, size_t item_size)
{
    if (count < *size) {
        return array;
    }
    *size = *size == 0 ? 64 : *size * 2;
    return gfs_realloc(array, *size * item_size);
}

static enum gfs_err get_ref(struct ledger *ledger, struct key *key, uint32_t *ret_count)
{
    gfs_buf_clear(&ledger->scratch);
    enum gfs_err err = db_get(ledger->db, TABLE_REFS, key_row(key), &ledger->scratch);
    if (err == GFS_NOT_FOUND) {
        *ret_count = 0;
        return GFS_OK;
    }
    if (err == GFS_OK && ledger->scratch.len != REF_LEN) {
        err = GFS_CORRUPT;
    }
    if (err == GFS_OK) {
        *ret_count = gfs_codec_load_u32(ledger->scratch.ptr);
    }
    return err;
}

static enum gfs_err set_ref(struct ledger *ledger, struct key *key, uint32_t count)
{
    if (count == 0) {
        return db_delete(ledger->db, TABLE_REFS, key_row(key));
    }
    char raw[REF_LEN];
    gfs_codec_store_u32(raw, count);
    return db_put(ledger->db, TABLE_REFS, key_row(key), gfs_slice_of(raw, sizeof raw));
}

enum gfs_err ledger_add_ref(struct ledger *ledger, struct chunk_id id)
{
    struct key key;
    key_ref(&key, id);
    uint32_t count = 0;
    enum gfs_err err = get_ref(ledger, &key, &count);
    if (err == GFS_OK && count == UINT32_MAX) {
        err = GFS_CORRUPT;
    }
    return err == GFS_OK ? set_ref(ledger, &key, count + 1) : err;
}

enum gfs_err ledger_free_row(struct ledger *ledger, uint64_t lsn, int64_t time_ms, uint32_t seq,
                             struct gfs_slice row)
{
    struct record_chunks chunks;
    enum gfs_err err = record_chunks_begin(row, &chunks);
    size_t count = ledger->freed_count;
    while (err == GFS_OK) {
        struct meta_chunk_ref ref;
        err = record_chunks_next(&chunks, &ref);
        if (err == GFS_OK) {
            ledger->freed = grow(ledger->freed, count, &ledger->freed_size, sizeof *ledger->freed);
            ledger->freed[count] = (struct freed){lsn, seq, (uint32_t)count, time_ms, ref.id};
            count++;
        }
    }
    if (err != GFS_END) {
        return err;
    }
    ledger->freed_count = count;
    return GFS_OK;
}

static void add_usage(struct meta_usage *sum, const struct meta_usage *delta)
{
    sum->object_count += delta->object_count;
    sum->object_bytes += delta->object_bytes;
    sum->upload_count += delta->upload_count;
    sum->part_bytes += delta->part_bytes;
}

void ledger_add_usage(struct ledger *ledger, uint64_t bucket_id, const struct meta_usage *delta)
{
    struct usage_delta *last =
        ledger->delta_count == 0 ? NULL : &ledger->deltas[ledger->delta_count - 1];
    if (last == NULL || last->bucket_id != bucket_id) {
        ledger->deltas =
            grow(ledger->deltas, ledger->delta_count, &ledger->delta_size, sizeof *ledger->deltas);
        last = &ledger->deltas[ledger->delta_count++];
        *last = (struct usage_delta){.bucket_id = bucket_id};
    }
    add_usage(&last->delta, delta);
}

void ledger_garbage_done(struct ledger *ledger, uint64_t lsn, uint32_t n)
{
    ledger->dones =
        grow(ledger->dones, ledger->done_count, &ledger->done_size, sizeof *ledger->dones);
    ledger->dones[ledger->done_count++] = (struct garbage_key){lsn, n};
}

static int freed_order(const void *left, const void *right)
{
    const struct freed *a = left;
    const struct freed *b = right;
    if (a->lsn != b->lsn) {
        return a->lsn < b->lsn ? -1 : 1;
    }
    if (a->seq != b->seq) {
        return a->seq < b->seq ? -1 : 1;
    }
    return (a->index > b->index) - (a->index < b->index);
}

static enum gfs_err put_garbage(struct ledger *ledger, const struct freed *first,
                                const struct chunk_id *ids, uint32_t count)
{
    if (ledger->last.lsn == first->lsn) {
        ledger->last.n++;
    } else {
        ledger->last = (struct garbage_key){first->lsn, 0};
    }
    struct key key;
    key_garbage(&key, ledger->last.lsn, ledger->last.n);
    gfs_buf_clear(&ledger->scratch);
    record_encode_garbage(&ledger->scratch, first->time_ms, ids, count);
    GFS_ASSERT(!ledger->scratch.is_full);
    return db_put(ledger->db, TABLE_GARBAGE, key_row(&key), gfs_buf_slice(&ledger->scratch));
}

/* *ret_is_garbage: that was the last reference. */
static enum gfs_err drop_ref(struct ledger *ledger, struct chunk_id id, bool *ret_is_garbage)
{
    struct key key;
    key_ref(&key, id);
    uint32_t count = 0;
    enum gfs_err err = get_ref(ledger, &key, &count);
    if (err != GFS_OK) {
        return err;
    }
    *ret_is_garbage = count == 0;
    return count == 0 ? GFS_OK : set_ref(ledger, &key, count - 1);
}

static enum gfs_err flush_freed(struct ledger *ledger, uint64_t *freed_count)
{
    if (ledger->freed_count != 0) {
        qsort(ledger->freed, ledger->freed_count, sizeof *ledger->freed, freed_order);
    }
    struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
    uint32_t count = 0;
    for (size_t i = 0; i < ledger->freed_count; i++) {
        const struct freed *freed = &ledger->freed[i];
        bool is_garbage = false;
        enum gfs_err err = drop_ref(ledger, freed->id, &is_garbage);
        if (err == GFS_OK && is_garbage) {
            ids[count++] = freed->id;
        }
        bool is_last = i + 1 == ledger->freed_count || ledger->freed[i + 1].lsn != freed->lsn;
        if (err == GFS_OK && count != 0 && (is_last || count == RECORD_GARBAGE_IDS_MAX)) {
            err = put_garbage(ledger, freed, ids, count);
            *freed_count += count;
            count = 0;
        }
        if (err != GFS_OK) {
            return err;
        }
    }
    ledger->freed_count = 0;
    return GFS_OK;
}

static int delta_order(const void *left, const void *right)
{
    const struct usage_delta *a = left;
    const struct usage_delta *b = right;
    return (a->bucket_id > b->bucket_id) - (a->bucket_id < b->bucket_id);
}

static enum gfs_err flush_usage(struct ledger *ledger)
{
    if (ledger->delta_count != 0) {
        qsort(ledger->deltas, ledger->delta_count, sizeof *ledger->deltas, delta_order);
    }
    for (size_t i = 0; i < ledger->delta_count;) {
        uint64_t bucket_id = ledger->deltas[i].bucket_id;
        struct key key;
        key_bucket(&key, TABLE_USAGE, bucket_id);
        struct meta_usage usage = {0};
        gfs_buf_clear(&ledger->scratch);
        enum gfs_err err = db_get(ledger->db, TABLE_USAGE, key_row(&key), &ledger->scratch);
        if (err == GFS_OK) {
            err = ledger_decode_usage(gfs_buf_slice(&ledger->scratch), &usage);
        }
        if (err != GFS_OK && err != GFS_NOT_FOUND) {
            return err;
        }
        for (; i < ledger->delta_count && ledger->deltas[i].bucket_id == bucket_id; i++) {
            add_usage(&usage, &ledger->deltas[i].delta);
        }
        gfs_buf_clear(&ledger->scratch);
        ledger_encode_usage(&ledger->scratch, &usage);
        err = db_put(ledger->db, TABLE_USAGE, key_row(&key), gfs_buf_slice(&ledger->scratch));
        if (err != GFS_OK) {
            return err;
        }
    }
    ledger->delta_count = 0;
    return GFS_OK;
}

static enum gfs_err flush_dones(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->done_count; i++) {
        struct key key;
        key_garbage(&key, ledger->dones[i].lsn, ledger->dones[i].n);
        enum gfs_err err = db_delete(ledger->db, TABLE_GARBAGE, key_row(&key));
        if (err != GFS_OK) {
            return err;
        }
    }
    ledger->done_count = 0;
    return GFS_OK;
}

enum gfs_err ledger_flush(struct ledger *ledger, uint64_t *freed_count)
{
    enum gfs_err err = flush_freed(ledger, freed_count);
    if (err == GFS_OK) {
        err = flush_usage(ledger);
    }
    return err == GFS_OK ? flush_dones(ledger) : err;
}

void ledger_encode_usage(struct gfs_buf *out, const struct meta_usage *usage)
{
    gfs_codec_put_u8(out, USAGE_VERSION);
    gfs_codec_put_u64(out, usage->object_count);
    gfs_codec_put_u64(out, usage->object_bytes);
    gfs_codec_put_u64(out, usage->upload_count);
    gfs_codec_put_u64(out, usage->part_bytes);
}

enum gfs_err ledger_decode_usage(struct gfs_slice value, struct meta_usage *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(value);
    if (value.len != USAGE_LEN || gfs_codec_get_u8(&in) != USAGE_VERSION) {
        return GFS_CORRUPT;
    }
    ret->object_count = gfs_codec_get_u64(&in);
    ret->object_bytes = gfs_codec_get_u64(&in);
    ret->upload_count = gfs_codec_get_u64(&in);
    ret->part_bytes = gfs_codec_get_u64(&in);
    return GFS_OK;
}
