#include "datad/chunk_index.h"

#include <criterion/criterion.h>

enum { COUNT = 20000 };

static struct chunk_entry entry_of(uint64_t number)
{
    return (struct chunk_entry){.hi = number * 0x9E3779B97F4A7C15U,
                                .lo = number,
                                .file = (uint32_t)number,
                                .where = (uint32_t)(number * 3),
                                .len = 7};
}

static void fill(struct chunk_index *index, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        struct chunk_entry entry = entry_of(i);
        chunk_index_put(index, &entry);
    }
}

Test(chunk_index, finds_what_was_put_and_nothing_else)
{
    struct chunk_index *index = chunk_index_new();
    fill(index, 1, COUNT);
    cr_expect_eq(chunk_index_count(index), COUNT - 1u);
    for (uint64_t i = 1; i < COUNT; i++) {
        struct chunk_entry wanted = entry_of(i);
        const struct chunk_entry *found = chunk_index_find(index, wanted.hi, wanted.lo);
        cr_assert_not_null(found);
        cr_assert_eq(memcmp(found, &wanted, sizeof wanted), 0);
        cr_assert_null(chunk_index_find(index, wanted.hi, wanted.lo + COUNT));
    }
    chunk_index_free(index);
}

Test(chunk_index, what_is_left_is_found_after_every_erasure)
{
    struct chunk_index *index = chunk_index_new();
    fill(index, 1, 3000);
    for (uint64_t i = 1; i < 3000; i += 2) {
        struct chunk_entry entry = entry_of(i);
        chunk_index_erase(index, chunk_index_find(index, entry.hi, entry.lo));
    }
    for (uint64_t i = 1; i < 3000; i++) {
        struct chunk_entry entry = entry_of(i);
        cr_assert_eq(chunk_index_find(index, entry.hi, entry.lo) != NULL, i % 2 == 0);
    }
    cr_expect_eq(chunk_index_count(index), 1499u);
    chunk_index_clear(index);
    cr_expect_eq(chunk_index_count(index), 0u);
    chunk_index_free(index);
}

Test(chunk_index, the_hash_does_not_depend_on_the_order_and_shows_every_difference)
{
    struct chunk_index *up = chunk_index_new();
    struct chunk_index *down = chunk_index_new();
    fill(up, 1, 1000);
    for (uint64_t i = 999; i > 0; i--) {
        struct chunk_entry entry = entry_of(i);
        chunk_index_put(down, &entry);
    }
    cr_expect_eq(chunk_index_hash(up), chunk_index_hash(down));
    struct chunk_entry entry = entry_of(500);
    chunk_index_find(down, entry.hi, entry.lo)->where++;
    cr_expect_neq(chunk_index_hash(up), chunk_index_hash(down));
    chunk_index_free(up);
    chunk_index_free(down);
}

Test(chunk_index, slots_of_all_shards_hold_each_entry_once)
{
    struct chunk_index *index = chunk_index_new();
    chunk_index_reserve(index, 5000);
    fill(index, 1, 5001);
    uint64_t count = 0;
    for (unsigned shard = 0; shard < CHUNK_INDEX_SHARDS; shard++) {
        size_t slots = 0;
        const struct chunk_entry *entries = chunk_index_shard(index, shard, &slots);
        for (size_t i = 0; i < slots; i++) {
            count += (entries[i].hi | entries[i].lo) != 0;
        }
    }
    cr_expect_eq(count, 5000u);
    chunk_index_free(index);
}
