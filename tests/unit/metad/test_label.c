/* Labels and owners as bytes. */
#include "metad/label.h"

#include <criterion/criterion.h>

#include "libgoodfs/codec.h"
#include "metad/record.h"

static struct label sample(struct gfs_buf *row)
{
    struct meta_object object = {.size = 3};
    gfs_buf_init(row, 4096);
    record_encode_object(row, &object);
    record_stamp(row->ptr, 77, 5);
    return (struct label){
        .table = TABLE_OBJECTS,
        .bucket =
            {.id = 9, .created_ms = 8, .name = "photos", .region = "eu", .storage_class = "C"},
        .key = GFS_SLICE_LITERAL("a/b"),
        .row = gfs_buf_slice(row),
    };
}

Test(label, what_was_encoded_is_decoded)
{
    struct gfs_buf row;
    struct gfs_buf bytes;
    struct label label = sample(&row);
    struct label found;
    gfs_buf_init(&bytes, 4096);
    label.has_upload = true;
    label.upload_id[3] = 4;
    label_encode(&bytes, &label);
    cr_assert_eq(label_decode(gfs_buf_slice(&bytes), &found), GFS_OK);
    cr_expect_eq(found.table, TABLE_OBJECTS);
    cr_expect_eq(found.bucket.id, 9);
    cr_expect_eq(found.bucket.created_ms, 8);
    cr_expect_str_eq(found.bucket.name, "photos");
    cr_expect_str_eq(found.bucket.region, "eu");
    cr_expect_str_eq(found.bucket.storage_class, "C");
    cr_expect(gfs_slice_eq(found.key, label.key));
    cr_expect(found.has_upload && found.upload_id[3] == 4);
    cr_expect(gfs_slice_eq(found.row, label.row));
    struct key key;
    struct key expected;
    cr_assert_eq(label_row_key(&found, &key), GFS_OK);
    key_object(&expected, 9, label.key);
    cr_expect(gfs_slice_eq(key_full(&key), key_full(&expected)));
    gfs_buf_fini(&bytes);
    gfs_buf_fini(&row);
}

Test(label, what_is_cut_or_of_another_table_is_corrupt_and_what_is_newer_unsupported)
{
    struct gfs_buf row;
    struct gfs_buf bytes;
    struct label label = sample(&row);
    struct label found;
    struct key key;
    gfs_buf_init(&bytes, 4096);
    label_encode(&bytes, &label);
    size_t head_len = bytes.len - label.row.len;
    for (size_t len = 0; len < head_len + RECORD_HEAD_LEN; len++) {
        cr_expect_eq(label_decode(gfs_slice_of(bytes.ptr, len), &found), GFS_CORRUPT, "%zu", len);
    }
    bytes.ptr[2] = TABLE_PARTS; /* without an upload */
    cr_expect_eq(label_decode(gfs_buf_slice(&bytes), &found), GFS_CORRUPT);
    bytes.ptr[2] = TABLE_GARBAGE;
    cr_expect_eq(label_decode(gfs_buf_slice(&bytes), &found), GFS_CORRUPT);
    bytes.ptr[2] = TABLE_OBJECTS;
    bytes.ptr[1]++;
    cr_expect_eq(label_decode(gfs_buf_slice(&bytes), &found), GFS_UNSUPPORTED);
    gfs_buf_clear(&bytes);
    label.table = TABLE_PARTS; /* its row is an object's */
    label.has_upload = true;
    label_encode(&bytes, &label);
    cr_assert_eq(label_decode(gfs_buf_slice(&bytes), &found), GFS_OK);
    cr_expect_eq(label_row_key(&found, &key), GFS_CORRUPT);
    gfs_buf_fini(&bytes);
    gfs_buf_fini(&row);
}

Test(label, owners_of_notes_name_the_others)
{
    const struct chunk_id ids[] = {{1, 2}, {3, 4}};
    struct gfs_buf owner;
    struct label_owner found;
    gfs_buf_init(&owner, 4096);
    label_note_owner(&owner, 600000, ids, 2);
    cr_assert_eq(label_owner_parse(gfs_buf_slice(&owner), &found), GFS_OK);
    cr_expect_eq(found.kind, LABEL_NOTE);
    cr_expect_eq(found.len, 600000);
    cr_expect_eq(found.more_count, 2);
    cr_expect(found.more[1].hi == 3 && found.more[1].lo == 4);
    for (size_t len = 0; len < owner.len; len++) {
        cr_expect_eq(label_owner_parse(gfs_slice_of(owner.ptr, len), &found), GFS_CORRUPT);
    }
    cr_assert_eq(label_owner_parse(label_more_owner(), &found), GFS_OK);
    cr_expect_eq(found.kind, LABEL_NOTE_MORE);
    gfs_buf_fini(&owner);
}

Test(label, owners_with_a_name_alone_are_understood)
{
    struct label_owner found;
    char object[] = "o\5\0\0\0\0\0\0\0key";
    cr_assert_eq(label_owner_parse(gfs_slice_of(object, sizeof object - 1), &found), GFS_OK);
    cr_expect(found.kind == LABEL_NAME && !found.is_part);
    cr_expect_eq(found.bucket_id, 5);
    cr_expect(gfs_slice_eq_str(found.key, "key"));
    char part[1 + 8 + 16 + 4 + 3] = "p\5";
    memcpy(part + sizeof part - 3, "key", 3);
    cr_assert_eq(label_owner_parse(gfs_slice_of(part, sizeof part), &found), GFS_OK);
    cr_expect(found.kind == LABEL_NAME && found.is_part);
    cr_expect(gfs_slice_eq_str(found.key, "key"));
    cr_expect_eq(label_owner_parse(gfs_slice_of(part, 20), &found), GFS_CORRUPT);
    cr_expect_eq(label_owner_parse(GFS_SLICE_LITERAL("\1\0"), &found), GFS_CORRUPT);
}
