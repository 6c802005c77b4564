/* What must be there after a restart, and what is said when it is not. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "tests/sim/world.h"

static char name[200];

void world_name(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
}

void world_broken(const struct world *world, const char *file, int line, const char *condition,
                  const char *format, ...)
{
    va_list args;
    (void)fprintf(stderr, "%s: broken: %s\n%s:%d: ", name, condition, file, line);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "\n%u groups, %u answered, %u chunks, trimmed to %llu, %llu changes\n",
                  world->group_count, world->answered_count, world->chunk_count,
                  (unsigned long long)world->trimmed_lsn,
                  (unsigned long long)gfs_io_sim_changes(world->disk));
    abort();
}

static enum gfs_err see_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct world *world = arg;
    WORLD_CHECK(world, lsn > 0 && lsn <= world->group_count, "edit %llu was never submitted",
                (unsigned long long)lsn);
    struct world_group *group = world->groups[lsn - 1];
    WORLD_CHECK(world, gfs_slice_eq_str(edit, group->edit), "edit %llu has other bytes",
                (unsigned long long)lsn);
    WORLD_CHECK(world, !group->is_seen, "edit %llu came twice", (unsigned long long)lsn);
    group->is_seen = true;
    return GFS_OK;
}

static bool is_refused(const struct world_group *group)
{
    return group->err == GFS_NO_SPACE || group->err == GFS_TOO_BIG || group->err == GFS_STOPPED;
}

static enum gfs_err replay(struct world *world, uint64_t after, struct gfs_error *error)
{
    for (uint32_t i = 0; i < world->group_count; i++) {
        world->groups[i]->is_seen = false;
    }
    return world->chunks->ops->replay_edits(world->chunks, after, see_edit, world, error);
}

/* From anywhere: trimmed edits may have left, in any order, but never in silence. */
static void judge_trimmed_edits(struct world *world)
{
    struct chunk_store_status status;
    world->chunks->ops->status(world->chunks, &status);
    WORLD_CHECK(world, status.lsn_gone <= world->trimmed_lsn, "edits up to %llu are said to leave",
                (unsigned long long)status.lsn_gone);
    for (uint64_t part = 0; part < 8; part++) {
        uint64_t after = world->trimmed_lsn * part / 8;
        enum gfs_err err = replay(world, after, NULL);
        if (err == GFS_CORRUPT && after < status.lsn_gone) {
            world->refused_count++;
            continue;
        }
        WORLD_CHECK(world, err == GFS_OK, "replay behind %llu: %s", (unsigned long long)after,
                    gfs_err_text(err));
        for (uint64_t lsn = after + 1; lsn <= world->trimmed_lsn; lsn++) {
            const struct world_group *group = world->groups[lsn - 1];
            WORLD_CHECK(world, group->is_seen || group->err != GFS_OK,
                        "edit %llu is missing behind %llu", (unsigned long long)lsn,
                        (unsigned long long)after);
        }
    }
}

/* Durable groups are those replayed and those trimmed: all that were acknowledged, and of the
 * others (whose answer was a fault) only a run directly behind. */
static bool judge_edits(struct world *world, bool may_be_corrupt)
{
    struct gfs_error error = {0};
    enum gfs_err err = replay(world, world->trimmed_lsn, &error);
    if (may_be_corrupt && (err == GFS_CORRUPT || err == GFS_IO)) {
        return false;
    }
    WORLD_CHECK(world, err == GFS_OK, "replay: %s", error.text);
    bool has_gap = false;
    for (uint32_t i = 0; i < world->group_count; i++) {
        struct world_group *group = world->groups[i];
        if (group->lsn <= world->trimmed_lsn) {
            group->is_seen = group->err == GFS_OK;
            continue;
        }
        if (group->err == GFS_OK) {
            WORLD_CHECK(world, group->is_seen, "acknowledged group %u is lost", i);
        } else if (is_refused(group)) {
            WORLD_CHECK(world, !group->is_seen, "refused group %u is there", i);
        } else if (group->is_seen) {
            WORLD_CHECK(world, !has_gap, "group %u is there, one before it is not", i);
        } else {
            has_gap = true;
        }
    }
    return true;
}

enum gfs_err world_read(struct world *world, const struct world_chunk *chunk)
{
    struct chunk_pin pin;
    enum gfs_err err = world->chunks->ops->pin(world->chunks, chunk->id, &pin);
    if (err == GFS_OK) {
        err = world_read_pinned(world, chunk, &pin);
        world->chunks->ops->unpin(world->chunks, &pin);
    }
    return err;
}

/* What became of it last, by the groups that are there, decides. */
static bool is_live(const struct world *world, const struct world_chunk *chunk)
{
    bool is_live = false;
    for (uint32_t i = 0; i < chunk->event_count; i++) {
        if (world->groups[chunk->events[i].group]->is_seen) {
            is_live = !chunk->events[i].is_delete;
        }
    }
    return is_live;
}

