#include "tests/sim/io_sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

enum { SECTOR = 512, PAGE = 4096, PATH_SIZE = 64 };

struct sim_node {
    char *now, *disk;   /* bytes as seen, and as on the platter; equally long */
    size_t room;        /* bytes of each, whole pages */
    uint8_t *is_marked; /* a sector each: not flushed */
    uint8_t *is_used;   /* a page each: takes space */
    uint64_t size, disk_size;
    unsigned references; /* names in both directories, and open files */
};

struct sim_name {
    char path[PATH_SIZE];
    struct sim_node *node;
};

/* A list of names: what processes see, or what survives. */
struct sim_names {
    struct sim_name *items;
    size_t count, size;
};

/* A change of a directory that is not durable yet. */
struct sim_change {
    char from[PATH_SIZE]; /* "" = a new file */
    char to[PATH_SIZE];   /* "" = removed */
    struct sim_node *node;
};

struct gfs_io_sim {
    struct gfs_io base;
    uint64_t random;
    uint64_t capacity, used;
    struct sim_names now, disk;
    struct sim_change *changes;
    size_t change_count, change_size;
    uint64_t count, crash_at, fail_at; /* of changes; 0 = never */
    enum gfs_err fail_err;
    bool has_crashed, is_locked;
    struct gfs_io_op *queue[1024];
    size_t queue_len;
};

struct sim_file {
    struct gfs_file base;
    struct sim_node *node;
};

static struct gfs_io_sim *sim_of(struct gfs_io *io)
{
    return GFS_CONTAINER_OF(io, struct gfs_io_sim, base);
}

static struct sim_node *node_of(struct gfs_file *file)
{
    return GFS_CONTAINER_OF(file, struct sim_file, base)->node;
}

static uint64_t draw(struct gfs_io_sim *sim)
{
    uint64_t x = sim->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    sim->random = x;
    return x * 0x2545F4914F6CDD1DU;
}

static uint64_t draw_below(struct gfs_io_sim *sim, uint64_t limit)
{
    return (draw(sim) >> 16) % limit;
}

/* --- nodes --- */

static void use_page(struct gfs_io_sim *sim, struct sim_node *node, size_t page, bool is_used)
{
    if (node->is_used[page] != is_used) {
        node->is_used[page] = is_used;
        sim->used += is_used ? PAGE : 0;
        sim->used -= is_used ? 0 : PAGE;
    }
}

static void release(struct gfs_io_sim *sim, struct sim_node *node)
{
    GFS_ASSERT(node->references > 0);
    if (--node->references == 0) {
        for (size_t page = 0; page < node->room / PAGE; page++) {
            use_page(sim, node, page, false);
        }
        free(node->now);
        free(node->disk);
        free(node->is_marked);
        free(node->is_used);
        free(node);
    }
}

static void make_room(struct sim_node *node, uint64_t end)
{
    size_t room = ((size_t)end + PAGE - 1) / PAGE * PAGE;
    if (room <= node->room) {
        return;
    }
    room = GFS_MAX(room, node->room * 2);
    node->now = gfs_realloc(node->now, room);
    node->disk = gfs_realloc(node->disk, room);
    node->is_marked = gfs_realloc(node->is_marked, room / SECTOR);
    node->is_used = gfs_realloc(node->is_used, room / PAGE);
    memset(node->now + node->room, 0, room - node->room);
    memset(node->disk + node->room, 0, room - node->room);
    memset(node->is_marked + node->room / SECTOR, 0, (room - node->room) / SECTOR);
    memset(node->is_used + node->room / PAGE, 0, (room - node->room) / PAGE);
    node->room = room;
}

static bool take_space(struct gfs_io_sim *sim, struct sim_node *node, uint64_t offset, uint64_t len)
{
    uint64_t needed = 0;
    for (uint64_t page = offset / PAGE; page * PAGE < offset + len; page++) {
        needed += node->is_used[page] ? 0 : PAGE;
    }
    if (sim->used + needed > sim->capacity) {
        return false;
    }
    for (uint64_t page = offset / PAGE; page * PAGE < offset + len; page++) {
        use_page(sim, node, page, true);
    }
    return true;
}

static void flush_range(struct sim_node *node, uint64_t offset, uint64_t len)
{
    for (uint64_t at = offset / SECTOR * SECTOR; at < offset + len; at += SECTOR) {
        if (node->is_marked[at / SECTOR]) {
            memcpy(node->disk + at, node->now + at, SECTOR);
            node->is_marked[at / SECTOR] = 0;
        }
    }
    node->disk_size = node->size;
}

