#include <semaphore.h>

#include "libgoodfs/json.h"
#include <sys/stat.h>

#include "libgoodfs/mem.h"
#include "pool/pool_plan.h"
#include "pool/pool_watch.h"
#include "tests/unit/pool/open_rig.h"

/* Nothing looks at the disks by itself. */
static void init(struct open_rig *rig, unsigned disks)
{
    open_rig_init(rig, disks);
    open_rig_open(rig);
    pool_watch_set_interval(rig->pool, 3600 * 1000);
}

/* A copy of the map in force; the caller frees it. */
static struct pool_map *copy_map(struct open_rig *rig)
{
    struct pool_view *view = open_rig_view(rig);
    struct pool_map *map = pool_map_copy(view->map);
    pool_view_put(view);
    return map;
}

typedef void (*json_fn)(struct pool *pool, struct gfs_json_out *out, const char *name);

/* The document {"it": ...}; freed by the caller. */
static struct gfs_json *parse(struct gfs_buf *text)
{
    struct gfs_json *document = NULL;
    struct gfs_error error = {0};
    cr_assert_eq(gfs_json_parse(gfs_buf_slice(text), &document, &error), GFS_OK, "%s: %s",
                 error.text, text->ptr);
    gfs_buf_fini(text);
    return document;
}

static struct gfs_json *ask(struct pool *pool, json_fn what)
{
    struct gfs_buf text;
    struct gfs_json_out out;
    gfs_buf_init(&text, 1 << 22);
    gfs_json_out_init(&out, &text);
    gfs_json_out_object(&out, NULL);
    what(pool, &out, "it");
    gfs_json_out_end_object(&out);
    return parse(&text);
}

static struct gfs_json *ask_chunk(struct pool *pool, struct chunk_id id, bool verify)
{
    struct gfs_buf text;
    struct gfs_json_out out;
    gfs_buf_init(&text, 1 << 20);
    gfs_json_out_init(&out, &text);
    gfs_json_out_object(&out, NULL);
    pool_chunk_json(pool, id, verify, &out, "it");
    gfs_json_out_end_object(&out);
    return parse(&text);
}

static int64_t number(const struct gfs_json *object, const char *name)
{
    int64_t value = -1;
    cr_assert(gfs_json_integer(gfs_json_get(object, name), &value), "%s", name);
    return value;
}

static bool is_text(const struct gfs_json *object, const char *name, const char *text)
{
    return gfs_slice_eq_str(gfs_json_string(gfs_json_get(object, name)), text);
}

static bool is_true(const struct gfs_json *object, const char *name)
{
    const struct gfs_json *value = gfs_json_get(object, name);
    cr_assert_not_null(value, "%s", name);
    cr_assert(gfs_json_type(value) == GFS_JSON_TRUE || gfs_json_type(value) == GFS_JSON_FALSE);
    return gfs_json_type(value) == GFS_JSON_TRUE;
}

Test(pool_json, the_status_counts_disks_space_and_mirrors)
{
    struct open_rig rig;
    init(&rig, 3);
    struct gfs_json *document = ask(rig.pool, pool_status_json);
    const struct gfs_json *status = gfs_json_get(document, "it");
    struct pool_map *map = copy_map(&rig);
    cr_assert_eq(number(status, "version"), (int64_t)map->version);
    cr_assert(is_text(status, "cluster", map->cluster));
    cr_assert_gt(number(status, "space_total"), 0);
    cr_assert_leq(number(status, "space_free"), number(status, "space_total"));
    cr_assert_eq(number(status, "groups"), map->group_count);
    cr_assert_eq(number(gfs_json_get(status, "disks"), "active"), 3);
    cr_assert_eq(number(gfs_json_get(status, "disks"), "away"), 0);
    const struct gfs_json *mirrors = gfs_json_get(status, "mirrors");
    cr_assert_eq(gfs_json_count(mirrors), map->log_disk_count);
    cr_assert(is_true(gfs_json_at(mirrors, 0), "is_live"));
    cr_assert(is_text(gfs_json_at(mirrors, 0), "path", rig.paths[map->log_disks[0].disk]));
    const struct gfs_json *class = gfs_json_at(gfs_json_get(status, "classes"), 0);
    cr_assert(is_text(class, "name", "STANDARD") && is_text(class, "profile", "replica:3"));
    pool_map_free(map);
    gfs_json_free(document);
    open_rig_fini(&rig);
}

static enum gfs_err change_flags(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)arg;
    (void)error;
    map->disks[3].state = POOL_DISK_DRAINING;
    map->disks[2].is_behind = true;
    map->disks[1].is_read_only = true;
    return GFS_OK;
}

