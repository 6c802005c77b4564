#include "metad/edit.h"

#include <criterion/criterion.h>

#include "libgoodfs/mem.h"
#include "metad/record.h"
#include "tests/unit/metad/random.h"

static const struct chunk_id ids[] = {{1, 2}, {1, 2}, {UINT64_MAX, 0}};
static const uint16_t numbers[] = {1, 2, 255, 256, 10000};

static void make(struct gfs_buf *out)
{
    struct meta_object object = {.size = 5};
    struct gfs_buf row;
    gfs_buf_init(&row, 4096);
    record_encode_object(&row, &object);
    gfs_buf_init(out, CHUNK_EDIT_LEN_MAX);
    edit_begin(out);
    edit_put(out, TABLE_OBJECTS, gfs_slice_of("k\0", 2), gfs_buf_slice(&row));
    edit_delete(out, TABLE_UPLOADS, GFS_SLICE_LITERAL("u"));
    edit_upload_end(out, GFS_SLICE_LITERAL("up"), numbers, GFS_COUNT(numbers));
    edit_ref_add(out, ids, GFS_COUNT(ids));
    edit_bucket_put(out, GFS_SLICE_LITERAL("name"), GFS_SLICE_LITERAL(""));
    edit_bucket_set(out, 41, 1, GFS_SLICE_LITERAL("class"));
    edit_bucket_drop(out, 42);
    edit_garbage_done(out, 7, 8);
    cr_assert_eq(edit_finish(out), GFS_OK);
    edit_seal(out->ptr, out->len, 99, 1234);
    gfs_buf_fini(&row);
}

static struct change next(struct edit *edit, enum change_kind kind)
{
    struct change change = {0};
    cr_assert_eq(edit_next(edit, &change), GFS_OK);
    cr_assert_eq(change.kind, kind);
    return change;
}

Test(edit, changes_come_back_in_order)
{
    struct gfs_buf bytes;
    make(&bytes);
    struct edit edit;
    cr_assert_eq(edit_open(gfs_buf_slice(&bytes), &edit), GFS_OK);
    cr_expect_eq(edit.lsn, 99u);
    cr_expect_eq(edit.time_ms, 1234);
    struct change change = next(&edit, CHANGE_PUT);
    cr_expect_eq(change.table, TABLE_OBJECTS);
    cr_expect(gfs_slice_eq(change.key, gfs_slice_of("k\0", 2)));
    change = next(&edit, CHANGE_DELETE);
    cr_expect_eq(change.table, TABLE_UPLOADS);
    cr_expect(gfs_slice_eq_str(change.key, "u"));
    change = next(&edit, CHANGE_UPLOAD_END);
    cr_expect(gfs_slice_eq_str(change.key, "up"));
    cr_assert_eq(change.count, GFS_COUNT(numbers));
    for (uint32_t i = 0; i < change.count; i++) {
        cr_expect_eq(edit_number(&change, i), numbers[i]);
        cr_expect(edit_has_number(&change, numbers[i]));
    }
    cr_expect(!edit_has_number(&change, 0) && !edit_has_number(&change, 3) &&
              !edit_has_number(&change, 65535));
    change = next(&edit, CHANGE_REF_ADD);
    cr_assert_eq(change.count, GFS_COUNT(ids));
    cr_expect_eq(edit_id(&change, 2).hi, UINT64_MAX);
    cr_expect_eq(edit_id(&change, 1).lo, 2u);
    change = next(&edit, CHANGE_BUCKET_PUT);
    cr_expect(gfs_slice_eq_str(change.key, "name"));
    cr_expect_eq(change.value.len, 0u);
    change = next(&edit, CHANGE_BUCKET_SET);
    cr_expect_eq(change.bucket_id, 41u);
    cr_expect_eq(change.setting, 1u);
    cr_expect(gfs_slice_eq_str(change.value, "class"));
    cr_expect_eq(next(&edit, CHANGE_BUCKET_DROP).bucket_id, 42u);
    change = next(&edit, CHANGE_GARBAGE_DONE);
    cr_expect_eq(change.garbage_lsn, 7u);
    cr_expect_eq(change.garbage_n, 8u);
    cr_expect_eq(edit_next(&edit, &change), GFS_END);
    gfs_buf_fini(&bytes);
}