static void set_bytes(struct sim_node *node, const char *ptr, uint64_t offset, uint64_t len)
{
    if (len == 0) {
        return;
    }
    if (ptr != NULL) {
        memcpy(node->now + offset, ptr, len);
    } else {
        memset(node->now + offset, 0, len);
    }
    memset(node->is_marked + offset / SECTOR, 1, (offset + len - 1) / SECTOR - offset / SECTOR + 1);
}

/* --- faults --- */

/* Counts a change. Answers what becomes of it; *ret_is_partial: a part of it is applied. */
static enum gfs_err begin_change(struct gfs_io_sim *sim, bool *ret_is_partial)
{
    *ret_is_partial = false;
    if (sim->has_crashed) {
        return GFS_IO;
    }
    sim->count++;
    if (sim->count == sim->crash_at) {
        sim->has_crashed = true;
        *ret_is_partial = true;
        return GFS_IO;
    }
    if (sim->count == sim->fail_at) {
        *ret_is_partial = true;
        return sim->fail_err;
    }
    return GFS_OK;
}

/* --- names --- */

static struct sim_name *find_name(struct sim_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].path, path) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

static void set_name(struct gfs_io_sim *sim, struct sim_names *names, const char *path,
                     struct sim_node *node)
{
    struct sim_name *name = find_name(names, path);
    if (name != NULL) {
        node->references++;
        release(sim, name->node);
        name->node = node;
        return;
    }
    if (names->count == names->size) {
        names->size = names->size == 0 ? 16 : names->size * 2;
        names->items = gfs_realloc(names->items, names->size * sizeof *names->items);
    }
    (void)snprintf(names->items[names->count].path, PATH_SIZE, "%s", path);
    names->items[names->count++].node = node;
    node->references++;
}

static void drop_name(struct gfs_io_sim *sim, struct sim_names *names, const char *path)
{
    struct sim_name *name = find_name(names, path);
    if (name != NULL) {
        release(sim, name->node);
        *name = names->items[--names->count];
    }
}

static void apply_change(struct gfs_io_sim *sim, struct sim_names *names,
                         const struct sim_change *change)
{
    if (change->to[0] != '\0') {
        set_name(sim, names, change->to, change->node);
    }
    if (change->from[0] != '\0') {
        drop_name(sim, names, change->from);
    }
}

static void add_change(struct gfs_io_sim *sim, const char *from, const char *to,
                       struct sim_node *node)
{
    if (sim->change_count == sim->change_size) {
        sim->change_size = sim->change_size == 0 ? 16 : sim->change_size * 2;
        sim->changes = gfs_realloc(sim->changes, sim->change_size * sizeof *sim->changes);
    }
    struct sim_change *change = &sim->changes[sim->change_count++];
    (void)snprintf(change->from, PATH_SIZE, "%s", from);
    (void)snprintf(change->to, PATH_SIZE, "%s", to);
    change->node = node;
    node->references++;
    apply_change(sim, &sim->now, change);
}

static size_t dir_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path);
}

static bool is_in_dir(const char *path, const char *dir)
{
    size_t len = dir_len(path);
    return strcmp(dir, ".") == 0 ? len == 0 : len == strlen(dir) && memcmp(path, dir, len) == 0;
}

/* Makes up to `limit` changes of a directory durable, in order, and forgets the rest of them. */
static void settle_dir(struct gfs_io_sim *sim, const char *dir, uint64_t limit)
{
    size_t kept = 0;
    for (size_t i = 0; i < sim->change_count; i++) {
        struct sim_change change = sim->changes[i];
        if (!is_in_dir(change.to[0] != '\0' ? change.to : change.from, dir)) {
            sim->changes[kept++] = change;
            continue;
        }
        if (limit > 0) {
            limit--;
            apply_change(sim, &sim->disk, &change);
        }
        release(sim, change.node);
    }
    sim->change_count = kept;
}

/* --- the table --- */

static void sim_close(struct gfs_io *io)
{
    struct gfs_io_sim *sim = sim_of(io);
    sim->is_locked = false;
    sim->queue_len = 0;
}

static enum gfs_err sim_file_open(struct gfs_io *io, const char *path, unsigned flags,
                                  struct gfs_file **ret)
{
    struct gfs_io_sim *sim = sim_of(io);
    GFS_ASSERT(strlen(path) < PATH_SIZE);
    if (sim->has_crashed) {
        return GFS_IO;
    }
    struct sim_name *name = find_name(&sim->now, path);
    if (name == NULL) {
        if ((flags & GFS_IO_CREATE) == 0) {
            return GFS_NOT_FOUND;
        }
        bool is_partial;
        enum gfs_err err = begin_change(sim, &is_partial);
        if (err != GFS_OK) {
            return err;
        }
        add_change(sim, "", path, gfs_alloc(sizeof(struct sim_node)));
        name = find_name(&sim->now, path);
        GFS_ASSERT(name != NULL);
    }
    struct sim_file *file = gfs_alloc(sizeof *file);
    file->base.io = io;
    file->node = name->node;
    file->node->references++;
    *ret = &file->base;
    return GFS_OK;
}