Test(pool_json, each_disk_says_what_it_is_and_holds)
{
    struct open_rig rig;
    init(&rig, 5);
    cr_assert_eq(pool_change_map(rig.pool, change_flags, NULL, NULL), GFS_OK);
    struct gfs_json *document = ask(rig.pool, pool_disks_json);
    const struct gfs_json *disks = gfs_json_get(document, "it");
    cr_assert_eq(gfs_json_count(disks), 5);
    int64_t slots = 0;
    for (unsigned i = 0; i < 5; i++) {
        const struct gfs_json *disk = gfs_json_at(disks, i);
        cr_assert_eq(number(disk, "number"), i);
        cr_assert(is_text(disk, "path", rig.paths[i]));
        cr_assert(is_text(disk, "state", i == 3 ? "draining" : "active"));
        cr_assert_eq(is_true(disk, "is_behind"), i == 2);
        cr_assert_eq(is_true(disk, "is_read_only"), i == 1);
        cr_assert(!is_true(disk, "is_away") && !is_true(disk, "is_full"));
        cr_assert_gt(number(disk, "capacity"), 0);
        slots += number(disk, "slots");
    }
    struct pool_map *map = copy_map(&rig);
    for (uint32_t g = 0; g < map->group_count; g++) {
        slots -= pool_profile_width(map->groups[g].profile);
    }
    cr_assert_eq(slots, 0);
    pool_map_free(map);
    gfs_json_free(document);
    open_rig_fini(&rig);
}

/* Group 1 is rebuilt, 2 is moved, 3 is as it should be. */
static enum gfs_err change_slots(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)error;
    uint16_t *spare = arg;
    *spare = 0;
    while (*spare == map->groups[2].slots[0].disk || *spare == map->groups[2].slots[1].disk ||
           *spare == map->groups[2].slots[2].disk || *spare == map->groups[2].slots[3].disk) {
        ++*spare;
    }
    map->groups[1].slots[0].is_filling = true;
    map->groups[2].slots[1].from = *spare;
    map->groups[2].slots[1].is_filling = true;
    return GFS_OK;
}

Test(pool_json, a_group_is_healthy_degraded_or_moving)
{
    struct open_rig rig;
    init(&rig, 5); /* ec:2+2 */
    uint16_t spare;
    cr_assert_eq(pool_change_map(rig.pool, change_slots, &spare, NULL), GFS_OK);
    struct gfs_json *document = ask(rig.pool, pool_groups_json);
    const struct gfs_json *groups = gfs_json_get(document, "it");
    cr_assert(is_text(gfs_json_at(groups, 1), "state", "degraded"));
    cr_assert(is_text(gfs_json_at(groups, 2), "state", "moving"));
    cr_assert(is_text(gfs_json_at(groups, 3), "state", "healthy"));
    cr_assert(is_text(gfs_json_at(groups, 3), "profile", "ec:2+2"));
    cr_assert_eq(number(gfs_json_at(groups, 3), "group"), 3);
    const struct gfs_json *slots = gfs_json_get(gfs_json_at(groups, 2), "slots");
    cr_assert_eq(gfs_json_count(slots), 4);
    cr_assert_eq(number(gfs_json_at(slots, 1), "from"), spare);
    cr_assert(is_true(gfs_json_at(slots, 1), "is_filling"));
    cr_assert_eq(gfs_json_type(gfs_json_get(gfs_json_at(slots, 0), "from")), GFS_JSON_NULL);
    gfs_json_free(document);
    open_rig_fini(&rig);
}

/* Disk 1 is drained to others, of which disk 3 gets nothing. */
static enum gfs_err change_to_held_up(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)arg;
    enum gfs_err err = pool_plan_drain(map, 1, error);
    map->disks[3].is_read_only = true;
    return err;
}

static enum gfs_err change_to_behind(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)arg;
    (void)error;
    map->disks[0].is_behind = map->disks[2].is_behind = true;
    map->disks[2].is_read_only = true;
    return GFS_OK;
}

static enum gfs_err change_to_read_only(void *arg, struct pool_map *map, struct gfs_error *error)
{
    (void)arg;
    (void)error;
    map->disks[2].is_read_only = true;
    return GFS_OK;
}

Test(pool_json, health_says_which_read_only_disk_holds_up_repair)
{
    static const struct {
        pool_change_fn change;
        const char *reason; /* its beginning */
    } cases[] = {
        {change_to_held_up, "disk 3 ("}, {change_to_behind, "disk 2 ("}, {change_to_read_only, ""}};
    for (unsigned i = 0; i < GFS_COUNT(cases); i++) {
        struct open_rig rig;
        init(&rig, 8); /* without two of them ec:4+2 still takes writes */
        cr_assert_eq(pool_change_map(rig.pool, cases[i].change, NULL, NULL), GFS_OK);
        char reason[256] = "";
        bool is_wrong = cases[i].reason[0] != '\0';
        cr_assert_eq(pool_health(rig.pool, reason, sizeof reason),
                     is_wrong ? POOL_DEGRADED : POOL_HEALTHY, "%s", reason);
        cr_assert_eq(strncmp(reason, cases[i].reason, strlen(cases[i].reason)), 0, "%s", reason);
        cr_assert_eq(strstr(reason, "is read-only") != NULL, is_wrong, "%s", reason);
        open_rig_fini(&rig);
    }
}

