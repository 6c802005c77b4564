/* The contract of libgoodfs/chunk_store.h, on a real directory. */
#include "tests/unit/datad/store_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct chunk_id id_of(uint64_t number)
{
    return (struct chunk_id){.hi = 7, .lo = number};
}

Test(store, small_chunk_is_readable_after_done_and_after_reopen)
{
    struct rig rig;
    rig_init(&rig);
    const size_t lens[] = {0, 1, 4096, 65536, 65537, GFS_SMALL_CHUNK_MAX};
    for (size_t i = 0; i < GFS_COUNT(lens); i++) {
        cr_expect_eq(rig_put(&rig, id_of(i + 1), lens[i]), GFS_OK);
    }
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < GFS_COUNT(lens); i++) {
            cr_expect_eq(rig_check(&rig, id_of(i + 1), lens[i]), GFS_OK);
        }
        rig_reopen(&rig);
    }
    rig_fini(&rig);
}

Test(store, unknown_chunk_is_not_found)
{
    struct rig rig;
    rig_init(&rig);
    struct chunk_pin pin;
    cr_expect_eq(rig.chunks->ops->pin(rig.chunks, id_of(1), &pin), GFS_NOT_FOUND);
    rig_fini(&rig);
}

Test(store, deleted_chunk_stays_deleted)
{
    struct rig rig;
    rig_init(&rig);
    cr_expect_eq(rig_put(&rig, id_of(1), 5000), GFS_OK);
    cr_expect_eq(rig_put(&rig, id_of(2), 5000), GFS_OK);
    struct chunk_id ids[] = {id_of(1), id_of(99)};
    cr_expect_eq(rig_delete(&rig, ids, 2), GFS_OK);
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(rig_check(&rig, id_of(1), 5000), GFS_NOT_FOUND);
        cr_expect_eq(rig_check(&rig, id_of(2), 5000), GFS_OK);
        rig_reopen(&rig);
    }
    rig_fini(&rig);
}

Test(store, large_chunk_is_live_only_with_its_place)
{
    struct rig rig;
    rig_init(&rig);
    const uint32_t lens[] = {0, 1, 4096, 300000, 524288, 5 << 20};
    for (size_t i = 0; i < GFS_COUNT(lens); i++) {
        struct chunk_bulk *bulk = rig_bulk(&rig, id_of(100 + i), lens[i], lens[i]);
        cr_expect_eq(rig_check(&rig, id_of(100 + i), lens[i]), GFS_NOT_FOUND);
        struct chunk_record record = {.kind = CHUNK_RECORD_PLACE, .bulk = bulk};
        cr_expect_eq(rig_submit(&rig, &record, false), GFS_OK);
        rig.chunks->ops->bulk_free(bulk);
    }
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < GFS_COUNT(lens); i++) {
            cr_expect_eq(rig_check(&rig, id_of(100 + i), lens[i]), GFS_OK);
        }
        rig_reopen(&rig);
    }
    rig_fini(&rig);
}

static void count_call(void *arg)
{
    (*(int *)arg)++;
}

Test(store, the_buffer_of_an_abandoned_writer_goes_to_the_one_that_waits)
{
    enum { WRITERS = 600, LEN = 8192 };
    struct rig rig;
    rig_init(&rig);
    struct chunk_bulk *holding[WRITERS];
    struct chunk_bulk *waiting = NULL;
    int calls = 0;
    size_t count = 0;
    while (waiting == NULL && count < WRITERS) {
        struct chunk_bulk_options options = {.id = id_of(200 + count),
                                             .owner = gfs_slice_str("bucket/big"),
                                             .len_max = LEN,
                                             .writable = count_call,
                                             .arg = &calls};
        struct chunk_bulk *bulk = NULL;
        cr_assert_eq(rig.chunks->ops->bulk_begin(rig.chunks, &options, &bulk), GFS_OK);
        if (rig.chunks->ops->bulk_append(bulk, "x", 1) == 1) {
            holding[count++] = bulk;
        } else {
            waiting = bulk;
        }
    }
    cr_assert_not_null(waiting, "the number of buffers is limited");
    cr_expect_eq(calls, 0);
    rig.chunks->ops->bulk_free(holding[--count]);
    cr_expect_eq(calls, 1);
    cr_expect_eq(rig.chunks->ops->bulk_append(waiting, "x", 1), 1);
    rig.chunks->ops->bulk_free(waiting);
    while (count > 0) {
        rig.chunks->ops->bulk_free(holding[--count]);
    }
    rig_fini(&rig);
}

