/* Chunks come back byte for byte while at most m of their disks are lost, and never otherwise. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "tests/unit/pool/data_rig.h"

#define MS 1000000LL

struct written {
    struct chunk_id id;
    char *bytes;
    size_t len;
};

static struct written write_chunk(struct data_rig *rig, size_t len, size_t step)
{
    struct written chunk = {data_rig_next(rig), gfs_alloc(len), len};
    data_rig_fill(chunk.bytes, len, len);
    cr_assert_eq(data_rig_write(rig, chunk.id, chunk.bytes, len, step, 0), GFS_OK);
    return chunk;
}

/* Lengths around every edge: cell, row, several rows. */
static size_t lengths_of(const struct data_rig *rig, size_t ret[16])
{
    unsigned k = rig->profile.kind == POOL_EC ? rig->profile.k : 1;
    size_t cell = POOL_CELL;
    size_t row = k * cell;
    size_t all[] = {1,       k * 64, k * 64 + 1, cell - 1, cell,        cell + 1,
                    row - 1, row,    row + 1,    2 * row,  3 * row + 7, 3 * row + cell + 1};
    memcpy(ret, all, sizeof all);
    return GFS_COUNT(all);
}

static void lose(struct data_rig *rig, uint32_t lost)
{
    for (unsigned i = 0; i < rig->width; i++) {
        atomic_store(&rig->pool_disks[i]->is_dropped, (lost >> i & 1) != 0);
        atomic_store(&rig->pool_disks[i]->is_distrusted, (lost >> i & 1) != 0);
    }
}

static void check_ranges(struct data_rig *rig, const struct written *chunk, uint32_t seed)
{
    for (unsigned i = 0; i < 2; i++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t blocks = (uint32_t)(chunk->len / GFS_BLOCK_SIZE);
        uint32_t offset = blocks == 0 ? 0 : seed % (blocks + 1) * GFS_BLOCK_SIZE;
        uint32_t want = (1 + seed / 7 % 5) * GFS_BLOCK_SIZE;
        if (offset < chunk->len) {
            cr_assert_eq(
                data_rig_check_range(rig, chunk->id, chunk->bytes, chunk->len, offset, want),
                GFS_OK);
        }
    }
}

/* All losses of at most m disks when step is 1, else every step-th. cold: the disks must be waited
 * for. */
static void check_losses_of(const char *profile, uint32_t step, bool is_cold)
{
    struct data_rig rig;
    data_rig_init(&rig, profile, 0);
    for (unsigned i = 0; i < rig.width; i++) {
        disk_double_set_cold(rig.disks[i], is_cold);
    }
    size_t lengths[16];
    size_t count = lengths_of(&rig, lengths);
    for (size_t i = 0; i < count; i++) {
        struct written chunk = write_chunk(&rig, lengths[i], 100000);
        for (uint32_t lost = (uint32_t)i % step; lost < 1U << rig.width; lost += step) {
            unsigned number = (unsigned)__builtin_popcount(lost);
            if (number > rig.profile.m + 1U) {
                continue;
            }
            lose(&rig, lost);
            enum gfs_err err = data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len);
            cr_assert_eq(err, number > rig.profile.m ? GFS_UNREACHABLE : GFS_OK,
                         "%s length %zu lost %x: %d", profile, lengths[i], lost, err);
            if (number <= rig.profile.m) {
                check_ranges(&rig, &chunk, lost);
            }
        }
        lose(&rig, 0);
        free(chunk.bytes);
    }
    data_rig_fini(&rig);
}

static void check_losses(const char *profile)
{
    check_losses_of(profile, 1, false);
}

Test(pool_read, disks_that_must_be_waited_for_give_the_same)
{
    check_losses_of("ec:2+1", 1, true);
    check_losses_of("ec:4+2", 3, true);
    check_losses_of("ec:10+4", 331, true);
    check_losses_of("replica:3", 1, true);
}

Test(pool_read, two_and_one_survives_every_loss_of_one)
{
    check_losses("ec:2+1");
}

Test(pool_read, four_and_two_survives_every_loss_of_two)
{
    check_losses("ec:4+2");
}