Test(edit, sealing_stamps_every_row)
{
    struct gfs_buf bytes;
    make(&bytes);
    edit_seal(bytes.ptr, bytes.len, 100, 2345); /* again: as if proposed anew */
    struct edit edit;
    cr_assert_eq(edit_open(gfs_buf_slice(&bytes), &edit), GFS_OK);
    struct change change = next(&edit, CHANGE_PUT);
    cr_expect_eq(record_mod_lsn(change.value), 100u);
    cr_expect_eq(record_mtime_ms(change.value), 2345);
    gfs_buf_fini(&bytes);
}

Test(edit, any_flipped_bit_and_any_truncation_is_corrupt)
{
    struct gfs_buf bytes;
    make(&bytes);
    struct edit edit;
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.ptr[bit / 8] ^= (char)(1 << bit % 8);
        cr_expect_eq(edit_open(gfs_buf_slice(&bytes), &edit), GFS_CORRUPT, "bit %zu", bit);
        bytes.ptr[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t len = 0; len < bytes.len; len++) {
        cr_expect_eq(edit_open(gfs_slice_of(bytes.ptr, len), &edit), GFS_CORRUPT);
    }
    cr_expect_eq(edit_open(gfs_buf_slice(&bytes), &edit), GFS_OK);
    gfs_buf_fini(&bytes);
}

Test(edit, newer_version_is_unsupported)
{
    struct gfs_buf bytes;
    make(&bytes);
    bytes.ptr[0]++;
    edit_seal(bytes.ptr, bytes.len, 1, 1);
    struct edit edit;
    cr_expect_eq(edit_open(gfs_buf_slice(&bytes), &edit), GFS_UNSUPPORTED);
    gfs_buf_fini(&bytes);
}

Test(edit, hostile_changes_are_corrupt_and_nothing_worse)
{
    struct gfs_buf bytes;
    make(&bytes);
    struct random random = {3};
    for (int i = 0; i < 20000; i++) {
        size_t len = random_below(&random, (uint32_t)(bytes.len - EDIT_HEAD_LEN));
        char *copy = gfs_alloc(GFS_MAX(len, 1U));
        memcpy(copy, bytes.ptr + EDIT_HEAD_LEN, len);
        for (uint32_t n = random_below(&random, 6); len != 0 && n-- > 0;) {
            copy[random_below(&random, (uint32_t)len)] = (char)random_u64(&random);
        }
        struct edit edit = {.bytes = gfs_slice_of(copy, len)};
        struct change change;
        enum gfs_err err;
        while ((err = edit_next(&edit, &change)) == GFS_OK) {
            for (uint32_t n = 0; change.kind == CHANGE_REF_ADD && n < change.count; n++) {
                (void)edit_id(&change, n);
            }
            (void)(change.kind == CHANGE_UPLOAD_END && edit_has_number(&change, 3));
        }
        cr_assert(err == GFS_END || err == GFS_CORRUPT);
        free(copy);
    }
    gfs_buf_fini(&bytes);
}

Test(edit, what_does_not_fit_is_too_big)
{
    struct gfs_buf out;
    gfs_buf_init(&out, CHUNK_EDIT_LEN_MAX);
    edit_begin(&out);
    struct chunk_id *many = gfs_alloc_array(CHUNK_EDIT_LEN_MAX / 16, sizeof *many);
    edit_ref_add(&out, many, CHUNK_EDIT_LEN_MAX / 16);
    cr_expect_eq(edit_finish(&out), GFS_TOO_BIG);
    free(many);
    gfs_buf_fini(&out);
}
