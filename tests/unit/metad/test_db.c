#include "metad/db.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "tests/unit/metad/random.h"
#include "tests/unit/metad/temp_dir.h"

struct rig {
    char dir[TEMP_DIR_SIZE];
    char path[TEMP_PATH_SIZE];
    struct db *db;
};

static void open_writer(struct rig *rig)
{
    struct gfs_error error = {0};
    enum gfs_err err = db_open_writer(rig->path, 1 << 20, &rig->db, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
}

static void init(struct rig *rig)
{
    temp_dir_make(rig->dir);
    (void)snprintf(rig->path, sizeof rig->path, "%s/db", rig->dir);
    open_writer(rig);
}

static void fini(struct rig *rig)
{
    db_close(rig->db);
    temp_dir_remove(rig->dir);
}

static void put(struct db *db, const char *key, const char *value)
{
    cr_assert_eq(db_put(db, TABLE_OBJECTS, gfs_slice_str(key), gfs_slice_str(value)), GFS_OK);
}

static enum gfs_err get(struct db *db, const char *key, char ret[64])
{
    struct gfs_buf value;
    gfs_buf_init(&value, 60);
    enum gfs_err err = db_get(db, TABLE_OBJECTS, gfs_slice_str(key), &value);
    (void)snprintf(ret, 64, "%.*s", (int)value.len, value.len == 0 ? "" : value.ptr);
    gfs_buf_fini(&value);
    return err;
}

static void checkpoint(struct db *db)
{
    bool is_complete = false;
    cr_assert_eq(db_checkpoint(db, true, &is_complete), GFS_OK);
    cr_assert(is_complete);
}

/* Changes the file behind SQLite's back: all places where `mark` stands. Answers how many. */
static size_t damage(const char *path, const char *mark, size_t offset)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat info;
    cr_assert(fd >= 0 && fstat(fd, &info) == 0);
    size_t len = (size_t)info.st_size;
    char *bytes = gfs_alloc(len);
    cr_assert_eq(pread(fd, bytes, len, 0), (ssize_t)len);
    size_t count = 0;
    for (char *at = bytes; (at = memmem(at, len - (size_t)(at - bytes), mark, strlen(mark)));
         at++) {
        at[offset] ^= 4;
        cr_assert_eq(pwrite(fd, at + offset, 1, at + offset - bytes), 1);
        at[offset] ^= 4;
        count++;
    }
    free(bytes);
    close(fd);
    return count;
}

Test(db, rows_come_back_after_reopening)
{
    struct rig rig;
    char value[64];
    init(&rig);
    put(rig.db, "a", "1");
    put(rig.db, "a", "2");
    put(rig.db, "b", "");
    cr_expect_eq(db_put(rig.db, TABLE_PARTS, gfs_slice_of("\0", 1), gfs_slice_of("\0\0", 2)),
                 GFS_OK);
    put(rig.db, "c", "3");
    cr_expect_eq(db_delete(rig.db, TABLE_OBJECTS, gfs_slice_str("c")), GFS_OK);
    cr_expect_eq(db_delete(rig.db, TABLE_OBJECTS, gfs_slice_str("never")), GFS_OK);
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(get(rig.db, "a", value), GFS_OK);
        cr_expect_str_eq(value, "2");
        cr_expect_eq(get(rig.db, "b", value), GFS_OK);
        cr_expect_str_eq(value, "");
        cr_expect_eq(get(rig.db, "c", value), GFS_NOT_FOUND);
        db_close(rig.db);
        open_writer(&rig);
    }
    fini(&rig);
}

Test(db, transaction_is_whole_or_not_at_all)
{
    struct rig rig;
    char value[64];
    init(&rig);
    put(rig.db, "a", "1");
    cr_assert_eq(db_begin(rig.db), GFS_OK);
    put(rig.db, "a", "2");
    put(rig.db, "b", "2");
    db_rollback(rig.db);
    cr_expect_eq(get(rig.db, "a", value), GFS_OK);
    cr_expect_str_eq(value, "1");
    cr_expect_eq(get(rig.db, "b", value), GFS_NOT_FOUND);
    cr_assert_eq(db_begin(rig.db), GFS_OK);
    put(rig.db, "b", "3");
    cr_assert_eq(db_commit(rig.db), GFS_OK);
    cr_expect_eq(get(rig.db, "b", value), GFS_OK);
    fini(&rig);
}