Test(pool_read, eight_and_three_survives_every_loss_of_three)
{
    check_losses("ec:8+3");
}

Test(pool_read, ten_and_four_survives_every_loss_of_four)
{
    check_losses("ec:10+4");
}

Test(pool_read, one_and_two_survives_every_loss_of_two)
{
    check_losses("ec:1+2");
}

Test(pool_read, three_copies_survive_every_loss_of_two)
{
    check_losses("replica:3");
}

Test(pool_read, the_largest_chunk_survives_the_loss_of_m_disks)
{
    static const size_t lens[] = {GFS_CHUNK_SIZE_MAX, GFS_CHUNK_SIZE_MAX - 1};
    for (unsigned i = 0; i < GFS_COUNT(lens); i++) {
        struct data_rig rig;
        data_rig_init(&rig, "ec:4+2", 0);
        struct written chunk = write_chunk(&rig, lens[i], 1 << 20);
        lose(&rig, i == 0 ? 0 : 0x05);
        cr_expect_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK);
        lose(&rig, 0);
        free(chunk.bytes);
        data_rig_fini(&rig);
    }
}

/* One flipped byte in each of m fragments, in different rows and in the same. */
static void check_flips(const char *profile, bool same_row)
{
    struct data_rig rig;
    data_rig_init(&rig, profile, 0);
    unsigned k = rig.profile.kind == POOL_EC ? rig.profile.k : 1;
    struct written chunk = write_chunk(&rig, (size_t)k * POOL_CELL * 6 + 12345, 1 << 20);
    unsigned flips = same_row ? rig.profile.m : rig.width;
    flips = GFS_MIN(flips, 6U);
    for (unsigned i = 0; i < flips; i++) {
        uint32_t offset = (same_row ? 2 : i) * POOL_CELL + 17 + i;
        cr_assert(disk_double_flip(rig.disks[i], data_rig_fragment(&rig, chunk.id, i), offset));
    }
    cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK, "%s", profile);
    for (unsigned i = 0; i < rig.width; i++) {
        disk_double_set_cold(rig.disks[i], true); /* through the disks' threads, several blocks */
    }
    cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK, "%s", profile);
    if (rig.profile.kind == POOL_EC) {
        cr_expect_geq(pool_suspect_count(&rig.pool), GFS_MIN(flips, k));
    }
    free(chunk.bytes);
    data_rig_fini(&rig);
}

Test(pool_read, flipped_bytes_are_made_good_and_reported)
{
    check_flips("ec:2+1", true);
    check_flips("ec:4+2", true);
    check_flips("ec:10+4", true);
    check_flips("replica:3", true);
    check_flips("ec:4+2", false);
    check_flips("ec:8+3", false);
    check_flips("replica:3", false);
}

Test(pool_read, more_damage_in_a_row_than_parity_is_an_error_and_not_bytes)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct written chunk = write_chunk(&rig, 4 * POOL_CELL * 3, 1 << 20);
    for (unsigned i = 1; i < 4; i++) {
        cr_assert(disk_double_flip(rig.disks[i], chunk_id_at(chunk.id, i), POOL_CELL + 5));
    }
    cr_expect_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_CORRUPT);
    cr_expect_eq(data_rig_check_range(&rig, chunk.id, chunk.bytes, chunk.len, 0, 4 * POOL_CELL),
                 GFS_OK, "the rows beside it are whole");
    cr_expect_eq(
        data_rig_check_range(&rig, chunk.id, chunk.bytes, chunk.len, 4 * POOL_CELL, POOL_CELL),
        GFS_OK, "and so is the cell beside it");
    free(chunk.bytes);
    data_rig_fini(&rig);
}

Test(pool_read, a_copy_that_is_damaged_everywhere_is_corrupt)
{
    struct data_rig rig;
    data_rig_init(&rig, "replica:3", 0);
    struct written chunk = write_chunk(&rig, 300000, 1 << 20);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(disk_double_flip(rig.disks[i], chunk.id, 70000));
    }
    cr_expect_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_CORRUPT);
    free(chunk.bytes);
    data_rig_fini(&rig);
}

