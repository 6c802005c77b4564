#include "metad/scan.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "metad/shard_copy.h"

/* Entries copied a segment, and entries looked at for them (some are not committed). */
enum { SEGMENT_ENTRIES_MAX = 256, SEGMENT_LOOKS_MAX = 1024 };

/* A copied overlay row; NULL = deleted. */
struct copied {
    struct meta_row *row;
    size_t key_offset; /* in `keys` */
    size_t key_len;
};

struct scan {
    struct shard *shard;
    struct reading reading; /* copy NULL = none */
    enum table table;
    bool is_in_segment;
    bool has_database_row, is_database_end;
    struct gfs_slice database_key, database_row; /* when has_database_row */
    struct gfs_buf keys;
    uint32_t copied_count, copied_index;
    struct copied copied[SEGMENT_ENTRIES_MAX];
    struct key next;        /* behind the row given last: where a segment begins */
    struct key segment_end; /* exclusive */
    struct key to;
};

struct scan *scan_begin(struct shard *shard, const struct key *from, const struct key *to)
{
    struct scan *scan = gfs_alloc(sizeof *scan);
    scan->shard = shard;
    scan->table = key_table(key_full(from));
    scan->next = *from;
    scan->to = *to;
    gfs_buf_init(&scan->keys, (size_t)SEGMENT_ENTRIES_MAX * KEY_LEN_MAX);
    return scan;
}

static void drop_copied(struct scan *scan)
{
    for (uint32_t i = 0; i < scan->copied_count; i++) {
        meta_row_unref(scan->copied[i].row);
    }
    scan->copied_count = 0;
    scan->copied_index = 0;
    gfs_buf_clear(&scan->keys);
}

static void give_reader_back(struct scan *scan)
{
    if (scan->reading.copy != NULL) {
        db_reset(scan->reading.db, scan->table);
        shard_reader_put(scan->shard, &scan->reading);
    }
    scan->has_database_row = false;
}

void scan_end(struct scan *scan)
{
    if (scan == NULL) {
        return;
    }
    give_reader_back(scan);
    drop_copied(scan);
    gfs_buf_fini(&scan->keys);
    free(scan);
}

static struct gfs_slice copied_key(const struct scan *scan, const struct copied *copied)
{
    return gfs_slice_of(scan->keys.ptr + copied->key_offset, copied->key_len);
}

static void copy_entry(struct scan *scan, const struct overlay_entry *entry,
                       const struct overlay_version *version)
{
    struct gfs_slice key = key_strip(overlay_key(entry));
    scan->copied[scan->copied_count++] = (struct copied){
        .row = row_ref(version->row), .key_offset = scan->keys.len, .key_len = key.len};
    gfs_buf_add_slice(&scan->keys, key);
}

/* Copies overlay entries from `next` on; where it had to stop, the segment ends. false: the
 * reader's database is no longer the live one, so it may lack what has left the overlay. */
