#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"

enum {
    SPINS_MAX = 200000,
    BULK_LEN_MAX = 700 << 10,
    SMALL_LEN_MAX = 40 << 10,
    PIECE_LEN_MAX = 300 << 10
};

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
    world->checkpoint_bytes = WORLD_SEGMENT_SIZE * 2ULL << seed % 3 * 3;
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
        .checkpoint_bytes = world->checkpoint_bytes,
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

static void unpin(struct world *world, struct world_pin *held)
{
    if (held->chunk != NULL) {
        world->chunks->ops->unpin(world->chunks, &held->pin);
        held->chunk = NULL;
    }
}

void world_unpin_all(struct world *world)
{
    for (size_t i = 0; i < GFS_COUNT(world->pins); i++) {
        unpin(world, &world->pins[i]);
    }
}

static void add_stats(struct world *world)
{
    struct store_stats stats;
    store_stats(world->store, &stats);
    world->seen.groups += stats.groups;
    world->seen.compactions += stats.compactions;
    world->seen.compacted_bytes += stats.compacted_bytes;
    world->seen.segments_recycled += stats.segments_recycled;
    world->seen.checkpoints += stats.checkpoints;
    world->seen.bytes_punched += stats.bytes_punched;
}

void world_close(struct world *world)
{
    if (world->store == NULL) {
        return;
    }
    world_unpin_all(world);
    add_stats(world);
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
    if (err == GFS_OK) {
        struct store_stats stats;
        store_stats(world->store, &stats);
        world->shared_count += stats.batches == world->batch_of_last;
        world->batch_of_last = stats.batches;
    }
    for (size_t i = 0; i < GFS_COUNT(group->bulks); i++) {
        world->chunks->ops->bulk_free(GFS_TAKE(group->bulks[i]));
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

static struct world_chunk *add_chunk(struct world *world, uint32_t len)
{
    struct world_chunk *chunk = &world->chunk[world->chunk_count++];
    *chunk = (struct world_chunk){.id = {.hi = 11, .lo = world->chunk_count}, .len = len};
    return chunk;
}

static void add_event(struct world_group *group, struct world_chunk *chunk, bool is_delete)
{
    GFS_ASSERT(chunk->event_count < WORLD_EVENTS_MAX);
    if (!is_delete && chunk->event_count != 0) {
        bool was_deleted = chunk->events[chunk->event_count - 1].is_delete;
        group->world->revive_count += was_deleted;
        group->world->rewrite_count += !was_deleted;
    }
    chunk->events[chunk->event_count++] =
        (struct world_event){.group = group->index, .is_delete = is_delete};
}

/* One that was in a group before, live or not. NULL: none was found. */
static struct world_chunk *draw_known(struct world *world, uint32_t len_max)
{
    for (uint32_t tries = 0; tries < 8 && world->chunk_count != 0; tries++) {
        /* mostly one of the latest: its records lie close together */
        uint64_t range =
            world_draw(world, 2) == 0 ? world->chunk_count : GFS_MIN(world->chunk_count, 12U);
        struct world_chunk *chunk =
            &world->chunk[world->chunk_count - 1 - world_draw(world, range)];
        if (chunk->event_count != 0 && chunk->event_count + 3 < WORLD_EVENTS_MAX &&
            chunk->len <= len_max) {
            return chunk;
        }
    }
    return NULL;
}

static void put_data(struct world_group *group, struct world_chunk *chunk)
{
    uint32_t slot = group->payload_count++;
    GFS_ASSERT(slot < GFS_COUNT(group->payloads));
    group->payloads[slot] = gfs_alloc(chunk->len);
    fill(group->payloads[slot], chunk->len, chunk->id.lo);
    struct chunk_record *record = add_record(group, CHUNK_RECORD_DATA);
    record->id = chunk->id;
    record->owner = gfs_slice_str("bucket/key");
    record->payload = gfs_slice_of(group->payloads[slot], chunk->len);
    add_event(group, chunk, false);
}

static void add_data(struct world_group *group)
{
    put_data(group, add_chunk(group->world, (uint32_t)world_draw(group->world, SMALL_LEN_MAX)));
}

static void put_delete(struct world_group *group, struct world_chunk *chunk)
{
    group->ids[0] = chunk->id;
    add_record(group, CHUNK_RECORD_DELETE)->payload =
        gfs_slice_of(group->ids, sizeof group->ids[0]);
    group->group.may_use_reserve = true;
    add_event(group, chunk, true);
}

/* The same bytes under the same id: written anew, deleted and added in one group, and so on. */
static void add_again(struct world_group *group)
{
    struct world_chunk *chunk = draw_known(group->world, SMALL_LEN_MAX);
    if (chunk == NULL) {
        return;
    }
    switch (world_draw(group->world, 6)) {
    case 0:
        put_delete(group, chunk);
        put_data(group, chunk);
        break;
    case 1:
        put_data(group, chunk);
        put_delete(group, chunk);
        break;
    case 2:
        put_data(group, chunk);
        put_data(group, chunk);
        break;
    default:
        put_data(group, chunk);
        break;
    }
}

static void bulk_finished(void *arg, enum gfs_err err)
{
    *(int *)arg = (int)err;
}

/* A large chunk on its way. */
struct writing {
    struct world_chunk *chunk;
    struct chunk_bulk *bulk;
    char *bytes;
    size_t at;
    bool is_finished;
    int result; /* -1 = none yet */
};

static bool begin_bulk(struct world *world, struct writing *ret)
{
    *ret = (struct writing){.result = -1};
    ret->chunk = world_draw(world, 3) == 0 ? draw_known(world, BULK_LEN_MAX) : NULL;
    if (ret->chunk == NULL) {
        ret->chunk = add_chunk(world, (uint32_t)world_draw(world, BULK_LEN_MAX));
    }
    struct chunk_bulk_options options = {.id = ret->chunk->id,
                                         .owner = gfs_slice_str("bucket/big"),
                                         .len_max = ret->chunk->len + 9000,
                                         .arg = &ret->result};
    if (world->chunks->ops->bulk_begin(world->chunks, &options, &ret->bulk) != GFS_OK) {
        return false;
    }
    ret->bytes = gfs_alloc(ret->chunk->len);
    fill(ret->bytes, ret->chunk->len, ret->chunk->id.lo);
    return true;
}

/* One more piece, or the end. */
static void continue_bulk(struct world *world, struct writing *writing)
{
    size_t left = writing->chunk->len - writing->at;
    if (left != 0) {
        size_t piece = 1 + (size_t)world_draw(world, PIECE_LEN_MAX);
        size_t len = GFS_MIN(left, piece);
        writing->at +=
            world->chunks->ops->bulk_append(writing->bulk, writing->bytes + writing->at, len);
    } else if (!writing->is_finished) {
        writing->is_finished = true;
        world->chunks->ops->bulk_finish(writing->bulk, bulk_finished);
    }
}

static void put_bulk(struct world_group *group, struct world_chunk *chunk)
{
    struct world *world = group->world;
    struct writing writing = {.chunk = chunk, .result = -1};
    struct chunk_bulk_options options = {
        .id = chunk->id, .len_max = chunk->len, .arg = &writing.result};
    enum gfs_err err = world->chunks->ops->bulk_begin(world->chunks, &options, &writing.bulk);
    WORLD_CHECK(world, err == GFS_OK, "bulk: %s", gfs_err_text(err));
    writing.bytes = gfs_alloc(chunk->len);
    fill(writing.bytes, chunk->len, chunk->id.lo);
    while (writing.result < 0) {
        continue_bulk(world, &writing);
        (void)store_poll(world->store);
    }
    free(writing.bytes);
    group->bulks[0] = writing.bulk;
    add_record(group, CHUNK_RECORD_PLACE)->bulk = writing.bulk;
    add_event(group, chunk, false);
}

static void end_bulk(struct world_group *group, size_t slot, struct writing *writing)
{
    struct world *world = group->world;
    free(writing->bytes);
    bool is_abandoned = world_draw(world, 5) == 0;
    if (is_abandoned || writing->result != (int)GFS_OK) {
        world->chunks->ops->bulk_free(writing->bulk);
        return;
    }
    group->bulks[slot] = writing->bulk;
    add_record(group, CHUNK_RECORD_PLACE)->bulk = writing->bulk;
    add_event(group, writing->chunk, false);
    if (group->ids[0].hi == 0 && world_draw(world, 8) == 0) { /* and ended at once */
        put_delete(group, writing->chunk);
    }
}

/* One or two large chunks, written side by side, while earlier groups are under way. */
static void add_bulks(struct world_group *group)
{
    struct world *world = group->world;
    struct writing writings[GFS_COUNT(group->bulks)];
    size_t wanted = 1 + (size_t)world_draw(world, GFS_COUNT(writings));
    size_t count = 0;
    while (count < wanted && begin_bulk(world, &writings[count])) {
        count++;
    }
    bool is_busy = count != 0;
    for (int spins = 0; is_busy; spins++) {
        is_busy = false;
        for (size_t i = 0; i < count; i++) {
            continue_bulk(world, &writings[i]);
            is_busy = is_busy || writings[i].result < 0;
        }
        (void)store_poll(world->store);
        WORLD_CHECK(world, spins < SPINS_MAX, "%s", "large chunks never finish");
    }
    for (size_t i = 0; i < count; i++) {
        end_bulk(group, i, &writings[i]);
    }
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
        if (chunk->event_count == 0 || chunk->event_count + 1 >= WORLD_EVENTS_MAX) {
            continue;
        }
        const struct world_event *last = &chunk->events[chunk->event_count - 1];
        bool may_be_gone = last->is_delete && world_draw(world, 8) != 0;
        if (!may_be_gone && last->group != group->index) {
            add_event(group, chunk, true);
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
    switch (world_draw(world, 11)) {
    case 0:
        add_bulks(group);
        break;
    case 1:
    case 2:
        add_delete(group);
        break;
    case 3:
        break; /* an edit alone */
    case 4:
        for (size_t i = 0; i < 3; i++) {
            add_data(group);
        }
        break;
    case 5:
    case 6:
    case 7:
        add_again(group);
        break;
    default:
        add_data(group);
        break;
    }
}

enum gfs_err world_read_pinned(struct world *world, const struct world_chunk *chunk,
                               struct chunk_pin *pin)
{
    WORLD_CHECK(world, pin->len == chunk->len, "chunk %llu has %u bytes, not %u",
                (unsigned long long)chunk->id.lo, pin->len, chunk->len);
    GFS_FREE char *expected = gfs_alloc(chunk->len + 1);
    GFS_FREE char *bytes = gfs_alloc(chunk->len + 1);
    fill(expected, chunk->len, chunk->id.lo);
    enum gfs_err err = world->chunks->ops->read(world->chunks, pin, 0, chunk->len, bytes, 0);
    WORLD_CHECK(world, err != GFS_OK || memcmp(expected, bytes, chunk->len) == 0,
                "chunk %llu has other bytes", (unsigned long long)chunk->id.lo);
    return err;
}

/* What is pinned can be read, whatever became of the chunk meanwhile. */
static void juggle_pins(struct world *world)
{
    struct world_pin *held = &world->pins[world_draw(world, GFS_COUNT(world->pins))];
    if (held->chunk != NULL) {
        enum gfs_err err = world_read_pinned(world, held->chunk, &held->pin);
        WORLD_CHECK(
            world, err == GFS_OK || world->has_read_faults || gfs_io_sim_has_crashed(world->disk),
            "pinned chunk %llu: %s", (unsigned long long)held->chunk->id.lo, gfs_err_text(err));
        unpin(world, held);
    } else if (world->chunk_count != 0) {
        const struct world_chunk *chunk = &world->chunk[world_draw(world, world->chunk_count)];
        if (world->chunks->ops->pin(world->chunks, chunk->id, &held->pin) == GFS_OK) {
            held->chunk = chunk;
        }
    }
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

bool world_has_room(const struct world *world, uint32_t count)
{
    return world->group_count + count < WORLD_GROUPS_MAX && /* one more empties the store */
           world->chunk_count + count * GFS_COUNT(world->groups[0]->ids) <= WORLD_CHUNKS_MAX;
}

static struct world_group *new_group(struct world *world)
{
    struct world_group *group = gfs_alloc(sizeof *group);
    group->world = world;
    group->index = world->group_count;
    group->lsn = world->group_count + 1;
    group->group.done = group_done;
    world->groups[world->group_count++] = group;
    return group;
}

static void submit_group(struct world_group *group)
{
    struct world *world = group->world;
    struct chunk_record *edit = add_record(group, CHUNK_RECORD_EDIT);
    edit->lsn = group->lsn;
    int len =
        snprintf(group->edit, sizeof group->edit, "edit %llu", (unsigned long long)group->lsn);
    edit->payload = gfs_slice_of(group->edit, (size_t)len);
    group->group.records = group->records;
    world->chunks->ops->submit(world->chunks, &group->group);
}

void world_load(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count && world_has_room(world, 1); i++) {
        struct world_group *group = new_group(world);
        fill_group(group);
        submit_group(group);
        bool is_burst = world_draw(world, 3) == 0;
        for (uint64_t polls = is_burst ? 0 : world_draw(world, 6); polls > 0; polls--) {
            (void)store_poll(world->store);
        }
        if (world_draw(world, 10) == 0) {
            trim_some(world);
        }
        if (world_draw(world, 3) == 0) {
            juggle_pins(world);
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

void world_delete_all(struct world *world)
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
    struct world_group *group = new_group(world);
    group->group.may_use_reserve = true;
    if (count != 0) {
        add_record(group, CHUNK_RECORD_DELETE)->payload = gfs_slice_of(ids, count * sizeof *ids);
    }
    submit_group(group);
    world_settle(world);
    WORLD_CHECK(world, group->err == GFS_OK, "deleting: %s", gfs_err_text(group->err));
    world->trimmed_lsn = group->lsn;
    world->chunks->ops->trim_edits(world->chunks, group->lsn);
}

void world_trim_all(struct world *world)
{
    world_settle(world);
    world->trimmed_lsn = world->group_count;
    world->chunks->ops->trim_edits(world->chunks, world->trimmed_lsn);
}

uint32_t world_repair(struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->chunk_count; i++) {
        struct world_chunk *chunk = &world->chunk[i];
        bool is_wanted =
            chunk->event_count != 0 && !chunk->events[chunk->event_count - 1].is_delete;
        enum gfs_err err = world_read(world, chunk);
        if (err == (is_wanted ? GFS_OK : GFS_NOT_FOUND)) {
            continue;
        }
        WORLD_CHECK(world, chunk->event_count < WORLD_EVENTS_MAX, "%s", "too much happened to it");
        struct world_group *group = new_group(world);
        if (!is_wanted) {
            put_delete(group, chunk);
        } else if (chunk->len <= SMALL_LEN_MAX) {
            put_data(group, chunk);
        } else {
            put_bulk(group, chunk);
        }
        submit_group(group);
        world_settle(world);
        WORLD_CHECK(world, group->err == GFS_OK, "repair: %s", gfs_err_text(group->err));
        count++;
    }
    return count;
}
