#include "metad/ledger.h"

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "metad/record.h"
#include "tests/unit/metad/temp_dir.h"

struct rig {
    char dir[TEMP_DIR_SIZE];
    struct db *db;
    struct ledger *ledger;
    uint64_t freed;
};

static void init(struct rig *rig)
{
    char path[TEMP_PATH_SIZE];
    *rig = (struct rig){0};
    temp_dir_make(rig->dir);
    (void)snprintf(path, sizeof path, "%s/db", rig->dir);
    cr_assert_eq(db_open_writer(path, 1 << 20, &rig->db, NULL), GFS_OK);
    rig->ledger = ledger_new(rig->db);
}

static void fini(struct rig *rig)
{
    ledger_free(rig->ledger);
    db_close(rig->db);
    temp_dir_remove(rig->dir);
}

static struct chunk_id id_of(uint64_t n)
{
    return (struct chunk_id){1, n};
}

static void free_row(struct rig *rig, uint64_t lsn, uint32_t seq, uint64_t first, uint32_t count)
{
    struct meta_chunk_ref *chunks = gfs_alloc_array(GFS_MAX(count, 1U), sizeof *chunks);
    for (uint32_t i = 0; i < count; i++) {
        chunks[i].id = id_of(first + i);
    }
    struct meta_object object = {.chunks = chunks, .chunk_count = count};
    struct gfs_buf row;
    gfs_buf_init(&row, 1 << 20);
    record_encode_object(&row, &object);
    cr_assert_eq(ledger_free_row(rig->ledger, lsn, 1000 + (int64_t)lsn, seq, gfs_buf_slice(&row)),
                 GFS_OK);
    gfs_buf_fini(&row);
    free(chunks);
}

static void flush(struct rig *rig)
{
    cr_assert_eq(ledger_flush(rig->ledger, &rig->freed), GFS_OK);
}

/* How many ids the garbage row has; -1: it is not there. */
static int garbage(struct rig *rig, uint64_t lsn, uint32_t n, struct chunk_id *ids)
{
    struct key key;
    struct gfs_buf value;
    int64_t time_ms = 0;
    uint32_t count = 0;
    gfs_buf_init(&value, 1 << 16);
    key_garbage(&key, lsn, n);
    enum gfs_err err = db_get(rig->db, TABLE_GARBAGE, key_row(&key), &value);
    if (err == GFS_OK) {
        cr_assert_eq(record_decode_garbage(gfs_buf_slice(&value), &time_ms, ids, &count), GFS_OK);
        cr_expect_eq(time_ms, 1000 + (int64_t)lsn);
    }
    gfs_buf_fini(&value);
    return err == GFS_OK ? (int)count : -1;
}

static bool has_ref_row(struct rig *rig, uint64_t n)
{
    struct key key;
    struct gfs_buf value;
    gfs_buf_init(&value, 64);
    key_ref(&key, id_of(n));
    enum gfs_err err = db_get(rig->db, TABLE_REFS, key_row(&key), &value);
    gfs_buf_fini(&value);
    return err == GFS_OK;
}

Test(ledger, chunks_of_a_freed_row_become_garbage_in_order)
{
    struct rig rig;
    struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
    init(&rig);
    free_row(&rig, 8, 0, 50, 1);
    free_row(&rig, 7, 1, 20, 2);
    free_row(&rig, 7, 0, 10, 2);
    flush(&rig);
    cr_expect_eq(rig.freed, 5u);
    cr_assert_eq(garbage(&rig, 7, 0, ids), 4);
    cr_expect(ids[0].lo == 10 && ids[1].lo == 11 && ids[2].lo == 20 && ids[3].lo == 21);
    cr_expect_eq(garbage(&rig, 8, 0, ids), 1);
    cr_expect_eq(garbage(&rig, 7, 1, ids), -1);
    fini(&rig);
}

Test(ledger, many_chunks_of_one_edit_fill_several_rows_across_flushes)
{
    struct rig rig;
    struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
    init(&rig);
    free_row(&rig, 7, 0, 0, RECORD_GARBAGE_IDS_MAX + 1);
    flush(&rig);
    free_row(&rig, 7, 1, 1000, 2);
    free_row(&rig, 8, 0, 2000, 1);
    flush(&rig);
    cr_expect_eq(garbage(&rig, 7, 0, ids), RECORD_GARBAGE_IDS_MAX);
    cr_expect_eq(garbage(&rig, 7, 1, ids), 1);
    cr_expect_eq(garbage(&rig, 7, 2, ids), 2);
    cr_expect_eq(garbage(&rig, 8, 0, ids), 1);
    fini(&rig);
}

