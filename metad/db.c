#include "metad/db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"
#include "metad/db_calls.h"

enum {
    PAGE_SIZE = 8192,
    CRC_LEN = 4,
    BUSY_TIMEOUT_MS = 2000,
    WAL_SIZE_LIMIT = 16 << 20,
    SQL_SIZE_MAX = 160,
    COPY_STEP_PAGES = 256,
    COPY_STEPS_A_SYNC = 32,
};

enum statement {
    STATEMENT_GET,
    STATEMENT_PUT,
    STATEMENT_DELETE,
    STATEMENT_DELETE_RANGE,
    STATEMENT_SCAN,
    STATEMENT_COUNT,
};

static const char *const table_names[TABLE_COUNT] = {
    [TABLE_OBJECTS] = "objects",     [TABLE_UPLOADS] = "uploads", [TABLE_PARTS] = "parts",
    [TABLE_COMPLETED] = "completed", [TABLE_BUCKETS] = "buckets", [TABLE_GARBAGE] = "garbage",
    [TABLE_REFS] = "refs",           [TABLE_USAGE] = "usage",     [TABLE_META] = "meta",
};

static const char *const statement_texts[STATEMENT_COUNT] = {
    [STATEMENT_GET] = "SELECT v FROM %s WHERE k=?1",
    [STATEMENT_PUT] = "INSERT OR REPLACE INTO %s (k,v) VALUES (?1,?2)",
    [STATEMENT_DELETE] = "DELETE FROM %s WHERE k=?1",
    [STATEMENT_DELETE_RANGE] = "DELETE FROM %s WHERE k>=?1 AND k<?2",
    [STATEMENT_SCAN] = "SELECT k,v FROM %s WHERE k>=?1 AND k<?2 ORDER BY k",
};

static const char schema_sql[] =
#include "metad/metadata_sql.inc"
    ;

struct db {
    sqlite3 *handle;
    sqlite3_stmt *statements[TABLE_COUNT][STATEMENT_COUNT]; /* prepared at first use */
    sqlite3_stmt *begin, *commit, *rollback;
    struct gfs_buf value; /* under construction: value and checksum */
    int wal_pages;        /* writer only */
};

static enum gfs_err to_err(int code)
{
    switch (code & 0xFF) {
    case SQLITE_OK:
        return GFS_OK;
    case SQLITE_FULL:
        return GFS_NO_SPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return GFS_CORRUPT;
    case SQLITE_BUSY:
        return GFS_BUSY;
    default:
        return GFS_IO;
    }
}

const char *db_fault(const struct db *db)
{
    return sqlite3_errmsg(db->handle);
}

static enum gfs_err exec(struct db *db, const char *sql, struct gfs_error *error)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? GFS_OK : gfs_fail(error, to_err(code), "database: %s", db_fault(db));
}

static enum gfs_err prepare(struct db *db, const char *sql, sqlite3_stmt **ret)
{
    return to_err(sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL));
}

/* NULL when it cannot be prepared: the caller answers IO. */
static sqlite3_stmt *statement(struct db *db, enum table table, enum statement which)
{
    GFS_ASSERT(table > 0 && table < TABLE_COUNT);
    sqlite3_stmt **slot = &db->statements[table][which];
    if (*slot == NULL) {
        char sql[SQL_SIZE_MAX];
        const char *text = statement_texts[which];
        const char *gap = strstr(text, "%s");
        GFS_ASSERT(gap != NULL);
        (void)snprintf(sql, sizeof sql, "%.*s%s%s", (int)(gap - text), text, table_names[table],
                       gap + 2);
        if (prepare(db, sql, slot) != GFS_OK) {
            *slot = NULL;
        }
    }
    return *slot;
}

static void bind(sqlite3_stmt *stmt, int index, struct gfs_slice bytes)
{
    /* Cannot fail: the index exists and a static blob allocates nothing. */
    (void)sqlite3_bind_blob(stmt, index, bytes.len == 0 ? "" : bytes.ptr, (int)bytes.len,
                            SQLITE_STATIC);
}

static enum gfs_err run(sqlite3_stmt *stmt)
{
    int code = sqlite3_step(stmt);
    int reset = sqlite3_reset(stmt);
    return code == SQLITE_DONE ? GFS_OK : to_err(reset == SQLITE_OK ? SQLITE_ERROR : reset);
}

