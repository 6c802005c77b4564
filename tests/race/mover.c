#include "tests/race/mover.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

static void add_copy(struct mover *mover, unsigned index)
{
    struct gfs_error error = {0};
    enum gfs_err err;
    while ((err = shard_copy_add(mover->shard, mover->dirs[index], &error)) == GFS_BUSY) {
        (void)sched_yield(); /* its files are being closed */
    }
    if (err != GFS_OK && err != GFS_EXISTS) {
        (void)fprintf(stderr, "%s\n", error.text);
        abort();
    }
}

/* What was live becomes a copy; one of three times the third directory is let go of before. */
static void *move_main(void *arg)
{
    struct mover *mover = arg;
    while (!atomic_load(&mover->is_over)) {
        for (unsigned i = 0; i < MOVER_DIRS; i++) {
            if (i != mover->live) {
                add_copy(mover, i);
            }
        }
        unsigned next = (mover->live + 1) % MOVER_DIRS;
        if (mover->moves % 3 == 2) {
            shard_copy_remove(mover->shard, mover->dirs[(mover->live + 2) % MOVER_DIRS]);
        }
        enum gfs_err err = shard_move(mover->shard, mover->dirs[next], NULL);
        GFS_ASSERT(err == GFS_OK);
        mover->live = next;
        mover->moves++;
    }
    return NULL;
}

static enum gfs_err count_reference(void *arg, const struct shard_reference *reference)
{
    struct mover *mover = arg;
    GFS_ASSERT(reference->id.hi != 0);
    mover->references++;
    return GFS_OK;
}

static void *visit_main(void *arg)
{
    struct mover *mover = arg;
    while (!atomic_load(&mover->is_over)) {
        enum gfs_err err = shard_visit_references(mover->shard, count_reference, mover);
        GFS_ASSERT(err == GFS_OK);
    }
    return NULL;
}

void mover_start(struct mover *mover, struct shard *shard)
{
    mover->shard = shard;
    int rc = pthread_create(&mover->move_thread, NULL, move_main, mover);
    GFS_ASSERT(rc == 0);
    rc = pthread_create(&mover->visit_thread, NULL, visit_main, mover);
    GFS_ASSERT(rc == 0);
}

void mover_stop(struct mover *mover)
{
    atomic_store(&mover->is_over, true);
    (void)pthread_join(mover->move_thread, NULL);
    (void)pthread_join(mover->visit_thread, NULL);
    (void)printf("%u moves, %llu references\n", mover->moves,
                 (unsigned long long)mover->references);
    GFS_ASSERT(mover->moves != 0);
}