Test(store, the_memory_of_large_chunks_being_written_is_as_much_as_was_allowed)
{
    enum { WRITERS = 4, LEN = 3 << 20 };
    struct rig rig;
    rig_init(&rig);
    rig_close(&rig);
    struct store_options options = rig_options(&rig);
    options.buffers_max = WRITERS - 1;
    rig_open_with(&rig, &options);
    struct chunk_bulk *bulks[WRITERS];
    int calls = 0;
    for (size_t i = 0; i < WRITERS; i++) {
        struct chunk_bulk_options bulk_options = {
            .id = id_of(300 + i), .len_max = LEN, .writable = count_call, .arg = &calls};
        cr_assert_eq(rig.chunks->ops->bulk_begin(rig.chunks, &bulk_options, &bulks[i]), GFS_OK);
        cr_expect_eq(rig.chunks->ops->bulk_append(bulks[i], "x", 1), i < WRITERS - 1);
    }
    cr_expect_eq(calls, 0);
    for (size_t i = 0; i < WRITERS; i++) {
        rig.chunks->ops->bulk_free(bulks[i]);
    }
    cr_expect_eq(calls, 1);
    cr_expect_eq(rig_put_bulk(&rig, id_of(400), LEN), GFS_OK, "one after the other it goes on");
    cr_expect_eq(rig_check(&rig, id_of(400), LEN), GFS_OK);
    rig_fini(&rig);
}

Test(store, a_large_chunk_can_be_written_in_the_writers_own_memory)
{
    enum { LEN = 10 * GFS_BLOCK_SIZE + 1234 };
    struct rig rig;
    rig_init(&rig);
    int result = -1;
    struct chunk_bulk_options options = {.id = id_of(5), .len_max = LEN, .arg = &result};
    struct chunk_bulk *bulk = NULL;
    cr_assert_eq(rig.chunks->ops->bulk_begin(rig.chunks, &options, &bulk), GFS_OK);
    GFS_FREE char *bytes = gfs_alloc(LEN);
    rig_fill(bytes, LEN, 5);
    for (size_t at = 0; at < LEN; at += GFS_BLOCK_SIZE) {
        size_t len = GFS_MIN((size_t)GFS_BLOCK_SIZE, LEN - at);
        char *room = rig.chunks->ops->bulk_room(bulk);
        cr_assert_not_null(room);
        cr_assert_eq(rig.chunks->ops->bulk_room(bulk), room, "asking again changes nothing");
        memset(room, 0xee, GFS_BLOCK_SIZE); /* all of it may be used */
        memcpy(room, bytes + at, len);
        const char *from = at % 3 == 0 ? bytes + at : room; /* or left unused */
        cr_assert_eq(rig.chunks->ops->bulk_append(bulk, from, len), len);
    }
    cr_expect_null(rig.chunks->ops->bulk_room(bulk), "only at a block's beginning");
    rig.chunks->ops->bulk_finish(bulk, rig_finished);
    store_settle(rig.store);
    cr_assert_eq(result, (int)GFS_OK);
    struct chunk_record record = {.kind = CHUNK_RECORD_PLACE, .bulk = bulk};
    cr_assert_eq(rig_submit(&rig, &record, false), GFS_OK);
    rig.chunks->ops->bulk_free(bulk);
    cr_expect_eq(rig_check(&rig, id_of(5), LEN), GFS_OK);
    rig_fini(&rig);
}

Test(store, who_asks_for_memory_while_there_is_none_is_not_told_later)
{
    enum { LEN = 3 << 20 };
    struct rig rig;
    rig_init(&rig);
    rig_close(&rig);
    struct store_options options = rig_options(&rig);
    options.buffers_max = 1;
    rig_open_with(&rig, &options);
    struct chunk_bulk *bulks[2];
    int calls = 0;
    for (size_t i = 0; i < 2; i++) {
        struct chunk_bulk_options bulk_options = {
            .id = id_of(300 + i), .len_max = LEN, .writable = count_call, .arg = &calls};
        cr_assert_eq(rig.chunks->ops->bulk_begin(rig.chunks, &bulk_options, &bulks[i]), GFS_OK);
    }
    cr_expect_not_null(rig.chunks->ops->bulk_room(bulks[0]));
    cr_expect_null(rig.chunks->ops->bulk_room(bulks[1]));
    rig.chunks->ops->bulk_free(bulks[0]);
    cr_expect_eq(calls, 0);
    cr_expect_not_null(rig.chunks->ops->bulk_room(bulks[1]), "it has come back");
    rig.chunks->ops->bulk_free(bulks[1]);
    rig_fini(&rig);
}

