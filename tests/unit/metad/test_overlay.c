#include "metad/overlay.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "libgoodfs/mem.h"
#include "tests/unit/metad/random.h"

enum { KEYS = 64, VERSIONS_MAX = 200 };

/* The naive model: all versions of all keys, in a list. */
struct version {
    struct overlay_entry *entry;
    uint64_t lsn;
    uint32_t key;
    uint32_t len; /* of its row; 0 = a deletion */
};

struct model {
    struct version versions[VERSIONS_MAX];
    size_t count;
    struct overlay *overlay;
    uint64_t lsn;
};

/* Keys of different lengths, one often the prefix of another, with bytes at both ends. */
static struct gfs_slice key_of(char buffer[16], uint32_t n)
{
    static const char bytes[4] = {0, 'a', 'b', (char)0xFF};
    size_t len = 1 + n % 3;
    for (size_t i = 0; i < len; i++) {
        buffer[i] = bytes[(n >> (2 * i)) % 4];
    }
    buffer[len++] = (char)(n % 4 == 0 ? 0 : n);
    return gfs_slice_of(buffer, len);
}

static const struct version *model_at(const struct model *model, struct gfs_slice key,
                                      uint64_t limit)
{
    const struct version *best = NULL;
    char buffer[16];
    for (size_t i = 0; i < model->count; i++) {
        const struct version *version = &model->versions[i];
        if (version->lsn <= limit && gfs_slice_eq(key_of(buffer, version->key), key) &&
            (best == NULL || version->lsn > best->lsn)) {
            best = version;
        }
    }
    return best;
}

static void insert(struct model *model, uint32_t n, bool is_same_lsn)
{
    char buffer[16];
    struct gfs_slice key = key_of(buffer, n);
    uint64_t lsn = is_same_lsn ? model->lsn : ++model->lsn;
    uint32_t len = n % 5 == 0 ? 0 : 1 + n;
    struct meta_row *row = len == 0 ? NULL : row_new(len);
    struct overlay_entry *entry = overlay_insert(model->overlay, key, key_hash(key, 3), lsn, row);
    const struct version *newest = model_at(model, key, UINT64_MAX);
    if (newest != NULL && newest->lsn == lsn) {
        cr_assert_null(entry);
        model->versions[newest - model->versions].len = len;
        return;
    }
    cr_assert_not_null(entry);
    model->versions[model->count++] = (struct version){entry, lsn, n, len};
}

static void take_out(struct model *model, size_t index)
{
    struct version version = model->versions[index];
    struct meta_row *row = NULL;
    overlay_remove(model->overlay, version.entry, version.lsn, &row);
    cr_assert_eq(row == NULL ? 0 : meta_row_bytes(row).len, version.len);
    meta_row_unref(row);
    model->versions[index] = model->versions[--model->count];
}

static void check_point(const struct model *model, uint32_t n, uint64_t limit)
{
    char buffer[16];
    struct gfs_slice key = key_of(buffer, n);
    const struct version *expected = model_at(model, key, limit);
    const struct overlay_entry *entry = overlay_find(model->overlay, key, key_hash(key, 3));
    cr_assert_eq(entry != NULL, model_at(model, key, UINT64_MAX) != NULL);
    const struct overlay_version *found = entry == NULL ? NULL : overlay_at(entry, limit);
    cr_assert_eq(found == NULL, expected == NULL);
    if (found != NULL) {
        cr_assert_eq(found->lsn, expected->lsn);
        cr_assert_eq(found->row == NULL ? 0 : meta_row_bytes(found->row).len, expected->len);
        cr_assert_eq(overlay_newest(entry)->lsn, model_at(model, key, UINT64_MAX)->lsn);
    }
}

static void check_walk(const struct model *model, uint32_t n)
{
    char buffer[16];
    struct gfs_slice from = key_of(buffer, n);
    struct gfs_slice last = {0};
    size_t count = 0;
    for (const struct overlay_entry *entry = overlay_seek(model->overlay, from); entry != NULL;
         entry = overlay_next(entry)) {
        struct gfs_slice key = overlay_key(entry);
        cr_assert_geq(gfs_slice_cmp(key, from), 0);
        cr_assert(last.ptr == NULL || gfs_slice_cmp(last, key) < 0);
        last = key;
        count++;
    }
    size_t expected = 0;
    for (size_t i = 0; i < model->count; i++) {
        char other[16];
        struct gfs_slice key = key_of(other, model->versions[i].key);
        bool is_newest = model_at(model, key, UINT64_MAX) == &model->versions[i];
        expected += is_newest && gfs_slice_cmp(key, from) >= 0 ? 1 : 0;
    }
    cr_assert_eq(count, expected);
}

Test(overlay, behaves_like_a_list_of_versions)
{
    struct model model = {.overlay = overlay_new(12345)};
    size_t empty = overlay_size(model.overlay);
    struct random random = {17};
    for (int step = 0; step < 40000; step++) {
        uint32_t n = random_below(&random, KEYS);
        bool is_growing = model.count < VERSIONS_MAX && random_below(&random, 2) == 0;
        if (is_growing) {
            insert(&model, n, model.count != 0 && random_below(&random, 4) == 0);
        } else if (model.count != 0) {
            take_out(&model, random_below(&random, (uint32_t)model.count));
        }
        check_point(&model, n, model.lsn - random_below(&random, 50));
        if (step % 16 == 0) {
            check_walk(&model, n);
        }
        cr_assert_eq(overlay_count(model.overlay), model.count);
    }
    while (model.count != 0) {
        take_out(&model, 0);
    }
    cr_assert_eq(overlay_size(model.overlay), empty, "every byte is accounted for");
    overlay_free(model.overlay);
}

Test(overlay, many_keys_grow_the_table_and_emptying_gives_it_back)
{
    enum { MANY = 20000 };
    struct overlay *overlay = overlay_new(1);
    struct overlay_entry **entries = gfs_alloc_array(MANY, sizeof(struct overlay_entry *));
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            char name[32];
            int len = snprintf(name, sizeof name, "%u", i * 7919 % MANY);
            struct gfs_slice key = gfs_slice_of(name, (size_t)len);
            entries[i] = overlay_insert(overlay, key, key_hash(key, 3), i, row_new(10));
            cr_assert_not_null(entries[i]);
        }
        cr_expect_gt(overlay_size(overlay), (size_t)MANY * 50);
        for (uint32_t i = 0; i < MANY; i++) {
            struct meta_row *row = NULL;
            overlay_remove(overlay, entries[i], i, &row);
            meta_row_unref(row);
        }
        cr_expect_eq(overlay_size(overlay), 0u);
        cr_expect_null(overlay_seek(overlay, gfs_slice_str("")));
    }
    free(entries);
    overlay_free(overlay);
}
