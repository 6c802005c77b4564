/* Input: an owner, or a label: parsed as both; what is understood is written again. */
#include "fuzz.h"
#include "libgoodfs/mem.h"
#include "metad/label.h"

static bool is_inside(struct gfs_slice part, struct gfs_slice whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_label(struct gfs_slice bytes)
{
    struct label label;
    struct label again;
    struct key key;
    struct gfs_buf out;
    if (label_decode(bytes, &label) != GFS_OK) {
        return;
    }
    FUZZ_CHECK(is_inside(label.key, bytes) && is_inside(label.row, bytes));
    (void)!label_row_key(&label, &key);
    gfs_buf_init(&out, 2 * bytes.len + 4096);
    label_encode(&out, &label);
    FUZZ_CHECK(label_decode(gfs_buf_slice(&out), &again) == GFS_OK);
    FUZZ_CHECK(gfs_slice_eq(label.key, again.key) && gfs_slice_eq(label.row, again.row));
    FUZZ_CHECK(label.bucket.id == again.bucket.id && label.table == again.table);
    gfs_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1); /* its end is where reading too far is seen */
    FUZZ_CHECK(copy != NULL);
    if (size != 0) {
        memcpy(copy, data, size);
    }
    struct gfs_slice bytes = gfs_slice_of(copy, size);
    struct label_owner owner;
    check_label(bytes);
    if (label_owner_parse(bytes, &owner) == GFS_OK) {
        FUZZ_CHECK(is_inside(owner.label, bytes) && is_inside(owner.key, bytes));
        FUZZ_CHECK(owner.more_count < LABEL_NOTES_MAX && owner.len <= LABEL_LEN_MAX);
        FUZZ_CHECK(owner.key.len <= GFS_KEY_LEN_MAX);
    }
    free(copy);
    return 0;
}
