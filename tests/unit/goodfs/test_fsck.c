/* When searches start by themselves, on a store that says what it lost. */
#include "goodfs/fsck.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "libgoodfs/json.h"
#include "libgoodfs/mem.h"
#include "tests/unit/metad/temp_dir.h"

enum { WAIT_S = 20 };

static atomic_ulong lost, searches, hanging;
static pthread_mutex_t hang = PTHREAD_MUTEX_INITIALIZER; /* held: references hang */

static enum gfs_err visit_references(void *arg, fsck_reference_fn visit, void *visit_arg)
{
    (void)arg;
    atomic_fetch_add(&searches, 1);
    atomic_fetch_add(&hanging, 1);
    pthread_mutex_lock(&hang);
    pthread_mutex_unlock(&hang);
    atomic_fetch_sub(&hanging, 1);
    struct fsck_reference reference = {
        {1, 2}, GFS_SLICE_LITERAL("bucket"), GFS_SLICE_LITERAL("key")};
    return visit(visit_arg, &reference);
}

static enum gfs_err has_references(void *arg, const struct chunk_id *ids, size_t count, bool *ret)
{
    (void)arg;
    (void)ids;
    memset(ret, 1, count * sizeof *ret);
    return GFS_OK;
}

static atomic_bool is_lost_quietly;

static enum gfs_err visit_chunks(void *arg, uint32_t part, fsck_chunk_fn visit, void *visit_arg)
{
    (void)arg;
    struct fsck_chunk chunk = {.id = {1, 2}, .need = 1, .width = 1};
    chunk.have = atomic_load(&lost) > 0 || atomic_load(&is_lost_quietly) ? 0 : 1;
    if (part == chunk_list_part(chunk.id)) {
        visit(visit_arg, &chunk);
    }
    return GFS_OK;
}

static enum gfs_err delete_chunks(void *arg, const struct chunk_id *ids, size_t count)
{
    (void)arg;
    (void)ids;
    (void)count;
    cr_assert(false, "nothing is to be deleted");
    return GFS_OK;
}

static bool is_whole(void *arg)
{
    (void)arg;
    return true;
}

static uint64_t losses(void *arg)
{
    (void)arg;
    return atomic_load(&lost);
}

static void shape(void *arg, struct chunk_id id, unsigned *ret_need, unsigned *ret_width)
{
    (void)arg;
    (void)id;
    *ret_need = *ret_width = 1;
}

static atomic_bool is_given_up;

static void given_up(void *arg, bool ret[FSCK_DISKS_MAX])
{
    (void)arg;
    memset(ret, 0, FSCK_DISKS_MAX * sizeof *ret);
    ret[1] = atomic_load(&is_given_up);
}

static struct fsck_verdict judge(struct fsck *fsck)
{
    struct fsck_verdict verdict;
    fsck_judge(fsck, &verdict);
    return verdict;
}

static void await_losses(struct fsck *fsck, bool has_losses)
{
    struct timespec pause = {.tv_nsec = 10000000};
    for (unsigned i = 0; i < WAIT_S * 100 && (judge(fsck).losses != 0) != has_losses; i++) {
        (void)nanosleep(&pause, NULL);
    }
    cr_assert_eq(judge(fsck).losses, has_losses ? 1 : 0);
}

static const char *kept_dir; /* NULL = none */

static struct fsck *open_fsck(void)
{
    struct fsck_options options = {.source = {.visit_references = visit_references,
                                              .has_references = has_references,
                                              .visit_chunks = visit_chunks,
                                              .delete_chunks = delete_chunks,
                                              .is_whole = is_whole,
                                              .losses = losses,
                                              .shape = shape,
                                              .given_up = given_up},
                                   .orphan_age_ms = 3600 * 1000,
                                   .dir = kept_dir,
                                   .references_max = 10};
    return fsck_open(&options);
}

Test(fsck, a_loss_that_storage_tells_of_is_searched_for_and_named_at_once)
{
    atomic_store(&lost, 1);
    struct fsck *fsck = open_fsck();
    await_losses(fsck, true);
    cr_expect(fsck_close(fsck, 60000));
}