/* all_slow: so the disks that do answer are no better by what is known of them. */
static void check_hanging(const char *profile, unsigned hanging, bool all_slow)
{
    struct data_rig rig;
    data_rig_init(&rig, profile, 0);
    unsigned k = rig.profile.kind == POOL_EC ? rig.profile.k : 1;
    struct written chunk = write_chunk(&rig, (size_t)k * POOL_CELL * 2 + 999, 1 << 20);
    for (unsigned i = 0; i < hanging; i++) {
        disk_double_hang(rig.disks[i], true);
    }
    for (unsigned i = 0; i < rig.disk_count && all_slow; i++) {
        atomic_store(&rig.pool_disks[i]->slow_until_ns, INT64_MAX);
    }
    for (unsigned i = 0; i < 3; i++) {
        int64_t before = gfs_monotonic_ns();
        cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK, "%s", profile);
        cr_assert_lt(gfs_monotonic_ns() - before, 2000 * MS, "raced, not waited for");
    }
    for (unsigned i = 0; i < hanging; i++) {
        disk_double_hang(rig.disks[i], false);
    }
    free(chunk.bytes);
    data_rig_fini(&rig);
}

Test(pool_read, a_hanging_disk_is_raced)
{
    check_hanging("ec:2+1", 1, false);
    check_hanging("ec:4+2", 2, false);
    check_hanging("ec:10+4", 4, false);
    check_hanging("replica:3", 2, false);
}

Test(pool_read, a_hanging_disk_is_raced_by_slow_ones)
{
    check_hanging("ec:2+1", 1, true);
    check_hanging("ec:4+2", 2, true);
    check_hanging("ec:10+4", 4, true);
    check_hanging("replica:3", 2, true);
}

Test(pool_read, nothing_waits_when_it_must_not)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct written chunk = write_chunk(&rig, 4 * POOL_CELL, 1 << 20);
    char *got = gfs_alloc(chunk.len);
    struct chunk_pin pin;
    cr_assert_eq(pool_pin(&rig.pool.base, chunk.id, &pin), GFS_OK);
    uint32_t len = (uint32_t)chunk.len;
    disk_double_set_cold(rig.disks[2], true);
    cr_expect_eq(pool_read(&rig.pool.base, &pin, 0, len, got, CHUNK_READ_NOWAIT), GFS_AGAIN);
    cr_expect_eq(pool_read(&rig.pool.base, &pin, 0, POOL_CELL, got, CHUNK_READ_NOWAIT), GFS_OK,
                 "only the cells of the range are asked for");
    disk_double_set_cold(rig.disks[2], false);
    cr_expect_eq(pool_read(&rig.pool.base, &pin, 0, len, got, CHUNK_READ_NOWAIT), GFS_OK);
    cr_expect(disk_double_flip(rig.disks[2], chunk_id_at(chunk.id, 2), 3));
    memset(got, 0, chunk.len);
    cr_expect_eq(pool_read(&rig.pool.base, &pin, 0, len, got, CHUNK_READ_NOWAIT), GFS_OK,
                 "what is in memory is decoded at once");
    cr_expect(memcmp(got, chunk.bytes, chunk.len) == 0);
    pool_unpin(&rig.pool.base, &pin);
    free(got);
    free(chunk.bytes);
    data_rig_fini(&rig);
}

Test(pool_read, a_range_reads_the_cells_it_needs_and_no_others)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct written chunk = write_chunk(&rig, 8 * POOL_CELL, 1 << 20);
    cr_assert_eq(
        data_rig_check_range(&rig, chunk.id, chunk.bytes, chunk.len, 5 * POOL_CELL, POOL_CELL),
        GFS_OK);
    for (unsigned i = 0; i < 6; i++) {
        struct disk_double_counts counts;
        disk_double_counts(rig.disks[i], &counts);
        cr_expect_eq(counts.reads, i == 1 ? 1U : 0U, "disk %u", i);
    }
    free(chunk.bytes);
    data_rig_fini(&rig);
}

static void go_away(struct pool_map *map, unsigned disk)
{
    map->groups[1].slots[disk].disk = POOL_NO_DISK;
}