static void sim_file_close(struct gfs_file *base)
{
    if (base != NULL) {
        struct sim_file *file = GFS_CONTAINER_OF(base, struct sim_file, base);
        release(sim_of(base->io), file->node);
        free(file);
    }
}

static enum gfs_err sim_file_info(struct gfs_file *file, struct gfs_file_info *ret)
{
    const struct sim_node *node = node_of(file);
    *ret = (struct gfs_file_info){.size = node->size};
    for (size_t page = 0; page < node->room / PAGE; page++) {
        ret->allocated += node->is_used[page] ? PAGE : 0;
    }
    return sim_of(file->io)->has_crashed ? GFS_IO : GFS_OK;
}

static enum gfs_err sim_read(struct gfs_file *file, const struct iovec *iov, int count,
                             uint64_t offset, unsigned flags, size_t *ret_len)
{
    (void)flags;
    const struct sim_node *node = node_of(file);
    if (sim_of(file->io)->has_crashed) {
        return GFS_IO;
    }
    size_t done = 0;
    for (int i = 0; i < count; i++) {
        uint64_t at = offset + done;
        size_t len = at >= node->size ? 0 : GFS_MIN(iov[i].iov_len, (size_t)(node->size - at));
        if (len != 0) {
            memcpy(iov[i].iov_base, node->now + at, len);
        }
        done += len;
    }
    *ret_len = done;
    return GFS_OK;
}

static enum gfs_err sim_write(struct gfs_file *file, const void *ptr, size_t len, uint64_t offset)
{
    struct gfs_io_sim *sim = sim_of(file->io);
    struct sim_node *node = node_of(file);
    bool is_partial;
    enum gfs_err err = begin_change(sim, &is_partial);
    if (err != GFS_OK && !is_partial) {
        return err;
    }
    if (is_partial) {
        len = (size_t)draw_below(sim, len + 1) / SECTOR * SECTOR;
    }
    if (len == 0) {
        return err;
    }
    make_room(node, offset + len);
    if (!take_space(sim, node, offset, len)) {
        return err == GFS_OK ? GFS_NO_SPACE : err;
    }
    set_bytes(node, ptr, offset, len);
    node->size = GFS_MAX(node->size, offset + len);
    return err;
}

static enum gfs_err sim_flush(struct gfs_file *file)
{
    struct gfs_io_sim *sim = sim_of(file->io);
    bool is_partial;
    enum gfs_err err = begin_change(sim, &is_partial);
    if (err == GFS_OK) {
        flush_range(node_of(file), 0, node_of(file)->room);
    }
    return err;
}

static enum gfs_err sim_truncate(struct gfs_file *file, uint64_t size)
{
    struct gfs_io_sim *sim = sim_of(file->io);
    struct sim_node *node = node_of(file);
    bool is_partial;
    enum gfs_err err = begin_change(sim, &is_partial);
    if (err != GFS_OK) {
        return err;
    }
    make_room(node, size);
    if (size < node->room) {
        set_bytes(node, NULL, size, node->room - size);
    }
    for (size_t page = (size_t)(size + PAGE - 1) / PAGE; page < node->room / PAGE; page++) {
        use_page(sim, node, page, false);
    }
    node->size = size;
    return GFS_OK;
}

static enum gfs_err sim_allocate(struct gfs_file *file, uint64_t offset, uint64_t len)
{
    struct gfs_io_sim *sim = sim_of(file->io);
    struct sim_node *node = node_of(file);
    bool is_partial;
    enum gfs_err err = begin_change(sim, &is_partial);
    if (err != GFS_OK) {
        return err;
    }
    make_room(node, offset + len);
    if (!take_space(sim, node, offset, len)) {
        return GFS_NO_SPACE;
    }
    node->size = GFS_MAX(node->size, offset + len);
    return GFS_OK;
}

