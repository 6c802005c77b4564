#include "tests/sim/io_sim.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "tests/sim/sim_disk.h"

struct gfs_io_sim {
    struct gfs_io base;
    struct sim_disk disk;
    uint64_t count, crash_at, fail_at; /* of changes; 0 = never */
    enum gfs_err fail_err;
    uint64_t reads, read_fail_at, read_fail_end, read_flip_at; /* of reads */
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

/* --- faults --- */

static enum gfs_err put_bytes(struct gfs_io_sim *sim, struct sim_node *node, const void *ptr,
                              size_t len, uint64_t offset)
{
    if (len == 0) {
        return GFS_OK;
    }
    if (!sim_disk_take(&sim->disk, node, offset, len)) {
        return GFS_NO_SPACE;
    }
    sim_disk_set(node, ptr, offset, len);
    node->size = GFS_MAX(node->size, offset + len);
    return GFS_OK;
}

/* How much of a write is done when it is cut short: nothing, all, or up to a sector or a byte. */
static size_t cut(struct gfs_io_sim *sim, size_t len)
{
    size_t part = (size_t)sim_disk_draw(&sim->disk, len + 1);
    switch (sim_disk_draw(&sim->disk, 4)) {
    case 0:
        return 0;
    case 1:
        return len;
    case 2:
        return part / SIM_SECTOR * SIM_SECTOR;
    default:
        return part;
    }
}

/* The writes that were submitted may have been done in part, like the one that runs. */
static void crash(struct gfs_io_sim *sim)
{
    sim->has_crashed = true;
    for (size_t i = 0; i < sim->queue_len; i++) {
        const struct gfs_io_op *op = sim->queue[i];
        if (op->kind != GFS_IO_FLUSH) {
            size_t len = cut(sim, op->len);
            (void)put_bytes(sim, node_of(op->file), op->ptr, len, op->offset);
        }
    }
}

enum fate { FATE_DONE, FATE_FAILS, FATE_CRASHES, FATE_IS_OVER };

/* Counts a change and says what becomes of it. */
static enum fate begin_change(struct gfs_io_sim *sim)
{
    if (sim->has_crashed) {
        return FATE_IS_OVER;
    }
    sim->count++;
    if (sim->count == sim->crash_at) {
        crash(sim);
        return FATE_CRASHES;
    }
    return sim->count == sim->fail_at ? FATE_FAILS : FATE_DONE;
}

static enum gfs_err answer_of(const struct gfs_io_sim *sim, enum fate fate)
{
    if (fate == FATE_DONE) {
        return GFS_OK;
    }
    return fate == FATE_FAILS ? sim->fail_err : GFS_IO;
}

/* For changes that are done or not: one that is cut short is either. */
static bool is_done(struct gfs_io_sim *sim, enum fate fate)
{
    return fate == FATE_DONE || (fate == FATE_CRASHES && sim_disk_draw(&sim->disk, 2) == 0);
}

/* --- files --- */

static enum gfs_err sim_file_open(struct gfs_io *io, const char *path, unsigned flags,
                                  struct gfs_file **ret)
{
    struct gfs_io_sim *sim = sim_of(io);
    GFS_ASSERT(strlen(path) < SIM_PATH_SIZE);
    if (sim->has_crashed) {
        return GFS_IO;
    }
    struct sim_node *node = sim_disk_find(&sim->disk, path);
    if (node == NULL) {
        if ((flags & GFS_IO_CREATE) == 0) {
            return GFS_NOT_FOUND;
        }
        enum fate fate = begin_change(sim);
        if (is_done(sim, fate)) {
            sim_disk_change(&sim->disk, "", path, gfs_alloc(sizeof *node));
        }
        if (fate != FATE_DONE) {
            return answer_of(sim, fate);
        }
        node = sim_disk_find(&sim->disk, path);
        GFS_ASSERT(node != NULL);
    }
    struct sim_file *file = gfs_alloc(sizeof *file);
    file->base.io = io;
    file->node = node;
    node->references++;
    *ret = &file->base;
    return GFS_OK;
}

static void sim_file_close(struct gfs_file *base)
{
    if (base != NULL) {
        struct sim_file *file = GFS_CONTAINER_OF(base, struct sim_file, base);
        sim_disk_release(&sim_of(base->io)->disk, file->node);
        free(file);
    }
}

static enum gfs_err sim_file_info(struct gfs_file *file, struct gfs_file_info *ret)
{
    const struct sim_node *node = node_of(file);
    *ret = (struct gfs_file_info){.size = node->size};
    for (size_t page = 0; page < node->room / SIM_PAGE; page++) {
        ret->allocated += node->is_used[page] ? SIM_PAGE : 0;
    }
    return sim_of(file->io)->has_crashed ? GFS_IO : GFS_OK;
}

static char *byte_at(const struct iovec *iov, size_t at)
{
    while (at >= iov->iov_len) {
        at -= iov->iov_len;
        iov++;
    }
    return (char *)iov->iov_base + at;
}

/* A bit of one of the `len` bytes read, of one that is not zero when there is any: most are. */
static void flip_one(struct gfs_io_sim *sim, const struct iovec *iov, size_t len)
{
    if (len == 0) {
        return;
    }
    size_t first = (size_t)sim_disk_draw(&sim->disk, len);
    size_t at = first;
    while (*byte_at(iov, at) == 0 && (at + 1) % len != first) {
        at = (at + 1) % len;
    }
    *byte_at(iov, at) ^= (char)(1 << sim_disk_draw(&sim->disk, 8));
}

static enum gfs_err sim_read(struct gfs_file *file, const struct iovec *iov, int count,
                             uint64_t offset, unsigned flags, size_t *ret_len)
{
    (void)flags;
    struct gfs_io_sim *sim = sim_of(file->io);
    const struct sim_node *node = node_of(file);
    sim->reads++;
    if (sim->has_crashed || (sim->reads >= sim->read_fail_at && sim->reads < sim->read_fail_end)) {
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
    if (sim->reads == sim->read_flip_at) {
        flip_one(sim, iov, done);
    }
    *ret_len = done;
    return GFS_OK;
}

static void sim_prefetch(struct gfs_file *file, uint64_t offset, uint64_t len)
{
    (void)file;
    (void)offset;
    (void)len;
}

static enum gfs_err sim_write(struct gfs_file *file, const void *ptr, size_t len, uint64_t offset)
{
    struct gfs_io_sim *sim = sim_of(file->io);
    enum fate fate = begin_change(sim);
    if (fate == FATE_IS_OVER) {
        return GFS_IO;
    }
    enum gfs_err err =
        put_bytes(sim, node_of(file), ptr, fate == FATE_DONE ? len : cut(sim, len), offset);
    return fate == FATE_DONE ? err : answer_of(sim, fate);
}

static enum gfs_err sim_flush(struct gfs_file *file)
{
    struct gfs_io_sim *sim = sim_of(file->io);
    enum fate fate = begin_change(sim);
    if (fate == FATE_DONE) {
        sim_disk_flush(node_of(file), 0, node_of(file)->room);
    } else if (fate == FATE_FAILS) {
        sim_disk_flush_badly(&sim->disk, node_of(file));
        return GFS_IO;
    }
    return answer_of(sim, fate);
}

static enum gfs_err sim_truncate(struct gfs_file *file, uint64_t size)
{
    struct gfs_io_sim *sim = sim_of(file->io);
    struct sim_node *node = node_of(file);
    enum fate fate = begin_change(sim);
    if (is_done(sim, fate)) {
        if (size < node->room) {
            sim_disk_set(node, NULL, size, node->room - size);
        }
        for (size_t page = (size_t)(size + SIM_PAGE - 1) / SIM_PAGE; page < node->room / SIM_PAGE;
             page++) {
            sim_disk_give_page(&sim->disk, node, page);
        }
        node->size = size;
    }
    return answer_of(sim, fate);
}

static enum gfs_err sim_allocate(struct gfs_file *file, uint64_t offset, uint64_t len)
{
    struct gfs_io_sim *sim = sim_of(file->io);
    struct sim_node *node = node_of(file);
    enum fate fate = begin_change(sim);
    if (is_done(sim, fate)) {
        if (!sim_disk_take(&sim->disk, node, offset, len)) {
            return fate == FATE_DONE ? GFS_NO_SPACE : GFS_IO;
        }
        node->size = GFS_MAX(node->size, offset + len);
    }
    return answer_of(sim, fate);
}

static enum gfs_err sim_punch(struct gfs_file *file, uint64_t offset, uint64_t len)
{
    struct gfs_io_sim *sim = sim_of(file->io);
    struct sim_node *node = node_of(file);
    enum fate fate = begin_change(sim);
    if (is_done(sim, fate)) {
        uint64_t first = (offset + SIM_PAGE - 1) / SIM_PAGE;
        uint64_t end = GFS_MIN((offset + len) / SIM_PAGE, (uint64_t)(node->room / SIM_PAGE));
        for (uint64_t page = first; page < end; page++) {
            sim_disk_set(node, NULL, page * SIM_PAGE, SIM_PAGE);
            sim_disk_give_page(&sim->disk, node, page);
        }
    }
    return answer_of(sim, fate);
}

/* --- names --- */

static enum gfs_err change_names(struct gfs_io_sim *sim, const char *from, const char *to)
{
    GFS_ASSERT(strlen(from) < SIM_PATH_SIZE && strlen(to) < SIM_PATH_SIZE);
    enum fate fate = begin_change(sim);
    struct sim_node *node = sim_disk_find(&sim->disk, from);
    if (fate == FATE_DONE && node == NULL) {
        return GFS_NOT_FOUND;
    }
    if (is_done(sim, fate) && node != NULL) {
        sim_disk_change(&sim->disk, from, to, node);
    }
    return answer_of(sim, fate);
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
    enum fate fate = begin_change(sim);
    if (fate == FATE_DONE) {
        sim_disk_sync(&sim->disk, path);
    } else if (fate == FATE_FAILS) {
        sim_disk_sync_badly(&sim->disk, path);
        return GFS_IO;
    }
    return answer_of(sim, fate);
}

static enum gfs_err sim_list(struct gfs_io *io, const char *path, gfs_io_name_fn visit, void *arg)
{
    struct gfs_io_sim *sim = sim_of(io);
    enum gfs_err err = sim->has_crashed ? GFS_IO : GFS_OK;
    size_t count = sim->disk.now.count;
    GFS_FREE struct sim_name *copy = gfs_alloc_array(count, sizeof *copy); /* visit may remove */
    if (count != 0) {
        memcpy(copy, sim->disk.now.items, count * sizeof *copy);
    }
    for (size_t i = 0; i < count && err == GFS_OK; i++) {
        if (sim_disk_is_in(copy[i].path, path)) {
            const char *slash = strrchr(copy[i].path, '/');
            err = visit(arg, slash == NULL ? copy[i].path : slash + 1);
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
    const struct sim_disk *disk = &sim_of(io)->disk;
    *ret = (struct gfs_io_space){
        .total = disk->capacity,
        .free = disk->capacity > disk->used ? disk->capacity - disk->used : 0,
    };
    return GFS_OK;
}

/* --- submitted operations --- */

static void sim_submit(struct gfs_io *io, struct gfs_io_op *op)
{
    struct gfs_io_sim *sim = sim_of(io);
    GFS_ASSERT(sim->queue_len < GFS_COUNT(sim->queue));
    sim->queue[sim->queue_len++] = op;
}

static void run_op(struct gfs_io_op *op)
{
    if (op->kind == GFS_IO_FLUSH) {
        op->result = sim_flush(op->file);
    } else {
        op->result = sim_write(op->file, op->ptr, op->len, op->offset);
        if (op->result == GFS_OK && op->kind == GFS_IO_WRITE_DURABLE) {
            sim_disk_flush(node_of(op->file), op->offset, op->len);
        }
    }
    op->done(op);
}

static enum gfs_err sim_wait(struct gfs_io *io, bool block)
{
    (void)block;
    struct gfs_io_sim *sim = sim_of(io);
    if (sim->queue_len > 0 && sim_disk_draw(&sim->disk, 3) != 0) { /* else it takes longer */
        size_t chosen = (size_t)sim_disk_draw(&sim->disk, sim->queue_len);
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

static void sim_close(struct gfs_io *io)
{
    struct gfs_io_sim *sim = sim_of(io);
    GFS_ASSERT(sim->queue_len == 0);
    sim->is_locked = false;
}

static const struct gfs_io_ops sim_ops = {
    .close = sim_close,
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_info = sim_file_info,
    .read = sim_read,
    .prefetch = sim_prefetch,
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
    sim->disk.random = (seed + 1) * 0x9E3779B97F4A7C15U;
    sim->disk.capacity = capacity;
    return sim;
}

void gfs_io_sim_free(struct gfs_io_sim *sim)
{
    if (sim != NULL) {
        sim_disk_fini(&sim->disk);
        free(sim);
    }
}

struct gfs_io *gfs_io_sim_io(struct gfs_io_sim *sim)
{
    return &sim->base;
}

uint64_t gfs_io_sim_changes(const struct gfs_io_sim *sim)
{
    return sim->count;
}

uint64_t gfs_io_sim_reads(const struct gfs_io_sim *sim)
{
    return sim->reads;
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

void gfs_io_sim_fail_reads_at(struct gfs_io_sim *sim, uint64_t n, uint64_t count)
{
    sim->read_fail_at = sim->reads + n;
    sim->read_fail_end = n == 0 ? 0 : sim->reads + n + count;
}

void gfs_io_sim_flip_read_at(struct gfs_io_sim *sim, uint64_t n)
{
    sim->read_flip_at = n == 0 ? 0 : sim->reads + n;
}

void gfs_io_sim_resume(struct gfs_io_sim *sim)
{
    sim->has_crashed = false;
    sim->crash_at = sim->fail_at = sim->read_fail_end = sim->read_flip_at = 0;
}

void gfs_io_sim_restart(struct gfs_io_sim *sim)
{
    gfs_io_sim_resume(sim);
    sim_disk_lose_power(&sim->disk);
}

void gfs_io_sim_set_capacity(struct gfs_io_sim *sim, uint64_t capacity)
{
    sim->disk.capacity = capacity;
}

uint64_t gfs_io_sim_used(const struct gfs_io_sim *sim)
{
    return sim->disk.used;
}

enum gfs_err gfs_io_sim_flip(struct gfs_io_sim *sim, const char *path, uint64_t offset,
                             uint8_t mask)
{
    struct sim_node *node = sim_disk_find(&sim->disk, path);
    if (node == NULL) {
        return GFS_NOT_FOUND;
    }
    if (offset >= node->size) {
        return GFS_RANGE;
    }
    node->now[offset] ^= (char)mask;
    node->disk[offset] ^= (char)mask;
    return GFS_OK;
}