Test(pool_read, what_is_deleted_is_not_found_and_what_is_out_of_reach_is_unreachable)
{
    static const char *const profiles[] = {"ec:4+2", "replica:3"};
    for (unsigned p = 0; p < 2; p++) {
        struct data_rig rig;
        data_rig_init(&rig, profiles[p], 0);
        struct written chunk = write_chunk(&rig, 100000, 1 << 20);
        struct chunk_pin pin;
        cr_expect_eq(pool_pin(&rig.pool.base, data_rig_next(&rig), &pin), GFS_NOT_FOUND);
        cr_expect_eq(pool_pin(&rig.pool.base, chunk_id_new(7), &pin), GFS_NOT_FOUND, "no group");
        for (unsigned i = 0; i < rig.width; i++) {
            cr_assert(disk_double_drop(rig.disks[i], data_rig_fragment(&rig, chunk.id, i)));
        }
        cr_expect_eq(pool_pin(&rig.pool.base, chunk.id, &pin), GFS_NOT_FOUND);
        lose(&rig, 1);
        cr_expect_eq(pool_pin(&rig.pool.base, chunk.id, &pin), GFS_UNREACHABLE);
        lose(&rig, 0);
        data_rig_change(&rig, go_away, 0);
        cr_expect_eq(pool_pin(&rig.pool.base, chunk.id, &pin), GFS_NOT_FOUND);
        free(chunk.bytes);
        data_rig_fini(&rig);
    }
}

Test(pool_read, too_few_fragments_on_disks_that_are_all_there_is_corrupt)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct written chunk = write_chunk(&rig, 100000, 1 << 20);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(disk_double_drop(rig.disks[i], chunk_id_at(chunk.id, i)));
    }
    struct chunk_pin pin;
    cr_expect_eq(pool_pin(&rig.pool.base, chunk.id, &pin), GFS_CORRUPT);
    free(chunk.bytes);
    data_rig_fini(&rig);
}

Test(pool_read, a_missing_fragment_is_reported_unless_a_pass_will_bring_it)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct written chunk = write_chunk(&rig, 100000, 1 << 20);
    cr_assert_eq(pool_suspect_count(&rig.pool), 0);
    cr_assert(disk_double_drop(rig.disks[5], chunk_id_at(chunk.id, 5)));
    cr_expect_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK);
    struct pool_suspect suspect;
    cr_assert(pool_suspect_take(&rig.pool, &suspect));
    cr_expect_eq(suspect.disk, 5);
    cr_expect_eq(suspect.slot, 5);
    cr_expect_not(suspect.is_bad);
    rig.pool.view->map->disks[5].is_behind = true;
    cr_expect_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK);
    cr_expect_not(pool_suspect_take(&rig.pool, &suspect));
    free(chunk.bytes);
    data_rig_fini(&rig);
}

/* Slot 0 goes to the spare; what is there still lies on disk 0. */
static void move_slot(struct pool_map *map, unsigned spare)
{
    map->groups[1].slots[0] = (struct pool_slot){.disk = (uint16_t)spare, .from = 0};
}

static void forget_from(struct pool_map *map, unsigned spare)
{
    map->groups[1].slots[0] = (struct pool_slot){.disk = (uint16_t)spare, .from = POOL_NO_DISK};
}

Test(pool_read, what_has_not_moved_yet_is_read_from_where_it_was)
{
    static const char *const profiles[] = {"ec:4+2", "replica:1"};
    for (unsigned p = 0; p < 2; p++) {
        struct data_rig rig;
        data_rig_init(&rig, profiles[p], 1);
        struct written chunk = write_chunk(&rig, 100000, 1 << 20);
        lose(&rig, p == 0 ? 0x06 : 0); /* so that slot 0 is needed */
        data_rig_change(&rig, move_slot, rig.width);
        cr_expect_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK);
        data_rig_change(&rig, forget_from, rig.width);
        cr_expect_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK,
                     "and even where the map does not say so");
        free(chunk.bytes);
        data_rig_fini(&rig);
    }
}

