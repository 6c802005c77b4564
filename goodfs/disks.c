#include "goodfs/disks.h"

#include <pthread.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

/* Immutable while it is in the list. */
struct disk {
    struct disk *next;
    char *dir;
    struct store *store;
};

struct disks {
    pthread_mutex_t lock;
    struct disk *first; /* by dir; guarded by lock */
};

struct disks *disks_new(void)
{
    struct disks *disks = gfs_alloc(sizeof *disks);
    pthread_mutex_init(&disks->lock, NULL);
    return disks;
}

void disks_free(struct disks *disks)
{
    if (disks != NULL && disks->first == NULL) { /* one that hangs in being closed stays */
        pthread_mutex_destroy(&disks->lock);
        free(disks);
    }
}

static enum gfs_err open_disk(void *arg, const char *dir, const char *cluster,
                              struct chunk_store **ret, uint8_t ret_id[16], struct gfs_error *error)
{
    struct disks *disks = arg;
    struct store_options options = {.dir = dir, .cluster = cluster};
    struct store *store = NULL;
    enum gfs_err err = store_open(&options, &store, error);
    if (err != GFS_OK) {
        return err;
    }
    struct disk *disk = gfs_alloc(sizeof *disk);
    disk->dir = gfs_strdup(dir);
    disk->store = store;
    pthread_mutex_lock(&disks->lock);
    struct disk **at = &disks->first;
    while (*at != NULL && strcmp((*at)->dir, dir) < 0) {
        at = &(*at)->next;
    }
    disk->next = *at;
    *at = disk;
    pthread_mutex_unlock(&disks->lock);
    store_disk_id(store, ret_id);
    *ret = store_chunks(store);
    return GFS_OK;
}

static void close_disk(void *arg, struct chunk_store *chunks)
{
    struct disks *disks = arg;
    pthread_mutex_lock(&disks->lock);
    struct disk **at = &disks->first;
    while (*at != NULL && store_chunks((*at)->store) != chunks) {
        at = &(*at)->next;
    }
    struct disk *disk = *at;
    GFS_ASSERT(disk != NULL);
    *at = disk->next;
    pthread_mutex_unlock(&disks->lock);
    store_close(disk->store);
    free(disk->dir);
    free(disk);
}

struct pool_driver disks_driver(struct disks *disks)
{
    return (struct pool_driver){.arg = disks, .open = open_disk, .close = close_disk};
}

void disks_each(struct disks *disks,
                void (*visit)(void *arg, const char *dir, const struct store_stats *stats),
                void *arg)
{
    pthread_mutex_lock(&disks->lock);
    for (const struct disk *disk = disks->first; disk != NULL; disk = disk->next) {
        struct store_stats stats;
        store_stats(disk->store, &stats);
        visit(arg, disk->dir, &stats);
    }
    pthread_mutex_unlock(&disks->lock);
}
