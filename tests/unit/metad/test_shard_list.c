/* Listings over rows in the overlay, in SQLite, and in both. */
#include "libgoodfs/mem.h"
#include "tests/unit/metad/shard_rig.h"

static const char *const keys[] = {"a",  "a/",  "a/b", "a/b/c", "a/c",
                                   "ab", "b/1", "b/2", "c",     "c//d"};

struct list_rig {
    struct rig rig;
    uint64_t bucket;
    char text[RIG_TEXT_SIZE];
};

/* Every third key is in SQLite, one only in the overlay, one in both; others come and went. */
static void init(struct list_rig *rig)
{
    rig_init(&rig->rig);
    uint64_t below = rig_bucket(&rig->rig, "below");
    rig->bucket = rig_bucket(&rig->rig, "bucket");
    uint64_t above = rig_bucket(&rig->rig, "above");
    for (size_t i = 0; i < GFS_COUNT(keys); i++) {
        if (i % 3 != 1) {
            (void)rig_put(&rig->rig, rig->bucket, keys[i], 1, 1, NULL);
        }
    }
    (void)rig_put(&rig->rig, rig->bucket, "a/gone", 1, 1, NULL);
    (void)rig_put(&rig->rig, rig->bucket, "gone/1", 1, 1, NULL);
    rig_restart(&rig->rig);
    for (size_t i = 0; i < GFS_COUNT(keys); i++) {
        if (i % 3 != 0) {
            (void)rig_put(&rig->rig, rig->bucket, keys[i], 1, 2, NULL);
        }
    }
    (void)rig_delete(&rig->rig, rig->bucket, "a/gone");
    (void)rig_delete(&rig->rig, rig->bucket, "gone/1");
    (void)rig_put(&rig->rig, below, "a", 1, 2, NULL);
    (void)rig_put(&rig->rig, above, "z", 1, 2, NULL);
}

static const char *list(struct list_rig *rig, const char *prefix, const char *delimiter,
                        const char *after, uint32_t max)
{
    struct meta_list_query query = {.bucket_id = rig->bucket,
                                    .prefix = gfs_slice_str(prefix),
                                    .delimiter = gfs_slice_str(delimiter),
                                    .after = gfs_slice_str(after),
                                    .max = max};
    return rig_list(&rig->rig, &query, false, rig->text);
}

Test(shard_list, objects_with_prefix_delimiter_start_and_maximum)
{
    struct list_rig rig;
    init(&rig);
    for (int round = 0; round < 2; round++) {
        cr_expect_str_eq(list(&rig, "", "", "", 99), "a a/ a/b a/b/c a/c ab b/1 b/2 c c//d");
        cr_expect_str_eq(list(&rig, "", "", "", 10), "a a/ a/b a/b/c a/c ab b/1 b/2 c c//d");
        cr_expect_str_eq(list(&rig, "", "", "", 9), "a a/ a/b a/b/c a/c ab b/1 b/2 c+");
        cr_expect_str_eq(list(&rig, "", "/", "", 99), "a a/* ab b/* c c/*");
        cr_expect_str_eq(list(&rig, "", "/", "", 2), "a a/*+");
        cr_expect_str_eq(list(&rig, "", "/", "", 6), "a a/* ab b/* c c/*");
        cr_expect_str_eq(list(&rig, "a/", "/", "", 99), "a/ a/b a/b/* a/c");
        cr_expect_str_eq(list(&rig, "a", "/", "", 99), "a a/* ab");
        cr_expect_str_eq(list(&rig, "a", "b", "", 99), "a a/ a/b* a/c ab*");
        cr_expect_str_eq(list(&rig, "", "//", "", 99), "a a/ a/b a/b/c a/c ab b/1 b/2 c c//*");
        cr_expect_str_eq(list(&rig, "", "", "a/b", 2), "a/b/c a/c+");
        cr_expect_str_eq(list(&rig, "", "/", "a/b", 3), "a/* ab b/*+");
        cr_expect_str_eq(list(&rig, "", "/", "a/c", 3), "ab b/* c+");
        cr_expect_str_eq(list(&rig, "b", "", "a", 99), "b/1 b/2");
        cr_expect_str_eq(list(&rig, "b", "", "b/1", 99), "b/2");
        cr_expect_str_eq(list(&rig, "b", "", "c", 99), "");
        cr_expect_str_eq(list(&rig, "gone", "/", "", 99), "");
        cr_expect_str_eq(list(&rig, "", "", "", 0), "");
        rig_restart(&rig.rig);
    }
    rig_fini(&rig.rig);
}

