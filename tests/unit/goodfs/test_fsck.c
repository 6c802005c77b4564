/* When searches start by themselves, on a store that says what it lost. */
#include "goodfs/fsck.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

static enum gfs_err visit_chunks(void *arg, uint32_t part, fsck_chunk_fn visit, void *visit_arg)
{
    (void)arg;
    struct fsck_chunk chunk = {
        .id = {1, 2}, .have = atomic_load(&lost) > 0 ? 0 : 1, .need = 1, .width = 1};
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

static struct fsck *open_fsck(void)
{
    struct fsck_options options = {.source = {.visit_references = visit_references,
                                              .has_references = has_references,
                                              .visit_chunks = visit_chunks,
                                              .delete_chunks = delete_chunks,
                                              .is_whole = is_whole,
                                              .losses = losses},
                                   .orphan_age_ms = 3600 * 1000,
                                   .references_max = 10};
    return fsck_open(&options);
}

Test(fsck, a_loss_that_storage_tells_of_is_searched_for_and_named_at_once)
{
    atomic_store(&lost, 1);
    struct fsck *fsck = open_fsck();
    struct timespec pause = {.tv_nsec = 10000000};
    for (unsigned i = 0; i < WAIT_S * 100 && fsck_losses(fsck) == 0; i++) {
        (void)nanosleep(&pause, NULL);
    }
    cr_assert_eq(fsck_losses(fsck), 1);
    cr_expect(fsck_close(fsck, 60000));
}

Test(fsck, without_a_loss_or_a_wish_it_waits)
{
    atomic_store(&lost, 0);
    struct fsck *fsck = open_fsck();
    cr_assert_eq(fsck_losses(fsck), 0);
    cr_expect(fsck_close(fsck, 60000));
    cr_assert_eq(atomic_load(&searches), 0);
}

Test(fsck, a_search_that_hangs_is_given_up_and_may_end_later)
{
    pthread_mutex_lock(&hang);
    struct fsck *fsck = open_fsck();
    fsck_start(fsck);
    while (atomic_load(&hanging) == 0) {
        (void)sched_yield();
    }
    fsck_stop(fsck);
    cr_expect(!fsck_close(fsck, 20));
    pthread_mutex_unlock(&hang);
    cr_expect(fsck_close(fsck, 60000), "it is whole as long as it is not closed");
}