Test(db, readers_see_what_is_committed)
{
    struct rig rig;
    char value[64];
    init(&rig);
    put(rig.db, "a", "1");
    struct db *reader;
    cr_assert_eq(db_open_reader(rig.path, 1 << 20, &reader, NULL), GFS_OK);
    cr_assert_eq(db_begin(rig.db), GFS_OK);
    put(rig.db, "a", "2");
    cr_expect_eq(get(reader, "a", value), GFS_OK);
    cr_expect_str_eq(value, "1");
    cr_assert_eq(db_commit(rig.db), GFS_OK);
    cr_expect_eq(get(reader, "a", value), GFS_OK);
    cr_expect_str_eq(value, "2");
    db_close(reader);
    fini(&rig);
}

Test(db, scan_gives_a_range_in_order_and_can_begin_again)
{
    struct rig rig;
    init(&rig);
    const char *keys[] = {"a", "a/", "a/b", "b", "b\377"};
    for (size_t i = GFS_COUNT(keys); i-- > 0;) {
        put(rig.db, keys[i], keys[i]);
    }
    struct gfs_slice key;
    struct gfs_slice value;
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(db_seek(rig.db, TABLE_OBJECTS, gfs_slice_str("a/"), gfs_slice_str("b\377")),
                     GFS_OK);
        for (size_t i = 1; i < 4; i++) {
            cr_assert_eq(db_next(rig.db, TABLE_OBJECTS, &key, &value), GFS_OK);
            cr_expect(gfs_slice_eq_str(key, keys[i]) && gfs_slice_eq_str(value, keys[i]));
        }
    }
    cr_assert_eq(db_next(rig.db, TABLE_OBJECTS, &key, &value), GFS_END);
    cr_assert_eq(db_delete_range(rig.db, TABLE_OBJECTS, gfs_slice_str("a"), gfs_slice_str("b")),
                 GFS_OK);
    cr_assert_eq(db_seek(rig.db, TABLE_OBJECTS, gfs_slice_str(""), gfs_slice_str("z")), GFS_OK);
    cr_assert_eq(db_next(rig.db, TABLE_OBJECTS, &key, &value), GFS_OK);
    cr_expect(gfs_slice_eq_str(key, "b"));
    db_reset(rig.db, TABLE_OBJECTS);
    fini(&rig);
}

Test(db, flipped_bit_in_a_value_is_corrupt_and_the_next_row_is_fine)
{
    struct rig rig;
    char value[64];
    init(&rig);
    put(rig.db, "a", "value-of-a");
    put(rig.db, "b", "value-of-b");
    put(rig.db, "c", "value-of-c");
    checkpoint(rig.db);
    db_close(rig.db);
    for (size_t i = 0; i < 10; i++) {
        cr_assert_geq(damage(rig.path, "value-of-b", i), 1u);
        open_writer(&rig);
        cr_expect_eq(get(rig.db, "b", value), GFS_CORRUPT);
        cr_expect_str_eq(value, "");
        struct gfs_slice key;
        struct gfs_slice row;
        cr_assert_eq(db_seek(rig.db, TABLE_OBJECTS, gfs_slice_str("a"), gfs_slice_str("d")),
                     GFS_OK);
        cr_expect_eq(db_next(rig.db, TABLE_OBJECTS, &key, &row), GFS_OK);
        cr_expect_eq(db_next(rig.db, TABLE_OBJECTS, &key, &row), GFS_CORRUPT);
        cr_expect_eq(db_next(rig.db, TABLE_OBJECTS, &key, &row), GFS_OK);
        cr_expect(gfs_slice_eq_str(key, "c") && gfs_slice_eq_str(row, "value-of-c"));
        cr_expect_eq(db_next(rig.db, TABLE_OBJECTS, &key, &row), GFS_END);
        put(rig.db, "b", "value-of-b"); /* heals it */
        cr_expect_eq(get(rig.db, "b", value), GFS_OK);
        checkpoint(rig.db);
        db_close(rig.db);
    }
    open_writer(&rig);
    fini(&rig);
}

/* A row under another key, or in another table, is as wrong as changed bytes. */
Test(db, checksum_covers_the_key)
{
    struct rig rig;
    char value[64];
    init(&rig);
    put(rig.db, "somekey5", "value");
    checkpoint(rig.db);
    db_close(rig.db);
    cr_assert_geq(damage(rig.path, "somekey5", 7), 1u);
    open_writer(&rig);
    cr_expect_eq(get(rig.db, "somekey1", value), GFS_CORRUPT);
    fini(&rig);
}

static void walk(struct db *db)
{
    struct gfs_slice key;
    struct gfs_slice row;
    enum gfs_err err = db_seek(db, TABLE_OBJECTS, gfs_slice_str(""), gfs_slice_str("z"));
    unsigned count = 0;
    while (err == GFS_OK || err == GFS_CORRUPT) {
        err = db_next(db, TABLE_OBJECTS, &key, &row);
        cr_assert_lt(++count, 10000u, "a scan ends, whatever the file holds");
        cr_assert(err != GFS_OK || (row.len == 40 && memcmp(row.ptr, key.ptr, key.len) == 0));
    }
    db_reset(db, TABLE_OBJECTS);
}