static enum gfs_err open_guarded(const char *path, int flags, size_t cache_size, struct db *db,
                                 struct gfs_error *error)
{
    int code = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        return gfs_fail(error, to_err(code), "database %s: %s", path, sqlite3_errstr(code));
    }
    (void)sqlite3_extended_result_codes(db->handle, 1);
    (void)sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    /* The files beside the database stay: making them again could fail on a full disk. */
    int is_kept = 1;
    (void)sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_PERSIST_WAL, &is_kept);
    char sql[SQL_SIZE_MAX];
    (void)snprintf(sql, sizeof sql, "PRAGMA cache_size=-%zu; PRAGMA temp_store=MEMORY;",
                   cache_size / 1024);
    enum gfs_err err = exec(db, sql, error);
    if (err == GFS_OK) {
        err = prepare(db, "COMMIT", &db->commit);
    }
    return err == GFS_OK ? prepare(db, "ROLLBACK", &db->rollback) : err;
}

static enum gfs_err open_handle(const char *path, int flags, size_t cache_size, struct db *db,
                                struct gfs_error *error)
{
    /* Answers MISUSE, harmlessly, once SQLite is initialised. */
    (void)sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    db_calls_guard(true);
    enum gfs_err err = open_guarded(path, flags, cache_size, db, error);
    db_calls_guard(false);
    return err;
}

static enum gfs_err check_format(struct db *db, struct gfs_error *error)
{
    const struct gfs_slice name = GFS_SLICE_LITERAL("format");
    char bytes[4];
    struct gfs_buf value;
    gfs_buf_init(&value, sizeof bytes);
    enum gfs_err err = db_get(db, TABLE_META, name, &value);
    uint32_t format = value.len == sizeof bytes ? gfs_codec_load_u32(value.ptr) : 0;
    gfs_buf_fini(&value);
    if (err == GFS_NOT_FOUND) {
        gfs_codec_store_u32(bytes, DB_FORMAT);
        err = db_put(db, TABLE_META, name, gfs_slice_of(bytes, sizeof bytes));
        format = DB_FORMAT;
    }
    if (err != GFS_OK) {
        return gfs_fail(error, err, "database: format: %s: %s", gfs_err_text(err), db_fault(db));
    }
    if (format != DB_FORMAT) {
        return gfs_fail(error, GFS_UNSUPPORTED, "database has format %u, this program knows %d",
                        format, DB_FORMAT);
    }
    return GFS_OK;
}

static int note_wal_size(void *arg, sqlite3 *handle, const char *name, int pages)
{
    struct db *db = arg;
    (void)handle;
    (void)name;
    db->wal_pages = pages;
    return SQLITE_OK;
}

static enum gfs_err init_writer(struct db *db, struct gfs_error *error)
{
    char sql[SQL_SIZE_MAX];
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                   "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=%d;",
                   (int)PAGE_SIZE, (int)WAL_SIZE_LIMIT);
    enum gfs_err err = exec(db, sql, error);
    (void)sqlite3_wal_hook(db->handle, note_wal_size, db); /* replaces the automatic checkpoint */
    if (err == GFS_OK) {
        err = exec(db, schema_sql, error);
    }
    return err == GFS_OK ? check_format(db, error) : err;
}

enum gfs_err db_open_writer(const char *path, size_t cache_size, struct db **ret,
                            struct gfs_error *error)
{
    struct db *db = gfs_alloc(sizeof *db);
    gfs_buf_init(&db->value, (size_t)8 << 20);
    enum gfs_err err =
        open_handle(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, cache_size, db, error);
    if (err == GFS_OK) {
        err = prepare(db, "BEGIN IMMEDIATE", &db->begin);
    }
    if (err == GFS_OK) {
        err = init_writer(db, error);
    }
    if (err != GFS_OK) {
        db_close(db);
        return err;
    }
    *ret = db;
    return GFS_OK;
}

enum gfs_err db_open_reader(const char *path, size_t cache_size, struct db **ret,
                            struct gfs_error *error)
{
    struct db *db = gfs_alloc(sizeof *db);
    gfs_buf_init(&db->value, 0);
    enum gfs_err err = open_handle(path, SQLITE_OPEN_READONLY, cache_size, db, error);
    if (err == GFS_OK) {
        err = prepare(db, "BEGIN", &db->begin);
    }
    if (err != GFS_OK) {
        db_close(db);
        return err;
    }
    *ret = db;
    return GFS_OK;
}

void db_close(struct db *db)
{
    if (db == NULL) {
        return;
    }
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        for (unsigned j = 0; j < STATEMENT_COUNT; j++) {
            (void)sqlite3_finalize(db->statements[i][j]);
        }
    }
    (void)sqlite3_finalize(db->begin);
    (void)sqlite3_finalize(db->commit);
    (void)sqlite3_finalize(db->rollback);
    (void)sqlite3_close(db->handle);
    gfs_buf_fini(&db->value);
    free(db);
}