Test(fsck, what_is_lost_with_a_disk_that_was_given_up_is_found_and_nobody_is_sure_until_then)
{
    atomic_store(&lost, 0);
    struct fsck *fsck = open_fsck();
    struct timespec pause = {.tv_nsec = 10000000};
    cr_expect(!judge(fsck).is_unsure);
    pthread_mutex_lock(&hang);
    atomic_store(&is_lost_quietly, true); /* storage itself does not see it */
    atomic_store(&is_given_up, true);
    cr_expect(judge(fsck).is_unsure, "at once");
    while (atomic_load(&hanging) == 0) {
        (void)nanosleep(&pause, NULL);
    }
    cr_expect(judge(fsck).is_unsure);
    pthread_mutex_unlock(&hang);
    await_losses(fsck, true);
    cr_expect(!judge(fsck).is_unsure);
    cr_expect(fsck_close(fsck, 60000));
}

/* A disk with nothing but its identity. */
static void make_disk(char ret[TEMP_DIR_SIZE])
{
    char path[TEMP_PATH_SIZE];
    temp_dir_make(ret);
    (void)snprintf(path, sizeof path, "%s/identity", ret);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    (void)close(fd);
}

/* What was lost with a disk that had another in its place before anybody looked. */
Test(fsck, after_a_restart_nobody_is_sure_of_what_was_not_searched_before_it_and_losses_stay_known)
{
    char dir[TEMP_DIR_SIZE];
    make_disk(dir);
    kept_dir = dir;
    atomic_store(&lost, 0);
    atomic_store(&is_lost_quietly, true);
    atomic_store(&is_given_up, true);
    pthread_mutex_lock(&hang);
    struct fsck *fsck = open_fsck();
    cr_expect(judge(fsck).is_unsure, "all is whole again, but nobody searched");
    pthread_mutex_unlock(&hang);
    await_losses(fsck, true);
    cr_expect(fsck_close(fsck, 60000));
    pthread_mutex_lock(&hang);
    fsck = open_fsck();
    cr_expect_eq(judge(fsck).losses, 1, "it knows from before");
    cr_expect(!judge(fsck).is_unsure);
    atomic_store(&is_lost_quietly, false); /* what was lost is deleted */
    pthread_mutex_unlock(&hang);
    await_losses(fsck, false);
    cr_expect(fsck_close(fsck, 60000));
    unsigned long count = atomic_load(&searches);
    fsck = open_fsck();
    cr_expect(!judge(fsck).is_unsure);
    cr_expect_eq(judge(fsck).losses, 0);
    cr_expect(fsck_close(fsck, 60000));
    cr_expect_eq(atomic_load(&searches), count, "it was searched for already");
    temp_dir_remove(dir);
}

/* ---- pages ---- */

enum { ROWS = 2500 };

static enum gfs_err visit_many(void *arg, fsck_reference_fn visit, void *visit_arg)
{
    (void)arg;
    enum gfs_err err = GFS_OK;
    for (uint64_t i = 0; i < ROWS && err == GFS_OK; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key%04llu", (unsigned long long)i);
        struct fsck_reference reference = {{i, 1}, GFS_SLICE_LITERAL("bucket"), gfs_slice_str(key)};
        err = visit(visit_arg, &reference);
    }
    return err;
}

static enum gfs_err visit_nothing(void *arg, uint32_t part, fsck_chunk_fn visit, void *visit_arg)
{
    (void)arg;
    (void)part;
    (void)visit;
    (void)visit_arg;
    return GFS_OK;
}

