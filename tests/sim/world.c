#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"

enum { SPINS_MAX = 200000, BULK_LEN_MAX = 700 << 10, SMALL_LEN_MAX = 40 << 10 };

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

uint64_t world_draw(struct world *world, uint64_t limit)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (world->random * 0x2545F4914F6CDD1DU >> 16) % limit;
}

struct world *world_new(uint64_t seed)
{
    struct world *world = gfs_alloc(sizeof *world);
    world->random = (seed + 1) * 0x9E3779B97F4A7C15U;
    world->disk = gfs_io_sim_new(seed, WORLD_CAPACITY);
    return world;
}

void world_free(struct world *world)
{
    world_close(world);
    for (uint32_t i = 0; i < world->group_count; i++) {
        for (size_t j = 0; j < GFS_COUNT(world->groups[i]->payloads); j++) {
            free(world->groups[i]->payloads[j]);
        }
        free(world->groups[i]);
    }
    gfs_io_sim_free(world->disk);
    free(world);
}

enum gfs_err world_open(struct world *world, struct gfs_error *error)
{
    struct store_options options = {
        .dir = "sim",
        .io = gfs_io_sim_io(world->disk),
        .segment_size = WORLD_SEGMENT_SIZE,
        .bulk_size = WORLD_BULK_SIZE,
        .checkpoint_bytes = 2 * WORLD_SEGMENT_SIZE,
        .reserve_bytes = WORLD_RESERVE,
        .is_manual = true,
    };
    enum gfs_err err = store_open(&options, &world->store, error);
    if (err == GFS_OK) {
        world->chunks = store_chunks(world->store);
    } else {
        world->store = NULL;
    }
    return err;
}

void world_open_whole(struct world *world)
{
    struct gfs_error error = {0};
    enum gfs_err err = world_open(world, &error);
    WORLD_CHECK(world, err == GFS_OK, "open: %s", error.text);
}

uint64_t world_knob(const char *variable, uint64_t fallback)
{
    const char *text = getenv(variable);
    return text == NULL ? fallback : strtoull(text, NULL, 10);
}

void world_close(struct world *world)
{
    store_close(GFS_TAKE(world->store));
}

static void fill(char *bytes, size_t len, uint64_t seed)
{
    uint64_t x = (seed + 1) * 0x9E3779B97F4A7C15U;
    for (size_t i = 0; i + sizeof x <= len; i += sizeof x) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bytes + i, &x, sizeof x);
    }
}

/* ---- load ---- */

static void group_done(struct chunk_group *base, enum gfs_err err)
{
    struct world_group *group = GFS_CONTAINER_OF(base, struct world_group, group);
    struct world *world = group->world;
    WORLD_CHECK(world, !group->is_answered, "group %u answered twice", group->index);
    WORLD_CHECK(world, group->index == world->answered_count, "group %u answered, %u is next",
                group->index, world->answered_count);
    group->is_answered = true;
    group->err = err;
    world->answered_count++;
    if (group->bulk != NULL) {
        world->chunks->ops->bulk_free(GFS_TAKE(group->bulk));
    }
}

static struct chunk_record *add_record(struct world_group *group, enum chunk_record_kind kind)
{
    struct chunk_record *record = group->records;
    while (record->kind != 0) {
        if (record->next == NULL) {
            record->next = record + 1;
            record[1] = (struct chunk_record){0};
        }
        record++;
    }
    record->kind = kind;
    return record;
}

static struct world_chunk *add_chunk(struct world_group *group, uint32_t len, bool is_bulk)
{
    struct world *world = group->world;
    struct world_chunk *chunk = &world->chunk[world->chunk_count++];
    *chunk = (struct world_chunk){.id = {.hi = 11, .lo = world->chunk_count},
                                  .len = len,
                                  .is_bulk = is_bulk,
                                  .born = group->index,
                                  .deleted = UINT32_MAX};
    return chunk;
}

static void add_data(struct world_group *group, size_t slot)
{
    struct world *world = group->world;
    uint32_t len = (uint32_t)world_draw(world, SMALL_LEN_MAX);
    struct world_chunk *chunk = add_chunk(group, len, false);
    group->payloads[slot] = gfs_alloc(len);
    fill(group->payloads[slot], len, chunk->id.lo);
    struct chunk_record *record = add_record(group, CHUNK_RECORD_DATA);
    record->id = chunk->id;
    record->owner = gfs_slice_str("bucket/key");
    record->payload = gfs_slice_of(group->payloads[slot], len);
}

static void bulk_finished(void *arg, enum gfs_err err)
{
    *(int *)arg = (int)err;
}