Test(shard_list, page_behind_a_common_prefix_passes_everything_under_it)
{
    struct list_rig rig;
    init(&rig);
    struct meta_list_query query = {.bucket_id = rig.bucket,
                                    .delimiter = gfs_slice_str("/"),
                                    .after = gfs_slice_str("a/"),
                                    .after_is_prefix = true,
                                    .max = 2};
    cr_expect_str_eq(rig_list(&rig.rig, &query, false, rig.text), "ab b/*+");
    query.after = gfs_slice_str("b/");
    cr_expect_str_eq(rig_list(&rig.rig, &query, false, rig.text), "c c/*");
    rig_fini(&rig.rig);
}

static enum gfs_err stop_at_third(void *arg, const struct meta_list_item *item)
{
    uint32_t *count = arg;
    (void)item;
    return ++*count == 3 ? GFS_CANCELLED : GFS_OK;
}

Test(shard_list, visitor_stops_the_listing)
{
    struct list_rig rig;
    init(&rig);
    struct meta_list_query query = {.bucket_id = rig.bucket, .max = 99};
    uint32_t count = 0;
    bool is_truncated = false;
    cr_expect_eq(
        rig.rig.meta->ops->list_objects(rig.rig.meta, &query, stop_at_third, &count, &is_truncated),
        GFS_CANCELLED);
    cr_expect_eq(count, 3u);
    rig_fini(&rig.rig);
}

/* More than a segment of the walk takes, undecided ones among them. */
Test(shard_list, thousands_of_keys_across_overlay_and_database)
{
    enum { COUNT = 3000 };
    struct list_rig rig;
    char key[16];
    rig_init(&rig.rig);
    rig.bucket = rig_bucket(&rig.rig, "bucket");
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "%06d", i);
        if (i % 2 == 0) {
            (void)rig_put(&rig.rig, rig.bucket, key, 0, 1, NULL);
        }
    }
    rig_restart(&rig.rig);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "%06d", i);
        if (i % 3 == 0) {
            (void)rig_delete(&rig.rig, rig.bucket, key);
        } else if (i % 5 != 0) {
            (void)rig_put(&rig.rig, rig.bucket, key, 0, 1, NULL);
        }
    }
    log_double_set_auto(rig.rig.log, false);
    struct job *undecided = gfs_alloc_array(COUNT, sizeof *undecided);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "%06d-", i);
        job_init(&undecided[i], META_OBJECT_PUT, rig.bucket, gfs_slice_str(key));
        cr_assert_eq(rig_submit(&rig.rig, &undecided[i], META_NOWAIT), GFS_OK);
    }
    char expected[RIG_TEXT_SIZE];
    size_t len = 0;
    for (int i = 0; i < COUNT; i++) {
        bool is_there = i % 3 != 0 && (i % 5 != 0 || i % 2 == 0);
        if (is_there) {
            len += (size_t)snprintf(expected + len, sizeof expected - len, "%s%06d",
                                    len == 0 ? "" : " ", i);
        }
    }
    cr_expect_str_eq(list(&rig, "", "", "", COUNT), expected);
    (void)log_double_decide(rig.rig.log, COUNT, GFS_NO_SPACE);
    cr_expect_str_eq(list(&rig, "", "", "", COUNT), expected);
    for (int i = 0; i < COUNT; i++) {
        (void)job_wait(&undecided[i]);
        job_fini(&undecided[i]);
    }
    free(undecided);
    rig_fini(&rig.rig);
}

