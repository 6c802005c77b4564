#include <criterion/criterion.h>

#include "pool/pool_plan.h"
#include "pool/pool_reconcile_part.h"
#include "tests/unit/pool/map_rig.h"

enum { EC_GROUP = 1, COPY_GROUP = 2 };

/* Disks 0..7; group 1 is ec:2+1 on disks 0, 1, 2, group 2 replica:2 on disks 3 and 4, group 0 one
 * copy on disk 0. */
static struct pool_map *make_map(void)
{
    struct pool_map *map = map_rig_new(8, "ec:2+1");
    (void)pool_map_add_group(map, map_rig_profile("ec:2+1"));
    (void)pool_map_add_group(map, map_rig_profile("replica:2"));
    for (uint16_t i = 0; i < 3; i++) {
        map->groups[EC_GROUP].slots[i] = (struct pool_slot){.disk = i, .from = POOL_NO_DISK};
    }
    for (uint16_t i = 0; i < 2; i++) {
        map->groups[COPY_GROUP].slots[i] =
            (struct pool_slot){.disk = (uint16_t)(3 + i), .from = POOL_NO_DISK};
    }
    map_rig_check(map);
    return map;
}

/* What a visit saw last, and how often there was one. */
struct seen {
    struct pool_part_chunk chunk;
    struct pool_part_entry extra;
    unsigned count;
};

static void see(void *arg, const struct pool_part_chunk *chunk)
{
    struct seen *seen = arg;
    seen->chunk = *chunk;
    seen->count++;
    if (chunk->extra_count > 0) {
        seen->extra = *chunk->extras[0];
    }
}

static const bool all_usable[8] = {true, true, true, true, true, true, true, true};

static struct seen compare(const struct pool_map *map, const bool *usable,
                           struct pool_part_entry *entries, size_t count)
{
    struct seen seen = {0};
    size_t known = pool_part_sort(map, entries, count);
    pool_part_diff(map, usable, entries, known, see, &seen);
    return seen;
}

Test(pool_reconcile_part, a_whole_stripe_lacks_nothing_in_whatever_order_it_is_listed)
{
    struct pool_map *map = make_map();
    struct chunk_id id = chunk_id_new(EC_GROUP);
    struct pool_part_entry entries[] = {{.id = chunk_id_at(id, 2), .disk = 2, .len = 64},
                                        {.id = chunk_id_at(id, 0), .disk = 0, .len = 64},
                                        {.id = chunk_id_at(id, 1), .disk = 1, .len = 64}};
    struct seen seen = compare(map, all_usable, entries, 3);
    cr_assert_eq(seen.count, 1);
    cr_assert(pool_part_is_whole(&seen.chunk));
    cr_assert_eq(seen.chunk.id.lo, id.lo);
    cr_assert_eq(seen.chunk.have, 3);
    cr_assert_eq(seen.chunk.need, 2);
    cr_assert_eq(seen.chunk.extra_count, 0);
    pool_map_free(map);
}

Test(pool_reconcile_part, a_fragment_on_the_disk_of_another_slot_is_missing_and_an_extra)
{
    struct pool_map *map = make_map();
    struct chunk_id id = chunk_id_new(EC_GROUP);
    struct pool_part_entry entries[] = {{.id = chunk_id_at(id, 0), .disk = 0, .len = 64},
                                        {.id = chunk_id_at(id, 1), .disk = 2, .len = 64},
                                        {.id = chunk_id_at(id, 2), .disk = 2, .len = 64}};
    struct seen seen = compare(map, all_usable, entries, 3);
    cr_assert_eq(seen.chunk.missing, 1U << 1);
    cr_assert_eq(seen.chunk.have, 3);
    cr_assert_eq(seen.chunk.extra_count, 1);
    cr_assert_eq(seen.extra.disk, 2);
    cr_assert_eq(seen.extra.id.lo, chunk_id_at(id, 1).lo);
    pool_map_free(map);
}