Test(store, a_large_chunk_keeps_the_owner_it_was_given_last)
{
    struct rig rig;
    rig_init(&rig);
    int result = -1;
    struct chunk_bulk_options options = {
        .id = id_of(5), .owner = gfs_slice_str("before"), .len_max = 3, .arg = &result};
    struct chunk_bulk *bulk = NULL;
    cr_assert_eq(rig.chunks->ops->bulk_begin(rig.chunks, &options, &bulk), GFS_OK);
    cr_assert_eq(rig.chunks->ops->bulk_append(bulk, "abc", 3), 3);
    rig.chunks->ops->bulk_owner(bulk, gfs_slice_str("the owner after"));
    rig.chunks->ops->bulk_finish(bulk, rig_finished);
    store_settle(rig.store);
    struct chunk_record record = {.kind = CHUNK_RECORD_PLACE, .bulk = bulk};
    cr_assert_eq(rig_submit(&rig, &record, false), GFS_OK);
    rig.chunks->ops->bulk_free(bulk);
    struct chunk_pin pin;
    char owner[CHUNK_OWNER_LEN_MAX];
    size_t len = 0;
    cr_assert_eq(rig.chunks->ops->pin(rig.chunks, id_of(5), &pin), GFS_OK);
    cr_assert_eq(rig.chunks->ops->owner(rig.chunks, &pin, owner, &len), GFS_OK);
    rig.chunks->ops->unpin(rig.chunks, &pin);
    cr_expect(gfs_slice_eq_str(gfs_slice_of(owner, len), "the owner after"));
    rig_fini(&rig);
}

static uint64_t allocated(const struct rig *rig, const char *name)
{
    char path[128];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    return stat(path, &info) == 0 ? (uint64_t)info.st_blocks * 512 : 0;
}

Test(store, space_of_abandoned_and_deleted_large_chunks_comes_back)
{
    struct rig rig;
    rig_init(&rig);
    const char *file = "bulk/000000000001.seg";
    cr_expect_eq(rig_put_bulk(&rig, id_of(1), 1 << 20), GFS_OK);
    cr_expect_eq(rig_put_bulk(&rig, id_of(2), 1 << 20), GFS_OK);
    uint64_t before = allocated(&rig, file);
    rig.chunks->ops->bulk_free(rig_bulk(&rig, id_of(3), 1 << 20, 2 << 20));
    store_settle(rig.store);
    cr_expect_leq(allocated(&rig, file), before + 8192);
    struct chunk_pin pin;
    struct chunk_id id = id_of(1);
    cr_assert_eq(rig.chunks->ops->pin(rig.chunks, id, &pin), GFS_OK);
    cr_expect_eq(rig_delete(&rig, &id, 1), GFS_OK);
    cr_expect_geq(allocated(&rig, file), before - 8192, "a pin holds the chunk");
    GFS_FREE char *bytes = gfs_alloc(1 << 20);
    cr_expect_eq(rig.chunks->ops->read(rig.chunks, &pin, 0, 1 << 20, bytes, 0), GFS_OK);
    rig.chunks->ops->unpin(rig.chunks, &pin);
    store_settle(rig.store);
    cr_expect_leq(allocated(&rig, file), before - (1 << 20));
    cr_expect_eq(rig_check(&rig, id_of(2), 1 << 20), GFS_OK);
    rig_fini(&rig);
}

static void flip(const struct rig *rig, const char *name, off_t offset)
{
    char path[128];
    char byte;
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    GFS_CLOSE int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &byte, 1, offset), 1);
    byte = (char)(byte ^ 4);
    cr_assert_eq(pwrite(fd, &byte, 1, offset), 1);
}

