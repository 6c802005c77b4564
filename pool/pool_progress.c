#include "pool/pool_progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

enum { LOST_IDS_MIN = 64, LOST_IDS_MAX = 1 << 20 };

/* ---- chunks that are lost ---- */

static bool is_none(struct chunk_id id)
{
    return (id.hi | id.lo) == 0;
}

/* Where the id is, or would be. */
static struct chunk_id *find(const struct pool_lost_ids *lost, struct chunk_id id)
{
    uint64_t hash = (id.hi ^ id.lo >> CHUNK_SLOT_BITS) * 0x9E3779B97F4A7C15ULL;
    size_t index = (hash ^ hash >> 32) & (lost->size - 1);
    while (!is_none(lost->ids[index]) && chunk_id_compare(lost->ids[index], id) != 0) {
        index = (index + 1) & (lost->size - 1);
    }
    return &lost->ids[index];
}

static void grow(struct pool_lost_ids *lost)
{
    size_t size = GFS_MAX(2 * lost->size, (size_t)LOST_IDS_MIN);
    struct pool_lost_ids grown = {
        .ids = gfs_alloc_array(size, sizeof *grown.ids), .count = lost->count, .size = size};
    for (size_t i = 0; i < lost->size; i++) {
        if (!is_none(lost->ids[i])) {
            *find(&grown, lost->ids[i]) = lost->ids[i];
        }
    }
    free(lost->ids);
    *lost = grown;
}

bool pool_lost_ids_add(struct pool_lost_ids *lost, struct chunk_id id)
{
    if (2 * (lost->count + 1) > lost->size) {
        if (lost->count >= LOST_IDS_MAX) {
            return false;
        }
        grow(lost);
    }
    struct chunk_id *place = find(lost, id);
    bool is_new = is_none(*place);
    lost->count += is_new;
    *place = id;
    return is_new;
}

void pool_lost_ids_fini(struct pool_lost_ids *lost)
{
    free(lost->ids);
    *lost = (struct pool_lost_ids){0};
}

/* ---- progress ---- */

void pool_progress_init(struct pool_progress *progress)
{
    *progress = (struct pool_progress){0};
    int rc = pthread_mutex_init(&progress->lock, NULL);
    GFS_ASSERT(rc == 0);
}

void pool_progress_fini(struct pool_progress *progress)
{
    (void)pthread_mutex_destroy(&progress->lock);
    pool_lost_ids_fini(&progress->lost_ids);
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
    state->phase = POOL_PHASE_SURVEY; /* or what is waited for before it */
    state->parts_done = 0;
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
                          const struct pool_lost *lost, uint64_t lost_count,
                          struct pool_lost_ids *lost_ids)
{
    struct pool_progress_state *state = lock(progress);
    state->tally = *tally;
    state->left = tally->missing > state->done ? tally->missing - state->done : 0;
    state->left_bytes =
        tally->missing_bytes > state->done_bytes ? tally->missing_bytes - state->done_bytes : 0;
    state->lost_count = lost_count;
    memcpy(state->lost, lost, sizeof state->lost);
    pool_lost_ids_fini(&progress->lost_ids);
    progress->lost_ids = *lost_ids;
    *lost_ids = (struct pool_lost_ids){0};
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
    if (pool_lost_ids_add(&progress->lost_ids, lost->id)) {
        if (state->lost_count < POOL_LOST_MAX) {
            state->lost[state->lost_count] = *lost;
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