static bool copy_overlay(struct scan *scan)
{
    struct shard *shard = scan->shard;
    drop_copied(scan);
    scan->segment_end = scan->to;
    (void)pthread_mutex_lock(&shard->lock);
    bool is_current = scan->reading.move_count == shard->move_count;
    struct overlay_entry *entry = overlay_seek(shard->overlay, key_full(&scan->next));
    for (uint32_t looks = 0; entry != NULL; looks++, entry = overlay_next(entry)) {
        if (gfs_slice_cmp(overlay_key(entry), key_full(&scan->to)) >= 0) {
            break;
        }
        if (scan->copied_count == SEGMENT_ENTRIES_MAX || looks == SEGMENT_LOOKS_MAX) {
            key_set(&scan->segment_end, overlay_key(entry));
            break;
        }
        const struct overlay_version *version = overlay_at(entry, shard->committed_lsn);
        if (version != NULL) {
            copy_entry(scan, entry, version);
        }
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return is_current;
}

static enum gfs_err seek_database(struct scan *scan, const struct key *from)
{
    scan->has_database_row = false;
    scan->is_database_end = false;
    return db_seek(scan->reading.db, scan->table, key_row(from), key_row(&scan->segment_end));
}

static enum gfs_err begin_segment(struct scan *scan)
{
    if (gfs_slice_cmp(key_full(&scan->next), key_full(&scan->to)) >= 0) {
        return GFS_END;
    }
    for (bool is_current = false; !is_current; is_current = copy_overlay(scan)) {
        give_reader_back(scan);
        enum gfs_err err = shard_reader_get(scan->shard, &scan->reading);
        if (err != GFS_OK) {
            return err;
        }
    }
    scan->is_in_segment = true;
    return seek_database(scan, &scan->next);
}

static void end_segment(struct scan *scan)
{
    db_reset(scan->reading.db, scan->table);
    scan->is_in_segment = false;
    scan->next = scan->segment_end;
}

static enum gfs_err fetch_database_row(struct scan *scan)
{
    if (scan->has_database_row || scan->is_database_end) {
        return GFS_OK;
    }
    struct db *db = scan->reading.db;
    enum gfs_err err = db_next(db, scan->table, &scan->database_key, &scan->database_row);
    if (err == GFS_END) {
        scan->is_database_end = true;
        return GFS_OK;
    }
    scan->has_database_row = err == GFS_OK;
    return err;
}

/* Takes the smaller of both sides; on equal keys the overlay's, and both are behind us. The row is
 * NULL for a deletion. END: the segment is empty. */
static enum gfs_err take_row(struct scan *scan, struct gfs_slice *ret_key,
                             struct gfs_slice *ret_row)
{
    enum gfs_err err = fetch_database_row(scan);
    if (err != GFS_OK) {
        return err;
    }
    const struct copied *copied =
        scan->copied_index < scan->copied_count ? &scan->copied[scan->copied_index] : NULL;
    int order = copied == NULL ? 1 : -1;
    if (copied != NULL && scan->has_database_row) {
        order = gfs_slice_cmp(copied_key(scan, copied), scan->database_key);
    }
    if (order <= 0) {
        *ret_key = copied_key(scan, copied);
        *ret_row = copied->row == NULL ? (struct gfs_slice){0} : meta_row_bytes(copied->row);
        scan->copied_index++;
    } else if (scan->has_database_row) {
        *ret_key = scan->database_key;
        *ret_row = scan->database_row;
    } else {
        return GFS_END;
    }
    if (order >= 0) {
        scan->has_database_row = false;
    }
    return GFS_OK;
}

static enum gfs_err next_row(struct scan *scan, struct gfs_slice *ret_key,
                             struct gfs_slice *ret_row)
{
    for (;;) {
        enum gfs_err err = scan->is_in_segment ? GFS_OK : begin_segment(scan);
        if (err != GFS_OK) {
            return err;
        }
        err = take_row(scan, ret_key, ret_row);
        if (err == GFS_END) {
            end_segment(scan);
        } else if (err != GFS_OK || ret_row->ptr != NULL) {
            return err;
        }
    }
}

/* The scan goes on behind this row, should its database be lost. */
static void note_given(struct scan *scan, struct gfs_slice key)
{
    GFS_ASSERT(key.len + 1 < sizeof scan->next.bytes);
    memcpy(scan->next.bytes + 1, key.ptr, key.len);
    scan->next.len = key.len + 1;
    key_after(&scan->next);
}

enum gfs_err scan_next(struct scan *scan, struct gfs_slice *ret_key, struct gfs_slice *ret_row)
{
    for (;;) {
        enum gfs_err err = next_row(scan, ret_key, ret_row);
        if (err == GFS_OK) {
            note_given(scan, *ret_key);
        }
        if (err != GFS_IO && err != GFS_CORRUPT) {
            return err;
        }
        give_reader_back(scan);
        scan->is_in_segment = false;
        if (!shard_read_again(scan->shard, &scan->reading, err)) {
            return err;
        }
    }
}

void scan_skip(struct scan *scan, const struct key *from)
{
    if (!scan->is_in_segment || gfs_slice_cmp(key_full(from), key_full(&scan->segment_end)) >= 0) {
        if (scan->is_in_segment) {
            end_segment(scan);
        }
        scan->next = *from;
        return;
    }
    scan->next = *from;
    while (scan->copied_index < scan->copied_count &&
           gfs_slice_cmp(copied_key(scan, &scan->copied[scan->copied_index]), key_row(from)) < 0) {
        scan->copied_index++;
    }
    bool is_behind =
        scan->is_database_end ||
        (scan->has_database_row && gfs_slice_cmp(scan->database_key, key_row(from)) >= 0);
    if (!is_behind && seek_database(scan, from) != GFS_OK) {
        end_segment(scan); /* the new segment meets the fault again, and answers it */
        scan->next = *from;
    }
}