/* The document of a page; *ret_page is inside. */
static struct gfs_json *get_page(struct fsck *fsck, uint64_t after, uint64_t limit,
                                 const struct gfs_json **ret_page)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) text;
    struct gfs_json_out out;
    struct gfs_json *document = NULL;
    struct gfs_error error;
    gfs_buf_init(&text, 1 << 20);
    gfs_json_out_init(&out, &text);
    gfs_json_out_object(&out, NULL);
    fsck_json(fsck, after, limit, &out, "fsck");
    gfs_json_out_end_object(&out);
    cr_assert_eq(gfs_json_parse(gfs_buf_slice(&text), &document, &error), GFS_OK);
    *ret_page = gfs_json_get(document, "fsck");
    return document;
}

/* Storage lists nothing; it searches when it is told to. */
static struct fsck *open_without_chunks(enum gfs_err (*visit)(void *arg, fsck_reference_fn visit,
                                                              void *visit_arg))
{
    struct fsck_options options = {.source = {.visit_references = visit,
                                              .has_references = has_references,
                                              .visit_chunks = visit_nothing,
                                              .delete_chunks = delete_chunks,
                                              .is_whole = is_whole,
                                              .losses = losses,
                                              .shape = shape,
                                              .given_up = given_up},
                                   .orphan_age_ms = 3600 * 1000,
                                   .is_manual = true};
    return fsck_open(&options);
}

Test(fsck, its_pages_are_all_that_was_found_in_order)
{
    struct fsck *fsck = open_without_chunks(visit_many);
    int64_t next = 0, seen = 0, count = 0;
    fsck_run(fsck);
    cr_assert_eq(judge(fsck).losses, ROWS);
    do {
        const struct gfs_json *page;
        struct gfs_json *document = get_page(fsck, (uint64_t)next, FSCK_PAGE_MAX, &page);
        const struct gfs_json *objects = gfs_json_get(page, "objects");
        for (size_t i = 0; i < gfs_json_count(objects); i++) {
            char key[32];
            (void)snprintf(key, sizeof key, "key%04llu", (unsigned long long)seen++);
            cr_assert(gfs_slice_eq_str(
                gfs_json_string(gfs_json_get(gfs_json_at(objects, i), "key")), key));
        }
        cr_assert(gfs_json_integer(gfs_json_get(page, "object_count"), &count));
        next = 0;
        (void)gfs_json_integer(gfs_json_get(page, "next"), &next);
        gfs_json_free(document);
    } while (next > 0);
    cr_assert_eq(seen, ROWS);
    cr_assert_eq(count, ROWS);
    cr_expect(fsck_close(fsck, 60000));
}

static bool has_damaged_row;

static enum gfs_err visit_damaged(void *arg, fsck_reference_fn visit, void *visit_arg)
{
    (void)arg;
    (void)visit;
    (void)visit_arg;
    return has_damaged_row ? GFS_CORRUPT : GFS_OK;
}

Test(fsck, damaged_rows_are_told_until_a_search_meets_none)
{
    struct fsck *fsck = open_without_chunks(visit_damaged);
    cr_assert_not(judge(fsck).has_damage);
    has_damaged_row = true;
    fsck_run(fsck);
    cr_assert(judge(fsck).has_damage);
    cr_assert_eq(judge(fsck).losses, 0);
    has_damaged_row = false;
    fsck_run(fsck);
    cr_assert_not(judge(fsck).has_damage);
    cr_expect(fsck_close(fsck, 60000));
}

Test(fsck, without_a_loss_or_a_wish_it_waits)
{
    atomic_store(&lost, 0);
    struct fsck *fsck = open_fsck();
    cr_assert_eq(judge(fsck).losses, 0);
    cr_expect(fsck_close(fsck, 60000));
    cr_assert_eq(atomic_load(&searches), 0);
}

Test(fsck, a_search_that_hangs_is_given_up_and_may_end_later)
{
    pthread_mutex_lock(&hang);
    struct fsck *fsck = open_fsck();
    fsck_start(fsck, false);
    while (atomic_load(&hanging) == 0) {
        (void)sched_yield();
    }
    fsck_stop(fsck);
    cr_expect(!fsck_close(fsck, 20));
    pthread_mutex_unlock(&hang);
    cr_expect(fsck_close(fsck, 60000), "it is whole as long as it is not closed");
}
