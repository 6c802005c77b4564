/* Who refers to which chunk. */
#include <pthread.h>
#include <sched.h>
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

/* ---- while rows move ---- */

enum { MANY = 1500 }; /* rows of more than one step of the walk */

struct mover {
    struct rig *rig;
    uint64_t bucket;
    struct chunk_id wanted;
    const char *to;
    bool has_moved, is_seen;
};

/* At the first reference the last row goes to the front. */
static enum gfs_err move_row(void *arg, const struct shard_reference *reference)
{
    struct mover *mover = arg;
    if (!mover->has_moved) {
        mover->has_moved = true;
        cr_assert_eq(rig_copy(mover->rig, mover->bucket, "zzz", mover->to), GFS_OK);
        cr_assert_eq(rig_delete(mover->rig, mover->bucket, "zzz"), GFS_OK);
        rig_await_applied(mover->rig);
    }
    if (by_id(&reference->id, &mover->wanted) == 0) {
        mover->is_seen = true;
        cr_assert_eq(reference->bucket_id, mover->bucket);
    }
    return GFS_OK;
}

static void fill_many(struct rig *rig, uint64_t bucket)
{
    char key[16];
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(key, sizeof key, "m%04d", i);
        cr_assert_eq(rig_put(rig, bucket, key, 1, 1, NULL), GFS_OK);
    }
}

static void open_quick(struct rig *rig)
{
    rig_close(rig);
    rig->options.apply_delay_ms = 1;
    rig_open(rig);
}

Test(shard_references, chunk_that_is_copied_to_where_the_walk_has_been_is_seen)
{
    const char *targets[] = {"aaa", "mmm"};
    struct rig rig;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    open_quick(&rig);
    fill_many(&rig, bucket);
    for (size_t i = 0; i < GFS_COUNT(targets); i++) {
        struct mover mover = {.rig = &rig, .bucket = bucket, .to = targets[i]};
        cr_assert_eq(rig_put(&rig, bucket, "zzz", 1, 1, &mover.wanted), GFS_OK);
        cr_assert_eq(shard_visit_references(rig.shard, move_row, &mover), GFS_OK);
        cr_expect(mover.is_seen, "%s", targets[i]);
    }
    rig_fini(&rig);
}

Test(shard_references, part_that_becomes_an_object_meanwhile_is_seen)
{
    struct rig rig;
    struct job job;
    uint64_t lsn;
    struct chunk_id ids[1];
    bool is_known[1];
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    rig_upload(&rig, bucket, "a", 7);
    cr_assert_eq(rig_part(&rig, bucket, "a", 7, 1, &ids[0], &lsn), GFS_OK);
    job_complete(&job, bucket, "a", 7);
    job_use_part(&job, 1, lsn, ids[0]);
    log_double_set_auto(rig.log, false);
    cr_assert_eq(rig_submit(&rig, &job, 0), GFS_OK);
    log_double_set_auto(rig.log, true); /* perhaps decided only while references are looked for */
    cr_assert_eq(shard_has_references(rig.shard, ids, 1, is_known), GFS_OK);
    cr_expect(is_known[0]);
    cr_assert_eq(job_wait(&job), GFS_OK);
    job_fini(&job);
    rig_fini(&rig);
}

struct asker {
    struct rig *rig;
    struct chunk_id id;
    bool is_known;
    enum gfs_err err;
    pthread_t thread;
};

static void *ask_main(void *arg)
{
    struct asker *asker = arg;
    asker->err = shard_has_references(asker->rig->shard, &asker->id, 1, &asker->is_known);
    return NULL;
}

/* Its data may be on the disks already, where it is listed. */
static void check_undecided(enum gfs_err decision, bool is_known)
{
    struct rig rig;
    struct job job;
    struct asker asker = {.rig = &rig};
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    log_double_set_auto(rig.log, false);
    job_init(&job, META_OBJECT_PUT, bucket, GFS_SLICE_LITERAL("a"));
    job_fill(&job, 1, 1);
    asker.id = job.chunks[0].id;
    cr_assert_eq(rig_submit(&rig, &job, 0), GFS_OK);
    cr_assert_eq(pthread_create(&asker.thread, NULL, ask_main, &asker), 0);
    for (int i = 0; i < 100; i++) {
        (void)sched_yield(); /* it may be waiting by now; it must, for the decision */
    }
    (void)log_double_decide(rig.log, 1, decision);
    (void)pthread_join(asker.thread, NULL);
    cr_expect_eq(asker.err, GFS_OK);
    cr_expect_eq(asker.is_known, is_known);
    cr_expect_eq(job_wait(&job), decision);
    job_fini(&job);
    log_double_set_auto(rig.log, true);
    rig_fini(&rig);
}

Test(shard_references, operation_that_is_not_decided_is_waited_for)
{
    check_undecided(GFS_OK, true);
    check_undecided(GFS_NO_SPACE, false);
    check_undecided(GFS_UNREACHABLE, false);
}

static void flip_row(const char *dir, const char *key)
{
    char path[TEMP_PATH_SIZE];
    char page[8192];
    size_t len = strlen(key);
    (void)snprintf(path, sizeof path, "%s/metadata.sqlite", dir);
    FILE *file = fopen(path, "r+");
    cr_assert_not_null(file);
    for (long at = 0; fseek(file, at, SEEK_SET) == 0 && fread(page, 1, sizeof page, file) != 0;
         at += (long)sizeof page) {
        char *found = memmem(page, sizeof page, key, len);
        while (found != NULL) { /* a byte of the value, behind the key */
            found[20] = (char)(found[20] ^ 0x40);
            found = memmem(found + len, (size_t)(page + sizeof page - found) - len, key, len);
        }
        (void)fseek(file, at, SEEK_SET);
        (void)fwrite(page, 1, sizeof page, file);
    }
    (void)fclose(file);
}

static enum gfs_err count_one(void *arg, const struct shard_reference *reference)
{
    size_t *count = arg;
    (void)reference;
    ++*count;
    return GFS_OK;
}

Test(shard_references, damaged_rows_are_told_and_all_others_visited)
{
    struct rig rig;
    size_t count = 0;
    rig_init(&rig);
    uint64_t bucket = rig_bucket(&rig, "bucket");
    fill_many(&rig, bucket);
    rig_close(&rig);
    flip_row(rig.dir, "m0000");
    flip_row(rig.dir, "m0700");
    flip_row(rig.dir, "m0701");
    flip_row(rig.dir, "m1499");
    rig_open(&rig);
    cr_expect_eq(shard_visit_references(rig.shard, count_one, &count), GFS_CORRUPT);
    cr_expect_eq(count, (size_t)MANY - 4);
    struct chunk_id id = {1, 1};
    bool is_known = true;
    cr_expect_eq(shard_has_references(rig.shard, &id, 1, &is_known), GFS_CORRUPT);
    rig_fini(&rig);
}
