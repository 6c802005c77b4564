/* What a row says about itself outside of the database, so that names can be rebuilt from the
 * disks: the bucket, the key, the upload, and the whole row, stamped with its LSN and time.
 *
 * A label is kept with the data it belongs to and lives exactly as long: in the owner of the row's
 * one small chunk when it fits, else in small chunks of its own, "notes", which the row's list
 * names by references of length 0. Format: schema/segment-format.md. Parsing takes untrusted bytes.
 */
#pragma once

#include "libgoodfs/buf.h"
#include "libgoodfs/meta_service.h"
#include "metad/key.h"

enum {
    LABEL_OWNER_LEN_MAX = 1100, /* a pool adds 16 bytes of its own to CHUNK_OWNER_LEN_MAX */
    LABEL_NOTES_MAX = 18,       /* an edit, and with it a row, is at most CHUNK_EDIT_LEN_MAX */
    LABEL_LEN_MAX = LABEL_NOTES_MAX * GFS_SMALL_CHUNK_MAX,
};

/* Plain data. Slices are borrowed. */
struct label {
    enum table table;          /* OBJECTS, UPLOADS or PARTS */
    struct meta_bucket bucket; /* as it was then */
    bool has_upload;           /* uploads, parts, and objects that were completed from one */
    uint8_t upload_id[META_UPLOAD_ID_LEN];
    struct gfs_slice key;
    struct gfs_slice row; /* at the end of the label's bytes */
};

/* An empty row is appended by the caller. */
void label_encode(struct gfs_buf *out, const struct label *label);
/* The head of its row is checked, not more. CORRUPT; UNSUPPORTED: a newer version. */
enum gfs_err label_decode(struct gfs_slice bytes, struct label *ret) GFS_MUST_CHECK;
/* Of a decoded label: the row's key in its table. CORRUPT: the row is none of that table. */
enum gfs_err label_row_key(const struct label *label, struct key *ret) GFS_MUST_CHECK;

enum label_owner_kind {
    LABEL_WHOLE,     /* the owner is a label */
    LABEL_NOTE,      /* the payload is a label, or the beginning of one */
    LABEL_NOTE_MORE, /* the payload goes on with one */
    LABEL_NAME,      /* a key alone: of a large chunk, or of older versions */
};

/* Plain data. What a chunk's owner is. */
struct label_owner {
    enum label_owner_kind kind;
    struct gfs_slice label; /* WHOLE */
    uint32_t len;           /* NOTE: of the label in all notes */
    uint32_t more_count;    /* NOTE: notes that follow, */
    struct chunk_id more[LABEL_NOTES_MAX];
    bool is_part; /* NAME */
    uint64_t bucket_id;
    struct gfs_slice key;
};

/* CORRUPT: none of these; UNSUPPORTED: a newer version. */
enum gfs_err label_owner_parse(struct gfs_slice owner, struct label_owner *ret) GFS_MUST_CHECK;
/* Bytes of the label in each note but the last, which has the rest. */
static inline uint32_t label_note_step(uint32_t label_len, uint32_t count)
{
    return (label_len + count - 1) / count;
}
/* The owner of the first note; ids are those of the others. */
void label_note_owner(struct gfs_buf *out, uint32_t label_len, const struct chunk_id *more,
                      uint32_t more_count);
/* The owner of the others. Static. */
struct gfs_slice label_more_owner(void);