Test(pool_read, the_owner_is_the_one_given)
{
    static const char *const profiles[] = {"ec:4+2", "replica:3"};
    for (unsigned p = 0; p < 2; p++) {
        struct data_rig rig;
        data_rig_init(&rig, profiles[p], 0);
        struct written chunk = write_chunk(&rig, 100000, 1 << 20);
        lose(&rig, 1);
        char owner[CHUNK_OWNER_LEN_MAX];
        size_t len = 0;
        struct chunk_pin pin;
        cr_assert_eq(pool_pin(&rig.pool.base, chunk.id, &pin), GFS_OK);
        cr_expect_eq(pool_owner(&rig.pool.base, &pin, owner, &len), GFS_OK);
        cr_expect(gfs_slice_eq_str(gfs_slice_of(owner, len), "owner"));
        pool_prefetch(&rig.pool.base, &pin, 0, UINT32_MAX);
        pool_unpin(&rig.pool.base, &pin);
        lose(&rig, 0);
        free(chunk.bytes);
        data_rig_fini(&rig);
    }
}

Test(pool_read, a_fragment_under_another_slots_id_is_not_taken_for_it)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct written chunk = write_chunk(&rig, 4 * POOL_CELL, 1 << 20);
    char *bytes = gfs_alloc(POOL_CELL);
    cr_assert_eq(disk_double_bytes(rig.disks[1], chunk_id_at(chunk.id, 1), bytes, POOL_CELL),
                 POOL_CELL);
    /* disk 0 loses its own and has slot 1's instead, under the id of slot 1 */
    cr_assert(disk_double_drop(rig.disks[0], chunk_id_at(chunk.id, 0)));
    struct chunk_bulk_options options = {.id = chunk_id_at(chunk.id, 1), .len_max = POOL_CELL};
    struct chunk_store *store = disk_double_store(rig.disks[0]);
    struct data_heard heard;
    data_heard_init(&heard);
    options.arg = &heard;
    struct chunk_bulk *bulk = NULL;
    cr_assert_eq(store->ops->bulk_begin(store, &options, &bulk), GFS_OK);
    cr_assert_eq(store->ops->bulk_append(bulk, bytes, POOL_CELL), POOL_CELL);
    store->ops->bulk_finish(bulk, data_heard_finished);
    cr_assert_eq(data_heard_await(&heard), GFS_OK);
    store->ops->bulk_free(bulk);
    data_heard_fini(&heard);
    cr_expect_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK);
    free(bytes);
    free(chunk.bytes);
    data_rig_fini(&rig);
}

/* ---- disks that are only read ---- */

static void drop(struct data_rig *rig, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        atomic_store(&rig->pool_disks[i]->is_dropped, true);
    }
}

static size_t reads_of(struct data_rig *rig, unsigned disk)
{
    struct disk_double_counts counts;
    disk_double_counts(rig->disks[disk], &counts);
    return counts.reads + counts.pins;
}

static void check_last(const char *profile)
{
    struct data_rig rig;
    data_rig_init(&rig, profile, 0);
    struct written chunk = write_chunk(&rig, 600000, 100000);
    size_t before = reads_of(&rig, 0);
    drop(&rig, 0, rig.profile.m);
    cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK);
    cr_assert_eq(reads_of(&rig, 0), before, "the others suffice");
    drop(&rig, 0, rig.width);
    cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK);
    check_ranges(&rig, &chunk, 1);
    for (unsigned i = 0; i <= rig.profile.m; i++) {
        cr_assert(disk_double_flip(rig.disks[i], data_rig_fragment(&rig, chunk.id, i), 5));
    }
    enum gfs_err err = data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len);
    cr_assert_eq(err, GFS_UNREACHABLE, "never wrong bytes: %s", gfs_err_name(err));
    cr_assert_eq(rig.suspect_count, 0, "nothing can be repaired there");
    free(chunk.bytes);
    data_rig_fini(&rig);
}

Test(pool_read, disks_dropped_for_their_writes_are_read_where_the_others_do_not_suffice)
{
    check_last("ec:4+2");
    check_last("replica:3");
}