/* False: the store has failed meanwhile, or has no room. */
static bool write_bulk(struct world *world, const struct world_chunk *chunk, int *result,
                       struct chunk_bulk **ret)
{
    struct chunk_bulk_options options = {.id = chunk->id,
                                         .owner = gfs_slice_str("bucket/big"),
                                         .len_max = chunk->len + 9000,
                                         .arg = result};
    if (world->chunks->ops->bulk_begin(world->chunks, &options, ret) != GFS_OK) {
        return false;
    }
    GFS_FREE char *bytes = gfs_alloc(chunk->len);
    fill(bytes, chunk->len, chunk->id.lo);
    size_t at = 0;
    for (int spins = 0; at < chunk->len; spins++) {
        at += world->chunks->ops->bulk_append(*ret, bytes + at, chunk->len - at);
        (void)store_poll(world->store);
        WORLD_CHECK(world, spins < SPINS_MAX, "bulk append stands still at %zu", at);
    }
    world->chunks->ops->bulk_finish(*ret, bulk_finished);
    for (int spins = 0; *result < 0; spins++) {
        (void)store_poll(world->store);
        WORLD_CHECK(world, spins < SPINS_MAX, "bulk never finishes");
    }
    return *result == (int)GFS_OK;
}

static void add_bulk(struct world_group *group)
{
    struct world *world = group->world;
    struct world_chunk *chunk = add_chunk(group, (uint32_t)world_draw(world, BULK_LEN_MAX), true);
    int result = -1;
    struct chunk_bulk *bulk = NULL;
    bool is_abandoned = world_draw(world, 5) == 0;
    if (!write_bulk(world, chunk, &result, &bulk) || is_abandoned) {
        world->chunks->ops->bulk_free(bulk);
        world->chunk_count--; /* it never was anything */
        return;
    }
    group->bulk = bulk;
    add_record(group, CHUNK_RECORD_PLACE)->bulk = bulk;
}

static void add_delete(struct world_group *group)
{
    struct world *world = group->world;
    uint32_t count = 0;
    for (uint32_t tries = 0; tries < 12 && count < GFS_COUNT(group->ids); tries++) {
        if (world->chunk_count == 0) {
            break;
        }
        struct world_chunk *chunk = &world->chunk[world_draw(world, world->chunk_count)];
        bool is_free = chunk->deleted == UINT32_MAX && chunk->born != group->index;
        if (is_free && world->groups[chunk->born]->is_answered &&
            world->groups[chunk->born]->err == GFS_OK) {
            chunk->deleted = group->index;
            group->ids[count++] = chunk->id;
        }
    }
    if (count != 0) {
        add_record(group, CHUNK_RECORD_DELETE)->payload =
            gfs_slice_of(group->ids, count * sizeof group->ids[0]);
        group->group.may_use_reserve = true;
    }
}

static void fill_group(struct world_group *group)
{
    struct world *world = group->world;
    switch (world_draw(world, 8)) {
    case 0:
        add_bulk(group);
        break;
    case 1:
    case 2:
        add_delete(group);
        break;
    case 3:
        break; /* an edit alone */
    case 4:
        for (size_t i = 0; i < 3; i++) {
            add_data(group, i);
        }
        break;
    default:
        add_data(group, 0);
        break;
    }
    struct chunk_record *edit = add_record(group, CHUNK_RECORD_EDIT);
    edit->lsn = group->lsn;
    int len =
        snprintf(group->edit, sizeof group->edit, "edit %llu", (unsigned long long)group->lsn);
    edit->payload = gfs_slice_of(group->edit, (size_t)len);
}

/* As the metadata does: what is acknowledged is applied somewhere, and the log may forget it. */
static void trim_some(struct world *world)
{
    uint64_t lsn = 0;
    for (uint32_t i = 0; i < world->answered_count; i++) {
        lsn = world->groups[i]->err == GFS_OK ? world->groups[i]->lsn : lsn;
    }
    if (lsn > world->trimmed_lsn) {
        world->trimmed_lsn = lsn;
        world->chunks->ops->trim_edits(world->chunks, lsn);
    }
}

void world_load(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count && world->group_count < WORLD_GROUPS_MAX &&
                         world->chunk_count + 4 < WORLD_CHUNKS_MAX;
         i++) {
        struct world_group *group = gfs_alloc(sizeof *group);
        group->world = world;
        group->index = world->group_count;
        group->lsn = world->group_count + 1;
        group->group.done = group_done;
        world->groups[world->group_count++] = group;
        fill_group(group);
        group->group.records = group->records;
        world->chunks->ops->submit(world->chunks, &group->group);
        for (uint64_t polls = world_draw(world, 6); polls > 0; polls--) {
            (void)store_poll(world->store);
        }
        if (world_draw(world, 10) == 0) {
            trim_some(world);
        }
        if (gfs_io_sim_has_crashed(world->disk)) {
            break;
        }
    }
    world_settle(world);
}

void world_settle(struct world *world)
{
    for (int spins = 0; world->answered_count < world->group_count; spins++) {
        (void)store_poll(world->store);
        WORLD_CHECK(world, spins < SPINS_MAX, "group %u is never answered", world->answered_count);
    }
}

/* ---- judge ---- */

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
    world->replayed_count++;
    return GFS_OK;
}

static bool is_refused(const struct world_group *group)
{
    return group->err == GFS_NO_SPACE || group->err == GFS_TOO_BIG || group->err == GFS_STOPPED;
}