struct waiter {
    struct chunk_group group;
    sem_t done;
    enum gfs_err err;
};

static void on_done(struct chunk_group *group, enum gfs_err err)
{
    struct waiter *waiter = GFS_CONTAINER_OF(group, struct waiter, group);
    waiter->err = err;
    (void)sem_post(&waiter->done);
}

static struct chunk_id put_chunk(struct pool *pool, uint32_t len)
{
    struct chunk_store *chunks = pool_chunks(pool);
    GFS_FREE char *bytes = gfs_alloc(len);
    struct chunk_record record = {.kind = CHUNK_RECORD_DATA,
                                  .owner = GFS_SLICE_LITERAL("o"),
                                  .payload = gfs_slice_of(bytes, len)};
    struct waiter waiter = {.group = {.records = &record, .done = on_done}};
    cr_assert_eq(chunks->ops->new_id(chunks, (struct gfs_slice){0}, len, &record.id), GFS_OK);
    (void)sem_init(&waiter.done, 0, 0);
    chunks->ops->submit(chunks, &waiter.group);
    while (sem_wait(&waiter.done) != 0) {
    }
    (void)sem_destroy(&waiter.done);
    cr_assert_eq(waiter.err, GFS_OK);
    return record.id;
}

static void expect_state(const struct gfs_json *fragments, uint16_t disk, const char *state)
{
    bool is_found = false;
    for (size_t i = 0; i < gfs_json_count(fragments); i++) {
        const struct gfs_json *fragment = gfs_json_at(fragments, i);
        if (number(fragment, "disk") == disk) {
            is_found = true;
            cr_assert(is_text(fragment, "state", state), "disk %u is not %s", disk, state);
            cr_assert_eq(number(fragment, "length") > 0, strcmp(state, "missing") != 0);
        }
    }
    cr_assert(is_found);
}

Test(pool_json, what_is_found_bad_or_missing_is_told_to_repair)
{
    struct open_rig rig;
    init(&rig, 3);
    struct chunk_id id = put_chunk(rig.pool, 5000);
    gfs_json_free(ask_chunk(rig.pool, id, true));
    cr_assert_eq(pool_suspect_count(rig.pool), 0);
    cr_assert(disk_double_drop(disk_doubles_at(rig.doubles, rig.paths[0]), id));
    cr_assert(disk_double_flip(disk_doubles_at(rig.doubles, rig.paths[1]), id, 100));
    gfs_json_free(ask_chunk(rig.pool, id, false));
    cr_assert_eq(pool_suspect_count(rig.pool), 1, "nothing was read");
    gfs_json_free(ask_chunk(rig.pool, id, true));
    cr_assert_eq(pool_suspect_count(rig.pool), 2);
    cr_assert_eq(pool_suspect_bad(rig.pool), 1);
    cr_assert(disk_double_lose(disk_doubles_at(rig.doubles, rig.paths[2]), id));
    gfs_json_free(ask_chunk(rig.pool, id, false));
    cr_assert_eq(pool_suspect_bad(rig.pool), 2, "that is seen without reading");
    struct pool_view *view = open_rig_view(&rig);
    struct pool_suspect suspect = {.id = id, .disk = 1};
    while (view->map->groups[chunk_id_group(id)].slots[suspect.slot].disk != 1) {
        suspect.slot++;
    }
    pool_view_put(view);
    cr_assert(pool_suspect_is_bad(rig.pool, &suspect));
    open_rig_fini(&rig);
}

Test(pool_json, a_chunk_says_how_each_fragment_is)
{
    struct open_rig rig;
    init(&rig, 3);
    struct chunk_id id = put_chunk(rig.pool, 5000);
    struct gfs_json *document = ask_chunk(rig.pool, id, true);
    for (uint16_t i = 0; i < 3; i++) {
        expect_state(gfs_json_get(document, "it"), i, "ok");
    }
    gfs_json_free(document);
    cr_assert(disk_double_drop(disk_doubles_at(rig.doubles, rig.paths[0]), id));
    cr_assert(disk_double_flip(disk_doubles_at(rig.doubles, rig.paths[1]), id, 100));
    document = ask_chunk(rig.pool, id, true);
    expect_state(gfs_json_get(document, "it"), 0, "missing");
    expect_state(gfs_json_get(document, "it"), 1, "damaged");
    expect_state(gfs_json_get(document, "it"), 2, "ok");
    gfs_json_free(document);
    document = ask_chunk(rig.pool, (struct chunk_id){.hi = 1, .lo = UINT64_MAX}, true);
    cr_assert_eq(gfs_json_count(gfs_json_get(document, "it")), 0, "of no group");
    gfs_json_free(document);
    open_rig_fini(&rig);
}
