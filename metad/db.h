/* SQLite, and nothing else knows it.
 *
 * One file, tables of (k, v) blobs. Model: ONE writer connection does all writes and all
 * checkpoints (SQLite before 3.51.3 can corrupt a file when two do), wal_autocheckpoint=0; reader
 * connections are opened read-only. WAL, synchronous=NORMAL: a crash may lose the latest
 * transactions but never part of one; the edit log replays them.
 * Every value carries a checksum over (table, key, value), added on write and verified on every
 * read: what SQLite does not notice is GFS_CORRUPT here, never a wrong answer.
 * A connection is used by one thread at a time. */
#pragma once

#include "libgoodfs/buf.h"
#include "metad/key.h"

struct db;

enum { DB_FORMAT = 1 };

/* Creates the file and its tables when missing. UNSUPPORTED: written by a newer version.
 * IO, CORRUPT, NO_SPACE. cache_size in bytes. */
enum gfs_err db_open_writer(const char *path, size_t cache_size, struct db **ret,
                            struct gfs_error *error) GFS_MUST_CHECK;
/* Only while the writer is open. */
enum gfs_err db_open_reader(const char *path, size_t cache_size, struct db **ret,
                            struct gfs_error *error) GFS_MUST_CHECK;
/* Readers first, the writer last. NULL allowed. */
void db_close(struct db *db);

/* The text of the last fault on this connection. */
const char *db_fault(const struct db *db);

/* A transaction; on readers a snapshot, taken by its first read. */
enum gfs_err db_begin(struct db *db) GFS_MUST_CHECK;
enum gfs_err db_commit(struct db *db) GFS_MUST_CHECK; /* on failure: db_rollback */
void db_rollback(struct db *db);                      /* also ends a reader's snapshot */

/* Appends the value to ret_value. NOT_FOUND, CORRUPT, IO. */
enum gfs_err db_get(struct db *db, enum table table, struct gfs_slice key,
                    struct gfs_buf *ret_value) GFS_MUST_CHECK;
enum gfs_err db_put(struct db *db, enum table table, struct gfs_slice key,
                    struct gfs_slice value) GFS_MUST_CHECK;
enum gfs_err db_delete(struct db *db, enum table table, struct gfs_slice key) GFS_MUST_CHECK;
/* from <= key < to. */
enum gfs_err db_delete_range(struct db *db, enum table table, struct gfs_slice from,
                             struct gfs_slice to) GFS_MUST_CHECK;

/* One ordered scan a table and connection: from <= key < to. Slices live until the next call. */
enum gfs_err db_seek(struct db *db, enum table table, struct gfs_slice from,
                     struct gfs_slice to) GFS_MUST_CHECK;
/* END after the last. CORRUPT: this row is damaged (the call after it goes on behind it). IO, and
 * everything else: the scan is over (the call after it would begin it anew). */
enum gfs_err db_next(struct db *db, enum table table, struct gfs_slice *ret_key,
                     struct gfs_slice *ret_value) GFS_MUST_CHECK;
void db_reset(struct db *db, enum table table); /* ends the scan */

/* Copies the WAL into the file and syncs it. is_truncate also empties the WAL (waits for readers to
 * leave the old part, at most briefly). *ret_is_complete: every committed transaction is in the
 * file. Writer only, outside transactions. */
enum gfs_err db_checkpoint(struct db *db, bool is_truncate, bool *ret_is_complete) GFS_MUST_CHECK;
/* The file is no longer at its path: it, or its directory, was removed or replaced. What is
 * written goes nowhere then. */
bool db_has_moved(struct db *db);
/* Copies the database, as the reader's transaction sees it, into a new file, and syncs it. `tick`
 * is called every few MiB: false = give up, CANCELLED. What was written by then is left behind. */
enum gfs_err db_copy(struct db *reader, const char *path, bool (*tick)(void *arg), void *arg,
                     struct gfs_error *error) GFS_MUST_CHECK;
/* Bytes the WAL has grown to since it was last restarted. Writer only. */
size_t db_wal_size(const struct db *db);
/* Frees page cache that is not in use. */
void db_shrink(struct db *db);
