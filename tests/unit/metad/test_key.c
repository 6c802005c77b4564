#include "metad/key.h"

#include <criterion/criterion.h>

#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/meta_service.h"

/* In S3's order: bytes, the shorter first. */
static const struct gfs_slice names[] = {
    {"\0", 1},       {"\0\0", 2},         {"\0\0\0", 3}, {"\0\1", 2}, {"\0a", 2},
    {"\0\377", 2},   {"\1", 1},           {"a", 1},      {"a\0", 2},  {"a\0\0", 3},
    {"a\0\0a", 4},   {"a\0\1", 3},        {"a\0\2", 3},  {"a\0b", 3}, {"a\0\377", 3},
    {"a\1", 2},      {"a\1\1", 3},        {"a/", 2},     {"a/b", 3},  {"ab", 2},
    {"a\377", 2},    {"a\377\377", 3},    {"b", 1},      {"\377", 1}, {"\377\0", 2},
    {"\377\377", 2}, {"\377\377\377", 3},
};
static const uint8_t ids[][META_UPLOAD_ID_LEN] = {{0},
                                                  {0, 1},
                                                  {1},
                                                  {0x7F, 0xFF},
                                                  {0xFF, 0, 0xFF},
                                                  {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                                   0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}};
static const uint64_t buckets[] = {0, 1, 255, 256, 0xFFFF, UINT64_MAX - 1, UINT64_MAX};

static int order_of(const struct key *a, const struct key *b)
{
    int order = gfs_slice_cmp(key_full(a), key_full(b));
    return (order > 0) - (order < 0);
}

static int order_of_indexes(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

Test(key, objects_are_ordered_by_bucket_and_key)
{
    for (size_t i = 0; i < GFS_COUNT(names) * GFS_COUNT(buckets); i++) {
        for (size_t j = 0; j < GFS_COUNT(names) * GFS_COUNT(buckets); j++) {
            struct key a;
            struct key b;
            key_object(&a, buckets[i / GFS_COUNT(names)], names[i % GFS_COUNT(names)]);
            key_object(&b, buckets[j / GFS_COUNT(names)], names[j % GFS_COUNT(names)]);
            cr_assert_eq(order_of(&a, &b), order_of_indexes(i, j), "%zu %zu", i, j);
        }
    }
}

Test(key, uploads_are_ordered_by_key_then_upload_id)
{
    const size_t id_count = GFS_COUNT(ids);
    for (size_t i = 0; i < GFS_COUNT(names) * id_count; i++) {
        for (size_t j = 0; j < GFS_COUNT(names) * id_count; j++) {
            struct key a;
            struct key b;
            key_upload(&a, 7, names[i / id_count], ids[i % id_count]);
            key_upload(&b, 7, names[j / id_count], ids[j % id_count]);
            cr_assert_eq(order_of(&a, &b), order_of_indexes(i, j), "%zu %zu", i, j);
        }
    }
}

static bool is_between(const struct key *key, const struct key *from, const struct key *to)
{
    return order_of(key, from) >= 0 && order_of(key, to) < 0;
}

Test(key, range_of_a_prefix_holds_exactly_what_starts_with_it)
{
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        struct key object_from;
        struct key upload_from;
        struct key key_from;
        key_object(&object_from, 0xFF, names[i]);
        key_uploads_prefix(&upload_from, 0xFF, names[i]);
        key_uploads_of(&key_from, 0xFF, names[i]);
        struct key object_to = object_from;
        struct key upload_to = upload_from;
        struct key key_to = key_from;
        key_after_prefix(&object_to);
        key_after_prefix(&upload_to);
        key_after_prefix(&key_to);
        for (size_t j = 0; j < GFS_COUNT(names); j++) {
            struct key key;
            bool is_under = gfs_slice_starts(names[j], names[i]);
            key_object(&key, 0xFF, names[j]);
            cr_expect_eq(is_between(&key, &object_from, &object_to), is_under, "%zu %zu", i, j);
            for (size_t k = 0; k < GFS_COUNT(ids); k++) {
                key_upload(&key, 0xFF, names[j], ids[k]);
                cr_expect_eq(is_between(&key, &upload_from, &upload_to), is_under, "%zu %zu", i, j);
                cr_expect_eq(is_between(&key, &key_from, &key_to), i == j, "%zu %zu", i, j);
            }
        }
    }
}