Test(ledger, shared_chunk_becomes_garbage_with_its_last_reference)
{
    struct rig rig;
    struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
    init(&rig);
    cr_assert_eq(ledger_add_ref(rig.ledger, id_of(5)), GFS_OK);
    cr_assert_eq(ledger_add_ref(rig.ledger, id_of(5)), GFS_OK);
    free_row(&rig, 1, 0, 5, 1);
    free_row(&rig, 2, 0, 5, 1);
    flush(&rig);
    cr_expect_eq(rig.freed, 0u);
    cr_expect(!has_ref_row(&rig, 5), "one reference is the row's own");
    free_row(&rig, 3, 0, 5, 1);
    flush(&rig);
    cr_expect_eq(garbage(&rig, 3, 0, ids), 1);
    cr_expect_eq(rig.freed, 1u);
    fini(&rig);
}

Test(ledger, garbage_done_takes_the_row_away)
{
    struct rig rig;
    struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
    init(&rig);
    free_row(&rig, 1, 0, 5, 1);
    flush(&rig);
    ledger_garbage_done(rig.ledger, 1, 0);
    free_row(&rig, 2, 0, 6, 1);
    flush(&rig);
    cr_expect_eq(garbage(&rig, 1, 0, ids), -1);
    cr_expect_eq(garbage(&rig, 2, 0, ids), 1);
    fini(&rig);
}

Test(ledger, damaged_row_frees_nothing)
{
    struct rig rig;
    init(&rig);
    cr_expect_eq(ledger_free_row(rig.ledger, 1, 1, 0, GFS_SLICE_LITERAL("nonsense")), GFS_CORRUPT);
    struct meta_chunk_ref chunks[2] = {{.id = id_of(1)}, {.id = id_of(1000000)}};
    struct meta_object object = {.chunks = chunks, .chunk_count = 2};
    struct gfs_buf row;
    gfs_buf_init(&row, 4096);
    record_encode_object(&row, &object);
    row.len -= 3; /* the header and part counts, and the end of the second reference */
    cr_expect_eq(ledger_free_row(rig.ledger, 1, 1, 0, gfs_buf_slice(&row)), GFS_CORRUPT);
    gfs_buf_fini(&row);
    flush(&rig);
    cr_expect_eq(rig.freed, 0u);
    fini(&rig);
}

static struct meta_usage usage_of(struct rig *rig, uint64_t bucket_id)
{
    struct key key;
    struct gfs_buf value;
    struct meta_usage usage = {0};
    gfs_buf_init(&value, 64);
    key_bucket(&key, TABLE_USAGE, bucket_id);
    cr_assert_eq(db_get(rig->db, TABLE_USAGE, key_row(&key), &value), GFS_OK);
    cr_assert_eq(ledger_decode_usage(gfs_buf_slice(&value), &usage), GFS_OK);
    cr_expect_eq(ledger_decode_usage(gfs_slice_of(value.ptr, value.len - 1), &usage), GFS_CORRUPT);
    gfs_buf_fini(&value);
    return usage;
}

Test(ledger, usage_is_the_sum_of_signed_differences)
{
    struct rig rig;
    init(&rig);
    ledger_add_usage(rig.ledger, 1, &(struct meta_usage){.object_count = 3, .object_bytes = 100});
    ledger_add_usage(rig.ledger, 2, &(struct meta_usage){.upload_count = 1, .part_bytes = 7});
    ledger_add_usage(
        rig.ledger, 1,
        &(struct meta_usage){.object_count = (uint64_t)-2, .object_bytes = (uint64_t)-60});
    flush(&rig);
    ledger_add_usage(rig.ledger, 1, &(struct meta_usage){.object_bytes = 5});
    flush(&rig);
    struct meta_usage usage = usage_of(&rig, 1);
    cr_expect_eq(usage.object_count, 1u);
    cr_expect_eq(usage.object_bytes, 45u);
    usage = usage_of(&rig, 2);
    cr_expect_eq(usage.upload_count, 1u);
    cr_expect_eq(usage.part_bytes, 7u);
    fini(&rig);
}

Test(ledger, clear_forgets_what_is_not_flushed)
{
    struct rig rig;
    struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
    init(&rig);
    free_row(&rig, 1, 0, 5, 1);
    ledger_add_usage(rig.ledger, 1, &(struct meta_usage){.object_count = 3});
    ledger_garbage_done(rig.ledger, 9, 0);
    ledger_clear(rig.ledger);
    ledger_add_usage(rig.ledger, 1, &(struct meta_usage){.object_count = 1});
    flush(&rig);
    cr_expect_eq(garbage(&rig, 1, 0, ids), -1);
    cr_expect_eq(usage_of(&rig, 1).object_count, 1u);
    fini(&rig);
}