Test(store, large_chunks_whose_records_may_be_lost_to_damage_are_kept)
{
    struct rig rig;
    rig_init(&rig);
    const char *file = "bulk/000000000001.seg";
    cr_expect_eq(rig_put_bulk(&rig, id_of(1), 1 << 20), GFS_OK);
    for (uint64_t i = 2; i < 6; i++) {
        cr_expect_eq(rig_put(&rig, id_of(i), 100), GFS_OK);
    }
    uint64_t before = allocated(&rig, file);
    rig_close(&rig);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/index.ckpt", rig.dir);
    cr_expect_eq(unlink(path), 0);
    flip(&rig, "log/000000000001.seg", 4096 + 80); /* the batch with the PLACE record */
    rig_open(&rig);
    store_settle(rig.store);
    struct store_stats stats;
    store_stats(rig.store, &stats);
    cr_expect_gt(stats.damaged_places, 0);
    cr_expect_gt(stats.bulk_kept_bytes, 0);
    cr_expect_eq(allocated(&rig, file), before);
    for (uint64_t i = 2; i < 6; i++) {
        cr_expect_eq(rig_check(&rig, id_of(i), 100), GFS_OK);
    }
    rig_fini(&rig);
}

struct seen_edits {
    uint64_t lsns[16];
    char texts[16][16];
    size_t count;
};

static enum gfs_err see_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct seen_edits *seen = arg;
    cr_assert_lt(seen->count, 16);
    cr_assert_lt(edit.len, 16);
    seen->lsns[seen->count] = lsn;
    memcpy(seen->texts[seen->count], edit.ptr, edit.len);
    seen->count++;
    return lsn == 1000 ? GFS_CANCELLED : GFS_OK;
}

Test(store, edits_are_replayed_in_order_after_a_position)
{
    struct rig rig;
    rig_init(&rig);
    cr_expect_eq(rig_edit(&rig, 1, "one"), GFS_OK);
    cr_expect_eq(rig_edit(&rig, 2, "two"), GFS_OK);
    cr_expect_eq(rig_edit(&rig, 5, "five"), GFS_OK);
    rig_reopen(&rig);
    struct seen_edits seen = {0};
    cr_expect_eq(rig.chunks->ops->replay_edits(rig.chunks, 1, see_edit, &seen, NULL), GFS_OK);
    cr_expect_eq(seen.count, 2);
    cr_expect_eq(seen.lsns[0], 2);
    cr_expect_str_eq(seen.texts[1], "five");
    cr_expect_eq(rig_edit(&rig, 1000, "stop"), GFS_OK);
    cr_expect_eq(rig_edit(&rig, 1001, "never"), GFS_OK);
    rig_reopen(&rig);
    seen = (struct seen_edits){0};
    cr_expect_eq(rig.chunks->ops->replay_edits(rig.chunks, 5, see_edit, &seen, NULL),
                 GFS_CANCELLED);
    cr_expect_eq(seen.count, 1);
    rig_fini(&rig);
}

Test(store, group_with_data_and_edit_is_one_batch)
{
    struct rig rig;
    rig_init(&rig);
    struct store_stats before;
    struct store_stats after;
    store_stats(rig.store, &before);
    struct chunk_record edit = {
        .kind = CHUNK_RECORD_EDIT, .lsn = 1, .payload = gfs_slice_str("edit")};
    struct chunk_record data = {.next = &edit,
                                .kind = CHUNK_RECORD_DATA,
                                .id = id_of(1),
                                .payload = gfs_slice_str("bytes")};
    cr_expect_eq(rig_submit(&rig, &data, false), GFS_OK);
    store_stats(rig.store, &after);
    cr_expect_eq(after.batches - before.batches, 1);
    cr_expect_eq(after.records - before.records, 2);
    rig_fini(&rig);
}

Test(store, log_goes_on_over_many_segments)
{
    struct rig rig;
    rig_init(&rig);
    enum { COUNT = 60, LEN = 100000 };
    for (uint64_t i = 1; i <= COUNT; i++) {
        cr_assert_eq(rig_put(&rig, id_of(i), LEN), GFS_OK);
    }
    rig_reopen(&rig);
    for (uint64_t i = 1; i <= COUNT; i++) {
        cr_assert_eq(rig_check(&rig, id_of(i), LEN), GFS_OK);
    }
    struct store_stats stats;
    store_stats(rig.store, &stats);
    cr_expect_geq(stats.log_segments, 6);
    rig_fini(&rig);
}

