#include "pool/pool_progress.h"

#include <stdio.h>
#include <string.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

void pool_progress_init(struct pool_progress *progress)
{
    *progress = (struct pool_progress){0};
    int rc = pthread_mutex_init(&progress->lock, NULL);
    GFS_ASSERT(rc == 0);
}

void pool_progress_fini(struct pool_progress *progress)
{
    (void)pthread_mutex_destroy(&progress->lock);
}

static struct pool_progress_state *lock(struct pool_progress *progress)
{
    (void)pthread_mutex_lock(&progress->lock);
    return &progress->state;
}

static void unlock(struct pool_progress *progress)
{
    (void)pthread_mutex_unlock(&progress->lock);
}

void pool_progress_begin(struct pool_progress *progress)
{
    struct pool_progress_state *state = lock(progress);
    state->since_ns = gfs_monotonic_ns();
    state->until_ns = 0;
    state->done = state->done_bytes = 0;
    state->left = state->left_bytes = 0;
    state->failures = 0;
    unlock(progress);
}

void pool_progress_phase(struct pool_progress *progress, enum pool_phase phase)
{
    struct pool_progress_state *state = lock(progress);
    state->phase = phase;
    state->parts_done = 0;
    unlock(progress);
}

void pool_progress_parts(struct pool_progress *progress, uint32_t count)
{
    lock(progress)->parts_done += count;
    unlock(progress);
}

void pool_progress_survey(struct pool_progress *progress, const struct pool_tally *tally,
                          const struct pool_lost *lost, uint64_t lost_count)
{
    struct pool_progress_state *state = lock(progress);
    state->tally = *tally;
    state->left = tally->missing > state->done ? tally->missing - state->done : 0;
    state->left_bytes =
        tally->missing_bytes > state->done_bytes ? tally->missing_bytes - state->done_bytes : 0;
    state->lost_count = lost_count;
    memcpy(state->lost, lost, sizeof state->lost);
    unlock(progress);
}

void pool_progress_copied(struct pool_progress *progress, uint64_t bytes)
{
    struct pool_progress_state *state = lock(progress);
    state->done++;
    state->done_bytes += bytes;
    state->left -= state->left > 0;
    state->left_bytes -= GFS_MIN(state->left_bytes, bytes);
    unlock(progress);
}

void pool_progress_failed(struct pool_progress *progress)
{
    lock(progress)->failures++;
    unlock(progress);
}

void pool_progress_healed(struct pool_progress *progress)
{
    lock(progress)->healed++;
    unlock(progress);
}

void pool_progress_deleted(struct pool_progress *progress, uint64_t count)
{
    lock(progress)->deleted += count;
    unlock(progress);
}

void pool_progress_lost(struct pool_progress *progress, const struct pool_lost *lost)
{
    struct pool_progress_state *state = lock(progress);
    uint64_t listed = GFS_MIN(state->lost_count, (uint64_t)POOL_LOST_MAX);
    bool is_known = false;
    for (uint64_t i = 0; i < listed && !is_known; i++) {
        is_known = state->lost[i].id.hi == lost->id.hi && state->lost[i].id.lo == lost->id.lo;
    }
    if (!is_known) {
        if (listed < POOL_LOST_MAX) {
            state->lost[listed] = *lost;
        }
        state->lost_count++;
    }
    unlock(progress);
}

void pool_progress_halted(struct pool_progress *progress, const char *why)
{
    struct pool_progress_state *state = lock(progress);
    (void)snprintf(state->halted, sizeof state->halted, "%s", why);
    unlock(progress);
}

void pool_progress_end(struct pool_progress *progress)
{
    struct pool_progress_state *state = lock(progress);
    state->phase = POOL_PHASE_IDLE;
    state->until_ns = gfs_monotonic_ns();
    state->passes++;
    unlock(progress);
}

uint64_t pool_progress_rate(const struct pool_progress_state *state, int64_t now_ns)
{
    int64_t until_ns = state->until_ns == 0 ? now_ns : state->until_ns;
    double seconds = (double)(until_ns - state->since_ns) / 1e9;
    return seconds <= 0 ? 0 : (uint64_t)((double)state->done_bytes / seconds);
}
