#include "metad/cache.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/metad/random.h"

enum { CACHE_BYTES = 256 << 10 };

static struct gfs_slice key_of(char buffer[32], uint32_t n)
{
    int len = snprintf(buffer, 32, "key-%u", n);
    return gfs_slice_of(buffer, (size_t)len);
}

static void put(struct cache *cache, uint32_t n, size_t len)
{
    char buffer[32];
    struct gfs_slice key = key_of(buffer, n);
    struct meta_row *row = row_new(len);
    memset(row_mutable(row), (int)n, len);
    cache_put(cache, key, key_hash(key, 1), row);
    meta_row_unref(row);
}

static struct meta_row *get(struct cache *cache, uint32_t n)
{
    char buffer[32];
    struct gfs_slice key = key_of(buffer, n);
    return cache_get(cache, key, key_hash(key, 1));
}

static void drop(struct cache *cache, uint32_t n)
{
    char buffer[32];
    struct gfs_slice key = key_of(buffer, n);
    cache_remove(cache, key, key_hash(key, 1));
}

Test(cache, gives_what_was_put_last)
{
    struct cache *cache = cache_new(CACHE_BYTES);
    cr_expect_null(get(cache, 1));
    put(cache, 1, 100);
    put(cache, 1, 50);
    struct meta_row *row = get(cache, 1);
    cr_assert_not_null(row);
    cr_expect_eq(meta_row_bytes(row).len, 50u);
    drop(cache, 1);
    cr_expect_null(get(cache, 1));
    cr_expect_eq(meta_row_bytes(row).ptr[49], 1); /* our reference outlives the entry */
    meta_row_unref(row);
    drop(cache, 1);
    cache_free(cache);
}

Test(cache, never_holds_more_than_its_size_and_never_a_wrong_row)
{
    struct cache *cache = cache_new(CACHE_BYTES);
    size_t empty = cache_size(cache);
    uint32_t lens[3000] = {0}; /* of the row put last; 0 = removed or never put */
    struct random random = {9};
    size_t hits = 0;
    for (int step = 0; step < 60000; step++) {
        uint32_t n = random_below(&random, 3000);
        uint32_t what = random_below(&random, 10);
        if (what < 5) {
            lens[n] = 1 + random_below(&random, 300);
            put(cache, n, lens[n]);
        } else if (what < 6) {
            drop(cache, n);
            lens[n] = 0;
        } else {
            struct meta_row *row = get(cache, n);
            if (row != NULL) {
                hits++;
                cr_assert_eq(meta_row_bytes(row).len, lens[n]);
                cr_assert_eq((uint8_t)meta_row_bytes(row).ptr[0], (uint8_t)n);
                meta_row_unref(row);
            }
        }
        cr_assert_leq(cache_size(cache), (size_t)CACHE_BYTES + empty + (32 << 10));
    }
    cr_expect_gt(hits, 1000u);
    cache_free(cache);
}

Test(cache, rows_in_use_survive_a_flood)
{
    struct cache *cache = cache_new(CACHE_BYTES);
    for (uint32_t n = 0; n < 50; n++) {
        put(cache, n, 100);
    }
    for (uint32_t n = 1000; n < 6000; n++) {
        put(cache, n, 100);
        for (uint32_t hot = 0; n % 20 == 0 && hot < 50; hot++) {
            meta_row_unref(get(cache, hot));
        }
    }
    uint32_t kept = 0;
    for (uint32_t n = 0; n < 50; n++) {
        struct meta_row *row = get(cache, n);
        kept += row != NULL ? 1 : 0;
        meta_row_unref(row);
    }
    cr_expect_eq(kept, 50u);
    cache_free(cache);
}

Test(cache, huge_row_is_not_kept_and_its_older_one_neither)
{
    struct cache *cache = cache_new(CACHE_BYTES);
    put(cache, 1, 10);
    put(cache, 2, 10);
    put(cache, 1, CACHE_BYTES / 8);
    cr_expect_null(get(cache, 1));
    struct meta_row *row = get(cache, 2);
    cr_expect_not_null(row);
    meta_row_unref(row);
    cache_free(cache);
}
