#include "pool/pool_copy.h"

#include <stdlib.h>

#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"
#include "pool/pool_copy_op.h"

enum { DELETE_IDS_MAX = 4096 };

struct pool_copy {
    struct pool_copier copier;
    struct pool_disk *disk; /* counted */
    struct pool_copy_op *op;
    struct chunk_id id;    /* of the chunk */
    struct chunk_id there; /* of the fragment */
    uint32_t len;
    uint32_t crc;
};

static void op_free_ptr(struct pool_copy_op **op)
{
    pool_copy_op_free(*op);
}
#define OP_CLEANUP GFS_CLEANUP(op_free_ptr)

static void copy_free(struct pool_copy *copy)
{
    pool_copy_op_free(copy->op);
    pool_disk_unref(copy->disk);
    free(copy);
}

/* A disk that fails a write has failed; no space and too much at once are answers. */
static enum gfs_err judge_write(struct pool_copy *copy, enum gfs_err err)
{
    if (err == GFS_IO) {
        pool_disk_drop(copy->copier.pool, copy->disk, err, "repair");
    }
    return err;
}

/* Submits what makes the copy live, unless the chunk was deleted. */
static enum gfs_err make_live(struct pool_copy *copy, const struct chunk_record *record)
{
    struct chunk_group *group = pool_copy_op_group(copy->op, record);
    if (!pool_tombs_submit(copy->copier.pool, copy->id, copy->disk, group)) {
        pool_copy_op_forget(copy->op);
        return GFS_CANCELLED;
    }
    return GFS_OK;
}

/* The next bytes of the source, paid for. STOPPED between two steps. */
static enum gfs_err read_source(struct pool_copy *copy, struct pool_fragment *source, char *bytes,
                                size_t size, size_t *ret_len)
{
    enum gfs_err err = pool_fragment_read(source, bytes, size, ret_len);
    if (err != GFS_OK) {
        return err;
    }
    copy->crc = gfs_crc32c(copy->crc, bytes, *ret_len);
    return pool_pace_spend(copy->copier.pace, *ret_len) ? GFS_OK : GFS_STOPPED;
}

static enum gfs_err write_small(struct pool_copy *copy, struct pool_fragment *source)
{
    struct gfs_slice owner = pool_fragment_owner(source);
    /* The owner lives as long as the payload: the disk may answer when nobody waits any more. */
    size_t room = copy->len + POOL_CELL;
    char *bytes = pool_copy_op_reserve(copy->op, room + CHUNK_OWNER_LEN_MAX);
    char *owner_bytes = bytes + room;
    GFS_ASSERT(owner.len <= CHUNK_OWNER_LEN_MAX);
    if (owner.len != 0) {
        memcpy(owner_bytes, owner.ptr, owner.len);
    }
    size_t filled = 0;
    while (filled < copy->len) {
        size_t len;
        enum gfs_err err = read_source(copy, source, bytes + filled, room - filled, &len);
        if (err != GFS_OK) {
            return err;
        }
        filled += len;
        if (len == 0 || filled > copy->len) {
            return GFS_CORRUPT;
        }
    }
    struct chunk_record record = {
        .kind = CHUNK_RECORD_DATA,
        .id = copy->there,
        .owner = gfs_slice_of(owner_bytes, owner.len),
        .payload = gfs_slice_of(bytes, filled),
    };
    return make_live(copy, &record);
}

static enum gfs_err write_large(struct pool_copy *copy, struct pool_fragment *source)
{
    struct pool_copy_op *op = copy->op;
    enum gfs_err err = pool_copy_op_begin(op, copy->there, pool_fragment_owner(source), copy->len);
    uint32_t written = 0;
    while (err == GFS_OK && written < copy->len) {
        size_t len;
        err = read_source(copy, source, copy->copier.bytes, POOL_COPY_STEP, &len);
        if (err != GFS_OK) {
            return err; /* not the disk's fault */
        }
        if (len == 0 || len > copy->len - written) {
            return GFS_CORRUPT;
        }
        err = pool_copy_op_append(op, copy->copier.bytes, len);
        written += (uint32_t)len;
    }
    if (err == GFS_OK) {
        err = pool_copy_op_finish(op);
    }
    if (err != GFS_OK) {
        return judge_write(copy, err);
    }
    struct chunk_record record = {.kind = CHUNK_RECORD_PLACE, .bulk = pool_copy_op_bulk(op)};
    return make_live(copy, &record);
}