Test(shard_list, uploads_by_key_and_upload_id)
{
    struct list_rig rig;
    rig_init(&rig.rig);
    rig.bucket = rig_bucket(&rig.rig, "bucket");
    rig_upload(&rig.rig, rig.bucket, "k/1", 3);
    rig_upload(&rig.rig, rig.bucket, "a", 1);
    rig_restart(&rig.rig);
    rig_upload(&rig.rig, rig.bucket, "k/1", 1);
    rig_upload(&rig.rig, rig.bucket, "k/2", 2);
    rig_upload(&rig.rig, rig.bucket, "z", 9);
    struct meta_list_query query = {.bucket_id = rig.bucket, .max = 99};
    cr_expect_str_eq(rig_list(&rig.rig, &query, true, rig.text), "a k/1 k/1 k/2 z");
    query.delimiter = gfs_slice_str("/");
    cr_expect_str_eq(rig_list(&rig.rig, &query, true, rig.text), "a k/* z");
    query.after = gfs_slice_str("k/");
    query.after_is_prefix = true;
    cr_expect_str_eq(rig_list(&rig.rig, &query, true, rig.text), "z");
    query.after_is_prefix = false;
    query.delimiter = (struct gfs_slice){0};
    query.after = gfs_slice_str("k/1");
    cr_expect_str_eq(rig_list(&rig.rig, &query, true, rig.text), "k/2 z");
    query.has_after_upload = true;
    query.after_upload[0] = 1;
    cr_expect_str_eq(rig_list(&rig.rig, &query, true, rig.text), "k/1 k/2 z");
    query.after_upload[0] = 3;
    query.max = 1;
    cr_expect_str_eq(rig_list(&rig.rig, &query, true, rig.text), "k/2+");
    query =
        (struct meta_list_query){.bucket_id = rig.bucket, .prefix = gfs_slice_str("k/1"), .max = 1};
    cr_expect_str_eq(rig_list(&rig.rig, &query, true, rig.text), "k/1+");
    rig_fini(&rig.rig);
}

static enum gfs_err add_number(void *arg, const struct meta_list_item *item)
{
    uint64_t *sum = arg;
    struct meta_part part;
    struct gfs_arena arena;
    gfs_arena_init(&arena, 4096);
    cr_assert_eq(meta_part_decode(item->row, &arena, &part), GFS_OK);
    *sum = *sum * 10 + part.number;
    cr_expect_eq(part.chunk_count, 1u);
    gfs_arena_fini(&arena);
    return GFS_OK;
}

Test(shard_list, parts_by_number)
{
    struct list_rig rig;
    rig_init(&rig.rig);
    rig.bucket = rig_bucket(&rig.rig, "bucket");
    rig_upload(&rig.rig, rig.bucket, "k", 7);
    for (uint32_t i = 0; i < 7; i++) {
        (void)rig_part(&rig.rig, rig.bucket, "k", 7, 1 + (i * 3) % 7, NULL, NULL);
        if (i == 3) {
            rig_restart(&rig.rig);
        }
    }
    const struct {
        uint32_t after, max;
        uint64_t digits;
        bool is_truncated;
    } cases[] = {{0, 99, 1234567, false}, {0, 7, 1234567, false}, {0, 6, 123456, true},
                 {5, 1, 6, true},         {6, 1, 7, false},       {7, 1, 0, false},
                 {10000, 1, 0, false},    {0, 0, 0, false}};
    const uint8_t id[META_UPLOAD_ID_LEN] = {7};
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        uint64_t digits = 0;
        bool is_truncated = true;
        cr_expect_eq(rig.rig.meta->ops->list_parts(rig.rig.meta, id, cases[i].after, cases[i].max,
                                                   add_number, &digits, &is_truncated),
                     GFS_OK);
        cr_expect_eq(digits, cases[i].digits, "%zu", i);
        cr_expect_eq(is_truncated, cases[i].is_truncated, "%zu", i);
    }
    rig_fini(&rig.rig);
}