Test(key, successor_is_the_least_key_above)
{
    struct key key;
    struct key next;
    key_object(&key, 1, GFS_SLICE_LITERAL("a"));
    next = key;
    key_after(&next);
    struct key least;
    key_object(&least, 1, gfs_slice_of("a\0", 2));
    cr_expect_eq(order_of(&next, &least), 0);
    cr_expect_gt(order_of(&next, &key), 0);
}

Test(key, prefix_of_the_last_bucket_ends_behind_the_table)
{
    struct key from;
    key_bucket(&from, TABLE_OBJECTS, UINT64_MAX);
    struct key to = from;
    key_after_prefix(&to);
    struct key uploads;
    key_uploads_prefix(&uploads, 0, GFS_SLICE_LITERAL(""));
    cr_expect_gt(order_of(&to, &from), 0);
    cr_expect_leq(order_of(&to, &uploads), 0);
}

Test(key, numbers_are_ordered)
{
    const uint8_t id[META_UPLOAD_ID_LEN] = {9};
    struct key a;
    struct key b;
    for (uint32_t number = 1; number < GFS_PART_NUMBER_MAX; number += 37) {
        key_part(&a, id, number);
        key_part(&b, id, number + 1);
        cr_assert_lt(order_of(&a, &b), 0, "%u", number);
    }
    key_garbage(&a, 1, UINT32_MAX);
    key_garbage(&b, 2, 0);
    cr_expect_lt(order_of(&a, &b), 0);
    key_garbage(&a, 0x01FF, 0xFF);
    key_garbage(&b, 0x01FF, 0x100);
    cr_expect_lt(order_of(&a, &b), 0);
}

Test(key, longest_upload_key_and_its_successor_fit)
{
    char name[GFS_KEY_LEN_MAX];
    memset(name, 0, sizeof name);
    struct key key;
    key_upload(&key, 1, gfs_slice_of(name, sizeof name), ids[0]);
    key_after(&key);
    cr_expect_eq(key.len, (size_t)KEY_LEN_MAX);
}

Test(key, upload_keys_come_apart_again)
{
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        struct key key;
        char name[GFS_KEY_LEN_MAX];
        size_t len = 0;
        uint8_t id[META_UPLOAD_ID_LEN];
        key_upload(&key, 42, names[i], ids[i % GFS_COUNT(ids)]);
        cr_assert_eq(key_parse_upload(key_row(&key), name, &len, id), GFS_OK);
        cr_expect(gfs_slice_eq(gfs_slice_of(name, len), names[i]));
        cr_expect_arr_eq(id, ids[i % GFS_COUNT(ids)], sizeof id);
    }
}

Test(key, damaged_upload_keys_are_refused)
{
    struct key key;
    char name[GFS_KEY_LEN_MAX];
    size_t len = 0;
    uint8_t id[META_UPLOAD_ID_LEN];
    key_upload(&key, 42, gfs_slice_of("a\0b", 3), ids[2]);
    struct gfs_slice row = key_row(&key);
    for (size_t cut = 0; cut < 8 + 2 + sizeof id; cut++) {
        cr_expect_eq(key_parse_upload(gfs_slice_of(row.ptr, cut), name, &len, id), GFS_CORRUPT);
    }
    key.bytes[1 + 8 + 2] = 7; /* 00 07 is no escape */
    cr_expect_eq(key_parse_upload(row, name, &len, id), GFS_CORRUPT);
    char wild[4096];
    memset(wild, 'x', sizeof wild);
    cr_expect_eq(key_parse_upload(gfs_slice_of(wild, sizeof wild), name, &len, id), GFS_CORRUPT);
    memset(wild + 8, 0, sizeof wild - 8);
    cr_expect_eq(key_parse_upload(gfs_slice_of(wild, sizeof wild), name, &len, id), GFS_CORRUPT);
}

Test(key, hash_depends_on_every_byte_the_length_and_the_seed)
{
    char bytes[64] = {0};
    for (size_t len = 0; len < sizeof bytes; len++) {
        uint64_t hash = key_hash(gfs_slice_of(bytes, len), 1);
        cr_expect_neq(hash, key_hash(gfs_slice_of(bytes, len), 2), "%zu", len);
        cr_expect_neq(hash, key_hash(gfs_slice_of(bytes, len + 1), 1), "%zu", len);
        for (size_t i = 0; i < len; i++) {
            bytes[i] ^= 1;
            cr_expect_neq(hash, key_hash(gfs_slice_of(bytes, len), 1), "%zu %zu", len, i);
            bytes[i] ^= 1;
        }
    }
}