/* Durable groups are those replayed and those trimmed: all that were acknowledged, and of the
 * others (whose answer was a fault) only a run directly behind. */
static void judge_edits(struct world *world)
{
    struct gfs_error error = {0};
    world->replayed_count = 0;
    for (uint32_t i = 0; i < world->group_count; i++) {
        world->groups[i]->is_seen = false;
    }
    enum gfs_err err = world->chunks->ops->replay_edits(world->chunks, world->trimmed_lsn, see_edit,
                                                        world, &error);
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
}

enum gfs_err world_read(struct world *world, const struct world_chunk *chunk)
{
    struct chunk_pin pin;
    enum gfs_err err = world->chunks->ops->pin(world->chunks, chunk->id, &pin);
    if (err != GFS_OK) {
        return err;
    }
    WORLD_CHECK(world, pin.len == chunk->len, "chunk %llu has %u bytes, not %u",
                (unsigned long long)chunk->id.lo, pin.len, chunk->len);
    GFS_FREE char *expected = gfs_alloc(chunk->len + 1);
    GFS_FREE char *bytes = gfs_alloc(chunk->len + 1);
    fill(expected, chunk->len, chunk->id.lo);
    err = world->chunks->ops->read(world->chunks, &pin, 0, chunk->len, bytes, 0);
    WORLD_CHECK(world, err != GFS_OK || memcmp(expected, bytes, chunk->len) == 0,
                "chunk %llu has other bytes", (unsigned long long)chunk->id.lo);
    world->chunks->ops->unpin(world->chunks, &pin);
    return err;
}

static void judge_chunk(struct world *world, const struct world_chunk *chunk)
{
    bool is_born = world->groups[chunk->born]->is_seen;
    bool is_deleted = chunk->deleted != UINT32_MAX && world->groups[chunk->deleted]->is_seen;
    enum gfs_err err = world_read(world, chunk);
    enum gfs_err expected = is_born && !is_deleted ? GFS_OK : GFS_NOT_FOUND;
    WORLD_CHECK(world, err == expected, "chunk %llu of group %u: %s, not %s",
                (unsigned long long)chunk->id.lo, chunk->born, gfs_err_text(err),
                gfs_err_text(expected));
}

void world_audit(struct world *world)
{
    judge_edits(world);
    uint64_t live = 0;
    for (uint32_t i = 0; i < world->chunk_count; i++) {
        const struct world_chunk *chunk = &world->chunk[i];
        judge_chunk(world, chunk);
        live += world->groups[chunk->born]->is_seen &&
                !(chunk->deleted != UINT32_MAX && world->groups[chunk->deleted]->is_seen);
    }
    struct store_stats stats;
    store_stats(world->store, &stats);
    WORLD_CHECK(world, stats.chunks == live, "%llu chunks in the index, %llu are live",
                (unsigned long long)stats.chunks, (unsigned long long)live);
    WORLD_CHECK(world, stats.damaged_places == 0, "%llu damaged places",
                (unsigned long long)stats.damaged_places);
    /* what the audit found is how it is from now on */
    for (uint32_t i = 0; i < world->group_count; i++) {
        struct world_group *group = world->groups[i];
        group->err = group->is_seen ? GFS_OK : group->err == GFS_OK ? GFS_OK : GFS_STOPPED;
    }
    for (uint32_t i = 0; i < world->chunk_count; i++) {
        struct world_chunk *chunk = &world->chunk[i];
        if (chunk->deleted != UINT32_MAX && !world->groups[chunk->deleted]->is_seen) {
            chunk->deleted = UINT32_MAX;
        }
    }
}

static void delete_rest(struct world *world)
{
    GFS_FREE struct chunk_id *ids = gfs_alloc_array(WORLD_CHUNKS_MAX, sizeof *ids);
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->chunk_count; i++) {
        struct chunk_pin pin;
        if (world->chunks->ops->pin(world->chunks, world->chunk[i].id, &pin) == GFS_OK) {
            world->chunks->ops->unpin(world->chunks, &pin);
            ids[count++] = world->chunk[i].id;
        }
    }
    struct world_group *group = gfs_alloc(sizeof *group);
    group->world = world;
    group->index = world->group_count;
    group->lsn = world->group_count + 1;
    group->group.done = group_done;
    group->group.may_use_reserve = true;
    world->groups[world->group_count++] = group;
    if (count != 0) {
        add_record(group, CHUNK_RECORD_DELETE)->payload = gfs_slice_of(ids, count * sizeof *ids);
    }
    struct chunk_record *edit = add_record(group, CHUNK_RECORD_EDIT);
    edit->lsn = group->lsn;
    edit->payload = gfs_slice_str("last");
    group->group.records = group->records;
    world->chunks->ops->submit(world->chunks, &group->group);
    world_settle(world);
    WORLD_CHECK(world, group->err == GFS_OK, "deleting: %s", gfs_err_text(group->err));
    world->trimmed_lsn = group->lsn;
    world->chunks->ops->trim_edits(world->chunks, group->lsn);
}

void world_empty(struct world *world)
{
    delete_rest(world);
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