Test(store, group_larger_than_a_segment_is_refused)
{
    struct rig rig;
    rig_init(&rig);
    enum { LEN = 2 << 20 };
    GFS_FREE char *bytes = gfs_alloc(LEN);
    struct chunk_record edit = {
        .kind = CHUNK_RECORD_EDIT, .lsn = 1, .payload = gfs_slice_of(bytes, LEN)};
    cr_expect_eq(rig_submit(&rig, &edit, true), GFS_TOO_BIG);
    cr_expect_eq(rig_put(&rig, id_of(1), 10), GFS_OK);
    rig_fini(&rig);
}

Test(store, flipped_byte_is_corrupt_and_never_returned)
{
    struct rig rig;
    rig_init(&rig);
    cr_expect_eq(rig_put(&rig, id_of(1), 5000), GFS_OK);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/log/000000000001.seg", rig.dir);
    FILE *file = fopen(path, "r+");
    cr_assert_not_null(file);
    (void)fseek(file, 4096 + 64 + 200, SEEK_SET);
    int byte = fgetc(file);
    (void)fseek(file, -1, SEEK_CUR);
    (void)fputc(byte ^ 4, file);
    (void)fclose(file);
    cr_expect_eq(rig_check(&rig, id_of(1), 5000), GFS_CORRUPT);
    rig_fini(&rig);
}

Test(store, second_opener_is_told_who_has_it)
{
    struct rig rig;
    rig_init(&rig);
    struct store *other = NULL;
    struct gfs_error error = {0};
    struct store_options options = rig_options(&rig);
    cr_expect_eq(store_open(&options, &other, &error), GFS_BUSY);
    cr_expect_not_null(strstr(error.text, "is used by another process"), "%s", error.text);
    rig_fini(&rig);
}

Test(store, disk_of_another_cluster_or_newer_format_is_refused)
{
    struct rig rig;
    rig_init(&rig);
    rig_close(&rig);
    struct store_options options = rig_options(&rig);
    options.cluster = "other";
    struct gfs_error error = {0};
    cr_expect_eq(store_open(&options, &rig.store, &error), GFS_CONFLICT);
    cr_expect_not_null(strstr(error.text, "not to other"), "%s", error.text);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/identity", rig.dir);
    FILE *file = fopen(path, "w");
    (void)fputs("format=9\n", file);
    (void)fclose(file);
    options.cluster = NULL;
    cr_expect_eq(store_open(&options, &rig.store, &error), GFS_UNSUPPORTED);
    cr_expect_not_null(strstr(error.text, "newer version"), "%s", error.text);
    rig_fini(&rig);
}

static void load_identity(const struct rig *rig, char *ret, size_t size)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/identity", rig->dir);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    size_t len = fread(ret, 1, size - 1, file);
    ret[len] = '\0';
    (void)fclose(file);
}

static void flip_in_identity(const struct rig *rig, long at)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/identity", rig->dir);
    FILE *file = fopen(path, "r+");
    cr_assert_not_null(file);
    (void)fseek(file, at, SEEK_SET);
    int byte = fgetc(file);
    (void)fseek(file, at, SEEK_SET);
    (void)fputc(byte ^ 4, file);
    (void)fclose(file);
}

Test(store, an_identity_with_a_flipped_bit_is_good_and_written_anew)
{
    struct rig rig;
    char before[512], after[512];
    rig_init(&rig);
    cr_assert_eq(rig_put(&rig, chunk_id_new(1), 100), GFS_OK);
    load_identity(&rig, before, sizeof before);
    flip_in_identity(&rig, 40); /* of the cluster; noticed at a checkpoint */
    rig_close(&rig);
    load_identity(&rig, after, sizeof after);
    cr_assert_str_eq(after, before);
    rig_open(&rig);
    flip_in_identity(&rig, 40); /* both: it is known from memory */
    flip_in_identity(&rig, 200);
    cr_assert_eq(rig_put(&rig, chunk_id_new(1), 100), GFS_OK);
    rig_close(&rig);
    load_identity(&rig, after, sizeof after);
    cr_assert_str_eq(after, before);
    flip_in_identity(&rig, 80); /* of the disk; at a start */
    rig_open(&rig);
    load_identity(&rig, after, sizeof after);
    cr_assert_str_eq(after, before);
    rig_fini(&rig);
}

Test(store, threads_do_the_same)
{
    struct rig rig;
    rig_init(&rig);
    rig_close(&rig);
    struct store_options options = rig_options(&rig);
    options.is_manual = false;
    rig_open_with(&rig, &options);
    rig_close(&rig);
    rig_open(&rig);
    rig_fini(&rig);
}
