#include "pool/pool_orphans.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_copy_op.h"

/* Owned by the deleting thread. */
struct deletion {
    struct pool_view *view; /* held as work: whoever copies waits for it */
    struct pool_pace pace;  /* for waiting only */
    const struct chunk_id *ids;
    size_t count;
    struct pool_copy_op *ops[POOL_DISKS_MAX]; /* by number; NULL = it has none of them */
    struct chunk_group *groups[POOL_DISKS_MAX];
};

/* What cannot be pinned for being damaged is there as well. */
static bool has_fragment(const struct pool_disk *disk, struct chunk_id fragment)
{
    struct chunk_pin pin;
    enum gfs_err err = disk->store->ops->pin(disk->store, fragment, &pin);
    if (err == GFS_OK) {
        disk->store->ops->unpin(disk->store, &pin);
    }
    return err != GFS_NOT_FOUND;
}

/* The fragments that the disk has of them; the caller frees. Copies have one id on all disks. */
static struct chunk_id *find_on(const struct deletion *deletion, const struct pool_disk *disk,
                                size_t *ret_count)
{
    struct chunk_id *found = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < deletion->count; i++) {
        const struct pool_group *group = pool_view_group(deletion->view, deletion->ids[i]);
        bool is_ec = group != NULL && group->profile.kind == POOL_EC;
        unsigned width = is_ec ? pool_profile_width(group->profile) : 1;
        for (unsigned slot = 0; slot < width; slot++) {
            struct chunk_id fragment =
                is_ec ? chunk_id_at(deletion->ids[i], slot) : deletion->ids[i];
            if (has_fragment(disk, fragment)) {
                found = gfs_realloc(found, (*ret_count + 1) * sizeof *found);
                found[(*ret_count)++] = fragment;
            }
        }
    }
    return found;
}

static void prepare(struct pool *pool, struct deletion *deletion, uint32_t number)
{
    struct pool_disk *disk = deletion->view->disks[number];
    size_t count = 0;
    GFS_FREE struct chunk_id *found = find_on(deletion, disk, &count);
    if (count == 0) {
        return;
    }
    deletion->ops[number] = pool_copy_op_new(pool, &deletion->pace, disk);
    deletion->groups[number] = pool_copy_op_delete(deletion->ops[number], found, count);
}

static void send(void *arg)
{
    struct deletion *deletion = arg;
    for (uint32_t i = 0; i < deletion->view->map->disk_count; i++) {
        if (deletion->ops[i] != NULL) {
            struct chunk_store *store = deletion->view->disks[i]->store;
            store->ops->submit(store, deletion->groups[i]);
        }
    }
}

/* Sent or taken back; the first error. */
static enum gfs_err end(struct deletion *deletion, bool is_sent)
{
    enum gfs_err err = is_sent ? GFS_OK : GFS_BUSY;
    for (uint32_t i = 0; i < deletion->view->map->disk_count; i++) {
        struct pool_copy_op *op = deletion->ops[i];
        if (op == NULL) {
            continue;
        }
        if (is_sent) {
            enum gfs_err own = pool_copy_op_wait(op);
            if (own == GFS_IO) {
                struct pool_view *view = deletion->view;
                pool_disk_drop(view->pool, view->disks[i], own, "delete");
            }
            err = err == GFS_OK ? own : err;
        } else {
            pool_copy_op_forget(op);
        }
        pool_copy_op_free(op);
    }
    return err;
}

/* A disk that may come back may bring some of them back. */
static bool is_any_away(const struct pool_view *view)
{
    bool is_any = false;
    for (uint32_t i = 0; i < view->map->disk_count; i++) {
        const struct pool_map_disk *disk = &view->map->disks[i];
        bool is_gone = disk->state == POOL_DISK_REMOVED || disk->path[0] == '\0';
        is_any = is_any || (!is_gone && !pool_disk_is_usable(view->disks[i]));
    }
    return is_any;
}

enum gfs_err pool_orphans_delete(struct pool *pool, const struct chunk_id *ids, size_t count)
{
    struct deletion deletion = {.view = pool_view_get(pool), .ids = ids, .count = count};
    pool_pace_init(&deletion.pace, 0);
    bool is_possible = !deletion.view->is_read_only && !is_any_away(deletion.view);
    enum gfs_err err = is_possible ? GFS_OK : GFS_UNREACHABLE;
    for (uint32_t i = 0; i < deletion.view->map->disk_count && err == GFS_OK; i++) {
        if (pool_disk_is_usable(deletion.view->disks[i])) {
            prepare(pool, &deletion, i);
        }
    }
    if (err == GFS_OK) {
        err = end(&deletion, pool_tombs_delete(pool, ids, count, send, &deletion));
    }
    pool_pace_fini(&deletion.pace);
    pool_view_put(deletion.view);
    return err;
}