static enum gfs_err sim_punch(struct gfs_file *file, uint64_t offset, uint64_t len)
{
    struct gfs_io_sim *sim = sim_of(file->io);
    struct sim_node *node = node_of(file);
    bool is_partial;
    enum gfs_err err = begin_change(sim, &is_partial);
    if (err != GFS_OK) {
        return err;
    }
    uint64_t first = (offset + PAGE - 1) / PAGE;
    uint64_t end = GFS_MIN((offset + len) / PAGE, (uint64_t)(node->room / PAGE));
    for (uint64_t page = first; page < end; page++) {
        set_bytes(node, NULL, page * PAGE, PAGE);
        use_page(sim, node, page, false);
    }
    return GFS_OK;
}

static enum gfs_err change_names(struct gfs_io_sim *sim, const char *from, const char *to)
{
    GFS_ASSERT(strlen(from) < PATH_SIZE && strlen(to) < PATH_SIZE);
    bool is_partial;
    enum gfs_err err = begin_change(sim, &is_partial);
    if (err != GFS_OK) {
        return err;
    }
    struct sim_name *name = find_name(&sim->now, from);
    if (name == NULL) {
        return GFS_NOT_FOUND;
    }
    add_change(sim, from, to, name->node);
    return GFS_OK;
}

static enum gfs_err sim_remove(struct gfs_io *io, const char *path)
{
    return change_names(sim_of(io), path, "");
}

static enum gfs_err sim_rename(struct gfs_io *io, const char *from, const char *to)
{
    return change_names(sim_of(io), from, to);
}

/* Directories are always there. */
static enum gfs_err sim_make_dir(struct gfs_io *io, const char *path)
{
    (void)path;
    return sim_of(io)->has_crashed ? GFS_IO : GFS_EXISTS;
}

static enum gfs_err sim_sync_dir(struct gfs_io *io, const char *path)
{
    struct gfs_io_sim *sim = sim_of(io);
    bool is_partial;
    enum gfs_err err = begin_change(sim, &is_partial);
    if (err == GFS_OK) {
        settle_dir(sim, path, UINT64_MAX);
    }
    return err;
}

static enum gfs_err sim_list(struct gfs_io *io, const char *path, gfs_io_name_fn visit, void *arg)
{
    struct gfs_io_sim *sim = sim_of(io);
    enum gfs_err err = sim->has_crashed ? GFS_IO : GFS_OK;
    size_t count = sim->now.count;
    GFS_FREE struct sim_name *copy = gfs_alloc_array(count, sizeof *copy); /* visit may remove */
    if (count != 0) {
        memcpy(copy, sim->now.items, count * sizeof *copy);
    }
    for (size_t i = 0; i < count && err == GFS_OK; i++) {
        if (is_in_dir(copy[i].path, path)) {
            size_t len = dir_len(copy[i].path);
            err = visit(arg, copy[i].path + (len == 0 ? 0 : len + 1));
        }
    }
    return err;
}

static enum gfs_err sim_lock(struct gfs_io *io, const char *path)
{
    (void)path;
    struct gfs_io_sim *sim = sim_of(io);
    if (sim->is_locked) {
        return GFS_BUSY;
    }
    sim->is_locked = true;
    return GFS_OK;
}

static enum gfs_err sim_space(struct gfs_io *io, struct gfs_io_space *ret)
{
    const struct gfs_io_sim *sim = sim_of(io);
    *ret = (struct gfs_io_space){
        .total = sim->capacity,
        .free = sim->capacity > sim->used ? sim->capacity - sim->used : 0,
    };
    return GFS_OK;
}

static void sim_submit(struct gfs_io *io, struct gfs_io_op *op)
{
    struct gfs_io_sim *sim = sim_of(io);
    GFS_ASSERT(sim->queue_len < GFS_COUNT(sim->queue));
    sim->queue[sim->queue_len++] = op;
}

static void run_op(struct gfs_io_op *op)
{
    enum gfs_err err = GFS_OK;
    if (op->kind == GFS_IO_FLUSH) {
        err = sim_flush(op->file);
    } else {
        err = sim_write(op->file, op->ptr, op->len, op->offset);
        if (err == GFS_OK && op->kind == GFS_IO_WRITE_DURABLE) {
            flush_range(node_of(op->file), op->offset, op->len);
        }
    }
    op->result = err;
    op->done(op);
}

static enum gfs_err sim_wait(struct gfs_io *io, bool block)
{
    (void)block;
    struct gfs_io_sim *sim = sim_of(io);
    if (sim->queue_len > 0) {
        size_t chosen = (size_t)draw_below(sim, sim->queue_len);
        struct gfs_io_op *op = sim->queue[chosen];
        sim->queue[chosen] = sim->queue[--sim->queue_len];
        run_op(op);
    }
    return GFS_OK;
}

static void sim_wake(struct gfs_io *io)
{
    (void)io;
}

