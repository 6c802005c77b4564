#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "tests/unit/metad/shard_rig.h"

enum { SEEN_MAX = 64 };

/* What a visit showed, as "bucket:key:serial of the chunk". */
struct seen {
    size_t count, parts;
    struct shard_reference items[SEEN_MAX];
    char keys[SEEN_MAX][64];
    size_t stop_after;
};

static enum gfs_err note(void *arg, const struct shard_reference *reference)
{
    struct seen *seen = arg;
    cr_assert_lt(seen->count, (size_t)SEEN_MAX);
    seen->items[seen->count] = *reference;
    (void)snprintf(seen->keys[seen->count], sizeof seen->keys[0], "%.*s", (int)reference->key.len,
                   reference->key.ptr);
    seen->parts += reference->is_part;
    return ++seen->count == seen->stop_after ? GFS_TOO_BIG : GFS_OK;
}

static size_t count_of(const struct seen *seen, const char *key, struct chunk_id id)
{
    size_t count = 0;
    for (size_t i = 0; i < seen->count; i++) {
        count += strcmp(seen->keys[i], key) == 0 && seen->items[i].id.hi == id.hi &&
                 seen->items[i].id.lo == id.lo;
    }
    return count;
}

Test(shard_references, all_rows_are_visited_wherever_they_are)
{
    struct rig rig;
    struct chunk_id a[3];
    struct chunk_id gone[2];
    struct chunk_id part;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_assert_eq(rig_put(&rig, bucket, "a", 3, 1, a), GFS_OK);
    cr_assert_eq(rig_put(&rig, bucket, "gone", 2, 1, gone), GFS_OK);
    cr_assert_eq(rig_copy(&rig, bucket, "a", "b"), GFS_OK);
    rig_upload(&rig, bucket, "u", 7);
    cr_assert_eq(rig_part(&rig, bucket, "u", 7, 4, &part, NULL), GFS_OK);
    cr_assert_eq(rig_delete(&rig, bucket, "gone"), GFS_OK);
    for (int round = 0; round < 2; round++) { /* in memory, then in the database */
        struct seen seen = {0};
        cr_assert_eq(shard_visit_references(rig.shard, note, &seen), GFS_OK);
        cr_assert_eq(seen.count, 7u, "%zu in round %d", seen.count, round);
        cr_assert_eq(seen.parts, 1u);
        for (size_t i = 0; i < 3; i++) {
            cr_assert_eq(count_of(&seen, "a", a[i]), 1u);
            cr_assert_eq(count_of(&seen, "b", a[i]), 1u);
        }
        cr_assert_eq(count_of(&seen, "07000000000000000000000000000000", part), 1u);
        cr_assert_eq(seen.items[0].bucket_id, bucket, "parts come first");
        cr_assert_eq(seen.items[1].bucket_id, bucket);
        rig_restart(&rig);
    }
    rig_fini(&rig);
}

Test(shard_references, the_visitor_ends_it_with_its_answer)
{
    struct rig rig;
    struct seen seen = {.stop_after = 2};
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_assert_eq(rig_put(&rig, bucket, "a", 3, 1, NULL), GFS_OK);
    cr_assert_eq(shard_visit_references(rig.shard, note, &seen), GFS_TOO_BIG);
    cr_assert_eq(seen.count, 2u);
    rig_fini(&rig);
}

static int by_id(const void *left, const void *right)
{
    const struct chunk_id *a = left;
    const struct chunk_id *b = right;
    return a->hi != b->hi ? (a->hi < b->hi ? -1 : 1) : (a->lo > b->lo) - (a->lo < b->lo);
}

Test(shard_references, chunks_are_known_while_a_row_or_the_garbage_has_them)
{
    struct rig rig;
    struct chunk_id ids[4];
    bool is_known[4];
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    cr_assert_eq(rig_put(&rig, bucket, "a", 1, 1, &ids[0]), GFS_OK);
    cr_assert_eq(rig_put(&rig, bucket, "b", 1, 1, &ids[1]), GFS_OK);
    rig_upload(&rig, bucket, "u", 7);
    cr_assert_eq(rig_part(&rig, bucket, "u", 7, 4, &ids[2], NULL), GFS_OK);
    ids[3] = chunk_id_new(0); /* nobody's */
    struct chunk_id nobodys = ids[3];
    cr_assert_eq(rig_copy(&rig, bucket, "a", "c"), GFS_OK);
    cr_assert_eq(rig_delete(&rig, bucket, "a"), GFS_OK);
    qsort(ids, 4, sizeof ids[0], by_id);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(shard_has_references(rig.shard, ids, 4, is_known), GFS_OK);
        for (size_t i = 0; i < 4; i++) {
            cr_assert_eq(is_known[i], by_id(&ids[i], &nobodys) != 0, "chunk %zu round %d", i,
                         round);
        }
        if (round == 0) {
            cr_assert_eq(rig_delete(&rig, bucket, "b"), GFS_OK);
        }
        rig_restart(&rig); /* then it is in the garbage, which waits for a day */
    }
    cr_assert_eq(shard_has_references(rig.shard, ids, 0, is_known), GFS_OK);
    rig_fini(&rig);
}
