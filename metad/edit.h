/* Edit records: one operation, as the edit log keeps it. Format: schema/metadata-records.md.
 *
 * An edit is a list of changes. Its proposer fixes the LSN, the time and every outcome; applying is
 * a pure function of the state and the edit. edit_seal stamps every row with LSN and time. */
#pragma once

#include "libgoodfs/buf.h"
#include "libgoodfs/chunk_store.h"
#include "metad/key.h"

enum change_kind {
    CHANGE_PUT = 1,          /* table, key, value; chunks of the value replaced are freed */
    CHANGE_DELETE = 2,       /* table, key; chunks of the value there are freed */
    CHANGE_UPLOAD_END = 3,   /* key (of the upload), numbers: the upload and its parts go; chunks of
                                parts not in numbers are freed */
    CHANGE_REF_ADD = 4,      /* ids: one more reference to each, an id may come more than once */
    CHANGE_BUCKET_PUT = 5,   /* key = name, value = region; the bucket's id is the LSN */
    CHANGE_BUCKET_DROP = 6,  /* bucket_id; its uploads go and their chunks are freed */
    CHANGE_GARBAGE_DONE = 7, /* garbage_lsn, garbage_n: the row goes, its chunks are deleted */
    CHANGE_BUCKET_SET = 8,   /* bucket_id (0 = the one made by this edit), setting, value */
};

/* Plain data. Borrows from the edit. */
struct change {
    enum change_kind kind;
    enum table table;
    struct gfs_slice key; /* row key, without table byte */
    struct gfs_slice value;
    uint64_t bucket_id;
    uint8_t setting; /* enum meta_bucket_setting */
    uint64_t garbage_lsn;
    uint32_t garbage_n;
    uint32_t count;         /* numbers, ids */
    struct gfs_slice items; /* numbers: 2 bytes each, ascending; ids: 16 bytes each */
};

enum { EDIT_HEAD_LEN = 28 };

/* Writing: edit_begin, changes, edit_finish; then edit_seal once the LSN is known. Past
 * CHUNK_EDIT_LEN_MAX the buffer is full, which edit_finish answers as TOO_BIG. */
void edit_begin(struct gfs_buf *out);
void edit_put(struct gfs_buf *out, enum table table, struct gfs_slice key, struct gfs_slice value);
void edit_delete(struct gfs_buf *out, enum table table, struct gfs_slice key);
/* numbers ascending. */
void edit_upload_end(struct gfs_buf *out, struct gfs_slice key, const uint16_t *numbers,
                     uint32_t count);
void edit_ref_add(struct gfs_buf *out, const struct chunk_id *ids, uint32_t count);
void edit_bucket_put(struct gfs_buf *out, struct gfs_slice name, struct gfs_slice region);
void edit_bucket_set(struct gfs_buf *out, uint64_t bucket_id, uint8_t setting,
                     struct gfs_slice value);
void edit_bucket_drop(struct gfs_buf *out, uint64_t bucket_id);
void edit_garbage_done(struct gfs_buf *out, uint64_t lsn, uint32_t n);
enum gfs_err edit_finish(struct gfs_buf *out) GFS_MUST_CHECK;
void edit_seal(char *bytes, size_t len, uint64_t lsn, int64_t time_ms);

/* Plain data. Borrows. */
struct edit {
    uint64_t lsn;
    int64_t time_ms;        /* Unix time */
    struct gfs_slice bytes; /* changes not yet read */
};

/* Verifies version and checksum. CORRUPT, UNSUPPORTED (a newer version). */
enum gfs_err edit_open(struct gfs_slice bytes, struct edit *ret) GFS_MUST_CHECK;
/* The next change; GFS_END after the last. CORRUPT. */
enum gfs_err edit_next(struct edit *edit, struct change *ret) GFS_MUST_CHECK;

uint16_t edit_number(const struct change *change, uint32_t index);
bool edit_has_number(const struct change *change, uint32_t number);
struct chunk_id edit_id(const struct change *change, uint32_t index);