static const struct gfs_io_ops sim_ops = {
    .close = sim_close,
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_info = sim_file_info,
    .read = sim_read,
    .write = sim_write,
    .flush = sim_flush,
    .truncate = sim_truncate,
    .allocate = sim_allocate,
    .punch = sim_punch,
    .remove = sim_remove,
    .rename = sim_rename,
    .make_dir = sim_make_dir,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
    .lock = sim_lock,
    .space = sim_space,
    .submit = sim_submit,
    .wait = sim_wait,
    .wake = sim_wake,
};

/* --- control --- */

struct gfs_io_sim *gfs_io_sim_new(uint64_t seed, uint64_t capacity)
{
    struct gfs_io_sim *sim = gfs_alloc(sizeof *sim);
    sim->base.ops = &sim_ops;
    sim->random = (seed + 1) * 0x9E3779B97F4A7C15U;
    sim->capacity = capacity;
    return sim;
}

static void clear_names(struct gfs_io_sim *sim, struct sim_names *names)
{
    while (names->count > 0) {
        drop_name(sim, names, names->items[0].path);
    }
}

void gfs_io_sim_free(struct gfs_io_sim *sim)
{
    if (sim == NULL) {
        return;
    }
    for (size_t i = 0; i < sim->change_count; i++) {
        release(sim, sim->changes[i].node);
    }
    clear_names(sim, &sim->now);
    clear_names(sim, &sim->disk);
    free(sim->now.items);
    free(sim->disk.items);
    free(sim->changes);
    free(sim);
}

struct gfs_io *gfs_io_sim_io(struct gfs_io_sim *sim)
{
    return &sim->base;
}

uint64_t gfs_io_sim_changes(const struct gfs_io_sim *sim)
{
    return sim->count;
}

void gfs_io_sim_crash_at(struct gfs_io_sim *sim, uint64_t n)
{
    sim->crash_at = n == 0 ? 0 : sim->count + n;
}

bool gfs_io_sim_has_crashed(const struct gfs_io_sim *sim)
{
    return sim->has_crashed;
}

void gfs_io_sim_fail_at(struct gfs_io_sim *sim, uint64_t n, enum gfs_err err)
{
    sim->fail_at = n == 0 ? 0 : sim->count + n;
    sim->fail_err = err;
}

static void settle_node(struct gfs_io_sim *sim, struct sim_node *node)
{
    uint64_t odds = draw_below(sim, 5); /* none, few, half, most, all survive */
    for (size_t sector = 0; sector < node->room / SECTOR; sector++) {
        if (node->is_marked[sector] && draw_below(sim, 4) < odds) {
            memcpy(node->disk + sector * SECTOR, node->now + sector * SECTOR, SECTOR);
        }
        node->is_marked[sector] = 0;
    }
    if (node->disk_size != node->size && draw_below(sim, 2) == 0) {
        node->disk_size = node->size;
    }
    node->size = node->disk_size;
    if (node->size < node->room) {
        memset(node->disk + node->size, 0, node->room - node->size);
    }
    if (node->room != 0) {
        memcpy(node->now, node->disk, node->room);
    }
}

void gfs_io_sim_restart(struct gfs_io_sim *sim)
{
    sim->has_crashed = false;
    sim->crash_at = sim->fail_at = 0;
    const char *const dirs[] = {".", "log", "bulk"};
    for (size_t i = 0; i < GFS_COUNT(dirs); i++) {
        settle_dir(sim, dirs[i], draw_below(sim, 8));
    }
    GFS_ASSERT(sim->change_count == 0);
    clear_names(sim, &sim->now);
    for (size_t i = 0; i < sim->disk.count; i++) {
        settle_node(sim, sim->disk.items[i].node);
        set_name(sim, &sim->now, sim->disk.items[i].path, sim->disk.items[i].node);
    }
}

void gfs_io_sim_set_capacity(struct gfs_io_sim *sim, uint64_t capacity)
{
    sim->capacity = capacity;
}

uint64_t gfs_io_sim_used(const struct gfs_io_sim *sim)
{
    return sim->used;
}

enum gfs_err gfs_io_sim_flip(struct gfs_io_sim *sim, const char *path, uint64_t offset,
                             uint8_t mask)
{
    struct sim_name *name = find_name(&sim->now, path);
    if (name == NULL) {
        return GFS_NOT_FOUND;
    }
    if (offset >= name->node->size) {
        return GFS_RANGE;
    }
    name->node->now[offset] ^= (char)mask;
    name->node->disk[offset] ^= (char)mask;
    return GFS_OK;
}