Test(pool_reconcile_part, two_copies_of_one_cell_are_one_fragment)
{
    struct pool_map *map = make_map();
    struct chunk_id id = chunk_id_new(EC_GROUP);
    struct pool_part_entry entries[] = {{.id = chunk_id_at(id, 1), .disk = 1, .len = 64},
                                        {.id = chunk_id_at(id, 1), .disk = 6, .len = 64}};
    struct seen seen = compare(map, all_usable, entries, 2);
    cr_assert_eq(seen.chunk.have, 1);
    cr_assert_not(seen.chunk.is_stray, "a disk of its group has one");
    pool_map_free(map);
}

Test(pool_reconcile_part, slots_of_disks_that_are_away_failed_or_read_only_are_not_missing)
{
    struct pool_map *map = make_map();
    struct chunk_id id = chunk_id_new(EC_GROUP);
    map->disks[1].state = POOL_DISK_FAILED;
    map->disks[2].is_read_only = true;
    bool usable[8] = {false, false, true, true, true, true, true, true};
    struct pool_part_entry entries[] = {{.id = chunk_id_at(id, 1), .disk = 7, .len = 64},
                                        {.id = chunk_id_at(id, 0), .disk = 6, .len = 64}};
    struct seen seen = compare(map, usable, entries, 2);
    cr_assert_eq(seen.chunk.missing, 0);
    cr_assert_eq(seen.chunk.away, 1U << 0 | 1U << 2);
    cr_assert_eq(seen.chunk.read_only, 1U << 2);
    cr_assert_eq(seen.chunk.lost, 1U << 1);
    cr_assert_not(pool_part_is_whole(&seen.chunk));
    pool_map_free(map);
}

Test(pool_reconcile_part, copies_that_moved_are_found_by_the_disks_they_are_on)
{
    struct pool_map *map = make_map();
    struct chunk_id id = chunk_id_new(COPY_GROUP);
    struct pool_part_entry entries[] = {{.id = id, .disk = 6, .len = 9},
                                        {.id = id, .disk = 4, .len = 9}};
    struct seen seen = compare(map, all_usable, entries, 2);
    cr_assert_eq(seen.chunk.missing, 1U << 0);
    cr_assert_eq(seen.chunk.have, 2);
    cr_assert_eq(seen.extra.disk, 6);
    pool_map_free(map);
}

Test(pool_reconcile_part, different_lengths_are_a_conflict)
{
    struct pool_map *map = make_map();
    struct chunk_id id = chunk_id_new(COPY_GROUP);
    struct pool_part_entry entries[] = {{.id = id, .disk = 3, .len = 9},
                                        {.id = id, .disk = 4, .len = 10}};
    struct seen seen = compare(map, all_usable, entries, 2);
    cr_assert(seen.chunk.has_conflict);
    cr_assert_not(pool_part_is_whole(&seen.chunk));
    pool_map_free(map);
}

Test(pool_reconcile_part, ids_of_older_stores_are_chunks_whatever_their_low_bits)
{
    struct pool_map *map = make_map();
    struct pool_part_entry entries[] = {{.id = {7, 1}, .disk = 0, .len = 9},
                                        {.id = {7, 2}, .disk = 0, .len = 8},
                                        {.id = {7, 64 + 5}, .disk = 0, .len = 7}};
    struct seen seen = compare(map, all_usable, entries, 3);
    cr_assert_eq(seen.count, 3);
    cr_assert(pool_part_is_whole(&seen.chunk));
    pool_map_free(map);
}

Test(pool_reconcile_part, what_is_of_no_group_is_put_last_and_not_visited)
{
    struct pool_map *map = make_map();
    struct chunk_id known = chunk_id_new(COPY_GROUP);
    struct pool_part_entry entries[] = {
        {.id = chunk_id_new(99), .disk = 0, .len = 9},
        {.id = chunk_id_at(chunk_id_new(EC_GROUP), 3), .disk = 0, .len = 9}, /* has slots 0..2 */
        {.id = chunk_id_at(chunk_id_new(COPY_GROUP), 1), .disk = 3, .len = 9},
        {.id = known, .disk = 3, .len = 9}};
    cr_assert_eq(pool_part_sort(map, entries, 4), 1);
    cr_assert_eq(entries[0].id.lo, known.lo);
    struct seen seen = compare(map, all_usable, entries, 4);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.chunk.missing, 1U << 1);
    pool_map_free(map);
}