/* With one data cell in a row parity is as long as the chunk, and still no copy of it. */
Test(pool_read, parity_is_never_taken_for_data_whatever_disk_is_left)
{
    static const char *const profiles[] = {"ec:1+2", "ec:1+3"};
    for (unsigned p = 0; p < GFS_COUNT(profiles); p++) {
        struct data_rig rig;
        data_rig_init(&rig, profiles[p], 0);
        struct written chunk = write_chunk(&rig, 300000, 100000);
        for (unsigned left = 0; left < rig.width; left++) {
            lose(&rig, ~(1U << left));
            cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK);
            check_ranges(&rig, &chunk, left);
            atomic_store(&rig.pool_disks[left]->is_dropped, true); /* read as a last resort */
            cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK);
            check_ranges(&rig, &chunk, left);
        }
        free(chunk.bytes);
        data_rig_fini(&rig);
    }
}

Test(pool_read, damage_on_a_used_disk_is_made_good_from_one_that_is_only_read)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:2+1", 0);
    struct written chunk = write_chunk(&rig, 600000, 100000);
    struct chunk_pin pin;
    cr_assert_eq(rig.pool.view->disks[0], rig.pool_disks[0]);
    cr_assert_eq(pool_pin(&rig.pool.base, chunk.id, &pin), GFS_OK);
    pool_unpin(&rig.pool.base, &pin);
    drop(&rig, 2, 1);
    cr_assert(disk_double_flip(rig.disks[0], data_rig_fragment(&rig, chunk.id, 0), 5));
    cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK);
    free(chunk.bytes);
    data_rig_fini(&rig);
}

Test(pool_read, nobody_waits_long_for_a_disk_that_is_only_read_and_hangs)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:2+1", 0);
    rig.pool.options.slow_ms = 100;
    struct written chunk = write_chunk(&rig, 600000, 100000);
    drop(&rig, 0, 2);
    disk_double_hang(rig.disks[0], true);
    int64_t begun_ns = gfs_monotonic_ns();
    cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_OK, "two answer");
    disk_double_hang(rig.disks[1], true);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len), GFS_UNREACHABLE);
    }
    cr_assert_lt(gfs_monotonic_ns() - begun_ns, 5000 * MS);
    disk_double_hang(rig.disks[0], false);
    disk_double_hang(rig.disks[1], false);
    int64_t until_ns = gfs_monotonic_ns() + 10000 * MS; /* what hung has to end first */
    while (data_rig_check(&rig, chunk.id, chunk.bytes, chunk.len) != GFS_OK) {
        cr_assert_lt(gfs_monotonic_ns(), until_ns);
    }
    free(chunk.bytes);
    data_rig_fini(&rig);
}

/* Reads that a call gave up end while the next one looks whom it could ask: whatever the moment,
 * they count as parts that can be had. */
Test(pool_read, a_read_that_is_just_ending_is_not_taken_for_a_part_that_is_lost)
{
    struct data_rig rig;
    data_rig_init(&rig, "ec:4+2", 0);
    struct written chunk = write_chunk(&rig, 300000, 100000);
    char *bytes = gfs_alloc(POOL_CELL);
    lose(&rig, 1U << 1 | 1U << 2);
    drop(&rig, 0, 1);
    drop(&rig, 5, 1);
    for (unsigned i = 0; i < 20000; i++) {
        struct chunk_pin pin;
        cr_assert_eq(pool_pin(&rig.pool.base, chunk.id, &pin), GFS_OK);
        for (uint32_t at = 0; at < 2 * POOL_CELL; at += POOL_CELL) {
            enum gfs_err err =
                pool_read(&rig.pool.base, &pin, at, POOL_CELL, bytes, CHUNK_READ_MEDIUM);
            cr_assert_eq(err, GFS_OK, "turn %u at %u: %s", i, at, gfs_err_name(err));
            cr_assert_arr_eq(bytes, chunk.bytes + at, POOL_CELL);
        }
        pool_unpin(&rig.pool.base, &pin);
    }
    free(bytes);
    free(chunk.bytes);
    data_rig_fini(&rig);
}