enum gfs_err db_begin(struct db *db)
{
    return run(db->begin);
}

enum gfs_err db_commit(struct db *db)
{
    return run(db->commit);
}

void db_rollback(struct db *db)
{
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        db_reset(db, (enum table)i);
    }
    if (sqlite3_get_autocommit(db->handle) == 0) {
        (void)run(db->rollback);
    }
}

static uint32_t row_crc(enum table table, struct gfs_slice key, struct gfs_slice value)
{
    uint8_t head[8] = {(uint8_t)table};
    gfs_codec_store_u32(head + 4, (uint32_t)key.len);
    uint32_t crc = gfs_crc32c(0, head, sizeof head);
    crc = gfs_crc32c(crc, key.ptr, key.len);
    return gfs_crc32c(crc, value.ptr, value.len);
}

static struct gfs_slice column(sqlite3_stmt *stmt, int index)
{
    const void *ptr = sqlite3_column_blob(stmt, index);
    int len = sqlite3_column_bytes(stmt, index);
    return gfs_slice_of(ptr, ptr == NULL ? 0 : (size_t)len);
}

/* Takes the checksum off a stored value. */
static enum gfs_err verify(enum table table, struct gfs_slice key, struct gfs_slice *value)
{
    if (value->len < CRC_LEN) {
        return GFS_CORRUPT;
    }
    value->len -= CRC_LEN;
    uint32_t crc = gfs_codec_load_u32(value->ptr + value->len);
    return crc == row_crc(table, key, *value) ? GFS_OK : GFS_CORRUPT;
}

enum gfs_err db_get(struct db *db, enum table table, struct gfs_slice key,
                    struct gfs_buf *ret_value)
{
    sqlite3_stmt *stmt = statement(db, table, STATEMENT_GET);
    if (stmt == NULL) {
        return GFS_IO;
    }
    bind(stmt, 1, key);
    int code = sqlite3_step(stmt);
    enum gfs_err err = GFS_NOT_FOUND;
    if (code == SQLITE_ROW) {
        struct gfs_slice value = column(stmt, 0);
        err = verify(table, key, &value);
        if (err == GFS_OK) {
            gfs_buf_add_slice(ret_value, value);
            err = ret_value->is_full ? GFS_CORRUPT : GFS_OK;
        }
    } else if (code != SQLITE_DONE) {
        err = to_err(code);
    }
    (void)sqlite3_reset(stmt);
    return err;
}

enum gfs_err db_put(struct db *db, enum table table, struct gfs_slice key, struct gfs_slice value)
{
    sqlite3_stmt *stmt = statement(db, table, STATEMENT_PUT);
    if (stmt == NULL) {
        return GFS_IO;
    }
    gfs_buf_clear(&db->value);
    gfs_buf_add_slice(&db->value, value);
    gfs_codec_put_u32(&db->value, row_crc(table, key, value));
    GFS_ASSERT(!db->value.is_full);
    bind(stmt, 1, key);
    bind(stmt, 2, gfs_buf_slice(&db->value));
    return run(stmt);
}

enum gfs_err db_delete(struct db *db, enum table table, struct gfs_slice key)
{
    sqlite3_stmt *stmt = statement(db, table, STATEMENT_DELETE);
    if (stmt == NULL) {
        return GFS_IO;
    }
    bind(stmt, 1, key);
    return run(stmt);
}

enum gfs_err db_delete_range(struct db *db, enum table table, struct gfs_slice from,
                             struct gfs_slice to)
{
    sqlite3_stmt *stmt = statement(db, table, STATEMENT_DELETE_RANGE);
    if (stmt == NULL) {
        return GFS_IO;
    }
    bind(stmt, 1, from);
    bind(stmt, 2, to);
    return run(stmt);
}

enum gfs_err db_seek(struct db *db, enum table table, struct gfs_slice from, struct gfs_slice to)
{
    sqlite3_stmt *stmt = statement(db, table, STATEMENT_SCAN);
    if (stmt == NULL) {
        return GFS_IO;
    }
    (void)sqlite3_reset(stmt);
    /* Copied: a scan outlives its caller's keys. */
    int code =
        sqlite3_bind_blob(stmt, 1, from.len == 0 ? "" : from.ptr, (int)from.len, SQLITE_TRANSIENT);
    if (code == SQLITE_OK) {
        code = sqlite3_bind_blob(stmt, 2, to.len == 0 ? "" : to.ptr, (int)to.len, SQLITE_TRANSIENT);
    }
    return to_err(code);
}