Test(db, damage_anywhere_is_never_a_wrong_value_and_never_an_endless_scan)
{
    struct rig rig;
    init(&rig);
    cr_assert_eq(db_begin(rig.db), GFS_OK);
    for (unsigned i = 0; i < 1000; i++) {
        char key[16];
        char value[41];
        (void)snprintf(key, sizeof key, "key%u", i);
        (void)snprintf(value, sizeof value, "%-40s", key);
        put(rig.db, key, value);
    }
    cr_assert_eq(db_commit(rig.db), GFS_OK);
    checkpoint(rig.db);
    db_close(rig.db);
    int fd = open(rig.path, O_RDWR | O_CLOEXEC);
    struct stat info;
    cr_assert(fd >= 0 && fstat(fd, &info) == 0);
    struct random random = {21};
    for (int round = 0; round < 400; round++) {
        off_t at = (off_t)random_below(&random, (uint32_t)info.st_size);
        char old[64];
        char bad[64];
        ssize_t len = pread(fd, old, 1 + random_below(&random, sizeof old - 1), at);
        memset(bad, (int)random_below(&random, 256), sizeof bad);
        cr_assert_eq(pwrite(fd, bad, (size_t)len, at), len);
        struct db *db = NULL;
        if (db_open_reader(rig.path, 1 << 20, &db, NULL) == GFS_OK) {
            walk(db);
            db_close(db);
        }
        cr_assert_eq(pwrite(fd, old, (size_t)len, at), len);
    }
    close(fd);
    open_writer(&rig);
    fini(&rig);
}

Test(db, newer_format_is_refused)
{
    struct rig rig;
    init(&rig);
    char raw[4];
    gfs_codec_store_u32(raw, DB_FORMAT + 1);
    cr_assert_eq(
        db_put(rig.db, TABLE_META, GFS_SLICE_LITERAL("format"), gfs_slice_of(raw, sizeof raw)),
        GFS_OK);
    db_close(rig.db);
    rig.db = NULL;
    struct gfs_error error = {0};
    cr_expect_eq(db_open_writer(rig.path, 1 << 20, &rig.db, &error), GFS_UNSUPPORTED);
    cr_expect_not_null(strstr(error.text, "format 2"), "%s", error.text);
    fini(&rig);
}

Test(db, damaged_format_row_is_corrupt)
{
    struct rig rig;
    init(&rig);
    checkpoint(rig.db);
    db_close(rig.db);
    cr_assert_geq(damage(rig.path, "format\1", 6), 1u); /* the value follows the key */
    struct gfs_error error = {0};
    rig.db = NULL;
    cr_expect_eq(db_open_writer(rig.path, 1 << 20, &rig.db, &error), GFS_CORRUPT);
    cr_expect_not_null(strstr(error.text, gfs_err_text(GFS_CORRUPT)), "%s", error.text);
    fini(&rig);
}

Test(db, file_of_something_else_is_corrupt)
{
    struct rig rig;
    init(&rig);
    db_close(rig.db);
    rig.db = NULL;
    int fd = open(rig.path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(write(fd, "this is a shopping list, not a database ", 40), 40);
    }
    close(fd);
    struct gfs_error error = {0};
    cr_expect_eq(db_open_writer(rig.path, 1 << 20, &rig.db, &error), GFS_CORRUPT);
    fini(&rig);
}

Test(db, checkpoint_tells_whether_a_reader_kept_it_from_being_complete)
{
    struct rig rig;
    init(&rig);
    put(rig.db, "a", "1");
    struct db *reader;
    char value[64];
    cr_assert_eq(db_open_reader(rig.path, 1 << 20, &reader, NULL), GFS_OK);
    cr_assert_eq(db_begin(reader), GFS_OK);
    cr_assert_eq(get(reader, "a", value), GFS_OK);
    put(rig.db, "a", "2");
    cr_expect_gt(db_wal_size(rig.db), 0u);
    bool is_complete = true;
    cr_assert_eq(db_checkpoint(rig.db, false, &is_complete), GFS_OK);
    cr_expect(!is_complete);
    db_rollback(reader);
    cr_assert_eq(db_checkpoint(rig.db, false, &is_complete), GFS_OK);
    cr_expect(is_complete);
    cr_expect_eq(db_wal_size(rig.db), 0u);
    db_close(reader);
    fini(&rig);
}