static bool was_deleted(const struct world_chunk *chunk)
{
    bool was_deleted = false;
    for (uint32_t i = 0; i < chunk->event_count; i++) {
        was_deleted = was_deleted || chunk->events[i].is_delete;
    }
    return was_deleted;
}

static void judge_chunk(struct world *world, const struct world_chunk *chunk)
{
    enum gfs_err err = world_read(world, chunk);
    enum gfs_err expected = is_live(world, chunk) ? GFS_OK : GFS_NOT_FOUND;
    if (world->may_revive && err == GFS_OK && was_deleted(chunk)) {
        return;
    }
    uint32_t group = chunk->event_count == 0 ? 0 : chunk->events[chunk->event_count - 1].group;
    WORLD_CHECK(world, err == expected, "chunk %llu, last in group %u: %s, not %s",
                (unsigned long long)chunk->id.lo, group, gfs_err_text(err), gfs_err_text(expected));
}

/* What the audit found is how it is from now on. */
static void settle_outcomes(struct world *world)
{
    for (uint32_t i = 0; i < world->group_count; i++) {
        struct world_group *group = world->groups[i];
        group->err = group->is_seen ? GFS_OK : group->err == GFS_OK ? GFS_OK : GFS_STOPPED;
    }
    for (uint32_t i = 0; i < world->chunk_count; i++) {
        struct world_chunk *chunk = &world->chunk[i];
        uint32_t kept = 0;
        for (uint32_t k = 0; k < chunk->event_count; k++) {
            if (world->groups[chunk->events[k].group]->is_seen) {
                chunk->events[kept++] = chunk->events[k];
            }
        }
        chunk->event_count = kept;
    }
}

void world_audit(struct world *world)
{
    judge_trimmed_edits(world);
    (void)judge_edits(world, false);
    uint64_t live = 0;
    for (uint32_t i = 0; i < world->chunk_count; i++) {
        const struct world_chunk *chunk = &world->chunk[i];
        judge_chunk(world, chunk);
        live += is_live(world, chunk);
    }
    struct store_stats stats;
    store_stats(world->store, &stats);
    WORLD_CHECK(world, stats.chunks == live || (world->may_revive && stats.chunks > live),
                "%llu chunks in the index, %llu are live", (unsigned long long)stats.chunks,
                (unsigned long long)live);
    WORLD_CHECK(world, stats.damaged_places == 0, "%llu damaged places",
                (unsigned long long)stats.damaged_places);
    settle_outcomes(world);
}

bool world_audit_damaged(struct world *world)
{
    bool has_all = judge_edits(world, true);
    struct store_stats stats;
    store_stats(world->store, &stats);
    for (uint32_t i = 0; i < world->chunk_count; i++) {
        const struct world_chunk *chunk = &world->chunk[i];
        enum gfs_err err = world_read(world, chunk);
        WORLD_CHECK(world, err == GFS_OK || err == GFS_CORRUPT || err == GFS_NOT_FOUND, "%s",
                    gfs_err_text(err));
        const struct world_event *last =
            chunk->event_count == 0 ? NULL : &chunk->events[chunk->event_count - 1];
        bool is_known = last != NULL && !last->is_delete && last->group < world->answered_count &&
                        world->groups[last->group]->err == GFS_OK;
        WORLD_CHECK(world, err != GFS_NOT_FOUND || !is_known || stats.damaged_places != 0,
                    "chunk %llu is gone, and nothing is said to be damaged",
                    (unsigned long long)chunk->id.lo);
    }
    if (has_all) {
        settle_outcomes(world);
    }
    return has_all;
}

void world_empty(struct world *world)
{
    world_unpin_all(world);
    world_delete_all(world);
    store_settle(world->store);
    struct store_stats stats;
    store_stats(world->store, &stats);
    WORLD_CHECK(world, stats.chunks == 0, "%llu chunks are left", (unsigned long long)stats.chunks);
    WORLD_CHECK(world, stats.bulk_live_bytes == 0, "%llu bulk bytes are left",
                (unsigned long long)stats.bulk_live_bytes);
    struct gfs_io *io = gfs_io_sim_io(world->disk);
    enum gfs_err err = io->ops->sync_dir(io, "bulk"); /* removed files are kept until then */
    WORLD_CHECK(world, err == GFS_OK, "sync: %s", gfs_err_text(err));
    /* the head, the spares, and a segment that waits for the next checkpoint */
    uint64_t limit = 6ULL * WORLD_SEGMENT_SIZE + (1 << 20);
    WORLD_CHECK(world, gfs_io_sim_used(world->disk) <= limit, "%llu bytes are taken by nothing",
                (unsigned long long)gfs_io_sim_used(world->disk));
}