enum gfs_err db_next(struct db *db, enum table table, struct gfs_slice *ret_key,
                     struct gfs_slice *ret_value)
{
    sqlite3_stmt *stmt = db->statements[table][STATEMENT_SCAN];
    GFS_ASSERT(stmt != NULL);
    int code = sqlite3_step(stmt);
    if (code == SQLITE_DONE) {
        (void)sqlite3_reset(stmt);
        return GFS_END;
    }
    if (code != SQLITE_ROW) {
        (void)sqlite3_reset(stmt);
        enum gfs_err fault = to_err(code);
        return fault == GFS_CORRUPT ? GFS_IO : fault; /* not one row: a page, the scan is over */
    }
    struct gfs_slice key = column(stmt, 0);
    struct gfs_slice value = column(stmt, 1);
    enum gfs_err err = verify(table, key, &value);
    if (err == GFS_OK) {
        *ret_key = key;
        *ret_value = value;
    }
    return err;
}

void db_reset(struct db *db, enum table table)
{
    if (db->statements[table][STATEMENT_SCAN] != NULL) {
        (void)sqlite3_reset(db->statements[table][STATEMENT_SCAN]);
    }
}

enum gfs_err db_checkpoint(struct db *db, bool is_truncate, bool *ret_is_complete)
{
    int frame_count = 0;
    int done_count = 0;
    int mode = is_truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    int code = sqlite3_wal_checkpoint_v2(db->handle, NULL, mode, &frame_count, &done_count);
    *ret_is_complete = code == SQLITE_OK && frame_count == done_count;
    if (*ret_is_complete) {
        db->wal_pages = 0; /* the next transaction starts it over */
    }
    return (code & 0xFF) == SQLITE_BUSY ? GFS_OK : to_err(code);
}

bool db_has_moved(struct db *db)
{
    int has_moved = 0;
    int code = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
    return code == SQLITE_OK && has_moved != 0;
}

static enum gfs_err sync_file(const char *path, struct gfs_error *error)
{
    int fd GFS_CLOSE = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        return gfs_fail(error, gfs_err_from_errno(errno), "%s: cannot be synced", path);
    }
    return GFS_OK;
}

/* Nobody else has the new file open, so syncing it through a handle of our own takes no lock away
 * from SQLite; doing it now and then keeps the last one short. */
static enum gfs_err copy_steps(sqlite3_backup *backup, const char *path, bool (*tick)(void *arg),
                               void *arg, struct gfs_error *error)
{
    for (unsigned step = 1;; step++) {
        int code = sqlite3_backup_step(backup, COPY_STEP_PAGES);
        if (code == SQLITE_DONE) {
            return GFS_OK;
        }
        if (code != SQLITE_OK) {
            return gfs_fail(error, to_err(code), "%s: copy of the database: %s", path,
                            sqlite3_errstr(code));
        }
        enum gfs_err err = step % COPY_STEPS_A_SYNC == 0 ? sync_file(path, error) : GFS_OK;
        if (err != GFS_OK) {
            return err;
        }
        if (!tick(arg)) {
            return gfs_fail(error, GFS_CANCELLED, "%s: copy of the database: given up", path);
        }
    }
}

enum gfs_err db_copy(struct db *reader, const char *path, bool (*tick)(void *arg), void *arg,
                     struct gfs_error *error)
{
    sqlite3 *handle = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    db_calls_guard(true);
    int code = sqlite3_open_v2(path, &handle, flags, NULL);
    db_calls_guard(false);
    if (code == SQLITE_OK) { /* a file that is thrown away unless it is whole needs no journal */
        code = sqlite3_exec(handle, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;", NULL, NULL,
                            NULL);
    }
    sqlite3_backup *backup =
        code == SQLITE_OK ? sqlite3_backup_init(handle, "main", reader->handle, "main") : NULL;
    enum gfs_err err;
    if (backup == NULL) {
        code = code == SQLITE_OK ? sqlite3_errcode(handle) : code;
        err = gfs_fail(error, code == SQLITE_OK ? GFS_IO : to_err(code), "database %s: %s", path,
                       sqlite3_errstr(code));
    } else {
        err = copy_steps(backup, path, tick, arg, error);
        code = sqlite3_backup_finish(backup);
        if (err == GFS_OK && code != SQLITE_OK) {
            err = gfs_fail(error, to_err(code), "database %s: %s", path, sqlite3_errstr(code));
        }
    }
    (void)sqlite3_close(handle);
    return err == GFS_OK ? sync_file(path, error) : err;
}

size_t db_wal_size(const struct db *db)
{
    return (size_t)db->wal_pages * PAGE_SIZE;
}

void db_shrink(struct db *db)
{
    (void)sqlite3_db_release_memory(db->handle);
}