enum gfs_err pool_copy_begin(struct pool_copier *copier, const struct pool_copy_task *task,
                             struct pool_copy **ret)
{
    struct pool_disk *disk = task->view->disks[task->disk];
    const struct pool_group *group = pool_view_group(task->view, task->id);
    GFS_ASSERT(group != NULL);
    if (!pool_disk_is_usable(disk)) {
        return GFS_UNREACHABLE;
    }
    uint16_t avoid = task->is_bad ? task->disk : POOL_NO_DISK;
    struct pool_fragment *source;
    enum gfs_err err =
        pool_fragment_open(copier->pool, task->view, task->id, task->slot, avoid, &source);
    if (err != GFS_OK) {
        return err;
    }
    struct pool_copy *copy = gfs_alloc(sizeof *copy);
    *copy = (struct pool_copy){
        .copier = *copier,
        .disk = pool_disk_ref(disk),
        .op = pool_copy_op_new(copier->pool, copier->pace, disk),
        .id = task->id,
        .there = pool_fragment_id(group, task->id, task->slot),
        .len = pool_fragment_bytes(source),
    };
    err = copy->len <= GFS_SMALL_CHUNK_MAX ? write_small(copy, source) : write_large(copy, source);
    pool_fragment_close(source);
    if (err != GFS_OK) {
        copy_free(copy);
        return err;
    }
    *ret = copy;
    return GFS_OK;
}

/* Reads what was written, from the medium. */
static enum gfs_err read_back(struct pool_copy *copy)
{
    uint32_t len;
    uint32_t crc;
    enum gfs_err err = pool_copy_op_read(copy->op, copy->there, false, &len, &crc);
    if (err == GFS_NOT_FOUND) {
        return GFS_CANCELLED; /* it was live: deleted since */
    }
    if (err == GFS_TIMEOUT || err == GFS_STOPPED) {
        return err;
    }
    return err == GFS_OK && len == copy->len && crc == copy->crc ? GFS_OK : GFS_DIGEST;
}

enum gfs_err pool_copy_end(struct pool_copy *copy, uint32_t *ret_bytes)
{
    enum gfs_err err = judge_write(copy, pool_copy_op_wait(copy->op));
    if (err == GFS_OK) {
        err = read_back(copy);
    }
    if (err == GFS_DIGEST) { /* the source is whole: what is no copy must not pass for one */
        enum gfs_err delete_err = pool_copy_delete(&copy->copier, copy->disk, &copy->there, 1);
        err = delete_err == GFS_OK ? GFS_DIGEST : delete_err;
    }
    *ret_bytes = copy->len;
    copy_free(copy);
    return err;
}

enum gfs_err pool_copy_fragment(struct pool_copier *copier, const struct pool_copy_task *task,
                                uint32_t *ret_bytes)
{
    struct pool_copy *copy;
    enum gfs_err err = pool_copy_begin(copier, task, &copy);
    return err == GFS_OK ? pool_copy_end(copy, ret_bytes) : err;
}

enum gfs_err pool_copy_verify(struct pool_copier *copier, struct pool_disk *disk,
                              struct chunk_id fragment)
{
    if (!pool_disk_is_usable(disk)) {
        return GFS_IO;
    }
    OP_CLEANUP struct pool_copy_op *op = pool_copy_op_new(copier->pool, copier->pace, disk);
    uint32_t len = 0;
    uint32_t crc;
    enum gfs_err err = pool_copy_op_read(op, fragment, true, &len, &crc);
    return err == GFS_OK && !pool_pace_spend(copier->pace, len) ? GFS_STOPPED : err;
}

/* At most DELETE_IDS_MAX. */
static enum gfs_err delete_some(struct pool_copier *copier, struct pool_disk *disk,
                                const struct chunk_id *fragments, size_t count)
{
    OP_CLEANUP struct pool_copy_op *op = pool_copy_op_new(copier->pool, copier->pace, disk);
    disk->store->ops->submit(disk->store, pool_copy_op_delete(op, fragments, count));
    enum gfs_err err = pool_copy_op_wait(op);
    if (err == GFS_IO) {
        pool_disk_drop(copier->pool, disk, err, "repair");
    }
    return err;
}

enum gfs_err pool_copy_delete(struct pool_copier *copier, struct pool_disk *disk,
                              const struct chunk_id *fragments, size_t count)
{
    for (size_t i = 0; i < count; i += DELETE_IDS_MAX) {
        size_t some = GFS_MIN((size_t)DELETE_IDS_MAX, count - i);
        enum gfs_err err = delete_some(copier, disk, fragments + i, some);
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

enum gfs_err pool_copy_settle(struct pool_copier *copier, struct pool_disk *disk)
{
    /* Answers come in order: that of a group without effect comes after all before it. */
    struct chunk_id none = chunk_id_new(0);
    enum gfs_err err = pool_copy_delete(copier, disk, &none, 1);
    return err == GFS_NO_SPACE ? GFS_OK : err; /* refused in its turn is answered, too */
}
