#include "metad/bucket_map.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "libgoodfs/mem.h"
#include "tests/unit/metad/random.h"

static struct meta_bucket info_of(uint64_t id, const char *name)
{
    struct meta_bucket info = {.id = id};
    (void)snprintf(info.name, sizeof info.name, "%s", name);
    return info;
}

Test(bucket_map, finds_by_name_and_by_id_like_a_list)
{
    enum { COUNT = 300 };
    struct bucket_map *map = bucket_map_new();
    bool is_there[COUNT] = {false};
    struct random random = {5};
    for (int step = 0; step < 5000; step++) {
        uint32_t id = 1 + random_below(&random, COUNT - 1);
        char name[16];
        (void)snprintf(name, sizeof name, "b%u", id * 7919 % 1000);
        if (is_there[id]) {
            bucket_map_remove(map, id);
        } else {
            struct meta_bucket info = info_of(id, name);
            (void)bucket_map_add(map, &info, BUCKET_ACTIVE);
        }
        is_there[id] = !is_there[id];
        const struct bucket *by_id = bucket_map_by_id(map, id);
        cr_assert_eq(by_id != NULL, is_there[id]);
        cr_assert_eq(by_id, bucket_map_by_name(map, gfs_slice_str(name)));
    }
    size_t count = 0;
    for (uint32_t id = 0; id < COUNT; id++) {
        count += is_there[id] ? 1 : 0;
    }
    size_t index = bucket_map_index_after(map, gfs_slice_str(""));
    const char *last = "";
    const struct bucket *bucket;
    for (; (bucket = bucket_map_at(map, index)) != NULL; index++, count--) {
        cr_assert(strcmp(last, bucket->info.name) < 0);
        last = bucket->info.name;
    }
    cr_assert_eq(count, 0u);
    bucket_map_free(map);
}

Test(bucket_map, walk_begins_behind_a_name)
{
    struct bucket_map *map = bucket_map_new();
    const char *names[] = {"aaa", "bbb", "bbbb", "ccc"};
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        struct meta_bucket info = info_of(i + 1, names[i]);
        (void)bucket_map_add(map, &info, BUCKET_ACTIVE);
    }
    cr_expect_eq(bucket_map_index_after(map, gfs_slice_str("")), 0u);
    cr_expect_eq(bucket_map_index_after(map, gfs_slice_str("aaa")), 1u);
    cr_expect_eq(bucket_map_index_after(map, gfs_slice_str("bb")), 1u);
    cr_expect_eq(bucket_map_index_after(map, gfs_slice_str("bbb")), 2u);
    cr_expect_eq(bucket_map_index_after(map, gfs_slice_str("zzz")), 4u);
    cr_expect_null(bucket_map_at(map, 4));
    cr_expect_null(bucket_map_by_name(map, gfs_slice_str("bb")));
    cr_expect_null(bucket_map_by_id(map, 5));
    bucket_map_free(map);
}

Test(bucket_map, only_a_bucket_being_created_is_invisible)
{
    struct bucket_map *map = bucket_map_new();
    struct meta_bucket info = info_of(1, "aaa");
    struct bucket *bucket = bucket_map_add(map, &info, BUCKET_CREATING);
    cr_expect(!bucket_is_visible(bucket));
    const enum bucket_state path[] = {BUCKET_ACTIVE, BUCKET_SEALED,   BUCKET_ACTIVE,
                                      BUCKET_SEALED, BUCKET_DROPPING, BUCKET_ACTIVE};
    for (size_t i = 0; i < GFS_COUNT(path); i++) {
        bucket_set_state(bucket, path[i]);
        cr_expect(bucket_is_visible(bucket));
    }
    bucket_map_free(map);
}
