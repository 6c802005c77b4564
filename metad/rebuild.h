/* The metadata made anew from the labels on the disks (label.h), when the database is gone.
 *
 *   every owner and note is read -> the newest whole row of each name is chosen -> the edits that
 *   wrote these rows are written again, in their order, into a new database
 *
 * Rows keep their LSN and time, buckets their id, so a rebuilt store can be rebuilt again. What is
 * on the disks is only read, but for one empty edit at the log's end, above all LSNs there were:
 * the new database ends with it, and so fits the log. The database is built beside its place and
 * moved there when it is whole; what it replaces is kept under another name.
 *
 * A row is proved when its label is whole (checksummed), every chunk it names is there and as long
 * as the row says and, when asked for, its bytes have its checksums.
 *
 * Not here: deletions. What was deleted and still has its chunks (gc_grace_ms, or because a copy
 * shares them) comes back. */
#pragma once

#include "libgoodfs/meta_service.h"
#include "metad/key.h"

enum rebuild_verdict { REBUILD_UNPROVED, REBUILD_LEFT_OUT };

/* Plain data, valid during the call. */
struct rebuild_finding {
    enum rebuild_verdict verdict;
    enum table table;   /* OBJECTS, UPLOADS, PARTS; REFS: a chunk, of a key when that is known */
    const char *bucket; /* name, NULL = not known */
    uint64_t bucket_id; /* 0 = not known */
    struct gfs_slice key;
    const uint8_t *upload_id; /* NULL = none */
    struct chunk_id chunk;    /* that lacks, is damaged, or that this is about; 0 = none */
    const char *reason;       /* a sentence */
};

/* Plain data. */
struct rebuild_options {
    const char *dir;            /* where the database belongs; its parent directory exists */
    struct chunk_store *chunks; /* open, and nobody else's */
    bool must_verify;           /* read all bytes and compare checksums */
    bool must_replace;          /* there may be a database in dir: it is kept under another name */
    void (*report)(void *arg, const struct rebuild_finding *finding);
    void *arg;
};

/* Plain data. */
struct rebuild_result {
    uint64_t chunks; /* looked at */
    uint64_t buckets, objects, object_bytes, uploads, parts;
    uint64_t unproved; /* of the rows restored */
    uint64_t left_out;
    uint64_t older; /* rows that newer ones replaced, parts that became objects */
};

/* A database with something in it, that can be opened. */
bool rebuild_has_database(const char *dir);

/* EXISTS: there is a database. IO, NO_SPACE, CORRUPT, and what the store answers; then nothing
 * changed in dir. Blocking, for long. */
enum gfs_err rebuild_run(const struct rebuild_options *options, struct rebuild_result *ret,
                         struct gfs_error *error) GFS_MUST_CHECK;
